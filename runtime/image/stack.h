/*
 * stack - the layers of one image as directories for overlayfs, unpacked side by side.
 *
 * X1  What is there already, by whichever image or process, is not unpacked again.
 * X2  A layer that needs to know what lies below waits for it; layers are begun from the bottom, so none waits for ever.
 * X3  The first failure ends all; what was whole by then stays for the next time.
 * Lifecycle  new -> source* -> start -> finish -> free.
 * Threads    one, but stack_check from any.
 */
#pragma once

#include "runtime/image/layers.h"
#include "runtime/image/unpack.h"

struct stack;

MUST_CHECK enum err_kind stack_new(const struct images *im, struct layer_form form, mode_t mask,
				   const struct image_config *config,
				   const struct digest *chain_ids, struct stack **ret,
				   struct err *e);
/* Waits for threads to end. */
void stack_free(struct stack **s);
#define AUTO_STACK CLEANUP(stack_free) struct stack

/* Is the i'th layer, from the bottom, still to be unpacked? */
bool stack_lacks(const struct stack *s, size_t i);
/* Where its bytes come from. */
void stack_source(struct stack *s, size_t i, const struct unpack_source *from);
MUST_CHECK enum err_kind stack_start(struct stack *s, struct err *e);
/* ERR_OK as long as nothing has failed. */
MUST_CHECK enum err_kind stack_check(struct stack *s, struct err *e);
/* Waits until all is done. */
MUST_CHECK enum err_kind stack_finish(struct stack *s, struct tree_stats *ret, struct err *e);
