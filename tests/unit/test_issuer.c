#include "auth/issuer.h"

#include "auth/signin.h"
#include "base/clock.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

struct bad_case {
	const char *name, *entry, *message;
};

static const struct bad_case bad_cases[] = {
	{ "no name", "{\"issuer\":\"https://a\",\"audience\":\"b\"}", "name must be" },
	{ "no audience", "{\"name\":\"a\",\"issuer\":\"https://a\"}", "audience must be" },
	{ "a name that is none", "{\"name\":\"a b\",\"issuer\":\"https://a\",\"audience\":\"b\"}",
	  "cannot be an issuer's name" },
	{ "a name with a colon", "{\"name\":\"a:b\",\"issuer\":\"https://a\",\"audience\":\"b\"}",
	  "cannot be an issuer's name" },
	{ "an address to nowhere", "{\"name\":\"a\",\"issuer\":\"http://a\",\"audience\":\"b\"}",
	  "issuer must be https" },
	{ "keys from a plain address",
	  "{\"name\":\"a\",\"issuer\":\"x\",\"audience\":\"b\",\"keys_url\":\"http://a\"}",
	  "keys_url must be https" },
	{ "keys from two places",
	  "{\"name\":\"a\",\"issuer\":\"x\",\"audience\":\"b\",\"keys_url\":\"https://a\",\"keys\":"
	  "\"f\"}",
	  "is enough" },
	{ "something else",
	  "{\"name\":\"a\",\"issuer\":\"https://a\",\"audience\":\"b\",\"x\":\"y\"}",
	  "there is no \"x\"" },
};

static enum err_kind read_entry(const char *entry, struct jv **doc, struct issuer **ret,
				struct err *e)
{
	struct form f;
	enum err_kind k;

	assert_ok(jv_parse_object(str_of(entry), 8, doc, e), e);
	form_open(&f, "auth.issuers", *doc, NULL);
	k = issuer_read(&f, ret, e);
	return k == ERR_OK ? form_close(&f, e) : k;
}

static void test_bad(void **state)
{
	const struct bad_case *c = *state;
	AUTO_JV *doc = NULL;
	struct issuer *i = NULL;
	struct err e;

	assert_err(read_entry(c->entry, &doc, &i, &e), ERR_INVALID, &e, c->message);
	issuer_free(&i);
}

struct fixture {
	struct jose_key *key;
	struct issuer *issuer;
	struct jv *doc;
	const char *dir;
};

static void write_keys(const struct fixture *f, const struct jose_key *k)
{
	AUTO_SBUF one, set;
	struct err e;

	sbuf_init(&one, 4096);
	sbuf_init(&set, 4096);
	assert_ok(jose_key_dump(k, false, &one, &e), &e);
	sbuf_addf(&set, "{\"keys\":[%s]}", one.p);
	file_write(f->dir, "keys", (struct str){ set.p, set.n });
}

static void begin(struct fixture *f)
{
	char entry[4096];
	struct err e;

	*f = (struct fixture){ .dir = unit_dir() };
	(void)snprintf(entry, sizeof(entry),
		       "{\"name\":\"a\",\"issuer\":\"iss\",\"audience\":\"aud\",\"keys\":\"%s/"
		       "keys\"}",
		       f->dir);
	assert_ok(jose_key_make(&f->key, &e), &e);
	write_keys(f, f->key);
	assert_ok(read_entry(entry, &f->doc, &f->issuer, &e), &e);
}

static void end(struct fixture *f)
{
	jose_key_free(&f->key);
	issuer_free(&f->issuer);
	jv_free(&f->doc);
}

static enum err_kind verify(struct fixture *f, const struct jose_key *k, const char *aud,
			    struct err *e)
{
	AUTO_JV *payload = jv_pack("{s:s, s:s, s:I}", "iss", "iss", "aud", aud, "exp",
				   (long long)(wall_ms() / 1000 + 60));
	AUTO_JV *got = NULL;
	AUTO_SBUF token;
	uint64_t until;

	sbuf_init(&token, TOKEN_MAX);
	assert_ok(jose_sign(k, payload, &token, e), e);
	return issuer_verify(f->issuer, (struct str){ token.p, token.n }, wall_ms(), &got, &until,
			     e);
}

static void test_file(void **state)
{
	struct fixture f;
	struct jose_key *other;
	bool changed;
	struct err e;

	(void)state;
	begin(&f);
	assert_err(verify(&f, f.key, "aud", &e), ERR_AWAY, &e, "cannot be had");
	assert_ok(issuer_tend(f.issuer, true, &changed, &e), &e);
	assert_true(changed);
	assert_ok(verify(&f, f.key, "aud", &e), &e);
	assert_err(verify(&f, f.key, "other", &e), ERR_LOGIN, &e, "for somebody else");
	assert_ok(jose_key_make(&other, &e), &e);
	assert_err(verify(&f, other, "aud", &e), ERR_LOGIN, &e, "not its issuer's");

	write_keys(&f, other);
	assert_ok(issuer_tend(f.issuer, true, &changed, &e), &e);
	assert_ok(verify(&f, other, "aud", &e), &e);
	assert_err(verify(&f, f.key, "aud", &e), ERR_LOGIN, &e, "not its issuer's");

	file_write(f.dir, "keys", STR("{\"keys\":[]}"));
	assert_err(issuer_tend(f.issuer, true, &changed, &e), ERR_INVALID, &e, "none is of use");
	assert_false(changed);
	assert_ok(verify(&f, other, "aud", &e), &e); /* the old ones stay */
	jose_key_free(&other);
	end(&f);
}

/* Nobody is asked about a state that nobody was given. */
static void test_signin_unknown(void **state)
{
	const struct signin_options o = { .redirect_url = "https://r.test/", .scope = "openid" };
	struct signin *s;
	AUTO_IDENTITY *id = NULL;
	char state_text[33];
	struct err e;

	(void)state;
	assert_ok(signin_new(&o, &s, &e), &e);
	memset(state_text, '0', 32);
	state_text[32] = '\0';
	assert_err(signin_finish(s, str_of(state_text), str_of(state_text), STR("c"), &id, &e),
		   ERR_LOGIN, &e, "not begun here");
	assert_err(signin_finish(s, STR(""), STR(""), STR("c"), &id, &e), ERR_LOGIN, &e,
		   "not begun here");
	signin_free(&s);
}

int main(void)
{
	UNIT_TABLE("entry", test_bad, bad_cases);
	unit_case("keys of a file, and others in it", test_file);
	unit_case("a sign-in that nobody began", test_signin_unknown);
	return unit_run();
}
