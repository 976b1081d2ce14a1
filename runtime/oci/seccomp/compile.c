/* From profile to BPF by libseccomp; the only file that includes its header. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>

#include <seccomp.h>

#include "base/fd.h"
#include "runtime/oci/seccomp/filter.h"

#define X32_BIT 0x40000000u
#define PROGRAM_BYTES_MAX (BPF_MAXINSNS * sizeof(struct sock_filter))

const char *filter_library_version(char buf[static 32])
{
	const struct scmp_version *v = seccomp_version();

	(void)snprintf(buf, 32, "%u.%u.%u", v->major, v->minor, v->micro);
	return buf;
}

static uint32_t action_of(int action, const struct opt_u32 *ret)
{
	uint32_t value = ret->set ? ret->v : EPERM;

	switch ((enum seccomp_action)action) {
	case SECCOMP_ACT_KILL:
	case SECCOMP_ACT_KILL_THREAD:
		return SCMP_ACT_KILL_THREAD;
	case SECCOMP_ACT_KILL_PROCESS:
		return SCMP_ACT_KILL_PROCESS;
	case SECCOMP_ACT_TRAP:
		return SCMP_ACT_TRAP;
	case SECCOMP_ACT_ERRNO:
		return SCMP_ACT_ERRNO(value);
	case SECCOMP_ACT_TRACE:
		return SCMP_ACT_TRACE(value);
	case SECCOMP_ACT_ALLOW:
		return SCMP_ACT_ALLOW;
	case SECCOMP_ACT_LOG:
		return SCMP_ACT_LOG;
	case SECCOMP_ACT_NOTIFY:
		return SCMP_ACT_NOTIFY;
	case SECCOMP_ACT_NONE:
		break;
	}
	return SCMP_ACT_KILL_PROCESS; /* no action is none that lets anything through */
}

static enum scmp_compare compare_of(int op)
{
	static const enum scmp_compare rows[] = {
		[SECCOMP_CMP_NE] = SCMP_CMP_NE,
		[SECCOMP_CMP_LT] = SCMP_CMP_LT,
		[SECCOMP_CMP_LE] = SCMP_CMP_LE,
		[SECCOMP_CMP_EQ] = SCMP_CMP_EQ,
		[SECCOMP_CMP_GE] = SCMP_CMP_GE,
		[SECCOMP_CMP_GT] = SCMP_CMP_GT,
		[SECCOMP_CMP_MASKED_EQ] = SCMP_CMP_MASKED_EQ,
	};

	return rows[op];
}

/* Index as in spec_seccomp_archs; 0 for an architecture that this libseccomp does not know. */
static uint32_t arch_token(uint32_t index)
{
	const char *name = spec_seccomp_archs[index - 1] + sizeof("SCMP_ARCH_") - 1;
	char lower[24];
	size_t i = 0;

	for (; name[i] && i < sizeof(lower) - 1; i++)
		lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
	lower[i] = '\0';
	return seccomp_arch_resolve_name(lower);
}

static enum err_kind failed(struct err *e, int r, const char *what)
{
	errno = -r;
	return err_sys(e, __func__, "linux.seccomp: %s", what);
}

static enum err_kind add_architectures(scmp_filter_ctx ctx, const struct spec_seccomp *s,
				       struct err *e)
{
	for (size_t i = 0; i < s->architectures.n; i++) {
		uint32_t token = arch_token(s->architectures.v[i]);
		int r = token ? seccomp_arch_add(ctx, token) : 0;

		if (r < 0 && r != -EEXIST &&
		    r != -EDOM) /* another byte order: none of its calls can come */
			return failed(e, r, "architectures");
	}
	return ERR_OK;
}

/*
 * libseccomp joins conditions on different arguments by "and" and knows no "or"; two conditions on one argument are,
 * as engines mean them, alternatives: one rule each.
 */
