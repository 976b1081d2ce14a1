/* Values of the index that break their format: ERR_CORRUPT, whoever meets them. */
#include "tests/lib/index_fixture.h"
#include "tests/lib/unit.h"

static const char layer[] = LAYER_TEXT;

/* --- changes --- */

static void spoil_repo(struct index *ix, const struct digest *m)
{
	(void)m;
	index_put_raw(ix, KV_REPO, STR("a"), STR("bad"));
}

static void spoil_next_id(struct index *ix, const struct digest *m)
{
	(void)m;
	index_put_raw(ix, KV_META, STR("next-id"), STR("bad"));
}

static void spoil_object(struct index *ix, const struct digest *m)
{
	struct digest d = digest_of(layer);
	struct key k = content_key(&d, CONTENT_OBJECT);

	(void)m;
	index_put_raw(ix, KV_CONTENT, key_str(&k), STR("bad"));
}

static void lose_object(struct index *ix, const struct digest *m)
{
	struct digest d = digest_of(layer);
	struct key k = content_key(&d, CONTENT_OBJECT);

	(void)m;
	index_delete_raw(ix, KV_CONTENT, key_str(&k));
}

static void put_place(struct index *ix, struct str value)
{
	struct digest d = digest_of(layer);
	struct key k = content_key(&d, CONTENT_PLACE);

	key_u64(&k, repo_id(ix, "a"));
	index_put_raw(ix, KV_CONTENT, key_str(&k), value);
}

static void spoil_place(struct index *ix, const struct digest *m)
{
	(void)m;
	put_place(ix, STR(""));
}

static void spoil_place_name(struct index *ix, const struct digest *m)
{
	(void)m;
	put_place(ix, STR("\1NO"));
}

static void spoil_tag(struct index *ix, const struct digest *m)
{
	struct key k = { 0 };

	(void)m;
	key_u64(&k, repo_id(ix, "a"));
	key_text(&k, STR("v1"));
	index_put_raw(ix, KV_TAG, key_str(&k), STR("bad"));
}

static void spoil_manifest(struct index *ix, const struct digest *m)
{
	struct key k = entry_key(repo_id(ix, "a"), m, ENTRY_MANIFEST);

	index_put_raw(ix, KV_ENTRY, key_str(&k), STR("bad"));
}

/* The row is whole, but what follows it is no list of references. */
static void spoil_refs(struct index *ix, const struct digest *m)
{
	struct key k = entry_key(repo_id(ix, "a"), m, ENTRY_MANIFEST);
	struct manifest_row row = { .id = 1, .media_type = MEDIA_OCI_MANIFEST };
	struct row packed;

	manifest_row_pack(&packed, &row);
	packed.b[packed.n++] = 7;
	index_put_raw(ix, KV_ENTRY, key_str(&k), row_str(&packed));
}

enum try {
	TRY_LINK,
	TRY_LINK_NEW,
	TRY_MOUNT,
	TRY_MOUNT_ANY,
	TRY_UNLINK,
	TRY_PUT,
	TRY_PUT_INDEX,
	TRY_DELETE,
	TRY_TAG_DELETE
};

static const struct {
	const char *name;
	void (*spoil)(struct index *ix, const struct digest *m);
	enum try op;
	const char *table;
} damage[] = {
	{ "repository: link", spoil_repo, TRY_LINK, "table repo" },
	{ "repository: mount from it", spoil_repo, TRY_MOUNT, "table repo" },
	{ "repository: unlink", spoil_repo, TRY_UNLINK, "table repo" },
	{ "repository: put", spoil_repo, TRY_PUT, "table repo" },
	{ "repository: delete", spoil_repo, TRY_DELETE, "table repo" },
	{ "repository: delete a tag", spoil_repo, TRY_TAG_DELETE, "table repo" },
	{ "next id: link in a new repository", spoil_next_id, TRY_LINK_NEW, "table meta" },
	{ "object: mount", spoil_object, TRY_MOUNT, "table content" },
	{ "object: put", spoil_object, TRY_PUT, "table content" },
	{ "place: link", spoil_place, TRY_LINK, "table content" },
	{ "place: unlink", spoil_place, TRY_UNLINK, "table content" },
	{ "place: mount from anybody", spoil_place, TRY_MOUNT_ANY, "table content" },
	{ "name in place: mount from anybody", spoil_place_name, TRY_MOUNT_ANY, "table content" },
	{ "tag: put", spoil_tag, TRY_PUT, "table tag" },
	{ "tag: delete it", spoil_tag, TRY_TAG_DELETE, "table tag" },
	{ "manifest: delete", spoil_manifest, TRY_DELETE, "table entry" },
	{ "manifest: put an index of it", spoil_manifest, TRY_PUT_INDEX, "table entry" },
	{ "references: delete", spoil_refs, TRY_DELETE, "table entry" },
	{ "next id: put", spoil_next_id, TRY_PUT, "table meta" },
};

