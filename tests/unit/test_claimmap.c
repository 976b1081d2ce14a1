#include "auth/claimmap.h"

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define CLAIMS                                                                                     \
	"{\"sub\":\"s\",\"project_path\":\"group/app\",\"ref_protected\":true,\"id\":42,"          \
	"\"groups\":[\"a\",\"b c\"],\"kubernetes.io\":{\"namespace\":\"ns\"},\"bad\":\"a\\\"b%\"," \
	"\"empty\":\"\",\"none\":[],\"mixed\":[\"a\",{}],\"email_verified\":false}"

struct map_case {
	const char *name;
	const char *map;    /* JSON list, NULL: none */
	const char *expect; /* "NAME GROUP GROUP", or NULL: nobody's */
};

static const struct map_case cases[] = {
	{ "no map: the subject", NULL, "oidc:p:s" },
	{ "an empty rule is for all", "[{}]", "oidc:p:s" },
	{ "text around claims", "[{\"name\":\"x-${sub}-${id}\"}]", "oidc:p:x-s-42" },
	{ "a pattern", "[{\"when\":{\"project_path\":\"group/*\"},\"name\":\"${project_path}\"}]",
	  "oidc:p:group/app" },
	{ "a pattern is of whole components", "[{\"when\":{\"project_path\":\"group*\"}}]", NULL },
	{ "one of several patterns", "[{\"when\":{\"project_path\":[\"other/*\",\"group/app\"]}}]",
	  "oidc:p:s" },
	{ "all claims must match",
	  "[{\"when\":{\"project_path\":\"group/*\",\"ref_protected\":\"false\"}}]", NULL },
	{ "true is a text", "[{\"when\":{\"ref_protected\":\"true\"}}]", "oidc:p:s" },
	{ "false is none", "[{\"when\":{\"email_verified\":\"false\"}}]", NULL },
	{ "a number is a text", "[{\"when\":{\"id\":\"42\"}}]", "oidc:p:s" },
	{ "a claim that is not there", "[{\"when\":{\"x\":\"**\"}}]", NULL },
	{ "a claim within another", "[{\"when\":{\"kubernetes.io/namespace\":\"ns\"}}]",
	  "oidc:p:s" },
	{ "the first rule that matches",
	  "[{\"when\":{\"id\":\"1\"},\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"c\"}]",
	  "oidc:p:b" },
	{ "a rule that matches and lacks a claim is the end",
	  "[{\"name\":\"${x}\"},{\"name\":\"b\"}]", NULL },
	{ "groups", "[{\"groups\":[\"ci\",\"g-${sub}\"]}]", "oidc:p:s ci g-s" },
	{ "one group", "[{\"groups\":\"ci\"}]", "oidc:p:s ci" },
	{ "a list of groups", "[{\"groups\":\"${groups}\"}]", "oidc:p:s a b%20c" },
	{ "no group in a list", "[{\"groups\":\"${none}\"}]", "oidc:p:s" },
	{ "a list is no part of a text", "[{\"groups\":\"x${groups}\"}]", NULL },
	{ "a list is no name", "[{\"name\":\"${groups}\"}]", NULL },
	{ "a list with something else in it", "[{\"groups\":\"${mixed}\"}]", NULL },
	{ "what no name has is encoded", "[{\"name\":\"${bad}\"}]", "oidc:p:a%22b%25" },
	{ "an empty claim", "[{\"name\":\"${empty}\"}]", NULL },
	{ "a structure is no text", "[{\"name\":\"${kubernetes.io}\"}]", NULL },
};

static enum err_kind read_map(const char *map, struct jv **doc, struct claimmap **ret,
			      struct err *e)
{
	AUTO_SBUF text;
	struct form f;
	enum err_kind k;

	sbuf_init(&text, 4096);
	sbuf_addf(&text, map ? "{\"map\":%s}" : "{}", map);
	assert_ok(jv_parse_object((struct str){ text.p, text.n }, 16, doc, e), e);
	form_open(&f, "auth.oidc", *doc, NULL);
	k = claimmap_read(&f, ret, e);
	return k == ERR_OK ? form_close(&f, e) : k;
}

