#include "runtime/container/userns.h"

#include <errno.h>
#include <linux/nsfs.h>
#include <pwd.h>
#include <sched.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "base/fd.h"

#define RANGES_MAX 64 /* the kernel takes 340 */
#define NUMBER_MAX 24
#define LEVELS_MAX 33 /* of user namespaces, in the kernel */
#define SUBID_FILE_MAX (1u << 20)
#define MAP_MAX 16384
#define HOLDER_FILE "userns"

extern char **environ;

/* A user's own id, which becomes 0, and the ranges that follow it. */
struct range {
	uint64_t first, n;
};
struct ids {
	uint64_t own;
	struct range ranges[RANGES_MAX];
	size_t n;
};

/* --- Subordinate ids --- */

static bool is_user(struct str who, const char *name, uint64_t uid)
{
	uint64_t n;

	if (name && str_eq(who, str_of(name)))
		return true;
	return scan_u64(&who, UINT32_MAX, &n) && scan_end(&who) && n == uid;
}

/* "USER:FIRST:COUNT", for each line that is the user's. */
static void take_line(struct ids *ids, struct str line, const char *name, uint64_t uid)
{
	struct str who, rest;
	struct range r;

	if (!str_cut(line, ':', &who, &rest) || !is_user(who, name, uid))
		return;
	if (!scan_u64(&rest, UINT32_MAX, &r.first) || !scan_char(&rest, ':') ||
	    !scan_u64(&rest, UINT32_MAX, &r.n) || !scan_end(&rest) || r.n == 0)
		return;
	if (ids->n < RANGES_MAX)
		ids->ranges[ids->n++] = r;
}

static enum err_kind read_ids(const char *file, const char *name, uint64_t uid, struct ids *ids,
			      struct err *e)
{
	AUTO_CLOSE fd = sys_openat(AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0);
	AUTO_SBUF b;
	struct str rest, line;
	enum err_kind k;

	if (fd < 0)
		return errno == ENOENT ? ERR_OK : err_sys(e, __func__, "open %s", file);
	sbuf_init(&b, SUBID_FILE_MAX);
	k = fd_read_rest(fd, &b, file, e);
	for (rest = (struct str){ b.p, b.n }; k == ERR_OK && rest.n;) {
		(void)str_cut(rest, '\n', &line, &rest);
		take_line(ids, line, name, uid);
	}
	return k;
}

/* --- Others' namespaces --- */

static bool is_same(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

static bool next_number(struct str *in, uint64_t *ret)
{
	while (scan_char(in, ' ') || scan_char(in, '\n'))
		;
	return scan_u64(in, UINT32_MAX, ret);
}

static bool read_map(const char *path, struct sbuf *b)
{
	AUTO_CLOSE fd = -1;
	struct err ignored;

	return fd_open_at(AT_FDCWD, path, O_RDONLY, 0, &fd, &ignored) == ERR_OK &&
	       fd_read_rest(fd, b, path, &ignored) == ERR_OK && b->n > 0;
}

static bool has_map(pid_t pid, const struct ids *ids)
{
	AUTO_SBUF b;
	char path[64];
	struct str in;
	uint64_t inside = 0, at, first, n;

	sbuf_init(&b, MAP_MAX);
	(void)snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
	if (!read_map(path, &b))
		return false;
	in = (struct str){ b.p, b.n };
	for (size_t i = 0; i <= ids->n; i++) {
		struct range r = i ? ids->ranges[i - 1] : (struct range){ ids->own, 1 };

		if (!next_number(&in, &at) || !next_number(&in, &first) || !next_number(&in, &n) ||
		    at != inside || first != r.first || n != r.n)
			return false;
		inside += r.n;
	}
	return !next_number(&in, &at);
}

bool userns_is_alone(void)
{
	AUTO_SBUF b;
	struct str in;
	uint64_t inside, outside, n;

	sbuf_init(&b, MAP_MAX);
	if (!read_map("/proc/self/gid_map", &b))
		return false;
	in = (struct str){ b.p, b.n };
	return next_number(&in, &inside) && next_number(&in, &outside) && next_number(&in, &n) &&
	       n == 1 && !next_number(&in, &n);
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
	char text[3 * RANGES_MAX + 8][NUMBER_MAX];
	char *argv[3 * RANGES_MAX + 9];
	uint64_t inside = 1;
	size_t n = 0;
	int status;
	pid_t child;

	(void)snprintf(text[n++], NUMBER_MAX, "%s", program);
	(void)snprintf(text[n++], NUMBER_MAX, "%d", (int)pid);
	(void)snprintf(text[n++], NUMBER_MAX, "0");
	(void)snprintf(text[n++], NUMBER_MAX, "%llu", (unsigned long long)ids->own);
	(void)snprintf(text[n++], NUMBER_MAX, "1");
	for (size_t i = 0; i < ids->n; inside += ids->ranges[i++].n) {
		const uint64_t three[] = { inside, ids->ranges[i].first, ids->ranges[i].n };

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

static enum err_kind write_proc(const char *path, const char *text, struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k = fd_open_at(AT_FDCWD, path, O_WRONLY, 0, &fd, e);

	return k == ERR_OK ? fd_write_all(fd, text, strlen(text), path, e) : k;
}

static enum err_kind map_alone(const struct ids *u, const struct ids *g, struct err *e)
{
	char text[64];
	enum err_kind k = write_proc("/proc/self/setgroups", "deny", e);

	(void)snprintf(text, sizeof(text), "0 %llu 1", (unsigned long long)u->own);
	if (k == ERR_OK)
		k = write_proc("/proc/self/uid_map", text, e);
	(void)snprintf(text, sizeof(text), "0 %llu 1", (unsigned long long)g->own);
	return k == ERR_OK ? write_proc("/proc/self/gid_map", text, e) : k;
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

	if (u->n && g->n)
		k = map_by_helper(u, g, e);
	else
		k = leave_host(e);
	if (k == ERR_OK && !(u->n && g->n))
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
	k = read_ids("/etc/subuid", name, u->own, u, e);
	if (k == ERR_OK)
		k = read_ids("/etc/subgid", name, u->own, g, e);
	if (u->n == 0 || g->n == 0)
		u->n = g->n = 0;
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
	*ret_alone = u.n == 0;
	return k;
}
