#include "storage/store_impl.h"

#include <dirent.h>
#include <errno.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "storage/repo.h"
#include "storage/upload.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

/* A path below a new directory; the store is to be made there. */
static const char *new_root(char buf[static 128])
{
	(void)snprintf(buf, 128, "%s/root", unit_dir());
	return buf;
}

static enum err_kind open_at(const char *root, struct store **ret, struct store_recovery *found,
			     struct err *e)
{
	struct store_options o = store_options_of(root);

	return store_open(&o, ret, found, e);
}

static struct store *must_open(const char *root, struct store_recovery *found)
{
	struct store *st = NULL;
	struct err e;

	assert_ok(open_at(root, &st, found, &e), &e);
	return st;
}

static void assert_refused(const char *root, enum err_kind kind, const char *message)
{
	struct store *st = NULL;
	struct store_recovery found;
	struct err e;

	assert_err(open_at(root, &st, &found, &e), kind, &e, message);
	assert_null(st);
}

/* All names below a directory, with size and mode and, if files are small, what is in them. */
static void list_tree(const char *dir, const char *below, struct sbuf *b)
{
	char path[512];
	struct dirent **names = NULL;
	int n;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, below);
	n = scandir(path, &names, NULL, alphasort);
	MUST(n >= 0);
	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;
		struct stat s;

		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
			(void)snprintf(path, sizeof(path), "%s%s%s", below, *below ? "/" : "",
				       name);
			sbuf_addf(b, "%s ", path);
			if (snprintf(path, sizeof(path), "%s/%s%s%s", dir, below, *below ? "/" : "",
				     name) < 512)
				MUST(lstat(path, &s) == 0);
			sbuf_addf(b, "%o %lld %lld.%09ld\n", s.st_mode, (long long)s.st_size,
				  (long long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
			if (S_ISDIR(s.st_mode))
				list_tree(dir, path + strlen(dir) + 1, b);
		}
		free(names[i]);
	}
	free(names);
}

static struct sbuf tree_of(const char *dir)
{
	struct sbuf b;

	sbuf_init(&b, SBUF_MAX);
	sbuf_add(&b, "", 0);
	list_tree(dir, "", &b);
	MUST(!b.failed);
	return b;
}

static void test_make(void **state)
{
	char root[128];
	struct store_recovery found = { 77, 77, 77 };
	struct store *st = must_open(new_root(root), &found);
	AUTO_SBUF version = file_read(root, "version"), lock = file_read(root, "lock");
	struct stat s;

	(void)state;
	assert_true(found.resumable == 0 && found.discarded == 0 && found.rewritten == 0);
	assert_string_equal(version.p, "berth store 1\n");
	assert_int_equal(strtol(lock.p, NULL, 10), getpid());
	assert_int_equal(dir_count(root, "blobs/sha256"), 256);
	assert_int_equal(dir_count(root, "blobs/sha512"), 256);
	assert_int_equal(dir_count(root, "uploads"), 0);
	assert_true(file_exists(root, "trash") && file_exists(root, "index/data.mdb"));
	assert_int_equal(dir_count(root, "."), 7);
	MUST(fstatat(st->root_fd, "uploads", &s, 0) == 0);
	assert_int_equal(s.st_mode & 0777, 0750);
	assert_int_equal(st->root_fd < 0, 0);
	push_blob(st, "a", "text");
	store_close(&st);
	assert_null(st);
	store_close(&st);
	st = must_open(root, &found);
	push_blob(st, "b", "text");
	store_close(&st);
}

static void test_through_link(void **state)
{
	char root[128], link[160];
	struct store_recovery found;
	struct store *st;

	(void)state;
	new_root(root);
	(void)snprintf(link, sizeof(link), "%s.link", root);
	MUST(mkdir(root, 0700) == 0 && symlink(root, link) == 0);
	st = must_open(link, &found);
	store_close(&st);
	assert_true(file_exists(root, "version"));
}

