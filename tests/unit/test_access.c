#include "server/access.h"

#include "auth/htpasswd.h"
#include "tests/lib/exchange.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define ALICE "Authorization: Basic YWxpY2U6c2VjcmV0\n"       /* alice:secret */
#define ALICE_WRONG "Authorization: Basic YWxpY2U6d3Jvbmc=\n" /* alice:wrong */
#define BOB "Authorization: Basic Ym9iOnNlY3JldA==\n"         /* bob:secret */
#define ROOT "Authorization: Basic cm9vdDpzZWNyZXQ=\n"        /* root:secret */

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA "sha256:" A64

#define BASIC "--auth.tokens.enabled=false"
#define RULES                                                                                      \
	"--access=[{who: alice, repositories: 'a/**', allow: [pull, push, delete]},"               \
	"{who: bob, repositories: ['a/shared', 'b/**'], allow: [pull, push]},"                     \
	"{who: anonymous, repositories: 'public/**', allow: pull},"                                \
	"{who: alice, repositories: 'public/**', allow: push},"                                    \
	"{who: root, repositories: '**', allow: admin},"                                           \
	"{repositories: 'a/**', immutable: 'v*'}]"

static void start(struct test_server *s, unsigned workers)
{
	static const char *const users[] = { "alice", "bob", "root" };
	const char *dir = unit_dir();
	char path[128], root[128], option[160];
	const char *const options[] = { option, BASIC, RULES, NULL };
	struct err e;

	(void)snprintf(path, sizeof(path), "%s/h", dir);
	(void)snprintf(root, sizeof(root), "%s/root", dir);
	(void)snprintf(option, sizeof(option), "--auth.htpasswd=%s", path);
	for (size_t i = 0; i < ARRAY_LEN(users); i++)
		assert_ok(htpasswd_set(path, str_of(users[i]), STR("secret"), 5, true, &e), &e);
	test_server_start_guarded(s, root, workers, options);
	log_set_level(LOG_ERROR);
}

/* --- who gets in --- */

static const struct {
	const char *name, *method, *target, *headers;
	unsigned status;
} answers[] = {
	{ "nobody at the door", "GET", "/v2/", NULL, 401 },
	{ "somebody at the door", "GET", "/v2/", ALICE, 200 },
	{ "a wrong password", "GET", "/v2/", ALICE_WRONG, 401 },
	{ "two fields", "GET", "/v2/", ALICE ALICE, 401 },
	{ "another scheme", "GET", "/v2/", "Authorization: Digest x\n", 401 },
	{ "health is everybody's", "GET", "/healthz", NULL, 200 },
	{ "and wrong passwords are not looked at there", "GET", "/healthz", ALICE_WRONG, 200 },
	{ "pull for nobody", "GET", "/v2/a/b/manifests/x", NULL, 401 },
	{ "blob for nobody", "HEAD", "/v2/a/b/blobs/" SHA, NULL, 401 },
	{ "tags for nobody", "GET", "/v2/a/b/tags/list", NULL, 401 },
	{ "referrers for nobody", "GET", "/v2/a/b/referrers/" SHA, NULL, 401 },
	{ "catalog for nobody", "GET", "/v2/_catalog", NULL, 401 },
	{ "push for nobody", "PUT", "/v2/a/b/manifests/x", NULL, 401 },
	{ "upload for nobody", "POST", "/v2/a/b/blobs/uploads/", NULL, 401 },
	{ "delete for nobody", "DELETE", "/v2/a/b/manifests/x", NULL, 401 },
	{ "a bad name for nobody", "GET", "/v2/A/tags/list", NULL, 401 },
	{ "a bad digest for nobody", "GET", "/v2/public/x/blobs/sha256:a", NULL, 401 },
	{ "a bad method for nobody", "PATCH", "/v2/a/b/manifests/x", NULL, 401 },
	{ "nothing for nobody", "GET", "/v2/nothing", NULL, 401 },
	{ "a bad name for somebody", "GET", "/v2/A/tags/list", ALICE, 400 },
	{ "a bad method for somebody", "PATCH", "/v2/a/b/manifests/x", ALICE, 405 },
	{ "nothing for somebody", "GET", "/v2/nothing", ALICE, 404 },
	{ "public for nobody", "GET", "/v2/public/x/manifests/x", NULL, 404 },
	{ "public for somebody", "GET", "/v2/public/x/manifests/x", BOB, 404 },
	{ "pushing to public for nobody", "POST", "/v2/public/x/blobs/uploads/", NULL, 401 },
	{ "pushing to public for another", "POST", "/v2/public/x/blobs/uploads/", BOB, 403 },
	{ "pushing to public", "POST", "/v2/public/x/blobs/uploads/", ALICE, 202 },
	{ "one's own", "GET", "/v2/a/b/manifests/x", ALICE, 404 },
	{ "another's", "GET", "/v2/a/b/manifests/x", BOB, 403 },
	{ "deleting without a right", "DELETE", "/v2/b/x/manifests/x", BOB, 403 },
	{ "deleting with one", "DELETE", "/v2/a/x/manifests/x", ALICE, 404 },
	{ "an administrator", "DELETE", "/v2/b/x/manifests/x", ROOT, 404 },
};

