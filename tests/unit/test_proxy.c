#include "server/proxy.h"

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static const struct {
	const char *name, *list;
	size_t n; /* SIZE_MAX: refused */
} lists[] = {
	{ "none", "", 0 },
	{ "one", "127.0.0.1", 1 },
	{ "several", "10.0.0.0/8, 192.168.0.0/16 ::1,2001:db8::/32", 4 },
	{ "everything", "0.0.0.0/0", 1 },
	{ "a name", "proxy.example.org", SIZE_MAX },
	{ "too many bits", "10.0.0.0/33", SIZE_MAX },
	{ "too many bits of IPv6", "::1/129", SIZE_MAX },
	{ "bits that are none", "10.0.0.0/x", SIZE_MAX },
	{ "no bits", "10.0.0.0/", SIZE_MAX },
	{ "a port", "10.0.0.1:80", SIZE_MAX },
};

static void test_list(void **state)
{
	__typeof__(&lists[0]) l = *state;
	struct proxies p;
	struct err e;
	enum err_kind k = proxies_parse(str_of(l->list), &p, &e);

	if (l->n == SIZE_MAX) {
		assert_int_equal(k, ERR_INVALID);
		return;
	}
	assert_ok(k, &e);
	assert_int_equal(p.n, l->n);
}

static const struct {
	const char *name, *proxies, *peer, *field, *client;
} clients[] = {
	{ "nobody is trusted", "", "10.0.0.1", "192.0.2.1", "10.0.0.1" },
	{ "a stranger's word", "10.0.0.1", "192.0.2.9", "192.0.2.1", "192.0.2.9" },
	{ "a proxy's word", "10.0.0.1", "10.0.0.1", "192.0.2.1", "192.0.2.1" },
	{ "of a network", "10.0.0.0/8", "10.9.8.7", "192.0.2.1", "192.0.2.1" },
	{ "just outside", "10.0.0.0/9", "10.128.0.0", "192.0.2.1", "10.128.0.0" },
	{ "odd bits", "10.0.0.0/29", "10.0.0.7", "192.0.2.1", "192.0.2.1" },
	{ "odd bits, outside", "10.0.0.0/29", "10.0.0.8", "192.0.2.1", "10.0.0.8" },
	{ "what the client put before counts for nothing", "10.0.0.1", "10.0.0.1",
	  "203.0.113.5, 192.0.2.1", "192.0.2.1" },
	{ "through two of ours", "10.0.0.0/8", "10.0.0.1", "203.0.113.5, 192.0.2.1, 10.0.0.2",
	  "192.0.2.1" },
	{ "only ours", "10.0.0.0/8", "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3" },
	{ "IPv6", "::1", "::1", "2001:db8::5", "2001:db8::5" },
	{ "IPv4 as IPv6", "127.0.0.1", "::ffff:127.0.0.1", "192.0.2.1", "192.0.2.1" },
	{ "junk", "10.0.0.1", "10.0.0.1", "unknown", "10.0.0.1" },
	{ "junk at the end", "10.0.0.1", "10.0.0.1", "192.0.2.1, x", "10.0.0.1" },
	{ "nothing", "10.0.0.1", "10.0.0.1", "", "10.0.0.1" },
	{ "a port", "10.0.0.1", "10.0.0.1", "192.0.2.1:99", "10.0.0.1" },
	{ "very long", "10.0.0.1", "10.0.0.1",
	  "1111111111111111111111111111111111111111111111111111111111111111111111", "10.0.0.1" },
};

static void test_client(void **state)
{
	__typeof__(&clients[0]) c = *state;
	struct proxies p;
	char buf[48];
	struct err e;

	assert_ok(proxies_parse(str_of(c->proxies), &p, &e), &e);
	assert_string_equal(proxies_client(&p, c->peer, str_of(c->field), buf, sizeof(buf)),
			    c->client);
}

int main(void)
{
	UNIT_TABLE("list", test_list, lists);
	UNIT_TABLE("client", test_client, clients);
	return unit_run();
}
