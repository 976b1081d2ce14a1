#include "runtime/oci/init/tree.h"

#include <sys/mount.h>

#include "runtime/oci/init/kernel.h"

int tree_clone(int dir, const char *path, bool recursive)
{
	unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_NO_AUTOMOUNT;

	if (recursive)
		flags |= AT_RECURSIVE;
	if (!*path)
		flags |= AT_EMPTY_PATH;
	return NEG_ERRNO(open_tree(dir, path, flags));
}

int tree_attach(int tree, int target)
{
	return NEG_ERRNO(
	    move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

static int set_attr(int tree, struct mount_attr *attr, bool recursive)
{
	unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0u);

	return NEG_ERRNO(mount_setattr(tree, "", flags, attr, sizeof(*attr)));
}

int tree_set(int tree, uint64_t set, uint64_t clear, bool recursive)
{
	struct mount_attr attr = { .attr_set = set, .attr_clr = clear };

	return set || clear ? set_attr(tree, &attr, recursive) : 0;
}

int tree_propagate(int tree, unsigned long ms_flags)
{
	struct mount_attr attr = { .propagation = ms_flags & ~(unsigned long)MS_REC };

	return set_attr(tree, &attr, (ms_flags & MS_REC) != 0);
}

int tree_idmap(int tree, int userns, bool recursive)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned)userns };

	return set_attr(tree, &attr, recursive);
}
