/*
 * runtime - the operations of runtime-spec on containers, as the commands call them.
 *
 * Each leaves things as they were when it fails, except where runtime.md "Lifecycle" says that the container is to be
 * destroyed.  A runtime killed in between leaves what runtime_delete() with force removes.
 */
#pragma once

#include "runtime/oci/plan/build.h"
#include "runtime/oci/run/criu.h"
#include "runtime/oci/state/container.h"

/* What holds for all commands. */
struct runtime {
	int root; /* directory of the containers; -1 before it is opened */
	const char *root_path;
	bool manager_systemd;
	const char *helper; /* program that speaks to systemd */
	struct host host;
	/* Warnings go here; never NULL. */
	void (*warn)(const char *text);
};

struct create_options {
	const char *bundle, *pid_file, *console_socket;
	int console_fd; /* instead of a path: of `run` in the foreground; -1 */
	bool no_pivot, no_new_keyring, detaches;
	unsigned preserve_fds;
	struct sbuf *dry_run;               /* takes the plan, and nothing is done; or NULL */
	const struct criu_options *restore; /* the process comes from a checkpoint; or NULL */
};

/* On success *c is locked, its process is a child of ours, and waits for start (but runs if it was restored). */
MUST_CHECK enum err_kind runtime_create(struct runtime *rt, const char *id,
					const struct create_options *o, struct arena *a,
					struct container *c, struct err *e);
/* *c is locked.  Where hooks fail the container is gone afterwards. */
MUST_CHECK enum err_kind runtime_start(struct runtime *rt, struct container *c, struct err *e);
MUST_CHECK enum err_kind runtime_kill(const struct container *c, int sig, bool all, struct err *e);
/* *c is locked and stopped, or force.  Runs poststop hooks. */
MUST_CHECK enum err_kind runtime_delete(struct runtime *rt, struct container *c, bool force,
					struct err *e);
/* Deletes by name, also what a killed create left. */
MUST_CHECK enum err_kind runtime_delete_id(struct runtime *rt, const char *id, bool force,
					   struct err *e);

struct exec_request {
	const struct spec_process *process; /* NULL: the container's own with the changes below */
	const char *pid_file, *console_socket;
	int console_fd;
	unsigned preserve_fds;
	const char *cgroup; /* below the container's, or NULL */
	bool ignore_paused, no_new_keyring, detaches;
};
/* *ret is the pid of the new process, a child of ours. */
MUST_CHECK enum err_kind runtime_exec(struct runtime *rt, struct container *c, const struct spec *s,
				      const struct exec_request *x, struct arena *a, pid_t *ret,
				      struct err *e);

/* ---- shared by the operations ---- */

/* The container's config.json as create read it. */
MUST_CHECK enum err_kind runtime_read_spec(const struct container *c, struct spec *ret,
					   struct err *e);
/* Hooks of the runtime's namespace.  poststop: failures are warnings (runtime.md "Lifecycle" 13). */
MUST_CHECK enum err_kind runtime_run_hooks(struct runtime *rt, const struct spec *s,
					   const struct state *st, enum hook_kind kind,
					   struct err *e);
/* Decimal text without a newline, by rename: whole as soon as it is there. */
MUST_CHECK enum err_kind runtime_write_pid_file(const char *path, pid_t pid, struct err *e);
/* A connected unix stream socket. */
MUST_CHECK enum err_kind runtime_connect(const char *path, int *ret, struct err *e);
/* LISTEN_FDS of sd_listen_fds(3), if they are meant for us. */
unsigned runtime_listen_fds(void);
/* The seccomp filter of a spec; *ret_agent is the connected listener, -1 where none is wanted. */
MUST_CHECK enum err_kind runtime_filter(struct runtime *rt, const struct spec *s, struct arena *a,
					struct filter *ret, int *ret_agent, struct err *e);