static void check_answer(void **state, unsigned workers)
{
	__typeof__(&answers[0]) a = *state;
	struct test_server s;
	struct exchange x;

	start(&s, workers);
	for (unsigned i = 0; i < 2; i++) { /* looked up, and remembered */
		exchange(&x, &s, a->method, a->target, a->headers, NOTHING);
		if (x.rq->reply.status != a->status)
			fail_msg("status %u, not %u", x.rq->reply.status, a->status);
		if (a->status == 401) {
			assert_status(&x, 401,
				      "{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":"
				      "\"authentication required\"}]}");
			assert_string_equal(reply_field(&x, "WWW-Authenticate"),
					    "Basic realm=\"berth\"");
		} else {
			assert_null(reply_field(&x, "WWW-Authenticate"));
		}
		exchange_end(&x);
	}
	test_server_stop(&s);
}

static void test_answer(void **state)
{
	check_answer(state, 2);
}

static void test_answer_inline(void **state)
{
	check_answer(state, 0);
}

/* R17: nothing is made for those who may not, and no worker of the store's is troubled. */
static void test_no_trace(void **state)
{
	struct test_server s;
	struct exchange x;
	struct kv_stat before, after;
	struct err e;

	(void)state;
	start(&s, 2);
	assert_ok(index_stat(store_index(s.server.store), &before, &e), &e);
	for (unsigned i = 0; i < 3; i++) {
		const char *who = (const char *[]){ NULL, BOB, ALICE_WRONG }[i];

		exchange(&x, &s, "POST", "/v2/a/b/blobs/uploads/?digest=" SHA, who, STR("bytes"));
		assert_in_range(x.rq->reply.status, 401, 403);
		assert_null(x.rq->ring);
		exchange_end(&x);
		exchange(&x, &s, "PUT", "/v2/a/b/manifests/v1", who, STR("{}"));
		assert_in_range(x.rq->reply.status, 401, 403);
		assert_null(x.rq->body.p);
		exchange_end(&x);
	}
	assert_ok(index_stat(store_index(s.server.store), &after, &e), &e);
	assert_memory_equal(&before, &after, sizeof(before));
	test_server_stop(&s);
}

/* A body under way while it is found out who sends it. */
static void test_body_waits(void **state)
{
	struct test_server s;
	struct exchange x;
	char target[200], text[DIGEST_TEXT_MAX];
	struct digest d = digest_of("bytes");

	(void)state;
	start(&s, 2);
	(void)snprintf(target, sizeof(target), "/v2/a/b/blobs/uploads/?digest=%s",
		       digest_text(&d, text));
	exchange(&x, &s, "POST", target, ALICE, STR("bytes"));
	assert_status(&x, 201, "");
	exchange_end(&x);
	test_server_stop(&s);
}

