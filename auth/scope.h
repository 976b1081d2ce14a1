/*
 * scope - what a client asks a token for (distribution's "Token Scope Documentation"): repository:NAME:ACTION,ACTION.
 *
 * A list of scopes has blanks between them.  What is not about repositories or the catalog is let pass, and gives nothing.
 * Threads  no shared state.
 */
#pragma once

#include "auth/identity.h"
#include "base/refname.h"

#define SCOPES_MAX 64 /* of one token */

struct scopes {
	size_t n;
	struct {
		struct repo_name repository;
		unsigned actions; /* ACTION_* bits; ACTIONS_ALL for * */
	} items[SCOPES_MAX];
	bool catalog;
};

/* Adds a list.  ERR_INVALID: malformed; ERR_TOO_LARGE: more than SCOPES_MAX repositories. */
MUST_CHECK enum err_kind scopes_add(struct scopes *s, struct str list, struct err *e);
