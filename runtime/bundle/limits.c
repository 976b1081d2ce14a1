/* What it may use: memory, processors, processes, devices. */
#include <errno.h>
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "base/quantity.h"
#include "runtime/bundle/bundle_impl.h"

#define CPU_PERIOD_US 100000
#define DEVICES_MAX 1024
#define DEPTH_MAX 8 /* of directories below /dev */

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

/* --- Devices --- */

struct device {
	const char *source, *to;
	char access[4];
	struct stat s;
};

static bool is_device(const struct stat *s)
{
	return S_ISCHR(s->st_mode) || S_ISBLK(s->st_mode);
}

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
	if (!is_device(&d.s) && !S_ISDIR(d.s.st_mode))
		return err_set(e, ERR_INVALID, __func__, "--device %s is no device", d.source);
	*ret = d;
	return ERR_OK;
}

static const char *device_type(const struct device *d)
{
	return S_ISBLK(d->s.st_mode) ? "b" : "c";
}

typedef enum err_kind device_fn(struct jv *list, const struct device *d, struct err *e);

struct walking {
	const struct making *m;
	const struct device *dir;
	unsigned depth;
	device_fn *fn;
	struct jv *list;
};

/* Devices that a container has anyway, or of its own, and what belongs to the host's terminals. */
static bool is_left_out(const char *path)
{
	static const char *const names[] = { "null",    "zero", "full", "random",
					     "urandom", "tty",  "ptmx", "console",
					     "pts",     "shm",  "fd",   "mqueue" };

	if (!str_starts(str_of(path), STR("/dev/")))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(path + 5, names[i]) == 0)
			return true;
	}
	return false;
}

static enum err_kind walk_devices(const struct making *m, const struct device *dir, unsigned depth,
				  device_fn *fn, struct jv *list, struct err *e);

static enum err_kind walk_one(void *arg, const char *name, struct err *e)
{
	const struct walking *w = arg;
	struct device d = { .source = arena_printf(w->m->arena, "%s/%s", w->dir->source, name),
			    .to = arena_printf(w->m->arena, "%s/%s", w->dir->to, name) };

	memcpy(d.access, w->dir->access, sizeof(d.access));
	if (!d.source || !d.to)
		return making_no_memory(e);
	if (is_left_out(d.source) || fstatat(AT_FDCWD, d.source, &d.s, AT_SYMLINK_NOFOLLOW) < 0)
		return ERR_OK;
	if (S_ISDIR(d.s.st_mode))
		return walk_devices(w->m, &d, w->depth + 1, w->fn, w->list, e);
	return is_device(&d.s) && jv_count(w->list) < DEVICES_MAX ? w->fn(w->list, &d, e) : ERR_OK;
}

/* All below a directory. */
static enum err_kind walk_devices(const struct making *m, const struct device *dir, unsigned depth,
				  device_fn *fn, struct jv *list, struct err *e)
{
	struct walking w = { .m = m, .dir = dir, .depth = depth, .fn = fn, .list = list };

	return depth < DEPTH_MAX ? fd_list_dir(AT_FDCWD, dir->source, walk_one, &w, e) : ERR_OK;
}

/* What --device names. */
static enum err_kind each_device(const struct making *m, device_fn *fn, struct jv *list,
				 struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < m->o->devices.n; i++) {
		struct device d;

		k = parse_device(m, m->o->devices.v[i], &d, e);
		if (k == ERR_OK)
			k = S_ISDIR(d.s.st_mode) ? walk_devices(m, &d, 0, fn, list, e)
						 : fn(list, &d, e);
	}
	return k;
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

static enum err_kind add_device_rule(struct jv *rules, const struct device *d, struct err *e)
{
	return allow(rules, device_type(d), major(d->s.st_rdev), minor(d->s.st_rdev), d->access)
		   ? ERR_OK
		   : making_no_memory(e);
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
	if (ok && !m->o->privileged) {
		enum err_kind k = each_device(m, add_device_rule, rules, e);

		if (k != ERR_OK)
			return k;
	}
	return ok && jv_set(v, "devices", TAKE(rules)) ? ERR_OK : making_no_memory(e);
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
		k = add_device_rules(m, v, e);
	if (k == ERR_OK)
		*ret = TAKE(v);
	return k;
}

static enum err_kind append_device(struct jv *list, const struct device *d, struct err *e)
{
	struct jv *one =
	    jv_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "path", d->to, "type", device_type(d),
		    "major", (long long)major(d->s.st_rdev), "minor",
		    (long long)minor(d->s.st_rdev), "fileMode", (long long)(d->s.st_mode & 07777),
		    "uid", (long long)d->s.st_uid, "gid", (long long)d->s.st_gid);

	return jv_append(list, one) ? ERR_OK : making_no_memory(e);
}

enum err_kind devices_json(struct making *m, struct jv **ret, struct err *e)
{
	AUTO_JV *list = jv_new_array();
	struct device dev = { .source = "/dev", .to = "/dev", .access = "rwm" };
	enum err_kind k = list ? ERR_OK : making_no_memory(e);

	if (k == ERR_OK && m->o->privileged)
		k = walk_devices(m, &dev, 0, append_device, list, e);
	if (k == ERR_OK)
		k = each_device(m, append_device, list, e);
	if (k == ERR_OK)
		*ret = TAKE(list);
	return k;
}
