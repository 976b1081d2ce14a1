#include "runtime/shim/log.h"

#include <time.h>

#include "base/fd.h"

#define ENTRY_MAX (128u * 1024)
#define TIME_MAX sizeof("2026-01-01T00:00:00.000000000+00:00")
#define FILES_MAX 1000

enum err_kind log_open(struct log *l, int dir, const struct record *r, struct err *e)
{
	struct stat s;
	enum err_kind k;

	*l = (struct log){ .dir = dir,
			   .fd = -1,
			   .format = r->log_format,
			   .bytes_max = r->log_bytes_max,
			   .files_max = r->log_files_max };
	if (l->format == LOG_NONE)
		return ERR_OK;
	k = fd_open_at(dir, LOG_FILE, O_WRONLY | O_APPEND | O_CREAT, 0600, &l->fd, e);
	if (k == ERR_OK && fstat(l->fd, &s) == 0)
		l->bytes = (uint64_t)s.st_size;
	return k;
}

void log_close(struct log *l)
{
	fd_close(&l->fd);
}

static void name_of(char *buf, size_t cap, uint64_t i)
{
	(void)snprintf(buf, cap, i ? LOG_FILE ".%llu" : LOG_FILE, (unsigned long long)i);
}

/* Where this fails the file grows on: that is told by its size. */
static void rotate(struct log *l)
{
	char from[32], to[32];
	struct err ignored;
	int fd = -1;

	for (uint64_t i = MIN(l->files_max, (uint64_t)FILES_MAX) - 1; i > 0; i--) {
		name_of(from, sizeof(from), i - 1);
		name_of(to, sizeof(to), i);
		(void)sys_renameat(l->dir, from, l->dir, to);
	}
	if (fd_open_at(l->dir, LOG_FILE, O_WRONLY | O_APPEND | O_CREAT | O_TRUNC, 0600, &fd,
		       &ignored) != ERR_OK)
		return;
	fd_close(&l->fd);
	l->fd = fd;
	l->bytes = 0;
}

static const char *time_now(const char *zone, char buf[static TIME_MAX])
{
	struct timespec t;
	struct tm tm;
	size_t n;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	(void)gmtime_r(&t.tv_sec, &tm);
	n = strftime(buf, TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(buf + n, TIME_MAX - n, ".%09ld%s", t.tv_nsec, zone);
	return buf;
}

/* What is no UTF-8 shows as U+FFFD, as docker has it. */
static void add_json_text(struct sbuf *b, struct str s)
{
	while (s.n > 0) {
		size_t n = utf8_len(s);
		unsigned char c = (unsigned char)s.p[0];

		if (n == 0) {
			sbuf_addf(b, "\\ufffd");
			n = 1;
		} else if (c == '"' || c == '\\') {
			sbuf_addf(b, "\\%c", c);
		} else if (c < ' ') {
			sbuf_addf(b, "\\u%04x", c);
		} else {
			sbuf_add(b, s.p, n);
		}
		s.p += n;
		s.n -= n;
	}
}

static void add_entry(struct log *l, struct sbuf *b, int stream, struct str line, bool whole)
{
	const char *name = stream == 1 ? "stdout" : "stderr";
	char now[TIME_MAX];

	if (l->format == LOG_K8S) {
		sbuf_addf(b, "%s %s %c ", time_now("+00:00", now), name, whole ? 'F' : 'P');
		sbuf_add_str(b, line);
		sbuf_addf(b, "\n");
		return;
	}
	sbuf_addf(b, "{\"log\":\"");
	add_json_text(b, line);
	sbuf_addf(b, "%s\",\"stream\":\"%s\",\"time\":\"%s\"}\n", whole ? "\\n" : "", name,
		  time_now("Z", now));
}

static void put(struct log *l, const struct sbuf *b)
{
	struct err ignored;

	if (b->failed)
		return;
	if (l->bytes_max && l->files_max > 1 && l->bytes && l->bytes + b->n > l->bytes_max)
		rotate(l);
	if (fd_write_all(l->fd, b->p, b->n, LOG_FILE, &ignored) == ERR_OK)
		l->bytes += b->n;
}

void log_write(struct log *l, int stream, const char *p, size_t n)
{
	struct str rest = { p, n }, line;

	while (l->fd >= 0 && rest.n > 0) {
		AUTO_SBUF entry;
		bool whole = str_cut(rest, '\n', &line, &rest);

		sbuf_init(&entry, ENTRY_MAX);
		add_entry(l, &entry, stream, line, whole);
		put(l, &entry);
		if (!whole)
			break;
	}
}
