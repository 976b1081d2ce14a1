#include <getopt.h>
#include <limits.h>
#include <unistd.h>

#include "base/hash.h"
#include "runtime/cli/network/impl.h"
#include "runtime/net/names.h"
#include "runtime/net/network.h"
#include "runtime/net/wants.h"

#define CAPABILITIES_DEPTH 32
#define ID_BYTES 10
#define HEAD_MAX 65536

/* What a command is about, from its arguments, its options and the variables that cnitool reads. */
struct subject {
	struct conflist list;
	struct attachment attachment;
	struct jv *args, *capabilities;
	char netns[PATH_MAX];
};

static void subject_clear(struct subject *s)
{
	conflist_clear(&s->list);
	jv_free(&s->args);
	jv_free(&s->capabilities);
}
#define AUTO_SUBJECT CLEANUP(subject_clear) struct subject

static const char *from_env(const char *name)
{
	const char *v = getenv(name); /* one thread */

	return v ? v : "";
}

/* As cnitool names a container that it knows by its namespace only, so that each can undo what the other did. */
static enum err_kind id_of_netns(const char *netns, struct container_id *ret, struct err *e)
{
	char text[sizeof("cnitool-") + 2 * ID_BYTES] = "cnitool-";
	struct digest d;
	enum err_kind k = hash_bytes(DIGEST_SHA512, netns, strlen(netns), &d, e);

	if (k != ERR_OK)
		return k;
	hex_lower(d.bytes, ID_BYTES, text + strlen(text));
	return container_id_parse((struct str){ text, sizeof(text) - 1 }, ret, e);
}

static enum err_kind read_variables(struct subject *s, struct err *e)
{
	const char *capabilities = from_env("CAP_ARGS");
	enum err_kind k = net_args_parse(str_of(from_env("CNI_ARGS")), &s->args, e);

	if (k == ERR_OK && *capabilities)
		k = jv_parse_object(str_of(capabilities), CAPABILITIES_DEPTH, &s->capabilities, e);
	s->attachment.args = s->args;
	s->attachment.capabilities = s->capabilities;
	return k;
}

/* The path as others would write it; that of a namespace which is gone as well. */
static enum err_kind read_netns(const char *path, struct subject *s, struct err *e)
{
	char here[PATH_MAX];
	int n;

	if (path[0] == '/' || !getcwd(here, sizeof(here)))
		n = snprintf(s->netns, sizeof(s->netns), "%s", path);
	else
		n = snprintf(s->netns, sizeof(s->netns), "%s/%s", here, path);
	if (n >= (int)sizeof(s->netns))
		return err_set(e, ERR_INVALID, __func__, "the path of the namespace is too long");
	s->attachment.netns = s->netns;
	return ERR_OK;
}

struct cni_flags {
	const char *ifname, *id;
};

static bool read_flags(int argc, char **argv, struct cni_flags *ret)
{
	static const struct option options[] = { { "ifname", required_argument, NULL, 'i' },
						 { "id", required_argument, NULL, 'c' },
						 { 0 } };
	int c;

	*ret = (struct cni_flags){ from_env("CNI_IFNAME"), "" };
	optind = 0;
	while ((c = getopt_long(argc, argv, "+i:c:", options, NULL)) != -1) {
		if (c == 'i')
			ret->ifname = optarg;
		else if (c == 'c')
			ret->id = optarg;
		else
			return false;
	}
	if (!*ret->ifname)
		ret->ifname = "eth0";
	return true;
}

static enum err_kind read_attachment(const struct cni_flags *flags, const char *netns,
				     struct subject *s, struct err *e)
{
	enum err_kind k = read_netns(netns, s, e);

	if (k == ERR_OK)
		k = if_name_parse(str_of(flags->ifname), &s->attachment.ifname, e);
	if (k == ERR_OK && *flags->id)
		k = container_id_parse(str_of(flags->id), &s->attachment.container, e);
	else if (k == ERR_OK)
		k = id_of_netns(s->netns, &s->attachment.container, e);
	return k == ERR_OK ? read_variables(s, e) : k;
}

typedef enum err_kind attachment_fn(const struct network_cli *c, struct cni *cni,
				    const struct subject *s, struct err *e);

