#include "storage/blob.h"

#include <errno.h>
#include <limits.h>

#include "base/fd.h"
#include "base/hash.h"
#include "base/step.h"
#include "storage/store_impl.h"

#define VERIFY_BYTES (1024u * 1024)
#define VERIFY_ALIGN 4096

const char *upload_id_text(const struct upload_id *id, char buf[static UPLOAD_ID_TEXT_MAX])
{
	static const uint8_t groups[] = { 4, 2, 2, 2, 6 };
	const uint8_t *from = id->bytes;
	char *to = buf;

	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		if (i)
			*to++ = '-';
		hex_lower(from, groups[i], to);
		from += groups[i];
		to += 2 * groups[i];
	}
	*to = '\0';
	return buf;
}

bool upload_id_parse(struct upload_id *ret, struct str in)
{
	struct upload_id id;
	char text[UPLOAD_ID_TEXT_MAX];
	size_t n = 0;

	if (in.n != UPLOAD_ID_TEXT_MAX - 1)
		return false;
	for (size_t i = 0; i < in.n && n < sizeof(id.bytes);) {
		int high, low;

		if (in.p[i] == '-') {
			i++;
			continue;
		}
		high = hex_value(in.p[i]);
		low = i + 1 < in.n ? hex_value(in.p[i + 1]) : -1;
		if (high < 0 || low < 0)
			return false;
		id.bytes[n++] = (uint8_t)(high << 4 | low);
		i += 2;
	}
	/* One spelling only: dashes in their places, lower case. */
	if (n != sizeof(id.bytes) || !str_eq(str_of(upload_id_text(&id, text)), in))
		return false;
	*ret = id;
	return true;
}

void upload_id_new(struct upload_id *ret)
{
	random_bytes(ret->bytes, sizeof(ret->bytes));
	ret->bytes[6] = (uint8_t)((ret->bytes[6] & 0x0f) | 0x40); /* RFC 9562: version 4 */
	ret->bytes[8] = (uint8_t)((ret->bytes[8] & 0x3f) | 0x80);
}

void blob_pending_name(const struct digest *d, const struct upload_id *id,
		       char buf[static BLOB_FILE_NAME_MAX])
{
	char hex[DIGEST_HEX_MAX + 1], text[UPLOAD_ID_TEXT_MAX];

	(void)snprintf(buf, BLOB_FILE_NAME_MAX, "%s-%s.%s", digest_alg_text(d->alg),
		       digest_hex(d, hex), upload_id_text(id, text));
}

bool blob_pending_parse(struct str name, struct digest *ret, struct upload_id *ret_id)
{
	char text[DIGEST_TEXT_MAX];
	struct str alg, hex, id;

	if (!str_cut(name, '.', &name, &id) || !str_cut(name, '-', &alg, &hex) ||
	    !str_copy(name, text, sizeof(text)))
		return false;
	text[alg.n] = ':';
	return digest_parse(ret, (struct str){ text, name.n }) && upload_id_parse(ret_id, id);
}

void blob_path(const struct digest *d, char buf[static BLOB_PATH_MAX])
{
	char hex[DIGEST_HEX_MAX + 1];

	digest_hex(d, hex);
	(void)snprintf(buf, BLOB_PATH_MAX, "%.2s/%s", hex, hex);
}

/* The place in a list where the digest's publisher is, or where it would be put. */
static struct publisher **publisher_at(struct store *st, const struct digest *d)
{
	size_t bucket = (d->bytes[0] | (size_t)d->bytes[1] << 8) % PUBLISHERS_BUCKETS;
	struct publisher **at = &st->publishers[bucket];

	while (*at && !digest_eq(&(*at)->digest, d))
		at = &(*at)->next;
	return at;
}

static void publisher_enter(struct store *st, struct publisher *p)
{
	lock_get(&st->publishers_mu);
	while (*publisher_at(st, &p->digest)) {
		STEP("publish.waits");
		(void)lock_wait(&st->publishers_mu, &st->published, 0);
	}
	p->next = NULL;
	*publisher_at(st, &p->digest) = p;
	lock_put(&st->publishers_mu);
	STEP("publish.claimed");
}

