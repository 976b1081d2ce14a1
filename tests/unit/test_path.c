#include "server/path.h"

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA "sha256:" A64
#define ID "01234567-89ab-4def-8123-456789abcdef"

static const struct {
	const char *name, *raw;
	enum path_kind kind; /* PATH_KIND_N: no endpoint */
	enum path_fault fault;
	const char *repo, *tag; /* repo "": none */
} paths[] = {
	{ "ping", "/v2/", PATH_PING, PATH_FINE, "", NULL },
	{ "ping without a slash", "/v2", PATH_PING, PATH_FINE, "", NULL },
	{ "catalog", "/v2/_catalog", PATH_CATALOG, PATH_FINE, "", NULL },
	{ "token", "/token", PATH_TOKEN, PATH_FINE, "", NULL },
	{ "published keys", "/.well-known/jwks.json", PATH_JWKS, PATH_FINE, "", NULL },
	{ "nothing below the token", "/token/", PATH_KIND_N, PATH_FINE, NULL, NULL },
	{ "a pattern is no path", "/v2/{name}/tags/list", PATH_TAGS, PATH_BAD_NAME, "", NULL },
	{ "health", "/healthz", PATH_HEALTH, PATH_FINE, "", NULL },
	{ "tags", "/v2/a/tags/list", PATH_TAGS, PATH_FINE, "a", NULL },
	{ "tags of components", "/v2/a/b/c/tags/list", PATH_TAGS, PATH_FINE, "a/b/c", NULL },
	{ "manifest by tag", "/v2/a/manifests/v1", PATH_MANIFEST, PATH_FINE, "a", "v1" },
	{ "manifest by digest", "/v2/a/manifests/" SHA, PATH_MANIFEST, PATH_FINE, "a", NULL },
	{ "blob", "/v2/a/blobs/" SHA, PATH_BLOB, PATH_FINE, "a", NULL },
	{ "sha512", "/v2/a/blobs/sha512:" A64 A64, PATH_BLOB, PATH_FINE, "a", NULL },
	{ "uploads", "/v2/a/blobs/uploads/", PATH_UPLOADS, PATH_FINE, "a", NULL },
	{ "uploads without a slash", "/v2/a/blobs/uploads", PATH_UPLOADS, PATH_FINE, "a", NULL },
	{ "upload", "/v2/a/blobs/uploads/" ID, PATH_UPLOAD, PATH_FINE, "a", NULL },
	{ "referrers", "/v2/a/referrers/" SHA, PATH_REFERRERS, PATH_FINE, "a", NULL },
	/* H2: the endpoint is read from the right */
	{ "repository like an endpoint", "/v2/a/blobs/b/manifests/v1", PATH_MANIFEST, PATH_FINE,
	  "a/blobs/b", "v1" },
	{ "repository like another", "/v2/tags/list/tags/list", PATH_TAGS, PATH_FINE, "tags/list",
	  NULL },
	{ "repository called uploads", "/v2/blobs/uploads/manifests/v1", PATH_MANIFEST, PATH_FINE,
	  "blobs/uploads", "v1" },
	{ "repository called v2", "/v2/v2/tags/list", PATH_TAGS, PATH_FINE, "v2", NULL },
	{ "a tag called list", "/v2/a/tags/manifests/list", PATH_MANIFEST, PATH_FINE, "a/tags",
	  "list" },
	{ "a blob in a repository called blobs", "/v2/a/blobs/blobs/" SHA, PATH_BLOB, PATH_FINE,
	  "a/blobs", NULL },
	{ "an upload of that name", "/v2/a/blobs/blobs/uploads/", PATH_UPLOADS, PATH_FINE,
	  "a/blobs", NULL },
	/* H1: each component is decoded by itself */
	{ "escaped letters", "/v2/%61/manifests/%761", PATH_MANIFEST, PATH_FINE, "a", "v1" },
	{ "escaped colon", "/v2/a/blobs/sha256%3A" A64, PATH_BLOB, PATH_FINE, "a", NULL },
	{ "escaped colon of a manifest", "/v2/a/manifests/sha256%3a" A64, PATH_MANIFEST, PATH_FINE,
	  "a", NULL },
	{ "escaped slash", "/v2/a%2Fb/manifests/v1", PATH_MANIFEST, PATH_BAD_NAME, "", NULL },
	{ "escaped dots", "/v2/%2e%2e/manifests/v1", PATH_MANIFEST, PATH_BAD_NAME, "", NULL },
	{ "escaped NUL", "/v2/a%00/manifests/v1", PATH_MANIFEST, PATH_BAD_NAME, "", NULL },
	{ "bad escape in the name", "/v2/a%zz/manifests/v1", PATH_MANIFEST, PATH_BAD_NAME, "",
	  NULL },
	{ "escaped twice", "/v2/%2561/manifests/v1", PATH_MANIFEST, PATH_BAD_NAME, "", NULL },
	{ "escaped slash in a tag", "/v2/a/manifests/v1%2f", PATH_MANIFEST, PATH_BAD_TAG, "a",
	  NULL },
	{ "escaped NUL in a tag", "/v2/a/manifests/v1%00", PATH_MANIFEST, PATH_BAD_TAG, "a", NULL },
	{ "bad escape in a tag", "/v2/a/manifests/v1%", PATH_MANIFEST, PATH_BAD_TAG, "a", NULL },
	{ "an escaped endpoint is none", "/v2/a/%6danifests/v1", PATH_KIND_N, PATH_FINE, NULL,
	  NULL },
	/* faults */
	{ "upper case", "/v2/A/manifests/v1", PATH_MANIFEST, PATH_BAD_NAME, "", NULL },
	{ "dots", "/v2/../manifests/v1", PATH_MANIFEST, PATH_BAD_NAME, "", NULL },
	{ "empty component", "/v2/a//b/manifests/v1", PATH_MANIFEST, PATH_BAD_NAME, "", NULL },
	{ "empty name", "/v2//manifests/v1", PATH_MANIFEST, PATH_BAD_NAME, "", NULL },
	{ "empty component first", "/v2//a/manifests/v1", PATH_MANIFEST, PATH_BAD_NAME, "", NULL },
	{ "bad tag", "/v2/a/manifests/-v1", PATH_MANIFEST, PATH_BAD_TAG, "a", NULL },
	{ "bad digest of a manifest", "/v2/a/manifests/sha256:aa", PATH_MANIFEST, PATH_BAD_DIGEST,
	  "a", NULL },
	{ "unknown algorithm", "/v2/a/manifests/md5:" A64, PATH_MANIFEST, PATH_BAD_DIGEST, "a",
	  NULL },
	{ "bad digest of a blob", "/v2/a/blobs/v1", PATH_BLOB, PATH_BAD_DIGEST, "a", NULL },
	{ "digest in upper case", "/v2/a/blobs/SHA256:" A64, PATH_BLOB, PATH_BAD_DIGEST, "a",
	  NULL },
	{ "bad subject", "/v2/a/referrers/v1", PATH_REFERRERS, PATH_BAD_DIGEST, "a", NULL },
	{ "bad upload id", "/v2/a/blobs/uploads/1", PATH_UPLOAD, PATH_BAD_UPLOAD, "a", NULL },
	{ "upload id in upper case", "/v2/a/blobs/uploads/01234567-89AB-4def-8123-456789abcdef",
	  PATH_UPLOAD, PATH_BAD_UPLOAD, "a", NULL },
	{ "the name's fault comes first", "/v2/A/manifests/-", PATH_MANIFEST, PATH_BAD_NAME, "",
	  NULL },
	/* no endpoints */
	{ "root", "/", PATH_KIND_N, PATH_FINE, NULL, NULL },
	{ "empty", "", PATH_KIND_N, PATH_FINE, NULL, NULL },
	{ "version 1", "/v1/", PATH_KIND_N, PATH_FINE, NULL, NULL },
	{ "version 2x", "/v2x", PATH_KIND_N, PATH_FINE, NULL, NULL },
	{ "name only", "/v2/a", PATH_KIND_N, PATH_FINE, NULL, NULL },
	{ "name and endpoint", "/v2/a/manifests", PATH_KIND_N, PATH_FINE, NULL, NULL },
	{ "endpoint without a name", "/v2/manifests/v1", PATH_KIND_N, PATH_FINE, NULL, NULL },
	{ "uploads without a name", "/v2/blobs/uploads/", PATH_KIND_N, PATH_FINE, NULL, NULL },
	{ "empty reference", "/v2/a/manifests/", PATH_KIND_N, PATH_FINE, NULL, NULL },
	{ "slash after the tags", "/v2/a/tags/list/", PATH_KIND_N, PATH_FINE, NULL, NULL },
	{ "tags and something", "/v2/a/tags/all", PATH_KIND_N, PATH_FINE, NULL, NULL },
	{ "slash after the catalog", "/v2/_catalog/", PATH_KIND_N, PATH_FINE, NULL, NULL },
	{ "two slashes first", "//v2/", PATH_KIND_N, PATH_FINE, NULL, NULL },
	{ "health and something", "/healthz/", PATH_KIND_N, PATH_FINE, NULL, NULL },
	{ "case of the endpoint", "/v2/a/Manifests/v1", PATH_KIND_N, PATH_FINE, NULL, NULL },
};

