#include "runtime/net/cache.h"
#include "runtime/net/network.h"

/* A copy of what ADD was given, with the addresses and the MAC address that came of it. */
static struct jv *same_again(const struct cache_entry *c, const struct result *r)
{
	const struct result_interface *own = result_own_interface(r, c->ifname.s);
	AUTO_JV *all = jv_pack("{}");
	AUTO_JV *ips = jv_new_array();
	const struct jv *value;
	const char *key;
	void *iter = NULL;
	char text[IP_TEXT_MAX];

	while (jv_next(c->capabilities, &iter, &key, &value)) {
		if (!jv_set(all, key, jv_share(value)))
			return NULL;
	}
	for (size_t i = 0; i < r->n_ips; i++) {
		const char *address = ip_net_text(&r->ips[i].address, text);

		if (!jv_append(ips, jv_pack("s", address)))
			return NULL;
	}
	if (!jv_set(all, "ips", TAKE(ips)))
		return NULL;
	if (own && *own->mac && !jv_set(all, "mac", jv_pack("s", own->mac)))
		return NULL;
	return TAKE(all);
}

static enum err_kind attach_again(struct cni *c, const struct conflist *l,
				  const struct cache_entry *was, struct result *ret, struct err *e)
{
	AUTO_JV *capabilities = NULL;
	struct attachment a = { .container = was->container,
				.ifname = was->ifname,
				.netns = was->netns,
				.args = was->args };
	AUTO_RESULT r;
	enum err_kind k;

	result_init(&r);
	k = was->result ? result_read(was->result, l->version, &r, e) : ERR_OK;
	if (k != ERR_OK)
		return k;
	a.capabilities = capabilities = same_again(was, &r);
	if (!capabilities)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for an attachment");
	k = cni_del(c, &l->name, l, &a, e);
	return k == ERR_OK ? network_add(c, l, &a, ret, e) : k;
}

enum err_kind network_reload(struct cni *c, const struct conflist *l, const struct attachment *a,
			     struct result *ret, struct err *e)
{
	AUTO_CACHE_ENTRY was = { 0 };
	enum err_kind k =
	    cache_read(c->options->cache_dir, &l->name, &a->container, &a->ifname, &was, e);

	result_init(ret);
	if (k == ERR_OK && (was.incomplete || !was.netns))
		k = err_set(e, ERR_NOT_FOUND, __func__,
			    "container %s is not attached to network %s as %s", a->container.s,
			    l->name.s, a->ifname.s);
	return k == ERR_OK ? attach_again(c, l, &was, ret, e) : k;
}
