#include "storage/trash.h"

#include "base/clock.h"
#include "storage/store_impl.h"
#include "tests/lib/gc_fixture.h"
#include "tests/lib/index_fixture.h"
#include "tests/lib/unit.h"

static struct store *st;

static void begin(uint64_t trash_keep_ms)
{
	st = gc_store_of(unit_dir(), trash_keep_ms);
}

static void end(void)
{
	AUTO_SBUF faults = gc_faults(st, false);

	assert_string_equal(faults.p, "");
	store_close(&st);
}

static void delete_manifest(const struct digest *d)
{
	struct repo_name r = repo_of("a");
	struct err e;

	assert_ok(repo_manifest_delete(st, &r, d, NULL, &e), &e);
}

static void delete_blob(const char *text)
{
	struct repo_name r = repo_of("a");
	struct digest d = digest_of(text);
	struct err e;

	assert_ok(repo_blob_delete(st, &r, &d, NULL, &e), &e);
}

static void delete_tag(const char *tag)
{
	struct repo_name r = repo_of("a");
	struct tag_name t = tag_of(tag);
	struct err e;

	assert_ok(repo_tag_delete(st, &r, &t, NULL, &e), &e);
}

static void restore(const struct digest *d)
{
	struct err e;

	assert_ok(trash_restore(st, gc_trash_id(st, d), NULL, &e), &e);
}

static size_t expire(uint64_t before_ms, size_t n)
{
	size_t removed = 0;
	struct err e;

	assert_ok(trash_expire(st, before_ms, n, &removed, &e), &e);
	return removed;
}

static bool tag_is(const char *tag, const struct digest *d)
{
	struct digest at = gc_tag(st, "a", tag);

	return digest_eq(&at, d);
}

/* --- what goes into it --- */

static void test_rows(void **state)
{
	AUTO_TRASH_ITEM item = { 0 };
	uint64_t before = steady_ms();
	struct str tags;
	struct tag_name tag;
	struct manifest_ref ref;
	struct str refs;
	struct digest d;
	struct err e;

	(void)state;
	begin(GC_TRASH_MS);
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	(void)gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v2");
	delete_manifest(&d);
	assert_ok(index_trash_next(store_index(st), 0, &item, &e), &e);
	assert_int_equal(item.row.kind, TRASH_MANIFEST);
	assert_false(item.row.by_gc);
	assert_true(digest_eq(&item.row.digest, &d));
	assert_string_equal(item.row.repo.s, "a");
	assert_string_equal(item.row.media_type, MEDIA_OCI_MANIFEST);
	assert_in_range(item.row.at_ms, before, steady_ms());
	tags = text_of(&item.tags);
	assert_true(tag_next(&tags, &tag));
	assert_string_equal(tag.s, "v1");
	assert_true(tag_next(&tags, &tag));
	assert_string_equal(tag.s, "v2");
	refs = text_of(&item.refs);
	assert_true(refs_next(&refs, &ref) && refs_next(&refs, &ref) && refs.n == 0);
	gc_collect_all(st); /* the blobs go to it as well, by gc */
	assert_int_equal(gc_trash_rows(st), 3);
	trash_item_clear(&item);
	assert_ok(index_trash_next(store_index(st), item.row.id + 1, &item, &e), &e);
	assert_int_equal(item.row.kind, TRASH_BLOB);
	assert_true(item.row.by_gc);
	assert_true(gc_has_file(st, &d)); /* all of it is there */
	end();
}

static void test_off(void **state)
{
	struct digest d;
	struct err e;

	(void)state;
	begin(0);
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	delete_tag("v1");
	delete_manifest(&d);
	delete_blob(LAYER_TEXT);
	assert_int_equal(gc_trash_rows(st), 0);
	assert_err(trash_restore(st, 1, NULL, &e), ERR_NOT_FOUND, &e, "nothing in the trash");
	end();
}

/* --- back out of it --- */

/* Whole, though all of its parts went their own ways. */
static void test_manifest(void **state)
{
	struct digest d;

	(void)state;
	begin(GC_TRASH_MS);
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	(void)gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v2");
	delete_manifest(&d);
	gc_collect_all(st);
	assert_false(has_repo(store_index(st), "a"));
	restore(&d);
	assert_null(gc_why_not_whole(st, "a", &d));
	assert_true(tag_is("v1", &d) && tag_is("v2", &d));
	assert_int_equal(gc_trash_id(st, &d), 0);
	gc_collect_all(st);
	assert_null(gc_why_not_whole(st, "a", &d));
	end();
}

