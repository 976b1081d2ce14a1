#include "runtime/shim/shim.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "runtime/container/userns.h"

#define BACKOFF_MS_FIRST 100
#define BACKOFF_MS_MAX 60000
#define GOOD_RUN_MS 10000 /* after which back-off begins anew */
#define LAST_CLIENT_MS 30000
#define POLLS_MAX (2 + 4 * SESSIONS_MAX + CLIENTS_MAX)
#define EXIT_NOT_STARTED 125

void shim_write_status(struct shim *s)
{
	struct err ignored;

	(void)!status_write(s->dir, &s->status, &ignored); /* on a full disk the last one stays */
}

/* --- The end of the container's process --- */

static int exit_code_of(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* "oom_kill N", in either version of cgroups. */
static bool was_oom(const struct shim *s)
{
	AUTO_CLOSE fd = -1;
	AUTO_SBUF b;
	const char *at;
	struct err ignored;
	struct str count;
	uint64_t n;

	sbuf_init(&b, 4096);
	if (!*s->cgroup || fd_open_at(AT_FDCWD, s->cgroup, O_RDONLY, 0, &fd, &ignored) != ERR_OK ||
	    fd_read_rest(fd, &b, s->cgroup, &ignored) != ERR_OK)
		return false;
	at = strstr(b.p, "oom_kill ");
	count = str_of(at ? at + 9 : NULL);
	return scan_u64(&count, UINT64_MAX, &n) && n > 0;
}

static bool wants_restart(const struct shim *s)
{
	const struct record *r = &s->record;

	if (s->is_stopped)
		return false;
	if (s->must_restart)
		return true;
	if (r->restart == RESTART_NO)
		return false;
	if (r->restart == RESTART_ON_FAILURE)
		return s->status.exit_code != 0 &&
		       (r->restart_max == 0 || s->status.restarts < r->restart_max);
	return true;
}

static void plan_restart(struct shim *s)
{
	if (s->status.finished_ms - s->status.started_ms >= GOOD_RUN_MS || s->backoff_ms == 0)
		s->backoff_ms = BACKOFF_MS_FIRST;
	s->restart_at_ms = mono_ms() + s->backoff_ms;
	s->backoff_ms = MIN(2 * s->backoff_ms, (uint64_t)BACKOFF_MS_MAX);
	s->status.phase = PHASE_RESTARTING;
}

static void end_execs(struct shim *s)
{
	for (size_t i = 1; i < SESSIONS_MAX; i++) {
		struct session *x = &s->sessions[i];

		if (!x->used)
			continue;
		client_tell_exit(s, x, 128 + SIGKILL);
		session_clear(x);
	}
}

/* All output is passed on by now. */
static void finish_container(struct shim *s)
{
	s->status.exit_code = s->sessions[0].exit_code;
	s->status.exit_is_known = true;
	s->status.oom = was_oom(s);
	s->status.finished_ms = wall_ms();
	s->status.pid = 0;
	s->status.health = HEALTH_NONE;
	s->status.phase = PHASE_EXITED;
	s->status.stopped_by_user = s->is_stopped;
	s->kill_at_ms = 0;
	s->health_at_ms = 0;
	end_execs(s);
	launch_delete(s);
	if (wants_restart(s))
		plan_restart(s);
	s->must_restart = false;
	shim_write_status(s);
	client_tell_end(s, s->status.exit_code, s->status.phase == PHASE_EXITED);
}

/* --- Starting --- */

static void note_started(struct shim *s)
{
	s->status.phase = PHASE_RUNNING;
	s->status.started_ms = wall_ms();
	s->status.error[0] = '\0';
	health_begin(s);
	shim_write_status(s);
}

static void note_not_started(struct shim *s, const struct err *e)
{
	s->status.phase = PHASE_EXITED;
	s->status.pid = 0;
	s->status.exit_code = EXIT_NOT_STARTED;
	s->status.exit_is_known = true;
	s->status.finished_ms = wall_ms();
	(void)snprintf(s->status.error, sizeof(s->status.error), "%s", e->msg);
}

static void restart(struct shim *s)
{
	struct err e;

	s->restart_at_ms = 0;
	s->status.restarts++;
	if (launch_container(s, &e) == ERR_OK) {
		note_started(s);
		return;
	}
	note_not_started(s, &e);
	plan_restart(s);
	shim_write_status(s);
}

/* --- Stopping --- */

static void kill_all(struct shim *s)
{
	static const char *const args[] = { "kill", "--all", NULL };
	struct err ignored;

	s->kill_at_ms = 0;
	if (s->sessions[0].ended || s->sessions[0].pid <= 0)
		return;
	(void)!launch_command(s, args, &ignored);
	(void)kill(s->sessions[0].pid, SIGKILL);
}

static void ask_to_end(struct shim *s, uint64_t timeout_ms)
{
	static const char *const resume[] = { "resume", NULL };
	struct err ignored;

	if (s->status.phase == PHASE_PAUSED)
		(void)!launch_command(s, resume, &ignored);
	if (timeout_ms == 0) {
		kill_all(s);
		return;
	}
	s->kill_at_ms = mono_ms() + timeout_ms;
	if (!s->sessions[0].ended)
		(void)kill(s->sessions[0].pid, (int)s->record.stop_signal);
}

void shim_stop(struct shim *s, uint64_t timeout_ms)
{
	s->is_stopped = true;
	if (s->restart_at_ms) {
		s->restart_at_ms = 0;
		s->status.phase = PHASE_EXITED;
		s->status.stopped_by_user = true;
		shim_write_status(s);
		client_tell_end(s, s->status.exit_code, true);
		return;
	}
	ask_to_end(s, timeout_ms);
}

void shim_restart(struct shim *s)
{
	s->must_restart = true;
	ask_to_end(s, s->record.stop_timeout_ms);
}

/* --- Children --- */

static void end_exec(struct shim *s, struct session *x, int code)
{
	x->ended = true;
	x->exit_code = code;
	if (x->kind == SESSION_HEALTH)
		health_done(s, x);
}

static void take_stray(struct shim *s, struct session *x)
{
	for (unsigned i = 0; i < s->n_strays; i++) {
		if (s->strays[i].pid == x->pid) {
			end_exec(s, x, exit_code_of(s->strays[i].status));
			return;
		}
	}
}

static void runtime_ended(struct shim *s, struct session *x, int status)
{
	struct err e;

	if (launch_exec_done(s, x, status, &e) == ERR_OK) {
		take_stray(s, x);
		return;
	}
	if (x->kind == SESSION_HEALTH) {
		end_exec(s, x, EXIT_NOT_STARTED);
		return;
	}
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = &s->clients[i];

		if (c->fd < 0 || c->session != x)
			continue;
		(void)!client_send(c, SHIM_FAILED, e.msg, strlen(e.msg));
		client_drop(s, c);
	}
	session_clear(x);
}

