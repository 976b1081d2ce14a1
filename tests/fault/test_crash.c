/* SIGKILL before, after and in the middle of each system call: the next start finds all or nothing of each step. */
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/sys.h"
#include "tests/fault/steps.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define CALLS_MIN 300
#define CALLS_MAX 5000
#define START_MS_MAX 60000 /* nothing hangs; how fast it is, is for tests/bench */

static unsigned long golden[STEPS_N + 1];

/* Written by the child as it goes: steps that were acknowledged. */
static _Atomic unsigned *acknowledged;

static void child(const char *root, unsigned long n, enum fault_mode mode)
{
	struct store *st = NULL;
	struct err e;

	fault_arm(n, 0, mode);
	if (steps_open(root, &st, &e) != ERR_OK)
		_exit(1);
	for (unsigned i = 0; i < STEPS_N; i++) {
		if (steps_run(st, i, &e) != ERR_OK)
			_exit(1);
		*acknowledged = i + 1;
	}
	store_close(&st);
	_exit(0);
}

/* Looks at what the killed process left, and lives through the rest of the history with it. */
static void go_on(const char *root, unsigned long n)
{
	struct store *st = NULL;
	struct err e;
	unsigned at = *acknowledged;
	unsigned long seen;
	uint64_t start = mono_ms();

	if (steps_open(root, &st, &e) != ERR_OK)
		fail_msg("killed at call %lu: open: %s", n, e.msg);
	assert_in_range(mono_ms() - start, 0, START_MS_MAX);
	seen = steps_probe(st);
	if (seen != golden[at] && (at == STEPS_N || seen != golden[at + 1]))
		fail_msg("killed at call %lu, after \"%s\": %lx is seen, not %lx", n,
			 at ? steps_name(at - 1) : "open", seen, golden[at]);
	if (seen != golden[at])
		at++;
	for (; at < STEPS_N; at++) {
		if (steps_run(st, at, &e) != ERR_OK && steps_probe(st) != golden[at + 1])
			fail_msg("killed at call %lu: \"%s\": %s", n, steps_name(at), e.msg);
	}
	assert_int_equal(steps_probe(st), golden[STEPS_N]);
	store_close(&st);
}

static void kill_each(enum fault_mode mode)
{
	for (unsigned long n = 1; n < CALLS_MAX; n++) {
		char root[64];
		int status;
		pid_t pid;

		temp_dir_make(root, sizeof(root));
		*acknowledged = 0;
		pid = fork();
		assert_int_not_equal(pid, -1);
		if (pid == 0)
			child(root, n, mode);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status)) {
			assert_int_equal(WEXITSTATUS(status), 0);
			assert_in_range(n, CALLS_MIN, CALLS_MAX);
			temp_dir_remove(root);
			return;
		}
		go_on(root, n);
		temp_dir_remove(root);
	}
	fail_msg("the history does not end");
}

static void test_kill_before(void **state)
{
	(void)state;
	kill_each(FAULT_KILL);
}

static void test_kill_after(void **state)
{
	(void)state;
	kill_each(FAULT_KILL_AFTER);
}

static void test_kill_in_the_middle(void **state)
{
	(void)state;
	kill_each(FAULT_KILL_HALF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kill_before),
		cmocka_unit_test(test_kill_after),
		cmocka_unit_test(test_kill_in_the_middle),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	acknowledged = mmap(NULL, sizeof(*acknowledged), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (acknowledged == MAP_FAILED)
		return 1;
	steps_golden(golden);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
