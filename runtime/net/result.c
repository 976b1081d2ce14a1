#include "runtime/net/result.h"

#define LIST_MAX 4096 /* of anything in a result */
#define ARENA_MAX (8 * RESULT_BYTES_MAX)

void result_init(struct result *r)
{
	*r = (struct result){ .version = CNI_VERSION_NEWEST, .dns = { .domain = "" } };
	arena_init(&r->arena, ARENA_MAX);
}

void result_clear(struct result *r)
{
	arena_clear(&r->arena);
	*r = (struct result){ .version = CNI_VERSION_NEWEST, .dns = { .domain = "" } };
}

static enum err_kind bad(struct err *e, const char *key, const char *want)
{
	return err_set(e, ERR_INVALID, __func__, "\"%s\" is not %s", key, want);
}

static enum err_kind no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a result");
}

static enum err_kind read_text(const struct jv *object, const char *key, struct arena *a,
			       const char **ret, struct err *e)
{
	const struct jv *v = jv_member(object, key);
	struct str s = { "", 0 };

	if (!jv_is_null(v) && !jv_text(v, &s))
		return bad(e, key, "a text");
	*ret = s.n ? arena_text(a, s) : "";
	return *ret ? ERR_OK : no_memory(e);
}

static enum err_kind read_int(const struct jv *object, const char *key, bool *ret_has, int64_t *ret,
			      struct err *e)
{
	const struct jv *v = jv_member(object, key);

	if (ret_has)
		*ret_has = !jv_is_null(v);
	*ret = 0;
	if (!jv_is_null(v) && !jv_int(v, ret))
		return bad(e, key, "an integer");
	return ERR_OK;
}

/* An address without a prefix, or nothing. */
static enum err_kind read_ip(const struct jv *object, const char *key, struct ip_net *ret,
			     struct err *e)
{
	const struct jv *v = jv_member(object, key);
	struct str s = { "", 0 };

	*ret = (struct ip_net){ 0 };
	if (!jv_is_null(v) && !jv_text(v, &s))
		return bad(e, key, "a text");
	if (s.n && !ip_parse(s, ret))
		return bad(e, key, "an address");
	return ERR_OK;
}

static enum err_kind read_net(const struct jv *object, const char *key, struct ip_net *ret,
			      struct err *e)
{
	struct str s;

	if (!jv_text(jv_member(object, key), &s) || !ip_net_parse(s, ret))
		return bad(e, key, "an address with a prefix");
	return ERR_OK;
}

/* Makes room for the members of an array; absent is empty. */
static enum err_kind read_array(const struct jv *object, const char *key, size_t each,
				struct arena *a, const struct jv **ret, void *ret_items,
				struct err *e)
{
	const struct jv *v = jv_member(object, key);
	void *items = NULL;

	if (!jv_is_null(v) && !jv_is_array(v))
		return bad(e, key, "an array");
	if (jv_count(v) > LIST_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "\"%s\" has more than %d members", key,
			       LIST_MAX);
	if (jv_count(v) > 0) {
		items = arena_array(a, jv_count(v), each);
		if (!items)
			return no_memory(e);
	}
	*ret = v;
	*(void **)ret_items = items;
	return ERR_OK;
}

static enum err_kind read_texts(const struct jv *object, const char *key, struct arena *a,
				const char ***ret, size_t *ret_n, struct err *e)
{
	const struct jv *v;
	const char **items;
	struct str s;
	enum err_kind k = read_array(object, key, sizeof(*items), a, &v, &items, e);

	if (k != ERR_OK)
		return k;
	for (size_t i = 0; i < jv_count(v); i++) {
		if (!jv_text(jv_at(v, i), &s))
			return bad(e, key, "an array of texts");
		items[i] = arena_text(a, s);
		if (!items[i])
			return no_memory(e);
	}
	*ret = items;
	*ret_n = jv_count(v);
	return ERR_OK;
}

enum err_kind result_dns_read(const struct jv *object, struct arena *a, struct result_dns *ret,
			      struct err *e)
{
	struct result_dns dns = { .domain = "" };
	enum err_kind k;

	*ret = dns;
	if (jv_is_null(object))
		return ERR_OK;
	if (!jv_is_object(object))
		return bad(e, "dns", "an object");
	k = read_text(object, "domain", a, &dns.domain, e);
	if (k == ERR_OK)
		k = read_texts(object, "nameservers", a, &dns.nameservers, &dns.n_nameservers, e);
	if (k == ERR_OK)
		k = read_texts(object, "search", a, &dns.search, &dns.n_search, e);
	if (k == ERR_OK)
		k = read_texts(object, "options", a, &dns.options, &dns.n_options, e);
	if (k == ERR_OK)
		*ret = dns;
	return k;
}

static enum err_kind read_interface(const struct jv *o, enum cni_version v, struct arena *a,
				    struct result_interface *ret, struct err *e)
{
	enum err_kind k;

