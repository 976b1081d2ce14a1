#include "runtime/oci/cli/foreground.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>

#include "base/fd.h"
#include "runtime/oci/init/sync.h"

#define CHUNK 16384

/* Bytes on their way from one descriptor to another, so that neither side can hold up the other. */
struct flow {
	int from, to; /* -1: has ended */
	size_t n, at;
	char buf[CHUNK];
};

struct foreground {
	pid_t pid;
	int signals;
	int master;
	struct flow in, out;
	struct termios saved;
	bool is_raw;
	bool has_ended;
	int status;
};

enum err_kind foreground_begin(struct err *e)
{
	sigset_t all;

	(void)sigfillset(&all);
	/* What our own mistakes raise must not wait. */
	(void)sigdelset(&all, SIGSEGV);
	(void)sigdelset(&all, SIGBUS);
	(void)sigdelset(&all, SIGILL);
	(void)sigdelset(&all, SIGFPE);
	(void)sigdelset(&all, SIGABRT);
	if (sigprocmask(SIG_BLOCK, &all, NULL) < 0)
		return err_sys(e, __func__, "block signals");
	return ERR_OK;
}

enum err_kind foreground_console(int *ret_runtime, int *ret_own, struct err *e)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, __func__, "socketpair");
	*ret_runtime = pair[0];
	*ret_own = pair[1];
	return ERR_OK;
}

static void copy_size(struct foreground *f)
{
	struct winsize size;

	if (f->master >= 0 && ioctl(0, TIOCGWINSZ, &size) == 0)
		(void)ioctl(f->master, TIOCSWINSZ, &size);
}

static enum err_kind begin_terminal(struct foreground *f, int console, struct err *e)
{
	struct termios raw;
	int fd = sync_receive_fd(console);

	if (fd < 0) {
		errno = -fd;
		return err_sys(e, __func__, "receive the terminal");
	}
	f->master = fd;
	f->in.to = f->out.from = fd;
	f->in.from = 0;
	f->out.to = 1;
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	if (tcgetattr(0, &f->saved) < 0)
		return ERR_OK; /* input is a file or a pipe */
	raw = f->saved;
	cfmakeraw(&raw);
	f->is_raw = tcsetattr(0, TCSANOW, &raw) == 0;
	copy_size(f);
	return ERR_OK;
}

static void end(struct foreground *f)
{
	if (f->is_raw)
		(void)tcsetattr(0, TCSANOW, &f->saved);
	fd_close(&f->signals);
	fd_close(&f->master);
}

/* With all that end since: the runtime is the reaper of what the container's processes leave. */
static void reap(struct foreground *f)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != f->pid)
			continue;
		f->has_ended = true;
		f->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
}

static void take_signals(struct foreground *f)
{
	struct signalfd_siginfo info;

	while (read(f->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		int sig = (int)info.ssi_signo;

		if (sig == SIGCHLD)
			reap(f);
		else if (sig == SIGWINCH)
			copy_size(f);
		else if (sig != SIGPIPE && sig != SIGURG && !f->has_ended)
			(void)kill(f->pid, sig); /* our child, not reaped: the number is its */
	}
}

static void read_flow(struct flow *w)
{
	ssize_t n = read(w->from, w->buf, sizeof(w->buf));

	if (n > 0) {
		w->n = (size_t)n;
		w->at = 0;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		w->from = -1; /* EIO: the last one let go of the terminal */
	}
}

static void write_flow(struct flow *w)
{
	ssize_t n = write(w->to, w->buf + w->at, w->n - w->at);

	if (n > 0)
		w->at += (size_t)n;
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		w->from = w->to = -1;
	if (w->at >= w->n || w->to < 0)
		w->n = w->at = 0;
}

static struct pollfd want(const struct flow *w)
{
	if (w->n)
		return (struct pollfd){ .fd = w->to, .events = POLLOUT };
	return (struct pollfd){ .fd = w->from, .events = POLLIN };
}

static void advance(struct flow *w, const struct pollfd *p)
{
	if (!p->revents || p->fd < 0)
		return;
	if (w->n)
		write_flow(w);
	else
		read_flow(w);
}

static bool is_done(const struct foreground *f)
{
	return f->has_ended && f->out.from < 0 && f->out.n == 0;
}

static enum err_kind loop(struct foreground *f, struct err *e)
{
	reap(f); /* it may have ended before there was a signalfd */
	while (!is_done(f)) {
		struct pollfd p[] = { { .fd = f->signals, .events = POLLIN },
				      want(&f->in),
				      want(&f->out) };
		/* With the process gone only what is still in the terminal is waited for. */
		int timeout = f->has_ended ? 100 : -1;
		int n = poll(p, ARRAY_LEN(p), timeout);

		if (n < 0 && errno != EINTR)
			return err_sys(e, __func__, "poll");
		if (n == 0 && f->has_ended)
			return ERR_OK; /* others hold the terminal */
		take_signals(f);
		advance(&f->in, &p[1]);
		advance(&f->out, &p[2]);
	}
	return ERR_OK;
}

enum err_kind foreground_wait(pid_t pid, int console, int *ret, struct err *e)
{
	struct foreground f = { .pid = pid,
				.signals = -1,
				.master = -1,
				.in = { .from = -1, .to = -1 },
				.out = { .from = -1, .to = -1 } };
	sigset_t all;
	enum err_kind k = ERR_OK;

	(void)sigfillset(&all);
	f.signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (f.signals < 0)
		return err_sys(e, __func__, "signalfd");
	if (console >= 0)
		k = begin_terminal(&f, console, e);
	if (k == ERR_OK)
		k = loop(&f, e);
	end(&f);
	*ret = f.status;
	return k;
}
