#include "runtime/cli/network_run.h"

#include "runtime/cli/network/place.h"
#include "runtime/container/status.h"
#include "runtime/net/attach.h"
#include "runtime/net/hosts.h"
#include "runtime/net/network.h"
#include "runtime/net/user_mode.h"

/* ---- checking ---- */

typedef enum err_kind wants_fn(struct wants *w, struct str in, struct err *e);

static enum err_kind check_each(const struct text_list *texts, wants_fn *fn, struct err *e)
{
	AUTO_WANTS w = { 0 };
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < texts->n; i++)
		k = fn(&w, str_of(texts->v[i]), e);
	return k;
}

static enum err_kind check_hosts(const struct text_list *hosts, struct err *e)
{
	const struct ip_net any = { .len = 4, .prefix = 32 };
	enum err_kind k = ERR_OK;
	struct str name;
	struct ip_net ip;

	for (size_t i = 0; k == ERR_OK && i < hosts->n; i++)
		k = hosts_parse_extra(str_of(hosts->v[i]), &any, &name, &ip, e);
	return k;
}

static enum err_kind check_wants(const struct network_options *o, struct err *e)
{
	AUTO_WANTS w = { 0 };
	enum err_kind k = check_each(&o->publish, wants_port, e);

	if (k == ERR_OK)
		k = check_each(&o->ips, wants_ip, e);
	if (k == ERR_OK)
		k = check_each(&o->dns, wants_dns_server, e);
	if (k == ERR_OK)
		k = check_each(&o->dns_searches, wants_dns_search, e);
	if (k == ERR_OK)
		k = check_each(&o->dns_options, wants_dns_option, e);
	if (k == ERR_OK)
		k = check_each(&o->aliases, wants_alias, e);
	if (k == ERR_OK && o->mac)
		k = wants_mac(&w, str_of(o->mac), e);
	return k == ERR_OK ? check_hosts(&o->hosts, e) : k;
}

static bool wants_anything(const struct network_options *o)
{
	return o->publish.n || o->ips.n || o->mac || o->dns.n || o->dns_searches.n ||
	       o->dns_options.n || o->aliases.n || o->hosts.n;
}

/* ---- choosing ---- */

/* "container:ID": as long as that one runs. */
static enum err_kind join(struct ctl *t, struct str id, const char **ret, struct err *e)
{
	AUTO_CONTAINER other = CONTAINER_INIT;
	const char *name = arena_text(&t->c->arena, id);
	struct status now;
	bool supervised;
	enum err_kind k = container_find(&t->cs, name ? name : "", &other, e);

	if (k == ERR_OK)
		k = status_now(other.dir, &now, &supervised, e);
	if (k == ERR_OK && now.pid <= 0)
		k = err_set(e, ERR_IN_USE, __func__, "container %s does not run", name);
	if (k != ERR_OK)
		return k;
	*ret = arena_printf(&t->c->arena, "ns:/proc/%d/ns/net", (int)now.pid);
	return *ret ? ERR_OK : err_set(e, ERR_NO_MEMORY, __func__, "no memory for a network");
}

static enum err_kind choose_one(struct ctl *t, const char *text, const char **ret, struct err *e)
{
	struct attach_network ignored;
	enum attach_kind kind;
	struct str rest;
	enum err_kind k = attach_parse(str_of(text), &kind, &rest, &ignored, e);

	wants_clear(&ignored.wants);
	if (k != ERR_OK)
		return k;
	switch (kind) {
	case ATTACH_NONE:
	case ATTACH_HOST:
	case ATTACH_NAMESPACE:
		*ret = text;
		return ERR_OK;
	case ATTACH_CONTAINER:
		return join(t, rest, ret, e);
	case ATTACH_USER_MODE:
	case ATTACH_NETWORK:
		break;
	}
	*ret = "private";
	return ERR_OK;
}

static enum err_kind find_preset(const char **ret, struct err *e)
{
	const struct net_name name = { NETWORK_DEFAULT };
	struct network_place place;
	AUTO_CNI cni;

	network_place_init(&place, "berth");
	cni_init(&cni, &place.cli.cni);
	if (user_mode_is_needed()) {
		*ret = "pasta";
		return user_mode_probe(e);
	}
	*ret = NETWORK_DEFAULT;
	return network_probe(&cni, place.cli.conf_dir, &name, e);
}

