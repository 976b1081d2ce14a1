#include <errno.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "runtime/oci/init/kernel.h"
#include "runtime/oci/run/launch.h"
#include "runtime/oci/run/runtime.h"

/* The kinds of namespace in which the container's process is not with us. */
static const struct {
	const char *name;
	int flag;
} kinds[] = {
	{ "user", CLONE_NEWUSER }, { "cgroup", CLONE_NEWCGROUP }, { "ipc", CLONE_NEWIPC },
	{ "uts", CLONE_NEWUTS },   { "net", CLONE_NEWNET },       { "pid", CLONE_NEWPID },
	{ "time", 0x80 },          { "mnt", CLONE_NEWNS },
};

static bool is_shared(pid_t pid, const char *name)
{
	char path[64];
	struct stat own, its;

	(void)snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	if (stat(path, &own) < 0)
		return true; /* a kernel without this kind */
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, name);
	return stat(path, &its) == 0 && own.st_ino == its.st_ino && own.st_dev == its.st_dev;
}

static int flags_of(pid_t pid)
{
	int flags = 0;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (!is_shared(pid, kinds[i].name))
			flags |= kinds[i].flag;
	}
	return flags;
}

static bool denies_setgroups(pid_t pid)
{
	char path[64], text[8] = "";
	AUTO_CLOSE fd = -1;

	(void)snprintf(path, sizeof(path), "/proc/%d/setgroups", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, text, sizeof(text)) >= 4 && memcmp(text, "deny", 4) == 0;
}

/*
 * The container's root.  Joining its mount namespace leads to that namespace's root, which is another one where the
 * container lives in a chroot of it.
 */
static enum err_kind open_root(const struct container *c, int pidfd, int *ret, struct err *e)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/root", c->state.pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, __func__, "open %s", path);
	*ret = fd;
	if (k_pidfd_signal(pidfd, 0) < 0) /* the number may have become somebody else's */
		return err_set(e, ERR_NOT_FOUND, __func__, "cannot exec in a stopped container");
	return ERR_OK;
}

/* The same pidfd gives all of them, so they are one process's, whatever becomes of its number. */
static enum err_kind fill_join(const struct container *c, struct exec_options *x, struct err *e)
{
	int flags = flags_of(c->state.pid);
	enum err_kind k = container_pidfd(c, &x->join.fd, e);

	if (k != ERR_OK)
		return k;
	x->join.flags = flags;
	x->join.path = "of the container";
	x->in_own_userns = (flags & CLONE_NEWUSER) != 0;
	x->denies_setgroups = x->in_own_userns && denies_setgroups(c->state.pid);
	return open_root(c, x->join.fd, &x->root, e);
}

static enum err_kind check_status(const struct container *c, const struct exec_request *x,
				  struct err *e)
{
	switch (container_status(c)) {
	case STATUS_CREATED:
	case STATUS_RUNNING:
		return ERR_OK;
	case STATUS_PAUSED:
		return x->ignore_paused ? ERR_OK
					: err_set(e, ERR_INVALID, __func__,
						  "cannot exec in a paused container (use "
						  "--ignore-paused to override)");
	case STATUS_CREATING:
	case STATUS_STOPPED:
		break;
	}
	return err_set(e, ERR_INVALID, __func__, "cannot exec in a stopped container");
}

/* --cgroup: a group below the container's own. */
static enum err_kind sub_cgroup(const struct cgroup *cg, const char *sub, struct arena *a,
				struct cgroup *ret, struct err *e)
{
	*ret = *cg;
	if (!sub)
		return ERR_OK;
	if (strstr(sub, ".."))
		return err_set(e, ERR_INVALID, __func__, "--cgroup: \"%.60s\" leads out", sub);
	for (size_t i = 0; i < ret->n; i++) {
		ret->dirs[i].path = arena_printf(a, "%s/%s", ret->dirs[i].path, sub);
		if (!ret->dirs[i].path)
			return plan_no_memory(e);
		if (access(ret->dirs[i].path, F_OK) < 0)
			return err_sys(e, __func__, "--cgroup: %s", ret->dirs[i].path);
	}
	return ERR_OK;
}

/* cgroup v2: the container may have moved its processes below; then its own group takes none any more. */
static enum err_kind join_where_init_is(const struct cgroup *cg, pid_t init, pid_t pid,
					struct arena *a, struct err *e)
{
	struct layout l;
	struct err ignored;
	AUTO_SBUF b;
	AUTO_CLOSE fd = -1;
	struct str rest, line;
	struct cgroup where = { .n = 1 };
	char path[64];

