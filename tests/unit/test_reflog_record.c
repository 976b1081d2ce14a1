#include "storage/reflog_record.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEAD "{\"seq\":7,\"ts\":9,"

static struct digest digest_a(void)
{
	struct digest d = { .alg = DIGEST_SHA256 };

	memset(d.bytes, 0xaa, 32);
	return d;
}

static const struct {
	const char *name;
	enum change_kind kind, read_as;
	const char *line;
} kinds[] = {
	{ "link", CHANGE_BLOB_LINK, CHANGE_BLOB_LINK,
	  HEAD "\"op\":\"blob.link\",\"repo\":\"a/b\",\"digest\":\"sha256:" A64
	       "\",\"size\":5}\n" },
	{ "mount", CHANGE_BLOB_MOUNT, CHANGE_BLOB_LINK,
	  HEAD "\"op\":\"blob.link\",\"repo\":\"a/b\",\"digest\":\"sha256:" A64
	       "\",\"size\":5}\n" },
	{ "unlink", CHANGE_BLOB_UNLINK, CHANGE_BLOB_UNLINK,
	  HEAD "\"op\":\"blob.unlink\",\"repo\":\"a/b\",\"digest\":\"sha256:" A64 "\"}\n" },
	{ "manifest", CHANGE_MANIFEST_PUT, CHANGE_MANIFEST_PUT,
	  HEAD "\"op\":\"manifest.put\",\"repo\":\"a/b\",\"digest\":\"sha256:" A64
	       "\",\"size\":6,\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"tags\":[\"v1\",\"v2\"]}\n" },
	{ "manifest delete", CHANGE_MANIFEST_DELETE, CHANGE_MANIFEST_DELETE,
	  HEAD "\"op\":\"manifest.delete\",\"repo\":\"a/b\",\"digest\":\"sha256:" A64 "\"}\n" },
	{ "tag delete", CHANGE_TAG_DELETE, CHANGE_TAG_DELETE,
	  HEAD "\"op\":\"tag.delete\",\"repo\":\"a/b\",\"tags\":[\"v1\",\"v2\"]}\n" },
};

/* The text is on disks, so it is compared as a whole; then it is read back. */
static void test_round_trip(void **state)
{
	__typeof__(&kinds[0]) c = *state;
	struct manifest m = { .size_bytes = 6, .media_type = MEDIA_OCI_INDEX };
	struct tag_name tags[] = { tag_of("v1"), tag_of("v2") };
	struct digest d = digest_a();
	struct change ch = { .kind = c->kind,
			     .repo = repo_of("a/b"),
			     .at_ms = 9,
			     .digest = d,
			     .size_bytes = 5,
			     .manifest = c->kind == CHANGE_MANIFEST_PUT ? &m : NULL,
			     .tags = tags,
			     .n_tags = 2 };
	AUTO_REFLOG_RECORD r = { 0 };
	AUTO_SBUF b;
	struct err e;

	sbuf_init(&b, REFLOG_LINE_MAX);
	assert_true(reflog_records(&ch));
	assert_ok(reflog_record_write(&ch, 7, &b, &e), &e);
	assert_string_equal(b.p, c->line);
	assert_ok(reflog_record_parse((struct str){ b.p, b.n - 1 }, &r, &e), &e);
	assert_true(r.seq == 7 && r.at_ms == 9 && r.kind == c->read_as);
	assert_string_equal(r.repo.s, "a/b");
	assert_int_equal(digest_eq(&r.digest, &d), c->kind != CHANGE_TAG_DELETE);
	if (c->read_as == CHANGE_BLOB_LINK)
		assert_int_equal(r.size_bytes, 5);
	if (c->kind == CHANGE_MANIFEST_PUT) {
		assert_int_equal(r.size_bytes, 6);
		assert_string_equal(r.media_type, MEDIA_OCI_INDEX);
	}
	if (c->kind == CHANGE_MANIFEST_PUT || c->kind == CHANGE_TAG_DELETE) {
		assert_int_equal(r.n_tags, 2);
		assert_string_equal(r.tags[1].s, "v2");
	} else {
		assert_int_equal(r.n_tags, 0);
	}
}

