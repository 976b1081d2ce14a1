/*
 * newimage - images that are made here: what another image has, one more layer, and a changed configuration.
 *
 * M1  The name points at the image only when its blobs are in the store and its layers are unpacked (image-spec config.md,
 *     manifest.md).
 * M2  What the other image's configuration has beyond what we know stays; its history gets one more entry.
 * Threads  one; the caller holds the guard shared (images.h I4).
 */
#pragma once

#include "runtime/image/newlayer.h"
#include "runtime/image/pull.h"

struct newimage {
	const struct image *base; /* NULL: none */
	struct newlayer *layer;
	struct newlayer_digests digests; /* of the layer, finished */
	const struct platform *platform; /* without a base */
	const struct text_list *changes;
	const char *author, *comment, *created_by; /* NULL: none */
	struct layer_form form;
	mode_t mask; /* of the process */
};

/* to NULL: no name; it is in the repository of its base. */
MUST_CHECK enum err_kind newimage_make(struct images *im, const struct newimage *n,
				       const struct reference *to, struct image *ret,
				       struct err *e);
