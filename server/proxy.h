/*
 * proxy - whose word about the client's address counts: the proxies of http.trusted_proxies, nobody else.
 *
 * Threads  a list does not change.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define PROXIES_MAX 64

struct proxies {
	size_t n;
	struct {
		uint8_t bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
		unsigned bits;
	} items[PROXIES_MAX];
};

/* Addresses and networks (10.0.0.0/8), with blanks or commas between.  ERR_INVALID. */
MUST_CHECK enum err_kind proxies_parse(struct str list, struct proxies *ret, struct err *e);
/* Is the peer one of them? */
bool proxies_trust(const struct proxies *p, const char *peer);
/*
 * Who is behind it: of the addresses of an X-Forwarded-For, from its end, the first that is no proxy of ours, if the peer is
 * one.  Otherwise, and if the field is not what it should be, the peer.
 */
const char *proxies_client(const struct proxies *p, const char *peer, struct str field, char *buf,
			   size_t cap);
