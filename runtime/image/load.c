#include "runtime/image/load.h"

#include <errno.h>

#include "base/hash.h"
#include "runtime/image/unpack.h"

#define DOCUMENT_MAX (16u * 1024 * 1024)
#define HASH_BYTES (256u * 1024)
#define PATH_TEXT_MAX 512
#define IMAGES_MAX 1000

struct load {
	struct images *im;
	const struct load_options *o;
	int root; /* of what the archive had */
	struct arena arena;
};

/* --- Files of the archive --- */

/* Links within the archive may be followed: older archives have some. */
static enum err_kind open_file(const struct load *l, const char *path, int flags, int *ret,
			       struct err *e)
{
	struct open_how how = { .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NONBLOCK),
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

	*ret = sys_openat2(l->root, path, &how);
	return *ret < 0 ? err_sys(e, __func__, "%s in the archive", path) : ERR_OK;
}

static enum err_kind read_file(const struct load *l, const char *path, struct sbuf *ret,
			       struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k = open_file(l, path, O_RDONLY, &fd, e);

	return k == ERR_OK ? fd_read_rest(fd, ret, path, e) : k;
}

static enum err_kind hash_file(int fd, enum digest_alg alg, struct digest *ret, uint64_t *ret_size,
			       struct err *e)
{
	AUTO_FREE uint8_t *buf = malloc(HASH_BYTES);
	AUTO_HASH *h = NULL;
	size_t n = 0;
	enum err_kind k = hash_new(alg, &h, e);

	if (!buf)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to load");
	*ret_size = 0;
	do {
		if (k == ERR_OK)
			k = unpack_read_fd(&fd, buf, HASH_BYTES, &n, e);
		if (k == ERR_OK)
			k = hash_update(h, buf, n, e);
		*ret_size += n;
	} while (k == ERR_OK && n > 0);
	return k == ERR_OK ? hash_final(h, ret, e) : k;
}

/* --- Into the store; between images_begin and images_end --- */

/* dir/name, whose digest was found to be *d. */
static enum err_kind adopt(struct load *l, const struct repo_name *repo, const char *path,
			   const struct digest *d, struct err *e)
{
	AUTO_CLOSE dir = -1;
	struct err missing;
	const char *slash = strrchr(path, '/');
	char *parent =
	    arena_text(&l->arena, (struct str){ path, slash ? (size_t)(slash - path) : 0 });
	enum err_kind k = images_blob_share(l->im, repo, d, &missing);

	if (k == ERR_OK)
		return k;
	if (k != ERR_NOT_FOUND) {
		*e = missing;
		return k;
	}
	if (!parent)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to load");
	k = open_file(l, slash ? parent : ".", O_RDONLY | O_DIRECTORY, &dir, e);
	return k == ERR_OK ? images_blob_adopt(l->im, repo, dir, slash ? slash + 1 : path, d, e)
			   : k;
}

struct loaded_blob {
	const char *path;
	struct digest digest;
};

struct loaded_image {
	struct str body; /* of the manifest */
	const char *type;
	struct digest digest;
	struct loaded_blob *blobs;
	size_t n_blobs;
};

static enum err_kind put(struct load *l, const struct loaded_image *i, const struct reference *ref,
			 struct err *e)
{
	struct tag_name tag = images_tag_of(ref);
	struct repo_name repo;
	enum err_kind k;

	if (!reference_to_store(ref, &repo))
		return err_set(e, ERR_INVALID, __func__, "\"%.100s\" is too long a name",
			       ref->repo.s);
	k = images_begin(l->im, e);
	if (k != ERR_OK)
		return k;
	for (size_t b = 0; k == ERR_OK && b < i->n_blobs; b++)
		k = adopt(l, &repo, i->blobs[b].path, &i->blobs[b].digest, e);
	if (k == ERR_OK)
		k = images_manifest_put(l->im, &repo, i->body, i->type, &i->digest, &tag, e);
	images_end(l->im);
	if (k == ERR_OK && l->o->loaded)
		l->o->loaded(l->o->arg, ref);
	return k;
}

/* --- OCI layouts --- */

