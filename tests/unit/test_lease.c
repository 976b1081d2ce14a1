#include "storage/lease.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define LONG_MS (3600u * 1000)
#define MANY 5000u /* more than the table begins with */
#define THREADS 4u

static struct leases *leases_of(uint64_t lease_ms, uint64_t all_ms)
{
	struct leases *ls = NULL;
	struct err e;

	assert_ok(leases_new(lease_ms, all_ms, &ls, &e), &e);
	return ls;
}

static struct lease_key key_of(uint64_t repo, unsigned i)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%u", i);
	return (struct lease_key){ .repo = repo, .digest = digest_of(text) };
}

static void pass_ms(unsigned n)
{
	uint64_t until = mono_ms() + n;

	while (mono_ms() <= until)
		;
}

/* L1 */
static void test_take(void **state)
{
	struct leases *ls = leases_of(LONG_MS, 0);
	struct lease_key a = key_of(1, 1), other_repo = key_of(2, 1), other = key_of(1, 2);

	(void)state;
	assert_true(lease_take(ls, &a));
	assert_true(lease_take(ls, &a));
	assert_int_equal(leases_count(ls), 1);
	assert_false(lease_condemn(ls, &a));
	assert_true(lease_condemn(ls, &other_repo));
	assert_true(lease_condemn(ls, &other));
	leases_expire(ls);
	assert_false(lease_condemn(ls, &a));
	leases_free(&ls);
	assert_null(ls);
	leases_free(&ls);
}

/* L2 */
static void test_condemn(void **state)
{
	struct leases *ls = leases_of(LONG_MS, 0);
	struct lease_key a = key_of(1, 1);

	(void)state;
	assert_true(lease_condemn(ls, &a));
	assert_false(lease_take(ls, &a));
	leases_expire(ls); /* which it outlasts */
	assert_false(lease_take(ls, &a));
	lease_spare(ls, &a);
	assert_int_equal(leases_count(ls), 0);
	lease_spare(ls, &a); /* of what is not there */
	assert_true(lease_take(ls, &a));
	assert_false(lease_condemn(ls, &a));
	leases_free(&ls);
}

static void test_over(void **state)
{
	struct leases *ls = leases_of(1, 0);
	struct lease_key a = key_of(1, 1), b = key_of(1, 2);

	(void)state;
	assert_true(lease_take(ls, &a));
	assert_true(lease_take(ls, &b));
	pass_ms(1);
	assert_true(lease_condemn(ls, &a));
	assert_int_equal(leases_count(ls), 2);
	leases_expire(ls);
	assert_int_equal(leases_count(ls), 1); /* the condemned one */
	assert_false(lease_take(ls, &a));
	assert_true(lease_take(ls, &b));
	leases_free(&ls);
}

/* L3 */
static void test_all(void **state)
{
	struct leases *ls = leases_of(LONG_MS, LONG_MS);
	struct lease_key a = key_of(1, 1);

	(void)state;
	assert_false(lease_condemn(ls, &a));
	assert_int_equal(leases_count(ls), 0);
	assert_true(lease_take(ls, &a));
	leases_free(&ls);
	ls = leases_of(LONG_MS, 1);
	pass_ms(1);
	assert_true(lease_condemn(ls, &a));
	leases_free(&ls);
}

static void test_many(void **state)
{
	struct leases *ls = leases_of(LONG_MS, 0);

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		struct lease_key k = key_of(i % 3, i);

		assert_true(i % 2 ? lease_take(ls, &k) : lease_condemn(ls, &k));
	}
	assert_int_equal(leases_count(ls), MANY);
	for (unsigned i = 0; i < MANY; i++) {
		struct lease_key k = key_of(i % 3, i);

		assert_false(i % 2 ? lease_condemn(ls, &k) : lease_take(ls, &k));
		lease_spare(ls, &k);
	}
	assert_int_equal(leases_count(ls), 0);
	leases_free(&ls);
}

/* While one thread has condemned an entry no other one takes it. */
static struct {
	struct leases *ls;
	_Atomic bool done;
	_Atomic unsigned condemned, taken; /* how often */
} shared;

static void *take_all(void *arg)
{
	(void)arg;
	while (!shared.done) {
		for (unsigned i = 0; i < 8; i++) {
			struct lease_key k = key_of(1, i);

			if (lease_take(shared.ls, &k))
				shared.taken++;
		}
		leases_expire(shared.ls);
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	shared.ls = leases_of(0, 0);
	shared.done = false;
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_all, NULL), 0);
	while (shared.condemned < 2000 || shared.taken < 2000) {
		struct lease_key k = key_of(1, shared.condemned % 8);

		if (lease_condemn(shared.ls, &k)) {
			assert_false(lease_take(shared.ls, &k));
			lease_spare(shared.ls, &k);
		}
		shared.condemned++;
	}
	shared.done = true;
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	leases_free(&shared.ls);
}

int main(void)
{
	unit_case("what was told of is not condemned", test_take);
	unit_case("what is condemned is not told of", test_condemn);
	unit_case("a lease that is over", test_over);
	unit_case("everything is leased at first", test_all);
	unit_case("more than the table begins with", test_many);
	unit_case("beside each other", test_threads);
	return unit_run();
}
