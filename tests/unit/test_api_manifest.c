/* Manifests, tags, the catalog and referrers, through the routes. */
#include "tests/lib/exchange.h"
#include "tests/lib/index_fixture.h"
#include "tests/lib/unit.h"

#define TYPE "Content-Type: " MEDIA_OCI_MANIFEST "\n"

static const struct mode {
	const char *name;
	unsigned workers;
} modes[] = { { "inline", 0 }, { "with workers", 2 } };

/* A server with what small images refer to in repository "a". */
static void begin(struct test_server *s, void **state)
{
	const struct mode *m = *state;

	test_server_start(s, unit_dir(), m ? m->workers : 0);
	push_blob(s->server.store, "a", CONFIG_TEXT);
	push_blob(s->server.store, "a", LAYER_TEXT);
}

static const char *manifest_path(const struct digest *d, char buf[static 300])
{
	char text[DIGEST_TEXT_MAX];

	(void)snprintf(buf, 300, "/v2/a/manifests/%s", digest_text(d, text));
	return buf;
}

static void test_by_tag(void **state)
{
	struct test_server s;
	AUTO_SBUF image = small_image("x");
	struct digest d = digest_of(image.p);
	char path[300], dt[DIGEST_TEXT_MAX];
	struct exchange x;

	begin(&s, state);
	exchange(&x, &s, "PUT", "/v2/a/manifests/v1", "Content-Type: " MEDIA_OCI_MANIFEST "; x=y\n",
		 text_of(&image));
	assert_status(&x, 201, "");
	assert_string_equal(reply_field(&x, "Location"), manifest_path(&d, path));
	assert_string_equal(reply_field(&x, "Docker-Content-Digest"), digest_text(&d, dt));
	assert_null(reply_field(&x, "OCI-Subject"));
	assert_null(reply_field(&x, "OCI-Tag"));
	exchange_end(&x);
	exchange(&x, &s, "GET", "/v2/a/manifests/v1", NULL, NOTHING);
	assert_status(&x, 200, image.p);
	assert_string_equal(reply_field(&x, "Content-Type"), MEDIA_OCI_MANIFEST);
	assert_string_equal(reply_field(&x, "Docker-Content-Digest"), dt);
	exchange_end(&x);
	exchange(&x, &s, "HEAD", path, NULL, NOTHING);
	assert_status(&x, 200, "");
	assert_true(x.rq->reply.no_body && x.rq->reply.length == image.n);
	exchange_end(&x);
	expect_reply(&s, "GET", "/v2/a/manifests/v1", "If-None-Match: *\n", NOTHING, 304, "");
	expect_reply(&s, "GET", "/v2/a/manifests/v2", NULL, NOTHING, 404, "MANIFEST_UNKNOWN");
	expect_reply(&s, "GET", "/v2/b/manifests/v1", NULL, NOTHING, 404, "MANIFEST_UNKNOWN");
	expect_reply(&s, "DELETE", "/v2/a/manifests/v1", NULL, NOTHING, 202, "");
	expect_reply(&s, "DELETE", "/v2/a/manifests/v1", NULL, NOTHING, 404, "MANIFEST_UNKNOWN");
	expect_reply(&s, "DELETE", path, NULL, NOTHING, 202, "");
	expect_reply(&s, "DELETE", path, NULL, NOTHING, 404, "MANIFEST_UNKNOWN");
	test_server_stop(&s);
}

