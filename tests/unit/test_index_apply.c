#include "tests/lib/index_fixture.h"
#include "tests/lib/unit.h"

#define SBOM "application/sbom"

static const char config[] = CONFIG_TEXT, layer[] = LAYER_TEXT;
static const char *const layers[] = { layer };

static enum err_kind find_blob(struct index *ix, const char *repo, const char *text, uint64_t *size)
{
	struct repo_name r = repo_of(repo);
	struct digest d = digest_of(text);
	struct err e;

	return blob_size(ix, &r, &d, size, &e);
}

static bool has_blob(struct index *ix, const char *repo, const char *text)
{
	uint64_t size;
	enum err_kind k = find_blob(ix, repo, text, &size);

	MUST(k == ERR_OK || k == ERR_NOT_FOUND);
	MUST(k != ERR_OK || size == strlen(text));
	return k == ERR_OK;
}

/* Where a tag of "a" points; NULL: it is not there. */
static void assert_tag(struct index *ix, const char *tag, const struct digest *want)
{
	struct manifest_info m = { .bytes = NULL };
	struct repo_name r = repo_of("a");
	struct tag_name t = tag_of(tag);
	struct err e;

	assert_int_equal(index_manifest_find(ix, &r, &t, NULL, &m, &e),
			 want ? ERR_OK : ERR_NOT_FOUND);
	free(m.bytes);
	assert_true(!want || digest_eq(&m.digest, want));
}

static bool has_manifest(struct index *ix, const char *repo, const struct digest *d)
{
	struct manifest_info m = { .bytes = NULL };
	struct repo_name r = repo_of(repo);
	struct err e;
	enum err_kind k = index_manifest_find(ix, &r, NULL, d, &m, &e);

	MUST(k == ERR_OK || k == ERR_NOT_FOUND);
	free(m.bytes);
	return k == ERR_OK;
}

/* --- blobs --- */

static void test_link(void **state)
{
	struct index *ix = index_of(unit_dir());
	struct digest d = digest_of(layer);
	struct err e;

	(void)state;
	assert_false(has_blob(ix, "a", layer));
	apply_ok(ix, link_change("a", layer));
	assert_true(has_blob(ix, "a", layer));
	assert_false(has_blob(ix, "b", layer)); /* visible only where it is linked */
	assert_true(index_has_review(ix, "a", &d, 2000));
	assert_int_equal(object_exists(ix, &d, &e), ERR_OK);
	apply_ok(ix, link_change("a", layer));
	apply_ok(ix, link_change("b", layer));
	assert_true(has_blob(ix, "b", layer));
	assert_int_equal(index_rows(ix, KV_REPO), 2);
	assert_int_equal(index_contents(ix, CONTENT_OBJECT), 1);
	assert_int_equal(index_entries(ix, ENTRY_LINK), 2);
	index_check(ix);
	index_close(&ix);
}

static void test_link_ends_session(void **state)
{
	struct index *ix = index_of(unit_dir());
	struct change open = change_of_kind(CHANGE_UPLOAD_OPEN, "a", NULL),
		      c = link_change("a", layer);
	struct upload_row row;
	struct err e;

	(void)state;
	open.upload = (struct upload_id){ .bytes = "one" };
	open.upload_alg = DIGEST_SHA256;
	open.uploads_max = 10;
	apply_ok(ix, open);
	apply_ok(ix, link_change("a", config)); /* another blob's */
	assert_int_equal(index_upload_find(ix, &open.upload, &row, &e), ERR_OK);
	c.upload = open.upload;
	c.has_upload = true;
	apply_ok(ix, c);
	assert_int_equal(index_upload_find(ix, &open.upload, &row, &e), ERR_NOT_FOUND);
	index_close(&ix);
}

static enum err_kind mount(struct index *ix, const char *repo, const char *from, const char *text,
			   struct change *ret, struct err *e)
{
	struct digest d = digest_of(text);
	struct change c = change_of_kind(CHANGE_BLOB_MOUNT, repo, &d);
	enum err_kind k;

	if (from)
		c.from = repo_of(from);
	k = apply(ix, &c, e);
	*ret = c;
	return k;
}

