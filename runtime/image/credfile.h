/*
 * credfile - passwords for registries, where other programs keep them: docker's config.json and the containers' auth.json,
 * and the helpers that those name.
 *
 * R1  Looked for in this order: the file named; $REGISTRY_AUTH_FILE; $XDG_RUNTIME_DIR/containers/auth.json;
 *     $XDG_CONFIG_HOME/containers/auth.json; $DOCKER_CONFIG/config.json (~/.docker).  The first that knows the registry wins.
 * R2  Written to the file named, $REGISTRY_AUTH_FILE, or docker's; what else is in it stays, and nobody else can read it.
 * R3  Helpers (docker-credential-NAME) are asked with a bounded answer and a time limit.
 * Ownership  the caller wipes what it got (credential_clear).
 * Threads    one at a time.
 */
#pragma once

#include "base/err.h"
#include "base/secret.h"

#define CREDENTIAL_USER_MAX 512
#define CREDENTIAL_SECRET_MAX SECRET_MAX

struct credential {
	char user[CREDENTIAL_USER_MAX];
	char secret[CREDENTIAL_SECRET_MAX];
	bool is_token; /* a refresh token in place of a password (docker's identitytoken) */
};
void credential_clear(struct credential *c);
#define AUTO_CREDENTIAL CLEANUP(credential_clear) struct credential

/* For HOST, or for HOST/REPOSITORY where a file is that exact.  ERR_NOT_FOUND, with e untouched, if nobody knows it. */
MUST_CHECK enum err_kind credfile_find(const char *file, const char *host, const char *repo,
				       struct credential *ret, struct err *e);
/* *ret_where (may be NULL) is text for the user: which file or helper took it; to be freed. */
MUST_CHECK enum err_kind credfile_store(const char *file, const char *host,
					const struct credential *c, char **ret_where,
					struct err *e);
/* ERR_NOT_FOUND if it was not there. */
MUST_CHECK enum err_kind credfile_erase(const char *file, const char *host, struct err *e);

/* "USER:PASSWORD" from base64, as in the files' "auth"; false if it is none. */
MUST_CHECK bool credential_from_auth(struct credential *ret, struct str auth);
