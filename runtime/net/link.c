#include "runtime/net/link.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

static void read_kind(const struct nl_attr *info, struct link *l)
{
	struct nl_attrs rest = { info->p, info->n };
	struct nl_attr a;

	while (nl_attr_next(&rest, &a)) {
		if (a.type == IFLA_INFO_KIND)
			(void)snprintf(l->kind, sizeof(l->kind), "%.*s", (int)a.n,
				       (const char *)a.p);
	}
}

struct search {
	struct link *ret;
	bool found;
};

static enum err_kind read_link(void *arg, const struct nlmsghdr *m, struct err *e)
{
	struct search *s = arg;
	const struct ifinfomsg *info = NLMSG_DATA(m);
	struct nl_attrs rest = nl_attrs_of(m, sizeof(*info));
	struct nl_attr a;

	(void)e;
	if (m->nlmsg_type != RTM_NEWLINK)
		return ERR_OK;
	s->found = true;
	*s->ret =
	    (struct link){ .index = (uint32_t)info->ifi_index, .is_up = info->ifi_flags & IFF_UP };
	while (nl_attr_next(&rest, &a)) {
		if (a.type == IFLA_LINKINFO)
			read_kind(&a, s->ret);
	}
	return ERR_OK;
}

enum err_kind link_find(struct nl *s, const char *name, struct link *ret, struct err *e)
{
	const struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
	struct search found = { .ret = ret };
	struct nl_request rq;
	enum err_kind k;

	nl_begin(&rq, RTM_GETLINK, 0, &head, sizeof(head));
	nl_put_text(&rq, IFLA_IFNAME, name);
	k = nl_get(s, &rq, "look for an interface", read_link, &found, e);
	if (k != ERR_OK && e->sys == ENODEV)
		return err_set(e, ERR_NOT_FOUND, __func__, "there is no interface %s", name);
	return k;
}

enum err_kind link_set_up(struct nl *s, uint32_t index, struct err *e)
{
	const struct ifinfomsg head = { .ifi_family = AF_UNSPEC,
					.ifi_index = (int)index,
					.ifi_flags = IFF_UP,
					.ifi_change = IFF_UP };
	struct nl_request rq;

	nl_begin(&rq, RTM_NEWLINK, 0, &head, sizeof(head));
	return nl_call(s, &rq, "bring an interface up", e);
}

enum err_kind link_isolate(struct nl *s, uint32_t index, struct err *e)
{
	const struct ifinfomsg head = { .ifi_family = AF_UNSPEC, .ifi_index = (int)index };
	const uint8_t on = 1;
	struct nl_request rq;
	size_t info, data;

	nl_begin(&rq, RTM_NEWLINK, 0, &head, sizeof(head));
	info = nl_nest(&rq, IFLA_LINKINFO);
	nl_put_text(&rq, IFLA_INFO_SLAVE_KIND, "bridge");
	data = nl_nest(&rq, IFLA_INFO_SLAVE_DATA);
	nl_put(&rq, IFLA_BRPORT_ISOLATED, &on, sizeof(on));
	nl_nest_end(&rq, data);
	nl_nest_end(&rq, info);
	return nl_call(s, &rq, "isolate a port of a bridge", e);
}

enum err_kind link_delete(struct nl *s, uint32_t index, struct err *e)
{
	const struct ifinfomsg head = { .ifi_family = AF_UNSPEC, .ifi_index = (int)index };
	struct nl_request rq;

	nl_begin(&rq, RTM_DELLINK, 0, &head, sizeof(head));
	return nl_call(s, &rq, "remove an interface", e);
}

enum err_kind link_add_veth(struct nl *s, const char *name, const char *peer, struct err *e)
{
	const struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
	struct nl_request rq;
	size_t info, data, other;

	nl_begin(&rq, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof(head));
	nl_put_text(&rq, IFLA_IFNAME, name);
	info = nl_nest(&rq, IFLA_LINKINFO);
	nl_put_text(&rq, IFLA_INFO_KIND, "veth");
	data = nl_nest(&rq, IFLA_INFO_DATA);
	other = nl_nest(&rq, VETH_INFO_PEER);
	nl_put_raw(&rq, &head, sizeof(head));
	nl_put_text(&rq, IFLA_IFNAME, peer);
	nl_nest_end(&rq, other);
	nl_nest_end(&rq, data);
	nl_nest_end(&rq, info);
	return nl_call(s, &rq, "make a pair of interfaces", e);
}

enum err_kind link_add_address(struct nl *s, uint32_t index, const struct ip_net *ip, struct err *e)
{
	const struct ifaddrmsg head = { .ifa_family = ip->len == 4 ? AF_INET : AF_INET6,
					.ifa_prefixlen = ip->prefix,
					.ifa_flags = ip->len == 4 ? 0 : IFA_F_NODAD,
					.ifa_index = index };
	struct nl_request rq;

