#include "runtime/net/guard.h"

#include "runtime/net/nft.h"

#define CHAIN_PREFIX "guard-"
#define CHAIN_MAX (sizeof(CHAIN_PREFIX) + NET_NAME_MAX)

enum err_kind guard_write(const struct net_name *network, const char *interface,
			  const struct subnets *networks, struct sbuf *script, struct err *e)
{
	char text[IP_TEXT_MAX];

	if (!nft_is_plain(interface))
		return err_set(e, ERR_INVALID, __func__,
			       "an interface to guard must be named with letters, digits, \"_\", "
			       "\".\" and \"-\"");
	sbuf_addf(script,
		  "add table inet " NFT_TABLE "\n"
		  "add chain inet " NFT_TABLE " " CHAIN_PREFIX
		  "%s { type filter hook prerouting priority raw; }\n"
		  "flush chain inet " NFT_TABLE " " CHAIN_PREFIX "%s\n",
		  network->s, network->s);
	for (size_t i = 0; i < networks->n; i++)
		sbuf_addf(script,
			  "add rule inet " NFT_TABLE " " CHAIN_PREFIX
			  "%s iifname != { \"%s\", \"lo\" } %s daddr %s drop\n",
			  network->s, interface, networks->p[i].len == 4 ? "ip" : "ip6",
			  ip_net_text(&networks->p[i], text));
	return ERR_OK;
}

enum err_kind guard_remove(const struct net_name *network, struct err *e)
{
	char chain[CHAIN_MAX];

	(void)snprintf(chain, sizeof(chain), CHAIN_PREFIX "%s", network->s);
	return nft_remove_chain(NFT_INET, chain, e);
}
