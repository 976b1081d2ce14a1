#include "auth/auth.h"

#include "auth/htpasswd.h"
#include "base/jv.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define PEER "192.0.2.7"
#define ALICE "Basic YWxpY2U6c2VjcmV0"       /* alice:secret */
#define ALICE_WRONG "Basic YWxpY2U6d3Jvbmc=" /* alice:wrong */

struct fixture {
	const char *dir;
	char path[128];
	struct jv *access;
	struct auth *auth;
};

static const struct auth_times times = { .password_cache_ms = 60000,
					 .throttle = { .entries_max = 1024,
						       .free_account = 3,
						       .free_everywhere = 100,
						       .free_address = 20,
						       .wait_ms_min = 60000,
						       .wait_ms_max = 60000,
						       .window_ms = 3600000 } };

static void start(struct fixture *f)
{
	AUTO_JV *whole = NULL;
	struct auth_options o = { .times = times };
	struct err e;

	f->dir = unit_dir();
	(void)snprintf(f->path, sizeof(f->path), "%s/h", f->dir);
	assert_ok(htpasswd_set(f->path, STR("alice"), STR("secret"), 5, true, &e), &e);
	assert_ok(jv_parse_object(STR("{\"l\":[{\"who\":\"alice\",\"repositories\":\"a/**\","
				      "\"allow\":\"pull\"},{\"repositories\":\"a/**\","
				      "\"immutable\":\"v*\"},{\"who\":\"root\",\"repositories\":"
				      "\"**\",\"allow\":\"admin\"}]}"),
				  8, &whole, &e),
		  &e);
	f->access = jv_share(jv_member(whole, "l"));
	o.access = f->access;
	o.htpasswd = f->path;
	assert_ok(auth_open(&o, &f->auth, &e), &e);
}

static void stop(struct fixture *f)
{
	auth_close(&f->auth);
	assert_null(f->auth);
	jv_free(&f->access);
}

/* Who it is; "" if auth_identify has to be asked, "!" if it cannot be anybody. */
static const char *recall(struct fixture *f, const char *field, char buf[static IDENTITY_TEXT_MAX])
{
	const struct credentials c = { .authorization = field, .address = PEER };
	AUTO_IDENTITY *id = NULL;
	struct err e;

	if (auth_recall(f->auth, &c, &id, &e) != ERR_OK)
		return "!";
	return id ? identity_text(id, buf) : "";
}

static enum err_kind identify(struct fixture *f, const char *field, const char *address,
			      struct auth_failure *failure, struct err *e)
{
	const struct credentials c = { .authorization = field, .address = address };
	AUTO_IDENTITY *id = NULL;

	return auth_identify(f->auth, &c, &id, failure, e);
}

static void test_basic(void **state)
{
	struct fixture f;
	struct auth_failure failure;
	char text[IDENTITY_TEXT_MAX];
	struct err e;

	(void)state;
	start(&f);
	assert_string_equal(recall(&f, NULL, text), "anonymous");
	assert_string_equal(recall(&f, ALICE, text), "");
	assert_ok(identify(&f, ALICE, PEER, &failure, &e), &e);
	assert_string_equal(recall(&f, ALICE, text), "user:alice");
	assert_string_equal(recall(&f, ALICE_WRONG, text), "");
	assert_err(identify(&f, ALICE_WRONG, PEER, &failure, &e), ERR_LOGIN, &e,
		   "wrong name or password");
	assert_string_equal(failure.account, "alice");
	assert_string_equal(recall(&f, ALICE_WRONG, text), "");
	stop(&f);
}

static const struct {
	const char *name, *field;
	bool at_once; /* refused without asking anybody */
} refused[] = {
	{ "empty", "", true },
	{ "scheme only", "Basic", true },
	{ "scheme and a blank", "Basic ", true },
	{ "unknown scheme", "Digest YWxpY2U6c2VjcmV0", true },
	{ "no scheme", "YWxpY2U6c2VjcmV0", true },
	{ "joined by a comma", ALICE ", " ALICE, false },
	{ "url alphabet", "Basic YWxpY2U6c2VjcmV0_w==", false },
	{ "no padding", "Basic YWxpY2U6d3Jvbmc", false },
	{ "no colon", "Basic YWxpY2U=", false },
	{ "no name", "Basic OnNlY3JldA==", false },
	{ "no password", "Basic YWxpY2U6", false },
	{ "NUL after the password", "Basic YWxpY2U6c2VjcmV0AA==", false },
	{ "NUL after the name", "Basic YWxpY2UAOnNlY3JldA==", false },
	{ "other case", "Basic QWxpY2U6c2VjcmV0", false },
	{ "newline after the password", "Basic YWxpY2U6c2VjcmV0Cg==", false },
	{ "nobody", "Basic Ym9iOnNlY3JldA==", false },
};

static void test_refused(void **state)
{
	__typeof__(&refused[0]) r = *state;
	struct auth_failure failure;
	struct fixture f;
	char text[IDENTITY_TEXT_MAX];
	struct err e;

	start(&f);
	assert_string_equal(recall(&f, r->field, text), r->at_once ? "!" : "");
	assert_int_equal(identify(&f, r->field, PEER, &failure, &e), ERR_LOGIN);
	assert_null(strstr(e.msg, "secret"));
	stop(&f);
}

