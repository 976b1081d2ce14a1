/* exec, attach: a person beside what runs in a container. */
#include "base/hash.h"
#include "runtime/cli/attach.h"
#include "runtime/cli/report.h"

struct exec_args {
	struct text_list env;
	const char *user, *workdir;
	bool interactive, terminal, detach, privileged;
};

static enum err_kind must_run(struct container *c, struct status *ret, struct err *e)
{
	bool supervised;
	enum err_kind k = status_now(c->dir, ret, &supervised, e);

	if (k == ERR_OK && (!supervised || !ret->pid))
		return err_set(e, ERR_INVALID, __func__, "container %s is not running%s",
			       c->record.name, ret->pid ? " under a shim" : "");
	return k;
}

/* --- The process --- */

/* The container's environment, with what the command line says instead. */
static enum err_kind env_json(struct cli *c, const struct exec_args *a, const struct jv *process,
			      struct jv **ret, struct err *e)
{
	const struct jv *env = jv_member(process, "env");
	struct text_list all = { 0 };
	bool ok = true;
	struct str s;

	for (size_t i = 0; ok && i < jv_count(env); i++)
		ok = jv_text(jv_at(env, i), &s) &&
		     arena_list_add(&c->arena, &all, arena_text(&c->arena, s));
	if (ok && a->terminal)
		ok = arena_list_add(&c->arena, &all, "TERM=xterm");
	for (size_t i = 0; ok && i < a->env.n; i++) {
		const char *pair = a->env.v[i], *own = getenv(pair);

		if (!strchr(pair, '=')) {
			if (!own)
				continue;
			pair = arena_printf(&c->arena, "%s=%s", pair, own);
		}
		ok = pair && arena_list_add(&c->arena, &all, pair);
	}
	*ret = ok ? jv_new_texts(all.v, all.n) : NULL;
	return *ret ? ERR_OK : err_set(e, ERR_NO_MEMORY, __func__, "no memory for a process");
}

/* Users by the container's own files, as they are now. */
static enum err_kind resolve_user(struct cli *c, const struct container *one, pid_t pid,
				  struct jv *process, struct err *e)
{
	const struct exec_args *a = c->options;
	char root_path[64];
	AUTO_CLOSE root = -1;
	AUTO_BUNDLE b = { .arena = &c->arena };
	struct bundle_options o = { .user = a->user, .privileged = a->privileged };
	struct bundle_place place = { .id = "000000000000",
				      .rootfs = "/",
				      .ids = &one->record.ids };
	const struct jv *made;
	enum err_kind k;

	if (!arena_list_add(&c->arena, &o.args, "true"))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a process");
	(void)snprintf(root_path, sizeof(root_path), "/proc/%d/root", (int)pid);
	root = sys_openat(AT_FDCWD, root_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (root < 0)
		return err_sys(e, __func__, "open the container's root");
	place.root = root;
	k = bundle_make(&o, NULL, &place, &b, e);
	made = jv_member(b.config, "process");
	if (k == ERR_OK &&
	    ((a->user && !jv_set(process, "user", jv_share(jv_member(made, "user")))) ||
	     !jv_set(process, "capabilities", jv_share(jv_member(made, "capabilities")))))
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory for a process");
	return k;
}

static enum err_kind make_process(struct cli *c, struct container *one, const struct status *now,
				  struct jv **ret, struct err *e)
{
	const struct exec_args *a = c->options;
	AUTO_JV *config = NULL;
	AUTO_JV *v = jv_pack("{}");
	const struct jv *process, *value;
	struct jv *env = NULL;
	const char *key;
	void *iter = NULL;
	bool ok = v != NULL;
	enum err_kind k = ctl_read_json(one, "config.json", &config, e);

