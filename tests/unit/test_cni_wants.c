#include "runtime/net/attach.h"
#include "runtime/net/wants.h"
#include "tests/lib/unit.h"

#define TEXT_MAX 4096

/* A list whose one plugin takes these capabilities, "a,b". */
static void list_with(const char *capabilities, struct conflist *ret)
{
	struct str rest = str_of(capabilities), one;
	AUTO_SBUF text;
	struct err e;

	sbuf_init(&text, TEXT_MAX);
	sbuf_addf(&text, "{\"cniVersion\":\"1.0.0\",\"name\":\"net\",\"plugins\":"
			 "[{\"type\":\"t\",\"capabilities\":{");
	for (bool first = true; rest.n; first = false) {
		(void)str_cut(rest, ',', &one, &rest);
		sbuf_addf(&text, "%s\"%.*s\":true", first ? "" : ",", STR_FMT(one));
	}
	sbuf_addf(&text, "}}]}");
	assert_int_equal(conflist_parse((struct str){ text.p, text.n }, ret, &e), ERR_OK);
}

static void assert_capabilities(const struct wants *w, const char *taken, const char *expected)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_JV *v = NULL;
	AUTO_SBUF text;
	struct err e;

	sbuf_init(&text, TEXT_MAX);
	list_with(taken, &l);
	assert_int_equal(wants_capabilities(w, &l, &v, &e), ERR_OK);
	jv_dump(v, &text);
	sbuf_add(&text, "", 1);
	assert_string_equal(text.p, expected);
}

static const struct port_case {
	const char *name, *text, *mappings; /* NULL: refused */
} ports[] = {
	{ "plain", "80:81", "{\"hostPort\":80,\"containerPort\":81,\"protocol\":\"tcp\"}" },
	{ "UDP", "80:81/udp", "{\"hostPort\":80,\"containerPort\":81,\"protocol\":\"udp\"}" },
	{ "SCTP", "80:81/sctp", "{\"hostPort\":80,\"containerPort\":81,\"protocol\":\"sctp\"}" },
	{ "address", "127.0.0.1:80:81",
	  "{\"hostPort\":80,\"containerPort\":81,\"protocol\":\"tcp\",\"hostIP\":\"127.0.0.1\"}" },
	{ "IPv6", "[::1]:80:81",
	  "{\"hostPort\":80,\"containerPort\":81,\"protocol\":\"tcp\",\"hostIP\":\"::1\"}" },
	{ "range", "80-81:90-91",
	  "{\"hostPort\":80,\"containerPort\":90,\"protocol\":\"tcp\"},"
	  "{\"hostPort\":81,\"containerPort\":91,\"protocol\":\"tcp\"}" },
	{ "greatest", "65535:65535",
	  "{\"hostPort\":65535,\"containerPort\":65535,\"protocol\":\"tcp\"}" },
	{ "any port", "80", "{\"hostPort\":0,\"containerPort\":80,\"protocol\":\"tcp\"}" },
	{ "any port, with a colon", ":80",
	  "{\"hostPort\":0,\"containerPort\":80,\"protocol\":\"tcp\"}" },
	{ "any port of an address", "127.0.0.1::80/udp",
	  "{\"hostPort\":0,\"containerPort\":80,\"protocol\":\"udp\",\"hostIP\":\"127.0.0.1\"}" },
	{ "any port of an address of IPv6", "[::1]::80",
	  "{\"hostPort\":0,\"containerPort\":80,\"protocol\":\"tcp\",\"hostIP\":\"::1\"}" },
	{ "any ports", "80-81",
	  "{\"hostPort\":0,\"containerPort\":80,\"protocol\":\"tcp\"},"
	  "{\"hostPort\":0,\"containerPort\":81,\"protocol\":\"tcp\"}" },
	{ "no port inside", "80:", NULL },
	{ "colons alone", "::", NULL },
	{ "nothing", "", NULL },
	{ "zero", "0:80", NULL },
	{ "zero inside", "80:0", NULL },
	{ "too great", "65536:80", NULL },
	{ "minus", "-1:80", NULL },
	{ "ranges of different lengths", "80-82:90-91", NULL },
	{ "backwards", "81-80:91-90", NULL },
	{ "range of more than can be", "1-65535:1-65535", NULL },
	{ "protocol", "80:81/icmp", NULL },
	{ "no protocol", "80:81/", NULL },
	{ "host name", "localhost:80:81", NULL },
	{ "IPv6 without brackets", "::1:80:81", NULL },
	{ "bracket", "[::1:80:81", NULL },
	{ "nothing behind the bracket", "[::1]", NULL },
	{ "too many parts", "1.2.3.4:80:81:82", NULL },
	{ "blank", "80: 81", NULL },
	{ "more behind", "80:81x", NULL },
};

