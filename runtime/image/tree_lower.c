/* What lower layers have, for a layer that is unpacked by itself and relies on them. */
#include <errno.h>

#include "runtime/image/tree_impl.h"

#define COPY_BYTES (1024u * 1024 * 1024)

enum sight {
	SIGHT_NOT_HERE, /* look further down */
	SIGHT_HIDDEN,   /* nothing further down counts */
	SIGHT_FOUND,
};

/* An opaque directory on the way hides what is further down, but not what is in the layer itself. */
static enum sight look_in(struct tree *t, int root, const char *dir, const char *name,
			  struct stat *ret)
{
	AUTO_CLOSE at = walk_beneath(root, "", O_RDONLY | O_DIRECTORY);
	struct str rest = str_of(dir), part;
	bool opaque = false;
	char comp[MEMBER_NAME_MAX + 1];

	while (at >= 0 && rest.n > 0) {
		int next;

		(void)str_cut(rest, '/', &part, &rest);
		(void)str_copy(part, comp, sizeof(comp));
		if (fstatat(at, comp, ret, AT_SYMLINK_NOFOLLOW) < 0)
			return opaque ? SIGHT_HIDDEN : SIGHT_NOT_HERE;
		if (!S_ISDIR(ret->st_mode))
			return SIGHT_HIDDEN;
		next = walk_beneath(at, comp, O_RDONLY | O_DIRECTORY);
		fd_close(&at);
		at = next;
		opaque = opaque || (at >= 0 && attr_is_opaque(t, at));
	}
	if (at < 0)
		return SIGHT_HIDDEN;
	if (fstatat(at, name, ret, AT_SYMLINK_NOFOLLOW) < 0)
		return opaque ? SIGHT_HIDDEN : SIGHT_NOT_HERE;
	return tree_is_whiteout(t, ret) ? SIGHT_HIDDEN : SIGHT_FOUND;
}

/* Has this layer closed the way down to dir? */
static bool is_closed(struct tree *t, const char *dir)
{
	char path[MEMBER_PATH_MAX];
	struct str rest = str_of(dir), part;

	while (rest.n > 0) {
		AUTO_CLOSE fd = -1;

		(void)str_cut(rest, '/', &part, &rest);
		(void)str_copy((struct str){ dir, (size_t)(part.p + part.n - dir) }, path,
			       sizeof(path));
		fd = walk_beneath(t->root_fd, path, O_RDONLY | O_DIRECTORY);
		if (fd >= 0 && attr_is_opaque(t, fd))
			return true;
	}
	return false;
}

enum err_kind lower_find(struct tree *t, const char *dir, const char *name, struct lower_found *ret,
			 struct err *e)
{
	const int *roots = NULL;
	size_t n = 0;
	enum err_kind k;

	*ret = (struct lower_found){ .root = -1 };
	if (is_closed(t, dir))
		return ERR_OK;
	k = t->options.lowers(t->options.arg, &roots, &n, e);
	for (size_t i = 0; k == ERR_OK && i < n; i++) {
		struct stat s;
		enum sight sight = look_in(t, roots[i], dir, name, &s);

		if (sight == SIGHT_FOUND)
			*ret = (struct lower_found){ .root = roots[i], .st = s };
		if (sight != SIGHT_NOT_HERE)
			break;
	}
	return k;
}

enum err_kind lower_copy_dir(struct tree *t, int lower_root, const char *path, int to,
			     struct err *e)
{
	AUTO_CLOSE from = walk_beneath(lower_root, path, O_RDONLY | O_DIRECTORY);
	struct stat s;
	enum err_kind k;

	if (from < 0 || fstat(from, &s) < 0)
		return err_sys(e, __func__, "open a lower layer's directory");
	k = attr_copy(t, from, to, e);
	return k == ERR_OK ? attr_note_times(t, path, &s.st_atim, &s.st_mtim, e) : k;
}

static enum err_kind copy_bytes(int from, int to, struct err *e)
{
	ssize_t n;

	do {
		n = copy_file_range(from, NULL, to, NULL, COPY_BYTES, 0);
		if (n < 0)
			return err_sys(e, __func__, "copy a lower layer's file");
	} while (n > 0);
	return ERR_OK;
}

enum err_kind lower_copy_file(struct tree *t, const struct lower_found *from, const char *dir,
			      int to_dir, const char *name, struct err *e)
{
	AUTO_CLOSE in = -1;
	AUTO_CLOSE out = -1;
	char path[MEMBER_PATH_MAX];
	enum err_kind k;

	if (!tree_join(path, dir, name))
		return err_set(e, ERR_INVALID, __func__, "a path longer than 4,095 bytes");
	in = walk_beneath(from->root, path, O_RDONLY);
	if (in < 0)
		return err_sys(e, __func__, "open a lower layer's file");
	k = fd_open_at(to_dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600, &out, e);
	if (k == ERR_OK)
		k = copy_bytes(in, out, e);
	if (k == ERR_OK)
		k = attr_copy(t, in, out, e);
	return k == ERR_OK ? attr_set_times(out, &from->st.st_atim, &from->st.st_mtim, "copy", e)
			   : k;
}

/* Overlayfs shows the topmost layer's root: one that says nothing of it passes on what is below. */
enum err_kind lower_copy_root(struct tree *t, struct err *e)
{
	AUTO_CLOSE root = -1;
	const int *roots = NULL;
	size_t n = 0;
	enum err_kind k = ERR_OK;

	if (t->options.lowers)
		k = t->options.lowers(t->options.arg, &roots, &n, e);
	if (k != ERR_OK || n == 0)
		return k;
	k = fd_open_at(t->root_fd, ".", O_RDONLY | O_DIRECTORY, 0, &root, e);
	return k == ERR_OK ? lower_copy_dir(t, roots[0], "", root, e) : k;
}
