#include "runtime/net/conntrack.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>

#include "runtime/net/netlink.h"

#define TUPLE_MAX 256
#define ENTRIES_MAX 65536

/* The original direction of one connection, which names it. */
struct connection {
	uint8_t family;
	size_t n;
	char tuple[TUPLE_MAX];
};

struct connections {
	const struct ip_net *ip;
	struct connection *p;
	size_t n, cap;
};

static bool is_address(uint16_t type)
{
	return type == CTA_IP_V4_SRC || type == CTA_IP_V4_DST || type == CTA_IP_V6_SRC ||
	       type == CTA_IP_V6_DST;
}

/* Is the address the source or destination of this direction? */
static bool tuple_has(const struct nl_attr *tuple, const struct ip_net *ip)
{
	struct nl_attrs parts = { tuple->p, tuple->n };
	struct nl_attr part, a;

	while (nl_attr_next(&parts, &part)) {
		struct nl_attrs addresses = { part.p, part.n };

		if (part.type != CTA_TUPLE_IP)
			continue;
		while (nl_attr_next(&addresses, &a)) {
			if (is_address(a.type) && a.n == ip->len &&
			    memcmp(a.p, ip->bytes, a.n) == 0)
				return true;
		}
	}
	return false;
}

static bool make_room(struct connections *list)
{
	size_t cap = list->cap ? 2 * list->cap : 64;
	struct connection *p;

	if (list->n < list->cap)
		return true;
	p = cap <= ENTRIES_MAX ? reallocarray(list->p, cap, sizeof(*p)) : NULL;
	if (!p)
		return false;
	list->p = p;
	list->cap = cap;
	return true;
}

static enum err_kind collect(void *arg, const struct nlmsghdr *m, struct err *e)
{
	struct connections *list = arg;
	const struct nfgenmsg *head = NLMSG_DATA(m);
	struct nl_attrs rest = nl_attrs_of(m, sizeof(*head));
	struct nl_attr a, original = { 0 };
	bool has = false;

	(void)e;
	while (nl_attr_next(&rest, &a)) {
		if (a.type != CTA_TUPLE_ORIG && a.type != CTA_TUPLE_REPLY)
			continue;
		if (a.type == CTA_TUPLE_ORIG)
			original = a;
		has = has || tuple_has(&a, list->ip);
	}
	if (has && original.n && original.n <= TUPLE_MAX && make_room(list)) {
		struct connection *c = &list->p[list->n++];

		*c = (struct connection){ .family = head->nfgen_family, .n = original.n };
		memcpy(c->tuple, original.p, original.n);
	}
	return ERR_OK;
}

static void forget_one(struct nl *s, const struct connection *c)
{
	const struct nfgenmsg head = { .nfgen_family = c->family, .version = NFNETLINK_V0 };
	struct nl_request rq;
	struct err ignored;

	nl_begin(&rq, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, 0, &head, sizeof(head));
	nl_put(&rq, CTA_TUPLE_ORIG | NLA_F_NESTED, c->tuple, c->n);
	(void)!nl_call(s, &rq, "forget a connection", &ignored);
}

static void forget_address(struct nl *s, const struct ip_net *ip)
{
	const struct nfgenmsg head = { .nfgen_family = ip->len == 4 ? AF_INET : AF_INET6,
				       .version = NFNETLINK_V0 };
	struct connections found = { .ip = ip };
	struct nl_request rq;
	struct err ignored;

	nl_begin(&rq, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, 0, &head, sizeof(head));
	if (nl_dump(s, &rq, "list connections", collect, &found, &ignored) == ERR_OK) {
		for (size_t i = 0; i < found.n; i++)
			forget_one(s, &found.p[i]);
	}
	free(found.p);
}

void conntrack_forget(const struct result *r)
{
	AUTO_NL s = { .fd = -1 };
	struct err ignored;

	if (r->n_ips == 0 || nl_open(NETLINK_NETFILTER, &s, &ignored) != ERR_OK)
		return;
	for (size_t i = 0; i < r->n_ips; i++)
		forget_address(&s, &r->ips[i].address);
}
