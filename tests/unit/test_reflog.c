#include "storage/reflog.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/fd.h"
#include "tests/lib/fixture.h"
#include "tests/lib/sync_hook.h"
#include "tests/lib/unit.h"

static const struct reflog_mark at_start = { .segment = 1 };

static int open_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	MUST(fd >= 0);
	return fd;
}

static struct reflog *open_log(int dir, const struct reflog_mark *mark)
{
	struct reflog *l = NULL;
	struct err e;

	assert_ok(reflog_open(dir, mark, &l, &e), &e);
	return l;
}

static uint64_t size_of(const char *root, const char *name)
{
	AUTO_SBUF b = file_read(root, name);

	return b.n;
}

static void add(struct reflog *l, const char *repo)
{
	struct digest d = digest_of(repo);
	struct change c = {
		.kind = CHANGE_BLOB_UNLINK, .repo = repo_of(repo), .at_ms = 1, .digest = d
	};
	struct err e;

	assert_ok(reflog_add(l, &c, &e), &e);
}

static struct reflog_mark sync_log(struct reflog *l)
{
	struct reflog_mark m;
	struct err e;

	assert_ok(reflog_sync(l, &m, &e), &e);
	return m;
}

/* One record, synced and counted. */
static struct reflog_mark append(struct reflog *l, const char *repo)
{
	struct reflog_mark m;

	add(l, repo);
	m = sync_log(l);
	reflog_accept(l, &m);
	return m;
}

/* The repositories of a segment's records, whose numbers go up one by one from first. */
static void assert_records(const char *root, const char *name, uint64_t first, const char *want)
{
	AUTO_SBUF b = file_read(root, name), got;
	struct str rest = { b.p, b.n }, line;

	sbuf_init(&got, 1000);
	sbuf_add(&got, "", 0);
	while (str_cut(rest, '\n', &line, &rest)) {
		AUTO_REFLOG_RECORD r = { 0 };
		struct err e;

		assert_ok(reflog_record_parse(line, &r, &e), &e);
		assert_int_equal(r.seq, first++);
		sbuf_addf(&got, "%s ", r.repo.s);
	}
	assert_int_equal(line.n, 0); /* nothing after the last newline */
	assert_string_equal(got.p, want);
}

static void test_append(void **state)
{
	const char *root = unit_dir();
	AUTO_CLOSE dir = open_dir(root);
	struct reflog *l = open_log(dir, &at_start);
	struct reflog_mark m = sync_log(l);

	(void)state;
	assert_true(m.segment == 1 && m.offset == 0 &&
		    m.seq == 0); /* nothing queued: the old mark */
	assert_int_equal(dir_count(root, "."), 0);
	m = append(l, "a");
	assert_true(m.segment == 1 && m.seq == 1);
	assert_records(root, "1.jsonl", 1, "a ");
	add(l, "b");
	add(l, "c");
	m = sync_log(l);
	reflog_accept(l, &m);
	assert_true(m.segment == 1 && m.seq == 3);
	assert_records(root, "1.jsonl", 1, "a b c ");
	assert_int_equal(m.offset, size_of(root, "1.jsonl"));
	reflog_close(&l);
	assert_null(l);
	reflog_close(&l);
	l = open_log(dir, &m);
	m = append(l, "d");
	assert_int_equal(m.seq, 4);
	assert_records(root, "1.jsonl", 1, "a b c d ");
	reflog_close(&l);
}

static void test_not_recorded(void **state)
{
	const char *root = unit_dir();
	AUTO_CLOSE dir = open_dir(root);
	struct reflog *l = open_log(dir, &at_start);
	struct change c = { .kind = CHANGE_UPLOAD_OPEN, .repo = repo_of("a") };
	struct reflog_mark m;
	struct err e;

	(void)state;
	assert_ok(reflog_add(l, &c, &e), &e);
	m = sync_log(l);
	assert_int_equal(m.seq, 0);
	assert_int_equal(dir_count(root, "."), 0);
	reflog_close(&l);
}

static void test_drop(void **state)
{
	const char *root = unit_dir();
	AUTO_CLOSE dir = open_dir(root);
	struct reflog *l = open_log(dir, &at_start);
	struct reflog_mark m;

	(void)state;
	(void)append(l, "a");
	add(l, "dropped");
	reflog_drop(l);
	m = append(l, "b");
	assert_int_equal(m.seq, 2); /* no number is left out */
	assert_records(root, "1.jsonl", 1, "a b ");
	reflog_close(&l);
}

