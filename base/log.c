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
	bool is_ready; /* mu and wake are made */
	char *queue;   /* under mu; the writer swaps it for its own buffer, NULL without a writer */
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

/* Kept free at the end: two bytes that mark a cut, and the newline. */
#define RESERVED 3

static size_t room(const struct log_line *l)
{
	return l->cut ? 0 : sizeof(l->s) - RESERVED - l->n;
}

static void cut(struct log_line *l, const char mark[static 2])
{
	memcpy(l->s + l->n, mark, 2);
	l->n += 2;
	l->cut = true;
}

/* The caller looked for room. */
static void put(struct log_line *l, const char *p, size_t n)
{
	memcpy(l->s + l->n, p, n);
	l->n += n;
}

static void put_z(struct log_line *l, const char *z)
{
	put(l, z, strlen(z));
}

/* False, and the line ends here, unless n bytes of value fit behind the key. */
static bool put_key(struct log_line *l, const char *key, size_t n)
{
	size_t n_key = strlen(key);

	if (l->cut)
		return false;
	if (n_key + 2 + n > room(l)) {
		cut(l, " ~");
		return false;
	}
	put(l, " ", 1);
	put(l, key, n_key);
	put(l, "=", 1);
	return true;
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

/* A byte as it stands between quotes; buf has room for an escape. */
static size_t quoted_byte(unsigned char c, char buf[static 4])
{
	buf[0] = (char)c;
	if (c >= ' ' && c < 0x7f && c != '"' && c != '\\')
		return 1;
	memcpy(buf, "\\x", 2);
	hex_lower(&c, 1, buf + 2);
	return 4;
}

/* As much as fits, in whole escapes. */
static void put_quoted(struct log_line *l, struct str v)
{
	char one[4];

	put(l, "\"", 1);
	for (size_t i = 0; i < v.n; i++) {
		size_t n = quoted_byte((unsigned char)v.p[i], one);

		if (n > room(l)) {
			cut(l, "~\"");
			return;
		}
		put(l, one, n);
	}
	if (room(l))
		put(l, "\"", 1);
	else
		cut(l, "~\""); /* nothing is missing, but the mark has the quote */
}

void log_begin(struct log_line *l, enum log_level level, const char *event)
{
	char ts[TIME_TEXT_MAX];

	l->level = level;
	l->n = 0;
	l->always = false;
	l->cut = false;
	put_z(l, "ts=");
	put_z(l, time_text(wall_ms(), ts));
	put_z(l, " level=");
	put_z(l, level_names[level]);
	put_z(l, " ev=");
	put_z(l, event);
}

void log_str(struct log_line *l, const char *key, struct str value)
{
	bool plain = is_plain(value);

	if (!put_key(l, key, 1))
		return;
	if (plain && value.n <= room(l))
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
	if (put_key(l, key, sizeof(text) - i))
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
	bool gone;

	if (!l->always && !log_is_on(l->level))
		return;
	l->s[l->n++] = '\n';
	if (!log_state.is_async) {
		write_out(l->s, l->n);
		return;
	}
	lock_get(&log_state.mu);
	gone = !log_state.queue;
	if (gone) {
		/* the writer ended since we looked */
	} else if (l->n > QUEUE_BYTES - log_state.n) {
		log_state.lost++;
	} else {
		memcpy(log_state.queue + log_state.n, l->s, l->n);
		if (log_state.n == 0)
			(void)pthread_cond_signal(&log_state.wake);
		log_state.n += l->n;
	}
	lock_put(&log_state.mu);
	if (gone)
		write_out(l->s, l->n);
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
	struct log_line l;
	char msg
	    [LOG_LINE_MAX]; /* what does not fit in it does not fit in the line, and is marked there */
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

/* Swaps buffers under the lock and writes without it; at the end takes the queue away for good. */
static void *writer_main(void *spare)
{
	char *mine = spare;
	bool stop;

	do {
		char *full;
		size_t n;

		lock_get(&log_state.mu);
		while (log_state.n == 0 && !log_state.stopping)
			(void)lock_wait(&log_state.mu, &log_state.wake, 0);
		stop = log_state.stopping;
		full = log_state.queue;
		n = log_state.n;
		log_state.queue = stop ? NULL : mine;
		log_state.n = 0;
		lock_put(&log_state.mu);
		write_out(full, n);
		if (stop)
			free(mine);
		mine = full;
	} while (!stop);
	free(mine);
	return NULL;
}

bool log_start(void)
{
	char *spare = malloc(QUEUE_BYTES), *queue = malloc(QUEUE_BYTES);

	if (!log_state
		 .is_ready) { /* once: a late line may still hold the lock when the log starts again */
		lock_init(&log_state.mu, LOCK_LOG);
		cond_init(&log_state.wake);
		log_state.is_ready = true;
	}
	lock_get(&log_state.mu);
	log_state.queue = queue;
	log_state.n = 0;
	log_state.stopping = false;
	lock_put(&log_state.mu);
	log_state.is_async =
	    spare && queue && pthread_create(&log_state.writer, NULL, writer_main, spare) == 0;
	if (!log_state.is_async) {
		free(spare);
		free(TAKE(log_state.queue));
	}
	return log_state.is_async;
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
}

uint64_t log_lost(void)
{
	return log_state.lost;
}
