#include "storage/kv.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define MAP_BYTES (1024u * 1024)
#define READERS 8

static struct kv *open_kv(const char *dir)
{
	struct kv *kv = NULL;
	struct err e;

	assert_ok(kv_open(dir, MAP_BYTES, READERS, &kv, &e), &e);
	return kv;
}

static struct kv_txn *begin_write(struct kv *kv)
{
	struct kv_txn *t = NULL;
	struct err e;

	assert_ok(kv_write_begin(kv, &t, &e), &e);
	return t;
}

static struct kv_txn *begin_read(struct kv *kv)
{
	struct kv_txn *t = NULL;
	struct err e;

	assert_ok(kv_read_begin(kv, &t, &e), &e);
	return t;
}

static void put(struct kv_txn *t, enum kv_table table, const char *key, const char *value)
{
	struct err e;

	assert_ok(kv_put(t, table, str_of(key), str_of(value), &e), &e);
}

static void commit(struct kv_txn **t)
{
	struct err e;

	assert_ok(kv_write_commit(t, &e), &e);
	assert_null(*t);
}

/* The value, or NULL where there is none: then e is untouched. */
static void check(struct kv_txn *t, enum kv_table table, const char *key, const char *want)
{
	struct err e = { .msg = "untouched" };
	struct str v = STR("untouched");
	enum err_kind k = kv_get(t, table, str_of(key), &v, &e);

	assert_int_equal(k, want ? ERR_OK : ERR_NOT_FOUND);
	assert_string_equal(e.msg, "untouched");
	assert_true(str_eq(v, want ? str_of(want) : STR("untouched")));
}

static void test_put_get_delete(void **state)
{
	struct kv *kv = open_kv(unit_dir());
	struct kv_txn *t = begin_write(kv);
	struct err e = { .msg = "untouched" };
	uint64_t n;

	(void)state;
	put(t, KV_TAG, "a", "1");
	put(t, KV_REPO, "a", "2"); /* tables are apart */
	put(t, KV_TAG, "a", "3");  /* replaces */
	put(t, KV_TAG, "b", "");
	check(t, KV_TAG, "a", "3");
	check(t, KV_REPO, "a", "2");
	check(t, KV_TAG, "b", "");
	check(t, KV_TAG, "c", NULL);
	assert_int_equal(kv_delete(t, KV_TAG, STR("c"), &e), ERR_NOT_FOUND);
	assert_string_equal(e.msg, "untouched");
	assert_ok(kv_delete(t, KV_TAG, STR("b"), &e), &e);
	check(t, KV_TAG, "b", NULL);
	assert_ok(kv_count(t, KV_TAG, &n, &e), &e);
	assert_int_equal(n, 1);
	commit(&t);
	t = begin_read(kv);
	check(t, KV_TAG, "a", "3");
	kv_end(&t);
	assert_null(t);
	kv_end(&t);
	kv_close(&kv);
	assert_null(kv);
	kv_close(&kv);
}

/* V1: a reader sees the state in which it began. */
static void test_snapshot(void **state)
{
	struct kv *kv = open_kv(unit_dir());
	struct kv_txn *w = begin_write(kv), *before, *after;

	(void)state;
	put(w, KV_TAG, "a", "old");
	commit(&w);
	before = begin_read(kv);
	w = begin_write(kv);
	put(w, KV_TAG, "a", "new");
	check(before, KV_TAG, "a", "old");
	commit(&w);
	after = begin_read(kv);
	check(before, KV_TAG, "a", "old");
	check(after, KV_TAG, "a", "new");
	kv_end(&before);
	kv_end(&after);
	before = begin_read(kv); /* an idle one taken up again sees the present */
	check(before, KV_TAG, "a", "new");
	kv_end(&before);
	kv_close(&kv);
}

static void test_abort(void **state)
{
	const char *dir = unit_dir();
	struct kv *kv = open_kv(dir);
	struct kv_txn *t = begin_write(kv);

	(void)state;
	put(t, KV_TAG, "a", "1");
	kv_end(&t);
	t = begin_read(kv);
	check(t, KV_TAG, "a", NULL);
	kv_end(&t);
	t = begin_write(kv);
	put(t, KV_TAG, "kept", "1");
	commit(&t);
	kv_close(&kv);
	kv = open_kv(dir);
	t = begin_read(kv);
	check(t, KV_TAG, "kept", "1");
	check(t, KV_TAG, "a", NULL);
	kv_end(&t);
	kv_close(&kv);
}

