/*
 * source_impl - what the files of source.h share.
 */
#pragma once

#include "storage/source.h"

#define SOURCE_ENTRIES_MAX 1000000 /* manifests, and tags, of one repository */

struct source_reader {
	struct source_repo *repo;
	source_fault_fn *fn;
	void *arg;
	size_t manifests_room, tags_room;
};

/* Opens what is at a path of plain names; O1.  ERR_NOT_FOUND, or ERR_INVALID with the reason. */
MUST_CHECK enum err_kind source_open_below(int dir, const char *path, int flags, int *ret,
					   struct err *e);
/* The same for a regular file, for reading. */
MUST_CHECK enum err_kind source_open_file(int dir, const char *path, int *ret,
					  struct stat *ret_stat, struct err *e);

MUST_CHECK enum err_kind source_add_manifest(struct source_reader *r, const struct digest *d,
					     uint64_t pushed_ms, struct err *e);
MUST_CHECK enum err_kind source_add_tag(struct source_reader *r, const struct tag_name *name,
					const struct digest *d, uint64_t pushed_ms, struct err *e);

/* Fill the repository, whose dir_fd is set. */
MUST_CHECK enum err_kind source_read_distribution(struct source_reader *r, struct err *e);
MUST_CHECK enum err_kind source_read_layout(struct source_reader *r, struct err *e);
