/*
 * lease - what clients were told of and nothing refers to yet (promise P5).
 *
 * L1  After lease_take returned true for an entry, lease_condemn refuses it for what was the lease time then.
 * L2  Between lease_condemn and lease_spare lease_take refuses the entry: nobody is told of what is being removed.
 * L3  Leases are in memory; for lease_all_ms after leases_new everything counts as leased.
 * Only entries that no tag and no manifest refers to need a lease: any other is due for review a lease time after it
 * lost its last holder.
 * Lifecycle  new -> (take | condemn -> spare | expire)* -> free.
 * Threads    any; no call blocks for long.
 */
#pragma once

#include "base/digest.h"
#include "base/err.h"

struct leases;

/* An entry: what a repository, by its number, has of a digest. */
struct lease_key {
	uint64_t repo;
	struct digest digest;
};

MUST_CHECK enum err_kind leases_new(uint64_t lease_ms, uint64_t lease_all_ms, struct leases **ret,
				    struct err *e);
void leases_free(struct leases **ls);

/* False if the entry is being collected, or there is no memory to remember it: it must not be told of. */
MUST_CHECK bool lease_take(struct leases *ls, const struct lease_key *key);

/* Was somebody told of it within the lease time? */
MUST_CHECK bool lease_is_taken(struct leases *ls, const struct lease_key *key);

/* True if nobody was told of the entry within the lease time; then it is condemned until lease_spare. */
MUST_CHECK bool lease_condemn(struct leases *ls, const struct lease_key *key);
void lease_spare(struct leases *ls, const struct lease_key *key);

/* Another lease time from now on. */
void leases_set(struct leases *ls, uint64_t lease_ms);
/* Forgets leases that are over. */
void leases_expire(struct leases *ls);
size_t leases_count(struct leases *ls);
