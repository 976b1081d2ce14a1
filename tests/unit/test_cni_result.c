#include "runtime/net/result.h"
#include "tests/lib/unit.h"

static void dump(const struct result *r, struct sbuf *out)
{
	AUTO_JV *v = result_write(r);

	sbuf_init(out, 65536);
	jv_dump(v, out);
	assert_false(out->failed);
}

static void assert_written(const struct result *r, const char *want)
{
	AUTO_SBUF out;

	dump(r, &out);
	assert_string_equal(out.p, want);
}

#define DNS                                                                                        \
	"\"dns\":{\"nameservers\":[\"1.2.3.4\",\"1::cafe\"],\"domain\":\"acompany.com\","          \
	"\"search\":[\"somedomain.com\",\"otherdomain.net\"],\"options\":[\"foo\",\"bar\"]}"
#define INTERFACE                                                                                  \
	"{\"name\":\"eth0\",\"mac\":\"00:11:22:33:44:55\",\"sandbox\":\"/proc/3553/ns/net\"}"
#define ROUTES                                                                                     \
	"\"routes\":[{\"dst\":\"15.5.6.0/24\",\"gw\":\"15.5.6.8\"},"                               \
	"{\"dst\":\"1111:dddd::/80\",\"gw\":\"1111:dddd::aaaa\"}]"
#define V110                                                                                       \
	"{\"cniVersion\":\"1.1.0\",\"interfaces\":[{\"name\":\"eth0\","                            \
	"\"mac\":\"00:11:22:33:44:55\",\"mtu\":1500,\"sandbox\":\"/proc/3553/ns/net\","            \
	"\"socketPath\":\"/path/to/vhost/fd\",\"pciID\":\"8086:9a01\"}],"                          \
	"\"ips\":[{\"address\":\"1.2.3.30/24\",\"gateway\":\"1.2.3.1\",\"interface\":0},"          \
	"{\"address\":\"abcd:1234:ffff::cdde/64\",\"gateway\":\"abcd:1234:ffff::1\","              \
	"\"interface\":0}]," ROUTES "," DNS "}"
#define V04(v)                                                                                     \
	"{\"cniVersion\":\"" v "\",\"interfaces\":[" INTERFACE                                     \
	"],\"ips\":[{\"address\":\"1.2.3.30/24\",\"version\":\"4\",\"gateway\":\"1.2.3.1\","       \
	"\"interface\":0},{\"address\":\"abcd:1234:ffff::cdde/64\",\"version\":\"6\","             \
	"\"gateway\":\"abcd:1234:ffff::1\",\"interface\":0}]," ROUTES "," DNS "}"
#define V02(v)                                                                                     \
	"{\"cniVersion\":\"" v "\",\"ip4\":{\"ip\":\"1.2.3.30/24\",\"gateway\":\"1.2.3.1\","       \
	"\"routes\":[{\"dst\":\"15.5.6.0/24\",\"gw\":\"15.5.6.8\"}]},"                             \
	"\"ip6\":{\"ip\":\"abcd:1234:ffff::cdde/64\",\"gateway\":\"abcd:1234:ffff::1\","           \
	"\"routes\":[{\"dst\":\"1111:dddd::/80\",\"gw\":\"1111:dddd::aaaa\"}]}," DNS "}"

/* Every version is written as it was read. */
static const struct {
	const char *name, *json;
} whole[] = {
	{ "1.1.0", V110 },
	{ "0.4.0", V04("0.4.0") },
	{ "0.3.1", V04("0.3.1") },
	{ "0.3.0", V04("0.3.0") },
	{ "0.2.0", V02("0.2.0") },
	{ "0.1.0", V02("0.1.0") },
	{ "nothing", "{\"cniVersion\":\"1.0.0\"}" },
	{ "nothing of old", "{\"cniVersion\":\"0.4.0\",\"dns\":{}}" },
	{ "an address alone", "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.1.2.3/8\"}]}" },
	{ "interface 0",
	  "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.1.2.3/8\",\"interface\":0}]}" },
	{ "a whole route",
	  "{\"cniVersion\":\"1.1.0\",\"routes\":[{\"dst\":\"0.0.0.0/0\",\"gw\":\"1.2.3.4\","
	  "\"mtu\":1400,\"advmss\":1340,\"priority\":10,\"table\":0,\"scope\":253}]}" },
};

