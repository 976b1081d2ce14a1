/*
 * auth_impl - what the files of auth.h share: auth.c (sources and rules), auth_login.c (credentials), auth_account.c (who
 * an account or a key is now), auth_token.c (tokens of ours).
 */
#pragma once

#include "auth/apikey.h"
#include "auth/auth.h"
#include "auth/htpasswd.h"
#include "auth/idcache.h"
#include "auth/token.h"
#include "base/filewatch.h"
#include "base/lock.h"

#define IDENTITIES_CACHED 16384

struct auth {
	struct auth_options o;
	struct idcache *cache;
	struct throttle *throttle;
	struct identity *anonymous;
	struct lock mu;
	struct rules *rules;                         /* under mu */
	struct htpasswd *htpasswd;                   /* under mu; NULL: not configured */
	struct apikeys *keys;                        /* under mu; NULL: not configured */
	struct filewatch htpasswd_watch, keys_watch; /* auth_tend's */
	struct keyring *keyring;                     /* NULL: no tokens of ours */
};

struct rules *auth_rules(struct auth *a);       /* a reference */
struct htpasswd *auth_htpasswd(struct auth *a); /* a reference, or NULL */
struct apikeys *auth_keys(struct auth *a);      /* a reference, or NULL */

/* Who that is now: the account must be there, unchanged, and the key not revoked.  ERR_LOGIN. */
MUST_CHECK enum err_kind auth_find_owner(struct auth *a, const struct token_owner *o,
					 const struct token *scoped, struct identity **ret,
					 struct err *e);
/* The same for a key given as a password. */
MUST_CHECK enum err_kind auth_find_key(struct auth *a, struct str name, struct str text,
				       struct identity **ret, struct err *e);
/* Of an account whose password was right. */
MUST_CHECK enum err_kind auth_find_user(struct auth *a, struct str name, struct identity **ret,
					struct err *e);
/* A token of ours. */
MUST_CHECK enum err_kind auth_identify_token(struct auth *a, struct str token,
					     struct identity **ret, struct err *e);
