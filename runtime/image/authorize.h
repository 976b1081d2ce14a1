/*
 * authorize - the Authorization field for a request: Basic, or a Bearer token for the scope (distribution-spec, token
 * authentication; OAuth2 refresh tokens).
 *
 * A1  Passwords and refresh tokens go to the registry itself, and to the place that it names for tokens only if that is
 *     the same host, one with the same parent domain, or one that the configuration lists ("realms"); and never over plain
 *     HTTP where the registry itself is asked by HTTPS.  Elsewhere tokens are asked for without a password.
 * A2  A token is used for its scope and its time.
 * Threads  one at a time; may wait for the network.
 */
#pragma once

#include "runtime/image/endpoint.h"

struct authorizer {
	struct transfer *transfer;
	const char *authfile;           /* NULL: the usual ones */
	const struct credential *given; /* on the command line; NULL: none */
};

/*
 * "Authorization: ..." onto b, or nothing if none is known or needed.  repo_scope: "repository:NAME:pull", "" for none.
 */
MUST_CHECK enum err_kind authorize_field(const struct authorizer *a, struct endpoint *ep,
					 const char *repo, const char *scope, struct sbuf *b,
					 struct err *e);
/* Takes in what a 401 asks for.  ERR_DENIED if there is nothing more to offer. */
MUST_CHECK enum err_kind authorize_challenge(const struct authorizer *a, struct endpoint *ep,
					     const struct transfer_job *answer, const char *repo,
					     const char *scope, struct err *e);
/* May this place be told the endpoint's password (A1)? */
bool authorize_trusts_realm(const struct endpoint *ep, const char *realm);
