/*
 * prune - removes what no image and no container needs: content of the store, unpacked layers, leftovers of pulls.
 *
 * Whose image is whose is told by names in the store (images_use); is_there says which users there still are.
 * Threads  one.
 */
#pragma once

#include "runtime/image/images.h"

struct pruned {
	uint64_t layers, bytes; /* bytes: of the store's content and of downloads */
};

/* ERR_IN_USE, with nothing changed, while somebody pulls or starts (images.h I4). */
MUST_CHECK enum err_kind prune_content(struct images *im, images_user_fn *is_there, void *arg,
				       struct pruned *ret, struct err *e);
/* Also downloads that were interrupted, and what killed processes left. */
MUST_CHECK enum err_kind prune_leftovers(struct images *im, struct pruned *ret, struct err *e);
