#include "runtime/oci/spec/resources.h"

#define DEVICE_NUMBER_MAX UINT32_MAX

#define R struct spec_device_rule
static const struct field rule_fields[] = {
	FIELD(R, allow, "allow", FIELD_BOOL, .flags = FIELD_NEEDED),
	FIELD(R, type, "type", FIELD_TEXT),
	FIELD(R, major, "major", FIELD_OI64),
	FIELD(R, minor, "minor", FIELD_OI64),
	FIELD(R, access, "access", FIELD_TEXT),
	FIELDS_END,
};

static bool is_device_number(const struct opt_i64 *n)
{
	return !n->set || (n->v >= -1 && n->v <= (int64_t)DEVICE_NUMBER_MAX);
}

static enum err_kind check_rule(struct reader *r, const struct at *at, void *object)
{
	struct spec_device_rule *d = object;

	if (d->type && d->type[0] && (d->type[1] || !strchr("abc", d->type[0])))
		return spec_bad(r, at, "type", "unknown value \"%.20s\"", d->type);
	if (!d->type || !d->type[0])
		d->type = "a";
	if (!is_device_number(&d->major))
		return spec_bad(r, at, "major", "is out of range");
	if (!is_device_number(&d->minor))
		return spec_bad(r, at, "minor", "is out of range");
	if (!d->access || !d->access[0])
		d->access = "rwm";
	if (d->access[strspn(d->access, "rwm")] || strlen(d->access) > 3)
		return spec_bad(r, at, "access", "\"%.20s\" is not made of r, w and m", d->access);
	return ERR_OK;
}
static const struct shape rule_shape = { sizeof(R), rule_fields, check_rule };
#undef R

#define M struct spec_memory
static const struct field memory_fields[] = {
	FIELD(M, limit, "limit", FIELD_OI64),
	FIELD(M, reservation, "reservation", FIELD_OI64),
	FIELD(M, swap, "swap", FIELD_OI64),
	FIELD(M, kernel, "kernel", FIELD_OI64),
	FIELD(M, kernel_tcp, "kernelTCP", FIELD_OI64),
	FIELD(M, swappiness, "swappiness", FIELD_OU64),
	FIELD(M, disable_oom_killer, "disableOOMKiller", FIELD_OBOOL),
	FIELD(M, use_hierarchy, "useHierarchy", FIELD_OBOOL),
	FIELD(M, check_before_update, "checkBeforeUpdate", FIELD_OBOOL),
	FIELDS_END,
};

static enum err_kind check_memory(struct reader *r, const struct at *at, void *object)
{
	const struct spec_memory *m = object;

	if (m->swappiness.set && m->swappiness.v > 200)
		return spec_bad(r, at, "swappiness", "must be from 0 to 200");
	if (m->limit.set && m->swap.set && m->limit.v > 0 && m->swap.v > 0 &&
	    m->swap.v < m->limit.v)
		return spec_bad(r, at, "swap",
				"memory and swap together must not be less than limit");
	return ERR_OK;
}
static const struct shape memory_shape = { sizeof(M), memory_fields, check_memory };
#undef M

#define C struct spec_cpu
static const struct field cpu_fields[] = {
	FIELD(C, shares, "shares", FIELD_OU64),
	FIELD(C, quota, "quota", FIELD_OI64),
	FIELD(C, burst, "burst", FIELD_OU64),
	FIELD(C, period, "period", FIELD_OU64),
	FIELD(C, realtime_runtime, "realtimeRuntime", FIELD_OI64),
	FIELD(C, realtime_period, "realtimePeriod", FIELD_OU64),
	FIELD(C, cpus, "cpus", FIELD_TEXT),
	FIELD(C, mems, "mems", FIELD_TEXT),
	FIELD(C, idle, "idle", FIELD_OI64),
	FIELDS_END,
};

static enum err_kind check_cpu(struct reader *r, const struct at *at, void *object)
{
	const struct spec_cpu *c = object;

	if (c->idle.set && c->idle.v != 0 && c->idle.v != 1)
		return spec_bad(r, at, "idle", "must be 0 or 1");
	return ERR_OK;
}
static const struct shape cpu_shape = { sizeof(C), cpu_fields, check_cpu };
#undef C

