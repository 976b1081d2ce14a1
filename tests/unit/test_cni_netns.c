#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/net/link.h"
#include "runtime/net/netns.h"
#include "tests/lib/cni_box.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static ino_t own_netns(void)
{
	struct stat st;

	assert_int_equal(stat("/proc/thread-self/ns/net", &st), 0);
	return st.st_ino;
}

static void test_create_remove(void **state)
{
	char path[NETNS_PATH_MAX], dir[200];
	AUTO_CNI_BOX b;
	struct stat st;
	struct err e;
	ino_t before;

	(void)state;
	cni_box_open(&b);
	before = own_netns();
	(void)snprintf(dir, sizeof(dir), "%s/netns", b.dir);
	assert_ok(netns_create(dir, "other", path, &e), &e);
	assert_int_equal(own_netns(), before);
	assert_int_equal(stat(path, &st), 0);
	assert_int_not_equal(st.st_ino, before);
	assert_ok(netns_check(path, &e), &e);
	assert_err(netns_create(dir, "other", path, &e), ERR_EXISTS, &e, "other");
	assert_ok(netns_check(path, &e), &e); /* the first one is untouched */
	assert_ok(netns_remove(path, &e), &e);
	assert_int_equal(access(path, F_OK), -1);
	assert_ok(netns_remove(path, &e), &e);
	assert_err(netns_check(path, &e), ERR_NOT_FOUND, &e, path);
}

/* What lies on top of each other is taken away as a whole. */
static void test_mounted_twice(void **state)
{
	AUTO_CNI_BOX b;
	struct err e;

	(void)state;
	cni_box_open(&b);
	assert_int_equal(mount(b.netns, b.netns, NULL, MS_BIND, NULL), 0);
	assert_ok(netns_remove(b.netns, &e), &e);
	assert_int_equal(access(b.netns, F_OK), -1);
}

static void test_loopback_is_up(void **state)
{
	AUTO_NL s = { .fd = -1 };
	AUTO_CNI_BOX b;
	struct link l;
	struct err e;

	(void)state;
	cni_box_open(&b);
	assert_ok(netns_netlink(b.netns, NETLINK_ROUTE, &s, &e), &e);
	assert_ok(link_find(&s, "lo", &l, &e), &e);
	assert_true(l.is_up);
	assert_err(link_find(&s, "eth0", &l, &e), ERR_NOT_FOUND, &e, "eth0");
}

static void test_links(void **state)
{
	const struct if_name eth0 = { "eth0" }, eth1 = { "eth1" };
	AUTO_NL s = { .fd = -1 };
	struct ip_net ip;
	AUTO_CNI_BOX b;
	struct link l, peer;
	unsigned n;
	bool has;
	struct err e;

	(void)state;
	cni_box_open(&b);
	assert_ok(netns_netlink(b.netns, NETLINK_ROUTE, &s, &e), &e);
	assert_ok(link_add_veth(&s, "eth0", "peer", &e), &e);
	assert_err(link_add_veth(&s, "eth0", "peer2", &e), ERR_EXISTS, &e, "exists");
	assert_ok(link_find(&s, "eth0", &l, &e), &e);
	assert_ok(link_find(&s, "peer", &peer, &e), &e);
	assert_string_equal(l.kind, "veth");
	assert_false(l.is_up);
	assert_ok(link_set_up(&s, l.index, &e), &e);
	assert_ok(link_find(&s, "eth0", &l, &e), &e);
	assert_true(l.is_up);
	assert_true(ip_net_parse(STR("10.5.6.7/20"), &ip));
	assert_ok(link_add_address(&s, l.index, &ip, &e), &e);
	assert_true(ip_net_parse(STR("fd00:1::7/64"), &ip));
	assert_ok(link_add_address(&s, l.index, &ip, &e), &e);
	assert_ok(link_count_ports(&s, l.index, &n, &e), &e);
	assert_int_equal(n, 0);
	assert_ok(netns_has_interface(b.netns, &eth0, &has, &e), &e);
	assert_true(has);
	assert_ok(netns_has_interface(b.netns, &eth1, &has, &e), &e);
	assert_false(has);
	assert_ok(netns_has_interface(NULL, &eth0, &has, &e), &e);
	assert_false(has); /* it is not in our own */
	assert_ok(link_delete(&s, l.index, &e), &e);
	assert_err(link_find(&s, "peer", &peer, &e), ERR_NOT_FOUND, &e, "peer");
}

struct seen {
	unsigned n4, n6;
	bool address, link_local;
};

static enum err_kind see(void *arg, const struct ip_net *network, struct err *e)
{
	struct seen *s = arg;
	char text[IP_TEXT_MAX];

	(void)e;
	*(network->len == 4 ? &s->n4 : &s->n6) += 1;
	ip_net_text(network, text);
	s->address = s->address || strcmp(text, "10.5.6.7/20") == 0;
	s->link_local = s->link_local || strncmp(text, "fe80", 4) == 0;
	return ERR_OK;
}

