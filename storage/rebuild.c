#include "storage/rebuild.h"

#include <search.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/hash.h"
#include "storage/blob.h"
#include "storage/newindex.h"
#include "storage/store_impl.h"

#define BATCH_MAX 1024
#define BATCH_BYTES (32u * 1024 * 1024) /* of manifests in one batch */

/* --- what is lost so far --- */

/* Later records may make it good: the content was deleted, the tag pushed again. */
struct loss {
	enum rebuild_lost what;
	struct repo_name repo;
	struct digest digest;
	char name[]; /* the key */
};

static int loss_order(const void *a, const void *b)
{
	return strcmp(((const struct loss *)a)->name, ((const struct loss *)b)->name);
}

struct rebuild {
	struct store *st;
	struct index *ix;
	rebuild_loss_fn *fn;
	void *arg;
	void *losses; /* tree of struct loss (tsearch) */
	struct item *items;
	size_t n_items, item_bytes;
	uint64_t trash_after_ms; /* wall clock: what was removed since can be restored */
	struct rebuild_result result;
};

/* NULL without memory.  Of content the separator is '@', of a tag ':'. */
static struct loss *loss_new(const struct repo_name *repo, char separator, const char *rest)
{
	size_t room = repo->len + 1 + strlen(rest) + 1;
	struct loss *l = calloc(1, sizeof(*l) + room);

	if (l) {
		l->repo = *repo;
		(void)snprintf(l->name, room, "%s%c%s", repo->s, separator, rest);
	}
	return l;
}

static enum err_kind no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "store_rebuild", "no memory to rebuild the index");
}

static enum err_kind lose(struct rebuild *b, enum rebuild_lost what, const struct repo_name *repo,
			  const struct digest *d, const char *rest, struct err *e)
{
	struct loss *fresh = loss_new(repo, what == REBUILD_TAG ? ':' : '@', rest);
	struct loss **at;

	if (!fresh)
		return no_memory(e);
	fresh->what = what;
	fresh->digest = *d;
	at = tsearch(fresh, &b->losses, loss_order);
	if (!at) {
		free(fresh);
		return no_memory(e);
	}
	if (*at != fresh) {
		(*at)->what = what;
		(*at)->digest = *d;
		free(fresh);
	}
	return ERR_OK;
}

static enum err_kind find_again(struct rebuild *b, const struct repo_name *repo, char separator,
				const char *rest, struct err *e)
{
	AUTO_FREE struct loss *key = loss_new(repo, separator, rest);
	struct loss **at, *found;

	if (!key)
		return no_memory(e);
	at = tfind(key, &b->losses, loss_order);
	if (!at)
		return ERR_OK;
	found = *at;
	(void)tdelete(key, &b->losses, loss_order);
	free(found);
	return ERR_OK;
}

/* A tag of a manifest that was deleted after all is not lost. */
static bool is_lost(struct rebuild *b, const struct loss *l)
{
	char text[DIGEST_TEXT_MAX];
	struct loss *manifest;
	bool found;

	if (l->what != REBUILD_TAG)
		return true;
	manifest = loss_new(&l->repo, '@', digest_text(&l->digest, text));
	found = !manifest || tfind(manifest, &b->losses, loss_order);
	free(manifest);
	return found;
}

static void tell_loss(struct rebuild *b, enum rebuild_lost what, const char *name)
{
	const struct rebuild_loss l = { .what = what, .name = name };

	b->result.losses++;
	b->fn(b->arg, &l);
}

static void tell_node(const void *node, VISIT visit, void *arg)
{
	const struct loss *l = *(struct loss *const *)node;
	struct rebuild *b = arg;

	if ((visit == postorder || visit == leaf) && is_lost(b, l))
		tell_loss(b, l->what, l->name);
}

/* --- batches --- */

/* A change with what it borrows. */
struct item {
	struct change c;
	struct manifest manifest;
	struct sbuf body;
	struct tag_name *tags;
};

static void items_clear(struct rebuild *b)
{
	for (size_t i = 0; i < b->n_items; i++) {
		struct item *it = &b->items[i];

		manifest_clear(&it->manifest);
		sbuf_clear(&it->body);
		free(it->tags);
		free(it->c.missing);
	}
	b->n_items = b->item_bytes = 0;
}

