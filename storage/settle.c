#include "base/sys.h"
#include "storage/blob.h"
#include "storage/store_impl.h"

/* What is done with each manifest between the settled mark and the index's. */
struct settling {
	struct store *st;
	bool verify; /* files may be whole already: write only those that are not */
	uint64_t written;
};

static enum err_kind write_again(struct settling *s, const struct digest *d, struct str bytes,
				 struct err *e)
{
	bool whole = false;
	enum err_kind k = s->verify ? blob_holds(s->st, d, bytes, &whole, e) : ERR_OK;

	if (k == ERR_OK && !whole) {
		k = blob_rewrite(s->st, d, bytes, s->verify ? PUBLISH_LATER : PUBLISH_SYNCED, e);
		s->written += k == ERR_OK;
	}
	return k;
}

/* A manifest that is deleted and collected meanwhile has no bytes left; one kept in its file only was synced at once. */
static enum err_kind settle_record(void *arg, const struct reflog_record *r, struct err *e)
{
	struct settling *s = arg;
	AUTO_FREE char *bytes = NULL;
	struct object_row object;
	enum err_kind k;

	if (r->kind != CHANGE_MANIFEST_PUT)
		return ERR_OK;
	k = index_object_find(s->st->index, &r->digest, &object, &bytes, e);
	if (k != ERR_OK || !bytes)
		return k == ERR_NOT_FOUND ? ERR_OK : k;
	return write_again(s, &r->digest, (struct str){ bytes, (size_t)object.size_bytes }, e);
}

static enum err_kind commit_settled(struct store *st, const struct reflog_mark *mark, struct err *e)
{
	struct change c = { .kind = CHANGE_SETTLE, .settled = *mark };

	return commit_change(st->committer, &c, e);
}

enum err_kind store_settle(struct store *st, struct err *e)
{
	struct settling s = { .st = st };
	struct reflog_mark settled, mark;
	enum err_kind k;

	if (!st->unsettled)
		return ERR_OK;
	st->unsettled = false; /* first: a put from here on sets it again */
	k = index_settled_read(st->index, &settled, e);
	if (k == ERR_OK)
		k = index_mark_read(st->index, &mark, e);
	if (k == ERR_OK && sys_syncfs(st->root_fd) < 0) /* some file failed, perhaps one of ours */
		k = reflog_read(st->reflog_fd, &settled, mark.seq, settle_record, &s, e);
	if (k == ERR_OK)
		k = commit_settled(st, &mark, e);
	if (k != ERR_OK)
		st->unsettled = true;
	return k;
}

enum err_kind store_restore_files(struct store *st, uint64_t *ret, struct err *e)
{
	struct settling s = { .st = st, .verify = true };
	struct reflog_mark settled, mark;
	enum err_kind k = index_settled_read(st->index, &settled, e);

	if (k == ERR_OK)
		k = index_mark_read(st->index, &mark, e);
	if (k == ERR_OK && settled.seq < mark.seq)
		k = reflog_read(st->reflog_fd, &settled, mark.seq, settle_record, &s, e);
	if (k != ERR_OK)
		return k;
	st->unsettled = settled.seq < mark.seq; /* whole in memory is not yet on disk */
	*ret = s.written;
	return ERR_OK;
}
