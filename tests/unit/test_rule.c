#include "auth/rule.h"

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static struct jv *list_of(const char *text)
{
	AUTO_JV *whole = NULL;
	AUTO_SBUF b;
	struct err e;

	sbuf_init(&b, SBUF_MAX);
	sbuf_addf(&b, "{\"l\":%s}", text);
	MUST(!b.failed);
	assert_ok(jv_parse_object((struct str){ b.p, b.n }, 8, &whole, &e), &e);
	return jv_share(jv_member(whole, "l"));
}

static enum err_kind parse(const char *access, const char *groups, struct rules **ret,
			   struct err *e)
{
	AUTO_JV *a = list_of(access), *g = groups ? list_of(groups) : NULL;

	return rules_parse(a, g, NULL, ret, e);
}

static struct rules *rules_of(const char *access, const char *groups)
{
	struct rules *r;
	struct err e;

	assert_ok(parse(access, groups, &r, &e), &e);
	return r;
}

static struct identity identity_of(const char *text)
{
	struct identity id = { .kind = IDENTITY_ANONYMOUS };

	MUST(identity_parse(str_of(text), &id.kind, &id.name));
	return id;
}

/* --- single decisions --- */

#define SOME_RULES                                                                                 \
	"[{\"@line\":1,\"who\":\"anonymous\",\"repositories\":\"public/**\",\"allow\":\"pull\"},"  \
	"{\"@line\":2,\"who\":[\"alice\",\"group:dev\"],\"repositories\":[\"team/**\"],"           \
	"\"allow\":[\"pull\",\"push\"]},"                                                          \
	"{\"@line\":3,\"who\":\"authenticated\",\"repositories\":\"home/${user}/**\","             \
	"\"allow\":[\"pull\",\"push\",\"delete\"]},"                                               \
	"{\"@line\":4,\"who\":\"group:ops\",\"repositories\":\"**\",\"allow\":\"admin\"},"         \
	"{\"@line\":5,\"who\":\"bob\",\"repositories\":\"team/secret\",\"deny\":[\"pull\"]},"      \
	"{\"@line\":6,\"who\":\"anonymous\",\"repositories\":\"public/soon\",\"deny\":\"pull\"},"  \
	"{\"@line\":7,\"who\":\"oidc:gh:acme/app\",\"repositories\":\"acme/app\","                 \
	"\"allow\":\"push\"},"                                                                     \
	"{\"@line\":8,\"repositories\":\"release/*\",\"immutable\":[\"v*\",\"stable\"]},"          \
	"{\"@line\":9,\"who\":\"authenticated\",\"repositories\":\"release/*\","                   \
	"\"allow\":[\"pull\",\"push\",\"delete\"]}]"
#define SOME_GROUPS                                                                                \
	"[{\"name\":\"dev\",\"members\":[\"bob\",\"key:ci\"]},"                                    \
	"{\"name\":\"ops\",\"members\":\"carol\"}]"

static const struct {
	const char *name, *who, *repository, *action;
	bool allowed;
	unsigned line;
} decisions[] = {
	{ "public", "anonymous", "public/x", "pull", true, 1 },
	{ "public for those with a name", "alice", "public/x/y", "pull", true, 1 },
	{ "public is not for pushing", "alice", "public/x", "push", false, 0 },
	{ "denied without a name", "anonymous", "public/soon", "pull", false, 6 },
	{ "and open with one", "alice", "public/soon", "pull", true, 1 },
	{ "by name", "alice", "team/x", "push", true, 2 },
	{ "another name", "dave", "team/x", "pull", false, 0 },
	{ "by group", "bob", "team/x", "push", true, 2 },
	{ "a key in a group", "key:ci", "team/x", "push", true, 2 },
	{ "a user is not the key", "ci", "team/x", "push", false, 0 },
	{ "a key is not the user", "key:alice", "team/x", "push", false, 0 },
	{ "a certificate is not the user", "cert:alice", "team/x", "push", false, 0 },
	{ "deny wins", "bob", "team/secret", "pull", false, 5 },
	{ "denied is what was said", "bob", "team/secret", "push", true, 2 },
	{ "deny is for him", "alice", "team/secret", "pull", true, 2 },
	{ "only components that are whole", "alice", "team-evil/x", "pull", false, 0 },
	{ "not the group's directory itself", "alice", "team", "pull", false, 0 },
	{ "own place", "dave", "home/dave/x", "delete", true, 3 },
	{ "somebody else's place", "dave", "home/alice/x", "pull", false, 0 },
	{ "a key has no place", "key:dave", "home/dave/x", "pull", false, 0 },
	{ "nobody has no place", "anonymous", "home/dave/x", "pull", false, 0 },
	{ "a name with a slash has none", "a/b", "home/a/b/x", "pull", false, 0 },
	{ "administrators may all", "carol", "any/thing", "delete", true, 4 },
	{ "administration itself", "carol", "any/thing", "admin", true, 4 },
	{ "not for others", "alice", "team/x", "admin", false, 0 },
	{ "workload", "oidc:gh:acme/app", "acme/app", "push", true, 7 },
	{ "another workload", "oidc:gh:acme/apps", "acme/app", "push", false, 0 },
	{ "a workload is somebody", "oidc:gh:x", "release/a", "pull", true, 9 },
	{ "case counts", "Alice", "team/x", "pull", false, 0 },
};

