/*
 * guard - everything about who may do what, made from the options, and looked after while berthd serves.
 *
 * Lifecycle  guard_open -> (guard_tend, again and again) -> guard_close.
 * Threads    open, tend and close by one thread; what tend finds changed is read on a worker.
 */
#pragma once

#include "server/request.h"

struct guard;

/* Fills in what requests use.  Without accounts, rules or certificates in the options nothing is guarded, and *ret works. */
MUST_CHECK enum err_kind guard_open(const struct conf *c, struct server *s, struct guard **ret,
				    struct err *e);
void guard_close(struct guard **g, struct server *s);
/* To be called several times a second; reload: whatever the files look like. */
void guard_tend(struct guard *g, bool reload);
/* Other rules, of options read anew; anything else in them waits for a restart. */
MUST_CHECK enum err_kind guard_set_rules(struct guard *g, const struct conf *c, struct err *e);

/* Are there accounts of any kind? */
bool guard_has_accounts(const struct conf *c);
/* Accounts, and nobody on the way reads or changes anything: fit for any network. */
bool guard_is_closed(const struct conf *c);
