#include "runtime/oci/plan/build.h"

#include <errno.h>
#include <sys/mount.h>

#include "base/fd.h"
#include "runtime/oci/init/tree.h"

#define WARNINGS_MAX (64u * 1024)

enum err_kind plan_no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the plan");
}

void plan_clear(struct plan *p)
{
	for (size_t i = 0; i < p->joins_n; i++)
		fd_close(&p->joins[i].fd);
	for (size_t i = 0; i < p->n; i++) {
		if (p->steps[i].kind == STEP_MOUNT && p->steps[i].mount) {
			int tree = p->steps[i].mount->tree;

			fd_close(&tree);
		}
	}
	fd_close(&p->root_tree);
	fd_close(&p->root_dir);
	sbuf_clear(&p->warnings);
	p->n = p->joins_n = 0;
}

static void init(struct plan *p, const struct host *h, struct arena *a)
{
	*p = (struct plan){
		.arena = a, .root_tree = -1, .root_dir = -1, .proc = h->proc, .state_dir = -1
	};
	sbuf_init(&p->warnings, WARNINGS_MAX);
}

static enum err_kind plan_cgroup_namespace(struct plan *p, const struct spec *s, struct err *e)
{
	const struct spec_namespace *n = spec_namespace_of(s, NS_CGROUP);

	if (!n || n->path)
		return ERR_OK;
	return plan_put(p, STEP(UNSHARE, "cgroup namespace", .ns_flags = CLONE_NEWCGROUP), e);
}

static enum err_kind plan_names(struct plan *p, const struct spec *s, struct err *e)
{
	enum err_kind k = ERR_OK;

	if (s->hostname && s->hostname[0])
		k = plan_put(p, STEP(HOSTNAME, s->hostname), e);
	if (k == ERR_OK && s->domainname && s->domainname[0])
		k = plan_put(p, STEP(DOMAINNAME, s->domainname), e);
	return k;
}

/* "net.ipv4.ip_forward" is sys/net/ipv4/ip_forward below /proc; a slash in the name stands for a dot in a part. */
static enum err_kind plan_sysctls(struct plan *p, const struct spec *s, struct err *e)
{
	for (size_t i = 0; i < s->linux_.sysctl.n; i++) {
		const struct pair *pair = &s->linux_.sysctl.v[i];
		char *file = arena_printf(p->arena, "sys/%s", pair->key);
		const char *name = arena_printf(p->arena, "linux.sysctl.%s", pair->key);
		enum err_kind k;

		if (!file || !name)
			return plan_no_memory(e);
		for (char *c = file + 4; *c; c++)
			*c = (char)(*c == '.' ? '/' : *c == '/' ? '.' : *c);
		k = plan_put(p, STEP(SYSCTL, name, .sysctl = { file, pair->value }), e);
		if (k != ERR_OK)
			return k;
	}
	return ERR_OK;
}

static unsigned long propagation_flags(int propagation)
{
	static const unsigned long flags[] = {
		[PROPAGATION_NONE] = MS_SLAVE | MS_REC,
		[PROPAGATION_SHARED] = MS_SHARED,
		[PROPAGATION_SLAVE] = MS_SLAVE,
		[PROPAGATION_PRIVATE] = MS_PRIVATE,
		[PROPAGATION_UNBINDABLE] = MS_UNBINDABLE,
		[PROPAGATION_RSHARED] = MS_SHARED | MS_REC,
		[PROPAGATION_RSLAVE] = MS_SLAVE | MS_REC,
		[PROPAGATION_RPRIVATE] = MS_PRIVATE | MS_REC,
		[PROPAGATION_RUNBINDABLE] = MS_UNBINDABLE | MS_REC,
	};

	return flags[propagation];
}

