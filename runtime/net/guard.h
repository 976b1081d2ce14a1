/*
 * guard - addresses of a network are reached through the network only.
 *
 * Who sits on the host's own link can send to a container's address directly, past ports that are published on
 * 127.0.0.1 or not at all: the host forwards, and the firewall plugin lets it.  Packets for a network's addresses that come
 * in by another interface are dropped before anything else looks at them; what was sent to a published port is not
 * for such an address yet.
 *
 * Rules are in the table "inet berth", one chain for each network, written over and over: they are there after somebody
 * flushed everything.
 * Threads  any.
 */
#pragma once

#include "runtime/net/conflist.h"
#include "runtime/net/subnet.h"

/* Adds to a script of nft that packets to the networks may come in by the interface only. */
MUST_CHECK enum err_kind guard_write(const struct net_name *network, const char *interface,
				     const struct subnets *networks, struct sbuf *script,
				     struct err *e);
/* What is not there is success. */
MUST_CHECK enum err_kind guard_remove(const struct net_name *network, struct err *e);
