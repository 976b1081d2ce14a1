#include "runtime/image/pull.h"

#include "base/hash.h"
#include "runtime/image/fetch.h"
#include "runtime/image/stack.h"

/* A blob of the image: from the store, from the registry, or the same as one before. */
struct part {
	int fd; /* in the store; -1 */
	struct fetch *fetch;
	struct fetch_reader reader;
	bool adopted; /* this part brings the blob into the store */
};

struct pull {
	struct images *im;
	struct client *c;
	const struct reference *ref;
	const struct pull_options *o;
	struct platform platform;

	size_t place; /* of client_pull_manifest */
	struct client_repo from;
	struct repo_name repo;             /* of the store */
	struct client_manifest top, child; /* child only if top is an index */
	struct imagedoc doc;
	struct sbuf config_bytes;
	bool config_is_here;
	struct image_config config;
	struct digest *chain_ids;
	struct part *parts;
	size_t n;
	struct pull_layer *shown;
	struct fetch_set *fetches;
	struct stack *stack;
};

static void pull_clear(struct pull *p)
{
	stack_free(&p->stack); /* reads from the fetches */
	fetch_set_free(&p->fetches);
	for (size_t i = 0; p->parts && i < p->n; i++)
		fd_close(&p->parts[i].fd);
	free(p->parts);
	free(p->shown);
	free(p->chain_ids);
	config_clear(&p->config);
	sbuf_clear(&p->config_bytes);
	imagedoc_clear(&p->doc);
	client_manifest_clear(&p->child);
	client_manifest_clear(&p->top);
}

static struct str body_of(const struct client_manifest *m)
{
	return (struct str){ m->body.p, m->body.n };
}

/* --- What is to be had --- */

static enum err_kind parse(const struct client_manifest *m, struct imagedoc *ret, struct err *e)
{
	return imagedoc_parse(body_of(m), str_of(m->type), &m->digest, ret, e);
}

static enum err_kind get_child(struct pull *p, struct err *e)
{
	AUTO_IMAGEDOC index = p->doc;
	const struct descriptor *d = NULL;
	enum err_kind k = imagedoc_choose(&index, &p->platform, &d, e);

	p->doc = (struct imagedoc){ 0 };
	if (k == ERR_OK)
		k = client_manifest_get(&p->from, &d->digest, d->size_bytes, &p->child, e);
	if (k == ERR_OK)
		k = parse(&p->child, &p->doc, e);
	if (k == ERR_OK && p->doc.kind != MEDIA_MANIFEST)
		return err_set(e, ERR_UNSUPPORTED, __func__, "an index in an index");
	return k;
}

static enum err_kind get_manifests(struct pull *p, struct err *e)
{
	enum err_kind k = client_pull_manifest(p->c, p->ref, &p->place, &p->top, &p->from, e);

	if (k == ERR_OK)
		k = parse(&p->top, &p->doc, e);
	if (k == ERR_OK && p->doc.kind == MEDIA_INDEX)
		k = get_child(p, e);
	return k;
}

/* ERR_NOT_FOUND, with e untouched, if the store does not have it in any repository. */
static enum err_kind find_here(struct pull *p, const struct digest *d, int *ret_fd, struct err *e)
{
	struct err missing;
	uint64_t size;
	enum err_kind k = images_blob_share(p->im, &p->repo, d, &missing);

	if (k != ERR_OK) {
		if (k != ERR_NOT_FOUND)
			*e = missing;
		return k;
	}
	return images_blob_open(p->im, &p->repo, d, ret_fd, &size, e);
}

static enum err_kind find_all_here(struct pull *p, struct err *e)
{
	AUTO_CLOSE config = -1;
	enum err_kind k = images_begin(p->im, e);

	if (k != ERR_OK)
		return k;
	k = find_here(p, &p->doc.config.digest, &config, e);
	p->config_is_here = k == ERR_OK;
	if (k == ERR_OK)
		k = fd_read_rest(config, &p->config_bytes, "image config", e);
	for (size_t i = 0; (k == ERR_OK || k == ERR_NOT_FOUND) && i < p->n; i++)
		k = find_here(p, &p->doc.parts[i].digest, &p->parts[i].fd, e);
	images_end(p->im);
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

static enum err_kind get_config(struct pull *p, struct err *e)
{
	enum err_kind k = ERR_OK;

