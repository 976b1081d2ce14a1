#include "runtime/container/fuse.h"

#include <errno.h>
#include <linux/mount.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/fd.h"

#define PROGRAM "fuse-overlayfs"
#define FD_TEXT_MAX sizeof("/proc/self/fd/-2147483648:")
#define OPTIONS_MAX (64u * 1024)
#define NO_PROGRAM 120 /* exit status */

/* --- The mount --- */

static int set(int fs, const char *key, const char *value)
{
	return (int)syscall(SYS_fsconfig, fs, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key,
			    value, 0);
}

static enum err_kind mount_device(int device, int *ret, struct err *e)
{
	AUTO_CLOSE fs = (int)syscall(SYS_fsopen, "fuse", FSOPEN_CLOEXEC);
	char number[16];

	(void)snprintf(number, sizeof(number), "%d", device);
	if (fs < 0 || set(fs, "source", "berth") < 0 || set(fs, "fd", number) < 0 ||
	    set(fs, "rootmode", "40000") < 0 || set(fs, "user_id", "0") < 0 ||
	    set(fs, "group_id", "0") < 0 || set(fs, "allow_other", NULL) < 0 ||
	    set(fs, "default_permissions", NULL) < 0 ||
	    syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_sys(e, __func__, "mount a file system by /dev/fuse");
	*ret = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	return *ret < 0 ? err_sys(e, __func__, "mount a file system by /dev/fuse") : ERR_OK;
}

/* --- The program --- */

/* On disk as inside, shown as outside: "uidmapping=INSIDE:OUTSIDE:COUNT:...". */
static void add_map(struct sbuf *ret, const char *key, const struct idmap *m)
{
	for (size_t i = 0; i < m->n; i++)
		sbuf_addf(ret, "%s%s%u:%u:%u", i ? "" : key, i ? ":" : "=", m->v[i].inside,
			  m->v[i].outside, m->v[i].n);
}

static enum err_kind make_options(const struct overlay *o, struct sbuf *ret, struct err *e)
{
	for (size_t i = 0; i < o->n_lowers; i++)
		sbuf_addf(ret, "%s/proc/self/fd/%d", i ? ":" : "lowerdir=", o->lowers[i]);
	if (o->dir >= 0)
		sbuf_addf(ret, ",upperdir=/proc/self/fd/%d/upper,workdir=/proc/self/fd/%d/work",
			  o->dir, o->dir);
	if (o->ids) {
		add_map(ret, ",uidmapping", &o->ids->uids);
		add_map(ret, ",gidmapping", &o->ids->gids);
	}
	if (o->is_volatile)
		sbuf_addf(ret, ",volatile");
	return ret->failed ? err_set(e, ERR_TOO_LARGE, __func__, "too many layers") : ERR_OK;
}

static void keep(int fd)
{
	if (fd >= 0 && fcntl(fd, F_SETFD, 0) < 0)
		_exit(NO_PROGRAM);
}

/* It outlives us, whoever we are, so it is no child of a terminal's, and says nothing. */
static void become(const struct overlay *o, int device, char *options)
{
	char place[FD_TEXT_MAX];
	char *argv[] = {
		(char[]){ PROGRAM }, (char[]){ "-f" }, (char[]){ "-o" }, options, place, NULL
	};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setsid();
	for (int fd = 0; fd < 3; fd++) {
		if (dup2(null, fd) < 0)
			_exit(NO_PROGRAM);
	}
	for (size_t i = 0; i < o->n_lowers; i++)
		keep(o->lowers[i]);
	keep(o->dir);
	keep(device);
	(void)snprintf(place, sizeof(place), "/dev/fd/%d", device); /* libfuse's for "is mounted" */
	(void)execvp(PROGRAM, argv);
	_exit(NO_PROGRAM);
}

/* The first question waits until the program has answered, or ended. */
static enum err_kind check(int mount, pid_t program, struct err *e)
{
	struct stat s;
	int status = 0;

	if (fstat(mount, &s) == 0)
		return ERR_OK;
	(void)kill(program, SIGKILL);
	if (waitpid(program, &status, 0) == program && WIFEXITED(status) &&
	    WEXITSTATUS(status) == NO_PROGRAM)
		return err_set(e, ERR_NOT_FOUND, __func__,
			       "overlayfs is refused here: install " PROGRAM);
	return err_set(e, ERR_IO, __func__, PROGRAM " ended with status %d", WEXITSTATUS(status));
}

enum err_kind fuse_mount(const struct overlay *o, int *ret, struct err *e)
{
	AUTO_CLOSE device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	AUTO_CLOSE mount = -1;
	AUTO_SBUF options;
	enum err_kind k;
	pid_t program;

	sbuf_init(&options, OPTIONS_MAX);
	if (device < 0)
		return err_sys(e, __func__, "open /dev/fuse");
	k = make_options(o, &options, e);
	if (k == ERR_OK)
		k = mount_device(device, &mount, e);
	if (k != ERR_OK)
		return k;
	program = fork();
	if (program < 0)
		return err_sys(e, __func__, "fork");
	if (program == 0)
		become(o, device, options.p);
	fd_close(&device);
	k = check(mount, program, e);
	if (k == ERR_OK)
		*ret = TAKE_FD(mount);
	return k;
}
