#include "storage/index_impl.h"

#define READERS_MAX 256

static const struct str version_key = { "format", 6 };

enum err_kind index_bad_value(struct err *e, const char *table)
{
	return err_set(e, ERR_CORRUPT, __func__, "index: a value in table %s breaks its format",
		       table);
}

static enum err_kind check_version(struct kv *kv, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	struct str found;
	struct row r;
	uint64_t version;
	enum err_kind k = kv_write_begin(kv, &t, e);

	if (k != ERR_OK)
		return k;
	k = kv_get(t, KV_META, version_key, &found, e);
	if (k == ERR_NOT_FOUND) {
		u64_pack(&r, INDEX_FORMAT_VERSION);
		k = kv_put(t, KV_META, version_key, row_str(&r), e);
		return k == ERR_OK ? kv_write_commit(&t, e) : k;
	}
	if (k != ERR_OK)
		return k;
	if (!u64_unpack(found, &version))
		return index_bad_value(e, "meta");
	if (version != INDEX_FORMAT_VERSION)
		return err_set(e, ERR_UNSUPPORTED, __func__,
			       "the index has format %llu, this berthd knows %d",
			       (unsigned long long)version, INDEX_FORMAT_VERSION);
	return ERR_OK;
}

enum err_kind index_open(const char *dir, uint64_t map_bytes, struct index **ret, struct err *e)
{
	struct index *ix = calloc(1, sizeof(*ix));
	enum err_kind k;

	if (!ix)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the index");
	lock_init(&ix->quotas_mu, LOCK_QUOTAS);
	k = kv_open(dir, map_bytes, READERS_MAX, &ix->kv, e);
	if (k == ERR_OK)
		k = check_version(ix->kv, e);
	if (k != ERR_OK) {
		index_close(&ix);
		return k;
	}
	*ret = ix;
	return ERR_OK;
}

void index_close(struct index **ix)
{
	struct index *p = TAKE(*ix);

	if (!p)
		return;
	kv_close(&p->kv);
	quotas_put(&p->quotas);
	lock_clear(&p->quotas_mu);
	free(p);
}

enum err_kind index_copy(struct index *ix, int fd, struct err *e)
{
	return kv_copy(ix->kv, fd, e);
}

enum err_kind index_stat(struct index *ix, struct kv_stat *ret, struct err *e)
{
	return kv_stat(ix->kv, ret, e);
}

enum err_kind index_get_repo(struct kv_txn *t, const struct repo_name *repo, struct repo_row *ret,
			     struct err *e)
{
	struct str v;
	enum err_kind k = kv_get(t, KV_REPO, repo_name_str(repo), &v, e);

	if (k == ERR_OK && !repo_row_unpack(v, ret))
		return index_bad_value(e, "repo");
	return k;
}

enum err_kind index_get_tag(struct kv_txn *t, uint64_t repo, const struct tag_name *tag,
			    struct tag_row *ret, struct err *e)
{
	struct key key = { 0 };
	struct str v;
	enum err_kind k;

	key_u64(&key, repo);
	key_text(&key, tag_name_str(tag));
	k = kv_get(t, KV_TAG, key_str(&key), &v, e);
	if (k == ERR_OK && !tag_row_unpack(v, ret))
		return index_bad_value(e, "tag");
	return k;
}

enum err_kind index_get_manifest(struct kv_txn *t, uint64_t repo, const struct digest *d,
				 struct manifest_row *ret, struct str *ret_refs, struct err *e)
{
	struct key key = entry_key(repo, d, ENTRY_MANIFEST);
	struct str v;
	enum err_kind k = kv_get(t, KV_ENTRY, key_str(&key), &v, e);

	if (k == ERR_OK && !manifest_row_unpack(v, ret, ret_refs))
		return index_bad_value(e, "entry");
	return k;
}

enum err_kind index_has_link(struct kv_txn *t, uint64_t repo, const struct digest *d, struct err *e)
{
	struct key key = entry_key(repo, d, ENTRY_LINK);
	struct str v;

	return kv_get(t, KV_ENTRY, key_str(&key), &v, e);
}

enum err_kind index_get_repo_name(struct kv_txn *t, uint64_t repo, struct repo_name *ret,
				  struct err *e)
{
	struct key key = { 0 };
	struct str v;
	enum err_kind k;

