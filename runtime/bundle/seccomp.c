/*
 * The system calls that a container may make.  What is not named here fails with EPERM, as with docker's own profile: an
 * old program that probes for a new call then takes the old way, and berth-runtime answers ENOSYS for calls that are
 * newer than all of these.
 */
#include <errno.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "base/fd.h"
#include "runtime/bundle/bundle_impl.h"

#if defined(__x86_64__)
#define MACHINE "amd64" /* as docker calls it */
#elif defined(__aarch64__)
#define MACHINE "arm64"
#endif
#define PROFILE_MAX (1u * 1024 * 1024)
#define NAMESPACE_FLAGS                                                                            \
	(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | \
	 CLONE_NEWCGROUP)

static const char *const always[] = {
#include "runtime/bundle/syscalls.def"
};

/* With a capability that they need anyway, so that nothing is lost. */
struct gated {
	const char *cap;
	const char *names[24];
};
static const struct gated gated[] = {
	{ "SYS_ADMIN",
	  { "bpf",
	    "clone",
	    "clone3",
	    "fanotify_init",
	    "fsconfig",
	    "fsmount",
	    "fsopen",
	    "fspick",
	    "lookup_dcookie",
	    "mount",
	    "mount_setattr",
	    "move_mount",
	    "name_to_handle_at",
	    "open_tree",
	    "perf_event_open",
	    "quotactl",
	    "quotactl_fd",
	    "setdomainname",
	    "sethostname",
	    "setns",
	    "syslog",
	    "umount",
	    "umount2",
	    "unshare" } },
	{ "DAC_READ_SEARCH", { "open_by_handle_at" } },
	{ "SYS_BOOT", { "reboot" } },
	{ "SYS_CHROOT", { "chroot" } },
	{ "SYS_MODULE", { "delete_module", "init_module", "finit_module" } },
	{ "SYS_PACCT", { "acct" } },
	{ "SYS_PTRACE", { "kcmp", "pidfd_getfd", "process_madvise" } },
	{ "SYS_RAWIO", { "iopl", "ioperm" } },
	{ "SYS_TIME", { "settimeofday", "stime", "clock_settime", "clock_settime64" } },
	{ "SYS_TTY_CONFIG", { "vhangup" } },
	{ "SYS_NICE", { "get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node" } },
	{ "SYSLOG", { "syslog" } },
	{ "BPF", { "bpf" } },
	{ "PERFMON", { "perf_event_open" } },
};

static bool allow(struct jv *rules, const char *const *names, size_t n)
{
	return jv_append(rules, jv_pack("{s:o, s:s}", "names", jv_new_texts(names, n), "action",
					"SCMP_ACT_ALLOW"));
}

static bool allow_gated(const struct making *m, struct jv *rules)
{
	for (size_t i = 0; i < ARRAY_LEN(gated); i++) {
		size_t n = 0;

		while (n < ARRAY_LEN(gated[i].names) && gated[i].names[n])
			n++;
		if (caps_has(m, gated[i].cap) && !allow(rules, gated[i].names, n))
			return false;
	}
	return true;
}

/* Threads and processes, but no namespaces; clone3's flags are in memory, which no filter sees. */
static bool allow_plain_clone(struct jv *rules)
{
	return jv_append(rules, jv_pack("{s:[s], s:s, s:[{s:i, s:I, s:I, s:s}]}", "names", "clone",
					"action", "SCMP_ACT_ALLOW", "args", "index", 0, "value",
					(long long)NAMESPACE_FLAGS, "valueTwo", 0LL, "op",
					"SCMP_CMP_MASKED_EQ")) &&
	       jv_append(rules, jv_pack("{s:[s], s:s, s:i}", "names", "clone3", "action",
					"SCMP_ACT_ERRNO", "errnoRet", ENOSYS));
}

static bool allow_socket(struct jv *rules, int family, const char *op)
{
	return jv_append(rules,
			 jv_pack("{s:[s], s:s, s:[{s:i, s:i, s:s}]}", "names", "socket", "action",
				 "SCMP_ACT_ALLOW", "args", "index", 0, "value", family, "op", op));
}

