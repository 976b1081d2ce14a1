#include "server/range.h"

#include "tests/lib/unit.h"

#define GREATEST "18446744073709551615"
#define BEYOND "99999999999999999999"

/* RFC 9110 14.1.2 and 14.2 */
static const struct {
	const char *name, *field;
	uint64_t size;
	enum range_result result;
	uint64_t first, last;
} ranges[] = {
	{ "first byte", "bytes=0-0", 10, RANGE_PART, 0, 0 },
	{ "first five", "bytes=0-4", 10, RANGE_PART, 0, 4 },
	{ "last byte", "bytes=9-9", 10, RANGE_PART, 9, 9 },
	{ "all of it", "bytes=0-9", 10, RANGE_PART, 0, 9 },
	{ "end beyond the end", "bytes=5-100", 10, RANGE_PART, 5, 9 },
	{ "open", "bytes=5-", 10, RANGE_PART, 5, 9 },
	{ "open from the start", "bytes=0-", 10, RANGE_PART, 0, 9 },
	{ "end beyond 64 bits", "bytes=5-" BEYOND, 10, RANGE_PART, 5, 9 },
	{ "greatest end", "bytes=5-" GREATEST, 10, RANGE_PART, 5, 9 },
	{ "leading zeros", "bytes=0005-0007", 10, RANGE_PART, 5, 7 },
	{ "last five", "bytes=-5", 10, RANGE_PART, 5, 9 },
	{ "last ten", "bytes=-10", 10, RANGE_PART, 0, 9 },
	{ "more than all from the end", "bytes=-11", 10, RANGE_PART, 0, 9 },
	{ "suffix beyond 64 bits", "bytes=-" BEYOND, 10, RANGE_PART, 0, 9 },
	{ "unit in capitals", "BYTES=0-4", 10, RANGE_PART, 0, 4 },
	{ "blanks around", " bytes= 0-4 ", 10, RANGE_PART, 0, 4 },
	{ "start at the end", "bytes=10-", 10, RANGE_UNSATISFIABLE, 0, 0 },
	{ "start beyond the end", "bytes=11-20", 10, RANGE_UNSATISFIABLE, 0, 0 },
	{ "start beyond 64 bits", "bytes=" BEYOND "-", 10, RANGE_UNSATISFIABLE, 0, 0 },
	{ "last none", "bytes=-0", 10, RANGE_UNSATISFIABLE, 0, 0 },
	{ "of nothing", "bytes=0-0", 0, RANGE_UNSATISFIABLE, 0, 0 },
	{ "open of nothing", "bytes=0-", 0, RANGE_UNSATISFIABLE, 0, 0 },
	{ "last five of nothing", "bytes=-5", 0, RANGE_UNSATISFIABLE, 0, 0 },
	{ "backwards", "bytes=5-4", 10, RANGE_UNSATISFIABLE, 0, 0 },
	{ "several", "bytes=0-1,3-4", 10, RANGE_WHOLE, 0, 0 },
	{ "several from the end", "bytes=-1,-2", 10, RANGE_WHOLE, 0, 0 },
	{ "several open ones", "bytes=0-,5-", 10, RANGE_WHOLE, 0, 0 },
	{ "other unit", "items=0-4", 10, RANGE_WHOLE, 0, 0 },
	{ "no unit", "0-4", 10, RANGE_WHOLE, 0, 0 },
	{ "unit and a blank", "bytes =0-4", 10, RANGE_WHOLE, 0, 0 },
	{ "colon", "bytes:0-4", 10, RANGE_WHOLE, 0, 0 },
	{ "no dash", "bytes=5", 10, RANGE_WHOLE, 0, 0 },
	{ "dash only", "bytes=-", 10, RANGE_WHOLE, 0, 0 },
	{ "nothing", "bytes=", 10, RANGE_WHOLE, 0, 0 },
	{ "empty", "", 10, RANGE_WHOLE, 0, 0 },
	{ "letters", "bytes=a-b", 10, RANGE_WHOLE, 0, 0 },
	{ "letters after", "bytes=0-b", 10, RANGE_WHOLE, 0, 0 },
	{ "two dashes", "bytes=0--4", 10, RANGE_WHOLE, 0, 0 },
	{ "negative", "bytes=--5", 10, RANGE_WHOLE, 0, 0 },
	{ "plus", "bytes=+0-4", 10, RANGE_WHOLE, 0, 0 },
	{ "blanks within", "bytes=0 - 4", 10, RANGE_WHOLE, 0, 0 },
	{ "hexadecimal", "bytes=0x0-0x4", 10, RANGE_WHOLE, 0, 0 },
};

