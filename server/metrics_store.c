#include "base/clock.h"
#include "server/events.h"
#include "server/expo.h"
#include "server/metrics.h"
#include "storage/follow.h"
#include "storage/quota.h"
#include "storage/upload.h"

static void tell_index(struct expo *x, const struct kv_stat *s, const struct totals *t)
{
	expo_one(x, EXPO_GAUGE, "berthd_store_bytes", "Bytes of all content.", t->bytes);
	expo_one(x, EXPO_GAUGE, "berthd_store_objects", "Blobs and manifests, each once.",
		 t->objects);
	expo_one(x, EXPO_GAUGE, "berthd_store_repositories", "Repositories.", s->entries[KV_REPO]);
	expo_one(x, EXPO_GAUGE, "berthd_store_tags", "Tags.", s->entries[KV_TAG]);
	expo_one(x, EXPO_GAUGE, "berthd_review_queue_entries",
		 "What nothing refers to, due for collection or not.", s->entries[KV_REVIEW]);
	expo_one(x, EXPO_GAUGE, "berthd_trash_entries", "What was removed and can be restored.",
		 s->entries[KV_TRASH]);
	expo_one(x, EXPO_GAUGE, "berthd_index_map_bytes", "What the index can grow to as it is.",
		 s->map_bytes);
	expo_one(x, EXPO_GAUGE, "berthd_index_used_bytes", "Pages of the index ever used.",
		 s->used_bytes);
	expo_one(x, EXPO_GAUGE, "berthd_index_readers", "Slots of readers in use.", s->readers);
}

static void tell_commits(struct expo *x, const struct commit_stats *s)
{
	expo_one(x, EXPO_COUNTER, "berthd_commit_changes", "Changes committed.", s->changes);
	expo_one(x, EXPO_COUNTER, "berthd_commit_failures",
		 "Changes that failed for a reason of the disk's.", s->failures);
	expo_one(x, EXPO_COUNTER, "berthd_commit_batches", "Transactions that they shared.",
		 s->batches);
	expo_family(x, EXPO_HISTOGRAM, "berthd_commit_duration_seconds",
		    "Time that transactions took.");
	expo_histogram(x, "", s->took);
	expo_one(x, EXPO_GAUGE, "berthd_commit_queue_changes", "Changes that wait for one.",
		 s->queued);
}

static void tell_gc(struct expo *x, const struct gc_status *s)
{
	expo_family(x, EXPO_COUNTER, "berthd_gc_removed", "What collection removed.");
	expo_sample(x, "what=\"tag\"", s->total.tags);
	expo_sample(x, "what=\"manifest\"", s->total.manifests);
	expo_sample(x, "what=\"blob\"", s->total.blobs);
	expo_sample(x, "what=\"content\"", s->total.contents);
	expo_sample(x, "what=\"trash\"", s->total.trash);
	expo_one(x, EXPO_COUNTER, "berthd_gc_freed_bytes", "Space that collection gave back.",
		 s->total.bytes);
	expo_one(x, EXPO_COUNTER, "berthd_gc_cycles", "Collections.", s->cycles);
	expo_family(x, EXPO_COUNTER, "berthd_gc_seconds", "Time spent in them.");
	expo_ms(x, "", s->total.took_ms);
	expo_one(x, EXPO_GAUGE, "berthd_gc_paused", "1 while collection is paused.", s->paused);
	expo_one(x, EXPO_GAUGE, "berthd_gc_braked",
		 "1 if the last collection would have removed too much.", s->braked);
	expo_one(x, EXPO_GAUGE, "berthd_gc_failed", "1 if the last collection failed.",
		 s->last_error[0] != '\0');
	expo_family(x, EXPO_GAUGE, "berthd_gc_last_end_time_seconds",
		    "When the last collection ended, seconds since 1970; 0: none yet.");
	expo_ms(x, "", s->last_end_wall_ms);
}

static void tell_scrub(struct expo *x, const struct scrubber_status *s)
{
	expo_one(x, EXPO_COUNTER, "berthd_scrub_read_bytes", "Bytes read again and checked.",
		 s->bytes);
	expo_one(x, EXPO_COUNTER, "berthd_scrub_damaged", "Damaged objects found.", s->damaged);
	expo_family(x, EXPO_GAUGE, "berthd_scrub_round_start_time_seconds",
		    "When the present or last round began, seconds since 1970; 0: none yet.");
	expo_ms(x, "", s->last.started_ms);
	expo_one(x, EXPO_GAUGE, "berthd_scrub_round_damaged",
		 "Damaged objects of the present or last round.", s->last.damaged);
}

typedef int64_t use_fn(const struct quota_use *u);

static int64_t bytes_of(const struct quota_use *u)
{
	return u->bytes;
}

static int64_t tags_of(const struct quota_use *u)
{
	return u->tags;
}

static int64_t repos_of(const struct quota_use *u)
{
	return u->repos;
}

/* A rule has a sample where it has a limit. */
static void tell_quota(struct expo *x, const struct quotas *q, const char *name, const char *help,
		       use_fn *of, bool limits)
{
	struct quota_status s;

	expo_family(x, EXPO_GAUGE, name, help);
	for (size_t i = 0; quota_status(q, i, &s); i++) {
		char labels[REPO_NAME_MAX + 64];

		if (of(&s.limit) < 0)
			continue;
		(void)snprintf(labels, sizeof(labels), "rule=\"%zu\",repositories=\"%s\"", i,
			       s.pattern);
		expo_sample(x, labels, (uint64_t)of(limits ? &s.limit : &s.used));
	}
}

