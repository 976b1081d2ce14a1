#include "storage/upload.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/fd.h"
#include "storage/repo.h"
#include "storage/store_impl.h"
#include "tests/lib/sync_hook.h"
#include "tests/lib/unit.h"
#include "tests/lib/upload_fixture.h"

static void test_session(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = rig_create(&r);
	struct digest d = digest_of(TEXT);
	struct upload *u;

	(void)state;
	assert_offset(&r, &id, 0);
	rig_append(&r, &id, "the bytes");
	assert_offset(&r, &id, 9);
	rig_append(&r, &id, "");
	rig_append(&r, &id, " of a ");
	u = rig_take(&r, &id);
	assert_int_equal(upload_offset(u), 15);
	upload_write_text(u, "blob");
	assert_int_equal(upload_offset(u), 19);
	upload_finish_ok(u, &d);
	assert_gone(&r, &id);
	assert_blob(&r, &d, TEXT);
	assert_int_equal(dir_count(r.root, "uploads"), 0);
	store_close(&r.st);
}

static void test_single(void **state)
{
	struct rig r = rig_new();
	struct digest d = digest_of(TEXT), empty = digest_of("");
	struct upload *u = NULL;
	struct err e;

	(void)state;
	assert_ok(upload_begin(r.st, &r.repo, DIGEST_SHA256, &u, &e), &e);
	upload_write_text(u, TEXT);
	upload_finish_ok(u, &d);
	assert_blob(&r, &d, TEXT);
	assert_ok(upload_begin(r.st, &r.repo, DIGEST_SHA256, &u, &e), &e);
	upload_finish_ok(u, &empty); /* no bytes at all */
	assert_blob(&r, &empty, "");
	assert_ok(upload_begin(r.st, &r.repo, DIGEST_SHA256, &u, &e), &e);
	upload_write_text(u, TEXT);
	assert_int_equal(dir_count(r.root, "uploads"), 1);
	upload_release(&u); /* not finished: gone */
	assert_null(u);
	upload_release(&u);
	assert_int_equal(dir_count(r.root, "uploads"), 0);
	store_close(&r.st);
}

static void test_single_wrong(void **state)
{
	struct rig r = rig_new();
	struct digest other = digest_of("other");
	struct upload *u = NULL;
	struct err e;

	(void)state;
	assert_ok(upload_begin(r.st, &r.repo, DIGEST_SHA256, &u, &e), &e);
	upload_write_text(u, TEXT);
	assert_err(upload_finish(&u, &other, &e), ERR_DIGEST, &e, "19 bytes hash to sha256:");
	assert_null(u);
	assert_int_equal(dir_count(r.root, "uploads"), 0);
	store_close(&r.st);
}

/* U3, and ids that never were. */
static void test_other_repository(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = rig_create(&r), unknown;
	struct rig other = { .root = r.root, .st = r.st, .repo = repo_of("b") };

	(void)state;
	upload_id_new(&unknown);
	assert_gone(&other, &id);
	assert_gone(&r, &unknown);
	assert_offset(&r, &id, 0);
	store_close(&r.st);
}

/* U2 */
static void test_busy(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = rig_create(&r);
	struct upload *u = rig_take(&r, &id), *second = NULL;
	struct err e;

	(void)state;
	upload_write_text(u, "abc");
	assert_err(upload_take(r.st, &r.repo, &id, &second, &e), ERR_IN_USE, &e,
		   "another request is working");
	assert_null(second);
	assert_offset(&r, &id, 3); /* asking needs no turn */
	upload_release(&u);
	rig_append(&r, &id, "def");
	assert_offset(&r, &id, 6);
	store_close(&r.st);
}

