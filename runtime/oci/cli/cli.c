#include "runtime/oci/cli/cli.h"

#include <errno.h>
#include <signal.h>

#include "base/fd.h"
#include "runtime/oci/run/self.h"
#include "runtime/oci/seccomp/filter.h"

#define ARENA_MAX (128u * 1024 * 1024)
#define FILE_BYTES_MAX (16u * 1024 * 1024)
#define PRESERVE_FDS_MAX 1024

static const struct command *const commands[] = {
	&cmd_checkpoint, &cmd_create, &cmd_delete, &cmd_events, &cmd_exec,    &cmd_features,
	&cmd_kill,       &cmd_list,   &cmd_pause,  &cmd_ps,     &cmd_restore, &cmd_resume,
	&cmd_run,        &cmd_spec,   &cmd_start,  &cmd_state,  &cmd_update,
};

struct global_options {
	const char *root, *log, *log_format, *criu, *rootless, *cgroup_manager;
	bool debug, systemd_cgroup, help, version;
};

#define G(m) offsetof(struct global_options, m)
static const struct opt global_opts[] = {
	{ "root", 0, OPT_TEXT, G(root), "directory of the containers' state (/run/" PROGRAM ")" },
	{ "log", 0, OPT_TEXT, G(log), "file for errors and warnings, beside stderr" },
	{ "log-format", 0, OPT_TEXT, G(log_format), "text or json" },
	{ "systemd-cgroup", 0, OPT_FLAG, G(systemd_cgroup),
	  "let systemd make cgroups; cgroupsPath is slice:prefix:name" },
	{ "cgroup-manager", 0, OPT_TEXT, G(cgroup_manager), "cgroupfs or systemd" },
	{ "debug", 0, OPT_FLAG, G(debug), "log more" },
	{ "criu", 0, OPT_TEXT, G(criu), "program that checkpoints and restores (criu)" },
	{ "rootless", 0, OPT_TEXT, G(rootless), "ignored: what is allowed is found out" },
	{ "help", 'h', OPT_FLAG, G(help), "show this text" },
	{ "version", 'v', OPT_FLAG, G(version), "show the versions" },
	OPTS_END,
};

int cli_fail(const char *prefix, const struct err *e)
{
	char text[ERR_MSG_MAX + 64];

	(void)snprintf(text, sizeof(text), "%s%s", prefix, e->msg);
	report_error(text);
	return EXIT_FAILED;
}

int cli_print(const struct sbuf *text)
{
	struct err e;

	if (text->failed) {
		report_error("no memory for the output");
		return EXIT_FAILED;
	}
	if (fd_write_all(1, text->p, text->n, "standard output", &e) != ERR_OK)
		return cli_fail("", &e);
	return EXIT_OK;
}

enum err_kind cli_read_file(const char *path, struct sbuf *ret, struct err *e)
{
	AUTO_CLOSE fd = -1;

	sbuf_init(ret, FILE_BYTES_MAX);
	if (strcmp(path, "-") == 0)
		return fd_read_rest(0, ret, "standard input", e);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_sys(e, __func__, "open %s", path);
	return fd_read_rest(fd, ret, path, e);
}

enum err_kind cli_open_root(struct cli *c, bool make, struct err *e)
{
	enum err_kind k = container_root_open(c->rt.root_path, make, &c->rt.root, e);

	if (k == ERR_NOT_FOUND && !make)
		return err_set(e, k, __func__, "container does not exist");
	return k;
}

enum err_kind cli_open_container(struct cli *c, struct container *ret, struct err *e)
{
	enum err_kind k = cli_open_root(c, false, e);

	return k == ERR_OK ? container_open(c->rt.root, c->args[0], &c->arena, ret, e) : k;
}

enum err_kind cli_check_fds(const struct opt_i64 *preserve, unsigned *ret, struct err *e)
{
	unsigned listen = runtime_listen_fds();
	int64_t n = preserve->set ? preserve->v : 0;

