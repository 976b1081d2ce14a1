/*
 * export - writes what a repository has to an OCI image layout (image-spec image-layout.md), for import elsewhere or for
 * tools that read layouts.
 *
 * T1  Manifests come with all that they refer to, and with what refers to them (referrers), and so on.  index.json has the
 *     tags, as org.opencontainers.image.ref.name, and the referrers.
 * T2  A layout that is there is added to: files that it has, with their size, are left alone; its index.json keeps what it
 *     has but for names that are exported anew, and is replaced last, when all is durable.
 * T3  Files are cloned where the file system can, and copied elsewhere; never linked, as a layout is its owner's.
 * Threads  any; blocks for long.  The caller sees to it that no content is collected meanwhile (gc_hold).
 */
#pragma once

#include "storage/store.h"

struct export_options {
	const char *dir; /* made if its parent exists */
	struct repo_name repo;
	const struct tag_name *tag;  /* this one only; NULL: see digest */
	const struct digest *digest; /* this one only, without a tag; both NULL: all tags */
	bool (*goes_on)(void *arg);  /* false ends it with ERR_IN_USE */
	void *arg;
};

struct export_result {
	uint64_t tags, manifests, referrers;
	uint64_t objects, bytes;      /* blobs and manifests, once each */
	uint64_t had, cloned, copied; /* files */
	uint64_t copied_bytes;
};

/* ERR_NOT_FOUND; ERR_CORRUPT if some of it is damaged; ERR_INVALID if the directory is something else than a layout. */
MUST_CHECK enum err_kind store_export(struct store *st, const struct export_options *o,
				      struct export_result *ret, struct err *e);
