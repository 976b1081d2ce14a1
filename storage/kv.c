#include "storage/kv.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <sys/statvfs.h>

#include "base/fd.h"
#include "base/lock.h"

#define IDLE_READERS_MAX 64
#define FULL_BYTES (1024u * 1024) /* more than LMDB writes at once */
#define LOCK_READER 64            /* bytes of the lock file for a reader */
#define LOCK_HEADER 2             /* readers whose room the rest takes */

struct kv_txn {
	struct kv *kv;
	MDB_txn *txn;
	bool is_write;
};

struct kv {
	char *dir;
	uint64_t map_bytes; /* size of the map now */
	unsigned readers_max;
	MDB_env *env; /* NULL after kv_reopen failed */
	MDB_dbi dbi[KV_TABLE_N];
	pthread_rwlock_t resize; /* held for reading by every transaction */
	struct lock mu;
	struct kv_txn *idle[IDLE_READERS_MAX]; /* under mu: reset, ready to be renewed */
	unsigned n_idle;                       /* under mu */
};

static const char *const table_names[KV_TABLE_N] = {
#define X(id, name) [KV_##id] = (name),
	KV_TABLES(X)
#undef X
};

const char *kv_table_name(enum kv_table table)
{
	return table_names[table];
}

/* LMDB reports by errno values and its own negative codes. */
static enum err_kind fail(struct err *e, int code, const char *where, const char *what)
{
	enum err_kind k = ERR_IO;

	if (code > 0)
		k = err_kind_of_errno(code);
	else if (code == MDB_MAP_FULL)
		k = ERR_NO_SPACE;
	else if (code == MDB_READERS_FULL || code == MDB_TXN_FULL)
		k = ERR_NO_MEMORY;
	else if (code == MDB_CORRUPTED || code == MDB_PAGE_NOTFOUND || code == MDB_INVALID ||
		 code == MDB_VERSION_MISMATCH)
		k = ERR_CORRUPT;
	else if (code == MDB_BAD_VALSIZE || code == MDB_BAD_TXN || code == MDB_BAD_DBI)
		k = ERR_BUG;
	k = err_set(e, k, where, "index: %s: %s", what, mdb_strerror(code));
	e->sys = code;
	return k;
}

bool kv_is_map_full(const struct err *e)
{
	return e->sys == MDB_MAP_FULL;
}

static MDB_val val_of(struct str s)
{
	return (MDB_val){ .mv_size = s.n, .mv_data = (void *)(uintptr_t)s.p };
}

static struct str str_of_val(MDB_val v)
{
	return (struct str){ v.mv_data, v.mv_size };
}

/* LMDB calls a write that was cut short, as the last one on a full disk is, an I/O error. */
static bool is_full(const struct kv *kv)
{
	struct statvfs s;

	return statvfs(kv->dir, &s) == 0 && (uint64_t)s.f_bavail * s.f_frsize < FULL_BYTES;
}

static enum err_kind open_tables(struct kv *kv, struct err *e)
{
	MDB_txn *txn;
	int r = mdb_txn_begin(kv->env, NULL, 0, &txn);

	if (r != 0)
		return fail(e, r, __func__, "begin");
	for (unsigned i = 0; i < KV_TABLE_N; i++) {
		r = mdb_dbi_open(txn, table_names[i], MDB_CREATE, &kv->dbi[i]);
		if (r != 0) {
			mdb_txn_abort(txn);
			return fail(e, r, __func__, table_names[i]);
		}
	}
	r = mdb_txn_commit(txn);
	if (r == EIO && is_full(kv))
		r = ENOSPC;
	return r == 0 ? ERR_OK : fail(e, r, __func__, "commit");
}

/*
 * LMDB makes its file of readers sparse and writes to it through a mapping: on a full disk that is a SIGBUS.  With its
 * blocks taken beforehand it is an error.
 */
