#include "storage/store_impl.h"

#include <errno.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/fd.h"
#include "storage/blob.h"
#include "storage/pulls.h"
#include "storage/upload.h"

#define STRINGIFY_(x) #x
#define STRINGIFY(x) STRINGIFY_(x)
#define VERSION_TEXT "berth store " STRINGIFY(STORE_VERSION) "\n"
#define VERSION_TEXT_MAX 64
#define MAKING "version.new"

static const char *const alg_dirs[DIGEST_SHA512 + 1] = {
	[DIGEST_SHA256] = "blobs/sha256",
	[DIGEST_SHA512] = "blobs/sha512",
};

/* What may be in a directory in which a store is made: a new one, a fresh mount point, or one that has keys already. */
static enum err_kind check_empty(void *arg, const char *name, struct err *e)
{
	const struct store *st = arg;

	if (strcmp(name, "lost+found") == 0 || strcmp(name, "lock") == 0 ||
	    strcmp(name, "auth") == 0)
		return ERR_OK;
	return err_set(e, ERR_UNSUPPORTED, __func__,
		       "%s is neither empty nor a store of berth: give another root",
		       st->options.root);
}

static enum err_kind check_version(struct store *st, struct err *e)
{
	AUTO_SBUF b;
	enum err_kind k;

	sbuf_init(&b, VERSION_TEXT_MAX);
	k = fd_read_file(st->root_fd, "version", &b, e);
	if (k == ERR_OK && str_eq((struct str){ b.p, b.n }, STR(VERSION_TEXT)))
		return ERR_OK;
	if (k == ERR_OK || k == ERR_TOO_LARGE)
		return err_set(
		    e, ERR_UNSUPPORTED, __func__,
		    "%s is a store of another version: \"%.*s\", this berthd knows version %d",
		    st->options.root, (int)strcspn(b.p ? b.p : "", "\n"), b.p ? b.p : "",
		    STORE_VERSION);
	if (k == ERR_NOT_FOUND && st->options.must_exist)
		return err_set(e, k, __func__, "%s is no store of berth", st->options.root);
	if (k != ERR_NOT_FOUND || faccessat(st->root_fd, MAKING, F_OK, 0) == 0)
		return k == ERR_NOT_FOUND ? ERR_OK : k;
	return fd_list_dir(st->root_fd, ".", check_empty, st, e);
}

/* Marks a root as a store in the making, so that a start cut off half-way can be done again. */
static enum err_kind begin_making(const struct store *st, struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k =
	    fd_open_at(st->root_fd, MAKING, O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd, e);

	if (k == ERR_OK)
		k = fd_write_all(fd, VERSION_TEXT, sizeof(VERSION_TEXT) - 1, "version", e);
	if (k == ERR_OK && sys_fsync(fd) < 0)
		k = err_sys(e, __func__, "write version");
	return k == ERR_OK ? fd_sync_dir(st->root_fd, ".", e) : k;
}

enum err_kind store_made(struct store *st, struct err *e)
{
	enum err_kind k = fd_sync_dir(st->root_fd, ".", e); /* a root with a version is whole */

	if (k != ERR_OK)
		return k;
	if (sys_renameat(st->root_fd, MAKING, st->root_fd, "version") < 0)
		return err_sys(e, __func__, "write version");
	st->making = false;
	return fd_sync_dir(st->root_fd, ".", e);
}

static enum err_kind refuse_second(const struct store *st, struct err *e)
{
	AUTO_SBUF b;
	struct err ignored;

	sbuf_init(&b, VERSION_TEXT_MAX);
	if (fd_read_file(st->root_fd, "lock", &b, &ignored) != ERR_OK || b.n == 0)
		return err_set(e, ERR_IN_USE, __func__, "%s is in use by another process",
			       st->options.root);
	return err_set(e, ERR_IN_USE, __func__,
		       "%s is in use by the process with pid %.*s: stop it, or give another root",
		       st->options.root, (int)strcspn(b.p, "\n"), b.p);
}