static void test_range(void **state)
{
	__typeof__(&ranges[0]) c = *state;
	uint64_t first = 77, last = 77;

	assert_int_equal(range_parse(str_of(c->field), c->size, &first, &last), c->result);
	if (c->result == RANGE_PART) {
		assert_int_equal(first, c->first);
		assert_int_equal(last, c->last);
		assert_true(first <= last && last < c->size);
	}
}

static void test_greatest_size(void **state)
{
	uint64_t first, last;

	(void)state;
	assert_int_equal(range_parse(STR("bytes=" GREATEST "-"), UINT64_MAX, &first, &last),
			 RANGE_UNSATISFIABLE);
	assert_int_equal(range_parse(STR("bytes=1-" GREATEST), UINT64_MAX, &first, &last),
			 RANGE_PART);
	assert_true(first == 1 && last == UINT64_MAX - 1);
	assert_int_equal(range_parse(STR("bytes=-" GREATEST), UINT64_MAX, &first, &last),
			 RANGE_PART);
	assert_true(first == 0 && last == UINT64_MAX - 1);
}

static const struct {
	const char *name, *field;
	bool ok;
	uint64_t first, last;
} chunks[] = {
	{ "plain", "0-4", true, 0, 4 },
	{ "one byte", "7-7", true, 7, 7 },
	{ "with the unit", "bytes 0-4", true, 0, 4 },
	{ "with the unit in capitals", "Bytes 0-4", true, 0, 4 },
	{ "with a total", "bytes 0-4/5", true, 0, 4 },
	{ "with any total", "bytes 0-4/*", true, 0, 4 },
	{ "plain with a total", "0-4/100", true, 0, 4 },
	{ "blanks around", "\t0-4 ", true, 0, 4 },
	{ "two blanks after the unit", "bytes  0-4", true, 0, 4 },
	{ "greatest", "0-9223372036854775807", true, 0, INT64_MAX },
	{ "beyond", "0-9223372036854775808", false, 0, 0 },
	{ "total within the range", "bytes 0-4/4", false, 0, 0 },
	{ "total that is no number", "bytes 0-4/x", false, 0, 0 },
	{ "no total after the slash", "bytes 0-4/", false, 0, 0 },
	{ "stars", "bytes 0-4/**", false, 0, 0 },
	{ "unsatisfied", "bytes */5", false, 0, 0 },
	{ "backwards", "4-0", false, 0, 0 },
	{ "open", "0-", false, 0, 0 },
	{ "suffix", "-5", false, 0, 0 },
	{ "one number", "5", false, 0, 0 },
	{ "empty", "", false, 0, 0 },
	{ "unit only", "bytes ", false, 0, 0 },
	{ "no blank after the unit", "bytes0-4", false, 0, 0 },
	{ "as in a Range", "bytes=0-4", false, 0, 0 },
	{ "several", "0-4,5-9", false, 0, 0 },
	{ "more after it", "0-4x", false, 0, 0 },
	{ "sign", "+0-4", false, 0, 0 },
};

static void test_chunk(void **state)
{
	__typeof__(&chunks[0]) c = *state;
	uint64_t first = 77, last = 77;

	assert_int_equal(content_range_parse(str_of(c->field), &first, &last), c->ok);
	assert_int_equal(first, c->ok ? c->first : 77);
	assert_int_equal(last, c->ok ? c->last : 77);
}

/* RFC 9110 8.8.3 and 13.1 */
static const struct {
	const char *name, *field;
	bool has;
} etags[] = {
	{ "it", "\"a\"", true },
	{ "weak", "W/\"a\"", true },
	{ "anything", "*", true },
	{ "the second", "\"b\", \"a\"", true },
	{ "a weak second", "\"b\",W/\"a\"", true },
	{ "blanks", " \t\"b\" , \"a\" ", true },
	{ "empty items", ", ,\"a\"", true },
	{ "anything in a list", "\"b\", *", true },
	{ "another", "\"b\"", false },
	{ "without quotes", "a", false },
	{ "case differs", "\"A\"", false },
	{ "weak in lower case", "w/\"a\"", false },
	{ "longer", "\"aa\"", false },
	{ "half of it", "\"a", false },
	{ "empty", "", false },
	{ "weak and nothing", "W/", false },
};

static void test_etag(void **state)
{
	__typeof__(&etags[0]) c = *state;

	assert_int_equal(etag_list_has(str_of(c->field), STR("\"a\"")), c->has);
}

int main(void)
{
	UNIT_TABLE("Range", test_range, ranges);
	unit_case("Range of the greatest size", test_greatest_size);
	UNIT_TABLE("Content-Range", test_chunk, chunks);
	UNIT_TABLE("entity tags", test_etag, etags);
	return unit_run();
}
