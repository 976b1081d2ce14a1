#include "runtime/net/network.h"

#include <errno.h>

#include "base/fd.h"
#include "runtime/net/apart.h"
#include "runtime/net/cache.h"
#include "runtime/net/guard.h"
#include "runtime/net/link.h"
#include "runtime/net/lock.h"
#include "runtime/net/network_write.h"
#include "runtime/net/nft.h"
#include "runtime/net/sender.h"
#include "runtime/net/subnet.h"

#define FILE_PREFIX "90-" /* behind those by which others choose the network of a whole node */
#define FILE_NAME_MAX (sizeof(FILE_PREFIX ".conflist") + NET_NAME_MAX)
#define BRIDGE_PREFIX "berth"
#define BRIDGES_MAX 10000
#define DATA_DIR "/var/lib/cni/networks" /* where host-local keeps leases unless told otherwise */

static const char *const driver_names[NETWORK_DRIVER_N] = {
	[NETWORK_BRIDGE] = "bridge",
	[NETWORK_MACVLAN] = "macvlan",
	[NETWORK_PTP] = "ptp",
};

const char *network_driver_text(enum network_driver d)
{
	return d < NETWORK_DRIVER_N ? driver_names[d] : "?";
}

bool network_driver_parse(struct str in, enum network_driver *ret)
{
	for (unsigned d = 0; d < NETWORK_DRIVER_N; d++) {
		if (str_eq(in, str_of(driver_names[d]))) {
			*ret = (enum network_driver)d;
			return true;
		}
	}
	return false;
}

bool network_is_ours(const struct conflist *l)
{
	return l->extra != NULL;
}

struct str network_extra(const struct conflist *l, const char *key)
{
	struct str s = { "", 0 };

	(void)jv_text(jv_member(l->extra, key), &s);
	return s;
}

/* ---- choosing ---- */

static enum err_kind check_subnet(const struct subnets *taken, const struct network_subnet *s,
				  struct err *e)
{
	struct ip_net network = ip_network(&s->subnet);
	char text[IP_TEXT_MAX];

	ip_net_text(&s->subnet, text);
	if (!ip_eq(&network, &s->subnet))
		return err_set(e, ERR_INVALID, __func__,
			       "%s is an address in a subnet, not a subnet", text);
	if (s->subnet.prefix > 8 * s->subnet.len - 2)
		return err_set(e, ERR_INVALID, __func__, "subnet %s has no room", text);
	if (!ip_net_has(&s->subnet, &s->gateway) ||
	    (s->range.len && !ip_net_has(&s->subnet, &s->range)) ||
	    (s->range.len && s->range.prefix < s->subnet.prefix))
		return err_set(e, ERR_INVALID, __func__,
			       "gateway and range must be within subnet %s", text);
	if (subnets_overlap(taken, &s->subnet))
		return err_set(e, ERR_EXISTS, __func__,
			       "subnet %s overlaps one of the host or of another network", text);
	return ERR_OK;
}

static enum err_kind add_subnet(struct network_plan *p, const struct subnets *taken,
				struct network_subnet s, struct err *e)
{
	if (s.gateway.len == 0)
		s.gateway = ip_nth(&s.subnet, 1);
	p->subnets[p->n_subnets++] = s;
	return check_subnet(taken, &s, e);
}

static enum err_kind choose_subnets(struct network_plan *p, const struct subnets *taken,
				    struct err *e)
{
	const struct network_spec *spec = p->spec;
	struct network_subnet chosen = { 0 };
	bool any6 = false;
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < spec->n_subnets; i++) {
		any6 = any6 || spec->subnets[i].subnet.len == 16;
		k = add_subnet(p, taken, spec->subnets[i], e);
	}
	/* A macvlan is on a wire whose addresses somebody else gives. */
	if (k == ERR_OK && spec->n_subnets == 0 && spec->driver != NETWORK_MACVLAN) {
		k = subnets_choose4(taken, &chosen.subnet, e);
		if (k == ERR_OK)
			k = add_subnet(p, taken, chosen, e);
	}
	if (k == ERR_OK && spec->ipv6 && !any6) {
		subnets_choose6(taken, &chosen.subnet);
		k = add_subnet(p, taken, chosen, e);
	}
	return k;
}

struct bridge_search {
	const char *name;
	bool used;
};