static int on_attachment(const struct network_cli *c, int argc, char **argv, attachment_fn *fn)
{
	AUTO_SUBJECT s = { .netns = "" };
	AUTO_CNI cni;
	struct cni_flags flags;
	struct err e;
	enum err_kind k;

	cni_init(&cni, &c->cni);
	if (!read_flags(argc, argv, &flags) || argc - optind != 2)
		return STATUS_USAGE;
	k = read_attachment(&flags, argv[optind + 1], &s, &e);
	if (k == ERR_OK)
		k = network_cli_open(c, &cni, argv[optind], &s.list, &e);
	if (k == ERR_OK)
		k = fn(c, &cni, &s, &e);
	return k == ERR_OK ? STATUS_OK : network_cli_fail(c, &cni, &e);
}

static enum err_kind add(const struct network_cli *c, struct cni *cni, const struct subject *s,
			 struct err *e)
{
	AUTO_RESULT result;
	AUTO_JV *v = NULL;
	enum err_kind k;

	k = network_add(cni, &s->list, &s->attachment, &result, e);
	if (k != ERR_OK)
		return k;
	network_cli_names(c, &s->list.name, NULL);
	v = result_write(&result);
	(void)network_cli_print(v);
	return ERR_OK;
}

static int run_add(const struct network_cli *c, int argc, char **argv)
{
	return on_attachment(c, argc, argv, add);
}

static enum err_kind del(const struct network_cli *c, struct cni *cni, const struct subject *s,
			 struct err *e)
{
	enum err_kind k = cni_del(cni, &s->list.name, &s->list, &s->attachment, e);

	if (k == ERR_OK)
		network_cli_names(c, &s->list.name, &s->attachment.container);
	return k;
}

static int run_del(const struct network_cli *c, int argc, char **argv)
{
	return on_attachment(c, argc, argv, del);
}

static enum err_kind check(const struct network_cli *c, struct cni *cni, const struct subject *s,
			   struct err *e)
{
	(void)c;
	return cni_check(cni, &s->list, &s->attachment, e);
}

static int run_check(const struct network_cli *c, int argc, char **argv)
{
	return on_attachment(c, argc, argv, check);
}

typedef enum err_kind list_fn(const struct network_cli *c, struct cni *cni, const struct subject *s,
			      struct err *e);

static int on_list(const struct network_cli *c, int argc, char **argv, list_fn *fn)
{
	AUTO_SUBJECT s = { .netns = "" };
	AUTO_CNI cni;
	struct err e;
	enum err_kind k;

	cni_init(&cni, &c->cni);
	if (argc < 2)
		return STATUS_USAGE;
	k = network_cli_open(c, &cni, argv[1], &s.list, &e);
	if (k == ERR_OK)
		k = fn(c, &cni, &s, &e);
	return k == ERR_OK ? STATUS_OK : network_cli_fail(c, &cni, &e);
}

/* Like cnitool, which says of no attachment that it is valid. */
static bool never(void *arg, const struct cache_entry *entry)
{
	(void)arg, (void)entry;
	return false;
}

static enum err_kind gc(const struct network_cli *c, struct cni *cni, const struct subject *s,
			struct err *e)
{
	struct cni_gc_report report;
	enum err_kind k = cni_gc(cni, &s->list, never, NULL, &report, e);

	network_cli_names(c, &s->list.name, NULL);
	return k;
}

static int run_gc(const struct network_cli *c, int argc, char **argv)
{
	return on_list(c, argc, argv, gc);
}

static enum err_kind status(const struct network_cli *c, struct cni *cni, const struct subject *s,
			    struct err *e)
{
	(void)c;
	return cni_status(cni, &s->list, e);
}

static int run_status(const struct network_cli *c, int argc, char **argv)
{
	return on_list(c, argc, argv, status);
}

static int run_versions(const struct network_cli *c, int argc, char **argv)
{
	AUTO_JV *list = jv_new_array();
	struct cni_versions found;
	AUTO_CNI cni;
	struct err e;

	cni_init(&cni, &c->cni);
	if (argc != 2)
		return STATUS_USAGE;
	if (cni_versions(&cni, str_of(argv[1]), &found, &e) != ERR_OK)
		return network_cli_fail(c, &cni, &e);
	for (unsigned v = 0; v < CNI_VERSION_N; v++) {
		if (found.has[v] &&
		    !jv_append(list, jv_pack("s", cni_version_text((enum cni_version)v))))
			return STATUS_FAILED;
	}
	return network_cli_print(list);
}

