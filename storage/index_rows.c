#include "storage/index_impl.h"

#define NEXT_ID_KEY STR("next-id")

enum err_kind index_refuse(struct err *e, enum err_kind kind, const char *what,
			   const struct digest *d, const struct repo_name *repo)
{
	char text[DIGEST_TEXT_MAX];

	return err_set(e, kind, __func__, "%s %.80s in %.100s", what, digest_text(d, text),
		       repo->s);
}

enum err_kind row_put(struct index_txn *t, enum kv_table table, const struct key *key,
		      struct str value, struct err *e)
{
	return kv_put(t->kv, table, key_str(key), value, e);
}

enum err_kind row_drop(struct index_txn *t, enum kv_table table, const struct key *key,
		       struct err *e)
{
	enum err_kind k = kv_delete(t->kv, table, key_str(key), e);

	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

enum err_kind next_id(struct index_txn *t, uint64_t *ret, struct err *e)
{
	struct row v;
	struct str found;
	enum err_kind k = kv_get(t->kv, KV_META, NEXT_ID_KEY, &found, e);

	*ret = 1;
	if (k == ERR_OK && !u64_unpack(found, ret))
		return index_bad_value(e, "meta");
	if (k != ERR_OK && k != ERR_NOT_FOUND)
		return k;
	u64_pack(&v, *ret + 1);
	return kv_put(t->kv, KV_META, NEXT_ID_KEY, row_str(&v), e);
}

/* --- repositories --- */

static struct key repo_key(uint64_t repo)
{
	struct key k = { 0 };

	key_u64(&k, repo);
	return k;
}

static enum err_kind repo_make(struct index_txn *t, const struct change *c, uint64_t *ret,
			       struct err *e)
{
	struct repo_row r = { .created_ms = c->at_ms };
	struct key key;
	struct row v;
	enum err_kind k = next_id(t, &r.id, e);

	if (k != ERR_OK)
		return k;
	repo_row_pack(&v, &r);
	k = kv_put(t->kv, KV_REPO, repo_name_str(&c->repo), row_str(&v), e);
	key = repo_key(r.id);
	if (k == ERR_OK)
		k = row_put(t, KV_REPO_NAME, &key, repo_name_str(&c->repo), e);
	*ret = r.id;
	return k == ERR_OK ? usage_add(t, &c->repo, r.id, &(struct quota_use){ .repos = 1 }, 0, e)
			   : k;
}

enum err_kind repo_get_or_make(struct index_txn *t, const struct change *c, uint64_t *ret,
			       struct err *e)
{
	struct repo_row r;
	enum err_kind k = index_get_repo(t->kv, &c->repo, &r, e);

	if (k == ERR_NOT_FOUND)
		return repo_make(t, c, ret, e);
	if (k == ERR_OK)
		*ret = r.id;
	return k;
}

enum err_kind repo_drop_if_empty(struct index_txn *t, const struct repo_name *name, uint64_t repo,
				 struct err *e)
{
	struct key key = repo_key(repo);
	enum err_kind k = index_first(t->kv, KV_ENTRY, &key, NULL, e);

	if (k == ERR_NOT_FOUND)
		k = index_first(t->kv, KV_TAG, &key, NULL, e);
	if (k != ERR_NOT_FOUND)
		return k;
	k = row_drop(t, KV_REPO_NAME, &key, e);
	if (k == ERR_OK)
		k = kv_delete(t->kv, KV_REPO, repo_name_str(name), e);
	if (k == ERR_OK)
		k = usage_add(t, name, repo, &(struct quota_use){ .repos = -1 }, 0, e);
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

/* --- content --- */

enum err_kind object_put(struct index_txn *t, const struct digest *d, uint64_t size, struct err *e)
{
	struct key key = content_key(d, CONTENT_OBJECT);
	const struct object_row now = { .size_bytes = size };
	struct object_row old;
	struct row v;
	enum err_kind k = index_get_object(t->kv, d, &old, e);

	if (k != ERR_OK && k != ERR_NOT_FOUND)
		return k;
	if (k == ERR_OK) {
		t->totals.bytes -= old.size_bytes;
	} else {
		t->totals.objects++;
	}
	t->totals.bytes += size;
	t->totals_changed = true;
	object_row_pack(&v, &now);
	return row_put(t, KV_CONTENT, &key, row_str(&v), e);
}

enum err_kind object_drop(struct index_txn *t, const struct digest *d, struct err *e)
{
	struct key object = content_key(d, CONTENT_OBJECT), bytes = content_key(d, CONTENT_BYTES);
	struct object_row old;
	enum err_kind k = index_get_object(t->kv, d, &old, e);

