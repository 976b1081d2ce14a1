#include "auth/token.h"

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define NOW ((uint64_t)1800000000000)

static struct keyring *ring(void)
{
	static char path[128];
	struct keyring_options o = { .path = path, .replace_ms = 86400000, .keep_ms = 1000 };
	struct keyring *k;
	struct err e;

	(void)snprintf(path, sizeof(path), "%s/k", unit_dir());
	assert_ok(keyring_open(&o, &k, &e), &e);
	return k;
}

static struct sbuf issue(struct keyring *k, enum token_use use, const char *service)
{
	static const struct str groups[] = { { "dev", 3 }, { "ops", 3 } };
	static const struct grant grants[] = { { { "a/b", 3 }, ACTION_PULL | ACTION_PUSH },
					       { { "c", 1 }, ACTION_ADMIN } };
	const struct token_owner to = { .kind = IDENTITY_USER,
					.name = STR("alice"),
					.version = 12345,
					.key = STR("0123"),
					.n_groups = 2,
					.groups = groups };
	const struct token_terms terms = { .use = use,
					   .service = service,
					   .lifetime_ms = 300000,
					   .scope = { 2, grants },
					   .catalog = true };
	struct sbuf b;
	struct err e;

	sbuf_init(&b, TOKEN_MAX);
	assert_ok(token_issue(k, &to, &terms, NOW, &b, &e), &e);
	return b;
}

static enum err_kind read_at(struct keyring *k, const struct sbuf *b, enum token_use use,
			     const char *service, uint64_t now, struct err *e)
{
	struct token t;
	enum err_kind kind = token_read(k, (struct str){ b->p, b->n }, use, service, now, &t, e);

	if (kind == ERR_OK)
		token_clear(&t);
	return kind;
}

static void test_round_trip(void **state)
{
	struct keyring *k = ring();
	struct sbuf b = issue(k, TOKEN_ACCESS, "svc");
	struct token t;
	struct err e;

	(void)state;
	assert_ok(token_read(k, (struct str){ b.p, b.n }, TOKEN_ACCESS, "svc", NOW, &t, &e), &e);
	assert_int_equal(t.owner.kind, IDENTITY_USER);
	assert_str(t.owner.name, "alice");
	assert_int_equal(t.owner.version, 12345);
	assert_str(t.owner.key, "0123");
	assert_int_equal(t.owner.n_groups, 2);
	assert_str(t.owner.groups[1], "ops");
	assert_int_equal(t.until_wall_ms, NOW + 300000);
	assert_true(t.catalog);
	assert_int_equal(t.scope.n, 2);
	assert_str(t.scope.items[0].repositories, "a/b");
	assert_int_equal(t.scope.items[0].actions, ACTION_PULL | ACTION_PUSH);
	assert_int_equal(t.scope.items[1].actions, ACTION_ADMIN);
	token_clear(&t);
	sbuf_clear(&b);
	keyring_close(&k);
}

/* T2 */
static void test_times(void **state)
{
	struct keyring *k = ring();
	struct sbuf b = issue(k, TOKEN_ACCESS, "svc");
	struct err e;

	(void)state;
	assert_int_equal(read_at(k, &b, TOKEN_ACCESS, "svc", NOW, &e), ERR_OK);
	assert_int_equal(read_at(k, &b, TOKEN_ACCESS, "svc", NOW + 299999, &e), ERR_OK);
	assert_err(read_at(k, &b, TOKEN_ACCESS, "svc", NOW + 300000, &e), ERR_LOGIN, &e,
		   "it has ended");
	assert_err(read_at(k, &b, TOKEN_ACCESS, "svc", NOW - 1, &e), ERR_LOGIN, &e,
		   "it does not count yet");
	assert_int_equal(read_at(k, &b, TOKEN_ACCESS, "svc", 0, &e), ERR_LOGIN); /* no clock */
	assert_int_equal(read_at(k, &b, TOKEN_ACCESS, "svc", UINT64_MAX, &e), ERR_LOGIN);
	sbuf_clear(&b);
	keyring_close(&k);
}

