#include "storage/repo.h"

#include <errno.h>

#include "base/clock.h"
#include "storage/store_impl.h"
#include "tests/lib/fixture.h"
#include "tests/lib/index_fixture.h"
#include "tests/lib/sync_hook.h"
#include "tests/lib/unit.h"

struct rig {
	const char *root;
	struct store *st;
	struct repo_name repo;
};

static struct rig rig_new(void)
{
	struct rig r = { .root = unit_dir(), .repo = repo_of("a") };

	r.st = store_of(r.root);
	push_blob(r.st, "a", CONFIG_TEXT);
	push_blob(r.st, "a", LAYER_TEXT);
	return r;
}

static void rig_end(struct rig *r)
{
	assert_int_equal(dir_count(r->root, "uploads"), 0);
	index_check(store_index(r->st));
	store_close(&r->st);
}

static enum err_kind put(struct rig *r, struct str body, const char *type, const char *tag,
			 struct manifest_pushed *ret, struct err *e)
{
	struct tag_name t = tag ? tag_of(tag) : (struct tag_name){ 0 };
	struct manifest_push push = { .body = body,
				      .media_type = str_of(type),
				      .digest = digest_of_bytes(DIGEST_SHA256, body),
				      .tags = &t,
				      .n_tags = tag ? 1 : 0 };

	return repo_manifest_put(r->st, &r->repo, &push, ret, e);
}

static bool blob_file_exists(struct rig *r, const struct digest *d)
{
	char hex[DIGEST_HEX_MAX + 1], name[200];

	digest_hex(d, hex);
	(void)snprintf(name, sizeof(name), "blobs/sha256/%.2s/%s", hex, hex);
	return file_exists(r->root, name);
}

static void test_put(void **state)
{
	struct rig r = rig_new();
	AUTO_SBUF b = small_image("x");
	AUTO_MANIFEST_PUSHED pushed = { 0 };
	struct manifest_info info = { .bytes = NULL };
	struct tag_name v1 = tag_of("v1");
	struct digest d = digest_of(b.p);
	struct err e;

	(void)state;
	assert_ok(put(&r, text_of(&b), MEDIA_OCI_MANIFEST, "v1", &pushed, &e), &e);
	assert_false(pushed.has_subject);
	assert_null(pushed.missing);
	assert_true(blob_file_exists(&r, &d)); /* a manifest is a file as well */
	assert_ok(index_manifest_find(store_index(r.st), &r.repo, &v1, NULL, &info, &e), &e);
	assert_string_equal(info.bytes, b.p);
	free(info.bytes);
	store_close(&r.st);
	r.st = store_of(r.root);
	assert_ok(index_manifest_find(store_index(r.st), &r.repo, NULL, &d, &info, &e), &e);
	free(info.bytes);
	rig_end(&r);
}

/* A tag is moved only from what was seen, and has the time that it had elsewhere. */
static void test_put_expected(void **state)
{
	struct rig r = rig_new();
	AUTO_SBUF one = small_image("one"), two = small_image("two");
	struct tag_name v1 = tag_of("v1");
	struct tag_row none = { .pushed_ms = 0 }, row;
	struct manifest_push push = { .body = text_of(&one),
				      .media_type = STR(MEDIA_OCI_MANIFEST),
				      .digest = digest_of(one.p),
				      .tags = &v1,
				      .n_tags = 1,
				      .pushed_ms = 1234,
				      .expected = &none };
	struct manifest_pushed pushed;
	struct digest d = digest_of(two.p);
	struct err e;

	(void)state;
	assert_ok(repo_manifest_put(r.st, &r.repo, &push, &pushed, &e), &e);
	assert_ok(index_tag_find(store_index(r.st), &r.repo, &v1, &row, &e), &e);
	assert_int_equal(row.pushed_ms, 1234);
	push.body = text_of(&two);
	push.digest = d;
	push.pushed_ms = 0;
	assert_err(repo_manifest_put(r.st, &r.repo, &push, &pushed, &e), ERR_IN_USE, &e,
		   "tag v1 was pushed again");
	assert_false(blob_file_exists(&r, &d));
	push.expected = &row;
	assert_ok(repo_manifest_put(r.st, &r.repo, &push, &pushed, &e), &e);
	assert_ok(index_tag_find(store_index(r.st), &r.repo, &v1, &none, &e), &e);
	assert_true(digest_eq(&none.digest, &d) && none.pushed_ms > 1234);
	assert_err(repo_manifest_put(r.st, &r.repo, &push, &pushed, &e), ERR_IN_USE, &e,
		   "tag v1 was pushed again");
	rig_end(&r);
}

