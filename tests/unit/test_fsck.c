/* Every fault that fsck can tell of is planted, found by its name, and gone after a repair that claims to mend it. */
#include <sys/stat.h>
#include <unistd.h>

#include "storage/blob.h"
#include "storage/fsck.h"
#include "storage/store_impl.h"
#include "storage/upload.h"
#include "tests/lib/gc_fixture.h"
#include "tests/lib/index_fixture.h"
#include "tests/lib/unit.h"

#define OTHER 77 /* a repository's number that there is not */

/* One store, and what is in it. */
static struct store *st;
static const char *root;
static uint64_t a; /* the repository */
static struct digest image, untagged, referrer, config, layer, loose, deleted, deleted_image;

static struct sbuf referrer_of(const struct digest *subject, size_t size)
{
	char extra[256 + DIGEST_TEXT_MAX], text[DIGEST_TEXT_MAX];

	(void)snprintf(extra, sizeof(extra),
		       ",\"artifactType\":\"application/x-note\",\"subject\":{\"mediaType\":"
		       "\"" MEDIA_OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":%zu}",
		       digest_text(subject, text), size);
	return gc_image(CONFIG_TEXT, LAYER_TEXT, extra);
}

static struct digest put_text(struct str body, const char *tag)
{
	push_manifest(st, "a", body, MEDIA_OCI_MANIFEST, tag);
	return digest_of_bytes(DIGEST_SHA256, body);
}

static struct digest put_noted(const char *note, const char *tag)
{
	AUTO_SBUF b = small_image(note);

	return put_text(text_of(&b), tag);
}

static void fill(void)
{
	struct repo_name r = repo_of("a");
	AUTO_SBUF first = small_image("first"), noted = { .max = SBUF_MAX };
	struct err e;

	config = digest_of(CONFIG_TEXT);
	layer = digest_of(LAYER_TEXT);
	loose = digest_of("loose");
	deleted = digest_of("deleted");
	push_blob(st, "a", CONFIG_TEXT);
	push_blob(st, "a", LAYER_TEXT);
	push_blob(st, "a", "loose");
	push_blob(st, "a", "deleted");
	image = put_text(text_of(&first), "v1");
	untagged = put_noted("untagged", NULL);
	deleted_image = put_noted("deleted", NULL);
	noted = referrer_of(&image, first.n);
	referrer = put_text(text_of(&noted), NULL);
	assert_ok(repo_blob_delete(st, &r, &deleted, NULL, &e), &e);
	assert_ok(repo_manifest_delete(st, &r, &deleted_image, NULL, &e), &e);
	a = repo_id(store_index(st), "a");
}

static void begin(void)
{
	root = unit_dir();
	st = gc_store_of(root, GC_TRASH_MS);
	fill();
}

static void expect_faults(const char *want)
{
	AUTO_SBUF found = gc_faults(st, false);

	unit_assert_str(text_of(&found), str_of(want), __FILE__, __LINE__);
}

static void repair(void)
{
	AUTO_SBUF told = gc_faults(st, true);

	assert_int_not_equal(told.n, 0);
}

/* --- planting --- */

static void put_row(enum kv_table table, struct key key, struct str value)
{
	index_put_raw(store_index(st), table, key_str(&key), value);
}

static void drop_row(enum kv_table table, struct key key)
{
	index_delete_raw(store_index(st), table, key_str(&key));
}

static struct key name_key(uint64_t repo)
{
	struct key k = { 0 };

	key_u64(&k, repo);
	return k;
}

static struct key tag_key(uint64_t repo, const char *tag)
{
	struct key k = name_key(repo);

	key_text(&k, str_of(tag));
	return k;
}

static struct key tagged_key(const struct digest *d, const char *tag)
{
	struct key k = entry_key(a, d, ENTRY_TAGGED);

	key_text(&k, str_of(tag));
	return k;
}

static struct key place_key(const struct digest *d, uint64_t repo)
{
	struct key k = content_key(d, CONTENT_PLACE);

	key_u64(&k, repo);
	return k;
}