static void test_wrong_digest(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = rig_create(&r);
	struct digest d = digest_of("abcdef"), other = digest_of("other");
	struct upload *u;
	struct err e;

	(void)state;
	rig_append(&r, &id, "abc");
	u = rig_take(&r, &id);
	assert_err(upload_finish(&u, &other, &e), ERR_DIGEST, &e, "3 bytes hash to sha256:");
	assert_null(u);
	assert_offset(&r, &id, 3); /* the session stays, and can go on */
	rig_append(&r, &id, "def");
	upload_finish_ok(rig_take(&r, &id), &d);
	assert_blob(&r, &d, "abcdef");
	store_close(&r.st);
}

/* U1: the file is what counts; a new process hashes what it finds. */
static void test_resume(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = rig_create(&r);
	struct digest d = digest_of(TEXT);

	(void)state;
	rig_append(&r, &id, "the bytes");
	rig_reopen(&r);
	assert_offset(&r, &id, 9);
	rig_append(&r, &id, " of a ");
	rig_reopen(&r);
	rig_append(&r, &id, "blob");
	rig_reopen(&r);
	upload_finish_ok(rig_take(&r, &id), &d);
	assert_blob(&r, &d, TEXT);
	store_close(&r.st);
}

/* More than is hashed in one go. */
static void test_resume_large(void **state)
{
	size_t n = 3 * 1024 * 1024 + 17;
	AUTO_FREE char *bytes = malloc(n);
	struct rig r = rig_new();
	struct upload_id id = rig_create(&r);
	struct upload *u;
	struct digest d;
	uint64_t size;
	struct err e;

	(void)state;
	MUST(bytes);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(i * 7 + i / 251);
	d = digest_of_bytes(DIGEST_SHA256, (struct str){ bytes, n });
	u = rig_take(&r, &id);
	assert_ok(upload_write(u, bytes, n, &e), &e);
	upload_release(&u);
	rig_reopen(&r);
	upload_finish_ok(rig_take(&r, &id), &d);
	assert_ok(blob_size(store_index(r.st), &r.repo, &d, &size, &e), &e);
	assert_int_equal(size, n);
	store_close(&r.st);
}

/* Enough to be handed to the disk on the way. */
static void test_write_back(void **state)
{
	size_t n = 1024 * 1024;
	AUTO_FREE char *bytes = calloc(1, n);
	struct rig r = rig_new();
	struct upload *u = NULL;
	struct hash *h = NULL;
	struct digest d;
	struct err e;

	(void)state;
	MUST(bytes);
	assert_ok(hash_new(DIGEST_SHA256, &h, &e), &e);
	assert_ok(upload_begin(r.st, &r.repo, DIGEST_SHA256, &u, &e), &e);
	for (unsigned i = 0; i < 20; i++) {
		assert_ok(upload_write(u, bytes, n, &e), &e);
		assert_ok(hash_update(h, bytes, n, &e), &e);
	}
	assert_ok(hash_final(h, &d, &e), &e);
	hash_free(&h);
	upload_finish_ok(u, &d);
	store_close(&r.st);
}

/* The digest that ends a session may be of another algorithm than the one it was opened for. */
static void test_other_algorithm(void **state)
{
	struct rig r = rig_new();
	struct digest d256 = digest_of(TEXT), d512 = digest_of_bytes(DIGEST_SHA512, STR(TEXT));
	struct upload *u = NULL;
	struct upload_id id = rig_create(&r);
	struct err e;

	(void)state;
	rig_append(&r, &id, TEXT);
	upload_finish_ok(rig_take(&r, &id), &d512);
	assert_blob(&r, &d512, TEXT);
	assert_ok(upload_create(r.st, &r.repo, DIGEST_SHA512, &id, &e), &e);
	rig_append(&r, &id, TEXT);
	u = rig_take(&r, &id); /* fails for the one, then works for the other */
	d256.bytes[0] ^= 1;
	assert_err(upload_finish(&u, &d256, &e), ERR_DIGEST, &e, "bytes hash to sha256:");
	d256.bytes[0] ^= 1;
	upload_finish_ok(rig_take(&r, &id), &d256);
	assert_blob(&r, &d256, TEXT);
	store_close(&r.st);
}

