#include "storage/backup.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/rebuild.h"
#include "storage/store_impl.h"
#include "storage/trash.h"
#include "storage/upload.h"
#include "tests/lib/gc_fixture.h"
#include "tests/lib/history.h"
#include "tests/lib/index_fixture.h"
#include "tests/lib/unit.h"

static struct store *st;
static const char *root;
static char copy[128], back[128];

/* The copy in another file system if there is one. */
static void begin_at(const char *copy_in)
{
	root = unit_dir();
	(void)snprintf(copy, sizeof(copy), "%s/copy", copy_in);
	(void)snprintf(back, sizeof(back), "%s/back", unit_dir());
	st = gc_store_of(root, GC_TRASH_MS);
}

static void begin(void)
{
	begin_at(unit_dir());
}

static bool note_damage(void *arg, const struct digest *d, uint64_t size_bytes)
{
	char text[DIGEST_TEXT_MAX];

	sbuf_addf(arg, "%s %llu\n", digest_text(d, text), (unsigned long long)size_bytes);
	return true;
}

static bool no_damage(void *arg, const struct digest *d, uint64_t size_bytes)
{
	(void)arg, (void)d, (void)size_bytes;
	return false;
}

static struct backup_result backup(void)
{
	AUTO_SBUF damage = { .max = SBUF_MAX };
	struct backup_result r;
	struct err e;

	sbuf_add(&damage, "", 0);
	assert_ok(store_backup(st, copy, note_damage, &damage, &r, &e), &e);
	assert_int_equal(damage.n, 0);
	return r;
}

static enum err_kind restore_to(const char *to, bool accept_damage, struct sbuf *damage,
				struct backup_result *ret, struct err *e)
{
	struct store_options o = store_options_of(to);

	o.trash_keep_ms = GC_TRASH_MS;
	return store_restore(&o, copy, accept_damage, note_damage, damage, ret, e);
}

/* The copy, installed; it has nothing wrong. */
static struct store *restored(void)
{
	AUTO_SBUF damage = { .max = SBUF_MAX }, faults = { 0 };
	struct backup_result r;
	struct store *s;
	struct err e;

	assert_ok(restore_to(back, false, &damage, &r, &e), &e);
	assert_int_equal(damage.n, 0);
	s = gc_store_of(back, GC_TRASH_MS);
	faults = gc_faults(s, false);
	assert_string_equal(faults.p, "");
	return s;
}

/* The copy holds this, and what is restored goes again. */
static void assert_restores(const struct sbuf *want)
{
	struct store *s = restored();
	AUTO_SBUF got = history_text(s);

	assert_true(got.n == want->n && memcmp(got.p, want->p, got.n) == 0);
	store_close(&s);
	temp_dir_remove(back);
}

static const char *file_in(const char *dir, const struct digest *d)
{
	static char path[600];
	char hex[DIGEST_HEX_MAX + 1];

	digest_hex(d, hex);
	(void)snprintf(path, sizeof(path), "%s/blobs/sha256/%.2s/%s", dir, hex, hex);
	return path;
}

/* --- there and back --- */

static void test_history(void **state)
{
	struct history h = { .random = 5, .collects = true };
	AUTO_SBUF text = { 0 };
	struct backup_result r;
	struct totals totals;
	struct err e;

	(void)state;
	begin();
	history_run(&h, st, 400);
	text = history_text(st);
	assert_ok(index_totals(store_index(st), &totals, &e), &e);
	r = backup();
	assert_int_equal(r.objects, totals.objects);
	assert_int_equal(r.bytes, totals.bytes);
	assert_int_equal(r.cloned + r.linked + r.copied, r.objects);
	assert_int_equal(r.had, 0);
	history_run(&h, st, 50); /* the copy is of its moment */
	assert_restores(&text);
	store_close(&st);
}

/* The copy is a store, and so is what becomes of it: it goes on, and can be rebuilt. */
static void test_goes_on(void **state)
{
	struct history h = { .random = 6 };
	struct store_options o;
	AUTO_SBUF before = { 0 }, after = { 0 };
	struct rebuild_result rebuilt;
	struct store *s;
	struct err e;

	(void)state;
	begin();
	history_run(&h, st, 100);
	(void)backup();
	s = restored();
	history_run(&h, s, 100);
	before = history_text(s);
	store_close(&s);
	o = store_options_of(back);
	assert_ok(store_rebuild(&o, NULL, NULL, &rebuilt, &e), &e);
	s = gc_store_of(back, GC_TRASH_MS);
	after = history_text(s);
	assert_true(after.n == before.n && memcmp(after.p, before.p, after.n) == 0);
	store_close(&s);
	store_close(&st);
}

static void test_trash_comes_along(void **state)
{
	struct repo_name r = repo_of("a");
	struct store *s;
	struct digest d;
	struct err e;

	(void)state;
	begin();
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	assert_ok(repo_manifest_delete(st, &r, &d, NULL, &e), &e);
	gc_collect_all(st);
	(void)backup();
	s = restored();
	assert_ok(trash_restore(s, gc_trash_id(s, &d), NULL, &e), &e);
	assert_null(gc_why_not_whole(s, "a", &d));
	store_close(&s);
	store_close(&st);
}