static void test_whole(void **state)
{
	const struct {
		const char *name, *json;
	} *c = *state;
	AUTO_RESULT r;
	struct err e;

	assert_ok(result_parse(str_of(c->json), CNI_1_0_0, &r, &e), &e);
	assert_written(&r, c->json);
}

static const struct {
	const char *name, *from;
	enum cni_version to;
	const char *want;
} conversions[] = {
	{ "1.1.0 to itself", V110, CNI_1_1_0, V110 },
	{ "1.1.0 to 0.4.0", V110, CNI_0_4_0, V04("0.4.0") },
	{ "1.1.0 to 0.3.1", V110, CNI_0_3_1, V04("0.3.1") },
	{ "1.1.0 to 0.3.0", V110, CNI_0_3_0, V04("0.3.0") },
	{ "1.1.0 to 0.2.0", V110, CNI_0_2_0, V02("0.2.0") },
	{ "1.1.0 to 0.1.0", V110, CNI_0_1_0, V02("0.1.0") },
	{ "0.4.0 to 0.3.0", V04("0.4.0"), CNI_0_3_0, V04("0.3.0") },
	{ "0.3.0 to 0.4.0", V04("0.3.0"), CNI_0_4_0, V04("0.4.0") },
	{ "0.4.0 to 0.2.0", V04("0.4.0"), CNI_0_2_0, V02("0.2.0") },
	{ "0.2.0 to 0.1.0", V02("0.2.0"), CNI_0_1_0, V02("0.1.0") },
	{ "0.1.0 to 0.2.0", V02("0.1.0"), CNI_0_2_0, V02("0.2.0") },
	{ "1.0.0 to 1.1.0",
	  "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"a\",\"mtu\":9}]}", CNI_1_1_0,
	  "{\"cniVersion\":\"1.1.0\",\"interfaces\":[{\"name\":\"a\",\"mtu\":9}]}" },
	{ "1.1.0 to 1.0.0",
	  "{\"cniVersion\":\"1.1.0\",\"interfaces\":[{\"name\":\"a\",\"mtu\":9}]}", CNI_1_0_0,
	  "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"a\",\"mtu\":9}]}" },
	{ "0.4.0 to 1.0.0", "{\"cniVersion\":\"0.4.0\",\"interfaces\":[" INTERFACE "],\"dns\":{}}",
	  CNI_1_0_0, "{\"cniVersion\":\"1.0.0\",\"interfaces\":[" INTERFACE "]}" },
	{ "0.2.0 to 1.1.0", V02("0.2.0"), CNI_1_1_0,
	  "{\"cniVersion\":\"1.1.0\",\"ips\":[{\"address\":\"1.2.3.30/"
	  "24\",\"gateway\":\"1.2.3.1\"},"
	  "{\"address\":\"abcd:1234:ffff::cdde/64\",\"gateway\":\"abcd:1234:ffff::1\"}]," ROUTES
	  "," DNS "}" },
	{ "0.2.0 to 0.4.0", V02("0.2.0"), CNI_0_4_0,
	  "{\"cniVersion\":\"0.4.0\",\"ips\":[{\"address\":\"1.2.3.30/24\",\"version\":\"4\","
	  "\"gateway\":\"1.2.3.1\"},{\"address\":\"abcd:1234:ffff::cdde/64\",\"version\":\"6\","
	  "\"gateway\":\"abcd:1234:ffff::1\"}]," ROUTES "," DNS "}" },
	{ "the first address of a family only",
	  "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"::5/64\"},{\"address\":\"10.0.0.1/"
	  "8\"},"
	  "{\"address\":\"10.0.0.2/8\"}]}",
	  CNI_0_2_0,
	  "{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"10.0.0.1/8\"},\"ip6\":{\"ip\":\"::5/64\"},"
	  "\"dns\":{}}" },
	{ "routes of a family without address are lost",
	  "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.0.0.1/8\"}],\"routes\":"
	  "[{\"dst\":\"::/0\"},{\"dst\":\"0.0.0.0/0\",\"mtu\":9}]}",
	  CNI_0_2_0,
	  "{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"10.0.0.1/8\",\"routes\":"
	  "[{\"dst\":\"0.0.0.0/0\"}]},\"dns\":{}}" },
	{ "0.2.0 without an address to 1.0.0", "{\"cniVersion\":\"0.2.0\",\"dns\":{}}", CNI_1_0_0,
	  "{\"cniVersion\":\"1.0.0\"}" },
};