#define TRACE "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static void test_trace(void **state)
{
	const struct trace t = { .id = "4bf92f3577b34da6a3ce929d0e0e4736",
				 .parent = "1111111111111111",
				 .span = "00f067aa0ba902b7",
				 .flags = "01" };
	struct change ch = { .kind = CHANGE_BLOB_UNLINK,
			     .repo = repo_of("a"),
			     .at_ms = 9,
			     .digest = digest_a(),
			     .trace = &t };
	AUTO_REFLOG_RECORD r = { 0 }, other = { 0 };
	AUTO_SBUF b;
	struct err e;

	(void)state;
	sbuf_init(&b, REFLOG_LINE_MAX);
	assert_ok(reflog_record_write(&ch, 7, &b, &e), &e);
	assert_non_null(strstr(b.p, ",\"trace\":\"" TRACE "\"}\n"));
	assert_ok(reflog_record_parse((struct str){ b.p, b.n - 1 }, &r, &e), &e);
	assert_string_equal(r.trace, TRACE);
	memcpy(strstr(b.p, "4bf9"), "4BF9", 4); /* none, as any member of a later version */
	assert_ok(reflog_record_parse((struct str){ b.p, b.n - 1 }, &other, &e), &e);
	assert_string_equal(other.trace, "");
}

static void test_not_recorded(void **state)
{
	(void)state;
	assert_false(reflog_records(&(struct change){ .kind = CHANGE_UPLOAD_OPEN }));
	assert_false(reflog_records(&(struct change){ .kind = CHANGE_UPLOAD_CLOSE }));
}

#define LINK "\"op\":\"blob.link\",\"repo\":\"a\",\"digest\":\"sha256:" A64 "\",\"size\":5"
#define PUT                                                                                        \
	"\"op\":\"manifest.put\",\"repo\":\"a\",\"digest\":\"sha256:" A64                          \
	"\",\"size\":5,\"mediaType\":\"" MEDIA_OCI_INDEX "\""

static const struct {
	const char *name, *line, *message;
} refused[] = {
	{ "nothing", "", "not a JSON object" },
	{ "torn", "{\"seq\":7,\"ts\":9,\"op\":\"blo", "not a JSON object" },
	{ "a list", "[]", "not a JSON object" },
	{ "two records", HEAD LINK "}" HEAD LINK "}", "not a JSON object" },
	{ "nested too deep", HEAD "\"x\":[[[[1]]]]," LINK "}", "not a JSON object" },
	{ "duplicate member", HEAD "\"seq\":8," LINK "}", "not a JSON object" },
	{ "no seq", "{\"ts\":9," LINK "}", "invalid seq" },
	{ "seq 0", "{\"seq\":0,\"ts\":9," LINK "}", "invalid seq" },
	{ "negative seq", "{\"seq\":-1,\"ts\":9," LINK "}", "invalid seq" },
	{ "seq as text", "{\"seq\":\"7\",\"ts\":9," LINK "}", "invalid seq" },
	{ "no ts", "{\"seq\":7," LINK "}", "invalid ts" },
	{ "ts as a real", "{\"seq\":7,\"ts\":9.5," LINK "}", "invalid ts" },
	{ "no op", HEAD "\"repo\":\"a\"}", "unknown op" },
	{ "op of another version", HEAD "\"op\":\"blob.copy\",\"repo\":\"a\"}", "unknown op" },
	{ "op as a number", HEAD "\"op\":1,\"repo\":\"a\"}", "unknown op" },
	{ "no repo", HEAD "\"op\":\"tag.delete\",\"tags\":[\"a\"]}", "invalid repo" },
	{ "bad repo", HEAD "\"op\":\"tag.delete\",\"repo\":\"../a\",\"tags\":[\"a\"]}",
	  "invalid repo" },
	{ "no digest", HEAD "\"op\":\"blob.unlink\",\"repo\":\"a\"}", "invalid digest" },
	{ "bad digest",
	  HEAD "\"op\":\"blob.unlink\",\"repo\":\"a\",\"digest\":\"sha256:" A64 "a\"}",
	  "invalid digest" },
	{ "no size", HEAD "\"op\":\"blob.link\",\"repo\":\"a\",\"digest\":\"sha256:" A64 "\"}",
	  "invalid size" },
	{ "negative size",
	  HEAD "\"op\":\"blob.link\",\"repo\":\"a\",\"digest\":\"sha256:" A64 "\",\"size\":-5}",
	  "invalid size" },
	{ "no mediaType",
	  HEAD "\"op\":\"manifest.put\",\"repo\":\"a\",\"digest\":\"sha256:" A64
	       "\",\"size\":5,\"tags\":[]}",
	  "invalid mediaType" },
	{ "mediaType of no manifest",
	  HEAD "\"op\":\"manifest.put\",\"repo\":\"a\",\"digest\":\"sha256:" A64
	       "\",\"size\":5,\"mediaType\":\"text/plain\",\"tags\":[]}",
	  "invalid mediaType" },
	{ "no tags", HEAD PUT "}", "tags is not an array" },
	{ "tags as text", HEAD PUT ",\"tags\":\"v1\"}", "tags is not an array" },
	{ "pushed as text", HEAD PUT ",\"pushed\":\"5\",\"tags\":[]}", "invalid pushed" },
	{ "bad tag", HEAD PUT ",\"tags\":[\"v1\",\"-\"]}", "invalid tag" },
	{ "tag that is no text", HEAD PUT ",\"tags\":[\"v1\",1]}", "invalid tag" },
	{ "tag delete without tags", HEAD "\"op\":\"tag.delete\",\"repo\":\"a\"}",
	  "tags is not an array" },
};

