#include "storage/upload.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/fd.h"
#include "storage/repo.h"
#include "storage/store_impl.h"
#include "tests/lib/fixture.h"
#include "tests/lib/sync_hook.h"
#include "tests/lib/unit.h"

#define TEXT "the bytes of a blob"
#define IDLE_MS (3600u * 1000)

struct rig {
	const char *root;
	struct store *st;
	struct repo_name repo;
};

static struct rig rig_new(void)
{
	struct rig r = { .root = unit_dir(), .repo = repo_of("a") };

	r.st = store_of(r.root);
	return r;
}

static void reopen(struct rig *r)
{
	store_close(&r->st);
	r->st = store_of(r->root);
}

static struct upload_id create(struct rig *r)
{
	struct upload_id id;
	struct err e;

	assert_ok(upload_create(r->st, &r->repo, DIGEST_SHA256, &id, &e), &e);
	return id;
}

static struct upload *take(struct rig *r, const struct upload_id *id)
{
	struct upload *u = NULL;
	struct err e;

	assert_ok(upload_take(r->st, &r->repo, id, &u, &e), &e);
	return u;
}

static void write_text(struct upload *u, const char *text)
{
	struct err e;

	assert_ok(upload_write(u, text, strlen(text), &e), &e);
}

/* One request that adds to a session. */
static void append(struct rig *r, const struct upload_id *id, const char *text)
{
	AUTO_UPLOAD *u = take(r, id);

	write_text(u, text);
}

static void assert_offset(struct rig *r, const struct upload_id *id, uint64_t want)
{
	uint64_t offset = UINT64_MAX;
	struct err e;

	assert_ok(upload_status(r->st, &r->repo, id, &offset, &e), &e);
	assert_int_equal(offset, want);
}

static void assert_gone(struct rig *r, const struct upload_id *id)
{
	struct upload *u = NULL;
	uint64_t offset;
	struct err e;

	assert_err(upload_status(r->st, &r->repo, id, &offset, &e), ERR_NOT_FOUND, &e,
		   "no such upload session");
	assert_err(upload_take(r->st, &r->repo, id, &u, &e), ERR_NOT_FOUND, &e,
		   "no such upload session");
	assert_null(u);
}

static void assert_blob(struct rig *r, const struct digest *d, const char *text)
{
	AUTO_CLOSE fd = -1;
	char buf[256] = "";
	uint64_t size;
	struct err e;

	assert_ok(blob_size(store_index(r->st), &r->repo, d, &size, &e), &e);
	assert_int_equal(size, strlen(text));
	assert_ok(blob_open(r->st, d, size, &fd, &e), &e);
	assert_ok(fd_pread_exact(fd, buf, (size_t)size, 0, "blob", &e), &e);
	assert_string_equal(buf, text);
}

static void finish_ok(struct upload *u, const struct digest *d)
{
	struct err e;

	assert_ok(upload_finish(&u, d, &e), &e);
	assert_null(u);
}

static void test_session(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = create(&r);
	struct digest d = digest_of(TEXT);
	struct upload *u;

	(void)state;
	assert_offset(&r, &id, 0);
	append(&r, &id, "the bytes");
	assert_offset(&r, &id, 9);
	append(&r, &id, "");
	append(&r, &id, " of a ");
	u = take(&r, &id);
	assert_int_equal(upload_offset(u), 15);
	write_text(u, "blob");
	assert_int_equal(upload_offset(u), 19);
	finish_ok(u, &d);
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
	write_text(u, TEXT);
	finish_ok(u, &d);
	assert_blob(&r, &d, TEXT);
	assert_ok(upload_begin(r.st, &r.repo, DIGEST_SHA256, &u, &e), &e);
	finish_ok(u, &empty); /* no bytes at all */
	assert_blob(&r, &empty, "");
	assert_ok(upload_begin(r.st, &r.repo, DIGEST_SHA256, &u, &e), &e);
	write_text(u, TEXT);
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
	write_text(u, TEXT);
	assert_err(upload_finish(&u, &other, &e), ERR_DIGEST, &e, "19 bytes hash to sha256:");
	assert_null(u);
	assert_int_equal(dir_count(r.root, "uploads"), 0);
	store_close(&r.st);
}

