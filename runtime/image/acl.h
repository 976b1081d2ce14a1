/*
 * acl - POSIX access control lists in the form in which Linux keeps them in attributes (linux/posix_acl_xattr.h).
 *
 * Threads  no shared state.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define ACL_ENTRIES_MAX 512
#define ACL_BYTES_MAX (4 + 8 * ACL_ENTRIES_MAX)

enum acl_tag { /* values are the kernel's */
	       ACL_USER_OBJ = 0x01,
	       ACL_USER = 0x02,
	       ACL_GROUP_OBJ = 0x04,
	       ACL_GROUP = 0x08,
	       ACL_MASK = 0x10,
	       ACL_OTHER = 0x20,
};

struct acl {
	size_t n; /* entries; 0: none was added */
	uint8_t bytes[ACL_BYTES_MAX];
};

void acl_init(struct acl *a);
/* id is that of a user or group, ignored for other tags.  False if there are too many. */
MUST_CHECK bool acl_add(struct acl *a, enum acl_tag tag, unsigned perm, uint32_t id);
/* Puts the entries into the order that the kernel asks for. */
struct str acl_finish(struct acl *a);
