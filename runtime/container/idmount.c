#include "runtime/container/idmount.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/mount.h>

#include "base/fd.h"
#include "runtime/oci/init/tree.h"

#define MAP_TEXT_MAX (1u << 16)

/* What tree.h has as a negative errno. */
static enum err_kind told(int r, const char *what, struct err *e)
{
	if (r >= 0)
		return ERR_OK;
	errno = -r;
	return err_sys(e, __func__, "%s", what);
}

enum err_kind idmount_userns(const struct idmaps *m, int *ret, struct err *e)
{
	AUTO_SBUF uids;
	AUTO_SBUF gids;

	sbuf_init(&uids, MAP_TEXT_MAX);
	sbuf_init(&gids, MAP_TEXT_MAX);
	idmap_write(&m->uids, &uids);
	idmap_write(&m->gids, &gids);
	if (uids.failed || gids.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for maps of ids");
	return idmap_open_userns(uids.p, gids.p, ret, e);
}

enum err_kind idmount_map(int mount, int userns, struct err *e)
{
	int r = tree_idmap(mount, userns, false);

	if (r == -EINVAL || r == -ENOSYS || r == -EOPNOTSUPP)
		return told(r,
			    "the file system cannot show other owners (Linux 5.19 with ext4, xfs "
			    "or btrfs can)",
			    e);
	return told(r, "show other owners of files", e);
}

enum err_kind idmount_clone(int dir, const char *path, bool all, int *ret, struct err *e)
{
	int r = tree_clone(dir, path, all);

	if (r >= 0)
		*ret = r;
	return told(r, *path ? path : "mount a directory again", e);
}

enum err_kind idmount_read_only(int mount, bool all, struct err *e)
{
	return told(tree_set(mount, MOUNT_ATTR_RDONLY, 0, all), "make a mount read-only", e);
}

enum err_kind idmount_enter(struct err *e)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_sys(e, __func__, "make a mount namespace");
	return ERR_OK;
}

/* The kernel takes rights over files from who gives up root's file ids; they are taken back. */
enum err_kind idmount_become(uid_t uid, gid_t gid, struct err *e)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];

	(void)setfsgid(gid);
	(void)setfsuid(uid);
	if (syscall(SYS_capget, &header, caps) < 0)
		return err_sys(e, __func__, "capabilities");
	for (size_t i = 0; i < ARRAY_LEN(caps); i++)
		caps[i].effective = caps[i].permitted;
	return syscall(SYS_capset, &header, caps) < 0 ? err_sys(e, __func__, "capabilities")
						      : ERR_OK;
}

enum err_kind idmount_become_root(const struct idmaps *m, struct err *e)
{
	uid_t uid = 0;
	gid_t gid = 0;

	return idmaps_owner_out(m, &uid, &gid)
		   ? idmount_become(uid, gid, e)
		   : err_set(e, ERR_INVALID, __func__, "a map of ids without root");
}

enum err_kind idmount_attach(int mount, int target, struct err *e)
{
	return told(tree_attach(mount, target), "put a mount into its place", e);
}

enum err_kind idmount_hide(int mount, struct err *e)
{
	AUTO_CLOSE root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	return root < 0 ? err_sys(e, __func__, "open /") : idmount_attach(mount, root, e);
}
