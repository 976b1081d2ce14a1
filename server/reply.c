#include "server/reply.h"

#include <stdarg.h>

#include "base/fd.h"
#include "base/mediatype.h"

#define ERRORS_MAX (64u * 1024 * 1024)

/* The first row that fits counts; RES_ANY fits all. */
static const struct {
	enum err_kind kind;
	enum resource res;
	struct error_code as;
} codes[] = {
	{ ERR_NOT_FOUND, RES_BLOB, { 404, "BLOB_UNKNOWN" } },
	{ ERR_NOT_FOUND, RES_MANIFEST, { 404, "MANIFEST_UNKNOWN" } },
	{ ERR_NOT_FOUND, RES_TAG, { 404, "MANIFEST_UNKNOWN" } },
	{ ERR_NOT_FOUND, RES_UPLOAD, { 404, "BLOB_UPLOAD_UNKNOWN" } },
	{ ERR_NOT_FOUND, RES_REPO, { 404, "NAME_UNKNOWN" } },
	{ ERR_NOT_FOUND, RES_ANY, { 404, "NOT_FOUND" } },
	{ ERR_INVALID, RES_NAME, { 400, "NAME_INVALID" } },
	{ ERR_INVALID, RES_TAG, { 400, "TAG_INVALID" } },
	{ ERR_INVALID, RES_DIGEST, { 400, "DIGEST_INVALID" } },
	{ ERR_INVALID, RES_MANIFEST, { 400, "MANIFEST_INVALID" } },
	{ ERR_INVALID, RES_UPLOAD, { 400, "BLOB_UPLOAD_INVALID" } },
	{ ERR_INVALID, RES_PAGE, { 400, "PAGINATION_NUMBER_INVALID" } },
	{ ERR_INVALID, RES_ANY, { 400, "INVALID_REQUEST" } },
	{ ERR_DIGEST, RES_ANY, { 400, "DIGEST_INVALID" } },
	{ ERR_SIZE, RES_ANY, { 400, "SIZE_INVALID" } },
	{ ERR_RANGE, RES_UPLOAD, { 416, "BLOB_UPLOAD_INVALID" } },
	{ ERR_RANGE, RES_ANY, { 416, "RANGE_INVALID" } },
	{ ERR_TOO_LARGE, RES_MANIFEST, { 413, "MANIFEST_INVALID" } },
	{ ERR_TOO_LARGE, RES_PATH, { 414, "NAME_INVALID" } },
	{ ERR_TOO_LARGE, RES_ANY, { 413, "SIZE_INVALID" } },
	{ ERR_TOO_MANY, RES_ANY, { 429, "TOOMANYREQUESTS" } },
	{ ERR_LOGIN, RES_ANY, { 401, "UNAUTHORIZED" } },
	{ ERR_DENIED, RES_ANY, { 403, "DENIED" } },
	{ ERR_IN_USE, RES_BLOB, { 409, "DENIED" } },
	{ ERR_IN_USE, RES_UPLOAD, { 409, "BLOB_UPLOAD_INVALID" } },
	{ ERR_IN_USE, RES_ANY, { 409, "DENIED" } },
	{ ERR_REFS, RES_ANY, { 404, "MANIFEST_BLOB_UNKNOWN" } },
	{ ERR_UNSUPPORTED, RES_MANIFEST, { 415, "MANIFEST_INVALID" } },
	{ ERR_UNSUPPORTED, RES_PATH, { 405, "UNSUPPORTED" } },
	{ ERR_UNSUPPORTED, RES_ANY, { 400, "UNSUPPORTED" } },
	{ ERR_NO_SPACE, RES_ANY, { 507, "INSUFFICIENT_STORAGE" } },
	{ ERR_AWAY, RES_ANY, { 503, "UNAVAILABLE" } },
	{ ERR_NO_MEMORY, RES_ANY, { 503, "UNAVAILABLE" } },
	{ ERR_CORRUPT, RES_ANY, { 500, "CORRUPT" } },
	{ ERR_IO, RES_ANY, { 500, "IO_ERROR" } },
};

struct error_code error_code_of(enum err_kind kind, enum resource res)
{
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		if (codes[i].kind == kind && (codes[i].res == res || codes[i].res == RES_ANY))
			return codes[i].as;
	}
	return (struct error_code){ 500, "UNKNOWN" };
}

void reply_init(struct reply *r)
{
	r->status = 0;
	r->n_headers = r->text_n = 0;
	r->overflow = r->no_body = false;
	r->body = NULL;
	r->body_n = 0;
	r->fd = -1;
	r->fd_at = r->length = 0;
}

void reply_clear(struct reply *r)
{
	free(TAKE(r->body));
	fd_close(&r->fd);
}

