#include "base/jv.h"
#include "storage/manifest.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define HEX(c)                                                                                     \
	c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c  \
	    c c c c c c c c c c c c c c c c c c c
#define SHA(c) "sha256:" HEX(c)
#define DESC(type, digest, size)                                                                   \
	"{\"mediaType\":\"" type "\",\"digest\":\"" digest "\",\"size\":" size "}"
#define CONFIG_TYPE "application/vnd.oci.image.config.v1+json"
#define LAYER_TYPE "application/vnd.oci.image.layer.v1.tar"
#define FOREIGN_TYPE "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
#define CONFIG DESC(CONFIG_TYPE, SHA("a"), "1")
#define LAYER DESC(LAYER_TYPE, SHA("b"), "2")
#define SUBJECT DESC(MEDIA_OCI_MANIFEST, SHA("e"), "9")
#define CHILD DESC(MEDIA_OCI_MANIFEST, SHA("c"), "3")
/* A document with some members more. */
#define IMAGE(more) "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" LAYER "]" more "}"
#define INDEX(more) "{\"schemaVersion\":2,\"manifests\":[" CHILD "]" more "}"
#define WITH_CONFIG(c) "{\"schemaVersion\":2,\"config\":" c ",\"layers\":[]}"
#define WITH_LAYERS(l) "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":" l "}"

static enum err_kind parse(const char *body, const char *type, struct manifest *ret, struct err *e)
{
	struct digest d = digest_of(body);

	return manifest_parse(str_of(body), str_of(type), &d, 16, ret, e);
}

