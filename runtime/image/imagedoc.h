/*
 * imagedoc - an image's manifest or index with its parts in order (image-spec manifest.md, image-index.md; Docker schema 2).
 *
 * D1  What storage/manifest.h asks of a manifest holds; besides, layers and children are at most IMAGEDOC_PARTS_MAX, so that
 *     no list costs memory or time without end.
 * Ownership  all texts live in the document.
 * Threads    no shared state.
 */
#pragma once

#include "base/arena.h"
#include "base/digest.h"
#include "base/mediatype.h"
#include "runtime/image/platform.h"

#define IMAGEDOC_BYTES_MAX (4u * 1024 * 1024) /* what registries take */
#define IMAGEDOC_DEPTH_MAX 32
#define IMAGEDOC_LAYERS_MAX 500 /* overlayfs stacks no more */
#define IMAGEDOC_CHILDREN_MAX 1000

struct descriptor {
	struct digest digest;
	uint64_t size_bytes;
	const char *media_type;
	struct platform platform; /* of children of an index */
	const char *name; /* annotation org.opencontainers.image.ref.name; NULL if there is none */
};

struct imagedoc {
	struct arena arena;
	struct digest digest;
	uint64_t size_bytes;
	enum media_kind kind; /* MEDIA_MANIFEST or MEDIA_INDEX */
	const char *media_type;
	struct descriptor config; /* of a manifest */
	struct descriptor *parts; /* layers, bottom first, or children */
	size_t n_parts;
};

/* media_type "": that of the document itself. */
MUST_CHECK enum err_kind imagedoc_parse(struct str body, struct str media_type,
					const struct digest *d, struct imagedoc *ret,
					struct err *e);
void imagedoc_clear(struct imagedoc *d);
#define AUTO_IMAGEDOC CLEANUP(imagedoc_clear) struct imagedoc

/* The child of an index for a platform; ERR_NOT_FOUND names those that it has. */
MUST_CHECK enum err_kind imagedoc_choose(const struct imagedoc *index, const struct platform *want,
					 const struct descriptor **ret, struct err *e);
