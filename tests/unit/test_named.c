#include "server/named.h"

#include "server/nearby.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *name, *text;
	const char *repo, *tag, *digest; /* repo NULL: refused */
} names[] = {
	{ "repository", "a/b-c", "a/b-c", NULL, NULL },
	{ "tag", "a/b:v1.0_x-Y", "a/b", "v1.0_x-Y", NULL },
	{ "digest", "a@sha256:" A64, "a", NULL, "sha256:" A64 },
	{ "sha512", "a@sha512:" A64 A64, "a", NULL, "sha512:" A64 A64 },
	{ "nothing", "", NULL, NULL, NULL },
	{ "no repository", ":v1", NULL, NULL, NULL },
	{ "no tag", "a:", NULL, NULL, NULL },
	{ "no digest", "a@", NULL, NULL, NULL },
	{ "two tags", "a:b:c", NULL, NULL, NULL },
	{ "tag and digest", "a:v1@sha256:" A64, NULL, NULL, NULL },
	{ "two digests", "a@sha256:" A64 "@sha256:" A64, NULL, NULL, NULL },
	{ "digest too short", "a@sha256:aa", NULL, NULL, NULL },
	{ "digest in capitals", "a@SHA256:" A64, NULL, NULL, NULL },
	{ "algorithm that is not known", "a@md5:aa", NULL, NULL, NULL },
	{ "host with a port", "localhost:5000/a", NULL, NULL, NULL },
	{ "capitals", "A", NULL, NULL, NULL },
	{ "dots", "../a", NULL, NULL, NULL },
	{ "slash at the end", "a/", NULL, NULL, NULL },
	{ "blank", "a b", NULL, NULL, NULL },
	{ "tag with a slash", "a:b/c", NULL, NULL, NULL },
	{ "tag that begins with a dash", "a:-v", NULL, NULL, NULL },
	{ "line", "a\n", NULL, NULL, NULL },
};

static void test_named(void **state)
{
	__typeof__(&names[0]) c = *state;
	struct named n = { .repo = repo_of("untouched") };
	char text[DIGEST_TEXT_MAX];

	assert_int_equal(named_parse(str_of(c->text), &n), c->repo != NULL);
	assert_string_equal(n.repo.s, c->repo ? c->repo : "untouched");
	assert_int_equal(n.has_tag, c->tag != NULL);
	assert_int_equal(n.has_digest, c->digest != NULL);
	if (c->tag)
		assert_string_equal(n.tag.s, c->tag);
	if (c->digest)
		assert_string_equal(digest_text(&n.digest, text), c->digest);
}

static void test_nul(void **state)
{
	struct named n;

	(void)state;
	assert_false(named_parse(STR("a\0"), &n));
	assert_false(named_parse(STR("a:v\0"), &n));
}

static const struct {
	const char *name, *text;
	bool address, host;
} places[] = {
	{ "loopback", "127.0.0.1", true, true },
	{ "another loopback", "127.1.2.3", true, true },
	{ "IPv6", "::1", true, false },
	{ "mapped", "::ffff:127.0.0.1", true, false },
	{ "mapped, another", "::ffff:10.0.0.1", false, false },
	{ "IPv6 in brackets", "[::1]", false, true },
	{ "with a port", "[::1]:5000", false, true },
	{ "mapped in brackets", "[::ffff:127.0.0.1]:80", false, true },
	{ "IPv4 in brackets", "[127.0.0.1]:80", false, false },
	{ "IPv4 with a port", "127.0.0.1:5000", false, true },
	{ "name", "localhost", false, true },
	{ "name in capitals, with a port", "LocalHost:5000", false, true },
	{ "port too great", "localhost:65536", false, false },
	{ "empty port", "localhost:", false, false },
	{ "port of letters", "localhost:x", false, false },
	{ "two ports", "localhost:1:2", false, false },
	{ "name below", "a.localhost", false, false },
	{ "name above", "localhost.evil.example", false, false },
	{ "address as a name's start", "127.0.0.1.evil.example", false, false },
	{ "short address", "127.1", false, false },
	{ "number", "2130706433", false, false },
	{ "octal", "0177.0.0.1", false, false },
	{ "another network", "128.0.0.1", false, false },
	{ "any", "0.0.0.0", false, false },
	{ "IPv6 any", "::", false, false },
	{ "IPv6 any in brackets", "[::]", false, false },
	{ "bracket alone", "]", false, false },
	{ "brackets of nothing", "[]", false, false },
	{ "text after the bracket", "[::1]x", false, false },
	{ "zone", "[::1%lo]", false, false },
	{ "nothing", "", false, false },
	{ "port alone", ":80", false, false },
	{ "very long",
	  "127.000000000000000000000000000000000000000000000000000000000000000000000000000.0.1",
	  false, false },
};

static void test_place(void **state)
{
	__typeof__(&places[0]) c = *state;

	assert_int_equal(address_is_loopback(str_of(c->text)), c->address);
	assert_int_equal(host_is_loopback(str_of(c->text)), c->host);
}

int main(void)
{
	UNIT_TABLE("named", test_named, names);
	unit_case("NUL", test_nul);
	UNIT_TABLE("nearby", test_place, places);
	return unit_run();
}
