#include <sys/stat.h>

#include "runtime/net/cache.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static const struct net_name NETWORK = { "some-net" };
static const struct container_id CONTAINER = { "some-id" };
static const struct if_name IFNAME = { "eth0" };

static struct jv *parsed(const char *json)
{
	struct jv *v = NULL;
	struct err e;

	assert_ok(jv_parse_object(str_of(json), 16, &v, &e), &e);
	return v;
}

static void fill(struct cache_entry *c)
{
	struct err e;

	*c = (struct cache_entry){ .network = NETWORK, .container = CONTAINER, .ifname = IFNAME };
	sbuf_init(&c->config, 1000);
	sbuf_addf(&c->config, "{\"a\": 1}\n");
	c->netns = strdup("/run/netns/x");
	assert_ok(net_args_parse(STR("K=V;L=W"), &c->args, &e), &e);
	c->capabilities = parsed("{\"mac\":\"02:00:00:00:00:01\"}");
	c->result = parsed("{\"cniVersion\":\"1.0.0\"}");
}

/* Byte for byte what libcni writes for the same. */
#define WHOLE                                                                                      \
	"{\"kind\":\"cniCacheV1\",\"containerId\":\"some-id\",\"config\":\"eyJhIjogMX0K\","        \
	"\"ifName\":\"eth0\",\"networkName\":\"some-net\",\"netns\":\"/run/netns/x\","             \
	"\"cniArgs\":[[\"K\",\"V\"],[\"L\",\"W\"]],"                                               \
	"\"capabilityArgs\":{\"mac\":\"02:00:00:00:00:01\"},\"result\":{\"cniVersion\":\"1.0.0\"}" \
	"}"
#define BARE                                                                                       \
	"{\"kind\":\"cniCacheV1\",\"containerId\":\"some-id\",\"config\":\"\","                    \
	"\"ifName\":\"eth0\",\"networkName\":\"some-net\"}"

static void assert_format(const struct cache_entry *c, const char *want)
{
	AUTO_SBUF out;

	sbuf_init(&out, 10000);
	cache_format(c, &out);
	assert_false(out.failed);
	assert_string_equal(out.p, want);
}

static void test_format(void **state)
{
	AUTO_CACHE_ENTRY whole = { 0 };
	AUTO_CACHE_ENTRY bare = { .network = NETWORK, .container = CONTAINER, .ifname = IFNAME };

	(void)state;
	fill(&whole);
	assert_format(&whole, WHOLE);
	assert_format(&bare, BARE);
	bare.args = jv_new_array();
	bare.capabilities = parsed("{}");
	bare.result = parsed("{}");
	assert_format(&bare, BARE);
	bare.incomplete = true;
	assert_format(&bare, "{\"kind\":\"cniCacheV1\",\"containerId\":\"some-id\",\"config\":\"\","
			     "\"ifName\":\"eth0\",\"networkName\":\"some-net\","
			     "\"berth\":{\"incomplete\":true}}");
}

static void test_parse(void **state)
{
	AUTO_CACHE_ENTRY c = { 0 };
	struct err e;

	(void)state;
	assert_ok(cache_parse(STR(WHOLE), &c, &e), &e);
	assert_string_equal(c.config.p, "{\"a\": 1}\n");
	assert_string_equal(c.netns, "/run/netns/x");
	assert_false(c.incomplete);
	assert_format(&c, WHOLE);
	cache_entry_clear(&c);
	assert_ok(cache_parse(STR(BARE), &c, &e), &e);
	assert_null(c.netns);
	assert_null(c.result);
	assert_format(&c, BARE);
	cache_entry_clear(&c);
	/* As Go writes what is nil. */
	assert_ok(cache_parse(STR("{\"kind\":\"cniCacheV1\",\"containerId\":\"a\",\"config\":null,"
				  "\"ifName\":\"b\",\"networkName\":\"c\",\"cniArgs\":null,"
				  "\"result\":null,\"berth\":{\"incomplete\":true},\"more\":1}"),
			      &c, &e),
		  &e);
	assert_true(c.incomplete);
	assert_int_equal(c.config.n, 0);
}

