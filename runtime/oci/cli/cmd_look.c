/* state, list, ps: what there is. */
#include <errno.h>
#include <spawn.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "runtime/oci/cli/cli.h"
#include "runtime/oci/run/ids.h"

#define OUTPUT_MAX (16u * 1024 * 1024)

extern char **environ;

static const struct opt no_opts[] = { OPTS_END };

static void owner_name(uint32_t uid, char *buf, size_t cap)
{
	if (!ids_user_name(uid, buf, cap))
		(void)snprintf(buf, cap, "#%u", uid);
}

static struct jv *annotations_of(const struct state *s)
{
	struct jv *v = jv_pack("{}");

	for (size_t i = 0; i < s->annotations.n; i++) {
		if (!jv_set(v, s->annotations.v[i].key, jv_pack("s", s->annotations.v[i].value)))
			break; /* no memory: the value fails as a whole */
	}
	return v;
}

/* runc's fields in runc's order. */
static struct jv *state_value(const struct container *c, const char *owner)
{
	const struct state *s = &c->state;
	enum status status = container_status(c);
	struct jv *v =
	    jv_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:s}", "ociVersion", SPEC_VERSION, "id", s->id,
		    "pid", status == STATUS_STOPPED ? 0 : s->pid, "status", status_text(status),
		    "bundle", s->bundle, "rootfs", s->rootfs, "created", s->created);
	bool ok = v != NULL;

	if (ok && s->annotations.n)
		ok = jv_set(v, "annotations", annotations_of(s));
	if (ok)
		ok = jv_set(v, "owner", jv_pack("s", owner));
	if (!ok)
		jv_free(&v);
	return v;
}

static int run_state(struct cli *c)
{
	AUTO_CONTAINER container = { .dir = -1, .lock = -1 };
	AUTO_SBUF out;
	AUTO_JV *v = NULL;
	struct err e;

	if (cli_open_container(c, &container, &e) != ERR_OK)
		return cli_fail("", &e);
	sbuf_init(&out, OUTPUT_MAX);
	v = state_value(&container, "");
	jv_dump_pretty(v, 2, &out);
	return cli_print(&out);
}

const struct command cmd_state = {
	.name = "state",
	.run = run_state,
	.opts = no_opts,
	.args_min = 1,
	.args_max = 1,
	.usage = "<container-id>",
	.doc = "print the state of a container as JSON",
};

/* ---- list ---- */

struct list_args {
	const char *format;
	bool quiet;
};

static const struct opt list_opts[] = {
	{ "format", 'f', OPT_TEXT, offsetof(struct list_args, format), "table or json" },
	{ "quiet", 'q', OPT_FLAG, offsetof(struct list_args, quiet), "ids only" },
	OPTS_END,
};

#define COLUMNS 6
#define GAP 3
#define WIDTH_MIN 12

struct row {
	char *cells[COLUMNS];
};

struct listing {
	struct jv *array;
	struct row *rows;
	size_t n, cap;
	struct sbuf ids;
	struct arena *arena;
};

static char *printable(struct arena *a, const char *text)
{
	AUTO_SBUF b;

	sbuf_init(&b, OUTPUT_MAX);
	report_printable(text, &b);
	return b.failed ? NULL : arena_text(a, (struct str){ b.p, b.n });
}

static bool add_row(struct listing *l, const struct container *c, const char *owner)
{
	const struct state *s = &c->state;
	enum status status = container_status(c);
	struct row *row;

	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		struct row *rows = arena_array(l->arena, cap, sizeof(*rows));

		if (!rows)
			return false;
		if (l->n)
			memcpy(rows, l->rows, l->n * sizeof(*rows));
		l->rows = rows;
		l->cap = cap;
	}
	row = &l->rows[l->n++];
	*row = (struct row){
		{ arena_text(l->arena, str_of(s->id)),
		  arena_printf(l->arena, "%d", status == STATUS_STOPPED ? 0 : s->pid),
		  arena_text(l->arena, str_of(status_text(status))), printable(l->arena, s->bundle),
		  arena_text(l->arena, str_of(s->created)), arena_text(l->arena, str_of(owner)) }
	};
	for (size_t i = 0; i < COLUMNS; i++) {
		if (!row->cells[i])
			return false;
	}
	return true;
}