static void test_cancel(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = rig_create(&r);
	struct upload *u;
	struct err e;

	(void)state;
	rig_append(&r, &id, "abc");
	u = rig_take(&r, &id);
	assert_ok(upload_cancel(&u, &e), &e);
	assert_null(u);
	assert_gone(&r, &id);
	assert_int_equal(dir_count(r.root, "uploads"), 0);
	store_close(&r.st);
}

static void test_too_many(void **state)
{
	struct rig r = rig_new();
	struct upload_id ids[3], one_more;
	struct upload *u;
	struct err e;

	(void)state;
	r.st->options.uploads_max = 3;
	for (unsigned i = 0; i < 3; i++)
		ids[i] = rig_create(&r);
	assert_err(upload_create(r.st, &r.repo, DIGEST_SHA256, &one_more, &e), ERR_TOO_MANY, &e,
		   "3 uploads are open");
	assert_int_equal(dir_count(r.root, "uploads"), 3);
	u = rig_take(&r, &ids[1]);
	assert_ok(upload_cancel(&u, &e), &e);
	ids[1] = rig_create(&r);
	store_close(&r.st);
}

/* --- failures --- */

static void test_too_large(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = rig_create(&r);
	struct upload *u = rig_take(&r, &id);
	struct err e;

	(void)state;
	assert_err(upload_write(u, "x", SIZE_MAX, &e), ERR_TOO_LARGE, &e, "more than 2^63 bytes");
	upload_release(&u);
	assert_offset(&r, &id, 0);
	store_close(&r.st);
}

/* What was written of a piece that does not fit is taken back. */
static void test_no_space(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = rig_create(&r);
	struct digest d = digest_of("abcdefghi");
	struct rlimit old, small;
	struct upload *u;
	struct err e;
	enum err_kind k;

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	rig_append(&r, &id, "abc");
	u = rig_take(&r, &id);
	MUST(getrlimit(RLIMIT_FSIZE, &old) == 0);
	small = (struct rlimit){ .rlim_cur = 5, .rlim_max = old.rlim_max };
	MUST(setrlimit(RLIMIT_FSIZE, &small) == 0);
	k = upload_write(u, "defghi", 6, &e);
	MUST(setrlimit(RLIMIT_FSIZE, &old) == 0);
	assert_err(k, ERR_NO_SPACE, &e, "write upload");
	assert_int_equal(upload_offset(u), 3);
	assert_offset(&r, &id, 3);
	upload_write_text(u, "defghi");
	upload_finish_ok(u, &d);
	store_close(&r.st);
}

static const struct {
	const char *name;
	unsigned sync; /* of file, directory, reflog, index */
	const char *message;
	bool there; /* another repository has the blob */
} faults[] = {
	{ "of the file", 1, "publish: fsync ", false },
	{ "of the directory", 2, "publish: fsync directory", false },
	{ "of the reflog", 3, "fdatasync reflog", false },
	{ "of the index", 4, "index: commit", false },
	{ "of the file of a blob that is there", 1, "publish: fsync ", true },
	{ "of the directory of a blob that is there", 2, "publish: fsync directory", true },
	{ "of the reflog of a blob that is there", 3, "fdatasync reflog", true },
	{ "of the index of a blob that is there", 4, "index: commit", true },
};

/* "A session stays open on every failure", with all of its bytes, and can be finished then. */
static void test_finish_fails(void **state)
{
	__typeof__(&faults[0]) c = *state;
	struct rig r = rig_new();
	struct upload_id id, again;
	struct digest d = digest_of(TEXT);
	struct upload *u;
	uint64_t size;
	struct err e;

	push_blob(r.st, "b", c->there ? TEXT : "something else");
	id = rig_create(&r);
	rig_append(&r, &id, TEXT);
	u = rig_take(&r, &id);
	sync_fail(c->sync, EIO);
	assert_err(upload_finish(&u, &d, &e), ERR_IO, &e, c->message);
	assert_true(sync_reset());
	assert_int_equal(blob_size(store_index(r.st), &r.repo, &d, &size, &e), ERR_NOT_FOUND);
	assert_offset(&r, &id, strlen(TEXT));
	rig_append(&r, &id, "?"); /* the file may be written to again */
	u = rig_take(&r, &id);
	assert_err(upload_finish(&u, &d, &e), ERR_DIGEST, &e, "20 bytes hash to");
	again = rig_create(&r);
	rig_append(&r, &again, TEXT);
	upload_finish_ok(rig_take(&r, &again), &d);
	assert_blob(&r, &d, TEXT);
	assert_offset(&r, &id, strlen(TEXT) + 1);
	store_close(&r.st);
}