static enum err_kind try_change(struct index *ix, enum try op, const struct digest *m,
				struct err *e)
{
	struct digest d = digest_of(layer);
	struct tag_name v1 = tag_of("v1");
	AUTO_SBUF child = small_image("x");
	AUTO_SBUF b = op == TRY_PUT_INDEX ? index_of_child(m, child.n, "") : small_image("other");
	AUTO_MANIFEST other =
	    manifest_of(text_of(&b), op == TRY_PUT_INDEX ? MEDIA_OCI_INDEX : MEDIA_OCI_MANIFEST);
	struct change c = link_change(op == TRY_LINK_NEW ? "new" : "a", layer);
	enum err_kind k;

	if (op == TRY_MOUNT || op == TRY_MOUNT_ANY)
		c = change_of_kind(CHANGE_BLOB_MOUNT, "b", &d);
	if (op == TRY_MOUNT)
		c.from = repo_of("a");
	if (op == TRY_UNLINK)
		c = change_of_kind(CHANGE_BLOB_UNLINK, "a", &d);
	if (op == TRY_PUT || op == TRY_PUT_INDEX)
		c = put_change("a", &other, text_of(&b), &v1, 1);
	if (op == TRY_DELETE)
		c = change_of_kind(CHANGE_MANIFEST_DELETE, "a", m);
	if (op == TRY_TAG_DELETE) {
		c = change_of_kind(CHANGE_TAG_DELETE, "a", NULL);
		c.tags = &v1;
		c.n_tags = 1;
	}
	k = apply(ix, &c, e);
	free(c.missing);
	return k;
}

/* ERR_CORRUPT, which is no refusal: the transaction must not go on. */
static void test_damage(void **state)
{
	__typeof__(&damage[0]) c = *state;
	struct index *ix = index_of(unit_dir());
	struct digest m;
	struct err e;

	link_all(ix, "a");
	m = put_image(ix, "a", "x", c->op == TRY_UNLINK ? "" : "v1");
	if (c->op == TRY_UNLINK)
		apply_ok(ix, change_of_kind(CHANGE_MANIFEST_DELETE, "a", &m));
	c->spoil(ix, &m);
	assert_err(try_change(ix, c->op, &m, &e), ERR_CORRUPT, &e, c->table);
	assert_false(index_refused(e.kind));
	index_close(&ix);
}

/* --- reads --- */

static enum err_kind read_tag(struct index *ix, const struct digest *m, struct err *e)
{
	struct manifest_info info;
	struct repo_name a = repo_of("a");
	struct tag_name v1 = tag_of("v1");

	(void)m;
	return index_manifest_find(ix, &a, &v1, NULL, &info, e);
}

static enum err_kind read_manifest(struct index *ix, const struct digest *m, struct err *e)
{
	struct manifest_info info;
	struct repo_name a = repo_of("a");

	return index_manifest_find(ix, &a, NULL, m, &info, e);
}

static enum err_kind read_blob(struct index *ix, const struct digest *m, struct err *e)
{
	struct repo_name a = repo_of("a");
	struct digest d = digest_of(layer);
	uint64_t size;

	(void)m;
	return blob_size(ix, &a, &d, &size, e);
}

static enum err_kind read_object(struct index *ix, const struct digest *m, struct err *e)
{
	struct digest d = digest_of(layer);

	(void)m;
	return object_exists(ix, &d, e);
}

static enum err_kind read_repo(struct index *ix, const struct digest *m, struct err *e)
{
	struct repo_name a = repo_of("a");

	(void)m;
	return index_repo_exists(ix, &a, e);
}

static enum err_kind read_mark(struct index *ix, const struct digest *m, struct err *e)
{
	struct reflog_mark mark;

