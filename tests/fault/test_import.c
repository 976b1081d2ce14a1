/* Each system call of an import fails once, or is the last one: the store is whole, and the next import brings the rest. */
#include <errno.h>
#include <sys/wait.h>

#include "base/sys.h"
#include "storage/fsck.h"
#include "storage/import.h"
#include "storage/manifest.h"
#include "storage/repo.h"
#include "tests/fault/steps.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define CALLS_MIN 60 /* fewer would mean that calls are not counted */
#define CALLS_MAX 3000
#define CONFIG "{}"
#define LAYER "a layer that comes from elsewhere"

static char source[64];

static void layout_write(const char *hex_of, const char *text)
{
	struct digest d = digest_of(hex_of);
	char hex[DIGEST_HEX_MAX + 1], name[sizeof("blobs/sha256/") + DIGEST_HEX_MAX];

	(void)snprintf(name, sizeof(name), "blobs/sha256/%s", digest_hex(&d, hex));
	file_write(source, name, str_of(text));
}

/* An image with a tag. */
static void layout_make(void)
{
	const char *layer = LAYER;
	AUTO_SBUF image = image_of(CONFIG, &layer, 1, "");
	struct digest d = digest_of(image.p);
	char index[512], text[DIGEST_TEXT_MAX], path[128];

	temp_dir_make(source, sizeof(source));
	(void)snprintf(path, sizeof(path), "%s/blobs", source);
	MUST(mkdir(path, 0700) == 0);
	(void)snprintf(path, sizeof(path), "%s/blobs/sha256", source);
	MUST(mkdir(path, 0700) == 0);
	file_write(source, "oci-layout", STR("{\"imageLayoutVersion\":\"1.0.0\"}"));
	(void)snprintf(index, sizeof(index),
		       "{\"manifests\":[{\"mediaType\":\"" MEDIA_OCI_MANIFEST
		       "\",\"digest\":\"%s\",\"size\":%zu,\"annotations\":"
		       "{\"org.opencontainers.image.ref.name\":\"v1\"}}]}",
		       digest_text(&d, text), image.n);
	file_write(source, "index.json", str_of(index));
	layout_write(CONFIG, CONFIG);
	layout_write(LAYER, LAYER);
	layout_write(image.p, image.p);
}

static void refused(void *arg, const char *what, const char *name, const char *reason)
{
	(void)arg, (void)what, (void)name, (void)reason;
}

static void progress(void *arg, const char *repo, const struct import_result *so_far, bool done)
{
	(void)arg, (void)repo, (void)so_far, (void)done;
}

static bool goes_on(void *arg)
{
	(void)arg;
	return true;
}

static enum err_kind import(struct store *st, bool copy, struct import_result *ret, struct err *e)
{
	const struct import_listener l = { .refused = refused,
					   .progress = progress,
					   .goes_on = goes_on };
	struct repo_name repo = repo_of("a");
	struct import_options o = {
		.source = source, .repo = &repo, .manifest_bytes_max = 1024 * 1024, .copy = copy
	};

	return store_import(st, &o, &l, ret, e);
}

static void must(enum err_kind k, const struct err *e)
{
	if (k != ERR_OK)
		fail_msg("%s", e->msg);
}

static bool no_fault(void *arg, const struct fsck_fault *f)
{
	print_message("# call %lu: %s: %s\n", *(unsigned long *)arg, f->name, f->what);
	return true;
}

/* The store is whole, and what is missing comes in now. */
static void go_on(struct store *st, unsigned long n)
{
	struct fsck_result checked;
	struct import_result r;
	struct tag_name v1 = tag_of("v1");
	struct repo_name repo = repo_of("a");
	struct tag_row row;
	struct err e;

	must(store_fsck(st, false, no_fault, &n, &checked, &e), &e);
	assert_int_equal(checked.faults, 0);
	must(import(st, false, &r, &e), &e);
	assert_int_equal(r.refused, 0);
	assert_int_equal(r.tags + r.tags_had, 1);
	must(index_tag_find(store_index(st), &repo, &v1, &row, &e), &e);
	must(store_fsck(st, false, no_fault, &n, &checked, &e), &e);
	assert_int_equal(checked.faults, 0);
}

static struct store *open_store(const char *root)
{
	struct store *st = NULL;
	struct err e;

	must(steps_open(root, &st, &e), &e);
	return st;
}

/* What fails is an error, or a refusal of what could not be read; what was not told of is there. */
static void fail_each(bool copy, int sys)
{
	for (unsigned long n = 1; n < CALLS_MAX; n++) {
		struct import_result r = { 0 };
		struct store *st;
		char root[64];
		struct err e = { 0 };
		enum err_kind k;
		bool fired;

		temp_dir_make(root, sizeof(root));
		st = open_store(root);
		fault_arm(n, sys, FAULT_ONCE);
		k = import(st, copy, &r, &e);
		fired = fault_disarm();
		if (k == ERR_OK && r.refused == 0)
			assert_int_equal(r.tags, 1);
		else if (!fired)
			fail_msg("call %lu: fails without a fault: %s", n, e.msg);
		go_on(st, n);
		store_close(&st);
		temp_dir_remove(root);
		if (!fired) {
			assert_in_range(n, CALLS_MIN, CALLS_MAX);
			return;
		}
	}
	fail_msg("the import does not end");
}

static void test_fail_links(void **state)
{
	(void)state;
	fail_each(false, EIO);
}

static void test_fail_copies(void **state)
{
	(void)state;
	fail_each(true, ENOSPC);
}

static void child(const char *root, unsigned long n, enum fault_mode mode)
{
	struct store *st = NULL;
	struct import_result r;
	struct err e;

	if (steps_open(root, &st, &e) != ERR_OK)
		_exit(1);
	fault_arm(n, 0, mode);
	if (import(st, false, &r, &e) != ERR_OK || r.refused)
		_exit(1);
	(void)fault_disarm();
	store_close(&st);
	_exit(0);
}

static void kill_each(enum fault_mode mode)
{
	for (unsigned long n = 1; n < CALLS_MAX; n++) {
		char root[64];
		struct store *st;
		int status;
		pid_t pid;

		temp_dir_make(root, sizeof(root));
		st = open_store(root);
		store_close(&st);
		pid = fork();
		assert_int_not_equal(pid, -1);
		if (pid == 0)
			child(root, n, mode);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		st = open_store(root);
		go_on(st, n);
		store_close(&st);
		temp_dir_remove(root);
		if (WIFEXITED(status)) {
			assert_int_equal(WEXITSTATUS(status), 0);
			assert_in_range(n, CALLS_MIN, CALLS_MAX);
			return;
		}
	}
	fail_msg("the import does not end");
}

static void test_kill_before(void **state)
{
	(void)state;
	kill_each(FAULT_KILL);
}

static void test_kill_after(void **state)
{
	(void)state;
	kill_each(FAULT_KILL_AFTER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fail_links),
		cmocka_unit_test(test_fail_copies),
		cmocka_unit_test(test_kill_before),
		cmocka_unit_test(test_kill_after),
	};
	int failed;

	cmocka_set_message_output(CM_OUTPUT_TAP);
	layout_make();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	temp_dir_remove(source);
	return failed;
}