/* U3, and ids that never were. */
static void test_other_repository(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = create(&r), unknown;
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
	struct upload_id id = create(&r);
	struct upload *u = take(&r, &id), *second = NULL;
	struct err e;

	(void)state;
	write_text(u, "abc");
	assert_err(upload_take(r.st, &r.repo, &id, &second, &e), ERR_IN_USE, &e,
		   "another request is working");
	assert_null(second);
	assert_offset(&r, &id, 3); /* asking needs no turn */
	upload_release(&u);
	append(&r, &id, "def");
	assert_offset(&r, &id, 6);
	store_close(&r.st);
}

static void test_wrong_digest(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = create(&r);
	struct digest d = digest_of("abcdef"), other = digest_of("other");
	struct upload *u;
	struct err e;

	(void)state;
	append(&r, &id, "abc");
	u = take(&r, &id);
	assert_err(upload_finish(&u, &other, &e), ERR_DIGEST, &e, "3 bytes hash to sha256:");
	assert_null(u);
	assert_offset(&r, &id, 3); /* the session stays, and can go on */
	append(&r, &id, "def");
	finish_ok(take(&r, &id), &d);
	assert_blob(&r, &d, "abcdef");
	store_close(&r.st);
}

/* U1: the file is what counts; a new process hashes what it finds. */
static void test_resume(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = create(&r);
	struct digest d = digest_of(TEXT);

	(void)state;
	append(&r, &id, "the bytes");
	reopen(&r);
	assert_offset(&r, &id, 9);
	append(&r, &id, " of a ");
	reopen(&r);
	append(&r, &id, "blob");
	reopen(&r);
	finish_ok(take(&r, &id), &d);
	assert_blob(&r, &d, TEXT);
	store_close(&r.st);
}

/* More than is hashed in one go. */
static void test_resume_large(void **state)
{
	size_t n = 3 * 1024 * 1024 + 17;
	AUTO_FREE char *bytes = malloc(n);
	struct rig r = rig_new();
	struct upload_id id = create(&r);
	struct upload *u;
	struct digest d;
	uint64_t size;
	struct err e;

	(void)state;
	MUST(bytes);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(i * 7 + i / 251);
	d = digest_of_bytes(DIGEST_SHA256, (struct str){ bytes, n });
	u = take(&r, &id);
	assert_ok(upload_write(u, bytes, n, &e), &e);
	upload_release(&u);
	reopen(&r);
	finish_ok(take(&r, &id), &d);
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
	finish_ok(u, &d);
	store_close(&r.st);
}

/* The digest that ends a session may be of another algorithm than the one it was opened for. */
static void test_other_algorithm(void **state)
{
	struct rig r = rig_new();
	struct digest d256 = digest_of(TEXT), d512 = digest_of_bytes(DIGEST_SHA512, STR(TEXT));
	struct upload *u = NULL;
	struct upload_id id = create(&r);
	struct err e;

	(void)state;
	append(&r, &id, TEXT);
	finish_ok(take(&r, &id), &d512);
	assert_blob(&r, &d512, TEXT);
	assert_ok(upload_create(r.st, &r.repo, DIGEST_SHA512, &id, &e), &e);
	append(&r, &id, TEXT);
	u = take(&r, &id); /* fails for the one, then works for the other */
	d256.bytes[0] ^= 1;
	assert_err(upload_finish(&u, &d256, &e), ERR_DIGEST, &e, "bytes hash to sha256:");
	d256.bytes[0] ^= 1;
	finish_ok(take(&r, &id), &d256);
	assert_blob(&r, &d256, TEXT);
	store_close(&r.st);
}

static void test_cancel(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = create(&r);
	struct upload *u;
	struct err e;

	(void)state;
	append(&r, &id, "abc");
	u = take(&r, &id);
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
		ids[i] = create(&r);
	assert_err(upload_create(r.st, &r.repo, DIGEST_SHA256, &one_more, &e), ERR_TOO_MANY, &e,
		   "3 uploads are open");
	assert_int_equal(dir_count(r.root, "uploads"), 3);
	u = take(&r, &ids[1]);
	assert_ok(upload_cancel(&u, &e), &e);
	ids[1] = create(&r);
	store_close(&r.st);
}

/* --- failures --- */

