#include "base/mediatype.h"
#include "tests/lib/unit.h"

static const struct {
	const char *name, *type;
	enum media_kind kind;
	bool docker, nondistributable, valid;
} types[] = {
	{ "OCI manifest", MEDIA_OCI_MANIFEST, MEDIA_MANIFEST, false, false, true },
	{ "OCI index", MEDIA_OCI_INDEX, MEDIA_INDEX, false, false, true },
	{ "Docker manifest", MEDIA_DOCKER_MANIFEST, MEDIA_MANIFEST, true, false, true },
	{ "Docker list", MEDIA_DOCKER_LIST, MEDIA_INDEX, true, false, true },
	{ "schema 1", "application/vnd.docker.distribution.manifest.v1+json", MEDIA_SCHEMA1, true,
	  false, true },
	{ "signed schema 1", "application/vnd.docker.distribution.manifest.v1+prettyjws",
	  MEDIA_SCHEMA1, true, false, true },
	{ "case differs", "application/vnd.OCI.image.index.v1+json", MEDIA_OTHER, false, false,
	  true },
	{ "JSON", MEDIA_JSON, MEDIA_OTHER, false, false, true },
	{ "layer", "application/vnd.oci.image.layer.v1.tar+gzip", MEDIA_OTHER, false, false, true },
	{ "OCI non-distributable layer", "application/vnd.oci.image.layer.nondistributable.v1.tar",
	  MEDIA_OTHER, false, true, true },
	{ "the same, compressed", "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
	  MEDIA_OTHER, false, true, true },
	{ "Docker foreign layer", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
	  MEDIA_OTHER, false, true, true },
	{ "Docker foreign layer, plain", "application/vnd.docker.image.rootfs.foreign.diff.tar",
	  MEDIA_OTHER, false, true, true },
	{ "empty", "", MEDIA_OTHER, false, false, false },
	{ "no slash", "application", MEDIA_OTHER, false, false, false },
	{ "two slashes", "a/b/c", MEDIA_OTHER, false, false, false },
	{ "nothing before the slash", "/json", MEDIA_OTHER, false, false, false },
	{ "nothing after the slash", "text/", MEDIA_OTHER, false, false, false },
	{ "parameters", "text/plain;charset=utf-8", MEDIA_OTHER, false, false, false },
	{ "all special characters", "a!#$&-^_.+/0!#$&-^_.+", MEDIA_OTHER, false, false, true },
	{ "special character first", "+a/b", MEDIA_OTHER, false, false, false },
	{ "special character first after the slash", "a/.b", MEDIA_OTHER, false, false, false },
	{ "blank", "text/pl ain", MEDIA_OTHER, false, false, false },
	{ "quote", "text/\"x\"", MEDIA_OTHER, false, false, false },
	{ "not ASCII", "text/\xc3\xa4", MEDIA_OTHER, false, false, false },
	{ "capitals", "Text/HTML", MEDIA_OTHER, false, false, true },
};

static void test_type(void **state)
{
	__typeof__(&types[0]) c = *state;
	struct str type = str_of(c->type);

	assert_int_equal(media_kind_of(type), c->kind);
	assert_int_equal(media_is_docker(type), c->docker);
	assert_int_equal(media_is_nondistributable(type), c->nondistributable);
	assert_int_equal(media_type_is_valid(type), c->valid);
}

static void test_length(void **state)
{
	char text[300];

	(void)state;
	memset(text, 'a', sizeof(text));
	text[127] = '/';
	assert_true(media_type_is_valid((struct str){ text, MEDIA_TYPE_MAX }));
	assert_false(media_type_is_valid((struct str){ text, MEDIA_TYPE_MAX + 1 }));
	text[127] = 'a';
	text[128] = '/';
	assert_false(media_type_is_valid((struct str){ text, 200 }));
}

static const struct {
	const char *name, *field, *bare;
} fields[] = {
	{ "bare", "text/plain", "text/plain" },
	{ "parameter", "text/plain; charset=utf-8", "text/plain" },
	{ "no blank", "text/plain;q=1;r=2", "text/plain" },
	{ "blanks", " \ttext/plain ", "text/plain" },
	{ "only parameters", "; a=b", "" },
	{ "empty", "", "" },
};

static void test_bare(void **state)
{
	__typeof__(&fields[0]) c = *state;

	assert_true(str_eq(media_type_bare(str_of(c->field)), str_of(c->bare)));
}

int main(void)
{
	UNIT_TABLE("type", test_type, types);
	unit_case("127 bytes on each side", test_length);
	UNIT_TABLE("without parameters", test_bare, fields);
	return unit_run();
}
