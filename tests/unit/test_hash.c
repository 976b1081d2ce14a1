#include "base/hash.h"
#include "tests/lib/unit.h"

/* FIPS 180-4 examples, and the empty message. */
static const struct {
	const char *name, *text, *sha256, *sha512;
} vectors[] = {
	{ "empty", "", "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	  "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
	  "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e" },
	{ "abc", "abc", "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	  "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
	  "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f" },
	{ "two blocks", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
	  "sha256:248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
	  "sha512:204a8fc6dda82f0a0ced7beb8e08a41657c16ef468b228a8279be331a703c335"
	  "96fd15c13b1b07f9aa1d3bea57789ca031ad85c7a71dd70354ec631238ca3445" },
};

static void check(enum digest_alg alg, const char *text, const char *want)
{
	AUTO_HASH *h = NULL;
	struct digest whole, parts;
	char buf[DIGEST_TEXT_MAX];
	struct err e;
	size_t n = strlen(text), half = n / 2;

	assert_ok(hash_bytes(alg, text, n, &whole, &e), &e);
	assert_string_equal(digest_text(&whole, buf), want);
	assert_ok(hash_new(alg, &h, &e), &e);
	assert_int_equal(hash_alg(h), alg);
	assert_ok(hash_update(h, text, half, &e), &e);
	assert_ok(hash_update(h, text, 0, &e), &e);
	assert_ok(hash_update(h, text + half, n - half, &e), &e);
	assert_ok(hash_final(h, &parts, &e), &e);
	assert_true(digest_eq(&whole, &parts));
}

static void test_vector(void **state)
{
	__typeof__(&vectors[0]) c = *state;

	check(DIGEST_SHA256, c->text, c->sha256);
	check(DIGEST_SHA512, c->text, c->sha512);
}

static void test_million(void **state)
{
	AUTO_HASH *h = NULL;
	char a[1000], buf[DIGEST_TEXT_MAX];
	struct digest d;
	struct err e;

	(void)state;
	memset(a, 'a', sizeof(a));
	assert_ok(hash_new(DIGEST_SHA256, &h, &e), &e);
	for (unsigned i = 0; i < 1000; i++)
		assert_ok(hash_update(h, a, sizeof(a), &e), &e);
	assert_ok(hash_final(h, &d, &e), &e);
	assert_string_equal(
	    digest_text(&d, buf),
	    "sha256:cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void test_release(void **state)
{
	struct hash *h = NULL;
	struct err e;

	(void)state;
	hash_free(&h);
	assert_ok(hash_new(DIGEST_SHA512, &h, &e), &e);
	hash_free(&h);
	assert_null(h);
}

static void test_random(void **state)
{
	uint8_t a[32] = { 0 }, b[32] = { 0 }, zero[32] = { 0 };

	(void)state;
	random_bytes(a, sizeof(a));
	random_bytes(b, sizeof(b));
	assert_memory_not_equal(a, zero, sizeof(a));
	assert_memory_not_equal(a, b, sizeof(a));
	random_bytes(a, 0);
}

int main(void)
{
	UNIT_TABLE("known vector", test_vector, vectors);
	unit_case("a million times the letter a", test_million);
	unit_case("free", test_release);
	unit_case("random bytes", test_random);
	return unit_run();
}
