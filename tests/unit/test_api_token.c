#include "auth/apikey.h"
#include "auth/htpasswd.h"
#include "base/jv.h"
#include "server/access.h"
#include "server/guard.h"
#include "tests/lib/exchange.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define ALICE "Authorization: Basic YWxpY2U6c2VjcmV0\n"       /* alice:secret */
#define ALICE_WRONG "Authorization: Basic YWxpY2U6d3Jvbmc=\n" /* alice:wrong */
#define FORM "Content-Type: application/x-www-form-urlencoded\n"

#define RULES                                                                                      \
	"--access=[{who: alice, repositories: 'a/**', allow: [pull, push]},"                       \
	"{who: anonymous, repositories: 'public/**', allow: pull}]"

struct world {
	struct test_server s;
	char users[128], root[128], robot[APIKEY_TEXT_MAX], personal[APIKEY_TEXT_MAX];
};

/* With no workers what is to be done is done at once. */
static void start(struct world *w, unsigned workers)
{
	const struct grant grants[] = { { STR("a/x"), ACTION_PULL } };
	const struct apikey robot = { .name = STR("ci"),
				      .has_grants = true,
				      .grants = { 1, grants } };
	const struct apikey personal = {
		.name = STR("alice"), .is_user = true, .has_grants = true, .grants = { 1, grants }
	};
	const char *dir = unit_dir();
	char option[160], root_option[160], keys[GUARD_PATH_MAX];
	const char *const options[] = { option, root_option, RULES, NULL };
	struct conf c = { .root = { .p = w->root } };
	struct err e;

	(void)snprintf(w->users, sizeof(w->users), "%s/h", dir);
	(void)snprintf(w->root, sizeof(w->root), "%s/root", dir);
	(void)snprintf(option, sizeof(option), "--auth.htpasswd=%s", w->users);
	(void)snprintf(root_option, sizeof(root_option), "--root=%s", w->root);
	assert_ok(htpasswd_set(w->users, STR("alice"), STR("secret"), 5, true, &e), &e);
	assert_ok(guard_make_directory(&c, &e), &e);
	guard_path(&c, GUARD_KEYS, keys);
	assert_ok(apikey_add(keys, &robot, w->robot, &e), &e);
	assert_ok(apikey_add(keys, &personal, w->personal, &e), &e);
	test_server_start_guarded(&w->s, w->root, workers, options);
	log_set_level(LOG_ERROR);
}

static void stop(struct world *w)
{
	test_server_stop(&w->s);
}

/* A member of the answer, to free; NULL if it is not there. */
static char *member(const struct exchange *x, const char *name)
{
	AUTO_SBUF b = reply_text(x);
	AUTO_JV *doc = NULL;
	struct str text;
	struct err e;

	assert_ok(jv_parse_object((struct str){ b.p, b.n }, 8, &doc, &e), &e);
	return jv_text(jv_member(doc, name), &text) ? strndup(text.p, text.n) : NULL;
}

/* The named member of a token's answer. */
static char *ask(struct world *w, const char *target, const char *headers, const char *form,
		 const char *name)
{
	struct exchange x;
	char *got;

	exchange(&x, &w->s, form ? "POST" : "GET", target, headers, str_of(form));
	assert_status(&x, 200, "\"access_token\"");
	assert_string_equal(reply_field(&x, "Cache-Control"), "no-store");
	got = member(&x, name);
	exchange_end(&x);
	return got;
}

static void expect_scope(struct world *w, const char *target, const char *headers, const char *form,
			 const char *want)
{
	AUTO_FREE char *scope = ask(w, target, headers, form, "scope");

	assert_string_equal(scope, want);
}

static void expect(struct world *w, const char *method, const char *target, const char *token,
		   unsigned status)
{
	char headers[3000];

	(void)snprintf(headers, sizeof(headers), "Authorization: Bearer %s\n", token);
	expect_reply(&w->s, method, target, headers, NOTHING, status, "");
}

