#include <search.h>

#include "base/fd.h"
#include "base/hash.h"
#include "storage/import_impl.h"
#include "storage/repo.h"
#include "storage/store_impl.h"
#include "storage/upload.h"

#define READ_BYTES (1024u * 1024)
#define VERIFIED_MAX 250000 /* files remembered: what is not is hashed again */

/* --- files that were hashed --- */

/* The same file in several repositories, as distribution has it and zot's links are, is hashed once. */
struct verified {
	dev_t dev;
	ino_t ino;
	struct digest digest;
};

static int verified_order(const void *a, const void *b)
{
	const struct verified *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return memcmp(&x->digest, &y->digest, sizeof(x->digest));
}

/* Between two runs of tasks only: those look at the tree. */
static void remember(struct import *im, const struct blob_job *b)
{
	struct verified *fresh, **at;

	if (!b->verified || im->n_verified == VERIFIED_MAX)
		return;
	fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return;
	*fresh = (struct verified){ .dev = b->dev, .ino = b->ino, .digest = b->digest };
	at = tsearch(fresh, &im->verified, verified_order);
	if (!at || *at != fresh)
		free(fresh);
	else
		im->n_verified++;
}

static bool was_verified(struct import *im, const struct blob_job *b)
{
	const struct verified key = { .dev = b->dev, .ino = b->ino, .digest = b->digest };

	return tfind(&key, &im->verified, verified_order) != NULL;
}

/* --- one blob; by any thread --- */

static bool pace(void *arg, size_t n)
{
	struct import *im = arg;

	im->read_bytes += n;
	return !im->stop;
}

/* N1 for content that the store has: the source has it as well, and not only its name. */
static enum err_kind hash_file(struct import *im, int fd, struct blob_job *b, struct err *e)
{
	AUTO_FREE uint8_t *buf = malloc(READ_BYTES);
	AUTO_HASH *h = NULL;
	struct digest got;
	char text[DIGEST_TEXT_MAX];
	enum err_kind k = hash_new((enum digest_alg)b->digest.alg, &h, e);

	if (k == ERR_OK && !buf)
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory to hash");
	for (uint64_t at = 0; at < b->size_bytes && k == ERR_OK;) {
		size_t n = (size_t)MIN(b->size_bytes - at, (uint64_t)READ_BYTES);

		k = fd_pread_exact(fd, buf, n, at, "the file", e);
		if (k == ERR_IO || k == ERR_CORRUPT)
			return err_set(e, ERR_DIGEST, __func__, "the file cannot be read");
		if (k == ERR_OK)
			k = hash_update(h, buf, n, e);
		if (k == ERR_OK && !pace(im, n))
			k = import_stopped(e);
		at += n;
	}
	if (k == ERR_OK)
		k = hash_final(h, &got, e);
	if (k != ERR_OK || digest_eq(&got, &b->digest))
		return k;
	return err_set(e, ERR_DIGEST, __func__, "its bytes hash to %.80s", digest_text(&got, text));
}

static enum err_kind mount(struct import *im, int fd, struct blob_job *b, struct err *e)
{
	enum err_kind k = ERR_OK;

	if (im->o->dry_run)
		return ERR_OK;
	if (!was_verified(im, b))
		k = hash_file(im, fd, b, e);
	b->verified = k == ERR_OK;
	return k == ERR_OK ? repo_blob_mount(im->st, &im->name, NULL, &b->digest, NULL, e) : k;
}

static enum err_kind take_in(struct import *im, int fd, struct blob_job *b, struct err *e)
{
	const struct upload_source from = { .fd = fd,
					    .size_bytes = b->size_bytes,
					    .may_share = !im->o->copy,
					    .pace = pace,
					    .arg = im };
	AUTO_UPLOAD *u = NULL;
	enum upload_took took;
	enum err_kind k = upload_begin_from(im->st, &im->name, (enum digest_alg)b->digest.alg,
					    &from, &u, &took, e);

	if (k == ERR_OK)
		k = upload_finish(&u, &b->digest, e);
	if (k != ERR_OK)
		return k;
	b->verified = true;
	b->outcome = BLOB_CAME;
	b->took = took;
	return ERR_OK;
}

static enum err_kind wrong_size(const struct blob_job *b, uint64_t size_bytes, struct err *e)
{
	return err_set(e, ERR_SIZE, __func__, "it has %llu bytes, not %llu",
		       (unsigned long long)size_bytes, (unsigned long long)b->size_bytes);
}

