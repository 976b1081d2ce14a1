#include "server/api.h"

#include "server/access.h"
#include "server/range.h"
#include "storage/quota.h"
#include "storage/repo.h"

/* What a POST asks for (distribution-spec "Pushing blobs"). */
struct start {
	bool has_mount, has_from, has_digest;
	struct digest digest; /* to mount, or of the body */
	struct repo_name from;
	enum digest_alg alg; /* of a session to come */
};

static enum err_kind parse_start(struct request *rq, struct start *ret, struct err *e)
{
	struct start s = { .alg = DIGEST_SHA256 };
	struct str text;

	if (request_query(rq, STR("digest-algorithm"), &text) && !digest_alg_parse(&s.alg, text))
		return request_fail(rq, e, ERR_INVALID, RES_DIGEST,
				    "digest-algorithm must be sha256 or sha512");
	s.has_mount = request_query(rq, STR("mount"), &text);
	if (s.has_mount && !digest_parse(&s.digest, text))
		return request_fail(rq, e, ERR_INVALID, RES_DIGEST, "invalid digest to mount");
	s.has_from = s.has_mount && request_query(rq, STR("from"), &text);
	if (s.has_from && !repo_name_parse(&s.from, text))
		return request_fail(rq, e, ERR_INVALID, RES_NAME,
				    "invalid repository to mount from");
	s.has_digest = !s.has_mount && request_query(rq, STR("digest"), &text);
	if (s.has_digest && !digest_parse(&s.digest, text))
		return request_fail(rq, e, ERR_INVALID, RES_DIGEST, "invalid digest");
	*ret = s;
	return ERR_OK;
}

static void blob_created(struct request *rq, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];

	digest_text(d, text);
	rq->reply.status = 201;
	reply_header(&rq->reply, "Location", "%s/v2/%s/blobs/%s", rq->origin->prefix,
		     rq->path.repo.s, text);
	reply_header(&rq->reply, "Docker-Content-Digest", "%s", text);
}

/* Where the session is and how far it got. */
static void session_headers(struct request *rq, const struct upload_id *id, uint64_t offset)
{
	char text[UPLOAD_ID_TEXT_MAX];

	upload_id_text(id, text);
	reply_header(&rq->reply, "Location", "%s/v2/%s/blobs/uploads/%s", rq->origin->prefix,
		     rq->path.repo.s, text);
	reply_header(&rq->reply, "Docker-Upload-UUID", "%s", text);
	reply_header(&rq->reply, "Range", "0-%llu", (unsigned long long)(offset ? offset - 1 : 0));
}

/* Saves a client from sending what a quota would refuse in the end; d (may be NULL) is what it says it will be. */
static enum err_kind check_room(struct request *rq, const struct digest *d, struct err *e)
{
	struct store *st = rq->server->store;
	AUTO_QUOTAS *quotas = store_quotas(st);
	struct blob_info there;

	rq->about = RES_UPLOAD;
	if (!quotas || !rq->has_length ||
	    (d && index_blob_find(store_index(st), &rq->path.repo, d, &there, e) == ERR_OK))
		return ERR_OK;
	return quota_has_room(quotas, &rq->path.repo, rq->length, e);
}

/* What a quota refuses is not kept for another try: its bytes would fill the disk all the same. */
static void give_up(struct request *rq)
{
	struct err ignored;

	if (rq->upload)
		(void)!upload_cancel(&rq->upload, &ignored);
}

enum err_kind api_upload_start_open(struct request *rq, struct err *e)
{
	struct start s;
	enum err_kind k = parse_start(rq, &s, e);

	return k == ERR_OK && s.has_digest ? check_room(rq, &s.digest, e) : k;
}

static enum err_kind finish(struct request *rq, const struct digest *d, struct err *e)
{
	upload_guard(rq->upload, access_guard(rq));
	return upload_finish(&rq->upload, d, e);
}

enum err_kind api_upload_start(struct request *rq, struct err *e)
{
	struct store *st = rq->server->store;
	struct upload_id id;
	struct start s;
	enum err_kind k = parse_start(rq, &s, e);

	rq->about = RES_UPLOAD;
	if (k == ERR_OK && s.has_mount) {
		k = repo_blob_mount(st, &rq->path.repo, s.has_from ? &s.from : NULL, &s.digest,
				    access_guard(rq), e);
		if (k != ERR_NOT_FOUND) {
			if (k == ERR_OK)
				blob_created(rq, &s.digest);
			return k;
		}
		k = ERR_OK; /* "unable to mount": the client is to upload it */
	}
	if (k == ERR_OK && s.has_digest) {
		if (!rq->upload) /* a blob of no bytes */
			k = upload_begin(st, &rq->path.repo, (enum digest_alg)s.digest.alg,
					 &rq->upload, e);
		if (k == ERR_OK)
			k = finish(rq, &s.digest, e);
		if (k == ERR_OK)
			blob_created(rq, &s.digest);
		else if (k == ERR_DENIED)
			give_up(rq);
		return k;
	}
	if (k == ERR_OK)
		k = upload_create(st, &rq->path.repo, s.alg, &id, e);
	if (k != ERR_OK)
		return k;
	rq->reply.status = 202;
	session_headers(rq, &id, 0);
	return ERR_OK;
}