static void test_parse(void **state)
{
	__typeof__(&paths[0]) c = *state;
	struct path p;
	bool ok = path_parse(str_of(c->raw), &p);

	if (!c->repo) {
		assert_false(ok);
		return;
	}
	assert_true(ok);
	assert_int_equal(p.kind, c->kind);
	assert_int_equal(p.fault, c->fault);
	if (c->fault != PATH_FINE)
		return;
	assert_string_equal(p.repo.s, c->repo);
	assert_string_equal(p.tag.s, c->tag ? c->tag : "");
	assert_int_equal(p.has_digest, strstr(c->raw, "sha") != NULL);
	if (p.has_digest)
		assert_int_equal(p.digest.bytes[0], 0xaa);
	if (c->kind == PATH_UPLOAD)
		assert_int_equal(p.upload.bytes[0], 0x01);
}

static void test_lengths(void **state)
{
	char raw[2000];
	struct path p;

	(void)state;
	memcpy(raw, "/v2/", 4);
	for (unsigned n = 254; n <= 258; n++) {
		memset(raw + 4, 'a', n);
		memcpy(raw + 4 + n, "/tags/list", 11);
		assert_true(path_parse(str_of(raw), &p));
		assert_int_equal(p.fault, n <= 255 ? PATH_FINE : PATH_BAD_NAME);
	}
	for (unsigned n = 250; n <= 260;
	     n++) { /* the end of the buffer for names, met by a slash */
		memset(raw + 4, 'a', n);
		memcpy(raw + 4 + n, "/b/tags/list", 13);
		assert_true(path_parse(str_of(raw), &p));
		assert_int_equal(p.fault, n <= 253 ? PATH_FINE : PATH_BAD_NAME);
	}
	for (unsigned n = 127; n <= 300; n++) { /* a tag, as long as the buffer for it and longer */
		memcpy(raw, "/v2/a/manifests/", 16);
		memset(raw + 16, 't', n);
		raw[16 + n] = '\0';
		assert_true(path_parse(str_of(raw), &p));
		assert_int_equal(p.fault, n <= 128 ? PATH_FINE : PATH_BAD_TAG);
	}
}

