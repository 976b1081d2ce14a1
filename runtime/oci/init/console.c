/* The terminal: made in the container's own devpts, its master sent to whoever asked for it. */
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <termios.h>

#include "runtime/oci/init/init.h"
#include "runtime/oci/init/kernel.h"
#include "runtime/oci/init/sync.h"
#include "runtime/oci/init/tree.h"
#include "runtime/oci/init/walk.h"

/* The path is the container's to choose, so what it led to is looked at. */
static int open_master(struct init *in)
{
	int fd = walk_open(in->root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY);
	struct statfs fs;

	if (fd < 0) {
		note_set(&in->why, "/dev/pts/ptmx", NULL);
		return fd;
	}
	if (fstatfs(fd, &fs) == 0 && fs.f_type == DEVPTS_SUPER_MAGIC)
		return fd;
	(void)close(fd);
	note_set(&in->why, "/dev/pts/ptmx is not in a devpts", NULL);
	return -ENOTTY;
}

/* CVE-2025-52565: the slave by the master's descriptor, never by the path /dev/pts/N. */
static int open_slave(int master)
{
	int unlock = 0;

	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return -errno;
	return NEG_ERRNO(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
}

static int bind_console(struct init *in, int slave)
{
	char from[FD_PATH_MAX], to[FD_PATH_MAX];
	int target = init_place(in, "/dev/console"), tree, r;

	if (target < 0) {
		note_set(&in->why, "/dev/console", NULL);
		return target;
	}
	tree = tree_clone(slave, "", false);
	if (tree == -ENOSYS) {
		r = NEG_ERRNO(
		    mount(fd_path(slave, from), fd_path(target, to), NULL, MS_BIND, NULL));
	} else {
		r = tree < 0 ? tree : tree_attach(tree, target);
		if (tree >= 0)
			(void)close(tree);
	}
	(void)close(target);
	return r;
}

static int send_master(const struct console_op *c, int master)
{
	char name[32 + DECIMAL_MAX] = "/dev/pts/", digits[DECIMAL_MAX];
	const char *number;
	unsigned n = 0;
	size_t len = strlen(name);

	if (ioctl(master, TIOCGPTN, &n) < 0)
		return -errno;
	for (number = decimal(n, digits); *number; number++)
		name[len++] = *number;
	return sync_send_fd(c->socket, master, name, len);
}

static int take_terminal(int slave)
{
	if (ioctl(slave, TIOCSCTTY, 0) < 0)
		return -errno;
	for (int fd = 0; fd < 3; fd++) {
		if (dup2(slave, fd) < 0)
			return -errno;
	}
	return 0;
}

int init_console(struct init *in, const struct console_op *c)
{
	const struct winsize size = { .ws_row = (unsigned short)c->size.height,
				      .ws_col = (unsigned short)c->size.width };
	int master = open_master(in), slave, r = 0;

	if (master < 0)
		return master;
	slave = open_slave(master);
	if (slave < 0)
		r = slave;
	if (r == 0 && (size.ws_row || size.ws_col))
		r = NEG_ERRNO(ioctl(master, TIOCSWINSZ, &size));
	if (r == 0)
		r = NEG_ERRNO(fchown(slave, c->uid, (gid_t)-1));
	if (r == 0 && c->binds)
		r = bind_console(in, slave);
	if (r == 0) {
		r = send_master(c, master);
		if (r < 0)
			note_set(&in->why, "the console socket", NULL);
	}
	if (r == 0)
		r = take_terminal(slave);
	(void)close(master);
	if (slave >= 0)
		(void)close(slave);
	return r;
}