static void test_single_fails(void **state)
{
	struct rig r = rig_new();
	struct digest d = digest_of(TEXT);
	struct upload *u = NULL;
	struct err e;

	(void)state;
	for (unsigned i = 1; i <= 4; i++) {
		assert_ok(upload_begin(r.st, &r.repo, DIGEST_SHA256, &u, &e), &e);
		upload_write_text(u, TEXT);
		sync_fail(i, EIO);
		assert_err(upload_finish(&u, &d, &e), ERR_IO, &e, "");
		assert_true(sync_reset());
		assert_int_equal(dir_count(r.root, "uploads"), 0);
	}
	store_close(&r.st);
}

static void test_cancel_fails(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = rig_create(&r);
	struct upload *u;
	struct err e;

	(void)state;
	rig_append(&r, &id, "abc");
	u = rig_take(&r, &id);
	sync_fail(1, EIO);
	assert_err(upload_cancel(&u, &e), ERR_IO, &e, "index: commit");
	assert_true(sync_reset());
	assert_null(u);
	assert_offset(&r, &id, 3);
	rig_append(&r, &id, "def");
	store_close(&r.st);
}

static void test_create_fails(void **state)
{
	struct rig r = rig_new();
	struct upload_id id;
	struct err e;

	(void)state;
	sync_fail(1, EIO);
	assert_err(upload_create(r.st, &r.repo, DIGEST_SHA256, &id, &e), ERR_IO, &e,
		   "index: commit");
	assert_true(sync_reset());
	assert_int_equal(dir_count(r.root, "uploads"), 0);
	(void)rig_create(&r);
	store_close(&r.st);
}

/* A row without its file, as a power cut may leave it. */
static void test_file_gone(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = rig_create(&r);
	char text[UPLOAD_ID_TEXT_MAX];

	(void)state;
	MUST(unlinkat(r.st->uploads_fd, upload_id_text(&id, text), 0) == 0);
	assert_gone(&r, &id);
	assert_gone(&r, &id);
	store_close(&r.st);
}

