/* Each system call of what is done to a whole store fails once, or from then on: nothing is lost, and it goes on. */
#include <dirent.h>
#include <errno.h>

#include "base/sys.h"
#include "tests/fault/gcops.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define CALLS_MAX 2000
#define CALLS_MIN 8

static unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

/* True if the fault was reached.  What failed is done again by the same process, once the fault is over. */
static bool runs_with_fault(const struct gcop *op, const char *dir, unsigned long n, int sys,
			    enum fault_mode mode)
{
	struct store *st = NULL;
	struct err e = { .msg = "" };
	bool fired;
	enum err_kind k;

	assert_ok(gcop_open(op, dir, &st, &e), &e);
	fault_arm(n, sys, mode);
	k = op->run(st, dir, &e);
	fired = fault_disarm();
	if (k != ERR_OK && !fired)
		fail_msg("call %lu: it fails without a fault: %s", n, e.msg);
	if (k != ERR_OK && op->run(st, dir, &e) != ERR_OK)
		fail_msg("call %lu: it does not recover: %s", n, e.msg);
	store_close(&st);
	return fired;
}

static void fail_each(const struct gcop *op, int sys, enum fault_mode mode)
{
	unsigned before = open_fds();
	bool fired = true;
	unsigned long n = 0;

	while (fired) {
		char dir[64];

		assert_in_range(++n, 1, CALLS_MAX);
		temp_dir_make(dir, sizeof(dir));
		op->prepare(dir);
		fired = runs_with_fault(op, dir, n, sys, mode);
		op->check(dir);
		temp_dir_remove(dir);
	}
	assert_in_range(n, CALLS_MIN, CALLS_MAX);
	assert_int_equal(open_fds(), before);
}

/* The process ends right after the failure: what it left is found by the next one. */
static void fail_and_end(const struct gcop *op, int sys)
{
	bool fired = true;

	for (unsigned long n = 1; fired; n++) {
		char dir[64];
		struct store *st = NULL;
		struct err e;

		assert_in_range(n, 1, CALLS_MAX);
		temp_dir_make(dir, sizeof(dir));
		op->prepare(dir);
		assert_ok(gcop_open(op, dir, &st, &e), &e);
		fault_arm(n, sys, FAULT_FROM);
		(void)!op->run(st, dir, &e);
		store_close(&st);
		fired = fault_disarm();
		op->look(dir);
		temp_dir_remove(dir);
	}
}

static void test_io_error(void **state)
{
	fail_each(*state, EIO, FAULT_ONCE);
}

static void test_no_space_for_a_while(void **state)
{
	fail_each(*state, ENOSPC, FAULT_FROM);
}

static void test_no_space_to_the_end(void **state)
{
	fail_and_end(*state, ENOSPC);
}

#define EACH(what, fn) unit_rows(what, fn, gcops, sizeof(gcops[0]), gcops_n)

int main(void)
{
	EACH("an I/O error", test_io_error);
	EACH("a full disk, for a while", test_no_space_for_a_while);
	EACH("a full disk, to the end", test_no_space_to_the_end);
	return unit_run();
}