static void test_port(void **state)
{
	const struct port_case *c = *state;
	AUTO_WANTS w = { 0 };
	char expected[TEXT_MAX];
	struct err e;

	assert_int_equal(wants_port(&w, str_of(c->text), &e) == ERR_OK, c->mappings != NULL);
	if (!c->mappings)
		return;
	(void)snprintf(expected, sizeof(expected), "{\"portMappings\":[%s]}", c->mappings);
	assert_capabilities(&w, "portMappings", expected);
}

enum what { IP, MAC, ALIAS, SERVER, SEARCH, OPTION };

static const struct text_case {
	const char *name;
	enum what what;
	const char *text;
	bool good;
} texts[] = {
	{ "an address", IP, "10.1.2.3", true },
	{ "an address with a prefix", IP, "fd00::1/64", true },
	{ "an address that is none", IP, "10.1.2", false },
	{ "a MAC address", MAC, "02:00:aa:BB:cc:dd", true },
	{ "a MAC address for many", MAC, "03:00:aa:bb:cc:dd", false },
	{ "a MAC address that is short", MAC, "02:00:aa:bb:cc", false },
	{ "a MAC address with dashes", MAC, "02-00-aa-bb-cc-dd", false },
	{ "a MAC address of other digits", MAC, "02:00:aa:bb:cc:dg", false },
	{ "an alias", ALIAS, "web.local", true },
	{ "an alias of a container", ALIAS, "my_app-1", true },
	{ "an alias with a blank", ALIAS, "a b", false },
	{ "an alias with a dash first", ALIAS, "-a", false },
	{ "an alias of nothing", ALIAS, "", false },
	{ "an alias with an empty label", ALIAS, "a..b", false },
	{ "a name server", SERVER, "fd00::53", true },
	{ "a name server by name", SERVER, "dns.example", false },
	{ "a search domain", SEARCH, "corp.example", true },
	{ "no search domain", SEARCH, ".", true },
	{ "a search domain with a line", SEARCH, "a\nnameserver", false },
	{ "an option", OPTION, "ndots:5", true },
	{ "an option of two words", OPTION, "ndots:5 x", false },
	{ "an option that is a comment", OPTION, "#x", false },
};

static void test_text(void **state)
{
	static enum err_kind (*const add[])(struct wants * w, struct str in, struct err * e) = {
		[IP] = wants_ip,
		[MAC] = wants_mac,
		[ALIAS] = wants_alias,
		[SERVER] = wants_dns_server,
		[SEARCH] = wants_dns_search,
		[OPTION] = wants_dns_option,
	};
	const struct text_case *c = *state;
	AUTO_WANTS w = { 0 };
	struct err e;

	assert_int_equal(add[c->what](&w, str_of(c->text), &e), c->good ? ERR_OK : ERR_INVALID);
}

static void test_unsupported(void **state)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_WANTS w = { 0 };
	AUTO_JV *v = NULL;
	struct err e;

	(void)state;
	list_with("ips", &l);
	assert_int_equal(wants_port(&w, STR("80:80"), &e), ERR_OK);
	assert_int_equal(wants_capabilities(&w, &l, &v, &e), ERR_UNSUPPORTED);
	assert_non_null(strstr(e.msg, "portMappings"));
	assert_null(v);
}

/* Names are for berth as well (names.h), so they are kept where no plugin takes them. */
static void test_names_are_kept(void **state)
{
	AUTO_WANTS w = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(wants_alias(&w, STR("web"), &e), ERR_OK);
	assert_capabilities(&w, "", "{\"aliases\":[\"web\"]}");
}

