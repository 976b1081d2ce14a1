#include "runtime/image/newimage.h"

#include "base/clock.h"
#include "base/hash.h"
#include "runtime/image/change.h"

#define DOCUMENT_DEPTH 32

struct making {
	struct images *im;
	const struct newimage *n;
	struct reference ref; /* by digest, once it is known */
	struct repo_name repo;
	struct sbuf base_config, config, manifest;
	struct digest config_digest, digest;
};

static void making_clear(struct making *m)
{
	sbuf_clear(&m->base_config);
	sbuf_clear(&m->config);
	sbuf_clear(&m->manifest);
}

static enum err_kind no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, __func__, "no memory for an image");
}

/* --- The configuration --- */

static enum err_kind read_base(struct making *m, struct err *e)
{
	AUTO_CLOSE fd = -1;
	uint64_t size;
	enum err_kind k;

	if (!m->n->base) {
		sbuf_addf(&m->base_config, "{}");
		return ERR_OK;
	}
	k = images_begin(m->im, e);
	if (k != ERR_OK)
		return k;
	k = images_blob_open(m->im, &m->n->base->repo, &m->n->base->doc.config.digest, &fd, &size,
			     e);
	images_end(m->im);
	return k == ERR_OK ? fd_read_rest(fd, &m->base_config, "image config", e) : k;
}

static bool set_text(struct jv *v, const char *key, const char *text)
{
	return !text || jv_set(v, key, jv_pack("s", text));
}

static struct jv *with_history(const struct making *m, const struct jv *old, const char *created)
{
	struct jv *list = jv_new_array(), *entry = jv_pack("{s:s}", "created", created);
	bool ok = list && entry && set_text(entry, "created_by", m->n->created_by) &&
		  set_text(entry, "author", m->n->author) &&
		  set_text(entry, "comment", m->n->comment);

	for (size_t i = 0; ok && i < jv_count(old); i++)
		ok = jv_append(list, jv_share(jv_at(old, i)));
	if (!ok) {
		jv_free(&entry);
		jv_free(&list);
	} else if (!jv_append(list, entry)) {
		jv_free(&list);
	}
	return list;
}

static struct jv *with_diff_id(const struct making *m)
{
	struct jv *list = jv_new_array();
	const struct image *base = m->n->base;
	char text[DIGEST_TEXT_MAX];
	bool ok = list;

	for (size_t i = 0; ok && base && i < base->config.n_diff_ids; i++)
		ok = jv_append(list, jv_pack("s", digest_text(&base->config.diff_ids[i], text)));
	if (ok)
		ok = jv_append(list, jv_pack("s", digest_text(&m->n->digests.diff_id, text)));
	if (!ok)
		jv_free(&list);
	return list;
}

static bool set_platform(struct jv *v, const struct platform *p)
{
	return jv_set(v, "architecture", jv_pack("s", p->arch)) &&
	       jv_set(v, "os", jv_pack("s", p->os)) &&
	       (!*p->variant || jv_set(v, "variant", jv_pack("s", p->variant)));
}

static enum err_kind change(const struct making *m, const struct jv *old, struct jv **ret,
			    struct err *e)
{
	const struct text_list *changes = m->n->changes;
	struct jv *v = change_copy(old);
	enum err_kind k = v ? ERR_OK : no_memory(e);

	for (size_t i = 0; k == ERR_OK && changes && i < changes->n; i++)
		k = change_apply(&v, str_of(changes->v[i]), e);
	if (k == ERR_OK)
		*ret = v;
	else
		jv_free(&v);
	return k;
}

static enum err_kind make_config(struct making *m, struct err *e)
{
	AUTO_JV *base = NULL;
	AUTO_JV *v = NULL;
	struct jv *config = NULL;
	char created[TIME_TEXT_MAX];
	bool ok;
	enum err_kind k = read_base(m, e);

	if (k == ERR_OK)
		k = jv_parse_object((struct str){ m->base_config.p, m->base_config.n },
				    DOCUMENT_DEPTH, &base, e);
	if (k == ERR_OK)
		k = change(m, jv_member(base, "config"), &config, e);
	if (k != ERR_OK)
		return k;
	(void)time_text(wall_ms(), created);
	v = change_copy(base);
	ok = v && jv_set(v, "config", config) && set_text(v, "created", created) &&
	     set_text(v, "author", m->n->author) &&
	     jv_set(v, "history", with_history(m, jv_member(base, "history"), created)) &&
	     jv_set(v, "rootfs",
		    jv_pack("{s:s, s:o}", "type", "layers", "diff_ids", with_diff_id(m))) &&
	     (m->n->base || set_platform(v, m->n->platform));
	if (!ok)
		return no_memory(e);
	jv_dump(v, &m->config);
	if (m->config.failed)
		return no_memory(e);
	return hash_bytes(DIGEST_SHA256, m->config.p, m->config.n, &m->config_digest, e);
}

/* --- The manifest --- */

/* An OCI manifest's layers have OCI's types; the bytes are the same. */
static const char *oci_type(const char *type)
{
	static const char *const pairs[][2] = {
		{ "application/vnd.docker.image.rootfs.diff.tar.gzip", NEWLAYER_MEDIA_TYPE },
		{ "application/vnd.docker.image.rootfs.diff.tar",
		  "application/vnd.oci.image.layer.v1.tar" },
		{ "application/vnd.docker.image.rootfs.diff.tar.zstd",
		  "application/vnd.oci.image.layer.v1.tar+zstd" },
	};

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		if (strcmp(type, pairs[i][0]) == 0)
			return pairs[i][1];
	}
	return type;
}

