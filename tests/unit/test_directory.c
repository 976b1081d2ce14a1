#include "auth/directory.h"

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

struct filter_case {
	const char *name, *filter, *user, *dn, *expect;
};

static const struct filter_case filters[] = {
	{ "a name", "(uid=${user})", "alice", "", "(uid=alice)" },
	{ "twice", "(|(uid=${user})(mail=${user}))", "a", "", "(|(uid=a)(mail=a))" },
	{ "an entry", "(member=${dn})", "a", "uid=a,ou=x", "(member=uid=a,ou=x)" },
	{ "AUTH-20: structure", "(uid=${user})", "*)(uid=*))(|(uid=*", "",
	  "(uid=\\2a\\29\\28uid=\\2a\\29\\29\\28|\\28uid=\\2a)" },
	{ "a backslash", "(uid=${user})", "\\00", "", "(uid=\\5c00)" },
	{ "beyond ASCII", "(uid=${user})", "\xc3\xa9", "", "(uid=\\c3\\a9)" },
	{ "a variable in a name is none", "(uid=${user})", "${dn}", "x", "(uid=${dn})" },
	{ "no variable", "(uid=$x)", "a", "", "(uid=$x)" },
};

static void test_filter(void **state)
{
	const struct filter_case *c = *state;
	AUTO_SBUF b = { .n = 0 };

	assert_true(filter_fill(c->filter, str_of(c->user), str_of(c->dn), &b));
	assert_string_equal(b.p, c->expect);
}

static void test_long_filter(void **state)
{
	char name[4096];
	AUTO_SBUF b = { .n = 0 };

	(void)state;
	memset(name, '*', sizeof(name));
	assert_false(filter_fill("(uid=${user})", (struct str){ name, sizeof(name) },
				 (struct str){ "", 0 }, &b));
}

static const struct directory_options good = { .url = "ldaps://ldap.test",
					       .users = "ou=people",
					       .user_filter = "(uid=${user})",
					       .user_name = "uid",
					       .group_filter = "(member=${dn})",
					       .group_name = "cn",
					       .timeout_ms = 100 };

struct options_case {
	const char *name;
	const char *url;
	bool start_tls;
	const char *message; /* NULL: good */
};

static const struct options_case urls[] = {
	{ "TLS", "ldaps://a.test", false, NULL },
	{ "a socket of this machine", "ldapi://%2frun%2fslapd", false, NULL },
	{ "this machine", "ldap://127.0.0.1:389", false, NULL },
	{ "StartTLS", "ldap://a.test", true, NULL },
	{ "nothing", "ldap://a.test", false, "auth.ldap.url must be" },
	{ "another scheme", "https://a.test", true, "auth.ldap.url must be" },
	{ "no address", "a.test", true, "auth.ldap.url must be" },
};

static enum err_kind open_close(const struct directory_options *o, struct err *e)
{
	struct directory *d = NULL;
	enum err_kind k = directory_open(o, &d, e);

	directory_close(&d);
	return k;
}

static void test_url(void **state)
{
	const struct options_case *c = *state;
	struct directory_options o = good;
	struct err e;

	o.url = c->url;
	o.start_tls = c->start_tls;
	if (c->message)
		assert_err(open_close(&o, &e), ERR_INVALID, &e, c->message);
	else
		assert_ok(open_close(&o, &e), &e);
}

static void test_options(void **state)
{
	struct directory_options o = good;
	struct err e;

	(void)state;
	o.users = NULL;
	assert_err(open_close(&o, &e), ERR_INVALID, &e, "auth.ldap.users");
	o = good;
	o.user_filter = "(uid=alice)";
	assert_err(open_close(&o, &e), ERR_INVALID, &e, "auth.ldap.user_filter");
	o = good;
	o.groups = "ou=groups";
	o.group_filter = "(cn=all)";
	assert_err(open_close(&o, &e), ERR_INVALID, &e, "auth.ldap.group_filter");
	o = good;
	o.bind_dn = "cn=reader";
	assert_err(open_close(&o, &e), ERR_INVALID, &e, "bind_password go together");
}

static void test_password_file(void **state)
{
	const char *dir = unit_dir();
	char path[4096];
	struct directory_options o = good;
	struct err e;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/password", dir);
	o.bind_dn = "cn=reader";
	o.bind_password = path;
	assert_err(open_close(&o, &e), ERR_NOT_FOUND, &e, "password");
	file_write(dir, "password", STR("\n"));
	assert_err(open_close(&o, &e), ERR_INVALID, &e, "is empty");
	file_write(dir, "password", STR("secret\n"));
	assert_ok(open_close(&o, &e), &e);
}

/* AUTH-21; and a directory that is not there. */
static void test_nobody_there(void **state)
{
	struct directory_options o = good;
	struct directory *d = NULL;
	AUTO_PERSON p = { .n_groups = 0 };
	struct err e;

	(void)state;
	o.url = "ldap://127.0.0.1:1";
	assert_ok(directory_open(&o, &d, &e), &e);
	assert_err(directory_check(d, STR("alice"), STR(""), &p, &e), ERR_LOGIN, &e, "wrong");
	person_clear(&p);
	assert_err(directory_check(d, STR("alice"), STR("x"), &p, &e), ERR_AWAY, &e, "directory");
	directory_close(&d);
}

int main(void)
{
	UNIT_TABLE("filter", test_filter, filters);
	unit_case("a filter that is too long", test_long_filter);
	UNIT_TABLE("address", test_url, urls);
	unit_case("other options", test_options);
	unit_case("the file with the password", test_password_file);
	unit_case("nobody there", test_nobody_there);
	return unit_run();
}
