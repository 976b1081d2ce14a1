/*
 * host - what the runtime's own surroundings allow, found out once.
 */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

struct host {
	uid_t euid;
	gid_t egid;
	bool in_userns; /* we are in a user namespace other than the first */
	bool
	    may_mount; /* CAP_SYS_ADMIN: detached mounts can be made here and handed to the container */
	bool has_apparmor, has_selinux;
	uint64_t caps; /* effective */
	int proc;      /* O_PATH on /proc, checked to be a procfs's root */
};

MUST_CHECK enum err_kind host_probe(struct host *ret, struct err *e);
/* Only asked where a label is wanted: costs two look-ups. */
void host_probe_lsm(struct host *h);
