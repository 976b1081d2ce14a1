#include "server/request.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/lock.h"
#include "server/access.h"
#include "server/audit.h"
#include "server/limited.h"
#include "server/metrics.h"
#include "server/route.h"

static struct request *request_of(struct job *j)
{
	return (struct request *)((char *)j - offsetof(struct request, job));
}

struct request *request_new(const struct server *s, struct str raw)
{
	struct request *rq = malloc(sizeof(*rq) + 2 * raw.n + 1);

	if (!rq)
		return NULL;
	memset(rq, 0, offsetof(struct request, reply));
	rq->server = s;
	rq->snapshot = s->live ? live_get(s->live) : NULL;
	rq->conf = rq->snapshot ? &rq->snapshot->conf : s->conf;
	rq->origin = rq->snapshot ? &rq->snapshot->origin : &s->origin;
	rq->proxies = rq->snapshot ? &rq->snapshot->proxies : &s->proxies;
	reply_init(&rq->reply);
	memset(&rq->about, 0, sizeof(*rq) - offsetof(struct request, about));
	rq->raw = rq->text + raw.n;
	memcpy(rq->raw, raw.p, raw.n);
	rq->raw[raw.n] = '\0';
	rq->refs = 1;
	rq->started_us = mono_us();
	lock_init(&rq->mu, LOCK_REQUEST);
	return rq;
}

static void request_put(struct request *rq)
{
	if (--rq->refs)
		return;
	upload_release(&rq->upload);
	jv_free(&rq->detail);
	identity_put(&rq->identity);
	reply_clear(&rq->reply);
	sbuf_clear(&rq->body);
	free(rq->ring);
	live_put(&rq->snapshot);
	lock_clear(&rq->mu);
	free(rq);
}

static void fail(struct request *rq, const struct err *e)
{
	if (e->kind == ERR_CORRUPT || e->kind == ERR_IO || e->kind == ERR_BUG ||
	    e->kind == ERR_NO_SPACE || e->kind == ERR_NO_MEMORY)
		log_event(e->kind == ERR_NO_MEMORY ? LOG_WARN : LOG_ERROR, "request.failed",
			  "request %s: %s: %s: %s %s", rq->id, e->where, e->msg, rq->method_text,
			  rq->raw);
	reply_error(&rq->reply, e, rq->about, TAKE(rq->detail));
}

/* A handler's result becomes the reply; the order tells other threads that it is there. */
static void settle(struct request *rq, enum err_kind k, const struct err *e)
{
	if (k != ERR_OK)
		fail(rq, e);
	if (rq->reply.overflow) {
		struct err too_long;

		(void)err_set(&too_long, ERR_BUG, __func__, "a header of the answer is too long");
		fail(rq, &too_long);
	}
	rq->stage = REQUEST_DONE;
}

static void run(struct request *rq)
{
	struct err e = { 0 };
	enum err_kind k;

	trace_enter(&rq->trace);
	k = rq->route->run(rq, &e);
	trace_leave();
	settle(rq, k, &e);
}

static enum err_kind check_path(struct request *rq, struct err *e)
{
	switch (rq->path.fault) {
	case PATH_FINE:
		return ERR_OK;
	case PATH_BAD_NAME:
		return request_fail(rq, e, ERR_INVALID, RES_NAME, "invalid repository name");
	case PATH_BAD_TAG:
		return request_fail(rq, e, ERR_INVALID, RES_TAG, "invalid tag");
	case PATH_BAD_DIGEST:
		return request_fail(
		    rq, e, ERR_INVALID, RES_DIGEST,
		    "invalid digest, or of an algorithm other than sha256 and sha512");
	case PATH_BAD_UPLOAD:
		return request_fail(rq, e, ERR_NOT_FOUND, RES_UPLOAD, "no such upload session");
	}
	return err_set(e, ERR_BUG, __func__, "unknown path fault");
}

static enum err_kind nothing_here(struct request *rq, struct err *e)
{
	rq->route = NULL;
	return err_set(e, ERR_NOT_FOUND, __func__, "nothing is served here");
}

/* Metrics have an address of their own if one is given. */
static bool is_served_here(const struct request *rq)
{
	if (rq->server->watch_only)
		return rq->route->flags & ROUTE_WATCH;
	return rq->path.kind != PATH_METRICS || !rq->server->has_watch;
}

static enum err_kind find_route(struct request *rq, struct err *e)
{
	struct str raw = str_of(rq->raw);
	unsigned methods;
	char allow[64];

