/*
 * commit - the one thread that changes the index: group commit.
 *
 * C1  commit_change returns ERR_OK only when the change is durable: reflog synced, then index committed.
 * C2  Changes asked for at the same time share one transaction and one set of fsyncs; one that is refused, or
 *     fails for a reason of its own, fails alone.
 * C3  After a failure the index and the reflog are brought back to agreement before the next change; until that
 *     works every change is ERR_IO, and no restart is needed when it does.
 * Lifecycle  start -> commit_change* -> stop (no caller may be left inside).
 * Ownership  the committer borrows the index and owns the reflog.
 * Threads    commit_change from any thread; blocks for a few fsyncs.
 */
#pragma once

#include "base/histogram.h"
#include "storage/index.h"
#include "storage/reflog.h"

struct committer;

struct commit_stats {
	uint64_t changes, batches, failures;
	const struct histogram *took; /* by batches; lives as long as the committer */
	uint64_t queued;              /* changes that wait now */
	bool busy;                    /* a batch is under way */
	bool stuck;           /* the last batch failed, and what it left is not undone yet (C3) */
	uint64_t for_clients; /* of the changes: not those of background work */
};

/* Consumes the reflog.  With with_thread false, callers do the work themselves, one at a time. */
MUST_CHECK enum err_kind committer_start(struct index *ix, struct reflog **log, bool with_thread,
					 struct committer **ret, struct err *e);
void committer_stop(struct committer **c);

/* Failures as of index_apply, or what the disk did. */
MUST_CHECK enum err_kind commit_change(struct committer *c, struct change *ch, struct err *e);

/*
 * Several at once, in this order, in one batch or a few.  Each succeeds or fails for itself: ret_kinds[i] says how.  The
 * result is ERR_OK unless one failed for another reason than being refused; *e is of the first of those.
 */
MUST_CHECK enum err_kind commit_changes(struct committer *c, struct change *changes, size_t n,
					enum err_kind *ret_kinds, struct err *e);

struct commit_stats committer_stats(struct committer *c);