static struct key trash_hold_key(const struct digest *d, uint64_t id)
{
	struct key k = content_key(d, CONTENT_TRASH);

	key_u64(&k, id);
	return k;
}

static uint64_t manifest_id(const struct digest *d)
{
	AUTO_KV_TXN *t = NULL;
	struct manifest_row row;
	struct str refs;
	struct err e;

	assert_ok(kv_read_begin(store_index(st)->kv, &t, &e), &e);
	assert_ok(index_get_manifest(t, a, d, &row, &refs, &e), &e);
	return row.id;
}

static struct key held_key(const struct digest *d, uint64_t id)
{
	struct key k = entry_key(a, d, ENTRY_HELD);

	key_u64(&k, id);
	return k;
}

static struct key held_value(const struct digest *holder)
{
	struct key k = { 0 };

	key_u8(&k, REF_LAYER);
	key_digest(&k, holder);
	return k;
}

static struct key upload_key(void)
{
	struct upload_id id = { .bytes = "0123456789abcde" };
	struct key k = { 0 };

	key_upload(&k, &id);
	return k;
}

/* The value that a row of this table and key has now. */
static void review_row_of(const struct digest *d, struct review_row *ret)
{
	struct review_row rows[COLLECT_MAX];
	struct err e;
	size_t n;

	assert_ok(index_review_page(store_index(st), NULL, UINT64_MAX, COLLECT_MAX, rows, &n, &e),
		  &e);
	for (size_t i = 0; i < n; i++) {
		if (digest_eq(&rows[i].digest, d)) {
			*ret = rows[i];
			return;
		}
	}
	fail();
}

static const struct digest zero = { .alg = DIGEST_SHA256 };

static void bad_repo(void)
{
	index_put_raw(store_index(st), KV_REPO, STR("b"), STR("?"));
}

static void bad_repo_in_use(void)
{
	index_put_raw(store_index(st), KV_REPO, STR("a"), STR("?"));
}

static void bad_name(void)
{
	put_row(KV_REPO_NAME, name_key(OTHER), STR("No Name"));
}

static void bad_tag(void)
{
	put_row(KV_TAG, tag_key(a, "v2"), STR("?"));
}

static void bad_link(void)
{
	put_row(KV_ENTRY, entry_key(a, &loose, ENTRY_LINK), STR("?"));
}

static void bad_manifest(void)
{
	put_row(KV_ENTRY, entry_key(a, &untagged, ENTRY_MANIFEST), STR("?"));
}

static void bad_tagged(void)
{
	put_row(KV_ENTRY, tagged_key(&image, "v1"), STR("?"));
}

static void bad_held(void)
{
	put_row(KV_ENTRY, held_key(&layer, manifest_id(&image)), STR("?"));
}

static void bad_referrer(void)
{
	put_row(KV_ENTRY, referrer_key(a, &image, "application/x-note", &referrer), STR("?"));
}

static void bad_pointer(void)
{
	put_row(KV_ENTRY, entry_key(a, &loose, ENTRY_REVIEW), STR("?"));
}

static void bad_entry(void)
{
	put_row(KV_ENTRY, entry_key(a, &loose, (enum entry_kind)9), STR(""));
}

static void bad_object(void)
{
	put_row(KV_CONTENT, content_key(&loose, CONTENT_OBJECT), STR("?"));
}

static void bad_content(void)
{
	put_row(KV_CONTENT, content_key(&loose, (enum content_kind)9), STR(""));
}

static void bad_review(void)
{
	struct key k = tag_key(1, "?");

	put_row(KV_REVIEW, k, STR("?"));
}

static void bad_trash(void)
{
	put_row(KV_TRASH, name_key(OTHER), STR("?"));
}

static void bad_upload(void)
{
	put_row(KV_UPLOAD, upload_key(), STR("?"));
}

static void bad_doomed(void)
{
	put_row(KV_DOOMED, name_key(OTHER), STR(""));
}

static void no_name(void)
{
	drop_row(KV_REPO_NAME, name_key(a));
}

static void no_repository_of_a_name(void)
{
	index_delete_raw(store_index(st), KV_REPO, STR("a"));
}

