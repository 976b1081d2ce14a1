#include "runtime/cli/ctl.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "runtime/cli/report.h"

#define SHIM_SYNC_FD 3
#define SHIM_ATTACHED_FD 4
#define SHIM_GONE_MS 30000
#define KILLED_GONE_MS 10000
#define SHIM_ARGS_MAX 20
#define MESSAGE_MAX 512
#define JSON_MAX (16u * 1024 * 1024)
#define JSON_DEPTH_MAX 32

extern char **environ;

void ctl_close(struct ctl *t)
{
	jv_free(&t->said);
	containers_close(&t->cs);
}

enum err_kind ctl_open(struct cli *c, struct ctl *ret, struct err *e)
{
	*ret = CTL_INIT;
	ret->c = c;
	return containers_open(c->root, c->state, &ret->cs, e);
}

const char *ctl_program(struct ctl *t, const char *name)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *path;
	char *slash;

	if (n <= 0)
		return name;
	self[n] = '\0';
	slash = strrchr(self, '/');
	*slash = '\0';
	path = arena_printf(&t->c->arena, "%s/%s", self, name);
	if (path && access(path, X_OK) == 0)
		return path;
	path = arena_printf(&t->c->arena, BERTH_LIBEXEC "/%s", name);
	return path ? path : name;
}

static const char *runtime_of(struct ctl *t)
{
	return t->c->runtime ? t->c->runtime : ctl_program(t, "berth-runtime");
}

static const char *runtime_root(struct ctl *t)
{
	return arena_printf(&t->c->arena, "%s/runtime", t->cs.state);
}

/* --- Without a shim --- */

static enum err_kind spawn_runtime(const char *const *argv, int out, pid_t *ret, struct err *e)
{
	posix_spawn_file_actions_t actions;
	int failed;

	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	(void)posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	failed =
	    posix_spawnp(ret, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	errno = failed;
	return failed ? err_sys(e, __func__, "start %s", argv[0]) : ERR_OK;
}

enum err_kind ctl_runtime(struct ctl *t, const struct container *c, const char *const *args,
			  struct sbuf *out, struct err *e)
{
	const char *argv[SHIM_ARGS_MAX] = { runtime_of(t), "--root", runtime_root(t) };
	AUTO_CLOSE read_end = -1;
	AUTO_CLOSE write_end = -1;
	AUTO_SBUF dropped = { 0 };
	size_t n = 3;
	pid_t pid;
	int status = 0, fds[2];
	enum err_kind k;

	for (size_t i = 0; args[i] && n < SHIM_ARGS_MAX - 2; i++)
		argv[n++] = args[i];
	argv[n++] = c->record.id;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, __func__, "make a pipe");
	read_end = fds[0];
	write_end = fds[1];
	sbuf_init(&dropped, SBUF_MAX);
	k = spawn_runtime(argv, write_end, &pid, e);
	fd_close(&write_end);
	if (k != ERR_OK)
		return k;
	k = fd_read_rest(read_end, out ? out : &dropped, argv[0], e);
	if (waitpid(pid, &status, 0) != pid)
		return err_sys(e, __func__, "wait for %s", argv[0]);
	if (k == ERR_OK && status != 0)
		return err_set(e, ERR_IO, __func__, "%s %s: failed for container %s", argv[0],
			       args[0], c->record.name);
	return k;
}

/* The process that a killed shim left behind; by a descriptor, so that no other one is hit. */
enum err_kind ctl_signal_orphan(const struct status *s, int sig, bool wait, struct err *e)
{
	AUTO_CLOSE fd = (int)syscall(SYS_pidfd_open, s->pid, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t started;

	if (fd < 0 || !process_started(s->pid, &started) || started != s->pid_started)
		return ERR_OK; /* gone */
	if (syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) < 0 && errno != ESRCH)
		return err_sys(e, __func__, "signal the container's process");
	if (wait && poll(&p, 1, KILLED_GONE_MS) == 0)
		return err_set(e, ERR_IO, __func__, "the container's process does not end");
	return ERR_OK;
}

