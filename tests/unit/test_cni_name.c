#include "runtime/net/name.h"
#include "tests/lib/unit.h"

struct row {
	const char *name;
	struct str in;
	const char *wrong; /* NULL: valid */
};

#define TEXT(t)                                                                                    \
	{                                                                                          \
		(t), sizeof(t) - 1                                                                 \
	}
#define A10 "aaaaaaaaaa"
#define A110 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10

static const struct row networks[] = {
	{ "one letter", TEXT("a"), NULL },
	{ "all kinds", TEXT("Net_1.x-y"), NULL },
	{ "digit first", TEXT("9"), NULL },
	{ "longest", TEXT(A110), NULL },
	{ "too long", TEXT(A110 "a"), "111 bytes" },
	{ "empty", TEXT(""), "empty" },
	{ "parent", TEXT("../x"), "begin with" },
	{ "slash", TEXT("a/b"), "begin with" },
	{ "dot", TEXT("."), "begin with" },
	{ "dots", TEXT(".."), "begin with" },
	{ "hyphen first", TEXT("-a"), "begin with" },
	{ "underscore first", TEXT("_a"), "begin with" },
	{ "blank", TEXT("a b"), "begin with" },
	{ "newline", TEXT("a\n"), "begin with" },
	{ "quote", TEXT("a'b"), "begin with" },
	{ "semicolon", TEXT("a;b"), "begin with" },
	{ "dollar", TEXT("a$b"), "begin with" },
	{ "NUL", TEXT("a\0b"), "begin with" },
	{ "not ASCII", TEXT("a\xc3\xa4"), "begin with" },
};

/* CNI-02, CNI-13 */
static void test_network(void **state)
{
	const struct row *c = *state;
	struct net_name name;
	struct container_id id;
	struct err e;

	if (c->wrong) {
		assert_err(net_name_parse(c->in, &name, &e), ERR_INVALID, &e, c->wrong);
		if (c->in.n < 100)
			assert_err(container_id_parse(c->in, &id, &e), ERR_INVALID, &e, c->wrong);
		return;
	}
	assert_ok(net_name_parse(c->in, &name, &e), &e);
	assert_true(str_eq(str_of(name.s), c->in));
	assert_ok(container_id_parse(c->in, &id, &e), &e);
	assert_true(str_eq(str_of(id.s), c->in));
}

static void test_longest_id(void **state)
{
	struct container_id id;
	struct err e;

	(void)state;
	assert_ok(container_id_parse(STR(A110 A10 "aaaaaaa"), &id, &e), &e);
	assert_err(container_id_parse(STR(A110 A10 "aaaaaaaa"), &id, &e), ERR_INVALID, &e,
		   "128 bytes");
}

static const struct row interfaces[] = {
	{ "usual", TEXT("eth0"), NULL },
	{ "longest", TEXT("abcdefghijklmno"), NULL },
	{ "too long", TEXT("abcdefghijklmnop"), "16 bytes" },
	{ "empty", TEXT(""), "empty" },
	{ "dot", TEXT("."), "\".\"" },
	{ "dots", TEXT(".."), "\"..\"" },
	{ "three dots", TEXT("..."), NULL },
	{ "slash", TEXT("a/b"), "blank" },
	{ "parent", TEXT("../x"), "blank" },
	{ "colon", TEXT("a:b"), "blank" },
	{ "blank", TEXT("a b"), "blank" },
	{ "tab", TEXT("a\tb"), "blank" },
	{ "newline", TEXT("a\n"), "blank" },
	{ "delete", TEXT("a\x7f"), "blank" },
	{ "NUL", TEXT("a\0b"), "blank" },
	{ "blank that does not break", TEXT("a\xc2\xa0"), "blank" },
	{ "wide blank", TEXT("a\xe3\x80\x80"), "blank" },
	{ "letter beyond ASCII", TEXT("\xc3\xa4"), NULL },
};

static void test_interface(void **state)
{
	const struct row *c = *state;
	struct if_name name;
	struct err e;

	if (c->wrong) {
		assert_err(if_name_parse(c->in, &name, &e), ERR_INVALID, &e, c->wrong);
		return;
	}
	assert_ok(if_name_parse(c->in, &name, &e), &e);
	assert_true(str_eq(str_of(name.s), c->in));
}

static const struct row types[] = {
	{ "usual", TEXT("host-local"), NULL },
	{ "dots within", TEXT("a..b"), NULL },
	{ "empty", TEXT(""), "empty" },
	{ "absolute", TEXT("/bin/sh"), "no name of a file" },
	{ "parent", TEXT("../../bin/sh"), "no name of a file" },
	{ "slash last", TEXT("sh/"), "no name of a file" },
	{ "dots", TEXT(".."), "no name of a file" },
	{ "dot", TEXT("."), "no name of a file" },
	{ "NUL", TEXT("sh\0x"), "no name of a file" },
};

