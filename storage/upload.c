#include "storage/upload.h"

#include <errno.h>
#include <linux/fs.h>
#include <search.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/step.h"
#include "storage/store_impl.h"

#define REHASH_BYTES (1024u * 1024)
#define WRITEBACK_BYTES (8u * 1024 * 1024) /* handed to the disk while more arrives */
#define REAP_PAGE 256
#define TAKE_BYTES (1024u * 1024)      /* of a file at a time */
#define PACE_BYTES (16u * 1024 * 1024) /* hashed between two calls of pace */

/* What is remembered of an open session between its requests. */
struct session {
	struct upload_id id;
	bool busy;             /* under sessions_mu */
	uint64_t used_mono_ms; /* under sessions_mu */
	struct hash *hash;     /* of the first `hashed` bytes; NULL: none.  The one who is busy's */
	uint64_t hashed;
};

struct upload {
	struct store *st;
	struct repo_name repo;
	struct upload_id id;
	struct session *session; /* NULL for a single request's */
	int fd;
	uint64_t offset, written_back;
	enum digest_alg alg;
	struct hash *hash; /* of the first `hashed` bytes; NULL: none */
	uint64_t hashed;
	const struct change_guard *guard; /* upload_guard's */
};

static int session_order(const void *a, const void *b)
{
	const struct session *x = a, *y = b;

	return memcmp(x->id.bytes, y->id.bytes, sizeof(x->id.bytes));
}

static void session_free(void *p)
{
	struct session *s = p;

	hash_free(&s->hash);
	free(s);
}

void upload_sessions_free(struct store *st)
{
	tdestroy(TAKE(st->sessions), session_free);
}

/* Finds or makes the session's memory and marks it busy. */
static enum err_kind session_take(struct store *st, const struct upload_id *id,
				  struct session **ret, struct err *e)
{
	struct session *fresh = calloc(1, sizeof(*fresh)), *s = NULL;
	void *node;
	bool was_busy = false;

	if (!fresh)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a session");
	fresh->id = *id;
	lock_get(&st->sessions_mu);
	node = tsearch(fresh, &st->sessions, session_order);
	if (node) {
		s = *(struct session **)node;
		was_busy = s->busy;
		s->busy = true;
		s->used_mono_ms = mono_ms();
	}
	lock_put(&st->sessions_mu);
	if (s != fresh)
		free(fresh);
	if (!s)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a session");
	if (was_busy)
		return err_set(e, ERR_IN_USE, __func__,
			       "another request is working on this upload session");
	*ret = s;
	return ERR_OK;
}

static void session_put(struct store *st, struct session *s)
{
	lock_get(&st->sessions_mu);
	s->busy = false;
	s->used_mono_ms = mono_ms();
	lock_put(&st->sessions_mu);
}

static void session_forget(struct store *st, struct session *s)
{
	lock_get(&st->sessions_mu);
	(void)tdelete(s, &st->sessions, session_order);
	lock_put(&st->sessions_mu);
	session_free(s);
}

static enum err_kind find_row(struct store *st, const struct repo_name *repo,
			      const struct upload_id *id, struct upload_row *ret, struct err *e)
{
	enum err_kind k = index_upload_find(st->index, id, ret, e);

	if (k == ERR_OK && !str_eq(repo_name_str(&ret->repo), repo_name_str(repo)))
		return err_set(e, ERR_NOT_FOUND, __func__, "no such upload session");
	return k;
}

static enum err_kind upload_new(struct store *st, const struct repo_name *repo,
				const struct upload_id *id, struct upload **ret, struct err *e)
{
	struct upload *u = calloc(1, sizeof(*u));

	if (!u)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for an upload");
	u->st = st;
	u->repo = *repo;
	u->id = *id;
	u->fd = -1;
	*ret = u;
	return ERR_OK;
}

static enum err_kind make_file(struct store *st, const struct upload_id *id, int *ret,
			       struct err *e)
{
	char name[UPLOAD_ID_TEXT_MAX];

	return fd_open_at(st->uploads_fd, upload_id_text(id, name), O_RDWR | O_CREAT | O_EXCL, 0600,
			  ret, e);
}

static void remove_file(struct store *st, const struct upload_id *id)
{
	char name[UPLOAD_ID_TEXT_MAX];

	(void)sys_unlinkat(st->uploads_fd, upload_id_text(id, name), 0); /* else the next start's */
}

enum err_kind upload_forget(struct store *st, const struct upload_id *id, struct err *e)
{
	struct change c = { .kind = CHANGE_UPLOAD_CLOSE, .upload = *id };

