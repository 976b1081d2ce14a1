#include "base/refname.h"
#include "tests/lib/unit.h"

struct row {
	const char *name, *text;
	bool valid;
};

static const struct row repos[] = {
	{ "one letter", "a", true },
	{ "digits", "0", true },
	{ "components", "library/alpine/v2", true },
	{ "dot", "a.b", true },
	{ "underscore", "a_b", true },
	{ "two underscores", "a__b", true },
	{ "hyphens", "a---b", true },
	{ "all separators", "a.b_c__d-e--f", true },
	{ "name of an endpoint", "a/blobs/uploads", true },
	{ "empty", "", false },
	{ "upper case", "Alpine", false },
	{ "upper case later", "alpinE", false },
	{ "three underscores", "a___b", false },
	{ "two dots", "a..b", false },
	{ "dot and hyphen", "a.-b", false },
	{ "hyphen and underscore", "a-_b", false },
	{ "separator first", "-a", false },
	{ "separator last", "a-", false },
	{ "underscores last", "a__", false },
	{ "dot last", "a.", false },
	{ "slash first", "/a", false },
	{ "slash last", "a/", false },
	{ "empty component", "a//b", false },
	{ "separator before a slash", "a-/b", false },
	{ "separator after a slash", "a/-b", false },
	{ "dot component", "a/./b", false },
	{ "parent component", "a/../b", false },
	{ "blank", "a b", false },
	{ "newline", "a\n", false },
	{ "colon", "a:b", false },
	{ "percent", "a%2fb", false },
	{ "not ASCII", "\xc3\xa4", false },
};

static void test_repo(void **state)
{
	const struct row *c = *state;
	struct repo_name r = { .len = 77 };

	assert_int_equal(repo_name_parse(&r, str_of(c->text)), c->valid);
	if (!c->valid) {
		assert_int_equal(r.len, 77);
		return;
	}
	assert_string_equal(r.s, c->text);
	assert_true(str_eq(repo_name_str(&r), str_of(c->text)));
}

static const struct row tags[] = {
	{ "one letter", "a", true },      { "version", "v1.2.3-rc.1_x", true },
	{ "upper case", "LATEST", true }, { "underscore first", "_a", true },
	{ "digits", "2024", true },       { "ends with separators", "a.-_", true },
	{ "empty", "", false },           { "dot first", ".a", false },
	{ "hyphen first", "-a", false },  { "slash", "a/b", false },
	{ "colon", "a:b", false },        { "plus", "a+b", false },
	{ "blank", "a b", false },        { "newline", "a\n", false },
	{ "not ASCII", "a\xff", false },
};

static void test_tag(void **state)
{
	const struct row *c = *state;
	struct tag_name t = { .len = 77 };

	assert_int_equal(tag_name_parse(&t, str_of(c->text)), c->valid);
	if (!c->valid) {
		assert_int_equal(t.len, 77);
		return;
	}
	assert_string_equal(t.s, c->text);
	assert_true(str_eq(tag_name_str(&t), str_of(c->text)));
}

static void test_repo_length(void **state)
{
	char text[REPO_NAME_MAX + 1];
	struct repo_name r;

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_true(repo_name_parse(&r, (struct str){ text, REPO_NAME_MAX }));
	assert_int_equal(r.len, 255);
	assert_int_equal(r.s[255], '\0');
	assert_false(repo_name_parse(&r, (struct str){ text, REPO_NAME_MAX + 1 }));
	/* as many components as there can be */
	for (size_t i = 1; i < sizeof(text); i += 2)
		text[i] = '/';
	assert_true(repo_name_parse(&r, (struct str){ text, REPO_NAME_MAX }));
	assert_false(repo_name_parse(&r, (struct str){ text, REPO_NAME_MAX - 1 }));
}

static void test_tag_length(void **state)
{
	char text[TAG_NAME_MAX + 1];
	struct tag_name t;

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_true(tag_name_parse(&t, (struct str){ text, TAG_NAME_MAX }));
	assert_int_equal(t.len, 128);
	assert_int_equal(t.s[128], '\0');
	assert_false(tag_name_parse(&t, (struct str){ text, TAG_NAME_MAX + 1 }));
}

/* Every single byte, alone and after a letter: the grammars, spelt out. */
static void test_bytes(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		char one[1] = { (char)c }, two[2] = { 'a', (char)c };
		bool lower = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		bool word = lower || (c >= 'A' && c <= 'Z') || c == '_';
		struct repo_name r;
		struct tag_name t;

		assert_int_equal(repo_name_parse(&r, (struct str){ one, 1 }), lower);
		assert_int_equal(repo_name_parse(&r, (struct str){ two, 2 }), lower);
		assert_int_equal(tag_name_parse(&t, (struct str){ one, 1 }), word);
		assert_int_equal(tag_name_parse(&t, (struct str){ two, 2 }),
				 word || c == '.' || c == '-');
	}
}

int main(void)
{
	UNIT_TABLE("repository", test_repo, repos);
	UNIT_TABLE("tag", test_tag, tags);
	unit_case("repository of 255 and 256 bytes", test_repo_length);
	unit_case("tag of 128 and 129 bytes", test_tag_length);
	unit_case("each byte", test_bytes);
	return unit_run();
}