/*
 * All but those of virtual machines, which would reach past the network's namespace to the hypervisor.  Filters see 64
 * bits of which the kernel takes 32, so to refuse that one number alone, as docker does, would let its twins pass.
 */
static bool allow_sockets(struct jv *rules)
{
	bool ok = allow_socket(rules, AF_VSOCK, "SCMP_CMP_LT");

	for (int family = AF_VSOCK + 1; ok && family < AF_MAX; family++)
		ok = allow_socket(rules, family, "SCMP_CMP_EQ");
	return ok;
}

/* The execution domains of Linux, and the question for the one in force. */
static bool allow_personality(struct jv *rules)
{
	static const long long domains[] = { 0x0, 0x8, 0x20000, 0x20008, 0xffffffff };

	for (size_t i = 0; i < ARRAY_LEN(domains); i++) {
		if (!jv_append(rules,
			       jv_pack("{s:[s], s:s, s:[{s:i, s:I, s:s}]}", "names", "personality",
				       "action", "SCMP_ACT_ALLOW", "args", "index", 0, "value",
				       domains[i], "op", "SCMP_CMP_EQ")))
			return false;
	}
	return true;
}

static struct jv *architectures(void)
{
#if defined(__x86_64__)
	static const char *const names[] = { "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32" };
#elif defined(__aarch64__)
	static const char *const names[] = { "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM" };
#else
#error "which system call tables has this machine?"
#endif
	return jv_new_texts(names, ARRAY_LEN(names));
}

static enum err_kind own_profile(const struct making *m, struct jv **ret, struct err *e)
{
	AUTO_JV *rules = jv_new_array();

	if (!rules || !allow(rules, always, ARRAY_LEN(always)) || !allow_gated(m, rules) ||
	    !allow_sockets(rules) || !allow_personality(rules) ||
	    (!caps_has(m, "SYS_ADMIN") && !allow_plain_clone(rules)))
		return making_no_memory(e);
	*ret = jv_pack("{s:s, s:i, s:o, s:o}", "defaultAction", "SCMP_ACT_ERRNO", "defaultErrnoRet",
		       EPERM, "architectures", architectures(), "syscalls", TAKE(rules));
	return *ret ? ERR_OK : making_no_memory(e);
}

/* --- Profiles in files: the runtime specification's form, or docker's with conditions --- */

static bool has_text(const struct jv *list, const char *text)
{
	struct str s;

	for (size_t i = 0; i < jv_count(list); i++) {
		if (jv_text(jv_at(list, i), &s) && str_eq(s, str_of(text)))
			return true;
	}
	return false;
}

/* "4.8": is this kernel that new? */
static bool is_kernel(struct str wanted)
{
	struct utsname own;
	struct str release;
	uint64_t want[2] = { 0 }, have[2] = { 0 };

	if (uname(&own) < 0)
		return false;
	release = str_of(own.release);
	if (!scan_u64(&wanted, UINT32_MAX, &want[0]) || !scan_char(&wanted, '.') ||
	    !scan_u64(&wanted, UINT32_MAX, &want[1]) || !scan_u64(&release, UINT32_MAX, &have[0]) ||
	    !scan_char(&release, '.') || !scan_u64(&release, UINT32_MAX, &have[1]))
		return false;
	return have[0] > want[0] || (have[0] == want[0] && have[1] >= want[1]);
}

/* How many of the capabilities it has, of n. */
static size_t count_caps(const struct making *m, const struct jv *caps)
{
	size_t n = 0;

	for (size_t i = 0; i < jv_count(caps); i++) {
		struct str s;
		const char *cap = jv_text(jv_at(caps, i), &s) ? arena_text(m->arena, s) : NULL;

		n += cap && caps_has(m, cap);
	}
	return n;
}

static bool applies(const struct making *m, const struct jv *rule)
{
	const struct jv *with = jv_member(rule, "includes"), *without = jv_member(rule, "excludes");
	const struct jv *arches = jv_member(with, "arches"), *caps = jv_member(with, "caps");
	struct str kernel;

	if ((jv_count(arches) && !has_text(arches, MACHINE)) ||
	    has_text(jv_member(without, "arches"), MACHINE) ||
	    count_caps(m, caps) < jv_count(caps) || count_caps(m, jv_member(without, "caps")))
		return false;
	if (jv_text(jv_member(with, "minKernel"), &kernel) && !is_kernel(kernel))
		return false;
	return !jv_text(jv_member(without, "minKernel"), &kernel) || !is_kernel(kernel);
}