static enum err_kind reserve_lock_file(const struct kv *kv, struct err *e)
{
	AUTO_CLOSE dir = open(kv->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_CLOSE fd = -1;
	int r;
	enum err_kind k;

	if (dir < 0)
		return fail(e, errno, __func__, kv->dir);
	k = fd_open_at(dir, "lock.mdb", O_RDWR | O_CREAT, 0600, &fd, e);
	if (k != ERR_OK)
		return k;
	r = posix_fallocate(fd, 0, (off_t)(kv->readers_max + LOCK_HEADER) * LOCK_READER);
	return r == 0 ? ERR_OK : fail(e, r, __func__, "reserve lock.mdb");
}

static enum err_kind open_env(struct kv *kv, struct err *e)
{
	int dead, r = mdb_env_create(&kv->env);

	if (r != 0)
		return fail(e, r, __func__, "create");
	if ((r = mdb_env_set_maxdbs(kv->env, KV_TABLE_N)) != 0 ||
	    (r = mdb_env_set_maxreaders(kv->env, kv->readers_max)) != 0 ||
	    (r = mdb_env_set_mapsize(kv->env, kv->map_bytes)) != 0)
		return fail(e, r, __func__, "configure");
	/* NORDAHEAD: look-ups are random, and read-ahead would fill the page cache with neighbours. */
	r = mdb_env_open(kv->env, kv->dir, MDB_NOTLS | MDB_NORDAHEAD, 0600);
	if (r != 0)
		return fail(e, r, __func__, kv->dir);
	r = mdb_reader_check(kv->env, &dead);
	if (r != 0)
		return fail(e, r, __func__, "reader check");
	return ERR_OK;
}

/* No transaction may be open but the idle ones. */
static void close_env(struct kv *kv)
{
	while (kv->n_idle) {
		struct kv_txn *t = kv->idle[--kv->n_idle];

		mdb_txn_abort(t->txn);
		free(t);
	}
	if (kv->env)
		mdb_env_close(kv->env);
	kv->env = NULL;
}

/* A waiting resize goes before new readers, or a busy registry would never let it in. */
static void resize_lock_init(pthread_rwlock_t *l)
{
	pthread_rwlockattr_t a;

	if (pthread_rwlockattr_init(&a) != 0 ||
	    pthread_rwlockattr_setkind_np(&a, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) != 0 ||
	    pthread_rwlock_init(l, &a) != 0)
		abort();
	(void)pthread_rwlockattr_destroy(&a);
}

enum err_kind kv_open(const char *dir, uint64_t map_bytes, unsigned readers_max, struct kv **ret,
		      struct err *e)
{
	struct kv *kv = calloc(1, sizeof(*kv));
	enum err_kind k;

	if (!kv)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the index");
	lock_init(&kv->mu, LOCK_READERS);
	resize_lock_init(&kv->resize);
	kv->map_bytes = map_bytes;
	kv->readers_max = readers_max;
	kv->dir = strdup(dir);
	k = kv->dir ? reserve_lock_file(kv, e) : err_set(e, ERR_NO_MEMORY, __func__, "no memory");
	if (k == ERR_OK)
		k = open_env(kv, e);
	if (k == ERR_OK)
		k = open_tables(kv, e);
	if (k != ERR_OK) {
		kv_close(&kv);
		return k;
	}
	*ret = kv;
	return ERR_OK;
}

void kv_close(struct kv **kv)
{
	struct kv *p = TAKE(*kv);

	if (!p)
		return;
	close_env(p);
	(void)pthread_rwlock_destroy(&p->resize);
	lock_clear(&p->mu);
	free(p->dir);
	free(p);
}

enum err_kind kv_reopen(struct kv *kv, struct err *e)
{
	enum err_kind k;

	(void)pthread_rwlock_wrlock(&kv->resize);
	close_env(kv);
	k = open_env(kv, e);
	if (k == ERR_OK)
		k = open_tables(kv, e);
	if (k != ERR_OK)
		close_env(kv);
	(void)pthread_rwlock_unlock(&kv->resize);
	return k;
}

static struct kv_txn *idle_take(struct kv *kv)
{
	struct kv_txn *t = NULL;

