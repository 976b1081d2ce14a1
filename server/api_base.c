#include "server/api.h"

#include "server/range.h"

enum err_kind api_ping(struct request *rq, struct err *e)
{
	AUTO_SBUF b;

	(void)e;
	sbuf_init(&b, 16);
	sbuf_add_str(&b, STR("{}"));
	reply_body(&rq->reply, 200, MEDIA_JSON, &b);
	rq->reply.no_body = rq->method == METHOD_HEAD;
	rq->reply.length = 2;
	return ERR_OK;
}

void api_content_headers(struct request *rq, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];

	digest_text(d, text);
	reply_header(&rq->reply, "Docker-Content-Digest", "%s", text);
	reply_header(&rq->reply, "ETag", "\"%s\"", text);
}

bool api_not_modified(struct request *rq, const struct digest *d)
{
	const char *field = request_header(rq, "If-None-Match");
	char text[DIGEST_TEXT_MAX], etag[DIGEST_TEXT_MAX + 2];

	if (!field)
		return false;
	(void)snprintf(etag, sizeof(etag), "\"%s\"", digest_text(d, text));
	if (!etag_list_has(str_of(field), str_of(etag)))
		return false;
	rq->reply.status = 304;
	return true;
}
