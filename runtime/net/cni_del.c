#include "runtime/net/cni_impl.h"
#include "runtime/net/conntrack.h"
#include "runtime/net/link.h"
#include "runtime/net/netns.h"
#include "runtime/net/sender.h"

#include "base/fd.h"

/* What a DEL works on: from the cache where there is an entry. */
struct removing {
	struct cni *cni;
	struct cache_entry entry;
	struct conflist cached;      /* of the entry */
	const struct conflist *list; /* this one, or the caller's; NULL: neither */
	struct attachment attachment;
	struct result result; /* of the ADD, in the list's version */
	struct jv *prev;      /* the same as a value; NULL: not known */
	bool torn;            /* there is an entry that cannot be read */
	bool has_interface;   /* the namespace is there, and the interface in it */
};

static void removing_clear(struct removing *w)
{
	cache_entry_clear(&w->entry);
	conflist_clear(&w->cached);
	result_clear(&w->result);
	jv_free(&w->prev);
}

/* I5.  A torn entry is nearly as good as none. */
static enum err_kind read_cache(struct removing *w, const struct net_name *network,
				const struct conflist *l, const struct attachment *a, struct err *e)
{
	struct err ignored;
	enum err_kind k = cache_read(w->cni->options->cache_dir, network, &a->container, &a->ifname,
				     &w->entry, e);

	w->list = l;
	w->attachment = *a;
	w->torn = k == ERR_CORRUPT;
	if (k == ERR_NOT_FOUND || k == ERR_CORRUPT)
		return ERR_OK;
	if (k != ERR_OK)
		return k;
	if (conflist_parse(
		(struct str){ w->entry.config.p ? w->entry.config.p : "", w->entry.config.n },
		&w->cached, &ignored) == ERR_OK)
		w->list = &w->cached;
	w->attachment.args = w->entry.args ? w->entry.args : a->args;
	w->attachment.capabilities =
	    w->entry.capabilities ? w->entry.capabilities : a->capabilities;
	if (!w->attachment.netns)
		w->attachment.netns = w->entry.netns;
	return ERR_OK;
}

/* What cannot be read or converted is as good as not known. */
static void read_result(struct removing *w)
{
	struct err ignored;

	(void)!cni_cached_result(&w->entry, w->list->version, &w->result, &w->prev, &ignored);
}

struct owner {
	const struct net_name *network;
	const struct attachment *attachment;
	bool other;
};

static enum err_kind find_owner(void *arg, struct cache_entry *c, struct err *e)
{
	struct owner *o = arg;

	(void)e;
	if (strcmp(c->container.s, o->attachment->container.s) == 0 &&
	    strcmp(c->ifname.s, o->attachment->ifname.s) == 0 &&
	    strcmp(c->network.s, o->network->s) != 0)
		o->other = true;
	return ERR_OK;
}

/* I6: an interface of this name that another network made is none of ours. */
static enum err_kind disown_interface(struct removing *w, const struct net_name *network,
				      struct err *e)
{
	struct owner o = { .network = network, .attachment = &w->attachment };
	enum err_kind k = ERR_OK;

	if (w->entry.config.n == 0)
		k = cache_each(w->cni->options->cache_dir, find_owner, &o, e);
	if (o.other)
		w->attachment.netns = NULL;
	return k;
}

/* What is no namespace any more is not named to plugins; a path where there is nothing is, as others do. */
static enum err_kind look_at_namespace(struct removing *w, struct err *e)
{
	const char *path = w->attachment.netns;
	enum err_kind k;

	if (!path)
		return ERR_OK;
	k = netns_check(path, e);
	if (k == ERR_DENIED)
		return k;
	if (k == ERR_INVALID)
		w->attachment.netns = NULL;
	if (k != ERR_OK)
		return ERR_OK;
	return netns_has_interface(path, &w->attachment.ifname, &w->has_interface, e);
}

