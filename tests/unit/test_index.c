#include "tests/lib/index_fixture.h"
#include "tests/lib/unit.h"

#define SBOM "application/sbom"
#define SIGNATURE "application/signature"

/* --- opening --- */

static void test_open(void **state)
{
	const char *dir = unit_dir();
	struct index *ix = index_of(dir);
	struct digest d;
	AUTO_SBUF before = { .p = NULL }, after = { .p = NULL };

	(void)state;
	link_all(ix, "a");
	d = put_image(ix, "a", "x", "v1");
	before = index_dump(ix);
	index_close(&ix);
	assert_null(ix);
	index_close(&ix);
	ix = index_of(dir);
	after = index_dump(ix);
	assert_string_equal(before.p, after.p);
	assert_int_equal(index_entries(ix, ENTRY_MANIFEST), 1);
	(void)d;
	index_close(&ix);
}

static void set_version(const char *dir, struct str value)
{
	struct index *ix = index_of(dir);

	index_put_raw(ix, KV_META, STR("format"), value);
	index_close(&ix);
}

/* The version is what the first open writes: an index of another one is refused as it is. */
static void test_version(void **state)
{
	const char *dir = unit_dir();
	struct index *ix = NULL;
	struct row two;
	AUTO_SBUF before = { .p = NULL }, after = { .p = NULL };
	struct err e;

	(void)state;
	u64_pack(&two, 2);
	set_version(dir, row_str(&two));
	before = file_read(dir, "data.mdb");
	assert_err(index_open(dir, INDEX_MAP_BYTES, &ix, &e), ERR_UNSUPPORTED, &e,
		   "the index has format 2, this berthd knows 1");
	assert_null(ix);
	after = file_read(dir, "data.mdb");
	assert_true(str_eq(text_of(&before), text_of(&after)));
}

static void test_bad_version(void **state)
{
	const char *dir = unit_dir();
	struct index *ix = NULL;
	struct err e;

	(void)state;
	set_version(dir, STR("bad"));
	assert_err(index_open(dir, INDEX_MAP_BYTES, &ix, &e), ERR_CORRUPT, &e, "table meta");
}

static void test_mark(void **state)
{
	const char *dir = unit_dir();
	struct index *ix = index_of(dir);
	struct reflog_mark m, set = { .segment = 5, .offset = 6, .seq = 7 };
	struct index_txn *t = NULL;
	struct err e;

	(void)state;
	assert_ok(index_mark_read(ix, &m, &e), &e);
	assert_true(m.segment == 1 && m.offset == 0 && m.seq == 0);
	assert_ok(index_begin(ix, &t, &e), &e);
	assert_ok(index_mark_put(t, &set, &e), &e);
	index_abort(&t);
	assert_null(t);
	index_abort(&t);
	assert_ok(index_mark_read(ix, &m, &e), &e);
	assert_int_equal(m.segment, 1);
	assert_ok(index_begin(ix, &t, &e), &e);
	assert_ok(index_mark_put(t, &set, &e), &e);
	assert_ok(index_commit(&t, &e), &e);
	assert_null(t);
	assert_ok(index_recover(ix, &e), &e);
	assert_ok(index_mark_read(ix, &m, &e), &e);
	assert_true(m.segment == 5 && m.offset == 6 && m.seq == 7);
	index_close(&ix);
}

static void test_full(void **state)
{
	struct index *ix = NULL;
	struct err e;
	unsigned grown = 0, i = 0;
	char text[64];

	(void)state;
	assert_ok(index_open(unit_dir(), 1024 * 1024, &ix, &e), &e);
	while (grown < 2) {
		struct change c;
		enum err_kind k;

		(void)snprintf(text, sizeof(text), "blob %u", i);
		c = link_change("a", text);
		k = apply(ix, &c, &e);
		if (k != ERR_OK) {
			assert_int_equal(k, ERR_NO_SPACE);
			assert_true(index_is_full(&e) && !index_refused(k));
			assert_ok(index_grow(ix, &e), &e);
			grown++;
		} else {
			i++;
		}
	}
	assert_int_equal(index_entries(ix, ENTRY_LINK), i);
	index_check(ix);
	index_close(&ix);
}

/* --- look-ups --- */