static void test_by_digest(void **state)
{
	struct test_server s;
	AUTO_SBUF image = small_image("x"), other = small_image("y");
	struct digest d = digest_of(image.p),
		      d512 = digest_of_bytes(DIGEST_SHA512, text_of(&image));
	char path[300], target[400];
	struct exchange x;

	begin(&s, state);
	manifest_path(&d, path);
	expect_reply(&s, "PUT", path, TYPE, text_of(&other), 400, "DIGEST_INVALID");
	(void)snprintf(target, sizeof(target), "%s?tag=v1&tag=v2", path);
	exchange(&x, &s, "PUT", target, TYPE, text_of(&image));
	assert_status(&x, 201, "");
	assert_string_equal(reply_field(&x, "OCI-Tag"), "v1, v2");
	exchange_end(&x);
	expect_reply(&s, "GET", "/v2/a/manifests/v2", NULL, NOTHING, 200, image.p);
	(void)snprintf(target, sizeof(target), "%s?tag=-", path);
	expect_reply(&s, "PUT", target, TYPE, text_of(&image), 400, "TAG_INVALID");
	expect_reply(&s, "PUT", "/v2/a/manifests/v1?tag=v2", TYPE, text_of(&image), 400,
		     "TAG_INVALID");
	expect_reply(&s, "PUT", manifest_path(&d512, path), TYPE, text_of(&image), 201, "");
	expect_reply(&s, "GET", path, NULL, NOTHING, 200, image.p);
	test_server_stop(&s);
}

/* As many tags as there may be, of the greatest length. */
static void test_many_tags(void **state)
{
	struct test_server s;
	AUTO_SBUF image = small_image("x"), target;
	struct digest d = digest_of(image.p);
	char path[300];
	struct exchange x;

	begin(&s, state);
	s.conf.http_target_max = 65536;
	sbuf_init(&target, 65536);
	sbuf_addf(&target, "%s?", manifest_path(&d, path));
	for (unsigned i = 0; i < QUERY_ITEMS_MAX; i++)
		sbuf_addf(&target, "tag=%0128u&", i);
	exchange(&x, &s, "PUT", target.p, TYPE, text_of(&image));
	assert_status(&x, 201, "");
	assert_int_equal(strlen(reply_field(&x, "OCI-Tag")), QUERY_ITEMS_MAX * 130 - 2);
	exchange_end(&x);
	test_server_stop(&s);
}

static void test_refused(void **state)
{
	struct test_server s;
	static const char *const layers[] = { "missing one", "missing two" };
	AUTO_SBUF missing = image_of(CONFIG_TEXT, layers, 2, ""), image = small_image("x"),
		  b = { .p = NULL };
	struct digest one = digest_of(layers[0]), two = digest_of(layers[1]);
	char t1[DIGEST_TEXT_MAX], t2[DIGEST_TEXT_MAX];
	struct exchange x;

	begin(&s, state);
	exchange(&x, &s, "PUT", "/v2/a/manifests/v1", TYPE, text_of(&missing));
	assert_status(&x, 404, "MANIFEST_BLOB_UNKNOWN");
	b = reply_text(&x);
	assert_non_null(strstr(b.p, digest_text(&one, t1))); /* each is told */
	assert_non_null(strstr(b.p, digest_text(&two, t2)));
	exchange_end(&x);
	expect_reply(&s, "PUT", "/v2/a/manifests/v1", TYPE, STR("{}"), 400, "MANIFEST_INVALID");
	expect_reply(&s, "PUT", "/v2/a/manifests/v1", TYPE, NOTHING, 400, "MANIFEST_INVALID");
	expect_reply(&s, "PUT", "/v2/a/manifests/v1", "Content-Type: text/plain\n", text_of(&image),
		     415, "MANIFEST_INVALID");
	expect_reply(&s, "PUT", "/v2/a/manifests/v1", "Content-Type: text/\xff\n", text_of(&image),
		     415, "text/?");
	expect_reply(&s, "GET", "/v2/a/manifests/v1", NULL, NOTHING, 404, "MANIFEST_UNKNOWN");
	test_server_stop(&s);
}

/* Manifests that are too long for the index come out of their file. */
static void test_large(void **state)
{
	struct test_server s;
	AUTO_SBUF b;
	const char *layer = LAYER_TEXT;
	AUTO_SBUF padding = { .max = SBUF_MAX };
	struct exchange x;

	begin(&s, state);
	sbuf_add_str(&padding, STR(",\"x\":\""));
	for (unsigned i = 0; i < 70000; i++)
		sbuf_add(&padding, "x", 1);
	sbuf_add_str(&padding, STR("\""));
	b = image_of(CONFIG_TEXT, &layer, 1, padding.p);
	expect_reply(&s, "PUT", "/v2/a/manifests/large", TYPE, text_of(&b), 201, "");
	exchange(&x, &s, "GET", "/v2/a/manifests/large", NULL, NOTHING);
	assert_true(x.rq->reply.fd >= 0);
	assert_status(&x, 200, b.p);
	assert_string_equal(reply_field(&x, "Content-Type"), MEDIA_OCI_MANIFEST);
	exchange_end(&x);
	test_server_stop(&s);
}