	lock_get(&kv->mu);
	if (kv->n_idle)
		t = kv->idle[--kv->n_idle];
	lock_put(&kv->mu);
	return t;
}

static bool idle_give(struct kv *kv, struct kv_txn *t)
{
	bool room;

	lock_get(&kv->mu);
	room = kv->n_idle < IDLE_READERS_MAX;
	if (room)
		kv->idle[kv->n_idle++] = t;
	lock_put(&kv->mu);
	return room;
}

enum err_kind kv_read_begin(struct kv *kv, struct kv_txn **ret, struct err *e)
{
	struct kv_txn *t;
	int r;

	(void)pthread_rwlock_rdlock(&kv->resize);
	t = idle_take(kv);
	if (!kv->env) {
		r = EIO;
	} else if (t) {
		r = mdb_txn_renew(t->txn);
	} else {
		t = calloc(1, sizeof(*t));
		r = t ? mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &t->txn) : ENOMEM;
	}
	if (r != 0) {
		if (t && t->txn)
			mdb_txn_abort(t->txn);
		free(t);
		(void)pthread_rwlock_unlock(&kv->resize);
		return fail(e, r, __func__, "begin read");
	}
	t->kv = kv;
	*ret = t;
	return ERR_OK;
}

enum err_kind kv_write_begin(struct kv *kv, struct kv_txn **ret, struct err *e)
{
	struct kv_txn *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a transaction");
	(void)pthread_rwlock_rdlock(&kv->resize);
	r = kv->env ? mdb_txn_begin(kv->env, NULL, 0, &t->txn) : EIO;
	if (r != 0) {
		(void)pthread_rwlock_unlock(&kv->resize);
		free(t);
		return fail(e, r, __func__, "begin write");
	}
	t->kv = kv;
	t->is_write = true;
	*ret = t;
	return ERR_OK;
}

enum err_kind kv_write_commit(struct kv_txn **t, struct err *e)
{
	struct kv_txn *p = TAKE(*t);
	int r = mdb_txn_commit(p->txn);

	if (r == EIO && is_full(p->kv))
		r = ENOSPC;
	(void)pthread_rwlock_unlock(&p->kv->resize);
	free(p);
	return r == 0 ? ERR_OK : fail(e, r, __func__, "commit");
}

void kv_end(struct kv_txn **t)
{
	struct kv_txn *p = TAKE(*t);
	int saved = errno;

	if (!p)
		return;
	if (p->is_write) {
		mdb_txn_abort(p->txn);
		(void)pthread_rwlock_unlock(&p->kv->resize);
		free(p);
	} else {
		struct kv *kv = p->kv;

		mdb_txn_reset(p->txn);
		if (!idle_give(kv, p)) {
			mdb_txn_abort(p->txn);
			free(p);
		}
		(void)pthread_rwlock_unlock(&kv->resize);
	}
	errno = saved;
}

enum err_kind kv_grow(struct kv *kv, struct err *e)
{
	int r;

	(void)pthread_rwlock_wrlock(&kv->resize);
	r = mdb_env_set_mapsize(kv->env, kv->map_bytes * 2);
	if (r == 0)
		kv->map_bytes *= 2;
	(void)pthread_rwlock_unlock(&kv->resize);
	return r == 0 ? ERR_OK : fail(e, r, __func__, "grow the map");
}

enum err_kind kv_get(struct kv_txn *t, enum kv_table table, struct str key, struct str *ret,
		     struct err *e)
{
	MDB_val k = val_of(key), v;
	int r = mdb_get(t->txn, t->kv->dbi[table], &k, &v);

	if (r == MDB_NOTFOUND)
		return ERR_NOT_FOUND;
	if (r != 0)
		return fail(e, r, __func__, table_names[table]);
	*ret = str_of_val(v);
	return ERR_OK;
}

enum err_kind kv_put(struct kv_txn *t, enum kv_table table, struct str key, struct str value,
		     struct err *e)
{
	MDB_val k = val_of(key), v = val_of(value);
	int r = mdb_put(t->txn, t->kv->dbi[table], &k, &v, 0);

	return r == 0 ? ERR_OK : fail(e, r, __func__, table_names[table]);
}

