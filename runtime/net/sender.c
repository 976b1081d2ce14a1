#include "runtime/net/sender.h"

#include "runtime/net/link.h"
#include "runtime/net/nft.h"

#define CHAIN_PREFIX "from-"
#define CHAIN_MAX 64
#define CHAIN "netdev " NFT_TABLE " " CHAIN_PREFIX "%s"
#define ADD_RULE "add rule " CHAIN " "

/* "{ first, A, B }": all addresses of one length. */
static void write_set(const struct result *r, uint8_t len, const char *first, struct sbuf *script)
{
	char text[IP_TEXT_MAX];

	sbuf_addf(script, "{ %s", first);
	for (size_t i = 0; i < r->n_ips; i++) {
		if (r->ips[i].address.len == len)
			sbuf_addf(script, ", %s", ip_text(&r->ips[i].address, text));
	}
	sbuf_addf(script, " }");
}

/* By offset, for older versions of nft have no name for the address that an advertisement is about. */
static void write_neighbours(const struct result *r, const char *interface, struct sbuf *script)
{
	sbuf_addf(script, ADD_RULE "icmpv6 type nd-neighbor-advert @th,64,16 != 0xfe80", interface);
	for (size_t i = 0; i < r->n_ips; i++) {
		if (r->ips[i].address.len != 16)
			continue;
		sbuf_addf(script, " @th,64,128 != 0x");
		for (unsigned b = 0; b < 16; b++)
			sbuf_addf(script, "%02x", r->ips[i].address.bytes[b]);
	}
	sbuf_addf(script, " drop\n");
}

static void write_rules(const struct result *r, const char *mac, const char *interface,
			struct sbuf *script)
{
	sbuf_addf(script,
		  "add table netdev " NFT_TABLE "\n"
		  "add chain " CHAIN
		  " { type filter hook ingress device \"%s\" priority filter; }\n"
		  "flush chain " CHAIN "\n",
		  interface, interface, interface);
	sbuf_addf(script, ADD_RULE "ether saddr != %s drop\n", interface, mac);
	sbuf_addf(script, ADD_RULE "arp saddr ether != %s drop\n", interface, mac);
	sbuf_addf(script, ADD_RULE "arp saddr ip != ", interface);
	write_set(r, 4, "0.0.0.0", script);
	sbuf_addf(script, " drop\n" ADD_RULE "ip saddr != ", interface);
	write_set(r, 4, "0.0.0.0", script);
	sbuf_addf(script, " drop\n" ADD_RULE "ip6 saddr != ", interface);
	write_set(r, 16, "::, fe80::/10", script);
	sbuf_addf(script, " drop\n" ADD_RULE "icmpv6 type { nd-router-advert, nd-redirect } drop\n",
		  interface);
	write_neighbours(r, interface, script);
}

static bool is_mac(const char *text)
{
	return *text && text[strspn(text, "0123456789abcdefABCDEF:")] == '\0';
}

bool sender_is_checked(const struct conflist *l)
{
	bool on = false;

	return jv_bool(jv_member(l->extra, "checked"), &on) && on;
}

bool sender_is_possible(void)
{
	struct result_ip ips[2] = { { .has_interface = false } };
	const struct result r = { .ips = ips, .n_ips = ARRAY_LEN(ips) };
	AUTO_SBUF script;

	sbuf_init(&script, NFT_SCRIPT_MAX);
	if (!ip_parse(STR("192.0.2.1"), &ips[0].address) ||
	    !ip_parse(STR("2001:db8::1"), &ips[1].address))
		return false;
	write_rules(&r, "02:00:00:00:00:01", "lo", &script);
	return nft_is_accepted(&script);
}

enum err_kind sender_write(const struct result *r, const struct if_name *ifname, const char *bridge,
			   struct sbuf *script, struct err *e)
{
	const struct result_interface *own = result_own_interface(r, ifname->s);
	const struct result_interface *outer = result_outer_interface(r, bridge);

	if (!own || !is_mac(own->mac))
		return err_set(e, ERR_INVALID, __func__,
			       "the result of ADD names no interface %s with a MAC address",
			       ifname->s);
	if (!outer || !nft_is_plain(outer->name))
		return err_set(e, ERR_INVALID, __func__,
			       "the result of ADD names no interface of the host that leads to %s",
			       ifname->s);
	write_rules(r, own->mac, outer->name, script);
	return ERR_OK;
}

static enum err_kind sweep_one(void *arg, const char *chain, struct err *e)
{
	struct str prefix = STR(CHAIN_PREFIX);
	struct nl *s = arg;
	struct link found;
	enum err_kind k;

	if (!str_starts(str_of(chain), prefix))
		return ERR_OK;
	k = link_find(s, chain + prefix.n, &found, e);
	return k == ERR_NOT_FOUND ? nft_remove_chain(NFT_NETDEV, chain, e) : k;
}

enum err_kind sender_sweep(struct err *e)
{
	AUTO_NL s = { .fd = -1 };
	enum err_kind k = nl_open(NETLINK_ROUTE, &s, e);

	return k == ERR_OK ? nft_each_chain(NFT_NETDEV, sweep_one, &s, e) : k;
}

void sender_forget(const struct result *r)
{
	char chain[CHAIN_MAX];
	bool known = false;
	struct err ignored;

	for (size_t i = 0; i < r->n_interfaces; i++) {
		if (*r->interfaces[i].sandbox)
			continue;
		(void)snprintf(chain, sizeof(chain), CHAIN_PREFIX "%s", r->interfaces[i].name);
		(void)!nft_remove_chain(NFT_NETDEV, chain, &ignored);
		known = true;
	}
	if (!known)
		(void)!sender_sweep(&ignored);
}
