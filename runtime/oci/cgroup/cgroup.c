#include "runtime/oci/cgroup/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/xattr.h>

#include "base/clock.h"
#include "base/fd.h"

#define MARK "trusted.berth"
#define MARK_OF_USER "user.berth" /* what an ordinary user may set, on v2 */
#define DEPTH_MAX 64
#define REMOVE_WAIT_MS 10000
#define POLL_MS 5
#define FILE_BYTES_MAX (16u * 1024 * 1024)

/* ---- paths ---- */

static bool has_dots(const char *path)
{
	struct str rest = str_of(path), one;

	while (rest.n) {
		(void)str_cut(rest, '/', &one, &rest);
		if (str_eq(one, STR("..")) || str_eq(one, STR(".")))
			return true;
	}
	return false;
}

static enum err_kind no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, __func__, "no memory for cgroup paths");
}

/* The parent of the caller's group on v2: its own has processes, and so no controllers to give to others. */
static const char *base_of(const struct hierarchy *h, struct arena *a)
{
	const char *slash;

	if (!h->is_v2)
		return h->own;
	slash = strrchr(h->own, '/');
	if (!slash || slash == h->own)
		return "/";
	return arena_text(a, (struct str){ h->own, (size_t)(slash - h->own) });
}

static const char *group_path(const struct hierarchy *h, const char *want, const char *id,
			      struct arena *a)
{
	const char *base, *name = want ? want : id;

	if (want && want[0] == '/')
		return arena_printf(a, "%s/%s", h->mount, want + 1);
	base = base_of(h, a);
	if (!base)
		return NULL;
	if (strcmp(base, "/") == 0)
		base = "";
	return arena_printf(a, "%s%s/%s", h->mount, base, name);
}

/* Of a hybrid layout v2 is used for what no v1 hierarchy has: its own keys, and controllers such as hugetlb. */
static bool wants_v2(const struct layout *l, const struct spec_resources *r)
{
	bool v1_has_hugetlb = false;

	if (!r)
		return false;
	for (size_t i = 0; i < l->n; i++)
		v1_has_hugetlb = v1_has_hugetlb || layout_has(l->v[i].controllers, "hugetlb");
	return r->unified.n || (r->hugepage_limits.n && !v1_has_hugetlb);
}

static bool is_used(const struct layout *l, const struct hierarchy *h, const struct spec *s)
{
	return !h->is_v2 || l->is_unified || wants_v2(l, s->linux_.resources);
}

/*
 * In a user namespace no device can be made, and those that are there were bound by us, so rules about devices say
 * nothing that is not so already.  Every generator of config.json writes some.
 */
static bool needs_no_group(const struct spec *s)
{
	const struct spec_resources *r = s->linux_.resources;

	return !r || (spec_has_namespace(s, NS_USER) && !r->memory && !r->cpu && !r->pids &&
		      !r->block_io && !r->hugepage_limits.n && !r->network && !r->rdma.n &&
		      !r->unified.n);
}

static size_t missing_of(const struct cgroup_dir *d)
{
	size_t n = strlen(d->path), there = n;
	char path[4096];

	if (!str_copy((struct str){ d->path, n }, path, sizeof(path)))
		return 0;
	while (there > strlen(d->mount) && access(path, F_OK) < 0) {
		path[--there] = '\0';
		while (there > 0 && path[there - 1] != '/')
			path[--there] = '\0';
	}
	return n - there;
}

