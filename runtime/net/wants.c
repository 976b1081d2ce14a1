#include "runtime/net/wants.h"

#include "runtime/net/ip.h"

#define PORT_MAX 65535u
#define HOST_NAME_MAX_BYTES 253
#define LABEL_MAX 63
#define RATE_MIN 8000u          /* bits a second: a packet takes a second and a half */
#define RATE_MAX 1000000000000u /* bits a second */
#define BURSTS_A_SECOND 10u

void wants_clear(struct wants *w)
{
	jv_free(&w->ports);
	jv_free(&w->ips);
	jv_free(&w->aliases);
	jv_free(&w->servers);
	jv_free(&w->searches);
	jv_free(&w->dns_options);
}

static enum err_kind append(struct jv **array, struct jv *take, struct err *e)
{
	if (!*array)
		*array = jv_new_array();
	return jv_append(*array, take)
		   ? ERR_OK
		   : err_set(e, ERR_NO_MEMORY, __func__, "no memory for options");
}

static enum err_kind append_text(struct jv **array, struct str s, struct err *e)
{
	return append(array, jv_pack("s%", s.p, s.n), e);
}

/* ---- ports ---- */

struct ports {
	uint64_t first, last;
};

static bool scan_port(struct str *in, uint64_t *ret)
{
	struct str rest = *in;

	if (!scan_u64(&rest, PORT_MAX, ret) || *ret == 0)
		return false;
	*in = rest;
	return true;
}

static bool parse_ports(struct str in, struct ports *ret)
{
	if (!scan_port(&in, &ret->first))
		return false;
	ret->last = ret->first;
	if (scan_char(&in, '-') && !scan_port(&in, &ret->last))
		return false;
	return scan_end(&in) && ret->last >= ret->first;
}

/* HOSTPORT:PORT, :PORT or PORT: what is not said is 0. */
static bool parse_pair(struct str in, struct ports *outer, struct ports *inner)
{
	struct str outside, inside;

	*outer = (struct ports){ 0, 0 };
	if (!str_cut(in, ':', &outside, &inside))
		inside = in;
	else if (outside.n && !parse_ports(outside, outer))
		return false;
	return parse_ports(inside, inner);
}

/* Up to the colon behind an address; one of IPv6 stands in brackets. */
static bool cut_host(struct str *in, struct str *host)
{
	struct str before, rest, again, more;

	*host = (struct str){ "", 0 };
	if (in->n && in->p[0] == '[') {
		if (!str_cut((struct str){ in->p + 1, in->n - 1 }, ']', host, &rest) ||
		    !scan_char(&rest, ':'))
			return false;
		*in = rest;
		return true;
	}
	if (!str_cut(*in, ':', &before, &rest) || !str_cut(rest, ':', &again, &more))
		return true; /* HOSTPORT:PORT, or PORT */
	*host = before;
	*in = rest;
	return true;
}

static enum err_kind bad_port(struct str in, struct err *e)
{
	return err_set(e, ERR_INVALID, __func__,
		       "port \"%.*s\" is not [[HOSTIP:]HOSTPORT:]PORT[/PROTOCOL]",
		       (int)MIN(in.n, (size_t)80), in.p);
}

static enum err_kind append_ports(struct wants *w, struct str host, const struct ports *outer,
				  const struct ports *inner, struct str protocol, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (uint64_t i = 0; k == ERR_OK && i <= inner->last - inner->first; i++) {
		uint64_t number = outer->first ? outer->first + i : 0;
		AUTO_JV *o =
		    jv_pack("{s:I,s:I,s:s%}", "hostPort", (int64_t)number, "containerPort",
			    (int64_t)(inner->first + i), "protocol", protocol.p, protocol.n);

		if (host.n && !jv_set(o, "hostIP", jv_pack("s%", host.p, host.n)))
			return err_set(e, ERR_NO_MEMORY, __func__, "no memory for options");
		if (jv_count(w->ports) == WANTS_PORTS_MAX)
			return err_set(e, ERR_TOO_LARGE, __func__, "more than %d ports",
				       WANTS_PORTS_MAX);
		k = append(&w->ports, TAKE(o), e);
	}
	return k;
}

enum err_kind wants_port(struct wants *w, struct str in, struct err *e)
{
	struct str rest, protocol, host;
	struct ports outer, inner;
	struct ip_net ip;

