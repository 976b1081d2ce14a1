/*
 * audit - one line for each write, allowed or denied, for each failed login, and for each change of a rule or key: who, from where,
 * what, why.
 *
 * At every log.level.  Only with accounts; without them the access log says the same.
 */
#pragma once

#include "server/request.h"

/* account is who it claimed to be, or "". */
void audit_login(const struct request *rq, const char *account, const struct err *why);
/* Rules or keys changed. */
void audit_change(const char *action, const char *what);
/* Digest and tag, as far as they are known: of what was made, or what the request names. */
void audit_content(struct log_line *l, const struct request *rq);
/* At the end of a request that writes, or would have. */
void audit_write(const struct request *rq);
