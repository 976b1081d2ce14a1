#include "server/conf.h"

#include <unistd.h>

#include "tests/lib/conf_fixture.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static enum err_kind read_text(struct conf *c, struct str text, struct err *e)
{
	const char *dir = unit_dir();
	char path[128];

	file_write(dir, "conf", text);
	(void)snprintf(path, sizeof(path), "%s/conf", dir);
	return fixture_read(c, path, e);
}

static struct conf presets(void)
{
	struct conf c;
	struct err e;

	assert_ok(conf_load(0, NULL, &c, &e), &e);
	return c;
}

static const struct {
	const char *name, *text, *root;
	uint64_t threads, drain_ms;
} taken[] = {
	{ "empty", "", "./berth-data", 2, 10000 },
	{ "comments", "# nothing\n\n# at all\n", "./berth-data", 2, 10000 },
	{ "top", "root: /x\nthreads: 5\n", "/x", 5, 10000 },
	{ "group", "http:\n  drain: 7s\n", "./berth-data", 2, 7000 },
	{ "group in one line", "http: {drain: 7s}\n", "./berth-data", 2, 7000 },
	{ "group in a group, left again",
	  "http:\n  drain: 7s\nauth:\n  throttle: {wait: 2s}\n  workers: 3\nroot: /x\n", "/x", 2,
	  7000 },
	{ "dotted name", "http.drain: 7s\n", "./berth-data", 2, 7000 },
	{ "group between others", "threads: 3\nhttp:\n  drain: 7s\nroot: /x\n", "/x", 3, 7000 },
	{ "a group twice", "http:\n  drain: 5s\nhttp:\n  drain: 7s\n", "./berth-data", 2, 7000 },
	{ "an empty group", "http: {}\n", "./berth-data", 2, 10000 },
	{ "quoted", "\"root\": 'it''s'\n", "it's", 2, 10000 },
	{ "escapes", "root: \"a\\tb\"\n", "a\tb", 2, 10000 },
	{ "block", "root: |-\n  a\n  b\n", "a\nb", 2, 10000 },
	{ "document mark", "---\nroot: /x\n...\n", "/x", 2, 10000 },
	{ "empty document", "---\n", "./berth-data", 2, 10000 },
	{ "JSON", "{\"root\": \"/x\", \"http\": {\"drain\": \"7s\"}}", "/x", 2, 7000 },
	{ "carriage returns", "root: /x\r\nthreads: 5\r\n", "/x", 5, 10000 },
};

static void test_taken(void **state)
{
	__typeof__(&taken[0]) t = *state;
	struct conf c = presets();
	struct err e;

	assert_ok(read_text(&c, str_of(t->text), &e), &e);
	assert_string_equal(c.root.p, t->root);
	assert_int_equal(c.threads, t->threads);
	assert_int_equal(c.http_drain_ms, t->drain_ms);
	conf_clear(&c);
}

#define BAD(name, text, message)                                                                   \
	{                                                                                          \
		(name), { (text), sizeof(text) - 1 }, (message)                                    \
	}

static const struct {
	const char *name;
	struct str text;
	const char *message; /* with the line */
} refused[] = {
	BAD("unknown name", "root: /x\nrooot: /y\n", "/conf:2: there is no option \"rooot\""),
	BAD("unknown in a group", "http:\n  drain: 1s\n  drein: 1s\n",
	    ":3: there is no option \"http.drein\""),
	BAD("unknown group", "htp:\n  drain: 1s\n", ":2: there is no option \"htp.drain\""),
	BAD("option in the wrong group", "http:\n  root: /x\n",
	    ":2: there is no option \"http.root\""),
	BAD("after a group", "http:\n  drain: 1s\ndrain: 1s\n", ":3: there is no option \"drain\""),
	BAD("bad value", "threads: 2\nworkers: many\n",
	    ":2: workers is \"many\": it must be a number"),
	BAD("bad value in a group", "http:\n\n  drain: soon\n", ":3: http.drain is \"soon\""),
	BAD("no value", "root:\n", ":1: root is empty"),
	BAD("null", "threads: ~\n", ":1: threads is \"~\""),
	BAD("a list for a value", "root: [a]\n", ":1: root is no list"),
	BAD("a list of lines", "root:\n  - a\n", ":2: root is no list"),
	BAD("a list for no option", "rooot: [a]\n", ":1: there is no option \"rooot\""),
	BAD("a value for a list", "retention: 5\n", ":1: retention: one list is wanted here"),
	BAD("nothing for a list", "retention:\n", ": a list is wanted"),
	BAD("a group for a list", "retention:\n  a: 1\n", ":2: there is no option \"retention.a\""),
	BAD("a name twice in a list", "retention:\n  - a: 1\n    b: 2\n    a: 3\n",
	    ":4: this name was given before"),
	BAD("a list for a name in a list", "retention:\n  - ? [a]\n    : b\n",
	    ":2: a name is wanted here"),
	BAD("an @ in a name", "retention:\n  - \"@line\": 1\n", ":2: a name is wanted here"),
	BAD("an alias in a list", "retention: [&x a, *x]\n", ":1: a value is wanted here"),
	BAD("a deep list", "retention: [[[[[[[[a]]]]]]]]\n", ":1: this is nested too deeply"),
	BAD("a list without end", "retention: [a\n", ": "),
	BAD("a group in a group", "http:\n  drain:\n    x: 1\n",
	    ":3: there is no option \"http.drain.x\""),
	BAD("a group too deep", "a:\n  b:\n    c:\n      d: 1\n",
	    ": a value or a group of options is wanted here"),
	BAD("after a group in a group", "auth:\n  throttle:\n    wait: 1s\n  wait: 1s\n",
	    ":4: there is no option \"auth.wait\""),
	BAD("groups that are long together",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:\n  bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb:\n    c: "
	    "1\n",
	    ": a value or a group of options is wanted here"),
	BAD("a list", "- root: /x\n", ":1: options are wanted here"),
	BAD("text", "root\n", ":1: options are wanted here"),
	BAD("a list for a name", "? [a]\n: b\n", ":1: the name of an option is wanted here"),
	BAD("a group for a name", "? {a: b}\n: c\n", ":1: the name of an option is wanted here"),
	BAD("an anchor used", "root: &x /x\nlisten: *x\n",
	    ":2: a value or a group of options is wanted here"),
	BAD("an alias at the top", "*x\n", ":1: "),
	BAD("merge", "<<: {root: /x}\n", "there is no option \"<<.root\""),
	BAD("not YAML", "root: \"x\n", ": "),
	BAD("tab for an indent", "http:\n\tdrain: 1s\n", ":2: "),
	BAD("bad UTF-8", "root: \xff\n", ": "),
	BAD("second document", "root: /x\n---\nrooot: /y\n", ":3: there is no option \"rooot\""),
	BAD("NUL in a value", "root: \"/x\\0y\"\n", ":1: "),
	BAD("NUL in a name", "\"root\\0x\": /x\n", ":1: there is no option"),
	BAD("NUL in a group", "\"http\\0x\":\n  drain: 1s\n", ":2: there is no option"),
	BAD("long name",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: "
	    "1\n",
	    ":1: there is no option \"aaaa"),
	BAD("long group",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:"
	    "\n  b: 1\n",
	    ":"),
};

