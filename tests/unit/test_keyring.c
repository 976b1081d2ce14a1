#include "auth/keyring.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

struct ring_file {
	const char *dir;
	char path[128];
	struct keyring_options o;
};

static void prepare(struct ring_file *f, uint64_t replace_ms)
{
	f->dir = unit_dir();
	(void)snprintf(f->path, sizeof(f->path), "%s/k", f->dir);
	f->o =
	    (struct keyring_options){ .path = f->path, .replace_ms = replace_ms, .keep_ms = 1000 };
}

static struct keyring *open_ring(const struct ring_file *f)
{
	struct keyring *k;
	struct err e;

	assert_ok(keyring_open(&f->o, &k, &e), &e);
	return k;
}

static struct sbuf sign(struct keyring *k)
{
	AUTO_JV *payload = jv_pack("{s:s}", "sub", "x");
	struct sbuf b;
	struct err e;

	sbuf_init(&b, TOKEN_MAX);
	assert_ok(keyring_sign(k, payload, &b, &e), &e);
	return b;
}

static bool checks(struct keyring *k, const struct sbuf *token)
{
	AUTO_JOSE_KEYS *keys = keyring_keys(k);
	AUTO_JV *payload = NULL;
	struct err e;

	return jose_verify(keys, (struct str){ token->p, token->n }, &payload, &e) == ERR_OK;
}

static size_t published(struct keyring *k)
{
	AUTO_JV *doc = NULL;
	AUTO_SBUF b;
	struct err e;

	sbuf_init(&b, SBUF_MAX);
	assert_ok(keyring_publish(k, &b, &e), &e);
	assert_null(strstr(b.p, "\"d\":"));
	assert_ok(jv_parse_object((struct str){ b.p, b.n }, 8, &doc, &e), &e);
	return jv_count(jv_member(doc, "keys"));
}

