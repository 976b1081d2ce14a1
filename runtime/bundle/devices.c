/* Devices of the host that it has, and what the kernel is told of all devices. */
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "runtime/bundle/bundle_impl.h"

#define DEVICES_MAX 1024
#define DEPTH_MAX 8 /* of directories below /dev */

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

enum err_kind devices_add_rules(const struct making *m, struct jv *v, struct err *e)
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
	if (k == ERR_OK && !m->place->in_userns)
		k = each_device(m, append_device, list, e);
	if (k == ERR_OK)
		*ret = TAKE(list);
	return k;
}

static enum err_kind append_mount(struct jv *mounts, const struct device *d, struct err *e)
{
	struct jv *one = jv_pack("{s:s, s:s, s:s, s:[s, s, s, s, s]}", "destination", d->to, "type",
				 "bind", "source", d->source, "options", "bind", "nosuid", "noexec",
				 "rprivate", strchr(d->access, 'w') ? "rw" : "ro");

	return jv_append(mounts, one) ? ERR_OK : making_no_memory(e);
}

enum err_kind devices_add_mounts(const struct making *m, struct jv *mounts, struct err *e)
{
	return m->place->in_userns ? each_device(m, append_mount, mounts, e) : ERR_OK;
}
