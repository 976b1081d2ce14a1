/* The files of a container, as it sees them. */
#include "runtime/cli/ctl.h"
#include "runtime/container/overlay.h"

#define PROC_ROOT_MAX sizeof("/proc/-2147483648/root")

/* What the descriptor leads to is the process's as long as it is the same process afterwards. */
static enum err_kind open_running(const struct container *c, const struct status *now, int *ret,
				  struct err *e)
{
	char path[PROC_ROOT_MAX];
	uint64_t started;

	(void)snprintf(path, sizeof(path), "/proc/%d/root", now->pid);
	*ret = sys_openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (*ret < 0)
		return err_sys(e, __func__, "open the files of container %s", c->record.name);
	if (process_started(now->pid, &started) && started == now->pid_started)
		return ERR_OK;
	fd_close(ret);
	return err_set(e, ERR_IN_USE, __func__, "container %s has just ended: try again",
		       c->record.name);
}

static enum err_kind mount_stopped(struct ctl *t, const struct container *c, int *ret,
				   struct err *e)
{
	AUTO_IMAGES *im = NULL;
	AUTO_LAYER_LIST layers = { 0 };
	AUTO_CLOSE upper = -1;
	AUTO_CLOSE work = -1;
	enum err_kind k = images_open(t->cs.root, &im, e);

	if (k == ERR_OK)
		k = ctl_layers(im, &c->record, &layers, e);
	if (k == ERR_OK)
		k = fd_open_at(c->dir, "upper", O_PATH | O_DIRECTORY, 0, &upper, e);
	if (k == ERR_OK)
		k = fd_open_at(c->dir, "work", O_PATH | O_DIRECTORY, 0, &work, e);
	return k == ERR_OK ? overlay_mount(&(struct overlay){ .lowers = layers.fds,
							      .n_lowers = layers.n,
							      .upper = upper,
							      .work = work,
							      .in_userns = c->record.in_userns },
					   ret, e)
			   : k;
}

enum err_kind ctl_files(struct ctl *t, struct container *c, const struct status *now, int *ret,
			struct err *e)
{
	if (now->pid)
		return open_running(c, now, ret, e);
	if (!*c->record.rootfs)
		return mount_stopped(t, c, ret, e);
	*ret = sys_openat(AT_FDCWD, c->record.rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	return *ret < 0 ? err_sys(e, __func__, "open %s", c->record.rootfs) : ERR_OK;
}
