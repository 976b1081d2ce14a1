#include "runtime/net/exec.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "runtime/net/name.h"

#define CHUNK 16384
#define BUSY_PAUSE_MS 20
#define KEPT_FD 3

void exec_output_init(struct exec_output *o)
{
	*o = (struct exec_output){ 0 };
	sbuf_init(&o->out, EXEC_OUTPUT_MAX);
	sbuf_init(&o->log, EXEC_LOG_MAX);
}

void exec_output_clear(struct exec_output *o)
{
	sbuf_clear(&o->out);
	sbuf_clear(&o->log);
}

enum err_kind exec_find(struct str type, const char *const *dirs, size_t n_dirs,
			char ret[static EXEC_PATH_MAX], struct err *e)
{
	enum err_kind k = plugin_type_check(type, e);
	AUTO_SBUF searched;
	struct stat st;

	sbuf_init(&searched, 100);
	if (k != ERR_OK)
		return k;
	if (n_dirs == 0)
		return err_set(e, ERR_NOT_FOUND, __func__,
			       "no directory to search for plugin \"%.*s\"",
			       (int)MIN(type.n, (size_t)60), type.p);
	for (size_t i = 0; i < n_dirs; i++) {
		int n = snprintf(ret, EXEC_PATH_MAX, "%s/%.*s", dirs[i], STR_FMT(type));

		if (n > 0 && n < EXEC_PATH_MAX && stat(ret, &st) == 0 && S_ISREG(st.st_mode))
			return ERR_OK;
		sbuf_addf(&searched, "%s%s", i ? ":" : "", dirs[i]);
	}
	return err_set(e, ERR_NOT_FOUND, __func__, "plugin \"%.*s\" is not in %s",
		       (int)MIN(type.n, (size_t)60), type.p,
		       searched.failed ? "any of the plugin directories" : searched.p);
}

/* Input is a file in memory: nobody has to feed it, and a plugin that does not read it does no harm. */
static enum err_kind make_input(struct str input, int *ret, struct err *e)
{
	AUTO_CLOSE fd = memfd_create("cni-input", MFD_CLOEXEC);
	enum err_kind k;

	if (fd < 0)
		return err_sys(e, __func__, "make a plugin's input");
	k = fd_write_all(fd, input.p, input.n, "a plugin's input", e);
	if (k != ERR_OK)
		return k;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(e, __func__, "rewind a plugin's input");
	*ret = TAKE_FD(fd);
	return ERR_OK;
}

struct pipes {
	int in;             /* a file */
	int out[2], log[2]; /* [0] is ours */
};

static void pipes_close(struct pipes *p)
{
	fd_close(&p->in);
	for (unsigned i = 0; i < 2; i++) {
		fd_close(&p->out[i]);
		fd_close(&p->log[i]);
	}
}

static enum err_kind pipes_open(struct pipes *p, struct str input, struct err *e)
{
	enum err_kind k;

	*p = (struct pipes){ -1, { -1, -1 }, { -1, -1 } };
	k = make_input(input, &p->in, e);
	if (k != ERR_OK)
		return k;
	if (pipe2(p->out, O_CLOEXEC) < 0 || pipe2(p->log, O_CLOEXEC) < 0)
		return err_sys(e, __func__, "make pipes to a plugin");
	if (fcntl(p->out[0], F_SETFL, O_NONBLOCK) < 0 || fcntl(p->log[0], F_SETFL, O_NONBLOCK) < 0)
		return err_sys(e, __func__, "make pipes to a plugin");
	return ERR_OK;
}