static bool is_any_starting(const struct shim *s)
{
	for (size_t i = 1; i < SESSIONS_MAX; i++) {
		if (s->sessions[i].used && s->sessions[i].runtime)
			return true;
	}
	return false;
}

static void child_ended(struct shim *s, pid_t pid, int status)
{
	for (size_t i = 0; i < SESSIONS_MAX; i++) {
		struct session *x = &s->sessions[i];

		if (x->used && x->runtime == pid) {
			runtime_ended(s, x, status);
			return;
		}
		if (x->used && x->pid == pid && !x->ended) {
			if (i == 0) {
				x->ended = true;
				x->exit_code = exit_code_of(status);
			} else {
				end_exec(s, x, exit_code_of(status));
			}
			return;
		}
	}
	if (!is_any_starting(s)) {
		s->n_strays = 0;
	} else if (s->n_strays < ARRAY_LEN(s->strays)) {
		s->strays[s->n_strays].pid = pid;
		s->strays[s->n_strays].status = status;
		s->n_strays++;
	}
}

static void reap(struct shim *s)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo != SIGCHLD && !s->sessions[0].ended && s->sessions[0].pid > 0)
			(void)kill(s->sessions[0].pid, (int)info.ssi_signo);
	}
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		child_ended(s, pid, status);
}

/* --- The loop --- */

struct polls {
	struct pollfd p[POLLS_MAX];
	nfds_t n;
};

static void watch(struct polls *w, int fd, short events)
{
	if (fd >= 0)
		w->p[w->n++] = (struct pollfd){ .fd = fd, .events = events };
}

static bool is_ready(const struct polls *w, int fd)
{
	for (nfds_t i = 0; i < w->n; i++) {
		if (w->p[i].fd == fd && w->p[i].revents)
			return true;
	}
	return false;
}

static void watch_all(struct shim *s, struct polls *w)
{
	w->n = 0;
	watch(w, s->signals, POLLIN);
	watch(w, s->listener, POLLIN);
	for (size_t i = 0; i < SESSIONS_MAX; i++) {
		struct session *x = &s->sessions[i];
		bool held = x->used && client_holds_up(s, x);
		short out = (short)((held ? 0 : POLLIN) |
				    (x->used && x->terminal && x->pending_n ? POLLOUT : 0));

		if (!x->used)
			continue;
		if (out)
			watch(w, x->out, out);
		if (!held)
			watch(w, x->err, POLLIN);
		if (x->pending_n && !x->terminal)
			watch(w, x->in, POLLOUT);
		watch(w, x->console, POLLIN);
	}
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = &s->clients[i];
		struct session *x = c->session;

		/* Input that cannot go on stays with the client; one that holds things up is waited for. */
		if (c->fd >= 0)
			watch(w, c->fd,
			      (short)((x && x->pending_n ? 0 : POLLIN) |
				      (c->brakes && x && client_holds_up(s, x) ? POLLOUT : 0)));
	}
}

