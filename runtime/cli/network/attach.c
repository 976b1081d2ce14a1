#include <getopt.h>

#include "runtime/cli/network/impl.h"
#include "runtime/net/attach.h"
#include "runtime/net/attachments.h"
#include "runtime/net/keep.h"
#include "runtime/net/network.h"
#include "runtime/net/ports.h"
#include "runtime/net/sender.h"
#include "runtime/net/user_mode.h"
#include "runtime/net/wants.h"

enum { OPT_NETNS = 256, OPT_IP, OPT_MAC, OPT_ALIAS };

static const struct option connect_options[] = {
	{ "ifname", required_argument, NULL, 'i' },
	{ "publish", required_argument, NULL, 'p' },
	{ "netns", required_argument, NULL, OPT_NETNS },
	{ "ip", required_argument, NULL, OPT_IP },
	{ "mac-address", required_argument, NULL, OPT_MAC },
	{ "alias", required_argument, NULL, OPT_ALIAS },
	{ 0 },
};

struct connecting {
	struct wants wants;
	const char *ifname, *netns;
	struct conflist list;
	struct attachments of_container;
	struct attachment attachment;
	struct jv *capabilities;
	struct ports_held held;
	char kept[NETNS_PATH_MAX];
};

static void connecting_clear(struct connecting *w)
{
	wants_clear(&w->wants);
	conflist_clear(&w->list);
	attachments_clear(&w->of_container);
	jv_free(&w->capabilities);
	ports_held_close(&w->held);
}

static enum err_kind read_connect_option(struct connecting *w, int option, struct err *e)
{
	switch (option) {
	case 'i':
		w->ifname = optarg;
		return ERR_OK;
	case 'p':
		return wants_port(&w->wants, str_of(optarg), e);
	case OPT_NETNS:
		w->netns = optarg;
		return ERR_OK;
	case OPT_IP:
		return wants_ip(&w->wants, str_of(optarg), e);
	case OPT_MAC:
		return wants_mac(&w->wants, str_of(optarg), e);
	case OPT_ALIAS:
		return wants_alias(&w->wants, str_of(optarg), e);
	default:
		return err_set(e, ERR_INVALID, __func__, "usage");
	}
}

/* A container is known by what it is attached to already, or was. */
static enum err_kind find_netns(const struct cni_options *o, struct connecting *w, struct err *e)
{
	struct err ignored;

	for (size_t i = 0; !w->netns && i < w->of_container.n; i++) {
		if (attachment_is_alive(o, &w->of_container.p[i]))
			w->netns = w->of_container.p[i].netns;
	}
	if (!w->netns && keep_find(o, &w->attachment.container, w->kept, &ignored) == ERR_OK)
		w->netns = w->kept;
	w->attachment.netns = w->netns;
	return w->netns ? ERR_OK
			: err_set(e, ERR_NOT_FOUND, __func__,
				  "container %s is attached to nothing: name its --netns",
				  w->attachment.container.s);
}

/* Its name is in the arguments of its other networks. */
static enum err_kind set_wants(const struct cni_options *o, struct connecting *w, struct err *e)
{
	struct attachment *a = &w->attachment;
	AUTO_JV *ports = NULL;
	enum err_kind k = ports_choose(o, &a->container, w->wants.ports, &ports, &w->held, e);

	if (k != ERR_OK)
		return k;
	jv_free(&w->wants.ports);
	w->wants.ports = TAKE(ports);
	k = wants_capabilities(&w->wants, &w->list, &w->capabilities, e);
	a->capabilities = w->capabilities;
	a->args = w->of_container.n ? w->of_container.p[0].args : NULL;
	return k;
}

static enum err_kind prepare(const struct network_cli *c, struct cni *cni, struct connecting *w,
			     const char *network, const char *container, struct err *e)
{
	struct attachment *a = &w->attachment;
	enum err_kind k = container_id_parse(str_of(container), &a->container, e);

	if (k == ERR_OK)
		k = network_cli_open(c, cni, network, &w->list, e);
	if (k == ERR_OK)
		k = attachments_find(&c->cni, NULL, &a->container, &w->of_container, e);
	if (k == ERR_OK)
		k = find_netns(&c->cni, w, e);
	if (k == ERR_OK && w->ifname)
		k = if_name_parse(str_of(w->ifname), &a->ifname, e);
	else if (k == ERR_OK)
		k = attachments_free_interface(&w->of_container, w->netns, &a->ifname, e);
	return k == ERR_OK ? set_wants(&c->cni, w, e) : k;
}

