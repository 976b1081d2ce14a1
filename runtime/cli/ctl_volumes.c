/* Volumes of a container that is made, and what becomes of those that nobody but it had. */
#include <linux/openat2.h>
#include <stdlib.h>

#include "runtime/cli/ctl.h"
#include "runtime/container/volumes.h"
#include "runtime/image/copy.h"

/* What the image has where a new volume will be, as docker does it. */
static enum err_kind fill_volume(int root, const char *target, int data, const struct idmaps *ids,
				 struct err *e)
{
	struct tree_options o = {
		.form = TREE_COPY, .in_userns = cli_is_in_userns(), .umask = CLI_UMASK, .ids = ids
	};
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT };
	AUTO_CLOSE from = root < 0 ? -1 : sys_openat2(root, target, &how);

	if (from < 0)
		return ERR_OK; /* the image has no directory there */
	return copy_below(from, data, &o, e);
}

static enum err_kind find_entry(void *arg, const char *name, struct err *e)
{
	bool *any = arg;

	(void)name;
	(void)e;
	*any = true;
	return ERR_OK;
}

static bool has_text(const struct text_list *l, const char *text)
{
	for (size_t i = 0; i < l->n; i++) {
		if (strcmp(l->v[i], text) == 0)
			return true;
	}
	return false;
}

/* In a user namespace one that nobody has used is the process's, who could not write to it otherwise. */
static enum err_kind give_unused(int data, const struct bundle *b, const struct idmaps *ids,
				 struct err *e)
{
	uid_t uid = (uid_t)b->uid;
	gid_t gid = (gid_t)b->gid;
	struct stat s;

	if (!idmaps_are_set(ids) || fstat(data, &s) < 0 || s.st_uid != 0 ||
	    !idmaps_owner_out(ids, &uid, &gid))
		return ERR_OK;
	return sys_fchownat(data, "", uid, gid, AT_EMPTY_PATH) < 0
		   ? err_sys(e, __func__, "give it to the container")
		   : ERR_OK;
}

static enum err_kind make_volumes(int dir, const struct bundle *b, int root,
				  const struct idmaps *ids, struct err *e)
{
	const struct bundle_volumes *v = &b->volumes;
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < v->names.n; i++) {
		AUTO_CLOSE data = -1;
		struct volume_wish wish = { .name = v->names.v[i],
					    .anonymous = has_text(&v->anonymous, v->names.v[i]) };
		bool any = false;

		k = volume_make(dir, &wish, &data, NULL, e);
		if (k == ERR_OK)
			k = fd_list_dir(data, ".", find_entry, &any, e);
		if (k == ERR_OK && !any)
			k = give_unused(data, b, ids, e);
		if (k == ERR_OK && !any && !has_text(&v->kept_empty, wish.name))
			k = fill_volume(root, v->targets.v[i], data, ids, e);
		if (k != ERR_OK)
			return err_wrap(e, "volume %s", wish.name);
	}
	return k;
}

/* What a machine cannot do without is nobody's to give, whoever mistyped a path. */
static enum err_kind check_givable(const char *path, struct err *e)
{
	static const char *const also[] = { "/var/lib", "/var/log", "/usr/bin", "/usr/lib" };
	AUTO_FREE char *real = realpath(path, NULL);
	bool bad;

	if (!real)
		return err_sys(e, __func__, "%s", path);
	bad = strchr(real + 1, '/') == NULL;
	for (size_t i = 0; i < ARRAY_LEN(also); i++)
		bad = bad || strcmp(real, also[i]) == 0;
	return bad ? err_set(e, ERR_DENIED, __func__, "%s is the machine's own: U is not for it",
			     real)
		   : ERR_OK;
}

/* -v ..:U: from now on the files are the process's. */
static enum err_kind give_volumes(const struct bundle *b, const struct idmaps *ids, struct err *e)
{
	const struct text_list *paths = &b->volumes.owned;
	uid_t uid = (uid_t)b->uid;
	gid_t gid = (gid_t)b->gid;
	enum err_kind k = ERR_OK;

	if (!idmaps_owner_out(ids, &uid, &gid))
		return err_set(e, ERR_BUG, __func__, "a process that the map does not have");
	for (size_t i = 0; k == ERR_OK && i < paths->n; i++) {
		k = check_givable(paths->v[i], e);
		if (k == ERR_OK)
			k = volume_give(paths->v[i], uid, gid, e);
	}
	return k;
}

enum err_kind ctl_make_volumes(struct ctl *t, const struct bundle *b, int root,
			       const struct idmaps *ids, int *ret_guard, struct err *e)
{
	AUTO_CLOSE dir = -1;
	enum err_kind k = ERR_OK;

	if (b->volumes.names.n) {
		k = volumes_open(&t->cs, &dir, e);
		if (k == ERR_OK)
			k = volumes_guard(dir, false, ret_guard, e);
		if (k == ERR_OK)
			k = make_volumes(dir, b, root, ids, e);
	}
	return k == ERR_OK ? give_volumes(b, ids, e) : k;
}

enum err_kind ctl_drop_volumes(struct ctl *t, const struct text_list *names, struct err *e)
{
	AUTO_CLOSE dir = -1;
	AUTO_CLOSE guard = -1;
	enum err_kind k;

	if (names->n == 0)
		return ERR_OK;
	k = volumes_open(&t->cs, &dir, e);
	if (k == ERR_OK)
		k = volumes_guard(dir, true, &guard, e);
	for (size_t i = 0; k == ERR_OK && i < names->n; i++) {
		k = volume_remove(&t->cs, dir, names->v[i], e);
		if (k == ERR_IN_USE || k == ERR_NOT_FOUND)
			k = ERR_OK;
	}
	return k;
}
