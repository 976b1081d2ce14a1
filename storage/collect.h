/*
 * collect - removes what is due for review and still is garbage: the steps C2 to C5 of gc/PROTOCOL.md.
 *
 * Q1  An entry that a client was told of within the lease time is not removed (promise P5).
 * Q2  The decision and the removal are one transaction; the file goes after its commit, while nobody can publish the
 *     same content.
 * Q3  What is removed is in the trash first, if the store has one, and its content with it.
 * Threads  one thread at a time: gc's.  Blocks for a commit and an unlink for each content.
 */
#pragma once

#include "storage/store.h"

#define COLLECT_MAX                                                                                \
	2048 /* rows at once: bounds memory and the longest transaction; see gc/pace.h */

struct collect_item {
	struct review_row row;
	struct review_policy policy;
	/* Results. */
	enum verdict verdict;
	uint64_t size_bytes;
	struct repo_name repo; /* empty for content */
};

/* Removes up to COLLECT_MAX tags that were not pushed again since they were read; *ret says how many. */
MUST_CHECK enum err_kind store_collect_tags(struct store *st, const struct repo_name *repo,
					    const struct tag_item *tags, size_t n, size_t *ret,
					    struct err *e);

/* All of the queue was reviewed by these rules. */
MUST_CHECK enum err_kind store_note_rules(struct store *st, uint64_t rules, struct err *e);

/* What store_collect would do with a row now, unless somebody pushes it meanwhile. */
MUST_CHECK enum err_kind store_collect_look(struct store *st, const struct review_row *row,
					    const struct review_policy *p,
					    struct review_finding *ret, struct err *e);

/*
 * The two halves of store_collect.  The first decides (C2, C3), and the items have their verdicts; files that are many are
 * unlinked meanwhile by threads, so that the next batch can be decided.  *ret is to be given to the second in any case, which
 * waits for them (C4) and ends the claims (C5).
 */
struct collection;
MUST_CHECK enum err_kind store_collect_begin(struct store *st, struct collect_item *items, size_t n,
					     struct collection **ret, struct err *e);
MUST_CHECK enum err_kind store_collect_end(struct collection **take, struct err *e);

/* n is at most COLLECT_MAX. */
MUST_CHECK enum err_kind store_collect(struct store *st, struct collect_item *items, size_t n,
				       struct err *e);
