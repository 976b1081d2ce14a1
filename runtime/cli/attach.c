#include "runtime/cli/attach.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>

#define KEY_P 0x10 /* ctrl-p, then ctrl-q: leave */
#define KEY_Q 0x11

struct loop {
	struct attach *a;
	int signals;
	bool stdin_open;
	bool after_key_p;
	char pending[SHIM_PACKET_MAX]; /* with its first byte */
	size_t pending_n;
	enum attach_end end;
	int code;
	bool over;
};

/* --- Terminal --- */

static struct termios saved;

static bool make_raw(void)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return false;
	raw = saved;
	cfmakeraw(&raw);
	return tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

static void send_size(const struct loop *l)
{
	struct winsize size;
	char text[32];
	struct err ignored;

	if (!l->a->terminal || ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0)
		return;
	(void)snprintf(text, sizeof(text), "%u %u", size.ws_row, size.ws_col);
	(void)!ctl_send(l->a->fd, SHIM_SIZE, text, strlen(text), &ignored);
}

/* --- Signals --- */

static enum err_kind take_signals(struct loop *l, struct err *e)
{
	static const int passed[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGWINCH);
	for (size_t i = 0; l->a->pass_signals && i < ARRAY_LEN(passed); i++)
		(void)sigaddset(&set, passed[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_sys(e, __func__, "block signals");
	l->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return l->signals < 0 ? err_sys(e, __func__, "take signals") : ERR_OK;
}

static void pass_signal(struct loop *l)
{
	struct signalfd_siginfo info;
	char text[16];
	struct err ignored;

	if (read(l->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH) {
		send_size(l);
		return;
	}
	(void)snprintf(text, sizeof(text), "%u", info.ssi_signo);
	(void)!ctl_ask(l->a->t, l->a->c, SHIM_KILL, text, NULL,
		       &ignored); /* it may just have ended */
}

/* --- Streams --- */

static void write_out(int fd, const char *p, size_t n)
{
	struct err ignored;

	(void)!fd_write_all(fd, p, n, "output", &ignored); /* whoever reads it may have gone */
}

static enum err_kind take_packet(struct loop *l, struct err *e)
{
	static char buf[SHIM_PACKET_MAX + 1];
	ssize_t n = recv(l->a->fd, buf, SHIM_PACKET_MAX, 0);
	struct str text;
	uint64_t code = 0;

	if (n < 0 && errno == EINTR)
		return ERR_OK;
	if (n <= 0) {
		l->end = ATTACH_LOST;
		l->over = true;
		return ERR_OK;
	}
	buf[n] = '\0';
	text = (struct str){ buf + 1, (size_t)n - 1 };
	switch (buf[0]) {
	case SHIM_STDOUT:
		write_out(STDOUT_FILENO, text.p, text.n);
		return ERR_OK;
	case SHIM_STDERR:
		write_out(STDERR_FILENO, text.p, text.n);
		return ERR_OK;
	case SHIM_EXIT:
		(void)scan_u64(&text, 255, &code);
		l->code = (int)code;
		l->end = ATTACH_EXIT;
		l->over = true;
		return ERR_OK;
	case SHIM_FAILED:
		return err_set(e, ERR_IO, __func__, "%s", text.p);
	default:
		return ERR_OK;
	}
}

static bool wants_to_leave(struct loop *l, const char *p, size_t n)
{
	for (size_t i = 0; l->a->terminal && i < n; i++) {
		if (l->after_key_p && p[i] == KEY_Q)
			return true;
		l->after_key_p = p[i] == KEY_P;
	}
	return false;
}

static void send_pending(struct loop *l)
{
	ssize_t n = send(l->a->fd, l->pending, l->pending_n, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	l->pending_n = 0; /* sent, or nobody is there: that shows when reading */
}

static void take_input(struct loop *l)
{
	ssize_t n = read(STDIN_FILENO, l->pending + 1, sizeof(l->pending) - 1);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		n = 0;
		l->stdin_open = false;
	}
	if (wants_to_leave(l, l->pending + 1, (size_t)n)) {
		l->end = ATTACH_LEFT;
		l->over = true;
		return;
	}
	l->pending[0] = SHIM_STDIN;
	l->pending_n = 1 + (size_t)n;
	send_pending(l);
}

static enum err_kind turn(struct loop *l, struct err *e)
{
	struct pollfd p[3] = {
		{ .fd = l->a->fd, .events = (short)(POLLIN | (l->pending_n ? POLLOUT : 0)) },
		{ .fd = l->signals, .events = POLLIN },
		{ .fd = l->stdin_open && !l->pending_n ? STDIN_FILENO : -1, .events = POLLIN },
	};

	if (poll(p, ARRAY_LEN(p), -1) < 0)
		return errno == EINTR ? ERR_OK : err_sys(e, __func__, "wait");
	if (p[1].revents)
		pass_signal(l);
	if (l->pending_n && (p[0].revents & POLLOUT))
		send_pending(l);
	if (p[2].revents)
		take_input(l);
	return !l->over && (p[0].revents & ~POLLOUT) ? take_packet(l, e) : ERR_OK;
}

enum err_kind attach_run(struct attach *a, enum attach_end *ret, int *ret_code, struct err *e)
{
	struct loop *l = calloc(1, sizeof(*l));
	bool raw = false;
	enum err_kind k;

	if (!l)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to attach");
	l->a = a;
	l->stdin_open = a->with_stdin;
	k = take_signals(l, e);
	if (k == ERR_OK && a->terminal) {
		raw = make_raw();
		send_size(l);
	}
	while (k == ERR_OK && !l->over)
		k = turn(l, e);
	if (raw)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
	fd_close(&l->signals);
	*ret = l->end;
	*ret_code = l->code;
	free(l);
	return k;
}
