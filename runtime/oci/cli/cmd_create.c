/* create, start, run, kill, delete. */
#include <errno.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "runtime/oci/cli/cli.h"
#include "runtime/oci/cli/foreground.h"
#include "runtime/oci/cli/signals.h"

#define LOCK_MS 10000

struct create_args {
	const char *bundle, *console_socket, *pid_file;
	bool no_pivot, no_new_keyring, dry_run, detach, keep, no_subreaper;
	struct opt_i64 preserve_fds;
};

#define A(m) offsetof(struct create_args, m)
#define CREATE_OPTS                                                                                \
	{ "bundle", 'b', OPT_TEXT, A(bundle), "directory of config.json (.)" },                    \
	    { "console-socket", 0, OPT_TEXT, A(console_socket),                                    \
	      "unix socket that takes the master of the terminal" },                               \
	    { "pid-file", 0, OPT_TEXT, A(pid_file), "file for the pid of the process" },           \
	    { "no-pivot", 0, OPT_FLAG, A(no_pivot),                                                \
	      "move the root instead of pivot_root, for roots on a ramdisk" },                     \
	    { "no-new-keyring", 0, OPT_FLAG, A(no_new_keyring),                                    \
	      "keep the caller's session keyring" },                                               \
	{                                                                                          \
		"preserve-fds", 0, OPT_NUMBER, A(preserve_fds),                                    \
		    "descriptors after stdio and LISTEN_FDS that the process gets"                 \
	}

static const struct opt create_opts[] = {
	CREATE_OPTS,
	{ "dry-run", 0, OPT_FLAG, A(dry_run), "print what would be done, and do nothing" },
	OPTS_END,
};

static const struct opt run_opts[] = {
	CREATE_OPTS,
	{ "detach", 'd', OPT_FLAG, A(detach), "do not wait for the process" },
	{ "keep", 0, OPT_FLAG, A(keep), "do not delete the container when it has ended" },
	{ "no-subreaper", 0, OPT_FLAG, A(no_subreaper), "do not adopt orphans of the container" },
	OPTS_END,
};

static struct create_options options_of(const struct create_args *a)
{
	return (struct create_options){ .bundle = a->bundle,
					.pid_file = a->pid_file,
					.console_socket = a->console_socket,
					.console_fd = -1,
					.no_pivot = a->no_pivot,
					.no_new_keyring = a->no_new_keyring,
					.detaches = true };
}

static enum err_kind create(struct cli *c, struct sbuf *plan, struct err *e)
{
	const struct create_args *a = c->options;
	AUTO_CONTAINER container = { .dir = -1, .lock = -1 };
	struct create_options o = options_of(a);
	enum err_kind k = cli_check_fds(&a->preserve_fds, &o.preserve_fds, e);

	if (a->dry_run)
		o.dry_run = plan;
	if (k == ERR_OK && !a->dry_run)
		k = cli_open_root(c, true, e);
	return k == ERR_OK ? runtime_create(&c->rt, c->args[0], &o, &c->arena, &container, e) : k;
}

static int run_create(struct cli *c)
{
	AUTO_SBUF plan;
	struct err e;

	sbuf_init(&plan, 4u * 1024 * 1024);
	if (create(c, &plan, &e) != ERR_OK)
		return cli_fail(PROGRAM " create failed: ", &e);
	return plan.n ? cli_print(&plan) : EXIT_OK;
}

const struct command cmd_create = {
	.name = "create",
	.run = run_create,
	.opts = create_opts,
	.options_size = sizeof(struct create_args),
	.args_min = 1,
	.args_max = 1,
	.usage = "<container-id>",
	.doc = "create a container from a bundle",
};

static enum err_kind start(struct cli *c, struct err *e)
{
	AUTO_CONTAINER container = { .dir = -1, .lock = -1 };
	enum err_kind k = cli_open_container(c, &container, e);

	if (k == ERR_OK)
		k = container_lock(&container, LOCK_MS, e);
	return k == ERR_OK ? runtime_start(&c->rt, &container, e) : k;
}

static const struct opt no_opts[] = { OPTS_END };

static int run_start(struct cli *c)
{
	struct err e;

	return start(c, &e) == ERR_OK ? EXIT_OK : cli_fail("", &e);
}

const struct command cmd_start = {
	.name = "start",
	.run = run_start,
	.opts = no_opts,
	.args_min = 1,
	.args_max = 1,
	.usage = "<container-id>",
	.doc = "run the program of a created container",
};

/* ---- run ---- */

struct foreground_run {
	struct container c;
	int console; /* our end, or -1 */
	int status;
};

