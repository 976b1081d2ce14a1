#include "base/glob.h"

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static const struct {
	const char *name, *pattern;
	const char *yes[6], *no[8];
} globs[] = {
	{ "plain", "a/b", { "a/b" }, { "a", "a/b/c", "a/bc", "xa/b", "A/b", "", "a/B" } },
	{ "star", "a/*", { "a/b", "a/bcd" }, { "a", "a/b/c", "b/a", "ab/c", "aa/b", "a-evil/x" } },
	{ "star within", "a*c", { "ac", "abc", "abbc" }, { "a/c", "ab", "abcd", "xac" } },
	{ "stars", "a*b*c", { "abc", "axbyc", "abbc", "abcbc" }, { "acb", "ab", "abcx", "a/bc" } },
	{ "star first", "*-dev", { "a-dev", "-dev", "a-dev-dev" }, { "dev", "a-de", "x/a-dev" } },
	{ "question mark", "v?", { "v1", "vv" }, { "v", "v12", "v/", "1v" } },
	{ "question marks", "?b/?", { "ab/c", "bb/b" }, { "b/b", "abc/d", "ab/cd", "ab" } },
	{ "everything", "**", { "a", "a/b", "a/b/c" }, { NULL } },
	{ "below", "a/**", { "a/b", "a/b/c" }, { "a", "ab/c", "b/a/c", "a-evil/x" } },
	{ "at any depth", "**/x", { "x", "a/x", "a/b/x", "x/x" }, { "ax", "x/a", "a/xb", "a" } },
	{ "between",
	  "a/**/z",
	  { "a/z", "a/b/z", "a/b/c/z", "a/z/z" },
	  { "a", "az", "a/zz", "z/a/z", "a/b" } },
	{ "twice",
	  "**/a/**",
	  { "a/b", "x/a/b", "a/a", "x/y/a/b/c" },
	  { "a", "x/a", "b/c", "xa/b" } },
	{ "back to the last",
	  "**/a/b",
	  { "a/b", "a/a/b", "a/b/a/b", "a/c/a/b" },
	  { "a/b/a", "a/a", "b" } },
	{ "mixed",
	  "t-*/**/v?",
	  { "t-/v1", "t-x/v2", "t-x/y/v3" },
	  { "t/v1", "t-x/y", "t-x/y/v", "t-x" } },
	{ "dots are no paths", "a/..", { "a/.." }, { "a", "a/b" } },
	{ "a star has no slash", "*", { "a", "abc" }, { "a/b", "/", "a/" } },
};

