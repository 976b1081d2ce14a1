#include "runtime/oci/run/criu.h"

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "runtime/oci/plan/build.h"

#define ARGS_MAX 1024
#define LOG_BYTES_MAX (16u * 1024 * 1024)
#define STDIO_NAME "descriptors.json" /* beside the images, as runc has it: what 0, 1 and 2 were */
#define ROOT_NAME "criu-root"
#define PID_NAME "criu-pid"
#define NOT_EXECUTED 127

struct command {
	const char *argv[ARGS_MAX];
	size_t n;
	struct arena *arena;
	bool failed; /* no memory, or too many */
};

static void put(struct command *c, const char *arg)
{
	if (!arg || c->n == ARGS_MAX - 1)
		c->failed = true;
	else
		c->argv[c->n++] = arg;
}

static void put_if(struct command *c, bool wanted, const char *arg)
{
	if (wanted)
		put(c, arg);
}

static void put_pair(struct command *c, const char *option, const char *value)
{
	if (!value)
		return;
	put(c, option);
	put(c, value);
}

static const char *work_of(const struct criu_options *o)
{
	return o->work ? o->work : o->images;
}

/* What both directions take. */
static void put_common(struct command *c, const struct criu_options *o, const char *log)
{
	put_pair(c, "--images-dir", o->images);
	put_pair(c, "--work-dir", work_of(o));
	put_pair(c, "--log-file", log);
	put(c, "-v4");
	put_if(c, o->tcp_established, "--tcp-established");
	put_if(c, o->tcp_close, "--tcp-close");
	put_if(c, o->ext_unix_sk, "--ext-unix-sk");
	put_if(c, o->shell_job, "--shell-job");
	put_if(c, o->file_locks, "--file-locks");
	put_if(c, o->lazy_pages, "--lazy-pages");
	put_if(c, o->auto_dedup, "--auto-dedup");
	put_pair(c, "--empty-ns", o->empty_ns);
}

static bool is_bind(const struct spec_mount *m)
{
	for (size_t i = 0; i < m->options.n; i++) {
		if (strcmp(m->options.v[i], "bind") == 0 || strcmp(m->options.v[i], "rbind") == 0)
			return true;
	}
	return m->type && strcmp(m->type, "bind") == 0;
}

/* Mounts from outside: criu knows them by a name, which is their place in the container. */
static void put_mounts(struct command *c, const struct spec *s, const char *bundle, bool restore)
{
	for (size_t i = 0; i < s->mounts.n; i++) {
		const struct spec_mount *m = &s->mounts.v[i];
		const char *source = m->source;

		if (!is_bind(m))
			continue;
		if (source && source[0] != '/')
			source = arena_printf(c->arena, "%s/%s", bundle, source);
		put(c, "--external");
		put(c, arena_printf(c->arena, "mnt[%s]:%s", m->destination,
				    restore && source ? source : m->destination));
	}
	for (size_t i = 0; i < s->linux_.masked_paths.n; i++) {
		const char *path = s->linux_.masked_paths.v[i];

		put(c, "--external");
		put(c, arena_printf(c->arena, "mnt[%s]:%s", path, restore ? "/dev/null" : path));
	}
}

static enum err_kind make_directories(const struct criu_options *o, struct err *e)
{
	const char *const dirs[] = { o->images, work_of(o) };

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		if (mkdir(dirs[i], 0700) < 0 && errno != EEXIST)
			return err_sys(e, __func__, "make %s", dirs[i]);
	}
	return ERR_OK;
}

/* ---- running it ---- */

/* The first line with "Error" in criu's log; without one, where the log is. */
static enum err_kind tell(const struct criu_options *o, const char *what, const char *log,
			  struct err *e)
{
	AUTO_SBUF text;
	AUTO_CLOSE dir = open(work_of(o), O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct err ignored;
	struct str rest = { 0 }, line;

	sbuf_init(&text, LOG_BYTES_MAX);
	if (dir >= 0 && fd_read_file(dir, log, &text, &ignored) == ERR_OK)
		rest = (struct str){ text.p, text.n };
	while (rest.n) {
		(void)str_cut(rest, '\n', &line, &rest);
		if (memmem(line.p, line.n, "Error", 5))
			return err_set(e, ERR_IO, __func__, "criu %s: %.*s (%s/%s)", what,
				       (int)MIN(line.n, (size_t)120), line.p, work_of(o), log);
	}
	return err_set(e, ERR_IO, __func__, "criu %s failed: see %s/%s", what, work_of(o), log);
}

/* enter: what the child does before criu is executed; false ends it. */
static enum err_kind run(struct command *c, bool (*enter)(const void *arg), const void *arg,
			 int *ret_status, struct err *e)
{
	pid_t pid;

	if (c->failed)
		return plan_no_memory(e);
	c->argv[c->n] = NULL;
	pid = fork();
	if (pid < 0)
		return err_sys(e, __func__, "fork");
	if (pid == 0) {
		if (!enter || enter(arg))
			(void)execvp(c->argv[0], (char **)(uintptr_t)c->argv);
		_exit(errno == ENOENT ? NOT_EXECUTED : NOT_EXECUTED - 1);
	}
	while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(*ret_status) && WEXITSTATUS(*ret_status) == NOT_EXECUTED)
		return err_set(e, ERR_UNSUPPORTED, __func__, "criu is not installed: %s",
			       c->argv[0]);
	return ERR_OK;
}