static enum err_kind begin(struct cli *c, struct create_options *o, struct foreground_run *r,
			   struct err *e)
{
	const struct create_args *a = c->options;
	enum err_kind k = ERR_OK;

	o->detaches = a->detach;
	if (!a->no_subreaper)
		(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (!a->detach)
		k = foreground_begin(e);
	if (k == ERR_OK && !a->detach && !a->console_socket)
		k = foreground_console(&o->console_fd, &r->console, e);
	return k;
}

/* Somebody may have deleted it meanwhile. */
static enum err_kind end_run(struct cli *c, struct container *container, struct err *e)
{
	enum err_kind k = container_lock(container, LOCK_MS, e);

	if (k == ERR_OK)
		k = runtime_delete(&c->rt, container, true, e);
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

static enum err_kind go(struct cli *c, struct create_options *o, struct foreground_run *r,
			struct err *e)
{
	const struct create_args *a = c->options;
	enum err_kind k = runtime_create(&c->rt, c->args[0], o, &c->arena, &r->c, e);
	pid_t pid = r->c.state.pid;

	if (k != ERR_OK)
		return k;
	k = runtime_start(&c->rt, &r->c, e);
	if (k != ERR_OK || a->detach)
		return k;
	fd_close(&r->c.lock); /* others may pause, update or delete it while it runs */
	k = foreground_wait(pid, r->c.state.has_terminal ? r->console : -1, &r->status, e);
	return k == ERR_OK && !a->keep ? end_run(c, &r->c, e) : k;
}

static int run_run(struct cli *c)
{
	struct foreground_run r = { .c = { .dir = -1, .lock = -1 }, .console = -1 };
	const struct create_args *a = c->options;
	struct create_options o = options_of(a);
	struct err e;
	enum err_kind k = cli_check_fds(&a->preserve_fds, &o.preserve_fds, &e);

	if (k == ERR_OK)
		k = cli_open_root(c, true, &e);
	if (k == ERR_OK)
		k = begin(c, &o, &r, &e);
	if (k == ERR_OK)
		k = go(c, &o, &r, &e);
	container_close(&r.c);
	return k == ERR_OK ? r.status : cli_fail(PROGRAM " run failed: ", &e);
}

const struct command cmd_run = {
	.name = "run",
	.run = run_run,
	.opts = run_opts,
	.options_size = sizeof(struct create_args),
	.args_min = 1,
	.args_max = 1,
	.usage = "<container-id>",
	.doc = "create and start a container, and wait for its end",
};

/* ---- kill ---- */

struct kill_args {
	bool all;
};

static const struct opt kill_opts[] = {
	{ "all", 'a', OPT_FLAG, offsetof(struct kill_args, all),
	  "signal every process of the container" },
	OPTS_END,
};

static int run_kill(struct cli *c)
{
	const struct kill_args *a = c->options;
	AUTO_CONTAINER container = { .dir = -1, .lock = -1 };
	const char *name = c->args_n > 1 ? c->args[1] : "TERM";
	struct err e;
	enum err_kind k = cli_open_container(c, &container, &e);
	int sig = 0;

	if (k == ERR_OK && !signal_parse(name, &sig))
		k = err_set(&e, ERR_INVALID, __func__, "unknown signal \"%.40s\"", name);
	if (k == ERR_OK)
		k = runtime_kill(&container, sig, a->all, &e);
	return k == ERR_OK ? EXIT_OK : cli_fail("", &e);
}

const struct command cmd_kill = {
	.name = "kill",
	.run = run_kill,
	.opts = kill_opts,
	.options_size = sizeof(struct kill_args),
	.args_min = 1,
	.args_max = 2,
	.usage = "<container-id> [signal]",
	.doc = "send a signal (TERM) to the container's process",
};

/* ---- delete ---- */

struct delete_args {
	bool force;
};

static const struct opt delete_opts[] = {
	{ "force", 'f', OPT_FLAG, offsetof(struct delete_args, force),
	  "kill it if it runs; not being there is no error" },
	OPTS_END,
};

static int run_delete(struct cli *c)
{
	const struct delete_args *a = c->options;
	struct err e;
	enum err_kind k = cli_open_root(c, false, &e);

	if (k == ERR_OK)
		k = runtime_delete_id(&c->rt, c->args[0], a->force, &e);
	if (k == ERR_NOT_FOUND && a->force)
		return EXIT_OK;
	return k == ERR_OK ? EXIT_OK : cli_fail("", &e);
}

const struct command cmd_delete = {
	.name = "delete",
	.run = run_delete,
	.opts = delete_opts,
	.options_size = sizeof(struct delete_args),
	.args_min = 1,
	.args_max = 1,
	.usage = "<container-id>",
	.doc = "remove what a stopped container holds",
};