	if (n < 0 || n > PRESERVE_FDS_MAX)
		return err_set(e, ERR_INVALID, __func__, "--preserve-fds: 0 to %d is wanted",
			       PRESERVE_FDS_MAX);
	for (unsigned fd = 3; fd < 3 + listen + (unsigned)n; fd++) {
		if (fcntl((int)fd, F_GETFD) != 0) /* with FD_CLOEXEC it is one of our own */
			return err_set(e, ERR_INVALID, __func__,
				       "--preserve-fds: descriptor %u is not open", fd);
	}
	if (close_range(3 + listen + (unsigned)n, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		return err_sys(e, __func__, "close_range");
	*ret = (unsigned)n;
	return ERR_OK;
}

static int print_version(void)
{
	AUTO_SBUF out;
	char version[32];

	sbuf_init(&out, 4096);
	sbuf_addf(&out,
		  PROGRAM " version " BERTH_VERSION "\ncommit: " BERTH_VERSION
			  "\nspec: " SPEC_VERSION "\nlibseccomp: %s\n",
		  filter_library_version(version));
	return cli_print(&out);
}

static int print_help(void)
{
	AUTO_SBUF out;

	sbuf_init(&out, 65536);
	sbuf_addf(&out, PROGRAM
		  " - run containers by the OCI runtime specification\n\nUSAGE:\n   " PROGRAM
		  " [global options] command [options] [arguments]\n\nCOMMANDS:\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		sbuf_addf(&out, "   %-12s %s\n", commands[i]->name, commands[i]->doc);
	sbuf_addf(&out, "\nGLOBAL OPTIONS:\n");
	opt_help(global_opts, &out);
	return cli_print(&out);
}

static int print_command_help(const struct command *cmd, bool is_error)
{
	AUTO_SBUF out;
	int r;

	sbuf_init(&out, 65536);
	if (is_error)
		sbuf_addf(&out, "Incorrect Usage.\n\n");
	sbuf_addf(&out,
		  "NAME:\n   " PROGRAM " %s - %s\n\nUSAGE:\n   " PROGRAM
		  " %s [options] %s\n\nOPTIONS:\n",
		  cmd->name, cmd->doc, cmd->name, cmd->usage);
	opt_help(cmd->opts, &out);
	r = cli_print(&out);
	return is_error ? EXIT_FAILED : r;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	return NULL;
}

static int wrong_arguments(const struct command *cmd)
{
	struct err e;

	(void)print_command_help(cmd, true);
	if (cmd->args_min == cmd->args_max)
		(void)err_set(&e, ERR_INVALID, __func__,
			      PROGRAM ": \"%s\" requires exactly %zu argument(s)", cmd->name,
			      cmd->args_min);
	else
		(void)err_set(&e, ERR_INVALID, __func__,
			      PROGRAM ": \"%s\" requires a minimum of %zu argument(s)", cmd->name,
			      cmd->args_min);
	return cli_fail("", &e);
}

static bool asks_for_help(int argc, char **argv, bool stops_early)
{
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
		if (stops_early && argv[i][0] != '-')
			return false;
	}
	return false;
}

static int run_command(struct cli *c, const struct command *cmd, int argc, char **argv)
{
	struct err e;

	if (asks_for_help(argc, argv, cmd->stops_early))
		return print_command_help(cmd, false);
	c->options = arena_get(&c->arena, cmd->options_size + 1);
	if (!c->options) {
		report_error("no memory");
		return EXIT_FAILED;
	}
	if (opt_parse(cmd->opts, argc, argv, cmd->stops_early, &c->arena, c->options, &c->args_n,
		      &e) != ERR_OK) {
		(void)print_command_help(cmd, true);
		return cli_fail("", &e);
	}
	c->args = argv;
	if (c->args_n < cmd->args_min || c->args_n > cmd->args_max)
		return wrong_arguments(cmd);
	return cmd->run(c);
}

/* /run belongs to root; an ordinary user, and root of a user namespace within somebody's session, have their own. */
static const char *default_root(const struct host *h, struct arena *a)
{
	const char *session = getenv("XDG_RUNTIME_DIR");
	bool is_real_root = h->euid == 0 && !h->in_userns;

	if (!is_real_root && session && session[0] == '/')
		return arena_printf(a, "%s/" PROGRAM, session);
	return h->euid == 0 ? "/run/" PROGRAM : NULL;
}

static enum err_kind choose_manager(struct cli *c, const struct global_options *g, struct err *e)
{
	c->rt.manager_systemd = g->systemd_cgroup;
	if (!g->cgroup_manager || strcmp(g->cgroup_manager, "cgroupfs") == 0)
		return ERR_OK;
	if (strcmp(g->cgroup_manager, "systemd") != 0)
		return err_set(e, ERR_INVALID, __func__,
			       "--cgroup-manager: cgroupfs or systemd is wanted");
	c->rt.manager_systemd = true;
	return ERR_OK;
}

static enum err_kind prepare(struct cli *c, const struct global_options *g, struct err *e)
{
	enum err_kind k = report_open(g->log, g->log_format, g->debug, e);

	if (k == ERR_OK)
		k = host_probe(&c->rt.host, e);
	if (k == ERR_OK)
		k = choose_manager(c, g, e);
	if (k != ERR_OK)
		return k;
	c->rt.root_path = g->root && g->root[0] ? g->root : default_root(&c->rt.host, &c->arena);
	if (!c->rt.root_path)
		return err_set(e, ERR_INVALID, __func__,
			       "XDG_RUNTIME_DIR is not set: --root DIR says where state is kept");
	c->rt.helper = self_helper_path(&c->arena);
	c->criu = g->criu;
	return ERR_OK;
}

static int unknown_command(const char *name)
{
	char text[128];

	(void)snprintf(text, sizeof(text), "No help topic for '%.60s'", name);
	report_error(text);
	return EXIT_NO_COMMAND;
}

static int run(struct cli *c, int argc, char **argv)
{
	struct global_options g = { 0 };
	const struct command *cmd;
	struct err e;
	size_t n;

	if (opt_parse(global_opts, argc - 1, argv + 1, true, &c->arena, &g, &n, &e) != ERR_OK) {
		(void)print_help();
		return cli_fail("", &e);
	}
	if (g.version)
		return print_version();
	if (n == 0 || g.help || strcmp(argv[1], "help") == 0)
		return print_help();
	if (prepare(c, &g, &e) != ERR_OK)
		return cli_fail("", &e);
	cmd = find_command(argv[1]);
	return cmd ? run_command(c, cmd, (int)n - 1, argv + 2) : unknown_command(argv[1]);
}

int cli_main(int argc, char **argv)
{
	struct cli c = { .rt = { .root = -1, .host.proc = -1, .warn = report_warning } };
	int status;

	(void)signal(SIGPIPE, SIG_IGN); /* a hook or a client that goes away is an error value */
	arena_init(&c.arena, ARENA_MAX);
	status = run(&c, argc, argv);
	fd_close(&c.rt.root);
	fd_close(&c.rt.host.proc);
	arena_clear(&c.arena);
	return status;
}
