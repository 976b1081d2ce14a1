#include "runtime/net/netns.h"

#include <errno.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include "base/fd.h"
#include "runtime/net/link.h"

#define OWN "/proc/thread-self/ns/net"

/*
 * The namespace that this thread goes back to.  That it may is tried before it leaves: root of a user namespace must not
 * enter the host's.
 */
static enum err_kind open_own(int *ret, struct err *e)
{
	AUTO_CLOSE fd = sys_openat(AT_FDCWD, OWN, O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return err_sys(e, __func__, "open " OWN);
	if (setns(fd, CLONE_NEWNET) < 0)
		return err_sys(e, __func__, "leave a network namespace and come back");
	*ret = TAKE_FD(fd);
	return ERR_OK;
}

/* N3: nothing may run on in the wrong namespace. */
static void go_back(int own)
{
	if (setns(own, CLONE_NEWNET) < 0)
		abort();
}

/* path NULL: of the namespace that this thread is in. */
static enum err_kind set_loopback_up(const char *path, struct err *e)
{
	AUTO_NL s = { .fd = -1 };
	struct link lo;
	enum err_kind k = netns_netlink(path, NETLINK_ROUTE, &s, e);

	if (k == ERR_OK)
		k = link_find(&s, "lo", &lo, e);
	return k == ERR_OK ? link_set_up(&s, lo.index, e) : k;
}

static bool is_mount_point(const char *dir)
{
	struct statx inside, above;
	char parent[NETNS_PATH_MAX];

	(void)snprintf(parent, sizeof(parent), "%s/..", dir);
	if (statx(AT_FDCWD, dir, 0, STATX_MNT_ID, &inside) < 0 ||
	    statx(AT_FDCWD, parent, 0, STATX_MNT_ID, &above) < 0)
		return false;
	return inside.stx_mnt_id != above.stx_mnt_id;
}

/*
 * The directory is a shared mount, so that a namespace which is unmounted here goes away from all other mount
 * namespaces as well, instead of living on in a copy of the mount.
 */
static enum err_kind share_dir(const char *dir, struct err *e)
{
	if (is_mount_point(dir))
		return ERR_OK;
	if (mount(dir, dir, NULL, MS_BIND | MS_REC, NULL) < 0)
		return err_sys(e, __func__, "mount %s", dir);
	if (mount(NULL, dir, NULL, MS_SHARED | MS_REC, NULL) < 0)
		return err_sys(e, __func__, "share mount %s", dir);
	return ERR_OK;
}

/* Once, though many may come at a time: locked by the directory below the mount, which is the same as that above. */
static enum err_kind prepare_dir(const char *dir, struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k;

	if (sys_mkdirat(AT_FDCWD, dir, 0755) < 0 && errno != EEXIST)
		return err_sys(e, __func__, "make directory %s", dir);
	k = fd_open_at(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, &fd, e);
	if (k == ERR_OK)
		k = fd_lock(fd, dir, e);
	return k == ERR_OK ? share_dir(dir, e) : k;
}

/* In a namespace of its own, which the mount keeps. */
static enum err_kind mount_new(const char *path, struct err *e)
{
	AUTO_CLOSE own = -1;
	enum err_kind k = open_own(&own, e);

	if (k != ERR_OK)
		return k;
	if (unshare(CLONE_NEWNET) < 0)
		return err_sys(e, __func__, "make a network namespace");
	k = set_loopback_up(NULL, e);
	if (k == ERR_OK && mount(OWN, path, NULL, MS_BIND, NULL) < 0)
		k = err_sys(e, __func__, "mount a network namespace at %s", path);
	go_back(own);
	return k;
}

static enum err_kind open_netns(const char *path, int *ret, struct stat *st, struct err *e)
{
	AUTO_CLOSE fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	struct statfs fs;

	if (fd < 0)
		return err_sys(e, __func__, "open network namespace %s", path);
	if (fstatfs(fd, &fs) < 0 || fstat(fd, st) < 0)
		return err_sys(e, __func__, "look at %s", path);
	if (fs.f_type != NSFS_MAGIC || ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return err_set(e, ERR_INVALID, __func__, "%s is not a network namespace", path);
	*ret = TAKE_FD(fd);
	return ERR_OK;
}

static bool is_same_as(const char *path, const struct stat *st)
{
	struct stat other;

	return stat(path, &other) == 0 && other.st_dev == st->st_dev && other.st_ino == st->st_ino;
}

/* N2 */
static bool is_host(const struct stat *st)
{
	return is_same_as(OWN, st) || is_same_as("/proc/1/ns/net", st);
}

static enum err_kind denied(const char *path, struct err *e)
{
	return err_set(e, ERR_DENIED, __func__,
		       "%s is the host's network namespace, not a container's", path);
}

/* An empty file DIR/NAME to mount a namespace on. */
static enum err_kind make_place(const char *dir, const char *name,
				char ret_path[static NETNS_PATH_MAX], struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k;

	if (snprintf(ret_path, NETNS_PATH_MAX, "%s/%s", dir, name) >= NETNS_PATH_MAX)
		return err_set(e, ERR_INVALID, __func__, "the path of namespace %.60s is too long",
			       name);
	k = prepare_dir(dir, e);
	if (k == ERR_OK)
		k = fd_open_at(AT_FDCWD, ret_path, O_RDONLY | O_CREAT | O_EXCL, 0444, &fd, e);
	return k;
}

enum err_kind netns_create(const char *dir, const char *name, char ret_path[static NETNS_PATH_MAX],
			   struct err *e)
{
	enum err_kind k = make_place(dir, name, ret_path, e);

