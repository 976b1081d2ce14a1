/* Faults of files, uploads and the reflog: each is planted, found by its name, and gone after a repair that claims to mend it. */
#include <sys/stat.h>
#include <unistd.h>

#include "storage/blob.h"
#include "storage/store_impl.h"
#include "storage/upload.h"
#include "tests/lib/gc_fixture.h"
#include "tests/lib/index_fixture.h"
#include "tests/lib/unit.h"

static struct store *st;
static const char *root;
static struct digest image, layer;

static void begin(void)
{
	root = unit_dir();
	st = gc_store_of(root, 0);
	image = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	layer = digest_of(LAYER_TEXT);
}

static void expect_faults(bool repair, const char *want)
{
	AUTO_SBUF found = gc_faults(st, repair);

	unit_assert_str(text_of(&found), str_of(want), __FILE__, __LINE__);
}

#define NAME_TEXT_MAX 600
static const char *name_of(const struct digest *d)
{
	static char name[NAME_TEXT_MAX];
	char at[BLOB_PATH_MAX];

	blob_path(d, at);
	(void)snprintf(name, sizeof(name), "blobs/sha256/%s", at);
	return name;
}

static const char *path_of(const char *name)
{
	static char path[NAME_TEXT_MAX + 100];

	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	return path;
}

static void no_file(void)
{
	MUST(unlink(path_of(name_of(&layer))) == 0);
}

static void no_file_of_a_manifest(void)
{
	MUST(unlink(path_of(name_of(&image))) == 0);
}

static void short_file(void)
{
	MUST(truncate(path_of(name_of(&layer)), 1) == 0);
}

static void short_file_of_a_manifest(void)
{
	MUST(truncate(path_of(name_of(&image)), 1) == 0);
}

static void directory(void)
{
	no_file();
	MUST(mkdir(path_of(name_of(&layer)), 0700) == 0);
}

static void known_damage(void)
{
	const struct object_row row = { .size_bytes = strlen(LAYER_TEXT), .damaged_ms = 5 };
	struct key key = content_key(&layer, CONTENT_OBJECT);
	struct row v;

	object_row_pack(&v, &row);
	index_put_raw(store_index(st), KV_CONTENT, key_str(&key), row_str(&v));
}

static void stray_file(void)
{
	struct digest d = digest_of("stray");

	file_write(root, name_of(&d), STR("stray"));
}

static void foreign_file(void)
{
	file_write(root, "blobs/sha256/00/notes.txt", STR("notes"));
}

/* A digest's name in a directory that is not its own. */
static void misplaced_file(void)
{
	struct digest d = digest_of("stray");
	char name[NAME_TEXT_MAX], hex[DIGEST_HEX_MAX + 1];

	(void)snprintf(name, sizeof(name), "blobs/sha256/%02x/%s", (d.bytes[0] + 1) & 0xff,
		       digest_hex(&d, hex));
	file_write(root, name, STR("stray"));
}

/* The row of a link's object, and it alone: the file is sound, or it is not. */
static void lost_row(void)
{
	struct key key = content_key(&layer, CONTENT_OBJECT);

	index_delete_raw(store_index(st), KV_CONTENT, key_str(&key));
}

static void lost_row_and_spoilt_file(void)
{
	lost_row();
	short_file();
}

static struct upload_id open_upload(void)
{
	struct repo_name r = repo_of("a");
	struct upload_id id;
	struct err e;

	assert_ok(upload_create(st, &r, DIGEST_SHA256, &id, &e), &e);
	return id;
}

static void session_without_file(void)
{
	struct upload_id id = open_upload();
	char text[UPLOAD_ID_TEXT_MAX], name[NAME_TEXT_MAX];

	(void)snprintf(name, sizeof(name), "uploads/%s", upload_id_text(&id, text));
	MUST(unlink(path_of(name)) == 0);
}

static void session_with_file(void)
{
	(void)open_upload();
}

/* Times of files cannot be set back, but that of giving up can. */
static void long_ago(void)
{
	st->options.uploads_idle_ms = 0 - (uint64_t)10000;
}

static void stray_upload(void)
{
	long_ago();
	file_write(root, "uploads/01234567-89ab-4cde-8f01-23456789abcd", STR("half"));
}

static void young_upload(void)
{
	file_write(root, "uploads/01234567-89ab-4cde-8f01-23456789abcd", STR("half"));
}

static void stray_pending(void)
{
	struct upload_id id;
	char name[NAME_TEXT_MAX], pending[BLOB_FILE_NAME_MAX];

	long_ago();
	upload_id_new(&id);
	blob_pending_name(&layer, &id, pending);
	(void)snprintf(name, sizeof(name), "uploads/%s", pending);
	file_write(root, name, STR(LAYER_TEXT));
}

/* A name that is none of ours is let be. */
static void other_name(void)
{
	long_ago();
	file_write(root, "uploads/README", STR("hello"));
}

static void spoilt_record(void)
{
	AUTO_SBUF log = file_read(root, "reflog/1.jsonl");

	log.p[0] = 'x';
	file_write(root, "reflog/1.jsonl", text_of(&log));
}

static void no_reflog(void)
{
	MUST(unlink(path_of("reflog/1.jsonl")) == 0);
}

