#include "auth/scope.h"

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define ALL ACTIONS_ALL

static const struct {
	const char *name, *list;
	enum err_kind result;
	const char *repository; /* the first */
	unsigned actions;
	size_t n;
	bool catalog;
} cases[] = {
	{ "empty", "", ERR_OK, NULL, 0, 0, false },
	{ "one", "repository:a/b:pull", ERR_OK, "a/b", ACTION_PULL, 1, false },
	{ "several actions", "repository:a:push,pull,delete", ERR_OK, "a",
	  ACTION_PULL | ACTION_PUSH | ACTION_DELETE, 1, false },
	{ "all actions", "repository:a:*", ERR_OK, "a", ALL, 1, false },
	{ "two", "repository:a:pull repository:b:push", ERR_OK, "a", ACTION_PULL, 2, false },
	{ "one twice", "repository:a:pull repository:a:push", ERR_OK, "a",
	  ACTION_PULL | ACTION_PUSH, 1, false },
	{ "blanks", "  repository:a:pull  ", ERR_OK, "a", ACTION_PULL, 1, false },
	{ "catalog", "registry:catalog:*", ERR_OK, NULL, 0, 0, true },
	{ "actions for others", "repository:a:pull,fly", ERR_OK, "a", ACTION_PULL, 1, false },
	{ "type of another sort", "plugin:a:pull", ERR_OK, NULL, 0, 0, false },
	{ "class of repositories", "repository(plugin):a:pull", ERR_OK, NULL, 0, 0, false },
	{ "a pattern is no name", "repository:a/*:pull", ERR_OK, NULL, 0, 0, false },
	{ "upper case", "repository:A:pull", ERR_OK, NULL, 0, 0, false },
	{ "type in upper case", "Repository:a:pull", ERR_OK, NULL, 0, 0, false },
	{ "path", "repository:../a:pull", ERR_OK, NULL, 0, 0, false },
	{ "host with a port", "repository:host:5000/a:pull", ERR_OK, NULL, 0, 0, false },
	{ "no actions", "repository:a:", ERR_INVALID, NULL, 0, 0, false },
	{ "no name", "repository::pull", ERR_INVALID, NULL, 0, 0, false },
	{ "no type", ":a:pull", ERR_INVALID, NULL, 0, 0, false },
	{ "two parts", "repository:a", ERR_INVALID, NULL, 0, 0, false },
	{ "a word", "repository", ERR_INVALID, NULL, 0, 0, false },
	{ "an empty action", "repository:a:pull,,push", ERR_INVALID, NULL, 0, 0, false },
	{ "comma at the end", "repository:a:pull,", ERR_INVALID, NULL, 0, 0, false },
};

static void test_case(void **state)
{
	__typeof__(&cases[0]) c = *state;
	struct scopes s = { .n = 0 };
	struct err e;

	assert_int_equal(scopes_add(&s, str_of(c->list), &e), c->result);
	if (c->result != ERR_OK)
		return;
	assert_int_equal(s.n, c->n);
	assert_int_equal(s.catalog, c->catalog);
	if (c->n) {
		assert_string_equal(s.items[0].repository.s, c->repository);
		assert_int_equal(s.items[0].actions, c->actions);
	}
}

/* AUTH-31 */
static void test_many(void **state)
{
	struct scopes *s = calloc(1, sizeof(*s));
	AUTO_SBUF list;
	struct err e;

	(void)state;
	MUST(s);
	sbuf_init(&list, SBUF_MAX);
	for (unsigned i = 0; i < SCOPES_MAX; i++)
		sbuf_addf(&list, "repository:r%u:pull ", i);
	assert_ok(scopes_add(s, (struct str){ list.p, list.n }, &e), &e);
	assert_int_equal(s->n, SCOPES_MAX);
	assert_ok(scopes_add(s, (struct str){ list.p, list.n }, &e), &e); /* the same again */
	assert_err(scopes_add(s, STR("repository:another:pull"), &e), ERR_TOO_LARGE, &e,
		   "more than 64 repositories");
	free(s);
}

int main(void)
{
	UNIT_TABLE("scope", test_case, cases);
	unit_case("too many", test_many);
	return unit_run();
}
