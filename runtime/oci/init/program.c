/* The user's program: where it starts, which file it is, and the exec. */
#include <linux/magic.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "runtime/oci/init/init.h"
#include "runtime/oci/init/kernel.h"
#include "runtime/oci/init/walk.h"

#define PASSWD_BYTES_MAX (1024 * 1024)
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/*
 * CVE-2024-21626: a working directory reached through a leaked descriptor is outside of the root.  walk.h follows no
 * link of /proc, and the kernel's own idea of the place is looked at in the end.
 */
int init_cwd(struct init *in)
{
	char path[4096];
	int fd = walk_make(in->root, in->plan->cwd, WALK_MAKE_DIR), r;

	if (fd < 0)
		return fd;
	r = NEG_ERRNO(fchdir(fd));
	(void)close(fd);
	if (r < 0)
		return r;
	r = NEG_ERRNO(syscall(SYS_getcwd, path, sizeof(path)));
	if (r < 0)
		return r;
	if (path[0] == '/')
		return 0;
	note_set(&in->why, "it is outside of the container", NULL);
	return -EPERM;
}

static const char *variable(char *const *env, const char *name)
{
	size_t n = strlen(name);

	for (; *env; env++) {
		if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
			return *env + n + 1;
	}
	return NULL;
}

/* The last variable of a name wins, as it does with most shells; getenv(3) takes the first. */
static const char *search_path(const struct init *in)
{
	const char *path = variable(in->plan->envp, "PATH");

	return path ? path : DEFAULT_PATH;
}

static const char *go_words(int r)
{
	switch (-r) {
	case ENOENT:
		return "no such file or directory";
	case ENOTDIR:
		return "not a directory";
	case EACCES:
		return "permission denied";
	case ENOEXEC:
		return "exec format error";
	default:
		return "input/output error";
	}
}

/* runc's words: dockerd finds the exit status by them, letter by letter. */
static int not_found(struct init *in, const char *cause)
{
	note_set(&in->why, "\"", in->plan->argv[0], "\": ", cause, NULL);
	in->why_is_all = true;
	return -ENOEXEC;
}

/* 0, -EACCES for a file that cannot be run, or another errno. */
static int check_program(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		return -EACCES;
	return NEG_ERRNO(faccessat(AT_FDCWD, path, X_OK, AT_EACCESS)); /* noexec, for one */
}

static int find_by_path(struct init *in, const char *path)
{
	int r = check_program(path);

	if (strlen(path) >= sizeof(in->program))
		return not_found(in, "file name too long");
	if (r == 0) {
		memcpy(in->program, path, strlen(path) + 1);
		return 0;
	}
	if (r == -EACCES)
		return not_found(in, "permission denied");
	note_set(&in->why, "\"", path, "\": stat ", path, ": ", go_words(r), NULL);
	in->why_is_all = true;
	return -ENOEXEC;
}

int init_find_program(struct init *in)
{
	const char *name = in->plan->argv[0], *dir = search_path(in);
	size_t name_n = strlen(name);

	if (strchr(name, '/'))
		return find_by_path(in, name);
	while (*dir) {
		size_t n = strcspn(dir, ":");

		if (n > 0 && n + name_n + 2 <= sizeof(in->program)) {
			memcpy(in->program, dir, n);
			in->program[n] = '/';
			memcpy(in->program + n + 1, name, name_n + 1);
			if (check_program(in->program) == 0)
				return 0;
		}
		dir += n + (dir[n] == ':');
	}
	return not_found(in, "executable file not found in $PATH");
}

/* The sixth field of a line of passwd(5) whose third is uid. */
static bool home_of_line(const char *line, uid_t uid, char *home, size_t cap)
{
	char digits[DECIMAL_MAX];
	const char *want = decimal(uid, digits), *end;
	size_t n = strlen(want);

	for (int i = 0; i < 2 && line; i++) {
		line = strchr(line, ':');
		line = line ? line + 1 : NULL;
	}
	if (!line || strncmp(line, want, n) != 0 || line[n] != ':')
		return false;
	for (int i = 0; i < 3 && line; i++) {
		line = strchr(line, ':');
		line = line ? line + 1 : NULL;
	}
	end = line ? strchr(line, ':') : NULL;
	if (!end || *line != '/' || (size_t)(end - line) >= cap)
		return false;
	memcpy(home, line, (size_t)(end - line));
	home[end - line] = '\0';
	return true;
}

static bool search_passwd(int fd, uid_t uid, char *home, size_t cap)
{
	char buf[4096];
	size_t have = 0, total = 0;

	for (;;) {
		ssize_t n = read(fd, buf + have, sizeof(buf) - 1 - have);
		char *line = buf, *end;

		if (n <= 0 || (total += (size_t)n) > PASSWD_BYTES_MAX)
			return false;
		have += (size_t)n;
		buf[have] = '\0';
		while ((end = memchr(line, '\n', have - (size_t)(line - buf)))) {
			*end = '\0';
			if (home_of_line(line, uid, home, cap))
				return true;
			line = end + 1;
		}
		have -= (size_t)(line - buf);
		memmove(buf, line, have);
		if (have == sizeof(buf) - 1)
			have = 0; /* no line is so long */
	}
}

/* The container's own passwd, if it is a plain file: no pipe that blocks, no name service that loads code. */
static void find_home(struct init *in)
{
	static const char variable_name[] = "HOME=";
	char *value = in->home + sizeof(variable_name) - 1;
	size_t cap = sizeof(in->home) - sizeof(variable_name);
	int fd = walk_open(in->root, "/etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	memcpy(in->home, variable_name, sizeof(variable_name));
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    !search_passwd(fd, in->plan->uid, value, cap)) {
		value[0] = '/';
		value[1] = '\0';
	}
	if (fd >= 0)
		(void)close(fd);
}

static void complete_environment(struct init *in)
{
	const struct plan *p = in->plan;
	char **env = p->envp, digits[DECIMAL_MAX];

	while (*env)
		env++;
	if (p->wants_home) {
		find_home(in);
		*env = in->home; /* the plan left room for it */
	}
	if (p->listen_pid) {
		const char *pid = decimal((uint64_t)getpid(), digits);

		memcpy(p->listen_pid, pid, strlen(pid) + 1);
	}
}

static void reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Everything but exec itself, so that only execve(2) has to get past the seccomp filter. */
int init_prepare_exec(struct init *in)
{
	unsigned first = 3 + in->plan->keep_fds;
	int r = NEG_ERRNO(close_range(first, ~0u, CLOSE_RANGE_CLOEXEC));

	if (r == 0) /* of exec: create's process was let go long before */
		r = NEG_ERRNO(prctl(PR_SET_PDEATHSIG, 0));
	if (r < 0)
		return r;
	for (unsigned fd = 3; fd < first; fd++)
		(void)fcntl((int)fd, F_SETFD, 0);
	complete_environment(in);
	reset_signals();
	return 0;
}

int init_exec(struct init *in)
{
	int r = NEG_ERRNO(execve(in->program, in->plan->argv, in->plan->envp));

	if (r == -ENOENT || r == -EACCES || r == -ENOEXEC) /* ENOENT: of a script's interpreter */
		return not_found(in, go_words(r));
	note_set(&in->why, "\"", in->plan->argv[0], "\"", NULL);
	return r;
}