/* T1 */
static void test_uses(void **state)
{
	struct keyring *k = ring(), *other = ring();
	struct sbuf access = issue(k, TOKEN_ACCESS, "svc"),
		    refresh = issue(k, TOKEN_REFRESH, "svc");
	struct sbuf confusing = issue(k, TOKEN_ACCESS, "refresh:svc");
	struct err e;

	(void)state;
	assert_int_equal(read_at(k, &refresh, TOKEN_REFRESH, "svc", NOW, &e), ERR_OK);
	assert_err(read_at(k, &access, TOKEN_REFRESH, "svc", NOW, &e), ERR_LOGIN, &e,
		   "for somebody else");
	assert_err(read_at(k, &refresh, TOKEN_ACCESS, "svc", NOW, &e), ERR_LOGIN, &e,
		   "for somebody else");
	assert_err(read_at(k, &access, TOKEN_ACCESS, "other", NOW, &e), ERR_LOGIN, &e,
		   "another issuer's");
	assert_err(read_at(k, &confusing, TOKEN_REFRESH, "svc", NOW, &e), ERR_LOGIN, &e,
		   "another issuer's");
	assert_err(read_at(other, &access, TOKEN_ACCESS, "svc", NOW, &e), ERR_LOGIN, &e,
		   "a key that is not ours");
	sbuf_clear(&access);
	sbuf_clear(&refresh);
	sbuf_clear(&confusing);
	keyring_close(&k);
	keyring_close(&other);
}

/* Claims that a key of ours signed, and that are not what we issue: another program, or a bug. */
static const struct {
	const char *name, *claims; /* in place of, or besides, those of a good token */
} claims[] = {
	{ "no iss", "\"iss\":null" },
	{ "iss that is a list", "\"iss\":[\"svc\"]" },
	{ "iss with a slash", "\"iss\":\"svc/\"" },
	{ "no aud", "\"aud\":null" },
	{ "empty aud", "\"aud\":[]" },
	{ "aud that is longer", "\"aud\":\"svc2\"" },
	{ "aud that is shorter", "\"aud\":\"sv\"" },
	{ "aud in other case", "\"aud\":\"SVC\"" },
	{ "no exp", "\"exp\":null" },
	{ "exp as text", "\"exp\":\"1900000000\"" },
	{ "exp as a fraction", "\"exp\":1900000000.5" },
	{ "negative exp", "\"exp\":-1" },
	{ "exp that overflows", "\"exp\":18446744073709552" },
	{ "no nbf", "\"nbf\":null" },
	{ "nbf as text", "\"nbf\":\"0\"" },
	{ "nbf in the future", "\"nbf\":1900000000" },
	{ "no iat", "\"iat\":null" },
	{ "iat in the future", "\"iat\":1900000000" },
	{ "no sub", "\"sub\":null" },
	{ "sub of no kind", "\"sub\":\"root:x\"" },
	{ "sub with a blank", "\"sub\":\"user:a b\"" },
	{ "access that is no list", "\"access\":{}" },
	{ "access of texts", "\"access\":[\"repository:a:pull\"]" },
	{ "access without actions", "\"access\":[{\"type\":\"repository\",\"name\":\"a\"}]" },
	{ "actions that are a text",
	  "\"access\":[{\"type\":\"repository\",\"name\":\"a\",\"actions\":\"pull\"}]" },
	{ "an action that is no text",
	  "\"access\":[{\"type\":\"repository\",\"name\":\"a\",\"actions\":[1]}]" },
	{ "nothing of ours", "\"berth\":null" },
	{ "no version", "\"berth\":{\"key\":\"\",\"groups\":[]}" },
	{ "negative version", "\"berth\":{\"version\":-1,\"key\":\"\",\"groups\":[]}" },
	{ "no key", "\"berth\":{\"version\":1,\"groups\":[]}" },
	{ "groups that are none", "\"berth\":{\"version\":1,\"key\":\"\",\"groups\":[7]}" },
};

#define GOOD                                                                                       \
	"\"iss\":\"svc\",\"aud\":\"svc\",\"sub\":\"user:a\",\"iat\":1700000000,\"nbf\":"           \
	"1700000000,"                                                                              \
	"\"exp\":1900000000,\"access\":[],\"berth\":{\"version\":1,\"key\":\"\",\"groups\":[]}"

static enum err_kind read_claims(struct keyring *k, const char *text, struct err *e)
{
	AUTO_JV *payload = NULL, *more = NULL;
	AUTO_SBUF b, token;
	const struct jv *value;
	const char *key;
	void *iter = NULL;

