/* The process: its limits, who it is, and what it runs. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/ioprio.h>
#include <linux/mempolicy.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "runtime/oci/plan/build.h"
#include "runtime/oci/plan/caps.h"

#define UMASK_DEFAULT 022
#define PID_DIGITS_MAX 12
#define KEEPS_GROUPS "run.oci.keep_original_groups" /* an annotation that crun has made known */

/* ---- capabilities ---- */

static uint64_t permitted_caps(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return 0;
	return (uint64_t)data[1].permitted << 32 | data[0].permitted;
}

static uint64_t bounding_caps(void)
{
	uint64_t set = 0;

	for (unsigned cap = 0; cap < CAP_NAMES_MAX; cap++) {
		int r = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (r < 0)
			break;
		set |= (uint64_t)r << cap;
	}
	return set;
}

static uint64_t all_caps_of_kernel(void)
{
	unsigned n = 0;

	while (n < CAP_NAMES_MAX && prctl(PR_CAPBSET_READ, n, 0, 0, 0) >= 0)
		n++;
	return n >= 64 ? UINT64_MAX : (1ull << n) - 1;
}

/*
 * config.md: a capability that is not known or cannot be granted is left out, with a warning.  What can be granted
 * inside a new user namespace is everything.
 */
static void plan_caps(struct plan *p, const struct spec_caps *c, uint64_t sets[CAPS_N])
{
	bool is_new = p->is_new_userns || p->joins_user;
	uint64_t may_bound = is_new ? all_caps_of_kernel() : bounding_caps();
	uint64_t may_hold = is_new ? may_bound : permitted_caps();

	for (size_t i = 0; i < CAPS_N; i++) {
		for (size_t j = 0; j < c->sets[i].n; j++) {
			const char *name = c->sets[i].v[j];
			uint64_t may = i == CAPS_BOUNDING ? may_bound : may_hold;
			unsigned cap;

			if (!cap_parse(name, &cap))
				sbuf_addf(&p->warnings,
					  "process.capabilities.%s: unknown capability \"%.40s\"\n",
					  spec_cap_set_names[i], name);
			else if (!(may & (1ull << cap)))
				sbuf_addf(&p->warnings,
					  "process.capabilities.%s: %.40s cannot be granted\n",
					  spec_cap_set_names[i], name);
			else
				sets[i] |= 1ull << cap;
		}
	}
	sets[CAPS_EFFECTIVE] &= sets[CAPS_PERMITTED];
	/* The kernel makes no other ambient; engines that list more of them (buildah) expect no word about it. */
	sets[CAPS_AMBIENT] &= sets[CAPS_PERMITTED] & sets[CAPS_INHERITABLE];
}

/* ---- user ---- */

static bool denies_setgroups(int proc)
{
	AUTO_CLOSE fd = openat(proc, "self/setgroups", O_RDONLY | O_CLOEXEC);
	char text[8] = "";

	return fd >= 0 && read(fd, text, sizeof(text)) >= 4 && memcmp(text, "deny", 4) == 0;
}

/* An ordinary user without a range of groups must give setgroups(2) up to map even his own. */
static bool gives_up_setgroups(const struct plan *p, const struct host *h)
{
	if (p->joins_user)
		return p->denies_setgroups;
	if (!p->is_new_userns)
		return h->in_userns && denies_setgroups(p->proc);
	return !(h->caps & (1ull << CAP_SETGID)) &&
	       strchr(p->gid_map, '\n') == strrchr(p->gid_map, '\n');
}

/* Engines name a group twice where the image and an option do. */
static enum err_kind set_groups(struct user_op *op, const struct numbers *gids, struct arena *a,
				struct err *e)
{
	gid_t *groups = arena_array(a, gids->n + 1, sizeof(*groups));

	if (!groups)
		return plan_no_memory(e);
	for (size_t i = 0; i < gids->n; i++) {
		size_t at = 0;

		while (at < op->groups_n && groups[at] != gids->v[i])
			at++;
		if (at == op->groups_n)
			groups[op->groups_n++] = gids->v[i];
	}
	op->groups = groups;
	return ERR_OK;
}

/* The process keeps the groups that its starter has, some of which its user namespace may have no name for. */
static bool keeps_groups(const struct spec *s)
{
	struct str v;

	return jv_text(jv_member(jv_member(s->document, "annotations"), KEEPS_GROUPS), &v) &&
	       str_eq(v, STR("1"));
}

