#include "storage/backup.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "storage/blob.h"
#include "storage/follow.h"
#include "storage/newindex.h"
#include "storage/store_impl.h"

#define PAGE 256
#define COPY_BYTES (1024u * 1024)

struct backup {
	struct store *from, *to;
	struct index *index; /* of the copy */
	backup_damage_fn *fn;
	void *arg;
	struct backup_result result;
};

/* --- files --- */

/* What is copied but not under its name yet: a name that the next start of the copy as a store would clean up. */
struct fresh {
	int fd;
	char name[UPLOAD_ID_TEXT_MAX];
};

static enum err_kind fresh_open(struct backup *b, struct fresh *ret, struct err *e)
{
	struct upload_id id;

	upload_id_new(&id);
	upload_id_text(&id, ret->name);
	return fd_open_at(b->to->uploads_fd, ret->name, O_WRONLY | O_CREAT | O_EXCL, 0600, &ret->fd,
			  e);
}

/* Gives it its name, or, after a failure, takes it away. */
static enum err_kind fresh_end(struct backup *b, struct fresh *f, enum err_kind k, mode_t mode,
			       int dir_fd, const char *name, struct err *e)
{
	if (k == ERR_OK && sys_fchmod(f->fd, mode) < 0)
		k = err_sys(e, __func__, "set the mode of %s", name);
	if (k == ERR_OK && sys_renameat(b->to->uploads_fd, f->name, dir_fd, name) < 0)
		k = err_sys(e, __func__, "name %s", name);
	if (k != ERR_OK)
		(void)sys_unlinkat(b->to->uploads_fd, f->name, 0);
	fd_close(&f->fd);
	return k;
}

/* The first n bytes. */
static enum err_kind copy_bytes(int from, int to, uint64_t n, struct err *e)
{
	AUTO_FREE char *buf = malloc(COPY_BYTES);
	uint64_t at = 0;
	enum err_kind k = ERR_OK;

	if (!buf)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to copy");
	while (at < n && k == ERR_OK) {
		size_t piece = (size_t)MIN(n - at, (uint64_t)COPY_BYTES);

		k = fd_pread_exact(from, buf, piece, at, "what is copied", e);
		if (k == ERR_OK)
			k = fd_write_all(to, buf, piece, "the copy", e);
		at += piece;
	}
	return k;
}

/* D3 */
static enum err_kind copy_blob(struct backup *b, const struct object_item *o, int from,
			       struct err *e)
{
	struct fresh f = { .fd = -1 };
	char path[BLOB_PATH_MAX];
	int to_dir = b->to->blobs_fd[o->digest.alg];
	bool cloned;
	enum err_kind k = fresh_open(b, &f, e);

	if (k != ERR_OK)
		return k;
	blob_path(&o->digest, path);
	cloned = ioctl(f.fd, FICLONE, from) == 0;
	if (!cloned && sys_linkat(b->from->blobs_fd[o->digest.alg], path, to_dir, path, 0) == 0) {
		b->result.linked++;
		(void)sys_unlinkat(b->to->uploads_fd, f.name, 0);
		fd_close(&f.fd);
		return ERR_OK;
	}
	if (!cloned) {
		k = copy_bytes(from, f.fd, o->row.size_bytes, e);
		b->result.copied++;
		b->result.copied_bytes += o->row.size_bytes;
	}
	b->result.cloned += cloned;
	return fresh_end(b, &f, k, 0444, to_dir, path, e);
}

static enum err_kind tell(struct backup *b, const struct object_item *o, struct err *e)
{
	b->result.damaged++;
	return b->fn(b->arg, &o->digest, o->row.size_bytes)
		   ? ERR_OK
		   : err_set(e, ERR_IN_USE, __func__, "the copy was stopped");
}

static enum err_kind mark(struct backup *b, struct index *ix, const struct digest *d,
			  bool is_damaged, struct err *e)
{
	struct change c = store_change(b->from, CHANGE_DAMAGE, &(struct repo_name){ 0 });
	AUTO_INDEX_TXN *t = NULL;
	enum err_kind k = index_begin(ix, &t, e);

	c.digest = *d;
	c.is_damaged = is_damaged;
	if (k == ERR_OK)
		k = index_apply(t, &c, e);
	return k == ERR_OK ? index_commit(&t, e) : k;
}

/* The copy says what it does not have. */
static enum err_kind leave_out(struct backup *b, const struct object_item *o, struct err *e)
{
	enum err_kind k = tell(b, o, e);

	return k == ERR_OK && !o->row.damaged_ms ? mark(b, b->index, &o->digest, true, e) : k;
}

static enum err_kind copy_object(struct backup *b, const struct object_item *o, struct err *e)
{
	AUTO_CLOSE had = -1;
	AUTO_CLOSE from = -1;
	char path[BLOB_PATH_MAX];
	enum err_kind k = blob_open(b->from, &o->digest, o->row.size_bytes, &from, e);