	assert_ok(jv_parse_object(STR("{" GOOD "}"), 8, &payload, e), e);
	sbuf_init(&b, SBUF_MAX);
	sbuf_addf(&b, "{%s}", text);
	assert_ok(jv_parse_object((struct str){ b.p, b.n }, 8, &more, e), e);
	while (jv_next(more, &iter, &key, &value))
		MUST(jv_set(payload, key, jv_share(value)));
	sbuf_init(&token, TOKEN_MAX);
	assert_ok(keyring_sign(k, payload, &token, e), e);
	return read_at(k, &token, TOKEN_ACCESS, "svc", NOW, e);
}

static void test_claims(void **state)
{
	__typeof__(&claims[0]) c = *state;
	struct keyring *k = ring();
	struct err e;

	assert_ok(read_claims(k, "\"more\":1", &e), &e);
	assert_ok(read_claims(k, "\"aud\":[\"x\",\"svc\"]", &e), &e);
	assert_int_equal(read_claims(k, c->claims, &e), ERR_LOGIN);
	keyring_close(&k);
}

/* What the access claim of anybody's token gives. */
static const struct {
	const char *name, *access;
	size_t n;
	unsigned actions;
} accesses[] = {
	{ "pull", "{\"type\":\"repository\",\"name\":\"a\",\"actions\":[\"pull\"]}", 1,
	  ACTION_PULL },
	{ "star", "{\"type\":\"repository\",\"name\":\"a\",\"actions\":[\"*\"]}", 1,
	  ACTION_PULL | ACTION_PUSH | ACTION_DELETE },
	{ "none", "{\"type\":\"repository\",\"name\":\"a\",\"actions\":[]}", 1, 0 },
	{ "unknown action",
	  "{\"type\":\"repository\",\"name\":\"a\",\"actions\":[\"PULL\",\"pull \"]}", 1, 0 },
	{ "pattern", "{\"type\":\"repository\",\"name\":\"a/*\",\"actions\":[\"pull\"]}", 0, 0 },
	{ "prefix", "{\"type\":\"repository\",\"name\":\"a/\",\"actions\":[\"pull\"]}", 0, 0 },
	{ "upper case", "{\"type\":\"repository\",\"name\":\"A\",\"actions\":[\"pull\"]}", 0, 0 },
	{ "other type", "{\"type\":\"Repository\",\"name\":\"a\",\"actions\":[\"pull\"]}", 0, 0 },
	{ "class", "{\"type\":\"repository(plugin)\",\"name\":\"a\",\"actions\":[\"pull\"]}", 0,
	  0 },
};

static void test_access(void **state)
{
	__typeof__(&accesses[0]) a = *state;
	AUTO_JV *payload = NULL;
	AUTO_SBUF b;
	struct grant grants[2];
	bool catalog;
	size_t n;
	struct err e;

	sbuf_init(&b, SBUF_MAX);
	sbuf_addf(&b, "{\"access\":[%s]}", a->access);
	assert_ok(jv_parse_object((struct str){ b.p, b.n }, 8, &payload, &e), &e);
	assert_ok(claims_access(payload, grants, 2, &n, &catalog, &e), &e);
	assert_int_equal(n, a->n);
	if (n)
		assert_int_equal(grants[0].actions, a->actions);
}

static void test_leeway(void **state)
{
	struct claims_wanted w = { .issuer = STR("i"), .audience = STR("a"), .leeway_ms = 60000 };
	AUTO_JV *p = NULL;
	uint64_t until;
	struct err e;

	(void)state;
	assert_ok(jv_parse_object(STR("{\"iss\":\"i\",\"aud\":\"a\",\"exp\":1000,\"nbf\":500}"), 8,
				  &p, &e),
		  &e);
	w.now_wall_ms = 1059999;
	assert_ok(claims_check(p, &w, &until, &e), &e);
	assert_int_equal(until, 1000000);
	w.now_wall_ms = 1060000;
	assert_err(claims_check(p, &w, &until, &e), ERR_LOGIN, &e, "it has ended");
	w.now_wall_ms = 440000;
	assert_ok(claims_check(p, &w, &until, &e), &e);
	w.now_wall_ms = 439999;
	assert_err(claims_check(p, &w, &until, &e), ERR_LOGIN, &e, "does not count yet");
}

int main(void)
{
	unit_case("issued and read", test_round_trip);
	unit_case("times", test_times);
	unit_case("for one use, one service, by one's own keys", test_uses);
	UNIT_TABLE("claims", test_claims, claims);
	UNIT_TABLE("access", test_access, accesses);
	unit_case("clocks that differ", test_leeway);
	return unit_run();
}
