#include "base/trace.h"

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define ID "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

static const struct {
	const char *name, *field;
	bool good;
} fields[] = {
	{ "as the recommendation has it", "00-" ID "-" PARENT "-01", true },
	{ "not sampled", "00-" ID "-" PARENT "-00", true },
	{ "a later version", "cc-" ID "-" PARENT "-01", true },
	{ "a later version with more", "01-" ID "-" PARENT "-01-what-the-future-has", true },
	{ "empty", "", false },
	{ "version ff", "ff-" ID "-" PARENT "-01", false },
	{ "more in version 00", "00-" ID "-" PARENT "-01-x", false },
	{ "more without a dash", "01-" ID "-" PARENT "-01x", false },
	{ "upper case", "00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01", false },
	{ "no trace", "00-00000000000000000000000000000000-" PARENT "-01", false },
	{ "no parent", "00-" ID "-0000000000000000-01", false },
	{ "too short", "00-" ID "-" PARENT "-1", false },
	{ "too long an id", "00-" ID "0-" PARENT "-01", false },
	{ "no dash", "00" ID PARENT "01", false },
	{ "a line more", "00-" ID "-" PARENT "-01\n", false },
};

static void test_parse(void **state)
{
	__typeof__(&fields[0]) f = *state;
	struct trace t, again;
	char text[TRACE_TEXT_MAX];

	assert_int_equal(trace_parse(str_of(f->field), &t), f->good);
	if (!f->good) {
		assert_string_equal(t.id, "");
		return;
	}
	assert_string_equal(t.id, ID);
	assert_string_equal(t.parent, PARENT);
	assert_string_not_equal(t.span, PARENT);
	assert_true(trace_parse(str_of(trace_text(&t, text)), &again));
	assert_string_equal(again.id, ID);
	assert_string_equal(again.parent, t.span); /* we are the parent of whom we ask */
	assert_int_equal(again.flags[1], f->field[54] == '1' ? '1' : '0');
}

static void test_thread(void **state)
{
	struct trace t, none = { .id = "" };

	(void)state;
	assert_true(trace_parse(STR("00-" ID "-" PARENT "-01"), &t));
	assert_null(trace_current());
	trace_enter(&t);
	assert_ptr_equal(trace_current(), &t);
	trace_leave();
	assert_null(trace_current());
	trace_enter(&none);
	assert_null(trace_current());
}

int main(void)
{
	UNIT_TABLE("traceparent", test_parse, fields);
	unit_case("of a thread", test_thread);
	return unit_run();
}