static void test_put_refers(void **state)
{
	struct rig r = rig_new();
	struct digest subject = digest_of("subject");
	char extra[512], text[DIGEST_TEXT_MAX];
	const char *layer = LAYER_TEXT;
	AUTO_MANIFEST_PUSHED pushed = { 0 };
	AUTO_SBUF b = { .p = NULL };
	struct err e;

	(void)state;
	(void)snprintf(extra, sizeof(extra),
		       ",\"subject\":{\"mediaType\":\"a/b\",\"digest\":\"%s\",\"size\":7}",
		       digest_text(&subject, text));
	b = image_of(CONFIG_TEXT, &layer, 1, extra);
	assert_ok(put(&r, text_of(&b), MEDIA_OCI_MANIFEST, NULL, &pushed, &e), &e);
	assert_true(pushed.has_subject && digest_eq(&pushed.subject, &subject));
	rig_end(&r);
}

static void test_put_missing(void **state)
{
	struct rig r = rig_new();
	static const char *const layers[] = { "missing one", LAYER_TEXT, "missing two" };
	AUTO_SBUF b = image_of(CONFIG_TEXT, layers, 3, "");
	AUTO_MANIFEST_PUSHED pushed = { 0 };
	struct digest d = digest_of(b.p), one = digest_of(layers[0]), two = digest_of(layers[2]);
	struct err e;

	(void)state;
	assert_err(put(&r, text_of(&b), MEDIA_OCI_MANIFEST, "v1", &pushed, &e), ERR_REFS, &e,
		   "2 of the blobs and manifests it refers to are not in a");
	assert_int_equal(pushed.n_missing, 2);
	for (size_t i = 0; i < 2; i++)
		assert_true(digest_eq(&pushed.missing[i], &one) ||
			    digest_eq(&pushed.missing[i], &two));
	assert_false(blob_file_exists(&r, &d)); /* R1: not even the file */
	manifest_pushed_clear(&pushed);
	assert_true(!pushed.missing && pushed.n_missing == 0);
	manifest_pushed_clear(&pushed);
	rig_end(&r);
}

static void test_put_invalid(void **state)
{
	struct rig r = rig_new();
	AUTO_MANIFEST_PUSHED pushed = { 0 };
	struct digest d = digest_of("{}");
	struct err e;

	(void)state;
	assert_err(put(&r, STR("{}"), MEDIA_OCI_MANIFEST, "v1", &pushed, &e), ERR_INVALID, &e,
		   "schemaVersion");
	assert_err(put(&r, STR("{}"), "text/plain", "v1", &pushed, &e), ERR_UNSUPPORTED, &e,
		   "text/plain");
	assert_false(blob_file_exists(&r, &d));
	rig_end(&r);
}

/* The options of the store reach the rules. */
static void test_options(void **state)
{
	struct rig r = rig_new();
	static const char *const layers[] = { "missing" };
	AUTO_SBUF b = image_of(CONFIG_TEXT, layers, 1, ""), deep = { .p = NULL };
	AUTO_MANIFEST_PUSHED pushed = { 0 };
	const char *layer = LAYER_TEXT;
	struct err e;

	(void)state;
	r.st->options.sparse = SPARSE_ALL;
	assert_ok(put(&r, text_of(&b), MEDIA_OCI_MANIFEST, "v1", &pushed, &e), &e);
	r.st->options.json_depth_max = 3;
	deep = image_of(CONFIG_TEXT, &layer, 1, ",\"x\":[[[]]]");
	assert_err(put(&r, text_of(&deep), MEDIA_OCI_MANIFEST, "v1", &pushed, &e), ERR_INVALID, &e,
		   "nested deeper than 3");
	rig_end(&r);
}

/*
 * R1, with the disk failing at each step: the repository is as it was, and the push works afterwards.  A manifest that
 * the index keeps is synced with it; a longer one has a file and a directory to be synced before.
 */
static const struct {
	const char *name;
	size_t padding;
	unsigned syncs;
} sizes[] = { { "in the index", 10, 2 }, { "in its file only", INDEX_INLINE_MAX, 4 } };

static void put_with_fault(const struct sbuf *b, unsigned n, bool fails)
{
	struct rig r = rig_new();
	struct digest d = digest_of(b->p);
	AUTO_SBUF before = index_dump(store_index(r.st)), after = { .p = NULL };
	AUTO_MANIFEST_PUSHED pushed = { 0 };
	struct err e;
	enum err_kind k;

	sync_fail(n, EIO);
	k = put(&r, text_of(b), MEDIA_OCI_MANIFEST, "v1", &pushed, &e);
	assert_int_equal(sync_reset(), fails);
	assert_int_equal(k, fails ? ERR_IO : ERR_OK);
	if (fails) {
		after = index_dump(store_index(r.st));
		assert_string_equal(before.p, after.p);
		assert_false(blob_file_exists(&r, &d));
		assert_int_equal(dir_count(r.root, "uploads"), 0);
		assert_ok(put(&r, text_of(b), MEDIA_OCI_MANIFEST, "v1", &pushed, &e), &e);
	}
	assert_true(blob_file_exists(&r, &d));
	rig_end(&r);
}

