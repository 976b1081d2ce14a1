#include "server/request.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/jv.h"
#include "tests/lib/exchange.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define MANY_MAX 64

static const char body_text[] = "the bytes of a blob";

/* --- errors --- */

static void assert_error(const struct exchange *x, unsigned status, const char *code)
{
	AUTO_SBUF b = reply_text(x);
	AUTO_JV *doc = NULL;
	struct str text;
	struct err e;

	if (x->rq->reply.status != status)
		fail_msg("status %u: %s", x->rq->reply.status, b.p);
	assert_ok(jv_parse_object((struct str){ b.p, b.n }, 8, &doc, &e), &e);
	assert_true(jv_text(jv_member(jv_at(jv_member(doc, "errors"), 0), "code"), &text));
	assert_true(str_eq(text, str_of(code)));
}

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* What is decided from the head alone, with and without a body that nobody wants. */
static const struct refusal {
	const char *name, *method, *target, *headers;
	unsigned status;
	const char *code, *allow;
} refusals[] = {
	{ "nothing is there", "GET", "/nowhere", NULL, 404, "NOT_FOUND", NULL },
	{ "half a path", "GET", "/v2/a/manifests", NULL, 404, "NOT_FOUND", NULL },
	{ "bad name", "GET", "/v2/A/tags/list", NULL, 400, "NAME_INVALID", NULL },
	{ "escaped slash", "GET", "/v2/a%2fb/tags/list", NULL, 400, "NAME_INVALID", NULL },
	{ "bad tag", "PUT", "/v2/a/manifests/-", "Content-Type: a/b\n", 400, "TAG_INVALID", NULL },
	{ "bad digest", "GET", "/v2/a/blobs/sha256:aa", NULL, 400, "DIGEST_INVALID", NULL },
	{ "unknown algorithm", "GET", "/v2/a/manifests/md5:" A64, NULL, 400, "DIGEST_INVALID",
	  NULL },
	{ "bad upload id", "PATCH", "/v2/a/blobs/uploads/1", NULL, 404, "BLOB_UPLOAD_UNKNOWN",
	  NULL },
	{ "bad query", "GET", "/v2/a/tags/list?n=%", NULL, 400, "INVALID_REQUEST", NULL },
	{ "asterisk", "OPTIONS", "*", NULL, 400, "INVALID_REQUEST", NULL },
	{ "method", "POST", "/v2/", NULL, 405, "UNSUPPORTED", "GET, HEAD" },
	{ "method of a manifest", "PATCH", "/v2/a/manifests/v1", NULL, 405, "UNSUPPORTED",
	  "GET, HEAD, PUT, DELETE" },
	{ "unknown method", "BREW", "/v2/a/blobs/uploads/", NULL, 405, "UNSUPPORTED", "POST" },
	{ "method in lower case", "get", "/v2/", NULL, 405, "UNSUPPORTED", "GET, HEAD" },
	{ "no media type", "PUT", "/v2/a/manifests/v1", NULL, 400, "MANIFEST_INVALID", NULL },
	{ "mount of no digest", "POST", "/v2/a/blobs/uploads/?mount=x", NULL, 400, "DIGEST_INVALID",
	  NULL },
	{ "length that is none", "PUT", "/v2/a/manifests/v1", "Content-Length: 1x\n", 400,
	  "INVALID_REQUEST", NULL },
	{ "negative length", "PUT", "/v2/a/manifests/v1", "Content-Length: -1\n", 400,
	  "INVALID_REQUEST", NULL },
	{ "length beyond 63 bits", "PUT", "/v2/a/manifests/v1",
	  "Content-Length: 9223372036854775808\n", 400, "INVALID_REQUEST", NULL },
	{ "manifest too large", "PUT", "/v2/a/manifests/v1",
	  "Content-Type: a/b\nContent-Length: 4194305\n", 413, "MANIFEST_INVALID", NULL },
};

static void check_refusal(const struct refusal *c, const struct test_server *s, const char *headers,
			  struct str body)
{
	struct exchange x;
	char all[300];

	(void)snprintf(all, sizeof(all), "%s%s", c->headers ? c->headers : "",
		       headers && !(c->headers && strstr(c->headers, "Content-Length")) ? headers
											: "");
	exchange_start(&x, s, c->method, c->target, all);
	exchange_send(&x, body.p, body.n, 7);
	exchange_finish(&x);
	assert_error(&x, c->status, c->code);
	if (c->allow)
		assert_string_equal(reply_field(&x, "Allow"), c->allow);
	else
		assert_null(reply_field(&x, "Allow"));
	assert_int_equal(x.parks, 0); /* no worker was troubled */
	exchange_end(&x);
}

