/*
 * gc - collects garbage while the registry serves: what is due for review, what retention gives up, what has been in the
 * trash for long enough.  PROTOCOL.md argues why nothing goes that is needed.
 *
 * G1  A dry run tells what a cycle would do, by the same decisions.
 * G2  A cycle that would remove more than max_share percent of the store removes nothing until it is confirmed.
 * G3  Work is proportional to what is due and, with retention rules, to the tags of the repositories they are for.
 * Lifecycle  gc_new -> gc_start (a thread of its own) -> gc_stop -> gc_free; or gc_new -> gc_run -> gc_free.
 * Threads    gc_run, gc_pause, gc_resume and gc_status from any thread; runs happen one at a time.
 */
#pragma once

#include "gc/retention.h"
#include "storage/collect.h"

struct gc;

struct gc_options {
	uint64_t interval_ms;
	unsigned max_share;        /* percent */
	uint64_t untagged_keep_ms; /* UINT64_MAX: for ever */
	uint64_t trash_keep_ms;
	uint64_t lease_ms;           /* the store's */
	struct retention *retention; /* may be NULL */
	uint64_t
	    rules; /* another number whenever any of these rules changes: all that waits is looked at again */
};

/* One thing that a run removes, or that a dry run looked at and keeps. */
struct gc_action {
	enum gc_what { GC_TAG, GC_MANIFEST, GC_BLOB, GC_CONTENT, GC_TRASH } what;
	bool removes;
	const char *reason;
	struct repo_name repo; /* empty for content */
	struct tag_name tag;   /* GC_TAG */
	struct digest digest;
	uint64_t size_bytes;
};
typedef void gc_action_fn(void *arg, const struct gc_action *a);

struct gc_result {
	uint64_t tags, manifests, blobs, contents, trash; /* removed, or to be removed */
	uint64_t bytes;                                   /* of contents: space that comes back */
	uint64_t leased;                                  /* due, but a client was told of them */
	uint64_t kept;                                    /* due, but kept by the rules */
	uint64_t took_ms;
	bool braked;          /* nothing was removed (G2) */
	uint64_t share_bytes; /* of what repositories lose */
	unsigned share;       /* percent of the store that the run removes, or would have */
};

enum gc_mode { GC_NORMAL, GC_CONFIRMED, GC_DRY_RUN };

/* Options are copied; gc has a reference to the rules of its own. */
MUST_CHECK enum err_kind gc_new(struct store *st, const struct gc_options *o, struct gc **ret,
				struct err *e);
void gc_free(struct gc **g);
/* Other options from the next cycle on. */
void gc_set_options(struct gc *g, const struct gc_options *o);

/* Runs a cycle and returns when it is done.  report (may be NULL) is called for each action. */
MUST_CHECK enum err_kind gc_run(struct gc *g, enum gc_mode mode, gc_action_fn *report, void *arg,
				struct gc_result *ret, struct err *e);

/* A thread that runs a cycle every interval. */
MUST_CHECK enum err_kind gc_start(struct gc *g, struct err *e);
/* A cycle under way ends after its batch. */
void gc_stop(struct gc *g);

/* No cycle of the thread begins, and one of its under way stops after its batch, until gc_resume. */
void gc_pause(struct gc *g);
void gc_resume(struct gc *g);

/* Between gc_hold and gc_release no cycle runs.  Waits for the one under way; false if the daemon is about to end. */
MUST_CHECK bool gc_hold(struct gc *g);
void gc_release(struct gc *g);

struct gc_status {
	bool running, paused, braked;
	uint64_t cycles;
	struct gc_result last, total; /* total: sums */
	uint64_t last_end_wall_ms;    /* 0: none yet */
	char last_error[ERR_MSG_MAX]; /* "" if it went well */
};
void gc_status(struct gc *g, struct gc_status *ret);
