/*
 * reference - names of images as docker writes them: [HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST].
 *
 * F1  A struct reference exists only if its text matched the grammar; host and repository are lower case.
 * F2  Without a host it is docker.io, and one-part names there are in library/; without tag and digest it is latest.
 * F3  With a digest the digest decides; a tag beside it is kept as a name.
 * Threads  no shared state.
 */
#pragma once

#include "base/digest.h"
#include "base/err.h"
#include "base/refname.h"

#define REFERENCE_HOST_MAX 255
#define REFERENCE_TEXT_MAX (REFERENCE_HOST_MAX + REPO_NAME_MAX + TAG_NAME_MAX + DIGEST_TEXT_MAX + 4)

struct reference {
	char host[REFERENCE_HOST_MAX + 1]; /* "docker.io", "127.0.0.1:5000", "[::1]:5000" */
	struct repo_name repo;             /* in that registry: "library/busybox" */
	struct tag_name tag;               /* len 0: none */
	bool has_digest;
	struct digest digest;
};

/* ERR_INVALID says what is wrong. */
MUST_CHECK enum err_kind reference_parse(struct reference *ret, struct str in, struct err *e);
/* A registry alone: HOST[:PORT], for login. */
MUST_CHECK bool reference_host_parse(char ret[static REFERENCE_HOST_MAX + 1], struct str in);

/* In full, and as people know it: without docker.io/library/. */
const char *reference_text(const struct reference *r, char buf[static REFERENCE_TEXT_MAX]);
const char *reference_short(const struct reference *r, char buf[static REFERENCE_TEXT_MAX]);
/* The part before the tag, in full. */
const char *reference_name(const struct reference *r, char buf[static REFERENCE_TEXT_MAX]);

/*
 * The repository of the local store that has it: one for each host and repository.  A host's colons are no part of the
 * grammar of repositories: PORT follows "__", and an IPv6 address is eight groups with "_" between them, which no other
 * host has.  False if the name gets longer than REPO_NAME_MAX.
 */
MUST_CHECK bool reference_to_store(const struct reference *r, struct repo_name *ret);
/* Host and repository of such a name; tag and digest are left empty. */
MUST_CHECK bool reference_from_store(struct reference *ret, struct str name);