static void test_map(void **state)
{
	const struct map_case *c = *state;
	AUTO_JV *doc = NULL, *claims = NULL;
	AUTO_IDENTITY *id = NULL;
	struct claimmap *m = NULL;
	char text[IDENTITY_TEXT_MAX];
	AUTO_SBUF got;
	struct err e;

	assert_ok(jv_parse_object(STR(CLAIMS), 16, &claims, &e), &e);
	assert_ok(read_map(c->map, &doc, &m, &e), &e);
	sbuf_init(&got, 4096);
	if (!c->expect) {
		assert_err(claimmap_identify(m, claims, "p", 7, &id, &e), ERR_LOGIN, &e, "token:");
	} else {
		assert_ok(claimmap_identify(m, claims, "p", 7, &id, &e), &e);
		sbuf_addf(&got, "%s", identity_text(id, text));
		for (size_t i = 0; i < id->n_groups; i++)
			sbuf_addf(&got, " %.*s", STR_FMT(id->groups[i]));
		assert_string_equal(got.p, c->expect);
		assert_int_equal(id->until_wall_ms, 7);
	}
	claimmap_free(&m);
}

struct bad_case {
	const char *name, *map, *message;
};

static const struct bad_case bad_cases[] = {
	{ "no list", "{}", "map must be a list of structures" },
	{ "no structure", "[\"a\"]", "each entry must be a structure" },
	{ "an unknown member", "[{\"nmae\":\"a\"}]", "there is no \"nmae\" here" },
	{ "a claim without an end", "[{\"name\":\"${a\"}]", "a claim is written ${NAME}" },
	{ "a claim without a name", "[{\"name\":\"${}\"}]", "a claim is written ${NAME}" },
	{ "a dollar", "[{\"groups\":[\"a$b\"]}]", "a claim is written ${NAME}" },
	{ "a pattern that is none", "[{\"when\":{\"a\":\"a//b\"}}]", "\"a//b\"" },
	{ "a pattern of another type", "[{\"when\":{\"a\":1}}]", "is no text" },
	{ "no pattern", "[{\"when\":{\"a\":[]}}]", "no pattern" },
};

static void test_bad(void **state)
{
	const struct bad_case *c = *state;
	AUTO_JV *doc = NULL;
	struct claimmap *m = NULL;
	struct err e;

	assert_err(read_map(c->map, &doc, &m, &e), ERR_INVALID, &e, c->message);
	claimmap_free(&m);
}

static void test_many_groups(void **state)
{
	AUTO_JV *doc = NULL, *claims = NULL;
	AUTO_IDENTITY *id = NULL;
	AUTO_SBUF text;
	struct claimmap *m = NULL;
	struct err e;

	(void)state;
	assert_ok(read_map("[{\"groups\":\"${groups}\"}]", &doc, &m, &e), &e);
	for (int n = 256; n <= 257; n++) {
		sbuf_init(&text, 65536);
		sbuf_addf(&text, "{\"sub\":\"s\",\"groups\":[\"g\"");
		for (int i = 1; i < n; i++)
			sbuf_addf(&text, ",\"g\"");
		sbuf_addf(&text, "]}");
		jv_free(&claims);
		assert_ok(jv_parse_object((struct str){ text.p, text.n }, 16, &claims, &e), &e);
		assert_int_equal(claimmap_identify(m, claims, "p", 0, &id, &e),
				 n == 256 ? ERR_OK : ERR_LOGIN);
		sbuf_clear(&text);
	}
	assert_int_equal(id->n_groups, 256);
	claimmap_free(&m);
}

int main(void)
{
	UNIT_TABLE("map", test_map, cases);
	UNIT_TABLE("refused", test_bad, bad_cases);
	unit_case("as many groups as fit", test_many_groups);
	return unit_run();
}
