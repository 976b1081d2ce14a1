#include "gc/run.h"

#include <sys/resource.h>

#include "base/clock.h"
#include "storage/trash.h"

#define TRASH_BATCH 256
#define NICE 10
#define PASSES_MAX 16 /* of one cycle; more than manifests are nested */

static const char *const verdict_texts[VERDICT_N] = {
	[VERDICT_STALE] = "in use again",
	[VERDICT_WAIT] = "not without a tag for long enough",
	[VERDICT_PARK] = "manifests without a tag are kept",
	[VERDICT_LINK] = "no manifest refers to it",
	[VERDICT_MANIFEST] = "no tag, index or subject refers to it",
	[VERDICT_CONTENT] = "no repository has it",
	[VERDICT_LEASED] = "a client was told of it",
	[VERDICT_BUSY] = "it is being pushed",
};

static void report(struct run *r, const struct gc_action *a)
{
	if (r->report)
		r->report(r->arg, a);
}

/* --- rules --- */

/* When a row's manifest without a tag is garbage, by its repository's rule. */
static enum err_kind policy_of(struct run *r, const struct review_row *row,
			       struct review_policy *ret, struct err *e)
{
	struct repo_name repo;
	enum err_kind k;

	*ret = (struct review_policy){ .now_ms = steady_ms(),
				       .untagged_keep_ms = r->options->untagged_keep_ms };
	if (!r->options->retention || row->repo == 0)
		return ERR_OK;
	k = index_repo_by_id(store_index(r->st), row->repo, &repo, e);
	if (k == ERR_OK)
		ret->untagged_keep_ms = retention_untagged_keep(
		    retention_find(r->options->retention, &repo), r->options->untagged_keep_ms);
	return k == ERR_NOT_FOUND ? ERR_OK : k; /* the review finds it stale */
}

/* --- what is due --- */

static bool removes(enum verdict v)
{
	return v == VERDICT_LINK || v == VERDICT_MANIFEST || v == VERDICT_CONTENT;
}

/* What new rules leave where the old ones had put it is not counted as kept. */
static void count(struct gc_result *res, const struct review_row *row, enum verdict v,
		  uint64_t size_bytes)
{
	res->blobs += v == VERDICT_LINK;
	res->manifests += v == VERDICT_MANIFEST;
	res->contents += v == VERDICT_CONTENT;
	res->bytes += v == VERDICT_CONTENT ? size_bytes : 0;
	res->leased += v == VERDICT_LEASED;
	res->kept += (v == VERDICT_WAIT || v == VERDICT_PARK) && row->due_ms <= steady_ms();
}

static void tell(struct run *r, const struct review_row *row, enum verdict v,
		 const struct repo_name *repo, uint64_t size_bytes)
{
	const struct gc_action a = { .what = v == VERDICT_LINK ? GC_BLOB
					     : row->repo == 0  ? GC_CONTENT
							       : GC_MANIFEST,
				     .removes = removes(v),
				     .reason = verdict_texts[v],
				     .repo = *repo,
				     .digest = row->digest,
				     .size_bytes = size_bytes };

	if (v != VERDICT_STALE)
		report(r, &a);
}

/* By new rules what was put off may be due, but nothing within its lease time. */
static bool is_due(const struct run *r, const struct review_row *row, uint64_t now_ms)
{
	return row->due_ms <= now_ms || row->since_ms + r->options->lease_ms <= now_ms;
}

/* One batch. */
struct due {
	struct review_row rows[COLLECT_MAX];
	struct collect_item items[COLLECT_MAX];
};

/* Gives all that is due to fn, batch by batch. */
typedef enum err_kind batch_fn(struct run *r, struct collect_item *items, size_t n, struct err *e);

/* With what becomes due meanwhile. */
static enum err_kind each_due(struct run *r, batch_fn *fn, struct err *e)
{
	AUTO_FREE struct due *due = malloc(sizeof(*due));
	struct review_row last;
	size_t n = 0;

	if (!due)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for what is due");
	for (bool first = true; !*r->stop; first = false) {
		uint64_t now = steady_ms();
		enum err_kind k = index_review_page(store_index(r->st), first ? NULL : &last,
						    r->look_at_all ? UINT64_MAX : now,
						    r->pace.batch, due->rows, &n, e);
		size_t n_items = 0;

		for (size_t i = 0; i < n && k == ERR_OK; i++) {
			if (!is_due(r, &due->rows[i], now))
				continue;
			due->items[n_items] = (struct collect_item){ .row = due->rows[i] };
			k = policy_of(r, &due->rows[i], &due->items[n_items++].policy, e);
		}
		if (k == ERR_OK && n_items)
			k = fn(r, due->items, n_items, e);
		if (k != ERR_OK || n == 0)
			return k;
		last = due->rows[n - 1];
	}
	return ERR_OK;
}