	return commit_change(st->committer, &c, e);
}

enum err_kind upload_create(struct store *st, const struct repo_name *repo, enum digest_alg alg,
			    struct upload_id *ret, struct err *e)
{
	AUTO_CLOSE fd = -1;
	struct session *s = NULL;
	struct upload_id id;
	struct change c = { .kind = CHANGE_UPLOAD_OPEN,
			    .repo = *repo,
			    .at_ms = wall_ms(),
			    .upload_alg = (uint8_t)alg,
			    .uploads_max = st->options.uploads_max };
	enum err_kind k;

	upload_id_new(&id);
	c.upload = id;
	k = make_file(st, &id, &fd, e);
	if (k != ERR_OK)
		return k;
	k = session_take(st, &id, &s, e); /* its time runs from here on */
	if (k == ERR_OK)
		k = commit_change(st->committer, &c, e);
	if (k != ERR_OK) {
		if (s)
			session_forget(st, s);
		remove_file(st, &id);
		return k;
	}
	session_put(st, s);
	*ret = id;
	return ERR_OK;
}

enum err_kind upload_begin(struct store *st, const struct repo_name *repo, enum digest_alg alg,
			   struct upload **ret, struct err *e)
{
	AUTO_UPLOAD *u = NULL;
	struct upload_id id;
	enum err_kind k;

	upload_id_new(&id);
	k = upload_new(st, repo, &id, &u, e);
	if (k == ERR_OK)
		k = make_file(st, &id, &u->fd, e);
	if (k != ERR_OK)
		return k;
	u->alg = alg;
	*ret = TAKE(u);
	return ERR_OK;
}

/* U1: the file is the truth; what it holds beyond the hashed part is hashed now. */
static enum err_kind catch_up(struct upload *u, enum digest_alg alg, struct err *e)
{
	AUTO_FREE uint8_t *buf = NULL;
	enum err_kind k = ERR_OK;

	if (!u->hash || hash_alg(u->hash) != alg || u->hashed > u->offset) {
		hash_free(&u->hash);
		u->hashed = 0;
		k = hash_new(alg, &u->hash, e);
	}
	if (k != ERR_OK || u->hashed == u->offset)
		return k;
	buf = malloc(REHASH_BYTES);
	if (!buf)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to hash an upload");
	while (k == ERR_OK && u->hashed < u->offset) {
		size_t n = (size_t)MIN(u->offset - u->hashed, (uint64_t)REHASH_BYTES);

		k = fd_pread_exact(u->fd, buf, n, u->hashed, "upload", e);
		if (k == ERR_OK)
			k = hash_update(u->hash, buf, n, e);
		if (k == ERR_OK)
			u->hashed += n;
	}
	return k;
}

static enum err_kind open_file(struct upload *u, struct err *e)
{
	char name[UPLOAD_ID_TEXT_MAX];
	struct stat s;
	enum err_kind k =
	    fd_open_at(u->st->uploads_fd, upload_id_text(&u->id, name), O_RDWR, 0, &u->fd, e);

	if (k == ERR_NOT_FOUND)
		return err_set(e, k, __func__, "no such upload session");
	if (k != ERR_OK)
		return k;
	if (fstat(u->fd, &s) < 0)
		return err_sys(e, __func__, "stat upload");
	u->offset = u->written_back = (uint64_t)s.st_size;
	return ERR_OK;
}

enum err_kind upload_take(struct store *st, const struct repo_name *repo,
			  const struct upload_id *id, struct upload **ret, struct err *e)
{
	AUTO_UPLOAD *u = NULL;
	struct upload_row row;
	enum err_kind k = find_row(st, repo, id, &row, e);

	if (k == ERR_OK)
		k = upload_new(st, repo, id, &u, e);
	if (k == ERR_OK)
		k = session_take(st, id, &u->session, e);
	if (k != ERR_OK)
		return k;
	u->alg = (enum digest_alg)row.alg;
	u->hash = TAKE(u->session->hash);
	u->hashed = u->session->hashed;
	k = open_file(u, e);
	if (k == ERR_NOT_FOUND)
		session_forget(st, TAKE(u->session)); /* finished since find_row */
	if (k == ERR_OK)
		*ret = TAKE(u);
	return k;
}

/* Frees the upload; its session, if it still has one, waits for the next request. */
void upload_release(struct upload **u)
{
	struct upload *p = TAKE(*u);

	if (!p)
		return;
	if (p->session) {
		p->session->hash = TAKE(p->hash);
		p->session->hashed = p->hashed;
		session_put(p->st, p->session);
	} else if (p->fd >= 0) {
		remove_file(p->st, &p->id);
	}
	fd_close(&p->fd);
	hash_free(&p->hash);
	free(p);
}

