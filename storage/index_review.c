#include "storage/index_impl.h"

enum err_kind index_totals(struct index *ix, struct totals *ret, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	return k == ERR_OK ? index_get_totals(t, ret, e) : k;
}

enum err_kind index_repo_by_id(struct index *ix, uint64_t repo, struct repo_name *ret,
			       struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	if (k == ERR_OK)
		k = index_get_repo_name(t, repo, ret, e);
	return k == ERR_NOT_FOUND ? err_set(e, k, __func__, "no such repository") : k;
}

enum err_kind index_review_page(struct index *ix, const struct review_row *after, uint64_t until_ms,
				size_t n, struct review_row *ret, size_t *ret_n, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	AUTO_KV_CURSOR *c = NULL;
	struct review_row first = { .digest = { .alg = DIGEST_SHA256 } };
	struct key from = review_key(after ? after : &first);
	struct str key, value;
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	*ret_n = 0;
	if (k == ERR_OK)
		k = kv_cursor_open(t, KV_REVIEW, &c, e);
	if (k != ERR_OK)
		return k;
	k = kv_seek(c, key_str(&from), &key, &value, e);
	if (k == ERR_OK && after && str_eq(key, key_str(&from)))
		k = kv_next(c, &key, &value, e);
	for (; k == ERR_OK && *ret_n < n; k = kv_next(c, &key, &value, e)) {
		if (!review_row_unpack(key, value, &ret[*ret_n]))
			return index_bad_value(e, "review");
		if (ret[*ret_n].due_ms > until_ms)
			break;
		(*ret_n)++;
	}
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

enum err_kind index_doomed_page(struct index *ix, const struct digest *after, size_t n,
				struct digest *ret, size_t *ret_n, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	AUTO_KV_CURSOR *c = NULL;
	struct key from = { 0 };
	struct str key, value;
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	*ret_n = 0;
	if (k == ERR_OK)
		k = kv_cursor_open(t, KV_DOOMED, &c, e);
	if (k != ERR_OK)
		return k;
	if (after)
		key_digest(&from, after);
	else
		key_u8(&from, 0);
	k = kv_seek(c, key_str(&from), &key, &value, e);
	if (k == ERR_OK && after && str_eq(key, key_str(&from)))
		k = kv_next(c, &key, &value, e);
	for (; k == ERR_OK && *ret_n < n; k = kv_next(c, &key, &value, e)) {
		if (!unpack_digest(&key, &ret[*ret_n]) || key.n)
			return index_bad_value(e, "doomed");
		(*ret_n)++;
	}
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

void trash_item_clear(struct trash_item *i)
{
	sbuf_clear(&i->tags);
	sbuf_clear(&i->refs);
}

enum err_kind index_trash_next(struct index *ix, uint64_t id, struct trash_item *ret, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	AUTO_KV_CURSOR *c = NULL;
	struct key from = { 0 };
	struct str key, value, tags, refs;
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	if (k == ERR_OK)
		k = kv_cursor_open(t, KV_TRASH, &c, e);
	if (k != ERR_OK)
		return k;
	key_u64(&from, id);
	k = kv_seek(c, key_str(&from), &key, &value, e);
	if (k == ERR_NOT_FOUND)
		return err_set(e, k, __func__, "the trash has nothing more");
	if (k == ERR_OK && !trash_row_unpack(key, value, &ret->row, &tags, &refs))
		return index_bad_value(e, "trash");
	if (k != ERR_OK)
		return k;
	sbuf_init(&ret->tags, SBUF_MAX);
	sbuf_init(&ret->refs, SBUF_MAX);
	sbuf_add_str(&ret->tags, tags);
	sbuf_add_str(&ret->refs, refs);
	if (ret->tags.failed || ret->refs.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the trash");
	return ERR_OK;
}

enum err_kind index_trash_find(struct index *ix, const struct repo_name *repo,
			       const struct digest *d, uint64_t *ret_id, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	AUTO_KV_CURSOR *c = NULL;
	struct key prefix = content_key(d, CONTENT_TRASH);
	struct str key, value, row, tags, refs;
	struct trash_row v;
	bool found = false;
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	if (k == ERR_OK)
		k = kv_cursor_open(t, KV_CONTENT, &c, e);
	if (k == ERR_OK)
		k = kv_seek(c, key_str(&prefix), &key, &value, e);
	for (; k == ERR_OK && str_starts(key, key_str(&prefix)); k = kv_next(c, &key, &value, e)) {
		struct str id = { key.p + prefix.n, key.n - prefix.n };

		k = kv_get(t, KV_TRASH, id, &row, e);
		if (k == ERR_NOT_FOUND ||
		    (k == ERR_OK && !trash_row_unpack(id, row, &v, &tags, &refs)))
			return index_bad_value(e, "trash");
		if (k != ERR_OK)
			return k;
		if (v.kind == TRASH_MANIFEST && digest_eq(&v.digest, d) &&
		    str_eq(repo_name_str(&v.repo), repo_name_str(repo))) {
			*ret_id = v.id;
			found = true;
		}
	}
	if (k != ERR_OK && k != ERR_NOT_FOUND)
		return k;
	return found ? ERR_OK
		     : err_set(e, ERR_NOT_FOUND, __func__, "not in the trash of %s", repo->s);
}
