#include "runtime/net/nft.h"
#include "runtime/net/sender.h"
#include "tests/lib/unit.h"

#define RESULT(interfaces, ips)                                                                    \
	"{\"cniVersion\":\"1.0.0\",\"interfaces\":[" interfaces "],\"ips\":[" ips "]}"
#define BRIDGE "{\"name\":\"berth0\",\"mac\":\"02:00:00:00:00:09\"}"
#define OUTER "{\"name\":\"veth1\",\"mac\":\"02:00:00:00:00:08\"}"
#define INNER "{\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\",\"sandbox\":\"/x\"}"
#define FOUR "{\"address\":\"10.9.8.7/24\",\"interface\":2}"
#define SIX "{\"address\":\"fd00::7/64\",\"interface\":2}"

#define HEAD                                                                                       \
	"add table netdev berth\n"                                                                 \
	"add chain netdev berth from-veth1"                                                        \
	" { type filter hook ingress device \"veth1\" priority filter; }\n"                        \
	"flush chain netdev berth from-veth1\n"
#define ADD "add rule netdev berth from-veth1 "
#define MACS                                                                                       \
	ADD "ether saddr != 02:00:00:00:00:01 drop\n" ADD                                          \
	    "arp saddr ether != 02:00:00:00:00:01 drop\n"
#define ROUTERS ADD "icmpv6 type { nd-router-advert, nd-redirect } drop\n"
#define NEIGHBOURS ADD "icmpv6 type nd-neighbor-advert @th,64,16 != 0xfe80"

static const struct sender_case {
	const char *name, *result, *script; /* NULL: refused */
} cases[] = {
	{ "two stacks", RESULT(BRIDGE "," OUTER "," INNER, FOUR "," SIX),
	  HEAD MACS ADD "arp saddr ip != { 0.0.0.0, 10.9.8.7 } drop\n" ADD
			"ip saddr != { 0.0.0.0, 10.9.8.7 } drop\n" ADD
			"ip6 saddr != { ::, fe80::/10, fd00::7 } drop\n" ROUTERS NEIGHBOURS
			" @th,64,128 != 0xfd000000000000000000000000000007 drop\n" },
	{ "IPv4 alone", RESULT(BRIDGE "," OUTER "," INNER, FOUR),
	  HEAD MACS ADD "arp saddr ip != { 0.0.0.0, 10.9.8.7 } drop\n" ADD
			"ip saddr != { 0.0.0.0, 10.9.8.7 } drop\n" ADD
			"ip6 saddr != { ::, fe80::/10 } drop\n" ROUTERS NEIGHBOURS " drop\n" },
	{ "no interface of the host", RESULT(BRIDGE "," INNER, FOUR), NULL },
	{ "a name that is none for a script",
	  RESULT(BRIDGE ",{\"name\":\"a\\\" accept\"}," INNER, FOUR), NULL },
	{ "no interface of the container", RESULT(BRIDGE "," OUTER, FOUR), NULL },
	{ "no MAC address", RESULT(OUTER ",{\"name\":\"eth0\",\"sandbox\":\"/x\"}", FOUR), NULL },
	{ "a MAC address that is none",
	  RESULT(OUTER ",{\"name\":\"eth0\",\"mac\":\"0 accept\",\"sandbox\":\"/x\"}", FOUR),
	  NULL },
	{ "nothing", "{}", NULL },
};

static void test_write(void **state)
{
	const struct sender_case *c = *state;
	const struct if_name eth0 = { "eth0" };
	AUTO_SBUF script;
	AUTO_RESULT r;
	struct err e;

	sbuf_init(&script, NFT_SCRIPT_MAX);
	assert_ok(result_parse(str_of(c->result), CNI_1_0_0, &r, &e), &e);
	if (!c->script) {
		assert_err(sender_write(&r, &eth0, "berth0", &script, &e), ERR_INVALID, &e,
			   "interface");
		assert_int_equal(script.n, 0);
		return;
	}
	assert_ok(sender_write(&r, &eth0, "berth0", &script, &e), &e);
	assert_string_equal(script.p, c->script);
}

static const struct list_case {
	const char *name, *extra;
	bool checked;
} lists[] = {
	{ "of others", "", false },
	{ "made before", ",\"berth\":{\"guard\":\"berth0\"}", false },
	{ "checked", ",\"berth\":{\"guard\":\"berth0\",\"checked\":true}", true },
	{ "not checked", ",\"berth\":{\"checked\":false}", false },
	{ "no truth", ",\"berth\":{\"checked\":\"true\"}", false },
};

static void test_lists(void **state)
{
	const struct list_case *c = *state;
	AUTO_CONFLIST l = { 0 };
	AUTO_SBUF text;
	struct err e;

	sbuf_init(&text, 1000);
	sbuf_addf(&text, "{\"name\":\"x\",\"plugins\":[{\"type\":\"a\"}]%s}", c->extra);
	assert_ok(conflist_parse((struct str){ text.p, text.n }, &l, &e), &e);
	assert_int_equal(sender_is_checked(&l), c->checked);
}

int main(void)
{
	UNIT_TABLE("what may be sent", test_write, cases);
	UNIT_TABLE("lists", test_lists, lists);
	return unit_run();
}
