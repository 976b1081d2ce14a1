#include "runtime/net/network_write.h"

/* ADR 0042: versions of CNI that plugins of before 1.1.0 speak, whose CHECK of ports fails for one family alone. */
#define CHECK_WORKS_FROM CNI_1_1_0

void network_types(const struct network_plan *p, const char *ret[static NETWORK_TYPES_MAX + 1])
{
	size_t n = 0;

	ret[n++] = network_driver_text(p->spec->driver);
	ret[n++] = p->n_subnets ? "host-local" : "dhcp";
	if (p->spec->driver != NETWORK_MACVLAN) {
		ret[n++] = "portmap";
		ret[n++] = "firewall";
	}
	ret[n++] = "tuning";
	if (p->names)
		ret[n++] = "dnsname";
	ret[n] = NULL;
}

static bool set_ip(struct jv *o, const char *key, const struct ip_net *ip)
{
	char text[IP_TEXT_MAX];

	return jv_set(o, key, jv_pack("s", ip_text(ip, text)));
}

static struct jv *write_range(const struct network_subnet *s)
{
	char text[IP_TEXT_MAX];
	AUTO_JV *o = jv_pack("{s:s}", "subnet", ip_net_text(&s->subnet, text));
	struct ip_net first = ip_nth(&s->range, 1), last = ip_last(&s->range);

	if (!set_ip(o, "gateway", &s->gateway))
		return NULL;
	if (s->range.len && (!set_ip(o, "rangeStart", &first) || !set_ip(o, "rangeEnd", &last)))
		return NULL;
	return TAKE(o);
}

static struct jv *write_ipam(const struct network_plan *p)
{
	AUTO_JV *ranges = jv_new_array();
	AUTO_JV *routes = jv_new_array();
	AUTO_JV *o = NULL;
	bool has4 = false, has6 = false;

	if (p->n_subnets == 0)
		return jv_pack("{s:s}", "type", "dhcp");
	for (size_t i = 0; i < p->n_subnets; i++) {
		bool *has = p->subnets[i].subnet.len == 4 ? &has4 : &has6;
		const char *all = p->subnets[i].subnet.len == 4 ? "0.0.0.0/0" : "::/0";

		if (!jv_append(ranges, jv_pack("[o]", write_range(&p->subnets[i]))))
			return NULL;
		if (!*has && !p->spec->internal && !jv_append(routes, jv_pack("{s:s}", "dst", all)))
			return NULL;
		*has = true;
	}
	o = jv_pack("{s:s,s:o,s:o}", "type", "host-local", "ranges", TAKE(ranges), "routes",
		    TAKE(routes));
	if (*p->data_dir && !jv_set(o, "dataDir", jv_pack("s", p->data_dir)))
		return NULL;
	return TAKE(o);
}

static bool set_common(struct jv *o, const struct network_plan *p)
{
	if (p->spec->mtu && !jv_set(o, "mtu", jv_pack("I", (int64_t)p->spec->mtu)))
		return false;
	return jv_set(o, "capabilities", jv_pack("{s:b,s:b}", "ips", 1, "mac", 1)) &&
	       jv_set(o, "ipam", write_ipam(p));
}

static struct jv *write_bridge(const struct network_plan *p)
{
	AUTO_JV *o = jv_pack("{s:s,s:s,s:b,s:b,s:b}", "type", "bridge", "bridge", p->bridge,
			     "isGateway", 1, "ipMasq", !p->spec->internal, "hairpinMode", 1);

	if (p->spoof_check && !jv_set(o, "macspoofchk", jv_pack("b", 1)))
		return NULL;
	if (p->spec->isolated && !jv_set(o, "portIsolation", jv_pack("b", 1)))
		return NULL;
	if (p->spec->vlan && !jv_set(o, "vlan", jv_pack("I", (int64_t)p->spec->vlan)))
		return NULL;
	return set_common(o, p) ? TAKE(o) : NULL;
}

static struct jv *write_macvlan(const struct network_plan *p)
{
	AUTO_JV *o = jv_pack("{s:s,s:s}", "type", "macvlan", "mode", "bridge");

	if (p->spec->parent && !jv_set(o, "master", jv_pack("s", p->spec->parent)))
		return NULL;
	return set_common(o, p) ? TAKE(o) : NULL;
}

static struct jv *write_ptp(const struct network_plan *p)
{
	AUTO_JV *o = jv_pack("{s:s,s:b}", "type", "ptp", "ipMasq", !p->spec->internal);

	return set_common(o, p) ? TAKE(o) : NULL;
}

static struct jv *write_first(const struct network_plan *p)
{
	switch (p->spec->driver) {
	case NETWORK_BRIDGE:
		return write_bridge(p);
	case NETWORK_MACVLAN:
		return write_macvlan(p);
	case NETWORK_PTP:
		return write_ptp(p);
	case NETWORK_DRIVER_N:
		break;
	}
	return NULL;
}

static struct jv *write_firewall(const struct network_plan *p)
{
	if (p->spec->driver != NETWORK_BRIDGE || p->apart)
		return jv_pack("{s:s}", "type", "firewall");
	return jv_pack("{s:s,s:s}", "type", "firewall", "ingressPolicy",
		       p->spec->isolated ? "isolated" : "same-bridge");
}

static struct jv *write_plugins(const struct network_plan *p)
{
	AUTO_JV *list = jv_new_array();
	bool ok = jv_append(list, write_first(p));

	if (ok && p->spec->driver != NETWORK_MACVLAN)
		ok = jv_append(list, jv_pack("{s:s,s:{s:b}}", "type", "portmap", "capabilities",
					     "portMappings", 1)) &&
		     jv_append(list, write_firewall(p));
	ok = ok &&
	     jv_append(list, jv_pack("{s:s,s:{s:b}}", "type", "tuning", "capabilities", "mac", 1));
	if (ok && p->names)
		ok = jv_append(list, jv_pack("{s:s,s:s,s:{s:b}}", "type", "dnsname", "domainName",
					     "dns.berth", "capabilities", "aliases", 1));
	return ok ? TAKE(list) : NULL;
}

static struct jv *write_extra(const struct network_plan *p)
{
	AUTO_JV *o = jv_pack("{s:s}", "driver", network_driver_text(p->spec->driver));

	if (p->bridge_is_ours && !jv_set(o, "bridge", jv_pack("s", p->bridge)))
		return NULL;
	if (p->apart && !jv_set(o, "apart", jv_pack("s", p->bridge)))
		return NULL;
	if (p->guard && !jv_set(o, "guard", jv_pack("s", p->bridge)))
		return NULL;
	if (p->check_senders && !jv_set(o, "checked", jv_pack("b", 1)))
		return NULL;
	if (p->spec->labels && !jv_set(o, "labels", jv_share(p->spec->labels)))
		return NULL;
	return TAKE(o);
}

struct jv *network_write(const struct network_plan *p)
{
	AUTO_JV *o =
	    jv_pack("{s:s,s:s,s:o,s:o}", "cniVersion", cni_version_text(p->version), "name",
		    p->spec->name.s, "berth", write_extra(p), "plugins", write_plugins(p));

	if (p->version < CHECK_WORKS_FROM && !jv_set(o, "disableCheck", jv_pack("b", 1)))
		return NULL;
	return TAKE(o);
}
