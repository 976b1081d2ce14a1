#include <sys/stat.h>
#include <unistd.h>

#include "runtime/net/conflist.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define PLUGINS "\"plugins\":[{\"type\":\"a\"}]"

static const struct {
	const char *name, *json, *wrong;
} refused[] = {
	{ "no JSON", "adfsadf", "not valid JSON" },
	{ "no object", "[]", "not an object" },
	{ "a key twice", "{\"name\":\"x\",\"name\":\"y\"," PLUGINS "}", "duplicate" },
	{ "no name", "{" PLUGINS "}", "no \"name\"" },
	{ "name no text", "{\"name\":1," PLUGINS "}", "no \"name\"" },
	{ "name of a path", "{\"name\":\"../x\"," PLUGINS "}", "network name" },
	{ "name empty", "{\"name\":\"\"," PLUGINS "}", "empty" },
	{ "version no text", "{\"name\":\"x\",\"cniVersion\":1," PLUGINS "}", "cniVersion" },
	{ "version null", "{\"name\":\"x\",\"cniVersion\":null," PLUGINS "}", "cniVersion" },
	{ "version of the future", "{\"name\":\"x\",\"cniVersion\":\"1.2.0\"," PLUGINS "}",
	  "1.2.0" },
	{ "version of a draft", "{\"name\":\"x\",\"cniVersion\":\"0.3.2\"," PLUGINS "}", "0.3.2" },
	{ "version no version", "{\"name\":\"x\",\"cniVersion\":\"broken\"," PLUGINS "}",
	  "broken" },
	{ "version very long",
	  "{\"name\":\"x\",\"cniVersion\":\"1.0.0000000000000000000000000000000\"," PLUGINS "}",
	  "not spoken" },
	{ "versions no array", "{\"name\":\"x\",\"cniVersions\":\"1.0.0\"," PLUGINS "}",
	  "cniVersions" },
	{ "versions of numbers", "{\"name\":\"x\",\"cniVersions\":[1]," PLUGINS "}",
	  "cniVersions" },
	{ "versions that are none",
	  "{\"name\":\"x\",\"cniVersions\":[\"1.0.0\",\"broken\"]," PLUGINS "}", "broken" },
	{ "version that is none beside versions",
	  "{\"name\":\"x\",\"cniVersion\":\"foo\",\"cniVersions\":[\"1.0.0\"]," PLUGINS "}",
	  "foo" },
	{ "versions all of the future",
	  "{\"name\":\"x\",\"cniVersion\":\"2.0.0\",\"cniVersions\":[\"1.9.0\"]," PLUGINS "}",
	  "2.0.0" },
	{ "disableCheck a number", "{\"name\":\"x\",\"disableCheck\":1," PLUGINS "}",
	  "disableCheck" },
	{ "disableCheck a word", "{\"name\":\"x\",\"disableCheck\":\"adsf\"," PLUGINS "}",
	  "disableCheck" },
	{ "disableGC null", "{\"name\":\"x\",\"disableGC\":null," PLUGINS "}", "disableGC" },
	{ "loadOnlyInlinedPlugins a word",
	  "{\"name\":\"x\",\"loadOnlyInlinedPlugins\":\"yes\"," PLUGINS "}",
	  "loadOnlyInlinedPlugins" },
	{ "no plugins", "{\"name\":\"x\"}", "no plugins" },
	{ "no plugins, and only those", "{\"name\":\"x\",\"loadOnlyInlinedPlugins\":true}",
	  "\"plugins\"" },
	{ "plugins empty", "{\"name\":\"x\",\"plugins\":[]}", "\"plugins\"" },
	{ "plugins no array", "{\"name\":\"x\",\"plugins\":{}}", "\"plugins\"" },
	{ "plugin no object", "{\"name\":\"x\",\"plugins\":[1]}", "plugin 1" },
	{ "plugin without type", "{\"name\":\"x\",\"plugins\":[{\"type\":\"a\"},{}]}", "plugin 2" },
	{ "type empty", "{\"name\":\"x\",\"plugins\":[{\"type\":\"\"}]}", "empty" },
	{ "type of a path", "{\"name\":\"x\",\"plugins\":[{\"type\":\"../../bin/sh\"}]}",
	  "no name of a file" },
	{ "type absolute", "{\"name\":\"x\",\"plugins\":[{\"type\":\"/bin/sh\"}]}",
	  "no name of a file" },
	{ "ipam of a path",
	  "{\"name\":\"x\",\"plugins\":[{\"type\":\"a\",\"ipam\":{\"type\":\"../sh\"}}]}",
	  "no name of a file" },
	{ "ipam no object", "{\"name\":\"x\",\"plugins\":[{\"type\":\"a\",\"ipam\":\"b\"}]}",
	  "\"ipam\"" },
	{ "ipam type no text",
	  "{\"name\":\"x\",\"plugins\":[{\"type\":\"a\",\"ipam\":{\"type\":1}}]}", "\"ipam\"" },
	{ "capabilities no object",
	  "{\"name\":\"x\",\"plugins\":[{\"type\":\"a\",\"capabilities\":[]}]}", "capabilities" },
	{ "capability no truth",
	  "{\"name\":\"x\",\"plugins\":[{\"type\":\"a\",\"capabilities\":{\"mac\":1}}]}",
	  "\"mac\"" },
	{ "dns no object", "{\"name\":\"x\",\"plugins\":[{\"type\":\"a\",\"dns\":[]}]}",
	  "\"dns\"" },
	{ "nameserver no text",
	  "{\"name\":\"x\",\"plugins\":[{\"type\":\"a\",\"dns\":{\"nameservers\":[1]}}]}",
	  "\"nameservers\"" },
};

