/* network: the commands about networks, on the places of this machine. */
#include "runtime/cli/cli.h"
#include "runtime/cli/network/place.h"

struct network_command {
	bool json;
};

static int run(struct cli *c)
{
	const struct network_command *o = c->options;
	struct network_place place;

	network_place_init(&place, "berth");
	place.cli.json = o->json;
	return network_cli_group(&place.cli, (int)c->args_n, c->args);
}

static const struct opt opts[] = { { "json", 0, OPT_FLAG, offsetof(struct network_command, json),
				     NULL, "print JSON" },
				   OPTS_END };

const struct command cmd_network = {
	.name = "network",
	.run = run,
	.opts = opts,
	.options_size = sizeof(struct network_command),
	.args_min = 1,
	.args_max = SIZE_MAX,
	.stops_early = true,
	.usage = "create|ls|inspect|rm|connect|disconnect|reload|check|gc|up|down [ARGUMENT]...",
	.doc = "networks of containers",
};
