/*
 * endpoint - a registry, or a mirror of one, as a place to send requests to: address, trust, and what it was told so far.
 *
 * E1  Certificates of /etc/containers/certs.d/HOST[:PORT], /etc/docker/certs.d/HOST[:PORT] and, below $HOME,
 *     .config/containers/certs.d: *.crt are trusted beside the system's, NAME.cert and NAME.key are shown to the registry.
 * E2  Plain HTTP is used only where certificates need not be verified either: on loopback, where the configuration says
 *     "insecure", or with --tls-verify=false; and only if HTTPS does not work there.
 * Threads  one at a time.
 */
#pragma once

#include "base/arena.h"
#include "base/secret.h"
#include "runtime/image/challenge.h"
#include "runtime/image/credfile.h"
#include "runtime/image/reference.h"
#include "runtime/image/regconf.h"
#include "runtime/image/transfer.h"

#define ENDPOINT_TOKEN_MAX (64u * 1024)
#define ENDPOINT_SCOPE_MAX (2 * (REPO_NAME_MAX + 64)) /* a mount is about two repositories */

enum tls_verify { TLS_DEFAULT, TLS_VERIFY, TLS_SKIP };

struct endpoint_token {
	struct endpoint_token *next;
	char scope[ENDPOINT_SCOPE_MAX];
	char *text; /* owned, wiped */
	uint64_t until_mono_ms;
};

struct endpoint {
	struct endpoint *next;
	char registry[REFERENCE_HOST_MAX +
		      1]; /* whose passwords are used: "docker.io", or the mirror */
	char host[REFERENCE_HOST_MAX + 1]; /* to connect to: "registry-1.docker.io" */
	char prefix[REPO_NAME_MAX + 2];    /* before the repository: "" or "hub/" */
	const struct registry_conf *conf;  /* may be NULL */
	bool is_http;                      /* found out, or asked for */
	bool scheme_is_known;
	bool may_use_http;
	struct transfer_tls tls;
	struct arena arena; /* of tls */

	/* What authorize.c found out. */
	struct challenge challenge;
	bool has_credential, looked_for_credential;
	struct credential credential;
	struct endpoint_token *tokens;
};

/* name: HOST[:PORT], or of a mirror a URL or HOST[:PORT]/PREFIX. */
MUST_CHECK enum err_kind endpoint_new(const char *name, const struct regconf *conf,
				      enum tls_verify verify, struct endpoint **ret, struct err *e);
void endpoint_free(struct endpoint **ep);

/* "https://HOST/v2/PREFIX" REPOSITORY REST onto b; repo NULL: "https://HOST/v2/". */
void endpoint_url(const struct endpoint *ep, const struct repo_name *repo, const char *rest,
		  struct sbuf *b);
