#include "server/work.h"

#include <pthread.h>
#include <stdatomic.h>

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

struct count {
	struct job job; /* first, so that a job is its count */
	_Atomic unsigned *total;
	unsigned runs;
	pthread_t ran_on;
};

static void count_run(struct job *j)
{
	struct count *c = (struct count *)j;

	c->runs++;
	c->ran_on = pthread_self();
	(*c->total)++;
}

static struct work *start(unsigned n)
{
	struct work *w = NULL;
	struct err e;

	assert_ok(work_start(n, &w, &e), &e);
	assert_int_equal(work_is_inline(w), n == 0);
	return w;
}

static const struct {
	const char *name;
	unsigned threads;
} sizes[] = { { "inline", 0 }, { "one", 1 }, { "two", 2 }, { "sixteen", 16 } };

/* All jobs run, each once; stop drains the queue. */
static void test_all(void **state)
{
	__typeof__(&sizes[0]) s = *state;
	struct work *w = start(s->threads);
	_Atomic unsigned total = 0;
	static struct count c[2000];

	for (size_t i = 0; i < ARRAY_LEN(c); i++) {
		c[i] = (struct count){ .job.run = count_run, .total = &total };
		work_submit(w, &c[i].job);
		if (s->threads == 0)
			assert_int_equal(total, i + 1); /* before submit returns */
	}
	work_stop(&w);
	assert_null(w);
	assert_int_equal(total, ARRAY_LEN(c));
	for (size_t i = 0; i < ARRAY_LEN(c); i++) {
		assert_int_equal(c[i].runs, 1);
		assert_int_equal(pthread_equal(c[i].ran_on, pthread_self()) != 0, s->threads == 0);
	}
	work_stop(&w);
}

/* First come, first served: with one thread the order is that of the submissions. */
static _Atomic unsigned at_work;

struct ordered {
	struct job job;
	unsigned place;
};

static void ordered_run(struct job *j)
{
	((struct ordered *)j)->place = at_work++;
}

static void test_order(void **state)
{
	struct work *w = start(1);
	static struct ordered o[500];

	(void)state;
	at_work = 0;
	for (size_t i = 0; i < ARRAY_LEN(o); i++) {
		o[i].job.run = ordered_run;
		work_submit(w, &o[i].job);
	}
	work_stop(&w);
	for (size_t i = 0; i < ARRAY_LEN(o); i++)
		assert_int_equal(o[i].place, i);
}

/* As many jobs as threads can wait for each other: they do run at the same time. */
static pthread_barrier_t barrier;

static void meet(struct job *j)
{
	(void)j;
	(void)pthread_barrier_wait(&barrier);
}

static void test_at_the_same_time(void **state)
{
	struct work *w = start(8);
	struct job jobs[8];

	(void)state;
	MUST(pthread_barrier_init(&barrier, NULL, 9) == 0);
	for (unsigned round = 0; round < 20; round++) {
		for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
			jobs[i].run = meet;
			work_submit(w, &jobs[i]);
		}
		(void)pthread_barrier_wait(&barrier);
	}
	work_stop(&w);
	MUST(pthread_barrier_destroy(&barrier) == 0);
}

/* A job that asks for the next one, and is free to be used again as soon as it runs. */
struct chain {
	struct job job;
	struct work *w;
	unsigned left;
};

static void chain_run(struct job *j)
{
	struct chain *c = (struct chain *)j;

	if (c->left-- > 1)
		work_submit(c->w, &c->job);
}

static void test_again(void **state)
{
	__typeof__(&sizes[0]) s = *state;
	struct work *w = start(s->threads);
	struct chain c = { .job.run = chain_run, .w = w, .left = 200 };

	work_submit(w, &c.job);
	work_stop(&w); /* what jobs ask for while it stops is done as well */
	assert_int_equal(c.left, 0);
}

struct submitter {
	struct work *w;
	_Atomic unsigned *total;
	struct count c[300];
};

static void *submit_all(void *arg)
{
	struct submitter *s = arg;

	for (size_t i = 0; i < ARRAY_LEN(s->c); i++) {
		s->c[i] = (struct count){ .job.run = count_run, .total = s->total };
		work_submit(s->w, &s->c[i].job);
	}
	return NULL;
}

static void test_many_submitters(void **state)
{
	static struct submitter s[6];
	struct work *w = start(4);
	_Atomic unsigned total = 0;
	pthread_t t[ARRAY_LEN(s)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(s); i++) {
		s[i].w = w;
		s[i].total = &total;
		MUST(pthread_create(&t[i], NULL, submit_all, &s[i]) == 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		MUST(pthread_join(t[i], NULL) == 0);
	work_stop(&w);
	assert_int_equal(total, ARRAY_LEN(s) * ARRAY_LEN(s[0].c));
}

int main(void)
{
	UNIT_TABLE("all jobs run", test_all, sizes);
	unit_case("in order", test_order);
	unit_case("at the same time", test_at_the_same_time);
	UNIT_TABLE("submitted again", test_again, sizes);
	unit_case("many submitters", test_many_submitters);
	return unit_run();
}
