#include "storage/manifest.h"

#include <strings.h>

#include "base/jv.h"

/* The keys that decide what a document is; another spelling would be read by clients that fold case. */
static const char *const known_keys[] = { "schemaVersion", "mediaType",   "artifactType",
					  "config",        "layers",      "manifests",
					  "subject",       "annotations", "fsLayers" };

static enum err_kind check_spelling(const struct jv *doc, struct err *e)
{
	void *iter = NULL;
	const char *key;
	const struct jv *value;

	while (jv_next(doc, &iter, &key, &value)) {
		for (size_t i = 0; i < ARRAY_LEN(known_keys); i++) {
			if (strcasecmp(key, known_keys[i]) == 0 && strcmp(key, known_keys[i]) != 0)
				return err_set(e, ERR_INVALID, __func__,
					       "key \"%.40s\" must be \"%s\"", key, known_keys[i]);
		}
	}
	return ERR_OK;
}

/* A descriptor (image-spec descriptor.md); where names it in messages. */
static enum err_kind parse_descriptor(const struct jv *v, const char *where,
				      struct manifest_ref *ret, struct str *ret_type, struct err *e)
{
	struct str text;

	if (!jv_is_object(v))
		return err_set(e, ERR_INVALID, __func__, "%s is not a descriptor", where);
	if (!jv_text(jv_member(v, "mediaType"), ret_type) || !media_type_is_valid(*ret_type))
		return err_set(e, ERR_INVALID, __func__, "%s has no valid mediaType", where);
	if (!jv_text(jv_member(v, "digest"), &text) || !digest_parse(&ret->digest, text))
		return err_set(e, ERR_INVALID, __func__, "%s has no valid sha256 or sha512 digest",
			       where);
	if (!jv_uint(jv_member(v, "size"), &ret->size_bytes))
		return err_set(e, ERR_INVALID, __func__, "%s has no valid size", where);
	return ERR_OK;
}

static enum err_kind parse_list(const struct jv *list, const char *name, enum ref_kind kind,
				struct manifest *m, struct err *e)
{
	char where[48];

	if (!jv_is_array(list))
		return err_set(e, ERR_INVALID, __func__, "%s is missing or not a list", name);
	for (size_t i = 0; i < jv_count(list); i++) {
		struct manifest_ref *ref = &m->refs[m->n_refs];
		enum err_kind k;
		struct str type = { "", 0 };

		(void)snprintf(where, sizeof(where), "%s[%zu]", name, i);
		k = parse_descriptor(jv_at(list, i), where, ref, &type, e);
		if (k != ERR_OK)
			return k;
		ref->kind = (uint8_t)kind;
		ref->may_be_absent = kind == REF_LAYER && media_is_nondistributable(type);
		m->n_refs++;
	}
	return ERR_OK;
}

static int compare_refs(const void *a, const void *b)
{
	return memcmp(&((const struct manifest_ref *)a)->digest,
		      &((const struct manifest_ref *)b)->digest, sizeof(struct digest));
}

/* Sorted by digest, one entry each: the index holds a reference once, however often a document repeats it. */
static enum err_kind dedupe_refs(struct manifest *m, struct err *e)
{
	size_t n = 0;

	if (m->n_refs == 0)
		return ERR_OK;
	qsort(m->refs, m->n_refs, sizeof(*m->refs), compare_refs);
	for (size_t i = 1; i < m->n_refs; i++) {
		struct manifest_ref *last = &m->refs[n], *ref = &m->refs[i];

		if (!digest_eq(&last->digest, &ref->digest)) {
			m->refs[++n] = *ref;
			continue;
		}
		if (last->size_bytes != ref->size_bytes)
			return err_set(e, ERR_INVALID, __func__,
				       "one digest is listed with two sizes");
		last->may_be_absent = last->may_be_absent && ref->may_be_absent;
	}
	m->n_refs = n + 1;
	return ERR_OK;
}