	key_u64(&key, repo);
	k = kv_get(t, KV_REPO_NAME, key_str(&key), &v, e);
	if (k == ERR_OK && !repo_name_parse(ret, v))
		return index_bad_value(e, "repo-name");
	return k;
}

enum err_kind index_first(struct kv_txn *t, enum kv_table table, const struct key *prefix,
			  struct key *ret_first, struct err *e)
{
	AUTO_KV_CURSOR *c = NULL;
	struct str key, value;
	enum err_kind k = kv_cursor_open(t, table, &c, e);

	if (k == ERR_OK)
		k = kv_seek(c, key_str(prefix), &key, &value, e);
	if (k != ERR_OK)
		return k;
	if (!str_starts(key, key_str(prefix)))
		return ERR_NOT_FOUND;
	if (ret_first) {
		ret_first->n = 0;
		key_text(ret_first, key);
	}
	return ERR_OK;
}

enum err_kind index_get_totals(struct kv_txn *t, struct totals *ret, struct err *e)
{
	struct str v;
	enum err_kind k = kv_get(t, KV_META, TOTALS_KEY, &v, e);

	*ret = (struct totals){ 0 };
	if (k == ERR_OK && !totals_unpack(v, ret))
		return index_bad_value(e, "meta");
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

/* Is there an entry of the digest of a kind between the two? */
static enum err_kind has_kind(struct kv_txn *t, uint64_t repo, const struct digest *d,
			      enum entry_kind first, enum entry_kind last, bool *ret, struct err *e)
{
	AUTO_KV_CURSOR *c = NULL;
	struct key from = entry_key(repo, d, first);
	struct str key, value, prefix = { (const char *)from.b, from.n - 1 };
	enum err_kind k = kv_cursor_open(t, KV_ENTRY, &c, e);

	*ret = false;
	if (k == ERR_OK)
		k = kv_seek(c, key_str(&from), &key, &value, e);
	if (k != ERR_OK)
		return k == ERR_NOT_FOUND ? ERR_OK : k;
	*ret = str_starts(key, prefix) && key.n > prefix.n && (uint8_t)key.p[prefix.n] <= last;
	return ERR_OK;
}

enum err_kind index_has_entry(struct kv_txn *t, uint64_t repo, const struct digest *d, bool *ret,
			      struct err *e)
{
	return has_kind(t, repo, d, ENTRY_LINK, ENTRY_MANIFEST, ret, e);
}

enum err_kind index_is_held(struct kv_txn *t, uint64_t repo, const struct digest *d, bool *ret,
			    struct err *e)
{
	return has_kind(t, repo, d, ENTRY_TAGGED, ENTRY_HELD, ret, e);
}

enum err_kind index_get_object(struct kv_txn *t, const struct digest *d, struct object_row *ret,
			       struct err *e)
{
	struct key key = content_key(d, CONTENT_OBJECT);
	struct str v;
	enum err_kind k = kv_get(t, KV_CONTENT, key_str(&key), &v, e);

	if (k == ERR_OK && !object_row_unpack(v, ret))
		return index_bad_value(e, "content");
	return k;
}

enum err_kind index_begin_in_repo(struct index *ix, const struct repo_name *repo, struct kv_txn **t,
				  struct repo_row *ret, struct err *e)
{
	enum err_kind k = kv_read_begin(ix->kv, t, e);

	if (k == ERR_OK)
		k = index_get_repo(*t, repo, ret, e);
	return k == ERR_NOT_FOUND
		   ? err_set(e, k, __func__, "repository %.150s is not known", repo->s)
		   : k;
}

/* A copy, or NULL for a manifest too large for the index. */
static enum err_kind read_bytes(struct kv_txn *t, const struct digest *d, uint64_t size, char **ret,
				struct err *e)
{
	struct key key = content_key(d, CONTENT_BYTES);
	struct str v;
	enum err_kind k = kv_get(t, KV_CONTENT, key_str(&key), &v, e);