static enum err_kind open_root(struct plan *p, const struct host *h, bool mounts, struct err *e)
{
	AUTO_CLOSE fd = open(p->root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int tree;

	if (fd < 0)
		return err_sys(e, __func__, "root.path: %s", p->root_path);
	if (!mounts)
		p->root_dir = TAKE_FD(fd);
	if (!mounts || !h->may_mount)
		return ERR_OK;
	tree = tree_clone(fd, "", true);
	if (tree == -ENOSYS)
		return ERR_OK;
	if (tree < 0) {
		errno = -tree;
		return err_sys(e, __func__, "root.path: clone %s", p->root_path);
	}
	p->root_tree = tree;
	return ERR_OK;
}

/*
 * What happens in the new mount namespace must not reach the host.  A root that is to be shared is one of the
 * container's own group: it is made private first and shared again in the end.
 */
static enum err_kind plan_root(struct plan *p, const struct spec *s, const struct host *h,
			       const struct plan_options *o, struct err *e)
{
	enum err_kind k;

	p->root_path = o->rootfs;
	k = open_root(p, h, spec_has_namespace(s, NS_MOUNT), e);
	if (k != ERR_OK || !spec_has_namespace(s, NS_MOUNT))
		return k;
	k = plan_put(p, STEP(PROPAGATE, "/", .ms_flags = MS_SLAVE | MS_REC), e);
	return k == ERR_OK ? plan_put(p, STEP(ATTACH_ROOT, o->rootfs), e) : k;
}

static enum err_kind plan_console(struct plan *p, const struct spec_process *proc,
				  const struct plan_options *o, bool binds, struct err *e)
{
	struct console_op *c;

	if (!proc || !proc->terminal)
		return ERR_OK;
	c = arena_get(p->arena, sizeof(*c));
	if (!c)
		return plan_no_memory(e);
	*c = (struct console_op){ .socket = o->console_socket,
				  .binds = binds,
				  .uid = proc->user.uid };
	if (proc->console_size)
		c->size = *proc->console_size;
	return plan_put(p, STEP(CONSOLE, "", .console = c), e);
}

static enum err_kind plan_paths(struct plan *p, const struct texts *paths, enum step_kind kind,
				struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < paths->n; i++)
		k = plan_put(p, (struct step){ .kind = kind, .object = paths->v[i] }, e);
	return k;
}

/* Where the host mounts its procfs and sysfs: what --no-pivot has to take away. */
static enum err_kind plan_no_pivot(struct plan *p, struct err *e)
{
	AUTO_CLOSE fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	AUTO_SBUF b;
	struct str rest, line;
	const char **list;
	size_t n = 0, lines = 1;
	enum err_kind k;

	if (fd < 0)
		return err_sys(e, __func__, "open /proc/self/mountinfo");
	sbuf_init(&b, 4u * 1024 * 1024);
	k = fd_read_rest(fd, &b, "/proc/self/mountinfo", e);
	if (k != ERR_OK)
		return k;
	for (size_t i = 0; i < b.n; i++)
		lines += b.p[i] == '\n';
	list = arena_array(p->arena, lines + 1, sizeof(*list));
	if (!list)
		return plan_no_memory(e);
	for (rest = (struct str){ b.p, b.n }; rest.n;) {
		struct str field, mount = { 0 };
		char text[4096];

		(void)str_cut(rest, '\n', &line, &rest);
		if (!str_copy(line, text, sizeof(text)) ||
		    (!strstr(text, " - proc ") && !strstr(text, " - sysfs ")))
			continue;
		for (int i = 0; i < 5; i++) {
			(void)str_cut(line, ' ', &field, &line);
			mount = field;
		}
		list[n] = arena_text(p->arena, mount);
		if (!list[n++])
			return plan_no_memory(e);
	}
	p->host_proc_mounts = list;
	return ERR_OK;
}

static enum err_kind plan_pivot(struct plan *p, const struct spec *s, const struct plan_options *o,
				struct err *e)
{
	const struct spec_namespace *mount = spec_namespace_of(s, NS_MOUNT);
	enum pivot_kind kind = o->no_pivot ? PIVOT_MOVE : PIVOT_ROOT;
	enum err_kind k;

	if (!mount || mount->path) /* others live in it */
		kind = PIVOT_CHROOT;
	k = plan_put(p, STEP(PIVOT, o->rootfs, .number = (int)kind), e);
	return k == ERR_OK && kind == PIVOT_MOVE ? plan_no_pivot(p, e) : k;
}

static enum err_kind plan_root_attr(struct plan *p, const struct spec *s, struct err *e)
{
	int propagation = s->linux_.rootfs_propagation;
	enum err_kind k = ERR_OK;

	if (s->root.readonly)
		k = plan_put(p, STEP(ROOT_READONLY, ""), e);
	if (k != ERR_OK || !propagation)
		return k;
	return plan_put(p,
			STEP(ROOT_PROPAGATION, spec_propagation_names[propagation - 1],
			     .ms_flags = propagation_flags(propagation)),
			e);
}

static enum err_kind plan_keyring(struct plan *p, const struct plan_options *o, struct err *e)
{
	const char *name = arena_printf(p->arena, "_ses.%s", o->id);

	if (o->no_new_keyring)
		return ERR_OK;
	return name ? plan_put(p, STEP(KEYRING, name), e) : plan_no_memory(e);
}

