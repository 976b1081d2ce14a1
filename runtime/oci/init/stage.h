/*
 * stage - enters namespaces before the container's process is made in them.
 *
 * Some are taken on by children only (pid, time), some may be entered only before a user namespace is (those of the
 * host), others only after (those that it owns).  The stage does it in an order in which any mix works, makes the
 * process as a child of the runtime (CLONE_PARENT), tells its pid, and ends.
 */
#pragma once

#include "runtime/oci/init/init.h"

/* Runs in the stage; returns its exit status.  In the process it returns -1: go on with init_run(). */
int stage_run(struct init *in);
