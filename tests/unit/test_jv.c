#include "base/jv.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define DEPTH 8

static struct jv *parsed(struct str in)
{
	struct jv *v = NULL;
	struct err e;

	assert_ok(jv_parse_object(in, DEPTH, &v, &e), &e);
	return v;
}

static void assert_dump(const struct jv *v, const char *want)
{
	AUTO_SBUF b;

	sbuf_init(&b, 4096);
	jv_dump(v, &b);
	assert_false(b.failed);
	assert_string_equal(b.p, want);
}

#define BAD(name, text, message)                                                                   \
	{                                                                                          \
		(name), { (text), sizeof(text) - 1 }, (message)                                    \
	}

static const struct {
	const char *name;
	struct str in;
	const char *message;
} refused[] = {
	BAD("nothing", "", "not valid JSON"),
	BAD("blanks", " \n", "not valid JSON"),
	BAD("array", "[]", "not an object"),
	BAD("string", "\"a\"", "not valid JSON"),
	BAD("number", "1", "not valid JSON"),
	BAD("duplicate key", "{\"a\":1,\"a\":1}", "duplicate"),
	BAD("duplicate key by escape", "{\"a\":1,\"\\u0061\":1}", "duplicate"),
	BAD("duplicate key within", "{\"b\":[{\"a\":1,\"a\":2}]}", "duplicate"),
	BAD("bytes after the value", "{} x", "not valid JSON"),
	BAD("second value", "{}{}", "not valid JSON"),
	BAD("NUL after the value", "{}\0", "not valid JSON"),
	BAD("NUL in a string", "{\"a\":\"x\0y\"}", "not valid JSON"),
	BAD("escaped NUL", "{\"a\":\"x\\u0000y\"}", "not valid JSON"),
	BAD("escaped NUL in a key", "{\"a\\u0000\":1}", "not valid JSON"),
	BAD("bad UTF-8", "{\"a\":\"\xff\"}", "not valid JSON"),
	BAD("cut UTF-8", "{\"a\":\"\xc3\"}", "not valid JSON"),
	BAD("overlong UTF-8", "{\"a\":\"\xc0\xaf\"}", "not valid JSON"),
	BAD("surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", "not valid JSON"),
	BAD("beyond Unicode", "{\"a\":\"\xf4\x90\x80\x80\"}", "not valid JSON"),
	BAD("lone high surrogate", "{\"a\":\"\\ud800\"}", "not valid JSON"),
	BAD("lone low surrogate", "{\"a\":\"\\udc00\"}", "not valid JSON"),
	BAD("two high surrogates", "{\"a\":\"\\ud800\\ud800\"}", "not valid JSON"),
	BAD("byte order mark", "\xef\xbb\xbf{}", "not valid JSON"),
	BAD("raw control byte", "{\"a\":\"\x01\"}", "not valid JSON"),
	BAD("raw newline", "{\"a\":\"\n\"}", "not valid JSON"),
	BAD("unknown escape", "{\"a\":\"\\x41\"}", "not valid JSON"),
	BAD("single quotes", "{'a':1}", "not valid JSON"),
	BAD("comment", "{/**/}", "not valid JSON"),
	BAD("comma at the end", "{\"a\":1,}", "not valid JSON"),
	BAD("no comma", "{\"a\":1 \"b\":2}", "not valid JSON"),
	BAD("no value", "{\"a\":}", "not valid JSON"),
	BAD("key that is none", "{1:2}", "not valid JSON"),
	BAD("not closed", "{\"a\":1", "not valid JSON"),
	BAD("string not closed", "{\"a", "not valid JSON"),
	BAD("string that ends in a backslash", "{\"a\\", "not valid JSON"),
	BAD("leading zero", "{\"a\":01}", "not valid JSON"),
	BAD("plus", "{\"a\":+1}", "not valid JSON"),
	BAD("NaN", "{\"a\":NaN}", "not valid JSON"),
	BAD("integer beyond 63 bits", "{\"a\":9223372036854775808}", "not valid JSON"),
	BAD("integer far beyond", "{\"a\":-99999999999999999999}", "not valid JSON"),
	BAD("real beyond double", "{\"a\":1e999}", "not valid JSON"),
	BAD("TRUE", "{\"a\":TRUE}", "not valid JSON"),
	BAD("too deep", "{\"a\":[[[[[[[[1]]]]]]]]}", "nested deeper than 8"),
	BAD("too deep and not closed", "{\"a\":[[[[[[[[[[[[[[", "nested deeper than 8"),
};

static void test_refused(void **state)
{
	__typeof__(&refused[0]) c = *state;
	struct jv *v = NULL;
	struct err e;

	assert_err(jv_parse_object(c->in, DEPTH, &v, &e), ERR_INVALID, &e, c->message);
	assert_null(v);
}

/* The exact text is of the library; where it stands is for people. */
static void test_position(void **state)
{
	struct jv *v = NULL;
	struct err e;

	(void)state;
	assert_err(jv_parse_object(STR("{\"a\":1,\"b\":?}"), DEPTH, &v, &e), ERR_INVALID, &e,
		   "byte 1");
}