/* ---- hosts ---- */

enum { OPT_HOSTNAME = 256, OPT_ADD_HOST };

static enum err_kind add_extra(struct sbuf *head, struct err *e)
{
	const struct ip_net no_gateway = { 0 };
	AUTO_FREE char *name = NULL;
	struct str view;
	struct ip_net ip;
	enum err_kind k = hosts_parse_extra(str_of(optarg), &no_gateway, &view, &ip, e);

	if (k != ERR_OK)
		return k;
	name = strndup(view.p, view.n);
	if (!name)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a name");
	hosts_add(head, &ip, (const char *const *)&name, 1);
	return ERR_OK;
}

static enum err_kind read_hosts_option(int option, struct sbuf *head, struct err *e)
{
	const struct ip_net self = { .len = 4, .bytes = { 127, 0, 1, 1 } };
	const char *name = optarg;

	if (option == OPT_ADD_HOST)
		return add_extra(head, e);
	if (!is_host_name(str_of(optarg)))
		return err_set(e, ERR_INVALID, __func__, "\"%.80s\" is no name of a host", optarg);
	hosts_add(head, &self, &name, 1);
	return ERR_OK;
}

static int run_hosts(const struct network_cli *c, int argc, char **argv)
{
	static const struct option options[] = {
		{ "hostname", required_argument, NULL, OPT_HOSTNAME },
		{ "add-host", required_argument, NULL, OPT_ADD_HOST },
		{ 0 },
	};
	struct container_id container;
	char path[NAMES_PATH_MAX];
	enum err_kind k = ERR_OK;
	AUTO_SBUF head;
	struct err e;
	int option;

	sbuf_init(&head, HEAD_MAX);
	hosts_add_localhost(&head);
	optind = 0;
	while (k == ERR_OK && (option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if (option == '?')
			return STATUS_USAGE;
		k = read_hosts_option(option, &head, &e);
	}
	if (k == ERR_OK && argc - optind != 1)
		return STATUS_USAGE;
	if (k == ERR_OK)
		k = container_id_parse(str_of(argv[optind]), &container, &e);
	if (k == ERR_OK)
		k = names_create(&c->cni, &container, NULL, (struct str){ head.p, head.n }, path,
				 &e);
	if (k != ERR_OK)
		return network_cli_fail(c, NULL, &e);
	(void)printf("%s\n", path);
	return STATUS_OK;
}

static const struct network_verb verbs[] = {
	{ "add", run_add, "[-i IFNAME] [--id ID] NETWORK NETNS",
	  "attach a namespace; prints the result" },
	{ "del", run_del, "[-i IFNAME] [--id ID] NETWORK NETNS", "detach it" },
	{ "check", run_check, "[-i IFNAME] [--id ID] NETWORK NETNS",
	  "see whether it is still attached well" },
	{ "gc", run_gc, "NETWORK", "detach everything that is attached to a network" },
	{ "status", run_status, "NETWORK", "see whether a network can take containers" },
	{ "hosts", run_hosts, "[--hostname NAME] [--add-host NAME:IP]... CONTAINER",
	  "make the file by which a container knows the others; prints its path" },
	{ "versions", run_versions, "PLUGIN", "the versions of CNI that a plugin speaks" },
};

bool network_cli_has_cni(const char *name)
{
	return network_cli_find(verbs, ARRAY_LEN(verbs), name) != NULL;
}

void network_cli_help_cni(const char *program)
{
	network_cli_list(verbs, ARRAY_LEN(verbs), program, "");
}

int network_cli_cni(const struct network_cli *c, int argc, char **argv)
{
	const struct network_verb *v = network_cli_find(verbs, ARRAY_LEN(verbs), argv[0]);
	int status = v ? v->run(c, argc, argv) : STATUS_USAGE;

	return status == STATUS_USAGE && v ? network_cli_usage(c, "", v) : status;
}