static void test_use(void **state)
{
	struct world w;
	struct exchange x;
	AUTO_FREE char *token = NULL;

	(void)state;
	start(&w, 2);
	token = ask(&w, "/token?service=berthd&scope=repository:a/x:pull", ALICE, NULL, "token");
	for (unsigned i = 0; i < 2; i++) { /* looked at, and remembered */
		expect(&w, "GET", "/v2/", token, 200);
		expect(&w, "GET", "/v2/a/x/manifests/v1", token, 404);
		expect(&w, "GET", "/v2/a/y/manifests/v1", token, 401); /* not asked for */
		expect(&w, "POST", "/v2/a/x/blobs/uploads/", token, 401);
		expect(&w, "GET", "/v2/b/x/manifests/v1", token, 403); /* not hers */
		expect(&w, "GET", "/v2/_catalog", token, 401);
	}
	exchange(&x, &w.s, "GET", "/v2/a/x/manifests/v1", NULL, NOTHING);
	assert_string_equal(reply_field(&x, "WWW-Authenticate"),
			    "Bearer realm=\"http://192.0.2.1:5000/token\",service=\"berthd\","
			    "scope=\"repository:a/x:pull\"");
	exchange_end(&x);
	stop(&w);
}

/* The challenge says what is missing. */
static const struct {
	const char *name, *method, *target, *scope; /* NULL: no scope */
} challenges[] = {
	{ "ping", "GET", "/v2/", NULL },
	{ "pull", "HEAD", "/v2/a/x/manifests/v1", "repository:a/x:pull" },
	{ "push", "PUT", "/v2/a/x/manifests/v1", "repository:a/x:pull,push" },
	{ "delete", "DELETE", "/v2/a/x/manifests/v1", "repository:a/x:delete" },
	{ "catalog", "GET", "/v2/_catalog", "registry:catalog:*" },
	{ "mount", "POST", "/v2/a/x/blobs/uploads/?from=a/y&mount=z",
	  "repository:a/x:pull,push repository:a/y:pull" },
	{ "mount from a bad name", "POST", "/v2/a/x/blobs/uploads/?from=A%22",
	  "repository:a/x:pull,push" },
	{ "a bad name", "GET", "/v2/A/manifests/v1", NULL },
	{ "a bad digest", "GET", "/v2/a/blobs/x", NULL },
	{ "nothing", "GET", "/v2/x", NULL },
};

static void test_challenge(void **state)
{
	__typeof__(&challenges[0]) c = *state;
	struct world w;
	struct exchange x;
	char want[300];

	start(&w, 2);
	exchange(&x, &w.s, c->method, c->target, "Host: localhost:5000\n", NOTHING);
	assert_status(&x, 401, "authentication required");
	(void)snprintf(want, sizeof(want),
		       "Bearer realm=\"http://localhost:5000/token\",service=\"berthd\"%s%s%s",
		       c->scope ? ",scope=\"" : "", c->scope ? c->scope : "", c->scope ? "\"" : "");
	assert_string_equal(reply_field(&x, "WWW-Authenticate"), want);
	exchange_end(&x);
	stop(&w);
}

static void test_errors_in_challenge(void **state)
{
	AUTO_FREE char *token = NULL;
	struct world w;
	struct exchange x;
	char headers[3000];

	(void)state;
	start(&w, 2);
	token = ask(&w, "/token?scope=repository:a/x:pull", ALICE, NULL, "token");
	(void)snprintf(headers, sizeof(headers), "Authorization: Bearer %s\n", token);
	exchange(&x, &w.s, "POST", "/v2/a/x/blobs/uploads/", headers, NOTHING);
	assert_non_null(
	    strstr(reply_field(&x, "WWW-Authenticate"), ",error=\"insufficient_scope\""));
	exchange_end(&x);
	(void)snprintf(headers, sizeof(headers), "Authorization: Bearer x%s\n", token);
	exchange(&x, &w.s, "POST", "/v2/a/x/blobs/uploads/", headers, NOTHING);
	assert_non_null(strstr(reply_field(&x, "WWW-Authenticate"), ",error=\"invalid_token\""));
	exchange_end(&x);
	stop(&w);
}