	if (!p->config_is_here)
		k = client_blob_read(&p->from, &p->doc.config, CONFIG_BYTES_MAX, &p->config_bytes,
				     e);
	if (k == ERR_OK)
		k = config_parse((struct str){ p->config_bytes.p, p->config_bytes.n }, &p->config,
				 e);
	if (k != ERR_OK)
		return k;
	if (p->config.n_diff_ids != p->n)
		return err_set(e, ERR_INVALID, __func__,
			       "the image has %zu layers and %zu diff IDs", p->n,
			       p->config.n_diff_ids);
	p->chain_ids = calloc(p->n + 1, sizeof(*p->chain_ids));
	if (!p->chain_ids)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for an image");
	return config_chain_ids(p->config.diff_ids, p->n, p->chain_ids, e);
}

static enum err_kind make_parts(struct pull *p, struct err *e)
{
	p->n = p->doc.n_parts;
	p->parts = calloc(p->n + 1, sizeof(*p->parts));
	p->shown = calloc(p->n + 1, sizeof(*p->shown));
	if (!p->parts || !p->shown)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for an image");
	for (size_t i = 0; i < p->n; i++) {
		p->parts[i].fd = -1;
		p->shown[i].digest = p->doc.parts[i].digest;
		p->shown[i].size_bytes = p->doc.parts[i].size_bytes;
	}
	return ERR_OK;
}

/* --- Fetching and unpacking --- */

/* An image may have the same layer twice. */
static struct fetch *find_fetch(const struct pull *p, size_t end)
{
	for (size_t i = 0; i < end; i++) {
		if (p->parts[i].fetch &&
		    digest_eq(&p->doc.parts[i].digest, &p->doc.parts[end].digest))
			return p->parts[i].fetch;
	}
	return NULL;
}

static enum err_kind add_fetch(struct pull *p, size_t i, struct err *e)
{
	struct part *part = &p->parts[i];
	enum err_kind k = ERR_OK;

	part->fetch = find_fetch(p, i);
	if (!part->fetch) {
		k = fetch_add(p->fetches, &p->doc.parts[i], &part->fetch, e);
		part->adopted = true;
	}
	part->reader.of = part->fetch;
	return k;
}

static struct unpack_source source_of(struct part *part)
{
	if (part->fetch)
		return (struct unpack_source){ .read = fetch_read,
					       .cancel = fetch_cancel,
					       .arg = &part->reader };
	return (struct unpack_source){ .read = unpack_read_fd, .arg = &part->fd };
}

static enum err_kind plan(struct pull *p, struct err *e)
{
	enum err_kind k = fetch_set_new(p->im, &p->from, &p->fetches, e);

	if (k == ERR_OK)
		k = stack_new(p->im, p->o->form, p->o->mask, &p->config, p->chain_ids, &p->stack,
			      e);
	for (size_t i = 0; k == ERR_OK && i < p->n; i++) {
		if (p->parts[i].fd < 0)
			k = add_fetch(p, i, e);
		if (k == ERR_OK && stack_lacks(p->stack, i)) {
			struct unpack_source from = source_of(&p->parts[i]);

			stack_source(p->stack, i, &from);
		}
	}
	return k;
}

static void show(struct pull *p)
{
	if (!p->o->progress)
		return;
	for (size_t i = 0; i < p->n; i++) {
		struct pull_layer *l = &p->shown[i];

		l->have_bytes = p->parts[i].fetch ? fetch_have(p->parts[i].fetch) : l->size_bytes;
		if (!p->parts[i].fetch)
			l->state = PULL_HERE;
		else if (l->have_bytes == l->size_bytes)
			l->state = PULL_FETCHED;
		else
			l->state = l->have_bytes ? PULL_FETCHING : PULL_WAITING;
	}
	p->o->progress(p->o->arg, p->shown, p->n);
}

static enum err_kind tick(void *arg, struct err *e)
{
	struct pull *p = arg;

	show(p);
	return stack_check(p->stack, e);
}

static enum err_kind fetch_and_unpack(struct pull *p, struct tree_stats *ret, struct err *e)
{
	enum err_kind k = stack_start(p->stack, e);

	if (k == ERR_OK)
		k = fetch_run(p->fetches, tick, p, e);
	if (k == ERR_OK)
		show(p);
	return k == ERR_OK ? stack_finish(p->stack, ret, e) : k;
}

/* --- Into the store --- */

static enum err_kind put_blobs(struct pull *p, struct err *e)
{
	enum err_kind k = ERR_OK;

	if (!p->config_is_here)
		k = images_blob_put(p->im, &p->repo,
				    (struct str){ p->config_bytes.p, p->config_bytes.n },
				    &p->doc.config.digest, e);
	for (size_t i = 0; k == ERR_OK && i < p->n; i++) {
		if (p->parts[i].adopted)
			k = fetch_adopt(p->parts[i].fetch, p->im, &p->repo, e);
	}
	return k;
}

static enum err_kind put_manifests(struct pull *p, struct err *e)
{
	struct tag_name tag = images_tag_of(p->ref);
	enum err_kind k = ERR_OK;

	if (p->child.body.n)
		k = images_manifest_put(p->im, &p->repo, body_of(&p->child), p->doc.media_type,
					&p->child.digest, NULL, e);
	if (k == ERR_OK)
		k = images_manifest_put(p->im, &p->repo, body_of(&p->top),
					p->child.body.n ? p->top.type : p->doc.media_type,
					&p->top.digest, &tag, e);
	return k;
}

static enum err_kind publish(struct pull *p, struct image *ret, struct err *e)
{
	enum err_kind k = images_begin(p->im, e);