	b->result.objects++;
	b->result.bytes += o->row.size_bytes;
	if (k == ERR_CORRUPT || (k == ERR_OK && o->row.damaged_ms))
		return leave_out(b, o, e);
	if (k != ERR_OK)
		return k;
	k = blob_open(b->to, &o->digest, o->row.size_bytes, &had, e);
	if (k == ERR_OK) {
		b->result.had++;
		return ERR_OK;
	}
	blob_path(&o->digest, path);
	if (k != ERR_CORRUPT)
		return k;
	if (sys_unlinkat(b->to->blobs_fd[o->digest.alg], path, 0) < 0 && errno != ENOENT)
		return err_sys(e, __func__, "remove a file of another size");
	return copy_blob(b, o, from, e);
}

/* Calls fn for each object of an index. */
typedef enum err_kind object_fn(struct backup *b, const struct object_item *o, struct err *e);

static enum err_kind each_object(struct backup *b, struct index *ix, object_fn *fn, struct err *e)
{
	AUTO_FREE struct object_item *items = calloc(PAGE, sizeof(*items));
	struct digest last;
	size_t n = PAGE;

	if (!items)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to copy");
	for (bool first = true; n == PAGE; first = false) {
		enum err_kind k = index_object_page(ix, first ? NULL : &last, PAGE, items, &n, e);

		for (size_t i = 0; k == ERR_OK && i < n; i++)
			k = fn(b, &items[i], e);
		if (k != ERR_OK)
			return k;
		if (n)
			last = items[n - 1].digest;
	}
	return ERR_OK;
}

/* A file that an earlier copy needed, and this one does not. */
static enum err_kind remove_unneeded(void *arg, const struct digest *d, const char *path,
				     struct err *e)
{
	struct backup *b = arg;
	char name[BLOB_PATH_MAX];
	struct object_row row;
	enum err_kind k;

	(void)path;
	if (!d)
		return ERR_OK;
	k = index_object_find(b->index, d, &row, NULL, e);
	if (k != ERR_NOT_FOUND)
		return k;
	b->result.removed++;
	blob_path(d, name);
	if (sys_unlinkat(b->to->blobs_fd[d->alg], name, 0) < 0 && errno != ENOENT)
		return err_sys(e, __func__, "remove blobs/%s", path);
	return ERR_OK;
}

/* --- reflog --- */

/* Files that ended before are the same in the copy if they are as long; the one that goes on is copied up to the mark. */
static enum err_kind copy_segment(struct backup *b, const struct reflog_mark *mark,
				  uint64_t segment, const char *name, struct err *e)
{
	struct fresh f = { .fd = -1 };
	AUTO_CLOSE from = -1;
	struct stat s, had;
	enum err_kind k = fd_open_at(b->from->reflog_fd, name, O_RDONLY, 0, &from, e);

	if (k != ERR_OK)
		return k;
	if (fstat(from, &s) < 0)
		return err_sys(e, __func__, "stat reflog/%.40s", name);
	if (segment != mark->segment &&
	    fstatat(b->to->reflog_fd, name, &had, AT_SYMLINK_NOFOLLOW) == 0 &&
	    had.st_size == s.st_size)
		return ERR_OK;
	k = fresh_open(b, &f, e);
	if (k != ERR_OK)
		return k;
	k = copy_bytes(from, f.fd, segment == mark->segment ? mark->offset : (uint64_t)s.st_size,
		       e);
	return fresh_end(b, &f, k, 0640, b->to->reflog_fd, name, e);
}

struct segments {
	struct backup *b;
	struct reflog_mark mark;
};

static enum err_kind copy_if_segment(void *arg, const char *name, struct err *e)
{
	const struct segments *s = arg;
	uint64_t segment;

	if (!reflog_name_parse(name, &segment) || segment > s->mark.seq)
		return ERR_OK;
	return copy_segment(s->b, &s->mark, segment, name, e);
}

static enum err_kind copy_reflog(struct backup *b, struct err *e)
{
	struct segments s = { .b = b };
	enum err_kind k = index_mark_read(b->index, &s.mark, e);

	return k == ERR_OK ? fd_list_dir(b->from->reflog_fd, ".", copy_if_segment, &s, e) : k;
}

/* --- all of it --- */

/* Sessions have files that change, which no copy has. */
static enum err_kind forget_sessions(struct backup *b, struct err *e)
{
	struct upload_id ids[PAGE];
	size_t n = PAGE;

	while (n == PAGE) {
		AUTO_INDEX_TXN *t = NULL;
		enum err_kind k = index_upload_page(b->index, NULL, PAGE, ids, &n, e);

		if (k == ERR_OK && n)
			k = index_begin(b->index, &t, e);
		for (size_t i = 0; k == ERR_OK && i < n; i++) {
			struct change c = { .kind = CHANGE_UPLOAD_CLOSE, .upload = ids[i] };

			k = index_apply(t, &c, e);
		}
		if (k == ERR_OK && n)
			k = index_commit(&t, e);
		if (k != ERR_OK)
			return k;
	}
	return ERR_OK;
}

