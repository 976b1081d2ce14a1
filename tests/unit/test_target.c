#include "server/target.h"

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

/* The query as "key=value|key=value", decoded. */
static void assert_query(const struct target *t, const char *want)
{
	AUTO_SBUF b;

	sbuf_init(&b, 4096);
	sbuf_add(&b, "", 0);
	for (size_t i = 0; i < t->n_query; i++)
		sbuf_addf(&b, "%s%.*s=%.*s", i ? "|" : "", STR_FMT(t->query[i].key),
			  STR_FMT(t->query[i].value));
	assert_string_equal(b.p, want);
}

static const struct {
	const char *name, *raw, *path, *query; /* path NULL: refused */
} targets[] = {
	{ "root", "/", "/", "" },
	{ "path", "/v2/a/tags/list", "/v2/a/tags/list", "" },
	{ "escapes in the path stay", "/v2/%2e%2E/a%2Fb", "/v2/%2e%2E/a%2Fb", "" },
	{ "bad escapes in the path stay", "/v2/%zz%", "/v2/%zz%", "" },
	{ "empty query", "/a?", "/a", "" },
	{ "one", "/a?n=5", "/a", "n=5" },
	{ "several", "/a?n=5&last=b&n=6", "/a", "n=5|last=b|n=6" },
	{ "no value", "/a?n", "/a", "n=" },
	{ "empty value", "/a?n=", "/a", "n=" },
	{ "no key", "/a?=5", "/a", "=5" },
	{ "empty items", "/a?&&n=5&&", "/a", "n=5" },
	{ "equals sign in a value", "/a?n=a=b", "/a", "n=a=b" },
	{ "question mark in a value", "/a?n=a?b", "/a", "n=a?b" },
	{ "escapes", "/a?%6e=%35%26%3D", "/a", "n=5&=" },
	{ "plus is a plus", "/a?artifactType=a/b+json", "/a", "artifactType=a/b+json" },
	{ "escaped plus", "/a?t=a%2Bb", "/a", "t=a+b" },
	{ "decoded once", "/a?t=%2541", "/a", "t=%41" },
	{ "bad escape in a key", "/a?%zz=1", NULL, NULL },
	{ "bad escape in a value", "/a?n=%4", NULL, NULL },
	{ "bad escape later", "/a?n=1&m=%", NULL, NULL },
	{ "fragment is no fragment", "/a#b?c", "/a#b", "c=" },
	{ "absolute", "http://host:5000/v2/?n=5", "/v2/", "n=5" },
	{ "absolute with TLS", "https://host/v2/", "/v2/", "" },
	{ "absolute in capitals", "HTTP://HOST/v2/", "/v2/", "" },
	{ "absolute with a user", "http://u:p@host/v2/", "/v2/", "" },
	{ "absolute without a path", "http://host", NULL, NULL },
	{ "absolute without a host", "http:///v2/", "/v2/", "" },
	{ "scheme only", "http://", NULL, NULL },
	{ "cut scheme", "http:/v2/", NULL, NULL },
	{ "other scheme", "ftp://host/v2/", NULL, NULL },
	{ "asterisk", "*", NULL, NULL },
	{ "authority", "host:443", NULL, NULL },
	{ "empty", "", NULL, NULL },
	{ "query only", "?n=5", NULL, NULL },
	{ "two slashes", "//host/v2/", "//host/v2/", "" },
};

static void test_parse(void **state)
{
	__typeof__(&targets[0]) c = *state;
	size_t n = strlen(c->raw);
	AUTO_FREE char *buf = malloc(n + 1); /* a byte too many to be allocated at all */
	struct target t;

	MUST(buf);
	assert_int_equal(target_parse(str_of(c->raw), buf, &t), c->path != NULL);
	if (!c->path)
		return;
	assert_true(str_eq(t.path, str_of(c->path)));
	assert_query(&t, c->query);
}

static void test_nul(void **state)
{
	char buf[16];
	struct target t;
	struct str v;

	(void)state;
	assert_true(target_parse(STR("/a?n=%00b"), buf, &t));
	assert_true(target_query(&t, STR("n"), 0, &v));
	assert_true(v.n == 2 && v.p[0] == '\0' && v.p[1] == 'b');
}

static void test_many(void **state)
{
	AUTO_SBUF raw;
	char buf[1024];
	struct target t;
	struct str v = STR("untouched");

	(void)state;
	sbuf_init(&raw, 1024);
	sbuf_add_str(&raw, STR("/a?"));
	for (unsigned i = 0; i < QUERY_ITEMS_MAX; i++)
		sbuf_addf(&raw, "t=%u&", i);
	assert_true(target_parse((struct str){ raw.p, raw.n }, buf, &t));
	assert_int_equal(t.n_query, QUERY_ITEMS_MAX);
	assert_true(target_query(&t, STR("t"), 0, &v));
	assert_str(v, "0");
	assert_true(target_query(&t, STR("t"), QUERY_ITEMS_MAX - 1, &v));
	assert_str(v, "63");
	assert_false(target_query(&t, STR("t"), QUERY_ITEMS_MAX, &v));
	assert_false(target_query(&t, STR("T"), 0, &v));
	assert_str(v, "63");
	sbuf_add_str(&raw, STR("u=1"));
	assert_false(target_parse((struct str){ raw.p, raw.n }, buf, &t));
}

int main(void)
{
	UNIT_TABLE("target", test_parse, targets);
	unit_case("a NUL by escape", test_nul);
	unit_case("as many items as there may be", test_many);
	return unit_run();
}
