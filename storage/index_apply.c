#include "storage/index_impl.h"

#define NEXT_ID_KEY STR("next-id")
#define SOURCES_ASKED_MAX 256 /* by a mount that does not say from where */

/* What a repository has of a digest: bits in a place row. */
enum place_bit { PLACE_LINK = 1, PLACE_MANIFEST = 2 };

bool index_refused(enum err_kind k)
{
	return k == ERR_NOT_FOUND || k == ERR_REFS || k == ERR_INVALID || k == ERR_IN_USE ||
	       k == ERR_TOO_MANY || k == ERR_DENIED;
}

static enum err_kind refuse(struct err *e, enum err_kind kind, const char *what,
			    const struct digest *d, const struct repo_name *repo)
{
	char text[DIGEST_TEXT_MAX];

	return err_set(e, kind, __func__, "%s %.80s in %.100s", what, digest_text(d, text),
		       repo->s);
}

/* --- small pieces --- */

static enum err_kind put(struct index_txn *t, enum kv_table table, const struct key *key,
			 struct str value, struct err *e)
{
	return kv_put(t->kv, table, key_str(key), value, e);
}

/* Deleting what is not there is no failure: the callers undo what may be partly undone. */
static enum err_kind drop(struct index_txn *t, enum kv_table table, const struct key *key,
			  struct err *e)
{
	enum err_kind k = kv_delete(t->kv, table, key_str(key), e);

	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

/* ERR_OK if some entry's key starts with prefix, ERR_NOT_FOUND with e untouched if none does. */
static enum err_kind first_entry(struct index_txn *t, const struct key *prefix,
				 struct key *ret_first, struct err *e)
{
	AUTO_KV_CURSOR *c = NULL;
	struct str key, value;
	enum err_kind k = kv_cursor_open(t->kv, KV_ENTRY, &c, e);

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

/* Ids of repositories and manifests, each used once. */
static enum err_kind next_id(struct index_txn *t, uint64_t *ret, struct err *e)
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

static enum err_kind repo_get_or_make(struct index_txn *t, const struct change *c, uint64_t *ret,
				      struct err *e)
{
	struct repo_row r;
	struct row v;
	enum err_kind k = index_get_repo(t->kv, &c->repo, &r, e);

	if (k == ERR_NOT_FOUND) {
		r.created_ms = c->at_ms;
		k = next_id(t, &r.id, e);
		repo_row_pack(&v, &r);
		if (k == ERR_OK)
			k = kv_put(t->kv, KV_REPO, repo_name_str(&c->repo), row_str(&v), e);
	}
	if (k == ERR_OK)
		*ret = r.id;
	return k;
}

/* Sets and clears bits of what a repository has of a digest; the row goes with its last bit. */
static enum err_kind place_update(struct index_txn *t, const struct change *c, uint64_t repo,
				  const struct digest *d, uint8_t set, uint8_t clear, struct err *e)
{
	struct key key = content_key(d, CONTENT_PLACE), value = { 0 };
	uint8_t bits = 0;
	struct str v;
	enum err_kind k;

	key_u64(&key, repo);
	k = kv_get(t->kv, KV_CONTENT, key_str(&key), &v, e);
	if (k == ERR_OK && !unpack_u8(&v, &bits))
		return index_bad_value(e, "content");
	if (k != ERR_OK && k != ERR_NOT_FOUND)
		return k;
	bits = (uint8_t)((bits | set) & ~clear);
	if (bits == 0)
		return drop(t, KV_CONTENT, &key, e);
	key_u8(&value, bits);
	key_text(&value, repo_name_str(&c->repo));
	return put(t, KV_CONTENT, &key, key_str(&value), e);
}

static enum err_kind review_add(struct index_txn *t, const struct change *c, uint64_t repo,
				const struct digest *d, struct err *e)
{
	struct key key = { 0 };

	key_u64(&key, c->review_at_ms);
	key_u64(&key, repo);
	key_digest(&key, d);
	return put(t, KV_REVIEW, &key, (struct str){ "", 0 }, e);
}

/* Queues what neither a tag nor a manifest of the repository refers to (I4).  Both kinds of holders are neighbours. */
static enum err_kind review_if_free(struct index_txn *t, const struct change *c, uint64_t repo,
				    const struct digest *d, struct err *e)
{
	AUTO_KV_CURSOR *cur = NULL;
	struct key from = entry_key(repo, d, ENTRY_TAGGED);
	struct str key, value, prefix = { (const char *)from.b, from.n - 1 };
	enum err_kind k = kv_cursor_open(t->kv, KV_ENTRY, &cur, e);

	if (k == ERR_OK)
		k = kv_seek(cur, key_str(&from), &key, &value, e);
	if (k != ERR_OK && k != ERR_NOT_FOUND)
		return k;
	if (k == ERR_OK && str_starts(key, prefix) && key.p[prefix.n] <= ENTRY_HELD)
		return ERR_OK;
	return review_add(t, c, repo, d, e);
}

static enum err_kind object_put(struct index_txn *t, const struct digest *d, uint64_t size,
				struct err *e)
{
	struct key key = content_key(d, CONTENT_OBJECT);
	struct row v;

