/*
 * fetch - small exchanges with servers that the configuration names, on libcurl; the only file of berthd that includes it.
 *
 * H1  https, checked against authorities; http only with this machine itself, unless it is allowed.  No redirect is followed.
 * H2  Time and size are bounded.
 * H3  No message has what was sent or received in it.
 * H4  The trace of the thread that asks (base/trace.h) goes along.
 * Threads  any; all block.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct fetch {
	const char *ca;      /* file of authorities; NULL: the system's */
	uint64_t timeout_ms; /* in all */
	size_t bytes_max;    /* of the answer */
	bool plain;          /* http to anybody */
	/* Of fetch_send: looked at about once a second; true ends the exchange.  NULL: nothing does. */
	const _Atomic bool *cancel;
};

/* Loads libcurl, which whatever asks first would do: so that a start without it fails. */
MUST_CHECK enum err_kind fetch_open(struct err *e);
/* Is it an address that H1 lets pass?  Nothing is looked up. */
bool fetch_may(const char *url);
/* The body of a 200; ERR_AWAY for anything else. */
MUST_CHECK enum err_kind fetch_get(const struct fetch *f, const char *url, struct sbuf *ret,
				   struct err *e);
/* The same of an answer to a form; authorization is NULL, or NAME:PASSWORD for Basic. */
MUST_CHECK enum err_kind fetch_post(const struct fetch *f, const char *url, struct str form,
				    const char *authorization, struct sbuf *ret, struct err *e);

/* The same for an address that http to anybody is allowed for. */
bool fetch_may_plain(const char *url);

/* A connection that lives on between exchanges.  One thread at a time. */
struct fetch_line;
MUST_CHECK enum err_kind fetch_line_new(struct fetch_line **ret, struct err *e);
void fetch_line_free(struct fetch_line **take);
struct fetch_answer {
	unsigned status;  /* 0: none came */
	uint64_t wait_ms; /* Retry-After; 0: it has none */
};
/*
 * Posts the body with these header fields ("Name: value", up to NULL).  ERR_AWAY unless the status is 2xx; what the answer
 * holds is read up to bytes_max and thrown away.  Messages do not have the address, which may be a secret by itself.
 */
MUST_CHECK enum err_kind fetch_send(struct fetch_line *l, const struct fetch *f, const char *url,
				    const char *const *fields, struct str body,
				    struct fetch_answer *ret, struct err *e);