static void test_mount(void **state)
{
	struct index *ix = index_of(unit_dir());
	struct digest d;
	struct change c;
	struct err e;

	(void)state;
	link_all(ix, "a");
	d = put_image(ix, "a", "x", "v1");
	assert_ok(mount(ix, "b", "a", layer, &c, &e), &e);
	assert_int_equal(c.size_bytes, strlen(layer)); /* filled in, for the reflog */
	assert_true(has_blob(ix, "b", layer));
	assert_false(has_blob(ix, "b", config));
	assert_ok(mount(ix, "c", NULL, layer, &c, &e), &e);
	assert_true(c.from.len > 0);
	assert_true(has_blob(ix, "c", layer));
	assert_ok(mount(ix, "a", "a", layer, &c, &e), &e); /* onto itself */
	assert_err(mount(ix, "d", "nobody", layer, &c, &e), ERR_NOT_FOUND, &e,
		   "no source to mount");
	assert_err(mount(ix, "d", "b", config, &c, &e), ERR_NOT_FOUND, &e, "no source to mount");
	assert_err(mount(ix, "d", NULL, "unknown", &c, &e), ERR_NOT_FOUND, &e,
		   "no source to mount");
	assert_int_equal(index_rows(ix, KV_REPO), 3); /* nothing was made for it */
	/* a manifest is no blob, however one asks for it */
	c = change_of_kind(CHANGE_BLOB_MOUNT, "d", &d);
	assert_err(apply(ix, &c, &e), ERR_NOT_FOUND, &e, "no source to mount");
	c = change_of_kind(CHANGE_BLOB_MOUNT, "d", &d);
	c.from = repo_of("a");
	assert_err(apply(ix, &c, &e), ERR_NOT_FOUND, &e, "no source to mount");
	index_check(ix);
	index_close(&ix);
}

/* A blob that is a manifest elsewhere: the first repository by row does not have it as a blob. */
static void test_mount_finds_blob_behind_manifest(void **state)
{
	struct index *ix = index_of(unit_dir());
	AUTO_SBUF body = small_image("x");
	struct change c;
	struct err e;

	(void)state;
	link_all(ix, "a");
	(void)put_image(ix, "a", "x", "v1");
	apply_ok(ix, link_change("b", body.p));
	assert_ok(mount(ix, "c", NULL, body.p, &c, &e), &e);
	assert_string_equal(c.from.s, "b");
	index_close(&ix);
}

static enum err_kind unlink_blob(struct index *ix, const char *repo, const char *text,
				 struct err *e)
{
	struct digest d = digest_of(text);
	struct change c = change_of_kind(CHANGE_BLOB_UNLINK, repo, &d);

	c.review_at_ms = 5000;
	return apply(ix, &c, e);
}

static void test_unlink(void **state)
{
	struct index *ix = index_of(unit_dir());
	struct digest d = digest_of(layer), m;
	struct change c;
	struct err e;

	(void)state;
	assert_err(unlink_blob(ix, "a", layer, &e), ERR_NOT_FOUND, &e, "no blob sha256:");
	link_all(ix, "a");
	apply_ok(ix, link_change("b", layer));
	assert_err(unlink_blob(ix, "a", "unknown", &e), ERR_NOT_FOUND, &e, "no blob sha256:");
	m = put_image(ix, "a", "x", "v1");
	assert_err(unlink_blob(ix, "a", layer, &e), ERR_IN_USE, &e, "a manifest refers to blob");
	assert_err(unlink_blob(ix, "a", config, &e), ERR_IN_USE, &e, "a manifest refers to blob");
	c = change_of_kind(CHANGE_BLOB_UNLINK, "a",
			   &m); /* a manifest is not to be deleted as a blob */
	assert_err(apply(ix, &c, &e), ERR_NOT_FOUND, &e, "no blob");
	assert_true(has_blob(ix, "a", layer));
	assert_ok(unlink_blob(ix, "b", layer, &e), &e); /* nothing refers to it there */
	assert_false(has_blob(ix, "b", layer));
	assert_false(has_repo(ix, "b")); /* nothing is left in it */
	apply_ok(ix, change_of_kind(CHANGE_MANIFEST_DELETE, "a", &m));
	assert_ok(unlink_blob(ix, "a", layer, &e), &e);
	assert_false(has_blob(ix, "a", layer));
	assert_err(unlink_blob(ix, "a", layer, &e), ERR_NOT_FOUND, &e, "no blob");
	/* known still, until gc collects it */
	assert_int_equal(object_exists(ix, &d, &e), ERR_OK);
	index_check(ix);
	index_close(&ix);
}

