#include "server/reply.h"

#include <fcntl.h>
#include <unistd.h>

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static struct reply r;

static const char *header(const char *name)
{
	const char *found = NULL;

	for (size_t i = 0; i < r.n_headers; i++) {
		if (strcmp(r.headers[i].name, name) == 0) {
			assert_null(found); /* each once */
			found = r.headers[i].value;
		}
	}
	return found;
}

/* --- status and code --- */

enum fault { OF_CLIENT, OF_OURS };

static const struct kind_case {
	const char *name;
	enum err_kind kind;
	enum fault fault;
} kinds[] = {
	{ "not found", ERR_NOT_FOUND, OF_CLIENT },
	{ "exists", ERR_EXISTS, OF_OURS },
	{ "invalid", ERR_INVALID, OF_CLIENT },
	{ "digest", ERR_DIGEST, OF_CLIENT },
	{ "size", ERR_SIZE, OF_CLIENT },
	{ "range", ERR_RANGE, OF_CLIENT },
	{ "too large", ERR_TOO_LARGE, OF_CLIENT },
	{ "too many", ERR_TOO_MANY, OF_CLIENT },
	{ "denied", ERR_DENIED, OF_CLIENT },
	{ "login", ERR_LOGIN, OF_CLIENT },
	{ "away", ERR_AWAY, OF_OURS },
	{ "in use", ERR_IN_USE, OF_CLIENT },
	{ "refs", ERR_REFS, OF_CLIENT },
	{ "no space", ERR_NO_SPACE, OF_OURS },
	{ "no memory", ERR_NO_MEMORY, OF_OURS },
	{ "unsupported", ERR_UNSUPPORTED, OF_CLIENT },
	{ "corrupt", ERR_CORRUPT, OF_OURS },
	{ "io", ERR_IO, OF_OURS },
	{ "bug", ERR_BUG, OF_OURS },
};

/* Every kind about every resource has an answer, and blames the right side. */
static void test_kind(void **state)
{
	const struct kind_case *c = *state;

	for (unsigned res = 0; res < RESOURCE_N; res++) {
		struct error_code as = error_code_of(c->kind, (enum resource)res);

		if (c->fault == OF_CLIENT)
			assert_in_range(as.status, 400, 499);
		else
			assert_in_range(as.status, 500, 599);
		assert_true(as.code && as.code[0]);
		for (const char *at = as.code; *at;
		     at++) /* distribution-spec: capitals and underscores */
			assert_true((*at >= 'A' && *at <= 'Z') || *at == '_');
	}
}

static void test_all_kinds(void **state)
{
	(void)state;
	assert_int_equal(ARRAY_LEN(kinds), ERR_KIND_N - 1);
}