void reply_header(struct reply *r, const char *name, const char *fmt, ...)
{
	size_t room = sizeof(r->text) - r->text_n, i = 0;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(r->text + r->text_n, room, fmt, ap);
	va_end(ap);
	while (i < r->n_headers && strcmp(r->headers[i].name, name) != 0)
		i++;
	if (n < 0 || (size_t)n >= room || i == REPLY_HEADERS_MAX) {
		r->overflow = true;
		return;
	}
	r->headers[i].name = name;
	r->headers[i].value = r->text + r->text_n;
	r->text_n += (size_t)n + 1;
	if (i == r->n_headers)
		r->n_headers++;
}

void reply_body(struct reply *r, unsigned status, const char *type, struct sbuf *take)
{
	if (take->failed) {
		struct err e;

		(void)err_set(&e, ERR_NO_MEMORY, __func__, "no memory for the answer");
		reply_error(r, &e, RES_ANY, NULL);
		return;
	}
	reply_clear(r);
	r->status = status;
	r->body_n = take->n;
	r->body = sbuf_take(take);
	reply_header(r, "Content-Type", "%s", type);
}

void reply_file(struct reply *r, unsigned status, int fd, uint64_t at, uint64_t length)
{
	reply_clear(r);
	r->status = status;
	r->fd = fd;
	r->fd_at = at;
	r->length = length;
}

static struct jv *one_error(const char *code, const char *message, struct jv *detail)
{
	if (detail)
		return jv_pack("{s:s, s:s, s:o}", "code", code, "message", message, "detail",
			       detail);
	return jv_pack("{s:s, s:s}", "code", code, "message", message);
}

static struct jv *error_document(const char *code, const char *message, struct jv *detail)
{
	AUTO_JV *list = jv_new_array(), *all = detail;

	if (!list)
		return NULL;
	if (jv_is_array(all) && jv_count(all) == 0)
		jv_free(&all);
	if (!jv_is_array(all)) {
		if (!jv_append(list, one_error(code, message, TAKE(all))))
			return NULL;
	}
	for (size_t i = 0; i < jv_count(all); i++) {
		if (!jv_append(list, one_error(code, message, jv_share(jv_at(all, i)))))
			return NULL;
	}
	return jv_pack("{s:o}", "errors", TAKE(list));
}

/* Faults of ours are told in general terms; the log has the particulars. */
static const char *public_message(const struct err *e)
{
	switch ((int)e->kind) {
	case ERR_CORRUPT:
		return "stored content is damaged";
	case ERR_IO:
		return "the disk failed";
	case ERR_BUG:
		return "internal error";
	case ERR_AWAY:
		return "a service that this depends on does not answer: try again";
	case ERR_NO_SPACE:
		return "no space left for this";
	case ERR_NO_MEMORY:
		return "out of memory or descriptors: try again";
	default:
		return e->msg;
	}
}

/* A message may quote bytes of a client, and may be cut in the middle of a letter; JSON takes UTF-8 only. */
static void make_utf8(const char *message, char buf[static ERR_MSG_MAX])
{
	struct str in = str_of(message);

	in.n = MIN(in.n, (size_t)ERR_MSG_MAX - 1);
	memcpy(buf, in.p, in.n);
	buf[in.n] = '\0';
	while (in.n) {
		size_t n = utf8_len(in);

		if (n == 0) {
			buf[in.p - message] = '?';
			n = 1;
		}
		in = (struct str){ in.p + n, in.n - n };
	}
}

static bool has_header(const struct reply *r, const char *name)
{
	for (size_t i = 0; i < r->n_headers; i++) {
		if (strcmp(r->headers[i].name, name) == 0)
			return true;
	}
	return false;
}

void reply_error(struct reply *r, const struct err *e, enum resource res, struct jv *detail)
{
	struct error_code as = error_code_of(e->kind, res);
	char message[ERR_MSG_MAX];
	AUTO_JV *doc = NULL;
	AUTO_SBUF b;

	sbuf_init(&b, ERRORS_MAX);
	make_utf8(public_message(e), message);
	doc = error_document(as.code, message, detail);
	reply_clear(r);
	if (r->overflow) {
		r->n_headers = r->text_n = 0;
		r->overflow = false;
	}
	r->status = as.status;
	jv_dump(doc, &b);
	if (b.failed)
		return; /* the status alone must do */
	r->body_n = b.n;
	r->body = sbuf_take(&b);
	reply_header(r, "Content-Type", "%s", MEDIA_JSON);
	if ((as.status == 429 || as.status == 503) && !has_header(r, "Retry-After"))
		reply_header(r, "Retry-After", "1");
}