/* What lies beyond the mark was never acknowledged. */
static const struct {
	const char *name, *tail;
} tails[] = {
	{ "nothing", "" },
	{ "a torn record", "{\"seq\":3,\"ts\":1,\"op\":\"blob.unl" },
	{ "a whole record",
	  "{\"seq\":3,\"ts\":1,\"op\":\"tag.delete\",\"repo\":\"x\",\"tags\":[\"t\"]}\n" },
	{ "garbage", "\xff\xff\n\n\n" },
	{ "a newline", "\n" },
};

static void test_tail_is_cut(void **state)
{
	__typeof__(&tails[0]) c = *state;
	const char *root = unit_dir();
	AUTO_CLOSE dir = open_dir(root);
	struct reflog *l = open_log(dir, &at_start);
	struct reflog_mark m;
	AUTO_SBUF whole = { .p = NULL };

	(void)append(l, "a");
	m = append(l, "b");
	reflog_close(&l);
	whole = file_read(root, "1.jsonl");
	sbuf_add_str(&whole, str_of(c->tail));
	file_write(root, "1.jsonl", (struct str){ whole.p, whole.n });
	l = open_log(dir, &m);
	assert_records(root, "1.jsonl", 1, "a b ");
	m = append(l, "c");
	assert_int_equal(m.seq, 3);
	assert_records(root, "1.jsonl", 1, "a b c ");
	reflog_close(&l);
}

/* The log is refused as it is: nothing is guessed, nothing removed. */
static void assert_refused(const char *root, const struct reflog_mark *m, const char *message)
{
	AUTO_CLOSE dir = open_dir(root);
	bool is_there = file_exists(root, "1.jsonl");
	AUTO_SBUF before = { .p = NULL }, after = { .p = NULL };
	struct reflog *l = NULL;
	struct err e;

	if (is_there)
		before = file_read(root, "1.jsonl");
	file_write(root, "9.jsonl", STR("a later segment"));
	assert_err(reflog_open(dir, m, &l, &e), ERR_CORRUPT, &e, message);
	assert_null(l);
	assert_true(file_exists(root, "9.jsonl"));
	if (!is_there)
		return;
	after = file_read(root, "1.jsonl");
	assert_int_equal(before.n, after.n);
	assert_memory_equal(before.p, after.p, after.n);
}

static void test_corrupt(void **state)
{
	const char *root = unit_dir();
	AUTO_CLOSE dir = open_dir(root);
	struct reflog *l = open_log(dir, &at_start);
	struct reflog_mark first = append(l, "a"), m = append(l, "b"), other = m;
	AUTO_SBUF whole = file_read(root, "1.jsonl");

	(void)state;
	reflog_close(&l);
	other.seq++;
	assert_refused(root, &other, "record 2 where the index has 3");
	other = first;
	other.seq = 2;
	assert_refused(root, &other, "record 1 where the index has 2");
	other = m;
	other.offset--;
	assert_refused(root, &other, "no record ends at the index's mark");
	other.offset = 1;
	assert_refused(root, &other, "no record ends at the index's mark");
	other.offset = m.offset + 1;
	assert_refused(root, &other, "bytes where the index counts");
	whole.p[whole.n - 5] ^= 0x55; /* within the last record */
	file_write(root, "1.jsonl", (struct str){ whole.p, whole.n });
	assert_refused(root, &m, "reflog record: ");
	MUST(unlinkat(dir, "1.jsonl", 0) == 0);
	assert_refused(root, &m, "reflog/1.jsonl is missing");
}

/* The check looks at the last record only, however long the log is. */
static void test_long_log(void **state)
{
	const char *root = unit_dir();
	AUTO_CLOSE dir = open_dir(root);
	struct reflog *l = open_log(dir, &at_start);
	struct reflog_mark m = at_start;

	(void)state;
	for (unsigned i = 0; i < 5000; i++)
		add(l, "a");
	m = sync_log(l);
	reflog_accept(l, &m);
	assert_in_range(m.offset, REFLOG_LINE_MAX + 1, UINT64_MAX);
	reflog_close(&l);
	l = open_log(dir, &m);
	m = append(l, "b");
	assert_int_equal(m.seq, 5001);
	reflog_close(&l);
}

