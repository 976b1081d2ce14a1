/* What is mounted: the kernel's file systems, files of /etc, volumes, tmpfs. */
#include <errno.h>

#include "base/fd.h"
#include "base/hash.h"
#include "base/quantity.h"
#include "runtime/bundle/bundle_impl.h"
#include "runtime/container/volumes.h"

#define TTY_GID 5
#define ANONYMOUS_BYTES 32 /* of a name in hexadecimal digits */

/* "a,b,c" as a list. */
static struct jv *words(const struct making *m, const char *text)
{
	struct text_list list = { 0 };
	struct str rest = str_of(text), one;

	while (rest.n) {
		char *word;

		(void)str_cut(rest, ',', &one, &rest);
		word = arena_text(m->arena, one);
		if (!word || !arena_list_add(m->arena, &list, word))
			return NULL;
	}
	return jv_new_texts(list.v, list.n);
}

static enum err_kind add(const struct making *m, struct jv *list, const char *type,
			 const char *source, const char *to, const char *options, struct err *e)
{
	return jv_append(list, jv_pack("{s:s, s:s, s:s, s:o}", "destination", to, "type", type,
				       "source", source, "options", words(m, options)))
		   ? ERR_OK
		   : making_no_memory(e);
}

/* --- The kernel's --- */

static bool is_host(const char *mode)
{
	return mode && strcmp(mode, "host") == 0;
}

/* Terminals belong to a group that every distribution has under this number. */
static bool has_tty_group(const struct making *m)
{
	uint64_t ignored;

	return !m->place->alone &&
	       (!making_is_mapped(m) || idmap_out(&m->place->ids->gids, TTY_GID, &ignored));
}

/* Without a network of its own a container may not mount sysfs anew in a user namespace; a bind always works. */
static enum err_kind add_kernel(const struct making *m, struct jv *list, struct err *e)
{
	const struct bundle_options *o = m->o;
	const char *access = o->privileged ? "rw" : "ro";
	/* A user namespace may show only processes of its own. */
	bool binds_proc = o->pid && strcmp(o->pid, "private") != 0 &&
			  (m->place->in_userns || making_is_mapped(m));
	const struct {
		const char *type, *source, *to, *options;
	} all[] = {
		{ binds_proc ? "bind" : "proc", binds_proc ? "/proc" : "proc", "/proc",
		  binds_proc ? "rbind,nosuid,noexec,nodev" : "nosuid,noexec,nodev" },
		{ "tmpfs", "tmpfs", "/dev", "nosuid,strictatime,mode=755,size=65536k" },
		{ "devpts", "devpts", "/dev/pts",
		  has_tty_group(m) ? "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"
				   : "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620" },
		{ "sysfs", "sysfs", "/sys",
		  arena_printf(m->arena, "nosuid,noexec,nodev,%s", access) },
		{ "cgroup", "cgroup", "/sys/fs/cgroup",
		  arena_printf(m->arena, "%s,nosuid,noexec,relatime,nodev", access) },
	};
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < ARRAY_LEN(all); i++)
		k = all[i].options
			? add(m, list, all[i].type, all[i].source, all[i].to, all[i].options, e)
			: making_no_memory(e);
	if (k != ERR_OK)
		return k;
	if (is_host(o->ipc))
		k = add(m, list, "bind", "/dev/shm", "/dev/shm", "rbind", e);
	else
		k = add(m, list, "tmpfs", "shm", "/dev/shm",
			arena_printf(m->arena, "nosuid,noexec,nodev,mode=1777,size=%llu",
				     (unsigned long long)(o->shm_bytes ? o->shm_bytes : SHM_BYTES)),
			e);
	if (k == ERR_OK)
		k = is_host(o->ipc)
			? add(m, list, "bind", "/dev/mqueue", "/dev/mqueue", "rbind", e)
			: add(m, list, "mqueue", "mqueue", "/dev/mqueue", "nosuid,noexec,nodev", e);
	return k;
}

static enum err_kind add_file(const struct making *m, struct jv *list, const char *name,
			      struct err *e)
{
	const char *from = arena_printf(m->arena, "%s/%s", m->place->files, name);
	const char *to = arena_printf(m->arena, "/etc/%s", name);

	return from && to ? add(m, list, "bind", from, to, "rbind,rprivate", e)
			  : making_no_memory(e);
}

static enum err_kind add_files(const struct making *m, struct jv *list, struct err *e)
{
	static const char *const names[] = { "hosts", "hostname", "resolv.conf" };
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && m->place->files && i < ARRAY_LEN(names); i++)
		k = add_file(m, list, names[i], e);
	for (size_t i = 0; k == ERR_OK && i < m->place->accounts.n; i++)
		k = add_file(m, list, m->place->accounts.v[i], e);
	return k;
}

/* --- Volumes --- */