static const struct {
	const char *name, *in, *out;
} taken[] = {
	{ "empty object", " {\n}\t", "{}" },
	{ "as deep as allowed", "{\"a\":[[[[[[[1]]]]]]]}", "{\"a\":[[[[[[[1]]]]]]]}" },
	{ "brackets in a string", "{\"a\":\"[[[[[[[[[{{{\"}", "{\"a\":\"[[[[[[[[[{{{\"}" },
	{ "escaped quote before brackets", "{\"a\":\"\\\"[[[[[[[[[[\"}",
	  "{\"a\":\"\\\"[[[[[[[[[[\"}" },
	{ "closing brackets too many in a string", "{\"]]\":\"}\"}", "{\"]]\":\"}\"}" },
	{ "side by side", "{\"a\":[[],[],[],[],[],[],[],[],[]]}",
	  "{\"a\":[[],[],[],[],[],[],[],[],[]]}" },
	{ "greatest integer", "{\"a\":9223372036854775807}", "{\"a\":9223372036854775807}" },
	{ "surrogate pair", "{\"a\":\"\\ud83d\\ude00\"}", "{\"a\":\"\xf0\x9f\x98\x80\"}" },
	{ "same key on two levels", "{\"a\":{\"a\":1}}", "{\"a\":{\"a\":1}}" },
	{ "order of keys is kept", "{\"b\":1,\"a\":2}", "{\"b\":1,\"a\":2}" },
};

static void test_taken(void **state)
{
	__typeof__(&taken[0]) c = *state;
	AUTO_JV *v = parsed(str_of(c->in));

	assert_dump(v, c->out);
}

static void test_reading(void **state)
{
	AUTO_JV *v = parsed(STR("{\"s\":\"text\",\"e\":\"\",\"n\":7,\"z\":0,\"m\":-1,\"r\":1.0,"
				"\"a\":[1,2],\"o\":{},\"x\":null,\"t\":true}"));
	struct str s = STR("untouched");
	uint64_t n = 42;

	(void)state;
	assert_true(jv_text(jv_member(v, "s"), &s));
	assert_str(s, "text");
	assert_true(jv_text(jv_member(v, "e"), &s));
	assert_int_equal(s.n, 0);
	assert_true(jv_uint(jv_member(v, "n"), &n));
	assert_int_equal(n, 7);
	assert_true(jv_uint(jv_member(v, "z"), &n));
	assert_int_equal(n, 0);
	s = STR("untouched");
	n = 42;
	assert_false(jv_text(jv_member(v, "n"), &s));
	assert_false(jv_text(jv_member(v, "x"), &s));
	assert_false(jv_text(jv_member(v, "none"), &s));
	assert_false(jv_text(NULL, &s));
	assert_str(s, "untouched");
	assert_false(jv_uint(jv_member(v, "m"), &n));
	assert_false(jv_uint(jv_member(v, "r"), &n));
	assert_false(jv_uint(jv_member(v, "s"), &n));
	assert_false(jv_uint(jv_member(v, "t"), &n));
	assert_false(jv_uint(NULL, &n));
	assert_int_equal(n, 42);
	assert_true(jv_is_object(v) && jv_is_object(jv_member(v, "o")));
	assert_false(jv_is_object(jv_member(v, "a")) || jv_is_object(NULL));
	assert_true(jv_is_array(jv_member(v, "a")));
	assert_false(jv_is_array(v) || jv_is_array(NULL));
	assert_int_equal(jv_count(jv_member(v, "a")), 2);
	assert_int_equal(jv_count(v), 0);
	assert_int_equal(jv_count(NULL), 0);
	assert_true(jv_uint(jv_at(jv_member(v, "a"), 1), &n));
	assert_int_equal(n, 2);
	assert_null(jv_at(jv_member(v, "a"), 2));
	assert_null(jv_at(v, 0));
	assert_null(jv_at(NULL, 0));
	assert_null(jv_member(v, "none"));
	assert_null(jv_member(NULL, "a"));
	assert_null(jv_member(jv_member(v, "a"), "a"));
}

static void test_next(void **state)
{
	AUTO_JV *v = parsed(STR("{\"one\":1,\"two\":2,\"three\":3}"));
	static const char *const names[] = { "one", "two", "three" };
	void *iter = NULL;
	const char *key;
	const struct jv *value;
	uint64_t n, i = 0;

	(void)state;
	while (jv_next(v, &iter, &key, &value)) {
		assert_in_range(i, 0, 2);
		assert_string_equal(key, names[i]);
		assert_true(jv_uint(value, &n));
		assert_int_equal(n, ++i);
	}
	assert_int_equal(i, 3);
	iter = NULL;
	assert_false(jv_next(NULL, &iter, &key, &value));
	assert_false(jv_next(jv_member(v, "one"), &iter, &key, &value));
}

