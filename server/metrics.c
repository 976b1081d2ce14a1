#include "server/metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/expo.h"
#include "server/request.h"

#define LABELS_MAX 256

/* What berthd answers, and one more for anything else. */
static const unsigned short statuses[] = { 0,   200, 201, 202, 204, 206, 302, 304, 307,
					   400, 401, 403, 404, 405, 406, 409, 411, 413,
					   414, 416, 429, 431, 499, 500, 501, 503, 507 };
#define STATUS_N (ARRAY_LEN(statuses) + 1)

struct route_counts {
	_Atomic uint64_t by_status[STATUS_N];
	_Atomic uint64_t in_bytes, out_bytes;
	struct histogram took;
};

static const enum action actions[] = { ACTION_PULL, ACTION_PUSH, ACTION_DELETE, ACTION_ADMIN };
static const char *const source_names[AUTH_SOURCE_N] = {
	[AUTH_PASSWORD] = "password",       [AUTH_TOKEN] = "token",
	[AUTH_CERTIFICATE] = "certificate", [AUTH_REFRESH] = "refresh",
	[AUTH_WORKLOAD] = "workload",
};
static const char *const result_names[AUTH_RESULT_N] = {
	[AUTH_OK] = "ok",
	[AUTH_FAILED] = "failed",
	[AUTH_THROTTLED] = "throttled",
	[AUTH_ERROR] = "error",
};

struct metrics {
	_Atomic uint64_t opened, closed; /* connections */
	_Atomic uint64_t auth[AUTH_SOURCE_N][AUTH_RESULT_N], tokens_issued;
	_Atomic uint64_t denied[ARRAY_LEN(actions)];
	uint64_t started_ms;
	struct route_counts routes[ROUTES_MAX + 1][METHOD_N]; /* the last is of no route */
};

enum err_kind metrics_new(struct metrics **ret, struct err *e)
{
	struct metrics *m = calloc(1, sizeof(*m));

	if (!m)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for metrics");
	m->started_ms = wall_ms();
	*ret = m;
	return ERR_OK;
}

void metrics_free(struct metrics **m)
{
	free(TAKE(*m));
}

static void bump(_Atomic uint64_t *v, uint64_t by)
{
	(void)atomic_fetch_add_explicit(v, by, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}

static size_t status_slot(unsigned status)
{
	size_t i = 0;

	while (i < ARRAY_LEN(statuses) && statuses[i] != status)
		i++;
	return i;
}

void metrics_request(struct metrics *m, const struct request_facts *f)
{
	size_t route = f->route ? route_number(f->route) : ROUTES_MAX;
	struct route_counts *c = &m->routes[route][f->method];

	bump(&c->by_status[status_slot(f->status)], 1);
	bump(&c->in_bytes, f->in_bytes);
	bump(&c->out_bytes, f->out_bytes);
	histogram_add(&c->took, f->us);
}

void metrics_connection(struct metrics *m, bool began)
{
	bump(began ? &m->opened : &m->closed, 1);
}

void metrics_auth(struct metrics *m, enum auth_source source, enum auth_result result)
{
	if (m)
		bump(&m->auth[source][result], 1);
}

void metrics_token_issued(struct metrics *m)
{
	if (m)
		bump(&m->tokens_issued, 1);
}

void metrics_denied(struct metrics *m, enum action action)
{
	for (size_t i = 0; m && i < ARRAY_LEN(actions); i++) {
		if (actions[i] == action)
			bump(&m->denied[i], 1);
	}
}

/* --- telling --- */

typedef void route_fn(struct expo *x, const char *labels, const struct route_counts *c);

static bool is_used(const struct route_counts *c)
{
	uint64_t n = 0;

	for (size_t i = 0; i < STATUS_N; i++)
		n += get(&c->by_status[i]);
	return n > 0;
}

/* Routes and methods that were never asked for have no sample. */
static void each_route(const struct metrics *m, struct expo *x, route_fn *fn)
{
	char labels[LABELS_MAX], method[32];

	for (size_t i = 0; i <= ROUTES_MAX; i++) {
		const struct route *r = route_at(i);

		for (unsigned j = 0; j < METHOD_N; j++) {
			if (!is_used(&m->routes[i][j]))
				continue;
			(void)snprintf(labels, sizeof(labels), "route=\"%s\",method=\"%s\"",
				       r ? path_pattern(r->path) : "none",
				       j < METHOD_OTHER
					   ? methods_text(1u << j, method, sizeof(method))
					   : "other");
			fn(x, labels, &m->routes[i][j]);
		}
	}
}

static void tell_statuses(struct expo *x, const char *labels, const struct route_counts *c)
{
	char all[LABELS_MAX + 32];

	for (size_t i = 0; i < STATUS_N; i++) {
		uint64_t v = get(&c->by_status[i]);

		if (v == 0)
			continue;
		if (i < ARRAY_LEN(statuses) && statuses[i])
			(void)snprintf(all, sizeof(all), "%s,code=\"%u\"", labels, statuses[i]);
		else
			(void)snprintf(all, sizeof(all), "%s,code=\"%s\"", labels,
				       i ? "other" : "cut");
		expo_sample(x, all, v);
	}
}

static void tell_took(struct expo *x, const char *labels, const struct route_counts *c)
{
	expo_histogram(x, labels, &c->took);
}

static void tell_in(struct expo *x, const char *labels, const struct route_counts *c)
{
	expo_sample(x, labels, get(&c->in_bytes));
}

static void tell_out(struct expo *x, const char *labels, const struct route_counts *c)
{
	expo_sample(x, labels, get(&c->out_bytes));
}

static void tell_requests(const struct metrics *m, struct expo *x)
{
	expo_family(x, EXPO_COUNTER, "berthd_http_requests",
		    "Requests by route, method and status; code cut: the client went away before.");
	each_route(m, x, tell_statuses);
	expo_family(x, EXPO_HISTOGRAM, "berthd_http_request_duration_seconds",
		    "Time from the head of a request to the end of its answer.");
	each_route(m, x, tell_took);
	expo_family(x, EXPO_COUNTER, "berthd_http_request_body_bytes", "Bytes of bodies received.");
	each_route(m, x, tell_in);
	expo_family(x, EXPO_COUNTER, "berthd_http_response_body_bytes", "Bytes of bodies sent.");
	each_route(m, x, tell_out);
	expo_one(x, EXPO_COUNTER, "berthd_http_connections_accepted", "Connections accepted.",
		 get(&m->opened));
	expo_one(x, EXPO_GAUGE, "berthd_http_connections", "Open connections.",
		 get(&m->opened) - get(&m->closed));
}

static uint64_t open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	uint64_t n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		(void)closedir(d);
	return n > 3 ? n - 3 : 0; /* ".", ".." and the one that lists */
}