static const struct bad {
	const char *name, *type, *body;
	enum err_kind kind;
	const char *message;
} refused[] = {
	{ "no media type", "", IMAGE(""), ERR_UNSUPPORTED, "Content-Type \"\"" },
	{ "any media type", "text/plain", IMAGE(""), ERR_UNSUPPORTED,
	  "Content-Type \"text/plain\"" },
	{ "a layer's media type", LAYER_TYPE, IMAGE(""), ERR_UNSUPPORTED, "not a manifest" },
	{ "schema 1", "application/vnd.docker.distribution.manifest.v1+json", IMAGE(""),
	  ERR_UNSUPPORTED, "schema 1 is not accepted" },
	{ "signed schema 1", "application/vnd.docker.distribution.manifest.v1+prettyjws", IMAGE(""),
	  ERR_UNSUPPORTED, "schema 1 is not accepted" },
	{ "no JSON", MEDIA_OCI_MANIFEST, "manifest", ERR_INVALID, "not valid JSON" },
	{ "empty", MEDIA_OCI_MANIFEST, "", ERR_INVALID, "not valid JSON" },
	{ "a list", MEDIA_OCI_MANIFEST, "[]", ERR_INVALID, "not an object" },
	{ "duplicate member", MEDIA_OCI_MANIFEST, IMAGE(",\"config\":" CONFIG), ERR_INVALID,
	  "duplicate" },
	{ "bytes after the end", MEDIA_OCI_MANIFEST, IMAGE("") "x", ERR_INVALID, "not valid JSON" },
	{ "too deep", MEDIA_OCI_MANIFEST, IMAGE(",\"x\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"),
	  ERR_INVALID, "nested deeper than 16" },
	{ "no schemaVersion", MEDIA_OCI_MANIFEST, "{\"config\":" CONFIG ",\"layers\":[]}",
	  ERR_INVALID, "schemaVersion must be 2" },
	{ "schemaVersion 1", MEDIA_OCI_MANIFEST, "{\"schemaVersion\":1}", ERR_INVALID,
	  "schemaVersion must be 2" },
	{ "schemaVersion as text", MEDIA_OCI_MANIFEST, "{\"schemaVersion\":\"2\"}", ERR_INVALID,
	  "schemaVersion must be 2" },
	{ "schemaVersion as a real", MEDIA_OCI_MANIFEST, "{\"schemaVersion\":2.0}", ERR_INVALID,
	  "schemaVersion must be 2" },
	{ "other mediaType inside", MEDIA_OCI_MANIFEST,
	  IMAGE(",\"mediaType\":\"" MEDIA_DOCKER_MANIFEST "\""), ERR_INVALID,
	  "is not the Content-Type " MEDIA_OCI_MANIFEST },
	{ "index inside an image's type", MEDIA_OCI_MANIFEST,
	  INDEX(",\"mediaType\":\"" MEDIA_OCI_INDEX "\""), ERR_INVALID, "is not the Content-Type" },
	{ "mediaType is no text", MEDIA_OCI_MANIFEST, IMAGE(",\"mediaType\":7"), ERR_INVALID,
	  "is not the Content-Type" },
	{ "Config", MEDIA_OCI_MANIFEST, IMAGE(",\"Config\":" CONFIG), ERR_INVALID,
	  "key \"Config\" must be \"config\"" },
	{ "LAYERS", MEDIA_OCI_MANIFEST, IMAGE(",\"LAYERS\":[]"), ERR_INVALID,
	  "must be \"layers\"" },
	{ "Subject", MEDIA_OCI_MANIFEST, IMAGE(",\"Subject\":{}"), ERR_INVALID,
	  "must be \"subject\"" },
	{ "Manifests in an image", MEDIA_OCI_MANIFEST, IMAGE(",\"Manifests\":[]"), ERR_INVALID,
	  "must be \"manifests\"" },
	{ "schemaversion", MEDIA_OCI_MANIFEST, IMAGE(",\"schemaversion\":1"), ERR_INVALID,
	  "must be \"schemaVersion\"" },
	{ "MediaType", MEDIA_OCI_MANIFEST, IMAGE(",\"MediaType\":\"x\""), ERR_INVALID,
	  "must be \"mediaType\"" },
	{ "artifacttype", MEDIA_OCI_MANIFEST, IMAGE(",\"artifacttype\":\"x\""), ERR_INVALID,
	  "must be \"artifactType\"" },
	{ "Annotations", MEDIA_OCI_MANIFEST, IMAGE(",\"Annotations\":{}"), ERR_INVALID,
	  "must be \"annotations\"" },
	{ "fsLayers", MEDIA_OCI_MANIFEST, IMAGE(",\"fsLayers\":[]"), ERR_INVALID,
	  "fsLayers belongs" },
	{ "fslayers", MEDIA_OCI_MANIFEST, IMAGE(",\"fslayers\":[]"), ERR_INVALID,
	  "must be \"fsLayers\"" },
	{ "manifests in an image", MEDIA_OCI_MANIFEST, IMAGE(",\"manifests\":[]"), ERR_INVALID,
	  "must not list manifests" },
	{ "layers in an index", MEDIA_OCI_INDEX, INDEX(",\"layers\":[]"), ERR_INVALID,
	  "must not have layers or a config" },
	{ "config in an index", MEDIA_OCI_INDEX, INDEX(",\"config\":" CONFIG), ERR_INVALID,
	  "must not have layers or a config" },
	{ "fsLayers in an index", MEDIA_DOCKER_LIST, INDEX(",\"fsLayers\":[]"), ERR_INVALID,
	  "fsLayers belongs" },
	{ "image as an index", MEDIA_OCI_INDEX, IMAGE(""), ERR_INVALID, "must not have layers" },
	{ "index as an image", MEDIA_OCI_MANIFEST, INDEX(""), ERR_INVALID,
	  "must not list manifests" },
	{ "no config", MEDIA_OCI_MANIFEST, "{\"schemaVersion\":2,\"layers\":[]}", ERR_INVALID,
	  "config is not a descriptor" },
	{ "config is text", MEDIA_OCI_MANIFEST, WITH_CONFIG("\"x\""), ERR_INVALID,
	  "config is not a descriptor" },
	{ "config is null", MEDIA_OCI_MANIFEST, WITH_CONFIG("null"), ERR_INVALID,
	  "config is not a descriptor" },
	{ "config is a list", MEDIA_OCI_MANIFEST, WITH_CONFIG("[]"), ERR_INVALID,
	  "config is not a descriptor" },
	{ "config without mediaType", MEDIA_OCI_MANIFEST,
	  WITH_CONFIG("{\"digest\":\"" SHA("a") "\",\"size\":1}"), ERR_INVALID,
	  "config has no valid mediaType" },
	{ "config with a bad mediaType", MEDIA_OCI_MANIFEST,
	  WITH_CONFIG(DESC("json", SHA("a"), "1")), ERR_INVALID, "config has no valid mediaType" },
	{ "config without digest", MEDIA_OCI_MANIFEST,
	  WITH_CONFIG("{\"mediaType\":\"a/b\",\"size\":1}"), ERR_INVALID,
	  "config has no valid sha256" },
	{ "config with an unknown algorithm", MEDIA_OCI_MANIFEST,
	  WITH_CONFIG(DESC("a/b", "md5:d41d8cd98f00b204e9800998ecf8427e", "1")), ERR_INVALID,
	  "config has no valid sha256" },
	{ "config with an upper case digest", MEDIA_OCI_MANIFEST,
	  WITH_CONFIG(DESC("a/b", SHA("A"), "1")), ERR_INVALID, "config has no valid sha256" },
	{ "config without size", MEDIA_OCI_MANIFEST,
	  WITH_CONFIG("{\"mediaType\":\"a/b\",\"digest\":\"" SHA("a") "\"}"), ERR_INVALID,
	  "config has no valid size" },
	{ "negative size", MEDIA_OCI_MANIFEST, WITH_CONFIG(DESC("a/b", SHA("a"), "-1")),
	  ERR_INVALID, "config has no valid size" },
	{ "size as a real", MEDIA_OCI_MANIFEST, WITH_CONFIG(DESC("a/b", SHA("a"), "1.5")),
	  ERR_INVALID, "config has no valid size" },
	{ "size as text", MEDIA_OCI_MANIFEST, WITH_CONFIG(DESC("a/b", SHA("a"), "\"1\"")),
	  ERR_INVALID, "config has no valid size" },
	{ "size beyond 63 bits", MEDIA_OCI_MANIFEST,
	  WITH_CONFIG(DESC("a/b", SHA("a"), "9223372036854775808")), ERR_INVALID,
	  "not valid JSON" },
	{ "no layers", MEDIA_OCI_MANIFEST, "{\"schemaVersion\":2,\"config\":" CONFIG "}",
	  ERR_INVALID, "layers is missing" },
	{ "layers is an object", MEDIA_OCI_MANIFEST, WITH_LAYERS("{}"), ERR_INVALID,
	  "layers is missing" },
	{ "layers is null", MEDIA_OCI_MANIFEST, WITH_LAYERS("null"), ERR_INVALID,
	  "layers is missing" },
	{ "a layer is null", MEDIA_OCI_MANIFEST, WITH_LAYERS("[" LAYER ",null]"), ERR_INVALID,
	  "layers[1] is not a descriptor" },
	{ "a layer without a digest", MEDIA_OCI_MANIFEST, WITH_LAYERS("[{\"mediaType\":\"a/b\"}]"),
	  ERR_INVALID, "layers[0] has no valid sha256" },
	{ "no manifests", MEDIA_OCI_INDEX, "{\"schemaVersion\":2}", ERR_INVALID,
	  "manifests is missing" },
	{ "manifests is text", MEDIA_OCI_INDEX, "{\"schemaVersion\":2,\"manifests\":\"x\"}",
	  ERR_INVALID, "manifests is missing" },
	{ "a child without a size", MEDIA_OCI_INDEX,
	  "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"a/b\",\"digest\":\"" SHA(
	      "c") "\"}]}",
	  ERR_INVALID, "manifests[0] has no valid size" },
	{ "one digest with two sizes", MEDIA_OCI_MANIFEST,
	  WITH_LAYERS("[" LAYER "," DESC(LAYER_TYPE, SHA("b"), "3") "]"), ERR_INVALID,
	  "one digest is listed with two sizes" },
	{ "config and layer of two sizes", MEDIA_OCI_MANIFEST,
	  WITH_LAYERS("[" DESC(LAYER_TYPE, SHA("a"), "2") "]"), ERR_INVALID,
	  "one digest is listed with two sizes" },
	{ "annotations is a list", MEDIA_OCI_MANIFEST, IMAGE(",\"annotations\":[]"), ERR_INVALID,
	  "annotations is not an object" },
	{ "annotations is null", MEDIA_OCI_MANIFEST, IMAGE(",\"annotations\":null"), ERR_INVALID,
	  "annotations is not an object" },
	{ "annotation that is a number", MEDIA_OCI_MANIFEST,
	  IMAGE(",\"annotations\":{\"a\":\"x\",\"b\":1}"), ERR_INVALID,
	  "annotation \"b\" is not a string" },
	{ "artifactType is no text", MEDIA_OCI_MANIFEST, IMAGE(",\"artifactType\":1"), ERR_INVALID,
	  "artifactType is not a media type" },
	{ "artifactType is no media type", MEDIA_OCI_MANIFEST, IMAGE(",\"artifactType\":\"sbom\""),
	  ERR_INVALID, "artifactType is not a media type" },
	{ "subject is text", MEDIA_OCI_MANIFEST, IMAGE(",\"subject\":\"" SHA("e") "\""),
	  ERR_INVALID, "subject is not a descriptor" },
	{ "subject is null", MEDIA_OCI_MANIFEST, IMAGE(",\"subject\":null"), ERR_INVALID,
	  "subject is not a descriptor" },
	{ "subject without a digest", MEDIA_OCI_MANIFEST,
	  IMAGE(",\"subject\":{\"mediaType\":\"a/b\",\"size\":1}"), ERR_INVALID,
	  "subject has no valid sha256" },
	{ "subject of an index without a size", MEDIA_OCI_INDEX,
	  INDEX(",\"subject\":{\"mediaType\":\"a/b\",\"digest\":\"" SHA("e") "\"}"), ERR_INVALID,
	  "subject has no valid size" },
};

