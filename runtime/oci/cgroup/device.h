/*
 * device - which devices a container may use: lines for the v1 controller, an eBPF program for version 2.
 *
 * Rules hold in their order: the last one that speaks of an access decides.  The devices that every container has
 * (config-linux.md "Default Devices") are allowed as if that were said right behind the last rule that forbids
 * everything.
 */
#pragma once

#include "runtime/oci/spec/resources.h"

struct device_rule {
	bool allow;
	char type;            /* 'a', 'b', 'c' */
	int64_t major, minor; /* -1: any */
	bool read, write, mknod;
};

struct device_rules {
	struct device_rule *v;
	size_t n;
};

/* An empty list of rules gives an empty list: then nothing is to be set. */
MUST_CHECK enum err_kind device_rules_of(const struct spec_resources *r, struct arena *a,
					 struct device_rules *ret, struct err *e);

#define DEVICE_LINE_MAX 64
/* "c 1:3 rwm", for devices.allow or devices.deny. */
const char *device_rule_line(const struct device_rule *r, char buf[static DEVICE_LINE_MAX]);

struct bpf_insn;
/* A BPF_PROG_TYPE_CGROUP_DEVICE program. */
MUST_CHECK enum err_kind device_program(const struct device_rules *rules, struct arena *a,
					struct bpf_insn **ret, size_t *ret_n, struct err *e);
/* Puts the program on the cgroup in place of any that is there. */
MUST_CHECK enum err_kind device_attach(const struct bpf_insn *program, size_t n, int cgroup,
				       struct err *e);
