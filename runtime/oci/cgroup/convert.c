#include "runtime/oci/cgroup/convert.h"

#include <inttypes.h>
#include <stdarg.h>

#define RESOURCES "linux.resources."
#define SHARES_MIN 2u
#define SHARES_MAX 262144u
#define WEIGHT_MAX 10000u
#define PERIOD_US_DEFAULT 100000u

uint64_t cgroup_cpu_weight(uint64_t shares)
{
	if (shares < SHARES_MIN)
		shares = SHARES_MIN;
	if (shares > SHARES_MAX)
		shares = SHARES_MAX;
	return 1 + (shares - SHARES_MIN) * (WEIGHT_MAX - 1) / (SHARES_MAX - SHARES_MIN);
}

uint64_t cgroup_io_weight(uint64_t w)
{
	return 1 + (w - 10) * (WEIGHT_MAX - 1) / (1000 - 10);
}

bool cgroup_swap_max(int64_t both, int64_t memory, int64_t *ret)
{
	if (both <= 0) {
		*ret = -1;
		return both == -1 || memory == -1;
	}
	if (memory <= 0 || both < memory)
		return false;
	*ret = both - memory;
	return true;
}

/* Room for one more, zeroed; NULL without memory. */
static struct cgroup_write *add(struct cgroup_writes *w)
{
	if (w->n == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 32;
		struct cgroup_write *v = arena_array(w->arena, cap, sizeof(*v));

		if (!v)
			return NULL;
		if (w->n)
			memcpy(v, w->v, w->n * sizeof(*v));
		w->v = v;
		w->cap = cap;
	}
	return &w->v[w->n++];
}

/* A list that could not grow is cut at its start: the callers look at the end. */
static void failed(struct cgroup_writes *w)
{
	w->arena = NULL;
}

static void put(struct cgroup_writes *w, const char *controller, const char *file,
		const char *property, unsigned flags, const char *fmt, ...) PRINTF(6, 7);

