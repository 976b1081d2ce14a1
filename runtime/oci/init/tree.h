/*
 * tree - mounts as descriptors: cloned, changed and attached without a path in between.
 *
 * The calls of the new mount API; where a kernel lacks them the result is -ENOSYS, and mount.c takes mount(2).
 * Results are descriptors or 0, or the negative errno.  All of it may be used between clone and exec.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A detached copy of the mount (with those below it if recursive) at path; "" is dir itself. */
int tree_clone(int dir, const char *path, bool recursive);
/* Puts a detached mount on what target (O_PATH) stands for. */
int tree_attach(int tree, int target);
/* MOUNT_ATTR_* of the mount, or of it and all below. */
int tree_set(int tree, uint64_t set, uint64_t clear, bool recursive);
int tree_propagate(int tree, unsigned long ms_flags); /* MS_SLAVE | MS_REC, ... */
int tree_idmap(int tree, int userns, bool recursive);
