/* SIGKILL before and in the middle of each system call of what is done to a whole store. */
#include <sys/wait.h>

#include "base/sys.h"
#include "tests/fault/gcops.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define CALLS_MAX 2000
#define CALLS_MIN 8 /* fewer would mean that calls are not counted */

static void child(const struct gcop *op, const char *dir, unsigned long n, enum fault_mode mode)
{
	struct store *st = NULL;
	struct err e;

	if (gcop_open(op, dir, &st, &e) != ERR_OK)
		_exit(1);
	fault_arm(n, 0, mode);
	if (op->run(st, dir, &e) != ERR_OK)
		_exit(1);
	_exit(0);
}

/* In a process that is killed at its n'th call; false if it had fewer. */
static bool is_killed(const struct gcop *op, const char *dir, unsigned long n, enum fault_mode mode)
{
	int status;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0)
		child(op, dir, n, mode);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

static void do_again(const struct gcop *op, const char *dir, unsigned long n)
{
	struct store *st = NULL;
	struct err e;

	if (gcop_open(op, dir, &st, &e) != ERR_OK || op->run(st, dir, &e) != ERR_OK)
		fail_msg("killed at call %lu: it cannot be done again: %s", n, e.msg);
	store_close(&st);
}

static void kill_each(const struct gcop *op, enum fault_mode mode)
{
	bool killed = true;

	for (unsigned long n = 1; killed; n++) {
		char dir[64];

		assert_in_range(n, 1, CALLS_MAX);
		temp_dir_make(dir, sizeof(dir));
		op->prepare(dir);
		killed = is_killed(op, dir, n, mode);
		if (killed) {
			op->look(dir);
			do_again(op, dir, n);
		} else {
			assert_in_range(n, CALLS_MIN, CALLS_MAX);
		}
		op->check(dir);
		temp_dir_remove(dir);
	}
}

static void test_kill_before(void **state)
{
	kill_each(*state, FAULT_KILL);
}

static void test_kill_in_the_middle(void **state)
{
	kill_each(*state, FAULT_KILL_HALF);
}

int main(void)
{
	unit_rows("killed before a call", test_kill_before, gcops, sizeof(gcops[0]), gcops_n);
	unit_rows("killed in the middle", test_kill_in_the_middle, gcops, sizeof(gcops[0]),
		  gcops_n);
	return unit_run();
}
