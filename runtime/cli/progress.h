/*
 * progress - how far a pull is, on stderr: bars where that is a terminal, else a line for each layer that is done.
 *
 * Threads  one.
 */
#pragma once

#include "runtime/image/pull.h"

struct progress {
	bool quiet, is_terminal;
	unsigned lines; /* drawn, to be drawn over */
	uint64_t started_ms, drawn_ms;
	uint64_t begun_bytes;
	enum pull_state *told; /* owned: what was said of each layer */
	size_t n;
};

void progress_init(struct progress *p, bool quiet);
/* For struct pull_options: arg is a struct progress. */
void progress_show(void *arg, const struct pull_layer *layers, size_t n);
void progress_clear(struct progress *p);
#define AUTO_PROGRESS CLEANUP(progress_clear) struct progress
