#include "runtime/image/imagedoc.h"

#include "base/jv.h"
#include "storage/manifest.h"

#define ARENA_MAX (16u * 1024 * 1024)
#define REF_NAME "org.opencontainers.image.ref.name"

static struct str text_of(const struct jv *object, const char *key)
{
	struct str s = { "", 0 };

	(void)jv_text(jv_member(object, key), &s);
	return s;
}

static enum err_kind no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a manifest");
}

/* It was checked by manifest_parse. */
static enum err_kind take_descriptor(const struct jv *v, struct imagedoc *doc,
				     struct descriptor *ret, struct err *e)
{
	const struct jv *platform = jv_member(v, "platform");
	struct str name = text_of(jv_member(v, "annotations"), REF_NAME);

	if (!digest_parse(&ret->digest, text_of(v, "digest")) ||
	    !jv_uint(jv_member(v, "size"), &ret->size_bytes))
		return err_set(e, ERR_BUG, __func__, "a descriptor that was not checked");
	if (platform &&
	    !platform_of(&ret->platform, text_of(platform, "os"), text_of(platform, "architecture"),
			 text_of(platform, "variant")))
		return err_set(e, ERR_INVALID, __func__, "a child's platform is not valid");
	ret->media_type = arena_text(&doc->arena, text_of(v, "mediaType"));
	ret->name = name.n ? arena_text(&doc->arena, name) : NULL;
	return ret->media_type && (ret->name || !name.n) ? ERR_OK : no_memory(e);
}

static enum err_kind take_parts(const struct jv *list, size_t max, const char *what,
				struct imagedoc *doc, struct err *e)
{
	size_t n = jv_count(list);
	enum err_kind k = ERR_OK;

	if (n > max)
		return err_set(e, ERR_TOO_LARGE, __func__, "the image has %zu %s, more than %zu", n,
			       what, max);
	doc->parts = arena_array(&doc->arena, n + 1, sizeof(*doc->parts));
	if (!doc->parts)
		return no_memory(e);
	doc->n_parts = n;
	for (size_t i = 0; k == ERR_OK && i < n; i++)
		k = take_descriptor(jv_at(list, i), doc, &doc->parts[i], e);
	return k;
}

static enum err_kind take_all(const struct jv *v, struct imagedoc *doc, struct err *e)
{
	enum err_kind k;

	if (doc->kind == MEDIA_INDEX)
		return take_parts(jv_member(v, "manifests"), IMAGEDOC_CHILDREN_MAX, "children", doc,
				  e);
	k = take_descriptor(jv_member(v, "config"), doc, &doc->config, e);
	return k == ERR_OK
		   ? take_parts(jv_member(v, "layers"), IMAGEDOC_LAYERS_MAX, "layers", doc, e)
		   : k;
}

/* OCI documents may leave it out; their shape tells then. */
static struct str media_type_in(const struct jv *v)
{
	struct str type = text_of(v, "mediaType");

	if (type.n)
		return type;
	return jv_member(v, "manifests") ? STR(MEDIA_OCI_INDEX) : STR(MEDIA_OCI_MANIFEST);
}

enum err_kind imagedoc_parse(struct str body, struct str media_type, const struct digest *d,
			     struct imagedoc *ret, struct err *e)
{
	AUTO_JV *v = NULL;
	AUTO_MANIFEST checked = { 0 };
	AUTO_IMAGEDOC doc = { .digest = *d, .size_bytes = body.n };
	enum err_kind k;

	arena_init(&doc.arena, ARENA_MAX);
	if (body.n > IMAGEDOC_BYTES_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "a manifest of %zu bytes", body.n);
	k = jv_parse_object(body, IMAGEDOC_DEPTH_MAX, &v, e);
	if (k != ERR_OK)
		return k;
	if (media_type.n == 0)
		media_type = media_type_in(v);
	k = manifest_parse(body, media_type, d, IMAGEDOC_DEPTH_MAX, &checked, e);
	if (k != ERR_OK)
		return k;
	doc.kind = checked.kind;
	doc.media_type = arena_text(&doc.arena, media_type);
	k = doc.media_type ? take_all(v, &doc, e) : no_memory(e);
	if (k == ERR_OK) {
		*ret = doc;
		doc = (struct imagedoc){ 0 };
	}
	return k;
}

void imagedoc_clear(struct imagedoc *d)
{
	arena_clear(&d->arena);
	*d = (struct imagedoc){ 0 };
}

/* "linux/amd64, linux/arm64 and 3 more" */
static void list_platforms(const struct imagedoc *index, char *buf, size_t cap)
{
	size_t n = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < index->n_parts; i++) {
		char one[PLATFORM_TEXT_MAX];
		int put = snprintf(buf + n, cap - n, "%s%s", i ? ", " : "",
				   platform_text(&index->parts[i].platform, one));

		if (put < 0 || (size_t)put >= cap - n) {
			(void)snprintf(buf + n, cap - n, "...");
			return;
		}
		n += (size_t)put;
	}
}

enum err_kind imagedoc_choose(const struct imagedoc *index, const struct platform *want,
			      const struct descriptor **ret, struct err *e)
{
	char text[PLATFORM_TEXT_MAX], have[128];
	unsigned best = 0;

	for (size_t i = 0; i < index->n_parts; i++) {
		const struct descriptor *d = &index->parts[i];
		unsigned rank = media_kind_of(str_of(d->media_type)) == MEDIA_OTHER
				    ? 0
				    : platform_rank(want, &d->platform);

		if (rank > best) { /* of equals the first (image-index.md "manifests") */
			best = rank;
			*ret = d;
		}
	}
	if (best > 0)
		return ERR_OK;
	list_platforms(index, have, sizeof(have));
	return err_set(e, ERR_NOT_FOUND, __func__,
		       "there is no image for %s: the index has %s; choose with --platform",
		       platform_text(want, text), index->n_parts ? have : "none");
}
