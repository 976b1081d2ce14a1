/*
 * token - what our own tokens say: who, for what, from when until when.
 *
 * T1  An access token is none for renewal, and the other way round.
 * T2  A token counts from its time of issue on and not at its end, by the wall clock of now; without all its claims it is none.
 * T3  What it says is who, and what was asked for; what that may do is looked up when it is used.
 * Threads  no shared state but the keyring.
 */
#pragma once

#include "auth/identity.h"
#include "auth/keyring.h"

enum token_use { TOKEN_ACCESS, TOKEN_REFRESH };

/* Who it was issued to, as needed to look it up again. */
struct token_owner {
	enum identity_kind kind;
	struct str name;
	uint64_t version; /* of the password (htpasswd_version); 0: kept elsewhere */
	struct str key;   /* id of the key it came with; empty: none */
	size_t n_groups;  /* that it brought with it */
	const struct str *groups;
};

struct token_terms {
	enum token_use use;
	const char *service; /* issuer and audience */
	uint64_t lifetime_ms;
	struct grants scope; /* of access tokens: names of repositories, no patterns */
	bool catalog;
};

MUST_CHECK enum err_kind token_issue(struct keyring *k, const struct token_owner *to,
				     const struct token_terms *terms, uint64_t now_wall_ms,
				     struct sbuf *b, struct err *e);

#define TOKEN_GROUPS_MAX 256
#define TOKEN_GRANTS_MAX 64

/* A token that was read; texts point into doc. */
struct token {
	struct jv *doc;
	struct token_owner owner;
	struct grants scope;
	bool catalog;
	uint64_t until_wall_ms;
	struct str groups[TOKEN_GROUPS_MAX];
	struct grant grants[TOKEN_GRANTS_MAX];
};
void token_clear(struct token *t);

/* ERR_LOGIN if it does not count, for whatever reason. */
MUST_CHECK enum err_kind token_read(struct keyring *k, struct str text, enum token_use use,
				    const char *service, uint64_t now_wall_ms, struct token *ret,
				    struct err *e);

/* --- claims, for tokens of others too --- */

struct claims_wanted {
	struct str issuer, audience;
	uint64_t now_wall_ms, leeway_ms;
};
/* iss, aud, exp (*ret_until_ms), nbf and iat. */
MUST_CHECK enum err_kind claims_check(const struct jv *payload, const struct claims_wanted *w,
				      uint64_t *ret_until_ms, struct err *e);
/* The access claim: actions on named repositories.  ERR_LOGIN if it is not as it must be. */
MUST_CHECK enum err_kind claims_access(const struct jv *payload, struct grant *ret, size_t max,
				       size_t *ret_n, bool *ret_catalog, struct err *e);