	rq->about = RES_PATH;
	if (raw.n > rq->conf->http_target_max)
		return err_set(e, ERR_TOO_LARGE, __func__, "the request-target is too long");
	if (!target_parse(raw, rq->text, &rq->target))
		return request_fail(rq, e, ERR_INVALID, RES_ANY, "malformed request-target");
	if (!path_parse(rq->target.path, &rq->path))
		return nothing_here(rq, e);
	rq->route = route_find(rq->method, rq->path.kind, &methods);
	if (rq->route && !is_served_here(rq))
		return nothing_here(rq, e);
	if (rq->route)
		return check_path(rq, e);
	reply_header(&rq->reply, "Allow", "%s", methods_text(methods, allow, sizeof(allow)));
	return err_set(e, ERR_UNSUPPORTED, __func__, "this path is served to %s only", allow);
}

static enum err_kind check_length(struct request *rq, struct err *e)
{
	const char *field = request_header(rq, "Content-Length");
	struct str in = str_of(field);

	if (!field)
		return ERR_OK;
	rq->about = RES_HEADER;
	rq->has_length = scan_u64(&in, INT64_MAX, &rq->length) && scan_end(&in);
	if (!rq->has_length)
		return err_set(e, ERR_INVALID, __func__, "invalid Content-Length");
	return ERR_OK;
}

/* Of a body that is gathered. */
static uint64_t body_max(const struct request *rq)
{
	return rq->route->flags & ROUTE_FORM ? FORM_BYTES_MAX : rq->conf->manifest_size_max;
}

/* --- limits --- */

static void end_hold(struct limit_hold *h)
{
	struct request *rq = (struct request *)((char *)h - offsetof(struct request, hold));

	rq->host.wake(rq->host.arg);
}

/* A refusal waits a moment, once, so that who asks again at once is no burden (limit.h, M4). */
static bool hold(struct request *rq, enum err_kind k, const struct err *e)
{
	if (!rq->limited || rq->held || work_is_inline(rq->server->work) ||
	    !limits_may_hold(rq->server->limits))
		return false;
	rq->held = true;
	rq->failed = k;
	rq->failure = *e;
	rq->stage = REQUEST_AUTH;
	rq->hold.wake = end_hold;
	rq->host.park(rq->host.arg);
	limits_hold(rq->server->limits, &rq->hold);
	return true;
}

static enum err_kind open_route(struct request *rq, struct err *e)
{
	if (rq->route->flags & (ROUTE_BODY | ROUTE_FORM))
		sbuf_init(&rq->body, body_max(rq));
	rq->about = RES_ANY;
	return rq->route->open ? rq->route->open(rq, e) : ERR_OK;
}

/* Once it is known who asks.  routed is what find_route said, and e says why. */
static enum err_kind open_identified(struct request *rq, enum err_kind routed, struct err *e)
{
	enum err_kind k = access_decide(rq, routed, e);

	if (k == ERR_OK)
		k = limited_identity(rq, e);
	return k == ERR_OK ? open_route(rq, e) : k;
}

static enum err_kind open_request(struct request *rq, bool *ret_later, struct err *e)
{
	enum err_kind routed = check_length(rq, e), k;
	struct err over;

	*ret_later = false;
	if (routed == ERR_OK)
		routed = find_route(rq, e);
	k = limited_address(rq, &over);
	if (k != ERR_OK) {
		*e = over;
		return k;
	}
	if (routed == ERR_OK && !access_is_needed(rq))
		routed = access_without_accounts(rq, e);
	if (routed == ERR_OK && !access_is_needed(rq))
		routed = limited_upload(rq, e);
	if (!access_is_needed(rq))
		return routed == ERR_OK ? open_route(rq, e) : routed;
	k = access_recall(rq, ret_later, e);
	return k == ERR_OK && !*ret_later ? open_identified(rq, routed, e) : k;
}

/*
 * A refused body that is not too long is read to its end, because clients that only write miss an early answer, and
 * because an answer before the end costs the connection.
 */
static bool worth_reading(const struct request *rq)
{
	uint64_t most = rq->limited ? DISCARD_LIMITED_MAX : DISCARD_MAX;

	return !request_header(rq, "Expect") && rq->length <= most;
}

static uint64_t bytes_sent(const struct request *rq)
{
	if (!rq->answered || rq->reply.no_body || rq->method == METHOD_HEAD)
		return 0;
	return rq->reply.body ? rq->reply.body_n : rq->reply.length;
}

/* The reply is on its way, if it is there. */
static bool answered(struct request *rq, bool is_there)
{
	rq->answered = is_there;
	if (is_there)
		limited_bytes(rq, rq->body_bytes + bytes_sent(rq));
	return is_there;
}

