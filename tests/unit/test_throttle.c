#include "auth/throttle.h"

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static const struct throttle_options options = {
	.entries_max = 4096,
	.free_account = 3,
	.free_everywhere = 10,
	.free_address = 6,
	.wait_ms_min = 1000,
	.wait_ms_max = 8000,
	.window_ms = 60000,
};

static struct throttle *new_throttle(void)
{
	struct throttle *t;
	struct err e;

	assert_ok(throttle_new(&options, &t, &e), &e);
	return t;
}

/* How long a try has to wait; 0: it was made, with this result. */
static uint64_t try_it(struct throttle *t, const char *account, const char *address, uint64_t now,
		       enum throttle_result r)
{
	uint64_t wait;
	struct err e;
	enum err_kind k = throttle_begin(t, str_of(account), str_of(address), now, &wait, &e);

	if (k != ERR_OK) {
		assert_int_equal(k, ERR_TOO_MANY);
		assert_int_not_equal(wait, 0);
		return wait;
	}
	throttle_end(t, str_of(account), str_of(address), now, r);
	return 0;
}

#define WRONG(account, address, now) try_it(t, (account), (address), (now), THROTTLE_WRONG)
#define RIGHT(account, address, now) try_it(t, (account), (address), (now), THROTTLE_RIGHT)

/* H1 */
static void test_back_off(void **state)
{
	struct throttle *t = new_throttle();
	uint64_t now = 100000;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(WRONG("a", "192.0.2.1", now), 0);
	assert_int_equal(WRONG("a", "192.0.2.1", now), 1000);
	assert_int_equal(WRONG("a", "192.0.2.1", now + 400), 600);
	now += 1000;
	assert_int_equal(WRONG("a", "192.0.2.1", now), 0);
	assert_int_equal(WRONG("a", "192.0.2.1", now), 2000);
	now += 2000;
	assert_int_equal(WRONG("a", "192.0.2.1", now), 0);
	assert_int_equal(WRONG("a", "192.0.2.1", now), 4000);
	now += 4000;
	assert_int_equal(WRONG("a", "192.0.2.1", now), 0);
	assert_int_equal(WRONG("a", "192.0.2.1", now), 8000);
	now += 8000;
	assert_int_equal(WRONG("a", "192.0.2.1", now), 0);
	assert_int_equal(WRONG("a", "192.0.2.1", now), 8000); /* no more than that */
	throttle_free(&t);
	assert_null(t);
}

static void test_right_ends_it(void **state)
{
	struct throttle *t = new_throttle();

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(WRONG("a", "192.0.2.1", 1), 0);
		assert_int_equal(WRONG("a", "192.0.2.1", 1), 0);
		assert_int_equal(RIGHT("a", "192.0.2.1", 1), 0);
	}
	throttle_free(&t);
}

/* An account of one's own does not make up for guessing at others. */
static void test_address(void **state)
{
	struct throttle *t = new_throttle();
	char account[16];

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		(void)snprintf(account, sizeof(account), "u%u", i);
		assert_int_equal(WRONG(account, "192.0.2.1", 1), 0);
		if (i < 5)
			assert_int_equal(RIGHT("mine", "192.0.2.1", 1), 0);
	}
	assert_int_equal(RIGHT("mine", "192.0.2.1", 1), 1000);
	assert_int_equal(RIGHT("mine", "192.0.2.2", 1), 0);
	throttle_free(&t);
}

/* H2: AUTH-13 */
static void test_nobody_is_locked_out(void **state)
{
	struct throttle *t = new_throttle();
	char address[24];

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		(void)snprintf(address, sizeof(address), "198.51.100.%u", i);
		assert_int_equal(WRONG("a", address, 1), 0);
		if (i >= 10) /* by then one failure is all that an address has */
			assert_int_equal(WRONG("a", address, 1), 1000);
	}
	assert_int_equal(RIGHT("a", "192.0.2.1", 1), 0);
	assert_int_equal(RIGHT("a", "192.0.2.1", 1), 0);
	throttle_free(&t);
}

