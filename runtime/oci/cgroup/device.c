#include "runtime/oci/cgroup/device.h"

#include <inttypes.h>
#include <linux/bpf.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

#define ANY (-1)
#define PROGRAMS_MAX 64
#define INSNS_PER_RULE 10

static const struct device_rule defaults[] = {
	/* allow, type, major, minor, read, write, mknod */
	{ true, 'c', ANY, ANY, false, false, true }, /* making a node gives no right to open it */
	{ true, 'b', ANY, ANY, false, false, true },
	{ true, 'c', 1, 3, true, true, true },     /* null */
	{ true, 'c', 1, 5, true, true, true },     /* zero */
	{ true, 'c', 1, 7, true, true, true },     /* full */
	{ true, 'c', 1, 8, true, true, true },     /* random */
	{ true, 'c', 1, 9, true, true, true },     /* urandom */
	{ true, 'c', 5, 0, true, true, true },     /* tty */
	{ true, 'c', 5, 1, true, true, true },     /* console */
	{ true, 'c', 5, 2, true, true, true },     /* ptmx */
	{ true, 'c', 136, ANY, true, true, true }, /* pts */
};

static struct device_rule rule_of(const struct spec_device_rule *s)
{
	return (struct device_rule){
		.allow = s->allow,
		.type = s->type[0],
		.major = s->major.set ? s->major.v : ANY,
		.minor = s->minor.set ? s->minor.v : ANY,
		.read = strchr(s->access, 'r') != NULL,
		.write = strchr(s->access, 'w') != NULL,
		.mknod = strchr(s->access, 'm') != NULL,
	};
}

static bool forbids_all(const struct device_rule *r)
{
	return !r->allow && r->type == 'a' && r->major == ANY && r->minor == ANY && r->read &&
	       r->write && r->mknod;
}

static bool has_denial(const struct spec_resources *r, size_t from)
{
	for (size_t i = from; i < r->devices.n; i++) {
		if (!r->devices.v[i].allow)
			return true;
	}
	return false;
}

/*
 * The v1 controller lists what is allowed in the order in which it was first written, and the listed rules are
 * expected first there.  So the defaults come last; where a rule behind the last "forbid everything" forbids
 * something, those rules are said once more behind them, so that they have the last word over the defaults, too.
 */
enum err_kind device_rules_of(const struct spec_resources *r, struct arena *a,
			      struct device_rules *ret, struct err *e)
{
	size_t n = r->devices.n, after = 0;
	bool forbids = false;

	*ret = (struct device_rules){ 0 };
	if (n == 0)
		return ERR_OK;
	ret->v = arena_array(a, 2 * n + ARRAY_LEN(defaults), sizeof(*ret->v));
	if (!ret->v)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for device rules");
	for (size_t i = 0; i < n; i++) {
		ret->v[ret->n++] = rule_of(&r->devices.v[i]);
		if (forbids_all(&ret->v[i])) {
			forbids = true;
			after = i + 1;
		}
	}
	if (!forbids)
		return ERR_OK;
	memcpy(ret->v + ret->n, defaults, sizeof(defaults));
	ret->n += ARRAY_LEN(defaults);
	for (size_t i = after; has_denial(r, after) && i < n; i++)
		ret->v[ret->n++] = rule_of(&r->devices.v[i]);
	return ERR_OK;
}

const char *device_rule_line(const struct device_rule *r, char buf[static DEVICE_LINE_MAX])
{
	char major[24] = "*", minor[24] = "*";

	if (r->major != ANY)
		(void)snprintf(major, sizeof(major), "%" PRId64, r->major);
	if (r->minor != ANY)
		(void)snprintf(minor, sizeof(minor), "%" PRId64, r->minor);
	(void)snprintf(buf, DEVICE_LINE_MAX, "%c %s:%s %s%s%s", r->type, major, minor,
		       r->read ? "r" : "", r->write ? "w" : "", r->mknod ? "m" : "");
	return buf;
}

/* Registers: 1 context, 2 type, 3 accesses still wanted, 4 major, 5 minor. */
enum { CTX = 1, TYPE, WANTED, MAJOR, MINOR };

struct assembler {
	struct bpf_insn *v;
	size_t n;
};

static void insn(struct assembler *as, int code, int dst, int src, int off, int64_t imm)
{
	as->v[as->n++] = (struct bpf_insn){ .code = (uint8_t)code,
					    .dst_reg = (uint8_t)(dst & 15),
					    .src_reg = (uint8_t)(src & 15),
					    .off = (int16_t)off,
					    .imm = (int32_t)imm };
}

static void load(struct assembler *as, int reg, size_t offset)
{
	insn(as, BPF_LDX | BPF_MEM | BPF_W, reg, CTX, (int)offset, 0);
}

