/*
 * guard - everything about who may do what, made from the options, and looked after while berthd serves.
 *
 * Lifecycle  guard_open, while files that only root can read can be read -> guard_start, once the root is ours ->
 *            (guard_tend, again and again) -> guard_close.
 * Threads    open, start, tend and close by one thread; what tend finds changed is read on a worker.
 */
#pragma once

#include "auth/auth.h"
#include "server/request.h"
#include "server/tls.h"

struct guard;

/* Certificates.  c is good (conf_check.h); without any of it in c nothing is guarded, and *ret works. */
MUST_CHECK enum err_kind guard_open(const struct conf *c, struct server *s, struct guard **ret,
				    struct err *e);
/* Accounts and keys, which may be made now. */
MUST_CHECK enum err_kind guard_start(struct guard *g, struct server *s, struct err *e);
void guard_close(struct guard **take, struct server *s);
/* To be called several times a second; reload: whatever the files look like. */
void guard_tend(struct guard *g, bool reload);

/* --- other options --- */

/* What is made ready before a reload is certain; zeros: nothing. */
struct guard_change {
	struct rules *rules;
	struct tls *tls;
	struct limit_options limits;
	struct auth_times times;
};
/* Can it go on with the option's value in c, or does that need a restart? */
bool guard_can_take(const struct guard *g, const char *key, const struct conf *c);
MUST_CHECK enum err_kind guard_prepare(const struct guard *g, const struct conf *old,
				       const struct conf *new, struct guard_change *ret,
				       struct err *e);
/* Consumes what is in it. */
void guard_commit(struct guard *g, struct guard_change *change);
void guard_change_clear(struct guard_change *change);

/* Are there accounts that can do only what rules of access let them? */
bool guard_has_names(const struct conf *c);
/* Are there accounts of any kind? */
bool guard_has_accounts(const struct conf *c);
/* Accounts, and nobody on the way reads or changes anything: fit for any network. */
bool guard_is_closed(const struct conf *c);

/* False if no directory is asked. */
bool guard_ldap_options(const struct conf *c, struct directory_options *ret);
struct tls_options guard_tls_options(const struct conf *c);

/* Where keys are kept: a file in auth.directory. */
#define GUARD_KEYS "keys"
#define GUARD_KEYRING "token-keys.json"
#define GUARD_PATH_MAX 4352
const char *guard_path(const struct conf *c, const char *file, char buf[static GUARD_PATH_MAX]);
/* Makes that directory, and the root around it, if need be. */
MUST_CHECK enum err_kind guard_make_directory(const struct conf *c, struct err *e);
