/* Mounts of the container: made or cloned detached, given their options, and attached where openat2 says. */
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "runtime/oci/init/init.h"
#include "runtime/oci/init/kernel.h"
#include "runtime/oci/init/tree.h"
#include "runtime/oci/init/walk.h"

/* Files of procfs that lxcfs and the like may replace; nothing else may be mounted inside /proc. */
static const char *const proc_files[] = {
	"/proc/cpuinfo",
	"/proc/diskstats",
	"/proc/meminfo",
	"/proc/stat",
	"/proc/swaps",
	"/proc/uptime",
	"/proc/loadavg",
	"/proc/slabinfo",
	"/proc/net/dev",
	"/proc/sys/kernel/ns_last_pid",
	"/proc/sys/crypto/fips_enabled",
};

static bool is_proc_file(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(proc_files); i++) {
		if (strcmp(path, proc_files[i]) == 0)
			return true;
	}
	return false;
}

/* CVE-2019-16884, CVE-2023-27561: what lies over /proc decides what later writes to it reach. */
static int check_target(struct init *in, const struct mount_op *m, int target)
{
	bool is_proc = strcmp(m->target, "/proc") == 0;
	bool mounts_proc = (m->type && strcmp(m->type, "proc") == 0) || m->is_proc_source;
	struct statfs fs;

	if (is_proc && !mounts_proc && m->kind != MOUNT_CHANGE) {
		note_set(&in->why, "only procfs may be mounted there", NULL);
		return -EPERM;
	}
	if (fstatfs(target, &fs) < 0)
		return -errno;
	if (fs.f_type != PROC_SUPER_MAGIC || is_proc || mounts_proc || m->kind == MOUNT_CHANGE)
		return 0;
	if (is_proc_file(m->target))
		return 0;
	note_set(&in->why, "it is inside procfs", NULL);
	return -EPERM;
}

/* proc and sysfs: a link at the target would send the mount, and all that trusts /proc, elsewhere. */
static int open_plain_directory(struct init *in, const char *path)
{
	int fd = walk_open(in->root, path, O_PATH | O_NOFOLLOW | O_DIRECTORY);

	if (fd == -ELOOP || fd == -ENOTDIR) {
		note_set(&in->why, "it is not a directory", NULL);
		return fd;
	}
	return fd == -ENOENT ? walk_make(in->root, path, WALK_MAKE_DIR) : fd;
}

static int is_directory(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? -errno : S_ISDIR(st.st_mode);
}

static int open_target(struct init *in, const struct mount_op *m, bool directory)
{
	int fd, r;

	if (m->wants_directory)
		fd = open_plain_directory(in, m->target);
	else if (m->opts.target_nofollow)
		fd = walk_open(in->root, m->target, O_PATH | O_NOFOLLOW);
	else
		fd = walk_make(in->root, m->target, directory ? WALK_MAKE_DIR : WALK_MAKE_FILE);
	if (fd < 0)
		return fd;
	r = check_target(in, m, fd);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	return fd;
}