static void test_nowhere(void **state)
{
	const char *dir = unit_dir();
	char root[160];

	(void)state;
	(void)snprintf(root, sizeof(root), "%s/none/root", dir);
	assert_refused(root, ERR_NOT_FOUND, "make the root");
	(void)snprintf(root, sizeof(root), "%s/file", dir);
	file_write(dir, "file", STR("x"));
	assert_refused(root, ERR_IO, "open the root");
}

/* S3: what is not ours, or of another version, is refused with nothing in it changed. */
static const struct foreign {
	const char *name, *file;
	struct str bytes;
	enum err_kind kind;
	const char *message;
} foreigners[] = {
	{ "somebody's files",
	  "photo.jpg",
	  { "x", 1 },
	  ERR_UNSUPPORTED,
	  "neither empty nor a store of berth" },
	{ "hidden files",
	  ".bashrc",
	  { "x", 1 },
	  ERR_UNSUPPORTED,
	  "neither empty nor a store of berth" },
	{ "version 2",
	  "version",
	  { "berth store 2\n", 14 },
	  ERR_UNSUPPORTED,
	  "another version: \"berth store 2\", this berthd knows version 1" },
	{ "version 1x", "version", { "berth store 1x\n", 15 }, ERR_UNSUPPORTED, "another version" },
	{ "version without a newline",
	  "version",
	  { "berth store 1", 13 },
	  ERR_UNSUPPORTED,
	  "another version" },
	{ "empty version", "version", { "", 0 }, ERR_UNSUPPORTED, "another version: \"\"" },
	{ "long version",
	  "version",
	  { "................................................................................",
	    80 },
	  ERR_UNSUPPORTED,
	  "another version" },
};

static void test_foreign(void **state)
{
	const struct foreign *c = *state;
	char root[128];
	AUTO_SBUF before = { .p = NULL }, after = { .p = NULL };

	new_root(root);
	MUST(mkdir(root, 0755) == 0);
	file_write(root, c->file, c->bytes);
	before = tree_of(root);
	assert_refused(root, c->kind, c->message);
	after = tree_of(root);
	assert_string_equal(before.p, after.p);
}

static void test_version_is_a_directory(void **state)
{
	char root[128], path[160];

	(void)state;
	new_root(root);
	(void)snprintf(path, sizeof(path), "%s/version", root);
	MUST(mkdir(root, 0755) == 0 && mkdir(path, 0755) == 0);
	assert_refused(root, ERR_CORRUPT, "version is not a regular file");
}

/* A fresh file system, and what a start that was refused leaves, count as empty. */
static void test_as_good_as_empty(void **state)
{
	char root[128], path[160];
	struct store_recovery found;
	struct store *st;

	(void)state;
	new_root(root);
	(void)snprintf(path, sizeof(path), "%s/lost+found", root);
	MUST(mkdir(root, 0755) == 0 && mkdir(path, 0700) == 0);
	file_write(root, "lock", STR(""));
	st = must_open(root, &found);
	store_close(&st);
	assert_true(file_exists(root, "lost+found"));
}

/* S2, in this process: locks belong to descriptors, not to processes. */
static void test_second(void **state)
{
	char root[128], want[64];
	struct store_recovery found;
	struct store *st = must_open(new_root(root), &found);

	(void)state;
	push_blob(st, "a", "text");
	(void)snprintf(want, sizeof(want), "in use by the process with pid %d", (int)getpid());
	assert_refused(root, ERR_IN_USE, want);
	push_blob(st, "a", "the first one goes on");
	store_close(&st);
	st = must_open(root, &found);
	store_close(&st);
}

