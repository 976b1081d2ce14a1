#include "base/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <sys/random.h>

struct hash {
	EVP_MD_CTX *ctx;
	enum digest_alg alg;
};

static const EVP_MD *md_of(enum digest_alg alg)
{
	return alg == DIGEST_SHA512 ? EVP_sha512() : EVP_sha256();
}

enum err_kind hash_new(enum digest_alg alg, struct hash **ret, struct err *e)
{
	struct hash *h = calloc(1, sizeof(*h));

	if (h)
		h->ctx = EVP_MD_CTX_new();
	if (!h || !h->ctx || EVP_DigestInit_ex(h->ctx, md_of(alg), NULL) != 1) {
		hash_free(&h);
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a %s state",
			       digest_alg_text((uint8_t)alg));
	}
	h->alg = alg;
	*ret = h;
	return ERR_OK;
}

enum err_kind hash_update(struct hash *h, const void *p, size_t n, struct err *e)
{
	if (EVP_DigestUpdate(h->ctx, p, n) != 1)
		return err_set(e, ERR_BUG, __func__, "digest update failed");
	return ERR_OK;
}

enum err_kind hash_final(struct hash *h, struct digest *ret, struct err *e)
{
	struct digest d = { .alg = (uint8_t)h->alg };

	if (EVP_DigestFinal_ex(h->ctx, d.bytes, NULL) != 1)
		return err_set(e, ERR_BUG, __func__, "digest finish failed");
	*ret = d;
	return ERR_OK;
}

enum digest_alg hash_alg(const struct hash *h)
{
	return h->alg;
}

void hash_free(struct hash **h)
{
	struct hash *p = TAKE(*h);

	if (!p)
		return;
	EVP_MD_CTX_free(p->ctx);
	free(p);
}

enum err_kind hash_bytes(enum digest_alg alg, const void *p, size_t n, struct digest *ret,
			 struct err *e)
{
	struct digest d = { .alg = (uint8_t)alg };

	if (EVP_Digest(p, n, d.bytes, NULL, md_of(alg), NULL) !=
	    1) /* it makes a state of its own */
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a %s state",
			       digest_alg_text((uint8_t)alg));
	*ret = d;
	return ERR_OK;
}

/* The kernel's: OpenSSL would make a generator of its own, and with it every cipher that it knows. */
void random_bytes(void *buf, size_t n)
{
	uint8_t *p = buf;

	while (n) {
		ssize_t got = getrandom(p, n, 0);

		if (got < 0 && errno != EINTR)
			abort(); /* predictable session ids and keys would be worse than stopping */
		if (got > 0) {
			p += got;
			n -= (size_t)got;
		}
	}
}
