/*
 * listen - the listening socket: from its text form, or passed to us.
 */
#pragma once

#include "base/err.h"
#include "server/conf.h"

#define ADDRESS_TEXT_MAX 80

/* Binds "ADDRESS:PORT" or "[ADDRESS]:PORT" (numeric, or a name that resolves to one).  ERR_DENIED: not loopback. */
MUST_CHECK enum err_kind listen_open(const char *text, bool loopback_only, int *ret_fd,
				     char ret_address[static ADDRESS_TEXT_MAX], struct err *e);

/* Could it be bound?  Names are looked up. */
MUST_CHECK enum err_kind listen_check(const char *text, bool loopback_only, struct err *e);

/*
 * The same with a socket that somebody else made for us; *take_fd is -1 afterwards.  ERR_INVALID: it is not one of TCP that
 * listens.
 */
MUST_CHECK enum err_kind listen_adopt(int *take_fd, bool loopback_only, int *ret_fd,
				      char ret_address[static ADDRESS_TEXT_MAX], struct err *e);

struct sockaddr;
/* The address without its port. */
void address_text(const struct sockaddr *a, char *buf, size_t cap);
/* ADDRESS:PORT, with brackets around IPv6. */
void address_port_text(const struct sockaddr *a, char *buf, size_t cap);
