#include "base/clock.h"
#include "server/ops.h"
#include "storage/blob.h"
#include "storage/closure.h"

#define PARTS_MAX 500            /* of each list in an answer */
#define CLOSURE_MAX (50u * 1000) /* beyond it nothing is added up */
#define CONFIG_MAX (4u * 1024 * 1024)
#define LABELS_MAX (64u * 1024) /* of labels or annotations, together */
#define WORD_MAX 128            /* of what describes a platform */

struct inspected {
	struct op_call *c;
	const struct repo_name *repo;
	struct digest digest;
	struct manifest_row row;
	const struct jv *doc; /* the manifest */
	struct jv *out;       /* owned */
};

/* False once something failed: op_inspect looks at the end. */
static bool add(struct inspected *in, const char *name, struct jv *take)
{
	if (in->out && !jv_set(in->out, name, take))
		jv_free(&in->out);
	return in->out != NULL;
}

static void add_text(struct inspected *in, const char *name, const char *text)
{
	if (text && *text)
		(void)add(in, name, jv_pack("s", text));
}

/* Short texts that others wrote. */
static bool word_of(const struct jv *object, const char *name, struct str *ret)
{
	return jv_text(jv_member(object, name), ret) && ret->n <= WORD_MAX;
}

/* The object's members that are texts, if they are not too much together. */
static struct jv *texts_of(const struct jv *object)
{
	AUTO_JV *out = jv_pack("{}");
	size_t bytes = 0;
	void *iter = NULL;
	const char *key;
	const struct jv *value;
	struct str text;

	while (out && jv_next(object, &iter, &key, &value)) {
		if (!jv_text(value, &text))
			continue;
		bytes += strlen(key) + text.n;
		if (bytes > LABELS_MAX || !jv_set(out, key, jv_share(value)))
			return NULL;
	}
	return TAKE(out);
}

static void add_texts(struct inspected *in, const char *name, const struct jv *object)
{
	struct jv *texts = jv_is_object(object) ? texts_of(object) : NULL;

	if (texts)
		(void)add(in, name, texts);
}

static struct jv *platform_of(const struct jv *object)
{
	static const char *const names[] = { "os", "architecture", "variant" };
	AUTO_JV *out = jv_pack("{}");
	struct str word;

	for (size_t i = 0; out && i < ARRAY_LEN(names); i++) {
		if (word_of(object, names[i], &word) && word.n &&
		    !jv_set(out, names[i], jv_pack("s%", word.p, word.n)))
			return NULL;
	}
	return TAKE(out);
}

/* --- what the manifest says --- */

static struct jv *descriptor_of(const struct jv *d, bool has_platform)
{
	AUTO_JV *out = jv_pack("{}");
	struct str text;
	uint64_t size;

	if (out && jv_text(jv_member(d, "digest"), &text) && text.n < DIGEST_TEXT_MAX &&
	    !jv_set(out, "digest", jv_pack("s%", text.p, text.n)))
		return NULL;
	if (out && jv_text(jv_member(d, "mediaType"), &text) && text.n <= MEDIA_TYPE_MAX &&
	    !jv_set(out, "mediaType", jv_pack("s%", text.p, text.n)))
		return NULL;
	if (out && jv_uint(jv_member(d, "size"), &size) &&
	    !jv_set(out, "size", jv_pack("I", (long long)size)))
		return NULL;
	if (out && has_platform && jv_is_object(jv_member(d, "platform")) &&
	    !jv_set(out, "platform", platform_of(jv_member(d, "platform"))))
		return NULL;
	return TAKE(out);
}

static void add_descriptors(struct inspected *in, const char *name, bool has_platform)
{
	const struct jv *from = jv_member(in->doc, name);
	AUTO_JV *list = jv_new_array();

	if (!jv_is_array(from))
		return;
	for (size_t i = 0; list && i < MIN(jv_count(from), (size_t)PARTS_MAX); i++) {
		if (!jv_append(list, descriptor_of(jv_at(from, i), has_platform)))
			jv_free(&list);
	}
	(void)add(in, name, TAKE(list));
}

/* What an image's config tells: anybody's JSON, or none at all. */
static void add_config(struct inspected *in, struct str text)
{
	AUTO_JV *config = NULL;
	struct err ignored;
	struct str created;

	if (jv_parse_object(text, store_limits(in->c->ops->store)->json_depth_max, &config,
			    &ignored) != ERR_OK)
		return;
	if (word_of(config, "os", &created) || word_of(config, "architecture", &created))
		(void)add(in, "platform", platform_of(config));
	if (word_of(config, "created", &created))
		(void)add(in, "imageCreated", jv_pack("s%", created.p, created.n));
	add_texts(in, "labels", jv_member(jv_member(config, "config"), "Labels"));
}

