/*
 * auth_impl - what the files of auth.h share: auth.c (sources and rules), auth_login.c (credentials), auth_account.c (who
 * an account or a key is now), auth_token.c (tokens of ours), auth_outside.c (tokens of others).
 */
#pragma once

#include "auth/apikey.h"
#include "auth/auth.h"
#include "auth/claimmap.h"
#include "auth/htpasswd.h"
#include "auth/idcache.h"
#include "auth/issuer.h"
#include "auth/token.h"
#include "base/filewatch.h"
#include "base/lock.h"

#define IDENTITIES_CACHED 16384
#define OUTSIDERS_MAX 64

/* Whose tokens count here besides ours. */
struct outsider {
	struct issuer *issuer;
	struct claimmap *
	    map; /* of a provider of workloads; NULL: a token server, whose tokens say what they are for */
};

struct auth {
	struct auth_options o; /* its times are under mu */
	struct idcache *cache;
	struct throttle *throttle;
	struct identity *anonymous;
	struct lock mu;
	struct rules *rules;                         /* under mu */
	struct htpasswd *htpasswd;                   /* under mu; NULL: not configured */
	struct apikeys *keys;                        /* under mu; NULL: not configured */
	struct filewatch htpasswd_watch, keys_watch; /* auth_tend's */
	struct keyring *keyring;                     /* NULL: no tokens of ours */
	struct directory *directory;                 /* NULL: none */
	size_t n_outsiders;
	struct outsider outsiders[OUTSIDERS_MAX];
};

struct auth_times auth_times_of(struct auth *a);
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
/* Who a name and password are, by the sources in their order.  ERR_LOGIN if none knows them. */
MUST_CHECK enum err_kind auth_check_password(struct auth *a, struct str name, struct str password,
					     struct identity **ret, struct err *e);
MUST_CHECK enum err_kind auth_open_outsiders(struct auth *a, struct err *e);
void auth_close_outsiders(struct auth *a);
void auth_tend_outsiders(struct auth *a, bool at_once, auth_note_fn *note, void *arg);
/* Is it one of a token server in the configuration, as far as it says itself? */
bool auth_is_outside_token(const struct auth *a, struct str token);
/* A token of a token server, with what it grants. */
MUST_CHECK enum err_kind auth_identify_outside(struct auth *a, struct str token,
					       struct identity **ret, struct err *e);
/* Could the password be a workload's token? */
bool auth_is_workload_token(const struct auth *a, struct str password);
/* A token of ours. */
MUST_CHECK enum err_kind auth_identify_token(struct auth *a, struct str token,
					     struct identity **ret, struct err *e);
