/*
 * transfer - HTTP exchanges by libcurl, several at once; the only file that includes curl.h.
 *
 * H1  A body goes to its sink piece by piece, or into a bounded buffer; headers are bounded.
 * H2  Nothing is followed and nothing is tried again: a redirect is an answer, and who asks decides.
 * H3  Time-outs are of inactivity, never of the whole exchange.
 * H4  http and https only; certificates are verified unless the request says otherwise; loopback needs no proxy.
 * Lifecycle  new -> (start -> wait -> answer -> job_free)* -> free.
 * Threads    one; sinks and sources are called from wait and run, and must not call back.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct transfer;
struct transfer_job;

struct transfer_tls {
	bool unverified;
	const char *ca_pem; /* beside the system's; NULL: none */
	const char *cert_file, *key_file;
};

/* Bytes of a body; a failure ends the exchange. */
typedef enum err_kind transfer_sink_fn(void *arg, const void *p, size_t n, struct err *e);
/* Bytes to send, at an offset that only grows, or begins again; *ret_n 0 at the end. */
typedef enum err_kind transfer_source_fn(void *arg, uint64_t at, void *buf, size_t cap,
					 size_t *ret_n, struct err *e);

#define TRANSFER_WAIT_S_MAX 60         /* whatever Retry-After says */
#define TRANSFER_BODY_MAX (64u * 1024) /* of answers without a sink, unless body_max says more */

struct transfer_request {
	const char *method; /* GET, HEAD, POST, PUT, PATCH, DELETE */
	const char *url;
	struct transfer_tls tls;
	const char *const *headers; /* "Name: value", NULL after the last; NULL: none */
	struct str body;            /* sent if source is NULL and it is not empty */
	transfer_source_fn *source;
	uint64_t source_bytes;
	transfer_sink_fn *sink; /* takes the body of an answer with status 200 or 206 */
	/* Asked before the first piece; may be NULL.  The answer has no body yet. */
	enum err_kind (*accept)(void *arg, const struct transfer_job *j, struct err *e);
	void *arg; /* of all three */
	uint64_t body_max;
};

MUST_CHECK enum err_kind transfer_new(struct transfer **ret, struct err *e);
void transfer_free(struct transfer **t);

/* Copies what it needs of the request but body, source, sink and arg. */
MUST_CHECK enum err_kind transfer_start(struct transfer *t, const struct transfer_request *r,
					struct transfer_job **ret, struct err *e);
/* One that has ended, or NULL after timeout_ms; other exchanges go on meanwhile. */
MUST_CHECK enum err_kind transfer_wait(struct transfer *t, unsigned timeout_ms,
				       struct transfer_job **ret, struct err *e);
/* Ends it if it is still under way. */
void transfer_job_free(struct transfer_job **j);
#define AUTO_TRANSFER_JOB CLEANUP(transfer_job_free) struct transfer_job
/* Waits for this one only, which is not told by transfer_wait then. */
MUST_CHECK enum err_kind transfer_finish(struct transfer_job *j, struct err *e);
/* start and finish. */
MUST_CHECK enum err_kind transfer_run(struct transfer *t, const struct transfer_request *r,
				      struct transfer_job **ret, struct err *e);

/* --- Answers --- */

/*
 * ERR_OK if there is a whole answer, whatever its status.  transfer_may_pass: what failed is the network or the other
 * side, and may work another time.
 */
enum err_kind transfer_outcome(const struct transfer_job *j, struct err *e);
bool transfer_may_pass(const struct transfer_job *j);
/* How long to wait after the tries'th failure that may pass: twice as long each time, or as Retry-After says. */
uint64_t transfer_backoff_ms(const struct transfer_job *j, unsigned tries);
/* The other side did not speak TLS. */
bool transfer_is_not_tls(const struct transfer_job *j);
long transfer_status(const struct transfer_job *j);
struct str transfer_body(const struct transfer_job *j);
/* The n'th field of this name; false if there is none. */
bool transfer_header(const struct transfer_job *j, const char *name, unsigned n, struct str *ret);
/* Where a redirect leads, as an absolute URL; NULL if it is none. */
const char *transfer_redirect(const struct transfer_job *j);
const char *transfer_url(const struct transfer_job *j);
