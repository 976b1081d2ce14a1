#include "auth/htpasswd.h"

#include <pthread.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

/* A hash in form. */
#define VALID(prefix) prefix "abcdefghijklmnopqrstuu5DZsNX8bhDgFYTNNWQNJwPTrxzSz9jW"

#define BYTES(lit)                                                                                 \
	{                                                                                          \
		(lit), sizeof(lit) - 1                                                             \
	}
#define GOOD VALID("$2y$05$")

static const struct {
	const char *name;
	struct str text;
	const char *message; /* NULL: taken */
	size_t n;
} files[] = {
	{ "empty", BYTES(""), NULL, 0 },
	{ "one", BYTES("alice:" GOOD "\n"), NULL, 1 },
	{ "two, comments, empty lines", BYTES("# x\n\nbob:" GOOD "\n  \nalice:" GOOD "\n"), NULL,
	  2 },
	{ "no newline at the end", BYTES("alice:" GOOD), NULL, 1 },
	{ "$2b$", BYTES("alice:" VALID("$2b$16$")), NULL, 1 },
	{ "names of all sorts", BYTES("a@b.c:" GOOD "\nd-e_f+g:" GOOD), NULL, 2 },
	{ "SHA-1", BYTES("# x\nalice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"),
	  "f:2: the hash is not bcrypt", 0 },
	{ "MD5", BYTES("alice:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/\n"),
	  "f:1: the hash is not bcrypt", 0 },
	{ "plain", BYTES("alice:secret\n"), "f:1: the hash is not bcrypt", 0 },
	{ "SHA-512", BYTES("alice:$6$x$y\n"), "not bcrypt", 0 },
	{ "crypt", BYTES("alice:rqXexS6ZhobKA\n"), "not bcrypt", 0 },
	{ "$2a$", BYTES("alice:" VALID("$2a$05$")), "not bcrypt", 0 },
	{ "$2x$", BYTES("alice:" VALID("$2x$05$")), "not bcrypt", 0 },
	{ "$2$", BYTES("alice:" VALID("$2$$05$")), "not bcrypt", 0 },
	{ "cost 4", BYTES("alice:" VALID("$2y$04$")),
	  "f:1: the cost of the hash must be from 5 to 16", 0 },
	{ "cost 17", BYTES("alice:" VALID("$2y$17$")), "cost of the hash", 0 },
	{ "cost 31", BYTES("alice:" VALID("$2y$31$")), "cost of the hash", 0 },
	{ "cost without digits", BYTES("alice:" VALID("$2y$xx$")), "not bcrypt", 0 },
	{ "one letter short",
	  BYTES("alice:$2y$05$abcdefghijklmnopqrstuu5DZsNX8bhDgFYTNNWQNJwPTrxzSz9j\n"),
	  "not bcrypt", 0 },
	{ "one letter more", BYTES("alice:" GOOD "x\n"), "not bcrypt", 0 },
	{ "more fields", BYTES("alice:" GOOD ":x\n"), "not bcrypt", 0 },
	{ "other letters",
	  BYTES("alice:$2y$05$abcdefghijklmnopqrstuu5DZsNX8bhDgFYTNNWQNJwPTrxzSz9j!\n"),
	  "not bcrypt", 0 },
	{ "carriage returns", BYTES("alice:" GOOD "\r\n"),
	  "f:1: the line ends with a carriage return", 0 },
	{ "twice", BYTES("alice:" GOOD "\nbob:" GOOD "\nalice:" GOOD "\n"),
	  "f:3: this account was there before", 0 },
	{ "no name", BYTES(":" GOOD "\n"), "f:1: this cannot be the name", 0 },
	{ "blank in the name", BYTES("a b:" GOOD "\n"), "cannot be the name", 0 },
	{ "NUL in the name", BYTES("a\0b:" GOOD "\n"), "cannot be the name", 0 },
	{ "NUL in the hash",
	  BYTES("alice:$2y$05$abcdefghijklmnopqrstuu5DZsNX8bhDgFYTNNWQNJwPTrxzSz9j\0\n"),
	  "not bcrypt", 0 },
	{ "no colon", BYTES("alice\n"), "f:1: NAME:HASH is wanted", 0 },
	{ "cut off", BYTES("alice:" GOOD "\nbob:$2y$05$abcdef"), "f:2: the hash is not bcrypt", 0 },
	{ "byte order mark",
	  BYTES("\xef\xbb\xbf"
		"alice:" GOOD "\n"),
	  "cannot be the name", 0 },
};

static void test_file(void **state)
{
	__typeof__(&files[0]) f = *state;
	AUTO_HTPASSWD *h = NULL;
	struct err e;

	if (f->message) {
		assert_err(htpasswd_parse(f->text, "f", &h, &e), ERR_INVALID, &e, f->message);
		return;
	}
	assert_ok(htpasswd_parse(f->text, "f", &h, &e), &e);
	assert_int_equal(htpasswd_count(h), f->n);
}

