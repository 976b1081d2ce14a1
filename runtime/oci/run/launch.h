/*
 * launch - the container's process from clone to the moment it is on its own, seen from the runtime.
 *
 * Lifecycle  launch_spawn -> (join cgroups and the like) -> launch_go -> launch_next* ; launch_end at any time.
 * The process and its stage end by themselves when the runtime does, until create has committed it.
 */
#pragma once

#include "runtime/oci/init/sync.h"
#include "runtime/oci/plan/build.h"

struct launch {
	int sync;
	pid_t pid;
	int pidfd;
};

/* listen: the start socket, for create; lock: a descriptor that the process must not keep.  Either may be -1. */
MUST_CHECK enum err_kind launch_spawn(const struct plan *p, const struct host *h, int listen,
				      int lock, struct launch *ret, struct err *e);
MUST_CHECK enum err_kind launch_go(struct launch *l, struct err *e);
/* The next message; what the process reports as its failure is an error here. */
MUST_CHECK enum err_kind launch_next(struct launch *l, struct sync_msg *ret, struct err *e);
MUST_CHECK enum err_kind launch_answer(struct launch *l, enum sync_type type, struct err *e);
/* Kills the process if `kill`, and lets go. */
void launch_end(struct launch *l, bool kill);

/* Limits of a process in a user namespace, which may not raise them itself. */
MUST_CHECK enum err_kind launch_set_limits(pid_t pid, const struct spec_process *proc,
					   struct err *e);
MUST_CHECK enum err_kind launch_set_oom_score(pid_t pid, const struct spec_process *proc,
					      const struct host *h, struct err *e);

/* SYNC_ERROR as an error: text, and what the errno means. */
enum err_kind launch_error(const struct sync_msg *m, struct err *e);
