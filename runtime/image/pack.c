#include "runtime/image/pack.h"

#include <errno.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/arena.h"
#include "base/fd.h"

#define DEPTH_MAX 2100 /* a path of 4,095 bytes has no more components */
#define READ_BYTES (256u * 1024)
#define XATTRS_MAX (1024u * 1024) /* of one file */
#define LINKS_MIN 64
#define MODE_BITS 07777
#define SET_ID_BITS 06000
#define PROC_PATH_MAX sizeof("/proc/self/fd/-2147483648")

/* A file that has more names than the one it was packed under. */
struct named {
	dev_t dev;
	ino_t ino;
	char *path; /* owned; NULL: an empty slot */
};

struct packing {
	const struct pack_options *o;
	const struct pack_sink *to;
	struct member *m;
	uint8_t *buf;
	char path[MEMBER_PATH_MAX];
	size_t path_n;
	unsigned depth;
	struct named *links; /* open addressing; cap is a power of 2 */
	size_t links_n, links_cap;
};

/* --- Hard links (K2) --- */

static struct named *slot_of(struct named *links, size_t cap, dev_t dev, ino_t ino)
{
	size_t at = ((size_t)ino * 0x9e3779b9u ^ (size_t)dev) & (cap - 1);

	while (links[at].path && (links[at].ino != ino || links[at].dev != dev))
		at = (at + 1) & (cap - 1);
	return &links[at];
}

static bool grow_links(struct packing *p)
{
	size_t cap = p->links_cap ? 2 * p->links_cap : LINKS_MIN;
	struct named *bigger = calloc(cap, sizeof(*bigger));

	if (!bigger)
		return false;
	for (size_t i = 0; i < p->links_cap; i++) {
		if (p->links[i].path)
			*slot_of(bigger, cap, p->links[i].dev, p->links[i].ino) = p->links[i];
	}
	free(p->links);
	p->links = bigger;
	p->links_cap = cap;
	return true;
}

/* The path that a file was packed under, or NULL the first time. */
static enum err_kind first_name(struct packing *p, const struct stat *s, const char **ret,
				struct err *e)
{
	struct named *slot;

	*ret = NULL;
	if (S_ISDIR(s->st_mode) || s->st_nlink < 2)
		return ERR_OK;
	if (2 * p->links_n >= p->links_cap && !grow_links(p))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for hard links");
	slot = slot_of(p->links, p->links_cap, s->st_dev, s->st_ino);
	if (slot->path) {
		*ret = slot->path;
		return ERR_OK;
	}
	*slot = (struct named){ .dev = s->st_dev, .ino = s->st_ino, .path = strdup(p->path) };
	p->links_n++;
	return slot->path ? ERR_OK
			  : err_set(e, ERR_NO_MEMORY, __func__, "no memory for hard links");
}

/* --- Attributes --- */

static const char *overlay_name(const struct packing *p, const char *what, char *buf, size_t cap)
{
	(void)snprintf(buf, cap, "%s.overlay.%s", p->o->in_userns ? "user" : "trusted", what);
	return buf;
}

static bool has_overlay_mark(const struct packing *p, const char *file, const char *what)
{
	char name[64];

	return getxattr(file, overlay_name(p, what, name, sizeof(name)), NULL, 0) >= 0;
}

/* fuse-overlayfs says it by an attribute of its own where it may not set overlayfs's, and by a file, too. */
static bool is_opaque(const struct packing *p, const char *dir)
{
	return has_overlay_mark(p, dir, "opaque") ||
	       getxattr(dir, "user.fuseoverlayfs.opaque", NULL, 0) >= 0;
}

/* Set by mounts with other options than ours, whose data or names are in lower layers (K3). */
static enum err_kind check_whole(const struct packing *p, const char *file, struct err *e)
{
	if (!has_overlay_mark(p, file, "metacopy") && !has_overlay_mark(p, file, "redirect"))
		return ERR_OK;
	return err_set(e, ERR_UNSUPPORTED, __func__,
		       "\"%.100s\" is one that overlayfs has in part only (metacopy or redirect)",
		       p->path);
}

