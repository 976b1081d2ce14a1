#include "runtime/image/tree_impl.h"

#include <errno.h>
#include <sys/fsuid.h>
#include <sys/sysmacros.h>

#include "base/hash.h"

#define TIMES_MAX (64u * 1024 * 1024) /* some 500,000 directories in one layer */

enum err_kind tree_open(int root_fd, const struct tree_options *o, struct tree **ret, struct err *e)
{
	struct tree *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a tree");
	t->root_fd = root_fd;
	t->options = *o;
	t->parent.fd = -1;
	t->fsuid = (uid_t)setfsuid(-1U);
	t->fsgid = (gid_t)setfsgid(-1U);
	random_bytes(&t->seed, sizeof(t->seed));
	sbuf_init(&t->times, TIMES_MAX);
	*ret = t;
	return ERR_OK;
}

void tree_close(struct tree **take)
{
	struct tree *t = TAKE(*take);

	if (!t)
		return;
	tree_forget_parent(t);
	idset_clear(&t->dirs);
	idset_clear(&t->own);
	sbuf_clear(&t->times);
	free(t);
}

uint64_t tree_id_of(const struct stat *s)
{
	return (uint64_t)s->st_ino * UINT64_C(0x100000001b3) ^ (uint64_t)s->st_dev << 40;
}

/* Keyed, so that no layer can choose names that collide. */
uint64_t tree_name_key(const struct tree *t, uint64_t dir_id, const char *name)
{
	uint64_t h = t->seed ^ dir_id;

	for (; *name; name++)
		h = ((h ^ (uint8_t)*name) * UINT64_C(0x9e3779b97f4a7c15)) ^ h >> 29;
	return h;
}

bool tree_is_whiteout(const struct tree *t, const struct stat *s)
{
	return t->options.form == TREE_OVERLAY && S_ISCHR(s->st_mode) && s->st_rdev == 0;
}

static enum err_kind note_own(struct tree *t, const char *name, struct err *e)
{
	if (t->options.form == TREE_OVERLAY || /* there all that is in the directory is its own */
	    idset_add(&t->own, tree_name_key(t, t->parent.id, name)))
		return ERR_OK;
	return err_set(e, ERR_NO_MEMORY, __func__, "no memory to remember a member");
}

/* Takes away what is in a member's place.  *ret_hid: lower layers had their say there. */
static enum err_kind make_room(struct tree *t, const char *name, bool *ret_hid, struct err *e)
{
	struct stat s;