bool blob_claim(struct store *st, const struct digest *d, struct publisher *p)
{
	struct publisher **at;
	bool free_now;

	*p = (struct publisher){ .digest = *d };
	lock_get(&st->publishers_mu);
	at = publisher_at(st, d);
	free_now = !*at;
	if (free_now)
		*at = p;
	lock_put(&st->publishers_mu);
	return free_now;
}

void blob_unclaim(struct store *st, struct publisher *p)
{
	lock_get(&st->publishers_mu);
	*publisher_at(st, &p->digest) = p->next;
	(void)pthread_cond_broadcast(&st->published);
	lock_put(&st->publishers_mu);
}

/*
 * Two names change files, so that a change which fails can be undone to the byte.  Where a file system cannot do that
 * the old file goes for good, and with it what a session would go on with.
 */
static int swap(struct store *st, const struct publisher *p, const char *path)
{
	return sys_renameat2(st->uploads_fd, p->name, st->blobs_fd[p->digest.alg], path,
			     RENAME_EXCHANGE);
}

static enum err_kind replace(struct store *st, struct publisher *p, const char *path, struct err *e)
{
	if (swap(st, p, path) == 0) {
		p->swapped = true;
		return ERR_OK;
	}
	if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return err_sys(e, __func__, "replace %s", path);
	if (sys_renameat(st->uploads_fd, p->name, st->blobs_fd[p->digest.alg], path) < 0)
		return err_sys(e, __func__, "replace %s", path);
	return ERR_OK;
}

/* P1's straight line: bytes, then name, then the directory that holds it; no early success (B2). */
static enum err_kind place_durably(struct store *st, int fd, struct publisher *p, struct err *e)
{
	int blobs = st->blobs_fd[p->digest.alg];
	char path[BLOB_PATH_MAX], shard[3];
	enum err_kind k;

	blob_path(&p->digest, path);
	(void)snprintf(shard, sizeof(shard), "%.2s", path);
	if (sys_fchmod(fd, 0444) < 0)
		return err_sys(e, __func__, "protect %s", path);
	if (sys_fsync(fd) < 0)
		return err_sys(e, __func__, "fsync %s", path);
	if (sys_linkat(st->uploads_fd, p->name, blobs, path, 0) < 0) {
		if (errno != EEXIST)
			return err_sys(e, __func__, "link %s", path);
		k = replace(st, p, path, e);
		if (k != ERR_OK)
			return k;
	}
	p->placed = true;
	return fd_sync_dir(blobs, shard, e);
}

/* A file that is there may be durable, so only one that is as durable replaces it, and only if it must. */
static enum err_kind place_later(struct store *st, int fd, struct publisher *p, struct str bytes,
				 struct err *e)
{
	char path[BLOB_PATH_MAX];
	bool same = false;
	enum err_kind k;

	blob_path(&p->digest, path);
	if (sys_fchmod(fd, 0444) < 0)
		return err_sys(e, __func__, "protect %s", path);
	if (sys_linkat(st->uploads_fd, p->name, st->blobs_fd[p->digest.alg], path, 0) == 0) {
		p->placed = true;
		return ERR_OK;
	}
	if (errno != EEXIST)
		return err_sys(e, __func__, "link %s", path);
	k = blob_holds(st, &p->digest, bytes, &same, e);
	return k != ERR_OK || same ? k : place_durably(st, fd, p, e);
}

enum err_kind blob_publish(struct store *st, int fd, const struct upload_id *id,
			   const struct digest *d, struct publisher *p, struct err *e)
{
	char open_name[UPLOAD_ID_TEXT_MAX];
	enum err_kind k = ERR_OK;

	*p = (struct publisher){ .digest = *d, .id = *id };
	blob_pending_name(d, id, p->name);
	upload_id_text(id, open_name);
	publisher_enter(st, p);
	if (sys_renameat(st->uploads_fd, open_name, st->uploads_fd, p->name) < 0)
		k = err_sys(e, __func__, "rename %s", open_name);
	if (k == ERR_OK)
		k = place_durably(st, fd, p, e);
	STEP("publish.placed");
	return k == ERR_OK ? k : err_wrap(e, "publish");
}

