#include <getopt.h>

#include "runtime/cli/network/impl.h"
#include "runtime/net/attachments.h"
#include "runtime/net/network.h"

#define MTU_MAX 65536
#define VLAN_MAX 4094

enum {
	OPT_DRIVER = 256,
	OPT_SUBNET,
	OPT_GATEWAY,
	OPT_RANGE,
	OPT_IPV6,
	OPT_INTERNAL,
	OPT_ISOLATED,
	OPT_OPEN,
	OPT_NO_NAMES,
	OPT_BRIDGE,
	OPT_PARENT,
	OPT_MTU,
	OPT_VLAN,
	OPT_LABEL,
};

static const struct option create_options[] = {
	{ "driver", required_argument, NULL, OPT_DRIVER },
	{ "subnet", required_argument, NULL, OPT_SUBNET },
	{ "gateway", required_argument, NULL, OPT_GATEWAY },
	{ "ip-range", required_argument, NULL, OPT_RANGE },
	{ "ipv6", no_argument, NULL, OPT_IPV6 },
	{ "internal", no_argument, NULL, OPT_INTERNAL },
	{ "isolated", no_argument, NULL, OPT_ISOLATED },
	{ "open", no_argument, NULL, OPT_OPEN },
	{ "no-names", no_argument, NULL, OPT_NO_NAMES },
	{ "bridge", required_argument, NULL, OPT_BRIDGE },
	{ "parent", required_argument, NULL, OPT_PARENT },
	{ "mtu", required_argument, NULL, OPT_MTU },
	{ "vlan", required_argument, NULL, OPT_VLAN },
	{ "label", required_argument, NULL, OPT_LABEL },
	{ 0 },
};

struct creating {
	struct network_spec spec;
	struct jv *labels;
};

static enum err_kind bad_value(const char *option, const char *value, struct err *e)
{
	return err_set(e, ERR_INVALID, __func__, "--%s: \"%.80s\" is no value for it", option,
		       value);
}

static enum err_kind read_number(const char *option, uint64_t max, uint64_t *ret, struct err *e)
{
	struct str in = str_of(optarg);

	if (!scan_u64(&in, max, ret) || !scan_end(&in) || *ret == 0)
		return bad_value(option, optarg, e);
	return ERR_OK;
}

static enum err_kind read_subnet(struct network_spec *s, struct err *e)
{
	if (s->n_subnets == NETWORK_SUBNETS_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "more than %d subnets",
			       NETWORK_SUBNETS_MAX);
	if (!ip_net_parse(str_of(optarg), &s->subnets[s->n_subnets].subnet))
		return bad_value("subnet", optarg, e);
	s->n_subnets++;
	return ERR_OK;
}

/* Of the subnet before. */
static enum err_kind read_of_subnet(struct network_spec *s, int option, struct err *e)
{
	const char *name = option == OPT_GATEWAY ? "gateway" : "ip-range";
	struct network_subnet *last = &s->subnets[s->n_subnets - 1];

	if (s->n_subnets == 0)
		return err_set(e, ERR_INVALID, __func__, "--%s: it needs a --subnet before it",
			       name);
	if (option == OPT_GATEWAY && ip_parse(str_of(optarg), &last->gateway)) {
		last->gateway.prefix = last->subnet.prefix;
		return ERR_OK;
	}
	if (option == OPT_RANGE && ip_net_parse(str_of(optarg), &last->range))
		return ERR_OK;
	return bad_value(name, optarg, e);
}

static enum err_kind read_label(struct creating *w, struct err *e)
{
	struct str key, value;
	AUTO_FREE char *name = NULL;

	if (!str_cut(str_of(optarg), '=', &key, &value) || key.n == 0)
		return bad_value("label", optarg, e);
	if (!w->labels)
		w->labels = jv_pack("{}");
	name = strndup(key.p, key.n);
	if (!name || !jv_set(w->labels, name, jv_pack("s%", value.p, value.n)))
		return bad_value("label", optarg, e);
	w->spec.labels = w->labels;
	return ERR_OK;
}

static enum err_kind read_create_option(struct creating *w, int c, struct err *e)
{
	struct network_spec *s = &w->spec;