/* A config that is not there, too large, or damaged has nothing to tell; the disk may still fail. */
static enum err_kind read_config(struct inspected *in, struct err *e)
{
	struct store *st = in->c->ops->store;
	AUTO_SBUF text = { .max = CONFIG_MAX };
	struct blob_info blob;
	struct digest d;
	struct str name;
	enum err_kind k;

	if (!jv_text(jv_member(jv_member(in->doc, "config"), "digest"), &name) ||
	    !digest_parse(&d, name))
		return ERR_OK;
	(void)add(in, "config", descriptor_of(jv_member(in->doc, "config"), false));
	k = index_blob_find(store_index(st), in->repo, &d, &blob, e);
	if (k == ERR_OK && blob.size_bytes <= CONFIG_MAX && !blob.is_damaged)
		k = blob_read(st, &d, blob.size_bytes, &text, e);
	if (k == ERR_OK && text.n)
		add_config(in, (struct str){ text.p, text.n });
	return k == ERR_NOT_FOUND || k == ERR_CORRUPT ? ERR_OK : k;
}

static enum err_kind read_document(struct inspected *in, struct jv **ret, struct err *e)
{
	struct store *st = in->c->ops->store;
	struct manifest_info info = { .bytes = NULL };
	AUTO_SBUF text = { .max = SBUF_MAX };
	enum err_kind k =
	    index_manifest_find(store_index(st), in->repo, NULL, &in->digest, &info, e);

	if (k != ERR_OK)
		return k;
	text.p = TAKE(info.bytes);
	text.n = text.p ? (size_t)info.size_bytes : 0;
	if (!text.p)
		k = blob_read(st, &in->digest, info.size_bytes, &text, e);
	return k == ERR_OK
		   ? jv_parse_object((struct str){ text.p, text.n }, MANIFEST_DEPTH_MAX, ret, e)
		   : k;
}

/* --- who has it --- */

struct held_by {
	struct jv *tags, *manifests, *repositories; /* lists */
	const struct op_call *c;
	const struct repo_name *repo;
	bool cut; /* there are more */
};

static bool list_text(struct held_by *h, struct jv *list, const char *text)
{
	h->cut = jv_count(list) == PARTS_MAX;
	return !h->cut && jv_append(list, jv_pack("s", text));
}

static bool see_holder(void *arg, const struct holder *by)
{
	char text[DIGEST_TEXT_MAX];
	struct held_by *h = arg;

	return by->is_tag ? list_text(h, h->tags, by->tag.s)
			  : list_text(h, h->manifests, digest_text(&by->manifest, text));
}

/* Other repositories are told of only to who may see them. */
static bool see_place(void *arg, const struct repo_name *repo)
{
	struct held_by *h = arg;
	struct str name = repo_name_str(repo);

	if (str_eq(name, repo_name_str(h->repo)) ||
	    (h->c->may_see && !h->c->may_see(h->c->see_arg, name)))
		return true;
	return list_text(h, h->repositories, repo->s);
}

static enum err_kind add_holders(struct inspected *in, struct err *e)
{
	struct index *ix = store_index(in->c->ops->store);
	struct held_by h = { .tags = jv_new_array(),
			     .manifests = jv_new_array(),
			     .repositories = jv_new_array(),
			     .c = in->c,
			     .repo = in->repo };
	enum err_kind k = index_holders(ix, in->repo, &in->digest, see_holder, &h, e);
	bool cut = h.cut;

	h.cut = false;
	if (k == ERR_OK)
		k = index_places(ix, &in->digest, see_place, &h, e);
	cut = cut || h.cut;
	(void)add(in, "tags", h.tags);
	(void)add(in, "holders", h.manifests);
	(void)add(in, "repositories", h.repositories);
	if (cut)
		(void)add(in, "shortened", jv_pack("b", 1));
	return k;
}

static bool see_referrer(void *arg, struct str descriptor)
{
	struct jv *list = arg;
	AUTO_JV *d = NULL, *out = NULL;
	struct str type;
	struct err ignored;

	if (jv_count(list) == PARTS_MAX ||
	    jv_parse_object(descriptor, MANIFEST_DEPTH_MAX, &d, &ignored) != ERR_OK)
		return false;
	out = descriptor_of(d, false);
	if (out && jv_text(jv_member(d, "artifactType"), &type) && type.n <= MEDIA_TYPE_MAX &&
	    !jv_set(out, "artifactType", jv_pack("s%", type.p, type.n)))
		return false;
	return jv_append(list, TAKE(out));
}