static void test_refusal(void **state)
{
	struct test_server s;

	test_server_start(&s, unit_dir(), 2);
	check_refusal(*state, &s, NULL, (struct str){ "", 0 });
	check_refusal(*state, &s, "Content-Length: 19\n", str_of(body_text));
	check_refusal(*state, &s, "Transfer-Encoding: chunked\n", str_of(body_text));
	check_refusal(*state, &s, "Content-Length: 19\nExpect: 100-continue\n",
		      (struct str){ "", 0 });
	test_server_stop(&s);
}

/* An answer before the body: for those who wait for it, and where the rest is too much to be read. */
static void test_early_answer(void **state)
{
	struct test_server s;
	struct exchange x;

	(void)state;
	test_server_start(&s, unit_dir(), 0);
	exchange_start(&x, &s, "PUT", "/v2/a/manifests/v1",
		       "Content-Length: 5\nExpect: 100-continue\n");
	assert_true(x.answered);
	assert_error(&x, 400, "MANIFEST_INVALID");
	exchange_end(&x);
	exchange_start(&x, &s, "PUT", "/v2/a/manifests/v1", "Content-Length: 67108865\n");
	assert_true(x.answered);
	assert_error(&x, 413, "MANIFEST_INVALID");
	exchange_end(&x);
	exchange_start(&x, &s, "PUT", "/v2/a/manifests/v1", "Content-Length: 67108864\n");
	assert_false(x.answered); /* just not too much */
	exchange_end(&x);
	test_server_stop(&s);
}

static void test_target_length(void **state)
{
	struct test_server s;
	struct exchange x;
	char target[9000];

	(void)state;
	test_server_start(&s, unit_dir(), 0);
	memset(target, 'a', sizeof(target));
	memcpy(target, "/v2/?", 5);
	target[8192] = '\0';
	exchange(&x, &s, "GET", target, NULL, (struct str){ "", 0 });
	assert_int_equal(x.rq->reply.status, 200);
	exchange_end(&x);
	target[8192] = 'a';
	target[8193] = '\0';
	exchange(&x, &s, "GET", target, NULL, (struct str){ "", 0 });
	assert_error(&x, 414, "NAME_INVALID");
	exchange_end(&x);
	test_server_stop(&s);
}

/* A body that goes on for ever is given up, whether it was refused or just not asked for. */
static const struct {
	const char *name, *method, *target;
} endless[] = {
	{ "refused", "POST", "/nowhere" },
	{ "not asked for", "GET", "/v2/" },
	{ "too large a manifest", "PUT", "/v2/a/manifests/v1" },
};

static void test_endless(void **state)
{
	__typeof__(&endless[0]) c = *state;
	AUTO_FREE char *piece = calloc(1, 1024 * 1024);
	struct test_server s;
	struct exchange x;
	unsigned n = 0;

	MUST(piece);
	test_server_start(&s, unit_dir(), 2);
	exchange_start(&x, &s, c->method, c->target,
		       "Transfer-Encoding: chunked\nContent-Type: a/b\n");
	while (!x.given_up && n < 200) {
		exchange_send(&x, piece, 1024 * 1024, SIZE_MAX);
		n++;
	}
	assert_in_range(n, 65, 70);
	exchange_end(&x);
	test_server_stop(&s);
}

/* --- gathered bodies --- */

static void put_manifest(struct test_server *s, size_t n, bool tells_length, struct exchange *x)
{
	AUTO_FREE char *body = malloc(n + 1);
	char headers[128];

	MUST(body);
	memset(body, ' ', n);
	if (tells_length)
		(void)snprintf(headers, sizeof(headers),
			       "Content-Type: " MEDIA_OCI_MANIFEST "\nContent-Length: %zu\n", n);
	else
		(void)snprintf(headers, sizeof(headers),
			       "Content-Type: " MEDIA_OCI_MANIFEST
			       "\nTransfer-Encoding: chunked\n");
	exchange_start(x, s, "PUT", "/v2/a/manifests/v1", headers);
	exchange_send(x, body, n, 1000);
	exchange_finish(x);
}

