/* exec */
#include <errno.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "runtime/oci/cli/cli.h"
#include "runtime/oci/cli/foreground.h"

struct exec_args {
	const char *process, *pid_file, *console_socket, *cwd, *user, *apparmor, *label, *cgroup;
	struct texts env, caps, gids;
	struct opt_i64 preserve_fds;
	bool tty, detach, no_new_privs, ignore_paused;
};

#define A(m) offsetof(struct exec_args, m)
static const struct opt exec_opts[] = {
	{ "process", 'p', OPT_TEXT, A(process), "file with the process as JSON" },
	{ "pid-file", 0, OPT_TEXT, A(pid_file), "file for the pid of the process" },
	{ "console-socket", 0, OPT_TEXT, A(console_socket),
	  "unix socket that takes the master of the terminal" },
	{ "cwd", 0, OPT_TEXT, A(cwd), "working directory" },
	{ "env", 'e', OPT_TEXTS, A(env), "NAME=VALUE" },
	{ "tty", 't', OPT_FLAG, A(tty), "give it a terminal" },
	{ "user", 'u', OPT_TEXT, A(user), "UID[:GID]" },
	{ "additional-gids", 'g', OPT_TEXTS, A(gids), "one more group" },
	{ "detach", 'd', OPT_FLAG, A(detach), "do not wait for the process" },
	{ "process-label", 0, OPT_TEXT, A(label), "SELinux label" },
	{ "apparmor", 0, OPT_TEXT, A(apparmor), "AppArmor profile" },
	{ "no-new-privs", 0, OPT_FLAG, A(no_new_privs), "set no_new_privs" },
	{ "cap", 'c', OPT_TEXTS, A(caps), "one more capability" },
	{ "preserve-fds", 0, OPT_NUMBER, A(preserve_fds),
	  "descriptors after stdio and LISTEN_FDS that the process gets" },
	{ "cgroup", 0, OPT_TEXT, A(cgroup), "group below the container's own" },
	{ "ignore-paused", 0, OPT_FLAG, A(ignore_paused), "wait where others refuse" },
	OPTS_END,
};

static enum err_kind no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the process");
}

static enum err_kind append(struct texts *to, const struct texts *more, struct arena *a,
			    struct err *e)
{
	const char **v = arena_array(a, to->n + more->n + 1, sizeof(*v));

	if (!v)
		return no_memory(e);
	if (to->n)
		memcpy(v, to->v, to->n * sizeof(*v));
	if (more->n)
		memcpy(v + to->n, more->v, more->n * sizeof(*v));
	*to = (struct texts){ v, to->n + more->n };
	return ERR_OK;
}

/* Plain decimal numbers below 2^32-1, which no call takes for an id; nothing around them. */
static bool parse_id(struct str s, uint32_t *ret)
{
	uint64_t v;

	if (!scan_u64(&s, UINT32_MAX - 1, &v) || !scan_end(&s))
		return false;
	*ret = (uint32_t)v;
	return true;
}

static enum err_kind set_user(struct spec_user *u, const char *text, struct err *e)
{
	struct str uid, gid;
	bool has_gid = str_cut(str_of(text), ':', &uid, &gid);

	if (!parse_id(uid, &u->uid) || (has_gid && !parse_id(gid, &u->gid)))
		return err_set(e, ERR_INVALID, __func__, "--user: \"%.60s\" is not UID[:GID]",
			       text);
	return ERR_OK;
}

static enum err_kind set_groups(struct spec_user *u, const struct texts *gids, struct arena *a,
				struct err *e)
{
	uint32_t *v = arena_array(a, u->additional_gids.n + gids->n + 1, sizeof(*v));

	if (!v)
		return no_memory(e);
	if (u->additional_gids.n)
		memcpy(v, u->additional_gids.v, u->additional_gids.n * sizeof(*v));
	for (size_t i = 0; i < gids->n; i++) {
		if (!parse_id(str_of(gids->v[i]), &v[u->additional_gids.n + i]))
			return err_set(e, ERR_INVALID, __func__,
				       "--additional-gids: \"%.60s\" is no group id", gids->v[i]);
	}
	u->additional_gids = (struct numbers){ v, u->additional_gids.n + gids->n };
	return ERR_OK;
}

/* What only --cap names is never inheritable (CVE-2022-29162), and so not ambient either. */
static enum err_kind add_caps(struct spec_process *p, const struct texts *caps, struct arena *a,
			      struct err *e)
{
	struct spec_caps *c = arena_get(a, sizeof(*c));
	enum err_kind k = ERR_OK;

	if (!c)
		return no_memory(e);
	if (p->capabilities)
		*c = *p->capabilities;
	for (size_t i = 0; k == ERR_OK && i < CAPS_N; i++) {
		if (i != CAPS_INHERITABLE && i != CAPS_AMBIENT)
			k = append(&c->sets[i], caps, a, e);
	}
	p->capabilities = c;
	return k;
}

/* The container's process with other arguments. */
static enum err_kind process_of_arguments(struct cli *c, const struct spec *s,
					  struct spec_process *p, struct err *e)
{
	const struct exec_args *x = c->options;
	const struct texts args = { (const char **)(void *)(c->args + 1), c->args_n - 1 };
	enum err_kind k = ERR_OK;

