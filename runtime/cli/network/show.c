#include <getopt.h>

#include "runtime/cli/network/impl.h"
#include "runtime/net/attachments.h"
#include "runtime/net/network.h"
#include "runtime/net/subnet.h"

/* Of networks that berth made it is known; of others the first plugin says it. */
static struct str driver_of(const struct conflist *l)
{
	struct str driver = network_extra(l, "driver");

	return driver.n ? driver : plugin_type(conflist_plugin(l, 0));
}

static struct jv *types_of(const struct conflist *l)
{
	AUTO_JV *array = jv_new_array();

	for (size_t i = 0; i < conflist_count(l); i++) {
		struct str type = plugin_type(conflist_plugin(l, i));

		if (!jv_append(array, jv_pack("s%", type.p, type.n)))
			return NULL;
	}
	return TAKE(array);
}

static struct jv *subnets_of(const struct conflist *l)
{
	AUTO_JV *array = jv_new_array();
	AUTO_SUBNETS found = { 0 };
	char text[IP_TEXT_MAX];
	struct err ignored;

	if (subnets_of_list(l, &found, &ignored) != ERR_OK)
		return NULL;
	for (size_t i = 0; i < found.n; i++) {
		const char *network = ip_net_text(&found.p[i], text);

		if (!jv_append(array, jv_pack("s", network)))
			return NULL;
	}
	return TAKE(array);
}

/* The state of an attachment in one word. */
static const char *state_of(const struct cni_options *o, const struct cache_entry *c)
{
	if (c->incomplete)
		return "incomplete";
	return attachment_is_alive(o, c) ? "attached" : "gone";
}

static bool set_addresses(struct jv *o, const struct cache_entry *c)
{
	AUTO_JV *ips = jv_new_array();
	AUTO_RESULT r;
	char text[IP_TEXT_MAX];
	struct err ignored;

	result_init(&r);
	if (c->result && result_read(c->result, CNI_VERSION_NEWEST, &r, &ignored) != ERR_OK)
		return true; /* what cannot be read is not shown */
	for (size_t i = 0; i < r.n_ips; i++) {
		const char *address = ip_net_text(&r.ips[i].address, text);

		if (!jv_append(ips, jv_pack("s", address)))
			return false;
	}
	for (size_t i = 0; i < r.n_interfaces; i++) {
		const struct result_interface *f = &r.interfaces[i];

		if (*f->sandbox && strcmp(f->name, c->ifname.s) == 0 && *f->mac &&
		    !jv_set(o, "mac", jv_pack("s", f->mac)))
			return false;
	}
	return jv_set(o, "ips", TAKE(ips));
}

struct jv *network_cli_attachment(const struct cni_options *options, const struct cache_entry *c)
{
	const struct jv *ports = jv_member(c->capabilities, "portMappings");
	AUTO_JV *o = jv_pack("{s:s,s:s,s:s,s:s,s:s,s:o}", "network", c->network.s, "container",
			     c->container.s, "interface", c->ifname.s, "netns",
			     c->netns ? c->netns : "", "state", state_of(options, c), "ports",
			     jv_is_array(ports) ? jv_share(ports) : jv_new_array());

	return set_addresses(o, c) ? TAKE(o) : NULL;
}

static struct jv *attachments_value(const struct network_cli *c, const struct conflist *l)
{
	AUTO_JV *array = jv_new_array();
	AUTO_ATTACHMENTS found = { 0 };
	struct err ignored;

	if (attachments_find(&c->cni, &l->name, NULL, &found, &ignored) != ERR_OK)
		return NULL;
	for (size_t i = 0; i < found.n; i++) {
		if (!jv_append(array, network_cli_attachment(&c->cni, &found.p[i])))
			return NULL;
	}
	return TAKE(array);
}