static enum err_kind take_address(void *arg, const struct ip_net *address, struct err *e)
{
	char text[IP_TEXT_MAX];

	return jv_append(
		   arg, jv_pack("{s:i,s:s}", "interface", 0, "address", ip_net_text(address, text)))
		   ? ERR_OK
		   : err_set(e, ERR_NO_MEMORY, __func__, "no memory for a result");
}

/* What plugins need of a result that was torn: the addresses, as the interface still has them. */
static enum err_kind read_interface(struct removing *w, struct err *e)
{
	const struct attachment *a = &w->attachment;
	AUTO_JV *ips = jv_new_array();
	AUTO_NL s = { .fd = -1 };
	struct link l;
	enum err_kind k = netns_netlink(a->netns, NETLINK_ROUTE, &s, e);

	if (k == ERR_OK)
		k = link_find(&s, a->ifname.s, &l, e);
	if (k == ERR_OK)
		k = link_each_address(&s, l.index, take_address, ips, e);
	if (k != ERR_OK)
		return k;
	w->entry.result =
	    jv_pack("{s:s,s:[{s:s,s:s}],s:o}", "cniVersion", cni_version_text(CNI_1_0_0),
		    "interfaces", "name", a->ifname.s, "sandbox", a->netns, "ips", TAKE(ips));
	return w->entry.result
		   ? cni_cached_result(&w->entry, w->list->version, &w->result, &w->prev, e)
		   : err_set(e, ERR_NO_MEMORY, __func__, "no memory for a result");
}

static bool is_on(const struct jv *plugin, const char *key)
{
	bool on = false;

	return jv_bool(jv_member(plugin, key), &on) && on;
}

/*
 * Plugins that masquerade find their rules by the addresses of the interface, and those against spoofing look for theirs
 * only if there is a namespace: without the interface they would stay.
 */
static bool needs_stand_in(const struct removing *w, size_t i)
{
	const struct jv *plugin = conflist_plugin(w->list, i);

	return !w->has_interface && w->result.n_ips > 0 &&
	       (is_on(plugin, "ipMasq") || is_on(plugin, "macspoofchk"));
}

struct comparing {
	const struct result *given;
	size_t n_same;
	bool other;
};

static enum err_kind compare_address(void *arg, const struct ip_net *address, struct err *e)
{
	struct comparing *c = arg;

	(void)e;
	for (size_t i = 0; i < c->given->n_ips; i++) {
		if (ip_eq(&c->given->ips[i].address, address)) {
			c->n_same++;
			return ERR_OK;
		}
	}
	c->other = true;
	return ERR_OK;
}

static bool masquerades(const struct conflist *l)
{
	for (size_t i = 0; i < conflist_count(l); i++) {
		if (is_on(conflist_plugin(l, i), "ipMasq"))
			return true;
	}
	return false;
}

/*
 * A container may have changed its addresses: plugins that masquerade look for rules of those that are there, fail at one that
 * is new, and leave the rules of one that is gone.  Without the interface they see what stands in for it.
 */
static void remove_changed_interface(struct removing *w)
{
	struct comparing c = { .given = &w->result };
	AUTO_NL s = { .fd = -1 };
	struct err ignored;
	struct link l;

	if (!w->has_interface || w->result.n_ips == 0 || !masquerades(w->list))
		return;
	if (netns_netlink(w->attachment.netns, NETLINK_ROUTE, &s, &ignored) != ERR_OK ||
	    link_find(&s, w->attachment.ifname.s, &l, &ignored) != ERR_OK ||
	    strcmp(l.kind, "veth") != 0 ||
	    link_each_address(&s, l.index, compare_address, &c, &ignored) != ERR_OK)
		return; /* the plugin will say what is wrong */
	if (c.other || c.n_same != w->result.n_ips)
		w->has_interface = link_delete(&s, l.index, &ignored) != ERR_OK;
}

