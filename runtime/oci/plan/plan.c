#include "runtime/oci/plan/plan.h"

static const char *const verbs[STEP_N] = {
#define X(name, verb) [STEP_##name] = (verb),
	STEPS(X)
#undef X
};

const char *step_verb(enum step_kind kind)
{
	return kind < STEP_N ? verbs[kind] : "?";
}

enum err_kind plan_put(struct plan *p, struct step s, struct err *e)
{
	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 64;
		struct step *steps = arena_array(p->arena, cap, sizeof(*steps));

		if (!steps)
			return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the plan");
		if (p->n)
			memcpy(steps, p->steps, p->n * sizeof(*steps));
		p->steps = steps;
		p->cap = cap;
	}
	p->steps[p->n++] = s;
	return ERR_OK;
}

static void print_mount(const struct mount_op *m, struct sbuf *out)
{
	static const char *const kinds[] = {
		[MOUNT_NEW] = "new", [MOUNT_BIND] = "bind", [MOUNT_CHANGE] = "change"
	};
	const struct mount_opts *o = &m->opts;

	sbuf_addf(out, " (%s", kinds[m->kind]);
	if (m->type)
		sbuf_addf(out, " type %s", m->type);
	if (m->source)
		sbuf_addf(out, " from %s", m->source);
	if (o->set || o->clear)
		sbuf_addf(out, " set %#llx clear %#llx", (unsigned long long)o->set,
			  (unsigned long long)o->clear);
	if (o->all_set || o->all_clear)
		sbuf_addf(out, " below set %#llx clear %#llx", (unsigned long long)o->all_set,
			  (unsigned long long)o->all_clear);
	if (o->super_flags)
		sbuf_addf(out, " flags %#lx", o->super_flags);
	for (size_t i = 0; i < o->propagation_n; i++)
		sbuf_addf(out, " propagation %#lx", o->propagation[i]);
	if (m->data && m->data[0])
		sbuf_addf(out, " data %s", m->data);
	sbuf_addf(out, ")");
}

static void print_user(const struct user_op *u, struct sbuf *out)
{
	sbuf_addf(out, " %u:%u groups", u->uid, u->gid);
	for (size_t i = 0; i < u->groups_n; i++)
		sbuf_addf(out, " %u", u->groups[i]);
	sbuf_addf(out, " umask %#o", u->umask);
	for (size_t i = 0; i < CAPS_N; i++)
		sbuf_addf(out, " %s %#llx", spec_cap_set_names[i], (unsigned long long)u->caps[i]);
	if (u->no_new_privileges)
		sbuf_addf(out, " no_new_privs");
}

static void print_step(const struct step *s, struct sbuf *out)
{
	sbuf_addf(out, "%s%s%s", step_verb(s->kind), s->object[0] ? " " : "", s->object);
	if (s->kind == STEP_MOUNT)
		print_mount(s->mount, out);
	else if (s->kind == STEP_DEVICE)
		sbuf_addf(out, " (%s mode %#o)", s->device->binds ? "bind" : "node",
			  s->device->mode);
	else if (s->kind == STEP_USER)
		print_user(s->user, out);
	else if (s->kind == STEP_LINK || s->kind == STEP_LABEL)
		sbuf_addf(out, " to %s", s->text);
	else if (s->kind == STEP_SYSCTL)
		sbuf_addf(out, " to %s", s->sysctl.value);
	else if (s->kind == STEP_LIMIT)
		sbuf_addf(out, " to %llu:%llu", (unsigned long long)s->limit.value.rlim_cur,
			  (unsigned long long)s->limit.value.rlim_max);
	else if (s->kind == STEP_SECCOMP)
		sbuf_addf(out, " (%u instructions)", s->seccomp->count);
	sbuf_addf(out, "\n");
}

static void print_namespaces(const struct plan *p, struct sbuf *out)
{
	static const struct {
		unsigned long flag;
		const char *name;
	} rows[] = {
		{ CLONE_NEWUSER, "user" },   { CLONE_NEWIPC, "ipc" }, { CLONE_NEWUTS, "uts" },
		{ CLONE_NEWNET, "network" }, { CLONE_NEWPID, "pid" }, { CLONE_NEWNS, "mount" },
	};

	for (size_t i = 0; i < p->joins_n; i++)
		sbuf_addf(out, "join namespace %s\n", p->joins[i].path);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (p->new_flags & rows[i].flag)
			sbuf_addf(out, "make %s namespace\n", rows[i].name);
	}
	if (p->time_offsets)
		sbuf_addf(out, "make time namespace\n");
	if (p->uid_map)
		sbuf_addf(out, "map users %smap groups %s", p->uid_map, p->gid_map);
}

void plan_print(const struct plan *p, struct sbuf *out)
{
	print_namespaces(p, out);
	for (size_t i = 0; i < p->n; i++)
		print_step(&p->steps[i], out);
}
