/*
 * transfer - copying, moving and removing within a store, as administrators do it: no bytes move, and all that a manifest
 * consists of (closure.h) goes with it.
 *
 * F1  Every step is an ordinary change: durable, in the reflog, seen by clients as it comes.  What is broken off leaves
 *     whole manifests behind, and may be asked for again: what is there already is not done twice.
 * F2  A tag appears at the destination when all of it is there.  One that points elsewhere stays, unless `force`.
 * F3  A move loses no tag: the source's tag goes only if nobody pushed it again since it was copied, otherwise what was pushed
 *     is copied as well.  Manifests of the source go, to the trash, only if nothing there refers to them and nobody pushed
 *     them again; blobs of the source are left to collection, so that pushes under way find them (promise P5).
 * Threads  any; all block, for as long as there is much to do.
 */
#pragma once

#include "storage/closure.h"

struct transfer {
	struct store *st;
	const struct change_guard *guard;
	bool force;
	bool (*go_on)(void *arg); /* asked now and then; false: end with ERR_AWAY.  NULL: always */
	void *arg;
	/* What was done. */
	uint64_t manifests, blobs, tags; /* new at the destination */
	uint64_t removed;                /* manifests, tags and blobs */
};

/* The manifest, under the tag unless that is NULL.  ERR_IN_USE for a tag that stays (F2). */
MUST_CHECK enum err_kind transfer_copy(struct transfer *t, const struct repo_name *from,
				       const struct digest *d, const struct repo_name *to,
				       const struct tag_name *tag, struct err *e);
/* ERR_NOT_FOUND if the source is not there; ERR_IN_USE if it is the destination, or pushed faster than it can be copied. */
MUST_CHECK enum err_kind transfer_move_tag(struct transfer *t, const struct repo_name *from,
					   const struct tag_name *tag, const struct repo_name *to,
					   const struct tag_name *as, struct err *e);
/* Every tag and every manifest.  What is pushed, or pushed again, meanwhile may be left behind, where it is. */
MUST_CHECK enum err_kind transfer_repo(struct transfer *t, const struct repo_name *from,
				       const struct repo_name *to, bool move, struct err *e);

/* All manifests, with their tags, and then all blobs, into the trash; what is pushed meanwhile may stay. */
MUST_CHECK enum err_kind transfer_remove_repo(struct transfer *t, const struct repo_name *repo,
					      struct err *e);
