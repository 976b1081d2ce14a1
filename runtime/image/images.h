/*
 * images - the images that this machine has: one directory, whose contents are a store of storage/ and what is unpacked of
 * it (runtime/image/FORMAT.md).
 *
 * I1  An image's name is a tag; what it points at, the config and all layers are in the store before the tag is.
 * I2  The store is held for moments only, between images_begin and images_end: never while bytes arrive or files are
 *     written.  Another process that has it is waited for.
 * I3  What a container uses is kept: images_use gives it a tag of its own.
 * I4  Who adds content, or is about to use layers, holds the guard shared; who removes any holds it alone.
 * Lifecycle  open -> (begin -> operations -> end)* -> close.
 * Threads    one at a time.
 */
#pragma once

#include "base/fd.h"
#include "runtime/image/config.h"
#include "runtime/image/imagedoc.h"
#include "runtime/image/reference.h"

struct images;

#define IMAGES_WAIT_MS_MAX 60000 /* for another process that has the store */

/* Directories below the root, by what is in them. */
enum images_dir { IMAGES_ROOT, IMAGES_DOWNLOADS, IMAGES_LAYERS, IMAGES_STAGING, IMAGES_DIR_N };

/* Makes what is missing, the root's parents included. */
MUST_CHECK enum err_kind images_open(const char *root, struct images **ret, struct err *e);
void images_close(struct images **im);
#define AUTO_IMAGES CLEANUP(images_close) struct images
int images_dir(const struct images *im, enum images_dir which);

/* The guard of I4, held until *ret is closed.  Alone it is not waited for: ERR_IN_USE. */
enum images_guard { IMAGES_SHARED, IMAGES_ALONE };
MUST_CHECK enum err_kind images_guard(const struct images *im, enum images_guard how, int *ret,
				      struct err *e);

MUST_CHECK enum err_kind images_begin(struct images *im, struct err *e);
void images_end(struct images *im);

/* --- Looking; between begin and end --- */

struct image {
	struct reference ref;
	struct repo_name repo; /* of the store */
	struct digest top;     /* what the name points at: the manifest, or an index that has it */
	char top_type[MEDIA_TYPE_MAX + 1];
	uint64_t pulled_ms;
	struct imagedoc doc; /* the manifest */
	struct image_config config;
	struct digest *chain_ids; /* owned; as many as config.n_diff_ids */
};
void image_clear(struct image *i);
#define AUTO_IMAGE CLEANUP(image_clear) struct image

/* A name, or a part of an id.  ERR_NOT_FOUND says what to do. */
MUST_CHECK enum err_kind images_find(struct images *im, const char *name,
				     const struct platform *want, struct image *ret, struct err *e);
/* The image for a platform below what a name or digest in the store points at. */
MUST_CHECK enum err_kind images_load(struct images *im, const struct reference *ref,
				     const struct platform *want, struct image *ret, struct err *e);
/* ERR_NOT_FOUND unless the repository has it. */
MUST_CHECK enum err_kind images_blob_open(struct images *im, const struct repo_name *repo,
					  const struct digest *d, int *ret_fd, uint64_t *ret_size,
					  struct err *e);
/* The bytes of a manifest, and its media type in buf. */
MUST_CHECK enum err_kind images_manifest_read(struct images *im, const struct repo_name *repo,
					      const struct digest *d, struct sbuf *ret,
					      char type[static MEDIA_TYPE_MAX + 1], struct err *e);

/* Calls fn for each name, in order. */
struct images_entry {
	struct reference ref;
	struct repo_name repo;
	struct tag_name tag; /* in the store */
	struct digest top;
	char top_type[MEDIA_TYPE_MAX + 1];
	uint64_t pulled_ms;
	const char
	    *user; /* the container that keeps it, for names that images_use made; else NULL */
};
typedef enum err_kind images_each_fn(void *arg, const struct images_entry *entry, struct err *e);
MUST_CHECK enum err_kind images_each(struct images *im, images_each_fn *fn, void *arg,
				     struct err *e);

/* --- Changing; between begin and end --- */

/* A blob that some repository has becomes one of this repository.  ERR_NOT_FOUND if there is none. */
MUST_CHECK enum err_kind images_blob_share(struct images *im, const struct repo_name *repo,
					   const struct digest *d, struct err *e);
/* A verified file dir/name; its name is gone afterwards. */
MUST_CHECK enum err_kind images_blob_adopt(struct images *im, const struct repo_name *repo, int dir,
					   const char *name, const struct digest *d, struct err *e);
MUST_CHECK enum err_kind images_blob_put(struct images *im, const struct repo_name *repo,
					 struct str bytes, const struct digest *d, struct err *e);
/* With tag NULL it gets none. */
MUST_CHECK enum err_kind images_manifest_put(struct images *im, const struct repo_name *repo,
					     struct str body, const char *type,
					     const struct digest *d, const struct tag_name *tag,
					     struct err *e);
/* The tag that stands for a reference in its repository of the store. */
struct tag_name images_tag_of(const struct reference *ref);

/* Another name for an image: the index and all of its children that are here, if it is one. */
MUST_CHECK enum err_kind images_tag(struct images *im, const struct image *from,
				    const struct reference *to, struct err *e);
MUST_CHECK enum err_kind images_untag(struct images *im, const struct repo_name *repo,
				      const struct tag_name *tag, struct err *e);

/* Keeps an image for a container, until images_unuse.  user: [A-Za-z0-9][A-Za-z0-9_.-]*, at most 120 bytes. */
MUST_CHECK enum err_kind images_use(struct images *im, const struct image *image, const char *user,
				    struct err *e);
MUST_CHECK enum err_kind images_unuse(struct images *im, const char *user, struct err *e);
/* Ends it for all users that are not there any more. */
typedef bool images_user_fn(void *arg, const char *user);
MUST_CHECK enum err_kind images_unuse_gone(struct images *im, images_user_fn *is_there, void *arg,
					   struct err *e);

/* Removes all content that no name leads to. */
struct images_collected {
	uint64_t blobs, manifests, bytes;
};
MUST_CHECK enum err_kind images_collect(struct images *im, struct images_collected *ret,
					struct err *e);
