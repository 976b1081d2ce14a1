/*
 * apart - containers of one network do not reach those of another, nor its published ports.
 *
 * The bridges of all networks that are kept apart are a set of the table "inet berth"; what comes from one of them and would
 * be forwarded to another is dropped.  The firewall plugin does the same ("ingressPolicy") by eight runs of iptables for each
 * container; this is written together with the other rules of a network (guard.h, sender.h).
 * Threads  any.
 */
#pragma once

#include "runtime/net/name.h"

/* Adds to a script of nft.  isolated: not even by way of the host do containers of the network reach each other. */
MUST_CHECK enum err_kind apart_write(const struct net_name *network, const char *bridge,
				     bool isolated, struct sbuf *script, struct err *e);
/* What is not there is success. */
MUST_CHECK enum err_kind apart_remove(const struct net_name *network, const char *bridge,
				      struct err *e);
