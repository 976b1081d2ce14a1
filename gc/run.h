/*
 * run - one collection, from the look at what is due to the last file unlinked; cycle.c says when.
 *
 * Threads  one run at a time; `stop` is read between batches.  The thread has a low priority from then on.
 */
#pragma once

#include <stdatomic.h>

#include "gc/gc.h"
#include "gc/pace.h"
#include "storage/collect.h"

struct run {
	struct store *st;
	const struct gc_options *options;
	enum gc_mode mode;
	bool anew;                /* the rules changed since all of the queue was looked at */
	bool look_at_all;         /* so what waits is looked at, though it is not due */
	const _Atomic bool *stop; /* ends the run after its batch */
	gc_action_fn *report;     /* may be NULL */
	void *arg;
	struct gc_result result;
	struct pace pace;
	struct collection *unlinking; /* the batch whose files go now; NULL: none */
};

MUST_CHECK enum err_kind run_cycle(struct run *r, struct err *e);
