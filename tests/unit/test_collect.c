#include "storage/collect.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "storage/blob.h"
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

/* The row that is in the queue for an entry or for content, collected by this policy. */
static struct collect_item collect_row(const struct digest *d, bool is_content,
				       struct review_policy policy)
{
	struct review_row rows[COLLECT_MAX];
	struct err e;
	size_t n;

	assert_ok(index_review_page(store_index(st), NULL, UINT64_MAX, COLLECT_MAX, rows, &n, &e),
		  &e);
	for (size_t i = 0; i < n; i++) {
		struct collect_item item = { .row = rows[i], .policy = policy };

		if (!digest_eq(&rows[i].digest, d) || is_content != (rows[i].repo == 0))
			continue;
		assert_ok(store_collect(st, &item, 1, &e), &e);
		return item;
	}
	fail();
	return (struct collect_item){ .verdict = VERDICT_N };
}

static bool is_queued(const struct digest *d, struct review_row *ret)
{
	struct review_row rows[COLLECT_MAX];
	struct err e;
	size_t n;

	assert_ok(index_review_page(store_index(st), NULL, UINT64_MAX, COLLECT_MAX, rows, &n, &e),
		  &e);
	for (size_t i = 0; i < n; i++) {
		if (digest_eq(&rows[i].digest, d)) {
			*ret = rows[i];
			return true;
		}
	}
	return false;
}

static const struct review_policy now_or_never = { .now_ms = UINT64_MAX / 2 };

/* --- verdicts --- */

static void test_link(void **state)
{
	struct digest d = digest_of("loose");
	struct collect_item item;
	struct review_row row;

	(void)state;
	begin(0);
	push_blob(st, "a", "loose");
	push_blob(st, "a", "other");
	item = collect_row(&d, false, now_or_never);
	assert_int_equal(item.verdict, VERDICT_LINK);
	assert_int_equal(item.size_bytes, 5);
	assert_string_equal(item.repo.s, "a");
	assert_false(gc_has_blob(st, "a", "loose"));
	assert_true(gc_has_blob(st, "a", "other"));
	assert_true(gc_has_file(st, &d)); /* its content comes next, due at once */
	assert_true(is_queued(&d, &row));
	assert_int_equal(row.why, REVIEW_CONTENT);
	assert_in_range(row.due_ms, 0, steady_ms());
	item = collect_row(&d, true, now_or_never);
	assert_int_equal(item.verdict, VERDICT_CONTENT);
	assert_int_equal(item.size_bytes, 5);
	assert_int_equal(item.repo.len, 0);
	assert_false(gc_has_file(st, &d));
	assert_false(is_queued(&d, &row));
	end();
}

/* A repository goes with what was last in it. */
static void test_repository_goes(void **state)
{
	struct digest d = digest_of("loose");

	(void)state;
	begin(0);
	push_blob(st, "a", "loose");
	assert_int_equal(collect_row(&d, false, now_or_never).verdict, VERDICT_LINK);
	assert_false(has_repo(store_index(st), "a"));
	end();
}

static void test_manifest(void **state)
{
	struct digest d, layer = digest_of(LAYER_TEXT);
	struct collect_item item;
	struct review_row row;

	(void)state;
	begin(0);
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, NULL);
	assert_false(is_queued(&layer, &row)); /* held */
	item = collect_row(&d, false, now_or_never);
	assert_int_equal(item.verdict, VERDICT_MANIFEST);
	assert_false(gc_has_manifest(st, "a", &d));
	assert_true(is_queued(&layer, &row)); /* not held any more: due a lease time from now */
	assert_in_range(row.due_ms, steady_ms() + GC_LEASE_MS - 60000, steady_ms() + GC_LEASE_MS);
	gc_collect_all(st);
	assert_false(gc_has_file(st, &d));
	assert_false(gc_has_file(st, &layer));
	end();
}

