/*
 * userns - berth for an ordinary user: a user namespace in which the user is root, and the user's subordinate ids
 * (subuid(5), by newuidmap(1) and newgidmap(1)) are everybody else.
 *
 * V1  A command does all its work in it: files of images have many owners, which must be the same for all commands.
 * V2  While a container runs, who comes enters its namespace in place of making another, because only there can its
 *     processes be signalled whoever they run as.  Those who come at the same time agree by a lock.
 * V3  No process stays behind to keep the namespace: when nothing runs any more, it is gone.
 * Threads  one, before there are others.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* In a shim's directory in STATE: its pid, for others to find the namespace by. */
#define USERNS_HOLDER "holder"

/* *ret_alone: the user has no subordinate ids, so root is all there is. */
MUST_CHECK enum err_kind userns_enter(const char *state, bool *ret_alone, struct err *e);
/* In a user namespace that has no ids but root's. */
bool userns_is_alone(void);
