/*
 * resources - linux.resources of config.json, also what `update` takes.
 */
#pragma once

#include "runtime/oci/spec/read.h"

struct spec_device_rule {
	bool allow;
	const char *type; /* "a", "b", "c" or NULL */
	struct opt_i64 major, minor;
	const char *access;
};

struct spec_memory {
	struct opt_i64 limit, reservation, swap, kernel, kernel_tcp;
	struct opt_u64 swappiness;
	struct opt_bool disable_oom_killer, use_hierarchy, check_before_update;
};

struct spec_cpu {
	struct opt_u64 shares, burst, period, realtime_period;
	struct opt_i64 quota, realtime_runtime, idle;
	const char *cpus, *mems;
};

struct spec_pids {
	struct opt_i64 limit;
};

struct spec_weight_device {
	int64_t major, minor;
	struct opt_u32 weight, leaf_weight;
};

struct spec_throttle_device {
	int64_t major, minor;
	uint64_t rate;
};
typedef LIST(struct spec_throttle_device) spec_throttles;

struct spec_block_io {
	struct opt_u32 weight, leaf_weight;
	LIST(struct spec_weight_device) weight_devices;
	spec_throttles read_bps, write_bps, read_iops, write_iops;
};

struct spec_hugepage_limit {
	const char *page_size;
	uint64_t limit;
};

struct spec_interface_priority {
	const char *name;
	uint32_t priority;
};

struct spec_network {
	struct opt_u32 class_id;
	LIST(struct spec_interface_priority) priorities;
};

struct spec_rdma {
	const char *device;
	struct opt_u32 hca_handles, hca_objects;
};

struct spec_resources {
	LIST(struct spec_device_rule) devices;
	struct spec_memory *memory;
	struct spec_cpu *cpu;
	struct spec_pids *pids;
	struct spec_block_io *block_io;
	LIST(struct spec_hugepage_limit) hugepage_limits;
	struct spec_network *network;
	LIST(struct spec_rdma) rdma;
	LIST(struct pair) unified;
};

extern const struct shape spec_resources_shape;