static bool is_wanted(const struct packing *p, const char *name)
{
	return member_xattr_is_kept(name) &&
	       (!p->o->is_reowned || str_starts(str_of(name), STR("user.")));
}

static enum err_kind take_xattr(struct packing *p, const char *file, const char *name,
				struct arena *a, struct err *e)
{
	struct member *m = p->m;
	ssize_t n = getxattr(file, name, NULL, 0);
	char *value;

	if (n < 0)
		return errno == ENODATA ? ERR_OK
					: err_sys(e, __func__, "attribute of \"%.100s\"", p->path);
	if (m->n_xattrs == MEMBER_XATTRS_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "\"%.100s\" has too many attributes",
			       p->path);
	value = arena_get(a, (size_t)n + 1);
	if (!value)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for attributes");
	n = getxattr(file, name, value, (size_t)n);
	if (n < 0)
		return err_sys(e, __func__, "attribute of \"%.100s\"", p->path);
	m->xattrs[m->n_xattrs++] =
	    (struct member_xattr){ .name = name, .value = { value, (size_t)n } };
	return ERR_OK;
}

static enum err_kind take_xattrs(struct packing *p, const char *file, struct arena *a,
				 struct err *e)
{
	ssize_t n = listxattr(file, NULL, 0);
	char *names;
	enum err_kind k = ERR_OK;

	if (n == 0 || (n < 0 && errno == ENOTSUP))
		return ERR_OK;
	names = n > 0 ? arena_get(a, (size_t)n + 1) : NULL;
	if (n > 0 && !names)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for attributes");
	if (n > 0)
		n = listxattr(file, names, (size_t)n);
	if (n < 0)
		return err_sys(e, __func__, "attributes of \"%.100s\"", p->path);
	for (const char *at = names; k == ERR_OK && at < names + n; at += strlen(at) + 1) {
		if (is_wanted(p, at))
			k = take_xattr(p, file, at, a, e);
	}
	return k;
}

/* --- Members --- */

static enum err_kind give_data(struct packing *p, int fd, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (uint64_t at = 0; k == ERR_OK && at < p->m->size_bytes;) {
		size_t n = (size_t)MIN(p->m->size_bytes - at, (uint64_t)READ_BYTES);

		k = fd_pread_exact(fd, p->buf, n, at, p->path, e);
		if (k == ERR_CORRUPT)
			return err_set(e, ERR_IO, __func__,
				       "\"%.100s\" became shorter while it was read", p->path);
		if (k == ERR_OK)
			k = p->to->data(p->to->arg, p->buf, n, e);
		at += n;
	}
	return k == ERR_OK && p->to->end ? p->to->end(p->to->arg, p->m, e) : k;
}

static enum err_kind give(struct packing *p, int fd, struct err *e)
{
	enum err_kind k;

	(void)str_copy((struct str){ p->path, p->path_n }, p->m->path, sizeof(p->m->path));
	p->m->path_n = p->path_n;
	k = p->to->member(p->to->arg, p->m, e);
	return k == ERR_OK && p->m->kind == MEMBER_FILE && p->m->size_bytes > 0
		   ? give_data(p, fd, e)
		   : k;
}

static bool kind_of(mode_t mode, enum member_kind *ret)
{
	static const struct {
		mode_t type;
		enum member_kind kind;
	} kinds[] = {
		{ S_IFREG, MEMBER_FILE }, { S_IFDIR, MEMBER_DIR },   { S_IFLNK, MEMBER_SYMLINK },
		{ S_IFCHR, MEMBER_CHAR }, { S_IFBLK, MEMBER_BLOCK }, { S_IFIFO, MEMBER_FIFO },
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (kinds[i].type == (mode & S_IFMT)) {
			*ret = kinds[i].kind;
			return true;
		}
	}
	return false;
}

