#include "runtime/oci/cli/report.h"

#include <errno.h>

#include "base/clock.h"
#include "base/fd.h"

#define LINE_MAX_BYTES 8192

/* Set once, before anything is reported; the program has one thread. */
static struct {
	int file;
	bool json, debug;
} target = { .file = -1 };

enum err_kind report_open(const char *path, const char *format, bool debug, struct err *e)
{
	target.debug = debug;
	if (format && strcmp(format, "json") == 0)
		target.json = true;
	else if (format && strcmp(format, "text") != 0)
		return err_set(e, ERR_INVALID, __func__, "invalid log-format: %.40s", format);
	if (!path || !path[0])
		return ERR_OK;
	target.file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
	return target.file < 0 ? err_sys(e, __func__, "--log: open %s", path) : ERR_OK;
}

/* Of one byte, or of two where UTF-8 has the control characters from U+0080 on; 0 for anything else. */
static unsigned control_at(const char *text, size_t *n)
{
	unsigned char c = (unsigned char)text[0], next = (unsigned char)(c ? text[1] : 0);

	*n = c == 0xc2 && next >= 0x80 && next < 0xa0 ? 2 : 1;
	if (*n == 2)
		return next;
	return c < 0x20 || c == 0x7f ? c : 0;
}

/* Text comes from images and container processes, and goes to terminals. */
static void add_escaped(struct sbuf *b, const char *text, bool quotes, bool json)
{
	while (*text) {
		size_t n;
		unsigned c = control_at(text, &n);

		if (c == '\n')
			sbuf_add_str(b, STR("\\n"));
		else if (c == '\t')
			sbuf_add_str(b, STR("\\t"));
		else if (c && json)
			sbuf_addf(b, "\\u%04x", c);
		else if (c)
			sbuf_addf(b, "\\x%02x", c);
		else if (quotes && (*text == '"' || *text == '\\'))
			sbuf_addf(b, "\\%c", *text);
		else
			sbuf_add(b, text, n);
		text += n;
	}
}

void report_printable(const char *text, struct sbuf *out)
{
	add_escaped(out, text, false, false);
}

static void add_line(struct sbuf *b, const char *level, const char *text)
{
	char time[TIME_TEXT_MAX];

	(void)time_text(wall_ms(), time);
	memcpy(time + sizeof("2026-01-01T00:00:00") - 1, "Z", 2); /* whole seconds */
	if (target.json)
		sbuf_addf(b, "{\"level\":\"%s\",\"msg\":\"", level);
	else
		sbuf_addf(b, "time=\"%s\" level=%s msg=\"", time, level);
	add_escaped(b, text, true, target.json);
	if (target.json)
		sbuf_addf(b, "\",\"time\":\"%s\"}\n", time);
	else
		sbuf_add_str(b, STR("\"\n"));
}

static void write_line(int fd, const struct sbuf *b)
{
	struct err ignored;

	if (!b->failed) /* nobody is left to be told of a log that cannot be written */
		(void)!fd_write_all(fd, b->p, b->n, "log", &ignored);
}

static void report(const char *level, const char *text, bool to_stderr)
{
	AUTO_SBUF line;

	sbuf_init(&line, LINE_MAX_BYTES);
	add_line(&line, level, text);
	write_line(target.file >= 0 ? target.file : 2, &line);
	if (target.file >= 0 && to_stderr) {
		AUTO_SBUF bare;

		sbuf_init(&bare, LINE_MAX_BYTES);
		report_printable(text, &bare);
		sbuf_add_str(&bare, STR("\n"));
		write_line(2, &bare);
	}
}

void report_error(const char *text)
{
	report("error", text, true);
}

void report_warning(const char *text)
{
	report("warning", text, false);
}

void report_debug(const char *text)
{
	if (target.debug)
		report("debug", text, false);
}