static const struct field pids_fields[] = {
	FIELD(struct spec_pids, limit, "limit", FIELD_OI64),
	FIELDS_END,
};
static const struct shape pids_shape = { sizeof(struct spec_pids), pids_fields, NULL };

static enum err_kind check_number(struct reader *r, const struct at *at, const char *member,
				  int64_t v)
{
	if (v < 0 || v > (int64_t)DEVICE_NUMBER_MAX)
		return spec_bad(r, at, member, "%lld is no device number", (long long)v);
	return ERR_OK;
}

static enum err_kind check_weight(struct reader *r, const struct at *at, const char *member,
				  const struct opt_u32 *w)
{
	if (w->set && w->v != 0 && (w->v < 10 || w->v > 1000))
		return spec_bad(r, at, member, "must be from 10 to 1000");
	return ERR_OK;
}

#define W struct spec_weight_device
static const struct field weight_fields[] = {
	FIELD(W, major, "major", FIELD_I64, .flags = FIELD_NEEDED),
	FIELD(W, minor, "minor", FIELD_I64, .flags = FIELD_NEEDED),
	FIELD(W, weight, "weight", FIELD_OU32),
	FIELD(W, leaf_weight, "leafWeight", FIELD_OU32),
	FIELDS_END,
};

static enum err_kind check_weight_device(struct reader *r, const struct at *at, void *object)
{
	const W *w = object;
	enum err_kind k = check_number(r, at, "major", w->major);

	if (k == ERR_OK)
		k = check_number(r, at, "minor", w->minor);
	if (k == ERR_OK)
		k = check_weight(r, at, "weight", &w->weight);
	if (k == ERR_OK)
		k = check_weight(r, at, "leafWeight", &w->leaf_weight);
	if (k == ERR_OK && !w->weight.set && !w->leaf_weight.set)
		k = spec_bad(r, at, "weight", "is missing, and so is leafWeight");
	return k;
}
static const struct shape weight_shape = { sizeof(W), weight_fields, check_weight_device };
#undef W

#define T struct spec_throttle_device
static const struct field throttle_fields[] = {
	FIELD(T, major, "major", FIELD_I64, .flags = FIELD_NEEDED),
	FIELD(T, minor, "minor", FIELD_I64, .flags = FIELD_NEEDED),
	FIELD(T, rate, "rate", FIELD_U64, .flags = FIELD_NEEDED),
	FIELDS_END,
};

static enum err_kind check_throttle(struct reader *r, const struct at *at, void *object)
{
	const T *t = object;
	enum err_kind k = check_number(r, at, "major", t->major);

	return k == ERR_OK ? check_number(r, at, "minor", t->minor) : k;
}
static const struct shape throttle_shape = { sizeof(T), throttle_fields, check_throttle };
#undef T

#define B struct spec_block_io
static const struct field block_io_fields[] = {
	FIELD(B, weight, "weight", FIELD_OU32),
	FIELD(B, leaf_weight, "leafWeight", FIELD_OU32),
	FIELD(B, weight_devices, "weightDevice", FIELD_LIST, .shape = &weight_shape),
	FIELD(B, read_bps, "throttleReadBpsDevice", FIELD_LIST, .shape = &throttle_shape),
	FIELD(B, write_bps, "throttleWriteBpsDevice", FIELD_LIST, .shape = &throttle_shape),
	FIELD(B, read_iops, "throttleReadIOPSDevice", FIELD_LIST, .shape = &throttle_shape),
	FIELD(B, write_iops, "throttleWriteIOPSDevice", FIELD_LIST, .shape = &throttle_shape),
	FIELDS_END,
};

static enum err_kind check_block_io(struct reader *r, const struct at *at, void *object)
{
	const B *b = object;
	enum err_kind k = check_weight(r, at, "weight", &b->weight);

	return k == ERR_OK ? check_weight(r, at, "leafWeight", &b->leaf_weight) : k;
}
static const struct shape block_io_shape = { sizeof(B), block_io_fields, check_block_io };
#undef B