	u64_pack(&v, size);
	return put(t, KV_CONTENT, &key, row_str(&v), e);
}

/* --- blobs --- */

static enum err_kind upload_drop(struct index_txn *t, const struct upload_id *id, struct err *e)
{
	struct key key = { 0 };

	key_upload(&key, id);
	return drop(t, KV_UPLOAD, &key, e);
}

static enum err_kind link_put(struct index_txn *t, const struct change *c, struct err *e)
{
	struct key key;
	struct row v;
	uint64_t repo = 0;
	enum err_kind k = repo_get_or_make(t, c, &repo, e);

	if (k != ERR_OK)
		return k;
	key = entry_key(repo, &c->digest, ENTRY_LINK);
	u64_pack(&v, c->at_ms);
	k = put(t, KV_ENTRY, &key, row_str(&v), e);
	if (k == ERR_OK)
		k = place_update(t, c, repo, &c->digest, PLACE_LINK, 0, e);
	return k == ERR_OK ? review_if_free(t, c, repo, &c->digest, e) : k;
}

static enum err_kind apply_blob_link(struct index_txn *t, struct change *c, struct err *e)
{
	enum err_kind k = object_put(t, &c->digest, c->size_bytes, e);

	if (k == ERR_OK)
		k = link_put(t, c, e);
	return k == ERR_OK && c->has_upload ? upload_drop(t, &c->upload, e) : k;
}

static bool may_read(const struct change *c, const struct repo_name *repo)
{
	return !c->guard || c->guard->may_read(c->guard->arg, repo);
}

/* Any repository that has the blob as a blob, and that may be read.  Not too many are asked about. */
static enum err_kind find_source(struct index_txn *t, struct change *c, struct err *e)
{
	AUTO_KV_CURSOR *cur = NULL;
	struct key prefix = content_key(&c->digest, CONTENT_PLACE);
	struct str key, value;
	uint8_t bits;
	unsigned asked = 0;
	enum err_kind k = kv_cursor_open(t->kv, KV_CONTENT, &cur, e);

	if (k != ERR_OK)
		return k;
	for (k = kv_seek(cur, key_str(&prefix), &key, &value, e);
	     k == ERR_OK && str_starts(key, key_str(&prefix)) && asked < SOURCES_ASKED_MAX;
	     k = kv_next(cur, &key, &value, e)) {
		if (!unpack_u8(&value, &bits) || !repo_name_parse(&c->from, value))
			return index_bad_value(e, "content");
		if (bits & PLACE_LINK && may_read(c, &c->from))
			return ERR_OK;
		asked++;
	}
	c->from.len = 0;
	return k == ERR_OK ? ERR_NOT_FOUND : k;
}

static enum err_kind apply_blob_mount(struct index_txn *t, struct change *c, struct err *e)
{
	struct repo_row from;
	enum err_kind k;

