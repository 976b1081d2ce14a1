#include "runtime/image/fetch.h"

#include <errno.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/lock.h"

#define FILE_NAME_MAX (DIGEST_TEXT_MAX + 24)
#define READ_BYTES (256u * 1024)
#define TICK_MS 100
#define WRITE_BACK_BYTES (8u * 1024 * 1024)

struct fetch {
	struct fetch *next;
	struct fetch_set *set;
	struct descriptor d;
	char name[FILE_NAME_MAX];
	int fd;
	struct hash *hash;
	char rest[DIGEST_TEXT_MAX + 16];
	struct exchange x;
	uint64_t skip;       /* of a body that begins anew: bytes that are here already */
	uint64_t written_to; /* of the file, that the kernel was told to write */
	bool started, finished;
	bool went_on, misled; /* with what was there; which was no part of the blob */

	struct lock mu;
	pthread_cond_t changed;
	uint64_t have;      /* under mu */
	bool whole;         /* under mu */
	struct err failure; /* under mu; kind ERR_OK: none */
};

struct fetch_set {
	const struct images *im;
	const struct client_repo *from;
	struct fetch *first, **last;
};

enum err_kind fetch_set_new(const struct images *im, const struct client_repo *from,
			    struct fetch_set **ret, struct err *e)
{
	struct fetch_set *set = calloc(1, sizeof(*set));

	if (!set)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a pull");
	set->im = im;
	set->from = from;
	set->last = &set->first;
	*ret = set;
	return ERR_OK;
}

static void fetch_free(struct fetch *f)
{
	exchange_clear(&f->x);
	hash_free(&f->hash);
	fd_close(&f->fd);
	(void)pthread_cond_destroy(&f->changed);
	lock_clear(&f->mu);
	free(f);
}

void fetch_set_free(struct fetch_set **take)
{
	struct fetch_set *set = TAKE(*take);

	while (set && set->first) {
		struct fetch *f = set->first;

		set->first = f->next;
		fetch_free(f);
	}
	free(set);
}

/* --- Readers --- */

static void fail(struct fetch *f, const struct err *why)
{
	lock_get(&f->mu);
	if (f->failure.kind == ERR_OK)
		f->failure = *why;
	(void)pthread_cond_broadcast(&f->changed);
	lock_put(&f->mu);
}

static void tell_have(struct fetch *f, uint64_t more, bool whole)
{
	lock_get(&f->mu);
	f->have += more;
	f->whole = whole;
	(void)pthread_cond_broadcast(&f->changed);
	lock_put(&f->mu);
}

uint64_t fetch_have(struct fetch *f)
{
	uint64_t have;

	lock_get(&f->mu);
	have = f->have;
	lock_put(&f->mu);
	return have;
}

enum err_kind fetch_read(void *arg, void *buf, size_t cap, size_t *ret_n, struct err *e)
{
	struct fetch_reader *r = arg;
	struct fetch *f = r->of;
	uint64_t have;
	size_t n;
	enum err_kind k;

	lock_get(&f->mu);
	while (f->have == r->at && !f->whole && !r->cancelled && f->failure.kind == ERR_OK)
		(void)lock_wait(&f->mu, &f->changed, 0);
	have = f->have;
	k = f->failure.kind;
	if (k != ERR_OK)
		*e = f->failure;
	else if (r->cancelled)
		k = err_set(e, ERR_IO, __func__, "given up");
	lock_put(&f->mu);
	if (k != ERR_OK)
		return k;
	n = have - r->at < cap ? (size_t)(have - r->at) : cap;
	k = fd_pread_exact(f->fd, buf, n, r->at, f->name, e);
	if (k != ERR_OK)
		return k;
	r->at += n;
	*ret_n = n;
	return ERR_OK;
}

void fetch_cancel(void *arg)
{
	struct fetch_reader *r = arg;

	lock_get(&r->of->mu);
	r->cancelled = true;
	(void)pthread_cond_broadcast(&r->of->changed);
	lock_put(&r->of->mu);
}

/* --- Files --- */

static bool lock_file(int fd)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_SETLK, &whole) == 0;
}

/* The name that everybody would go on with or, while another process does, one of our own. */
static enum err_kind open_file(struct fetch *f, struct err *e)
{
	int dir = images_dir(f->set->im, IMAGES_DOWNLOADS);
	char hex[DIGEST_HEX_MAX + 1];
	uint64_t random;
	struct stat a, b;
	enum err_kind k;

