#include "storage/newindex.h"

#include <errno.h>

#include "base/fd.h"
#include "storage/store_impl.h"

#define NEW "index.new"
#define OLD "index.old"

static enum err_kind remove_file(void *arg, const char *name, struct err *e)
{
	const int *dir_fd = arg;

	if (sys_unlinkat(*dir_fd, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, __func__, "remove %s of an index", name);
	return ERR_OK;
}

/* The directory and the files of an index in it, if it is there. */
static enum err_kind remove_index(struct store *st, const char *name, struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k = fd_open_at(st->root_fd, name, O_RDONLY | O_DIRECTORY, 0, &fd, e);

	if (k == ERR_NOT_FOUND)
		return ERR_OK;
	if (k == ERR_OK)
		k = fd_list_dir(fd, ".", remove_file, &fd, e);
	if (k == ERR_OK && sys_unlinkat(st->root_fd, name, AT_REMOVEDIR) < 0)
		return err_sys(e, __func__, "remove %s", name);
	return k;
}

enum err_kind newindex_begin(struct store *st, char **ret_path, struct err *e)
{
	enum err_kind k = remove_index(st, NEW, e);

	if (k == ERR_OK)
		k = fd_mkdir_at(st->root_fd, NEW, 0750, e);
	if (k == ERR_OK && asprintf(ret_path, "%s/" NEW, st->options.root) < 0) {
		*ret_path = NULL;
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory for a path");
	}
	return k;
}

/* In one step, where there is something to exchange it with. */
static enum err_kind exchange(struct store *st, bool *ret_had_old, struct err *e)
{
	*ret_had_old = true;
	if (sys_renameat2(st->root_fd, NEW, st->root_fd, "index", RENAME_EXCHANGE) == 0)
		return ERR_OK;
	*ret_had_old = false;
	if (errno != ENOENT)
		return err_sys(e, __func__, "put the new index in its place");
	if (sys_renameat(st->root_fd, NEW, st->root_fd, "index") < 0)
		return err_sys(e, __func__, "put the new index in its place");
	return ERR_OK;
}

enum err_kind newindex_install(struct store *st, bool keep, struct err *e)
{
	bool had_old;
	enum err_kind k = fd_sync_dir(st->root_fd, NEW, e);

	if (k == ERR_OK)
		k = exchange(st, &had_old, e);
	if (k == ERR_OK)
		k = fd_sync_dir(st->root_fd, ".", e);
	if (k != ERR_OK || !had_old)
		return k;
	if (!keep)
		return remove_index(st, NEW, e);
	k = remove_index(st, OLD, e);
	if (k == ERR_OK && sys_renameat(st->root_fd, NEW, st->root_fd, OLD) < 0)
		return err_sys(e, __func__, "keep the old index");
	return k == ERR_OK ? fd_sync_dir(st->root_fd, ".", e) : k;
}
