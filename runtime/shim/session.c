/* Input and output of a process. */
#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "runtime/shim/shim.h"

#define READ_BYTES 8192

void session_clear(struct session *x)
{
	if (!x->used)
		return;
	fd_close(&x->in);
	fd_close(&x->out);
	fd_close(&x->err);
	fd_close(&x->console);
	free(x->pending);
	*x = (struct session){ .in = -1, .out = -1, .err = -1, .console = -1 };
}

struct session *session_free_slot(struct shim *s)
{
	for (size_t i = 1; i < SESSIONS_MAX; i++) {
		struct session *x = &s->sessions[i];

		if (x->used)
			continue;
		*x =
		    (struct session){ .used = true, .in = -1, .out = -1, .err = -1, .console = -1 };
		(void)snprintf(x->name, sizeof(x->name), "exec%u", ++s->execs);
		return x;
	}
	return NULL;
}

bool session_pump(struct shim *s, struct session *x, int *fd, char stream)
{
	char buf[READ_BYTES];
	ssize_t n = read(*fd, buf, sizeof(buf));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0) { /* EIO: nobody has the terminal open any more */
		fd_close(fd);
		return true;
	}
	if (x->kind == SESSION_INIT)
		log_write(&s->log, stream - '0', buf, (size_t)n);
	client_output(s, x, stream, buf, (size_t)n);
	return false;
}

static bool pump_all(struct shim *s, struct session *x, int *fd, char stream)
{
	while (*fd >= 0) {
		if (client_holds_up(s, x))
			return false;
		if (session_pump(s, x, fd, stream))
			return true;
	}
	return true;
}

/* What keeps a pipe open after the end of its process is not waited for. */
bool session_drain(struct shim *s, struct session *x)
{
	if (!pump_all(s, x, &x->out, SHIM_STDOUT) || !pump_all(s, x, &x->err, SHIM_STDERR))
		return false;
	fd_close(&x->out);
	fd_close(&x->err);
	fd_close(&x->in);
	return true;
}

/* A terminal's input goes where its output comes from. */
static int *input_of(struct session *x)
{
	return x->terminal ? &x->out : &x->in;
}

void session_flush(struct session *x)
{
	int *to = input_of(x);

	while (*to >= 0 && x->pending_n > 0) {
		ssize_t n = write(*to, x->pending + x->pending_at, x->pending_n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) { /* it reads no more */
			x->pending_n = 0;
			break;
		}
		x->pending_at += (size_t)n;
		x->pending_n -= (size_t)n;
	}
	if (x->pending_n == 0 && x->in_is_ending)
		fd_close(&x->in);
}

/* The caller sees to it that nothing is pending; no bytes are the end. */
void session_feed(struct session *x, const char *p, size_t n)
{
	if (n == 0) {
		x->in_is_ending = true;
	} else if (*input_of(x) >= 0 && n <= STDIN_PENDING_MAX) {
		if (!x->pending)
			x->pending = malloc(STDIN_PENDING_MAX);
		if (!x->pending)
			return;
		memcpy(x->pending, p, n);
		x->pending_at = 0;
		x->pending_n = n;
	}
	session_flush(x);
}

void session_resize(const struct session *x, const char *text)
{
	struct winsize size = { 0 };
	struct str in = str_of(text);
	uint64_t rows, columns;

	if (!x->terminal || x->out < 0 || !scan_u64(&in, UINT16_MAX, &rows) ||
	    !scan_char(&in, ' ') || !scan_u64(&in, UINT16_MAX, &columns))
		return;
	size.ws_row = (unsigned short)rows;
	size.ws_col = (unsigned short)columns;
	(void)ioctl(x->out, TIOCSWINSZ, &size); /* it may just be ending */
}
