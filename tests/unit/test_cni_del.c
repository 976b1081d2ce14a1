#include "runtime/net/netns.h"
#include "tests/lib/cni_box.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static void test_del(void **state)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;

	(void)state;
	cni_box_open_added(&b, "1.0.0", "a b c", &l);
	cni_box_del_ok(&b, &l);
	assert_string_equal(cni_box_calls(&b), "c DEL, b DEL, a DEL");
	for (unsigned i = 1; i <= 3; i++)
		cni_box_assert_input(&b, i, "prevResult", CNI_BOX_ADDED);
	assert_int_equal(cni_box_cached(&b), 0);
	/* Again, and what never was: CNI-10. */
	cni_box_del_ok(&b, &l);
	assert_string_equal(cni_box_calls(&b), "c DEL, b DEL, a DEL");
	cni_box_assert_input(&b, 1, "prevResult", NULL);
}

static void test_del_from_cache(void **state)
{
	AUTO_CONFLIST l = { 0 }, changed = { 0 };
	AUTO_CNI_BOX b;
	char want[300];
	struct err e;

	(void)state;
	cni_box_open(&b);
	cni_box_list("net", "1.0.0", "a b", "", &l);
	b.attachment.args = b.args = jv_pack("[[s,s]]", "K", "V");
	cni_box_add_ok(&b, &l);
	(void)cni_box_calls(&b);
	/* The list is another one by now, the namespace and arguments were not kept. */
	cni_box_list("net", "1.0.0", "c", "", &changed);
	b.attachment.netns = NULL;
	b.attachment.args = NULL;
	cni_box_del_ok(&b, &changed);
	assert_string_equal(cni_box_calls(&b), "b DEL, a DEL");
	(void)snprintf(want, sizeof(want), "c1 %s eth0 K=V\n", b.netns);
	cni_box_assert_env(&b, 1, want);
	/* Without a list at all there is nothing to do the second time. */
	assert_ok(cni_del(&b.cni, &l.name, NULL, &b.attachment, &e), &e);
	assert_string_equal(cni_box_calls(&b), "");
}

static void test_del_fails(void **state)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;
	struct err e;

	(void)state;
	cni_box_open_added(&b, "1.0.0", "a b c", &l);
	cni_box_behaviour(&b, "b", "DEL", "echo '{\"msg\":\"not now\"}'; exit 1");
	assert_err(cni_del(&b.cni, &l.name, &l, &b.attachment, &e), ERR_IO, &e,
		   "plugin b: DEL: not now");
	assert_string_equal(cni_box_calls(&b), "c DEL, b DEL");
	assert_int_equal(cni_box_cached(&b), 1);
	cni_box_behaviour(&b, "b", "DEL", "");
	cni_box_del_ok(&b, &l);
	cni_box_assert_input(&b, 1, "prevResult", CNI_BOX_ADDED);
	assert_int_equal(cni_box_cached(&b), 0);
}

/* CNI-10 */
static void test_del_torn_cache(void **state)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;

	(void)state;
	cni_box_open_added(&b, "1.0.0", "a b", &l);
	file_write(b.cache, "results/net-c1-eth0", STR("{\"kind\":\"cniCacheV1\",\"conta"));
	cni_box_del_ok(&b, &l);
	assert_string_equal(cni_box_calls(&b), "b DEL, a DEL");
	cni_box_assert_input(&b, 1, "prevResult", NULL);
	assert_int_equal(cni_box_cached(&b), 0);
}

static void test_del_namespace_is_gone(void **state)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;
	char want[300];
	struct err e;

	(void)state;
	cni_box_open_added(&b, "1.0.0", "a", &l);
	assert_ok(netns_remove(b.netns, &e), &e);
	cni_box_del_ok(&b, &l);
	(void)snprintf(want, sizeof(want), "c1 %s eth0 \n", b.netns);
	cni_box_assert_env(&b, 1, want);
	/* A file that is no namespace: as after a reboot, where the mount is gone and the file is not. */
	(void)cni_box_calls(&b);
	file_write(b.dir, "netns/c1", STR(""));
	cni_box_del_ok(&b, &l);
	cni_box_assert_env(&b, 1, "c1  eth0 \n");
	/* The host's own namespace never is the one to work in. */
	(void)cni_box_calls(&b);
	b.attachment.netns = "/proc/self/ns/net";
	assert_err(cni_del(&b.cni, &l.name, &l, &b.attachment, &e), ERR_DENIED, &e, "the host's");
	assert_string_equal(cni_box_calls(&b), "");
}

