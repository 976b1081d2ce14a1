#include "gc/pace.h"

#include "tests/lib/unit.h"

#define MINUTE 60000u

static const struct rested {
	const char *name;
	uint64_t batch_ms, age_ms, want_ms;
} rested[] = {
	{ "a cycle that has begun", 5, 0, 200 },
	{ "after five minutes", 5, 5 * MINUTE, 105 },
	{ "after ten", 5, 10 * MINUTE, 5 },
	{ "after an hour", 5, 60 * MINUTE, 5 },
	{ "never longer than a client would wait for nothing", 1000, 0, 400 },
	{ "nor when it hurries", 1000, 60 * MINUTE, 400 },
	{ "a batch that took no time", 0, 0, 0 },
};

static void test_rest(void **state)
{
	const struct rested *row = *state;

	assert_int_equal(pace_rest_ms(row->batch_ms, row->age_ms), row->want_ms);
}

int main(void)
{
	UNIT_TABLE("rest", test_rest, rested);
	return unit_run();
}