enum err_kind cgroup_plan(const struct layout *l, const struct spec *s, const char *id,
			  bool manager_systemd, struct arena *a, struct cgroup *ret, struct err *e)
{
	const char *want = s->linux_.cgroups_path;

	*ret = (struct cgroup){ .is_unified = l->is_unified };
	if (want && !want[0])
		want = NULL;
	if (manager_systemd)
		return ERR_OK; /* systemd chooses: cgroup_systemd_make() fills it */
	if (want && has_dots(want))
		return err_set(e, ERR_INVALID, __func__,
			       "linux.cgroupsPath: \"%.100s\" has a component . or ..", want);
	if (want && !want[strspn(want, "/")])
		return err_set(e, ERR_INVALID, __func__,
			       "linux.cgroupsPath: the root group is nobody's to give");
	ret->is_optional = !want && needs_no_group(s);
	for (size_t i = 0; i < l->n; i++) {
		const struct hierarchy *h = &l->v[i];
		struct cgroup_dir *d = &ret->dirs[ret->n];

		if (!is_used(l, h, s))
			continue;
		*d = (struct cgroup_dir){ .controllers = h->controllers,
					  .mount = h->mount,
					  .path = group_path(h, want, id, a),
					  .is_v2 = h->is_v2 };
		if (!d->path)
			return no_memory(e);
		d->missing = missing_of(d);
		ret->n++;
	}
	return ERR_OK;
}

const struct cgroup_dir *cgroup_dir_of(const struct cgroup *cg, const char *controller)
{
	const struct cgroup_dir *v2 = NULL;

	for (size_t i = 0; i < cg->n; i++) {
		if (cg->dirs[i].is_v2)
			v2 = &cg->dirs[i];
		else if (layout_has(cg->dirs[i].controllers, controller))
			return &cg->dirs[i];
	}
	return v2;
}

/* ---- files ---- */

static enum err_kind open_dir(const char *path, int *ret, struct err *e)
{
	return fd_open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, ret, e);
}

static ssize_t read_at(int dir, const char *file, char *buf, size_t cap)
{
	AUTO_CLOSE fd = openat(dir, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, buf, cap - 1);
	if (n < 0)
		return -1;
	while (n > 0 && buf[n - 1] == '\n')
		n--;
	buf[n] = '\0';
	return n;
}

