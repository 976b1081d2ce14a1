#include "auth/jose.h"

#include "base/hash.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

struct signed_token {
	struct jose_key *key;
	struct jose_keys *keys; /* with that one in it */
	struct sbuf text;
};

static struct jose_keys *keys_of(const struct jose_key *k)
{
	AUTO_SBUF one, set;
	struct jose_keys *keys;
	struct err e;

	sbuf_init(&one, 4096);
	sbuf_init(&set, 4096);
	assert_ok(jose_key_dump(k, false, &one, &e), &e);
	sbuf_addf(&set, "{\"keys\":[%s]}", one.p);
	assert_ok(jose_keys_parse((struct str){ set.p, set.n }, &keys, &e), &e);
	assert_int_equal(jose_keys_count(keys), 1);
	return keys;
}

static void make(struct signed_token *t)
{
	AUTO_JV *payload = jv_pack("{s:s, s:i}", "sub", "alice", "n", 7);
	struct err e;

	assert_ok(jose_key_make(&t->key, &e), &e);
	t->keys = keys_of(t->key);
	sbuf_init(&t->text, TOKEN_MAX);
	assert_ok(jose_sign(t->key, payload, &t->text, &e), &e);
}

static void clear(struct signed_token *t)
{
	jose_key_free(&t->key);
	jose_keys_put(&t->keys);
	sbuf_clear(&t->text);
}

static enum err_kind verify(const struct jose_keys *keys, struct str text, struct err *e)
{
	AUTO_JV *payload = NULL;
	enum err_kind k = jose_verify(keys, text, &payload, e);

	assert_int_equal(payload != NULL, k == ERR_OK);
	return k;
}

static void test_round_trip(void **state)
{
	struct signed_token t;
	AUTO_JV *payload = NULL, *peeked = NULL;
	struct str sub;
	uint64_t n;
	struct err e;

	(void)state;
	make(&t);
	assert_ok(jose_verify(t.keys, (struct str){ t.text.p, t.text.n }, &payload, &e), &e);
	assert_true(jv_text(jv_member(payload, "sub"), &sub));
	assert_str(sub, "alice");
	assert_true(jv_uint(jv_member(payload, "n"), &n));
	assert_int_equal(n, 7);
	assert_ok(jose_peek((struct str){ t.text.p, t.text.n }, &peeked, &e), &e);
	assert_true(jv_text(jv_member(peeked, "sub"), &sub));
	assert_str(sub, "alice");
	assert_true(jose_looks_like_token((struct str){ t.text.p, t.text.n }));
	clear(&t);
}

/* A key comes back from its text; what it signed counts by either. */
static void test_stored_key(void **state)
{
	struct signed_token t;
	struct jose_key *again;
	struct jose_keys *keys;
	AUTO_SBUF text;
	struct err e;

	(void)state;
	make(&t);
	sbuf_init(&text, 4096);
	assert_ok(jose_key_dump(t.key, true, &text, &e), &e);
	assert_ok(jose_key_parse((struct str){ text.p, text.n }, &again, &e), &e);
	assert_string_equal(jose_key_id(again), jose_key_id(t.key));
	keys = keys_of(again);
	assert_ok(verify(keys, (struct str){ t.text.p, t.text.n }, &e), &e);
	jose_keys_put(&keys);
	jose_key_free(&again);
	clear(&t);
}

static void test_published(void **state)
{
	struct signed_token t;
	AUTO_SBUF text;
	struct err e;

	(void)state;
	make(&t);
	sbuf_init(&text, 4096);
	assert_ok(jose_key_dump(t.key, false, &text, &e), &e);
	assert_null(strstr(text.p, "\"d\":"));
	assert_non_null(strstr(text.p, "\"alg\":\"ES256\""));
	assert_non_null(strstr(text.p, "\"use\":\"sig\""));
	assert_non_null(strstr(text.p, jose_key_id(t.key)));
	clear(&t);
}

static void test_not_a_key(void **state)
{
	static const char *const texts[] = {
		"",
		"x",
		"{}",
		"{\"kty\":\"oct\",\"k\":\"AAAA\",\"kid\":\"0123456789abcdef0123456789abcdef\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"short\",\"x\":\"AA\",\"y\":\"AA\"}",
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct jose_key *k = NULL;

		assert_err(jose_key_parse(str_of(texts[i]), &k, &e), ERR_CORRUPT, &e, "no key");
		assert_null(k);
	}
}