static void test_refused(void **state)
{
	const struct bad *c = *state;
	struct manifest m = { .n_refs = 77 };
	struct err e;

	assert_err(parse(c->body, c->type, &m, &e), c->kind, &e, c->message);
	assert_int_equal(m.n_refs, 77);
}

static const struct good {
	const char *name, *type, *body;
	size_t n_refs;
	const char *artifact_type;
	bool has_subject;
} taken[] = {
	{ "OCI image", MEDIA_OCI_MANIFEST, IMAGE(""), 2, CONFIG_TYPE, false },
	{ "OCI image that says so", MEDIA_OCI_MANIFEST,
	  IMAGE(",\"mediaType\":\"" MEDIA_OCI_MANIFEST "\""), 2, CONFIG_TYPE, false },
	{ "Docker image", MEDIA_DOCKER_MANIFEST,
	  IMAGE(",\"mediaType\":\"" MEDIA_DOCKER_MANIFEST "\""), 2, CONFIG_TYPE, false },
	{ "image without layers", MEDIA_OCI_MANIFEST, WITH_LAYERS("[]"), 1, CONFIG_TYPE, false },
	{ "one layer twice", MEDIA_OCI_MANIFEST, WITH_LAYERS("[" LAYER "," LAYER "]"), 2,
	  CONFIG_TYPE, false },
	{ "layer and config are one", MEDIA_OCI_MANIFEST,
	  WITH_LAYERS("[" DESC(LAYER_TYPE, SHA("a"), "1") "]"), 1, CONFIG_TYPE, false },
	{ "OCI index", MEDIA_OCI_INDEX, INDEX(""), 1, "", false },
	{ "Docker list", MEDIA_DOCKER_LIST, INDEX(""), 1, "", false },
	{ "empty index", MEDIA_OCI_INDEX, "{\"schemaVersion\":2,\"manifests\":[]}", 0, "", false },
	{ "artifact", MEDIA_OCI_MANIFEST, IMAGE(",\"artifactType\":\"application/sbom\""), 2,
	  "application/sbom", false },
	{ "empty artifactType", MEDIA_OCI_MANIFEST, IMAGE(",\"artifactType\":\"\""), 2, CONFIG_TYPE,
	  false },
	{ "referrer", MEDIA_OCI_MANIFEST,
	  IMAGE(",\"artifactType\":\"application/sbom\",\"subject\":" SUBJECT), 2,
	  "application/sbom", true },
	{ "index as a referrer", MEDIA_OCI_INDEX,
	  INDEX(",\"artifactType\":\"application/sbom\",\"subject\":" SUBJECT), 1,
	  "application/sbom", true },
	{ "index as a referrer of no type", MEDIA_OCI_INDEX, INDEX(",\"subject\":" SUBJECT), 1, "",
	  true },
	{ "members that nobody knows", MEDIA_OCI_MANIFEST, IMAGE(",\"x\":[1,{\"Config\":null}]"), 2,
	  CONFIG_TYPE, false },
	{ "annotations", MEDIA_OCI_MANIFEST, IMAGE(",\"annotations\":{\"a\":\"x\"}"), 2,
	  CONFIG_TYPE, false },
	{ "size 0", MEDIA_OCI_MANIFEST, WITH_CONFIG(DESC("a/b", SHA("a"), "0")), 1, "a/b", false },
	{ "the greatest size", MEDIA_OCI_MANIFEST,
	  WITH_CONFIG(DESC("a/b", SHA("a"), "9223372036854775807")), 1, "a/b", false },
	{ "sha512", MEDIA_OCI_MANIFEST,
	  WITH_LAYERS("[" DESC(LAYER_TYPE, "sha512:" HEX("b") HEX("b"), "2") "]"), 2, CONFIG_TYPE,
	  false },
};