/* What holds something again takes it out of the queue; the row that was read before finds nothing to do. */
static void test_stale(void **state)
{
	struct digest layer = digest_of(LAYER_TEXT), d;
	struct collect_item items[COLLECT_MAX];
	struct review_row row;
	struct err e;
	size_t n;

	(void)state;
	begin(0);
	push_blob(st, "a", LAYER_TEXT);
	n = gc_due(st, items);
	assert_int_equal(n, 1);
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	assert_false(is_queued(&layer, &row));
	assert_ok(store_collect(st, items, n, &e), &e);
	assert_int_equal(items[0].verdict, VERDICT_STALE);
	assert_null(gc_why_not_whole(st, "a", &d));
	end();
}

/* Content that was pushed again before its row was due. */
static void test_stale_content(void **state)
{
	struct digest d = digest_of("loose");

	(void)state;
	begin(0);
	push_blob(st, "a", "loose");
	delete_blob("loose");
	push_blob(st, "b", "loose");
	assert_int_equal(collect_row(&d, true, now_or_never).verdict, VERDICT_STALE);
	assert_true(gc_has_file(st, &d));
	assert_true(gc_has_blob(st, "b", "loose"));
	end();
}

static void test_wait(void **state)
{
	struct review_policy p = { .now_ms = steady_ms(), .untagged_keep_ms = 60000 };
	struct review_row before, row;
	struct digest d;

	(void)state;
	begin(0);
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, NULL);
	assert_true(is_queued(&d, &before));
	assert_int_equal(collect_row(&d, false, p).verdict, VERDICT_WAIT);
	assert_true(is_queued(&d, &row));
	assert_int_equal(row.since_ms, before.since_ms);
	assert_int_equal(row.due_ms, before.since_ms + 60000);
	p.now_ms = row.due_ms - 1;
	assert_int_equal(collect_row(&d, false, p).verdict, VERDICT_WAIT);
	p.now_ms = row.due_ms;
	assert_int_equal(collect_row(&d, false, p).verdict, VERDICT_MANIFEST);
	end();
}

static void test_park(void **state)
{
	const struct review_policy p = { .now_ms = UINT64_MAX / 2, .untagged_keep_ms = UINT64_MAX };
	struct collect_item items[COLLECT_MAX];
	struct review_row row;
	struct digest d;

	(void)state;
	begin(0);
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, NULL);
	assert_int_equal(collect_row(&d, false, p).verdict, VERDICT_PARK);
	assert_true(is_queued(&d, &row));
	assert_true(row.due_ms == REVIEW_PARKED);
	assert_int_equal(gc_due(st, items), 0);
	assert_int_equal(collect_row(&d, false, p).verdict, VERDICT_PARK);
	end();
}

static void test_leased(void **state)
{
	struct repo_name r = repo_of("a");
	struct digest d = digest_of("loose");
	struct blob_info info;
	struct err e;

	(void)state;
	begin(0);
	push_blob(st, "a", "loose");
	assert_ok(repo_blob_find(st, &r, &d, &info, &e), &e);
	assert_int_equal(collect_row(&d, false, now_or_never).verdict, VERDICT_LEASED);
	assert_true(gc_has_blob(st, "a", "loose"));
	gc_forget_leases(st);
	assert_int_equal(collect_row(&d, false, now_or_never).verdict, VERDICT_LINK);
	end();
}

static void test_busy(void **state)
{
	struct digest d = digest_of("loose");
	struct publisher claim;

	(void)state;
	begin(0);
	push_blob(st, "a", "loose");
	delete_blob("loose");
	assert_true(blob_claim(st, &d, &claim));
	assert_int_equal(collect_row(&d, true, now_or_never).verdict, VERDICT_BUSY);
	blob_unclaim(st, &claim);
	assert_true(gc_has_file(st, &d));
	assert_int_equal(collect_row(&d, true, now_or_never).verdict, VERDICT_CONTENT);
	end();
}

