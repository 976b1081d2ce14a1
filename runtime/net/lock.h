/*
 * lock - who may work on which attachment (CNI spec 1.1.0 section 3, "Lifecycle & Ordering").
 *
 * O1  Two operations never work on one container at the same time, whatever networks they are about.
 * O2  Garbage collection of a network excludes every other operation on it; one that waits is not overtaken for ever.
 * O3  Plugins inherit the lock.  If the program that runs them dies, it is held until they have ended, so nobody starts
 *     to undo what is still being done.  Plugins that are left alone and do not end are killed by the next operation
 *     when its patience is over.
 * O4  An operation that ends, ends its lock, whatever processes its plugins left behind.
 *
 * One file, DIR/lock, with locks on ranges of bytes that never hold data (open file description locks, fcntl(2)):
 *
 *   2h, 2h+1      h < 2^59: network; the gate that all pass, and the network itself
 *   2^61 + h      h < 2^60: container
 *   2^62 + ...    the same again, held by a descriptor that plugins do not get: its owner is alive
 *
 * h is a hash of the name.  Two names with one hash wait for each other, which does no harm.
 * Threads  any.
 */
#pragma once

#include "base/err.h"
#include "runtime/net/name.h"

struct op_lock {
	int fd;       /* for plugins to inherit */
	int alive_fd; /* not inherited */
};

/*
 * For an operation on one container.  ERR_IN_USE after wait_ms; plugins without an owner have been killed by then.
 * Directories but the last part of the path must exist.
 */
MUST_CHECK enum err_kind op_lock_container(const char *dir, const struct net_name *network,
					   const struct container_id *container, uint64_t wait_ms,
					   struct op_lock *ret, struct err *e);
/* For garbage collection. */
MUST_CHECK enum err_kind op_lock_network(const char *dir, const struct net_name *network,
					 uint64_t wait_ms, struct op_lock *ret, struct err *e);
void op_unlock(struct op_lock *l);
#define AUTO_OP_LOCK CLEANUP(op_unlock) struct op_lock
#define OP_LOCK_NONE                                                                               \
	{                                                                                          \
		-1, -1                                                                             \
	}