static void test_conversion(void **state)
{
	const struct {
		const char *name, *from;
		enum cni_version to;
		const char *want;
	} *c = *state;
	AUTO_RESULT r;
	struct err e;

	assert_ok(result_parse(str_of(c->from), CNI_1_0_0, &r, &e), &e);
	assert_ok(result_convert(&r, c->to, &e), &e);
	assert_written(&r, c->want);
}

static void test_no_old_form(void **state)
{
	AUTO_RESULT r;
	struct err e;

	(void)state;
	assert_ok(result_parse(STR("{\"cniVersion\":\"1.0.0\"}"), CNI_1_0_0, &r, &e), &e);
	assert_err(result_convert(&r, CNI_0_2_0, &e), ERR_INVALID, &e, "without an address");
	result_clear(&r);
	/* An address of which an old plugin did not say the family has no place either. */
	assert_ok(
	    result_parse(STR("{\"cniVersion\":\"0.3.1\",\"ips\":[{\"address\":\"10.0.0.1/8\"}]}"),
			 CNI_1_0_0, &r, &e),
	    &e);
	assert_err(result_convert(&r, CNI_0_2_0, &e), ERR_INVALID, &e, "without an address");
}

/* Every version to every other: it goes, and is what it says. */
static void test_all_pairs(void **state)
{
	static const char *const texts[CNI_VERSION_N] = {
		V02("0.1.0"), V02("0.2.0"),
		V04("0.3.0"), V04("0.3.1"),
		V04("0.4.0"), "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.0.0.1/8\"}]}",
		V110
	};

	(void)state;
	for (unsigned from = 0; from < CNI_VERSION_N; from++) {
		for (unsigned to = 0; to < CNI_VERSION_N; to++) {
			AUTO_RESULT r, again;
			AUTO_SBUF text;
			struct err e;

			assert_ok(result_parse(str_of(texts[from]), CNI_1_0_0, &r, &e), &e);
			assert_int_equal(r.version, from);
			assert_ok(result_convert(&r, (enum cni_version)to, &e), &e);
			dump(&r, &text);
			assert_ok(
			    result_parse((struct str){ text.p, text.n }, CNI_0_3_0, &again, &e),
			    &e);
			assert_int_equal(again.version, to);
			assert_int_equal(again.n_ips, r.n_ips);
		}
	}
}

