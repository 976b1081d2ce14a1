/*
 * jose - signed tokens and the keys they are signed with (RFC 7515, 7517, 7518), on cjose; the only file that includes it.
 * EdDSA (RFC 8037), which cjose has not, is checked by base/ed25519 with keys of others; ours sign with ES256.
 *
 * J1  The algorithm is the key's, as our record of it says; a token that names another is refused.
 * J2  A token has one text: other spellings of the same bytes are refused.
 * J3  What a token says about where keys are (jwk, jku, x5c, x5u) is not looked at; what it demands (crit) is refused.
 * J4  Keys that cannot check signatures, secrets that are shared, and RSA below 2048 bits are left out of a set.
 * Ownership  sets count references.
 * Threads    any; keys and sets do not change.
 */
#pragma once

#include "base/jv.h"

#define TOKEN_MAX 16384 /* bytes */
#define KID_MAX 128

/* ERR_LOGIN, "token: WHY". */
enum err_kind token_refuse(struct err *e, const char *why);

/* --- checking --- */

struct jose_keys;

/* A JWK set.  Keys that are of no use are left out; *ret may have none. */
MUST_CHECK enum err_kind jose_keys_parse(struct str json, struct jose_keys **ret, struct err *e);
struct jose_keys *jose_keys_get(struct jose_keys *k);
void jose_keys_put(struct jose_keys **take);
#define AUTO_JOSE_KEYS CLEANUP(jose_keys_put) struct jose_keys
size_t jose_keys_count(const struct jose_keys *k);

/* Three parts with dots between, as far as can be said without looking closer. */
bool jose_looks_like_token(struct str text);
/* The payload, unchecked, to find out whose keys to check it with.  ERR_LOGIN if it is none. */
MUST_CHECK enum err_kind jose_peek(struct str token, struct jv **ret_payload, struct err *e);
/*
 * The payload of a token that one of the keys signed.  ERR_NOT_FOUND: signed with a key that is not in the set, or so it
 * says.  ERR_LOGIN for anything else that is wrong with it.
 */
MUST_CHECK enum err_kind jose_verify(const struct jose_keys *keys, struct str token,
				     struct jv **ret_payload, struct err *e);

/* --- signing, with ES256 --- */

struct jose_key;

MUST_CHECK enum err_kind jose_key_make(struct jose_key **ret, struct err *e);
/* From what jose_key_dump wrote with its secret. */
MUST_CHECK enum err_kind jose_key_parse(struct str json, struct jose_key **ret, struct err *e);
void jose_key_free(struct jose_key **take);
const char *jose_key_id(const struct jose_key *k);
/* A JWK, as JSON onto b. */
MUST_CHECK enum err_kind jose_key_dump(const struct jose_key *k, bool secret, struct sbuf *b,
				       struct err *e);
/* Compact form onto b.  ERR_TOO_LARGE if that is above TOKEN_MAX, or more than b takes. */
MUST_CHECK enum err_kind jose_sign(const struct jose_key *k, const struct jv *payload,
				   struct sbuf *b, struct err *e);
