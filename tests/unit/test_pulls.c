#include "storage/pulls.h"

#include "base/clock.h"
#include "storage/store_impl.h"
#include "tests/lib/gc_fixture.h"
#include "tests/lib/index_fixture.h"
#include "tests/lib/unit.h"

#define NOTED_MAX 12288u

static struct store *st;
static uint64_t a; /* the repository's number */

static void begin(const char *root)
{
	st = gc_store_of(root, 0);
	(void)gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	a = repo_id(store_index(st), "a");
}

static void note(uint64_t repo, const char *tag)
{
	struct tag_name t = tag_of(tag);

	store_note_pull(st, repo, &t);
}

static void flush(void)
{
	struct err e;

	assert_ok(store_flush_pulls(st, &e), &e);
}

static uint64_t pulled_ms(const char *tag)
{
	struct repo_name r = repo_of("a");
	struct tag_name t = tag_of(tag);
	struct tag_item items[400];
	size_t n;
	struct err e;

	assert_ok(index_tag_rows(store_index(st), &r, NULL, 400, items, &n, &e), &e);
	for (size_t i = 0; i < n; i++) {
		if (str_eq(tag_name_str(&items[i].name), tag_name_str(&t)))
			return items[i].row.pulled_ms;
	}
	fail();
	return 0;
}

static void pass_ms(void)
{
	uint64_t now = wall_ms();

	while (wall_ms() == now)
		;
}

static void test_note(void **state)
{
	uint64_t before, first, changes;

	(void)state;
	begin(unit_dir());
	changes = store_commit_stats(st).changes;
	flush(); /* of nothing */
	assert_int_equal(store_commit_stats(st).changes, changes);
	before = wall_ms();
	note(a, "v1");
	assert_int_equal(pulled_ms("v1"), 0); /* nothing is written yet */
	note(a, "v1");
	flush();
	first = pulled_ms("v1");
	assert_in_range(first, before, wall_ms());
	assert_int_equal(store_commit_stats(st).changes, changes + 1);
	pass_ms();
	note(a, "v1");
	flush();
	assert_in_range(pulled_ms("v1"), first + 1, wall_ms());
	store_close(&st);
}

/* A tag that moves keeps its time; one that is gone, or in no repository, has none. */
static void test_moved(void **state)
{
	struct repo_name r = repo_of("a");
	struct tag_name t = tag_of("v1");
	uint64_t at;
	struct err e;

	(void)state;
	begin(unit_dir());
	note(a, "v1");
	note(a, "v2");
	note(a + 1000, "v1");
	flush();
	at = pulled_ms("v1");
	assert_int_not_equal(at, 0);
	(void)gc_push_image(st, "a", CONFIG_TEXT, "other", "v1");
	assert_int_equal(pulled_ms("v1"), at);
	note(a, "v1");
	assert_ok(repo_tag_delete(st, &r, &t, NULL, &e), &e);
	flush();
	(void)gc_push_image(st, "a", CONFIG_TEXT, "other", "v1");
	assert_int_equal(pulled_ms("v1"), 0);
	store_close(&st);
}

/* The clock was set back: the later time stays. */
static void test_not_back(void **state)
{
	struct repo_name r = repo_of("a");
	const struct pull earlier = { .repo = a, .at_ms = 5, .tag = tag_of("v1") };
	struct change c;
	uint64_t at;
	struct err e;

	(void)state;
	begin(unit_dir());
	note(a, "v1");
	flush();
	at = pulled_ms("v1");
	c = store_change(st, CHANGE_PULLED, &r);
	c.pulls = &earlier;
	c.n_pulls = 1;
	assert_ok(commit_change(st->committer, &c, &e), &e);
	assert_int_equal(pulled_ms("v1"), at);
	store_close(&st);
}

/* An end in order keeps what was noted; another end does not. */
static void test_end(void **state)
{
	const char *root = unit_dir();

	(void)state;
	begin(root);
	note(a, "v1");
	gc_store_drop(&st);
	st = gc_store_of(root, 0);
	assert_int_equal(pulled_ms("v1"), 0);
	note(a, "v1");
	store_close(&st);
	st = gc_store_of(root, 0);
	assert_int_not_equal(pulled_ms("v1"), 0);
	store_close(&st);
}

/* More than one transaction takes. */
static void test_many(void **state)
{
	AUTO_SBUF b = gc_image(CONFIG_TEXT, LAYER_TEXT, "");

	(void)state;
	begin(unit_dir());
	for (unsigned i = 0; i < 300; i++) {
		char tag[16];

		(void)snprintf(tag, sizeof(tag), "t%u", i);
		push_manifest(st, "a", text_of(&b), MEDIA_OCI_MANIFEST, tag);
		note(a, tag);
	}
	flush();
	for (unsigned i = 0; i < 300; i++) {
		char tag[16];

		(void)snprintf(tag, sizeof(tag), "t%u", i);
		assert_int_not_equal(pulled_ms(tag), 0);
	}
	store_close(&st);
}

/* The table is bounded: what does not fit is lost until the next flush, what is in it is not. */
static void test_full(void **state)
{
	(void)state;
	begin(unit_dir());
	for (unsigned i = 0; i < NOTED_MAX; i++) {
		char tag[16];

		(void)snprintf(tag, sizeof(tag), "x%u", i);
		note(a, tag);
	}
	note(a, "v1");
	flush();
	assert_int_equal(pulled_ms("v1"), 0);
	note(a, "v1");
	flush();
	assert_int_not_equal(pulled_ms("v1"), 0);
	store_close(&st);
}

int main(void)
{
	unit_case("noted, and flushed", test_note);
	unit_case("tags that move or go", test_moved);
	unit_case("a time does not go back", test_not_back);
	unit_case("the end of a process", test_end);
	unit_case("more than a transaction", test_many);
	unit_case("a full table", test_full);
	return unit_run();
}
