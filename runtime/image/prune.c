#include "runtime/image/prune.h"

#include "runtime/image/fetch.h"
#include "runtime/image/layers.h"

/* Chain IDs of the layers that some image has. */
struct needed {
	struct images *im;
	struct digest *ids;
	size_t n, cap;
};

static enum err_kind add_ids(struct needed *needed, const struct image *i, struct err *e)
{
	size_t n = i->config.n_diff_ids;

	if (needed->n + n > needed->cap) {
		size_t cap = 2 * (needed->n + n);
		struct digest *ids = reallocarray(needed->ids, cap, sizeof(*ids));

		if (!ids)
			return err_set(e, ERR_NO_MEMORY, __func__, "no memory to prune");
		needed->ids = ids;
		needed->cap = cap;
	}
	if (n)
		memcpy(needed->ids + needed->n, i->chain_ids, n * sizeof(*i->chain_ids));
	needed->n += n;
	return ERR_OK;
}

static enum err_kind add_manifest(struct needed *needed, const struct images_entry *entry,
				  const struct digest *d, struct err *e)
{
	AUTO_IMAGE i = { 0 };
	struct reference ref = entry->ref;
	struct err why;
	enum err_kind k;

	ref.has_digest = true;
	ref.digest = *d;
	k = images_load(needed->im, &ref, NULL, &i, &why);
	if (k == ERR_OK)
		return add_ids(needed, &i, e);
	if (k == ERR_NOT_FOUND || k == ERR_INVALID || k == ERR_UNSUPPORTED)
		return ERR_OK; /* no image, or a child of an index that is not here */
	*e = why;
	return k;
}

/* All platforms of an index count. */
static enum err_kind add_entry(void *arg, const struct images_entry *entry, struct err *e)
{
	struct needed *needed = arg;
	AUTO_IMAGEDOC doc = { 0 };
	AUTO_SBUF body = { 0 };
	char type[MEDIA_TYPE_MAX + 1];
	enum err_kind k;

	if (media_kind_of(str_of(entry->top_type)) != MEDIA_INDEX)
		return add_manifest(needed, entry, &entry->top, e);
	sbuf_init(&body, IMAGEDOC_BYTES_MAX);
	k = images_manifest_read(needed->im, &entry->repo, &entry->top, &body, type, e);
	if (k == ERR_OK)
		k = imagedoc_parse((struct str){ body.p, body.n }, str_of(type), &entry->top, &doc,
				   e);
	for (size_t i = 0; k == ERR_OK && i < doc.n_parts; i++)
		k = add_manifest(needed, entry, &doc.parts[i].digest, e);
	return k;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct digest));
}

struct removing {
	struct needed *needed;
	uint64_t n;
};

static enum err_kind remove_layer(void *arg, const struct digest *chain, struct err *e)
{
	struct removing *r = arg;
	const struct needed *needed = r->needed;
	enum err_kind k;

	if (needed->n && bsearch(chain, needed->ids, needed->n, sizeof(*chain), compare))
		return ERR_OK;
	k = layer_remove(needed->im, chain, e);
	r->n += k == ERR_OK;
	return k;
}

static enum err_kind collect(struct images *im, images_user_fn *is_there, void *arg,
			     struct needed *needed, struct pruned *ret, struct err *e)
{
	struct images_collected collected = { 0 };
	enum err_kind k = images_begin(im, e);

	if (k != ERR_OK)
		return k;
	k = images_unuse_gone(im, is_there, arg, e);
	if (k == ERR_OK)
		k = images_collect(im, &collected, e);
	if (k == ERR_OK)
		k = images_each(im, add_entry, needed, e);
	images_end(im);
	ret->bytes += collected.bytes;
	return k;
}

enum err_kind prune_content(struct images *im, images_user_fn *is_there, void *arg,
			    struct pruned *ret, struct err *e)
{
	AUTO_CLOSE guard = -1;
	struct needed needed = { .im = im };
	struct removing removing = { .needed = &needed };
	enum err_kind k = images_guard(im, IMAGES_ALONE, &guard, e);

	if (k == ERR_OK)
		k = collect(im, is_there, arg, &needed, ret, e);
	if (k == ERR_OK && needed.n)
		qsort(needed.ids, needed.n, sizeof(*needed.ids), compare);
	if (k == ERR_OK)
		k = layers_each(im, remove_layer, &removing, e);
	free(needed.ids);
	ret->layers += removing.n;
	return k;
}

enum err_kind prune_leftovers(struct images *im, struct pruned *ret, struct err *e)
{
	uint64_t bytes = 0, n = 0;
	enum err_kind k = fetch_sweep(im, &bytes, e);

	ret->bytes += bytes;
	return k == ERR_OK ? layers_sweep(im, &n, e) : k;
}