static void test_wait_is_told(void **state)
{
	struct test_server s;
	struct exchange x;
	unsigned status = 0;

	(void)state;
	start(&s, 2);
	for (unsigned i = 0; i < 6; i++) {
		exchange(&x, &s, "GET", "/v2/", ALICE_WRONG, NOTHING);
		status = x.rq->reply.status;
		if (status == 429)
			assert_string_equal(reply_field(&x, "Retry-After"), "1");
		exchange_end(&x);
	}
	assert_int_equal(status, 429);
	test_server_stop(&s);
}

/* --- what handlers ask --- */

static void send_blob(struct test_server *s, const char *repo, const char *who, const char *bytes)
{
	struct exchange x;
	char target[300], text[DIGEST_TEXT_MAX];
	struct digest d = digest_of(bytes);

	(void)snprintf(target, sizeof(target), "/v2/%s/blobs/uploads/?digest=%s", repo,
		       digest_text(&d, text));
	exchange(&x, s, "POST", target, who, str_of(bytes));
	assert_status(&x, 201, "");
	exchange_end(&x);
}

static void send_image(struct test_server *s, const char *repo, const char *tag, const char *who,
		       const char *extra, unsigned want)
{
	AUTO_SBUF body = image_of("{}", NULL, 0, extra);
	struct exchange x;
	char target[200], headers[256];

	(void)snprintf(target, sizeof(target), "/v2/%s/manifests/%s", repo, tag);
	(void)snprintf(headers, sizeof(headers), "%sContent-Type: " MEDIA_OCI_MANIFEST "\n", who);
	exchange(&x, s, "PUT", target, headers, (struct str){ body.p, body.n });
	assert_status(&x, want, "");
	exchange_end(&x);
}

/* AUTH-12, TOK-14: mounting is reading. */
static void test_mount(void **state)
{
	static const struct {
		const char *to, *from, *who;
		unsigned status;
	} mounts[] = {
		{ "b/x", "&from=a/secret", BOB, 202 },
		{ "b/x", "&from=a/shared", BOB, 201 },
		{ "b/y", "", BOB, 202 },
		{ "b/y", "&from=nowhere", BOB, 202 },
		{ "a/x", "&from=a/secret", ALICE, 201 },
		{ "a/y", "", ALICE, 201 },
		{ "c/z", "", ROOT, 201 },
	};
	struct digest secret = digest_of("secret bytes"), shared = digest_of("shared bytes");
	char target[300], text[DIGEST_TEXT_MAX];
	struct test_server s;

	(void)state;
	start(&s, 2);
	send_blob(&s, "a/secret", ALICE, "secret bytes");
	send_blob(&s, "a/shared", ALICE, "shared bytes");
	for (size_t i = 0; i < ARRAY_LEN(mounts); i++) {
		bool is_shared = strstr(mounts[i].from, "shared") != NULL;

		(void)snprintf(target, sizeof(target), "/v2/%s/blobs/uploads/?mount=%s%s",
			       mounts[i].to, digest_text(is_shared ? &shared : &secret, text),
			       mounts[i].from);
		expect_reply(&s, "POST", target, mounts[i].who, NOTHING, mounts[i].status, "");
	}
	(void)snprintf(target, sizeof(target), "/v2/b/y/blobs/%s", digest_text(&secret, text));
	expect_reply(&s, "GET", target, BOB, NOTHING, 404, "BLOB_UNKNOWN");
	/* now that it is in one that he may read, it need not be told from where */
	send_blob(&s, "a/shared", ALICE, "secret bytes");
	(void)snprintf(target, sizeof(target), "/v2/b/y/blobs/uploads/?mount=%s",
		       digest_text(&secret, text));
	expect_reply(&s, "POST", target, BOB, NOTHING, 201, "");
	test_server_stop(&s);
}