static const char *blob_path(struct load *l, const struct digest *d)
{
	char hex[DIGEST_HEX_MAX + 1];

	return arena_printf(&l->arena, "blobs/%s/%s", digest_alg_text(d->alg), digest_hex(d, hex));
}

static enum err_kind check_blob(struct load *l, const struct digest *want, struct loaded_blob *ret,
				struct err *e)
{
	AUTO_CLOSE fd = -1;
	struct digest got;
	uint64_t size;
	enum err_kind k;

	*ret = (struct loaded_blob){ .path = blob_path(l, want), .digest = *want };
	if (!ret->path)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to load");
	k = open_file(l, ret->path, O_RDONLY, &fd, e);
	if (k == ERR_OK)
		k = hash_file(fd, (enum digest_alg)want->alg, &got, &size, e);
	if (k == ERR_OK && !digest_eq(&got, want))
		return err_set(e, ERR_DIGEST, __func__, "%s in the archive is not what it says",
			       ret->path);
	return k;
}

static enum err_kind check_parts(struct load *l, const struct imagedoc *doc,
				 struct loaded_image *ret, struct err *e)
{
	enum err_kind k;

	ret->blobs = arena_array(&l->arena, doc->n_parts + 1, sizeof(*ret->blobs));
	if (!ret->blobs)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to load");
	k = check_blob(l, &doc->config.digest, &ret->blobs[ret->n_blobs++], e);
	for (size_t i = 0; k == ERR_OK && i < doc->n_parts; i++)
		k = check_blob(l, &doc->parts[i].digest, &ret->blobs[ret->n_blobs++], e);
	return k;
}

/* An index in an archive: of its images the one for this machine. */
static enum err_kind load_manifest(struct load *l, const struct digest *d, const char *type,
				   const struct reference *ref, unsigned depth, struct err *e)
{
	AUTO_IMAGEDOC doc = { 0 };
	AUTO_SBUF body;
	struct loaded_image image = { .type = type, .digest = *d };
	struct platform host = platform_host();
	const struct descriptor *child;
	struct loaded_blob manifest;
	enum err_kind k = check_blob(l, d, &manifest, e);

	sbuf_init(&body, IMAGEDOC_BYTES_MAX);
	if (k == ERR_OK)
		k = read_file(l, manifest.path, &body, e);
	image.body = (struct str){ body.p, body.n };
	if (k == ERR_OK)
		k = imagedoc_parse(image.body, str_of(type), d, &doc, e);
	if (k == ERR_OK && doc.kind == MEDIA_INDEX) {
		if (depth > 0)
			return err_set(e, ERR_UNSUPPORTED, __func__, "an index in an index");
		k = imagedoc_choose(&doc, &host, &child, e);
		return k == ERR_OK
			   ? load_manifest(l, &child->digest, child->media_type, ref, depth + 1, e)
			   : k;
	}
	if (k == ERR_OK)
		k = check_parts(l, &doc, &image, e);
	return k == ERR_OK ? put(l, &image, ref, e) : k;
}

static enum err_kind name_of(const struct load *l, const struct jv *entry, struct reference *ret,
			     struct err *e)
{
	const struct jv *annotations = jv_member(entry, "annotations");
	struct str name;

	if (jv_text(jv_member(annotations, "io.containerd.image.name"), &name))
		return reference_parse(ret, name, e);
	if (l->o->name) {
		*ret = *l->o->name;
		return ERR_OK;
	}
	if (jv_text(jv_member(annotations, "org.opencontainers.image.ref.name"), &name) &&
	    memchr(name.p, '/', name.n))
		return reference_parse(ret, name, e);
	return err_set(e, ERR_INVALID, __func__,
		       "the archive names no image: add a name for it to the command");
}

static enum err_kind load_layout(struct load *l, const struct jv *index, struct err *e)
{
	const struct jv *list = jv_member(index, "manifests");
	enum err_kind k = ERR_OK;