/* net_down of the record; what fails is known to networks for the next time. */
static void take_networks_down(const struct container *c)
{
	const char *argv[NETWORK_ARGS_MAX];
	const struct text_list *command = &c->record.net_down;
	struct err ignored;
	AUTO_CLOSE null = -1;
	pid_t pid;

	if (command->n == 0 || command->n >= NETWORK_ARGS_MAX)
		return;
	for (size_t i = 0; i < command->n; i++)
		argv[i] = command->v[i];
	argv[command->n] = NULL;
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (spawn_runtime(argv, null, &pid, &ignored) == ERR_OK)
		(void)waitpid(pid, NULL, 0);
}

/* A shim that was killed saw no end; a runtime that was killed leaves its state. */
static bool has_remains(struct ctl *t, const struct container *c, const struct status *now)
{
	const char *state = arena_printf(&t->c->arena, "%s/%s", runtime_root(t), c->record.id);
	struct stat s;

	return (now->phase != PHASE_CREATED && !now->exit_is_known) ||
	       (state && fstatat(AT_FDCWD, state, &s, AT_SYMLINK_NOFOLLOW) == 0);
}

/* What shim and runtime would have done at the end; there may be nothing. */
static void clean_up(struct ctl *t, struct container *c, const struct status *now)
{
	static const char *const delete[] = { "delete", "--force", NULL };
	struct err ignored;

	if (!has_remains(t, c, now))
		return;
	(void)!ctl_runtime(t, c, delete, NULL, &ignored);
	take_networks_down(c);
}

static enum err_kind stop_orphan(struct ctl *t, struct container *c, struct status *s,
				 uint64_t timeout_ms, struct err *e)
{
	static const char *const resume[] = { "resume", NULL };
	static const char *const delete[] = { "delete", "--force", NULL };
	AUTO_CLOSE fd = (int)syscall(SYS_pidfd_open, s->pid, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	enum err_kind k = ERR_OK;
	struct err not_paused;

	/* No signal ends what is frozen, and the file may not have it that it is. */
	(void)!ctl_runtime(t, c, resume, NULL, &not_paused);
	if (timeout_ms)
		k = ctl_signal_orphan(s, (int)c->record.stop_signal, false, e);
	if (k == ERR_OK && timeout_ms && fd >= 0)
		(void)poll(&p, 1, (int)MIN(timeout_ms, (uint64_t)INT32_MAX));
	if (k == ERR_OK)
		k = ctl_signal_orphan(s, SIGKILL, true, e);
	if (k == ERR_OK)
		k = ctl_runtime(t, c, delete, NULL, e);
	if (k != ERR_OK)
		return k;
	take_networks_down(c);
	s->phase = PHASE_EXITED;
	s->pid = 0;
	s->health = HEALTH_NONE;
	s->exit_is_known = false;
	s->stopped_by_user = true;
	s->finished_ms = wall_ms();
	return status_write(c->dir, s, e);
}

/* --- Talking to a shim --- */

static enum err_kind connect_to(int dir, int *ret, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	AUTO_CLOSE fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/" SHIM_SOCKET, dir);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(e, __func__, "reach the container's shim");
	*ret = TAKE_FD(fd);
	return ERR_OK;
}

enum err_kind ctl_connect(struct ctl *t, struct container *c, int *ret, struct err *e)
{
	enum err_kind k = c->state >= 0 ? ERR_OK : container_state_open(&t->cs, c, e);

	return k == ERR_OK ? connect_to(c->state, ret, e) : k;
}

enum err_kind ctl_send(int fd, char type, const char *p, size_t n, struct err *e)
{
	struct iovec iov[2] = { { &type, 1 }, { (void *)(uintptr_t)p, n } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };

	return sendmsg(fd, &m, MSG_NOSIGNAL) < 0 ? err_sys(e, __func__, "ask the container's shim")
						 : ERR_OK;
}

static enum err_kind take_answer(int fd, int *ret_exit, struct err *e)
{
	char buf[MESSAGE_MAX];
	struct str text;
	uint64_t n = 0;
	ssize_t got;

	do
		got = recv(fd, buf, sizeof(buf) - 1, 0);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return err_set(e, ERR_IO, __func__, "the container's shim went away");
	buf[got] = '\0';
	if (buf[0] == SHIM_FAILED)
		return err_set(e, ERR_IO, __func__, "%s", buf + 1);
	text = str_of(buf + 1);
	(void)scan_u64(&text, 255, &n);
	if (ret_exit)
		*ret_exit = (int)n;
	return ERR_OK;
}

enum err_kind ctl_ask(struct ctl *t, struct container *c, char type, const char *text,
		      int *ret_exit, struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k = ctl_connect(t, c, &fd, e);

	if (k == ERR_OK)
		k = ctl_send(fd, type, text, strlen(text), e);
	return k == ERR_OK ? take_answer(fd, ret_exit, e) : k;
}

/* --- Starting --- */

struct shim_ends {
	int sync, attached; /* of the shim; -1 */
};

static enum err_kind spawn_shim(struct ctl *t, const struct container *c,
				const struct shim_ends *ends, struct err *e)
{
	struct arena *a = &t->c->arena;
	const char *argv[SHIM_ARGS_MAX] = {
		ctl_program(t, "berth-shim"),
		arena_printf(a, "%s/containers/%s", t->cs.root, c->record.id),
		arena_printf(a, "%s/%s", t->cs.state, c->record.id),
		arena_printf(a, "%s/layers", t->cs.root),
		runtime_of(t),
		runtime_root(t),
		arena_printf(a, "%d", SHIM_SYNC_FD),
		ends->attached >= 0 ? arena_printf(a, "%d", SHIM_ATTACHED_FD) : "-",
		ctl_program(t, "berth"),
		"--root",
		t->cs.root,
		"--state",
		t->cs.state,
		"--runtime",
		runtime_of(t),
		"rm",
		"--force",
		"--ignore",
		c->record.id,
	};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	pid_t pid;
	int failed;

	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID);
	for (int fd = 0; fd < 3; fd++)
		(void)posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
	(void)posix_spawn_file_actions_adddup2(&actions, ends->sync, SHIM_SYNC_FD);
	if (ends->attached >= 0)
		(void)posix_spawn_file_actions_adddup2(&actions, ends->attached, SHIM_ATTACHED_FD);
	failed =
	    posix_spawn(&pid, argv[0], &actions, &attr, (char *const *)(uintptr_t)argv, environ);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&actions);
	errno = failed;
	return failed ? err_sys(e, __func__, "start %s", argv[0]) : ERR_OK;
}