static uint64_t resident_bytes(void)
{
	unsigned long pages = 0, ignored;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fscanf(f, "%lu %lu", &ignored, &pages) != 2)
		pages = 0;
	if (f)
		(void)fclose(f);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t micros(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static void tell_process(const struct metrics *m, struct expo *x)
{
	struct rusage u;

	expo_family(x, EXPO_GAUGE, "process_start_time_seconds",
		    "When the process began, seconds since 1970.");
	expo_ms(x, "", m->started_ms);
	expo_one(x, EXPO_GAUGE, "process_resident_memory_bytes", "Memory that is resident.",
		 resident_bytes());
	expo_one(x, EXPO_GAUGE, "process_open_fds", "Open descriptors.", open_descriptors());
	if (getrusage(RUSAGE_SELF, &u) < 0)
		return;
	expo_family(x, EXPO_COUNTER, "process_cpu_seconds", "Processor time used.");
	expo_us(x, "", micros(u.ru_utime) + micros(u.ru_stime));
}

static void tell_auth(const struct metrics *m, struct expo *x)
{
	char labels[LABELS_MAX], action[ACTIONS_TEXT_MAX];

	expo_family(x, EXPO_COUNTER, "berthd_auth_results",
		    "Requests that said who asks, by what they brought and what came of it.");
	for (size_t i = 0; i < AUTH_SOURCE_N; i++) {
		for (size_t j = 0; j < AUTH_RESULT_N; j++) {
			(void)snprintf(labels, sizeof(labels), "source=\"%s\",result=\"%s\"",
				       source_names[i], result_names[j]);
			expo_sample(x, labels, get(&m->auth[i][j]));
		}
	}
	expo_one(x, EXPO_COUNTER, "berthd_auth_tokens_issued", "Tokens given out.",
		 get(&m->tokens_issued));
	expo_family(x, EXPO_COUNTER, "berthd_auth_denials",
		    "Requests of somebody known who may not do this (403).");
	for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
		(void)snprintf(labels, sizeof(labels), "action=\"%s\"",
			       actions_text(actions[i], action));
		expo_sample(x, labels, get(&m->denied[i]));
	}
}

/* Without limits as well, so that whoever watches them need not know. */
static void tell_limits(struct expo *x, struct limits *limits)
{
	struct limit_stats s = { .held = 0 };

	if (limits)
		s = limits_stats(limits);
	expo_family(x, EXPO_COUNTER, "berthd_limit_refusals",
		    "Requests refused for a limit (429).");
	expo_sample(x, "limit=\"address.requests\"", s.requests[LIMIT_ADDRESS]);
	expo_sample(x, "limit=\"address.bytes\"", s.bytes[LIMIT_ADDRESS]);
	expo_sample(x, "limit=\"identity.requests\"", s.requests[LIMIT_IDENTITY]);
	expo_sample(x, "limit=\"identity.bytes\"", s.bytes[LIMIT_IDENTITY]);
	expo_sample(x, "limit=\"identity.uploads\"", s.uploads);
	expo_one(x, EXPO_GAUGE, "berthd_limit_held_requests",
		 "Refusals that wait before they are told.", s.held);
}

enum err_kind metrics_tell(const struct metrics *m, const struct server *s, struct expo *x,
			   struct err *e)
{
	enum err_kind k;

	expo_family(x, EXPO_GAUGE, "berthd_build_info", "The version that runs.");
	expo_sample(x, "version=\"" BERTH_VERSION "\"", 1);
	tell_requests(m, x);
	expo_one(x, EXPO_GAUGE, "berthd_work_queue_jobs", "Jobs that wait for a worker.",
		 work_queued(s->work));
	tell_auth(m, x);
	tell_limits(x, s->limits);
	k = metrics_tell_store(s->ops, x, e);
	tell_process(m, x);
	expo_end(x);
	return k;
}
