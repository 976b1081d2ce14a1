/* The mounts of a container, with their sources opened. */
#include <errno.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include "base/fd.h"
#include "runtime/oci/init/tree.h"
#include "runtime/oci/plan/build.h"
#include "runtime/oci/run/ids.h"

#define PROC_ROOT_INO 1

/* What all mounts of one plan share. */
struct mounts {
	struct plan *p;
	const struct spec *s;
	const struct host *h;
	const struct plan_options *o;
	struct err *e;
};

static bool is_type(const struct mount_op *m, const char *type)
{
	return m->type && strcmp(m->type, type) == 0;
}

static enum err_kind add(const struct mounts *c, const struct mount_op *m)
{
	struct mount_op *copy = arena_get(c->p->arena, sizeof(*copy));

	if (!copy)
		return plan_no_memory(c->e);
	*copy = *m;
	return plan_put(c->p, STEP(MOUNT, m->target, .mount = copy), c->e);
}

/* One that the spec does not list. */
static enum err_kind add_plain(const struct mounts *c, struct mount_op *m,
			       const char *const *options, size_t n)
{
	const char **list = arena_array(c->p->arena, n + 1, sizeof(*list));
	struct texts texts = { list, n };
	enum err_kind k;

	if (!list)
		return plan_no_memory(c->e);
	for (size_t i = 0; i < n; i++)
		list[i] = options[i];
	k = mount_opts_parse(&texts, c->p->arena, &m->opts, c->e);
	m->tree = -1;
	return k == ERR_OK ? add(c, m) : k;
}

static const char *joined_data(const struct texts *data, struct arena *a)
{
	AUTO_SBUF b;

	sbuf_init(&b, 64 * 1024);
	for (size_t i = 0; i < data->n; i++)
		sbuf_addf(&b, "%s%s", i ? "," : "", data->v[i]);
	return b.failed ? NULL : arena_text(a, (struct str){ b.p, b.n });
}

/* Asked for twice, by the mount and for the root: what the container mounts there is to show on the host. */
static bool is_peer_of_host(const struct mounts *c, const struct mount_op *m)
{
	int p = c->s->linux_.rootfs_propagation;
	size_t n = m->opts.propagation_n;

	return (p == PROPAGATION_SHARED || p == PROPAGATION_RSHARED) && !c->p->in_userns && n &&
	       (m->opts.propagation[n - 1] & MS_SHARED);
}

/* A clone of a shared mount is its peer, unless that is ended. */
static enum err_kind detach_from_host(const struct mounts *c, int tree, size_t i)
{
	int r = tree_propagate(tree, MS_SLAVE | MS_REC);

	if (r == 0 || r == -ENOSYS)
		return ERR_OK;
	errno = -r;
	return err_sys(c->e, __func__, "mounts[%zu]: propagation", i);
}

static bool is_proc_root(int fd)
{
	struct statfs fs;
	struct stat st;

	return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC && fstat(fd, &st) == 0 &&
	       st.st_ino == PROC_ROOT_INO;
}

/*
 * CVE-2023-25809: a read-only /sys of the host in a user namespace is meant to be that with all below it.  Groups that
 * are delegated to the user could be written to otherwise.
 */
static void protect_sysfs(const struct mounts *c, struct mount_op *m, int fd)
{
	struct statfs fs;

	if (c->p->in_userns && m->opts.is_recursive && (m->opts.set & MOUNT_ATTR_RDONLY) &&
	    fstatfs(fd, &fs) == 0 && fs.f_type == SYSFS_MAGIC)
		m->opts.all_set |= MOUNT_ATTR_RDONLY;
}

static enum err_kind idmap(const struct mounts *c, const struct spec_mount *sm,
			   const struct mount_op *m, int tree, size_t i)
{
	const spec_id_maps *uids = &sm->uid_mappings, *gids = &sm->gid_mappings;
	AUTO_CLOSE userns = -1;
	enum err_kind k;
	int r;

	if (!m->opts.is_idmapped && !uids->n)
		return ERR_OK;
	if (!uids->n) {
		uids = &c->s->linux_.uid_mappings;
		gids = &c->s->linux_.gid_mappings;
	}
	if (!uids->n)
		return err_set(
		    c->e, ERR_INVALID, __func__,
		    "mounts[%zu].uidMappings: is missing, and there is no user namespace "
		    "to take them from",
		    i);
	k = ids_make_userns(uids, gids, &userns, c->e);
	if (k != ERR_OK)
		return err_wrap(c->e, "mounts[%zu].uidMappings", i);
	r = tree_idmap(tree, userns, m->opts.idmaps_recursively);
	if (r == 0)
		return ERR_OK;
	errno = -r;
	return err_sys(c->e, __func__, "mounts[%zu].uidMappings: idmap %s", i, m->source);
}