/* A file beside the store with TEXT in it, open for reading. */
static int source_file(struct rig *r)
{
	AUTO_CLOSE fd = -1;
	AUTO_CLOSE dir = open(r->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err e;

	file_write(r->root, "source", STR(TEXT));
	assert_ok(fd_open_at(dir, "source", O_RDONLY, 0, &fd, &e), &e);
	return TAKE_FD(fd);
}

static const struct {
	const char *name;
	bool may_share, is_open_for_writing;
	enum upload_took took;
} takes[] = {
	{ "is nobody's to change", true, false, UPLOAD_LINKED },
	{ "is open for writing", true, true, UPLOAD_COPIED },
	{ "is not to be shared", false, false, UPLOAD_COPIED },
};

/* Where the file system clones that comes first. */
static void test_from_file(void **state)
{
	__typeof__(&takes[0]) c = *state;
	struct rig r = rig_new();
	AUTO_CLOSE fd = source_file(&r);
	AUTO_CLOSE writer = -1;
	struct upload_source from = { .fd = fd,
				      .size_bytes = strlen(TEXT),
				      .may_share = c->may_share };
	struct digest d = digest_of(TEXT);
	struct upload *u = NULL;
	enum upload_took took;
	struct stat s;
	struct err e;

	if (c->is_open_for_writing) {
		char path[64];

		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		writer = open(path, O_WRONLY | O_CLOEXEC);
		assert_int_not_equal(writer, -1);
	}
	assert_ok(upload_begin_from(r.st, &r.repo, DIGEST_SHA256, &from, &u, &took, &e), &e);
	assert_true(took == c->took || (c->may_share && took == UPLOAD_CLONED));
	upload_finish_ok(u, &d);
	assert_int_equal(fstat(fd, &s), 0);
	assert_int_equal(s.st_nlink, took == UPLOAD_LINKED ? 2 : 1);
	if (took == UPLOAD_LINKED)
		assert_int_equal(s.st_mode & 0777, 0444);
	assert_blob(&r, &d, TEXT);
	assert_int_equal(dir_count(r.root, "uploads"), 0);
	store_close(&r.st);
}

static void test_from_file_wrong(void **state)
{
	struct rig r = rig_new();
	AUTO_CLOSE fd = source_file(&r);
	struct upload_source from = { .fd = fd, .size_bytes = strlen(TEXT), .may_share = true };
	struct digest d = digest_of("something else");
	struct upload *u = NULL;
	enum upload_took took;
	struct err e;

	(void)state;
	assert_ok(upload_begin_from(r.st, &r.repo, DIGEST_SHA256, &from, &u, &took, &e), &e);
	assert_err(upload_finish(&u, &d, &e), ERR_DIGEST, &e, "19 bytes hash to");
	assert_true(file_exists(r.root, "source"));
	for (int share = 0; share < 2; share++) {
		from.may_share = share;
		from.size_bytes = strlen(TEXT) + 1;
		assert_int_equal(
		    upload_begin_from(r.st, &r.repo, DIGEST_SHA256, &from, &u, &took, &e),
		    ERR_SIZE);
	}
	assert_int_equal(dir_count(r.root, "uploads"), 0);
	store_close(&r.st);
}

static bool stop_at_once(void *arg, size_t n)
{
	*(size_t *)arg += n;
	return false;
}

static void test_from_file_stopped(void **state)
{
	struct rig r = rig_new();
	AUTO_CLOSE fd = source_file(&r);
	size_t paced = 0;
	struct upload_source from = { .fd = fd,
				      .size_bytes = strlen(TEXT),
				      .may_share = true,
				      .pace = stop_at_once,
				      .arg = &paced };
	struct upload *u = NULL;
	enum upload_took took;
	struct err e;

	(void)state;
	assert_err(upload_begin_from(r.st, &r.repo, DIGEST_SHA256, &from, &u, &took, &e),
		   ERR_IN_USE, &e, "stopped");
	assert_int_equal(paced, strlen(TEXT));
	assert_int_equal(dir_count(r.root, "uploads"), 0);
	store_close(&r.st);
}

int main(void)
{
	UNIT_TABLE("from a file that", test_from_file, takes);
	unit_case("from a file that is another, or shorter", test_from_file_wrong);
	unit_case("from a file, stopped", test_from_file_stopped);
	unit_case("a session", test_session);
	unit_case("a single request", test_single);
	unit_case("a single request with a wrong digest", test_single_wrong);
	unit_case("another repository's", test_other_repository);
	unit_case("two requests at once", test_busy);
	unit_case("a wrong digest keeps the session", test_wrong_digest);
	unit_case("resume in another process", test_resume);
	unit_case("resume after megabytes", test_resume_large);
	unit_case("twenty megabytes", test_write_back);
	unit_case("another algorithm", test_other_algorithm);
	unit_case("cancel", test_cancel);
	unit_case("too many", test_too_many);
	unit_case("a piece beyond all sizes", test_too_large);
	unit_case("no space", test_no_space);
	UNIT_TABLE("failed sync", test_finish_fails, faults);
	unit_case("failed syncs of a single request", test_single_fails);
	unit_case("a cancel that fails", test_cancel_fails);
	unit_case("a create that fails", test_create_fails);
	unit_case("a file that is gone", test_file_gone);
	return unit_run();
}