static void test_find(void **state)
{
	struct index *ix = index_of(unit_dir());
	struct repo_name a = repo_of("a"), b = repo_of("b"), none = repo_of("none");
	struct tag_name v1 = tag_of("v1"), v2 = tag_of("v2");
	struct digest d, unknown = digest_of("unknown"), layer = digest_of(LAYER_TEXT);
	struct manifest_info m = { .size_bytes = 77 };
	uint64_t size;
	struct err e;

	(void)state;
	link_all(ix, "a");
	apply_ok(ix, link_change("b", LAYER_TEXT));
	d = put_image(ix, "a", "x", "v1");
	assert_ok(index_repo_exists(ix, &a, &e), &e);
	assert_err(index_repo_exists(ix, &none, &e), ERR_NOT_FOUND, &e,
		   "repository none is not known");
	assert_err(index_manifest_find(ix, &none, &v1, NULL, &m, &e), ERR_NOT_FOUND, &e,
		   "repository none is not known");
	assert_err(index_manifest_find(ix, &a, &v2, NULL, &m, &e), ERR_NOT_FOUND, &e,
		   "no tag v2 in a");
	assert_err(index_manifest_find(ix, &b, &v1, NULL, &m, &e), ERR_NOT_FOUND, &e,
		   "no tag v1 in b");
	assert_err(index_manifest_find(ix, &a, NULL, &unknown, &m, &e), ERR_NOT_FOUND, &e,
		   "no such manifest in a");
	assert_err(index_manifest_find(ix, &b, NULL, &d, &m, &e), ERR_NOT_FOUND, &e,
		   "no such manifest in b");
	assert_err(index_manifest_find(ix, &a, NULL, &layer, &m, &e), ERR_NOT_FOUND, &e,
		   "no such manifest in a");
	assert_int_equal(m.size_bytes, 77);
	assert_ok(index_manifest_find(ix, &a, &v1, NULL, &m, &e), &e);
	assert_true(digest_eq(&m.digest, &d));
	assert_int_equal(m.bytes[m.size_bytes], '\0');
	free(m.bytes);
	assert_ok(blob_size(ix, &a, &layer, &size, &e), &e);
	assert_int_equal(size, strlen(LAYER_TEXT));
	assert_err(blob_size(ix, &a, &unknown, &size, &e), ERR_NOT_FOUND, &e, "no such blob in a");
	assert_err(blob_size(ix, &a, &d, &size, &e), ERR_NOT_FOUND, &e, "no such blob in a");
	assert_err(blob_size(ix, &none, &layer, &size, &e), ERR_NOT_FOUND, &e, "repository none");
	assert_ok(object_exists(ix, &layer, &e), &e);
	assert_ok(object_exists(ix, &d, &e), &e);
	assert_int_equal(object_exists(ix, &unknown, &e), ERR_NOT_FOUND);
	index_close(&ix);
}

/* --- pages --- */

/* The names of a page, separated by commas; "+" at the end if there are more. */
static void assert_page(const struct name_page *p, const char *want)
{
	AUTO_SBUF b;
	const char *at = p->names.p;

	sbuf_init(&b, 4096);
	for (size_t i = 0; i < p->n; i++, at += strlen(at) + 1)
		sbuf_addf(&b, "%s%s", i ? "," : "", at);
	sbuf_addf(&b, "%s", p->more ? "+" : "");
	assert_string_equal(b.p, want);
}

static const struct page_case {
	const char *name, *after;
	size_t n;
	const char *tags, *repos;
} pages[] = {
	{ "all", "", 100, "A,a,b,b.1,z", "a,a-b,a/b,b,c" },
	{ "exactly all", "", 5, "A,a,b,b.1,z", "a,a-b,a/b,b,c" },
	{ "the first", "", 1, "A+", "a+" },
	{ "all but one", "", 4, "A,a,b,b.1+", "a,a-b,a/b,b+" },
	{ "none", "", 0, "+", "+" },
	{ "after one", "a", 2, "b,b.1+", "a-b,a/b+" },
	{ "after one that is not there", "aa", 2, "b,b.1+", "b,c" },
	{ "after a prefix of one", "b.", 100, "b.1,z", "c" },
	{ "after the last", "z", 100, "", "" },
	{ "after everything", "zzz", 100, "", "" },
	{ "before everything", "0", 2, "A,a+", "a,a-b+" },
	{ "none after one", "a", 0, "+", "+" },
	{ "none after the last", "z", 0, "", "" },
};

static struct index *index_with_names(void)
{
	static const char *const repos[] = { "c", "a/b", "b", "a", "a-b" };
	struct index *ix = index_of(unit_dir());

