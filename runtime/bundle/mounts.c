/* What is mounted: the kernel's file systems, files of /etc, volumes, tmpfs. */
#include "runtime/bundle/bundle_impl.h"

#define TTY_GID 5

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

/* A user namespace may mount one that shows processes of its own, and bind that of others. */
static enum err_kind add_proc(const struct making *m, struct jv *list, struct err *e)
{
	const char *pid = m->o->pid, *more = m->proc_options;
	const char *options =
	    arena_printf(m->arena, "nosuid,noexec,nodev%s%s", more ? "," : "", more ? more : "");

	if (!options)
		return making_no_memory(e);
	if (!pid || strcmp(pid, "private") == 0 || !(m->place->in_userns || making_is_mapped(m)))
		return add(m, list, "proc", "proc", "/proc", options, e);
	if (more)
		return err_set(e, ERR_UNSUPPORTED, __func__,
			       "proc-opts: a user namespace cannot have them with --pid %.60s",
			       pid);
	return add(m, list, "bind", "/proc", "/proc", "rbind,nosuid,noexec,nodev", e);
}

/* Without a network of its own a container may not mount sysfs anew in a user namespace; a bind always works. */
static enum err_kind add_kernel(const struct making *m, struct jv *list, struct err *e)
{
	const struct bundle_options *o = m->o;
	const char *access = o->privileged ? "rw" : "ro";
	const struct {
		const char *type, *source, *to, *options;
	} all[] = {
		{ "tmpfs", "tmpfs", "/dev", "nosuid,strictatime,mode=755,size=65536k" },
		{ "devpts", "devpts", "/dev/pts",
		  has_tty_group(m) ? "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"
				   : "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620" },
		{ "sysfs", "sysfs", "/sys",
		  arena_printf(m->arena, "nosuid,noexec,nodev,%s", access) },
		{ "cgroup", "cgroup", "/sys/fs/cgroup",
		  arena_printf(m->arena, "%s,nosuid,noexec,relatime,nodev", access) },
	};
	enum err_kind k = add_proc(m, list, e);

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

/* --- What the user and the image ask for --- */

struct wishes {
	struct mount_wish *v;
	size_t n;
};

static struct str without_slashes(struct str path)
{
	while (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	return path;
}

static bool is_same_path(const char *a, const char *b)
{
	return str_eq(without_slashes(str_of(a)), without_slashes(str_of(b)));
}

static bool is_taken(const struct wishes *all, const char *path)
{
	for (size_t i = 0; i < all->n; i++) {
		if (is_same_path(all->v[i].to, path))
			return true;
	}
	return false;
}

/* The kernel's, that a volume of the image's must not cover. */
static bool is_mounted(const struct jv *list, const char *path)
{
	struct str to;

	for (size_t i = 0; i < jv_count(list); i++) {
		if (jv_text(jv_member(jv_at(list, i), "destination"), &to) &&
		    str_eq(without_slashes(to), without_slashes(str_of(path))))
			return true;
	}
	return false;
}

static enum err_kind note_volume(const struct making *m, const struct mount_wish *w, struct err *e)
{
	struct bundle_volumes *all = m->volumes;

	if (w->is_owned && !arena_list_add(m->arena, &all->owned, w->source))
		return making_no_memory(e);
	if (!w->name)
		return ERR_OK;
	return arena_list_add(m->arena, &all->names, w->name) &&
		       arena_list_add(m->arena, &all->targets, w->to) &&
		       (!w->stays_empty || arena_list_add(m->arena, &all->kept_empty, w->name))
		   ? ERR_OK
		   : making_no_memory(e);
}

typedef enum err_kind wish_fn(const struct making *m, const char *text, struct mount_wish *ret,
			      struct err *e);

static enum err_kind take_list(const struct making *m, const struct text_list *texts,
			       wish_fn *parse, struct wishes *all, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < texts->n; i++) {
		struct mount_wish *w = &all->v[all->n];

		k = parse(m, texts->v[i], w, e);
		if (k == ERR_OK && is_taken(all, w->to))
			k = err_set(e, ERR_INVALID, __func__, "two mounts at %.100s", w->to);
		if (k == ERR_OK)
			all->n++;
	}
	return k;
}

/* The image's own wishes, where the user has none (image-spec config.md "Volumes"). */
static enum err_kind take_image_volumes(const struct making *m, const struct jv *kernel,
					struct wishes *all, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && m->image && i < m->image->volumes.n; i++) {
		const char *to = m->image->volumes.v[i];