/* Another one of the same name: which of the two is meant nobody can tell. */
static void other_repository_of_a_name(void)
{
	const struct repo_row row = { .id = OTHER, .created_ms = 1 };
	struct row v;

	repo_row_pack(&v, &row);
	index_put_raw(store_index(st), KV_REPO, STR("a"), row_str(&v));
	put_row(KV_REPO_NAME, name_key(OTHER), STR("a"));
}

static void no_repository(void)
{
	put_row(KV_REPO_NAME, name_key(OTHER), STR("gone"));
}

static void tag_to_nothing(void)
{
	struct tag_row row = { .digest = zero, .pushed_ms = 1 };
	struct row v;

	tag_row_pack(&v, &row);
	put_row(KV_TAG, tag_key(a, "lost"), row_str(&v));
}

static void no_tagged(void)
{
	drop_row(KV_ENTRY, tagged_key(&image, "v1"));
}

static void tagged_by_nothing(void)
{
	put_row(KV_ENTRY, tagged_key(&image, "v2"), STR(""));
}

static void no_content_of_link(void)
{
	drop_row(KV_CONTENT, content_key(&loose, CONTENT_OBJECT));
}

static void no_content_of_manifest(void)
{
	drop_row(KV_CONTENT, content_key(&untagged, CONTENT_OBJECT));
}

static void entry_of_nobody(void)
{
	struct row v;

	u64_pack(&v, 1);
	put_row(KV_ENTRY, entry_key(OTHER, &loose, ENTRY_LINK), row_str(&v));
}

static void no_place(void)
{
	drop_row(KV_CONTENT, place_key(&layer, a));
}

static void half_a_place(void)
{
	put_row(KV_CONTENT, place_key(&image, a), STR("\1a"));
}

static void place_of_another_name(void)
{
	put_row(KV_CONTENT, place_key(&image, a), STR("\2b"));
}

static void place_of_nobody(void)
{
	put_row(KV_CONTENT, place_key(&layer, OTHER), STR("\1gone"));
}

static void place_of_nothing(void)
{
	put_row(KV_CONTENT, place_key(&deleted, a), STR("\1a"));
}

/* The same where it is all that stands between the content and its collection. */
static void last_place_of_nothing(void)
{
	struct key key = place_key(&zero, a);
	struct row v;
	const struct object_row object = { .size_bytes = 5 };

	put_row(KV_CONTENT, key, STR("\1a"));
	object_row_pack(&v, &object);
	put_row(KV_CONTENT, content_key(&zero, CONTENT_OBJECT), row_str(&v));
}

static void no_review(void)
{
	struct review_row row;

	review_row_of(&loose, &row);
	drop_row(KV_REVIEW, review_key(&row));
	drop_row(KV_ENTRY, entry_key(a, &loose, ENTRY_REVIEW));
}

static void pointer_to_nothing(void)
{
	struct review_row row;

	review_row_of(&loose, &row);
	drop_row(KV_REVIEW, review_key(&row));
}

static void review_without_pointer(void)
{
	drop_row(KV_ENTRY, entry_key(a, &loose, ENTRY_REVIEW));
}

static void review_of_nothing(void)
{
	struct review_row row = { .due_ms = 1, .repo = a, .digest = zero, .why = REVIEW_FREE };
	struct row v;

	review_row_pack(&v, &row);
	put_row(KV_REVIEW, review_key(&row), row_str(&v));
}

static void content_pointer_to_nothing(void)
{
	struct row v;

	u64_pack(&v, 1);
	put_row(KV_CONTENT, content_key(&layer, CONTENT_REVIEW), row_str(&v));
}

/* What a manifest refers to is no blob of the repository any more. */
static void no_link(void)
{
	drop_row(KV_ENTRY, entry_key(a, &layer, ENTRY_LINK));
	drop_row(KV_CONTENT, place_key(&layer, a));
}

static void no_link_and_no_content(void)
{
	no_link();
	drop_row(KV_CONTENT, content_key(&layer, CONTENT_OBJECT));
}

