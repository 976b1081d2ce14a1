/*
 * layers - unpacked layers: one directory for each chain ID, shared by all images that have it (FORMAT.md).
 *
 * Y1  A layer that layer_open finds is whole and verified: it was staged elsewhere and renamed into place.
 * Y2  Of several who want the same layer one unpacks it, the others wait, also in other processes.
 * Y3  Nobody waits for the disk.  A layer counts without being synced for as long as the machine is up; layers_settle
 *     makes it last longer, and what a power cut took of it is unpacked again from the blob.
 * Lifecycle  begin -> (unpack into root_fd) -> commit | abort.
 * Threads    any, one at a time per staging.
 */
#pragma once

#include "base/digest.h"
#include "runtime/image/images.h"

/* How overlayfs's own marks are written: attributes trusted.* or, in a user namespace, user.*. */
struct layer_form {
	bool in_userns;
};

/* The directory for overlayfs.  ERR_NOT_FOUND, with e untouched. */
MUST_CHECK enum err_kind layer_open(const struct images *im, const struct digest *chain,
				    struct layer_form form, int *ret_fd, struct err *e);

/* All of an image's, topmost first.  ERR_NOT_FOUND if one is missing. */
struct layer_list {
	int *fds; /* owned */
	size_t n;
};
MUST_CHECK enum err_kind layer_list_open(const struct images *im, const struct digest *chain_ids,
					 size_t n, struct layer_form form, struct layer_list *ret,
					 struct err *e);
void layer_list_close(struct layer_list *l);
#define AUTO_LAYER_LIST CLEANUP(layer_list_close) struct layer_list

struct layer_staging {
	const struct images *im;
	struct digest chain;
	struct layer_form form;
	int root_fd; /* to be unpacked into; -1: nothing is begun */
	int lock_fd;
};
#define LAYER_STAGING_INIT                                                                         \
	(struct layer_staging)                                                                     \
	{                                                                                          \
		.root_fd = -1, .lock_fd = -1                                                       \
	}
/* ERR_EXISTS, with e untouched, if another one got there first. */
MUST_CHECK enum err_kind layer_begin(const struct images *im, const struct digest *chain,
				     struct layer_form form, struct layer_staging *ret,
				     struct err *e);
/* Ends the staging whatever happens. */
MUST_CHECK enum err_kind layer_commit(struct layer_staging *s, struct err *e);
void layer_abort(struct layer_staging *s);
#define AUTO_LAYER_STAGING CLEANUP(layer_abort) struct layer_staging

/* Sees to it that layers that are some time old outlast a power cut. */
MUST_CHECK enum err_kind layers_settle(const struct images *im, struct err *e);

/* Calls fn for each layer that is there, and for what interrupted unpacking left. */
typedef enum err_kind layers_each_fn(void *arg, const struct digest *chain, struct err *e);
MUST_CHECK enum err_kind layers_each(const struct images *im, layers_each_fn *fn, void *arg,
				     struct err *e);
/* Nothing may use it any more. */
MUST_CHECK enum err_kind layer_remove(const struct images *im, const struct digest *chain,
				      struct err *e);
/* Removes what killed processes left in the staging directory; *ret says how many. */
MUST_CHECK enum err_kind layers_sweep(const struct images *im, uint64_t *ret, struct err *e);
