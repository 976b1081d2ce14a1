/* pause, resume, update. */
#include "base/fd.h"
#include "runtime/oci/cgroup/systemd.h"
#include "runtime/oci/cli/cli.h"

#define LOCK_MS 10000

static const struct opt no_opts[] = { OPTS_END };

static enum err_kind set_frozen(struct cli *c, bool freeze, struct err *e)
{
	AUTO_CONTAINER container = { .dir = -1, .lock = -1 };
	enum status status;
	enum err_kind k = cli_open_container(c, &container, e);

	if (k == ERR_OK)
		k = container_lock(&container, LOCK_MS, e);
	if (k != ERR_OK)
		return k;
	status = container_status(&container);
	if (freeze && status != STATUS_RUNNING && status != STATUS_CREATED)
		return err_set(e, ERR_INVALID, __func__, "container not running");
	if (!freeze && status != STATUS_PAUSED)
		return err_set(e, ERR_INVALID, __func__, "container not paused");
	return cgroup_freeze(&container.state.cgroup, freeze, e);
}

static int run_pause(struct cli *c)
{
	struct err e;

	return set_frozen(c, true, &e) == ERR_OK ? EXIT_OK : cli_fail("", &e);
}

static int run_resume(struct cli *c)
{
	struct err e;

	return set_frozen(c, false, &e) == ERR_OK ? EXIT_OK : cli_fail("", &e);
}

const struct command cmd_pause = {
	.name = "pause",
	.run = run_pause,
	.opts = no_opts,
	.args_min = 1,
	.args_max = 1,
	.usage = "<container-id>",
	.doc = "stop all processes of a container for a while",
};

const struct command cmd_resume = {
	.name = "resume",
	.run = run_resume,
	.opts = no_opts,
	.args_min = 1,
	.args_max = 1,
	.usage = "<container-id>",
	.doc = "let the processes of a paused container go on",
};

/* ---- update ---- */

struct update_args {
	const char *resources, *memory, *memory_reservation, *memory_swap, *kernel_memory,
	    *kernel_memory_tcp, *cpuset_cpus, *cpuset_mems, *l3_cache_schema, *mem_bw_schema;
	struct opt_i64 blkio_weight, cpu_period, cpu_quota, cpu_burst, cpu_share, cpu_rt_period,
	    cpu_rt_runtime, cpu_idle, pids_limit;
};

#define A(m) offsetof(struct update_args, m)
static const struct opt update_opts[] = {
	{ "resources", 'r', OPT_TEXT, A(resources), "file with resources as JSON; - is stdin" },
	{ "blkio-weight", 0, OPT_NUMBER, A(blkio_weight), "weight of block I/O, 10 to 1000" },
	{ "cpu-period", 0, OPT_NUMBER, A(cpu_period), "period of the CPU limit, microseconds" },
	{ "cpu-quota", 0, OPT_NUMBER, A(cpu_quota), "CPU time in each period, microseconds" },
	{ "cpu-burst", 0, OPT_NUMBER, A(cpu_burst), "CPU time that may be saved up" },
	{ "cpu-share", 0, OPT_NUMBER, A(cpu_share), "relative weight of CPU time" },
	{ "cpu-rt-period", 0, OPT_NUMBER, A(cpu_rt_period), "period of the realtime limit" },
	{ "cpu-rt-runtime", 0, OPT_NUMBER, A(cpu_rt_runtime), "realtime in each period" },
	{ "cpuset-cpus", 0, OPT_TEXT, A(cpuset_cpus), "CPUs to use" },
	{ "cpuset-mems", 0, OPT_TEXT, A(cpuset_mems), "memory nodes to use" },
	{ "cpu-idle", 0, OPT_NUMBER, A(cpu_idle), "1: only where nobody else wants the CPU" },
	{ "kernel-memory", 0, OPT_TEXT, A(kernel_memory), "ignored, as the kernel does" },
	{ "kernel-memory-tcp", 0, OPT_TEXT, A(kernel_memory_tcp), "memory of TCP buffers" },
	{ "memory", 0, OPT_TEXT, A(memory), "memory limit; K, M, G are known" },
	{ "memory-reservation", 0, OPT_TEXT, A(memory_reservation), "memory soft limit" },
	{ "memory-swap", 0, OPT_TEXT, A(memory_swap), "memory and swap together; -1: no limit" },
	{ "pids-limit", 0, OPT_NUMBER, A(pids_limit), "number of processes; -1: no limit" },
	{ "l3-cache-schema", 0, OPT_TEXT, A(l3_cache_schema), "not supported" },
	{ "mem-bw-schema", 0, OPT_TEXT, A(mem_bw_schema), "not supported" },
	OPTS_END,
};

/* "512", "64M", "64MiB", "1g", "-1" */
static bool parse_bytes(const char *text, int64_t *ret)
{
	static const char units[] = "kmgtp";
	struct str s = str_of(text);
	bool negative = scan_char(&s, '-');
	uint64_t v;

	if (!scan_u64(&s, INT64_MAX, &v))
		return false;
	for (unsigned i = 0; s.n && i < sizeof(units) - 1; i++) {
		if ((s.p[0] | 0x20) != units[i])
			continue;
		if (v > (uint64_t)INT64_MAX >> (10 * (i + 1)))
			return false;
		v <<= 10 * (i + 1);
		s = (struct str){ s.p + 1, s.n - 1 };
		(void)scan_char(&s, 'i');
		break;
	}
	if (!scan_char(&s, 'B'))
		(void)scan_char(&s, 'b');
	*ret = negative ? -(int64_t)v : (int64_t)v;
	return scan_end(&s) && (!negative || v == 1);
}

