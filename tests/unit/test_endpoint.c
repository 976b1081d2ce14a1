#include "server/endpoint.h"

#include "server/conf.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

/* An entry as it would stand in a list of the configuration; the list is what it borrows from. */
static struct jv *entry_of(const char *text)
{
	AUTO_SBUF list = { .max = SBUF_MAX };
	struct jv *v = NULL;
	struct err e;

	sbuf_addf(&list, "[%s]", text);
	assert_ok(conf_parse_list((struct str){ list.p, list.n }, "test", &v, &e), &e);
	return v;
}

static enum err_kind open_endpoint(const struct jv *list, struct endpoint *ret, struct err *e)
{
	enum err_kind k = endpoint_parse(jv_at(list, 0), NULL, ret, e);

	return k == ERR_OK ? endpoint_read(ret, e) : k;
}

static const struct bad_case {
	const char *entry, *why;
	enum err_kind kind;
} bad[] = {
	{ "{url: \"https://a.test/\"}", "name must be a text", ERR_INVALID },
	{ "{name: a}", "url must be", ERR_INVALID },
	{ "{name: A, url: \"https://a.test/\"}", "a name has letters", ERR_INVALID },
	{ "{name: a, url: \"http://a.test/\"}", "http:// is for this machine", ERR_INVALID },
	{ "{name: a, url: \"http://169.254.169.254/\"}", "http:// is for this machine",
	  ERR_INVALID },
	{ "{name: a, url: \"http://127.0.0.1.a.test/\"}", "http:// is for this machine",
	  ERR_INVALID },
	{ "{name: a, url: \"gopher://a.test/\", insecure: true}", "url must be", ERR_INVALID },
	{ "{name: a, url: \"https://u:p@a.test/\", insecure: true}", "without a user",
	  ERR_INVALID },
	{ "{name: a, url: \"https://a.test/\", format: xml}", "format is", ERR_INVALID },
	{ "{name: a, url: \"https://a.test/\", actions: [push, pull]}", "\"pull\": actions are",
	  ERR_INVALID },
	{ "{name: a, url: \"https://a.test/\", repositories: \"a**b\"}", "the pattern",
	  ERR_INVALID },
	{ "{name: a, url: \"https://a.test/\", insecure: maybe}", "true or false", ERR_INVALID },
	{ "{name: a, url: \"https://a.test/\", colour: red}", "colour", ERR_INVALID },
	{ "{name: a, url: \"https://a.test/\", secret: /nowhere/x}", "/nowhere/x", ERR_NOT_FOUND },
	{ "a", "must be a structure", ERR_INVALID },
};

static void test_bad(void **state)
{
	const struct bad_case *c = *state;
	AUTO_JV *list = entry_of(c->entry);
	struct endpoint ep;
	struct err e;

	assert_err(open_endpoint(list, &ep, &e), c->kind, &e, c->why);
	endpoint_clear(&ep);
}

struct push {
	const char *repo, *media_type;
	enum change_kind kind;
};

#define OCI "application/vnd.oci.image.manifest.v1+json"
#define DOCKER "application/vnd.docker.distribution.manifest.v2+json"