	process = jv_member(config, "process");
	while (k == ERR_OK && ok && jv_next(process, &iter, &key, &value))
		ok = jv_set(v, key, jv_share(value));
	if (k == ERR_OK)
		k = env_json(c, a, process, &env, e);
	if (k != ERR_OK)
		return k;
	ok = ok && jv_set(v, "env", env) &&
	     jv_set(v, "args",
		    jv_new_texts((const char *const *)(uintptr_t)(c->args + 1), c->args_n - 1)) &&
	     jv_set(v, "terminal", jv_pack("b", a->terminal)) &&
	     (!a->workdir || jv_set(v, "cwd", jv_pack("s", a->workdir)));
	if (!ok)
		return err_set(e, ERR_INVALID, __func__, "an argument is no UTF-8");
	if (a->user || a->privileged)
		k = resolve_user(c, one, now->pid, v, e);
	if (k == ERR_OK)
		*ret = TAKE(v);
	return k;
}

/* --- exec --- */

static enum err_kind put_process(struct cli *c, struct container *one, const struct jv *process,
				 const char **ret_name, struct err *e)
{
	AUTO_SBUF b;
	uint64_t random;
	char *name;

	random_bytes(&random, sizeof(random));
	name = arena_printf(&c->arena, "process-%016llx", (unsigned long long)random);
	sbuf_init(&b, SBUF_MAX);
	jv_dump(process, &b);
	if (!name || b.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a process");
	*ret_name = name;
	return fd_swap_file(one->state, name, (struct str){ b.p, b.n }, 0600, e);
}

static enum err_kind ask_exec(const struct exec_args *a, int fd, const char *name, struct err *e)
{
	AUTO_JV *v = jv_pack("{s:s, s:b, s:b, s:b}", "file", name, "terminal", a->terminal, "stdin",
			     a->interactive, "detach", a->detach);
	AUTO_SBUF b;

	sbuf_init(&b, SHIM_PACKET_MAX);
	jv_dump(v, &b);
	if (b.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a request");
	return ctl_send(fd, SHIM_EXEC, b.p, b.n, e);
}

static enum err_kind begin_exec(struct cli *c, struct ctl *t, struct container *one, int *ret_fd,
				struct err *e)
{
	AUTO_JV *process = NULL;
	const char *name = NULL;
	struct status now;
	enum err_kind k = ctl_open(c, t, e);

	if (k == ERR_OK)
		k = container_find(&t->cs, c->args[0], one, e);
	if (k == ERR_OK)
		k = must_run(one, &now, e);
	if (k == ERR_OK)
		k = make_process(c, one, &now, &process, e);
	if (k == ERR_OK)
		k = ctl_connect(t, one, ret_fd, e);
	if (k == ERR_OK)
		k = put_process(c, one, process, &name, e);
	if (k == ERR_OK)
		k = ask_exec(c->options, *ret_fd, name, e);
	return k;
}

static int fail_exec(const struct err *e)
{
	(void)cli_fail(e);
	if (strstr(e->msg, "no such file or directory") || strstr(e->msg, "not found in $PATH"))
		return 127;
	return strstr(e->msg, "permission denied") ? 126 : EXIT_FAILED;
}

static int run_exec(struct cli *c)
{
	const struct exec_args *a = c->options;
	AUTO_CTL t = CTL_INIT;
	AUTO_CONTAINER one = CONTAINER_INIT;
	AUTO_CLOSE fd = -1;
	struct attach attach = {
		.t = &t, .c = &one, .with_stdin = a->interactive, .terminal = a->terminal
	};
	enum attach_end end;
	struct err e;
	struct jv *v;
	int code = 0;
	enum err_kind k;

	if (c->json && !a->detach)
		return report_refuse(c, "exec", "wants --detach: " REPORT_NOT_OURS);
	k = begin_exec(c, &t, &one, &fd, &e);
	attach.fd = fd;
	if (k == ERR_OK && a->detach) {
		v = ctl_names(&one);
		return report_one(c, &v, NULL);
	}
	if (k == ERR_OK)
		k = attach_run(&attach, &end, &code, &e);
	if (k != ERR_OK)
		return fail_exec(&e);
	return end == ATTACH_LOST ? EXIT_FAILED : code;
}

static const struct opt exec_opts[] = {
	{ "env", 'e', OPT_TEXTS, offsetof(struct exec_args, env), "NAME[=VALUE]",
	  "more of environment" },
	{ "user", 'u', OPT_TEXT, offsetof(struct exec_args, user), "USER[:GROUP]",
	  "another user than the container's" },
	{ "workdir", 'w', OPT_TEXT, offsetof(struct exec_args, workdir), "DIR",
	  "working directory" },
	{ "interactive", 'i', OPT_FLAG, offsetof(struct exec_args, interactive), NULL,
	  "feed its standard input" },
	{ "tty", 't', OPT_FLAG, offsetof(struct exec_args, terminal), NULL, "give it a terminal" },
	{ "detach", 'd', OPT_FLAG, offsetof(struct exec_args, detach), NULL, "do not wait" },
	{ "privileged", 0, OPT_FLAG, offsetof(struct exec_args, privileged), NULL,
	  "with all capabilities" },
	OPTS_END
};

const struct command cmd_exec = {
	.name = "exec",
	.run = run_exec,
	.opts = exec_opts,
	.options_size = sizeof(struct exec_args),
	.args_min = 2,
	.args_max = SIZE_MAX,
	.stops_early = true,
	.usage = "[OPTION]... CONTAINER COMMAND [ARGUMENT]...",
	.doc = "run another command in a container",
};

/* --- attach --- */

struct attach_args {
	bool no_stdin;
};

static int run_attach(struct cli *c)
{
	const struct attach_args *a = c->options;
	AUTO_CTL t = CTL_INIT;
	AUTO_CONTAINER one = CONTAINER_INIT;
	AUTO_CLOSE fd = -1;
	struct attach attach;
	enum attach_end end;
	struct status now;
	struct err e;
	int code = 0;
	enum err_kind k;

	if (c->json)
		return report_refuse(c, "attach", "has nothing to say: " REPORT_NOT_OURS);
	k = ctl_open(c, &t, &e);
	if (k == ERR_OK)
		k = container_find(&t.cs, c->args[0], &one, &e);
	if (k == ERR_OK)
		k = must_run(&one, &now, &e);
	if (k == ERR_OK)
		k = ctl_connect(&t, &one, &fd, &e);
	if (k == ERR_OK)
		k = ctl_send(fd, SHIM_ATTACH, "", 0, &e);
	if (k != ERR_OK)
		return cli_fail(&e);
	attach = (struct attach){ .t = &t,
				  .c = &one,
				  .fd = fd,
				  .with_stdin = !a->no_stdin && one.record.stdin_open,
				  .terminal = one.record.terminal,
				  .pass_signals = true };
	if (attach_run(&attach, &end, &code, &e) != ERR_OK)
		return cli_fail(&e);
	if (end == ATTACH_LOST)
		cli_note(
		    "not attached any more: the container has ended, or its output was too fast");
	return end == ATTACH_LOST ? EXIT_FAILED : code;
}

static const struct opt attach_opts[] = {
	{ "no-stdin", 0, OPT_FLAG, offsetof(struct attach_args, no_stdin), NULL, "only watch" },
	OPTS_END
};

const struct command cmd_attach = {
	.name = "attach",
	.run = run_attach,
	.opts = attach_opts,
	.options_size = sizeof(struct attach_args),
	.args_min = 1,
	.args_max = 1,
	.usage = "[OPTION]... CONTAINER",
	.doc = "connect to what a container reads and writes",
};
