/*
 * access - between requests and auth.h: who asks, whether the route's scope is granted, and what a refusal says.
 *
 * The order: access_recall on the poll thread; where that is not enough access_identify on a worker; then access_decide on
 * the poll thread again.
 * A refusal tells the same about what is there and what is not.
 */
#pragma once

#include "server/request.h"

/* Is anything asked of who comes here? */
bool access_is_needed(const struct request *rq);
/* Sets rq->identity, or *ret_later: access_identify is needed. */
MUST_CHECK enum err_kind access_recall(struct request *rq, bool *ret_later, struct err *e);
MUST_CHECK enum err_kind access_identify(struct request *rq, struct err *e);
/*
 * Is the route's scope granted to rq->identity?  routed is what came of finding the route: to those who give no name a
 * wrong path is as closed as a right one.
 */
MUST_CHECK enum err_kind access_decide(struct request *rq, enum err_kind routed, struct err *e);

/* What the route asks for where nobody has an account. */
MUST_CHECK enum err_kind access_without_accounts(struct request *rq, struct err *e);

/* For handlers of SCOPE_ADMIN: what an administrator of the repository may do, ... */
MUST_CHECK enum err_kind access_admin(struct request *rq, struct str repository, struct err *e);
bool access_is_admin(const struct request *rq, struct str repository);
/* ... and who it is, for the reflog.  Lives as long as the request. */
const struct change_guard *access_admin_guard(struct request *rq);

/* For handlers of routes that are open to all, on a worker: find out who it is, and set rq->identity. */
MUST_CHECK enum err_kind access_login(struct request *rq, struct err *e);
MUST_CHECK enum err_kind access_login_password(struct request *rq, struct str name,
					       struct str password, struct err *e);
MUST_CHECK enum err_kind access_login_refresh(struct request *rq, struct str token, struct err *e);
MUST_CHECK enum err_kind access_login_workload(struct request *rq, struct str token, struct err *e);

/* For handlers: may who asks read this as well?  Always without accounts. */
bool access_may_pull(const struct request *rq, struct str repository);
/* What else is to be looked at while a change is made; NULL without accounts.  Lives as long as the request. */
const struct change_guard *access_guard(struct request *rq);