static void test_catalog(void **state)
{
	static const char *const repos[] = { "a/one", "a/shared", "b/one", "b/two", "c/one" };
	struct test_server s;
	struct exchange x;

	(void)state;
	start(&s, 2);
	for (size_t i = 0; i < ARRAY_LEN(repos); i++)
		send_blob(&s, repos[i], ROOT, "bytes");
	expect_reply(&s, "GET", "/v2/_catalog", ROOT, NOTHING, 200,
		     "[\"a/one\",\"a/shared\",\"b/one\",\"b/two\",\"c/one\"]");
	expect_reply(&s, "GET", "/v2/_catalog", ALICE, NOTHING, 200, "[\"a/one\",\"a/shared\"]");
	expect_reply(&s, "GET", "/v2/_catalog", BOB, NOTHING, 200,
		     "[\"a/shared\",\"b/one\",\"b/two\"]");
	exchange(&x, &s, "GET", "/v2/_catalog?n=2", BOB, NOTHING);
	assert_status(&x, 200, "[\"a/shared\",\"b/one\"]");
	assert_string_equal(reply_field(&x, "Link"), "</v2/_catalog?n=2&last=b/one>; rel=\"next\"");
	exchange_end(&x);
	exchange(&x, &s, "GET", "/v2/_catalog?n=2&last=b/one", BOB, NOTHING);
	assert_status(&x, 200, "[\"b/two\"]");
	assert_null(reply_field(&x, "Link"));
	exchange_end(&x);
	expect_reply(&s, "GET", "/v2/_catalog?n=0", BOB, NOTHING, 200, "[]");
	test_server_stop(&s);
}

static void test_immutable(void **state)
{
	struct test_server s;
	char target[200], text[DIGEST_TEXT_MAX];
	AUTO_SBUF body = image_of("{}", NULL, 0, "");
	struct digest d = digest_of_bytes(DIGEST_SHA256, (struct str){ body.p, body.n });

	(void)state;
	start(&s, 2);
	send_blob(&s, "a/r", ALICE, "{}");
	send_image(&s, "a/r", "v1", ALICE, "", 201);
	send_image(&s, "a/r", "v1", ALICE, "", 201); /* the same again */
	send_image(&s, "a/r", "latest", ALICE, "", 201);
	send_image(&s, "a/r", "v1", ALICE, ",\"annotations\":{\"a\":\"b\"}", 403);
	send_image(&s, "a/r", "latest", ALICE, ",\"annotations\":{\"a\":\"b\"}", 201);
	expect_reply(&s, "DELETE", "/v2/a/r/manifests/v1", ALICE, NOTHING, 403,
		     "tag v1 of a/r is immutable");
	(void)snprintf(target, sizeof(target), "/v2/a/r/manifests/%s", digest_text(&d, text));
	expect_reply(&s, "DELETE", target, ALICE, NOTHING, 403, "tag v1 of a/r is immutable");
	expect_reply(&s, "GET", "/v2/a/r/tags/list", ALICE, NOTHING, 200, "[\"latest\",\"v1\"]");
	send_image(&s, "a/r", "v1", ROOT, ",\"annotations\":{\"a\":\"b\"}", 201);
	expect_reply(&s, "DELETE", target, ALICE, NOTHING, 202, ""); /* it holds no fixed tag now */
	expect_reply(&s, "DELETE", "/v2/a/r/manifests/v1", ROOT, NOTHING, 202, "");
	test_server_stop(&s);
}

int main(void)
{
	UNIT_TABLE("answer", test_answer, answers);
	UNIT_TABLE("answer on one thread", test_answer_inline, answers);
	unit_case("no trace of what was refused", test_no_trace);
	unit_case("a body waits", test_body_waits);
	unit_case("how long to wait", test_wait_is_told);
	unit_case("mounting is reading", test_mount);
	unit_case("the catalog of who asks", test_catalog);
	unit_case("immutable tags", test_immutable);
	return unit_run();
}
