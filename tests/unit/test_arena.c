#include "base/arena.h"

#include "tests/lib/unit.h"

static void test_zeroed_and_aligned(void **state)
{
	AUTO_ARENA a;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t n = 1; n < 40000; n = n * 3 + 1) {
		uint8_t *p = arena_get(&a, n);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, n);
	}
}

static void test_maximum(void **state)
{
	AUTO_ARENA a;

	(void)state;
	arena_init(&a, 64 * 1024);
	assert_null(arena_get(&a, 64 * 1024 + 1));
	assert_non_null(arena_get(&a, 40000));
	assert_null(arena_get(&a, 40000));
	assert_null(arena_array(&a, SIZE_MAX / 2, 3));
}

static void test_texts(void **state)
{
	AUTO_ARENA a;

	(void)state;
	arena_init(&a, 64 * 1024);
	assert_string_equal(arena_text(&a, STR("abc")), "abc");
	assert_string_equal(arena_text(&a, (struct str){ "", 0 }), "");
	assert_string_equal(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
}

static void test_list(void **state)
{
	AUTO_ARENA a;
	struct text_list l = { 0 };

	(void)state;
	arena_init(&a, 1024 * 1024);
	for (size_t i = 0; i < 1000; i++) {
		assert_true(arena_list_add(&a, &l, arena_printf(&a, "%zu", i)));
		assert_int_equal(l.n, i + 1);
		assert_null(l.v[l.n]);
	}
	for (size_t i = 0; i < l.n; i++)
		assert_string_equal(l.v[i], arena_printf(&a, "%zu", i));
}

int main(void)
{
	unit_case("a list of texts", test_list);
	unit_case("zeroed and aligned", test_zeroed_and_aligned);
	unit_case("maximum", test_maximum);
	unit_case("texts", test_texts);
	return unit_run();
}