bool cgroup_read(const struct cgroup_dir *d, const char *file, char *buf, size_t cap)
{
	AUTO_CLOSE dir = open(d->path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return dir >= 0 && read_at(dir, file, buf, cap) >= 0;
}

/* 0 or -errno: some refusals are expected. */
static int write_at(int dir, const char *file, const char *value)
{
	AUTO_CLOSE fd = openat(dir, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t n = strlen(value);

	if (fd < 0)
		return -errno;
	return write(fd, value, n) == (ssize_t)n ? 0 : -errno;
}

enum err_kind cgroup_write_file(const struct cgroup_dir *d, const char *file, const char *value,
				struct err *e)
{
	AUTO_CLOSE dir = -1;
	enum err_kind k = open_dir(d->path, &dir, e);
	int r;

	if (k != ERR_OK)
		return k;
	r = write_at(dir, file, value);
	if (r == 0)
		return ERR_OK;
	errno = -r;
	return err_sys(e, __func__, "write \"%.40s\" to %s/%s", value, d->path, file);
}

/* ---- making ---- */

/* A v1 cpuset starts without CPUs and memory, and takes no process then. */
static void fill_cpuset(int parent, int dir)
{
	static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
	char buf[4096];

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (read_at(dir, files[i], buf, sizeof(buf)) == 0 &&
		    read_at(parent, files[i], buf, sizeof(buf)) > 0)
			(void)write_at(dir, files[i], buf); /* joining tells if it is still empty */
	}
}

/* v2: children get those controllers that are switched on in the parent. */
static void enable_controllers(int dir)
{
	char have[512], one[64];
	struct str rest, name;

	if (read_at(dir, "cgroup.controllers", have, sizeof(have)) <= 0)
		return;
	for (rest = str_of(have); rest.n;) {
		(void)str_cut(rest, ' ', &name, &rest);
		(void)snprintf(one, sizeof(one), "+%.*s", (int)MIN(name.n, (size_t)60), name.p);
		(void)write_at(dir, "cgroup.subtree_control",
			       one); /* what is missing shows at its use */
	}
}

static void mark(int dir)
{
	if (fsetxattr(dir, MARK, "1", 1, 0) < 0)
		(void)fsetxattr(dir, MARK_OF_USER, "1", 1, 0); /* without one it stays behind */
}

static int make_level(const struct cgroup_dir *d, int parent, const char *name)
{
	int dir;

	if (d->is_v2)
		enable_controllers(parent);
	if (mkdirat(parent, name, 0755) == 0) {
		dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (dir >= 0)
			mark(dir);
	} else if (errno == EEXIST) {
		dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	} else {
		return -1;
	}
	if (dir >= 0 && layout_has(d->controllers, "cpuset"))
		fill_cpuset(parent, dir);
	return dir;
}

/*
 * Another container's delete may remove a parent between two levels: then once more from the top.  In the usual case
 * only the leaf is missing, and one mkdir does.
 */
static enum err_kind make_path(const struct cgroup_dir *d, struct err *e)
{
	enum { TRIES = 100 };

	for (unsigned i = 0; i < TRIES; i++) {
		AUTO_CLOSE dir = open(d->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		struct str rest = str_of(d->path + strlen(d->mount)), one;
		char name[256];

		while (dir >= 0 && rest.n) {
			int next;

			(void)str_cut(rest, '/', &one, &rest);
			if (!one.n)
				continue;
			if (!str_copy(one, name, sizeof(name)))
				return err_set(
				    e, ERR_INVALID, __func__,
				    "linux.cgroupsPath: a component has more than 255 bytes");
			next = make_level(d, dir, name);
			fd_close(&dir);
			dir = next;
		}
		if (dir >= 0)
			return ERR_OK;
		if (errno != ENOENT && errno != ENODEV)
			break;
	}
	return err_sys(e, __func__, "make cgroup %s", d->path);
}

enum err_kind cgroup_make(struct cgroup *cg, struct err *e)
{
	for (size_t i = 0; i < cg->n; i++) {
		enum err_kind k = make_path(&cg->dirs[i], e);

		if (k == ERR_OK)
			continue;
		if (cg->is_optional && (e->sys == EACCES || e->sys == EPERM || e->sys == EROFS)) {
			cg->dirs[i--] = cg->dirs[--cg->n];
			continue;
		}
		return k;
	}
	return ERR_OK;
}

enum err_kind cgroup_join(const struct cgroup *cg, pid_t pid, struct err *e)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%d", pid);
	for (size_t i = 0; i < cg->n; i++) {
		enum err_kind k = cgroup_write_file(&cg->dirs[i], "cgroup.procs", text, e);

		if (k != ERR_OK)
			return err_wrap(e, "join cgroup");
	}
	return ERR_OK;
}

/* ---- freezing ---- */

static const struct cgroup_dir *freezer(const struct cgroup *cg)
{
	return cgroup_dir_of(cg, "freezer");
}

static const char *freezer_file(const struct cgroup_dir *d)
{
	return d->is_v2 ? "cgroup.freeze" : "freezer.state";
}

bool cgroup_can_freeze(const struct cgroup *cg)
{
	return freezer(cg) != NULL;
}

/* What was asked for; whether every process has stopped yet is another question. */
bool cgroup_is_frozen(const struct cgroup *cg)
{
	const struct cgroup_dir *d = freezer(cg);
	char text[64];

	if (!d || !cgroup_read(d, freezer_file(d), text, sizeof(text)))
		return false;
	return d->is_v2 ? text[0] == '1'
			: strcmp(text, "FROZEN") == 0 || strcmp(text, "FREEZING") == 0;
}

static bool is_settled(const struct cgroup_dir *d, bool freeze)
{
	char text[256];

	if (!cgroup_read(d, d->is_v2 ? "cgroup.events" : "freezer.state", text, sizeof(text)))
		return true;
	if (d->is_v2)
		return (strstr(text, "frozen 1") != NULL) == freeze;
	return strcmp(text, freeze ? "FROZEN" : "THAWED") == 0;
}

enum err_kind cgroup_freeze(const struct cgroup *cg, bool freeze, struct err *e)
{
	const struct cgroup_dir *d = freezer(cg);
	uint64_t end = mono_ms() + REMOVE_WAIT_MS;
	const char *value;

	if (!d)
		return err_set(e, ERR_UNSUPPORTED, __func__, "the container has no freezer cgroup");
	if (d->is_v2)
		value = freeze ? "1" : "0";
	else
		value = freeze ? "FROZEN" : "THAWED";
	for (;;) {
		enum err_kind k = cgroup_write_file(d, freezer_file(d), value, e);

		if (k != ERR_OK || is_settled(d, freeze))
			return k;
		if (mono_ms() > end)
			return err_set(e, ERR_IO, __func__, "the container does not %s",
				       freeze ? "freeze" : "thaw");
		/* v1: a fork under way can keep it FREEZING until it is asked again. */
		(void)usleep(POLL_MS * 1000);
	}
}

/* ---- processes ---- */

struct walker {
	enum err_kind (*visit)(int dir, void *arg, struct err *e);
	void *arg;
};

/* The group and all below it, deepest first. */
static enum err_kind walk_groups(int dir, unsigned depth, const struct walker *w, struct err *e)
{
	AUTO_CLOSE again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = depth < DEPTH_MAX && again >= 0 ? fdopendir(again) : NULL;
	enum err_kind k = ERR_OK;
	struct dirent *entry;

	if (!d)
		return ERR_OK; /* gone */
	again = -1;            /* d's */
	while (k == ERR_OK && (entry = readdir(d))) {
		AUTO_CLOSE sub = -1;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		sub = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (sub >= 0)
			k = walk_groups(sub, depth + 1, w, e);
	}
	(void)closedir(d);
	return k == ERR_OK ? w->visit(dir, w->arg, e) : k;
}

struct pid_list {
	struct sbuf b; /* of pid_t */
};

static enum err_kind collect_pids(int dir, void *arg, struct err *e)
{
	struct pid_list *l = arg;
	AUTO_CLOSE fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	AUTO_SBUF text;
	struct str rest, line;
	uint64_t pid;

	sbuf_init(&text, FILE_BYTES_MAX);
	if (fd < 0)
		return ERR_OK;
	if (fd_read_rest(fd, &text, "cgroup.procs", e) != ERR_OK)
		return ERR_OK; /* v2: a threaded group has none to show */
	for (rest = (struct str){ text.p, text.n }; rest.n;) {
		(void)str_cut(rest, '\n', &line, &rest);
		if (scan_u64(&line, INT32_MAX, &pid) && pid) {
			pid_t one = (pid_t)pid;

			sbuf_add(&l->b, &one, sizeof(one));
		}
	}
	return ERR_OK;
}

/* The hierarchy that is looked at: the one with a freezer, or else any. */
static const struct cgroup_dir *leading_dir(const struct cgroup *cg)
{
	const struct cgroup_dir *d = freezer(cg);

	return d || cg->n == 0 ? d : &cg->dirs[0];
}

enum err_kind cgroup_pids(const struct cgroup *cg, struct arena *a, pid_t **ret, size_t *ret_n,
			  struct err *e)
{
	const struct cgroup_dir *d = leading_dir(cg);
	struct pid_list l;
	const struct walker w = { .visit = collect_pids, .arg = &l };
	AUTO_CLOSE dir = -1;
	enum err_kind k = ERR_OK;

	*ret = NULL;
	*ret_n = 0;
	if (!d || open_dir(d->path, &dir, e) != ERR_OK)
		return ERR_OK;
	sbuf_init(&l.b, FILE_BYTES_MAX);
	k = walk_groups(dir, 0, &w, e);
	if (k == ERR_OK && (l.b.failed || !(*ret = arena_get(a, l.b.n + sizeof(pid_t)))))
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory for a list of processes");
	if (k == ERR_OK && l.b.n)
		memcpy(*ret, l.b.p, l.b.n);
	*ret_n = l.b.n / sizeof(pid_t);
	sbuf_clear(&l.b);
	return k;
}

static enum err_kind signal_once(const struct cgroup *cg, int sig, size_t *ret_n, struct err *e)
{
	AUTO_ARENA a;
	pid_t *pids;
	enum err_kind k;

	arena_init(&a, 2 * FILE_BYTES_MAX);
	k = cgroup_pids(cg, &a, &pids, ret_n, e);
	for (size_t i = 0; k == ERR_OK && i < *ret_n; i++)
		(void)kill(pids[i], sig); /* it may be gone by now */
	return k;
}

enum err_kind cgroup_signal(const struct cgroup *cg, int sig, struct err *e)
{
	uint64_t end = mono_ms() + REMOVE_WAIT_MS;
	const struct cgroup_dir *d = leading_dir(cg);
	struct err ignored;
	size_t n = 0;
	enum err_kind k;

	if (sig != SIGKILL)
		return signal_once(cg, sig, &n, e);
	if (d && d->is_v2 && cgroup_write_file(d, "cgroup.kill", "1", &ignored) == ERR_OK)
		return ERR_OK;
	for (;;) {
		k = signal_once(cg, sig, &n, e);
		if (cgroup_is_frozen(cg)) /* v1: a frozen process dies when it thaws */
			(void)!cgroup_freeze(cg, false, &ignored);
		if (k != ERR_OK || n == 0)
			return k;
		if (mono_ms() > end)
			return ERR_OK; /* zombies that their parents do not reap; removal tells */
		(void)usleep(POLL_MS * 1000);
	}
}

/* ---- removing ---- */

static enum err_kind remove_children(int dir, void *arg UNUSED, struct err *e UNUSED)
{
	DIR *d = NULL;
	struct dirent *entry;
	int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (again >= 0)
		d = fdopendir(again);
	while (d && (entry = readdir(d))) {
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			(void)unlinkat(dir, entry->d_name, AT_REMOVEDIR);
	}
	if (d)
		(void)closedir(d);
	return ERR_OK;
}

static bool is_ours(const struct cgroup_dir *d, const char *path)
{
	char value[4];

	return strlen(path) > strlen(d->path) - d->missing ||
	       getxattr(path, MARK, value, sizeof(value)) > 0 ||
	       getxattr(path, MARK_OF_USER, value, sizeof(value)) > 0;
}

/* rmdir, waiting for processes that are dying; 0 or -errno. */
static int remove_group(const char *path)
{
	uint64_t end = mono_ms() + REMOVE_WAIT_MS;
	const struct walker w = { .visit = remove_children };
	struct err ignored;

	while (rmdir(path) < 0) {
		AUTO_CLOSE dir = -1;

		if (errno == ENOENT)
			return 0;
		if (errno != EBUSY || mono_ms() > end)
			return -errno;
		if (open_dir(path, &dir, &ignored) == ERR_OK)
			(void)!walk_groups(dir, 0, &w, &ignored);
		if (rmdir(path) == 0)
			return 0;
		(void)usleep(POLL_MS * 1000);
	}
	return 0;
}

/* The last container in it removes it, whether or not it was marked when it was made. */
static void leave_to_others(const char *path)
{
	AUTO_CLOSE dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (dir >= 0)
		mark(dir);
}

/* Parents that were made for containers and hold none any more. */
static void remove_parents(const struct cgroup_dir *d)
{
	char path[4096];
	char *slash;

	if (!str_copy(str_of(d->path), path, sizeof(path)))
		return;
	while ((slash = strrchr(path, '/')) && (size_t)(slash - path) > strlen(d->mount)) {
		*slash = '\0';
		if (!is_ours(d, path))
			return;
		if (rmdir(path) < 0 && errno != ENOENT) {
			leave_to_others(path);
			return;
		}
	}
}

enum err_kind cgroup_remove(const struct cgroup *cg, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; i < cg->n; i++) {
		const struct cgroup_dir *d = &cg->dirs[i];
		int r = is_ours(d, d->path) ? remove_group(d->path) : 0;

		if (r < 0) {
			errno = -r;
			k = err_sys(e, __func__, "remove cgroup %s", d->path);
			continue;
		}
		remove_parents(d);
	}
	return k;
}