	if (k != ERR_OK)
		return k;
	k = put_blobs(p, e);
	if (k == ERR_OK)
		k = put_manifests(p, e);
	if (k == ERR_OK)
		k = images_load(p->im, p->ref, &p->platform, ret, e);
	images_end(p->im);
	return k;
}

static enum err_kind pull_here(struct pull *p, struct image *ret, struct tree_stats *ret_stats,
			       struct err *e)
{
	enum err_kind k = get_manifests(p, e);

	if (k == ERR_OK)
		k = make_parts(p, e);
	if (k == ERR_OK)
		k = find_all_here(p, e);
	if (k == ERR_OK)
		k = get_config(p, e);
	if (k == ERR_OK)
		k = plan(p, e);
	if (k == ERR_OK)
		k = fetch_and_unpack(p, ret_stats, e);
	return k == ERR_OK ? publish(p, ret, e) : k;
}

/* This machine's failures are the same wherever the bytes come from. */
static bool is_ours(enum err_kind k)
{
	return k == ERR_NO_MEMORY || k == ERR_NO_SPACE || k == ERR_BUG;
}

/*
 * One place after the other: a mirror that fails in the middle, or has other bytes, is as good as one that is down (P4).  What
 * was fetched and verified before stays.
 */
static enum err_kind pull_anywhere(struct pull *p, struct image *ret, struct tree_stats *ret_stats,
				   struct err *e)
{
	const struct pull fresh = *p;
	size_t places = client_places(p->c, p->ref);
	bool misled = false, again;
	enum err_kind k;

	do {
		size_t place;

		sbuf_init(&p->config_bytes, CONFIG_BYTES_MAX);
		k = pull_here(p, ret, ret_stats, e);
		again = k != ERR_OK && !misled && p->fetches && fetch_set_was_misled(p->fetches);
		misled = again;
		place = again ? p->place : p->place + 1;
		pull_clear(p);
		*p = fresh;
		p->place = place;
	} while (again || (k != ERR_OK && !is_ours(k) && p->place < places));
	return k;
}

enum err_kind pull_image(struct images *im, struct client *c, const struct reference *ref,
			 const struct pull_options *o, struct image *ret,
			 struct tree_stats *ret_stats, struct err *e)
{
	struct pull p = { .im = im, .c = c, .ref = ref, .o = o };
	AUTO_CLOSE guard = -1;
	enum err_kind k;

	p.platform = o->platform ? *o->platform : platform_host();
	if (!reference_to_store(ref, &p.repo))
		return err_set(e, ERR_INVALID, __func__, "\"%.100s\" is too long a name",
			       ref->repo.s);
	k = images_guard(im, IMAGES_SHARED, &guard, e);
	return k == ERR_OK ? pull_anywhere(&p, ret, ret_stats, e) : k;
}

/* --- Of the store only --- */

static enum err_kind open_blobs(struct images *im, const struct image *image, int *fds,
				const struct stack *s, struct err *e)
{
	uint64_t size;
	enum err_kind k = images_begin(im, e);

	if (k != ERR_OK)
		return k;
	for (size_t i = 0; k == ERR_OK && i < image->doc.n_parts; i++) {
		if (stack_lacks(s, i))
			k = images_blob_open(im, &image->repo, &image->doc.parts[i].digest, &fds[i],
					     &size, e);
	}
	images_end(im);
	return k;
}

static enum err_kind unpack_from(struct images *im, const struct image *image, struct stack *s,
				 int *fds, struct tree_stats *ret_stats, struct err *e)
{
	bool lacking = false;
	enum err_kind k;

	for (size_t i = 0; i < image->doc.n_parts; i++)
		lacking = lacking || stack_lacks(s, i);
	if (!lacking)
		return ERR_OK;
	k = open_blobs(im, image, fds, s, e);
	for (size_t i = 0; k == ERR_OK && i < image->doc.n_parts; i++) {
		struct unpack_source from = { .read = unpack_read_fd, .arg = &fds[i] };

		stack_source(s, i, &from);
	}
	if (k == ERR_OK)
		k = stack_start(s, e);
	return k == ERR_OK ? stack_finish(s, ret_stats, e) : k;
}

enum err_kind pull_unpack(struct images *im, const struct image *image, struct layer_form form,
			  mode_t mask, struct tree_stats *ret_stats, struct err *e)
{
	AUTO_FREE int *fds = calloc(image->doc.n_parts + 1, sizeof(*fds));
	struct stack *s = NULL;
	enum err_kind k;

	if (!fds)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for layers");
	for (size_t i = 0; i < image->doc.n_parts; i++)
		fds[i] = -1;
	k = stack_new(im, form, mask, &image->config, image->chain_ids, &s, e);
	if (k == ERR_OK)
		k = unpack_from(im, image, s, fds, ret_stats, e);
	stack_free(&s); /* reads from the descriptors */
	for (size_t i = 0; i < image->doc.n_parts; i++)
		fd_close(&fds[i]);
	return k;
}
