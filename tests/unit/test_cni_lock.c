#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/net/exec.h"
#include "runtime/net/lock.h"
#include "tests/lib/cni_box.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define LONG_MS 60000
#define SHORT_MS 100

static const struct net_name NET_A = { "a" }, NET_B = { "b" };
static const struct container_id C1 = { "c1" }, C2 = { "c2" };

static enum err_kind lock_c(const char *dir, const struct net_name *n, const struct container_id *c,
			    uint64_t ms, struct op_lock *ret)
{
	struct err e;
	enum err_kind k = op_lock_container(dir, n, c, ms, ret, &e);

	if (k != ERR_OK)
		assert_non_null(strstr(e.msg, "another operation on"));
	return k;
}

static enum err_kind lock_n(const char *dir, const struct net_name *n, uint64_t ms,
			    struct op_lock *ret)
{
	struct err e;

	return op_lock_network(dir, n, ms, ret, &e);
}

/* O1 */
static void test_container(void **state)
{
	AUTO_OP_LOCK first = OP_LOCK_NONE;
	AUTO_OP_LOCK second = OP_LOCK_NONE;
	AUTO_OP_LOCK other = OP_LOCK_NONE;
	const char *dir = unit_dir();

	(void)state;
	assert_int_equal(lock_c(dir, &NET_A, &C1, SHORT_MS, &first), ERR_OK);
	assert_int_equal(lock_c(dir, &NET_A, &C1, SHORT_MS, &second), ERR_IN_USE);
	assert_int_equal(lock_c(dir, &NET_B, &C1, SHORT_MS, &second), ERR_IN_USE);
	assert_int_equal(lock_c(dir, &NET_A, &C2, SHORT_MS, &other), ERR_OK);
	op_unlock(&first);
	assert_int_equal(lock_c(dir, &NET_B, &C1, SHORT_MS, &second), ERR_OK);
}

/* O2 */
static void test_network(void **state)
{
	AUTO_OP_LOCK add = OP_LOCK_NONE;
	AUTO_OP_LOCK gc = OP_LOCK_NONE;
	AUTO_OP_LOCK other = OP_LOCK_NONE;
	const char *dir = unit_dir();

	(void)state;
	assert_int_equal(lock_c(dir, &NET_A, &C1, SHORT_MS, &add), ERR_OK);
	assert_int_equal(lock_n(dir, &NET_A, SHORT_MS, &gc), ERR_IN_USE);
	assert_int_equal(lock_n(dir, &NET_B, SHORT_MS, &gc), ERR_OK);
	op_unlock(&gc);
	op_unlock(&add);
	assert_int_equal(lock_n(dir, &NET_A, SHORT_MS, &gc), ERR_OK);
	assert_int_equal(lock_c(dir, &NET_A, &C1, SHORT_MS, &add), ERR_IN_USE);
	assert_int_equal(lock_n(dir, &NET_A, SHORT_MS, &other), ERR_IN_USE);
	assert_int_equal(lock_c(dir, &NET_B, &C1, SHORT_MS, &add), ERR_OK);
}

static pid_t child_that(void (*fn)(const char *dir, int ready), const char *dir, int *ret_ready)
{
	int ready[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)close(ready[0]);
		fn(dir, ready[1]);
		_exit(0);
	}
	(void)close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	*ret_ready = ready[0];
	return pid;
}

static void holds_for_ever(const char *dir, int ready)
{
	struct op_lock l = OP_LOCK_NONE;

	if (lock_c(dir, &NET_A, &C1, LONG_MS, &l) != ERR_OK)
		_exit(1);
	(void)!write(ready, "r", 1);
	for (;;)
		(void)pause();
}

/* A process that dies gives its lock back at once; one that lives is not touched. */
static void test_death(void **state)
{
	AUTO_OP_LOCK l = OP_LOCK_NONE;
	const char *dir = unit_dir();
	int ready;
	pid_t pid = child_that(holds_for_ever, dir, &ready);

	(void)state;
	assert_int_equal(lock_c(dir, &NET_A, &C1, SHORT_MS, &l), ERR_IN_USE);
	assert_int_equal(kill(pid, 0), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(lock_c(dir, &NET_A, &C1, LONG_MS, &l), ERR_OK);
	(void)close(ready);
}

/* Runs a plugin that inherits the lock, and is killed while it runs. */
static void runs_plugin(const char *dir, int ready)
{
	struct exec_call c = {
		.path = "/bin/sh", .env = environ, .input = STR("sleep 1000"), .timeout_ms = LONG_MS
	};
	struct op_lock l = OP_LOCK_NONE;
	struct exec_output o;
	struct err e;

	if (lock_c(dir, &NET_A, &C1, LONG_MS, &l) != ERR_OK)
		_exit(1);
	c.keep_fd = l.fd;
	exec_output_init(&o);
	(void)!write(ready, "r", 1);
	(void)!exec_run(&c, &o, &e);
	_exit(0);
}

/* The process of that name that has the lock file open, 0 if there is none. */
static pid_t find_plugin(const char *dir)
{
	char cmd[500];
	AUTO_EXEC_OUTPUT o;
	struct err e;
	struct exec_call c = {
		.path = "/bin/sh", .env = environ, .timeout_ms = LONG_MS, .keep_fd = -1
	};
	int n = snprintf(
	    cmd, sizeof(cmd),
	    "for p in /proc/[0-9]*; do [ \"$(readlink $p/fd/3 2>/dev/null)\" = %s/lock ] && "
	    "[ \"$(cat $p/comm)\" = sleep ] && basename $p; done; true",
	    dir);

	c.input = (struct str){ cmd, (size_t)n };
	exec_output_init(&o);
	assert_ok(exec_run(&c, &o, &e), &e);
	return o.out.n ? (pid_t)strtol(o.out.p, NULL, 10) : 0;
}

static pid_t await_plugin(const char *dir)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	pid_t pid = 0;

	for (unsigned i = 0; (pid = find_plugin(dir)) == 0; i++) {
		assert_true(i < 3000);
		(void)nanosleep(&pause, NULL);
	}
	return pid;
}

