#include "runtime/image/reference.h"

#include "tests/lib/unit.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* What is typed, and what it is in full; NULL: none. */
struct row {
	const char *name, *text;
};
static const struct row rows[] = {
	{ "busybox", "docker.io/library/busybox:latest" },
	{ "busybox:1.36", "docker.io/library/busybox:1.36" },
	{ "team/app", "docker.io/team/app:latest" },
	{ "127.0.0.1:5000/app:v1", "127.0.0.1:5000/app:v1" },
	{ "localhost/app", "localhost/app:latest" },
	{ "Registry.Example.COM/a/b/c:T_1.x-Y", "registry.example.com/a/b/c:T_1.x-Y" },
	{ "[::1]:5000/app", "[::1]:5000/app:latest" },
	{ "app@sha256:" HEX, "docker.io/library/app@sha256:" HEX },
	{ "h.io/app:v1@sha256:" HEX, "h.io/app:v1@sha256:" HEX },
	{ "", NULL },
	{ "UPPER", NULL },
	{ "a//b", NULL },
	{ "/a", NULL },
	{ "a/", NULL },
	{ "a:", NULL },
	{ "a@sha256:12", NULL },
	{ "a:b:c", NULL },
	{ "a b", NULL },
	{ "a/../b", NULL },
	{ "h.io/a\n", NULL },
	{ "h.io:99999999/a", NULL },
};

static void test_parse(void **state)
{
	const struct row *row = *state;
	struct reference r;
	char text[REFERENCE_TEXT_MAX];
	struct err e;
	enum err_kind k = reference_parse(&r, str_of(row->name), &e);

	if (!row->text) {
		assert_int_equal(k, ERR_INVALID);
		return;
	}
	assert_ok(k, &e);
	assert_string_equal(reference_text(&r, text), row->text);
}

static void test_store_and_back(void **state)
{
	static const char *const names[] = { "busybox", "127.0.0.1:5000/a/b:v1", "[::1]:80/x",
					     "[2001:db8::7]/x", "h.io/a_b.c-d" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct reference r, back;
		struct repo_name repo;
		char a[REFERENCE_TEXT_MAX], b[REFERENCE_TEXT_MAX];
		struct err e;

		assert_ok(reference_parse(&r, str_of(names[i]), &e), &e);
		assert_true(reference_to_store(&r, &repo));
		assert_true(reference_from_store(&back, repo_name_str(&repo)));
		assert_string_equal(reference_name(&r, a), reference_name(&back, b));
	}
}

/* Two hosts never share a repository of the store. */
static void test_store_tells_apart(void **state)
{
	struct reference a, b;
	struct repo_name x, y;
	struct err e;

	(void)state;
	assert_ok(reference_parse(&a, STR("h.io:5000/x"), &e), &e);
	assert_ok(reference_parse(&b, STR("h.io/5000/x"), &e), &e);
	assert_true(reference_to_store(&a, &x) && reference_to_store(&b, &y));
	assert_string_not_equal(x.s, y.s);
}

int main(void)
{
	UNIT_TABLE("reference", test_parse, rows);
	unit_case("to the store's name and back", test_store_and_back);
	unit_case("the store tells hosts apart", test_store_tells_apart);
	return unit_run();
}