	switch (c) {
	case OPT_DRIVER:
		return network_driver_parse(str_of(optarg), &s->driver)
			   ? ERR_OK
			   : bad_value("driver", optarg, e);
	case OPT_SUBNET:
		return read_subnet(s, e);
	case OPT_GATEWAY:
	case OPT_RANGE:
		return read_of_subnet(s, c, e);
	case OPT_IPV6:
		s->ipv6 = true;
		break;
	case OPT_INTERNAL:
		s->internal = true;
		break;
	case OPT_ISOLATED:
		s->isolated = true;
		break;
	case OPT_OPEN:
		s->open = true;
		break;
	case OPT_NO_NAMES:
		s->no_names = true;
		break;
	case OPT_BRIDGE:
		s->bridge = optarg;
		break;
	case OPT_PARENT:
		s->parent = optarg;
		break;
	case OPT_MTU:
		return read_number("mtu", MTU_MAX, &s->mtu, e);
	case OPT_VLAN:
		return read_number("vlan", VLAN_MAX, &s->vlan, e);
	case OPT_LABEL:
		return read_label(w, e);
	default:
		return err_set(e, ERR_INVALID, __func__, "usage");
	}
	return ERR_OK;
}

int network_cli_create(const struct network_cli *c, int argc, char **argv)
{
	struct creating w = { .labels = NULL };
	AUTO_CONFLIST made = { 0 };
	AUTO_CNI cni;
	struct err e;
	struct jv *v;
	enum err_kind k = ERR_OK;
	int option;

	cni_init(&cni, &c->cni);
	optind = 0;
	while (k == ERR_OK && (option = getopt_long(argc, argv, "+", create_options, NULL)) != -1) {
		if (option == '?') {
			jv_free(&w.labels);
			return STATUS_USAGE;
		}
		k = read_create_option(&w, option, &e);
	}
	if (k == ERR_OK && argc - optind != 1) {
		jv_free(&w.labels);
		return STATUS_USAGE;
	}
	if (k == ERR_OK)
		k = net_name_parse(str_of(argv[optind]), &w.spec.name, &e);
	if (k == ERR_OK)
		k = network_create(&cni, c->conf_dir, &w.spec, &made, &e);
	jv_free(&w.labels);
	if (k != ERR_OK)
		return network_cli_fail(c, &cni, &e);
	v = jv_pack("{s:s}", "name", made.name.s);
	return network_cli_done(c, &v, made.name.s);
}

static bool nobody(void *arg, const struct cache_entry *entry)
{
	(void)arg, (void)entry;
	return false;
}

static enum err_kind remove_one(const struct network_cli *c, struct cni *cni, const char *name,
				bool force, struct err *e)
{
	AUTO_CONFLIST l = { 0 };
	struct cni_gc_report report;
	struct net_name parsed;
	enum err_kind k = net_name_parse(str_of(name), &parsed, e);

	if (k == ERR_OK)
		k = conflist_find(c->conf_dir, &parsed, &l, e);
	if (k == ERR_OK && force && network_is_ours(&l))
		k = cni_gc(cni, &l, nobody, NULL, &report, e);
	return k == ERR_OK ? network_remove(cni, c->conf_dir, &l, e) : k;
}

int network_cli_rm(const struct network_cli *c, int argc, char **argv)
{
	static const struct option options[] = { { "force", no_argument, NULL, 'f' }, { 0 } };
	AUTO_JV *list = jv_new_array();
	int status = STATUS_OK, option;
	bool force = false;

	optind = 0;
	while ((option = getopt_long(argc, argv, "+f", options, NULL)) != -1) {
		if (option != 'f')
			return STATUS_USAGE;
		force = true;
	}
	if (optind == argc)
		return STATUS_USAGE;
	for (int i = optind; i < argc; i++) {
		AUTO_CNI cni;
		struct jv *v = jv_pack("{s:s}", "name", argv[i]);
		struct err e;
		enum err_kind k;

		cni_init(&cni, &c->cni);
		k = remove_one(c, &cni, argv[i], force, &e);
		if (k != ERR_OK)
			status = network_cli_fail(c, &cni, &e);
		network_cli_note(c, list, &v, k == ERR_OK ? argv[i] : NULL,
				 k == ERR_OK ? NULL : &e);
	}
	return c->json ? status | network_cli_print(list) : status;
}
