/*
 * keep - the network namespaces of running containers, as files: STATE/netns/CONTAINER.
 *
 * K1  A kept namespace lives until keep_release, so what is attached to it can be detached in an orderly way after the
 *     last process in it has ended.
 * K2  It counts as alive as long as the process that it was kept for is in it (STATE/pids/CONTAINER has its number; a number
 *     that was given again is of a process in another namespace).
 * K3  What is kept changes under a lock: nobody releases what another keeps at that moment.
 * K4  A reboot, which empties STATE, leaves no namespace and so nothing alive.
 * Threads  any.
 */
#pragma once

#include "runtime/net/cni.h"
#include "runtime/net/netns.h"

/*
 * Keeps the namespace of a process; what was kept under that name before is released.  ERR_NOT_FOUND: there is no such
 * process; ERR_DENIED: it is in the host's namespace.
 */
MUST_CHECK enum err_kind keep_namespace(const struct cni_options *o,
					const struct container_id *container, pid_t pid,
					char ret_path[static NETNS_PATH_MAX], struct err *e);
/* What is not kept is success; with only_dead, what is alive is let be. */
MUST_CHECK enum err_kind keep_release(const struct cni_options *o,
				      const struct container_id *container, bool only_dead,
				      struct err *e);

/* ERR_NOT_FOUND: none is kept for the container, or nobody is in it any more. */
MUST_CHECK enum err_kind keep_find(const struct cni_options *o,
				   const struct container_id *container,
				   char ret_path[static NETNS_PATH_MAX], struct err *e);
/* Was the path made by keep_namespace? */
bool keep_is_kept(const struct cni_options *o, const char *path);
/* K2 for what is kept; any other path is alive as long as it is a namespace. */
bool keep_is_alive(const struct cni_options *o, const char *path);

/* Calls fn with each container whose namespace is kept though nobody is in it any more, until fn fails. */
typedef enum err_kind keep_fn(void *arg, const struct container_id *container, struct err *e);
MUST_CHECK enum err_kind keep_each_dead(const struct cni_options *o, keep_fn *fn, void *arg,
					struct err *e);