/* Nothing to do is done at once, and a full batch of it all at once. */
static void test_batches(void **state)
{
	struct collect_item items[COLLECT_MAX];
	struct err e;
	size_t n;

	(void)state;
	begin(0);
	assert_ok(store_collect(st, NULL, 0, &e), &e);
	for (unsigned i = 0; i < COLLECT_MAX; i++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "%u", i);
		push_blob(st, "a", text);
	}
	n = gc_due(st, items);
	assert_int_equal(n, COLLECT_MAX);
	assert_ok(store_collect(st, items, n, &e), &e);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(items[i].verdict, VERDICT_LINK);
	assert_int_equal(leases_count(st->leases), 0);
	gc_collect_all(st);
	assert_int_equal(index_rows(store_index(st), KV_CONTENT), 0);
	end();
}

/* --- indexes and referrers --- */

static struct digest push_index(const struct digest *child, size_t size, const char *tag)
{
	AUTO_SBUF b = index_of_child(child, size, "");

	push_manifest(st, "a", text_of(&b), MEDIA_OCI_INDEX, tag);
	return digest_of_bytes(DIGEST_SHA256, text_of(&b));
}

static void test_child(void **state)
{
	AUTO_SBUF image = gc_image(CONFIG_TEXT, LAYER_TEXT, "");
	struct review_row row;
	struct digest child, index;

	(void)state;
	begin(0);
	child = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, NULL);
	index = push_index(&child, image.n, "v1");
	assert_false(is_queued(&child, &row));
	gc_collect_all(st);
	assert_null(gc_why_not_whole(st, "a", &index));
	delete_manifest(&index);
	gc_collect_all(st);
	assert_false(gc_has_manifest(st, "a", &child));
	assert_int_equal(index_rows(store_index(st), KV_CONTENT), 0);
	end();
}

static struct sbuf referrer_to(const struct digest *subject, size_t size)
{
	char extra[256 + DIGEST_TEXT_MAX], text[DIGEST_TEXT_MAX];

	(void)snprintf(extra, sizeof(extra),
		       ",\"artifactType\":\"application/x-note\",\"subject\":{\"mediaType\":"
		       "\"" MEDIA_OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":%zu}",
		       digest_text(subject, text), size);
	return gc_image(CONFIG_TEXT, LAYER_TEXT, extra);
}

/* As long as its subject, and not longer, whatever the rules for manifests without a tag. */
static void test_referrer(void **state)
{
	const struct review_policy never = { .now_ms = UINT64_MAX / 2,
					     .untagged_keep_ms = UINT64_MAX };
	AUTO_SBUF image = gc_image(CONFIG_TEXT, LAYER_TEXT, ""), b = { 0 };
	struct digest subject, d;

	(void)state;
	begin(0);
	subject = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	b = referrer_to(&subject, image.n);
	push_manifest(st, "a", text_of(&b), MEDIA_OCI_MANIFEST, NULL);
	d = digest_of_bytes(DIGEST_SHA256, text_of(&b));
	assert_int_equal(collect_row(&d, false, now_or_never).verdict, VERDICT_STALE);
	delete_manifest(&subject);
	assert_int_equal(collect_row(&d, false, never).verdict, VERDICT_MANIFEST);
	end();
}

static void test_tagged_referrer(void **state)
{
	AUTO_SBUF image = gc_image(CONFIG_TEXT, LAYER_TEXT, ""), b = { 0 };
	struct digest subject, d;
	struct review_row row;

	(void)state;
	begin(0);
	subject = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	b = referrer_to(&subject, image.n);
	push_manifest(st, "a", text_of(&b), MEDIA_OCI_MANIFEST, "note");
	d = digest_of_bytes(DIGEST_SHA256, text_of(&b));
	delete_manifest(&subject);
	assert_false(is_queued(&d, &row));
	gc_collect_all(st);
	assert_null(gc_why_not_whole(st, "a", &d));
	end();
}

/* --- tags --- */

