/*
 * walk - paths in a tree that somebody else may be changing.
 *
 * K1  No path leads out of the root: links, "..", and links of /proc are resolved inside it.  openat2(2) with
 *     RESOLVE_IN_ROOT does that; where it is missing, or something has to be made on the way, walk.c goes component
 *     by component and never lets the kernel follow a link.
 * K2  What a path named is a descriptor from then on; nothing is looked up twice.
 * Results are descriptors or 0, or the negative errno.  All of it may be used between clone and exec.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

enum walk_make {
	WALK_MAKE_DIR,
	WALK_MAKE_FILE, /* empty, 0644 */
};

/* Opens path below root.  flags as of open(2), without O_CREAT; O_NOFOLLOW speaks of the last component. */
int walk_open(int root, const char *path, int flags);
/* The same with O_PATH, making what is missing. */
int walk_make(int root, const char *path, enum walk_make what);
/* O_PATH on the directory that holds the last component, made if missing; *name points into path. */
int walk_parent(int root, const char *path, const char **name, char dir[static 4096]);