static void test_too_large(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = create(&r);
	struct upload *u = take(&r, &id);
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
	struct upload_id id = create(&r);
	struct digest d = digest_of("abcdefghi");
	struct rlimit old, small;
	struct upload *u;
	struct err e;
	enum err_kind k;

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	append(&r, &id, "abc");
	u = take(&r, &id);
	MUST(getrlimit(RLIMIT_FSIZE, &old) == 0);
	small = (struct rlimit){ .rlim_cur = 5, .rlim_max = old.rlim_max };
	MUST(setrlimit(RLIMIT_FSIZE, &small) == 0);
	k = upload_write(u, "defghi", 6, &e);
	MUST(setrlimit(RLIMIT_FSIZE, &old) == 0);
	assert_err(k, ERR_NO_SPACE, &e, "write upload");
	assert_int_equal(upload_offset(u), 3);
	assert_offset(&r, &id, 3);
	write_text(u, "defghi");
	finish_ok(u, &d);
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
	id = create(&r);
	append(&r, &id, TEXT);
	u = take(&r, &id);
	sync_fail(c->sync, EIO);
	assert_err(upload_finish(&u, &d, &e), ERR_IO, &e, c->message);
	assert_true(sync_reset());
	assert_int_equal(blob_size(store_index(r.st), &r.repo, &d, &size, &e), ERR_NOT_FOUND);
	assert_offset(&r, &id, strlen(TEXT));
	append(&r, &id, "?"); /* the file may be written to again */
	u = take(&r, &id);
	assert_err(upload_finish(&u, &d, &e), ERR_DIGEST, &e, "20 bytes hash to");
	again = create(&r);
	append(&r, &again, TEXT);
	finish_ok(take(&r, &again), &d);
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
		write_text(u, TEXT);
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
	struct upload_id id = create(&r);
	struct upload *u;
	struct err e;

	(void)state;
	append(&r, &id, "abc");
	u = take(&r, &id);
	sync_fail(1, EIO);
	assert_err(upload_cancel(&u, &e), ERR_IO, &e, "index: commit");
	assert_true(sync_reset());
	assert_null(u);
	assert_offset(&r, &id, 3);
	append(&r, &id, "def");
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
	(void)create(&r);
	store_close(&r.st);
}

/* A row without its file, as a power cut may leave it. */
static void test_file_gone(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = create(&r);
	char text[UPLOAD_ID_TEXT_MAX];

	(void)state;
	MUST(unlinkat(r.st->uploads_fd, upload_id_text(&id, text), 0) == 0);
	assert_gone(&r, &id);
	assert_gone(&r, &id);
	store_close(&r.st);
}

/* --- sessions that are left alone --- */

static uint64_t reap(struct rig *r)
{
	uint64_t n = 77;
	struct err e;

	assert_ok(upload_reap(r->st, &n, &e), &e);
	return n;
}

/* As if the store, and with it all that it has seen, were older. */
static void age(struct rig *r)
{
	r->st->opened_mono_ms -= 2 * IDLE_MS;
}

static void test_reap_none(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = create(&r);

	(void)state;
	assert_int_equal(reap(&r), 0);
	assert_offset(&r, &id, 0);
	store_close(&r.st);
}

/* U4: the time runs from the last request, and the one that opens a session is one. */
static void test_reap_fresh(void **state)
{
	struct rig r = rig_new();
	struct upload_id id;

	(void)state;
	age(&r);
	id = create(&r);
	assert_int_equal(reap(&r), 0);
	assert_offset(&r, &id, 0);
	append(&r, &id, "abc");
	assert_int_equal(reap(&r), 0);
	assert_offset(&r, &id, 3);
	store_close(&r.st);
}

/* After a restart the time starts anew, and it does run out. */
static void test_reap_idle(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = create(&r), used;

	(void)state;
	append(&r, &id, "abc");
	reopen(&r);
	assert_int_equal(reap(&r), 0);
	age(&r);
	used = create(&r);
	append(&r, &used, "def");
	assert_int_equal(reap(&r), 1);
	assert_gone(&r, &id);
	assert_offset(&r, &used, 3);
	assert_int_equal(dir_count(r.root, "uploads"), 1);
	store_close(&r.st);
}