static void test_refused(void **state)
{
	const struct {
		const char *name, *json, *wrong;
	} *c = *state;
	AUTO_CONFLIST l = { 0 };
	struct err e;
	enum err_kind k = conflist_parse(str_of(c->json), &l, &e);

	assert_true(k == ERR_INVALID || k == ERR_UNSUPPORTED);
	assert_err(k, k, &e, c->wrong);
	assert_null(l.plugins);
}

static const struct {
	const char *name, *json, *version;
	bool check_off, gc_off;
} accepted[] = {
	{ "no version", "{\"name\":\"x\"," PLUGINS "}", "", false, false },
	{ "one version", "{\"name\":\"x\",\"cniVersion\":\"0.3.1\"," PLUGINS "}", "0.3.1", false,
	  false },
	{ "the highest of many",
	  "{\"name\":\"x\",\"cniVersions\":[\"0.4.0\",\"1.0.0\",\"0.3.1\"]," PLUGINS "}", "1.0.0",
	  false, false },
	{ "no more than is spoken",
	  "{\"name\":\"x\",\"cniVersions\":[\"0.4.0\",\"1.0.0\",\"100.0.0\"]," PLUGINS "}", "1.0.0",
	  false, false },
	{ "the one beside the many",
	  "{\"name\":\"x\",\"cniVersion\":\"1.1.0\",\"cniVersions\":[\"0.4.0\"]," PLUGINS "}",
	  "1.1.0", false, false },
	{ "the many beside the one",
	  "{\"name\":\"x\",\"cniVersion\":\"0.3.0\",\"cniVersions\":[\"1.0.0\",\"0.4.0\"]," PLUGINS
	  "}",
	  "1.0.0", false, false },
	{ "no many", "{\"name\":\"x\",\"cniVersion\":\"1.0.0\",\"cniVersions\":[]," PLUGINS "}",
	  "1.0.0", false, false },
	{ "one of the future, many of today",
	  "{\"name\":\"x\",\"cniVersion\":\"7.0.0\",\"cniVersions\":[\"1.1.0\"]," PLUGINS "}",
	  "1.1.0", false, false },
	{ "disableCheck", "{\"name\":\"x\",\"disableCheck\":true," PLUGINS "}", "", true, false },
	{ "disableGC", "{\"name\":\"x\",\"disableGC\":true," PLUGINS "}", "", false, true },
	{ "true as a text",
	  "{\"name\":\"x\",\"disableCheck\":\"True\",\"disableGC\":\"TRUE\"," PLUGINS "}", "", true,
	  true },
	{ "false as a text",
	  "{\"name\":\"x\",\"disableCheck\":\"False\",\"disableGC\":\"false\"," PLUGINS "}", "",
	  false, false },
	{ "all that may be null",
	  "{\"name\":\"x\",\"plugins\":[{\"type\":\"a\",\"capabilities\":null,\"ipam\":null,"
	  "\"dns\":null}]}",
	  "", false, false },
	{ "no type of addresses", "{\"name\":\"x\",\"plugins\":[{\"type\":\"a\",\"ipam\":{}}]}", "",
	  false, false },
	{ "keys of others", "{\"name\":\"x\",\"more\":{\"a\":[1]}," PLUGINS "}", "", false, false },
};

