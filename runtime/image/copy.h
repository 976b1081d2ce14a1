/*
 * copy - what packs a tree of files, put into another tree.
 */
#pragma once

#include "runtime/image/pack.h"
#include "runtime/image/tree.h"

struct copy_into {
	struct tree *tree; /* borrowed */
	int fd; /* of the file that is being written; -1 at the beginning; fd_close it in the end */
	uint64_t at;
};
/* Borrows the argument. */
struct pack_sink copy_sink(struct copy_into *into);

/*
 * All that is below a directory, as it is, but for owners if there is a map (of struct tree_options); the other directory
 * becomes like it, too.
 */
MUST_CHECK enum err_kind copy_below(int from, int to, const struct tree_options *o, struct err *e);
