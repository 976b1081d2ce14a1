#include "server/event.h"

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define DIGEST "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae" /* foo */
#define HEAD "{\"seq\":17,\"ts\":1700000000123,"
#define PUT                                                                                        \
	HEAD "\"op\":\"manifest.put\",\"repo\":\"team/app\",\"digest\":\"" DIGEST                  \
	     "\",\"size\":5,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","

/* Records as they stand in the reflog, and one event of theirs in each form. */
static const struct form_case {
	const char *name, *line;
	size_t count, tag;
	const char *item, *distribution, *cloud;
} forms[] = {
	{ "a blob",
	  HEAD "\"op\":\"blob.link\",\"repo\":\"a\",\"digest\":\"" DIGEST
	       "\",\"size\":3,\"who\":\"user:alice\"}",
	  1, 0,
	  "{\"seq\":17,\"id\":\"17-1700000000123-0\",\"time\":\"2023-11-14T22:13:20.123Z\","
	  "\"action\":\"push\",\"repository\":\"a\",\"digest\":\"" DIGEST
	  "\",\"mediaType\":\"application/octet-stream\",\"by\":\"client\",\"who\":\"user:alice\","
	  "\"size\":3}",
	  "{\"events\":[{\"id\":\"17-1700000000123-0\",\"timestamp\":\"2023-11-14T22:13:20.123Z\","
	  "\"action\":\"push\",\"target\":{\"repository\":\"a\",\"mediaType\":\"application/"
	  "octet-stream\",\"digest\":\"" DIGEST "\",\"url\":\"https://r.test/v2/a/blobs/" DIGEST
	  "\",\"size\":3,\"length\":3},\"request\":{},\"actor\":{\"name\":\"alice\"},"
	  "\"source\":{\"addr\":\"https://r.test\"}}]}",
	  "{\"specversion\":\"1.0\",\"id\":\"17-1700000000123-0\",\"source\":\"https://r.test\","
	  "\"type\":\"berth.blob.link\",\"subject\":\"a@" DIGEST
	  "\",\"time\":\"2023-11-14T22:13:20.123Z\",\"datacontenttype\":\"application/json\","
	  "\"sequence\":\"00000000000000000017\",\"partitionkey\":\"a\",\"data\":" },
	{ "the second of two tags",
	  PUT "\"tags\":[\"v1\",\"v2\"],\"by\":\"admin\",\"who\":\"uid:0\"}", 2, 1,
	  "{\"seq\":17,\"id\":\"17-1700000000123-1\",\"time\":\"2023-11-14T22:13:20.123Z\","
	  "\"action\":\"push\",\"repository\":\"team/app\",\"tag\":\"v2\",\"digest\":\"" DIGEST
	  "\",\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"by\":\"admin\","
	  "\"who\":\"uid:0\",\"size\":5}",
	  "{\"events\":[{\"id\":\"17-1700000000123-1\",\"timestamp\":\"2023-11-14T22:13:20.123Z\","
	  "\"action\":\"push\",\"target\":{\"repository\":\"team/app\",\"mediaType\":\"application/"
	  "vnd.oci.image.manifest.v1+json\",\"digest\":\"" DIGEST
	  "\",\"tag\":\"v2\",\"url\":\"https://r.test/v2/team/app/manifests/" DIGEST
	  "\",\"size\":5,\"length\":5},\"request\":{},\"actor\":{\"name\":\"uid:0\"},"
	  "\"source\":{\"addr\":\"https://r.test\"}}]}",
	  "{\"specversion\":\"1.0\",\"id\":\"17-1700000000123-1\",\"source\":\"https://r.test\","
	  "\"type\":\"berth.manifest.put\",\"subject\":\"team/app:v2\","
	  "\"time\":\"2023-11-14T22:13:20.123Z\",\"datacontenttype\":\"application/json\","
	  "\"sequence\":\"00000000000000000017\",\"partitionkey\":\"team/app\",\"data\":" },
	{ "a manifest without a tag", PUT "\"tags\":[]}", 1, 0,
	  "{\"seq\":17,\"id\":\"17-1700000000123-0\",\"time\":\"2023-11-14T22:13:20.123Z\","
	  "\"action\":\"push\",\"repository\":\"team/app\",\"digest\":\"" DIGEST
	  "\",\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"by\":\"client\","
	  "\"size\":5}",
	  "{\"events\":[{\"id\":\"17-1700000000123-0\",\"timestamp\":\"2023-11-14T22:13:20.123Z\","
	  "\"action\":\"push\",\"target\":{\"repository\":\"team/app\",\"mediaType\":\"application/"
	  "vnd.oci.image.manifest.v1+json\",\"digest\":\"" DIGEST
	  "\",\"url\":\"https://r.test/v2/team/app/manifests/" DIGEST
	  "\",\"size\":5,\"length\":5},\"request\":{},\"actor\":{},"
	  "\"source\":{\"addr\":\"https://r.test\"}}]}",
	  "{\"specversion\":\"1.0\",\"id\":\"17-1700000000123-0\",\"source\":\"https://r.test\","
	  "\"type\":\"berth.manifest.put\",\"subject\":\"team/app@" DIGEST
	  "\",\"time\":\"2023-11-14T22:13:20.123Z\",\"datacontenttype\":\"application/json\","
	  "\"sequence\":\"00000000000000000017\",\"partitionkey\":\"team/app\",\"data\":" },
	{ "a tag that went, by collection",
	  HEAD "\"op\":\"tag.delete\",\"repo\":\"a\",\"tags\":[\"v1\"],\"by\":\"gc\"}", 1, 0,
	  "{\"seq\":17,\"id\":\"17-1700000000123-0\",\"time\":\"2023-11-14T22:13:20.123Z\","
	  "\"action\":\"delete\",\"repository\":\"a\",\"tag\":\"v1\",\"by\":\"gc\"}",
	  "{\"events\":[{\"id\":\"17-1700000000123-0\",\"timestamp\":\"2023-11-14T22:13:20.123Z\","
	  "\"action\":\"delete\",\"target\":{\"repository\":\"a\",\"tag\":\"v1\"},\"request\":{},"
	  "\"actor\":{\"name\":\"gc\"},\"source\":{\"addr\":\"https://r.test\"}}]}",
	  "{\"specversion\":\"1.0\",\"id\":\"17-1700000000123-0\",\"source\":\"https://r.test\","
	  "\"type\":\"berth.tag.delete\",\"subject\":\"a:v1\",\"time\":\"2023-11-14T22:13:20."
	  "123Z\","
	  "\"datacontenttype\":\"application/json\",\"sequence\":\"00000000000000000017\","
	  "\"partitionkey\":\"a\",\"data\":" },
	{ "a manifest that went",
	  HEAD "\"op\":\"manifest.delete\",\"repo\":\"a\",\"digest\":\"" DIGEST "\"}", 1, 0,
	  "{\"seq\":17,\"id\":\"17-1700000000123-0\",\"time\":\"2023-11-14T22:13:20.123Z\","
	  "\"action\":\"delete\",\"repository\":\"a\",\"digest\":\"" DIGEST "\",\"by\":\"client\"}",
	  "{\"events\":[{\"id\":\"17-1700000000123-0\",\"timestamp\":\"2023-11-14T22:13:20.123Z\","
	  "\"action\":\"delete\",\"target\":{\"repository\":\"a\",\"digest\":\"" DIGEST
	  "\",\"url\":\"https://r.test/v2/a/manifests/" DIGEST "\"},\"request\":{},\"actor\":{},"
	  "\"source\":{\"addr\":\"https://r.test\"}}]}",
	  "{\"specversion\":\"1.0\",\"id\":\"17-1700000000123-0\",\"source\":\"https://r.test\","
	  "\"type\":\"berth.manifest.delete\",\"subject\":\"a@" DIGEST
	  "\",\"time\":\"2023-11-14T22:13:20.123Z\",\"datacontenttype\":\"application/json\","
	  "\"sequence\":\"00000000000000000017\",\"partitionkey\":\"a\",\"data\":" },
};

/* Consumes v. */
static void assert_text(struct jv *v, const char *want, const char *want_end)
{
	AUTO_JV *own = v;
	AUTO_SBUF got = { .max = SBUF_MAX }, whole = { .max = SBUF_MAX };

	assert_non_null(v);
	jv_dump(v, &got);
	sbuf_addf(&whole, "%s%s", want, want_end);
	assert_string_equal(got.p, whole.p);
}

static void test_form(void **state)
{
	const struct form_case *c = *state;
	AUTO_REFLOG_RECORD r = { 0 };
	AUTO_SBUF cloud_end = { .max = SBUF_MAX };
	struct event ev = { .record = &r, .tag = c->tag };
	struct err e;

	assert_ok(reflog_record_parse(str_of(c->line), &r, &e), &e);
	assert_int_equal(event_count(&r), c->count);
	assert_text(event_item(&ev), c->item, "");
	assert_text(event_distribution(&ev, "https://r.test", true), c->distribution, "");
	sbuf_addf(&cloud_end, "%s}", c->item);
	assert_text(event_cloud(&ev, "https://r.test"), c->cloud, cloud_end.p);
}

int main(void)
{
	UNIT_TABLE("event", test_form, forms);
	return unit_run();
}