	if (jv_count(list) == 0 || jv_count(list) > IMAGES_MAX)
		return err_set(e, ERR_INVALID, __func__, "index.json lists no images, or too many");
	for (size_t i = 0; k == ERR_OK && i < jv_count(list); i++) {
		const struct jv *entry = jv_at(list, i);
		struct str digest, type = { "", 0 };
		struct reference ref;
		struct digest d;

		(void)jv_text(jv_member(entry, "mediaType"), &type);
		if (!jv_text(jv_member(entry, "digest"), &digest) || !digest_parse(&d, digest))
			return err_set(e, ERR_INVALID, __func__, "index.json: not a digest");
		k = name_of(l, entry, &ref, e);
		if (k == ERR_OK)
			k = load_manifest(l, &d, arena_text(&l->arena, type), &ref, 0, e);
	}
	return k;
}

/* --- manifest.json of docker save --- */

static enum err_kind hash_blob(struct load *l, struct str path, struct loaded_blob *ret,
			       uint64_t *ret_size, bool *ret_gzip, struct err *e)
{
	AUTO_CLOSE fd = -1;
	uint8_t magic[2] = { 0 };
	enum err_kind k;

	ret->path = arena_text(&l->arena, path);
	if (!ret->path)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to load");
	k = open_file(l, ret->path, O_RDONLY, &fd, e);
	if (k == ERR_OK)
		k = hash_file(fd, DIGEST_SHA256, &ret->digest, ret_size, e);
	*ret_gzip = k == ERR_OK && sys_pread(fd, magic, sizeof(magic), 0) == sizeof(magic) &&
		    magic[0] == 0x1f && magic[1] == 0x8b;
	return k;
}

static struct jv *descriptor_json(const char *type, const struct loaded_blob *b, uint64_t size)
{
	char text[DIGEST_TEXT_MAX];

	return jv_pack("{s:s, s:s, s:I}", "mediaType", type, "digest",
		       digest_text(&b->digest, text), "size", (long long)size);
}

/* Its manifest is ours: docker's archive has none. */
static enum err_kind make_manifest(struct load *l, const struct jv *entry, struct loaded_image *ret,
				   struct sbuf *body, struct err *e)
{
	const struct jv *paths = jv_member(entry, "Layers");
	AUTO_JV *layers = jv_new_array();
	AUTO_JV *config = NULL;
	AUTO_JV *doc = NULL;
	struct str path;
	uint64_t size;
	bool gzip;
	enum err_kind k = ERR_OK;

	ret->blobs = arena_array(&l->arena, jv_count(paths) + 1, sizeof(*ret->blobs));
	if (!ret->blobs || !layers)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to load");
	if (!jv_text(jv_member(entry, "Config"), &path) || jv_count(paths) > IMAGEDOC_LAYERS_MAX)
		return err_set(e, ERR_INVALID, __func__, "manifest.json: not what docker writes");
	k = hash_blob(l, path, &ret->blobs[ret->n_blobs++], &size, &gzip, e);
	if (k == ERR_OK)
		config = descriptor_json("application/vnd.oci.image.config.v1+json", &ret->blobs[0],
					 size);
	for (size_t i = 0; k == ERR_OK && i < jv_count(paths); i++) {
		struct loaded_blob *b = &ret->blobs[ret->n_blobs++];

		if (!jv_text(jv_at(paths, i), &path))
			return err_set(e, ERR_INVALID, __func__, "manifest.json: no path");
		k = hash_blob(l, path, b, &size, &gzip, e);
		if (k == ERR_OK &&
		    !jv_append(layers,
			       descriptor_json(gzip ? "application/vnd.oci.image.layer.v1.tar+gzip"
						    : "application/vnd.oci.image.layer.v1.tar",
					       b, size)))
			k = err_set(e, ERR_NO_MEMORY, __func__, "no memory to load");
	}
	if (k != ERR_OK)
		return k;
	doc = jv_pack("{s:i, s:s, s:o, s:o}", "schemaVersion", 2, "mediaType", MEDIA_OCI_MANIFEST,
		      "config", TAKE(config), "layers", TAKE(layers));
	jv_dump(doc, body);
	if (body->failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to load");
	ret->body = (struct str){ body->p, body->n };
	ret->type = MEDIA_OCI_MANIFEST;
	return hash_bytes(DIGEST_SHA256, body->p, body->n, &ret->digest, e);
}

static enum err_kind load_docker_image(struct load *l, const struct jv *entry, struct err *e)
{
	const struct jv *tags = jv_member(entry, "RepoTags");
	AUTO_SBUF body;
	struct loaded_image image = { 0 };
	struct reference ref;
	struct str name;
	enum err_kind k;