static void test_decision(void **state)
{
	__typeof__(&decisions[0]) t = *state;
	AUTO_RULES *r = rules_of(SOME_RULES, SOME_GROUPS);
	const struct identity id = identity_of(t->who);
	struct decision d;
	enum action a;

	MUST(action_parse(str_of(t->action), &a));
	d = rules_decide(r, &id, str_of(t->repository), a);
	assert_int_equal(d.allowed, t->allowed);
	assert_int_equal(d.line, t->line);
}

static void test_groups_of_identity(void **state)
{
	AUTO_RULES *r = rules_of(SOME_RULES, SOME_GROUPS);
	const struct str groups[] = { STR("x"), STR("dev") };
	struct identity id = identity_of("dave");

	(void)state;
	id.n_groups = 2;
	id.groups = groups;
	assert_true(rules_decide(r, &id, STR("team/x"), ACTION_PUSH).allowed);
	id.n_groups = 1;
	assert_false(rules_decide(r, &id, STR("team/x"), ACTION_PUSH).allowed);
}

/* U4: what a key or token was made for. */
static void test_limits(void **state)
{
	AUTO_RULES *r = rules_of(SOME_RULES, SOME_GROUPS);
	const struct grant one = { STR("team/a"), ACTION_PULL };
	struct identity id = identity_of("alice");
	struct decision d;
	char text[DECISION_TEXT_MAX];

	(void)state;
	id.has_grants = true;
	id.grants = (struct grants){ 1, &one };
	assert_true(rules_decide(r, &id, STR("team/a"), ACTION_PULL).allowed);
	d = rules_decide(r, &id, STR("team/a"), ACTION_PUSH);
	assert_int_equal(d.why, WHY_BEYOND_KEY);
	assert_string_equal(decision_text(&d, text), "beyond what the key was made for");
	assert_false(rules_decide(r, &id, STR("team/b"), ACTION_PULL).allowed);
	assert_true(rules_decide(r, &id, STR("public/x"), ACTION_PULL).allowed);
	id.has_grants = false;
	id.has_scope = true;
	id.scope = (struct grants){ 1, &one };
	assert_true(rules_decide(r, &id, STR("team/a"), ACTION_PULL).allowed);
	d = rules_decide(r, &id, STR("team/a"), ACTION_PUSH);
	assert_int_equal(d.why, WHY_BEYOND_SCOPE);
	assert_true(rules_decide_unscoped(r, &id, STR("team/a"), ACTION_PUSH).allowed);
	assert_false(rules_decide(r, &id, STR("public/x"), ACTION_PULL).allowed);
	id.name = STR("dave"); /* the rules of now, whatever the token says */
	d = rules_decide(r, &id, STR("team/a"), ACTION_PULL);
	assert_int_equal(d.why, WHY_NO_RULE);
}

/* A robot brings its own rights; what is denied stays denied. */
static void test_own_rights(void **state)
{
	AUTO_RULES *r =
	    rules_of("[{\"who\":\"key:bot\",\"repositories\":\"x/no\",\"deny\":\"push\"},"
		     "{\"who\":\"authenticated\",\"repositories\":\"y\",\"allow\":\"pull\"},"
		     "{\"who\":\"anonymous\",\"repositories\":\"z\",\"allow\":\"pull\"}]",
		     NULL);
	const struct grant one = { STR("x/*"), ACTION_PUSH };
	struct identity id = identity_of("key:bot");

	(void)state;
	id.has_grants = id.grants_suffice = true;
	id.grants = (struct grants){ 1, &one };
	assert_true(rules_decide(r, &id, STR("x/a"), ACTION_PUSH).allowed);
	assert_false(rules_decide(r, &id, STR("x/a"), ACTION_PULL).allowed);
	assert_false(rules_decide(r, &id, STR("x/no"), ACTION_PUSH).allowed);
	assert_false(rules_decide(r, &id, STR("y"), ACTION_PULL).allowed);
	assert_true(rules_decide(r, &id, STR("z"), ACTION_PULL).allowed);
}