/* --- lists --- */

static const struct list_case {
	const char *name, *target;
	unsigned status;
	const char *body, *link; /* whole body; the target of the next page */
} lists[] = {
	{ "tags", "/v2/a/tags/list", 200, "{\"name\":\"a\",\"tags\":[\"A\",\"a\",\"b\",\"c\"]}",
	  NULL },
	{ "two tags", "/v2/a/tags/list?n=2", 200, "{\"name\":\"a\",\"tags\":[\"A\",\"a\"]}",
	  "</v2/a/tags/list?n=2&last=a>; rel=\"next\"" },
	{ "the next two", "/v2/a/tags/list?n=2&last=a", 200,
	  "{\"name\":\"a\",\"tags\":[\"b\",\"c\"]}", NULL },
	{ "exactly all", "/v2/a/tags/list?n=4", 200,
	  "{\"name\":\"a\",\"tags\":[\"A\",\"a\",\"b\",\"c\"]}", NULL },
	{ "none wanted", "/v2/a/tags/list?n=0", 200, "{\"name\":\"a\",\"tags\":[]}", NULL },
	{ "after the last", "/v2/a/tags/list?last=zzz", 200, "{\"name\":\"a\",\"tags\":[]}", NULL },
	{ "more than the greatest page", "/v2/a/tags/list?n=9223372036854775807", 200,
	  "{\"name\":\"a\",\"tags\":[\"A\",\"a\",\"b\",\"c\"]}", NULL },
	{ "no number", "/v2/a/tags/list?n=x", 400, NULL, NULL },
	{ "a negative number", "/v2/a/tags/list?n=-1", 400, NULL, NULL },
	{ "a number and more", "/v2/a/tags/list?n=1x", 400, NULL, NULL },
	{ "a number beyond", "/v2/a/tags/list?n=9223372036854775808", 400, NULL, NULL },
	{ "tags of nobody", "/v2/none/tags/list", 404, NULL, NULL },
	{ "catalog", "/v2/_catalog", 200, "{\"repositories\":[\"a\",\"b/c\"]}", NULL },
	{ "half the catalog", "/v2/_catalog?n=1", 200, "{\"repositories\":[\"a\"]}",
	  "</v2/_catalog?n=1&last=a>; rel=\"next\"" },
	{ "the other half", "/v2/_catalog?n=1&last=a", 200, "{\"repositories\":[\"b/c\"]}", NULL },
	{ "nothing of the catalog", "/v2/_catalog?n=0", 200, "{\"repositories\":[]}", NULL },
	{ "bad page of the catalog", "/v2/_catalog?n=", 400, NULL, NULL },
};

static void test_list(void **state)
{
	const struct list_case *c = *state;
	static const char *const tags[] = { "b", "A", "c", "a" };
	AUTO_SBUF image = small_image("x"), got = { .p = NULL };
	struct test_server s;
	struct exchange x;
	void *no_mode = NULL;

	begin(&s, &no_mode);
	push_blob(s.server.store, "b/c", "x");
	for (size_t i = 0; i < ARRAY_LEN(tags); i++)
		push_manifest(s.server.store, "a", text_of(&image), MEDIA_OCI_MANIFEST, tags[i]);
	exchange(&x, &s, "GET", c->target, NULL, NOTHING);
	assert_int_equal(x.rq->reply.status, c->status);
	got = reply_text(&x);
	if (c->body)
		assert_string_equal(got.p, c->body);
	if (c->link)
		assert_string_equal(reply_field(&x, "Link"), c->link);
	else
		assert_null(reply_field(&x, "Link"));
	exchange_end(&x);
	test_server_stop(&s);
}

