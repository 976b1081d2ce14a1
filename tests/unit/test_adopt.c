/* upload_adopt: files that were filled elsewhere. */
#include <errno.h>

#include "base/fd.h"
#include "storage/store_impl.h"
#include "storage/upload.h"
#include "tests/lib/fixture.h"
#include "tests/lib/sync_hook.h"
#include "tests/lib/unit.h"

#define TEXT "the bytes of a blob"

struct rig {
	const char *root;
	struct store *st;
	struct repo_name repo;
	struct digest d;
};

static struct rig rig_new(void)
{
	struct rig r = { .root = unit_dir(), .repo = repo_of("a"), .d = digest_of(TEXT) };

	r.st = store_of(r.root);
	MUST(mkdirat(r.st->root_fd, "downloads", 0700) == 0);
	file_write(r.root, "downloads/x", STR(TEXT));
	return r;
}

static enum err_kind adopt(struct rig *r, struct err *e)
{
	return upload_adopt(r->st, &r->repo, r->st->root_fd, "downloads/x", &r->d, e);
}

static void assert_there(struct rig *r)
{
	struct blob_info info;
	int fd = -1;
	struct err e;

	assert_ok(index_blob_find(store_index(r->st), &r->repo, &r->d, &info, &e), &e);
	assert_int_equal(info.size_bytes, sizeof(TEXT) - 1);
	assert_ok(blob_open(r->st, &r->d, info.size_bytes, &fd, &e), &e);
	fd_close(&fd);
	assert_int_equal(dir_count(r->root, "uploads"), 0);
}

static void test_adopt(void **state)
{
	struct rig r = rig_new();
	struct err e;

	(void)state;
	assert_ok(adopt(&r, &e), &e);
	assert_false(file_exists(r.root, "downloads/x"));
	assert_there(&r);
	store_close(&r.st);
	r.st = store_of(r.root);
	assert_there(&r);
	store_close(&r.st);
}

static void test_twice(void **state)
{
	struct rig r = rig_new();
	struct err e;

	(void)state;
	assert_ok(adopt(&r, &e), &e);
	file_write(r.root, "downloads/x", STR(TEXT));
	assert_ok(adopt(&r, &e), &e);
	assert_false(file_exists(r.root, "downloads/x"));
	assert_there(&r);
	store_close(&r.st);
}

static void test_missing(void **state)
{
	struct rig r = rig_new();
	struct err e;

	(void)state;
	assert_err(upload_adopt(r.st, &r.repo, r.st->root_fd, "downloads/y", &r.d, &e),
		   ERR_NOT_FOUND, &e, "downloads/y");
	assert_int_equal(dir_count(r.root, "uploads"), 0);
	store_close(&r.st);
}

static const struct {
	const char *name;
	unsigned sync;
} faults[] = {
	{ "of the file", 1 },
	{ "of the directory", 2 },
	{ "of the reflog", 3 },
	{ "of the index", 4 },
};

/* What fails leaves the file where it was, and nothing of it visible. */
static void test_fails(void **state)
{
	__typeof__(&faults[0]) f = *state;
	struct rig r = rig_new();
	struct blob_info info;
	struct err e;

	sync_fail(f->sync, EIO);
	assert_err(adopt(&r, &e), ERR_IO, &e, "Input/output error");
	assert_true(sync_reset());
	assert_true(file_exists(r.root, "downloads/x"));
	assert_int_equal(index_blob_find(store_index(r.st), &r.repo, &r.d, &info, &e),
			 ERR_NOT_FOUND);
	assert_int_equal(dir_count(r.root, "uploads"), 0);
	assert_ok(adopt(&r, &e), &e);
	assert_there(&r);
	store_close(&r.st);
}

int main(void)
{
	unit_case("a file", test_adopt);
	unit_case("the same bytes twice", test_twice);
	unit_case("no file", test_missing);
	UNIT_TABLE("failed sync", test_fails, faults);
	return unit_run();
}