static enum err_kind compare_bridge(void *arg, const char *file, struct conflist *list,
				    const struct err *wrong, struct err *e)
{
	struct bridge_search *s = arg;
	struct str name;

	(void)file, (void)e;
	for (size_t i = 0; !wrong && i < conflist_count(list); i++) {
		if (jv_text(jv_member(conflist_plugin(list, i), "bridge"), &name) &&
		    str_eq(name, str_of(s->name)))
			s->used = true;
	}
	return ERR_OK;
}

static enum err_kind bridge_is_free(struct nl *s, const char *conf_dir, const char *name, bool *ret,
				    struct err *e)
{
	struct bridge_search search = { .name = name };
	struct link l;
	enum err_kind k = link_find(s, name, &l, e);

	*ret = false;
	if (k != ERR_NOT_FOUND)
		return k;
	k = conflist_each(conf_dir, compare_bridge, &search, e);
	*ret = !search.used;
	return k;
}

/* CNI-16: an interface that is there must be a bridge, and is not ours to remove. */
static enum err_kind take_bridge(struct network_plan *p, struct nl *s, struct err *e)
{
	struct if_name name;
	struct link l;
	enum err_kind k = if_name_parse(str_of(p->spec->bridge), &name, e);

	if (k != ERR_OK)
		return k;
	(void)snprintf(p->bridge, sizeof(p->bridge), "%s", name.s);
	k = link_find(s, name.s, &l, e);
	if (k == ERR_OK && strcmp(l.kind, "bridge") != 0)
		return err_set(e, ERR_EXISTS, __func__, "interface %s is there, and is no bridge",
			       name.s);
	p->bridge_is_ours = k == ERR_NOT_FOUND;
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

static enum err_kind choose_bridge(struct network_plan *p, const char *conf_dir, struct err *e)
{
	AUTO_NL s = { .fd = -1 };
	bool is_free = false;
	enum err_kind k;

	if (p->spec->driver != NETWORK_BRIDGE)
		return ERR_OK;
	k = nl_open(NETLINK_ROUTE, &s, e);
	if (k == ERR_OK && p->spec->bridge)
		return take_bridge(p, &s, e);
	for (unsigned i = 0; k == ERR_OK && !is_free && i < BRIDGES_MAX; i++) {
		(void)snprintf(p->bridge, sizeof(p->bridge), BRIDGE_PREFIX "%u", i);
		k = bridge_is_free(&s, conf_dir, p->bridge, &is_free, e);
	}
	if (k == ERR_OK && !is_free)
		k = err_set(e, ERR_NO_SPACE, __func__, "no name is free for a bridge");
	p->bridge_is_ours = true;
	return k;
}

/* The newest version that all plugins speak. */
static enum err_kind choose_version(struct cni *c, struct network_plan *p, struct err *e)
{
	const char *types[NETWORK_TYPES_MAX + 1];
	struct cni_versions all, one;

	network_types(p, types);
	memset(&all, 1, sizeof(all));
	for (size_t i = 0; types[i]; i++) {
		enum err_kind k = cni_versions(c, str_of(types[i]), &one, e);

		if (k != ERR_OK)
			return k;
		for (unsigned v = 0; v < CNI_VERSION_N; v++)
			all.has[v] = all.has[v] && one.has[v];
	}
	for (unsigned v = CNI_VERSION_N; v-- > CNI_0_4_0;) {
		if (all.has[v]) {
			p->version = (enum cni_version)v;
			return ERR_OK;
		}
	}
	return err_set(e, ERR_UNSUPPORTED, __func__,
		       "the plugins have no version of CNI from 0.4.0 on in common");
}

static enum err_kind find_plugin(const struct cni *c, struct str type, struct err *e)
{
	char path[EXEC_PATH_MAX];

	return exec_find(type, c->options->plugin_dirs, c->options->n_plugin_dirs, path, e);
}

static bool has_plugin(const struct cni *c, const char *type)
{
	struct err ignored;

	return find_plugin(c, str_of(type), &ignored) == ERR_OK;
}

static enum err_kind make_plan(struct cni *c, const char *conf_dir, const struct network_spec *spec,
			       struct network_plan *p, struct err *e)
{
	bool nft = spec->driver == NETWORK_BRIDGE && nft_is_there();
	AUTO_SUBNETS taken = { 0 };
	enum err_kind k;