static void take_stat(struct packing *p, const struct stat *s)
{
	struct member *m = p->m;

	m->mode = s->st_mode & MODE_BITS;
	m->uid = s->st_uid;
	m->gid = s->st_gid;
	idmaps_owner_in(p->o->ids, &m->uid, &m->gid);
	m->rdev = s->st_rdev;
	m->size_bytes = m->kind == MEMBER_FILE ? (uint64_t)s->st_size : 0;
	m->atime = s->st_atim;
	m->mtime = s->st_mtim;
	m->n_xattrs = 0;
	if (!p->o->is_reowned)
		return;
	m->mode &= ~(mode_t)SET_ID_BITS;
	m->uid = p->o->uid;
	m->gid = p->o->gid;
}

static enum err_kind take_target(struct packing *p, int fd, struct err *e)
{
	ssize_t n = readlinkat(fd, "", p->m->target, sizeof(p->m->target));

	if (n < 0)
		return err_sys(e, __func__, "read the link \"%.100s\"", p->path);
	if ((size_t)n >= sizeof(p->m->target))
		return err_set(e, ERR_TOO_LARGE, __func__, "\"%.100s\": a link too long", p->path);
	p->m->target[n] = '\0';
	return ERR_OK;
}

static enum err_kind entry_below(void *arg, const char *name, struct err *e);

/* A member whose name is one of the format (member.h N2). */
static enum err_kind give_mark(struct packing *p, const char *prefix, const char *name,
			       struct err *e)
{
	size_t old = p->path_n;
	int n =
	    snprintf(p->path + old, sizeof(p->path) - old, "%s%s%s", old ? "/" : "", prefix, name);
	enum err_kind k;

	if (n < 0 || (size_t)n >= sizeof(p->path) - old)
		return err_set(e, ERR_TOO_LARGE, __func__, "a path longer than 4,095 bytes");
	p->path_n += (size_t)n;
	p->m->kind = MEMBER_FILE;
	take_stat(p, &(struct stat){ .st_mode = S_IFREG });
	k = give(p, -1, e);
	p->path_n = old;
	p->path[old] = '\0';
	return k;
}

struct below {
	struct packing *p;
	int dir;
	bool is_opaque; /* as is told already */
};

static enum err_kind give_below(struct packing *p, int fd, const char *file, struct err *e)
{
	struct below w = { .p = p, .dir = fd };
	enum err_kind k = ERR_OK;

	if (p->depth == DEPTH_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "directories nested too deeply");
	w.is_opaque = p->o->form == PACK_LAYER && file && is_opaque(p, file);
	if (w.is_opaque)
		k = give_mark(p, ".wh..wh.", ".opq", e);
	p->depth++;
	if (k == ERR_OK)
		k = fd_list_dir(fd, ".", entry_below, &w, e);
	p->depth--;
	return k;
}

static enum err_kind give_opened(struct packing *p, int fd, const struct stat *s, struct err *e)
{
	AUTO_ARENA a;
	const char *first;
	char file[PROC_PATH_MAX];
	enum err_kind k;

	arena_init(&a, XATTRS_MAX);
	(void)snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
	take_stat(p, s);
	k = first_name(p, s, &first, e);
	if (k == ERR_OK && first) {
		p->m->kind = MEMBER_HARDLINK;
		p->m->size_bytes = 0;
		(void)str_copy(str_of(first), p->m->target, sizeof(p->m->target));
		return give(p, fd, e);
	}
	if (k == ERR_OK && p->m->kind == MEMBER_SYMLINK)
		k = take_target(p, fd, e);
	if (k == ERR_OK && p->o->form == PACK_LAYER)
		k = check_whole(p, file, e);
	if (k == ERR_OK)
		k = take_xattrs(p, file, &a, e);
	if (k == ERR_OK)
		k = give(p, fd, e);
	return k == ERR_OK && S_ISDIR(s->st_mode) ? give_below(p, fd, file, e) : k;
}

static enum err_kind give_file(struct packing *p, int fd, struct err *e)
{
	struct stat s;

