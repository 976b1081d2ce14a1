/* network: the commands about networks, on the places of this machine and with berth's names of containers. */
#include "runtime/cli/ctl.h"
#include "runtime/cli/network/place.h"

static bool is_about_container(const struct cli *c)
{
	return strcmp(c->args[0], "connect") == 0 || strcmp(c->args[0], "disconnect") == 0;
}

/* Networks know containers by their id; what is no container of berth's may be one of another runner. */
static enum err_kind name_container(struct cli *c, struct err *e)
{
	char **last = &c->args[c->args_n - 1];
	AUTO_CONTAINER found = CONTAINER_INIT;
	AUTO_CTL t = CTL_INIT;
	enum err_kind k = ctl_open(c, &t, e);

	if (k == ERR_OK)
		k = container_find(&t.cs, *last, &found, e);
	if (k == ERR_NOT_FOUND)
		return ERR_OK;
	if (k == ERR_OK && strcmp(found.record.network, "private") != 0)
		return err_set(e, ERR_UNSUPPORTED, __func__,
			       "container %s runs on \"%.60s\", not on networks by name", *last,
			       found.record.network);
	if (k == ERR_OK)
		*last = arena_text(&c->arena, str_of(found.record.id));
	return k == ERR_OK && !*last
		   ? err_set(e, ERR_NO_MEMORY, __func__, "no memory for a container")
		   : k;
}

static int run(struct cli *c)
{
	struct network_place place;
	struct err e;

	if (c->args_n > 2 && is_about_container(c) && name_container(c, &e) != ERR_OK)
		return cli_fail(&e);
	network_place_init(&place, "berth");
	place.cli.json = c->json;
	return network_cli_group(&place.cli, (int)c->args_n, c->args);
}

static const struct opt no_opts[] = { OPTS_END };

const struct command cmd_network = {
	.name = "network",
	.run = run,
	.opts = no_opts,
	.args_min = 1,
	.args_max = SIZE_MAX,
	.stops_early = true,
	.usage = "create|ls|inspect|rm|connect|disconnect|reload|check|gc|up|down [ARGUMENT]...",
	.doc = "networks of containers",
};
