/* base64_encode: what base64_decode takes back; test_secret has the decoder's own cases. */
#include "base/secret.h"

#include "tests/lib/unit.h"

static void test_there_and_back(void **state)
{
	char bytes[260];
	AUTO_SECRET text, back;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7);
	for (size_t n = 0; n < sizeof(bytes); n++) {
		assert_true(base64_encode((struct str){ bytes, n }, &text));
		assert_int_equal(text.n, (n + 2) / 3 * 4);
		assert_true(base64_decode((struct str){ text.p, text.n }, &back));
		assert_int_equal(back.n, n);
		assert_memory_equal(back.p, bytes, n);
	}
}

static void test_longest(void **state)
{
	static const char zeros[SECRET_MAX];
	AUTO_SECRET text;

	(void)state;
	assert_true(base64_encode((struct str){ zeros, SECRET_MAX / 4 * 3 }, &text));
	assert_int_equal(text.n, SECRET_MAX);
	assert_false(base64_encode((struct str){ zeros, SECRET_MAX / 4 * 3 + 1 }, &text));
}

int main(void)
{
	unit_case("there and back", test_there_and_back);
	unit_case("longest", test_longest);
	return unit_run();
}