/* J2 and the signature: no change of any kind of any byte is let pass. */
static void test_mutations(void **state)
{
	static const char others[] = "A-_.=+/ \n\0z9";
	struct signed_token t;
	AUTO_FREE char *copy = NULL;
	unsigned tried = 0;
	struct err e;

	(void)state;
	make(&t);
	copy = malloc(t.text.n + 2);
	MUST(copy);
	for (size_t i = 0; i < t.text.n; i++) {
		for (size_t j = 0; j < sizeof(others) + 8; j++) {
			memcpy(copy, t.text.p, t.text.n);
			if (j < sizeof(others))
				copy[i] = others[j];
			else
				copy[i] = (char)(copy[i] ^ (1 << (j - sizeof(others))));
			if (copy[i] == t.text.p[i])
				continue;
			assert_int_not_equal(verify(t.keys, (struct str){ copy, t.text.n }, &e),
					     ERR_OK);
			tried++;
		}
		memcpy(copy, t.text.p, i); /* without the byte, and twice */
		memcpy(copy + i, t.text.p + i + 1, t.text.n - i - 1);
		assert_int_not_equal(verify(t.keys, (struct str){ copy, t.text.n - 1 }, &e),
				     ERR_OK);
		memcpy(copy + i, t.text.p + i, 1);
		memcpy(copy + i + 1, t.text.p + i, t.text.n - i);
		assert_int_not_equal(verify(t.keys, (struct str){ copy, t.text.n + 1 }, &e),
				     ERR_OK);
		assert_int_not_equal(verify(t.keys, (struct str){ t.text.p, i }, &e), ERR_OK);
	}
	assert_true(tried > 3000);
	assert_ok(verify(t.keys, (struct str){ t.text.p, t.text.n }, &e), &e);
	clear(&t);
}

static void encode(const char *text, struct sbuf *b)
{
	static const char alphabet[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = 0;
		size_t take = MIN(n - i, (size_t)3);

		for (size_t j = 0; j < 3; j++)
			v = v << 8 | (j < take ? (uint8_t)text[i + j] : 0);
		for (size_t j = 0; j <= take; j++)
			sbuf_add(b, &alphabet[v >> (18 - 6 * j) & 63], 1);
	}
}

/* The good token's payload and signature behind another header; KID is the key's id. */
static const struct {
	const char *name, *header;
} headers[] = {
	{ "none", "{\"alg\":\"none\",\"kid\":\"KID\"}" },
	{ "None", "{\"alg\":\"None\",\"kid\":\"KID\"}" },
	{ "HS256", "{\"alg\":\"HS256\",\"kid\":\"KID\"}" },
	{ "RS256", "{\"alg\":\"RS256\",\"kid\":\"KID\"}" },
	{ "ES384", "{\"alg\":\"ES384\",\"kid\":\"KID\"}" },
	{ "es256", "{\"alg\":\"es256\",\"kid\":\"KID\"}" },
	{ "no algorithm", "{\"kid\":\"KID\"}" },
	{ "algorithm that is a list", "{\"alg\":[\"ES256\"],\"kid\":\"KID\"}" },
	{ "algorithm twice", "{\"alg\":\"none\",\"alg\":\"ES256\",\"kid\":\"KID\"}" },
	{ "crit", "{\"alg\":\"ES256\",\"kid\":\"KID\",\"crit\":[\"exp\"]}" },
	{ "b64", "{\"alg\":\"ES256\",\"kid\":\"KID\",\"b64\":false}" },
	{ "other kid", "{\"alg\":\"ES256\",\"kid\":\"xKID\"}" },
	{ "kid that is a path", "{\"alg\":\"ES256\",\"kid\":\"../../KID\"}" },
	{ "kid that is no text", "{\"alg\":\"ES256\",\"kid\":7,\"x\":\"KID\"}" },
	{ "empty kid", "{\"alg\":\"ES256\",\"kid\":\"\",\"x\":\"KID\"}" },
	{ "same meaning, other bytes", "{\"alg\": \"ES256\",\"kid\":\"KID\"}" },
	{ "no JSON", "alg=ES256 KID" },
	{ "a list", "[\"KID\"]" },
	{ "deep", "{\"alg\":\"ES256\",\"kid\":\"KID\",\"a\":[[[[[[[[[[1]]]]]]]]]]}" },
};

