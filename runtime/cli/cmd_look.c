/* stats, diff: a look into containers. */
#include <errno.h>
#include <sys/sysmacros.h>

#include "base/clock.h"
#include "runtime/cli/ctl.h"

#define STATS_EVERY_MS 1000
#define DEPTH_MAX 512
#define PATH_TEXT_MAX 4096

static enum err_kind must_run(struct container *c, struct err *e)
{
	struct status now;
	bool supervised;
	enum err_kind k = status_now(c->dir, &now, &supervised, e);

	if (k == ERR_OK && !now.pid)
		return err_set(e, ERR_INVALID, __func__, "container %s is not running",
			       c->record.name);
	return k;
}

/* --- stats --- */

struct stats_args {
	bool once;
};

struct sample {
	struct sample *next; /* of the round before */
	char id[CONTAINER_ID_LEN + 1];
	uint64_t at_us, cpu_ns;
};

struct stats {
	struct ctl *t;
	const struct cli *c;
	const struct stats_args *args;
	struct sample *before, *now;
	struct sbuf text;
	struct jv *list;
};

static uint64_t number(const struct jv *v, const char *a, const char *b, const char *c)
{
	const struct jv *at = jv_member(jv_member(v, a), b);
	uint64_t n = 0;

	(void)jv_u64(c ? jv_member(at, c) : at, &n);
	return n;
}

static const struct sample *find_sample(const struct sample *list, const char *id)
{
	while (list && strcmp(list->id, id) != 0)
		list = list->next;
	return list;
}

static void free_samples(struct sample **list)
{
	while (*list) {
		struct sample *s = *list;

		*list = s->next;
		free(s);
	}
}

/* Hundredths of a percent of one processor since the round before. */
static enum err_kind take_sample(struct stats *s, const char *id, uint64_t cpu_ns,
				 uint64_t *ret_usage, struct err *e)
{
	const struct sample *before = find_sample(s->before, id);
	struct sample *now = calloc(1, sizeof(*now));

	*ret_usage = 0;
	if (!now)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for statistics");
	(void)str_copy(str_of(id), now->id, sizeof(now->id));
	now->at_us = mono_us();
	now->cpu_ns = cpu_ns;
	now->next = s->now;
	s->now = now;
	if (before && now->at_us > before->at_us && cpu_ns >= before->cpu_ns)
		*ret_usage = (cpu_ns - before->cpu_ns) * 10 / (now->at_us - before->at_us);
	return ERR_OK;
}

static bool add_stats(struct stats *s, const struct record *r, const struct jv *data,
		      uint64_t usage)
{
	uint64_t memory = number(data, "memory", "usage", "usage"),
		 pids = number(data, "pids", "current", NULL),
		 limit = number(data, "memory", "usage", "limit");
	char used[TEXT_SIZE_MAX], most[TEXT_SIZE_MAX];

	if (s->c->json)
		return jv_append(s->list,
				 jv_pack("{s:s, s:s, s:f, s:I, s:I, s:I}", "id", r->id, "name",
					 r->name, "cpu_percent", (double)usage / 100,
					 "memory_bytes", (long long)memory, "memory_limit_bytes",
					 limit > INT64_MAX ? -1LL : (long long)limit, "pids",
					 (long long)pids));
	sbuf_addf(&s->text, "%-24s %6llu.%02llu %% %10s / %-10s %6llu\n", r->name,
		  (unsigned long long)usage / 100, (unsigned long long)usage % 100,
		  text_size(memory, used),
		  limit >= INT64_MAX / 2 ? "no limit" : text_size(limit, most),
		  (unsigned long long)pids);
	return true;
}

static bool is_asked_for(const struct cli *c, const struct record *r)
{
	for (size_t i = 0; i < c->args_n; i++) {
		if (strcmp(c->args[i], r->name) == 0 ||
		    str_starts(str_of(r->id), str_of(c->args[i])))
			return true;
	}
	return c->args_n == 0;
}