static enum err_kind look(struct run *r, struct collect_item *items, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		struct review_finding f;
		enum err_kind k = store_collect_look(r->st, &items[i].row, &items[i].policy, &f, e);

		if (k != ERR_OK)
			return k;
		count(&r->result, &items[i].row, f.verdict, f.size_bytes);
		if (f.verdict == VERDICT_LINK || f.verdict == VERDICT_MANIFEST)
			r->result.share_bytes += f.share_bytes;
		if (r->mode == GC_DRY_RUN)
			tell(r, &items[i].row, f.verdict, &f.repo, f.size_bytes);
	}
	return ERR_OK;
}

static enum err_kind end_unlinking(struct run *r, enum err_kind k, struct err *e)
{
	struct err failure = { 0 };
	enum err_kind after = store_collect_end(&r->unlinking, &failure);

	if (k == ERR_OK && after != ERR_OK)
		*e = failure;
	return k == ERR_OK ? after : k;
}

/* The files of a batch are unlinked while the next one is decided, but not while it rests: pushes may wait for its claims. */
static enum err_kind collect(struct run *r, struct collect_item *items, size_t n, struct err *e)
{
	struct collection *batch;
	enum err_kind k;

	pace_begin(&r->pace);
	k = store_collect_begin(r->st, items, n, &batch, e);
	for (size_t i = 0; i < n; i++) {
		count(&r->result, &items[i].row, items[i].verdict, items[i].size_bytes);
		tell(r, &items[i].row, items[i].verdict, &items[i].repo, items[i].size_bytes);
	}
	k = end_unlinking(r, k, e);
	r->unlinking = batch;
	if (!pace_end(&r->pace))
		return k;
	k = end_unlinking(r, k, e);
	pace_rest(&r->pace);
	return k;
}

/* --- tags --- */

/* The tags of one repository on their way out. */
struct tags {
	struct run *r;
	struct repo_name repo;
	bool act;
	struct tag_item doomed[COLLECT_MAX];
	size_t n;
};

static enum err_kind remove_tags(struct tags *t, struct err *e)
{
	size_t removed = 0;
	enum err_kind k = ERR_OK;

	if (t->act && t->n) {
		pace_begin(&t->r->pace);
		k = store_collect_tags(t->r->st, &t->repo, t->doomed, t->n, &removed, e);
		if (pace_end(&t->r->pace))
			pace_rest(&t->r->pace);
	}
	t->r->result.tags += t->act ? removed : t->n;
	t->n = 0;
	return k;
}

static enum err_kind on_tag(void *arg, const struct tag_item *tag, bool keeps, const char *reason,
			    struct err *e)
{
	struct tags *t = arg;
	const struct gc_action a = { .what = GC_TAG,
				     .removes = !keeps,
				     .reason = reason,
				     .repo = t->repo,
				     .tag = tag->name,
				     .digest = tag->row.digest };

	if (t->act ? !keeps : t->r->mode == GC_DRY_RUN)
		report(t->r, &a);
	if (keeps)
		return ERR_OK;
	t->doomed[t->n++] = *tag;
	return t->n == t->r->pace.batch ? remove_tags(t, e) : ERR_OK;
}

static enum err_kind retain_repo(struct run *r, const struct repo_name *repo, bool act,
				 struct err *e)
{
	const struct retention_rule *rule = retention_find(r->options->retention, repo);
	AUTO_FREE struct tags *t = rule ? calloc(1, sizeof(*t)) : NULL;
	enum err_kind k;

	if (!rule)
		return ERR_OK;
	if (!t)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for tags");
	t->r = r;
	t->repo = *repo;
	t->act = act;
	k = retention_walk(rule, r->st, repo, steady_ms(), on_tag, t, e);
	return k == ERR_OK ? remove_tags(t, e) : k;
}

/* Every repository with a rule, page by page. */
static enum err_kind retain(struct run *r, bool act, struct err *e)
{
	struct repo_name last = { 0 };
	bool more = retention_has_tag_rules(r->options->retention);
	enum err_kind k = ERR_OK;

	while (more && k == ERR_OK && !*r->stop) {
		AUTO_NAME_PAGE names = NAME_PAGE_INIT;
		const char *at;

		k = index_repo_page(store_index(r->st), repo_name_str(&last), COLLECT_MAX, &names,
				    e);
		more = names.more;
		at = names.names.p;
		for (size_t i = 0; k == ERR_OK && i < names.n && !*r->stop; i++) {
			if (!repo_name_parse(&last, str_of(at)))
				return err_set(e, ERR_CORRUPT, __func__, "a repository's name");
			at += last.len + 1;
			k = retain_repo(r, &last, act, e);
		}
	}
	return k;
}

/* --- the trash --- */