/* --- manifests and tags --- */

static void test_put(void **state)
{
	struct index *ix = index_of(unit_dir());
	struct manifest_info m = { .bytes = NULL };
	struct repo_name r = repo_of("a");
	AUTO_SBUF body = small_image("x");
	struct digest d;
	struct err e;

	(void)state;
	link_all(ix, "a");
	d = put_image(ix, "a", "x", "v1,v2");
	assert_ok(index_manifest_find(ix, &r, NULL, &d, &m, &e), &e);
	assert_int_equal(m.size_bytes, body.n);
	assert_int_equal(m.pushed_ms, 1000);
	assert_string_equal(m.media_type, MEDIA_OCI_MANIFEST);
	assert_string_equal(m.bytes, body.p);
	free(m.bytes);
	assert_tag(ix, "v1", &d);
	assert_tag(ix, "v2", &d);
	assert_int_equal(index_entries(ix, ENTRY_HELD), 2);
	assert_false(index_has_review(ix, "a", &d, 2000)); /* a tag refers to it */
	index_check(ix);
	index_close(&ix);
}

static void test_put_without_tag(void **state)
{
	struct index *ix = index_of(unit_dir());
	struct digest d;

	(void)state;
	link_all(ix, "a");
	d = put_image(ix, "a", "x", "");
	assert_true(has_manifest(ix, "a", &d));
	assert_int_equal(index_rows(ix, KV_TAG), 0);
	assert_true(index_has_review(ix, "a", &d, 2000));
	index_close(&ix);
}

static void test_tag_moves(void **state)
{
	struct index *ix = index_of(unit_dir());
	struct digest first, second;

	(void)state;
	link_all(ix, "a");
	first = put_image(ix, "a", "first", "v1,latest");
	second = put_image(ix, "a", "second", "latest");
	assert_tag(ix, "latest", &second);
	assert_tag(ix, "v1", &first);
	assert_false(index_has_review(ix, "a", &first, 2000)); /* v1 still refers to it */
	second = put_image(ix, "a", "second", "v1,latest,latest");
	assert_tag(ix, "v1", &second);
	assert_true(index_has_review(ix, "a", &first, 2000));
	assert_true(has_manifest(ix, "a", &first)); /* moving a tag deletes nothing */
	assert_int_equal(index_rows(ix, KV_TAG), 2);
	assert_int_equal(index_entries(ix, ENTRY_TAGGED), 2);
	index_check(ix);
	(void)put_image(ix, "a", "first", "v1"); /* and back */
	index_check(ix);
	index_close(&ix);
}

/* When a tag was pulled last does not change with a push. */
static void test_pulled_time(void **state)
{
	struct index *ix = index_of(unit_dir());
	struct key key = { 0 };
	struct tag_row row = { .pushed_ms = 1, .pulled_ms = 777 };
	struct tag_name tag = tag_of("v1");
	struct row packed;
	AUTO_KV_TXN *t = NULL;
	struct err e;

	(void)state;
	link_all(ix, "a");
	row.digest = put_image(ix, "a", "first", "v1");
	key_u64(&key, repo_id(ix, "a"));
	key_text(&key, STR("v1"));
	tag_row_pack(&packed, &row);
	index_put_raw(ix, KV_TAG, key_str(&key), row_str(&packed));
	(void)put_image(ix, "a", "first", "v1");
	(void)put_image(ix, "a", "second", "v1");
	assert_ok(kv_read_begin(ix->kv, &t, &e), &e);
	assert_ok(index_get_tag(t, repo_id(ix, "a"), &tag, &row, &e), &e);
	assert_int_equal(row.pulled_ms, 777);
	assert_int_equal(row.pushed_ms, 1000);
	kv_end(&t);
	index_close(&ix);
}

