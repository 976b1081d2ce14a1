/* The invariants of FORMAT.md section 4, seen from each row.  A fault is told where it can be mended. */
#include "base/hash.h"
#include "storage/index_impl.h"

struct checking {
	struct kv_txn *t;
	enum kv_table table;
	struct str key, value; /* of the row; both die when a sink mends something */
	uint64_t now_ms, due_ms;
	row_fault_fn *sink;
	void *arg;
};

static enum err_kind tell(const struct checking *c, const char *name, struct err *e)
{
	const struct row_fault f = { .name = name, .mend = MEND_NONE };

	return c->sink(c->arg, &f, e);
}

static enum err_kind tell_drop(const struct checking *c, const char *name, enum kv_table table,
			       const struct key *key, struct err *e)
{
	const struct row_fault f = { .name = name, .mend = MEND_DROP, .table = table, .key = key };

	return c->sink(c->arg, &f, e);
}

static enum err_kind tell_put(const struct checking *c, const char *name, enum kv_table table,
			      const struct key *key, struct str value, struct err *e)
{
	const struct row_fault f = {
		.name = name, .mend = MEND_PUT, .table = table, .key = key, .value = value
	};

	return c->sink(c->arg, &f, e);
}

/* The row itself goes. */
static enum err_kind tell_orphan(const struct checking *c, const char *name, struct err *e)
{
	struct key key = { 0 };

	key_text(&key, c->key);
	return tell_drop(c, name, c->table, &key, e);
}

static enum err_kind get(const struct checking *c, enum kv_table table, const struct key *key,
			 struct str *ret, bool *ret_found, struct err *e)
{
	enum err_kind k = kv_get(c->t, table, key_str(key), ret, e);

	*ret_found = k == ERR_OK;
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

/* --- repositories and tags --- */

/* I13.  All rows of the repository are counted. */
static enum err_kind compare_usage(const struct checking *c, uint64_t repo,
				   const struct usage_row *is, struct err *e)
{
	struct usage_row want;
	struct key key = { 0 };
	struct row v;
	enum err_kind k = index_count_usage(c->t, repo, &want, e);

	if (k != ERR_OK || memcmp(is, &want, sizeof(want)) == 0)
		return k;
	key_u64(&key, repo);
	usage_row_pack(&v, &want);
	return tell_put(c, "wrong-usage", KV_USAGE, &key, row_str(&v), e);
}

static enum err_kind check_usage(const struct checking *c, struct err *e)
{
	struct str rest = c->key;
	struct usage_row row;
	struct repo_name name;
	uint64_t repo;
	enum err_kind k;

	if (!unpack_u64(&rest, &repo) || rest.n || !usage_row_unpack(c->value, &row))
		return tell(c, "bad-value", e);
	k = index_get_repo_name(c->t, repo, &name, e);
	if (k == ERR_NOT_FOUND)
		return tell_orphan(c, "orphan-usage", e);
	return k == ERR_OK ? compare_usage(c, repo, &row, e) : k;
}

/* The rows that are there are checked by themselves, after whatever else may be mended. */
static enum err_kind check_has_usage(const struct checking *c, uint64_t repo, struct err *e)
{
	const struct usage_row none = { 0 };
	struct key key = { 0 };
	struct str v;
	bool found;
	enum err_kind k;

	key_u64(&key, repo);
	k = get(c, KV_USAGE, &key, &v, &found, e);
	return k == ERR_OK && !found ? compare_usage(c, repo, &none, e) : k;
}

static enum err_kind check_repo(const struct checking *c, struct err *e)
{
	struct repo_row row;
	struct repo_name name;
	struct key key = { 0 };
	struct str v;
	bool found;
	enum err_kind k;

