/*
 * convert - resources of a spec as writes to files of cgroups, for either version (config-linux.md "Control groups").
 *
 * Pure: no file is touched, so all of it can be tested without a cgroup.
 */
#pragma once

#include "runtime/oci/spec/resources.h"

#define CGROUP_WRITE_OPTIONAL                                                                      \
	1u /* a kernel without the file, or one that takes no value any more, is fine */
#define CGROUP_WRITE_PAIR                                                                          \
	2u /* with the next one: if this order is refused, the other one is tried */
#define CGROUP_WRITE_KEEP_FIRST 4u /* the value follows the file's own first word */

struct cgroup_write {
	const char *controller;
	const char *file;
	const char *other_file; /* written instead where it exists; may be NULL */
	const char *other_value;
	const char *value;
	const char *property; /* for messages: "linux.resources.cpu.shares" */
	unsigned flags;
};

struct cgroup_writes {
	struct cgroup_write *v;
	size_t n, cap;
	struct arena *arena;
};

MUST_CHECK enum err_kind cgroup_writes_v1(const struct spec_resources *r, struct arena *a,
					  struct cgroup_writes *ret, struct err *e);
MUST_CHECK enum err_kind cgroup_writes_v2(const struct spec_resources *r, struct arena *a,
					  struct cgroup_writes *ret, struct err *e);

/* From the ranges of version 1 to those of version 2. */
uint64_t cgroup_cpu_weight(uint64_t shares);
uint64_t cgroup_io_weight(uint64_t blkio_weight);
/* memory.swap.max from memory+swap and memory.  False if they do not fit together. */
bool cgroup_swap_max(int64_t memory_and_swap, int64_t memory, int64_t *ret);
