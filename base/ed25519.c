#include "base/ed25519.h"

#include <openssl/evp.h>

bool ed25519_verify(const uint8_t key[static ED25519_KEY_BYTES], struct str message,
		    const uint8_t signature[static ED25519_SIGNATURE_BYTES])
{
	EVP_PKEY *k = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, ED25519_KEY_BYTES);
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool good = k && c && EVP_DigestVerifyInit(c, NULL, NULL, NULL, k) == 1 &&
		    EVP_DigestVerify(c, signature, ED25519_SIGNATURE_BYTES,
				     (const uint8_t *)message.p, message.n) == 1;

	EVP_MD_CTX_free(c);
	EVP_PKEY_free(k);
	return good;
}
