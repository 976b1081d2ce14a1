#include "runtime/container/userns.h"

#include <errno.h>
#include <linux/nsfs.h>
#include <pwd.h>
#include <sched.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/idmap.h"
#include "runtime/container/subids.h"

#define NUMBER_MAX 24
#define LEVELS_MAX 33 /* of user namespaces, in the kernel */
#define HOLDER_FILE "userns"

extern char **environ;

/* A user's own id, which becomes 0, and the ranges that follow it. */
struct ids {
	uint64_t own;
	struct subids sub;
};

/* --- Others' namespaces --- */

static bool is_same(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

static bool has_map(pid_t pid, const struct ids *ids)
{
	char path[64];
	struct idmap m;
	struct err ignored;
	uint64_t inside = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
	if (idmap_read(path, &m, &ignored) != ERR_OK || m.n != ids->sub.n + 1)
		return false;
	for (size_t i = 0; i < m.n; i++) {
		struct subids_range r =
		    i ? ids->sub.v[i - 1] : (struct subids_range){ ids->own, 1 };

		if (m.v[i].inside != inside || m.v[i].outside != r.first || m.v[i].n != r.n)
			return false;
		inside += r.n;
	}
	return true;
}

bool userns_is_alone(void)
{
	struct idmap m;
	struct err ignored;

	return idmap_read("/proc/self/gid_map", &m, &ignored) == ERR_OK && idmap_count(&m) == 1;
}

/* The namespace of that process, or the one around it, if it is one that we would have made. */
static bool find_ours(pid_t pid, const struct ids *ids, int *ret)
{
	AUTO_CLOSE own = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	AUTO_CLOSE fd = -1;
	char path[64];
	uid_t owner;
	int level = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	fd = pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	for (; fd >= 0 && own >= 0 && level < LEVELS_MAX; level++) {
		AUTO_CLOSE parent = ioctl(fd, NS_GET_PARENT);

		if (parent >= 0 && is_same(parent, own))
			break;
		fd_close(&fd);
		fd = TAKE_FD(parent);
	}
	if (fd < 0 || own < 0 || level == LEVELS_MAX || ioctl(fd, NS_GET_OWNER_UID, &owner) < 0 ||
	    owner != geteuid() || (level == 0 && !has_map(pid, ids)))
		return false;
	*ret = TAKE_FD(fd);
	return true;
}

static pid_t read_pid(int dir, const char *name)
{
	AUTO_SBUF b;
	struct err ignored;
	struct str in;
	uint64_t pid;

	sbuf_init(&b, NUMBER_MAX);
	if (fd_read_file(dir, name, &b, &ignored) != ERR_OK)
		return 0;
	in = (struct str){ b.p, b.n };
	return scan_u64(&in, INT32_MAX, &pid) ? (pid_t)pid : 0;
}

struct search {
	int state; /* STATE */
	const struct ids *ids;
	int found;
};

/* Of a container the shim's, or, if that was killed, its process's. */
static enum err_kind look_at(void *arg, const char *name, struct err *e)
{
	static const char *const files[] = { USERNS_HOLDER, "pid" };
	struct search *s = arg;
	AUTO_CLOSE dir = -1;

	if (s->found >= 0 ||
	    fd_open_at(s->state, name, O_RDONLY | O_DIRECTORY, 0, &dir, e) != ERR_OK)
		return ERR_OK;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (find_ours(read_pid(dir, files[i]), s->ids, &s->found))
			return ERR_OK;
	}
	return ERR_OK;
}

static enum err_kind find_any(int state, const struct ids *ids, int *ret, struct err *e)
{
	struct search s = { .state = state, .ids = ids, .found = -1 };
	enum err_kind k = ERR_OK;

	if (!find_ours(read_pid(state, HOLDER_FILE), ids, &s.found))
		k = fd_list_dir(state, ".", look_at, &s, e);
	*ret = s.found;
	return k;
}

/* --- Making one --- */

/* newuidmap PID 0 OWN 1 1 FIRST COUNT ... */
static bool run_mapper(const char *program, pid_t pid, const struct ids *ids)
{
	char text[3 * SUBIDS_RANGES_MAX + 8][NUMBER_MAX];
	char *argv[3 * SUBIDS_RANGES_MAX + 9];
	uint64_t inside = 1;
	size_t n = 0;
	int status;
	pid_t child;

	(void)snprintf(text[n++], NUMBER_MAX, "%s", program);
	(void)snprintf(text[n++], NUMBER_MAX, "%d", (int)pid);
	(void)snprintf(text[n++], NUMBER_MAX, "0");
	(void)snprintf(text[n++], NUMBER_MAX, "%llu", (unsigned long long)ids->own);
	(void)snprintf(text[n++], NUMBER_MAX, "1");
	for (size_t i = 0; i < ids->sub.n; inside += ids->sub.v[i++].n) {
		const uint64_t three[] = { inside, ids->sub.v[i].first, ids->sub.v[i].n };

		for (size_t t = 0; t < ARRAY_LEN(three); t++)
			(void)snprintf(text[n++], NUMBER_MAX, "%llu", (unsigned long long)three[t]);
	}
	for (size_t i = 0; i < n; i++)
		argv[i] = text[i];
	argv[n] = NULL;
	return posix_spawnp(&child, program, NULL, NULL, argv, environ) == 0 &&
	       waitpid(child, &status, 0) == child && status == 0;
}

