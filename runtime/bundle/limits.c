/* What it may use: memory, processors, processes, devices. */
#include <errno.h>
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "base/quantity.h"
#include "runtime/bundle/bundle_impl.h"

#define CPU_PERIOD_US 100000
#define DEVICES_MAX 1024

/* --- Memory, processors, processes --- */

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
	if (!size_parse(in, &bytes) || bytes > INT64_MAX || bytes < o->memory_bytes)
		return err_set(e, ERR_INVALID, __func__,
			       "--memory-swap wants memory and swap together, at least --memory, "
			       "or -1");
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

/* "1.5": thousandths of a processor, by integers only. */
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
	return scan_end(&in) && *ret_quota > 0;
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

/* --- Devices --- */

struct device {
	const char *source, *to;
	char access[4];
	struct stat s;
};

/* SOURCE[:TARGET][:ACCESS] */
static enum err_kind parse_device(const struct making *m, const char *text, struct device *ret,
				  struct err *e)
{
	struct str source, rest, to, access = { "", 0 };
	struct device d = { 0 };

	(void)str_cut(str_of(text), ':', &source, &rest);
	(void)str_cut(rest, ':', &to, &access);
	if (to.n && *to.p != '/') {
		access = to;
		to = (struct str){ "", 0 };
	}
	d.source = arena_text(m->arena, source);
	d.to = to.n ? arena_text(m->arena, to) : d.source;
	if (!d.source || !d.to)
		return making_no_memory(e);
	if (!str_copy(access.n ? access : STR("rwm"), d.access, sizeof(d.access)) ||
	    strspn(d.access, "rwm") != strlen(d.access))
		return err_set(e, ERR_INVALID, __func__, "--device %.80s: access is of r, w, m",
			       text);
	if (fstatat(AT_FDCWD, d.source, &d.s, 0) < 0)
		return err_sys(e, __func__, "--device %s", d.source);
	if (!S_ISCHR(d.s.st_mode) && !S_ISBLK(d.s.st_mode))
		return err_set(e, ERR_INVALID, __func__, "--device %s is no device", d.source);
	*ret = d;
	return ERR_OK;
}

static bool allow(struct jv *rules, const char *type, long long major, long long minor,
		  const char *access)
{
	AUTO_JV *rule = jv_pack("{s:b, s:s, s:s}", "allow", 1, "type", type, "access", access);

	if (!rule || (major >= 0 && !jv_set(rule, "major", jv_pack("I", major))) ||
	    (minor >= 0 && !jv_set(rule, "minor", jv_pack("I", minor))))
		return false;
	return jv_append(rules, TAKE(rule));
}

/* mknod of anything, and the devices that every container has: null zero full random urandom tty, terminals. */
static bool add_common_rules(struct jv *rules)
{
	static const struct {
		int major, minor;
	} common[] = { { 1, 3 }, { 1, 5 }, { 1, 7 }, { 1, 8 },
		       { 1, 9 }, { 5, 0 }, { 5, 2 }, { 136, -1 } };

	if (!allow(rules, "c", -1, -1, "m") || !allow(rules, "b", -1, -1, "m"))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(common); i++) {
		if (!allow(rules, "c", common[i].major, common[i].minor, "rwm"))
			return false;
	}
	return true;
}

static const char *device_type(const struct device *d)
{
	return S_ISBLK(d->s.st_mode) ? "b" : "c";
}

static enum err_kind add_device_rules(const struct making *m, struct jv *v, struct err *e)
{
	AUTO_JV *rules = jv_new_array();
	bool ok = rules != NULL;

	if (m->o->privileged)
		ok = ok && jv_append(rules, jv_pack("{s:b, s:s}", "allow", 1, "access", "rwm"));
	else
		ok = ok && jv_append(rules, jv_pack("{s:b, s:s}", "allow", 0, "access", "rwm")) &&
		     add_common_rules(rules);
	for (size_t i = 0; ok && !m->o->privileged && i < m->o->devices.n; i++) {
		struct device d;
		enum err_kind k = parse_device(m, m->o->devices.v[i], &d, e);

		if (k != ERR_OK)
			return k;
		ok =
		    allow(rules, device_type(&d), major(d.s.st_rdev), minor(d.s.st_rdev), d.access);
	}
	return ok && jv_set(v, "devices", TAKE(rules)) ? ERR_OK : making_no_memory(e);
}

enum err_kind limits_json(struct making *m, struct jv **ret, struct err *e)
{
	AUTO_JV *v = jv_pack("{}");
	enum err_kind k = v ? add_memory(m, v, e) : making_no_memory(e);

	if (k == ERR_OK)
		k = add_cpu(m, v, e);
	if (k == ERR_OK && m->o->pids_max &&
	    !jv_set(v, "pids", jv_pack("{s:I}", "limit", (long long)m->o->pids_max)))
		k = making_no_memory(e);
	/* Where no device can be made, rules about them say nothing, and would need a group. */
	if (k == ERR_OK && !m->place->in_userns)
		k = add_device_rules(m, v, e);
	if (k == ERR_OK)
		*ret = TAKE(v);
	return k;
}

static bool append_device(struct jv *list, const struct device *d)
{
	return jv_append(list, jv_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "path", d->to, "type",
				       device_type(d), "major", (long long)major(d->s.st_rdev),
				       "minor", (long long)minor(d->s.st_rdev), "fileMode",
				       (long long)(d->s.st_mode & 07777), "uid",
				       (long long)d->s.st_uid, "gid", (long long)d->s.st_gid));
}

struct all_devices {
	const struct making *m;
	struct jv *list;
	const char *dir; /* "/dev" */
	unsigned n;
};

/* Devices that a container has anyway, and what belongs to the host's terminals. */
static bool is_left_out(const char *name)
{
	static const char *const names[] = { "null",    "zero", "full",    "random",
					     "urandom", "tty",  "console", "ptmx" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

static enum err_kind add_host_device(void *arg, const char *name, struct err *e)
{
	struct all_devices *all = arg;
	struct device d = { .to = arena_printf(all->m->arena, "%s/%s", all->dir, name) };

	if (!d.to)
		return making_no_memory(e);
	if (is_left_out(name) || fstatat(AT_FDCWD, d.to, &d.s, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (!S_ISCHR(d.s.st_mode) && !S_ISBLK(d.s.st_mode)) || all->n++ >= DEVICES_MAX)
		return ERR_OK;
	return append_device(all->list, &d) ? ERR_OK : making_no_memory(e);
}

enum err_kind devices_json(struct making *m, struct jv **ret, struct err *e)
{
	AUTO_JV *list = jv_new_array();
	struct all_devices all = { .m = m, .list = list, .dir = "/dev" };
	enum err_kind k = list ? ERR_OK : making_no_memory(e);

	if (k == ERR_OK && m->o->privileged)
		k = fd_list_dir(AT_FDCWD, "/dev", add_host_device, &all, e);
	for (size_t i = 0; k == ERR_OK && i < m->o->devices.n; i++) {
		struct device d;

		k = parse_device(m, m->o->devices.v[i], &d, e);
		if (k == ERR_OK && !append_device(list, &d))
			k = making_no_memory(e);
	}
	if (k == ERR_OK)
		*ret = TAKE(list);
	return k;
}