static const struct filter_case {
	const char *name, *more;
	struct push of;
	bool wanted;
} filters[] = {
	{ "everything", "", { "a/b", OCI, CHANGE_MANIFEST_PUT }, true },
	{ "everything, deletions as well", "", { "a/b", "", CHANGE_TAG_DELETE }, true },
	{ "a pattern", "repositories: \"a/**\"", { "a/b", OCI, CHANGE_MANIFEST_PUT }, true },
	{ "another", "repositories: \"a/**\"", { "b", OCI, CHANGE_MANIFEST_PUT }, false },
	{ "one of two", "repositories: [x, b]", { "b", OCI, CHANGE_MANIFEST_PUT }, true },
	{ "pushes", "actions: push", { "b", OCI, CHANGE_MANIFEST_PUT }, true },
	{ "pushes, not deletions", "actions: push", { "b", "", CHANGE_MANIFEST_DELETE }, false },
	{ "deletions", "actions: [delete]", { "b", "", CHANGE_BLOB_UNLINK }, true },
	{ "deletions, not pushes", "actions: [delete]", { "b", "", CHANGE_BLOB_LINK }, false },
	{ "a type", "media_types: \"" OCI "\"", { "b", OCI, CHANGE_MANIFEST_PUT }, true },
	{ "another type", "media_types: \"" OCI "\"", { "b", DOCKER, CHANGE_MANIFEST_PUT }, false },
	{ "no blobs", "media_types: \"application/vnd.*\"", { "b", "", CHANGE_BLOB_LINK }, false },
	{ "what has no type", "media_types: \"" OCI "\"", { "b", "", CHANGE_TAG_DELETE }, true },
};

static void test_filter(void **state)
{
	const struct filter_case *c = *state;
	AUTO_SBUF text = { .max = SBUF_MAX };
	AUTO_JV *list = NULL;
	struct reflog_record r = { .kind = c->of.kind, .repo = repo_of(c->of.repo) };
	const struct event ev = { .record = &r };
	struct endpoint ep;
	struct err e;

	MUST(str_copy(str_of(c->of.media_type), r.media_type, sizeof(r.media_type)));
	sbuf_addf(&text, "{name: a, url: \"https://a.test/\"%s%s}", *c->more ? ", " : "", c->more);
	list = entry_of(text.p);
	assert_ok(open_endpoint(list, &ep, &e), &e);
	assert_int_equal(endpoint_wants(&ep, &ev), c->wanted);
	endpoint_clear(&ep);
}

/* The digest is what `printf '1700000000.{}' | openssl dgst -sha256 -hmac s3cret` says. */
static void test_sign(void **state)
{
	static const char *const want[] = {
		"Content-Type: application/cloudevents+json; charset=utf-8",
		"User-Agent: berthd/" BERTH_VERSION,
		"Expect: ",
		"Authorization: Bearer abc",
		"X-Berth-Timestamp: 1700000000",
		"X-Berth-Signature-256: sha256="
		"97926816e98fbb41ccb1673225ff29a2f35369099990e1b1561651e7bd097ebf",
		NULL,
	};
	const char *dir = unit_dir();
	AUTO_SBUF text = { .max = SBUF_MAX };
	AUTO_JV *list = NULL;
	CLEANUP(endpoint_head_clear) struct endpoint_head head = { .n = 0 };
	struct endpoint ep;
	struct err e;

	(void)state;
	file_write(dir, "secret", STR("s3cret\r\n"));
	file_write(dir, "authorization", STR("Bearer abc"));
	sbuf_addf(&text,
		  "{name: a, url: \"https://a.test/\", format: cloudevents, secret: \"%s/secret\", "
		  "authorization: \"%s/authorization\"}",
		  dir, dir);
	list = entry_of(text.p);
	assert_ok(open_endpoint(list, &ep, &e), &e);
	assert_ok(endpoint_sign(&ep, STR("{}"), 1700000000999u, &head, &e), &e);
	for (size_t i = 0; i < ARRAY_LEN(want) - 1; i++)
		assert_string_equal(head.fields[i], want[i]);
	assert_null(head.fields[head.n]);
	file_write(dir, "secret", STR("two\nlines\n"));
	for (unsigned i = 0; i < 3 && endpoint_tend(&ep, &e) == ERR_OK;)
		i++;
	assert_err(e.kind, ERR_INVALID, &e, "one line");
	assert_int_equal(ep.secret.text.n, 6); /* the old one stays */
	endpoint_clear(&ep);
}

int main(void)
{
	UNIT_TABLE("mistake", test_bad, bad);
	UNIT_TABLE("filter", test_filter, filters);
	unit_case("signing", test_sign);
	return unit_run();
}
