#include "base/lock.h"

#include <errno.h>

static _Thread_local unsigned rank_held;

void lock_init(struct lock *l, enum lock_rank rank)
{
	if (pthread_mutex_init(&l->mu, NULL) != 0)
		abort();
	l->rank = rank;
	l->outer = LOCK_NONE;
}

void lock_clear(struct lock *l)
{
	(void)pthread_mutex_destroy(&l->mu); /* fails only while held, which would be our bug */
}

void lock_get(struct lock *l)
{
	if (rank_held >= l->rank)
		abort();
	if (pthread_mutex_lock(&l->mu) != 0)
		abort();
	l->outer = rank_held;
	rank_held = l->rank;
}

void lock_put(struct lock *l)
{
	rank_held = l->outer;
	if (pthread_mutex_unlock(&l->mu) != 0)
		abort();
}

bool lock_wait(struct lock *l, pthread_cond_t *c, uint64_t deadline_mono_ms)
{
	unsigned outer = l->outer;
	struct timespec t = {
		.tv_sec = (time_t)(deadline_mono_ms / 1000),
		.tv_nsec = (long)(deadline_mono_ms % 1000) * 1000000,
	};
	int r =
	    deadline_mono_ms ? pthread_cond_timedwait(c, &l->mu, &t) : pthread_cond_wait(c, &l->mu);

	l->outer = outer;
	rank_held = l->rank;
	return r != ETIMEDOUT;
}

void cond_init(pthread_cond_t *c)
{
	pthread_condattr_t a;

	if (pthread_condattr_init(&a) != 0 || pthread_condattr_setclock(&a, CLOCK_MONOTONIC) != 0 ||
	    pthread_cond_init(c, &a) != 0)
		abort();
	(void)pthread_condattr_destroy(&a);
}