static void test_first(void **state)
{
	struct ring_file f;
	struct keyring *k, *again;
	struct sbuf token;
	struct stat st;
	bool made;
	struct err e;

	(void)state;
	prepare(&f, 86400000);
	k = open_ring(&f);
	MUST(stat(f.path, &st) == 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(dir_count(f.dir, "."), 1);
	assert_int_equal(published(k), 1);
	token = sign(k);
	assert_true(checks(k, &token));
	again = open_ring(&f); /* another process, or the next start */
	assert_true(checks(again, &token));
	assert_ok(keyring_tend(k, false, &made, &e), &e);
	assert_false(made);
	keyring_close(&again);
	keyring_close(&k);
	assert_null(k);
	sbuf_clear(&token);
}

/* The file as if its keys had been made so long ago. */
static void age(const struct ring_file *f, uint64_t ms)
{
	struct sbuf text = file_read(f->dir, "k");
	AUTO_SBUF out;
	struct str rest = { text.p, text.n };

	sbuf_init(&out, SBUF_MAX);
	for (;;) {
		char *at = strstr(rest.p, "\"made\":");
		struct str number;
		uint64_t made;

		if (!at)
			break;
		number = str_of(at + 7);
		MUST(scan_u64(&number, UINT64_MAX, &made));
		sbuf_add(&out, rest.p, (size_t)(at + 7 - rest.p));
		sbuf_addf(&out, "%llu", (unsigned long long)(made - ms));
		rest = number;
	}
	sbuf_add_str(&out, rest);
	file_write(f->dir, "k", (struct str){ out.p, out.n });
	sbuf_clear(&text);
}

/* G2, G3 */
static void test_replaced(void **state)
{
	struct ring_file f;
	struct keyring *k, *other;
	struct sbuf old, now;
	bool made;
	struct err e;

	(void)state;
	prepare(&f, 8 * 3600000);
	k = open_ring(&f);
	old = sign(k);
	age(&f, 8 * 3600000);
	assert_ok(keyring_tend(k, true, &made, &e), &e);
	assert_true(made);
	assert_int_equal(published(k), 2);
	assert_true(checks(k, &old));
	other = open_ring(&f); /* it takes what is there, and makes none */
	assert_int_equal(published(other), 2);
	now = sign(k); /* with the old key still: the new one is not known to everybody */
	age(&f, 1800000);
	assert_ok(keyring_tend(k, true, &made, &e), &e);
	assert_false(made);
	assert_true(checks(other, &now));
	sbuf_clear(&now);
	age(&f, 1800000);
	assert_ok(keyring_tend(k, true, &made, &e), &e);
	now = sign(k);
	assert_true(checks(other, &now));
	assert_true(checks(k, &old));
	/* it has signed its last, and that has ended */
	age(&f, 17 * 3600000);
	assert_ok(keyring_tend(k, true, &made, &e), &e);
	assert_true(made);
	assert_false(checks(k, &old));
	assert_true(checks(k, &now));
	sbuf_clear(&now);
	sbuf_clear(&old);
	keyring_close(&other);
	keyring_close(&k);
}

/* What was signed while tokens lived longer counts to its end. */
static void test_kept(void **state)
{
	struct ring_file f;
	struct keyring *k;
	struct sbuf old;
	bool made;
	struct err e;

	(void)state;
	prepare(&f, 8 * 3600000);
	k = open_ring(&f);
	keyring_set(k, 8 * 3600000, 24 * 3600000);
	old = sign(k);
	keyring_set(k, 8 * 3600000, 1000);
	for (unsigned i = 0; i < 4; i++) {
		age(&f, 8 * 3600000);
		assert_ok(keyring_tend(k, true, &made, &e), &e);
		assert_true(made);
		assert_true(checks(k, &old));
	}
	age(&f, 8 * 3600000);
	assert_ok(keyring_tend(k, true, &made, &e), &e);
	assert_false(checks(k, &old));
	sbuf_clear(&old);
	keyring_close(&k);
}

/* Changes by others count once they rest. */
static void test_taken(void **state)
{
	struct ring_file f;
	struct keyring *k, *other;
	struct sbuf token;
	bool made;
	struct err e;

	(void)state;
	prepare(&f, 86400000);
	k = open_ring(&f);
	other = open_ring(&f);
	age(&f, 86400000);
	assert_ok(keyring_tend(other, true, &made, &e), &e);
	assert_true(made);
	assert_int_equal(published(k), 1);
	assert_ok(keyring_tend(k, false, &made, &e), &e);
	assert_ok(keyring_tend(k, false, &made, &e), &e);
	assert_false(made);
	assert_int_equal(published(k), 2);
	token = sign(k);
	assert_true(checks(other, &token));
	sbuf_clear(&token);
	keyring_close(&other);
	keyring_close(&k);
}

static const struct {
	const char *name, *text;
} bad[] = {
	{ "no JSON", "x" },
	{ "no keys", "{}" },
	{ "keys that are none", "{\"keys\":[7]}" },
	{ "no age", "{\"keys\":[{\"key\":{}}]}" },
	{ "no key", "{\"keys\":[{\"made\":1,\"key\":{\"kty\":\"EC\"}}]}" },
	{ "cut off", "{\"keys\":[{\"made\":1,\"key\":{\"kty\":\"EC\"" },
};

static void test_bad(void **state)
{
	__typeof__(&bad[0]) b = *state;
	struct ring_file f;
	struct keyring *k = NULL;
	struct sbuf text, token;
	bool made;
	struct err e;

	prepare(&f, 86400000);
	file_write(f.dir, "k", str_of(b->text));
	assert_err(keyring_open(&f.o, &k, &e), ERR_CORRUPT, &e, "is not a file of keys of ours");
	assert_null(k);
	text = file_read(f.dir, "k");
	assert_string_equal(text.p, b->text);
	sbuf_clear(&text);
	MUST(remove(f.path) == 0);
	k = open_ring(&f);
	file_write(f.dir, "k", str_of(b->text));
	assert_int_equal(keyring_tend(k, true, &made, &e), ERR_CORRUPT);
	token = sign(k); /* the old ones stay */
	assert_true(checks(k, &token));
	sbuf_clear(&token);
	keyring_close(&k);
}

int main(void)
{
	unit_case("the first key", test_first);
	unit_case("keys are replaced", test_replaced);
	unit_case("keys are kept for what they signed", test_kept);
	unit_case("keys of others are taken", test_taken);
	UNIT_TABLE("bad file", test_bad, bad);
	return unit_run();
}
