#include "runtime/image/challenge.h"

#include "tests/lib/unit.h"

struct row {
	const char *name; /* the field */
	enum challenge_kind kind;
	const char *realm, *service, *scope;
};
static const struct row rows[] = {
	{ "Basic realm=\"r\"", CHALLENGE_BASIC, "", "", "" },
	{ "basic", CHALLENGE_BASIC, "", "", "" },
	{ "Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:x:pull\"",
	  CHALLENGE_BEARER, "https://a/t", "s", "repository:x:pull" },
	{ "bearer  realm = \"https://a/t\" , service=s", CHALLENGE_BEARER, "https://a/t", "s", "" },
	{ "Bearer realm=\"a\\\"b\"", CHALLENGE_BEARER, "a\"b", "", "" },
	{ "Negotiate, Basic realm=\"x, Bearer realm=y\"", CHALLENGE_BASIC, "", "", "" },
	{ "Basic realm=\"a\", Bearer realm=\"https://b/\"", CHALLENGE_BEARER, "https://b/", "",
	  "" },
	{ "Digest realm=\"a\", nonce=\"b\"", CHALLENGE_NONE, "", "", "" },
	{ "", CHALLENGE_NONE, "", "", "" },
	{ "Bearer realm=\"unterminated", CHALLENGE_NONE, "", "", "" },
};

static void test_parse(void **state)
{
	const struct row *row = *state;
	struct challenge c = { 0 };
	bool found = challenge_parse(str_of(row->name), &c);

	assert_int_equal(found, row->kind != CHALLENGE_NONE);
	if (!found)
		return;
	assert_int_equal(c.kind, row->kind);
	if (row->kind != CHALLENGE_BEARER)
		return;
	assert_string_equal(c.realm, row->realm);
	assert_string_equal(c.service, row->service);
	assert_string_equal(c.scope, row->scope);
}

int main(void)
{
	UNIT_TABLE("challenge", test_parse, rows);
	return unit_run();
}