static void test_taken(void **state)
{
	const struct good *c = *state;
	AUTO_MANIFEST m = { 0 };
	struct digest d = digest_of(c->body);
	struct err e;

	assert_ok(parse(c->body, c->type, &m, &e), &e);
	assert_true(digest_eq(&m.digest, &d));
	assert_int_equal(m.size_bytes, strlen(c->body));
	assert_string_equal(m.media_type, c->type);
	assert_string_equal(m.artifact_type, c->artifact_type);
	assert_int_equal(m.kind, media_kind_of(str_of(c->type)));
	assert_int_equal(m.n_refs, c->n_refs);
	for (size_t i = 1; i < m.n_refs; i++) /* sorted, each once */
		assert_true(memcmp(&m.refs[i - 1].digest, &m.refs[i].digest, sizeof(d)) < 0);
	assert_int_equal(m.has_subject, c->has_subject);
	assert_int_equal(m.descriptor != NULL, c->has_subject);
}

static void test_refs(void **state)
{
	AUTO_MANIFEST image = { 0 }, index = { 0 };
	struct err e;

	(void)state;
	assert_ok(parse(IMAGE(""), MEDIA_OCI_MANIFEST, &image, &e), &e);
	assert_int_equal(image.refs[0].kind, REF_CONFIG);
	assert_int_equal(image.refs[0].size_bytes, 1);
	assert_int_equal(image.refs[0].digest.bytes[31], 0xaa);
	assert_int_equal(image.refs[1].kind, REF_LAYER);
	assert_int_equal(image.refs[1].size_bytes, 2);
	assert_ok(parse(INDEX(""), MEDIA_OCI_INDEX, &index, &e), &e);
	assert_int_equal(index.refs[0].kind, REF_CHILD);
	assert_int_equal(index.refs[0].size_bytes, 3);
	assert_false(image.refs[0].may_be_absent || image.refs[1].may_be_absent ||
		     index.refs[0].may_be_absent);
}

