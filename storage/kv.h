/*
 * kv - ordered tables with transactions: LMDB behind our errors; the only file that includes lmdb.h.
 *
 * V1  Read transactions see one state, never wait for writers, and never span client I/O.
 * V2  A committed write is on stable storage when kv_write_commit returns ERR_OK.
 * V3  The map grows while berthd runs: kv_grow waits for the readers of the moment, a few microseconds each.
 * V4  Bytes returned by kv_get and cursors point into the map: they die with the transaction, and in a write
 *     transaction with the next put or delete.  They are unaligned.
 * Lifecycle  open -> transactions -> close.  Never used across fork.
 * Threads    readers from any thread; one write transaction at a time, by the thread that began it.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define KV_TABLES(X)                                                                               \
	X(META, "meta")                                                                            \
	X(REPO, "repo")                                                                            \
	X(TAG, "tag")                                                                              \
	X(ENTRY, "entry")                                                                          \
	X(CONTENT, "content")                                                                      \
	X(UPLOAD, "upload")                                                                        \
	X(REVIEW, "review")                                                                        \
	X(REPO_NAME, "repo-name")                                                                  \
	X(TRASH, "trash")                                                                          \
	X(DOOMED, "doomed")                                                                        \
	X(USAGE, "usage")
#define X(id, name) KV_##id,
enum kv_table { KV_TABLES(X) KV_TABLE_N };
#undef X

const char *kv_table_name(enum kv_table table);

#define KV_KEY_MAX 511 /* LMDB's compiled-in limit */

struct kv;
struct kv_txn;
struct kv_cursor; /* lives as long as its transaction at most */

struct kv_stat {
	uint64_t map_bytes;  /* what the map can hold now */
	uint64_t used_bytes; /* pages in use, rounded up to the last one ever used */
	uint64_t entries[KV_TABLE_N];
	unsigned readers;
};

/* dir is an existing directory; map_bytes is the first size of the map, rounded up to pages. */
MUST_CHECK enum err_kind kv_open(const char *dir, uint64_t map_bytes, unsigned readers_max,
				 struct kv **ret, struct err *e);
void kv_close(struct kv **kv);
/*
 * Closes and opens the environment: the way back after a failed commit, when LMDB refuses to go on.  Which state
 * it has then, the one before or after that commit, only the data tell.  Until it succeeds everything is ERR_IO.
 */
MUST_CHECK enum err_kind kv_reopen(struct kv *kv, struct err *e);

MUST_CHECK enum err_kind kv_read_begin(struct kv *kv, struct kv_txn **ret, struct err *e);
MUST_CHECK enum err_kind kv_write_begin(struct kv *kv, struct kv_txn **ret, struct err *e);
/* Consumes the transaction whatever the result; on failure nothing of it remains. */
MUST_CHECK enum err_kind kv_write_commit(struct kv_txn **t, struct err *e);
/* Ends a read, or throws a write away; NULL is let be. */
void kv_end(struct kv_txn **t);
#define AUTO_KV_TXN CLEANUP(kv_end) struct kv_txn

/* Doubles the map.  No write transaction may be open. */
MUST_CHECK enum err_kind kv_grow(struct kv *kv, struct err *e);
/* True if the failure in e is a full map, which kv_grow mends. */
bool kv_is_map_full(const struct err *e);

/* ERR_NOT_FOUND leaves e untouched: absence is an answer, not a failure. */
MUST_CHECK enum err_kind kv_get(struct kv_txn *t, enum kv_table table, struct str key,
				struct str *ret, struct err *e);
MUST_CHECK enum err_kind kv_put(struct kv_txn *t, enum kv_table table, struct str key,
				struct str value, struct err *e);
MUST_CHECK enum err_kind kv_delete(struct kv_txn *t, enum kv_table table, struct str key,
				   struct err *e);

/* Entries in a table, as this transaction sees it. */
MUST_CHECK enum err_kind kv_count(struct kv_txn *t, enum kv_table table, uint64_t *ret,
				  struct err *e);

MUST_CHECK enum err_kind kv_cursor_open(struct kv_txn *t, enum kv_table table,
					struct kv_cursor **ret, struct err *e);
void kv_cursor_close(struct kv_cursor **c);
#define AUTO_KV_CURSOR CLEANUP(kv_cursor_close) struct kv_cursor
/* First entry with a key >= key (empty: the first of all), or ERR_NOT_FOUND with e untouched. */
MUST_CHECK enum err_kind kv_seek(struct kv_cursor *c, struct str key, struct str *ret_key,
				 struct str *ret_value, struct err *e);
MUST_CHECK enum err_kind kv_next(struct kv_cursor *c, struct str *ret_key, struct str *ret_value,
				 struct err *e);

/*
 * Writes one state of all tables to fd, an empty file, without its free pages.  A kv_grow waits for the end of it, and
 * everybody for kv_grow; so the map is grown first if there is little room.
 */
MUST_CHECK enum err_kind kv_copy(struct kv *kv, int fd, struct err *e);

MUST_CHECK enum err_kind kv_stat(struct kv *kv, struct kv_stat *ret, struct err *e);
