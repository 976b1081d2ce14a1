#include "auth/identity.h"

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static void test_copy(void **state)
{
	char name[] = "alice", group[] = "dev", pattern[] = "team/*";
	const struct str groups[] = { { group, 3 } };
	const struct grant grants[] = { { { pattern, 6 }, ACTION_PULL } };
	const struct identity like = { .kind = IDENTITY_USER,
				       .name = { name, 5 },
				       .n_groups = 1,
				       .groups = groups,
				       .has_grants = true,
				       .grants = { 1, grants },
				       .has_scope = true,
				       .scope = { 1, grants },
				       .until_wall_ms = 7 };
	struct identity *id, *again;
	char text[IDENTITY_TEXT_MAX];
	struct err e;

	(void)state;
	assert_ok(identity_new(&like, &id, &e), &e);
	memset(name, 'x', 5); /* nothing of it is borrowed */
	memset(group, 'x', 3);
	memset(pattern, 'x', 6);
	assert_str(id->name, "alice");
	assert_string_equal(id->name.p, "alice");
	assert_true(identity_in_group(id, STR("dev")));
	assert_false(identity_in_group(id, STR("de")));
	assert_true(grants_cover(&id->grants, STR("team/a"), ACTION_PULL));
	assert_false(grants_cover(&id->grants, STR("team/a"), ACTION_PUSH));
	assert_false(grants_cover(&id->scope, STR("team/a/b"), ACTION_PULL));
	assert_string_equal(identity_text(id, text), "user:alice");
	again = identity_get(id);
	identity_put(&id);
	assert_null(id);
	assert_str(again->name, "alice");
	identity_put(&again);
	identity_put(&again);
}

static void test_admin_covers_all(void **state)
{
	const struct grant all = { STR("**"), ACTION_ADMIN };
	const struct grants g = { 1, &all };

	(void)state;
	assert_true(grants_cover(&g, STR("a"), ACTION_PULL));
	assert_true(grants_cover(&g, STR("a"), ACTION_DELETE));
	assert_true(grants_cover(&g, STR("a"), ACTION_ADMIN));
}

#define BYTES(lit)                                                                                 \
	{                                                                                          \
		(lit), sizeof(lit) - 1                                                             \
	}

static const struct {
	const char *name;
	struct str text;
	bool valid;
} names[] = {
	{ "letters", BYTES("alice"), true },
	{ "mail", BYTES("alice@example.org"), true },
	{ "path", BYTES("acme/app"), true },
	{ "uri", BYTES("spiffe://example.org/ci"), true },
	{ "colons", BYTES("repo:acme/app:ref:refs/heads/main"), true },
	{ "umlaut", BYTES("j\xc3\xbcrgen"), true },
	{ "one letter", BYTES("a"), true },
	{ "empty", BYTES(""), false },
	{ "blank", BYTES("a b"), false },
	{ "tab", BYTES("a\tb"), false },
	{ "newline", BYTES("a\n"), false },
	{ "NUL", BYTES("a\0"), false },
	{ "delete", BYTES("a\x7f"), false },
	{ "quote", BYTES("a\""), false },
	{ "star", BYTES("a*"), false },
	{ "variable", BYTES("${user}"), false },
	{ "comma", BYTES("a,b"), false },
	{ "backslash", BYTES("a\\b"), false },
	{ "bad UTF-8", BYTES("a\xff"), false },
	{ "cut UTF-8", BYTES("a\xc3"), false },
	{ "control of 8 bits", BYTES("a\xc2\x85"), false },
	{ "blank that does not break", BYTES("a\xc2\xa0"), false },
	{ "text from right to left", BYTES("a\xe2\x80\xae"), false },
	{ "invisible", BYTES("a\xe2\x80\x8b"), false },
	{ "byte order mark", BYTES("a\xef\xbb\xbf"), false },
	{ "euro", BYTES("\xe2\x82\xac"), true },
};

static void test_name(void **state)
{
	__typeof__(&names[0]) n = *state;

	assert_int_equal(name_is_valid(n->text), n->valid);
}

static void test_name_length(void **state)
{
	char text[NAME_BYTES_MAX + 1];

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_true(name_is_valid((struct str){ text, NAME_BYTES_MAX }));
	assert_false(name_is_valid((struct str){ text, NAME_BYTES_MAX + 1 }));
}

static const struct {
	const char *name, *text;
	enum identity_kind kind; /* IDENTITY_KIND_N: refused */
	const char *rest;
} texts[] = {
	{ "user", "alice", IDENTITY_USER, "alice" },
	{ "user by kind", "user:alice", IDENTITY_USER, "alice" },
	{ "key", "key:ci", IDENTITY_KEY, "ci" },
	{ "cert", "cert:spiffe://a/b", IDENTITY_CERT, "spiffe://a/b" },
	{ "oidc", "oidc:github:acme/app", IDENTITY_OIDC, "github:acme/app" },
	{ "issuer", "issuer:gitlab:bob", IDENTITY_ISSUER, "gitlab:bob" },
	{ "anonymous", "anonymous", IDENTITY_ANONYMOUS, "" },
	{ "anonymous by kind", "anonymous:x", IDENTITY_KIND_N, NULL },
	{ "user of that name", "user:anonymous", IDENTITY_USER, "anonymous" },
	{ "unknown kind", "robot:ci", IDENTITY_KIND_N, NULL },
	{ "no name", "key:", IDENTITY_KIND_N, NULL },
	{ "no kind", ":a", IDENTITY_KIND_N, NULL },
	{ "empty", "", IDENTITY_KIND_N, NULL },
	{ "bad name", "user:a b", IDENTITY_KIND_N, NULL },
};

static void test_parse(void **state)
{
	__typeof__(&texts[0]) t = *state;
	enum identity_kind kind;
	struct str rest;
	bool ok = identity_parse(str_of(t->text), &kind, &rest);

	assert_int_equal(ok, t->kind != IDENTITY_KIND_N);
	if (!ok)
		return;
	assert_int_equal(kind, t->kind);
	assert_true(str_eq(rest, str_of(t->rest)));
}

static void test_actions(void **state)
{
	char text[ACTIONS_TEXT_MAX];
	enum action a;

	(void)state;
	assert_string_equal(actions_text(0, text), "none");
	assert_string_equal(actions_text(ACTION_PUSH, text), "push");
	assert_string_equal(actions_text(ACTIONS_ALL, text), "pull,push,delete,admin");
	assert_true(action_parse(STR("delete"), &a));
	assert_int_equal(a, ACTION_DELETE);
	assert_false(action_parse(STR("*"), &a));
	assert_false(action_parse(STR("Pull"), &a));
	assert_false(action_parse(STR(""), &a));
}

int main(void)
{
	unit_case("copies and references", test_copy);
	unit_case("administrators' grants", test_admin_covers_all);
	UNIT_TABLE("names", test_name, names);
	unit_case("longest name", test_name_length);
	UNIT_TABLE("texts", test_parse, texts);
	unit_case("actions", test_actions);
	return unit_run();
}