	if (!repo_row_unpack(c->value, &row) || !repo_name_parse(&name, c->key))
		return tell(c, "bad-value", e);
	key_u64(&key, row.id);
	k = get(c, KV_REPO_NAME, &key, &v, &found, e);
	if (k == ERR_OK && !(found && str_eq(v, c->key)))
		k = tell_put(c, "repository-without-name", KV_REPO_NAME, &key, repo_name_str(&name),
			     e);
	return k == ERR_OK ? check_has_usage(c, row.id, e) : k;
}

/* A name whose repository has no row, or another number.  What is in it must not be lost with the row. */
static enum err_kind lost_repo(const struct checking *c, uint64_t id, const struct repo_name *name,
			       bool is_taken, struct err *e)
{
	const struct repo_row row = { .id = id, .created_ms = c->now_ms };
	struct key number = { 0 }, key = { 0 };
	struct row v;
	enum err_kind k;

	key_u64(&number, id);
	k = index_first(c->t, KV_ENTRY, &number, NULL, e);
	if (k == ERR_NOT_FOUND)
		return tell_orphan(c, "name-without-repository", e);
	if (k != ERR_OK || is_taken)
		return k == ERR_OK ? tell(c, "name-without-repository", e) : k;
	repo_row_pack(&v, &row);
	key_text(&key, repo_name_str(name));
	return tell_put(c, "name-without-repository", KV_REPO, &key, row_str(&v), e);
}

static enum err_kind check_repo_name(const struct checking *c, struct err *e)
{
	struct str rest = c->key;
	struct repo_row row;
	struct repo_name name;
	uint64_t id;
	enum err_kind k;

	if (!unpack_u64(&rest, &id) || rest.n || !repo_name_parse(&name, c->value))
		return tell(c, "bad-value", e);
	k = index_get_repo(c->t, &name, &row, e);
	if (k == ERR_NOT_FOUND || (k == ERR_OK && row.id != id))
		return lost_repo(c, id, &name, k == ERR_OK, e);
	return k;
}

/* True if the number is one of a repository. */
static enum err_kind has_repo(const struct checking *c, uint64_t repo, bool *ret, struct err *e)
{
	struct key key = { 0 };
	struct str v;

	key_u64(&key, repo);
	return get(c, KV_REPO_NAME, &key, &v, ret, e);
}

static enum err_kind check_tag(const struct checking *c, struct err *e)
{
	struct str rest = c->key, v;
	struct tag_row row;
	struct tag_name name;
	struct key reverse, manifest;
	uint64_t repo;
	bool found;
	enum err_kind k;

	if (!unpack_u64(&rest, &repo) || !tag_name_parse(&name, rest) ||
	    !tag_row_unpack(c->value, &row))
		return tell(c, "bad-value", e);
	manifest = entry_key(repo, &row.digest, ENTRY_MANIFEST);
	k = get(c, KV_ENTRY, &manifest, &v, &found, e);
	if (k != ERR_OK || !found)
		return k == ERR_OK ? tell(c, "tag-without-manifest", e) : k;
	reverse = entry_key(repo, &row.digest, ENTRY_TAGGED);
	key_text(&reverse, tag_name_str(&name));
	k = get(c, KV_ENTRY, &reverse, &v, &found, e);
	if (k != ERR_OK || found)
		return k;
	return tell_put(c, "missing-tagged", KV_ENTRY, &reverse, STR(""), e);
}

/* A pointer into the review queue. */
static enum err_kind check_pointer(const struct checking *c, uint64_t repo, const struct digest *d,
				   struct err *e)
{
	struct review_row row = { .repo = repo, .digest = *d };
	struct key key;
	struct str v;
	bool found;
	enum err_kind k;