/* CNI-01 */
static void test_type(void **state)
{
	const struct row *c = *state;
	struct err e;

	if (c->wrong)
		assert_err(plugin_type_check(c->in, &e), ERR_INVALID, &e, c->wrong);
	else
		assert_ok(plugin_type_check(c->in, &e), &e);
}

static const struct row arguments[] = {
	{ "empty", TEXT(""), NULL },
	{ "one", TEXT("K=V"), NULL },
	{ "two", TEXT("IP=10.1.2.3/24;MAC=02:00:00:00:00:01"), NULL },
	{ "name of a pod", TEXT("K8S_POD_NAME=a b"), NULL },
	{ "no value", TEXT("K="), "empty" },
	{ "no name", TEXT("=V"), "a name" },
	{ "no equals sign", TEXT("K"), "KEY=VALUE" },
	{ "two equals signs", TEXT("K=V=W"), "\"=\"" },
	{ "semicolon last", TEXT("K=V;"), "KEY=VALUE" },
	{ "semicolon first", TEXT(";K=V"), "KEY=VALUE" },
	{ "blank in a name", TEXT("K L=V"), "a name" },
	{ "newline in a value", TEXT("K=V\nMAC"), "control byte" },
	{ "NUL in a value", TEXT("K=V\0M"), "control byte" },
};

static void test_arguments(void **state)
{
	const struct row *c = *state;
	AUTO_JV *args = NULL;
	AUTO_SBUF text;
	struct err e;

	sbuf_init(&text, 1000);
	if (c->wrong) {
		assert_err(net_args_parse(c->in, &args, &e), ERR_INVALID, &e, c->wrong);
		return;
	}
	assert_ok(net_args_parse(c->in, &args, &e), &e);
	assert_ok(net_args_check(args, &e), &e);
	net_args_text(args, &text);
	assert_true(str_eq((struct str){ text.p, text.n }, c->in));
}

/* CNI-13: a label's value does not become a second argument. */
static void test_argument_injection(void **state)
{
	AUTO_JV *args = jv_new_array();
	AUTO_SBUF text;
	struct str found;
	struct err e;

	(void)state;
	sbuf_init(&text, 1000);
	assert_err(net_args_add(args, STR("LABEL"), STR("V;MAC=02:00:00:00:00:01"), &e),
		   ERR_INVALID, &e, "LABEL");
	assert_err(net_args_add(args, STR("LA=BEL"), STR("V"), &e), ERR_INVALID, &e, "a name");
	assert_int_equal(jv_count(args), 0);
	assert_ok(net_args_add(args, STR("A"), STR("1"), &e), &e);
	assert_ok(net_args_add(args, STR("A"), STR("2"), &e), &e);
	assert_true(net_args_find(args, STR("A"), &found));
	assert_str(found, "2");
	assert_false(net_args_find(args, STR("B"), &found));
	net_args_text(NULL, &text);
	assert_int_equal(text.n, 0);
}

static const struct {
	const char *name, *json;
} foreign[] = {
	{ "no array", "{\"a\":{}}" },
	{ "no pairs", "{\"a\":[\"K=V\"]}" },
	{ "three parts", "{\"a\":[[\"K\",\"V\",\"W\"]]}" },
	{ "a number", "{\"a\":[[\"K\",1]]}" },
	{ "a value of two", "{\"a\":[[\"K\",\"V;L=W\"]]}" },
};

static void test_foreign(void **state)
{
	const struct {
		const char *name, *json;
	} *c = *state;
	AUTO_JV *v = NULL;
	struct err e;

	assert_ok(jv_parse_object(str_of(c->json), 8, &v, &e), &e);
	assert_int_equal(net_args_check(jv_member(v, "a"), &e), ERR_INVALID);
}

static void test_many_arguments(void **state)
{
	AUTO_JV *args = jv_new_array();
	struct err e;

	(void)state;
	for (unsigned i = 0; i < 64; i++)
		assert_ok(net_args_add(args, STR("K"), STR("V"), &e), &e);
	assert_err(net_args_add(args, STR("K"), STR("V"), &e), ERR_TOO_LARGE, &e, "64");
}

int main(void)
{
	UNIT_TABLE("network", test_network, networks);
	unit_case("the longest container id", test_longest_id);
	UNIT_TABLE("interface", test_interface, interfaces);
	UNIT_TABLE("type", test_type, types);
	UNIT_TABLE("arguments", test_arguments, arguments);
	unit_case("a value stays one value", test_argument_injection);
	UNIT_TABLE("arguments from elsewhere", test_foreign, foreign);
	unit_case("arguments are bounded", test_many_arguments);
	return unit_run();
}