static void test_header(void **state)
{
	__typeof__(&headers[0]) h = *state;
	struct signed_token t;
	char text[512];
	const char *at;
	AUTO_SBUF b;
	struct err e;
	enum err_kind k;

	make(&t);
	sbuf_init(&b, TOKEN_MAX);

	at = strstr(h->header, "KID");
	(void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - h->header), h->header,
		       jose_key_id(t.key), at + 3);
	encode(text, &b);
	sbuf_add_str(&b, str_of(strchr(t.text.p, '.')));
	k = verify(t.keys, (struct str){ b.p, b.n }, &e);
	assert_true(k == ERR_LOGIN || k == ERR_NOT_FOUND);
	clear(&t);
}

static void test_long(void **state)
{
	struct signed_token t;
	AUTO_FREE char *dots = malloc(TOKEN_MAX + 1);
	struct err e;

	(void)state;
	MUST(dots);
	make(&t);
	memset(dots, '.', TOKEN_MAX + 1);
	for (size_t n = 0; n <= TOKEN_MAX + 1; n = n * 2 + 1)
		assert_int_equal(verify(t.keys, (struct str){ dots, n }, &e), ERR_LOGIN);
	memset(dots, 'A', TOKEN_MAX + 1);
	dots[1000] = dots[2000] = '.';
	assert_int_equal(verify(t.keys, (struct str){ dots, TOKEN_MAX + 1 }, &e), ERR_LOGIN);
	clear(&t);
}

/* What does not fit into a token that we would take is not signed. */
static void test_full(void **state)
{
	struct signed_token t;
	AUTO_FREE char *text = calloc(1, TOKEN_MAX + 2);
	struct err e;

	(void)state;
	MUST(text);
	make(&t);
	for (size_t n = 0; n <= TOKEN_MAX + 1; n = n * 2 + 1) {
		AUTO_JV *payload = jv_pack("{s:s%}", "sub", memset(text, 'x', n), n);
		AUTO_SBUF b;
		bool fits =
		    n < TOKEN_MAX / 4 * 3 - 256; /* in base64, beside header and signature */

		sbuf_init(&b, TOKEN_MAX);
		if (jose_sign(t.key, payload, &b, &e) == ERR_OK)
			assert_ok(verify(t.keys, (struct str){ b.p, b.n }, &e), &e);
		else
			assert_int_equal(e.kind, ERR_TOO_LARGE);
		assert_int_equal(b.failed || b.n == 0, !fits);
	}
	clear(&t);
}

/* A key among others; none where the token does not say which. */
static void test_choice(void **state)
{
	struct signed_token a, b;
	struct jose_keys *both;
	AUTO_SBUF one, two, set;
	struct err e;

	(void)state;
	make(&a);
	make(&b);
	sbuf_init(&one, 4096);
	sbuf_init(&two, 4096);
	sbuf_init(&set, 8192);
	assert_ok(jose_key_dump(a.key, false, &one, &e), &e);
	assert_ok(jose_key_dump(b.key, false, &two, &e), &e);
	sbuf_addf(&set, "{\"keys\":[%s,%s]}", one.p, two.p);
	assert_ok(jose_keys_parse((struct str){ set.p, set.n }, &both, &e), &e);
	assert_ok(verify(both, (struct str){ a.text.p, a.text.n }, &e), &e);
	assert_ok(verify(both, (struct str){ b.text.p, b.text.n }, &e), &e);
	assert_int_equal(verify(a.keys, (struct str){ b.text.p, b.text.n }, &e), ERR_NOT_FOUND);
	jose_keys_put(&both);
	clear(&a);
	clear(&b);
}

#define N2048                                                                                      \
	"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"  \
	"BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_" \
	"FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-"        \
	"bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
#define P256                                                                                       \
	"\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","                 \
	"\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\""

#define ED25519 "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" /* RFC 8037 A.2 */

