/*
 * repo - what clients change in a repository, each durable when ERR_OK comes back (promises P1 to P4).
 *
 * R1  Failures leave the repository as it was.
 * R2  A guard (NULL: none) is asked in the transaction that makes the change: no other change comes in between.
 * Threads  any; all block.
 */
#pragma once

#include "storage/store.h"

/*
 * Reads that tell a client of what nothing may refer to yet, and so give it a lease (promise P5).  ERR_NOT_FOUND as well
 * for what is being collected.  The manifest's bytes are the caller's to free.
 */
MUST_CHECK enum err_kind repo_blob_find(struct store *st, const struct repo_name *repo,
					const struct digest *d, struct blob_info *ret,
					struct err *e);
/* tag, or d where tag is NULL. */
MUST_CHECK enum err_kind repo_manifest_find(struct store *st, const struct repo_name *repo,
					    const struct tag_name *tag, const struct digest *d,
					    struct manifest_info *ret, struct err *e);

/*
 * Makes a blob of `from`, or of any repository where from is NULL, a blob of repo too.  ERR_NOT_FOUND if there is none
 * that may be read
 * (distribution-spec "Mounting a blob from another repository").
 */
MUST_CHECK enum err_kind repo_blob_mount(struct store *st, const struct repo_name *repo,
					 const struct repo_name *from, const struct digest *d,
					 const struct change_guard *guard, struct err *e);
/* ERR_NOT_FOUND; ERR_IN_USE while a manifest of the repository refers to it. */
MUST_CHECK enum err_kind repo_blob_delete(struct store *st, const struct repo_name *repo,
					  const struct digest *d, const struct change_guard *guard,
					  struct err *e);

/* What a client pushed: body hashes to digest. */
struct manifest_push {
	struct str body;
	struct str media_type; /* Content-Type without parameters */
	struct digest digest;
	const struct tag_name *tags;
	size_t n_tags;
	const struct change_guard *guard;
	uint64_t pushed_ms;             /* when it was pushed, elsewhere; 0: now */
	const struct tag_row *expected; /* of the tags; see change.h */
	bool keep_tags;                 /* ERR_IN_USE if one of them points to something else */
};

struct manifest_pushed {
	bool has_subject;
	struct digest subject;
	struct digest
	    *missing; /* owned; set with ERR_REFS: what the manifest refers to and is not there */
	size_t n_missing;
};
void manifest_pushed_clear(struct manifest_pushed *p);
#define AUTO_MANIFEST_PUSHED CLEANUP(manifest_pushed_clear) struct manifest_pushed

/* ERR_INVALID and ERR_UNSUPPORTED as of manifest_parse; ERR_REFS; as all below ERR_DENIED for a tag that is fixed. */
MUST_CHECK enum err_kind repo_manifest_put(struct store *st, const struct repo_name *repo,
					   const struct manifest_push *push,
					   struct manifest_pushed *ret, struct err *e);
MUST_CHECK enum err_kind repo_manifest_delete(struct store *st, const struct repo_name *repo,
					      const struct digest *d,
					      const struct change_guard *guard, struct err *e);
MUST_CHECK enum err_kind repo_tag_delete(struct store *st, const struct repo_name *repo,
					 const struct tag_name *tag,
					 const struct change_guard *guard, struct err *e);