/* What the repository has is leased to us, as to a client that was told of it: the manifest comes next. */
static enum err_kind is_had(struct import *im, const struct blob_job *b, bool *ret,
			    bool *ret_damaged, struct err *e)
{
	struct blob_info info = { 0 };
	enum err_kind k = repo_blob_find(im->st, &im->name, &b->digest, &info, e);

	*ret_damaged = k == ERR_OK && info.is_damaged;
	*ret = k == ERR_OK && !info.is_damaged;
	if (*ret && info.size_bytes != b->size_bytes)
		return wrong_size(b, info.size_bytes, e);
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

static enum err_kind bring(struct import *im, struct blob_job *b, struct err *e)
{
	AUTO_CLOSE fd = -1;
	struct object_row object = { 0 };
	struct stat s;
	bool had, damaged;
	enum err_kind k = is_had(im, b, &had, &damaged, e);

	b->outcome = BLOB_HAD;
	if (k != ERR_OK || had)
		return k;
	k = source_blob_open(&im->repo, &b->digest, &fd, &s, e);
	if (k == ERR_NOT_FOUND && b->may_be_absent) {
		b->outcome = BLOB_ABSENT;
		return ERR_OK;
	}
	if (k != ERR_OK)
		return k;
	if ((uint64_t)s.st_size != b->size_bytes)
		return wrong_size(b, (uint64_t)s.st_size, e);
	b->dev = s.st_dev;
	b->ino = s.st_ino;
	k = damaged ? ERR_NOT_FOUND
		    : index_object_find(store_index(im->st), &b->digest, &object, NULL, e);
	if (k == ERR_OK && !object.damaged_ms) {
		b->outcome = BLOB_MOUNTED;
		k = mount(im, fd, b, e);
		if (k != ERR_NOT_FOUND) /* collected since: it comes in */
			return k;
	}
	if (k != ERR_OK && k != ERR_NOT_FOUND)
		return k;
	b->outcome = BLOB_WANTED;
	return im->o->dry_run ? ERR_OK : take_in(im, fd, b, e);
}

static void bring_task(struct import *im, size_t i)
{
	struct blob_job *b = &im->blobs[i];

	b->k = im->stop ? import_stopped(&b->e) : bring(im, b, &b->e);
	if (b->k != ERR_OK && !import_is_refusal(b->k))
		im->stop = true;
}

/* --- the blobs of a group --- */

static int blob_order(const void *a, const void *b)
{
	return memcmp(&((const struct blob_job *)a)->digest, &((const struct blob_job *)b)->digest,
		      sizeof(struct digest));
}

static bool has_its_blobs(const struct import *im, const struct manifest_job *j)
{
	return j->m.kind != MEDIA_MANIFEST || (j->had && im->st->options.sparse != SPARSE_ALL);
}

/*
 * Each digest once, with the size that the first manifest gives: one that gives another is refused by the store.  All must
 * say that it may be absent.
 */
static void sort_blobs(struct import *im)
{
	size_t n = 0;

	if (im->n_blobs)
		qsort(im->blobs, im->n_blobs, sizeof(*im->blobs), blob_order);
	for (size_t i = 0; i < im->n_blobs; i++) {
		struct blob_job *b = &im->blobs[i];

		if (n && digest_eq(&im->blobs[n - 1].digest, &b->digest))
			im->blobs[n - 1].may_be_absent &= b->may_be_absent;
		else
			im->blobs[n++] = *b;
	}
	im->n_blobs = n;
}

static enum err_kind list_blobs(struct import *im, struct err *e)
{
	size_t room = 0;

	for (size_t i = 0; i < im->n_jobs; i++)
		room += has_its_blobs(im, &im->jobs[i]) ? 0 : im->jobs[i].m.n_refs;
	im->blobs = calloc(room + 1, sizeof(*im->blobs));
	if (!im->blobs)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for %zu blobs", room);
	for (size_t i = 0; i < im->n_jobs; i++) {
		const struct manifest *m = &im->jobs[i].m;

		for (size_t r = 0; r < m->n_refs && !has_its_blobs(im, &im->jobs[i]); r++)
			im->blobs[im->n_blobs++] = (struct blob_job){
				.digest = m->refs[r].digest,
				.size_bytes = m->refs[r].size_bytes,
				.may_be_absent = m->refs[r].may_be_absent ||
						 im->st->options.sparse == SPARSE_ALL,
			};
	}
	sort_blobs(im);
	return ERR_OK;
}

static void count(struct import *im, const struct blob_job *b)
{
	struct import_result *r = &im->result;

	r->had += b->outcome == BLOB_HAD;
	r->mounted += b->outcome == BLOB_MOUNTED;
	if (b->outcome == BLOB_WANTED) {
		r->wanted++;
		r->wanted_bytes += b->size_bytes;
	}
	if (b->outcome != BLOB_CAME)
		return;
	r->cloned += b->took == UPLOAD_CLONED;
	r->linked += b->took == UPLOAD_LINKED;
	if (b->took == UPLOAD_COPIED) {
		r->copied++;
		r->copied_bytes += b->size_bytes;
	}
}

enum err_kind import_blobs(struct import *im, struct err *e)
{
	enum err_kind k = list_blobs(im, e);

	if (k != ERR_OK)
		return k;
	import_in_parallel(im, im->n_blobs, bring_task);
	for (size_t i = 0; i < im->n_blobs; i++) {
		const struct blob_job *b = &im->blobs[i];

		if (b->k == ERR_OK) {
			remember(im, b);
			count(im, b);
		} else if (import_is_refusal(b->k)) {
			import_refuse_digest(im, "blob", &b->digest, b->e.msg);
		} else if (k == ERR_OK || k == ERR_IN_USE) { /* not what was stopped by it */
			k = b->k;
			*e = b->e;
		}
	}
	return k;
}

void import_blobs_clear(struct import *im)
{
	free(TAKE(im->blobs));
	im->n_blobs = 0;
}

const struct blob_job *import_blob_of(const struct import *im, const struct digest *d)
{
	const struct blob_job key = { .digest = *d };

	return im->n_blobs ? bsearch(&key, im->blobs, im->n_blobs, sizeof(key), blob_order) : NULL;
}