/* H3 */
static void test_at_once(void **state)
{
	struct throttle *t = new_throttle();
	unsigned begun = 0;
	uint64_t wait;
	struct err e;

	(void)state;
	for (unsigned i = 0; i < 40; i++)
		begun += throttle_begin(t, STR("a"), STR("192.0.2.1"), 1, &wait, &e) == ERR_OK;
	assert_int_equal(begun, 3);
	assert_int_equal(wait, 1000);
	while (begun--)
		throttle_end(t, STR("a"), STR("192.0.2.1"), 1, THROTTLE_WRONG);
	assert_int_equal(WRONG("a", "192.0.2.1", 1), 1000);
	throttle_free(&t);
}

static void test_undecided(void **state)
{
	struct throttle *t = new_throttle();

	(void)state;
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(try_it(t, "a", "192.0.2.1", 1, THROTTLE_UNDECIDED), 0);
	throttle_free(&t);
}

static void test_window(void **state)
{
	struct throttle *t = new_throttle();

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(WRONG("a", "192.0.2.1", 1), 0);
	assert_int_equal(WRONG("a", "192.0.2.1", 1), 1000);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(WRONG("a", "192.0.2.1", 60001), 0);
	throttle_free(&t);
}

/* A client has all of 64 bits. */
static void test_ipv6(void **state)
{
	struct throttle *t = new_throttle();

	(void)state;
	assert_int_equal(WRONG("a", "2001:db8::1", 1), 0);
	assert_int_equal(WRONG("a", "2001:db8::2", 1), 0);
	assert_int_equal(WRONG("a", "2001:db8:0:0:ffff::3", 1), 0);
	assert_int_equal(WRONG("a", "2001:db8::4", 1), 1000);
	assert_int_equal(WRONG("a", "2001:db8:0:1::1", 1), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(WRONG("b", "::ffff:192.0.2.1", 1), 0);
	assert_int_equal(WRONG("b", "::ffff:192.0.2.2", 1), 0);
	throttle_free(&t);
}

/* H4: who guesses from everywhere does not push out the one that has failed most. */
static void test_many(void **state)
{
	struct throttle *t = new_throttle();
	char address[24];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(WRONG("a", "192.0.2.1", 1), 0);
	for (unsigned i = 0; i < 50000; i++) {
		(void)snprintf(address, sizeof(address), "10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255,
			       i & 255);
		(void)WRONG("b", address, 2);
	}
	assert_int_equal(WRONG("a", "192.0.2.1", 2), 999);
	throttle_free(&t);
}

static void test_others(void **state)
{
	struct throttle *t = new_throttle();
	struct throttle_options other = options;

	(void)state;
	assert_int_equal(WRONG("a", "192.0.2.1", 1), 0);
	other.free_account = 1;
	other.wait_ms_min = 500;
	throttle_set(t, &other);
	assert_int_equal(WRONG("a", "192.0.2.1", 1), 0);
	assert_int_equal(WRONG("a", "192.0.2.1", 1), 1000); /* the second over what is free now */
	assert_int_equal(WRONG("b", "192.0.2.1", 1), 0);
	assert_int_equal(WRONG("b", "192.0.2.1", 1), 500);
	throttle_free(&t);
}

int main(void)
{
	unit_case("back-off", test_back_off);
	unit_case("the right password ends it", test_right_ends_it);
	unit_case("an address", test_address);
	unit_case("nobody is locked out by others", test_nobody_is_locked_out);
	unit_case("many tries at once", test_at_once);
	unit_case("tries without a result", test_undecided);
	unit_case("forgotten after the window", test_window);
	unit_case("IPv6", test_ipv6);
	unit_case("more than there is room for", test_many);
	unit_case("other options", test_others);
	return unit_run();
}
