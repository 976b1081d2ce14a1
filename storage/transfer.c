#include "storage/transfer.h"

#include "base/clock.h"
#include "storage/blob.h"
#include "storage/repo.h"
#include "storage/store_impl.h"

#define PARTS_MAX (200u * 1000) /* of one manifest */
#define BATCH 64                /* changes at once: bounds how long a push may wait behind them */
#define TRIES_MAX 16            /* of a tag that is pushed again and again */

static enum err_kind check_go_on(const struct transfer *t, struct err *e)
{
	if (!t->go_on || t->go_on(t->arg))
		return ERR_OK;
	return err_set(e, ERR_AWAY, __func__,
		       "ended before all was done: ask for the same again to go on");
}

static bool same_repo(const struct repo_name *a, const struct repo_name *b)
{
	return str_eq(repo_name_str(a), repo_name_str(b));
}

static enum err_kind same_place(struct err *e)
{
	return err_set(e, ERR_IN_USE, __func__, "source and destination are the same");
}

/* --- copying --- */

/* Changes that wait to be made together. */
struct batch {
	struct change changes[BATCH];
	size_t n;
};

/* Those that are refused are let be; *ret says how many were not. */
static enum err_kind flush(const struct transfer *t, struct batch *b, uint64_t *ret, struct err *e)
{
	enum err_kind kinds[BATCH], k = ERR_OK;

	if (b->n)
		k = commit_changes(t->st->committer, b->changes, b->n, kinds, e);
	for (size_t i = 0; k == ERR_OK && i < b->n; i++)
		*ret += kinds[i] == ERR_OK;
	b->n = 0;
	return k;
}

/* A blob that the source does not have any more is missed by the put of its manifest. */
static enum err_kind mount(struct transfer *t, struct batch *b, const struct repo_name *from,
			   const struct digest *d, const struct repo_name *to, struct err *e)
{
	struct blob_info there;
	struct change *c;
	enum err_kind k = repo_blob_find(t->st, to, d, &there, e);

	if (k != ERR_NOT_FOUND)
		return k;
	c = &b->changes[b->n++];
	*c = store_change(t->st, CHANGE_BLOB_MOUNT, to);
	c->guard = t->guard;
	c->from = *from;
	c->digest = *d;
	return b->n == BATCH ? flush(t, b, &t->blobs, e) : ERR_OK;
}

static enum err_kind read_manifest(struct transfer *t, const struct repo_name *repo,
				   const struct digest *d, struct manifest_info *info,
				   struct sbuf *body, struct err *e)
{
	enum err_kind k = index_manifest_find(t->st->index, repo, NULL, d, info, e);

	if (k != ERR_OK)
		return k;
	if (!info->bytes)
		return blob_read(t->st, d, info->size_bytes, body, e);
	body->n = (size_t)info->size_bytes;
	body->p = TAKE(info->bytes);
	return ERR_OK;
}

static enum err_kind put(struct transfer *t, const struct repo_name *from, const struct digest *d,
			 const struct repo_name *to, const struct tag_name *tag, struct err *e)
{
	AUTO_MANIFEST_PUSHED pushed = { 0 };
	AUTO_SBUF body = { .max = SBUF_MAX };
	struct manifest_info info = { .bytes = NULL };
	struct manifest_push push = { .digest = *d,
				      .tags = tag,
				      .n_tags = tag != NULL,
				      .guard = t->guard,
				      .keep_tags = !t->force };
	enum err_kind k = read_manifest(t, from, d, &info, &body, e);

	if (k != ERR_OK)
		return k;
	push.body = (struct str){ body.p, body.n };
	push.media_type = str_of(info.media_type);
	k = repo_manifest_put(t->st, to, &push, &pushed, e);
	if (k == ERR_OK && tag)
		t->tags++;
	return k;
}

/* Puts a manifest that is not there. */
static enum err_kind copy_manifest(struct transfer *t, const struct repo_name *from,
				   const struct digest *d, const struct repo_name *to,
				   struct err *e)
{
	struct manifest_info there = { .bytes = NULL };
	enum err_kind k = repo_manifest_find(t->st, to, NULL, d, &there, e);

	free(there.bytes);
	if (k != ERR_NOT_FOUND)
		return k;
	k = put(t, from, d, to, NULL, e);
	if (k == ERR_OK)
		t->manifests++;
	return k;
}

