/*
 * push - an image of this machine to a registry.
 *
 * U1  Blobs first, then manifests, the one with the tag last: a name never leads to something missing.
 * U2  What the registry has is not sent; what another repository of it has, by where the image came from, is mounted.
 * Threads  one.
 */
#pragma once

#include "runtime/image/client.h"
#include "runtime/image/images.h"

/* Called for each blob: sent, or there already. */
typedef void push_progress_fn(void *arg, const struct digest *d, uint64_t size_bytes, bool sent);

/* Of an index all children that are here go along, and the index itself if those are all. */
MUST_CHECK enum err_kind push_image(struct images *im, struct client *c, const struct image *image,
				    const struct reference *to, push_progress_fn *progress,
				    void *arg, struct digest *ret, struct err *e);
