#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>

#include "base/fd.h"
#include "runtime/cli/cli.h"
#include "runtime/container/userns.h"

#define ARENA_MAX (64u * 1024 * 1024)
#define MESSAGE_MAX 2048
#define HOST_UID_MAP "         0          0 4294967295\n" /* of the first user namespace */

static const struct command *const commands[] = {
	&cmd_run,     &cmd_create,
	&cmd_start,   &cmd_stop,
	&cmd_restart, &cmd_kill,
	&cmd_pause,   &cmd_unpause,
	&cmd_rm,      &cmd_ps,
	&cmd_logs,    &cmd_exec,
	&cmd_attach,  &cmd_wait,
	&cmd_inspect, &cmd_top,
	&cmd_stats,   &cmd_diff,
	&cmd_cp,      &cmd_copy,
	&cmd_commit,  &cmd_import,
	&cmd_pull,    &cmd_push,
	&cmd_images,  &cmd_tag,
	&cmd_rmi,     &cmd_save,
	&cmd_load,    &cmd_prune,
	&cmd_login,   &cmd_logout,
	&cmd_unpack,  &cmd_network,
	&cmd_volume,  &cmd_port,
	&cmd_events,  &cmd_generate_systemd,
};

static void complain(struct str message)
{
	AUTO_SBUF line;

	sbuf_init(&line, 8u * MESSAGE_MAX);
	sbuf_addf(&line, "berth: ");
	text_show(&line, message);
	sbuf_addf(&line, "\n");
	if (!line.failed)
		(void)fputs(line.p, stderr);
}

int cli_fail(const struct err *e)
{
	complain(str_of(e->msg));
	return EXIT_FAILED;
}

int cli_usage(const struct cli *c, const char *fmt, ...)
{
	char text[MESSAGE_MAX];
	va_list ap;

	(void)c;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	complain(str_of(text));
	return EXIT_USAGE;
}

void cli_note(const char *fmt, ...)
{
	char text[MESSAGE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	complain(str_of(text));
}

int cli_print(const struct sbuf *text)
{
	struct err e;

	if (text->failed)
		(void)err_set(&e, ERR_NO_MEMORY, __func__, "no memory for the output");
	else if ((text->n && fwrite(text->p, 1, text->n, stdout) != text->n) || fflush(stdout) != 0)
		(void)err_sys(&e, __func__, "write to standard output");
	else
		return EXIT_FINE;
	return cli_fail(&e);
}

int cli_print_json(struct jv **take)
{
	AUTO_JV *v = TAKE(*take);
	AUTO_SBUF text;

	sbuf_init(&text, SBUF_MAX);
	jv_dump_pretty(v, 2, &text);
	sbuf_addf(&text, "\n");
	return cli_print(&text);
}

bool cli_is_in_userns(void)
{
	AUTO_CLOSE fd = -1;
	AUTO_SBUF map;
	struct err ignored;

	sbuf_init(&map, 4096);
	return fd_open_at(AT_FDCWD, "/proc/self/uid_map", O_RDONLY, 0, &fd, &ignored) == ERR_OK &&
	       fd_read_rest(fd, &map, "uid_map", &ignored) == ERR_OK &&
	       strcmp(map.p, HOST_UID_MAP) != 0;
}

/* Deep trees are removed with a descriptor for each level. */
static void raise_descriptor_limit(uint64_t *ret_before)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return;
	*ret_before = r.rlim_cur;
	r.rlim_cur = r.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &r); /* else what needs many will say so */
}

static const char *default_root(struct arena *a)
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

	if (geteuid() == 0)
		return "/var/lib/berth";
	if (data && *data == '/')
		return arena_printf(a, "%s/berth", data);
	return arena_printf(a, "%s/.local/share/berth", home && *home ? home : ".");
}

static enum err_kind enter_userns(struct cli *c, struct err *e)
{
	bool alone = false;
	enum err_kind k = userns_enter(c->state, &alone, e);

	if (k == ERR_OK && alone)
		cli_note("no subordinate ids in /etc/subuid and /etc/subgid: only root's files can "
			 "be unpacked (usermod --add-subuids 100000-165535 --add-subgids "
			 "100000-165535 USER)");
	return k;
}

/* What every command takes. */
static const struct opt common_opts[] = {
	{ "json", 0, OPT_FLAG, offsetof(struct cli, json), NULL, "print JSON" }, OPTS_END
};

static int run_command(const struct command *cmd, struct cli *c, int argc, char **argv)
{
	struct opt_set sets[] = { { cmd->opts, NULL }, { common_opts, c }, { NULL, NULL } };
	struct err e;

	c->options = cmd->options_size ? arena_get(&c->arena, cmd->options_size) : NULL;
	if (cmd->options_size && !c->options)
		return cli_usage(c, "no memory");
	sets[0].out = c->options;
	c->args = argv;
	if (opt_parse(sets, argc, argv, cmd->stops_early, &c->arena, &c->args_n, &e) != ERR_OK)
		return cli_usage(c, "%s: %s: \"berth help %s\" lists the options", cmd->name, e.msg,
				 cmd->name);
	if (c->args_n < cmd->args_min || c->args_n > cmd->args_max)
		return cli_usage(c, "%s: usage: berth %s %s", cmd->name, cmd->name, cmd->usage);
	if (!cmd->as_user && geteuid() != 0 && enter_userns(c, &e) != ERR_OK)
		return cli_fail(&e);
	return cmd->run(c);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	return NULL;
}

