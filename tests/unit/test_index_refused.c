/* Changes that are refused leave nothing behind, and long histories leave every row with those that go with it. */
#include "tests/lib/index_fixture.h"
#include "tests/lib/unit.h"

static const char config[] = CONFIG_TEXT, layer[] = LAYER_TEXT;

struct world {
	struct sbuf body, absent_body;
	struct manifest m, absent, wrong;
	struct sbuf wrong_body;
	struct tag_name tag;
};

static void refuse_unlink_in_use(struct world *w, struct change *c)
{
	struct digest d = digest_of(layer);

	(void)w;
	*c = change_of_kind(CHANGE_BLOB_UNLINK, "a", &d);
}

static void refuse_unlink_unknown(struct world *w, struct change *c)
{
	*c = change_of_kind(CHANGE_BLOB_UNLINK, "new", &w->m.digest);
}

static void refuse_mount(struct world *w, struct change *c)
{
	*c = change_of_kind(CHANGE_BLOB_MOUNT, "new", &w->m.digest);
}

static void refuse_refs(struct world *w, struct change *c)
{
	*c = put_change("new", &w->absent, text_of(&w->absent_body), &w->tag, 1);
}

static void refuse_refs_in_repo(struct world *w, struct change *c)
{
	*c = put_change("a", &w->absent, text_of(&w->absent_body), &w->tag, 1);
}

static void refuse_size(struct world *w, struct change *c)
{
	*c = put_change("a", &w->wrong, text_of(&w->wrong_body), &w->tag, 1);
}

static void refuse_manifest_delete(struct world *w, struct change *c)
{
	*c = change_of_kind(CHANGE_MANIFEST_DELETE, "a", &w->absent.digest);
}

static void refuse_tag_delete(struct world *w, struct change *c)
{
	*c = change_of_kind(CHANGE_TAG_DELETE, "a", NULL);
	c->tags = &w->tag;
	c->n_tags = 1;
}

static void refuse_upload(struct world *w, struct change *c)
{
	(void)w;
	*c = change_of_kind(CHANGE_UPLOAD_OPEN, "new", NULL);
	c->upload_alg = DIGEST_SHA256;
}

static const struct {
	const char *name;
	void (*make)(struct world *w, struct change *c);
	enum err_kind kind;
} refusals[] = {
	{ "unlink of a blob in use", refuse_unlink_in_use, ERR_IN_USE },
	{ "unlink in a repository that is not there", refuse_unlink_unknown, ERR_NOT_FOUND },
	{ "mount of a manifest", refuse_mount, ERR_NOT_FOUND },
	{ "manifest with missing references in a new repository", refuse_refs, ERR_REFS },
	{ "manifest with missing references", refuse_refs_in_repo, ERR_REFS },
	{ "manifest with a wrong size", refuse_size, ERR_INVALID },
	{ "delete of a manifest that is not there", refuse_manifest_delete, ERR_NOT_FOUND },
	{ "delete of a tag that is not there", refuse_tag_delete, ERR_NOT_FOUND },
	{ "one upload too many", refuse_upload, ERR_TOO_MANY },
};

static void make_world(struct world *w)
{
	static const char *const missing[] = { "missing" };
	struct digest c = digest_of(config);
	char text[DIGEST_TEXT_MAX];

	w->body = small_image("x");
	w->m = manifest_of(text_of(&w->body), MEDIA_OCI_MANIFEST);
	w->absent_body = image_of(config, missing, 1, "");
	w->absent = manifest_of(text_of(&w->absent_body), MEDIA_OCI_MANIFEST);
	sbuf_init(&w->wrong_body, 4096);
	sbuf_addf(
	    &w->wrong_body,
	    "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"digest\":\"%s\",\"size\":7},"
	    "\"layers\":[]}",
	    digest_text(&c, text));
	w->wrong = manifest_of(text_of(&w->wrong_body), MEDIA_OCI_MANIFEST);
	w->tag = tag_of("never");
}

static void clear_world(struct world *w)
{
	sbuf_clear(&w->body);
	sbuf_clear(&w->absent_body);
	sbuf_clear(&w->wrong_body);
	manifest_clear(&w->m);
	manifest_clear(&w->absent);
	manifest_clear(&w->wrong);
}

/* The tables after a good change, with or without a refused one before it in the same transaction. */
static struct sbuf dump_with(struct world *w, struct change *refused, enum err_kind want)
{
	struct index *ix = index_of(unit_dir());
	struct change good = link_change("b", "good");
	AUTO_INDEX_TXN *t = NULL;
	struct sbuf b;
	struct err e = { .msg = "" };

