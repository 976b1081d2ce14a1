/* The order in which a push reaches the disk, asserted from a trace of its system calls. */
#include <sys/mman.h>

#include "base/str.h"
#include "base/sys.h"
#include "tests/fault/steps.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define TRACE_MAX (1024u * 1024)

/* Text of the calls a step makes: "name fd path\n" each. */
static char trace[TRACE_MAX];
static int trace_fd;

static void run_traced(unsigned first, unsigned step)
{
	char root[64];
	struct store *st = NULL;
	struct err e;
	ssize_t n;

	temp_dir_make(root, sizeof(root));
	assert_int_equal(steps_open(root, &st, &e), ERR_OK);
	for (unsigned i = first; i < step; i++)
		assert_int_equal(steps_run(st, i, &e), ERR_OK);
	assert_int_equal(ftruncate(trace_fd, 0), 0);
	assert_int_equal(lseek(trace_fd, 0, SEEK_SET), 0);
	assert_int_equal(steps_run(st, step, &e), ERR_OK);
	n = pread(trace_fd, trace, sizeof(trace) - 1, 0);
	assert_in_range(n, 1, sizeof(trace) - 2);
	trace[n] = '\0';
	store_close(&st);
	temp_dir_remove(root);
}

/* Each word must be found in the trace, after the one before it. */
static void assert_in_order(const char *const *words, size_t n)
{
	const char *at = trace;

	for (size_t i = 0; i < n; i++) {
		const char *found = strstr(at, words[i]);

		if (!found)
			fail_msg("no \"%s\" at its place in:\n%s", words[i], trace);
		at = found + strlen(words[i]);
	}
}

static void test_blob(void **state)
{
	static const char *const order[] = {
		"pwrite ",    /* the bytes */
		"fsync ",     /* of the file */
		"linkat ",    /* its name under blobs/ */
		"fsync ",     /* of the shard */
		"write ",     /* the reflog */
		"fdatasync ", /* of the reflog */
		"fdatasync ", /* of the index's pages */
		"pwrite ",    /* the index's root: the change exists from here */
		"unlinkat ",  /* the name under uploads/ */
	};

	(void)state;
	run_traced(0, STEP_LAYER);
	assert_in_order(order, ARRAY_LEN(order));
}

static void test_manifest(void **state)
{
	static const char *const order[] = {
		"write ",     /* the bytes */
		"linkat ",    /* their name under blobs/ */
		"write ",     /* the reflog */
		"fdatasync ", /* of the reflog */
		"fdatasync ", /* of the index's pages, which hold the bytes as well */
		"pwrite ",    /* the index's root */
		"unlinkat ",  /* the name under uploads/ */
	};

	(void)state;
	run_traced(0, STEP_MANIFEST);
	assert_in_order(order, ARRAY_LEN(order));
	assert_null(strstr(trace, "fsync ")); /* one push costs three syncs, none of its own */
}

/* The index says that files are durable only when they are. */
static void test_settle(void **state)
{
	static const char *const order[] = { "syncfs ", "pwrite ", "fdatasync ", "pwrite " };

	(void)state;
	run_traced(0, STEP_SETTLE);
	assert_in_order(order, ARRAY_LEN(order));
}

/* A blob that is there already is replaced, and the shard is synced all the same. */
static void test_blob_again(void **state)
{
	static const char *const order[] = { "pwrite ", "fsync ", "linkat ", "renameat2 ",
					     "fsync " };

	(void)state;
	run_traced(0, STEP_LAYER_AGAIN);
	assert_in_order(order, ARRAY_LEN(order));
}

/* Nothing leaves blobs/ before, or after, the index forgets it: files go with the garbage collector. */
static void test_delete(void **state)
{
	static const char *const order[] = { "write ", "fdatasync ", "fdatasync ", "pwrite " };

	(void)state;
	run_traced(0, STEP_BLOB_DELETE);
	assert_in_order(order, ARRAY_LEN(order));
	assert_null(strstr(trace, "unlinkat "));
}

/*
 * Budgets: what a change may cost in syncs, and in calls but for the writes of pages, whose number is LMDB's.  The
 * second fdatasync of each is the commit of the index.  Whoever raises one says why in the commit.
 */
static const struct {
	unsigned step, fsyncs, fdatasyncs, calls;
} budgets[] = {
	{ STEP_LAYER, 2, 2, 11 },   /* a blob in one request */
	{ STEP_CHUNKED, 2, 3, 14 }, /* a blob in two chunks: its session is one commit more */
	{ STEP_MANIFEST, 0, 2, 8 },     { STEP_MOUNT, 0, 2, 3 },
	{ STEP_LAYER_AGAIN, 2, 2, 12 }, { STEP_TAG_DELETE, 0, 2, 3 },
};

/* Calls in the trace whose names start so. */
static unsigned count(const char *start)
{
	unsigned n = 0;

	for (const char *at = trace; *at; at = strchr(at, '\n') + 1)
		n += strncmp(at, start, strlen(start)) == 0;
	return n;
}

static void test_budgets(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(budgets); i++) {
		unsigned calls;

		run_traced(0, budgets[i].step);
		calls = count("") - count("pwrite ") - count("writev ");
		if (count("fsync ") != budgets[i].fsyncs ||
		    count("fdatasync ") != budgets[i].fdatasyncs || calls != budgets[i].calls)
			fail_msg("\"%s\" costs %u, %u and %u calls:\n%s",
				 steps_name(budgets[i].step), count("fsync "), count("fdatasync "),
				 calls, trace);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blob),   cmocka_unit_test(test_manifest),
		cmocka_unit_test(test_settle), cmocka_unit_test(test_blob_again),
		cmocka_unit_test(test_delete), cmocka_unit_test(test_budgets),
	};
	char text[16];

	cmocka_set_message_output(CM_OUTPUT_TAP);
	trace_fd = memfd_create("trace", MFD_CLOEXEC);
	(void)snprintf(text, sizeof(text), "%d", trace_fd);
	if (trace_fd < 0 || setenv("BERTH_FAULT_TRACE", text, 1) != 0)
		return 1;
	fault_from_environment();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