/* O3: a plugin whose runtime died holds the lock until it ends. */
static void test_orphan_waits(void **state)
{
	AUTO_OP_LOCK l = OP_LOCK_NONE;
	const char *dir = unit_dir();
	int ready;
	pid_t runtime = child_that(runs_plugin, dir, &ready);
	pid_t plugin = await_plugin(dir);

	(void)state;
	assert_int_equal(kill(runtime, SIGKILL), 0);
	assert_int_equal(waitpid(runtime, NULL, 0), runtime);
	assert_int_equal(kill(plugin, SIGKILL), 0); /* it ends by itself */
	assert_int_equal(lock_c(dir, &NET_A, &C1, LONG_MS, &l), ERR_OK);
	(void)close(ready);
}

/* O3: one that does not end is ended. */
static void test_orphan_is_killed(void **state)
{
	AUTO_OP_LOCK l = OP_LOCK_NONE;
	AUTO_OP_LOCK gc = OP_LOCK_NONE;
	const char *dir = unit_dir();
	int ready;
	pid_t runtime = child_that(runs_plugin, dir, &ready);

	(void)state;
	(void)await_plugin(dir);
	/* While the runtime lives, its plugin is not touched. */
	assert_int_equal(lock_c(dir, &NET_A, &C1, SHORT_MS, &l), ERR_IN_USE);
	assert_int_equal(lock_n(dir, &NET_A, SHORT_MS, &gc), ERR_IN_USE);
	assert_true(find_plugin(dir) > 0);
	assert_int_equal(kill(runtime, SIGKILL), 0);
	assert_int_equal(waitpid(runtime, NULL, 0), runtime);
	assert_int_equal(lock_n(dir, &NET_A, SHORT_MS, &gc), ERR_OK);
	assert_int_equal(find_plugin(dir), 0);
	op_unlock(&gc);
	assert_int_equal(lock_c(dir, &NET_A, &C1, SHORT_MS, &l), ERR_OK);
	(void)close(ready);
}

/* O4: what a plugin leaves behind does not keep the lock of an operation that ended. */
static void test_daemon(void **state)
{
	AUTO_OP_LOCK first = OP_LOCK_NONE;
	AUTO_OP_LOCK second = OP_LOCK_NONE;
	const char *dir = unit_dir();
	struct exec_call c = { .path = "/bin/sh",
			       .env = environ,
			       .input = STR("sleep 1000 & echo $!"),
			       .timeout_ms = LONG_MS };
	AUTO_EXEC_OUTPUT o;
	struct err e;

	(void)state;
	assert_int_equal(lock_c(dir, &NET_A, &C1, SHORT_MS, &first), ERR_OK);
	c.keep_fd = first.fd;
	exec_output_init(&o);
	assert_ok(exec_run(&c, &o, &e), &e);
	op_unlock(&first);
	assert_int_equal(lock_c(dir, &NET_A, &C1, SHORT_MS, &second), ERR_OK);
	assert_int_equal(kill((pid_t)strtol(o.out.p, NULL, 10), SIGKILL), 0);
}

/* Many processes count in a file under the lock: none is lost. */
static void test_contention(void **state)
{
	enum { PROCESSES = 8, TURNS = 50 };
	const char *dir = unit_dir();
	struct sbuf text;

	(void)state;
	file_write(dir, "count", STR("0"));
	for (unsigned i = 0; i < PROCESSES; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid > 0)
			continue;
		for (unsigned j = 0; j < TURNS; j++) {
			struct op_lock l = OP_LOCK_NONE;
			char number[32];

			if (lock_c(dir, j % 2 ? &NET_A : &NET_B, &C1, LONG_MS, &l) != ERR_OK)
				_exit(1);
			text = file_read(dir, "count");
			(void)snprintf(number, sizeof(number), "%ld", strtol(text.p, NULL, 10) + 1);
			sbuf_clear(&text);
			file_write(dir, "count", str_of(number));
			op_unlock(&l);
		}
		_exit(0);
	}
	for (unsigned i = 0; i < PROCESSES; i++) {
		int status;

		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	text = file_read(dir, "count");
	assert_int_equal(strtol(text.p, NULL, 10), PROCESSES * TURNS);
	sbuf_clear(&text);
}

static void test_no_directory(void **state)
{
	struct op_lock l = OP_LOCK_NONE;
	struct err e;

	(void)state;
	assert_err(op_lock_container("/nowhere/at/all", &NET_A, &C1, SHORT_MS, &l, &e),
		   ERR_NOT_FOUND, &e, "/nowhere");
	assert_int_equal(l.fd, -1);
	op_unlock(&l);
}

int main(void)
{
	if (!cni_box_can_run()) {
		(void)printf("1..0 # SKIP pidfd_open is not known here\n");
		return 0;
	}
	unit_case("one operation on a container", test_container);
	unit_case("garbage collection excludes all on its network", test_network);
	unit_case("a process that dies", test_death);
	unit_case("a plugin without its runtime holds the lock", test_orphan_waits);
	unit_case("until somebody's patience is over", test_orphan_is_killed);
	unit_case("a daemon does not keep it", test_daemon);
	unit_case("many processes", test_contention);
	unit_case("a directory that is not there", test_no_directory);
	return unit_run();
}
