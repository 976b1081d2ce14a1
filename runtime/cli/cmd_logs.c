/* logs: what a container has written. */
#include <errno.h>
#include <poll.h>
#include <sys/inotify.h>

#include "runtime/cli/ctl.h"
#include "runtime/shim/log.h"

#define READ_BYTES (64u * 1024)
#define LINE_MAX_BYTES (256u * 1024)
#define FOLLOW_MS 200 /* how late the end of a container may be seen */
#define FILES_MAX 1000

struct logs_args {
	bool follow, timestamps;
	const char *tail, *since, *until;
};

/* An entry of the log, taken apart. */
struct entry {
	struct str time, text;
	bool is_stderr, is_part;
};

struct reader {
	const struct logs_args *args;
	bool json;
	enum log_format format;
	uint64_t skip; /* whole lines, for --tail */
	bool after_part[2];
};

static bool parse_k8s(struct str line, struct entry *ret)
{
	struct str stream, kind;

	if (!str_cut(line, ' ', &ret->time, &line) || !str_cut(line, ' ', &stream, &line) ||
	    !str_cut(line, ' ', &kind, &ret->text))
		return false;
	ret->is_stderr = str_eq(stream, STR("stderr"));
	ret->is_part = str_starts(kind, STR("P"));
	return true;
}

static bool parse_json(struct str line, struct jv **v, struct entry *ret)
{
	struct str stream;
	struct err ignored;

	if (jv_parse_object(line, 4, v, &ignored) != ERR_OK ||
	    !jv_text(jv_member(*v, "log"), &ret->text) ||
	    !jv_text(jv_member(*v, "stream"), &stream) ||
	    !jv_text(jv_member(*v, "time"), &ret->time))
		return false;
	ret->is_stderr = str_eq(stream, STR("stderr"));
	ret->is_part = ret->text.n == 0 || ret->text.p[ret->text.n - 1] != '\n';
	if (!ret->is_part)
		ret->text.n--;
	return true;
}

/* Times of one form compare as texts, as far as the shorter one goes. */
static bool is_before(struct str a, const char *b)
{
	return memcmp(a.p, b, MIN(a.n, strlen(b))) < 0;
}

static bool is_wanted(const struct logs_args *a, const struct entry *entry)
{
	return !(a->since && is_before(entry->time, a->since)) &&
	       !(a->until && !is_before(entry->time, a->until));
}

/* An object a line; what is no text is told as berth shows such. */
static bool show_json(const struct entry *entry)
{
	const char *stream = entry->is_stderr ? "stderr" : "stdout";
	AUTO_JV *text = jv_pack("s%", entry->text.p, entry->text.n);
	AUTO_JV *v = NULL;
	AUTO_SBUF line;

	sbuf_init(&line, SBUF_MAX);
	if (!text) {
		text_show(&line, entry->text);
		text = line.failed ? NULL : jv_pack("s", line.p);
		sbuf_clear(&line);
	}
	v = jv_pack("{s:s%, s:s, s:o, s:b}", "time", entry->time.p, entry->time.n, "stream", stream,
		    "text", TAKE(text), "partial", entry->is_part);
	jv_dump(v, &line);
	sbuf_addf(&line, "\n");
	return !line.failed && fwrite(line.p, 1, line.n, stdout) == line.n;
}

static bool show(struct reader *r, const struct entry *entry)
{
	FILE *to = entry->is_stderr ? stderr : stdout;
	bool *after_part = &r->after_part[entry->is_stderr];
	bool ok = true;

	if (r->skip) {
		r->skip -= !entry->is_part;
		return true;
	}
	if (!is_wanted(r->args, entry))
		return true;
	if (r->json)
		return show_json(entry);
	if (r->args->timestamps && !*after_part)
		ok = fprintf(to, "%.*s ", STR_FMT(entry->time)) >= 0;
	ok = ok && fwrite(entry->text.p, 1, entry->text.n, to) == entry->text.n;
	if (!entry->is_part)
		ok = ok && fputc('\n', to) != EOF;
	*after_part = entry->is_part;
	return ok;
}

