/*
 * load - images from an archive: an OCI layout, or what "docker save" wrote before it wrote that, compressed or not.
 *
 * L1  The archive is unpacked by the code for layers, into a staging directory: it is as little trusted as those.
 * L2  Every blob is hashed before it becomes one; a name is set last.
 * Threads  one.
 */
#pragma once

#include "runtime/image/layers.h"

struct load_options {
	const struct reference *name; /* for an image that the archive does not name; NULL: none */
	struct layer_form form;
	mode_t mask;
	/* Told of each name that was set. */
	void (*loaded)(void *arg, const struct reference *ref);
	void *arg;
};

MUST_CHECK enum err_kind load_images(struct images *im, int fd, const struct load_options *o,
				     struct err *e);