/* A layer that need not be pushed; what is named in another role as well must be there. */
static const struct {
	const char *name, *body;
	bool may_be_absent; /* the layer of digest b, or a */
} foreign[] = {
	{ "alone", WITH_LAYERS("[" DESC(FOREIGN_TYPE, SHA("b"), "2") "]"), true },
	{ "twice",
	  WITH_LAYERS(
	      "[" DESC(FOREIGN_TYPE, SHA("b"), "2") "," DESC(FOREIGN_TYPE, SHA("b"), "2") "]"),
	  true },
	{ "as another layer too", WITH_LAYERS("[" DESC(FOREIGN_TYPE, SHA("b"), "2") "," LAYER "]"),
	  false },
	{ "as another layer before",
	  WITH_LAYERS("[" LAYER "," DESC(FOREIGN_TYPE, SHA("b"), "2") "]"), false },
	{ "as the config too", WITH_LAYERS("[" DESC(FOREIGN_TYPE, SHA("a"), "1") "]"), false },
	{ "only as the config", WITH_CONFIG(DESC(FOREIGN_TYPE, SHA("a"), "1")), false },
};

static void test_foreign(void **state)
{
	__typeof__(&foreign[0]) c = *state;
	AUTO_MANIFEST m = { 0 };
	struct err e;

	assert_ok(parse(c->body, MEDIA_OCI_MANIFEST, &m, &e), &e);
	assert_int_equal(m.refs[m.n_refs - 1].may_be_absent, c->may_be_absent);
}

/* distribution-spec "Listing Referrers": what the list says of a referrer. */
static void test_descriptor(void **state)
{
	static const char body[] =
	    IMAGE(",\"artifactType\":\"application/sbom\",\"subject\":" SUBJECT
		  ",\"annotations\":{\"org.a\":\"\xc3\xa4\\n\",\"b\":\"\"}");
	AUTO_MANIFEST m = { 0 }, plain = { 0 };
	AUTO_JV *v = NULL;
	char digest[DIGEST_TEXT_MAX];
	struct str text;
	uint64_t size;
	struct err e;

	(void)state;
	assert_ok(parse(body, MEDIA_OCI_MANIFEST, &m, &e), &e);
	assert_int_equal(m.subject.bytes[0], 0xee);
	assert_ok(jv_parse_object(str_of(m.descriptor), 8, &v, &e), &e);
	assert_true(jv_text(jv_member(v, "mediaType"), &text));
	assert_str(text, MEDIA_OCI_MANIFEST);
	assert_true(jv_text(jv_member(v, "digest"), &text));
	assert_true(str_eq(text, str_of(digest_text(&m.digest, digest))));
	assert_true(jv_uint(jv_member(v, "size"), &size) && size == sizeof(body) - 1);
	assert_true(jv_text(jv_member(v, "artifactType"), &text));
	assert_str(text, "application/sbom");
	assert_true(jv_text(jv_member(jv_member(v, "annotations"), "org.a"), &text));
	assert_str(text, "\xc3\xa4\n");
	assert_true(jv_text(jv_member(jv_member(v, "annotations"), "b"), &text));
	jv_free(&v);
	/* neither annotations nor a type: the members are left out */
	assert_ok(parse(INDEX(",\"subject\":" SUBJECT), MEDIA_OCI_INDEX, &plain, &e), &e);
	assert_ok(jv_parse_object(str_of(plain.descriptor), 8, &v, &e), &e);
	assert_null(jv_member(v, "annotations"));
	assert_null(jv_member(v, "artifactType"));
}