static void test_blob(void **state)
{
	struct digest d = digest_of("loose");
	struct err e;

	(void)state;
	begin(GC_TRASH_MS);
	push_blob(st, "a", "loose");
	delete_blob("loose");
	gc_collect_all(st);
	assert_false(gc_has_blob(st, "a", "loose"));
	restore(&d);
	assert_true(gc_has_blob(st, "a", "loose"));
	assert_true(gc_has_file(st, &d));
	assert_err(trash_restore(st, 1, NULL, &e), ERR_NOT_FOUND, &e, "nothing in the trash");
	end();
}

static void test_tag(void **state)
{
	struct digest d;

	(void)state;
	begin(GC_TRASH_MS);
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	delete_tag("v1");
	restore(&d);
	assert_true(tag_is("v1", &d));
	assert_int_equal(gc_trash_rows(st), 0);
	end();
}

/* A tag whose manifest followed it into the trash brings it back. */
static void test_tag_and_manifest(void **state)
{
	struct digest d;
	uint64_t tag;
	struct err e;

	(void)state;
	begin(GC_TRASH_MS);
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	delete_tag("v1");
	tag = gc_trash_id(st, &d);
	gc_collect_all(st);
	assert_false(gc_has_manifest(st, "a", &d));
	assert_ok(trash_restore(st, tag, NULL, &e), &e);
	assert_true(tag_is("v1", &d));
	assert_null(gc_why_not_whole(st, "a", &d));
	end();
}

static void test_tag_without_manifest(void **state)
{
	struct digest d;
	uint64_t tag;
	struct err e;

	(void)state;
	begin(GC_TRASH_MS);
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	delete_tag("v1");
	tag = gc_trash_id(st, &d);
	st->options.trash_keep_ms = 0; /* the manifest goes for good */
	delete_manifest(&d);
	assert_err(trash_restore(st, tag, NULL, &e), ERR_NOT_FOUND, &e, "");
	assert_true(gc_trash_id(st, &d) == tag); /* and stays */
	end();
}

/* --- names that are taken --- */

static void test_tag_taken(void **state)
{
	struct digest d, other;
	struct err e;

	(void)state;
	begin(GC_TRASH_MS);
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	delete_tag("v1");
	other = gc_push_image(st, "a", CONFIG_TEXT, "other", "v1");
	assert_err(trash_restore(st, gc_trash_id(st, &d), NULL, &e), ERR_EXISTS, &e,
		   "points to something else");
	assert_true(tag_is("v1", &other));
	assert_int_not_equal(gc_trash_id(st, &d), 0);
	end();
}

/* A manifest comes back with those of its tags that are free, be it none. */
static void test_manifest_tag_taken(void **state)
{
	struct digest d, other;

	(void)state;
	begin(GC_TRASH_MS);
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	(void)gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v2");
	delete_manifest(&d);
	other = gc_push_image(st, "a", CONFIG_TEXT, "other", "v1");
	restore(&d);
	assert_true(tag_is("v1", &other));
	assert_true(tag_is("v2", &d));
	delete_manifest(&d);
	(void)gc_push_image(st, "a", CONFIG_TEXT, "other", "v2");
	restore(&d);
	assert_true(tag_is("v2", &other));
	assert_true(gc_has_manifest(st, "a", &d));
	end();
}

/* --- indexes --- */

static void test_index(void **state)
{
	AUTO_SBUF image = gc_image(CONFIG_TEXT, LAYER_TEXT, ""), b = { 0 };
	struct digest child, index;

	(void)state;
	begin(GC_TRASH_MS);
	child = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, NULL);
	b = index_of_child(&child, image.n, "");
	push_manifest(st, "a", text_of(&b), MEDIA_OCI_INDEX, "v1");
	index = digest_of_bytes(DIGEST_SHA256, text_of(&b));
	delete_manifest(&index);
	gc_collect_all(st);
	assert_false(gc_has_manifest(st, "a", &child));
	restore(&index);
	assert_true(tag_is("v1", &index));
	assert_null(gc_why_not_whole(st, "a", &index));
	end();
}

/* A child that somebody had deleted stays deleted: the index was accepted without it, or lost it later. */
static void test_index_without_child(void **state)
{
	struct digest absent = digest_of("never pushed"), index;
	AUTO_SBUF b = index_of_child(&absent, 12, "");

	(void)state;
	begin(GC_TRASH_MS);
	push_manifest(st, "a", text_of(&b), MEDIA_OCI_INDEX, "v1");
	index = digest_of_bytes(DIGEST_SHA256, text_of(&b));
	delete_manifest(&index);
	restore(&index);
	assert_true(tag_is("v1", &index));
	assert_false(gc_has_manifest(st, "a", &absent));
	end();
}