static const struct {
	const char *name, *json, *wrong;
} refused[] = {
	{ "no JSON", "{{{", "not valid JSON" },
	{ "nothing", "", "not valid JSON" },
	{ "an array", "[]", "not an object" },
	{ "two values", "{} {}", "not valid JSON" },
	{ "unknown version", "{\"cniVersion\":\"5678.456\"}", "5678.456" },
	{ "version of the future", "{\"cniVersion\":\"1.2.0\"}", "1.2.0" },
	{ "version no text", "{\"cniVersion\":1}", "\"cniVersion\" is not a text" },
	{ "interfaces no array", "{\"interfaces\":{}}", "\"interfaces\" is not an array" },
	{ "interface no object", "{\"interfaces\":[1]}", "array of objects" },
	{ "interface null", "{\"interfaces\":[null]}", "array of objects" },
	{ "name no text", "{\"interfaces\":[{\"name\":1}]}", "\"name\"" },
	{ "mtu no number", "{\"interfaces\":[{\"mtu\":\"1\"}]}", "\"mtu\"" },
	{ "mtu no integer", "{\"interfaces\":[{\"mtu\":1.5}]}", "\"mtu\"" },
	{ "ips no array", "{\"ips\":\"10.0.0.1/8\"}", "\"ips\" is not an array" },
	{ "address missing", "{\"ips\":[{}]}", "\"address\"" },
	{ "address without a prefix", "{\"ips\":[{\"address\":\"10.0.0.1\"}]}", "\"address\"" },
	{ "address of names", "{\"ips\":[{\"address\":\"host/8\"}]}", "\"address\"" },
	{ "prefix too long", "{\"ips\":[{\"address\":\"10.0.0.1/33\"}]}", "\"address\"" },
	{ "prefix with zeros", "{\"ips\":[{\"address\":\"10.0.0.1/08\"}]}", "\"address\"" },
	{ "prefix negative", "{\"ips\":[{\"address\":\"10.0.0.1/-1\"}]}", "\"address\"" },
	{ "prefix missing", "{\"ips\":[{\"address\":\"10.0.0.1/\"}]}", "\"address\"" },
	{ "number with zeros", "{\"ips\":[{\"address\":\"010.0.0.1/8\"}]}", "\"address\"" },
	{ "zone", "{\"ips\":[{\"address\":\"fe80::1%eth0/64\"}]}", "\"address\"" },
	{ "gateway no address", "{\"ips\":[{\"address\":\"10.0.0.1/8\",\"gateway\":\"x\"}]}",
	  "\"gateway\"" },
	{ "gateway with a prefix",
	  "{\"ips\":[{\"address\":\"10.0.0.1/8\",\"gateway\":\"10.0.0.2/8\"}]}", "\"gateway\"" },
	{ "interface no number", "{\"ips\":[{\"address\":\"10.0.0.1/8\",\"interface\":\"0\"}]}",
	  "\"interface\"" },
	{ "route without destination", "{\"routes\":[{\"gw\":\"10.0.0.1\"}]}", "\"dst\"" },
	{ "route no object", "{\"routes\":[[]]}", "array of objects" },
	{ "dns no object", "{\"dns\":[]}", "\"dns\"" },
	{ "nameservers no array", "{\"dns\":{\"nameservers\":\"1.2.3.4\"}}", "\"nameservers\"" },
	{ "nameserver no text", "{\"dns\":{\"nameservers\":[1]}}", "\"nameservers\"" },
	{ "ip4 no object", "{\"cniVersion\":\"0.2.0\",\"ip4\":[]}", "\"ip4\"" },
	{ "ip4 without address", "{\"cniVersion\":\"0.2.0\",\"ip4\":{}}", "\"ip\"" },
	{ "version of an address no text",
	  "{\"cniVersion\":\"0.4.0\",\"ips\":[{\"version\":4,\"address\":\"10.0.0.1/8\"}]}",
	  "\"version\"" },
};

static void test_refused(void **state)
{
	const struct {
		const char *name, *json, *wrong;
	} *c = *state;
	AUTO_RESULT r;
	struct err e;
	enum err_kind k = result_parse(str_of(c->json), CNI_1_0_0, &r, &e);

	assert_true(k == ERR_INVALID || k == ERR_UNSUPPORTED);
	assert_err(k, k, &e, c->wrong);
	assert_int_equal(r.n_ips + r.n_routes + r.n_interfaces, 0);
}