static enum err_kind plan_user(struct plan *p, const struct spec_process *proc,
			       const struct host *h, const struct spec *s, struct err *e)
{
	static const struct spec_caps none;
	const struct spec_user *u = &proc->user;
	struct user_op *op = arena_get(p->arena, sizeof(*op));
	enum err_kind k;

	if (!op)
		return plan_no_memory(e);
	*op = (struct user_op){ .uid = u->uid,
				.gid = u->gid,
				.sets_groups = !keeps_groups(s) && !gives_up_setgroups(p, h),
				.umask = u->umask.set ? u->umask.v : UMASK_DEFAULT,
				.no_new_privileges = proc->no_new_privileges,
				.keeps_admin = s->linux_.seccomp && !proc->no_new_privileges };
	k = set_groups(op, &u->additional_gids, p->arena, e);
	if (k != ERR_OK)
		return k;
	if (keeps_groups(s))
		op->groups_n = 0;
	if (!op->sets_groups && op->groups_n)
		return err_set(e, ERR_DENIED, __func__,
			       "process.user.additionalGids: setgroups(2) "
			       "is denied in this user namespace");
	plan_caps(p, proc->capabilities ? proc->capabilities : &none, op->caps);
	return plan_put(p, STEP(USER, "", .user = op), e);
}

/* ---- limits ---- */

static rlim_t limit_of(uint64_t v)
{
	return v == UINT64_MAX ? RLIM_INFINITY : (rlim_t)v;
}

/* In a user namespace of its own the process may not raise a limit; the runtime does it then. */
static enum err_kind plan_limits(struct plan *p, const struct spec_process *proc, struct err *e)
{
	if (p->is_new_userns || p->joins_user)
		return proc->rlimits.n ? plan_put(p, STEP(LIMITS, ""), e) : ERR_OK;
	for (size_t i = 0; i < proc->rlimits.n; i++) {
		const struct spec_rlimit *l = &proc->rlimits.v[i];
		const char *name = arena_printf(p->arena, "process.rlimits[%zu] %s", i,
						spec_rlimit_names[l->type - 1]);
		enum err_kind k;

		if (!name)
			return plan_no_memory(e);
		k = plan_put(
		    p,
		    STEP(LIMIT, name,
			 .limit = { l->type - 1, { limit_of(l->soft), limit_of(l->hard) } }),
		    e);
		if (k != ERR_OK)
			return k;
	}
	return ERR_OK;
}

static enum err_kind plan_scheduler(struct plan *p, const struct spec_scheduler *s, struct err *e)
{
	struct sched_op *op;

	if (!s)
		return ERR_OK;
	op = arena_get(p->arena, sizeof(*op));
	if (!op)
		return plan_no_memory(e);
	/* The bits of spec_scheduler_flags are the kernel's own. */
	*op = (struct sched_op){ .size = sizeof(*op),
				 .policy = (uint32_t)s->policy - 1,
				 .flags = s->flags,
				 .nice = (int32_t)s->nice,
				 .priority = (uint32_t)s->priority,
				 .runtime = s->runtime,
				 .deadline = s->deadline,
				 .period = s->period };
	return plan_put(p, STEP(SCHEDULER, spec_scheduler_policies[s->policy - 1], .sched = op), e);
}

/* "0-3,7" */
static bool parse_list(const char *text, void (*set)(unsigned long *bits, unsigned i),
		       unsigned long *bits, unsigned max)
{
	struct str rest = str_of(text), one;

	while (rest.n) {
		uint64_t first, last;

		(void)str_cut(rest, ',', &one, &rest);
		if (!scan_u64(&one, max - 1, &first))
			return false;
		last = first;
		if (scan_char(&one, '-') && !scan_u64(&one, max - 1, &last))
			return false;
		if (!scan_end(&one) || last < first)
			return false;
		for (uint64_t i = first; i <= last; i++)
			set(bits, (unsigned)i);
	}
	return true;
}

static void set_bit(unsigned long *bits, unsigned i)
{
	bits[i / (8 * sizeof(*bits))] |= 1ul << (i % (8 * sizeof(*bits)));
}

