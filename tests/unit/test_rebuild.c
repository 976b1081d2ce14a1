#include "storage/rebuild.h"

#include <unistd.h>

#include "base/clock.h"
#include "storage/store_impl.h"
#include "tests/lib/gc_fixture.h"
#include "tests/lib/history.h"
#include "tests/lib/index_fixture.h"
#include "tests/lib/unit.h"

#define LOG "reflog/1.jsonl"

static const char *root;
static struct store *st;

static void begin(uint64_t trash_keep_ms)
{
	root = unit_dir();
	st = gc_store_of(root, trash_keep_ms);
}

static const char *path_of(const char *name)
{
	static char path[700];

	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	return path;
}

/* What was told of, "WHAT name" a line. */
static void note(void *arg, const struct rebuild_loss *l)
{
	static const char *const whats[] = { "manifest", "tag", "blob", "unnamed" };

	sbuf_addf(arg, "%s %s\n", whats[l->what], l->name);
}

static struct rebuild_result rebuild(struct sbuf *ret_losses)
{
	struct store_options o = store_options_of(root);
	struct rebuild_result r;
	struct err e;

	o.trash_keep_ms = GC_TRASH_MS;
	*ret_losses = (struct sbuf){ .max = SBUF_MAX };
	sbuf_add(ret_losses, "", 0);
	assert_ok(store_rebuild(&o, note, ret_losses, &r, &e), &e);
	return r;
}

static void lose_index(void)
{
	store_close(&st);
	temp_dir_remove(path_of("index"));
}

/* Rebuilt without a loss, and open again. */
static struct rebuild_result rebuild_all(void)
{
	AUTO_SBUF losses = { 0 };
	struct rebuild_result r = rebuild(&losses);

	assert_string_equal(losses.p, "");
	assert_int_equal(r.losses, 0);
	st = gc_store_of(root, 0);
	return r;
}

static void end(void)
{
	AUTO_SBUF faults = gc_faults(st, false);

	assert_string_equal(faults.p, "");
	store_close(&st);
}

static void assert_same(const struct sbuf *got, const struct sbuf *want)
{
	size_t i = 0, line = 0;

	while (i < got->n && got->p[i] == want->p[i]) {
		i++;
		if (got->p[i - 1] == '\n')
			line = i;
	}
	if (got->n != want->n || i != got->n)
		fail_msg("it has\n%.*s\nand not\n%.*s", (int)strcspn(got->p + line, "\n"),
			 got->p + line, (int)strcspn(want->p + line, "\n"), want->p + line);
}

/* --- the whole of it --- */

static const struct past {
	const char *name;
	uint64_t seed;
	bool collects;
} pasts[] = {
	{ "pushes and deletions", 1, false },
	{ "other ones", 20261125, false },
	{ "with collections and restores", 7, true },
	{ "with others", 4711, true },
};

static void test_history(void **state)
{
	const struct past *row = *state;
	struct history h = { .random = row->seed, .collects = row->collects };
	AUTO_SBUF before = { 0 }, after = { 0 };
	struct rebuild_result r;
	uint64_t tags;

	begin(row->collects ? GC_TRASH_MS : 0);
	history_run(&h, st, 1000);
	assert_in_range(h.acknowledged, 400, 5000);
	before = history_text(st);
	tags = index_rows(store_index(st), KV_TAG);
	assert_int_not_equal(tags, 0);
	lose_index();
	r = rebuild_all();
	after = history_text(st);
	assert_same(&after, &before);
	assert_int_equal(r.tags, tags);
	assert_int_equal(r.repos, index_rows(store_index(st), KV_REPO));
	assert_int_equal(r.log.missing + r.log.unreadable, 0);
	history_run(&h, st, 50); /* and it goes on */
	end();
}

/* Beside an index that is well it is the same; that one is kept. */
static void test_not_lost(void **state)
{
	struct history h = { .random = 3 };
	AUTO_SBUF before = { 0 }, after = { 0 };

	(void)state;
	begin(0);
	history_run(&h, st, 100);
	before = history_text(st);
	store_close(&st);
	(void)rebuild_all();
	assert_true(file_exists(root, "index.old/data.mdb"));
	after = history_text(st);
	assert_same(&after, &before);
	store_close(&st);
	(void)rebuild_all(); /* over the one that is kept */
	assert_true(file_exists(root, "index.old/data.mdb"));
	assert_false(file_exists(root, "index.new"));
	end();
}

