/* Rows of collection, trash and checks as bytes: FORMAT.md section 4. */
#include "storage/index_key.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define X_DIGEST "012d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
#define X_KEY                                                                                      \
	"\1\x2d\x71\x16\x42\xb7\x26\xb0\x44\x01\x62\x7c\xa9\xfb\xac\x32"                           \
	"\xf5\xc8\x53\x0f\xb1\x90\x3c\xc4\xdb\x02\x25\x87\x17\x92\x1a\x48\x81"
#define T8 "\0\0\0\0\0\0\0\1"

/* Unpacks a key and a value, and packs what came out. */
typedef bool repack_fn(struct str key, struct str value, struct row *out);

#define REPACK(name, type)                                                                         \
	static bool repack_##name(struct str key, struct str value, struct row *out)               \
	{                                                                                          \
		type v;                                                                            \
                                                                                                   \
		(void)key;                                                                         \
		if (!name##_unpack(value, &v))                                                     \
			return false;                                                              \
		name##_pack(out, &v);                                                              \
		return true;                                                                       \
	}
REPACK(object_row, struct object_row)
REPACK(totals, struct totals)
REPACK(closed_row, struct closed_row)
REPACK(scrub_row, struct scrub_row)

static bool repack_review(struct str key, struct str value, struct row *out)
{
	struct review_row v;
	struct key again;

	if (!review_row_unpack(key, value, &v))
		return false;
	again = review_key(&v);
	assert_true(str_eq(key_str(&again), key));
	review_row_pack(out, &v);
	return true;
}

/* With the length of no tags behind it. */
static bool repack_trash(struct str key, struct str value, struct row *out)
{
	struct trash_row v;
	struct str tags, refs;
	struct row n;

	if (!trash_row_unpack(key, value, &v, &tags, &refs) || tags.n || refs.n)
		return false;
	trash_row_pack(out, &v);
	u64_pack(&n, 0);
	memcpy(out->b + out->n, n.b, n.n);
	out->n += n.n;
	return true;
}

static struct row make_object(void)
{
	struct row r;

	object_row_pack(&r, &(struct object_row){ .size_bytes = 0x0102030405060708 });
	return r;
}

static struct row make_damaged(void)
{
	struct row r;

	object_row_pack(&r, &(struct object_row){ .size_bytes = 3, .damaged_ms = 5 });
	return r;
}

static struct row make_totals(void)
{
	struct row r;

	totals_pack(&r, &(struct totals){ .objects = 2, .bytes = 3 });
	return r;
}

static struct row make_closed(void)
{
	struct row r;

	closed_row_pack(&r, &(struct closed_row){ .boot = "0123456789abcde", .up_ms = 7 });
	return r;
}

static struct row make_scrub(void)
{
	struct row r;

	scrub_row_pack(
	    &r, &(struct scrub_row){
		    .started_ms = 1, .ended_ms = 2, .objects = 3, .bytes = 4, .damaged = 5 });
	return r;
}

static struct row make_scrub_position(void)
{
	struct row r;

	scrub_row_pack(&r, &(struct scrub_row){
			       .started_ms = 1, .has_position = true, .position = digest_of("x") });
	return r;
}

static struct row make_review(void)
{
	struct row r;

	review_row_pack(&r, &(struct review_row){ .since_ms = 9, .why = REVIEW_NO_SUBJECT });
	return r;
}

static struct row make_trash(void)
{
	struct trash_row v = { .at_ms = 1,
			       .kind = TRASH_MANIFEST,
			       .by_gc = true,
			       .digest = digest_of("x"),
			       .size_bytes = 2,
			       .repo = repo_of("a/b"),
			       .media_type = "t/s" };
	struct row r, n;

	trash_row_pack(&r, &v);
	u64_pack(&n, 0);
	memcpy(r.b + r.n, n.b, n.n);
	r.n += n.n;
	return r;
}

static const struct layout {
	const char *name;
	repack_fn *repack;
	struct row (*make)(void);
	const char *hex;
	struct str key;
	size_t also; /* a length to which it can be cut: what follows is optional */
} layouts[] = {
	{ "object", repack_object_row, make_object, "0102030405060708", { "", 0 }, 0 },
	{ "damaged object",
	  repack_object_row,
	  make_damaged,
	  "00000000000000030000000000000005",
	  { "", 0 },
	  8 },
	{ "totals", repack_totals, make_totals, "00000000000000020000000000000003", { "", 0 }, 0 },
	{ "closed",
	  repack_closed_row,
	  make_closed,
	  "303132333435363738396162636465000000000000000007",
	  { "", 0 },
	  0 },
	{ "scrub",
	  repack_scrub_row,
	  make_scrub,
	  "00000000000000010000000000000002000000000000000300000000000000040000000000000005",
	  { "", 0 },
	  0 },
	{ "scrub under way",
	  repack_scrub_row,
	  make_scrub_position,
	  "0000000000000001000000000000000000000000000000000000000000000000000000000000000"
	  "0" X_DIGEST,
	  { "", 0 },
	  40 },
	{ "review", repack_review, make_review, "000000000000000902", { T8 T8 X_KEY, 49 }, 0 },
	{ "trash",
	  repack_trash,
	  make_trash,
	  "00000000000000010101" X_DIGEST "00000000000000020003612f620003742f730000000000000000",
	  { T8, 8 },
	  0 },
};

static void test_layout(void **state)
{
	const struct layout *c = *state;
	struct row r = c->make(), again;
	char hex[2 * ROW_MAX + 1] = "";

	hex_lower(r.b, r.n, hex);
	hex[2 * r.n] = '\0';
	assert_string_equal(hex, c->hex);
	assert_true(c->repack(c->key, row_str(&r), &again));
	assert_true(str_eq(row_str(&again), row_str(&r)));
}

static void test_truncated(void **state)
{
	const struct layout *c = *state;
	struct row r = c->make(), out;

	for (size_t n = 0; n < r.n; n++) {
		bool ok = c->repack(c->key, (struct str){ (const char *)r.b, n }, &out);

		assert_int_equal(ok, c->also && n == c->also);
	}
	r.b[r.n] = 'x';
	assert_false(
	    c->repack(c->key, (struct str){ (const char *)r.b, r.n + 1 }, &out)); /* too long */
	for (size_t n = 0; n < c->key.n; n++)
		assert_false(c->repack((struct str){ c->key.p, n }, row_str(&r), &out));
}

/* X1: what is accepted packs to the same bytes. */
static void test_flipped(void **state)
{
	const struct layout *c = *state;
	struct row r = c->make(), out;

	for (size_t bit = 0; bit < 8 * r.n; bit++) {
		r.b[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (c->repack(c->key, row_str(&r), &out))
			assert_true(str_eq(row_str(&out), row_str(&r)));
		r.b[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static const struct spoilt {
	const char *name;
	repack_fn *repack;
	struct str key, value;
} spoilt[] = {
	{ "damaged at no time", repack_object_row, { "", 0 }, { T8 "\0\0\0\0\0\0\0\0", 16 } },
	{ "review without a reason", repack_review, { T8 T8 X_KEY, 49 }, { T8 "\0", 9 } },
	{ "review for another reason", repack_review, { T8 T8 X_KEY, 49 }, { T8 "\4", 9 } },
	{ "review of no algorithm", repack_review, { T8 T8 "\0", 17 }, { T8 "\1", 9 } },
	{ "trash of no kind",
	  repack_trash,
	  { T8, 8 },
	  { T8 "\0\0" X_KEY T8 "\0\1a\0\0\0\0\0\0\0\0\0\0", 64 } },
	{ "trash of another kind",
	  repack_trash,
	  { T8, 8 },
	  { T8 "\4\0" X_KEY T8 "\0\1a\0\0\0\0\0\0\0\0\0\0", 64 } },
	{ "trash by nobody",
	  repack_trash,
	  { T8, 8 },
	  { T8 "\1\2" X_KEY T8 "\0\1a\0\0\0\0\0\0\0\0\0\0", 64 } },
	{ "trash of a bad repository",
	  repack_trash,
	  { T8, 8 },
	  { T8 "\1\0" X_KEY T8 "\0\1A\0\0\0\0\0\0\0\0\0\0", 64 } },
	{ "trash with more tags than there are",
	  repack_trash,
	  { T8, 8 },
	  { T8 "\1\0" X_KEY T8 "\0\1a\0\0\0\0\0\0\0\0\0\1", 64 } },
	{ "scrub at no digest", repack_scrub_row, { "", 0 }, { T8 T8 T8 T8 T8 "\3", 41 } },
};

static void test_spoilt(void **state)
{
	const struct spoilt *c = *state;
	struct row out;

	assert_false(c->repack(c->key, c->value, &out));
}

/* Tags and references follow a row of the trash. */
static void test_trash_follows(void **state)
{
	const struct manifest_ref ref = { .digest = digest_of("x"),
					  .kind = REF_LAYER,
					  .was_absent = true };
	AUTO_SBUF v = { .max = 1000 }, tags = { .max = 1000 };
	struct row head = make_trash(), n;
	struct str got_tags, got_refs;
	struct trash_row row;
	struct manifest_ref got;
	struct tag_name tag;

	(void)state;
	tag_pack(&tags, STR("v1"));
	tag_pack(&tags, STR("latest"));
	u64_pack(&n, tags.n);
	sbuf_add(&v, head.b, head.n - 8);
	sbuf_add_str(&v, row_str(&n));
	sbuf_add_str(&v, (struct str){ tags.p, tags.n });
	refs_pack(&v, &ref, 1);
	assert_true(trash_row_unpack((struct str){ T8, 8 }, (struct str){ v.p, v.n }, &row,
				     &got_tags, &got_refs));
	assert_int_equal(row.id, 1);
	assert_string_equal(row.media_type, "t/s");
	assert_true(tag_next(&got_tags, &tag));
	assert_string_equal(tag.s, "v1");
	assert_true(tag_next(&got_tags, &tag));
	assert_string_equal(tag.s, "latest");
	assert_false(tag_next(&got_tags, &tag));
	assert_true(refs_next(&got_refs, &got));
	assert_true(got.was_absent && got.kind == REF_LAYER && digest_eq(&got.digest, &ref.digest));
	assert_int_equal(got_refs.n, 0);
}

static void test_tags(void **state)
{
	static const struct str bad[] = {
		{ "", 0 },     { "\0", 1 },    { "\0\2a", 3 },
		{ "\0\0", 2 }, { "\0\1.", 3 }, { "\xff\xff", 2 },
	};
	struct tag_name tag;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct str in = bad[i];

		assert_false(tag_next(&in, &tag));
		assert_true(in.p == bad[i].p && in.n == bad[i].n);
	}
}

/* The greatest row of the trash has room. */
static void test_greatest(void **state)
{
	struct trash_row v = { .kind = TRASH_MANIFEST,
			       .digest = digest_of_bytes(DIGEST_SHA512, STR("x")) };
	struct row r;

	(void)state;
	v.repo.len = REPO_NAME_MAX;
	memset(v.repo.s, 'a', REPO_NAME_MAX);
	memset(v.media_type, 't', MEDIA_TYPE_MAX);
	trash_row_pack(&r, &v);
	assert_int_equal(r.n, 8 + 1 + 1 + 65 + 8 + 2 + REPO_NAME_MAX + 2 + MEDIA_TYPE_MAX);
	assert_in_range(r.n, 1, ROW_MAX);
}

int main(void)
{
	UNIT_TABLE("layout", test_layout, layouts);
	UNIT_TABLE("every truncation", test_truncated, layouts);
	UNIT_TABLE("every flipped bit", test_flipped, layouts);
	UNIT_TABLE("refused", test_spoilt, spoilt);
	unit_case("what follows a row of the trash", test_trash_follows);
	unit_case("tags that are none", test_tags);
	unit_case("the greatest row of the trash", test_greatest);
	return unit_run();
}