static void put(struct cgroup_writes *w, const char *controller, const char *file,
		const char *property, unsigned flags, const char *fmt, ...)
{
	struct cgroup_write *one = w->arena ? add(w) : NULL;
	char value[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	if (one) {
		*one = (struct cgroup_write){ .controller = controller,
					      .file = file,
					      .value = arena_text(w->arena, str_of(value)),
					      .property = property,
					      .flags = flags };
	}
	if (!one || !one->value)
		failed(w);
}

static void put_limit(struct cgroup_writes *w, const char *controller, const char *file,
		      const char *property, int64_t v)
{
	if (v < 0)
		put(w, controller, file, property, 0, "max");
	else
		put(w, controller, file, property, 0, "%" PRId64, v);
}

/* Writes to another file where the kernel has that one: blkio.bfq.weight for blkio.weight. */
static void prefer(struct cgroup_writes *w, const char *file, const char *fmt, ...) PRINTF(3, 4);

static void prefer(struct cgroup_writes *w, const char *file, const char *fmt, ...)
{
	struct cgroup_write *last = w->arena && w->n ? &w->v[w->n - 1] : NULL;
	char value[64];
	va_list ap;

	if (!last)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	last->other_file = file;
	last->other_value = arena_text(w->arena, str_of(value));
	if (!last->other_value)
		failed(w);
}

static enum err_kind done(const struct cgroup_writes *w, struct err *e)
{
	return w->arena ? ERR_OK
			: err_set(e, ERR_NO_MEMORY, __func__, "no memory for %sunified", RESOURCES);
}

static enum err_kind unsupported(struct err *e, const char *property, const char *why)
{
	return err_set(e, ERR_UNSUPPORTED, __func__, RESOURCES "%s: %s", property, why);
}

static const char *text_of(struct cgroup_writes *w, const char *a, const char *b, const char *c)
{
	char *z = w->arena ? arena_printf(w->arena, "%s%s%s", a, b, c) : NULL;

	if (!z)
		failed(w);
	return z ? z : "";
}

static void memory_v1(const struct spec_memory *m, struct cgroup_writes *w)
{
	int64_t swap = m->swap.v;
	bool sets_swap = m->swap.set && swap != 0;

	/* An unlimited memory with swap left alone would be refused: the sum must not be less. */
	if (m->limit.set && m->limit.v == -1 && !sets_swap) {
		sets_swap = true;
		swap = -1;
	}
	if (m->limit.set && m->limit.v != 0)
		put(w, "memory", "memory.limit_in_bytes", RESOURCES "memory.limit",
		    sets_swap ? CGROUP_WRITE_PAIR : 0, "%" PRId64, m->limit.v);
	if (sets_swap)
		put(w, "memory", "memory.memsw.limit_in_bytes", RESOURCES "memory.swap",
		    m->swap.set ? 0 : CGROUP_WRITE_OPTIONAL, "%" PRId64, swap);
	if (m->reservation.set && m->reservation.v != 0)
		put(w, "memory", "memory.soft_limit_in_bytes", RESOURCES "memory.reservation", 0,
		    "%" PRId64, m->reservation.v);
	if (m->kernel
		.set) /* config-linux.md: deprecated, may be ignored; the kernel does since 5.16 */
		put(w, "memory", "memory.kmem.limit_in_bytes", RESOURCES "memory.kernel",
		    CGROUP_WRITE_OPTIONAL, "%" PRId64, m->kernel.v);
	if (m->kernel_tcp.set)
		put(w, "memory", "memory.kmem.tcp.limit_in_bytes", RESOURCES "memory.kernelTCP", 0,
		    "%" PRId64, m->kernel_tcp.v);
	if (m->swappiness.set)
		put(w, "memory", "memory.swappiness", RESOURCES "memory.swappiness", 0, "%" PRIu64,
		    m->swappiness.v);
	if (m->use_hierarchy.set && m->use_hierarchy.v)
		put(w, "memory", "memory.use_hierarchy", RESOURCES "memory.useHierarchy", 0, "1");
	if (m->disable_oom_killer.set)
		put(w, "memory", "memory.oom_control", RESOURCES "memory.disableOOMKiller", 0, "%d",
		    m->disable_oom_killer.v);
}

static void cpu_v1(const struct spec_cpu *c, struct cgroup_writes *w)
{
	bool is_idle = c->idle.set && c->idle.v == 1;

	if (c->idle.set)
		put(w, "cpu", "cpu.idle", RESOURCES "cpu.idle", 0, "%" PRId64, c->idle.v);
	if (c->shares.set && c->shares.v && !is_idle) /* an idle group has no shares */
		put(w, "cpu", "cpu.shares", RESOURCES "cpu.shares", 0, "%" PRIu64, c->shares.v);
	if (c->period.set && c->period.v)
		put(w, "cpu", "cpu.cfs_period_us", RESOURCES "cpu.period",
		    c->quota.set && c->quota.v ? CGROUP_WRITE_PAIR : 0, "%" PRIu64, c->period.v);
	if (c->quota.set && c->quota.v)
		put(w, "cpu", "cpu.cfs_quota_us", RESOURCES "cpu.quota", 0, "%" PRId64, c->quota.v);
	if (c->burst.set)
		put(w, "cpu", "cpu.cfs_burst_us", RESOURCES "cpu.burst", 0, "%" PRIu64, c->burst.v);
	if (c->realtime_period.set && c->realtime_period.v)
		put(w, "cpu", "cpu.rt_period_us", RESOURCES "cpu.realtimePeriod",
		    c->realtime_runtime.set && c->realtime_runtime.v ? CGROUP_WRITE_PAIR : 0,
		    "%" PRIu64, c->realtime_period.v);
	if (c->realtime_runtime.set && c->realtime_runtime.v)
		put(w, "cpu", "cpu.rt_runtime_us", RESOURCES "cpu.realtimeRuntime", 0, "%" PRId64,
		    c->realtime_runtime.v);
}

static void cpuset(const struct spec_cpu *c, struct cgroup_writes *w)
{
	if (c->cpus && c->cpus[0])
		put(w, "cpuset", "cpuset.cpus", RESOURCES "cpu.cpus", 0, "%.250s", c->cpus);
	if (c->mems && c->mems[0])
		put(w, "cpuset", "cpuset.mems", RESOURCES "cpu.mems", 0, "%.250s", c->mems);
}

static void pids(const struct spec_pids *p, struct cgroup_writes *w)
{
	if (p->limit.set)
		put_limit(w, "pids", "pids.max", RESOURCES "pids.limit", p->limit.v);
}

static void throttle_v1(const spec_throttles *t, const char *file, const char *property,
			struct cgroup_writes *w)
{
	for (size_t i = 0; i < t->n; i++)
		put(w, "blkio", file, property, 0, "%" PRId64 ":%" PRId64 " %" PRIu64,
		    t->v[i].major, t->v[i].minor, t->v[i].rate);
}

static void block_io_v1(const struct spec_block_io *b, struct cgroup_writes *w)
{
	if (b->weight.set && b->weight.v) {
		put(w, "blkio", "blkio.weight", RESOURCES "blockIO.weight", 0, "%u", b->weight.v);
		prefer(w, "blkio.bfq.weight", "%u", b->weight.v);
	}
	if (b->leaf_weight.set && b->leaf_weight.v)
		put(w, "blkio", "blkio.leaf_weight", RESOURCES "blockIO.leafWeight", 0, "%u",
		    b->leaf_weight.v);
	for (size_t i = 0; i < b->weight_devices.n; i++) {
		const struct spec_weight_device *d = &b->weight_devices.v[i];

		if (d->weight.set && d->weight.v) {
			put(w, "blkio", "blkio.weight_device", RESOURCES "blockIO.weightDevice", 0,
			    "%" PRId64 ":%" PRId64 " %u", d->major, d->minor, d->weight.v);
			prefer(w, "blkio.bfq.weight_device", "%" PRId64 ":%" PRId64 " %u", d->major,
			       d->minor, d->weight.v);
		}
		if (d->leaf_weight.set && d->leaf_weight.v)
			put(w, "blkio", "blkio.leaf_weight_device",
			    RESOURCES "blockIO.weightDevice", 0, "%" PRId64 ":%" PRId64 " %u",
			    d->major, d->minor, d->leaf_weight.v);
	}
	throttle_v1(&b->read_bps, "blkio.throttle.read_bps_device",
		    RESOURCES "blockIO.throttleReadBpsDevice", w);
	throttle_v1(&b->write_bps, "blkio.throttle.write_bps_device",
		    RESOURCES "blockIO.throttleWriteBpsDevice", w);
	throttle_v1(&b->read_iops, "blkio.throttle.read_iops_device",
		    RESOURCES "blockIO.throttleReadIOPSDevice", w);
	throttle_v1(&b->write_iops, "blkio.throttle.write_iops_device",
		    RESOURCES "blockIO.throttleWriteIOPSDevice", w);
}

/* config-linux.md: limits of reservations where the kernel has them, and of page faults. */
static void hugepages(const struct spec_resources *r, const char *suffix, struct cgroup_writes *w)
{
	for (size_t i = 0; i < r->hugepage_limits.n; i++) {
		const struct spec_hugepage_limit *h = &r->hugepage_limits.v[i];
		const char *base = text_of(w, "hugetlb.", h->page_size, ".");

		put(w, "hugetlb", text_of(w, base, "rsvd.", suffix), RESOURCES "hugepageLimits",
		    CGROUP_WRITE_OPTIONAL, "%" PRIu64, h->limit);
		put(w, "hugetlb", text_of(w, base, suffix, ""), RESOURCES "hugepageLimits", 0,
		    "%" PRIu64, h->limit);
	}
}

static void network_v1(const struct spec_network *n, struct cgroup_writes *w)
{
	if (n->class_id.set)
		put(w, "net_cls", "net_cls.classid", RESOURCES "network.classID", 0, "%u",
		    n->class_id.v);
	for (size_t i = 0; i < n->priorities.n; i++)
		put(w, "net_prio", "net_prio.ifpriomap", RESOURCES "network.priorities", 0,
		    "%.200s %u", n->priorities.v[i].name, n->priorities.v[i].priority);
}

static void rdma(const struct spec_resources *r, struct cgroup_writes *w)
{
	for (size_t i = 0; i < r->rdma.n; i++) {
		const struct spec_rdma *m = &r->rdma.v[i];
		char handles[48] = "", objects[48] = "";

		if (m->hca_handles.set)
			(void)snprintf(handles, sizeof(handles), " hca_handle=%u",
				       m->hca_handles.v);
		if (m->hca_objects.set)
			(void)snprintf(objects, sizeof(objects), " hca_object=%u",
				       m->hca_objects.v);
		put(w, "rdma", "rdma.max", RESOURCES "rdma", 0, "%.100s%s%s", m->device, handles,
		    objects);
	}
}

enum err_kind cgroup_writes_v1(const struct spec_resources *r, struct arena *a,
			       struct cgroup_writes *ret, struct err *e)
{
	*ret = (struct cgroup_writes){ .arena = a };
	if (r->unified.n)
		return unsupported(e, "unified", "needs cgroup version 2");
	if (r->cpu) {
		cpuset(r->cpu, ret);
		cpu_v1(r->cpu, ret);
	}
	if (r->memory)
		memory_v1(r->memory, ret);
	if (r->pids)
		pids(r->pids, ret);
	if (r->block_io)
		block_io_v1(r->block_io, ret);
	hugepages(r, "limit_in_bytes", ret);
	if (r->network)
		network_v1(r->network, ret);
	rdma(r, ret);
	return done(ret, e);
}

static enum err_kind swap_v2(const struct spec_memory *m, struct cgroup_writes *w, struct err *e)
{
	int64_t max;

	if (!m->swap.set || (m->swap.v == 0 && !(m->limit.set && m->limit.v == -1)))
		return ERR_OK;
	if (!cgroup_swap_max(m->swap.v, m->limit.set ? m->limit.v : 0, &max))
		return err_set(e, ERR_INVALID, __func__,
			       RESOURCES "memory.swap: must not be less than memory.limit");
	put_limit(w, "memory", "memory.swap.max", RESOURCES "memory.swap", max);
	return ERR_OK;
}

static enum err_kind memory_v2(const struct spec_memory *m, struct cgroup_writes *w, struct err *e)
{
	enum err_kind k;

	if (m->kernel_tcp.set && m->kernel_tcp.v > 0)
		return unsupported(e, "memory.kernelTCP", "cgroup version 2 has no such limit");
	if (m->swappiness.set)
		return unsupported(e, "memory.swappiness", "cgroup version 2 has no such value");
	if (m->disable_oom_killer.set && m->disable_oom_killer.v)
		return unsupported(e, "memory.disableOOMKiller", "cgroup version 2 cannot do that");
	k = swap_v2(m, w, e);
	if (k != ERR_OK)
		return k;
	if (m->limit.set && m->limit.v != 0)
		put_limit(w, "memory", "memory.max", RESOURCES "memory.limit", m->limit.v);
	if (m->reservation.set && m->reservation.v != 0)
		put_limit(w, "memory", "memory.low", RESOURCES "memory.reservation",
			  m->reservation.v);
	return ERR_OK;
}

static void cpu_max(const struct spec_cpu *c, struct cgroup_writes *w)
{
	bool has_quota = c->quota.set && c->quota.v, has_period = c->period.set && c->period.v;
	char quota[32] = "max";

	if (!has_quota && !has_period)
		return;
	if (has_quota && c->quota.v > 0)
		(void)snprintf(quota, sizeof(quota), "%" PRId64, c->quota.v);
	if (!has_quota)
		put(w, "cpu", "cpu.max", RESOURCES "cpu.period", CGROUP_WRITE_KEEP_FIRST,
		    "%" PRIu64, c->period.v);
	else if (!has_period) /* the kernel keeps the period it has */
		put(w, "cpu", "cpu.max", RESOURCES "cpu.quota", 0, "%s", quota);
	else
		put(w, "cpu", "cpu.max", RESOURCES "cpu.quota", 0, "%s %" PRIu64, quota,
		    c->period.v);
}

static enum err_kind cpu_v2(const struct spec_cpu *c, struct cgroup_writes *w, struct err *e)
{
	bool is_idle = c->idle.set && c->idle.v == 1;

	if ((c->realtime_runtime.set && c->realtime_runtime.v) ||
	    (c->realtime_period.set && c->realtime_period.v))
		return unsupported(e, "cpu.realtimeRuntime",
				   "cgroup version 2 has no realtime limits");
	if (c->idle.set)
		put(w, "cpu", "cpu.idle", RESOURCES "cpu.idle", 0, "%" PRId64, c->idle.v);
	if (c->shares.set && c->shares.v && !is_idle)
		put(w, "cpu", "cpu.weight", RESOURCES "cpu.shares", 0, "%" PRIu64,
		    cgroup_cpu_weight(c->shares.v));
	cpu_max(c, w);
	if (c->burst.set)
		put(w, "cpu", "cpu.max.burst", RESOURCES "cpu.burst", 0, "%" PRIu64, c->burst.v);
	return ERR_OK;
}

static void throttle_v2(const spec_throttles *t, const char *key, const char *property,
			struct cgroup_writes *w)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct spec_throttle_device *d = &t->v[i];

		if (d->rate == 0) /* version 1: 0 takes the limit away */
			put(w, "io", "io.max", property, 0, "%" PRId64 ":%" PRId64 " %s=max",
			    d->major, d->minor, key);
		else
			put(w, "io", "io.max", property, 0, "%" PRId64 ":%" PRId64 " %s=%" PRIu64,
			    d->major, d->minor, key, d->rate);
	}
}

