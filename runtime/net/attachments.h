/*
 * attachments - which containers are attached to what, as the cache knows it.
 *
 * Threads  one thread at a time per struct attachments.
 */
#pragma once

#include "runtime/net/cni.h"

struct attachments {
	struct cache_entry *p;
	size_t n;
};

void attachments_clear(struct attachments *a);
#define AUTO_ATTACHMENTS CLEANUP(attachments_clear) struct attachments

/* Those of one network, of one container, or of one container to one network; NULL: any. */
MUST_CHECK enum err_kind attachments_find(const struct cni_options *o,
					  const struct net_name *network,
					  const struct container_id *container,
					  struct attachments *ret, struct err *e);
/* The namespace that it was made in is still there, and in use (keep.h K2). */
bool attachment_is_alive(const struct cni_options *o, const struct cache_entry *c);
/* The first ethN that neither the container's namespace nor the cache knows. */
MUST_CHECK enum err_kind attachments_free_interface(const struct attachments *of_container,
						    const char *netns, struct if_name *ret,
						    struct err *e);
/* Detaches what is dead or was never completed, and tells the plugins (cni_gc). */
MUST_CHECK enum err_kind attachments_collect(struct cni *c, const struct conflist *l,
					     struct cni_gc_report *ret, struct err *e);
/*
 * Detaches the dead among those that were attached to kept namespaces, whatever the network; cheap where there are none.
 * Goes on after failures.
 */
MUST_CHECK enum err_kind attachments_sweep(struct cni *c, unsigned *ret_removed, struct err *e);
