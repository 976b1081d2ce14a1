/*
 * names - containers on one network know each other by name (ADR 0044), through their hosts files.
 *
 * A container takes part from names_create() on: it has a file, which is to be mounted as its /etc/hosts:
 * STATE/hosts/CONTAINER, or one of the caller's that a symbolic link of that name leads to.  The part of the file between two marks is ours; it has the addresses and names of all that are attached to
 * the same networks, and is written again whenever somebody comes or goes (names_refresh).  The rest of the file is
 * the container's, which may change it.
 *
 * A container's names on a network are its name (the argument K8S_POD_NAME of its attachment, as others have it), its
 * aliases there, and the first twelve characters of its id.
 * Threads  any; files are written under a lock.
 */
#pragma once

#include "runtime/net/cni.h"
#include "runtime/net/hosts.h"

#define NAMES_PATH_MAX 512

/* Makes the file, or begins the caller's anew (NULL: there is none); head is what comes before the names. */
MUST_CHECK enum err_kind names_create(const struct cni_options *o,
				      const struct container_id *container, const char *file,
				      struct str head, char ret_path[static NAMES_PATH_MAX],
				      struct err *e);
/* What is not there is success. */
MUST_CHECK enum err_kind names_remove(const struct cni_options *o,
				      const struct container_id *container, struct err *e);
/* Writes the files of all that are attached to the network, and of the container that just left it (NULL: none). */
MUST_CHECK enum err_kind names_refresh(const struct cni_options *o, const struct net_name *network,
				       const struct container_id *left, struct err *e);