	if (k != ERR_OK)
		return k == ERR_NOT_FOUND ? ERR_OK : k;
	t->totals.objects--;
	t->totals.bytes -= old.size_bytes;
	t->totals_changed = true;
	k = row_drop(t, KV_CONTENT, &object, e);
	return k == ERR_OK ? row_drop(t, KV_CONTENT, &bytes, e) : k;
}

/* Nobody can have been told of it: without a place no repository shows it.  So it is due at once. */
enum err_kind review_content(struct index_txn *t, const struct change *c, const struct digest *d,
			     struct err *e)
{
	struct review_row v = {
		.due_ms = c->clock_ms, .digest = *d, .since_ms = c->clock_ms, .why = REVIEW_CONTENT
	};
	struct key places = content_key(d, CONTENT_PLACE);
	enum err_kind k = index_first(t->kv, KV_CONTENT, &places, NULL, e);

	return k == ERR_NOT_FOUND ? review_put(t, &v, e) : k;
}

/* The repository has the content now, or no more: sign is 1 or -1. */
static enum err_kind count_content(struct index_txn *t, const struct repo_name *name, uint64_t repo,
				   const struct digest *d, int sign, struct err *e)
{
	struct object_row object = { 0 };
	struct quota_use u = { 0 };
	enum err_kind k = index_get_object(t->kv, d, &object, e);

	if (k != ERR_OK)
		return k == ERR_NOT_FOUND ? ERR_OK : k;
	u.bytes = sign * (int64_t)object.size_bytes;
	return usage_add(t, name, repo, &u, sign, e);
}

enum err_kind place_update(struct index_txn *t, const struct change *c, uint64_t repo,
			   const struct repo_name *name, const struct digest *d, uint8_t set,
			   uint8_t clear, struct err *e)
{
	struct key key = content_key(d, CONTENT_PLACE), value = { 0 };
	uint8_t bits = 0;
	bool was_there;
	struct str v;
	enum err_kind k;

	key_u64(&key, repo);
	k = kv_get(t->kv, KV_CONTENT, key_str(&key), &v, e);
	if (k == ERR_OK && !unpack_u8(&v, &bits))
		return index_bad_value(e, "content");
	if (k != ERR_OK && k != ERR_NOT_FOUND)
		return k;
	was_there = k == ERR_OK;
	bits = (uint8_t)((bits | set) & ~clear);
	k = was_there == (bits != 0) ? ERR_OK : count_content(t, name, repo, d, bits ? 1 : -1, e);
	if (k != ERR_OK)
		return k;
	if (bits == 0) {
		k = row_drop(t, KV_CONTENT, &key, e);
		return k == ERR_OK ? review_content(t, c, d, e) : k;
	}
	key_u8(&value, bits);
	key_text(&value, repo_name_str(name));
	return row_put(t, KV_CONTENT, &key, key_str(&value), e);
}

/* --- the review queue --- */

/* Where it stands that something is in the queue: beside its other rows. */
struct pointer {
	enum kv_table table;
	struct key key;
};

static struct pointer pointer_to(uint64_t repo, const struct digest *d)
{
	if (repo == 0)
		return (struct pointer){ KV_CONTENT, content_key(d, CONTENT_REVIEW) };
	return (struct pointer){ KV_ENTRY, entry_key(repo, d, ENTRY_REVIEW) };
}

/* The row that is in the queue for an entry, or for content; ERR_NOT_FOUND with e untouched if there is none. */
static enum err_kind review_find(struct index_txn *t, uint64_t repo, const struct digest *d,
				 struct review_row *ret, struct err *e)
{
	struct pointer p = pointer_to(repo, d);
	struct review_row v = { .repo = repo, .digest = *d };
	struct key key;
	struct str found;
	enum err_kind k = kv_get(t->kv, p.table, key_str(&p.key), &found, e);

	if (k != ERR_OK)
		return k;
	if (!u64_unpack(found, &v.due_ms))
		return index_bad_value(e, "entry");
	key = review_key(&v);
	k = kv_get(t->kv, KV_REVIEW, key_str(&key), &found, e);
	if (k == ERR_NOT_FOUND || (k == ERR_OK && !review_row_unpack(key_str(&key), found, ret)))
		return index_bad_value(e, "review");
	return k;
}

enum err_kind review_drop(struct index_txn *t, uint64_t repo, const struct digest *d, struct err *e)
{
	struct pointer p = pointer_to(repo, d);
	struct review_row v;
	struct key key;
	enum err_kind k = review_find(t, repo, d, &v, e);