struct wanted_volume {
	const char *source, *to;
	const char *name; /* NULL: a directory of the user's */
	struct text_list options;
	bool is_tmpfs, stays_empty;
	bool is_given; /* its files become the process's */
};

static bool add_option(const struct making *m, struct wanted_volume *v, const char *option)
{
	return option && arena_list_add(m->arena, &v->options, option);
}

static const char *join(const struct making *m, const struct text_list *options)
{
	const char *all = "";

	for (size_t i = 0; all && i < options->n; i++)
		all = arena_printf(m->arena, "%s%s%s", all, i ? "," : "", options->v[i]);
	return all;
}

/* A name stands for a directory of berth's own, which outlives the container. */
static enum err_kind named_volume(const struct making *m, struct str name, struct wanted_volume *v,
				  struct err *e)
{
	if (!container_name_is_valid(name))
		return err_set(e, ERR_INVALID, __func__,
			       "\"%.*s\" is neither an absolute path nor a name of a volume",
			       (int)MIN(name.n, (size_t)80), name.p);
	v->name = arena_text(m->arena, name);
	v->source =
	    arena_printf(m->arena, "%s/%.*s/" VOLUME_DATA, m->place->volumes, STR_FMT(name));
	return v->name && v->source ? ERR_OK : making_no_memory(e);
}

/* Without a name it is this container's alone. */
static enum err_kind anonymous_volume(const struct making *m, struct wanted_volume *v,
				      struct err *e)
{
	uint8_t bytes[ANONYMOUS_BYTES];
	char name[2 * ANONYMOUS_BYTES];
	enum err_kind k;

	random_bytes(bytes, sizeof(bytes));
	hex_lower(bytes, sizeof(bytes), name);
	k = named_volume(m, (struct str){ name, sizeof(name) }, v, e);
	if (k == ERR_OK && !arena_list_add(m->arena, &m->volumes->anonymous, v->name))
		k = making_no_memory(e);
	return k;
}

static enum err_kind note_volume(const struct making *m, const struct wanted_volume *v,
				 struct err *e)
{
	struct bundle_volumes *all = m->volumes;

	if (v->is_given && v->is_tmpfs)
		return err_set(e, ERR_INVALID, __func__, "%s: U is not for a tmpfs", v->to);
	if (v->is_given && !arena_list_add(m->arena, &all->given, v->source))
		return making_no_memory(e);
	if (!v->name)
		return ERR_OK;
	return arena_list_add(m->arena, &all->names, v->name) &&
		       arena_list_add(m->arena, &all->targets, v->to) &&
		       (!v->stays_empty || arena_list_add(m->arena, &all->kept_empty, v->name))
		   ? ERR_OK
		   : making_no_memory(e);
}

/* -v has made missing directories since docker's first days; --mount never did. */
static enum err_kind host_path(const struct making *m, struct str path, bool make, const char **ret,
			       struct err *e)
{
	char *text = arena_text(m->arena, path);
	struct stat s;

	if (!text)
		return making_no_memory(e);
	if (make && fstatat(AT_FDCWD, text, &s, 0) < 0 && errno == ENOENT &&
	    sys_mkdirat(AT_FDCWD, text, 0755) < 0)
		return err_sys(e, __func__, "make %s for a volume", text);
	*ret = text;
	return ERR_OK;
}

/* What docker takes after the second colon, less what no kernel here has (SELinux). */
static enum err_kind take_flag(const struct making *m, struct wanted_volume *v, struct str flag,
			       struct err *e)
{
	static const char *const known[] = { "ro",     "rw",      "rprivate", "private", "rslave",
					     "slave",  "nosuid",  "nodev",    "noexec",  "suid",
					     "dev",    "exec",    "bind",     "rbind",   "rro",
					     "shared", "rshared", "idmap" };
	static const char *const ignored[] = {
		"z", "Z", "copy", "cached", "delegated", "consistent"
	};
	bool shares = str_eq(flag, STR("shared")) || str_eq(flag, STR("rshared"));

	v->stays_empty = v->stays_empty || str_eq(flag, STR("nocopy"));
	v->is_given = v->is_given || str_eq(flag, STR("U"));
	m->volumes->shares_mounts = m->volumes->shares_mounts || shares;
	if (str_eq(flag, STR("idmap")) && !making_is_mapped(m))
		return ERR_OK; /* ids are what they are */
	if (str_eq(flag, STR("idmap")) && m->place->in_userns)
		return err_set(
		    e, ERR_UNSUPPORTED, __func__,
		    "idmap: the kernel lets no ordinary user mount files with other owners");
	if (str_eq(flag, STR("nocopy")) || str_eq(flag, STR("U")))
		return ERR_OK;
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++) {
		if (str_eq(flag, str_of(ignored[i])))
			return ERR_OK;
	}
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (str_eq(flag, str_of(known[i])))
			return add_option(m, v, known[i]) ? ERR_OK : making_no_memory(e);
	}
	return err_set(e, ERR_INVALID, __func__, "\"%.*s\" is no option of a volume",
		       (int)MIN(flag.n, (size_t)40), flag.p);
}

