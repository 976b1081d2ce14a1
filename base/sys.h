/*
 * sys - the system calls by which berth changes a disk or makes a descriptor.
 *
 * Y1  storage/ and runtime/image/ make these calls only through here, so that tests can fail, cut or kill at each of
 *     them.
 * Y2  Without BERTH_FAULT each is the plain call, inlined.  With it (make MODE=fault) calls are counted,
 *     traced, and the n'th is made to fail; calls that LMDB makes by itself count as well.
 * Threads  the plain calls; the fault plan is process-wide, set before threads start.
 */
#pragma once

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/compiler.h"

/* X(result, name, parameters, arguments) */
#define SYS_CALLS(X)                                                                               \
	X(int, openat, (int dir, const char *path, int flags, mode_t mode),                        \
	  (dir, path, flags, mode))                                                                \
	X(int, openat2, (int dir, const char *path, const struct open_how *how), (dir, path, how)) \
	X(int, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode))               \
	X(int, renameat, (int from, const char *a, int to, const char *b), (from, a, to, b))       \
	X(int, renameat2, (int from, const char *a, int to, const char *b, unsigned flags),        \
	  (from, a, to, b, flags))                                                                 \
	X(int, linkat, (int from, const char *a, int to, const char *b, int flags),                \
	  (from, a, to, b, flags))                                                                 \
	X(int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags))               \
	X(int, fchmod, (int fd, mode_t mode), (fd, mode))                                          \
	X(int, fchmodat, (int dir, const char *path, mode_t mode, int flags),                      \
	  (dir, path, mode, flags))                                                                \
	X(int, fchownat, (int dir, const char *path, uid_t uid, gid_t gid, int flags),             \
	  (dir, path, uid, gid, flags))                                                            \
	X(int, utimensat, (int dir, const char *path, const struct timespec t[2], int flags),      \
	  (dir, path, t, flags))                                                                   \
	X(int, symlinkat, (const char *target, int dir, const char *path), (target, dir, path))    \
	X(int, mknodat, (int dir, const char *path, mode_t mode, dev_t dev),                       \
	  (dir, path, mode, dev))                                                                  \
	X(int, fsetxattr, (int fd, const char *name, const void *p, size_t n, int flags),          \
	  (fd, name, p, n, flags))                                                                 \
	X(int, removexattr, (const char *path, const char *name), (path, name))                    \
	X(int, setxattr, (const char *path, const char *name, const void *p, size_t n, int flags), \
	  (path, name, p, n, flags))                                                               \
	X(int, ftruncate, (int fd, off_t size), (fd, size))                                        \
	X(int, fsync, (int fd), (fd))                                                              \
	X(int, fdatasync, (int fd), (fd))                                                          \
	X(int, syncfs, (int fd), (fd))

/* The same, for calls that may do a part of the work. */
#define SYS_TRANSFERS(X)                                                                           \
	X(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))                           \
	X(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at))            \
	X(ssize_t, pread, (int fd, void *p, size_t n, off_t at), (fd, p, n, at))

/* The C library of Debian 12 has no wrapper for it. */
#define openat2(dir, path, how) ((int)syscall(SYS_openat2, dir, path, how, sizeof(*(how))))

#ifdef BERTH_FAULT
#define X(result, name, params, args) result sys_##name params;
#else
#define X(result, name, params, args)                                                              \
	static inline result sys_##name params                                                     \
	{                                                                                          \
		return name args;                                                                  \
	}
#endif
SYS_CALLS(X)
SYS_TRANSFERS(X)
#undef X

#ifdef BERTH_FAULT
#include <stdbool.h>

enum fault_mode {
	FAULT_NONE,
	FAULT_ONCE,       /* the n'th call fails with the errno */
	FAULT_FROM,       /* the n'th and all later ones */
	FAULT_KILL,       /* SIGKILL to ourselves before the n'th call */
	FAULT_KILL_AFTER, /* SIGKILL right after it */
	FAULT_KILL_HALF,  /* half of the n'th transfer, then SIGKILL */
	FAULT_SHORT,      /* the n'th transfer moves half of its bytes */
};

/* Counting starts at 1 with the next call.  sys_errno is ignored by the kill modes and FAULT_SHORT. */
void fault_arm(unsigned long n, int sys_errno, enum fault_mode mode);
/* Stops the plan; true if it was reached. */
bool fault_disarm(void);
unsigned long fault_count(void); /* calls since fault_arm */

/* Called after each call that succeeded; calls that it makes itself are neither counted nor told.  NULL ends it. */
typedef void fault_observer(const char *call, int fd);
void fault_observe(fault_observer *fn);

/*
 * Takes a plan from BERTH_FAULT="N:ERRNO:MODE" (mode as the enum in lower case: once from kill kill_after
 * kill_half short) and writes one line a call to the descriptor in BERTH_FAULT_TRACE.
 */
void fault_from_environment(void);
#endif