/*
 * What the path means now is what is mounted: the process opens it again, in its own mount namespace, and compares.
 * Cloned here are only mounts that the process could not make: idmapped ones, peers of the host's, and sources that a
 * user namespace may not walk to.  Cloned there, in a user namespace, the host's nosuid and the like are locked, and the order of mounts
 * is that of config.json.
 */
static enum err_kind open_source(const struct mounts *c, const struct spec_mount *sm,
				 struct mount_op *m, size_t i)
{
	int flags = O_PATH | O_CLOEXEC | (m->opts.source_nofollow ? O_NOFOLLOW : 0);
	AUTO_CLOSE fd = open(m->source, flags);
	AUTO_CLOSE tree = -1;
	bool idmaps = m->opts.is_idmapped || sm->uid_mappings.n;
	bool is_peer = is_peer_of_host(c, m);
	struct stat st;
	enum err_kind k;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(c->e, __func__, "mounts[%zu].source: %s", i, m->source);
	m->is_proc_source = is_proc_root(fd);
	protect_sysfs(c, m, fd);
	m->source_dev = st.st_dev;
	m->source_ino = st.st_ino;
	if (!c->h->may_mount || !(idmaps || is_peer || c->p->is_new_userns || c->p->joins_user))
		return ERR_OK;
	tree = tree_clone(fd, "", m->opts.is_recursive);
	if (tree < 0 && !idmaps)
		return ERR_OK;
	if (tree < 0) {
		errno = -tree;
		return err_sys(c->e, __func__, "mounts[%zu].source: clone %s", i, m->source);
	}
	k = is_peer ? ERR_OK : detach_from_host(c, tree, i);
	if (k == ERR_OK)
		k = idmap(c, sm, m, tree, i);
	m->tree_is_needed = idmaps || is_peer;
	if (k == ERR_OK)
		m->tree = TAKE_FD(tree);
	return k;
}

static const char *absolute_source(const struct mounts *c, const char *source)
{
	if (source[0] == '/')
		return source;
	return arena_printf(c->p->arena, "%s/%s", c->o->bundle, source);
}

static enum err_kind plan_bind(const struct mounts *c, const struct spec_mount *sm,
			       struct mount_op *m, size_t i)
{
	enum err_kind k;

	if (!sm->source)
		return err_set(c->e, ERR_INVALID, __func__, "mounts[%zu].source: is missing", i);
	m->kind = MOUNT_BIND;
	m->type = NULL;
	m->source = absolute_source(c, sm->source);
	if (!m->source)
		return plan_no_memory(c->e);
	k = open_source(c, sm, m, i);
	return k == ERR_OK ? add(c, m) : k;
}

/* ---- cgroup ---- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool has_own_cgroupns(const struct spec *s)
{
	const struct spec_namespace *n = spec_namespace_of(s, NS_CGROUP);

	return n != NULL;
}

/* One v1 hierarchy: through a cgroup namespace its root is the container's group; without one that group is bound. */
static enum err_kind plan_hierarchy(const struct mounts *c, const struct mount_op *tmpfs,
				    const struct cgroup_dir *d)
{
	struct mount_op m = { .target = arena_printf(c->p->arena, "%s/%s", tmpfs->target,
						     base_name(d->mount)),
			      .opts = tmpfs->opts,
			      .tree = -1 };
	bool is_named = strncmp(d->controllers, "name=", 5) == 0;
	const char **data = arena_array(c->p->arena, 3, sizeof(*data));

	if (!m.target || !data)
		return plan_no_memory(c->e);
	m.opts.data = (struct texts){ data, 0 };
	m.opts.is_recursive = false;
	if (!has_own_cgroupns(c->s)) {
		struct spec_mount none = { 0 };
		enum err_kind k;

		m.kind = MOUNT_BIND;
		m.source = d->path;
		k = c->o->is_dry_run ? ERR_OK : open_source(c, &none, &m, 0);
		return k == ERR_OK ? add(c, &m) : k;
	}
	m.kind = MOUNT_NEW;
	m.type = m.source = "cgroup";
	if (is_named)
		data[m.opts.data.n++] = "none";
	data[m.opts.data.n++] = d->controllers;
	m.data = joined_data(&m.opts.data, c->p->arena);
	return m.data ? add(c, &m) : plan_no_memory(c->e);
}

/* "cpu" and "cpuacct" lead to "cpu,cpuacct". */
static enum err_kind plan_controller_links(const struct mounts *c, const char *dir,
					   const struct cgroup_dir *d)
{
	struct str rest = str_of(d->controllers), one;

	if (!strchr(d->controllers, ',') || d->is_v2)
		return ERR_OK;
	while (rest.n) {
		const char *link;
		enum err_kind k;

		(void)str_cut(rest, ',', &one, &rest);
		link = arena_printf(c->p->arena, "%s/%.*s", dir, STR_FMT(one));
		if (!link)
			return plan_no_memory(c->e);
		k = plan_put(c->p, STEP(LINK, link, .text = base_name(d->mount)), c->e);
		if (k != ERR_OK)
			return k;
	}
	return ERR_OK;
}

