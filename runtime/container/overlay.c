#include "runtime/container/overlay.h"

#include <errno.h>
#include <linux/mount.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/fd.h"
#include "runtime/container/fuse.h"
#include "runtime/container/idmount.h"

#define FD_PATH_MAX sizeof("/proc/self/fd/-2147483648")
#define LOG_BYTES 200
#define LOWERS_TEXT_MAX 256 /* what fsconfig(2) takes */

/* The C library's <sys/mount.h> and the kernel's header exclude each other, and Debian 12 has no other wrappers. */
static int set(int fs, const char *key, const char *value)
{
	return (int)syscall(SYS_fsconfig, fs, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key,
			    value, 0);
}

static int set_fd(int fs, const char *key, int fd)
{
	char path[FD_PATH_MAX];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return set(fs, key, path);
}

/* What the kernel has to say of a failure: "e text", one message a read. */
static enum err_kind fail(int fs, const char *what, struct err *e)
{
	char text[LOG_BYTES];
	enum err_kind k = err_sys(e, __func__, "overlayfs: %s", what);
	ssize_t n = read(fs, text, sizeof(text) - 1);

	if (n <= 2)
		return k;
	text[n] = '\0';
	return err_wrap(e, "%s", text + 2);
}

/* Before Linux 6.5 all lower directories are one text, of limited length. */
static enum err_kind set_lowers_at_once(int fs, const struct overlay *o, struct err *e)
{
	char all[LOWERS_TEXT_MAX];
	size_t n = 0;

	for (size_t i = 0; i < o->n_lowers && n < sizeof(all); i++)
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s/proc/self/fd/%d", i ? ":" : "",
				      o->lowers[i]);
	if (n >= sizeof(all))
		return err_set(e, ERR_UNSUPPORTED, __func__,
			       "an image of %zu layers needs Linux 6.5", o->n_lowers);
	return set(fs, "lowerdir", all) < 0 ? fail(fs, "lower directories", e) : ERR_OK;
}

static enum err_kind set_lowers(int fs, const struct overlay *o, struct err *e)
{
	for (size_t i = 0; i < o->n_lowers; i++) {
		if (set_fd(fs, "lowerdir+", o->lowers[i]) == 0)
			continue;
		return i == 0 && errno == EINVAL ? set_lowers_at_once(fs, o, e)
						 : fail(fs, "lower directory", e);
	}
	return ERR_OK;
}

static enum err_kind set_upper(int fs, int dir, struct err *e)
{
	AUTO_CLOSE upper = -1;
	AUTO_CLOSE work = -1;
	enum err_kind k;

	if (dir < 0)
		return ERR_OK;
	k = fd_open_at(dir, "upper", O_PATH | O_DIRECTORY, 0, &upper, e);
	if (k == ERR_OK)
		k = fd_open_at(dir, "work", O_PATH | O_DIRECTORY, 0, &work, e);
	if (k != ERR_OK)
		return k;
	return set_fd(fs, "upperdir", upper) < 0 || set_fd(fs, "workdir", work) < 0
		   ? fail(fs, "upper directory", e)
		   : ERR_OK;
}

static enum err_kind mount_by_kernel(const struct overlay *o, int *ret, struct err *e)
{
	AUTO_CLOSE fs = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
	enum err_kind k;

	if (fs < 0)
		return err_sys(e, __func__, "open overlayfs");
	(void)set(fs, "source", "berth");
	if (o->in_userns && set(fs, "userxattr", NULL) < 0)
		return fail(fs, "userxattr", e);
	(void)set(fs, "metacopy", "off"); /* O2; older kernels do not have it */
	(void)set(fs, "redirect_dir", "nofollow");
	k = set_lowers(fs, o, e);
	if (k == ERR_OK)
		k = set_upper(fs, o->dir, e);
	if (k == ERR_OK && o->is_volatile && set(fs, "volatile", NULL) < 0)
		k = fail(fs, "volatile", e);
	if (k == ERR_OK && syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		k = fail(fs, "mount", e);
	if (k != ERR_OK)
		return k;
	*ret = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	return *ret < 0 ? err_sys(e, __func__, "mount overlayfs") : ERR_OK;
}

static const char *const drivers[] = {
	[OVERLAY_AUTO] = "auto",
	[OVERLAY_KERNEL] = "kernel",
	[OVERLAY_FUSE] = "fuse",
};

bool overlay_driver_parse(struct str in, enum overlay_driver *ret)
{
	for (unsigned i = 0; i < ARRAY_LEN(drivers); i++) {
		if (str_eq(in, str_of(drivers[i]))) {
			*ret = (enum overlay_driver)i;
			return true;
		}
	}
	return false;
}

const char *overlay_driver_text(enum overlay_driver d)
{
	return drivers[d];
}

/* --- With a map: of mounts of the layers that show the ids outside --- */

struct mapped {
	const struct overlay *o; /* whose directories are these mounts */
	int *ret;
	struct err *e;
	enum err_kind k;
};

static enum err_kind map_dir(int dir, int userns, int *ret, struct err *e)
{
	AUTO_CLOSE mount = -1;
	enum err_kind k = idmount_clone(dir, "", false, &mount, e);

