#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"

#define QUEUE_BYTES                                                                                \
	(256u * 1024) /* lines waiting for the writer thread; beyond it they are dropped */

static const char *const level_names[LOG_LEVEL_N] = {
	[LOG_ERROR] = "error",
	[LOG_WARN] = "warn",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

static struct {
	struct lock mu;
	pthread_cond_t wake;
	pthread_t writer;
	char *queue;   /* under mu; the writer swaps it for its own buffer */
	size_t n;      /* under mu */
	bool stopping; /* under mu */
	_Atomic bool is_async;
	_Atomic unsigned level;
	_Atomic uint64_t lost;
} log_state = { .level = LOG_INFO };

void log_set_level(enum log_level max)
{
	log_state.level = max;
}

bool log_is_on(enum log_level level)
{
	return level <= log_state.level;
}

bool log_level_parse(enum log_level *ret, struct str in)
{
	for (unsigned i = 0; i < LOG_LEVEL_N; i++) {
		if (str_eq(in, str_of(level_names[i]))) {
			*ret = (enum log_level)i;
			return true;
		}
	}
	return false;
}

/* One byte is kept for the newline, three for the mark of a cut. */
static void put(struct log_line *l, const char *p, size_t n)
{
	size_t room = sizeof(l->s) - 4 - l->n;

	if (l->n > sizeof(l->s) - 4)
		return;
	if (n > room) {
		memcpy(l->s + l->n, p, room);
		memcpy(l->s + l->n + room, "~\"", 2);
		l->n = sizeof(l->s) - 2;
		return;
	}
	memcpy(l->s + l->n, p, n);
	l->n += n;
}

static void put_z(struct log_line *l, const char *z)
{
	put(l, z, strlen(z));
}

static bool is_plain(struct str v)
{
	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
			return false;
	}
	return v.n > 0;
}

static void put_quoted(struct log_line *l, struct str v)
{
	char esc[5] = "\\x00";
	size_t from = 0;

	put(l, "\"", 1);
	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c >= ' ' && c < 0x7f && c != '"' && c != '\\')
			continue;
		put(l, v.p + from, i - from);
		hex_lower(&c, 1, esc + 2);
		put(l, esc, 4);
		from = i + 1;
	}
	put(l, v.p + from, v.n - from);
	put(l, "\"", 1);
}

void log_begin(struct log_line *l, enum log_level level, const char *event)
{
	char ts[TIME_TEXT_MAX];

	l->level = level;
	l->n = 0;
	put_z(l, "ts=");
	put_z(l, time_text(wall_ms(), ts));
	put_z(l, " level=");
	put_z(l, level_names[level]);
	put_z(l, " ev=");
	put_z(l, event);
}

void log_str(struct log_line *l, const char *key, struct str value)
{
	put(l, " ", 1);
	put_z(l, key);
	put(l, "=", 1);
	if (is_plain(value))
		put(l, value.p, value.n);
	else
		put_quoted(l, value);
}

void log_num(struct log_line *l, const char *key, uint64_t value)
{
	char text[24];
	size_t i = sizeof(text);

	do
		text[--i] = (char)('0' + value % 10);
	while (value /= 10);
	put(l, " ", 1);
	put_z(l, key);
	put(l, "=", 1);
	put(l, text + i, sizeof(text) - i);
}

static void write_out(const char *p, size_t n)
{
	while (n) {
		ssize_t r = write(STDERR_FILENO, p, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0) {
			log_state.lost++;
			return;
		}
		p += r;
		n -= (size_t)r;
	}
}

void log_end(struct log_line *l)
{
	if (!log_is_on(l->level))
		return;
	l->s[l->n++] = '\n';
	if (!log_state.is_async) {
		write_out(l->s, l->n);
		return;
	}
	lock_get(&log_state.mu);
	if (l->n > QUEUE_BYTES - log_state.n) {
		log_state.lost++;
	} else {
		memcpy(log_state.queue + log_state.n, l->s, l->n);
		if (log_state.n == 0)
			(void)pthread_cond_signal(&log_state.wake);
		log_state.n += l->n;
	}
	lock_put(&log_state.mu);
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
	struct log_line l;
	char msg[512];
	va_list ap;

	if (!log_is_on(level))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	log_begin(&l, level, event);
	log_str(&l, "msg", str_of(msg));
	log_end(&l);
}

static void *writer_main(void *spare)
{
	char *mine = spare;

	for (;;) {
		size_t n;
		char *full;
		bool stop;

		lock_get(&log_state.mu);
		while (log_state.n == 0 && !log_state.stopping)
			(void)lock_wait(&log_state.mu, &log_state.wake, 0);
		full = log_state.queue;
		n = log_state.n;
		log_state.queue = mine;
		log_state.n = 0;
		stop = log_state.stopping;
		lock_put(&log_state.mu);
		write_out(full, n);
		mine = full;
		if (stop)
			break;
	}
	free(mine);
	return NULL;
}

bool log_start(void)
{
	char *spare = malloc(QUEUE_BYTES);

	log_state.queue = malloc(QUEUE_BYTES);
	log_state.n = 0;
	log_state.stopping = false;
	lock_init(&log_state.mu, LOCK_LOG);
	cond_init(&log_state.wake);
	if (!spare || !log_state.queue ||
	    pthread_create(&log_state.writer, NULL, writer_main, spare) != 0) {
		free(spare);
		free(TAKE(log_state.queue));
		return false;
	}
	log_state.is_async = true;
	return true;
}

void log_stop(void)
{
	if (!log_state.is_async)
		return;
	log_state.is_async = false; /* later lines are written at once */
	lock_get(&log_state.mu);
	log_state.stopping = true;
	(void)pthread_cond_signal(&log_state.wake);
	lock_put(&log_state.mu);
	(void)pthread_join(log_state.writer, NULL);
	free(TAKE(log_state.queue));
}

uint64_t log_lost(void)
{
	return log_state.lost;
}
