/*
 * seccomp - linux.seccomp of config.json.
 */
#pragma once

#include "runtime/oci/spec/read.h"

enum seccomp_action {
	SECCOMP_ACT_NONE,
	SECCOMP_ACT_KILL,
	SECCOMP_ACT_KILL_PROCESS,
	SECCOMP_ACT_KILL_THREAD,
	SECCOMP_ACT_TRAP,
	SECCOMP_ACT_ERRNO,
	SECCOMP_ACT_TRACE,
	SECCOMP_ACT_ALLOW,
	SECCOMP_ACT_LOG,
	SECCOMP_ACT_NOTIFY
};

enum seccomp_cmp {
	SECCOMP_CMP_NONE,
	SECCOMP_CMP_NE,
	SECCOMP_CMP_LT,
	SECCOMP_CMP_LE,
	SECCOMP_CMP_EQ,
	SECCOMP_CMP_GE,
	SECCOMP_CMP_GT,
	SECCOMP_CMP_MASKED_EQ
};

/* Bits of spec_seccomp.flags: index in spec_seccomp_flags. */
#define SECCOMP_FLAG_TSYNC 1u
#define SECCOMP_FLAG_LOG 2u
#define SECCOMP_FLAG_SPEC_ALLOW 4u
#define SECCOMP_FLAG_WAIT_KILLABLE_RECV 8u

struct spec_seccomp_arg {
	uint32_t index;
	uint64_t value, value_two;
	int op; /* enum seccomp_cmp */
};

struct spec_syscall {
	struct texts names;
	int action; /* enum seccomp_action */
	struct opt_u32 errno_ret;
	LIST(struct spec_seccomp_arg) args;
};

struct spec_seccomp {
	int default_action; /* enum seccomp_action */
	struct opt_u32 default_errno_ret;
	struct numbers architectures; /* 1 + index in spec_seccomp_archs */
	unsigned flags;
	const char *listener_path, *listener_metadata;
	LIST(struct spec_syscall) syscalls;
};

extern const char *const spec_seccomp_actions[];
extern const char *const spec_seccomp_ops[];
extern const char *const spec_seccomp_archs[];
extern const char *const spec_seccomp_flags[];
extern const struct shape spec_seccomp_shape;

bool seccomp_uses_notify(const struct spec_seccomp *s);