static const struct {
	const char *name, *json, *want;
} tolerated[] = {
	{ "null", "null", "{\"cniVersion\":\"0.4.0\",\"dns\":{}}" },
	{ "no version is that of the request", "{}", "{\"cniVersion\":\"0.4.0\",\"dns\":{}}" },
	{ "an empty version as well", "{\"cniVersion\":\"\"}",
	  "{\"cniVersion\":\"0.4.0\",\"dns\":{}}" },
	{ "members that are null",
	  "{\"interfaces\":null,\"ips\":null,\"routes\":null,\"dns\":null}",
	  "{\"cniVersion\":\"0.4.0\",\"dns\":{}}" },
	{ "unknown members",
	  "{\"cniVersion\":\"1.0.0\",\"more\":{\"x\":1},\"interfaces\":"
	  "[{\"name\":\"a\",\"more\":1}]}",
	  "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"a\"}]}" },
	{ "a gateway that is empty",
	  "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.0.0.1/8\",\"gateway\":\"\"}]}",
	  "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.0.0.1/8\"}]}" },
	{ "IPv4 within IPv6",
	  "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"::ffff:10.0.0.1/120\"}]}",
	  "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.0.0.1/24\"}]}" },
	{ "an address is written in one form",
	  "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"FD00:0:0:0::0001/64\"}]}",
	  "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"fd00::1/64\"}]}" },
	{ "a family that is none",
	  "{\"cniVersion\":\"0.3.0\",\"ips\":[{\"version\":\"5\",\"address\":\"10.0.0.1/8\"}]}",
	  "{\"cniVersion\":\"0.3.0\",\"ips\":[{\"address\":\"10.0.0.1/8\",\"version\":\"\"}],"
	  "\"dns\":{}}" },
};

static void test_tolerated(void **state)
{
	const struct {
		const char *name, *json, *want;
	} *c = *state;
	AUTO_RESULT r;
	struct err e;

	assert_ok(result_parse(str_of(c->json), CNI_0_4_0, &r, &e), &e);
	assert_written(&r, c->want);
}

static void test_too_many(void **state)
{
	AUTO_SBUF text;
	AUTO_RESULT r;
	struct err e;

	(void)state;
	sbuf_init(&text, 1 << 20);
	sbuf_addf(&text, "{\"interfaces\":[{}");
	for (unsigned i = 0; i < 4096; i++)
		sbuf_addf(&text, ",{}");
	sbuf_addf(&text, "]}");
	assert_err(result_parse((struct str){ text.p, text.n }, CNI_1_0_0, &r, &e), ERR_TOO_LARGE,
		   &e, "4096");
}

static void test_ip(void **state)
{
	struct ip_net a, b;
	char text[IP_TEXT_MAX];

	(void)state;
	assert_true(ip_parse(STR("10.1.2.3"), &a) && ip_net_parse(STR("10.1.2.3/8"), &b));
	assert_true(ip_eq(&a, &b));
	assert_string_equal(ip_text(&b, text), "10.1.2.3");
	assert_string_equal(ip_net_text(&b, text), "10.1.2.3/8");
	assert_true(ip_parse(STR("::1"), &b));
	assert_false(ip_eq(&a, &b));
	assert_int_equal(b.prefix, 128);
	assert_true(ip_parse(STR("::ffff:10.1.2.3"), &b) && ip_eq(&a, &b));
	assert_false(ip_parse(STR(""), &b) || ip_parse(STR("10.1.2"), &b) ||
		     ip_parse(STR("10.1.2.3/8"), &b) || ip_parse(STR(" 10.1.2.3"), &b));
	assert_string_equal(ip_text(&(struct ip_net){ 0 }, text), "");
}

int main(void)
{
	UNIT_TABLE("read and written", test_whole, whole);
	UNIT_TABLE("converted", test_conversion, conversions);
	unit_case("no address, no old form", test_no_old_form);
	unit_case("every version to every other", test_all_pairs);
	UNIT_TABLE("refused", test_refused, refused);
	UNIT_TABLE("tolerated", test_tolerated, tolerated);
	unit_case("a list is bounded", test_too_many);
	unit_case("addresses", test_ip);
	return unit_run();
}
