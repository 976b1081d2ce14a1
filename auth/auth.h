/*
 * auth - who is it, and may they: all sources of identities, and the rules, behind one face.
 *
 * Z1  What is not allowed is denied; what cannot be checked is refused.
 * Z2  auth_recall answers from memory and never blocks; auth_identify may hash, or ask others, and is for workers.
 * Z3  Changed files count within two calls of auth_tend.  One that is not good leaves the old in force.
 * Z4  No message has a password, a key or a token in it.
 * Lifecycle  auth_open -> ... -> auth_close.
 * Threads    any; auth_tend by one at a time.
 */
#pragma once

#include "auth/directory.h"
#include "auth/rule.h"
#include "auth/scope.h"
#include "auth/throttle.h"

struct auth;

/* What can change while it runs. */
struct auth_times {
	uint64_t password_cache_ms;
	uint64_t token_ms, refresh_ms,
	    replace_ms;                   /* of access, of renewal, of the keys that sign */
	struct throttle_options throttle; /* but for entries_max */
};

struct auth_options {
	const struct jv *access, *groups;     /* lists of the configuration */
	const char *htpasswd;                 /* file; NULL: none */
	const char *keys;                     /* file of API keys; NULL: none */
	const struct jv *issuers;             /* list: other token servers */
	const struct jv *oidc;                /* list: OpenID providers of workloads */
	const struct directory_options *ldap; /* NULL: none */
	struct auth_times times;
	struct auth_token_options {
		const char *keyring; /* file of the keys that sign; NULL: no tokens of ours */
		const char *service; /* the name that clients ask tokens for */
	} tokens;
};

MUST_CHECK enum err_kind auth_open(const struct auth_options *o, struct auth **ret, struct err *e);
void auth_close(struct auth **take);
/* Are these lists good?  NULL is; files: what they name is read as well; all: NULL, or who hears of each fault. */
MUST_CHECK enum err_kind auth_check_outsiders(const struct jv *issuers, const struct jv *oidc,
					      bool files, struct faults *all, struct err *e);

/* --- who --- */

/* What came with a request; borrowed. */
struct credentials {
	const char *authorization;    /* the field, NULL without one */
	bool repeated;                /* there were several */
	const char *address;          /* the client's */
	struct identity *certificate; /* NULL: none, or none that counts */
};

/*
 * *ret is a reference, or NULL if auth_identify is to be asked.  ERR_LOGIN for what cannot be anybody's credentials.
 */
MUST_CHECK enum err_kind auth_recall(struct auth *a, const struct credentials *c,
				     struct identity **ret, struct err *e);

struct auth_failure {
	uint64_t wait_ms;                /* before the next try, for ERR_TOO_MANY */
	char account[IDENTITY_TEXT_MAX]; /* who it claimed to be, or "" */
};
/* ERR_LOGIN, ERR_TOO_MANY, ERR_AWAY. */
MUST_CHECK enum err_kind auth_identify(struct auth *a, const struct credentials *c,
				       struct identity **ret, struct auth_failure *ret_failure,
				       struct err *e);
/* The same for a name and password that came another way. */
MUST_CHECK enum err_kind auth_identify_password(struct auth *a, struct str name,
						struct str password, const char *address,
						struct identity **ret,
						struct auth_failure *ret_failure, struct err *e);

/* --- tokens --- */

bool auth_has_tokens(const struct auth *a);

struct auth_tokens {
	struct sbuf access,
	    refresh; /* no refresh for those whose credentials are short-lived themselves */
	uint64_t issued_wall_ms, lifetime_ms;
	struct scopes granted;
};
void auth_tokens_clear(struct auth_tokens *t);
#define AUTO_AUTH_TOKENS CLEANUP(auth_tokens_clear) struct auth_tokens

/* For what of `asked` the identity may do now. */
MUST_CHECK enum err_kind auth_issue(struct auth *a, const struct identity *id,
				    const struct scopes *asked, bool wants_refresh,
				    struct auth_tokens *ret, struct err *e);
/* Whose refresh token it is, if that may still log in.  ERR_LOGIN. */
MUST_CHECK enum err_kind auth_identify_refresh(struct auth *a, struct str token,
					       struct identity **ret, struct err *e);
/* Whose a token of an OpenID provider is, which is as good as a password.  ERR_LOGIN, ERR_AWAY. */
MUST_CHECK enum err_kind auth_identify_workload(struct auth *a, struct str token,
						struct identity **ret, struct err *e);
/* The JWK set by which others can check our tokens. */
MUST_CHECK enum err_kind auth_publish(struct auth *a, struct sbuf *b, struct err *e);

/* --- may they --- */

struct decision auth_decide(struct auth *a, const struct identity *id, struct str repository,
			    enum action action);
/* The same for pulling, whatever the identity's token is for. */
bool auth_may_pull_unscoped(struct auth *a, const struct identity *id, struct str repository);
/* Must the tag stay as it is, once it is set?  Not for administrators of the repository, whatever their token is for. */
bool auth_tag_is_fixed(struct auth *a, const struct identity *id, struct str repository,
		       struct str tag);

/* --- from time to time --- */

/*
 * Something about the sources changed, or could not: for the log.  The events "key.made" and "key.revoked" are for each key
 * that was.
 */
typedef void auth_note_fn(void *arg, bool bad, const char *event, const char *text);
/* at_once: whatever the files look like. */
void auth_tend(struct auth *a, bool at_once, auth_note_fn *note, void *arg);
/* Other times from now on; a token that was issued keeps its own. */
void auth_set_times(struct auth *a, const struct auth_times *t);
/* Other rules from now on; they are consumed. */
void auth_take_rules(struct auth *a, struct rules **take);
/* The same from lists. */
MUST_CHECK enum err_kind auth_set_rules(struct auth *a, const struct jv *access,
					const struct jv *groups, struct err *e);