	if (k != ERR_OK)
		return k == ERR_NOT_FOUND ? ERR_OK : k;
	key = review_key(&v);
	k = row_drop(t, KV_REVIEW, &key, e);
	return k == ERR_OK ? row_drop(t, p.table, &p.key, e) : k;
}

enum err_kind review_put(struct index_txn *t, const struct review_row *v, struct err *e)
{
	struct pointer p = pointer_to(v->repo, &v->digest);
	struct key key = review_key(v);
	struct row value, due;
	enum err_kind k = review_drop(t, v->repo, &v->digest, e);

	review_row_pack(&value, v);
	u64_pack(&due, v->due_ms);
	if (k == ERR_OK)
		k = row_put(t, KV_REVIEW, &key, row_str(&value), e);
	return k == ERR_OK ? row_put(t, p.table, &p.key, row_str(&due), e) : k;
}

enum err_kind review_update(struct index_txn *t, const struct change *c, uint64_t repo,
			    const struct digest *d, struct err *e)
{
	struct review_row v = { .due_ms = c->review_at_ms,
				.repo = repo,
				.digest = *d,
				.since_ms = c->clock_ms,
				.why = REVIEW_FREE };
	struct review_row old;
	bool there = false, held = false;
	enum err_kind k = index_has_entry(t->kv, repo, d, &there, e);

	if (k == ERR_OK && there)
		k = index_is_held(t->kv, repo, d, &held, e);
	if (k != ERR_OK)
		return k;
	if (!there || held)
		return review_drop(t, repo, d, e);
	k = review_find(t, repo, d, &old, e);
	if (k == ERR_OK && old.why == REVIEW_NO_SUBJECT)
		v.why = REVIEW_NO_SUBJECT;
	return k == ERR_OK || k == ERR_NOT_FOUND ? review_put(t, &v, e) : k;
}

/* --- entries of a repository --- */

enum err_kind link_put(struct index_txn *t, const struct change *c, struct err *e)
{
	struct key key;
	struct row v;
	uint64_t repo = 0;
	enum err_kind k = repo_get_or_make(t, c, &repo, e);

	if (k != ERR_OK)
		return k;
	key = entry_key(repo, &c->digest, ENTRY_LINK);
	u64_pack(&v, c->at_ms);
	k = row_put(t, KV_ENTRY, &key, row_str(&v), e);
	if (k == ERR_OK)
		k = place_update(t, c, repo, &c->repo, &c->digest, PLACE_LINK, 0, e);
	return k == ERR_OK ? review_update(t, c, repo, &c->digest, e) : k;
}

enum err_kind link_drop(struct index_txn *t, const struct change *c, uint64_t repo, struct err *e)
{
	struct key key = entry_key(repo, &c->digest, ENTRY_LINK);
	enum err_kind k = row_drop(t, KV_ENTRY, &key, e);

	if (k == ERR_OK)
		k = place_update(t, c, repo, &c->repo, &c->digest, 0, PLACE_LINK, e);
	return k == ERR_OK ? review_update(t, c, repo, &c->digest, e) : k;
}

enum err_kind tag_drop(struct index_txn *t, const struct repo_name *name, uint64_t repo,
		       struct str tag, const struct digest *d, struct err *e)
{
	struct key key = repo_key(repo), reverse = entry_key(repo, d, ENTRY_TAGGED);
	enum err_kind k;

