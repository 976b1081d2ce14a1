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

static const struct {
	const char *text;
	bool good;
	uint64_t ms;
} written[] = {
	{ "1970-01-01", true, 0 },
	{ "2024-02-29", true, 1709164800000u },
	{ "2024-02-29T12:34:56Z", true, 1709210096000u },
	{ "2024-02-29T12:34:56.7Z", true, 1709210096700u },
	{ "2024-02-29T12:34:56.789123Z", true, 1709210096789u },
	{ "9999-12-31T23:59:59.999Z", true, 253402300799999u },
	{ "1969-12-31", false, 0 },
	{ "2023-02-29", false, 0 },
	{ "2024-13-01", false, 0 },
	{ "2024-01-01T24:00:00Z", false, 0 },
	{ "2024-01-01T00:00:60Z", false, 0 },
	{ "2024-01-01T00:00:00", false, 0 },
	{ "2024-01-01T00:00:00.Z", false, 0 },
	{ "2024-01-01T00:00:00+01:00", false, 0 },
	{ "2024-01-01 00:00:00Z", false, 0 },
	{ "2024-1-1", false, 0 },
	{ "24-01-01", false, 0 },
	{ "2024-01-01Z", false, 0 },
	{ "", false, 0 },
};

static void test_time_parse(void **state)
{
	__typeof__(&written[0]) c = *state;
	uint64_t got = 0;

	assert_int_equal(time_parse(str_of(c->text), &got), c->good);
	assert_int_equal(got, c->ms);
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
	UNIT_TABLE("time_parse", test_time_parse, written);
	unit_case("clocks", test_clocks);
	return unit_run();
}