static void test_immutable(void **state)
{
	AUTO_RULES *r = rules_of(SOME_RULES, SOME_GROUPS);

	(void)state;
	assert_true(rules_tag_is_immutable(r, STR("release/a"), STR("v1")));
	assert_true(rules_tag_is_immutable(r, STR("release/a"), STR("stable")));
	assert_false(rules_tag_is_immutable(r, STR("release/a"), STR("latest")));
	assert_false(rules_tag_is_immutable(r, STR("release/a/b"), STR("v1")));
	assert_int_equal(rules_count(r), 8);
}

static void test_nothing(void **state)
{
	AUTO_RULES *r = NULL;
	const struct identity id = identity_of("alice");
	struct err e;

	(void)state;
	assert_ok(rules_parse(NULL, NULL, NULL, &r, &e), &e);
	assert_false(rules_decide(r, &id, STR("a"), ACTION_PULL).allowed);
	assert_int_equal(rules_count(r), 0);
}

/* --- what is refused --- */

static const struct {
	const char *name, *access, *groups, *message;
} bad[] = {
	{ "no structure", "[\"x\"]", NULL, "access: each entry must be a structure" },
	{ "no who", "[{\"@line\":4,\"repositories\":\"a\",\"allow\":\"pull\"}]", NULL,
	  "access, line 4: who must be" },
	{ "no repositories", "[{\"who\":\"a\",\"allow\":\"pull\"}]", NULL, "repositories must be" },
	{ "neither allow nor deny", "[{\"who\":\"a\",\"repositories\":\"a\"}]", NULL,
	  "one of allow, deny and immutable must be there" },
	{ "allow and deny",
	  "[{\"who\":\"a\",\"repositories\":\"a\",\"allow\":\"pull\",\"deny\":\"push\"}]", NULL,
	  "one of allow, deny and immutable" },
	{ "unknown member",
	  "[{\"@line\":2,\"who\":\"a\",\"repo\":\"a\",\"repositories\":\"a\",\"allow\":\"pull\"}]",
	  NULL, "access, line 2: there is no \"repo\" here" },
	{ "unknown action",
	  "[{\"who\":\"a\",\"repositories\":\"a\",\"allow\":[\"pull\",\"read\"]}]", NULL,
	  "\"read\" must be pull, push, delete or admin" },
	{ "all actions", "[{\"who\":\"a\",\"repositories\":\"a\",\"allow\":\"*\"}]", NULL,
	  "\"*\" must be pull" },
	{ "unknown kind", "[{\"who\":\"robot:a\",\"repositories\":\"a\",\"allow\":\"pull\"}]", NULL,
	  "who: \"robot:a\" must be" },
	{ "everybody", "[{\"who\":\"*\",\"repositories\":\"a\",\"allow\":\"pull\"}]", NULL,
	  "who: \"*\" must be" },
	{ "group without a name",
	  "[{\"who\":\"group:\",\"repositories\":\"a\",\"allow\":\"pull\"}]", NULL,
	  "who: \"group:\" must be" },
	{ "pattern", "[{\"who\":\"a\",\"repositories\":\"a/**b\",\"allow\":\"pull\"}]", NULL,
	  "repositories: \"a/**b\" has ** beside" },
	{ "other variable", "[{\"who\":\"a\",\"repositories\":\"${name}/x\",\"allow\":\"pull\"}]",
	  NULL, "is the only variable" },
	{ "character class", "[{\"who\":\"a\",\"repositories\":\"[ab]\",\"allow\":\"pull\"}]", NULL,
	  "characters that are in no name" },
	{ "who with immutable", "[{\"who\":\"a\",\"repositories\":\"a\",\"immutable\":\"v*\"}]",
	  NULL, "there is no \"who\" here" },
	{ "empty immutable", "[{\"repositories\":\"a\",\"immutable\":[]}]", NULL,
	  "immutable must be a text or a list" },
	{ "group without members", "[]", "[{\"@line\":3,\"name\":\"g\"}]",
	  "auth.groups, line 3: members must be" },
	{ "anonymous member", "[]", "[{\"name\":\"g\",\"members\":\"anonymous\"}]",
	  "members: \"anonymous\" must be" },
	{ "group in a group", "[]", "[{\"name\":\"g\",\"members\":\"group:h\"}]",
	  "members: \"group:h\" must be" },
	{ "bad name of a group", "[]", "[{\"name\":\"g h\",\"members\":\"a\"}]",
	  "\"g h\" cannot be a group's name" },
};