static enum err_kind stats_one(void *arg, struct container *c, struct err *e)
{
	static const char *const args[] = { "events", "--stats", NULL };
	struct stats *s = arg;
	AUTO_SBUF out = { 0 };
	AUTO_JV *v = NULL;
	struct err ignored;
	uint64_t usage;
	enum err_kind k;

	if (!is_asked_for(s->c, &c->record) || must_run(c, &ignored) != ERR_OK)
		return ERR_OK;
	sbuf_init(&out, 1u << 20);
	if (ctl_runtime(s->t, c, args, &out, &ignored) != ERR_OK)
		return ERR_OK; /* it has just ended */
	k = jv_parse_object_u64((struct str){ out.p, out.n }, 16, &v, e);
	if (k == ERR_OK)
		k = take_sample(s, c->record.id,
				number(jv_member(v, "data"), "cpu", "usage", "total"), &usage, e);
	if (k == ERR_OK && !add_stats(s, &c->record, jv_member(v, "data"), usage))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for statistics");
	return k;
}

static enum err_kind stats_round(struct stats *s, struct err *e)
{
	sbuf_clear(&s->text);
	sbuf_init(&s->text, SBUF_MAX);
	jv_free(&s->list);
	s->list = jv_new_array();
	sbuf_addf(&s->text, "%-24s %11s %23s %6s\n", "NAME", "CPU", "MEMORY / LIMIT", "PIDS");
	free_samples(&s->before);
	s->before = TAKE(s->now);
	return containers_each(&s->t->cs, stats_one, s, e);
}

/* What a processor is used is told by two looks, so the first one is not shown. */
static int show_stats(struct stats *s)
{
	const struct timespec pause = { .tv_sec = STATS_EVERY_MS / 1000,
					.tv_nsec = STATS_EVERY_MS % 1000 * 1000000L };
	struct err e;
	int status = EXIT_FINE;
	enum err_kind k = stats_round(s, &e);

	while (k == ERR_OK && status == EXIT_FINE) {
		(void)nanosleep(&pause, NULL);
		k = stats_round(s, &e);
		if (k == ERR_OK)
			status = s->c->json ? cli_print_json(&s->list) : cli_print(&s->text);
		if (s->args->once)
			break;
	}
	return k == ERR_OK ? status : cli_fail(&e);
}

static int run_stats(struct cli *c)
{
	AUTO_CTL t = CTL_INIT;
	struct stats s = { .t = &t, .c = c, .args = c->options };
	struct err e;
	int status;

	if (ctl_open(c, &t, &e) != ERR_OK)
		return cli_fail(&e);
	status = show_stats(&s);
	free_samples(&s.before);
	free_samples(&s.now);
	sbuf_clear(&s.text);
	jv_free(&s.list);
	return status;
}

static const struct opt stats_opts[] = { { "no-stream", 0, OPT_FLAG,
					   offsetof(struct stats_args, once), NULL, "print once" },
					 OPTS_END };

const struct command cmd_stats = {
	.name = "stats",
	.run = run_stats,
	.opts = stats_opts,
	.options_size = sizeof(struct stats_args),
	.args_max = SIZE_MAX,
	.usage = "[OPTION]... [CONTAINER]...",
	.doc = "show what containers use, every second",
};

/* --- diff --- */

struct diff {
	const int *lowers; /* topmost first */
	size_t n_lowers;
	struct sbuf out;
	struct jv *list; /* NULL: into out */
	char path[PATH_TEXT_MAX];
};

static bool is_whiteout(const struct stat *s)
{
	return S_ISCHR(s->st_mode) && s->st_rdev == makedev(0, 0);
}

/* Does a layer have it?  Directories that are opaque in between hide what is below; links are not followed. */
static bool is_in_image(const struct diff *d, const char *path)
{
	for (size_t i = 0; i < d->n_lowers; i++) {
		struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
					.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
		AUTO_CLOSE fd = sys_openat2(d->lowers[i], path, &how);
		struct stat s;

		if (fd >= 0 && fstat(fd, &s) == 0)
			return !is_whiteout(&s);
	}
	return false;
}

static enum err_kind walk(struct diff *d, int dir, unsigned depth, struct err *e);