static enum err_kind parse_refs(const struct jv *doc, struct manifest *m, struct str *config_type,
				struct err *e)
{
	const struct jv *layers = jv_member(doc, "layers"),
			*manifests = jv_member(doc, "manifests");
	size_t room = jv_count(layers) + jv_count(manifests) + 1;
	enum err_kind k;

	if (jv_member(doc, "fsLayers"))
		return err_set(e, ERR_INVALID, __func__,
			       "fsLayers belongs to Docker schema 1, which is not accepted");
	if (m->kind == MEDIA_MANIFEST && manifests)
		return err_set(e, ERR_INVALID, __func__,
			       "an image manifest must not list manifests");
	if (m->kind == MEDIA_INDEX && (layers || jv_member(doc, "config")))
		return err_set(e, ERR_INVALID, __func__,
			       "an index must not have layers or a config");
	m->refs = calloc(room, sizeof(*m->refs));
	if (!m->refs)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for %zu references", room);
	if (m->kind == MEDIA_INDEX)
		return parse_list(manifests, "manifests", REF_CHILD, m, e);
	k = parse_descriptor(jv_member(doc, "config"), "config", &m->refs[0], config_type, e);
	if (k != ERR_OK)
		return k;
	m->refs[0].kind = REF_CONFIG;
	m->n_refs = 1;
	return parse_list(layers, "layers", REF_LAYER, m, e);
}

/* distribution-spec "Listing Referrers": artifactType, or for an image the config's media type. */
static enum err_kind parse_artifact_type(const struct jv *doc, struct manifest *m,
					 struct str config_type, struct err *e)
{
	const struct jv *v = jv_member(doc, "artifactType");
	struct str type = { "", 0 };

	if (v && (!jv_text(v, &type) || (type.n && !media_type_is_valid(type))))
		return err_set(e, ERR_INVALID, __func__, "artifactType is not a media type");
	if (type.n == 0 && m->kind == MEDIA_MANIFEST)
		type = config_type;
	(void)str_copy(type, m->artifact_type, sizeof(m->artifact_type)); /* valid, so it fits */
	return ERR_OK;
}

static enum err_kind make_descriptor(const struct jv *doc, struct manifest *m, struct err *e)
{
	AUTO_SBUF text;
	AUTO_JV *d = NULL, *annotations = NULL;
	const struct jv *notes = jv_member(doc, "annotations");
	char digest[DIGEST_TEXT_MAX];

	sbuf_init(&text, SBUF_MAX);
	d = jv_pack("{s:s, s:s, s:I, s:s*}", "mediaType", m->media_type, "digest",
		    digest_text(&m->digest, digest), "size", (long long)m->size_bytes,
		    "artifactType", m->artifact_type[0] ? m->artifact_type : NULL);
	if (d && notes) {
		annotations = jv_share(notes);
		if (!jv_set(d, "annotations", TAKE(annotations)))
			jv_free(&d);
	}
	jv_dump(d, &text);
	if (text.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a descriptor");
	m->descriptor = sbuf_take(&text);
	return ERR_OK;
}

static enum err_kind parse_annotations(const struct jv *doc, struct err *e)
{
	const struct jv *notes = jv_member(doc, "annotations"), *value;
	void *iter = NULL;
	const char *key;
	struct str text;

	if (!notes)
		return ERR_OK;
	if (!jv_is_object(notes))
		return err_set(e, ERR_INVALID, __func__, "annotations is not an object");
	while (jv_next(notes, &iter, &key, &value)) {
		if (!jv_text(value, &text))
			return err_set(e, ERR_INVALID, __func__,
				       "annotation \"%.60s\" is not a string", key);
	}
	return ERR_OK;
}

static enum err_kind parse_head(const struct jv *doc, struct manifest *m, struct err *e)
{
	struct str type;
	uint64_t version;
	const struct jv *v = jv_member(doc, "mediaType");