static void test_in_use(void **state)
{
	struct store_options o = store_options_of(unit_dir());
	struct rebuild_result r;
	struct err e;

	(void)state;
	begin(0);
	o.root = root;
	assert_err(store_rebuild(&o, note, NULL, &r, &e), ERR_IN_USE, &e, "in use");
	end();
	o.root = unit_dir();
	o.must_exist = true;
	assert_err(store_rebuild(&o, note, NULL, &r, &e), ERR_NOT_FOUND, &e, "no store");
}

/* What was deleted within the trash's time can be had back, what was deleted before cannot. */
static void test_trash(void **state)
{
	struct store_options o;
	AUTO_SBUF losses = { .max = SBUF_MAX };
	struct repo_name r = repo_of("a");
	struct rebuild_result result;
	struct digest d;
	struct err e;

	(void)state;
	begin(GC_TRASH_MS);
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	assert_ok(repo_manifest_delete(st, &r, &d, NULL, &e), &e);
	for (uint64_t now = wall_ms(); wall_ms() == now;)
		;
	lose_index();
	(void)rebuild_all();
	assert_int_equal(gc_trash_rows(st), 1);
	lose_index();
	o = store_options_of(root);
	o.trash_keep_ms = 1;
	assert_ok(store_rebuild(&o, note, &losses, &result, &e), &e);
	st = gc_store_of(root, 0);
	assert_int_equal(gc_trash_rows(st), 0);
	end();
}

/* --- a log that is torn --- */

/* Where the n'th line from the end begins, 0 being the end. */
static size_t line_from_end(const struct sbuf *log, unsigned n)
{
	size_t at = log->n;

	for (; n; n--) {
		at--;
		while (at && log->p[at - 1] != '\n')
			at--;
	}
	return at;
}

static void test_torn(void **state)
{
	struct sbuf after[4] = { 0 }; /* [n]: without the last n records */
	AUTO_SBUF log = { 0 };
	struct history h = { .random = 99 };
	struct repo_name r = repo_of("last");
	struct tag_name t = tag_of("v1");
	size_t first;
	struct err e;

	(void)state;
	begin(0);
	history_run(&h, st, 20);
	push_blob(st, "last", CONFIG_TEXT);
	push_blob(st, "last", LAYER_TEXT);
	after[3] = history_text(st);
	{
		AUTO_SBUF b = gc_image(CONFIG_TEXT, LAYER_TEXT, "");

		push_manifest(st, "last", text_of(&b), MEDIA_OCI_MANIFEST, "v1");
	}
	after[2] = history_text(st);
	push_blob(st, "last", "a blob");
	after[1] = history_text(st);
	assert_ok(repo_tag_delete(st, &r, &t, NULL, &e), &e);
	after[0] = history_text(st);
	store_close(&st);
	log = file_read(root, LOG);
	first = line_from_end(&log, 3);
	for (size_t cut = first; cut <= log.n; cut++) {
		AUTO_SBUF losses = { 0 }, got = { 0 };
		struct rebuild_result result;
		unsigned lost = 0;

		while (line_from_end(&log, lost) > cut)
			lost++;
		file_write(root, LOG, (struct str){ log.p, cut });
		temp_dir_remove(path_of("index"));
		result = rebuild(&losses);
		assert_int_equal(result.log.unreadable, line_from_end(&log, lost) != cut);
		st = gc_store_of(root, 0);
		got = history_text(st);
		assert_same(&got, &after[lost]);
		push_blob(st, "new", "after it");
		store_close(&st);
		st = gc_store_of(root, 0); /* the log goes on right behind what counts */
		assert_true(gc_has_blob(st, "new", "after it"));
		store_close(&st);
	}
	for (size_t i = 0; i < ARRAY_LEN(after); i++)
		sbuf_clear(&after[i]);
}