enum doc { DOC_IMAGE, DOC_INDEX };

/* What may be missing of what a manifest refers to. */
static const struct {
	const char *name;
	enum doc doc;
	enum sparse sparse;
	enum err_kind kind;
} sparse[] = {
	{ "image, none", DOC_IMAGE, SPARSE_NONE, ERR_REFS },
	{ "image, index", DOC_IMAGE, SPARSE_INDEX, ERR_REFS },
	{ "image, all", DOC_IMAGE, SPARSE_ALL, ERR_OK },
	{ "index, none", DOC_INDEX, SPARSE_NONE, ERR_REFS },
	{ "index, index", DOC_INDEX, SPARSE_INDEX, ERR_OK },
	{ "index, all", DOC_INDEX, SPARSE_ALL, ERR_OK },
};

static void test_sparse(void **state)
{
	__typeof__(&sparse[0]) c = *state;
	struct index *ix = index_of(unit_dir());
	struct digest child = digest_of("a child that is not there");
	AUTO_SBUF b = c->doc == DOC_IMAGE ? small_image("x") : index_of_child(&child, 25, "");
	AUTO_MANIFEST m =
	    manifest_of(text_of(&b), c->doc == DOC_IMAGE ? MEDIA_OCI_MANIFEST : MEDIA_OCI_INDEX);
	struct change ch = put_change("a", &m, text_of(&b), NULL, 0);
	AUTO_SBUF before = index_dump(ix), after = { .p = NULL };
	struct err e;

	ch.sparse = c->sparse;
	assert_int_equal(apply(ix, &ch, &e), c->kind);
	assert_int_equal(ch.n_missing, c->kind == ERR_OK ? 0 : m.n_refs);
	for (size_t i = 0; i < ch.n_missing; i++)
		assert_true(digest_eq(&ch.missing[i], &m.refs[i].digest));
	free(ch.missing);
	if (c->kind != ERR_OK) {
		after = index_dump(ix);
		assert_string_equal(before.p, after.p); /* not even the repository */
	} else {
		index_check(ix);
	}
	index_close(&ix);
}

static void test_missing_some(void **state)
{
	struct index *ix = index_of(unit_dir());
	AUTO_SBUF b = small_image("x");
	AUTO_MANIFEST m = manifest_of(text_of(&b), MEDIA_OCI_MANIFEST);
	struct change ch = put_change("a", &m, text_of(&b), NULL, 0);
	struct digest d = digest_of(layer);
	struct err e;

	(void)state;
	apply_ok(ix, link_change("a", config));
	apply_ok(ix, link_change("b", layer)); /* that another repository has it does not help */
	assert_err(apply(ix, &ch, &e), ERR_REFS, &e, "1 of the blobs and manifests it refers to");
	assert_int_equal(ch.n_missing, 1);
	assert_true(digest_eq(&ch.missing[0], &d));
	apply_ok(ix, link_change("a", layer));
	assert_ok(apply(ix, &ch, &e),
		  &e); /* the same change again: what was missing is forgotten */
	assert_int_equal(ch.n_missing, 0);
	assert_null(ch.missing);
	index_close(&ix);
}

static void test_foreign_layer(void **state)
{
	struct index *ix = index_of(unit_dir());
	struct digest c = digest_of(config), l = digest_of(layer);
	char ct[DIGEST_TEXT_MAX], lt[DIGEST_TEXT_MAX];
	AUTO_SBUF b;

	(void)state;
	sbuf_init(&b, 4096);
	sbuf_addf(
	    &b,
	    "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"digest\":\"%s\",\"size\":6},"
	    "\"layers\":[{\"mediaType\":\"application/vnd.docker.image.rootfs.foreign.diff.tar."
	    "gzip\",\"digest\":\"%s\",\"size\":5}]}",
	    digest_text(&c, ct), digest_text(&l, lt));
	{
		AUTO_MANIFEST m = manifest_of(text_of(&b), MEDIA_OCI_MANIFEST);

		apply_ok(ix, link_change("a", config));
		apply_ok(ix, put_change("a", &m, text_of(&b), NULL, 0));
		assert_true(has_manifest(ix, "a", &m.digest));
	}
	index_check(ix);
	index_close(&ix);
}

