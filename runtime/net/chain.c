#include "runtime/net/cni_impl.h"

#define ARGS_BYTES_MAX (32u * 1024)
#define REQUEST_BYTES_MAX (8u * 1024 * 1024)

enum err_kind chain_init(struct chain *ch, struct cni *c, const struct conflist *l,
			 const char *command, const struct attachment *a, struct err *e)
{
	*ch = (struct chain){ .cni = c, .list = l, .command = command, .lock_fd = -1 };
	ch->container = a ? a->container.s : "";
	ch->ifname = a ? a->ifname.s : "";
	ch->netns = a && a->netns ? a->netns : "";
	sbuf_init(&ch->args, ARGS_BYTES_MAX);
	sbuf_add(&ch->args, "", 0);
	if (a) {
		net_args_text(a->args, &ch->args);
		ch->parts.capabilities = a->capabilities;
	}
	return ch->args.failed
		   ? err_set(e, ERR_TOO_LARGE, __func__, "the arguments for plugins are too long")
		   : ERR_OK;
}

void chain_clear(struct chain *ch)
{
	sbuf_clear(&ch->args);
}

static enum err_kind find(const struct chain *ch, size_t i, char path[static EXEC_PATH_MAX],
			  struct err *e)
{
	const struct cni_options *o = ch->cni->options;

	return exec_find(plugin_type(conflist_plugin(ch->list, i)), o->plugin_dirs,
			 o->n_plugin_dirs, path, e);
}

enum err_kind chain_find_all(struct chain *ch, struct err *e)
{
	char path[EXEC_PATH_MAX];
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < conflist_count(ch->list); i++)
		k = find(ch, i, path, e);
	return k;
}

static void tell_log(const struct chain *ch, struct str type, const struct exec_output *o)
{
	const struct cni_options *options = ch->cni->options;
	char name[PLUGIN_TYPE_MAX];

	if (!options->log || o->log.n == 0)
		return;
	(void)snprintf(name, sizeof(name), "%.*s", STR_FMT(type));
	options->log(options->log_arg, name, (struct str){ o->log.p, o->log.n });
}

static enum err_kind write_request(const struct chain *ch, size_t i, struct sbuf *out,
				   struct err *e)
{
	AUTO_JV *rq = request_build(ch->list, conflist_plugin(ch->list, i), &ch->parts);

	jv_dump(rq, out);
	return out->failed ? err_set(e, ERR_NO_MEMORY, __func__, "no memory for a plugin's input")
			   : ERR_OK;
}

enum err_kind chain_run(struct chain *ch, size_t i, struct exec_output *ret, struct err *e)
{
	struct str type = plugin_type(conflist_plugin(ch->list, i));
	char path[EXEC_PATH_MAX];
	AUTO_SBUF request;
	enum err_kind k;

	sbuf_init(&request, REQUEST_BYTES_MAX);
	k = find(ch, i, path, e);
	if (k == ERR_OK)
		k = write_request(ch, i, &request, e);
	if (k == ERR_OK) {
		const struct plugin_call call = {
			.command = ch->command,
			.type = type,
			.path = path,
			.container = ch->container,
			.netns = ch->netns,
			.ifname = ch->ifname,
			.args = ch->args.p ? ch->args.p : "",
			.search_path = ch->cni->search_path.p ? ch->cni->search_path.p : "",
			.input = { request.p, request.n },
			.timeout_ms = cni_timeout(ch->cni),
			.keep_fd = ch->lock_fd,
		};

		k = plugin_run(&call, ret, &ch->cni->failure, e);
		tell_log(ch, type, ret);
	}
	return k == ERR_OK ? k : err_wrap(e, "network %s", ch->list->name.s);
}

enum err_kind chain_tell(struct chain *ch, size_t i, struct err *e)
{
	AUTO_EXEC_OUTPUT o;

	exec_output_init(&o);
	return chain_run(ch, i, &o, e);
}

enum err_kind cni_cached_result(const struct cache_entry *c, enum cni_version version,
				struct result *ret, struct jv **ret_prev, struct err *e)
{
	enum err_kind k;

	*ret_prev = NULL;
	result_init(ret);
	if (!c->result)
		return ERR_OK;
	k = result_read(c->result, version, ret, e);
	if (k == ERR_OK)
		k = result_convert(ret, version, e);
	if (k != ERR_OK)
		return err_wrap(e, "cached result of network %s", c->network.s);
	/* Versions before 0.4.0 give plugins no former result but to ADD. */
	if (version < CNI_0_4_0)
		return ERR_OK;
	*ret_prev = result_write(ret);
	return *ret_prev ? ERR_OK : err_set(e, ERR_NO_MEMORY, __func__, "no memory for a result");
}