/* The file first, under a name that tells the next start what it is if this one does not get further. */
static enum err_kind write_pending(struct store *st, const char *name, struct str bytes, int *ret,
				   struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k =
	    fd_open_at(st->uploads_fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600, &fd, e);

	if (k != ERR_OK)
		return k;
	k = fd_write_all(fd, bytes.p, bytes.n, "manifest", e);
	if (k != ERR_OK) {
		(void)sys_unlinkat(st->uploads_fd, name, 0); /* else the next start's */
		return k;
	}
	*ret = TAKE_FD(fd);
	return ERR_OK;
}

enum err_kind blob_publish_bytes(struct store *st, const struct digest *d, struct str bytes,
				 enum publish_how how, struct publisher *p, struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k;

	*p = (struct publisher){ .digest = *d };
	upload_id_new(&p->id);
	blob_pending_name(d, &p->id, p->name);
	k = write_pending(st, p->name, bytes, &fd, e);
	if (k != ERR_OK)
		return k;
	publisher_enter(st, p);
	k = how == PUBLISH_SYNCED ? place_durably(st, fd, p, e) : place_later(st, fd, p, bytes, e);
	STEP("publish.placed");
	if (k == ERR_OK)
		return k;
	blob_settle(st, p, BLOB_DROPPED);
	return err_wrap(e, "publish");
}

enum err_kind blob_banish(struct store *st, const struct digest *d, struct err *e)
{
	char path[BLOB_PATH_MAX], name[BLOB_FILE_NAME_MAX], hex[DIGEST_HEX_MAX + 1];

	blob_path(d, path);
	(void)snprintf(name, sizeof(name), "trash/%s-%s", digest_alg_text(d->alg),
		       digest_hex(d, hex));
	if (sys_renameat(st->blobs_fd[d->alg], path, st->root_fd, name) < 0 && errno != ENOENT)
		return err_sys(e, __func__, "move %s to the trash", path);
	return ERR_OK;
}

enum err_kind blob_discard(struct store *st, const struct digest *d, struct err *e)
{
	char path[BLOB_PATH_MAX];

	blob_path(d, path);
	if (sys_unlinkat(st->blobs_fd[d->alg], path, 0) < 0 && errno != ENOENT)
		return err_sys(e, __func__, "remove %s", path);
	return ERR_OK;
}

/* A session goes on with its file. */
static void give_back(struct store *st, const struct publisher *p, const struct upload_id *id)
{
	char open_name[UPLOAD_ID_TEXT_MAX];

	if (sys_fchmodat(st->uploads_fd, p->name, 0600, 0) == 0)
		(void)sys_renameat(st->uploads_fd, p->name, st->uploads_fd,
				   upload_id_text(id, open_name));
}

/* The way back of a change that failed.  What does not work here is done by the next start (B4). */
static void take_back(struct store *st, struct publisher *p, bool keep)
{
	struct err ignored;
	char path[BLOB_PATH_MAX];
	struct object_row object;
	enum err_kind k = ERR_OK;

	blob_path(&p->digest, path);
	if (p->swapped && keep) {
		if (swap(st, p, path) < 0)
			return;
	} else if (p->placed) {
		k = index_object_find(st->index, &p->digest, &object, NULL, &ignored);
		if (k == ERR_NOT_FOUND)
			k = blob_discard(st, &p->digest, &ignored);
		else
			keep = false; /* others have it: nobody may write to these bytes any more */
	}
	if (k == ERR_OK && keep)
		give_back(st, p, &p->id);
	else if (k == ERR_OK)
		(void)sys_unlinkat(st->uploads_fd, p->name, 0);
}

