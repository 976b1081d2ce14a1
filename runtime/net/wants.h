/*
 * wants - what a user wants of a container's network, as the capabilities that plugins take (CNI CONVENTIONS.md).
 *
 *   ports      -p [[HOSTIP:]HOSTPORT:]PORT[/PROTOCOL], ranges of equal length for both ports, IPv6 in brackets; without
 *              HOSTPORT (also HOSTIP::PORT) its number is 0, and a free one is to be chosen (ports.h)
 *   addresses  --ip, with or without the length of the prefix
 *   mac        --mac-address
 *   aliases    more names on the network
 *   dns        --dns, --dns-search, --dns-option
 *   bandwidth  bits a second of each direction, "800K", "16M", "1G" by thousands; bursts are a tenth of a second's
 *
 * U1  Everything was checked when it was added; plugins never see text that is no port, address or name.
 * U2  What no plugin of the network can do is an error, never left out in silence.
 * Ownership  the caller clears; the value of wants_capabilities is its own.
 * Threads    one thread at a time per struct wants.
 */
#pragma once

#include "base/err.h"
#include "base/jv.h"
#include "runtime/net/conflist.h"

#define WANTS_PORTS_MAX 4096

struct wants {
	struct jv *ports, *ips, *aliases; /* arrays; NULL: none */
	struct jv *servers, *searches, *dns_options;
	char mac[sizeof("00:00:00:00:00:00")];
	uint64_t ingress_rate, egress_rate; /* 0: no limit */
};

void wants_clear(struct wants *w);
#define AUTO_WANTS CLEANUP(wants_clear) struct wants

MUST_CHECK enum err_kind wants_port(struct wants *w, struct str in, struct err *e);
MUST_CHECK enum err_kind wants_ip(struct wants *w, struct str in, struct err *e);
MUST_CHECK enum err_kind wants_mac(struct wants *w, struct str in, struct err *e);
MUST_CHECK enum err_kind wants_alias(struct wants *w, struct str in, struct err *e);
/* What comes to the container (ingress), or goes from it. */
MUST_CHECK enum err_kind wants_rate(struct wants *w, bool ingress, struct str in, struct err *e);
MUST_CHECK enum err_kind wants_dns_server(struct wants *w, struct str in, struct err *e);
MUST_CHECK enum err_kind wants_dns_search(struct wants *w, struct str in, struct err *e);
MUST_CHECK enum err_kind wants_dns_option(struct wants *w, struct str in, struct err *e);

/*
 * As an object for this network; NULL for nothing wanted.  ERR_UNSUPPORTED if it has no plugin for something.  Names and
 * name servers are for the caller as well (names.h, hosts.h), so they are kept where no plugin takes them.
 */
MUST_CHECK enum err_kind wants_capabilities(const struct wants *w, const struct conflist *l,
					    struct jv **ret, struct err *e);

/* A host's or container's name: labels of letters, digits and "-", by dots, at most 253 bytes (RFC 1123). */
bool is_host_name(struct str in);
