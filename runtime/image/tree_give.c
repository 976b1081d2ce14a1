#include <errno.h>

#include "runtime/image/tree.h"

#define DEPTH_MAX 512

struct giving {
	int dir;
	uid_t uid;
	gid_t gid;
	unsigned depth;
};

static enum err_kind give_below(const struct giving *g, struct err *e);

/* What is gone meanwhile is nobody's. */
static enum err_kind give_entry(void *arg, const char *name, struct err *e)
{
	const struct giving *g = arg;
	struct giving below = { .dir = -1, .uid = g->uid, .gid = g->gid, .depth = g->depth + 1 };
	AUTO_CLOSE fd = -1;
	struct stat s;

	if (sys_fchownat(g->dir, name, g->uid, g->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fstatat(g->dir, name, &s, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? ERR_OK
				       : err_sys(e, __func__, "give away \"%.100s\"", name);
	if (!S_ISDIR(s.st_mode))
		return ERR_OK;
	fd = sys_openat(g->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
			   ? ERR_OK
			   : err_sys(e, __func__, "open \"%.100s\"", name);
	below.dir = fd;
	return give_below(&below, e);
}

static enum err_kind give_below(const struct giving *g, struct err *e)
{
	if (g->depth > DEPTH_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "more than %d directories deep",
			       DEPTH_MAX);
	return fd_list_dir(g->dir, ".", give_entry, (void *)(uintptr_t)g, e);
}

enum err_kind tree_give(int dir, uid_t uid, gid_t gid, struct err *e)
{
	struct giving g = { .dir = dir, .uid = uid, .gid = gid };

	if (sys_fchownat(dir, "", uid, gid, AT_EMPTY_PATH) < 0)
		return err_sys(e, __func__, "give away a directory");
	return give_below(&g, e);
}
