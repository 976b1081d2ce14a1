/*
 * channel - the way to one endpoint of events: a thread that reads the reflog and sends what the endpoint wants to hear.
 *
 * Lifecycle  channel_new -> channel_read -> channel_ready, whose thread waits -> channel_begin -> channel_stop -> channel_free;
 *            it may be freed after each of them.
 * Ownership  borrows the shared part and the store.
 * Threads    one at a time per object; channel_status by any, between ready and free, under the shared lock.
 */
#pragma once

#include "base/lock.h"
#include "server/endpoint.h"
#include "server/events.h"

#define SOURCE_MAX 320

struct channel_settings {
	uint64_t timeout_ms, retry_ms, retry_max_ms;
	uint64_t keep_ms; /* UINT64_MAX: for ever */
	bool is_url;      /* source is an address where clients find things */
	char source[SOURCE_MAX];
};

/* What all channels share. */
struct channels {
	struct store *store;
	struct lock mu;
	pthread_cond_t wake;              /* told of every change of what is under mu */
	struct channel_settings settings; /* under mu */
	unsigned changes;                 /* under mu: of settings; ends waits for another try */
};

struct channel;

/* entry is shared.  ERR_INVALID; faults: NULL, or who hears of each one. */
MUST_CHECK enum err_kind channel_new(struct channels *all, const struct jv *entry,
				     struct faults *faults, struct channel **ret, struct err *e);
void channel_free(struct channel **take);
/* The endpoint's secrets. */
MUST_CHECK enum err_kind channel_read(struct channel *ch, struct err *e);
const char *channel_name(const struct channel *ch);
const struct jv *channel_entry(const struct channel *ch);

/* Makes all that can fail.  Without a position channel_succeed is to bring one. */
MUST_CHECK enum err_kind channel_ready(struct channel *ch, bool with_position, struct err *e);
/* Under the lock of all, whose cond is to be told. */
void channel_begin(struct channel *ch);
bool channel_has_begun(const struct channel *ch);
/* Ends requests under way, within a second or so; all at once. */
void channel_stop(struct channels *all, struct channel *const *list, size_t n);
/* Goes on where another, which has stopped, has got to, and counts on from its figures. */
void channel_succeed(struct channel *ch, struct channel *old);

/* All but what is waiting. */
void channel_status(const struct channel *ch, struct events_status *ret);
uint64_t channel_seq(const struct channel *ch);
