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

static bool has_row(struct kv_txn *t, enum kv_table table, const struct key *key, struct str *ret)
{
	struct err e;
	enum err_kind k = kv_get(t, table, key_str(key), ret, &e);

	MUST(k == ERR_OK || k == ERR_NOT_FOUND);
	return k == ERR_OK;
}

static void check_tag(struct kv_txn *t, struct str key, struct str value)
{
	struct tag_row row;
	struct key reverse, manifest;
	uint64_t repo;

	MUST(unpack_u64(&key, &repo) && tag_row_unpack(value, &row));
	reverse = manifest = index_key_of(repo, &row.digest);
	key_text(&reverse, key);
	MUST(has_row(t, KV_TAGGED, &reverse, &value));
	MUST(has_row(t, KV_MANIFEST, &manifest, &value));
}

static void check_tagged(struct kv_txn *t, struct str key, struct str value)
{
	struct tag_row row;
	struct digest d;
	struct key forward = { 0 };
	uint64_t repo;

	MUST(unpack_u64(&key, &repo) && unpack_digest(&key, &d));
	key_u64(&forward, repo);
	key_text(&forward, key);
	MUST(has_row(t, KV_TAG, &forward, &value) && tag_row_unpack(value, &row));
	MUST(digest_eq(&row.digest, &d));
}

static uint8_t place_bits(struct kv_txn *t, uint64_t repo, const struct digest *d)
{
	struct key key = { 0 };
	struct str value;

	key_digest(&key, d);
	key_u64(&key, repo);
	return has_row(t, KV_PLACE, &key, &value) ? (uint8_t)value.p[0] : 0;
}

static void check_manifest(struct kv_txn *t, struct str key, struct str value)
{
	struct manifest_row row;
	struct digest d;
	struct key holds, content = { 0 }, referrer;
	struct str packed;
	struct manifest_ref ref;
	uint64_t repo;

	MUST(unpack_u64(&key, &repo) && unpack_digest(&key, &d) && key.n == 0);
	MUST(manifest_row_unpack(value, &row));
	MUST(place_bits(t, repo, &d) & 2);
	key_digest(&content, &d);
	MUST(has_row(t, KV_OBJECT, &content, &value));
	holds = index_key_of(repo, &d);
	MUST(has_row(t, KV_HOLDS, &holds, &packed));
	while (refs_next(&packed, &ref)) {
		struct key held = index_key_of(repo, &ref.digest);

		key_digest(&held, &d);
		MUST(has_row(t, KV_HELD, &held, &value) && value.p[0] == (char)ref.kind);
	}
	MUST(packed.n == 0);
	if (!row.has_subject)
		return;
	referrer = index_key_of(repo, &row.subject);
	key_u64(&referrer, artifact_type_hash(str_of(row.artifact_type)));
	key_digest(&referrer, &d);
	MUST(has_row(t, KV_REFERRER, &referrer, &value));
}

static void check_held(struct kv_txn *t, struct str key, struct str value)
{
	struct digest ref, holder;
	struct key holds;
	uint64_t repo;

	MUST(unpack_u64(&key, &repo) && unpack_digest(&key, &ref) && unpack_digest(&key, &holder));
	MUST(key.n == 0);
	holds = index_key_of(repo, &holder);
	MUST(has_row(t, KV_HOLDS, &holds, &value));
}

static void check_holds(struct kv_txn *t, struct str key, struct str value)
{
	struct key k = { 0 };

	key_text(&k, key);
	MUST(has_row(t, KV_MANIFEST, &k, &value));
}

static void check_link(struct kv_txn *t, struct str key, struct str value)
{
	struct digest d;
	struct key content = { 0 };
	uint64_t repo;

	MUST(unpack_u64(&key, &repo) && unpack_digest(&key, &d) && key.n == 0);
	MUST(place_bits(t, repo, &d) & 1);
	key_digest(&content, &d);
	MUST(has_row(t, KV_OBJECT, &content, &value));
}

static void check_place(struct kv_txn *t, struct str key, struct str value)
{
	struct digest d;
	struct key k;
	uint64_t repo;
	uint8_t bits = (uint8_t)value.p[0];

	MUST(unpack_digest(&key, &d) && unpack_u64(&key, &repo) && key.n == 0);
	MUST(bits >= 1 && bits <= 3);
	k = index_key_of(repo, &d);
	MUST(has_row(t, KV_LINK, &k, &value) == ((bits & 1) != 0));
	MUST(has_row(t, KV_MANIFEST, &k, &value) == ((bits & 2) != 0));
}

static void check_referrer(struct kv_txn *t, struct str key, struct str value)
{
	struct digest subject, d;
	struct manifest_row row;
	struct key k;
	uint64_t repo, hash;

	MUST(unpack_u64(&key, &repo) && unpack_digest(&key, &subject) && unpack_u64(&key, &hash) &&
	     unpack_digest(&key, &d) && key.n == 0);
	k = index_key_of(repo, &d);
	MUST(has_row(t, KV_MANIFEST, &k, &value) && manifest_row_unpack(value, &row));
	MUST(row.has_subject && digest_eq(&row.subject, &subject));
}

/* I4: what nothing in the repository refers to waits for review, at least once. */
static void check_free(struct kv_txn *t)
{
	AUTO_KV_CURSOR *c = NULL, *review = NULL;
	struct str key, value;
	struct err e;

	MUST(kv_cursor_open(t, KV_PLACE, &c, &e) == ERR_OK);
	for (enum err_kind k = kv_seek(c, STR("\0"), &key, &value, &e); k == ERR_OK;
	     k = kv_next(c, &key, &value, &e)) {
		struct str at = key, rk, rv;
		struct digest d;
		struct key prefix;
		uint64_t repo;
		bool free = true;

		MUST(unpack_digest(&at, &d) && unpack_u64(&at, &repo));
		prefix = index_key_of(repo, &d);
		for (unsigned i = 0; i < 2; i++) {
			AUTO_KV_CURSOR *in = NULL;

			MUST(kv_cursor_open(t, i ? KV_HELD : KV_TAGGED, &in, &e) == ERR_OK);
			if (kv_seek(in, key_str(&prefix), &rk, &rv, &e) == ERR_OK &&
			    str_starts(rk, key_str(&prefix)))
				free = false;
		}
		if (!free)
			continue;
		MUST(kv_cursor_open(t, KV_REVIEW, &review, &e) == ERR_OK);
		for (k = kv_seek(review, STR("\0"), &rk, &rv, &e);
		     k == ERR_OK &&
		     !(rk.n == 8 + prefix.n && memcmp(rk.p + 8, prefix.b, prefix.n) == 0);)
			k = kv_next(review, &rk, &rv, &e);
		MUST(k == ERR_OK);
		kv_cursor_close(&review);
	}
}

void index_check(struct index *ix)
{
	static const struct {
		enum kv_table table;
		row_fn *fn;
	} checks[] = {
		{ KV_TAG, check_tag },           { KV_TAGGED, check_tagged },
		{ KV_MANIFEST, check_manifest }, { KV_HELD, check_held },
		{ KV_HOLDS, check_holds },       { KV_LINK, check_link },
		{ KV_PLACE, check_place },       { KV_REFERRER, check_referrer },
	};
	AUTO_KV_TXN *t = NULL;
	struct err e;

	MUST(kv_read_begin(ix->kv, &t, &e) == ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(checks); i++)
		each_row(t, checks[i].table, checks[i].fn);
	check_free(t);
}
