#include "base/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/hash.h"

struct mac {
	EVP_MAC_CTX *keyed; /* has its key, is copied for each use */
};

static EVP_MAC_CTX *make_keyed(struct str key)
{
	EVP_MAC *alg = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = alg ? EVP_MAC_CTX_new(alg) : NULL;
	char name[] = "SHA256";
	const OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string("digest", name, 0),
				      OSSL_PARAM_construct_end() };

	if (ctx && EVP_MAC_init(ctx, (const void *)key.p, key.n, params) != 1) {
		EVP_MAC_CTX_free(ctx);
		ctx = NULL;
	}
	EVP_MAC_free(alg);
	return ctx;
}

enum err_kind mac_new(struct mac **ret, struct err *e)
{
	struct mac *m = calloc(1, sizeof(*m));
	char key[MAC_BYTES];

	random_bytes(key, sizeof(key));
	if (m)
		m->keyed = make_keyed((struct str){ key, sizeof(key) });
	secret_wipe(key, sizeof(key));
	if (!m || !m->keyed) {
		free(m);
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a keyed digest");
	}
	*ret = m;
	return ERR_OK;
}

void mac_free(struct mac **m)
{
	struct mac *p = TAKE(*m);

	if (!p)
		return;
	EVP_MAC_CTX_free(p->keyed);
	free(p);
}

bool mac_of(const struct mac *m, const struct str *parts, size_t n, uint8_t ret[static MAC_BYTES])
{
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(m->keyed);
	bool ok = ctx != NULL;
	size_t got = 0;

	for (size_t i = 0; i < n && ok; i++) {
		uint64_t length = parts[i].n;

		ok = EVP_MAC_update(ctx, (const void *)&length, sizeof(length)) == 1 &&
		     EVP_MAC_update(ctx, (const void *)parts[i].p, parts[i].n) == 1;
	}
	ok = ok && EVP_MAC_final(ctx, ret, &got, MAC_BYTES) == 1 && got == MAC_BYTES;
	EVP_MAC_CTX_free(ctx);
	return ok;
}

bool hmac_sha256(struct str key, const struct str *parts, size_t n, uint8_t ret[static MAC_BYTES])
{
	EVP_MAC_CTX *ctx = make_keyed(key);
	bool ok = ctx != NULL;
	size_t got = 0;

	for (size_t i = 0; i < n && ok; i++)
		ok = EVP_MAC_update(ctx, (const void *)parts[i].p, parts[i].n) == 1;
	ok = ok && EVP_MAC_final(ctx, ret, &got, MAC_BYTES) == 1 && got == MAC_BYTES;
	EVP_MAC_CTX_free(ctx);
	return ok;
}

bool secret_eq(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

void secret_wipe(void *p, size_t n)
{
	OPENSSL_cleanse(p, n);
}

void secret_clear(struct secret_buf *b)
{
	secret_wipe(b->p, b->n + 3); /* decoding writes whole groups of three */
	b->n = 0;
}

/* The last two differ between the alphabets. */
static int sextet(char c, const char last[static 2])
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == last[0] ? 62 : (c == last[1] ? 63 : -1);
}

/*
 * Letters of the alphabet only, and no bit that counts for nothing.  Decoders let pass blanks and such bits: two texts would
 * be one secret.
 */
static bool is_canonical(struct str in, const char last[static 2])
{
	static const int unused[] = { 0, 0, 15, 3 };

	if (in.n % 4 == 1)
		return false;
	for (size_t i = 0; i < in.n; i++) {
		if (sextet(in.p[i], last) < 0)
			return false;
	}
	return in.n == 0 || (sextet(in.p[in.n - 1], last) & unused[in.n % 4]) == 0;
}

bool base64url_is_canonical(struct str in)
{
	return in.n > 0 && is_canonical(in, "-_");
}

bool base64_decode(struct str in, struct secret_buf *ret)
{
	size_t n_pad = 0;
	int n;

	ret->n = 0;
	ret->p[0] = '\0';
	if (in.n % 4 != 0 || in.n / 4 * 3 > SECRET_MAX)
		return false;
	while (n_pad < 2 && n_pad < in.n && in.p[in.n - 1 - n_pad] == '=')
		n_pad++;
	if (in.n == 0)
		return true;
	if (!is_canonical((struct str){ in.p, in.n - n_pad }, "+/"))
		return false;
	n = EVP_DecodeBlock((uint8_t *)ret->p, (const uint8_t *)in.p, (int)in.n);
	if (n < 0)
		return false;
	ret->n = (size_t)n - n_pad;
	ret->p[ret->n] = '\0';
	return true;
}

void base64url_sha256(const uint8_t bytes[static 32], char ret[static BASE64URL_SHA256_MAX])
{
	unsigned char text[BASE64URL_SHA256_MAX + 1]; /* one = at the end, and a NUL */

	(void)EVP_EncodeBlock(text, bytes, 32);
	for (size_t i = 0; i + 1 < BASE64URL_SHA256_MAX; i++)
		ret[i] = (char)(text[i] == '+' ? '-' : (text[i] == '/' ? '_' : text[i]));
	ret[BASE64URL_SHA256_MAX - 1] = '\0';
}

bool base64_encode(struct str in, struct secret_buf *ret)
{
	ret->n = 0;
	ret->p[0] = '\0';
	if (in.n > SECRET_MAX / 4 * 3)
		return false;
	ret->n = (size_t)EVP_EncodeBlock((uint8_t *)ret->p, (const uint8_t *)in.p, (int)in.n);
	return true;
}
