/* top: the processes of a container. */
#include "runtime/cli/ctl.h"

#define PROCESSES_MAX 65536
#define STAT_MAX 4096
#define COMMAND_MAX 4096
#define LINK_MAX_BYTES 64
#define FIELD_PPID 4 /* in /proc/PID/stat, counted from 1 */
#define FIELD_USER_TICKS 14
#define FIELD_SYSTEM_TICKS 15

struct process {
	pid_t pid;
	uint64_t parent, ticks;
	uid_t uid;
	char *command; /* of the arena */
};

struct top {
	struct cli *c;
	const struct idmap
	    *uids; /* of the container; without pieces: no user namespace of its own */
	char namespace[LINK_MAX_BYTES]; /* that they are in; "" if their pids are known already */
	struct process *all;
	size_t n, cap; /* cap: of all */
};

/* --- Who they are --- */

static enum err_kind add_pid(struct top *t, uint64_t pid, struct err *e)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 64;
		struct process *all =
		    cap <= PROCESSES_MAX ? reallocarray(t->all, cap, sizeof(*all)) : NULL;

		if (!all)
			return err_set(e, ERR_NO_MEMORY, __func__, "too many processes");
		t->all = all;
		t->cap = cap;
	}
	t->all[t->n++] = (struct process){ .pid = (pid_t)pid };
	return ERR_OK;
}

