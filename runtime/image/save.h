/*
 * save - images as an OCI layout in a tar archive (image-spec image-layout.md), for berth, skopeo, podman and docker.
 *
 * V1  The archive has each blob once; names are annotations of index.json, in full and as a tag.
 * Threads  one; the caller holds the guard (images.h I4).
 */
#pragma once

#include "runtime/image/images.h"

/* fd takes the archive. */
MUST_CHECK enum err_kind save_images(struct images *im, const struct image *list, size_t n, int fd,
				     struct err *e);