	*p = s->process ? *s->process : (struct spec_process){ .cwd = "/" };
	p->args = (struct texts){ 0 };
	if (!args.n)
		return err_set(e, ERR_INVALID, __func__, "process args cannot be empty");
	if (!args.v[0][0])
		return err_set(e, ERR_INVALID, __func__, "process.args[0]: must not be empty");
	p->terminal = x->tty;
	k = append(&p->args, &args, &c->arena, e);
	if (k == ERR_OK)
		k = append(&p->env, &x->env, &c->arena, e);
	for (size_t i = 0; k == ERR_OK && i < x->env.n; i++) {
		if (!strchr(x->env.v[i], '=') || x->env.v[i][0] == '=')
			k = err_set(e, ERR_INVALID, __func__, "--env: \"%.60s\" is not NAME=VALUE",
				    x->env.v[i]);
	}
	if (k == ERR_OK && x->user)
		k = set_user(&p->user, x->user, e);
	if (k == ERR_OK && x->gids.n)
		k = set_groups(&p->user, &x->gids, &c->arena, e);
	if (k == ERR_OK && x->caps.n)
		k = add_caps(p, &x->caps, &c->arena, e);
	if (k == ERR_OK && x->cwd && x->cwd[0] != '/')
		k = err_set(e, ERR_INVALID, __func__, "--cwd: must be an absolute path");
	if (x->cwd)
		p->cwd = x->cwd;
	if (x->apparmor)
		p->apparmor_profile = x->apparmor;
	if (x->label)
		p->selinux_label = x->label;
	p->no_new_privileges = p->no_new_privileges || x->no_new_privs;
	return k;
}

struct execution {
	struct spec spec;
	struct jv *document;
	struct spec_process own, *process;
	int console; /* our end, or -1 */
	int status;
};

static enum err_kind read_process(struct cli *c, struct execution *x, struct err *e)
{
	const struct exec_args *a = c->options;
	AUTO_SBUF text;
	enum err_kind k;

	x->process = &x->own;
	if (!a->process)
		return process_of_arguments(c, &x->spec, &x->own, e);
	k = cli_read_file(a->process, &text, e);
	if (k == ERR_OK)
		k = spec_parse_process((struct str){ text.p, text.n }, &c->arena, &x->document,
				       &x->process, e);
	if (k == ERR_OK && a->tty)
		x->process->terminal = true;
	return k;
}

static enum err_kind check_terminal(const struct exec_args *a, const struct spec_process *p,
				    struct err *e)
{
	if (p->terminal && a->detach && !a->console_socket)
		return err_set(e, ERR_INVALID, __func__,
			       "cannot allocate tty if " PROGRAM
			       " will detach without setting console socket");
	if (!p->terminal && a->console_socket)
		return err_set(e, ERR_INVALID, __func__,
			       "cannot use console socket if " PROGRAM
			       " will not detach or allocate tty");
	return ERR_OK;
}

static enum err_kind run_process(struct cli *c, struct container *container, struct execution *x,
				 struct err *e)
{
	const struct exec_args *a = c->options;
	struct exec_request rq = { .process = x->process,
				   .pid_file = a->pid_file,
				   .console_socket = a->console_socket,
				   .console_fd = -1,
				   .cgroup = a->cgroup,
				   .ignore_paused = a->ignore_paused,
				   .detaches = a->detach };
	pid_t pid = 0;
	enum err_kind k = cli_check_fds(&a->preserve_fds, &rq.preserve_fds, e);

	if (k == ERR_OK && !a->detach)
		k = foreground_begin(e);
	if (k == ERR_OK && !a->detach && !a->console_socket)
		k = foreground_console(&rq.console_fd, &x->console, e);
	if (k == ERR_OK)
		k = runtime_exec(&c->rt, container, &x->spec, &rq, &c->arena, &pid, e);
	fd_close(&rq.console_fd);
	if (k != ERR_OK || a->detach)
		return k;
	return foreground_wait(pid, x->process->terminal ? x->console : -1, &x->status, e);
}

static enum err_kind execute(struct cli *c, struct execution *x, struct err *e)
{
	AUTO_CONTAINER container = { .dir = -1, .lock = -1 };
	enum err_kind k = cli_open_container(c, &container, e);

	if (k == ERR_OK)
		k = runtime_read_spec(&container, &x->spec, e);
	if (k == ERR_OK)
		k = read_process(c, x, e);
	if (k == ERR_OK)
		k = check_terminal(c->options, x->process, e);
	return k == ERR_OK ? run_process(c, &container, x, e) : k;
}

static int run_exec(struct cli *c)
{
	struct execution x = { .console = -1 };
	struct err e;
	enum err_kind k = execute(c, &x, &e);

	fd_close(&x.console);
	jv_free(&x.document);
	spec_clear(&x.spec);
	if (k == ERR_OK)
		return x.status;
	(void)cli_fail("exec failed: ", &e);
	return EXIT_EXEC_FAILED;
}

const struct command cmd_exec = {
	.name = "exec",
	.run = run_exec,
	.opts = exec_opts,
	.options_size = sizeof(struct exec_args),
	.args_min = 1,
	.args_max = SIZE_MAX,
	.stops_early = true,
	.usage = "<container-id> <command> [arguments] | --process FILE <container-id>",
	.doc = "run another process in a container",
};