static void test_long_line(void **state)
{
	AUTO_FREE char *text = malloc(1 << 20);
	AUTO_HTPASSWD *h = NULL;
	struct err e;

	(void)state;
	MUST(text);
	memset(text, 'a', 1 << 20);
	assert_err(htpasswd_parse((struct str){ text, 1 << 20 }, "f", &h, &e), ERR_INVALID, &e,
		   "f:1: the line is too long");
}

/* Returns the directory of a file "h". */
static const char *new_file(char path[static 128])
{
	const char *dir = unit_dir();

	(void)snprintf(path, 128, "%s/h", dir);
	return dir;
}

static enum err_kind check(const char *path, const char *name, const char *password)
{
	AUTO_HTPASSWD *h = NULL;
	struct err e;

	assert_ok(htpasswd_load(path, &h, &e), &e);
	return htpasswd_check(h, str_of(name), str_of(password), &e);
}

static void test_accounts(void **state)
{
	char path[128];
	const char *dir = new_file(path);
	AUTO_HTPASSWD *h = NULL;
	struct sbuf text;
	struct err e;

	(void)state;
	assert_ok(htpasswd_set(path, STR("bob"), STR("one"), 5, true, &e), &e);
	assert_ok(htpasswd_set(path, STR("alice"), STR("secret"), 5, true, &e), &e);
	assert_err(htpasswd_set(path, STR("bob"), STR("x"), 5, true, &e), ERR_EXISTS, &e,
		   "there is an account bob already");
	assert_ok(htpasswd_set(path, STR("bob"), STR("two"), 6, false, &e), &e);
	assert_err(htpasswd_set(path, STR("carol"), STR("x"), 5, false, &e), ERR_NOT_FOUND, &e,
		   "there is no account carol");
	assert_int_equal(check(path, "bob", "two"), ERR_OK);
	assert_int_equal(check(path, "bob", "one"), ERR_LOGIN);
	assert_int_equal(check(path, "alice", "secret"), ERR_OK);
	assert_int_equal(check(path, "Alice", "secret"), ERR_LOGIN);
	assert_int_equal(check(path, "nobody", "secret"), ERR_LOGIN);
	assert_int_equal(check(path, "nobody", ""), ERR_LOGIN); /* what the stand-in hash is of */
	assert_int_equal(check(path, "alice", ""), ERR_LOGIN);
	assert_ok(htpasswd_load(path, &h, &e), &e);
	assert_str(htpasswd_name(h, 0), "alice");
	assert_str(htpasswd_name(h, 1), "bob");
	assert_ok(htpasswd_remove(path, STR("alice"), &e), &e);
	assert_err(htpasswd_remove(path, STR("alice"), &e), ERR_NOT_FOUND, &e, "no account alice");
	assert_int_equal(check(path, "alice", "secret"), ERR_LOGIN);
	text = file_read(dir, "h");
	assert_int_equal(text.n, 4 + 60 + 1);
	sbuf_clear(&text);
}

/* AUTH-03 and AUTH-04: what strings of C and bcrypt would not see. */
static void test_whole_password(void **state)
{
	char path[128], long_one[PASSWORD_BYTES_MAX + 2];
	AUTO_HTPASSWD *h = NULL;
	struct err e;

	(void)state;
	new_file(path);
	memset(long_one, 'p', sizeof(long_one));
	assert_ok(
	    htpasswd_set(path, STR("a"), (struct str){ long_one, PASSWORD_BYTES_MAX }, 5, true, &e),
	    &e);
	assert_ok(htpasswd_set(path, STR("b"), STR("secret"), 5, true, &e), &e);
	assert_ok(htpasswd_load(path, &h, &e), &e);
	assert_ok(htpasswd_check(h, STR("a"), (struct str){ long_one, PASSWORD_BYTES_MAX }, &e),
		  &e);
	assert_err(
	    htpasswd_check(h, STR("a"), (struct str){ long_one, PASSWORD_BYTES_MAX + 1 }, &e),
	    ERR_LOGIN, &e, "wrong name or password");
	assert_err(
	    htpasswd_check(h, STR("a"), (struct str){ long_one, PASSWORD_BYTES_MAX - 1 }, &e),
	    ERR_LOGIN, &e, "wrong");
	assert_err(htpasswd_check(h, STR("b"), STR("secret\0x"), &e), ERR_LOGIN, &e, "wrong");
	assert_err(htpasswd_check(h, STR("b"), STR("secret\0"), &e), ERR_LOGIN, &e, "wrong");
	assert_err(htpasswd_check(h, STR("b\0x"), STR("secret"), &e), ERR_LOGIN, &e, "wrong");
	assert_err(htpasswd_set(path, STR("c"), (struct str){ long_one, PASSWORD_BYTES_MAX + 1 }, 5,
				true, &e),
		   ERR_INVALID, &e, "72 bytes at most");
	assert_err(htpasswd_set(path, STR("c"), STR(""), 5, true, &e), ERR_INVALID, &e,
		   "must not be empty");
	assert_err(htpasswd_set(path, STR("c"), STR("a\0b"), 5, true, &e), ERR_INVALID, &e, "NUL");
	assert_err(htpasswd_set(path, STR("c:d"), STR("a"), 5, true, &e), ERR_INVALID, &e,
		   "colons");
}