/* What must be done from outside: by a child that was made before. */
static void map_parent(int go, pid_t pid, const struct ids *u, const struct ids *g)
{
	char byte;

	if (read(go, &byte, 1) != 1)
		_exit(1);
	_exit(run_mapper("newuidmap", pid, u) && run_mapper("newgidmap", pid, g) ? 0 : 1);
}

static enum err_kind map_alone(const struct ids *u, const struct ids *g, struct err *e)
{
	char text[64];
	enum err_kind k = idmap_put(getpid(), "setgroups", "deny", e);

	(void)snprintf(text, sizeof(text), "0 %llu 1", (unsigned long long)u->own);
	if (k == ERR_OK)
		k = idmap_put(getpid(), "uid_map", text, e);
	(void)snprintf(text, sizeof(text), "0 %llu 1", (unsigned long long)g->own);
	return k == ERR_OK ? idmap_put(getpid(), "gid_map", text, e) : k;
}

static enum err_kind leave_host(struct err *e)
{
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0
		   ? err_sys(e, __func__,
			     "make a user namespace (does this kernel let users do that?)")
		   : ERR_OK;
}

static enum err_kind map_by_helper(const struct ids *u, const struct ids *g, struct err *e)
{
	AUTO_CLOSE go_read = -1;
	AUTO_CLOSE go_write = -1;
	int fds[2], status = 1;
	pid_t self = getpid(), child;
	enum err_kind k;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, __func__, "make a pipe");
	go_read = fds[0];
	go_write = fds[1];
	child = fork();
	if (child < 0)
		return err_sys(e, __func__, "fork");
	if (child == 0) {
		fd_close(&go_write);
		map_parent(go_read, self, u, g);
	}
	k = leave_host(e);
	if (k == ERR_OK)
		(void)!write(go_write, "", 1); /* what fails shows in the child's status */
	fd_close(&go_write);
	if (waitpid(child, &status, 0) == child && status == 0)
		return k;
	return k != ERR_OK
		   ? k
		   : err_set(
			 e, ERR_DENIED, __func__,
			 "newuidmap and newgidmap (package uidmap) are needed, and did not do it");
}

static enum err_kind make(int file, const struct ids *u, const struct ids *g, struct err *e)
{
	char text[NUMBER_MAX];
	enum err_kind k = ERR_OK;
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (u->sub.n && g->sub.n)
		k = map_by_helper(u, g, e);
	else
		k = leave_host(e);
	if (k == ERR_OK && !(u->sub.n && g->sub.n))
		k = map_alone(u, g, e);
	if (k == ERR_OK && sys_ftruncate(file, 0) < 0)
		return err_sys(e, __func__, "write " HOLDER_FILE);
	return k == ERR_OK ? fd_write_all(file, text, (size_t)n, HOLDER_FILE, e) : k;
}

/* --- Entering --- */

static enum err_kind enter(int ns, struct err *e)
{
	if (setns(ns, CLONE_NEWUSER) < 0)
		return err_sys(e, __func__, "enter the user namespace of running containers");
	return unshare(CLONE_NEWNS) < 0 ? err_sys(e, __func__, "make a mount namespace") : ERR_OK;
}

static enum err_kind find_ids(struct ids *u, struct ids *g, struct err *e)
{
	const struct passwd *p = getpwuid(geteuid());
	const char *name = p ? p->pw_name : NULL;
	enum err_kind k;

	u->own = geteuid();
	g->own = getegid();
	k = subids_read("/etc/subuid", name, u->own, &u->sub, e);
	if (k == ERR_OK)
		k = subids_read("/etc/subgid", name, u->own, &g->sub, e);
	if (u->sub.n == 0 || g->sub.n == 0)
		u->sub.n = g->sub.n = 0;
	return k;
}

enum err_kind userns_enter(const char *path, bool *ret_alone, struct err *e)
{
	struct ids u = { 0 }, g = { 0 };
	AUTO_CLOSE state = -1;
	AUTO_CLOSE file = -1;
	AUTO_CLOSE ns = -1;
	enum err_kind k = fd_make_path(path, 0700, &state, e);

	if (k == ERR_OK)
		k = find_ids(&u, &g, e);
	if (k == ERR_OK)
		k = fd_open_at(state, HOLDER_FILE, O_RDWR | O_CREAT, 0600, &file, e);
	if (k == ERR_OK)
		k = fd_lock(file, HOLDER_FILE, e);
	if (k == ERR_OK)
		k = find_any(state, &u, &ns, e);
	if (k == ERR_OK)
		k = ns >= 0 ? enter(ns, e) : make(file, &u, &g, e);
	*ret_alone = u.sub.n == 0;
	return k;
}
