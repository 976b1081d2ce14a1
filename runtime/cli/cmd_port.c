/* port: where a container's ports are reached. */
#include "runtime/cli/ctl.h"
#include "runtime/cli/network_view.h"

struct wanted {
	uint64_t number;
	struct str protocol;
};

struct output {
	struct sbuf text;
	struct jv *list; /* NULL: as text */
};

static bool parse_wanted(struct str in, struct wanted *ret)
{
	struct str number;

	if (!str_cut(in, '/', &number, &ret->protocol))
		ret->protocol = STR("tcp");
	return scan_u64(&number, UINT16_MAX, &ret->number) && scan_end(&number);
}

/* wanted NULL: all, each with its own number in front. */
static bool print_port(const struct jv *port, const struct wanted *wanted, struct output *out)
{
	struct str protocol = STR("tcp");
	uint64_t inner = 0;

	(void)jv_text(jv_member(port, "protocol"), &protocol);
	(void)jv_uint(jv_member(port, "containerPort"), &inner);
	if (wanted && (wanted->number != inner || !str_eq(wanted->protocol, protocol)))
		return false;
	if (out->list)
		return jv_append(out->list, jv_share(port));
	if (!wanted)
		sbuf_addf(&out->text, "%llu/%.*s -> ", (unsigned long long)inner,
			  STR_FMT(protocol));
	network_view_outer(port, &out->text);
	sbuf_addf(&out->text, "\n");
	return true;
}

static bool print_ports(const struct jv *networks, const struct wanted *wanted, struct output *out)
{
	bool any = wanted == NULL;

	for (size_t i = 0; i < jv_count(networks); i++) {
		const struct jv *ports = jv_member(jv_at(networks, i), "ports");

		for (size_t j = 0; j < jv_count(ports); j++)
			any |= print_port(jv_at(ports, j), wanted, out);
	}
	return any;
}

static enum err_kind find_ports(struct cli *c, const struct wanted *wanted, struct output *out,
				struct err *e)
{
	AUTO_CTL t = CTL_INIT;
	AUTO_CONTAINER found = CONTAINER_INIT;
	AUTO_NETWORK_VIEW view = { .all = { 0 } };
	AUTO_JV *networks = NULL;
	enum err_kind k = ctl_open(c, &t, e);

	if (k == ERR_OK)
		k = container_find(&t.cs, c->args[0], &found, e);
	if (k == ERR_OK)
		k = network_view_open(&view, e);
	if (k != ERR_OK)
		return k;
	networks = network_view_of(&view, found.record.id);
	if (!networks)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for ports");
	if (!print_ports(networks, wanted, out))
		return err_set(e, ERR_NOT_FOUND, __func__, "container %s does not publish port %s",
			       found.record.name, c->args[1]);
	return ERR_OK;
}

static void output_clear(struct output *out)
{
	sbuf_clear(&out->text);
	jv_free(&out->list);
}

static int run(struct cli *c)
{
	struct wanted wanted;
	CLEANUP(output_clear) struct output out = { .list = c->json ? jv_new_array() : NULL };
	struct err e;

	sbuf_init(&out.text, SBUF_MAX);
	if (c->args_n == 2 && !parse_wanted(str_of(c->args[1]), &wanted))
		return cli_usage(c, "port: \"%.40s\" is not PORT[/PROTOCOL]", c->args[1]);
	if (find_ports(c, c->args_n == 2 ? &wanted : NULL, &out, &e) != ERR_OK)
		return cli_fail(&e);
	return c->json ? cli_print_json(&out.list) : cli_print(&out.text);
}

static const struct opt no_opts[] = { OPTS_END };

const struct command cmd_port = {
	.name = "port",
	.run = run,
	.opts = no_opts,
	.args_min = 1,
	.args_max = 2,
	.usage = "CONTAINER [PORT[/PROTOCOL]]",
	.doc = "print where the ports of a container are published",
};