static enum err_kind visit(struct container *c, void *arg, struct err *e)
{
	struct listing *l = arg;
	char owner[64];

	owner_name(c->state.owner, owner, sizeof(owner));
	sbuf_addf(&l->ids, "%s\n", c->id);
	if (!jv_append(l->array, state_value(c, owner)) || !add_row(l, c, owner))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the list");
	return ERR_OK;
}

static void print_table(const struct listing *l, struct sbuf *out)
{
	static char *const head[COLUMNS] = {
		(char *)(uintptr_t) "ID",      (char *)(uintptr_t) "PID",
		(char *)(uintptr_t) "STATUS",  (char *)(uintptr_t) "BUNDLE",
		(char *)(uintptr_t) "CREATED", (char *)(uintptr_t) "OWNER"
	};
	size_t width[COLUMNS];

	for (size_t i = 0; i < COLUMNS; i++) {
		width[i] = strlen(head[i]);
		for (size_t j = 0; j < l->n; j++) {
			size_t n = strlen(l->rows[j].cells[i]);

			width[i] = n > width[i] ? n : width[i];
		}
		width[i] = width[i] + GAP > WIDTH_MIN ? width[i] + GAP : WIDTH_MIN;
	}
	for (size_t j = 0; j <= l->n; j++) {
		char *const *cells = j ? l->rows[j - 1].cells : head;

		for (size_t i = 0; i < COLUMNS - 1; i++)
			sbuf_addf(out, "%-*s", (int)width[i], cells[i]);
		sbuf_addf(out, "%s\n", cells[COLUMNS - 1]);
	}
}

static int print_listing(const struct list_args *a, struct listing *l)
{
	AUTO_SBUF out;

	sbuf_init(&out, OUTPUT_MAX);
	if (a->quiet) {
		sbuf_add_str(&out, (struct str){ l->ids.p, l->ids.n });
	} else if (a->format && strcmp(a->format, "json") == 0) {
		jv_dump(l->array, &out);
		sbuf_add_str(&out, STR("\n"));
	} else {
		print_table(l, &out);
	}
	return cli_print(&out);
}

static int run_list(struct cli *c)
{
	const struct list_args *a = c->options;
	struct listing l = { .array = jv_new_array(), .arena = &c->arena };
	struct err e;
	int status;
	enum err_kind k = ERR_OK;

	sbuf_init(&l.ids, OUTPUT_MAX);
	if (a->format && strcmp(a->format, "json") != 0 && strcmp(a->format, "table") != 0)
		k = err_set(&e, ERR_INVALID, __func__, "invalid format option");
	if (k == ERR_OK)
		k = container_root_open(c->rt.root_path, false, &c->rt.root, &e);
	if (k == ERR_OK)
		k = container_each(c->rt.root, visit, &l, &e);
	else if (k == ERR_NOT_FOUND)
		k = ERR_OK; /* no directory, no containers */
	status = k == ERR_OK ? print_listing(a, &l) : cli_fail("", &e);
	sbuf_clear(&l.ids);
	jv_free(&l.array);
	return status;
}

const struct command cmd_list = {
	.name = "list",
	.run = run_list,
	.opts = list_opts,
	.options_size = sizeof(struct list_args),
	.args_min = 0,
	.args_max = 0,
	.usage = "",
	.doc = "list the containers of this root",
};

/* ---- ps ---- */

struct ps_args {
	const char *format;
};

static const struct opt ps_opts[] = {
	{ "format", 'f', OPT_TEXT, offsetof(struct ps_args, format), "table or json" },
	OPTS_END,
};

static enum err_kind run_ps_program(char *const *argv, struct sbuf *out, struct err *e)
{
	posix_spawn_file_actions_t actions;
	AUTO_CLOSE in = -1;
	AUTO_CLOSE to = -1;
	int fds[2], status = 0, r;
	pid_t pid;
	enum err_kind k;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, __func__, "pipe");
	in = fds[0];
	to = fds[1];
	r = posix_spawn_file_actions_init(&actions);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, to, 1);
	if (r == 0)
		r = posix_spawnp(&pid, "ps", &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	fd_close(&to);
	if (r != 0) {
		errno = r;
		return err_sys(e, __func__, "run ps");
	}
	k = fd_read_rest(in, out, "ps", e);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (k == ERR_OK && status != 0)
		return err_set(e, ERR_INVALID, __func__, "ps failed");
	return k;
}