static enum err_kind copy_parts(struct transfer *t, const struct closure *c,
				const struct repo_name *from, const struct repo_name *to,
				struct err *e)
{
	AUTO_FREE struct batch *b = calloc(1, sizeof(*b));
	enum err_kind k = ERR_OK;

	if (!b)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a batch of changes");
	for (size_t i = 0; i < c->n && k == ERR_OK; i++) {
		const struct closure_item *item = c->items[i];

		k = check_go_on(t, e);
		if (k != ERR_OK || item->is_absent)
			continue;
		if (!item->is_manifest) {
			k = mount(t, b, from, &item->digest, to, e);
			continue;
		}
		k = flush(t, b, &t->blobs, e);
		if (k == ERR_OK)
			k = copy_manifest(t, from, &item->digest, to, e);
	}
	return k == ERR_OK ? flush(t, b, &t->blobs, e) : k;
}

/* The tag, unless it points there already. */
static enum err_kind set_tag(struct transfer *t, const struct repo_name *from,
			     const struct digest *d, const struct repo_name *to,
			     const struct tag_name *tag, struct err *e)
{
	struct tag_row row;
	enum err_kind k = index_tag_find(t->st->index, to, tag, &row, e);

	if (k == ERR_OK && digest_eq(&row.digest, d))
		return ERR_OK;
	return k == ERR_OK || k == ERR_NOT_FOUND ? put(t, from, d, to, tag, e) : k;
}

/* Before any work: a tag that is to stay is a reason to do nothing.  The put looks again. */
static enum err_kind check_tag(const struct transfer *t, const struct repo_name *to,
			       const struct tag_name *tag, const struct digest *d, struct err *e)
{
	struct tag_row row;
	enum err_kind k = index_tag_find(t->st->index, to, tag, &row, e);

	if (k == ERR_NOT_FOUND || (k == ERR_OK && (t->force || digest_eq(&row.digest, d))))
		return ERR_OK;
	return k == ERR_OK
		   ? err_set(e, ERR_IN_USE, __func__,
			     "%.100s:%s points to something else: force moves it", to->s, tag->s)
		   : k;
}

static enum err_kind copy_gathered(struct transfer *t, const struct closure *c,
				   const struct repo_name *from, const struct digest *d,
				   const struct repo_name *to, const struct tag_name *tag,
				   struct err *e)
{
	enum err_kind k = same_repo(from, to) ? ERR_OK : copy_parts(t, c, from, to, e);

	return k == ERR_OK && tag ? set_tag(t, from, d, to, tag, e) : k;
}

enum err_kind transfer_copy(struct transfer *t, const struct repo_name *from,
			    const struct digest *d, const struct repo_name *to,
			    const struct tag_name *tag, struct err *e)
{
	AUTO_CLOSURE c = { .n_max = PARTS_MAX };
	enum err_kind k = tag ? check_tag(t, to, tag, d, e) : ERR_OK;

	if (k == ERR_OK && !same_repo(from, to))
		k = closure_gather(&c, t->st->index, from, d, true, e);
	return k == ERR_OK ? copy_gathered(t, &c, from, d, to, tag, e) : k;
}

/* --- moving --- */

static enum err_kind delete_free(struct transfer *t, const struct repo_name *repo,
				 struct closure_item *item, struct err *e)
{
	struct change c = store_change(t->st, CHANGE_MANIFEST_DELETE, repo);
	enum err_kind k;

	c.guard = t->guard;
	c.digest = item->digest;
	c.if_free = true;
	c.pushed_ms = item->pushed_ms;
	k = commit_change(t->st->committer, &c, e);
	item->is_gone = k == ERR_OK || k == ERR_NOT_FOUND;
	t->removed += k == ERR_OK;
	return k == ERR_IN_USE || k == ERR_NOT_FOUND ? ERR_OK : k;
}

/* Referrers stay where their subject does. */
static bool has_kept_subject(const struct closure *c, const struct closure_item *item)
{
	const struct closure_item *subject;

	if (!item->has_subject)
		return false;
	subject = closure_find(c, &item->subject);
	return subject && !subject->is_absent && !subject->is_gone;
}

/* Manifests of the source that nothing needs any more: in each group those that refer before those referred to. */
static enum err_kind tidy(struct transfer *t, struct closure *c, const struct repo_name *repo,
			  struct err *e)
{
	enum err_kind k = ERR_OK;
	size_t end;

