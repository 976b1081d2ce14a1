/*
 * index - what the registry knows, as operations of its domain: each read is one consistent look, each change one
 * transaction.  A second engine can implement this header.
 *
 * I1  Costs are O(log n + what is returned); nothing lists or parses what was not asked for.
 * I2  A change checks before it writes: if it fails for a reason of its own, nothing of it is in the transaction.
 * I3  A manifest is in a repository only if all it must refer to was there in the same transaction (promise P4).
 * I4  Whatever stops being referred to gets an entry in the review queue in the same transaction.
 * Lifecycle  index_open -> reads and transactions -> index_close.
 * Threads    reads from any thread; transactions from one thread, the committer's.
 */
#pragma once

#include "storage/change.h"

struct index;
struct index_txn;

#define INDEX_FORMAT_VERSION 1
#define INDEX_INLINE_MAX                                                                           \
	(64u * 1024) /* manifests up to this many bytes are served from the index */

/* ERR_UNSUPPORTED for a format of another version, with nothing changed. */
MUST_CHECK enum err_kind index_open(const char *dir, uint64_t map_bytes, struct index **ret,
				    struct err *e);
void index_close(struct index **ix);
MUST_CHECK enum err_kind index_stat(struct index *ix, struct kv_stat *ret, struct err *e);

/*
 * From now on changes are refused that would exceed q; NULL: none.  Who changes something waits while it is counted what
 * counts towards q: about a microsecond for each repository.
 */
struct quotas;
MUST_CHECK enum err_kind index_set_quotas(struct index *ix, struct quotas *q, struct err *e);
struct quotas *index_quotas(struct index *ix); /* a reference, or NULL */

/* Writes the index as of one moment to fd, an empty data.mdb of an index to be. */
MUST_CHECK enum err_kind index_copy(struct index *ix, int fd, struct err *e);

/* --- Reads.  ERR_NOT_FOUND is an answer: *e then says what was not there. --- */

struct manifest_info {
	uint64_t repo; /* number of the repository */
	bool held;     /* a tag or a manifest of the repository refers to it */
	struct digest digest;
	uint64_t size_bytes, pushed_ms;
	char media_type[MEDIA_TYPE_MAX + 1];
	char *bytes; /* owned, size_bytes long; NULL if the manifest is only in its file */
};

/* tag, or d where tag is NULL. */
MUST_CHECK enum err_kind index_manifest_find(struct index *ix, const struct repo_name *repo,
					     const struct tag_name *tag, const struct digest *d,
					     struct manifest_info *ret, struct err *e);
struct blob_info {
	uint64_t repo, size_bytes;
	bool held;
	bool is_damaged; /* its file does not hash to its digest */
};
MUST_CHECK enum err_kind index_blob_find(struct index *ix, const struct repo_name *repo,
					 const struct digest *d, struct blob_info *ret,
					 struct err *e);
MUST_CHECK enum err_kind index_repo_exists(struct index *ix, const struct repo_name *repo,
					   struct err *e);

/* A page of names in byte order, each followed by a NUL. */
struct name_page {
	struct sbuf names;
	size_t n;
	bool more; /* there are names after the last one */
};
#define NAME_PAGE_INIT                                                                             \
	(struct name_page)                                                                         \
	{                                                                                          \
		.names = {.max = SBUF_MAX }                                                        \
	}
void name_page_clear(struct name_page *p);
#define AUTO_NAME_PAGE CLEANUP(name_page_clear) struct name_page

/* Up to n names after `after` (empty: from the start).  Tags: ERR_NOT_FOUND without the repository. */
MUST_CHECK enum err_kind index_tag_page(struct index *ix, const struct repo_name *repo,
					struct str after, size_t n, struct name_page *p,
					struct err *e);
MUST_CHECK enum err_kind index_repo_page(struct index *ix, struct str after, size_t n,
					 struct name_page *p, struct err *e);

/* Where a listing of referrers goes on: the last one returned. */
struct referrer_mark {
	uint64_t type_hash;
	struct digest manifest;
};

/*
 * Calls add with the descriptor of each referrer of subject, in a stable order, after *after (NULL: from the start),
 * those of artifact type `type` only unless it is empty.  add returns false to stop before that one: then *ret_more
 * is true and *ret_last is the last one taken.  add must not block.
 */
typedef bool referrer_add_fn(void *arg, struct str descriptor);
MUST_CHECK enum err_kind index_referrers(struct index *ix, const struct repo_name *repo,
					 const struct digest *subject, struct str type,
					 const struct referrer_mark *after, referrer_add_fn *add,
					 void *arg, bool *ret_more, struct referrer_mark *ret_last,
					 struct err *e);

/*
 * Content that some repository had once and that is not collected yet.  *ret_bytes (may be NULL) is a copy to free, or
 * NULL where the bytes are in the file only.
 */
MUST_CHECK enum err_kind index_object_find(struct index *ix, const struct digest *d,
					   struct object_row *ret, char **ret_bytes, struct err *e);
MUST_CHECK enum err_kind index_upload_find(struct index *ix, const struct upload_id *id,
					   struct upload_row *ret, struct err *e);