static void wake(struct request *rq)
{
	if (!work_is_inline(rq->server->work))
		rq->host.wake(rq->host.arg);
}

/* What request_open came to; true if the answer is ready before the body. */
static bool opened(struct request *rq, enum err_kind k, const struct err *e)
{
	if (k == ERR_OK && rq->reply.status == 0) {
		rq->stage = REQUEST_BODY;
		return false;
	}
	if (hold(rq, k, e))
		return false;
	settle(rq, k, e);
	if (worth_reading(rq)) {
		rq->stage = REQUEST_DISCARD;
		return false;
	}
	return answered(rq, true);
}

static void identify_job(struct job *j)
{
	struct request *rq = request_of(j);

	trace_enter(&rq->trace);
	rq->failed = access_identify(rq, &rq->failure);
	trace_leave();
	wake(rq);
	request_put(rq);
}

static bool identify_on_worker(struct request *rq)
{
	rq->stage = REQUEST_AUTH;
	if (!work_is_inline(rq->server->auth_work))
		rq->host.park(rq->host.arg);
	rq->refs++;
	rq->job.run = identify_job;
	work_submit(rq->server->auth_work, &rq->job);
	return work_is_inline(rq->server->auth_work) && request_resume(rq);
}

bool request_resume(struct request *rq)
{
	struct err e = rq->failure;
	enum err_kind k = rq->failed;

	rq->failed = ERR_OK; /* from here on the consumer's */
	if (k == ERR_OK)
		k = open_identified(rq, find_route(rq, &e), &e);
	return opened(rq, k, &e);
}

/* What a proxy may call a request without anybody being able to forge a line of a log. */
static bool is_request_id(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') &&
		    (!c || !strchr("-._~+/=:@", c)))
			return false;
	}
	return s.n > 0 && s.n < REQUEST_ID_MAX;
}

/* Steps of an odd number through all of 64 bits, mixed by what can be undone: so none comes twice. */
static void make_id(struct request_ids *ids, char *ret)
{
	uint8_t bytes[8];
	uint64_t v;

	if (ids) {
		v = ids->seed + ids->n++ * 0x9e3779b97f4a7c15u;
		v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9u;
		v = (v ^ v >> 27) * 0x94d049bb133111ebu;
		v ^= v >> 31;
		memcpy(bytes, &v, sizeof(bytes));
	} else {
		random_bytes(bytes, sizeof(bytes));
	}
	hex_lower(bytes, sizeof(bytes), ret);
}

static const char *single_header(const struct request *rq, const char *name)
{
	const char *field = request_header(rq, name);

	return field && !rq->host.repeats(rq->host.arg, name) ? field : NULL;
}

/* By who asks, if that is a proxy of ours; the trace by anybody, as nothing here depends on it. */
static void name_request(struct request *rq)
{
	struct str given = str_of(rq->host.by_proxy ? single_header(rq, "X-Request-Id") : NULL);
	const char *trace = single_header(rq, "traceparent");

	if (is_request_id(given)) {
		memcpy(rq->id, given.p, given.n); /* the rest is zero */
	} else {
		make_id(rq->server->ids, rq->id);
	}
	if (trace)
		(void)trace_parse(str_of(trace), &rq->trace);
}

bool request_open(struct request *rq, const char *method, const struct request_host *host)
{
	struct err e = { 0 };
	enum err_kind k;
	bool later;

	rq->host = *host;
	rq->method_text = method;
	rq->method = method_parse(str_of(method));
	name_request(rq);
	k = open_request(rq, &later, &e);
	return later ? identify_on_worker(rq) : opened(rq, k, &e);
}

/* --- bodies --- */

/* Bytes that nobody wants, within bounds. */
static size_t discard(struct request *rq, size_t n)
{
	rq->discarded += n;
	return rq->discarded > DISCARD_MAX ? SIZE_MAX : n;
}

static size_t refuse_body(struct request *rq, const struct err *e, size_t n)
{
	settle(rq, e->kind, e);
	rq->stage = REQUEST_DISCARD;
	return discard(rq, n);
}

static size_t gather(struct request *rq, const void *p, size_t n)
{
	uint64_t max = body_max(rq);
	struct err e;

	if (n > max - rq->body.n) {
		(void)request_fail(rq, &e, ERR_TOO_LARGE,
				   rq->route->flags & ROUTE_FORM ? RES_ANY : RES_MANIFEST,
				   "%s may have %llu bytes at most",
				   rq->route->flags & ROUTE_FORM ? "a form" : "a manifest",
				   (unsigned long long)max);
		return refuse_body(rq, &e, n);
	}
	sbuf_add(&rq->body, p, n);
	if (!rq->body.failed)
		return n;
	(void)err_set(&e, ERR_NO_MEMORY, __func__, "no memory for a body");
	return refuse_body(rq, &e, n);
}

