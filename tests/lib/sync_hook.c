#include "tests/lib/sync_hook.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
	_Atomic unsigned count, at; /* at: the count that is meant, 0 for none */
	int sys;
	void (*fn)(void *arg);
	void *arg;
	_Atomic bool fired;
	_Atomic int fs_sys;
	_Atomic unsigned fs_count;
} hook;

void sync_fail(unsigned n, int sys_errno)
{
	hook.sys = sys_errno;
	hook.fn = NULL;
	hook.fired = false;
	hook.at = hook.count + n;
}

void sync_call(unsigned n, void (*fn)(void *arg), void *arg)
{
	hook.sys = 0;
	hook.fn = fn;
	hook.arg = arg;
	hook.fired = false;
	hook.at = hook.count + n;
}

bool sync_reset(void)
{
	hook.at = 0;
	return hook.fired;
}

unsigned sync_count(void)
{
	return hook.count;
}

static int sync_with(long call, int fd)
{
	if (++hook.count == hook.at) {
		int sys = hook.sys; /* fn may ask for the next one */

		hook.fired = true;
		if (hook.fn)
			hook.fn(hook.arg);
		if (sys) {
			errno = sys;
			return -1;
		}
	}
	return (int)syscall(call, fd);
}

int fsync(int fd)
{
	return sync_with(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return sync_with(SYS_fdatasync, fd);
}

void sync_fail_fs(int sys_errno)
{
	hook.fs_sys = sys_errno;
}

unsigned sync_count_fs(void)
{
	return hook.fs_count;
}

int syncfs(int fd)
{
	hook.fs_count++;
	errno = hook.fs_sys;
	return hook.fs_sys ? -1 : (int)syscall(SYS_syncfs, fd);
}
