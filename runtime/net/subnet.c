#include "runtime/net/subnet.h"

#include "base/hash.h"
#include "runtime/net/link.h"

#define SUBNETS_MAX 65536
#define POOL "10.112.0.0/12"
#define POOL_PREFIX 20
#define POOL_SIZE 256 /* networks of that prefix */
#define POOL_STEP (1u << (32 - POOL_PREFIX))
#define ULA_PREFIX 64

void subnets_clear(struct subnets *s)
{
	free(s->p);
	*s = (struct subnets){ 0 };
}

static enum err_kind add(struct subnets *s, const struct ip_net *network, struct err *e)
{
	struct ip_net *p;

	if (s->n == SUBNETS_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "more than %d networks", SUBNETS_MAX);
	p = reallocarray(s->p, s->n + 1, sizeof(*p));
	if (!p)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for networks");
	s->p = p;
	s->p[s->n++] = ip_network(network);
	return ERR_OK;
}

static enum err_kind add_member(struct subnets *s, const struct jv *object, const char *key,
				struct err *e)
{
	struct ip_net network;
	struct str text;

	/* What is none is the plugin's to complain of. */
	if (!jv_text(jv_member(object, key), &text) || !ip_net_parse(text, &network))
		return ERR_OK;
	return add(s, &network, e);
}

/* "subnet", "ranges" of host-local, "addresses" of static. */
static enum err_kind add_ipam(struct subnets *s, const struct jv *ipam, struct err *e)
{
	const struct jv *sets = jv_member(ipam, "ranges"), *fixed = jv_member(ipam, "addresses");
	enum err_kind k = add_member(s, ipam, "subnet", e);

	for (size_t i = 0; k == ERR_OK && i < jv_count(sets); i++) {
		for (size_t j = 0; k == ERR_OK && j < jv_count(jv_at(sets, i)); j++)
			k = add_member(s, jv_at(jv_at(sets, i), j), "subnet", e);
	}
	for (size_t i = 0; k == ERR_OK && i < jv_count(fixed); i++)
		k = add_member(s, jv_at(fixed, i), "address", e);
	return k;
}

static enum err_kind add_list(struct subnets *s, const struct conflist *l, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < conflist_count(l); i++)
		k = add_ipam(s, jv_member(conflist_plugin(l, i), "ipam"), e);
	return k;
}

enum err_kind subnets_of_list(const struct conflist *l, struct subnets *ret, struct err *e)
{
	enum err_kind k;

	*ret = (struct subnets){ 0 };
	k = add_list(ret, l, e);
	if (k != ERR_OK)
		subnets_clear(ret);
	return k;
}

static enum err_kind add_file(void *arg, const char *file, struct conflist *list,
			      const struct err *wrong, struct err *e)
{
	(void)file;
	return wrong ? ERR_OK : add_list(arg, list, e);
}

static enum err_kind add_network(void *arg, const struct ip_net *network, struct err *e)
{
	return add(arg, network, e);
}

enum err_kind subnets_taken(const char *conf_dir, struct subnets *ret, struct err *e)
{
	AUTO_NL s = { .fd = -1 };
	enum err_kind k;

	*ret = (struct subnets){ 0 };
	k = nl_open(NETLINK_ROUTE, &s, e);
	if (k == ERR_OK)
		k = link_each_network(&s, add_network, ret, e);
	if (k == ERR_OK)
		k = conflist_each(conf_dir, add_file, ret, e);
	if (k != ERR_OK)
		subnets_clear(ret);
	return k;
}

bool subnets_overlap(const struct subnets *s, const struct ip_net *network)
{
	for (size_t i = 0; i < s->n; i++) {
		if (ip_net_overlaps(&s->p[i], network))
			return true;
	}
	return false;
}

enum err_kind subnets_choose4(const struct subnets *taken, struct ip_net *ret, struct err *e)
{
	struct ip_net pool, candidate;

	if (!ip_net_parse(STR(POOL), &pool))
		return err_set(e, ERR_BUG, __func__, "the pool is no network");
	for (unsigned i = 0; i < POOL_SIZE; i++) {
		candidate = ip_nth(&pool, (uint64_t)i * POOL_STEP);
		candidate.prefix = POOL_PREFIX;
		if (!subnets_overlap(taken, &candidate)) {
			*ret = candidate;
			return ERR_OK;
		}
	}
	return err_set(e, ERR_NO_SPACE, __func__,
		       "all networks of " POOL " are taken: choose one with --subnet");
}

void subnets_choose6(const struct subnets *taken, struct ip_net *ret)
{
	do {
		*ret = (struct ip_net){ .len = 16, .prefix = ULA_PREFIX };
		random_bytes(ret->bytes, ULA_PREFIX / 8);
		ret->bytes[0] = 0xfd;
	} while (subnets_overlap(taken, ret));
}