/* ---- checkpoint ---- */

/* A pipe is not restored by itself: whoever restores gives another, for the name that it has here. */
static enum err_kind save_stdio(const struct criu_options *o, pid_t pid, struct err *e)
{
	AUTO_CLOSE dir = open(o->images, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_JV *list = jv_pack("[]");
	AUTO_SBUF text;

	if (dir < 0)
		return err_sys(e, __func__, "open %s", o->images);
	for (int fd = 0; fd < 3; fd++) {
		char path[64], target[4096];
		ssize_t n;

		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
		n = readlink(path, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		if (!jv_append(list, jv_pack("s", target)))
			return plan_no_memory(e);
	}
	sbuf_init(&text, LOG_BYTES_MAX);
	jv_dump(list, &text);
	if (text.failed)
		return plan_no_memory(e);
	return fd_replace_file(dir, STDIO_NAME, (struct str){ text.p, text.n }, 0600, e);
}

enum err_kind criu_dump(const struct criu_options *o, const struct spec *s,
			const struct container *c, struct arena *a, struct err *e)
{
	const char *what = o->pre_dump ? "pre-dump" : "dump";
	struct command cmd = { .arena = a };
	int status;
	enum err_kind k = make_directories(o, e);

	if (k == ERR_OK && !o->pre_dump)
		k = save_stdio(o, c->state.pid, e);
	if (k != ERR_OK)
		return k;
	put(&cmd, o->program);
	put(&cmd, what);
	put_pair(&cmd, "--tree", arena_printf(a, "%d", c->state.pid));
	put_pair(&cmd, "--root", c->state.rootfs);
	put_common(&cmd, o, "dump.log");
	put(&cmd,
	    arena_printf(a, "--manage-cgroups=%s", o->manage_cgroups ? o->manage_cgroups : "soft"));
	put_pair(&cmd, "--prev-images-dir", o->parent);
	put_if(&cmd, o->pre_dump || o->parent, "--track-mem");
	put_if(&cmd, o->leave_running, "--leave-running");
	if (o->page_server) {
		struct str host, port;

		(void)str_cut(str_of(o->page_server), ':', &host, &port);
		put(&cmd, "--page-server");
		put_pair(&cmd, "--address", arena_text(a, host));
		put_pair(&cmd, "--port", arena_text(a, port));
	}
	put_mounts(&cmd, s, c->state.bundle, false);
	k = run(&cmd, NULL, NULL, &status, e);
	return k == ERR_OK && status != 0 ? tell(o, what, "dump.log", e) : k;
}

/* ---- restore ---- */

enum err_kind criu_check_restore(const struct spec *s, struct err *e)
{
	if (s->process && s->process->terminal)
		return err_set(e, ERR_UNSUPPORTED, __func__,
			       "process.terminal: restore hands on no terminal");
	for (enum hook_kind kind = HOOK_PRESTART; kind < HOOK_POSTSTART; kind++) {
		if (s->hooks[kind].n)
			return err_set(e, ERR_UNSUPPORTED, __func__,
				       "hooks.%s: restore runs no hooks before the processes go on",
				       spec_hook_names[kind]);
	}
	return ERR_OK;
}

/* Pipes of the checkpoint become our own standard descriptors. */
static enum err_kind put_stdio(struct command *c, const struct criu_options *o, struct err *e)
{
	AUTO_CLOSE dir = open(o->images, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_JV *doc = NULL;
	AUTO_SBUF text;
	AUTO_SBUF whole;
	enum err_kind k;

	if (dir < 0)
		return err_sys(e, __func__, "open %s", o->images);
	sbuf_init(&text, LOG_BYTES_MAX);
	sbuf_init(&whole, LOG_BYTES_MAX);
	k = fd_read_file(dir, STDIO_NAME, &text, e);
	if (k != ERR_OK)
		return k;
	sbuf_addf(&whole, "{\"stdio\":%.*s}", (int)text.n, text.p);
	k = jv_parse_object((struct str){ whole.p, whole.n }, 3, &doc, e);
	if (k != ERR_OK)
		return err_wrap(e, "%s/" STDIO_NAME, o->images);
	for (size_t fd = 0; fd < 3; fd++) {
		struct str target;

		if (!jv_text(jv_at(jv_member(doc, "stdio"), fd), &target) ||
		    !str_starts(target, STR("pipe:")))
			continue;
		put(c, "--inherit-fd");
		put(c, arena_printf(c->arena, "fd[%zu]:%.*s", fd, STR_FMT(target)));
	}
	return ERR_OK;
}

struct entering {
	const struct container *c;
	const char *root;
};

/* criu wants a root that is a mount point; and what it restores is in the groups that it is in itself. */
static bool enter_restore(const void *arg)
{
	const struct entering *x = arg;
	struct err ignored;

	return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) == 0 &&
	       mount(x->c->state.rootfs, x->root, NULL, MS_BIND | MS_REC, NULL) == 0 &&
	       cgroup_join(&x->c->state.cgroup, getpid(), &ignored) == ERR_OK;
}

/* criu takes paths; a descriptor's would lead to mounts of the namespace that it was opened in. */
static enum err_kind state_path(const struct container *c, struct arena *a, const char **ret,
				struct err *e)
{
	char self[64], path[4096];
	ssize_t n;

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", c->dir);
	n = readlink(self, path, sizeof(path));
	if (n < 0)
		return err_sys(e, __func__, "read %s", self);
	*ret = arena_text(a, (struct str){ path, (size_t)n });
	return *ret ? ERR_OK : plan_no_memory(e);
}

static enum err_kind read_pid(const struct container *c, pid_t *ret, struct err *e)
{
	AUTO_SBUF text;
	struct str s;
	uint64_t pid;
	enum err_kind k;

	sbuf_init(&text, 64);
	k = fd_read_file(c->dir, PID_NAME, &text, e);
	if (k != ERR_OK)
		return k;
	s = (struct str){ text.p, text.n };
	if (!scan_u64(&s, INT32_MAX, &pid) || pid == 0)
		return err_set(e, ERR_IO, __func__, "criu tells no pid");
	*ret = (pid_t)pid;
	return ERR_OK;
}

enum err_kind criu_restore(const struct criu_options *o, const struct spec *s,
			   const struct container *c, struct arena *a, pid_t *ret, struct err *e)
{
	struct command cmd = { .arena = a };
	struct entering x = { .c = c };
	const char *dir;
	int status;
	enum err_kind k = state_path(c, a, &dir, e);

	if (k == ERR_OK)
		k = make_directories(o, e);
	if (k == ERR_OK && mkdirat(c->dir, ROOT_NAME, 0700) < 0)
		k = err_sys(e, __func__, "make " ROOT_NAME);
	if (k != ERR_OK)
		return k;
	x.root = arena_printf(a, "%s/" ROOT_NAME, dir);
	put(&cmd, o->program);
	put(&cmd, "restore");
	put_common(&cmd, o, "restore.log");
	put_pair(&cmd, "--root", x.root);
	put_pair(&cmd, "--pidfile", arena_printf(a, "%s/" PID_NAME, dir));
	put(&cmd, "--restore-detached");
	put(&cmd, "--restore-sibling");
	put(&cmd, arena_printf(a, "--manage-cgroups=%s",
			       o->manage_cgroups ? o->manage_cgroups : "ignore"));
	put_pair(&cmd, "--lsm-profile", o->lsm_profile);
	put_pair(&cmd, "--lsm-mount-context", o->lsm_mount_context);
	put_mounts(&cmd, s, c->state.bundle, true);
	k = put_stdio(&cmd, o, e);
	if (k == ERR_OK)
		k = run(&cmd, enter_restore, &x, &status, e);
	(void)unlinkat(c->dir, ROOT_NAME, AT_REMOVEDIR);
	if (k == ERR_OK && status != 0)
		k = tell(o, "restore", "restore.log", e);
	return k == ERR_OK ? read_pid(c, ret, e) : k;
}