/* Up to n sessions after *after (NULL: from the start), in order of id; *ret_n says how many. */
MUST_CHECK enum err_kind index_upload_page(struct index *ix, const struct upload_id *after,
					   size_t n, struct upload_id *ret, size_t *ret_n,
					   struct err *e);

/* --- Changes --- */

MUST_CHECK enum err_kind index_begin(struct index *ix, struct index_txn **ret, struct err *e);
/*
 * Applies one change.  ERR_NOT_FOUND, ERR_REFS, ERR_INVALID, ERR_IN_USE, ERR_TOO_MANY: the change is refused and the
 * transaction goes on without it.  Any other failure: the transaction must be aborted.
 */
MUST_CHECK enum err_kind index_apply(struct index_txn *t, struct change *c, struct err *e);
bool index_refused(enum err_kind k); /* true for the first class of failures above */
MUST_CHECK enum err_kind index_mark_put(struct index_txn *t, const struct reflog_mark *m,
					struct err *e);
MUST_CHECK enum err_kind index_commit(struct index_txn **t, struct err *e);
void index_abort(struct index_txn **t);
#define AUTO_INDEX_TXN CLEANUP(index_abort) struct index_txn

/* The mark as of the last commit. */
MUST_CHECK enum err_kind index_mark_read(struct index *ix, struct reflog_mark *ret, struct err *e);
/* Up to which record the files of manifests are on stable storage, and not only their bytes in the index. */
MUST_CHECK enum err_kind index_settled_read(struct index *ix, struct reflog_mark *ret,
					    struct err *e);
/* After a failed commit: opens the index anew, with or without that commit.  No transaction may be open. */
MUST_CHECK enum err_kind index_recover(struct index *ix, struct err *e);

/* True if the failure was a full map: abort, index_grow, apply again. */
bool index_is_full(const struct err *e);
MUST_CHECK enum err_kind index_grow(struct index *ix, struct err *e);

MUST_CHECK enum err_kind index_tag_find(struct index *ix, const struct repo_name *repo,
					const struct tag_name *tag, struct tag_row *ret,
					struct err *e);

/* Up to n tags of a repository after *after (NULL: from the first), in byte order. */
struct tag_item {
	struct tag_name name;
	struct tag_row row;
};
MUST_CHECK enum err_kind index_tag_rows(struct index *ix, const struct repo_name *repo,
					const struct tag_name *after, size_t n,
					struct tag_item *ret, size_t *ret_n, struct err *e);

/* --- Looking around, for administrators (index_browse.c).  Pages are each one consistent look. --- */

struct repo_item {
	struct repo_name name;
	struct repo_row row;
};
/* Up to n repositories after `after` (empty: from the first), in byte order. */
MUST_CHECK enum err_kind index_repo_rows(struct index *ix, struct str after, size_t n,
					 struct repo_item *ret, size_t *ret_n, struct err *e);

MUST_CHECK enum err_kind index_repo_find(struct index *ix, const struct repo_name *repo,
					 struct repo_row *ret, struct err *e);

/* A digest of which a repository has something. */
struct entry_item {
	struct digest digest;
	uint64_t size_bytes;
	bool is_blob, is_manifest;
	uint64_t pushed_ms; /* the last time, as either */
};
/* Up to n of them after *after (NULL: from the first), in order of digest. */
MUST_CHECK enum err_kind index_entry_page(struct index *ix, const struct repo_name *repo,
					  const struct digest *after, size_t n,
					  struct entry_item *ret, size_t *ret_n, struct err *e);

/* What content is, by the first repository that has it; unplaced: in none, kept by the trash or not collected yet. */
struct content_count {
	uint64_t manifests, blobs, unplaced, unplaced_bytes;
};
/* Adds up to n contents after *after (NULL: from the first) to *sum; *ret_n says how many, *ret_last is the last one. */
MUST_CHECK enum err_kind index_content_count(struct index *ix, const struct digest *after, size_t n,
					     struct content_count *sum, struct digest *ret_last,
					     size_t *ret_n, struct err *e);

/* The row of a manifest; its references (refs_pack) are appended. */
MUST_CHECK enum err_kind index_manifest_look(struct index *ix, const struct repo_name *repo,
					     const struct digest *d, struct manifest_row *ret,
					     struct sbuf *ret_refs, struct err *e);
/* Up to n referrers of subject after *after (NULL: from the first). */
MUST_CHECK enum err_kind index_referrer_page(struct index *ix, const struct repo_name *repo,
					     const struct digest *subject,
					     const struct referrer_mark *after, size_t n,
					     struct referrer_mark *ret, size_t *ret_n,
					     struct err *e);

/* What refers to a digest within a repository. */
struct holder {
	bool is_tag;
	struct tag_name tag;
	struct digest manifest; /* unless it is a tag, this manifest, ... */
	uint8_t ref_kind;       /* ... in this way (enum ref_kind) */
};
/* For each, tags first, until fn returns false; fn must not block. */
typedef bool holder_fn(void *arg, const struct holder *h);
MUST_CHECK enum err_kind index_holders(struct index *ix, const struct repo_name *repo,
				       const struct digest *d, holder_fn *fn, void *arg,
				       struct err *e);
