/*
 * cni_impl - what the files of cni share: one plugin of a list, called for one operation.
 */
#pragma once

#include "runtime/net/cache.h"
#include "runtime/net/cni.h"
#include "runtime/net/lock.h"
#include "runtime/net/request.h"

/* For all plugins of one operation. */
struct chain {
	struct cni *cni;
	const struct conflist *list;
	const char *command;
	const char *container, *ifname, *netns; /* "" where there is none */
	struct sbuf args;                       /* CNI_ARGS */
	struct request_parts parts;
	int lock_fd; /* -1: no lock */
};

MUST_CHECK enum err_kind chain_init(struct chain *ch, struct cni *c, const struct conflist *l,
				    const char *command, const struct attachment *a, struct err *e);
void chain_clear(struct chain *ch);
#define AUTO_CHAIN CLEANUP(chain_clear) struct chain

/* Calls the i'th plugin; its answer is in ret. */
MUST_CHECK enum err_kind chain_run(struct chain *ch, size_t i, struct exec_output *ret,
				   struct err *e);
/* The same for a plugin whose answer does not matter. */
MUST_CHECK enum err_kind chain_tell(struct chain *ch, size_t i, struct err *e);
/* I1 */
MUST_CHECK enum err_kind chain_find_all(struct chain *ch, struct err *e);

/* In the list's version, as values and as plugins are given it; *ret is the caller's to clear. */
MUST_CHECK enum err_kind cni_cached_result(const struct cache_entry *c, enum cni_version version,
					   struct result *ret, struct jv **ret_prev, struct err *e);

uint64_t cni_timeout(const struct cni *c);
uint64_t cni_wait(const struct cni *c);

/* DEL under a lock that the caller holds.  all: go on after a failure (I3). */
MUST_CHECK enum err_kind cni_del_locked(struct cni *c, const struct net_name *network,
					const struct conflist *l, const struct attachment *a,
					int lock_fd, bool all, struct err *e);
