#include "server/confine.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

/* --- root --- */

/* If it is not there yet; user may be NULL. */
static enum err_kind make_directory(const char *path, const struct passwd *user, struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k;

	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? ERR_OK : err_sys(e, __func__, "make %.150s", path);
	k = fd_open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, &fd, e);
	if (k == ERR_OK && user && fchown(fd, user->pw_uid, user->pw_gid) < 0)
		k = err_sys(e, __func__, "give %.150s to %.60s", path, user->pw_name);
	return k == ERR_OK ? fd_sync_dir(fd, "..", e) : k;
}

/* Made by root and owned by it, they would be closed to whom we become. */
static enum err_kind make_directories(const struct conf *c, const struct passwd *user,
				      struct err *e)
{
	enum err_kind k = make_directory(c->root.p, user, e);

	return k == ERR_OK && c->auth_directory.n ? make_directory(c->auth_directory.p, user, e)
						  : k;
}

enum err_kind confine_as_user(const struct conf *c, struct err *e)
{
	const char *name = c->process_user.p;
	const struct passwd *user;
	enum err_kind k;

	if (c->process_user.n == 0 || geteuid() != 0)
		return ERR_OK;
	errno = 0;
	user = getpwnam(name); /* NOLINT(concurrency-mt-unsafe): no thread runs yet */
	if (!user)
		return err_set(e, ERR_INVALID, __func__, "process.user: there is no user %.60s",
			       name);
	k = make_directories(c, user, e);
	if (k != ERR_OK)
		return k;
	if (initgroups(name, user->pw_gid) < 0 ||
	    setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
	    setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
		return err_sys(e, __func__, "become %.60s", name);
	if (user->pw_uid != 0 && setuid(0) == 0)
		return err_set(e, ERR_BUG, __func__, "root comes back after it was given up");
	return ERR_OK;
}

/* --- files (Landlock) --- */

/* Of the second and third version, which older headers lack. */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

#define FIRST_VERSION_RIGHTS (2 * LANDLOCK_ACCESS_FS_MAKE_SYM - 1)
#define READ_RIGHTS ((uint64_t)(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR))
#define REFER_VERSION 2 /* without it no file could move between directories */
#define TRUNCATE_VERSION 3

struct cage {
	int fd;
	uint64_t rights; /* all that it rules over */
	bool failed;
};

static void allow(struct cage *cage, const char *path, uint64_t rights)
{
	AUTO_CLOSE fd = open(path, O_PATH | O_CLOEXEC | O_DIRECTORY);
	const struct landlock_path_beneath_attr rule = { .allowed_access = rights & cage->rights,
							 .parent_fd = fd };

	if (fd < 0)
		return; /* what is not there needs no leave */
	if (syscall(SYS_landlock_add_rule, cage->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		cage->failed = true;
}

static void allow_parent(struct cage *cage, const char *path)
{
	AUTO_FREE char *copy = strdup(path);
	char *slash = copy ? strrchr(copy, '/') : NULL;

	if (!copy)
		cage->failed = true;
	else if (!slash)
		allow(cage, ".", READ_RIGHTS);
	else
		allow(cage, (slash[slash == copy] = '\0', copy), READ_RIGHTS);
}

/* Files that are read again when they change may be links, and are replaced as a whole: their directories count. */
static void allow_file(struct cage *cage, const char *path)
{
	AUTO_FREE char *real = *path ? realpath(path, NULL) : NULL;

	if (*path)
		allow_parent(cage, path);
	if (real)
		allow_parent(cage, real);
}

/* Entries of options name files by these. */
static void allow_members(struct cage *cage, const struct jv *list)
{
	static const char *const members[] = { "certificate", "key",    "keys",
					       "ca",          "secret", "authorization" };

	for (size_t i = 0; i < jv_count(list); i++) {
		for (size_t j = 0; j < ARRAY_LEN(members); j++) {
			struct str path;

			if (jv_text(jv_member(jv_at(list, i), members[j]), &path))
				allow_file(cage, path.p);
		}
	}
}

static void allow_files_of(struct cage *cage, const struct conf *c)
{
	const struct jv *const lists[] = { c->tls_certificates, c->auth_issuers, c->auth_oidc,
					   c->events_endpoints };
	const struct sbuf *const files[] = { &c->file,          &c->auth_htpasswd,
					     &c->tls_client_ca, &c->tls_client_crl,
					     &c->auth_ldap_ca,  &c->auth_ldap_bind_password };

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		allow_file(cage, files[i]->n ? files[i]->p : "");
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		allow_members(cage, lists[i]);
}

static void allow_all(struct cage *cage, const struct conf *c)
{
	/* libraries, resolvers, certificate stores, time zones */
	static const char *const system[] = { "/etc",
					      "/usr",
					      "/lib",
					      "/lib64",
					      "/proc",
					      "/sys/devices/system/cpu",
					      "/run/systemd/resolve",
					      "/run/resolvconf",
					      "/run/NetworkManager" };
	struct str path;

	for (size_t i = 0; i < ARRAY_LEN(system); i++)
		allow(cage, system[i], READ_RIGHTS);
	allow(cage, c->root.p, ~LANDLOCK_ACCESS_FS_EXECUTE);
	if (c->auth_directory.n)
		allow(cage, c->auth_directory.p, ~LANDLOCK_ACCESS_FS_EXECUTE);
	for (size_t i = 0; i < jv_count(c->process_writable); i++) {
		if (jv_text(jv_at(c->process_writable, i), &path))
			allow(cage, path.p, ~LANDLOCK_ACCESS_FS_EXECUTE);
	}
	allow_files_of(cage, c);
}

static enum err_kind confine_files(const struct conf *c, struct err *e)
{
	AUTO_CLOSE fd = -1;
	long version =
	    syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_ruleset_attr attr = { .handled_access_fs = FIRST_VERSION_RIGHTS };
	struct cage cage;
	enum err_kind k = make_directories(c, NULL, e);

	if (k != ERR_OK)
		return k;
	if (version < REFER_VERSION) {
		log_event(LOG_WARN, "confine",
			  "this kernel has no Landlock: files stay open to us");
		return ERR_OK;
	}
	attr.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= TRUNCATE_VERSION)
		attr.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (fd < 0)
		return err_sys(e, __func__, "Landlock");
	cage = (struct cage){ .fd = fd, .rights = attr.handled_access_fs };
	allow_all(&cage, c);
	if (cage.failed || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return err_sys(e, __func__, "Landlock");
	return ERR_OK;
}

/* --- system calls (seccomp) --- */

/*
 * Those of the C library's calls that serving, its libraries and their fall-backs use.  Any other is one that this kernel
 * does not have (ENOSYS): what newer libraries try first, and do without.  Nothing here runs a program, changes who we are,
 * or looks into another process.
 */
static const int calls[] = {
	/* files */
	SCMP_SYS(access),
	SCMP_SYS(close),
	SCMP_SYS(close_range),
	SCMP_SYS(copy_file_range),
	SCMP_SYS(dup),
	SCMP_SYS(dup2),
	SCMP_SYS(dup3),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(fadvise64),
	SCMP_SYS(fallocate),
	SCMP_SYS(fchmod),
	SCMP_SYS(fchmodat),
	SCMP_SYS(fchown),
	SCMP_SYS(fchownat),
	SCMP_SYS(fcntl),
	SCMP_SYS(fdatasync),
	SCMP_SYS(flock),
	SCMP_SYS(fstat),
	SCMP_SYS(fstatfs),
	SCMP_SYS(fsync),
	SCMP_SYS(ftruncate),
	SCMP_SYS(getcwd),
	SCMP_SYS(getdents64),
	SCMP_SYS(ioctl),
	SCMP_SYS(link),
	SCMP_SYS(linkat),
	SCMP_SYS(lseek),
	SCMP_SYS(lstat),
	SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(openat2),
	SCMP_SYS(pipe),
	SCMP_SYS(pipe2),
	SCMP_SYS(pread64),
	SCMP_SYS(preadv),
	SCMP_SYS(pwrite64),
	SCMP_SYS(pwritev),
	SCMP_SYS(read),
	SCMP_SYS(readahead),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(readv),
	SCMP_SYS(rename),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
	SCMP_SYS(rmdir),
	SCMP_SYS(sendfile),
	SCMP_SYS(splice),
	SCMP_SYS(stat),
	SCMP_SYS(statfs),
	SCMP_SYS(statx),
	SCMP_SYS(symlinkat),
	SCMP_SYS(sync_file_range),
	SCMP_SYS(syncfs),
	SCMP_SYS(umask),
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(utimensat),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	/* waiting, and connections */
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(bind),
	SCMP_SYS(connect),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(eventfd2),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockname),
	SCMP_SYS(getsockopt),
	SCMP_SYS(listen),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(pselect6),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(recvmsg),
	SCMP_SYS(select),
	SCMP_SYS(sendmmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(setsockopt),
	SCMP_SYS(shutdown),
	SCMP_SYS(socketpair),
	/* memory and threads */
	SCMP_SYS(brk),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(futex),
	SCMP_SYS(get_robust_list),
	SCMP_SYS(getcpu),
	SCMP_SYS(gettid),
	SCMP_SYS(madvise),
	SCMP_SYS(membarrier),
	SCMP_SYS(mincore),
	SCMP_SYS(mlock),
	SCMP_SYS(mmap),
	SCMP_SYS(mprotect),
	SCMP_SYS(mremap),
	SCMP_SYS(msync),
	SCMP_SYS(munlock),
	SCMP_SYS(munmap),
	SCMP_SYS(rseq),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_yield),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(set_tid_address),
	/* time, signals, and what we are */
	SCMP_SYS(clock_getres),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(getegid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getgroups),
	SCMP_SYS(getpid),
	SCMP_SYS(getppid),
	SCMP_SYS(getrandom),
	SCMP_SYS(getresgid),
	SCMP_SYS(getresuid),
	SCMP_SYS(getrlimit),
	SCMP_SYS(getrusage),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(getuid),
	SCMP_SYS(nanosleep),
	SCMP_SYS(prctl),
	SCMP_SYS(prlimit64),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigtimedwait),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(sysinfo),
	SCMP_SYS(tgkill),
	SCMP_SYS(time),
	SCMP_SYS(uname),
};

/* Resolvers ask the kernel for its addresses by NETLINK. */
static const int families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };

