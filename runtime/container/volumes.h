/*
 * volumes - directories that outlive containers: ROOT/volumes/NAME/data, and what is known of it in volume.json beside it.
 *
 * L1  A volume is there when volume.json is, which is written after the directory.
 * L2  Who makes a container holds the guard shared until the container's record names its volumes; who removes volumes holds
 *     it alone, and looks into all records first.
 * Ownership  a volume's texts live in its arena.
 * Threads    no shared state.
 */
#pragma once

#include "runtime/container/containers.h"

#define VOLUME_DATA "data"

struct volume {
	struct arena arena;
	const char *name;
	bool anonymous; /* made for one container, and removed with it */
	uint64_t created_ms;
	struct text_pairs labels;
};
void volume_clear(struct volume *v);
#define AUTO_VOLUME CLEANUP(volume_clear) struct volume

/* The directory of all. */
MUST_CHECK enum err_kind volumes_open(const struct containers *cs, int *ret, struct err *e);
/* Held until *ret is closed. */
MUST_CHECK enum err_kind volumes_guard(int dir, bool alone, int *ret, struct err *e);

/* Its data, open; made if it is not there: *ret_made (may be NULL). */
struct volume_wish {
	const char *name;
	bool anonymous;
	const struct text_pairs *labels; /* NULL: none */
};
MUST_CHECK enum err_kind volume_make(int dir, const struct volume_wish *wish, int *ret_data,
				     bool *ret_made, struct err *e);
/* ERR_NOT_FOUND says which. */
MUST_CHECK enum err_kind volume_read(int dir, const char *name, struct volume *ret, struct err *e);

/* Makes what is at that path of the host, and all below it, somebody's. */
MUST_CHECK enum err_kind volume_give(const char *path, uid_t uid, gid_t gid, struct err *e);

typedef enum err_kind volume_fn(void *arg, const struct volume *v, struct err *e);
MUST_CHECK enum err_kind volumes_each(int dir, volume_fn *fn, void *arg, struct err *e);

/* The caller holds the guard alone.  ERR_IN_USE names a container that has it. */
MUST_CHECK enum err_kind volume_remove(const struct containers *cs, int dir, const char *name,
				       struct err *e);
/* Name of a container that has it, in ret; "" if none has. */
MUST_CHECK enum err_kind volume_user(const struct containers *cs, const char *name, char *ret,
				     size_t cap, struct err *e);