static enum err_kind del_one(struct removing *w, struct chain *ch, size_t i, struct err *e)
{
	char path[NETNS_PATH_MAX];
	AUTO_CLOSE fd = -1;
	struct err ignored;
	enum err_kind k;

	if (needs_stand_in(w, i) &&
	    netns_stand_in(&w->attachment.ifname, &w->result, &fd, path, &ignored) == ERR_OK)
		ch->netns = path;
	k = chain_tell(ch, i, e);
	ch->netns = w->attachment.netns ? w->attachment.netns : "";
	return k;
}

static enum err_kind del_all(struct removing *w, int lock_fd, bool all, struct err *e)
{
	AUTO_CHAIN ch;
	enum err_kind first = chain_init(&ch, w->cni, w->list, "DEL", &w->attachment, e);

	ch.parts.prev_result = w->prev;
	ch.lock_fd = lock_fd;
	for (size_t i = conflist_count(w->list); i-- > 0 && (first == ERR_OK || all);) {
		struct err mine;
		enum err_kind k = del_one(w, &ch, i, &mine);

		if (k == ERR_OK || first != ERR_OK)
			continue;
		first = k;
		*e = mine;
	}
	return first;
}

static enum err_kind del(struct removing *w, const struct net_name *network, int lock_fd, bool all,
			 struct err *e)
{
	const struct attachment *a = &w->attachment;
	enum err_kind k;

	read_result(w);
	k = disown_interface(w, network, e);
	if (k == ERR_OK)
		k = look_at_namespace(w, e);
	if (k == ERR_OK && w->torn && w->has_interface)
		k = read_interface(w, e);
	if (k == ERR_OK) {
		remove_changed_interface(w);
		k = del_all(w, lock_fd, all, e);
	}
	if (k == ERR_OK)
		k = cache_remove(w->cni->options->cache_dir, network, &a->container, &a->ifname, e);
	if (k != ERR_OK)
		return k;
	conntrack_forget(&w->result);
	if (sender_is_checked(w->list))
		sender_forget(&w->result);
	return ERR_OK;
}

enum err_kind cni_del_locked(struct cni *c, const struct net_name *network,
			     const struct conflist *l, const struct attachment *a, int lock_fd,
			     bool all, struct err *e)
{
	CLEANUP(removing_clear) struct removing w = { .cni = c };
	enum err_kind k;

	result_init(&w.result);
	k = read_cache(&w, network, l, a, e);
	if (k == ERR_OK && w.list)
		k = del(&w, network, lock_fd, all, e);
	return k;
}

enum err_kind cni_del(struct cni *c, const struct net_name *network, const struct conflist *l,
		      const struct attachment *a, struct err *e)
{
	AUTO_OP_LOCK lock = OP_LOCK_NONE;
	enum err_kind k =
	    op_lock_container(c->options->state_dir, network, &a->container, cni_wait(c), &lock, e);

	return k == ERR_OK ? cni_del_locked(c, network, l, a, lock.fd, false, e) : k;
}

enum err_kind cni_del_stale(struct cni *c, const struct net_name *network,
			    const struct attachment *a, cni_valid_fn *valid, void *arg,
			    bool *ret_removed, struct err *e)
{
	AUTO_OP_LOCK lock = OP_LOCK_NONE;
	AUTO_CACHE_ENTRY found = { 0 };
	enum err_kind k =
	    op_lock_container(c->options->state_dir, network, &a->container, cni_wait(c), &lock, e);

	*ret_removed = false;
	if (k == ERR_OK)
		k = cache_read(c->options->cache_dir, network, &a->container, &a->ifname, &found,
			       e);
	if (k == ERR_NOT_FOUND || (k == ERR_OK && valid(arg, &found)))
		return ERR_OK; /* somebody else was faster */
	if (k != ERR_OK)
		return k;
	k = cni_del_locked(c, network, NULL, a, lock.fd, false, e);
	*ret_removed = k == ERR_OK;
	return k;
}