static bool namespace_of(const char *pid, char ret[static LINK_MAX_BYTES])
{
	char path[64];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%s/ns/pid", pid);
	n = readlink(path, ret, LINK_MAX_BYTES - 1);
	ret[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static enum err_kind take_if_there(void *arg, const char *name, struct err *e)
{
	struct top *t = arg;
	struct str in = str_of(name);
	char namespace[LINK_MAX_BYTES];
	uint64_t pid;

	if (!scan_u64(&in, INT32_MAX, &pid) || !scan_end(&in) || !namespace_of(name, namespace) ||
	    strcmp(namespace, t->namespace) != 0)
		return ERR_OK;
	return add_pid(t, pid, e);
}

/* Without a cgroup they are told by the namespace of their pids, if that is not the host's. */
static enum err_kind find_by_namespace(struct top *t, pid_t first, struct err *e)
{
	char number[16], ours[LINK_MAX_BYTES];

	(void)snprintf(number, sizeof(number), "%d", (int)first);
	if (!namespace_of(number, t->namespace) || !namespace_of("self", ours) ||
	    strcmp(ours, t->namespace) == 0)
		return err_set(e, ERR_UNSUPPORTED, __func__,
			       "without a cgroup and a pid namespace of its own nobody can tell "
			       "which processes are the container's");
	return fd_list_dir(AT_FDCWD, "/proc", take_if_there, t, e);
}

static enum err_kind find_by_runtime(struct ctl *ctl, struct container *c, struct top *t,
				     struct err *e)
{
	static const char *const args[] = { "ps", "--format", "json", NULL };
	AUTO_SBUF out;
	AUTO_JV *v = NULL;
	const struct jv *list;
	uint64_t pid;
	enum err_kind k;

	sbuf_init(&out, SBUF_MAX);
	sbuf_addf(&out, "{\"pids\":");
	k = ctl_runtime(ctl, c, args, &out, e);
	sbuf_addf(&out, "}");
	if (k == ERR_OK)
		k = jv_parse_object((struct str){ out.p, out.n }, 4, &v, e);
	list = k == ERR_OK ? jv_member(v, "pids") : NULL;
	for (size_t i = 0; k == ERR_OK && i < jv_count(list); i++) {
		if (jv_uint(jv_at(list, i), &pid) && pid <= INT32_MAX)
			k = add_pid(t, pid, e);
	}
	return k;
}

/* --- What they are --- */

static bool read_proc(pid_t pid, const char *file, char *buf, size_t cap, size_t *ret_n)
{
	AUTO_CLOSE fd = -1;
	char path[64];
	struct err ignored;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	if (fd_open_at(AT_FDCWD, path, O_RDONLY, 0, &fd, &ignored) != ERR_OK)
		return false;
	n = read(fd, buf, cap - 1);
	if (n < 0)
		return false;
	buf[n] = '\0';
	*ret_n = (size_t)n;
	return true;
}

/* Arguments with spaces between them; of a process that has none, its name. */
static char *command_of(struct cli *c, pid_t pid, const char *stat)
{
	char buf[COMMAND_MAX];
	const char *open = strchr(stat, '('), *close = strrchr(stat, ')');
	size_t n = 0;

	if (read_proc(pid, "cmdline", buf, sizeof(buf), &n) && n) {
		for (size_t i = 0; i + 1 < n; i++)
			buf[i] = buf[i] ? buf[i] : ' ';
		return arena_text(&c->arena, str_of(buf));
	}
	if (!open || !close || close < open)
		return NULL;
	return arena_printf(&c->arena, "[%.*s]", (int)(close - open - 1), open + 1);
}

/* False: it has ended. */
static bool look_at(const struct top *t, struct process *p)
{
	char buf[STAT_MAX];
	struct stat owner;
	struct str rest, field;
	uint64_t user = 0, system = 0, inside;
	size_t n;

	(void)snprintf(buf, sizeof(buf), "/proc/%d", (int)p->pid);
	if (fstatat(AT_FDCWD, buf, &owner, 0) < 0 ||
	    !read_proc(p->pid, "stat", buf, sizeof(buf), &n) || !strrchr(buf, ')'))
		return false;
	p->uid = idmap_in(t->uids, owner.st_uid, &inside) ? (uid_t)inside : owner.st_uid;
	p->command = command_of(t->c, p->pid, buf);
	rest = str_of(strrchr(buf, ')') + 2);
	for (unsigned i = 3; i <= FIELD_SYSTEM_TICKS; i++) {
		(void)str_cut(rest, ' ', &field, &rest);
		if (i == FIELD_PPID)
			(void)scan_u64(&field, INT32_MAX, &p->parent);
		if (i == FIELD_USER_TICKS)
			(void)scan_u64(&field, UINT64_MAX, &user);
		if (i == FIELD_SYSTEM_TICKS)
			(void)scan_u64(&field, UINT64_MAX, &system);
	}
	p->ticks = user + system;
	return p->command != NULL;
}

/* --- The command --- */

static int show_text(const struct top *t, double tick)
{
	AUTO_SBUF text;

	sbuf_init(&text, SBUF_MAX);
	sbuf_addf(&text, "%10s %10s %8s %10s %s\n", "PID", "PPID", "UID", "CPU", "COMMAND");
	for (size_t i = 0; i < t->n; i++) {
		const struct process *p = &t->all[i];

		sbuf_addf(&text, "%10d %10llu %8u %9.2fs ", (int)p->pid,
			  (unsigned long long)p->parent, (unsigned)p->uid, (double)p->ticks / tick);
		text_show(&text, str_of(p->command));
		sbuf_addf(&text, "\n");
	}
	return cli_print(&text);
}

static struct jv *processes_json(const struct top *t, double tick)
{
	AUTO_JV *list = jv_new_array();
	bool ok = list != NULL;

	for (size_t i = 0; ok && i < t->n; i++) {
		const struct process *p = &t->all[i];
		AUTO_SBUF command;

		sbuf_init(&command, SBUF_MAX);
		text_show(&command, str_of(p->command));
		ok = !command.failed &&
		     jv_append(list, jv_pack("{s:i, s:I, s:I, s:f, s:s}", "pid", (int)p->pid,
					     "ppid", (long long)p->parent, "uid", (long long)p->uid,
					     "cpu_seconds", (double)p->ticks / tick, "command",
					     command.p));
	}
	return ok ? TAKE(list) : NULL;
}

static enum err_kind find(struct ctl *ctl, struct container *c, struct top *t, struct err *e)
{
	struct status now;
	bool supervised;
	size_t kept = 0;
	enum err_kind k = status_now(c->dir, &now, &supervised, e);

	if (k == ERR_OK && !now.pid)
		k = err_set(e, ERR_INVALID, __func__, "container %s is not running",
			    c->record.name);
	if (k != ERR_OK)
		return k;
	if (find_by_runtime(ctl, c, t, e) != ERR_OK || t->n == 0) {
		t->n = 0;
		k = find_by_namespace(t, now.pid, e);
	}
	for (size_t i = 0; i < t->n; i++) {
		if (look_at(t, &t->all[i]))
			t->all[kept++] = t->all[i];
	}
	t->n = kept;
	return k;
}

static enum err_kind top_one(struct ctl *ctl, struct container *c, void *arg, struct err *e)
{
	struct top t = { .c = ctl->c, .uids = &c->record.ids.uids };
	double tick = (double)sysconf(_SC_CLK_TCK);
	enum err_kind k = find(ctl, c, &t, e);

	(void)arg;
	if (k == ERR_OK && ctl->c->json)
		ctl->said = processes_json(&t, tick);
	else if (k == ERR_OK && show_text(&t, tick) != EXIT_FINE)
		k = err_set(e, ERR_IO, __func__, "no output");
	free(t.all);
	return k;
}

static int run_top(struct cli *c)
{
	return ctl_for_one(c, top_one, NULL);
}

static const struct opt no_opts[] = { OPTS_END };

const struct command cmd_top = {
	.name = "top",
	.run = run_top,
	.opts = no_opts,
	.args_min = 1,
	.args_max = 1,
	.usage = "CONTAINER",
	.doc = "list the processes of a container",
};