/* Before the container's root is the process's. */
static enum err_kind build_outside(struct plan *p, const struct spec *s, const struct host *h,
				   const struct plan_options *o, struct err *e)
{
	enum err_kind k = plan_put(p, STEP(AWAIT, ""), e);

	if (k == ERR_OK)
		k = plan_cgroup_namespace(p, s, e);
	if (k == ERR_OK && p->is_new_userns && !p->needs_stage)
		k = plan_put(p, STEP(BECOME_ROOT, ""), e);
	if (k == ERR_OK)
		k = plan_keyring(p, o, e);
	if (k == ERR_OK)
		k = plan_names(p, s, e);
	if (k == ERR_OK)
		k = plan_sysctls(p, s, e);
	if (k == ERR_OK)
		k = plan_root(p, s, h, o, e);
	if (k == ERR_OK && spec_has_namespace(s, NS_MOUNT))
		k = plan_mounts(p, s, h, o, e);
	if (k == ERR_OK && spec_has_namespace(s, NS_MOUNT))
		k = plan_devices(p, s, e);
	if (k == ERR_OK)
		k = plan_put(p, STEP(HOOKS, ""), e);
	if (k == ERR_OK)
		k = plan_hooks(p, s, HOOK_CREATE_CONTAINER, o, e);
	return k;
}

static enum err_kind build_inside(struct plan *p, const struct spec *s, const struct host *h,
				  const struct plan_options *o, struct err *e)
{
	bool mounts = spec_has_namespace(s, NS_MOUNT);
	enum err_kind k = plan_console(p, s->process, o, mounts, e);

	if (k == ERR_OK && mounts)
		k = plan_paths(p, &s->linux_.masked_paths, STEP_MASK, e);
	if (k == ERR_OK && mounts)
		k = plan_paths(p, &s->linux_.readonly_paths, STEP_READONLY, e);
	if (k == ERR_OK)
		k = plan_pivot(p, s, o, e);
	if (k == ERR_OK && s->process)
		k = plan_put(p, STEP(CWD, s->process->cwd), e);
	if (k == ERR_OK && mounts)
		k = plan_root_attr(p, s, e);
	if (k == ERR_OK && s->process)
		k = plan_process(p, s->process, s, h, o, e);
	if (k == ERR_OK)
		k = plan_put(p, STEP(READY, ""), e);
	if (k != ERR_OK || !s->process)
		return k;
	k = plan_hooks(p, s, HOOK_START_CONTAINER, o, e);
	return k == ERR_OK ? plan_exec_steps(p, s->process, s, o, e) : k;
}

/*
 * Without a mount namespace each mount would be one of the host's.  The validation suite wants such a container all the
 * same (linux_ns_itype), and every engine's peer makes it: in a chroot, with nothing mounted, so with nothing to mask.
 */
static void warn_of_mounts(struct plan *p, const struct spec *s)
{
	const struct {
		bool is_set;
		const char *property;
	} rows[] = {
		{ s->mounts.n > 0, "mounts" },
		{ s->root.readonly, "root.readonly" },
		{ s->linux_.devices.n > 0, "linux.devices" },
		{ s->linux_.masked_paths.n > 0, "linux.maskedPaths" },
		{ s->linux_.readonly_paths.n > 0, "linux.readonlyPaths" },
		{ s->linux_.rootfs_propagation != 0, "linux.rootfsPropagation" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].is_set)
			sbuf_addf(&p->warnings,
				  "%s: left out, the container has no mount namespace\n",
				  rows[i].property);
	}
}

enum err_kind plan_build(const struct spec *s, const struct host *h, const struct plan_options *o,
			 struct arena *a, struct plan *ret, struct err *e)
{
	enum err_kind k;

	init(ret, h, a);
	ret->state_dir = o->state_dir;
	if (!spec_has_namespace(s, NS_MOUNT))
		warn_of_mounts(ret, s);
	k = plan_namespaces(ret, s, h, e);
	if (k == ERR_OK)
		k = build_outside(ret, s, h, o, e);
	return k == ERR_OK ? build_inside(ret, s, h, o, e) : k;
}

enum err_kind plan_build_exec(const struct spec *s, const struct host *h,
			      const struct exec_options *x, struct arena *a, struct plan *ret,
			      struct err *e)
{
	enum err_kind k;

	init(ret, h, a);
	ret->needs_stage = true;
	ret->joins_user = x->in_own_userns;
	ret->in_userns = x->in_own_userns || h->in_userns;
	ret->denies_setgroups = x->denies_setgroups;
	ret->joins[ret->joins_n++] = x->join;
	ret->root_dir = x->root;
	k = plan_put(ret, STEP(AWAIT, ""), e);
	if (k == ERR_OK)
		k = plan_keyring(ret, x->base, e);
	if (k == ERR_OK)
		k = plan_put(ret, STEP(PIVOT, "the container's root", .number = PIVOT_CHROOT), e);
	if (k == ERR_OK)
		k = plan_console(ret, x->process, x->base, false, e);
	if (k == ERR_OK)
		k = plan_put(ret, STEP(CWD, x->process->cwd), e);
	if (k == ERR_OK)
		k = plan_process(ret, x->process, s, h, x->base, e);
	if (k == ERR_OK)
		k = plan_affinity(ret, x->process->exec_cpu_affinity.final,
				  "process.execCPUAffinity.final", e);
	return k == ERR_OK ? plan_exec_steps(ret, x->process, s, x->base, e) : k;
}
