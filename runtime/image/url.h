/*
 * url - the little that a registry's client needs to know of URLs (RFC 3986).
 *
 * Threads  no shared state.
 */
#pragma once

#include "base/str.h"

#define URL_MAX 8192
#define URL_HOST_MAX 255

/* SCHEME://HOST[:PORT]/..., http and https only, without user information. */
struct url {
	bool is_https;
	char host[URL_HOST_MAX + 1]; /* lower case; an IPv6 address in brackets */
	unsigned port;               /* of the scheme if it is not told */
	struct str rest;             /* from the path on, "/" at least; borrowed unless empty */
};

MUST_CHECK bool url_parse(struct url *ret, struct str in);
/* What a reference in an answer from base means (RFC 3986 5.2, without dot segments); false if it is no URL of ours. */
MUST_CHECK bool url_resolve(struct str base, struct str reference, struct sbuf *ret);
/* Same scheme, host and port: what may be told to one may be told to the other. */
bool url_same_origin(const struct url *a, const struct url *b);
bool host_is_loopback(const char *host);

/* Appends "?key=value" or "&key=value". */
void url_add_query(struct sbuf *b, const char *key, struct str value);
