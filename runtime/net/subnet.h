/*
 * subnet - which networks are taken, and which are free to give away.
 *
 * Taken is what an address or route of the host is about, and what any configuration in the directory says.
 * Threads  one thread at a time per struct subnets.
 */
#pragma once

#include "runtime/net/conflist.h"
#include "runtime/net/ip.h"

struct subnets {
	struct ip_net *p;
	size_t n;
};

void subnets_clear(struct subnets *s);
#define AUTO_SUBNETS CLEANUP(subnets_clear) struct subnets

/* All networks that are taken. */
MUST_CHECK enum err_kind subnets_taken(const char *conf_dir, struct subnets *ret, struct err *e);
/* Networks that the address management of one list gives addresses of. */
MUST_CHECK enum err_kind subnets_of_list(const struct conflist *l, struct subnets *ret,
					 struct err *e);
bool subnets_overlap(const struct subnets *s, const struct ip_net *network);

/*
 * A free /20 of 10.112.0.0/12, which the presets of docker, podman and Kubernetes leave alone.
 * ERR_NO_SPACE if all are taken.
 */
MUST_CHECK enum err_kind subnets_choose4(const struct subnets *taken, struct ip_net *ret,
					 struct err *e);
/* A /64 of its own, by RFC 4193: fd00::/8 and random bits. */
void subnets_choose6(const struct subnets *taken, struct ip_net *ret);
