#include "tests/lib/unit.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/lib/fixture.h"

#define CASES_MAX 1024
#define DIRS_MAX 16

static struct CMUnitTest cases[CASES_MAX];
static size_t n_cases;
static char dirs[DIRS_MAX][64];
static size_t n_dirs;

/* Tests ask for more memory than there is, and mean to be told so. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static int end_case(void **state)
{
	(void)state;
	while (n_dirs)
		temp_dir_remove(dirs[--n_dirs]);
	return 0;
}

static void add(const char *name, CMUnitTestFunction fn, const void *row)
{
	MUST(n_cases < CASES_MAX && name);
	cases[n_cases++] = (struct CMUnitTest){ .name = name,
						.test_func = fn,
						.teardown_func = end_case,
						.initial_state = (void *)(uintptr_t)row };
}

void unit_case(const char *name, CMUnitTestFunction fn)
{
	char *copy = strdup(name);

	add(copy, fn, NULL);
}

void unit_rows(const char *what, CMUnitTestFunction fn, const void *rows, size_t row_size, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const void *row = (const char *)rows + i * row_size;
		char *name = NULL;

		MUST(asprintf(&name, "%s: %s", what, *(const char *const *)row) > 0);
		add(name, fn, row);
	}
}

int unit_run(void)
{
	int failed;

	cmocka_set_message_output(CM_OUTPUT_TAP);
	failed = _cmocka_run_group_tests("unit", cases, n_cases, NULL, NULL);
	while (n_cases)
		free((char *)(uintptr_t)cases[--n_cases].name);
	return failed != 0;
}

const char *unit_dir(void)
{
	MUST(n_dirs < DIRS_MAX);
	temp_dir_make(dirs[n_dirs], sizeof(dirs[0]));
	return dirs[n_dirs++];
}

const char *unit_disk_dir(void)
{
	MUST(n_dirs < DIRS_MAX);
	(void)snprintf(dirs[n_dirs], sizeof(dirs[0]), "/var/tmp/berth-test-XXXXXX");
	MUST(mkdtemp(dirs[n_dirs]));
	return dirs[n_dirs++];
}

bool unit_aborts(void (*fn)(void *arg), void *arg)
{
	const struct rlimit no_core = { 0, 0 };
	int status;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		(void)setrlimit(RLIMIT_CORE, &no_core);
		(void)signal(SIGABRT,
			     SIG_DFL); /* cmocka's own handler would run on with the tests */
		(void)close(STDERR_FILENO);
		fn(arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

bool unit_thread_sleeps(pid_t tid)
{
	char name[64];
	AUTO_SBUF b;
	AUTO_CLOSE fd = -1;
	struct err e;
	ssize_t n;
	const char *at;

	(void)snprintf(name, sizeof(name), "/proc/self/task/%d/stat", (int)tid);
	sbuf_init(&b, 1000);
	MUST(sbuf_reserve(&b, 999) && fd_open_at(AT_FDCWD, name, O_RDONLY, 0, &fd, &e) == ERR_OK);
	n = read(fd, b.p, 999);
	MUST(n > 0);
	b.p[n] = '\0';
	at = strrchr(b.p, ')');
	return at && at[2] == 'S';
}

void unit_assert_str(struct str got, struct str want, const char *file, int line)
{
	if (str_eq(got, want))
		return;
	print_error("\"%.*s\" is not \"%.*s\"\n", STR_FMT(got), STR_FMT(want));
	_fail(file, line);
}

void unit_assert_err(enum err_kind got, enum err_kind want, const struct err *e, const char *text,
		     const char *file, int line)
{
	if (got == want && got != ERR_OK && e->kind == want && strstr(e->msg, text))
		return;
	print_error("%s (%s), wanted %s with \"%s\"\n", err_kind_text(got),
		    got == ERR_OK ? "" : e->msg, err_kind_text(want), text);
	_fail(file, line);
}

void unit_assert_ok(enum err_kind got, const struct err *e, const char *file, int line)
{
	if (got == ERR_OK)
		return;
	print_error("%s: %s\n", err_kind_text(got), e->msg);
	_fail(file, line);
}
