#include "base/sys.h"

#ifdef BERTH_FAULT
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static struct {
	unsigned long at;
	int sys;
	enum fault_mode mode;
	int trace_fd;
	_Atomic bool armed, fired;
	fault_observer *observer;
	_Atomic unsigned long calls;
} plan = { .trace_fd = -1 };

void fault_arm(unsigned long n, int sys_errno, enum fault_mode mode)
{
	plan.at = n;
	plan.sys = sys_errno;
	plan.mode = mode;
	plan.calls = 0;
	plan.fired = false;
	plan.armed = true;
}

bool fault_disarm(void)
{
	plan.armed = false;
	return plan.fired;
}

unsigned long fault_count(void)
{
	return plan.calls;
}

void fault_observe(fault_observer *fn)
{
	plan.observer = fn;
}

/* Tells of a call that succeeded, with everything else switched off meanwhile. */
static void observed(const char *name, int fd)
{
	fault_observer *fn = plan.observer;
	bool armed = plan.armed;
	int saved = errno;

	if (!fn)
		return;
	plan.observer = NULL;
	plan.armed = false;
	fn(name, fd);
	plan.armed = armed;
	plan.observer = fn;
	errno = saved;
}

static void die(void)
{
	(void)kill(getpid(), SIGKILL);
	for (;;)
		(void)pause();
}

/* Counts one call; FAULT_NONE unless the plan says that this is the one. */
static enum fault_mode fault_step(const char *name, int fd, const char *path)
{
	unsigned long n;
	enum fault_mode m = FAULT_NONE;

	if (plan.trace_fd >= 0) {
		char line[256];
		int len = snprintf(line, sizeof(line), "%s %d %s\n", name, fd, path ? path : "-");

		(void)syscall(SYS_write, plan.trace_fd, line, len);
	}
	if (!plan.armed)
		return FAULT_NONE;
	n = ++plan.calls;
	if (n == plan.at || (plan.mode == FAULT_FROM && n > plan.at))
		m = plan.mode;
	if (m == FAULT_NONE)
		return m;
	plan.fired = true;
	if (m == FAULT_KILL)
		die();
	return m;
}

static bool fails(enum fault_mode m)
{
	if (m != FAULT_ONCE && m != FAULT_FROM)
		return false;
	errno = plan.sys;
	return true;
}

#define PATH_openat path
#define FD_openat dir
#define PATH_openat2 path
#define FD_openat2 dir
#define PATH_mkdirat path
#define FD_mkdirat dir
#define PATH_renameat b
#define FD_renameat to
#define PATH_renameat2 b
#define FD_renameat2 to
#define PATH_linkat b
#define FD_linkat to
#define PATH_unlinkat path
#define FD_unlinkat dir
#define PATH_fchmod NULL
#define FD_fchmod fd
#define PATH_fchmodat path
#define FD_fchmodat dir
#define PATH_fchownat path
#define FD_fchownat dir
#define PATH_utimensat path
#define FD_utimensat dir
#define PATH_symlinkat path
#define FD_symlinkat dir
#define PATH_mknodat path
#define FD_mknodat dir
#define PATH_fsetxattr name
#define FD_fsetxattr fd
#define PATH_removexattr path
#define FD_removexattr -1
#define PATH_setxattr path
#define FD_setxattr -1
#define PATH_ftruncate NULL
#define FD_ftruncate fd
#define PATH_fsync NULL
#define FD_fsync fd
#define PATH_fdatasync NULL
#define FD_fdatasync fd
#define PATH_syncfs NULL
#define FD_syncfs fd
#define REAL_openat(dir, path, flags, mode) syscall(SYS_openat, dir, path, flags, mode)
#define REAL_openat2(dir, path, how) openat2(dir, path, how)
#define REAL_mkdirat(dir, path, mode) syscall(SYS_mkdirat, dir, path, mode)
#define REAL_renameat(from, a, to, b) syscall(SYS_renameat, from, a, to, b)
#define REAL_renameat2(from, a, to, b, flags) syscall(SYS_renameat2, from, a, to, b, flags)
#define REAL_linkat(from, a, to, b, flags) syscall(SYS_linkat, from, a, to, b, flags)
#define REAL_unlinkat(dir, path, flags) syscall(SYS_unlinkat, dir, path, flags)
#define REAL_fchmod(fd, mode) syscall(SYS_fchmod, fd, mode)
#define REAL_fchmodat(dir, path, mode, flags)                                                      \
	((void)(flags), syscall(SYS_fchmodat, dir, path, mode))
