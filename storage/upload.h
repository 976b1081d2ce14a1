/*
 * upload - bytes on their way in: sessions that last over many requests, and bodies of a single one
 * (distribution-spec "Pushing blobs").
 *
 * U1  The offset of a session is the number of bytes in its file, so it survives the process; what was hashed is
 *     only a cache of it.
 * U2  One request at a time works on a session; a second one gets ERR_IN_USE.
 * U3  A session belongs to the repository it was opened in; under another name it is ERR_NOT_FOUND.
 * U4  A session ends when it is finished, cancelled, or left alone for store_options.uploads_idle_ms.
 * U5  A file becomes the store's by a hard link only if it is owned by this process's user and nobody has it open for
 *     writing; it is made read-only then.  So only that user, and root, could change it in place, as any file of the store.
 * Lifecycle  upload_create -> (upload_take -> write* -> release)* -> upload_take -> write* -> finish | cancel;
 *            or upload_begin -> write* -> finish | release.
 * Ownership  finish, cancel and release consume the upload.
 * Threads    any; one at a time per upload.  All block.
 */
#pragma once

#include "base/hash.h"
#include "storage/blob.h"

struct upload;

/* Opens a session.  ERR_TOO_MANY over store_options.uploads_max. */
MUST_CHECK enum err_kind upload_create(struct store *st, const struct repo_name *repo,
				       enum digest_alg alg, struct upload_id *ret, struct err *e);
/* For a body that arrives in one request: no session, gone if it is not finished. */
MUST_CHECK enum err_kind upload_begin(struct store *st, const struct repo_name *repo,
				      enum digest_alg alg, struct upload **ret, struct err *e);

/*
 * The same with all its bytes, size_bytes of them, from a regular file that is open for reading: cloned where the file
 * system can, linked if it may be (U5), copied otherwise.  pace as for blob_verify.  ERR_SIZE if the file has less,
 * ERR_DIGEST if it cannot be read.
 */
enum upload_took { UPLOAD_CLONED, UPLOAD_LINKED, UPLOAD_COPIED };
struct upload_source {
	int fd;
	uint64_t size_bytes;
	bool may_share; /* else it is copied */
	blob_pace_fn *pace;
	void *arg;
};
MUST_CHECK enum err_kind upload_begin_from(struct store *st, const struct repo_name *repo,
					   enum digest_alg alg, const struct upload_source *from,
					   struct upload **ret, enum upload_took *ret_took,
					   struct err *e);

/* ERR_NOT_FOUND, ERR_IN_USE. */
MUST_CHECK enum err_kind upload_take(struct store *st, const struct repo_name *repo,
				     const struct upload_id *id, struct upload **ret,
				     struct err *e);
void upload_release(struct upload **u);
#define AUTO_UPLOAD CLEANUP(upload_release) struct upload

/* Bytes received; needs no upload_take. */
MUST_CHECK enum err_kind upload_status(struct store *st, const struct repo_name *repo,
				       const struct upload_id *id, uint64_t *ret_offset,
				       struct err *e);

uint64_t upload_offset(const struct upload *u);
/* On failure the offset is where it was before. */
MUST_CHECK enum err_kind upload_write(struct upload *u, const void *p, size_t n, struct err *e);

/* Who finishes it, for the reflog; lives until then. */
void upload_guard(struct upload *u, const struct change_guard *guard);
/*
 * Publishes the bytes as a blob of the repository.  ERR_DIGEST if they do not hash to *want.  A session stays open
 * on every failure.
 */
MUST_CHECK enum err_kind upload_finish(struct upload **u, const struct digest *want, struct err *e);
/*
 * Publishes a file that its owner has filled and hashed, dir/name on the store's file system, as a blob of the repository;
 * the caller vouches that its bytes hash to *d.  The name goes if that succeeds, and only then.
 */
MUST_CHECK enum err_kind upload_adopt(struct store *st, const struct repo_name *repo, int dir,
				      const char *name, const struct digest *d, struct err *e);
MUST_CHECK enum err_kind upload_cancel(struct upload **u, struct err *e);

/* Bytes in uploads/: of open sessions and of bodies under way. */
MUST_CHECK enum err_kind upload_bytes(struct store *st, uint64_t *ret, struct err *e);

/* Ends the sessions that were left alone for too long; *ret says how many. */
MUST_CHECK enum err_kind upload_reap(struct store *st, uint64_t *ret, struct err *e);

/* Ends a session whose file is gone. */
MUST_CHECK enum err_kind upload_forget(struct store *st, const struct upload_id *id, struct err *e);

/* Part of store_close. */
void upload_sessions_free(struct store *st);