/* S2, with another process that holds it, dies without a word, and is forgotten. */
static void test_second_process(void **state)
{
	char root[128], want[64], ready;
	struct store_recovery found;
	struct store *st = must_open(new_root(root), &found);
	int fds[2], status;
	pid_t pid;

	(void)state;
	store_close(&st);
	MUST(pipe2(fds, O_CLOEXEC) == 0);
	pid = fork();
	MUST(pid >= 0);
	if (pid == 0) {
		struct err e;

		if (open_at(root, &st, &found, &e) == ERR_OK && write(fds[1], "x", 1) == 1)
			(void)pause();
		_exit(1);
	}
	(void)close(fds[1]);
	MUST(read(fds[0], &ready, 1) == 1);
	(void)close(fds[0]);
	(void)snprintf(want, sizeof(want), "in use by the process with pid %d", (int)pid);
	assert_refused(root, ERR_IN_USE, want);
	file_write(root, "lock", STR(""));
	assert_refused(root, ERR_IN_USE, "in use by another process");
	MUST(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
	st = must_open(root, &found);
	store_close(&st);
}

static void remove_below(const char *root, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	temp_dir_remove(path);
}

/* A store whose making was cut off is finished, wherever that was. */
static const struct half {
	const char *name;
	const char *lost[4];
} halves[] = {
	{ "right before its end", { NULL } },
	{ "before the index", { "index/data.mdb", "index/lock.mdb", NULL } },
	{ "before some shards", { "blobs/sha512/7f", "blobs/sha512/ff", NULL } },
	{ "before the directories", { "index", "reflog", "uploads", NULL } },
	{ "before anything", { "blobs", "index", "reflog", NULL } },
};

static void test_half_made(void **state)
{
	const struct half *c = *state;
	char root[128];
	struct store_recovery found;
	struct store *st = must_open(new_root(root), &found);

	MUST(renameat(st->root_fd, "version", st->root_fd, "version.new") == 0);
	store_close(&st);
	for (size_t i = 0; c->lost[i]; i++)
		remove_below(root, c->lost[i]);
	st = must_open(root, &found);
	assert_true(file_exists(root, "version") && !file_exists(root, "version.new"));
	assert_int_equal(dir_count(root, "blobs/sha512"), 256);
	push_blob(st, "a", "text");
	store_close(&st);
}

/* The index's first write was cut off: it holds nothing yet, and is made anew. */
static void test_half_made_index(void **state)
{
	char root[128];
	struct store_recovery found;
	struct store *st = must_open(new_root(root), &found);

	(void)state;
	MUST(renameat(st->root_fd, "version", st->root_fd, "version.new") == 0);
	store_close(&st);
	file_write(root, "index/data.mdb", STR("half a page"));
	st = must_open(root, &found);
	push_blob(st, "a", "text");
	store_close(&st);
}

/* What a finished store must have: it is missed, never made anew. */
static const struct loss {
	const char *name, *lost;
	enum err_kind kind;
	const char *message;
} losses[] = {
	{ "the index", "index/data.mdb", ERR_CORRUPT, "index/data.mdb is missing" },
	{ "the index's directory", "index", ERR_CORRUPT, "index/data.mdb is missing" },
	{ "the reflog's directory", "reflog", ERR_NOT_FOUND, "open reflog" },
	{ "the reflog's segment", "reflog/1.jsonl", ERR_CORRUPT, "reflog/1.jsonl is missing" },
	{ "uploads", "uploads", ERR_NOT_FOUND, "open uploads" },
	{ "blobs", "blobs/sha512", ERR_NOT_FOUND, "open blobs/sha512" },
};

static void test_loss(void **state)
{
	const struct loss *c = *state;
	char root[128];
	struct store_recovery found;
	struct store *st = must_open(new_root(root), &found);
	bool has_log = strncmp(c->lost, "reflog", 6) != 0;

	push_blob(st, "a", "text");
	store_close(&st);
	remove_below(root, c->lost);
	assert_refused(root, c->kind, c->message);
	assert_refused(root, c->kind, c->message); /* and again: the first try made nothing */
	assert_false(file_exists(root, c->lost));
	assert_int_equal(file_exists(root, "reflog/1.jsonl"), has_log);
}

static void test_damaged_index(void **state)
{
	char root[128];
	struct store_recovery found;
	struct store *st = must_open(new_root(root), &found);

	(void)state;
	push_blob(st, "a", "text");
	store_close(&st);
	file_write(root, "index/data.mdb", STR("not an index at all, but longer than nothing"));
	assert_refused(root, ERR_CORRUPT, "index: ");
	assert_true(file_exists(root, "reflog/1.jsonl"));
}

/* --- recovery --- */

static struct upload_id open_session(struct store *st, const char *repo, const char *text)
{
	AUTO_UPLOAD *u = NULL;
	struct repo_name r = repo_of(repo);
	struct upload_id id;
	struct err e;

	assert_ok(upload_create(st, &r, DIGEST_SHA256, &id, &e), &e);
	assert_ok(upload_take(st, &r, &id, &u, &e), &e);
	assert_ok(upload_write(u, text, strlen(text), &e), &e);
	return id;
}

/* As a process leaves it that was killed while it published the session's bytes. */
static void make_pending(const char *root, const struct upload_id *id, const char *text,
			 bool linked)
{
	char open_name[UPLOAD_ID_TEXT_MAX], pending[BLOB_FILE_NAME_MAX], hex[DIGEST_HEX_MAX + 1];
	char from[512], to[512];
	struct digest d = digest_of(text);

	upload_id_text(id, open_name);
	blob_pending_name(&d, id, pending);
	(void)snprintf(from, sizeof(from), "%s/uploads/%s", root, open_name);
	(void)snprintf(to, sizeof(to), "%s/uploads/%s", root, pending);
	MUST(rename(from, to) == 0 && chmod(to, 0444) == 0);
	if (!linked)
		return;
	digest_hex(&d, hex);
	(void)snprintf(from, sizeof(from), "%s/blobs/sha256/%.2s/%s", root, hex, hex);
	MUST(link(to, from) == 0);
}

static uint64_t offset_of(struct store *st, const char *repo, const struct upload_id *id)
{
	struct repo_name r = repo_of(repo);
	uint64_t offset = UINT64_MAX;
	struct err e;

	assert_ok(upload_status(st, &r, id, &offset, &e), &e);
	return offset;
}

static bool blob_file_exists(const char *root, const char *text)
{
	char hex[DIGEST_HEX_MAX + 1], name[200];
	struct digest d = digest_of(text);

	digest_hex(&d, hex);
	(void)snprintf(name, sizeof(name), "blobs/sha256/%.2s/%s", hex, hex);
	return file_exists(root, name);
}

static void test_recover_sessions(void **state)
{
	char root[128];
	struct store_recovery found;
	struct store *st = must_open(new_root(root), &found);
	struct upload_id one, two, three;

	(void)state;
	one = open_session(st, "a", "first");
	two = open_session(st, "a", "the second");
	three = open_session(st, "b", "third one");
	store_close(&st);
	make_pending(root, &two, "the second", false);
	make_pending(root, &three, "third one", true);
	st = must_open(root, &found);
	assert_int_equal(found.resumable, 3);
	assert_int_equal(found.discarded, 0);
	assert_int_equal(offset_of(st, "a", &one), 5);
	assert_int_equal(offset_of(st, "a", &two), 10);
	assert_int_equal(offset_of(st, "b", &three), 9);
	assert_false(blob_file_exists(root, "third one")); /* nobody was told of it */
	assert_int_equal(dir_count(root, "uploads"), 3);
	store_close(&st);
	st = must_open(root, &found);
	assert_true(found.resumable == 3 && found.discarded == 0);
	store_close(&st);
}

/*
 * Many at once: each is counted once, though names change while the directory is read.  ext4 returns some of them
 * twice as soon as a directory has more than a few blocks.
 */
static void test_recover_many(void **state)
{
	enum { N = 300 };
	char root[128], text[32];
	struct store_recovery found;
	struct store *st = NULL;
	struct upload_id ids[N];
	struct store_options o;
	struct err e;

	(void)state;
	(void)snprintf(root, sizeof(root), "%s/root", unit_disk_dir());
	o = store_options_of(root);
	o.uploads_max = N;
	assert_ok(store_open(&o, &st, &found, &e), &e);
	for (unsigned i = 0; i < N; i++) {
		(void)snprintf(text, sizeof(text), "session %u", i);
		ids[i] = open_session(st, "a", text);
	}
	store_close(&st);
	for (unsigned i = 0; i < N; i++) {
		(void)snprintf(text, sizeof(text), "session %u", i);
		make_pending(root, &ids[i], text, i % 2);
	}
	st = must_open(root, &found);
	assert_int_equal(found.resumable, N);
	assert_int_equal(found.discarded, 0);
	assert_int_equal(dir_count(root, "uploads"), N);
	for (unsigned i = 0; i < N; i++)
		(void)offset_of(st, "a", &ids[i]);
	store_close(&st);
}

/* Files of no session, and of a publication that did or did not come to its end. */
static void test_discard(void **state)
{
	char root[128];
	struct store_recovery found;
	struct store *st = must_open(new_root(root), &found);
	struct upload_id id = { .bytes = "0123456789abcde" };
	struct repo_name a = repo_of("a");
	struct digest d = digest_of("committed");
	uint64_t size;
	struct err e;

	(void)state;
	push_blob(st, "a", "committed");
	store_close(&st);
	file_write(root, "uploads/30313233-3435-3637-3839-616263646500",
		   STR("body of one request"));
	make_pending(root, &id, "body of one request", true);
	file_write(root, "uploads/30313233-3435-3637-3839-616263646500", STR("committed"));
	make_pending(root, &id, "committed", false);
	file_write(root, "uploads/ffffffff-3435-3637-3839-616263646500", STR("of no session"));
	file_write(root, "uploads/notes.txt", STR("not ours"));
	file_write(root, "uploads/.hidden", STR("not ours"));
	st = must_open(root, &found);
	assert_int_equal(found.resumable, 0);
	assert_int_equal(found.discarded, 3);
	assert_false(blob_file_exists(root, "body of one request"));
	assert_true(blob_file_exists(root, "committed"));
	assert_ok(blob_size(store_index(st), &a, &d, &size, &e), &e);
	assert_int_equal(dir_count(root, "uploads"), 1);
	assert_true(file_exists(root, "uploads/notes.txt") && file_exists(root, "uploads/.hidden"));
	store_close(&st);
}

static void test_stats(void **state)
{
	char root[128];
	struct store_recovery found;
	struct store *st = must_open(new_root(root), &found);
	struct commit_stats s;

	(void)state;
	push_blob(st, "a", "text");
	push_blob(st, "a", "more text");
	s = store_commit_stats(st);
	assert_true(s.changes == 2 && s.batches == 2 && s.failures == 0);
	store_close(&st);
}

int main(void)
{
	unit_case("make and open again", test_make);
	unit_case("through a symbolic link", test_through_link);
	unit_case("nowhere", test_nowhere);
	UNIT_TABLE("refused untouched", test_foreign, foreigners);
	unit_case("version is a directory", test_version_is_a_directory);
	unit_case("as good as empty", test_as_good_as_empty);
	unit_case("a second one", test_second);
	unit_case("a second one in another process", test_second_process);
	UNIT_TABLE("half made", test_half_made, halves);
	unit_case("half made: half an index", test_half_made_index);
	UNIT_TABLE("lost", test_loss, losses);
	unit_case("a damaged index", test_damaged_index);
	unit_case("sessions are found again", test_recover_sessions);
	unit_case("many sessions are found again", test_recover_many);
	unit_case("what nobody was told of is discarded", test_discard);
	unit_case("commit statistics", test_stats);
	return unit_run();
}
