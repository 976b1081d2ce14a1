#include "tests/lib/exchange.h"

#include <strings.h>

#include "base/fd.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static void start(struct test_server *s, const char *root, unsigned workers, int n, char **args)
{
	struct store_options o = store_options_of(root);
	struct store_recovery found;
	struct err e;

	*s = (struct test_server){ .server.conf = &s->conf };
	MUST(conf_load(n, args, &s->conf, &e) == ERR_OK);
	s->conf.log_access = false;
	s->conf.threads = workers ? 2 : 1;
	MUST(conf_set(&s->conf, STR("root"), str_of(root), "test", &e) == ERR_OK);
	MUST(guard_open(&s->conf, &s->server, &s->guard, &e) == ERR_OK);
	o.single_thread = workers == 0;
	MUST(store_open(&o, &s->server.store, &found, &e) == ERR_OK);
	MUST(guard_start(s->guard, &s->server, &e) == ERR_OK);
	MUST(work_start(workers, &s->server.work, &e) == ERR_OK);
}

void test_server_start(struct test_server *s, const char *root, unsigned workers)
{
	start(s, root, workers, 0, NULL);
}

void test_server_start_guarded(struct test_server *s, const char *root, unsigned workers,
			       const char *const *options)
{
	char *args[32];
	int n = 0;

	for (; options[n]; n++) {
		MUST(n < (int)ARRAY_LEN(args));
		args[n] = strdup(options[n]);
	}
	start(s, root, workers, n, args);
	while (n)
		free(args[--n]);
}

void test_server_stop(struct test_server *s)
{
	struct work *w = s->server.work; /* the last jobs look at it there */

	work_stop(&w);
	guard_close(&s->guard, &s->server);
	store_close(&s->server.store);
	conf_clear(&s->conf);
}

static const char *host_header(void *arg, const char *name)
{
	struct exchange *x = arg;

	for (size_t i = 0; i < x->n_headers; i++) {
		if (strcasecmp(x->headers[i].name, name) == 0)
			return x->headers[i].value;
	}
	return NULL;
}

static bool host_repeats(void *arg, const char *name)
{
	struct exchange *x = arg;
	unsigned n = 0;

	for (size_t i = 0; i < x->n_headers; i++)
		n += strcasecmp(x->headers[i].name, name) == 0;
	return n > 1;
}

static void host_local(void *arg, char *buf, size_t cap)
{
	(void)arg;
	(void)snprintf(buf, cap, "192.0.2.1:5000");
}

static void host_park(void *arg)
{
	((struct exchange *)arg)->parks++;
}

static void host_wake(void *arg)
{
	MUST(sem_post(&((struct exchange *)arg)->woken) == 0);
}

/* Nothing may happen to a request that is parked. */
static void wait_if_parked(struct exchange *x)
{
	while (x->waits < x->parks) {
		while (sem_wait(&x->woken) < 0)
			;
		x->waits++;
	}
}

static const char *known_name(struct str name)
{
	static const char *const names[] = {
		"Content-Length", "Content-Type", "Content-Range", "Transfer-Encoding", "Expect",
		"Range",          "If-Range",     "If-None-Match", "Authorization",     "Host"
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (str_eq(name, str_of(names[i])))
			return names[i];
	}
	return NULL;
}

static void add_header(struct exchange *x, struct str name, struct str value)
{
	MUST(x->n_headers < EXCHANGE_HEADERS_MAX);
	x->headers[x->n_headers].name = known_name(name);
	MUST(x->headers[x->n_headers].name);
	MUST(str_copy(value, x->headers[x->n_headers].value, sizeof(x->headers[0].value)));
	x->n_headers++;
}

void exchange_start(struct exchange *x, const struct test_server *s, const char *method,
		    const char *target, const char *headers)
{
	MUST(exchange_try(x, s, method, target, headers));
}