static const char *default_state(struct arena *a)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");

	if (geteuid() == 0)
		return "/run/berth";
	return dir && *dir == '/' ? arena_printf(a, "%s/berth", dir)
				  : arena_printf(a, "/tmp/berth-%u", (unsigned)geteuid());
}

struct global {
	const char *root, *state, *runtime;
	bool help, version;
};

static const struct opt global_opts[] = {
	{ "root", 0, OPT_TEXT, offsetof(struct global, root), "DIR",
	  "where images are kept (/var/lib/berth, or $XDG_DATA_HOME/berth)" },
	{ "state", 0, OPT_TEXT, offsetof(struct global, state), "DIR",
	  "where running containers are kept (/run/berth, or $XDG_RUNTIME_DIR/berth)" },
	{ "runtime", 0, OPT_TEXT, offsetof(struct global, runtime), "PROGRAM",
	  "another OCI runtime than berth-runtime" },
	{ "help", 'h', OPT_FLAG, offsetof(struct global, help), NULL, "list the commands" },
	{ "version", 'v', OPT_FLAG, offsetof(struct global, version), NULL, "print the version" },
	OPTS_END
};

static int help_of(const struct command *cmd)
{
	AUTO_SBUF text;

	sbuf_init(&text, SBUF_MAX);
	sbuf_addf(&text, "usage: berth %s %s\n\n%s\n", cmd->name, cmd->usage, cmd->doc);
	sbuf_addf(&text, "\n");
	opt_help(cmd->opts, &text);
	opt_help(common_opts, &text);
	return cli_print(&text);
}

static int help(void)
{
	AUTO_SBUF text;

	sbuf_init(&text, SBUF_MAX);
	sbuf_addf(&text,
		  "berth - run what a registry holds\n\nusage: berth [OPTION]... COMMAND ...\n\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		sbuf_addf(&text, "  %-17s %s\n", commands[i]->name, commands[i]->doc);
	sbuf_addf(&text, "\n");
	opt_help(global_opts, &text);
	sbuf_addf(&text, "\n\"berth help COMMAND\" tells of one.\n");
	return cli_print(&text);
}

static int run_help(struct cli *c, const char *name)
{
	const struct command *cmd = name ? find_command(name) : NULL;

	if (name && !cmd)
		return cli_usage(c, "no command \"%s\": \"berth help\" lists them", name);
	return cmd ? help_of(cmd) : help();
}

static int dispatch(struct cli *c, size_t n, char **argv)
{
	const struct command *cmd;

	if (n == 0)
		return cli_usage(c, "a command is needed: \"berth help\" lists them");
	if (strcmp(argv[0], "help") == 0)
		return run_help(c, n > 1 ? argv[1] : NULL);
	cmd = find_command(argv[0]);
	if (!cmd)
		return cli_usage(c, "no command \"%s\": \"berth help\" lists them", argv[0]);
	for (size_t i = 1; i < n; i++) {
		if (strcmp(argv[i], "--help") == 0 ||
		    (strcmp(argv[i], "-h") == 0 && !cmd->stops_early))
			return help_of(cmd);
	}
	return run_command(cmd, c, (int)n - 1, argv + 1);
}

static int cli_main(int argc, char **argv)
{
	struct global g = { 0 };
	struct opt_set sets[] = { { global_opts, &g }, { NULL, NULL } };
	struct cli c = { 0 };
	AUTO_ARENA arena;
	struct err e;
	size_t n = 0;
	int status;

	raise_descriptor_limit(&c.files_soft);
	arena_init(&arena, ARENA_MAX);
	c.arena = arena;
	if (opt_parse(sets, argc - 1, argv + 1, true, &c.arena, &n, &e) != ERR_OK)
		status = cli_usage(&c, "%s: \"berth help\" lists the options", e.msg);
	else if (g.version)
		status = printf("berth %s\n", BERTH_VERSION) > 0 ? EXIT_FINE : EXIT_FAILED;
	else if (g.help)
		status = help();
	else {
		/* Programs that run elsewhere are told of them, too. */
		c.root = g.root ? arena_absolute(&c.arena, g.root) : default_root(&c.arena);
		c.state = g.state ? arena_absolute(&c.arena, g.state) : default_state(&c.arena);
		c.runtime = g.runtime;
		status = dispatch(&c, n, argv + 1);
	}
	arena = c.arena;
	return status;
}

int main(int argc, char **argv)
{
#ifdef BERTH_FAULT
	fault_from_environment();
#endif
	(void)signal(SIGPIPE, SIG_IGN);
	(void)umask(CLI_UMASK);
	return cli_main(argc, argv);
}