/* As many components as a name can have, and more. */
static void test_components(void **state)
{
	AUTO_SBUF raw;
	struct path p;

	(void)state;
	sbuf_init(&raw, 100000);
	for (unsigned n = 126; n <= 140; n++) {
		sbuf_clear(&raw);
		sbuf_add_str(&raw, STR("/v2"));
		for (unsigned i = 0; i < n; i++)
			sbuf_add_str(&raw, STR("/a"));
		sbuf_add_str(&raw, STR("/blobs/uploads/" ID));
		if (path_parse((struct str){ raw.p, raw.n }, &p))
			assert_int_equal(p.fault, n <= 128 ? PATH_FINE : PATH_BAD_NAME);
		else
			assert_in_range(n, 129, 140); /* so long that it is not even looked at */
	}
	sbuf_clear(&raw);
	sbuf_add_str(&raw, STR("/v2"));
	for (unsigned i = 0; i < 10000; i++)
		sbuf_add_str(&raw, STR("/a"));
	assert_false(path_parse((struct str){ raw.p, raw.n }, &p));
}

static void test_patterns(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PATH_KIND_N; i++)
		assert_int_equal(path_pattern((enum path_kind)i)[0], '/');
	assert_string_equal(path_pattern(PATH_UPLOAD), "/v2/{name}/blobs/uploads/{id}");
}

int main(void)
{
	UNIT_TABLE("path", test_parse, paths);
	unit_case("names and tags at their greatest length", test_lengths);
	unit_case("many components", test_components);
	unit_case("patterns", test_patterns);
	return unit_run();
}
