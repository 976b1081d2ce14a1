#include "base/str.h"
#include "tests/lib/unit.h"

static void test_str_of(void **state)
{
	(void)state;
	assert_str(str_of("abc"), "abc");
	assert_str(str_of(""), "");
	assert_int_equal(str_of(NULL).n, 0);
	assert_non_null(str_of(NULL).p);
}

struct pair {
	const char *name;
	struct str a, b;
	bool eq, eq_nocase, starts; /* a starts with b */
};

static const struct pair pairs[] = {
	{ "same", { "abc", 3 }, { "abc", 3 }, true, true, true },
	{ "both empty", { "", 0 }, { NULL, 0 }, true, true, true },
	{ "prefix", { "abc", 3 }, { "ab", 2 }, false, false, true },
	{ "longer", { "ab", 2 }, { "abc", 3 }, false, false, false },
	{ "case differs", { "aBc", 3 }, { "AbC", 3 }, false, true, false },
	{ "not letters", { "a[", 2 }, { "a{", 2 }, false, false, false },
	{ "after a NUL", { "a\0b", 3 }, { "a\0c", 3 }, false, false, false },
	{ "case after a NUL", { "a\0b", 3 }, { "A\0B", 3 }, false, true, false },
	{ "not ASCII", { "\xc3\x84", 2 }, { "\xc3\xa4", 2 }, false, false, false },
	{ "empty prefix", { "abc", 3 }, { "", 0 }, false, false, true },
};

static void test_compare(void **state)
{
	const struct pair *p = *state;

	assert_int_equal(str_eq(p->a, p->b), p->eq);
	assert_int_equal(str_eq(p->b, p->a), p->eq);
	assert_int_equal(str_eq_nocase(p->a, p->b), p->eq_nocase);
	assert_int_equal(str_eq_nocase(p->b, p->a), p->eq_nocase);
	assert_int_equal(str_starts(p->a, p->b), p->starts);
}

static const struct {
	const char *name, *in, *out;
} trims[] = {
	{ "nothing to do", "a b", "a b" },
	{ "left", " \t a", "a" },
	{ "right", "a\t ", "a" },
	{ "both", " a b\t", "a b" },
	{ "empty", "", "" },
	{ "only blanks", " \t \t", "" },
	{ "newlines stay", "\na\n", "\na\n" },
};

static void test_trim(void **state)
{
	const char *const *row = *state;

	assert_true(str_eq(str_trim(str_of(row[1])), str_of(row[2])));
}

static const struct {
	const char *name;
	struct str in;
	char at;
	bool found;
	struct str head, rest;
} cuts[] = {
	{ "in the middle", { "a:b:c", 5 }, ':', true, { "a", 1 }, { "b:c", 3 } },
	{ "at the start", { ":b", 2 }, ':', true, { "", 0 }, { "b", 1 } },
	{ "at the end", { "a:", 2 }, ':', true, { "a", 1 }, { "", 0 } },
	{ "not there", { "abc", 3 }, ':', false, { "abc", 3 }, { "", 0 } },
	{ "empty", { "", 0 }, ':', false, { "", 0 }, { "", 0 } },
	{ "beyond the view", { "ab:", 2 }, ':', false, { "ab", 2 }, { "", 0 } },
	{ "at a NUL", { "a\0b", 3 }, '\0', true, { "a", 1 }, { "b", 1 } },
};

static void test_cut(void **state)
{
	__typeof__(&cuts[0]) c = *state;
	struct str head, rest, s = c->in;

	assert_int_equal(str_cut(c->in, c->at, &head, &rest), c->found);
	assert_true(str_eq(head, c->head));
	assert_true(str_eq(rest, c->rest));
	/* the input may be one of the outputs */
	assert_int_equal(str_cut(s, c->at, &head, &s), c->found);
	assert_true(str_eq(s, c->rest));
}