static void no_held(void)
{
	drop_row(KV_ENTRY, held_key(&layer, manifest_id(&image)));
}

static void held_by_nothing(void)
{
	struct key value = held_value(&zero);

	put_row(KV_ENTRY, held_key(&loose, OTHER), key_str(&value));
}

static void held_by_who_does_not(void)
{
	struct key value = held_value(&image);

	put_row(KV_ENTRY, held_key(&loose, manifest_id(&image)), key_str(&value));
}

static void no_referrer(void)
{
	drop_row(KV_ENTRY, referrer_key(a, &image, "application/x-note", &referrer));
}

static void no_referrer_nor_bytes(void)
{
	no_referrer();
	drop_row(KV_CONTENT, content_key(&referrer, CONTENT_BYTES));
}

static void referrer_of_another(void)
{
	AUTO_SBUF v = { .max = 100 };

	referrer_pack(&v, STR("application/x-note"), STR("{}"));
	put_row(KV_ENTRY, referrer_key(a, &untagged, "application/x-note", &referrer), text_of(&v));
}

static void content_of_nobody(void)
{
	drop_row(KV_CONTENT, trash_hold_key(&deleted, gc_trash_id(st, &deleted)));
	drop_row(KV_TRASH, name_key(gc_trash_id(st, &deleted)));
	drop_row(KV_CONTENT, content_key(&deleted, CONTENT_REVIEW));
	for (;;) {
		struct review_row rows[COLLECT_MAX];
		struct err e;
		size_t n, i = 0;

		assert_ok(
		    index_review_page(store_index(st), NULL, UINT64_MAX, COLLECT_MAX, rows, &n, &e),
		    &e);
		while (i < n && !digest_eq(&rows[i].digest, &deleted))
			i++;
		if (i == n)
			return;
		drop_row(KV_REVIEW, review_key(&rows[i]));
	}
}

static void bytes_of_nothing(void)
{
	put_row(KV_CONTENT, content_key(&zero, CONTENT_BYTES), STR("bytes"));
}

static void other_bytes(void)
{
	put_row(KV_CONTENT, content_key(&image, CONTENT_BYTES), STR("other bytes"));
}

static void hold_of_nothing(void)
{
	put_row(KV_CONTENT, trash_hold_key(&layer, OTHER), STR(""));
}

static void hold_of_another(void)
{
	put_row(KV_CONTENT, trash_hold_key(&loose, gc_trash_id(st, &deleted)), STR(""));
}

static void no_hold(void)
{
	drop_row(KV_CONTENT, trash_hold_key(&deleted, gc_trash_id(st, &deleted)));
}

static void no_hold_of_a_layer(void)
{
	drop_row(KV_CONTENT, trash_hold_key(&layer, gc_trash_id(st, &deleted_image)));
}

static void other_usage(void)
{
	const struct usage_row v = { .bytes = 1, .objects = 1, .tags = 1 };
	struct key key = { 0 };
	struct row r;

	key_u64(&key, repo_id(store_index(st), "a"));
	usage_row_pack(&r, &v);
	index_put_raw(store_index(st), KV_USAGE, key_str(&key), row_str(&r));
}

static void usage_of_nobody(void)
{
	const struct usage_row v = { .bytes = 1 };
	struct key key = { 0 };
	struct row r;

	key_u64(&key, 77);
	usage_row_pack(&r, &v);
	index_put_raw(store_index(st), KV_USAGE, key_str(&key), row_str(&r));
}

static void other_totals(void)
{
	const struct totals v = { .objects = 1, .bytes = 1 };
	struct row r;

	totals_pack(&r, &v);
	index_put_raw(store_index(st), KV_META, TOTALS_KEY, row_str(&r));
}

/* --- each of them --- */

