#include "base/clock.h"
#include "server/ops.h"
#include "storage/closure.h"
#include "storage/upload.h"

#define PAGE 256
#define CONTENT_STEP 4096 /* contents counted in one look */
/*
 * Rows that a page of a list may cost, give or take one repository: a client that asks for pages is answered in time, with
 * a shorter page if need be.
 */
#define COST_MAX (200u * 1000)
#define TAG_PARTS_MAX 10000 /* of an image whose bytes a list adds up */

/* --- stats --- */

static enum err_kind count_content(struct op_call *c, struct content_count *sum, struct err *e)
{
	struct index *ix = store_index(c->ops->store);
	struct digest last, at = { 0 };
	size_t n = CONTENT_STEP;
	enum err_kind k = ERR_OK;

	for (bool first = true; k == ERR_OK && n == CONTENT_STEP && op_goes_on(c); first = false) {
		last = at;
		k = index_content_count(ix, first ? NULL : &last, CONTENT_STEP, sum, &at, &n, e);
	}
	return k;
}

static struct jv *gc_value(const struct ops *o)
{
	char text[32];
	struct gc_status s;

	gc_status(o->gc, &s);
	return jv_pack("{s:b, s:b, s:I, s:s*}", "running", s.running, "paused", s.paused, "cycles",
		       (long long)s.cycles, "ended", op_time(s.last_end_wall_ms, text));
}

static enum err_kind scrub_value(const struct ops *o, struct jv **ret, struct err *e)
{
	char started[32], ended[32];
	struct scrub_row r;
	enum err_kind k = index_scrub_read(store_index(o->store), &r, e);

	*ret = k == ERR_OK
		   ? jv_pack("{s:s*, s:s*, s:I, s:I}", "started", op_time(r.started_ms, started),
			     "ended", op_time(r.ended_ms, ended), "objects", (long long)r.objects,
			     "damaged", (long long)r.damaged)
		   : NULL;
	return k;
}

enum err_kind op_stats(struct op_call *c, struct err *e)
{
	struct index *ix = store_index(c->ops->store);
	struct content_count content = { 0 };
	struct jv *scrub = NULL;
	struct kv_stat rows;
	struct totals totals;
	uint64_t uploads = 0;
	enum err_kind k = index_stat(ix, &rows, e);

	if (k == ERR_OK)
		k = index_totals(ix, &totals, e);
	if (k == ERR_OK)
		k = upload_bytes(c->ops->store, &uploads, e);
	if (k == ERR_OK)
		k = count_content(c, &content, e);
	if (k == ERR_OK)
		k = scrub_value(c->ops, &scrub, e);
	if (k != ERR_OK)
		return k;
	op_emit(c, jv_pack("{s:I, s:I, s:I, s:I, s:I, s:{s:I, s:I}, s:{s:I, s:I}, s:{s:I}, s:I, "
			   "s:{s:I, s:I}, s:o, s:o}",
			   "repositories", (long long)rows.entries[KV_REPO], "tags",
			   (long long)rows.entries[KV_TAG], "manifests",
			   (long long)content.manifests, "blobs", (long long)content.blobs, "bytes",
			   (long long)totals.bytes, "unplaced", "contents",
			   (long long)content.unplaced, "bytes", (long long)content.unplaced_bytes,
			   "uploads", "open", (long long)rows.entries[KV_UPLOAD], "bytes",
			   (long long)uploads, "trash", "items", (long long)rows.entries[KV_TRASH],
			   "review", (long long)rows.entries[KV_REVIEW], "index", "bytes",
			   (long long)rows.used_bytes, "map", (long long)rows.map_bytes, "gc",
			   gc_value(c->ops), "scrub", scrub));
	return ERR_OK;
}

/* --- repositories --- */

/* What a repository has, and how many rows it took to know. */
struct usage {
	uint64_t tags, manifests, blobs, bytes, pushed_ms, pulled_ms, cost;
};

static enum err_kind add_tags(struct op_call *c, const struct repo_name *repo, struct usage *u,
			      struct err *e)
{
	AUTO_FREE struct tag_item *page = calloc(PAGE, sizeof(*page));
	struct tag_name last;
	size_t n = PAGE;
	enum err_kind k = page ? ERR_OK : err_set(e, ERR_NO_MEMORY, __func__, "no memory for tags");