enum err_kind api_upload_write(struct request *rq, const void *p, size_t n, struct err *e)
{
	struct start s;
	enum err_kind k = ERR_OK;

	rq->about = RES_UPLOAD;
	if (!rq->upload) {
		k = parse_start(rq, &s, e);
		if (k != ERR_OK || !s.has_digest)
			return k; /* a body that nobody asked for */
		k = upload_begin(rq->server->store, &rq->path.repo, (enum digest_alg)s.digest.alg,
				 &rq->upload, e);
	}
	return k == ERR_OK ? upload_write(rq->upload, p, n, e) : k;
}

enum err_kind api_upload_status(struct request *rq, struct err *e)
{
	uint64_t offset;
	enum err_kind k;

	rq->about = RES_UPLOAD;
	k = upload_status(rq->server->store, &rq->path.repo, &rq->path.upload, &offset, e);
	if (k != ERR_OK)
		return k;
	rq->reply.status = 204;
	session_headers(rq, &rq->path.upload, offset);
	return ERR_OK;
}

/* distribution-spec "Pushing a blob in chunks": a chunk that does not follow on is answered 416 with the state. */
static enum err_kind check_chunk(struct request *rq, struct err *e)
{
	const char *field = request_header(rq, "Content-Range");
	uint64_t first, last, offset = upload_offset(rq->upload);

	if (!field)
		return ERR_OK;
	if (!content_range_parse(str_of(field), &first, &last))
		return request_fail(rq, e, ERR_INVALID, RES_UPLOAD, "malformed Content-Range");
	if (rq->has_length && rq->length != last - first + 1)
		return request_fail(rq, e, ERR_SIZE, RES_UPLOAD,
				    "Content-Range and Content-Length differ");
	if (first == offset)
		return ERR_OK;
	session_headers(rq, &rq->path.upload, offset);
	return request_fail(rq, e, ERR_RANGE, RES_UPLOAD,
			    "the chunk begins at %llu, but %llu bytes are here",
			    (unsigned long long)first, (unsigned long long)offset);
}

static enum err_kind open_session(struct request *rq, struct err *e)
{
	enum err_kind k;

	rq->about = RES_UPLOAD;
	k = upload_take(rq->server->store, &rq->path.repo, &rq->path.upload, &rq->upload, e);
	if (k == ERR_OK)
		k = check_chunk(rq, e);
	if (k != ERR_OK)
		upload_release(&rq->upload);
	return k;
}

enum err_kind api_upload_open(struct request *rq, struct err *e)
{
	enum err_kind k = check_room(rq, NULL, e);

	return k == ERR_OK ? open_session(rq, e) : k;
}

enum err_kind api_upload_append(struct request *rq, struct err *e)
{
	(void)e;
	rq->reply.status = 202;
	session_headers(rq, &rq->path.upload, upload_offset(rq->upload));
	return ERR_OK;
}

static enum err_kind parse_digest(struct request *rq, struct digest *ret, struct err *e)
{
	struct str text;

	if (!request_query(rq, STR("digest"), &text) || !digest_parse(ret, text))
		return request_fail(rq, e, ERR_INVALID, RES_DIGEST,
				    "digest= must tell the digest of the blob");
	return ERR_OK;
}

enum err_kind api_upload_finish_open(struct request *rq, struct err *e)
{
	struct digest d;
	enum err_kind k = parse_digest(rq, &d, e);

	if (k == ERR_OK)
		k = check_room(rq, &d, e);
	return k == ERR_OK ? open_session(rq, e) : k;
}

enum err_kind api_upload_finish(struct request *rq, struct err *e)
{
	struct digest d;
	enum err_kind k = parse_digest(rq, &d, e);

	rq->about = RES_UPLOAD;
	if (k == ERR_OK)
		k = finish(rq, &d, e);
	if (k == ERR_OK)
		blob_created(rq, &d);
	else if (k == ERR_DENIED)
		give_up(rq);
	return k;
}

enum err_kind api_upload_cancel(struct request *rq, struct err *e)
{
	AUTO_UPLOAD *u = NULL;
	enum err_kind k;

	rq->about = RES_UPLOAD;
	k = upload_take(rq->server->store, &rq->path.repo, &rq->path.upload, &u, e);
	if (k == ERR_OK)
		k = upload_cancel(&u, e);
	if (k == ERR_OK)
		rq->reply.status = 204;
	return k;
}
