/*
 * events - tells endpoints (events.endpoints) what happens in the store, by HTTP.
 *
 * E1  Each endpoint hears of every event that it wants at least once, and of those of a repository in their order: the next one
 *     is sent once the one before was answered with 2xx, or is older than events.keep.
 * E2  How far an endpoint got outlasts restarts (follow.h); after a crash it may hear again of the last second.
 * E3  Events wait in the reflog, not in memory; nobody who pushes waits, and no endpoint waits for another: each has a thread.
 * E4  Requests go to addresses of the configuration only; no redirect is followed, and of an answer the status counts.
 * Lifecycle  events_open, while files that only root can read can be read -> events_start -> events_stop, which ends requests
 *            under way -> events_close.
 * Threads    open, start, stop and close by one thread; status by any.
 */
#pragma once

#include "server/conf.h"
#include "storage/store.h"

struct events;

#define ENDPOINTS_MAX 32

/* *ret works without endpoints too.  ERR_INVALID for an entry that is wrong. */
MUST_CHECK enum err_kind events_open(const struct conf *c, struct events **ret, struct err *e);
/* Could it be opened with these endpoints?  Reads their secrets. */
MUST_CHECK enum err_kind events_check(const struct jv *endpoints, struct err *e);
MUST_CHECK enum err_kind events_start(struct events *ev, struct store *st, struct err *e);
void events_stop(struct events *ev);
void events_close(struct events **take);

/* Of one endpoint. */
struct events_status {
	const char *name;
	uint64_t delivered, failures, dropped; /* events, tries, events */
	uint64_t waiting; /* records that it has still to be told of, or to pass by */
	uint64_t
	    waiting_since_ms; /* wall clock: when the event happened that is being tried; 0: none */
	uint64_t last_ms;     /* wall clock: of the last delivery; 0: none */
};
/* False beyond the last endpoint.  last_seq: of the last record that counts. */
bool events_status(const struct events *ev, size_t i, uint64_t last_seq, struct events_status *ret);