static int add_actions(posix_spawn_file_actions_t *a, const struct exec_call *c,
		       const struct pipes *p)
{
	int r = posix_spawn_file_actions_adddup2(a, p->in, STDIN_FILENO);

	if (r == 0)
		r = posix_spawn_file_actions_adddup2(a, p->out[1], STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(a, p->log[1], STDERR_FILENO);
	if (r == 0 && c->keep_fd >= 0)
		r = posix_spawn_file_actions_adddup2(a, c->keep_fd, KEPT_FD);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(a, c->keep_fd >= 0 ? KEPT_FD + 1
										: KEPT_FD);
	return r;
}

static int set_attributes(posix_spawnattr_t *a)
{
	sigset_t none, all;
	int r;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	r = posix_spawnattr_setflags(a, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
					    POSIX_SPAWN_SETSIGDEF);
	if (r == 0)
		r = posix_spawnattr_setpgroup(a, 0);
	if (r == 0)
		r = posix_spawnattr_setsigmask(a, &none);
	return r ? r : posix_spawnattr_setsigdefault(a, &all);
}

/* 0 or an errno. */
static int spawn_once(const struct exec_call *c, const struct pipes *p, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char *argv[EXEC_ARGS_MAX + 2] = { (char *)(uintptr_t)c->path };
	int r = posix_spawn_file_actions_init(&actions);

	if (r != 0)
		return r;
	for (size_t i = 0; c->args && c->args[i] && i < EXEC_ARGS_MAX; i++)
		argv[i + 1] = (char *)(uintptr_t)c->args[i];
	r = posix_spawnattr_init(&attributes);
	if (r == 0) {
		r = add_actions(&actions, c, p);
		if (r == 0)
			r = set_attributes(&attributes);
		if (r == 0)
			r = posix_spawn(ret, c->path, &actions, &attributes, argv, c->env);
		(void)posix_spawnattr_destroy(&attributes);
	}
	(void)posix_spawn_file_actions_destroy(&actions);
	return r;
}

static enum err_kind spawn(const struct exec_call *c, const struct pipes *p, pid_t *ret,
			   struct err *e)
{
	uint64_t end = mono_ms() + EXEC_BUSY_MS;
	const struct timespec pause = { .tv_nsec = BUSY_PAUSE_MS * 1000000L };
	int r;

	while ((r = spawn_once(c, p, ret)) == ETXTBSY && mono_ms() < end)
		(void)nanosleep(&pause, NULL);
	if (r == 0)
		return ERR_OK;
	errno = r;
	return err_sys(e, __func__, "run %s", c->path);
}

/* What is there to read now; false when the limit is passed. */
static bool drain(int *fd, struct sbuf *b)
{
	char chunk[CHUNK];

	for (;;) {
		ssize_t n = read(*fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0) {
			fd_close(fd);
			return true;
		}
		sbuf_add(b, chunk, (size_t)n);
		if (b->failed)
			return false;
	}
}

/* One piece.  The log keeps its beginning. */
static void read_log(int *fd, struct sbuf *b)
{
	char chunk[CHUNK];
	ssize_t n = read(*fd, chunk, sizeof(chunk));

	if (n > 0)
		sbuf_add(b, chunk, MIN((size_t)n, b->max - b->n));
	else if (n == 0)
		fd_close(fd);
}

static int wait_ms(uint64_t deadline)
{
	uint64_t now = mono_ms();

	return now >= deadline ? 0 : (int)MIN(deadline - now, (uint64_t)INT32_MAX);
}

/* As much as is kept; a process left behind may go on writing for ever. */
static void read_rest_of_log(int *fd, struct sbuf *b)
{
	for (unsigned i = 0; i < EXEC_LOG_MAX / CHUNK && *fd >= 0; i++)
		read_log(fd, b);
}

/* Until the plugin has ended. */
static enum err_kind listen_to(const struct exec_call *c, struct pipes *p, int pidfd,
			       struct exec_output *o, struct err *e)
{
	uint64_t deadline = mono_ms() + c->timeout_ms;

	for (;;) {
		struct pollfd set[] = { { .fd = pidfd, .events = POLLIN },
					{ .fd = p->out[0], .events = POLLIN },
					{ .fd = p->log[0], .events = POLLIN } };
		int n = poll(set, ARRAY_LEN(set), wait_ms(deadline));

		if (n < 0 && errno != EINTR)
			return err_sys(e, __func__, "wait for %s", c->path);
		/* Its last words are in the pipes before its end shows. */
		if (p->log[0] >= 0)
			read_log(&p->log[0], &o->log);
		if (p->out[0] >= 0 && !drain(&p->out[0], &o->out))
			return err_set(e, ERR_TOO_LARGE, __func__,
				       "%s wrote more than %u bytes and was killed", c->path,
				       EXEC_OUTPUT_MAX);
		if (n > 0 && set[0].revents) {
			read_rest_of_log(&p->log[0], &o->log);
			return ERR_OK;
		}
		if (wait_ms(deadline) == 0)
			return err_set(e, ERR_IO, __func__,
				       "%s did not end within %llu ms and was killed", c->path,
				       (unsigned long long)c->timeout_ms);
	}
}

static void reap(pid_t pid, int *ret_status)
{
	while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
		;
}

enum err_kind exec_run(const struct exec_call *c, struct exec_output *ret, struct err *e)
{
	CLEANUP(pipes_close) struct pipes p;
	AUTO_CLOSE pidfd = -1;
	pid_t pid;
	enum err_kind k;

	k = pipes_open(&p, c->input, e);
	if (k == ERR_OK)
		k = spawn(c, &p, &pid, e);
	if (k != ERR_OK)
		return k;
	fd_close(&p.out[1]);
	fd_close(&p.log[1]);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		k = err_sys(e, __func__, "watch %s", c->path);
	else
		k = listen_to(c, &p, pidfd, ret, e);
	if (k != ERR_OK)
		(void)kill(-pid, SIGKILL);
	reap(pid, &ret->status);
	return k;
}