static void test_reopen(void **state)
{
	struct kv *kv = open_kv(unit_dir());
	struct kv_txn *t = begin_write(kv);
	struct err e;

	(void)state;
	put(t, KV_TAG, "a", "1");
	commit(&t);
	t = begin_read(kv);
	kv_end(&t); /* leaves an idle one, which belongs to the old environment */
	assert_ok(kv_reopen(kv, &e), &e);
	t = begin_read(kv);
	check(t, KV_TAG, "a", "1");
	kv_end(&t);
	t = begin_write(kv);
	put(t, KV_TAG, "b", "2");
	commit(&t);
	kv_close(&kv);
}

/* "Until it succeeds everything is ERR_IO." */
static void test_reopen_fails(void **state)
{
	char dir[64], aside[64];
	struct kv *kv;
	struct kv_txn *t;
	struct err e;

	(void)state;
	(void)snprintf(dir, sizeof(dir), "%s", unit_dir());
	(void)snprintf(aside, sizeof(aside), "%s", unit_dir());
	kv = open_kv(dir);
	t = begin_write(kv);
	put(t, KV_TAG, "a", "1");
	commit(&t);
	MUST(rename(dir, aside) == 0);
	assert_err(kv_reopen(kv, &e), ERR_NOT_FOUND, &e, "index: ");
	assert_err(kv_read_begin(kv, &t, &e), ERR_IO, &e, "begin read");
	assert_err(kv_write_begin(kv, &t, &e), ERR_IO, &e, "begin write");
	assert_null(t);
	MUST(rename(aside, dir) == 0);
	assert_ok(kv_reopen(kv, &e), &e);
	t = begin_read(kv);
	check(t, KV_TAG, "a", "1");
	kv_end(&t);
	kv_close(&kv);
}

static const char *const in_order[] = { "\x01", "a", "aa", "ab", "b", "\xff" };

static void test_cursor(void **state)
{
	struct kv *kv = open_kv(unit_dir());
	struct kv_txn *t = begin_write(kv);
	struct kv_cursor *c = NULL;
	struct str key, value;
	struct err e = { .msg = "untouched" };
	size_t n = ARRAY_LEN(in_order);

	(void)state;
	for (size_t i = n; i--;)
		put(t, KV_TAG, in_order[i], in_order[i]);
	commit(&t);
	t = begin_read(kv);
	assert_ok(kv_cursor_open(t, KV_TAG, &c, &e), &e);
	assert_ok(kv_seek(c, STR("\x01"), &key, &value, &e), &e);
	for (size_t i = 0; i < n; i++) {
		assert_true(str_eq(key, str_of(in_order[i])));
		assert_true(str_eq(value, str_of(in_order[i])));
		assert_int_equal(kv_next(c, &key, &value, &e), i + 1 < n ? ERR_OK : ERR_NOT_FOUND);
	}
	assert_string_equal(e.msg, "untouched");
	assert_ok(kv_seek(c, STR("aaa"), &key, &value, &e), &e); /* the first one not before it */
	assert_str(key, "ab");
	assert_int_equal(kv_seek(c, STR("\xff\xff"), &key, &value, &e), ERR_NOT_FOUND);
	kv_cursor_close(&c);
	assert_null(c);
	kv_cursor_close(&c);
	assert_ok(kv_cursor_open(t, KV_REVIEW, &c, &e), &e); /* a table with nothing in it */
	assert_int_equal(kv_seek(c, STR("a"), &key, &value, &e), ERR_NOT_FOUND);
	kv_cursor_close(&c);
	kv_end(&t);
	kv_close(&kv);
}

