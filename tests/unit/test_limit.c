#include "server/limit.h"

#include <semaphore.h>

#include "base/clock.h"
#include "base/netaddr.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define S ((uint64_t)1000000)
#define START (1000 * S)

static struct limits *limits_of(struct limit_options o)
{
	struct limits *l = NULL;
	struct err e;

	if (!o.entries_max)
		o.entries_max = 1024;
	if (!o.burst_ms)
		o.burst_ms = 2000;
	assert_ok(limits_new(&o, &l, &e), &e);
	return l;
}

/* How many of n requests at this time are let in; *ret_wait_ms of the last. */
static unsigned ask(struct limits *l, enum limit_subject s, const char *who, unsigned n,
		    uint64_t now_us, uint64_t *ret_wait_ms)
{
	unsigned good = 0;
	struct err e;

	for (unsigned i = 0; i < n; i++) {
		enum err_kind k = limits_request(l, s, str_of(who), now_us, ret_wait_ms, &e);

		if (k == ERR_OK)
			good++;
		else
			assert_err(k, ERR_TOO_MANY, &e, "wait");
	}
	return good;
}

static void test_requests(void **state)
{
	struct limits *l = limits_of((struct limit_options){ .address = { .requests = 10 } });
	uint64_t wait;

	(void)state;
	assert_int_equal(ask(l, LIMIT_ADDRESS, "10.0.0.1", 20, START, &wait), 20); /* M1 */
	assert_int_equal(wait, 0);
	assert_int_equal(ask(l, LIMIT_ADDRESS, "10.0.0.1", 1, START, &wait), 0);
	assert_int_equal(wait, 100);
	assert_int_equal(ask(l, LIMIT_ADDRESS, "10.0.0.2", 1, START, &wait), 1);
	assert_int_equal(ask(l, LIMIT_IDENTITY, "10.0.0.1", 100, START, &wait), 100);
	assert_int_equal(ask(l, LIMIT_ADDRESS, "10.0.0.1", 5, START + S / 10, &wait), 1);
	assert_int_equal(ask(l, LIMIT_ADDRESS, "10.0.0.1", 50, START + S + S / 10, &wait), 10);
	assert_int_equal(ask(l, LIMIT_ADDRESS, "10.0.0.1", 50, START + 1000 * S, &wait), 20);
	assert_int_equal(limits_stats(l).requests[LIMIT_ADDRESS], 1 + 4 + 40 + 30);
	limits_free(&l);
	assert_null(l);
	limits_free(&l);
}

static void test_slow(void **state)
{
	struct limits *l =
	    limits_of((struct limit_options){ .burst_ms = 1000, .identity = { .requests = 1 } });
	uint64_t wait;

	(void)state;
	assert_int_equal(ask(l, LIMIT_IDENTITY, "user:a", 3, START, &wait), 1);
	assert_int_equal(wait, 1000);
	assert_int_equal(ask(l, LIMIT_IDENTITY, "user:a", 1, START + S - 1000, &wait), 0);
	assert_int_equal(wait, 1);
	assert_int_equal(ask(l, LIMIT_IDENTITY, "user:a", 2, START + S, &wait), 1);
	limits_free(&l);
}

static void test_bytes(void **state)
{
	struct limits *l = limits_of((struct limit_options){ .address = { .bytes = 1000 } });
	struct str who = STR("10.0.0.1");
	uint64_t wait;

	(void)state;
	limits_bytes(l, LIMIT_ADDRESS, who, 2000, START);
	assert_int_equal(ask(l, LIMIT_ADDRESS, who.p, 9, START, &wait), 9);
	limits_bytes(l, LIMIT_ADDRESS, who, 500, START); /* M2 */
	assert_int_equal(ask(l, LIMIT_ADDRESS, who.p, 9, START, &wait), 0);
	assert_int_equal(wait, 500);
	assert_int_equal(ask(l, LIMIT_ADDRESS, who.p, 9, START + S / 2, &wait), 9);
	limits_bytes(l, LIMIT_ADDRESS, who, UINT64_MAX, START + S / 2);
	assert_int_equal(ask(l, LIMIT_ADDRESS, who.p, 9, START + S / 2, &wait), 0);
	assert_int_equal(wait, LIMIT_DEBT_MS_MAX);
	assert_int_equal(limits_stats(l).bytes[LIMIT_ADDRESS], 18);
	limits_free(&l);
}

