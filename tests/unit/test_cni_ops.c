#include <sys/stat.h>
#include <unistd.h>

#include "runtime/net/cache.h"
#include "runtime/net/netns.h"
#include "tests/lib/cni_box.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static struct jv *parsed(const char *json)
{
	struct jv *v = NULL;
	struct err e;

	assert_ok(jv_parse_object(str_of(json), 16, &v, &e), &e);
	return v;
}

static void add_fails(struct cni_box *b, const struct conflist *l, enum err_kind kind,
		      const char *text)
{
	AUTO_RESULT r;
	struct err e;

	assert_err(cni_add(&b->cni, l, &b->attachment, &r, &e), kind, &e, text);
	assert_int_equal(r.n_ips, 0);
}

/* ---- ADD ---- */

static void test_add(void **state)
{
	AUTO_CACHE_ENTRY c = { 0 };
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;
	char want[600];
	struct err e;

	(void)state;
	cni_box_open(&b);
	cni_box_list("net", "1.0.0", "a b c", "", &l);
	b.attachment.args = b.args = jv_pack("[[s,s]]", "K", "V");
	cni_box_add_ok(&b, &l);
	assert_string_equal(cni_box_calls(&b), "a ADD, b ADD, c ADD");
	cni_box_assert_input(&b, 1, "prevResult", NULL);
	cni_box_assert_input(&b, 2, "prevResult", CNI_BOX_ADDED);
	cni_box_assert_input(&b, 3, "prevResult", CNI_BOX_ADDED);
	cni_box_assert_input(&b, 3, "name", "\"net\"");
	cni_box_assert_input(&b, 3, "cniVersion", "\"1.0.0\"");
	(void)snprintf(want, sizeof(want), "c1 %s eth0 K=V\n", b.netns);
	cni_box_assert_env(&b, 1, want);
	cni_box_assert_env(&b, 3, want);
	assert_ok(
	    cache_read(b.cache, &l.name, &b.attachment.container, &b.attachment.ifname, &c, &e),
	    &e);
	assert_false(c.incomplete);
	assert_string_equal(c.config.p, l.bytes.p);
	assert_string_equal(c.netns, b.netns);
	assert_int_equal(jv_count(c.args), 1);
}

static void test_capabilities(void **state)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;
	struct err e;

	(void)state;
	cni_box_open(&b);
	assert_ok(conflist_parse(
		      STR("{\"name\":\"net\",\"cniVersion\":\"1.0.0\",\"plugins\":["
			  "{\"type\":\"a\",\"capabilities\":{\"mac\":true,\"ips\":false}},"
			  "{\"type\":\"b\",\"capabilities\":{\"ips\":true}},{\"type\":\"c\"}]}"),
		      &l, &e),
		  &e);
	b.attachment.capabilities = b.capabilities = parsed("{\"mac\":\"m\",\"ips\":[\"i\"]}");
	cni_box_add_ok(&b, &l);
	cni_box_assert_input(&b, 1, "runtimeConfig", "{\"mac\":\"m\"}");
	cni_box_assert_input(&b, 2, "runtimeConfig", "{\"ips\":[\"i\"]}");
	cni_box_assert_input(&b, 3, "runtimeConfig", NULL);
	(void)cni_box_calls(&b);
	/* DEL and CHECK get them from the cache. */
	b.attachment.capabilities = NULL;
	assert_ok(cni_check(&b.cni, &l, &b.attachment, &e), &e);
	cni_box_assert_input(&b, 1, "runtimeConfig", "{\"mac\":\"m\"}");
	(void)cni_box_calls(&b);
	cni_box_del_ok(&b, &l);
	cni_box_assert_input(&b, 2, "runtimeConfig", "{\"ips\":[\"i\"]}");
}

/* I2 */
static void test_add_twice(void **state)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;

	(void)state;
	cni_box_open_added(&b, "1.0.0", "a", &l);
	add_fails(&b, &l, ERR_EXISTS, "already");
	assert_string_equal(cni_box_calls(&b), "");
	assert_int_equal(cni_box_cached(&b), 1);
	/* Another interface is another attachment. */
	assert_ok(if_name_parse(STR("eth1"), &b.attachment.ifname, &(struct err){ 0 }),
		  &(struct err){ 0 });
	cni_box_add_ok(&b, &l);
	assert_int_equal(cni_box_cached(&b), 2);
}

