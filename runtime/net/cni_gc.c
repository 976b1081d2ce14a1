#include "runtime/net/cni_impl.h"

struct collecting {
	struct cni *cni;
	const struct conflist *list;
	cni_valid_fn *valid;
	void *arg;
	int lock_fd;
	struct jv *left; /* for the plugins: what is valid */
	struct cni_gc_report report;
	struct err first; /* what failed first */
};

static void failed(struct collecting *w, const struct err *e)
{
	if (w->report.failed++ == 0)
		w->first = *e;
}

static enum err_kind leave(struct collecting *w, const struct cache_entry *c, struct err *e)
{
	if (jv_append(w->left,
		      jv_pack("{s:s,s:s}", "containerID", c->container.s, "ifname", c->ifname.s)))
		return ERR_OK;
	return err_set(e, ERR_NO_MEMORY, __func__, "no memory for attachments");
}

/* The lock of the network says that no ADD is under way: what is incomplete was given up. */
static enum err_kind look_at(void *arg, struct cache_entry *c, struct err *e)
{
	struct collecting *w = arg;
	const struct attachment a = { .container = c->container, .ifname = c->ifname };
	struct err mine;

	if (strcmp(c->network.s, w->list->name.s) != 0)
		return ERR_OK;
	if (!c->incomplete && w->valid(w->arg, c))
		return leave(w, c, e);
	if (cni_del_locked(w->cni, &c->network, w->list, &a, w->lock_fd, false, &mine) == ERR_OK)
		w->report.removed++;
	else
		failed(w, &mine);
	return ERR_OK;
}

static enum err_kind tell_plugins(struct collecting *w, struct err *e)
{
	AUTO_CHAIN ch;
	enum err_kind k = chain_init(&ch, w->cni, w->list, "GC", NULL, e);

	ch.parts.valid_attachments = w->left;
	ch.lock_fd = w->lock_fd;
	for (size_t i = 0; k == ERR_OK && i < conflist_count(w->list); i++) {
		struct err mine;

		if (chain_tell(&ch, i, &mine) != ERR_OK)
			failed(w, &mine);
	}
	return k;
}

static enum err_kind collect(struct collecting *w, struct err *e)
{
	enum err_kind k = cache_each(w->cni->options->cache_dir, look_at, w, e);

	if (k == ERR_OK && w->list->version >= CNI_1_1_0)
		k = tell_plugins(w, e);
	if (k != ERR_OK || w->report.failed == 0)
		return k;
	*e = w->first;
	if (w->report.failed > 1)
		return err_wrap(e, "%u failures, the first", w->report.failed);
	return e->kind;
}

enum err_kind cni_gc(struct cni *c, const struct conflist *l, cni_valid_fn *valid, void *arg,
		     struct cni_gc_report *ret, struct err *e)
{
	AUTO_JV *left = jv_new_array();
	struct collecting w = { .cni = c, .list = l, .valid = valid, .arg = arg, .left = left };
	AUTO_OP_LOCK lock = OP_LOCK_NONE;
	enum err_kind k;

	*ret = w.report;
	if (!left)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for attachments");
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