static void test_wrong_size(void **state)
{
	struct index *ix = index_of(unit_dir());
	struct digest child;
	AUTO_SBUF image_body = small_image("x"), b = { .p = NULL }, right = { .p = NULL };
	AUTO_MANIFEST m = { 0 }, ok = { 0 };
	struct change ch = link_change("a", layer);
	struct err e;

	(void)state;
	link_all(ix, "a");
	child = put_image(ix, "a", "x", "");
	b = index_of_child(&child, image_body.n + 1, "");
	m = manifest_of(text_of(&b), MEDIA_OCI_INDEX);
	ch = put_change("a", &m, text_of(&b), NULL, 0);
	ch.sparse = SPARSE_ALL; /* what is there must be right */
	assert_err(apply(ix, &ch, &e), ERR_INVALID, &e, "wrong size given for sha256:");
	assert_int_equal(ch.n_missing, 0);
	right = index_of_child(&child, image_body.n, "");
	ok = manifest_of(text_of(&right), MEDIA_OCI_INDEX);
	apply_ok(ix, put_change("a", &ok, text_of(&right), NULL, 0));
	index_check(ix);
	index_close(&ix);
}

/* A child must be there as a manifest, a layer as a blob: the same bytes in the other role do not count. */
static void test_roles(void **state)
{
	struct index *ix = index_of(unit_dir());
	AUTO_SBUF image_body = small_image("x"), b = { .p = NULL }, of_manifest = { .p = NULL };
	AUTO_MANIFEST m = { 0 }, n = { 0 };
	struct digest child;
	struct change ch;
	const char *as_layer;
	struct err e;

	(void)state;
	link_all(ix, "a");
	apply_ok(ix, link_change("a", image_body.p));
	child = digest_of(image_body.p);
	b = index_of_child(&child, image_body.n, "");
	m = manifest_of(text_of(&b), MEDIA_OCI_INDEX);
	ch = put_change("a", &m, text_of(&b), NULL, 0);
	assert_err(apply(ix, &ch, &e), ERR_REFS, &e, "1 of the blobs");
	free(ch.missing);
	link_all(ix, "b");
	(void)put_image(ix, "b", "x", "");
	as_layer = image_body.p;
	of_manifest = image_of(config, &as_layer, 1, "");
	n = manifest_of(text_of(&of_manifest), MEDIA_OCI_MANIFEST);
	ch = put_change("b", &n, text_of(&of_manifest), NULL, 0);
	assert_err(apply(ix, &ch, &e), ERR_REFS, &e, "1 of the blobs");
	free(ch.missing);
	index_close(&ix);
}

/* Only manifests up to INDEX_INLINE_MAX are kept in the index themselves. */
static void test_inline_limit(void **state)
{
	struct index *ix = index_of(unit_dir());
	struct repo_name r = repo_of("a");

	(void)state;
	link_all(ix, "a");
	for (unsigned over = 0; over < 2; over++) {
		AUTO_SBUF b = image_of(config, layers, 1, ",\"x\":\"@\"}"), long_one;
		struct manifest_info info = { .bytes = NULL };
		struct err e;
		char *at = strchr(b.p, '@');
		size_t fill =
		    INDEX_INLINE_MAX + over - (b.n - 1 - 1); /* less the mark and a brace */

		sbuf_init(&long_one, SBUF_MAX);
		sbuf_add(&long_one, b.p, (size_t)(at - b.p));
		for (size_t i = 0; i < fill; i++)
			sbuf_add(&long_one, "x", 1);
		sbuf_add_str(&long_one, STR("\"}"));
		{
			AUTO_MANIFEST m = manifest_of(text_of(&long_one), MEDIA_OCI_MANIFEST);

			assert_int_equal(m.size_bytes, INDEX_INLINE_MAX + over);
			apply_ok(ix, put_change("a", &m, text_of(&long_one), NULL, 0));
			assert_ok(index_manifest_find(ix, &r, NULL, &m.digest, &info, &e), &e);
			assert_int_equal(info.bytes != NULL, !over);
			assert_int_equal(info.size_bytes, INDEX_INLINE_MAX + over);
			free(info.bytes);
		}
		sbuf_clear(&long_one);
	}
	assert_int_equal(index_contents(ix, CONTENT_BYTES), 1);
	index_close(&ix);
}