/* A line in the middle that is none: it is told of, and the rest is there. */
static void test_spoilt_line(void **state)
{
	AUTO_SBUF log = { 0 }, losses = { 0 };
	struct rebuild_result r;
	struct digest d;

	(void)state;
	begin(0);
	push_blob(st, "b", "lost");
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	lose_index();
	log = file_read(root, LOG);
	log.p[0] = '[';
	file_write(root, LOG, text_of(&log));
	r = rebuild(&losses);
	assert_int_equal(r.log.unreadable, 1);
	assert_int_equal(r.log.missing, 1);
	assert_int_equal(r.losses, 1);
	assert_non_null(strstr(losses.p, "unnamed sha256:"));
	st = gc_store_of(root, 0);
	assert_null(gc_why_not_whole(st, "a", &d));
	store_close(&st);
}

/* The log as two files; the second one begins with its third record from the end. */
static void split_log(void)
{
	AUTO_SBUF log = file_read(root, LOG);
	size_t at = line_from_end(&log, 3);
	unsigned long long seq = strtoull(strstr(log.p + at, "\"seq\":") + 6, NULL, 10);
	char name[64];

	(void)snprintf(name, sizeof(name), "reflog/%llu.jsonl", seq);
	file_write(root, name, (struct str){ log.p + at, log.n - at });
	file_write(root, LOG, (struct str){ log.p, at });
}

/* Links whose records are lost are made again for manifests whose records are not: their files are there. */
static void test_no_first_segment(void **state)
{
	AUTO_SBUF losses = { 0 }, image = gc_image(CONFIG_TEXT, LAYER_TEXT, "");
	struct rebuild_result r;
	struct digest d = digest_of(image.p);

	(void)state;
	begin(0);
	(void)gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "old");
	push_blob(st, "b", "lost");
	push_manifest(st, "a", text_of(&image), MEDIA_OCI_MANIFEST, "v1");
	push_manifest(st, "a", text_of(&image), MEDIA_OCI_MANIFEST, "v2");
	push_blob(st, "c", "kept");
	lose_index();
	split_log();
	MUST(unlink(path_of(LOG)) == 0);
	r = rebuild(&losses);
	assert_int_equal(r.log.records, 3);
	assert_int_equal(r.log.missing, 4);
	assert_int_equal(r.losses, 1);
	assert_true(str_starts(text_of(&losses), STR("unnamed sha256:")));
	st = gc_store_of(root, 0);
	assert_null(gc_why_not_whole(st, "a", &d));
	assert_true(gc_has_blob(st, "c", "kept"));
	assert_false(gc_has_blob(st, "b", "lost"));
	{
		AUTO_SBUF faults = gc_faults(st, false);

		/* FORMAT.md section 3: the log has a hole, and what nobody names is a stray file. */
		assert_string_equal(faults.p, "stray-file bad-reflog");
	}
	store_close(&st);
}

/* --- files that are lost --- */

static void remove_blob(const struct digest *d)
{
	char name[64 + DIGEST_HEX_MAX], hex[DIGEST_HEX_MAX + 1];

	digest_hex(d, hex);
	(void)snprintf(name, sizeof(name), "blobs/sha256/%.2s/%s", hex, hex);
	MUST(unlink(path_of(name)) == 0);
}

static void truncate_blob(const struct digest *d)
{
	char name[64 + DIGEST_HEX_MAX], hex[DIGEST_HEX_MAX + 1];

	digest_hex(d, hex);
	(void)snprintf(name, sizeof(name), "blobs/sha256/%.2s/%s", hex, hex);
	MUST(truncate(path_of(name), 1) == 0);
}

/* Of the same size. */
static void spoil_blob(const struct digest *d)
{
	char name[64 + DIGEST_HEX_MAX], hex[DIGEST_HEX_MAX + 1];
	AUTO_SBUF b = { 0 };

	digest_hex(d, hex);
	(void)snprintf(name, sizeof(name), "blobs/sha256/%.2s/%s", hex, hex);
	b = file_read(root, name);
	b.p[b.n / 2] ^= 1;
	file_write(root, name, text_of(&b));
}

static const struct lost {
	const char *name;
	void (*fn)(const struct digest *d);
} lost[] = {
	{ "gone", remove_blob },
	{ "cut off", truncate_blob },
	{ "spoilt", spoil_blob },
};