	*ret = (struct result_interface){ .socket_path = "", .pci_id = "" };
	if (!jv_is_object(o))
		return bad(e, "interfaces", "an array of objects");
	k = read_text(o, "name", a, &ret->name, e);
	if (k == ERR_OK)
		k = read_text(o, "mac", a, &ret->mac, e);
	if (k == ERR_OK)
		k = read_text(o, "sandbox", a, &ret->sandbox, e);
	if (k != ERR_OK || v < CNI_1_0_0)
		return k;
	k = read_int(o, "mtu", NULL, &ret->mtu, e);
	if (k == ERR_OK)
		k = read_text(o, "socketPath", a, &ret->socket_path, e);
	if (k == ERR_OK)
		k = read_text(o, "pciID", a, &ret->pci_id, e);
	return k;
}

static char family_of(const struct ip_net *ip)
{
	return ip->len == 4 ? '4' : '6';
}

static enum err_kind read_address(const struct jv *o, enum cni_version v, struct result_ip *ret,
				  struct err *e)
{
	struct str family = { "", 0 };
	enum err_kind k;

	*ret = (struct result_ip){ 0 };
	if (!jv_is_object(o))
		return bad(e, "ips", "an array of objects");
	k = read_net(o, "address", &ret->address, e);
	if (k == ERR_OK)
		k = read_ip(o, "gateway", &ret->gateway, e);
	if (k == ERR_OK)
		k = read_int(o, "interface", &ret->has_interface, &ret->interface, e);
	if (k != ERR_OK)
		return k;
	ret->family = family_of(&ret->address);
	if (v >= CNI_1_0_0)
		return ERR_OK;
	if (!jv_is_null(jv_member(o, "version")) && !jv_text(jv_member(o, "version"), &family))
		return bad(e, "version", "a text");
	ret->family = family.n == 1 && (*family.p == '4' || *family.p == '6') ? *family.p : 0;
	return ERR_OK;
}

static enum err_kind read_route(const struct jv *o, struct result_route *ret, struct err *e)
{
	enum err_kind k;

	*ret = (struct result_route){ 0 };
	if (!jv_is_object(o))
		return bad(e, "routes", "an array of objects");
	k = read_net(o, "dst", &ret->dst, e);
	if (k == ERR_OK)
		k = read_ip(o, "gw", &ret->gw, e);
	if (k == ERR_OK)
		k = read_int(o, "mtu", NULL, &ret->mtu, e);
	if (k == ERR_OK)
		k = read_int(o, "advmss", NULL, &ret->advmss, e);
	if (k == ERR_OK)
		k = read_int(o, "priority", NULL, &ret->priority, e);
	if (k == ERR_OK)
		k = read_int(o, "table", &ret->has_table, &ret->table, e);
	if (k == ERR_OK)
		k = read_int(o, "scope", &ret->has_scope, &ret->scope, e);
	if (k == ERR_OK)
		ret->family = family_of(&ret->dst);
	return k;
}

static enum err_kind read_lists(const struct jv *o, struct result *r, struct err *e)
{
	const struct jv *v;
	enum err_kind k =
	    read_array(o, "interfaces", sizeof(*r->interfaces), &r->arena, &v, &r->interfaces, e);

	r->n_interfaces = k == ERR_OK ? jv_count(v) : 0;
	for (size_t i = 0; k == ERR_OK && i < r->n_interfaces; i++)
		k = read_interface(jv_at(v, i), r->version, &r->arena, &r->interfaces[i], e);
	if (k == ERR_OK)
		k = read_array(o, "ips", sizeof(*r->ips), &r->arena, &v, &r->ips, e);
	r->n_ips = k == ERR_OK ? jv_count(v) : 0;
	for (size_t i = 0; k == ERR_OK && i < r->n_ips; i++)
		k = read_address(jv_at(v, i), r->version, &r->ips[i], e);
	if (k == ERR_OK)
		k = read_array(o, "routes", sizeof(*r->routes), &r->arena, &v, &r->routes, e);
	r->n_routes = k == ERR_OK ? jv_count(v) : 0;
	for (size_t i = 0; k == ERR_OK && i < r->n_routes; i++)
		k = read_route(jv_at(v, i), &r->routes[i], e);
	return k;
}

/* 0.1.0 and 0.2.0 have one address a family, and its routes within. */
static enum err_kind read_family(const struct jv *o, char family, struct result *r, struct err *e)
{
	struct result_ip *ip = &r->ips[r->n_ips];
	struct result_route *routes;
	const struct jv *v;
	enum err_kind k;

	if (jv_is_null(o))
		return ERR_OK;
	if (!jv_is_object(o))
		return bad(e, family == '4' ? "ip4" : "ip6", "an object");
	k = read_net(o, "ip", &ip->address, e);
	if (k == ERR_OK)
		k = read_ip(o, "gateway", &ip->gateway, e);
	if (k == ERR_OK)
		k = read_array(o, "routes", sizeof(*routes), &r->arena, &v, &routes, e);
	if (k != ERR_OK)
		return k;
	ip->family = family;
	r->n_ips++;
	for (size_t i = 0; k == ERR_OK && i < jv_count(v); i++) {
		k = read_route(jv_at(v, i), &r->routes[r->n_routes], e);
		r->routes[r->n_routes++].family = family;
	}
	return k;
}

