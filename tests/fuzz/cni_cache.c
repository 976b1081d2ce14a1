/* Cached results, which other programs write as well: what is accepted is written and read back as the same. */
#include "runtime/net/cache.h"

static void check_names(const struct cache_entry *c)
{
	struct container_id container;
	struct net_name network;
	struct if_name ifname;
	struct err e;

	if (net_name_parse(str_of(c->network.s), &network, &e) != ERR_OK ||
	    container_id_parse(str_of(c->container.s), &container, &e) != ERR_OK ||
	    if_name_parse(str_of(c->ifname.s), &ifname, &e) != ERR_OK)
		abort();
	if (c->args && net_args_check(c->args, &e) != ERR_OK)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO_CACHE_ENTRY c = { 0 };
	AUTO_CACHE_ENTRY again = { 0 };
	AUTO_SBUF first, second;
	struct err e;

	sbuf_init(&first, 64u << 20);
	sbuf_init(&second, 64u << 20);
	if (cache_parse((struct str){ (const char *)data, n }, &c, &e) != ERR_OK)
		return 0;
	check_names(&c);
	cache_format(&c, &first);
	if (first.failed || cache_parse((struct str){ first.p, first.n }, &again, &e) != ERR_OK)
		abort();
	cache_format(&again, &second);
	if (second.failed || strcmp(first.p, second.p) != 0)
		abort();
	return 0;
}
