#include "storage/blob.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "storage/store_impl.h"
#include "tests/lib/fixture.h"
#include "tests/lib/sync_hook.h"
#include "tests/lib/unit.h"

#define TEXT "the bytes of a blob"

static int no_swap; /* errno of a file system that cannot swap names */

/* Takes the place of the C library's. */
int renameat2(int from, const char *a, int to, const char *b, unsigned flags)
{
	errno = no_swap;
	return no_swap ? -1 : (int)syscall(SYS_renameat2, from, a, to, b, flags);
}

/* --- names --- */

static const struct {
	const char *name, *text;
	bool valid;
} ids[] = {
	{ "lower case", "01234567-89ab-4def-8123-456789abcdef", true },
	{ "zeros", "00000000-0000-0000-0000-000000000000", true },
	{ "upper case", "01234567-89AB-4def-8123-456789abcdef", false },
	{ "empty", "", false },
	{ "one digit short", "01234567-89ab-4def-8123-456789abcde", false },
	{ "one digit more", "01234567-89ab-4def-8123-456789abcdef0", false },
	{ "no dashes", "0123456789ab4def8123456789abcdef", false },
	{ "no dashes, right length", "0123456789ab4def8123456789abcdef0123", false },
	{ "a dash too far left", "0123456-789ab-4def-8123-456789abcdef", false },
	{ "a dash within a byte", "0123456-7-89ab-4def-8123-456789abcdef", false },
	{ "dashes only", "------------------------------------", false },
	{ "no digit", "g1234567-89ab-4def-8123-456789abcdef", false },
	{ "no second digit", "0g234567-89ab-4def-8123-456789abcdef", false },
	{ "a dash at the end", "01234567-89ab-4def-8123-456789abcde-", false },
	{ "braces", "{1234567-89ab-4def-8123-456789abcde}", false },
	{ "slash", "01234567-89ab-4def-8123-456789ab/def", false },
};

static bool has_publishers(const struct store *st)
{
	for (size_t i = 0; i < ARRAY_LEN(st->publishers); i++) {
		if (st->publishers[i])
			return true;
	}
	return false;
}

static void test_id(void **state)
{
	__typeof__(&ids[0]) c = *state;
	struct upload_id id = { .bytes = "untouched" };
	char text[UPLOAD_ID_TEXT_MAX];

	assert_int_equal(upload_id_parse(&id, str_of(c->text)), c->valid);
	if (c->valid)
		assert_string_equal(upload_id_text(&id, text), c->text);
	else
		assert_string_equal((const char *)id.bytes, "untouched");
}

static void test_new_id(void **state)
{
	struct upload_id a, b, back;
	char text[UPLOAD_ID_TEXT_MAX];

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		upload_id_new(&a);
		upload_id_new(&b);
		assert_memory_not_equal(&a, &b, sizeof(a));
		upload_id_text(&a, text);
		assert_int_equal(text[14], '4'); /* RFC 9562: version and variant */
		assert_non_null(strchr("89ab", text[19]));
		assert_true(upload_id_parse(&back, str_of(text)));
		assert_memory_equal(&a, &back, sizeof(a));
	}
}

#define ID "01234567-89ab-4def-8123-456789abcdef"
#define HEX64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *name, *text;
	bool valid;
} pending[] = {
	{ "sha256", "sha256-" HEX64 "." ID, true },
	{ "sha512", "sha512-" HEX64 HEX64 "." ID, true },
	{ "a session", ID, false },
	{ "empty", "", false },
	{ "unknown algorithm", "sha384-" HEX64 "." ID, false },
	{ "short digest", "sha256-aaaa." ID, false },
	{ "very long", "sha512-" HEX64 HEX64 HEX64 HEX64 "." ID, false },
	{ "no id", "sha256-" HEX64, false },
	{ "empty id", "sha256-" HEX64 ".", false },
	{ "bad id", "sha256-" HEX64 ".x" ID, false },
	{ "colon for a dash", "sha256:" HEX64 "." ID, false },
	{ "upper case", "sha256-" HEX64 ".01234567-89AB-4def-8123-456789abcdef", false },
};

