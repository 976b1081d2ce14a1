#include <getopt.h>

#include "runtime/cli/network/network.h"
#include "runtime/net/user_mode.h"

#define PROGRAM "berth-net"
#define DIRS_MAX 32
#define PLUGIN_DIRS "/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni"

enum { LONG_CONF = 256, LONG_PLUGINS, LONG_CACHE, LONG_STATE, LONG_NETNS, LONG_TIMEOUT, LONG_WAIT };

static const struct option options[] = {
	{ "conf-dir", required_argument, NULL, LONG_CONF },
	{ "plugin-path", required_argument, NULL, LONG_PLUGINS },
	{ "cache-dir", required_argument, NULL, LONG_CACHE },
	{ "state-dir", required_argument, NULL, LONG_STATE },
	{ "netns-dir", required_argument, NULL, LONG_NETNS },
	{ "timeout-ms", required_argument, NULL, LONG_TIMEOUT },
	{ "wait-ms", required_argument, NULL, LONG_WAIT },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char *or_env(const char *name, const char *preset)
{
	const char *v = getenv(name);

	return v && *v ? v : preset;
}

static void tell_log(void *arg, const char *plugin, struct str text)
{
	(void)arg, (void)plugin;
	(void)fwrite(text.p, 1, text.n, stderr);
}

static int help(void)
{
	(void)printf(PROGRAM " - container networks by CNI\n\nusage: " PROGRAM
			     " [OPTION]... COMMAND ...\n\n");
	network_cli_help_cni(PROGRAM);
	network_cli_help(PROGRAM);
	(void)printf(
	    "\noptions:\n"
	    "  --conf-dir DIR       configuration lists (NETCONFPATH, /etc/cni/net.d)\n"
	    "  --plugin-path PATH   directories of plugins (CNI_PATH, " PLUGIN_DIRS ")\n"
	    "  --cache-dir DIR      results (/var/lib/cni; of a user $XDG_DATA_HOME/berth-cni)\n"
	    "  --state-dir DIR      locks, and what a reboot may take (/run/berth-net; of a user\n"
	    "                       $XDG_RUNTIME_DIR/berth-net)\n"
	    "  --netns-dir DIR      namespaces made here (/run/netns)\n"
	    "  --timeout-ms N       of one plugin (60000)\n"
	    "  --wait-ms N          for another operation on the same container (120000)\n"
	    "  --json               output for programs\n\n"
	    "add, del and check read CNI_ARGS, CAP_ARGS and CNI_IFNAME as cnitool does.\n");
	return 0;
}

static int usage(const char *what)
{
	(void)fprintf(stderr, PROGRAM ": %s: \"" PROGRAM " --help\" lists the commands\n", what);
	return 2;
}

/* Splits in place. */
static size_t split_path(char *path, const char *dirs[static DIRS_MAX])
{
	size_t n = 0;

	for (char *at = path; at && n < DIRS_MAX;) {
		char *next = strchr(at, ':');

		if (next)
			*next++ = '\0';
		if (*at)
			dirs[n++] = at;
		at = next;
	}
	return n;
}

static bool read_ms(const char *text, uint64_t *ret)
{
	struct str in = str_of(text);

	return scan_u64(&in, INT32_MAX, ret) && scan_end(&in) && *ret > 0;
}

struct settings {
	struct network_cli cli;
	const char *plugin_path;
	bool help, wrong;
};

static void read_option(int c, struct settings *s)
{
	switch (c) {
	case LONG_CONF:
		s->cli.conf_dir = optarg;
		break;
	case LONG_PLUGINS:
		s->plugin_path = optarg;
		break;
	case LONG_CACHE:
		s->cli.cni.cache_dir = optarg;
		break;
	case LONG_STATE:
		s->cli.cni.state_dir = optarg;
		break;
	case LONG_NETNS:
		s->cli.netns_dir = optarg;
		break;
	case LONG_TIMEOUT:
		s->wrong = s->wrong || !read_ms(optarg, &s->cli.cni.timeout_ms);
		break;
	case LONG_WAIT:
		s->wrong = s->wrong || !read_ms(optarg, &s->cli.cni.wait_ms);
		break;
	case 'j':
		s->cli.json = true;
		break;
	case 'h':
		s->help = true;
		break;
	default:
		s->wrong = true;
	}
}

static int run(const struct network_cli *c, int argc, char **argv)
{
	if (argc == 0)
		return usage("a command is needed");
	if (strcmp(argv[0], "network") == 0)
		return argc > 1 ? network_cli_group(c, argc - 1, argv + 1)
				: usage("a command of the group is needed");
	if (network_cli_has_cni(argv[0]))
		return network_cli_cni(c, argc, argv);
	return usage("there is no such command");
}

#define USER_DIR_MAX 512

/* Places of an ordinary user, who has neither /var/lib/cni nor /run. */
static void choose_dirs(struct network_cli *c, char cache[static USER_DIR_MAX],
			char state[static USER_DIR_MAX])
{
	c->cni.cache_dir = CNI_CACHE_DIR;
	c->cni.state_dir = "/run/berth-net";
	if (!user_mode_is_needed())
		return;
	(void)snprintf(cache, USER_DIR_MAX, "%s/berth-cni",
		       or_env("XDG_DATA_HOME", or_env("HOME", "/")));
	(void)snprintf(state, USER_DIR_MAX, "%s/berth-net", or_env("XDG_RUNTIME_DIR", cache));
	c->cni.cache_dir = cache;
	c->cni.state_dir = state;
}

int main(int argc, char **argv)
{
	struct settings s = {
		.cli = { .program = PROGRAM,
			 .cni = { .log = tell_log },
			 .conf_dir = or_env("NETCONFPATH", "/etc/cni/net.d"),
			 .netns_dir = "/run/netns" },
		.plugin_path = or_env("CNI_PATH", PLUGIN_DIRS),
	};
	char cache[USER_DIR_MAX], state[USER_DIR_MAX];
	const char *dirs[DIRS_MAX];
	char *path;
	int c, status;

	choose_dirs(&s.cli, cache, state);
	while ((c = getopt_long(argc, argv, "+jh", options, NULL)) != -1)
		read_option(c, &s);
	if (s.wrong)
		return usage("an option is wrong");
	if (s.help)
		return help();
	path = strdup(s.plugin_path);
	if (!path)
		return 1;
	s.cli.cni.plugin_dirs = dirs;
	s.cli.cni.n_plugin_dirs = split_path(path, dirs);
	status = run(&s.cli, argc - optind, argv + optind);
	free(path);
	return status;
}
