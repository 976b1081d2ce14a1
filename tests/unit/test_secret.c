#include "base/secret.h"

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define BYTES(lit)                                                                                 \
	{                                                                                          \
		(lit), sizeof(lit) - 1                                                             \
	}

/* RFC 4648 section 10, and bytes that C ends strings with. */
static const struct {
	const char *name, *in;
	struct str out;
} good[] = {
	{ "empty", "", BYTES("") },
	{ "f", "Zg==", BYTES("f") },
	{ "fo", "Zm8=", BYTES("fo") },
	{ "foo", "Zm9v", BYTES("foo") },
	{ "foob", "Zm9vYg==", BYTES("foob") },
	{ "fooba", "Zm9vYmE=", BYTES("fooba") },
	{ "foobar", "Zm9vYmFy", BYTES("foobar") },
	{ "every sign", "+/+/", BYTES("\xfb\xff\xbf") },
	{ "NUL", "AAAA", BYTES("\0\0\0") },
	{ "NUL and padding", "AA==", BYTES("\0") },
	{ "a password", "YWxpY2U6c2VjcmV0", BYTES("alice:secret") },
};

static void test_decode(void **state)
{
	__typeof__(&good[0]) g = *state;
	AUTO_SECRET b;

	assert_true(base64_decode(str_of(g->in), &b));
	assert_int_equal(b.n, g->out.n);
	assert_memory_equal(b.p, g->out.p, g->out.n);
	assert_int_equal(b.p[b.n], '\0');
}

static const struct {
	const char *name;
	struct str in;
} bad[] = {
	{ "short by one", BYTES("Zg=") },
	{ "short by two", BYTES("Zg") },
	{ "one letter", BYTES("Z") },
	{ "only padding", BYTES("====") },
	{ "three paddings", BYTES("Z===") },
	{ "padding inside", BYTES("Zg==Zg==") },
	{ "padding first", BYTES("=Zg=") },
	{ "blank before", BYTES(" Zg==   ") },
	{ "blank inside", BYTES("Zm 9v   ") },
	{ "newline", BYTES("Zm9v\n\n\n\n") },
	{ "url alphabet", BYTES("-_-_") },
	{ "other characters", BYTES("Zm9*") },
	{ "NUL", BYTES("Zm9\0") },
	{ "bits that do not count", BYTES("Zh==") },
	{ "more of them", BYTES("Zm9=") },
	{ "high bytes", BYTES("Zm9\xff") },
};

static void test_bad(void **state)
{
	__typeof__(&bad[0]) c = *state;
	AUTO_SECRET b;

	assert_false(base64_decode(c->in, &b));
	assert_int_equal(b.n, 0);
}

static void test_longest(void **state)
{
	size_t n = SECRET_MAX / 3 * 4;
	AUTO_FREE char *in = malloc(n + 4);
	AUTO_SECRET b;

	(void)state;
	MUST(in);
	memset(in, 'A', n + 4);
	assert_true(base64_decode((struct str){ in, n }, &b));
	assert_int_equal(b.n, SECRET_MAX / 3 * 3);
	assert_false(base64_decode((struct str){ in, n + 4 }, &b));
}

static void test_mac(void **state)
{
	const struct str ab[] = { STR("a"), STR("b") }, joined[] = { STR("ab"), STR("") };
	const struct str moved[] = { STR(""), STR("ab") };
	uint8_t x[MAC_BYTES], y[MAC_BYTES];
	struct mac *m, *other;
	struct err e;

	(void)state;
	assert_ok(mac_new(&m, &e), &e);
	assert_ok(mac_new(&other, &e), &e);
	assert_true(mac_of(m, ab, 2, x));
	assert_true(mac_of(m, ab, 2, y));
	assert_memory_equal(x, y, sizeof(x));
	assert_true(mac_of(m, joined, 2, y));
	assert_memory_not_equal(x, y, sizeof(x));
	assert_true(mac_of(m, moved, 2, x));
	assert_memory_not_equal(x, y, sizeof(x));
	assert_true(mac_of(other, moved, 2, y)); /* a key of its own */
	assert_memory_not_equal(x, y, sizeof(x));
	mac_free(&m);
	mac_free(&other);
	assert_null(m);
	mac_free(&m);
}

static void test_forget(void **state)
{
	static const char zero[8];
	struct secret_buf b;

	(void)state;
	assert_true(base64_decode(STR("c2VjcmV0"), &b));
	assert_true(secret_eq(b.p, "secret", 6));
	assert_false(secret_eq(b.p, "secreT", 6));
	assert_true(secret_eq(b.p, "other", 0));
	secret_clear(&b);
	assert_memory_equal(b.p, zero, 7);
	assert_int_equal(b.n, 0);
}

/* RFC 4231, test cases 2 and 6. */
static void test_hmac(void **state)
{
	static const struct str parts[] = { { "what do ya want ", 16 }, { "for nothing?", 12 } };
	static const struct str part = { "Test Using Larger Than Block-Size Key - Hash Key First",
					 54 };
	char key[131], hex[2 * MAC_BYTES + 1] = "";
	uint8_t got[MAC_BYTES];

	(void)state;
	memset(key, 0xaa, sizeof(key));
	assert_true(hmac_sha256(STR("Jefe"), parts, 2, got));
	hex_lower(got, sizeof(got), hex);
	assert_string_equal(hex,
			    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	assert_true(hmac_sha256((struct str){ key, sizeof(key) }, &part, 1, got));
	hex_lower(got, sizeof(got), hex);
	assert_string_equal(hex,
			    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

int main(void)
{
	UNIT_TABLE("base64", test_decode, good);
	UNIT_TABLE("no base64", test_bad, bad);
	unit_case("longest secret", test_longest);
	unit_case("keyed digests", test_mac);
	unit_case("HMAC-SHA-256", test_hmac);
	unit_case("comparison and wiping", test_forget);
	return unit_run();
}