static enum err_kind add_preset(struct ctl *t, struct network_options *o, struct err *e)
{
	const char *name = getenv("BERTH_NETWORK"); /* one thread */
	enum err_kind k = name && *name ? ERR_OK : find_preset(&name, e);

	if (k != ERR_OK && wants_anything(o))
		return k;
	if (k != ERR_OK) {
		cli_note("the container has no network, as with --network none: %s", e->msg);
		name = "none";
	}
	return arena_list_add(&t->c->arena, &o->networks, name)
		   ? ERR_OK
		   : err_set(e, ERR_NO_MEMORY, __func__, "no memory for a network");
}

enum err_kind network_choose(struct ctl *t, struct network_options *o, const char **ret_namespace,
			     struct err *e)
{
	const char *first = NULL;
	enum err_kind k = check_wants(o, e);

	if (k == ERR_OK && o->networks.n == 0)
		k = add_preset(t, o, e);
	for (size_t i = 0; k == ERR_OK && i < o->networks.n; i++) {
		const char *one = NULL;

		k = choose_one(t, o->networks.v[i], &one, e);
		if (k == ERR_OK && first &&
		    (strcmp(first, "private") != 0 || strcmp(one, first) != 0))
			k = err_set(e, ERR_INVALID, __func__,
				    "--network %.60s: only networks by name can be several",
				    o->networks.v[i]);
		first = one;
	}
	if (k != ERR_OK)
		return k;
	if (wants_anything(o) && strcmp(first, "private") != 0)
		return err_set(e, ERR_UNSUPPORTED, __func__,
			       "--network %.60s: ports, addresses and names need a network by name",
			       o->networks.v[0]);
	*ret_namespace = first;
	return ERR_OK;
}

/* ---- the commands ---- */

struct command_list {
	struct arena *arena;
	struct text_list *list;
	bool failed;
};

static void add(struct command_list *c, const char *text)
{
	c->failed = c->failed || !text || !arena_list_add(c->arena, c->list, text);
}

static void add_option(struct command_list *c, const char *option, const char *value)
{
	if (!value)
		return;
	add(c, option);
	add(c, arena_text(c->arena, str_of(value)));
}

static void add_options(struct command_list *c, const char *option, const struct text_list *values)
{
	for (size_t i = 0; i < values->n; i++)
		add_option(c, option, values->v[i]);
}

/* berth-net has the same commands, and starts in a tenth of the time, for it needs few libraries. */
static const char *network_program(struct ctl *t)
{
	const char *small = ctl_program(t, "berth-net");

	return access(small, X_OK) == 0 ? small : ctl_program(t, "berth");
}

static void begin(struct command_list *c, struct ctl *t, const char *verb)
{
	add(c, arena_text(c->arena, str_of(network_program(t))));
	add(c, "network");
	add(c, verb);
}

enum err_kind network_commands(struct ctl *t, const struct network_options *o, const char *hostname,
			       const char *etc, struct record *r, struct err *e)
{
	struct command_list up = { &r->arena, &r->net_up, false };
	struct command_list down = { &r->arena, &r->net_down, false };

	begin(&up, t, "up");
	add_options(&up, "--network", &o->networks);
	add_options(&up, "--publish", &o->publish);
	add_options(&up, "--ip", &o->ips);
	add_option(&up, "--mac-address", o->mac);
	add_options(&up, "--dns", &o->dns);
	add_options(&up, "--dns-search", &o->dns_searches);
	add_options(&up, "--dns-option", &o->dns_options);
	add_options(&up, "--add-host", &o->hosts);
	add_options(&up, "--network-alias", &o->aliases);
	/* Names of containers have more letters than names of hosts. */
	add_option(&up, "--name", is_host_name(str_of(r->name)) ? r->name : NULL);
	add_option(&up, "--hostname", is_host_name(str_of(hostname)) ? hostname : NULL);
	add_option(&up, "--hosts-file", arena_printf(&r->arena, "%s/hosts", etc));
	add_option(&up, "--resolv-file", arena_printf(&r->arena, "%s/resolv.conf", etc));
	add(&up, r->id);
	begin(&down, t, "down");
	add(&down, r->id);
	return up.failed || down.failed
		   ? err_set(e, ERR_NO_MEMORY, __func__, "no memory for a network")
		   : ERR_OK;
}
