/*
 * idset - a set of 64-bit numbers: which files a layer has made or looked at, by inode.
 *
 * Threads  one at a time per set.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct idset {
	uint64_t *slots; /* 0: empty */
	size_t n, cap;
	bool has_zero;
};

void idset_clear(struct idset *s);
/* False without memory. */
MUST_CHECK bool idset_add(struct idset *s, uint64_t id);
bool idset_has(const struct idset *s, uint64_t id);
