/*
 * spec - config.json of a bundle as typed values (runtime-spec 1.3; bundles from 1.0 on).
 *
 * E1  A struct spec exists only if every property that this runtime knows has the right type and a value that can
 *     be carried out; whether the kernel grants it shows later.
 * E2  It is a copy of the file at one moment: later edits of the file change nothing.
 * Lifecycle  spec_parse -> spec_clear.
 * Ownership  the spec owns its document and its arena; all pointers inside point there.
 */
#pragma once

#include "runtime/oci/spec/resources.h"
#include "runtime/oci/spec/seccomp.h"

#define SPEC_VERSION "1.3.0"
#define SPEC_BYTES_MAX (4u * 1024 * 1024)
#define SPEC_DEPTH_MAX 24
#define SPEC_ARENA_MAX (64u * 1024 * 1024)

/* The order in which joined and new namespaces are entered; names in spec_namespace_names. */
enum ns_kind {
	NS_NONE,
	NS_USER,
	NS_CGROUP,
	NS_IPC,
	NS_UTS,
	NS_NETWORK,
	NS_PID,
	NS_TIME,
	NS_MOUNT,
	NS_N
};

struct spec_namespace {
	int kind; /* enum ns_kind */
	const char *path;
};

struct spec_id_map {
	uint32_t container_id, host_id, size;
};
typedef LIST(struct spec_id_map) spec_id_maps;

struct spec_root {
	const char *path;
	bool readonly;
};

struct spec_mount {
	const char *destination, *type, *source;
	struct texts options;
	spec_id_maps uid_mappings, gid_mappings;
};

struct spec_hook {
	const char *path;
	struct texts args, env;
	struct opt_i64 timeout; /* seconds */
};
typedef LIST(struct spec_hook) spec_hooks;

enum hook_kind {
	HOOK_PRESTART,
	HOOK_CREATE_RUNTIME,
	HOOK_CREATE_CONTAINER,
	HOOK_START_CONTAINER,
	HOOK_POSTSTART,
	HOOK_POSTSTOP,
	HOOK_N
};

struct spec_box {
	uint32_t height, width;
};

struct spec_user {
	uint32_t uid, gid;
	struct opt_u32 umask;
	struct numbers additional_gids;
};

enum cap_set {
	CAPS_BOUNDING,
	CAPS_PERMITTED,
	CAPS_EFFECTIVE,
	CAPS_INHERITABLE,
	CAPS_AMBIENT,
	CAPS_N
};

struct spec_caps {
	struct texts sets[CAPS_N];
};

struct spec_rlimit {
	int type; /* 1 + RLIMIT_* */
	uint64_t soft, hard;
};

struct spec_scheduler {
	int policy; /* 1 + SCHED_* */
	int64_t nice, priority;
	unsigned flags; /* bits of spec_scheduler_flags */
	uint64_t runtime, deadline, period;
};

struct spec_io_priority {
	int class; /* IOPRIO_CLASS_* */
	int64_t priority;
};

struct spec_affinity {
	const char *initial, *final;
};

struct spec_process {
	bool terminal, no_new_privileges;
	struct spec_box *console_size;
	struct spec_user user;
	struct texts args, env;
	const char *cwd;
	struct spec_caps *capabilities;
	LIST(struct spec_rlimit) rlimits;
	const char *apparmor_profile, *selinux_label;
	struct opt_i64 oom_score_adj;
	struct spec_scheduler *scheduler;
	struct spec_io_priority *io_priority;
	struct spec_affinity exec_cpu_affinity;
};

struct spec_time_offset {
	int64_t secs;
	uint32_t nanosecs;
};

struct spec_time_offsets {
	struct spec_time_offset *boottime, *monotonic;
};

struct spec_device {
	const char *path, *type;
	int64_t major, minor;
	struct opt_u32 file_mode, uid, gid;
};

struct spec_net_device {
	const char *host_name, *name;
};