/* The kernel's own words about a filesystem's option: "e tmpfs: Bad value for 'size'". */
static void read_fs_log(int fs, struct note *why)
{
	char text[NOTE_MAX];
	ssize_t n = read(fs, text, sizeof(text) - 1);

	if (n <= 2)
		return;
	text[n] = '\0';
	while (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	note_set(why, text + 2, NULL);
}

static int set_option(int fs, const char *option)
{
	char key[256];
	const char *equals = strchr(option, '=');
	size_t n = equals ? (size_t)(equals - option) : strlen(option);

	if (n >= sizeof(key))
		return -ENAMETOOLONG;
	memcpy(key, option, n);
	key[n] = '\0';
	if (!equals)
		return NEG_ERRNO(fsconfig(fs, FSCONFIG_SET_FLAG, key, NULL, 0));
	return NEG_ERRNO(fsconfig(fs, FSCONFIG_SET_STRING, key, equals + 1, 0));
}

static int set_super_flags(int fs, unsigned long flags)
{
	static const struct {
		unsigned long bit;
		const char *name;
	} rows[] = {
		{ MS_RDONLY, "ro" },         { MS_SYNCHRONOUS, "sync" }, { MS_DIRSYNC, "dirsync" },
		{ MS_LAZYTIME, "lazytime" }, { MS_MANDLOCK, "mand" },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(rows); i++) {
		if (flags & rows[i].bit)
			r = NEG_ERRNO(fsconfig(fs, FSCONFIG_SET_FLAG, rows[i].name, NULL, 0));
	}
	return r;
}

static bool is_read_only(const struct mount_op *m)
{
	return (m->opts.set & MOUNT_ATTR_RDONLY) != 0;
}

/* A detached mount of a new filesystem; read-only comes later where something is still to be written to it. */
static int make_filesystem(struct init *in, const struct mount_op *m)
{
	unsigned long super = m->opts.super_flags;
	int fs = NEG_ERRNO(fsopen(m->type, FSOPEN_CLOEXEC));
	int r = 0;

	if (fs < 0)
		return fs;
	if (is_read_only(m) && !m->opts.copies_up)
		super |= MS_RDONLY;
	if (m->source)
		r = NEG_ERRNO(fsconfig(fs, FSCONFIG_SET_STRING, "source", m->source, 0));
	for (size_t i = 0; r == 0 && i < m->opts.data.n; i++)
		r = set_option(fs, m->opts.data.v[i]);
	if (r == 0)
		r = set_super_flags(fs, super);
	if (r == 0)
		r = NEG_ERRNO(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
	if (r == 0)
		r = NEG_ERRNO(fsmount(fs, FSMOUNT_CLOEXEC, 0));
	if (r < 0)
		read_fs_log(fs, &in->why);
	(void)close(fs);
	return r;
}

/* What the plan was made for; a source that was swapped since is another one. */
static int check_source(struct init *in, const struct mount_op *m, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (m->source_ino == 0 || (st.st_dev == m->source_dev && st.st_ino == m->source_ino))
		return 0;
	note_set(&in->why, "source ", m->source, " was replaced meanwhile", NULL);
	return -ESTALE;
}

static int clone_path(struct init *in, const struct mount_op *m, const char *source)
{
	int flags = O_PATH | O_CLOEXEC | (m->opts.source_nofollow ? O_NOFOLLOW : 0);
	int fd = NEG_ERRNO(open(source, flags)), tree;

	if (fd == -EACCES && m->tree >= 0)
		return NEG_ERRNO(fcntl(m->tree, F_DUPFD_CLOEXEC, 3));
	if (fd < 0) {
		note_set(&in->why, "source ", source, NULL);
		return fd;
	}
	tree = check_source(in, m, fd);
	if (tree == 0)
		tree = tree_clone(fd, "", m->opts.is_recursive || m->kind == MOUNT_NEW);
	(void)close(fd);
	return tree;
}

static int clone_source(struct init *in, const struct mount_op *m)
{
	if (m->tree_is_needed)
		return NEG_ERRNO(fcntl(m->tree, F_DUPFD_CLOEXEC, 3));
	return clone_path(in, m, m->source);
}

/* CVE-2023-25809: the host's own sysfs or cgroups are there to be looked at, with everything mounted below. */
static int clone_read_only(struct init *in, const struct mount_op *m)
{
	int tree = clone_path(in, m, m->fallback);
	int r = tree < 0 ? tree : tree_set(tree, MOUNT_ATTR_RDONLY, 0, true);

	if (r < 0 && tree >= 0)
		(void)close(tree);
	return r < 0 ? r : tree;
}

/* The detached mount with nothing of its options applied yet. */
static int make_tree(struct init *in, const struct mount_op *m)
{
	int tree;

	if (m->kind == MOUNT_BIND)
		return clone_source(in, m);
	tree = make_filesystem(in, m);
	if ((tree != -EPERM && tree != -EBUSY) || !m->fallback)
		return tree;
	note_set(&in->why, NULL);
	return clone_read_only(in, m);
}

static int apply_options(const struct mount_op *m, int tree)
{
	const struct mount_opts *o = &m->opts;
	int r = 0;

	for (size_t i = 0; r == 0 && i < o->propagation_n; i++)
		r = tree_propagate(tree, o->propagation[i]);
	if (r == 0)
		r = tree_set(tree, o->set, o->clear, false);
	if (r == 0)
		r = tree_set(tree, o->all_set, o->all_clear, true);
	return r;
}

static int copy_up(const struct mount_op *m, int target, int tree)
{
	char path[FD_PATH_MAX];
	int from, to, r;

	if (!m->opts.copies_up)
		return 0;
	from = NEG_ERRNO(open(fd_path(target, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (from < 0)
		return from;
	to = NEG_ERRNO(openat(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	r = to < 0 ? to : init_copy_up(from, to);
	(void)close(from);
	if (to >= 0)
		(void)close(to);
	return r;
}

/* The old way of the same, for kernels before 5.12 and sandboxes that deny the new calls. */
static int mount_by_path(struct init *in, const struct mount_op *m, int target)
{
	const struct mount_opts *o = &m->opts;
	unsigned long flags = mount_flags_of(o->set | o->all_set);
	char path[FD_PATH_MAX], opened[FD_PATH_MAX];
	int r, top;

	if (m->kind == MOUNT_NEW) {
		r = NEG_ERRNO(mount(m->source ? m->source : m->type, fd_path(target, path), m->type,
				    flags | o->super_flags, m->data));
	} else {
		unsigned long rec = o->is_recursive ? MS_REC : 0;

		r = NEG_ERRNO(mount(m->source, fd_path(target, path), NULL, MS_BIND | rec, NULL));
	}
	if (r < 0 || (m->kind == MOUNT_NEW && o->propagation_n == 0))
		return r;
	top = walk_open(in->root, m->target, O_PATH); /* target is below the new mount by now */
	if (top < 0)
		return top;
	(void)fd_path(top, opened);
	if (m->kind == MOUNT_BIND && flags)
		r = NEG_ERRNO(mount(NULL, opened, NULL, MS_REMOUNT | MS_BIND | flags, NULL));
	for (size_t i = 0; r == 0 && i < o->propagation_n; i++)
		r = NEG_ERRNO(mount(NULL, opened, NULL, o->propagation[i], NULL));
	(void)close(top);
	return r;
}

/* iversion and acl are flags that fsconfig(2) does not know. */
static bool wants_old_call(const struct mount_op *m)
{
	return m->kind == MOUNT_NEW && (m->opts.super_flags & (MS_I_VERSION | MS_POSIXACL));
}

static int source_is_directory(const struct mount_op *m)
{
	struct stat st;

	if (m->kind == MOUNT_NEW)
		return true;
	return stat(m->source, &st) < 0 ? -errno : S_ISDIR(st.st_mode);
}

static int mount_old(struct init *in, const struct mount_op *m)
{
	int directory = source_is_directory(m), target, r;

	if (directory < 0)
		return directory;
	target = open_target(in, m, directory);
	if (target < 0)
		return target;
	r = mount_by_path(in, m, target);
	(void)close(target);
	return r;
}

static int attach(struct init *in, const struct mount_op *m, int tree)
{
	int directory = is_directory(tree), target, r;

	if (directory < 0)
		return directory;
	target = open_target(in, m, directory);
	if (target < 0)
		return target;
	r = copy_up(m, target, tree);
	if (r == 0)
		r = apply_options(m, tree);
	if (r == 0)
		r = tree_attach(tree, target);
	(void)close(target);
	return r;
}

static int change(struct init *in, const struct mount_op *m)
{
	const struct mount_opts *o = &m->opts;
	int fd = walk_open(in->root, m->target, O_PATH), r;
	char path[FD_PATH_MAX];

	if (fd < 0)
		return fd;
	r = check_target(in, m, fd);
	if (r == 0)
		r = apply_options(m, fd);
	if (r == -ENOSYS)
		r = NEG_ERRNO(mount(NULL, fd_path(fd, path), NULL,
				    MS_REMOUNT | MS_BIND | mount_flags_of(o->set), NULL));
	if (r == 0 && !o->is_bind && (o->data.n || o->super_flags))
		r = NEG_ERRNO(mount(NULL, fd_path(fd, path), NULL,
				    MS_REMOUNT | o->super_flags | mount_flags_of(o->set), m->data));
	(void)close(fd);
	return r;
}

/* copy-symlink: the link itself, at the target. */
static int copy_symlink(struct init *in, const struct mount_op *m)
{
	char text[4096];
	ssize_t n = readlink(m->source, text, sizeof(text) - 1);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	return init_link(in, m->target, text);
}

int init_mount(struct init *in, const struct mount_op *m)
{
	int tree, r;

	if (m->kind == MOUNT_CHANGE)
		return change(in, m);
	if (m->opts.keeps_symlink) {
		r = copy_symlink(in, m);
		if (r != -EINVAL) /* EINVAL: it is no link */
			return r;
	}
	if (wants_old_call(m))
		return mount_old(in, m);
	tree = make_tree(in, m);
	if (tree == -ENOSYS)
		return mount_old(in, m);
	if (tree < 0)
		return tree;
	r = attach(in, m, tree);
	(void)close(tree);
	return r;
}
