/*
 * plan - what is to be done for a container, decided before anything is.
 *
 * The runtime turns a spec into a plan: a list of steps with everything they need already opened, looked up and
 * put into the form that the kernel takes.  The process that becomes the container's then walks the list (init.h);
 * it allocates nothing and parses nothing.  `create --dry-run` prints the same list.
 *
 * L1  Texts and arrays live in the plan's arena, or in the spec or state that it was made from.
 * L2  Descriptors in a plan are close-on-exec and belong to the plan.
 */
#pragma once

#include <sched.h>
#include <sys/resource.h>

#include "runtime/oci/plan/mount_opt.h"
#include "runtime/oci/spec/spec.h"

/* X(NAME, "verb"): a step's text is the verb and the object, and so is its error. */
#define STEPS(X)                                                                                   \
	X(AWAIT, "wait for the runtime")                                                           \
	X(UNSHARE, "make")                                                                         \
	X(BECOME_ROOT, "become root of the user namespace")                                        \
	X(KEYRING, "join session keyring")                                                         \
	X(HOSTNAME, "set hostname")                                                                \
	X(DOMAINNAME, "set domainname")                                                            \
	X(SYSCTL, "set sysctl")                                                                    \
	X(PROPAGATE, "stop mount propagation to the host of")                                      \
	X(ATTACH_ROOT, "mount root")                                                               \
	X(MOUNT, "mount")                                                                          \
	X(DEVICE, "make device")                                                                   \
	X(LINK, "make link")                                                                       \
	X(HOOKS, "run prestart and createRuntime hooks")                                           \
	X(HOOK, "run hook")                                                                        \
	X(CONSOLE, "open console")                                                                 \
	X(MASK, "mask")                                                                            \
	X(READONLY, "make read-only")                                                              \
	X(PIVOT, "change the root to")                                                             \
	X(ROOT_READONLY, "make the root read-only")                                                \
	X(ROOT_PROPAGATION, "set propagation of the root to")                                      \
	X(LABEL, "set label")                                                                      \
	X(LIMIT, "set limit")                                                                      \
	X(LIMITS, "let the runtime set limits")                                                    \
	X(SCHEDULER, "set scheduler")                                                              \
	X(AFFINITY, "set CPU affinity")                                                            \
	X(IO_PRIORITY, "set I/O priority")                                                         \
	X(MEMORY_POLICY, "set memory policy")                                                      \
	X(PERSONALITY, "set personality")                                                          \
	X(CWD, "change directory to")                                                              \
	X(USER, "become user")                                                                     \
	X(PROGRAM, "exec")                                                                         \
	X(READY, "wait for start")                                                                 \
	X(FINISH, "prepare to exec")                                                               \
	X(SECCOMP, "load seccomp filter")                                                          \
	X(EXEC, "exec")

enum step_kind {
#define X(name, verb) STEP_##name,
	STEPS(X)
#undef X
	    STEP_N
};

enum mount_kind {
	MOUNT_NEW,    /* a filesystem */
	MOUNT_BIND,   /* what is at source on the host */
	MOUNT_CHANGE, /* options of what is mounted at target already */
};

struct mount_op {
	enum mount_kind kind;
	const char *target, *type, *source;
	const char *data; /* opts.data in one line, for mount(2) */
	struct mount_opts opts;
	int tree;            /* MOUNT_BIND: detached mount of source, or -1 */
	bool tree_is_needed; /* else it is for where the process may not open source itself */
	dev_t source_dev; /* MOUNT_BIND: what source was when the plan was made; 0: not looked at */
	ino_t source_ino;
	bool
	    wants_directory; /* proc, sysfs: the target must be a directory and no link leads to it */
	const char *fallback; /* bound read-only where a new filesystem is not granted; or NULL */
	bool is_proc_source;  /* MOUNT_BIND of the root of a procfs */
};

struct device_op {
	const char *path;
	mode_t mode; /* with S_IFMT */
	dev_t number;
	uid_t uid;
	gid_t gid;
	bool
	    binds; /* of the host's device of the same path: in a user namespace nobody may mknod(2) */
};

/* The state of the container as JSON, but for the pid, which is known late: it goes between head and tail. */
struct state_text {
	const char *head, *tail;
};

struct hook_op {
	const char *path;
	char *const *argv;
	char *const *envp;
	int timeout_s; /* 0: none */
	struct state_text state;
};

