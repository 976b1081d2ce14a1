/*
 * closure - all that a manifest consists of within its repository: config and layers, children of an index with theirs, and
 * what refers to any of it as its subject, such as signatures.
 *
 * K1  What refers stands after what it refers to, so manifests can be put in this order: first the blobs of each, then its
 *     children, then itself; referrers in groups of their own after what they are about.
 * K2  Each digest is there once, and there are no more than asked for: ERR_TOO_LARGE.
 * The repository may change meanwhile; each look is consistent by itself.
 * Ownership  a closure owns its items.
 * Threads    any; a closure is one thread's.
 */
#pragma once

#include "storage/store.h"

struct closure_item {
	struct digest digest;
	uint64_t size_bytes;
	bool is_manifest;
	bool is_absent;     /* the repository does not have it: sparse indexes, foreign layers */
	uint8_t ref_kind;   /* of a blob: as what it was found first */
	unsigned group;     /* 0: the manifest itself and its children; others: of referrers */
	uint64_t pushed_ms; /* of a manifest that is there, as the next two */
	bool has_subject;
	struct digest subject;
	bool is_gone; /* for who removes */
};

struct closure {
	struct closure_item **items; /* in order */
	size_t n, room, n_max;
	void *by_digest; /* tsearch */
};

void closure_clear(struct closure *c);
#define AUTO_CLOSURE CLEANUP(closure_clear) struct closure

/* c has only n_max.  ERR_NOT_FOUND if the manifest itself is not there. */
MUST_CHECK enum err_kind closure_gather(struct closure *c, struct index *ix,
					const struct repo_name *repo, const struct digest *d,
					bool with_referrers, struct err *e);
/* NULL if it is not part of it. */
struct closure_item *closure_find(const struct closure *c, const struct digest *d);

/* Bytes of all that is there. */
uint64_t closure_bytes(const struct closure *c);
/*
 * Bytes that nothing else has: what would come back if the manifest lost this tag, or, where tag is NULL, were not there and
 * all its tags with it.  Time is proportional to the holders that are within.
 */
MUST_CHECK enum err_kind closure_unique(struct closure *c, struct index *ix,
					const struct repo_name *repo, const struct tag_name *tag,
					uint64_t *ret, struct err *e);
