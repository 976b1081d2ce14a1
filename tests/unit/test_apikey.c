#include "auth/apikey.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static const char *new_file(char path[static 128])
{
	const char *dir = unit_dir();

	(void)snprintf(path, 128, "%s/keys", dir);
	return dir;
}

static struct apikeys *load(const char *path)
{
	struct apikeys *k;
	struct err e;

	assert_ok(apikeys_load(path, &k, &e), &e);
	return k;
}

static void test_life(void **state)
{
	const struct grant grants[] = { { STR("team/**"), ACTION_PULL | ACTION_PUSH },
					{ STR("x"), ACTION_ADMIN } };
	struct apikey robot = {
		.name = STR("ci"), .has_grants = true, .grants = { 2, grants }, .by = STR("uid:0")
	};
	struct apikey user = { .name = STR("alice"), .is_user = true };
	char path[128], text[APIKEY_TEXT_MAX], other[APIKEY_TEXT_MAX];
	const char *dir = new_file(path);
	const struct apikey *found;
	struct apikeys *k;
	struct sbuf file;
	struct stat st;
	size_t n;
	struct err e;

	(void)state;
	k = load(path); /* not there yet */
	assert_int_equal(apikeys_count(k), 0);
	apikeys_put(&k);
	assert_ok(apikey_add(path, &robot, text, &e), &e);
	assert_ok(apikey_add(path, &user, other, &e), &e);
	assert_string_not_equal(text, other);
	assert_int_equal(strlen(text), APIKEY_TEXT_MAX - 1);
	assert_true(apikey_looks_like_one(str_of(text)));
	MUST(stat(path, &st) == 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	file = file_read(dir, "keys"); /* Y1 */
	assert_null(strstr(file.p, text + 23));
	sbuf_clear(&file);

	k = load(path);
	assert_int_equal(apikeys_count(k), 2);
	found = apikeys_find(k, str_of(text), wall_ms());
	assert_non_null(found);
	assert_str(found->name, "ci");
	assert_str(found->by, "uid:0");
	assert_false(found->is_user);
	assert_true(found->has_grants);
	assert_true(grants_cover(&found->grants, STR("team/a/b"), ACTION_PUSH));
	assert_false(grants_cover(&found->grants, STR("team/a/b"), ACTION_DELETE));
	assert_true(grants_cover(&found->grants, STR("x"), ACTION_DELETE));
	assert_ptr_equal(apikeys_by_id(k, str_of(found->id), wall_ms()), found);
	found = apikeys_find(k, str_of(other), wall_ms());
	assert_true(found->is_user);
	assert_false(found->has_grants);
	apikeys_put(&k);

	assert_ok(apikey_remove(path, STR("ci"), &n, &e), &e);
	assert_int_equal(n, 1);
	k = load(path);
	assert_null(apikeys_find(k, str_of(text), wall_ms()));
	assert_non_null(apikeys_find(k, str_of(other), wall_ms()));
	apikeys_put(&k);
	assert_err(apikey_remove(path, STR("ci"), &n, &e), ERR_NOT_FOUND, &e, "there is no key ci");
}

/* No other text is the key. */
static void test_not_the_key(void **state)
{
	struct apikey robot = { .name = STR("ci") };
	char path[128], text[APIKEY_TEXT_MAX], copy[APIKEY_TEXT_MAX + 1];
	AUTO_APIKEYS *k = NULL;
	struct err e;

	(void)state;
	new_file(path);
	assert_ok(apikey_add(path, &robot, text, &e), &e);
	k = load(path);
	for (size_t i = 0; i < strlen(text); i++) {
		memcpy(copy, text, sizeof(text));
		copy[i] = copy[i] == '0' ? '1' : '0';
		assert_null(apikeys_find(k, str_of(copy), wall_ms()));
		assert_null(apikeys_find(k, (struct str){ text, i }, wall_ms()));
	}
	(void)snprintf(copy, sizeof(copy), "%s0", text);
	assert_null(apikeys_find(k, str_of(copy), wall_ms()));
	assert_null(apikeys_by_id(k, STR("0123456789abcdef"), wall_ms()));
	assert_null(apikeys_by_id(k, STR(""), wall_ms()));
	assert_null(apikeys_by_id(k, STR("0123456789abcdef0123456789abcdef"), wall_ms()));
	assert_non_null(apikeys_find(k, str_of(text), wall_ms()));
}

static void test_ends(void **state)
{
	uint64_t now = wall_ms();
	struct apikey robot = { .name = STR("ci"), .until_ms = now + 60000 };
	char path[128], text[APIKEY_TEXT_MAX];
	AUTO_APIKEYS *k = NULL;
	struct err e;

	(void)state;
	new_file(path);
	assert_ok(apikey_add(path, &robot, text, &e), &e);
	k = load(path);
	assert_non_null(apikeys_find(k, str_of(text), now + 59999));
	assert_null(apikeys_find(k, str_of(text), now + 60000));
	assert_null(apikeys_by_id(k, str_of(apikeys_at(k, 0)->id), now + 60000));
}

static void test_same_name(void **state)
{
	struct apikey robot = { .name = STR("ci") };
	char path[128], text[3][APIKEY_TEXT_MAX], id[APIKEY_ID_MAX];
	AUTO_APIKEYS *k = NULL, *rest = NULL;
	size_t n;
	struct err e;

	(void)state;
	new_file(path);
	for (unsigned i = 0; i < 3; i++)
		assert_ok(apikey_add(path, &robot, text[i], &e), &e);
	k = load(path);
	for (unsigned i = 0; i < 3; i++)
		assert_non_null(apikeys_find(k, str_of(text[i]), wall_ms()));
	(void)snprintf(id, sizeof(id), "%s", apikeys_find(k, str_of(text[1]), wall_ms())->id);
	assert_ok(apikey_remove(path, str_of(id), &n, &e), &e);
	assert_int_equal(n, 1);
	rest = load(path);
	assert_null(apikeys_find(rest, str_of(text[1]), wall_ms()));
	assert_non_null(apikeys_find(rest, str_of(text[2]), wall_ms()));
	assert_ok(apikey_remove(path, STR("ci"), &n, &e), &e);
	assert_int_equal(n, 2);
}

#define D64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define GOOD "{\"id\":\"0123456789abcdef\",\"name\":\"ci\",\"digest\":\"" D64 "\",\"made\":1"

static const struct {
	const char *name, *text, *message; /* NULL: taken */
} files[] = {
	{ "empty", "", NULL },
	{ "one", GOOD "}\n", NULL },
	{ "no newline at the end", GOOD "}", NULL },
	{ "empty lines", "\n" GOOD "}\n\n", NULL },
	{ "what is not known", GOOD ",\"later\":{}}\n", NULL },
	{ "no JSON", "x\n", "f:1: not a key of ours" },
	{ "second line", GOOD "}\n{}\n", "f:2: not a key of ours" },
	{ "cut off", "{\"id\":\"0123456789abcdef\",\"name\":\"ci", "f:1: not a key" },
	{ "twice", GOOD "}\n" GOOD "}\n", "key 0123456789abcdef is there twice" },
	{ "short digest",
	  "{\"id\":\"0123456789abcdef\",\"name\":\"ci\",\"digest\":\"00\",\"made\":1}",
	  "not a key" },
	{ "bad name",
	  "{\"id\":\"0123456789abcdef\",\"name\":\"c i\",\"digest\":\"" D64 "\",\"made\":1}",
	  "not a key" },
	{ "short id", "{\"id\":\"01\",\"name\":\"ci\",\"digest\":\"" D64 "\",\"made\":1}",
	  "not a key" },
	{ "an end that is none", GOOD ",\"until\":\"x\"}", "not a key" },
	{ "grants that are none", GOOD ",\"grants\":{}}", "not a key" },
	{ "no grants", GOOD ",\"grants\":[]}", "not a key" },
	{ "a bad pattern", GOOD ",\"grants\":[{\"repositories\":\"a//b\",\"allow\":[\"pull\"]}]}",
	  "not a key" },
	{ "a bad action", GOOD ",\"grants\":[{\"repositories\":\"a\",\"allow\":[\"*\"]}]}",
	  "not a key" },
	{ "no action", GOOD ",\"grants\":[{\"repositories\":\"a\",\"allow\":[]}]}", "not a key" },
};

static void test_file(void **state)
{
	__typeof__(&files[0]) f = *state;
	AUTO_APIKEYS *k = NULL;
	struct err e;

	if (f->message)
		assert_err(apikeys_parse(str_of(f->text), "f", &k, &e), ERR_INVALID, &e,
			   f->message);
	else
		assert_ok(apikeys_parse(str_of(f->text), "f", &k, &e), &e);
}

int main(void)
{
	unit_case("made, used, revoked", test_life);
	unit_case("no other text is the key", test_not_the_key);
	unit_case("keys that end", test_ends);
	unit_case("several of one name", test_same_name);
	UNIT_TABLE("file", test_file, files);
	return unit_run();
}
