/*
 * http - the HTTP server: libmicrohttpd in front of request.h; the only file that includes microhttpd.h.
 *
 * Framing, header syntax and connection reuse are the library's, at its strict level; limits, time-outs of heads and
 * bodies, and everything about the registry are ours.
 * Lifecycle  start -> (poll, single-threaded only) -> drain, which ends it.
 * Threads    start, poll and drain by one thread.
 */
#pragma once

#include "server/request.h"

struct http;

/* On a socket that listens, which is the server's from now on (*take_fd is -1 then). */
MUST_CHECK enum err_kind http_start(const struct server *s, int *take_fd, struct http **ret,
				    struct err *e);
bool http_is_tls(const struct http *h);
/* Other time-outs of heads and bodies. */
void http_set_limits(struct http *h, const struct conf *c);
/* Serves for up to ms milliseconds on the calling thread; for conf.threads 1. */
void http_poll(struct http *h, unsigned ms);
/*
 * Do poll threads do their work?  True if one did anything since the last call; each call gives them something to do, a
 * connection from ourselves.  A server that has as many connections as it may counts as one that works.
 */
bool http_works(struct http *h);
/* Accepts nothing more, lets running requests end for http.drain, then cuts the rest off. */
void http_drain(struct http **take);
