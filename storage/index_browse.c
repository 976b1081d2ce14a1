#include "storage/index_impl.h"

/* Seeks what follows key, whatever begins with it left out. */
static enum err_kind seek_past(struct kv_cursor *c, struct key *key, struct str *ret_key,
			       struct str *ret_value, struct err *e)
{
	key_u8(key, 0xff); /* no kind of row is so great */
	return kv_seek(c, key_str(key), ret_key, ret_value, e);
}

enum err_kind index_repo_rows(struct index *ix, struct str after, size_t n, struct repo_item *ret,
			      size_t *ret_n, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	AUTO_KV_CURSOR *c = NULL;
	struct key from = { 0 };
	struct str key, value;
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	*ret_n = 0;
	if (k == ERR_OK)
		k = kv_cursor_open(t, KV_REPO, &c, e);
	if (k != ERR_OK)
		return k;
	key_text(&from, (struct str){ after.p, MIN(after.n, (size_t)REPO_NAME_MAX + 1) });
	k = kv_seek(c, key_str(&from), &key, &value, e);
	if (k == ERR_OK && after.n && str_eq(key, key_str(&from)))
		k = kv_next(c, &key, &value, e);
	for (; k == ERR_OK && *ret_n < n; k = kv_next(c, &key, &value, e)) {
		struct repo_item *item = &ret[(*ret_n)++];

		if (!repo_name_parse(&item->name, key) || !repo_row_unpack(value, &item->row))
			return index_bad_value(e, "repo");
	}
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

enum err_kind index_repo_find(struct index *ix, const struct repo_name *repo, struct repo_row *ret,
			      struct err *e)
{
	AUTO_KV_TXN *t = NULL;

	return index_begin_in_repo(ix, repo, &t, ret, e);
}

/* What the repository has of the digest, as what, and since when. */
static enum err_kind read_kinds(struct kv_txn *t, uint64_t repo, struct entry_item *item,
				struct err *e)
{
	struct key link = entry_key(repo, &item->digest, ENTRY_LINK);
	struct manifest_row row = { 0 };
	uint64_t linked_ms = 0;
	struct str found, refs;
	enum err_kind k = kv_get(t, KV_ENTRY, key_str(&link), &found, e);

	item->is_blob = k == ERR_OK;
	if (k == ERR_OK && !u64_unpack(found, &linked_ms))
		return index_bad_value(e, "entry");
	if (k == ERR_OK || k == ERR_NOT_FOUND)
		k = index_get_manifest(t, repo, &item->digest, &row, &refs, e);
	item->is_manifest = k == ERR_OK;
	item->pushed_ms = row.pushed_ms > linked_ms ? row.pushed_ms : linked_ms;
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

/* The rows of one digest, of which the cursor is at the first; it is at the next digest's afterwards. */
static enum err_kind read_entry(struct kv_txn *t, struct kv_cursor *c, uint64_t repo,
				struct entry_item *item, struct str *key, struct str *value,
				struct err *e)
{
	struct object_row object = { 0 };
	struct key rows = entry_key(repo, &item->digest, ENTRY_REVIEW);
	enum err_kind k = read_kinds(t, repo, item, e);

	if (k == ERR_OK)
		k = index_get_object(t, &item->digest, &object, e);
	item->size_bytes = object.size_bytes;
	rows.n--; /* without the kind */
	return k == ERR_OK || k == ERR_NOT_FOUND ? seek_past(c, &rows, key, value, e) : k;
}

enum err_kind index_entry_page(struct index *ix, const struct repo_name *repo,
			       const struct digest *after, size_t n, struct entry_item *ret,
			       size_t *ret_n, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	AUTO_KV_CURSOR *c = NULL;
	struct repo_row r;
	struct key from = { 0 };
	struct str key, value;
	enum err_kind k = index_begin_in_repo(ix, repo, &t, &r, e);

	*ret_n = 0;
	if (k == ERR_OK)
		k = kv_cursor_open(t, KV_ENTRY, &c, e);
	if (k != ERR_OK)
		return k;
	key_u64(&from, r.id);
	if (after)
		key_digest(&from, after);
	k = after ? seek_past(c, &from, &key, &value, e)
		  : kv_seek(c, key_str(&from), &key, &value, e);
	while (k == ERR_OK && *ret_n < n) {
		struct entry_item *item = &ret[*ret_n];
		uint64_t id;

		if (!unpack_u64(&key, &id) || (id == r.id && !unpack_digest(&key, &item->digest)))
			return index_bad_value(e, "entry");
		if (id != r.id)
			break;
		k = read_entry(t, c, r.id, item, &key, &value, e);
		*ret_n += item->is_blob || item->is_manifest;
	}
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

enum err_kind index_content_count(struct index *ix, const struct digest *after, size_t n,
				  struct content_count *sum, struct digest *ret_last, size_t *ret_n,
				  struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	AUTO_KV_CURSOR *c = NULL;
	struct key from = { 0 };
	struct str key, value;
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	*ret_n = 0;
	if (k == ERR_OK)
		k = kv_cursor_open(t, KV_CONTENT, &c, e);
	if (k != ERR_OK)
		return k;
	if (after)
		key_digest(&from, after);
	k = after ? seek_past(c, &from, &key, &value, e)
		  : kv_seek(c, key_str(&from), &key, &value, e);
	for (; k == ERR_OK && *ret_n < n; (*ret_n)++) {
		struct key places, rows = { 0 };
		struct object_row object = { 0 };
		uint8_t bits = 0, kind;

		if (!unpack_digest(&key, ret_last) || !unpack_u8(&key, &kind) ||
		    (kind == CONTENT_OBJECT && !object_row_unpack(value, &object)))
			return index_bad_value(e, "content");
		places = content_key(ret_last, CONTENT_PLACE);
		k = kv_seek(c, key_str(&places), &key, &value, e);
		if (k == ERR_OK && str_starts(key, key_str(&places)) && !unpack_u8(&value, &bits))
			return index_bad_value(e, "content");
		sum->manifests += (bits & PLACE_MANIFEST) != 0;
		sum->blobs += bits == PLACE_LINK;
		sum->unplaced += bits == 0;
		sum->unplaced_bytes += bits == 0 ? object.size_bytes : 0;
		key_digest(&rows, ret_last);
		if (k == ERR_OK)
			k = seek_past(c, &rows, &key, &value, e);
	}
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

enum err_kind index_manifest_look(struct index *ix, const struct repo_name *repo,
				  const struct digest *d, struct manifest_row *ret,
				  struct sbuf *ret_refs, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	struct repo_row r;
	struct str refs;
	enum err_kind k = index_begin_in_repo(ix, repo, &t, &r, e);

	if (k != ERR_OK)
		return k;
	k = index_get_manifest(t, r.id, d, ret, &refs, e);
	if (k == ERR_NOT_FOUND)
		return index_refuse(e, k, "no manifest", d, repo);
	if (k != ERR_OK)
		return k;
	sbuf_add_str(ret_refs, refs);
	return ret_refs->failed ? err_set(e, ERR_NO_MEMORY, __func__, "no memory for references")
				: ERR_OK;
}

enum err_kind index_referrer_page(struct index *ix, const struct repo_name *repo,
				  const struct digest *subject, const struct referrer_mark *after,
				  size_t n, struct referrer_mark *ret, size_t *ret_n, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	AUTO_KV_CURSOR *c = NULL;
	struct key prefix, from;
	struct repo_row r;
	struct str key, value;
	enum err_kind k = index_begin_in_repo(ix, repo, &t, &r, e);

	*ret_n = 0;
	if (k == ERR_OK)
		k = kv_cursor_open(t, KV_ENTRY, &c, e);
	if (k != ERR_OK)
		return k;
	prefix = from = entry_key(r.id, subject, ENTRY_REFERRER);
	if (after) {
		key_u64(&from, after->type_hash);
		key_digest(&from, &after->manifest);
	}
	k = kv_seek(c, key_str(&from), &key, &value, e);
	if (k == ERR_OK && after && str_eq(key, key_str(&from)))
		k = kv_next(c, &key, &value, e);
	for (; k == ERR_OK && *ret_n < n && str_starts(key, key_str(&prefix));
	     k = kv_next(c, &key, &value, e)) {
		struct referrer_mark *m = &ret[(*ret_n)++];
		struct str rest = { key.p + prefix.n, key.n - prefix.n };

		if (!unpack_u64(&rest, &m->type_hash) || !unpack_digest(&rest, &m->manifest))
			return index_bad_value(e, "entry");
	}
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

static bool unpack_holder(struct str key, struct str value, struct holder *ret)
{
	uint8_t kind;

	*ret = (struct holder){ 0 };
	if (!unpack_u8(&key, &kind))
		return false;
	if (kind == ENTRY_TAGGED) {
		ret->is_tag = true;
		return tag_name_parse(&ret->tag, key);
	}
	return unpack_u8(&value, &ret->ref_kind) && unpack_digest(&value, &ret->manifest);
}

enum err_kind index_holders(struct index *ix, const struct repo_name *repo, const struct digest *d,
			    holder_fn *fn, void *arg, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	AUTO_KV_CURSOR *c = NULL;
	struct key from, end;
	struct repo_row r;
	struct str key, value, prefix;
	enum err_kind k = index_begin_in_repo(ix, repo, &t, &r, e);

	if (k == ERR_OK)
		k = kv_cursor_open(t, KV_ENTRY, &c, e);
	if (k != ERR_OK)
		return k;
	from = entry_key(r.id, d, ENTRY_TAGGED);
	end = entry_key(r.id, d, ENTRY_REFERRER);
	prefix = (struct str){ (const char *)from.b, from.n - 1 };
	for (k = kv_seek(c, key_str(&from), &key, &value, e);
	     k == ERR_OK && str_starts(key, prefix) && !str_starts(key, key_str(&end));
	     k = kv_next(c, &key, &value, e)) {
		struct holder h;

		if (!unpack_holder((struct str){ key.p + prefix.n, key.n - prefix.n }, value, &h))
			return index_bad_value(e, "entry");
		if (!fn(arg, &h))
			return ERR_OK;
	}
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

enum err_kind index_places(struct index *ix, const struct digest *d, place_fn *fn, void *arg,
			   struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	AUTO_KV_CURSOR *c = NULL;
	struct key prefix = content_key(d, CONTENT_PLACE);
	struct str key, value;
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	if (k == ERR_OK)
		k = kv_cursor_open(t, KV_CONTENT, &c, e);
	if (k != ERR_OK)
		return k;
	for (k = kv_seek(c, key_str(&prefix), &key, &value, e);
	     k == ERR_OK && str_starts(key, key_str(&prefix)); k = kv_next(c, &key, &value, e)) {
		struct repo_name repo;
		uint8_t bits;

		if (!unpack_u8(&value, &bits) || !repo_name_parse(&repo, value))
			return index_bad_value(e, "content");
		if (!fn(arg, &repo))
			return ERR_OK;
	}
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}
