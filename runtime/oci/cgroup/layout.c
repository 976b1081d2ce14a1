#include "runtime/oci/cgroup/layout.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include "base/fd.h"

#define FILE_MAX (4u * 1024 * 1024)

bool layout_has(const char *controllers, const char *name)
{
	struct str rest = str_of(controllers), one, want = str_of(name);

	while (rest.n) {
		(void)str_cut(rest, ',', &one, &rest);
		if (str_eq(one, want))
			return true;
	}
	return false;
}

/* Fields of mountinfo escape blanks as \040. */
static char *unescape(struct arena *a, struct str s)
{
	char *z = arena_text(a, s), *to = z;

	for (const char *from = z; from && *from;) {
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] && from[3]) {
			*to++ =
			    (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	if (to)
		*to = '\0';
	return z;
}

struct mount_line {
	struct str root, mount, type, super;
};

/* "36 35 98:0 /root /mount opts [optional]... - type source super" (proc(5)) */
static bool parse_mount(struct str line, struct mount_line *ret)
{
	struct str field[6], rest = line;

	for (size_t i = 0; i < ARRAY_LEN(field); i++) {
		if (!str_cut(rest, ' ', &field[i], &rest))
			return false;
	}
	ret->root = field[3];
	ret->mount = field[4];
	for (;;) {
		struct str optional;

		if (!str_cut(rest, ' ', &optional, &rest))
			return false;
		if (str_eq(optional, STR("-")))
			break;
	}
	return str_cut(rest, ' ', &ret->type, &rest) && str_cut(rest, ' ', &rest, &ret->super);
}

/* The superblock's options without those that are no controllers. */
static char *controllers_of(struct arena *a, struct str super)
{
	static const char *const others[] = { "rw",       "ro",
					      "xattr",    "clone_children",
					      "noprefix", "cpuset_v2_mode",
					      "none",     "favordynmods" };
	char *list = arena_get(a, super.n + 1), *to = list;

	while (list && super.n) {
		struct str one;
		bool skip;

		(void)str_cut(super, ',', &one, &super);
		skip = str_starts(one, STR("release_agent="));
		for (size_t i = 0; i < ARRAY_LEN(others); i++)
			skip = skip || str_eq(one, str_of(others[i]));
		if (skip)
			continue;
		if (to != list)
			*to++ = ',';
		memcpy(to, one.p, one.n);
		to += one.n;
	}
	return list;
}

/* A hierarchy that is mounted twice counts once. */
static bool is_known(const struct layout *l, const char *controllers, bool is_v2)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].is_v2 == is_v2 && strcmp(l->v[i].controllers, controllers) == 0)
			return true;
	}
	return false;
}

/* path as seen from a mount whose root is not the hierarchy's: inside a container without a cgroup namespace. */
static struct str below(struct str root, struct str path)
{
	if (str_eq(root, STR("/")))
		return path;
	if (str_starts(path, root) && (path.n == root.n || path.p[root.n] == '/'))
		path = (struct str){ path.p + root.n, path.n - root.n };
	else
		path = STR("/");
	return path.n ? path : STR("/");
}

/* Lines "7:cpu,cpuacct:/path", "1:name=systemd:/path", "0::/path". */
static const char *own_group(struct str cgroup, const char *controllers, struct str root,
			     struct arena *a)
{
	struct str line, id, names, path;

	while (cgroup.n) {
		(void)str_cut(cgroup, '\n', &line, &cgroup);
		if (!str_cut(line, ':', &id, &line) || !str_cut(line, ':', &names, &path))
			continue;
		if (str_eq(names, str_of(controllers)))
			return arena_text(a, below(root, path));
	}
	return "/";
}

static enum err_kind add_mount(const struct mount_line *m, struct str cgroup, struct arena *a,
			       struct layout *l, struct err *e)
{
	bool is_v2 = str_eq(m->type, STR("cgroup2"));
	const char *controllers = is_v2 ? "" : controllers_of(a, m->super);
	struct hierarchy h = { .controllers = controllers, .is_v2 = is_v2 };

	if (!is_v2 && !str_eq(m->type, STR("cgroup")))
		return ERR_OK;
	if (controllers && is_known(l, controllers, is_v2))
		return ERR_OK;
	if (l->n == HIERARCHIES_MAX)
		return err_set(e, ERR_TOO_MANY, __func__, "more than %d cgroup hierarchies",
			       HIERARCHIES_MAX);
	h.mount = unescape(a, m->mount);
	h.own = controllers ? own_group(cgroup, controllers, m->root, a) : NULL;
	if (!controllers || !h.mount || !h.own)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for cgroup mounts");
	l->v[l->n++] = h;
	return ERR_OK;
}

enum err_kind layout_parse(struct str mountinfo, struct str cgroup, struct arena *a,
			   struct layout *ret, struct err *e)
{
	*ret = (struct layout){ 0 };
	while (mountinfo.n) {
		struct mount_line m;
		struct str line;
		enum err_kind k;

		(void)str_cut(mountinfo, '\n', &line, &mountinfo);
		if (!parse_mount(line, &m))
			continue;
		k = add_mount(&m, cgroup, a, ret, e);
		if (k != ERR_OK)
			return k;
	}
	ret->is_unified = ret->n == 1 && ret->v[0].is_v2;
	return ERR_OK;
}

static enum err_kind read_proc(const char *path, struct sbuf *b, struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k = fd_open_at(AT_FDCWD, path, O_RDONLY, 0, &fd, e);

	return k == ERR_OK ? fd_read_rest(fd, b, path, e) : k;
}

/* What another mount lies over is in mountinfo still, but nobody can get at it. */
static bool is_reachable(const struct hierarchy *h)
{
	struct statfs fs;

	return statfs(h->mount, &fs) == 0 &&
	       fs.f_type == (h->is_v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC);
}

static void drop_hidden(struct layout *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (is_reachable(&l->v[i]))
			l->v[n++] = l->v[i];
	}
	l->n = n;
	l->is_unified = n == 1 && l->v[0].is_v2;
}

enum err_kind layout_read(struct arena *a, struct layout *ret, struct err *e)
{
	AUTO_SBUF mounts;
	AUTO_SBUF groups;
	enum err_kind k;

	sbuf_init(&mounts, FILE_MAX);
	sbuf_init(&groups, FILE_MAX);
	k = read_proc("/proc/self/mountinfo", &mounts, e);
	if (k == ERR_OK)
		k = read_proc("/proc/self/cgroup", &groups, e);
	if (k != ERR_OK)
		return k;
	k = layout_parse((struct str){ mounts.p, mounts.n }, (struct str){ groups.p, groups.n }, a,
			 ret, e);
	if (k == ERR_OK)
		drop_hidden(ret);
	return k;
}