#define REAL_fchownat(dir, path, uid, gid, flags) syscall(SYS_fchownat, dir, path, uid, gid, flags)
#define REAL_utimensat(dir, path, t, flags) syscall(SYS_utimensat, dir, path, t, flags)
#define REAL_symlinkat(target, dir, path) syscall(SYS_symlinkat, target, dir, path)
#define REAL_mknodat(dir, path, mode, dev) syscall(SYS_mknodat, dir, path, mode, dev)
#define REAL_fsetxattr(fd, name, p, n, flags) syscall(SYS_fsetxattr, fd, name, p, n, flags)
#define REAL_removexattr(path, name) syscall(SYS_removexattr, path, name)
#define REAL_setxattr(path, name, p, n, flags) syscall(SYS_setxattr, path, name, p, n, flags)
#define REAL_ftruncate(fd, size) syscall(SYS_ftruncate, fd, size)
#define REAL_fsync(fd) syscall(SYS_fsync, fd)
#define REAL_fdatasync(fd) syscall(SYS_fdatasync, fd)
#define REAL_syncfs(fd) syscall(SYS_syncfs, fd)
#define REAL_write(fd, p, n) syscall(SYS_write, fd, p, n)
#define REAL_pwrite(fd, p, n, at) syscall(SYS_pwrite64, fd, p, n, at)
#define REAL_pread(fd, p, n, at) syscall(SYS_pread64, fd, p, n, at)

#define X(result, name, params, args)                                                              \
	result sys_##name params                                                                   \
	{                                                                                          \
		enum fault_mode m = fault_step(#name, FD_##name, PATH_##name);                     \
		result r;                                                                          \
                                                                                                   \
		if (fails(m))                                                                      \
			return -1;                                                                 \
		r = (result)REAL_##name args;                                                      \
		if (m == FAULT_KILL_AFTER || m == FAULT_KILL_HALF)                                 \
			die();                                                                     \
		if (r >= 0)                                                                        \
			observed(#name, FD_##name);                                                \
		return r;                                                                          \
	}
SYS_CALLS(X)
#undef X

#define X(result, name, params, args)                                                              \
	result sys_##name params                                                                   \
	{                                                                                          \
		enum fault_mode m = fault_step(#name, fd, NULL);                                   \
		result r;                                                                          \
                                                                                                   \
		if (fails(m))                                                                      \
			return -1;                                                                 \
		if ((m == FAULT_SHORT || m == FAULT_KILL_HALF) && n > 1)                           \
			n /= 2;                                                                    \
		r = (result)REAL_##name args;                                                      \
		if (m == FAULT_KILL_AFTER || m == FAULT_KILL_HALF)                                 \
			die();                                                                     \
		if (r >= 0)                                                                        \
			observed(#name, fd);                                                       \
		return r;                                                                          \
	}
SYS_TRANSFERS(X)
#undef X

/*
 * LMDB calls these by their C library names.  Defined in the program they take precedence, and so its writes and
 * syncs are counted and failed like ours.  The labels keep _FILE_OFFSET_BITS from renaming them.
 */
ssize_t lmdb_pwrite(int fd, const void *p, size_t n, off_t at) __asm__("pwrite");
int lmdb_fdatasync(int fd) __asm__("fdatasync");
ssize_t lmdb_writev(int fd, const struct iovec *iov, int count) __asm__("writev");

ssize_t lmdb_pwrite(int fd, const void *p, size_t n, off_t at)
{
	return sys_pwrite(fd, p, n, at);
}

int lmdb_fdatasync(int fd)
{
	return sys_fdatasync(fd);
}

ssize_t lmdb_writev(int fd, const struct iovec *iov, int count)
{
	enum fault_mode m = fault_step("writev", fd, NULL);
	ssize_t r;

	if (fails(m))
		return -1;
	if ((m == FAULT_SHORT || m == FAULT_KILL_HALF) && count > 1)
		count /= 2;
	r = syscall(SYS_writev, fd, iov, count);
	if (m == FAULT_KILL_AFTER || m == FAULT_KILL_HALF)
		die();
	if (r >= 0)
		observed("writev", fd);
	return r;
}

static const struct {
	const char *name;
	enum fault_mode mode;
} modes[] = {
	{ "once", FAULT_ONCE },           { "from", FAULT_FROM },
	{ "kill", FAULT_KILL },           { "kill_after", FAULT_KILL_AFTER },
	{ "kill_half", FAULT_KILL_HALF }, { "short", FAULT_SHORT },
};

void fault_from_environment(void)
{
	const char *trace = getenv("BERTH_FAULT_TRACE"), *spec = getenv("BERTH_FAULT");
	unsigned long n;
	char name[16];
	int sys;

	if (trace)
		plan.trace_fd = (int)strtol(trace, NULL, 10);
	if (!spec || sscanf(spec, "%lu:%d:%15s", &n, &sys, name) != 3)
		return;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		if (strcmp(name, modes[i].name) == 0)
			fault_arm(n, sys, modes[i].mode);
	}
}
#endif