	*p = (struct network_plan){ .spec = spec };
	if (strcmp(c->options->cache_dir, CNI_CACHE_DIR) != 0)
		(void)snprintf(p->data_dir, sizeof(p->data_dir), "%s/networks",
			       c->options->cache_dir);
	k = subnets_taken(conf_dir, &taken, e);
	if (k == ERR_OK)
		k = choose_subnets(p, &taken, e);
	if (k == ERR_OK)
		k = choose_bridge(p, conf_dir, e);
	if (k != ERR_OK)
		return k;
	p->apart = nft;
	p->guard = nft && !spec->open;
	p->check_senders = p->guard && sender_is_possible();
	p->spoof_check = nft && !p->check_senders;
	p->names = !spec->no_names && spec->driver == NETWORK_BRIDGE && has_plugin(c, "dnsname");
	return choose_version(c, p, e);
}

/* ---- files ---- */

/* The directory and its parent: /etc/cni/net.d. */
static enum err_kind open_conf_dir(const char *conf_dir, int *ret, struct err *e)
{
	char parent[EXEC_PATH_MAX];
	char *slash;

	(void)snprintf(parent, sizeof(parent), "%s", conf_dir);
	slash = strrchr(parent, '/');
	if (slash && slash != parent) {
		*slash = '\0';
		if (sys_mkdirat(AT_FDCWD, parent, 0755) < 0 && errno != EEXIST)
			return err_sys(e, __func__, "make directory %s", parent);
	}
	if (sys_mkdirat(AT_FDCWD, conf_dir, 0755) < 0 && errno != EEXIST)
		return err_sys(e, __func__, "make directory %s", conf_dir);
	*ret = sys_openat(AT_FDCWD, conf_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (*ret < 0)
		return err_sys(e, __func__, "open directory %s", conf_dir);
	/* W3: as long as the descriptor is open. */
	return fd_lock(*ret, conf_dir, e);
}

static enum err_kind write_file(int dir, const char *name, const struct sbuf *text, struct err *e)
{
	char temp[FILE_NAME_MAX + 8];
	AUTO_CLOSE fd = -1;
	enum err_kind k;

	(void)snprintf(temp, sizeof(temp), ".%s.new", name);
	k = fd_open_at(dir, temp, O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd, e);
	if (k == ERR_OK)
		k = fd_write_all(fd, text->p, text->n, temp, e);
	if (k == ERR_OK && sys_fsync(fd) < 0)
		k = err_sys(e, __func__, "fsync %s", temp);
	if (k == ERR_OK && sys_renameat2(dir, temp, dir, name, RENAME_NOREPLACE) < 0)
		k = err_sys(e, __func__, "rename %s to %s", temp, name);
	if (k == ERR_OK && sys_fsync(dir) < 0)
		k = err_sys(e, __func__, "fsync the directory of %s", name);
	if (k != ERR_OK)
		(void)sys_unlinkat(dir, temp, 0); /* the next one writes over it */
	return k;
}

static enum err_kind write_list(int dir, const struct network_plan *p, struct err *e)
{
	AUTO_JV *list = network_write(p);
	char name[FILE_NAME_MAX];
	AUTO_SBUF text;

	sbuf_init(&text, CONFLIST_BYTES_MAX);
	jv_dump_pretty(list, 2, &text);
	sbuf_add(&text, "\n", 1);
	if (text.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a network");
	(void)snprintf(name, sizeof(name), FILE_PREFIX "%s.conflist", p->spec->name.s);
	return write_file(dir, name, &text, e);
}

/* Words that mean something else where networks are named. */
static enum err_kind check_name(const struct net_name *name, struct err *e)
{
	static const char *const words[] = { "none", "host", "container", "ns", "pasta" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcmp(name->s, words[i]) == 0)
			return err_set(
			    e, ERR_INVALID, __func__,
			    "a network cannot be named %s: that word stands for something else",
			    name->s);
	}
	return ERR_OK;
}

enum err_kind network_create(struct cni *c, const char *conf_dir, const struct network_spec *spec,
			     struct conflist *ret, struct err *e)
{
	AUTO_CONFLIST found = { 0 };
	AUTO_CLOSE dir = -1;
	struct network_plan p;
	enum err_kind k;