/* What is refused was refused by nobody then: it is about something that is lost. */
static enum err_kind apply_items(struct rebuild *b, struct index_txn *t, struct err *e)
{
	for (size_t i = 0; i < b->n_items; i++) {
		enum err_kind k = index_apply(t, &b->items[i].c, e);

		if (k != ERR_OK && !index_refused(k))
			return k;
	}
	return ERR_OK;
}

static enum err_kind try_batch(struct rebuild *b, const struct reflog_mark *mark, struct err *e)
{
	struct change settled = { .kind = CHANGE_SETTLE, .settled = *mark };
	AUTO_INDEX_TXN *t = NULL;
	enum err_kind k = index_begin(b->ix, &t, e);

	if (k == ERR_OK)
		k = apply_items(b, t, e);
	if (k == ERR_OK)
		k = index_mark_put(t, mark, e);
	if (k == ERR_OK)
		k = index_apply(t, &settled, e);
	return k == ERR_OK ? index_commit(&t, e) : k;
}

static enum err_kind flush(struct rebuild *b, const struct reflog_mark *mark, struct err *e)
{
	enum err_kind k;

	while ((k = try_batch(b, mark, e)) != ERR_OK && index_is_full(e)) {
		k = index_recover(b->ix, e);
		if (k == ERR_OK)
			k = index_grow(b->ix, e);
		if (k != ERR_OK)
			break;
	}
	items_clear(b);
	return k;
}

/* Room for one more; the batch before is committed if it is full. */
static enum err_kind next_item(struct rebuild *b, struct item **ret, struct err *e)
{
	const struct reflog_mark none = { .segment = 1 };
	enum err_kind k = ERR_OK;

	if (b->n_items == BATCH_MAX || b->item_bytes >= BATCH_BYTES)
		k = flush(b, &none, e); /* the mark that counts comes last */
	if (k != ERR_OK)
		return k;
	*ret = &b->items[b->n_items++];
	**ret = (struct item){ .body = { .max = SBUF_MAX } };
	return ERR_OK;
}

/* --- records --- */

static struct change change_of(struct rebuild *b, const struct reflog_record *r)
{
	struct change c = store_change(b->st, r->kind, &r->repo);

	c.at_ms = r->at_ms;
	c.digest = r->digest;
	c.size_bytes = r->size_bytes;
	c.by_gc = r->by_gc;
	c.trash = c.trash && r->at_ms > b->trash_after_ms;
	return c;
}

static enum err_kind redo(struct rebuild *b, const struct reflog_record *r, struct err *e)
{
	struct item *it;
	enum err_kind k = next_item(b, &it, e);

	if (k == ERR_OK)
		it->c = change_of(b, r);
	return k;
}

static enum err_kind redo_link(struct rebuild *b, const struct reflog_record *r, struct err *e)
{
	AUTO_CLOSE fd = -1;
	char text[DIGEST_TEXT_MAX];
	enum err_kind k = blob_open(b->st, &r->digest, r->size_bytes, &fd, e);

	digest_text(&r->digest, text);
	if (k == ERR_CORRUPT)
		return lose(b, REBUILD_BLOB, &r->repo, &r->digest, text, e);
	if (k == ERR_OK)
		k = find_again(b, &r->repo, '@', text, e);
	return k == ERR_OK ? redo(b, r, e) : k;
}

/* A manifest that was read, before it has its place in a batch. */
struct found {
	struct sbuf body;
	struct manifest manifest;
};

static void found_clear(struct found *f)
{
	sbuf_clear(&f->body);
	manifest_clear(&f->manifest);
}

/* ERR_CORRUPT if the file is not the manifest that it was. */
static enum err_kind read_manifest(struct rebuild *b, const struct reflog_record *r,
				   struct found *ret, struct err *e)
{
	struct str body;
	struct digest got;
	enum err_kind k = blob_read(b->st, &r->digest, r->size_bytes, &ret->body, e);

	if (k != ERR_OK)
		return k;
	body = (struct str){ ret->body.p, ret->body.n };
	k = hash_bytes((enum digest_alg)r->digest.alg, body.p, body.n, &got, e);
	if (k == ERR_OK && !digest_eq(&got, &r->digest))
		return err_set(e, ERR_CORRUPT, __func__, "a manifest is not what it was");
	if (k == ERR_OK)
		k = manifest_parse(body, str_of(r->media_type), &r->digest, MANIFEST_DEPTH_MAX,
				   &ret->manifest, e);
	return k == ERR_INVALID || k == ERR_UNSUPPORTED
		   ? err_set(e, ERR_CORRUPT, __func__, "a manifest is none")
		   : k;
}