static void test_bad(void **state)
{
	__typeof__(&bad[0]) b = *state;
	AUTO_RULES *r = NULL;
	struct err e;

	assert_err(parse(b->access, b->groups, &r, &e), ERR_INVALID, &e, b->message);
	assert_null(r);
}

/* --- against a model --- */

/*
 * Everything from small sets, so that much of it meets.  The model knows rules as they were rolled, looks at all of them,
 * and matches by trying everything.
 */
static const char *const whos[] = { "anonymous", "authenticated", "group:g", "group:h",
				    "user:a",    "user:b",        "key:a",   "cert:b" };
static const char *const callers[] = { "anonymous", "user:a", "user:b", "key:a", "cert:b" };
static const char *const patterns[] = { "**", "a",   "a/*",        "a/**",      "*/b", "**/b",
					"?",  "a/b", "${user}/**", "*/${user}", "b/**" };
static const char *const repositories[] = { "a",   "b",     "a/a",   "a/b",  "b/a",
					    "b/b", "a/b/b", "b/a/b", "ab/b", "g" };
static const char *const action_words[] = { "pull", "push", "delete", "admin" };

#define RULES_MAX 5

struct model_rule {
	unsigned whos, patterns, actions; /* bits */
	bool deny;
};

struct model {
	unsigned n;
	struct model_rule rules[RULES_MAX];
	unsigned g, h; /* members: bits of callers */
	unsigned in_g; /* callers that bring group g with them */
};

static uint64_t random_state;

static unsigned roll(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state >> 11) % n;
}

/* A few bits out of n, at least one. */
static unsigned roll_bits(unsigned n)
{
	unsigned bits = 1u << roll(n);

	while (roll(3) == 0)
		bits |= 1u << roll(n);
	return bits;
}

static bool slow_glob(const char *p, const char *s, bool start)
{
	if (start && strcmp(p, "**") == 0)
		return *s != '\0';
	if (start && strncmp(p, "**/", 3) == 0) {
		for (; s; s = strchr(s, '/') ? strchr(s, '/') + 1 : NULL) {
			if (slow_glob(p + 3, s, true))
				return true;
		}
		return false;
	}
	if (*p == '\0')
		return *s == '\0';
	if (*p == '*')
		return slow_glob(p + 1, s, false) ||
		       (*s && *s != '/' && slow_glob(p, s + 1, false));
	if (!*s || (*p == '?' ? *s == '/' : *p != *s))
		return false;
	return slow_glob(p + 1, s + 1, *p == '/');
}

static bool model_matches(const char *pattern, const char *caller, const char *repository)
{
	char text[64] = "";
	const char *var = strstr(pattern, "${user}");

	if (!var)
		return slow_glob(pattern, repository, true);
	if (strncmp(caller, "user:", 5) != 0)
		return false;
	(void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(var - pattern), pattern, caller + 5,
		       var + 7);
	return slow_glob(text, repository, true);
}

static bool model_is(const struct model *m, unsigned who, unsigned caller, bool deny)
{
	switch (who) {
	case 0:
		return !deny || caller == 0;
	case 1:
		return caller != 0;
	case 2:
		return (m->g | m->in_g) >> caller & 1;
	case 3:
		return m->h >> caller & 1;
	default:
		return strcmp(whos[who], callers[caller]) == 0;
	}
}

static bool model_applies(const struct model *m, const struct model_rule *r, unsigned caller,
			  const char *repository)
{
	for (unsigned w = 0; w < ARRAY_LEN(whos); w++) {
		for (unsigned p = 0; p < ARRAY_LEN(patterns); p++) {
			if (r->whos >> w & 1 && r->patterns >> p & 1 &&
			    model_is(m, w, caller, r->deny) &&
			    model_matches(patterns[p], callers[caller], repository))
				return true;
		}
	}
	return false;
}