static void test_put_fails(void **state)
{
	__typeof__(&sizes[0]) c = *state;
	AUTO_SBUF note = { .max = SBUF_MAX }, b = { .p = NULL };
	const char *layer = LAYER_TEXT;

	sbuf_add_str(&note, STR(",\"x\":\""));
	for (size_t i = 0; i < c->padding; i++)
		sbuf_add(&note, "x", 1);
	sbuf_add_str(&note, STR("\""));
	b = image_of(CONFIG_TEXT, &layer, 1, note.p);
	for (unsigned n = 1; n <= c->syncs + 1; n++)
		put_with_fault(&b, n, n <= c->syncs);
}

static void test_mount_and_delete(void **state)
{
	struct rig r = rig_new();
	struct repo_name b = repo_of("b"), c = repo_of("c");
	struct digest layer = digest_of(LAYER_TEXT), unknown = digest_of("unknown");
	struct err e;

	(void)state;
	assert_ok(repo_blob_mount(r.st, &b, &r.repo, &layer, NULL, &e), &e);
	assert_ok(repo_blob_mount(r.st, &c, NULL, &layer, NULL, &e), &e);
	assert_err(repo_blob_mount(r.st, &b, &r.repo, &unknown, NULL, &e), ERR_NOT_FOUND, &e,
		   "no source");
	assert_err(repo_blob_mount(r.st, &b, NULL, &unknown, NULL, &e), ERR_NOT_FOUND, &e,
		   "no source");
	assert_ok(repo_blob_delete(r.st, &b, &layer, NULL, &e), &e);
	assert_err(repo_blob_delete(r.st, &b, &layer, NULL, &e), ERR_NOT_FOUND, &e, "no blob");
	assert_true(blob_file_exists(&r, &layer)); /* files are gc's */
	rig_end(&r);
}

static void test_manifest_and_tag_delete(void **state)
{
	struct rig r = rig_new();
	AUTO_SBUF b = small_image("x");
	struct digest d = digest_of(b.p), layer = digest_of(LAYER_TEXT);
	struct tag_name v1 = tag_of("v1");
	struct err e;

	(void)state;
	push_manifest(r.st, "a", text_of(&b), MEDIA_OCI_MANIFEST, "v1");
	assert_err(repo_blob_delete(r.st, &r.repo, &layer, NULL, &e), ERR_IN_USE, &e,
		   "a manifest refers");
	assert_ok(repo_tag_delete(r.st, &r.repo, &v1, NULL, &e), &e);
	assert_err(repo_tag_delete(r.st, &r.repo, &v1, NULL, &e), ERR_NOT_FOUND, &e, "no tag v1");
	assert_ok(repo_manifest_delete(r.st, &r.repo, &d, NULL, &e), &e);
	assert_err(repo_manifest_delete(r.st, &r.repo, &d, NULL, &e), ERR_NOT_FOUND, &e,
		   "no manifest");
	assert_ok(repo_blob_delete(r.st, &r.repo, &layer, NULL, &e), &e);
	rig_end(&r);
}

/* What nothing refers to is due for review when the lease ends. */
static void test_lease(void **state)
{
	struct rig r = rig_new();
	AUTO_KV_TXN *t = NULL;
	AUTO_KV_CURSOR *c = NULL;
	struct digest layer = digest_of(LAYER_TEXT);
	struct repo_name other = repo_of("other");
	struct str key, value;
	uint64_t due, first = 0, now;
	struct err e;

	(void)state;
	r.st->options.lease_ms = 24 * 3600 * 1000;
	now = steady_ms();
	assert_ok(repo_blob_mount(r.st, &other, &r.repo, &layer, NULL, &e), &e);
	assert_ok(kv_read_begin(store_index(r.st)->kv, &t, &e), &e);
	assert_ok(kv_cursor_open(t, KV_REVIEW, &c, &e), &e);
	for (enum err_kind k = kv_seek(c, STR("\0"), &key, &value, &e); k == ERR_OK;
	     k = kv_next(c, &key, &value, &e)) {
		assert_true(unpack_u64(&key, &due));
		first = due; /* the last one is the latest */
	}
	assert_in_range(first, now + 24 * 3600 * 1000, now + 25 * 3600 * 1000);
	kv_cursor_close(&c);
	kv_end(&t);
	rig_end(&r);
}

int main(void)
{
	unit_case("put, if the tag is as it was seen", test_put_expected);
	unit_case("put", test_put);
	unit_case("put of a referrer", test_put_refers);
	unit_case("put with missing references", test_put_missing);
	unit_case("put of what is no manifest", test_put_invalid);
	unit_case("options", test_options);
	UNIT_TABLE("put with failed syncs", test_put_fails, sizes);
	unit_case("mount and delete", test_mount_and_delete);
	unit_case("delete manifests and tags", test_manifest_and_tag_delete);
	unit_case("lease", test_lease);
	return unit_run();
}