static void test_interface_is_there(void **state)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;

	(void)state;
	cni_box_open(&b);
	cni_box_list("net", "1.0.0", "a", "", &l);
	b.attachment.ifname = (struct if_name){ "lo" }; /* which every namespace has */
	cni_box_add_ok(&b, &l);
	b.attachment.ifname = (struct if_name){ "eth0" };
	cni_box_behaviour(&b, "a", "ADD",
			  "nsenter --net=$CNI_NETNS ip link add eth0 type veth peer p0");
	cni_box_add_ok(&b, &l);
	cni_box_list("net2", "1.0.0", "a", "", &l);
	(void)cni_box_calls(&b);
	add_fails(&b, &l, ERR_EXISTS, "has an interface eth0");
	assert_string_equal(cni_box_calls(&b), "");
}

/* I1, CNI-15 */
static void test_namespace(void **state)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;

	(void)state;
	cni_box_open(&b);
	cni_box_list("net", "1.0.0", "a", "", &l);
	b.attachment.netns = NULL;
	add_fails(&b, &l, ERR_INVALID, "needs a network namespace");
	b.attachment.netns = "/run/netns/nothing";
	add_fails(&b, &l, ERR_NOT_FOUND, "/run/netns/nothing");
	b.attachment.netns = "/proc/self/ns/net";
	add_fails(&b, &l, ERR_DENIED, "the host's");
	b.attachment.netns = "/proc/self/ns/mnt";
	add_fails(&b, &l, ERR_INVALID, "not a network namespace");
	b.attachment.netns = "/etc/passwd";
	add_fails(&b, &l, ERR_INVALID, "not a network namespace");
	b.attachment.netns = b.plugins;
	add_fails(&b, &l, ERR_INVALID, "not a network namespace");
	assert_string_equal(cni_box_calls(&b), "");
	assert_int_equal(cni_box_cached(&b), 0);
}

static void test_missing_plugin(void **state)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;

	(void)state;
	cni_box_open(&b);
	cni_box_list("net", "1.0.0", "a nothing", "", &l);
	add_fails(&b, &l, ERR_NOT_FOUND, "\"nothing\" is not in");
	assert_string_equal(cni_box_calls(&b), "");
	assert_int_equal(cni_box_cached(&b), 0);
}

/* I3 */
static const struct {
	const char *name, *shell, *wrong;
	unsigned timeout_ms;
} failing[] = {
	{ "error", "echo '{\"code\":7,\"msg\":\"no good\",\"details\":\"at all\"}'; exit 1",
	  "network net: plugin b: ADD: no good; at all", 0 },
	{ "death", "kill -9 $$", "ended by signal 9", 0 },
	{ "garbage", "echo 'hello world'; exit 0", "the answer to ADD: not valid JSON", 0 },
	{ "no answer", "exit 0", "the answer to ADD: not valid JSON", 0 },
	{ "answer that is none", "echo '{\"ips\":[{\"address\":\"x\"}]}'; exit 0", "\"address\"",
	  0 },
	{ "unknown version", "echo '{\"cniVersion\":\"9.9.9\"}'; exit 0", "9.9.9", 0 },
	{ "flood", "head -c 1073741824 /dev/zero; exit 0", "bytes and was killed", 0 },
	{ "hang", "sleep 1000 & wait", "did not end within", 500 },
};

static void test_failing(void **state)
{
	const struct {
		const char *name, *shell, *wrong;
		unsigned timeout_ms;
	} *c = *state;
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;

	cni_box_open(&b);
	b.options.timeout_ms = c->timeout_ms;
	cni_box_list("net", "1.0.0", "a b c", "", &l);
	cni_box_behaviour(&b, "b", "ADD", c->shell);
	add_fails(&b, &l,
		  strstr(c->name, "unknown")                                       ? ERR_UNSUPPORTED
		  : strcmp(c->name, "flood") == 0                                  ? ERR_TOO_LARGE
		  : strncmp(c->wrong, "the answer", 10) == 0 || c->wrong[0] == '"' ? ERR_INVALID
										   : ERR_IO,
		  c->wrong);
	assert_string_equal(cni_box_calls(&b), "a ADD, b ADD, c DEL, b DEL, a DEL");
	cni_box_assert_input(&b, 3, "prevResult", CNI_BOX_ADDED);
	cni_box_assert_input(&b, 5, "prevResult", CNI_BOX_ADDED);
	assert_int_equal(cni_box_cached(&b), 0);
	/* And it can be done again. */
	cni_box_behaviour(&b, "b", "ADD", "");
	cni_box_add_ok(&b, &l);
}

