#include "base/digest.h"
#include "tests/lib/unit.h"

#define A32 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A64 A32 A32
#define A128 A64 A64

static const struct {
	const char *name, *text;
	bool valid, wellformed;
	uint8_t alg;
} digests[] = {
	{ "sha256", "sha256:" A64, true, true, DIGEST_SHA256 },
	{ "sha512", "sha512:" A128, true, true, DIGEST_SHA512 },
	{ "all digits", "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	  true, true, DIGEST_SHA256 },
	{ "upper case", "sha256:" A32 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", false, true, 0 },
	{ "one digit short", "sha256:" A32 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false, true, 0 },
	{ "one digit more", "sha256:" A64 "a", false, true, 0 },
	{ "sha512 with the length of sha256", "sha512:" A64, false, true, 0 },
	{ "no hexadecimal digit", "sha256:" A32 "aaaaaaaaaaaaaaaagaaaaaaaaaaaaaaa", false, true,
	  0 },
	{ "other algorithm", "md5:d41d8cd98f00b204e9800998ecf8427e", false, true, 0 },
	{ "algorithm in upper case", "SHA256:" A64, false, false, 0 },
	{ "no algorithm", ":" A64, false, false, 0 },
	{ "no colon", "sha256" A64, false, false, 0 },
	{ "nothing encoded", "sha256:", false, false, 0 },
	{ "empty", "", false, false, 0 },
	{ "components", "multihash+base58.v2_x-y:QmRZ=_-", false, true, 0 },
	{ "separator first", "+b64:abc", false, false, 0 },
	{ "separator last", "b64+:abc", false, false, 0 },
	{ "two separators", "a++b:abc", false, false, 0 },
	{ "bad byte in the encoded part", "sha256:" A32 "/", false, false, 0 },
	{ "a second colon", "sha256:aa:aa", false, false, 0 },
	{ "a blank after", "sha256:" A64 " ", false, false, 0 },
};

static void test_parse(void **state)
{
	__typeof__(&digests[0]) c = *state;
	struct digest d = { .alg = 77 };
	char text[DIGEST_TEXT_MAX], hex[DIGEST_HEX_MAX + 1];

	assert_int_equal(digest_parse(&d, str_of(c->text)), c->valid);
	assert_int_equal(digest_is_wellformed(str_of(c->text)), c->wellformed);
	if (!c->valid) {
		assert_int_equal(d.alg, 77);
		return;
	}
	assert_int_equal(d.alg, c->alg);
	assert_string_equal(digest_text(&d, text), c->text);
	assert_string_equal(digest_hex(&d, hex), strchr(c->text, ':') + 1);
	for (size_t i = digest_size(d.alg); i < sizeof(d.bytes); i++)
		assert_int_equal(d.bytes[i], 0); /* D2 */
}

static void test_nul(void **state)
{
	static const char text[] = "sha256:" A32 "aaaaaaaaaaaaaaa\0aaaaaaaaaaaaaaaa";
	struct digest d;

	(void)state;
	assert_false(digest_parse(&d, STR(text)));
	assert_false(digest_is_wellformed(STR(text)));
	assert_false(digest_is_wellformed(STR("sha\0256:abc")));
}

/* Every single byte in each part: the grammars, spelt out. */
static void test_bytes(void **state)
{
	char digest[] = "sha256:" A64, text[] = "a.b:c";
	struct digest d;

	(void)state;
	for (int c = 0; c < 256; c++) {
		bool lower = c >= 'a' && c <= 'z', upper = c >= 'A' && c <= 'Z';
		bool number = c >= '0' && c <= '9';

		digest[20] = (char)c;
		assert_int_equal(digest_parse(&d, STR(digest)), (c >= 'a' && c <= 'f') || number);
		text[0] = (char)c;
		assert_int_equal(digest_is_wellformed(STR(text)), lower || number);
		text[0] = 'a';
		text[1] = (char)c;
		assert_int_equal(digest_is_wellformed(STR(text)),
				 lower || number || (c && strchr("+._-", c)));
		text[1] = '.';
		text[4] = (char)c;
		assert_int_equal(digest_is_wellformed(STR(text)),
				 lower || upper || number || (c && strchr("=_-", c)));
		text[4] = 'c';
	}
}

static void test_algorithms(void **state)
{
	enum digest_alg a = DIGEST_SHA512;

	(void)state;
	assert_true(digest_alg_parse(&a, STR("sha256")));
	assert_int_equal(a, DIGEST_SHA256);
	assert_true(digest_alg_parse(&a, STR("sha512")));
	assert_int_equal(a, DIGEST_SHA512);
	assert_false(digest_alg_parse(&a, STR("sha384")));
	assert_false(digest_alg_parse(&a, STR("sha256 ")));
	assert_false(digest_alg_parse(&a, STR("")));
	assert_string_equal(digest_alg_text(DIGEST_SHA256), "sha256");
	assert_string_equal(digest_alg_text(DIGEST_SHA512), "sha512");
	assert_string_equal(digest_alg_text(0), "?");
	assert_string_equal(digest_alg_text(200), "?");
	assert_int_equal(digest_size(DIGEST_SHA256), 32);
	assert_int_equal(digest_size(DIGEST_SHA512), 64);
	assert_int_equal(digest_size(0), 0);
	assert_int_equal(digest_size(200), 0);
}

static void test_eq(void **state)
{
	struct digest a, b;

	(void)state;
	assert_true(digest_parse(&a, STR("sha256:" A64)));
	b = a;
	assert_true(digest_eq(&a, &b));
	b.bytes[31] ^= 1;
	assert_false(digest_eq(&a, &b));
	b = a;
	b.alg = DIGEST_SHA512;
	assert_false(digest_eq(&a, &b));
}

int main(void)
{
	UNIT_TABLE("parse", test_parse, digests);
	unit_case("a NUL is no part of a digest", test_nul);
	unit_case("each byte", test_bytes);
	unit_case("algorithms", test_algorithms);
	unit_case("equality", test_eq);
	return unit_run();
}