	for (size_t i = 0; i < ARRAY_LEN(repos); i++)
		link_all(ix, repos[i]);
	(void)put_image(ix, "a", "x", "z,b.1,A,b,a");
	(void)put_image(ix, "a-b", "x", "other,tags");
	return ix;
}

static void test_page(void **state)
{
	const struct page_case *c = *state;
	struct index *ix = index_with_names();
	struct repo_name a = repo_of("a");
	AUTO_NAME_PAGE tags = NAME_PAGE_INIT;
	AUTO_NAME_PAGE repos = NAME_PAGE_INIT;
	struct err e;

	assert_ok(index_tag_page(ix, &a, str_of(c->after), c->n, &tags, &e), &e);
	assert_page(&tags, c->tags);
	assert_ok(index_repo_page(ix, str_of(c->after), c->n, &repos, &e), &e);
	assert_page(&repos, c->repos);
	index_close(&ix);
}

static void test_page_borders(void **state)
{
	struct index *ix = index_with_names();
	struct repo_name a = repo_of("a"), c = repo_of("c"), none = repo_of("none");
	AUTO_NAME_PAGE p = NAME_PAGE_INIT;
	char name[5000];
	struct err e;

	(void)state;
	assert_err(index_tag_page(ix, &none, STR(""), 10, &p, &e), ERR_NOT_FOUND, &e,
		   "repository none");
	assert_ok(index_tag_page(ix, &c, STR(""), 10, &p, &e), &e); /* a repository without tags */
	assert_page(&p, "");
	memset(name, 'b', sizeof(name)); /* longer than a key may be */
	assert_ok(index_tag_page(ix, &a, (struct str){ name, sizeof(name) }, 10, &p, &e), &e);
	assert_page(&p, "z");
	name_page_clear(&p);
	assert_ok(index_repo_page(ix, (struct str){ name, sizeof(name) }, 10, &p, &e), &e);
	assert_page(&p, "c");
	name_page_clear(&p);
	assert_ok(index_repo_page(ix, STR("a\0"), 10, &p, &e), &e); /* any bytes */
	assert_page(&p, "a-b,a/b,b,c");
	index_close(&ix);
}

/* A page as long as the caller's memory allows fails, and says so. */
static void test_page_memory(void **state)
{
	struct index *ix = index_with_names();
	struct repo_name a = repo_of("a");
	AUTO_NAME_PAGE p = { .names = { .max = 5 } };
	struct err e;

	(void)state;
	assert_err(index_tag_page(ix, &a, STR(""), 10, &p, &e), ERR_NO_MEMORY, &e,
		   "no memory for a page of names");
	index_close(&ix);
}

/* --- referrers --- */

struct taken {
	unsigned n, stop_at; /* stops before the stop_at'th, counted from 0 */
	char notes[64];
};

/* Collects the notes of descriptors. */
static bool take(void *arg, struct str descriptor)
{
	struct taken *t = arg;
	char text[1024];
	const char *at;

	MUST(str_copy(descriptor, text, sizeof(text)));
	if (t->n == t->stop_at)
		return false;
	at = strstr(text, "\"note\":\"");
	MUST(at);
	(void)snprintf(t->notes + strlen(t->notes), sizeof(t->notes) - strlen(t->notes), "%s%c",
		       t->n ? "," : "", at[8]);
	t->n++;
	return true;
}

static struct digest put_referrer(struct index *ix, const char *repo, const struct digest *subject,
				  const char *type, char note)
{
	char extra[512], text[DIGEST_TEXT_MAX];
	AUTO_SBUF b = { .p = NULL };
	AUTO_MANIFEST m = { 0 };
	const char *layer = LAYER_TEXT;

	(void)snprintf(
	    extra, sizeof(extra),
	    ",\"artifactType\":\"%s\",\"subject\":{\"mediaType\":\"a/b\",\"digest\":\"%s\","
	    "\"size\":1},\"annotations\":{\"note\":\"%c\"}",
	    type, digest_text(subject, text), note);
	b = image_of(CONFIG_TEXT, &layer, 1, extra);
	m = manifest_of(text_of(&b), MEDIA_OCI_MANIFEST);
	apply_ok(ix, put_change(repo, &m, text_of(&b), NULL, 0));
	return m.digest;
}