	link_all(ix, "a");
	apply_ok(ix, put_change("a", &w->m, text_of(&w->body), NULL, 0));
	assert_ok(index_begin(ix, &t, &e), &e);
	if (refused) {
		assert_true(index_refused(want));
		assert_int_equal(index_apply(t, refused, &e), want);
		assert_true(e.msg[0] != '\0' && e.kind == want);
	}
	assert_ok(index_apply(t, &good, &e), &e);
	assert_ok(index_commit(&t, &e), &e);
	b = index_dump(ix);
	index_check(ix);
	index_close(&ix);
	return b;
}

static void test_refused(void **state)
{
	__typeof__(&refusals[0]) c = *state;
	struct world w;
	struct change ch = { 0 };
	AUTO_SBUF with = { .p = NULL }, without = { .p = NULL };

	make_world(&w);
	c->make(&w, &ch);
	with = dump_with(&w, &ch, c->kind);
	without = dump_with(&w, NULL, ERR_OK);
	assert_string_equal(with.p, without.p);
	free(ch.missing);
	clear_world(&w);
}

static void test_refused_kinds(void **state)
{
	(void)state;
	for (unsigned k = 0; k < ERR_KIND_N; k++)
		assert_int_equal(index_refused((enum err_kind)k),
				 k == ERR_NOT_FOUND || k == ERR_REFS || k == ERR_INVALID ||
				     k == ERR_IN_USE || k == ERR_TOO_MANY || k == ERR_DENIED);
}

/* --- many changes in a random but fixed order --- */

static uint32_t next_random(uint32_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 17;
	*s ^= *s << 5;
	return *s;
}

static void random_change(uint32_t *s, struct world *w, struct change *c)
{
	static const char *const repos[] = { "a", "b", "c/d" };
	static const char *const blobs[] = { "config", "layer", "missing" };
	static const char *const tags[] = { "v1", "v2", "v3" };
	static struct tag_name tag[2];
	const char *repo = repos[next_random(s) % 3];
	struct digest blob = digest_of(blobs[next_random(s) % 3]);
	bool first = next_random(s) % 2;
	const struct manifest *m = first ? &w->m : &w->absent;

	tag[0] = tag_of(tags[next_random(s) % 3]);
	tag[1] = tag_of(tags[next_random(s) % 3]);
	switch (next_random(s) % 7) {
	case 0:
		*c = link_change(repo, blobs[next_random(s) % 3]);
		break;
	case 1:
		*c = change_of_kind(CHANGE_BLOB_MOUNT, repo, &blob);
		break;
	case 2:
		*c = change_of_kind(CHANGE_BLOB_UNLINK, repo, &blob);
		break;
	case 3:
	case 4:
		*c = put_change(repo, m, text_of(first ? &w->body : &w->absent_body), tag,
				next_random(s) % 3);
		break;
	case 5:
		*c = change_of_kind(CHANGE_MANIFEST_DELETE, repo, &m->digest);
		break;
	default:
		*c = change_of_kind(CHANGE_TAG_DELETE, repo, NULL);
		c->tags = tag;
		c->n_tags = 1;
		break;
	}
}

static void test_random(void **state)
{
	struct index *ix = index_of(unit_dir());
	unsigned done[CHANGE_KIND_N] = { 0 }, refused = 0;
	uint32_t s = 2463534242u;
	struct world w;

	(void)state;
	make_world(&w);
	for (unsigned i = 0; i < 2000; i++) {
		struct change c = { 0 };
		struct err e;
		enum err_kind k;

		random_change(&s, &w, &c);
		c.at_ms = i;
		c.review_at_ms = i + 100;
		k = apply(ix, &c, &e);
		free(c.missing);
		assert_true(k == ERR_OK || index_refused(k));
		if (k == ERR_OK)
			done[c.kind]++;
		else
			refused++;
		index_check(ix);
	}
	for (unsigned k = CHANGE_BLOB_LINK; k <= CHANGE_TAG_DELETE; k++)
		assert_in_range(done[k], 10, 2000); /* all kinds were at work */
	assert_in_range(refused, 100, 1900);
	clear_world(&w);
	index_close(&ix);
}

int main(void)
{
	UNIT_TABLE("refused", test_refused, refusals);
	unit_case("kinds of refusals", test_refused_kinds);
	unit_case("two thousand changes", test_random);
	return unit_run();
}
