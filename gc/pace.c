#include "gc/pace.h"

#include <poll.h>

#include "base/clock.h"
#include "storage/collect.h"

#define BATCH_MIN 64
#define REST 10 /* times as long as a batch took */
#define REST_MS_MAX 200
#define BATCH_MS_MIN 100 /* a batch that takes less may grow */
#define BATCH_MS_MAX 200 /* one that takes more shrinks: who comes then waits for it */

void pace_init(struct pace *p, struct store *st)
{
	*p = (struct pace){ .st = st, .batch = BATCH_MIN, .client_work = store_client_work(st) };
}

void pace_begin(struct pace *p)
{
	p->began_us = mono_us();
}

static size_t next_batch(size_t batch, uint64_t ms)
{
	if (ms < BATCH_MS_MIN)
		return MIN(2 * batch, (size_t)COLLECT_MAX);
	return ms > BATCH_MS_MAX && batch > BATCH_MIN ? batch / 2 : batch;
}

static uint64_t took_ms(const struct pace *p)
{
	return (mono_us() - p->began_us) / 1000;
}

/* Clients that come while it rests count for the next batch, so work is noticed at the latest one batch after it began. */
bool pace_end(struct pace *p)
{
	uint64_t work = store_client_work(p->st);
	bool idle = work == p->client_work;

	p->client_work = work;
	p->batch = idle ? next_batch(p->batch, took_ms(p)) : BATCH_MIN;
	return !idle;
}

void pace_rest(const struct pace *p)
{
	(void)poll(NULL, 0, (int)MIN(REST * took_ms(p), (uint64_t)REST_MS_MAX));
}
