/*
 * blob - content as files: ROOT/blobs/<alg>/ab/<hex>, and how a file gets there (FORMAT.md section 2).
 *
 * B1  A file under a digest's name is complete, hashes to it, and never changes: a new push of the same content
 *     may replace it by another such file, which mends one that the disk has spoilt.
 * B2  blob_publish with PUBLISH_SYNCED returns ERR_OK only when bytes and directory entry are on stable storage;
 *     with PUBLISH_LATER the caller sees to it that the bytes are durable elsewhere until store_settle.
 * B3  From blob_publish to blob_settle nobody else publishes or takes back the same digest: what a change that
 *     failed leaves behind can be removed without a look at other pushes.
 * B4  A file that was published but not settled is found and removed by the next store_open.
 * Threads    any; publish, settle and open block.
 */
#pragma once

#include "storage/index_key.h"
#include "storage/store.h"

#define BLOB_FILE_NAME_MAX (DIGEST_TEXT_MAX + 2 * UPLOAD_ID_BYTES + 8)

/* A file in uploads/ that is about to become a blob.  Lives on the caller's stack from publish to settle. */
struct publisher {
	struct publisher *next;
	struct digest digest;
	struct upload_id id;
	char name[BLOB_FILE_NAME_MAX];
	bool placed;  /* the blob's name refers to this file */
	bool swapped; /* and this name to the one that the blob had before */
};

enum blob_outcome {
	BLOB_COMMITTED, /* the index refers to it */
	BLOB_DROPPED,   /* it does not: the file goes */
	BLOB_KEPT, /* it does not: the file becomes uploads/<id> again, unless others have need of it */
};

enum publish_how { PUBLISH_SYNCED, PUBLISH_LATER };

/* Text of a session's id, the name of its file: 8-4-4-4-12 lower-case hexadecimal digits. */
#define UPLOAD_ID_TEXT_MAX (2 * UPLOAD_ID_BYTES + 5)
const char *upload_id_text(const struct upload_id *id, char buf[static UPLOAD_ID_TEXT_MAX]);
MUST_CHECK bool upload_id_parse(struct upload_id *ret, struct str in);
void upload_id_new(struct upload_id *ret);

/* The name that a file in uploads/ has while it is being published, and back. */
void blob_pending_name(const struct digest *d, const struct upload_id *id,
		       char buf[static BLOB_FILE_NAME_MAX]);
MUST_CHECK bool blob_pending_parse(struct str name, struct digest *ret, struct upload_id *ret_id);

/*
 * fd is the open file uploads/<id>, whose bytes hash to *d.  Waits for other publishers of *d.  To be settled whatever
 * the result.
 */
MUST_CHECK enum err_kind blob_publish(struct store *st, int fd, const struct upload_id *id,
				      const struct digest *d, struct publisher *p, struct err *e);
/* The same for bytes in memory that hash to *d.  To be settled if it succeeds. */
MUST_CHECK enum err_kind blob_publish_bytes(struct store *st, const struct digest *d,
					    struct str bytes, enum publish_how how,
					    struct publisher *p, struct err *e);
/* The same for content that the index knows, and has the bytes of: nothing is left if it is collected meanwhile. */
MUST_CHECK enum err_kind blob_rewrite(struct store *st, const struct digest *d, struct str bytes,
				      enum publish_how how, struct err *e);
/* Ends what blob_publish began. */
void blob_settle(struct store *st, struct publisher *p, enum blob_outcome outcome);

/* ERR_CORRUPT if the file is missing or has not size_bytes: the index promised it. */
MUST_CHECK enum err_kind blob_look(struct store *st, const struct digest *d, uint64_t size_bytes,
				   struct err *e);
MUST_CHECK enum err_kind blob_open(struct store *st, const struct digest *d, uint64_t size_bytes,
				   int *ret_fd, struct err *e);

/* Where a blob's file is, below blobs/<alg>/. */
#define BLOB_PATH_MAX (sizeof("ab/") + DIGEST_HEX_MAX)
void blob_path(const struct digest *d, char path[static BLOB_PATH_MAX]);

/* Calls fn for each file in blobs/, in no order; d is NULL for a name that is no blob's, path is "<alg>/<2 hex>/<name>". */
typedef enum err_kind blob_name_fn(void *arg, const struct digest *d, const char *path,
				   struct err *e);
MUST_CHECK enum err_kind blob_list(struct store *st, blob_name_fn *fn, void *arg, struct err *e);

/* There is a file, whatever is in it. */
bool blob_exists(struct store *st, const struct digest *d);

/*
 * For who removes content: true if nobody publishes *d now, and nobody will until blob_unclaim.  The claim is a publisher
 * that places nothing.
 */
MUST_CHECK bool blob_claim(struct store *st, const struct digest *d, struct publisher *p);
void blob_unclaim(struct store *st, struct publisher *p);

/*
 * Reads all of the file and hashes it; *ret says whether it is there and what it should be.  pace (may be NULL) is called
 * after each piece with its length; false ends it with ERR_IN_USE.  Reads past the page cache where it can.
 */
typedef bool blob_pace_fn(void *arg, size_t n);
MUST_CHECK enum err_kind blob_verify(struct store *st, const struct digest *d, uint64_t size_bytes,
				     blob_pace_fn *pace, void *arg, bool *ret, struct err *e);

/* Does the file, if there is one, hold exactly these bytes?  Reads all of it. */
MUST_CHECK enum err_kind blob_holds(struct store *st, const struct digest *d, struct str bytes,
				    bool *ret, struct err *e);

/* The whole of a blob that is known to be small, appended to b, which has the maximum. */
MUST_CHECK enum err_kind blob_read(struct store *st, const struct digest *d, uint64_t size_bytes,
				   struct sbuf *b, struct err *e);

/* Puts the file into ROOT/trash/, by who has claimed the digest. */
MUST_CHECK enum err_kind blob_banish(struct store *st, const struct digest *d, struct err *e);

/* Removes a blob's file that no index entry refers to; by who has claimed it, or before anybody publishes. */
MUST_CHECK enum err_kind blob_discard(struct store *st, const struct digest *d, struct err *e);