static enum err_kind plan_memory_policy(struct plan *p, const struct spec_memory_policy *m,
					struct err *e)
{
	static const int flag_bits[] = { MPOL_F_STATIC_NODES, MPOL_F_RELATIVE_NODES,
					 MPOL_F_NUMA_BALANCING };
	struct memory_op *op;

	if (!m)
		return ERR_OK;
	op = arena_get(p->arena, sizeof(*op));
	if (!op)
		return plan_no_memory(e);
	op->mode = m->mode - 1;
	for (size_t i = 0; i < ARRAY_LEN(flag_bits); i++) {
		if (m->flags & (1u << i))
			op->mode |= flag_bits[i];
	}
	if (m->nodes && !parse_list(m->nodes, set_bit, op->nodes, NODES_MAX))
		return err_set(e, ERR_INVALID, __func__,
			       "linux.memoryPolicy.nodes: \"%.40s\" is no list of nodes", m->nodes);
	return plan_put(p, STEP(MEMORY_POLICY, spec_memory_modes[m->mode - 1], .memory = op), e);
}

static enum err_kind plan_personality(struct plan *p, const struct spec_personality *per,
				      struct err *e)
{
	bool is_32 = per && per->domain != 1;

	if (!per)
		return ERR_OK;
	return plan_put(p,
			STEP(PERSONALITY, is_32 ? "LINUX32" : "LINUX",
			     .number = is_32 ? PER_LINUX32 : PER_LINUX),
			e);
}

static enum err_kind plan_io_priority(struct plan *p, const struct spec_io_priority *io,
				      struct err *e)
{
	if (!io)
		return ERR_OK;
	return plan_put(p,
			STEP(IO_PRIORITY, spec_io_classes[io->class - 1],
			     .number = (int)IOPRIO_PRIO_VALUE(io->class, (int)io->priority)),
			e);
}

/* ---- program ---- */

static bool has_variable(const struct texts *env, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < env->n; i++) {
		if (strncmp(env->v[i], name, n) == 0 && env->v[i][n] == '=')
			return true;
	}
	return false;
}

#define ADDED_VARIABLES 4 /* HOME, LISTEN_FDS, LISTEN_PID, NOTIFY_SOCKET */

/* Where the variable's name is in the list already, or the end of it: the last one of a name counts. */
static size_t slot_of(char *const *env, size_t n, const char *variable)
{
	size_t name = (size_t)(strchr(variable, '=') - variable) + 1;

	for (size_t i = 0; i < n; i++) {
		if (strncmp(env[i], variable, name) == 0)
			return i;
	}
	return n;
}

static enum err_kind plan_environment(struct plan *p, const struct spec_process *proc,
				      const struct plan_options *o, struct err *e)
{
	size_t n = 0;
	char **env = arena_array(p->arena, proc->env.n + ADDED_VARIABLES + 1, sizeof(*env));
	static const char listen_pid[] = "LISTEN_PID=";

	if (!env)
		return plan_no_memory(e);
	for (size_t i = 0; i < proc->env.n; i++) {
		size_t at = slot_of(env, n, proc->env.v[i]);

		env[at] = (char *)(uintptr_t)proc->env.v[i];
		n += at == n;
	}
	if (o->listen_fds) {
		char *pid = arena_get(p->arena, sizeof(listen_pid) + PID_DIGITS_MAX);
		char *fds = arena_printf(p->arena, "LISTEN_FDS=%u", o->listen_fds);

		if (!pid || !fds)
			return plan_no_memory(e);
		memcpy(pid, listen_pid, sizeof(listen_pid));
		p->listen_pid = pid + sizeof(listen_pid) - 1;
		env[n++] = fds;
		env[n++] = pid;
	}
	if (o->notify_socket && o->notify_socket[0] == '/' &&
	    !has_variable(&proc->env, "NOTIFY_SOCKET")) {
		static char notify[] = "NOTIFY_SOCKET=/run/notify/notify.sock";

		env[n++] = notify;
	}
	p->envp = env;
	p->wants_home = !has_variable(&proc->env, "HOME");
	return ERR_OK;
}

static enum err_kind plan_label(struct plan *p, const char *property, const char *text,
				struct err *e)
{
	return plan_put(p, STEP(LABEL, property, .text = text), e);
}

/* A label that no security module would ever look at must not be taken for protection. */
static enum err_kind plan_labels(struct plan *p, const struct spec_process *proc, struct err *e)
{
	const char *profile = proc->apparmor_profile, *label = proc->selinux_label;
	struct host lsm = { 0 };
	enum err_kind k = ERR_OK;