static void test_first_fails(void **state)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;

	(void)state;
	cni_box_open(&b);
	cni_box_list("net", "1.0.0", "a b", "", &l);
	cni_box_behaviour(&b, "a", "ADD", "echo '{\"code\":11,\"msg\":\"busy\"}'; exit 1");
	add_fails(&b, &l, ERR_IN_USE, "try again later");
	assert_int_equal(b.cni.failure.code, 11);
	assert_string_equal(b.cni.failure.plugin, "a");
	assert_string_equal(cni_box_calls(&b), "a ADD, b DEL, a DEL");
	cni_box_assert_input(&b, 2, "prevResult", NULL);
	assert_int_equal(cni_box_cached(&b), 0);
}

/* What cannot be undone is kept for whoever comes next. */
static void test_undo_fails(void **state)
{
	AUTO_CACHE_ENTRY c = { 0 };
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;
	struct err e;

	(void)state;
	cni_box_open(&b);
	cni_box_list("net", "1.0.0", "a b c", "", &l);
	cni_box_behaviour(&b, "c", "ADD", "echo '{\"msg\":\"the first\"}'; exit 1");
	cni_box_behaviour(&b, "b", "DEL", "echo '{\"msg\":\"the second\"}'; exit 1");
	add_fails(&b, &l, ERR_IO, "the first");
	assert_string_equal(b.cni.failure.msg.p, "the first");
	assert_string_equal(cni_box_calls(&b), "a ADD, b ADD, c ADD, c DEL, b DEL, a DEL");
	assert_ok(
	    cache_read(b.cache, &l.name, &b.attachment.container, &b.attachment.ifname, &c, &e),
	    &e);
	assert_true(c.incomplete);
	assert_err(cni_check(&b.cni, &l, &b.attachment, &e), ERR_NOT_FOUND, &e, "not attached");
	cni_box_behaviour(&b, "b", "DEL", "");
	cni_box_behaviour(&b, "c", "ADD", "");
	/* The next ADD undoes it before. */
	cni_box_add_ok(&b, &l);
	assert_string_equal(cni_box_calls(&b), "c DEL, b DEL, a DEL, a ADD, b ADD, c ADD");
	assert_int_equal(cni_box_cached(&b), 1);
}

static void test_cache_is_full(void **state)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;

	(void)state;
	cni_box_open(&b);
	cni_box_list("net", "1.0.0", "a", "", &l);
	file_write(b.cache, "results", STR("in the way"));
	add_fails(&b, &l, ERR_IO, "results");
	assert_string_equal(cni_box_calls(&b), "");
}

/* ---- CHECK ---- */

static void test_check(void **state)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;
	struct err e;

	(void)state;
	cni_box_open(&b);
	cni_box_list("net", "1.0.0", "a b", "", &l);
	assert_err(cni_check(&b.cni, &l, &b.attachment, &e), ERR_NOT_FOUND, &e, "not attached");
	cni_box_add_ok(&b, &l);
	(void)cni_box_calls(&b);
	assert_ok(cni_check(&b.cni, &l, &b.attachment, &e), &e);
	assert_string_equal(cni_box_calls(&b), "a CHECK, b CHECK");
	cni_box_assert_input(&b, 1, "prevResult", CNI_BOX_ADDED);
	cni_box_assert_input(&b, 2, "prevResult", CNI_BOX_ADDED);
	cni_box_behaviour(&b, "a", "CHECK", "echo '{\"code\":999,\"msg\":\"missing\"}'; exit 1");
	assert_err(cni_check(&b.cni, &l, &b.attachment, &e), ERR_IO, &e,
		   "plugin a: CHECK: missing");
	assert_string_equal(cni_box_calls(&b), "a CHECK");
	l.disable_check = true;
	assert_ok(cni_check(&b.cni, &l, &b.attachment, &e), &e);
	assert_string_equal(cni_box_calls(&b), "");
	cni_box_list("old", "0.3.1", "a", "", &l);
	assert_err(cni_check(&b.cni, &l, &b.attachment, &e), ERR_UNSUPPORTED, &e, "has no CHECK");
}

