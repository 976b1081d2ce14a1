/*
 * idcache - who certain credentials belong to, remembered for a while, so that a password is hashed or a signature checked
 * once and not for each request.
 *
 * C1  Credentials are remembered as keyed digests only; the key is random, of this process, and never leaves it.
 * C2  What was forgotten by idcache_forget is not found again, whoever was checking it meanwhile.
 * C3  Memory is bounded: the entry that would end first makes room.
 * Threads  any.
 */
#pragma once

#include "auth/identity.h"
#include "base/secret.h"

struct idcache;

/* The digest of credentials, to be made once for lookups and additions. */
struct idcache_key {
	uint8_t mac[MAC_BYTES];
	uint64_t age; /* how often the cache had been emptied */
};

MUST_CHECK enum err_kind idcache_new(size_t entries_max, uint64_t ttl_ms, struct idcache **ret,
				     struct err *e);
void idcache_free(struct idcache **take);

/* kind keeps apart what has the same text and is something else. */
MUST_CHECK bool idcache_key(struct idcache *c, const char *kind, struct str a, struct str b,
			    struct idcache_key *ret);
/* A reference, or NULL. */
struct identity *idcache_find(struct idcache *c, const struct idcache_key *key);
/* Until the identity ends, or for the cache's time if that is shorter. */
void idcache_add(struct idcache *c, const struct idcache_key *key, struct identity *id);
void idcache_forget(struct idcache *c);
/* Another time from now on; everything is forgotten if it is shorter. */
void idcache_set_ttl(struct idcache *c, uint64_t ttl_ms);

/*
 * One check of the same credentials at a time: true if the caller is to make it, and then to call idcache_checked; false
 * after waiting for somebody else's, which came out as *ret.
 */
bool idcache_begin(struct idcache *c, const struct idcache_key *key, enum err_kind *ret);
void idcache_checked(struct idcache *c, const struct idcache_key *key, enum err_kind result);