/* I6 */
static void test_del_other_network(void **state)
{
	AUTO_CONFLIST mine = { 0 }, other = { 0 };
	AUTO_CNI_BOX b;

	(void)state;
	cni_box_open(&b);
	cni_box_list("mine", "1.0.0", "a", "", &mine);
	cni_box_list("other", "1.0.0", "b", "", &other);
	cni_box_add_ok(&b, &mine);
	(void)cni_box_calls(&b);
	cni_box_del_ok(&b, &other);
	assert_string_equal(cni_box_calls(&b), "b DEL");
	cni_box_assert_env(&b, 1, "c1  eth0 \n"); /* no namespace, so no interface to remove */
	assert_int_equal(cni_box_cached(&b), 1);
}

static void test_del_old_version(void **state)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;

	(void)state;
	cni_box_open_added(&b, "0.3.1", "a b", &l);
	cni_box_del_ok(&b, &l);
	assert_string_equal(cni_box_calls(&b), "b DEL, a DEL");
	cni_box_assert_input(&b, 1, "prevResult", NULL);
	cni_box_assert_input(&b, 1, "cniVersion", "\"0.3.1\"");
}

/* The result of an ADD is given to DEL and CHECK in the version of the list. */
static void test_cached_in_another_version(void **state)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;
	struct err e;

	(void)state;
	cni_box_open(&b);
	cni_box_list("net", "0.4.0", "a", "", &l);
	cni_box_add_ok(&b, &l); /* the plugin answers in 1.0.0 */
	(void)cni_box_calls(&b);
	assert_ok(cni_check(&b.cni, &l, &b.attachment, &e), &e);
	cni_box_assert_input(
	    &b, 1, "prevResult",
	    "{\"cniVersion\":\"0.4.0\",\"interfaces\":[{\"name\":\"eth0\",\"sandbox\":\"/x\"}],"
	    "\"ips\":[{\"address\":\"10.9.8.7/24\",\"version\":\"4\",\"interface\":0}],"
	    "\"dns\":{}}");
}

/* Where the namespace is gone, plugins that masquerade get one that looks like it. */
static void test_stand_in(void **state)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_CNI_BOX b;
	struct sbuf seen;
	char shell[600];
	struct err e;

	(void)state;
	cni_box_open(&b);
	assert_ok(conflist_parse(
		      STR("{\"name\":\"net\",\"cniVersion\":\"1.0.0\",\"plugins\":["
			  "{\"type\":\"a\",\"ipMasq\":true},{\"type\":\"b\",\"ipMasq\":false}]}"),
		      &l, &e),
		  &e);
	cni_box_add_ok(&b, &l);
	(void)cni_box_calls(&b);
	(void)snprintf(shell, sizeof(shell),
		       "nsenter --net=$CNI_NETNS ip -o -4 addr show dev eth0 >%s/seen; "
		       "echo $CNI_NETNS >>%s/seen",
		       b.dir, b.dir);
	cni_box_behaviour(&b, "a", "DEL", shell);
	assert_ok(netns_remove(b.netns, &e), &e);
	cni_box_del_ok(&b, &l);
	assert_string_equal(cni_box_calls(&b), "b DEL, a DEL");
	seen = file_read(b.dir, "seen");
	assert_non_null(strstr(seen.p, "10.9.8.7/24"));
	assert_non_null(strstr(seen.p, "/proc/"));
	sbuf_clear(&seen);
	(void)snprintf(shell, sizeof(shell), "c1 %s eth0 \n", b.netns);
	cni_box_assert_env(&b, 1, shell);
}

int main(void)
{
	(void)cni_box_enter();
	unit_case("DEL in reverse, with the result of ADD; again", test_del);
	unit_case("DEL by what the cache knows", test_del_from_cache);
	unit_case("DEL that fails keeps the entry", test_del_fails);
	unit_case("DEL with a torn cache", test_del_torn_cache);
	unit_case("DEL with the namespace gone", test_del_namespace_is_gone);
	unit_case("DEL from one network leaves another's interface", test_del_other_network);
	unit_case("DEL before 0.4.0", test_del_old_version);
	unit_case("a result of another version", test_cached_in_another_version);
	unit_case("a namespace that stands in", test_stand_in);
	return unit_run();
}