	if (k == ERR_OK)
		k = idmount_map(mount, userns, e);
	if (k == ERR_OK)
		*ret = TAKE_FD(mount);
	return k;
}

static enum err_kind map_dirs(struct overlay *o, int userns, int *lowers, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < o->n_lowers; i++)
		k = map_dir(o->lowers[i], userns, &lowers[i], e);
	if (k == ERR_OK && o->dir >= 0)
		k = map_dir(o->dir, userns, &o->dir, e);
	return k;
}

/*
 * Until Linux 6.15 overlayfs takes no mounts that are in no namespace: they are put into one of this thread's own.  And it
 * changes its upper directory by the rights of who mounted it, who must have an id there.
 */
static void *mount_in_namespace(void *arg)
{
	struct mapped *m = arg;

	m->k = idmount_enter(m->e);
	for (size_t i = 0; m->k == ERR_OK && i < m->o->n_lowers; i++)
		m->k = idmount_hide(m->o->lowers[i], m->e);
	if (m->k == ERR_OK && m->o->dir >= 0)
		m->k = idmount_hide(m->o->dir, m->e);
	if (m->k == ERR_OK)
		m->k = idmount_become_root(m->o->ids, m->e);
	if (m->k == ERR_OK)
		m->k = mount_by_kernel(m->o, m->ret, m->e);
	return NULL;
}

static enum err_kind run_thread(struct mapped *m)
{
	pthread_t thread;
	int failed = pthread_create(&thread, NULL, mount_in_namespace, m);

	errno = failed;
	if (failed || (errno = pthread_join(thread, NULL)) != 0)
		return err_sys(m->e, __func__, "run a thread");
	return m->k;
}

static enum err_kind mount_mapped(const struct overlay *plain, int *ret, struct err *e)
{
	AUTO_FREE int *lowers = calloc(plain->n_lowers + 1, sizeof(*lowers));
	AUTO_CLOSE userns = -1;
	struct overlay o = *plain;
	struct mapped m = { .o = &o, .ret = ret, .e = e };
	enum err_kind k;

	if (!lowers)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for layers");
	for (size_t i = 0; i < o.n_lowers; i++)
		lowers[i] = -1;
	k = idmount_userns(plain->ids, &userns, e);
	if (k == ERR_OK)
		k = map_dirs(&o, userns, lowers, e);
	o.lowers = lowers;
	if (k == ERR_OK)
		k = run_thread(&m);
	for (size_t i = 0; i < o.n_lowers; i++)
		fd_close(&lowers[i]);
	if (o.dir != plain->dir)
		fd_close(&o.dir);
	return k;
}

/* --- Which way --- */

/* Root's overlayfs is never refused for who asks. */
static bool is_refused(const struct overlay *o, const struct err *e)
{
	return o->driver == OVERLAY_AUTO && o->in_userns &&
	       (e->sys == EPERM || e->sys == EACCES || e->sys == EINVAL || e->sys == ENODEV);
}

enum err_kind overlay_mount(const struct overlay *o, int *ret, struct err *e)
{
	bool is_mapped = o->ids && idmaps_are_set(o->ids);
	enum err_kind k;

	if (is_mapped && o->in_userns && o->driver == OVERLAY_KERNEL)
		return err_set(e, ERR_UNSUPPORTED, __func__,
			       "--overlay kernel with ids of its own: the kernel lets no ordinary "
			       "user mount files with other owners");
	if (o->driver == OVERLAY_FUSE || (is_mapped && o->in_userns))
		return fuse_mount(o, ret, e);
	if (is_mapped)
		return mount_mapped(o, ret, e);
	k = mount_by_kernel(o, ret, e);
	return k != ERR_OK && is_refused(o, e) ? fuse_mount(o, ret, e) : k;
}
