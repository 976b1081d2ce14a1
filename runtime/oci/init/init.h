/*
 * init - the side of a plan that runs in the process which becomes the container's.
 *
 * I1  Between clone and exec nothing here allocates, locks or uses stdio; all text is in the plan or on the stack.
 * I2  Every step that fails tells the runtime its own name and the cause, and the process ends.
 * I3  Whatever is written below /proc goes through plan->proc, the host's procfs, never through a path that the
 *     container could have mounted something over.
 */
#pragma once

#include "runtime/oci/init/note.h"
#include "runtime/oci/plan/plan.h"

struct init {
	const struct plan *plan;
	int sync;           /* to the runtime */
	int listen;         /* socket for `start`, bound; -1 for exec */
	int start;          /* the connection of `start`; -1 before */
	int root;           /* O_PATH on the container's root */
	int null;           /* O_PATH on the host's /dev/null, -1 before it is needed */
	int mask;           /* O_PATH on an empty read-only directory, -1 before it is needed */
	bool is_at_ns_root; /* in no chroot any more */
	pid_t host_pid;     /* our own, as the runtime sees it */
	char program[4096];
	char home[4096];
	struct note why; /* detail of a failure; may stay empty */
	bool why_is_all; /* what the errno means is in it already */
};

/*
 * Walks the plan's steps; the last one replaces the process.  Returns only to die: the exit status, after the
 * failure was sent to the runtime or to `start`.
 */
int init_run(struct init *in);

/* What steps do: 0 or -errno, with in->why set where the errno alone does not say it. */
int init_mount(struct init *in, const struct mount_op *m);
/* O_PATH on a file that something is to be bound on, made if missing: the place itself, never what a link leads to. */
int init_place(struct init *in, const char *path);
int init_device(struct init *in, const struct device_op *d);
int init_link(struct init *in, const char *path, const char *text);
int init_attach_root(struct init *in);
int init_pivot(struct init *in, enum pivot_kind kind);
int init_root_attr(struct init *in, uint64_t set, unsigned long propagation);
int init_mask(struct init *in, const char *path);
int init_readonly(struct init *in, const char *path);
int init_console(struct init *in, const struct console_op *c);
int init_become_root(void);
int init_user(struct init *in, const struct user_op *u);
int init_memory_policy(const struct memory_op *m);
int init_cwd(struct init *in);
int init_find_program(struct init *in);
int init_seccomp(struct init *in, const struct seccomp_op *s);
int init_prepare_exec(struct init *in);
int init_exec(struct init *in);
int init_copy_up(int from, int to); /* the content of a directory */
