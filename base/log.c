#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>
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
	_Atomic unsigned level, format;
	_Atomic unsigned modules[LOG_MODULE_N]; /* one more than the level; 0: level's */
	_Atomic bool has_priority;
	_Atomic uint64_t lost;
} log_state = { .level = LOG_INFO };

void log_set_level(enum log_level max)
{
	log_state.level = max;
}

void log_set_module(enum log_module m, enum log_level max)
{
	log_state.modules[m] = max == LOG_LEVEL_N ? 0 : max + 1;
}

void log_set_format(enum log_format f)
{
	log_state.format = f;
}

/* DEVICE:INODE of the stream, as the service manager says. */
static bool is_journal(const char *text)
{
	struct str in = str_of(text);
	struct stat s;
	uint64_t device, inode;

	return scan_u64(&in, UINT64_MAX, &device) && scan_char(&in, ':') &&
	       scan_u64(&in, UINT64_MAX, &inode) && scan_end(&in) &&
	       fstat(STDERR_FILENO, &s) == 0 && s.st_dev == device && s.st_ino == inode;
}

void log_find_journal(void)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread runs yet */
	const char *text = getenv("JOURNAL_STREAM");

	log_state.has_priority = text && is_journal(text);
}

bool log_is_on(enum log_level level)
{
	bool on = level <= log_state.level;

	for (size_t i = 0; i < LOG_MODULE_N && !on; i++)
		on = level < log_state.modules[i];
	return on;
}

/* By the event's name up to a dot. */
static bool is_wanted(enum log_level level, const char *event)
{
#define X(id, name) STR(#name),
	static const struct str names[LOG_MODULE_N] = { LOG_MODULES(X) };
#undef X
	struct str module = { event, strcspn(event, ".") };

	for (size_t i = 0; i < LOG_MODULE_N; i++) {
		unsigned own = log_state.modules[i];

		if (own && str_eq(module, names[i]))
			return level < own;
	}
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

/* Kept free at the end: two bytes that mark a cut, and the newline; in JSON a quote, a member and the end. */
#define RESERVED 3
#define CUT_JSON ",\"cut\":true"
#define RESERVED_JSON (1 + sizeof(CUT_JSON) + 1)

static size_t room(const struct log_line *l)
{
	return l->cut ? 0 : sizeof(l->s) - (l->json ? RESERVED_JSON : RESERVED) - l->n;
}

static void cut(struct log_line *l, const char mark[static 2])
{
	memcpy(l->s + l->n, mark, 2);
	l->n += 2;
	l->cut = true;
}

static void cut_json(struct log_line *l, bool in_text)
{
	size_t n = sizeof(CUT_JSON) - 1;

	if (in_text)
		l->s[l->n++] = '"';
	memcpy(l->s + l->n, CUT_JSON, n);
	l->n += n;
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

	if (l->cut || l->off)
		return false;
	if (n_key + (l->json ? 4 : 2) + n > room(l)) {
		if (l->json)
			cut_json(l, false);
		else
			cut(l, " ~");
		return false;
	}
	if (l->json) {
		put_z(l, ",\"");
		put(l, key, n_key);
		put_z(l, "\":");
		return true;
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

/* The code point of a well-formed sequence of n bytes. */
static uint32_t code_point(const char *p, size_t n)
{
	static const unsigned char head[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t c = (unsigned char)p[0] & head[n];

	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)p[i] & 0x3f);
	return c;
}

/* ASCII only, so that no terminal and no reader sees anything else in it; what is no UTF-8 is U+FFFD. */
static size_t json_char(struct str in, size_t *ret_took, char buf[static 16])
{
	size_t n = utf8_len(in);
	uint32_t c = n ? code_point(in.p, n) : 0xfffd;

	*ret_took = n ? n : 1;
	if (c >= ' ' && c < 0x7f && c != '"' && c != '\\') {
		buf[0] = (char)c;
		return 1;
	}
	if (c < 0x10000)
		return (size_t)snprintf(buf, 16, "\\u%04x", (unsigned)c);
	c -= 0x10000;
	return (size_t)snprintf(buf, 16, "\\u%04x\\u%04x", (unsigned)(0xd800 + (c >> 10)),
				(unsigned)(0xdc00 + (c & 0x3ff)));
}

/* After its quote. */
static void put_json(struct log_line *l, struct str v)
{
	char one[16];

	put(l, "\"", 1);
	while (v.n) {
		size_t took, n = json_char(v, &took, one);

		if (n > room(l)) {
			cut_json(l, true);
			return;
		}
		put(l, one, n);
		v = (struct str){ v.p + took, v.n - took };
	}
	if (room(l))
		put(l, "\"", 1);
	else
		cut_json(l, true); /* nothing is missing, but the mark has the quote */
}

static void begin_json(struct log_line *l, const char *ts, const char *event)
{
	put_z(l, "{\"ts\":\"");
	put_z(l, ts);
	put_z(l, "\",\"level\":\"");
	put_z(l, level_names[l->level]);
	put_z(l, "\",\"ev\":\"");
	put_z(l, event);
	put_z(l, "\"");
}

/* sd-daemon(3) */
static void put_priority(struct log_line *l)
{
	static const char *const priorities[LOG_LEVEL_N] = {
		[LOG_ERROR] = "<3>", [LOG_WARN] = "<4>", [LOG_INFO] = "<6>", [LOG_DEBUG] = "<7>"
	};

	put_z(l, priorities[l->level]);
}

static void begin(struct log_line *l, enum log_level level, const char *event, bool wanted)
{
	char ts[TIME_TEXT_MAX];

	l->level = level;
	l->n = 0;
	l->cut = false;
	l->json = log_state.format == LOG_JSON;
	l->off = !wanted;
	if (l->off)
		return;
	(void)time_text(wall_ms(), ts);
	if (log_state.has_priority)
		put_priority(l);
	if (l->json) {
		begin_json(l, ts, event);
		return;
	}
	put_z(l, "ts=");
	put_z(l, ts);
	put_z(l, " level=");
	put_z(l, level_names[level]);
	put_z(l, " ev=");
	put_z(l, event);
}

void log_begin(struct log_line *l, enum log_level level, const char *event)
{
	begin(l, level, event, is_wanted(level, event));
}

void log_begin_always(struct log_line *l, enum log_level level, const char *event)
{
	begin(l, level, event, true);
}

void log_str(struct log_line *l, const char *key, struct str value)
{
	bool plain = !l->json && is_plain(value);

	if (!put_key(l, key, 1))
		return;
	if (l->json)
		put_json(l, value);
	else if (plain && value.n <= room(l))
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

	if (l->off)
		return;
	if (l->json)
		l->s[l->n++] = '}';
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
