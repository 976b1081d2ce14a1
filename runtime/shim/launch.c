/* What the shim asks of the runtime, by the command line that engines use. */
#include <errno.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/jv.h"
#include "runtime/container/overlay.h"
#include "runtime/shim/shim.h"

/* <sys/mount.h> and <linux/mount.h> exclude each other. */
int mount(const char *source, const char *target, const char *type, unsigned long flags,
	  const void *data);

#define NETWORK_LOG "network.log"
#define RUNTIME_LOG "runtime.log"
#define LOG_MAX (64u * 1024)
#define PATH_TEXT_MAX 4200
#define CONSOLE_WAIT_MS 10000
#define CGROUP_MOUNTS "/sys/fs/cgroup"

/* Of a child that is to become another program: what the parent of it all has to hear is its exit status. */
#define CHILD_FAILED 120
#define MOUNT_FAILED 121

/* --- Running programs --- */

struct child {
	const char *const *argv;
	int in, out, err; /* -1: /dev/null */
	int mount; /* to be moved to rootfs, in a mount namespace of the child's own; -1: none */
	const char *rootfs;
	bool shares_mounts; /* of the host, but that which rootfs is on */
	bool ends_with_us;  /* killed when we are: nobody would look after what it makes */
	pid_t parent;
};

static void become(int fd, int as)
{
	int null = fd >= 0 ? fd : open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, as) < 0)
		_exit(CHILD_FAILED);
}

/* Only a mount's own root can be told: the nearest one above. */
static int detach_mount_of(const char *path)
{
	char above[PATH_TEXT_MAX];
	int r;

	(void)snprintf(above, sizeof(above), "%s", path);
	while ((r = mount(NULL, above, NULL, MS_SLAVE, NULL)) < 0 && errno == EINVAL && above[1]) {
		char *slash = strrchr(above, '/');

		slash[slash == above ? 1 : 0] = '\0';
	}
	return r;
}

static void mount_root(const struct child *c)
{
	if (unshare(CLONE_NEWNS) < 0 ||
	    (c->shares_mounts ? detach_mount_of(c->rootfs)
			      : mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL)) < 0 ||
	    syscall(SYS_move_mount, c->mount, "", AT_FDCWD, c->rootfs, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		_exit(MOUNT_FAILED);
}

static void set_oom_score(const char *text)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		(void)!write(fd, text, strlen(text)); /* not everybody may */
		(void)close(fd);
	}
}

static void run_child(const struct child *c)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (c->ends_with_us && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != c->parent))
		_exit(CHILD_FAILED);
	(void)signal(SIGPIPE, SIG_DFL);
	set_oom_score("0");
	if (c->mount >= 0)
		mount_root(c);
	become(c->in, STDIN_FILENO);
	become(c->out, STDOUT_FILENO);
	become(c->err, STDERR_FILENO);
	(void)execvp(c->argv[0], (char *const *)(uintptr_t)c->argv);
	_exit(CHILD_FAILED);
}

static enum err_kind spawn(const struct child *c, pid_t *ret, struct err *e)
{
	struct child ours = *c;
	pid_t pid;

	ours.parent = getpid();
	pid = fork();
	if (pid < 0)
		return err_sys(e, __func__, "fork");
	if (pid == 0)
		run_child(&ours);
	*ret = pid;
	return ERR_OK;
}

static enum err_kind wait_for(pid_t pid, int *ret, struct err *e)
{
	pid_t got;

	do
		got = waitpid(pid, ret, 0);
	while (got < 0 && errno == EINTR);
	return got == pid ? ERR_OK : err_sys(e, __func__, "wait for the runtime");
}

/* --- The runtime --- */

struct runtime_args {
	const char *v[RUNTIME_ARGS_MAX];
	size_t n;
	char log[PATH_TEXT_MAX];
};

static void arg(struct runtime_args *a, const char *text)
{
	if (a->n < RUNTIME_ARGS_MAX - 1)
		a->v[a->n++] = text;
}

static void begin_args(const struct shim *s, struct runtime_args *a)
{
	*a = (struct runtime_args){ 0 };
	(void)snprintf(a->log, sizeof(a->log), "%s/" RUNTIME_LOG, s->state_path);
	(void)sys_unlinkat(s->state, RUNTIME_LOG, 0);
	arg(a, s->runtime);
	arg(a, "--root");
	arg(a, s->runtime_root);
	arg(a, "--log");
	arg(a, a->log);
	arg(a, "--log-format");
	arg(a, "json");
}

