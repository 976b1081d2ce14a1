#include "runtime/net/cni_impl.h"

struct collecting {
	struct cni *cni;
	const struct conflist *list;
	const struct cni_valid *valid;
	int lock_fd;
	struct cni_gc_report report;
	struct err first; /* what failed first */
};

static void failed(struct collecting *w, const struct err *e)
{
	if (w->report.failed++ == 0)
		w->first = *e;
}

static bool is_valid(const struct cni_valid *valid, const struct container_id *container,
		     const struct if_name *ifname)
{
	for (size_t i = 0; i < valid->n; i++) {
		if (strcmp(valid->containers[i].s, container->s) == 0 &&
		    strcmp(valid->ifnames[i].s, ifname->s) == 0)
			return true;
	}
	return false;
}

/* The lock of the network says that no ADD is under way: what is incomplete was given up. */
static enum err_kind remove_if_stale(void *arg, struct cache_entry *c, struct err *e)
{
	struct collecting *w = arg;
	const struct attachment a = { .container = c->container, .ifname = c->ifname };
	struct err mine;

	(void)e;
	if (strcmp(c->network.s, w->list->name.s) != 0 ||
	    (!c->incomplete && is_valid(w->valid, &c->container, &c->ifname)))
		return ERR_OK;
	if (cni_del_locked(w->cni, &c->network, w->list, &a, w->lock_fd, false, &mine) == ERR_OK)
		w->report.removed++;
	else
		failed(w, &mine);
	return ERR_OK;
}

static struct jv *write_valid(const struct cni_valid *valid)
{
	AUTO_JV *array = jv_new_array();

	for (size_t i = 0; i < valid->n; i++) {
		if (!jv_append(array, jv_pack("{s:s,s:s}", "containerID", valid->containers[i].s,
					      "ifname", valid->ifnames[i].s)))
			return NULL;
	}
	return TAKE(array);
}

static enum err_kind tell_plugins(struct collecting *w, struct err *e)
{
	AUTO_JV *valid = write_valid(w->valid);
	AUTO_CHAIN ch;
	enum err_kind k = chain_init(&ch, w->cni, w->list, "GC", NULL, e);

	if (k != ERR_OK)
		return k;
	if (!valid)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for attachments");
	ch.parts.valid_attachments = valid;
	ch.lock_fd = w->lock_fd;
	for (size_t i = 0; i < conflist_count(w->list); i++) {
		struct err mine;

		if (chain_tell(&ch, i, &mine) != ERR_OK)
			failed(w, &mine);
	}
	return ERR_OK;
}

static enum err_kind collect(struct collecting *w, struct err *e)
{
	enum err_kind k = cache_each(w->cni->options->cache_dir, remove_if_stale, w, e);

	if (k == ERR_OK && w->list->version >= CNI_1_1_0)
		k = tell_plugins(w, e);
	if (k != ERR_OK || w->report.failed == 0)
		return k;
	*e = w->first;
	return w->report.failed == 1 ? e->kind
				     : err_wrap(e, "%u failures, the first", w->report.failed);
}

enum err_kind cni_gc(struct cni *c, const struct conflist *l, const struct cni_valid *valid,
		     struct cni_gc_report *ret, struct err *e)
{
	struct collecting w = { .cni = c, .list = l, .valid = valid };
	AUTO_OP_LOCK lock = OP_LOCK_NONE;
	enum err_kind k;

	*ret = w.report;
	if (l->disable_gc)
		return ERR_OK;
	k = op_lock_network(c->options->state_dir, &l->name, cni_wait(c), &lock, e);
	if (k != ERR_OK)
		return k;
	w.lock_fd = lock.fd;
	k = collect(&w, e);
	*ret = w.report;
	return k;
}