/* Under mu. */
static size_t ring_add(struct request *rq, const uint8_t *p, size_t n)
{
	size_t took = 0;

	while (took < n && rq->used < rq->ring_bytes) {
		size_t tail = (rq->head + rq->used) % rq->ring_bytes;
		size_t room = MIN(rq->ring_bytes - tail, rq->ring_bytes - rq->used);
		size_t step = MIN(room, n - took);

		memcpy(rq->ring + tail, p + took, step);
		rq->used += step;
		took += step;
	}
	return took;
}

/* Hands one piece of the ring to the route, or throws it away after a failure.  False if there is none. */
static bool consume_piece(struct request *rq)
{
	struct err e = { 0 };
	enum err_kind k = ERR_OK;
	size_t n, head;
	bool waits;

	lock_get(&rq->mu);
	head = rq->head;
	n = MIN(rq->used, rq->ring_bytes - head);
	lock_put(&rq->mu);
	if (n == 0)
		return false;
	if (rq->failed == ERR_OK) /* only this thread changes it */
		k = rq->route->write(rq, rq->ring + head, n, &e);
	lock_get(&rq->mu);
	rq->head = (head + n) % rq->ring_bytes;
	rq->used -= n;
	if (k != ERR_OK) {
		rq->failed = k;
		rq->failure = e;
	}
	waits = rq->parked;
	rq->parked = false;
	lock_put(&rq->mu);
	if (waits)
		wake(rq);
	return true;
}

static void finish_job(struct request *rq)
{
	if (rq->failed == ERR_OK)
		run(rq);
	else
		settle(rq, rq->failed, &rq->failure);
	upload_release(&rq->upload); /* may wait for the disk, so here */
	wake(rq);
}

/* Drains the ring; after the end of the body runs the handler. */
static void request_job(struct job *j)
{
	struct request *rq = request_of(j);
	bool drained, finish;

	do {
		while (consume_piece(rq))
			;
		lock_get(&rq->mu);
		drained = rq->used == 0;
		finish = drained && rq->ended && !rq->abandoned;
		if (drained && !finish)
			rq->scheduled = false;
		lock_put(&rq->mu);
	} while (!drained);
	if (finish)
		finish_job(rq);
	request_put(rq);
}

static void dispose_job(struct job *j)
{
	request_put(request_of(j));
}

static void submit(struct request *rq)
{
	rq->refs++;
	rq->job.run = request_job;
	work_submit(rq->route->flags & ROUTE_AUTH ? rq->server->auth_work : rq->server->work,
		    &rq->job);
}

/* Waits for room, unless some came up meanwhile. */
static void park_for_room(struct request *rq)
{
	bool room;

	rq->host.park(rq->host.arg);
	lock_get(&rq->mu);
	room = rq->used < rq->ring_bytes;
	rq->parked = !room;
	lock_put(&rq->mu);
	if (room)
		wake(rq);
}

/* No more than the whole body takes, which is never empty here. */
static bool make_ring(struct request *rq)
{
	rq->ring_bytes = rq->has_length ? MIN(BODY_RING_BYTES, rq->length) : BODY_RING_BYTES;
	rq->ring = malloc(rq->ring_bytes);
	return rq->ring != NULL;
}

static size_t stream(struct request *rq, const void *p, size_t n)
{
	size_t took;
	bool idle, bad;

	if (!rq->ring && !make_ring(rq)) {
		struct err e;

		(void)err_set(&e, ERR_NO_MEMORY, __func__, "no memory for a body");
		return refuse_body(rq, &e, n);
	}
	lock_get(&rq->mu);
	bad = rq->failed != ERR_OK;
	took = ring_add(rq, p, n);
	idle = !rq->scheduled;
	rq->scheduled = true;
	lock_put(&rq->mu);
	if (idle)
		submit(rq);
	if (bad && discard(rq, took) == SIZE_MAX)
		return SIZE_MAX;
	if (took < n && !work_is_inline(rq->server->work))
		park_for_room(rq);
	return took;
}

