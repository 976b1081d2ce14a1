/*
 * network_view - the networks of containers as commands show them: addresses and published ports.
 *
 * V1  One look at the machine's attachments serves all containers of a listing.
 * Lifecycle  open -> of -> close.
 * Threads    reads the environment: one thread.
 */
#pragma once

#include "base/jv.h"
#include "runtime/cli/network/place.h"
#include "runtime/net/attachments.h"

struct network_view {
	struct network_place place;
	struct attachments all;
};

MUST_CHECK enum err_kind network_view_open(struct network_view *ret, struct err *e);
void network_view_close(struct network_view *v);
#define AUTO_NETWORK_VIEW CLEANUP(network_view_close) struct network_view

/*
 * [{"network","interface","state","ips","mac","ports"}] of the container with that id, as `berth network inspect` has them;
 * ports as the capability "portMappings".  NULL: no memory.
 */
struct jv *network_view_of(const struct network_view *v, const char *id);
/* "0.0.0.0:8080->80/tcp, ..." of such a list. */
void network_view_ports(const struct jv *list, struct sbuf *out);
/* "0.0.0.0:8080" of one of its ports. */
void network_view_outer(const struct jv *port, struct sbuf *out);
