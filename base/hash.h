/*
 * hash - incremental content digests (OpenSSL EVP).
 *
 * Lifecycle  new -> update* -> final -> free; or new -> free at any time.
 * Ownership  the caller owns the struct hash.
 * Threads    one thread at a time per object; may burn CPU for the bytes given, never blocks.
 */
#pragma once

#include "base/digest.h"
#include "base/err.h"

struct hash;

MUST_CHECK enum err_kind hash_new(enum digest_alg alg, struct hash **ret, struct err *e);
MUST_CHECK enum err_kind hash_update(struct hash *h, const void *p, size_t n, struct err *e);
/* The object takes no further update afterwards. */
MUST_CHECK enum err_kind hash_final(struct hash *h, struct digest *ret, struct err *e);
enum digest_alg hash_alg(const struct hash *h);
void hash_free(struct hash **h);
#define AUTO_HASH CLEANUP(hash_free) struct hash

/* Digest of one buffer. */
MUST_CHECK enum err_kind hash_bytes(enum digest_alg alg, const void *p, size_t n,
				    struct digest *ret, struct err *e);

/* Fills buf from the system's random source; aborts the process if there is none. */
void random_bytes(void *buf, size_t n);
