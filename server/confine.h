/*
 * confine - what berthd gives up before it serves: root, and whatever of the system it has no need of.
 *
 * F1  Nothing that is given up comes back, for any thread started later.
 * F2  A system that cannot confine (an old kernel) is told of in the log; it does not stop the start.
 * Sequence  confine_as_user, once what only root may is open -> confine_self, before there is a second thread.
 */
#pragma once

#include "server/conf.h"

/*
 * What is in memory, passwords and keys among it, stays there: no core dumps, no look into it by others of the same user.
 * Another user (confine_as_user) undoes it; confine_self does it again.
 */
MUST_CHECK enum err_kind confine_memory(struct err *e);
/* Becomes process.user, if root started us; directories of ours that are not there are made for it. */
MUST_CHECK enum err_kind confine_as_user(const struct conf *c, struct err *e);
/* confine_memory, and no new privileges; with process.confine only the system calls and files that serving needs. */
MUST_CHECK enum err_kind confine_self(const struct conf *c, struct err *e);