enum err_kind kv_delete(struct kv_txn *t, enum kv_table table, struct str key, struct err *e)
{
	MDB_val k = val_of(key);
	int r = mdb_del(t->txn, t->kv->dbi[table], &k, NULL);

	if (r == MDB_NOTFOUND)
		return ERR_NOT_FOUND;
	return r == 0 ? ERR_OK : fail(e, r, __func__, table_names[table]);
}

enum err_kind kv_count(struct kv_txn *t, enum kv_table table, uint64_t *ret, struct err *e)
{
	MDB_stat st;
	int r = mdb_stat(t->txn, t->kv->dbi[table], &st);

	if (r != 0)
		return fail(e, r, __func__, table_names[table]);
	*ret = st.ms_entries;
	return ERR_OK;
}

enum err_kind kv_cursor_open(struct kv_txn *t, enum kv_table table, struct kv_cursor **ret,
			     struct err *e)
{
	MDB_cursor *c;
	int r = mdb_cursor_open(t->txn, t->kv->dbi[table], &c);

	if (r != 0)
		return fail(e, r, __func__, table_names[table]);
	*ret = (struct kv_cursor *)c;
	return ERR_OK;
}

void kv_cursor_close(struct kv_cursor **c)
{
	MDB_cursor *p = (MDB_cursor *)TAKE(*c);

	if (p)
		mdb_cursor_close(p);
}

static enum err_kind move(struct kv_cursor *c, MDB_cursor_op op, MDB_val *k, struct str *ret_key,
			  struct str *ret_value, struct err *e)
{
	MDB_val v;
	int r = mdb_cursor_get((MDB_cursor *)c, k, &v, op);

	if (r == MDB_NOTFOUND)
		return ERR_NOT_FOUND;
	if (r != 0)
		return fail(e, r, __func__, "cursor");
	*ret_key = str_of_val(*k);
	*ret_value = str_of_val(v);
	return ERR_OK;
}

enum err_kind kv_seek(struct kv_cursor *c, struct str key, struct str *ret_key,
		      struct str *ret_value, struct err *e)
{
	MDB_val k = val_of(key);

	return move(c, key.n ? MDB_SET_RANGE : MDB_FIRST, &k, ret_key, ret_value, e);
}

enum err_kind kv_next(struct kv_cursor *c, struct str *ret_key, struct str *ret_value,
		      struct err *e)
{
	MDB_val k;

	return move(c, MDB_NEXT, &k, ret_key, ret_value, e);
}

enum err_kind kv_stat(struct kv *kv, struct kv_stat *ret, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	struct kv_stat s = { 0 };
	MDB_envinfo info;
	MDB_stat st;
	enum err_kind k = kv_read_begin(kv, &t, e);
	int r;

	if (k != ERR_OK)
		return k;
	r = mdb_env_info(kv->env, &info);
	if (r == 0)
		r = mdb_env_stat(kv->env, &st);
	if (r != 0)
		return fail(e, r, __func__, "info");
	s.map_bytes = info.me_mapsize;
	s.used_bytes = (uint64_t)(info.me_last_pgno + 1) * st.ms_psize;
	s.readers = info.me_numreaders;
	for (unsigned i = 0; i < KV_TABLE_N && k == ERR_OK; i++)
		k = kv_count(t, i, &s.entries[i], e);
	if (k == ERR_OK)
		*ret = s;
	return k;
}

enum err_kind kv_copy(struct kv *kv, int fd, struct err *e)
{
	struct kv_stat stat;
	enum err_kind k = kv_stat(kv, &stat, e);
	int r;

	if (k == ERR_OK && stat.used_bytes > stat.map_bytes / 2)
		k = kv_grow(kv, e);
	if (k != ERR_OK)
		return k;
	(void)pthread_rwlock_rdlock(&kv->resize);
	r = kv->env ? mdb_env_copyfd2(kv->env, fd, MDB_CP_COMPACT) : EIO;
	(void)pthread_rwlock_unlock(&kv->resize);
	return r == 0 ? ERR_OK : fail(e, r, __func__, "copy");
}
