#include <linux/ioprio.h>

#include "runtime/oci/spec/spec.h"

/* In the kernel's order: RLIMIT_CPU is 0. */
const char *const spec_rlimit_names[] = {
	"RLIMIT_CPU",
	"RLIMIT_FSIZE",
	"RLIMIT_DATA",
	"RLIMIT_STACK",
	"RLIMIT_CORE",
	"RLIMIT_RSS",
	"RLIMIT_NPROC",
	"RLIMIT_NOFILE",
	"RLIMIT_MEMLOCK",
	"RLIMIT_AS",
	"RLIMIT_LOCKS",
	"RLIMIT_SIGPENDING",
	"RLIMIT_MSGQUEUE",
	"RLIMIT_NICE",
	"RLIMIT_RTPRIO",
	"RLIMIT_RTTIME",
	NULL,
};

/* SCHED_OTHER is 0; 4 was reserved for SCHED_ISO, which no kernel has. */
const char *const spec_scheduler_policies[] = {
	"SCHED_OTHER", "SCHED_FIFO", "SCHED_RR",       "SCHED_BATCH",
	"SCHED_ISO",   "SCHED_IDLE", "SCHED_DEADLINE", NULL,
};

const char *const spec_scheduler_flags[] = {
	"SCHED_FLAG_RESET_ON_FORK",  "SCHED_FLAG_RECLAIM",
	"SCHED_FLAG_DL_OVERRUN",     "SCHED_FLAG_KEEP_POLICY",
	"SCHED_FLAG_KEEP_PARAMS",    "SCHED_FLAG_UTIL_CLAMP_MIN",
	"SCHED_FLAG_UTIL_CLAMP_MAX", NULL,
};

const char *const spec_io_classes[] = { "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE",
					NULL };

const char *const spec_cap_set_names[] = { "bounding", "permitted", "effective", "inheritable",
					   "ambient" };

static const struct field box_fields[] = {
	FIELD(struct spec_box, height, "height", FIELD_U32, .flags = FIELD_NEEDED),
	FIELD(struct spec_box, width, "width", FIELD_U32, .flags = FIELD_NEEDED),
	FIELDS_END,
};

static enum err_kind check_box(struct reader *r, const struct at *at, void *object)
{
	const struct spec_box *b = object;

	if (b->height > UINT16_MAX)
		return spec_bad(r, at, "height", "%u rows are too many", b->height);
	if (b->width > UINT16_MAX)
		return spec_bad(r, at, "width", "%u columns are too many", b->width);
	return ERR_OK;
}
static const struct shape box_shape = { sizeof(struct spec_box), box_fields, check_box };

static const struct field user_fields[] = {
	FIELD(struct spec_user, uid, "uid", FIELD_U32),
	FIELD(struct spec_user, gid, "gid", FIELD_U32),
	FIELD(struct spec_user, umask, "umask", FIELD_OU32),
	FIELD(struct spec_user, additional_gids, "additionalGids", FIELD_U32S),
	FIELDS_END,
};

/* setuid(-1) means "leave it alone": the id must never get so far. */
static enum err_kind check_user(struct reader *r, const struct at *at, void *object)
{
	const struct spec_user *u = object;
	const struct at gids = AT_MEMBER(at, "additionalGids");

	if (u->uid == UINT32_MAX)
		return spec_bad(r, at, "uid", "%u is no user id", u->uid);
	if (u->gid == UINT32_MAX)
		return spec_bad(r, at, "gid", "%u is no group id", u->gid);
	for (size_t i = 0; i < u->additional_gids.n; i++) {
		const struct at item = AT_INDEX(&gids, i);

		if (u->additional_gids.v[i] == UINT32_MAX)
			return spec_bad(r, &item, NULL, "%u is no group id", UINT32_MAX);
	}
	if (u->umask.set && u->umask.v > 0777)
		return spec_bad(r, at, "umask", "%#o has more than permission bits", u->umask.v);
	return ERR_OK;
}
static const struct shape user_shape = { sizeof(struct spec_user), user_fields, check_user };

