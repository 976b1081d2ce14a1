/*
 * ed25519 - checks signatures of RFC 8032 (OpenSSL).
 *
 * Threads  no shared state; burns CPU, never blocks.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define ED25519_KEY_BYTES 32
#define ED25519_SIGNATURE_BYTES 64

/* False as well for what is no key, and without memory. */
MUST_CHECK bool ed25519_verify(const uint8_t key[static ED25519_KEY_BYTES], struct str message,
			       const uint8_t signature[static ED25519_SIGNATURE_BYTES]);
