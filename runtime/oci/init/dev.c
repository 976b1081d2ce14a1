/* Devices and links below the container's /dev. */
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "runtime/oci/init/init.h"
#include "runtime/oci/init/kernel.h"
#include "runtime/oci/init/tree.h"
#include "runtime/oci/init/walk.h"

/* Mode and owner by descriptor: the name may lead to something else the next moment. */
static int own_node(struct init *in, int node, const struct device_op *d)
{
	char path[FD_PATH_MAX];
	struct stat st;
	int r = 0;

	if (fstat(node, &st) < 0)
		return -errno;
	if ((st.st_mode & S_IFMT) != (d->mode & S_IFMT) ||
	    (!S_ISFIFO(st.st_mode) && st.st_rdev != d->number)) {
		note_set(&in->why, "something else is there", NULL);
		return -EEXIST;
	}
	if (st.st_uid != d->uid || st.st_gid != d->gid)
		r = NEG_ERRNO(fchownat(node, "", d->uid, d->gid, AT_EMPTY_PATH));
	if (r == 0 && (st.st_mode & 07777) != (d->mode & 07777))
		r = NEG_ERRNO(chmod(fd_path(node, path), d->mode & 07777));
	return r;
}

/* What is there already must be the very device that is wanted. */
static int make_node(struct init *in, int dir, const char *name, const struct device_op *d)
{
	int r = NEG_ERRNO(mknodat(dir, name, d->mode, d->number)), node;

	if (r < 0 && r != -EEXIST)
		return r;
	node = NEG_ERRNO(openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
	if (node < 0)
		return node;
	r = own_node(in, node, d);
	(void)close(node);
	return r;
}

int init_place(struct init *in, const char *path)
{
	int fd = walk_open(in->root, path, O_PATH | O_NOFOLLOW);
	struct statfs fs;
	struct stat st;

	if (fd == -ENOENT)
		fd = walk_make(in->root, path, WALK_MAKE_FILE);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) == 0 && !S_ISLNK(st.st_mode) && !S_ISDIR(st.st_mode) &&
	    fstatfs(fd, &fs) == 0 && fs.f_type != PROC_SUPER_MAGIC)
		return fd;
	(void)close(fd);
	return -ELOOP;
}

static int bind_fd(int source, int target)
{
	char from[FD_PATH_MAX], to[FD_PATH_MAX];
	int tree = tree_clone(source, "", false), r;

	if (tree == -ENOSYS)
		return NEG_ERRNO(
		    mount(fd_path(source, from), fd_path(target, to), NULL, MS_BIND, NULL));
	if (tree < 0)
		return tree;
	r = tree_attach(tree, target);
	(void)close(tree);
	return r;
}

static int bind_node(struct init *in, const struct device_op *d)
{
	int source = NEG_ERRNO(open(d->path, O_PATH | O_NOFOLLOW | O_CLOEXEC)), target, r;
	struct stat st;

	if (source < 0)
		return source;
	if (fstat(source, &st) < 0 || (st.st_mode & S_IFMT) != (d->mode & S_IFMT) ||
	    st.st_rdev != d->number) {
		(void)close(source);
		note_set(&in->why, "the host's device of this name is another one", NULL);
		return -ENODEV;
	}
	target = init_place(in, d->path);
	r = target < 0 ? target : bind_fd(source, target);
	(void)close(source);
	if (target >= 0)
		(void)close(target);
	return r;
}

int init_device(struct init *in, const struct device_op *d)
{
	char buf[4096];
	const char *name;
	int dir, r;

	if (d->binds)
		return bind_node(in, d);
	dir = walk_parent(in->root, d->path, &name, buf);
	if (dir < 0)
		return dir;
	r = make_node(in, dir, name, d);
	(void)close(dir);
	return r;
}

