/*
 * reflog - the durable log of reference changes: ROOT/reflog/<n>.jsonl (FORMAT.md section 3).
 *
 * L1  A record counts if and only if the index's mark covers it; whatever lies beyond was never acknowledged and
 *     is cut off when the log is opened or rewound.
 * L2  reflog_sync returns ERR_OK only with every record added since the last mark on stable storage.
 * L3  A file whose fsync failed is not written to again: the log goes on in a new one.
 * Lifecycle  open -> (add* -> sync -> accept | rewind)* -> close.
 * Ownership  the log borrows the directory's descriptor.
 * Threads    one thread at a time: the committer's.  All but add may block.  reflog_read,
 *            reflog_read_on and reflog_read_repo by any thread; reflog_read_all while nobody writes.
 */
#pragma once

#include "storage/reflog_record.h"

struct reflog;

#define REFLOG_SEGMENT_BYTES (64u * 1024 * 1024) /* a new file is begun beyond this size */

/*
 * Brings the log to the mark.  ERR_CORRUPT, with nothing in it changed, if the log ends before the mark or the record
 * that the mark names does not end there.
 */
MUST_CHECK enum err_kind reflog_open(int dir_fd, const struct reflog_mark *mark,
				     struct reflog **ret, struct err *e);
void reflog_close(struct reflog **l);

/* Queues the record of a change; nothing for kinds that are not recorded. */
MUST_CHECK enum err_kind reflog_add(struct reflog *l, const struct change *c, struct err *e);
/* Forgets the records queued since the last sync. */
void reflog_drop(struct reflog *l);
/* Writes what is queued; *ret is the mark that would make it count.  Without anything queued it is the old one. */
MUST_CHECK enum err_kind reflog_sync(struct reflog *l, struct reflog_mark *ret, struct err *e);
/* The mark is durable in the index. */
void reflog_accept(struct reflog *l, const struct reflog_mark *mark);
/* Calls fn for each record after *after up to the one numbered last_seq; *r is fn's for the time of the call. */
typedef enum err_kind reflog_record_fn(void *arg, const struct reflog_record *r, struct err *e);
MUST_CHECK enum err_kind reflog_read(int dir_fd, const struct reflog_mark *after, uint64_t last_seq,
				     reflog_record_fn *fn, void *arg, struct err *e);
/*
 * The same for who reads on and on: *at moves behind the last record read, unless fn fails.  segment 0: it is looked for, after
 * the record numbered at->seq.  Records that are lost, and lines that are none, are passed over.
 */
MUST_CHECK enum err_kind reflog_read_on(int dir_fd, struct reflog_mark *at, uint64_t last_seq,
					reflog_record_fn *fn, void *arg, struct err *e);
/* What a log was like that was read without a mark. */
struct reflog_scan {
	struct reflog_mark end; /* after the last record */
	uint64_t records;
	uint64_t missing;    /* numbers without a record, before the last one */
	uint64_t unreadable; /* lines that are no record, a torn last one included */
};
/*
 * Calls fn for each record there is, for who has no index to tell what counts.  What cannot be read is counted and left
 * out.
 */
MUST_CHECK enum err_kind reflog_read_all(int dir_fd, reflog_record_fn *fn, void *arg,
					 struct reflog_scan *ret, struct err *e);
/*
 * The same for the records of one repository; those of others are not looked at closer than that takes.  There may be records
 * beyond the mark, which whoever asks is to leave out.
 */
MUST_CHECK enum err_kind reflog_read_repo(int dir_fd, const struct repo_name *repo,
					  reflog_record_fn *fn, void *arg, struct err *e);
/* Back to a mark, after a failure in between. */
MUST_CHECK enum err_kind reflog_rewind(struct reflog *l, const struct reflog_mark *mark,
				       struct err *e);

/* Files of the log are named by the number of their first record. */
#define REFLOG_NAME_MAX sizeof("18446744073709551615.jsonl")
void reflog_name(uint64_t segment, char buf[static REFLOG_NAME_MAX]);
MUST_CHECK bool reflog_name_parse(const char *name, uint64_t *ret);
