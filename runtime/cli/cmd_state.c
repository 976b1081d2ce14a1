/* start, stop, restart, kill, pause, unpause, wait, rm: what a container is doing. */
#include <signal.h>

#include "runtime/cli/attach.h"
#include "runtime/cli/report.h"

#define WAIT_GONE_MS 30000

static enum err_kind must_run(struct container *c, struct err *e)
{
	struct status now;
	bool supervised;
	enum err_kind k = status_now(c->dir, &now, &supervised, e);

	if (k == ERR_OK && !supervised)
		return err_set(e, ERR_INVALID, __func__, "container %s is not running",
			       c->record.name);
	return k;
}

/* --- start --- */

struct start_args {
	bool attach, interactive;
};

static enum err_kind start_one(struct ctl *t, struct container *c, void *arg, struct err *e)
{
	struct status now;
	bool supervised;
	enum err_kind k = container_lock(c, e);

	(void)arg;
	if (k == ERR_OK)
		k = status_now(c->dir, &now, &supervised, e);
	if (k == ERR_OK && supervised && now.pid)
		return ERR_OK; /* as docker and podman have it */
	return k == ERR_OK ? ctl_start(t, c, NULL, e) : k;
}

static int start_attached(struct cli *c, const struct start_args *a)
{
	AUTO_CTL t = CTL_INIT;
	AUTO_CONTAINER one = CONTAINER_INIT;
	AUTO_CLOSE fd = -1;
	struct attach attach;
	enum attach_end end;
	struct err e;
	int code = 0;
	enum err_kind k = ctl_open(c, &t, &e);

	if (k == ERR_OK)
		k = container_find(&t.cs, c->args[0], &one, &e);
	if (k == ERR_OK)
		k = container_lock(&one, &e);
	if (k == ERR_OK)
		k = ctl_start(&t, &one, &fd, &e);
	if (k != ERR_OK)
		return cli_fail(&e);
	fd_close(&one.lock);
	attach = (struct attach){ .t = &t,
				  .c = &one,
				  .fd = fd,
				  .with_stdin = a->interactive && one.record.stdin_open,
				  .terminal = one.record.terminal,
				  .pass_signals = true };
	if (attach_run(&attach, &end, &code, &e) != ERR_OK)
		return cli_fail(&e);
	return end == ATTACH_LOST ? EXIT_FAILED : code;
}

static int run_start(struct cli *c)
{
	const struct start_args *a = c->options;

	if (!a->attach && !a->interactive)
		return ctl_for_each(c, CTL_PRINT_NAMES, start_one, NULL);
	if (c->args_n != 1)
		return cli_usage(c, "start: --attach is for one container");
	if (c->json)
		return report_refuse(c, "start", "is not for --attach: " REPORT_NOT_OURS);
	return start_attached(c, a);
}

static const struct opt start_opts[] = {
	{ "attach", 'a', OPT_FLAG, offsetof(struct start_args, attach), NULL,
	  "show its output and wait for its end" },
	{ "interactive", 'i', OPT_FLAG, offsetof(struct start_args, interactive), NULL,
	  "and feed its input" },
	OPTS_END
};

const struct command cmd_start = {
	.name = "start",
	.run = run_start,
	.opts = start_opts,
	.options_size = sizeof(struct start_args),
	.args_min = 1,
	.args_max = SIZE_MAX,
	.usage = "[OPTION]... CONTAINER...",
	.doc = "start containers again",
};

/* --- stop, restart --- */

struct stop_args {
	const char *time;
};

static enum err_kind timeout_of(const struct stop_args *a, const struct container *c, uint64_t *ret,
				struct err *e)
{
	struct str in = str_of(a->time);

	*ret = c->record.stop_timeout_ms;
	if (!a->time)
		return ERR_OK;
	if (strcmp(a->time, "-1") == 0) {
		*ret = STOP_NEVER_MS;
		return ERR_OK;
	}
	if (!scan_u64(&in, 604800, ret) || !scan_end(&in))
		return err_set(e, ERR_INVALID, __func__, "--time wants seconds");
	*ret *= 1000;
	return ERR_OK;
}