/* The last error of its log, which is lines of JSON. */
static enum err_kind told_failure(const struct shim *s, const char *what, struct err *e)
{
	AUTO_SBUF b;
	struct str rest, line, found = { "", 0 };
	char text[STATUS_ERROR_MAX] = "";
	struct err ignored;

	sbuf_init(&b, LOG_MAX);
	if (fd_read_file(s->state, RUNTIME_LOG, &b, &ignored) == ERR_OK) {
		rest = (struct str){ b.p, b.n };
		while (rest.n) {
			AUTO_JV *v = NULL;

			(void)str_cut(rest, '\n', &line, &rest);
			if (jv_parse_object(line, 4, &v, &ignored) == ERR_OK &&
			    jv_text(jv_member(v, "msg"), &found))
				(void)str_copy(
				    (struct str){ found.p, MIN(found.n, sizeof(text) - 1) }, text,
				    sizeof(text));
		}
	}
	if (*text)
		return err_set(e, ERR_IO, __func__, "%s", text);
	return err_set(e, ERR_IO, __func__, "%s %s failed, and does not say why", s->runtime, what);
}

static enum err_kind run(struct shim *s, const struct child *c, const char *what, struct err *e)
{
	pid_t pid;
	int status = 0;
	enum err_kind k = spawn(c, &pid, e);

	if (k == ERR_OK)
		k = wait_for(pid, &status, e);
	if (k != ERR_OK)
		return k;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return ERR_OK;
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_FAILED)
		return err_set(e, ERR_IO, __func__, "%s cannot be started", s->runtime);
	if (WIFEXITED(status) && WEXITSTATUS(status) == MOUNT_FAILED)
		return err_set(e, ERR_IO, __func__, "the root file system cannot be mounted");
	return told_failure(s, what, e);
}

enum err_kind launch_command(struct shim *s, const char *const *args, struct err *e)
{
	struct runtime_args a;
	struct child c = { .argv = a.v, .in = -1, .out = -1, .err = -1, .mount = -1 };

	begin_args(s, &a);
	for (size_t i = 0; args[i]; i++)
		arg(&a, args[i]);
	arg(&a, s->record.id);
	return run(s, &c, args[0], e);
}

/* --- Terminals and pipes --- */

/* A socket that takes a terminal, at a path of bounded length: through our own descriptor of the directory. */
static enum err_kind listen_console(const struct shim *s, const char *name, int *ret,
				    char path[static PATH_TEXT_MAX], struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	AUTO_CLOSE fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(path, PATH_TEXT_MAX, "/proc/%d/fd/%d/%s", (int)getpid(), s->state, name);
	(void)sys_unlinkat(s->state, name, 0);
	if (!str_copy(str_of(path), addr.sun_path, sizeof(addr.sun_path)))
		return err_set(e, ERR_BUG, __func__, "%s is too long", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 1) < 0)
		return err_sys(e, __func__, "make the socket %s", name);
	*ret = TAKE_FD(fd);
	return ERR_OK;
}

static int take_fd(int socket_fd)
{
	char byte[256];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { byte, sizeof(byte) };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control.bytes,
			    .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c;
	int fd = -1;

	if (recvmsg(socket_fd, &m, MSG_CMSG_CLOEXEC) < 0)
		return -1;
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* The runtime has sent it before it ended. */
static enum err_kind take_console(int listener, int *ret, struct err *e)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };
	AUTO_CLOSE c = -1;

	if (poll(&p, 1, CONSOLE_WAIT_MS) != 1)
		return err_set(e, ERR_IO, __func__, "the runtime sent no terminal");
	c = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	*ret = c >= 0 ? take_fd(c) : -1;
	if (*ret < 0)
		return err_set(e, ERR_IO, __func__, "the runtime sent no terminal");
	return fcntl(*ret, F_SETFL, O_NONBLOCK) < 0 ? err_sys(e, __func__, "terminal") : ERR_OK;
}

/* The container's root's, who makes them the process's, so that /dev/stdout and the like can be opened. */
static enum err_kind make_pipe(const struct idmaps *ids, int *ret_read, int *ret_write,
			       bool we_read, struct err *e)
{
	uid_t uid = 0;
	gid_t gid = 0;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, __func__, "make a pipe");
	*ret_read = fds[0];
	*ret_write = fds[1];
	if (idmaps_are_set(ids) && idmaps_owner_out(ids, &uid, &gid) &&
	    fchown(fds[0], uid, gid) < 0)
		return err_sys(e, __func__, "give a pipe to the container");
	if (fcntl(fds[we_read ? 0 : 1], F_SETFL, O_NONBLOCK) < 0)
		return err_sys(e, __func__, "set up a pipe");
	return ERR_OK;
}

