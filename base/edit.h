/*
 * edit - changes a small file as a whole: one editor at a time, readers see all of the old or all of the new.
 *
 * Lifecycle  edit_open, which waits for other editors and reads what is there -> fill new -> edit_save or not -> edit_close.
 * Threads    one at a time per object; all block.
 */
#pragma once

#include <limits.h>

#include "base/fd.h"

struct edit {
	int dir; /* locked while it is open */
	char name[NAME_MAX + 1];
	bool exists;
	mode_t mode;     /* of the file that is there, or to be made */
	struct sbuf old; /* never NULL once it is open */
	struct sbuf new;
};

/* A link is followed; the file need not exist, its directory must. */
MUST_CHECK enum err_kind edit_open(struct edit *ed, const char *path, size_t bytes_max, mode_t mode,
				   struct err *e);
/* Puts new in the place of old, durable when ERR_OK comes back.  Owner and mode stay. */
MUST_CHECK enum err_kind edit_save(struct edit *ed, struct err *e);
void edit_close(struct edit *ed);
#define AUTO_EDIT CLEANUP(edit_close) struct edit
#define EDIT_INIT                                                                                  \
	(struct edit)                                                                              \
	{                                                                                          \
		.dir = -1                                                                          \
	}