static void test_gather(void **state)
{
	struct test_server s;
	struct exchange x;

	(void)state;
	test_server_start(&s, unit_dir(), 2);
	s.conf.manifest_size_max = 5000;
	for (unsigned tells = 0; tells < 2; tells++) {
		put_manifest(&s, 5000, tells, &x); /* is looked at */
		assert_error(&x, 400, "MANIFEST_INVALID");
		exchange_end(&x);
		put_manifest(&s, 5001, tells, &x);
		assert_error(&x, 413, "MANIFEST_INVALID");
		exchange_end(&x);
		put_manifest(&s, 50000, tells, &x);
		assert_error(&x, 413, "MANIFEST_INVALID");
		exchange_end(&x);
	}
	test_server_stop(&s);
}

/* --- streams --- */

/* Bytes that differ at every place of the ring. */
static char *make_bytes(size_t n)
{
	char *p = malloc(n);

	MUST(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 31 + i / 257 + i / 65537);
	return p;
}

static void blob_target(char *buf, size_t cap, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];

	(void)snprintf(buf, cap, "/v2/a/blobs/uploads/?digest=%s", digest_text(d, text));
}

static const struct {
	const char *name;
	unsigned workers;
	size_t n, piece;
} streams[] = {
	{ "inline, one byte", 0, 1, 1 },
	{ "inline, many rings", 0, 3 * BODY_RING_BYTES + 11, 10007 },
	{ "inline, pieces larger than the ring", 0, 3 * BODY_RING_BYTES, 2 * BODY_RING_BYTES + 1 },
	{ "one byte", 1, 1, 1 },
	{ "pieces that wrap around", 1, 5 * BODY_RING_BYTES + 11, 10007 },
	{ "exactly the ring", 1, BODY_RING_BYTES, BODY_RING_BYTES },
	{ "pieces of a ring", 2, 4 * BODY_RING_BYTES, BODY_RING_BYTES },
	{ "pieces larger than the ring", 2, 4 * BODY_RING_BYTES, 3 * BODY_RING_BYTES },
	{ "many small pieces", 4, 200000, 13 },
};

static void test_stream(void **state)
{
	__typeof__(&streams[0]) c = *state;
	AUTO_FREE char *bytes = make_bytes(c->n);
	struct digest d = digest_of_bytes(DIGEST_SHA256, (struct str){ bytes, c->n });
	struct test_server s;
	struct exchange x;
	char target[300];

	test_server_start(&s, unit_dir(), c->workers);
	blob_target(target, sizeof(target), &d);
	exchange_start(&x, &s, "POST", target, "Transfer-Encoding: chunked\n");
	exchange_send(&x, bytes, c->n, c->piece);
	exchange_finish(&x);
	assert_int_equal(x.rq->reply.status,
			 201); /* every byte in its place, or it would be another digest */
	assert_int_equal(x.rq->body_bytes, c->n);
	exchange_end(&x);
	test_server_stop(&s);
}

/* Keeps the only worker busy until it is let go. */
struct blocker {
	struct job job;
	sem_t entered, go;
};

static void block(struct job *j)
{
	struct blocker *b = (struct blocker *)j;

	MUST(sem_post(&b->entered) == 0);
	while (sem_wait(&b->go) < 0)
		;
}

static void block_worker(struct blocker *b, struct test_server *s)
{
	MUST(sem_init(&b->entered, 0, 0) == 0 && sem_init(&b->go, 0, 0) == 0);
	b->job.run = block;
	work_submit(s->server.work, &b->job);
	while (sem_wait(&b->entered) < 0)
		;
}

static void let_go(struct blocker *b)
{
	MUST(sem_post(&b->go) == 0);
}

/* A2: with the disk at a stand-still the ring fills, and then the client has to wait. */
static void test_park(void **state)
{
	size_t n = 2 * BODY_RING_BYTES;
	AUTO_FREE char *bytes = make_bytes(n);
	struct digest d = digest_of_bytes(DIGEST_SHA256, (struct str){ bytes, n });
	struct test_server s;
	struct blocker b;
	struct exchange x;
	char target[300];

	(void)state;
	test_server_start(&s, unit_dir(), 1);
	blob_target(target, sizeof(target), &d);
	exchange_start(&x, &s, "POST", target, NULL);
	block_worker(&b, &s);
	assert_int_equal(exchange_send_once(&x, bytes, 1000), 1000);
	assert_int_equal(x.parks, 0);
	assert_int_equal(exchange_send_once(&x, bytes + 1000, n - 1000), BODY_RING_BYTES - 1000);
	assert_int_equal(x.parks, 1);
	let_go(&b);
	exchange_send(&x, "", 0, 1);
	while (sem_wait(&x.woken) < 0)
		;
	x.waits++;
	exchange_send(&x, bytes + BODY_RING_BYTES, n - BODY_RING_BYTES, n);
	exchange_finish(&x);
	assert_int_equal(x.rq->reply.status, 201);
	exchange_end(&x);
	test_server_stop(&s);
}