/* What the specification knows of it. */
static struct jv *plain_rule(const struct jv *rule)
{
	static const char *const members[] = { "names", "action", "errnoRet", "args" };
	AUTO_JV *v = jv_pack("{}");
	const struct jv *one = jv_member(rule, "name");
	bool ok = v != NULL;

	for (size_t i = 0; ok && i < ARRAY_LEN(members); i++) {
		const struct jv *value = jv_member(rule, members[i]);

		ok = jv_is_null(value) || jv_set(v, members[i], jv_share(value));
	}
	if (ok && !jv_is_null(one))
		ok = jv_set(v, "names", jv_pack("[o]", jv_share(one)));
	return ok ? TAKE(v) : NULL;
}

static struct jv *plain_rules(const struct making *m, const struct jv *rules)
{
	AUTO_JV *list = jv_new_array();

	for (size_t i = 0; list && i < jv_count(rules); i++) {
		const struct jv *rule = jv_at(rules, i);

		if (applies(m, rule) && !jv_append(list, plain_rule(rule)))
			return NULL;
	}
	return TAKE(list);
}

/* This machine's entry of archMap, as a list. */
static struct jv *mapped_architectures(const struct jv *map)
{
	AUTO_JV *own = architectures();
	struct str name, wanted = { "", 0 };

	(void)jv_text(jv_at(own, 0), &wanted);
	for (size_t i = 0; i < jv_count(map); i++) {
		const struct jv *one = jv_at(map, i), *more = jv_member(one, "subArchitectures");
		AUTO_JV *list = jv_new_array();
		bool ok = true;

		if (!jv_text(jv_member(one, "architecture"), &name) || !str_eq(name, wanted))
			continue;
		ok = jv_append(list, jv_share(jv_member(one, "architecture")));
		for (size_t j = 0; ok && j < jv_count(more); j++)
			ok = jv_append(list, jv_share(jv_at(more, j)));
		return ok ? TAKE(list) : NULL;
	}
	return jv_new_array();
}

static enum err_kind plain_profile(const struct making *m, const struct jv *doc, struct jv **ret,
				   struct err *e)
{
	AUTO_JV *v = jv_pack("{}");
	const struct jv *value;
	const char *key;
	void *iter = NULL;
	bool ok = v != NULL;

	while (ok && jv_next(doc, &iter, &key, &value)) {
		if (strcmp(key, "syscalls") == 0)
			ok = jv_set(v, key, plain_rules(m, value));
		else if (strcmp(key, "archMap") == 0)
			ok = jv_set(v, "architectures", mapped_architectures(value));
		else if (strcmp(key, "defaultErrno") != 0) /* a name of defaultErrnoRet */
			ok = jv_set(v, key, jv_share(value));
	}
	if (!ok)
		return making_no_memory(e);
	*ret = TAKE(v);
	return ERR_OK;
}

static enum err_kind file_profile(const struct making *m, struct jv **ret, struct err *e)
{
	AUTO_SBUF b;
	AUTO_JV *doc = NULL;
	enum err_kind k;

	sbuf_init(&b, PROFILE_MAX);
	k = fd_read_path(m->seccomp_file, &b, e);
	if (k == ERR_OK)
		k = jv_parse_object_u64((struct str){ b.p, b.n }, 16, &doc, e);
	if (k == ERR_OK)
		k = plain_profile(m, doc, ret, e);
	return k == ERR_OK ? k : err_wrap(e, "the seccomp profile %s", m->seccomp_file);
}

enum err_kind seccomp_json(const struct making *m, struct jv **ret, struct err *e)
{
	*ret = NULL;
	if (m->unconfined)
		return ERR_OK;
	return m->seccomp_file ? file_profile(m, ret, e) : own_profile(m, ret, e);
}
