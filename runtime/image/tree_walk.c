/* From a path in the container's sight to a directory of the tree. */
#include <errno.h>
#include <limits.h>
#include <sys/syscall.h>

#include "runtime/image/tree_impl.h"

#define LINKS_MAX 40 /* as the kernel */
#define AGAIN_MAX 64 /* EAGAIN of openat2: something was renamed meanwhile, anywhere */

static int open_how(int dir, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = { .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
				.resolve = resolve };
	int fd;

	for (unsigned i = 0; i < AGAIN_MAX; i++) {
		fd = sys_openat2(dir, *path ? path : ".", &how);
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			return fd;
	}
	return fd;
}

int walk_beneath(int root, const char *path, int flags)
{
	return open_how(root, path, flags | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

static int open_in_root(const struct tree *t, const char *path)
{
	uint64_t more = t->options.form == TREE_COPY ? RESOLVE_NO_MAGICLINKS : RESOLVE_NO_XDEV;

	return open_how(t->root_fd, path, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT | more);
}

/* The way through a path, component by component; what is before it is free of links. */
struct walk {
	struct tree *t;
	enum walk_how how;
	unsigned links;
	size_t n;
	char canon[MEMBER_PATH_MAX];
	size_t todo_n;
	char todo[2 * MEMBER_PATH_MAX];
};

static enum err_kind too_long(struct err *e)
{
	return err_set(e, ERR_INVALID, __func__, "links make a path longer than 4,095 bytes");
}

static bool canon_push(struct walk *w, struct str name)
{
	if (w->n + (w->n > 0) + name.n >= sizeof(w->canon))
		return false;
	if (w->n > 0)
		w->canon[w->n++] = '/';
	memcpy(w->canon + w->n, name.p, name.n);
	w->n += name.n;
	w->canon[w->n] = '\0';
	return true;
}

static void canon_pop(struct walk *w)
{
	while (w->n > 0 && w->canon[w->n - 1] != '/')
		w->n--;
	if (w->n > 0)
		w->n--;
	w->canon[w->n] = '\0';
}

static bool todo_next(struct walk *w, char name[static MEMBER_NAME_MAX + 1], bool *ret_ok)
{
	struct str part, rest = { w->todo, w->todo_n };

	*ret_ok = true;
	do {
		if (rest.n == 0)
			return false;
		(void)str_cut(rest, '/', &part, &rest);
	} while (part.n == 0 || str_eq(part, STR(".")));
	*ret_ok = str_copy(part, name, MEMBER_NAME_MAX + 1);
	memmove(w->todo, rest.p, rest.n);
	w->todo_n = rest.n;
	return true;
}

/* A link's target comes before what was still to do. */
static enum err_kind follow(struct walk *w, const char *target, size_t n, struct err *e)
{
	if (++w->links > LINKS_MAX)
		return err_set(e, ERR_INVALID, __func__, "too many links on the way");
	if (n + 1 + w->todo_n >= sizeof(w->todo))
		return too_long(e);
	memmove(w->todo + n + 1, w->todo, w->todo_n);
	memcpy(w->todo, target, n);
	w->todo[n] = '/';
	w->todo_n += n + 1;
	if (n > 0 && target[0] == '/')
		w->canon[w->n = 0] = '\0';
	return ERR_OK;
}

static enum err_kind follow_at(struct walk *w, int dir, const char *path, struct err *e)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dir, path, target, sizeof(target));

	if (n < 0)
		return err_sys(e, __func__, "read a link");
	return follow(w, target, (size_t)n, e);
}

static enum err_kind not_a_dir(const char *name, struct err *e)
{
	return err_set(e, ERR_INVALID, __func__, "\"%.100s\" on the way is no directory", name);
}

bool tree_join(char ret[static MEMBER_PATH_MAX], const char *dir, const char *name)
{
	size_t dir_n = strlen(dir), name_n = strlen(name);

	if (dir_n + 1 + name_n >= MEMBER_PATH_MAX)
		return false;
	memcpy(ret, dir, dir_n);
	ret[dir_n] = '/';
	memcpy(ret + dir_n + (dir_n > 0), name, name_n + 1);
	return true;
}

/* A directory that no layer has, or a lower one has, becomes one of this layer's. */
static enum err_kind make_dir(struct walk *w, int dir, const char *path, const char *name,
			      const struct lower_found *lower, bool over_whiteout, struct err *e)
{
	AUTO_CLOSE fd = -1;
	struct stat s;
	enum err_kind k;

	if (over_whiteout && sys_unlinkat(dir, name, 0) < 0)
		return err_sys(e, __func__, "remove a whiteout");
	if (sys_mkdirat(dir, name, 0755) < 0)
		return err_sys(e, __func__, "make directory");
	k = fd_open_at(dir, name, O_RDONLY | O_DIRECTORY, 0, &fd, e);
	if (k == ERR_OK && over_whiteout)
		k = attr_set_opaque(w->t, fd, e);
	if (k == ERR_OK && sys_fchmod(fd, 0755) < 0)
		return err_sys(e, __func__, "set the mode");
	if (k == ERR_OK && lower->root >= 0)
		k = lower_copy_dir(w->t, lower->root, path, fd, e);
	if (k == ERR_OK && fstat(fd, &s) < 0)
		return err_sys(e, __func__, "stat directory");
	if (k == ERR_OK && !idset_add(&w->t->dirs, tree_id_of(&s)))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to remember a directory");
	return k;
}

