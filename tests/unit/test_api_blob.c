/* Blobs and uploads, through the routes. */
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/exchange.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define TEXT "the bytes of a blob"

static const struct mode {
	const char *name;
	unsigned workers;
} modes[] = { { "inline", 0 }, { "with workers", 2 } };

static void begin(struct test_server *s, void **state)
{
	const struct mode *m = *state;

	test_server_start(s, unit_dir(), m ? m->workers : 0);
}

static const char *blob_target(const char *repo, const struct digest *d, char buf[static 300])
{
	char text[DIGEST_TEXT_MAX];

	(void)snprintf(buf, 300, "/v2/%s/blobs/%s", repo, digest_text(d, text));
	return buf;
}

static void start(struct test_server *s, const char *query, char location[static 300])
{
	struct exchange x;
	char target[400];

	(void)snprintf(target, sizeof(target), "/v2/a/blobs/uploads/%s", query);
	exchange(&x, s, "POST", target, NULL, NOTHING);
	assert_status(&x, 202, "");
	assert_string_equal(reply_field(&x, "Range"), "0-0");
	assert_true(str_starts(str_of(reply_field(&x, "Location")), STR("/v2/a/blobs/uploads/")));
	assert_string_equal(reply_field(&x, "Location") + strlen("/v2/a/blobs/uploads/"),
			    reply_field(&x, "Docker-Upload-UUID"));
	(void)snprintf(location, 300, "%s", reply_field(&x, "Location"));
	exchange_end(&x);
}

static void push(struct test_server *s, const char *repo, const char *text)
{
	struct digest d = digest_of(text);
	char dt[DIGEST_TEXT_MAX], target[300];

	(void)snprintf(target, sizeof(target), "/v2/%s/blobs/uploads/?digest=%s", repo,
		       digest_text(&d, dt));
	expect_reply(s, "POST", target, NULL, str_of(text), 201, "");
}

static void test_chunks(void **state)
{
	struct test_server s;
	struct digest d = digest_of(TEXT);
	char location[300], target[500], path[300], dt[DIGEST_TEXT_MAX];
	struct exchange x;

	begin(&s, state);
	start(&s, "", location);
	exchange(&x, &s, "PATCH", location, "Content-Range: 0-8\n", STR("the bytes"));
	assert_status(&x, 202, "");
	assert_string_equal(reply_field(&x, "Range"), "0-8");
	assert_string_equal(reply_field(&x, "Location"), location);
	exchange_end(&x);
	exchange(&x, &s, "PATCH", location, "Content-Range: 5-14\n", STR(" of a blob"));
	assert_status(&x, 416,
		      "BLOB_UPLOAD_INVALID"); /* with the state, so that the client can go on */
	assert_string_equal(reply_field(&x, "Range"), "0-8");
	assert_string_equal(reply_field(&x, "Location"), location);
	exchange_end(&x);
	expect_reply(&s, "PATCH", location, "Content-Range: 9-20\n", STR(" of"), 400,
		     "SIZE_INVALID");
	expect_reply(&s, "PATCH", location, "Content-Range: x\n", STR(" of"), 400,
		     "BLOB_UPLOAD_INVALID");
	expect_reply(&s, "PATCH", location, NULL, STR(" of a "), 202, "");
	exchange(&x, &s, "GET", location, NULL, NOTHING);
	assert_status(&x, 204, "");
	assert_string_equal(reply_field(&x, "Range"), "0-14");
	exchange_end(&x);
	expect_reply(&s, "PUT", location, NULL, NOTHING, 400, "DIGEST_INVALID");
	(void)snprintf(target, sizeof(target), "%s?digest=sha256:x", location);
	expect_reply(&s, "PUT", target, NULL, NOTHING, 400, "DIGEST_INVALID");
	(void)snprintf(target, sizeof(target), "%s?digest=%s", location, digest_text(&d, dt));
	expect_reply(&s, "PUT", target, NULL, NOTHING, 400,
		     "DIGEST_INVALID"); /* not all there: it stays open */
	exchange(&x, &s, "PUT", target, "Content-Range: 15-18\n", STR("blob"));
	assert_status(&x, 201, "");
	assert_string_equal(reply_field(&x, "Location"), blob_target("a", &d, path));
	assert_string_equal(reply_field(&x, "Docker-Content-Digest"), dt);
	exchange_end(&x);
	expect_reply(&s, "GET", location, NULL, NOTHING, 404, "BLOB_UPLOAD_UNKNOWN");
	expect_reply(&s, "PATCH", location, NULL, STR("x"), 404, "BLOB_UPLOAD_UNKNOWN");
	expect_reply(&s, "GET", path, NULL, NOTHING, 200, TEXT);
	test_server_stop(&s);
}

