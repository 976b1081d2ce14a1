/*
 * pace - how much a collection does at once, and how it gives way to clients.
 *
 * While a client reads or writes, batches are small, since a push may wait behind one, and each is followed by a rest
 * several times as long as it took.  While nobody does, batches grow without a rest, as most of what a small one takes is
 * fsyncs, until one takes so long that whoever comes would notice.
 *
 * Clients that never stop may leave garbage faster than such rests let it go: the longer a cycle lasts, the shorter they are.
 */
#pragma once

#include "storage/store.h"

struct pace {
	struct store *st;
	size_t batch;                /* rows of the next one */
	uint64_t client_work;        /* as of the last one */
	uint64_t began_us, start_ms; /* of the batch; of the cycle */
};

void pace_init(struct pace *p, struct store *st);
/* Around each batch; true if clients are at work, so that a rest is due, by who holds nothing that they may wait for. */
void pace_begin(struct pace *p);
MUST_CHECK bool pace_end(struct pace *p);
void pace_rest(const struct pace *p);
/* How long it rests after a batch that took batch_ms, in a cycle that began age_ms ago. */
uint64_t pace_rest_ms(uint64_t batch_ms, uint64_t age_ms);
