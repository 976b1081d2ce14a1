/*
 * origin - the address that clients know this server by, for answers that must name it in full.
 *
 * N1  It is http.external_url where that is set.  Otherwise Host decides only if it can be nobody else's: a name that one of
 *     our certificates is for or, without TLS, one of this machine for itself.  Else it is the address that was connected to.
 * Threads  no shared state.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define ORIGIN_MAX 320

struct request;

struct origin {
	char url[ORIGIN_MAX];    /* without a slash at the end; "": not configured */
	char prefix[ORIGIN_MAX]; /* its path: what a proxy in front takes away */
};

/* ERR_INVALID unless it is empty, or http:// or https:// with a host and perhaps a path. */
MUST_CHECK enum err_kind origin_parse(struct str url, struct origin *ret, struct err *e);
/* Without a slash at the end. */
const char *origin_of(const struct request *rq, char buf[static ORIGIN_MAX]);

/* A host with or without a port, as it may stand in Host: parts of a name or address, and digits. */
bool host_is_wellformed(struct str field);
