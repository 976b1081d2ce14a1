/*
 * Golden stores: a root that an earlier version wrote opens, and everything that was in it is found (STYLE: formats).
 *
 * "test_golden make DIR" writes such a root with the present code; "make golden" packs it.  That is done once for each
 * version of the store, and the archive is never made again: it stands for the disks of users.
 */
#include "storage/collect.h"
#include "storage/repo.h"
#include "storage/scrub.h"
#include "storage/trash.h"
#include "storage/upload.h"

#include <sys/wait.h>

#include "base/fd.h"
#include "tests/lib/index_fixture.h"
#include "tests/lib/unit.h"

#define ARCHIVE "tests/golden/store-v1.tar.xz"
#define MAP_BYTES (1024u * 1024) /* a small file */
#define LARGE_BYTES 70000        /* a manifest that is not kept in the index */
#define SBOM "application/spdx+json"

static const char session_part[] = "half of a ", session_rest[] = "blob";

static enum err_kind open_golden(const char *root, struct store **ret, struct store_recovery *found,
				 struct err *e)
{
	struct store_options o = store_options_of(root);

	o.map_bytes = MAP_BYTES;
	o.trash_keep_ms = 24 * 3600 * 1000;
	return store_open(&o, ret, found, e);
}

/* --- documents, the same when made and when looked for --- */

static struct sbuf large_image(void)
{
	const char *layer = LAYER_TEXT;
	AUTO_SBUF extra = { .max = SBUF_MAX };

	sbuf_add_str(&extra, STR(",\"x\":\""));
	for (unsigned i = 0; i < LARGE_BYTES; i++)
		sbuf_add(&extra, "x", 1);
	sbuf_add_str(&extra, STR("\""));
	return image_of(CONFIG_TEXT, &layer, 1, extra.p);
}

static struct sbuf multi(void)
{
	AUTO_SBUF child = small_image("child");
	struct digest d = digest_of(child.p);

	return index_of_child(&d, child.n, ",\"annotations\":{\"note\":\"multi\"}");
}

static struct sbuf sbom(void)
{
	AUTO_SBUF child = small_image("child");
	struct digest d = digest_of(child.p);
	const char *layer = LAYER_TEXT;
	char extra[512], text[DIGEST_TEXT_MAX];

	(void)snprintf(extra, sizeof(extra),
		       ",\"artifactType\":\"" SBOM
		       "\",\"subject\":{\"mediaType\":\"" MEDIA_OCI_MANIFEST
		       "\",\"digest\":\"%s\",\"size\":%zu}",
		       digest_text(&d, text), child.n);
	return image_of(CONFIG_TEXT, &layer, 1, extra);
}

/* --- making --- */

static void put(struct store *st, const char *repo, struct sbuf body, const char *type,
		const char *tag)
{
	push_manifest(st, repo, text_of(&body), type, tag);
	sbuf_clear(&body);
}

static void put_sha512(struct store *st, const char *repo)
{
	AUTO_SBUF body = small_image("sha512");
	AUTO_MANIFEST_PUSHED pushed = { 0 };
	struct repo_name r = repo_of(repo);
	struct manifest_push push = { .body = text_of(&body),
				      .media_type = STR(MEDIA_OCI_MANIFEST),
				      .digest = digest_of_bytes(DIGEST_SHA512, text_of(&body)) };
	struct err e;

	MUST(repo_manifest_put(st, &r, &push, &pushed, &e) == ERR_OK);
}

static void leave_session(struct store *st, const char *repo)
{
	AUTO_UPLOAD *u = NULL;
	struct repo_name r = repo_of(repo);
	struct upload_id id;
	struct err e;

	MUST(upload_create(st, &r, DIGEST_SHA256, &id, &e) == ERR_OK);
	MUST(upload_take(st, &r, &id, &u, &e) == ERR_OK);
	MUST(upload_write(u, session_part, strlen(session_part), &e) == ERR_OK);
}

static void delete_some(struct store *st)
{
	AUTO_SBUF body = small_image("deleted");
	struct repo_name a = repo_of("library/a");
	struct digest d = digest_of(body.p), blob = digest_of("deleted blob");
	struct tag_name tag = tag_of("deleted");
	struct err e;

	push_blob(st, "library/a", "deleted blob");
	push_manifest(st, "library/a", text_of(&body), MEDIA_OCI_MANIFEST, "deleted");
	MUST(repo_tag_delete(st, &a, &tag, NULL, &e) == ERR_OK);
	MUST(repo_manifest_delete(st, &a, &d, NULL, &e) == ERR_OK);
	MUST(repo_blob_delete(st, &a, &blob, &e) == ERR_OK);
}