#define TORN "{\"kind\":\"cniCacheV1\",\"conta"
#define ENTRY(result)                                                                              \
	"{\"kind\":\"cniCacheV1\",\"containerId\":\"c1\",\"config\":\"\",\"ifName\":\"eth0\","     \
	"\"networkName\":\"net\",\"result\":" result "}"

/* DEL takes it as if it were not known, CHECK must not. */
static const struct cached_case {
	const char *name, *text, *wrong;
	enum err_kind kind;
} cached_cases[] = {
	{ "torn", TORN, "not valid JSON", ERR_CORRUPT },
	{ "of an unknown version", ENTRY("{\"cniVersion\":\"9.9.9\"}"), "9.9.9", ERR_UNSUPPORTED },
	{ "that is none", ENTRY("{\"cniVersion\":\"1.0.0\",\"ips\":1}"), "\"ips\"", ERR_INVALID },
	{ "of another type", ENTRY("[]"), "another type", ERR_CORRUPT },
};

static void test_cached_is_wrong(void **state)
{
	const struct cached_case *c = *state;
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;
	struct err e;

	cni_box_open_added(&b, "1.0.0", "a", &l);
	file_write(b.cache, "results/net-c1-eth0", str_of(c->text));
	assert_err(cni_check(&b.cni, &l, &b.attachment, &e), c->kind, &e, c->wrong);
	assert_string_equal(cni_box_calls(&b), "");
	cni_box_del_ok(&b, &l);
	assert_string_equal(cni_box_calls(&b), "a DEL");
	assert_int_equal(cni_box_cached(&b), 0);
}

/* ---- STATUS, VERSION ---- */

static void test_status(void **state)
{
	AUTO_CONFLIST l = { 0 }, older = { 0 };
	AUTO_CNI_BOX b;
	struct err e;

	(void)state;
	cni_box_open(&b);
	cni_box_list("net", "1.1.0", "a b c", "", &l);
	assert_ok(cni_status(&b.cni, &l, &e), &e);
	assert_string_equal(cni_box_calls(&b), "a STATUS, b STATUS, c STATUS");
	cni_box_assert_env(&b, 1, "   \n");
	cni_box_assert_input(&b, 1, "name", "\"net\"");
	cni_box_behaviour(&b, "b", "STATUS", "echo '{\"code\":50,\"msg\":\"down\"}'; exit 1");
	assert_err(cni_status(&b.cni, &l, &e), ERR_IN_USE, &e, "plugin b: STATUS: down");
	assert_int_equal(b.cni.failure.code, 50);
	assert_string_equal(cni_box_calls(&b), "a STATUS, b STATUS");
	cni_box_list("net", "1.0.0", "a b c", "", &older);
	assert_ok(cni_status(&b.cni, &older, &e), &e);
	assert_string_equal(cni_box_calls(&b), "");
}

static void test_versions(void **state)
{
	AUTO_CONFLIST l = { 0 };
	struct cni_versions v;
	AUTO_CNI_BOX b;
	struct err e;

	(void)state;
	cni_box_open(&b);
	cni_box_behaviour(
	    &b, "a", "VERSION",
	    "echo '{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[\"1.0.0\",\"1.1.0\"]}'");
	assert_ok(cni_versions(&b.cni, STR("a"), &v, &e), &e);
	assert_true(v.has[CNI_1_0_0] && v.has[CNI_1_1_0] && !v.has[CNI_0_4_0]);
	cni_box_assert_input(&b, 1, "cniVersion", "\"1.1.0\"");
	cni_box_assert_env(&b, 1, " dummy dummy \n");
	cni_box_behaviour(&b, "b", "VERSION",
			  "echo '{\"code\":4,\"msg\":\"unknown CNI_COMMAND: VERSION\"}'; exit 1");
	assert_ok(cni_versions(&b.cni, STR("b"), &v, &e), &e);
	assert_true(v.has[CNI_0_1_0] && !v.has[CNI_0_2_0]);
	assert_err(cni_versions(&b.cni, STR("c"), &v, &e), ERR_INVALID, &e, "plugin c");
	assert_err(cni_versions(&b.cni, STR("nothing"), &v, &e), ERR_NOT_FOUND, &e, "nothing");
	cni_box_list("net", "1.0.0", "a a", "", &l);
	assert_ok(cni_validate(&b.cni, &l, &e), &e);
	conflist_clear(&l);
	cni_box_list("net", "0.4.0", "a b", "", &l);
	assert_err(cni_validate(&b.cni, &l, &e), ERR_UNSUPPORTED, &e, "plugin a does not speak");
}

