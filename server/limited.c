#include "server/limited.h"

#include "base/clock.h"
#include "server/nearby.h"
#include "server/route.h"

/* Health is asked for by who would restart us; and an administrator at the machine is to get through. */
static bool is_unlimited(const struct request *rq)
{
	const struct route *r = rq->route;

	return !rq->server->limits || rq->server->watch_only ||
	       (r && ((r->flags & ROUTE_WATCH && r->scope == SCOPE_NONE) ||
		      (r->scope == SCOPE_ADMIN && request_is_nearby(rq))));
}

static bool has_account(const struct request *rq)
{
	return rq->identity && rq->identity->kind != IDENTITY_ANONYMOUS;
}

/* Whose the request is, for what counts by identity where there is one. */
static struct str limited_who(const struct request *rq, enum limit_subject s,
			      char buf[static IDENTITY_TEXT_MAX])
{
	return s == LIMIT_IDENTITY ? str_of(identity_text(rq->identity, buf))
				   : str_of(rq->host.peer);
}

static enum err_kind limit_requests(struct request *rq, enum limit_subject s, struct err *e)
{
	char who[IDENTITY_TEXT_MAX];
	uint64_t wait_ms;
	enum err_kind k;

	if (is_unlimited(rq) || (s == LIMIT_IDENTITY && !has_account(rq)))
		return ERR_OK;
	k = limits_request(rq->server->limits, s, limited_who(rq, s, who), mono_us(), &wait_ms, e);
	if (k == ERR_OK)
		return ERR_OK;
	rq->limited = true;
	rq->about = RES_ANY;
	reply_header(&rq->reply, "Retry-After", "%llu", (unsigned long long)(wait_ms + 999) / 1000);
	return k;
}

enum err_kind limited_upload(struct request *rq, struct err *e)
{
	enum limit_subject s = has_account(rq) ? LIMIT_IDENTITY : LIMIT_ADDRESS;
	char who[IDENTITY_TEXT_MAX];
	enum err_kind k;

	if (!(rq->route->flags & ROUTE_STREAM) || is_unlimited(rq))
		return ERR_OK;
	k = limits_upload(rq->server->limits, s, limited_who(rq, s, who), mono_us(),
			  &rq->upload_ticket, e);
	if (k == ERR_OK)
		return ERR_OK;
	rq->limited = true;
	rq->about = RES_UPLOAD;
	return k;
}

enum err_kind limited_address(struct request *rq, struct err *e)
{
	return limit_requests(rq, LIMIT_ADDRESS, e);
}

enum err_kind limited_identity(struct request *rq, struct err *e)
{
	enum err_kind k = limit_requests(rq, LIMIT_IDENTITY, e);

	return k == ERR_OK ? limited_upload(rq, e) : k;
}

void limited_bytes(const struct request *rq, uint64_t n)
{
	char who[IDENTITY_TEXT_MAX];

	if (is_unlimited(rq))
		return;
	limits_bytes(rq->server->limits, LIMIT_ADDRESS, limited_who(rq, LIMIT_ADDRESS, who), n,
		     mono_us());
	if (has_account(rq))
		limits_bytes(rq->server->limits, LIMIT_IDENTITY,
			     limited_who(rq, LIMIT_IDENTITY, who), n, mono_us());
}

void limited_end(const struct request *rq)
{
	if (rq->upload_ticket)
		limits_upload_end(rq->server->limits, rq->upload_ticket);
}