static enum err_kind take_flags(const struct making *m, struct wanted_volume *v, struct str flags,
				struct err *e)
{
	struct str one;
	enum err_kind k = ERR_OK;

	while (k == ERR_OK && flags.n) {
		(void)str_cut(flags, ',', &one, &flags);
		k = take_flag(m, v, one, e);
	}
	return k;
}

static enum err_kind check_target(const struct wanted_volume *v, struct err *e)
{
	if (v->to && v->to[0] == '/' && v->to[1])
		return ERR_OK;
	return err_set(e, ERR_INVALID, __func__,
		       "a volume wants an absolute path in the container, not \"%.80s\"",
		       v->to ? v->to : "");
}

static enum err_kind add_volume(const struct making *m, struct jv *list, struct wanted_volume *v,
				struct err *e)
{
	enum err_kind k = check_target(v, e);
	bool has_bind = false;

	if (k == ERR_OK)
		k = note_volume(m, v, e);
	for (size_t i = 0; i < v->options.n; i++)
		has_bind = has_bind || strcmp(v->options.v[i], "bind") == 0 ||
			   strcmp(v->options.v[i], "rbind") == 0;
	if (k == ERR_OK && !has_bind && !v->is_tmpfs && !add_option(m, v, "rbind"))
		k = making_no_memory(e);
	return k == ERR_OK ? add(m, list, v->is_tmpfs ? "tmpfs" : "bind",
				 v->is_tmpfs ? "tmpfs" : v->source, v->to, join(m, &v->options), e)
			   : k;
}

/* -v [SOURCE:]TARGET[:OPTIONS] */
static enum err_kind add_short(const struct making *m, struct jv *list, const char *text,
			       struct err *e)
{
	struct str source, rest, to, flags = { "", 0 };
	struct wanted_volume v = { 0 };
	enum err_kind k;

	if (str_cut(str_of(text), ':', &source, &rest)) {
		(void)str_cut(rest, ':', &to, &flags);
		k = source.n && *source.p == '/' ? host_path(m, source, true, &v.source, e)
						 : named_volume(m, source, &v, e);
	} else {
		to = source;
		k = anonymous_volume(m, &v, e);
	}
	v.to = arena_text(m->arena, to);
	if (k == ERR_OK)
		k = take_flags(m, &v, flags, e);
	return k == ERR_OK ? add_volume(m, list, &v, e) : k;
}

/* --- --mount type=..,source=..,target=..,... --- */

struct long_form {
	struct str type, source, to;
};

static bool is_one_of(struct str key, const char *a, const char *b, const char *c)
{
	return str_eq(key, str_of(a)) || (b && str_eq(key, str_of(b))) ||
	       (c && str_eq(key, str_of(c)));
}

static enum err_kind take_pair(const struct making *m, struct long_form *f, struct wanted_volume *v,
			       struct str key, struct str value, bool has_value, struct err *e)
{
	uint64_t bytes;

	if (is_one_of(key, "type", NULL, NULL))
		f->type = value;
	else if (is_one_of(key, "source", "src", NULL))
		f->source = value;
	else if (is_one_of(key, "target", "dst", "destination"))
		f->to = value;
	else if (is_one_of(key, "readonly", "ro", NULL) &&
		 (!has_value || is_one_of(value, "true", "1", NULL)))
		return add_option(m, v, "ro") ? ERR_OK : making_no_memory(e);
	else if (is_one_of(key, "bind-propagation", NULL, NULL))
		return take_flag(m, v, value, e);
	else if (is_one_of(key, "idmap", NULL, NULL) &&
		 (!has_value || is_one_of(value, "true", "1", NULL)))
		return take_flag(m, v, STR("idmap"), e);
	else if (is_one_of(key, "U", "chown", NULL) &&
		 (!has_value || is_one_of(value, "true", "1", NULL)))
		v->is_given = true;
	else if (is_one_of(key, "volume-nocopy", NULL, NULL) &&
		 (!has_value || is_one_of(value, "true", "1", NULL)))
		v->stays_empty = true;
	else if (is_one_of(key, "tmpfs-size", NULL, NULL) && size_parse(value, &bytes))
		return add_option(m, v,
				  arena_printf(m->arena, "size=%llu", (unsigned long long)bytes))
			   ? ERR_OK
			   : making_no_memory(e);
	else if (is_one_of(key, "tmpfs-mode", NULL, NULL) && value.n < 6)
		return add_option(m, v, arena_printf(m->arena, "mode=%.*s", STR_FMT(value)))
			   ? ERR_OK
			   : making_no_memory(e);
	else
		return err_set(e, ERR_INVALID, __func__, "--mount: \"%.*s\" is not understood",
			       (int)MIN(key.n, (size_t)40), key.p);
	return ERR_OK;
}

