/*
 * link - interfaces, addresses and routes of a network namespace.
 *
 * Threads  as of the socket.
 */
#pragma once

#include "runtime/net/ip.h"
#include "runtime/net/name.h"
#include "runtime/net/netlink.h"

#define LINK_KIND_MAX 16

struct link {
	uint32_t index;
	bool is_up;
	char kind[LINK_KIND_MAX]; /* "bridge", "veth", ...; "" for hardware */
};

/* ERR_NOT_FOUND */
MUST_CHECK enum err_kind link_find(struct nl *s, const char *name, struct link *ret, struct err *e);
MUST_CHECK enum err_kind link_set_up(struct nl *s, uint32_t index, struct err *e);
/* A port of a bridge from which no other such port is reached. */
MUST_CHECK enum err_kind link_isolate(struct nl *s, uint32_t index, struct err *e);
MUST_CHECK enum err_kind link_delete(struct nl *s, uint32_t index, struct err *e);
MUST_CHECK enum err_kind link_add_veth(struct nl *s, const char *name, const char *peer,
				       struct err *e);
MUST_CHECK enum err_kind link_add_address(struct nl *s, uint32_t index, const struct ip_net *ip,
					  struct err *e);
/* Calls fn with each address of the interface but those that the kernel makes for the link. */
typedef enum err_kind link_network_fn(void *arg, const struct ip_net *network, struct err *e);
MUST_CHECK enum err_kind link_each_address(struct nl *s, uint32_t index, link_network_fn *fn,
					   void *arg, struct err *e);
/* Interfaces that are enslaved to this one. */
MUST_CHECK enum err_kind link_count_ports(struct nl *s, uint32_t index, unsigned *ret,
					  struct err *e);

/* Calls fn with each network that an address or a route of the namespace is about. */
MUST_CHECK enum err_kind link_each_network(struct nl *s, link_network_fn *fn, void *arg,
					   struct err *e);