static bool model_allows(const struct model *m, unsigned caller, const char *repository,
			 unsigned action)
{
	bool allowed = false, denied = false;

	for (unsigned i = 0; i < m->n; i++) {
		const struct model_rule *r = &m->rules[i];
		bool about = r->actions >> action & 1 || (!r->deny && r->actions >> 3 & 1);

		if (!about || !model_applies(m, r, caller, repository))
			continue;
		if (r->deny)
			denied = true;
		else
			allowed = true;
	}
	return allowed && !denied;
}

static void add_list(struct sbuf *b, const char *key, const char *const *words, unsigned bits)
{
	bool first = true;

	sbuf_addf(b, "\"%s\":[", key);
	for (unsigned i = 0; bits >> i; i++) {
		if (!(bits >> i & 1))
			continue;
		sbuf_addf(b, "%s\"%s\"", first ? "" : ",", words[i]);
		first = false;
	}
	sbuf_addf(b, "]");
}

static struct rules *rules_of_model(const struct model *m)
{
	AUTO_SBUF access, groups;
	struct rules *r;

	sbuf_init(&access, SBUF_MAX);
	sbuf_init(&groups, SBUF_MAX);
	sbuf_addf(&access, "[");
	for (unsigned i = 0; i < m->n; i++) {
		sbuf_addf(&access, "%s{", i ? "," : "");
		add_list(&access, "who", whos, m->rules[i].whos);
		sbuf_addf(&access, ",");
		add_list(&access, "repositories", patterns, m->rules[i].patterns);
		sbuf_addf(&access, ",");
		add_list(&access, m->rules[i].deny ? "deny" : "allow", action_words,
			 m->rules[i].actions);
		sbuf_addf(&access, "}");
	}
	sbuf_addf(&access, "]");
	sbuf_addf(&groups, "[{\"name\":\"g\",");
	add_list(&groups, "members", callers, m->g);
	sbuf_addf(&groups, "},{\"name\":\"h\",");
	add_list(&groups, "members", callers, m->h);
	sbuf_addf(&groups, "}]");
	r = rules_of(access.p, groups.p);
	return r;
}

static void compare(const struct model *m, const struct rules *r)
{
	static const struct str g = { "g", 1 };

	for (unsigned c = 0; c < ARRAY_LEN(callers); c++) {
		struct identity id = identity_of(callers[c]);

		id.groups = &g;
		id.n_groups = m->in_g >> c & 1;
		for (unsigned i = 0; i < ARRAY_LEN(repositories); i++) {
			for (unsigned a = 0; a < ARRAY_LEN(action_words); a++) {
				bool want = model_allows(m, c, repositories[i], a);
				bool got = rules_decide(r, &id, str_of(repositories[i]),
							(enum action)(1u << a))
					       .allowed;

				if (want != got)
					fail_msg("%s %s %s: %d, the model says %d", callers[c],
						 action_words[a], repositories[i], got, want);
			}
		}
	}
}

static void test_model(void **state)
{
	const char *seed = getenv("SEED");
	unsigned allowed = 0;

	(void)state;
	random_state = seed ? strtoull(seed, NULL, 10) | 1 : 88172645463325252u;
	for (unsigned round = 0; round < 4000; round++) {
		struct model m = { .n = 1 + roll(RULES_MAX) };
		struct rules *r;

		for (unsigned i = 0; i < m.n; i++)
			m.rules[i] =
			    (struct model_rule){ roll_bits(ARRAY_LEN(whos)),
						 roll_bits(ARRAY_LEN(patterns)),
						 roll_bits(ARRAY_LEN(action_words)), roll(3) == 0 };
		m.g = roll_bits(ARRAY_LEN(callers) - 1) << 1; /* anonymous is no member */
		m.h = roll_bits(ARRAY_LEN(callers) - 1) << 1;
		m.in_g = roll(4) ? 0 : 1u << (1 + roll(ARRAY_LEN(callers) - 1));
		r = rules_of_model(&m);
		compare(&m, r);
		allowed += model_allows(&m, 1, "a/b", 0);
		rules_put(&r);
	}
	assert_in_range(allowed, 400, 3600); /* of 4,000: neither answer is rare */
}

int main(void)
{
	UNIT_TABLE("decisions", test_decision, decisions);
	unit_case("groups that an identity brings", test_groups_of_identity);
	unit_case("limits of keys and tokens", test_limits);
	unit_case("rights that a robot brings", test_own_rights);
	unit_case("immutable tags", test_immutable);
	unit_case("no rules", test_nothing);
	UNIT_TABLE("refused", test_bad, bad);
	unit_case("agrees with a slow model", test_model);
	return unit_run();
}
