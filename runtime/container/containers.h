/*
 * containers - the directories of containers: made, found by name or id, removed (FORMAT.md).
 *
 * N1  A name belongs to one container: it is a link that only one can make.
 * N2  A directory without container.json is one that is being made or removed or, if nobody holds its lock, whose making
 *     or removal was cut off: containers_sweep removes it.
 * N3  Who changes a container as a whole (start, rm) holds its lock.
 * Lifecycle  open -> operations -> close.
 * Threads    one.
 */
#pragma once

#include "base/fd.h"
#include "runtime/container/record.h"
#include "runtime/container/status.h"

struct containers {
	int dir;                  /* ROOT/containers */
	int names;                /* ROOT/containers/names */
	int state_dir;            /* STATE: gone after a reboot */
	const char *root, *state; /* borrowed */
};

MUST_CHECK enum err_kind containers_open(const char *root, const char *state,
					 struct containers *ret, struct err *e);
void containers_close(struct containers *c);
#define AUTO_CONTAINERS CLEANUP(containers_close) struct containers

struct container {
	struct record record;
	int dir;   /* of its own; -1: none */
	int state; /* in STATE; -1 until container_state_open */
	int lock;  /* -1: not held */
};
#define CONTAINER_INIT                                                                             \
	(struct container)                                                                         \
	{                                                                                          \
		.dir = -1, .state = -1, .lock = -1                                                 \
	}
void container_close(struct container *c);
#define AUTO_CONTAINER CLEANUP(container_close) struct container

#define CONTAINER_NAME_MAX 128
/* A name that somebody may give: [A-Za-z0-9][A-Za-z0-9_.-]*, at most CONTAINER_NAME_MAX bytes. */
bool container_name_is_valid(struct str name);

/*
 * A new directory, locked, and its name (NULL: one is made up); the record gets id and name.  ERR_EXISTS if another
 * container has the name.
 */
MUST_CHECK enum err_kind container_make(const struct containers *cs, const char *name,
					struct container *ret, struct err *e);
/* Its name, or the beginning of its id. */
MUST_CHECK enum err_kind container_find(const struct containers *cs, const char *name,
					struct container *ret, struct err *e);
MUST_CHECK enum err_kind container_lock(struct container *c, struct err *e);
/* Opens its directory in STATE, making it. */
MUST_CHECK enum err_kind container_state_open(const struct containers *cs, struct container *c,
					      struct err *e);
/* Removes directories and name; nothing of it runs any more. */
MUST_CHECK enum err_kind container_remove(const struct containers *cs, struct container *c,
					  struct err *e);

/* Calls fn for each, which may take over what it is given. */
typedef enum err_kind container_each_fn(void *arg, struct container *c, struct err *e);
MUST_CHECK enum err_kind containers_each(const struct containers *cs, container_each_fn *fn,
					 void *arg, struct err *e);
/* Removes what N2 says; *ret says how many. */
MUST_CHECK enum err_kind containers_sweep(const struct containers *cs, uint64_t *ret,
					  struct err *e);
/* Is there a directory of that id? */
bool container_exists(const struct containers *cs, const char *id);