	*ret = (struct conflist){ 0 };
	k = check_name(&spec->name, e);
	if (k == ERR_OK)
		k = open_conf_dir(conf_dir, &dir, e);
	if (k != ERR_OK)
		return k;
	k = conflist_find(conf_dir, &spec->name, &found, e);
	if (k == ERR_OK)
		return err_set(e, ERR_EXISTS, __func__, "there is a network %s, in %s",
			       spec->name.s, found.file);
	if (k != ERR_NOT_FOUND)
		return k;
	k = make_plan(c, conf_dir, spec, &p, e);
	if (k == ERR_OK)
		k = write_list(dir, &p, e);
	if (k != ERR_OK)
		return err_wrap(e, "network %s", spec->name.s);
	return conflist_find(conf_dir, &spec->name, ret, e);
}

/* ---- the default network ---- */

static const struct network_spec default_spec = { .name = { NETWORK_DEFAULT } };

static bool is_default(const struct net_name *name)
{
	return strcmp(name->s, NETWORK_DEFAULT) == 0;
}

enum err_kind network_find(struct cni *c, const char *conf_dir, const struct net_name *name,
			   struct conflist *ret, struct err *e)
{
	enum err_kind k = conflist_find(conf_dir, name, ret, e);

	if (k != ERR_NOT_FOUND || !is_default(name))
		return k;
	k = network_create(c, conf_dir, &default_spec, ret, e);
	/* Somebody else asked at the same time. */
	return k == ERR_EXISTS ? conflist_find(conf_dir, name, ret, e) : k;
}

static enum err_kind find_default_plugins(const struct cni *c, struct err *e)
{
	const struct network_plan plan = { .spec = &default_spec, .n_subnets = 1 };
	const char *types[NETWORK_TYPES_MAX + 1];
	enum err_kind k = ERR_OK;

	network_types(&plan, types);
	for (size_t i = 0; k == ERR_OK && types[i]; i++)
		k = find_plugin(c, str_of(types[i]), e);
	return k;
}

enum err_kind network_probe(struct cni *c, const char *conf_dir, const struct net_name *name,
			    struct err *e)
{
	AUTO_CONFLIST l = { 0 };
	enum err_kind k = conflist_find(conf_dir, name, &l, e);

	if (k == ERR_NOT_FOUND && is_default(name))
		k = find_default_plugins(c, e);
	else if (k != ERR_OK)
		return k;
	for (size_t i = 0; k == ERR_OK && i < conflist_count(&l); i++)
		k = find_plugin(c, plugin_type(conflist_plugin(&l, i)), e);
	return k == ERR_OK ? k
			   : err_wrap(e, "networks need the plugins of CNI (Debian's package "
					 "containernetworking-plugins)");
}

/* ---- removing ---- */

struct counting {
	const struct net_name *network;
	unsigned n;
};

static enum err_kind count_attachment(void *arg, struct cache_entry *c, struct err *e)
{
	struct counting *w = arg;

	(void)e;
	w->n += strcmp(c->network.s, w->network->s) == 0;
	return ERR_OK;
}

/* A bridge with ports is somebody's. */
static enum err_kind remove_bridge(const struct conflist *l, struct err *e)
{
	struct str name = network_extra(l, "bridge");
	AUTO_NL s = { .fd = -1 };
	struct link found;
	unsigned ports = 0;
	enum err_kind k;

	if (name.n == 0)
		return ERR_OK;
	k = nl_open(NETLINK_ROUTE, &s, e);
	if (k == ERR_OK)
		k = link_find(&s, name.p, &found, e);
	if (k == ERR_NOT_FOUND)
		return ERR_OK;
	if (k == ERR_OK)
		k = link_count_ports(&s, found.index, &ports, e);
	if (k != ERR_OK || strcmp(found.kind, "bridge") != 0 || ports)
		return k;
	return link_delete(&s, found.index, e);
}

static enum err_kind remove_lease(void *arg, const char *name, struct err *e)
{
	const int *dir = arg;

	(void)e;
	(void)sys_unlinkat(*dir, name, 0); /* no attachment, no lease */
	return ERR_OK;
}

/* What host-local keeps: its lock, the last address it gave, and leases that were torn. */
static void remove_leases(const struct conflist *l)
{
	struct str dir_name = STR(DATA_DIR);
	char path[EXEC_PATH_MAX];
	AUTO_CLOSE dir = -1;
	struct err ignored;

	(void)jv_text(jv_member(jv_member(conflist_plugin(l, 0), "ipam"), "dataDir"), &dir_name);
	(void)snprintf(path, sizeof(path), "%s/%s", dir_name.p, l->name.s);
	if (fd_open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, &dir, &ignored) != ERR_OK)
		return;
	(void)!fd_list_dir(dir, ".", remove_lease, &dir, &ignored);
	(void)sys_unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

static enum err_kind remove_parts(const struct conflist *l, struct err *e)
{
	enum err_kind k = remove_bridge(l, e);