static bool repeats_argument(const struct spec_syscall *s)
{
	unsigned seen = 0;

	for (size_t i = 0; i < s->args.n; i++) {
		if (seen & (1u << s->args.v[i].index))
			return true;
		seen |= 1u << s->args.v[i].index;
	}
	return false;
}

static struct scmp_arg_cmp condition(const struct spec_seccomp_arg *a)
{
	return (struct scmp_arg_cmp){ .arg = a->index,
				      .op = compare_of(a->op),
				      .datum_a = a->value,
				      .datum_b = a->value_two };
}

static int add_rule(scmp_filter_ctx ctx, const struct spec_syscall *s, uint32_t action, int nr)
{
	struct scmp_arg_cmp args[6];
	int r = 0;

	if (repeats_argument(s)) {
		for (size_t i = 0; r == 0 && i < s->args.n; i++) {
			args[0] = condition(&s->args.v[i]);
			r = seccomp_rule_add_array(ctx, action, nr, 1, args);
		}
		return r;
	}
	for (size_t i = 0; i < s->args.n; i++)
		args[i] = condition(&s->args.v[i]);
	return seccomp_rule_add_array(ctx, action, nr, (unsigned)s->args.n, args);
}

static enum err_kind add_rules(scmp_filter_ctx ctx, const struct spec_seccomp *s, struct err *e)
{
	uint32_t fallback = action_of(s->default_action, &s->default_errno_ret);

	for (size_t i = 0; i < s->syscalls.n; i++) {
		const struct spec_syscall *one = &s->syscalls.v[i];
		uint32_t action = action_of(one->action, &one->errno_ret);

		if (action == fallback)
			continue; /* libseccomp refuses a rule that says nothing new */
		for (size_t j = 0; j < one->names.n; j++) {
			int nr = seccomp_syscall_resolve_name(one->names.v[j]);
			int r = nr == __NR_SCMP_ERROR ? 0 : add_rule(ctx, one, action, nr);

			if (r < 0 && r != -EEXIST)
				return failed(e, r, one->names.v[j]);
		}
	}
	return ERR_OK;
}

/*
 * A profile that denies what it does not name with EPERM breaks programs that try calls newer than itself and fall
 * back on ENOSYS.  So calls with a number over the largest that the profile names get ENOSYS, as if the kernel were
 * as old as the profile.
 */
struct arch_range {
	uint32_t token;
	int newest;
};

static int newest_call(const struct spec_seccomp *s, uint32_t token)
{
	int newest = -1;

	for (size_t i = 0; i < s->syscalls.n; i++) {
		for (size_t j = 0; j < s->syscalls.v[i].names.n; j++) {
			int nr =
			    seccomp_syscall_resolve_name_arch(token, s->syscalls.v[i].names.v[j]);

			if (nr > newest)
				newest = nr;
		}
	}
	return newest;
}

static bool wants_stub(const struct spec_seccomp *s)
{
	return s->default_action == SECCOMP_ACT_ERRNO &&
	       (!s->default_errno_ret.set || s->default_errno_ret.v != ENOSYS);
}

#define STMT(code, k)                                                                              \
	(struct sock_filter)                                                                       \
	{                                                                                          \
		(code), 0, 0, (k)                                                                  \
	}
#define JUMP(code, k, jt, jf)                                                                      \
	(struct sock_filter)                                                                       \
	{                                                                                          \
		(code), (jt), (jf), (k)                                                            \
	}

static size_t stub_of_arch(const struct spec_seccomp *s, uint32_t token, struct sock_filter *to)
{
	int newest = newest_call(s, token);
	uint32_t x32 = token == SCMP_ARCH_X32 ? X32_BIT : 0, audit = token;
	bool shares_audit = token == SCMP_ARCH_X86_64 || token == SCMP_ARCH_X32;
	struct sock_filter *at = to;

	if (newest < 0)
		return 0;
	if (shares_audit)
		audit = AUDIT_ARCH_X86_64; /* told apart by a bit of the number */
	*at++ = STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	*at++ = JUMP(BPF_JMP | BPF_JEQ | BPF_K, audit, 0, (uint8_t)(shares_audit ? 4 : 3));
	*at++ = STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	if (shares_audit) /* x86_64 ends where x32 begins */
		*at++ = JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, (uint8_t)(x32 ? 0 : 2),
			     (uint8_t)(x32 ? 2 : 0));
	*at++ = JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)newest | x32, 0, 1);
	*at++ = STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
	return (size_t)(at - to);
}

