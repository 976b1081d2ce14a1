/* tmpcopyup: what was at a mount point before a tmpfs covers it. */
#include <dirent.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "runtime/oci/init/init.h"
#include "runtime/oci/init/kernel.h"

#define DEPTH_MAX 64
#define COPY_CHUNK (1u << 30)

static int copy_attributes(int from, int to, const struct stat *st)
{
	const struct timespec times[] = { st->st_atim, st->st_mtim };
	char names[4096], value[4096];
	ssize_t n = flistxattr(from, names, sizeof(names));

	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(names + i) + 1) {
		ssize_t size = fgetxattr(from, names + i, value, sizeof(value));

		if (size >= 0)
			(void)fsetxattr(to, names + i, value, (size_t)size,
					0); /* tmpfs takes some only */
	}
	if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
		return -errno;
	return NEG_ERRNO(futimens(to, times));
}

static int copy_file(int from_dir, int to_dir, const char *name)
{
	int from =
	    NEG_ERRNO(openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
	int to, r = 0;
	struct stat st;

	if (from < 0)
		return from;
	to = NEG_ERRNO(openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
	if (to < 0) {
		(void)close(from);
		return to;
	}
	if (fstat(from, &st) < 0)
		r = -errno;
	while (r == 0) {
		ssize_t n = sendfile(to, from, NULL, COPY_CHUNK);

		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			r = -errno;
	}
	if (r == 0)
		r = copy_attributes(from, to, &st);
	(void)close(from);
	(void)close(to);
	return r;
}

static int copy_link(int from, int to, const char *name, const struct stat *st)
{
	char text[4096];
	ssize_t n = readlinkat(from, name, text, sizeof(text) - 1);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	if (symlinkat(text, to, name) < 0)
		return -errno;
	return NEG_ERRNO(fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW));
}

static int copy_node(int to, const char *name, const struct stat *st)
{
	if (mknodat(to, name, st->st_mode, st->st_rdev) < 0)
		return -errno;
	return NEG_ERRNO(fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW));
}

static int copy_directory(int from, int to, unsigned depth);

static int copy_subdirectory(int from_dir, int to_dir, const char *name, unsigned depth)
{
	int from =
	    NEG_ERRNO(openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
	int to, r;

	if (from < 0)
		return from;
	r = NEG_ERRNO(mkdirat(to_dir, name, 0700));
	to = r < 0
		 ? r
		 : NEG_ERRNO(openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
	r = to < 0 ? to : copy_directory(from, to, depth);
	(void)close(from);
	if (to >= 0)
		(void)close(to);
	return r;
}

static int copy_entry(int from, int to, const char *name, unsigned depth)
{
	struct stat st;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return 0;
	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return copy_subdirectory(from, to, name, depth + 1);
	if (S_ISREG(st.st_mode))
		return copy_file(from, to, name);
	if (S_ISLNK(st.st_mode))
		return copy_link(from, to, name, &st);
	return copy_node(to, name, &st);
}

static int copy_directory(int from, int to, unsigned depth)
{
	_Alignas(struct dirent64) char buf[2048];
	struct stat st;
	ssize_t n;

	if (depth > DEPTH_MAX)
		return -ELOOP;
	while ((n = getdents64(from, buf, sizeof(buf))) > 0) {
		for (ssize_t at = 0; at < n;) {
			struct dirent64 *entry = (struct dirent64 *)(void *)(buf + at);
			int r = copy_entry(from, to, entry->d_name, depth);

			if (r < 0)
				return r;
			at += entry->d_reclen;
		}
	}
	if (n < 0 || fstat(from, &st) < 0)
		return -errno;
	return copy_attributes(from, to, &st);
}

int init_copy_up(int from, int to)
{
	return copy_directory(from, to, 0);
}