#define NAMESPACES                                                                                 \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET)

/* 0, or a negative errno, as libseccomp has it. */
static int fill(scmp_filter_ctx filter)
{
	int bad =
	    seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
			     SCMP_A0(SCMP_CMP_MASKED_EQ, NAMESPACES | CLONE_THREAD, CLONE_THREAD));

	for (size_t i = 0; i < ARRAY_LEN(calls) && bad == 0; i++)
		bad = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	for (size_t i = 0; i < ARRAY_LEN(families) && bad == 0; i++)
		bad = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				       SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
	return bad;
}

static enum err_kind confine_calls(struct err *e)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int bad = filter ? fill(filter) : -ENOMEM;

	if (bad == 0)
		bad = seccomp_load(filter);
	seccomp_release(filter);
	if (bad == 0)
		return ERR_OK;
	if (bad == -ENOSYS || bad == -EINVAL) {
		log_event(LOG_WARN, "confine",
			  "this kernel has no seccomp: all calls stay open to us");
		return ERR_OK;
	}
	errno = bad == -ECANCELED ? EPERM : -bad;
	return err_sys(e, __func__, "seccomp");
}

enum err_kind confine_memory(struct err *e)
{
	const struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(e, __func__, "forbid core dumps");
	return ERR_OK;
}

enum err_kind confine_self(const struct conf *c, struct err *e)
{
	enum err_kind k = confine_memory(e);

	(void)umask(077);
	if (k == ERR_OK && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		k = err_sys(e, __func__, "give up privileges");
	if (k != ERR_OK || !c->process_confine)
		return k;
	k = confine_files(c, e);
	return k == ERR_OK ? confine_calls(e) : k;
}
