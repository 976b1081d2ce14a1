#include "runtime/net/nft.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <unistd.h>

#include "runtime/net/exec.h"
#include "runtime/net/netlink.h"

#define TIMEOUT_MS 30000u

_Static_assert(NFT_INET == NFPROTO_INET && NFT_NETDEV == NFPROTO_NETDEV, "families of nf_tables");

/* ---- by the program ---- */

static const char *const dirs[] = { "/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin" };

static enum err_kind find_nft(char path[static EXEC_PATH_MAX], struct err *e)
{
	return exec_find(STR("nft"), dirs, ARRAY_LEN(dirs), path, e);
}

bool nft_is_there(void)
{
	char path[EXEC_PATH_MAX];
	struct err ignored;

	return find_nft(path, &ignored) == ERR_OK;
}

static enum err_kind run(const char *const *args, const struct sbuf *script, struct err *e)
{
	char path[EXEC_PATH_MAX];
	struct exec_call call = { .path = path,
				  .args = args,
				  .env = environ,
				  .input = { script->p, script->n },
				  .timeout_ms = TIMEOUT_MS,
				  .keep_fd = -1 };
	AUTO_EXEC_OUTPUT o;
	struct str said;
	enum err_kind k;

	exec_output_init(&o);
	if (script->failed)
		return err_set(e, ERR_TOO_LARGE, __func__, "too many rules for one network");
	k = find_nft(path, e);
	if (k == ERR_OK)
		k = exec_run(&call, &o, e);
	if (k != ERR_OK || o.status == 0)
		return k;
	said = (struct str){ o.log.p ? o.log.p : "", o.log.n };
	(void)str_cut(said, '\n', &said, &(struct str){ 0 });
	return err_set(e, ERR_IO, __func__, "nft: %.*s", STR_FMT(said));
}

bool nft_is_accepted(const struct sbuf *script)
{
	static const char *const args[] = { "--check", "-f", "-", NULL };
	struct err ignored;

	return run(args, script, &ignored) == ERR_OK;
}

enum err_kind nft_run(const struct sbuf *script, struct err *e)
{
	static const char *const args[] = { "-f", "-", NULL };

	return run(args, script, e);
}

bool nft_is_plain(const char *name)
{
	return *name && name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					  "0123456789_.-")] == '\0';
}

/* ---- by the kernel's protocol ---- */

static void begin(struct nl_request *rq, uint16_t message, uint8_t family)
{
	const struct nfgenmsg head = { .nfgen_family = family, .version = NFNETLINK_V0 };

	nl_begin(rq, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | message), 0, &head, sizeof(head));
}

enum err_kind nft_remove_chain(uint8_t family, const char *chain, struct err *e)
{
	AUTO_NL s = { .fd = -1 };
	struct nl_request rq;
	enum err_kind k = nl_open(NETLINK_NETFILTER, &s, e);

	if (k != ERR_OK)
		return k;
	begin(&rq, NFT_MSG_DELCHAIN, family);
	nl_put_text(&rq, NFTA_CHAIN_TABLE, NFT_TABLE);
	nl_put_text(&rq, NFTA_CHAIN_NAME, chain);
	k = nl_transact(&s, NFNL_SUBSYS_NFTABLES, &rq, "remove a chain of rules", e);
	return k != ERR_OK && e->sys == ENOENT ? ERR_OK : k;
}

struct chains {
	nft_chain_fn *fn;
	void *arg;
};

static const char *text_of(const struct nl_attr *a)
{
	return a->n && memchr(a->p, '\0', a->n) ? a->p : "";
}

static enum err_kind read_chain(void *arg, const struct nlmsghdr *m, struct err *e)
{
	const struct chains *to = arg;
	struct nl_attrs rest = nl_attrs_of(m, sizeof(struct nfgenmsg));
	const char *table = "", *chain = "";
	struct nl_attr a;

	while (nl_attr_next(&rest, &a)) {
		if (a.type == NFTA_CHAIN_TABLE)
			table = text_of(&a);
		else if (a.type == NFTA_CHAIN_NAME)
			chain = text_of(&a);
	}
	return strcmp(table, NFT_TABLE) == 0 && *chain ? to->fn(to->arg, chain, e) : ERR_OK;
}

enum err_kind nft_each_chain(uint8_t family, nft_chain_fn *fn, void *arg, struct err *e)
{
	struct chains to = { fn, arg };
	AUTO_NL s = { .fd = -1 };
	struct nl_request rq;
	enum err_kind k = nl_open(NETLINK_NETFILTER, &s, e);

	if (k != ERR_OK)
		return k;
	begin(&rq, NFT_MSG_GETCHAIN, family);
	k = nl_dump(&s, &rq, "list chains of rules", read_chain, &to, e);
	/* A kernel without nf_tables has none. */
	return k != ERR_OK && (e->sys == EINVAL || e->sys == EOPNOTSUPP) ? ERR_OK : k;
}