	if (k != ERR_OK)
		return k;
	k = mount_new(ret_path, e);
	if (k != ERR_OK)
		(void)sys_unlinkat(AT_FDCWD, ret_path, 0); /* an empty file of ours */
	return k;
}

/* By descriptor, so that what was checked is what is mounted. */
static enum err_kind mount_open(int fd, const char *path, struct err *e)
{
	char self[64];
	enum err_kind k;

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (mount(self, path, NULL, MS_BIND, NULL) < 0)
		return err_sys(e, __func__, "mount a network namespace at %s", path);
	k = set_loopback_up(path, e);
	return k != ERR_OK && e->sys == EPERM ? ERR_OK : k;
}

enum err_kind netns_keep(const char *source, const char *dir, const char *name,
			 char ret_path[static NETNS_PATH_MAX], struct err *e)
{
	AUTO_CLOSE fd = -1;
	struct err ignored;
	struct stat st;
	enum err_kind k = open_netns(source, &fd, &st, e);

	if (k == ERR_OK && is_host(&st))
		k = denied(source, e);
	if (k == ERR_OK)
		k = make_place(dir, name, ret_path, e);
	if (k != ERR_OK)
		return k;
	k = mount_open(fd, ret_path, e);
	if (k != ERR_OK)
		(void)!netns_remove(ret_path, &ignored);
	return k;
}

enum err_kind netns_remove(const char *path, struct err *e)
{
	while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	if (errno != EINVAL && errno != ENOENT)
		return err_sys(e, __func__, "unmount %s", path);
	if (sys_unlinkat(AT_FDCWD, path, 0) < 0 && errno != ENOENT)
		return err_sys(e, __func__, "remove %s", path);
	return ERR_OK;
}

enum err_kind netns_check(const char *path, struct err *e)
{
	AUTO_CLOSE fd = -1;
	struct stat st;
	enum err_kind k = open_netns(path, &fd, &st, e);

	if (k != ERR_OK)
		return k;
	return is_host(&st) ? denied(path, e) : ERR_OK;
}

enum err_kind netns_netlink(const char *path, int protocol, struct nl *ret, struct err *e)
{
	AUTO_CLOSE there = -1;
	AUTO_CLOSE own = -1;
	struct stat st;
	enum err_kind k;

	*ret = (struct nl){ .fd = -1 };
	if (!path)
		return nl_open(protocol, ret, e);
	k = open_netns(path, &there, &st, e);
	if (k == ERR_OK)
		k = open_own(&own, e);
	if (k != ERR_OK)
		return k;
	if (setns(there, CLONE_NEWNET) < 0)
		return err_sys(e, __func__, "enter network namespace %s", path);
	k = nl_open(protocol, ret, e);
	go_back(own);
	return k;
}

enum err_kind netns_has_interface(const char *path, const struct if_name *name, bool *ret,
				  struct err *e)
{
	AUTO_NL s = { .fd = -1 };
	struct link found;
	enum err_kind k = netns_netlink(path, NETLINK_ROUTE, &s, e);

	*ret = false;
	if (k != ERR_OK)
		return k;
	k = link_find(&s, name->s, &found, e);
	*ret = k == ERR_OK;
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

/* Addresses of the container's own interface. */
static bool is_of(const struct result *r, const struct result_ip *ip, const struct if_name *name)
{
	const struct result_interface *f;

	if (!ip->has_interface)
		return true;
	if (ip->interface < 0 || (uint64_t)ip->interface >= r->n_interfaces)
		return false;
	f = &r->interfaces[ip->interface];
	return *f->sandbox && strcmp(f->name, name->s) == 0;
}

static enum err_kind furnish(const struct if_name *name, const struct result *r, struct err *e)
{
	const char *peer = strcmp(name->s, "peer") == 0 ? "peer0" : "peer";
	AUTO_NL s = { .fd = -1 };
	struct link l;
	enum err_kind k = nl_open(NETLINK_ROUTE, &s, e);

	if (k == ERR_OK)
		k = link_add_veth(&s, name->s, peer, e);
	if (k == ERR_OK)
		k = link_find(&s, name->s, &l, e);
	for (size_t i = 0; k == ERR_OK && i < r->n_ips; i++) {
		if (is_of(r, &r->ips[i], name))
			k = link_add_address(&s, l.index, &r->ips[i].address, e);
	}
	return k;
}

enum err_kind netns_stand_in(const struct if_name *name, const struct result *r, int *ret_fd,
			     char ret_path[static NETNS_PATH_MAX], struct err *e)
{
	AUTO_CLOSE own = -1;
	AUTO_CLOSE made = -1;
	enum err_kind k = open_own(&own, e);

	if (k != ERR_OK)
		return k;
	if (unshare(CLONE_NEWNET) < 0)
		return err_sys(e, __func__, "make a network namespace");
	k = furnish(name, r, e);
	if (k == ERR_OK)
		k = open_own(&made, e);
	go_back(own);
	if (k != ERR_OK)
		return err_wrap(e, "stand in for a namespace that is gone");
	(void)snprintf(ret_path, NETNS_PATH_MAX, "/proc/%d/fd/%d", (int)getpid(), made);
	*ret_fd = TAKE_FD(made);
	return ERR_OK;
}