/* R16: without a name there is a token too, for what is public. */
static void test_anonymous(void **state)
{
	AUTO_FREE char *token = NULL, *refresh = NULL;
	struct world w;

	(void)state;
	start(&w, 2);
	expect_scope(&w, "/token?scope=repository:public/x:pull,push&scope=repository:a/x:pull",
		     NULL, NULL, "repository:public/x:pull");
	token = ask(&w, "/token?scope=repository:public/x:pull", NULL, NULL, "token");
	expect(&w, "GET", "/v2/", token, 200);
	expect(&w, "GET", "/v2/public/x/manifests/v1", token, 404);
	expect(&w, "POST", "/v2/public/x/blobs/uploads/", token, 401);
	expect(&w, "GET", "/v2/a/x/manifests/v1", token, 401);
	refresh = ask(&w, "/token?offline_token=true", NULL, NULL, "refresh_token");
	assert_null(refresh);
	stop(&w);
}

static const struct {
	const char *name, *target, *headers, *form;
	unsigned status;
} requests[] = {
	{ "wrong password", "/token", ALICE_WRONG, NULL, 401 },
	{ "another service", "/token?service=other", ALICE, NULL, 400 },
	{ "bad scope", "/token?scope=x", ALICE, NULL, 400 },
	{ "no grant type", "/token", FORM, "username=alice&password=secret", 400 },
	{ "unknown grant type", "/token", FORM, "grant_type=code", 400 },
	{ "wrong password in a form", "/token", FORM,
	  "grant_type=password&username=alice&password=x", 401 },
	{ "no password in a form", "/token", FORM, "grant_type=password&username=alice", 401 },
	{ "NUL in a form", "/token", FORM, "grant_type=password&username=alice&password=secret%00",
	  401 },
	{ "two passwords", "/token", FORM,
	  "grant_type=password&username=alice&password=secret&password=secret", 400 },
	{ "bad escape", "/token", FORM, "grant_type=password&username=alice&password=%zz", 400 },
	{ "another service in a form", "/token", FORM,
	  "grant_type=password&username=alice&password=secret&service=x", 400 },
	{ "no refresh token", "/token", FORM, "grant_type=refresh_token", 401 },
	{ "a refresh token that is none", "/token", FORM,
	  "grant_type=refresh_token&refresh_token=a.b.c", 401 },
	{ "right", "/token", FORM, "grant_type=password&username=alice&password=secret", 200 },
	{ "right with escapes", "/token", FORM,
	  "grant_type=password&username=%61lice&password=secre%74&client_id=a+b", 200 },
};

static void test_request(void **state)
{
	__typeof__(&requests[0]) r = *state;
	struct world w;

	start(&w, 2);
	expect_reply(&w.s, r->form ? "POST" : "GET", r->target, r->headers, str_of(r->form),
		     r->status, "");
	stop(&w);
}

static void test_long_form(void **state)
{
	AUTO_FREE char *form = calloc(1, 64 * 1024 + 2);
	struct world w;

	(void)state;
	MUST(form);
	memset(form, 'a', 64 * 1024 + 1);
	start(&w, 2);
	expect_reply(&w.s, "POST", "/token", FORM, str_of(form), 413,
		     "a form may have 65536 bytes");
	form[64 * 1024] = '\0';
	expect_reply(&w.s, "POST", "/token", FORM, str_of(form), 400, "");
	stop(&w);
}