static void test_pending(void **state)
{
	__typeof__(&pending[0]) c = *state;
	char name[BLOB_FILE_NAME_MAX];
	struct digest d;
	struct upload_id id;

	assert_int_equal(blob_pending_parse(str_of(c->text), &d, &id), c->valid);
	if (!c->valid)
		return;
	blob_pending_name(&d, &id, name);
	assert_string_equal(name, c->text);
}

/* --- files --- */

struct rig {
	const char *root;
	struct store *st;
};

static struct rig rig_new(void)
{
	struct rig r = { .root = unit_dir() };

	r.st = store_of(r.root);
	return r;
}

static const char *blob_name(const char *text, char buf[static 200])
{
	struct digest d = digest_of(text);
	char hex[DIGEST_HEX_MAX + 1];

	digest_hex(&d, hex);
	(void)snprintf(buf, 200, "blobs/sha256/%.2s/%s", hex, hex);
	return buf;
}

/* An upload's file as it is before it is published. */
static int make_file(struct rig *r, struct upload_id *id, const char *text)
{
	char name[UPLOAD_ID_TEXT_MAX];
	int fd = -1;
	struct err e;

	upload_id_new(id);
	upload_id_text(id, name);
	MUST(fd_open_at(r->st->uploads_fd, name, O_RDWR | O_CREAT, 0600, &fd, &e) == ERR_OK);
	MUST(fd_write_all(fd, text, strlen(text), name, &e) == ERR_OK);
	return fd;
}

static bool upload_exists(struct rig *r, const struct upload_id *id)
{
	char text[UPLOAD_ID_TEXT_MAX], name[64];

	(void)snprintf(name, sizeof(name), "uploads/%s", upload_id_text(id, text));
	return file_exists(r->root, name);
}

static void test_publish(void **state)
{
	struct rig r = rig_new();
	struct upload_id id;
	AUTO_CLOSE fd = make_file(&r, &id, TEXT);
	struct digest d = digest_of(TEXT);
	struct publisher p;
	char name[200], path[400];
	struct stat s;
	struct err e;

	(void)state;
	assert_ok(blob_publish(r.st, fd, &id, &d, &p, &e), &e);
	assert_true(p.placed);
	assert_false(upload_exists(&r, &id));
	assert_int_equal(dir_count(r.root, "uploads"), 1); /* under its pending name */
	(void)snprintf(path, sizeof(path), "%s/%s", r.root, blob_name(TEXT, name));
	assert_int_equal(stat(path, &s), 0);
	assert_int_equal(s.st_mode & 07777, 0444);
	blob_settle(r.st, &p, BLOB_COMMITTED);
	assert_int_equal(dir_count(r.root, "uploads"), 0);
	assert_true(file_exists(r.root, name));
	store_close(&r.st);
}

static const struct back {
	const char *name;
	enum blob_outcome outcome;
	bool in_index; /* some repository has the blob */
	bool lost;     /* but its file is gone */
	int no_swap;
	bool upload, blob; /* what is there afterwards */
} backs[] = {
	{ "dropped", BLOB_DROPPED, false, false, 0, false, false },
	{ "kept", BLOB_KEPT, false, false, 0, true, false },
	{ "dropped, and others have the blob", BLOB_DROPPED, true, false, 0, false, true },
	{ "kept, and others have the blob", BLOB_KEPT, true, false, 0, true, true },
	{ "dropped, and others miss its file", BLOB_DROPPED, true, true, 0, false, true },
	{ "kept, and others miss its file", BLOB_KEPT, true, true, 0, false, true },
	{ "dropped where names cannot be swapped", BLOB_DROPPED, true, false, EINVAL, false, true },
	{ "kept where names cannot be swapped", BLOB_KEPT, true, false, ENOSYS, false, true },
};

static void assert_first_byte(int fd, char want)
{
	struct err e;
	char first;

	assert_ok(fd_pread_exact(fd, &first, 1, 0, "x", &e), &e);
	assert_int_equal(first, want);
}