	for (bool first = true; k == ERR_OK && n == PAGE && op_goes_on(c); first = false) {
		k = index_tag_rows(store_index(c->ops->store), repo, first ? NULL : &last, PAGE,
				   page, &n, e);
		for (size_t i = 0; k == ERR_OK && i < n; i++) {
			if (page[i].row.pushed_ms > u->pushed_ms)
				u->pushed_ms = page[i].row.pushed_ms;
			if (page[i].row.pulled_ms > u->pulled_ms)
				u->pulled_ms = page[i].row.pulled_ms;
		}
		u->tags += n;
		if (n)
			last = page[n - 1].name;
	}
	return k;
}

static enum err_kind add_entries(struct op_call *c, const struct repo_name *repo, struct usage *u,
				 struct err *e)
{
	AUTO_FREE struct entry_item *page = calloc(PAGE, sizeof(*page));
	struct digest last;
	size_t n = PAGE;
	enum err_kind k =
	    page ? ERR_OK : err_set(e, ERR_NO_MEMORY, __func__, "no memory for a page");

	for (bool first = true; k == ERR_OK && n == PAGE && op_goes_on(c); first = false) {
		k = index_entry_page(store_index(c->ops->store), repo, first ? NULL : &last, PAGE,
				     page, &n, e);
		for (size_t i = 0; k == ERR_OK && i < n; i++) {
			u->manifests += page[i].is_manifest;
			u->blobs += page[i].is_blob && !page[i].is_manifest;
			u->bytes += page[i].size_bytes;
		}
		if (n)
			last = page[n - 1].digest;
	}
	return k;
}

/* ERR_NOT_FOUND if it vanished. */
static enum err_kind emit_repo(struct op_call *c, const struct repo_item *r, uint64_t *cost,
			       struct err *e)
{
	char created[32], pushed[32], pulled[32];
	struct usage u = { 0 };
	enum err_kind k = add_tags(c, &r->name, &u, e);

	if (k == ERR_OK)
		k = add_entries(c, &r->name, &u, e);
	if (k != ERR_OK)
		return k;
	*cost += u.tags + u.manifests + u.blobs;
	op_emit(c, jv_pack("{s:s, s:I, s:I, s:I, s:I, s:s*, s:s*, s:s*}", "repository", r->name.s,
			   "tags", (long long)u.tags, "manifests", (long long)u.manifests, "blobs",
			   (long long)u.blobs, "bytes", (long long)u.bytes, "created",
			   op_time(r->row.created_ms, created), "pushed",
			   op_time(u.pushed_ms, pushed), "pulled", op_time(u.pulled_ms, pulled)));
	return ERR_OK;
}

/* A list under way. */
struct listing {
	struct op_page page;
	uint64_t count, cost;
	bool ends; /* the page is full */
};

static bool is_full(const struct listing *l)
{
	return l->count >= l->page.n || (l->page.n != UINT64_MAX && l->cost > COST_MAX);
}

static enum err_kind list_repo(struct op_call *c, struct listing *l, const struct repo_item *r,
			       struct err *e)
{
	enum err_kind k;

	l->cost++;
	if (!op_page_takes(&l->page, repo_name_str(&r->name)) ||
	    (c->may_see && !c->may_see(c->see_arg, repo_name_str(&r->name))))
		return ERR_OK;
	k = emit_repo(c, r, &l->cost, e);
	if (k == ERR_OK)
		l->count++;
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

enum err_kind op_repo(struct op_call *c, const struct repo_name *repo, struct err *e)
{
	struct repo_item item = { .name = *repo };
	uint64_t cost = 0;
	enum err_kind k = index_repo_find(store_index(c->ops->store), repo, &item.row, e);

	return k == ERR_OK ? emit_repo(c, &item, &cost, e) : k;
}

enum err_kind op_repos(struct op_call *c, struct err *e)
{
	AUTO_FREE struct repo_item *page = calloc(PAGE, sizeof(*page));
	struct listing l = { .count = 0 };
	struct repo_name last = { .len = 0 };
	struct str after;
	size_t n = PAGE;
	enum err_kind k = op_page_parse(c, &l.page, e);