	for (size_t first = 0; first < c->n; first = end) {
		for (end = first; end < c->n && c->items[end]->group == c->items[first]->group;)
			end++;
		for (size_t i = end; i-- > first && k == ERR_OK;) {
			struct closure_item *item = c->items[i];

			if (item->is_manifest && !item->is_absent && !has_kept_subject(c, item))
				k = delete_free(t, repo, item, e);
		}
	}
	return k;
}

static enum err_kind delete_tag(struct transfer *t, const struct repo_name *repo,
				const struct tag_name *tag, const struct tag_row *seen,
				struct err *e)
{
	struct change c = store_change(t->st, CHANGE_TAG_DELETE, repo);
	enum err_kind k;

	c.guard = t->guard;
	c.tags = tag;
	c.n_tags = 1;
	c.expected = seen;
	k = commit_change(t->st->committer, &c, e);
	t->removed += k == ERR_OK;
	return k;
}

/* One try; ERR_IN_USE, with *ret_again, if the tag was pushed meanwhile. */
static enum err_kind try_move_tag(struct transfer *t, const struct repo_name *from,
				  const struct tag_name *tag, const struct repo_name *to,
				  const struct tag_name *as, bool *ret_again, struct err *e)
{
	AUTO_CLOSURE c = { .n_max = PARTS_MAX };
	struct tag_row row;
	enum err_kind k = index_tag_find(t->st->index, from, tag, &row, e);

	*ret_again = false;
	if (k == ERR_OK)
		k = check_tag(t, to, as, &row.digest, e);
	if (k == ERR_OK)
		k = closure_gather(&c, t->st->index, from, &row.digest, true, e);
	if (k == ERR_OK)
		k = copy_gathered(t, &c, from, &row.digest, to, as, e);
	if (k != ERR_OK)
		return k;
	k = delete_tag(t, from, tag, &row, e);
	*ret_again = k == ERR_IN_USE;
	return k == ERR_OK && !same_repo(from, to) ? tidy(t, &c, from, e) : k;
}

enum err_kind transfer_move_tag(struct transfer *t, const struct repo_name *from,
				const struct tag_name *tag, const struct repo_name *to,
				const struct tag_name *as, struct err *e)
{
	bool force = t->force, again = true;
	enum err_kind k = ERR_OK;

	if (same_repo(from, to) && str_eq(tag_name_str(tag), tag_name_str(as)))
		return same_place(e);
	for (unsigned i = 0; again && i < TRIES_MAX; i++) {
		k = try_move_tag(t, from, tag, to, as, &again, e);
		t->force = true; /* what is there now is what we put */
	}
	t->force = force;
	return k;
}

/* A tag of a repository that goes elsewhere; one that vanishes meanwhile is nobody's any more. */
static enum err_kind one_tag(struct transfer *t, const struct repo_name *from,
			     const struct tag_name *tag, const struct repo_name *to, bool move,
			     struct err *e)
{
	enum err_kind k = ERR_NOT_FOUND;

	for (unsigned i = 0; k == ERR_NOT_FOUND && i < TRIES_MAX; i++) {
		struct tag_row row;

		k = check_go_on(t, e);
		if (k == ERR_OK)
			k = index_tag_find(t->st->index, from, tag, &row, e);
		if (k == ERR_NOT_FOUND)
			return ERR_OK;
		if (k == ERR_OK)
			k = move ? transfer_move_tag(t, from, tag, to, tag, e)
				 : transfer_copy(t, from, &row.digest, to, tag, e);
	}
	return k;
}

/* Tags that are pushed from now on may stay: their clients are not to be outrun. */
static enum err_kind each_tag(struct transfer *t, const struct repo_name *from,
			      const struct repo_name *to, bool move, struct err *e)
{
	uint64_t before_ms = wall_ms();
	AUTO_FREE struct tag_item *page = calloc(BATCH, sizeof(*page));
	struct tag_name last;
	size_t n = BATCH;
	enum err_kind k = page ? ERR_OK : err_set(e, ERR_NO_MEMORY, __func__, "no memory for tags");

	for (bool first = true; k == ERR_OK && n == BATCH; first = false) {
		k = index_tag_rows(t->st->index, from, first ? NULL : &last, BATCH, page, &n, e);
		if (k == ERR_NOT_FOUND)
			return ERR_OK; /* nothing is left of it */
		for (size_t i = 0; i < n && k == ERR_OK; i++) {
			if (page[i].row.pushed_ms <= before_ms)
				k = one_tag(t, from, &page[i].name, to, move, e);
		}
		if (n)
			last = page[n - 1].name;
	}
	return k;
}