struct walking {
	struct diff *d;
	int dir;
	unsigned depth;
};

static enum err_kind tell_change(struct diff *d, char kind, struct err *e)
{
	const char word[] = { kind, '\0' };
	AUTO_SBUF shown;

	sbuf_init(&shown, SBUF_MAX);
	sbuf_addf(&shown, "/");
	text_show(&shown, str_of(d->path));
	if (d->list)
		return !shown.failed && jv_append(d->list, jv_pack("{s:s, s:s}", "change", word,
								   "path", shown.p))
			   ? ERR_OK
			   : err_set(e, ERR_NO_MEMORY, __func__, "no memory for a list");
	sbuf_addf(&d->out, "%c %s\n", kind, shown.p);
	return ERR_OK;
}

static enum err_kind diff_one(void *arg, const char *name, struct err *e)
{
	const struct walking *w = arg;
	struct diff *d = w->d;
	size_t n = strlen(d->path);
	struct stat s;
	enum err_kind k;

	if (strcmp(name, ".wh..wh..opq") == 0)
		return ERR_OK; /* a mark of fuse-overlayfs's, which no program sees */
	if (fstatat(w->dir, name, &s, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? ERR_OK : err_sys(e, __func__, "look at %s", name);
	if ((size_t)snprintf(d->path + n, sizeof(d->path) - n, "%s%s", n ? "/" : "", name) >=
	    sizeof(d->path) - n)
		return err_set(e, ERR_TOO_LARGE, __func__, "a path of more than %d bytes",
			       PATH_TEXT_MAX);
	k = tell_change(d, is_whiteout(&s) ? 'D' : is_in_image(d, d->path) ? 'C' : 'A', e);
	if (k == ERR_OK && S_ISDIR(s.st_mode)) {
		AUTO_CLOSE below = -1;

		k = fd_open_at(w->dir, name, O_RDONLY | O_DIRECTORY, 0, &below, e);
		if (k == ERR_OK)
			k = walk(d, below, w->depth + 1, e);
	}
	d->path[n] = '\0';
	return k;
}

static enum err_kind walk(struct diff *d, int dir, unsigned depth, struct err *e)
{
	struct walking w = { .d = d, .dir = dir, .depth = depth };

	if (depth > DEPTH_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "more than %d directories deep",
			       DEPTH_MAX);
	return fd_list_dir(dir, ".", diff_one, &w, e);
}

static enum err_kind diff_container(struct ctl *t, struct container *c, void *arg, struct err *e)
{
	AUTO_IMAGES *im = NULL;
	AUTO_LAYER_LIST layers = { 0 };
	AUTO_CLOSE upper = -1;
	struct diff *d = arg;
	enum err_kind k = images_open(t->cs.root, &im, e);

	if (k == ERR_OK)
		k = ctl_layers(im, &c->record, &layers, e);
	if (k == ERR_OK)
		k = fd_open_at(c->dir, "upper", O_RDONLY | O_DIRECTORY, 0, &upper, e);
	d->lowers = layers.fds;
	d->n_lowers = layers.n;
	if (t->c->json)
		d->list = t->said = jv_new_array();
	if (k == ERR_OK)
		k = walk(d, upper, 0, e);
	if (k == ERR_OK && !d->list && cli_print(&d->out) != EXIT_FINE)
		k = err_set(e, ERR_IO, __func__, "no output");
	return k;
}

static int run_diff(struct cli *c)
{
	struct diff *d = arena_get(&c->arena, sizeof(*d));
	int status;

	if (!d)
		return cli_usage(c, "no memory");
	sbuf_init(&d->out, SBUF_MAX);
	status = ctl_for_one(c, diff_container, d);
	sbuf_clear(&d->out);
	return status;
}

static const struct opt no_opts[] = { OPTS_END };

const struct command cmd_diff = {
	.name = "diff",
	.run = run_diff,
	.opts = no_opts,
	.args_min = 1,
	.args_max = 1,
	.usage = "CONTAINER",
	.doc = "list what a container has added (A), changed (C) and removed (D)",
};
