/*
 * kernel - system calls that the C library lacks, or wraps in more than the call.
 *
 * Everything here may be used between clone and exec: no memory, no locks, one system call each.
 * A result is 0 or a descriptor, or the negative errno.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/compiler.h"

/* The result of a call that reports through errno. */
#define NEG_ERRNO(call)                                                                            \
	({                                                                                         \
		long neg_errno_ = (long)(call);                                                    \
		neg_errno_ < 0 ? -errno : (int)neg_errno_;                                         \
	})

static inline int k_openat2(int dir, const char *path, uint64_t flags, uint64_t mode,
			    uint64_t resolve)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve };

	return NEG_ERRNO(syscall(SYS_openat2, dir, path, &how, sizeof(how)));
}

/* As fork: the child runs on a copy of the caller's memory and stack. */
static inline pid_t k_clone(struct clone_args *args)
{
	return NEG_ERRNO(syscall(SYS_clone3, args, sizeof(*args)));
}

static inline int k_pidfd_open(pid_t pid)
{
	return NEG_ERRNO(syscall(SYS_pidfd_open, pid, 0));
}

static inline int k_pidfd_signal(int pidfd, int sig)
{
	return NEG_ERRNO(syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0));
}

static inline int k_pivot_root(const char *new_root, const char *put_old)
{
	return NEG_ERRNO(syscall(SYS_pivot_root, new_root, put_old));
}

/* Of the calling thread only; the C library's own would tell other threads. */
static inline int k_setresuid(uid_t id)
{
	return NEG_ERRNO(syscall(SYS_setresuid, id, id, id));
}

static inline int k_setresgid(gid_t id)
{
	return NEG_ERRNO(syscall(SYS_setresgid, id, id, id));
}

static inline int k_setgroups(size_t n, const gid_t *groups)
{
	return NEG_ERRNO(syscall(SYS_setgroups, n, groups));
}