static void test_reap_busy(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = create(&r);
	struct upload *u;

	(void)state;
	r.st->options.uploads_idle_ms = 0;
	u = take(&r, &id);
	assert_int_equal(reap(&r), 0); /* somebody is at it */
	upload_release(&u);
	assert_int_equal(reap(&r), 1);
	assert_gone(&r, &id);
	store_close(&r.st);
}

/* More than a page of them, among them rows without a file. */
static void test_reap_many(void **state)
{
	struct rig r = rig_new();
	struct upload_id ids[600];

	(void)state;
	r.st->options.uploads_max = 1000;
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		char text[UPLOAD_ID_TEXT_MAX];

		ids[i] = create(&r);
		if (i % 7 == 0)
			MUST(unlinkat(r.st->uploads_fd, upload_id_text(&ids[i], text), 0) == 0);
	}
	assert_int_equal(reap(&r), 0); /* page by page, and not one is idle */
	r.st->options.uploads_idle_ms = 0;
	assert_int_equal(reap(&r), ARRAY_LEN(ids));
	assert_int_equal(dir_count(r.root, "uploads"), 0);
	assert_int_equal(reap(&r), 0);
	store_close(&r.st);
}

static void test_reap_fails(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = create(&r);
	uint64_t n;
	struct err e;

	(void)state;
	r.st->options.uploads_idle_ms = 0;
	sync_fail(1, EIO);
	assert_err(upload_reap(r.st, &n, &e), ERR_IO, &e, "index: commit");
	assert_true(sync_reset());
	assert_int_equal(n, 0);
	assert_offset(&r, &id, 0);
	assert_int_equal(reap(&r), 1);
	store_close(&r.st);
}

/* --- threads --- */

struct racer {
	struct rig *r;
	struct upload_id id;
	unsigned turns, refused, gone;
};

/* Takes the session whenever it is free; the last of all turns finishes it. */
static void *race(void *arg)
{
	struct racer *me = arg;
	struct digest d = digest_of(TEXT);

	for (;;) {
		AUTO_UPLOAD *u = NULL;
		struct err e;
		enum err_kind k = upload_take(me->r->st, &me->r->repo, &me->id, &u, &e);

		if (k == ERR_NOT_FOUND) {
			me->gone++;
			return NULL;
		}
		if (k == ERR_IN_USE) {
			me->refused++;
			(void)sched_yield();
			continue;
		}
		MUST(k == ERR_OK);
		me->turns++;
		if (upload_offset(u) == strlen(TEXT))
			MUST(upload_finish(&u, &d, &e) == ERR_OK);
		else
			MUST(upload_write(u, TEXT + upload_offset(u), 1, &e) == ERR_OK);
	}
}

static void test_race(void **state)
{
	struct rig r = { .root = unit_dir(), .repo = repo_of("a") };
	struct store_options o = store_options_of(r.root);
	struct store_recovery found;
	struct racer racers[4];
	pthread_t t[4];
	unsigned turns = 0;
	struct digest d = digest_of(TEXT);
	struct err e;

	(void)state;
	o.single_thread = false;
	assert_ok(store_open(&o, &r.st, &found, &e), &e);
	for (unsigned round = 0; round < 20; round++) {
		struct upload_id id = create(&r);

		for (size_t i = 0; i < ARRAY_LEN(t); i++) {
			racers[i] = (struct racer){ .r = &r, .id = id };
			MUST(pthread_create(&t[i], NULL, race, &racers[i]) == 0);
		}
		for (size_t i = 0; i < ARRAY_LEN(t); i++) {
			MUST(pthread_join(t[i], NULL) == 0);
			turns += racers[i].turns;
			assert_int_equal(racers[i].gone, 1);
		}
		assert_blob(&r, &d, TEXT);
	}
	assert_int_equal(turns, 20 * (strlen(TEXT) + 1)); /* one at a time */
	assert_int_equal(dir_count(r.root, "uploads"), 0);
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
	finish_ok(u, &d);
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
	unit_case("nothing to reap", test_reap_none);
	unit_case("a fresh session in an old store", test_reap_fresh);
	unit_case("an idle session", test_reap_idle);
	unit_case("a busy session", test_reap_busy);
	unit_case("six hundred idle sessions", test_reap_many);
	unit_case("a reap that fails", test_reap_fails);
	unit_case("four threads at one session", test_race);
	return unit_run();
}
