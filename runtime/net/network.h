/*
 * network - networks that berth makes and keeps: their configuration, and what they need beyond plugins.
 *
 * W1  The default network is written by whoever asks for it first, and only then.
 * W2  A new network overlaps none that is taken, and its bridge bears a name that no interface of the host has, unless
 *     the caller chose an existing bridge.
 * W3  Two programs that make networks at one time do not choose the same names or addresses.
 * W4  What is made with a network goes with it: bridge, leases, guard; the configuration last, so that it can be done
 *     again after a crash.
 * W5  Networks of others (without an object "berth" in their list) are used, and never changed.
 *
 * The list's object "berth", which other runtimes ignore:
 *   driver   "bridge", "macvlan", "ptp"
 *   bridge   the interface to remove with the network; absent if it was there before
 *   apart    the bridge that is kept apart from those of other networks (apart.h); absent: by the firewall plugin
 *   guard    the interface by which alone its addresses are reached (guard.h); absent: by all
 *   checked  true: what its containers send must bear their own addresses (sender.h)
 *   labels   object of texts
 * Threads  any.
 */
#pragma once

#include "runtime/net/cni.h"
#include "runtime/net/ip.h"

#define NETWORK_DEFAULT "berth"
#define NETWORK_SUBNETS_MAX 8

enum network_driver { NETWORK_BRIDGE, NETWORK_MACVLAN, NETWORK_PTP, NETWORK_DRIVER_N };

struct network_subnet {
	struct ip_net subnet, gateway; /* a gateway of length 0: the first address */
	struct ip_net range;           /* to give addresses from; length 0: all */
};

struct network_spec {
	struct net_name name;
	enum network_driver driver;
	struct network_subnet subnets[NETWORK_SUBNETS_MAX];
	size_t n_subnets;        /* 0: one is chosen */
	bool ipv6;               /* and one of IPv6 */
	bool internal;           /* no way out */
	bool isolated;           /* containers do not reach each other */
	bool open;               /* no guard, and containers may send for others */
	bool no_names;           /* do not resolve names of containers, even where a plugin could */
	const char *bridge;      /* NULL: one is chosen */
	const char *parent;      /* of macvlan */
	uint64_t mtu, vlan;      /* 0: none */
	const struct jv *labels; /* NULL: none */
};

bool network_driver_parse(struct str in, enum network_driver *ret);
const char *network_driver_text(enum network_driver d);

/* ERR_EXISTS: there is one of that name, or it overlaps; ERR_NOT_FOUND: a plugin is missing. */
MUST_CHECK enum err_kind network_create(struct cni *c, const char *conf_dir,
					const struct network_spec *spec, struct conflist *ret,
					struct err *e);
/* Like conflist_find, but for W1. */
MUST_CHECK enum err_kind network_find(struct cni *c, const char *conf_dir,
				      const struct net_name *name, struct conflist *ret,
				      struct err *e);
/*
 * Is it there, or the default one, and are the plugins of its list, or of the list that W1 would write?  Nothing is made.
 * A failure says what is missing, and what brings it.
 */
MUST_CHECK enum err_kind network_probe(struct cni *c, const char *conf_dir,
				       const struct net_name *name, struct err *e);
/* ERR_IN_USE while anything is attached to it; ERR_DENIED for W5. */
MUST_CHECK enum err_kind network_remove(struct cni *c, const char *conf_dir,
					const struct conflist *l, struct err *e);

/* cni_add, with what the network needs besides. */
MUST_CHECK enum err_kind network_add(struct cni *c, const struct conflist *l,
				     const struct attachment *a, struct result *ret, struct err *e);
/* Detaches and attaches again with the same addresses, under the list as it now is. */
MUST_CHECK enum err_kind network_reload(struct cni *c, const struct conflist *l,
					const struct attachment *a, struct result *ret,
					struct err *e);

bool network_is_ours(const struct conflist *l);
/* Text members of the object "berth"; "" if absent. */
struct str network_extra(const struct conflist *l, const char *key);
