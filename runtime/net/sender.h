/*
 * sender - what a container sends bears the addresses that it was given.
 *
 * Dropped are frames from another MAC address; ARP and neighbour advertisements that claim another address; packets from
 * another address; router advertisements and redirects.  Link-local addresses of IPv6, by which nothing is routed, are not
 * looked at.  It happens where the container's frames reach the host, before the bridge sees them, so neither host nor other
 * containers do.  A container that forwards for others cannot do so, unless its network was made to be open.
 *
 * The rules are one chain for each interface of the host that leads to a container, in the table "netdev berth".  Before Linux 6.16 the kernel removes the chain with the interface, later ones keep it: it is removed
 * with the attachment (sender_forget), and by garbage collection where that was not to be (sender_sweep).
 * Threads  any.
 */
#pragma once

#include "runtime/net/conflist.h"
#include "runtime/net/result.h"

/* Do nft and the kernel know all of it? */
bool sender_is_possible(void);
/* The list was made to have it. */
bool sender_is_checked(const struct conflist *l);
/*
 * Adds to a script of nft what the container may send by the interface that an ADD has made; bridge is as for
 * result_outer_interface.  ERR_INVALID if the result does not say which interfaces there are.
 */
MUST_CHECK enum err_kind sender_write(const struct result *r, const struct if_name *ifname,
				      const char *bridge, struct sbuf *script, struct err *e);
/* Removes chains whose interfaces are gone. */
MUST_CHECK enum err_kind sender_sweep(struct err *e);
/* The same for one attachment that is no more; all, if its result is not known.  What fails is left to sender_sweep. */
void sender_forget(const struct result *r);