/* Whoever goes on with an upload's file does not touch the blob by it. */
static void write_to_upload(struct rig *r, const struct upload_id *id)
{
	AUTO_CLOSE fd = -1;
	char name[UPLOAD_ID_TEXT_MAX];
	struct err e;

	upload_id_text(id, name);
	assert_ok(fd_open_at(r->st->uploads_fd, name, O_RDWR, 0, &fd, &e), &e);
	assert_first_byte(fd, TEXT[0]);
	assert_ok(fd_pwrite_all(fd, "X", 1, 0, "x", &e), &e);
}

/* B3: what a change that failed leaves behind is removed, and nothing that others have. */
static void test_take_back(void **state)
{
	const struct back *c = *state;
	struct rig r = rig_new();
	struct upload_id id;
	AUTO_CLOSE fd = -1, blob = -1;
	struct digest d = digest_of(TEXT);
	struct publisher p;
	char name[200];
	struct err e;

	if (c->in_index)
		push_blob(r.st, "a", TEXT);
	if (c->lost)
		assert_ok(blob_discard(r.st, &d, &e), &e);
	fd = make_file(&r, &id, TEXT);
	no_swap = c->no_swap;
	assert_ok(blob_publish(r.st, fd, &id, &d, &p, &e), &e);
	assert_true(file_exists(r.root, blob_name(TEXT, name)));
	blob_settle(r.st, &p, c->outcome);
	no_swap = 0;
	assert_int_equal(file_exists(r.root, name), c->blob);
	assert_int_equal(upload_exists(&r, &id), c->upload);
	assert_int_equal(dir_count(r.root, "uploads"), c->upload);
	if (c->upload)
		write_to_upload(&r, &id);
	if (c->blob) {
		assert_ok(blob_open(r.st, &d, strlen(TEXT), &blob, &e), &e);
		assert_first_byte(blob, TEXT[0]);
	}
	store_close(&r.st);
}

static void test_swap_fails(void **state)
{
	struct rig r = rig_new();
	struct upload_id id;
	AUTO_CLOSE fd = make_file(&r, &id, TEXT);
	struct digest d = digest_of(TEXT);
	struct publisher p;
	char name[200];
	struct err e;

	(void)state;
	push_blob(r.st, "a", TEXT);
	no_swap = EIO;
	assert_err(blob_publish(r.st, fd, &id, &d, &p, &e), ERR_IO, &e, "publish: replace ");
	no_swap = 0;
	blob_settle(r.st, &p, BLOB_KEPT);
	assert_true(upload_exists(&r, &id) && file_exists(r.root, blob_name(TEXT, name)));
	/* it worked, but the way back does not: the next start looks after what is left */
	assert_ok(blob_publish(r.st, fd, &id, &d, &p, &e), &e);
	no_swap = EIO;
	blob_settle(r.st, &p, BLOB_KEPT);
	no_swap = 0;
	assert_false(upload_exists(&r, &id));
	store_close(&r.st);
	r.st = store_of(r.root);
	assert_int_equal(dir_count(r.root, "uploads"), 0);
	assert_true(file_exists(r.root, name));
	store_close(&r.st);
}

/* Where names cannot be swapped a blob is replaced all the same. */
static void test_commit_without_swap(void **state)
{
	struct rig r = rig_new();

	(void)state;
	push_blob(r.st, "a", TEXT);
	no_swap = EINVAL;
	push_blob(r.st, "b", TEXT);
	no_swap = 0;
	assert_int_equal(dir_count(r.root, "uploads"), 0);
	store_close(&r.st);
}