static void test_key_sizes(void **state)
{
	struct kv *kv = open_kv(unit_dir());
	struct kv_txn *t = begin_write(kv);
	char text[KV_KEY_MAX + 1];
	struct str v;
	struct err e;

	(void)state;
	memset(text, 'k', sizeof(text));
	assert_ok(kv_put(t, KV_TAG, (struct str){ text, KV_KEY_MAX }, STR("v"), &e), &e);
	assert_ok(kv_get(t, KV_TAG, (struct str){ text, KV_KEY_MAX }, &v, &e), &e);
	assert_err(kv_put(t, KV_TAG, (struct str){ text, KV_KEY_MAX + 1 }, STR("v"), &e), ERR_BUG,
		   &e, "index: tag: ");
	assert_err(kv_put(t, KV_TAG, STR(""), STR("v"), &e), ERR_BUG, &e, "index: tag: ");
	assert_err(kv_get(t, KV_TAG, STR(""), &v, &e), ERR_BUG, &e, "index: tag: ");
	assert_err(kv_delete(t, KV_TAG, STR(""), &e), ERR_BUG, &e, "index: tag: ");
	kv_end(&t);
	kv_close(&kv);
}

/* One commit of n values of 1000 bytes; the map grows as often as it must. */
static unsigned fill(struct kv *kv, unsigned first, unsigned n)
{
	char key[32], value[1000];
	unsigned grown = 0;

	memset(value, 'v', sizeof(value));
	for (;;) {
		struct kv_txn *t = begin_write(kv);
		struct err e;
		enum err_kind k = ERR_OK;

		for (unsigned i = first; i < first + n && k == ERR_OK; i++) {
			(void)snprintf(key, sizeof(key), "%08u", i);
			k = kv_put(t, KV_TAG, str_of(key), (struct str){ value, sizeof(value) },
				   &e);
		}
		if (k == ERR_OK)
			k = kv_write_commit(&t, &e);
		if (k == ERR_OK)
			return grown;
		kv_end(&t);
		assert_int_equal(k, ERR_NO_SPACE);
		assert_true(kv_is_map_full(&e));
		assert_ok(kv_grow(kv, &e), &e);
		grown++;
	}
}

static void test_grow(void **state)
{
	const char *dir = unit_dir();
	struct kv *kv = open_kv(dir);
	struct kv_stat st;
	struct kv_txn *t;
	struct str v;
	struct err e = { .sys = 0 };

	(void)state;
	assert_false(kv_is_map_full(&e));
	assert_int_equal(fill(kv, 0, 100), 0);
	assert_in_range(fill(kv, 100, 5000), 3, 4); /* 5 MB in a map of 1 MB */
	assert_ok(kv_stat(kv, &st, &e), &e);
	assert_in_range(st.map_bytes, 8 * MAP_BYTES, 16 * MAP_BYTES);
	assert_in_range(st.used_bytes, 5000 * 1000, st.map_bytes);
	assert_int_equal(st.entries[KV_TAG], 5100);
	assert_int_equal(st.entries[KV_REPO], 0);
	assert_in_range(st.readers, 1, READERS);
	kv_close(&kv);
	kv = open_kv(dir); /* asked for 1 MB, which is less than there is */
	t = begin_read(kv);
	assert_ok(kv_get(t, KV_TAG, STR("00005099"), &v, &e), &e);
	assert_int_equal(v.n, 1000);
	kv_end(&t);
	assert_in_range(fill(kv, 6000, 1000), 0, 8);
	kv_close(&kv);
}

struct reading {
	struct kv *kv;
	_Atomic bool stop;
	_Atomic unsigned seen;
};

/* Everything is there up to some number, and nothing after it. */
static void *read_along(void *arg)
{
	struct reading *r = arg;

	while (!r->stop) {
		struct kv_txn *t = NULL;
		struct err e;
		struct str v;
		uint64_t n;
		char key[32];

		MUST(kv_read_begin(r->kv, &t, &e) == ERR_OK);
		MUST(kv_count(t, KV_TAG, &n, &e) == ERR_OK);
		if (n) {
			(void)snprintf(key, sizeof(key), "%08u", (unsigned)n - 1);
			MUST(kv_get(t, KV_TAG, str_of(key), &v, &e) == ERR_OK);
			MUST(v.n == 1000 && v.p[0] == 'v' && v.p[999] == 'v');
		}
		(void)snprintf(key, sizeof(key), "%08u", (unsigned)n);
		MUST(kv_get(t, KV_TAG, str_of(key), &v, &e) == ERR_NOT_FOUND);
		r->seen++;
		kv_end(&t);
	}
	return NULL;
}

