/*
 * signin - people who log in at an OpenID provider, by the authorisation code flow (OpenID Connect Core 1.0 section 3.1) with
 * PKCE (RFC 7636): the half of it that is not a web page.
 *
 * Sequence  signin_begin; the browser goes to the address and keeps the ticket in a cookie; it comes back with state and code;
 *           signin_finish.
 * Q1  A state works once, within ten minutes, and only together with the ticket of the browser that began: neither a link
 *     nor another browser ends what this one began.
 * Q2  The ID token must be the provider's, for us, and carry the nonce of this sign-in; the code is of no use without the
 *     verifier that never leaves us.
 * Q3  Who begins and never comes back takes bounded memory: the oldest is forgotten.
 * Threads  any; both block.
 */
#pragma once

#include "auth/claimmap.h"
#include "auth/issuer.h"

struct signin;

struct signin_options {        /* borrowed */
	struct issuer *issuer; /* its audience is our client_id */
	const struct claimmap *map;
	const char *client_secret; /* NULL: we are a public client */
	const char *redirect_url;
	const char *scope; /* "openid email" */
};

MUST_CHECK enum err_kind signin_new(const struct signin_options *o, struct signin **ret,
				    struct err *e);
void signin_free(struct signin **take);

#define SIGNIN_TICKET_MAX 33

struct signin_start {
	struct sbuf url;
	char ticket[SIGNIN_TICKET_MAX];
};
void signin_start_clear(struct signin_start *s);
#define AUTO_SIGNIN_START CLEANUP(signin_start_clear) struct signin_start

MUST_CHECK enum err_kind signin_begin(struct signin *s, struct signin_start *ret, struct err *e);
/* ERR_LOGIN, ERR_AWAY. */
MUST_CHECK enum err_kind signin_finish(struct signin *s, struct str state, struct str ticket,
				       struct str code, struct identity **ret, struct err *e);
