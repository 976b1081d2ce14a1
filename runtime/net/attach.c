#include "runtime/net/attach.h"

#include "base/fd.h"
#include "runtime/net/attachments.h"
#include "runtime/net/keep.h"
#include "runtime/net/names.h"
#include "runtime/net/network.h"
#include "runtime/net/ports.h"
#include "runtime/net/user_mode.h"

#define HEAD_MAX 65536
#define RESOLV_MAX 65536
#define RESOLV_CONF "/etc/resolv.conf"
/* Where systemd-resolved, whose stub listens on the host's loopback interface, says whom it asks. */
#define RESOLV_CONF_BEHIND_STUB "/run/systemd/resolve/resolv.conf"

void attach_spec_clear(struct attach_spec *s)
{
	for (size_t i = 0; i < s->n_networks; i++)
		wants_clear(&s->networks[i].wants);
	wants_clear(&s->wants);
}

struct attaching {
	struct cni *cni;
	const struct attach_spec *spec;
	struct conflist lists[ATTACH_NETWORKS_MAX];
	struct result results[ATTACH_NETWORKS_MAX];
	struct if_name ifnames[ATTACH_NETWORKS_MAX];
	struct jv *capabilities[ATTACH_NETWORKS_MAX];
	struct jv *args, *ports;
	struct ports_held held;
	char netns[NETNS_PATH_MAX], hosts[NAMES_PATH_MAX];
};

static void attaching_clear(struct attaching *w)
{
	for (size_t i = 0; i < w->spec->n_networks; i++) {
		conflist_clear(&w->lists[i]);
		result_clear(&w->results[i]);
		jv_free(&w->capabilities[i]);
	}
	jv_free(&w->args);
	jv_free(&w->ports);
	ports_held_close(&w->held);
}

static void tell(const struct cni *c, const struct err *e)
{
	struct str text = str_of(e->msg);

	if (c->options->log) {
		c->options->log(c->options->log_arg, "berth", text);
		c->options->log(c->options->log_arg, "berth", STR("\n"));
	}
}

/* ---- before anything is made ---- */

static size_t network_for_ports(const struct attaching *w)
{
	for (size_t i = 0; i < w->spec->n_networks; i++) {
		if (conflist_has_capability(&w->lists[i], "portMappings"))
			return i;
	}
	return 0; /* which says that it cannot */
}

/* A view: everything in it belongs to the specification, or to what is being attached. */
static struct wants wants_on(const struct attaching *w, size_t i, bool ports)
{
	const struct attach_spec *s = w->spec;
	struct wants all = s->wants;

	all.ports = ports ? w->ports : NULL;
	if (i > 0) {
		all.ips = NULL;
		all.mac[0] = '\0';
	}
	if (s->networks[i].wants.ips)
		all.ips = s->networks[i].wants.ips;
	if (*s->networks[i].wants.mac)
		memcpy(all.mac, s->networks[i].wants.mac, sizeof(all.mac));
	all.aliases = s->networks[i].wants.aliases;
	all.ingress_rate = s->networks[i].wants.ingress_rate;
	all.egress_rate = s->networks[i].wants.egress_rate;
	return all;
}

static enum err_kind name_interface(struct attaching *w, size_t i, struct err *e)
{
	const struct attach_spec *s = w->spec;
	unsigned n = 0;

	w->ifnames[i] = s->networks[i].ifname;
	for (bool taken = !*w->ifnames[i].s; taken; n++) {
		(void)snprintf(w->ifnames[i].s, sizeof(w->ifnames[i].s), "eth%u", n);
		taken = false;
		for (size_t j = 0; j < s->n_networks; j++)
			taken = taken || (j != i && strcmp(w->ifnames[i].s,
							   j < i ? w->ifnames[j].s
								 : s->networks[j].ifname.s) == 0);
	}
	for (size_t j = 0; j < i; j++) {
		if (strcmp(w->ifnames[i].s, w->ifnames[j].s) == 0 ||
		    strcmp(w->lists[i].name.s, w->lists[j].name.s) == 0)
			return err_set(e, ERR_INVALID, __func__,
				       "two networks of the container are both %s, or both on %s",
				       w->lists[i].name.s, w->ifnames[i].s);
	}
	return ERR_OK;
}

