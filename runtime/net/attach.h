/*
 * attach - all networks of one container, made and undone as a whole: what `berth run` asks for.
 *
 * T1  attach_up attaches a container to all networks of the specification, or to none.
 * T2  What is attached is known on disk before it is begun (cache.h H1), so attach_down undoes it whoever died at
 *     whatever moment; it needs the container's id only, and may be repeated.
 * T3  Whoever comes next cleans up: attach_up first detaches containers that are gone (attach_sweep), and what an
 *     earlier life of the same container left.
 * T4  The container's hosts file and resolv.conf are written in place when all is attached, so they may be mounted already.
 *
 * Lifecycle  the runtime creates the container, with a network namespace of its own -> attach_up with its process ->
 *            the runtime starts it -> it ends -> attach_down -> the runtime deletes it.
 * Ownership  attach_spec_clear frees what the wants_ functions put into the specification; its texts are the caller's.
 * Threads    one thread at a time per specification and struct cni.
 */
#pragma once

#include "runtime/net/cni.h"
#include "runtime/net/netns.h"
#include "runtime/net/wants.h"

#define ATTACH_NETWORKS_MAX 16
#define ATTACH_HOSTS_MAX 256

/* What --network says. */
enum attach_kind {
	ATTACH_NONE,      /* a namespace without anything but its loopback interface */
	ATTACH_HOST,      /* the host's */
	ATTACH_CONTAINER, /* "container:ID": that of another container */
	ATTACH_NAMESPACE, /* "ns:PATH" */
	ATTACH_USER_MODE, /* "pasta" (user_mode.h) */
	/* NAME[:ip=IP,mac=MAC,alias=NAME,interface_name=NAME,ingress=RATE,egress=RATE]: this header is about */
	ATTACH_NETWORK,
};

struct attach_network {
	struct net_name name;
	struct if_name ifname; /* "": the next ethN */
	struct wants wants;    /* addresses and aliases on this network */
};

/*
 * *rest is what stands behind the colon of the kinds that have one.  For ATTACH_NETWORK it is all, checked and read into
 * *ret, which the caller clears with wants_clear(&ret->wants) whatever the result.
 */
MUST_CHECK enum err_kind attach_parse(struct str in, enum attach_kind *ret_kind, struct str *rest,
				      struct attach_network *ret, struct err *e);

struct attach_spec {
	struct container_id container;
	const char
	    *name; /* of the container, by which others on its networks know it; NULL: none */
	pid_t pid; /* a process in its namespace, as long as which it is alive; or else */
	const char *netns; /* a path that lasts as long as the container */
	bool user_mode;    /* by pasta, in place of networks; needs the pid */
	struct attach_network networks[ATTACH_NETWORKS_MAX];
	size_t n_networks;
	struct wants
	    wants; /* ports: on the first network that can; addresses: on the first; name servers */
	const char *hostname;                      /* NULL: none */
	const char *extra_hosts[ATTACH_HOSTS_MAX]; /* NAME:IP, NAME:host-gateway */
	size_t n_extra_hosts;
	const char *hosts_file;  /* NULL: one is made (names.h) */
	const char *resolv_file; /* NULL: not written */
};

void attach_spec_clear(struct attach_spec *s);
#define AUTO_ATTACH_SPEC CLEANUP(attach_spec_clear) struct attach_spec

/*
 * *ret is {"netns","hosts","networks":[{"name","interface","result"}],"ports"}, ports as the capability "portMappings" has
 * them, those that were chosen as well.  What could not be swept (T3), and names that other
 * containers could not be told, go to the log of the options.
 */
MUST_CHECK enum err_kind attach_up(struct cni *c, const char *conf_dir,
				   const struct attach_spec *spec, struct jv **ret, struct err *e);
/* Detaches containers that are gone, from whatever they were attached to by attach_up.  Goes on after failures. */
MUST_CHECK enum err_kind attach_sweep(struct cni *c, struct err *e);
/* What is not attached is success.  Goes on after failures; what is left is known for the next time. */
MUST_CHECK enum err_kind attach_down(struct cni *c, const struct container_id *container,
				     struct err *e);
