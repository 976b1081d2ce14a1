#include "storage/trash.h"

#include <errno.h>

#include "base/fd.h"
#include "base/step.h"
#include "storage/blob.h"
#include "storage/repo.h"
#include "storage/store_impl.h"

#define DEPTH_MAX 32 /* of indexes within indexes */
#define BATCH_MAX 256
#define TRIES_MAX 16 /* of tags that clients take one after another */

enum err_kind trash_expire(struct store *st, uint64_t before_ms, size_t n, size_t *ret,
			   struct err *e)
{
	AUTO_FREE struct change *changes = calloc(BATCH_MAX, sizeof(*changes));
	enum err_kind kinds[BATCH_MAX], k = ERR_OK;
	size_t found = 0;
	uint64_t id = 0;

	*ret = 0;
	if (!changes)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the trash");
	while (found < MIN(n, (size_t)BATCH_MAX)) {
		AUTO_TRASH_ITEM item = { 0 };

		k = index_trash_next(st->index, id, &item, e);
		if (k != ERR_OK || item.row.at_ms >= before_ms)
			break;
		changes[found] = store_change(st, CHANGE_TRASH_DROP, &item.row.repo);
		changes[found++].trash_id = item.row.id;
		id = item.row.id + 1;
	}
	if (k != ERR_OK && k != ERR_NOT_FOUND)
		return k;
	if (found == 0)
		return ERR_OK;
	*ret = found;
	return commit_changes(st->committer, changes, found, kinds, e);
}

struct expiring {
	int dir_fd;
	uint64_t before_ms;
};

static enum err_kind expire_file(void *arg, const char *name, struct err *e)
{
	const struct expiring *x = arg;
	struct stat s;

