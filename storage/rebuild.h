/*
 * rebuild - makes the index anew from the blobs and the reflog, after it was lost or spoilt (promise P6).
 *
 * U1  What the reflog says is done again in its order, with its times: repositories, tags, manifests, referrers, links.
 * U2  A manifest or blob is there again only if its file is: manifests have to hash to their digests, blobs to have their
 *     size.  A tag whose manifest is lost is not left at an older one.  Where records are lost, blobs of manifests are
 *     linked again without one.
 * U3  Not in the reflog, and so not back: times of pulls, upload sessions, and how long something has been without a
 *     holder; nothing is collected before a whole lease has passed.
 * Threads  no other process may use the root; blocks for long.
 */
#pragma once

#include "storage/store.h"

/* Something that could not be restored. */
struct rebuild_loss {
	enum rebuild_lost {
		REBUILD_MANIFEST, /* name is repository@digest: its file is gone or spoilt */
		REBUILD_TAG,      /* repository:tag: its manifest is lost */
		REBUILD_BLOB,     /* repository@digest: its file is gone or has another size */
		REBUILD_UNNAMED,  /* digest: a file that no record names */
	} what;
	const char *name;
};
/* The name lives as long as the call. */
typedef void rebuild_loss_fn(void *arg, const struct rebuild_loss *l);

struct rebuild_result {
	struct reflog_scan log;
	uint64_t repos, tags, objects, bytes; /* in the new index */
	uint64_t losses;
};

/* The old index, if there is one, is kept as ROOT/index.old. */
MUST_CHECK enum err_kind store_rebuild(const struct store_options *o, rebuild_loss_fn *fn,
				       void *arg, struct rebuild_result *ret, struct err *e);