static struct taken list(struct index *ix, const struct digest *subject, const char *type,
			 unsigned stop_at, const struct referrer_mark *after,
			 struct referrer_mark *ret_last, bool *ret_more)
{
	struct repo_name a = repo_of("a");
	struct taken t = { .stop_at = stop_at };
	struct err e;

	assert_ok(
	    index_referrers(ix, &a, subject, str_of(type), after, take, &t, ret_more, ret_last, &e),
	    &e);
	return t;
}

static unsigned count_of(const char *notes, char c)
{
	unsigned n = 0;

	for (; *notes; notes++)
		n += *notes == c;
	return n;
}

static struct index *index_with_referrers(struct digest *subject)
{
	struct index *ix = index_of(unit_dir());
	struct digest other = digest_of("another subject");

	*subject = digest_of("subject");
	link_all(ix, "a");
	link_all(ix, "b");
	for (char c = '0'; c < '5'; c++)
		(void)put_referrer(ix, "a", subject, SBOM, c);
	for (char c = '5'; c < '8'; c++)
		(void)put_referrer(ix, "a", subject, SIGNATURE, c);
	(void)put_referrer(ix, "a", &other, SBOM, 'x');
	(void)put_referrer(ix, "b", subject, SBOM, 'y');
	return ix;
}

static void test_referrers(void **state)
{
	struct digest subject, unknown = digest_of("unknown");
	struct index *ix = index_with_referrers(&subject);
	struct repo_name none = repo_of("none");
	struct referrer_mark last;
	struct taken t;
	bool more = true;
	struct err e;

	(void)state;
	t = list(ix, &subject, "", 100, NULL, &last, &more);
	assert_int_equal(t.n, 8);
	assert_false(more);
	for (char c = '0'; c < '8'; c++)
		assert_int_equal(count_of(t.notes, c), 1); /* each once, none of others */
	t = list(ix, &subject, SBOM, 100, NULL, &last, &more);
	assert_int_equal(t.n, 5);
	assert_null(strpbrk(t.notes, "567xy"));
	t = list(ix, &subject, SIGNATURE, 100, NULL, &last, &more);
	assert_int_equal(t.n, 3);
	t = list(ix, &subject, "application/none", 100, NULL, &last, &more);
	assert_int_equal(t.n, 0);
	t = list(ix, &unknown, "", 100, NULL, &last, &more);
	assert_int_equal(t.n, 0);
	more = true;
	assert_err(index_referrers(ix, &none, &subject, STR(""), NULL, take, &t, &more, &last, &e),
		   ERR_NOT_FOUND, &e, "repository none");
	assert_false(more);
	index_close(&ix);
}

/* Pages of every size give the same list, in the same order. */
static void test_referrer_pages(void **state)
{
	static const char *const types[] = { "", SBOM, SIGNATURE };
	struct digest subject;
	struct index *ix = index_with_referrers(&subject);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct referrer_mark last, next;
		bool more;
		struct taken whole = list(ix, &subject, types[i], 100, NULL, &last, &more);

		for (unsigned size = 1; size <= whole.n; size++) {
			char joined[512] = "";
			bool first = true;

			do {
				struct taken part = list(ix, &subject, types[i], size,
							 first ? NULL : &last, &next, &more);
				size_t n = strlen(joined);

				assert_in_range(part.n, 1, size);
				(void)snprintf(joined + n, sizeof(joined) - n, "%s%s",
					       first ? "" : ",", part.notes);
				last = next;
				first = false;
			} while (more);
			assert_string_equal(joined, whole.notes);
		}
	}
	index_close(&ix);
}

/* A page may go on after one that was deleted meanwhile. */
static void test_referrer_deleted(void **state)
{
	struct digest subject;
	struct index *ix = index_with_referrers(&subject);
	struct referrer_mark last, ignored;
	struct taken first, rest, all;
	bool more;

	(void)state;
	first = list(ix, &subject, "", 3, NULL, &last, &more);
	assert_true(more);
	apply_ok(ix, change_of_kind(CHANGE_MANIFEST_DELETE, "a", &last.manifest));
	rest = list(ix, &subject, "", 100, &last, &ignored, &more);
	assert_int_equal(first.n + rest.n, 8);
	all = list(ix, &subject, "", 100, NULL, &ignored, &more);
	assert_int_equal(all.n, 7);
	for (char c = '0'; c < '8'; c++)
		assert_int_equal(count_of(first.notes, c) + count_of(rest.notes, c), 1);
	index_close(&ix);
}