/* A record that is not acknowledged, and the next one that takes its number. */
static void test_rewind(void **state)
{
	const char *root = unit_dir();
	AUTO_CLOSE dir = open_dir(root);
	struct reflog *l = open_log(dir, &at_start);
	struct reflog_mark m, lost;
	struct err e;

	(void)state;
	m = append(l, "a");
	add(l, "lost");
	lost = sync_log(l);
	assert_int_equal(lost.seq, 2);
	add(l, "queued");
	assert_ok(reflog_rewind(l, &m, &e), &e);
	assert_records(root, "1.jsonl", 1, "a ");
	m = append(l, "b");
	assert_int_equal(m.seq, 2);
	assert_records(root, "1.jsonl", 1, "a b ");
	assert_ok(reflog_rewind(l, &at_start, &e), &e); /* as far as the start */
	assert_int_equal(dir_count(root, "."), 0);
	m = append(l, "c");
	assert_int_equal(m.seq, 1);
	assert_records(root, "1.jsonl", 1, "c ");
	reflog_close(&l);
}

/* Segments after the mark hold nothing that counts; other files are not ours to remove. */
static void test_later_segments(void **state)
{
	static const char *const kept[] = {
		"notes.txt", "3.jsonl.old", "x3.jsonl",
		".jsonl",    "-3.jsonl",    "99999999999999999999.jsonl"
	};
	const char *root = unit_dir();
	AUTO_CLOSE dir = open_dir(root);
	struct reflog *l = open_log(dir, &at_start);
	struct reflog_mark m = append(l, "a");

	(void)state;
	reflog_close(&l);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		file_write(root, kept[i], STR("x"));
	file_write(root, "2.jsonl", STR("x"));
	file_write(root, "18446744073709551615.jsonl", STR("x"));
	l = open_log(dir, &m);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		assert_true(file_exists(root, kept[i]));
	assert_false(file_exists(root, "2.jsonl"));
	assert_false(file_exists(root, "18446744073709551615.jsonl"));
	assert_true(file_exists(root, "1.jsonl"));
	reflog_close(&l);
}

/* A segment beyond its size is followed by another, which is named by its first record. */
static void test_segments(void **state)
{
	static const char record[] =
	    "\n{\"seq\":7,\"ts\":1,\"op\":\"tag.delete\",\"repo\":\"x\",\"tags\":[\"t\"]}\n";
	const char *root = unit_dir();
	AUTO_CLOSE dir = open_dir(root);
	AUTO_CLOSE fd = -1;
	struct reflog *l;
	struct reflog_mark m = { .segment = 1, .seq = 7 };
	struct err e;

	(void)state;
	assert_ok(fd_open_at(dir, "1.jsonl", O_WRONLY | O_CREAT, 0600, &fd, &e), &e);
	assert_ok(fd_pwrite_all(fd, record, sizeof(record) - 1, REFLOG_SEGMENT_BYTES - 10, "x", &e),
		  &e);
	m.offset = REFLOG_SEGMENT_BYTES - 10 + sizeof(record) - 1;
	l = open_log(dir, &m);
	m = append(l, "a");
	assert_true(m.segment == 8 && m.seq == 8);
	m = append(l, "b");
	assert_true(m.segment == 8 && m.seq == 9);
	reflog_close(&l);
	assert_records(root, "8.jsonl", 8, "a b ");
	l = open_log(dir, &m);
	m = append(l, "c");
	assert_records(root, "8.jsonl", 8, "a b c ");
	assert_true(file_exists(root, "1.jsonl"));
	reflog_close(&l);
}

/* L3: a file whose fsync failed is not written to again. */
static void test_spoilt(void **state)
{
	const char *root = unit_dir();
	AUTO_CLOSE dir = open_dir(root);
	struct reflog *l = open_log(dir, &at_start);
	struct reflog_mark m = append(l, "a"), failed = { 0 };
	struct err e;

	(void)state;
	add(l, "lost");
	sync_fail(1, EIO);
	assert_err(reflog_sync(l, &failed, &e), ERR_IO, &e, "fdatasync reflog");
	assert_true(sync_reset());
	assert_int_equal(failed.seq, 0);
	assert_ok(reflog_rewind(l, &m, &e), &e);
	m = append(l, "b");
	assert_true(m.segment == 2 && m.seq == 2);
	m = append(l, "c"); /* the new file is sound */
	assert_int_equal(m.segment, 2);
	reflog_close(&l);
	assert_records(root, "1.jsonl", 1, "a ");
	assert_records(root, "2.jsonl", 2, "b c ");
	l = open_log(dir, &m);
	m = append(l, "d");
	assert_int_equal(m.segment, 2);
	reflog_close(&l);
}

