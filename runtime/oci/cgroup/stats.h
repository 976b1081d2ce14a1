/*
 * stats - what a container uses, in the form of runc's `events --stats`.
 */
#pragma once

#include "runtime/oci/cgroup/cgroup.h"

/* The value of "data"; what a hierarchy does not tell is 0 or left out.  NULL without memory. */
struct jv *cgroup_stats(const struct cgroup *cg);

/* A descriptor that becomes readable when the container runs out of memory; -1 where that cannot be told. */
int cgroup_oom_watch(const struct cgroup *cg);
/* After it did: true if a process was killed for it, false if the group is gone. */
bool cgroup_oom_read(const struct cgroup *cg, int watch);