/* ---- GC ---- */

/* Names of containers, NULL at the end. */
static bool is_among(void *arg, const struct cache_entry *c)
{
	for (const char *const *name = arg; *name; name++) {
		if (strcmp(*name, c->container.s) == 0)
			return true;
	}
	return false;
}

static void add_container(struct cni_box *b, const struct conflist *l, const char *id)
{
	(void)snprintf(b->attachment.container.s, sizeof(b->attachment.container.s), "%s", id);
	cni_box_add_ok(b, l);
}

static void test_gc(void **state)
{
	struct cni_gc_report report;
	AUTO_CONFLIST l = { 0 }, other = { 0 };
	const char *valid[] = { "stays", "unknown", NULL };
	AUTO_CNI_BOX b;
	struct err e;

	(void)state;
	cni_box_open(&b);
	cni_box_list("net", "1.1.0", "a b", "", &l);
	cni_box_list("other", "1.1.0", "a", "", &other);
	add_container(&b, &l, "stays");
	add_container(&b, &l, "stale");
	add_container(&b, &other, "elsewhere");
	(void)cni_box_calls(&b);
	assert_ok(cni_gc(&b.cni, &l, is_among, valid, &report, &e), &e);
	assert_int_equal(report.removed, 1);
	assert_int_equal(report.failed, 0);
	assert_string_equal(cni_box_calls(&b), "b DEL, a DEL, a GC, b GC");
	cni_box_assert_input(&b, 1, "prevResult", CNI_BOX_ADDED_IN("1.1.0"));
	cni_box_assert_input(&b, 3, "cni.dev/valid-attachments",
			     "[{\"containerID\":\"stays\",\"ifname\":\"eth0\"}]");
	cni_box_assert_input(&b, 4, "cni.dev/attachments",
			     "[{\"containerID\":\"stays\",\"ifname\":\"eth0\"}]");
	cni_box_assert_input(&b, 4, "prevResult", NULL);
	cni_box_assert_env(&b, 3, "   \n");
	assert_int_equal(cni_box_cached(&b), 2);
}

static void test_gc_goes_on(void **state)
{
	const char *none[] = { NULL };
	struct cni_gc_report report;
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;
	struct err e;

	(void)state;
	cni_box_open(&b);
	cni_box_list("net", "1.1.0", "a b", "", &l);
	add_container(&b, &l, "one");
	add_container(&b, &l, "two");
	(void)cni_box_calls(&b);
	cni_box_behaviour(&b, "b", "DEL",
			  "[ $CNI_CONTAINERID = two ] || { echo '{\"msg\":\"first\"}'; exit 1; }");
	cni_box_behaviour(&b, "a", "GC", "echo '{\"msg\":\"last\"}'; exit 1");
	assert_err(cni_gc(&b.cni, &l, is_among, none, &report, &e), ERR_IO, &e,
		   "2 failures, the first");
	assert_non_null(strstr(e.msg, "DEL: first"));
	assert_int_equal(report.removed, 1);
	assert_int_equal(report.failed, 2);
	assert_string_equal(cni_box_calls(&b), "b DEL, b DEL, a DEL, a GC, b GC");
	assert_int_equal(cni_box_cached(&b), 1);
}

static void test_gc_versions(void **state)
{
	const char *none[] = { NULL };
	struct cni_gc_report report;
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;
	struct err e;

	(void)state;
	cni_box_open_added(&b, "1.0.0", "a", &l);
	l.disable_gc = true;
	assert_ok(cni_gc(&b.cni, &l, is_among, none, &report, &e), &e);
	assert_string_equal(cni_box_calls(&b), "");
	l.disable_gc = false;
	assert_ok(cni_gc(&b.cni, &l, is_among, none, &report, &e), &e);
	assert_string_equal(cni_box_calls(&b), "a DEL"); /* no GC before 1.1.0 */
	conflist_clear(&l);
	cni_box_list("net", "1.1.0", "a", "", &l);
	assert_ok(cni_gc(&b.cni, &l, is_among, none, &report, &e), &e);
	assert_string_equal(cni_box_calls(&b), "a GC");
	cni_box_assert_input(&b, 1, "cni.dev/valid-attachments", "[]");
}