/* Open file description locks go with the process, however it ends, and work over NFS. */
static enum err_kind take_lock(struct store *st, struct err *e)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char pid[24];
	int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	enum err_kind k = fd_open_at(st->root_fd, "lock", O_RDWR | O_CREAT, 0644, &st->lock_fd, e);

	if (k != ERR_OK)
		return k;
	if (fcntl(st->lock_fd, F_OFD_SETLK, &whole) < 0)
		return errno == EAGAIN || errno == EACCES ? refuse_second(st, e)
							  : err_sys(e, __func__, "lock the root");
	if (sys_ftruncate(st->lock_fd, 0) < 0)
		return err_sys(e, __func__, "write lock");
	return fd_pwrite_all(st->lock_fd, pid, (size_t)n, 0, "lock", e);
}

static enum err_kind make_shards(int dir, struct err *e)
{
	char name[3];

	for (unsigned i = 0; i < 256; i++) {
		uint8_t byte = (uint8_t)i;
		enum err_kind k;

		hex_lower(&byte, 1, name);
		name[2] = '\0';
		k = fd_mkdir_at(dir, name, 0755, e);
		if (k != ERR_OK)
			return k;
	}
	return fd_sync_dir(dir, ".", e);
}

static enum err_kind make_tree(struct store *st, struct err *e)
{
	static const char *const dirs[] = { "blobs", "blobs/sha256", "blobs/sha512", "uploads",
					    "trash", "index",        "reflog" };
	enum err_kind k = begin_making(st, e);

	for (size_t i = 0; i < ARRAY_LEN(dirs) && k == ERR_OK; i++)
		k = fd_mkdir_at(st->root_fd, dirs[i], i < 3 ? 0755 : 0750, e);
	for (unsigned alg = DIGEST_SHA256; alg <= DIGEST_SHA512 && k == ERR_OK; alg++) {
		AUTO_CLOSE fd = -1;

		k = fd_open_at(st->root_fd, alg_dirs[alg], O_RDONLY | O_DIRECTORY, 0, &fd, e);
		if (k == ERR_OK)
			k = make_shards(fd, e);
	}
	return k == ERR_OK ? fd_sync_dir(st->root_fd, "blobs", e) : k;
}

/* LMDB does not open an index whose very first write was cut off; while a store is made it holds nothing yet. */
static enum err_kind forget_index(struct store *st, struct err *e)
{
	static const char *const files[] = { "index/data.mdb", "index/lock.mdb" };

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (sys_unlinkat(st->root_fd, files[i], 0) < 0 && errno != ENOENT)
			return err_sys(e, __func__, "remove %s", files[i]);
	}
	return ERR_OK;
}

/*
 * Of a finished store the index is never made anew: an empty one would say that nothing in the reflog was ever
 * acknowledged, and the reflog is what it can be rebuilt from.
 */
static enum err_kind check_index(struct store *st, struct err *e)
{
	if (faccessat(st->root_fd, "index/data.mdb", F_OK, 0) == 0)
		return ERR_OK;
	if (errno != ENOENT)
		return err_sys(e, __func__, "look for index/data.mdb");
	return err_set(e, ERR_CORRUPT, __func__,
		       "%s/index/data.mdb is missing: \"berthd rebuild\" makes it anew",
		       st->options.root);
}

static enum err_kind open_dirs(struct store *st, struct err *e)
{
	enum err_kind k =
	    fd_open_at(st->root_fd, "uploads", O_RDONLY | O_DIRECTORY, 0, &st->uploads_fd, e);

	if (k == ERR_OK)
		k = fd_open_at(st->root_fd, "reflog", O_RDONLY | O_DIRECTORY, 0, &st->reflog_fd, e);
	for (unsigned alg = DIGEST_SHA256; alg <= DIGEST_SHA512 && k == ERR_OK; alg++)
		k = fd_open_at(st->root_fd, alg_dirs[alg], O_RDONLY | O_DIRECTORY, 0,
			       &st->blobs_fd[alg], e);
	return k;
}

static enum err_kind open_index(struct store *st, struct err *e)
{
	AUTO_FREE char *dir = NULL;
	struct reflog *log = NULL;
	struct reflog_mark mark;
	enum err_kind k;

