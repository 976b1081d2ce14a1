/*
 * idmount - mounts that only this process has: directories with other owners, and what is put together of them.
 *
 * A mount with a map shows files with the ids that a container's are outside, and leaves them on disk as they are.  That is
 * root's alone: the kernel lets only who owns a file system do so, and each kind of file system must know how (ext4, xfs,
 * btrfs, tmpfs and others; no network ones).
 * Threads  no shared state; idmount_enter changes the calling thread only.
 */
#pragma once

#include <sys/types.h>

#include "base/idmap.h"

/* By which idmount_map maps. */
MUST_CHECK enum err_kind idmount_userns(const struct idmaps *m, int *ret, struct err *e);
MUST_CHECK enum err_kind idmount_map(int mount, int userns, struct err *e);

/* A mount of what is at path ("": dir itself), with what is mounted below if all, which no directory shows. */
MUST_CHECK enum err_kind idmount_clone(int dir, const char *path, bool all, int *ret,
				       struct err *e);
MUST_CHECK enum err_kind idmount_read_only(int mount, bool all, struct err *e);

/* The calling thread goes on in a mount namespace of its own, out of which nothing gets. */
MUST_CHECK enum err_kind idmount_enter(struct err *e);
/* It makes files as this owner, or as the root of a map, from now on, and keeps all its rights. */
MUST_CHECK enum err_kind idmount_become(uid_t uid, gid_t gid, struct err *e);
MUST_CHECK enum err_kind idmount_become_root(const struct idmaps *m, struct err *e);
/* Puts such a mount, of this namespace from now on, over a file or directory (O_PATH). */
MUST_CHECK enum err_kind idmount_attach(int mount, int target, struct err *e);
/* Over the root, which paths of this thread do not lead through: out of everybody's sight. */
MUST_CHECK enum err_kind idmount_hide(int mount, struct err *e);
