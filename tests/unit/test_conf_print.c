#include "server/conf_table.h"

#include "tests/lib/conf_fixture.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define EXAMPLE_DIR "etc"
#define EXAMPLE "berthd.conf.example"

/* The example has every option with its preset, and nothing else but words about the file. */
static void test_example(void **state)
{
	AUTO_SBUF example = file_read(EXAMPLE_DIR, EXAMPLE), b;
	struct str rest = { example.p, example.n }, line;
	struct conf c;
	struct err e;

	(void)state;
	assert_ok(LOAD(&c, &e), &e);
	sbuf_init(&b, SBUF_MAX);
	conf_dump(&c, &b);
	conf_clear(&c);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(str_cut(rest, '\n', &line, &rest));
		assert_true(str_starts(line, STR("# ")));
	}
	assert_string_equal(rest.p, b.p);
	assert_ok(LOAD(&c, &e, "--config", EXAMPLE_DIR "/" EXAMPLE), &e);
	sbuf_clear(&example);
	sbuf_init(&example, SBUF_MAX);
	conf_dump(&c, &example);
	assert_string_equal(example.p, b.p);
	conf_clear(&c);
}

/* What conf_dump writes is a file that means the same, whatever is in the values. */
static const struct {
	const char *name, *root;
} roots[] = {
	{ "blanks", " a b " },
	{ "quotes", "\"a\" 'b'" },
	{ "backslashes", "a\\b\\n\\" },
	{ "hash and colon", "a: b # c" },
	{ "newline and tab", "a\nb\tc" },
	{ "control byte", "a\x01\x7f" },
	{ "not ASCII", "\xc3\xa4" },
	{ "YAML", "{a: [b]}" },
};

static void test_dump(void **state)
{
	__typeof__(&roots[0]) r = *state;
	char flag[256], path[128];
	const char *dir = unit_dir();
	struct conf c, again;
	AUTO_SBUF b;
	struct err e;

	(void)snprintf(flag, sizeof(flag), "--root=%s", r->root);
	assert_ok(LOAD(&c, &e, flag, "--http.drain=1500ms", "--manifest.sparse", "all"), &e);
	sbuf_init(&b, SBUF_MAX);
	conf_dump(&c, &b);
	file_write(dir, "conf", (struct str){ b.p, b.n });
	(void)snprintf(path, sizeof(path), "%s/conf", dir);
	assert_ok(LOAD(&again, &e, "--config", path), &e);
	assert_string_equal(again.root.p, r->root);
	assert_int_equal(again.http_drain_ms, 1500);
	assert_int_equal(again.manifest_sparse, SPARSE_ALL);
	conf_clear(&again);
	conf_clear(&c);
}

int main(void)
{
	unit_case("the example file", test_example);
	UNIT_TABLE("dumped and read again", test_dump, roots);
	return unit_run();
}
