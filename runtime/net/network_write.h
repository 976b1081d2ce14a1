/*
 * network_write - the configuration list of a network that berth makes.
 *
 * Threads  no shared state.
 */
#pragma once

#include "runtime/net/network.h"

/* Everything chosen, nothing left to presets. */
struct network_plan {
	const struct network_spec *spec;
	struct network_subnet subnets[NETWORK_SUBNETS_MAX + 1];
	size_t n_subnets;
	char bridge[IF_NAME_MAX + 1];
	char data_dir[EXEC_PATH_MAX]; /* of host-local; "": its own */
	bool bridge_is_ours;
	bool apart; /* by rules of ours, not by the firewall plugin */
	bool guard;
	bool check_senders;
	bool spoof_check; /* by the plugin, which checks MAC addresses alone */
	bool names;       /* the dnsname plugin is there */
	enum cni_version version;
};

/* The types of the plugins that the list will name, up to a NULL; IPAM among them. */
#define NETWORK_TYPES_MAX 8
void network_types(const struct network_plan *p, const char *ret[static NETWORK_TYPES_MAX + 1]);
/* A new value, NULL without memory. */
struct jv *network_write(const struct network_plan *p);
