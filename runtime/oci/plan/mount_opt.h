/*
 * mount_opt - the options of a mount, sorted by what the kernel does with them.
 *
 * One table knows every option's name; `features` prints it.  A name that is not there is data for the filesystem.
 */
#pragma once

#include "base/arena.h"
#include "runtime/oci/spec/read.h"

#define PROPAGATION_OPTIONS_MAX 4

struct mount_opts {
	bool is_bind;      /* bind or rbind */
	bool is_recursive; /* rbind */
	bool is_remount;
	bool copies_up; /* tmpcopyup */
	bool is_idmapped, idmaps_recursively;
	bool keeps_symlink; /* copy-symlink: a link at the source is made again, not followed */
	bool source_nofollow, target_nofollow;
	unsigned long super_flags;   /* MS_* of the superblock: MS_SYNCHRONOUS, MS_LAZYTIME, ... */
	uint64_t set, clear;         /* MOUNT_ATTR_* of the mount itself */
	uint64_t all_set, all_clear; /* of it and what is mounted below */
	unsigned long propagation[PROPAGATION_OPTIONS_MAX]; /* MS_SHARED, ... with MS_REC or not */
	size_t propagation_n;
	struct texts data; /* "key=value" or "key" */
};

MUST_CHECK enum err_kind mount_opts_parse(const struct texts *options, struct arena *a,
					  struct mount_opts *ret, struct err *e);

/* MS_* for mount(2) that stand for a set of MOUNT_ATTR_*. */
unsigned long mount_flags_of(uint64_t attr);

/* The names that the table knows, in order; NULL after the last. */
const char *mount_opt_name(size_t i);
