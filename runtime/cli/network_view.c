#include "runtime/cli/network_view.h"

#include "runtime/net/user_mode.h"

enum err_kind network_view_open(struct network_view *ret, struct err *e)
{
	*ret = (struct network_view){ .all = { 0 } };
	network_place_init(&ret->place, "berth");
	return attachments_find(&ret->place.cli.cni, NULL, NULL, &ret->all, e);
}

void network_view_close(struct network_view *v)
{
	attachments_clear(&v->all);
}

/* pasta, which no cache knows. */
static struct jv *user_mode_value(const struct network_view *v, const char *id)
{
	AUTO_JV *ports = NULL;
	struct container_id container;
	struct err ignored;

	if (container_id_parse(str_of(id), &container, &ignored) != ERR_OK ||
	    !user_mode_ports(&v->place.cli.cni, &container, &ports))
		return NULL;
	return jv_pack("{s:s,s:s,s:s,s:[],s:o}", "network", "pasta", "interface",
		       USER_MODE_INTERFACE, "state", "attached", "ips", "ports", TAKE(ports));
}

struct jv *network_view_of(const struct network_view *v, const char *id)
{
	AUTO_JV *list = jv_new_array();
	AUTO_JV *user_mode = user_mode_value(v, id);

	for (size_t i = 0; i < v->all.n; i++) {
		const struct cache_entry *c = &v->all.p[i];

		if (strcmp(c->container.s, id) == 0 &&
		    !jv_append(list, network_cli_attachment(&v->place.cli.cni, c)))
			return NULL;
	}
	if (user_mode && !jv_append(list, TAKE(user_mode)))
		return NULL;
	return TAKE(list);
}

void network_view_outer(const struct jv *port, struct sbuf *out)
{
	struct str ip = STR("0.0.0.0");
	uint64_t number = 0;
	bool six;

	(void)jv_text(jv_member(port, "hostIP"), &ip);
	(void)jv_uint(jv_member(port, "hostPort"), &number);
	six = memchr(ip.p, ':', ip.n) != NULL;
	sbuf_addf(out, "%s%.*s%s:%llu", six ? "[" : "", STR_FMT(ip), six ? "]" : "",
		  (unsigned long long)number);
}

void network_view_ports(const struct jv *list, struct sbuf *out)
{
	const char *between = "";

	for (size_t i = 0; i < jv_count(list); i++) {
		const struct jv *ports = jv_member(jv_at(list, i), "ports");

		for (size_t j = 0; j < jv_count(ports); j++) {
			const struct jv *port = jv_at(ports, j);
			struct str protocol = STR("tcp");
			uint64_t inner = 0;

			(void)jv_text(jv_member(port, "protocol"), &protocol);
			(void)jv_uint(jv_member(port, "containerPort"), &inner);
			sbuf_addf(out, "%s", between);
			network_view_outer(port, out);
			sbuf_addf(out, "->%llu/%.*s", (unsigned long long)inner, STR_FMT(protocol));
			between = ", ";
		}
	}
}