static void test_refresh(void **state)
{
	AUTO_FREE char *refresh = NULL, *again = NULL;
	struct world w;
	char form[3000];
	struct err e;

	(void)state;
	start(&w, 0);
	refresh = ask(&w, "/token", FORM,
		      "grant_type=password&username=alice&password=secret&access_type=offline",
		      "refresh_token");
	assert_non_null(refresh);
	(void)snprintf(form, sizeof(form),
		       "grant_type=refresh_token&refresh_token=%s&scope=repository:a/x:push,delete",
		       refresh);
	expect_scope(&w, "/token", FORM, form, "repository:a/x:push");
	again = ask(&w, "/token?offline_token=true", ALICE, NULL, "refresh_token");
	assert_non_null(again);
	expect(&w, "GET", "/v2/", refresh, 401); /* it is no access token */
	/* AUTH-31: not after the password changed */
	assert_ok(htpasswd_set(w.users, STR("alice"), STR("other"), 5, false, &e), &e);
	guard_tend(w.s.guard, true);
	expect_reply(&w.s, "POST", "/token", FORM, str_of(form), 401, "");
	stop(&w);
}

static void basic(char headers[static 512], const char *name, const char *password)
{
	static const char letters[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char text[256];
	size_t n = (size_t)snprintf(text, sizeof(text), "%s:%s", name, password), at;

	at = (size_t)snprintf(headers, 512, "Authorization: Basic ");
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)(uint8_t)text[i] << 16 |
			     (i + 1 < n ? (uint32_t)(uint8_t)text[i + 1] << 8 : 0) |
			     (i + 2 < n ? (uint8_t)text[i + 2] : 0);

		for (size_t j = 0; j < 4; j++)
			headers[at++] = i + j > n ? '=' : letters[v >> (18 - 6 * j) & 63];
	}
	(void)snprintf(headers + at, 512 - at, "\n");
}

/* AUTH-32: a key is a password for its name, in a field, in a form, and for tokens. */
static void test_keys(void **state)
{
	AUTO_FREE char *token = NULL, *refresh = NULL;
	struct world w;
	char headers[512], form[512];

	(void)state;
	start(&w, 2);
	basic(headers, "ci", w.robot);
	expect_reply(&w.s, "GET", "/v2/a/x/manifests/v1", headers, NOTHING, 404, "");
	expect_reply(&w.s, "GET", "/v2/a/y/manifests/v1", headers, NOTHING, 403, "");
	expect_reply(&w.s, "POST", "/v2/a/x/blobs/uploads/", headers, NOTHING, 403, "");
	expect_scope(&w, "/token?scope=repository:a/x:pull,push&scope=repository:public/y:pull",
		     headers, NULL, "repository:a/x:pull repository:public/y:pull");
	token = ask(&w, "/token?scope=repository:a/x:pull", headers, NULL, "token");
	expect(&w, "GET", "/v2/a/x/manifests/v1", token, 404);
	refresh = ask(&w, "/token?offline_token=true", headers, NULL, "refresh_token");
	assert_null(refresh);
	(void)snprintf(form, sizeof(form), "grant_type=password&username=ci&password=%s", w.robot);
	expect_scope(&w, "/token", FORM, form, "");
	basic(headers, "alice", w.robot); /* another's name */
	expect_reply(&w.s, "GET", "/v2/", headers, NOTHING, 401, "");
	basic(headers, "alice", w.personal);
	expect_reply(&w.s, "GET", "/v2/a/x/manifests/v1", headers, NOTHING, 404, "");
	expect_reply(&w.s, "GET", "/v2/a/y/manifests/v1", headers, NOTHING, 403, "");
	expect_scope(&w, "/token?scope=repository:a/x:pull,push", headers, NULL,
		     "repository:a/x:pull");
	w.robot[APIKEY_TEXT_MAX - 2] ^= 1;
	basic(headers, "ci", w.robot);
	expect_reply(&w.s, "GET", "/v2/", headers, NOTHING, 401, "");
	stop(&w);
}

