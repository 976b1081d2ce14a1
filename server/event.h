/*
 * event - what happened to a repository, as receivers are told of it: made of records of the reflog.
 *
 * V1  A record is one event, but for manifests pushed under several tags, which are one for each tag.
 * V2  The id of an event depends on the record only: whoever hears of it twice can tell.
 * Threads  no shared state.
 */
#pragma once

#include "base/jv.h"
#include "storage/reflog_record.h"

enum event_action { EVENT_PUSH, EVENT_DELETE, EVENT_ACTION_N };
const char *event_action_text(enum event_action a);

/* Borrows its record. */
struct event {
	const struct reflog_record *record;
	size_t tag; /* which one of its tags */
};
size_t event_count(const struct reflog_record *r);
enum event_action event_action(const struct event *ev);
/* "" where the record has none: of what was deleted. */
const char *event_media_type(const struct event *ev);

#define EVENT_ID_MAX 64
const char *event_id(const struct event *ev, char buf[static EVENT_ID_MAX]);

/* What all forms have: the members that people read.  NULL without memory, as all below. */
struct jv *event_item(const struct event *ev);
/*
 * An envelope of CNCF distribution ("Notifications") with this one event.  source: the address of this registry, or a name for
 * it; is_url: whether targets can be found below it.
 */
struct jv *event_distribution(const struct event *ev, const char *source, bool is_url);
/* CloudEvents 1.0, structured; with the extensions sequence and partitionkey. */
struct jv *event_cloud(const struct event *ev, const char *source);
