/* Owners, modes, extended attributes and times. */
#include <errno.h>

#include "runtime/image/tree_impl.h"

#define NAMES_MAX 65536 /* XATTR_LIST_MAX */
#define VALUE_MAX 65536 /* XATTR_SIZE_MAX */
#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

const char *proc_fd(int fd, char buf[static PROC_FD_MAX])
{
	(void)snprintf(buf, PROC_FD_MAX, "/proc/self/fd/%d", fd);
	return buf;
}

static const char *opaque_name(const struct tree *t)
{
	return t->options.in_userns ? "user.overlay.opaque" : "trusted.overlay.opaque";
}

enum err_kind attr_set_opaque(struct tree *t, int dir, struct err *e)
{
	if (sys_fsetxattr(dir, opaque_name(t), "y", 1, 0) < 0)
		return err_sys(e, __func__, "set %s", opaque_name(t));
	return ERR_OK;
}

bool attr_is_opaque(const struct tree *t, int dir)
{
	char value;

	return fgetxattr(dir, opaque_name(t), &value, 1) == 1 && value == 'y';
}

/* Failures that say that this kind of attribute has no place here, whatever its value. */
static bool has_no_place(int sys)
{
	return sys == EOPNOTSUPP || sys == EPERM;
}

static enum err_kind set_xattrs(struct tree *t, const struct member *m, int fd, struct err *e)
{
	char proc[PROC_FD_MAX];

	for (size_t i = 0; i < m->n_xattrs; i++) {
		const struct member_xattr *x = &m->xattrs[i];

		if (!member_xattr_is_kept(x->name))
			continue;
		if (sys_setxattr(proc_fd(fd, proc), x->name, x->value.p, x->value.n, 0) == 0)
			continue;
		if (!has_no_place(errno))
			return err_sys(e, __func__, "set attribute %.60s of %zu bytes", x->name,
				       x->value.n);
		t->stats.xattrs_left_out++;
	}
	return ERR_OK;
}

typedef enum err_kind xattr_fn(struct tree *t, int from, int to, const char *name, struct err *e);

/* Calls fn for each attribute of from that layers may have. */
static enum err_kind each_xattr(struct tree *t, int from, int to, xattr_fn *fn, struct err *e)
{
	AUTO_FREE char *names = NULL;
	ssize_t n = flistxattr(from, NULL, 0);
	enum err_kind k = ERR_OK;

	if (n <= 0)
		return ERR_OK; /* none, or a file system without any */
	names = malloc(NAMES_MAX);
	if (!names)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for names of attributes");
	n = flistxattr(from, names, NAMES_MAX);
	if (n < 0)
		return err_sys(e, __func__, "list attributes");
	for (char *at = names; k == ERR_OK && at < names + n; at += strlen(at) + 1) {
		if (member_xattr_is_kept(at))
			k = fn(t, from, to, at, e);
	}
	return k;
}

static enum err_kind copy_xattr(struct tree *t, int from, int to, const char *name, struct err *e)
{
	AUTO_FREE char *value = malloc(VALUE_MAX);
	ssize_t n;

	if (!value)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for an attribute");
	n = fgetxattr(from, name, value, VALUE_MAX);
	if (n < 0 || sys_fsetxattr(to, name, value, (size_t)n, 0) < 0) {
		if (!has_no_place(errno))
			return err_sys(e, __func__, "copy attribute %.60s", name);
		t->stats.xattrs_left_out++;
	}
	return ERR_OK;
}

static enum err_kind drop_xattr(struct tree *t, int from, int to, const char *name, struct err *e)
{
	char proc[PROC_FD_MAX];

	(void)t;
	(void)to;
	if (sys_removexattr(proc_fd(from, proc), name) < 0 && errno != ENODATA &&
	    !has_no_place(errno))
		return err_sys(e, __func__, "remove attribute %.60s", name);
	return ERR_OK;
}

/* What was just made in a directory with a default ACL has one that its layer does not give it. */
static enum err_kind disinherit(struct tree *t, const struct member *m, int fd, struct err *e)
{
	char proc[PROC_FD_MAX];
	enum err_kind k;

	if (m->kind == MEMBER_SYMLINK)
		return ERR_OK;
	(void)proc_fd(fd, proc);
	k = sys_removexattr(proc, ACL_ACCESS) < 0 && errno != ENODATA && !has_no_place(errno)
		? err_sys(e, __func__, "remove an inherited ACL")
		: ERR_OK;
	return k == ERR_OK && m->kind == MEMBER_DIR ? drop_xattr(t, fd, -1, ACL_DEFAULT, e) : k;
}

struct owner {
	uid_t uid;
	gid_t gid;
};

/* As a new file has it anyway, unless its directory hands on its group. */
static bool has_owner(const struct tree *t, const struct member *m, const struct owner *o,
		      bool is_new)
{
	return is_new && m->path_n > 0 && o->uid == t->fsuid && o->gid == t->fsgid &&
	       !(t->parent.mode & S_ISGID);
}

