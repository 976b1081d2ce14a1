#include "runtime/oci/run/self.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/statvfs.h>

#include "base/fd.h"
#include "runtime/oci/init/tree.h"

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

/* No name, no writer, no way to remount: it is in no mount namespace. */
static int read_only_mount(void)
{
	int fd = tree_clone(AT_FDCWD, SELF, false), r;

	if (fd < 0)
		return fd;
	r = tree_set(fd, MOUNT_ATTR_RDONLY, 0, false);
	if (r == 0)
		return fd;
	fd_close(&fd);
	return r;
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
	fd = read_only_mount();
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
