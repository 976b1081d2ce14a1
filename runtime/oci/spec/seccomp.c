#include "runtime/oci/spec/seccomp.h"

#define ERRNO_MAX 4095u /* SECCOMP_RET_DATA of an errno that user space can see */
#define ARGS_MAX 6u
#define RULES_MAX 8192u /* of names times conditions; the kernel takes 4096 instructions */

const char *const spec_seccomp_actions[] = {
	"SCMP_ACT_KILL",        "SCMP_ACT_KILL_PROCESS",
	"SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP",
	"SCMP_ACT_ERRNO",       "SCMP_ACT_TRACE",
	"SCMP_ACT_ALLOW",       "SCMP_ACT_LOG",
	"SCMP_ACT_NOTIFY",      NULL,
};

const char *const spec_seccomp_ops[] = {
	"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE",        "SCMP_CMP_EQ",
	"SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ", NULL,
};

const char *const spec_seccomp_archs[] = {
	"SCMP_ARCH_X86",     "SCMP_ARCH_X86_64",   "SCMP_ARCH_X32",         "SCMP_ARCH_ARM",
	"SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS",     "SCMP_ARCH_MIPS64",      "SCMP_ARCH_MIPS64N32",
	"SCMP_ARCH_MIPSEL",  "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC",
	"SCMP_ARCH_PPC64",   "SCMP_ARCH_PPC64LE",  "SCMP_ARCH_S390",        "SCMP_ARCH_S390X",
	"SCMP_ARCH_PARISC",  "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",     "SCMP_ARCH_LOONGARCH64",
	"SCMP_ARCH_M68K",    "SCMP_ARCH_SH",       "SCMP_ARCH_SHEB",        NULL,
};

const char *const spec_seccomp_flags[] = {
	"SECCOMP_FILTER_FLAG_TSYNC",
	"SECCOMP_FILTER_FLAG_LOG",
	"SECCOMP_FILTER_FLAG_SPEC_ALLOW",
	"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
	NULL,
};

static const struct field arg_fields[] = {
	FIELD(struct spec_seccomp_arg, index, "index", FIELD_U32, .flags = FIELD_NEEDED),
	FIELD(struct spec_seccomp_arg, value, "value", FIELD_U64, .flags = FIELD_NEEDED),
	FIELD(struct spec_seccomp_arg, value_two, "valueTwo", FIELD_U64),
	FIELD(struct spec_seccomp_arg, op, "op", FIELD_ENUM, .flags = FIELD_NEEDED,
	      .names = spec_seccomp_ops),
	FIELDS_END,
};

static enum err_kind check_arg(struct reader *r, const struct at *at, void *object)
{
	const struct spec_seccomp_arg *a = object;

	if (a->index >= ARGS_MAX)
		return spec_bad(r, at, "index", "a system call has %u arguments", ARGS_MAX);
	return ERR_OK;
}

static const struct shape arg_shape = { sizeof(struct spec_seccomp_arg), arg_fields, check_arg };

/* True if an errno (or, for TRACE, a message) goes with the action. */
static bool takes_errno(int action)
{
	return action == SECCOMP_ACT_ERRNO || action == SECCOMP_ACT_TRACE;
}

static enum err_kind check_errno(struct reader *r, const struct at *at, const char *member,
				 int action, const struct opt_u32 *ret)
{
	if (!ret->set)
		return ERR_OK;
	if (!takes_errno(action))
		return spec_bad(r, at, member, "action %s takes no errno",
				spec_seccomp_actions[action - 1]);
	if (action == SECCOMP_ACT_ERRNO && ret->v > ERRNO_MAX)
		return spec_bad(r, at, member, "%u is no errno", ret->v);
	if (ret->v > UINT16_MAX)
		return spec_bad(r, at, member, "%u does not fit 16 bits", ret->v);
	return ERR_OK;
}

static enum err_kind check_syscall(struct reader *r, const struct at *at, void *object)
{
	const struct spec_syscall *s = object;

	return check_errno(r, at, "errnoRet", s->action, &s->errno_ret);
}

static const struct field syscall_fields[] = {
	FIELD(struct spec_syscall, names, "names", FIELD_TEXTS,
	      .flags = FIELD_NEEDED | FIELD_NONEMPTY),
	FIELD(struct spec_syscall, action, "action", FIELD_ENUM, .flags = FIELD_NEEDED,
	      .names = spec_seccomp_actions),
	FIELD(struct spec_syscall, errno_ret, "errnoRet", FIELD_OU32),
	FIELD(struct spec_syscall, args, "args", FIELD_LIST, .shape = &arg_shape),
	FIELDS_END,
};
static const struct shape syscall_shape = { sizeof(struct spec_syscall), syscall_fields,
					    check_syscall };

bool seccomp_uses_notify(const struct spec_seccomp *s)
{
	if (s->default_action == SECCOMP_ACT_NOTIFY)
		return true;
	for (size_t i = 0; i < s->syscalls.n; i++) {
		if (s->syscalls.v[i].action == SECCOMP_ACT_NOTIFY)
			return true;
	}
	return false;
}

static size_t count_rules(const struct spec_seccomp *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->syscalls.n; i++)
		n += s->syscalls.v[i].names.n * (s->syscalls.v[i].args.n + 1);
	return n;
}

static enum err_kind check_seccomp(struct reader *r, const struct at *at, void *object)
{
	const struct spec_seccomp *s = object;

	if (count_rules(s) > RULES_MAX)
		return spec_bad(r, at, "syscalls", "more than %u rules", RULES_MAX);
	if (s->default_action == SECCOMP_ACT_NOTIFY)
		return spec_bad(
		    r, at, "defaultAction",
		    "SCMP_ACT_NOTIFY would also stop the call that passes the listener on");
	if (seccomp_uses_notify(s) && !s->listener_path)
		return spec_bad(r, at, "listenerPath", "is missing, and SCMP_ACT_NOTIFY needs it");
	if (s->listener_metadata && !s->listener_path)
		return spec_bad(r, at, "listenerMetadata", "must not be set without listenerPath");
	return check_errno(r, at, "defaultErrnoRet", s->default_action, &s->default_errno_ret);
}

static const struct field seccomp_fields[] = {
	FIELD(struct spec_seccomp, default_action, "defaultAction", FIELD_ENUM,
	      .flags = FIELD_NEEDED, .names = spec_seccomp_actions),
	FIELD(struct spec_seccomp, default_errno_ret, "defaultErrnoRet", FIELD_OU32),
	FIELD(struct spec_seccomp, architectures, "architectures", FIELD_ENUMS,
	      .names = spec_seccomp_archs),
	FIELD(struct spec_seccomp, flags, "flags", FIELD_FLAGS, .names = spec_seccomp_flags),
	FIELD(struct spec_seccomp, listener_path, "listenerPath", FIELD_TEXT,
	      .flags = FIELD_ABSOLUTE),
	FIELD(struct spec_seccomp, listener_metadata, "listenerMetadata", FIELD_TEXT),
	FIELD(struct spec_seccomp, syscalls, "syscalls", FIELD_LIST, .shape = &syscall_shape),
	FIELDS_END,
};
const struct shape spec_seccomp_shape = { sizeof(struct spec_seccomp), seccomp_fields,
					  check_seccomp };
