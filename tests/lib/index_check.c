/* The invariants I1 to I7 and I13 of FORMAT.md section 4, but for those that depend on how a manifest was accepted. */
#include "tests/lib/index_fixture.h"

typedef void row_fn(struct kv_txn *t, struct str key, struct str value);

static void each_row(struct kv_txn *t, enum kv_table table, row_fn *fn)
{
	AUTO_KV_CURSOR *c = NULL;
	struct str key, value;
	struct err e;

	MUST(kv_cursor_open(t, table, &c, &e) == ERR_OK);
	for (enum err_kind k = kv_seek(c, STR("\0"), &key, &value, &e); k == ERR_OK;
	     k = kv_next(c, &key, &value, &e))
		fn(t, key, value);
}

static bool has_row(struct kv_txn *t, enum kv_table table, struct key key, struct str *ret)
{
	struct err e;
	enum err_kind k = kv_get(t, table, key_str(&key), ret, &e);

	MUST(k == ERR_OK || k == ERR_NOT_FOUND);
	return k == ERR_OK;
}

static bool has_entry(struct kv_txn *t, uint64_t repo, const struct digest *d, enum entry_kind kind)
{
	struct str value;

	return has_row(t, KV_ENTRY, entry_key(repo, d, kind), &value);
}

/* I1, and back in check_tagged */
static void check_tag(struct kv_txn *t, struct str key, struct str value)
{
	struct tag_row row;
	struct key reverse;
	uint64_t repo;

	MUST(unpack_u64(&key, &repo) && tag_row_unpack(value, &row));
	reverse = entry_key(repo, &row.digest, ENTRY_TAGGED);
	key_text(&reverse, key);
	MUST(has_row(t, KV_ENTRY, reverse, &value));
	MUST(has_entry(t, repo, &row.digest, ENTRY_MANIFEST));
}

static void check_tagged(struct kv_txn *t, uint64_t repo, const struct digest *d, struct str tag,
			 struct str value)
{
	struct tag_row row;
	struct key forward = { 0 };

	key_u64(&forward, repo);
	key_text(&forward, tag);
	MUST(value.n == 0);
	MUST(has_row(t, KV_TAG, forward, &value) && tag_row_unpack(value, &row));
	MUST(digest_eq(&row.digest, d));
}

static uint8_t place_bits(struct kv_txn *t, uint64_t repo, const struct digest *d)
{
	struct key key = content_key(d, CONTENT_PLACE);
	struct str value;

	key_u64(&key, repo);
	return has_row(t, KV_CONTENT, key, &value) ? (uint8_t)value.p[0] : 0;
}

/* I5 and I6 */
static void check_content(struct kv_txn *t, uint64_t repo, const struct digest *d, uint8_t bit)
{
	struct str value;

	MUST(place_bits(t, repo, d) & bit);
	MUST(has_row(t, KV_CONTENT, content_key(d, CONTENT_OBJECT), &value));
}

/* I2 and I4, and back in check_held and check_referrer */
static void check_manifest(struct kv_txn *t, uint64_t repo, const struct digest *d,
			   struct str value)
{
	struct manifest_row row;
	struct str packed;
	struct manifest_ref ref;
	struct key referrer;

	MUST(manifest_row_unpack(value, &row, &packed));
	check_content(t, repo, d, 2);
	while (refs_next(&packed, &ref)) {
		struct key held = entry_key(repo, &ref.digest, ENTRY_HELD);
		struct digest holder;
		uint8_t kind;

		key_u64(&held, row.id);
		MUST(has_row(t, KV_ENTRY, held, &value) && unpack_u8(&value, &kind) &&
		     unpack_digest(&value, &holder) && value.n == 0);
		MUST(kind == ref.kind && digest_eq(&holder, d));
	}
	MUST(packed.n == 0);
	if (!row.has_subject)
		return;
	referrer = entry_key(repo, &row.subject, ENTRY_REFERRER);
	key_u64(&referrer, artifact_type_hash(str_of(row.artifact_type)));
	key_digest(&referrer, d);
	MUST(has_row(t, KV_ENTRY, referrer, &value));
}

static void check_held(struct kv_txn *t, uint64_t repo, const struct digest *d, struct str rest,
		       struct str value)
{
	struct manifest_row row;
	struct digest holder;
	struct str packed;
	struct manifest_ref ref;
	uint64_t id;
	uint8_t kind;
	bool refers = false;

	MUST(unpack_u64(&rest, &id) && rest.n == 0);
	MUST(unpack_u8(&value, &kind) && unpack_digest(&value, &holder) && value.n == 0);
	MUST(has_row(t, KV_ENTRY, entry_key(repo, &holder, ENTRY_MANIFEST), &value));
	MUST(manifest_row_unpack(value, &row, &packed) && row.id == id);
	while (refs_next(&packed, &ref))
		refers = refers || (digest_eq(&ref.digest, d) && ref.kind == kind);
	MUST(refers);
}

static void check_referrer(struct kv_txn *t, uint64_t repo, const struct digest *subject,
			   struct str rest)
{
	struct digest d;
	struct manifest_row row;
	struct str value, refs;
	uint64_t hash;