/* The very first file, spoilt: its name is used again, for a new file. */
static void test_spoilt_first(void **state)
{
	const char *root = unit_dir();
	AUTO_CLOSE dir = open_dir(root);
	struct reflog *l = open_log(dir, &at_start);
	struct reflog_mark m;
	struct stat before, after;
	struct err e;

	(void)state;
	add(l, "lost");
	sync_fail(2, EIO); /* the directory is synced before */
	assert_err(reflog_sync(l, &m, &e), ERR_IO, &e, "fdatasync reflog");
	assert_true(sync_reset());
	MUST(fstatat(dir, "1.jsonl", &before, 0) == 0);
	assert_ok(reflog_rewind(l, &at_start, &e), &e);
	file_write(root, "holds-the-inode", STR("x"));
	m = append(l, "a");
	assert_true(m.segment == 1 && m.seq == 1);
	MUST(fstatat(dir, "1.jsonl", &after, 0) == 0);
	assert_int_not_equal(before.st_ino, after.st_ino);
	assert_records(root, "1.jsonl", 1, "a ");
	reflog_close(&l);
}

static void test_directory_sync_fails(void **state)
{
	const char *root = unit_dir();
	AUTO_CLOSE dir = open_dir(root);
	struct reflog *l = open_log(dir, &at_start);
	struct reflog_mark m;
	struct err e;

	(void)state;
	add(l, "lost");
	sync_fail(1, EIO);
	assert_err(reflog_sync(l, &m, &e), ERR_IO, &e, "reflog: fsync directory");
	assert_true(sync_reset());
	assert_ok(reflog_rewind(l, &at_start, &e), &e);
	(void)append(l, "a");
	assert_records(root, "1.jsonl", 1, "a ");
	reflog_close(&l);
}

/* A disk that is full in the middle of a record. */
static void test_no_space(void **state)
{
	const char *root = unit_dir();
	AUTO_CLOSE dir = open_dir(root);
	struct reflog *l = open_log(dir, &at_start);
	struct reflog_mark m = append(l, "a"), ignored;
	struct rlimit old, small;
	struct err e;
	enum err_kind k;

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	add(l, "lost");
	MUST(getrlimit(RLIMIT_FSIZE, &old) == 0);
	small = (struct rlimit){ .rlim_cur = m.offset + 10, .rlim_max = old.rlim_max };
	MUST(setrlimit(RLIMIT_FSIZE, &small) == 0);
	k = reflog_sync(l, &ignored, &e);
	MUST(setrlimit(RLIMIT_FSIZE, &old) == 0);
	assert_err(k, ERR_NO_SPACE, &e, "write reflog");
	assert_int_equal(size_of(root, "1.jsonl"), m.offset + 10);
	assert_ok(reflog_rewind(l, &m, &e), &e);
	m = append(l, "b");
	assert_int_equal(m.segment, 1); /* no fsync failed: the file goes on */
	assert_records(root, "1.jsonl", 1, "a b ");
	reflog_close(&l);
}

/* --- reading --- */

struct seen {
	char repos[64];
	unsigned n, stop_at;
};

static enum err_kind see(void *arg, const struct reflog_record *r, struct err *e)
{
	struct seen *s = arg;

	if (s->stop_at && s->n == s->stop_at)
		return err_set(e, ERR_IN_USE, __func__, "enough");
	(void)snprintf(s->repos + strlen(s->repos), sizeof(s->repos) - strlen(s->repos), "%s ",
		       r->repo.s);
	s->n++;
	return ERR_OK;
}

static void assert_read(int dir, const struct reflog_mark *after, uint64_t last, const char *want)
{
	struct seen s = { .n = 0 };
	struct err e;

	assert_ok(reflog_read(dir, after, last, see, &s, &e), &e);
	assert_string_equal(s.repos, want);
}

static void test_read(void **state)
{
	const char *root = unit_dir();
	AUTO_CLOSE dir = open_dir(root);
	struct reflog *l = open_log(dir, &at_start);
	struct reflog_mark a = append(l, "a"), b = append(l, "b"), c = append(l, "c");
	struct seen s = { .stop_at = 1 };
	struct err e;

	(void)state;
	reflog_close(&l);
	assert_read(dir, &at_start, 3, "a b c ");
	assert_read(dir, &at_start, 2, "a b ");
	assert_read(dir, &a, 3, "b c ");
	assert_read(dir, &b, 3, "c ");
	assert_read(dir, &c, 3, ""); /* all is read */
	assert_read(dir, &c, 0, "");
	assert_err(reflog_read(dir, &at_start, 3, see, &s, &e), ERR_IN_USE, &e, "enough");
	assert_int_equal(s.n, 1);
	assert_err(reflog_read(dir, &at_start, 4, see, &s, &e), ERR_IN_USE, &e, "enough");
	s.stop_at = 0;
	assert_err(reflog_read(dir, &at_start, 4, see, &s, &e), ERR_CORRUPT, &e, "no record 4");
}