static enum err_kind add_referrers(struct inspected *in, struct err *e)
{
	AUTO_JV *list = jv_new_array();
	struct referrer_mark last;
	bool more;
	enum err_kind k = index_referrers(store_index(in->c->ops->store), in->repo, &in->digest,
					  STR(""), NULL, see_referrer, list, &more, &last, e);

	if (k == ERR_OK)
		(void)add(in, "referrers", TAKE(list));
	if (k == ERR_OK && more)
		(void)add(in, "shortened", jv_pack("b", 1));
	return k;
}

/* Other repositories that have the same would show in it. */
static bool may_see_unique(const struct op_call *c)
{
	return !c->may_see || c->may_see(c->see_arg, OPS_REGISTRY);
}

/* Bytes of everything in it, and of what nothing else has. */
static enum err_kind add_bytes(struct inspected *in, const struct tag_name *tag, struct err *e)
{
	struct index *ix = store_index(in->c->ops->store);
	AUTO_CLOSURE parts = { .n_max = CLOSURE_MAX };
	uint64_t unique = 0;
	enum err_kind k = closure_gather(&parts, ix, in->repo, &in->digest, false, e);

	if (k == ERR_OK)
		(void)add(in, "total", jv_pack("I", (long long)closure_bytes(&parts)));
	closure_clear(&parts);
	if (k == ERR_OK && !may_see_unique(in->c))
		return ERR_OK;
	if (k == ERR_OK)
		k = closure_gather(&parts, ix, in->repo, &in->digest, true, e);
	if (k == ERR_OK)
		k = closure_unique(&parts, ix, in->repo, tag, &unique, e);
	if (k == ERR_OK)
		(void)add(in, "unique", jv_pack("I", (long long)unique));
	return k == ERR_TOO_LARGE ? ERR_OK : k;
}

/* --- the operation --- */

static void add_row(struct inspected *in, const struct named *n, const struct tag_row *tag)
{
	char text[DIGEST_TEXT_MAX], when[32];

	add_text(in, "repository", in->repo->s);
	if (n->has_tag)
		add_text(in, "tag", n->tag.s);
	add_text(in, "digest", digest_text(&in->digest, text));
	add_text(in, "mediaType", in->row.media_type);
	add_text(in, "artifactType", in->row.artifact_type);
	(void)add(in, "size", jv_pack("I", (long long)in->row.size_bytes));
	add_text(in, "pushed", op_time(n->has_tag ? tag->pushed_ms : in->row.pushed_ms, when));
	if (n->has_tag)
		add_text(in, "pulled", op_time(tag->pulled_ms, when));
	if (in->row.has_subject)
		add_text(in, "subject", digest_text(&in->row.subject, text));
}

static enum err_kind fill(struct inspected *in, const struct named *n, const struct tag_row *tag,
			  struct err *e)
{
	AUTO_JV *doc = NULL;
	enum err_kind k = read_document(in, &doc, e);

	if (k != ERR_OK)
		return k;
	in->doc = doc;
	add_row(in, n, tag);
	add_texts(in, "annotations", jv_member(doc, "annotations"));
	k = read_config(in, e);
	add_descriptors(in, "layers", false);
	add_descriptors(in, "manifests", true);
	if (k == ERR_OK)
		k = add_referrers(in, e);
	if (k == ERR_OK)
		k = add_holders(in, e);
	return k == ERR_OK ? add_bytes(in, n->has_tag ? &n->tag : NULL, e) : k;
}

static enum err_kind inspect_manifest(struct op_call *c, const struct named *n, struct err *e)
{
	struct index *ix = store_index(c->ops->store);
	struct inspected in = { .c = c, .repo = &n->repo, .digest = n->digest };
	struct tag_row tag = { .pushed_ms = 0 };
	AUTO_SBUF refs = { .max = SBUF_MAX };
	enum err_kind k = n->has_tag ? index_tag_find(ix, &n->repo, &n->tag, &tag, e) : ERR_OK;

	if (n->has_tag)
		in.digest = tag.digest;
	if (k == ERR_OK)
		k = index_manifest_look(ix, &n->repo, &in.digest, &in.row, &refs, e);
	if (k != ERR_OK)
		return k;
	in.out = jv_pack("{}");
	k = fill(&in, n, &tag, e);
	if (k == ERR_OK && !in.out)
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory for what is known of it");
	if (k == ERR_OK)
		op_emit(c, TAKE(in.out));
	jv_free(&in.out);
	return k;
}

enum err_kind op_inspect(struct op_call *c, struct err *e)
{
	struct named n;
	enum err_kind k = op_named(c, "reference", &n, e);

	if (k != ERR_OK)
		return k;
	return n.has_tag || n.has_digest ? inspect_manifest(c, &n, e) : op_repo(c, &n.repo, e);
}