static void test_single(void **state)
{
	struct test_server s;
	struct digest d = digest_of(TEXT), empty = digest_of("");
	char target[300], path[300], dt[DIGEST_TEXT_MAX];

	begin(&s, state);
	push(&s, "a", TEXT);
	expect_reply(&s, "GET", blob_target("a", &d, path), NULL, NOTHING, 200, TEXT);
	push(&s, "a", ""); /* no byte at all */
	expect_reply(&s, "GET", blob_target("a", &empty, path), NULL, NOTHING, 200, "");
	(void)snprintf(target, sizeof(target), "/v2/a/blobs/uploads/?digest=%s",
		       digest_text(&d, dt));
	expect_reply(&s, "POST", target, NULL, STR("other bytes"), 400, "DIGEST_INVALID");
	expect_reply(&s, "POST", "/v2/a/blobs/uploads/?digest=x", NULL, STR("x"), 400,
		     "DIGEST_INVALID");
	expect_reply(&s, "POST", "/v2/a/blobs/uploads/?digest-algorithm=md5", NULL, NOTHING, 400,
		     "DIGEST_INVALID");
	expect_reply(&s, "POST", "/v2/a/blobs/uploads/", NULL, STR("bytes that nobody asked for"),
		     202, "");
	test_server_stop(&s);
}

static void test_algorithm(void **state)
{
	struct test_server s;
	struct digest d = digest_of_bytes(DIGEST_SHA512, STR(TEXT));
	char location[300], target[500], path[300], dt[DIGEST_TEXT_MAX];

	begin(&s, state);
	start(&s, "?digest-algorithm=sha512", location);
	expect_reply(&s, "PATCH", location, NULL, STR(TEXT), 202, "");
	(void)snprintf(target, sizeof(target), "%s?digest=%s", location, digest_text(&d, dt));
	expect_reply(&s, "PUT", target, NULL, NOTHING, 201, "");
	expect_reply(&s, "GET", blob_target("a", &d, path), NULL, NOTHING, 200, TEXT);
	test_server_stop(&s);
}

static void test_mount(void **state)
{
	struct test_server s;
	struct digest d = digest_of(TEXT), unknown = digest_of("unknown");
	char target[400], path[300], dt[DIGEST_TEXT_MAX];
	struct exchange x;

	begin(&s, state);
	push(&s, "a", TEXT);
	(void)snprintf(target, sizeof(target), "/v2/b/blobs/uploads/?mount=%s&from=a",
		       digest_text(&d, dt));
	exchange(&x, &s, "POST", target, NULL, NOTHING);
	assert_status(&x, 201, "");
	assert_string_equal(reply_field(&x, "Location"), blob_target("b", &d, path));
	exchange_end(&x);
	expect_reply(&s, "GET", path, NULL, NOTHING, 200, TEXT);
	(void)snprintf(target, sizeof(target), "/v2/c/blobs/uploads/?mount=%s",
		       digest_text(&d, dt));
	expect_reply(&s, "POST", target, NULL, NOTHING, 201, "");
	/* what cannot be mounted is to be uploaded */
	(void)snprintf(target, sizeof(target), "/v2/c/blobs/uploads/?mount=%s&from=a",
		       digest_text(&unknown, dt));
	expect_reply(&s, "POST", target, NULL, NOTHING, 202, "");
	(void)snprintf(target, sizeof(target), "/v2/c/blobs/uploads/?mount=%s&from=A",
		       digest_text(&d, dt));
	expect_reply(&s, "POST", target, NULL, NOTHING, 400, "NAME_INVALID");
	test_server_stop(&s);
}