	MUST(unpack_u64(&rest, &hash) && unpack_digest(&rest, &d) && rest.n == 0);
	MUST(has_row(t, KV_ENTRY, entry_key(repo, &d, ENTRY_MANIFEST), &value));
	MUST(manifest_row_unpack(value, &row, &refs));
	MUST(row.has_subject && digest_eq(&row.subject, subject));
}

static bool is_held(struct kv_txn *t, uint64_t repo, const struct digest *d, enum entry_kind kind)
{
	AUTO_KV_CURSOR *c = NULL;
	struct key prefix = entry_key(repo, d, kind);
	struct str key, value;
	struct err e;

	MUST(kv_cursor_open(t, KV_ENTRY, &c, &e) == ERR_OK);
	return kv_seek(c, key_str(&prefix), &key, &value, &e) == ERR_OK &&
	       str_starts(key, key_str(&prefix));
}

static void check_pointer(struct kv_txn *t, uint64_t repo, const struct digest *d, uint64_t due)
{
	struct review_row row = { .due_ms = due, .repo = repo, .digest = *d };
	struct str value;

	MUST(has_row(t, KV_REVIEW, review_key(&row), &value));
	MUST(!is_held(t, repo, d, ENTRY_TAGGED) && !is_held(t, repo, d, ENTRY_HELD));
}

static void check_entry(struct kv_txn *t, struct str key, struct str value)
{
	struct digest d;
	uint64_t repo, at;
	uint8_t kind;

	MUST(unpack_u64(&key, &repo) && unpack_digest(&key, &d) && unpack_u8(&key, &kind));
	switch (kind) {
	case ENTRY_REVIEW:
		MUST(key.n == 0 && u64_unpack(value, &at));
		check_pointer(t, repo, &d, at);
		break;
	case ENTRY_LINK:
		MUST(key.n == 0 && u64_unpack(value, &at));
		check_content(t, repo, &d, 1);
		break;
	case ENTRY_MANIFEST:
		MUST(key.n == 0);
		check_manifest(t, repo, &d, value);
		break;
	case ENTRY_TAGGED:
		check_tagged(t, repo, &d, key, value);
		break;
	case ENTRY_HELD:
		check_held(t, repo, &d, key, value);
		break;
	case ENTRY_REFERRER:
		check_referrer(t, repo, &d, key);
		break;
	default:
		MUST(!"a kind of entry that is known");
	}
}

/* I5 from its other side, and I7 */
static void check_place(struct kv_txn *t, struct str key, struct str value)
{
	struct digest d;
	struct object_row object;
	uint64_t repo;
	uint8_t kind, bits;

	MUST(unpack_digest(&key, &d) && unpack_u8(&key, &kind));
	if (kind == CONTENT_OBJECT)
		MUST(key.n == 0 && object_row_unpack(value, &object));
	if (kind != CONTENT_PLACE)
		return;
	MUST(unpack_u64(&key, &repo) && key.n == 0 && unpack_u8(&value, &bits));
	MUST(bits >= 1 && bits <= 3);
	MUST(has_entry(t, repo, &d, ENTRY_LINK) == ((bits & 1) != 0));
	MUST(has_entry(t, repo, &d, ENTRY_MANIFEST) == ((bits & 2) != 0));
	MUST(is_held(t, repo, &d, ENTRY_TAGGED) || is_held(t, repo, &d, ENTRY_HELD) ||
	     has_entry(t, repo, &d, ENTRY_REVIEW));
}

/* Each row of the queue is known where what it is about stands. */
static void check_review(struct kv_txn *t, struct str key, struct str value)
{
	struct review_row row;
	uint64_t due;

	MUST(review_row_unpack(key, value, &row));
	if (row.repo)
		MUST(has_row(t, KV_ENTRY, entry_key(row.repo, &row.digest, ENTRY_REVIEW), &value));
	else
		MUST(has_row(t, KV_CONTENT, content_key(&row.digest, CONTENT_REVIEW), &value));
	MUST(u64_unpack(value, &due) && due == row.due_ms);
}

/* I13 */
static void check_usage(struct kv_txn *t, struct str key, struct str value)
{
	struct usage_row is, want;
	struct repo_row repo;
	struct err e;

	(void)key;
	MUST(repo_row_unpack(value, &repo));
	MUST(index_get_usage(t, repo.id, &is, &e) == ERR_OK);
	MUST(index_count_usage(t, repo.id, &want, &e) == ERR_OK);
	MUST(is.bytes == want.bytes && is.objects == want.objects && is.tags == want.tags);
}

void index_check(struct index *ix)
{
	AUTO_KV_TXN *t = NULL;
	struct err e;

	MUST(kv_read_begin(ix->kv, &t, &e) == ERR_OK);
	each_row(t, KV_TAG, check_tag);
	each_row(t, KV_ENTRY, check_entry);
	each_row(t, KV_CONTENT, check_place);
	each_row(t, KV_REVIEW, check_review);
	each_row(t, KV_REPO, check_usage);
}
