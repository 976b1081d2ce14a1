#include "runtime/cli/network/impl.h"
#include "runtime/net/names.h"
#include "runtime/net/network.h"

#define PRINT_MAX (16u * 1024 * 1024)
#define INDENT 4

const struct network_verb *network_cli_find(const struct network_verb *table, size_t n,
					    const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	}
	return NULL;
}

void network_cli_list(const struct network_verb *table, size_t n, const char *program,
		      const char *group)
{
	for (size_t i = 0; i < n; i++)
		(void)printf("  %s%s %s %s\n        %s\n", program, group, table[i].name,
			     table[i].usage, table[i].doc);
}

/* The plugin's own words, which struct err may have had no room for. */
static void tell_whole(const struct plugin_failure *f, const struct err *e)
{
	char mark[PLUGIN_TYPE_MAX + 32];
	bool details = f->details.n > 0;
	const char *at;

	(void)snprintf(mark, sizeof(mark), "plugin %s: %s: ", f->plugin, f->command);
	at = f->plugin[0] ? strstr(e->msg, mark) : NULL;
	if (!at) {
		(void)fprintf(stderr, "%s\n", e->msg);
		return;
	}
	(void)fprintf(stderr, "%.*s%s%s%s%s", (int)(at - e->msg), e->msg, mark,
		      f->msg.p ? f->msg.p : "", details ? "; " : "", details ? f->details.p : "");
	if (f->code)
		(void)fprintf(stderr, " (code %u)", f->code);
	(void)fputc('\n', stderr);
}

int network_cli_fail(const struct network_cli *c, const struct cni *cni, const struct err *e)
{
	(void)fprintf(stderr, "%s: ", c->program);
	if (cni)
		tell_whole(&cni->failure, e);
	else
		(void)fprintf(stderr, "%s\n", e->msg);
	return STATUS_FAILED;
}

int network_cli_usage(const struct network_cli *c, const char *group, const struct network_verb *v)
{
	(void)fprintf(stderr, "usage: %s%s %s %s\n", c->program, group, v->name, v->usage);
	return STATUS_USAGE;
}

int network_cli_print(const struct jv *v)
{
	AUTO_SBUF out;

	sbuf_init(&out, PRINT_MAX);
	jv_dump_pretty(v, INDENT, &out);
	sbuf_add(&out, "\n", 1);
	if (out.failed || fputs(out.p, stdout) == EOF || fflush(stdout) == EOF)
		return STATUS_FAILED;
	return STATUS_OK;
}

int network_cli_done(const struct network_cli *c, struct jv **take, const char *line)
{
	int status = STATUS_OK;

	if (c->json)
		status = network_cli_print(*take);
	else if (line && printf("%s\n", line) < 0)
		status = STATUS_FAILED;
	jv_free(take);
	return status;
}

void network_cli_note(const struct network_cli *c, struct jv *list, struct jv **take,
		      const char *line, const struct err *why)
{
	if (!c->json) {
		if (line)
			(void)printf("%s\n", line); /* failures show when stdout is flushed */
	} else if ((!why || jv_set(*take, "error", jv_pack("s", why->msg)))) {
		(void)!jv_append(list, TAKE(*take)); /* without memory the list is short */
	}
	jv_free(take);
}

enum err_kind network_cli_open(const struct network_cli *c, struct cni *cni, const char *name,
			       struct conflist *ret, struct err *e)
{
	struct net_name parsed;
	enum err_kind k = net_name_parse(str_of(name), &parsed, e);

	return k == ERR_OK ? network_find(cni, c->conf_dir, &parsed, ret, e) : k;
}

void network_cli_names(const struct network_cli *c, const struct net_name *network,
		       const struct container_id *left)
{
	struct err e;

	if (names_refresh(&c->cni, network, left, &e) != ERR_OK)
		(void)network_cli_fail(c, NULL, &e);
}

static const struct network_verb verbs[] = {
	{ "create", network_cli_create,
	  "[--driver bridge|macvlan|ptp] [--subnet CIDR [--gateway IP] [--ip-range CIDR]]... "
	  "[--ipv6] "
	  "[--internal] [--isolated] [--open] [--no-names] [--bridge NAME] [--parent NAME] [--mtu "
	  "N] "
	  "[--vlan N] [--label K=V]... NAME",
	  "make a network; what is not said is chosen" },
	{ "ls", network_cli_ls, "[-q]", "list networks" },
	{ "inspect", network_cli_inspect, "NAME...", "show a network and who is attached" },
	{ "rm", network_cli_rm, "[-f] NAME...",
	  "remove networks; -f detaches those attached first" },
	{ "up", network_cli_up,
	  "[--network NAME[:OPTION,...]]... [-p PORT]... [--ip IP]... [--mac-address MAC] "
	  "[--dns IP]... [--dns-search DOMAIN]... [--dns-option WORD]... [--add-host NAME:IP]... "
	  "[--name NAME] [--hostname NAME] [--network-alias NAME]... [--hosts-file FILE] "
	  "[--resolv-file FILE] CONTAINER PID|NETNS",
	  "attach a container that was just created to all its networks" },
	{ "down", network_cli_down, "CONTAINER [PID]", "detach a container from all networks" },
	{ "connect", network_cli_connect,
	  "[-i IFNAME] [--netns PATH] [--ip IP]... [--mac-address MAC] [--alias NAME]... [-p "
	  "PORT]... "
	  "NETWORK CONTAINER",
	  "attach a container that runs" },
	{ "disconnect", network_cli_disconnect, "[-i IFNAME] NETWORK CONTAINER", "detach it" },
	{ "reload", network_cli_reload, "[NETWORK]...",
	  "attach all again, with the same addresses: after somebody flushed the firewall" },
	{ "check", network_cli_check, "[NETWORK]...",
	  "see whether networks can take containers, and those attached are attached well" },
	{ "gc", network_cli_gc, "[NETWORK]...",
	  "detach what is gone: addresses, rules, interfaces; of networks made by berth, if none "
	  "is named" },
};

void network_cli_help(const char *program)
{
	network_cli_list(verbs, ARRAY_LEN(verbs), program, " network");
}

/* --json may stand behind the command, too. */
static int take_json(int argc, char **argv, bool *json)
{
	int n = 0;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			*json = true;
		else
			argv[n++] = argv[i];
	}
	argv[n] = NULL;
	return n;
}

int network_cli_group(const struct network_cli *preset, int argc, char **argv)
{
	struct network_cli own = *preset;
	const struct network_cli *c = &own;
	const struct network_verb *v = network_cli_find(verbs, ARRAY_LEN(verbs), argv[0]);
	int status;

	if (!v) {
		(void)fprintf(stderr, "%s: there is no command \"network %s\"\n", c->program,
			      argv[0]);
		return STATUS_USAGE;
	}
	argc = take_json(argc, argv, &own.json);
	status = v->run(c, argc, argv);
	return status == STATUS_USAGE ? network_cli_usage(c, " network", v) : status;
}