/* Ends of pipes for the process; ours go into the session. */
static enum err_kind make_pipes(const struct idmaps *ids, struct session *x, bool with_stdin,
				struct child *c, struct err *e)
{
	enum err_kind k = make_pipe(ids, &x->out, &c->out, true, e);

	if (k == ERR_OK)
		k = make_pipe(ids, &x->err, &c->err, true, e);
	if (k == ERR_OK && with_stdin)
		k = make_pipe(ids, &c->in, &x->in, false, e);
	return k;
}

static void close_ends(struct child *c)
{
	fd_close(&c->in);
	fd_close(&c->out);
	fd_close(&c->err);
}

static enum err_kind read_pid(const struct shim *s, const char *name, pid_t *ret, struct err *e)
{
	AUTO_SBUF b;
	struct str in;
	uint64_t pid;
	enum err_kind k;

	sbuf_init(&b, 64);
	k = fd_read_file(s->state, name, &b, e);
	in = (struct str){ b.p, b.n };
	if (k == ERR_OK && !scan_u64(&in, INT32_MAX, &pid))
		k = err_set(e, ERR_IO, __func__, "the runtime wrote no pid");
	if (k == ERR_OK)
		*ret = (pid_t)pid;
	return k;
}

/* --- The container --- */

static enum err_kind open_layers(const struct shim *s, int *lowers, struct err *e)
{
	AUTO_CLOSE layers =
	    sys_openat(AT_FDCWD, s->layers_path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	size_t n = s->record.lowers.n;

	for (size_t i = 0; i < n; i++) {
		char path[256], *colon;

		(void)snprintf(path, sizeof(path), "%s/diff", s->record.lowers.v[i]);
		colon = strchr(path, ':');
		if (colon)
			*colon = '-';
		lowers[n - 1 - i] = sys_openat(layers, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		if (lowers[n - 1 - i] < 0)
			return err_sys(e, __func__, "open layer %s", path);
	}
	return ERR_OK;
}

static enum err_kind mount_overlay(const struct shim *s, int *lowers, int *ret, struct err *e)
{
	struct overlay o = { .lowers = lowers,
			     .n_lowers = s->record.lowers.n,
			     .dir = s->dir,
			     .ids = &s->record.ids,
			     .driver = s->record.overlay,
			     .in_userns = s->record.in_userns,
			     .is_volatile = s->record.auto_remove };
	enum err_kind k = open_layers(s, lowers, e);

	return k == ERR_OK ? overlay_mount(&o, ret, e) : k;
}

static enum err_kind mount_image(const struct shim *s, int *ret, struct err *e)
{
	size_t n = s->record.lowers.n;
	int *lowers = calloc(n + 1, sizeof(*lowers));
	enum err_kind k;

	if (!lowers)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for layers");
	for (size_t i = 0; i < n; i++)
		lowers[i] = -1;
	k = mount_overlay(s, lowers, ret, e);
	for (size_t i = 0; i < n; i++)
		fd_close(&lowers[i]);
	free(lowers);
	return k;
}

static enum err_kind run_create(struct shim *s, struct child *c, const char *console, struct err *e)
{
	struct runtime_args a;
	char pid_file[PATH_TEXT_MAX];

	begin_args(s, &a);
	(void)snprintf(pid_file, sizeof(pid_file), "%s/pid", s->state_path);
	arg(&a, "create");
	arg(&a, "--bundle");
	arg(&a, s->container_path);
	arg(&a, "--pid-file");
	arg(&a, pid_file);
	if (console) {
		arg(&a, "--console-socket");
		arg(&a, console);
	}
	arg(&a, s->record.id);
	c->argv = a.v;
	c->ends_with_us = true;
	return run(s, c, "create", e);
}

static enum err_kind create_with_root(struct shim *s, struct session *x, struct child *c,
				      struct err *e)
{
	AUTO_CLOSE listener = -1;
	char console[PATH_TEXT_MAX];
	enum err_kind k;

	if (!s->record.terminal) {
		k = make_pipes(&s->record.ids, x, s->record.stdin_open, c, e);
		if (k == ERR_OK)
			k = run_create(s, c, NULL, e);
		close_ends(c);
		return k;
	}
	k = listen_console(s, "console", &listener, console, e);
	if (k == ERR_OK)
		k = run_create(s, c, console, e);
	if (k == ERR_OK)
		k = take_console(listener, &x->out, e);
	return k;
}

static enum err_kind create(struct shim *s, struct session *x, struct err *e)
{
	AUTO_CLOSE root = -1;
	struct child c = { .in = -1, .out = -1, .err = -1, .mount = -1 };
	char rootfs[PATH_TEXT_MAX];
	enum err_kind k = *s->record.rootfs ? ERR_OK : mount_image(s, &root, e);

	(void)snprintf(rootfs, sizeof(rootfs), "%s/rootfs", s->container_path);
	c.mount = root;
	c.rootfs = rootfs;
	c.shares_mounts = s->record.shares_mounts;
	x->terminal = s->record.terminal;
	if (k == ERR_OK)
		k = create_with_root(s, x, &c, e);
	if (k == ERR_OK)
		k = read_pid(s, "pid", &x->pid, e);
	return k;
}

/* Where its memory is accounted, so that it can be asked after the end: "N:CONTROLLERS:PATH" lines. */
static void find_cgroup(struct shim *s)
{
	AUTO_CLOSE fd = -1;
	AUTO_SBUF b;
	char path[64];
	struct err ignored;
	struct str rest, line, number, controllers, where;

	s->cgroup[0] = '\0';
	sbuf_init(&b, 16384);
	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)s->sessions[0].pid);
	if (fd_open_at(AT_FDCWD, path, O_RDONLY, 0, &fd, &ignored) != ERR_OK ||
	    fd_read_rest(fd, &b, path, &ignored) != ERR_OK)
		return;
	rest = (struct str){ b.p, b.n };
	while (rest.n) {
		(void)str_cut(rest, '\n', &line, &rest);
		if (!str_cut(line, ':', &number, &line) ||
		    !str_cut(line, ':', &controllers, &where))
			continue;
		if (str_eq(controllers, STR("memory")))
			(void)snprintf(s->cgroup, sizeof(s->cgroup),
				       CGROUP_MOUNTS "/memory%.*s/memory.oom_control",
				       STR_FMT(where));
		else if (controllers.n == 0 && !*s->cgroup)
			(void)snprintf(s->cgroup, sizeof(s->cgroup),
				       CGROUP_MOUNTS "%.*s/memory.events", STR_FMT(where));
	}
}

