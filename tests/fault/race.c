#include "tests/fault/race.h"

#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/step.h"
#include "tests/lib/fixture.h"

/* Not a struct lock: steps are met under locks of every rank. */
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static _Thread_local struct racer *self;

/* With mu held; aborts after RACE_WAIT_MS. */
static void wait_change(uint64_t deadline_mono_ms, const char *what)
{
	struct timespec until = { .tv_sec = (time_t)(deadline_mono_ms / 1000),
				  .tv_nsec = (long)(deadline_mono_ms % 1000) * 1000000 };

	if (pthread_cond_timedwait(&changed, &mu, &until) == 0)
		return;
	(void)fprintf(stderr, "# nothing came of waiting for \"%s\"\n", what ? what : "the end");
	abort();
}

static void on_step(const char *name)
{
	struct racer *r = self;
	uint64_t deadline = mono_ms() + RACE_WAIT_MS;

	if (!r)
		return;
	(void)pthread_mutex_lock(&mu);
	r->met = name;
	r->stands = r->stop && strcmp(r->stop, name) == 0;
	(void)pthread_cond_broadcast(&changed);
	while (r->stands)
		wait_change(deadline, "the test, at a step");
	(void)pthread_mutex_unlock(&mu);
}

void race_begin(void)
{
	cond_init(&changed);
	step_observe(on_step);
}

static void *racer_main(void *arg)
{
	struct racer *r = arg;

	self = r;
	r->fn(r->arg);
	(void)pthread_mutex_lock(&mu);
	r->done = true;
	(void)pthread_cond_broadcast(&changed);
	(void)pthread_mutex_unlock(&mu);
	return NULL;
}

void race_start(struct racer *r, void (*fn)(void *arg), void *arg, const char *stop)
{
	*r = (struct racer){ .fn = fn, .arg = arg, .stop = stop };
	MUST(pthread_create(&r->thread, NULL, racer_main, r) == 0);
}

void race_at(struct racer *r)
{
	uint64_t deadline = mono_ms() + RACE_WAIT_MS;

	(void)pthread_mutex_lock(&mu);
	while (!r->stands) {
		MUST(!r->done); /* it never came there */
		wait_change(deadline, r->stop);
	}
	(void)pthread_mutex_unlock(&mu);
}

void race_met(struct racer *r, const char *step)
{
	uint64_t deadline = mono_ms() + RACE_WAIT_MS;

	(void)pthread_mutex_lock(&mu);
	while (!r->met || strcmp(r->met, step) != 0) {
		MUST(!r->done);
		wait_change(deadline, step);
	}
	(void)pthread_mutex_unlock(&mu);
}

void race_go(struct racer *r, const char *stop)
{
	(void)pthread_mutex_lock(&mu);
	MUST(r->stands);
	r->stop = stop;
	r->stands = false;
	(void)pthread_cond_broadcast(&changed);
	(void)pthread_mutex_unlock(&mu);
}

void race_end(struct racer *r)
{
	uint64_t deadline = mono_ms() + RACE_WAIT_MS;

	(void)pthread_mutex_lock(&mu);
	r->stop = NULL;
	r->stands = false;
	(void)pthread_cond_broadcast(&changed);
	while (!r->done)
		wait_change(deadline, NULL);
	(void)pthread_mutex_unlock(&mu);
	MUST(pthread_join(r->thread, NULL) == 0);
}
