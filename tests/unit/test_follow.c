#include "storage/follow.h"

#include "base/fd.h"
#include "storage/reflog.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

/* What a reader was given, as "seq seq ". */
struct heard {
	char text[256];
	size_t n;
	uint64_t refuse; /* this record is not taken */
};

static enum err_kind hear(void *arg, const struct reflog_record *r, struct err *e)
{
	struct heard *h = arg;

	if (r->seq == h->refuse)
		return err_set(e, ERR_IN_USE, __func__, "not now");
	h->n += (size_t)snprintf(h->text + h->n, sizeof(h->text) - h->n, "%llu ",
				 (unsigned long long)r->seq);
	return ERR_OK;
}

static struct follower *open_name(struct store *st, const char *name, bool want_lost)
{
	struct follower *f = NULL;
	struct err e;
	bool lost;

	assert_ok(follow_open(st, name, &f, &lost, &e), &e);
	assert_int_equal(lost, want_lost);
	return f;
}

static void assert_hears(struct follower *f, const char *want)
{
	struct heard h = { .n = 0 };
	struct err e;

	assert_ok(follow_read(f, hear, &h, &e), &e);
	assert_string_equal(h.text, want);
}

static void keep(struct follower *f)
{
	struct err e;

	assert_ok(follow_keep(f, &e), &e);
}

static void test_reading(void **state)
{
	const char *root = unit_dir();
	struct store *st = store_of(root);
	struct follower *f;
	struct heard h = { .refuse = 4 };
	struct err e;

	(void)state;
	push_blob(st, "a", "before");
	f = open_name(st, "x", false);
	assert_hears(f, "");
	for (char text[] = "1"; text[0] < '4'; text[0]++)
		push_blob(st, "a", text);
	assert_err(follow_read(f, hear, &h, &e), ERR_IN_USE, &e, "not now");
	assert_string_equal(h.text, "2 3 ");
	assert_int_equal(follow_seq(f), 3);
	assert_hears(f, "4 "); /* and not what was taken */
	assert_hears(f, "");
	follow_close(&f);
	f = open_name(st, "x", false); /* W1: nothing was kept */
	assert_hears(f, "2 3 4 ");
	keep(f);
	keep(f);
	follow_close(&f);
	store_close(&st);
	st = store_of(root);
	f = open_name(st, "x", false);
	assert_hears(f, "");
	push_blob(st, "b", "5");
	assert_hears(f, "5 ");
	follow_close(&f);
	f = open_name(st, "another", false); /* W2 */
	assert_hears(f, "");
	follow_close(&f);
	store_close(&st);
}

/* Another log than the one that it was told of: one that was restored from an older copy. */
static void test_lost(void **state)
{
	const char *root = unit_dir();
	struct store *st = store_of(root);
	struct follower *f;

	(void)state;
	push_blob(st, "a", "1");
	f = open_name(st, "x", false);
	follow_close(&f);
	file_write(root, "events/x", STR("berth position 1\n7\n"));
	f = open_name(st, "x", true);
	push_blob(st, "a", "2");
	assert_hears(f, "2 ");
	follow_close(&f);
	f = open_name(st, "x", false); /* which is durable */
	assert_hears(f, "2 ");
	follow_close(&f);
	store_close(&st);
}

static const struct bad_case {
	const char *name;
	struct str text;
} bad[] = {
	{ "empty", { "", 0 } },
	{ "of another version", { "berth position 2\n1\n", 19 } },
	{ "no number", { "berth position 1\nx\n", 19 } },
	{ "cut off", { "berth position 1\n1", 18 } },
	{ "more behind", { "berth position 1\n1\n2\n", 21 } },
};