static void test_repeated(void **state)
{
	const struct credentials c = { .authorization = ALICE, .repeated = true, .address = PEER };
	AUTO_IDENTITY *id = NULL;
	struct fixture f;
	struct err e;

	(void)state;
	start(&f);
	assert_err(auth_recall(f.auth, &c, &id, &e), ERR_LOGIN, &e, "several Authorization fields");
	stop(&f);
}

static void test_scheme_case(void **state)
{
	struct auth_failure failure;
	struct fixture f;
	struct err e;

	(void)state;
	start(&f);
	assert_ok(identify(&f, "bASIC   YWxpY2U6c2VjcmV0", PEER, &failure, &e), &e);
	stop(&f);
}

static void test_throttled(void **state)
{
	struct auth_failure failure;
	struct fixture f;
	char text[IDENTITY_TEXT_MAX];
	struct err e;

	(void)state;
	start(&f);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(identify(&f, ALICE_WRONG, PEER, &failure, &e), ERR_LOGIN);
	assert_err(identify(&f, ALICE_WRONG, PEER, &failure, &e), ERR_TOO_MANY, &e, "too many");
	assert_in_range(failure.wait_ms, 1, 60000);
	assert_int_equal(identify(&f, ALICE, PEER, &failure, &e), ERR_TOO_MANY);
	assert_ok(identify(&f, ALICE, "192.0.2.8", &failure, &e), &e); /* AUTH-13: from elsewhere */
	assert_ok(identify(&f, ALICE, PEER, &failure, &e), &e); /* what is known is not tried */
	assert_string_equal(recall(&f, ALICE, text), "user:alice");
	stop(&f);
}

static unsigned notes, bad_notes;

static void on_note(void *arg, bool bad, const char *event, const char *text)
{
	(void)arg;
	assert_string_equal(event, "auth.htpasswd");
	assert_non_null(text);
	notes++;
	bad_notes += bad;
}

/* Z3: twice, and the change counts. */
static void tend(struct fixture *f)
{
	auth_tend(f->auth, false, on_note, NULL);
	auth_tend(f->auth, false, on_note, NULL);
}

static void test_reload(void **state)
{
	struct auth_failure failure;
	struct fixture f;
	char text[IDENTITY_TEXT_MAX];
	struct err e;

	(void)state;
	start(&f);
	notes = bad_notes = 0;
	assert_ok(identify(&f, ALICE, PEER, &failure, &e), &e);
	tend(&f);
	assert_int_equal(notes, 0);
	assert_ok(htpasswd_set(f.path, STR("alice"), STR("wrong"), 5, false, &e), &e);
	tend(&f);
	assert_int_equal(notes, 1);
	assert_string_equal(recall(&f, ALICE, text), ""); /* forgotten with the file */
	assert_int_equal(identify(&f, ALICE, PEER, &failure, &e), ERR_LOGIN);
	assert_ok(identify(&f, ALICE_WRONG, PEER, &failure, &e), &e);

	file_write(f.dir, "h", STR("alice:pl")); /* AUTH-26: torn */
	tend(&f);
	assert_int_equal(bad_notes, 1);
	assert_ok(identify(&f, ALICE_WRONG, PEER, &failure, &e), &e);
	auth_tend(f.auth, true, on_note, NULL);
	assert_int_equal(bad_notes, 2);
	assert_string_equal(recall(&f, ALICE_WRONG, text), "user:alice");
	stop(&f);
}

static void test_rules(void **state)
{
	const struct identity alice = { .kind = IDENTITY_USER, .name = STR("alice") };
	const struct identity root = { .kind = IDENTITY_USER, .name = STR("root") };
	AUTO_JV *none = jv_new_array(), *bad = jv_pack("[s]", "x");
	struct fixture f;
	struct err e;

	(void)state;
	start(&f);
	assert_true(auth_decide(f.auth, &alice, STR("a/b"), ACTION_PULL).allowed);
	assert_false(auth_decide(f.auth, &alice, STR("a/b"), ACTION_PUSH).allowed);
	assert_true(auth_tag_is_fixed(f.auth, &alice, STR("a/b"), STR("v1")));
	assert_false(auth_tag_is_fixed(f.auth, &alice, STR("a/b"), STR("x")));
	assert_false(auth_tag_is_fixed(f.auth, &root, STR("a/b"), STR("v1")));
	assert_err(auth_set_rules(f.auth, bad, NULL, &e), ERR_INVALID, &e, "access: each entry");
	assert_true(auth_decide(f.auth, &alice, STR("a/b"), ACTION_PULL).allowed);
	assert_ok(auth_set_rules(f.auth, none, NULL, &e), &e);
	assert_false(auth_decide(f.auth, &alice, STR("a/b"), ACTION_PULL).allowed);
	stop(&f);
}

static void test_open_fails(void **state)
{
	struct auth_options o = { .htpasswd = "/nowhere/h",
				  .times.throttle = { .entries_max = 8 } };
	struct auth *a = NULL;
	struct err e;

	(void)state;
	assert_err(auth_open(&o, &a, &e), ERR_NOT_FOUND, &e, "find /nowhere/h");
	assert_null(a);
}

int main(void)
{
	unit_case("basic", test_basic);
	UNIT_TABLE("refused", test_refused, refused);
	unit_case("two fields", test_repeated);
	unit_case("the scheme's case does not count", test_scheme_case);
	unit_case("too many failures", test_throttled);
	unit_case("a file that changes", test_reload);
	unit_case("rules", test_rules);
	unit_case("no file", test_open_fails);
	return unit_run();
}