static void test_long_last(void **state)
{
	struct test_server s;
	char target[400] = "/v2/_catalog?last=";

	begin(&s, state);
	memset(target + 18, 'z', 255);
	expect_reply(&s, "GET", target, NULL, NOTHING, 200, "[]");
	memset(target + 18, 'z', 256);
	expect_reply(&s, "GET", target, NULL, NOTHING, 400, "PAGINATION_NUMBER_INVALID");
	test_server_stop(&s);
}

static void test_page_max(void **state)
{
	struct test_server s;
	AUTO_SBUF image = small_image("x");
	struct exchange x;

	begin(&s, state);
	s.conf.list_page_max = 2;
	push_manifest(s.server.store, "a", text_of(&image), MEDIA_OCI_MANIFEST, "one");
	push_manifest(s.server.store, "a", text_of(&image), MEDIA_OCI_MANIFEST, "three");
	push_manifest(s.server.store, "a", text_of(&image), MEDIA_OCI_MANIFEST, "two");
	exchange(&x, &s, "GET", "/v2/a/tags/list?n=1000", NULL, NOTHING);
	assert_status(&x, 200, "[\"one\",\"three\"]");
	assert_string_equal(reply_field(&x, "Link"),
			    "</v2/a/tags/list?n=2&last=three>; rel=\"next\"");
	exchange_end(&x);
	test_server_stop(&s);
}

/* --- referrers --- */

static struct digest put_referrer(struct test_server *s, const struct digest *subject,
				  const char *type, const char *note)
{
	char extra[600], text[DIGEST_TEXT_MAX];
	const char *layer = LAYER_TEXT;
	AUTO_SBUF b = { .p = NULL };
	struct digest d;
	struct exchange x;

	(void)snprintf(
	    extra, sizeof(extra),
	    ",\"artifactType\":\"%s\",\"subject\":{\"mediaType\":\"a/b\",\"digest\":\"%s\","
	    "\"size\":1},\"annotations\":{\"note\":\"%s\"}",
	    type, digest_text(subject, text), note);
	b = image_of(CONFIG_TEXT, &layer, 1, extra);
	d = digest_of(b.p);
	exchange(&x, s, "PUT", "/v2/a/manifests/referrer", TYPE, text_of(&b));
	assert_status(&x, 201, "");
	assert_string_equal(reply_field(&x, "OCI-Subject"), text);
	exchange_end(&x);
	return d;
}

static unsigned count_of(const char *text, const char *part)
{
	unsigned n = 0;

	while ((text = strstr(text, part))) {
		text++;
		n++;
	}
	return n;
}

static void test_referrers(void **state)
{
	struct digest subject = digest_of("subject");
	struct test_server s;
	char path[300], target[400], text[DIGEST_TEXT_MAX];
	AUTO_SBUF b = { .p = NULL };
	struct exchange x;

	begin(&s, state);
	(void)snprintf(path, sizeof(path), "/v2/a/referrers/%s", digest_text(&subject, text));
	expect_reply(&s, "GET", path, NULL, NOTHING, 200,
		     "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX
		     "\",\"manifests\":[]}");
	for (unsigned i = 0; i < 3; i++)
		(void)put_referrer(&s, &subject, i ? "a/sbom" : "a/sig+json",
				   i == 1 ? "one" : "two");
	exchange(&x, &s, "GET", path, NULL, NOTHING);
	assert_string_equal(reply_field(&x, "Content-Type"), MEDIA_OCI_INDEX);
	b = reply_text(&x);
	assert_int_equal(count_of(b.p, "\"artifactType\""), 3);
	assert_null(reply_field(&x, "OCI-Filters-Applied"));
	exchange_end(&x);
	(void)snprintf(target, sizeof(target), "%s?artifactType=a/sig+json", path);
	exchange(&x, &s, "GET", target, NULL, NOTHING);
	assert_string_equal(reply_field(&x, "OCI-Filters-Applied"), "artifactType");
	sbuf_clear(&b);
	b = reply_text(&x);
	assert_int_equal(count_of(b.p, "\"artifactType\""), 1);
	exchange_end(&x);
	(void)snprintf(target, sizeof(target), "%s?artifactType=x", path);
	expect_reply(&s, "GET", target, NULL, NOTHING, 400, "INVALID_REQUEST");
	(void)snprintf(target, sizeof(target), "%s?artifactType=", path);
	expect_reply(&s, "GET", target, NULL, NOTHING, 200, "a/sig+json");
	expect_reply(&s, "GET", "/v2/none/referrers/sha256:aa", NULL, NOTHING, 400,
		     "DIGEST_INVALID");
	test_server_stop(&s);
}