/* ADD is among those that undo themselves. */
static void test_hangs(void **state)
{
	static const char *const commands[] = { "CHECK", "STATUS", "VERSION", "GC", "DEL" };
	const char *none[] = { NULL };
	struct cni_gc_report report;
	struct cni_versions versions;
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;
	struct err e;

	(void)state;
	cni_box_open(&b);
	cni_box_list("net", "1.1.0", "a", "", &l);
	cni_box_add_ok(&b, &l);
	b.options.timeout_ms = 300;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		cni_box_behaviour(&b, "a", commands[i], "sleep 1000 & wait");
	assert_err(cni_check(&b.cni, &l, &b.attachment, &e), ERR_IO, &e, "did not end within");
	assert_err(cni_status(&b.cni, &l, &e), ERR_IO, &e, "did not end within");
	assert_err(cni_versions(&b.cni, STR("a"), &versions, &e), ERR_IO, &e, "did not end within");
	assert_err(cni_validate(&b.cni, &l, &e), ERR_IO, &e, "did not end within");
	assert_err(cni_del(&b.cni, &l.name, &l, &b.attachment, &e), ERR_IO, &e,
		   "did not end within");
	assert_int_equal(cni_box_cached(&b), 1);
	assert_err(cni_gc(&b.cni, &l, is_among, none, &report, &e), ERR_IO, &e, "2 failures");
}

/* I4: an ADD that nobody finished is stale, whoever calls its container valid. */
static void test_gc_incomplete(void **state)
{
	AUTO_CACHE_ENTRY c = { 0 };
	struct cni_gc_report report;
	AUTO_CONFLIST l = { 0 };
	const char *valid[] = { "stays", "unknown", NULL };
	AUTO_CNI_BOX b;
	struct err e;

	(void)state;
	cni_box_open_added(&b, "1.1.0", "a", &l);
	assert_ok(
	    cache_read(b.cache, &l.name, &b.attachment.container, &b.attachment.ifname, &c, &e),
	    &e);
	c.incomplete = true;
	assert_ok(cache_write(b.cache, &c, CACHE_QUICK, &e), &e);
	valid[0] = "c1";
	assert_ok(cni_gc(&b.cni, &l, is_among, valid, &report, &e), &e);
	assert_int_equal(report.removed, 1);
	assert_int_equal(cni_box_cached(&b), 0);
}

/* ---- locks ---- */

static void test_busy(void **state)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;
	char shell[700];
	struct err e;

	(void)state;
	cni_box_open(&b);
	b.options.wait_ms = 100;
	cni_box_list("net", "1.0.0", "a", "", &l);
	cni_box_add_ok(&b, &l);
	/* During a DEL, its own plugin looks at the lock as another process would. */
	(void)snprintf(shell, sizeof(shell),
		       "[ \"$(readlink /proc/$$/fd/3)\" = %s/lock ] || exit 9", b.state);
	cni_box_behaviour(&b, "a", "DEL", shell);
	assert_ok(cni_del(&b.cni, &l.name, &l, &b.attachment, &e), &e);
}

int main(void)
{
	(void)cni_box_enter();
	unit_case("ADD in order, each with the former's result", test_add);
	unit_case("capabilities", test_capabilities);
	unit_case("ADD twice", test_add_twice);
	unit_case("ADD of an interface that is there", test_interface_is_there);
	unit_case("ADD needs a namespace, and not the host's", test_namespace);
	unit_case("ADD with a plugin missing", test_missing_plugin);
	UNIT_TABLE("ADD undoes itself after", test_failing, failing);
	unit_case("ADD whose first plugin fails", test_first_fails);
	unit_case("ADD that cannot undo itself", test_undo_fails);
	unit_case("ADD that cannot be noted", test_cache_is_full);
	unit_case("CHECK", test_check);
	UNIT_TABLE("CHECK and DEL with a result", test_cached_is_wrong, cached_cases);
	unit_case("what hangs, whatever the operation", test_hangs);
	unit_case("STATUS", test_status);
	unit_case("VERSION", test_versions);
	unit_case("GC", test_gc);
	unit_case("GC goes on after failures", test_gc_goes_on);
	unit_case("GC of versions, and disabled", test_gc_versions);
	unit_case("GC of what was never completed", test_gc_incomplete);
	unit_case("plugins hold the lock", test_busy);
	return unit_run();
}