static enum err_kind one_manifest(struct transfer *t, const struct repo_name *from,
				  const struct digest *d, const struct repo_name *to, bool move,
				  struct err *e)
{
	AUTO_CLOSURE c = { .n_max = PARTS_MAX };
	enum err_kind k = closure_gather(&c, t->st->index, from, d, true, e);

	if (k == ERR_OK)
		k = copy_gathered(t, &c, from, d, to, NULL, e);
	if (k == ERR_OK && move)
		k = tidy(t, &c, from, e);
	return k == ERR_NOT_FOUND ? ERR_OK : k; /* gone meanwhile */
}

/* Calls fn for each entry of the repository, in order of digest; those that are pushed from now on are left out. */
typedef enum err_kind entry_fn(struct transfer *t, const struct entry_item *item, void *arg,
			       struct err *e);
static enum err_kind each_entry(struct transfer *t, const struct repo_name *repo, entry_fn *fn,
				void *arg, struct err *e)
{
	AUTO_FREE struct entry_item *page = calloc(BATCH, sizeof(*page));
	uint64_t before_ms = wall_ms();
	struct digest last;
	size_t n = BATCH;
	enum err_kind k =
	    page ? ERR_OK : err_set(e, ERR_NO_MEMORY, __func__, "no memory for a page");

	for (bool first = true; k == ERR_OK && n == BATCH; first = false) {
		k = index_entry_page(t->st->index, repo, first ? NULL : &last, BATCH, page, &n, e);
		if (k == ERR_NOT_FOUND)
			return ERR_OK; /* nothing is left of it */
		if (k == ERR_OK)
			k = check_go_on(t, e);
		for (size_t i = 0; i < n && k == ERR_OK; i++) {
			if (page[i].pushed_ms <= before_ms)
				k = fn(t, &page[i], arg, e);
		}
		if (n)
			last = page[n - 1].digest;
	}
	return k;
}

struct journey {
	const struct repo_name *from, *to;
	bool move;
};

static enum err_kind take_along(struct transfer *t, const struct entry_item *item, void *arg,
				struct err *e)
{
	const struct journey *j = arg;

	return item->is_manifest ? one_manifest(t, j->from, &item->digest, j->to, j->move, e)
				 : ERR_OK;
}

enum err_kind transfer_repo(struct transfer *t, const struct repo_name *from,
			    const struct repo_name *to, bool move, struct err *e)
{
	struct journey j = { .from = from, .to = to, .move = move };
	enum err_kind k = index_repo_exists(t->st->index, from, e);

	if (k == ERR_OK && same_repo(from, to))
		return move ? same_place(e) : ERR_OK;
	if (k == ERR_OK)
		k = each_tag(t, from, to, move, e);
	return k == ERR_OK ? each_entry(t, from, take_along, &j, e) : k;
}

/* --- removing --- */

struct removing {
	struct batch batch;
	const struct repo_name *repo;
	enum change_kind kind;
};

static enum err_kind remove_entry(struct transfer *t, const struct entry_item *item, void *arg,
				  struct err *e)
{
	struct removing *r = arg;
	struct change *c;

	if (!(r->kind == CHANGE_MANIFEST_DELETE ? item->is_manifest : item->is_blob))
		return ERR_OK;
	c = &r->batch.changes[r->batch.n++];
	*c = store_change(t->st, r->kind, r->repo);
	c->guard = t->guard;
	c->digest = item->digest;
	return r->batch.n == BATCH ? flush(t, &r->batch, &t->removed, e) : ERR_OK;
}

static enum err_kind remove_kind(struct transfer *t, struct removing *r, enum change_kind kind,
				 struct err *e)
{
	enum err_kind k;

	r->kind = kind;
	k = each_entry(t, r->repo, remove_entry, r, e);
	return k == ERR_OK ? flush(t, &r->batch, &t->removed, e) : k;
}

enum err_kind transfer_remove_repo(struct transfer *t, const struct repo_name *repo, struct err *e)
{
	AUTO_FREE struct removing *r = calloc(1, sizeof(*r));
	enum err_kind k;

	if (!r)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a batch of changes");
	r->repo = repo;
	k = index_repo_exists(t->st->index, repo, e);
	if (k == ERR_OK)
		k = remove_kind(t, r, CHANGE_MANIFEST_DELETE, e);
	return k == ERR_OK ? remove_kind(t, r, CHANGE_BLOB_UNLINK, e) : k;
}
