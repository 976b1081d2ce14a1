/*
 * image - what several commands do with images.
 */
#pragma once

#include "runtime/cli/registry.h"
#include "runtime/image/pull.h"

/* The form of layers that this process can mount. */
struct layer_form image_form(void);

/* Pulls with progress on stderr; platform may be NULL. */
MUST_CHECK enum err_kind image_pull(struct images *im, const struct reference *ref,
				    struct registry_args *registry, const char *platform,
				    bool quiet, struct image *ret, struct err *e);

/* What could not be unpacked as it is: no failure, but told. */
void image_tell_left_out(const struct tree_stats *s);

/* "3 minutes", for "ago". */
#define IMAGE_AGE_MAX 32
const char *image_age(uint64_t since_ms, char buf[static IMAGE_AGE_MAX]);
/* Twelve digits of an image's id. */
#define IMAGE_ID_SHORT 12
const char *image_short_id(const struct digest *d, char buf[static DIGEST_HEX_MAX + 1]);