static enum err_kind stop_one(struct ctl *t, struct container *c, void *arg, struct err *e)
{
	uint64_t ms;
	enum err_kind k = timeout_of(arg, c, &ms, e);

	if (k == ERR_OK)
		k = ctl_stop(t, c, ms, e);
	if (k == ERR_OK && !shim_wait_gone(c->dir, WAIT_GONE_MS))
		k = err_set(e, ERR_IO, __func__, "the container's shim does not end");
	return k;
}

static enum err_kind restart_one(struct ctl *t, struct container *c, void *arg, struct err *e)
{
	enum err_kind k = container_lock(c, e);

	if (k == ERR_OK)
		k = stop_one(t, c, arg, e);
	return k == ERR_OK ? ctl_start(t, c, NULL, e) : k;
}

static int run_stop(struct cli *c)
{
	return ctl_for_each(c, CTL_PRINT_NAMES, stop_one, c->options);
}

static int run_restart(struct cli *c)
{
	return ctl_for_each(c, CTL_PRINT_NAMES, restart_one, c->options);
}

static const struct opt stop_opts[] = {
	{ "time", 't', OPT_TEXT, offsetof(struct stop_args, time), "SECONDS",
	  "until it is killed (the container's, or 10); -1: never" },
	OPTS_END
};

const struct command cmd_stop = {
	.name = "stop",
	.run = run_stop,
	.opts = stop_opts,
	.options_size = sizeof(struct stop_args),
	.args_min = 1,
	.args_max = SIZE_MAX,
	.usage = "[OPTION]... CONTAINER...",
	.doc = "ask containers to end, and kill those that do not",
};

const struct command cmd_restart = {
	.name = "restart",
	.run = run_restart,
	.opts = stop_opts,
	.options_size = sizeof(struct stop_args),
	.args_min = 1,
	.args_max = SIZE_MAX,
	.usage = "[OPTION]... CONTAINER...",
	.doc = "stop containers and start them again",
};

/* --- kill --- */

struct kill_args {
	const char *signal;
};

static enum err_kind kill_one(struct ctl *t, struct container *c, void *arg, struct err *e)
{
	const struct kill_args *a = arg;
	int number = a->signal ? signal_parse(str_of(a->signal)) : SIGKILL;
	char text[16];
	struct status now;
	bool supervised;
	enum err_kind k = status_now(c->dir, &now, &supervised, e);

	if (number == 0)
		return err_set(e, ERR_INVALID, __func__, "\"%.40s\" is no signal", a->signal);
	if (k == ERR_OK && !now.pid)
		return err_set(e, ERR_INVALID, __func__, "container %s is not running",
			       c->record.name);
	(void)snprintf(text, sizeof(text), "%d", number);
	if (k == ERR_OK && supervised)
		return ctl_ask(t, c, SHIM_KILL, text, NULL, e);
	return k == ERR_OK ? ctl_signal_orphan(&now, number, false, e) : k;
}

static int run_kill(struct cli *c)
{
	return ctl_for_each(c, CTL_PRINT_NAMES, kill_one, c->options);
}

static const struct opt kill_opts[] = { { "signal", 's', OPT_TEXT,
					  offsetof(struct kill_args, signal), "SIGNAL",
					  "another one than KILL" },
					OPTS_END };

const struct command cmd_kill = {
	.name = "kill",
	.run = run_kill,
	.opts = kill_opts,
	.options_size = sizeof(struct kill_args),
	.args_min = 1,
	.args_max = SIZE_MAX,
	.usage = "[OPTION]... CONTAINER...",
	.doc = "send containers a signal",
};

/* --- pause, unpause --- */

static enum err_kind pause_one(struct ctl *t, struct container *c, void *arg, struct err *e)
{
	enum err_kind k = must_run(c, e);