	if (asprintf(&dir, "%s/index", st->options.root) < 0)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a path");
	k = index_open(dir, st->options.map_bytes, &st->index, e);
	if (k == ERR_OK)
		k = index_set_quotas(st->index, TAKE(st->options.quotas), e);
	if (k == ERR_OK)
		k = index_mark_read(st->index, &mark, e);
	if (k == ERR_OK)
		k = reflog_open(st->reflog_fd, &mark, &log, e);
	if (k == ERR_OK)
		k = committer_start(st->index, &log, !st->options.single_thread, &st->committer, e);
	return k;
}

static enum err_kind open_root(struct store *st, struct err *e)
{
	bool made = !st->options.must_exist && sys_mkdirat(AT_FDCWD, st->options.root, 0755) == 0;

	if (!made && !st->options.must_exist && errno != EEXIST)
		return err_sys(e, __func__, "make the root %s", st->options.root);
	do /* a root may well be a symbolic link, so not fd_open_at */
		st->root_fd =
		    sys_openat(AT_FDCWD, st->options.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	while (st->root_fd < 0 && errno == EINTR);
	if (st->root_fd < 0)
		return err_sys(e, __func__, "open the root %s", st->options.root);
	return made ? fd_sync_dir(st->root_fd, "..", e) : ERR_OK;
}

/* The boot of the machine; without one to be had, one like no other. */
static void read_boot_id(uint8_t ret[static BOOT_ID_BYTES])
{
	AUTO_CLOSE fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	struct upload_id id;
	char text[UPLOAD_ID_TEXT_MAX];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n <= 0 || !upload_id_parse(&id, (struct str){ text, (size_t)n }))
		upload_id_new(&id);
	memcpy(ret, id.bytes, BOOT_ID_BYTES);
}

static struct closed_row closed_now(void)
{
	struct closed_row v = { .up_ms = up_ms() };

	read_boot_id(v.boot);
	return v;
}

static enum err_kind put_closed(struct store *st, const struct closed_row *v, struct err *e)
{
	struct change c = { .kind = CHANGE_CLOSED, .closed = v };

	return commit_change(st->committer, &c, e);
}

/*
 * What the last process told its clients of is not known, only that it told them nothing after its end.  So everything
 * is leased for what is left of the lease time since then; for all of it if that is not known.
 */
static enum err_kind begin_leases(struct store *st, struct err *e)
{
	struct closed_row now = closed_now(), last;
	uint64_t all_ms = st->options.lease_ms;
	enum err_kind k = index_closed_read(st->index, &last, e);

	if (k == ERR_OK && memcmp(last.boot, now.boot, sizeof(now.boot)) == 0 &&
	    now.up_ms > last.up_ms)
		all_ms -= MIN(all_ms, now.up_ms - last.up_ms);
	if (k == ERR_OK)
		k = put_closed(st, NULL, e);
	if (k != ERR_OK && k != ERR_NOT_FOUND)
		return k;
	return leases_new(st->options.lease_ms, all_ms, &st->leases, e);
}

static enum err_kind open_root_dirs(struct store *st, struct err *e)
{
	enum err_kind k = open_root(st, e);

	if (k == ERR_OK)
		k = check_version(st, e);
	if (k == ERR_OK)
		k = take_lock(st, e);
	if (k == ERR_OK) {
		st->making = faccessat(st->root_fd, "version", F_OK, 0) < 0;
		k = st->making ? make_tree(st, e) : ERR_OK;
	}
	return k == ERR_OK ? open_dirs(st, e) : k;
}

enum err_kind store_attach(const struct store_options *o, struct store **ret, struct err *e)
{
	struct store *st = calloc(1, sizeof(*st));
	enum err_kind k;

	if (!st)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the store");
	st->options = *o;
	st->options.root = strdup(o->root);
	st->root_fd = st->lock_fd = st->uploads_fd = st->reflog_fd = -1;
	for (size_t i = 0; i < ARRAY_LEN(st->blobs_fd); i++)
		st->blobs_fd[i] = -1;
	st->opened_mono_ms = mono_ms();
	lock_init(&st->sessions_mu, LOCK_SESSIONS);
	lock_init(&st->publishers_mu, LOCK_PUBLISHERS);
	cond_init(&st->published);
	k = st->options.root ? pulls_new(&st->pulls, e)
			     : err_set(e, ERR_NO_MEMORY, __func__, "no memory for the store");
	if (k == ERR_OK)
		k = open_root_dirs(st, e);
	if (k != ERR_OK) {
		store_close(&st);
		return k;
	}
	*ret = st;
	return ERR_OK;
}