	if (!u64_unpack(c->value, &row.due_ms))
		return tell(c, "bad-value", e);
	key = review_key(&row);
	k = get(c, KV_REVIEW, &key, &v, &found, e);
	return k == ERR_OK && !found ? tell_orphan(c, "orphan-review", e) : k;
}

/* --- entries --- */

struct entry {
	uint64_t repo;
	struct digest digest;
	uint8_t kind;
	struct str rest;
};

static uint8_t place_bit_of(uint8_t kind)
{
	return kind == ENTRY_LINK ? PLACE_LINK : PLACE_MANIFEST;
}

/* The size of a manifest is known, and its file is looked at next; that of a blob only the file tells (fsck.c). */
static enum err_kind lost_object(const struct checking *c, const struct entry *n,
				 const struct manifest_row *m, struct err *e)
{
	const struct object_row row = { .size_bytes = m ? m->size_bytes : 0 };
	struct key key = content_key(&n->digest, CONTENT_OBJECT);
	struct row v;

	if (!m)
		return tell(c, "link-without-content", e);
	object_row_pack(&v, &row);
	return tell_put(c, "manifest-without-content", KV_CONTENT, &key, row_str(&v), e);
}

/* I5 and I6 for a link or a manifest. */
static enum err_kind check_content_of(const struct checking *c, const struct entry *n,
				      const struct manifest_row *m, struct err *e)
{
	struct key key = content_key(&n->digest, CONTENT_PLACE), value = { 0 };
	struct repo_name name;
	struct str v;
	uint8_t bits = 0;
	struct object_row object;
	bool found;
	enum err_kind k = index_get_object(c->t, &n->digest, &object, e);

	if (k == ERR_NOT_FOUND)
		return lost_object(c, n, m, e);
	if (k == ERR_OK)
		k = index_get_repo_name(c->t, n->repo, &name, e);
	if (k == ERR_NOT_FOUND)
		return tell_orphan(c, "entry-without-repository", e);
	key_u64(&key, n->repo);
	if (k == ERR_OK)
		k = get(c, KV_CONTENT, &key, &v, &found, e);
	if (k != ERR_OK)
		return k;
	if (found && !unpack_u8(&v, &bits))
		bits = 0;
	if (bits & place_bit_of(n->kind))
		return ERR_OK;
	key_u8(&value, bits | place_bit_of(n->kind));
	key_text(&value, repo_name_str(&name));
	return tell_put(c, "missing-place", KV_CONTENT, &key, key_str(&value), e);
}

/* I7: what nothing refers to waits for review, unless its subject keeps it. */
static enum err_kind check_review_of(const struct checking *c, const struct entry *n,
				     const struct manifest_row *m, struct err *e)
{
	struct key pointer = entry_key(n->repo, &n->digest, ENTRY_REVIEW), key;
	struct review_row row = { .due_ms = c->due_ms,
				  .repo = n->repo,
				  .digest = n->digest,
				  .since_ms = c->now_ms,
				  .why = REVIEW_FREE };
	struct row value, due;
	struct str v;
	bool kept = false, found;
	enum err_kind k = index_is_held(c->t, n->repo, &n->digest, &kept, e);

	if (k == ERR_OK && !kept && m && m->has_subject)
		k = index_has_entry(c->t, n->repo, &m->subject, &kept, e);
	if (k == ERR_OK)
		k = get(c, KV_ENTRY, &pointer, &v, &found, e);
	if (k != ERR_OK || kept || found)
		return k;
	key = review_key(&row);
	review_row_pack(&value, &row);
	u64_pack(&due, row.due_ms);
	k = tell_put(c, "missing-review", KV_REVIEW, &key, row_str(&value), e);
	return k == ERR_OK ? tell_put(c, "missing-review", KV_ENTRY, &pointer, row_str(&due), e)
			   : k;
}

static enum err_kind check_link(const struct checking *c, const struct entry *n, struct err *e)
{
	uint64_t at;
	enum err_kind k;

