/*
 * index_impl - what the files of the index share: index.c, index_browse.c and index_review.c (reads), index_rows.c (pieces of changes),
 * index_guard.c (what a change may do), index_apply.c (what clients change), index_collect.c (what is collected),
 * index_mend.c (what is checked); included by them, and by tests that look inside.
 */
#pragma once

#include "base/lock.h"
#include "storage/index.h"
#include "storage/quota.h"

/* In the meta table. */
#define REFLOG_MARK_KEY STR("reflog")
#define SETTLED_MARK_KEY STR("settled")
#define TOTALS_KEY STR("totals")
#define CLOSED_KEY STR("closed")
#define SCRUB_KEY STR("scrub")
#define RULES_KEY STR("rules")

/* What a repository has of a digest: bits in a place row. */
enum place_bit { PLACE_LINK = 1, PLACE_MANIFEST = 2 };

struct index {
	struct kv *kv;
	struct lock quotas_mu;
	struct quotas *quotas; /* under quotas_mu: a reference; NULL: none */
};

struct index_txn {
	struct kv_txn *kv;
	struct totals totals; /* as of this transaction */
	bool totals_changed;
	struct quotas *quotas;      /* a reference */
	struct usage_change *usage; /* index_usage.c: of repositories that it changed */
	size_t n_usage, usage_room;
};

/* ERR_CORRUPT: a value that the codecs of index_key.h do not accept. */
enum err_kind index_bad_value(struct err *e, const char *table);

/* Begins a read and finds the repository's row; on failure *t is NULL or for the caller's AUTO_ to end. */
MUST_CHECK enum err_kind index_begin_in_repo(struct index *ix, const struct repo_name *repo,
					     struct kv_txn **t, struct repo_row *ret,
					     struct err *e);

/* --- index.c: look-ups that both sides need; ERR_NOT_FOUND leaves e untouched --- */

MUST_CHECK enum err_kind index_get_repo(struct kv_txn *t, const struct repo_name *repo,
					struct repo_row *ret, struct err *e);
MUST_CHECK enum err_kind index_get_repo_name(struct kv_txn *t, uint64_t repo, struct repo_name *ret,
					     struct err *e);
MUST_CHECK enum err_kind index_get_tag(struct kv_txn *t, uint64_t repo, const struct tag_name *tag,
				       struct tag_row *ret, struct err *e);
/* *ret_refs points into the map (V4). */
MUST_CHECK enum err_kind index_get_manifest(struct kv_txn *t, uint64_t repo, const struct digest *d,
					    struct manifest_row *ret, struct str *ret_refs,
					    struct err *e);
MUST_CHECK enum err_kind index_has_link(struct kv_txn *t, uint64_t repo, const struct digest *d,
					struct err *e);
MUST_CHECK enum err_kind index_get_object(struct kv_txn *t, const struct digest *d,
					  struct object_row *ret, struct err *e);
MUST_CHECK enum err_kind index_get_totals(struct kv_txn *t, struct totals *ret, struct err *e);
/* Is it a blob or a manifest of the repository? */
MUST_CHECK enum err_kind index_has_entry(struct kv_txn *t, uint64_t repo, const struct digest *d,
					 bool *ret, struct err *e);
/* Does a tag or a manifest of the repository refer to it? */
MUST_CHECK enum err_kind index_is_held(struct kv_txn *t, uint64_t repo, const struct digest *d,
				       bool *ret, struct err *e);
/* ERR_OK if some key of the table starts with prefix. */
MUST_CHECK enum err_kind index_first(struct kv_txn *t, enum kv_table table,
				     const struct key *prefix, struct key *ret_first,
				     struct err *e);

/* --- index_rows.c --- */

enum err_kind index_refuse(struct err *e, enum err_kind kind, const char *what,
			   const struct digest *d, const struct repo_name *repo);
MUST_CHECK enum err_kind row_put(struct index_txn *t, enum kv_table table, const struct key *key,
				 struct str value, struct err *e);
/* Deleting what is not there is no failure: the callers undo what may be partly undone. */
MUST_CHECK enum err_kind row_drop(struct index_txn *t, enum kv_table table, const struct key *key,
				  struct err *e);

/* Ids of repositories, manifests and trash rows, each used once. */
MUST_CHECK enum err_kind next_id(struct index_txn *t, uint64_t *ret, struct err *e);
MUST_CHECK enum err_kind repo_get_or_make(struct index_txn *t, const struct change *c,
					  uint64_t *ret, struct err *e);
/* Removes a repository in which nothing is left. */
MUST_CHECK enum err_kind repo_drop_if_empty(struct index_txn *t, const struct repo_name *name,
					    uint64_t repo, struct err *e);

/* The object's row and the totals.  Its file was just placed, so it is as it should be. */
MUST_CHECK enum err_kind object_put(struct index_txn *t, const struct digest *d, uint64_t size,
				    struct err *e);
MUST_CHECK enum err_kind object_drop(struct index_txn *t, const struct digest *d, struct err *e);

/*
 * Sets and clears bits of what a repository has of a digest.  The row goes with its last bit, and the content to review
 * with its last row.
 */
MUST_CHECK enum err_kind place_update(struct index_txn *t, const struct change *c, uint64_t repo,
				      const struct repo_name *name, const struct digest *d,
				      uint8_t set, uint8_t clear, struct err *e);

