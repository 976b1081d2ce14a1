/*
 * platform - which of an index's images is meant: operating system, architecture, variant (image-spec image-index.md).
 *
 * Threads  no shared state.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define PLATFORM_PART_MAX 32

struct platform {
	char os[PLATFORM_PART_MAX]; /* "" in all three: not told */
	char arch[PLATFORM_PART_MAX];
	char variant[PLATFORM_PART_MAX];
};

/* This machine, with the variant that its processor has. */
struct platform platform_host(void);
/* "linux/arm64/v8", "arm64", "linux": what is left out is this machine's.  In Go's words, whatever the spelling. */
MUST_CHECK enum err_kind platform_parse(struct platform *ret, struct str in, struct err *e);
/* Parts from a document; false if one is not a short word. */
MUST_CHECK bool platform_of(struct platform *ret, struct str os, struct str arch,
			    struct str variant);

/* 0: cannot be used where `want` is asked for; else the greater the better. */
unsigned platform_rank(const struct platform *want, const struct platform *have);

#define PLATFORM_TEXT_MAX (3 * PLATFORM_PART_MAX)
const char *platform_text(const struct platform *p, char buf[static PLATFORM_TEXT_MAX]);
