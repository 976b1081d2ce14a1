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

static void spoil_next_repo(struct index *ix, const struct digest *m)
{
	(void)m;
	index_put_raw(ix, KV_META, STR("next-repo"), STR("bad"));
}

static void spoil_object(struct index *ix, const struct digest *m)
{
	struct digest d = digest_of(layer);
	struct key k = { 0 };

	(void)m;
	key_digest(&k, &d);
	index_put_raw(ix, KV_OBJECT, key_str(&k), STR("bad"));
}

static void lose_object(struct index *ix, const struct digest *m)
{
	struct digest d = digest_of(layer);
	struct key k = { 0 };

	(void)m;
	key_digest(&k, &d);
	index_delete_raw(ix, KV_OBJECT, key_str(&k));
}

static void spoil_place(struct index *ix, const struct digest *m)
{
	struct digest d = digest_of(layer);
	struct key k = { 0 };

	(void)m;
	key_digest(&k, &d);
	key_u64(&k, repo_id(ix, "a"));
	index_put_raw(ix, KV_PLACE, key_str(&k), STR(""));
}

static void spoil_place_name(struct index *ix, const struct digest *m)
{
	struct digest d = digest_of(layer);
	struct key k = { 0 };

	(void)m;
	key_digest(&k, &d);
	key_u64(&k, repo_id(ix, "a"));
	index_put_raw(ix, KV_PLACE, key_str(&k), STR("\1NO"));
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
	struct key k = index_key_of(repo_id(ix, "a"), m);

	index_put_raw(ix, KV_MANIFEST, key_str(&k), STR("bad"));
}

static void spoil_holds(struct index *ix, const struct digest *m)
{
	struct key k = index_key_of(repo_id(ix, "a"), m);

	index_put_raw(ix, KV_HOLDS, key_str(&k), STR("bad"));
}

static void lose_holds(struct index *ix, const struct digest *m)
{
	struct key k = index_key_of(repo_id(ix, "a"), m);

	index_delete_raw(ix, KV_HOLDS, key_str(&k));
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
	{ "next repository: link in a new one", spoil_next_repo, TRY_LINK_NEW, "table meta" },
	{ "object: mount", spoil_object, TRY_MOUNT, "table object" },
	{ "object: put", spoil_object, TRY_PUT, "table object" },
	{ "object lost: mount", lose_object, TRY_MOUNT, "table object" },
	{ "place: link", spoil_place, TRY_LINK, "table place" },
	{ "place: unlink", spoil_place, TRY_UNLINK, "table place" },
	{ "place: mount from anybody", spoil_place, TRY_MOUNT_ANY, "table place" },
	{ "name in place: mount from anybody", spoil_place_name, TRY_MOUNT_ANY, "table place" },
	{ "tag: put", spoil_tag, TRY_PUT, "table tag" },
	{ "tag: delete it", spoil_tag, TRY_TAG_DELETE, "table tag" },
	{ "manifest: delete", spoil_manifest, TRY_DELETE, "table manifest" },
	{ "manifest: put an index of it", spoil_manifest, TRY_PUT_INDEX, "table manifest" },
	{ "references: delete", spoil_holds, TRY_DELETE, "table holds" },
	{ "references lost: delete", lose_holds, TRY_DELETE, "table holds" },
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

int main(void)
{
	UNIT_TABLE("change", test_damage, damage);
	return unit_run();
}