static void test_bad(void **state)
{
	const struct bad_case *c = *state;
	const char *root = unit_dir();
	struct store *st = store_of(root);
	struct follower *f = NULL;
	struct err e;
	bool lost;

	f = open_name(st, "y", false);
	follow_close(&f);
	file_write(root, "events/x", c->text);
	assert_err(follow_open(st, "x", &f, &lost, &e), ERR_CORRUPT, &e, "events/x is no position");
	assert_null(f);
	store_close(&st);
}

static const struct name_case {
	const char *name;
	bool good;
} names[] = {
	{ "a", true },
	{ "a-b", true },
	{ "0", true },
	{ "-a", false },
	{ "a-", false },
	{ "", false },
	{ "../x", false },
	{ "A", false },
	{ "x.new", false },
	{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true },
	{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
};

static void test_name(void **state)
{
	const struct name_case *c = *state;

	assert_int_equal(follow_name_is_valid(str_of(c->name)), c->good);
}

/* --- reading on, in logs with more than one file --- */

#define LINE(seq)                                                                                  \
	"{\"seq\":" #seq ",\"ts\":1,\"op\":\"tag.delete\",\"repo\":\"x\",\"tags\":[\"t\"]}\n"

static const struct log_case {
	const char *name;
	struct reflog_mark from;
	uint64_t last;
	const char *want;
	struct {
		const char *name, *text;
	} files[3];
} logs[] = {
	{ "the start", { 0, 0, 0 }, 3, "1 2 3 ", { { "1.jsonl", LINE(1) LINE(2) LINE(3) } } },
	{ "up to the mark", { 0, 0, 1 }, 2, "2 ", { { "1.jsonl", LINE(1) LINE(2) LINE(3) } } },
	{ "several files",
	  { 0, 0, 2 },
	  5,
	  "3 4 5 ",
	  { { "1.jsonl", LINE(1) LINE(2) },
	    { "3.jsonl", LINE(3) LINE(4) },
	    { "5.jsonl", LINE(5) } } },
	{ "a file that ends with what never counted",
	  { 0, 0, 1 },
	  3,
	  "2 3 ",
	  { { "1.jsonl", LINE(1) LINE(2) LINE(3) LINE(4) }, { "3.jsonl", LINE(3) } } },
	{ "the same, from its end",
	  { 1, sizeof(LINE(1) LINE(2)) - 1, 2 },
	  3,
	  "3 ",
	  { { "1.jsonl", LINE(1) LINE(2) LINE(9) }, { "3.jsonl", LINE(3) } } },
	{ "lost records", { 0, 0, 0 }, 7, "5 6 7 ", { { "5.jsonl", LINE(5) LINE(6) LINE(7) } } },
	{ "a lost file", { 1, sizeof(LINE(1)) - 1, 1 }, 4, "4 ", { { "4.jsonl", LINE(4) } } },
	{ "lines that are none",
	  { 0, 0, 0 },
	  3,
	  "1 3 ",
	  { { "1.jsonl", LINE(1) "garbage\n" LINE(3) } } },
	{ "no files", { 0, 0, 0 }, 3, "", { { NULL, NULL } } },
};

static void test_log(void **state)
{
	const struct log_case *c = *state;
	const char *root = unit_dir();
	AUTO_CLOSE dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct reflog_mark at = c->from;
	struct heard h = { .n = 0 };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(c->files) && c->files[i].name; i++)
		file_write(root, c->files[i].name, str_of(c->files[i].text));
	assert_ok(reflog_read_on(dir, &at, c->last, hear, &h, &e), &e);
	assert_string_equal(h.text, c->want);
	assert_ok(reflog_read_on(dir, &at, c->last, hear, &h, &e), &e);
	assert_string_equal(h.text, c->want); /* at is behind all that */
}

int main(void)
{
	unit_case("reading, keeping, and starting again", test_reading);
	unit_case("a position beyond the log", test_lost);
	UNIT_TABLE("no position", test_bad, bad);
	UNIT_TABLE("name", test_name, names);
	UNIT_TABLE("log", test_log, logs);
	return unit_run();
}