void blob_settle(struct store *st, struct publisher *p, enum blob_outcome outcome)
{
	if (outcome == BLOB_COMMITTED)
		(void)sys_unlinkat(st->uploads_fd, p->name, 0); /* else the next start's */
	else
		take_back(st, p, outcome == BLOB_KEPT);
	blob_unclaim(st, p);
}

enum err_kind blob_rewrite(struct store *st, const struct digest *d, struct str bytes,
			   enum publish_how how, struct err *e)
{
	struct publisher p;
	enum err_kind k = blob_publish_bytes(st, d, bytes, how, &p, e);

	if (k == ERR_OK)
		blob_settle(st, &p,
			    BLOB_DROPPED); /* which keeps the file of what the index knows */
	return k;
}

static enum err_kind missing(const char *path, struct err *e)
{
	return err_set(e, ERR_CORRUPT, __func__, "file of blob %.20s... is missing", path);
}

static enum err_kind check_size(const char *path, const struct stat *s, uint64_t size_bytes,
				struct err *e)
{
	if (S_ISREG(s->st_mode) && (uint64_t)s->st_size == size_bytes)
		return ERR_OK;
	return err_set(e, ERR_CORRUPT, __func__, "file of blob %.20s... has %lld bytes, not %llu",
		       path, (long long)s->st_size, (unsigned long long)size_bytes);
}

enum err_kind blob_look(struct store *st, const struct digest *d, uint64_t size_bytes,
			struct err *e)
{
	char path[BLOB_PATH_MAX];
	struct stat s;

