/*
 * netns - network namespaces as files.
 *
 * N1  A namespace that netns_create or netns_keep mounted lives as long as its file is mounted, not as long as any process.
 * N2  The namespace that this program is in, and that of process 1, are never given to plugins as a container's.
 * N3  A call that looks into another namespace comes back, or the process ends.
 * Threads  any; each changes the namespace of its own thread only.
 */
#pragma once

#include "base/err.h"
#include "runtime/net/name.h"
#include "runtime/net/netlink.h"
#include "runtime/net/result.h"

#define NETNS_PATH_MAX 512

/*
 * A new namespace with its loopback interface up, mounted at DIR/NAME.  ERR_EXISTS if that file is there.
 * Makes the directory, but not those above.
 */
MUST_CHECK enum err_kind netns_create(const char *dir, const char *name,
				      char ret_path[static NETNS_PATH_MAX], struct err *e);
/*
 * A namespace that is there already, its loopback interface set up (unless this program may not enter it and come back:
 * pasta does it then), mounted at DIR/NAME as well.  Otherwise the same.
 */
MUST_CHECK enum err_kind netns_keep(const char *source, const char *dir, const char *name,
				    char ret_path[static NETNS_PATH_MAX], struct err *e);
/* What is not there is success. */
MUST_CHECK enum err_kind netns_remove(const char *path, struct err *e);

/* ERR_NOT_FOUND: no such file; ERR_INVALID: not a network namespace; ERR_DENIED: the host's (N2). */
MUST_CHECK enum err_kind netns_check(const char *path, struct err *e);

/* A socket that speaks of the namespace at path; of our own if that is NULL. */
MUST_CHECK enum err_kind netns_netlink(const char *path, int protocol, struct nl *ret,
				       struct err *e);
/* Is there an interface of that name? */
MUST_CHECK enum err_kind netns_has_interface(const char *path, const struct if_name *name,
					     bool *ret, struct err *e);

/*
 * A namespace that stands in for one that is gone: it has an interface of that name with the result's addresses, so
 * that plugins which find what they are to undo by looking at the interface can find it.  It is gone when *ret_fd is
 * closed; ret_path leads to it as long as this process lives.
 */
MUST_CHECK enum err_kind netns_stand_in(const struct if_name *name, const struct result *r,
					int *ret_fd, char ret_path[static NETNS_PATH_MAX],
					struct err *e);