	if (!str_cut(in, '/', &rest, &protocol))
		protocol = STR("tcp");
	if (!str_eq(protocol, STR("tcp")) && !str_eq(protocol, STR("udp")) &&
	    !str_eq(protocol, STR("sctp")))
		return err_set(e, ERR_INVALID, __func__,
			       "port \"%.*s\": the protocol is tcp, udp or sctp",
			       (int)MIN(in.n, (size_t)80), in.p);
	if (!cut_host(&rest, &host) || (host.n && !ip_parse(host, &ip)))
		return bad_port(in, e);
	if (!parse_pair(rest, &outer, &inner))
		return bad_port(in, e);
	if (outer.first && outer.last - outer.first != inner.last - inner.first)
		return err_set(e, ERR_INVALID, __func__,
			       "port \"%.*s\": the ranges are of different lengths",
			       (int)MIN(in.n, (size_t)80), in.p);
	return append_ports(w, host, &outer, &inner, protocol, e);
}

/* ---- addresses and names ---- */

enum err_kind wants_ip(struct wants *w, struct str in, struct err *e)
{
	struct ip_net ip;

	if (!ip_parse(in, &ip) && !ip_net_parse(in, &ip))
		return err_set(e, ERR_INVALID, __func__, "\"%.*s\" is no address",
			       (int)MIN(in.n, (size_t)80), in.p);
	return append_text(&w->ips, in, e);
}

enum err_kind wants_mac(struct wants *w, struct str in, struct err *e)
{
	bool ok = in.n == sizeof(w->mac) - 1 && hex_value(in.p[1]) >= 0;

	for (size_t i = 0; ok && i < in.n; i++)
		ok = i % 3 == 2 ? in.p[i] == ':' : hex_value(in.p[i]) >= 0;
	/* The lowest bit of the first byte says that it is for many. */
	if (!ok || hex_value(in.p[1]) & 1 || !str_copy(in, w->mac, sizeof(w->mac)))
		return err_set(e, ERR_INVALID, __func__,
			       "\"%.*s\" is no MAC address of one interface",
			       (int)MIN(in.n, (size_t)80), in.p);
	return ERR_OK;
}

enum err_kind wants_rate(struct wants *w, bool ingress, struct str in, struct err *e)
{
	static const struct {
		char letter;
		uint64_t factor;
	} units[] = { { 'K', 1000 }, { 'M', 1000000 }, { 'G', 1000000000 } };
	struct str rest = in;
	uint64_t rate;
	bool ok = scan_u64(&rest, RATE_MAX, &rate);

	for (size_t i = 0; ok && i < ARRAY_LEN(units); i++) {
		if (!scan_char(&rest, units[i].letter))
			continue;
		ok = rate <= RATE_MAX / units[i].factor;
		rate *= units[i].factor;
		break;
	}
	if (!ok || !scan_end(&rest) || rate < RATE_MIN || rate > RATE_MAX)
		return err_set(e, ERR_INVALID, __func__,
			       "\"%.*s\" is no rate in bits a second, such as 800K, 16M or 1G",
			       (int)MIN(in.n, (size_t)80), in.p);
	*(ingress ? &w->ingress_rate : &w->egress_rate) = rate;
	return ERR_OK;
}

static bool is_label(struct str s)
{
	if (s.n == 0 || s.n > LABEL_MAX || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		/* RFC 1123 has no "_", but names of containers do. */
		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    c != '-' && c != '_')
			return false;
	}
	return true;
}

bool is_host_name(struct str in)
{
	struct str label;
	bool more = in.n > 0 && in.n <= HOST_NAME_MAX_BYTES, ok = more;

	while (more && ok) {
		more = str_cut(in, '.', &label, &in);
		ok = is_label(label);
	}
	return ok;
}

enum err_kind wants_alias(struct wants *w, struct str in, struct err *e)
{
	if (!is_host_name(in))
		return err_set(e, ERR_INVALID, __func__, "\"%.*s\" is no name of a host",
			       (int)MIN(in.n, (size_t)80), in.p);
	return append_text(&w->aliases, in, e);
}

enum err_kind wants_dns_server(struct wants *w, struct str in, struct err *e)
{
	struct ip_net ip;

	if (!ip_parse(in, &ip))
		return err_set(e, ERR_INVALID, __func__, "name server \"%.*s\" is no address",
			       (int)MIN(in.n, (size_t)80), in.p);
	return append_text(&w->servers, in, e);
}

