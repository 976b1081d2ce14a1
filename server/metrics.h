/*
 * metrics - what berthd counts of requests and connections, and all that /metrics tells (names and units by the
 * conventions of Prometheus).
 *
 * M1  Counting takes no lock and no memory; nothing is counted by repository or client, so the text stays small.
 * Threads  any.
 */
#pragma once

#include "auth/identity.h"
#include "server/ops.h"
#include "server/route.h"

struct metrics;

MUST_CHECK enum err_kind metrics_new(struct metrics **ret, struct err *e);
void metrics_free(struct metrics **m);

/* A request is over. */
struct request_facts {
	const struct route *route; /* NULL: none was found */
	enum method method;
	unsigned status; /* 0: cut off before the answer */
	uint64_t in_bytes, out_bytes, us;
};
void metrics_request(struct metrics *m, const struct request_facts *f);
/* A connection began or, with false, ended. */
void metrics_connection(struct metrics *m, bool began);

/* What a client brought to say who it is, and what came of it.  m may be NULL, as below. */
enum auth_source {
	AUTH_PASSWORD,
	AUTH_TOKEN,
	AUTH_CERTIFICATE,
	AUTH_REFRESH,
	AUTH_WORKLOAD,
	AUTH_SOURCE_N
};
enum auth_result { AUTH_OK, AUTH_FAILED, AUTH_THROTTLED, AUTH_ERROR, AUTH_RESULT_N };
void metrics_auth(struct metrics *m, enum auth_source source, enum auth_result result);
void metrics_token_issued(struct metrics *m);
/* Somebody who is known asked for what he may not do. */
void metrics_denied(struct metrics *m, enum action action);

/* Everything, appended to b; may wait for the disk. */
struct expo;
MUST_CHECK enum err_kind metrics_tell(const struct metrics *m, const struct server *s,
				      struct expo *x, struct err *e);
/* metrics_store.c: the part about the store and what works on it. */
MUST_CHECK enum err_kind metrics_tell_store(const struct ops *ops, struct expo *x, struct err *e);