static void test_delete(void **state)
{
	struct index *ix = index_of(unit_dir());
	struct digest d, c = digest_of(config), kept;
	struct change ch;
	struct err e;

	(void)state;
	link_all(ix, "a");
	kept = put_image(ix, "a", "kept", "kept");
	d = put_image(ix, "a", "x", "v1,v2,v3");
	apply_ok(ix, change_of_kind(CHANGE_MANIFEST_DELETE, "a", &d));
	assert_false(has_manifest(ix, "a", &d));
	assert_int_equal(index_rows(ix, KV_TAG), 1); /* its tags went with it, no other */
	assert_true(has_manifest(ix, "a", &kept));
	assert_false(index_has_review(ix, "a", &d, 2000));
	assert_true(index_has_any_review(ix, &d)); /* as content that no repository has */
	index_check(ix);
	ch = change_of_kind(CHANGE_MANIFEST_DELETE, "a", &d);
	assert_err(apply(ix, &ch, &e), ERR_NOT_FOUND, &e, "no manifest sha256:");
	ch = change_of_kind(CHANGE_MANIFEST_DELETE, "nobody", &d);
	assert_err(apply(ix, &ch, &e), ERR_NOT_FOUND, &e, "no manifest sha256:");
	ch = change_of_kind(CHANGE_MANIFEST_DELETE, "a", &c); /* a blob is no manifest */
	assert_err(apply(ix, &ch, &e), ERR_NOT_FOUND, &e, "no manifest sha256:");
	ch = change_of_kind(CHANGE_MANIFEST_DELETE, "a", &kept);
	ch.review_at_ms = 9000;
	apply_ok(ix, ch);
	assert_true(index_has_review(ix, "a", &c, 9000)); /* the last one that held it is gone */
	index_check(ix);
	index_close(&ix);
}

/* A child that is referred to by an index, deleted and put back. */
static void test_delete_child(void **state)
{
	struct index *ix = index_of(unit_dir());
	AUTO_SBUF image_body = small_image("x"), b = { .p = NULL };
	AUTO_MANIFEST m = { 0 };
	struct tag_name tag = tag_of("multi");
	struct digest child;

	(void)state;
	link_all(ix, "a");
	child = put_image(ix, "a", "x", "");
	b = index_of_child(&child, image_body.n, "");
	m = manifest_of(text_of(&b), MEDIA_OCI_INDEX);
	apply_ok(ix, put_change("a", &m, text_of(&b), &tag, 1));
	index_check(ix);
	apply_ok(ix, change_of_kind(CHANGE_MANIFEST_DELETE, "a", &child));
	assert_true(has_manifest(ix, "a", &m.digest));
	index_check(ix);
	child = put_image(ix, "a", "x", "");
	apply_ok(ix, change_of_kind(CHANGE_MANIFEST_DELETE, "a", &m.digest));
	assert_true(index_has_review(ix, "a", &child, 2000));
	index_check(ix);
	index_close(&ix);
}

static void test_tag_delete(void **state)
{
	struct index *ix = index_of(unit_dir());
	struct tag_name v1 = tag_of("v1"), v2 = tag_of("v2");
	struct change ch = change_of_kind(CHANGE_TAG_DELETE, "a", NULL);
	struct digest d;
	struct err e;

	(void)state;
	ch.n_tags = 1;
	ch.tags = &v1;
	assert_err(apply(ix, &ch, &e), ERR_NOT_FOUND, &e, "no tag v1 in a");
	link_all(ix, "a");
	d = put_image(ix, "a", "x", "v1,v2");
	apply_ok(ix, ch);
	assert_tag(ix, "v1", NULL);
	assert_tag(ix, "v2", &d);
	assert_false(index_has_review(ix, "a", &d, 2000));
	assert_err(apply(ix, &ch, &e), ERR_NOT_FOUND, &e, "no tag v1 in a");
	ch.tags = &v2;
	apply_ok(ix, ch);
	assert_true(index_has_review(ix, "a", &d, 2000));
	assert_true(has_manifest(ix, "a", &d));
	index_check(ix);
	index_close(&ix);
}

