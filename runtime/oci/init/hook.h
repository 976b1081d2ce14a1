/*
 * hook - runs one hook (config.md "POSIX-platform Hooks") and waits for it, within its time limit.
 *
 * The same code serves the runtime and the container's process, so it allocates nothing.
 */
#pragma once

#include "runtime/oci/init/note.h"
#include "runtime/oci/plan/plan.h"

/* 0, or -errno with *why saying what went wrong: "exited with status 3", "timed out". */
int hook_run(const struct hook_op *h, pid_t pid_in_state, struct note *why);
