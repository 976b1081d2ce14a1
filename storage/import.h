/*
 * import - brings what another registry, or an OCI image layout, has into the store, while the store serves.
 *
 * N1  Nothing comes in that was not hashed: bytes that do not match their digest are refused by name, and so is whatever
 *     refers to them.  The rest comes in.
 * N2  Content is published and committed as a push would (gc/PROTOCOL.md): blobs first, then the manifests that refer to
 *     them, children before their index, then tags.  Collection and clients may go on beside it.
 * N3  What is there already is not touched, so an import that ended early is gone on with by another one.  A tag that
 *     points elsewhere here is moved only if the source's is known to be newer, or if `overwrite` says so.
 * N4  The source is not changed, but for this: files that are linked become read-only (upload.h, U5).
 * Threads  any; blocks for long.  Works with threads of its own, of low priority.
 */
#pragma once

#include "storage/store.h"

struct import_options {
	const char *source; /* directory */
	const struct repo_name
	    *repo; /* of a layout the name that it gets; of a root the one to take, NULL: all */
	uint64_t manifest_bytes_max;
	bool copy;      /* share no file with the source */
	bool overwrite; /* move tags that are there */
	bool dry_run;   /* change nothing; content is looked for, but not hashed */
};

struct import_result {
	uint64_t repositories;
	uint64_t manifests, manifests_had; /* new, and those that were there */
	uint64_t tags, tags_had;
	uint64_t had;     /* blobs that the repository had */
	uint64_t mounted; /* blobs that the store had for another repository */
	uint64_t cloned, linked, copied, copied_bytes; /* files */
	uint64_t wanted, wanted_bytes;                 /* of a dry run: blobs that would come in */
	uint64_t read_bytes;                           /* of the source */
	uint64_t refused;
};

struct import_listener {
	/* what is "repository", "tag", "manifest" or "blob"; both texts are printable ASCII. */
	void (*refused)(void *arg, const char *what, const char *name, const char *reason);
	/* After each repository, and now and then in between. */
	void (*progress)(void *arg, const char *repo, const struct import_result *so_far,
			 bool done);
	bool (*goes_on)(void *arg); /* asked now and then: false ends it with ERR_IN_USE */
	void *arg;
};

/* Refusals are no failure: ret->refused counts them. */
MUST_CHECK enum err_kind store_import(struct store *st, const struct import_options *o,
				      const struct import_listener *l, struct import_result *ret,
				      struct err *e);