/* The last line of what it wrote, without the program's name in front. */
static enum err_kind told_network_failure(int log, const char *program, struct err *e)
{
	static const struct str prefixes[] = { STR("berth: "), STR("berth-net: ") };
	struct str rest, line, last = { NULL, 0 };
	AUTO_SBUF b;
	struct err ignored;

	sbuf_init(&b, LOG_MAX);
	(void)lseek(log, 0, SEEK_SET);
	if (fd_read_rest(log, &b, "network log", &ignored) == ERR_OK)
		for (rest = (struct str){ b.p ? b.p : "", b.n }; rest.n;) {
			(void)str_cut(rest, '\n', &line, &rest);
			last = line.n ? line : last;
		}
	if (last.n == 0)
		return err_set(e, ERR_IO, __func__, "%s failed, and does not say why", program);
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		if (str_starts(last, prefixes[i]))
			last = (struct str){ last.p + prefixes[i].n, last.n - prefixes[i].n };
	}
	return err_set(e, ERR_IO, __func__, "%.*s", (int)MIN(last.n, (size_t)200), last.p);
}

/* A program of networks under way; pid 0: there is nothing to do. */
struct network_run {
	const char *program;
	pid_t pid;
	int log;
};
#define NETWORK_RUN_NONE ((struct network_run){ .log = -1 })

/* With the pid in whose namespace the container is. */
static enum err_kind begin_network(struct shim *s, const struct text_list *command,
				   struct network_run *ret, struct err *e)
{
	const char *argv[NETWORK_ARGS_MAX];
	char pid[16];
	size_t n = 0;
	struct child c = { .argv = argv, .in = -1, .out = -1, .mount = -1 };
	enum err_kind k;

	*ret = NETWORK_RUN_NONE;
	if (command->n == 0)
		return ERR_OK;
	ret->program = command->v[0];
	if (command->n > NETWORK_ARGS_MAX - 2)
		return err_set(e, ERR_TOO_LARGE, __func__, "too many options of networks");
	for (; n < command->n; n++)
		argv[n] = command->v[n];
	(void)snprintf(pid, sizeof(pid), "%d", (int)s->sessions[0].pid);
	argv[n++] = pid;
	argv[n] = NULL;
	k = fd_open_at(s->state, NETWORK_LOG, O_RDWR | O_CREAT | O_TRUNC, 0600, &ret->log, e);
	c.err = ret->log;
	if (k == ERR_OK)
		k = spawn(&c, &ret->pid, e);
	if (k != ERR_OK)
		fd_close(&ret->log);
	return k;
}