	if (k == ERR_OK && network_extra(l, "apart").n)
		k = apart_remove(&l->name, network_extra(l, "apart").p, e);
	if (k == ERR_OK && network_extra(l, "guard").n)
		k = guard_remove(&l->name, e);
	if (k == ERR_OK)
		remove_leases(l);
	return k;
}

enum err_kind network_remove(struct cni *c, const char *conf_dir, const struct conflist *l,
			     struct err *e)
{
	struct counting attached = { .network = &l->name };
	AUTO_OP_LOCK lock = OP_LOCK_NONE;
	AUTO_CLOSE dir = -1;
	enum err_kind k;

	if (!network_is_ours(l))
		return err_set(e, ERR_DENIED, __func__,
			       "network %s was not made by berth: remove %s by hand", l->name.s,
			       l->file);
	k = op_lock_network(c->options->state_dir, &l->name,
			    c->options->wait_ms ? c->options->wait_ms : CNI_WAIT_MS, &lock, e);
	if (k == ERR_OK)
		k = cache_each(c->options->cache_dir, count_attachment, &attached, e);
	if (k == ERR_OK && attached.n)
		k = err_set(e, ERR_IN_USE, __func__, "network %s has %u containers attached",
			    l->name.s, attached.n);
	if (k == ERR_OK)
		k = open_conf_dir(conf_dir, &dir, e);
	if (k == ERR_OK)
		k = remove_parts(l, e);
	if (k == ERR_OK && sys_unlinkat(dir, l->file, 0) < 0 && errno != ENOENT)
		k = err_sys(e, __func__, "remove %s", l->file);
	return k;
}

/* ---- attaching ---- */

static bool is_isolated(const struct conflist *l)
{
	bool on = false;

	return jv_bool(jv_member(conflist_plugin(l, 0), "portIsolation"), &on) && on;
}

/* Of the network, and of this attachment to it, in one transaction: nft takes its time to start. */
static enum err_kind set_rules(const struct conflist *l, const struct if_name *ifname,
			       const struct result *r, struct err *e)
{
	struct str guard = network_extra(l, "guard"), apart = network_extra(l, "apart");
	AUTO_SUBNETS networks = { 0 };
	AUTO_SBUF script;
	enum err_kind k;

	sbuf_init(&script, NFT_SCRIPT_MAX);
	k = subnets_of_list(l, &networks, e);
	if (k == ERR_OK && apart.n)
		k = apart_write(&l->name, apart.p, is_isolated(l), &script, e);
	if (k == ERR_OK && guard.n)
		k = guard_write(&l->name, guard.p, &networks, &script, e);
	if (k == ERR_OK && sender_is_checked(l))
		k = sender_write(r, ifname, guard.p, &script, e);
	if (k == ERR_OK && script.n)
		k = nft_run(&script, e);
	return k == ERR_OK ? k : err_wrap(e, "network %s: rules", l->name.s);
}

/* What the bridge plugin does from 1.6 on: packets within a bridge pass the rules of firewall only under br_netfilter. */
static enum err_kind isolate(const struct conflist *l, const struct result *r, struct err *e)
{
	const struct jv *plugin = conflist_plugin(l, 0);
	const struct result_interface *outer;
	struct str bridge = { "", 0 };
	AUTO_NL s = { .fd = -1 };
	struct link found;
	enum err_kind k;

	if (!network_is_ours(l) || !is_isolated(l))
		return ERR_OK;
	(void)jv_text(jv_member(plugin, "bridge"), &bridge);
	outer = result_outer_interface(r, bridge.p);
	if (!outer)
		return err_set(e, ERR_INVALID, __func__,
			       "network %s: the result of ADD names no port of the bridge",
			       l->name.s);
	k = nl_open(NETLINK_ROUTE, &s, e);
	if (k == ERR_OK)
		k = link_find(&s, outer->name, &found, e);
	return k == ERR_OK ? link_isolate(&s, found.index, e) : k;
}

enum err_kind network_add(struct cni *c, const struct conflist *l, const struct attachment *a,
			  struct result *ret, struct err *e)
{
	enum err_kind k = cni_add(c, l, a, ret, e);
	struct err ignored;

	if (k != ERR_OK)
		return k;
	k = isolate(l, ret, e);
	if (k == ERR_OK)
		k = set_rules(l, &a->ifname, ret, e);
	if (k == ERR_OK)
		return k;
	(void)!cni_del(c, &l->name, l, a, &ignored); /* what is left is known for the next time */
	result_clear(ret);
	return k;
}