static void test_tags(void **state)
{
	struct repo_name r = repo_of("a");
	struct tag_item tags[4];
	struct digest again, at;
	size_t n, removed;
	struct err e;

	(void)state;
	begin(0);
	(void)gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	(void)gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v2");
	(void)gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v3");
	assert_ok(index_tag_rows(store_index(st), &r, NULL, 4, tags, &n, &e), &e);
	assert_int_equal(n, 3);
	again = gc_push_image(st, "a", CONFIG_TEXT, "new", "v2"); /* pushed again since */
	tags[2].row.pushed_ms++;                                  /* as if this one was, too */
	assert_ok(store_collect_tags(st, &r, tags, n, &removed, &e), &e);
	assert_int_equal(removed, 1);
	at = gc_tag(st, "a", "v1");
	assert_int_equal(at.alg, 0);
	at = gc_tag(st, "a", "v2");
	assert_true(digest_eq(&at, &again));
	at = gc_tag(st, "a", "v3");
	assert_int_equal(at.alg, DIGEST_SHA256);
	assert_ok(store_collect_tags(st, &r, tags, 0, &removed, &e), &e);
	assert_int_equal(removed, 0);
	end();
}

/* --- tombstones --- */

/* What was pushed again keeps its file, whatever a tombstone says. */
static void test_doomed_but_known(void **state)
{
	struct digest d = digest_of("loose"), gone = digest_of("gone");
	struct store_options o;
	struct store_recovery found;
	struct key key = { 0 }, key_gone = { 0 };
	const char *root = unit_dir();
	char name[64 + DIGEST_HEX_MAX], hex[DIGEST_HEX_MAX + 1];
	struct err e;

	(void)state;
	st = gc_store_of(root, 0);
	push_blob(st, "a", "loose");
	key_digest(&key, &d);
	key_digest(&key_gone, &gone);
	index_put_raw(store_index(st), KV_DOOMED, key_str(&key), STR(""));
	index_put_raw(store_index(st), KV_DOOMED, key_str(&key_gone), STR(""));
	digest_hex(&gone, hex);
	(void)snprintf(name, sizeof(name), "blobs/sha256/%.2s/%s", hex, hex);
	file_write(root, name, STR("gone"));
	o = st->options;
	o.root = root;
	store_close(&st);
	assert_ok(store_open(&o, &st, &found, &e), &e);
	assert_int_equal(found.discarded, 1);
	assert_int_equal(index_rows(store_index(st), KV_DOOMED), 0);
	assert_true(gc_has_file(st, &d));
	assert_false(gc_has_file(st, &gone));
	end();
}

/* A file that cannot be removed is left to the next start, and the rows are gone all the same. */
static void test_not_unlinked(void **state)
{
	struct digest d = digest_of("loose");
	char path[64 + DIGEST_HEX_MAX], hex[DIGEST_HEX_MAX + 1];
	struct collect_item items[COLLECT_MAX];
	const char *root = unit_dir();
	struct err e;
	size_t n;

	(void)state;
	st = gc_store_of(root, 0);
	push_blob(st, "a", "loose");
	delete_blob("loose");
	digest_hex(&d, hex);
	(void)snprintf(path, sizeof(path), "%s/blobs/sha256/%.2s/%s", root, hex, hex);
	MUST(remove(path) == 0 && mkdir(path, 0700) == 0); /* EISDIR */
	n = gc_due(st, items);
	assert_err(store_collect(st, items, n, &e), ERR_IO, &e, "remove");
	assert_int_equal(index_rows(store_index(st), KV_DOOMED), 1);
	MUST(remove(path) == 0);
	store_close(&st);
	st = gc_store_of(root, 0);
	assert_int_equal(index_rows(store_index(st), KV_DOOMED), 0);
	end();
}

