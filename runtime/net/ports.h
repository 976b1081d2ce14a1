/*
 * ports - one port of the host is published by one container (plugins give it to both, and the first one keeps it).
 *
 * Ports are those of the capability "portMappings" of all attachments in the cache.  Who attaches holds the claim from before
 * it looks until its own entry is in the cache, so of two that want one port at the same time one finds the other.
 * Threads  any.
 */
#pragma once

#include "runtime/net/cni.h"

/* ERR_IN_USE names the container that has the port.  *ret_claim is closed when the entry is written; -1 for no ports. */
MUST_CHECK enum err_kind ports_claim(const struct cni_options *o, const struct cache_entry *mine,
				     int *ret_claim, struct err *e);