	if (fstatat(x->dir_fd, name, &s, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(s.st_mode) ||
	    (uint64_t)s.st_ctim.tv_sec * 1000 >= x->before_ms)
		return ERR_OK;
	if (sys_unlinkat(x->dir_fd, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, __func__, "remove trash/%.100s", name);
	return ERR_OK;
}

enum err_kind trash_expire_files(struct store *st, uint64_t before_ms, struct err *e)
{
	AUTO_CLOSE fd = -1;
	struct expiring x = { .before_ms = before_ms };
	enum err_kind k = fd_open_at(st->root_fd, "trash", O_RDONLY | O_DIRECTORY, 0, &fd, e);

	x.dir_fd = fd;
	return k == ERR_OK ? fd_list_dir(fd, ".", expire_file, &x, e) : k;
}

/* --- restoring --- */

struct restoring {
	struct store *st;
	const struct change_guard *guard;
	unsigned depth;
};

static enum err_kind restore(struct restoring *r, uint64_t id, struct err *e);

/* What it held has a place again; so it does no harm if it expired meanwhile. */
static enum err_kind drop_row(struct store *st, const struct trash_row *row, struct err *e)
{
	struct change c = store_change(st, CHANGE_TRASH_DROP, &row->repo);
	enum err_kind k;

	c.trash_id = row->id;
	k = commit_change(st->committer, &c, e);
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

/* The repository has the blob again, if its content is still there. */
static enum err_kind link_again(struct restoring *r, const struct repo_name *repo,
				const struct digest *d, struct err *e)
{
	struct change c = store_change(r->st, CHANGE_BLOB_MOUNT, repo);
	struct blob_info linked;
	enum err_kind k = index_blob_find(r->st->index, repo, d, &linked, e);

	if (k != ERR_NOT_FOUND)
		return k;
	c.guard = r->guard;
	c.digest = *d;
	c.from_trash = true;
	k = commit_change(r->st->committer, &c, e);
	return k == ERR_NOT_FOUND
		   ? err_set(e, k, __func__, "the content of a blob in %s is gone", repo->s)
		   : k;
}

/* A child of an index that went to the trash comes back with it. */
static enum err_kind child_again(struct restoring *r, const struct repo_name *repo,
				 const struct digest *d, struct err *e)
{
	struct manifest_info there = { .bytes = NULL };
	uint64_t id;
	enum err_kind k = index_manifest_find(r->st->index, repo, NULL, d, &there, e);

	free(there.bytes);
	if (k != ERR_NOT_FOUND)
		return k;
	k = index_trash_find(r->st->index, repo, d, &id, e);
	if (k == ERR_OK)
		return restore(r, id, e);
	return k == ERR_NOT_FOUND ? ERR_OK : k; /* it was absent before as well */
}

static enum err_kind refs_again(struct restoring *r, const struct trash_item *item, struct err *e)
{
	struct str rest = { item->refs.p, item->refs.n };
	struct manifest_ref ref;
	enum err_kind k = ERR_OK;

	while (k == ERR_OK && refs_next(&rest, &ref)) {
		k = ref.kind == REF_CHILD ? child_again(r, &item->row.repo, &ref.digest, e)
					  : link_again(r, &item->row.repo, &ref.digest, e);
		if (k == ERR_NOT_FOUND)
			k = ERR_OK; /* absent before as well, or the put below says so */
	}
	return k;
}

/* Those of its tags that nothing else has taken; the caller frees. */
static enum err_kind free_tags(struct store *st, const struct trash_item *item,
			       struct tag_name **ret, size_t *ret_n, struct err *e)
{
	struct str rest = { item->tags.p, item->tags.n };
	struct tag_name *tags = calloc(item->tags.n / 2 + 1, sizeof(*tags));
	size_t n = 0;

	if (!tags)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for tags");
	while (tag_next(&rest, &tags[n])) {
		struct manifest_info there = { .bytes = NULL };
		enum err_kind k =
		    index_manifest_find(st->index, &item->row.repo, &tags[n], NULL, &there, e);

		free(there.bytes);
		if (k == ERR_NOT_FOUND) {
			n++;
		} else if (k != ERR_OK) {
			free(tags);
			return k;
		}
	}
	*ret = tags;
	*ret_n = n;
	return ERR_OK;
}

/* ERR_NOT_FOUND if the row has expired meanwhile, and the content went. */
static enum err_kind read_again(struct store *st, const struct trash_row *row, struct sbuf *ret,
				struct err *e)
{
	struct object_row object;
	struct err gone;
	enum err_kind k = blob_read(st, &row->digest, row->size_bytes, ret, e);

	if (k == ERR_CORRUPT &&
	    index_object_find(st->index, &row->digest, &object, NULL, &gone) == ERR_NOT_FOUND)
		return err_set(e, ERR_NOT_FOUND, __func__, "the manifest in %s is gone",
			       row->repo.s);
	return k;
}

/* What was absent when the manifest was accepted may still be. */
static void allow_absent(struct manifest *m, struct str refs)
{
	struct manifest_ref ref;

	for (size_t i = 0; i < m->n_refs && refs_next(&refs, &ref); i++)
		m->refs[i].may_be_absent = m->refs[i].may_be_absent || ref.was_absent;
}

/* A child may be deleted by itself.  A tag's row does not tell what was absent: it is put as a client would put it. */
static enum sparse sparse_of(const struct store *st, const struct trash_row *row)
{
	return row->kind == TRASH_TAG && st->options.sparse == SPARSE_ALL ? SPARSE_ALL
									  : SPARSE_INDEX;
}

/* Like a push: while its content is being collected it waits, and then places a file of its own. */
static enum err_kind put_again(struct restoring *r, const struct trash_item *item,
			       const struct tag_name *tags, size_t n_tags, struct err *e)
{
	struct store *st = r->st;
	const struct trash_row *row = &item->row;
	AUTO_SBUF body = { .max = SBUF_MAX };
	AUTO_MANIFEST m = { 0 };
	struct change c = store_change(st, CHANGE_MANIFEST_PUT, &row->repo);
	enum err_kind k = read_again(st, row, &body, e);

	if (k == ERR_OK)
		k = manifest_parse((struct str){ body.p, body.n }, str_of(row->media_type),
				   &row->digest, st->options.json_depth_max, &m, e);
	STEP("restore.bytes");
	if (k != ERR_OK)
		return k;
	c.guard = r->guard;
	allow_absent(&m, (struct str){ item->refs.p, item->refs.n });
	c.digest = row->digest;
	c.manifest = &m;
	c.bytes = (struct str){ body.p, body.n };
	c.from_trash = true;
	c.sparse = sparse_of(st, row);
	c.tags = tags;
	c.n_tags = n_tags;
	k = store_put_manifest(st, &c, e);
	STEP("restore.put");
	free(c.missing);
	return k == ERR_REFS ? err_set(e, ERR_NOT_FOUND, __func__,
				       "what the manifest in %s refers to is gone", row->repo.s)
			     : k;
}

static enum err_kind tag_taken(struct err *e)
{
	return err_set(e, ERR_EXISTS, "trash_restore", "the tag points to something else by now");
}

/* With those of its tags that are free; again if one was taken between the look and the put. */
static enum err_kind put_with_tags(struct restoring *r, const struct trash_item *item,
				   bool need_tag, struct err *e)
{
	enum err_kind k = ERR_IN_USE;

	for (unsigned i = 0; i < TRIES_MAX && k == ERR_IN_USE; i++) {
		AUTO_FREE struct tag_name *tags = NULL;
		size_t n_tags = 0;

		k = free_tags(r->st, item, &tags, &n_tags, e);
		if (k == ERR_OK && need_tag && n_tags == 0)
			return tag_taken(e);
		if (k == ERR_OK)
			k = put_again(r, item, tags, n_tags, e);
	}
	return k;
}

static enum err_kind restore_manifest(struct restoring *r, const struct trash_item *item,
				      struct err *e)
{
	enum err_kind k = refs_again(r, item, e);

	STEP("restore.linked");
	return k == ERR_OK ? put_with_tags(r, item, false, e) : k;
}

/* The manifest may have gone to the trash after its tag. */
static enum err_kind restore_tag(struct restoring *r, const struct trash_item *item, struct err *e)
{
	AUTO_FREE struct tag_name *tags = NULL;
	struct trash_item manifest = *item; /* borrows */
	struct manifest_info there = { .bytes = NULL };
	size_t n_tags = 0;
	enum err_kind k = free_tags(r->st, item, &tags, &n_tags, e);

	if (k == ERR_OK && n_tags == 0)
		return tag_taken(e);
	if (k == ERR_OK)
		k = child_again(r, &item->row.repo, &item->row.digest, e);
	if (k == ERR_OK)
		k = index_manifest_find(r->st->index, &item->row.repo, NULL, &item->row.digest,
					&there, e);
	free(there.bytes);
	if (k != ERR_OK)
		return k;
	manifest.row.size_bytes = there.size_bytes;
	memcpy(manifest.row.media_type, there.media_type, sizeof(manifest.row.media_type));
	return put_with_tags(r, &manifest, true, e);
}

static enum err_kind restore(struct restoring *r, uint64_t id, struct err *e)
{
	AUTO_TRASH_ITEM item = { 0 };
	enum err_kind k = index_trash_next(r->st->index, id, &item, e);

	STEP("restore.read");
	if (k == ERR_NOT_FOUND || (k == ERR_OK && item.row.id != id))
		return err_set(e, ERR_NOT_FOUND, __func__, "nothing in the trash has number %llu",
			       (unsigned long long)id);
	if (k != ERR_OK)
		return k;
	if (r->depth == DEPTH_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "indexes are nested too deeply");
	r->depth++;
	if (item.row.kind == TRASH_BLOB)
		k = link_again(r, &item.row.repo, &item.row.digest, e);
	else if (item.row.kind == TRASH_TAG)
		k = restore_tag(r, &item, e);
	else
		k = restore_manifest(r, &item, e);
	r->depth--;
	return k == ERR_OK ? drop_row(r->st, &item.row, e) : k;
}

enum err_kind trash_restore(struct store *st, uint64_t id, const struct change_guard *guard,
			    struct err *e)
{
	struct restoring r = { .st = st, .guard = guard };

	return restore(&r, id, e);
}