static int time_left(const struct shim *s)
{
	uint64_t until = UINT64_MAX, now = mono_ms();
	const uint64_t times[] = { s->kill_at_ms, s->health_at_ms, s->restart_at_ms };

	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		until = times[i] && times[i] < until ? times[i] : until;
	for (size_t i = 1; i < SESSIONS_MAX; i++) {
		const struct session *x = &s->sessions[i];

		if (x->used && x->deadline_ms && x->deadline_ms < until)
			until = x->deadline_ms;
	}
	if (until == UINT64_MAX)
		return -1;
	return until <= now ? 0 : (int)MIN(until - now, (uint64_t)INT32_MAX);
}

static void do_due(struct shim *s)
{
	uint64_t now = mono_ms();

	if (s->kill_at_ms && now >= s->kill_at_ms)
		kill_all(s);
	if (s->health_at_ms && now >= s->health_at_ms)
		health_run(s);
	if (s->restart_at_ms && now >= s->restart_at_ms)
		restart(s);
	for (size_t i = 1; i < SESSIONS_MAX; i++) {
		struct session *x = &s->sessions[i];

		if (x->used && x->deadline_ms && now >= x->deadline_ms) {
			x->deadline_ms = 0;
			if (x->pid > 0)
				(void)kill(x->pid, SIGKILL);
		}
	}
}

static void serve_sessions(struct shim *s, const struct polls *w)
{
	for (size_t i = 0; i < SESSIONS_MAX; i++) {
		struct session *x = &s->sessions[i];

		if (!x->used)
			continue;
		if (x->console >= 0 && is_ready(w, x->console))
			launch_take_console(x);
		if (x->pending_n)
			session_flush(x);
		if (x->out >= 0 && is_ready(w, x->out) && !client_holds_up(s, x))
			(void)session_pump(s, x, &x->out, SHIM_STDOUT);
		if (x->err >= 0 && is_ready(w, x->err) && !client_holds_up(s, x))
			(void)session_pump(s, x, &x->err, SHIM_STDERR);
	}
}

static void serve_ended(struct shim *s)
{
	for (size_t i = 1; i < SESSIONS_MAX; i++) {
		struct session *x = &s->sessions[i];

		if (x->used && x->ended && session_drain(s, x)) {
			client_tell_exit(s, x, x->exit_code);
			session_clear(x);
		}
	}
	if (s->sessions[0].ended && s->status.pid && session_drain(s, &s->sessions[0]))
		finish_container(s);
}

static void serve_clients(struct shim *s, const struct polls *w)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = &s->clients[i];

		if (c->fd >= 0 && is_ready(w, c->fd) && !(c->session && c->session->pending_n))
			client_read(s, c);
	}
}

static void loop(struct shim *s)
{
	static struct polls w;

	while (s->status.phase != PHASE_EXITED) {
		watch_all(s, &w);
		if (poll(w.p, w.n, time_left(s)) < 0 && errno != EINTR)
			return;
		/* Output before ends, so that what was written before an end is told before it. */
		serve_sessions(s, &w);
		if (is_ready(&w, s->signals))
			reap(s);
		serve_clients(s, &w);
		if (is_ready(&w, s->listener))
			client_accept(s);
		serve_ended(s);
		do_due(s);
	}
}

/* --- Beginning and end --- */

static enum err_kind listen_here(struct shim *s, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/" SHIM_SOCKET,
		       s->state);
	(void)sys_unlinkat(s->state, SHIM_SOCKET, 0);
	s->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(s->listener, SOMAXCONN) < 0)
		return err_sys(e, __func__, "make the shim's socket");
	return ERR_OK;
}

static enum err_kind take_signals(struct shim *s, struct err *e)
{
	static const int taken[] = { SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP };
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		(void)sigaddset(&set, taken[i]);
	(void)signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_sys(e, __func__, "block signals");
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signals < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return err_sys(e, __func__, "take signals");
	return ERR_OK;
}