static enum err_kind block_io_v2(const struct spec_block_io *b, struct cgroup_writes *w,
				 struct err *e)
{
	if (b->leaf_weight.set && b->leaf_weight.v)
		return unsupported(e, "blockIO.leafWeight", "cgroup version 2 has no such weight");
	if (b->weight.set && b->weight.v) {
		put(w, "io", "io.weight", RESOURCES "blockIO.weight", 0, "default %" PRIu64,
		    cgroup_io_weight(b->weight.v));
		prefer(w, "io.bfq.weight", "%u", b->weight.v);
	}
	for (size_t i = 0; i < b->weight_devices.n; i++) {
		const struct spec_weight_device *d = &b->weight_devices.v[i];

		if (d->leaf_weight.set && d->leaf_weight.v)
			return unsupported(e, "blockIO.weightDevice",
					   "cgroup version 2 has no leafWeight");
		put(w, "io", "io.weight", RESOURCES "blockIO.weightDevice", 0,
		    "%" PRId64 ":%" PRId64 " %" PRIu64, d->major, d->minor,
		    cgroup_io_weight(d->weight.v));
		prefer(w, "io.bfq.weight", "%" PRId64 ":%" PRId64 " %u", d->major, d->minor,
		       d->weight.v);
	}
	throttle_v2(&b->read_bps, "rbps", RESOURCES "blockIO.throttleReadBpsDevice", w);
	throttle_v2(&b->write_bps, "wbps", RESOURCES "blockIO.throttleWriteBpsDevice", w);
	throttle_v2(&b->read_iops, "riops", RESOURCES "blockIO.throttleReadIOPSDevice", w);
	throttle_v2(&b->write_iops, "wiops", RESOURCES "blockIO.throttleWriteIOPSDevice", w);
	return ERR_OK;
}