	sbuf_init(&b, 65536);
	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", init);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (!cg->is_unified || fd < 0 || fd_read_rest(fd, &b, path, &ignored) != ERR_OK ||
	    layout_read(a, &l, &ignored) != ERR_OK || l.n == 0)
		return e->kind;
	for (rest = (struct str){ b.p, b.n }; rest.n;) {
		(void)str_cut(rest, '\n', &line, &rest);
		if (!str_starts(line, STR("0::")))
			continue;
		where.dirs[0].is_v2 = true;
		where.dirs[0].path =
		    arena_printf(a, "%s%.*s", l.v[0].mount, (int)(line.n - 3), line.p + 3);
		return where.dirs[0].path ? cgroup_join(&where, pid, e) : plan_no_memory(e);
	}
	return e->kind;
}

static enum err_kind prepare(const struct runtime *rt, const struct container *c,
			     const struct exec_request *x, const struct spec_process *proc,
			     struct launch *l, struct arena *a, struct err *e)
{
	struct cgroup cg;
	enum err_kind k = sub_cgroup(&c->state.cgroup, x->cgroup, a, &cg, e);

	if (k == ERR_OK) {
		k = cgroup_join(&cg, l->pid, e);
		if (k != ERR_OK)
			k = join_where_init_is(&cg, c->state.pid, l->pid, a, e);
	}
	return k == ERR_OK ? launch_set_oom_score(l->pid, proc, &rt->host, e) : k;
}

/* Until the program runs. */
static enum err_kind serve(struct launch *l, const struct spec_process *proc, struct err *e)
{
	bool execs = false;
	enum err_kind k = launch_go(l, e);

	while (k == ERR_OK) {
		struct sync_msg m;

		k = launch_next(l, &m, e);
		if (k != ERR_OK)
			break;
		if (m.type == SYNC_END)
			return execs ? ERR_OK
				     : err_set(e, ERR_IO, __func__, "the process ended early");
		execs = execs || m.type == SYNC_EXEC;
		if (m.type == SYNC_LIMITS) {
			k = launch_set_limits(l->pid, proc, e);
			if (k == ERR_OK)
				k = launch_answer(l, SYNC_LIMITS_DONE, e);
		}
	}
	return k;
}

static enum err_kind set_own_affinity(const char *cpus, struct err *e)
{
	cpu_set_t set;

	if (!cpus || !cpus[0])
		return ERR_OK;
	if (!plan_cpu_set(cpus, &set))
		return err_set(e, ERR_INVALID, __func__,
			       "process.execCPUAffinity.initial: \"%.40s\" is no list of CPUs",
			       cpus);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		return err_sys(e, __func__, "process.execCPUAffinity.initial");
	return ERR_OK;
}

static enum err_kind run(struct runtime *rt, struct container *c, const struct exec_request *x,
			 const struct spec_process *proc, const struct plan *p, struct arena *a,
			 pid_t *ret, struct err *e)
{
	struct launch l = { .sync = -1, .pidfd = -1 };
	enum err_kind k = set_own_affinity(proc->exec_cpu_affinity.initial, e);

	if (k == ERR_OK)
		k = launch_spawn(p, &rt->host, -1, c->lock, &l, e);
	if (k == ERR_OK)
		k = prepare(rt, c, x, proc, &l, a, e);
	if (k == ERR_OK)
		k = serve(&l, proc, e);
	if (k == ERR_OK && x->pid_file)
		k = runtime_write_pid_file(x->pid_file, l.pid, e);
	*ret = l.pid;
	launch_end(&l, k != ERR_OK);
	return k;
}

enum err_kind runtime_exec(struct runtime *rt, struct container *c, const struct spec *s,
			   const struct exec_request *x, struct arena *a, pid_t *ret, struct err *e)
{
	const struct spec_process *proc = x->process;
	struct filter filter = { 0 };
	struct plan_options base = { .id = c->id,
				     .bundle = c->state.bundle,
				     .rootfs = c->state.rootfs,
				     .state_dir = -1,
				     .console_socket = x->console_fd,
				     .no_new_keyring = x->no_new_keyring,
				     .preserve_fds = x->preserve_fds,
				     .listen_fds = runtime_listen_fds(),
				     .listener_socket = -1 };
	struct exec_options options = { .base = &base, .process = proc, .join.fd = -1, .root = -1 };
	struct plan p = { .root_tree = -1, .root_dir = -1 };
	AUTO_CLOSE socket = -1;
	AUTO_CLOSE agent = -1;
	enum err_kind k = check_status(c, x, e);

	if (k == ERR_OK)
		k = fill_join(c, &options, e);
	if (k == ERR_OK)
		k = runtime_filter(rt, s, a, &filter, &agent, e);
	if (k == ERR_OK && x->console_socket) {
		k = runtime_connect(x->console_socket, &socket, e);
		base.console_socket = socket;
	}
	base.filter = s->linux_.seccomp ? &filter : NULL;
	base.listener_socket = agent;
	if (k == ERR_OK)
		k = plan_build_exec(s, &rt->host, &options, a, &p, e);
	if (k == ERR_OK)
		k = run(rt, c, x, proc, &p, a, ret, e);
	plan_clear(&p);
	return k;
}
