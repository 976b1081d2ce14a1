#include "server/origin.h"

#include "tests/lib/exchange.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static const struct {
	const char *name, *url, *want, *prefix; /* NULL: refused */
} urls[] = {
	{ "none", "", "", "" },
	{ "host", "https://reg.example.org", "https://reg.example.org", "" },
	{ "slash", "https://reg.example.org/", "https://reg.example.org", "" },
	{ "port", "http://127.0.0.1:5000", "http://127.0.0.1:5000", "" },
	{ "path", "https://a.b/c/d_e/", "https://a.b/c/d_e", "/c/d_e" },
	{ "IPv6", "https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443", "" },
	{ "no scheme", "reg.example.org", NULL, NULL },
	{ "other scheme", "ftp://reg.example.org", NULL, NULL },
	{ "no host", "https://", NULL, NULL },
	{ "no host but a port", "https://:80", NULL, NULL },
	{ "user", "https://a@b", NULL, NULL },
	{ "query", "https://a/?b", NULL, NULL },
	{ "quote", "https://a/\"", NULL, NULL },
	{ "port that is none", "https://a:x", NULL, NULL },
	{ "port too great", "https://a:65536", NULL, NULL },
	{ "IPv6 without end", "https://[::1", NULL, NULL },
	{ "line break", "https://a\r\nX: y", NULL, NULL },
};

static void test_url(void **state)
{
	__typeof__(&urls[0]) u = *state;
	struct origin o;
	struct err e;
	enum err_kind k = origin_parse(str_of(u->url), &o, &e);

	if (!u->want) {
		assert_err(k, ERR_INVALID, &e, "http.external_url must be");
		return;
	}
	assert_ok(k, &e);
	assert_string_equal(o.url, u->want);
	assert_string_equal(o.prefix, u->prefix);
}

static const struct {
	const char *name, *field;
	bool good;
} fields[] = {
	{ "name", "a.example", true },
	{ "port", "a:80", true },
	{ "IPv4", "127.0.0.1:5000", true },
	{ "IPv6", "[::1]:5000", true },
	{ "empty", "", false },
	{ "only a port", ":80", false },
	{ "two ports", "a:80:90", false },
	{ "slash", "a/b", false },
	{ "quote", "a\"", false },
	{ "blank", "a b", false },
	{ "user", "a@b", false },
	{ "bracket", "[", false },
	{ "empty brackets", "[]", false },
	{ "bytes beyond ASCII", "\xc3\xa4", false },
};

static void test_field(void **state)
{
	__typeof__(&fields[0]) f = *state;

	assert_int_equal(host_is_wellformed(str_of(f->field)), f->good);
}

/* REG-35: what a client says is believed only if it can be nobody else's. */
static const struct {
	const char *name, *external, *header, *want;
} origins[] = {
	{ "loopback name", "", "Host: localhost:5000\n", "http://localhost:5000" },
	{ "loopback address", "", "Host: 127.0.0.2:77\n", "http://127.0.0.2:77" },
	{ "loopback IPv6", "", "Host: [::1]:5000\n", "http://[::1]:5000" },
	{ "somebody else", "", "Host: evil.example\n", "http://192.0.2.1:5000" },
	{ "almost loopback", "", "Host: 127.evil.example@x\n", "http://192.0.2.1:5000" },
	{ "none", "", NULL, "http://192.0.2.1:5000" },
	{ "configured", "https://reg.example/x", "Host: localhost\n", "https://reg.example/x" },
};

static void test_origin(void **state)
{
	__typeof__(&origins[0]) o = *state;
	struct test_server s;
	struct exchange x;
	char buf[ORIGIN_MAX];
	struct err e;

	test_server_start(&s, unit_dir(), 0);
	assert_ok(origin_parse(str_of(o->external), &s.server.origin, &e), &e);
	exchange(&x, &s, "GET", "/v2/", o->header, NOTHING);
	assert_string_equal(origin_of(x.rq, buf), o->want);
	exchange_end(&x);
	test_server_stop(&s);
}

int main(void)
{
	UNIT_TABLE("external_url", test_url, urls);
	UNIT_TABLE("Host", test_field, fields);
	UNIT_TABLE("origin", test_origin, origins);
	return unit_run();
}
