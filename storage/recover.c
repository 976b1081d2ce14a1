#include <errno.h>

#include "base/fd.h"
#include "storage/blob.h"
#include "storage/store_impl.h"
#include "storage/upload.h"

/* A row without its file, after a power cut or a commit that the unlink outran, is removed when it has idled. */
static enum err_kind keeps_session(struct store *st, const struct upload_id *id, bool *ret,
				   struct err *e)
{
	struct upload_row row;
	enum err_kind k = index_upload_find(st->index, id, &row, e);

	*ret = k == ERR_OK;
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

/*
 * The content is known, so its file may be the one that the session would go on writing to: it ends.  It is still there
 * if the content was known before, and this push of it was not committed.
 */
static enum err_kind end_session(struct store *st, const struct upload_id *id, struct err *e)
{
	bool open;
	enum err_kind k = keeps_session(st, id, &open, e);

	return k == ERR_OK && open ? upload_forget(st, id, e) : k;
}

/*
 * A file that was on its way into blobs/.  The index tells how far it got: known, then only this name is left to remove;
 * not known, then nobody was told of the blob, and its session, if it has one, goes on.
 */
static enum err_kind settle_pending(struct store *st, const char *name, const struct digest *d,
				    const struct upload_id *id, bool *ret_kept, struct err *e)
{
	char open_name[UPLOAD_ID_TEXT_MAX];
	struct object_row object;
	enum err_kind k = index_object_find(st->index, d, &object, NULL, e);

	*ret_kept = false;
	if (k == ERR_OK)
		return end_session(st, id, e);
	if (k == ERR_NOT_FOUND) {
		k = blob_discard(st, d, e);
		if (k == ERR_OK)
			k = keeps_session(st, id, ret_kept, e);
	}
	if (k != ERR_OK || !*ret_kept)
		return k;
	if (sys_fchmodat(st->uploads_fd, name, 0600, 0) < 0 ||
	    sys_renameat(st->uploads_fd, name, st->uploads_fd, upload_id_text(id, open_name)) < 0)
		return err_sys(e, __func__, "rename uploads/%.60s", name);
	return ERR_OK;
}

struct recovering {
	struct store *st;
	struct store_recovery found;
};

static enum err_kind discard_file(struct recovering *r, const char *name, struct err *e)
{
	r->found.discarded++;
	if (sys_unlinkat(r->st->uploads_fd, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, __func__, "remove uploads/%.60s", name);
	return ERR_OK;
}

/* Files that go on as a session's are counted when they are met under that name. */
static enum err_kind recover_pending(void *arg, const char *name, struct err *e)
{
	struct recovering *r = arg;
	struct digest d;
	struct upload_id id;
	bool kept;
	enum err_kind k;

	if (!blob_pending_parse(str_of(name), &d, &id))
		return ERR_OK;
	k = settle_pending(r->st, name, &d, &id, &kept, e);
	return k == ERR_OK && !kept ? discard_file(r, name, e) : k;
}

static enum err_kind recover_session(void *arg, const char *name, struct err *e)
{
	struct recovering *r = arg;
	struct upload_id id;
	bool kept;
	enum err_kind k;

	if (!upload_id_parse(&id, str_of(name)))
		return ERR_OK; /* not ours: let be */
	k = keeps_session(r->st, &id, &kept, e);
	if (k != ERR_OK)
		return k;
	r->found.resumable += kept;
	return kept ? ERR_OK : discard_file(r, name, e);
}

/* Content that was collected, whose file this or an earlier process did not get to. */
static enum err_kind finish_doomed(struct store *st, uint64_t *ret_discarded, struct err *e)
{
	struct digest d;
	size_t n;
	enum err_kind k;

	while ((k = index_doomed_page(st->index, NULL, 1, &d, &n, e)) == ERR_OK && n) {
		struct change c = store_change(st, CHANGE_PURGED, &(struct repo_name){ 0 });
		struct object_row object;

		c.digest = d;
		k = index_object_find(st->index, &d, &object, NULL, e);
		if (k == ERR_NOT_FOUND) { /* and not pushed again since */
			k = blob_discard(st, &d, e);
			*ret_discarded += 1;
		}
		if (k == ERR_OK)
			k = commit_change(st->committer, &c, e);
		if (k != ERR_OK)
			return k;
	}
	return k;
}

/* Twice, because a file that is renamed while the directory is read may be met again under its new name. */
enum err_kind store_recover(struct store *st, struct store_recovery *ret, struct err *e)
{
	struct recovering r = { .st = st };
	enum err_kind k = finish_doomed(st, &r.found.discarded, e);

	if (k == ERR_OK)
		k = fd_list_dir(st->uploads_fd, ".", recover_pending, &r, e);
	if (k == ERR_OK)
		k = fd_list_dir(st->uploads_fd, ".", recover_session, &r, e);
	if (k == ERR_OK)
		k = store_restore_files(st, &r.found.rewritten, e);
	*ret = r.found;
	return k;
}