	*ret_hid = false;
	if (fstatat(t->parent.fd, name, &s, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? ERR_OK : err_sys(e, __func__, "look at what is there");
	if (S_ISDIR(s.st_mode))
		return t->options.form == TREE_COPY
			   ? err_set(e, ERR_EXISTS, __func__, "there is a directory")
			   : tree_remove(t->parent.fd, name, e);
	*ret_hid = t->options.form == TREE_OVERLAY;
	if (sys_unlinkat(t->parent.fd, name, 0) < 0)
		return err_sys(e, __func__, "remove what is there");
	return ERR_OK;
}

static enum err_kind place_dir(struct tree *t, const struct member *m, const char *name,
			       struct err *e)
{
	AUTO_CLOSE fd = -1;
	bool hid = false, is_new = true;
	struct stat s;
	enum err_kind k = ERR_OK;

	if (sys_mkdirat(t->parent.fd, name, 0700) < 0) {
		if (errno != EEXIST)
			return err_sys(e, __func__, "make directory");
		if (fstatat(t->parent.fd, name, &s, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(e, __func__, "look at what is there");
		is_new = !S_ISDIR(s.st_mode);
		if (is_new && t->options.form == TREE_COPY)
			return err_set(e, ERR_EXISTS, __func__,
				       "there is a file, and no directory");
		if (is_new)
			k = make_room(t, name, &hid, e);
		if (k == ERR_OK && is_new && sys_mkdirat(t->parent.fd, name, 0700) < 0)
			return err_sys(e, __func__, "make directory");
	}
	if (k == ERR_OK)
		k = fd_open_at(t->parent.fd, name, O_RDONLY | O_DIRECTORY, 0, &fd, e);
	if (k == ERR_OK && hid)
		k = attr_set_opaque(t, fd, e);
	if (k == ERR_OK)
		k = attr_apply(t, m, fd, is_new, e);
	if (k == ERR_OK && fstat(fd, &s) < 0)
		return err_sys(e, __func__, "stat directory");
	if (k == ERR_OK && !idset_add(&t->dirs, tree_id_of(&s)))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to remember a directory");
	return k == ERR_OK ? attr_note_times(t, m->path, &m->atime, &m->mtime, e) : k;
}

/* Files are made with the mode they keep, so that most need no second call. */
static enum err_kind place_file(struct tree *t, const struct member *m, const char *name,
				int *ret_fd, struct err *e)
{
	AUTO_CLOSE fd = -1;
	bool hid;
	enum err_kind k;

	for (unsigned tries = 0;; tries++) {
		k = fd_open_at(t->parent.fd, name, O_WRONLY | O_CREAT | O_EXCL, m->mode & 0777, &fd,
			       e);
		if (k != ERR_EXISTS || tries)
			break;
		k = make_room(t, name, &hid, e);
		if (k != ERR_OK)
			break;
	}
	if (k == ERR_OK && m->size_bytes == 0)
		return tree_file_end(t, m, &fd, e);
	if (k == ERR_OK)
		*ret_fd = TAKE_FD(fd);
	return k;
}

static int make_special(struct tree *t, const struct member *m, const char *name)
{
	mode_t mode = m->mode & 0777;

	switch (m->kind) {
	case MEMBER_SYMLINK:
		return sys_symlinkat(m->target, t->parent.fd, name);
	case MEMBER_CHAR:
		return sys_mknodat(t->parent.fd, name, S_IFCHR | mode, m->rdev);
	case MEMBER_BLOCK:
		return sys_mknodat(t->parent.fd, name, S_IFBLK | mode, m->rdev);
	case MEMBER_FIFO:
		return sys_mknodat(t->parent.fd, name, S_IFIFO | mode, 0);
	case MEMBER_FILE:
	case MEMBER_DIR:
	case MEMBER_HARDLINK:
	case MEMBER_KIND_N:
		break;
	}
	errno = EINVAL;
	return -1;
}

static enum err_kind place_special(struct tree *t, const struct member *m, const char *name,
				   struct err *e)
{
	bool hid;
	enum err_kind k;

	if (make_special(t, m, name) == 0)
		return attr_apply_at(t, m, name, e);
	if (errno != EEXIST)
		return err_sys(e, __func__, "make %s", member_kind_text(m->kind));
	k = make_room(t, name, &hid, e);
	if (k == ERR_OK && make_special(t, m, name) < 0)
		k = err_sys(e, __func__, "make %s", member_kind_text(m->kind));
	return k == ERR_OK ? attr_apply_at(t, m, name, e) : k;
}

static enum err_kind place_device(struct tree *t, const struct member *m, const char *name,
				  struct err *e)
{
	if (m->kind == MEMBER_CHAR && m->rdev == 0)
		return err_set(e, ERR_INVALID, __func__,
			       "a character device 0:0 would be a whiteout to overlayfs");
	if (!t->options.in_userns)
		return place_special(t, m, name, e);
	t->stats.devices_left_out++;
	return ERR_OK;
}

/* A lower layer's file is copied up before it can have another name here. */
static enum err_kind copy_up_target(struct tree *t, const struct member *m, int dir,
				    const char *name, struct err *e)
{
	struct lower_found found = { .root = -1 };
	struct str parent, last;
	char path[MEMBER_PATH_MAX], canon[MEMBER_PATH_MAX];
	enum err_kind k = ERR_OK;

	member_split(str_of(m->target), &parent, &last);
	(void)str_copy(parent, path, sizeof(path));
	if (t->options.form == TREE_OVERLAY && t->options.lowers) {
		k = walk_canon(t, path, WALK_FIND, canon, e);
		if (k == ERR_OK)
			k = lower_find(t, canon, name, &found, e);
	}
	if (k == ERR_OK && found.root < 0)
		return err_set(e, ERR_INVALID, __func__,
			       "a hard link to \"%.100s\", which is not there", m->target);
	if (k != ERR_OK)
		return k;
	if (!S_ISREG(found.st.st_mode))
		return err_set(e, ERR_INVALID, __func__,
			       "a hard link to \"%.100s\", which is no file of this layer",
			       m->target);
	return lower_copy_file(t, &found, canon, dir, name, e);
}

/* The target: a file that is there, in this layer's own directory or, in a flat tree, anywhere. */
static enum err_kind find_target(struct tree *t, const struct member *m, int *ret_dir,
				 struct str *ret_name, struct stat *ret, struct err *e)
{
	char path[MEMBER_PATH_MAX];
	struct str dir;
	enum err_kind k;

	member_split(str_of(m->target), &dir, ret_name);
	if (ret_name->n == 0)
		return err_set(e, ERR_INVALID, __func__, "a hard link to the root");
	(void)str_copy(dir, path, sizeof(path)); /* part of a path: fits */
	k = walk_open(t, path, WALK_FIND, ret_dir, e);
	if (k == ERR_NOT_FOUND)
		return err_set(e, ERR_INVALID, __func__,
			       "a hard link to \"%.100s\", which is not there", m->target);
	if (k != ERR_OK)
		return k;
	for (unsigned tries = 0; tries < 2; tries++) {
		if (fstatat(*ret_dir, ret_name->p, ret, AT_SYMLINK_NOFOLLOW) == 0 &&
		    !tree_is_whiteout(t, ret))
			return S_ISDIR(ret->st_mode)
				   ? err_set(e, ERR_INVALID, __func__,
					     "a hard link to \"%.100s\", a directory", m->target)
				   : ERR_OK;
		k = copy_up_target(t, m, *ret_dir, ret_name->p, e);
		if (k != ERR_OK)
			return k;
	}
	return err_set(e, ERR_BUG, __func__, "\"%.100s\" was not copied up", m->target);
}

static enum err_kind place_hardlink(struct tree *t, const struct member *m, const char *name,
				    struct err *e)
{
	AUTO_CLOSE dir = -1;
	struct str target;
	struct stat s, there;
	bool hid;
	enum err_kind k = find_target(t, m, &dir, &target, &s, e);

	if (k != ERR_OK)
		return k;
	if (fstatat(t->parent.fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0) {
		/* "tar -c a a" writes the second one as a hard link to itself. */
		if (there.st_ino == s.st_ino && there.st_dev == s.st_dev)
			return ERR_OK;
		k = make_room(t, name, &hid, e);
	}
	if (k == ERR_OK && sys_linkat(dir, target.p, t->parent.fd, name, 0) < 0)
		return err_sys(e, __func__, "link to \"%.100s\"", m->target);
	return k;
}

static enum err_kind place(struct tree *t, const struct member *m, const char *name, int *ret_fd,
			   struct err *e)
{
	enum err_kind k = ERR_OK;

	switch (m->kind) {
	case MEMBER_FILE:
		k = place_file(t, m, name, ret_fd, e);
		break;
	case MEMBER_DIR:
		k = place_dir(t, m, name, e);
		break;
	case MEMBER_HARDLINK:
		k = place_hardlink(t, m, name, e);
		break;
	case MEMBER_CHAR:
	case MEMBER_BLOCK:
		k = place_device(t, m, name, e);
		break;
	case MEMBER_SYMLINK:
	case MEMBER_FIFO:
		k = place_special(t, m, name, e);
		break;
	case MEMBER_KIND_N:
		k = err_set(e, ERR_BUG, __func__, "no kind of member");
	}
	return k == ERR_OK ? note_own(t, name, e) : k;
}

static enum err_kind put_root(struct tree *t, const struct member *m, struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k;

	if (m->kind != MEMBER_DIR)
		return err_set(e, ERR_INVALID, __func__, "the root must be a directory, not a %s",
			       member_kind_text(m->kind));
	k = fd_open_at(t->root_fd, ".", O_RDONLY | O_DIRECTORY, 0, &fd, e);
	if (k == ERR_OK)
		k = attr_apply(t, m, fd, false, e);
	t->root_was_put = true;
	return k == ERR_OK ? attr_note_times(t, "", &m->atime, &m->mtime, e) : k;
}

static enum err_kind put_whiteout(struct tree *t, struct str dir, enum member_mark mark,
				  const char *name, struct err *e)
{
	enum err_kind k = walk_parent(t, dir, WALK_FIND, e);

	if (k == ERR_NOT_FOUND)
		return ERR_OK; /* there is nothing to hide */
	if (k != ERR_OK)
		return k;
	return mark == MARK_OPAQUE ? hide_all(t, e) : hide_name(t, name, e);
}

static enum err_kind put(struct tree *t, const struct member *m, int *ret_fd, struct err *e)
{
	struct str path = { m->path, m->path_n }, dir, name, hidden = { "", 0 };
	enum member_mark mark = MARK_NONE;
	enum err_kind k;

	if (path.n == 0)
		return put_root(t, m, e);
	if (t->options.form != TREE_COPY) {
		k = member_mark(m, &mark, &hidden, e);
		if (k != ERR_OK || mark == MARK_IGNORED)
			return k;
	}
	member_split(path, &dir, &name);
	if (mark != MARK_NONE)
		return put_whiteout(t, dir, mark, hidden.p, e);
	k = walk_parent(t, dir, WALK_MAKE, e);
	return k == ERR_OK ? place(t, m, name.p, ret_fd, e) : k;
}

enum err_kind tree_put(struct tree *t, const struct member *m, int *ret_fd, struct err *e)
{
	enum err_kind k;

	*ret_fd = -1;
	t->stats.members++;
	k = put(t, m, ret_fd, e);
	return k == ERR_OK ? k : err_wrap(e, "\"%.100s\"", m->path);
}

enum err_kind tree_file_end(struct tree *t, const struct member *m, int *take_fd, struct err *e)
{
	AUTO_CLOSE fd = TAKE_FD(*take_fd);
	enum err_kind k = ERR_OK;

	/* A hole at the end is not among the data. */
	if (m->size_bytes > 0 && lseek(fd, 0, SEEK_END) != (off_t)m->size_bytes &&
	    sys_ftruncate(fd, (off_t)m->size_bytes) < 0)
		k = err_sys(e, __func__, "set the size");
	if (k == ERR_OK)
		k = attr_apply(t, m, fd, true,
			       e); /* after the data: writing takes set-id bits away */
	if (k == ERR_OK)
		k = attr_set_times(fd, &m->atime, &m->mtime, "file", e);
	return k == ERR_OK ? k : err_wrap(e, "\"%.100s\"", m->path);
}

enum err_kind tree_finish(struct tree *t, struct tree_stats *ret, struct err *e)
{
	enum err_kind k = ERR_OK;

	tree_forget_parent(t);
	if (!t->root_was_put && t->options.form == TREE_OVERLAY)
		k = lower_copy_root(t, e);
	if (k == ERR_OK)
		k = attr_set_noted_times(t, e);
	if (k == ERR_OK)
		*ret = t->stats;
	return k;
}
