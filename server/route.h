/*
 * route - the one table of what berthd answers to: method, path, required scope, handler.
 *
 * A row without a scope cannot be written, so no route escapes authorisation.
 */
#pragma once

#include "server/request.h"

/* What the caller must be allowed to do with the repository of the path; SCOPE_LOGIN: be somebody, SCOPE_NONE: nothing. */
enum scope {
	SCOPE_NONE,
	SCOPE_LOGIN,
	SCOPE_PULL,
	SCOPE_PUSH,
	SCOPE_DELETE,
	SCOPE_CATALOG,
	SCOPE_ADMIN, /* of what the handler finds named (access_admin); without accounts: be nearby */
	SCOPE_N
};

#define FORM_BYTES_MAX (64u * 1024)

enum route_flag {
	ROUTE_MAY_BLOCK = 1u << 0, /* run() goes to a worker */
	ROUTE_BODY = 1u << 1,      /* the body is gathered, up to manifest.size_max */
	ROUTE_STREAM = 1u << 2,    /* the body goes to write() piece by piece, on a worker */
	ROUTE_FORM = 1u << 3,      /* the body is gathered, up to FORM_BYTES_MAX */
	ROUTE_AUTH = 1u << 4,      /* run() goes to a worker that checks passwords */
	ROUTE_WATCH = 1u << 5,     /* served at metrics.listen as well */
};

/*
 * Handlers fill rq->reply and return ERR_OK, or fail with rq->about saying about what.
 *   open   before the body, on the poll thread; may be NULL.  Refuses early what can be refused early.
 *   write  a piece of the body, on a worker; ROUTE_STREAM only.
 *   run    after the body.
 */
typedef enum err_kind handler_fn(struct request *rq, struct err *e);
typedef enum err_kind body_fn(struct request *rq, const void *p, size_t n, struct err *e);

struct route {
	unsigned methods; /* 1u << enum method */
	enum path_kind path;
	enum scope scope;
	unsigned flags;
	handler_fn *run, *open;
	body_fn *write;
};

#define ROUTES_MAX 64
/* Each row has a number; NULL beyond the last. */
size_t route_number(const struct route *r);
const struct route *route_at(size_t number);

/* NULL: the path is not served by this method; *ret_methods are those that it is served by. */
const struct route *route_find(enum method m, enum path_kind path, unsigned *ret_methods);
enum method method_parse(struct str name);
/* "GET, HEAD" for the Allow field. */
const char *methods_text(unsigned methods, char *buf, size_t cap);
const char *scope_text(enum scope s);
