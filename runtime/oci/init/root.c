/* The container's root: attached, and made the root of the process. */
#include <sys/mount.h>
#include <sys/stat.h>

#include "runtime/oci/init/init.h"
#include "runtime/oci/init/kernel.h"
#include "runtime/oci/init/tree.h"
#include "runtime/oci/init/walk.h"

static bool is_same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/*
 * A runtime that was started in a chroot: what lies outside of that is still the root of the mount namespace, where
 * setns would lead the container's own processes.  Joining the namespace anew leads us there first.
 */
static int leave_chroot(const struct init *in)
{
	int ns = NEG_ERRNO(openat(in->plan->proc, "self/ns/mnt", O_RDONLY | O_CLOEXEC)), r;

	if (ns < 0)
		return ns;
	r = NEG_ERRNO(setns(ns, CLONE_NEWNS));
	(void)close(ns);
	return r;
}

/*
 * Where to attach: over the directory itself, so that hooks find the tree under its own path.  Whoever renames
 * directories meanwhile could make the path mean another place; then, and where a user namespace may not walk the
 * path, it is attached over the old root, out of everybody's sight: the namespace's, since joining the namespace later
 * would lead into what is attached over it.
 */
static int attach_tree(struct init *in, const char *path, int tree)
{
	int at = NEG_ERRNO(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)), r;

	if (at >= 0 && !is_same_file(at, tree)) {
		(void)close(at);
		at = -EACCES;
	}
	if (at == -EACCES) {
		r = leave_chroot(in);
		if (r < 0)
			return r;
		in->is_at_ns_root = true;
		at = NEG_ERRNO(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
	}
	if (at < 0)
		return at;
	r = tree_attach(tree, at);
	(void)close(at);
	return r;
}

static int bind_by_path(const char *path)
{
	int r = NEG_ERRNO(mount(path, path, NULL, MS_BIND | MS_REC, NULL));

	return r < 0 ? r : NEG_ERRNO(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
}

int init_attach_root(struct init *in)
{
	const char *path = in->plan->root_path;
	int tree = in->plan->root_tree, r;

	if (tree >= 0)
		tree = NEG_ERRNO(fcntl(tree, F_DUPFD_CLOEXEC, 3));
	else
		tree = tree_clone(AT_FDCWD, path, true);
	if (tree == -ENOSYS) {
		tree = bind_by_path(path);
		if (tree < 0)
			return tree;
		in->root = tree;
		return NEG_ERRNO(mount(NULL, path, NULL, MS_PRIVATE, NULL));
	}
	if (tree < 0)
		return tree;
	r = tree_propagate(tree, MS_PRIVATE); /* pivot_root(2) refuses a shared root */
	if (r == 0)
		r = attach_tree(in, path, tree);
	if (r < 0) {
		(void)close(tree);
		return r;
	}
	in->root = tree;
	return 0;
}

/* The old root ends up on top of the new one, and is let go from there. */
static int pivot(struct init *in)
{
	int old = NEG_ERRNO(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)), r;

	if (old < 0)
		return old;
	r = NEG_ERRNO(fchdir(in->root));
	if (r == 0)
		r = k_pivot_root(".", ".");
	if (r == 0)
		r = NEG_ERRNO(fchdir(old));
	if (r == 0)
		r = NEG_ERRNO(mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL));
	if (r == 0)
		r = NEG_ERRNO(umount2(".", MNT_DETACH));
	if (r == 0)
		r = NEG_ERRNO(chdir("/"));
	(void)close(old);
	return r;
}

/*
 * For roots on a ramfs.  The host's mounts stay reachable for whoever may mount: its procfs and sysfs go, since a
 * user namespace may mount its own only while one of them is fully visible.
 */
static int move(struct init *in)
{
	const char *const *proc = in->plan->host_proc_mounts;
	char path[FD_PATH_MAX];
	int r;

	for (; proc && *proc; proc++) {
		if (umount2(*proc, MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
			(void)mount("tmpfs", *proc, "tmpfs", MS_RDONLY, "size=4k");
	}
	r = NEG_ERRNO(fchdir(in->root));
	if (r == 0)
		r = NEG_ERRNO(mount(fd_path(in->root, path), "/", NULL, MS_MOVE, NULL));
	if (r == -ENOENT) /* /proc is gone already */
		r = NEG_ERRNO(mount(".", "/", NULL, MS_MOVE, NULL));
	if (r == 0)
		r = NEG_ERRNO(chroot("."));
	return r == 0 ? NEG_ERRNO(chdir("/")) : r;
}

static int change_root(struct init *in)
{
	int r = NEG_ERRNO(fchdir(in->root));

	if (r == 0)
		r = NEG_ERRNO(chroot("."));
	return r == 0 ? NEG_ERRNO(chdir("/")) : r;
}

int init_pivot(struct init *in, enum pivot_kind kind)
{
	int r = kind == PIVOT_CHROOT || in->is_at_ns_root ? 0 : leave_chroot(in);

	if (r < 0)
		return r;
	switch (kind) {
	case PIVOT_ROOT:
		return pivot(in);
	case PIVOT_MOVE:
		return move(in);
	case PIVOT_CHROOT:
		return change_root(in);
	}
	return -EINVAL;
}

int init_root_attr(struct init *in, uint64_t set, unsigned long propagation)
{
	int r = set ? tree_set(in->root, set, 0, false) : 0;

	if (r == -ENOSYS)
		r = NEG_ERRNO(
		    mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | mount_flags_of(set), NULL));
	if (r == 0 && propagation)
		r = NEG_ERRNO(mount(NULL, "/", NULL, propagation, NULL));
	return r;
}
