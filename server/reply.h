/*
 * reply - what goes back to the client, and the one place where errors become HTTP and OCI codes
 * (distribution-spec "Error Codes").
 *
 * Ownership  a reply owns its body and descriptor; header names are static, values live in the reply.
 * Threads    one at a time per reply.
 */
#pragma once

#include "base/err.h"
#include "base/jv.h"
#include "base/str.h"

/* What an error is about; with the kind it gives status and code. */
enum resource {
	RES_ANY,
	RES_NAME,
	RES_BLOB,
	RES_MANIFEST,
	RES_TAG,
	RES_UPLOAD,
	RES_DIGEST,
	RES_PAGE,
	RES_REPO,
	RES_PATH,
	RES_HEADER,
	RESOURCE_N
};

#define REPLY_HEADERS_MAX 16
#define REPLY_TEXT_MAX 10240 /* header values together; 64 tags of the greatest length fit */

struct reply {
	unsigned status;
	size_t n_headers;
	struct {
		const char *name, *value;
	} headers[REPLY_HEADERS_MAX];
	size_t text_n;
	bool overflow; /* a header did not fit: becomes 500 by reply_error, which takes it back */
	char *body;
	size_t body_n;
	int fd; /* -1, or the file of which length bytes from fd_at are the body */
	uint64_t fd_at;
	bool no_body;    /* HEAD: only the length is told */
	uint64_t length; /* of fd's part, or with no_body */
	char text[REPLY_TEXT_MAX];
};

void reply_init(struct reply *r);
void reply_clear(struct reply *r);

/* A header that is set again has the later value. */
void reply_header(struct reply *r, const char *name, const char *fmt, ...) PRINTF(3, 4);
/* Consumes the buffer's bytes. */
void reply_body(struct reply *r, unsigned status, const char *type, struct sbuf *take);
/* Consumes fd. */
void reply_file(struct reply *r, unsigned status, int fd, uint64_t at, uint64_t length);

/* Status and code of a failure. */
struct error_code {
	unsigned status;
	const char *code;
};
struct error_code error_code_of(enum err_kind kind, enum resource res);

/*
 * Replaces whatever the reply held by the error document; headers set before stay, unless they did not fit.  detail
 * (may be NULL) is consumed: an array gives one error for each of its values.
 */
void reply_error(struct reply *r, const struct err *e, enum resource res, struct jv *detail);