/*
 * Where records are lost, those of a manifest's blobs may be among them.  It was accepted, so they were there, and are
 * linked again if their files are.
 */
static enum err_kind link_refs(struct rebuild *b, const struct reflog_record *r,
			       const struct manifest *m, struct err *e)
{
	enum err_kind k = ERR_OK;

	if (b->result.log.missing == 0)
		return ERR_OK;
	for (size_t i = 0; i < m->n_refs && k == ERR_OK; i++) {
		const struct manifest_ref *ref = &m->refs[i];
		AUTO_CLOSE fd = -1;
		struct item *it;

		if (ref->kind == REF_CHILD)
			continue;
		k = blob_open(b->st, &ref->digest, ref->size_bytes, &fd, e);
		if (k == ERR_OK)
			k = next_item(b, &it, e);
		if (k == ERR_OK) {
			it->c = change_of(b, r);
			it->c.kind = CHANGE_BLOB_LINK;
			it->c.digest = ref->digest;
			it->c.size_bytes = ref->size_bytes;
		}
		if (k == ERR_CORRUPT)
			k = ERR_OK; /* its own record, or nobody, tells of it */
	}
	return k;
}

/* U2 */
static enum err_kind lose_tag(struct rebuild *b, const struct reflog_record *r,
			      const struct tag_name *tag, struct err *e)
{
	struct item *it;
	enum err_kind k = lose(b, REBUILD_TAG, &r->repo, &r->digest, tag->s, e);

	if (k == ERR_OK)
		k = next_item(b, &it, e);
	if (k != ERR_OK)
		return k;
	it->c = change_of(b, r);
	it->c.kind = CHANGE_TAG_DELETE;
	it->c.trash = false;
	it->tags = malloc(sizeof(*it->tags));
	if (!it->tags)
		return no_memory(e);
	*it->tags = *tag;
	it->c.tags = it->tags;
	it->c.n_tags = 1;
	return ERR_OK;
}

static enum err_kind lose_manifest(struct rebuild *b, const struct reflog_record *r, struct err *e)
{
	char text[DIGEST_TEXT_MAX];
	enum err_kind k =
	    lose(b, REBUILD_MANIFEST, &r->repo, &r->digest, digest_text(&r->digest, text), e);

	for (size_t i = 0; i < r->n_tags && k == ERR_OK; i++)
		k = lose_tag(b, r, &r->tags[i], e);
	return k;
}

static enum err_kind tags_found_again(struct rebuild *b, const struct reflog_record *r,
				      struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; i < r->n_tags && k == ERR_OK; i++)
		k = find_again(b, &r->repo, ':', r->tags[i].s, e);
	return k;
}

static enum err_kind copy_tags(const struct reflog_record *r, struct item *it, struct err *e)
{
	it->tags = calloc(r->n_tags + 1, sizeof(*it->tags));
	if (!it->tags)
		return no_memory(e);
	if (r->n_tags)
		memcpy(it->tags, r->tags, r->n_tags * sizeof(*it->tags));
	it->c.tags = it->tags;
	it->c.n_tags = r->n_tags;
	return ERR_OK;
}

/* The batch takes over what was found. */
static enum err_kind put_item(struct rebuild *b, const struct reflog_record *r, struct found *f,
			      struct err *e)
{
	struct item *it;
	enum err_kind k = next_item(b, &it, e);

	if (k == ERR_OK)
		k = copy_tags(r, it, e);
	if (k != ERR_OK)
		return k;
	it->body = f->body;
	it->manifest = f->manifest;
	*f = (struct found){ .body = { .max = 1 } };
	it->c = change_of(b, r);
	it->c.tags = it->tags;
	it->c.n_tags = r->n_tags;
	it->c.manifest = &it->manifest;
	it->c.bytes = (struct str){ it->body.p, it->body.n };
	it->c.pushed_ms = r->pushed_ms;
	it->c.sparse = SPARSE_ALL; /* as it was accepted then */
	b->item_bytes += it->body.n;
	return ERR_OK;
}

static enum err_kind redo_put(struct rebuild *b, const struct reflog_record *r, struct err *e)
{
	CLEANUP(found_clear) struct found f = { .body = { .max = SBUF_MAX } };
	char text[DIGEST_TEXT_MAX];
	enum err_kind k = read_manifest(b, r, &f, e);