static enum err_kind plan_cgroup_v1(const struct mounts *c, struct mount_op *m)
{
	static const char *const options[] = { "nosuid", "noexec", "nodev", "mode=755" };
	const struct cgroup *cg = c->o->cgroup;
	struct mount_op tmpfs = { .kind = MOUNT_NEW,
				  .target = m->target,
				  .type = "tmpfs",
				  .source = "tmpfs",
				  .data = "mode=755" };
	struct mount_op seal = *m;
	enum err_kind k = add_plain(c, &tmpfs, options, ARRAY_LEN(options));

	for (size_t i = 0; k == ERR_OK && i < cg->n; i++) {
		k = plan_hierarchy(c, m, &cg->dirs[i]);
		if (k == ERR_OK)
			k = plan_controller_links(c, m->target, &cg->dirs[i]);
	}
	if (k != ERR_OK || !(m->opts.set & MOUNT_ATTR_RDONLY))
		return k;
	seal.kind = MOUNT_CHANGE;
	seal.type = seal.source = NULL;
	seal.opts.data.n = 0;
	return add(c, &seal);
}

static enum err_kind plan_cgroup(const struct mounts *c, struct mount_op *m)
{
	if (!c->o->layout->is_unified)
		return plan_cgroup_v1(c, m);
	m->type = m->source = "cgroup2";
	m->kind = MOUNT_NEW;
	m->fallback = "/sys/fs/cgroup";
	m->opts.data.n = 0;
	return add(c, m);
}

/* ---- all ---- */

static enum err_kind plan_filesystem(const struct mounts *c, const struct spec_mount *sm,
				     struct mount_op *m, size_t i)
{
	if (sm->uid_mappings.n || m->opts.is_idmapped)
		return err_set(c->e, ERR_UNSUPPORTED, __func__,
			       "mounts[%zu].uidMappings: only of bind mounts", i);
	if (is_type(m, "cgroup"))
		return plan_cgroup(c, m);
	m->kind = MOUNT_NEW;
	m->wants_directory = is_type(m, "proc") || is_type(m, "sysfs");
	if (is_type(m, "sysfs"))
		m->fallback = "/sys";
	else if (is_type(m, "mqueue"))
		m->fallback = "/dev/mqueue";
	if (m->opts.copies_up && !is_type(m, "tmpfs"))
		return err_set(c->e, ERR_INVALID, __func__,
			       "mounts[%zu].options: tmpcopyup is for tmpfs", i);
	return add(c, m);
}

static enum err_kind plan_one(const struct mounts *c, const struct spec_mount *sm, size_t i)
{
	struct mount_op m = { .type = sm->type, .source = sm->source, .tree = -1 };
	bool is_bind;
	enum err_kind k = mount_opts_parse(&sm->options, c->p->arena, &m.opts, c->e);

	if (k != ERR_OK)
		return err_wrap(c->e, "mounts[%zu].options", i);
	m.target = sm->destination[0] == '/' ? sm->destination
					     : arena_printf(c->p->arena, "/%s", sm->destination);
	m.data = joined_data(&m.opts.data, c->p->arena);
	if (!m.target || !m.data)
		return plan_no_memory(c->e);
	is_bind = m.opts.is_bind || is_type(&m, "bind") || is_type(&m, "rbind");
	if (is_type(&m, "rbind"))
		m.opts.is_recursive = true;
	if (m.opts.is_remount || (!is_bind && !m.type)) {
		m.kind = MOUNT_CHANGE;
		return add(c, &m);
	}
	return is_bind ? plan_bind(c, sm, &m, i) : plan_filesystem(c, sm, &m, i);
}

/* sd_notify(3): the manager's socket, where the container finds it. */
static enum err_kind plan_notify(const struct mounts *c)
{
	struct spec_mount none = { 0 };
	struct mount_op m = { .kind = MOUNT_BIND,
			      .target = "/run/notify/notify.sock",
			      .source = c->o->notify_socket,
			      .tree = -1 };
	enum err_kind k;

	if (!c->o->notify_socket || c->o->notify_socket[0] != '/')
		return ERR_OK; /* an abstract name goes with the network namespace */
	k = open_source(c, &none, &m, 0);
	return k == ERR_OK ? add(c, &m) : err_wrap(c->e, "NOTIFY_SOCKET");
}

enum err_kind plan_mounts(struct plan *p, const struct spec *s, const struct host *h,
			  const struct plan_options *o, struct err *e)
{
	const struct mounts c = { .p = p, .s = s, .h = h, .o = o, .e = e };
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < s->mounts.n; i++)
		k = plan_one(&c, &s->mounts.v[i], i);
	return k == ERR_OK ? plan_notify(&c) : k;
}