int network_cli_connect(const struct network_cli *c, int argc, char **argv)
{
	CLEANUP(connecting_clear) struct connecting w = { .ifname = NULL };
	AUTO_RESULT result;
	AUTO_JV *v = NULL;
	AUTO_CNI cni;
	struct err e;
	enum err_kind k = ERR_OK;
	int option;

	cni_init(&cni, &c->cni);
	result_init(&result);
	optind = 0;
	while (k == ERR_OK &&
	       (option = getopt_long(argc, argv, "+i:p:", connect_options, NULL)) != -1) {
		if (option == '?')
			return STATUS_USAGE;
		k = read_connect_option(&w, option, &e);
	}
	if (k == ERR_OK && argc - optind != 2)
		return STATUS_USAGE;
	if (k == ERR_OK)
		k = prepare(c, &cni, &w, argv[optind], argv[optind + 1], &e);
	if (k == ERR_OK)
		k = network_add(&cni, &w.list, &w.attachment, &result, &e);
	if (k != ERR_OK)
		return network_cli_fail(c, &cni, &e);
	network_cli_names(c, &w.list.name, NULL);
	v = result_write(&result);
	return network_cli_print(v);
}

/* ---- disconnect ---- */

static enum err_kind disconnect(const struct network_cli *c, struct cni *cni, const char *network,
				const char *container, const char *ifname, struct err *e)
{
	struct attachment a = { .netns = NULL };
	AUTO_ATTACHMENTS found = { 0 };
	struct net_name name;
	unsigned n = 0;
	enum err_kind k = net_name_parse(str_of(network), &name, e);

	if (k == ERR_OK)
		k = container_id_parse(str_of(container), &a.container, e);
	if (k == ERR_OK)
		k = attachments_find(&c->cni, &name, &a.container, &found, e);
	for (size_t i = 0; k == ERR_OK && i < found.n; i++) {
		if (ifname && strcmp(ifname, found.p[i].ifname.s) != 0)
			continue;
		a.ifname = found.p[i].ifname;
		k = cni_del(cni, &name, NULL, &a, e);
		n++;
	}
	if (n)
		network_cli_names(c, &name, &a.container);
	if (k == ERR_OK && n == 0)
		k = err_set(e, ERR_NOT_FOUND, __func__,
			    "container %s is not attached to network %s%s%s", container, network,
			    ifname ? " as " : "", ifname ? ifname : "");
	return k;
}

int network_cli_disconnect(const struct network_cli *c, int argc, char **argv)
{
	static const struct option options[] = { { "ifname", required_argument, NULL, 'i' },
						 { 0 } };
	const char *ifname = NULL;
	AUTO_CNI cni;
	struct err e;
	struct jv *v;
	int option;

	cni_init(&cni, &c->cni);
	optind = 0;
	while ((option = getopt_long(argc, argv, "+i:", options, NULL)) != -1) {
		if (option != 'i')
			return STATUS_USAGE;
		ifname = optarg;
	}
	if (argc - optind != 2)
		return STATUS_USAGE;
	if (disconnect(c, &cni, argv[optind], argv[optind + 1], ifname, &e) != ERR_OK)
		return network_cli_fail(c, &cni, &e);
	v = jv_pack("{s:s, s:s}", "network", argv[optind], "id", argv[optind + 1]);
	return network_cli_done(c, &v, NULL);
}

/* ---- commands on networks by name, or on all that berth made ---- */

struct eaching;
typedef enum err_kind each_fn(const struct eaching *w, struct cni *cni, const struct conflist *l,
			      struct err *e);

struct eaching {
	const struct network_cli *cli;
	each_fn *fn;
	struct jv *list; /* of what was found, for programs */
	int status;
};

static void do_one(struct eaching *w, const struct conflist *l)
{
	AUTO_CNI cni;
	struct err e;

	cni_init(&cni, &w->cli->cni);
	if (w->fn(w, &cni, l, &e) != ERR_OK)
		w->status = network_cli_fail(w->cli, &cni, &e);
}

static enum err_kind do_file(void *arg, const char *file, struct conflist *l,
			     const struct err *wrong, struct err *e)
{
	(void)file, (void)e;
	if (!wrong && network_is_ours(l))
		do_one(arg, l);
	return ERR_OK;
}

static int note_bad_name(const struct eaching *w, const char *name, const struct err *why)
{
	struct jv *v = jv_pack("{s:s}", "name", name);

	network_cli_note(w->cli, w->list, &v, NULL, why);
	return network_cli_fail(w->cli, NULL, why);
}

static int on_each(const struct network_cli *c, int argc, char **argv, each_fn *fn)
{
	AUTO_JV *list = jv_new_array();
	struct eaching w = { .cli = c, .fn = fn, .list = list };
	struct err e;

	if (argc == 1 && conflist_each(c->conf_dir, do_file, &w, &e) != ERR_OK)
		return network_cli_fail(c, NULL, &e);
	for (int i = 1; i < argc; i++) {
		AUTO_CONFLIST l = { 0 };
		struct net_name name;
		enum err_kind k = net_name_parse(str_of(argv[i]), &name, &e);

		if (k == ERR_OK)
			k = conflist_find(c->conf_dir, &name, &l, &e);
		if (k == ERR_OK)
			do_one(&w, &l);
		else
			w.status = note_bad_name(&w, argv[i], &e);
	}
	return c->json ? w.status | network_cli_print(list) : w.status;
}