/* B1: a new push mends a file that the disk has spoilt. */
static void test_mend(void **state)
{
	struct rig r = rig_new();
	AUTO_CLOSE fd = -1;
	struct digest d = digest_of(TEXT);
	char name[200], path[400];
	AUTO_SBUF now = { .p = NULL };
	struct err e;

	(void)state;
	push_blob(r.st, "a", TEXT);
	(void)snprintf(path, sizeof(path), "%s/%s", r.root, blob_name(TEXT, name));
	MUST(chmod(path, 0600) == 0 && truncate(path, 3) == 0);
	assert_err(blob_open(r.st, &d, strlen(TEXT), &fd, &e), ERR_CORRUPT, &e,
		   "has 3 bytes, not 19");
	push_blob(r.st, "b", TEXT);
	assert_ok(blob_open(r.st, &d, strlen(TEXT), &fd, &e), &e);
	now = file_read(r.root, name);
	assert_string_equal(now.p, TEXT);
	assert_int_equal(dir_count(r.root, "uploads"), 0);
	store_close(&r.st);
}

/* --- bytes in memory --- */

static const struct {
	const char *name;
	enum publish_how how;
	unsigned syncs;
} hows[] = { { "synced", PUBLISH_SYNCED, 2 }, { "later", PUBLISH_LATER, 0 } };

static void publish_bytes(struct rig *r, enum publish_how how, enum blob_outcome outcome)
{
	struct digest d = digest_of(TEXT);
	struct publisher p;
	struct err e;

	assert_ok(blob_publish_bytes(r->st, &d, STR(TEXT), how, &p, &e), &e);
	assert_int_equal(dir_count(r->root, "uploads"), 1);
	blob_settle(r->st, &p, outcome);
	assert_int_equal(dir_count(r->root, "uploads"), 0);
}

static void test_bytes(void **state)
{
	__typeof__(&hows[0]) c = *state;
	struct rig r = rig_new();
	unsigned before = sync_count();
	char name[200];
	AUTO_SBUF now = { .p = NULL };

	publish_bytes(&r, c->how, BLOB_COMMITTED);
	assert_int_equal(sync_count() - before, c->syncs);
	now = file_read(r.root, blob_name(TEXT, name));
	assert_string_equal(now.p, TEXT);
	publish_bytes(&r, c->how, BLOB_COMMITTED); /* again */
	assert_true(file_exists(r.root, name));
	store_close(&r.st);
	r = rig_new();
	publish_bytes(&r, c->how, BLOB_DROPPED);
	assert_false(file_exists(r.root, name));
	store_close(&r.st);
}

/* A file that is there stays, if it is right: no sync; one that is not is replaced by one that is durable. */
static void test_bytes_there(void **state)
{
	struct rig r = rig_new();
	struct stat one, two;
	char name[200], path[400];
	unsigned before;

	(void)state;
	push_blob(r.st, "a", TEXT);
	(void)snprintf(path, sizeof(path), "%s/%s", r.root, blob_name(TEXT, name));
	MUST(stat(path, &one) == 0);
	before = sync_count();
	publish_bytes(&r, PUBLISH_LATER, BLOB_COMMITTED);
	assert_int_equal(sync_count(), before);
	MUST(stat(path, &two) == 0);
	assert_int_equal(one.st_ino, two.st_ino);
	MUST(chmod(path, 0600) == 0 && truncate(path, 3) == 0);
	publish_bytes(&r, PUBLISH_LATER, BLOB_COMMITTED);
	assert_int_equal(sync_count(), before + 2);
	MUST(stat(path, &two) == 0);
	assert_int_equal(two.st_size, strlen(TEXT));
	store_close(&r.st);
}

static void test_bytes_fail(void **state)
{
	struct rig r = rig_new();
	struct digest d = digest_of(TEXT);
	struct publisher p;
	char name[200];
	struct err e;

	(void)state;
	for (unsigned n = 1; n <= 2; n++) {
		sync_fail(n, EIO);
		assert_err(blob_publish_bytes(r.st, &d, STR(TEXT), PUBLISH_SYNCED, &p, &e), ERR_IO,
			   &e, "publish: fsync ");
		assert_true(sync_reset());
		assert_int_equal(dir_count(r.root, "uploads"), 0);
		assert_false(file_exists(r.root, blob_name(TEXT, name)));
		assert_false(has_publishers(r.st));
	}
	store_close(&r.st);
}