	if (fstat(fd, &s) < 0)
		return err_sys(e, __func__, "look at \"%.100s\"", p->path);
	return kind_of(s.st_mode, &p->m->kind) ? give_opened(p, fd, &s, e) : ERR_OK;
}

static enum err_kind give_entry(struct packing *p, int dir, const char *name, struct err *e)
{
	AUTO_CLOSE fd = -1;
	struct stat s;
	int flags = O_PATH;
	enum err_kind k;

	if (fstatat(dir, name, &s, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, __func__, "look at \"%.100s\"", p->path);
	if (S_ISREG(s.st_mode))
		flags = O_RDONLY | O_NONBLOCK; /* it may be something else by now */
	else if (S_ISDIR(s.st_mode))
		flags = O_RDONLY | O_DIRECTORY;
	k = fd_open_at(dir, name, flags, 0, &fd, e);
	return k == ERR_OK ? give_file(p, fd, e) : k;
}

static bool is_whiteout(int dir, const char *name)
{
	struct stat s;

	return fstatat(dir, name, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(s.st_mode) &&
	       s.st_rdev == makedev(0, 0);
}

static enum err_kind entry_below(void *arg, const char *name, struct err *e)
{
	const struct below *w = arg;
	struct packing *p = w->p;
	size_t old = p->path_n;
	int n;
	enum err_kind k;

	if (p->o->form == PACK_LAYER && is_whiteout(w->dir, name))
		return give_mark(p, ".wh.", name, e);
	if (w->is_opaque && strcmp(name, ".wh..wh..opq") == 0)
		return ERR_OK;
	if (p->o->form == PACK_LAYER && str_starts(str_of(name), STR(".wh.")))
		return err_set(e, ERR_INVALID, __func__,
			       "\"%.100s\": a layer cannot have files of that name", name);
	n = snprintf(p->path + old, sizeof(p->path) - old, "%s%s", old ? "/" : "", name);
	if (n < 0 || (size_t)n >= sizeof(p->path) - old)
		return err_set(e, ERR_TOO_LARGE, __func__, "a path longer than 4,095 bytes");
	p->path_n += (size_t)n;
	k = give_entry(p, w->dir, name, e);
	p->path_n = old;
	p->path[old] = '\0';
	return k;
}

/* --- The whole --- */

static void packing_clear(struct packing *p)
{
	for (size_t i = 0; i < p->links_cap; i++)
		free(p->links[i].path);
	free(p->links);
	free(p->m);
	free(p->buf);
	free(p);
}

static enum err_kind packing_new(const char *path, const struct pack_options *o,
				 const struct pack_sink *to, struct packing **ret, struct err *e)
{
	struct packing *p = calloc(1, sizeof(*p));

	if (p) {
		p->m = calloc(1, sizeof(*p->m));
		p->buf = malloc(READ_BYTES);
	}
	if (!p || !p->m || !p->buf) {
		if (p)
			packing_clear(p);
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to pack");
	}
	p->o = o;
	p->to = to;
	p->path_n = strlen(path);
	*ret = p;
	if (str_copy(str_of(path), p->path, sizeof(p->path)))
		return ERR_OK;
	packing_clear(p);
	return err_set(e, ERR_TOO_LARGE, __func__, "a path longer than 4,095 bytes");
}

enum err_kind pack_below(int dir, const char *path, const struct pack_options *o,
			 const struct pack_sink *to, struct err *e)
{
	struct packing *p = NULL;
	enum err_kind k = packing_new(path, o, to, &p, e);

	if (k != ERR_OK)
		return k;
	k = give_below(p, dir, NULL, e);
	packing_clear(p);
	return k;
}

enum err_kind pack_file(int fd, const char *path, const struct pack_options *o,
			const struct pack_sink *to, struct err *e)
{
	struct packing *p = NULL;
	enum err_kind k = packing_new(path, o, to, &p, e);

	if (k != ERR_OK)
		return k;
	k = give_file(p, fd, e);
	packing_clear(p);
	return k;
}