/* A link of this text replaces another link, never a file. */
int init_link(struct init *in, const char *path, const char *text)
{
	char buf[4096];
	struct stat st;
	const char *name;
	int dir = walk_parent(in->root, path, &name, buf), r;

	if (dir < 0)
		return dir;
	r = NEG_ERRNO(symlinkat(text, dir, name));
	if (r == -EEXIST && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISLNK(st.st_mode)) {
		(void)unlinkat(dir, name, 0);
		r = NEG_ERRNO(symlinkat(text, dir, name));
	}
	(void)close(dir);
	return r == -EEXIST ? 0 : r; /* the image brings its own */
}

static int open_null(struct init *in)
{
	struct stat st;

	if (in->null >= 0)
		return 0;
	in->null = NEG_ERRNO(open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC));
	if (in->null < 0)
		return in->null;
	/* CVE-2025-31133: a null device that is none would lay something else over what is to be hidden. */
	if (fstat(in->null, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
		return 0;
	note_set(&in->why, "the host's /dev/null is not the null device", NULL);
	return -ENODEV;
}

static int mask_file(struct init *in, int target)
{
	int r = open_null(in);

	return r < 0 ? r : bind_fd(in->null, target);
}

/* One empty tmpfs serves all masked directories. */
static int make_empty(void)
{
	int fs = NEG_ERRNO(fsopen("tmpfs", FSOPEN_CLOEXEC)), r;

	if (fs < 0)
		return fs;
	r = NEG_ERRNO(fsconfig(fs, FSCONFIG_SET_STRING, "source", "tmpfs", 0));
	if (r == 0)
		r = NEG_ERRNO(fsconfig(fs, FSCONFIG_SET_STRING, "size", "4k", 0));
	if (r == 0)
		r = NEG_ERRNO(fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0755", 0));
	if (r == 0)
		r = NEG_ERRNO(fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0));
	if (r == 0)
		r = NEG_ERRNO(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
	if (r == 0)
		r = NEG_ERRNO(fsmount(fs, FSMOUNT_CLOEXEC,
				      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
					  MOUNT_ATTR_NOEXEC));
	(void)close(fs);
	return r;
}

static int mask_directory(struct init *in, int target)
{
	char path[FD_PATH_MAX];
	int tree, r;

	if (in->mask >= 0)
		return bind_fd(in->mask, target);
	tree = make_empty();
	if (tree == -ENOSYS)
		return NEG_ERRNO(mount("tmpfs", fd_path(target, path), "tmpfs",
				       MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k"));
	if (tree < 0)
		return tree;
	r = tree_attach(tree, target);
	if (r == 0)
		in->mask = tree;
	else
		(void)close(tree);
	return r;
}

/* True for what "nothing to hide" looks like. */
static bool is_absent(int r)
{
	return r == -ENOENT || r == -ENOTDIR;
}

int init_mask(struct init *in, const char *path)
{
	int target = walk_open(in->root, path, O_PATH), r;
	struct stat st;

	if (target < 0)
		return is_absent(target) ? 0 : target;
	if (fstat(target, &st) < 0)
		r = -errno;
	else
		r = S_ISDIR(st.st_mode) ? mask_directory(in, target) : mask_file(in, target);
	(void)close(target);
	return r;
}

static int readonly_by_path(struct init *in, const char *path, int target)
{
	char name[FD_PATH_MAX];
	int r, top;

	(void)fd_path(target, name);
	r = NEG_ERRNO(mount(name, name, NULL, MS_BIND | MS_REC, NULL));
	if (r < 0)
		return r;
	top = walk_open(in->root, path, O_PATH);
	if (top < 0)
		return top;
	r = NEG_ERRNO(mount(NULL, fd_path(top, name), NULL,
			    MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
			    NULL));
	(void)close(top);
	return r;
}

int init_readonly(struct init *in, const char *path)
{
	int target = walk_open(in->root, path, O_PATH), tree, r;

	if (target < 0)
		return is_absent(target) ? 0 : target;
	tree = tree_clone(target, "", true);
	if (tree == -ENOSYS) {
		r = readonly_by_path(in, path, target);
	} else {
		r = tree < 0 ? tree : tree_set(tree, MOUNT_ATTR_RDONLY, 0, true);
		if (r == 0)
			r = tree_attach(tree, target);
		if (tree >= 0)
			(void)close(tree);
	}
	(void)close(target);
	return r;
}