	if (c->from.len == 0) {
		k = find_source(t, c, e);
	} else if (!may_read(c, &c->from)) {
		k = ERR_NOT_FOUND;
	} else {
		k = index_get_repo(t->kv, &c->from, &from, e);
		if (k == ERR_OK)
			k = index_has_link(t->kv, from.id, &c->digest, e);
	}
	if (k == ERR_NOT_FOUND)
		return refuse(e, k, "no source to mount", &c->digest, &c->from);
	if (k == ERR_OK)
		k = index_get_size(t->kv, &c->digest, &c->size_bytes, e);
	if (k == ERR_NOT_FOUND)
		return index_bad_value(e, "content");
	return k == ERR_OK ? link_put(t, c, e) : k;
}

static enum err_kind apply_blob_unlink(struct index_txn *t, struct change *c, struct err *e)
{
	struct repo_row r;
	struct key key;
	enum err_kind k = index_get_repo(t->kv, &c->repo, &r, e);

	if (k == ERR_OK)
		k = index_has_link(t->kv, r.id, &c->digest, e);
	if (k == ERR_NOT_FOUND)
		return refuse(e, k, "no blob", &c->digest, &c->repo);
	if (k != ERR_OK)
		return k;
	key = entry_key(r.id, &c->digest, ENTRY_HELD);
	k = first_entry(t, &key, NULL, e);
	if (k == ERR_OK)
		return refuse(e, ERR_IN_USE, "a manifest refers to blob", &c->digest, &c->repo);
	key = entry_key(r.id, &c->digest, ENTRY_LINK);
	if (k == ERR_NOT_FOUND)
		k = drop(t, KV_ENTRY, &key, e);
	if (k == ERR_OK)
		k = place_update(t, c, r.id, &c->digest, 0, PLACE_LINK, e);
	return k == ERR_OK ? review_add(t, c, r.id, &c->digest, e) : k;
}

/* --- tags --- */

/* ERR_DENIED if the tag is one that stays as it is. */
static enum err_kind check_free(const struct change *c, struct str tag, struct err *e)
{
	if (!c->guard || !c->guard->tag_is_fixed(c->guard->arg, &c->repo, tag))
		return ERR_OK;
	return err_set(e, ERR_DENIED, __func__, "tag %.*s of %.100s is immutable", STR_FMT(tag),
		       c->repo.s);
}

static struct key tag_key(uint64_t repo, struct str tag)
{
	struct key k = { 0 };

	key_u64(&k, repo);
	key_text(&k, tag);
	return k;
}

static enum err_kind tag_clear(struct index_txn *t, uint64_t repo, struct str tag,
			       const struct digest *d, struct err *e)
{
	struct key key = tag_key(repo, tag), reverse = entry_key(repo, d, ENTRY_TAGGED);
	enum err_kind k = drop(t, KV_TAG, &key, e);

	key_text(&reverse, tag);
	return k == ERR_OK ? drop(t, KV_ENTRY, &reverse, e) : k;
}

static enum err_kind tag_set(struct index_txn *t, const struct change *c, uint64_t repo,
			     const struct tag_name *tag, struct err *e)
{
	struct key key = tag_key(repo, tag_name_str(tag));
	struct key reverse = entry_key(repo, &c->digest, ENTRY_TAGGED);
	struct tag_row old, now = { .digest = c->digest, .pushed_ms = c->at_ms };
	struct row v;
	enum err_kind k = index_get_tag(t->kv, repo, tag, &old, e);
	bool moved = k == ERR_OK && !digest_eq(&old.digest, &c->digest);

	if (k != ERR_OK && k != ERR_NOT_FOUND)
		return k;
	if (k == ERR_OK)
		now.pulled_ms = old.pulled_ms;
	k = moved ? tag_clear(t, repo, tag_name_str(tag), &old.digest, e) : ERR_OK;
	if (k == ERR_OK && moved)
		k = review_if_free(t, c, repo, &old.digest, e);
	tag_row_pack(&v, &now);
	if (k == ERR_OK)
		k = put(t, KV_TAG, &key, row_str(&v), e);
	key_text(&reverse, tag_name_str(tag));
	return k == ERR_OK ? put(t, KV_ENTRY, &reverse, (struct str){ "", 0 }, e) : k;
}

static enum err_kind apply_tag_delete(struct index_txn *t, struct change *c, struct err *e)
{
	struct repo_row r;
	struct tag_row old;
	enum err_kind k = index_get_repo(t->kv, &c->repo, &r, e);

