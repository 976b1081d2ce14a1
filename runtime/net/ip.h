/*
 * ip - addresses as values.
 *
 * An IPv4 address in the form of an IPv6 one (::ffff:10.1.2.3) is read as the IPv4 address, as network plugins read it.
 * Threads  no shared state.
 */
#pragma once

#include "base/str.h"

/* An address with the length of its prefix; len is 4 or 16 bytes, 0 where there is none. */
struct ip_net {
	uint8_t len, prefix;
	uint8_t bytes[16];
};

#define IP_TEXT_MAX 64 /* with a prefix */

MUST_CHECK bool ip_parse(struct str in, struct ip_net *ret);     /* "10.1.2.3", without a prefix */
MUST_CHECK bool ip_net_parse(struct str in, struct ip_net *ret); /* "10.1.2.3/24" */
const char *ip_text(const struct ip_net *ip, char buf[static IP_TEXT_MAX]);     /* "10.1.2.3" */
const char *ip_net_text(const struct ip_net *ip, char buf[static IP_TEXT_MAX]); /* with prefix */
bool ip_eq(const struct ip_net *a, const struct ip_net *b); /* but for the prefix */
