/*
 * request - one HTTP request from its head to its answer, free of any HTTP library.
 *
 * The order of things, driven by http.c:
 *   request_new       when the request-target is known (poll thread)
 *   request_open      when the head is complete: routes, and may decide the answer already (poll thread)
 *   request_resume    the rest of that, if finding out who it is took a worker (poll thread)
 *   request_receive   for each piece of the body (poll thread); bytes go to the route's consumer on a worker
 *   request_finish    at the end of the body; runs the handler, on a worker if the route may block
 *   request_reply     is there when request_is_done()
 *   request_end       when the exchange is over, however it ended (poll thread)
 *
 * A1  A poll thread never waits for a disk: routes marked ROUTE_MAY_BLOCK run on workers.
 * A2  A body takes at most BODY_RING_BYTES of memory while it streams, or the route's limit if it is gathered.
 * A3  Nothing is made or changed before the route's scope was checked.
 * Ownership  the poll side and a job under way hold one reference each; the last one frees.
 */
#pragma once

#include "auth/rule.h"
#include "base/lock.h"
#include "base/trace.h"
#include "server/conf.h"
#include "server/limit.h"
#include "server/live.h"
#include "server/origin.h"
#include "server/path.h"
#include "server/proxy.h"
#include "server/reply.h"
#include "server/target.h"
#include "server/work.h"
#include "storage/upload.h"

enum method {
	METHOD_GET,
	METHOD_HEAD,
	METHOD_PUT,
	METHOD_POST,
	METHOD_PATCH,
	METHOD_DELETE,
	METHOD_OTHER,
	METHOD_N
};

/* Where ids of requests come from: each number once, in no order that says anything. */
struct request_ids {
	uint64_t seed; /* random */
	_Atomic uint64_t n;
};

/* What all requests share; const after start. */
struct server {
	const struct conf *conf; /* at the start */
	struct live *live;       /* what is in force; NULL: conf, origin and proxies are */
	struct store *store;
	struct work *work;
	struct auth *auth;      /* NULL: everybody may do everything */
	struct work *auth_work; /* checks who it is; with auth only */
	struct tls *tls;        /* NULL: plain HTTP */
	struct limits *limits;  /* NULL: there are none */
	struct origin origin;
	struct proxies proxies;
	const struct ops *ops;
	_Atomic unsigned *admin_calls; /* under way by HTTP; NULL: not counted */
	struct request_ids *ids;       /* NULL: ids are random */
	struct metrics *metrics;
	bool watch_only; /* serves what is marked ROUTE_WATCH, to anybody */
	bool has_watch;  /* metrics are at another listener, which has that */
	const _Atomic bool *draining;
};

#define BODY_RING_BYTES (384u * 1024)
#define DISCARD_MAX (64u * 1024 * 1024) /* of a refused body before the connection is given up */

#define DISCARD_LIMITED_MAX (64u * 1024) /* the same of who is over a limit */

enum request_stage {
	REQUEST_HEAD,    /* before request_open */
	REQUEST_AUTH,    /* a worker finds out who it is, or a refusal waits (limit.h, M4) */
	REQUEST_BODY,    /* receiving */
	REQUEST_DISCARD, /* refused; the rest of the body is thrown away */
	REQUEST_RUNNING, /* the handler is at work */
	REQUEST_DONE,    /* the reply is there */
};

struct metrics;
struct ops;
struct request;
struct route;

/* What http.c does for a request; the argument is its own. */
struct request_host {
	void *arg;
	const char *peer; /* the client's address */
	bool by_proxy;    /* of ours: what it says about the request is believed */
	/* The field's value, or NULL.  Poll thread or handler. */
	const char *(*header)(void *arg, const char *name);
	/* Are there several of the name? */
	bool (*repeats)(void *arg, const char *name);
	/* Who the client's certificate says it is (tls_identity); NULL without TLS. */
	enum err_kind (*certificate)(void *arg, struct identity **ret, struct err *e);
	/* ADDRESS:PORT that the client connected to. */
	void (*local)(void *arg, char *buf, size_t cap);
	/* Stops and restarts the flow of events for this request.  wake from any thread. */
	void (*park)(void *arg);
	void (*wake)(void *arg);
};

#define REQUEST_ID_MAX 65

struct request {
	const struct server *server;
	char id[REQUEST_ID_MAX];         /* what the log and the answer call it */
	struct trace trace;              /* that it is a part of */
	const struct snapshot *snapshot; /* what the next three are of; NULL: the server's */
	const struct conf *conf;
	const struct origin *origin;
	const struct proxies *proxies;
	struct request_host host;
	enum method method;
	const char *method_text;
	const struct route *route;
	struct target target;
	struct path path;
	struct reply reply;
	enum resource about; /* what the next failure is about; handlers keep it right */
	struct jv *detail;   /* of the failure; owned */
	struct sbuf body;    /* gathered by ROUTE_BODY */
	uint64_t body_bytes; /* received so far */
	bool has_length;
	uint64_t length;       /* Content-Length */
	struct upload *upload; /* of ROUTE_STREAM; the worker's while a job is under way */
	uint64_t started_us;
	struct identity *identity; /* who asks, once it is known; owned */
	bool decided;              /* whether it may do this */
	struct decision decision;
	struct change_guard guard; /* access_guard's */
	char who[IDENTITY_TEXT_MAX];
	/* The rest is request.c's. */
	enum request_stage stage;
	_Atomic unsigned refs;
	struct job job;
	struct lock mu;
	uint8_t *ring; /* under mu, as all below */
	size_t ring_bytes, head, used;
	bool scheduled; /* a job is queued or running, or the handler ran */
	bool parked, ended, abandoned;
	struct limit_hold hold;
	enum err_kind failed; /* of the consumer */
	struct err failure;
	/* The poll thread's. */
	uint64_t discarded;
	bool answered;
	bool limited; /* refused by a limit */
	bool held;    /* and that waited */
	uint64_t upload_ticket;
	char *raw;
	char text[]; /* decoded query, then the raw target */
};

/* NULL without memory.  raw is copied. */
struct request *request_new(const struct server *s, struct str raw);
/*
 * True if the answer is ready before the body, which is not to be read.  In stage REQUEST_AUTH nothing is known yet, and
 * request_resume goes on after the wake.
 */
bool request_open(struct request *rq, const char *method, const struct request_host *host);
bool request_resume(struct request *rq);
/* Returns how many bytes were taken; fewer than n: parked until there is room.  SIZE_MAX: give the connection up. */
size_t request_receive(struct request *rq, const void *p, size_t n);
/* May be called again after a wake; true when the reply is there. */
bool request_finish(struct request *rq);
void request_end(struct request *rq);

/* For handlers. */
const char *request_header(const struct request *rq, const char *name);
bool request_query(const struct request *rq, struct str key, struct str *ret);
/* Describes a failure and says what it is about, in one line. */
#define request_fail(rq, e, kind, res, ...)                                                        \
	((rq)->about = (res), err_set((e), (kind), __func__, __VA_ARGS__))
