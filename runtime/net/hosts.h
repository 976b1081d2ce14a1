/*
 * hosts - the text of the files by which a container knows names: /etc/hosts and /etc/resolv.conf.
 *
 * Pure: files are the caller's.  What is written was checked before, so that no name or address is more than one word.
 * Threads  no shared state.
 */
#pragma once

#include "base/jv.h"
#include "runtime/net/result.h"

/* "127.0.0.1 localhost" and its like of IPv6. */
void hosts_add_localhost(struct sbuf *out);
/* One line: an address, and names. */
void hosts_add(struct sbuf *out, const struct ip_net *ip, const char *const *names, size_t n);

/* --add-host NAME:IP; "host-gateway" stands for the address given.  ERR_INVALID for anything else. */
MUST_CHECK enum err_kind hosts_parse_extra(struct str in, const struct ip_net *gateway,
					   struct str *ret_name, struct ip_net *ret_ip,
					   struct err *e);

#define RESOLV_LIST_MAX 32

/* Views into the texts that they come from; entries beyond the maximum are left out. */
struct resolv {
	struct str servers[RESOLV_LIST_MAX], searches[RESOLV_LIST_MAX], options[RESOLV_LIST_MAX];
	size_t n_servers, n_searches, n_options;
};

/*
 * Adds what a resolv.conf(5) says.  Where loopback is false, name servers on the loopback interface are left out: in a
 * container they would be its own.
 */
void resolv_read(struct resolv *r, struct str text, bool loopback);
/* Takes the place of what was there, list by list, where the other has something. */
void resolv_override(struct resolv *r, const struct resolv *by);
/* What a network says of name servers (result_dns). */
void resolv_of_result(struct resolv *r, const struct result_dns *dns);
void resolv_write(const struct resolv *r, struct sbuf *out);