/* A page is as long as it may be; the next one is where Link says, whatever is in the type. */
static void test_referrer_pages(void **state)
{
	static const char type[] = "a/b!#$&-^_.+json";
	struct digest subject = digest_of("subject");
	struct test_server s;
	char target[1000], text[DIGEST_TEXT_MAX], note[8];
	unsigned total = 0, pages = 0;
	bool more = true;

	begin(&s, state);
	s.conf.referrers_page_bytes_max = 1000; /* a few descriptors */
	for (unsigned i = 0; i < 20; i++) {
		(void)snprintf(note, sizeof(note), "%u", i);
		(void)put_referrer(&s, &subject, type, note);
	}
	(void)snprintf(target, sizeof(target),
		       "/v2/a/referrers/%s?artifactType=a/b!%%23$%%26-^_.%%2bjson",
		       digest_text(&subject, text));
	while (more) {
		struct exchange x;
		AUTO_SBUF b = { .p = NULL };
		const char *link;

		exchange(&x, &s, "GET", target, NULL, NOTHING);
		assert_status(&x, 200, MEDIA_OCI_INDEX);
		b = reply_text(&x);
		assert_in_range(b.n, 1, 1200);
		total += count_of(b.p, "\"artifactType\"");
		pages++;
		link = reply_field(&x, "Link");
		more = link != NULL;
		if (more) {
			struct str head, rest;

			MUST(str_cut(str_of(link + 1), '>', &head, &rest));
			assert_str(rest, "; rel=\"next\"");
			MUST(str_copy(head, target, sizeof(target)));
			assert_null(strpbrk(target, "!#$^ \""));
		}
		exchange_end(&x);
	}
	assert_int_equal(total, 20);
	assert_in_range(pages, 5, 20);
	test_server_stop(&s);
}

static const char *const bad_marks[] = { "x",
					 "0123456789abcdef",
					 "0123456789abcdef.",
					 "0123456789abcde.",
					 "0123456789abcdeg.",
					 "0123456789abcdef.sha256:aa" };

static void test_bad_marks(void **state)
{
	struct digest subject = digest_of("subject");
	struct test_server s;
	char target[400], text[DIGEST_TEXT_MAX];

	begin(&s, state);
	for (size_t i = 0; i < ARRAY_LEN(bad_marks); i++) {
		(void)snprintf(target, sizeof(target), "/v2/a/referrers/%s?last=%s",
			       digest_text(&subject, text), bad_marks[i]);
		expect_reply(&s, "GET", target, NULL, NOTHING, 400, "PAGINATION_NUMBER_INVALID");
	}
	(void)snprintf(target, sizeof(target), "/v2/a/referrers/%s?last=0123456789abcdef.%s", text,
		       text);
	expect_reply(&s, "GET", target, NULL, NOTHING, 200, "[]");
	test_server_stop(&s);
}

int main(void)
{
	UNIT_TABLE("by tag", test_by_tag, modes);
	UNIT_TABLE("by digest", test_by_digest, modes);
	unit_case("as many tags as there may be", test_many_tags);
	UNIT_TABLE("refused", test_refused, modes);
	UNIT_TABLE("large", test_large, modes);
	UNIT_TABLE("list", test_list, lists);
	unit_case("last of 255 and 256 bytes", test_long_last);
	unit_case("the greatest page", test_page_max);
	UNIT_TABLE("referrers", test_referrers, modes);
	unit_case("referrers in pages", test_referrer_pages);
	unit_case("marks that are none of ours", test_bad_marks);
	return unit_run();
}