	*ret = NULL;
	if (k != ERR_OK)
		return k == ERR_NOT_FOUND ? ERR_OK : k;
	if (v.n != size)
		return index_bad_value(e, "content");
	*ret = malloc(v.n + 1);
	if (!*ret)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a manifest");
	memcpy(*ret, v.p, v.n);
	(*ret)[v.n] = '\0';
	return ERR_OK;
}

enum err_kind index_manifest_find(struct index *ix, const struct repo_name *repo,
				  const struct tag_name *tag, const struct digest *d,
				  struct manifest_info *ret, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	struct repo_row r;
	struct tag_row tr;
	struct manifest_row mr;
	struct manifest_info info = { 0 };
	struct str refs;
	enum err_kind k = index_begin_in_repo(ix, repo, &t, &r, e);

	if (k != ERR_OK)
		return k;
	if (tag) {
		k = index_get_tag(t, r.id, tag, &tr, e);
		if (k == ERR_NOT_FOUND)
			return err_set(e, k, __func__, "no tag %s in %.100s", tag->s, repo->s);
		if (k != ERR_OK)
			return k;
		d = &tr.digest;
	}
	k = index_get_manifest(t, r.id, d, &mr, &refs, e);
	if (k == ERR_NOT_FOUND)
		return err_set(e, k, __func__, "no such manifest in %s", repo->s);
	if (k != ERR_OK)
		return k;
	info.repo = r.id;
	info.digest = *d;
	info.size_bytes = mr.size_bytes;
	info.pushed_ms = mr.pushed_ms;
	memcpy(info.media_type, mr.media_type, sizeof(info.media_type));
	info.held = tag != NULL;
	if (!tag)
		k = index_is_held(t, r.id, d, &info.held, e);
	if (k == ERR_OK)
		k = read_bytes(t, d, info.size_bytes, &info.bytes, e);
	if (k == ERR_OK)
		*ret = info;
	return k;
}

enum err_kind index_blob_find(struct index *ix, const struct repo_name *repo,
			      const struct digest *d, struct blob_info *ret, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	struct object_row object = { 0 };
	struct blob_info info;
	struct repo_row r;
	enum err_kind k = index_begin_in_repo(ix, repo, &t, &r, e);

	if (k == ERR_OK) {
		k = index_has_link(t, r.id, d, e);
		if (k == ERR_NOT_FOUND)
			return err_set(e, k, __func__, "no such blob in %s", repo->s);
	}
	if (k != ERR_OK)
		return k;
	info.repo = r.id;
	k = index_get_object(t, d, &object, e);
	if (k == ERR_NOT_FOUND)
		return index_bad_value(e, "content");
	info.size_bytes = object.size_bytes;
	info.is_damaged = object.damaged_ms != 0;
	if (k == ERR_OK)
		k = index_is_held(t, r.id, d, &info.held, e);
	if (k == ERR_OK)
		*ret = info;
	return k;
}

enum err_kind index_repo_exists(struct index *ix, const struct repo_name *repo, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	struct repo_row r;

	return index_begin_in_repo(ix, repo, &t, &r, e);
}

void name_page_clear(struct name_page *p)
{
	sbuf_clear(&p->names);
	p->n = 0;
}

/* Names that follow prefix in the keys of a table, after the one given. */
static enum err_kind page_of(struct kv_txn *t, enum kv_table table, struct str prefix,
			     struct str after, size_t n, struct name_page *p, struct err *e)
{
	AUTO_KV_CURSOR *c = NULL;
	struct key from = { 0 };
	struct str key, value;
	enum err_kind k = kv_cursor_open(t, table, &c, e);