static void test_accepted(void **state)
{
	const struct {
		const char *name, *json, *version;
		bool check_off, gc_off;
	} *c = *state;
	AUTO_CONFLIST l = { 0 };
	struct err e;

	assert_ok(conflist_parse(str_of(c->json), &l, &e), &e);
	assert_string_equal(l.name.s, "x");
	assert_string_equal(l.version_text, c->version);
	assert_int_equal(l.disable_check, c->check_off);
	assert_int_equal(l.disable_gc, c->gc_off);
	assert_int_equal(conflist_count(&l), 1);
	assert_str(plugin_type(conflist_plugin(&l, 0)), "a");
	assert_string_equal(l.bytes.p, c->json);
}

static void test_too_many(void **state)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_SBUF text;
	struct err e;

	(void)state;
	sbuf_init(&text, 1 << 20);
	sbuf_addf(&text, "{\"name\":\"x\",\"plugins\":[{\"type\":\"a\"}");
	for (unsigned i = 0; i < CONFLIST_PLUGINS_MAX; i++)
		sbuf_addf(&text, ",{\"type\":\"a\"}");
	sbuf_addf(&text, "]}");
	assert_err(conflist_parse((struct str){ text.p, text.n }, &l, &e), ERR_TOO_LARGE, &e, "64");
}

static void test_capabilities(void **state)
{
	AUTO_CONFLIST l = { 0 };
	struct err e;

	(void)state;
	assert_ok(
	    conflist_parse(STR("{\"name\":\"x\",\"plugins\":[{\"type\":\"a\",\"capabilities\":"
			       "{\"mac\":true,\"ips\":false}},{\"type\":\"b\"}],"
			       "\"berth\":{\"k\":1}}"),
			   &l, &e),
	    &e);
	assert_true(plugin_has_capability(conflist_plugin(&l, 0), "mac"));
	assert_false(plugin_has_capability(conflist_plugin(&l, 0), "ips"));
	assert_false(plugin_has_capability(conflist_plugin(&l, 1), "mac"));
	assert_true(conflist_has_capability(&l, "mac"));
	assert_false(conflist_has_capability(&l, "ips") || conflist_has_capability(&l, "dns"));
	assert_non_null(jv_member(l.extra, "k"));
}

static void test_single(void **state)
{
	AUTO_CONFLIST l = { 0 };
	struct err e;

	(void)state;
	assert_ok(
	    conflist_parse_single(STR("{\"cniVersion\":\"0.2.0\",\"name\":\"x\",\"type\":\"a\","
				      "\"more\":1}"),
				  &l, &e),
	    &e);
	assert_string_equal(l.name.s, "x");
	assert_int_equal(l.version, CNI_0_2_0);
	assert_non_null(jv_member(conflist_plugin(&l, 0), "more"));
	assert_string_equal(l.bytes.p,
			    "{\"cniVersion\":\"0.2.0\",\"name\":\"x\",\"plugins\":[{\"cniVersion\":"
			    "\"0.2.0\",\"name\":\"x\",\"type\":\"a\",\"more\":1}]}");
	conflist_clear(&l);
	assert_err(conflist_parse_single(STR("{\"name\":\"x\"}"), &l, &e), ERR_INVALID, &e,
		   "no \"type\"");
	assert_err(conflist_parse_single(STR("{\"type\":\"a\"}"), &l, &e), ERR_INVALID, &e,
		   "empty");
	assert_err(conflist_parse_single(STR("[]"), &l, &e), ERR_INVALID, &e, "not an object");
}

/* ---- directories ---- */

