/* Those who are connected. */
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/jv.h"
#include "runtime/shim/shim.h"

#define SEND_BUFFER (4 * 1024 * 1024) /* of the kernel's: for clients that do not keep up */
#define PATH_TEXT_MAX 4200
#define STOP_MS_MAX (7ull * 24 * 3600 * 1000)

static void raise_buffer(int fd)
{
	int bytes = SEND_BUFFER;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

static struct client *free_slot(struct shim *s)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (s->clients[i].fd < 0)
			return &s->clients[i];
	}
	return NULL;
}

void client_accept(struct shim *s)
{
	AUTO_CLOSE fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c = free_slot(s);

	if (fd < 0 || !c)
		return; /* too many: the others go first */
	*c = (struct client){ .fd = TAKE_FD(fd) };
}

static void take_flags(struct client *c, const char *flags)
{
	c->output = true;
	c->feeds = strchr(flags, SHIM_WITH_STDIN) != NULL;
	c->brakes = strchr(flags, SHIM_WITH_BRAKE) != NULL;
	raise_buffer(c->fd);
}

void client_add(struct shim *s, int fd, struct session *x, const char *flags)
{
	struct client *c = free_slot(s);

	if (!c) {
		fd_close(&fd);
		return;
	}
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	*c = (struct client){ .fd = fd, .session = x };
	take_flags(c, flags);
}

void client_drop(struct shim *s, struct client *c)
{
	struct session *x = c->session;

	(void)s;
	fd_close(&c->fd);
	if (x && x->used && c->feeds)
		session_feed(x, NULL, 0);
	c->session = NULL;
}

bool client_send(struct client *c, char type, const char *p, size_t n)
{
	struct iovec iov[2] = { { &type, 1 }, { (void *)(uintptr_t)p, n } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t sent;

	do
		sent = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent >= 0;
}

static bool is_full(const struct client *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 0;
}

bool client_holds_up(const struct shim *s, const struct session *x)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		const struct client *c = &s->clients[i];

		if (!s->is_stopped && c->fd >= 0 && c->session == x && c->brakes && is_full(c))
			return true;
	}
	return false;
}

void client_output(struct shim *s, const struct session *x, char stream, const char *p, size_t n)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = &s->clients[i];

		if (c->fd >= 0 && c->session == x && c->output && !client_send(c, stream, p, n))
			client_drop(s, c);
	}
}

static void tell(struct shim *s, struct client *c, int code)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d", code);

	(void)!client_send(c, SHIM_EXIT, text, (size_t)n); /* gone is gone */
	c->feeds = false;
	client_drop(s, c);
}

void client_tell_exit(struct shim *s, const struct session *x, int code)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (s->clients[i].fd >= 0 && s->clients[i].session == x)
			tell(s, &s->clients[i], code);
	}
}

void client_tell_end(struct shim *s, int code, bool for_good)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = &s->clients[i];

		if (c->fd >= 0 && (c->waits || (c->stops && for_good)))
			tell(s, c, code);
	}
	if (for_good)
		client_tell_exit(s, &s->sessions[0], code);
}

static void fail(struct shim *s, struct client *c, const struct err *e)
{
	(void)!client_send(c, SHIM_FAILED, e->msg, strlen(e->msg));
	client_drop(s, c);
}

/* --- Requests --- */

static enum err_kind exec_process(struct shim *s, struct client *c, const struct jv *v,
				  struct session *x, struct err *e)
{
	bool with_stdin = jv_is_true(jv_member(v, "stdin"));
	bool detach = jv_is_true(jv_member(v, "detach"));
	char path[PATH_TEXT_MAX];
	struct str file;
	enum err_kind k;

	if (!jv_text(jv_member(v, "file"), &file) || memchr(file.p, '/', file.n) || file.n > 64)
		return err_set(e, ERR_INVALID, __func__, "no process to be run");
	(void)snprintf(path, sizeof(path), "%s/%.*s", s->state_path, STR_FMT(file));
	x->kind = SESSION_EXEC;
	x->terminal = jv_is_true(jv_member(v, "terminal"));
	k = launch_exec(s, x, path, with_stdin, !detach, e);
	if (k != ERR_OK)
		return k;
	c->session = x;
	take_flags(c, with_stdin ? (const char[]){ SHIM_WITH_STDIN, SHIM_WITH_BRAKE, 0 }
				 : (const char[]){ SHIM_WITH_BRAKE, 0 });
	c->output = !detach;
	return ERR_OK;
}