/* distribution-spec "Error Codes", and what clients act upon */
static const struct {
	const char *name;
	enum err_kind kind;
	enum resource res;
	unsigned status;
	const char *code;
} codes[] = {
	{ "blob unknown", ERR_NOT_FOUND, RES_BLOB, 404, "BLOB_UNKNOWN" },
	{ "upload unknown", ERR_NOT_FOUND, RES_UPLOAD, 404, "BLOB_UPLOAD_UNKNOWN" },
	{ "manifest unknown", ERR_NOT_FOUND, RES_MANIFEST, 404, "MANIFEST_UNKNOWN" },
	{ "tag unknown", ERR_NOT_FOUND, RES_TAG, 404, "MANIFEST_UNKNOWN" },
	{ "name unknown", ERR_NOT_FOUND, RES_REPO, 404, "NAME_UNKNOWN" },
	{ "name invalid", ERR_INVALID, RES_NAME, 400, "NAME_INVALID" },
	{ "manifest invalid", ERR_INVALID, RES_MANIFEST, 400, "MANIFEST_INVALID" },
	{ "upload invalid", ERR_INVALID, RES_UPLOAD, 400, "BLOB_UPLOAD_INVALID" },
	{ "tag invalid", ERR_INVALID, RES_TAG, 400, "TAG_INVALID" },
	{ "page", ERR_INVALID, RES_PAGE, 400, "PAGINATION_NUMBER_INVALID" },
	{ "digest invalid", ERR_INVALID, RES_DIGEST, 400, "DIGEST_INVALID" },
	{ "digest wrong", ERR_DIGEST, RES_UPLOAD, 400, "DIGEST_INVALID" },
	{ "size", ERR_SIZE, RES_UPLOAD, 400, "SIZE_INVALID" },
	{ "chunk out of order", ERR_RANGE, RES_UPLOAD, 416, "BLOB_UPLOAD_INVALID" },
	{ "range of a blob", ERR_RANGE, RES_ANY, 416, "RANGE_INVALID" },
	{ "manifest too large", ERR_TOO_LARGE, RES_MANIFEST, 413, "MANIFEST_INVALID" },
	{ "target too long", ERR_TOO_LARGE, RES_PATH, 414, "NAME_INVALID" },
	{ "too many", ERR_TOO_MANY, RES_UPLOAD, 429, "TOOMANYREQUESTS" },
	{ "denied", ERR_DENIED, RES_REPO, 403, "DENIED" },
	{ "login", ERR_LOGIN, RES_REPO, 401, "UNAUTHORIZED" },
	{ "blob in use", ERR_IN_USE, RES_BLOB, 409, "DENIED" },
	{ "references", ERR_REFS, RES_MANIFEST, 404, "MANIFEST_BLOB_UNKNOWN" },
	{ "kind of manifest", ERR_UNSUPPORTED, RES_MANIFEST, 415, "MANIFEST_INVALID" },
	{ "method", ERR_UNSUPPORTED, RES_PATH, 405, "UNSUPPORTED" },
	{ "disk full", ERR_NO_SPACE, RES_BLOB, 507, "INSUFFICIENT_STORAGE" },
	{ "no memory", ERR_NO_MEMORY, RES_BLOB, 503, "UNAVAILABLE" },
	{ "a service that is away", ERR_AWAY, RES_BLOB, 503, "UNAVAILABLE" },
	{ "our fault", ERR_BUG, RES_ANY, 500, "UNKNOWN" },
	{ "no failure at all", ERR_OK, RES_ANY, 500, "UNKNOWN" },
};

static void test_code(void **state)
{
	__typeof__(&codes[0]) c = *state;
	struct error_code as = error_code_of(c->kind, c->res);

	assert_int_equal(as.status, c->status);
	assert_string_equal(as.code, c->code);
}

/* --- documents --- */

/* {"errors":[{"code":..,"message":..,"detail":..}]}: message and detail of the i'th, which must be there. */
static void assert_error(size_t i, size_t n, const char *code, const char *message, bool has_detail)
{
	AUTO_JV *doc = NULL;
	const struct jv *list, *one;
	struct str text;
	struct err e;

	assert_non_null(r.body);
	assert_ok(jv_parse_object((struct str){ r.body, r.body_n }, 16, &doc, &e), &e);
	list = jv_member(doc, "errors");
	assert_int_equal(jv_count(list), n);
	one = jv_at(list, i);
	assert_true(jv_text(jv_member(one, "code"), &text));
	assert_true(str_eq(text, str_of(code)));
	assert_true(jv_text(jv_member(one, "message"), &text));
	if (!str_eq(text, str_of(message)))
		fail_msg("message is \"%.*s\"", STR_FMT(text));
	assert_int_equal(jv_member(one, "detail") != NULL, has_detail);
	assert_string_equal(header("Content-Type"), "application/json");
}

static void fail_with(enum err_kind kind, enum resource res, const char *message, struct jv *detail)
{
	struct err e;

	(void)err_set(&e, kind, "here", "%s", message);
	reply_error(&r, &e, res, detail);
}

static void test_document(void **state)
{
	(void)state;
	reply_init(&r);
	fail_with(ERR_NOT_FOUND, RES_BLOB, "no such blob in a", NULL);
	assert_int_equal(r.status, 404);
	assert_error(0, 1, "BLOB_UNKNOWN", "no such blob in a", false);
	assert_null(header("Retry-After"));
	reply_clear(&r);
	reply_clear(&r);
}

