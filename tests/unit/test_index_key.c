#include "storage/index_key.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

/* Each table's codec behind one signature: unpack, and pack what came out. */
typedef bool repack_fn(struct str in, struct row *out);

#define REPACK(name, type)                                                                         \
	static bool repack_##name(struct str in, struct row *out)                                  \
	{                                                                                          \
		type v;                                                                            \
                                                                                                   \
		if (!name##_unpack(in, &v))                                                        \
			return false;                                                              \
		name##_pack(out, &v);                                                              \
		return true;                                                                       \
	}
REPACK(repo_row, struct repo_row)
REPACK(tag_row, struct tag_row)
REPACK(upload_row, struct upload_row)
REPACK(reflog_mark, struct reflog_mark)

/* References follow the row: here none may. */
static bool repack_manifest_row(struct str in, struct row *out)
{
	struct manifest_row v;
	struct str refs;

	if (!manifest_row_unpack(in, &v, &refs) || refs.n)
		return false;
	manifest_row_pack(out, &v);
	return true;
}

static bool repack_u64(struct str in, struct row *out)
{
	uint64_t v;

	if (!u64_unpack(in, &v))
		return false;
	u64_pack(out, v);
	return true;
}

static struct row make_repo(void)
{
	struct row r;

	repo_row_pack(&r, &(struct repo_row){ .id = 0x0102030405060708, .created_ms = UINT64_MAX });
	return r;
}

static struct row make_tag(void)
{
	struct row r;

	tag_row_pack(&r,
		     &(struct tag_row){ .digest = digest_of("x"), .pushed_ms = 1, .pulled_ms = 2 });
	return r;
}

static struct row make_tag_512(void)
{
	struct row r;

	tag_row_pack(&r, &(struct tag_row){ .digest = digest_of_bytes(DIGEST_SHA512, STR("x")) });
	return r;
}

static struct row make_manifest(bool has_subject, size_t n_type)
{
	struct manifest_row m = { .id = 9,
				  .pushed_ms = 3,
				  .size_bytes = 4,
				  .has_subject = has_subject,
				  .media_type = MEDIA_OCI_MANIFEST };
	struct row r;

	memset(m.artifact_type, 'a', n_type);
	if (has_subject)
		m.subject = digest_of("subject");
	manifest_row_pack(&r, &m);
	return r;
}

static struct row make_plain_manifest(void)
{
	return make_manifest(false, 0);
}

static struct row make_referrer(void)
{
	return make_manifest(true, MEDIA_TYPE_MAX);
}

static struct row make_upload(void)
{
	struct row r;

	upload_row_pack(&r, &(struct upload_row){
				.started_ms = 5, .alg = DIGEST_SHA512, .repo = repo_of("a/b") });
	return r;
}

static struct row make_mark(void)
{
	struct row r;

	reflog_mark_pack(&r, &(struct reflog_mark){ .segment = 1, .offset = 2, .seq = 3 });
	return r;
}

static struct row make_u64(void)
{
	struct row r;

	u64_pack(&r, 0x8000000000000001u);
	return r;
}

static const struct codec {
	const char *name;
	struct row (*make)(void);
	repack_fn *repack;
} codecs[] = {
	{ "repository", make_repo, repack_repo_row },
	{ "tag", make_tag, repack_tag_row },
	{ "tag of sha512", make_tag_512, repack_tag_row },
	{ "manifest", make_plain_manifest, repack_manifest_row },
	{ "manifest with a subject", make_referrer, repack_manifest_row },
	{ "upload", make_upload, repack_upload_row },
	{ "reflog mark", make_mark, repack_reflog_mark },
	{ "number", make_u64, repack_u64 },
};

/* A copy of exactly n bytes, so that a sanitizer sees a byte read too far. */
static bool repack_exact(const struct codec *c, const uint8_t *b, size_t n, struct row *out)
{
	AUTO_FREE uint8_t *copy = malloc(n ? n : 1);

	MUST(copy);
	memcpy(copy, b, n);
	return c->repack((struct str){ (const char *)copy, n }, out);
}

static void test_round_trip(void **state)
{
	const struct codec *c = *state;
	struct row in = c->make(), out;

	assert_true(repack_exact(c, in.b, in.n, &out));
	assert_true(str_eq(row_str(&in), row_str(&out)));
}

static void test_truncated(void **state)
{
	const struct codec *c = *state;
	struct row in = c->make(), out;

	for (size_t n = 0; n < in.n; n++)
		assert_false(repack_exact(c, in.b, n, &out));
	in.b[in.n] = 0; /* and one byte more */
	assert_false(repack_exact(c, in.b, in.n + 1, &out));
}

/* X1: each flipped bit is refused, or is another value that packs to the same bytes. */
static void test_flipped(void **state)
{
	const struct codec *c = *state;
	struct row in = c->make(), out;

	for (size_t i = 0; i < 8 * in.n; i++) {
		in.b[i / 8] ^= (uint8_t)(1u << i % 8);
		if (repack_exact(c, in.b, in.n, &out))
			assert_true(str_eq(row_str(&in), row_str(&out)));
		in.b[i / 8] ^= (uint8_t)(1u << i % 8);
	}
}

/* FORMAT.md: these bytes are on disks. */
static const struct {
	const char *name;
	struct row (*make)(void);
	const char *hex;
} layouts[] = {
	{ "repository", make_repo, "0102030405060708ffffffffffffffff" },
	{ "tag", make_tag,
	  "0000000000000001000000000000000201"
	  "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" },
	{ "manifest", make_plain_manifest,
	  "000000000000000900000000000000030000000000000004002a6170706c69636174696f6e2f766e642e6f63"
	  "692e696d6167652e"
	  "6d"
	  "616e69666573742e76312b6a736f6e000000" },
	{ "upload", make_upload, "0000000000000005020003612f62" },
	{ "reflog mark", make_mark, "000000000000000100000000000000020000000000000003" },
	{ "number", make_u64, "8000000000000001" },
};

static void test_layout(void **state)
{
	__typeof__(&layouts[0]) c = *state;
	struct row r = c->make();
	char hex[2 * ROW_MAX + 1] = "";

	hex_lower(r.b, r.n, hex);
	hex[2 * r.n] = '\0';
	assert_string_equal(hex, c->hex);
}

#define T8 "\0\0\0\0\0\0\0\1"
static const struct {
	const char *name;
	repack_fn *repack;
	struct str value;
} spoilt[] = {
	{ "tag of an unknown algorithm",
	  repack_tag_row,
	  { T8 T8 "\3aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 49 } },
	{ "tag of no algorithm",
	  repack_tag_row,
	  { T8 T8 "\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 49 } },
	{ "media type with a NUL", repack_manifest_row, { T8 T8 T8 "\0\3a\0b\0\0\0", 32 } },
	{ "artifact type with a NUL", repack_manifest_row, { T8 T8 T8 "\0\0\0\3a\0b\0", 32 } },
	{ "media type longer than the row", repack_manifest_row, { T8 T8 T8 "\0\7ab\0\0\0", 31 } },
	{ "subject cut", repack_manifest_row, { T8 T8 T8 "\0\0\0\0\1\1aaaa", 34 } },
	{ "subject of an unknown algorithm", repack_manifest_row, { T8 T8 T8 "\0\0\0\0\1\7", 30 } },
	{ "subject that is neither there nor not",
	  repack_manifest_row,
	  { T8 T8 T8 "\0\0\0\0\2", 29 } },
	{ "upload of an unknown algorithm", repack_upload_row, { T8 "\3\0\1a", 12 } },
	{ "upload in no repository", repack_upload_row, { T8 "\1\0\0", 11 } },
	{ "upload in a bad repository", repack_upload_row, { T8 "\1\0\1A", 12 } },
};

static void test_spoilt(void **state)
{
	__typeof__(&spoilt[0]) c = *state;
	struct row out;

	assert_false(c->repack(c->value, &out));
}

static void test_media_type_too_long(void **state)
{
	struct row r = make_manifest(false, 0), out;
	uint8_t *at = r.b + 24;

	(void)state;
	at[0] = 1; /* 256 bytes, which are there */
	at[1] = 0;
	memset(at + 2, 'a', 256);
	memset(at + 2 + 256, 0, 3);
	assert_false(repack_manifest_row((struct str){ (char *)r.b, 24 + 2 + 256 + 3 }, &out));
	at[0] = 0; /* 255 */
	at[1] = 255;
	memset(at + 2 + 255, 0, 3);
	assert_true(repack_manifest_row((struct str){ (char *)r.b, 24 + 2 + 255 + 3 }, &out));
}

/* What follows the row are the references, as they are. */
static void test_refs_follow(void **state)
{
	struct row r = make_manifest(true, 3);
	struct manifest_row v;
	struct str refs;

	(void)state;
	memcpy(r.b + r.n, "rest", 4);
	r.n += 4;
	assert_true(manifest_row_unpack(row_str(&r), &v, &refs));
	assert_str(refs, "rest");
	assert_true(v.id == 9 && v.has_subject);
}

static void test_greatest_row(void **state)
{
	struct manifest_row m = { .has_subject = true,
				  .subject = digest_of_bytes(DIGEST_SHA512, STR("x")) };
	struct upload_row u = { .alg = DIGEST_SHA256 };
	char name[REPO_NAME_MAX];
	struct row r, out;

	(void)state;
	memset(m.media_type, 'm', MEDIA_TYPE_MAX);
	memset(m.artifact_type, 'a', MEDIA_TYPE_MAX);
	manifest_row_pack(&r, &m);
	assert_in_range(r.n, 1, ROW_MAX);
	assert_true(repack_manifest_row(row_str(&r), &out));
	memset(name, 'a', sizeof(name));
	MUST(repo_name_parse(&u.repo, (struct str){ name, sizeof(name) }));
	upload_row_pack(&r, &u);
	assert_in_range(r.n, 1, ROW_MAX);
	assert_true(repack_upload_row(row_str(&r), &out));
}

static void test_unpack_leaves_alone(void **state)
{
	struct str in = STR("\1aaaa"), before = in, text = STR("untouched");
	struct digest d = { .alg = 77 };
	uint64_t v = 42;
	uint8_t byte = 42;

	(void)state;
	assert_false(unpack_digest(&in, &d));
	assert_false(unpack_u64(&in, &v));
	assert_false(unpack_text(&in, 1000, &text));
	assert_true(in.p == before.p && in.n == before.n);
	assert_true(d.alg == 77 && v == 42);
	assert_str(text, "untouched");
	in.n = 0;
	assert_false(unpack_u8(&in, &byte));
	assert_false(unpack_digest(&in, &d));
	assert_false(unpack_text(&in, 1000, &text));
	assert_int_equal(byte, 42);
	in = STR("\0\2abc");
	assert_false(unpack_text(&in, 1, &text)); /* over the caller's maximum */
	assert_true(unpack_text(&in, 2, &text));
	assert_str(text, "ab");
	assert_true(unpack_u8(&in, &byte));
	assert_int_equal(byte, 'c');
	assert_int_equal(in.n, 0);
}

/* X2 */
static void test_keys_sort(void **state)
{
	static const uint64_t values[] = { 0, 1, 255, 256, 1u << 31, UINT64_MAX - 1, UINT64_MAX };

	(void)state;
	for (size_t i = 1; i < ARRAY_LEN(values); i++) {
		struct key a = { 0 }, b = { 0 };

		key_u64(&a, values[i - 1]);
		key_u64(&b, values[i]);
		assert_true(memcmp(a.b, b.b, 8) < 0);
	}
}

/* Holders of a digest are neighbours: one look tells whether there is any. */
static void test_entry_keys(void **state)
{
	struct digest d = digest_of("x");
	struct key tagged = entry_key(7, &d, ENTRY_TAGGED), held = entry_key(7, &d, ENTRY_HELD),
		   bytes = content_key(&d, CONTENT_BYTES);
	struct str at = key_str(&held);
	struct digest got;
	uint64_t repo;
	uint8_t kind;

	(void)state;
	assert_int_equal(tagged.n, held.n);
	assert_memory_equal(tagged.b, held.b, tagged.n - 1);
	assert_int_equal(tagged.b[tagged.n - 1] + 1, held.b[held.n - 1]);
	assert_true(unpack_u64(&at, &repo) && unpack_digest(&at, &got) && unpack_u8(&at, &kind));
	assert_true(repo == 7 && digest_eq(&got, &d) && kind == ENTRY_HELD && at.n == 0);
	at = key_str(&bytes);
	assert_true(unpack_digest(&at, &got) && unpack_u8(&at, &kind));
	assert_true(digest_eq(&got, &d) && kind == CONTENT_BYTES && at.n == 0);
}

static void test_key_parts(void **state)
{
	struct upload_id id = { .bytes = "0123456789abcde" };
	struct digest d256 = digest_of("x"), d512 = digest_of_bytes(DIGEST_SHA512, STR("x"));
	struct key k = { 0 };
	struct str at;
	struct digest d;
	uint64_t v;

	(void)state;
	key_u64(&k, 7);
	key_digest(&k, &d256);
	key_digest(&k, &d512);
	key_text(&k, STR("tag"));
	key_text(&k, (struct str){ NULL, 0 });
	key_upload(&k, &id);
	assert_int_equal(k.n, 8 + 33 + 65 + 3 + 16);
	at = key_str(&k);
	assert_true(unpack_u64(&at, &v) && v == 7);
	assert_true(unpack_digest(&at, &d) && digest_eq(&d, &d256));
	assert_true(unpack_digest(&at, &d) && digest_eq(&d, &d512));
	assert_true(str_starts(at, STR("tag0123456789abcde")));
}

static void key_u8_overflow(void *arg)
{
	struct key k = { .n = sizeof(k.b) };

	(void)arg;
	key_u8(&k, 1);
}

static void key_overflow(void *arg)
{
	struct key k = { .n = sizeof(k.b) - 7 };

	(void)arg;
	key_u64(&k, 1);
}

static void key_digest_overflow(void *arg)
{
	struct key k = { .n = sizeof(k.b) - 64 };
	struct digest d = { .alg = DIGEST_SHA512 };

	(void)arg;
	key_digest(&k, &d);
}

static void key_text_overflow(void *arg)
{
	struct key k = { .n = sizeof(k.b) - 2 };

	(void)arg;
	key_text(&k, STR("abc"));
}

static void test_key_overflow(void **state)
{
	struct key k = { .n = sizeof(k.b) - 8 };

	(void)state;
	key_u64(&k, 1); /* as much as there is room for */
	key_text(&k, (struct str){ "", 0 });
	assert_int_equal(k.n, sizeof(k.b));
	assert_true(unit_aborts(key_u8_overflow, NULL));
	assert_true(unit_aborts(key_overflow, NULL));
	assert_true(unit_aborts(key_digest_overflow, NULL));
	assert_true(unit_aborts(key_text_overflow, NULL));
}

static void test_refs(void **state)
{
	struct manifest_ref refs[] = {
		{ .digest = digest_of("config"), .kind = REF_CONFIG },
		{ .digest = digest_of_bytes(DIGEST_SHA512, STR("layer")), .kind = REF_LAYER },
		{ .digest = digest_of("child"), .kind = REF_CHILD },
	};
	AUTO_SBUF b;
	struct str in;
	struct manifest_ref ref;

	(void)state;
	sbuf_init(&b, 1000);
	refs_pack(&b, refs, ARRAY_LEN(refs));
	assert_int_equal(b.n, 34 + 66 + 34);
	in = (struct str){ b.p, b.n };
	for (size_t i = 0; i < ARRAY_LEN(refs); i++) {
		assert_true(refs_next(&in, &ref));
		assert_int_equal(ref.kind, refs[i].kind);
		assert_true(digest_eq(&ref.digest, &refs[i].digest));
	}
	assert_int_equal(in.n, 0);
	assert_false(refs_next(&in, &ref));
	for (size_t n = 1; n < 34; n++) { /* cut: false, and the cursor does not move */
		in = (struct str){ b.p, n };
		assert_false(refs_next(&in, &ref));
		assert_int_equal(in.n, n);
	}
	for (int kind = 0; kind < 256; kind++) {
		b.p[0] = (char)kind;
		in = (struct str){ b.p, b.n };
		assert_int_equal(refs_next(&in, &ref),
				 (kind & 0x7f) >= REF_CONFIG && (kind & 0x7f) <= REF_CHILD);
		assert_true(ref.was_absent == (kind >= 0x80) || in.n == b.n);
	}
}

static void test_referrer(void **state)
{
	AUTO_SBUF b;
	struct str type, descriptor;

	(void)state;
	sbuf_init(&b, 1000);
	referrer_pack(&b, STR("a/b"), STR("{}"));
	assert_true(referrer_unpack((struct str){ b.p, b.n }, &type, &descriptor));
	assert_str(type, "a/b");
	assert_str(descriptor, "{}");
	for (size_t n = 0; n <= 5; n++) /* without a descriptor it is none */
		assert_false(referrer_unpack((struct str){ b.p, n }, &type, &descriptor));
	sbuf_clear(&b);
	referrer_pack(&b, STR(""), STR("x"));
	assert_true(referrer_unpack((struct str){ b.p, b.n }, &type, &descriptor));
	assert_int_equal(type.n, 0);
	assert_str(descriptor, "x");
	sbuf_clear(&b);
	sbuf_add(&b, "\1\0", 2); /* a type of 256 bytes */
	for (unsigned i = 0; i < 300; i++)
		sbuf_add(&b, "a", 1);
	assert_false(referrer_unpack((struct str){ b.p, b.n }, &type, &descriptor));
}

/* FNV-1a's published test vectors. */
static void test_hash(void **state)
{
	(void)state;
	assert_true(artifact_type_hash(STR("")) == 0xcbf29ce484222325u);
	assert_true(artifact_type_hash(STR("a")) == 0xaf63dc4c8601ec8cu);
	assert_true(artifact_type_hash(STR("foobar")) == 0x85944171f73967e8u);
}

int main(void)
{
	UNIT_TABLE("round trip", test_round_trip, codecs);
	UNIT_TABLE("every truncation", test_truncated, codecs);
	UNIT_TABLE("every flipped bit", test_flipped, codecs);
	UNIT_TABLE("layout", test_layout, layouts);
	UNIT_TABLE("refused", test_spoilt, spoilt);
	unit_case("media type of 255 and 256 bytes", test_media_type_too_long);
	unit_case("references follow a manifest's row", test_refs_follow);
	unit_case("the greatest rows fit", test_greatest_row);
	unit_case("a cursor moves only over what is whole", test_unpack_leaves_alone);
	unit_case("numbers sort as bytes", test_keys_sort);
	unit_case("keys of entries and contents", test_entry_keys);
	unit_case("parts of a key", test_key_parts);
	unit_case("a key that is too long aborts", test_key_overflow);
	unit_case("references", test_refs);
	unit_case("referrers", test_referrer);
	unit_case("hash of artifact types", test_hash);
	return unit_run();
}