static const struct {
	const char *name, *text;
	size_t n; /* keys that are taken; SIZE_MAX: the whole is refused */
} sets[] = {
	{ "empty", "{\"keys\":[]}", 0 },
	{ "RSA", "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"" N2048 "\",\"e\":\"AQAB\"}]}", 1 },
	{ "RSA with all of it",
	  "{\"keys\":[{\"kty\":\"RSA\",\"alg\":\"PS512\",\"use\":\"sig\",\"kid\":\"a\",\"n\":"
	  "\"" N2048 "\",\"e\":\"AQAB\",\"x5c\":[\"x\"],\"x5u\":\"http://127.0.0.1/\"}]}",
	  1 },
	{ "short RSA",
	  "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbU\","
	  "\"e\":\"AQAB\"}]}",
	  0 },
	{ "EC", "{\"keys\":[{\"kty\":\"EC\"," P256 "}]}", 1 },
	{ "EC off its curve",
	  "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
	  "\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
	  "\"y\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\"}]}",
	  0 },
	{ "shared secret", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\",\"alg\":\"HS256\"}]}",
	  0 },
	{ "for encryption", "{\"keys\":[{\"kty\":\"EC\",\"use\":\"enc\"," P256 "}]}", 0 },
	{ "algorithm of another type", "{\"keys\":[{\"kty\":\"EC\",\"alg\":\"RS256\"," P256 "}]}",
	  0 },
	{ "algorithm that is none", "{\"keys\":[{\"kty\":\"EC\",\"alg\":\"none\"," P256 "}]}", 0 },
	{ "HS256 with an EC key", "{\"keys\":[{\"kty\":\"EC\",\"alg\":\"HS256\"," P256 "}]}", 0 },
	{ "Ed25519", "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED25519 "\"}]}",
	  1 },
	{ "Ed25519 with all of it",
	  "{\"keys\":[{\"kty\":\"OKP\",\"alg\":\"Ed25519\",\"use\":\"sig\",\"kid\":\"a\",\"crv\":"
	  "\"Ed25519\","
	  "\"x\":\"" ED25519 "\"}]}",
	  1 },
	{ "short Ed25519", "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}]}", 0 },
	{ "long Ed25519",
	  "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED25519 "AAAA\"}]}", 0 },
	{ "Ed25519 with padding",
	  "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED25519 "=\"}]}", 0 },
	{ "Ed25519 without its number", "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}]}", 0 },
	{ "Ed25519 as an EC key",
	  "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"Ed25519\",\"x\":\"" ED25519 "\"}]}", 0 },
	{ "Ed25519 with another algorithm",
	  "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"ES256\",\"x\":\"" ED25519
	  "\"}]}",
	  0 },
	{ "a curve that is for agreement",
	  "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" ED25519 "\"}]}", 0 },
	{ "a curve that we have not",
	  "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"" ED25519 "\"}]}", 0 },
	{ "kid that is a number", "{\"keys\":[{\"kty\":\"EC\",\"kid\":7," P256 "}]}", 0 },
	{ "a good one among bad ones",
	  "{\"keys\":[7,{},{\"kty\":\"EC\"," P256 "},null,{\"kty\":\"RSA\"}]}", 1 },
	{ "no keys", "{}", SIZE_MAX },
	{ "keys that are none", "{\"keys\":{}}", SIZE_MAX },
	{ "no JSON", "keys", SIZE_MAX },
	{ "a member twice", "{\"keys\":[],\"keys\":[]}", SIZE_MAX },
};

static void test_set(void **state)
{
	__typeof__(&sets[0]) s = *state;
	AUTO_JOSE_KEYS *keys = NULL;
	struct err e;
	enum err_kind k = jose_keys_parse(str_of(s->text), &keys, &e);

	if (s->n == SIZE_MAX) {
		assert_int_equal(k, ERR_INVALID);
		return;
	}
	assert_ok(k, &e);
	assert_int_equal(jose_keys_count(keys), s->n);
}

