/*
 * bundle_impl - what the files of a bundle share; each makes one part of config.json.
 */
#pragma once

#include "runtime/bundle/bundle.h"

struct making {
	const struct bundle_options *o;
	const struct image_config *image; /* NULL: none */
	const struct bundle_place *place;
	struct arena *arena;
	struct text_list command, env;
	struct bundle_volumes *volumes;
	const char *hostname;
	uint64_t caps, caps_added; /* bits by number */
	/* results of security.c */
	bool no_new_privs, unconfined;
	const char *seccomp_file, *apparmor, *proc_options; /* NULL: none */
	struct text_list masked, unmasked;                  /* patterns of paths */
	/* results of user.c */
	uint64_t uid, gid;
	struct text_list groups; /* decimal */
	bool keeps_groups;       /* those of who runs it, in place of groups */
	const char *home;
};

enum err_kind making_no_memory(struct err *e);
/* Has it a user namespace of its own? */
bool making_is_mapped(const struct making *m);

/* A mount as it is asked for. */
struct mount_wish {
	const char *source; /* of the host; of a tmpfs none */
	const char *to;
	const char *name; /* NULL: no volume but a directory of the user's */
	struct text_list options;
	bool is_tmpfs, stays_empty;
	bool is_owned; /* what is there becomes the process's user's */
};

/* mount_wish.c: -v, --mount, --tmpfs, and a volume without a name at that target. */
MUST_CHECK enum err_kind mount_wish_short(const struct making *m, const char *text,
					  struct mount_wish *ret, struct err *e);
MUST_CHECK enum err_kind mount_wish_long(const struct making *m, const char *text,
					 struct mount_wish *ret, struct err *e);
MUST_CHECK enum err_kind mount_wish_tmpfs(const struct making *m, const char *text,
					  struct mount_wish *ret, struct err *e);
MUST_CHECK enum err_kind mount_wish_volume(const struct making *m, const char *to,
					   struct mount_wish *ret, struct err *e);

/* The value of "KEY=VALUE"; NULL without "=". */
const char *making_value(const char *pair);

/* user.c: options.user or the image's, by the root's /etc/passwd and /etc/group. */
MUST_CHECK enum err_kind user_resolve(struct making *m, struct err *e);

/* security.c: options.security, and linux.maskedPaths and readonlyPaths. */
MUST_CHECK enum err_kind security_resolve(struct making *m, struct err *e);
MUST_CHECK enum err_kind security_add_paths(const struct making *m, struct jv *platform,
					    struct err *e);

/* caps.c */
MUST_CHECK enum err_kind caps_resolve(struct making *m, struct err *e);
MUST_CHECK bool caps_has(const struct making *m, const char *name);
struct jv *caps_json(const struct making *m);

/* process.c */
MUST_CHECK enum err_kind process_resolve(struct making *m, struct err *e);
MUST_CHECK enum err_kind process_json(struct making *m, struct jv **ret, struct err *e);

/* mounts.c */
MUST_CHECK enum err_kind mounts_json(struct making *m, struct jv **ret, struct err *e);

/* limits.c: linux.resources. */
MUST_CHECK enum err_kind limits_json(struct making *m, struct jv **ret, struct err *e);

/* devices.c: linux.devices, and linux.resources.devices. */
MUST_CHECK enum err_kind devices_json(struct making *m, struct jv **ret, struct err *e);
MUST_CHECK enum err_kind devices_add_rules(const struct making *m, struct jv *v, struct err *e);
/* Where no device can be made they are the host's own, mounted. */
MUST_CHECK enum err_kind devices_add_mounts(const struct making *m, struct jv *mounts,
					    struct err *e);

/* seccomp.c; *ret NULL: none. */
MUST_CHECK enum err_kind seccomp_json(const struct making *m, struct jv **ret, struct err *e);
