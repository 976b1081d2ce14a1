#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/repo.h"
#include "storage/store_impl.h"
#include "tests/lib/fixture.h"
#include "tests/lib/index_fixture.h"
#include "tests/lib/sync_hook.h"
#include "tests/lib/unit.h"

static struct store *open_store(const char *root, struct store_recovery *found)
{
	struct store_options o = store_options_of(root);
	struct store *st = NULL;
	struct err e;

	assert_ok(store_open(&o, &st, found, &e), &e);
	return st;
}

static void put(struct store *st, const char *note)
{
	AUTO_SBUF b = small_image(note);

	push_manifest(st, "a", text_of(&b), MEDIA_OCI_MANIFEST, note);
}

static struct store *new_store(const char *root)
{
	struct store_recovery found;
	struct store *st = open_store(root, &found);

	push_blob(st, "a", CONFIG_TEXT);
	push_blob(st, "a", LAYER_TEXT);
	return st;
}

static uint64_t settled(struct store *st)
{
	struct reflog_mark m;
	struct err e;

	assert_ok(index_settled_read(store_index(st), &m, &e), &e);
	return m.seq;
}

static const char *file_of(const char *root, const char *note, char path[static 300])
{
	AUTO_SBUF b = small_image(note);
	struct digest d = digest_of(b.p);
	char hex[DIGEST_HEX_MAX + 1];

	digest_hex(&d, hex);
	(void)snprintf(path, 300, "%s/blobs/sha256/%.2s/%s", root, hex, hex);
	return path;
}

static void spoil(const char *root, const char *note)
{
	char path[300];

	file_of(root, note, path);
	MUST(chmod(path, 0600) == 0 && truncate(path, 3) == 0);
}

static bool is_whole(const char *root, const char *note)
{
	AUTO_SBUF b = small_image(note);
	char path[300];
	struct stat s;

	return stat(file_of(root, note, path), &s) == 0 && (uint64_t)s.st_size == b.n;
}

static void settle(struct store *st)
{
	struct err e;

	assert_ok(store_settle(st, &e), &e);
}

static void test_settle(void **state)
{
	const char *root = unit_dir();
	struct store *st = new_store(root);
	unsigned before = sync_count_fs();

	(void)state;
	settle(st);
	assert_int_equal(sync_count_fs(),
			 before); /* blobs are durable by themselves: nothing to do */
	assert_int_equal(settled(st), 0);
	put(st, "one");
	put(st, "two");
	assert_int_equal(settled(st), 0);
	settle(st);
	assert_int_equal(sync_count_fs(), before + 1);
	assert_int_equal(settled(st), 4); /* two blobs, two manifests */
	settle(st);
	assert_int_equal(sync_count_fs(), before + 1);
	put(st, "three");
	store_close(&st); /* settles as well */
	assert_int_equal(sync_count_fs(), before + 2);
	st = new_store(root);
	assert_int_equal(settled(st), 5);
	store_close(&st);
}

/* Some file of the file system failed: which one nobody tells, so all that are not settled are written again. */
static void test_syncfs_fails(void **state)
{
	const char *root = unit_dir();
	struct store *st = new_store(root);

	(void)state;
	put(st, "one");
	settle(st);
	put(st, "two");
	put(st, "three");
	spoil(root, "one");
	spoil(root, "two");
	sync_fail_fs(EIO);
	settle(st);
	sync_fail_fs(0);
	assert_false(is_whole(root, "one")); /* that one was settled before */
	assert_true(is_whole(root, "two"));
	assert_true(is_whole(root, "three"));
	assert_int_equal(settled(st), 5);
	assert_int_equal(dir_count(root, "uploads"), 0);
	store_close(&st);
}

static void test_settle_fails(void **state)
{
	const char *root = unit_dir();
	struct store *st = new_store(root);
	struct err e;

	(void)state;
	put(st, "one");
	sync_fail_fs(EIO);
	sync_fail(1, EIO); /* nor does the file let itself be synced */
	assert_err(store_settle(st, &e), ERR_IO, &e, "publish: ");
	assert_true(sync_reset());
	sync_fail_fs(0);
	assert_int_equal(settled(st), 0);
	sync_fail(1, EIO);
	assert_err(store_settle(st, &e), ERR_IO, &e, "index: commit");
	assert_true(sync_reset());
	assert_int_equal(settled(st), 0);
	settle(st); /* it is not forgotten */
	assert_int_equal(settled(st), 3);
	store_close(&st);
}

/* A process that puts manifests, and is killed before it settles them. */
static void put_and_die(const char *root)
{
	int status;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	MUST(pid >= 0);
	if (pid == 0) {
		struct store *st = new_store(root);

		put(st, "one");
		put(st, "two");
		put(st, "three");
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* S4: what a power cut takes of their files comes out of the index. */
static void test_restore(void **state)
{
	const char *root = unit_dir();
	struct store_recovery found;
	struct store *st;
	char path[300];

	(void)state;
	put_and_die(root);
	spoil(root, "one");
	MUST(unlink(file_of(root, "two", path)) == 0);
	st = open_store(root, &found);
	assert_int_equal(found.rewritten, 2);
	assert_true(is_whole(root, "one") && is_whole(root, "two") && is_whole(root, "three"));
	assert_int_equal(dir_count(root, "uploads"), 0);
	assert_int_equal(settled(st), 0); /* whole, but not yet on disk */
	settle(st);
	assert_int_equal(settled(st), 5);
	store_close(&st);
	st = open_store(root, &found);
	assert_int_equal(found.rewritten, 0);
	store_close(&st);
}

/* What was deleted meanwhile is no loss. */
static void test_restore_deleted(void **state)
{
	const char *root = unit_dir();
	AUTO_SBUF b = small_image("one");
	struct repo_name a = repo_of("a");
	struct digest d = digest_of(b.p);
	struct store_recovery found;
	struct store *st = new_store(root);
	struct err e;

	(void)state;
	put(st, "one");
	put(st, "two");
	assert_ok(repo_manifest_delete(st, &a, &d, NULL, &e), &e);
	settle(st);
	assert_int_equal(settled(st), 5);
	store_close(&st);
	st = open_store(root, &found);
	assert_int_equal(found.rewritten, 0);
	store_close(&st);
}

/* A reflog that does not have what it must have stops the start. */
static void test_restore_fails(void **state)
{
	const char *root = unit_dir();
	struct store_options o = store_options_of(root);
	AUTO_SBUF log = { .p = NULL };
	struct store_recovery found;
	struct store *st = NULL;
	struct err e;

	(void)state;
	put_and_die(root);
	log = file_read(root, "reflog/1.jsonl");
	log.p[10] ^= 0x55; /* in the first record, which the mark does not look at */
	file_write(root, "reflog/1.jsonl", (struct str){ log.p, log.n });
	assert_err(store_open(&o, &st, &found, &e), ERR_CORRUPT, &e, "reflog record");
	assert_null(st);
}

int main(void)
{
	unit_case("settle", test_settle);
	unit_case("syncfs fails", test_syncfs_fails);
	unit_case("settling fails", test_settle_fails);
	unit_case("files are restored", test_restore);
	unit_case("deleted manifests", test_restore_deleted);
	unit_case("a log that cannot be read", test_restore_fails);
	return unit_run();
}
