#include "base/lock.h"

#include "base/clock.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static struct lock outer, inner;

static void init(void)
{
	lock_init(&outer, LOCK_SESSIONS);
	lock_init(&inner, LOCK_LOG);
}

static void take_twice(void *arg)
{
	(void)arg;
	lock_get(&outer);
	lock_get(&outer);
}

static void take_same_rank(void *arg)
{
	struct lock twin;

	(void)arg;
	lock_init(&twin, LOCK_SESSIONS);
	lock_get(&outer);
	lock_get(&twin);
}

static void take_backwards(void *arg)
{
	(void)arg;
	lock_get(&inner);
	lock_get(&outer);
}

static void backwards_after_release(void *arg)
{
	(void)arg;
	lock_get(&outer);
	lock_get(&inner);
	lock_put(&inner);
	lock_get(&outer);
}

/* A wait gives the lock up for a while, and holds its rank again afterwards. */
static void backwards_after_wait(void *arg)
{
	pthread_cond_t c;

	(void)arg;
	cond_init(&c);
	lock_get(&inner);
	(void)lock_wait(&inner, &c, 1); /* long past */
	lock_get(&outer);
}

static const struct {
	const char *name;
	void (*fn)(void *arg);
} violations[] = {
	{ "the same lock twice", take_twice },
	{ "another of the same rank", take_same_rank },
	{ "a lower rank", take_backwards },
	{ "a held one after an inner one was released", backwards_after_release },
	{ "a lower rank after a wait", backwards_after_wait },
};

static void test_violation(void **state)
{
	__typeof__(&violations[0]) c = *state;

	init();
	assert_true(unit_aborts(c->fn, NULL));
}

static void in_order(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 2; i++) {
		lock_get(&outer);
		lock_get(&inner);
		lock_put(&inner);
		lock_put(&outer);
	}
	lock_get(&inner);
	lock_put(&inner);
	lock_get(&outer);
	lock_put(&outer);
}

static void test_order(void **state)
{
	(void)state;
	init();
	assert_false(unit_aborts(in_order, NULL));
	in_order(NULL);
	lock_clear(&inner);
	lock_clear(&outer);
}

static void test_timeout(void **state)
{
	pthread_cond_t c;
	uint64_t start = mono_ms();

	(void)state;
	init();
	cond_init(&c);
	lock_get(&inner);
	while (lock_wait(&inner, &c, start + 20)) /* true: woken for no reason */
		;
	assert_true(mono_ms() >= start + 20);
	lock_put(&inner);
	lock_get(&outer); /* the rank is 0 again */
	lock_put(&outer);
	(void)pthread_cond_destroy(&c);
}

struct turn {
	struct lock mu;
	pthread_cond_t changed;
	unsigned n; /* under mu */
};

static void *other_player(void *arg)
{
	struct turn *t = arg;

	for (unsigned i = 0; i < 100; i++) {
		lock_get(&t->mu);
		while (t->n % 2 == 0)
			(void)lock_wait(&t->mu, &t->changed, 0);
		t->n++;
		(void)pthread_cond_signal(&t->changed);
		lock_put(&t->mu);
	}
	return NULL;
}

static void test_turns(void **state)
{
	struct turn t = { .n = 0 };
	pthread_t other;

	(void)state;
	lock_init(&t.mu, LOCK_WORK);
	cond_init(&t.changed);
	MUST(pthread_create(&other, NULL, other_player, &t) == 0);
	for (unsigned i = 0; i < 100; i++) {
		lock_get(&t.mu);
		while (t.n % 2 == 1)
			(void)lock_wait(&t.mu, &t.changed, mono_ms() + 60000);
		t.n++;
		(void)pthread_cond_signal(&t.changed);
		lock_put(&t.mu);
	}
	MUST(pthread_join(other, NULL) == 0);
	assert_int_equal(t.n, 200);
	lock_clear(&t.mu);
	(void)pthread_cond_destroy(&t.changed);
}

int main(void)
{
	UNIT_TABLE("aborts", test_violation, violations);
	unit_case("increasing ranks are fine, again and again", test_order);
	unit_case("a wait ends at its deadline", test_timeout);
	unit_case("two threads take turns", test_turns);
	return unit_run();
}