/* Number `column` of a line's words; 0 if it is none. */
static uint64_t word_number(struct str line, size_t column)
{
	for (size_t i = 0;; i++) {
		struct str word = { line.p, 0 };
		uint64_t v;

		while (line.n && line.p[0] == ' ')
			line = (struct str){ line.p + 1, line.n - 1 };
		word.p = line.p;
		while (line.n && line.p[0] != ' ') {
			line = (struct str){ line.p + 1, line.n - 1 };
			word.n++;
		}
		if (i == column)
			return scan_u64(&word, INT32_MAX, &v) && scan_end(&word) ? v : 0;
		if (!line.n)
			return 0;
	}
}

static bool find_column(struct str head, size_t *ret)
{
	for (size_t i = 0; head.n; i++) {
		struct str word;

		head = str_trim(head);
		(void)str_cut(head, ' ', &word, &head);
		if (str_eq(word, STR("PID"))) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static enum err_kind filter_ps(struct sbuf *all, const pid_t *pids, size_t n, struct sbuf *out,
			       struct err *e)
{
	struct str rest = { all->p, all->n }, line;
	size_t column;

	(void)str_cut(rest, '\n', &line, &rest);
	if (!find_column(line, &column))
		return err_set(e, ERR_INVALID, __func__, "couldn't find PID field in ps output");
	sbuf_addf(out, "%.*s\n", STR_FMT(line));
	while (rest.n) {
		uint64_t pid;

		(void)str_cut(rest, '\n', &line, &rest);
		pid = word_number(line, column);
		for (size_t i = 0; i < n; i++) {
			if (pid && (uint64_t)pids[i] == pid)
				sbuf_addf(out, "%.*s\n", STR_FMT(line));
		}
	}
	return ERR_OK;
}

static void print_pids(const pid_t *pids, size_t n, struct sbuf *out)
{
	sbuf_addf(out, "[");
	for (size_t i = 0; i < n; i++)
		sbuf_addf(out, "%s%d", i ? "," : "", pids[i]);
	sbuf_addf(out, "]\n");
}

static enum err_kind ps(struct cli *c, struct sbuf *out, struct err *e)
{
	static char ps_name[] = "ps", ps_default[] = "-ef";
	const struct ps_args *a = c->options;
	AUTO_CONTAINER container = { .dir = -1, .lock = -1 };
	AUTO_SBUF all;
	char **argv = arena_array(&c->arena, c->args_n + 2, sizeof(*argv));
	pid_t *pids;
	size_t n;
	enum err_kind k = cli_open_container(c, &container, e);

	if (k == ERR_OK)
		k = cgroup_pids(&container.state.cgroup, &c->arena, &pids, &n, e);
	if (k != ERR_OK || !argv)
		return k;
	if (a->format && strcmp(a->format, "json") == 0) {
		print_pids(pids, n, out);
		return ERR_OK;
	}
	argv[0] = ps_name;
	argv[1] = ps_default;
	for (size_t i = 1; i < c->args_n; i++)
		argv[i] = c->args[i];
	sbuf_init(&all, OUTPUT_MAX);
	k = run_ps_program(argv, &all, e);
	return k == ERR_OK ? filter_ps(&all, pids, n, out, e) : k;
}

static int run_ps(struct cli *c)
{
	AUTO_SBUF out;
	struct err e;

	sbuf_init(&out, OUTPUT_MAX);
	return ps(c, &out, &e) == ERR_OK ? cli_print(&out) : cli_fail("", &e);
}

const struct command cmd_ps = {
	.name = "ps",
	.run = run_ps,
	.opts = ps_opts,
	.options_size = sizeof(struct ps_args),
	.args_min = 1,
	.args_max = SIZE_MAX,
	.stops_early = true,
	.usage = "<container-id> [ps options]",
	.doc = "list the processes of a container",
};