	if (k == ERR_OK)
		k = index_get_tag(t->kv, r.id, &c->tags[0], &old, e);
	if (k == ERR_NOT_FOUND)
		return err_set(e, k, __func__, "no tag %s in %.100s", c->tags[0].s, c->repo.s);
	if (k == ERR_OK)
		k = check_free(c, tag_name_str(&c->tags[0]), e);
	if (k == ERR_OK)
		k = tag_clear(t, r.id, tag_name_str(&c->tags[0]), &old.digest, e);
	return k == ERR_OK ? review_if_free(t, c, r.id, &old.digest, e) : k;
}

/* --- manifests --- */

/* ERR_NOT_FOUND, e untouched: the repository does not have it. */
static enum err_kind ref_size(struct index_txn *t, uint64_t repo, const struct manifest_ref *ref,
			      uint64_t *ret, struct err *e)
{
	struct manifest_row row;
	struct str refs;
	enum err_kind k;

	if (ref->kind != REF_CHILD) {
		k = index_has_link(t->kv, repo, &ref->digest, e);
		return k == ERR_OK ? index_get_size(t->kv, &ref->digest, ret, e) : k;
	}
	k = index_get_manifest(t->kv, repo, &ref->digest, &row, &refs, e);
	if (k == ERR_OK)
		*ret = row.size_bytes;
	return k;
}

static enum err_kind miss(struct change *c, const struct digest *d, struct err *e)
{
	if (!c->missing)
		c->missing = calloc(c->manifest->n_refs, sizeof(*c->missing));
	if (!c->missing)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for missing references");
	c->missing[c->n_missing++] = *d;
	return ERR_OK;
}

/* I3.  repo 0 stands for a repository that is not there yet and so has nothing. */
static enum err_kind check_refs(struct index_txn *t, struct change *c, uint64_t repo, struct err *e)
{
	for (size_t i = 0; i < c->manifest->n_refs; i++) {
		const struct manifest_ref *ref = &c->manifest->refs[i];
		bool optional = ref->may_be_absent || c->sparse == SPARSE_ALL ||
				(ref->kind == REF_CHILD && c->sparse == SPARSE_INDEX);
		uint64_t size;
		enum err_kind k = repo ? ref_size(t, repo, ref, &size, e) : ERR_NOT_FOUND;

		if (k == ERR_OK && size != ref->size_bytes)
			return refuse(e, ERR_INVALID, "wrong size given for", &ref->digest,
				      &c->repo);
		if (k == ERR_NOT_FOUND)
			k = optional ? ERR_OK : miss(c, &ref->digest, e);
		if (k != ERR_OK)
			return k;
	}
	if (c->n_missing == 0)
		return ERR_OK;
	return err_set(e, ERR_REFS, __func__,
		       "%zu of the blobs and manifests it refers to are not in %.100s",
		       c->n_missing, c->repo.s);
}

static struct key referrer_key(uint64_t repo, const struct digest *subject, const char *type,
			       const struct digest *d)
{
	struct key k = entry_key(repo, subject, ENTRY_REFERRER);

	key_u64(&k, artifact_type_hash(str_of(type)));
	key_digest(&k, d);
	return k;
}

static enum err_kind referrer_put(struct index_txn *t, const struct manifest *m, uint64_t repo,
				  struct err *e)
{
	struct key key = referrer_key(repo, &m->subject, m->artifact_type, &m->digest);
	AUTO_SBUF v;

	sbuf_init(&v, SBUF_MAX);
	referrer_pack(&v, str_of(m->artifact_type), str_of(m->descriptor));
	if (v.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a referrer");
	return put(t, KV_ENTRY, &key, (struct str){ v.p, v.n }, e);
}

static struct key held_key(uint64_t repo, const struct digest *d, uint64_t manifest_id)
{
	struct key k = entry_key(repo, d, ENTRY_HELD);

