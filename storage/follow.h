/*
 * follow - reads the reflog on from where a reader of this name got to, across restarts: ROOT/events/<name>.
 *
 * W1  fn sees every record that counts, oldest first, until it takes it; what it took before a crash and after the last
 *     follow_keep it sees again.
 * W2  A name that is new begins with what happens next, and that is durable when follow_open returns.
 * W3  Reading waits for nobody who writes, and nobody who writes waits for it.
 * Lifecycle  open -> (read -> keep)* -> close.
 * Ownership  borrows the store.
 * Threads    one thread at a time per object; blocks.
 */
#pragma once

#include "storage/reflog_record.h"
#include "storage/store.h"

struct follower;

#define FOLLOW_NAME_MAX 63
/* Letters a to z, digits, and hyphens in between. */
bool follow_name_is_valid(struct str name);

/* *ret_lost: the position is beyond the log, which is another one; it begins with what happens next. */
MUST_CHECK enum err_kind follow_open(struct store *st, const char *name, struct follower **ret,
				     bool *ret_lost, struct err *e);
void follow_close(struct follower **take);

/* Up to the last record that counts now.  fn takes a record by returning ERR_OK; anything else ends the reading. */
typedef enum err_kind follow_fn(void *arg, const struct reflog_record *r, struct err *e);
MUST_CHECK enum err_kind follow_read(struct follower *f, follow_fn *fn, void *arg, struct err *e);
/* Makes the position durable, if it has changed since the last time. */
MUST_CHECK enum err_kind follow_keep(struct follower *f, struct err *e);
/* The last record taken. */
uint64_t follow_seq(const struct follower *f);

/* Without a name or a position: records after *after_seq, as follow_read. */
MUST_CHECK enum err_kind follow_after(struct store *st, struct reflog_mark *at, follow_fn *fn,
				      void *arg, struct err *e);

/* backup.c: positions are part of a copy. */
#define FOLLOW_DIR "events"
MUST_CHECK enum err_kind follow_copy(int from_root, int to_root, struct err *e);