/* The disk fails in the middle of a body: the rest is read, and then the answer is there. */
static void test_stream_fails(void **state)
{
	size_t n = 4 * BODY_RING_BYTES;
	AUTO_FREE char *bytes = make_bytes(n);
	struct digest d = digest_of_bytes(DIGEST_SHA256, (struct str){ bytes, n });
	struct rlimit old, small;
	struct test_server s;
	struct exchange x;
	char target[300];

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	log_set_level(LOG_ERROR);
	for (unsigned workers = 0; workers < 2; workers++) {
		const char *root = unit_dir();

		test_server_start(&s, root, workers);
		blob_target(target, sizeof(target), &d);
		exchange_start(&x, &s, "POST", target, NULL);
		exchange_send(&x, bytes, n / 2, 1000);
		MUST(getrlimit(RLIMIT_FSIZE, &old) == 0);
		small = (struct rlimit){ .rlim_cur = 1000, .rlim_max = old.rlim_max };
		MUST(setrlimit(RLIMIT_FSIZE, &small) == 0);
		exchange_send(&x, bytes + n / 2, n / 2, 1000);
		exchange_finish(&x);
		MUST(setrlimit(RLIMIT_FSIZE, &old) == 0);
		assert_error(&x, 507, "INSUFFICIENT_STORAGE");
		exchange_end(&x);
		assert_int_equal(dir_count(root, "uploads"), 0);
		test_server_stop(&s);
	}
	log_set_level(LOG_INFO);
}

/* After a failure the rest is thrown away without end only up to a bound. */
static void test_stream_fails_endless(void **state)
{
	AUTO_FREE char *piece = calloc(1, 1024 * 1024);
	struct rlimit old, small;
	struct test_server s;
	struct exchange x;
	struct digest d = digest_of("x");
	char target[300];
	unsigned n = 0;

	(void)state;
	MUST(piece);
	(void)signal(SIGXFSZ, SIG_IGN);
	test_server_start(&s, unit_dir(), 1);
	blob_target(target, sizeof(target), &d);
	exchange_start(&x, &s, "POST", target, NULL);
	MUST(getrlimit(RLIMIT_FSIZE, &old) == 0);
	small = (struct rlimit){ .rlim_cur = 1000, .rlim_max = old.rlim_max };
	MUST(setrlimit(RLIMIT_FSIZE, &small) == 0);
	while (!x.given_up && n < 200) {
		exchange_send(&x, piece, 1024 * 1024, 1024 * 1024);
		n++;
	}
	MUST(setrlimit(RLIMIT_FSIZE, &old) == 0);
	assert_in_range(n, 60, 100);
	exchange_end(&x);
	test_server_stop(&s);
}

/* --- clients that go away --- */

static void start_session(struct test_server *s, char *target, size_t cap)
{
	struct exchange x;

	exchange(&x, s, "POST", "/v2/a/blobs/uploads/", NULL, (struct str){ "", 0 });
	assert_int_equal(x.rq->reply.status, 202);
	(void)snprintf(target, cap, "%s", reply_field(&x, "Location"));
	exchange_end(&x);
}

static void assert_session(struct test_server *s, const char *target, const char *range)
{
	struct exchange x;

	exchange(&x, s, "GET", target, NULL, (struct str){ "", 0 });
	assert_int_equal(x.rq->reply.status, 204);
	assert_string_equal(reply_field(&x, "Range"), range);
	exchange_end(&x);
}

/* Until nothing is queued any more: the session can be taken again. */
static void wait_for_session(struct test_server *s, const char *target)
{
	for (;;) {
		struct exchange x;
		unsigned status;

		exchange(&x, s, "PATCH", target, NULL, (struct str){ "", 0 });
		status = x.rq->reply.status;
		exchange_end(&x);
		if (status == 202)
			return;
		assert_int_equal(status, 409); /* a worker is still at it */
		(void)sched_yield();
	}
}

