/*
 * exchange - one HTTP exchange with request.c, without HTTP: a host that hands over a head and a body as http.c would.
 *
 * Lifecycle  exchange_start -> (exchange_send* -> exchange_finish) -> exchange_end; or exchange for all but the end.
 * Threads    one thread at a time, which stands for the poll thread.
 */
#pragma once

#include <semaphore.h>

#include "server/guard.h"

#define EXCHANGE_HEADERS_MAX 8

/* A server of its own, with a store below root and so many workers; 0: everything inline. */
struct test_server {
	struct conf conf;
	struct server server;
	struct guard *guard;
};
void test_server_start(struct test_server *s, const char *root, unsigned workers);
/* The same with accounts: options are "--name=value" texts, up to NULL. */
void test_server_start_guarded(struct test_server *s, const char *root, unsigned workers,
			       const char *const *options);
void test_server_stop(struct test_server *s);

struct exchange {
	struct request *rq;
	struct {
		const char *name;
		char value[4096];
	} headers[EXCHANGE_HEADERS_MAX];
	size_t n_headers;
	unsigned parks, waits; /* times we were stopped, and have waited */
	sem_t woken;
	bool answered; /* before the body */
	bool given_up; /* the connection is to be closed */
};

/* headers: "Name: value\n" lines, or NULL. */
void exchange_start(struct exchange *x, const struct test_server *s, const char *method,
		    const char *target, const char *headers);
/* The same; false if there is no memory for a request. */
bool exchange_try(struct exchange *x, const struct test_server *s, const char *method,
		  const char *target, const char *headers);
/* Hands over a part of the body in pieces of at most `piece` bytes, and waits for room. */
void exchange_send(struct exchange *x, const void *p, size_t n, size_t piece);
/* Hands over once and does not wait: how much was taken. */
size_t exchange_send_once(struct exchange *x, const void *p, size_t n);
/* Ends the body and waits for the reply. */
void exchange_finish(struct exchange *x);
void exchange_end(struct exchange *x);

/* Head, body with its length unless headers say otherwise, and the reply, which is x->rq->reply. */
void exchange(struct exchange *x, const struct test_server *s, const char *method,
	      const char *target, const char *headers, struct str body);

const char *reply_field(const struct exchange *x, const char *name); /* NULL: not there */
/* The whole body of the reply, out of memory or its file. */
struct sbuf reply_text(const struct exchange *x);

#define NOTHING ((struct str){ "", 0 })

/* The reply has this status, and this part in its body. */
void assert_status(const struct exchange *x, unsigned want, const char *part);
/* A whole exchange of which no more than that is of interest. */
void expect_reply(const struct test_server *s, const char *method, const char *target,
		  const char *headers, struct str body, unsigned status, const char *part);
