/*
 * container - what is known of a container between two calls of the runtime.
 *
 * ROOT/ID/              0700
 *      state.json       see struct state; replaced by rename, so a reader sees all of one version
 *      config.json      the bundle's, as it was read by create
 *      start            socket that the created process listens on until it execs
 *
 * S1  A container exists if its directory holds a state.json.  A directory without one is a creation that has not
 *     come so far, or was killed.
 * S2  Whoever changes a container holds the lock of its directory (flock); looking needs none.
 * S3  Status is asked of the kernel, not of the file: the process by pid and start time, "created" by whether it still
 *     listens, "paused" by the freezer, "creating" by whether the lock is held.
 * S4  A pid counts only together with its start time: a pid used again is not our process.  Signals go through a pidfd
 *     that was opened before the start time was compared.
 * Ownership  texts in struct state live in the arena given.
 */
#pragma once

#include "runtime/oci/cgroup/cgroup.h"

#define CONTAINER_ID_MAX 255

enum status { STATUS_CREATING, STATUS_CREATED, STATUS_RUNNING, STATUS_PAUSED, STATUS_STOPPED };

struct state {
	const char *version; /* ociVersion of the bundle */
	const char *id, *bundle, *rootfs;
	const char *created; /* RFC 3339 */
	pid_t pid;           /* 0: not yet */
	uint64_t start_time; /* of the process, in ticks since boot */
	uint32_t owner;      /* uid */
	bool is_committed;   /* create came to its end */
	/* Of config.json what start and delete ask first; mostly they need not read it then. */
	bool has_process, has_terminal, has_poststart, has_poststop;
	struct cgroup cgroup;
	const char *rdt_group; /* directory made in resctrl, or NULL */
	const char *rdt_monitor;
	LIST(struct pair) annotations;
};

struct container {
	int root; /* directory of all containers */
	int dir;  /* its own */
	int lock; /* a second descriptor of it, holding the lock; -1 without */
	char id[CONTAINER_ID_MAX + 1];
	struct arena *arena;
	struct state state;
	struct jv *document; /* of state.json */
};

const char *status_text(enum status s);
/* Letters, digits and _+-. ; neither "." nor "..". */
bool container_id_is_valid(const char *id);

/* Opens the directory of all containers, making it if `make`. */
MUST_CHECK enum err_kind container_root_open(const char *path, bool make, int *ret, struct err *e);

/* A new directory, locked.  ERR_EXISTS for an id in use. */
MUST_CHECK enum err_kind container_new(int root, const char *id, struct arena *a,
				       struct container *ret, struct err *e);
/* ERR_NOT_FOUND without the container. */
MUST_CHECK enum err_kind container_open(int root, const char *id, struct arena *a,
					struct container *ret, struct err *e);
/* Waits for the lock, at most timeout_ms (0: once), then reads the state again.  ERR_IN_USE. */
MUST_CHECK enum err_kind container_lock(struct container *c, unsigned timeout_ms, struct err *e);
void container_close(struct container *c);
#define AUTO_CONTAINER CLEANUP(container_close) struct container

MUST_CHECK enum err_kind container_save(struct container *c, struct err *e);
/* A file of the directory, written whole. */
MUST_CHECK enum err_kind container_save_file(const struct container *c, const char *name,
					     struct str text, struct err *e);
/* Removes the directory with all that is in it. */
MUST_CHECK enum err_kind container_remove(struct container *c, struct err *e);

enum status container_status(const struct container *c);
/* The pidfd of a process that is there and is ours; ERR_NOT_FOUND otherwise. */
MUST_CHECK enum err_kind container_pidfd(const struct container *c, int *ret, struct err *e);
/* Waits until the process is dead; false after timeout_ms. */
bool container_wait(const struct container *c, unsigned timeout_ms);

/* Binds the socket for start; listening is the process's. */
MUST_CHECK enum err_kind container_bind_start(const struct container *c, int *ret, struct err *e);
/* Connects to it; ERR_NOT_FOUND if nobody listens. */
MUST_CHECK enum err_kind container_connect_start(const struct container *c, int *ret,
						 struct err *e);

/* Field 22 of /proc/PID/stat; false for a process that is gone or only waits to be reaped. */
bool process_start_time(pid_t pid, uint64_t *ret);

/* Calls visit for each container, in the order of their ids. */
MUST_CHECK enum err_kind container_each(int root,
					enum err_kind (*visit)(struct container *c, void *arg,
							       struct err *e),
					void *arg, struct err *e);