/* Queues content that no repository has. */
MUST_CHECK enum err_kind review_content(struct index_txn *t, const struct change *c,
					const struct digest *d, struct err *e);
/* At most one row for each entry of a repository: a new one takes the place of the old one. */
MUST_CHECK enum err_kind review_put(struct index_txn *t, const struct review_row *v, struct err *e);
MUST_CHECK enum err_kind review_drop(struct index_txn *t, uint64_t repo, const struct digest *d,
				     struct err *e);
/* An entry that neither a tag nor a manifest of the repository refers to is queued, any other is not (I4). */
MUST_CHECK enum err_kind review_update(struct index_txn *t, const struct change *c, uint64_t repo,
				       const struct digest *d, struct err *e);

MUST_CHECK enum err_kind link_put(struct index_txn *t, const struct change *c, struct err *e);
MUST_CHECK enum err_kind link_drop(struct index_txn *t, const struct change *c, uint64_t repo,
				   struct err *e);
MUST_CHECK enum err_kind tag_drop(struct index_txn *t, const struct repo_name *name, uint64_t repo,
				  struct str tag, const struct digest *d, struct err *e);
/* A manifest with all its tags; what it alone held goes to review, and what has it as its subject. */
MUST_CHECK enum err_kind manifest_drop(struct index_txn *t, const struct change *c, uint64_t repo,
				       const struct manifest_row *row, struct str refs,
				       struct err *e);
/* A referrer's place among those of its subject. */
struct key referrer_key(uint64_t repo, const struct digest *subject, const char *type,
			const struct digest *d);

/* --- index_guard.c: what the guard of a change forbids (ERR_DENIED); nothing where there is none --- */

bool guard_may_read(const struct change *c, const struct repo_name *repo);
/* The tag of the change's repository must be one that may move and vanish. */
MUST_CHECK enum err_kind guard_tag(const struct change *c, struct str tag, struct err *e);
/* None of the change's tags that point elsewhere is immutable. */
MUST_CHECK enum err_kind guard_moved_tags(struct index_txn *t, const struct change *c,
					  uint64_t repo, struct err *e);
/* No tag of the change's manifest, which goes, is immutable. */
MUST_CHECK enum err_kind guard_vanishing_tags(struct index_txn *t, const struct change *c,
					      uint64_t repo, struct err *e);

/* --- index_usage.c --- */

MUST_CHECK enum err_kind index_get_usage(struct kv_txn *t, uint64_t repo, struct usage_row *ret,
					 struct err *e);
/* What it should be, by all rows of the repository. */
MUST_CHECK enum err_kind index_count_usage(struct kv_txn *t, uint64_t repo, struct usage_row *ret,
					   struct err *e);
MUST_CHECK enum err_kind usage_add(struct index_txn *t, const struct repo_name *name, uint64_t repo,
				   const struct quota_use *u, int64_t objects, struct err *e);
/* What counts towards those there are, anew. */
MUST_CHECK enum err_kind index_count_quotas(struct index *ix, struct err *e);
/* Before a push changes anything: ERR_DENIED if a quota is in the way.  repo 0: it is not there yet. */
MUST_CHECK enum err_kind usage_check(struct index_txn *t, const struct change *c, uint64_t repo,
				     uint64_t size_bytes, struct err *e);
/* Writes the rows of what was added. */
MUST_CHECK enum err_kind usage_flush(struct index_txn *t, struct err *e);

/*
 * index_check.c: what is wrong with one row, given all others; reported to a sink with what would mend it.  In a write
 * transaction the sink may mend at once.
 */
enum mend { MEND_NONE, MEND_PUT, MEND_DROP };
struct row_fault {
	const char *name;
	enum mend mend;
	enum kv_table table; /* of the row that mends */
	const struct key *key;
	struct str value; /* MEND_PUT */
};
typedef enum err_kind row_fault_fn(void *arg, const struct row_fault *f, struct err *e);
/* due_ms is for rows that are missing in the review queue. */
MUST_CHECK enum err_kind index_check_row(struct kv_txn *t, enum kv_table table, struct str key,
					 struct str value, uint64_t now_ms, uint64_t due_ms,
					 row_fault_fn *sink, void *arg, struct err *e);

/* --- index_mend.c: members of index_apply's table --- */

MUST_CHECK enum err_kind apply_mend(struct index_txn *t, struct change *c, struct err *e);
MUST_CHECK enum err_kind apply_damage(struct index_txn *t, struct change *c, struct err *e);
MUST_CHECK enum err_kind apply_found(struct index_txn *t, struct change *c, struct err *e);
MUST_CHECK enum err_kind apply_scrubbed(struct index_txn *t, struct change *c, struct err *e);

/* --- index_collect.c: members of index_apply's table --- */

MUST_CHECK enum err_kind apply_collect(struct index_txn *t, struct change *c, struct err *e);
MUST_CHECK enum err_kind apply_rules(struct index_txn *t, struct change *c, struct err *e);
MUST_CHECK enum err_kind apply_purged(struct index_txn *t, struct change *c, struct err *e);
MUST_CHECK enum err_kind apply_trash_drop(struct index_txn *t, struct change *c, struct err *e);
/* Remembers what c removes; nothing where c does not want that. */
MUST_CHECK enum err_kind trash_put(struct index_txn *t, const struct change *c,
				   const struct trash_row *v, struct str tags, struct str refs,
				   struct err *e);