/* Sessions that are open are no part of a copy. */
static void test_open_upload(void **state)
{
	struct repo_name r = repo_of("a");
	struct upload_id id;
	struct store *s;
	uint64_t offset;
	struct err e;

	(void)state;
	begin();
	push_blob(st, "a", "blob");
	assert_ok(upload_create(st, &r, DIGEST_SHA256, &id, &e), &e);
	(void)backup();
	s = restored();
	assert_int_equal(index_rows(store_index(s), KV_UPLOAD), 0);
	assert_err(upload_status(s, &r, &id, &offset, &e), ERR_NOT_FOUND, &e, "");
	assert_true(gc_has_blob(s, "a", "blob"));
	store_close(&s);
	assert_ok(upload_status(st, &r, &id, &offset, &e), &e); /* here it goes on */
	store_close(&st);
}

/* --- again --- */

static void test_incremental(void **state)
{
	struct repo_name r = repo_of("a");
	struct digest loose = digest_of("loose");
	AUTO_SBUF text = { 0 };
	struct backup_result res;
	struct err e;

	(void)state;
	begin();
	(void)gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	push_blob(st, "a", "loose");
	res = backup();
	assert_int_equal(res.objects, 4);
	res = backup();
	assert_int_equal(res.had, 4);
	assert_int_equal(res.cloned + res.linked + res.copied + res.removed, 0);
	st->options.trash_keep_ms = 0;
	assert_ok(repo_blob_delete(st, &r, &loose, NULL, &e), &e);
	gc_collect_all(st);
	push_blob(st, "a", "new");
	res = backup();
	assert_int_equal(res.had, 3);
	assert_int_equal(res.cloned + res.linked + res.copied, 1);
	assert_int_equal(res.removed, 1);
	assert_int_not_equal(access(file_in(copy, &loose), F_OK), 0);
	text = history_text(st);
	assert_restores(&text);
	store_close(&st);
}

/* A file of the copy that has another size is replaced. */
static void test_cut_file(void **state)
{
	struct digest layer = digest_of(LAYER_TEXT);
	AUTO_SBUF text = { 0 };
	struct backup_result res;

	(void)state;
	begin_at(unit_disk_dir());
	(void)gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	res = backup();
	if (res.linked)
		skip(); /* both are one file */
	MUST(truncate(file_in(copy, &layer), 1) == 0);
	res = backup();
	assert_int_equal(res.had, 2);
	text = history_text(st);
	assert_restores(&text);
	store_close(&st);
}

/* D2: one that is cut off leaves the copy before as it was, and the next one is whole. */
static void test_cut_off(void **state)
{
	struct history h = { .random = 8 };
	AUTO_SBUF first = { 0 }, last = { 0 };
	struct digest lost = digest_of("lost");
	struct backup_result res;
	struct err e;

	(void)state;
	begin();
	history_run(&h, st, 60);
	first = history_text(st);
	(void)backup();
	history_run(&h, st, 60);
	push_blob(st, "a", "lost");
	MUST(unlink(file_in(root, &lost)) == 0);
	assert_err(store_backup(st, copy, no_damage, NULL, &res, &e), ERR_IN_USE, &e, "stopped");
	assert_int_equal(res.damaged, 1);
	assert_restores(&first);
	push_blob(st, "a", "lost");
	last = history_text(st);
	(void)backup();
	assert_restores(&last);
	store_close(&st);
}

/* --- beside pushes --- */

static _Atomic bool stop;

static void *push_on(void *arg)
{
	struct history h = { .random = 12 };

	(void)arg;
	while (!stop)
		history_run(&h, st, 10);
	return NULL;
}

/* D1 */
static void test_beside_pushes(void **state)
{
	pthread_t thread;

	(void)state;
	begin();
	stop = false;
	assert_int_equal(pthread_create(&thread, NULL, push_on, NULL), 0);
	for (unsigned i = 0; i < 5; i++) {
		struct store *s;

		(void)backup();
		s = restored();
		store_close(&s);
		temp_dir_remove(back);
	}
	stop = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	store_close(&st);
}

/* --- damage --- */

/* In the source: told of, and the copy knows. */
static void test_source_damaged(void **state)
{
	AUTO_SBUF damage = { .max = SBUF_MAX }, faults = { 0 };
	struct digest layer = digest_of(LAYER_TEXT), d;
	struct repo_name r = repo_of("a");
	struct blob_info info;
	struct backup_result res;
	struct store *s;
	struct err e;

	(void)state;
	begin();
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	MUST(unlink(file_in(root, &layer)) == 0);
	assert_ok(store_backup(st, copy, note_damage, &damage, &res, &e), &e);
	assert_int_equal(res.damaged, 1);
	assert_non_null(strstr(damage.p, " 5\n"));
	assert_err(restore_to(back, false, &damage, &res, &e), ERR_CORRUPT, &e, "accept-damage");
	assert_false(file_exists(back, "version"));
	assert_ok(restore_to(back, true, &damage, &res, &e), &e);
	s = gc_store_of(back, 0);
	assert_ok(index_blob_find(store_index(s), &r, &layer, &info, &e), &e);
	assert_true(info.is_damaged);
	faults = gc_faults(s, false);
	assert_string_equal(faults.p, "missing-file");
	push_blob(s, "a", LAYER_TEXT);
	assert_null(gc_why_not_whole(s, "a", &d));
	store_close(&s);
	store_close(&st);
}

