#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/file.h>

void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd); /* nothing is lost: what must last was synced before */
	*fd = -1;
	errno = saved;
}

enum err_kind fd_write_all(int fd, const void *p, size_t n, const char *what, struct err *e)
{
	const char *at = p;

	while (n) {
		ssize_t r = sys_write(fd, at, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_sys(e, __func__, "write %s", what);
		at += r;
		n -= (size_t)r;
	}
	return ERR_OK;
}

enum err_kind fd_pwrite_all(int fd, const void *p, size_t n, uint64_t at, const char *what,
			    struct err *e)
{
	const char *from = p;

	while (n) {
		ssize_t r = sys_pwrite(fd, from, n, (off_t)at);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_sys(e, __func__, "write %s", what);
		from += r;
		at += (uint64_t)r;
		n -= (size_t)r;
	}
	return ERR_OK;
}

enum err_kind fd_pread_exact(int fd, void *p, size_t n, uint64_t at, const char *what,
			     struct err *e)
{
	char *to = p;

	while (n) {
		ssize_t r = sys_pread(fd, to, n, (off_t)at);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_sys(e, __func__, "read %s", what);
		if (r == 0)
			return err_set(e, ERR_CORRUPT, __func__, "%s ends %zu bytes early", what,
				       n);
		to += r;
		at += (uint64_t)r;
		n -= (size_t)r;
	}
	return ERR_OK;
}

enum err_kind fd_read_file(int dir, const char *name, struct sbuf *b, struct err *e)
{
	AUTO_CLOSE fd = -1;
	struct stat st;
	enum err_kind k = fd_open_at(dir, name, O_RDONLY, 0, &fd, e);

	if (k != ERR_OK)
		return k;
	if (fstat(fd, &st) < 0)
		return err_sys(e, __func__, "stat %s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_CORRUPT, __func__, "%s is not a regular file", name);
	if ((uint64_t)st.st_size > b->max - b->n)
		return err_set(e, ERR_TOO_LARGE, __func__, "%s has %lld bytes, more than %zu", name,
			       (long long)st.st_size, b->max);
	if (!sbuf_reserve(b, (size_t)st.st_size))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for %s", name);
	k = fd_pread_exact(fd, b->p + b->n, (size_t)st.st_size, 0, name, e);
	if (k != ERR_OK)
		return k;
	b->n += (size_t)st.st_size;
	b->p[b->n] = '\0';
	return ERR_OK;
}

enum err_kind fd_read_path(const char *path, struct sbuf *b, struct err *e)
{
	AUTO_FREE char *real = realpath(path, NULL);

	if (!real)
		return err_sys(e, __func__, "find %.150s", path);
	return fd_read_file(AT_FDCWD, real, b, e);
}

/* Of the file that is replaced, or else, for root, of the directory: who reads it may be somebody else than we are. */
static int keep_owner(int dir, const char *name, int fd)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
	    (geteuid() != 0 || fstat(dir, &st) < 0))
		return 0;
	if (st.st_uid == geteuid() && st.st_gid == getegid())
		return 0;
	return fchown(fd, st.st_uid, st.st_gid);
}

enum err_kind fd_read_rest(int fd, struct sbuf *b, const char *what, struct err *e)
{
	char chunk[4096];

	for (;;) {
		ssize_t r = read(fd, chunk, sizeof(chunk));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_sys(e, __func__, "read %s", what);
		if (r == 0)
			break;
		sbuf_add(b, chunk, (size_t)r);
		if (b->failed)
			return err_set(e, ERR_TOO_LARGE, __func__, "%s has more than %zu bytes",
				       what, b->max);
	}
	return sbuf_reserve(b, 0) ? ERR_OK : err_set(e, ERR_NO_MEMORY, __func__, "%s", what);
}

static enum err_kind put_file(int dir, const char *name, struct str bytes, mode_t mode, bool sync,
			      struct err *e)
{
	AUTO_CLOSE fd = -1;
	char new_name[NAME_MAX + 1];
	enum err_kind k;

