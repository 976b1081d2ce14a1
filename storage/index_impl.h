/*
 * index_impl - what index.c (reads) and index_apply.c (changes) share; included by them, and by tests that look inside.
 */
#pragma once

#include "storage/index.h"

/* In the meta table. */
#define REFLOG_MARK_KEY STR("reflog")
#define SETTLED_MARK_KEY STR("settled")

struct index {
	struct kv *kv;
};

struct index_txn {
	struct kv_txn *kv;
};

/* ERR_CORRUPT: a value that the codecs of index_key.h do not accept. */
enum err_kind index_bad_value(struct err *e, const char *table);

/* Look-ups that both sides need; ERR_NOT_FOUND leaves e untouched. */
MUST_CHECK enum err_kind index_get_repo(struct kv_txn *t, const struct repo_name *repo,
					struct repo_row *ret, struct err *e);
MUST_CHECK enum err_kind index_get_tag(struct kv_txn *t, uint64_t repo, const struct tag_name *tag,
				       struct tag_row *ret, struct err *e);
/* *ret_refs points into the map (V4). */
MUST_CHECK enum err_kind index_get_manifest(struct kv_txn *t, uint64_t repo, const struct digest *d,
					    struct manifest_row *ret, struct str *ret_refs,
					    struct err *e);
MUST_CHECK enum err_kind index_has_link(struct kv_txn *t, uint64_t repo, const struct digest *d,
					struct err *e);
MUST_CHECK enum err_kind index_get_size(struct kv_txn *t, const struct digest *d, uint64_t *ret,
					struct err *e);