static void test_detail(void **state)
{
	struct jv *list = jv_new_array();

	(void)state;
	reply_init(&r);
	fail_with(ERR_INVALID, RES_ANY, "bad", jv_pack("{s:s}", "why", "because"));
	assert_error(0, 1, "INVALID_REQUEST", "bad", true);
	reply_clear(&r);
	reply_init(&r);
	MUST(jv_append(list, jv_pack("{s:s}", "digest", "one")));
	MUST(jv_append(list, jv_pack("{s:s}", "digest", "two")));
	fail_with(ERR_REFS, RES_MANIFEST, "missing", list);
	assert_error(0, 2, "MANIFEST_BLOB_UNKNOWN", "missing", true);
	assert_error(1, 2, "MANIFEST_BLOB_UNKNOWN", "missing", true);
	assert_non_null(strstr(r.body, "{\"digest\":\"two\"}"));
	reply_clear(&r);
	reply_init(&r);
	fail_with(ERR_REFS, RES_MANIFEST, "missing", jv_new_array()); /* never without an error */
	assert_error(0, 1, "MANIFEST_BLOB_UNKNOWN", "missing", false);
	reply_clear(&r);
}

/* What fails on our side is told in general terms. */
static void test_public(void **state)
{
	static const enum err_kind ours[] = { ERR_CORRUPT, ERR_IO, ERR_BUG, ERR_NO_SPACE,
					      ERR_NO_MEMORY };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		reply_init(&r);
		fail_with(ours[i], RES_ANY, "open /secret/path", NULL);
		assert_non_null(r.body);
		assert_null(strstr(r.body, "secret"));
		reply_clear(&r);
	}
}

static void test_retry(void **state)
{
	(void)state;
	reply_init(&r);
	fail_with(ERR_TOO_MANY, RES_UPLOAD, "too many", NULL);
	assert_int_equal(r.status, 429);
	assert_string_equal(header("Retry-After"), "1");
	reply_clear(&r);
	reply_init(&r);
	fail_with(ERR_NO_MEMORY, RES_ANY, "", NULL);
	assert_string_equal(header("Retry-After"), "1");
	reply_clear(&r);
}

/* A message may quote a client, and may be cut anywhere: it always arrives as JSON. */
static const struct {
	const char *name, *message, *want;
} messages[] = {
	{ "quotes and backslashes", "a \"b\" \\c", "a \"b\" \\c" },
	{ "control bytes", "a\nb\x01", "a\nb\x01" },
	{ "UTF-8", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
	  "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80" },
	{ "a byte that is no text",
	  "a\xff"
	  "b",
	  "a?b" },
	{ "cut in a letter", "a\xc3", "a?" },
	{ "cut in a long letter", "a\xf0\x9f\x98", "a???" },
	{ "letters around one that is cut", "\xc3\xa4\xe2\x82\xc3\xa4", "\xc3\xa4??\xc3\xa4" },
	{ "overlong", "\xc0\xaf", "??" },
	{ "surrogate", "\xed\xa0\x80", "???" },
	{ "empty", "", "" },
};

static void test_message(void **state)
{
	__typeof__(&messages[0]) c = *state;

	reply_init(&r);
	fail_with(ERR_INVALID, RES_ANY, c->message, NULL);
	assert_int_equal(r.status, 400);
	assert_error(0, 1, "INVALID_REQUEST", c->want, false);
	reply_clear(&r);
}

/* --- headers --- */

static void test_headers(void **state)
{
	(void)state;
	reply_init(&r);
	reply_header(&r, "Location", "/v2/%s", "a");
	reply_header(&r, "Range", "0-%d", 5);
	assert_string_equal(header("Location"), "/v2/a");
	assert_string_equal(header("Range"), "0-5");
	assert_null(header("Link"));
	reply_header(&r, "Range", "0-%d", 7); /* set again: the last one counts */
	assert_string_equal(header("Range"), "0-7");
	assert_false(r.overflow);
	fail_with(ERR_RANGE, RES_UPLOAD, "no", NULL); /* headers stay with an error */
	assert_string_equal(header("Range"), "0-7");
	assert_string_equal(header("Content-Type"), "application/json");
	reply_clear(&r);
}