enum err_kind upload_status(struct store *st, const struct repo_name *repo,
			    const struct upload_id *id, uint64_t *ret_offset, struct err *e)
{
	char name[UPLOAD_ID_TEXT_MAX];
	struct upload_row row;
	struct stat s;
	enum err_kind k = find_row(st, repo, id, &row, e);

	if (k != ERR_OK)
		return k;
	if (fstatat(st->uploads_fd, upload_id_text(id, name), &s, AT_SYMLINK_NOFOLLOW) < 0) {
		k = err_sys(e, __func__, "stat upload");
		return k == ERR_NOT_FOUND ? err_set(e, k, __func__, "no such upload session") : k;
	}
	*ret_offset = (uint64_t)s.st_size;
	return ERR_OK;
}

uint64_t upload_offset(const struct upload *u)
{
	return u->offset;
}

/* Keeps the disk busy while bytes arrive, so that the fsync at the end has little left to do. */
static void write_back(struct upload *u)
{
	if (u->offset - u->written_back < WRITEBACK_BYTES)
		return;
	(void)sync_file_range(u->fd, (off_t)u->written_back, (off_t)(u->offset - u->written_back),
			      SYNC_FILE_RANGE_WRITE); /* a hint */
	u->written_back = u->offset;
}

enum err_kind upload_write(struct upload *u, const void *p, size_t n, struct err *e)
{
	enum err_kind k;

	if (n > (uint64_t)INT64_MAX - u->offset)
		return err_set(e, ERR_TOO_LARGE, __func__, "a blob of more than 2^63 bytes");
	k = catch_up(u, u->alg, e);
	if (k == ERR_OK)
		k = fd_pwrite_all(u->fd, p, n, u->offset, "upload", e);
	if (k == ERR_OK)
		k = hash_update(u->hash, p, n, e);
	if (k != ERR_OK) {
		(void)sys_ftruncate(u->fd, (off_t)u->offset); /* the failure at hand is told */
		return k;
	}
	u->offset += n;
	u->hashed += n;
	write_back(u);
	return ERR_OK;
}

/* --- bytes of a file --- */

/* What is wrong with the file that bytes come from is not our disk's fault. */
static enum err_kind fault_of_source(enum err_kind k, struct err *e)
{
	if (k == ERR_CORRUPT)
		return err_set(e, ERR_SIZE, "upload_begin_from", "the file became shorter");
	if (k == ERR_IO)
		return err_set(e, ERR_DIGEST, "upload_begin_from", "the file cannot be read");
	return k;
}

static enum err_kind keep_pace(const struct upload_source *from, size_t n, struct err *e)
{
	if (!from->pace || from->pace(from->arg, n))
		return ERR_OK;
	return err_set(e, ERR_IN_USE, __func__, "stopped");
}

/*
 * U5.  A lease for reading is given only while nobody has the file open for writing.  Should somebody open it in the
 * moment that the lease is held, the signal is one that does nothing.
 */
