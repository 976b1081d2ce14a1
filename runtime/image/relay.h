/*
 * relay - images from one registry to another, without a stay on this machine.
 *
 * R1  Bytes pass through a few blocks of memory, and are hashed on their way; the other side checks them, too.
 * R2  Blobs first, then manifests, children before the index, the one with the tag last: a name never leads to something
 *     missing.  Manifests are the same bytes, so that digests and signatures hold.
 * R3  What is there is not sent; within one registry blobs are mounted.
 * R4  Where the destination has no API for referrers, their tag lists what it did and what came.
 * Threads  one; makes another while a blob passes.  The two clients are two.
 */
#pragma once

#include "runtime/image/client.h"

enum relay_how { RELAY_THERE, RELAY_MOUNTED, RELAY_SENT };
typedef void relay_progress_fn(void *arg, const struct digest *d, uint64_t size_bytes,
			       enum relay_how how);

struct relay_options {
	const struct platform *platform; /* of an index only that image; NULL: all of it */
	bool referrers;                  /* signatures and the like, and what refers to those */
	relay_progress_fn *progress;     /* called for each blob; may be NULL */
	void *arg;
};

/* *ret is what the new name points at. */
MUST_CHECK enum err_kind relay_image(struct client *source, const struct reference *from,
				     struct client *sink, const struct reference *to,
				     const struct relay_options *o, struct digest *ret,
				     struct err *e);
