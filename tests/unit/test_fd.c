#include "base/fd.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static int open_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	MUST(fd >= 0);
	return fd;
}

static void test_close(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), copy = fd, none = -1;

	(void)state;
	errno = ENOSPC;
	fd_close(&fd);
	assert_int_equal(fd, -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(fcntl(copy, F_GETFD), -1);
	errno = ENOSPC;
	fd_close(&none);
	assert_int_equal(errno, ENOSPC);
	fd = copy; /* not open any more */
	fd_close(&fd);
	assert_int_equal(errno, ENOSPC);
}

static void test_open(void **state)
{
	AUTO_CLOSE dir = open_dir(unit_dir());
	AUTO_CLOSE fd = -1;
	int untouched = -7;
	struct err e;

	(void)state;
	assert_err(fd_open_at(dir, "a", O_RDONLY, 0, &untouched, &e), ERR_NOT_FOUND, &e, "open a");
	assert_int_equal(untouched, -7);
	assert_ok(fd_open_at(dir, "a", O_RDWR | O_CREAT | O_EXCL, 0600, &fd, &e), &e);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_err(fd_open_at(dir, "a", O_RDWR | O_CREAT | O_EXCL, 0600, &untouched, &e),
		   ERR_EXISTS, &e, "open a");
	MUST(symlinkat("a", dir, "link") == 0);
	assert_err(fd_open_at(dir, "link", O_RDONLY, 0, &untouched, &e), ERR_IO, &e, "open link");
	assert_int_equal(e.sys, ELOOP);
}

static void test_dirs(void **state)
{
	AUTO_CLOSE dir = open_dir(unit_dir());
	struct stat s;
	struct err e;

	(void)state;
	assert_ok(fd_mkdir_at(dir, "a", 0750, &e), &e);
	assert_ok(fd_mkdir_at(dir, "a", 0750, &e), &e);
	assert_int_equal(fstatat(dir, "a", &s, 0), 0);
	assert_true(S_ISDIR(s.st_mode));
	assert_err(fd_mkdir_at(dir, "b/c", 0750, &e), ERR_NOT_FOUND, &e, "make directory b/c");
	assert_ok(fd_sync_dir(dir, "a", &e), &e);
	assert_ok(fd_sync_dir(dir, ".", &e), &e);
	assert_err(fd_sync_dir(dir, "b", &e), ERR_NOT_FOUND, &e, "open b");
	assert_err(fd_sync_dir(AT_FDCWD, "/dev/null", &e), ERR_IO, &e, "open /dev/null");
	assert_err(fd_sync_dir(AT_FDCWD, "/proc", &e), ERR_IO, &e, "fsync directory /proc");
}

struct listing {
	unsigned n, stop_at;
	char names[64];
};

static enum err_kind add_name(void *arg, const char *name, struct err *e)
{
	struct listing *l = arg;

	if (l->n++ == l->stop_at)
		return err_set(e, ERR_IN_USE, __func__, "stop at %s", name);
	(void)snprintf(l->names + strlen(l->names), sizeof(l->names) - strlen(l->names), "%s",
		       name);
	return ERR_OK;
}

static void test_list(void **state)
{
	const char *root = unit_dir();
	AUTO_CLOSE dir = open_dir(root);
	struct listing all = { .stop_at = 100 }, some = { .stop_at = 1 }, none = { .stop_at = 0 };
	struct err e;

	(void)state;
	assert_ok(fd_list_dir(dir, ".", add_name, &none, &e), &e); /* nothing in it */
	file_write(root, "a", STR(""));
	file_write(root, "b", STR(""));
	file_write(root, ".c", STR(""));
	assert_ok(fd_list_dir(dir, ".", add_name, &all, &e), &e);
	assert_int_equal(all.n, 3);
	assert_non_null(strchr(all.names, 'a'));
	assert_non_null(strchr(all.names, 'b'));
	assert_non_null(strstr(all.names, ".c"));
	assert_err(fd_list_dir(dir, ".", add_name, &some, &e), ERR_IN_USE, &e, "stop at ");
	assert_int_equal(some.n, 2);
	assert_err(fd_list_dir(dir, "none", add_name, &all, &e), ERR_NOT_FOUND, &e, "open none");
	assert_err(fd_list_dir(dir, "a", add_name, &all, &e), ERR_IO, &e, "open a");
}

