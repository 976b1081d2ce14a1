#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "runtime/net/plugin.h"
#include "tests/lib/cni_box.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define LONG_MS 60000

static void script(const char *dir, const char *name, const char *body)
{
	char path[300];
	AUTO_SBUF text;

	sbuf_init(&text, 65536);
	sbuf_addf(&text, "#!/bin/sh\n%s\n", body);
	file_write(dir, name, (struct str){ text.p, text.n });
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(chmod(path, 0755), 0);
}

/* ---- finding ---- */

static void test_find(void **state)
{
	const char *first = unit_dir(), *second = unit_dir();
	const char *const dirs[] = { first, second };
	char path[EXEC_PATH_MAX], want[300];
	struct err e;

	(void)state;
	script(second, "a", "");
	(void)snprintf(want, sizeof(want), "%s/a", second);
	assert_ok(exec_find(STR("a"), dirs, 2, path, &e), &e);
	assert_string_equal(path, want);
	script(first, "a", "");
	(void)snprintf(want, sizeof(want), "%s/a", first);
	assert_ok(exec_find(STR("a"), dirs, 2, path, &e), &e);
	assert_string_equal(path, want);
	assert_err(exec_find(STR("b"), dirs, 2, path, &e), ERR_NOT_FOUND, &e, "\"b\" is not in");
	assert_err(exec_find(STR("a"), dirs, 0, path, &e), ERR_NOT_FOUND, &e, "no directory");
	/* CNI-01 */
	assert_err(exec_find(STR("../a"), dirs, 2, path, &e), ERR_INVALID, &e, "no name of a file");
	assert_err(exec_find(STR("/bin/sh"), dirs, 2, path, &e), ERR_INVALID, &e, "no name");
	assert_err(exec_find(STR(""), dirs, 2, path, &e), ERR_INVALID, &e, "empty");
}

static void test_find_files_only(void **state)
{
	const char *dir = unit_dir();
	char path[EXEC_PATH_MAX];
	struct err e;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/d", dir);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_err(exec_find(STR("d"), &dir, 1, path, &e), ERR_NOT_FOUND, &e, dir);
}

/* ---- running ---- */

static enum err_kind run_with(const char *dir, const char *name, struct exec_call *c,
			      struct exec_output *o, struct err *e)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	c->path = path;
	exec_output_init(o);
	return exec_run(c, o, e);
}

static enum err_kind run(const char *dir, const char *name, struct exec_output *o, struct err *e)
{
	struct exec_call c = {
		.env = environ, .input = STR("input\n"), .timeout_ms = LONG_MS, .keep_fd = -1
	};

	return run_with(dir, name, &c, o, e);
}

static void test_streams(void **state)
{
	const char *dir = unit_dir();
	AUTO_EXEC_OUTPUT o;
	struct err e;

	(void)state;
	script(dir, "a", "cat; echo log >&2; exit 3");
	assert_ok(run(dir, "a", &o, &e), &e);
	assert_true(WIFEXITED(o.status) && WEXITSTATUS(o.status) == 3);
	assert_string_equal(o.out.p, "input\n");
	assert_string_equal(o.log.p, "log\n");
}

static void test_input_not_read(void **state)
{
	const char *dir = unit_dir();
	AUTO_EXEC_OUTPUT o;
	AUTO_SBUF input;
	struct err e;
	struct exec_call c = { .env = environ, .timeout_ms = LONG_MS, .keep_fd = -1 };

	(void)state;
	sbuf_init(&input, 1 << 20);
	while (input.n < 1 << 19)
		sbuf_addf(&input, "more than a pipe holds ");
	c.input = (struct str){ input.p, input.n };
	script(dir, "a", "exit 0");
	assert_ok(run_with(dir, "a", &c, &o, &e), &e);
	assert_int_equal(o.status, 0);
	exec_output_clear(&o);
	script(dir, "b", "wc -c");
	assert_ok(run_with(dir, "b", &c, &o, &e), &e);
	assert_int_equal(strtoul(o.out.p, NULL, 10), input.n);
}

