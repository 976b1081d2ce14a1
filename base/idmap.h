/*
 * idmap - what the ids of a user namespace are outside of it, one level up: a map as the kernel takes it.
 *
 * I1  In a map no piece is empty, none overlaps another on either side, and no id is above ID_LAST.
 * I2  A map without pieces stands for no user namespace: every id is what it is.
 * Threads  no shared state.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

#define IDMAP_PIECES_MAX 340     /* as in the kernel */
#define ID_LAST (UINT32_MAX - 1) /* the one above means "none" to chown(2) and others */
#define ID_NOBODY 65534          /* what has no id inside is seen as this one */

struct idmap_piece {
	uint32_t inside, outside, n;
};
struct idmap {
	size_t n;
	struct idmap_piece v[IDMAP_PIECES_MAX];
};
struct idmaps {
	struct idmap uids, gids;
};

bool idmaps_are_set(const struct idmaps *m);

/* ERR_INVALID for what would break I1; the map is as it was then. */
MUST_CHECK enum err_kind idmap_add(struct idmap *m, uint64_t inside, uint64_t outside, uint64_t n,
				   struct err *e);
/* "INSIDE:OUTSIDE[:COUNT]" */
MUST_CHECK enum err_kind idmap_add_text(struct idmap *m, struct str text, struct err *e);
/* The lines of uid_map(5), of a process of the same user namespace: /proc/self/uid_map. */
MUST_CHECK enum err_kind idmap_read(const char *path, struct idmap *ret, struct err *e);
void idmap_write(const struct idmap *m, struct sbuf *out);

/* False if the map does not have it. */
MUST_CHECK bool idmap_out(const struct idmap *m, uint64_t inside, uint64_t *ret);
MUST_CHECK bool idmap_in(const struct idmap *m, uint64_t outside, uint64_t *ret);

/* An owner's, in place; m may be NULL, which is as without pieces.  False: the map does not have both. */
MUST_CHECK bool idmaps_owner_out(const struct idmaps *m, uint32_t *uid, uint32_t *gid);
/* What the map does not have is ID_NOBODY. */
void idmaps_owner_in(const struct idmaps *m, uint32_t *uid, uint32_t *gid);
/* How many ids it has. */
uint64_t idmap_count(const struct idmap *m);

/* Writes a process's uid_map, gid_map or setgroups: at once, as the kernel wants it. */
MUST_CHECK enum err_kind idmap_put(pid_t pid, const char *file, const char *text, struct err *e);

/*
 * A user namespace with these maps (texts of uid_map(5)), in which nobody is: what an idmapped mount is made by.  The
 * caller may map any id.
 */
MUST_CHECK enum err_kind idmap_open_userns(const char *uid_map, const char *gid_map, int *ret,
					   struct err *e);
