/*
 * exchange - a request to a registry and all that it takes to get an answer: HTTPS or HTTP, challenge, redirects, retries.
 *
 * G1  What may pass (429, 5xx, a broken connection) is tried again with back-off, at most EXCHANGE_TRIES times without
 *     progress; Retry-After is respected.  A try begins where the first one did, not where that was redirected to.
 * G2  Redirects are followed at most EXCHANGE_REDIRECTS_MAX times, never from HTTPS to HTTP, and Authorization goes along
 *     only to the same scheme, host and port.
 * G3  The answer that comes out is a success or a refusal that will stay one.
 * Lifecycle  fill in a struct exchange -> exchange_start -> (job ends -> exchange_next)* ; exchange_clear.
 * Threads    one.
 */
#pragma once

#include "runtime/image/authorize.h"

#define EXCHANGE_TRIES 6
#define EXCHANGE_REDIRECTS_MAX 5
#define EXCHANGE_HEADERS_MAX 6

struct exchange {
	/* Filled in by who asks. */
	const struct authorizer *authorizer;
	struct endpoint *ep;
	const char *method;
	const struct repo_name *repo; /* NULL: /v2/ itself */
	const char *rest;             /* "/manifests/latest"; if url is set it is not used */
	char *url;                    /* owned: where to go, as a Location told */
	const char *scope;
	const char *headers[EXCHANGE_HEADERS_MAX];
	struct transfer_request body;  /* body, source, sink, accept, arg, body_max */
	uint64_t (*offset)(void *arg); /* for Range: bytes that are here already; NULL: none */
	bool once; /* not to be sent twice: what may have been done must not be done again */
	unsigned tries_max; /* 0: EXCHANGE_TRIES */

	/* The state. */
	struct transfer_job *job;
	char *redirect; /* owned */
	bool redirect_is_foreign;
	unsigned tries, redirects, challenges;
	uint64_t not_before_mono_ms, offset_before;
};

enum exchange_state {
	EXCHANGE_DONE,  /* job has the answer */
	EXCHANGE_AGAIN, /* to be started again at not_before_mono_ms */
};

MUST_CHECK enum err_kind exchange_start(struct exchange *x, struct err *e);
/* The job has ended. */
MUST_CHECK enum err_kind exchange_next(struct exchange *x, enum exchange_state *ret, struct err *e);
/* start and next until it is done. */
MUST_CHECK enum err_kind exchange_run(struct exchange *x, struct err *e);
void exchange_clear(struct exchange *x);
#define AUTO_EXCHANGE CLEANUP(exchange_clear) struct exchange

/* The kind of failure that a status stands for, with what the registry says of it (OCI error codes). */
enum err_kind exchange_refused(const struct exchange *x, const char *what, struct err *e);
