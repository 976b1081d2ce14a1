#include "base/base64.h"
#include "tests/lib/unit.h"

static const struct {
	const char *name, *bytes, *text;
} pairs[] = {
	/* RFC 4648 section 10 */
	{ "nothing", "", "" },
	{ "f", "f", "Zg==" },
	{ "fo", "fo", "Zm8=" },
	{ "foo", "foo", "Zm9v" },
	{ "foob", "foob", "Zm9vYg==" },
	{ "fooba", "fooba", "Zm9vYmE=" },
	{ "foobar", "foobar", "Zm9vYmFy" },
	{ "both odd characters", "\xfb\xff", "+/8=" },
};

static void test_pair(void **state)
{
	const struct {
		const char *name, *bytes, *text;
	} *c = *state;
	AUTO_SBUF out;

	sbuf_init(&out, 100);
	sbuf_add(&out, "<", 1);
	sbuf_add_base64(&out, str_of(c->bytes));
	assert_string_equal(out.p + 1, c->text);
	out.n = 1;
	assert_true(sbuf_add_base64_decoded(&out, str_of(c->text)));
	assert_string_equal(out.p + 1, c->bytes);
}

static const struct {
	const char *name, *text;
} refused[] = {
	{ "three characters", "Zm9" },
	{ "padding alone", "====" },
	{ "padding first", "=Zm9" },
	{ "padding within", "Zg==Zg==" },
	{ "three signs", "Z===" },
	{ "newline", "Zm9v\n" },
	{ "blank", "Zm 9" },
	{ "other alphabet", "-_8=" },
	{ "bits that are not zero", "Zh==" },
	{ "more such bits", "Zm9=" },
};

static void test_refused(void **state)
{
	const struct {
		const char *name, *text;
	} *c = *state;
	AUTO_SBUF out;

	sbuf_init(&out, 100);
	sbuf_add(&out, "before", 6);
	assert_false(sbuf_add_base64_decoded(&out, str_of(c->text)));
	assert_string_equal(out.p, "before");
	assert_int_equal(out.n, 6);
}

static void test_all_bytes(void **state)
{
	char bytes[256];
	AUTO_SBUF text, back;

	(void)state;
	sbuf_init(&text, 1000);
	sbuf_init(&back, 1000);
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)i;
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		text.n = back.n = 0;
		sbuf_add_base64(&text, (struct str){ bytes, n });
		assert_int_equal(text.n, (n + 2) / 3 * 4);
		assert_true(sbuf_add_base64_decoded(&back, (struct str){ text.p, text.n }));
		assert_true(str_eq((struct str){ back.p, back.n }, (struct str){ bytes, n }));
	}
	assert_false(sbuf_add_base64_decoded(&back, (struct str){ "Zm\0v", 4 }));
}

static void test_limit(void **state)
{
	AUTO_SBUF out;

	(void)state;
	sbuf_init(&out, 7);
	sbuf_add_base64(&out, STR("foobar"));
	assert_true(out.failed);
}

int main(void)
{
	UNIT_TABLE("there and back", test_pair, pairs);
	UNIT_TABLE("refused", test_refused, refused);
	unit_case("all bytes at all lengths", test_all_bytes);
	unit_case("over the limit", test_limit);
	return unit_run();
}