static void make_sub(const char *dir, const char *name)
{
	char path[200];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(mkdir(path, 0755), 0);
}

static void put(const char *dir, const char *name, const char *text)
{
	file_write(dir, name, str_of(text));
}

static void assert_finds(const char *dir, const char *name, const char *file)
{
	AUTO_CONFLIST l = { 0 };
	struct net_name parsed;
	struct err e;

	assert_ok(net_name_parse(str_of(name), &parsed, &e), &e);
	assert_ok(conflist_find(dir, &parsed, &l, &e), &e);
	assert_string_equal(l.file, file);
	assert_string_equal(l.name.s, name);
}

static void assert_lacks(const char *dir, const char *name, const char *text)
{
	AUTO_CONFLIST l = { 0 };
	struct net_name parsed;
	struct err e;

	assert_ok(net_name_parse(str_of(name), &parsed, &e), &e);
	assert_err(conflist_find(dir, &parsed, &l, &e), ERR_NOT_FOUND, &e, text);
}

static void test_order(void **state)
{
	const char *dir = unit_dir();

	(void)state;
	put(dir, "10-a.conf", "{\"name\":\"x\",\"type\":\"single\"}");
	put(dir, "05-a.json", "{\"name\":\"y\",\"type\":\"single\"}");
	put(dir, "20-b.conf", "{\"name\":\"y\",\"type\":\"single\"}");
	put(dir, "90-c.conflist", "{\"name\":\"x\"," PLUGINS "}");
	put(dir, "95-d.conflist", "{\"name\":\"x\"," PLUGINS "}");
	put(dir, "00-e.conflist.bak", "{\"name\":\"x\"," PLUGINS "}");
	put(dir, "00-f", "{\"name\":\"x\"," PLUGINS "}");
	assert_finds(dir, "x", "90-c.conflist");
	assert_finds(dir, "y", "05-a.json");
	assert_lacks(dir, "z", "no network \"z\"");
	assert_lacks("/nowhere/at/all", "z", "no network \"z\"");
}

/* C5: one file that is broken does not take the others with it. */
static void test_broken_beside(void **state)
{
	const char *dir = unit_dir();

	(void)state;
	put(dir, "00.conflist", "{{{");
	put(dir, "10.conflist", "{\"name\":\"x\"," PLUGINS "}");
	put(dir, "20.conf", "{\"name\":\"y\"}");
	put(dir, "30.conf", "{\"name\":\"z\",\"type\":\"a\"}");
	assert_finds(dir, "x", "10.conflist");
	assert_finds(dir, "z", "30.conf");
	assert_lacks(dir, "y", "00.conflist is no configuration");
}

static void test_links_and_others(void **state)
{
	const char *dir = unit_dir(), *other = unit_dir();
	char path[200];

	(void)state;
	put(other, "real", "{\"name\":\"x\"," PLUGINS "}");
	(void)snprintf(path, sizeof(path), "%s/real", other);
	make_sub(dir, "dir.conflist");
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(symlink(path, "50.conflist"), 0);
	assert_int_equal(mkfifo("40.conflist", 0600), 0); /* must not be waited for */
	assert_int_equal(symlink("nothing", "30.conflist"), 0);
	assert_finds(dir, "x", "50.conflist");
	assert_int_equal(chdir("/"), 0);
}

static void assert_types(const char *dir, const char *want)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_SBUF types;
	struct net_name x = { "x" };
	struct err e;

	sbuf_init(&types, 1000);
	assert_ok(conflist_find(dir, &x, &l, &e), &e);
	for (size_t i = 0; i < conflist_count(&l); i++) {
		sbuf_add_str(&types, plugin_type(conflist_plugin(&l, i)));
		sbuf_add(&types, " ", 1);
	}
	assert_string_equal(types.p, want);
}