static enum err_kind resolve_source(const struct making *m, const struct long_form *f,
				    struct wanted_volume *v, struct err *e)
{
	if (str_eq(f->type, STR("tmpfs"))) {
		v->is_tmpfs = true;
		return add_option(m, v, "nosuid") && add_option(m, v, "nodev")
			   ? ERR_OK
			   : making_no_memory(e);
	}
	if (str_eq(f->type, STR("bind")))
		return host_path(m, f->source, false, &v->source, e);
	if (f->type.n == 0 || str_eq(f->type, STR("volume")))
		return f->source.n ? named_volume(m, f->source, v, e) : anonymous_volume(m, v, e);
	return err_set(e, ERR_UNSUPPORTED, __func__, "--mount: type %.*s is not known",
		       (int)MIN(f->type.n, (size_t)40), f->type.p);
}

static enum err_kind add_long(const struct making *m, struct jv *list, const char *text,
			      struct err *e)
{
	struct long_form f = { 0 };
	struct wanted_volume v = { 0 };
	struct str rest = str_of(text), one, key, value;
	enum err_kind k = ERR_OK;

	while (k == ERR_OK && rest.n) {
		bool has_value;

		(void)str_cut(rest, ',', &one, &rest);
		has_value = str_cut(one, '=', &key, &value);
		k = take_pair(m, &f, &v, key, value, has_value, e);
	}
	if (k == ERR_OK)
		k = resolve_source(m, &f, &v, e);
	v.to = arena_text(m->arena, f.to);
	return k == ERR_OK ? add_volume(m, list, &v, e) : k;
}

/* --tmpfs TARGET[:OPTIONS], whose options are the file system's own. */
static enum err_kind add_tmpfs(const struct making *m, struct jv *list, const char *text,
			       struct err *e)
{
	struct str to, options;
	bool has_options = str_cut(str_of(text), ':', &to, &options);
	struct wanted_volume v = { .is_tmpfs = true, .to = arena_text(m->arena, to) };
	enum err_kind k = ERR_OK;

	if (!add_option(m, &v, "nosuid") || !add_option(m, &v, "nodev") ||
	    !add_option(m, &v, has_options ? arena_text(m->arena, options) : "noexec"))
		k = making_no_memory(e);
	return k == ERR_OK ? add_volume(m, list, &v, e) : k;
}

static struct str without_slashes(struct str path)
{
	while (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	return path;
}

/* Is something mounted there already? */
static bool is_taken(const struct jv *list, struct str path)
{
	struct str to;

	for (size_t i = 0; i < jv_count(list); i++) {
		if (jv_text(jv_member(jv_at(list, i), "destination"), &to) &&
		    str_eq(without_slashes(to), without_slashes(path)))
			return true;
	}
	return false;
}

/* The image's own wishes, where the user has none (image-spec config.md "Volumes"). */
static enum err_kind add_image_volumes(const struct making *m, struct jv *list, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && m->image && i < m->image->volumes.n; i++) {
		struct wanted_volume v = { .to = m->image->volumes.v[i] };

		if (is_taken(list, str_of(v.to)))
			continue;
		k = anonymous_volume(m, &v, e);
		if (k == ERR_OK)
			k = add_volume(m, list, &v, e);
	}
	return k;
}

static enum err_kind add_init(const struct making *m, struct jv *list, struct err *e)
{
	return m->o->init ? add(m, list, "bind", m->place->init, "/run/berth-init",
				"bind,ro,nosuid,nodev,rprivate", e)
			  : ERR_OK;
}

enum err_kind mounts_json(struct making *m, struct jv **ret, struct err *e)
{
	const struct bundle_options *o = m->o;
	AUTO_JV *list = jv_new_array();
	enum err_kind k = list ? add_kernel(m, list, e) : making_no_memory(e);

	if (k == ERR_OK)
		k = add_files(m, list, e);
	if (k == ERR_OK)
		k = add_init(m, list, e);
	for (size_t i = 0; k == ERR_OK && i < o->tmpfs.n; i++)
		k = add_tmpfs(m, list, o->tmpfs.v[i], e);
	for (size_t i = 0; k == ERR_OK && i < o->volumes.n; i++)
		k = add_short(m, list, o->volumes.v[i], e);
	for (size_t i = 0; k == ERR_OK && i < o->mounts.n; i++)
		k = add_long(m, list, o->mounts.v[i], e);
	if (k == ERR_OK)
		k = add_image_volumes(m, list, e);
	if (k == ERR_OK)
		*ret = TAKE(list);
	return k;
}
