/*
 * reflog_record - one line of the reference log, to and from text; the layout is FORMAT.md section 3.
 *
 * Ownership  reflog_record_parse allocates tags; reflog_record_clear frees them.
 * Threads    no shared state.
 */
#pragma once

#include "base/trace.h"
#include "storage/change.h"

#define REFLOG_LINE_MAX (256u * 1024) /* 1,000 tags of the greatest length fit */

struct reflog_record {
	uint64_t seq, at_ms;
	enum change_kind
	    kind; /* BLOB_LINK, BLOB_UNLINK, MANIFEST_PUT, MANIFEST_DELETE, TAG_DELETE */
	struct repo_name repo;
	struct digest digest;                /* alg 0 for TAG_DELETE */
	uint64_t size_bytes;                 /* BLOB_LINK and MANIFEST_PUT */
	char media_type[MEDIA_TYPE_MAX + 1]; /* MANIFEST_PUT */
	struct tag_name *tags;               /* MANIFEST_PUT, TAG_DELETE */
	size_t n_tags;
	uint64_t pushed_ms;           /* MANIFEST_PUT: when it was pushed, elsewhere; 0: at_ms */
	bool by_gc, by_admin;         /* not by a client */
	char who[CHANGE_WHO_MAX + 1]; /* "" if that is not known */
	char trace[TRACE_TEXT_MAX];   /* traceparent of the request; "": it had none */
};

/* Changes of upload sessions are not part of the log. */
bool reflog_records(const struct change *c);

/* Appends the line of an applied change, newline included, to b. */
MUST_CHECK enum err_kind reflog_record_write(const struct change *c, uint64_t seq, struct sbuf *b,
					     struct err *e);

/* line is without its newline.  ERR_CORRUPT says what is wrong. */
MUST_CHECK enum err_kind reflog_record_parse(struct str line, struct reflog_record *ret,
					     struct err *e);
void reflog_record_clear(struct reflog_record *r);
#define AUTO_REFLOG_RECORD CLEANUP(reflog_record_clear) struct reflog_record
