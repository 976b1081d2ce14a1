/*
 * build - a plan from a spec.
 *
 * Opens what the plan's steps need; makes and changes nothing.
 */
#pragma once

#include "runtime/oci/cgroup/cgroup.h"
#include "runtime/oci/plan/host.h"
#include "runtime/oci/plan/plan.h"
#include "runtime/oci/seccomp/filter.h"

struct plan_options {
	const char *id;
	const char *bundle; /* absolute */
	const char *rootfs; /* absolute */
	int state_dir;      /* of the container: the plan does not own it */
	int console_socket; /* -1: none */
	bool no_pivot, no_new_keyring;
	unsigned preserve_fds, listen_fds;
	const char *notify_socket; /* of the service manager, or NULL */
	const struct cgroup *cgroup;
	const struct layout *layout;
	const struct filter *filter; /* NULL: no seccomp */
	bool is_dry_run;             /* the container's cgroups are not there to be opened */
	int listener_socket;         /* of the seccomp agent, connected; or -1 */
};

/* For create and run. */
MUST_CHECK enum err_kind plan_build(const struct spec *s, const struct host *h,
				    const struct plan_options *o, struct arena *a, struct plan *ret,
				    struct err *e);

struct exec_options {
	const struct plan_options *base;
	const struct spec_process *process;
	struct join join;      /* the container's namespaces; the plan takes the descriptor */
	bool in_own_userns;    /* the container has one, and it is among them */
	bool denies_setgroups; /* there */
	int root;              /* the container's; the plan takes it, too */
};
/* For exec: into a container that is there. */
MUST_CHECK enum err_kind plan_build_exec(const struct spec *s, const struct host *h,
					 const struct exec_options *x, struct arena *a,
					 struct plan *ret, struct err *e);

/* Closes the plan's descriptors. */
void plan_clear(struct plan *p);

/* ---- parts ---- */

MUST_CHECK enum err_kind plan_no_memory(struct err *e);
MUST_CHECK enum err_kind plan_namespaces(struct plan *p, const struct spec *s, const struct host *h,
					 struct err *e);
MUST_CHECK enum err_kind plan_mounts(struct plan *p, const struct spec *s, const struct host *h,
				     const struct plan_options *o, struct err *e);
MUST_CHECK enum err_kind plan_devices(struct plan *p, const struct spec *s, struct err *e);
/* What the process is to be, as far as it is done before and after it waits for start. */
MUST_CHECK enum err_kind plan_process(struct plan *p, const struct spec_process *proc,
				      const struct spec *s, const struct host *h,
				      const struct plan_options *o, struct err *e);
MUST_CHECK enum err_kind plan_exec_steps(struct plan *p, const struct spec_process *proc,
					 const struct spec *s, const struct plan_options *o,
					 struct err *e);
MUST_CHECK enum err_kind plan_affinity(struct plan *p, const char *cpus, const char *property,
				       struct err *e);
/* "0-3,7"; false for anything else. */
bool plan_cpu_set(const char *cpus, cpu_set_t *ret);
MUST_CHECK enum err_kind plan_hooks(struct plan *p, const struct spec *s, enum hook_kind kind,
				    const struct plan_options *o, struct err *e);

/* A hook as hook_run() takes it. */
MUST_CHECK enum err_kind plan_hook(const struct spec_hook *h, const struct state_text *state,
				   struct arena *a, struct hook_op *ret, struct err *e);
/* The container's state for hooks and seccomp agents. */
MUST_CHECK enum err_kind plan_state_text(const struct spec *s, const struct plan_options *o,
					 const char *status, struct arena *a,
					 struct state_text *ret, struct err *e);
/* For seccomp agents; the pid goes between the parts. */
MUST_CHECK enum err_kind plan_agent_state(const struct spec *s, const struct plan_options *o,
					  struct arena *a, const char *parts[3], struct err *e);
