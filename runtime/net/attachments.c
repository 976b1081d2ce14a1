#include "runtime/net/attachments.h"

#include "runtime/net/netns.h"

#define INTERFACES_MAX 1000

void attachments_clear(struct attachments *a)
{
	for (size_t i = 0; i < a->n; i++)
		cache_entry_clear(&a->p[i]);
	free(a->p);
	*a = (struct attachments){ 0 };
}

struct search {
	const struct net_name *network;
	const struct container_id *container;
	struct attachments *ret;
};

static enum err_kind take_match(void *arg, struct cache_entry *c, struct err *e)
{
	struct search *s = arg;
	struct cache_entry *p;

	if ((s->network && strcmp(c->network.s, s->network->s) != 0) ||
	    (s->container && strcmp(c->container.s, s->container->s) != 0))
		return ERR_OK;
	p = reallocarray(s->ret->p, s->ret->n + 1, sizeof(*p));
	if (!p)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for attachments");
	s->ret->p = p;
	p[s->ret->n++] = *c;
	*c = (struct cache_entry){ 0 };
	return ERR_OK;
}

enum err_kind attachments_find(const struct cni_options *o, const struct net_name *network,
			       const struct container_id *container, struct attachments *ret,
			       struct err *e)
{
	struct search s = { network, container, ret };
	enum err_kind k;

	*ret = (struct attachments){ 0 };
	k = cache_each(o->cache_dir, take_match, &s, e);
	if (k != ERR_OK)
		attachments_clear(ret);
	return k;
}

bool attachment_is_alive(const struct cache_entry *c)
{
	struct err ignored;

	return c->netns && netns_check(c->netns, &ignored) == ERR_OK;
}

enum err_kind attachments_free_interface(const struct attachments *of_container, const char *netns,
					 struct if_name *ret, struct err *e)
{
	for (unsigned n = 0; n < INTERFACES_MAX; n++) {
		bool taken = false;
		enum err_kind k;

		(void)snprintf(ret->s, sizeof(ret->s), "eth%u", n);
		for (size_t i = 0; i < of_container->n; i++)
			taken = taken || strcmp(of_container->p[i].ifname.s, ret->s) == 0;
		if (taken)
			continue;
		k = netns_has_interface(netns, ret, &taken, e);
		if (k != ERR_OK || !taken)
			return k;
	}
	return err_set(e, ERR_NO_SPACE, __func__, "the container has too many interfaces");
}

static bool is_alive(void *arg, const struct cache_entry *c)
{
	(void)arg;
	return attachment_is_alive(c);
}

enum err_kind attachments_collect(struct cni *c, const struct conflist *l,
				  struct cni_gc_report *ret, struct err *e)
{
	return cni_gc(c, l, is_alive, NULL, ret, e);
}
