#include "runtime/image/copy.h"

static enum err_kind put_member(void *arg, const struct member *m, struct err *e)
{
	struct copy_into *to = arg;

	to->at = 0;
	return tree_put(to->tree, m, &to->fd, e);
}

static enum err_kind put_data(void *arg, const void *p, size_t n, struct err *e)
{
	struct copy_into *to = arg;
	enum err_kind k = fd_pwrite_all(to->fd, p, n, to->at, "the copy", e);

	to->at += n;
	return k;
}

static enum err_kind put_end(void *arg, const struct member *m, struct err *e)
{
	struct copy_into *to = arg;

	return tree_file_end(to->tree, m, &to->fd, e);
}

struct pack_sink copy_sink(struct copy_into *into)
{
	return (struct pack_sink){
		.member = put_member, .data = put_data, .end = put_end, .arg = into
	};
}

static enum err_kind take_directory(int from, int to, const struct idmaps *ids, struct err *e)
{
	struct stat s;

	if (fstat(from, &s) < 0)
		return err_sys(e, __func__, "owner and mode of a copy");
	if (!idmaps_owner_out(ids, &s.st_uid, &s.st_gid))
		return err_set(e, ERR_DENIED, __func__,
			       "owner %u:%u is not in the container's map of ids", s.st_uid,
			       s.st_gid);
	if (sys_fchownat(to, "", s.st_uid, s.st_gid, AT_EMPTY_PATH) < 0 ||
	    sys_fchmod(to, s.st_mode & 07777) < 0)
		return err_sys(e, __func__, "owner and mode of a copy");
	return ERR_OK;
}

enum err_kind copy_below(int from, int to, const struct tree_options *o, struct err *e)
{
	AUTO_TREE *tree = NULL;
	struct pack_options all = { .form = PACK_FILES, .in_userns = o->in_userns };
	struct copy_into into = { .fd = -1 };
	struct pack_sink sink = copy_sink(&into);
	struct tree_stats ignored = { 0 };
	enum err_kind k = take_directory(from, to, o->ids, e);

	if (k == ERR_OK)
		k = tree_open(to, o, &tree, e);
	into.tree = tree;
	if (k == ERR_OK)
		k = pack_below(from, "", &all, &sink, e);
	if (k == ERR_OK)
		k = tree_finish(tree, &ignored, e);
	fd_close(&into.fd);
	return k;
}