	key_u64(&k, manifest_id);
	return k;
}

static enum err_kind refs_put(struct index_txn *t, const struct manifest *m, uint64_t repo,
			      uint64_t id, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; i < m->n_refs && k == ERR_OK; i++) {
		struct key key = held_key(repo, &m->refs[i].digest, id), value = { 0 };

		key_u8(&value, m->refs[i].kind);
		key_digest(&value, &m->digest);
		k = put(t, KV_ENTRY, &key, key_str(&value), e);
	}
	return k;
}

/* The row with its references.  A manifest that is there already keeps its id, and so its holders' keys. */
static enum err_kind manifest_row_put(struct index_txn *t, const struct change *c, uint64_t repo,
				      uint64_t *ret_id, struct err *e)
{
	const struct manifest *m = c->manifest;
	struct key key = entry_key(repo, &m->digest, ENTRY_MANIFEST);
	struct manifest_row now = { .pushed_ms = c->at_ms,
				    .size_bytes = m->size_bytes,
				    .has_subject = m->has_subject,
				    .subject = m->subject };
	struct manifest_row old;
	struct str refs;
	struct row head;
	AUTO_SBUF v;
	enum err_kind k = index_get_manifest(t->kv, repo, &m->digest, &old, &refs, e);

	sbuf_init(&v, SBUF_MAX);
	if (k == ERR_OK)
		now.id = old.id;
	else if (k == ERR_NOT_FOUND)
		k = next_id(t, &now.id, e);
	if (k != ERR_OK)
		return k;
	memcpy(now.media_type, m->media_type, sizeof(now.media_type));
	memcpy(now.artifact_type, m->artifact_type, sizeof(now.artifact_type));
	manifest_row_pack(&head, &now);
	sbuf_add_str(&v, row_str(&head));
	refs_pack(&v, m->refs, m->n_refs);
	if (v.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for references");
	*ret_id = now.id;
	return put(t, KV_ENTRY, &key, (struct str){ v.p, v.n }, e);
}

static enum err_kind manifest_put(struct index_txn *t, const struct change *c, uint64_t repo,
				  struct err *e)
{
	const struct manifest *m = c->manifest;
	struct key bytes = content_key(&m->digest, CONTENT_BYTES);
	uint64_t id = 0;
	enum err_kind k = object_put(t, &m->digest, m->size_bytes, e);

	if (k == ERR_OK && c->bytes.n <= INDEX_INLINE_MAX)
		k = put(t, KV_CONTENT, &bytes, c->bytes, e);
	if (k == ERR_OK)
		k = place_update(t, c, repo, &m->digest, PLACE_MANIFEST, 0, e);
	if (k == ERR_OK)
		k = manifest_row_put(t, c, repo, &id, e);
	return k == ERR_OK ? refs_put(t, m, repo, id, e) : k;
}

/* No immutable tag moves. */
static enum err_kind check_moves(struct index_txn *t, const struct change *c, uint64_t repo,
				 struct err *e)
{
	struct tag_row old;
	enum err_kind k = ERR_OK;

	for (size_t i = 0; i < c->n_tags && k == ERR_OK; i++) {
		k = index_get_tag(t->kv, repo, &c->tags[i], &old, e);
		if (k == ERR_OK && !digest_eq(&old.digest, &c->digest))
			k = check_free(c, tag_name_str(&c->tags[i]), e);
		else if (k == ERR_NOT_FOUND)
			k = ERR_OK;
	}
	return k;
}

static enum err_kind apply_manifest_put(struct index_txn *t, struct change *c, struct err *e)
{
	struct repo_row r = { .id = 0 };
	uint64_t repo = 0;
	enum err_kind k = index_get_repo(t->kv, &c->repo, &r, e);

	if (k == ERR_OK || k == ERR_NOT_FOUND)
		k = check_refs(t, c, r.id, e);
	if (k == ERR_OK && c->guard)
		k = check_moves(t, c, r.id, e);
	if (k == ERR_OK)
		k = repo_get_or_make(t, c, &repo, e);
	if (k == ERR_OK)
		k = manifest_put(t, c, repo, e);
	if (k == ERR_OK && c->manifest->has_subject)
		k = referrer_put(t, c->manifest, repo, e);
	for (size_t i = 0; i < c->n_tags && k == ERR_OK; i++)
		k = tag_set(t, c, repo, &c->tags[i], e);
	if (k == ERR_OK && c->n_tags == 0)
		k = review_if_free(t, c, repo, &c->digest, e);
	return k;
}

static enum err_kind tags_clear(struct index_txn *t, uint64_t repo, const struct digest *d,
				struct err *e)
{
	struct key prefix = entry_key(repo, d, ENTRY_TAGGED), found;

	for (;;) {
		enum err_kind k = first_entry(t, &prefix, &found, e);

		if (k != ERR_OK)
			return k == ERR_NOT_FOUND ? ERR_OK : k;
		k = tag_clear(t, repo,
			      (struct str){ (const char *)found.b + prefix.n, found.n - prefix.n },
			      d, e);
		if (k != ERR_OK)
			return k;
	}
}

/* No immutable tag goes with its manifest. */
static enum err_kind check_vanishing(struct index_txn *t, const struct change *c, uint64_t repo,
				     struct err *e)
{
	AUTO_KV_CURSOR *cur = NULL;
	struct key prefix = entry_key(repo, &c->digest, ENTRY_TAGGED);
	struct str key, value;
	enum err_kind k = kv_cursor_open(t->kv, KV_ENTRY, &cur, e);

	if (k != ERR_OK)
		return k;
	for (k = kv_seek(cur, key_str(&prefix), &key, &value, e);
	     k == ERR_OK && str_starts(key, key_str(&prefix)); k = kv_next(cur, &key, &value, e)) {
		k = check_free(c, (struct str){ key.p + prefix.n, key.n - prefix.n }, e);
		if (k != ERR_OK)
			return k;
	}
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

/* Gives up the references of a manifest; what nobody else holds goes to review. */
static enum err_kind refs_clear(struct index_txn *t, const struct change *c, uint64_t repo,
				uint64_t id, struct str packed, struct err *e)
{
	AUTO_SBUF copy = { .max = SBUF_MAX };
	struct str rest;
	struct manifest_ref ref;
	enum err_kind k = ERR_OK;

	sbuf_add_str(&copy, packed); /* the deletes below move what packed points to */
	if (copy.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for references");
	rest = (struct str){ copy.p, copy.n };
	while (k == ERR_OK && refs_next(&rest, &ref)) {
		struct key held = held_key(repo, &ref.digest, id);

		k = drop(t, KV_ENTRY, &held, e);
		if (k == ERR_OK)
			k = review_if_free(t, c, repo, &ref.digest, e);
	}
	return k == ERR_OK && rest.n ? index_bad_value(e, "entry") : k;
}

static enum err_kind apply_manifest_delete(struct index_txn *t, struct change *c, struct err *e)
{
	struct repo_row r;
	struct manifest_row mr;
	struct str refs;
	struct key key;
	enum err_kind k = index_get_repo(t->kv, &c->repo, &r, e);

	if (k == ERR_OK)
		k = index_get_manifest(t->kv, r.id, &c->digest, &mr, &refs, e);
	if (k == ERR_NOT_FOUND)
		return refuse(e, k, "no manifest", &c->digest, &c->repo);
	if (k == ERR_OK && c->guard)
		k = check_vanishing(t, c, r.id, e);
	if (k == ERR_OK)
		k = refs_clear(t, c, r.id, mr.id, refs, e);
	if (k == ERR_OK)
		k = tags_clear(t, r.id, &c->digest, e);
	if (k == ERR_OK && mr.has_subject) {
		key = referrer_key(r.id, &mr.subject, mr.artifact_type, &c->digest);
		k = drop(t, KV_ENTRY, &key, e);
	}
	key = entry_key(r.id, &c->digest, ENTRY_MANIFEST);
	if (k == ERR_OK)
		k = drop(t, KV_ENTRY, &key, e);
	if (k == ERR_OK)
		k = place_update(t, c, r.id, &c->digest, 0, PLACE_MANIFEST, e);
	return k == ERR_OK ? review_add(t, c, r.id, &c->digest, e) : k;
}

/* --- upload sessions --- */

static enum err_kind apply_upload_open(struct index_txn *t, struct change *c, struct err *e)
{
	struct upload_row ur = { .started_ms = c->at_ms, .alg = c->upload_alg, .repo = c->repo };
	struct key key = { 0 };
	struct row v;
	uint64_t open;
	enum err_kind k = kv_count(t->kv, KV_UPLOAD, &open, e);

	if (k != ERR_OK)
		return k;
	if (open >= c->uploads_max)
		return err_set(e, ERR_TOO_MANY, __func__,
			       "%llu uploads are open, which is the limit",
			       (unsigned long long)open);
	key_upload(&key, &c->upload);
	upload_row_pack(&v, &ur);
	return put(t, KV_UPLOAD, &key, row_str(&v), e);
}

static enum err_kind apply_upload_close(struct index_txn *t, struct change *c, struct err *e)
{
	return upload_drop(t, &c->upload, e);
}

static enum err_kind mark_put(struct index_txn *t, struct str key, const struct reflog_mark *m,
			      struct err *e)
{
	struct row v;

	reflog_mark_pack(&v, m);
	return kv_put(t->kv, KV_META, key, row_str(&v), e);
}

static enum err_kind apply_settle(struct index_txn *t, struct change *c, struct err *e)
{
	return mark_put(t, SETTLED_MARK_KEY, &c->settled, e);
}

/* --- transactions --- */

static enum err_kind (*const appliers[CHANGE_KIND_N])(struct index_txn *, struct change *,
						      struct err *) = {
	[CHANGE_BLOB_LINK] = apply_blob_link,
	[CHANGE_BLOB_MOUNT] = apply_blob_mount,
	[CHANGE_BLOB_UNLINK] = apply_blob_unlink,
	[CHANGE_MANIFEST_PUT] = apply_manifest_put,
	[CHANGE_MANIFEST_DELETE] = apply_manifest_delete,
	[CHANGE_TAG_DELETE] = apply_tag_delete,
	[CHANGE_UPLOAD_OPEN] = apply_upload_open,
	[CHANGE_UPLOAD_CLOSE] = apply_upload_close,
	[CHANGE_SETTLE] = apply_settle,
};

enum err_kind index_begin(struct index *ix, struct index_txn **ret, struct err *e)
{
	struct index_txn *t = calloc(1, sizeof(*t));
	enum err_kind k;

	if (!t)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a transaction");
	k = kv_write_begin(ix->kv, &t->kv, e);
	if (k != ERR_OK) {
		free(t);
		return k;
	}
	*ret = t;
	return ERR_OK;
}

enum err_kind index_apply(struct index_txn *t, struct change *c, struct err *e)
{
	free(TAKE(c->missing)); /* of a try in a transaction that was given up */
	c->n_missing = 0;
	return appliers[c->kind](t, c, e);
}

enum err_kind index_mark_put(struct index_txn *t, const struct reflog_mark *m, struct err *e)
{
	return mark_put(t, REFLOG_MARK_KEY, m, e);
}

enum err_kind index_commit(struct index_txn **t, struct err *e)
{
	struct index_txn *p = TAKE(*t);
	enum err_kind k = kv_write_commit(&p->kv, e);

	free(p);
	return k;
}

void index_abort(struct index_txn **t)
{
	struct index_txn *p = TAKE(*t);

	if (!p)
		return;
	kv_end(&p->kv);
	free(p);
}

bool index_is_full(const struct err *e)
{
	return kv_is_map_full(e);
}

enum err_kind index_grow(struct index *ix, struct err *e)
{
	return kv_grow(ix->kv, e);
}