/* Many references cost no more than their number. */
static void test_many(void **state)
{
	AUTO_SBUF b;
	AUTO_MANIFEST m = { 0 };
	struct err e;

	(void)state;
	sbuf_init(&b, SBUF_MAX);
	sbuf_add_str(&b, STR("{\"schemaVersion\":2,\"manifests\":["));
	for (unsigned i = 0; i < 10000; i++)
		sbuf_addf(&b, "%s{\"mediaType\":\"a/b\",\"digest\":\"sha256:%064x\",\"size\":%u}",
			  i ? "," : "", i % 5000, i % 5000);
	sbuf_add_str(&b, STR("]}"));
	assert_ok(parse(b.p, MEDIA_OCI_INDEX, &m, &e), &e);
	assert_int_equal(m.n_refs, 5000);
}

static void test_clear(void **state)
{
	struct manifest m = { 0 };
	struct err e;

	(void)state;
	manifest_clear(&m);
	assert_ok(parse(IMAGE(",\"subject\":" SUBJECT), MEDIA_OCI_MANIFEST, &m, &e), &e);
	manifest_clear(&m);
	assert_true(!m.refs && !m.descriptor && m.n_refs == 0);
	manifest_clear(&m);
}

static const struct {
	const char *name, *body, *type; /* type NULL: refused */
} types[] = {
	{ "says so", "{\"mediaType\":\"" MEDIA_DOCKER_LIST "\",\"layers\":[]}", MEDIA_DOCKER_LIST },
	{ "says something else", "{\"mediaType\":\"a/b\"}", "a/b" },
	{ "an image", "{\"config\":{},\"layers\":[]}", MEDIA_OCI_MANIFEST },
	{ "an index", "{\"manifests\":[]}", MEDIA_OCI_INDEX },
	{ "schema 1", "{\"schemaVersion\":1,\"fsLayers\":[]}", MEDIA_DOCKER_SCHEMA1 },
	{ "neither", "{\"schemaVersion\":2}", NULL },
	{ "an empty type", "{\"mediaType\":\"\"}", NULL },
	{ "a list", "[]", NULL },
	{ "nested too deep", "{\"manifests\":[[[[[[[[1]]]]]]]]}", NULL },
};

static void test_type_of(void **state)
{
	__typeof__(&types[0]) c = *state;
	char type[MEDIA_TYPE_MAX + 1];
	struct err e;
	enum err_kind k = manifest_type_of(str_of(c->body), 8, type, &e);

	assert_int_equal(k, c->type ? ERR_OK : ERR_INVALID);
	if (c->type)
		assert_string_equal(type, c->type);
}

static void test_type_too_long(void **state)
{
	char type[MEDIA_TYPE_MAX + 1], body[MEDIA_TYPE_MAX + 64];
	struct err e;

	(void)state;
	(void)snprintf(body, sizeof(body), "{\"mediaType\":\"a/%0*d\"}", MEDIA_TYPE_MAX - 1, 0);
	assert_err(manifest_type_of(str_of(body), 8, type, &e), ERR_INVALID, &e, "no manifest");
}

int main(void)
{
	UNIT_TABLE("the type of one that", test_type_of, types);
	unit_case("a type that is too long", test_type_too_long);
	UNIT_TABLE("refused", test_refused, refused);
	UNIT_TABLE("taken", test_taken, taken);
	unit_case("references", test_refs);
	UNIT_TABLE("non-distributable layer", test_foreign, foreign);
	unit_case("a referrer's descriptor", test_descriptor);
	unit_case("ten thousand references", test_many);
	unit_case("clear", test_clear);
	return unit_run();
}