bool exchange_try(struct exchange *x, const struct test_server *s, const char *method,
		  const char *target, const char *headers)
{
	const struct request_host host = { .arg = x,
					   .peer = "192.0.2.7",
					   .header = host_header,
					   .repeats = host_repeats,
					   .local = host_local,
					   .park = host_park,
					   .wake = host_wake };
	struct str rest = str_of(headers), line, name, value;

	*x = (struct exchange){ .rq = request_new(&s->server, str_of(target)) };
	MUST(sem_init(&x->woken, 0, 0) == 0);
	if (!x->rq)
		return false;
	while (rest.n) {
		(void)str_cut(rest, '\n', &line, &rest);
		MUST(str_cut(line, ':', &name, &value));
		add_header(x, name, str_trim(value));
	}
	x->answered = request_open(x->rq, method, &host);
	if (x->rq->stage == REQUEST_AUTH) {
		MUST(x->waits < x->parks);
		wait_if_parked(x);
		x->answered = request_resume(x->rq);
	}
	return true;
}

size_t exchange_send_once(struct exchange *x, const void *p, size_t n)
{
	return request_receive(x->rq, p, n);
}

void exchange_send(struct exchange *x, const void *p, size_t n, size_t piece)
{
	const char *at = p;

	while (n && !x->answered && !x->given_up) {
		size_t want = MIN(n, piece), took = exchange_send_once(x, at, want);

		x->given_up = took == SIZE_MAX;
		if (x->given_up)
			return;
		MUST(took <= want);
		at += took;
		n -= took;
		MUST(took == want || x->waits < x->parks || work_is_inline(x->rq->server->work));
		wait_if_parked(x);
	}
}

void exchange_finish(struct exchange *x)
{
	wait_if_parked(x);
	while (!x->answered && !x->given_up && !request_finish(x->rq)) {
		MUST(x->waits < x->parks); /* or nobody would ever wake us */
		wait_if_parked(x);
	}
}

void exchange_end(struct exchange *x)
{
	request_end(x->rq);
	x->rq = NULL;
}

void exchange(struct exchange *x, const struct test_server *s, const char *method,
	      const char *target, const char *headers, struct str body)
{
	char all[8192];

	(void)snprintf(all, sizeof(all), "%s", headers ? headers : "");
	if (body.n && !strstr(all, "Content-Length:") && !strstr(all, "Transfer-Encoding:"))
		(void)snprintf(all + strlen(all), sizeof(all) - strlen(all),
			       "Content-Length: %zu\n", body.n);
	exchange_start(x, s, method, target, all);
	exchange_send(x, body.p, body.n, 1000);
	exchange_finish(x);
}

const char *reply_field(const struct exchange *x, const char *name)
{
	const struct reply *r = &x->rq->reply;

	for (size_t i = 0; i < r->n_headers; i++) {
		if (strcasecmp(r->headers[i].name, name) == 0)
			return r->headers[i].value;
	}
	return NULL;
}

struct sbuf reply_text(const struct exchange *x)
{
	const struct reply *r = &x->rq->reply;
	struct sbuf b;
	struct err e;

	sbuf_init(&b, SBUF_MAX);
	sbuf_add(&b, r->body, r->body_n);
	if (r->fd >= 0) {
		MUST(sbuf_reserve(&b, (size_t)r->length));
		MUST(fd_pread_exact(r->fd, b.p, (size_t)r->length, r->fd_at, "reply", &e) ==
		     ERR_OK);
		b.n = (size_t)r->length;
		b.p[b.n] = '\0';
	}
	MUST(!b.failed);
	return b;
}

void assert_status(const struct exchange *x, unsigned want, const char *part)
{
	AUTO_SBUF b = reply_text(x);

	if (x->rq->reply.status != want || !b.p || !strstr(b.p, part))
		fail_msg("%u %s, not %u with \"%s\"", x->rq->reply.status, b.p ? b.p : "", want,
			 part);
}

void expect_reply(const struct test_server *s, const char *method, const char *target,
		  const char *headers, struct str body, unsigned status, const char *part)
{
	struct exchange x;

	exchange(&x, s, method, target, headers, body);
	assert_status(&x, status, part);
	exchange_end(&x);
}