	if (!jv_uint(jv_member(doc, "schemaVersion"), &version) || version != 2)
		return err_set(e, ERR_INVALID, __func__, "schemaVersion must be 2");
	if (v && (!jv_text(v, &type) || !str_eq(type, str_of(m->media_type))))
		return err_set(e, ERR_INVALID, __func__,
			       "mediaType in the document is not the Content-Type %.100s",
			       m->media_type);
	return check_spelling(doc, e);
}

static enum err_kind parse_subject(const struct jv *doc, struct manifest *m, struct err *e)
{
	const struct jv *v = jv_member(doc, "subject");
	struct manifest_ref subject;
	struct str type;
	enum err_kind k;

	if (!v)
		return ERR_OK;
	k = parse_descriptor(v, "subject", &subject, &type, e);
	if (k != ERR_OK)
		return k;
	m->has_subject = true;
	m->subject = subject.digest;
	return make_descriptor(doc, m, e);
}

static enum err_kind parse_document(const struct jv *doc, struct manifest *m, struct err *e)
{
	struct str config_type = { "", 0 };
	enum err_kind k = parse_head(doc, m, e);

	if (k == ERR_OK)
		k = parse_refs(doc, m, &config_type, e);
	if (k == ERR_OK)
		k = dedupe_refs(m, e);
	if (k == ERR_OK)
		k = parse_annotations(doc, e);
	if (k == ERR_OK)
		k = parse_artifact_type(doc, m, config_type, e);
	return k == ERR_OK ? parse_subject(doc, m, e) : k;
}

static enum err_kind check_kind(struct str media_type, struct manifest *m, struct err *e)
{
	m->kind = media_kind_of(media_type);
	if (m->kind == MEDIA_SCHEMA1)
		return err_set(e, ERR_UNSUPPORTED, __func__,
			       "Docker manifest schema 1 is not accepted: push schema 2 or OCI");
	if (m->kind == MEDIA_OTHER)
		return err_set(e, ERR_UNSUPPORTED, __func__,
			       "Content-Type \"%.*s\" is not a manifest that can be stored",
			       (int)MIN(media_type.n, (size_t)100), media_type.p);
	(void)str_copy(media_type, m->media_type, sizeof(m->media_type)); /* known, so it fits */
	return ERR_OK;
}

enum err_kind manifest_parse(struct str body, struct str media_type, const struct digest *d,
			     unsigned depth_max, struct manifest *ret, struct err *e)
{
	AUTO_JV *doc = NULL;
	AUTO_MANIFEST m = { .digest = *d, .size_bytes = body.n };
	enum err_kind k = check_kind(media_type, &m, e);

	if (k == ERR_OK)
		k = jv_parse_object(body, depth_max, &doc, e);
	if (k == ERR_OK)
		k = parse_document(doc, &m, e);
	if (k != ERR_OK)
		return k;
	*ret = m;
	m = (struct manifest){ 0 };
	return ERR_OK;
}

enum err_kind manifest_type_of(struct str body, unsigned depth_max,
			       char ret[static MEDIA_TYPE_MAX + 1], struct err *e)
{
	AUTO_JV *doc = NULL;
	struct str type = { "", 0 };
	enum err_kind k = jv_parse_object(body, depth_max, &doc, e);

	if (k != ERR_OK)
		return k;
	if (!jv_text(jv_member(doc, "mediaType"), &type) && jv_member(doc, "fsLayers"))
		type = STR(MEDIA_DOCKER_SCHEMA1);
	else if (type.n == 0 && jv_is_array(jv_member(doc, "manifests")))
		type = STR(MEDIA_OCI_INDEX);
	else if (type.n == 0 && jv_is_array(jv_member(doc, "layers")))
		type = STR(MEDIA_OCI_MANIFEST);
	return type.n && str_copy(type, ret, MEDIA_TYPE_MAX + 1)
		   ? ERR_OK
		   : err_set(e, ERR_INVALID, __func__, "it is no manifest");
}

void manifest_clear(struct manifest *m)
{
	free(m->refs);
	free(m->descriptor);
	*m = (struct manifest){ 0 };
}
