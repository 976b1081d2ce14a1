/*
 * overlay - a container's root: its layers stacked by overlayfs, as a mount that no directory shows.
 *
 * O1  What is mounted exists as long as a descriptor or a mount namespace holds it: a crash leaves no mount behind.
 * O2  The upper directory has all of what the container changed, whatever the kernel's own settings: nothing in it stands for
 *     data or names of lower layers, which commit and diff could not read.
 * O3  Files on disk have a container's own ids, whatever its map: layers are shared, and what it changed is read without a
 *     map.  The mount shows them as they are outside (base/idmap.h).
 * Threads  no shared state.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/idmap.h"
#include "base/str.h"

enum overlay_driver { OVERLAY_AUTO, OVERLAY_KERNEL, OVERLAY_FUSE };
bool overlay_driver_parse(struct str in, enum overlay_driver *ret);
const char *overlay_driver_text(enum overlay_driver d);

struct overlay {
	enum overlay_driver driver; /* OVERLAY_AUTO: fuse-overlayfs where the kernel refuses */
	const int *lowers;          /* directories, topmost first */
	size_t n_lowers;
	int dir; /* has upper and work; -1: nothing can be written */
	const struct idmaps
	    *ids; /* of the container; without pieces, or NULL: files show as they are */
	bool in_userns;
	bool is_volatile; /* nothing of it needs to outlast a power cut */
};

MUST_CHECK enum err_kind overlay_mount(const struct overlay *o, int *ret, struct err *e);