static void test_copy(void **state)
{
	char buf[4] = "zzz";

	(void)state;
	assert_true(str_copy(STR("abc"), buf, sizeof(buf)));
	assert_string_equal(buf, "abc");
	assert_false(str_copy(STR("abcd"), buf, sizeof(buf)));
	assert_string_equal(buf, "abc");
	assert_false(str_copy(STR("a\0b"), buf, sizeof(buf)));
	assert_true(str_copy(STR(""), buf, sizeof(buf)));
	assert_string_equal(buf, "");
	assert_true(str_copy((struct str){ NULL, 0 }, buf, 1));
	assert_false(str_copy(STR(""), buf, 0));
}

static const struct {
	const char *name, *in;
	uint64_t max;
	bool ok;
	uint64_t value;
	const char *rest;
} numbers[] = {
	{ "zero", "0", UINT64_MAX, true, 0, "" },
	{ "leading zeros", "007x", UINT64_MAX, true, 7, "x" },
	{ "the greatest", "18446744073709551615", UINT64_MAX, true, UINT64_MAX, "" },
	{ "one too many", "18446744073709551616", UINT64_MAX, false, 0, "" },
	{ "overflow by ten", "184467440737095516150", UINT64_MAX, false, 0, "" },
	{ "at the maximum", "99", 99, true, 99, "" },
	{ "over the maximum", "100", 99, false, 0, "" },
	{ "empty", "", UINT64_MAX, false, 0, "" },
	{ "plus", "+1", UINT64_MAX, false, 0, "" },
	{ "minus", "-1", UINT64_MAX, false, 0, "" },
	{ "blank", " 1", UINT64_MAX, false, 0, "" },
	{ "hexadecimal", "0x10", UINT64_MAX, true, 0, "x10" },
	{ "letters", "abc", UINT64_MAX, false, 0, "" },
};

static void test_scan_u64(void **state)
{
	__typeof__(&numbers[0]) c = *state;
	struct str in = str_of(c->in);
	uint64_t v = 42;

	assert_int_equal(scan_u64(&in, c->max, &v), c->ok);
	if (c->ok) {
		assert_int_equal(v, c->value);
		assert_true(str_eq(in, str_of(c->rest)));
	} else {
		assert_int_equal(v, 42);
		assert_ptr_equal(in.p, c->in);
		assert_int_equal(in.n, strlen(c->in));
	}
}

static void test_scan_char(void **state)
{
	struct str in = STR("ab");

	(void)state;
	assert_false(scan_char(&in, 'b'));
	assert_int_equal(in.n, 2);
	assert_true(scan_char(&in, 'a'));
	assert_false(scan_end(&in));
	assert_true(scan_char(&in, 'b'));
	assert_true(scan_end(&in));
	assert_false(scan_char(&in, '\0'));
}

static void test_hex(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x09, 0xaf, 0xff };
	char out[9] = "--------";

	(void)state;
	for (int c = 0; c < 256; c++) {
		const char *digits = "0123456789abcdef", *at;
		int lower = c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c;

		at = lower ? strchr(digits, lower) : NULL;
		assert_int_equal(hex_value((char)c), at ? at - digits : -1);
	}
	hex_lower(bytes, sizeof(bytes), out);
	assert_string_equal(out, "0009afff");
	hex_lower(bytes, 0, out);
	assert_string_equal(out, "0009afff");
}

static const struct {
	const char *name, *in;
	bool plus_is_space;
	const char *out; /* NULL: refused */
	size_t n;
} escapes[] = {
	{ "plain", "abc", false, "abc", 3 },
	{ "empty", "", false, "", 0 },
	{ "escapes", "%41%2f%2F", false, "A//", 3 },
	{ "a NUL", "a%00b", false, "a\0b", 3 },
	{ "plus", "a+b", false, "a+b", 3 },
	{ "plus as a space", "a+b%2b", true, "a b+", 4 },
	{ "decoded once", "%2541", false, "%41", 3 },
	{ "nothing after the sign", "%", false, NULL, 0 },
	{ "one digit", "a%4", false, NULL, 0 },
	{ "no digit first", "%g1", false, NULL, 0 },
	{ "no digit second", "%1g", false, NULL, 0 },
	{ "a sign for a digit", "%+1", false, NULL, 0 },
	{ "as long as the buffer", "12345678", false, "12345678", 8 },
	{ "longer than the buffer", "123456789", false, NULL, 0 },
	{ "an escape too far", "12345678%41", false, NULL, 0 },
};