#define NAMED(rest)                                                                                \
	"{\"kind\":\"cniCacheV1\",\"containerId\":\"a\",\"ifName\":\"b\",\"networkName\":"         \
	"\"c\"," rest "}"

static const struct {
	const char *name, *json;
} refused[] = {
	{ "nothing", "" },
	{ "torn", "{\"kind\":\"cniCacheV1\",\"containerId\":\"some-id\",\"conf" },
	{ "zeros", "\0\0\0\0" },
	{ "no kind", "{\"containerId\":\"a\",\"ifName\":\"b\",\"networkName\":\"c\"}" },
	{ "another kind", "{\"kind\":\"cniCacheV2\",\"containerId\":\"a\",\"ifName\":\"b\","
			  "\"networkName\":\"c\"}" },
	{ "no names", "{\"kind\":\"cniCacheV1\"}" },
	{ "name of a path", "{\"kind\":\"cniCacheV1\",\"containerId\":\"../a\",\"ifName\":\"b\","
			    "\"networkName\":\"c\"}" },
	{ "interface of a path",
	  "{\"kind\":\"cniCacheV1\",\"containerId\":\"a\",\"ifName\":\"../b\","
	  "\"networkName\":\"c\"}" },
	{ "config no base64", NAMED("\"config\":\"!\"") },
	{ "config no text", NAMED("\"config\":{}") },
	{ "netns no text", NAMED("\"netns\":1") },
	{ "arguments no pairs", NAMED("\"cniArgs\":[\"a\"]") },
	{ "arguments that inject", NAMED("\"cniArgs\":[[\"K\",\"V;L=W\"]]") },
	{ "arguments no array", NAMED("\"cniArgs\":{}") },
	{ "capabilities no object", NAMED("\"capabilityArgs\":[]") },
	{ "result no object", NAMED("\"result\":[]") },
};

static void test_refused(void **state)
{
	const struct {
		const char *name, *json;
	} *c = *state;
	AUTO_CACHE_ENTRY entry = { 0 };
	struct err e;

	assert_int_equal(cache_parse(str_of(c->json), &entry, &e), ERR_CORRUPT);
	assert_null(entry.args);
	assert_null(entry.netns);
}

