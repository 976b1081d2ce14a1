/*
 * tree - what members of layers become: files beneath one directory, whoever made the layer.
 *
 * T1  Nothing outside the root is opened, made, changed or removed.  Directories are resolved by openat2(2) with
 *     RESOLVE_IN_ROOT, so links lead where they would in a container; the last component is never followed.
 * T2  A member replaces what its path has, except that directories merge (image-spec "Changeset over existing files");
 *     a whiteout hides what lower layers have, never what its own layer brings.
 * T3  TREE_FLAT applies a layer to the tree below the root.  TREE_OVERLAY makes the root the layer's own directory of an
 *     overlay mount: whiteouts and opaque directories in overlayfs's form, directories on the way to a member with the
 *     attributes that lower layers give them.
 *     TREE_COPY is for copies between trees that are no layers: no name is a whiteout, directories and other files do not
 *     take each other's place, and what is mounted in the tree belongs to it.
 * T4  Owners, modes, times, attributes and links are those of the archive; directories that a layer only passes through
 *     keep their times.
 * Lifecycle  open -> (put [-> file_end])* -> finish -> close; one tree for each layer.
 * Ownership  the tree borrows the root's descriptor, and lower ones until close.
 * Threads    one at a time per tree.
 */
#pragma once

#include "base/fd.h"
#include "base/idmap.h"
#include "runtime/image/member.h"

enum tree_form { TREE_FLAT, TREE_OVERLAY, TREE_COPY };

/* Roots of the lower layers, topmost first; may wait until they are whole. */
typedef enum err_kind tree_lowers_fn(void *arg, const int **ret, size_t *ret_n, struct err *e);

struct tree_options {
	enum tree_form form;
	bool in_userns; /* not the host's root: no devices, overlayfs with user attributes */
	mode_t umask;   /* of the process */
	/* Members' owners are inside of these, files' outside; NULL, or without pieces: they are the same. */
	const struct idmaps *ids;
	tree_lowers_fn *lowers; /* TREE_OVERLAY; NULL for a bottom layer */
	void *arg;
};

/* What could not be made here, for the user to be told. */
struct tree_stats {
	uint64_t members;
	uint64_t devices_left_out; /* a user namespace has none */
	uint64_t xattrs_left_out;  /* the file system or the namespace does not take them */
};

struct tree;

MUST_CHECK enum err_kind tree_open(int root_fd, const struct tree_options *o, struct tree **ret,
				   struct err *e);
void tree_close(struct tree **t);
#define AUTO_TREE CLEANUP(tree_close) struct tree

/* For a file with data *ret_fd is open for it, to be given to tree_file_end; else it is -1. */
MUST_CHECK enum err_kind tree_put(struct tree *t, const struct member *m, int *ret_fd,
				  struct err *e);
/* Consumes the descriptor. */
MUST_CHECK enum err_kind tree_file_end(struct tree *t, const struct member *m, int *take_fd,
				       struct err *e);
/* Gives directories their times; nothing may be put afterwards. */
MUST_CHECK enum err_kind tree_finish(struct tree *t, struct tree_stats *ret, struct err *e);

/* Removes name and what is below it; a missing one is no failure. */
MUST_CHECK enum err_kind tree_remove(int dir, const char *name, struct err *e);
