/*
 * history - a store after many changes by chance, and what it has as text, for tests that make it anew by another way.
 *
 * Threads  one.
 */
#pragma once

#include "storage/store.h"

struct history {
	uint64_t random; /* the seed; not 0 */
	bool collects;   /* collections happen, and what is in the trash comes back */
	uint64_t acknowledged;
};
/* n changes through the storage API; those that are refused count as well. */
void history_run(struct history *h, struct store *st, unsigned n);

/*
 * All that a reflog knows of: repositories, tags, entries and content, a line each and sorted, by names and digests in
 * place of numbers.  Without times of pulls, and the queue.
 */
struct sbuf history_text(struct store *st);