static void test_cancel(void **state)
{
	struct test_server s;
	char location[300];

	begin(&s, state);
	start(&s, "", location);
	expect_reply(&s, "DELETE", location, NULL, NOTHING, 204, "");
	expect_reply(&s, "DELETE", location, NULL, NOTHING, 404, "BLOB_UPLOAD_UNKNOWN");
	expect_reply(&s, "HEAD", location, NULL, NOTHING, 404, "BLOB_UPLOAD_UNKNOWN");
	test_server_stop(&s);
}

/* The second request at one session is refused, the first one goes on. */
static void test_busy(void **state)
{
	struct test_server s;
	struct exchange x;
	char location[300];

	begin(&s, state);
	start(&s, "", location);
	exchange_start(&x, &s, "PATCH", location, NULL);
	exchange_send(&x, "abc", 3, 3);
	expect_reply(&s, "PATCH", location, NULL, STR("x"), 409, "BLOB_UPLOAD_INVALID");
	expect_reply(&s, "DELETE", location, NULL, NOTHING, 409, "BLOB_UPLOAD_INVALID");
	exchange_send(&x, "def", 3, 3);
	exchange_finish(&x);
	assert_status(&x, 202, "");
	assert_string_equal(reply_field(&x, "Range"), "0-5");
	exchange_end(&x);
	test_server_stop(&s);
}

static void test_too_many(void **state)
{
	struct test_server s;
	char location[300];
	struct exchange x;

	begin(&s, state);
	for (unsigned i = 0; i < 100; i++)
		start(&s, "", location);
	exchange(&x, &s, "POST", "/v2/a/blobs/uploads/", NULL, NOTHING);
	assert_status(&x, 429, "TOOMANYREQUESTS");
	assert_string_equal(reply_field(&x, "Retry-After"), "1");
	exchange_end(&x);
	test_server_stop(&s);
}

/* --- reading --- */

static const struct get_case {
	const char *name, *method, *headers;
	unsigned status;
	const char *body, *range;
} gets[] = {
	{ "whole", "GET", NULL, 200, TEXT, NULL },
	{ "head", "HEAD", NULL, 200, "", NULL },
	{ "part", "GET", "Range: bytes=4-8\n", 206, "bytes", "bytes 4-8/19" },
	{ "from the end", "GET", "Range: bytes=-4\n", 206, "blob", "bytes 15-18/19" },
	{ "open", "GET", "Range: bytes=15-\n", 206, "blob", "bytes 15-18/19" },
	{ "beyond", "GET", "Range: bytes=19-\n", 416, "RANGE_INVALID", "bytes */19" },
	{ "not understood", "GET", "Range: lines=1-2\n", 200, TEXT, NULL },
	{ "part of a head", "HEAD", "Range: bytes=4-8\n", 200, "", NULL },
	{ "part if it is another", "GET", "Range: bytes=4-8\nIf-Range: \"x\"\n", 200, TEXT, NULL },
	{ "if it is another", "GET", "If-None-Match: \"x\"\n", 200, TEXT, NULL },
	{ "if there is none", "GET", "If-None-Match: *\n", 304, "", NULL },
};

static void test_get(void **state)
{
	const struct get_case *c = *state;
	struct digest d = digest_of(TEXT);
	struct test_server s;
	struct exchange x;
	char path[300], dt[DIGEST_TEXT_MAX];

	test_server_start(&s, unit_dir(), 0);
	push(&s, "a", TEXT);
	exchange(&x, &s, c->method, blob_target("a", &d, path), c->headers, NOTHING);
	assert_status(&x, c->status, c->body);
	if (c->range)
		assert_string_equal(reply_field(&x, "Content-Range"), c->range);
	else
		assert_null(reply_field(&x, "Content-Range"));
	assert_string_equal(reply_field(&x, "Docker-Content-Digest"), digest_text(&d, dt));
	assert_string_equal(reply_field(&x, "Accept-Ranges"), "bytes");
	if (strcmp(c->method, "HEAD") == 0) {
		assert_true(x.rq->reply.no_body && x.rq->reply.fd < 0);
		assert_int_equal(x.rq->reply.length, strlen(TEXT));
	}
	exchange_end(&x);
	test_server_stop(&s);
}