static mode_t mode_of(const char *dir, const char *name)
{
	char path[300];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

/* CNI-21 */
static void test_files(void **state)
{
	AUTO_CACHE_ENTRY c = { 0 }, back = { 0 };
	const char *dir = unit_dir();
	struct err e;

	(void)state;
	assert_err(cache_read(dir, &NETWORK, &CONTAINER, &IFNAME, &back, &e), ERR_NOT_FOUND, &e,
		   "some-net-some-id-eth0");
	assert_ok(cache_remove(dir, &NETWORK, &CONTAINER, &IFNAME, &e), &e);
	fill(&c);
	(void)umask(0);
	assert_ok(cache_write(dir, &c, CACHE_LASTING, &e), &e);
	(void)umask(022);
	assert_int_equal(mode_of(dir, "results"), 0700);
	assert_int_equal(mode_of(dir, "results/some-net-some-id-eth0"), 0600);
	assert_ok(cache_read(dir, &NETWORK, &CONTAINER, &IFNAME, &back, &e), &e);
	assert_format(&back, WHOLE);
	c.incomplete = true;
	assert_ok(cache_write(dir, &c, CACHE_QUICK, &e), &e);
	cache_entry_clear(&back);
	assert_ok(cache_read(dir, &NETWORK, &CONTAINER, &IFNAME, &back, &e), &e);
	assert_true(back.incomplete);
	assert_int_equal(dir_count(dir, "results"), 1);
	assert_ok(cache_remove(dir, &NETWORK, &CONTAINER, &IFNAME, &e), &e);
	assert_ok(cache_remove(dir, &NETWORK, &CONTAINER, &IFNAME, &e), &e);
	assert_int_equal(dir_count(dir, "results"), 0);
}

static void test_torn_file(void **state)
{
	AUTO_CACHE_ENTRY c = { 0 };
	const char *dir = unit_dir();
	struct err e;

	(void)state;
	fill(&c);
	assert_ok(cache_write(dir, &c, CACHE_LASTING, &e), &e);
	cache_entry_clear(&c);
	file_write(dir, "results/some-net-some-id-eth0", STR("{\"kind\":\"cniCa"));
	assert_err(cache_read(dir, &NETWORK, &CONTAINER, &IFNAME, &c, &e), ERR_CORRUPT, &e,
		   "some-net-some-id-eth0");
	/* "some" + "net-some-id" has the same file name. */
	file_write(dir, "results/some-net-some-id-eth0", STR(WHOLE));
	assert_err(cache_read(dir, &(struct net_name){ "some" },
			      &(struct container_id){ "net-some-id" }, &IFNAME, &c, &e),
		   ERR_CORRUPT, &e, "another container");
	assert_null(c.result);
}

/* What a killed writer left is nobody's entry, and goes with the entry. */
static void test_half_written(void **state)
{
	AUTO_CACHE_ENTRY c = { 0 };
	const char *dir = unit_dir();
	struct err e;

	(void)state;
	fill(&c);
	assert_ok(cache_write(dir, &c, CACHE_LASTING, &e), &e);
	file_write(dir, "results/.some-net-some-id-eth0", STR(WHOLE));
	assert_ok(cache_write(dir, &c, CACHE_WHOLE, &e), &e);
	assert_false(file_exists(dir, "results/.some-net-some-id-eth0"));
	file_write(dir, "results/.some-net-some-id-eth0", STR(WHOLE));
	assert_ok(cache_remove(dir, &NETWORK, &CONTAINER, &IFNAME, &e), &e);
	assert_false(file_exists(dir, "results/.some-net-some-id-eth0"));
}

static void test_unwritable(void **state)
{
	AUTO_CACHE_ENTRY c = { 0 };
	const char *dir = unit_dir();
	struct err e;

	(void)state;
	fill(&c);
	file_write(dir, "results", STR("not a directory"));
	assert_err(cache_write(dir, &c, CACHE_LASTING, &e), ERR_IO, &e, "results");
	assert_err(cache_write("/nowhere/at/all", &c, CACHE_LASTING, &e), ERR_NOT_FOUND, &e,
		   "/nowhere");
}

struct seen {
	unsigned n, stop_at;
	char names[8][128];
};

static enum err_kind see(void *arg, struct cache_entry *c, struct err *e)
{
	struct seen *s = arg;

	(void)snprintf(s->names[s->n++ % 8], sizeof(s->names[0]), "%s", c->container.s);
	return s->n == s->stop_at ? err_set(e, ERR_IN_USE, __func__, "stop") : ERR_OK;
}

static void test_each(void **state)
{
	AUTO_CACHE_ENTRY c = { 0 };
	const char *dir = unit_dir();
	struct seen s = { 0 };
	struct err e;

	(void)state;
	assert_ok(cache_each(dir, see, &s, &e), &e);
	fill(&c);
	for (unsigned i = 3; i > 0; i--) {
		(void)snprintf(c.container.s, sizeof(c.container.s), "id%u", i);
		assert_ok(cache_write(dir, &c, CACHE_QUICK, &e), &e);
	}
	file_write(dir, "results/zz-broken-eth0", STR("{"));
	file_write(dir, "results/.some-net-id9-eth0", STR(WHOLE));
	assert_ok(cache_each(dir, see, &s, &e), &e);
	assert_int_equal(s.n, 3);
	assert_string_equal(s.names[0], "id1");
	assert_string_equal(s.names[2], "id3");
	s = (struct seen){ .stop_at = 2 };
	assert_err(cache_each(dir, see, &s, &e), ERR_IN_USE, &e, "stop");
	assert_int_equal(s.n, 2);
}

int main(void)
{
	unit_case("as libcni writes it", test_format);
	unit_case("read back", test_parse);
	UNIT_TABLE("refused", test_refused, refused);
	unit_case("files and their modes", test_files);
	unit_case("a torn file, and one of another attachment", test_torn_file);
	unit_case("a file that was half written", test_half_written);
	unit_case("a directory that cannot be written", test_unwritable);
	unit_case("each entry", test_each);
	return unit_run();
}