	nl_begin(&rq, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof(head));
	nl_put(&rq, IFA_LOCAL, ip->bytes, ip->len);
	nl_put(&rq, IFA_ADDRESS, ip->bytes, ip->len);
	return nl_call(s, &rq, "add an address", e);
}

struct ports {
	uint32_t master;
	unsigned n;
};

static enum err_kind count_port(void *arg, const struct nlmsghdr *m, struct err *e)
{
	struct ports *ports = arg;
	struct nl_attrs rest = nl_attrs_of(m, sizeof(struct ifinfomsg));
	struct nl_attr a;
	uint32_t master;

	(void)e;
	while (nl_attr_next(&rest, &a)) {
		if (a.type != IFLA_MASTER || a.n != sizeof(master))
			continue;
		memcpy(&master, a.p, sizeof(master));
		ports->n += master == ports->master;
	}
	return ERR_OK;
}

enum err_kind link_count_ports(struct nl *s, uint32_t index, unsigned *ret, struct err *e)
{
	const struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
	struct ports ports = { .master = index };
	struct nl_request rq;
	enum err_kind k;

	nl_begin(&rq, RTM_GETLINK, 0, &head, sizeof(head));
	k = nl_dump(s, &rq, "list interfaces", count_port, &ports, e);
	*ret = ports.n;
	return k;
}

struct networks {
	link_network_fn *fn;
	void *arg;
};

static enum err_kind report(const struct networks *to, const struct nl_attr *a, uint8_t prefix,
			    struct err *e)
{
	struct ip_net ip = { .len = (uint8_t)a->n, .prefix = prefix };

	if ((a->n != 4 && a->n != 16) || prefix == 0)
		return ERR_OK; /* a default route is about no network */
	memcpy(ip.bytes, a->p, a->n);
	return to->fn(to->arg, &ip, e);
}

static enum err_kind read_network(void *arg, const struct nlmsghdr *m, struct err *e)
{
	const struct networks *to = arg;
	bool is_route = m->nlmsg_type == RTM_NEWROUTE;
	const struct rtmsg *route = NLMSG_DATA(m);
	const struct ifaddrmsg *address = NLMSG_DATA(m);
	struct nl_attrs rest = nl_attrs_of(m, is_route ? sizeof(*route) : sizeof(*address));
	struct nl_attr a;
	enum err_kind k = ERR_OK;

	if (is_route && (route->rtm_table == RT_TABLE_LOCAL || route->rtm_type != RTN_UNICAST))
		return ERR_OK;
	while (k == ERR_OK && nl_attr_next(&rest, &a)) {
		if (is_route && a.type == RTA_DST)
			k = report(to, &a, route->rtm_dst_len, e);
		else if (!is_route && a.type == IFA_ADDRESS)
			k = report(to, &a, address->ifa_prefixlen, e);
	}
	return k;
}

enum err_kind link_each_network(struct nl *s, link_network_fn *fn, void *arg, struct err *e)
{
	const struct rtmsg route = { .rtm_family = AF_UNSPEC };
	const struct ifaddrmsg address = { .ifa_family = AF_UNSPEC };
	struct networks to = { fn, arg };
	struct nl_request rq;
	enum err_kind k;

	nl_begin(&rq, RTM_GETADDR, 0, &address, sizeof(address));
	k = nl_dump(s, &rq, "list addresses", read_network, &to, e);
	if (k != ERR_OK)
		return k;
	nl_begin(&rq, RTM_GETROUTE, 0, &route, sizeof(route));
	return nl_dump(s, &rq, "list routes", read_network, &to, e);
}

struct addresses {
	uint32_t index;
	struct networks to;
};

static enum err_kind read_address(void *arg, const struct nlmsghdr *m, struct err *e)
{
	const struct addresses *w = arg;
	const struct ifaddrmsg *address = NLMSG_DATA(m);
	struct nl_attrs rest = nl_attrs_of(m, sizeof(*address));
	struct nl_attr a;
	enum err_kind k = ERR_OK;

	if (address->ifa_index != w->index || address->ifa_scope >= RT_SCOPE_LINK)
		return ERR_OK;
	/* IFA_LOCAL is the own one of a pair, where there is one. */
	while (k == ERR_OK && nl_attr_next(&rest, &a)) {
		if (a.type == (address->ifa_family == AF_INET ? IFA_LOCAL : IFA_ADDRESS))
			k = report(&w->to, &a, address->ifa_prefixlen, e);
	}
	return k;
}

enum err_kind link_each_address(struct nl *s, uint32_t index, link_network_fn *fn, void *arg,
				struct err *e)
{
	const struct ifaddrmsg address = { .ifa_family = AF_UNSPEC };
	struct addresses w = { index, { fn, arg } };
	struct nl_request rq;

	nl_begin(&rq, RTM_GETADDR, 0, &address, sizeof(address));
	return nl_dump(s, &rq, "list addresses", read_address, &w, e);
}
