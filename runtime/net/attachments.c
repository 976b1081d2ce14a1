#include "runtime/net/attachments.h"

#include "runtime/net/keep.h"

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

bool attachment_is_alive(const struct cni_options *o, const struct cache_entry *c)
{
	return c->netns && keep_is_alive(o, c->netns);
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
	return attachment_is_alive(arg, c);
}

enum err_kind attachments_collect(struct cni *c, const struct conflist *l,
				  struct cni_gc_report *ret, struct err *e)
{
	return cni_gc(c, l, is_alive, (void *)(uintptr_t)c->options, ret, e);
}

/* ---- sweeping ---- */

struct sweeping {
	struct cni *cni;
	unsigned removed, failed;
	struct err first;
};

static void sweep_one(struct sweeping *w, const struct cache_entry *c)
{
	const struct attachment a = { .container = c->container, .ifname = c->ifname };
	bool removed = false;
	struct err mine;

	if (cni_del_stale(w->cni, &c->network, &a, is_alive, (void *)(uintptr_t)w->cni->options,
			  &removed, &mine) == ERR_OK)
		w->removed += removed;
	else if (w->failed++ == 0)
		w->first = mine;
}

static enum err_kind find_dead(void *arg, struct cache_entry *c, struct err *e)
{
	struct sweeping *w = arg;

	(void)e;
	if (c->netns && keep_is_kept(w->cni->options, c->netns) &&
	    !attachment_is_alive(w->cni->options, c))
		sweep_one(w, c);
	return ERR_OK;
}

static enum err_kind release(void *arg, const struct container_id *container, struct err *e)
{
	struct sweeping *w = arg;
	AUTO_ATTACHMENTS left = { 0 };
	enum err_kind k = attachments_find(w->cni->options, NULL, container, &left, e);

	return k == ERR_OK && left.n == 0 ? keep_release(w->cni->options, container, true, e) : k;
}

enum err_kind attachments_sweep(struct cni *c, unsigned *ret_removed, struct err *e)
{
	struct sweeping w = { .cni = c };
	enum err_kind k = cache_each(c->options->cache_dir, find_dead, &w, e);

	*ret_removed = w.removed;
	if (k == ERR_OK)
		k = keep_each_dead(c->options, release, &w, e);
	if (k != ERR_OK || w.failed == 0)
		return k;
	*e = w.first;
	return e->kind;
}