#define CAPS(set, key) FIELD(struct spec_caps, sets[set], key, FIELD_TEXTS)
static const struct field caps_fields[] = {
	CAPS(CAPS_BOUNDING, "bounding"),   CAPS(CAPS_PERMITTED, "permitted"),
	CAPS(CAPS_EFFECTIVE, "effective"), CAPS(CAPS_INHERITABLE, "inheritable"),
	CAPS(CAPS_AMBIENT, "ambient"),     FIELDS_END,
};
static const struct shape caps_shape = { sizeof(struct spec_caps), caps_fields, NULL };

static const struct field rlimit_fields[] = {
	FIELD(struct spec_rlimit, type, "type", FIELD_ENUM, .flags = FIELD_NEEDED,
	      .names = spec_rlimit_names),
	FIELD(struct spec_rlimit, soft, "soft", FIELD_U64, .flags = FIELD_NEEDED),
	FIELD(struct spec_rlimit, hard, "hard", FIELD_U64, .flags = FIELD_NEEDED),
	FIELDS_END,
};

static enum err_kind check_rlimit(struct reader *r, const struct at *at, void *object)
{
	const struct spec_rlimit *l = object;

	if (l->soft > l->hard)
		return spec_bad(r, at, "soft", "%llu is over the hard limit",
				(unsigned long long)l->soft);
	return ERR_OK;
}
static const struct shape rlimit_shape = { sizeof(struct spec_rlimit), rlimit_fields,
					   check_rlimit };

#define SCHED_ISO_VALUE 5
static const struct field scheduler_fields[] = {
	FIELD(struct spec_scheduler, policy, "policy", FIELD_ENUM, .flags = FIELD_NEEDED,
	      .names = spec_scheduler_policies),
	FIELD(struct spec_scheduler, nice, "nice", FIELD_I64),
	FIELD(struct spec_scheduler, priority, "priority", FIELD_I64),
	FIELD(struct spec_scheduler, flags, "flags", FIELD_FLAGS, .names = spec_scheduler_flags),
	FIELD(struct spec_scheduler, runtime, "runtime", FIELD_U64),
	FIELD(struct spec_scheduler, deadline, "deadline", FIELD_U64),
	FIELD(struct spec_scheduler, period, "period", FIELD_U64),
	FIELDS_END,
};

static enum err_kind check_scheduler(struct reader *r, const struct at *at, void *object)
{
	const struct spec_scheduler *s = object;
	const char *policy = spec_scheduler_policies[s->policy - 1];

	if (s->policy == SCHED_ISO_VALUE)
		return spec_bad(r, at, "policy", "no kernel has SCHED_ISO");
	if (s->nice < -20 || s->nice > 19)
		return spec_bad(r, at, "nice", "must be from -20 to 19");
	if (s->priority < 0 || s->priority > 99)
		return spec_bad(r, at, "priority", "must be from 0 to 99");
	if (s->priority != 0 && strcmp(policy, "SCHED_FIFO") != 0 &&
	    strcmp(policy, "SCHED_RR") != 0)
		return spec_bad(r, at, "priority", "must be 0 with %s", policy);
	if ((s->runtime || s->deadline || s->period) && strcmp(policy, "SCHED_DEADLINE") != 0)
		return spec_bad(r, at, "runtime",
				"runtime, deadline and period go with SCHED_DEADLINE");
	return ERR_OK;
}
static const struct shape scheduler_shape = { sizeof(struct spec_scheduler), scheduler_fields,
					      check_scheduler };

static const struct field io_priority_fields[] = {
	FIELD(struct spec_io_priority, class, "class", FIELD_ENUM, .flags = FIELD_NEEDED,
	      .names = spec_io_classes),
	FIELD(struct spec_io_priority, priority, "priority", FIELD_I64),
	FIELDS_END,
};

static enum err_kind check_io_priority(struct reader *r, const struct at *at, void *object)
{
	const struct spec_io_priority *p = object;

	_Static_assert(IOPRIO_CLASS_RT == 1 && IOPRIO_CLASS_IDLE == 3, "order of spec_io_classes");
	if (p->priority < 0 || p->priority > 7)
		return spec_bad(r, at, "priority", "must be from 0 to 7");
	return ERR_OK;
}
static const struct shape io_priority_shape = { sizeof(struct spec_io_priority), io_priority_fields,
						check_io_priority };