static const struct spoilt {
	const char *name;
	const char *bytes; /* of the layer's file in the copy; NULL: it is gone */
} spoilt[] = {
	{ "gone", NULL },
	{ "cut off", "lay" },
	{ "with a flipped bit", "Layer" },
};

/* In the copy: refused, with nothing installed, unless that is what was asked for. */
static void test_copy_damaged(void **state)
{
	const struct spoilt *row = *state;
	AUTO_SBUF damage = { .max = SBUF_MAX }, told = { .max = SBUF_MAX };
	struct digest layer = digest_of(LAYER_TEXT), d;
	char text[DIGEST_TEXT_MAX];
	struct backup_result res;
	struct store *s;
	struct err e;

	begin();
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	(void)gc_push_image(st, "b", CONFIG_TEXT, "other", "v1");
	(void)backup();
	MUST(unlink(file_in(copy, &layer)) == 0);
	if (row->bytes)
		file_write(copy, file_in("", &layer), str_of(row->bytes));
	assert_err(restore_to(back, false, &damage, &res, &e), ERR_CORRUPT, &e,
		   "1 files of the copy are damaged");
	assert_true(str_starts(text_of(&damage), str_of(digest_text(&layer, text))));
	assert_false(file_exists(back, "version"));
	assert_ok(restore_to(back, true, &told, &res, &e), &e);
	assert_int_equal(res.damaged, 1);
	s = gc_store_of(back, 0);
	assert_non_null(gc_why_not_whole(s, "a", &d));
	push_blob(s, "a", LAYER_TEXT);
	assert_null(gc_why_not_whole(s, "a", &d));
	d = gc_tag(s, "b", "v1");
	assert_null(gc_why_not_whole(s, "b", &d));
	store_close(&s);
	store_close(&st);
}

/* --- what is no copy, and no place for one --- */

static void test_refused(void **state)
{
	AUTO_SBUF damage = { .max = SBUF_MAX };
	struct backup_result res;
	char missing[256];
	struct store *s;
	struct err e;

	(void)state;
	begin();
	push_blob(st, "a", "blob");
	assert_err(restore_to(back, false, &damage, &res, &e), ERR_NOT_FOUND, &e, "copy");
	(void)backup();
	assert_err(restore_to(root, false, &damage, &res, &e), ERR_IN_USE, &e, "in use");
	s = restored();
	store_close(&s);
	assert_err(restore_to(back, false, &damage, &res, &e), ERR_EXISTS, &e,
		   "is a store already");
	assert_err(store_backup(st, root, note_damage, &damage, &res, &e), ERR_IN_USE, &e,
		   "in use");
	(void)snprintf(missing, sizeof(missing), "%s/no/parent", back);
	assert_err(store_backup(st, missing, note_damage, &damage, &res, &e), ERR_NOT_FOUND, &e,
		   "no/parent");
	(void)snprintf(copy, sizeof(copy), "%s", unit_dir());
	file_write(copy, "somebody's", STR("file"));
	assert_err(store_backup(st, copy, note_damage, &damage, &res, &e), ERR_UNSUPPORTED, &e,
		   "neither empty");
	store_close(&st);
}

/* The first copy was cut off: it is none. */
static void test_never_finished(void **state)
{
	AUTO_SBUF damage = { .max = SBUF_MAX };
	struct digest lost = digest_of("lost");
	AUTO_SBUF text = { 0 };
	struct backup_result res;
	struct err e;

	(void)state;
	begin();
	push_blob(st, "a", "lost");
	MUST(unlink(file_in(root, &lost)) == 0);
	assert_err(store_backup(st, copy, no_damage, NULL, &res, &e), ERR_IN_USE, &e, "stopped");
	assert_int_not_equal(restore_to(back, true, &damage, &res, &e), ERR_OK);
	assert_false(file_exists(back, "version"));
	push_blob(st, "a", "lost");
	(void)backup();
	text = history_text(st);
	assert_restores(&text);
	store_close(&st);
}

int main(void)
{
	unit_case("a store with a history", test_history);
	unit_case("what is restored goes on", test_goes_on);
	unit_case("the trash comes along", test_trash_comes_along);
	unit_case("an open upload does not", test_open_upload);
	unit_case("the second copy", test_incremental);
	unit_case("a file of another size", test_cut_file);
	unit_case("cut off", test_cut_off);
	unit_case("beside pushes", test_beside_pushes);
	unit_case("damage in the source", test_source_damaged);
	UNIT_TABLE("a file of the copy is", test_copy_damaged, spoilt);
	unit_case("refused", test_refused);
	unit_case("never finished", test_never_finished);
	return unit_run();
}
