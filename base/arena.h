/*
 * arena - memory for many small things that end together.
 *
 * R1  What an arena gives is zeroed, aligned for any type, and lives until arena_clear().
 * R2  An arena never holds more than the maximum given when it was made.
 * Threads  one thread at a time per arena.
 */
#pragma once

#include "base/str.h"

struct arena_block;

struct arena {
	struct arena_block *blocks; /* newest first */
	size_t held, max;
};

void arena_init(struct arena *a, size_t max);
void arena_clear(struct arena *a);
#define AUTO_ARENA CLEANUP(arena_clear) struct arena

/* NULL over the maximum or without memory, as in all functions below. */
void *arena_get(struct arena *a, size_t n);
void *arena_array(struct arena *a, size_t n, size_t each);
char *arena_text(struct arena *a, struct str s); /* NUL-terminated copy */
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF(2, 3);
/* The same path from the root on; as it is where the working directory has no name. */
const char *arena_absolute(struct arena *a, const char *path);

/* Texts in order; v has a NULL after the last, or is NULL without any. */
struct text_list {
	size_t n;
	const char **v;
};
/* Appends the text, which is not copied.  False without memory. */
MUST_CHECK bool arena_list_add(struct arena *a, struct text_list *l, const char *text);