static enum err_kind look_at_trash(struct run *r, uint64_t before_ms, struct err *e)
{
	uint64_t id = 0;

	for (;;) {
		AUTO_TRASH_ITEM item = { 0 };
		enum err_kind k = index_trash_next(store_index(r->st), id, &item, e);
		struct gc_action a = { .what = GC_TRASH,
				       .removes = true,
				       .reason = "its time in the trash is over" };

		if (k != ERR_OK)
			return k == ERR_NOT_FOUND ? ERR_OK : k;
		if (item.row.at_ms >= before_ms)
			return ERR_OK;
		id = item.row.id + 1;
		r->result.trash++;
		a.repo = item.row.repo;
		a.digest = item.row.digest;
		a.size_bytes = item.row.size_bytes;
		report(r, &a);
	}
}

static enum err_kind empty_trash(struct run *r, struct err *e)
{
	uint64_t now = steady_ms();
	uint64_t before = now - MIN(now, r->options->trash_keep_ms);
	size_t n = TRASH_BATCH;
	enum err_kind k = ERR_OK;

	if (r->mode == GC_DRY_RUN || r->report)
		k = look_at_trash(r, before, e);
	if (r->mode == GC_DRY_RUN)
		return k;
	r->result.trash = 0;
	while (k == ERR_OK && n == TRASH_BATCH && !*r->stop) {
		pace_begin(&r->pace);
		k = trash_expire(r->st, before, TRASH_BATCH, &n, e);
		r->result.trash += n;
		if (pace_end(&r->pace))
			pace_rest(&r->pace);
	}
	now = wall_ms();
	return k == ERR_OK ? trash_expire_files(r->st, now - MIN(now, r->options->trash_keep_ms), e)
			   : k;
}

/* --- all of it --- */

static unsigned percent(uint64_t part, uint64_t whole)
{
	return whole ? (unsigned)(MIN(part, whole) * 100 / whole) : 0;
}

/* G2: what would go, in bytes of what repositories lose, in manifests and blobs, and in tags. */
static enum err_kind find_share(struct run *r, struct err *e)
{
	struct totals totals;
	struct kv_stat stat;
	unsigned bytes, objects, tags;
	enum err_kind k = index_totals(store_index(r->st), &totals, e);

	if (k == ERR_OK)
		k = index_stat(store_index(r->st), &stat, e);
	if (k != ERR_OK)
		return k;
	bytes = percent(r->result.share_bytes, totals.bytes);
	tags = percent(r->result.tags, stat.entries[KV_TAG]);
	objects = percent(r->result.manifests + r->result.blobs, totals.objects);
	r->result.share = bytes > objects ? bytes : objects;
	if (tags > r->result.share)
		r->result.share = tags;
	r->result.braked = r->mode == GC_NORMAL && r->result.share > r->options->max_share;
	return ERR_OK;
}

static uint64_t removed(const struct gc_result *r)
{
	return r->manifests + r->blobs + r->contents;
}

/* What goes leaves other things without a holder, and some of those are due at once. */
static enum err_kind collect_all(struct run *r, struct err *e)
{
	enum err_kind k = ERR_OK;
	uint64_t before;
	unsigned passes = 0;

	do {
		before = removed(&r->result);
		k = each_due(r, collect, e);
		k = end_unlinking(r, k, e);
		r->look_at_all = false;
	} while (k == ERR_OK && removed(&r->result) > before && ++passes < PASSES_MAX);
	return k;
}

static enum err_kind act(struct run *r, struct err *e)
{
	unsigned share = r->result.share;
	enum err_kind k;

	r->result = (struct gc_result){ .share = share };
	r->look_at_all = r->anew;
	k = retain(r, true, e);
	if (k == ERR_OK)
		k = empty_trash(r, e);
	if (k == ERR_OK)
		k = collect_all(r, e);
	return k == ERR_OK && r->anew && !*r->stop ? store_note_rules(r->st, r->options->rules, e)
						   : k;
}

enum err_kind run_cycle(struct run *r, struct err *e)
{
	uint64_t began = mono_ms(), rules;
	enum err_kind k = index_rules_read(store_index(r->st), &rules, e);

	(void)setpriority(PRIO_PROCESS, 0, NICE); /* of this thread only; without it it works too */
	pace_init(&r->pace, r->st);
	r->anew = r->look_at_all = k == ERR_OK && rules != r->options->rules;
	if (k == ERR_OK)
		k = retain(r, false, e);
	if (k == ERR_OK)
		k = each_due(r, look, e);
	if (k == ERR_OK)
		k = find_share(r, e);
	if (k == ERR_OK && r->mode == GC_DRY_RUN)
		k = empty_trash(r, e);
	else if (k == ERR_OK && !r->result.braked)
		k = act(r, e);
	r->result.took_ms = mono_ms() - began;
	return k;
}