/* For each repository that has it, until fn returns false; fn must not block. */
typedef bool place_fn(void *arg, const struct repo_name *repo);
MUST_CHECK enum err_kind index_places(struct index *ix, const struct digest *d, place_fn *fn,
				      void *arg, struct err *e);

/* ERR_NOT_FOUND unless the last process that used the index ended in order. */
MUST_CHECK enum err_kind index_closed_read(struct index *ix, struct closed_row *ret, struct err *e);

/* --- Checking --- */

#define INDEX_FAULT_TEXT_MAX 512
/* An invariant of FORMAT.md section 4 that one row shows to be broken. */
struct index_fault {
	const char *name;
	enum kv_table table;
	struct key key;                  /* the row's */
	bool can_mend;                   /* CHANGE_MEND of the row does it */
	char what[INDEX_FAULT_TEXT_MAX]; /* what it is about, for people */
};
struct index_faults {
	struct index_fault *at;
	size_t n;
};
void index_faults_clear(struct index_faults *f);
#define AUTO_INDEX_FAULTS CLEANUP(index_faults_clear) struct index_faults

/*
 * Checks up to n rows of a table after *after (NULL: from the first) in one consistent look; faults are appended.  *ret_n
 * says how many rows there were, *ret_last is the last one.  now_ms and due_ms, steady clock, are of review rows that
 * are missing.
 */
MUST_CHECK enum err_kind index_check_page(struct index *ix, enum kv_table table,
					  const struct key *after, size_t n, uint64_t now_ms,
					  uint64_t due_ms, struct index_faults *ret,
					  struct key *ret_last, size_t *ret_n, struct err *e);
/* Counts all content, and tells whether that is what the totals say. */
MUST_CHECK enum err_kind index_check_totals(struct index *ix, bool *ret_right, struct err *e);

struct object_item {
	struct digest digest;
	struct object_row row;
};
/*
 * Up to n objects after *after (NULL: from the first), in order of digest; but for rows that are spoilt, which nobody can
 * read and a check of rows tells of.
 */
MUST_CHECK enum err_kind index_object_page(struct index *ix, const struct digest *after, size_t n,
					   struct object_item *ret, size_t *ret_n, struct err *e);

/* Does a repository have the content, whatever else is known of it? */
MUST_CHECK enum err_kind index_has_place(struct index *ix, const struct digest *d, bool *ret,
					 struct err *e);

/* All zero before the first round. */
MUST_CHECK enum err_kind index_scrub_read(struct index *ix, struct scrub_row *ret, struct err *e);

/* --- Collection --- */

MUST_CHECK enum err_kind index_totals(struct index *ix, struct totals *ret, struct err *e);

/* Up to n rows that are due by until_ms, after *after (NULL: from the first), the earliest first. */
MUST_CHECK enum err_kind index_review_page(struct index *ix, const struct review_row *after,
					   uint64_t until_ms, size_t n, struct review_row *ret,
					   size_t *ret_n, struct err *e);

/* By which rules all of the queue was last reviewed (CHANGE_RULES); 0: by none yet. */
MUST_CHECK enum err_kind index_rules_read(struct index *ix, uint64_t *ret, struct err *e);

/* ERR_NOT_FOUND if no repository has the number. */
MUST_CHECK enum err_kind index_repo_by_id(struct index *ix, uint64_t repo, struct repo_name *ret,
					  struct err *e);

/* What CHANGE_COLLECT would do with a row now. */
struct review_finding {
	enum verdict verdict;
	struct repo_name repo; /* empty for content */
	uint64_t size_bytes;
	uint64_t
	    share_bytes; /* what the repository loses: with a manifest the blobs that only it refers to */
};
MUST_CHECK enum err_kind index_review_look(struct index *ix, const struct review_row *r,
					   const struct review_policy *p,
					   struct review_finding *ret, struct err *e);

/* Up to n digests of collected content whose file may still be there, after *after (NULL: from the first). */
MUST_CHECK enum err_kind index_doomed_page(struct index *ix, const struct digest *after, size_t n,
					   struct digest *ret, size_t *ret_n, struct err *e);

/* One row of the trash with what went with it. */
struct trash_item {
	struct trash_row row;
	struct sbuf tags, refs; /* tag_pack, refs_pack */
};
void trash_item_clear(struct trash_item *i);
#define AUTO_TRASH_ITEM CLEANUP(trash_item_clear) struct trash_item
/* The row numbered *id or the first after it; ERR_NOT_FOUND if there is none. */
MUST_CHECK enum err_kind index_trash_next(struct index *ix, uint64_t id, struct trash_item *ret,
					  struct err *e);
/* The newest row that holds a manifest of the repository by this digest; ERR_NOT_FOUND. */
MUST_CHECK enum err_kind index_trash_find(struct index *ix, const struct repo_name *repo,
					  const struct digest *d, uint64_t *ret_id, struct err *e);