static void test_transfers(void **state)
{
	AUTO_CLOSE dir = open_dir(unit_dir());
	AUTO_CLOSE fd = -1;
	char buf[8] = "";
	struct err e;

	(void)state;
	assert_ok(fd_open_at(dir, "a", O_RDWR | O_CREAT, 0600, &fd, &e), &e);
	assert_ok(fd_write_all(fd, "hello", 5, "a", &e), &e);
	assert_ok(fd_write_all(fd, "", 0, "a", &e), &e);
	assert_ok(fd_pwrite_all(fd, "J", 1, 0, "a", &e), &e);
	assert_ok(fd_pwrite_all(fd, "!", 1, 5, "a", &e), &e);
	assert_ok(fd_pwrite_all(fd, "", 0, 100, "a", &e), &e);
	assert_ok(fd_pread_exact(fd, buf, 6, 0, "a", &e), &e);
	assert_string_equal(buf, "Jello!");
	assert_ok(fd_pread_exact(fd, buf, 2, 4, "a", &e), &e);
	assert_memory_equal(buf, "o!", 2);
	assert_ok(fd_pread_exact(fd, buf, 0, 100, "a", &e), &e);
	assert_err(fd_pread_exact(fd, buf, 8, 0, "file a", &e), ERR_CORRUPT, &e,
		   "file a ends 2 bytes early");
	assert_err(fd_pread_exact(fd, buf, 1, 6, "a", &e), ERR_CORRUPT, &e, "1 bytes early");
}

/* Descriptors that do not take what they are asked for. */
static void test_failures(void **state)
{
	AUTO_CLOSE reading = open("/dev/null", O_RDONLY | O_CLOEXEC);
	AUTO_CLOSE writing = open("/dev/null", O_WRONLY | O_CLOEXEC);
	AUTO_CLOSE full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	char buf[4];
	struct err e;

	(void)state;
	assert_err(fd_write_all(reading, "x", 1, "it", &e), ERR_IO, &e, "write it");
	assert_int_equal(e.sys, EBADF);
	assert_err(fd_pwrite_all(reading, "x", 1, 0, "it", &e), ERR_IO, &e, "write it");
	assert_err(fd_pread_exact(writing, buf, 1, 0, "it", &e), ERR_IO, &e, "read it");
	assert_err(fd_write_all(full, "x", 1, "it", &e), ERR_NO_SPACE, &e, "write it");
}

/* At a limit the system takes a part first and refuses the rest then. */
static void test_short_write(void **state)
{
	const char *root = unit_dir();
	AUTO_CLOSE dir = open_dir(root);
	AUTO_CLOSE fd = -1;
	struct rlimit old, small;
	struct stat s;
	struct err e;
	enum err_kind k, at;

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_ok(fd_open_at(dir, "a", O_RDWR | O_CREAT, 0600, &fd, &e), &e);
	MUST(getrlimit(RLIMIT_FSIZE, &old) == 0);
	small = (struct rlimit){ .rlim_cur = 3, .rlim_max = old.rlim_max };
	MUST(setrlimit(RLIMIT_FSIZE, &small) == 0);
	k = fd_write_all(fd, "hello", 5, "a", &e);
	at = fd_pwrite_all(fd, "hello", 5, 1, "a", &e);
	MUST(setrlimit(RLIMIT_FSIZE, &old) == 0);
	assert_int_equal(k, ERR_NO_SPACE);
	assert_err(at, ERR_NO_SPACE, &e, "write a");
	assert_int_equal(fstat(fd, &s), 0);
	assert_int_equal(s.st_size, 3);
}

static int pipe_fds[2];
static volatile sig_atomic_t interruptions;
static volatile size_t drained;
static volatile bool wrong_byte;

/* In a moment: long after the write went on, however slow this machine is. */
static void ask_for_signal(void)
{
	const struct itimerval once = { .it_value = { 0, 1000 } };

	(void)setitimer(ITIMER_REAL, &once, NULL);
}

/* Takes some bytes out of the full pipe, so that the write that was interrupted can go on. */
static void drain(int sig)
{
	char buf[5000];
	int saved = errno;
	ssize_t n = read(pipe_fds[0], buf, sizeof(buf));

	for (ssize_t i = 0; i < n; i++)
		wrong_byte = wrong_byte || buf[i] != (char)((drained + (size_t)i) % 251);
	if (n > 0)
		drained += (size_t)n;
	interruptions++;
	if (sig)
		ask_for_signal();
	errno = saved;
}

/* F1: a blocking write into a full pipe sees both EINTR and counts that are short. */
static void test_interrupted(void **state)
{
	const struct itimerval never = { .it_value = { 0, 0 } };
	struct sigaction act = { .sa_handler = drain }, old; /* without SA_RESTART */
	size_t n = 1024 * 1024;
	AUTO_FREE char *bytes = malloc(n);
	struct err e;
	enum err_kind k;

	(void)state;
	MUST(bytes && pipe2(pipe_fds, O_CLOEXEC) == 0);
	MUST(fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK) == 0);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(i % 251);
	MUST(sigaction(SIGALRM, &act, &old) == 0);
	ask_for_signal();
	k = fd_write_all(pipe_fds[1], bytes, n, "pipe", &e);
	MUST(setitimer(ITIMER_REAL, &never, NULL) == 0);
	MUST(sigaction(SIGALRM, &old, NULL) == 0);
	assert_ok(k, &e);
	assert_in_range(interruptions, 10, INT32_MAX);
	while (drained < n) {
		size_t before = drained;

		drain(0);
		assert_true(drained > before);
	}
	assert_int_equal(drained, n);
	assert_false(wrong_byte);
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
}