static const struct plant {
	const char *name;
	void (*fn)(void);
	const char *found; /* by name */
	const char *left;  /* after a repair */
} plants[] = {
	{ "no file", no_file, "missing-file", "missing-file" },
	{ "no file of a manifest", no_file_of_a_manifest, "missing-file", "" },
	{ "a file of another size", short_file, "wrong-size", "wrong-size" },
	{ "a manifest's of another size", short_file_of_a_manifest, "wrong-size", "" },
	{ "a directory", directory, "wrong-size", "wrong-size" },
	{ "known to be damaged", known_damage, "damaged-file", "damaged-file" },
	{ "a stray file", stray_file, "stray-file", "" },
	{ "a foreign file", foreign_file, "foreign-file", "foreign-file" },
	{ "a digest elsewhere", misplaced_file, "foreign-file", "foreign-file" },
	{ "a row that was lost, of a spoilt file", lost_row_and_spoilt_file,
	  "link-without-content wrong-totals lost-object wrong-usage",
	  "link-without-content lost-object" },
	{ "a session without its file", session_without_file, "upload-without-file", "" },
	{ "a session with its file", session_with_file, "", "" },
	{ "a stray upload", stray_upload, "stray-upload", "" },
	{ "an upload under way", young_upload, "", "" },
	{ "a stray file on its way", stray_pending, "stray-upload", "" },
	{ "another name", other_name, "", "" },
	{ "a record that is spoilt", spoilt_record, "bad-reflog", "bad-reflog" },
	{ "no reflog", no_reflog, "bad-reflog", "bad-reflog" },
};

static void test_plant(void **state)
{
	const struct plant *row = *state;

	begin();
	expect_faults(false, "");
	row->fn();
	expect_faults(false, row->found);
	expect_faults(true, row->found);
	expect_faults(false, row->left);
	if (row->left[0] == '\0') {
		const char *why = gc_why_not_whole(st, "a", &image);

		assert_string_equal(why ? why : "", "");
	}
	store_close(&st);
}

/* With the row its repository's use is right again, so that a repair does not find it wrong. */
static void test_lost_row(void **state)
{
	(void)state;
	begin();
	lost_row();
	expect_faults(false, "link-without-content wrong-totals lost-object wrong-usage");
	expect_faults(true, "link-without-content wrong-totals lost-object");
	expect_faults(false, "");
	store_close(&st);
}

/* What cannot be mended is known from then on: it is not served, nor mounted, nor relied upon, until it is pushed again. */
static void test_missing_is_marked(void **state)
{
	struct repo_name a = repo_of("a"), b = repo_of("b");
	struct blob_info info;
	struct err e;

	(void)state;
	begin();
	no_file();
	expect_faults(true, "missing-file");
	assert_ok(index_blob_find(store_index(st), &a, &layer, &info, &e), &e);
	assert_true(info.is_damaged);
	assert_err(repo_blob_mount(st, &b, &a, &layer, NULL, &e), ERR_NOT_FOUND, &e, "no source");
	push_blob(st, "a", LAYER_TEXT);
	expect_faults(false, "");
	assert_ok(index_blob_find(store_index(st), &a, &layer, &info, &e), &e);
	assert_false(info.is_damaged);
	store_close(&st);
}

/* K2: what nothing refers to is moved, not deleted. */
static void test_stray_is_kept(void **state)
{
	struct digest d = digest_of("stray");
	char name[NAME_TEXT_MAX], hex[DIGEST_HEX_MAX + 1];
	AUTO_SBUF moved = { 0 };

	(void)state;
	begin();
	stray_file();
	expect_faults(true, "stray-file");
	(void)snprintf(name, sizeof(name), "trash/sha256-%s", digest_hex(&d, hex));
	moved = file_read(root, name);
	assert_string_equal(moved.p, "stray");
	assert_false(gc_has_file(st, &d));
	store_close(&st);
}

/* K1: content that somebody publishes or collects right now is no fault, whatever it looks like. */
static void test_under_way(void **state)
{
	struct digest d = digest_of("stray");
	struct publisher stray, known;

	(void)state;
	begin();
	stray_file();
	no_file();
	assert_true(blob_claim(st, &d, &stray));
	assert_true(blob_claim(st, &layer, &known));
	expect_faults(true, "");
	blob_unclaim(st, &stray);
	blob_unclaim(st, &known);
	expect_faults(false, "missing-file stray-file");
	store_close(&st);
}

/* A session that a request works on keeps its row. */
static void test_session_in_use(void **state)
{
	struct upload_id id;
	char text[UPLOAD_ID_TEXT_MAX], name[NAME_TEXT_MAX];
	struct repo_name r = repo_of("a");
	AUTO_UPLOAD *u = NULL;
	struct err e;

	(void)state;
	begin();
	id = open_upload();
	assert_ok(upload_take(st, &r, &id, &u, &e), &e);
	(void)snprintf(name, sizeof(name), "uploads/%s", upload_id_text(&id, text));
	MUST(unlink(path_of(name)) == 0);
	expect_faults(true, "");
	upload_release(&u);
	expect_faults(true, "upload-without-file");
	expect_faults(false, "");
	store_close(&st);
}

int main(void)
{
	UNIT_TABLE("planted", test_plant, plants);
	unit_case("a row that was lost", test_lost_row);
	unit_case("what is missing is marked", test_missing_is_marked);
	unit_case("a stray file is kept", test_stray_is_kept);
	unit_case("under way is no fault", test_under_way);
	unit_case("a session in use", test_session_in_use);
	return unit_run();
}