/* What collection and the checks of files leave behind. */
static void look_after(struct store *st)
{
	struct digest damaged = digest_of("damaged blob");
	const struct scrub_row round = { .started_ms = 1800000000000,
					 .objects = 3,
					 .bytes = 700,
					 .damaged = 1,
					 .has_position = true,
					 .position = damaged };
	struct err e;

	push_blob(st, "library/a", "damaged blob");
	MUST(scrub_mark(st, &damaged, true, &e) == ERR_OK);
	MUST(scrub_save(st, &round, &e) == ERR_OK);
	MUST(store_note_rules(st, 42, &e) == ERR_OK);
}

static int make(const char *root)
{
	struct repo_name a = repo_of("library/a"), b = repo_of("team/b");
	struct digest config = digest_of(CONFIG_TEXT), layer = digest_of(LAYER_TEXT);
	struct store_recovery found;
	struct store *st = NULL;
	struct err e;

	MUST(open_golden(root, &st, &found, &e) == ERR_OK);
	push_blob(st, "library/a", CONFIG_TEXT);
	push_blob(st, "library/a", LAYER_TEXT);
	put(st, "library/a", small_image("one"), MEDIA_OCI_MANIFEST, "latest");
	put(st, "library/a", small_image("one"), MEDIA_OCI_MANIFEST, "v1");
	put(st, "library/a", small_image("two"), MEDIA_DOCKER_MANIFEST,
	    "latest"); /* moves the tag */
	put(st, "library/a", large_image(), MEDIA_OCI_MANIFEST, "large");
	MUST(repo_blob_mount(st, &b, &a, &config, NULL, &e) == ERR_OK);
	MUST(repo_blob_mount(st, &b, NULL, &layer, NULL, &e) == ERR_OK);
	put(st, "team/b", small_image("child"), MEDIA_OCI_MANIFEST, NULL);
	put(st, "team/b", multi(), MEDIA_OCI_INDEX, "multi");
	put(st, "team/b", sbom(), MEDIA_OCI_MANIFEST, NULL);
	put_sha512(st, "team/b");
	delete_some(st);
	look_after(st);
	leave_session(st, "team/b");
	store_close(&st);
	return 0;
}

/* --- looking --- */

