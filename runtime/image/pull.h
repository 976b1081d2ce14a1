/*
 * pull - an image from a registry: into the store, and its layers unpacked.
 *
 * P1  The name points at the image only when all of it is in the store and every layer was verified and unpacked.
 * P2  Nothing that is here already is fetched or unpacked again; what an interrupted pull left is gone on with.
 * P3  Layers are fetched, hashed, decompressed and written at the same time, several side by side.
 * P4  A place that fails, or sends other bytes than it should, is followed by the next: mirrors, then the registry itself.
 * Threads  one; makes others that end with it.
 */
#pragma once

#include "runtime/image/client.h"
#include "runtime/image/layers.h"
#include "runtime/image/tree.h"

enum pull_state { PULL_WAITING, PULL_FETCHING, PULL_FETCHED, PULL_HERE };

struct pull_layer {
	struct digest digest;
	uint64_t size_bytes, have_bytes;
	enum pull_state state;
};

struct pull_options {
	const struct platform *platform; /* NULL: this machine's */
	struct layer_form form;
	mode_t mask; /* of the process */
	/* Called now and then, and once with all layers fetched; may be NULL. */
	void (*progress)(void *arg, const struct pull_layer *layers, size_t n);
	void *arg;
};

/* *ret_stats tells what could not be unpacked as it is. */
MUST_CHECK enum err_kind pull_image(struct images *im, struct client *c,
				    const struct reference *ref, const struct pull_options *o,
				    struct image *ret, struct tree_stats *ret_stats, struct err *e);
/* Unpacks what is missing of an image in the store.  The caller holds the guard (images.h I4). */
MUST_CHECK enum err_kind pull_unpack(struct images *im, const struct image *image,
				     struct layer_form form, mode_t mask,
				     struct tree_stats *ret_stats, struct err *e);