static enum err_kind read_families(const struct jv *o, struct result *r, struct err *e)
{
	const struct jv *ip4 = jv_member(o, "ip4"), *ip6 = jv_member(o, "ip6");
	size_t n = jv_count(jv_member(ip4, "routes")) + jv_count(jv_member(ip6, "routes"));
	enum err_kind k;

	if (n > LIST_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "more than %d routes", LIST_MAX);
	r->ips = arena_array(&r->arena, 2, sizeof(*r->ips));
	r->routes = arena_array(&r->arena, n + 1, sizeof(*r->routes));
	if (!r->ips || !r->routes)
		return no_memory(e);
	k = read_family(ip4, '4', r, e);
	return k == ERR_OK ? read_family(ip6, '6', r, e) : k;
}

enum err_kind result_read(const struct jv *object, enum cni_version requested, struct result *ret,
			  struct err *e)
{
	const struct jv *version = jv_member(object, "cniVersion");
	struct str text = { "", 0 };
	enum err_kind k;

	result_init(ret);
	ret->version = requested;
	if (!jv_is_null(version) && !jv_text(version, &text))
		return bad(e, "cniVersion", "a text");
	if (text.n && !cni_version_parse(text, &ret->version))
		return err_set(e, ERR_UNSUPPORTED, __func__, "results of CNI %.*s are not known",
			       (int)MIN(text.n, (size_t)40), text.p);
	k = ret->version < CNI_0_3_0 ? read_families(object, ret, e) : read_lists(object, ret, e);
	if (k == ERR_OK)
		k = result_dns_read(jv_member(object, "dns"), &ret->arena, &ret->dns, e);
	if (k != ERR_OK)
		result_clear(ret);
	return k;
}

enum err_kind result_parse(struct str text, enum cni_version requested, struct result *ret,
			   struct err *e)
{
	AUTO_JV *object = NULL;
	enum err_kind k;

	result_init(ret);
	/* Some plugins that change nothing say so. */
	if (str_eq(str_trim(text), STR("null")))
		text = STR("{}");
	k = jv_parse_object(text, RESULT_JSON_DEPTH, &object, e);
	return k == ERR_OK ? result_read(object, requested, ret, e) : k;
}

const struct result_interface *result_own_interface(const struct result *r, const char *name)
{
	for (size_t i = 0; i < r->n_interfaces; i++) {
		if (*r->interfaces[i].sandbox && strcmp(r->interfaces[i].name, name) == 0)
			return &r->interfaces[i];
	}
	return NULL;
}

const struct result_interface *result_outer_interface(const struct result *r, const char *bridge)
{
	for (size_t i = 0; i < r->n_interfaces; i++) {
		if (!*r->interfaces[i].sandbox && strcmp(r->interfaces[i].name, bridge) != 0)
			return &r->interfaces[i];
	}
	return NULL;
}

/* The first address of each family, and the routes that fit to one of them. */
static enum err_kind to_families(struct result *r, struct err *e)
{
	bool has4 = false, has6 = false;
	struct result_ip found[2];
	size_t n = 0, n_routes = 0;

	for (unsigned pass = 0; pass < 2; pass++) {
		char family = pass == 0 ? '4' : '6';

		for (size_t i = 0; i < r->n_ips; i++) {
			if (r->ips[i].family != family)
				continue;
			found[n++] = (struct result_ip){ .family = family,
							 .address = r->ips[i].address,
							 .gateway = r->ips[i].gateway };
			*(pass == 0 ? &has4 : &has6) = true;
			break;
		}
	}
	if (n == 0)
		return err_set(e, ERR_INVALID, __func__,
			       "a result without an address has no form in CNI 0.2.0");
	memcpy(r->ips, found, n * sizeof(found[0]));
	r->n_ips = n;
	for (size_t i = 0; i < r->n_routes; i++) {
		const struct result_route *from = &r->routes[i];
		char family = family_of(&from->dst);

		if (family == '4' ? has4 : has6)
			r->routes[n_routes++] = (struct result_route){ .family = family,
								       .dst = from->dst,
								       .gw = from->gw };
	}
	r->n_routes = n_routes;
	r->n_interfaces = 0;
	return ERR_OK;
}

enum err_kind result_convert(struct result *r, enum cni_version to, struct err *e)
{
	enum err_kind k;

	if (to < CNI_0_3_0 && r->version >= CNI_0_3_0) {
		k = to_families(r, e);
		if (k != ERR_OK)
			return k;
	}
	for (size_t i = 0; r->version >= CNI_1_0_0 && to < CNI_1_0_0 && i < r->n_interfaces; i++) {
		struct result_interface *f = &r->interfaces[i];

		*f = (struct result_interface){ .name = f->name,
						.mac = f->mac,
						.sandbox = f->sandbox,
						.socket_path = "",
						.pci_id = "" };
	}
	for (size_t i = 0; to >= CNI_1_0_0 && i < r->n_ips; i++)
		r->ips[i].family = family_of(&r->ips[i].address);
	r->version = to;
	return ERR_OK;
}