static enum err_kind make_args(struct attaching *w, struct err *e)
{
	enum err_kind k;

	w->args = jv_new_array();
	if (!w->args)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for arguments");
	if (!w->spec->name)
		return ERR_OK;
	/* Plugins that do not know the name of the second argument's kind say no without the first. */
	k = net_args_add(w->args, STR("IgnoreUnknown"), STR("1"), e);
	return k == ERR_OK ? net_args_add(w->args, STR("K8S_POD_NAME"), str_of(w->spec->name), e)
			   : k;
}

static enum err_kind read_networks(struct attaching *w, const char *conf_dir, struct err *e)
{
	const struct attach_spec *s = w->spec;
	enum err_kind k = ERR_OK;
	size_t ports;

	for (size_t i = 0; k == ERR_OK && i < s->n_networks; i++) {
		k = network_find(w->cni, conf_dir, &s->networks[i].name, &w->lists[i], e);
		if (k == ERR_OK)
			k = name_interface(w, i, e);
	}
	ports = network_for_ports(w);
	for (size_t i = 0; k == ERR_OK && i < s->n_networks; i++) {
		const struct wants wants = wants_on(w, i, i == ports);

		k = wants_capabilities(&wants, &w->lists[i], &w->capabilities[i], e);
	}
	return k == ERR_OK ? make_args(w, e) : k;
}

static enum err_kind check_extra_hosts(const struct attach_spec *s, struct err *e)
{
	const struct ip_net any = { .len = 4, .prefix = 32 };
	enum err_kind k = ERR_OK;
	struct str name;
	struct ip_net ip;

	for (size_t i = 0; k == ERR_OK && i < s->n_extra_hosts; i++)
		k = hosts_parse_extra(str_of(s->extra_hosts[i]), &any, &name, &ip, e);
	return k;
}

/* ---- files ---- */

static void add_extra_hosts(const struct attaching *w, struct sbuf *head)
{
	struct ip_net gateway = { 0 };
	struct err ignored;
	struct str view;
	struct ip_net ip;

	for (size_t i = 0; i < w->results[0].n_ips && gateway.len == 0; i++)
		gateway = w->results[0].ips[i].gateway;
	for (size_t i = 0; i < w->spec->n_extra_hosts; i++) {
		AUTO_FREE char *name = NULL;

		/* Checked before; without a gateway there is no such host. */
		if (hosts_parse_extra(str_of(w->spec->extra_hosts[i]), &gateway, &view, &ip,
				      &ignored) != ERR_OK)
			continue;
		name = strndup(view.p, view.n);
		if (name)
			hosts_add(head, &ip, (const char *const *)&name, 1);
	}
}

static enum err_kind write_hosts(struct attaching *w, struct err *e)
{
	const struct attach_spec *s = w->spec;
	AUTO_SBUF head;

	sbuf_init(&head, HEAD_MAX);
	hosts_add_localhost(&head);
	for (size_t i = 0; s->hostname && i < w->results[0].n_ips; i++)
		hosts_add(&head, &w->results[0].ips[i].address, &s->hostname, 1);
	add_extra_hosts(w, &head);
	if (head.failed)
		return err_set(e, ERR_TOO_LARGE, __func__, "too many hosts");
	return names_create(w->cni->options, &s->container, s->hosts_file,
			    (struct str){ head.p, head.n }, w->hosts, e);
}

static struct str text_of(const struct sbuf *b)
{
	return (struct str){ b->p ? b->p : "", b->n };
}

/* The host's, but for name servers that only the host reaches. */
static void read_host_resolv(struct resolv *r, struct sbuf *text, struct sbuf *behind_stub)
{
	struct err ignored;

	if (fd_read_path(RESOLV_CONF, text, &ignored) == ERR_OK)
		resolv_read(r, text_of(text), false);
	if (r->n_servers == 0 &&
	    fd_read_file(AT_FDCWD, RESOLV_CONF_BEHIND_STUB, behind_stub, &ignored) == ERR_OK)
		resolv_read(r, text_of(behind_stub), false);
}

static void push_values(struct str *list, size_t *n, const struct jv *values)
{
	for (size_t i = 0; i < jv_count(values) && *n < RESOLV_LIST_MAX; i++) {
		if (jv_text(jv_at(values, i), &list[*n]))
			(*n)++;
	}
}