enum propagation {
	PROPAGATION_NONE,
	PROPAGATION_SHARED,
	PROPAGATION_SLAVE,
	PROPAGATION_PRIVATE,
	PROPAGATION_UNBINDABLE,
	PROPAGATION_RSHARED,
	PROPAGATION_RSLAVE,
	PROPAGATION_RPRIVATE,
	PROPAGATION_RUNBINDABLE
};

struct spec_personality {
	int domain; /* 1: LINUX, 2: LINUX32 */
	struct texts flags;
};

struct spec_rdt {
	const char *clos_id, *l3_cache_schema, *mem_bw_schema;
	struct texts schemata;
	bool enable_monitoring;
};

struct spec_memory_policy {
	int mode;       /* 1 + MPOL_* */
	unsigned flags; /* bits of spec_memory_flags */
	const char *nodes;
};

struct spec_linux {
	LIST(struct spec_namespace) namespaces;
	spec_id_maps uid_mappings, gid_mappings;
	struct spec_time_offsets time_offsets;
	LIST(struct spec_device) devices;
	LIST(struct spec_net_device) net_devices;
	const char *cgroups_path;
	struct spec_resources *resources;
	struct spec_rdt *intel_rdt;
	LIST(struct pair) sysctl;
	struct spec_seccomp *seccomp;
	int rootfs_propagation; /* enum propagation */
	struct texts masked_paths, readonly_paths;
	const char *mount_label;
	struct spec_personality *personality;
	struct spec_memory_policy *memory_policy;
};

struct spec {
	const char *version;
	struct spec_root root;
	LIST(struct spec_mount) mounts;
	struct spec_process *process; /* NULL: the container cannot be started */
	const char *hostname, *domainname;
	spec_hooks hooks[HOOK_N];
	LIST(struct pair) annotations;
	struct spec_linux linux_; /* gnu17 predefines linux */
	struct jv *document;
	struct arena arena;
};

extern const char *const spec_namespace_names[]; /* index: enum ns_kind - 1, as for all names */
extern const char *const spec_hook_names[];      /* index: enum hook_kind */
extern const char *const spec_propagation_names[];
extern const char *const spec_rlimit_names[];
extern const char *const spec_scheduler_policies[];
extern const char *const spec_scheduler_flags[];
extern const char *const spec_io_classes[];
extern const char *const spec_memory_modes[];
extern const char *const spec_memory_flags[];
extern const char *const spec_cap_set_names[]; /* index: enum cap_set */

extern const struct shape spec_shape;
extern const struct shape spec_process_shape;
extern const struct shape spec_mount_shape;
extern const struct shape spec_linux_shape;
extern const struct shape spec_id_map_shape;

/* *ret is zeroed or filled: spec_clear() is due in both cases. */
MUST_CHECK enum err_kind spec_parse(struct str text, struct spec *ret, struct err *e);
void spec_clear(struct spec *s);
#define AUTO_SPEC CLEANUP(spec_clear) struct spec

/* The process of `exec --process`: the same rules as for spec.process.  *doc is the caller's to free. */
MUST_CHECK enum err_kind spec_parse_process(struct str text, struct arena *a, struct jv **doc,
					    struct spec_process **ret, struct err *e);
/* The resources of `update --resources`. */
MUST_CHECK enum err_kind spec_parse_resources(struct str text, struct arena *a, struct jv **doc,
					      struct spec_resources **ret, struct err *e);

/* The namespace entry of this kind, or NULL. */
const struct spec_namespace *spec_namespace_of(const struct spec *s, enum ns_kind kind);
/* True if config.json names a namespace of this kind; whether it is the runtime's own is seen by plan_namespaces(). */
bool spec_has_namespace(const struct spec *s, enum ns_kind kind);
/* The kind of namespace that the sysctl belongs to; NS_NONE for one of the machine. */
enum ns_kind spec_sysctl_namespace(const char *key);