static void test_pack(void **state)
{
	AUTO_JV *v =
	    jv_pack("{s:s, s:I, s:s%}", "a", "x\"y\n", "n", 5LL, "part", "abcdef", (size_t)3);

	(void)state;
	assert_dump(v, "{\"a\":\"x\\\"y\\n\",\"n\":5,\"part\":\"abc\"}");
	assert_null(jv_pack("{s:s}", "a", "\xff"));
	assert_null(jv_pack("{s:s}", "a", NULL));
	/* "o" is consumed whatever happens: no leak, no double free (ASan, valgrind) */
	assert_null(jv_pack("{s:o, s:s}", "a", jv_new_array(), "b", "\xff"));
	assert_null(jv_pack("{s:s, s:o}", "b", "\xff", "a", jv_new_array()));
	assert_null(jv_pack("{s:o, s:o}", "a", jv_new_array(), "b", NULL));
}

static void test_append_and_set(void **state)
{
	AUTO_JV *list = jv_new_array(), *object = jv_pack("{}"), *text = jv_pack("s", "x");

	(void)state;
	assert_true(jv_append(list, jv_pack("i", 1)));
	assert_true(jv_append(list, jv_pack("s", "two")));
	assert_dump(list, "[1,\"two\"]");
	assert_true(jv_set(object, "list", TAKE(list)));
	assert_true(jv_set(object, "n", jv_pack("i", 1)));
	assert_true(jv_set(object, "n", jv_pack("i", 2))); /* replaces */
	assert_dump(object, "{\"list\":[1,\"two\"],\"n\":2}");
	/* failures consume what they are given */
	assert_false(jv_append(object, jv_pack("i", 1)));
	assert_false(jv_append(text, jv_new_array()));
	assert_false(jv_append(NULL, jv_new_array()));
	assert_false(jv_set(text, "a", jv_new_array()));
	assert_false(jv_set(NULL, "a", jv_new_array()));
	assert_false(jv_set(object, "\xff", jv_new_array()));
	assert_false(jv_set(object, "a", NULL));
	list = jv_new_array();
	assert_false(jv_append(list, NULL));
	assert_int_equal(jv_count(list), 0);
	assert_dump(object, "{\"list\":[1,\"two\"],\"n\":2}");
}

static void test_share(void **state)
{
	AUTO_JV *whole = parsed(STR("{\"a\":{\"b\":1}}")), *part = jv_share(jv_member(whole, "a"));

	(void)state;
	assert_ptr_equal(part, jv_member(whole, "a"));
	jv_free(&whole);
	assert_null(whole);
	assert_dump(part, "{\"b\":1}");
	assert_null(jv_share(NULL));
	jv_free(&whole); /* NULL is let be */
}

static void test_array(void **state)
{
	AUTO_JV *v = NULL;
	struct err e;

	(void)state;
	assert_ok(jv_parse_array(STR("[\"a\",[1]]"), 2, &v, &e), &e);
	assert_dump(v, "[\"a\",[1]]");
	jv_free(&v);
	assert_err(jv_parse_array(STR("{}"), 2, &v, &e), ERR_INVALID, &e, "not an array");
	assert_err(jv_parse_array(STR("[[[]]]"), 2, &v, &e), ERR_INVALID, &e, "deeper");
	assert_null(v);
}

/* What is written can be read, and texts stay texts. */
static void test_wide(void **state)
{
	static const char text[] = "{\"a\":18446744073709551615,\"b\":[9223372036854775808,1],"
				   "\"c\":9223372036854775807,\"d\":\"18446744073709551615\"}";
	AUTO_JV *made = jv_pack("{s:o, s:[o,i], s:o, s:s}", "a", jv_new_u64(UINT64_MAX), "b",
				jv_new_u64(UINT64_C(1) << 63), 1, "c", jv_new_u64(INT64_MAX), "d",
				"18446744073709551615");
	AUTO_JV *read = NULL;
	uint64_t n = 0;
	struct err e;

	(void)state;
	assert_dump(made, text);
	assert_ok(jv_parse_object_u64(str_of(text), 4, &read, &e), &e);
	assert_true(jv_u64(jv_member(read, "a"), &n));
	assert_int_equal(n, UINT64_MAX);
	assert_dump(read, text);
}

static void test_dump_fails(void **state)
{
	AUTO_JV *v = parsed(STR("{\"a\":\"0123456789\"}"));
	AUTO_SBUF b;

	(void)state;
	sbuf_init(&b, 10);
	jv_dump(v, &b);
	assert_true(b.failed);
	sbuf_clear(&b);
	jv_dump(NULL, &b);
	assert_true(b.failed);
}

int main(void)
{
	UNIT_TABLE("refused", test_refused, refused);
	unit_case("refused with the position", test_position);
	UNIT_TABLE("taken", test_taken, taken);
	unit_case("reading", test_reading);
	unit_case("members one by one", test_next);
	unit_case("pack", test_pack);
	unit_case("append and set", test_append_and_set);
	unit_case("share", test_share);
	unit_case("an array", test_array);
	unit_case("integers over 2^63", test_wide);
	unit_case("dump that fails", test_dump_fails);
	return unit_run();
}