static void test_refused(void **state)
{
	__typeof__(&refused[0]) c = *state;
	struct reflog_record r = { .seq = 77 };
	struct err e;

	assert_err(reflog_record_parse(str_of(c->line), &r, &e), ERR_CORRUPT, &e, c->message);
	assert_int_equal(r.seq, 77);
}

/* A later version may say more. */
static void test_more_members(void **state)
{
	AUTO_REFLOG_RECORD r = { 0 };
	struct err e;

	(void)state;
	assert_ok(reflog_record_parse(STR(HEAD "\"by\":\"somebody\"," LINK "}"), &r, &e), &e);
	assert_int_equal(r.seq, 7);
}

/* Who it was is read back, and is no reason to refuse a line. */
static void test_who(void **state)
{
	static const struct change_guard alice = { .who = "user:al\"ice" },
					 root = { .who = "uid:0", .by_admin = true };
	static const struct {
		const struct change_guard *guard;
		bool by_gc;
		const char *line_end;
	} cases[] = {
		{ NULL, false, A64 "\"}\n" },
		{ NULL, true, A64 "\",\"by\":\"gc\"}\n" },
		{ &alice, false, A64 "\",\"who\":\"user:al\\\"ice\"}\n" },
		{ &root, false, A64 "\",\"by\":\"admin\",\"who\":\"uid:0\"}\n" },
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct change ch = { .kind = CHANGE_BLOB_UNLINK,
					   .repo = repo_of("a"),
					   .digest = digest_a(),
					   .guard = cases[i].guard,
					   .by_gc = cases[i].by_gc };
		AUTO_REFLOG_RECORD r = { 0 };
		AUTO_SBUF b = { .max = REFLOG_LINE_MAX };

		assert_ok(reflog_record_write(&ch, 7, &b, &e), &e);
		assert_string_equal(b.p + b.n - strlen(cases[i].line_end), cases[i].line_end);
		assert_ok(reflog_record_parse((struct str){ b.p, b.n - 1 }, &r, &e), &e);
		assert_string_equal(r.who, cases[i].guard ? cases[i].guard->who : "");
		assert_int_equal(r.by_admin, cases[i].guard == &root);
		assert_int_equal(r.by_gc, cases[i].by_gc);
	}
}