/* What stands there besides is kept, and so is the mode. */
static void test_edit_keeps(void **state)
{
	char path[128];
	const char *dir = new_file(path);
	struct sbuf text;
	struct stat st;
	struct err e;

	(void)state;
	file_write(dir, "h", STR("# ours\nalice:" GOOD "\n\nbob:" GOOD));
	MUST(chmod(path, 0600) == 0);
	assert_ok(htpasswd_remove(path, STR("alice"), &e), &e);
	text = file_read(dir, "h");
	assert_string_equal(text.p, "# ours\n\nbob:" GOOD "\n");
	sbuf_clear(&text);
	MUST(stat(path, &st) == 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	file_write(dir, "h", STR("alice:plain\n"));
	assert_err(htpasswd_set(path, STR("bob"), STR("x"), 5, true, &e), ERR_INVALID, &e,
		   ":1: the hash is not bcrypt");
	text = file_read(dir, "h");
	assert_string_equal(text.p, "alice:plain\n");
	sbuf_clear(&text);
	assert_err(htpasswd_set("/nowhere/at/all", STR("bob"), STR("x"), 5, true, &e),
		   ERR_NOT_FOUND, &e, "directory of /nowhere/at/all");
}

/* W4: no edit is lost. */
static void *add_ten(void *arg)
{
	static _Atomic unsigned next;
	struct err e;

	for (unsigned i = 0; i < 10; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "u%u", next++);
		MUST(htpasswd_set(arg, str_of(name), STR("x"), 5, true, &e) == ERR_OK);
	}
	return NULL;
}

static void test_editors(void **state)
{
	pthread_t t[4];
	char path[128];
	AUTO_HTPASSWD *h = NULL;
	struct err e;

	(void)state;
	new_file(path);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		MUST(pthread_create(&t[i], NULL, add_ten, path) == 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		MUST(pthread_join(t[i], NULL) == 0);
	assert_ok(htpasswd_load(path, &h, &e), &e);
	assert_int_equal(htpasswd_count(h), 40);
}

static void test_version(void **state)
{
	char path[128];
	AUTO_HTPASSWD *a = NULL, *b = NULL;
	uint64_t v;
	struct err e;

	(void)state;
	new_file(path);
	assert_ok(htpasswd_set(path, STR("alice"), STR("x"), 5, true, &e), &e);
	assert_ok(htpasswd_load(path, &a, &e), &e);
	v = htpasswd_version(a, STR("alice"));
	assert_int_not_equal(v, 0);
	assert_int_equal(htpasswd_version(a, STR("alice")), v);
	assert_true(v <= (uint64_t)1 << 53);
	assert_int_equal(htpasswd_version(a, STR("bob")), 0);
	assert_ok(htpasswd_set(path, STR("alice"), STR("x"), 5, false, &e), &e); /* another salt */
	assert_ok(htpasswd_load(path, &b, &e), &e);
	assert_int_not_equal(htpasswd_version(b, STR("alice")), v);
}

/* W3, roughly: nobody may be told from somebody by the work that is done. */
static uint64_t cpu_us(void)
{
	struct timespec t;

	MUST(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t cost_of(const struct htpasswd *h, const char *name, const char *password)
{
	uint64_t best = UINT64_MAX;

	for (unsigned i = 0; i < 5; i++) {
		uint64_t start = cpu_us(), took;
		struct err e;

		MUST(htpasswd_check(h, str_of(name), str_of(password), &e) == ERR_LOGIN);
		took = cpu_us() - start;
		best = MIN(best, took);
	}
	return best;
}

static void test_same_work(void **state)
{
	char path[128], long_one[200];
	AUTO_HTPASSWD *h = NULL;
	uint64_t known, unknown, too_long;
	struct err e;

	(void)state;
	new_file(path);
	memset(long_one, 'x', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	assert_ok(htpasswd_set(path, STR("alice"), STR("x"), 8, true, &e), &e);
	assert_ok(htpasswd_load(path, &h, &e), &e);
	known = cost_of(h, "alice", "wrong");
	unknown = cost_of(h, "nobody", "wrong");
	too_long = cost_of(h, "alice", long_one);
	assert_in_range(unknown, known / 2, known * 2);
	assert_in_range(too_long, known / 2, known * 2);
}

int main(void)
{
	UNIT_TABLE("files", test_file, files);
	unit_case("a line of a megabyte", test_long_line);
	unit_case("accounts come, change and go", test_accounts);
	unit_case("a password is checked as a whole", test_whole_password);
	unit_case("edits keep the rest", test_edit_keeps);
	unit_case("many editors", test_editors);
	unit_case("versions", test_version);
	unit_case("unknown accounts cost the same", test_same_work);
	return unit_run();
}