static struct jv *network_value(const struct network_cli *c, const struct conflist *l)
{
	struct str driver = driver_of(l), bridge = network_extra(l, "bridge");
	AUTO_JV *o = jv_pack("{s:s,s:s%,s:s,s:s,s:b,s:o,s:o,s:o}", "name", l->name.s, "driver",
			     driver.p, driver.n, "file", l->file, "cniVersion", l->version_text,
			     "ours", network_is_ours(l), "subnets", subnets_of(l), "plugins",
			     types_of(l), "attachments", attachments_value(c, l));
	const struct jv *labels = jv_member(l->extra, "labels");

	if (bridge.n && !jv_set(o, "bridge", jv_pack("s%", bridge.p, bridge.n)))
		return NULL;
	if (jv_is_object(labels) && !jv_set(o, "labels", jv_share(labels)))
		return NULL;
	return TAKE(o);
}

int network_cli_inspect(const struct network_cli *c, int argc, char **argv)
{
	AUTO_JV *array = jv_new_array();
	int status = STATUS_OK;

	if (argc < 2)
		return STATUS_USAGE;
	for (int i = 1; i < argc; i++) {
		AUTO_CONFLIST l = { 0 };
		struct net_name name;
		struct err e;
		enum err_kind k = net_name_parse(str_of(argv[i]), &name, &e);

		if (k == ERR_OK)
			k = conflist_find(c->conf_dir, &name, &l, &e);
		if (k == ERR_OK && !jv_append(array, network_value(c, &l)))
			k = err_set(&e, ERR_NO_MEMORY, __func__, "no memory for a network");
		if (k != ERR_OK)
			status = network_cli_fail(c, NULL, &e);
	}
	return network_cli_print(array) == STATUS_OK ? status : STATUS_FAILED;
}

struct listing {
	const struct network_cli *cli;
	struct jv *values;
	bool quiet;
	int status;
};

static enum err_kind list_one(void *arg, const char *file, struct conflist *l,
			      const struct err *wrong, struct err *e)
{
	struct listing *w = arg;

	if (wrong) {
		(void)fprintf(stderr, "%s: %s is no network: %s\n", w->cli->program, file,
			      wrong->msg);
		w->status = STATUS_FAILED;
		return ERR_OK;
	}
	return jv_append(w->values, network_value(w->cli, l))
		   ? ERR_OK
		   : err_set(e, ERR_NO_MEMORY, __func__, "no memory for networks");
}

static void print_row(const struct jv *v, bool quiet)
{
	const struct jv *subnets = jv_member(v, "subnets");
	struct str name = { "", 0 }, driver = { "", 0 }, version = { "", 0 }, subnet;

	(void)jv_text(jv_member(v, "name"), &name);
	(void)jv_text(jv_member(v, "driver"), &driver);
	(void)jv_text(jv_member(v, "cniVersion"), &version);
	if (quiet) {
		(void)printf("%s\n", name.p);
		return;
	}
	(void)printf("%-24s %-12s %-8s %8zu  ", name.p, driver.p, version.p,
		     jv_count(jv_member(v, "attachments")));
	for (size_t i = 0; i < jv_count(subnets); i++) {
		if (jv_text(jv_at(subnets, i), &subnet))
			(void)printf("%s%s", i ? "," : "", subnet.p);
	}
	(void)printf("\n");
}

int network_cli_ls(const struct network_cli *c, int argc, char **argv)
{
	AUTO_JV *values = jv_new_array();
	struct listing w = { .cli = c, .values = values };
	struct err e;
	int option;

	optind = 0;
	while ((option = getopt(argc, argv, "+q")) != -1) {
		if (option != 'q')
			return STATUS_USAGE;
		w.quiet = true;
	}
	if (optind != argc)
		return STATUS_USAGE;
	if (conflist_each(c->conf_dir, list_one, &w, &e) != ERR_OK)
		return network_cli_fail(c, NULL, &e);
	if (c->json)
		return network_cli_print(values) == STATUS_OK ? w.status : STATUS_FAILED;
	if (!w.quiet)
		(void)printf("%-24s %-12s %-8s %8s  %s\n", "NAME", "DRIVER", "VERSION", "ATTACHED",
			     "SUBNETS");
	for (size_t i = 0; i < jv_count(values); i++)
		print_row(jv_at(values, i), w.quiet);
	return w.status;
}
