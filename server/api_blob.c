#include "server/api.h"

#include "base/fd.h"
#include "base/step.h"
#include "server/access.h"
#include "server/range.h"
#include "storage/repo.h"

/* RFC 9110 13.1.5: a range counts only if what the client has a part of is still this. */
static bool range_applies(struct request *rq, const struct digest *d)
{
	const char *field = request_header(rq, "If-Range");
	char text[DIGEST_TEXT_MAX], etag[DIGEST_TEXT_MAX + 2];

	if (!field)
		return true;
	(void)snprintf(etag, sizeof(etag), "\"%s\"", digest_text(d, text));
	return str_eq(str_trim(str_of(field)), str_of(etag));
}

static enum err_kind send_part(struct request *rq, int *fd, uint64_t size, struct err *e)
{
	const char *field = rq->method == METHOD_GET ? request_header(rq, "Range") : NULL;
	uint64_t first = 0, last = 0;
	enum range_result r = RANGE_WHOLE;

	if (field && range_applies(rq, &rq->path.digest))
		r = range_parse(str_of(field), size, &first, &last);
	if (r == RANGE_UNSATISFIABLE) {
		reply_header(&rq->reply, "Content-Range", "bytes */%llu", (unsigned long long)size);
		return request_fail(rq, e, ERR_RANGE, RES_ANY, "the blob has %llu bytes",
				    (unsigned long long)size);
	}
	if (r == RANGE_WHOLE) {
		reply_file(&rq->reply, 200, TAKE_FD(*fd), 0, size);
	} else {
		reply_header(&rq->reply, "Content-Range", "bytes %llu-%llu/%llu",
			     (unsigned long long)first, (unsigned long long)last,
			     (unsigned long long)size);
		reply_file(&rq->reply, 206, TAKE_FD(*fd), first, last - first + 1);
	}
	rq->reply.no_body = rq->method == METHOD_HEAD;
	reply_header(&rq->reply, "Content-Type", MEDIA_OCTETS);
	return ERR_OK;
}

/*
 * A blob whose file is not what it should be is never served.  HEAD says that it is not there, so that clients which ask
 * before they push send it again, and heal it.
 */
static enum err_kind damaged(struct request *rq, struct err *e)
{
	if (rq->method == METHOD_HEAD)
		return err_set(e, ERR_NOT_FOUND, __func__, "the blob is damaged");
	return err_wrap(e, "the blob is damaged: push it again");
}

/* HEAD needs no file, but to know that it is there. */
static enum err_kind open_file(const struct request *rq, uint64_t size_bytes, int *ret_fd,
			       struct err *e)
{
	const struct digest *d = &rq->path.digest;

	return rq->method == METHOD_HEAD ? blob_look(rq->server->store, d, size_bytes, e)
					 : blob_open(rq->server->store, d, size_bytes, ret_fd, e);
}

static enum err_kind open_blob(struct request *rq, const struct blob_info *blob, int *ret_fd,
			       struct err *e)
{
	struct store *st = rq->server->store;
	struct blob_info again;
	enum err_kind k;

	if (blob->is_damaged)
		k = err_set(e, ERR_CORRUPT, __func__, "its file does not hash to its digest");
	else
		k = open_file(rq, blob->size_bytes, ret_fd, e);
	if (k != ERR_CORRUPT)
		return k;
	STEP("get.missed");
	/* It may have been collected since it was looked up, and even pushed again. */
	k = index_blob_find(store_index(st), &rq->path.repo, &rq->path.digest, &again, e);
	if (k != ERR_OK)
		return k;
	if (!again.is_damaged && open_file(rq, again.size_bytes, ret_fd, e) == ERR_OK)
		return ERR_OK;
	return damaged(rq, e);
}

enum err_kind api_blob_get(struct request *rq, struct err *e)
{
	AUTO_CLOSE fd = -1;
	const struct digest *d = &rq->path.digest;
	struct blob_info blob;
	enum err_kind k;

	rq->about = RES_BLOB;
	k = repo_blob_find(rq->server->store, &rq->path.repo, d, &blob, e);
	STEP("get.looked");
	if (k != ERR_OK)
		return k;
	api_content_headers(rq, d);
	reply_header(&rq->reply, "Accept-Ranges", "bytes");
	if (api_not_modified(rq, d))
		return ERR_OK;
	k = open_blob(rq, &blob, &fd, e);
	return k == ERR_OK ? send_part(rq, &fd, blob.size_bytes, e) : k;
}

enum err_kind api_blob_delete(struct request *rq, struct err *e)
{
	enum err_kind k;

	rq->about = RES_BLOB;
	k = repo_blob_delete(rq->server->store, &rq->path.repo, &rq->path.digest, access_guard(rq),
			     e);
	if (k == ERR_OK)
		rq->reply.status = 202;
	return k;
}