static void tell_quotas(struct expo *x, const struct quotas *q)
{
	tell_quota(x, q, "berthd_quota_used_bytes", "Bytes that count towards a quota.", bytes_of,
		   false);
	tell_quota(x, q, "berthd_quota_limit_bytes", "What it allows.", bytes_of, true);
	tell_quota(x, q, "berthd_quota_used_tags", "Tags that count towards a quota.", tags_of,
		   false);
	tell_quota(x, q, "berthd_quota_limit_tags", "What it allows.", tags_of, true);
	tell_quota(x, q, "berthd_quota_used_repositories",
		   "Repositories that count towards a quota.", repos_of, false);
	tell_quota(x, q, "berthd_quota_limit_repositories", "What it allows.", repos_of, true);
}

static enum err_kind tell_uploads(struct expo *x, struct store *st, uint64_t sessions,
				  struct err *e)
{
	uint64_t bytes;
	enum err_kind k = upload_bytes(st, &bytes, e);

	if (k != ERR_OK)
		return k;
	expo_one(x, EXPO_GAUGE, "berthd_upload_sessions", "Open upload sessions.", sessions);
	expo_one(x, EXPO_GAUGE, "berthd_upload_bytes", "Bytes of uploads that are not finished.",
		 bytes);
	expo_one(x, EXPO_GAUGE, "berthd_leases", "Entries that a client was told of.",
		 store_leases(st));
	return ERR_OK;
}

typedef uint64_t status_fn(const struct events_status *s);

static uint64_t delivered(const struct events_status *s)
{
	return s->delivered;
}

static uint64_t failures(const struct events_status *s)
{
	return s->failures;
}

static uint64_t dropped(const struct events_status *s)
{
	return s->dropped;
}

static uint64_t waiting(const struct events_status *s)
{
	return s->waiting;
}

static uint64_t waiting_ms(const struct events_status *s)
{
	uint64_t now = wall_ms();

	return s->waiting_since_ms && now > s->waiting_since_ms ? now - s->waiting_since_ms : 0;
}

static uint64_t last_ms(const struct events_status *s)
{
	return s->last_ms;
}

/* Endpoints are few, and named by the configuration. */
static void tell_events(struct expo *x, struct events *ev, uint64_t last_seq)
{
	static const struct {
		const char *name, *help;
		enum expo_type type;
		bool is_ms;
		status_fn *of;
	} families[] = {
		{ "berthd_events_delivered", "Events that an endpoint took.", EXPO_COUNTER, false,
		  delivered },
		{ "berthd_events_failures", "Tries to deliver an event that failed.", EXPO_COUNTER,
		  false, failures },
		{ "berthd_events_dropped", "Events given up, older than events.keep.", EXPO_COUNTER,
		  false, dropped },
		{ "berthd_events_waiting_records", "Records that wait to be told of.", EXPO_GAUGE,
		  false, waiting },
		{ "berthd_events_waiting_seconds",
		  "Age of the event that is being delivered; 0: none is.", EXPO_GAUGE, true,
		  waiting_ms },
		{ "berthd_events_last_delivery_time_seconds",
		  "When an endpoint last took an event, seconds since 1970; 0: not yet.",
		  EXPO_GAUGE, true, last_ms },
	};
	struct events_status s;

	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		expo_family(x, families[f].type, families[f].name, families[f].help);
		for (size_t i = 0; events_status(ev, i, last_seq, &s); i++) {
			char labels[FOLLOW_NAME_MAX + 32];

			(void)snprintf(labels, sizeof(labels), "endpoint=\"%s\"", s.name);
			(families[f].is_ms ? expo_ms : expo_sample)(x, labels, families[f].of(&s));
		}
	}
}

enum err_kind metrics_tell_store(const struct ops *ops, struct expo *x, struct err *e)
{
	struct commit_stats commits = store_commit_stats(ops->store);
	AUTO_QUOTAS *quotas = store_quotas(ops->store);
	struct scrubber_status scrub;
	struct gc_status gc;
	struct totals totals;
	struct reflog_mark mark;
	struct kv_stat stat;
	enum err_kind k = index_stat(store_index(ops->store), &stat, e);

	if (k == ERR_OK)
		k = index_totals(store_index(ops->store), &totals, e);
	if (k == ERR_OK)
		k = index_mark_read(store_index(ops->store), &mark, e);
	if (k == ERR_OK)
		k = tell_uploads(x, ops->store, stat.entries[KV_UPLOAD], e);
	if (k != ERR_OK)
		return k;
	tell_index(x, &stat, &totals);
	tell_commits(x, &commits);
	gc_status(ops->gc, &gc);
	tell_gc(x, &gc);
	if (quotas)
		tell_quotas(x, quotas);
	scrubber_status(ops->scrubber, &scrub);
	tell_scrub(x, &scrub);
	if (ops->events)
		tell_events(x, ops->events, mark.seq);
	return ERR_OK;
}
