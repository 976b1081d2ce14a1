/* What it may use: memory, processors, processes. */
#include "base/quantity.h"
#include "runtime/bundle/bundle_impl.h"

#define CPU_PERIOD_US 100000

static enum err_kind parse_swap(const struct bundle_options *o, long long *ret, struct err *e)
{
	struct str in = str_of(o->memory_swap);
	uint64_t bytes;

	*ret = o->memory_bytes <= INT64_MAX / 2 ? (long long)o->memory_bytes * 2 : -1;
	if (!o->memory_swap)
		return ERR_OK;
	if (strcmp(o->memory_swap, "-1") == 0) {
		*ret = -1;
		return ERR_OK;
	}
	if (!size_parse_docker(in, &bytes) || bytes > INT64_MAX ||
	    (bytes && (bytes < o->memory_bytes || !o->memory_bytes)))
		return err_set(e, ERR_INVALID, __func__,
			       "--memory-swap wants memory and swap together, at least --memory, "
			       "or -1");
	if (bytes) /* 0 is as good as nothing */
		*ret = (long long)bytes;
	return ERR_OK;
}

static enum err_kind add_memory(const struct making *m, struct jv *v, struct err *e)
{
	long long swap;
	enum err_kind k = parse_swap(m->o, &swap, e);

	if (k != ERR_OK || m->o->memory_bytes == 0)
		return k;
	return jv_set(v, "memory",
		      jv_pack("{s:I, s:I}", "limit", (long long)m->o->memory_bytes, "swap", swap))
		   ? ERR_OK
		   : making_no_memory(e);
}

/* "1.5": thousandths of a processor, by integers only; 0 is no limit. */
static bool parse_cpus(struct str in, uint64_t *ret_quota)
{
	uint64_t whole = 0, part = 0, unit = CPU_PERIOD_US;

	if (!scan_u64(&in, 100000, &whole))
		return false;
	if (scan_char(&in, '.')) {
		for (; in.n && unit > 1 && hex_value(in.p[0]) >= 0 && hex_value(in.p[0]) < 10;
		     in = (struct str){ in.p + 1, in.n - 1 }) {
			unit /= 10;
			part += (uint64_t)hex_value(in.p[0]) * unit;
		}
	}
	*ret_quota = whole * CPU_PERIOD_US + part;
	return scan_end(&in);
}

static enum err_kind add_cpu(const struct making *m, struct jv *v, struct err *e)
{
	const struct bundle_options *o = m->o;
	AUTO_JV *cpu = jv_pack("{}");
	uint64_t quota = 0;
	bool ok = cpu != NULL;

	if (!o->cpus && !o->cpu_shares && !o->cpuset_cpus)
		return ERR_OK;
	if (o->cpus && !parse_cpus(str_of(o->cpus), &quota))
		return err_set(e, ERR_INVALID, __func__, "--cpus %.40s: a number such as 1.5",
			       o->cpus);
	if (ok && quota)
		ok = jv_set(cpu, "quota", jv_pack("I", (long long)quota)) &&
		     jv_set(cpu, "period", jv_pack("i", CPU_PERIOD_US));
	if (ok && o->cpu_shares)
		ok = jv_set(cpu, "shares", jv_pack("I", (long long)o->cpu_shares));
	if (ok && o->cpuset_cpus)
		ok = jv_set(cpu, "cpus", jv_pack("s", o->cpuset_cpus));
	return ok && jv_set(v, "cpu", TAKE(cpu)) ? ERR_OK : making_no_memory(e);
}

/* -1 and 0: as many as there can be. */
static enum err_kind add_pids(const struct making *m, struct jv *v, struct err *e)
{
	const char *text = m->o->pids_limit;
	struct str in = str_of(text);
	uint64_t n;

	if (!text || strcmp(text, "-1") == 0)
		return ERR_OK;
	if (!scan_u64(&in, INT64_MAX, &n) || !scan_end(&in))
		return err_set(e, ERR_INVALID, __func__, "--pids-limit %.40s: a number, or -1",
			       text);
	return n == 0 || jv_set(v, "pids", jv_pack("{s:I}", "limit", (long long)n))
		   ? ERR_OK
		   : making_no_memory(e);
}

enum err_kind limits_json(struct making *m, struct jv **ret, struct err *e)
{
	AUTO_JV *v = jv_pack("{}");
	enum err_kind k = v ? add_memory(m, v, e) : making_no_memory(e);

	if (k == ERR_OK)
		k = add_cpu(m, v, e);
	if (k == ERR_OK)
		k = add_pids(m, v, e);
	/* Where no device can be made, rules about them say nothing, and would need a group. */
	if (k == ERR_OK && !m->place->in_userns)
		k = devices_add_rules(m, v, e);
	if (k == ERR_OK)
		*ret = TAKE(v);
	return k;
}
