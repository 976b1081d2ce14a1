/*
 * store_impl - what the files of the store share; included by them, and by tests that look inside.
 */
#pragma once

#include "base/lock.h"
#include "storage/lease.h"
#include "storage/store.h"

struct session;   /* upload.c */
struct publisher; /* blob.c */

#define PUBLISHERS_BUCKETS 1024 /* a collection claims thousands of digests at once */

struct store {
	struct store_options options; /* root is owned */
	int root_fd, lock_fd, uploads_fd, reflog_fd;
	int blobs_fd[DIGEST_SHA512 + 1]; /* by enum digest_alg */
	struct index *index;
	struct committer *committer;
	struct leases *leases;
	struct pulls *pulls;
	_Atomic bool unsettled;  /* a manifest was put whose file is not synced */
	_Atomic uint64_t looked; /* look-ups of content for clients */
	uint64_t opened_mono_ms;
	bool making; /* the root has no version yet: store_made */
	bool opened; /* store_open came to its end */

	struct lock sessions_mu;
	void *sessions; /* under sessions_mu: tree of struct session (tsearch) */

	struct lock publishers_mu;
	pthread_cond_t published;
	struct publisher *publishers[PUBLISHERS_BUCKETS]; /* under publishers_mu: lists by digest */
};

/* A change that is to happen now, by the rules of the store. */
struct change store_change(const struct store *st, enum change_kind kind,
			   const struct repo_name *repo);

/* repo.c: the file of what CHANGE_MANIFEST_PUT is about, and the change. */
MUST_CHECK enum err_kind store_put_manifest(struct store *st, struct change *c, struct err *e);

/*
 * The root locked, with its directories but without its index: for who makes one.  A root that is new is no store before
 * store_made.  Ends with store_close.
 */
MUST_CHECK enum err_kind store_attach(const struct store_options *o, struct store **ret,
				      struct err *e);
MUST_CHECK enum err_kind store_made(struct store *st, struct err *e);

/* Removes what a killed process left in uploads/, and sees to the files that it had not settled. */
MUST_CHECK enum err_kind store_recover(struct store *st, struct store_recovery *ret, struct err *e);
/* The second half of it: *ret says how many files were written again. */
MUST_CHECK enum err_kind store_restore_files(struct store *st, uint64_t *ret, struct err *e);