/* A token goes with the key that it came from. */
static void test_revoked(void **state)
{
	AUTO_FREE char *token = NULL;
	struct world w;
	char headers[512], bearer[3000], keys[GUARD_PATH_MAX];
	struct conf c;
	size_t n;
	struct err e;

	(void)state;
	start(&w, 0);
	basic(headers, "ci", w.robot);
	token = ask(&w, "/token?scope=repository:a/x:pull", headers, NULL, "token");
	expect(&w, "GET", "/v2/a/x/manifests/v1", token, 404);
	(void)snprintf(bearer, sizeof(bearer), "Authorization: Bearer %s\n", token);
	c = (struct conf){ .root = { .p = w.root } };
	assert_ok(apikey_remove(guard_path(&c, GUARD_KEYS, keys), STR("ci"), &n, &e), &e);
	guard_tend(w.s.guard, true);
	expect_reply(&w.s, "GET", "/v2/a/x/manifests/v1", bearer, NOTHING, 401, "");
	expect_reply(&w.s, "GET", "/v2/", headers, NOTHING, 401, "");
	stop(&w);
}

/* TOK-14: a token without the source is told so, unless the source is closed to its owner anyway. */
static void test_mount(void **state)
{
	static const char digest[] =
	    "sha256:"
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	AUTO_FREE char *narrow = NULL, *wide = NULL;
	struct world w;
	struct exchange x;
	char target[200], headers[3000];

	(void)state;
	start(&w, 2);
	narrow = ask(&w, "/token?scope=repository:a/x:pull,push", ALICE, NULL, "token");
	wide = ask(&w, "/token?scope=repository:a/x:pull,push&scope=repository:a/y:pull", ALICE,
		   NULL, "token");
	(void)snprintf(target, sizeof(target), "/v2/a/x/blobs/uploads/?mount=%s&from=a/y", digest);
	(void)snprintf(headers, sizeof(headers), "Authorization: Bearer %s\n", narrow);
	exchange(&x, &w.s, "POST", target, headers, NOTHING);
	assert_status(&x, 401, "");
	assert_non_null(strstr(reply_field(&x, "WWW-Authenticate"),
			       "repository:a/y:pull\",error=\"insufficient_scope\""));
	exchange_end(&x);
	expect(&w, "POST", target, wide, 202); /* there is no such blob */
	(void)snprintf(target, sizeof(target), "/v2/a/x/blobs/uploads/?mount=%s&from=b/y", digest);
	expect(&w, "POST", target, narrow, 202);
	stop(&w);
}

static void test_published(void **state)
{
	struct world w;

	(void)state;
	start(&w, 2);
	expect_reply(&w.s, "GET", "/.well-known/jwks.json", NULL, NOTHING, 200,
		     "\"alg\":\"ES256\"");
	expect_reply(&w.s, "HEAD", "/.well-known/jwks.json", NULL, NOTHING, 200, "");
	stop(&w);
}

static void test_without_accounts(void **state)
{
	struct test_server s;

	(void)state;
	test_server_start(&s, unit_dir(), 2);
	expect_reply(&s, "GET", "/token", NULL, NOTHING, 404, "");
	expect_reply(&s, "POST", "/token", FORM, STR("grant_type=password"), 404, "");
	expect_reply(&s, "GET", "/.well-known/jwks.json", NULL, NOTHING, 404, "");
	test_server_stop(&s);
}

int main(void)
{
	unit_case("a token and what it is good for", test_use);
	UNIT_TABLE("challenge", test_challenge, challenges);
	unit_case("errors in a challenge", test_errors_in_challenge);
	unit_case("without a name", test_anonymous);
	UNIT_TABLE("request", test_request, requests);
	unit_case("a form that is too long", test_long_form);
	unit_case("renewal", test_refresh);
	unit_case("keys", test_keys);
	unit_case("a revoked key's token", test_revoked);
	unit_case("mounts", test_mount);
	unit_case("published keys", test_published);
	unit_case("without accounts", test_without_accounts);
	return unit_run();
}
