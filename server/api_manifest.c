#include "server/api.h"

#include "base/fd.h"
#include "base/hash.h"
#include "server/access.h"
#include "storage/repo.h"

/* Manifests too long for the index are served from their file. */
static enum err_kind send_manifest(struct request *rq, struct manifest_info *m, struct err *e)
{
	AUTO_CLOSE fd = -1;
	AUTO_SBUF b = { .max = SBUF_MAX };
	enum err_kind k;

	if (m->bytes) {
		b.p = TAKE(m->bytes);
		b.n = (size_t)m->size_bytes;
		reply_body(&rq->reply, 200, m->media_type, &b);
	} else {
		k = blob_open(rq->server->store, &m->digest, m->size_bytes, &fd, e);
		if (k != ERR_OK)
			return k;
		reply_file(&rq->reply, 200, TAKE_FD(fd), 0, m->size_bytes);
		reply_header(&rq->reply, "Content-Type", "%s", m->media_type);
	}
	rq->reply.no_body = rq->method == METHOD_HEAD;
	rq->reply.length = m->size_bytes;
	return ERR_OK;
}

enum err_kind api_manifest_get(struct request *rq, struct err *e)
{
	struct manifest_info m = { .bytes = NULL };
	const struct path *p = &rq->path;
	enum err_kind k;

	rq->about = RES_MANIFEST;
	k = repo_manifest_find(rq->server->store, &p->repo, p->has_digest ? NULL : &p->tag,
			       p->has_digest ? &p->digest : NULL, &m, e);
	if (k != ERR_OK)
		return k;
	if (!p->has_digest && rq->method == METHOD_GET)
		store_note_pull(rq->server->store, m.repo, &p->tag);
	api_content_headers(rq, &m.digest);
	if (!api_not_modified(rq, &m.digest))
		k = send_manifest(rq, &m, e);
	free(m.bytes);
	return k;
}

enum err_kind api_manifest_put_open(struct request *rq, struct err *e)
{
	uint64_t max = rq->conf->manifest_size_max;

	if (rq->has_length && rq->length > max)
		return request_fail(rq, e, ERR_TOO_LARGE, RES_MANIFEST,
				    "a manifest may have %llu bytes at most",
				    (unsigned long long)max);
	if (!request_header(rq, "Content-Type"))
		return request_fail(rq, e, ERR_INVALID, RES_MANIFEST,
				    "Content-Type must tell the manifest's media type");
	return ERR_OK;
}

/* The tags of the path or of the query: distribution-spec "Pushing Manifests with multiple tags". */
static enum err_kind parse_tags(struct request *rq, struct tag_name *tags, size_t *ret_n,
				struct err *e)
{
	struct str text;

	*ret_n = 0;
	if (!rq->path.has_digest)
		tags[(*ret_n)++] = rq->path.tag;
	for (size_t i = 0; target_query(&rq->target, STR("tag"), i, &text); i++) {
		if (!rq->path.has_digest)
			return request_fail(rq, e, ERR_INVALID, RES_TAG,
					    "tag= goes with a push by digest, not by tag");
		if (!tag_name_parse(&tags[*ret_n], text))
			return request_fail(rq, e, ERR_INVALID, RES_TAG, "invalid tag");
		(*ret_n)++;
	}
	return ERR_OK;
}

static enum err_kind check_digest(struct request *rq, struct str body, struct digest *ret,
				  struct err *e)
{
	enum digest_alg alg =
	    rq->path.has_digest ? (enum digest_alg)rq->path.digest.alg : DIGEST_SHA256;
	char text[DIGEST_TEXT_MAX];
	enum err_kind k = hash_bytes(alg, body.p, body.n, ret, e);

	if (k == ERR_OK && rq->path.has_digest && !digest_eq(ret, &rq->path.digest))
		return request_fail(rq, e, ERR_DIGEST, RES_DIGEST, "the manifest hashes to %.80s",
				    digest_text(ret, text));
	return k;
}

/* MANIFEST_BLOB_UNKNOWN names each digest that is missing. */
static void list_missing(struct request *rq, const struct manifest_pushed *p)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_JV *list = jv_new_array();

	for (size_t i = 0; list && i < p->n_missing; i++) {
		if (!jv_append(list, jv_pack("{s:s}", "digest", digest_text(&p->missing[i], text))))
			return; /* the message alone must do */
	}
	rq->detail = TAKE(list);
}

static void tell_tags(struct request *rq, const struct tag_name *tags, size_t n)
{
	char list[QUERY_ITEMS_MAX * (TAG_NAME_MAX + 2) + 1];
	size_t at = 0;

	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", i ? ", " : "",
				       tags[i].s);
	if (n)
		reply_header(&rq->reply, "OCI-Tag", "%s", list);
}

static void created(struct request *rq, const struct manifest_push *push,
		    const struct manifest_pushed *pushed)
{
	char text[DIGEST_TEXT_MAX];

	digest_text(&push->digest, text);
	rq->reply.status = 201;
	reply_header(&rq->reply, "Location", "%s/v2/%s/manifests/%s", rq->origin->prefix,
		     rq->path.repo.s, text);
	reply_header(&rq->reply, "Docker-Content-Digest", "%s", text);
	if (pushed->has_subject)
		reply_header(&rq->reply, "OCI-Subject", "%s", digest_text(&pushed->subject, text));
	if (rq->path.has_digest)
		tell_tags(rq, push->tags, push->n_tags);
}

enum err_kind api_manifest_put(struct request *rq, struct err *e)
{
	AUTO_MANIFEST_PUSHED pushed = { 0 };
	struct tag_name tags[QUERY_ITEMS_MAX + 1];
	struct manifest_push push = {
		.body = { rq->body.p ? rq->body.p : "", rq->body.n },
		.media_type = media_type_bare(str_of(request_header(rq, "Content-Type"))),
		.tags = tags,
		.guard = access_guard(rq),
	};
	enum err_kind k = parse_tags(rq, tags, &push.n_tags, e);

	if (k == ERR_OK)
		k = check_digest(rq, push.body, &push.digest, e);
	if (k != ERR_OK)
		return k;
	rq->about = RES_MANIFEST;
	k = repo_manifest_put(rq->server->store, &rq->path.repo, &push, &pushed, e);
	if (k == ERR_OK)
		created(rq, &push, &pushed);
	else if (k == ERR_REFS)
		list_missing(rq, &pushed);
	return k;
}

enum err_kind api_manifest_delete(struct request *rq, struct err *e)
{
	const struct path *p = &rq->path;
	struct store *st = rq->server->store;
	const struct change_guard *g = access_guard(rq);
	enum err_kind k;

	rq->about = p->has_digest ? RES_MANIFEST : RES_TAG;
	k = p->has_digest ? repo_manifest_delete(st, &p->repo, &p->digest, g, e)
			  : repo_tag_delete(st, &p->repo, &p->tag, g, e);
	if (k == ERR_OK)
		rq->reply.status = 202;
	return k;
}
