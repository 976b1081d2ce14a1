/*
 * layout - where this machine mounts its cgroup hierarchies, and where in them the caller is.
 *
 * Any mix is taken as it is: one v2 hierarchy (unified), v1 ones with their controllers apart or joined, and a v2
 * hierarchy beside v1 ones (hybrid), which then serves the controllers that no v1 hierarchy has.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

#define HIERARCHIES_MAX 32

struct hierarchy {
	const char *controllers; /* "cpu,cpuacct", "name=systemd"; "" for v2 */
	const char *mount;       /* directory */
	const char *own;         /* the caller's group, from the mount: "/" or "/a/b" */
	bool is_v2;
};

struct layout {
	struct hierarchy v[HIERARCHIES_MAX];
	size_t n;
	bool is_unified; /* v2 is all there is */
};

MUST_CHECK enum err_kind layout_read(struct arena *a, struct layout *ret, struct err *e);
/* The same from the texts of /proc/self/mountinfo and /proc/self/cgroup. */
MUST_CHECK enum err_kind layout_parse(struct str mountinfo, struct str cgroup, struct arena *a,
				      struct layout *ret, struct err *e);

/* True if name is one of the comma-separated list. */
bool layout_has(const char *controllers, const char *name);
