/*
 * subids - the ids that subuid(5) and subgid(5) give a user.
 *
 * Threads  no shared state.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"

#define SUBIDS_RANGES_MAX 64

struct subids_range {
	uint64_t first, n;
};
struct subids {
	size_t n;
	struct subids_range v[SUBIDS_RANGES_MAX];
};

/* name may be NULL, uid UINT64_MAX: not known.  None, for a file that is not there. */
MUST_CHECK enum err_kind subids_read(const char *file, const char *name, uint64_t uid,
				     struct subids *ret, struct err *e);
