/*
 * The system calls that a container may make.  What is not named here fails with EPERM, as with docker's own profile: an
 * old program that probes for a new call then takes the old way, and berth-runtime answers ENOSYS for calls that are
 * newer than all of these.
 */
#include <errno.h>
#include <sched.h>

#include "base/fd.h"
#include "runtime/bundle/bundle_impl.h"

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
	{ "SYS_PTRACE", { "process_madvise" } },
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
	    !allow_personality(rules) || (!caps_has(m, "SYS_ADMIN") && !allow_plain_clone(rules)))
		return making_no_memory(e);
	*ret = jv_pack("{s:s, s:i, s:o, s:o}", "defaultAction", "SCMP_ACT_ERRNO", "defaultErrnoRet",
		       EPERM, "architectures", architectures(), "syscalls", TAKE(rules));
	return *ret ? ERR_OK : making_no_memory(e);
}

/* A file in the runtime specification's own form. */
static enum err_kind file_profile(const char *path, struct jv **ret, struct err *e)
{
	AUTO_CLOSE fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	AUTO_SBUF b = { 0 };
	enum err_kind k;

	if (fd < 0)
		return err_sys(e, __func__, "open the seccomp profile %s", path);
	sbuf_init(&b, PROFILE_MAX);
	k = fd_read_rest(fd, &b, path, e);
	if (k == ERR_OK)
		k = jv_parse_object((struct str){ b.p, b.n }, 16, ret, e);
	return k == ERR_OK ? k : err_wrap(e, "%s", path);
}

enum err_kind seccomp_json(const struct making *m, struct jv **ret, struct err *e)
{
	*ret = NULL;
	if (m->unconfined)
		return ERR_OK;
	return m->seccomp_file ? file_profile(m->seccomp_file, ret, e) : own_profile(m, ret, e);
}
