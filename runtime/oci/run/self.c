#include "runtime/oci/run/self.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/statvfs.h>

#include "base/fd.h"

#define SELF "/proc/self/exe"
#define MARK "_BERTH_RUNTIME_EXE" /* path of the file that was started */
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define HELPER "berth-runtime-systemd"

#ifndef BERTH_LIBEXEC
#define BERTH_LIBEXEC "/usr/local/libexec/berth"
#endif

extern char **environ;

/* The mark alone proves nothing: a caller could have set it. */
static bool is_protected(void)
{
	AUTO_CLOSE fd = -1;
	struct statvfs fs;

	if (!getenv(MARK) || statvfs(SELF, &fs) < 0)
		return false;
	if (fs.f_flag & ST_RDONLY)
		return true;
	fd = open(SELF, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && fcntl(fd, F_GET_SEALS) == SEALS;
}

/* An overlay of the directory without an upper layer; the kernel wants two lower ones, and any other will do. */
static int overlay_of(int dir)
{
	AUTO_CLOSE fs = fsopen("overlay", FSOPEN_CLOEXEC);
	char layers[64];

	(void)snprintf(layers, sizeof(layers), "/proc/self/fd/%d:/sys/kernel", dir);
	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir", layers, 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY);
}

static bool is_self(int dir, const char *name)
{
	struct stat own, found;

	return stat(SELF, &own) == 0 && fstatat(dir, name, &found, AT_SYMLINK_NOFOLLOW) == 0 &&
	       own.st_dev == found.st_dev && own.st_ino == found.st_ino;
}

/*
 * Our file by way of a file system that has no writers, in no mount namespace.  Not a read-only mount of its own: there
 * an attempt to write to it, though refused, keeps others from executing it while it lasts ("Text file busy").
 */
static int overlaid(const char *path)
{
	const char *slash = strrchr(path, '/');
	char top[4096];
	AUTO_CLOSE dir = -1;
	AUTO_CLOSE mount = -1;

	if (!slash)
		return -1;
	(void)snprintf(top, sizeof(top), "%.*s/", (int)(slash - path), path);
	dir = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || !is_self(dir, slash + 1))
		return -1;
	mount = overlay_of(dir);
	return mount < 0 ? -1 : openat(mount, slash + 1, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

static int sealed_copy(void)
{
	AUTO_CLOSE from = open(SELF, O_RDONLY | O_CLOEXEC);
	AUTO_CLOSE to = memfd_create("berth-runtime", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct stat st;
	off_t at = 0;

	if (from < 0 || to < 0 || fstat(from, &st) < 0)
		return -errno;
	while (at < st.st_size) {
		if (sendfile(to, from, &at, (size_t)(st.st_size - at)) <= 0 && errno != EINTR)
			return -errno;
	}
	if (fchmod(to, 0500) < 0 || fcntl(to, F_ADD_SEALS, SEALS) < 0)
		return -errno;
	return TAKE_FD(to);
}

enum err_kind self_protect(char **argv, struct err *e)
{
	char path[4096];
	ssize_t n;
	int fd;

	if (is_protected())
		return ERR_OK;
	n = readlink(SELF, path, sizeof(path) - 1);
	if (n < 0)
		return err_sys(e, __func__, "read " SELF);
	path[n] = '\0';
	if (setenv(MARK, path, 1) < 0)
		return err_sys(e, __func__, "set " MARK);
	fd = overlaid(path);
	if (fd >= 0)
		(void)execveat(fd, "", argv, environ, AT_EMPTY_PATH);
	fd = sealed_copy();
	if (fd >= 0)
		(void)execveat(fd, "", argv, environ, AT_EMPTY_PATH);
	else
		errno = -fd;
	return err_sys(e, __func__, "protect the runtime's own binary");
}

const char *self_helper_path(struct arena *a)
{
	char own[4096] = "";
	const char *path = getenv(MARK), *slash;
	char *beside;

	if (!path && readlink(SELF, own, sizeof(own) - 1) > 0)
		path = own;
	slash = path ? strrchr(path, '/') : NULL;
	if (slash) {
		beside = arena_printf(a, "%.*s/" HELPER, (int)(slash - path), path);
		if (beside && access(beside, X_OK) == 0)
			return beside;
	}
	return BERTH_LIBEXEC "/" HELPER;
}