	(void)snprintf(f->name, sizeof(f->name), "%s-%s", digest_alg_text(f->d.digest.alg),
		       digest_hex(&f->d.digest, hex));
	k = fd_open_at(dir, f->name, O_RDWR | O_CREAT, 0600, &f->fd, e);
	if (k != ERR_OK)
		return k;
	if (lock_file(f->fd) && fstat(f->fd, &a) == 0 &&
	    fstatat(dir, f->name, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_ino == b.st_ino)
		return ERR_OK;
	fd_close(&f->fd);
	random_bytes(&random, sizeof(random));
	(void)snprintf(f->name + strlen(f->name), sizeof(f->name) - strlen(f->name), ".%016llx",
		       (unsigned long long)random);
	k = fd_open_at(dir, f->name, O_RDWR | O_CREAT | O_EXCL, 0600, &f->fd, e);
	if (k == ERR_OK && !lock_file(f->fd))
		return err_sys(e, __func__, "lock %s", f->name);
	return k;
}

/* More than the blob has is of no use. */
static enum err_kind hash_what_is_there(struct fetch *f, struct err *e)
{
	AUTO_FREE uint8_t *buf = malloc(READ_BYTES);
	struct stat s;
	uint64_t at = 0, end;
	enum err_kind k = hash_new((enum digest_alg)f->d.digest.alg, &f->hash, e);

	if (!buf)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a download");
	if (k == ERR_OK && fstat(f->fd, &s) < 0)
		return err_sys(e, __func__, "stat %s", f->name);
	if (k != ERR_OK)
		return k;
	end = (uint64_t)s.st_size <= f->d.size_bytes ? (uint64_t)s.st_size : 0;
	while (k == ERR_OK && at < end) {
		size_t n = (size_t)MIN(end - at, (uint64_t)READ_BYTES);

		k = fd_pread_exact(f->fd, buf, n, at, f->name, e);
		if (k == ERR_OK)
			k = hash_update(f->hash, buf, n, e);
		at += n;
	}
	f->have = end;
	f->went_on = end > 0;
	if (k == ERR_OK && end == 0 && sys_ftruncate(f->fd, 0) < 0)
		return err_sys(e, __func__, "truncate %s", f->name);
	return k;
}

static void drop_file(struct fetch *f)
{
	(void)sys_unlinkat(images_dir(f->set->im, IMAGES_DOWNLOADS), f->name, 0); /* or sweep */
}

/* --- One fetch --- */

static enum err_kind sink(void *arg, const void *p, size_t n, struct err *e)
{
	struct fetch *f = arg;
	size_t skipped = (size_t)MIN(f->skip, (uint64_t)n);
	const uint8_t *bytes = (const uint8_t *)p + skipped;
	uint64_t at = f->have; /* only this thread changes it */
	enum err_kind k;

	f->skip -= skipped;
	n -= skipped;
	if (n > f->d.size_bytes - at)
		return err_set(e, ERR_SIZE, __func__,
			       "a blob of more than the announced %llu bytes",
			       (unsigned long long)f->d.size_bytes);
	k = fd_pwrite_all(f->fd, bytes, n, at, f->name, e);
	if (k == ERR_OK)
		k = hash_update(f->hash, bytes, n, e);
	if (k != ERR_OK)
		return k;
	/* So that the sync before the blob becomes one finds little left to write. */
	if (at + n - f->written_to >= WRITE_BACK_BYTES) {
		(void)sync_file_range(f->fd, (off_t)f->written_to, (off_t)(at + n - f->written_to),
				      SYNC_FILE_RANGE_WRITE);
		f->written_to = at + n;
	}
	tell_have(f, n, false);
	return ERR_OK;
}

static enum err_kind accept_answer(void *arg, const struct transfer_job *j, struct err *e)
{
	struct fetch *f = arg;

	return client_blob_accept(j, f->have, &f->skip, e);
}

static uint64_t offset(void *arg)
{
	return ((struct fetch *)arg)->have;
}

enum err_kind fetch_add(struct fetch_set *set, const struct descriptor *d, struct fetch **ret,
			struct err *e)
{
	struct fetch *f = calloc(1, sizeof(*f));
	enum err_kind k;

	if (!f)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a download");
	f->set = set;
	f->d = *d;
	f->fd = -1;
	lock_init(&f->mu, LOCK_TRANSFER);
	cond_init(&f->changed);
	k = open_file(f, e);
	if (k == ERR_OK)
		k = hash_what_is_there(f, e);
	if (k != ERR_OK) {
		fetch_free(f);
		return k;
	}
	client_blob_exchange(set->from, &f->d.digest, f->rest, &f->x);
	f->x.offset = offset;
	f->x.body.sink = sink;
	f->x.body.accept = accept_answer;
	f->x.body.arg = f;
	*set->last = f;
	set->last = &f->next;
	*ret = f;
	return ERR_OK;
}

static enum err_kind check_whole(struct fetch *f, struct err *e)
{
	char got[DIGEST_TEXT_MAX], text[DIGEST_TEXT_MAX];
	struct digest d;
	enum err_kind k;

	if (f->have != f->d.size_bytes)
		return err_set(e, ERR_SIZE, __func__, "blob %.80s: %llu bytes, not %llu",
			       digest_text(&f->d.digest, text), (unsigned long long)f->have,
			       (unsigned long long)f->d.size_bytes);
	k = hash_final(f->hash, &d, e);
	if (k != ERR_OK || digest_eq(&d, &f->d.digest))
		return k;
	drop_file(f);
	f->misled = f->went_on;
	return err_set(e, ERR_DIGEST, __func__, "a blob hashes to %.80s, not to %.80s",
		       digest_text(&d, got), digest_text(&f->d.digest, text));
}

static enum err_kind finish(struct fetch *f, struct err *e)
{
	enum err_kind k = check_whole(f, e);