/* A line that is no entry was cut by a full disk: it is left out. */
static bool take_line(struct reader *r, struct str line)
{
	AUTO_JV *v = NULL;
	struct entry entry = { 0 };
	bool ok = r->format == LOG_JSON ? parse_json(line, &v, &entry) : parse_k8s(line, &entry);

	return !ok || show(r, &entry);
}

/* All whole lines of what is there; the rest stays in *rest. */
static enum err_kind read_lines(struct reader *r, int fd, struct sbuf *rest, struct err *e)
{
	AUTO_FREE char *buf = malloc(READ_BYTES);
	ssize_t n;

	if (!buf)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to read logs");
	while ((n = read(fd, buf, READ_BYTES)) > 0) {
		struct str all, line, after;

		sbuf_add(rest, buf, (size_t)n);
		if (rest->failed)
			return err_set(e, ERR_CORRUPT, __func__, "a line of the log is too long");
		all = (struct str){ rest->p, rest->n };
		while (str_cut(all, '\n', &line, &after)) {
			if (!take_line(r, line))
				return err_sys(e, __func__, "write to standard output");
			all = after;
		}
		memmove(rest->p, all.p, all.n);
		rest->n = all.n;
	}
	if (n < 0)
		return err_sys(e, __func__, "read the log");
	return fflush(stdout) == 0 ? ERR_OK : err_sys(e, __func__, "write to standard output");
}

/* --- Which lines --- */

static bool is_part(const struct reader *r, struct str line)
{
	AUTO_JV *v = NULL;
	struct entry entry = { 0 };

	return !(r->format == LOG_JSON ? parse_json(line, &v, &entry) : parse_k8s(line, &entry)) ||
	       entry.is_part;
}

static enum err_kind count_lines(const struct reader *r, int fd, uint64_t *n, struct err *e)
{
	AUTO_SBUF all;
	struct str rest, line;
	enum err_kind k;

	sbuf_init(&all, SBUF_MAX);
	k = fd_read_rest(fd, &all, "the log", e);
	rest = (struct str){ all.p, all.n };
	while (k == ERR_OK && str_cut(rest, '\n', &line, &rest))
		*n += !is_part(r, line);
	return k;
}

static const char *name_of(struct arena *a, uint64_t i)
{
	return i ? arena_printf(a, LOG_FILE ".%llu", (unsigned long long)i) : LOG_FILE;
}

static uint64_t oldest(struct ctl *t, const struct container *c)
{
	uint64_t i = 0;
	struct stat s;

	while (i + 1 < FILES_MAX &&
	       fstatat(c->dir, name_of(&t->c->arena, i + 1), &s, AT_SYMLINK_NOFOLLOW) == 0)
		i++;
	return i;
}

static enum err_kind take_tail(struct ctl *t, struct container *c, struct reader *r, struct err *e)
{
	struct str in = str_of(r->args->tail);
	uint64_t want, have = 0;
	enum err_kind k = ERR_OK;

	if (!r->args->tail || strcmp(r->args->tail, "all") == 0)
		return ERR_OK;
	if (!scan_u64(&in, UINT64_MAX, &want) || !scan_end(&in))
		return err_set(e, ERR_INVALID, __func__, "--tail wants a number of lines, or all");
	for (uint64_t i = oldest(t, c) + 1; k == ERR_OK && i-- > 0;) {
		AUTO_CLOSE fd = -1;

		k = fd_open_at(c->dir, name_of(&t->c->arena, i), O_RDONLY, 0, &fd, e);
		if (k == ERR_OK)
			k = count_lines(r, fd, &have, e);
	}
	r->skip = have > want ? have - want : 0;
	return k;
}

/* --- Following --- */

