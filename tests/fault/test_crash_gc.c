/* SIGKILL after, and in the middle of, each system call by which something done to a whole store changes the disk. */
#include <signal.h>
#include <sys/wait.h>

#include "base/sys.h"
#include "tests/fault/gcops.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

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

/* In a process that is killed at this call. */
static void run_killed(const struct gcop *op, const char *dir, const struct gccall *call,
		       enum fault_mode mode)
{
	int status;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0)
		child(op, dir, call->n, mode);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("call %lu, %s, was not reached", call->n, call->name);
}

static void do_again(const struct gcop *op, const char *dir, const struct gccall *call)
{
	struct store *st = NULL;
	struct err e;

	if (gcop_open(op, dir, &st, &e) != ERR_OK || op->run(st, dir, &e) != ERR_OK)
		fail_msg("killed at call %lu, %s: it cannot be done again: %s", call->n, call->name,
			 e.msg);
	store_close(&st);
}

static void kill_at(const struct gcop *op, const struct gccall *call, enum fault_mode mode)
{
	char dir[64];

	temp_dir_make(dir, sizeof(dir));
	op->prepare(dir);
	run_killed(op, dir, call, mode);
	op->look(dir);
	do_again(op, dir, call);
	op->check(dir);
	temp_dir_remove(dir);
}

static bool is_one_of(const char *name, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

/* Between calls that only read or sync a kill leaves the same; of opens the last one may have made a file. */
static bool may_change(const struct gccall *c)
{
	static const char *const others[] = { "pread", "fsync", "fdatasync", "syncfs" };

	return c->is_last && !is_one_of(c->name, others, ARRAY_LEN(others));
}

static bool may_be_half(const struct gccall *c)
{
	static const char *const transfers[] = { "write", "pwrite", "writev" };

	return is_one_of(c->name, transfers, ARRAY_LEN(transfers));
}

static void kill_each(const struct gcop *op, enum fault_mode mode,
		      bool (*wants)(const struct gccall *c))
{
	struct gccall calls[GCCALLS_MAX];
	size_t n = gcop_calls(op, calls), killed = 0;

	for (size_t i = 0; i < n; i++) {
		if (!wants(&calls[i]))
			continue;
		kill_at(op, &calls[i], mode);
		killed++;
	}
	assert_in_range(killed, 1, GCCALLS_MAX); /* none: calls are not counted */
}

static void test_kill_after(void **state)
{
	kill_each(*state, FAULT_KILL_AFTER, may_change);
}

static void test_kill_in_the_middle(void **state)
{
	kill_each(*state, FAULT_KILL_HALF, may_be_half);
}

int main(void)
{
	unit_rows("killed after a call", test_kill_after, gcops, sizeof(gcops[0]), gcops_n);
	unit_rows("killed in the middle", test_kill_in_the_middle, gcops, sizeof(gcops[0]),
		  gcops_n);
	return unit_run();
}