static void test_percent_decode(void **state)
{
	__typeof__(&escapes[0]) c = *state;
	char buf[8];
	size_t n = 0;

	assert_int_equal(percent_decode(str_of(c->in), c->plus_is_space, buf, sizeof(buf), &n),
			 c->out != NULL);
	if (!c->out)
		return;
	assert_int_equal(n, c->n);
	assert_memory_equal(buf, c->out, c->n);
}

/* RFC 3629 4: the borders of each row of its grammar. */
static const struct {
	const char *name;
	struct str in;
	size_t n;
} sequences[] = {
	{ "empty", { "", 0 }, 0 },
	{ "ASCII", { "ab", 2 }, 1 },
	{ "NUL", { "\0", 1 }, 1 },
	{ "last of one byte", { "\x7f", 1 }, 1 },
	{ "tail alone", { "\x80", 1 }, 0 },
	{ "overlong of two bytes", { "\xc1\xbf", 2 }, 0 },
	{ "first of two bytes", { "\xc2\x80", 2 }, 2 },
	{ "last of two bytes", { "\xdf\xbf!", 3 }, 2 },
	{ "two bytes, cut", { "\xdf", 1 }, 0 },
	{ "two bytes, no tail", { "\xdf\x7f", 2 }, 0 },
	{ "two bytes, head for a tail", { "\xdf\xc0", 2 }, 0 },
	{ "overlong of three bytes", { "\xe0\x9f\xbf", 3 }, 0 },
	{ "first of three bytes", { "\xe0\xa0\x80", 3 }, 3 },
	{ "before the surrogates", { "\xed\x9f\xbf", 3 }, 3 },
	{ "first surrogate", { "\xed\xa0\x80", 3 }, 0 },
	{ "last surrogate", { "\xed\xbf\xbf", 3 }, 0 },
	{ "after the surrogates", { "\xee\x80\x80", 3 }, 3 },
	{ "last of three bytes", { "\xef\xbf\xbf", 3 }, 3 },
	{ "three bytes, cut", { "\xef\xbf", 2 }, 0 },
	{ "three bytes, bad tail", { "\xef\xbf!", 3 }, 0 },
	{ "overlong of four bytes", { "\xf0\x8f\xbf\xbf", 4 }, 0 },
	{ "first of four bytes", { "\xf0\x90\x80\x80", 4 }, 4 },
	{ "last of all", { "\xf4\x8f\xbf\xbf", 4 }, 4 },
	{ "beyond all", { "\xf4\x90\x80\x80", 4 }, 0 },
	{ "four bytes, cut", { "\xf0\x90\x80", 3 }, 0 },
	{ "four bytes, bad tail", { "\xf0\x90\x80\xc0", 4 }, 0 },
	{ "no head", { "\xf5\x80\x80\x80", 4 }, 0 },
	{ "never a byte", { "\xff", 1 }, 0 },
};

static void test_utf8(void **state)
{
	__typeof__(&sequences[0]) c = *state;

	assert_int_equal(utf8_len(c->in), c->n);
}

static void test_sbuf_grows(void **state)
{
	struct sbuf b;
	char *taken;

	(void)state;
	sbuf_init(&b, 1000);
	for (unsigned i = 0; i < 100; i++)
		sbuf_addf(&b, "%010u", i);
	assert_false(b.failed);
	assert_int_equal(b.n, 1000);
	assert_memory_equal(b.p + 990, "0000000099", 11); /* with its NUL */
	taken = sbuf_take(&b);
	assert_int_equal(strlen(taken), 1000);
	assert_int_equal(b.n, 0);
	assert_null(b.p);
	free(taken);
	sbuf_add_str(&b, STR("again"));
	assert_string_equal(b.p, "again");
	sbuf_clear(&b);
	assert_int_equal(b.max, 1000);
}