#define STUB_MAX 6
static size_t make_stub(const struct spec_seccomp *s, struct sock_filter *to)
{
	size_t n = 0;
	bool has_native = false;

	if (!wants_stub(s))
		return 0;
	for (size_t i = 0; i < s->architectures.n; i++) {
		uint32_t token = arch_token(s->architectures.v[i]);

		has_native = has_native || token == seccomp_arch_native();
		if (token)
			n += stub_of_arch(s, token, to + n);
	}
	return has_native ? n : n + stub_of_arch(s, seccomp_arch_native(), to + n);
}

static enum err_kind program_of(scmp_filter_ctx ctx, const struct spec_seccomp *s, struct arena *a,
				struct filter *ret, struct err *e)
{
	AUTO_CLOSE fd = memfd_create("seccomp", MFD_CLOEXEC);
	size_t stub_cap = STUB_MAX * (s->architectures.n + 1), stub, bytes;
	int r = fd < 0 ? -errno : seccomp_export_bpf(ctx, fd);
	struct stat st;

	if (r < 0)
		return failed(e, r, "compile");
	if (fstat(fd, &st) < 0)
		return err_sys(e, __func__, "linux.seccomp");
	bytes = (size_t)st.st_size;
	ret->v = arena_array(a, stub_cap + bytes / sizeof(*ret->v), sizeof(*ret->v));
	if (!ret->v)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a seccomp filter");
	stub = make_stub(s, ret->v);
	if (stub + bytes / sizeof(*ret->v) > BPF_MAXINSNS)
		return err_set(e, ERR_TOO_LARGE, __func__,
			       "linux.seccomp: the filter has more than %d instructions",
			       BPF_MAXINSNS);
	ret->n = (uint16_t)(stub + bytes / sizeof(*ret->v));
	return fd_pread_exact(fd, ret->v + stub, bytes, 0, "seccomp filter", e);
}

unsigned filter_load_flags(const struct spec_seccomp *s)
{
	unsigned flags = 0;

	/* TSYNC is about other threads, and there are none. */
	if (s->flags & SECCOMP_FLAG_LOG)
		flags |= SECCOMP_FILTER_FLAG_LOG;
	if (s->flags & SECCOMP_FLAG_SPEC_ALLOW)
		flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	if ((s->flags & SECCOMP_FLAG_WAIT_KILLABLE_RECV) && seccomp_uses_notify(s))
		flags |= SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	return flags;
}

enum err_kind filter_compile(const struct spec_seccomp *s, struct arena *a, struct filter *ret,
			     struct err *e)
{
	scmp_filter_ctx ctx = seccomp_init(action_of(s->default_action, &s->default_errno_ret));
	enum err_kind k;
	int r;

	*ret = (struct filter){ .flags = filter_load_flags(s) };
	if (!ctx)
		return err_set(e, ERR_INVALID, __func__,
			       "linux.seccomp.defaultAction: %s is not known to this libseccomp",
			       spec_seccomp_actions[s->default_action - 1]);
	/* A binary tree: faster for every call of the container, and for the kernel's check at load. */
	r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	(void)r; /* libseccomp before 2.5 makes a list, which is as good a filter */
	k = add_architectures(ctx, s, e);
	if (k == ERR_OK)
		k = add_rules(ctx, s, e);
	if (k == ERR_OK)
		k = program_of(ctx, s, a, ret, e);
	seccomp_release(ctx);
	return k;
}
