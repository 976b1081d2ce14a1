#include "server/event.h"

#include "base/clock.h"
#include "base/mediatype.h"

#define URL_MAX 1024

/* By kind of the record. */
static const struct {
	const char *type; /* of CloudEvents */
	enum event_action action;
	bool by_tag;
} kinds[CHANGE_KIND_N] = {
	[CHANGE_BLOB_LINK] = { "berth.blob.link", EVENT_PUSH, false },
	[CHANGE_BLOB_UNLINK] = { "berth.blob.unlink", EVENT_DELETE, false },
	[CHANGE_MANIFEST_PUT] = { "berth.manifest.put", EVENT_PUSH, true },
	[CHANGE_MANIFEST_DELETE] = { "berth.manifest.delete", EVENT_DELETE, false },
	[CHANGE_TAG_DELETE] = { "berth.tag.delete", EVENT_DELETE, true },
};

const char *event_action_text(enum event_action a)
{
	static const char *const names[EVENT_ACTION_N] = {
		[EVENT_PUSH] = "push", [EVENT_DELETE] = "delete"
	};

	return names[a];
}

size_t event_count(const struct reflog_record *r)
{
	return kinds[r->kind].by_tag && r->n_tags ? r->n_tags : 1;
}

enum event_action event_action(const struct event *ev)
{
	return kinds[ev->record->kind].action;
}

const char *event_media_type(const struct event *ev)
{
	return ev->record->kind == CHANGE_BLOB_LINK ? MEDIA_OCTETS : ev->record->media_type;
}

/* The time makes it another one where the log begins anew. */
const char *event_id(const struct event *ev, char buf[static EVENT_ID_MAX])
{
	const struct reflog_record *r = ev->record;

	(void)snprintf(buf, EVENT_ID_MAX, "%llu-%llu-%zu", (unsigned long long)r->seq,
		       (unsigned long long)r->at_ms, ev->tag);
	return buf;
}

static const char *tag_of(const struct event *ev)
{
	const struct reflog_record *r = ev->record;

	return kinds[r->kind].by_tag && ev->tag < r->n_tags ? r->tags[ev->tag].s : NULL;
}

static const char *or_null(const char *text)
{
	return *text ? text : NULL;
}

/* A member with a number, where there is something that has one. */
static bool set_size(struct jv *v, const char *name, const struct reflog_record *r)
{
	return kinds[r->kind].action != EVENT_PUSH ||
	       jv_set(v, name, jv_pack("I", (long long)r->size_bytes));
}

static const char *digest_or_null(const struct event *ev, char buf[static DIGEST_TEXT_MAX])
{
	return ev->record->digest.alg ? digest_text(&ev->record->digest, buf) : NULL;
}

struct jv *event_item(const struct event *ev)
{
	const struct reflog_record *r = ev->record;
	char id[EVENT_ID_MAX], time[TIME_TEXT_MAX], digest[DIGEST_TEXT_MAX];
	AUTO_JV *v = jv_pack(
	    "{s:I, s:s, s:s, s:s, s:s, s:s*, s:s*, s:s*, s:s, s:s*}", "seq", (long long)r->seq,
	    "id", event_id(ev, id), "time", time_text(r->at_ms, time), "action",
	    event_action_text(event_action(ev)), "repository", r->repo.s, "tag", tag_of(ev),
	    "digest", digest_or_null(ev, digest), "mediaType", or_null(event_media_type(ev)), "by",
	    r->by_gc      ? "gc"
	    : r->by_admin ? "admin"
			  : "client",
	    "who", or_null(r->who));

	return v && set_size(v, "size", r) ? TAKE(v) : NULL;
}

/* Where clients find it: "" without an address, and for tags that are gone. */
static void target_url(const struct event *ev, const char *source, char buf[static URL_MAX])
{
	const struct reflog_record *r = ev->record;
	bool is_blob = r->kind == CHANGE_BLOB_LINK || r->kind == CHANGE_BLOB_UNLINK;
	char digest[DIGEST_TEXT_MAX];

	buf[0] = '\0';
	if (r->digest.alg)
		(void)snprintf(buf, URL_MAX, "%.350s/v2/%s/%s/%s", source, r->repo.s,
			       is_blob ? "blobs" : "manifests", digest_text(&r->digest, digest));
}

/* Distribution knows people by their names alone. */
static const char *actor_of(const struct reflog_record *r)
{
	struct str user = STR("user:");

	if (r->by_gc)
		return "gc";
	return str_starts(str_of(r->who), user) ? r->who + user.n : r->who;
}

static struct jv *distribution_target(const struct event *ev, const char *source, bool is_url)
{
	const struct reflog_record *r = ev->record;
	char digest[DIGEST_TEXT_MAX], url[URL_MAX];
	AUTO_JV *v = NULL;

	target_url(ev, is_url ? source : "", url);
	v = jv_pack("{s:s, s:s*, s:s*, s:s*, s:s*}", "repository", r->repo.s, "mediaType",
		    or_null(event_media_type(ev)), "digest", digest_or_null(ev, digest), "tag",
		    tag_of(ev), "url", or_null(url));
	return v && set_size(v, "size", r) && set_size(v, "length", r) ? TAKE(v) : NULL;
}

struct jv *event_distribution(const struct event *ev, const char *source, bool is_url)
{
	const struct reflog_record *r = ev->record;
	char id[EVENT_ID_MAX], time[TIME_TEXT_MAX];

	return jv_pack("{s:[{s:s, s:s, s:s, s:o, s:{}, s:{s:s*}, s:{s:s}}]}", "events", "id",
		       event_id(ev, id), "timestamp", time_text(r->at_ms, time), "action",
		       event_action_text(event_action(ev)), "target",
		       distribution_target(ev, source, is_url), "request", "actor", "name",
		       or_null(actor_of(r)), "source", "addr", source);
}

static void subject_of(const struct event *ev, char *buf, size_t cap)
{
	const char *tag = tag_of(ev);
	char digest[DIGEST_TEXT_MAX];

	(void)snprintf(buf, cap, "%s%s%s", ev->record->repo.s, tag ? ":" : "@",
		       tag ? tag : digest_text(&ev->record->digest, digest));
}

struct jv *event_cloud(const struct event *ev, const char *source)
{
	const struct reflog_record *r = ev->record;
	char subject[REPO_NAME_MAX + DIGEST_TEXT_MAX + TAG_NAME_MAX + 2];
	char id[EVENT_ID_MAX], time[TIME_TEXT_MAX], sequence[32];

	subject_of(ev, subject, sizeof(subject));
	(void)snprintf(sequence, sizeof(sequence), "%020llu", (unsigned long long)r->seq);
	return jv_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s*, s:o}", "specversion",
		       "1.0", "id", event_id(ev, id), "source", source, "type", kinds[r->kind].type,
		       "subject", subject, "time", time_text(r->at_ms, time), "datacontenttype",
		       "application/json", "sequence", sequence, "partitionkey", r->repo.s,
		       "traceparent", or_null(r->trace), "data", event_item(ev));
}