static void test_header_text_overflow(void **state)
{
	char text[REPLY_TEXT_MAX + 1];

	(void)state;
	memset(text, 'a', sizeof(text));
	text[REPLY_TEXT_MAX - 1] = '\0';
	reply_init(&r);
	reply_header(&r, "Link", "%s", text);
	assert_false(r.overflow); /* exactly as much as there is room for */
	reply_header(&r, "Location", "%s", "");
	assert_true(r.overflow);
	reply_init(&r);
	text[REPLY_TEXT_MAX - 1] = 'a';
	text[REPLY_TEXT_MAX] = '\0';
	reply_header(&r, "Link", "%s", text);
	assert_true(r.overflow);
	assert_null(header("Link"));
	reply_header(&r, "Location", "/");
	assert_true(r.overflow); /* sticky */
	/* the error that it becomes is whole */
	fail_with(ERR_BUG, RES_ANY, "a header of the answer is too long", NULL);
	assert_false(r.overflow);
	assert_error(0, 1, "UNKNOWN", "internal error", false);
	assert_null(header("Location"));
	reply_clear(&r);
}

static void test_header_count_overflow(void **state)
{
	static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i",
					     "j", "k", "l", "m", "n", "o", "p", "q" };

	(void)state;
	reply_init(&r);
	for (size_t i = 0; i < REPLY_HEADERS_MAX; i++)
		reply_header(&r, names[i], "x");
	assert_false(r.overflow);
	reply_header(&r, names[3], "y");
	assert_false(r.overflow);
	reply_header(&r, names[REPLY_HEADERS_MAX], "x");
	assert_true(r.overflow);
	fail_with(ERR_BUG, RES_ANY, "", NULL);
	assert_error(0, 1, "UNKNOWN", "internal error", false);
	reply_clear(&r);
}

/* --- bodies --- */

static void test_body(void **state)
{
	struct sbuf b;

	(void)state;
	reply_init(&r);
	sbuf_init(&b, 100);
	sbuf_add_str(&b, STR("first"));
	reply_body(&r, 200, "text/plain", &b);
	assert_null(b.p); /* taken */
	assert_int_equal(r.status, 200);
	assert_int_equal(r.body_n, 5);
	assert_memory_equal(r.body, "first", 5);
	assert_string_equal(header("Content-Type"), "text/plain");
	sbuf_add_str(&b, STR("second"));
	reply_body(&r, 201, "text/html", &b); /* replaces */
	assert_int_equal(r.body_n, 6);
	assert_string_equal(header("Content-Type"), "text/html");
	fail_with(ERR_DENIED, RES_ANY, "no", NULL);
	assert_int_equal(r.status, 403);
	assert_error(0, 1, "DENIED", "no", false);
	reply_clear(&r);
	assert_null(r.body);
}

static void test_failed_body(void **state)
{
	AUTO_SBUF b;

	(void)state;
	reply_init(&r);
	sbuf_init(&b, 2);
	sbuf_add_str(&b, STR("too long"));
	reply_body(&r, 200, "text/plain", &b);
	assert_int_equal(r.status, 503);
	assert_error(0, 1, "UNAVAILABLE", "out of memory or descriptors: try again", false);
	reply_clear(&r);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void test_file(void **state)
{
	int first = open("/dev/null", O_RDONLY | O_CLOEXEC),
	    second = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	reply_init(&r);
	assert_int_equal(r.fd, -1);
	reply_file(&r, 206, first, 5, 7);
	assert_true(r.status == 206 && r.fd == first && r.fd_at == 5 && r.length == 7);
	reply_file(&r, 200, second, 0, 9); /* replaces, and closes what it replaces */
	assert_false(is_open(first));
	assert_true(is_open(second));
	fail_with(ERR_IO, RES_BLOB, "read", NULL);
	assert_false(is_open(second));
	assert_int_equal(r.fd, -1);
	reply_clear(&r);
}

int main(void)
{
	UNIT_TABLE("kind", test_kind, kinds);
	unit_case("all kinds are here", test_all_kinds);
	UNIT_TABLE("code", test_code, codes);
	unit_case("error document", test_document);
	unit_case("details", test_detail);
	unit_case("our faults in general terms", test_public);
	unit_case("Retry-After", test_retry);
	UNIT_TABLE("message", test_message, messages);
	unit_case("headers", test_headers);
	unit_case("headers that are too long", test_header_text_overflow);
	unit_case("headers that are too many", test_header_count_overflow);
	unit_case("body", test_body);
	unit_case("body that failed", test_failed_body);
	unit_case("file", test_file);
	return unit_run();
}
