/* Each system call of what is done to a whole store fails once, or from then on: nothing is lost, and it goes on. */
#include <dirent.h>
#include <errno.h>

#include "base/sys.h"
#include "tests/fault/gcops.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define CALLS_MIN 8 /* fewer: calls are not counted */

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

/* What failed is done again by the same process, once the fault is over. */
static void run_with_fault(const struct gcop *op, const char *dir, unsigned long n, int sys,
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
	if (!fired)
		fail_msg("call %lu was not reached", n);
	if (k != ERR_OK && op->run(st, dir, &e) != ERR_OK)
		fail_msg("call %lu: it does not recover: %s", n, e.msg);
	store_close(&st);
}

static void fail_each(const struct gcop *op, int sys, enum fault_mode mode)
{
	struct gccall calls[GCCALLS_MAX];
	size_t n = gcop_calls(op, calls);
	unsigned before = open_fds();

	assert_in_range(n, CALLS_MIN, GCCALLS_MAX);
	for (size_t i = 0; i < n; i++) {
		char dir[64];

		temp_dir_make(dir, sizeof(dir));
		op->prepare(dir);
		run_with_fault(op, dir, calls[i].n, sys, mode);
		op->check(dir);
		temp_dir_remove(dir);
	}
	assert_int_equal(open_fds(), before);
}

/* The process ends right after the failure: what it left is found by the next one. */
static void fail_and_end(const struct gcop *op, int sys)
{
	struct gccall calls[GCCALLS_MAX];
	size_t n = gcop_calls(op, calls);

	for (size_t i = 0; i < n; i++) {
		char dir[64];
		struct store *st = NULL;
		struct err e;

		temp_dir_make(dir, sizeof(dir));
		op->prepare(dir);
		assert_ok(gcop_open(op, dir, &st, &e), &e);
		fault_arm(calls[i].n, sys, FAULT_FROM);
		(void)!op->run(st, dir, &e);
		store_close(&st);
		assert_true(fault_disarm());
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