/* What arrived stays in the session, and nothing is leaked (ASan) or touched afterwards (TSan). */
static void test_gone_in_body(void **state)
{
	struct test_server s;

	(void)state;
	for (unsigned workers = 0; workers <= 2; workers += 2) {
		struct exchange x;
		char target[200];

		test_server_start(&s, unit_dir(), workers);
		start_session(&s, target, sizeof(target));
		exchange_start(&x, &s, "PATCH", target, NULL);
		assert_false(x.answered);
		exchange_send(&x, "abc", 3, 3);
		exchange_end(&x);
		wait_for_session(&s, target);
		assert_session(&s, target, "0-2");
		test_server_stop(&s);
	}
}

/* The worker has not got to the bytes yet when the client goes. */
static void test_gone_before_work(void **state)
{
	struct test_server s;
	struct blocker b;
	struct exchange x;
	char target[200];

	(void)state;
	test_server_start(&s, unit_dir(), 1);
	start_session(&s, target, sizeof(target));
	exchange_start(&x, &s, "PATCH", target, NULL);
	block_worker(&b, &s);
	exchange_send(&x, "abc", 3, 3);
	exchange_end(&x);
	let_go(&b);
	wait_for_session(&s, target);
	assert_session(&s, target, "0-2");
	test_server_stop(&s);
}

/* The client goes while a worker is at its bytes, or about to be, or just done. */
static void test_gone_in_work(void **state)
{
	size_t n = BODY_RING_BYTES;
	AUTO_FREE char *bytes = make_bytes(n);
	const char *root = unit_dir();
	struct digest d = digest_of(body_text);
	struct test_server s;
	char target[300];

	(void)state;
	test_server_start(&s, root, 2);
	blob_target(target, sizeof(target), &d);
	for (unsigned i = 0; i < 200; i++) {
		struct exchange x;

		exchange_start(&x, &s, "POST", target, NULL);
		exchange_send(&x, bytes, n * i / 200, 10007);
		exchange_end(&x);
	}
	test_server_stop(&s);
	assert_int_equal(dir_count(root, "uploads"), 0);
}

static void test_gone_at_head(void **state)
{
	struct test_server s;
	struct request *rq;

	(void)state;
	test_server_start(&s, unit_dir(), 1);
	s.conf.log_access = true;
	rq = request_new(&s.server, STR("/v2/"));
	assert_non_null(rq);
	assert_false(request_finish(rq)); /* before anything is known of it */
	request_end(rq);
	test_server_stop(&s);
}

/* Many at once on few workers. */
static void test_many(void **state)
{
	static struct exchange x[MANY_MAX];
	struct test_server s;

	(void)state;
	test_server_start(&s, unit_dir(), 3);
	for (unsigned i = 0; i < MANY_MAX; i++) {
		char text[32], target[300];
		struct digest d;

		(void)snprintf(text, sizeof(text), "body of request %u", i % 16);
		d = digest_of(text);
		blob_target(target, sizeof(target), &d);
		exchange_start(&x[i], &s, "POST", target, NULL);
		exchange_send(&x[i], text, strlen(text), 5);
	}
	for (unsigned i = 0; i < MANY_MAX; i++)
		assert_false(request_finish(x[i].rq));
	for (unsigned i = 0; i < MANY_MAX; i++) {
		exchange_finish(&x[i]);
		assert_int_equal(x[i].rq->reply.status, 201);
		exchange_end(&x[i]);
	}
	test_server_stop(&s);
}

/* --- what is logged --- */

static int real_stderr = -1;

static int capture(void)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	MUST(fd >= 0 && fcntl(fd, F_SETFL, O_APPEND) == 0 && dup2(fd, STDERR_FILENO) >= 0);
	return fd;
}

static struct sbuf captured(int fd)
{
	struct sbuf b;
	char buf[4096];
	ssize_t n;

	MUST(dup2(real_stderr, STDERR_FILENO) >= 0 && lseek(fd, 0, SEEK_SET) == 0);
	sbuf_init(&b, SBUF_MAX);
	sbuf_add(&b, "", 0);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		sbuf_add(&b, buf, (size_t)n);
	(void)close(fd);
	return b;
}