size_t request_receive(struct request *rq, const void *p, size_t n)
{
	size_t took;

	if (rq->stage == REQUEST_BODY && rq->route->flags & (ROUTE_BODY | ROUTE_FORM))
		took = gather(rq, p, n);
	else if (rq->stage == REQUEST_BODY && rq->route->flags & ROUTE_STREAM)
		took = stream(rq, p, n);
	else
		took = discard(rq, n);
	if (took != SIZE_MAX)
		rq->body_bytes += took;
	return took;
}

/* The handler goes to a worker, which may still be busy with the last of the body. */
static bool run_on_worker(struct request *rq)
{
	bool inline_run = work_is_inline(rq->server->work), idle;

	if (!inline_run)
		rq->host.park(rq->host.arg);
	lock_get(&rq->mu);
	rq->ended = true;
	idle = !rq->scheduled;
	rq->scheduled = true;
	lock_put(&rq->mu);
	if (idle)
		submit(rq);
	return inline_run; /* otherwise rq is the worker's until it wakes us */
}

bool request_finish(struct request *rq)
{
	bool ready;

	switch (rq->stage) {
	case REQUEST_BODY:
		rq->stage = REQUEST_RUNNING;
		if (rq->route->flags & (ROUTE_MAY_BLOCK | ROUTE_AUTH)) {
			ready = run_on_worker(rq);
		} else {
			run(rq);
			ready = true;
		}
		break;
	case REQUEST_DISCARD:
		rq->stage = REQUEST_DONE;
		ready = true;
		break;
	case REQUEST_DONE:
		ready = true;
		break;
	case REQUEST_HEAD:
	case REQUEST_AUTH:
	case REQUEST_RUNNING:
	default:
		ready = false;
		break;
	}
	return answered(rq, ready);
}

static void count(const struct request *rq)
{
	const struct request_facts f = { .route = rq->route,
					 .method = rq->method,
					 .status = rq->answered ? rq->reply.status : 0,
					 .in_bytes = rq->body_bytes,
					 .out_bytes = bytes_sent(rq),
					 .us = mono_us() - rq->started_us };

	if (rq->server->metrics)
		metrics_request(rq->server->metrics, &f);
}

static void add_answer(struct log_line *l, const struct request *rq)
{
	log_num(l, "status", rq->answered ? rq->reply.status : 0); /* 0: cut off before it */
	log_num(l, "in", rq->body_bytes);
	if (rq->answered)
		log_num(l, "out", rq->reply.body ? rq->reply.body_n : rq->reply.length);
	log_num(l, "us", mono_us() - rq->started_us);
}

static void log_access(const struct request *rq)
{
	char who[IDENTITY_TEXT_MAX];
	struct log_line l;

	if (!rq->conf->log_access || !log_is_on(LOG_INFO))
		return;
	log_begin(&l, LOG_INFO, "request");
	log_str(&l, "id", str_of(rq->id));
	log_str(&l, "from", str_of(rq->host.peer));
	log_str(&l, "method", str_of(rq->method_text));
	log_str(&l, "path", str_of(rq->raw));
	add_answer(&l, rq);
	if (rq->route)
		log_str(&l, "route", str_of(path_pattern(rq->route->path)));
	if (rq->identity)
		log_str(&l, "who", str_of(identity_text(rq->identity, who)));
	if (rq->answered && rq->route)
		log_str(&l, "scope", str_of(scope_text(rq->route->scope)));
	if (rq->path.repo.len)
		log_str(&l, "repository", repo_name_str(&rq->path.repo));
	audit_content(&l, rq);
	if (rq->trace.id[0]) {
		log_str(&l, "trace", str_of(rq->trace.id));
		log_str(&l, "span", str_of(rq->trace.span));
		log_str(&l, "parent", str_of(rq->trace.parent));
	}
	log_end(&l);
}

void request_end(struct request *rq)
{
	bool at_work;

	if (rq->stage != REQUEST_HEAD) {
		audit_write(rq);
		count(rq);
		log_access(rq);
		if (!rq->answered)
			limited_bytes(rq, rq->body_bytes);
	}
	limited_end(rq);
	lock_get(&rq->mu);
	rq->abandoned = true;
	at_work = rq->scheduled;
	lock_put(&rq->mu);
	if (at_work || !rq->upload) {
		request_put(rq);
		return;
	}
	rq->job.run = dispose_job; /* letting go of an upload may wait for the disk */
	work_submit(rq->server->work, &rq->job);
}

const char *request_header(const struct request *rq, const char *name)
{
	return rq->host.header(rq->host.arg, name);
}

bool request_query(const struct request *rq, struct str key, struct str *ret)
{
	return target_query(&rq->target, key, 0, ret);
}
