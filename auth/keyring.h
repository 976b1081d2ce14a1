/*
 * keyring - the keys that we sign tokens with: made here, kept in a file, replaced from time to time, published.
 *
 * G1  The file has mode 0600 and is replaced as a whole; secrets of it are nowhere else on disk.
 * G2  A new key is published for a while before it signs; an old one stays as long as something it signed may count.
 * G3  Several processes may share the file: each takes what the others made.
 * Threads  any; keyring_tend by one at a time.
 */
#pragma once

#include "auth/jose.h"

struct keyring;

struct keyring_options {
	const char *path;
	uint64_t replace_ms; /* after which a new key is made */
	uint64_t keep_ms;    /* how long after that it checks what it signed */
};

/* Makes the first key if there is none. */
MUST_CHECK enum err_kind keyring_open(const struct keyring_options *o, struct keyring **ret,
				      struct err *e);
void keyring_close(struct keyring **take);

MUST_CHECK enum err_kind keyring_sign(struct keyring *k, const struct jv *payload, struct sbuf *b,
				      struct err *e);
/* Other times from now on; what may have been signed for longer is kept for so long. */
void keyring_set(struct keyring *k, uint64_t replace_ms, uint64_t keep_ms);
struct jose_keys *keyring_keys(struct keyring *k); /* a reference */
/* The JWK set to publish, as JSON. */
MUST_CHECK enum err_kind keyring_publish(struct keyring *k, struct sbuf *b, struct err *e);

/* Reads the file if it changed, and makes a key if one is due: *ret_made.  What fails leaves the old keys in force. */
MUST_CHECK enum err_kind keyring_tend(struct keyring *k, bool at_once, bool *ret_made,
				      struct err *e);
