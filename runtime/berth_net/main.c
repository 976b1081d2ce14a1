#include <getopt.h>

#include "runtime/cli/network/place.h"

#define PROGRAM "berth-net"

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

static int help(void)
{
	(void)printf(PROGRAM " - container networks by CNI\n\nusage: " PROGRAM
			     " [OPTION]... COMMAND ...\n\n");
	network_cli_help_cni(PROGRAM);
	network_cli_help(PROGRAM);
	(void)printf(
	    "\noptions:\n"
	    "  --conf-dir DIR       configuration lists (NETCONFPATH, /etc/cni/net.d)\n"
	    "  --plugin-path PATH   directories of plugins (CNI_PATH, " PLACE_PLUGIN_DIRS ")\n"
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

static bool read_ms(const char *text, uint64_t *ret)
{
	struct str in = str_of(text);

	return scan_u64(&in, INT32_MAX, ret) && scan_end(&in) && *ret > 0;
}

struct settings {
	struct network_place place;
	bool help, wrong;
};

static void read_option(int c, struct settings *s)
{
	struct network_cli *cli = &s->place.cli;

	switch (c) {
	case LONG_CONF:
		cli->conf_dir = optarg;
		break;
	case LONG_PLUGINS:
		s->wrong = s->wrong || !network_place_plugins(&s->place, optarg);
		break;
	case LONG_CACHE:
		cli->cni.cache_dir = optarg;
		break;
	case LONG_STATE:
		cli->cni.state_dir = optarg;
		break;
	case LONG_NETNS:
		cli->netns_dir = optarg;
		break;
	case LONG_TIMEOUT:
		s->wrong = s->wrong || !read_ms(optarg, &cli->cni.timeout_ms);
		break;
	case LONG_WAIT:
		s->wrong = s->wrong || !read_ms(optarg, &cli->cni.wait_ms);
		break;
	case 'j':
		cli->json = true;
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

int main(int argc, char **argv)
{
	struct settings s = { .help = false };
	int c;

	network_place_init(&s.place, PROGRAM);
	while ((c = getopt_long(argc, argv, "+jh", options, NULL)) != -1)
		read_option(c, &s);
	if (s.wrong)
		return usage("an option is wrong");
	if (s.help)
		return help();
	return run(&s.place.cli, argc - optind, argv + optind);
}