static bool has_mode(const struct tree *t, const struct member *m, bool is_new)
{
	return is_new && m->kind != MEMBER_DIR && !t->parent.has_default_acl &&
	       !(m->mode & (07000 | t->options.umask));
}

static enum err_kind set_mode(const struct member *m, int fd, struct err *e)
{
	char proc[PROC_FD_MAX];

	/* By way of /proc, since fchmod refuses O_PATH. */
	if (sys_fchmodat(AT_FDCWD, proc_fd(fd, proc), m->mode, 0) < 0)
		return err_sys(e, __func__, "set the mode");
	return ERR_OK;
}

/* Owner, then mode, then attributes: each may take away what comes after it. */
enum err_kind attr_apply(struct tree *t, const struct member *m, int fd, bool is_new, struct err *e)
{
	struct owner o = { m->uid, m->gid };
	enum err_kind k = ERR_OK;
	bool owned;

	if (!idmaps_owner_out(t->options.ids, &o.uid, &o.gid))
		return err_set(e, ERR_DENIED, __func__,
			       "owner %u:%u is not in the container's map of ids", m->uid, m->gid);
	owned = has_owner(t, m, &o, is_new);
	if (!owned && sys_fchownat(fd, "", o.uid, o.gid, AT_EMPTY_PATH) < 0)
		return err_sys(e, __func__, "give it to %u:%u", m->uid, m->gid);
	if (!is_new)
		k = each_xattr(t, fd, -1, drop_xattr, e);
	if (k == ERR_OK && is_new && t->parent.has_default_acl)
		k = disinherit(t, m, fd, e);
	if (k == ERR_OK && m->kind != MEMBER_SYMLINK && (!owned || !has_mode(t, m, is_new)))
		k = set_mode(m, fd, e);
	return k == ERR_OK && m->n_xattrs ? set_xattrs(t, m, fd, e) : k;
}

enum err_kind attr_apply_at(struct tree *t, const struct member *m, const char *name, struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k = fd_open_at(t->parent.fd, name, O_PATH, 0, &fd, e);

	if (k == ERR_OK)
		k = attr_apply(t, m, fd, true, e);
	return k == ERR_OK ? attr_set_times(fd, &m->atime, &m->mtime, member_kind_text(m->kind), e)
			   : k;
}

enum err_kind attr_copy(struct tree *t, int from, int to, struct err *e)
{
	struct stat s;

	if (fstat(from, &s) < 0)
		return err_sys(e, __func__, "stat what is copied");
	if (sys_fchownat(to, "", s.st_uid, s.st_gid, AT_EMPTY_PATH) < 0)
		return err_sys(e, __func__, "give a copy its owner");
	if (sys_fchmod(to, s.st_mode & 07777) < 0)
		return err_sys(e, __func__, "give a copy its mode");
	return each_xattr(t, from, to, copy_xattr, e);
}

enum err_kind attr_set_times(int fd, const struct timespec *atime, const struct timespec *mtime,
			     const char *what, struct err *e)
{
	const struct timespec times[2] = { *atime, *mtime };

	if (sys_utimensat(fd, "", times, AT_EMPTY_PATH) < 0)
		return err_sys(e, __func__, "set the times of a %s", what);
	return ERR_OK;
}

struct noted {
	struct timespec atime, mtime;
	size_t path_n; /* the path and a NUL follow */
};

enum err_kind attr_note_times(struct tree *t, const char *path, const struct timespec *atime,
			      const struct timespec *mtime, struct err *e)
{
	struct noted noted = { .atime = *atime, .mtime = *mtime, .path_n = strlen(path) };

	sbuf_add(&t->times, &noted, sizeof(noted));
	sbuf_add(&t->times, path, noted.path_n + 1);
	if (t->times.failed)
		return err_set(e, ERR_TOO_LARGE, __func__, "too many directories in one layer");
	return ERR_OK;
}

/* In the order in which they were noted: what a layer says of a directory outlasts what it had before. */
enum err_kind attr_set_noted_times(struct tree *t, struct err *e)
{
	const char *at = t->times.p, *end = at + t->times.n;
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT };

	while (at < end) {
		AUTO_CLOSE fd = -1;
		struct noted noted;
		const char *path;
		enum err_kind k;

		memcpy(&noted, at, sizeof(noted));
		path = at + sizeof(noted);
		at = path + noted.path_n + 1;
		fd = sys_openat2(t->root_fd, noted.path_n ? path : ".", &how);
		if (fd < 0)
			continue; /* the layer went on to replace it */
		k = attr_set_times(fd, &noted.atime, &noted.mtime, "directory", e);
		if (k != ERR_OK)
			return k;
	}
	return ERR_OK;
}