static bool was_rotated(const struct container *c, int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && fstatat(c->dir, LOG_FILE, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_ino != b.st_ino;
}

static enum err_kind reopen(const struct container *c, int *fd, struct err *e)
{
	fd_close(fd);
	return fd_open_at(c->dir, LOG_FILE, O_RDONLY, 0, fd, e);
}

/* Until the container has ended, and all that it wrote was read. */
static enum err_kind follow(struct container *c, struct reader *r, int *fd, struct sbuf *rest,
			    struct err *e)
{
	AUTO_CLOSE watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char path[64], events[4096];
	struct pollfd p = { .fd = watch, .events = POLLIN };
	bool supervised = true;
	enum err_kind k = ERR_OK;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", c->dir);
	if (watch < 0 ||
	    inotify_add_watch(watch, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE) < 0)
		return err_sys(e, __func__, "watch the log");
	while (k == ERR_OK && supervised) {
		struct status now;

		k = status_now(c->dir, &now, &supervised, e);
		supervised = supervised && now.phase != PHASE_EXITED;
		if (k == ERR_OK)
			k = read_lines(r, *fd, rest, e);
		if (k == ERR_OK && was_rotated(c, *fd)) {
			k = read_lines(r, *fd, rest, e);
			if (k == ERR_OK)
				k = reopen(c, fd, e);
			continue;
		}
		if (supervised && poll(&p, 1, FOLLOW_MS) > 0)
			(void)!read(watch, events, sizeof(events));
	}
	return k;
}

static enum err_kind logs(struct ctl *t, struct container *c, struct reader *r, struct err *e)
{
	AUTO_CLOSE fd = -1;
	AUTO_SBUF rest;
	enum err_kind k = ERR_OK;

	sbuf_init(&rest, LINE_MAX_BYTES);
	r->format = c->record.log_format;
	if (r->format == LOG_NONE)
		return err_set(e, ERR_UNSUPPORTED, __func__, "container %s keeps no log",
			       c->record.name);
	k = take_tail(t, c, r, e);
	for (uint64_t i = oldest(t, c) + 1; k == ERR_OK && i-- > 0;) {
		fd_close(&fd);
		k = fd_open_at(c->dir, name_of(&t->c->arena, i), O_RDONLY, 0, &fd, e);
		if (k == ERR_NOT_FOUND && i == 0)
			return ERR_OK; /* it never ran */
		if (k == ERR_OK)
			k = read_lines(r, fd, &rest, e);
	}
	return k == ERR_OK && r->args->follow ? follow(c, r, &fd, &rest, e) : k;
}

static int run(struct cli *c)
{
	AUTO_CTL t = CTL_INIT;
	AUTO_CONTAINER one = CONTAINER_INIT;
	struct reader r = { .args = c->options, .json = c->json };
	struct err e;
	enum err_kind k = ctl_open(c, &t, &e);

	if (k == ERR_OK)
		k = container_find(&t.cs, c->args[0], &one, &e);
	if (k == ERR_OK)
		k = logs(&t, &one, &r, &e);
	return k == ERR_OK ? EXIT_FINE : cli_fail(&e);
}

static const struct opt opts[] = {
	{ "follow", 'f', OPT_FLAG, offsetof(struct logs_args, follow), NULL,
	  "go on until it has ended" },
	{ "tail", 'n', OPT_TEXT, offsetof(struct logs_args, tail), "LINES", "only the last lines" },
	{ "timestamps", 't', OPT_FLAG, offsetof(struct logs_args, timestamps), NULL,
	  "with the time of each line" },
	{ "since", 0, OPT_TEXT, offsetof(struct logs_args, since), "TIME",
	  "only from then on: 2026-11-23T21:27, in UTC" },
	{ "until", 0, OPT_TEXT, offsetof(struct logs_args, until), "TIME", "only before then" },
	OPTS_END
};

const struct command cmd_logs = {
	.name = "logs",
	.run = run,
	.opts = opts,
	.options_size = sizeof(struct logs_args),
	.args_min = 1,
	.args_max = 1,
	.usage = "[OPTION]... CONTAINER",
	.doc = "print what a container has written",
};
