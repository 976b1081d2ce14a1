#include <getopt.h>

#include "runtime/cli/network/impl.h"
#include "runtime/net/attach.h"
#include "runtime/net/network.h"
#include "runtime/net/user_mode.h"

#define ALIASES_MAX 64

enum {
	OPT_NETWORK = 256,
	OPT_IP,
	OPT_MAC,
	OPT_DNS,
	OPT_DNS_SEARCH,
	OPT_DNS_OPTION,
	OPT_ADD_HOST,
	OPT_HOSTNAME,
	OPT_NAME,
	OPT_ALIAS,
	OPT_HOSTS_FILE,
	OPT_RESOLV_FILE,
};

static const struct option up_options[] = {
	{ "network", required_argument, NULL, OPT_NETWORK },
	{ "publish", required_argument, NULL, 'p' },
	{ "ip", required_argument, NULL, OPT_IP },
	{ "ip6", required_argument, NULL, OPT_IP },
	{ "mac-address", required_argument, NULL, OPT_MAC },
	{ "dns", required_argument, NULL, OPT_DNS },
	{ "dns-search", required_argument, NULL, OPT_DNS_SEARCH },
	{ "dns-option", required_argument, NULL, OPT_DNS_OPTION },
	{ "add-host", required_argument, NULL, OPT_ADD_HOST },
	{ "hostname", required_argument, NULL, OPT_HOSTNAME },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "network-alias", required_argument, NULL, OPT_ALIAS },
	{ "hosts-file", required_argument, NULL, OPT_HOSTS_FILE },
	{ "resolv-file", required_argument, NULL, OPT_RESOLV_FILE },
	{ 0 },
};

struct upping {
	struct attach_spec spec;
	const char *aliases[ALIASES_MAX];
	size_t n_aliases;
};

static void upping_clear(struct upping *u)
{
	attach_spec_clear(&u->spec);
}

static enum err_kind add_network(struct attach_spec *s, struct str in, struct err *e)
{
	enum attach_kind kind;
	struct str rest;
	enum err_kind k;

	if (s->n_networks == ATTACH_NETWORKS_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "more than %d networks",
			       ATTACH_NETWORKS_MAX);
	k = attach_parse(in, &kind, &rest, &s->networks[s->n_networks], e);
	if (k == ERR_OK && kind == ATTACH_USER_MODE) {
		s->user_mode = true;
		return ERR_OK;
	}
	s->n_networks++;
	if (k == ERR_OK && kind != ATTACH_NETWORK)
		k = err_set(e, ERR_INVALID, __func__,
			    "\"%.*s\" is a namespace, not a network to attach to",
			    (int)MIN(in.n, (size_t)80), in.p);
	return k;
}

static enum err_kind set_name(const char **ret, struct err *e)
{
	if (!is_host_name(str_of(optarg)))
		return err_set(e, ERR_INVALID, __func__, "\"%.80s\" is no name of a host", optarg);
	*ret = optarg;
	return ERR_OK;
}

static enum err_kind add_text(const char **list, size_t *n, size_t max, struct err *e)
{
	if (*n == max)
		return err_set(e, ERR_TOO_LARGE, __func__, "more than %zu of \"%.80s\"", max,
			       optarg);
	list[(*n)++] = optarg;
	return ERR_OK;
}

static enum err_kind read_up_option(struct upping *u, int option, struct err *e)
{
	struct attach_spec *s = &u->spec;
	struct str in = str_of(optarg);

	switch (option) {
	case OPT_NETWORK:
		return add_network(s, in, e);
	case 'p':
		return wants_port(&s->wants, in, e);
	case OPT_IP:
		return wants_ip(&s->wants, in, e);
	case OPT_MAC:
		return wants_mac(&s->wants, in, e);
	case OPT_DNS:
		return wants_dns_server(&s->wants, in, e);
	case OPT_DNS_SEARCH:
		return wants_dns_search(&s->wants, in, e);
	case OPT_DNS_OPTION:
		return wants_dns_option(&s->wants, in, e);
	case OPT_ADD_HOST:
		return add_text(s->extra_hosts, &s->n_extra_hosts, ATTACH_HOSTS_MAX, e);
	case OPT_ALIAS:
		return add_text(u->aliases, &u->n_aliases, ALIASES_MAX, e);
	case OPT_HOSTNAME:
		return set_name(&s->hostname, e);
	case OPT_NAME:
		return set_name(&s->name, e);
	case OPT_HOSTS_FILE:
		s->hosts_file = optarg;
		return ERR_OK;
	default:
		s->resolv_file = optarg;
		return ERR_OK;
	}
}

/* A number is a process, anything else a path. */
static void read_place(struct attach_spec *s, const char *text)
{
	struct str in = str_of(text);
	uint64_t pid;

	if (scan_u64(&in, INT32_MAX, &pid) && scan_end(&in))
		s->pid = (pid_t)pid;
	else
		s->netns = text;
}

static enum err_kind complete(struct upping *u, char **args, struct err *e)
{
	struct attach_spec *s = &u->spec;
	enum err_kind k = container_id_parse(str_of(args[0]), &s->container, e);

	if (k == ERR_OK && s->n_networks == 0 && user_mode_is_needed())
		s->user_mode = true;
	if (k == ERR_OK && s->n_networks == 0 && !s->user_mode)
		k = add_network(s, STR(NETWORK_DEFAULT), e);
	for (size_t i = 0; i < s->n_networks; i++) {
		for (size_t j = 0; k == ERR_OK && j < u->n_aliases; j++)
			k = wants_alias(&s->networks[i].wants, str_of(u->aliases[j]), e);
	}
	read_place(s, args[1]);
	return k;
}

int network_cli_up(const struct network_cli *c, int argc, char **argv)
{
	CLEANUP(upping_clear) struct upping u = { .n_aliases = 0 };
	AUTO_JV *v = NULL;
	AUTO_CNI cni;
	struct err e;
	enum err_kind k = ERR_OK;
	int option;

	cni_init(&cni, &c->cni);
	optind = 0;
	while (k == ERR_OK && (option = getopt_long(argc, argv, "+p:", up_options, NULL)) != -1) {
		if (option == '?')
			return STATUS_USAGE;
		k = read_up_option(&u, option, &e);
	}
	if (k == ERR_OK && argc - optind != 2)
		return STATUS_USAGE;
	if (k == ERR_OK)
		k = complete(&u, argv + optind, &e);
	if (k == ERR_OK)
		k = attach_up(&cni, c->conf_dir, &u.spec, &v, &e);
	return k == ERR_OK ? network_cli_print(v) : network_cli_fail(c, &cni, &e);
}

int network_cli_down(const struct network_cli *c, int argc, char **argv)
{
	struct container_id container;
	AUTO_CNI cni;
	struct err e;
	struct jv *v;
	enum err_kind k;

	if (argc != 2 && argc != 3) /* a shim tells the process as well */
		return STATUS_USAGE;
	cni_init(&cni, &c->cni);
	k = container_id_parse(str_of(argv[1]), &container, &e);
	if (k == ERR_OK)
		k = attach_down(&cni, &container, &e);
	if (k != ERR_OK)
		return network_cli_fail(c, &cni, &e);
	v = jv_pack("{s:s}", "id", container.s);
	return network_cli_done(c, &v, NULL);
}
