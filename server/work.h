/*
 * work - threads that may wait: whatever can fsync, commit or read a disk for long runs here, first come, first
 * served.
 *
 * Lifecycle  start -> submit* -> stop, which runs what is queued and then ends the threads.
 * Threads    submit from any thread.  One thread is there from the start, others once a job finds none idle.  With no threads
 *            submit runs the job itself, before it returns.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct work;

/* Belongs to the caller; not touched any more once run has been called. */
struct job {
	struct job *next;
	void (*run)(struct job *j);
};

MUST_CHECK enum err_kind work_start(unsigned threads_max, struct work **ret, struct err *e);
void work_stop(struct work **w);
void work_submit(struct work *w, struct job *j);
uint64_t work_queued(struct work *w); /* jobs that wait for a thread */
bool work_is_inline(const struct work *w);