/* Opens what it wrote: the copy's index. */
static enum err_kind copy_index(struct backup *b, const char *dir, struct err *e)
{
	AUTO_FREE char *file = NULL;
	AUTO_CLOSE fd = -1;
	enum err_kind k;

	if (asprintf(&file, "%s/data.mdb", dir) < 0) {
		file = NULL;
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a path");
	}
	k = fd_open_at(AT_FDCWD, file, O_WRONLY | O_CREAT | O_EXCL, 0640, &fd, e);
	if (k == ERR_OK)
		k = index_copy(b->from->index, fd, e);
	return k == ERR_OK ? index_open(dir, b->to->options.map_bytes, &b->index, e) : k;
}

static enum err_kind copy_all(struct backup *b, struct err *e)
{
	AUTO_FREE char *dir = NULL;
	enum err_kind k = newindex_begin(b->to, &dir, e);

	if (k == ERR_OK)
		k = copy_index(b, dir, e);
	if (k == ERR_OK)
		k = forget_sessions(b, e);
	if (k == ERR_OK)
		k = each_object(b, b->index, copy_object, e);
	if (k == ERR_OK)
		k = follow_copy(b->from->root_fd, b->to->root_fd, e);
	if (k == ERR_OK)
		k = copy_reflog(b, e);
	if (k == ERR_OK && sys_syncfs(b->to->root_fd) < 0)
		k = err_sys(e, __func__, "sync the copy");
	if (k == ERR_OK)
		k = newindex_install(b->to, false, e);
	if (k == ERR_OK && b->to->making)
		k = store_made(b->to, e);
	if (k == ERR_OK)
		k = blob_list(b->to, remove_unneeded, b, e);
	index_close(&b->index);
	return k;
}

enum err_kind store_backup(struct store *st, const char *dir, backup_damage_fn *fn, void *arg,
			   struct backup_result *ret, struct err *e)
{
	struct backup b = { .from = st, .fn = fn, .arg = arg };
	struct store_options o = st->options;
	enum err_kind k;

	o.root = dir;
	o.must_exist = false;
	k = store_attach(&o, &b.to, e);
	if (k == ERR_OK)
		k = copy_all(&b, e);
	store_close(&b.to);
	*ret = b.result;
	return k;
}

/* --- back --- */

/* What is found is noted in the copy as well. */
static enum err_kind verify_object(struct backup *b, const struct object_item *o, struct err *e)
{
	bool sound;
	enum err_kind k =
	    blob_verify(b->from, &o->digest, o->row.size_bytes, NULL, NULL, &sound, e);

	if (k == ERR_OK && sound == (o->row.damaged_ms != 0))
		k = mark(b, b->from->index, &o->digest, !sound, e);
	return k == ERR_OK && !sound ? tell(b, o, e) : k;
}

static enum err_kind open_copy(struct backup *b, const struct store_options *o, const char *dir,
			       struct err *e)
{
	struct store_options from = *o;
	AUTO_FREE char *index = NULL;
	enum err_kind k;

	from.root = dir;
	from.must_exist = true;
	if (asprintf(&index, "%s/index", dir) < 0) {
		index = NULL;
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a path");
	}
	k = store_attach(&from, &b->from, e);
	if (k == ERR_OK && b->from->making)
		k = err_set(e, ERR_CORRUPT, __func__, "the copy in %s was never finished", dir);
	return k == ERR_OK ? index_open(index, from.map_bytes, &b->from->index, e) : k;
}

static bool told_already(void *arg, const struct digest *d, uint64_t size_bytes)
{
	(void)arg, (void)d, (void)size_bytes;
	return true;
}

static enum err_kind install(struct backup *b, const struct store_options *o, struct err *e)
{
	uint64_t damaged = b->result.damaged;
	struct store_options to = *o;
	enum err_kind k;

	to.must_exist = false;
	k = store_attach(&to, &b->to, e);
	if (k == ERR_OK && !b->to->making)
		k = err_set(e, ERR_EXISTS, __func__,
			    "%s is a store already: give a root that is empty", o->root);
	b->fn = told_already;
	if (k == ERR_OK)
		k = copy_all(b, e);
	b->result.damaged = damaged;
	return k;
}

enum err_kind store_restore(const struct store_options *o, const char *dir, bool accept_damage,
			    backup_damage_fn *fn, void *arg, struct backup_result *ret,
			    struct err *e)
{
	struct backup b = { .fn = fn, .arg = arg };
	enum err_kind k = open_copy(&b, o, dir, e);

	if (k == ERR_OK)
		k = each_object(&b, b.from->index, verify_object, e);
	if (k == ERR_OK && b.result.damaged && !accept_damage)
		k = err_set(e, ERR_CORRUPT, __func__,
			    "%llu files of the copy are damaged: with --accept-damage the rest is "
			    "installed",
			    (unsigned long long)b.result.damaged);
	if (k == ERR_OK)
		k = install(&b, o, e);
	store_close(&b.to);
	store_close(&b.from);
	*ret = b.result;
	return k;
}