static bool may_be_shared(const struct store *st, int fd)
{
	struct stat s, ours;

	if (fstat(fd, &s) < 0 || fstat(st->uploads_fd, &ours) < 0 || s.st_dev != ours.st_dev ||
	    s.st_uid != geteuid() || sys_fchmod(fd, 0444) < 0)
		return false;
	if (fcntl(fd, F_SETSIG, SIGURG) < 0 || fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
		return false;
	(void)fcntl(fd, F_SETLEASE, F_UNLCK);
	return true;
}

/* The upload's file becomes another name of that one; false, with no file, if it does not. */
static bool share_file(struct upload *u, int from)
{
	char name[UPLOAD_ID_TEXT_MAX], self[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
	int fd;

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", from);
	upload_id_text(&u->id, name);
	if (sys_linkat(AT_FDCWD, self, u->st->uploads_fd, name, AT_SYMLINK_FOLLOW) < 0)
		return false;
	fd = fcntl(from, F_DUPFD_CLOEXEC, 0);
	if (fd < 0) {
		remove_file(u->st, &u->id);
		return false;
	}
	u->fd = fd;
	return true;
}

static enum err_kind hash_all(struct upload *u, const struct upload_source *from, struct err *e)
{
	enum err_kind k = ERR_OK;

	while (u->offset < from->size_bytes && k == ERR_OK) {
		size_t n = (size_t)MIN(from->size_bytes - u->offset, (uint64_t)PACE_BYTES);

		u->offset += n;
		k = fault_of_source(catch_up(u, u->alg, e), e);
		if (k == ERR_OK)
			k = keep_pace(from, n, e);
	}
	return k;
}

static enum err_kind copy_all(struct upload *u, const struct upload_source *from, struct err *e)
{
	AUTO_FREE uint8_t *buf = malloc(TAKE_BYTES);
	enum err_kind k = ERR_OK;

	if (!buf)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to copy");
	while (u->offset < from->size_bytes && k == ERR_OK) {
		size_t n = (size_t)MIN(from->size_bytes - u->offset, (uint64_t)TAKE_BYTES);

		k = fault_of_source(
		    fd_pread_exact(from->fd, buf, n, u->offset, "what is copied", e), e);
		if (k == ERR_OK)
			k = upload_write(u, buf, n, e);
		if (k == ERR_OK)
			k = keep_pace(from, n, e);
	}
	return k;
}

/* Shares what can be shared; else the upload has an empty file of its own, to copy to. */
static enum err_kind share(struct upload *u, const struct upload_source *from,
			   enum upload_took *ret_took, struct err *e)
{
	struct stat s;

	*ret_took = UPLOAD_COPIED;
	if (!from->may_share)
		return ERR_OK;
	if (ioctl(u->fd, FICLONE, from->fd) == 0) {
		*ret_took = UPLOAD_CLONED;
	} else if (may_be_shared(u->st, from->fd)) {
		remove_file(u->st, &u->id);
		fd_close(&u->fd);
		if (!share_file(u, from->fd))
			return make_file(u->st, &u->id, &u->fd, e);
		*ret_took = UPLOAD_LINKED;
	}
	if (*ret_took != UPLOAD_COPIED &&
	    (fstat(u->fd, &s) < 0 || (uint64_t)s.st_size != from->size_bytes))
		return err_set(e, ERR_SIZE, __func__, "the file changed its size");
	return ERR_OK;
}

enum err_kind upload_begin_from(struct store *st, const struct repo_name *repo, enum digest_alg alg,
				const struct upload_source *from, struct upload **ret,
				enum upload_took *ret_took, struct err *e)
{
	AUTO_UPLOAD *u = NULL;
	enum err_kind k = upload_begin(st, repo, alg, &u, e);

	if (k == ERR_OK)
		k = share(u, from, ret_took, e);
	if (k == ERR_OK)
		k = *ret_took == UPLOAD_COPIED ? copy_all(u, from, e) : hash_all(u, from, e);
	if (k == ERR_OK)
		*ret = TAKE(u);
	return k;
}

static enum err_kind verify(struct upload *u, const struct digest *want, struct err *e)
{
	struct digest got;
	char a[DIGEST_TEXT_MAX], b[DIGEST_TEXT_MAX];
	enum err_kind k = catch_up(u, (enum digest_alg)want->alg, e);

	if (k == ERR_OK)
		k = hash_final(u->hash, &got, e);
	hash_free(&u->hash); /* it takes no more; a session that goes on starts another */
	if (k != ERR_OK || digest_eq(&got, want))
		return k;
	return err_set(e, ERR_DIGEST, __func__, "%llu bytes hash to %.80s, not to %.80s",
		       (unsigned long long)u->offset, digest_text(&got, a), digest_text(want, b));
}

static void finish_session(struct upload *u)
{
	if (u->session)
		session_forget(u->st, TAKE(u->session));
	fd_close(&u->fd); /* the file's name is gone */
}

void upload_guard(struct upload *u, const struct change_guard *guard)
{
	u->guard = guard;
}

enum err_kind upload_finish(struct upload **take, const struct digest *want, struct err *e)
{
	AUTO_UPLOAD *u = TAKE(*take);
	struct publisher p;
	struct change c = store_change(u->st, CHANGE_BLOB_LINK, &u->repo);
	enum err_kind k = verify(u, want, e);

	if (k != ERR_OK)
		return k;
	c.guard = u->guard;
	c.digest = *want;
	c.size_bytes = u->offset;
	c.upload = u->id;
	c.has_upload = u->session != NULL;
	k = blob_publish(u->st, u->fd, &u->id, want, &p, e);
	if (k == ERR_OK)
		k = commit_change(u->st->committer, &c, e);
	STEP("publish.committed");
	if (k == ERR_OK) {
		blob_settle(u->st, &p, BLOB_COMMITTED);
		finish_session(u);
		return ERR_OK;
	}
	blob_settle(u->st, &p, u->session ? BLOB_KEPT : BLOB_DROPPED);
	return k;
}

/* The file gets a name in uploads/ beside the one that it has, which the next start removes if this one is cut off. */
enum err_kind upload_adopt(struct store *st, const struct repo_name *repo, int dir,
			   const char *name, const struct digest *d, struct err *e)
{
	AUTO_CLOSE fd = -1;
	char open_name[UPLOAD_ID_TEXT_MAX];
	struct upload_id id;
	struct publisher p;
	struct stat s;
	struct change c = store_change(st, CHANGE_BLOB_LINK, repo);
	enum err_kind k = fd_open_at(dir, name, O_RDONLY, 0, &fd, e);

	if (k != ERR_OK)
		return k;
	if (fstat(fd, &s) < 0)
		return err_sys(e, __func__, "stat %s", name);
	upload_id_new(&id);
	if (sys_linkat(dir, name, st->uploads_fd, upload_id_text(&id, open_name), 0) < 0)
		return err_sys(e, __func__, "adopt %s", name);
	c.digest = *d;
	c.size_bytes = (uint64_t)s.st_size;
	k = blob_publish(st, fd, &id, d, &p, e);
	if (k == ERR_OK)
		k = commit_change(st->committer, &c, e);
	blob_settle(st, &p, k == ERR_OK ? BLOB_COMMITTED : BLOB_DROPPED);
	if (k == ERR_OK)
		(void)sys_unlinkat(dir, name, 0); /* a second name of a blob does no harm */
	return k;
}

enum err_kind upload_cancel(struct upload **take, struct err *e)
{
	AUTO_UPLOAD *u = TAKE(*take);
	enum err_kind k = upload_forget(u->st, &u->id, e);

	if (k != ERR_OK)
		return k;
	remove_file(u->st, &u->id);
	finish_session(u);
	return ERR_OK;
}

/* Since the last request that took it, or since this process came up: no clock that jumps and no restart shortens it. */
static bool is_idle(struct store *st, const struct upload_id *id)
{
	struct session key = { .id = *id };
	uint64_t used = st->opened_mono_ms;
	bool busy = false;
	void *node;

	lock_get(&st->sessions_mu);
	node = tfind(&key, &st->sessions, session_order);
	if (node) {
		used = (*(struct session **)node)->used_mono_ms;
		busy = (*(struct session **)node)->busy;
	}
	lock_put(&st->sessions_mu);
	return !busy && mono_ms() - used >= st->options.uploads_idle_ms;
}

static enum err_kind reap_one(struct store *st, const struct upload_id *id, struct err *e)
{
	AUTO_UPLOAD *u = NULL;
	struct upload_row row;
	enum err_kind k = index_upload_find(st->index, id, &row, e);

	if (k == ERR_OK)
		k = upload_take(st, &row.repo, id, &u, e);
	if (k == ERR_OK)
		return upload_cancel(&u, e);
	return k == ERR_NOT_FOUND ? upload_forget(st, id, e) : k; /* its file is gone */
}

enum err_kind upload_reap(struct store *st, uint64_t *ret, struct err *e)
{
	struct upload_id page[REAP_PAGE], last;
	bool first = true;
	size_t n;

	*ret = 0;
	do {
		enum err_kind k =
		    index_upload_page(st->index, first ? NULL : &last, REAP_PAGE, page, &n, e);

		if (k != ERR_OK)
			return k;
		for (size_t i = 0; i < n; i++) {
			if (!is_idle(st, &page[i]))
				continue;
			k = reap_one(st, &page[i], e);
			if (k != ERR_OK && k != ERR_IN_USE)
				return k;
			*ret += k == ERR_OK;
		}
		if (n)
			last = page[n - 1];
		first = false;
	} while (n == REAP_PAGE);
	return ERR_OK;
}

struct summing {
	struct store *st;
	uint64_t bytes;
};

static enum err_kind add_size(void *arg, const char *name, struct err *e)
{
	struct summing *s = arg;
	struct stat file;

	(void)e;
	if (fstatat(s->st->uploads_fd, name, &file, AT_SYMLINK_NOFOLLOW) == 0) /* else it is over */
		s->bytes += (uint64_t)file.st_size;
	return ERR_OK;
}

enum err_kind upload_bytes(struct store *st, uint64_t *ret, struct err *e)
{
	struct summing s = { .st = st };
	enum err_kind k = fd_list_dir(st->uploads_fd, ".", add_size, &s, e);

	*ret = s.bytes;
	return k;
}