/* Over files, the first of which ends with records that never counted. */
static void test_read_segments(void **state)
{
	const char *root = unit_dir();
	AUTO_CLOSE dir = open_dir(root);
	struct reflog *l = open_log(dir, &at_start);
	struct reflog_mark m = append(l, "a");
	AUTO_SBUF lost = { .p = NULL };
	struct err e;

	(void)state;
	add(l, "lost");
	sync_fail(1, EIO);
	assert_err(reflog_sync(l, &m, &e), ERR_IO, &e, "fdatasync reflog");
	lost = file_read(root, "1.jsonl");
	m = (struct reflog_mark){ .segment = 1, .seq = 1 };
	m.offset = (uint64_t)(strchr(lost.p, '\n') + 1 - lost.p);
	assert_ok(reflog_rewind(l, &m, &e), &e);
	(void)append(l, "b");
	m = append(l, "c");
	reflog_close(&l);
	file_write(root, "1.jsonl",
		   (struct str){ lost.p, lost.n }); /* as if the cut had been lost */
	assert_read(dir, &at_start, 3, "a b c ");
	file_write(root, "notes.txt", STR("not ours"));
	assert_read(dir, &at_start, 3, "a b c ");
	MUST(unlinkat(dir, "1.jsonl", 0) == 0);
	{
		struct seen s = { .n = 0 };

		assert_err(reflog_read(dir, &at_start, 3, see, &s, &e), ERR_NOT_FOUND, &e,
			   "1.jsonl");
	}
}

static const struct {
	const char *name, *line, *message;
} unreadable[] = {
	{ "garbage", "not JSON\n", "not a JSON object" },
	{ "a number left out",
	  "{\"seq\":3,\"ts\":1,\"op\":\"tag.delete\",\"repo\":\"x\",\"tags\":[\"t\"]}\n",
	  "record 3 after 1" },
	{ "a number twice",
	  "{\"seq\":1,\"ts\":1,\"op\":\"tag.delete\",\"repo\":\"x\",\"tags\":[\"t\"]}\n",
	  "record 1 after 1" },
	{ "torn", "{\"seq\":2,\"ts\":1,", "no record 2" },
};

static void test_unreadable(void **state)
{
	__typeof__(&unreadable[0]) c = *state;
	const char *root = unit_dir();
	AUTO_CLOSE dir = open_dir(root);
	struct reflog *l = open_log(dir, &at_start);
	AUTO_SBUF b = { .p = NULL };
	struct seen s = { .n = 0 };
	struct err e;

	(void)append(l, "a");
	reflog_close(&l);
	b = file_read(root, "1.jsonl");
	sbuf_add_str(&b, str_of(c->line));
	file_write(root, "1.jsonl", (struct str){ b.p, b.n });
	assert_err(reflog_read(dir, &at_start, 2, see, &s, &e), ERR_CORRUPT, &e, c->message);
}

static void test_names(void **state)
{
	char name[REFLOG_NAME_MAX];
	uint64_t n = 42;

	(void)state;
	reflog_name(UINT64_MAX, name);
	assert_string_equal(name, "18446744073709551615.jsonl");
	assert_true(reflog_name_parse(name, &n) && n == UINT64_MAX);
	assert_false(reflog_name_parse("18446744073709551616.jsonl", &n));
	assert_false(reflog_name_parse("1.json", &n));
	assert_false(reflog_name_parse("1.jsonl2", &n));
	assert_false(reflog_name_parse(".jsonl", &n));
	assert_false(reflog_name_parse("", &n));
}

int main(void)
{
	unit_case("append", test_append);
	unit_case("upload sessions are not recorded", test_not_recorded);
	unit_case("drop", test_drop);
	UNIT_TABLE("cut at the mark", test_tail_is_cut, tails);
	unit_case("not what the index counts on", test_corrupt);
	unit_case("a log longer than a line may be", test_long_log);
	unit_case("rewind", test_rewind);
	unit_case("segments after the mark", test_later_segments);
	unit_case("segments", test_segments);
	unit_case("a spoilt file is left alone", test_spoilt);
	unit_case("the first file is spoilt", test_spoilt_first);
	unit_case("a directory that is not synced", test_directory_sync_fails);
	unit_case("no space", test_no_space);
	unit_case("read", test_read);
	unit_case("read several files", test_read_segments);
	UNIT_TABLE("not readable", test_unreadable, unreadable);
	unit_case("names of files", test_names);
	return unit_run();
}