	profile = profile && profile[0] ? profile : NULL;
	label = label && label[0] ? label : NULL;
	if (!profile && !label)
		return ERR_OK;
	host_probe_lsm(&lsm);
	if (profile && !lsm.has_apparmor)
		return err_set(e, ERR_UNSUPPORTED, __func__,
			       "process.apparmorProfile: AppArmor is not enabled on this host");
	if (label && !lsm.has_selinux)
		return err_set(e, ERR_UNSUPPORTED, __func__,
			       "process.selinuxLabel: SELinux is not enabled on this host");
	if (profile) {
		const char *text = arena_printf(p->arena, "exec %s", profile);

		k = text ? plan_label(p, "process.apparmorProfile", text, e) : plan_no_memory(e);
	}
	return k == ERR_OK && label ? plan_label(p, "process.selinuxLabel", label, e) : k;
}

static enum err_kind plan_seccomp(struct plan *p, const struct spec *s,
				  const struct plan_options *o, struct err *e)
{
	struct seccomp_op *op;
	enum err_kind k = ERR_OK;

	if (!o->filter)
		return ERR_OK;
	op = arena_get(p->arena, sizeof(*op));
	if (!op)
		return plan_no_memory(e);
	*op = (struct seccomp_op){ .filter = o->filter->v,
				   .count = o->filter->n,
				   .flags = o->filter->flags,
				   .listener_socket = o->listener_socket };
	if (o->listener_socket >= 0)
		k = plan_agent_state(s, o, p->arena, op->parts, e);
	return k == ERR_OK ? plan_put(p, STEP(SECCOMP, "", .seccomp = op), e) : k;
}

enum err_kind plan_process(struct plan *p, const struct spec_process *proc, const struct spec *s,
			   const struct host *h, const struct plan_options *o, struct err *e)
{
	enum err_kind k = plan_limits(p, proc, e);

	if (k == ERR_OK)
		k = plan_scheduler(p, proc->scheduler, e);
	if (k == ERR_OK)
		k = plan_io_priority(p, proc->io_priority, e);
	if (k == ERR_OK)
		k = plan_memory_policy(p, s->linux_.memory_policy, e);
	if (k == ERR_OK)
		k = plan_personality(p, s->linux_.personality, e);
	if (k == ERR_OK)
		k = plan_user(p, proc, h, s, e);
	if (k == ERR_OK)
		k = plan_put(p, STEP(PROGRAM, ""), e);
	if (k != ERR_OK)
		return k;
	p->argv = (char *const *)(uintptr_t)proc->args.v;
	p->cwd = proc->cwd;
	p->uid = proc->user.uid;
	p->keep_fds = o->listen_fds + o->preserve_fds;
	return plan_environment(p, proc, o, e);
}

enum err_kind plan_exec_steps(struct plan *p, const struct spec_process *proc, const struct spec *s,
			      const struct plan_options *o, struct err *e)
{
	enum err_kind k = plan_labels(p, proc, e);

	if (k == ERR_OK)
		k = plan_put(p, STEP(FINISH, ""), e);
	if (k == ERR_OK)
		k = plan_seccomp(p, s, o, e);
	return k == ERR_OK ? plan_put(p, STEP(EXEC, ""), e) : k;
}

static void set_cpu(unsigned long *bits, unsigned i)
{
	CPU_SET(i, (cpu_set_t *)(void *)bits);
}

bool plan_cpu_set(const char *cpus, cpu_set_t *ret)
{
	CPU_ZERO(ret);
	return cpus[0] && parse_list(cpus, set_cpu, (unsigned long *)(void *)ret, CPU_SETSIZE);
}

enum err_kind plan_affinity(struct plan *p, const char *cpus, const char *property, struct err *e)
{
	cpu_set_t *set;

	if (!cpus || !cpus[0])
		return ERR_OK;
	set = arena_get(p->arena, sizeof(*set));
	if (!set)
		return plan_no_memory(e);
	if (!plan_cpu_set(cpus, set))
		return err_set(e, ERR_INVALID, __func__, "%s: \"%.40s\" is no list of CPUs",
			       property, cpus);
	return plan_put(p, STEP(AFFINITY, property, .cpus = set), e);
}