/* C3 */
static void test_directory_of_plugins(void **state)
{
	const char *dir = unit_dir();

	(void)state;
	put(dir, "10.conflist", "{\"name\":\"x\"}");
	assert_lacks(dir, "x", "no plugins");
	make_sub(dir, "x");
	put(dir, "x/50-c.conf", "{\"type\":\"c\"}");
	assert_types(dir, "c ");
	put(dir, "x/40-b.conf", "{\"type\":\"b\"}");
	put(dir, "x/30-a.json", "{\"type\":\"json\"}");
	put(dir, "10.conflist", "{\"name\":\"x\"," PLUGINS "}");
	assert_types(dir, "a b c ");
	put(dir, "10.conflist", "{\"name\":\"x\",\"loadOnlyInlinedPlugins\":true," PLUGINS "}");
	assert_types(dir, "a ");
	put(dir, "10.conflist",
	    "{\"name\":\"x\",\"loadOnlyInlinedPlugins\":\"false\"," PLUGINS "}");
	put(dir, "x/45-d.conf", "{\"type\":\"../d\"}");
	assert_lacks(dir, "x", "45-d.conf");
}

/* What is kept of a list must be enough to undo it when the directory has changed. */
static void test_kept_whole(void **state)
{
	AUTO_CONFLIST l = { 0 }, again = { 0 };
	const char *dir = unit_dir();
	struct net_name x = { "x" };
	struct err e;

	(void)state;
	put(dir, "10.conflist", "{\"name\":\"x\",\"cniVersion\":\"1.0.0\"," PLUGINS "}");
	make_sub(dir, "x");
	put(dir, "x/b.conf", "{\"type\":\"b\",\"k\":1}");
	assert_ok(conflist_find(dir, &x, &l, &e), &e);
	assert_ok(conflist_parse((struct str){ l.bytes.p, l.bytes.n }, &again, &e), &e);
	assert_int_equal(conflist_count(&again), 2);
	assert_int_equal(again.version, CNI_1_0_0);
	assert_non_null(jv_member(conflist_plugin(&again, 1), "k"));
}

static enum err_kind count(void *arg, const char *file, struct conflist *list,
			   const struct err *wrong, struct err *e)
{
	unsigned *n = arg;

	n[wrong ? 1 : 0]++;
	if (strcmp(file, "stop.conf") == 0)
		return err_set(e, ERR_IN_USE, __func__, "stop %s", list->name.s);
	return ERR_OK;
}

static void test_each(void **state)
{
	const char *dir = unit_dir();
	unsigned n[2] = { 0 };
	struct err e;

	(void)state;
	put(dir, "a.conflist", "{\"name\":\"x\"," PLUGINS "}");
	put(dir, "b.conflist", "broken");
	put(dir, "c.conf", "{\"name\":\"y\",\"type\":\"a\"}");
	assert_ok(conflist_each(dir, count, n, &e), &e);
	assert_int_equal(n[0], 2);
	assert_int_equal(n[1], 1);
	put(dir, "stop.conf", "{\"name\":\"z\",\"type\":\"a\"}");
	put(dir, "zz.conf", "{\"name\":\"z\",\"type\":\"a\"}");
	n[0] = 0;
	assert_err(conflist_each(dir, count, n, &e), ERR_IN_USE, &e, "stop z");
	assert_int_equal(n[0], 3);
}

static void test_large(void **state)
{
	const char *dir = unit_dir();
	AUTO_SBUF text;

	(void)state;
	sbuf_init(&text, 4 << 20);
	sbuf_addf(&text, "{\"name\":\"x\"," PLUGINS ",\"pad\":\"");
	while (text.n < CONFLIST_BYTES_MAX)
		sbuf_addf(&text, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	sbuf_addf(&text, "\"}");
	file_write(dir, "a.conflist", (struct str){ text.p, text.n });
	assert_lacks(dir, "x", "more than");
}

int main(void)
{
	UNIT_TABLE("refused", test_refused, refused);
	UNIT_TABLE("accepted", test_accepted, accepted);
	unit_case("plugins are bounded", test_too_many);
	unit_case("capabilities", test_capabilities);
	unit_case("a single configuration is a list of one", test_single);
	unit_case("the order of files", test_order);
	unit_case("a broken file hides nothing but itself", test_broken_beside);
	unit_case("links are followed, pipes are not waited for", test_links_and_others);
	unit_case("plugins in a directory of their own", test_directory_of_plugins);
	unit_case("a list is kept whole", test_kept_whole);
	unit_case("each file is told", test_each);
	unit_case("a file is bounded", test_large);
	return unit_run();
}