static void test_networks(void **state)
{
	AUTO_NL s = { .fd = -1 };
	struct seen seen = { 0 };
	struct ip_net ip;
	AUTO_CNI_BOX b;
	struct link l;
	struct err e;

	(void)state;
	cni_box_open(&b);
	assert_ok(netns_netlink(b.netns, NETLINK_ROUTE, &s, &e), &e);
	assert_ok(link_add_veth(&s, "eth0", "peer", &e), &e);
	assert_ok(link_find(&s, "eth0", &l, &e), &e);
	assert_ok(link_set_up(&s, l.index, &e), &e);
	assert_true(ip_net_parse(STR("10.5.6.7/20"), &ip));
	assert_ok(link_add_address(&s, l.index, &ip, &e), &e);
	assert_ok(link_each_network(&s, see, &seen, &e), &e);
	assert_true(seen.address);
	assert_true(seen.n4 >= 2); /* 127.0.0.0/8 is one more */
}

static void test_many_answers(void **state)
{
	AUTO_NL s = { .fd = -1 };
	char name[16], peer[16];
	AUTO_CNI_BOX b;
	struct link l;
	unsigned n;
	struct err e;

	(void)state;
	cni_box_open(&b);
	assert_ok(netns_netlink(b.netns, NETLINK_ROUTE, &s, &e), &e);
	for (unsigned i = 0; i < 100; i++) { /* more than one message of a dump */
		(void)snprintf(name, sizeof(name), "v%u", i);
		(void)snprintf(peer, sizeof(peer), "p%u", i);
		assert_ok(link_add_veth(&s, name, peer, &e), &e);
	}
	assert_ok(link_find(&s, "v99", &l, &e), &e);
	assert_ok(link_count_ports(&s, l.index, &n, &e), &e);
	assert_int_equal(n, 0);
}

/* N3: the socket speaks of the other namespace, we are where we were. */
static void test_not_a_namespace(void **state)
{
	AUTO_NL s = { .fd = -1 };
	AUTO_CNI_BOX b;
	struct err e;

	(void)state;
	cni_box_open(&b);
	assert_err(netns_netlink("/proc/self/ns/mnt", NETLINK_ROUTE, &s, &e), ERR_INVALID, &e,
		   "not a network namespace");
	assert_err(netns_netlink("/etc/passwd", NETLINK_ROUTE, &s, &e), ERR_INVALID, &e,
		   "not a network namespace");
	assert_err(netns_netlink("/nowhere", NETLINK_ROUTE, &s, &e), ERR_NOT_FOUND, &e, "/nowhere");
	assert_int_equal(s.fd, -1);
	assert_ok(netns_check(b.netns, &e), &e);
	assert_err(netns_check("/proc/self/ns/net", &e), ERR_DENIED, &e, "the host's");
}

static void test_stand_in(void **state)
{
	const struct if_name eth0 = { "eth0" }, peer = { "peer" };
	char path[NETNS_PATH_MAX];
	AUTO_CNI_BOX b;
	AUTO_RESULT r;
	struct err e;
	bool has;
	int fd = -1;

	(void)state;
	cni_box_open(&b);
	assert_ok(result_parse(STR("{\"interfaces\":[{\"name\":\"br0\"},{\"name\":\"eth0\","
				   "\"sandbox\":\"/x\"}],\"ips\":[{\"address\":\"10.1.1.1/24\","
				   "\"interface\":1},{\"address\":\"10.1.1.2/24\",\"interface\":0},"
				   "{\"address\":\"fd00::1/64\"},{\"address\":\"10.1.1.3/24\","
				   "\"interface\":7}]}"),
			       CNI_1_0_0, &r, &e),
		  &e);
	assert_ok(netns_stand_in(&eth0, &r, &fd, path, &e), &e);
	assert_ok(netns_check(path, &e), &e);
	assert_ok(netns_has_interface(path, &eth0, &has, &e), &e);
	assert_true(has);
	(void)close(fd);
	assert_err(netns_check(path, &e), ERR_NOT_FOUND, &e, path);
	assert_ok(netns_stand_in(&peer, &r, &fd, path, &e), &e);
	(void)close(fd);
}

static void test_long_names(void **state)
{
	char path[NETNS_PATH_MAX], name[NETNS_PATH_MAX];
	AUTO_CNI_BOX b;
	struct err e;

	(void)state;
	cni_box_open(&b);
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_err(netns_create(b.dir, name, path, &e), ERR_INVALID, &e, "too long");
}

int main(void)
{
	(void)cni_box_enter();
	unit_case("made and removed", test_create_remove);
	unit_case("removed though mounted twice", test_mounted_twice);
	unit_case("loopback is up", test_loopback_is_up);
	unit_case("interfaces and addresses", test_links);
	unit_case("networks that are taken", test_networks);
	unit_case("answers of many messages", test_many_answers);
	unit_case("what is no namespace", test_not_a_namespace);
	unit_case("a namespace that stands in", test_stand_in);
	unit_case("names that are too long", test_long_names);
	return unit_run();
}