static void test_rates(void **state)
{
	AUTO_WANTS w = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(wants_rate(&w, true, STR("16M"), &e), ERR_OK);
	assert_capabilities(&w, "bandwidth",
			    "{\"bandwidth\":{\"ingressRate\":16000000,\"ingressBurst\":1600000}}");
	assert_int_equal(wants_rate(&w, false, STR("800K"), &e), ERR_OK);
	assert_capabilities(&w, "bandwidth",
			    "{\"bandwidth\":{\"ingressRate\":16000000,\"ingressBurst\":1600000,"
			    "\"egressRate\":800000,\"egressBurst\":80000}}");
}

static void test_nothing(void **state)
{
	AUTO_WANTS w = { 0 };

	(void)state;
	assert_capabilities(&w, "portMappings,ips,mac", "{}");
}

static const struct network_case {
	const char *name, *text;
	enum attach_kind kind;
	const char *rest, *network, *ifname; /* rest NULL: refused */
} networks[] = {
	{ "none", "none", ATTACH_NONE, "", "", "" },
	{ "host", "host", ATTACH_HOST, "", "", "" },
	{ "container", "container:abc", ATTACH_CONTAINER, "abc", "", "" },
	{ "path", "ns:/run/netns/a:b", ATTACH_NAMESPACE, "/run/netns/a:b", "", "" },
	{ "network", "net", ATTACH_NETWORK, "net", "net", "" },
	{ "network with options", "net:interface_name=web0,ip=10.0.0.2,alias=a", ATTACH_NETWORK,
	  "net:interface_name=web0,ip=10.0.0.2,alias=a", "net", "web0" },
	{ "network with address of IPv6", "net:ip6=fd00::2", ATTACH_NETWORK, "net:ip6=fd00::2",
	  "net", "" },
	{ "container of nothing", "container:", ATTACH_NONE, NULL, "", "" },
	{ "path of nothing", "ns:", ATTACH_NONE, NULL, "", "" },
	{ "host with options", "host:ip=10.0.0.2", ATTACH_NETWORK, "host:ip=10.0.0.2", "host", "" },
	{ "nothing", "", ATTACH_NONE, NULL, "", "" },
	{ "path as a name", "../x", ATTACH_NONE, NULL, "", "" },
	{ "rates", "net:ingress=800K,egress=1G", ATTACH_NETWORK, "net:ingress=800K,egress=1G",
	  "net", "" },
	{ "no rate", "net:ingress=", ATTACH_NONE, NULL, "", "" },
	{ "a rate of nothing", "net:ingress=0", ATTACH_NONE, NULL, "", "" },
	{ "a rate of an unknown unit", "net:egress=5X", ATTACH_NONE, NULL, "", "" },
	{ "a rate beyond all", "net:egress=1001G", ATTACH_NONE, NULL, "", "" },
	{ "unknown option", "net:x=y", ATTACH_NONE, NULL, "", "" },
	{ "empty option", "net:,", ATTACH_NONE, NULL, "", "" },
	{ "wrong address", "net:ip=x", ATTACH_NONE, NULL, "", "" },
	{ "wrong interface", "net:interface_name=a/b", ATTACH_NONE, NULL, "", "" },
};

static void test_network(void **state)
{
	const struct network_case *c = *state;
	struct attach_network n;
	enum attach_kind kind;
	struct str rest;
	struct err e;
	enum err_kind k = attach_parse(str_of(c->text), &kind, &rest, &n, &e);

	wants_clear(&n.wants);
	if (!c->rest) {
		assert_int_equal(k, ERR_INVALID);
		return;
	}
	assert_int_equal(k, ERR_OK);
	assert_int_equal(kind, c->kind);
	if (*c->rest)
		assert_true(str_eq(rest, str_of(c->rest)));
	assert_string_equal(n.name.s, c->network);
	assert_string_equal(n.ifname.s, c->ifname);
}

int main(void)
{
	UNIT_TABLE("port", test_port, ports);
	UNIT_TABLE("text", test_text, texts);
	UNIT_TABLE("network", test_network, networks);
	unit_case("what no plugin can do", test_unsupported);
	unit_case("names are kept", test_names_are_kept);
	unit_case("rates", test_rates);
	unit_case("nothing wanted", test_nothing);
	return unit_run();
}
