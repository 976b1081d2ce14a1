#include "base/clock.h"
#include "server/ops.h"
#include "storage/trash.h"

#define BATCH 256

static const char *const kinds[] = {
	[TRASH_MANIFEST] = "manifest",
	[TRASH_BLOB] = "blob",
	[TRASH_TAG] = "tag",
};

static struct jv *tags_value(const struct trash_item *item)
{
	AUTO_JV *list = jv_new_array();
	struct str rest = { item->tags.p, item->tags.n };
	struct tag_name tag;

	while (list && tag_next(&rest, &tag)) {
		if (!jv_append(list, jv_pack("s", tag.s)))
			return NULL;
	}
	return TAKE(list);
}

static void emit_item(struct op_call *c, const struct trash_item *item)
{
	const struct trash_row *r = &item->row;
	char at[TIME_TEXT_MAX], until[TIME_TEXT_MAX], text[DIGEST_TEXT_MAX];

	op_emit(c,
		jv_pack("{s:I, s:s, s:s, s:s, s:o, s:I, s:s, s:s, s:s}", "id", (long long)r->id,
			"what", kinds[r->kind], "repository", r->repo.s, "digest",
			digest_text(&r->digest, text), "tags", tags_value(item), "size",
			(long long)r->size_bytes, "by", r->by_gc ? "gc" : "client", "removed",
			time_text(r->at_ms, at), "until",
			time_text(r->at_ms + store_limits(c->ops->store)->trash_keep_ms, until)));
}

enum err_kind op_trash_ls(struct op_call *c, struct err *e)
{
	uint64_t id = 0, n = 0;

	for (;;) {
		AUTO_TRASH_ITEM item = { 0 };
		enum err_kind k = index_trash_next(store_index(c->ops->store), id, &item, e);

		if (k == ERR_NOT_FOUND || c->listener_gone)
			break;
		if (k != ERR_OK)
			return k;
		emit_item(c, &item);
		id = item.row.id + 1;
		n++;
	}
	op_emit(c, jv_pack("{s:I}", "items", (long long)n));
	return ERR_OK;
}

/* Is it what "REPOSITORY:TAG" or "REPOSITORY@DIGEST" names? */
static bool is_named(const struct trash_item *item, struct str repo, struct str tag,
		     const struct digest *d)
{
	struct str rest = { item->tags.p, item->tags.n };
	struct tag_name t;

	if (!str_eq(repo_name_str(&item->row.repo), repo))
		return false;
	if (tag.n == 0)
		return digest_eq(&item->row.digest, d);
	while (tag_next(&rest, &t)) {
		if (str_eq(tag_name_str(&t), tag))
			return true;
	}
	return false;
}

static enum err_kind find_named(struct op_call *c, struct str name, uint64_t *ret, struct err *e)
{
	struct str repo, tag = { "", 0 }, digest;
	struct digest d = { 0 };
	uint64_t id = 0;
	bool found = false;

	if (str_cut(name, '@', &repo, &digest) ? !digest_parse(&d, digest)
					       : !str_cut(name, ':', &repo, &tag))
		return err_set(e, ERR_INVALID, __func__,
			       "\"%.*s\" is no number, REPOSITORY:TAG or REPOSITORY@DIGEST",
			       (int)MIN(name.n, (size_t)100), name.p);
	for (;;) {
		AUTO_TRASH_ITEM item = { 0 };
		enum err_kind k = index_trash_next(store_index(c->ops->store), id, &item, e);

		if (k == ERR_NOT_FOUND)
			break;
		if (k != ERR_OK)
			return k;
		if (is_named(&item, repo, tag, &d)) { /* the last removed counts */
			*ret = item.row.id;
			found = true;
		}
		id = item.row.id + 1;
	}
	return found ? ERR_OK
		     : err_set(e, ERR_NOT_FOUND, __func__, "the trash has no %.*s",
			       (int)MIN(name.n, (size_t)100), name.p);
}

enum err_kind op_trash_restore(struct op_call *c, struct err *e)
{
	struct str name = { "", 0 };
	uint64_t id;
	enum err_kind k = ERR_OK;

	if (!op_text(c, "item", &name))
		return err_set(e, ERR_INVALID, __func__, "what is to be restored?");
	if (!op_number(c, "item", &id))
		k = find_named(c, name, &id, e);
	if (k == ERR_OK)
		k = trash_restore(c->ops->store, id, c->guard, e);
	if (k == ERR_OK)
		op_emit(c, jv_pack("{s:I}", "restored", (long long)id));
	return k;
}

enum err_kind op_trash_empty(struct op_call *c, struct err *e)
{
	uint64_t total = 0, before = steady_ms() + 1;
	size_t n = BATCH;
	enum err_kind k = ERR_OK;

	while (k == ERR_OK && n == BATCH) {
		k = trash_expire(c->ops->store, before, BATCH, &n, e);
		total += n;
	}
	if (k == ERR_OK)
		op_emit(c, jv_pack("{s:I}", "emptied", (long long)total));
	return k;
}
