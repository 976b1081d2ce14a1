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

/* The network that an address with a prefix is in: the bits behind the prefix are zero. */
struct ip_net ip_network(const struct ip_net *ip);
bool ip_net_overlaps(const struct ip_net *a, const struct ip_net *b);
/* Is the address one of the network? */
bool ip_net_has(const struct ip_net *network, const struct ip_net *ip);
/* The n'th address of a network, counted from its first; with the network's prefix. */
struct ip_net ip_nth(const struct ip_net *network, uint64_t n);
/* The last address of a network: of IPv4 the broadcast address. */
struct ip_net ip_last(const struct ip_net *network);