static enum err_kind wait_started(int fd, struct err *e)
{
	AUTO_SBUF b;
	enum err_kind k;

	sbuf_init(&b, 4096);
	k = fd_read_rest(fd, &b, "the shim's answer", e);
	if (k != ERR_OK)
		return k;
	if (b.n == 0)
		return err_set(e, ERR_IO, __func__, "the container's shim ended at once");
	return b.p[0] == SHIM_STARTED ? ERR_OK : err_set(e, ERR_IO, __func__, "%s", b.p + 1);
}

/* Descriptors that must not be 3 or 4 before they become those. */
static enum err_kind move_up(int *fd, struct err *e)
{
	int up = fcntl(*fd, F_DUPFD_CLOEXEC, 10);

	if (up < 0)
		return err_sys(e, __func__, "duplicate a descriptor");
	fd_close(fd);
	*fd = up;
	return ERR_OK;
}

static enum err_kind start_shim(struct ctl *t, const struct container *c, int *ret_attached,
				struct err *e)
{
	AUTO_CLOSE ours = -1;
	AUTO_CLOSE theirs = -1;
	AUTO_CLOSE sync_read = -1;
	AUTO_CLOSE sync_write = -1;
	int fds[2];
	enum err_kind k = ERR_OK;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, __func__, "make a pipe");
	sync_read = fds[0];
	sync_write = fds[1];
	if (ret_attached) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
			return err_sys(e, __func__, "make a socket");
		ours = fds[0];
		theirs = fds[1];
		k = move_up(&theirs, e);
	}
	if (k == ERR_OK)
		k = move_up(&sync_write, e);
	if (k == ERR_OK)
		k = spawn_shim(t, c, &(struct shim_ends){ sync_write, theirs }, e);
	fd_close(&sync_write);
	fd_close(&theirs);
	if (k == ERR_OK)
		k = wait_started(sync_read, e);
	if (k == ERR_OK && ret_attached)
		*ret_attached = TAKE_FD(ours);
	return k;
}