static const struct plant {
	const char *name;
	void (*fn)(void);
	const char *found; /* by name */
	const char *left;  /* after a repair */
} plants[] = {
	{ "a repository", bad_repo, "bad-value", "bad-value" },
	{ "a repository that is used", bad_repo_in_use, "bad-value leads-to-bad-value",
	  "bad-value leads-to-bad-value" },
	{ "a repository's name", bad_name, "bad-value", "bad-value" },
	{ "a tag", bad_tag, "bad-value wrong-usage", "bad-value" },
	{ "a link", bad_link, "bad-value", "bad-value" },
	{ "a manifest", bad_manifest, "leads-to-bad-value bad-value leads-to-bad-value",
	  "leads-to-bad-value bad-value leads-to-bad-value" },
	{ "a tag of a manifest", bad_tagged, "bad-value", "bad-value" },
	{ "a holder", bad_held, "bad-value", "bad-value" },
	{ "a referrer", bad_referrer, "bad-value", "bad-value" },
	{ "a pointer to the queue", bad_pointer, "bad-value orphan-review", "bad-value" },
	{ "an entry of no kind", bad_entry, "bad-value", "bad-value" },
	{ "an object", bad_object, "leads-to-bad-value bad-value wrong-totals leads-to-bad-value",
	  "leads-to-bad-value bad-value leads-to-bad-value" },
	{ "content of no kind", bad_content, "bad-value", "bad-value" },
	{ "a row of the queue", bad_review, "bad-value", "bad-value" },
	{ "a row of the trash", bad_trash, "bad-value", "bad-value" },
	{ "an upload", bad_upload, "bad-value", "bad-value" },
	{ "a tombstone", bad_doomed, "bad-value", "bad-value" },
	{ "no name", no_name,
	  "repository-without-name entry-without-repository place-without-repository "
	  "orphan-usage",
	  "" },
	{ "no repository", no_repository, "name-without-repository", "" },
	{ "no repository of a name", no_repository_of_a_name, "name-without-repository", "" },
	{ "another repository of a name", other_repository_of_a_name, "name-without-repository",
	  "name-without-repository" },
	{ "a tag of nothing", tag_to_nothing, "tag-without-manifest wrong-usage",
	  "tag-without-manifest" },
	{ "a manifest without its tag", no_tagged, "missing-tagged missing-review", "" },
	{ "a tag that there is not", tagged_by_nothing, "orphan-tagged", "" },
	{ "a link of nothing", no_content_of_link,
	  "link-without-content wrong-totals lost-object wrong-usage", "" },
	{ "a manifest of nothing", no_content_of_manifest,
	  "manifest-without-content orphan-bytes wrong-totals lost-object wrong-usage", "" },
	{ "an entry of nobody", entry_of_nobody, "entry-without-repository", "" },
	{ "no place", no_place, "missing-place", "" },
	{ "half a place", half_a_place, "missing-place wrong-place", "" },
	{ "a place of another name", place_of_another_name, "wrong-place", "" },
	{ "a place of nobody", place_of_nobody, "place-without-repository", "" },
	{ "a place of nothing", place_of_nothing, "wrong-place", "" },
	{ "the last place, of nothing", last_place_of_nothing,
	  "wrong-place wrong-totals missing-file", "missing-file" },
	{ "not in the queue", no_review, "missing-review", "" },
	{ "a pointer without a row", pointer_to_nothing, "orphan-review", "" },
	{ "a row without a pointer", review_without_pointer, "missing-review orphan-review", "" },
	{ "a row of nothing", review_of_nothing, "orphan-review", "" },
	{ "a pointer of content without a row", content_pointer_to_nothing, "orphan-review", "" },
	{ "no link", no_link, "dangling-reference wrong-usage", "" },
	{ "no link and no content", no_link_and_no_content,
	  "dangling-reference wrong-totals stray-file wrong-usage", "dangling-reference" },
	{ "a reference without its holder", no_held, "missing-held", "" },
	{ "held by nothing", held_by_nothing, "orphan-held", "" },
	{ "held by who does not", held_by_who_does_not, "orphan-held", "" },
	{ "no referrer", no_referrer, "missing-referrer", "" },
	{ "no referrer, nor its bytes", no_referrer_nor_bytes, "missing-referrer",
	  "missing-referrer" },
	{ "a referrer of another", referrer_of_another, "orphan-referrer", "" },
	{ "content of nobody", content_of_nobody, "orphan-content", "" },
	{ "bytes of nothing", bytes_of_nothing, "orphan-bytes", "" },
	{ "other bytes", other_bytes, "wrong-bytes", "" },
	{ "held by no row of the trash", hold_of_nothing, "orphan-trash-hold", "" },
	{ "held by another row of the trash", hold_of_another, "orphan-trash-hold", "" },
	{ "not held by the trash", no_hold, "missing-trash-hold", "" },
	{ "a layer not held by the trash", no_hold_of_a_layer, "missing-trash-hold", "" },
	{ "totals", other_totals, "wrong-totals", "" },
	{ "the use of a repository", other_usage, "wrong-usage", "" },
	{ "the use of nobody", usage_of_nobody, "orphan-usage", "" },
};