	if (k == ERR_OK && !page)
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory for repositories");
	if (k == ERR_OK && l.page.last.p && !repo_name_parse(&last, l.page.last))
		k = err_set(e, ERR_INVALID, __func__, "last must be a repository");
	after = repo_name_str(&last);
	while (k == ERR_OK && n == PAGE && !l.ends && op_goes_on(c)) {
		k = index_repo_rows(store_index(c->ops->store), after, PAGE, page, &n, e);
		for (size_t i = 0; k == ERR_OK && i < n && !l.ends; i++) {
			l.ends = is_full(&l);
			if (l.ends)
				break;
			k = list_repo(c, &l, &page[i], e);
			last = page[i].name;
		}
		after = repo_name_str(&last);
	}
	if (k == ERR_OK)
		op_emit_end(c, l.count, l.ends ? last.s : NULL);
	return k;
}

/* --- tags --- */

/* Of everything in the image; no member where that is too much to add up. */
static enum err_kind image_bytes(struct op_call *c, const struct repo_name *repo,
				 const struct digest *d, struct listing *l, struct jv **ret,
				 struct err *e)
{
	AUTO_CLOSURE parts = { .n_max = TAG_PARTS_MAX };
	enum err_kind k = closure_gather(&parts, store_index(c->ops->store), repo, d, false, e);

	l->cost += parts.n;
	*ret = k == ERR_OK ? jv_pack("I", (long long)closure_bytes(&parts)) : NULL;
	return k == ERR_TOO_LARGE ? ERR_OK : k;
}

static enum err_kind emit_tag(struct op_call *c, const struct repo_name *repo,
			      const struct tag_item *tag, struct listing *l, struct err *e)
{
	char text[DIGEST_TEXT_MAX], pushed[32], pulled[32];
	AUTO_SBUF refs = { .max = SBUF_MAX };
	struct manifest_row row;
	struct jv *total = NULL;
	const struct digest *d = &tag->row.digest;
	enum err_kind k = index_manifest_look(store_index(c->ops->store), repo, d, &row, &refs, e);

	if (k == ERR_OK)
		k = image_bytes(c, repo, d, l, &total, e);
	if (k != ERR_OK)
		return k;
	op_emit(c, jv_pack("{s:s, s:s, s:s, s:s, s:I, s:o*, s:s*, s:s*}", "repository", repo->s,
			   "tag", tag->name.s, "digest", digest_text(d, text), "mediaType",
			   row.media_type, "size", (long long)row.size_bytes, "total", total,
			   "pushed", op_time(tag->row.pushed_ms, pushed), "pulled",
			   op_time(tag->row.pulled_ms, pulled)));
	return ERR_OK;
}

static enum err_kind list_tag(struct op_call *c, struct listing *l, const struct repo_name *repo,
			      const struct tag_item *tag, struct err *e)
{
	enum err_kind k;

	l->cost++;
	if (!op_page_takes(&l->page, tag_name_str(&tag->name)))
		return ERR_OK;
	k = emit_tag(c, repo, tag, l, e);
	if (k == ERR_OK)
		l->count++;
	return k == ERR_NOT_FOUND ? ERR_OK : k; /* moved or gone meanwhile */
}

static enum err_kind list_tags(struct op_call *c, const struct repo_name *repo, struct listing *l,
			       struct tag_name *last, struct err *e)
{
	AUTO_FREE struct tag_item *page = calloc(PAGE, sizeof(*page));
	size_t n = PAGE;
	enum err_kind k = page ? ERR_OK : err_set(e, ERR_NO_MEMORY, __func__, "no memory for tags");

	while (k == ERR_OK && n == PAGE && !l->ends && op_goes_on(c)) {
		k = index_tag_rows(store_index(c->ops->store), repo, last->len ? last : NULL, PAGE,
				   page, &n, e);
		for (size_t i = 0; k == ERR_OK && i < n && !l->ends; i++) {
			l->ends = is_full(l);
			if (l->ends)
				break;
			k = list_tag(c, l, repo, &page[i], e);
			*last = page[i].name;
		}
	}
	return k;
}

enum err_kind op_tags(struct op_call *c, struct err *e)
{
	struct listing l = { .count = 0 };
	struct tag_name last = { .len = 0 };
	struct named repo;
	enum err_kind k = op_named(c, "repository", &repo, e);

	if (k == ERR_OK)
		k = op_page_parse(c, &l.page, e);
	if (k == ERR_OK && (repo.has_tag || repo.has_digest))
		return err_set(e, ERR_INVALID, __func__, "tags are those of a whole repository");
	if (k == ERR_OK && l.page.last.p && !tag_name_parse(&last, l.page.last))
		return err_set(e, ERR_INVALID, __func__, "last must be a tag");
	if (k == ERR_OK)
		k = list_tags(c, &repo.repo, &l, &last, e);
	if (k == ERR_OK)
		op_emit_end(c, l.count, l.ends ? last.s : NULL);
	return k;
}