/* A power cut may have taken layers; they are made again of the image's blobs. */
static enum err_kind restore_layers(struct images *im, const struct record *r, struct err *e)
{
	AUTO_IMAGE i = { 0 };
	struct tree_stats ignored = { 0 };
	struct digest d;
	enum err_kind k = images_begin(im, e);

	if (k != ERR_OK)
		return k;
	k = digest_parse(&d, str_of(r->manifest))
		? images_find(im, r->manifest, NULL, &i, e)
		: err_set(e, ERR_CORRUPT, __func__, "no manifest is known");
	images_end(im);
	return k == ERR_OK ? pull_unpack(im, &i, image_form(), CLI_UMASK, &ignored, e) : k;
}

enum err_kind ctl_layers(struct images *im, const struct record *r, struct layer_list *ret,
			 struct err *e)
{
	AUTO_FREE struct digest *chain = calloc(r->lowers.n + 1, sizeof(*chain));

	if (!chain)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for layers");
	for (size_t i = 0; i < r->lowers.n; i++) {
		if (!digest_parse(&chain[i], str_of(r->lowers.v[i])))
			return err_set(e, ERR_CORRUPT, __func__, RECORD_FILE ": no digest");
	}
	return layer_list_open(im, chain, r->lowers.n, image_form(), ret, e);
}

static enum err_kind check_layers(struct images *im, const struct record *r, struct err *e)
{
	AUTO_LAYER_LIST layers = { 0 };
	enum err_kind k = ctl_layers(im, r, &layers, e);

	return k == ERR_NOT_FOUND ? restore_layers(im, r, e) : k;
}

enum err_kind ctl_read_json(const struct container *c, const char *name, struct jv **ret,
			    struct err *e)
{
	AUTO_SBUF b;
	enum err_kind k;

	sbuf_init(&b, JSON_MAX);
	k = fd_read_file(c->dir, name, &b, e);
	return k == ERR_OK ? jv_parse_object_u64((struct str){ b.p, b.n }, JSON_DEPTH_MAX, ret, e)
			   : k;
}

/* The caller holds the container's lock. */
enum err_kind ctl_start(struct ctl *t, struct container *c, int *ret_attached, struct err *e)
{
	AUTO_IMAGES *im = NULL;
	AUTO_CLOSE guard = -1;
	struct status now;
	bool supervised;
	enum err_kind k = status_now(c->dir, &now, &supervised, e);

	/* One that has told its end is about to go. */
	if (k == ERR_OK && supervised && now.phase == PHASE_EXITED)
		supervised = !shim_wait_gone(c->dir, SHIM_GONE_MS);
	if (k == ERR_OK && (supervised || now.pid))
		return err_set(e, ERR_IN_USE, __func__, "container %s is %s", c->record.name,
			       phase_text(now.phase));
	if (k == ERR_OK)
		k = images_open(t->cs.root, &im, e);
	if (k == ERR_OK)
		k = images_guard(im, IMAGES_SHARED, &guard, e);
	if (k == ERR_OK)
		k = check_layers(im, &c->record, e);
	if (k == ERR_OK)
		k = container_state_open(&t->cs, c, e);
	if (k != ERR_OK)
		return k;
	clean_up(t, c, &now);
	return start_shim(t, c, ret_attached, e);
}

/* --- Stopping and removing --- */

enum err_kind ctl_stop(struct ctl *t, struct container *c, uint64_t timeout_ms, struct err *e)
{
	struct status now;
	bool supervised;
	char text[32];
	enum err_kind k = status_now(c->dir, &now, &supervised, e);

	if (k != ERR_OK)
		return k;
	if (!supervised)
		return now.pid ? stop_orphan(t, c, &now, timeout_ms, e) : ERR_OK;
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)timeout_ms);
	k = ctl_ask(t, c, SHIM_STOP, text, NULL, e);
	/* It may have ended, or been killed, in the meantime. */
	if (k != ERR_OK && shim_wait_gone(c->dir, SHIM_GONE_MS)) {
		k = status_now(c->dir, &now, &supervised, e);
		if (k == ERR_OK && now.pid)
			k = stop_orphan(t, c, &now, timeout_ms, e);
	}
	return k;
}

