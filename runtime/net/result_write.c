#include "runtime/net/result.h"

/* What fails here makes the whole NULL: jv_set refuses a NULL member, and a NULL object takes none. */
static bool set_text(struct jv *o, const char *key, const char *text)
{
	return *text == '\0' || jv_set(o, key, jv_pack("s", text));
}

static bool set_int(struct jv *o, const char *key, bool has, int64_t n)
{
	return !has || jv_set(o, key, jv_pack("I", n));
}

static bool set_texts(struct jv *o, const char *key, const char *const *texts, size_t n)
{
	AUTO_JV *array = jv_new_array();

	if (n == 0)
		return true;
	for (size_t i = 0; i < n; i++) {
		if (!jv_append(array, jv_pack("s", texts[i])))
			return false;
	}
	return jv_set(o, key, TAKE(array));
}

static bool set_ip(struct jv *o, const char *key, const struct ip_net *ip)
{
	char text[IP_TEXT_MAX];

	return ip->len == 0 || jv_set(o, key, jv_pack("s", ip_text(ip, text)));
}

static struct jv *write_interface(const struct result_interface *f)
{
	AUTO_JV *o = jv_pack("{s:s}", "name", f->name);

	if (!set_text(o, "mac", f->mac) || !set_int(o, "mtu", f->mtu != 0, f->mtu) ||
	    !set_text(o, "sandbox", f->sandbox) || !set_text(o, "socketPath", f->socket_path) ||
	    !set_text(o, "pciID", f->pci_id))
		return NULL;
	return TAKE(o);
}

static struct jv *write_address(const struct result_ip *ip, enum cni_version v)
{
	char text[IP_TEXT_MAX], family[2] = { ip->family, '\0' };
	AUTO_JV *o = jv_pack("{s:s}", "address", ip_net_text(&ip->address, text));

	if (v < CNI_1_0_0 && !jv_set(o, "version", jv_pack("s", family)))
		return NULL;
	if (!set_ip(o, "gateway", &ip->gateway) ||
	    !set_int(o, "interface", ip->has_interface, ip->interface))
		return NULL;
	return TAKE(o);
}

static struct jv *write_route(const struct result_route *rt)
{
	char text[IP_TEXT_MAX];
	AUTO_JV *o = jv_pack("{s:s}", "dst", ip_net_text(&rt->dst, text));

	if (!set_ip(o, "gw", &rt->gw) || !set_int(o, "mtu", rt->mtu != 0, rt->mtu) ||
	    !set_int(o, "advmss", rt->advmss != 0, rt->advmss) ||
	    !set_int(o, "priority", rt->priority != 0, rt->priority) ||
	    !set_int(o, "table", rt->has_table, rt->table) ||
	    !set_int(o, "scope", rt->has_scope, rt->scope))
		return NULL;
	return TAKE(o);
}

static bool dns_is_empty(const struct result_dns *d)
{
	return !*d->domain && d->n_nameservers + d->n_search + d->n_options == 0;
}

static bool set_dns(struct jv *o, const struct result_dns *d, enum cni_version v)
{
	AUTO_JV *dns = NULL;

	/* Older forms have an empty object where there is nothing to say. */
	if (v >= CNI_1_0_0 && dns_is_empty(d))
		return true;
	dns = jv_pack("{}");
	if (!set_texts(dns, "nameservers", d->nameservers, d->n_nameservers) ||
	    !set_text(dns, "domain", d->domain) ||
	    !set_texts(dns, "search", d->search, d->n_search) ||
	    !set_texts(dns, "options", d->options, d->n_options))
		return false;
	return jv_set(o, "dns", TAKE(dns));
}

/* family 0: routes of all. */
static bool set_routes(struct jv *o, const struct result *r, char family)
{
	AUTO_JV *array = jv_new_array();

	for (size_t i = 0; i < r->n_routes; i++) {
		if (family && r->routes[i].family != family)
			continue;
		if (!jv_append(array, write_route(&r->routes[i])))
			return false;
	}
	return jv_count(array) == 0 ? array != NULL : jv_set(o, "routes", TAKE(array));
}

static bool set_lists(struct jv *o, const struct result *r)
{
	AUTO_JV *interfaces = jv_new_array();
	AUTO_JV *ips = jv_new_array();

	for (size_t i = 0; i < r->n_interfaces; i++) {
		if (!jv_append(interfaces, write_interface(&r->interfaces[i])))
			return false;
	}
	for (size_t i = 0; i < r->n_ips; i++) {
		if (!jv_append(ips, write_address(&r->ips[i], r->version)))
			return false;
	}
	if (r->n_interfaces && !jv_set(o, "interfaces", TAKE(interfaces)))
		return false;
	if (r->n_ips && !jv_set(o, "ips", TAKE(ips)))
		return false;
	return set_routes(o, r, 0);
}

static bool set_families(struct jv *o, const struct result *r)
{
	for (size_t i = 0; i < r->n_ips; i++) {
		const struct result_ip *ip = &r->ips[i];
		char text[IP_TEXT_MAX];
		AUTO_JV *part = jv_pack("{s:s}", "ip", ip_net_text(&ip->address, text));

		if (!set_ip(part, "gateway", &ip->gateway) || !set_routes(part, r, ip->family) ||
		    !jv_set(o, ip->family == '4' ? "ip4" : "ip6", TAKE(part)))
			return false;
	}
	return true;
}

struct jv *result_write(const struct result *r)
{
	AUTO_JV *o = jv_pack("{s:s}", "cniVersion", cni_version_text(r->version));
	bool ok = r->version < CNI_0_3_0 ? set_families(o, r) : set_lists(o, r);

	return ok && set_dns(o, &r->dns, r->version) ? TAKE(o) : NULL;
}
