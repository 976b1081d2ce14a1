#include "server/conf_table.h"

#include "tests/lib/conf_fixture.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static void test_values(void **state)
{
	struct conf c;
	struct err e;

	(void)state;
	assert_ok(LOAD(&c, &e, "--log.access=no", "--http.insecure", "--gc.lease", "36h",
		       "--log.level=debug", "--index.map_size=3G", "--http.min_rate=0"),
		  &e);
	assert_false(c.log_access);
	assert_true(c.http_insecure);
	assert_int_equal(c.gc_lease_ms, 36u * 3600 * 1000);
	assert_int_equal(c.log_level, LOG_DEBUG);
	assert_int_equal(c.index_map_size, (uint64_t)3 << 30);
	assert_int_equal(c.http_min_rate, 0);
	assert_string_equal(c.root.p, "./berth-data");
	conf_clear(&c);
	assert_null(c.root.p);
	conf_clear(&c);
	assert_ok(LOAD(&c, &e, "--root=a", "--root=b"), &e); /* the last one counts */
	assert_string_equal(c.root.p, "b");
	conf_clear(&c);
}

static const struct {
	const char *name, *word;
	bool value;
} words[] = {
	{ "true", "true", true },    { "on", "on", true },    { "yes", "yes", true },
	{ "false", "false", false }, { "off", "off", false }, { "no", "no", false },
};

static void test_words(void **state)
{
	__typeof__(&words[0]) w = *state;
	char flag[64];
	struct conf c;
	struct err e;

	(void)snprintf(flag, sizeof(flag), "--http.insecure=%s", w->word);
	assert_ok(LOAD(&c, &e, flag), &e);
	assert_int_equal(c.http_insecure, w->value);
	conf_clear(&c);
}

static const struct {
	const char *name;
	const char *args[3];
	const char *message;
} arguments[] = {
	{ "a word", { "serve" }, "unexpected argument \"serve\"" },
	{ "one dash", { "-root=a" }, "unexpected argument \"-root=a\"" },
	{ "two dashes", { "--" }, "unexpected argument \"--\"" },
	{ "empty", { "" }, "unexpected argument \"\"" },
	{ "unknown", { "--rooot=a" }, "command line: there is no option \"rooot\"" },
	{ "unknown with a value apart", { "--rooot", "a" }, "there is no option \"rooot\"" },
	{ "no name", { "--=a" }, "there is no option \"\"" },
	{ "a group", { "--http=a" }, "there is no option \"http\"" },
	{ "case differs", { "--Root=a" }, "there is no option \"Root\"" },
	{ "no value", { "--root" }, "option --root needs a value" },
	{ "no value, later", { "--log.access", "--gc.lease" }, "option --gc.lease needs a value" },
	{ "a flag's value apart", { "--log.access", "no" }, "unexpected argument \"no\"" },
	{ "no file", { "--config" }, "option --config needs a value" },
};

static void test_arguments(void **state)
{
	__typeof__(&arguments[0]) a = *state;
	struct conf c;
	struct err e;

	assert_err(fixture_load(&c, &e, a->args), ERR_INVALID, &e, a->message);
}

static void test_long_value(void **state)
{
	char flag[6000] = "--root=", key[200] = "--";
	struct conf c;
	struct err e;

	(void)state;
	memset(flag + 7, 'a', 4096);
	assert_ok(LOAD(&c, &e, flag), &e);
	assert_int_equal(c.root.n, 4096);
	conf_clear(&c);
	memset(flag + 7, 'a', 4097);
	assert_err(LOAD(&c, &e, flag), ERR_INVALID, &e, "the value is too long");
	MUST(setenv("BERTHD_ROOT", flag + 7, 1) == 0);
	assert_err(LOAD(&c, &e), ERR_INVALID, &e, "BERTHD_ROOT: root is empty or too long");
	MUST(unsetenv("BERTHD_ROOT") == 0);
	memset(key + 2, 'k', 150);
	assert_err(LOAD(&c, &e, key, "x"), ERR_INVALID, &e, "there is no option \"kkkk");
}

static void test_set(void **state)
{
	struct conf c;
	struct err e;

	(void)state;
	assert_ok(LOAD(&c, &e), &e);
	assert_ok(conf_set(&c, STR("root"), STR("x"), "here", &e), &e);
	assert_string_equal(c.root.p, "x");
	assert_err(conf_set(&c, STR("root"), STR("a\0b"), "here", &e), ERR_INVALID, &e,
		   "here: the value is too long or has a NUL");
	assert_err(conf_set(&c, STR("root\0"), STR("b"), "here", &e), ERR_INVALID, &e,
		   "there is no option");
	assert_err(conf_set(&c, STR("threads"), STR("0"), "here", &e), ERR_INVALID, &e,
		   "threads is \"0\"");
	assert_string_equal(c.root.p, "x"); /* what was refused changed nothing */
	assert_int_equal(c.threads, 2);
	conf_clear(&c);
}

int main(void)
{
	unit_case("values", test_values);
	UNIT_TABLE("flag", test_words, words);
	UNIT_TABLE("arguments", test_arguments, arguments);
	unit_case("a value that is too long", test_long_value);
	unit_case("conf_set", test_set);
	return unit_run();
}