static void test_strange_who(void **state)
{
	AUTO_SBUF line = { .max = SBUF_MAX };
	AUTO_REFLOG_RECORD r = { 0 };
	AUTO_REFLOG_RECORD longer = { 0 };
	struct err e;

	(void)state;
	assert_ok(reflog_record_parse(STR(HEAD "\"who\":[1]," LINK "}"), &r, &e), &e);
	assert_string_equal(r.who, "");
	sbuf_addf(&line, HEAD "\"who\":\"%0*d\"," LINK "}", CHANGE_WHO_MAX + 1, 0);
	assert_ok(reflog_record_parse((struct str){ line.p, line.n }, &longer, &e), &e);
	assert_string_equal(longer.who, "");
}

static void test_pushed_elsewhere(void **state)
{
	struct manifest m = { .size_bytes = 6, .media_type = MEDIA_OCI_INDEX };
	struct change ch = { .kind = CHANGE_MANIFEST_PUT,
			     .repo = repo_of("a"),
			     .at_ms = 9,
			     .pushed_ms = 5,
			     .digest = digest_a(),
			     .manifest = &m };
	AUTO_REFLOG_RECORD r = { 0 };
	AUTO_SBUF b;
	struct err e;

	(void)state;
	sbuf_init(&b, REFLOG_LINE_MAX);
	assert_ok(reflog_record_write(&ch, 7, &b, &e), &e);
	assert_non_null(strstr(b.p, "\"ts\":9,"));
	assert_non_null(strstr(b.p, "\"pushed\":5,"));
	assert_ok(reflog_record_parse((struct str){ b.p, b.n - 1 }, &r, &e), &e);
	assert_true(r.at_ms == 9 && r.pushed_ms == 5);
}

static void test_longest(void **state)
{
	struct tag_name tags[1000];
	struct manifest m = { .size_bytes = INT64_MAX, .media_type = MEDIA_OCI_MANIFEST };
	struct change ch = { .kind = CHANGE_MANIFEST_PUT,
			     .at_ms = INT64_MAX,
			     .digest = digest_of_bytes(DIGEST_SHA512, STR("x")),
			     .manifest = &m,
			     .tags = tags,
			     .n_tags = ARRAY_LEN(tags) };
	char name[REPO_NAME_MAX], tag[TAG_NAME_MAX];
	AUTO_REFLOG_RECORD r = { 0 };
	AUTO_SBUF b;
	struct err e;

	(void)state;
	memset(name, 'a', sizeof(name));
	memset(tag, 'a', sizeof(tag));
	MUST(repo_name_parse(&ch.repo, (struct str){ name, sizeof(name) }));
	for (size_t i = 0; i < ARRAY_LEN(tags); i++)
		MUST(tag_name_parse(&tags[i], (struct str){ tag, sizeof(tag) }));
	sbuf_init(&b, REFLOG_LINE_MAX);
	assert_ok(reflog_record_write(&ch, INT64_MAX, &b, &e), &e);
	assert_ok(reflog_record_parse((struct str){ b.p, b.n - 1 }, &r, &e), &e);
	assert_int_equal(r.n_tags, 1000);
	assert_int_equal(r.tags[999].len, TAG_NAME_MAX);
}

static void test_write_fails(void **state)
{
	struct change ch = { .kind = CHANGE_BLOB_UNLINK,
			     .repo = repo_of("a"),
			     .digest = digest_a() };
	AUTO_SBUF b;
	struct err e;

	(void)state;
	sbuf_init(&b, 20);
	assert_err(reflog_record_write(&ch, 1, &b, &e), ERR_NO_MEMORY, &e,
		   "no memory for a reflog record");
}

int main(void)
{
	UNIT_TABLE("round trip", test_round_trip, kinds);
	unit_case("pushed elsewhere", test_pushed_elsewhere);
	unit_case("upload sessions are not recorded", test_not_recorded);
	UNIT_TABLE("refused", test_refused, refused);
	unit_case("members that are not known are let be", test_more_members);
	unit_case("who asked for it", test_who);
	unit_case("the trace it is part of", test_trace);
	unit_case("who asked for it, as nobody writes it", test_strange_who);
	unit_case("the longest record", test_longest);
	unit_case("a record that finds no room", test_write_fails);
	return unit_run();
}