static enum err_kind open_dirs(struct shim *s, struct err *e)
{
	s->dir = sys_openat(AT_FDCWD, s->container_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	s->state = sys_openat(AT_FDCWD, s->state_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	return s->dir < 0 || s->state < 0 ? err_sys(e, __func__, "open the container's directories")
					  : ERR_OK;
}

static enum err_kind note_holder(const struct shim *s, struct err *e)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	return fd_swap_file(s->state, USERNS_HOLDER, (struct str){ text, (size_t)n }, 0600, e);
}

static enum err_kind begin(struct shim *s, struct err *e)
{
	struct status before;
	struct err ignored;
	enum err_kind k = open_dirs(s, e);

	if (k == ERR_OK)
		k = shim_lock(s->dir, &s->lock, e);
	if (k == ERR_OK)
		k = record_read(s->dir, &s->record, e);
	if (k == ERR_OK)
		k = log_open(&s->log, s->dir, &s->record, e);
	if (k == ERR_OK)
		k = take_signals(s, e);
	if (k == ERR_OK)
		k = listen_here(s, e);
	if (k != ERR_OK)
		return k;
	k = note_holder(s, e);
	if (k != ERR_OK)
		return k;
	s->status = (struct status){ .phase = PHASE_STARTING };
	if (status_read(s->dir, &before, &ignored) == ERR_OK)
		s->status.restarts = before.restarts;
	shim_write_status(s);
	return ERR_OK;
}

static void tell_starter(struct shim *s, char what, const char *text)
{
	(void)!write(s->sync, &what, 1); /* gone is gone */
	(void)!write(s->sync, text, strlen(text));
	fd_close(&s->sync);
}

/* A client that brakes may be about to remove the container: it closes when it has done so, or has died. */
static void wait_for_last_client(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;

	while (fd >= 0 && poll(&p, 1, LAST_CLIENT_MS) > 0 && recv(fd, &byte, 1, 0) > 0)
		;
}

static void end(struct shim *s, int last_client)
{
	struct stat st;

	fd_close(&s->listener);
	(void)sys_unlinkat(s->state, SHIM_SOCKET, 0);
	log_close(&s->log);
	if (!s->record.auto_remove || !s->exit_command)
		return;
	wait_for_last_client(last_client);
	if (fstatat(s->dir, RECORD_FILE, &st, 0) < 0)
		return;
	fd_close(&s->lock);
	(void)execv(s->exit_command[0], s->exit_command);
}

static int run(struct shim *s, int attached)
{
	int last_client = attached >= 0 ? fcntl(attached, F_DUPFD_CLOEXEC, 3) : -1;
	struct err e;
	enum err_kind k = begin(s, &e);

	if (k == ERR_OK && attached >= 0)
		client_add(s, attached, &s->sessions[0],
			   s->record.stdin_open
			       ? (const char[]){ SHIM_WITH_STDIN, SHIM_WITH_BRAKE, 0 }
			       : (const char[]){ SHIM_WITH_BRAKE, 0 });
	if (k == ERR_OK) {
		k = launch_container(s, &e);
		if (k == ERR_OK)
			note_started(s);
		else {
			note_not_started(s, &e);
			shim_write_status(s);
		}
	}
	tell_starter(s, k == ERR_OK ? SHIM_STARTED : SHIM_NOT_STARTED, k == ERR_OK ? "" : e.msg);
	if (k != ERR_OK)
		return 1;
	loop(s);
	end(s, last_client);
	return 0;
}

/* usage: berth-shim CONTAINER-DIR STATE-DIR LAYERS-DIR RUNTIME RUNTIME-ROOT SYNC-FD ATTACHED-FD [EXIT-COMMAND...] */
#define ARGS_MIN 8

static int descriptor(const char *text)
{
	struct str in = str_of(text);
	uint64_t n;

	return scan_u64(&in, 1024, &n) && scan_end(&in) ? (int)n : -1;
}

static void keep_from_children(int fd)
{
	if (fd >= 0)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

int main(int argc, char **argv)
{
	static struct shim s; /* zero pages that are never touched cost nothing */
	int attached;

	if (argc < ARGS_MIN) {
		(void)fputs("berth-shim is started by berth\n", stderr);
		return 2;
	}
	for (size_t i = 0; i < SESSIONS_MAX; i++)
		s.sessions[i] = (struct session){ .in = -1, .out = -1, .err = -1, .console = -1 };
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		s.clients[i].fd = -1;
	s.container_path = argv[1];
	s.state_path = argv[2];
	s.layers_path = argv[3];
	s.runtime = argv[4];
	s.runtime_root = argv[5];
	s.sync = descriptor(argv[6]);
	attached = descriptor(argv[7]);
	s.exit_command = argc > ARGS_MIN ? argv + ARGS_MIN : NULL;
	s.dir = s.state = s.lock = s.listener = s.signals = -1;
	keep_from_children(s.sync);
	keep_from_children(attached);
	(void)umask(022);
	return run(&s, attached);
}
