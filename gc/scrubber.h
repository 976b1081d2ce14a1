/*
 * scrubber - rounds over all content that check it against its digests: slowly in the background, or at once.
 *
 * R1  The background reads no more than rate bytes a second, and goes on after a restart where it was.
 * R2  What is damaged is logged, marked (storage/scrub.h) and counted.
 * Lifecycle  scrubber_new -> scrubber_start (a thread of its own) -> scrubber_stop -> scrubber_free; or scrubber_new ->
 *            scrubber_run -> scrubber_free.
 * Threads    scrubber_run and scrubber_status from any thread.
 */
#pragma once

#include "storage/scrub.h"

struct scrubber;

struct scrubber_options {
	uint64_t rate;        /* bytes a second in the background; 0: no background */
	uint64_t interval_ms; /* between the starts of two rounds */
};

MUST_CHECK enum err_kind scrubber_new(struct store *st, const struct scrubber_options *o,
				      struct scrubber **ret, struct err *e);
void scrubber_free(struct scrubber **s);
/* Other options from now on; a rate above 0 stays above 0, and a rate of 0 stays. */
void scrubber_set_options(struct scrubber *s, const struct scrubber_options *o);
MUST_CHECK enum err_kind scrubber_start(struct scrubber *s, struct err *e);
/* Checks under way end early. */
void scrubber_stop(struct scrubber *s);

/* One object that is or was damaged. */
typedef bool scrubber_fn(void *arg, const struct digest *d, uint64_t size_bytes,
			 enum scrub_outcome outcome);
/* One round as fast as the disk allows, beside the background's.  fn returns false to end it. */
MUST_CHECK enum err_kind scrubber_run(struct scrubber *s, scrubber_fn *fn, void *arg,
				      struct scrub_row *ret, struct err *e);

struct scrubber_status {
	bool running;          /* the background is in a round */
	struct scrub_row last; /* the round under way, or the last one */
	uint64_t damaged;      /* found since the process began, by either */
	uint64_t bytes;        /* read since the process began */
};
void scrubber_status(struct scrubber *s, struct scrubber_status *ret);
