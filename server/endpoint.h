/*
 * endpoint - who is told of events: one entry of events.endpoints, what it wants to hear, and the request that tells it.
 *
 * Y1  A request with a secret is signed anew for each try, with its time: X-Berth-Signature-256 is "sha256=" and the HMAC of the
 *     value of X-Berth-Timestamp (seconds since 1970), a full stop, and the body.  Who refuses old times refuses replays.
 * Ownership  an endpoint borrows the entry that it was made of.
 * Lifecycle  endpoint_parse -> endpoint_read, without which it cannot sign -> endpoint_tend, now and then -> endpoint_clear.
 * Threads    const after endpoint_read, but for endpoint_tend: all by one thread.
 */
#pragma once

#include "base/faults.h"
#include "base/filewatch.h"
#include "base/secret.h"
#include "server/event.h"
#include "storage/follow.h"

#define ENDPOINT_PATTERNS_MAX 64

struct endpoint_patterns {
	size_t n; /* 0: everything */
	struct str items[ENDPOINT_PATTERNS_MAX];
};

/* In a file, which is read again when it has changed. */
struct endpoint_secret {
	const char *path; /* NULL: none is wanted */
	struct filewatch watch;
	struct secret_buf text;
};

struct endpoint {
	char name[FOLLOW_NAME_MAX + 1];
	const char *url, *ca; /* ca NULL: the system's authorities */
	bool is_cloud;        /* CloudEvents; otherwise the format of distribution */
	bool insecure;        /* http to another machine */
	struct endpoint_patterns repositories;
	struct endpoint_patterns media_types; /* events without one pass */
	bool actions[EVENT_ACTION_N];
	struct endpoint_secret secret, authorization;
};

/* ERR_INVALID says what is wrong, with the line; all: NULL, or who hears of each fault. */
MUST_CHECK enum err_kind endpoint_parse(const struct jv *entry, struct faults *all,
					struct endpoint *ret, struct err *e);
void endpoint_clear(struct endpoint *ep);
/* Reads the secrets. */
MUST_CHECK enum err_kind endpoint_read(struct endpoint *ep, struct err *e);
/* Reads secrets that have changed.  After a failure the old ones stay. */
MUST_CHECK enum err_kind endpoint_tend(struct endpoint *ep, struct err *e);

bool endpoint_wants(const struct endpoint *ep, const struct event *ev);

#define ENDPOINT_FIELDS_MAX 8
#define ENDPOINT_HEAD_MAX 16384
/* Header fields "Name: value", up to NULL. */
struct endpoint_head {
	const char *fields[ENDPOINT_FIELDS_MAX];
	size_t n;
	struct sbuf text; /* what they are in */
};
MUST_CHECK enum err_kind endpoint_sign(const struct endpoint *ep, struct str body,
				       uint64_t now_wall_ms, struct endpoint_head *ret,
				       struct err *e);
void endpoint_head_clear(struct endpoint_head *h);