static void unified(const struct spec_resources *r, struct cgroup_writes *w)
{
	for (size_t i = 0; i < r->unified.n && w->arena; i++) {
		const struct pair *p = &r->unified.v[i];
		struct str controller, rest;
		struct cgroup_write *one = add(w);

		(void)str_cut(str_of(p->key), '.', &controller, &rest);
		if (!one) {
			failed(w);
			return;
		}
		*one = (struct cgroup_write){ .controller = arena_text(w->arena, controller),
					      .file = p->key,
					      .value = p->value,
					      .property = RESOURCES "unified" };
		if (!one->controller)
			failed(w);
	}
}

enum err_kind cgroup_writes_v2(const struct spec_resources *r, struct arena *a,
			       struct cgroup_writes *ret, struct err *e)
{
	enum err_kind k = ERR_OK;

	*ret = (struct cgroup_writes){ .arena = a };
	if (r->network && (r->network->class_id.set || r->network->priorities.n))
		return unsupported(e, "network", "cgroup version 2 has no network controllers");
	if (r->cpu) {
		cpuset(r->cpu, ret);
		k = cpu_v2(r->cpu, ret, e);
	}
	if (k == ERR_OK && r->memory)
		k = memory_v2(r->memory, ret, e);
	if (k == ERR_OK && r->block_io)
		k = block_io_v2(r->block_io, ret, e);
	if (k != ERR_OK)
		return k;
	if (r->pids)
		pids(r->pids, ret);
	hugepages(r, "max", ret);
	rdma(r, ret);
	unified(r, ret);
	return done(ret, e);
}