static void finish_with(struct assembler *as, int result)
{
	insn(as, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, result);
	insn(as, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* Jumps over the rest of the rule, which begins at `from`, once that is known. */
static void land(struct assembler *as, size_t from)
{
	for (size_t i = from; i < as->n; i++) {
		if (BPF_CLASS(as->v[i].code) == BPF_JMP && as->v[i].off == INT16_MAX)
			as->v[i].off = (int16_t)(as->n - i - 1);
	}
}

#define SKIP_RULE INT16_MAX
#define JUMP32(op) (BPF_JMP | (op) | BPF_K)

static void add_rule(struct assembler *as, const struct device_rule *r)
{
	int access = (r->read ? BPF_DEVCG_ACC_READ : 0) | (r->write ? BPF_DEVCG_ACC_WRITE : 0) |
		     (r->mknod ? BPF_DEVCG_ACC_MKNOD : 0);
	size_t start = as->n;

	if (r->type != 'a')
		insn(as, JUMP32(BPF_JNE), TYPE, 0, SKIP_RULE,
		     r->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
	if (r->major != ANY)
		insn(as, JUMP32(BPF_JNE), MAJOR, 0, SKIP_RULE, r->major);
	if (r->minor != ANY)
		insn(as, JUMP32(BPF_JNE), MINOR, 0, SKIP_RULE, r->minor);
	if (r->allow) { /* these are granted; the rest must be by earlier rules */
		insn(as, BPF_ALU | BPF_AND | BPF_K, WANTED, 0, 0, ~access);
		insn(as, JUMP32(BPF_JNE), WANTED, 0, SKIP_RULE, 0);
		finish_with(as, 1);
	} else { /* one that is forbidden is enough */
		insn(as, BPF_ALU64 | BPF_MOV | BPF_X, 0, WANTED, 0, 0);
		insn(as, BPF_ALU | BPF_AND | BPF_K, 0, 0, 0, access);
		insn(as, JUMP32(BPF_JEQ), 0, 0, SKIP_RULE, 0);
		finish_with(as, 0);
	}
	land(as, start);
}

/* access_type holds the type in its lower half and the accesses in the upper one. */
enum err_kind device_program(const struct device_rules *rules, struct arena *a,
			     struct bpf_insn **ret, size_t *ret_n, struct err *e)
{
	struct assembler as = { 0 };

	as.v = arena_array(a, 8 + INSNS_PER_RULE * rules->n, sizeof(*as.v));
	if (!as.v)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the device program");
	load(&as, TYPE, offsetof(struct bpf_cgroup_dev_ctx, access_type));
	insn(&as, BPF_ALU64 | BPF_MOV | BPF_X, WANTED, TYPE, 0, 0);
	insn(&as, BPF_ALU | BPF_AND | BPF_K, TYPE, 0, 0, 0xffff);
	insn(&as, BPF_ALU | BPF_RSH | BPF_K, WANTED, 0, 0, 16);
	load(&as, MAJOR, offsetof(struct bpf_cgroup_dev_ctx, major));
	load(&as, MINOR, offsetof(struct bpf_cgroup_dev_ctx, minor));
	for (size_t i = rules->n; i-- > 0;)
		add_rule(&as, &rules->v[i]);
	finish_with(&as,
		    1); /* what nobody forbade: as in version 1, where all is allowed at first */
	*ret = as.v;
	*ret_n = as.n;
	return ERR_OK;
}

static int bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static uint64_t pointer(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static int load_program(const struct bpf_insn *program, size_t n, char *log, uint32_t log_size)
{
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
				.insn_cnt = (uint32_t)n,
				.insns = pointer(program),
				.license = pointer("GPL"),
				.log_level = log_size ? 1 : 0,
				.log_buf = pointer(log),
				.log_size = log_size };

	return bpf(BPF_PROG_LOAD, &attr);
}

/* Kernels before 5.11 charge programs to RLIMIT_MEMLOCK; newer ones do not, and raising it may be denied. */
static int load_raising_limit(const struct bpf_insn *program, size_t n)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	int fd = load_program(program, n, NULL, 0);

	if (fd >= 0 || setrlimit(RLIMIT_MEMLOCK, &unlimited) < 0)
		return fd;
	return load_program(program, n, NULL, 0);
}

static void detach_old(int cgroup, const uint32_t *ids, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		union bpf_attr by_id = { .prog_id = ids[i] };
		AUTO_CLOSE fd = bpf(BPF_PROG_GET_FD_BY_ID, &by_id);
		union bpf_attr attr = { .target_fd = (uint32_t)cgroup,
					.attach_bpf_fd = (uint32_t)fd,
					.attach_type = BPF_CGROUP_DEVICE };

		if (fd >= 0)
			(void)bpf(BPF_PROG_DETACH, &attr); /* gone already is fine */
	}
}

enum err_kind device_attach(const struct bpf_insn *program, size_t n, int cgroup, struct err *e)
{
	uint32_t old[PROGRAMS_MAX] = { 0 };
	union bpf_attr query = { .query = { .target_fd = (uint32_t)cgroup,
					    .attach_type = BPF_CGROUP_DEVICE,
					    .prog_ids = pointer(old),
					    .prog_cnt = PROGRAMS_MAX } };
	AUTO_CLOSE fd = load_raising_limit(program, n);
	union bpf_attr attach = { .target_fd = (uint32_t)cgroup,
				  .attach_bpf_fd = (uint32_t)fd,
				  .attach_type = BPF_CGROUP_DEVICE,
				  .attach_flags = BPF_F_ALLOW_MULTI };
	uint32_t had = 0;

	if (fd < 0)
		return err_sys(e, __func__, "linux.resources.devices: load eBPF program");
	if (bpf(BPF_PROG_QUERY, &query) == 0)
		had = query.query.prog_cnt;
	if (bpf(BPF_PROG_ATTACH, &attach) < 0)
		return err_sys(e, __func__, "linux.resources.devices: attach eBPF program");
	detach_old(cgroup, old, had); /* after the new one: no moment without rules */
	return ERR_OK;
}
