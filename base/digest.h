/*
 * digest - a content digest as a value: algorithm and bytes (image-spec, descriptor.md "Digests").
 *
 * D1  A struct digest exists only if its text matched `sha256:<64 hex>` or `sha512:<128 hex>`, lower case.
 * D2  Unused tail bytes are zero, so that equality and hashing may take the whole struct.
 * Threads  no shared state.
 */
#pragma once

#include "base/str.h"

enum digest_alg { DIGEST_SHA256 = 1, DIGEST_SHA512 = 2 }; /* values are on disk: FORMAT.md */

#define DIGEST_BYTES_MAX 64
#define DIGEST_HEX_MAX (2 * DIGEST_BYTES_MAX)
#define DIGEST_TEXT_MAX (sizeof("sha512:") + DIGEST_HEX_MAX)

struct digest {
	uint8_t alg; /* enum digest_alg */
	uint8_t bytes[DIGEST_BYTES_MAX];
};
_Static_assert(sizeof(struct digest) == 65, "part of index keys: no padding");

/* False unless in is a digest of a known algorithm; *ret is untouched then. */
MUST_CHECK bool digest_parse(struct digest *ret, struct str in);
/* True if in has the shape `algorithm:encoded` of the specification, known algorithm or not. */
bool digest_is_wellformed(struct str in);
MUST_CHECK bool digest_alg_parse(enum digest_alg *ret, struct str in);
const char *digest_alg_text(uint8_t alg);

/* Both write NUL-terminated text into buf and return it. */
const char *digest_text(const struct digest *d, char buf[static DIGEST_TEXT_MAX]);
const char *digest_hex(const struct digest *d, char buf[static DIGEST_HEX_MAX + 1]);

size_t digest_size(uint8_t alg); /* bytes of a digest of this algorithm, 0 if unknown */
bool digest_eq(const struct digest *a, const struct digest *b);
