/*
 * live - the options in force, and how others take their place while berthd serves.
 *
 * V1  A snapshot does not change.  A request has one from its start to its end: what it began with it ends with.
 * V2  A reload takes all or nothing: options that are not good, files that cannot be read, and everything stays as it is.
 * V3  Every change and every fault is a log line, and an item for whoever asked; secrets are masked.  What needs a
 *     restart is named each time, and keeps its old value in all snapshots.
 * Threads  live_get, live_put, live_is_asked and live_ask: any.  The rest: the main thread.
 */
#pragma once

#include "server/conf.h"
#include "server/origin.h"
#include "server/proxy.h"

struct snapshot {
	_Atomic unsigned refs; /* live.c's */
	struct conf conf;
	struct origin origin;
	struct proxies proxies;
};

struct guard;
struct jv;
struct live;
struct ops;

/* What is told of other options; everything else reads snapshots. */
struct live_parts {
	struct guard *guard;
	struct ops *ops;
};

/* c is good (conf_check.h), and copied; args are what it was loaded from, and will be again. */
MUST_CHECK enum err_kind live_new(const struct conf *c, int n_args, char *const *args,
				  struct live **ret, struct err *e);
void live_free(struct live **take);
/* Ends whoever waits in live_ask, and lets nobody begin. */
void live_stop(struct live *l);

/* What log.* say, for the whole process. */
void live_apply_log(const struct conf *c);

const struct snapshot *live_get(struct live *l);
void live_put(const struct snapshot **take);
#define AUTO_SNAPSHOT CLEANUP(live_put) const struct snapshot

/* True if anything else is in force or was confirmed, false if there were faults. */
bool live_reload(struct live *l, const struct live_parts *p);
/* Does somebody wait for a reload? */
bool live_is_asked(struct live *l);

/*
 * Asks the main thread for a reload and waits for it.  *ret is the list of what it did: {"option", "old", "new"},
 * {"restart", "old", "new"}, {"fault"}.  ERR_INVALID: there were faults; ERR_IN_USE: the daemon is about to end.
 */
MUST_CHECK enum err_kind live_ask(struct live *l, struct jv **ret, struct err *e);
