/*
 * limited - between requests and limit.h: who counts, for what, and what a refusal says.
 *
 * A refusal is ERR_TOO_MANY, with rq->limited set and Retry-After in the reply.  Nothing is counted of health, of metrics.listen,
 * and of an administrator who is nearby (nearby.h).
 * Threads  as the request.
 */
#pragma once

#include "server/request.h"

/* Before it is known who asks. */
MUST_CHECK enum err_kind limited_address(struct request *rq, struct err *e);
/* Once it is, and what it asks for is granted: requests, and the uploads of limited_upload. */
MUST_CHECK enum err_kind limited_identity(struct request *rq, struct err *e);
MUST_CHECK enum err_kind limited_upload(struct request *rq, struct err *e);
/* Of bodies, in or out. */
void limited_bytes(const struct request *rq, uint64_t n);
/* The exchange is over. */
void limited_end(const struct request *rq);