static void test_holds(void **state)
{
	struct rig r = rig_new();
	struct digest d = digest_of(TEXT), unknown = digest_of("unknown");
	bool holds = true;
	struct err e;

	(void)state;
	push_blob(r.st, "a", TEXT);
	assert_ok(blob_holds(r.st, &unknown, STR("unknown"), &holds, &e), &e);
	assert_false(holds);
	assert_ok(blob_holds(r.st, &d, STR(TEXT), &holds, &e), &e);
	assert_true(holds);
	assert_ok(blob_holds(r.st, &d, STR("the bytes of a BLOB"), &holds, &e), &e);
	assert_false(holds);
	assert_ok(blob_holds(r.st, &d, STR("shorter"), &holds, &e), &e);
	assert_false(holds);
	store_close(&r.st);
}

static void test_open(void **state)
{
	struct rig r = rig_new();
	struct digest d = digest_of(TEXT), unknown = digest_of("unknown");
	AUTO_CLOSE fd = -1;
	char name[200], path[400], buf[64] = "";
	struct err e;

	(void)state;
	push_blob(r.st, "a", TEXT);
	assert_ok(blob_open(r.st, &d, strlen(TEXT), &fd, &e), &e);
	assert_ok(fd_pread_exact(fd, buf, strlen(TEXT), 0, "blob", &e), &e);
	assert_string_equal(buf, TEXT);
	fd_close(&fd);
	assert_err(blob_open(r.st, &unknown, 7, &fd, &e), ERR_CORRUPT, &e, "is missing");
	assert_err(blob_open(r.st, &d, 18, &fd, &e), ERR_CORRUPT, &e, "has 19 bytes, not 18");
	(void)snprintf(path, sizeof(path), "%s/%s", r.root, blob_name(TEXT, name));
	MUST(unlink(path) == 0 && mkdir(path, 0700) == 0);
	assert_err(blob_open(r.st, &d, 0, &fd, &e), ERR_CORRUPT, &e, "file of blob");
	MUST(rmdir(path) == 0 && symlink("/etc/passwd", path) == 0);
	assert_err(blob_open(r.st, &d, 0, &fd, &e), ERR_IO, &e, "open ");
	assert_int_equal(fd, -1);
	store_close(&r.st);
}

static void test_discard(void **state)
{
	struct rig r = rig_new();
	struct digest d = digest_of(TEXT);
	char name[200], path[400];
	struct err e;

	(void)state;
	push_blob(r.st, "a", TEXT);
	assert_ok(blob_discard(r.st, &d, &e), &e);
	assert_false(file_exists(r.root, blob_name(TEXT, name)));
	assert_ok(blob_discard(r.st, &d, &e), &e); /* gone is as good */
	(void)snprintf(path, sizeof(path), "%s/%s", r.root, name);
	MUST(mkdir(path, 0700) == 0);
	assert_err(blob_discard(r.st, &d, &e), ERR_IO, &e, "remove ");
	store_close(&r.st);
}

static const struct {
	const char *name;
	unsigned sync;
	const char *message;
	bool placed;
} faults[] = {
	{ "of the file", 1, "publish: fsync ", false },
	{ "of the directory", 2, "publish: fsync directory ", true },
};

static void test_sync_fails(void **state)
{
	__typeof__(&faults[0]) c = *state;
	struct rig r = rig_new();
	struct upload_id id;
	AUTO_CLOSE fd = make_file(&r, &id, TEXT);
	struct digest d = digest_of(TEXT);
	struct publisher p;
	char name[200];
	struct err e;

	sync_fail(c->sync, EIO);
	assert_err(blob_publish(r.st, fd, &id, &d, &p, &e), ERR_IO, &e, c->message);
	assert_true(sync_reset());
	assert_int_equal(p.placed, c->placed);
	blob_settle(r.st, &p, BLOB_KEPT);
	assert_true(upload_exists(&r, &id));
	assert_false(file_exists(r.root, blob_name(TEXT, name)));
	store_close(&r.st);
}

