/*
 * secret - what passwords and keys need: keyed digests, comparison in constant time, forgetting, and base64 (OpenSSL).
 *
 * X1  What is compared here takes the same time wherever the difference is.
 * X2  A secret_buf is wiped when it goes; it never grows, so it leaves no copy behind.
 * Threads  no shared state; a struct mac may be used by many threads at once.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define MAC_BYTES 32

/* HMAC-SHA-256 under a random key that no other process has: what it makes of a secret tells nothing to others. */
struct mac;
MUST_CHECK enum err_kind mac_new(struct mac **ret, struct err *e);
void mac_free(struct mac **m);
/* Of the parts with their lengths, so that no two lists of parts give the same.  False without memory. */
MUST_CHECK bool mac_of(const struct mac *m, const struct str *parts, size_t n,
		       uint8_t ret[static MAC_BYTES]);

/* Under a key that others have too, of the parts as one text (RFC 2104).  False without memory. */
MUST_CHECK bool hmac_sha256(struct str key, const struct str *parts, size_t n,
			    uint8_t ret[static MAC_BYTES]);

/* Equal bytes?  The length is no secret. */
bool secret_eq(const void *a, const void *b, size_t n);
void secret_wipe(void *p, size_t n);

#define SECRET_MAX 8192

struct secret_buf {
	size_t n;
	char p[SECRET_MAX + 4]; /* NUL after n bytes */
};
void secret_clear(struct secret_buf *b);
#define AUTO_SECRET CLEANUP(secret_clear) struct secret_buf

/* RFC 4648 section 4, with padding, without anything else; false for all that no encoder writes. */
MUST_CHECK bool base64_decode(struct str in, struct secret_buf *ret);
/* The other way; false if it does not fit. */
MUST_CHECK bool base64_encode(struct str in, struct secret_buf *ret);
/* Section 5, without padding: at least a byte, and the only text that stands for its bytes. */
bool base64url_is_canonical(struct str in);
/* In that form, with a NUL. */
#define BASE64URL_SHA256_MAX 44
void base64url_sha256(const uint8_t bytes[static 32], char ret[static BASE64URL_SHA256_MAX]);
