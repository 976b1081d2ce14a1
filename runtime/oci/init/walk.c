#include "runtime/oci/init/walk.h"

#include <sys/stat.h>

#include "runtime/oci/init/kernel.h"
#include "runtime/oci/init/note.h"

#define DEPTH_MAX 128
#define LINKS_MAX 40
#define PATH_BYTES 4096
#define AGAIN_MAX 32 /* EAGAIN of openat2: something above was renamed meanwhile */

/* Directories from the root to where the walk stands: ".." goes back along them, not up the disk. */
struct walk {
	int root;
	int fds[DEPTH_MAX];
	size_t depth;
	unsigned links;
	char rest[PATH_BYTES]; /* what is still to be walked, from `at` on */
	size_t at;
};

static int top(const struct walk *w)
{
	return w->depth ? w->fds[w->depth - 1] : w->root;
}

static void pop(struct walk *w)
{
	if (w->depth)
		(void)close(w->fds[--w->depth]);
}

static void pop_all(struct walk *w)
{
	while (w->depth)
		pop(w);
}

/* Cuts the next component off w->rest; its end is marked by NUL, *last tells whether anything follows. */
static char *next_component(struct walk *w, bool *last)
{
	char *start;

	while (w->rest[w->at] == '/')
		w->at++;
	start = w->rest + w->at;
	while (w->rest[w->at] && w->rest[w->at] != '/')
		w->at++;
	while (w->rest[w->at] == '/')
		w->rest[w->at++] = '\0';
	*last = w->rest[w->at] == '\0';
	return start;
}

/* Puts the link's text in front of the rest. */
static int follow(struct walk *w, int link)
{
	char text[PATH_BYTES];
	ssize_t n = readlinkat(link, "", text, sizeof(text) - 1);
	size_t rest = strlen(w->rest + w->at);

	if (n < 0)
		return -errno;
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	if ((size_t)n + rest + 2 > sizeof(w->rest))
		return -ENAMETOOLONG;
	if (text[0] == '/')
		pop_all(w);
	memmove(w->rest + n + 1, w->rest + w->at, rest + 1);
	memcpy(w->rest, text, (size_t)n);
	w->rest[n] = '/';
	w->at = 0;
	return 0;
}

static int make_one(int dir, const char *name, bool is_dir)
{
	int fd;

	if (is_dir)
		return mkdirat(dir, name, 0755) < 0 && errno != EEXIST ? -errno : 0;
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return errno == EEXIST ? 0 : -errno;
	(void)close(fd);
	return 0;
}

/* Opens one component with O_PATH, without following it, making it if asked to. */
static int open_one(const struct walk *w, const char *name, bool make, bool is_dir)
{
	int fd = NEG_ERRNO(openat(top(w), name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
	int r;

	if (fd != -ENOENT || !make)
		return fd;
	r = make_one(top(w), name, is_dir);
	return r < 0 ? r : NEG_ERRNO(openat(top(w), name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
}

static int is_link(int fd, bool *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = S_ISLNK(st.st_mode);
	return 0;
}

static int step(struct walk *w, bool make, enum walk_make what, bool nofollow)
{
	bool last, link = false;
	const char *name = next_component(w, &last);
	int fd, r;

	if (!*name || strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0) {
		pop(w);
		return 0;
	}
	fd = open_one(w, name, make, !last || what == WALK_MAKE_DIR);
	if (fd < 0)
		return fd;
	r = is_link(fd, &link);
	if (r == 0 && link && !(last && nofollow)) {
		r = follow(w, fd);
		(void)close(fd);
		return r;
	}
	if (r == 0 && w->depth == DEPTH_MAX)
		r = -ENAMETOOLONG;
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	w->fds[w->depth++] = fd;
	return 0;
}

/* O_PATH on what the path names. */
static int walk(int root, const char *path, bool make, enum walk_make what, bool nofollow)
{
	struct walk w = { .root = root };
	size_t n = strlen(path);
	int r = 0, fd;

	if (n >= sizeof(w.rest))
		return -ENAMETOOLONG;
	memcpy(w.rest, path, n + 1);
	while (r == 0 && w.rest[w.at])
		r = step(&w, make, what, nofollow);
	if (r < 0) {
		pop_all(&w);
		return r;
	}
	if (w.depth == 0)
		return NEG_ERRNO(fcntl(root, F_DUPFD_CLOEXEC, 3));
	fd = w.fds[--w.depth];
	pop_all(&w);
	return fd;
}

/* Opens what an O_PATH descriptor stands for. */
static int reopen(int fd, int flags)
{
	struct stat st;
	char path[FD_PATH_MAX];

	if (fstat(fd, &st) < 0 || S_ISLNK(st.st_mode))
		return -ELOOP;
	return NEG_ERRNO(open(fd_path(fd, path), (flags & ~O_NOFOLLOW) | O_CLOEXEC));
}

int walk_open(int root, const char *path, int flags)
{
	int r = -EAGAIN, fd;

	for (unsigned i = 0; i < AGAIN_MAX && (r == -EAGAIN || r == -EINTR); i++)
		r = k_openat2(root, path, (uint64_t)(unsigned)flags, 0, RESOLVE_IN_ROOT);
	if (r != -ENOSYS && r != -EPERM && r != -EAGAIN)
		return r;
	fd = walk(root, path, false, WALK_MAKE_DIR, (flags & O_NOFOLLOW) != 0);
	if (fd < 0 || (flags & O_PATH))
		return fd;
	r = reopen(fd, flags);
	(void)close(fd);
	return r;
}

int walk_make(int root, const char *path, enum walk_make what)
{
	int fd = walk_open(root, path, O_PATH);

	return fd == -ENOENT ? walk(root, path, true, what, false) : fd;
}

int walk_parent(int root, const char *path, const char **name, char dir[static PATH_BYTES])
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	*name = slash ? slash + 1 : path;
	if (n >= PATH_BYTES)
		return -ENAMETOOLONG;
	if (!**name || strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0)
		return -EINVAL;
	memcpy(dir, path, n);
	dir[n] = '\0';
	return n ? walk_make(root, dir, WALK_MAKE_DIR) : NEG_ERRNO(fcntl(root, F_DUPFD_CLOEXEC, 3));
}
