/*
 * conf_check - is a configuration one that berthd can serve with?  Everything beyond the single value: lists, files that are
 * named, and options that contradict each other; each fault with the place where the option was given.
 *
 * Threads  any; may wait for the disk and for names that are looked up.
 */
#pragma once

#include "server/conf.h"

enum check_depth {
	CHECK_VALUES, /* what files have in them counts at their next reading */
	CHECK_FILES,
};

/* If f has faults already, of reading, options are not held against each other: what failed is missing. */
void conf_check(const struct conf *c, enum check_depth depth, struct faults *f);
/* access and auth.groups, and whether there are accounts that nothing is allowed to. */
MUST_CHECK enum err_kind conf_check_rules(const struct conf *c, struct err *e);