	return k == ERR_OK ? ctl_ask(t, c, *(const char *)arg, "", NULL, e) : k;
}

static int run_pause(struct cli *c)
{
	char type = SHIM_PAUSE;

	return ctl_for_each(c, CTL_PRINT_NAMES, pause_one, &type);
}

static int run_unpause(struct cli *c)
{
	char type = SHIM_RESUME;

	return ctl_for_each(c, CTL_PRINT_NAMES, pause_one, &type);
}

static const struct opt no_opts[] = { OPTS_END };

const struct command cmd_pause = {
	.name = "pause",
	.run = run_pause,
	.opts = no_opts,
	.args_min = 1,
	.args_max = SIZE_MAX,
	.usage = "CONTAINER...",
	.doc = "hold all processes of containers",
};

const struct command cmd_unpause = {
	.name = "unpause",
	.run = run_unpause,
	.opts = no_opts,
	.args_min = 1,
	.args_max = SIZE_MAX,
	.usage = "CONTAINER...",
	.doc = "let them go on",
};

/* --- wait --- */

static enum err_kind wait_one(struct ctl *t, struct container *c, void *arg, struct err *e)
{
	struct status now;
	bool supervised;
	int code = 0;
	enum err_kind k = status_now(c->dir, &now, &supervised, e);

	(void)arg;
	if (k == ERR_OK && supervised && now.phase != PHASE_EXITED) {
		k = ctl_ask(t, c, SHIM_WAIT, "", &code, e);
		/* Its end may have come in between: then the file has it. */
		if (k != ERR_OK && shim_wait_gone(c->dir, WAIT_GONE_MS))
			k = status_now(c->dir, &now, &supervised, e);
		else
			now.exit_code = code;
	}
	if (k == ERR_OK && t->c->json)
		(void)!jv_set(t->said, "exit_code", jv_pack("i", now.exit_code));
	else if (k == ERR_OK && printf("%d\n", now.exit_code) < 0)
		k = err_sys(e, __func__, "write to standard output");
	return k;
}

static int run_wait(struct cli *c)
{
	return ctl_for_each(c, 0, wait_one, NULL);
}

const struct command cmd_wait = {
	.name = "wait",
	.run = run_wait,
	.opts = no_opts,
	.args_min = 1,
	.args_max = SIZE_MAX,
	.usage = "CONTAINER...",
	.doc = "wait for their end and print their exit statuses",
};

/* --- rm --- */

struct rm_args {
	bool force, ignore, volumes;
};

static enum err_kind rm_one(struct ctl *t, struct container *c, void *arg, struct err *e)
{
	const struct rm_args *a = arg;
	enum err_kind k = container_lock(c, e);

	if (k == ERR_OK)
		k = ctl_remove(t, c, a->force, e);
	return k == ERR_OK && a->volumes ? ctl_drop_volumes(t, &c->record.anonymous, e) : k;
}

static int run_rm(struct cli *c)
{
	struct rm_args *a = c->options;

	return ctl_for_each(c, CTL_PRINT_NAMES | (a->ignore ? CTL_IGNORE_MISSING : 0), rm_one, a);
}

static const struct opt rm_opts[] = { { "force", 'f', OPT_FLAG, offsetof(struct rm_args, force),
					NULL, "kill those that run" },
				      { "volumes", 'v', OPT_FLAG, offsetof(struct rm_args, volumes),
					NULL, "and their volumes without a name" },
				      { "ignore", 0, OPT_FLAG, offsetof(struct rm_args, ignore),
					NULL, "what is not there is no failure" },
				      OPTS_END };

const struct command cmd_rm = {
	.name = "rm",
	.run = run_rm,
	.opts = rm_opts,
	.options_size = sizeof(struct rm_args),
	.args_min = 1,
	.args_max = SIZE_MAX,
	.usage = "[OPTION]... CONTAINER...",
	.doc = "remove containers",
};