struct user_op {
	uid_t uid;
	gid_t gid;
	const gid_t *groups;
	size_t groups_n;
	bool sets_groups; /* false where the user namespace denies setgroups(2) */
	mode_t umask;
	uint64_t caps[CAPS_N];
	bool no_new_privileges;
	bool
	    keeps_admin; /* until exec, which takes it away: to load a filter without no_new_privileges */
};

/* struct sched_attr of the kernel, first version. */
struct sched_op {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

#define NODES_MAX 1024
struct memory_op {
	int mode; /* MPOL_* with flags */
	unsigned long nodes[NODES_MAX / (8 * sizeof(unsigned long))];
};

enum pivot_kind {
	PIVOT_ROOT,
	PIVOT_MOVE,   /* --no-pivot */
	PIVOT_CHROOT, /* no mount namespace of our own to change */
};

struct console_op {
	int socket; /* takes the terminal's master */
	bool binds; /* on /dev/console: not for exec */
	struct spec_box size;
	uid_t uid;
};

struct seccomp_op {
	const void *filter; /* struct sock_filter[] */
	uint16_t count;
	unsigned flags;       /* SECCOMP_FILTER_FLAG_* */
	int listener_socket;  /* connected, or -1 */
	const char *parts[3]; /* containerProcessState; the pid goes between them */
};

struct step {
	enum step_kind kind;
	const char *object; /* what the verb is applied to; "" if the verb says it all */
	union {
		int ns_flags; /* UNSHARE: CLONE_NEW* */
		const struct mount_op *mount;
		const struct device_op *device;
		const struct hook_op *hook;
		const struct user_op *user;
		const struct sched_op *sched;
		const struct memory_op *memory;
		const struct console_op *console;
		const struct seccomp_op *seccomp;
		const char *text; /* LINK, LABEL: what is written */
		struct {
			const char *file; /* below /proc */
			const char *value;
		} sysctl;
		struct {
			int type; /* RLIMIT_* */
			struct rlimit value;
		} limit;
		const cpu_set_t *cpus;
		int number; /* IO_PRIORITY, PERSONALITY: the kernel's value; PIVOT: enum pivot_kind */
		unsigned long ms_flags; /* PROPAGATE, ROOT_PROPAGATION */
	};
};

struct join {
	int fd;           /* of the namespace, or a pidfd */
	int flags;        /* CLONE_NEW* */
	const char *path; /* for messages */
};

struct plan {
	struct arena *arena;
	struct step *steps;
	size_t n, cap;

	/*
	 * Namespaces.  Where some are joined, or there is a new time namespace, a stage comes before the process: it
	 * enters and makes those, then makes the process (stage.h, ADR 0023).
	 */
	unsigned long new_flags; /* CLONE_NEW* for the process's clone */
	struct join joins[NS_N];
	size_t joins_n;
	bool joins_user; /* one of them is a user namespace */
	bool needs_stage;
	unsigned
	    own_kinds; /* bits of enum ns_kind: joined by path, and the runtime's own already */
	bool denies_setgroups;         /* the user namespace that is joined does */
	bool is_new_userns, in_userns; /* the container's; in_userns: new, joined or inherited */
	const char *uid_map, *gid_map; /* texts for /proc/PID/uid_map */
	const char *time_offsets;      /* for /proc/self/timens_offsets, or NULL */

	/* Descriptors. */
	int root_tree; /* the container's root as a detached mount; -1: the process opens root_path */
	int root_dir;  /* O_PATH on it, where nothing is mounted: a chroot will do; or -1 */
	int proc;      /* O_PATH on the host's /proc */
	int state_dir; /* of the container */

	const char *root_path;
	const char *const
	    *host_proc_mounts; /* --no-pivot: where procfs and sysfs are mounted on the host */

	/* The program. */
	char *const *argv;
	char **envp; /* has room for what init adds: HOME, LISTEN_PID */
	const char *cwd;
	unsigned keep_fds; /* after 0, 1 and 2 */
	char *listen_pid;  /* where the digits of LISTEN_PID go in its variable, or NULL */
	bool wants_home;
	uid_t uid;

	struct sbuf
	    warnings; /* a line each: what the spec asks for and is not granted, without being an error */
};

const char *step_verb(enum step_kind kind);

/* STEP(MOUNT, "/proc", .mount = op) */
#define STEP(name, what, ...) ((struct step){ .kind = STEP_##name, .object = (what), __VA_ARGS__ })

MUST_CHECK enum err_kind plan_put(struct plan *p, struct step s, struct err *e);

/* One line a step. */
void plan_print(const struct plan *p, struct sbuf *out);
