/* Removal: of whole trees, and of what a layer hides. */
#include <errno.h>

#include "runtime/image/tree_impl.h"

#define DEPTH_MAX 2100 /* a path of 4,095 bytes has no more components */

struct removal {
	struct tree *t; /* NULL: everything goes */
	int dir;
	uint64_t dir_id;
	unsigned depth;
	bool kept; /* something is left */
};

static enum err_kind remove_entry(void *arg, const char *name, struct err *e);

static enum err_kind remove_dir(struct removal *up, const char *name, bool keep, struct err *e)
{
	AUTO_CLOSE fd = -1;
	struct removal down = { .t = up->t, .depth = up->depth + 1 };
	struct stat s;
	enum err_kind k;

	if (down.depth > DEPTH_MAX)
		return err_set(e, ERR_INVALID, __func__, "directories nested too deeply");
	k = fd_open_at(up->dir, name, O_RDONLY | O_DIRECTORY, 0, &fd, e);
	if (k == ERR_OK && fstat(fd, &s) < 0)
		return err_sys(e, __func__, "stat directory");
	if (k != ERR_OK)
		return k;
	down.dir = fd;
	down.dir_id = tree_id_of(&s);
	k = fd_list_dir(fd, ".", remove_entry, &down, e);
	up->kept = up->kept || keep || down.kept;
	if (k == ERR_OK && !keep && !down.kept && sys_unlinkat(up->dir, name, AT_REMOVEDIR) < 0)
		return err_sys(e, __func__, "remove directory \"%.100s\"", name);
	return k;
}

static enum err_kind remove_entry(void *arg, const char *name, struct err *e)
{
	struct removal *r = arg;
	struct stat s;
	bool keep = r->t && idset_has(&r->t->own, tree_name_key(r->t, r->dir_id, name));

	if (fstatat(r->dir, name, &s, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? ERR_OK : err_sys(e, __func__, "look at \"%.100s\"", name);
	if (S_ISDIR(s.st_mode))
		return remove_dir(r, name, keep, e);
	r->kept = r->kept || keep;
	if (!keep && sys_unlinkat(r->dir, name, 0) < 0)
		return err_sys(e, __func__, "remove \"%.100s\"", name);
	return ERR_OK;
}

enum err_kind tree_remove(int dir, const char *name, struct err *e)
{
	struct removal r = { .dir = dir };

	return remove_entry(&r, name, e);
}

/* mknodat(2) of 0:0 needs no privilege, not even in a user namespace. */
static enum err_kind make_whiteout(struct tree *t, const char *name, struct err *e)
{
	if (sys_mknodat(t->parent.fd, name, S_IFCHR, 0) < 0)
		return err_sys(e, __func__, "make a whiteout");
	return ERR_OK;
}

static enum err_kind set_opaque_at(struct tree *t, const char *name, struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k = fd_open_at(t->parent.fd, name, O_RDONLY | O_DIRECTORY, 0, &fd, e);

	return k == ERR_OK ? attr_set_opaque(t, fd, e) : k;
}

enum err_kind hide_name(struct tree *t, const char *name, struct err *e)
{
	struct removal r = { .t = t, .dir = t->parent.fd, .dir_id = t->parent.id };
	struct stat s;

	if (t->options.form == TREE_FLAT)
		return remove_entry(&r, name, e);
	if (!t->options.lowers)
		return ERR_OK; /* nothing is below */
	if (fstatat(t->parent.fd, name, &s, AT_SYMLINK_NOFOLLOW) == 0)
		return S_ISDIR(s.st_mode) ? set_opaque_at(t, name, e) : ERR_OK;
	return errno == ENOENT ? make_whiteout(t, name, e)
			       : err_sys(e, __func__, "look at what is hidden");
}

static enum err_kind hide_one(void *arg, const char *name, struct err *e)
{
	return hide_name(arg, name, e);
}

/* Overlayfs does not ask whether a layer's root is opaque, so there each name is hidden by itself. */
static enum err_kind hide_root(struct tree *t, struct err *e)
{
	const int *roots = NULL;
	size_t n = 0;
	enum err_kind k = t->options.lowers(t->options.arg, &roots, &n, e);

	for (size_t i = 0; k == ERR_OK && i < n; i++)
		k = fd_list_dir(roots[i], ".", hide_one, t, e);
	return k;
}

enum err_kind hide_all(struct tree *t, struct err *e)
{
	struct removal r = { .t = t, .dir = t->parent.fd, .dir_id = t->parent.id };

	if (t->options.form == TREE_FLAT)
		return fd_list_dir(t->parent.fd, ".", remove_entry, &r, e);
	if (!t->options.lowers)
		return ERR_OK;
	return t->parent.path_n == 0 ? hide_root(t, e) : set_opaque_at(t, ".", e);
}
