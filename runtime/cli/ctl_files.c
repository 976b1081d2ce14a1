/* The files of a container, as it sees them. */
#include <stdlib.h>
#include <time.h>

#include "runtime/cli/ctl.h"
#include "runtime/container/idmount.h"
#include "runtime/container/overlay.h"
#include "runtime/image/tree.h"

#define VOLUMES_TEXT_MAX (1u << 20)
#define PROC_ROOT_MAX sizeof("/proc/-2147483648/root")

/* What the descriptor leads to is the process's as long as it is the same process afterwards. */
static enum err_kind open_running(const struct container *c, const struct status *now, int *ret,
				  struct err *e)
{
	char path[PROC_ROOT_MAX];
	uint64_t started;

	(void)snprintf(path, sizeof(path), "/proc/%d/root", now->pid);
	*ret = sys_openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (*ret < 0)
		return err_sys(e, __func__, "open the files of container %s", c->record.name);
	if (process_started(now->pid, &started) && started == now->pid_started)
		return ERR_OK;
	fd_close(ret);
	return err_set(e, ERR_IN_USE, __func__, "container %s has just ended: try again",
		       c->record.name);
}

static enum err_kind mount_stopped(struct ctl *t, const struct container *c, int *ret,
				   struct err *e)
{
	AUTO_IMAGES *im = NULL;
	AUTO_LAYER_LIST layers = { 0 };
	enum err_kind k = images_open(t->cs.root, &im, e);

	if (k == ERR_OK)
		k = ctl_layers(im, &c->record, &layers, e);
	return k == ERR_OK ? overlay_mount(&(struct overlay){ .lowers = layers.fds,
							      .n_lowers = layers.n,
							      .dir = c->dir,
							      .ids = &c->record.ids,
							      .driver = c->record.overlay,
							      .in_userns = c->record.in_userns },
					   ret, e)
			   : k;
}

/* --- Volumes of one that does not run --- */

struct volume_mount {
	const char *source, *to;
	bool is_read_only, is_mapped, has_below;
};

static bool has_option(const struct jv *options, const char *name)
{
	struct str s;

	for (size_t i = 0; i < jv_count(options); i++) {
		if (jv_text(jv_at(options, i), &s) && str_eq(s, str_of(name)))
			return true;
	}
	return false;
}

/* Only what is kept somewhere: nothing is in a tmpfs. */
static bool take_mount(struct arena *a, const struct jv *v, struct volume_mount *ret)
{
	const struct jv *options = jv_member(v, "options");
	bool binds_all = has_option(options, "rbind");
	struct str source, to;

	if ((!binds_all && !has_option(options, "bind")) ||
	    !jv_text(jv_member(v, "source"), &source) || !jv_text(jv_member(v, "destination"), &to))
		return false;
	*ret = (struct volume_mount){ .source = arena_text(a, source),
				      .to = arena_text(a, to),
				      .is_read_only =
					  has_option(options, "ro") || has_option(options, "rro"),
				      .is_mapped = has_option(options, "idmap"),
				      .has_below = binds_all };
	return ret->source && ret->to;
}

static int open_target(int root, const char *to)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };

	return sys_openat2(root, to, &how);
}

/* As the runtime would at the start. */
static enum err_kind make_target(int root, const struct container *c, const char *to, int *ret,
				 struct err *e)
{
	AUTO_TREE *tree = NULL;
	struct tree_options o = { .form = TREE_COPY,
				  .in_userns = c->record.in_userns,
				  .umask = CLI_UMASK,
				  .ids = &c->record.ids };
	struct tree_stats ignored;
	AUTO_FREE struct member *m = calloc(1, sizeof(*m));
	int no_data = -1;
	enum err_kind k;

	if (!m)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a directory");
	*m = (struct member){ .kind = MEMBER_DIR, .mode = 0755 };
	(void)clock_gettime(CLOCK_REALTIME, &m->mtime);
	m->atime = m->mtime;
	k = member_path(str_of(to), m->path, &m->path_n, e);
	if (k == ERR_OK)
		k = tree_open(root, &o, &tree, e);
	if (k == ERR_OK)
		k = tree_put(tree, m, &no_data, e);
	if (k == ERR_OK)
		k = tree_finish(tree, &ignored, e);
	if (k == ERR_OK && (*ret = open_target(root, to)) < 0)
		k = err_sys(e, __func__, "%s", to);
	return k;
}

static enum err_kind map_volume(const struct container *c, int mount, struct err *e)
{
	AUTO_CLOSE userns = -1;
	enum err_kind k = idmount_userns(&c->record.ids, &userns, e);

	return k == ERR_OK ? idmount_map(mount, userns, e) : k;
}

static enum err_kind attach_volume(const struct container *c, int root,
				   const struct volume_mount *v, struct err *e)
{
	AUTO_CLOSE mount = -1;
	AUTO_CLOSE target = open_target(root, v->to);
	struct stat s;
	enum err_kind k = idmount_clone(AT_FDCWD, v->source, v->has_below, &mount, e);

	if (k == ERR_OK && target < 0) {
		if (fstat(mount, &s) < 0 || !S_ISDIR(s.st_mode))
			return ERR_OK; /* a file that nobody can name yet */
		k = make_target(root, c, v->to, &target, e);
	}
	if (k == ERR_OK && v->is_mapped && idmaps_are_set(&c->record.ids))
		k = map_volume(c, mount, e);
	if (k == ERR_OK && v->is_read_only)
		k = idmount_read_only(mount, v->has_below, e);
	return k == ERR_OK ? idmount_attach(mount, target, e) : k;
}

static enum err_kind attach_volumes(const struct container *c, int root, struct err *e)
{
	AUTO_JV *config = NULL;
	AUTO_ARENA a;
	const struct jv *list;
	struct volume_mount v;
	enum err_kind k = ctl_read_json(c, "config.json", &config, e);

	arena_init(&a, VOLUMES_TEXT_MAX);
	list = jv_member(config, "mounts");
	for (size_t i = 0; k == ERR_OK && i < jv_count(list); i++) {
		if (take_mount(&a, jv_at(list, i), &v))
			k = attach_volume(c, root, &v, e);
	}
	return k;
}

/* Mounts on it can only be made where it is a part of our mount namespace. */
static enum err_kind open_stopped(struct ctl *t, const struct container *c, int *ret, struct err *e)
{
	AUTO_CLOSE root = -1;
	AUTO_CLOSE place = -1;
	const char *path =
	    arena_printf(&t->c->arena, "%s/containers/%s/rootfs", t->cs.root, c->record.id);
	enum err_kind k = *c->record.rootfs ? ERR_OK : mount_stopped(t, c, &root, e);

	if (k == ERR_OK)
		k = idmount_enter(e);
	if (k == ERR_OK && *c->record.rootfs)
		k = idmount_clone(AT_FDCWD, c->record.rootfs, true, &root, e);
	if (k != ERR_OK)
		return k;
	place = path ? sys_openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0) : -1;
	if (place < 0)
		return err_sys(e, __func__, "open the root of container %s", c->record.name);
	k = idmount_attach(root, place, e);
	if (k == ERR_OK)
		k = attach_volumes(c, root, e);
	if (k == ERR_OK)
		*ret = TAKE_FD(root);
	return k;
}

enum err_kind ctl_files(struct ctl *t, struct container *c, const struct status *now, int *ret,
			struct err *e)
{
	return now->pid ? open_running(c, now, ret, e) : open_stopped(t, c, ret, e);
}
