/*
 * issuer - somebody else whose tokens count here: another token server, or an OpenID provider; and its keys.
 *
 * Keys come from a file, or from an address, or from what the issuer publishes about itself (OpenID Connect Discovery 1.0,
 * which must name the same issuer).
 * N1  A key that is not known makes us ask for the keys again, at most once a minute, whoever sends how many such tokens.
 * N2  While the issuer is away, the keys that it had last count, for a day.
 * N3  Signature, algorithm (jose.h), issuer, audience and times are checked, in this order.
 * Threads  any; issuer_verify may block; issuer_tend by one at a time.
 */
#pragma once

#include "auth/fetch.h"
#include "auth/jose.h"
#include "base/form.h"

struct issuer;

/*
 * Reads the members name, issuer, audience, keys, keys_url and ca of an entry; others are the caller's.  What is wrong shows
 * in the form.  Without keys and keys_url the issuer is asked.
 */
MUST_CHECK enum err_kind issuer_read(struct form *f, struct issuer **ret, struct err *e);
void issuer_free(struct issuer **take);

struct str issuer_name(const struct issuer *i);     /* in the configuration */
struct str issuer_url(const struct issuer *i);      /* in tokens */
struct str issuer_audience(const struct issuer *i); /* who we are to it */
const struct fetch *issuer_fetch(const struct issuer *i);
/* A file it needs, or NULL. */
const char *issuer_file(const struct issuer *i);

/* ERR_LOGIN; ERR_AWAY: there are no keys to check it with. */
MUST_CHECK enum err_kind issuer_verify(struct issuer *i, struct str token, uint64_t now_wall_ms,
				       struct jv **ret_payload, uint64_t *ret_until_ms,
				       struct err *e);
/* What it publishes about itself.  ERR_AWAY. */
MUST_CHECK enum err_kind issuer_discover(const struct issuer *i, struct jv **ret, struct err *e);

/* Takes changed keys, by file at once, by address from time to time.  *ret_changed says that others are in force. */
MUST_CHECK enum err_kind issuer_tend(struct issuer *i, bool at_once, bool *ret_changed,
				     struct err *e);
