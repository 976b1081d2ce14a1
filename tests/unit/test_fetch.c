#include "auth/fetch.h"

#include "tests/lib/unit.h"

struct url_case {
	const char *url;
	bool good;
};

static const struct url_case urls[] = {
	{ "https://a.test", true },
	{ "https://a.test:8443/x?y=z", true },
	{ "http://localhost", true },
	{ "http://127.0.0.1:80/x", true },
	{ "http://[::1]:80/x", true },
	{ "http://a.test", false },
	{ "http://127.0.0.1.a.test", false },
	{ "http://localhost.a.test/", false },
	{ "http://127.0.0.2", false },
	{ "http://localhost@a.test/", false },
	{ "https://user:password@a.test/", false },
	{ "https://", false },
	{ "https:///x", false },
	{ "HTTPS://a.test", false },
	{ "file:///etc/passwd", false },
	{ "ftp://a.test", false },
	{ "https://a.test/ x", false },
	{ "https://a.test/\n", false },
	{ "", false },
};

static void test_url(void **state)
{
	const struct url_case *c = *state;

	assert_int_equal(fetch_may(c->url), c->good);
}

static void test_not_asked(void **state)
{
	const struct fetch f = { .timeout_ms = 100, .bytes_max = 100 };
	AUTO_SBUF got = { .n = 0 };
	struct err e;

	(void)state;
	assert_err(fetch_get(&f, "http://a.test/", &got, &e), ERR_AWAY, &e, "must be https");
	assert_err(fetch_get(&f, "http://127.0.0.1:1/", &got, &e), ERR_AWAY, &e, "127.0.0.1:1");
	assert_null(got.p);
}

int main(void)
{
	UNIT_TABLE("address", test_url, urls);
	unit_case("what may not be asked, and what does not answer", test_not_asked);
	return unit_run();
}
