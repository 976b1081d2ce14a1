#include "tests/lib/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/confine.h"
#include "tests/lib/fixture.h"

#define UID_NOBODY 65534
#define PATH_TEXT 8192

/* In a child that is confined: 0 if it is as it should be, else the number of what is not. */
typedef int probe_fn(const struct conf *c);

struct probe {
	const char *name;
	probe_fn *probe;
	const char *option; /* one more, or NULL */
};

static bool fails(long got, int want)
{
	return got < 0 && errno == want;
}

static int probe_calls(const struct conf *c)
{
	char *const none[] = { NULL };

	(void)c;
	if (!fails(execve("/bin/true", none, none), ENOSYS))
		return 1;
	if (!fails(ptrace(PTRACE_TRACEME, 0, NULL, NULL), ENOSYS))
		return 2;
	if (!fails(syscall(SYS_setuid, 0), ENOSYS)) /* of this thread: a sanitizer may have more */
		return 3;
	if (!fails(unshare(CLONE_NEWUSER), ENOSYS))
		return 4;
	if (!fails(mount("none", "/", "tmpfs", 0, NULL), ENOSYS))
		return 5;
	if (!fails(socket(AF_PACKET, SOCK_RAW, 0), ENOSYS))
		return 6;
	if (!fails(kill(getppid(), 0), ENOSYS))
		return 7;
	return fails(syscall(SYS_io_uring_setup, 1, NULL), ENOSYS) ? 0 : 8;
}

static void *run_thread(void *arg)
{
	char *const none[] = { NULL };

	*(bool *)arg = fails(execve("/bin/true", none, none), ENOSYS);
	return NULL;
}

static int probe_threads(const struct conf *c)
{
	bool held = false;
	pthread_t t;

	(void)c;
	if (pthread_create(&t, NULL, run_thread, &held) != 0)
		return 1;
	(void)pthread_join(t, NULL);
	if (!held)
		return 2;
	return fork() < 0 ? 0 : 3; /* a process is no thread */
}

static int open_in(const char *dir, const char *name, int flags)
{
	char path[PATH_TEXT];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd >= 0)
		(void)close(fd);
	return fd;
}

static int probe_files(const struct conf *c)
{
	char outside[PATH_TEXT / 2];

	(void)snprintf(outside, sizeof(outside), "%s/..", c->root.p);
	if (open_in(c->root.p, "a", O_WRONLY | O_CREAT) < 0)
		return 1;
	if (!fails(open_in(outside, "b", O_WRONLY | O_CREAT), EACCES))
		return 2;
	if (!fails(open_in(outside, "secret", O_RDONLY), EACCES))
		return 3;
	if (open_in("/etc", "hosts", O_RDONLY) < 0)
		return 4;
	return fails(open_in("/etc", "hosts", O_WRONLY), EACCES) ? 0 : 5;
}

static int probe_writable(const struct conf *c)
{
	char outside[PATH_TEXT / 2];

	(void)snprintf(outside, sizeof(outside), "%s/../more", c->root.p);
	return open_in(outside, "b", O_WRONLY | O_CREAT) < 0;
}

static int probe_always(const struct conf *c)
{
	struct rlimit core = { 1, 1 };

	(void)c;
	(void)getrlimit(RLIMIT_CORE, &core);
	if (core.rlim_max != 0)
		return 1;
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 2;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 3;
	return umask(0) == 077 ? 0 : 4;
}

static int probe_free(const struct conf *c)
{
	int bad = probe_always(c);

	return bad ? bad : kill(getppid(), 0) == 0 ? 0 : 10;
}

static int probe_user(const struct conf *c)
{
	struct stat st;
	gid_t groups[8];
	int n = getgroups(8, groups);

	if (getuid() != UID_NOBODY || geteuid() != UID_NOBODY || getegid() != UID_NOBODY)
		return 1;
	for (int i = 0; i < n; i++) {
		if (groups[i] == 0)
			return 2;
	}
	if (stat(c->root.p, &st) < 0 || st.st_uid != UID_NOBODY || (st.st_mode & 077))
		return 3;
	return open_in(c->root.p, "a", O_WRONLY | O_CREAT) < 0 ? 4 : 0;
}

/* Confined like berthd, then asked. */
static int in_child(probe_fn *probe, const struct conf *c)
{
	struct err e = { 0 };
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (confine_as_user(c, &e) != ERR_OK || confine_self(c, &e) != ERR_OK) {
			(void)fprintf(stderr, "%s\n", e.msg);
			_exit(100);
		}
		_exit(probe(c));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 200 + WTERMSIG(status);
}

static void make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	MUST(fd >= 0 && close(fd) == 0);
}

static void test_probe(void **state)
{
	const struct probe *p = *state;
	const char *dir = unit_dir();
	char root[4096], more[4096], writable[4200], secret[4096];
	char *args[] = { root, writable, NULL };
	struct conf c;
	struct err e;

	if (p->probe == probe_user && geteuid() != 0)
		skip();
	(void)snprintf(root, sizeof(root), "--root=%s/root", dir);
	(void)snprintf(more, sizeof(more), "%s/more", dir);
	(void)snprintf(secret, sizeof(secret), "%s/secret", dir);
	(void)snprintf(writable, sizeof(writable), "--process.writable=[\"%s\"]", more);
	MUST(mkdir(more, 0755) == 0 && chmod(dir, 0755) == 0);
	make_file(secret);
	assert_ok(conf_load(2, args, &c, &e), &e);
	if (p->option)
		assert_ok(conf_set(&c, str_of(p->option),
				   p->probe == probe_user ? STR("nobody") : STR("false"), "test",
				   &e),
			  &e);
	assert_int_equal(in_child(p->probe, &c), 0);
	conf_clear(&c);
}

static const struct probe probes[] = {
	{ "calls that serving has no use for", probe_calls, NULL },
	{ "threads are made, confined too, and processes are not", probe_threads, NULL },
	{ "only the root is written to, and little else is read", probe_files, NULL },
	{ "and what process.writable names", probe_writable, NULL },
	{ "no core dump, no look into it, no new privileges", probe_always, NULL },
	{ "these without process.confine as well, and nothing else", probe_free,
	  "process.confine" },
	{ "another user", probe_user, "process.user" },
};

static void test_no_user(void **state)
{
	char option[] = "--process.user=nobody-of-this-name", *args[] = { option };
	struct conf c;
	struct err e;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_ok(conf_load(1, args, &c, &e), &e);
	assert_err(confine_as_user(&c, &e), ERR_INVALID, &e, "there is no user");
	conf_clear(&c);
}

int main(void)
{
	UNIT_TABLE("confined", test_probe, probes);
	unit_case("a user that is not there", test_no_user);
	return unit_run();
}
