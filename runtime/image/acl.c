#include "runtime/image/acl.h"

#include <endian.h>

#define VERSION 2
#define HEAD_BYTES 4
#define NO_ID UINT32_MAX

struct acl_entry { /* little-endian */
	uint16_t tag, perm;
	uint32_t id;
};
_Static_assert(sizeof(struct acl_entry) == 8, "the kernel's layout");

void acl_init(struct acl *a)
{
	uint32_t version = htole32(VERSION);

	a->n = 0;
	memcpy(a->bytes, &version, sizeof(version));
}

bool acl_add(struct acl *a, enum acl_tag tag, unsigned perm, uint32_t id)
{
	bool has_id = tag == ACL_USER || tag == ACL_GROUP;
	struct acl_entry entry = { .tag = htole16((uint16_t)tag),
				   .perm = htole16((uint16_t)(perm & 7)),
				   .id = htole32(has_id ? id : NO_ID) };

	if (a->n == ACL_ENTRIES_MAX)
		return false;
	memcpy(a->bytes + HEAD_BYTES + a->n * sizeof(entry), &entry, sizeof(entry));
	a->n++;
	return true;
}

static int by_tag_and_id(const void *a, const void *b)
{
	const struct acl_entry *x = a, *y = b;

	if (x->tag != y->tag)
		return le16toh(x->tag) < le16toh(y->tag) ? -1 : 1;
	return le32toh(x->id) < le32toh(y->id) ? -1 : le32toh(x->id) > le32toh(y->id);
}

struct str acl_finish(struct acl *a)
{
	qsort(a->bytes + HEAD_BYTES, a->n, sizeof(struct acl_entry), by_tag_and_id);
	return (struct str){ (const char *)a->bytes, HEAD_BYTES + a->n * sizeof(struct acl_entry) };
}
