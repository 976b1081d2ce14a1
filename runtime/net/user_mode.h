/*
 * user_mode - the network of a container whose user is nobody on the host: by pasta(1), a process that speaks for the
 * container with sockets of the host.  No interface, rule or address of the host is made.
 *
 * The process notes its number in STATE/pasta/CONTAINER, and bears the path of that file as an argument, by which it is known
 * as ours.  It does not see the container's end, so it is ended by user_mode_down, or swept by the next start.  Its last
 * argument is the container's namespace: a kept one (keep.h), or a process in it for users who may not mount.
 * The container reaches neither the host's loopback interface nor abstract sockets of the host.
 * Threads  any.
 */
#pragma once

#include "base/jv.h"
#include "runtime/net/cni.h"

#define USER_MODE_INTERFACE "eth0"

/* Are networks of the host out of reach: not root, or root only in a user namespace? */
bool user_mode_is_needed(void);
/* A failure says what is missing: pasta, or a /dev/net/tun that it may open. */
MUST_CHECK enum err_kind user_mode_probe(struct err *e);

struct user_mode {
	struct container_id container;
	struct if_name ifname;
	pid_t pid;              /* a process in its namespaces, which pasta joins; or, */
	const char *netns;      /* unless NULL, its network namespace by a kept path */
	const struct jv *ports; /* as the capability "portMappings"; NULL: none */
};

/* ERR_NOT_FOUND: pasta is not installed; ERR_UNSUPPORTED: a protocol that it does not know. */
MUST_CHECK enum err_kind user_mode_up(const struct cni_options *o, const struct user_mode *u,
				      struct err *e);
/* What is not there is success. */
MUST_CHECK enum err_kind user_mode_down(const struct cni_options *o,
					const struct container_id *container, struct err *e);
/* What it publishes, as the capability "portMappings"; false: nobody speaks for the container. */
MUST_CHECK bool user_mode_ports(const struct cni_options *o, const struct container_id *container,
				struct jv **ret);
/* Ends what speaks for containers that are gone. */
MUST_CHECK enum err_kind user_mode_sweep(const struct cni_options *o, struct err *e);
