/*
 * client - what the runner asks of registries (distribution-spec).
 *
 * C1  Bytes that a digest names are hashed, whoever sent them; a manifest that a tag names is told with its digest.
 * C2  For pulls the mirrors of a registry are asked first, in order, then the registry itself; passwords of the one are not
 *     told to the other.
 * C3  Sizes are bounded by what was announced, and documents by limits of ours.
 * Lifecycle  new -> operations -> free.
 * Threads    one.
 */
#pragma once

#include "base/digest.h"
#include "base/jv.h"
#include "runtime/image/exchange.h"
#include "runtime/image/imagedoc.h"

struct client_options {
	const char *authfile;           /* NULL: the usual ones */
	const char *registries;         /* file; NULL: the usual ones */
	const struct credential *given; /* NULL: none */
	enum tls_verify verify;
};

struct client;
MUST_CHECK enum err_kind client_new(const struct client_options *o, struct client **ret,
				    struct err *e);
void client_free(struct client **c);
#define AUTO_CLIENT CLEANUP(client_free) struct client

/* Are user and password good?  Asks for /v2/ (distribution-spec "Determining support"). */
MUST_CHECK enum err_kind client_ping(struct client *c, const char *host, struct err *e);

/* --- A repository at one place --- */

struct client_repo {
	struct client *c;
	struct endpoint *ep;
	struct repo_name repo;
	char scope[ENDPOINT_SCOPE_MAX];
	unsigned tries_max; /* of exchange.h; fewer where there is another place to ask */
};
/* The registry itself; actions: "pull" or "pull,push". */
MUST_CHECK enum err_kind client_repo_open(struct client *c, const struct reference *ref,
					  const char *actions, struct client_repo *ret,
					  struct err *e);

struct client_manifest {
	struct sbuf body;
	char type[MEDIA_TYPE_MAX + 1];
	struct digest digest;
};
void client_manifest_clear(struct client_manifest *m);
#define AUTO_CLIENT_MANIFEST CLEANUP(client_manifest_clear) struct client_manifest

/* How many places an image may be had from: mirrors, then the registry. */
size_t client_places(const struct client *c, const struct reference *ref);
/*
 * By digest or tag, from the first place at or after *place that has it; *place says which, and *ret_repo is where to go on
 * asking.
 */
MUST_CHECK enum err_kind client_pull_manifest(struct client *c, const struct reference *ref,
					      size_t *place, struct client_manifest *ret,
					      struct client_repo *ret_repo, struct err *e);
/* From there; size_bytes 0: not announced. */
MUST_CHECK enum err_kind client_manifest_get(const struct client_repo *r, const struct digest *d,
					     uint64_t size_bytes, struct client_manifest *ret,
					     struct err *e);
/* A small blob, into memory. */
MUST_CHECK enum err_kind client_blob_read(const struct client_repo *r, const struct descriptor *d,
					  uint64_t size_max, struct sbuf *ret, struct err *e);
/* Makes x the request for a blob's bytes; the rest of it (sink, offset, arg) is the caller's to fill in. */
void client_blob_exchange(const struct client_repo *r, const struct digest *d,
			  char rest[static DIGEST_TEXT_MAX + 16], struct exchange *x);

/*
 * For exchange.body.accept: *ret_skip of the bytes that come are here already, of which there are have.  A part begins where
 * we stand, or the whole comes again.
 */
MUST_CHECK enum err_kind client_blob_accept(const struct transfer_job *j, uint64_t have,
					    uint64_t *ret_skip, struct err *e);

/*
 * Descriptors of what refers to a manifest, as an array (distribution-spec "Listing Referrers"), also where a registry knows
 * only the tag that stands for them; *ret_has_api tells which (may be NULL).
 */
MUST_CHECK enum err_kind client_referrers(const struct client_repo *r, const struct digest *d,
					  struct jv **ret, bool *ret_has_api, struct err *e);
/* The tag that has the index of referrers where there is no API for them. */
void client_referrers_tag(const struct digest *d, char ret[static TAG_NAME_MAX + 1]);

/* ERR_NOT_FOUND, with e untouched, if there is no such manifest. */
MUST_CHECK enum err_kind client_manifest_exists(const struct client_repo *r, const struct digest *d,
						struct err *e);
MUST_CHECK enum err_kind client_blob_exists(const struct client_repo *r, const struct digest *d,
					    struct err *e);
/* ERR_NOT_FOUND, with e untouched, if the registry does not find it there, or does not let us. */
MUST_CHECK enum err_kind client_blob_mount(const struct client_repo *r, const struct digest *d,
					   const char *from, struct err *e);
/* Bytes of a blob, at any offset; it is sent again from 0 if the connection breaks. */
MUST_CHECK enum err_kind client_blob_push(const struct client_repo *r, const struct digest *d,
					  uint64_t size_bytes, transfer_source_fn *source,
					  void *arg, struct err *e);
/* tag NULL: by digest. */
MUST_CHECK enum err_kind client_manifest_push(const struct client_repo *r, struct str body,
					      const char *type, const struct digest *d,
					      const char *tag, struct err *e);
struct transfer *client_transfer(struct client *c);