static enum err_kind set_bytes(const char *option, const char *text, struct opt_i64 *to,
			       struct err *e)
{
	if (!text)
		return ERR_OK;
	to->set = true;
	return parse_bytes(text, &to->v) ? ERR_OK
					 : err_set(e, ERR_INVALID, __func__,
						   "invalid value for %s: \"%.40s\"", option, text);
}

static enum err_kind set_unsigned(const char *option, const struct opt_i64 *from,
				  struct opt_u64 *to, struct err *e)
{
	if (!from->set)
		return ERR_OK;
	if (from->v < 0)
		return err_set(e, ERR_INVALID, __func__, "--%s: must not be negative", option);
	*to = (struct opt_u64){ true, (uint64_t)from->v };
	return ERR_OK;
}

static enum err_kind memory_of(const struct update_args *a, struct spec_memory *m, struct err *e)
{
	enum err_kind k = set_bytes("memory", a->memory, &m->limit, e);

	if (k == ERR_OK)
		k = set_bytes("memory-reservation", a->memory_reservation, &m->reservation, e);
	if (k == ERR_OK)
		k = set_bytes("memory-swap", a->memory_swap, &m->swap, e);
	if (k == ERR_OK)
		k = set_bytes("kernel-memory-tcp", a->kernel_memory_tcp, &m->kernel_tcp, e);
	return k;
}

static enum err_kind cpu_of(const struct update_args *a, struct spec_cpu *c, struct err *e)
{
	enum err_kind k = set_unsigned("cpu-share", &a->cpu_share, &c->shares, e);

	if (k == ERR_OK)
		k = set_unsigned("cpu-period", &a->cpu_period, &c->period, e);
	if (k == ERR_OK)
		k = set_unsigned("cpu-burst", &a->cpu_burst, &c->burst, e);
	if (k == ERR_OK)
		k = set_unsigned("cpu-rt-period", &a->cpu_rt_period, &c->realtime_period, e);
	c->quota = a->cpu_quota;
	c->realtime_runtime = a->cpu_rt_runtime;
	c->idle = a->cpu_idle;
	c->cpus = a->cpuset_cpus;
	c->mems = a->cpuset_mems;
	return k;
}

struct changes {
	struct spec_resources resources, *from_file;
	struct spec_memory memory;
	struct spec_cpu cpu;
	struct spec_pids pids;
	struct spec_block_io block_io;
	struct jv *document;
};

static enum err_kind changes_of_options(const struct update_args *a, struct changes *ch,
					struct err *e)
{
	enum err_kind k = memory_of(a, &ch->memory, e);

	if (k == ERR_OK)
		k = cpu_of(a, &ch->cpu, e);
	if (a->pids_limit.set)
		ch->pids.limit = a->pids_limit;
	if (a->blkio_weight.set) {
		if (a->blkio_weight.v != 0 && (a->blkio_weight.v < 10 || a->blkio_weight.v > 1000))
			return err_set(e, ERR_INVALID, __func__,
				       "--blkio-weight: must be from 10 to 1000");
		ch->block_io.weight = (struct opt_u32){ true, (uint32_t)a->blkio_weight.v };
	}
	ch->resources.memory = &ch->memory;
	ch->resources.cpu = &ch->cpu;
	ch->resources.pids = &ch->pids;
	ch->resources.block_io = &ch->block_io;
	return k;
}

static enum err_kind changes_of_file(struct cli *c, const char *path, struct changes *ch,
				     struct err *e)
{
	AUTO_SBUF text;
	enum err_kind k = cli_read_file(path, &text, e);

	if (k == ERR_OK)
		k = spec_parse_resources((struct str){ text.p, text.n }, &c->arena, &ch->document,
					 &ch->from_file, e);
	if (k == ERR_OK)
		ch->resources = *ch->from_file;
	return k;
}

static enum err_kind apply(struct cli *c, struct container *container, struct changes *ch,
			   struct err *e)
{
	const struct cgroup *cg = &container->state.cgroup;
	enum err_kind k = ERR_OK;

	if (ch->resources.memory)
		k = cgroup_check_usage(cg, ch->resources.memory, e);
	if (k == ERR_OK && cg->unit)
		k = cgroup_systemd_update(c->rt.helper, cg, &ch->resources, &c->arena, e);
	return k == ERR_OK ? cgroup_apply(cg, &ch->resources, &c->arena, e) : k;
}

static enum err_kind update(struct cli *c, struct changes *ch, struct err *e)
{
	const struct update_args *a = c->options;
	AUTO_CONTAINER container = { .dir = -1, .lock = -1 };
	enum err_kind k;

	if (a->l3_cache_schema || a->mem_bw_schema)
		return err_set(
		    e, ERR_UNSUPPORTED, __func__,
		    "--l3-cache-schema, --mem-bw-schema: groups of resctrl are not changed");
	k = a->resources ? changes_of_file(c, a->resources, ch, e) : changes_of_options(a, ch, e);
	if (k == ERR_OK)
		k = cli_open_container(c, &container, e);
	if (k == ERR_OK)
		k = container_lock(&container, LOCK_MS, e);
	if (k == ERR_OK && container_status(&container) == STATUS_STOPPED)
		k = err_set(e, ERR_INVALID, __func__, "container not running");
	return k == ERR_OK ? apply(c, &container, ch, e) : k;
}

static int run_update(struct cli *c)
{
	struct changes ch = { 0 };
	struct err e;
	enum err_kind k = update(c, &ch, &e);

	jv_free(&ch.document);
	return k == ERR_OK ? EXIT_OK : cli_fail("", &e);
}

const struct command cmd_update = {
	.name = "update",
	.run = run_update,
	.opts = update_opts,
	.options_size = sizeof(struct update_args),
	.args_min = 1,
	.args_max = 1,
	.usage = "<container-id>",
	.doc = "change the limits of a container",
};