enum err_kind wants_dns_search(struct wants *w, struct str in, struct err *e)
{
	if (!str_eq(in, STR(".")) && !is_host_name(in))
		return err_set(e, ERR_INVALID, __func__, "search domain \"%.*s\" is no domain",
			       (int)MIN(in.n, (size_t)80), in.p);
	return append_text(&w->searches, in, e);
}

enum err_kind wants_dns_option(struct wants *w, struct str in, struct err *e)
{
	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] <= ' ' || in.p[i] == 0x7f || in.p[i] == '#' || in.p[i] == ';')
			in.n = 0;
	}
	if (in.n == 0)
		return err_set(e, ERR_INVALID, __func__, "an option of the resolver is one word");
	return append_text(&w->dns_options, in, e);
}

/* ---- as capabilities ---- */

struct writing {
	const struct conflist *list;
	struct jv *all;
	struct err *e;
};

/* take NULL: not wanted, or no memory, which is told by `wanted`. */
static enum err_kind put(const struct writing *w, const char *capability, const char *what,
			 bool needed, bool wanted, struct jv *take)
{
	AUTO_JV *value = take;

	if (!wanted)
		return ERR_OK;
	if (needed && !conflist_has_capability(w->list, capability))
		return err_set(w->e, ERR_UNSUPPORTED, __func__,
			       "network %s has no plugin that can %s (capability %s)",
			       w->list->name.s, what, capability);
	return jv_set(w->all, capability, TAKE(value))
		   ? ERR_OK
		   : err_set(w->e, ERR_NO_MEMORY, __func__, "no memory for options");
}

/* The one plugin that there is for names wants them by network. */
static struct jv *write_aliases(const struct wants *w, const struct conflist *l)
{
	if (!w->aliases)
		return NULL;
	for (size_t i = 0; i < conflist_count(l); i++) {
		if (str_eq(plugin_type(conflist_plugin(l, i)), STR("dnsname")))
			return jv_pack("{s:o}", l->name.s, jv_share(w->aliases));
	}
	return jv_share(w->aliases);
}

static struct jv *share(const struct jv *v)
{
	return v ? jv_share(v) : NULL;
}

static struct jv *write_dns(const struct wants *w)
{
	AUTO_JV *o = jv_pack("{}");

	if ((w->servers && !jv_set(o, "servers", jv_share(w->servers))) ||
	    (w->searches && !jv_set(o, "searches", jv_share(w->searches))) ||
	    (w->dns_options && !jv_set(o, "options", jv_share(w->dns_options))))
		return NULL;
	return TAKE(o);
}

static bool wants_bandwidth(const struct wants *w)
{
	return w->ingress_rate || w->egress_rate;
}

static bool set_rate(struct jv *o, const char *rate_key, const char *burst_key, uint64_t rate)
{
	return rate == 0 || (jv_set(o, rate_key, jv_pack("I", (int64_t)rate)) &&
			     jv_set(o, burst_key, jv_pack("I", (int64_t)(rate / BURSTS_A_SECOND))));
}

static struct jv *write_bandwidth(const struct wants *w)
{
	AUTO_JV *o = jv_pack("{}");

	return set_rate(o, "ingressRate", "ingressBurst", w->ingress_rate) &&
		       set_rate(o, "egressRate", "egressBurst", w->egress_rate)
		   ? TAKE(o)
		   : NULL;
}

enum err_kind wants_capabilities(const struct wants *w, const struct conflist *l, struct jv **ret,
				 struct err *e)
{
	AUTO_JV *all = jv_pack("{}");
	const struct writing to = { .list = l, .all = all, .e = e };
	bool dns = w->servers || w->searches || w->dns_options;
	enum err_kind k;

	*ret = NULL;
	k = put(&to, "portMappings", "publish ports", true, w->ports, share(w->ports));
	if (k == ERR_OK)
		k = put(&to, "ips", "give an address of choice", true, w->ips, share(w->ips));
	if (k == ERR_OK)
		k = put(&to, "mac", "give a MAC address of choice", true, *w->mac,
			*w->mac ? jv_pack("s", w->mac) : NULL);
	if (k == ERR_OK)
		k = put(&to, "bandwidth", "limit bandwidth", true, wants_bandwidth(w),
			write_bandwidth(w));
	if (k == ERR_OK)
		k = put(&to, "aliases", "resolve names", false, w->aliases, write_aliases(w, l));
	if (k == ERR_OK)
		k = put(&to, "dns", "set name servers", false, dns, write_dns(w));
	if (k == ERR_OK)
		*ret = TAKE(all);
	return k;
}
