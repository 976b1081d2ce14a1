#include "runtime/net/apart.h"

#include "runtime/net/nft.h"

#define CHAIN_PREFIX "apart-"
#define CHAIN_MAX (sizeof(CHAIN_PREFIX) + NET_NAME_MAX)
#define CHAIN "inet " NFT_TABLE " " CHAIN_PREFIX "%s"
#define SET "inet " NFT_TABLE " bridges"

/* Made before it is used or taken away, so that it need not be there. */
static void write_member(const char *bridge, struct sbuf *script)
{
	sbuf_addf(script,
		  "add table inet " NFT_TABLE "\n"
		  "add set " SET " { type ifname; }\n"
		  "add element " SET " { \"%s\" }\n",
		  bridge);
}

enum err_kind apart_write(const struct net_name *network, const char *bridge, bool isolated,
			  struct sbuf *script, struct err *e)
{
	if (!nft_is_plain(bridge))
		return err_set(
		    e, ERR_INVALID, __func__,
		    "a bridge must be named with letters, digits, \"_\", \".\" and \"-\"");
	write_member(bridge, script);
	sbuf_addf(script,
		  "add chain " CHAIN " { type filter hook forward priority filter; }\n"
		  "flush chain " CHAIN "\n"
		  "add rule " CHAIN " iifname \"%s\" oifname != \"%s\" oifname @bridges drop\n",
		  network->s, network->s, network->s, bridge, bridge);
	if (isolated)
		sbuf_addf(script, "add rule " CHAIN " iifname \"%s\" oifname \"%s\" drop\n",
			  network->s, bridge, bridge);
	return ERR_OK;
}

enum err_kind apart_remove(const struct net_name *network, const char *bridge, struct err *e)
{
	char chain[CHAIN_MAX];
	struct err ignored;
	AUTO_SBUF script;
	enum err_kind k;

	(void)snprintf(chain, sizeof(chain), CHAIN_PREFIX "%s", network->s);
	k = nft_remove_chain(NFT_INET, chain, e);
	sbuf_init(&script, NFT_SCRIPT_MAX);
	write_member(bridge, &script);
	sbuf_addf(&script, "delete element " SET " { \"%s\" }\n", bridge);
	if (nft_is_plain(bridge))
		(void)!nft_run(&script, &ignored); /* a bridge that is no more keeps nobody apart */
	return k;
}
