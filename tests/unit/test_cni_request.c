#include "runtime/net/request.h"
#include "tests/lib/unit.h"

static struct jv *parsed(const char *json)
{
	struct jv *v = NULL;
	struct err e;

	if (!json)
		return NULL;
	assert_ok(jv_parse_object(str_of(json), 16, &v, &e), &e);
	return v;
}

static const struct {
	const char *name, *plugin, *prev, *capabilities, *want;
} rows[] = {
	{ "name and version are put in", "{\"type\":\"a\"}", NULL, NULL,
	  "{\"type\":\"a\",\"name\":\"x\",\"cniVersion\":\"1.0.0\"}" },
	{ "and replace what was there",
	  "{\"name\":\"y\",\"type\":\"a\",\"cniVersion\":\"0.3.0\",\"prevResult\":{\"old\":1}}",
	  "{\"new\":1}", NULL,
	  "{\"name\":\"x\",\"type\":\"a\",\"cniVersion\":\"1.0.0\",\"prevResult\":{\"new\":1}}" },
	{ "keys of others are kept", "{\"type\":\"a\",\"k\":[1,{\"l\":null}],\"f\":1.5}", NULL,
	  NULL,
	  "{\"type\":\"a\",\"k\":[1,{\"l\":null}],\"f\":1.5,\"name\":\"x\",\"cniVersion\":\"1.0."
	  "0\"}" },
	{ "numbers are kept", "{\"type\":\"a\",\"n\":9007199254740993}", NULL, NULL,
	  "{\"type\":\"a\",\"n\":9007199254740993,\"name\":\"x\",\"cniVersion\":\"1.0.0\"}" },
	{ "what the plugin takes is given",
	  "{\"type\":\"a\",\"capabilities\":{\"mac\":true,\"ips\":false}}", NULL,
	  "{\"mac\":\"m\",\"ips\":[],\"aliases\":[\"b\"]}",
	  "{\"type\":\"a\",\"capabilities\":{\"mac\":true,\"ips\":false},\"name\":\"x\","
	  "\"cniVersion\":\"1.0.0\",\"runtimeConfig\":{\"mac\":\"m\"}}" },
	{ "nothing that it takes is given", "{\"type\":\"a\",\"capabilities\":{\"mac\":true}}",
	  NULL, "{\"ips\":[]}",
	  "{\"type\":\"a\",\"capabilities\":{\"mac\":true},\"name\":\"x\",\"cniVersion\":\"1.0."
	  "0\"}" },
};

static void test_build(void **state)
{
	const struct {
		const char *name, *plugin, *prev, *capabilities, *want;
	} *c = *state;
	const struct conflist l = { .name = { "x" }, .version_text = "1.0.0" };
	AUTO_JV *plugin = parsed(c->plugin);
	AUTO_JV *prev = parsed(c->prev);
	AUTO_JV *capabilities = parsed(c->capabilities);
	const struct request_parts parts = { .prev_result = prev, .capabilities = capabilities };
	AUTO_JV *rq = request_build(&l, plugin, &parts);
	AUTO_SBUF out, before;

	sbuf_init(&out, 10000);
	sbuf_init(&before, 10000);
	jv_dump(rq, &out);
	assert_string_equal(out.p, c->want);
	jv_dump(plugin, &before); /* the list is not changed */
	assert_string_equal(before.p, c->plugin);
}

static void test_gc(void **state)
{
	const struct conflist l = { .name = { "x" }, .version_text = "1.1.0" };
	AUTO_JV *plugin = parsed("{\"type\":\"a\",\"cni.dev/attachments\":1}");
	AUTO_JV *valid = jv_pack("[{s:s,s:s}]", "containerID", "c", "ifname", "eth0");
	AUTO_JV *none = jv_new_array();
	struct request_parts parts = { .valid_attachments = valid };
	AUTO_JV *rq = request_build(&l, plugin, &parts);
	AUTO_JV *empty = NULL;

	(void)state;
	assert_int_equal(jv_count(jv_member(rq, "cni.dev/valid-attachments")), 1);
	assert_int_equal(jv_count(jv_member(rq, "cni.dev/attachments")), 1);
	assert_null(jv_member(rq, "runtimeConfig"));
	parts.valid_attachments = none;
	empty = request_build(&l, plugin, &parts);
	assert_true(jv_is_array(jv_member(empty, "cni.dev/valid-attachments")));
}

int main(void)
{
	UNIT_TABLE("request", test_build, rows);
	unit_case("request of garbage collection", test_gc);
	return unit_run();
}