	f->finished = true;
	if (k == ERR_OK)
		tell_have(f, 0, true);
	return k;
}

static enum err_kind start(struct fetch *f, struct err *e)
{
	f->started = true;
	if (f->have == f->d.size_bytes)
		return finish(f, e);
	return exchange_start(&f->x, e);
}

/* Its exchange has ended: done, or to be tried again at not_before_mono_ms. */
static enum err_kind advance(struct fetch *f, struct err *e)
{
	enum exchange_state state;
	long status;
	enum err_kind k = exchange_next(&f->x, &state, e);

	if (k != ERR_OK)
		return k;
	if (state == EXCHANGE_AGAIN) {
		transfer_job_free(&f->x.job);
		return ERR_OK;
	}
	status = transfer_status(f->x.job);
	if (status != 200 && status != 206)
		return exchange_refused(&f->x, "blob", e);
	transfer_job_free(&f->x.job);
	return finish(f, e);
}

/* --- All of them --- */

static bool has_unfinished(const struct fetch_set *set)
{
	for (const struct fetch *f = set->first; f; f = f->next) {
		if (!f->finished)
			return true;
	}
	return false;
}

static struct fetch *find_job(const struct fetch_set *set, const struct transfer_job *job)
{
	for (struct fetch *f = set->first; f; f = f->next) {
		if (f->x.job == job)
			return f;
	}
	return NULL;
}

/* Starts what may be started. */
static enum err_kind start_due(struct fetch_set *set, struct fetch **ret_at, struct err *e)
{
	unsigned active = 0;
	uint64_t now = mono_ms();
	enum err_kind k = ERR_OK;

	for (struct fetch *f = set->first; k == ERR_OK && f && active < FETCH_AT_ONCE;
	     f = f->next) {
		if (f->finished)
			continue;
		*ret_at = f;
		if (!f->started)
			k = start(f, e);
		else if (!f->x.job && now >= f->x.not_before_mono_ms)
			k = exchange_start(&f->x, e);
		active += !f->finished;
	}
	return k;
}

static enum err_kind step(struct fetch_set *set, struct fetch **ret_at, struct err *e)
{
	struct transfer_job *job = NULL;
	enum err_kind k = start_due(set, ret_at, e);

	if (k == ERR_OK && has_unfinished(set))
		k = transfer_wait(client_transfer(set->from->c), TICK_MS, &job, e);
	if (k != ERR_OK || !job)
		return k;
	*ret_at = find_job(set, job);
	return *ret_at ? advance(*ret_at, e) : ERR_OK;
}

/* Readers of all are told, so that none waits for what will not come. */
static void fail_all(struct fetch_set *set, const struct err *why)
{
	for (struct fetch *f = set->first; f; f = f->next) {
		if (!f->finished)
			fail(f, why);
	}
}

enum err_kind fetch_run(struct fetch_set *set, fetch_tick_fn *tick, void *arg, struct err *e)
{
	enum err_kind k = ERR_OK;

	while (k == ERR_OK && has_unfinished(set)) {
		struct fetch *at = NULL;

		k = step(set, &at, e);
		if (k != ERR_OK && at) {
			fail(at, e);
			at->finished = true;
		}
		if (k == ERR_OK)
			k = tick(arg, e);
	}
	if (k != ERR_OK)
		fail_all(set, e);
	return k;
}

bool fetch_set_was_misled(const struct fetch_set *set)
{
	for (const struct fetch *f = set->first; f; f = f->next) {
		if (f->misled)
			return true;
	}
	return false;
}

enum err_kind fetch_adopt(struct fetch *f, struct images *im, const struct repo_name *repo,
			  struct err *e)
{
	return images_blob_adopt(im, repo, images_dir(im, IMAGES_DOWNLOADS), f->name, &f->d.digest,
				 e);
}

/* --- Leftovers --- */

struct sweep {
	int dir;
	uint64_t bytes;
};

static enum err_kind sweep_one(void *arg, const char *name, struct err *e)
{
	struct sweep *s = arg;
	AUTO_CLOSE fd = -1;
	struct stat st;
	struct err ignored;

	if (fd_open_at(s->dir, name, O_RDWR, 0, &fd, &ignored) != ERR_OK || !lock_file(fd) ||
	    fstat(fd, &st) < 0)
		return ERR_OK; /* gone, or somebody works on it */
	if (sys_unlinkat(s->dir, name, 0) < 0)
		return err_sys(e, __func__, "remove %s", name);
	s->bytes += (uint64_t)st.st_size;
	return ERR_OK;
}

enum err_kind fetch_sweep(const struct images *im, uint64_t *ret_bytes, struct err *e)
{
	struct sweep s = { .dir = images_dir(im, IMAGES_DOWNLOADS) };
	enum err_kind k = fd_list_dir(s.dir, ".", sweep_one, &s, e);

	*ret_bytes = s.bytes;
	return k;
}