static const struct field affinity_fields[] = {
	FIELD(struct spec_affinity, initial, "initial", FIELD_TEXT),
	FIELD(struct spec_affinity, final, "final", FIELD_TEXT),
	FIELDS_END,
};

static bool is_cpu_list(const char *s)
{
	return !s || (s[0] >= '0' && s[0] <= '9' && s[strspn(s, "0123456789,-")] == '\0');
}

static enum err_kind check_affinity(struct reader *r, const struct at *at, void *object)
{
	const struct spec_affinity *a = object;

	if (!is_cpu_list(a->initial))
		return spec_bad(r, at, "initial", "\"%.40s\" is no list of CPUs", a->initial);
	if (!is_cpu_list(a->final))
		return spec_bad(r, at, "final", "\"%.40s\" is no list of CPUs", a->final);
	return ERR_OK;
}
static const struct shape affinity_shape = { sizeof(struct spec_affinity), affinity_fields,
					     check_affinity };

#define P struct spec_process
static const struct field process_fields[] = {
	FIELD(P, terminal, "terminal", FIELD_BOOL),
	FIELD(P, console_size, "consoleSize", FIELD_OBJECT, .shape = &box_shape),
	FIELD(P, user, "user", FIELD_INLINE, .shape = &user_shape),
	FIELD(P, args, "args", FIELD_TEXTS, .flags = FIELD_NEEDED | FIELD_NONEMPTY),
	FIELD(P, env, "env", FIELD_TEXTS),
	FIELD(P, cwd, "cwd", FIELD_TEXT, .flags = FIELD_NEEDED | FIELD_ABSOLUTE),
	FIELD(P, capabilities, "capabilities", FIELD_OBJECT, .shape = &caps_shape),
	FIELD(P, rlimits, "rlimits", FIELD_LIST, .shape = &rlimit_shape),
	FIELD(P, no_new_privileges, "noNewPrivileges", FIELD_BOOL),
	FIELD(P, apparmor_profile, "apparmorProfile", FIELD_TEXT),
	FIELD(P, oom_score_adj, "oomScoreAdj", FIELD_OI64),
	FIELD(P, selinux_label, "selinuxLabel", FIELD_TEXT),
	FIELD(P, scheduler, "scheduler", FIELD_OBJECT, .shape = &scheduler_shape),
	FIELD(P, io_priority, "ioPriority", FIELD_OBJECT, .shape = &io_priority_shape),
	FIELD(P, exec_cpu_affinity, "execCPUAffinity", FIELD_INLINE, .shape = &affinity_shape),
	FIELDS_END,
};

static enum err_kind check_env(struct reader *r, const struct at *at, const struct texts *env)
{
	const struct at list = AT_MEMBER(at, "env");

	for (size_t i = 0; i < env->n; i++) {
		const struct at item = AT_INDEX(&list, i);
		const char *equals = strchr(env->v[i], '=');

		if (!equals)
			return spec_bad(r, &item, NULL, "\"%.40s\" has no \"=\"", env->v[i]);
		if (equals == env->v[i])
			return spec_bad(r, &item, NULL, "the variable has no name");
	}
	return ERR_OK;
}

static enum err_kind check_process(struct reader *r, const struct at *at, void *object)
{
	const P *p = object;
	const struct at rlimits = AT_MEMBER(at, "rlimits");
	const struct at args = AT_MEMBER(at, "args"), program = AT_INDEX(&args, 0);
	unsigned seen = 0;

	if (!p->args.v[0][0])
		return spec_bad(r, &program, NULL, "must not be empty");
	for (size_t i = 0; i < p->rlimits.n; i++) {
		const struct at item = AT_INDEX(&rlimits, i);
		unsigned bit = 1u << p->rlimits.v[i].type;

		if (seen & bit)
			return spec_bad(r, &item, "type", "%s is there twice",
					spec_rlimit_names[p->rlimits.v[i].type - 1]);
		seen |= bit;
	}
	if (p->oom_score_adj.set && (p->oom_score_adj.v < -1000 || p->oom_score_adj.v > 1000))
		return spec_bad(r, at, "oomScoreAdj", "must be from -1000 to 1000");
	return check_env(r, at, &p->env);
}
const struct shape spec_process_shape = { sizeof(P), process_fields, check_process };
#undef P
