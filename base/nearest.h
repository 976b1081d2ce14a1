/*
 * nearest - which of some words was meant by one that is not among them.
 *
 * Sequence  nearest_init; nearest_try for each word that there is; then best, NULL unless one is near enough to be likely.
 * Ownership  borrows the words.
 * Threads    no shared state.
 */
#pragma once

#include "base/str.h"

struct nearest {
	struct str word;
	unsigned
	    distance; /* of best: letters put in, left out, changed, or swapped with the next one */
	const char *best;
};

void nearest_init(struct nearest *n, struct str word);
void nearest_try(struct nearest *n, const char *candidate);