/* A file whose name is gone, and a shard that is. */
static void test_names_gone(void **state)
{
	struct rig r = rig_new();
	struct upload_id id, other;
	AUTO_CLOSE fd = make_file(&r, &id, TEXT);
	struct digest d = digest_of(TEXT);
	struct publisher p;
	char name[200], path[400];
	struct err e;

	(void)state;
	upload_id_new(&other);
	assert_err(blob_publish(r.st, fd, &other, &d, &p, &e), ERR_NOT_FOUND, &e,
		   "publish: rename ");
	blob_settle(r.st, &p, BLOB_KEPT);
	blob_name(TEXT, name);
	(void)snprintf(path, sizeof(path), "%s/%.*s", r.root, (int)strlen("blobs/sha256/ab"), name);
	MUST(rmdir(path) == 0);
	assert_err(blob_publish(r.st, fd, &id, &d, &p, &e), ERR_NOT_FOUND, &e, "publish: link ");
	blob_settle(r.st, &p, BLOB_KEPT);
	assert_true(upload_exists(&r, &id));
	store_close(&r.st);
}

/* --- one digest, several publishers --- */

struct waiter {
	struct rig *r;
	_Atomic pid_t tid;
	_Atomic bool entered;
};

static void *publish_too(void *arg)
{
	struct waiter *w = arg;
	struct upload_id id;
	AUTO_CLOSE fd = make_file(w->r, &id, TEXT);
	struct digest d = digest_of(TEXT);
	struct publisher p;
	struct err e;

	w->tid = (pid_t)syscall(SYS_gettid);
	MUST(blob_publish(w->r->st, fd, &id, &d, &p, &e) == ERR_OK);
	w->entered = true;
	blob_settle(w->r->st, &p, BLOB_DROPPED);
	return NULL;
}

/* B3: the second one waits until the first has settled; one of another digest does not. */
static void test_second_waits(void **state)
{
	struct rig r = rig_new();
	struct upload_id id, other_id;
	AUTO_CLOSE fd = make_file(&r, &id, TEXT);
	AUTO_CLOSE other_fd = make_file(&r, &other_id, "other");
	struct digest d = digest_of(TEXT), other = digest_of("other");
	struct publisher p, q;
	struct waiter w = { .r = &r };
	pthread_t t;
	char name[200];
	struct err e;

	(void)state;
	assert_ok(blob_publish(r.st, fd, &id, &d, &p, &e), &e);
	MUST(pthread_create(&t, NULL, publish_too, &w) == 0);
	while (!w.tid || !unit_thread_sleeps(w.tid))
		(void)sched_yield();
	assert_false(w.entered);
	assert_ok(blob_publish(r.st, other_fd, &other_id, &other, &q, &e), &e);
	blob_settle(r.st, &q, BLOB_DROPPED);
	assert_false(w.entered);
	blob_settle(r.st, &p, BLOB_DROPPED);
	MUST(pthread_join(t, NULL) == 0);
	assert_true(w.entered);
	assert_false(file_exists(r.root, blob_name(TEXT, name)));
	assert_false(has_publishers(r.st));
	store_close(&r.st);
}

int main(void)
{
	UNIT_TABLE("upload id", test_id, ids);
	unit_case("new upload ids", test_new_id);
	UNIT_TABLE("pending name", test_pending, pending);
	unit_case("publish", test_publish);
	UNIT_TABLE("taken back", test_take_back, backs);
	unit_case("a swap that fails", test_swap_fails);
	unit_case("committed where names cannot be swapped", test_commit_without_swap);
	unit_case("a spoilt file is mended", test_mend);
	UNIT_TABLE("bytes", test_bytes, hows);
	unit_case("bytes that are there", test_bytes_there);
	unit_case("bytes and failed syncs", test_bytes_fail);
	unit_case("which bytes a file holds", test_holds);
	unit_case("open", test_open);
	unit_case("discard", test_discard);
	UNIT_TABLE("failed sync", test_sync_fails, faults);
	unit_case("names that are gone", test_names_gone);
	unit_case("two publishers of one digest", test_second_waits);
	return unit_run();
}
