/*
 * nearby - does a process of this machine ask, for itself?
 *
 * Without accounts administration over HTTP is for those only.  A web page that a browser here shows, a proxy here that others
 * talk to, and a name that somebody made resolve to this machine are all at a loopback address, but not for themselves.
 * Threads  no shared state.
 */
#pragma once

#include "base/str.h"

/* 127.0.0.0/8 and ::1, the former also as ::ffff:127.0.0.1. */
bool address_is_loopback(struct str address);
/* The same for ADDRESS:PORT, [ADDRESS]:PORT, and, as in the field Host, an address or "localhost" with or without a port. */
bool host_is_loopback(struct str host);

struct request;
bool request_is_nearby(const struct request *rq);