	if (n->rest.n || !u64_unpack(c->value, &at))
		return tell(c, "bad-value", e);
	k = check_content_of(c, n, NULL, e);
	return k == ERR_OK ? check_review_of(c, n, NULL, e) : k;
}

/* Content that is there can be a blob of the repository again. */
static enum err_kind link_again(const struct checking *c, const struct entry *n,
				const struct digest *d, struct err *e)
{
	struct key link = entry_key(n->repo, d, ENTRY_LINK), place = content_key(d, CONTENT_PLACE);
	struct key value = { 0 };
	struct object_row object;
	struct repo_name name;
	struct row at;
	struct str v;
	uint8_t bits = 0;
	bool found;
	enum err_kind k = index_get_object(c->t, d, &object, e);

	if (k == ERR_OK)
		k = index_get_repo_name(c->t, n->repo, &name, e);
	if (k != ERR_OK)
		return k == ERR_NOT_FOUND ? tell(c, "dangling-reference", e) : k;
	key_u64(&place, n->repo);
	k = get(c, KV_CONTENT, &place, &v, &found, e);
	if (k != ERR_OK)
		return k;
	if (found && !unpack_u8(&v, &bits))
		bits = 0;
	key_u8(&value, bits | PLACE_LINK);
	key_text(&value, repo_name_str(&name));
	u64_pack(&at, 0);
	k = tell_put(c, "dangling-reference", KV_ENTRY, &link, row_str(&at), e);
	return k == ERR_OK
		   ? tell_put(c, "dangling-reference", KV_CONTENT, &place, key_str(&value), e)
		   : k;
}

/* I2 and I3 for one reference of a manifest. */
static enum err_kind check_ref(const struct checking *c, const struct entry *n, uint64_t id,
			       const struct manifest_ref *ref, struct err *e)
{
	struct key held = entry_key(n->repo, &ref->digest, ENTRY_HELD), value = { 0 };
	struct str v;
	bool found;
	enum err_kind k;

	key_u64(&held, id);
	k = get(c, KV_ENTRY, &held, &v, &found, e);
	if (k != ERR_OK)
		return k;
	if (!found) {
		key_u8(&value, ref->kind);
		key_digest(&value, &n->digest);
		k = tell_put(c, "missing-held", KV_ENTRY, &held, key_str(&value), e);
	}
	if (k != ERR_OK || ref->kind == REF_CHILD || ref->was_absent)
		return k; /* a child may be deleted by itself */
	k = index_has_link(c->t, n->repo, &ref->digest, e);
	return k == ERR_NOT_FOUND ? link_again(c, n, &ref->digest, e) : k;
}

/* I4: the row is made from the manifest's bytes, where the index has them. */
static enum err_kind refer_again(const struct checking *c, const struct entry *n,
				 const struct manifest_row *row, struct err *e)
{
	struct key key = referrer_key(n->repo, &row->subject, row->artifact_type, &n->digest);
	struct key bytes = content_key(&n->digest, CONTENT_BYTES);
	AUTO_SBUF value = { .max = SBUF_MAX };
	AUTO_MANIFEST m = { 0 };
	struct err failure;
	struct str v;
	bool found;
	enum err_kind k = get(c, KV_CONTENT, &bytes, &v, &found, e);

	if (k != ERR_OK)
		return k;
	if (!found || manifest_parse(v, str_of(row->media_type), &n->digest, MANIFEST_DEPTH_MAX, &m,
				     &failure) != ERR_OK)
		return tell(c, "missing-referrer", e);
	referrer_pack(&value, str_of(m.artifact_type), str_of(m.descriptor));
	if (value.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a referrer");
	return tell_put(c, "missing-referrer", KV_ENTRY, &key, (struct str){ value.p, value.n }, e);
}

static enum err_kind check_manifest(const struct checking *c, const struct entry *n, struct err *e)
{
	AUTO_SBUF copy = { .max = SBUF_MAX };
	struct manifest_row row;
	struct manifest_ref ref;
	struct str refs, v;
	struct key referrer;
	bool found = true;
	enum err_kind k;

	if (n->rest.n || !manifest_row_unpack(c->value, &row, &refs))
		return tell(c, "bad-value", e);
	sbuf_add_str(&copy, refs); /* what is mended moves what refs points to */
	if (copy.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for references");
	refs = (struct str){ copy.p, copy.n };
	k = check_content_of(c, n, &row, e);
	while (k == ERR_OK && refs_next(&refs, &ref))
		k = check_ref(c, n, row.id, &ref, e);
	if (k == ERR_OK && refs.n)
		k = tell(c, "bad-value", e);
	referrer = referrer_key(n->repo, &row.subject, row.artifact_type, &n->digest);
	if (k == ERR_OK && row.has_subject)
		k = get(c, KV_ENTRY, &referrer, &v, &found, e);
	if (k == ERR_OK && !found)
		k = refer_again(c, n, &row, e);
	return k == ERR_OK ? check_review_of(c, n, &row, e) : k;
}

static enum err_kind check_tagged(const struct checking *c, const struct entry *n, struct err *e)
{
	struct tag_row row;
	struct tag_name name;
	enum err_kind k;

	if (c->value.n || !tag_name_parse(&name, n->rest))
		return tell(c, "bad-value", e);
	k = index_get_tag(c->t, n->repo, &name, &row, e);
	if (k == ERR_NOT_FOUND || (k == ERR_OK && !digest_eq(&row.digest, &n->digest)))
		return tell_orphan(c, "orphan-tagged", e);
	return k;
}

static enum err_kind check_held(const struct checking *c, const struct entry *n, struct err *e)
{
	struct str rest = n->rest, value = c->value, refs;
	struct manifest_row row;
	struct manifest_ref ref;
	struct digest holder;
	uint64_t id;
	uint8_t kind;
	enum err_kind k;

	if (!unpack_u64(&rest, &id) || rest.n || !unpack_u8(&value, &kind) ||
	    !unpack_digest(&value, &holder) || value.n)
		return tell(c, "bad-value", e);
	k = index_get_manifest(c->t, n->repo, &holder, &row, &refs, e);
	if (k != ERR_OK && k != ERR_NOT_FOUND)
		return k;
	while (k == ERR_OK && row.id == id && refs_next(&refs, &ref)) {
		if (digest_eq(&ref.digest, &n->digest) && ref.kind == kind)
			return ERR_OK;
	}
	return tell_orphan(c, "orphan-held", e);
}

static enum err_kind check_referrer(const struct checking *c, const struct entry *n, struct err *e)
{
	struct str rest = n->rest, refs, type, descriptor;
	struct manifest_row row;
	struct digest d;
	uint64_t hash;
	enum err_kind k;

	if (!unpack_u64(&rest, &hash) || !unpack_digest(&rest, &d) || rest.n ||
	    !referrer_unpack(c->value, &type, &descriptor))
		return tell(c, "bad-value", e);
	k = index_get_manifest(c->t, n->repo, &d, &row, &refs, e);
	if (k == ERR_NOT_FOUND ||
	    (k == ERR_OK && (!row.has_subject || !digest_eq(&row.subject, &n->digest))))
		return tell_orphan(c, "orphan-referrer", e);
	return k;
}

static enum err_kind check_entry_pointer(const struct checking *c, const struct entry *n,
					 struct err *e)
{
	return n->rest.n ? tell(c, "bad-value", e) : check_pointer(c, n->repo, &n->digest, e);
}

static enum err_kind check_entry(const struct checking *c, struct err *e)
{
	static enum err_kind (*const checks[])(const struct checking *, const struct entry *,
					       struct err *) = {
		[ENTRY_REVIEW] = check_entry_pointer,
		[ENTRY_LINK] = check_link,
		[ENTRY_MANIFEST] = check_manifest,
		[ENTRY_TAGGED] = check_tagged,
		[ENTRY_HELD] = check_held,
		[ENTRY_REFERRER] = check_referrer,
	};
	struct entry n = { .rest = c->key };
	bool found = false;
	enum err_kind k;

	if (!unpack_u64(&n.rest, &n.repo) || !unpack_digest(&n.rest, &n.digest) ||
	    !unpack_u8(&n.rest, &n.kind) || n.kind >= ARRAY_LEN(checks))
		return tell(c, "bad-value", e);
	k = has_repo(c, n.repo, &found, e);
	if (k == ERR_OK && !found)
		return tell_orphan(c, "entry-without-repository", e);
	return k == ERR_OK ? checks[n.kind](c, &n, e) : k;
}

/* --- content --- */

/* What neither a repository nor the trash has waits for review. */
static enum err_kind check_object(const struct checking *c, const struct digest *d, struct err *e)
{
	struct review_row row = {
		.due_ms = c->now_ms, .digest = *d, .since_ms = c->now_ms, .why = REVIEW_CONTENT
	};
	struct key prefix = content_key(d, CONTENT_PLACE), key = review_key(&row);
	struct key pointer = content_key(d, CONTENT_REVIEW);
	struct object_row object;
	struct row value, due;
	struct str v;
	bool queued = false;
	enum err_kind k;

	if (!object_row_unpack(c->value, &object))
		return tell(c, "bad-value", e);
	k = index_first(c->t, KV_CONTENT, &prefix, NULL, e);
	prefix = content_key(d, CONTENT_TRASH);
	if (k == ERR_NOT_FOUND)
		k = index_first(c->t, KV_CONTENT, &prefix, NULL, e);
	if (k != ERR_NOT_FOUND)
		return k;
	k = get(c, KV_CONTENT, &pointer, &v, &queued, e);
	if (k != ERR_OK || queued)
		return k;
	review_row_pack(&value, &row);
	u64_pack(&due, row.due_ms);
	k = tell_put(c, "orphan-content", KV_REVIEW, &key, row_str(&value), e);
	return k == ERR_OK ? tell_put(c, "orphan-content", KV_CONTENT, &pointer, row_str(&due), e)
			   : k;
}

static enum err_kind check_bytes(const struct checking *c, const struct digest *d, struct err *e)
{
	struct object_row object;
	struct digest got;
	enum err_kind k = index_get_object(c->t, d, &object, e);

	if (k == ERR_NOT_FOUND)
		return tell_orphan(c, "orphan-bytes", e);
	if (k == ERR_OK)
		k = hash_bytes((enum digest_alg)d->alg, c->value.p, c->value.n, &got, e);
	if (k == ERR_OK && (object.size_bytes != c->value.n || !digest_eq(&got, d)))
		return tell_orphan(c, "wrong-bytes", e); /* the file has them as well */
	return k;
}

static enum err_kind check_place(const struct checking *c, const struct digest *d, uint64_t repo,
				 struct err *e)
{
	struct key self = { 0 }, value = { 0 };
	struct str v = c->value, refs;
	struct manifest_row m;
	struct repo_name name;
	uint8_t bits = 0, want = 0;
	enum err_kind k = index_get_repo_name(c->t, repo, &name, e);

	if (k == ERR_NOT_FOUND)
		return tell_orphan(c, "place-without-repository", e);
	if (k != ERR_OK)
		return k;
	k = index_has_link(c->t, repo, d, e);
	want |= k == ERR_OK ? PLACE_LINK : 0;
	if (k == ERR_OK || k == ERR_NOT_FOUND)
		k = index_get_manifest(c->t, repo, d, &m, &refs, e);
	want |= k == ERR_OK ? PLACE_MANIFEST : 0;
	if (k != ERR_OK && k != ERR_NOT_FOUND)
		return k;
	if (unpack_u8(&v, &bits) && bits == want && str_eq(v, repo_name_str(&name)))
		return ERR_OK;
	if (want == 0)
		return tell_orphan(c, "wrong-place", e);
	key_text(&self, c->key);
	key_u8(&value, want);
	key_text(&value, repo_name_str(&name));
	return tell_put(c, "wrong-place", KV_CONTENT, &self, key_str(&value), e);
}

/* Does the row of the trash want the content back?  One that is spoilt may, and is told where it stands. */
static bool wants(struct str key, struct str value, const struct digest *d)
{
	struct trash_row row;
	struct manifest_ref ref;
	struct str tags, refs;

	if (!trash_row_unpack(key, value, &row, &tags, &refs))
		return true;
	if (row.kind != TRASH_TAG && digest_eq(&row.digest, d))
		return true;
	while (refs_next(&refs, &ref)) {
		if (digest_eq(&ref.digest, d))
			return true;
	}
	return false;
}

static enum err_kind check_hold(const struct checking *c, const struct digest *d, struct str id,
				struct err *e)
{
	struct key key = { 0 };
	struct str v;
	bool found;
	enum err_kind k;

	key_text(&key, id);
	k = get(c, KV_TRASH, &key, &v, &found, e);
	if (k != ERR_OK || (found && wants(id, v, d)))
		return k;
	return tell_orphan(c, "orphan-trash-hold", e);
}

static enum err_kind check_content(const struct checking *c, struct err *e)
{
	struct str rest = c->key, id;
	struct digest d;
	uint64_t number;
	uint8_t kind;

	if (!unpack_digest(&rest, &d) || !unpack_u8(&rest, &kind))
		return tell(c, "bad-value", e);
	if (kind == CONTENT_OBJECT && rest.n == 0)
		return check_object(c, &d, e);
	if (kind == CONTENT_BYTES && rest.n == 0)
		return check_bytes(c, &d, e);
	if (kind == CONTENT_REVIEW && rest.n == 0)
		return check_pointer(c, 0, &d, e);
	id = rest;
	if (!unpack_u64(&rest, &number) || rest.n)
		return tell(c, "bad-value", e);
	if (kind == CONTENT_PLACE)
		return check_place(c, &d, number, e);
	return kind == CONTENT_TRASH ? check_hold(c, &d, id, e) : tell(c, "bad-value", e);
}

/* --- the rest --- */

static enum err_kind check_review(const struct checking *c, struct err *e)
{
	struct review_row row;
	struct key pointer;
	struct str v;
	uint64_t due = 0;
	bool found;
	enum err_kind k;

	if (!review_row_unpack(c->key, c->value, &row))
		return tell(c, "bad-value", e);
	pointer = row.repo ? entry_key(row.repo, &row.digest, ENTRY_REVIEW)
			   : content_key(&row.digest, CONTENT_REVIEW);
	k = get(c, row.repo ? KV_ENTRY : KV_CONTENT, &pointer, &v, &found, e);
	if (k == ERR_OK && (!found || !u64_unpack(v, &due) || due != row.due_ms))
		return tell_orphan(c, "orphan-review", e);
	return k;
}

static enum err_kind check_held_by_trash(const struct checking *c, uint64_t id,
					 const struct digest *d, struct err *e)
{
	struct key hold = content_key(d, CONTENT_TRASH);
	struct str v;
	bool found;
	enum err_kind k;

	key_u64(&hold, id);
	k = get(c, KV_CONTENT, &hold, &v, &found, e);
	return k == ERR_OK && !found
		   ? tell_put(c, "missing-trash-hold", KV_CONTENT, &hold, STR(""), e)
		   : k;
}

static enum err_kind check_trash(const struct checking *c, struct err *e)
{
	struct trash_row row;
	struct manifest_ref ref;
	struct str tags, refs;
	enum err_kind k = ERR_OK;

	if (!trash_row_unpack(c->key, c->value, &row, &tags, &refs))
		return tell(c, "bad-value", e);
	if (row.kind != TRASH_TAG)
		k = check_held_by_trash(c, row.id, &row.digest, e);
	while (k == ERR_OK && refs_next(&refs, &ref))
		k = check_held_by_trash(c, row.id, &ref.digest, e);
	return k == ERR_OK && refs.n ? tell(c, "bad-value", e) : k;
}

static enum err_kind check_upload(const struct checking *c, struct err *e)
{
	struct upload_row row;

	return c->key.n == UPLOAD_ID_BYTES && upload_row_unpack(c->value, &row)
		   ? ERR_OK
		   : tell(c, "bad-value", e);
}

static enum err_kind check_doomed(const struct checking *c, struct err *e)
{
	struct str rest = c->key;
	struct digest d;

	return unpack_digest(&rest, &d) && rest.n == 0 && c->value.n == 0 ? ERR_OK
									  : tell(c, "bad-value", e);
}

enum err_kind index_check_row(struct kv_txn *t, enum kv_table table, struct str key,
			      struct str value, uint64_t now_ms, uint64_t due_ms,
			      row_fault_fn *sink, void *arg, struct err *e)
{
	static enum err_kind (*const checks[KV_TABLE_N])(const struct checking *, struct err *) = {
		[KV_REPO] = check_repo,       [KV_REPO_NAME] = check_repo_name,
		[KV_TAG] = check_tag,         [KV_ENTRY] = check_entry,
		[KV_CONTENT] = check_content, [KV_REVIEW] = check_review,
		[KV_TRASH] = check_trash,     [KV_UPLOAD] = check_upload,
		[KV_DOOMED] = check_doomed,   [KV_USAGE] = check_usage,
	};
	const struct checking c = { .t = t,
				    .table = table,
				    .key = key,
				    .value = value,
				    .now_ms = now_ms,
				    .due_ms = due_ms,
				    .sink = sink,
				    .arg = arg };
	struct err failure;
	enum err_kind k;

	if (!checks[table])
		return ERR_OK; /* meta is read at every start */
	k = checks[table](&c, &failure);
	if (k == ERR_CORRUPT) /* what it refers to is spoilt, and may be told of where it stands */
		return tell(&c, "leads-to-bad-value", e);
	if (k != ERR_OK)
		*e = failure;
	return k;
}