static void test_validators(void **state)
{
	struct digest d = digest_of(TEXT), unknown = digest_of("unknown");
	struct test_server s;
	char path[300], headers[300], dt[DIGEST_TEXT_MAX];

	begin(&s, state);
	push(&s, "a", TEXT);
	blob_target("a", &d, path);
	(void)snprintf(headers, sizeof(headers), "Range: bytes=4-8\nIf-Range: \"%s\"\n",
		       digest_text(&d, dt));
	expect_reply(&s, "GET", path, headers, NOTHING, 206, "bytes");
	(void)snprintf(headers, sizeof(headers), "If-None-Match: W/\"%s\"\n", dt);
	expect_reply(&s, "GET", path, headers, NOTHING, 304, "");
	expect_reply(&s, "GET", blob_target("a", &unknown, path), NULL, NOTHING, 404,
		     "BLOB_UNKNOWN");
	expect_reply(&s, "GET", blob_target("b", &d, path), NULL, NOTHING, 404, "BLOB_UNKNOWN");
	test_server_stop(&s);
}

static void test_delete(void **state)
{
	struct digest d = digest_of(TEXT);
	struct test_server s;
	char path[300];

	begin(&s, state);
	push(&s, "a", TEXT);
	expect_reply(&s, "DELETE", blob_target("a", &d, path), NULL, NOTHING, 202, "");
	expect_reply(&s, "DELETE", path, NULL, NOTHING, 404, "BLOB_UNKNOWN");
	expect_reply(&s, "GET", path, NULL, NOTHING, 404, "BLOB_UNKNOWN");
	test_server_stop(&s);
}

/* P2: a file that is not what the index promised is never sent. */
static void test_damaged(void **state)
{
	struct digest d = digest_of(TEXT);
	const char *root = unit_dir();
	struct test_server s;
	char path[300], hex[DIGEST_HEX_MAX + 1], name[300];

	(void)state;
	test_server_start(&s, root, 0);
	push(&s, "a", TEXT);
	digest_hex(&d, hex);
	(void)snprintf(name, sizeof(name), "%s/blobs/sha256/%.2s/%s", root, hex, hex);
	MUST(chmod(name, 0600) == 0 && truncate(name, 3) == 0);
	log_set_level(LOG_ERROR);
	expect_reply(&s, "GET", blob_target("a", &d, path), NULL, NOTHING, 500, "CORRUPT");
	log_set_level(LOG_INFO);
	test_server_stop(&s);
}

static void test_ping(void **state)
{
	struct test_server s;

	begin(&s, state);
	expect_reply(&s, "GET", "/v2/", NULL, NOTHING, 200, "{}");
	expect_reply(&s, "HEAD", "/v2", NULL, NOTHING, 200, "{}");
	expect_reply(&s, "GET", "/healthz", NULL, NOTHING, 200, "ok\n");
	test_server_stop(&s);
}

int main(void)
{
	UNIT_TABLE("ping", test_ping, modes);
	UNIT_TABLE("in chunks", test_chunks, modes);
	UNIT_TABLE("in one request", test_single, modes);
	UNIT_TABLE("another algorithm", test_algorithm, modes);
	UNIT_TABLE("mount", test_mount, modes);
	UNIT_TABLE("cancel", test_cancel, modes);
	UNIT_TABLE("two requests at one session", test_busy, modes);
	UNIT_TABLE("too many", test_too_many, modes);
	UNIT_TABLE("get", test_get, gets);
	unit_case("validators", test_validators);
	UNIT_TABLE("delete", test_delete, modes);
	unit_case("damaged", test_damaged);
	return unit_run();
}