/* What clients may be told of meanwhile does not go, though it is garbage by now. */
static void test_let_be(void **state)
{
	struct collect_item items[COLLECT_MAX];
	struct change ch;
	struct err e;

	(void)state;
	st = gc_store_of(unit_dir(), 0);
	push_blob(st, "a", "loose");
	assert_int_equal(gc_due(st, items), 1);
	ch = store_change(st, CHANGE_COLLECT, &(struct repo_name){ 0 });
	ch.review = items[0].row;
	ch.policy = items[0].policy;
	ch.stays = true;
	assert_ok(commit_change(st->committer, &ch, &e), &e);
	assert_int_equal(ch.verdict, VERDICT_LEASED);
	assert_true(gc_has_blob(st, "a", "loose"));
	ch.stays = false;
	assert_ok(commit_change(st->committer, &ch, &e), &e);
	assert_int_equal(ch.verdict, VERDICT_LINK);
	assert_false(gc_has_blob(st, "a", "loose"));
	end();
}

/* Rows of one batch each, both under way. */
static void test_overlapping(void **state)
{
	struct collect_item items[COLLECT_MAX];
	struct collection *first, *second, *third;
	struct digest d = digest_of("one");
	struct err e;
	size_t n;

	(void)state;
	st = gc_store_of(unit_dir(), 0);
	push_blob(st, "a", "one");
	push_blob(st, "a", "two");
	delete_blob("one");
	delete_blob("two");
	n = gc_due(st, items);
	assert_int_equal(n, 2);
	assert_ok(store_collect_begin(st, items, 1, &first, &e), &e);
	assert_ok(store_collect_begin(st, items + 1, 1, &second, &e), &e);
	assert_int_equal(items[0].verdict, VERDICT_CONTENT);
	assert_int_equal(items[1].verdict, VERDICT_CONTENT);
	/* What is claimed is somebody else's: left for later. */
	items[2] = items[0];
	assert_ok(store_collect_begin(st, items + 2, 1, &third, &e), &e);
	assert_int_equal(items[2].verdict, VERDICT_BUSY);
	assert_ok(store_collect_end(&third, &e), &e);
	assert_ok(store_collect_end(&first, &e), &e);
	assert_ok(store_collect_end(&second, &e), &e);
	assert_false(gc_has_file(st, &d));
	assert_int_equal(index_rows(store_index(st), KV_DOOMED), 0);
	end();
}

/* Enough files for threads. */
static void test_many_files(void **state)
{
	struct collect_item items[COLLECT_MAX];
	char text[16];
	struct err e;
	size_t n;

	(void)state;
	st = gc_store_of(unit_dir(), 0);
	for (unsigned i = 0; i < 300; i++) {
		(void)snprintf(text, sizeof(text), "blob %u", i);
		push_blob(st, "a", text);
		delete_blob(text);
	}
	n = gc_due(st, items);
	assert_int_equal(n, 300);
	assert_ok(store_collect(st, items, n, &e), &e);
	for (unsigned i = 0; i < 300; i++) {
		struct digest d;

		(void)snprintf(text, sizeof(text), "blob %u", i);
		d = digest_of(text);
		assert_false(gc_has_file(st, &d));
	}
	assert_int_equal(index_rows(store_index(st), KV_DOOMED), 0);
	end();
}

int main(void)
{
	unit_case("a blob that nothing refers to, and its content", test_link);
	unit_case("the last thing in a repository", test_repository_goes);
	unit_case("a manifest without a tag", test_manifest);
	unit_case("held again", test_stale);
	unit_case("content that is placed again", test_stale_content);
	unit_case("not for long enough", test_wait);
	unit_case("kept by the rules", test_park);
	unit_case("told of", test_leased);
	unit_case("being pushed", test_busy);
	unit_case("nothing, and a full batch", test_batches);
	unit_case("a child lives as long as its index", test_child);
	unit_case("a referrer lives as long as its subject", test_referrer);
	unit_case("a referrer with a tag of its own", test_tagged_referrer);
	unit_case("tags that were not pushed again", test_tags);
	unit_case("tombstones at a start", test_doomed_but_known);
	unit_case("a file that cannot be removed", test_not_unlinked);
	unit_case("let be", test_let_be);
	unit_case("two batches at once", test_overlapping);
	unit_case("many files", test_many_files);
	return unit_run();
}
