/* Each system call of the store fails once, or from then on: nothing acknowledged is lost, and no restart is needed. */
#include <dirent.h>
#include <errno.h>

#include "base/sys.h"
#include "tests/fault/steps.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define CALLS_MIN 300 /* fewer would mean that calls are not counted */
#define CALLS_MAX 5000

static unsigned long golden[STEPS_N + 1];

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

/* A failed open is tried again; the fault may stay until then. */
static struct store *open_store(const char *root, bool *fired, unsigned long n)
{
	struct store *st = NULL;
	struct err e = { 0 };
	enum err_kind k = steps_open(root, &st, &e);

	if (k != ERR_OK) {
		*fired = fault_disarm();
		if (!*fired)
			fail_msg("call %lu: open fails without a fault: %s", n, e.msg);
		k = steps_open(root, &st, &e);
		if (k != ERR_OK)
			fail_msg("call %lu: open does not recover: %s", n, e.msg);
	}
	return st;
}

/* True if the fault was reached. */
static bool history_with_fault(unsigned long n, int sys, enum fault_mode mode)
{
	char root[64];
	struct store *st;
	bool fired = false;

	temp_dir_make(root, sizeof(root));
	fault_arm(n, sys, mode);
	st = open_store(root, &fired, n);
	for (unsigned i = 0; i < STEPS_N; i++) {
		struct err e = { 0 };
		unsigned long seen;
		enum err_kind k = steps_run(st, i, &e);

		if (k == ERR_OK)
			continue;
		fired = fault_disarm();
		if (!fired)
			fail_msg("call %lu: \"%s\" fails without a fault: %s", n, steps_name(i),
				 e.msg);
		seen = steps_probe(st);
		if (seen != golden[i] && seen != golden[i + 1])
			fail_msg("call %lu: after \"%s\" failed (%s) %lx is seen, not %lx", n,
				 steps_name(i), e.msg, seen, golden[i]);
		if (seen == golden[i] && steps_run(st, i, &e) != ERR_OK)
			fail_msg("call %lu: \"%s\" does not recover: %s", n, steps_name(i), e.msg);
	}
	fired = fault_disarm() || fired;
	assert_int_equal(steps_probe(st), golden[STEPS_N]);
	store_close(&st);
	st = open_store(root, &fired, n);
	assert_int_equal(steps_probe(st), golden[STEPS_N]);
	store_close(&st);
	if (dir_count(root, "uploads"))
		fail_msg("call %lu: files are left in uploads/", n);
	temp_dir_remove(root);
	return fired;
}

static void fail_each(int sys, enum fault_mode mode)
{
	unsigned before = open_fds();
	unsigned long n = 1;

	while (n < CALLS_MAX && history_with_fault(n, sys, mode))
		n++;
	assert_in_range(n, CALLS_MIN, CALLS_MAX - 1);
	assert_int_equal(open_fds(), before);
}

static void test_io_error(void **state)
{
	(void)state;
	fail_each(EIO, FAULT_ONCE);
}

static void test_no_space_once(void **state)
{
	(void)state;
	fail_each(ENOSPC, FAULT_ONCE);
}

static void test_no_space_for_a_while(void **state)
{
	(void)state;
	fail_each(ENOSPC, FAULT_FROM);
}

static void test_no_descriptors(void **state)
{
	(void)state;
	fail_each(EMFILE, FAULT_FROM);
}

static void test_interrupted(void **state)
{
	(void)state;
	fail_each(EINTR, FAULT_ONCE);
}

static void test_short_transfers(void **state)
{
	(void)state;
	fail_each(0, FAULT_SHORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_io_error),
		cmocka_unit_test(test_no_space_once),
		cmocka_unit_test(test_no_space_for_a_while),
		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_short_transfers),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	steps_golden(golden);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