		if (is_mounted(kernel, to) || is_taken(all, to))
			continue;
		k = mount_wish_volume(m, to, &all->v[all->n], e);
		if (k == ERR_OK)
			all->n++;
	}
	return k;
}

static unsigned depth_of(const char *path)
{
	unsigned n = 0;

	for (; *path; path++)
		n += *path == '/' && path[1] && path[1] != '/';
	return n;
}

/* What is above comes first, or it would cover what is below; else in the order in which they were given. */
static void sort_by_depth(struct wishes *all)
{
	for (size_t i = 1; i < all->n; i++) {
		struct mount_wish w = all->v[i];
		size_t at = i;

		for (; at > 0 && depth_of(all->v[at - 1].to) > depth_of(w.to); at--)
			all->v[at] = all->v[at - 1];
		all->v[at] = w;
	}
}

static enum err_kind take_wishes(const struct making *m, const struct jv *kernel,
				 struct wishes *all, struct err *e)
{
	const struct bundle_options *o = m->o;
	size_t max = o->tmpfs.n + o->volumes.n + o->mounts.n + (m->image ? m->image->volumes.n : 0);
	enum err_kind k = ERR_OK;

	all->v = arena_array(m->arena, max, sizeof(*all->v));
	if (max && !all->v)
		return making_no_memory(e);
	k = take_list(m, &o->tmpfs, mount_wish_tmpfs, all, e);
	if (k == ERR_OK)
		k = take_list(m, &o->volumes, mount_wish_short, all, e);
	if (k == ERR_OK)
		k = take_list(m, &o->mounts, mount_wish_long, all, e);
	if (k == ERR_OK)
		k = take_image_volumes(m, kernel, all, e);
	sort_by_depth(all);
	return k;
}

static const char *join(const struct making *m, const struct text_list *options)
{
	const char *all = "";

	for (size_t i = 0; all && i < options->n; i++)
		all = arena_printf(m->arena, "%s%s%s", all, i ? "," : "", options->v[i]);
	return all;
}

static enum err_kind add_wish(const struct making *m, struct jv *list, const struct mount_wish *w,
			      struct err *e)
{
	const char *options = join(m, &w->options);
	enum err_kind k = note_volume(m, w, e);

	if (k == ERR_OK && !options)
		k = making_no_memory(e);
	return k == ERR_OK ? add(m, list, w->is_tmpfs ? "tmpfs" : "bind",
				 w->is_tmpfs ? "tmpfs" : w->source, w->to, options, e)
			   : k;
}

static enum err_kind add_init(const struct making *m, struct jv *list, struct err *e)
{
	return m->o->init ? add(m, list, "bind", m->place->init, "/run/berth-init",
				"bind,ro,nosuid,nodev,rprivate", e)
			  : ERR_OK;
}

enum err_kind mounts_json(struct making *m, struct jv **ret, struct err *e)
{
	AUTO_JV *list = jv_new_array();
	struct wishes wishes = { 0 };
	enum err_kind k = list ? add_kernel(m, list, e) : making_no_memory(e);

	if (k == ERR_OK)
		k = take_wishes(m, list, &wishes, e);
	if (k == ERR_OK)
		k = add_files(m, list, e);
	if (k == ERR_OK)
		k = add_init(m, list, e);
	if (k == ERR_OK)
		k = devices_add_mounts(m, list, e);
	for (size_t i = 0; k == ERR_OK && i < wishes.n; i++)
		k = add_wish(m, list, &wishes.v[i], e);
	if (k == ERR_OK)
		*ret = TAKE(list);
	return k;
}