static enum err_kind open_all(struct store *st, struct store_recovery *ret_found, struct err *e)
{
	bool making = st->making;
	enum err_kind k = making ? forget_index(st, e) : check_index(st, e);

	if (k == ERR_OK)
		k = open_index(st, e);
	if (k == ERR_OK && making) /* LMDB makes its file, but leaves the name to us */
		k = fd_sync_dir(st->root_fd, "index", e);
	if (k == ERR_OK && making)
		k = store_made(st, e);
	if (k == ERR_OK)
		k = begin_leases(st, e);
	return k == ERR_OK ? store_recover(st, ret_found, e) : k;
}

enum err_kind store_open(const struct store_options *o, struct store **ret,
			 struct store_recovery *ret_found, struct err *e)
{
	struct store *st = NULL;
	enum err_kind k = store_attach(o, &st, e);

	if (k == ERR_OK)
		k = open_all(st, ret_found, e);
	if (k != ERR_OK) {
		store_close(&st);
		return k;
	}
	st->opened = true;
	*ret = st;
	return ERR_OK;
}

/* What does not work here costs the next start some time, and leases their memory, but nothing else. */
static void end_in_order(struct store *st)
{
	struct closed_row now = closed_now();
	struct err ignored;

	if (store_flush_pulls(st, &ignored) == ERR_OK && store_settle(st, &ignored) == ERR_OK)
		(void)!put_closed(st, &now, &ignored);
}

void store_close(struct store **st)
{
	struct store *p = TAKE(*st);

	if (!p)
		return;
	if (p->opened)
		end_in_order(p);
	committer_stop(&p->committer);
	index_close(&p->index);
	upload_sessions_free(p);
	leases_free(&p->leases);
	pulls_free(&p->pulls);
	for (size_t i = 0; i < ARRAY_LEN(p->blobs_fd); i++)
		fd_close(&p->blobs_fd[i]);
	fd_close(&p->uploads_fd);
	fd_close(&p->reflog_fd);
	fd_close(&p->root_fd);
	fd_close(&p->lock_fd); /* last: another daemon may start now */
	(void)pthread_cond_destroy(&p->published);
	lock_clear(&p->publishers_mu);
	lock_clear(&p->sessions_mu);
	free((char *)(uintptr_t)p->options.root);
	free(p);
}

struct index *store_index(struct store *st)
{
	return st->index;
}

uint64_t store_client_work(struct store *st)
{
	return st->looked + committer_stats(st->committer).for_clients;
}

struct commit_stats store_commit_stats(struct store *st)
{
	return committer_stats(st->committer);
}

void store_note_pull(struct store *st, uint64_t repo, const struct tag_name *tag)
{
	pulls_note(st->pulls, repo, tag);
}

enum err_kind store_flush_pulls(struct store *st, struct err *e)
{
	return pulls_flush(st, st->pulls, e);
}

void store_expire_leases(struct store *st)
{
	leases_expire(st->leases);
}

uint64_t store_leases(struct store *st)
{
	return leases_count(st->leases);
}

enum err_kind store_free_bytes(struct store *st, uint64_t *ret, struct err *e)
{
	struct statvfs s;

	if (fstatvfs(st->root_fd, &s) < 0)
		return err_sys(e, __func__, "look for free space");
	*ret = (uint64_t)s.f_bavail * s.f_frsize;
	return ERR_OK;
}

const struct store_options *store_limits(const struct store *st)
{
	return &st->options;
}

void store_set_limits(struct store *st, const struct store_options *o)
{
	st->options.uploads_max = o->uploads_max;
	st->options.uploads_idle_ms = o->uploads_idle_ms;
	st->options.lease_ms = o->lease_ms;
	st->options.trash_keep_ms = o->trash_keep_ms;
	st->options.json_depth_max = o->json_depth_max;
	st->options.sparse = o->sparse;
	leases_set(st->leases, o->lease_ms);
}

struct quotas *store_quotas(struct store *st)
{
	return index_quotas(st->index);
}

enum err_kind store_set_quotas(struct store *st, struct quotas *q, struct err *e)
{
	return index_set_quotas(st->index, q, e);
}