	blob_path(d, path);
	if (fstatat(st->blobs_fd[d->alg], path, &s, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? missing(path, e) : err_sys(e, __func__, "stat %s", path);
	return check_size(path, &s, size_bytes, e);
}

enum err_kind blob_open(struct store *st, const struct digest *d, uint64_t size_bytes, int *ret_fd,
			struct err *e)
{
	AUTO_CLOSE fd = -1;
	char path[BLOB_PATH_MAX];
	struct stat s;
	enum err_kind k;

	blob_path(d, path);
	k = fd_open_at(st->blobs_fd[d->alg], path, O_RDONLY, 0, &fd, e);
	if (k == ERR_NOT_FOUND)
		return missing(path, e);
	if (k != ERR_OK)
		return k;
	if (fstat(fd, &s) < 0)
		return err_sys(e, __func__, "stat %s", path);
	k = check_size(path, &s, size_bytes, e);
	if (k == ERR_OK)
		*ret_fd = TAKE_FD(fd);
	return k;
}

/* --- all files --- */

struct listing {
	blob_name_fn *fn;
	void *arg;
	enum digest_alg alg;
	unsigned byte; /* of the directory */
};

static bool name_parse(const struct listing *l, const char *name, struct digest *ret)
{
	char text[DIGEST_TEXT_MAX];
	int n = snprintf(text, sizeof(text), "%s:%s", digest_alg_text(l->alg), name);

	return n > 0 && (size_t)n < sizeof(text) &&
	       digest_parse(ret, (struct str){ text, (size_t)n }) && ret->bytes[0] == l->byte;
}

static enum err_kind list_name(void *arg, const char *name, struct err *e)
{
	const struct listing *l = arg;
	char path[NAME_MAX + 16];
	struct digest d;

	(void)snprintf(path, sizeof(path), "%s/%02x/%s", digest_alg_text(l->alg), l->byte, name);
	return l->fn(l->arg, name_parse(l, name, &d) ? &d : NULL, path, e);
}

enum err_kind blob_list(struct store *st, blob_name_fn *fn, void *arg, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (unsigned alg = DIGEST_SHA256; alg <= DIGEST_SHA512; alg++) {
		for (unsigned byte = 0; byte < 256 && k == ERR_OK; byte++) {
			struct listing l = {
				.fn = fn, .arg = arg, .alg = (enum digest_alg)alg, .byte = byte
			};
			char dir[3];

			(void)snprintf(dir, sizeof(dir), "%02x", byte);
			k = fd_list_dir(st->blobs_fd[alg], dir, list_name, &l, e);
		}
	}
	return k;
}

bool blob_exists(struct store *st, const struct digest *d)
{
	char path[BLOB_PATH_MAX];

	blob_path(d, path);
	return faccessat(st->blobs_fd[d->alg], path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

enum err_kind blob_read(struct store *st, const struct digest *d, uint64_t size_bytes,
			struct sbuf *b, struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k = blob_open(st, d, size_bytes, &fd, e);

	if (k != ERR_OK)
		return k;
	if (size_bytes > b->max || !sbuf_reserve(b, (size_t)size_bytes))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a blob");
	k = fd_pread_exact(fd, b->p + b->n, (size_t)size_bytes, 0, "blob", e);
	if (k != ERR_OK)
		return k;
	b->n += (size_t)size_bytes;
	b->p[b->n] = '\0';
	return ERR_OK;
}

/*
 * The next bytes, as the disk has them: past the page cache, which may hide what the disk has lost, and which is for who
 * pulls.  Where that is not possible, or not at this offset, through it.
 */
static ssize_t read_from_disk(int fd, void *buf, uint64_t at)
{
	for (;;) {
		ssize_t n = sys_pread(fd, buf, VERIFY_BYTES, (off_t)at);

		if (n >= 0 || (errno != EINTR && errno != EINVAL))
			return n;
		if (errno == EINVAL &&
		    (!(fcntl(fd, F_GETFL) & O_DIRECT) || fcntl(fd, F_SETFL, 0) < 0))
			return n;
	}
}

static enum err_kind hash_file(int fd, uint64_t size_bytes, struct hash *h, blob_pace_fn *pace,
			       void *arg, struct err *e)
{
	AUTO_FREE uint8_t *buf = aligned_alloc(VERIFY_ALIGN, VERIFY_BYTES);

	if (!buf)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to verify a blob");
	(void)fcntl(fd, F_SETFL, O_DIRECT);
	for (uint64_t at = 0; at < size_bytes;) {
		ssize_t n = read_from_disk(fd, buf, at);
		enum err_kind k;

		if (n < 0 && errno == EIO)
			return err_set(e, ERR_CORRUPT, __func__, "the disk cannot read a blob");
		if (n < 0)
			return err_sys(e, __func__, "read a blob");
		if (n == 0 || (uint64_t)n > size_bytes - at)
			return err_set(e, ERR_CORRUPT, __func__, "a blob has another size");
		k = hash_update(h, buf, (size_t)n, e);
		if (k != ERR_OK)
			return k;
		at += (uint64_t)n;
		if (pace && !pace(arg, (size_t)n))
			return err_set(e, ERR_IN_USE, __func__, "the check was stopped");
	}
	return ERR_OK;
}

enum err_kind blob_verify(struct store *st, const struct digest *d, uint64_t size_bytes,
			  blob_pace_fn *pace, void *arg, bool *ret, struct err *e)
{
	AUTO_CLOSE fd = -1;
	AUTO_HASH *h = NULL;
	struct digest got;
	enum err_kind k = blob_open(st, d, size_bytes, &fd, e);

	*ret = false;
	if (k == ERR_OK)
		k = hash_new((enum digest_alg)d->alg, &h, e);
	if (k == ERR_OK)
		k = hash_file(fd, size_bytes, h, pace, arg, e);
	if (k == ERR_OK)
		k = hash_final(h, &got, e);
	*ret = k == ERR_OK && digest_eq(&got, d);
	return k == ERR_CORRUPT ? ERR_OK : k;
}

enum err_kind blob_holds(struct store *st, const struct digest *d, struct str bytes, bool *ret,
			 struct err *e)
{
	AUTO_SBUF found = { .max = bytes.n + 1 };
	enum err_kind k = blob_read(st, d, bytes.n, &found, e);

	*ret = k == ERR_OK && str_eq((struct str){ found.p, found.n }, bytes);
	return k == ERR_CORRUPT ? ERR_OK : k;
}