	if (k != ERR_OK)
		return k;
	key_text(&from, prefix);
	key_text(&from, after);
	k = kv_seek(c, key_str(&from), &key, &value, e);
	if (k == ERR_OK && after.n && str_eq(key, key_str(&from)))
		k = kv_next(c, &key, &value, e);
	for (; k == ERR_OK && str_starts(key, prefix); k = kv_next(c, &key, &value, e)) {
		if (p->n == n) {
			p->more = true;
			break;
		}
		sbuf_add(&p->names, key.p + prefix.n, key.n - prefix.n);
		sbuf_add(&p->names, "", 1);
		p->n++;
	}
	if (k != ERR_OK && k != ERR_NOT_FOUND)
		return k;
	if (p->names.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a page of names");
	return ERR_OK;
}

/* A name longer than any valid one sorts where its first bytes do; keys have no room for more. */
static struct str bounded(struct str name)
{
	return (struct str){ name.p, MIN(name.n, (size_t)REPO_NAME_MAX + 1) };
}

enum err_kind index_tag_page(struct index *ix, const struct repo_name *repo, struct str after,
			     size_t n, struct name_page *p, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	struct repo_row r;
	struct key prefix = { 0 };
	enum err_kind k = index_begin_in_repo(ix, repo, &t, &r, e);

	if (k != ERR_OK)
		return k;
	key_u64(&prefix, r.id);
	return page_of(t, KV_TAG, key_str(&prefix), bounded(after), n, p, e);
}

enum err_kind index_repo_page(struct index *ix, struct str after, size_t n, struct name_page *p,
			      struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	struct key first = { 0 };
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	if (k != ERR_OK)
		return k;
	after = bounded(after);
	if (after.n == 0) { /* LMDB has no empty keys; no name sorts before this byte */
		key_text(&first, STR("\x01"));
		after = key_str(&first);
	}
	return page_of(t, KV_REPO, (struct str){ "", 0 }, after, n, p, e);
}

enum err_kind index_tag_find(struct index *ix, const struct repo_name *repo,
			     const struct tag_name *tag, struct tag_row *ret, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	struct repo_row r;
	enum err_kind k = index_begin_in_repo(ix, repo, &t, &r, e);

	if (k == ERR_OK)
		k = index_get_tag(t, r.id, tag, ret, e);
	return k == ERR_NOT_FOUND ? err_set(e, k, __func__, "no tag %s in %.100s", tag->s, repo->s)
				  : k;
}

enum err_kind index_tag_rows(struct index *ix, const struct repo_name *repo,
			     const struct tag_name *after, size_t n, struct tag_item *ret,
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
		k = kv_cursor_open(t, KV_TAG, &c, e);
	if (k != ERR_OK)
		return k;
	key_u64(&from, r.id);
	if (after)
		key_text(&from, tag_name_str(after));
	k = kv_seek(c, key_str(&from), &key, &value, e);
	if (k == ERR_OK && after && str_eq(key, key_str(&from)))
		k = kv_next(c, &key, &value, e);
	for (; k == ERR_OK && *ret_n < n; k = kv_next(c, &key, &value, e)) {
		struct tag_item *item = &ret[*ret_n];
		uint64_t id;

		if (!unpack_u64(&key, &id) || !tag_name_parse(&item->name, key) ||
		    !tag_row_unpack(value, &item->row))
			return index_bad_value(e, "tag");
		if (id != r.id)
			break;
		(*ret_n)++;
	}
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

/* Splits what follows repository and subject in a key of the referrer table. */
static bool unpack_mark(struct str rest, struct referrer_mark *ret)
{
	return unpack_u64(&rest, &ret->type_hash) && unpack_digest(&rest, &ret->manifest) &&
	       rest.n == 0;
}

struct referrer_scan {
	struct str prefix, type;
	referrer_add_fn *add;
	void *arg;
	bool more;
	struct referrer_mark last;
};

static enum err_kind scan_referrers(struct kv_cursor *c, const struct key *from,
				    const struct referrer_mark *after, struct referrer_scan *s,
				    struct err *e)
{
	struct str key, value, type, descriptor;
	enum err_kind k = kv_seek(c, key_str(from), &key, &value, e);

	if (k == ERR_OK && after && str_eq(key, key_str(from)))
		k = kv_next(c, &key, &value, e);
	for (; k == ERR_OK && str_starts(key, s->prefix); k = kv_next(c, &key, &value, e)) {
		struct str rest = { key.p + s->prefix.n, key.n - s->prefix.n };
		struct referrer_mark at;

		if (s->type.n) { /* the prefix ends with the hash of the type */
			rest = (struct str){ rest.p - 8, rest.n + 8 };
		}
		if (!unpack_mark(rest, &at) || !referrer_unpack(value, &type, &descriptor))
			return index_bad_value(e, "entry");
		if (s->type.n && !str_eq(type, s->type))
			continue;
		if (!s->add(s->arg, descriptor)) {
			s->more = true;
			return ERR_OK;
		}
		s->last = at;
	}
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

enum err_kind index_referrers(struct index *ix, const struct repo_name *repo,
			      const struct digest *subject, struct str type,
			      const struct referrer_mark *after, referrer_add_fn *add, void *arg,
			      bool *ret_more, struct referrer_mark *ret_last, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	AUTO_KV_CURSOR *c = NULL;
	struct referrer_scan s = { .type = type, .add = add, .arg = arg };
	struct key prefix, from;
	struct repo_row r;
	enum err_kind k = index_begin_in_repo(ix, repo, &t, &r, e);

	*ret_more = false;
	if (k != ERR_OK)
		return k;
	k = kv_cursor_open(t, KV_ENTRY, &c, e);
	if (k != ERR_OK)
		return k;
	prefix = entry_key(r.id, subject, ENTRY_REFERRER);
	from = prefix;
	if (type.n)
		key_u64(&prefix, artifact_type_hash(type));
	if (after) {
		key_u64(&from, after->type_hash);
		key_digest(&from, &after->manifest);
	} else {
		from = prefix;
	}
	s.prefix = key_str(&prefix);
	k = scan_referrers(c, &from, after, &s, e);
	*ret_more = s.more;
	*ret_last = s.last;
	return k;
}

enum err_kind index_upload_find(struct index *ix, const struct upload_id *id,
				struct upload_row *ret, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	struct key key = { 0 };
	struct str v;
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	if (k != ERR_OK)
		return k;
	key_upload(&key, id);
	k = kv_get(t, KV_UPLOAD, key_str(&key), &v, e);
	if (k == ERR_NOT_FOUND)
		return err_set(e, k, __func__, "no such upload session");
	if (k == ERR_OK && !upload_row_unpack(v, ret))
		return index_bad_value(e, "upload");
	return k;
}

enum err_kind index_upload_page(struct index *ix, const struct upload_id *after, size_t n,
				struct upload_id *ret, size_t *ret_n, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	AUTO_KV_CURSOR *c = NULL;
	struct upload_id zero = { { 0 } };
	struct key from = { 0 };
	struct str key, value;
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	*ret_n = 0;
	if (k == ERR_OK)
		k = kv_cursor_open(t, KV_UPLOAD, &c, e);
	if (k != ERR_OK)
		return k;
	key_upload(&from, after ? after : &zero);
	k = kv_seek(c, key_str(&from), &key, &value, e);
	if (k == ERR_OK && after && str_eq(key, key_str(&from)))
		k = kv_next(c, &key, &value, e);
	for (; k == ERR_OK && *ret_n < n; k = kv_next(c, &key, &value, e)) {
		if (key.n != sizeof(ret->bytes))
			return index_bad_value(e, "upload");
		memcpy(ret[(*ret_n)++].bytes, key.p, key.n);
	}
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

enum err_kind index_object_find(struct index *ix, const struct digest *d, struct object_row *ret,
				char **ret_bytes, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	if (k == ERR_OK)
		k = index_get_object(t, d, ret, e);
	return k == ERR_OK && ret_bytes ? read_bytes(t, d, ret->size_bytes, ret_bytes, e) : k;
}

static enum err_kind read_mark(struct index *ix, struct str key, struct reflog_mark *ret,
			       struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	struct str v;
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	if (k == ERR_OK)
		k = kv_get(t, KV_META, key, &v, e);
	if (k == ERR_NOT_FOUND) {
		*ret = (struct reflog_mark){ .segment = 1 };
		return ERR_OK;
	}
	if (k == ERR_OK && !reflog_mark_unpack(v, ret))
		return index_bad_value(e, "meta");
	return k;
}

enum err_kind index_mark_read(struct index *ix, struct reflog_mark *ret, struct err *e)
{
	return read_mark(ix, REFLOG_MARK_KEY, ret, e);
}

enum err_kind index_settled_read(struct index *ix, struct reflog_mark *ret, struct err *e)
{
	return read_mark(ix, SETTLED_MARK_KEY, ret, e);
}

enum err_kind index_closed_read(struct index *ix, struct closed_row *ret, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	struct str v;
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	if (k == ERR_OK)
		k = kv_get(t, KV_META, CLOSED_KEY, &v, e);
	if (k == ERR_NOT_FOUND)
		return err_set(e, k, __func__, "the last process did not end in order");
	if (k == ERR_OK && !closed_row_unpack(v, ret))
		return index_bad_value(e, "meta");
	return k;
}

enum err_kind index_recover(struct index *ix, struct err *e)
{
	enum err_kind k = kv_reopen(ix->kv, e);

	return k == ERR_OK ? index_count_quotas(ix, e) : k;
}