static const struct {
	const char *name, *text, *dumped;
} lists[] = {
	{ "empty list", "retention: []\n", "[]" },
	{ "texts", "retention: [a, '', \"\\u00fc\"]\n", "[\"a\", \"\", \"ü\"]" },
	{ "objects", "retention:\n  - {a: b}\n  -\n    c: [d]\n    e: {}\n",
	  "[{\"a\": \"b\"}, {\"c\": [\"d\"], \"e\": {}}]" },
	{ "the last one counts", "retention: [a]\nretention: [b]\n", "[\"b\"]" },
	{ "in quotes", "retention: '[{\"a\": 1}]'\n", "[{\"a\": \"1\"}]" },
};

static void test_list(void **state)
{
	__typeof__(&lists[0]) t = *state;
	struct conf c = presets();
	char want[256];
	AUTO_SBUF dump;
	struct err e;

	sbuf_init(&dump, 64 * 1024);
	assert_ok(read_text(&c, str_of(t->text), &e), &e);
	conf_dump(&c, &dump);
	(void)snprintf(want, sizeof(want), "\nretention: %s\n", t->dumped);
	assert_non_null(strstr(dump.p, want));
	conf_clear(&c);
}

static void test_lines(void **state)
{
	struct conf c = presets();
	uint64_t line;
	struct err e;

	(void)state;
	assert_ok(read_text(&c, STR("# x\nretention:\n  - a: 1\n\n  - b: {c: 2}\n"), &e), &e);
	assert_true(jv_uint(jv_member(jv_at(c.retention, 0), CONF_LINE), &line));
	assert_int_equal(line, 3);
	assert_true(jv_uint(jv_member(jv_member(jv_at(c.retention, 1), "b"), CONF_LINE), &line));
	assert_int_equal(line, 5);
	conf_clear(&c);
}

static void test_refused(void **state)
{
	__typeof__(&refused[0]) t = *state;
	struct conf c = presets();
	struct err e;

	assert_err(read_text(&c, t->text, &e), ERR_INVALID, &e, t->message);
	assert_non_null(strstr(e.msg, "/conf:"));
	conf_clear(&c);
}

static void test_files(void **state)
{
	struct conf c = presets();
	const char *dir = unit_dir();
	char path[128], link[160];
	AUTO_FREE char *large = malloc(1024 * 1024 + 1);
	struct err e;

	(void)state;
	MUST(large);
	(void)snprintf(path, sizeof(path), "%s/none", dir);
	assert_err(fixture_read(&c, path, &e), ERR_NOT_FOUND, &e, path);
	assert_err(fixture_read(&c, dir, &e), ERR_CORRUPT, &e, "not a regular file");
	(void)snprintf(path, sizeof(path), "%s/conf", dir);
	(void)snprintf(link, sizeof(link), "%s/link", dir);
	file_write(dir, "conf", STR("root: /through/a/link\n"));
	MUST(symlink("conf", link) == 0);
	assert_ok(fixture_read(&c, link, &e), &e);
	assert_string_equal(c.root.p, "/through/a/link");
	memset(large, '#', 1024 * 1024 + 1);
	file_write(dir, "conf", (struct str){ large, 1024 * 1024 });
	assert_ok(fixture_read(&c, path, &e), &e);
	file_write(dir, "conf", (struct str){ large, 1024 * 1024 + 1 });
	assert_err(fixture_read(&c, path, &e), ERR_TOO_LARGE, &e, "1048577 bytes");
	conf_clear(&c);
}

int main(void)
{
	UNIT_TABLE("taken", test_taken, taken);
	UNIT_TABLE("refused", test_refused, refused);
	UNIT_TABLE("list", test_list, lists);
	unit_case("lines of objects", test_lines);
	unit_case("files", test_files);
	return unit_run();
}