static enum err_kind end_network(struct network_run *w, struct err *e)
{
	AUTO_CLOSE log = TAKE_FD(w->log);
	int status = 0;
	enum err_kind k = w->pid ? wait_for(w->pid, &status, e) : ERR_OK;

	return k == ERR_OK && status != 0 ? told_network_failure(log, w->program, e) : k;
}

static enum err_kind start(struct shim *s, struct err *e)
{
	static const char *const args[] = { "start", NULL };
	struct network_run up;
	enum err_kind k = begin_network(s, &s->record.net_up, &up, e);

	if (k == ERR_OK)
		k = end_network(&up, e);
	return k == ERR_OK ? launch_command(s, args, e) : k;
}

enum err_kind launch_container(struct shim *s, struct err *e)
{
	struct session *x = &s->sessions[0];
	enum err_kind k;

	session_clear(x);
	*x = (struct session){
		.kind = SESSION_INIT, .used = true, .in = -1, .out = -1, .err = -1, .console = -1
	};
	k = create(s, x, e);
	if (k == ERR_OK) {
		find_cgroup(s);
		s->status.pid = x->pid;
		(void)process_started(x->pid, &s->status.pid_started);
		k = boot_id(s->status.boot, e);
		/* Before it can do anything: who finds us dead must find its process. */
		shim_write_status(s);
	}
	if (k == ERR_OK)
		k = start(s, e);
	if (k != ERR_OK) {
		launch_delete(s);
		if (x->pid > 0)
			(void)waitpid(x->pid, NULL, 0);
		x->ended = true;
	}
	return k;
}

void launch_delete(struct shim *s)
{
	static const char *const args[] = { "delete", "--force", NULL };
	struct network_run down;
	struct err ignored;

	/* Both at a time: neither needs what the other removes, for the namespace is kept. */
	(void)!begin_network(s, &s->record.net_down, &down, &ignored);
	/* There may be none; one that was killed meanwhile has left the rest. */
	if (launch_command(s, args, &ignored) != ERR_OK)
		(void)!launch_command(s, args, &ignored);
	(void)!end_network(&down, &ignored);
}

/* --- Other processes in it --- */

enum err_kind launch_exec(struct shim *s, struct session *x, const char *process_file,
			  bool with_stdin, bool with_output, struct err *e)
{
	struct runtime_args a;
	struct child c = { .argv = a.v, .in = -1, .out = -1, .err = -1, .mount = -1 };
	char console[PATH_TEXT_MAX], pid_file[PATH_TEXT_MAX];
	enum err_kind k = ERR_OK;

	(void)snprintf(pid_file, sizeof(pid_file), "%s/%s.pid", s->state_path, x->name);
	begin_args(s, &a);
	arg(&a, "exec");
	arg(&a, "--detach");
	arg(&a, "--process");
	arg(&a, process_file);
	arg(&a, "--pid-file");
	arg(&a, pid_file);
	if (x->terminal) {
		k = listen_console(s, x->name, &x->console, console, e);
		arg(&a, "--tty");
		arg(&a, "--console-socket");
		arg(&a, console);
	} else if (with_output) {
		k = make_pipes(&s->record.ids, x, with_stdin, &c, e);
	}
	arg(&a, s->record.id);
	if (k == ERR_OK)
		k = spawn(&c, &x->runtime, e);
	close_ends(&c);
	return k;
}

/* It may have been sent before, or is waiting on the socket. */
void launch_take_console(struct session *x)
{
	struct err ignored;

	if (x->console < 0 || x->out >= 0)
		return;
	(void)!take_console(x->console, &x->out, &ignored); /* without it nothing is shown */
	fd_close(&x->console);
}

enum err_kind launch_exec_done(struct shim *s, struct session *x, int status, struct err *e)
{
	char name[40];
	enum err_kind k;

	x->runtime = 0;
	(void)sys_unlinkat(s->state, x->name, 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return told_failure(s, "exec", e);
	(void)snprintf(name, sizeof(name), "%s.pid", x->name);
	k = read_pid(s, name, &x->pid, e);
	(void)sys_unlinkat(s->state, name, 0);
	if (k == ERR_OK)
		launch_take_console(x);
	return k;
}