	if (snprintf(new_name, sizeof(new_name), "%s.new", name) >= (int)sizeof(new_name))
		return err_set(e, ERR_INVALID, __func__, "the name %.100s is too long", name);
	k = fd_open_at(dir, new_name, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, e);
	if (k == ERR_OK)
		k = fd_write_all(fd, bytes.p, bytes.n, new_name, e);
	if (k == ERR_OK && (keep_owner(dir, name, fd) < 0 || sys_fchmod(fd, mode) < 0 ||
			    (sync && sys_fsync(fd) < 0)))
		k = err_sys(e, __func__, "write %s", new_name);
	if (k == ERR_OK && sys_renameat(dir, new_name, dir, name) < 0)
		k = err_sys(e, __func__, "rename %s", new_name);
	if (k != ERR_OK)
		(void)sys_unlinkat(dir, new_name, 0);
	return k;
}

enum err_kind fd_replace_file(int dir, const char *name, struct str bytes, mode_t mode,
			      struct err *e)
{
	enum err_kind k = put_file(dir, name, bytes, mode, true, e);

	return k == ERR_OK ? fd_sync_dir(dir, ".", e) : k;
}

enum err_kind fd_swap_file(int dir, const char *name, struct str bytes, mode_t mode, struct err *e)
{
	return put_file(dir, name, bytes, mode, false, e);
}

enum err_kind fd_lock(int fd, const char *what, struct err *e)
{
	while (flock(fd, LOCK_EX) < 0) {
		if (errno != EINTR)
			return err_sys(e, __func__, "lock %s", what);
	}
	return ERR_OK;
}

enum err_kind fd_open_at(int dir, const char *name, int flags, mode_t mode, int *ret, struct err *e)
{
	int fd;

	do
		fd = sys_openat(dir, name, flags | O_CLOEXEC | O_NOFOLLOW, mode);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return err_sys(e, __func__, "open %s", name);
	*ret = fd;
	return ERR_OK;
}

enum err_kind fd_mkdir_at(int dir, const char *name, mode_t mode, struct err *e)
{
	if (sys_mkdirat(dir, name, mode) < 0 && errno != EEXIST)
		return err_sys(e, __func__, "make directory %s", name);
	return ERR_OK;
}

static enum err_kind make_each(char *path, mode_t mode, struct err *e)
{
	for (char *at = path + 1;; at++) {
		char c = *at;

		if (c != '/' && c != '\0')
			continue;
		*at = '\0';
		if (sys_mkdirat(AT_FDCWD, path, mode) < 0 && errno != EEXIST)
			return err_sys(e, __func__, "make %s", path);
		*at = c;
		if (!c)
			return ERR_OK;
	}
}

enum err_kind fd_make_path(const char *path, mode_t mode, int *ret, struct err *e)
{
	AUTO_FREE char *copy = strdup(path);
	enum err_kind k = copy && *copy ? make_each(copy, mode, e)
					: err_set(e, ERR_INVALID, __func__, "a path is needed");

	if (k != ERR_OK)
		return k;
	*ret = sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	return *ret < 0 ? err_sys(e, __func__, "open %s", path) : ERR_OK;
}

enum err_kind fd_list_dir(int dir, const char *name, fd_name_fn *fn, void *arg, struct err *e)
{
	AUTO_CLOSE fd = -1;
	struct dirent *entry;
	DIR *d;
	enum err_kind k = fd_open_at(dir, name, O_RDONLY | O_DIRECTORY, 0, &fd, e);

	if (k != ERR_OK)
		return k;
	d = fdopendir(fd);
	if (!d)
		return err_sys(e, __func__, "list directory %s", name);
	(void)TAKE_FD(fd); /* closedir closes it */
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone */
	for (errno = 0; k == ERR_OK && (entry = readdir(d)) != NULL; errno = 0) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			k = fn(arg, entry->d_name, e);
	}
	if (k == ERR_OK && errno)
		k = err_sys(e, __func__, "list directory %s", name);
	(void)closedir(d);
	return k;
}

enum err_kind fd_sync_dir(int dir, const char *name, struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k = fd_open_at(dir, name, O_RDONLY | O_DIRECTORY, 0, &fd, e);

	if (k != ERR_OK)
		return k;
	if (sys_fsync(fd) < 0)
		return err_sys(e, __func__, "fsync directory %s", name);
	return ERR_OK;
}