static enum err_kind write_resolv(const struct attaching *w, struct err *e)
{
	struct resolv host = { 0 }, network = { 0 }, user = { 0 };
	AUTO_SBUF text, behind_stub, out;
	AUTO_CLOSE fd = -1;
	enum err_kind k;

	sbuf_init(&text, RESOLV_MAX);
	sbuf_init(&behind_stub, RESOLV_MAX);
	sbuf_init(&out, 2 * RESOLV_MAX);
	if (!w->spec->resolv_file)
		return ERR_OK;
	read_host_resolv(&host, &text, &behind_stub);
	for (size_t i = 0; i < w->spec->n_networks; i++)
		resolv_of_result(&network, &w->results[i].dns);
	push_values(user.servers, &user.n_servers, w->spec->wants.servers);
	push_values(user.searches, &user.n_searches, w->spec->wants.searches);
	push_values(user.options, &user.n_options, w->spec->wants.dns_options);
	resolv_override(&host, &network);
	resolv_override(&host, &user);
	resolv_write(&host, &out);
	if (out.failed)
		return err_set(e, ERR_TOO_LARGE, __func__, "resolv.conf is too large");
	k = fd_open_at(AT_FDCWD, w->spec->resolv_file, O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd, e);
	return k == ERR_OK ? fd_write_all(fd, out.p ? out.p : "", out.n, "resolv.conf", e) : k;
}

/* The others learn of who came or went. */
static void refresh(struct cni *c, const struct net_name *network)
{
	struct err e;

	if (names_refresh(c->options, network, NULL, &e) != ERR_OK)
		tell(c, &e);
}

/* ---- up ---- */

static enum err_kind add_all(struct attaching *w, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < w->spec->n_networks; i++) {
		const struct attachment a = { .container = w->spec->container,
					      .ifname = w->ifnames[i],
					      .netns = w->netns,
					      .args = w->args,
					      .capabilities = w->capabilities[i] };

		k = network_add(w->cni, &w->lists[i], &a, &w->results[i], e);
	}
	if (k == ERR_OK)
		k = write_resolv(w, e);
	return k == ERR_OK ? write_hosts(w, e) : k;
}

static enum err_kind find_namespace(struct attaching *w, struct err *e)
{
	const struct attach_spec *s = w->spec;

	if (s->pid > 0)
		return keep_namespace(w->cni->options, &s->container, s->pid, w->netns, e);
	if (!s->netns || !str_copy(str_of(s->netns), w->netns, sizeof(w->netns)))
		return err_set(e, ERR_INVALID, __func__, "container %s has no namespace",
			       s->container.s);
	return netns_check(w->netns, e);
}

/* Addresses are those of the host. */
static enum err_kind up_user_mode(struct attaching *w, struct err *e)
{
	const struct attach_spec *s = w->spec;
	struct user_mode u = { .container = s->container,
			       .ifname = { USER_MODE_INTERFACE },
			       .pid = s->pid,
			       .ports = w->ports };
	enum err_kind k;

	if (s->n_networks || s->pid <= 0)
		return err_set(e, ERR_INVALID, __func__,
			       "pasta is the only network of a container, by its process");
	if (s->wants.ips || *s->wants.mac)
		return err_set(e, ERR_UNSUPPORTED, __func__,
			       "with pasta a container has the host's addresses");
	if (geteuid() == 0) { /* of a user namespace, as a rule; who is not may not keep anything */
		k = find_namespace(w, e);
		u.netns = w->netns;
	} else {
		(void)snprintf(w->netns, sizeof(w->netns), "/proc/%d/ns/net", (int)s->pid);
		k = ERR_OK;
	}
	if (k != ERR_OK)
		return k;
	ports_held_close(&w->held); /* which pasta binds itself */
	k = user_mode_up(w->cni->options, &u, e);
	if (k == ERR_OK)
		k = write_resolv(w, e);
	return k == ERR_OK ? write_hosts(w, e) : k;
}

static struct jv *describe(const struct attaching *w)
{
	AUTO_JV *networks = jv_new_array();

