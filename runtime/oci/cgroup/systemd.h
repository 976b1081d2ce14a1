/*
 * systemd - cgroups made by systemd as transient scopes.
 *
 * systemd is spoken to by a program of its own, berth-runtime-systemd: the runtime is linked statically, and who does
 * not use --systemd-cgroup pays nothing for D-Bus (ADR 0021).
 */
#pragma once

#include "runtime/oci/cgroup/cgroup.h"

/*
 * Starts a scope around the process, with the properties that the resources translate to, and fills *ret with the
 * groups it is in then.  cgroupsPath is "slice:prefix:name"; without it, system.slice (user.slice) and the id.
 */
MUST_CHECK enum err_kind cgroup_systemd_make(const char *helper, const struct layout *l,
					     const struct spec *s, const char *id, pid_t pid,
					     struct arena *a, struct cgroup *ret, struct err *e);
/* Resources that change, for `update`. */
MUST_CHECK enum err_kind cgroup_systemd_update(const char *helper, const struct cgroup *cg,
					       const struct spec_resources *r, struct arena *a,
					       struct err *e);
/* Gone already is fine. */
MUST_CHECK enum err_kind cgroup_systemd_stop(const char *helper, const struct cgroup *cg,
					     struct err *e);

/* ---- pure, for tests ---- */

struct systemd_name {
	const char *unit;  /* "berth-ID.scope" */
	const char *slice; /* "system.slice" */
};
MUST_CHECK enum err_kind systemd_name_of(const char *cgroups_path, const char *id, bool is_root,
					 struct arena *a, struct systemd_name *ret, struct err *e);
/* "a-b.slice" is "/a.slice/a-b.slice".  NULL for what is no slice. */
const char *systemd_slice_path(const char *slice, struct arena *a);
/* "Name=value" texts of unit properties, as the helper takes them; NULL after the last. */
MUST_CHECK enum err_kind systemd_properties(const struct spec_resources *r, bool is_unified,
					    struct arena *a, struct texts *ret, struct err *e);