static void test_referrer(void **state)
{
	struct index *ix = index_of(unit_dir());
	struct digest subject = digest_of("a subject that is not there yet");
	char extra[512], text[DIGEST_TEXT_MAX];
	AUTO_SBUF b = { .p = NULL };
	AUTO_MANIFEST m = { 0 };

	(void)state;
	link_all(ix, "a");
	(void)snprintf(extra, sizeof(extra),
		       ",\"artifactType\":\"" SBOM
		       "\",\"subject\":{\"mediaType\":\"" MEDIA_OCI_MANIFEST
		       "\",\"digest\":\"%s\",\"size\":31}",
		       digest_text(&subject, text));
	b = image_of(config, layers, 1, extra);
	m = manifest_of(text_of(&b), MEDIA_OCI_MANIFEST);
	apply_ok(ix, put_change("a", &m, text_of(&b), NULL, 0));
	assert_int_equal(index_entries(ix, ENTRY_REFERRER), 1);
	index_check(ix);
	apply_ok(ix, put_change("a", &m, text_of(&b), NULL, 0)); /* again */
	assert_int_equal(index_entries(ix, ENTRY_REFERRER), 1);
	apply_ok(ix, change_of_kind(CHANGE_MANIFEST_DELETE, "a", &m.digest));
	assert_int_equal(index_entries(ix, ENTRY_REFERRER), 0);
	index_check(ix);
	index_close(&ix);
}

/* --- upload sessions --- */

static void test_uploads(void **state)
{
	struct index *ix = index_of(unit_dir());
	struct change open = change_of_kind(CHANGE_UPLOAD_OPEN, "a", NULL),
		      close = change_of_kind(CHANGE_UPLOAD_CLOSE, "a", NULL);
	struct upload_row row;
	struct err e;

	(void)state;
	open.upload_alg = DIGEST_SHA512;
	open.uploads_max = 3;
	for (uint8_t i = 0; i < 3; i++) {
		open.upload.bytes[0] = i;
		apply_ok(ix, open);
	}
	open.upload.bytes[0] = 3;
	assert_err(apply(ix, &open, &e), ERR_TOO_MANY, &e,
		   "3 uploads are open, which is the limit");
	close.upload.bytes[0] = 1;
	assert_ok(index_upload_find(ix, &close.upload, &row, &e), &e);
	assert_int_equal(row.started_ms, 1000);
	assert_int_equal(row.alg, DIGEST_SHA512);
	assert_string_equal(row.repo.s, "a");
	apply_ok(ix, close);
	apply_ok(ix, close); /* what is gone may be closed again */
	assert_err(index_upload_find(ix, &close.upload, &row, &e), ERR_NOT_FOUND, &e,
		   "no such upload");
	apply_ok(ix, open);
	assert_int_equal(index_rows(ix, KV_UPLOAD), 3);
	assert_int_equal(index_rows(ix, KV_REPO), 0); /* a session makes no repository */
	index_close(&ix);
}

int main(void)
{
	unit_case("link", test_link);
	unit_case("link ends its session", test_link_ends_session);
	unit_case("mount", test_mount);
	unit_case("mount finds a blob that is a manifest elsewhere",
		  test_mount_finds_blob_behind_manifest);
	unit_case("unlink", test_unlink);
	unit_case("put", test_put);
	unit_case("put without a tag", test_put_without_tag);
	unit_case("a tag moves", test_tag_moves);
	unit_case("pulled time is kept", test_pulled_time);
	UNIT_TABLE("nothing is there", test_sparse, sparse);
	unit_case("some of it is missing", test_missing_some);
	unit_case("a non-distributable layer may be missing", test_foreign_layer);
	unit_case("wrong size", test_wrong_size);
	unit_case("blobs are no manifests", test_roles);
	unit_case("bytes in the index up to a limit", test_inline_limit);
	unit_case("delete", test_delete);
	unit_case("delete a child", test_delete_child);
	unit_case("delete tags", test_tag_delete);
	unit_case("referrer", test_referrer);
	unit_case("upload sessions", test_uploads);
	return unit_run();
}
