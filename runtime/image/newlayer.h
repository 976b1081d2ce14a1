/*
 * newlayer - a layer that is made here: hashed, compressed, and kept among the downloads until an image has it.
 *
 * W1  What a crash leaves of it is swept with downloads that nobody works on (fetch.h).
 * Lifecycle  new -> write* -> finish -> adopt -> free; or new -> free at any time, which removes it.
 * Threads    one at a time per layer.
 */
#pragma once

#include "runtime/image/images.h"

#define NEWLAYER_MEDIA_TYPE "application/vnd.oci.image.layer.v1.tar+gzip"

struct newlayer;

MUST_CHECK enum err_kind newlayer_new(const struct images *im, struct newlayer **ret,
				      struct err *e);
void newlayer_free(struct newlayer **l);
#define AUTO_NEWLAYER CLEANUP(newlayer_free) struct newlayer

/* Bytes of the tar archive. */
MUST_CHECK enum err_kind newlayer_write(struct newlayer *l, const void *p, size_t n, struct err *e);

struct newlayer_digests {
	struct digest diff_id, digest;
	uint64_t size_bytes; /* of the blob */
};
MUST_CHECK enum err_kind newlayer_finish(struct newlayer *l, struct newlayer_digests *ret,
					 struct err *e);
/* It becomes a blob of the repository; between images_begin and images_end. */
MUST_CHECK enum err_kind newlayer_adopt(struct newlayer *l, struct images *im,
					const struct repo_name *repo, struct err *e);
