#include "runtime/image/url.h"

#include "tests/lib/unit.h"

struct resolve_row {
	const char *name;        /* the reference */
	const char *base, *want; /* NULL: refused */
};
static const struct resolve_row resolves[] = {
	{ "https://b.io/x", "http://a.io/y", "https://b.io/x" },
	{ "/x?y=z", "http://a.io:5000/p/q", "http://a.io:5000/x?y=z" },
	{ "//b.io/x", "https://a.io/y", "https://b.io/x" },
	{ "x", "https://a.io/p/q", "https://a.io/p/x" },
	{ "?n=1", "https://a.io/p/q", "https://a.io/p/q?n=1" },
	{ "x", "https://a.io", "https://a.io/x" },
	{ "x", "https://a.io/p?q=/r", "https://a.io/x" },
	{ "/x?u=http://b.io/", "https://a.io/p", "https://a.io/x?u=http://b.io/" },
	{ "?n=1", "https://a.io/p?q=/r", "https://a.io/p?n=1" },
	{ "ftp://a.io/", "https://a.io/", NULL },
	{ "file:///etc/passwd", "https://a.io/", NULL },
	{ "https://user:word@a.io/", "https://a.io/", NULL },
	{ "http:///x", "https://a.io/", NULL },
};

static void test_resolve(void **state)
{
	const struct resolve_row *row = *state;
	AUTO_SBUF got;

	sbuf_init(&got, URL_MAX);
	assert_int_equal(url_resolve(str_of(row->base), str_of(row->name), &got),
			 row->want != NULL);
	if (row->want)
		assert_string_equal(got.p, row->want);
}

struct origin_row {
	const char *name, *other;
	bool same;
};
static const struct origin_row origins[] = {
	{ "https://a.io/x", "https://A.IO:443/y", true },
	{ "http://a.io/x", "http://a.io:80", true },
	{ "https://a.io/", "http://a.io/", false },
	{ "https://a.io/", "https://a.io:444/", false },
	{ "https://a.io/", "https://a.io.evil.io/", false },
};

static void test_origin(void **state)
{
	const struct origin_row *row = *state;
	struct url a, b;

	assert_true(url_parse(&a, str_of(row->name)) && url_parse(&b, str_of(row->other)));
	assert_int_equal(url_same_origin(&a, &b), row->same);
}

static void test_query(void **state)
{
	AUTO_SBUF b;

	(void)state;
	sbuf_init(&b, URL_MAX);
	sbuf_addf(&b, "/x");
	url_add_query(&b, "mount", STR("sha256:ab"));
	url_add_query(&b, "from", STR("a/b c&d"));
	assert_string_equal(b.p, "/x?mount=sha256%3Aab&from=a%2Fb%20c%26d");
}

static void test_loopback(void **state)
{
	(void)state;
	assert_true(host_is_loopback("127.0.0.1"));
	assert_true(host_is_loopback("127.9.9.9"));
	assert_true(host_is_loopback("localhost"));
	assert_true(host_is_loopback("[::1]"));
	assert_false(host_is_loopback("127.0.0.1.evil.io"));
	assert_false(host_is_loopback("10.0.0.1"));
	assert_false(host_is_loopback("localhost.evil.io"));
}

int main(void)
{
	UNIT_TABLE("resolve", test_resolve, resolves);
	UNIT_TABLE("origin", test_origin, origins);
	unit_case("queries", test_query);
	unit_case("loopback", test_loopback);
	return unit_run();
}