/* X1 */
static void test_descriptors(void **state)
{
	const char *dir = unit_dir();
	AUTO_EXEC_OUTPUT o;
	struct err e;
	int stray = open("/dev/null", O_RDONLY), kept = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	struct exec_call c = { .env = environ, .timeout_ms = LONG_MS, .keep_fd = kept };

	(void)state;
	assert_true(stray >= 0 && kept >= 0);
	script(dir, "a", "ls /proc/self/fd | tr '\\n' ' '; readlink /proc/$$/fd/3");
	assert_ok(run_with(dir, "a", &c, &o, &e), &e);
	/* ls has the directory open as well; the shell its script. */
	assert_non_null(strstr(o.out.p, "0 1 2 3 4 /etc/passwd"));
	exec_output_clear(&o);
	c.keep_fd = -1;
	assert_ok(run_with(dir, "a", &c, &o, &e), &e);
	assert_null(strstr(o.out.p, "passwd"));
	(void)close(stray);
	(void)close(kept);
}

static void test_not_executable(void **state)
{
	const char *dir = unit_dir();
	AUTO_EXEC_OUTPUT o;
	struct err e;

	(void)state;
	file_write(dir, "a", STR("#!/bin/sh\n"));
	assert_err(run(dir, "a", &o, &e), ERR_IO, &e, "Permission denied");
	exec_output_clear(&o);
	script(dir, "b", "");
	file_write(dir, "b", STR("#!/no/such/interpreter\n"));
	assert_err(run(dir, "b", &o, &e), ERR_NOT_FOUND, &e, "No such file");
	exec_output_clear(&o);
	file_write(dir, "b",
		   STR("\x7f"
		       "ELF garbage"));
	assert_err(run(dir, "b", &o, &e), ERR_IO, &e, "Exec format error");
}

static bool gone(const char *dir, const char *file)
{
	struct sbuf text = file_read(dir, file);
	pid_t pid = (pid_t)strtol(text.p, NULL, 10);

	sbuf_clear(&text);
	assert_true(pid > 1);
	return kill(pid, 0) < 0 && errno == ESRCH;
}

static void await_gone(const char *dir, const char *file)
{
	const struct timespec pause = { .tv_nsec = 5000000 };

	for (unsigned i = 0; !gone(dir, file); i++) {
		assert_true(i < 12000); /* children of a killed one are reaped by init */
		(void)nanosleep(&pause, NULL);
	}
}

/* X2: what hangs is killed with all that it started. */
static void test_hangs(void **state)
{
	const char *dir = unit_dir();
	char body[900];
	AUTO_EXEC_OUTPUT o;
	struct err e;
	struct exec_call c = { .env = environ, .timeout_ms = 300, .keep_fd = -1 };

	(void)state;
	(void)snprintf(body, sizeof(body),
		       "trap '' TERM INT HUP; sleep 1000 & echo $! >%s/child; echo said >&2; "
		       "echo $$ >%s/self; wait",
		       dir, dir);
	script(dir, "a", body);
	assert_err(run_with(dir, "a", &c, &o, &e), ERR_IO, &e, "did not end within 300 ms");
	assert_true(WIFSIGNALED(o.status) && WTERMSIG(o.status) == SIGKILL);
	if (file_exists(dir, "self")) { /* a slow machine may not have come so far */
		await_gone(dir, "self");
		await_gone(dir, "child");
		assert_string_equal(o.log.p, "said\n");
	}
}

/* CNI-12 */
static void test_floods(void **state)
{
	const char *dir = unit_dir();
	AUTO_EXEC_OUTPUT o;
	struct err e;

	(void)state;
	script(dir, "a", "head -c 1073741824 /dev/zero");
	assert_err(run(dir, "a", &o, &e), ERR_TOO_LARGE, &e, "was killed");
	assert_true(o.out.n <= EXEC_OUTPUT_MAX);
	exec_output_clear(&o);
	script(dir, "b", "head -c 10000000 /dev/zero >&2; echo done");
	assert_ok(run(dir, "b", &o, &e), &e);
	assert_string_equal(o.out.p, "done\n");
	assert_true(o.log.n <= EXEC_LOG_MAX);
}

/* A plugin that never stops writing to stderr ends when its time is up. */
static void test_floods_log(void **state)
{
	const char *dir = unit_dir();
	AUTO_EXEC_OUTPUT o;
	struct err e;
	struct exec_call c = { .env = environ, .timeout_ms = 300, .keep_fd = -1 };

	(void)state;
	script(dir, "a", "exec cat /dev/zero >&2");
	assert_err(run_with(dir, "a", &c, &o, &e), ERR_IO, &e, "did not end");
	assert_true(o.log.n <= EXEC_LOG_MAX);
}