static enum err_kind unuse_image(struct ctl *t, const char *id, struct err *e)
{
	AUTO_IMAGES *im = NULL;
	enum err_kind k = images_open(t->cs.root, &im, e);

	if (k == ERR_OK)
		k = images_begin(im, e);
	if (k != ERR_OK)
		return k;
	k = images_unuse(im, id, e);
	images_end(im);
	return k;
}

enum err_kind ctl_remove_ended(struct ctl *t, struct container *c, struct err *e)
{
	const char *id = arena_text(&t->c->arena, str_of(c->record.id));
	bool has_image = !c->record.rootfs || !*c->record.rootfs;
	enum err_kind k = container_remove(&t->cs, c, e);

	if (k == ERR_OK && c->record.auto_remove)
		k = ctl_drop_volumes(t, &c->record.anonymous, e);
	return k == ERR_OK && has_image ? unuse_image(t, id, e) : k;
}

enum err_kind ctl_remove(struct ctl *t, struct container *c, bool force, struct err *e)
{
	struct status now;
	bool supervised;
	enum err_kind k = status_now(c->dir, &now, &supervised, e);

	if (k == ERR_OK && (supervised || now.pid)) {
		if (!force && (now.pid || now.phase == PHASE_RESTARTING))
			return err_set(e, ERR_IN_USE, __func__,
				       "container %s is %s: stop it first, or use --force",
				       c->record.name, phase_text(now.phase));
		k = ctl_stop(t, c, 0, e);
		if (k == ERR_OK && !shim_wait_gone(c->dir, SHIM_GONE_MS))
			k = err_set(e, ERR_IO, __func__, "the container's shim does not end");
		if (k == ERR_OK)
			k = status_now(c->dir, &now, &supervised, e);
	}
	if (k == ERR_OK)
		clean_up(t, c, &now);
	return k == ERR_OK ? ctl_remove_ended(t, c, e) : k;
}

static bool user_is_there(void *arg, const char *user)
{
	return container_exists(arg, user);
}

enum err_kind ctl_prune(struct ctl *t, struct images *im, struct pruned *ret, struct err *e)
{
	return prune_content(im, user_is_there, &t->cs, ret, e);
}

struct jv *ctl_names(const struct container *c)
{
	return jv_pack("{s:s, s:s}", "name", c->record.name, "id", c->record.id);
}

static enum err_kind do_one(struct ctl *t, const char *name, bool says_names, ctl_fn *fn, void *arg,
			    struct err *e)
{
	AUTO_CONTAINER one = CONTAINER_INIT;
	enum err_kind k = container_find(&t->cs, name, &one, e);

	if (k != ERR_OK)
		return k;
	if (says_names)
		t->said = ctl_names(&one);
	return fn(t, &one, arg, e);
}

int ctl_for_each(struct cli *c, unsigned flags, ctl_fn *fn, void *arg)
{
	AUTO_CTL t = CTL_INIT;
	struct report r;
	struct err e;

	if (ctl_open(c, &t, &e) != ERR_OK)
		return cli_fail(&e);
	report_begin(&r, c);
	for (size_t i = 0; i < c->args_n; i++) {
		enum err_kind k = do_one(&t, c->args[i], c->json, fn, arg, &e);

		if (k != ERR_NOT_FOUND || !(flags & CTL_IGNORE_MISSING))
			report_add(&r, c->args[i], &t.said, flags & CTL_PRINT_NAMES,
				   k == ERR_OK ? NULL : &e);
		jv_free(&t.said);
	}
	return report_end(&r);
}

int ctl_for_one(struct cli *c, ctl_fn *fn, void *arg)
{
	AUTO_CTL t = CTL_INIT;
	struct err e;
	enum err_kind k = ctl_open(c, &t, &e);

	if (k == ERR_OK)
		k = do_one(&t, c->args[0], false, fn, arg, &e);
	if (k != ERR_OK)
		return cli_fail(&e);
	return c->json ? cli_print_json(&t.said) : EXIT_FINE;
}
