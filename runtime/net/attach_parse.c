#include "runtime/net/attach.h"

static const struct {
	struct str text;
	enum attach_kind kind;
	bool has_rest;
} kinds[] = {
	{ STR("none"), ATTACH_NONE, false },   { STR("pasta"), ATTACH_USER_MODE, false },
	{ STR("host"), ATTACH_HOST, false },   { STR("container"), ATTACH_CONTAINER, true },
	{ STR("ns"), ATTACH_NAMESPACE, true },
};

/* One option of a network: what to do with the text behind its "=". */
static enum err_kind read_ifname(struct attach_network *n, struct str value, struct err *e)
{
	return if_name_parse(value, &n->ifname, e);
}

static enum err_kind read_ip(struct attach_network *n, struct str value, struct err *e)
{
	return wants_ip(&n->wants, value, e);
}

static enum err_kind read_mac(struct attach_network *n, struct str value, struct err *e)
{
	return wants_mac(&n->wants, value, e);
}

static enum err_kind read_alias(struct attach_network *n, struct str value, struct err *e)
{
	return wants_alias(&n->wants, value, e);
}

static enum err_kind read_ingress(struct attach_network *n, struct str value, struct err *e)
{
	return wants_rate(&n->wants, true, value, e);
}

static enum err_kind read_egress(struct attach_network *n, struct str value, struct err *e)
{
	return wants_rate(&n->wants, false, value, e);
}

static const struct {
	struct str key;
	enum err_kind (*read)(struct attach_network *n, struct str value, struct err *e);
} options[] = {
	{ STR("interface_name"), read_ifname },
	{ STR("ip"), read_ip },
	{ STR("ip6"), read_ip },
	{ STR("mac"), read_mac },
	{ STR("alias"), read_alias },
	{ STR("ingress"), read_ingress },
	{ STR("egress"), read_egress },
};

static enum err_kind read_option(struct attach_network *n, struct str option, struct err *e)
{
	struct str key, value;

	(void)str_cut(option, '=', &key, &value);
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if (str_eq(key, options[i].key))
			return options[i].read(n, value, e);
	}
	return err_set(e, ERR_INVALID, __func__,
		       "\"%.*s\" is no option of a network: they are interface_name=, ip=, ip6=, "
		       "mac=, alias=, ingress= and egress=",
		       (int)MIN(option.n, (size_t)80), option.p);
}

enum err_kind attach_parse(struct str in, enum attach_kind *ret_kind, struct str *rest,
			   struct attach_network *ret, struct err *e)
{
	struct str head, option;
	bool has_rest = str_cut(in, ':', &head, rest);
	enum err_kind k;

	*ret = (struct attach_network){ .name = { "" } };
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (!str_eq(head, kinds[i].text) || has_rest != kinds[i].has_rest)
			continue;
		*ret_kind = kinds[i].kind;
		return !has_rest || rest->n
			   ? ERR_OK
			   : err_set(e, ERR_INVALID, __func__, "nothing stands behind \"%.*s:\"",
				     STR_FMT(head));
	}
	*ret_kind = ATTACH_NETWORK;
	k = net_name_parse(head, &ret->name, e);
	for (struct str left = has_rest ? *rest : (struct str){ "", 0 }; k == ERR_OK && left.n;) {
		(void)str_cut(left, ',', &option, &left);
		k = read_option(ret, option, e);
	}
	*rest = in;
	return k;
}