	if (k == ERR_CORRUPT)
		return lose_manifest(b, r, e);
	if (k == ERR_OK)
		k = link_refs(b, r, &f.manifest, e);
	if (k == ERR_OK)
		k = put_item(b, r, &f, e);
	if (k == ERR_OK)
		k = find_again(b, &r->repo, '@', digest_text(&r->digest, text), e);
	return k == ERR_OK ? tags_found_again(b, r, e) : k;
}

static enum err_kind redo_tag_delete(struct rebuild *b, const struct reflog_record *r,
				     struct err *e)
{
	struct item *it;
	enum err_kind k = tags_found_again(b, r, e);

	if (k == ERR_OK)
		k = next_item(b, &it, e);
	if (k != ERR_OK)
		return k;
	it->c = change_of(b, r);
	return copy_tags(r, it, e);
}

static enum err_kind on_record(void *arg, const struct reflog_record *r, struct err *e)
{
	struct rebuild *b = arg;
	char text[DIGEST_TEXT_MAX];
	enum err_kind k;

	if (r->kind == CHANGE_BLOB_LINK)
		return redo_link(b, r, e);
	if (r->kind == CHANGE_MANIFEST_PUT)
		return redo_put(b, r, e);
	if (r->kind == CHANGE_TAG_DELETE)
		return redo_tag_delete(b, r, e);
	k = find_again(b, &r->repo, '@', digest_text(&r->digest, text), e);
	return k == ERR_OK ? redo(b, r, e) : k;
}

/* --- files without a record --- */

static enum err_kind check_name(void *arg, const struct digest *d, const char *path, struct err *e)
{
	struct rebuild *b = arg;
	char text[DIGEST_TEXT_MAX];
	struct object_row row;
	enum err_kind k = ERR_NOT_FOUND;

	if (d)
		k = index_object_find(b->ix, d, &row, NULL, e);
	if (k != ERR_NOT_FOUND)
		return k;
	tell_loss(b, REBUILD_UNNAMED, d ? digest_text(d, text) : path);
	return ERR_OK;
}

/* --- all of it --- */

static enum err_kind fill(struct rebuild *b, struct err *e)
{
	struct totals totals;
	struct kv_stat stat;
	enum err_kind k = reflog_read_all(b->st->reflog_fd, on_record, b, &b->result.log, e);

	if (k == ERR_OK)
		k = flush(b, &b->result.log.end, e);
	if (k != ERR_OK)
		return k;
	twalk_r(b->losses, tell_node, b);
	k = blob_list(b->st, check_name, b, e);
	if (k == ERR_OK)
		k = index_stat(b->ix, &stat, e);
	if (k == ERR_OK)
		k = index_totals(b->ix, &totals, e);
	if (k != ERR_OK)
		return k;
	b->result.repos = stat.entries[KV_REPO];
	b->result.tags = stat.entries[KV_TAG];
	b->result.objects = totals.objects;
	b->result.bytes = totals.bytes;
	return ERR_OK;
}

static enum err_kind make_index(struct rebuild *b, struct err *e)
{
	AUTO_FREE char *dir = NULL;
	enum err_kind k = newindex_begin(b->st, &dir, e);

	b->items = calloc(BATCH_MAX, sizeof(*b->items));
	if (k == ERR_OK && !b->items)
		k = no_memory(e);
	if (k == ERR_OK)
		k = index_open(dir, b->st->options.map_bytes, &b->ix, e);
	if (k == ERR_OK)
		k = fill(b, e);
	index_close(&b->ix);
	items_clear(b);
	free(b->items);
	tdestroy(b->losses, free);
	return k == ERR_OK ? newindex_install(b->st, true, e) : k;
}

enum err_kind store_rebuild(const struct store_options *o, rebuild_loss_fn *fn, void *arg,
			    struct rebuild_result *ret, struct err *e)
{
	uint64_t now = wall_ms();
	struct rebuild b = { .fn = fn,
			     .arg = arg,
			     .trash_after_ms = now - MIN(now, o->trash_keep_ms) };
	enum err_kind k = store_attach(o, &b.st, e);

	if (k == ERR_OK)
		k = make_index(&b, e);
	store_close(&b.st);
	*ret = b.result;
	return k;
}
