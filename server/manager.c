#include "server/manager.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

#define FIRST_SOCKET 3 /* where those that are passed begin */
#define SOCKETS_MAX 64
#define LOOKS 4
#define MESSAGE_MAX 512

/* The number, if the variable is there and is one. */
static bool read_number(const char *name, uint64_t max, uint64_t *ret)
{
	const char *text = getenv(name); /* NOLINT(concurrency-mt-unsafe): no thread runs yet */
	struct str in = str_of(text);

	return text && scan_u64(&in, max, ret) && scan_end(&in);
}

/* The variables may be left over from a process that started us in turn. */
static bool is_for_us(const char *name, bool if_absent)
{
	uint64_t pid;

	if (!getenv(name)) /* NOLINT(concurrency-mt-unsafe): no thread runs yet */
		return if_absent;
	return read_number(name, INT32_MAX, &pid) && (pid_t)pid == getpid();
}

/* A path, or a name without one that begins with @. */
static bool find_address(struct manager *m)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread runs yet */
	struct str name = str_of(getenv("NOTIFY_SOCKET"));

	if (name.n < 2 || name.n >= sizeof(m->to.sun_path) ||
	    (name.p[0] != '/' && name.p[0] != '@'))
		return false;
	m->to.sun_family = AF_UNIX;
	memcpy(m->to.sun_path, name.p, name.n);
	if (name.p[0] == '@')
		m->to.sun_path[0] = '\0';
	m->to_n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + name.n + (name.p[0] == '/'));
	return true;
}

void manager_find(struct manager *m)
{
	const struct timeval second = { .tv_sec = 1 };
	uint64_t us;

	*m = (struct manager){ .fd = -1 };
	if (!find_address(m))
		return;
	m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (m->fd < 0)
		return;
	(void)setsockopt(m->fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof(second));
	if (is_for_us("WATCHDOG_PID", true) && read_number("WATCHDOG_USEC", INT64_MAX, &us) && us)
		m->look_every_ms = us / 1000 / LOOKS + 1;
	m->looked_mono_ms = mono_ms();
}

void manager_clear(struct manager *m)
{
	fd_close(&m->fd);
}

/* --- sockets --- */

static enum err_kind take_socket(int fd, struct str name, int *ret_fd, int *ret_watch_fd,
				 struct err *e)
{
	bool is_metrics = str_eq(name, STR(MANAGER_METRICS));
	int *to = is_metrics ? ret_watch_fd : ret_fd;

	if (*to >= 0)
		return err_set(e, ERR_INVALID, __func__,
			       "the service manager passed several sockets %s: one is taken, and "
			       "one of the name \"" MANAGER_METRICS "\"",
			       is_metrics ? "for metrics" : "to serve on");
	*to = fd;
	return ERR_OK;
}

enum err_kind manager_take_sockets(int *ret_fd, int *ret_watch_fd, struct err *e)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread runs yet */
	struct str names = str_of(getenv("LISTEN_FDNAMES")), name;
	enum err_kind k = ERR_OK;
	uint64_t n = 0;

	*ret_fd = *ret_watch_fd = -1;
	if (!is_for_us("LISTEN_PID", false) || !read_number("LISTEN_FDS", SOCKETS_MAX, &n))
		return ERR_OK;
	for (int i = 0; i < (int)n && k == ERR_OK; i++) {
		(void)str_cut(names, ':', &name, &names);
		k = take_socket(FIRST_SOCKET + i, name, ret_fd, ret_watch_fd, e);
	}
	return k;
}

/* --- what it is told --- */

/* Lines are assignments, so a text must not begin one. */
static void one_line(const char *text, char *buf, size_t cap)
{
	size_t i;

	for (i = 0; text[i] && i + 1 < cap; i++)
		buf[i] = (char)((unsigned char)text[i] < ' ' ? ' ' : text[i]);
	buf[i] = '\0';
}

static void tell(struct manager *m, const char *fmt, ...) PRINTF(2, 3);
static void tell(struct manager *m, const char *fmt, ...)
{
	char text[MESSAGE_MAX];
	va_list ap;
	int n;

	if (m->fd < 0)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n <= 0 || (size_t)n >= sizeof(text))
		return;
	while (sendto(m->fd, text, (size_t)n, MSG_NOSIGNAL, (const struct sockaddr *)&m->to,
		      m->to_n) < 0 &&
	       errno == EINTR)
		;
}

void manager_ready(struct manager *m, const char *status)
{
	one_line(status, m->status, sizeof(m->status));
	manager_reloaded(m);
}

void manager_reloaded(struct manager *m)
{
	tell(m, "READY=1\nSTATUS=%s\n", m->status);
}

void manager_reloading(struct manager *m)
{
	tell(
	    m,
	    "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reading options, accounts and certificates\n",
	    (unsigned long long)mono_us());
}

void manager_stopping(struct manager *m, const char *status)
{
	char line[MANAGER_STATUS_MAX];

	one_line(status, line, sizeof(line));
	tell(m, "STOPPING=1\nSTATUS=%s\n", line);
}

bool manager_look_is_due(struct manager *m)
{
	uint64_t now = mono_ms();

	if (m->fd < 0 || !m->look_every_ms || now - m->looked_mono_ms < m->look_every_ms)
		return false;
	m->looked_mono_ms = now;
	return true;
}

void manager_alive(struct manager *m)
{
	tell(m, "WATCHDOG=1\n");
}