static unsigned count_lines(const struct sbuf *b)
{
	unsigned n = 0;

	for (size_t i = 0; i < b->n; i++)
		n += b->p[i] == '\n';
	return n;
}

/* One line for each request, with what matters, and nothing that the client could forge. */
static void test_access_log(void **state)
{
	struct test_server s;
	AUTO_SBUF b = { .p = NULL };
	struct exchange x;
	int fd;

	(void)state;
	test_server_start(&s, unit_dir(), 1);
	fd = capture();
	exchange(&x, &s, "GET", "/v2/", NULL, (struct str){ "", 0 });
	exchange_end(&x); /* off: nothing */
	s.conf.log_access = true;
	exchange(&x, &s, "GET", "/v2/", NULL, (struct str){ "", 0 });
	exchange_end(&x);
	exchange(&x, &s, "GET", "/v2/a\nev=forged \"x\"", NULL, (struct str){ "", 0 });
	exchange_end(&x);
	exchange_start(&x, &s, "POST", "/v2/a/blobs/uploads/", NULL);
	exchange_end(&x); /* gone before its answer */
	log_set_level(LOG_WARN);
	exchange(&x, &s, "GET", "/v2/", NULL, (struct str){ "", 0 });
	exchange_end(&x);
	log_set_level(LOG_INFO);
	b = captured(fd);
	assert_int_equal(count_lines(&b), 3);
	assert_non_null(strstr(b.p, " ev=request id="));
	assert_non_null(
	    strstr(b.p, " from=192.0.2.7 method=GET path=/v2/ status=200 in=0 out=2 us="));
	assert_non_null(strstr(b.p, " route=/v2/ scope=login\n"));
	assert_non_null(
	    strstr(b.p, " method=GET path=\"/v2/a\\x0aev=forged \\x22x\\x22\" status=404 in=0 "));
	assert_non_null(strstr(b.p, " path=/v2/a/blobs/uploads/ status=0 in=0 us="));
	test_server_stop(&s);
}

/* Failures of ours leave their particulars in the log, however long the target is. */
static void test_failure_log(void **state)
{
	struct test_server s;
	AUTO_SBUF b = { .p = NULL };
	struct exchange x;
	char target[4000];
	struct rlimit old, small;
	int fd;

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	test_server_start(&s, unit_dir(), 0);
	(void)snprintf(target, sizeof(target),
		       "/v2/a/blobs/uploads/?digest=sha256:" A64 "&padding=");
	memset(target + strlen(target), 'x', 3000);
	target[3500] = '\0';
	fd = capture();
	MUST(getrlimit(RLIMIT_FSIZE, &old) == 0);
	small = (struct rlimit){ .rlim_cur = 1, .rlim_max = old.rlim_max };
	exchange_start(&x, &s, "POST", target, NULL);
	MUST(setrlimit(RLIMIT_FSIZE, &small) == 0);
	exchange_send(&x, "abc", 3, 3);
	MUST(setrlimit(RLIMIT_FSIZE, &old) == 0);
	exchange_finish(&x);
	b = captured(fd);
	assert_error(&x, 507, "INSUFFICIENT_STORAGE");
	exchange_end(&x);
	assert_int_equal(count_lines(&b), 1);
	assert_non_null(strstr(b.p, "level=error ev=request.failed"));
	assert_non_null(strstr(b.p, "write upload: File too large"));
	assert_non_null(strstr(b.p, "/v2/a/blobs/uploads/"));
	test_server_stop(&s);
}

int main(void)
{
	real_stderr = dup(STDERR_FILENO);
	UNIT_TABLE("refused", test_refusal, refusals);
	unit_case("answers before the body", test_early_answer);
	unit_case("the longest target", test_target_length);
	UNIT_TABLE("endless body", test_endless, endless);
	unit_case("manifests up to the limit", test_gather);
	UNIT_TABLE("stream", test_stream, streams);
	unit_case("a stream has to wait", test_park);
	unit_case("a stream meets a failure", test_stream_fails);
	unit_case("an endless stream after a failure", test_stream_fails_endless);
	unit_case("gone in its body", test_gone_in_body);
	unit_case("gone before work on it began", test_gone_before_work);
	unit_case("gone in the middle of work", test_gone_in_work);
	unit_case("gone at its head", test_gone_at_head);
	unit_case("many at once", test_many);
	unit_case("access log", test_access_log);
	unit_case("failures in the log", test_failure_log);
	return unit_run();
}