/* U2: the tag is told of, and not left at the older manifest. */
static void test_manifest_lost(void **state)
{
	const struct lost *row = *state;
	AUTO_SBUF losses = { 0 };
	char want[300], text[DIGEST_TEXT_MAX];
	struct digest d, old, at;

	begin(0);
	old = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	d = gc_push_image(st, "a", CONFIG_TEXT, "other", "v1");
	lose_index();
	row->fn(&d);
	assert_int_equal(rebuild(&losses).losses, row->fn == remove_blob ? 2 : 3);
	(void)snprintf(want, sizeof(want), "tag a:v1\nmanifest a@%s\n", digest_text(&d, text));
	assert_non_null(strstr(losses.p, "tag a:v1\n"));
	(void)snprintf(want, sizeof(want), "manifest a@%s\n", digest_text(&d, text));
	assert_non_null(strstr(losses.p, want));
	st = gc_store_of(root, 0);
	at = gc_tag(st, "a", "v1");
	assert_int_equal(at.alg, 0);
	assert_null(gc_why_not_whole(st, "a", &old));
	assert_false(gc_has_manifest(st, "a", &d));
	store_close(&st);
}

/* Lost, but pushed again later, or deleted: then nothing is lost. */
static void test_lost_and_found(void **state)
{
	struct repo_name r = repo_of("a");
	struct digest d, deleted, loose = digest_of("loose"), at;
	struct err e;

	(void)state;
	begin(0);
	(void)gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	deleted = gc_push_image(st, "a", CONFIG_TEXT, "other", "v1");
	push_blob(st, "a", "loose");
	assert_ok(repo_blob_delete(st, &r, &loose, NULL, &e), &e);
	assert_ok(repo_manifest_delete(st, &r, &deleted, NULL, &e), &e);
	d = gc_push_image(st, "a", CONFIG_TEXT, "third", "v1");
	gc_collect_all(st); /* what was deleted, and what had the tag first */
	assert_false(gc_has_file(st, &deleted));
	lose_index();
	(void)rebuild_all();
	at = gc_tag(st, "a", "v1");
	assert_true(digest_eq(&at, &d));
	assert_null(gc_why_not_whole(st, "a", &d));
	end();
}

static void test_blob_lost(void **state)
{
	AUTO_SBUF losses = { 0 };
	struct digest d = digest_of("loose");
	char want[300], text[DIGEST_TEXT_MAX];

	(void)state;
	begin(0);
	push_blob(st, "a", "loose");
	push_blob(st, "b", "loose");
	push_blob(st, "a", "other");
	lose_index();
	remove_blob(&d);
	assert_int_equal(rebuild(&losses).losses, 2);
	digest_text(&d, text);
	(void)snprintf(want, sizeof(want), "blob a@%s\nblob b@%s\n", text, text);
	assert_string_equal(losses.p, want);
	st = gc_store_of(root, 0);
	assert_false(gc_has_blob(st, "a", "loose"));
	assert_true(gc_has_blob(st, "a", "other"));
	end();
}

/* A layer that is lost takes its manifest's wholeness, and says so; pushed again it is whole. */
static void test_layer_lost(void **state)
{
	AUTO_SBUF losses = { 0 };
	struct digest layer = digest_of(LAYER_TEXT), d, at;

	(void)state;
	begin(0);
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	lose_index();
	remove_blob(&layer);
	assert_int_equal(rebuild(&losses).losses, 1);
	assert_true(str_starts(text_of(&losses), STR("blob a@")));
	st = gc_store_of(root, 0);
	at = gc_tag(st, "a", "v1");
	assert_true(digest_eq(&at, &d));
	push_blob(st, "a", LAYER_TEXT);
	assert_null(gc_why_not_whole(st, "a", &d));
	end();
}

int main(void)
{
	UNIT_TABLE("a thousand changes", test_history, pasts);
	unit_case("an index that is not lost", test_not_lost);
	unit_case("a root that is in use, or none", test_in_use);
	unit_case("the trash", test_trash);
	unit_case("torn at every byte of the last records", test_torn);
	unit_case("a spoilt line", test_spoilt_line);
	unit_case("without the first file of the log", test_no_first_segment);
	UNIT_TABLE("a manifest's file is", test_manifest_lost, lost);
	unit_case("lost and found again", test_lost_and_found);
	unit_case("a blob's file is gone", test_blob_lost);
	unit_case("a layer's file is gone", test_layer_lost);
	return unit_run();
}
