#include "base/clock.h"
#include "tests/lib/unit.h"

static const struct {
	const char *name;
	uint64_t ms;
	const char *text;
} times[] = {
	{ "the epoch", 0, "1970-01-01T00:00:00.000Z" },
	{ "milliseconds", 7, "1970-01-01T00:00:00.007Z" },
	{ "a leap day", 1709210096789u, "2024-02-29T12:34:56.789Z" },
	{ "after 2038", 4102444799999u, "2099-12-31T23:59:59.999Z" },
	{ "the last of year 9999", 253402300799999u, "9999-12-31T23:59:59.999Z" },
	{ "the first of year 10000", 253402300800000u, "" },
	{ "beyond all calendars", UINT64_MAX, "" },
};

static void test_time_text(void **state)
{
	__typeof__(&times[0]) c = *state;
	char buf[TIME_TEXT_MAX];

	assert_string_equal(time_text(c->ms, buf), c->text);
}

static void test_clocks(void **state)
{
	uint64_t us = mono_us(), ms = mono_ms(), later = mono_us(), wall = wall_ms();

	(void)state;
	assert_true(us / 1000 <= ms && ms <= later / 1000);
	assert_true(wall > 1700000000000u); /* milliseconds, after 2023 */
}

int main(void)
{
	UNIT_TABLE("time_text", test_time_text, times);
	unit_case("clocks", test_clocks);
	return unit_run();
}