static void test_read_file(void **state)
{
	const char *root = unit_dir();
	AUTO_CLOSE dir = open_dir(root);
	AUTO_SBUF b;
	struct err e;

	(void)state;
	sbuf_init(&b, 8);
	file_write(root, "a", STR("four"));
	file_write(root, "empty", STR(""));
	assert_ok(fd_read_file(dir, "a", &b, &e), &e);
	assert_string_equal(b.p, "four");
	assert_ok(fd_read_file(dir, "empty", &b, &e), &e);
	assert_int_equal(b.n, 4);
	assert_ok(fd_read_file(dir, "a", &b, &e), &e); /* appends, up to the maximum */
	assert_string_equal(b.p, "fourfour");
	assert_err(fd_read_file(dir, "a", &b, &e), ERR_TOO_LARGE, &e, "a has 4 bytes, more than 8");
	assert_err(fd_read_file(dir, "b", &b, &e), ERR_NOT_FOUND, &e, "open b");
	sbuf_clear(&b);
	assert_err(fd_read_file(dir, ".", &b, &e), ERR_CORRUPT, &e, "not a regular file");
	assert_ok(fd_read_file(dir, "empty", &b, &e), &e);
	assert_string_equal(b.p, "");
}

static void test_replace_file(void **state)
{
	AUTO_CLOSE dir = -1;
	const char *root = unit_dir();
	char long_name[NAME_MAX + 1];
	struct sbuf b;
	struct stat st;
	struct err e;

	(void)state;
	assert_ok(fd_open_at(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0, &dir, &e), &e);
	assert_ok(fd_replace_file(dir, "f", STR("one"), 0640, &e), &e);
	assert_ok(fd_swap_file(dir, "f", STR("between"), 0644, &e), &e);
	assert_ok(fd_replace_file(dir, "f", STR("second"), 0600, &e), &e);
	b = file_read(root, "f");
	assert_string_equal(b.p, "second");
	sbuf_clear(&b);
	MUST(fstatat(dir, "f", &st, 0) == 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(dir_count(root, "."), 1);
	MUST(mkdirat(dir, "d", 0755) == 0);
	assert_err(fd_replace_file(dir, "d", STR("x"), 0600, &e), ERR_IO, &e, "rename d.new");
	assert_false(file_exists(root, "d.new"));
	memset(long_name, 'n', NAME_MAX);
	long_name[NAME_MAX] = '\0';
	assert_err(fd_replace_file(dir, long_name, STR("x"), 0600, &e), ERR_INVALID, &e,
		   "is too long");
}

static void test_read_path(void **state)
{
	const char *root = unit_dir();
	AUTO_CLOSE dir = open_dir(root);
	char path[4200];
	AUTO_SBUF b;
	struct err e;

	(void)state;
	sbuf_init(&b, 8);
	file_write(root, "real", STR("four"));
	MUST(symlinkat("real", dir, "link") == 0 && symlinkat("gone", dir, "dangling") == 0);
	(void)snprintf(path, sizeof(path), "%s/link", root);
	assert_err(fd_read_file(AT_FDCWD, path, &b, &e), ERR_IO, &e, "link");
	assert_ok(fd_read_path(path, &b, &e), &e);
	assert_string_equal(b.p, "four");
	(void)snprintf(path, sizeof(path), "%s/dangling", root);
	assert_err(fd_read_path(path, &b, &e), ERR_NOT_FOUND, &e, "find ");
	assert_err(fd_read_path(root, &b, &e), ERR_CORRUPT, &e, "not a regular file");
}

int main(void)
{
	unit_case("fd_close keeps errno", test_close);
	unit_case("fd_open_at", test_open);
	unit_case("directories", test_dirs);
	unit_case("names in a directory", test_list);
	unit_case("whole transfers", test_transfers);
	unit_case("descriptors that refuse", test_failures);
	unit_case("a write that is cut short", test_short_write);
	unit_case("a write that is interrupted", test_interrupted);
	unit_case("fd_read_file", test_read_file);
	unit_case("fd_read_path", test_read_path);
	unit_case("fd_replace_file", test_replace_file);
	return unit_run();
}