static enum err_kind gc_one(const struct eaching *w, struct cni *cni, const struct conflist *l,
			    struct err *e)
{
	struct cni_gc_report report;
	char line[NET_NAME_MAX + 64];
	enum err_kind k = attachments_collect(cni, l, &report, e);
	struct jv *v = jv_pack("{s:s, s:i, s:b}", "name", l->name.s, "removed", (int)report.removed,
			       "disabled", l->disable_gc);

	network_cli_names(w->cli, &l->name, NULL);
	(void)snprintf(line, sizeof(line), "%s: %u removed%s", l->name.s, report.removed,
		       l->disable_gc ? ", by disableGC" : "");
	network_cli_note(w->cli, w->list, &v, line, k == ERR_OK ? NULL : e);
	return k;
}

/* What was attached by "up" is known by its namespace, also where its network is gone or somebody else's. */
static int sweep(const struct network_cli *c)
{
	AUTO_CNI cni;
	struct err e;
	enum err_kind k;

	cni_init(&cni, &c->cni);
	k = attach_sweep(&cni, &e);
	if (k == ERR_OK && !user_mode_is_needed())
		k = sender_sweep(&e);
	return k == ERR_OK ? STATUS_OK : network_cli_fail(c, &cni, &e);
}

int network_cli_gc(const struct network_cli *c, int argc, char **argv)
{
	int status = on_each(c, argc, argv, gc_one);
	int swept = argc == 1 ? sweep(c) : STATUS_OK;

	return status ? status : swept;
}

/* "ok", or what is wrong; a NULL: of the network itself. */
static void note_state(const struct eaching *w, const struct conflist *l,
		       const struct attachment *a, const struct err *why)
{
	AUTO_SBUF line;
	struct jv *v = a ? jv_pack("{s:s, s:s, s:s}", "name", l->name.s, "id", a->container.s,
				   "interface", a->ifname.s)
			 : jv_pack("{s:s}", "name", l->name.s);

	sbuf_init(&line, SBUF_MAX);
	sbuf_addf(&line, "%s", l->name.s);
	if (a)
		sbuf_addf(&line, " %s %s", a->container.s, a->ifname.s);
	sbuf_addf(&line, ": %s", why ? why->msg : "ok");
	network_cli_note(w->cli, w->list, &v, line.p, why);
}

static enum err_kind attachments_each(const struct eaching *w, struct cni *cni,
				      const struct conflist *l,
				      enum err_kind (*fn)(struct cni *cni, const struct conflist *l,
							  const struct attachment *a,
							  struct err *e),
				      struct err *e)
{
	AUTO_ATTACHMENTS found = { 0 };
	enum err_kind first = attachments_find(&w->cli->cni, &l->name, NULL, &found, e);

	for (size_t i = 0; i < found.n; i++) {
		const struct attachment a = { .container = found.p[i].container,
					      .ifname = found.p[i].ifname };
		struct err mine;
		enum err_kind k = fn(cni, l, &a, &mine);

		note_state(w, l, &a, k == ERR_OK ? NULL : &mine);
		if (k == ERR_OK || first != ERR_OK)
			continue;
		first = k;
		*e = mine;
	}
	return first;
}

/* What the list says not to check, or cannot be, is as good as checked. */
static enum err_kind check_attachment(struct cni *cni, const struct conflist *l,
				      const struct attachment *a, struct err *e)
{
	enum err_kind k = cni_check(cni, l, a, e);

	return k == ERR_UNSUPPORTED ? ERR_OK : k;
}

static enum err_kind check_one(const struct eaching *w, struct cni *cni, const struct conflist *l,
			       struct err *e)
{
	enum err_kind k = cni_status(cni, l, e);

	note_state(w, l, NULL, k == ERR_OK ? NULL : e);
	return k == ERR_OK ? attachments_each(w, cni, l, check_attachment, e) : k;
}

int network_cli_check(const struct network_cli *c, int argc, char **argv)
{
	return on_each(c, argc, argv, check_one);
}

static enum err_kind reload_attachment(struct cni *cni, const struct conflist *l,
				       const struct attachment *a, struct err *e)
{
	AUTO_RESULT result;

	return network_reload(cni, l, a, &result, e);
}

static enum err_kind reload_one(const struct eaching *w, struct cni *cni, const struct conflist *l,
				struct err *e)
{
	return attachments_each(w, cni, l, reload_attachment, e);
}

int network_cli_reload(const struct network_cli *c, int argc, char **argv)
{
	return on_each(c, argc, argv, reload_one);
}
