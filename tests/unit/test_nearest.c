#include "base/nearest.h"

#include "base/faults.h"
#include "tests/lib/unit.h"

static const char *const words[] = { "listen",   "http.drain",   "http.head_max", "workers",
				     "gc.lease", "auth.workers", "auth.groups",   "access" };

static const struct {
	const char *name, *word, *best; /* NULL: none is near */
} cases[] = {
	{ "a letter left out", "listn", "listen" },
	{ "a letter too many", "listten", "listen" },
	{ "another letter", "lisden", "listen" },
	{ "two swapped", "http.drian", "http.drain" },
	{ "two mistakes in a long one", "htp.hed_max", "http.head_max" },
	{ "the nearest of two", "worker", "workers" },
	{ "with its group", "auth.worker", "auth.workers" },
	{ "nothing like it", "certificates", NULL },
	{ "short and not like it", "gc", NULL },
	{ "empty", "", NULL },
};

static void test_nearest(void **state)
{
	__typeof__(&cases[0]) c = *state;
	struct nearest n;

	nearest_init(&n, str_of(c->word));
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		nearest_try(&n, words[i]);
	if (c->best)
		assert_string_equal(n.best, c->best);
	else
		assert_null(n.best);
}

/* What is longer than any name is let be. */
static void test_long(void **state)
{
	char word[300];
	struct nearest n;

	(void)state;
	memset(word, 'a', sizeof(word));
	nearest_init(&n, (struct str){ word, sizeof(word) });
	nearest_try(&n, "a");
	assert_null(n.best);
}

static void count(void *arg, const struct err *e)
{
	unsigned *n = arg;

	(*n)++;
	assert_int_equal(e->kind, ERR_INVALID);
}

static void test_faults(void **state)
{
	unsigned told = 0;
	struct faults f = { .tell = count, .arg = &told };
	struct err e, first = { 0 };

	(void)state;
	assert_int_equal(faults_first(&f, &first), ERR_OK);
	(void)err_set(&e, ERR_INVALID, __func__, "one");
	faults_add(&f, &e);
	(void)err_set(&e, ERR_INVALID, __func__, "two");
	faults_add(&f, &e);
	assert_int_equal(told, 2);
	assert_int_equal(f.n, 2);
	assert_err(faults_first(&f, &first), ERR_INVALID, &first, "one");
}

int main(void)
{
	UNIT_TABLE("nearest", test_nearest, cases);
	unit_case("long words", test_long);
	unit_case("faults", test_faults);
	return unit_run();
}