static void begin_exec(struct shim *s, struct client *c, struct str json)
{
	AUTO_JV *v = NULL;
	struct session *x;
	struct err e;
	enum err_kind k = jv_parse_object(json, 16, &v, &e);

	if (k == ERR_OK && s->status.phase != PHASE_RUNNING)
		k = err_set(&e, ERR_INVALID, __func__, "container %s is %s", s->record.name,
			    phase_text(s->status.phase));
	x = k == ERR_OK ? session_free_slot(s) : NULL;
	if (k == ERR_OK && !x)
		k = err_set(&e, ERR_TOO_MANY, __func__, "%d processes are run in it already",
			    SESSIONS_MAX - 1);
	if (k == ERR_OK)
		k = exec_process(s, c, v, x, &e);
	if (k != ERR_OK) {
		if (x)
			session_clear(x);
		fail(s, c, &e);
	}
}

static void answer(struct shim *s, struct client *c, enum err_kind k, const struct err *e)
{
	if (k != ERR_OK) {
		fail(s, c, e);
		return;
	}
	(void)!client_send(c, SHIM_DONE, NULL, 0);
	client_drop(s, c);
}

static void begin_stop(struct shim *s, struct client *c, struct str text)
{
	uint64_t ms = 0;

	(void)scan_u64(&text, STOP_MS_MAX, &ms);
	c->stops = true;
	shim_stop(s, ms);
}

static void send_signal(struct shim *s, struct client *c, struct str text)
{
	struct err e = { 0 };
	uint64_t n = 0;
	enum err_kind k = ERR_OK;

	if (!scan_u64(&text, NSIG - 1, &n) || n == 0)
		k = err_set(&e, ERR_INVALID, __func__, "no such signal");
	else if (s->sessions[0].ended || kill(s->sessions[0].pid, (int)n) < 0)
		k = err_set(&e, ERR_INVALID, __func__, "container %s is not running",
			    s->record.name);
	answer(s, c, k, &e);
}

static void pause_or_resume(struct shim *s, struct client *c, bool pause)
{
	const char *const args[] = { pause ? "pause" : "resume", NULL };
	struct err e;
	enum err_kind k = launch_command(s, args, &e);

	if (k == ERR_OK) {
		s->status.phase = pause ? PHASE_PAUSED : PHASE_RUNNING;
		shim_write_status(s);
	}
	answer(s, c, k, &e);
}

static void begin(struct shim *s, struct client *c, char type, struct str text)
{
	switch (type) {
	case SHIM_ATTACH:
		c->session = &s->sessions[0];
		take_flags(c, text.p);
		return;
	case SHIM_EXEC:
		begin_exec(s, c, text);
		return;
	case SHIM_STOP:
		begin_stop(s, c, text);
		return;
	case SHIM_KILL:
		send_signal(s, c, text);
		return;
	case SHIM_PAUSE:
	case SHIM_RESUME:
		pause_or_resume(s, c, type == SHIM_PAUSE);
		return;
	case SHIM_WAIT:
		c->waits = true;
		return;
	default:
		client_drop(s, c);
	}
}

void client_read(struct shim *s, struct client *c)
{
	static char buf[SHIM_PACKET_MAX + 1];
	ssize_t n = recv(c->fd, buf, SHIM_PACKET_MAX, MSG_DONTWAIT);
	struct str text;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_drop(s, c);
		return;
	}
	buf[n] = '\0';
	text = (struct str){ buf + 1, (size_t)n - 1 };
	if (!c->session && !c->waits && !c->stops)
		begin(s, c, buf[0], text);
	else if (c->session && buf[0] == SHIM_STDIN)
		session_feed(c->session, text.p, text.n);
	else if (c->session && buf[0] == SHIM_SIZE)
		session_resize(c->session, text.p);
}