/* As deep as indexes in indexes may be. */
static void test_depth(void **state)
{
	struct digest d, top;
	AUTO_SBUF image = gc_image(CONFIG_TEXT, LAYER_TEXT, "");
	size_t size = image.n;
	uint64_t id;
	struct err e;

	(void)state;
	begin(GC_TRASH_MS);
	d = top = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, NULL);
	for (unsigned i = 0; i < 32; i++) {
		AUTO_SBUF b = index_of_child(&top, size, "");

		push_manifest(st, "a", text_of(&b), MEDIA_OCI_INDEX, i == 31 ? "top" : NULL);
		top = digest_of_bytes(DIGEST_SHA256, text_of(&b));
		size = b.n;
	}
	delete_manifest(&top);
	gc_collect_all(st);
	assert_false(gc_has_manifest(st, "a", &d));
	id = gc_trash_id(st, &top);
	assert_err(trash_restore(st, id, NULL, &e), ERR_TOO_LARGE, &e, "nested too deeply");
	assert_int_equal(gc_trash_id(st, &top), id);
	restore(&d); /* from below, it works */
	restore(&top);
	assert_null(gc_why_not_whole(st, "a", &top));
	end();
}

/* --- damage --- */

/* Restored as it was: damaged content is known to be, and heals with the next push. */
static void test_damaged(void **state)
{
	struct digest layer = digest_of(LAYER_TEXT), d;
	struct change c;
	struct err e;

	(void)state;
	begin(GC_TRASH_MS);
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	delete_manifest(&d);
	gc_collect_all(st);
	c = store_change(st, CHANGE_DAMAGE, &(struct repo_name){ 0 });
	c.digest = layer;
	c.is_damaged = true;
	assert_ok(commit_change(st->committer, &c, &e), &e);
	restore(&d);
	assert_true(tag_is("v1", &d));
	assert_non_null(gc_why_not_whole(st, "a", &d));
	push_blob(st, "a", LAYER_TEXT);
	assert_null(gc_why_not_whole(st, "a", &d));
	end();
}

/* --- its end --- */

static void test_expire(void **state)
{
	struct digest d = digest_of("one");
	uint64_t second;

	(void)state;
	begin(GC_TRASH_MS);
	push_blob(st, "a", "one");
	push_blob(st, "a", "two");
	delete_blob("one");
	for (uint64_t now = steady_ms(); steady_ms() == now;)
		;
	second = steady_ms();
	delete_blob("two");
	gc_collect_all(st);
	assert_true(gc_has_file(st, &d)); /* wanted */
	assert_int_equal(expire(second, 100), 1);
	assert_int_equal(gc_trash_rows(st), 1);
	gc_collect_all(st);
	assert_false(gc_has_file(st, &d));
	assert_int_equal(expire(second, 100), 0);
	assert_int_equal(expire(UINT64_MAX, 100), 1);
	gc_collect_all(st);
	assert_int_equal(index_rows(store_index(st), KV_CONTENT), 0);
	end();
}

/* The oldest first, and no more than asked for. */
static void test_expire_some(void **state)
{
	(void)state;
	begin(GC_TRASH_MS);
	for (unsigned i = 0; i < 10; i++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "%u", i);
		push_blob(st, "a", text);
		delete_blob(text);
	}
	assert_int_equal(expire(UINT64_MAX, 3), 3);
	assert_int_equal(expire(UINT64_MAX, 0), 0);
	assert_int_equal(gc_trash_rows(st), 7);
	assert_int_equal(expire(UINT64_MAX, 100), 7);
	end();
}

/* Content that two rows want stays until the second one is gone. */
static void test_wanted_twice(void **state)
{
	struct digest d = digest_of("twice");

	(void)state;
	begin(GC_TRASH_MS);
	push_blob(st, "a", "twice");
	delete_blob("twice");
	push_blob(st, "a", "twice");
	delete_blob("twice");
	assert_int_equal(expire(UINT64_MAX, 1), 1);
	gc_collect_all(st);
	assert_true(gc_has_file(st, &d));
	restore(&d);
	assert_true(gc_has_blob(st, "a", "twice"));
	end();
}

int main(void)
{
	unit_case("what a row remembers", test_rows);
	unit_case("without a trash", test_off);
	unit_case("a manifest, whole", test_manifest);
	unit_case("a blob", test_blob);
	unit_case("a tag", test_tag);
	unit_case("a tag and its manifest", test_tag_and_manifest);
	unit_case("a tag whose manifest is gone", test_tag_without_manifest);
	unit_case("a tag that was taken", test_tag_taken);
	unit_case("a manifest whose tags were taken", test_manifest_tag_taken);
	unit_case("an index with its child", test_index);
	unit_case("an index without its child", test_index_without_child);
	unit_case("indexes in indexes", test_depth);
	unit_case("damaged content", test_damaged);
	unit_case("the end of its time", test_expire);
	unit_case("the oldest first", test_expire_some);
	unit_case("wanted twice", test_wanted_twice);
	return unit_run();
}