/* name is not in this layer's own tree, or is a whiteout there. */
static enum err_kind step_missing(struct walk *w, int dir, const char *name, bool over_whiteout,
				  struct err *e)
{
	struct lower_found lower = { .root = -1 };
	char path[MEMBER_PATH_MAX];
	enum err_kind k = ERR_OK;

	if (!tree_join(path, w->canon, name))
		return too_long(e);
	if (w->t->options.lowers && !over_whiteout)
		k = lower_find(w->t, w->canon, name, &lower, e);
	if (k != ERR_OK)
		return k;
	if (lower.root >= 0 && S_ISLNK(lower.st.st_mode)) {
		AUTO_CLOSE link = walk_beneath(lower.root, path, O_PATH);

		return link < 0 ? err_sys(e, __func__, "open a link") : follow_at(w, link, "", e);
	}
	if (lower.root >= 0 && !S_ISDIR(lower.st.st_mode))
		return not_a_dir(name, e);
	if (lower.root < 0 && w->how == WALK_FIND)
		return ERR_NOT_FOUND;
	k = make_dir(w, dir, path, name, &lower, over_whiteout, e);
	if (k == ERR_OK && !canon_push(w, str_of(name)))
		k = too_long(e);
	return k;
}

static enum err_kind step(struct walk *w, const char *name, struct err *e)
{
	AUTO_CLOSE dir = walk_beneath(w->t->root_fd, w->canon, O_PATH | O_DIRECTORY);
	struct stat s;

	if (dir < 0)
		return err_sys(e, __func__, "open a directory");
	if (fstatat(dir, name, &s, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? step_missing(w, dir, name, false, e)
				       : err_sys(e, __func__, "look at a directory");
	if (tree_is_whiteout(w->t, &s))
		return step_missing(w, dir, name, true, e);
	if (S_ISLNK(s.st_mode))
		return follow_at(w, dir, name, e);
	if (!S_ISDIR(s.st_mode))
		return not_a_dir(name, e);
	return canon_push(w, str_of(name)) ? ERR_OK : too_long(e);
}

static enum err_kind walk_all(struct walk *w, struct err *e)
{
	char name[MEMBER_NAME_MAX + 1];
	enum err_kind k = ERR_OK;
	bool ok;

	while (k == ERR_OK && todo_next(w, name, &ok)) {
		if (!ok)
			return err_set(e, ERR_INVALID, __func__, "a link to a name too long");
		if (strcmp(name, "..") == 0)
			canon_pop(w);
		else
			k = step(w, name, e);
	}
	return k;
}

enum err_kind walk_canon(struct tree *t, const char *path, enum walk_how how,
			 char ret[static MEMBER_PATH_MAX], struct err *e)
{
	AUTO_FREE struct walk *w = calloc(1, sizeof(*w));
	enum err_kind k;

	if (!w)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to find a path");
	w->t = t;
	w->how = how;
	w->todo_n = strlen(path);
	memcpy(w->todo, path, w->todo_n); /* shorter than MEMBER_PATH_MAX */
	k = walk_all(w, e);
	if (k == ERR_OK)
		memcpy(ret, w->canon, w->n + 1);
	return k;
}

/*
 * The kernel finds most directories at once.  In an overlay that is right as well: whatever this layer has hides what is
 * below, and only where it has nothing the lower layers come in.
 */
enum err_kind walk_open(struct tree *t, const char *path, enum walk_how how, int *ret,
			struct err *e)
{
	char canon[MEMBER_PATH_MAX];
	int fd = open_in_root(t, path);
	enum err_kind k;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		k = walk_canon(t, path, how, canon, e);
		if (k != ERR_OK)
			return k;
		fd = open_in_root(t, canon);
	}
	if (fd < 0 && errno == ELOOP)
		return err_set(e, ERR_INVALID, __func__, "too many links on the way");
	if (fd < 0 && errno == EXDEV)
		return err_set(e, ERR_INVALID, __func__, "another file system is mounted there");
	if (fd < 0)
		return err_sys(e, __func__, "open its directory");
	*ret = fd;
	return ERR_OK;
}

void tree_forget_parent(struct tree *t)
{
	fd_close(&t->parent.fd);
}

/* A directory that the layer does not have itself keeps the times that it has now. */
static enum err_kind meet_parent(struct tree *t, struct tree_parent *p, struct err *e)
{
	char proc[PROC_FD_MAX];
	struct stat s;

	if (fstat(p->fd, &s) < 0)
		return err_sys(e, __func__, "stat directory");
	p->id = tree_id_of(&s);
	p->mode = s.st_mode;
	p->has_default_acl =
	    getxattr(proc_fd(p->fd, proc), "system.posix_acl_default", NULL, 0) > 0;
	if (idset_has(&t->dirs, p->id))
		return ERR_OK;
	if (!idset_add(&t->dirs, p->id))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to remember a directory");
	return attr_note_times(t, p->path, &s.st_atim, &s.st_mtim, e);
}

enum err_kind walk_parent(struct tree *t, struct str path, enum walk_how how, struct err *e)
{
	struct tree_parent *p = &t->parent;
	enum err_kind k;

	if (p->fd >= 0 && str_eq((struct str){ p->path, p->path_n }, path))
		return ERR_OK;
	tree_forget_parent(t);
	(void)str_copy(path, p->path, sizeof(p->path)); /* part of a member's path: fits */
	p->path_n = path.n;
	k = walk_open(t, p->path, how, &p->fd, e);
	if (k == ERR_OK)
		k = meet_parent(t, p, e);
	if (k != ERR_OK)
		tree_forget_parent(t);
	return k;
}