static void test_uploads(void **state)
{
	struct limits *l = limits_of((struct limit_options){ .entries_max = 8, .uploads = 2 });
	struct str who = STR("user:a");
	uint64_t tickets[12], wait, third;
	struct err e;

	(void)state;
	for (size_t i = 0; i < 2; i++)
		assert_ok(limits_upload(l, LIMIT_IDENTITY, who, START, &tickets[i], &e), &e);
	assert_err(limits_upload(l, LIMIT_IDENTITY, who, START, &third, &e), ERR_TOO_MANY, &e,
		   "2 uploads");
	assert_int_equal(third, 0);
	limits_upload_end(l, tickets[1]);
	assert_ok(limits_upload(l, LIMIT_IDENTITY, who, START, &tickets[1], &e), &e);
	for (char other[] = "a"; other[0] < 'm'; other[0]++) /* M3: more than there are places */
		assert_ok(limits_upload(l, LIMIT_IDENTITY, str_of(other), START,
					&tickets[other[0] - 'a'], &e),
			  &e);
	assert_int_equal(tickets[11], 0);
	limits_upload_end(l, 0);
	assert_err(limits_upload(l, LIMIT_IDENTITY, who, START + S, &third, &e), ERR_TOO_MANY, &e,
		   "2 uploads"); /* uploads under way are not forgotten */
	assert_int_equal(ask(l, LIMIT_IDENTITY, "z", 5, START, &wait), 5);
	assert_int_equal(limits_stats(l).uploads, 2);
	limits_free(&l);
}

/* As many clients as one likes: the memory is what it was, and who asks again and again is not forgotten by that. */
static void test_bounded(void **state)
{
	struct limits *l =
	    limits_of((struct limit_options){ .entries_max = 64, .address = { .requests = 1 } });
	uint64_t wait;
	unsigned good = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		char who[32];

		(void)snprintf(who, sizeof(who), "10.1.%u.%u", i / 250, i % 250);
		assert_int_equal(ask(l, LIMIT_ADDRESS, who, 1, START + i, &wait), 1);
		good += ask(l, LIMIT_ADDRESS, "10.0.0.1", 1, START + i, &wait);
	}
	assert_int_equal(good, 2);
	limits_free(&l);
}

/* --- what waits --- */

struct waiter {
	struct limit_hold hold; /* its first member */
	sem_t woken;
};

static void wake(struct limit_hold *h)
{
	(void)sem_post(&((struct waiter *)h)->woken);
}

static void test_hold(void **state)
{
	struct limits *l = limits_of((struct limit_options){ .uploads = 1 });
	struct waiter w[3];
	uint64_t began = mono_ms();

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		w[i].hold.wake = wake;
		(void)sem_init(&w[i].woken, 0, 0);
		assert_true(limits_may_hold(l));
	}
	limits_hold(l, &w[0].hold);
	limits_hold(l, &w[1].hold);
	assert_int_equal(limits_stats(l).held, 3);
	(void)sem_wait(&w[0].woken);
	(void)sem_wait(&w[1].woken);
	assert_true(mono_ms() - began >= LIMIT_HOLD_MS);
	for (unsigned i = 1; i < LIMIT_HELD_MAX; i++)
		assert_true(limits_may_hold(l));
	assert_false(limits_may_hold(l));
	limits_hold(l, &w[2].hold);
	limits_free(&l); /* which lets go of it */
	assert_int_equal(sem_trywait(&w[2].woken), 0);
}

static const struct network_case {
	const char *address, *network;
} networks[] = {
	{ "192.0.2.1", "192.0.2.1" },
	{ "::ffff:192.0.2.1", "::ffff:192.0.2.1" },
	{ "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::" },
	{ "2001:db8:1:2::", "2001:db8:1:2::" },
	{ "::1", "::" },
	{ "?", "?" },
	{ "", "" },
};

static void test_network(void **state)
{
	const struct network_case *c = *state;
	char buf[INET6_ADDRSTRLEN];
	struct str got = address_network(str_of(c->address), buf);

	assert_int_equal(got.n, strlen(c->network));
	assert_memory_equal(got.p, c->network, got.n);
}

static void test_prefix(void **state)
{
	struct limits *l =
	    limits_of((struct limit_options){ .burst_ms = 1000, .address = { .requests = 1 } });
	uint64_t wait;

	(void)state;
	assert_int_equal(ask(l, LIMIT_ADDRESS, "2001:db8::1", 1, START, &wait), 1);
	assert_int_equal(ask(l, LIMIT_ADDRESS, "2001:db8::2", 1, START, &wait), 0);
	assert_int_equal(ask(l, LIMIT_ADDRESS, "2001:db8:0:1::1", 1, START, &wait), 1);
	limits_free(&l);
}

int main(void)
{
	unit_case("requests", test_requests);
	unit_case("a request at a time", test_slow);
	unit_case("bytes", test_bytes);
	unit_case("uploads at once", test_uploads);
	unit_case("more clients than places", test_bounded);
	unit_case("refusals that wait", test_hold);
	UNIT_TABLE("network", test_network, networks);
	unit_case("IPv6 counts by 64 bits", test_prefix);
	return unit_run();
}
