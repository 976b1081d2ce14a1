#include "gc/pace.h"

#include <poll.h>

#include "base/clock.h"
#include "storage/collect.h"

#define BATCH_MIN 16
#define REST 40 /* times as long as a batch took, at first */
#define REST_MS_MAX 400
#define HASTE_MS (600u * 1000) /* a cycle that has lasted so long rests as long as it works */
#define BATCH_MS_MIN 100       /* a batch that takes less may grow */
#define BATCH_MS_MAX 200       /* one that takes more shrinks: who comes then waits for it */

void pace_init(struct pace *p, struct store *st)
{
	*p = (struct pace){ .st = st,
			    .batch = BATCH_MIN,
			    .client_work = store_client_work(st),
			    .start_ms = mono_ms() };
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

uint64_t pace_rest_ms(uint64_t batch_ms, uint64_t age_ms)
{
	uint64_t haste = (REST - 1) * MIN(age_ms, (uint64_t)HASTE_MS) / HASTE_MS;

	return MIN((REST - haste) * batch_ms, (uint64_t)REST_MS_MAX);
}

void pace_rest(const struct pace *p)
{
	(void)poll(NULL, 0, (int)pace_rest_ms(took_ms(p), mono_ms() - p->start_ms));
}