/* The exit status of a program of the system; 127: it is not there. */
static int run(const char *const *args)
{
	int status;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	MUST(pid >= 0);
	if (pid == 0) {
		(void)execvp(args[0], (char **)(uintptr_t)args);
		_exit(127);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static struct store *st;
static char root[128];

static int open_store(void **state)
{
	const char *const tar[] = { "tar", "-xJf", ARCHIVE, "-C", root, NULL };
	struct store_recovery found;
	struct err e;

	(void)state;
	temp_dir_make(root, sizeof(root));
	assert_int_equal(run(tar), 0);
	(void)snprintf(root + strlen(root), sizeof(root) - strlen(root), "/store-v1");
	assert_ok(open_golden(root, &st, &found, &e), &e);
	assert_int_equal(found.resumable, 1);
	assert_int_equal(found.discarded, 0);
	return 0;
}

static int close_store(void **state)
{
	(void)state;
	store_close(&st);
	*strrchr(root, '/') = '\0';
	temp_dir_remove(root);
	return 0;
}

/* The file hashes to its name, and has the size that the index says. */
static void check_file(const struct digest *d, uint64_t size)
{
	AUTO_CLOSE fd = -1;
	AUTO_FREE char *bytes = malloc(size + 1);
	struct digest got;
	struct err e;

	MUST(bytes);
	assert_ok(blob_open(st, d, size, &fd, &e), &e);
	assert_ok(fd_pread_exact(fd, bytes, (size_t)size, 0, "blob", &e), &e);
	assert_ok(hash_bytes((enum digest_alg)d->alg, bytes, (size_t)size, &got, &e), &e);
	assert_true(digest_eq(&got, d));
}

static void check_blob(const char *repo, const char *text)
{
	struct repo_name r = repo_of(repo);
	struct digest d = digest_of(text);
	uint64_t size;
	struct err e;

	assert_ok(blob_size(store_index(st), &r, &d, &size, &e), &e);
	assert_int_equal(size, strlen(text));
	check_file(&d, size);
}

static void check_manifest(const char *repo, const char *tag, const struct digest *d,
			   struct sbuf want, const char *type)
{
	struct repo_name r = repo_of(repo);
	struct tag_name t = tag ? tag_of(tag) : (struct tag_name){ 0 };
	struct manifest_info m = { .bytes = NULL };
	struct err e;

	assert_ok(index_manifest_find(store_index(st), &r, tag ? &t : NULL, d, &m, &e), &e);
	assert_string_equal(m.media_type, type);
	assert_int_equal(m.size_bytes, want.n);
	assert_true(m.pushed_ms > 1700000000000u);
	if (m.bytes)
		assert_memory_equal(m.bytes, want.p, want.n);
	assert_int_equal(m.bytes != NULL, want.n <= INDEX_INLINE_MAX);
	check_file(&m.digest, m.size_bytes);
	free(m.bytes);
	sbuf_clear(&want);
}

static void test_blobs(void **state)
{
	(void)state;
	check_blob("library/a", CONFIG_TEXT);
	check_blob("library/a", LAYER_TEXT);
	check_blob("team/b", CONFIG_TEXT);
	check_blob("team/b", LAYER_TEXT);
}

static void test_manifests(void **state)
{
	AUTO_SBUF child = small_image("child"), sha512 = small_image("sha512"), referrer = sbom();
	struct digest d = digest_of(child.p),
		      d512 = digest_of_bytes(DIGEST_SHA512, text_of(&sha512)),
		      r = digest_of(referrer.p);

	(void)state;
	check_manifest("library/a", "latest", NULL, small_image("two"), MEDIA_DOCKER_MANIFEST);
	check_manifest("library/a", "v1", NULL, small_image("one"), MEDIA_OCI_MANIFEST);
	check_manifest("library/a", "large", NULL, large_image(), MEDIA_OCI_MANIFEST);
	check_manifest("team/b", "multi", NULL, multi(), MEDIA_OCI_INDEX);
	check_manifest("team/b", NULL, &d, small_image("child"), MEDIA_OCI_MANIFEST);
	check_manifest("team/b", NULL, &d512, small_image("sha512"), MEDIA_OCI_MANIFEST);
	check_manifest("team/b", NULL, &r, sbom(), MEDIA_OCI_MANIFEST);
}

static void assert_names(const struct name_page *p, const char *want)
{
	AUTO_SBUF b;
	const char *at = p->names.p;

	sbuf_init(&b, 4096);
	sbuf_add(&b, "", 0);
	for (size_t i = 0; i < p->n; i++, at += strlen(at) + 1)
		sbuf_addf(&b, "%s ", at);
	assert_string_equal(b.p, want);
}

static void test_lists(void **state)
{
	AUTO_NAME_PAGE repos = NAME_PAGE_INIT;
	AUTO_NAME_PAGE a = NAME_PAGE_INIT;
	AUTO_NAME_PAGE b = NAME_PAGE_INIT;
	struct repo_name library = repo_of("library/a"), team = repo_of("team/b");
	struct err e;

	(void)state;
	assert_ok(index_repo_page(store_index(st), STR(""), 10, &repos, &e), &e);
	assert_names(&repos, "library/a team/b ");
	assert_ok(index_tag_page(store_index(st), &library, STR(""), 10, &a, &e), &e);
	assert_names(&a, "large latest v1 ");
	assert_ok(index_tag_page(store_index(st), &team, STR(""), 10, &b, &e), &e);
	assert_names(&b, "multi ");
}

static bool count_one(void *arg, struct str descriptor)
{
	AUTO_SBUF referrer = sbom();
	struct digest d = digest_of(referrer.p);
	char text[DIGEST_TEXT_MAX];

	MUST(memmem(descriptor.p, descriptor.n, digest_text(&d, text), strlen(text)));
	++*(unsigned *)arg;
	return true;
}

static void test_referrers(void **state)
{
	AUTO_SBUF child = small_image("child");
	struct repo_name team = repo_of("team/b");
	struct digest d = digest_of(child.p);
	struct referrer_mark last;
	unsigned n = 0;
	bool more;
	struct err e;

	(void)state;
	assert_ok(index_referrers(store_index(st), &team, &d, STR(SBOM), NULL, count_one, &n, &more,
				  &last, &e),
		  &e);
	assert_true(n == 1 && !more);
}

static void test_deleted(void **state)
{
	AUTO_SBUF body = small_image("deleted");
	struct repo_name a = repo_of("library/a");
	struct digest d = digest_of(body.p), blob = digest_of("deleted blob");
	struct manifest_info m;
	uint64_t size;
	struct err e;

	(void)state;
	assert_int_equal(index_manifest_find(store_index(st), &a, NULL, &d, &m, &e), ERR_NOT_FOUND);
	assert_int_equal(blob_size(store_index(st), &a, &blob, &size, &e), ERR_NOT_FOUND);
	assert_ok(object_exists(store_index(st), &d, &e), &e);
}

/* The number of the next row of the trash; *id is where to look from. */
static void next_in_trash(uint64_t *id, enum trash_kind kind, const struct digest *d)
{
	AUTO_TRASH_ITEM item = { 0 };
	struct err e;

	assert_ok(index_trash_next(store_index(st), *id, &item, &e), &e);
	assert_int_equal(item.row.kind, kind);
	assert_true(digest_eq(&item.row.digest, d));
	*id = item.row.id + 1;
}

static void test_trash(void **state)
{
	AUTO_SBUF body = small_image("deleted");
	struct digest d = digest_of(body.p), blob = digest_of("deleted blob");
	uint64_t id = 0;
	struct err e;

	(void)state;
	next_in_trash(&id, TRASH_TAG, &d);
	next_in_trash(&id, TRASH_MANIFEST, &d);
	assert_ok(trash_restore(st, id - 1, &e), &e);
	check_manifest("library/a", NULL, &d, small_image("deleted"), MEDIA_OCI_MANIFEST);
	next_in_trash(&id, TRASH_BLOB, &blob);
}

static void test_looked_after(void **state)
{
	struct repo_name a = repo_of("library/a");
	struct digest d = digest_of("damaged blob");
	struct blob_info blob;
	struct scrub_row round;
	uint64_t rules;
	struct err e;

	(void)state;
	assert_ok(index_blob_find(store_index(st), &a, &d, &blob, &e), &e);
	assert_true(blob.is_damaged);
	assert_ok(index_scrub_read(store_index(st), &round, &e), &e);
	assert_true(round.objects == 3 && round.has_position && digest_eq(&round.position, &d));
	assert_ok(index_rules_read(store_index(st), &rules, &e), &e);
	assert_int_equal(rules, 42);
}

static void test_tables(void **state)
{
	(void)state;
	index_check(store_index(st));
}

/* The reflog can be read from its start: each record in its place. */
static void test_reflog(void **state)
{
	AUTO_SBUF b = file_read(root, "reflog/1.jsonl");
	struct str rest = { b.p, b.n }, line;
	uint64_t seq = 0;

	(void)state;
	while (str_cut(rest, '\n', &line, &rest)) {
		AUTO_REFLOG_RECORD r = { 0 };
		struct err e;

		assert_ok(reflog_record_parse(line, &r, &e), &e);
		assert_int_equal(r.seq, ++seq);
	}
	assert_int_equal(line.n, 0);
	assert_int_equal(seq, 18);
}

static void test_goes_on(void **state)
{
	AUTO_UPLOAD *u = NULL;
	struct repo_name team = repo_of("team/b");
	struct digest d = digest_of("half of a blob");
	struct store_recovery found;
	struct upload_id id;
	uint64_t offset;
	size_t n;
	struct err e;

	(void)state;
	assert_ok(index_upload_page(store_index(st), NULL, 1, &id, &n, &e), &e);
	assert_int_equal(n, 1);
	assert_ok(upload_status(st, &team, &id, &offset, &e), &e);
	assert_int_equal(offset, strlen(session_part));
	assert_ok(upload_take(st, &team, &id, &u, &e), &e);
	assert_ok(upload_write(u, session_rest, strlen(session_rest), &e), &e);
	assert_ok(upload_finish(&u, &d, &e), &e);
	put(st, "library/new",
	    (struct sbuf){ .p = strdup("{\"schemaVersion\":2,\"manifests\":[]}"), .n = 34 },
	    MEDIA_OCI_INDEX, "v1");
	store_close(&st);
	assert_ok(open_golden(root, &st, &found, &e), &e);
	assert_true(found.resumable == 0 && found.discarded == 0);
	check_blob("team/b", "half of a blob");
	index_check(store_index(st));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blobs),   cmocka_unit_test(test_manifests),
		cmocka_unit_test(test_lists),   cmocka_unit_test(test_referrers),
		cmocka_unit_test(test_deleted), cmocka_unit_test(test_looked_after),
		cmocka_unit_test(test_tables),  cmocka_unit_test(test_reflog),
		cmocka_unit_test(test_trash),   cmocka_unit_test(test_goes_on),
	};

	const char *const tar[] = { "tar", "--version", NULL }, *const xz[] = { "xz", "--version",
										NULL };

	if (argc == 3 && strcmp(argv[1], "make") == 0)
		return make(argv[2]);
	if (run(tar) != 0 || run(xz) != 0) {
		(void)printf("1..0 # SKIP tar and xz are needed to unpack " ARCHIVE "\n");
		return 0;
	}
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, open_store, close_store);
}
