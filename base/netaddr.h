/*
 * netaddr - whom an address stands for, where clients are counted by their addresses.
 *
 * Threads  no shared state.
 */
#pragma once

#include <netinet/in.h>

#include "base/str.h"

/*
 * The network of one client: all of an IPv4 address, the first 64 bits of an IPv6 one, of which everybody has that many
 * addresses.  Text that is no address stands for itself.  The result may be in buf.
 */
struct str address_network(struct str address, char buf[static INET6_ADDRSTRLEN]);
