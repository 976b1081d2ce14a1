/*
 * fsck - checks every invariant of FORMAT.md: rows of the index against each other, files against rows, the reflog.
 * The bytes of files are scrub's to check (gc/scrub.h).
 *
 * K1  Right beside clients that push, pull and delete: what looks wrong because it is under way is no fault.
 * K2  A repair changes a row or moves a file only after another look, in the transaction or under the claim that keeps
 *     everybody else off it.  No file is deleted: what nothing refers to goes to ROOT/trash/ for the trash's time.
 * Threads  any, beside anything; blocks for long.
 */
#pragma once

#include "storage/store.h"

struct fsck_fault {
	const char *name;  /* FORMAT.md section 6 lists them */
	const char *where; /* table, or directory of the root */
	char what[INDEX_FAULT_TEXT_MAX];
	bool can_repair, repaired;
};
/* False ends the check. */
typedef bool fsck_fault_fn(void *arg, const struct fsck_fault *f);

struct fsck_result {
	uint64_t rows, files, faults, repaired;
};

MUST_CHECK enum err_kind store_fsck(struct store *st, bool repair, fsck_fault_fn *fn, void *arg,
				    struct fsck_result *ret, struct err *e);
