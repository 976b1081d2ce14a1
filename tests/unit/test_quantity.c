#include "base/quantity.h"

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

struct quantity_case {
	const char *text;
	uint64_t want;
	bool bad;
};

static const struct quantity_case sizes[] = {
	{ "0", 0, false },
	{ "4096", 4096, false },
	{ "100b", 100, false },
	{ "100B", 100, false },
	{ "64m", 64 << 20, false },
	{ "64M", 64 << 20, false },
	{ "64mb", 64 << 20, false },
	{ "1.5g", 3 << 29, false },
	{ "1.5GiB", 3 << 29, false },
	{ "0.5k", 512, false },
	{ "2T", UINT64_C(2) << 40, false },
	{ "0.123456789k", 126, false },
	{ "", 0, true },
	{ "m", 0, true },
	{ "-1", 0, true },
	{ "1.m", 0, true },
	{ ".5m", 0, true },
	{ "1ib", 0, true },
	{ "1mm", 0, true },
	{ "1 m", 0, true },
	{ "1x", 0, true },
	{ "99999999999999999999", 0, true },
	{ "17179869184g", 0, true },
};

static const struct quantity_case durations[] = {
	{ "0", 0, false },
	{ "30s", 30000, false },
	{ "1m30s", 90000, false },
	{ "1h0m1.5s", 3601500, false },
	{ "250ms", 250, false },
	{ "1500us", 1, false },
	{ "2000000ns", 2, false },
	{ "1.5h", 5400000, false },
	{ "2d", 172800000, false },
	{ "", 0, true },
	{ "30", 0, true },
	{ "s", 0, true },
	{ "1m30", 0, true },
	{ "-1s", 0, true },
	{ "1 s", 0, true },
	{ "1w", 0, true },
	{ "99999999999999999h", 0, true },
};

static void test_size(void **state)
{
	const struct quantity_case *c = *state;
	uint64_t got = 7;

	assert_int_equal(size_parse_docker(str_of(c->text), &got), !c->bad);
	assert_int_equal(got, c->bad ? 7 : c->want);
}

static void test_duration(void **state)
{
	const struct quantity_case *c = *state;
	uint64_t got = 7;

	assert_int_equal(duration_parse_go(str_of(c->text), &got), !c->bad);
	assert_int_equal(got, c->bad ? 7 : c->want);
}

int main(void)
{
	UNIT_TABLE("size", test_size, sizes);
	UNIT_TABLE("duration", test_duration, durations);
	return unit_run();
}
