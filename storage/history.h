/*
 * history - what the tags of a repository pointed to and who moved them, as the reflog has it.
 *
 * Time is that of reading the whole reflog; memory that of the tags the repository ever had.
 * Threads  any; blocks.
 */
#pragma once

#include "storage/reflog_record.h"
#include "storage/store.h"

/* A tag was set or vanished. */
struct history_event {
	uint64_t seq, at_ms; /* of the record */
	struct tag_name tag;
	struct digest from, to; /* alg 0: nothing */
	bool by_gc, by_admin;   /* neither: a client */
	const char *who;        /* "" if that is not known */
};
/* False to end it. */
typedef bool history_fn(void *arg, const struct history_event *ev);

/* Calls fn for each event of the repository, or of one tag of it (NULL: of all), the oldest first. */
MUST_CHECK enum err_kind history_read(struct store *st, const struct repo_name *repo,
				      const struct tag_name *tag, history_fn *fn, void *arg,
				      struct err *e);