#define H struct spec_hugepage_limit
static const struct field hugepage_fields[] = {
	FIELD(H, page_size, "pageSize", FIELD_TEXT, .flags = FIELD_NEEDED),
	FIELD(H, limit, "limit", FIELD_U64, .flags = FIELD_NEEDED),
	FIELDS_END,
};

/* "2MB", "1GB": it becomes part of a file's name. */
static enum err_kind check_hugepage(struct reader *r, const struct at *at, void *object)
{
	const H *h = object;
	size_t digits = strspn(h->page_size, "0123456789");
	const char *unit = h->page_size + digits;

	if (digits == 0 || digits > 9 || h->page_size[0] == '0' ||
	    (strcmp(unit, "KB") != 0 && strcmp(unit, "MB") != 0 && strcmp(unit, "GB") != 0))
		return spec_bad(r, at, "pageSize", "\"%.20s\" is no size such as 2MB",
				h->page_size);
	return ERR_OK;
}
static const struct shape hugepage_shape = { sizeof(H), hugepage_fields, check_hugepage };
#undef H

static const struct field priority_fields[] = {
	FIELD(struct spec_interface_priority, name, "name", FIELD_TEXT,
	      .flags = FIELD_NEEDED | FIELD_NONEMPTY),
	FIELD(struct spec_interface_priority, priority, "priority", FIELD_U32,
	      .flags = FIELD_NEEDED),
	FIELDS_END,
};
static const struct shape priority_shape = { sizeof(struct spec_interface_priority),
					     priority_fields, NULL };

static const struct field network_fields[] = {
	FIELD(struct spec_network, class_id, "classID", FIELD_OU32),
	FIELD(struct spec_network, priorities, "priorities", FIELD_LIST, .shape = &priority_shape),
	FIELDS_END,
};
static const struct shape network_shape = { sizeof(struct spec_network), network_fields, NULL };

static const struct field rdma_fields[] = {
	FIELD(struct spec_rdma, hca_handles, "hcaHandles", FIELD_OU32),
	FIELD(struct spec_rdma, hca_objects, "hcaObjects", FIELD_OU32),
	FIELDS_END,
};

static enum err_kind check_rdma(struct reader *r, const struct at *at, void *object)
{
	const struct spec_rdma *m = object;

	if (!m->hca_handles.set && !m->hca_objects.set)
		return spec_bad(r, at, NULL, "hcaHandles or hcaObjects must be set");
	return ERR_OK;
}
static const struct shape rdma_shape = { sizeof(struct spec_rdma), rdma_fields, check_rdma };

/* Keys are names of files in the cgroup's directory: one component, of a controller. */
static enum err_kind check_resources(struct reader *r, const struct at *at, void *object)
{
	const struct spec_resources *res = object;

	for (size_t i = 0; i < res->unified.n; i++) {
		const char *key = res->unified.v[i].key;
		const struct at unified = AT_MEMBER(at, "unified");

		if (!key[0] || strchr(key, '/') || !strchr(key, '.') || key[0] == '.')
			return spec_bad(r, &unified, key, "is no name of a cgroup file");
	}
	return ERR_OK;
}

#define S struct spec_resources
static const struct field resources_fields[] = {
	FIELD(S, devices, "devices", FIELD_LIST, .shape = &rule_shape),
	FIELD(S, memory, "memory", FIELD_OBJECT, .shape = &memory_shape),
	FIELD(S, cpu, "cpu", FIELD_OBJECT, .shape = &cpu_shape),
	FIELD(S, pids, "pids", FIELD_OBJECT, .shape = &pids_shape),
	FIELD(S, block_io, "blockIO", FIELD_OBJECT, .shape = &block_io_shape),
	FIELD(S, hugepage_limits, "hugepageLimits", FIELD_LIST, .shape = &hugepage_shape),
	FIELD(S, network, "network", FIELD_OBJECT, .shape = &network_shape),
	FIELD(S, rdma, "rdma", FIELD_NAMED, .shape = &rdma_shape),
	FIELD(S, unified, "unified", FIELD_PAIRS),
	FIELDS_END,
};
const struct shape spec_resources_shape = { sizeof(S), resources_fields, check_resources };
#undef S