static struct jv *descriptor_json(const char *type, const struct digest *d, uint64_t size)
{
	char text[DIGEST_TEXT_MAX];

	return jv_pack("{s:s, s:s, s:I}", "mediaType", type, "digest", digest_text(d, text), "size",
		       (long long)size);
}

static enum err_kind make_manifest(struct making *m, struct err *e)
{
	const struct image *base = m->n->base;
	struct jv *layers = jv_new_array();
	AUTO_JV *doc = NULL;
	bool ok = layers;

	for (size_t i = 0; ok && base && i < base->doc.n_parts; i++) {
		const struct descriptor *d = &base->doc.parts[i];

		ok = jv_append(layers,
			       descriptor_json(oci_type(d->media_type), &d->digest, d->size_bytes));
	}
	ok = ok && jv_append(layers, descriptor_json(NEWLAYER_MEDIA_TYPE, &m->n->digests.digest,
						     m->n->digests.size_bytes));
	if (!ok)
		jv_free(&layers);
	doc = jv_pack("{s:i, s:s, s:o, s:o}", "schemaVersion", 2, "mediaType", MEDIA_OCI_MANIFEST,
		      "config",
		      descriptor_json("application/vnd.oci.image.config.v1+json", &m->config_digest,
				      m->config.n),
		      "layers", layers);
	jv_dump(doc, &m->manifest);
	if (m->manifest.failed)
		return no_memory(e);
	return hash_bytes(DIGEST_SHA256, m->manifest.p, m->manifest.n, &m->digest, e);
}

/* --- Into the store; between images_begin and images_end --- */

static enum err_kind put_blobs(struct making *m, struct err *e)
{
	const struct image *base = m->n->base;
	enum err_kind k = newlayer_adopt(m->n->layer, m->im, &m->repo, e);

	for (size_t i = 0; k == ERR_OK && base && i < base->doc.n_parts; i++)
		k = images_blob_share(m->im, &m->repo, &base->doc.parts[i].digest, e);
	return k == ERR_OK
		   ? images_blob_put(m->im, &m->repo, (struct str){ m->config.p, m->config.n },
				     &m->config_digest, e)
		   : k;
}

static enum err_kind put_manifest(struct making *m, const struct reference *to, struct err *e)
{
	struct tag_name tag = images_tag_of(to);

	return images_manifest_put(m->im, &m->repo, (struct str){ m->manifest.p, m->manifest.n },
				   MEDIA_OCI_MANIFEST, &m->digest, &tag, e);
}

static enum err_kind put(struct making *m, struct image *ret, struct err *e)
{
	enum err_kind k = images_begin(m->im, e);

	if (k != ERR_OK)
		return k;
	k = put_blobs(m, e);
	if (k == ERR_OK)
		k = put_manifest(m, &m->ref, e);
	if (k == ERR_OK)
		k = images_load(m->im, &m->ref, NULL, ret, e);
	images_end(m->im);
	return k;
}

/* The name that it had by its digest goes when it has a better one, or is no image after all. */
static enum err_kind settle(struct making *m, const struct reference *to, bool is_good,
			    struct err *e)
{
	struct tag_name by_digest = images_tag_of(&m->ref);
	struct err ignored;
	enum err_kind k = images_begin(m->im, is_good ? e : &ignored);

	if (k != ERR_OK)
		return k;
	if (is_good && to)
		k = put_manifest(m, to, e);
	if (!is_good || (to && !to->has_digest))
		(void)!images_untag(m->im, &m->repo, &by_digest,
				    &ignored); /* or it stays as a name more */
	images_end(m->im);
	return k;
}

static enum err_kind make(struct making *m, const struct reference *to, struct image *ret,
			  struct err *e)
{
	struct tree_stats ignored = { 0 };
	enum err_kind k = make_config(m, e);

	if (k == ERR_OK)
		k = make_manifest(m, e);
	if (k != ERR_OK)
		return k;
	m->ref.tag.len = 0;
	m->ref.has_digest = true;
	m->ref.digest = m->digest;
	k = put(m, ret, e);
	if (k != ERR_OK)
		return k;
	k = pull_unpack(m->im, ret, m->n->form, m->n->mask, &ignored, e);
	if (k != ERR_OK) {
		(void)settle(m, to, false, e);
		image_clear(ret);
		return k;
	}
	return settle(m, to, true, e);
}

enum err_kind newimage_make(struct images *im, const struct newimage *n, const struct reference *to,
			    struct image *ret, struct err *e)
{
	struct making m = { .im = im, .n = n, .ref = to ? *to : n->base->ref };
	enum err_kind k = ERR_OK;

	if (!reference_to_store(&m.ref, &m.repo))
		return err_set(e, ERR_INVALID, __func__, "\"%.100s\" is too long a name",
			       m.ref.repo.s);
	if (to && (to->has_digest || to->tag.len == 0))
		return err_set(e, ERR_INVALID, __func__, "the new name must end in a tag");
	sbuf_init(&m.base_config, CONFIG_BYTES_MAX);
	sbuf_init(&m.config, CONFIG_BYTES_MAX);
	sbuf_init(&m.manifest, IMAGEDOC_BYTES_MAX);
	k = make(&m, to, ret, e);
	making_clear(&m);
	return k;
}
