/*
 * trash - what was deleted or collected, and can be had back until its time is over (promise P8).
 *
 * A row of the trash remembers what was removed and holds its content, which stays where it is: restoring moves no bytes.
 * Files in ROOT/trash/ are something else: what nothing refers to, moved there by fsck.
 * Threads  any; all block.
 */
#pragma once

#include "storage/store.h"

/* Forgets up to n rows put there before before_ms (steady clock), the oldest first; *ret says how many. */
MUST_CHECK enum err_kind trash_expire(struct store *st, uint64_t before_ms, size_t n, size_t *ret,
				      struct err *e);

/*
 * Brings back what row id removed: a blob, a tag, or a manifest with its blobs, its children that are in the trash as
 * well, and those of its tags whose names are free.  ERR_NOT_FOUND; ERR_EXISTS for a tag that points elsewhere by now.
 */
MUST_CHECK enum err_kind trash_restore(struct store *st, uint64_t id, struct err *e);

/* Removes the files in ROOT/trash/ that were moved there before before_ms (wall clock). */
MUST_CHECK enum err_kind trash_expire_files(struct store *st, uint64_t before_ms, struct err *e);