	key_text(&key, tag);
	key_text(&reverse, tag);
	k = row_drop(t, KV_TAG, &key, e);
	if (k == ERR_OK)
		k = usage_add(t, name, repo, &(struct quota_use){ .tags = -1 }, 0, e);
	return k == ERR_OK ? row_drop(t, KV_ENTRY, &reverse, e) : k;
}

/* All tags of a manifest; their names are appended to ret. */
static enum err_kind tags_drop(struct index_txn *t, const struct repo_name *name, uint64_t repo,
			       const struct digest *d, struct sbuf *ret, struct err *e)
{
	struct key prefix = entry_key(repo, d, ENTRY_TAGGED), found;

	for (;;) {
		enum err_kind k = index_first(t->kv, KV_ENTRY, &prefix, &found, e);
		struct str tag;

		if (k != ERR_OK)
			return k == ERR_NOT_FOUND ? ERR_OK : k;
		tag = (struct str){ (const char *)found.b + prefix.n, found.n - prefix.n };
		if (tag.n > TAG_NAME_MAX)
			return index_bad_value(e, "entry");
		tag_pack(ret, tag);
		k = tag_drop(t, name, repo, tag, d, e);
		if (k != ERR_OK)
			return k;
	}
}

struct key referrer_key(uint64_t repo, const struct digest *subject, const char *type,
			const struct digest *d)
{
	struct key k = entry_key(repo, subject, ENTRY_REFERRER);

	key_u64(&k, artifact_type_hash(str_of(type)));
	key_digest(&k, d);
	return k;
}

/* Gives up the references of a manifest; what nobody else holds goes to review. */
static enum err_kind refs_drop(struct index_txn *t, const struct change *c, uint64_t repo,
			       uint64_t id, struct str rest, struct err *e)
{
	struct manifest_ref ref;
	enum err_kind k = ERR_OK;

	while (k == ERR_OK && refs_next(&rest, &ref)) {
		struct key held = entry_key(repo, &ref.digest, ENTRY_HELD);

		key_u64(&held, id);
		k = row_drop(t, KV_ENTRY, &held, e);
		if (k == ERR_OK)
			k = review_update(t, c, repo, &ref.digest, e);
	}
	return k == ERR_OK && rest.n ? index_bad_value(e, "entry") : k;
}

/* Digests of what has the manifest as its subject, packed. */
static enum err_kind referrers_of(struct index_txn *t, uint64_t repo, const struct digest *subject,
				  struct sbuf *ret, struct err *e)
{
	AUTO_KV_CURSOR *c = NULL;
	struct key prefix = entry_key(repo, subject, ENTRY_REFERRER);
	struct str key, value;
	size_t skip = prefix.n + 8; /* and the hash of the artifact type */
	enum err_kind k = kv_cursor_open(t->kv, KV_ENTRY, &c, e);

	if (k == ERR_OK)
		k = kv_seek(c, key_str(&prefix), &key, &value, e);
	for (; k == ERR_OK && str_starts(key, key_str(&prefix)); k = kv_next(c, &key, &value, e)) {
		if (key.n < skip)
			return index_bad_value(e, "entry");
		sbuf_add(ret, key.p + skip, key.n - skip);
	}
	if (ret->failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for referrers");
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

/* What has the manifest as its subject lives as long as it. */
static enum err_kind referrers_review(struct index_txn *t, const struct change *c, uint64_t repo,
				      const struct digest *subject, struct err *e)
{
	AUTO_SBUF found = { .max = SBUF_MAX };
	enum err_kind k = referrers_of(t, repo, subject, &found, e);
	struct str rest = { found.p, found.n };
	struct review_row v = { .due_ms = c->review_at_ms,
				.repo = repo,
				.since_ms = c->clock_ms,
				.why = REVIEW_NO_SUBJECT };

	while (k == ERR_OK && unpack_digest(&rest, &v.digest)) {
		bool held = false;

		k = index_is_held(t->kv, repo, &v.digest, &held, e);
		if (k == ERR_OK && !held)
			k = review_put(t, &v, e);
	}
	return k;
}

enum err_kind manifest_drop(struct index_txn *t, const struct change *c, uint64_t repo,
			    const struct manifest_row *row, struct str refs, struct err *e)
{
	const struct digest *d = &c->digest;
	struct manifest_row m = *row;
	struct trash_row gone = {
		.kind = TRASH_MANIFEST, .digest = *d, .size_bytes = m.size_bytes, .repo = c->repo
	};
	AUTO_SBUF held = { .max = SBUF_MAX }, tags = { .max = SBUF_MAX };
	struct key key = entry_key(repo, d, ENTRY_MANIFEST);
	enum err_kind k;

	memcpy(gone.media_type, m.media_type, sizeof(gone.media_type));
	sbuf_add_str(&held, refs); /* the deletes below move what refs points to */
	k = tags_drop(t, &c->repo, repo, d, &tags, e);
	if (held.failed || tags.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for references");
	if (k == ERR_OK)
		k = trash_put(t, c, &gone, (struct str){ tags.p, tags.n },
			      (struct str){ held.p, held.n }, e);
	if (k == ERR_OK)
		k = refs_drop(t, c, repo, m.id, (struct str){ held.p, held.n }, e);
	if (k == ERR_OK)
		k = referrers_review(t, c, repo, d, e);
	if (k == ERR_OK)
		k = row_drop(t, KV_ENTRY, &key, e);
	key = referrer_key(repo, &m.subject, m.artifact_type, d);
	if (k == ERR_OK && m.has_subject)
		k = row_drop(t, KV_ENTRY, &key, e);
	if (k == ERR_OK)
		k = place_update(t, c, repo, &c->repo, d, 0, PLACE_MANIFEST, e);
	return k == ERR_OK ? review_update(t, c, repo, d, e) : k; /* it may be a blob as well */
}