/* Names of one check, in its order.  A repair may bring to light what follows from a fault. */
static void test_plant(void **state)
{
	const struct plant *row = *state;

	begin();
	expect_faults("");
	row->fn();
	expect_faults(row->found);
	repair();
	expect_faults(row->left);
	if (row->left[0] == '\0') { /* what was acknowledged is there */
		struct digest at = gc_tag(st, "a", "v1");
		const char *why = gc_why_not_whole(st, "a", &at);

		assert_true(digest_eq(&at, &image));
		assert_string_equal(why ? why : "", "");
		assert_true(gc_has_blob(st, "a", "loose"));
		gc_collect_all(st);
		expect_faults("");
	}
	store_close(&st);
}

/* Faults are told of as they come, until somebody has had enough. */
static bool enough(void *arg, const struct fsck_fault *f)
{
	(void)f;
	return ++*(unsigned *)arg < 2;
}

static void test_stopped(void **state)
{
	struct fsck_result result;
	unsigned told = 0;
	struct err e;

	(void)state;
	begin();
	no_tagged();
	no_held();
	no_review();
	assert_ok(store_fsck(st, true, enough, &told, &result, &e), &e);
	assert_int_equal(told, 2);
	assert_int_equal(result.faults, 2);
	assert_int_equal(result.repaired, 2);
	store_close(&st);
}

/* What it says about a fault is for people. */
struct said {
	const char *name, *where;
	char what[INDEX_FAULT_TEXT_MAX];
	bool can_repair, repaired;
};

static bool note_said(void *arg, const struct fsck_fault *f)
{
	struct said *s = arg;

	s->name = f->name;
	s->where = f->where;
	memcpy(s->what, f->what, sizeof(s->what));
	s->can_repair = f->can_repair;
	s->repaired = f->repaired;
	return false;
}

static const struct saying {
	const char *name;
	void (*fn)(void);
	const char *where, *what;
	bool can_repair;
} sayings[] = {
	{ "a repository by its name", no_name, "repo", "a", true },
	{ "a tag", tag_to_nothing, "tag", "a:lost", false },
	{ "an entry", held_by_nothing, "entry", "a@sha256:", true },
	{ "an entry of nobody", entry_of_nobody, "entry", "77@sha256:", true },
	{ "content", other_bytes, "content", "sha256:", true },
	{ "another key in hexadecimal", no_repository, "repo-name", "000000000000004d", true },
	{ "totals", other_totals, "meta", "totals", true },
	{ "a sum by its repository", other_usage, "usage", "a", true },
};

static void test_saying(void **state)
{
	const struct saying *row = *state;
	struct fsck_result result;
	struct said said = { 0 };
	struct err e;

	begin();
	row->fn();
	assert_ok(store_fsck(st, false, note_said, &said, &result, &e), &e);
	assert_string_equal(said.where, row->where);
	assert_true(str_starts(str_of(said.what), str_of(row->what)));
	assert_int_equal(said.can_repair, row->can_repair);
	assert_false(said.repaired);
	assert_int_equal(result.faults, 1);
	store_close(&st);
}

int main(void)
{
	UNIT_TABLE("planted", test_plant, plants);
	UNIT_TABLE("told of", test_saying, sayings);
	unit_case("stopped", test_stopped);
	return unit_run();
}
