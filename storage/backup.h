/*
 * backup - a copy of a store that is a store itself, and back.
 *
 * D1  The copy is of one moment: its index is a snapshot, and has every file that the snapshot names.  Upload
 *     sessions are no part of it.
 * D2  A copy that is cut off leaves the one before as it was; the next one goes on with the files that are there.
 * D3  Files are cloned where the file system can, linked where it is the same one (content never changes in place), and
 *     copied elsewhere.  Those that the copy has already, with their size, are not touched.
 * Threads  any; blocks for long.
 */
#pragma once

#include "storage/store.h"

struct backup_result {
	uint64_t objects, bytes;              /* in the copy */
	uint64_t had, cloned, linked, copied; /* files by how they got there */
	uint64_t copied_bytes;
	uint64_t removed; /* files that an earlier copy needed */
	uint64_t damaged; /* content that is missing or spoilt in what was copied from */
};
/* Content that is damaged; false ends it with ERR_IN_USE. */
typedef bool backup_damage_fn(void *arg, const struct digest *d, uint64_t size_bytes);

/*
 * Copies the open store to the directory dir, which is made if its parent exists, beside anything but collection: the
 * caller sees to it that no content is collected meanwhile (gc_hold).
 */
MUST_CHECK enum err_kind store_backup(struct store *st, const char *dir, backup_damage_fn *fn,
				      void *arg, struct backup_result *ret, struct err *e);

/*
 * Checks all of the copy in dir, every file against its digest, and then copies it to o's root, which must be empty or
 * not be there.  Anything damaged is told of; then it is ERR_CORRUPT, with nothing installed, unless accept_damage: the
 * new store knows about it and does not serve it.
 */
MUST_CHECK enum err_kind store_restore(const struct store_options *o, const char *dir,
				       bool accept_damage, backup_damage_fn *fn, void *arg,
				       struct backup_result *ret, struct err *e);
