/*
 * fetch - small documents of servers that the configuration trusts, on libcurl; the only file that includes it.
 *
 * H1  https, checked against authorities; http only from this machine itself.  No redirect is followed.
 * H2  Time and size are bounded.
 * H3  No message has what was sent or received in it.
 * Threads  any; all block.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct fetch {
	const char *ca;      /* file of authorities; NULL: the system's */
	uint64_t timeout_ms; /* in all */
	size_t bytes_max;    /* of the answer */
};

/* Is it an address that H1 lets pass?  Nothing is looked up. */
bool fetch_may(const char *url);
/* The body of a 200; ERR_AWAY for anything else. */
MUST_CHECK enum err_kind fetch_get(const struct fetch *f, const char *url, struct sbuf *ret,
				   struct err *e);
/* The same of an answer to a form; authorization is NULL, or NAME:PASSWORD for Basic. */
MUST_CHECK enum err_kind fetch_post(const struct fetch *f, const char *url, struct str form,
				    const char *authorization, struct sbuf *ret, struct err *e);