	(void)m;
	return index_mark_read(ix, &mark, e);
}

static enum err_kind read_upload(struct index *ix, const struct digest *m, struct err *e)
{
	struct upload_id id = { .bytes = "0123456789abcde" };
	struct upload_row row;

	(void)m;
	return index_upload_find(ix, &id, &row, e);
}

static enum err_kind read_uploads(struct index *ix, const struct digest *m, struct err *e)
{
	struct upload_id ids[4];
	size_t n;

	(void)m;
	return index_upload_page(ix, NULL, 4, ids, &n, e);
}

static bool take_any(void *arg, struct str descriptor)
{
	(void)arg, (void)descriptor;
	return true;
}

/* The image stands for a subject. */
static enum err_kind read_referrers(struct index *ix, const struct digest *m, struct err *e)
{
	struct repo_name a = repo_of("a");
	struct referrer_mark last;
	bool more;

	return index_referrers(ix, &a, m, (struct str){ "", 0 }, NULL, take_any, NULL, &more, &last,
			       e);
}

static void spoil_bytes(struct index *ix, const struct digest *m)
{
	struct key k = content_key(m, CONTENT_BYTES);

	index_put_raw(ix, KV_CONTENT, key_str(&k), STR("not as long as the row says"));
}

static void spoil_mark(struct index *ix, const struct digest *m)
{
	(void)m;
	index_put_raw(ix, KV_META, STR("reflog"), STR("bad"));
}

static void spoil_upload(struct index *ix, const struct digest *m)
{
	(void)m;
	index_put_raw(ix, KV_UPLOAD, STR("0123456789abcde\0"), STR("bad"));
}

static void spoil_upload_key(struct index *ix, const struct digest *m)
{
	(void)m;
	index_put_raw(ix, KV_UPLOAD, STR("short"), STR("bad"));
}

static void spoil_referrer(struct index *ix, const struct digest *m)
{
	struct key k = entry_key(repo_id(ix, "a"), m, ENTRY_REFERRER);

	key_u64(&k, 1);
	key_digest(&k, m);
	index_put_raw(ix, KV_ENTRY, key_str(&k), STR("\7\7"));
}

static void spoil_referrer_key(struct index *ix, const struct digest *m)
{
	struct key k = entry_key(repo_id(ix, "a"), m, ENTRY_REFERRER);

	key_text(&k, STR("too short"));
	index_put_raw(ix, KV_ENTRY, key_str(&k), STR("\0\0{}"));
}

static const struct {
	const char *name;
	void (*spoil)(struct index *ix, const struct digest *m);
	enum err_kind (*read)(struct index *ix, const struct digest *m, struct err *e);
	const char *table;
} reads[] = {
	{ "repository", spoil_repo, read_repo, "table repo" },
	{ "repository of a manifest", spoil_repo, read_manifest, "table repo" },
	{ "repository of a blob", spoil_repo, read_blob, "table repo" },
	{ "tag", spoil_tag, read_tag, "table tag" },
	{ "manifest by tag", spoil_manifest, read_tag, "table entry" },
	{ "manifest", spoil_manifest, read_manifest, "table entry" },
	{ "bytes of a manifest", spoil_bytes, read_manifest, "table content" },
	{ "object of a blob", spoil_object, read_blob, "table content" },
	{ "no object of a blob", lose_object, read_blob, "table content" },
	{ "object", spoil_object, read_object, "table content" },
	{ "mark", spoil_mark, read_mark, "table meta" },
	{ "upload session", spoil_upload, read_upload, "table upload" },
	{ "key of an upload session", spoil_upload_key, read_uploads, "table upload" },
	{ "referrer", spoil_referrer, read_referrers, "table entry" },
	{ "key of a referrer", spoil_referrer_key, read_referrers, "table entry" },
};

static void test_read(void **state)
{
	__typeof__(&reads[0]) c = *state;
	struct index *ix = index_of(unit_dir());
	struct digest m;
	struct err e;

	link_all(ix, "a");
	m = put_image(ix, "a", "x", "v1");
	c->spoil(ix, &m);
	assert_err(c->read(ix, &m, &e), ERR_CORRUPT, &e, c->table);
	index_close(&ix);
}

int main(void)
{
	UNIT_TABLE("read", test_read, reads);
	UNIT_TABLE("change", test_damage, damage);
	return unit_run();
}
