/*
 * ports - one port of the host is published by one container (plugins give it to both, and the first one keeps it).
 *
 * Ports are those of the capability "portMappings" of all attachments in the cache.  Who attaches holds the claim from before
 * it looks until its own entry is in the cache, so of two that want one port at the same time one finds the other.
 * A number that is chosen (ports_choose) is of no other container and of no program of the host, and stays so as long as
 * its sockets are held: who looks for one at the same time either cannot bind it, or finds it in the cache.
 * Threads  any; one at a time per struct ports_held.
 */
#pragma once

#include "runtime/net/cni.h"

/* ERR_IN_USE names the container that has the port.  *ret_claim is closed when the entry is written; -1 for no ports. */
MUST_CHECK enum err_kind ports_claim(const struct cni_options *o, const struct cache_entry *mine,
				     int *ret_claim, struct err *e);

/* Sockets that keep chosen ports until what was chosen for is in the cache. */
struct ports_held {
	int *fds;
	size_t n;
};
void ports_held_close(struct ports_held *h);
#define AUTO_PORTS_HELD CLEANUP(ports_held_close) struct ports_held

/* *ret are the mappings with a free port of the host where they have 0; NULL are none. */
MUST_CHECK enum err_kind ports_choose(const struct cni_options *o,
				      const struct container_id *container,
				      const struct jv *mappings, struct jv **ret,
				      struct ports_held *ret_held, struct err *e);