static void test_sbuf_limit(void **state)
{
	AUTO_SBUF b;

	(void)state;
	sbuf_init(&b, 4);
	sbuf_add(&b, "abcd", 4);
	assert_false(b.failed);
	sbuf_add(&b, "e", 1);
	assert_true(b.failed);
	assert_int_equal(b.n, 4);
	sbuf_add(&b, "", 0); /* T2: sticky, even for what would fit */
	assert_true(b.failed);
	assert_false(sbuf_reserve(&b, 0));
	sbuf_clear(&b);
	assert_false(b.failed);
	sbuf_addf(&b, "%s", "abcde");
	assert_true(b.failed);
	assert_int_equal(b.n, 0);
}

static void test_sbuf_sizes(void **state)
{
	struct sbuf b;

	(void)state;
	sbuf_init(&b, 0);
	sbuf_add(&b, NULL, 0);
	assert_false(b.failed);
	assert_string_equal(b.p, "");
	sbuf_clear(&b);
	sbuf_init(&b, SIZE_MAX);
	assert_int_equal(b.max, SBUF_MAX);
	assert_false(sbuf_reserve(&b, SIZE_MAX)); /* sizes that would wrap */
	sbuf_clear(&b);
	assert_false(sbuf_reserve(&b, SBUF_MAX + 1));
	sbuf_clear(&b);
	assert_false(sbuf_reserve(&b, SBUF_MAX / 2)); /* no machine has that much */
	assert_true(b.failed);
	sbuf_clear(&b);
	assert_true(sbuf_reserve(&b, 5000));
	assert_in_range(b.cap, 5001, 10002);
	assert_int_equal(b.n, 0);
	sbuf_clear(&b);
}

static void test_free_ptr(void **state)
{
	AUTO_FREE char *p = strdup("freed at the end"), *none = NULL;

	(void)state;
	assert_non_null(p);
	assert_null(none);
}

static void test_add_percent(void **state)
{
	AUTO_SBUF b = { .max = 100 };
	char back[100];
	size_t n;

	(void)state;
	sbuf_add_percent(&b, STR("aZ0-._~/:@ *?&=+%\"<>\n\xc3\xa9\0"), PERCENT_QUERY);
	assert_string_equal(b.p, "aZ0-._~/:@%20%2A%3F%26%3D%2B%25%22%3C%3E%0A%C3%A9%00");
	assert_true(percent_decode((struct str){ b.p, b.n }, false, back, sizeof(back), &n));
	assert_int_equal(n, 24);
	sbuf_clear(&b);
	sbuf_add_percent(&b, STR("a-/:@\0"), "");
	assert_string_equal(b.p, "a-%2F%3A%40%00");
}

int main(void)
{
	unit_case("str_of", test_str_of);
	UNIT_TABLE("compare", test_compare, pairs);
	UNIT_TABLE("trim", test_trim, trims);
	UNIT_TABLE("cut", test_cut, cuts);
	unit_case("str_copy", test_copy);
	UNIT_TABLE("scan_u64", test_scan_u64, numbers);
	unit_case("scan_char and scan_end", test_scan_char);
	unit_case("hex", test_hex);
	UNIT_TABLE("percent_decode", test_percent_decode, escapes);
	unit_case("sbuf_add_percent", test_add_percent);
	UNIT_TABLE("UTF-8", test_utf8, sequences);
	unit_case("sbuf grows and gives its bytes away", test_sbuf_grows);
	unit_case("sbuf stops at its maximum for good", test_sbuf_limit);
	unit_case("sbuf with sizes at the border", test_sbuf_sizes);
	unit_case("AUTO_FREE", test_free_ptr);
	return unit_run();
}