	sbuf_init(&body, IMAGEDOC_BYTES_MAX);
	k = make_manifest(l, entry, &image, &body, e);
	if (k == ERR_OK && jv_count(tags) == 0)
		return l->o->name ? put(l, &image, l->o->name, e)
				  : err_set(e, ERR_INVALID, __func__,
					    "the archive names no image: add a name for it to the "
					    "command");
	for (size_t i = 0; k == ERR_OK && i < jv_count(tags); i++) {
		if (!jv_text(jv_at(tags, i), &name))
			return err_set(e, ERR_INVALID, __func__, "manifest.json: no name");
		k = reference_parse(&ref, name, e);
		if (k == ERR_OK)
			k = put(l, &image, &ref, e);
	}
	return k;
}

/* A list, which our parser of objects takes as a member. */
static enum err_kind load_docker(struct load *l, struct err *e)
{
	AUTO_SBUF text;
	AUTO_JV *v = NULL;
	const struct jv *list;
	enum err_kind k;

	sbuf_init(&text, DOCUMENT_MAX);
	sbuf_addf(&text, "{\"images\":");
	k = read_file(l, "manifest.json", &text, e);
	sbuf_addf(&text, "}");
	if (k == ERR_OK && text.failed)
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory to load");
	if (k == ERR_OK)
		k = jv_parse_object((struct str){ text.p, text.n }, IMAGEDOC_DEPTH_MAX, &v, e);
	list = jv_member(v, "images");
	if (k == ERR_OK && (jv_count(list) == 0 || jv_count(list) > IMAGES_MAX))
		k = err_set(e, ERR_INVALID, __func__, "manifest.json lists no images, or too many");
	for (size_t i = 0; k == ERR_OK && i < jv_count(list); i++)
		k = load_docker_image(l, jv_at(list, i), e);
	return k;
}

/* --- The whole --- */

static enum err_kind load_tree(struct load *l, struct err *e)
{
	AUTO_SBUF text;
	AUTO_JV *index = NULL;
	struct err missing;
	enum err_kind k;

	sbuf_init(&text, DOCUMENT_MAX);
	k = read_file(l, "index.json", &text, &missing);
	if (k == ERR_NOT_FOUND)
		return load_docker(l, e);
	if (k != ERR_OK) {
		*e = missing;
		return k;
	}
	k = jv_parse_object((struct str){ text.p, text.n }, IMAGEDOC_DEPTH_MAX, &index, e);
	return k == ERR_OK ? load_layout(l, index, e) : err_wrap(e, "index.json");
}

/* A place of its own among the layers that are being unpacked: what a crash leaves is swept with those. */
static enum err_kind make_place(const struct images *im, struct layer_form form,
				struct layer_staging *ret, struct err *e)
{
	struct digest random = { .alg = DIGEST_SHA256 };

	random_bytes(random.bytes, digest_size(DIGEST_SHA256));
	return layer_begin(im, &random, form, ret, e);
}

enum err_kind load_images(struct images *im, int fd, const struct load_options *o, struct err *e)
{
	AUTO_LAYER_STAGING place = LAYER_STAGING_INIT;
	AUTO_CLOSE guard = -1;
	struct load l = { .im = im, .o = o };
	struct unpack_source from = { .read = unpack_read_fd, .arg = &fd };
	struct unpack_options u = {
		.tree = { .form = TREE_FLAT, .in_userns = o->form.in_userns, .umask = o->mask }
	};
	struct unpack_result ignored;
	enum err_kind k = images_guard(im, IMAGES_SHARED, &guard, e);

	arena_init(&l.arena, 64u * 1024 * 1024);
	if (k == ERR_OK)
		k = make_place(im, o->form, &place, e);
	if (k == ERR_OK)
		k = unpack_layer(place.root_fd, &from, &u, &ignored, e);
	l.root = place.root_fd;
	if (k == ERR_OK)
		k = load_tree(&l, e);
	arena_clear(&l.arena);
	return k;
}