static void test_match(void **state)
{
	__typeof__(&globs[0]) g = *state;
	const char *why;

	assert_true(glob_is_valid(str_of(g->pattern), &why));
	for (size_t i = 0; i < ARRAY_LEN(g->yes) && g->yes[i]; i++) {
		if (!glob_match(str_of(g->pattern), str_of(g->yes[i])))
			fail_msg("%s does not match %s", g->pattern, g->yes[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(g->no) && g->no[i]; i++) {
		if (glob_match(str_of(g->pattern), str_of(g->no[i])))
			fail_msg("%s matches %s", g->pattern, g->no[i]);
	}
}

static const struct {
	const char *name, *pattern, *why;
} bad[] = {
	{ "empty", "", "is empty" },
	{ "slash first", "/a", "empty component" },
	{ "slash last", "a/", "empty component" },
	{ "slash twice", "a//b", "empty component" },
	{ "only a slash", "/", "empty component" },
	{ "stars before letters", "**a", "beside other characters" },
	{ "stars after letters", "a/b**", "beside other characters" },
	{ "three stars", "***", "beside other characters" },
	{ "twice in a row", "**/**", "twice in a row" },
};

static void test_bad(void **state)
{
	__typeof__(&bad[0]) b = *state;
	const char *why = NULL;

	assert_false(glob_is_valid(str_of(b->pattern), &why));
	assert_non_null(strstr(why, b->why));
}

static void test_length(void **state)
{
	char long_one[GLOB_MAX + 1];
	const char *why;

	(void)state;
	memset(long_one, 'a', sizeof(long_one));
	assert_true(glob_is_valid((struct str){ long_one, GLOB_MAX }, &why));
	assert_false(glob_is_valid((struct str){ long_one, GLOB_MAX + 1 }, &why));
}

static const struct {
	const char *name, *pattern;
	size_t n;
} literals[] = {
	{ "all of it", "a/b", 3 },     { "up to a star", "a/b*", 3 }, { "up to stars", "a/**", 2 },
	{ "up to a mark", "a?/b", 1 }, { "nothing", "**", 0 },
};

static void test_literal(void **state)
{
	__typeof__(&literals[0]) l = *state;

	assert_int_equal(glob_literal(str_of(l->pattern)), l->n);
}

/* Every way of matching, tried one after the other: what glob_match must agree with. */
static bool slow_match(const char *p, const char *s, bool start)
{
	if (start && strcmp(p, "**") == 0)
		return *s != '\0';
	if (start && strncmp(p, "**/", 3) == 0) {
		for (; s; s = strchr(s, '/') ? strchr(s, '/') + 1 : NULL) {
			if (slow_match(p + 3, s, true))
				return true;
		}
		return false;
	}
	if (*p == '\0')
		return *s == '\0';
	if (*p == '*')
		return slow_match(p + 1, s, false) ||
		       (*s && *s != '/' && slow_match(p, s + 1, false));
	if (!*s || (*p == '?' ? *s == '/' : *p != *s))
		return false;
	return slow_match(p + 1, s + 1, *p == '/');
}

/* All names of up to five letters of "ab/" against all patterns of up to five of "ab/?*". */
static void each_text(const char *letters, unsigned n_max, void (*fn)(const char *text, void *arg),
		      void *arg)
{
	char text[8];
	size_t n_letters = strlen(letters);

	for (unsigned n = 1; n <= n_max; n++) {
		unsigned long count = 1;

		for (unsigned i = 0; i < n; i++)
			count *= n_letters;
		for (unsigned long v = 0; v < count; v++) {
			unsigned long rest = v;

			for (unsigned i = 0; i < n; i++, rest /= n_letters)
				text[i] = letters[rest % n_letters];
			text[n] = '\0';
			fn(text, arg);
		}
	}
}

static void check_pair(const char *name, void *arg)
{
	const char *pattern = arg;

	if (name[0] == '/' || name[strlen(name) - 1] == '/' || strstr(name, "//"))
		return;
	if (glob_match(str_of(pattern), str_of(name)) != slow_match(pattern, name, true))
		fail_msg("%s against %s", pattern, name);
}

static void check_pattern(const char *pattern, void *arg)
{
	const char *why;

	(void)arg;
	if (glob_is_valid(str_of(pattern), &why))
		each_text("ab/", 5, check_pair, (void *)(uintptr_t)pattern);
}

static void test_model(void **state)
{
	(void)state;
	each_text("a/?*", 6, check_pattern, NULL);
}

/* P2: what makes others try for ever. */
static void test_hard(void **state)
{
	char pattern[GLOB_MAX], name[256];

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(pattern); i += 2)
		memcpy(pattern + i, "*a", 2);
	memset(name, 'a', sizeof(name));
	name[254] = 'b';
	assert_false(glob_match((struct str){ pattern, 400 }, (struct str){ name, 255 }));
	for (size_t i = 0; i + 4 < sizeof(pattern); i += 5)
		memcpy(pattern + i, "**/a/", 5);
	for (size_t i = 0; i + 1 < sizeof(name); i += 2)
		memcpy(name + i, "a/", 2);
	name[254] = 'b';
	assert_false(glob_match((struct str){ pattern, 399 }, (struct str){ name, 255 }));
}

int main(void)
{
	UNIT_TABLE("matches", test_match, globs);
	UNIT_TABLE("refused", test_bad, bad);
	UNIT_TABLE("literal start", test_literal, literals);
	unit_case("length of a pattern", test_length);
	unit_case("agrees with a slow matcher", test_model);
	unit_case("patterns that are hard on others", test_hard);
	return unit_run();
}