/* X3: a daemon that keeps the pipes open does not keep us. */
static void test_leaves_daemon(void **state)
{
	const char *dir = unit_dir();
	char body[600];
	AUTO_EXEC_OUTPUT o;
	struct err e;
	struct sbuf text;

	(void)state;
	(void)snprintf(body, sizeof(body), "sleep 1000 & echo $! >%s/child; echo done", dir);
	script(dir, "a", body);
	assert_ok(run(dir, "a", &o, &e), &e);
	assert_int_equal(o.status, 0);
	assert_string_equal(o.out.p, "done\n");
	text = file_read(dir, "child");
	assert_int_equal(kill((pid_t)strtol(text.p, NULL, 10), SIGKILL), 0);
	sbuf_clear(&text);
}

static void test_dies(void **state)
{
	const char *dir = unit_dir();
	AUTO_EXEC_OUTPUT o;
	struct err e;

	(void)state;
	script(dir, "a", "echo half; kill -SEGV $$");
	assert_ok(run(dir, "a", &o, &e), &e);
	assert_true(WIFSIGNALED(o.status) && WTERMSIG(o.status) == SIGSEGV);
	assert_string_equal(o.out.p, "half\n");
}

/* X4: the file is open for writing while it is first tried. */
static void test_busy(void **state)
{
	const char *dir = unit_dir();
	char path[300];
	AUTO_EXEC_OUTPUT o;
	struct err e;
	int fd, ready[2];
	char byte;
	pid_t writer;

	(void)state;
	script(dir, "a", "exit 0");
	(void)snprintf(path, sizeof(path), "%s/a", dir);
	assert_int_equal(pipe(ready), 0);
	writer = fork();
	assert_true(writer >= 0);
	if (writer == 0) {
		const struct timespec pause = { .tv_nsec = 200000000 };

		fd = open(path, O_WRONLY | O_CLOEXEC);
		(void)!write(ready[1], "r", 1);
		(void)nanosleep(&pause, NULL);
		_exit(fd < 0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_ok(run(dir, "a", &o, &e), &e);
	assert_int_equal(o.status, 0);
	assert_int_equal(waitpid(writer, NULL, 0), writer);
	exec_output_clear(&o);
	/* For ever busy is an error after a while. */
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_err(run(dir, "a", &o, &e), ERR_IO, &e, "Text file busy");
	(void)close(fd);
	(void)close(ready[0]);
	(void)close(ready[1]);
}

/* ---- plugins: environment and errors ---- */

static enum err_kind call_plugin(const char *dir, const char *name, struct plugin_failure *f,
				 struct exec_output *o, struct err *e)
{
	char path[300];
	const struct plugin_call c = { .command = "ADD",
				       .type = str_of(name),
				       .path = path,
				       .container = "some-id",
				       .netns = "/run/netns/x",
				       .ifname = "eth0",
				       .args = "K=V",
				       .search_path = "/a:/b",
				       .input = STR("{}"),
				       .timeout_ms = LONG_MS,
				       .keep_fd = -1 };

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	exec_output_init(o);
	return plugin_run(&c, o, f, e);
}

/* G1 */
static void test_environment(void **state)
{
	const char *dir = unit_dir();
	struct plugin_failure f;
	AUTO_EXEC_OUTPUT o;
	struct err e;

	(void)state;
	plugin_failure_init(&f);
	(void)setenv("CNI_COMMAND", "of-ours", 1);
	(void)setenv("CNI_ARGSX", "another", 1);
	(void)setenv("OTHER", "kept", 1);
	script(dir, "a", "env | grep -E '^(CNI|OTHER)' | sort");
	assert_ok(call_plugin(dir, "a", &f, &o, &e), &e);
	assert_string_equal(o.out.p, "CNI_ARGS=K=V\nCNI_ARGSX=another\nCNI_COMMAND=ADD\n"
				     "CNI_CONTAINERID=some-id\nCNI_IFNAME=eth0\n"
				     "CNI_NETNS=/run/netns/x\nCNI_PATH=/a:/b\nOTHER=kept\n");
	assert_string_equal(f.plugin, "");
	(void)unsetenv("CNI_COMMAND");
	(void)unsetenv("CNI_ARGSX");
	plugin_failure_clear(&f);
}

static const struct {
	const char *name, *body;
	enum err_kind kind;
	unsigned code;
	const char *msg, *details;
} failures[] = {
	{ "whole", "echo '{\"code\":7,\"msg\":\"bad\",\"details\":\"more\"}'; exit 1", ERR_IO, 7,
	  "bad", "more" },
	{ "whole, with a log", "echo '{\"code\":7,\"msg\":\"bad\"}'; echo log >&2; exit 1", ERR_IO,
	  7, "bad", "" },
	{ "no code", "echo '{\"msg\":\"bad\"}'; exit 1", ERR_IO, 0, "bad", "" },
	{ "no message", "echo '{\"code\":9}'; exit 2", ERR_IO, 9, "no reason given (exit status 2)",
	  "" },
	{ "version", "echo '{\"code\":1,\"msg\":\"incompatible\"}'; exit 1", ERR_UNSUPPORTED, 1,
	  "incompatible", "" },
	{ "try again", "echo '{\"code\":11,\"msg\":\"later\"}'; exit 1", ERR_IN_USE, 11, "later",
	  "" },
	{ "not available", "echo '{\"code\":50,\"msg\":\"down\"}'; exit 1", ERR_IN_USE, 50, "down",
	  "" },
	{ "no error object", "echo 'not JSON'; exit 1", ERR_IO, 0,
	  "exit status 1, and what it said is no error object", "not JSON" },
	{ "only a log", "echo 'the reason' >&2; exit 4", ERR_IO, 0, "exit status 4", "the reason" },
	{ "nothing", "exit 5", ERR_IO, 0, "exit status 5, without a word", "" },
	{ "a signal", "kill -KILL $$", ERR_IO, 0, "ended by signal 9, without a word", "" },
	{ "lines", "printf '{\"msg\":\"a\\\\nb\\\\u001b[2Jc\"}'; exit 1", ERR_IO, 0, "a b [2Jc",
	  "" },
};

static void test_failure(void **state)
{
	const struct {
		const char *name, *body;
		enum err_kind kind;
		unsigned code;
		const char *msg, *details;
	} *c = *state;
	const char *dir = unit_dir();
	struct plugin_failure f;
	AUTO_EXEC_OUTPUT o;
	struct err e;

	plugin_failure_init(&f);
	script(dir, "a", c->body);
	assert_err(call_plugin(dir, "a", &f, &o, &e), c->kind, &e, "plugin a: ADD: ");
	assert_non_null(strstr(e.msg, c->msg));
	assert_int_equal(f.code, c->code);
	assert_string_equal(f.plugin, "a");
	assert_string_equal(f.command, "ADD");
	assert_string_equal(f.msg.p, c->msg);
	assert_string_equal(f.details.p ? f.details.p : "", c->details);
	plugin_failure_clear(&f);
}

/* The whole of a long error is there, though struct err has room for its beginning only. */
static void test_long_failure(void **state)
{
	const char *dir = unit_dir();
	struct plugin_failure f;
	AUTO_EXEC_OUTPUT o;
	struct err e;

	(void)state;
	plugin_failure_init(&f);
	script(dir, "a",
	       "printf '{\"msg\":\"'; head -c 5000 /dev/zero | tr '\\0' x; printf '\"}'; exit 1");
	assert_err(call_plugin(dir, "a", &f, &o, &e), ERR_IO, &e, "xxx");
	assert_int_equal(f.msg.n, 5000);
	plugin_failure_clear(&f);
}

int main(void)
{
	if (!cni_box_can_run()) {
		(void)printf("1..0 # SKIP pidfd_open is not known here\n");
		return 0;
	}
	unit_case("found in the order of directories", test_find);
	unit_case("only files are found", test_find_files_only);
	unit_case("input, output, log and status", test_streams);
	unit_case("input that is not read", test_input_not_read);
	unit_case("descriptors", test_descriptors);
	unit_case("not executable", test_not_executable);
	unit_case("what hangs is killed", test_hangs);
	unit_case("what floods is killed, or cut", test_floods);
	unit_case("a log without end", test_floods_log);
	unit_case("what stays behind holds nobody up", test_leaves_daemon);
	unit_case("a plugin that dies", test_dies);
	unit_case("a file that is being written", test_busy);
	unit_case("environment", test_environment);
	UNIT_TABLE("failure", test_failure, failures);
	unit_case("a long failure", test_long_failure);
	return unit_run();
}