/* Artifact types whose hashes collide: rows of both are side by side, and the filter tells them apart. */
static void test_referrer_collision(void **state)
{
	struct index *ix = index_of(unit_dir());
	struct digest subject = digest_of("subject"), d;
	struct referrer_mark last, after;
	struct key key;
	AUTO_SBUF value;
	struct taken t;
	bool more;

	(void)state;
	link_all(ix, "a");
	for (char c = '0'; c < '4'; c++) {
		d = put_referrer(ix, "a", &subject, SBOM, c);
		if (c % 2 == 0)
			continue;
		key = entry_key(repo_id(ix, "a"), &subject, ENTRY_REFERRER);
		key_u64(&key, artifact_type_hash(STR(SBOM)));
		key_digest(&key, &d);
		sbuf_init(&value, 1000);
		referrer_pack(&value, STR("of/another-type"), STR("{\"note\":\"!\"}"));
		index_put_raw(ix, KV_ENTRY, key_str(&key), text_of(&value));
		sbuf_clear(&value);
	}
	sbuf_init(&value, 1);
	t = list(ix, &subject, SBOM, 100, NULL, &last, &more);
	assert_int_equal(t.n, 2);
	assert_int_equal(count_of(t.notes, '0') + count_of(t.notes, '2'), 2);
	assert_false(more);
	/* the mark of a page is the last one taken, not one that was passed over */
	t = list(ix, &subject, SBOM, 1, NULL, &after, &more);
	assert_true(t.n == 1 && more);
	t = list(ix, &subject, SBOM, 100, &after, &last, &more);
	assert_true(t.n == 1 && !more);
	t = list(ix, &subject, "", 100, NULL, &last, &more);
	assert_int_equal(t.n, 4);
	index_close(&ix);
}

/* --- upload sessions --- */

static void test_upload_page(void **state)
{
	struct index *ix = index_of(unit_dir());
	struct upload_id ids[8], after = { { 0 } };
	size_t n = 77;
	struct err e;

	(void)state;
	assert_ok(index_upload_page(ix, NULL, 8, ids, &n, &e), &e);
	assert_int_equal(n, 0);
	for (uint8_t i = 0; i < 5; i++) { /* the first one has the least id there is */
		struct change c = change_of_kind(CHANGE_UPLOAD_OPEN, "a", NULL);

		c.upload_alg = DIGEST_SHA256;
		c.uploads_max = 10;
		c.upload.bytes[15] = i;
		apply_ok(ix, c);
	}
	assert_ok(index_upload_page(ix, NULL, 8, ids, &n, &e), &e);
	assert_int_equal(n, 5);
	for (uint8_t i = 0; i < 5; i++)
		assert_int_equal(ids[i].bytes[15], i);
	assert_ok(index_upload_page(ix, NULL, 2, ids, &n, &e), &e);
	assert_int_equal(n, 2);
	assert_ok(index_upload_page(ix, &ids[1], 2, ids, &n, &e), &e);
	assert_true(n == 2 && ids[0].bytes[15] == 2 && ids[1].bytes[15] == 3);
	assert_ok(index_upload_page(ix, &ids[1], 2, ids, &n, &e), &e);
	assert_true(n == 1 && ids[0].bytes[15] == 4);
	assert_ok(index_upload_page(ix, &after, 8, ids, &n, &e), &e);
	assert_int_equal(n, 4);
	memset(after.bytes, 0xff, sizeof(after.bytes));
	assert_ok(index_upload_page(ix, &after, 8, ids, &n, &e), &e);
	assert_int_equal(n, 0);
	assert_ok(index_upload_page(ix, NULL, 0, ids, &n, &e), &e);
	assert_int_equal(n, 0);
	index_close(&ix);
}

int main(void)
{
	unit_case("open and open again", test_open);
	unit_case("another version", test_version);
	unit_case("a version that cannot be read", test_bad_version);
	unit_case("the reflog's mark", test_mark);
	unit_case("a full map", test_full);
	unit_case("find", test_find);
	UNIT_TABLE("page", test_page, pages);
	unit_case("pages at their borders", test_page_borders);
	unit_case("a page without memory", test_page_memory);
	unit_case("referrers", test_referrers);
	unit_case("referrers in pages", test_referrer_pages);
	unit_case("referrers in pages while one is deleted", test_referrer_deleted);
	unit_case("artifact types with one hash", test_referrer_collision);
	unit_case("upload sessions in pages", test_upload_page);
	return unit_run();
}
