/*
 * bundle - config.json of a container: what its image says and what the user asks for, as the runtime specification
 * wants it (image-spec conversion.md).
 *
 * B1  Options mean what they mean to docker and podman; what is not understood is an error, never left out.
 * B2  Unless asked otherwise a container has docker's capabilities, masked paths and system calls, and no more.
 * Ownership  texts are borrowed from the options and the image, or live in the arena.
 * Threads    no shared state.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/idmap.h"
#include "base/jv.h"
#include "runtime/image/config.h"

#define SHM_BYTES (UINT64_C(64) << 20)

/* What the user asks for: texts as they were typed. */
struct bundle_options {
	/* the process */
	struct text_list env, env_files, groups, cap_add, cap_drop, security, ulimits;
	const char *user, *workdir, *entrypoint, *hostname, *oom_score_adj;
	bool terminal, privileged, init;
	struct text_list args; /* in place of the image's command */
	/* files */
	struct text_list volumes, mounts, tmpfs, devices;
	bool read_only;
	uint64_t shm_bytes; /* 0: SHM_BYTES */
	/* limits */
	uint64_t memory_bytes, cpu_shares; /* 0: none */
	const char *memory_swap, *cpus, *cpuset_cpus, *pids_limit;
	/* namespaces: NULL for one of its own, "host", or "ns:PATH" */
	const char *network, *pid, *ipc, *uts, *cgroupns;
	/* more */
	struct text_list sysctls, annotations, labels;
};

/* Where the parts of it are. */
struct bundle_place {
	const char *id;
	const char *rootfs; /* path for root.path */
	int root;           /* the container's files as they are now, to look for users; -1: none */
	const char
	    *files; /* directory with hosts, hostname and resolv.conf, to be mounted on /etc */
	struct text_list accounts; /* more files of that directory, for /etc as well */
	const char *volumes;       /* directory of named volumes */
	bool
	    in_userns; /* no devices can be made, perhaps no control groups, and few ids are known */
	bool alone;    /* root is the only id there is */
	/* Of a user namespace of its own; NULL, or without pieces: none. */
	const struct idmaps *ids;
	const char *init;    /* program for options.init */
	uint64_t files_soft; /* limit of open files before berth raised its own; 0: it did not */
};

/* Volumes that must be there before it starts: VOLUMES/NAME/data. */
struct bundle_volumes {
	struct text_list names, targets; /* side by side */
	struct text_list kept_empty;     /* names of those that get nothing of the image's */
	struct text_list anonymous;      /* names that were made up */
	struct text_list owned; /* paths of the host that become the user's, with all below */
	bool shares_mounts;     /* one of them, or a directory, passes mounts to the host */
};

/* What the shim and the rest of berth need to know of it. */
struct bundle {
	struct arena *arena;
	struct text_list command; /* after entrypoint and command were put together */
	const char *hostname;
	uint64_t uid, gid; /* of the process */
	struct bundle_volumes volumes;
	struct jv *config; /* owned */
};
void bundle_clear(struct bundle *b);
#define AUTO_BUNDLE CLEANUP(bundle_clear) struct bundle

/* How many ids, from 0, a user namespace needs for the users that the root knows, and the one asked for. */
MUST_CHECK enum err_kind bundle_count_ids(const struct bundle_options *o,
					  const struct image_config *image, int root, uint64_t *ret,
					  struct err *e);

/* image may be NULL: only a root file system. */
MUST_CHECK enum err_kind bundle_make(const struct bundle_options *o,
				     const struct image_config *image,
				     const struct bundle_place *place, struct bundle *ret,
				     struct err *e);