/* RFC 7515 A.2 and A.3, and by the key of RFC 8037 A.1: signed by others. */
static const struct {
	const char *name, *keys, *token;
} foreign[] = {
	{ "RS256",
	  "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_"
	  "wWJcyQoTbji9k0l8W26mPddx"
	  "HmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMs"
	  "D1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSH"
	  "SXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdV"
	  "MTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8"
	  "NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\",\"e\":\"AQAB\"}]}",
	  "eyJhbGciOiJSUzI1NiJ9."
	  "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
	  "cnV"
	  "lfQ."
	  "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7"
	  "AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4"
	  "BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K"
	  "0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv"
	  "hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrB"
	  "p0igcN_IoypGlUPQGe77Rw" },
	{ "ES256",
	  "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
	  "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
	  "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}",
	  "eyJhbGciOiJFUzI1NiJ9."
	  "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
	  "cnV"
	  "lfQ."
	  "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSA"
	  "pmWQxfKTUJqPP3-Kg6NU1Q" },
	{ "EdDSA", "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED25519 "\"}]}",
	  "eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJqb2UifQ."
	  "eUs_28qQd2lc6CAHx3g_XtGr28zC8e_sImejXS9ofEBo"
	  "TVlSXiYjvqcmx7yuoF_ghhT_nBFTEorkJ4PuDeR6Ag" },
	{ "Ed25519",
	  "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"Ed25519\",\"x\":\"" ED25519
	  "\"}]}",
	  "eyJhbGciOiJFZDI1NTE5In0.eyJpc3MiOiJqb2UifQ."
	  "AU7Vnbi22zHc7iQCteAiqdjAbZ5CmWAfQCu0K3fwYq3q"
	  "pGik6t6LBpW3WUFg3aO4fb59RVTNus1dOfolDuF4AA" },
};

static void test_foreign(void **state)
{
	__typeof__(&foreign[0]) f = *state;
	AUTO_JOSE_KEYS *keys = NULL;
	AUTO_JV *payload = NULL;
	struct str iss;
	struct err e;

	assert_ok(jose_keys_parse(str_of(f->keys), &keys, &e), &e);
	assert_ok(jose_verify(keys, str_of(f->token), &payload, &e), &e);
	assert_true(jv_text(jv_member(payload, "iss"), &iss));
	assert_str(iss, "joe");
}

/* J2 for keys of every kind: another character anywhere, or one more, and it is no token. */
static void test_foreign_mutated(void **state)
{
	static const char others[] = "A-_.=z9";
	__typeof__(&foreign[0]) f = *state;
	AUTO_JOSE_KEYS *keys = NULL;
	size_t n = strlen(f->token);
	AUTO_FREE char *copy = malloc(n + 2);
	struct err e;

	MUST(copy);
	assert_ok(jose_keys_parse(str_of(f->keys), &keys, &e), &e);
	for (size_t i = 0; i <= n; i++) {
		for (size_t j = 0; j < sizeof(others) - 1; j++) {
			memcpy(copy, f->token, n);
			if (i < n && copy[i] == others[j])
				continue;
			copy[i] = others[j];
			assert_int_not_equal(
			    verify(keys, (struct str){ copy, i < n ? n : n + 1 }, &e), ERR_OK);
		}
	}
}

/* J1: a signature that is right counts under the name of the algorithm that the key has. */
static void test_two_names(void **state)
{
	struct err e;

	(void)state;
	for (size_t i = 2; i < 4; i++) {
		AUTO_JOSE_KEYS *keys = NULL;

		assert_ok(jose_keys_parse(str_of(foreign[i].keys), &keys, &e), &e);
		assert_err(verify(keys, str_of(foreign[5 - i].token), &e), ERR_LOGIN, &e,
			   "token: its algorithm is not that of the key");
	}
}

int main(void)
{
	unit_case("signed and checked", test_round_trip);
	unit_case("a key that was stored", test_stored_key);
	unit_case("what is published", test_published);
	unit_case("what is no key", test_not_a_key);
	unit_case("no change of a token is let pass", test_mutations);
	UNIT_TABLE("header", test_header, headers);
	unit_case("long ones", test_long);
	unit_case("more than fits", test_full);
	unit_case("among several keys", test_choice);
	UNIT_TABLE("set", test_set, sets);
	UNIT_TABLE("signed by others", test_foreign, foreign);
	UNIT_TABLE("signed by others and changed", test_foreign_mutated, foreign);
	unit_case("two names of one algorithm", test_two_names);
	return unit_run();
}