/* V3: the map grows under readers. */
static void test_grow_with_readers(void **state)
{
	struct reading r = { .kv = open_kv(unit_dir()) };
	pthread_t threads[3];
	unsigned grown = 0;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
		MUST(pthread_create(&threads[i], NULL, read_along, &r) == 0);
	for (unsigned i = 0; i < 100; i++) {
		unsigned seen = r.seen;

		grown += fill(r.kv, 50 * i, 50);
		while (r.seen == seen) /* they get their turns */
			(void)sched_yield();
	}
	r.stop = true;
	for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
		MUST(pthread_join(threads[i], NULL) == 0);
	assert_in_range(grown, 3, 4);
	kv_close(&r.kv);
}

static void test_readers_limit(void **state)
{
	struct kv *kv = open_kv(unit_dir());
	struct kv_txn *t[READERS + 1] = { NULL };
	struct err e;

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < READERS; i++)
			t[i] = begin_read(kv);
		assert_err(kv_read_begin(kv, &t[READERS], &e), ERR_NO_MEMORY, &e, "begin read");
		assert_null(t[READERS]);
		kv_end(&t[3]);
		t[3] = begin_read(kv); /* as soon as one ends, another may begin */
		for (unsigned i = 0; i < READERS; i++)
			kv_end(&t[i]);
	}
	kv_close(&kv);
}

#ifdef __SANITIZE_THREAD__
#define MANY 60 /* it follows 64 locks of a thread */
#else
#define MANY 200
#endif

/* More readers at once than are kept for later. */
static void test_many_readers(void **state)
{
	struct kv *kv = NULL;
	struct kv_txn *t[MANY];
	struct kv_stat st;
	struct err e;

	(void)state;
	assert_ok(kv_open(unit_dir(), MAP_BYTES, MANY + 1, &kv, &e), &e);
	for (unsigned round = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_LEN(t); i++)
			t[i] = begin_read(kv);
		for (size_t i = 0; i < ARRAY_LEN(t); i++)
			kv_end(&t[i]);
	}
	assert_ok(kv_stat(kv, &st, &e), &e);
	assert_in_range(st.readers, MANY, MANY + 1);
	kv_close(&kv);
}

static const struct {
	const char *name, *file;
	struct str bytes;
	enum err_kind kind;
} unopenable[] = {
	{ "bytes that are no index",
	  "data.mdb",
	  { "not an index at all, but longer than nothing", 44 },
	  ERR_CORRUPT },
	{ "a directory in place of a file", NULL, { NULL, 0 }, ERR_IO },
};

static void test_open_fails(void **state)
{
	__typeof__(&unopenable[0]) c = *state;
	const char *dir = unit_dir();
	struct kv *kv = NULL;
	char path[128];
	struct err e;

	(void)snprintf(path, sizeof(path), "%s/data.mdb", dir);
	if (c->file)
		file_write(dir, c->file, c->bytes);
	else
		MUST(mkdir(path, 0700) == 0);
	assert_err(kv_open(dir, MAP_BYTES, READERS, &kv, &e), c->kind, &e, dir);
	assert_null(kv);
}

static void test_open_nowhere(void **state)
{
	struct kv *kv = NULL;
	char path[128];
	struct err e;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/none", unit_dir());
	assert_err(kv_open(path, MAP_BYTES, READERS, &kv, &e), ERR_NOT_FOUND, &e, path);
}

int main(void)
{
	unit_case("put, get, delete", test_put_get_delete);
	unit_case("a reader sees one state", test_snapshot);
	unit_case("what is not committed is gone", test_abort);
	unit_case("reopen", test_reopen);
	unit_case("reopen that fails, then works", test_reopen_fails);
	unit_case("cursors go in byte order", test_cursor);
	unit_case("keys of 0, 511 and 512 bytes", test_key_sizes);
	unit_case("a full map grows", test_grow);
	unit_case("a map grows under readers", test_grow_with_readers);
	unit_case("readers up to the limit", test_readers_limit);
	unit_case("many readers at once", test_many_readers);
	UNIT_TABLE("not opened", test_open_fails, unopenable);
	unit_case("not opened: no directory", test_open_nowhere);
	return unit_run();
}
