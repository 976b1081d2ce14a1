/*
 * events - tells endpoints (events.endpoints) what happens in the store, by HTTP.
 *
 * E1  Each endpoint hears of every event that it wants at least once, and of those of a repository in their order: the next one
 *     is sent once the one before was answered with 2xx, or is older than events.keep.
 * E2  How far an endpoint got outlasts restarts (follow.h); after a crash it may hear again of the last second.
 * E3  Events wait in the reflog, not in memory; nobody who pushes waits, and no endpoint waits for another: each has a thread.
 * E4  Requests go to addresses of the configuration only; no redirect is followed, and of an answer the status counts.
 * E5  A reload leaves alone what it does not change; an endpoint that it changes goes on from where it got to, by its name.
 * Lifecycle  events_open, while files that only root can read can be read -> events_start -> events_stop, which ends requests
 *            under way -> events_close.
 * Threads    events_status: any.  The rest: one thread.
 */
#pragma once

#include "server/conf.h"
#include "storage/follow.h"

struct events;

#define ENDPOINTS_MAX 32

/* *ret works without endpoints too.  ERR_INVALID for an entry that is wrong. */
MUST_CHECK enum err_kind events_open(const struct conf *c, struct events **ret, struct err *e);
/* Could it be opened with these endpoints?  files: their secrets are read as well; all: NULL, or who hears of each fault. */
MUST_CHECK enum err_kind events_check(const struct jv *endpoints, bool files, struct faults *all,
				      struct err *e);
MUST_CHECK enum err_kind events_start(struct events *ev, struct store *st, struct err *e);
void events_stop(struct events *ev);
void events_close(struct events **take);

/* --- other options --- */

/* What is made ready before a reload is certain.  Reads secrets, as whom berthd is by then. */
struct events_change;
MUST_CHECK enum err_kind events_prepare(struct events *ev, const struct conf *c,
					struct events_change **ret, struct err *e);
/* Ends waits for another try as well. */
void events_commit(struct events *ev, struct events_change *change);
void events_change_free(struct events_change **take);

/* Of one endpoint. */
struct events_status {
	char name[FOLLOW_NAME_MAX + 1];
	uint64_t delivered, failures, dropped; /* events, tries, events */
	uint64_t waiting; /* records that it has still to be told of, or to pass by */
	uint64_t
	    waiting_since_ms; /* wall clock: when the event happened that is being tried; 0: none */
	uint64_t last_ms;     /* wall clock: of the last delivery; 0: none */
};
/* False beyond the last endpoint.  last_seq: of the last record that counts. */
bool events_status(struct events *ev, size_t i, uint64_t last_seq, struct events_status *ret);
