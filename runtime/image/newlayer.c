#include "runtime/image/newlayer.h"

#include "base/hash.h"
#include "runtime/image/inflate.h"

#define NAME_BYTES 32

struct newlayer {
	int dir; /* borrowed */
	char name[NAME_BYTES];
	int fd;
	uint64_t at;
	struct deflater *deflater;
	struct hash *plain, *packed;
	struct newlayer_digests done;
};

static enum err_kind open_file(struct newlayer *l, struct err *e)
{
	uint64_t random;
	enum err_kind k;

	random_bytes(&random, sizeof(random));
	(void)snprintf(l->name, sizeof(l->name), "new-%016llx", (unsigned long long)random);
	k = fd_open_at(l->dir, l->name, O_RDWR | O_CREAT | O_EXCL, 0600, &l->fd, e);
	return k == ERR_OK ? fd_lock(l->fd, l->name, e) : k; /* W1 */
}

enum err_kind newlayer_new(const struct images *im, struct newlayer **ret, struct err *e)
{
	AUTO_NEWLAYER *l = calloc(1, sizeof(*l));
	enum err_kind k;

	if (!l)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a layer");
	l->fd = -1;
	l->dir = images_dir(im, IMAGES_DOWNLOADS);
	k = open_file(l, e);
	if (k == ERR_OK)
		k = deflater_new(&l->deflater, e);
	if (k == ERR_OK)
		k = hash_new(DIGEST_SHA256, &l->plain, e);
	if (k == ERR_OK)
		k = hash_new(DIGEST_SHA256, &l->packed, e);
	if (k == ERR_OK)
		*ret = TAKE(l);
	return k;
}

void newlayer_free(struct newlayer **take)
{
	struct newlayer *l = TAKE(*take);

	if (!l)
		return;
	if (l->fd >= 0)
		(void)sys_unlinkat(l->dir, l->name, 0); /* gone already if it was adopted */
	fd_close(&l->fd);
	deflater_free(&l->deflater);
	hash_free(&l->plain);
	hash_free(&l->packed);
	free(l);
}

static enum err_kind sink(void *arg, const void *p, size_t n, struct err *e)
{
	struct newlayer *l = arg;
	enum err_kind k = fd_pwrite_all(l->fd, p, n, l->at, l->name, e);

	l->at += n;
	return k == ERR_OK ? hash_update(l->packed, p, n, e) : k;
}

enum err_kind newlayer_write(struct newlayer *l, const void *p, size_t n, struct err *e)
{
	enum err_kind k = hash_update(l->plain, p, n, e);

	return k == ERR_OK ? deflater_run(l->deflater, p, n, false, sink, l, e) : k;
}

enum err_kind newlayer_finish(struct newlayer *l, struct newlayer_digests *ret, struct err *e)
{
	enum err_kind k = deflater_run(l->deflater, "", 0, true, sink, l, e);

	if (k == ERR_OK)
		k = hash_final(l->plain, &l->done.diff_id, e);
	if (k == ERR_OK)
		k = hash_final(l->packed, &l->done.digest, e);
	l->done.size_bytes = l->at;
	*ret = l->done;
	return k;
}

enum err_kind newlayer_adopt(struct newlayer *l, struct images *im, const struct repo_name *repo,
			     struct err *e)
{
	return images_blob_adopt(im, repo, l->dir, l->name, &l->done.digest, e);
}