	if (w->spec->user_mode && !jv_append(networks, jv_pack("{s:s,s:s}", "name", "pasta",
							       "interface", USER_MODE_INTERFACE)))
		return NULL;
	for (size_t i = 0; i < w->spec->n_networks; i++) {
		if (!jv_append(networks,
			       jv_pack("{s:s,s:s,s:o}", "name", w->lists[i].name.s, "interface",
				       w->ifnames[i].s, "result", result_write(&w->results[i]))))
			return NULL;
	}
	return jv_pack("{s:s,s:s,s:o,s:o}", "netns", w->netns, "hosts", w->hosts, "networks",
		       TAKE(networks), "ports", w->ports ? jv_share(w->ports) : jv_new_array());
}

/* The error of what failed is the one to tell; what cannot be undone is known for the next time. */
static void undo(struct attaching *w)
{
	struct plugin_failure of_add = w->cni->failure;
	struct err ignored;

	plugin_failure_init(&w->cni->failure);
	(void)!attach_down(w->cni, &w->spec->container, &ignored);
	plugin_failure_clear(&w->cni->failure);
	w->cni->failure = of_add;
}

/* Who speaks for a container ends before its namespace goes: it would by itself then, and be waited for by nobody. */
enum err_kind attach_sweep(struct cni *c, struct err *e)
{
	unsigned removed;
	struct err other;
	enum err_kind k = user_mode_sweep(c->options, e);
	enum err_kind more = attachments_sweep(c, &removed, &other);

	if (k == ERR_OK && more != ERR_OK)
		*e = other;
	return k == ERR_OK ? more : k;
}

/* T3 */
static enum err_kind make_room(struct attaching *w, struct err *e)
{
	struct err mine;

	if (attach_sweep(w->cni, &mine) != ERR_OK)
		tell(w->cni, &mine);
	return attach_down(w->cni, &w->spec->container, e);
}

static enum err_kind up(struct attaching *w, const char *conf_dir, struct jv **ret, struct err *e)
{
	const struct attach_spec *s = w->spec;
	enum err_kind k =
	    ports_choose(w->cni->options, &s->container, s->wants.ports, &w->ports, &w->held, e);

	if (k == ERR_OK)
		k = read_networks(w, conf_dir, e);
	if (k == ERR_OK)
		k = check_extra_hosts(w->spec, e);
	if (k == ERR_OK)
		k = make_room(w, e);
	if (k == ERR_OK && !w->spec->user_mode)
		k = find_namespace(w, e);
	if (k != ERR_OK)
		return k;
	k = w->spec->user_mode ? up_user_mode(w, e) : add_all(w, e);
	if (k == ERR_OK) {
		*ret = describe(w);
		k = *ret ? ERR_OK
			 : err_set(e, ERR_NO_MEMORY, __func__, "no memory for what was attached");
	}
	if (k != ERR_OK) {
		undo(w);
		return k;
	}
	for (size_t i = 0; i < w->spec->n_networks; i++)
		refresh(w->cni, &w->lists[i].name);
	return ERR_OK;
}

enum err_kind attach_up(struct cni *c, const char *conf_dir, const struct attach_spec *spec,
			struct jv **ret, struct err *e)
{
	CLEANUP(attaching_clear) struct attaching w = { .cni = c, .spec = spec };

	*ret = NULL;
	for (size_t i = 0; i < spec->n_networks; i++)
		result_init(&w.results[i]);
	return up(&w, conf_dir, ret, e);
}

/* ---- down ---- */

enum err_kind attach_down(struct cni *c, const struct container_id *container, struct err *e)
{
	AUTO_ATTACHMENTS found = { 0 };
	enum err_kind first = attachments_find(c->options, NULL, container, &found, e);

	for (size_t i = found.n; i-- > 0;) {
		const struct attachment a = { .container = *container,
					      .ifname = found.p[i].ifname };
		struct err mine;
		enum err_kind k = cni_del(c, &found.p[i].network, NULL, &a, &mine);

		refresh(c, &found.p[i].network);
		if (k == ERR_OK || first != ERR_OK)
			continue;
		first = k;
		*e = mine;
	}
	if (first == ERR_OK)
		first = user_mode_down(c->options, container, e);
	if (first == ERR_OK)
		first = names_remove(c->options, container, e);
	return first == ERR_OK ? keep_release(c->options, container, false, e) : first;
}
