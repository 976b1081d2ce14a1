/*
 * cgroup - the control groups of one container.
 *
 * G1  cgroup_plan() only computes and looks; cgroup_make() is the first call that changes anything.
 * G2  Directories that were made here carry a mark (extended attribute); cgroup_remove() removes those of the
 *     container's path that carry it, from the leaf up as far as they are empty, and no other.  So parents go with the
 *     last container in them, whichever made them.
 * G3  Every group inside of the container's own, which its processes may have made, is removed, too.
 * G4  A runtime that is killed before it has marked what it made leaves nothing behind: what its plan found missing
 *     counts as marked, and cgroup_remove() marks what others still use (ADR 0024).
 * Ownership  texts live in the arena given.
 */
#pragma once

#include <sys/types.h>

#include "runtime/oci/cgroup/layout.h"
#include "runtime/oci/spec/spec.h"

struct cgroup_dir {
	const char *controllers; /* as in struct hierarchy */
	const char *mount;       /* of the hierarchy */
	const char *path;        /* the container's directory */
	bool is_v2;
	size_t missing; /* bytes at the end of path that were not there when it was planned */
};

struct cgroup {
	struct cgroup_dir dirs[HIERARCHIES_MAX];
	size_t n;
	bool is_unified;
	bool
	    is_optional; /* nothing was asked for that needs one: who may not make groups goes without */
	const char *unit; /* of systemd, which made the group; NULL without it */
	const char *slice;
};

/* manager_systemd: cgroupsPath is slice:prefix:name. */
MUST_CHECK enum err_kind cgroup_plan(const struct layout *l, const struct spec *s, const char *id,
				     bool manager_systemd, struct arena *a, struct cgroup *ret,
				     struct err *e);
MUST_CHECK enum err_kind cgroup_make(struct cgroup *cg, struct err *e);
MUST_CHECK enum err_kind cgroup_join(const struct cgroup *cg, pid_t pid, struct err *e);
/* Writes limits and device rules. */
MUST_CHECK enum err_kind cgroup_apply(const struct cgroup *cg, const struct spec_resources *r,
				      struct arena *a, struct err *e);
/* ERR_INVALID if a memory limit is below what is in use already. */
MUST_CHECK enum err_kind cgroup_check_usage(const struct cgroup *cg, const struct spec_memory *m,
					    struct err *e);

MUST_CHECK enum err_kind cgroup_freeze(const struct cgroup *cg, bool freeze, struct err *e);
bool cgroup_is_frozen(const struct cgroup *cg);
bool cgroup_can_freeze(const struct cgroup *cg);

/* All processes of the container, those of groups inside its own included. */
MUST_CHECK enum err_kind cgroup_pids(const struct cgroup *cg, struct arena *a, pid_t **ret,
				     size_t *ret_n, struct err *e);
/* Signals all of them; SIGKILL until none is left, for a bounded time. */
MUST_CHECK enum err_kind cgroup_signal(const struct cgroup *cg, int sig, struct err *e);
/* Gone already is fine. */
MUST_CHECK enum err_kind cgroup_remove(const struct cgroup *cg, struct err *e);

/* The directory in the hierarchy of this controller, or NULL. */
const struct cgroup_dir *cgroup_dir_of(const struct cgroup *cg, const char *controller);
/* The first line of a file of the group into buf; false if it cannot be read. */
bool cgroup_read(const struct cgroup_dir *d, const char *file, char *buf, size_t cap);
MUST_CHECK enum err_kind cgroup_write_file(const struct cgroup_dir *d, const char *file,
					   const char *value, struct err *e);
