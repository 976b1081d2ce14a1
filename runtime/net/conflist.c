#include "runtime/net/conflist_impl.h"

#include "runtime/net/result.h"

#define DNS_BYTES_MAX (64u * 1024)

void conflist_clear(struct conflist *l)
{
	jv_free(&l->plugins);
	jv_free(&l->extra);
	sbuf_clear(&l->bytes);
	free(l->file);
	*l = (struct conflist){ 0 };
}

size_t conflist_count(const struct conflist *l)
{
	return jv_count(l->plugins);
}

const struct jv *conflist_plugin(const struct conflist *l, size_t i)
{
	return jv_at(l->plugins, i);
}

struct str plugin_type(const struct jv *plugin)
{
	struct str s = { "", 0 };

	(void)jv_text(jv_member(plugin, "type"), &s); /* checked by C1 */
	return s;
}

bool plugin_has_capability(const struct jv *plugin, const char *name)
{
	bool on = false;

	return jv_bool(jv_member(jv_member(plugin, "capabilities"), name), &on) && on;
}

bool conflist_has_capability(const struct conflist *l, const char *name)
{
	for (size_t i = 0; i < conflist_count(l); i++) {
		if (plugin_has_capability(conflist_plugin(l, i), name))
			return true;
	}
	return false;
}

static enum err_kind check_capabilities(const struct jv *plugin, struct err *e)
{
	const struct jv *capabilities = jv_member(plugin, "capabilities"), *value;
	const char *key;
	void *iter = NULL;
	bool on;

	if (jv_is_null(capabilities))
		return ERR_OK;
	if (!jv_is_object(capabilities))
		return err_set(e, ERR_INVALID, __func__, "\"capabilities\" is not an object");
	while (jv_next(capabilities, &iter, &key, &value)) {
		if (!jv_bool(value, &on))
			return err_set(e, ERR_INVALID, __func__,
				       "capability \"%.60s\" is neither true nor false", key);
	}
	return ERR_OK;
}

/* What the plugin runs for addresses is chosen by the configuration as well. */
static enum err_kind check_ipam(const struct jv *plugin, struct err *e)
{
	const struct jv *ipam = jv_member(plugin, "ipam"), *type = jv_member(ipam, "type");
	struct str s = { "", 0 };

	if (jv_is_null(ipam))
		return ERR_OK;
	if (!jv_is_object(ipam) || (!jv_is_null(type) && !jv_text(type, &s)))
		return err_set(e, ERR_INVALID, __func__,
			       "\"ipam\" is not an object with a type that is a text");
	return s.n ? plugin_type_check(s, e) : ERR_OK;
}

static enum err_kind check_dns(const struct jv *plugin, struct err *e)
{
	AUTO_ARENA a;
	struct result_dns dns;

	arena_init(&a, DNS_BYTES_MAX);
	return result_dns_read(jv_member(plugin, "dns"), &a, &dns, e);
}

static enum err_kind check_plugin(const struct jv *plugin, struct err *e)
{
	struct str type;
	enum err_kind k;

	if (!jv_is_object(plugin))
		return err_set(e, ERR_INVALID, __func__, "not an object");
	if (!jv_text(jv_member(plugin, "type"), &type))
		return err_set(e, ERR_INVALID, __func__, "it has no \"type\"");
	k = plugin_type_check(type, e);
	if (k == ERR_OK)
		k = check_capabilities(plugin, e);
	if (k == ERR_OK)
		k = check_ipam(plugin, e);
	return k == ERR_OK ? check_dns(plugin, e) : k;
}

enum err_kind conflist_append(struct conflist *l, const struct jv *plugin, struct err *e)
{
	enum err_kind k = check_plugin(plugin, e);

	if (k != ERR_OK)
		return err_wrap(e, "plugin %zu of network %s", conflist_count(l) + 1, l->name.s);
	if (conflist_count(l) == CONFLIST_PLUGINS_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "network %s has more than %d plugins",
			       l->name.s, CONFLIST_PLUGINS_MAX);
	if (!jv_append(l->plugins, jv_share(plugin)))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for network %s", l->name.s);
	return ERR_OK;
}

/* true, false, or the same as a text. */
static enum err_kind read_bool(const struct jv *list, const char *key, bool *ret, struct err *e)
{
	const struct jv *v = jv_member(list, key);
	struct str s;

	*ret = false;
	if (!v || jv_bool(v, ret))
		return ERR_OK;
	if (jv_text(v, &s) && str_eq_nocase(s, STR("true"))) {
		*ret = true;
		return ERR_OK;
	}
	if (jv_text(v, &s) && str_eq_nocase(s, STR("false")))
		return ERR_OK;
	return err_set(e, ERR_INVALID, __func__, "\"%s\" is neither true nor false", key);
}

/* The higher one of *best and in, but none that is newer than what is spoken here. */
static enum err_kind offer_version(struct str in, bool *any, struct str *best, struct err *e)
{
	struct cni_number candidate, limit, current;
	bool known = cni_number_parse(str_of(cni_version_text(CNI_VERSION_NEWEST)), &limit);

	if (!known || !cni_number_parse(in, &candidate))
		return err_set(e, ERR_INVALID, __func__, "\"%.*s\" is no version",
			       (int)MIN(in.n, (size_t)40), in.p);
	if (cni_number_cmp(&candidate, &limit) > 0)
		return ERR_OK;
	if (*any && cni_number_parse(*best, &current) && cni_number_cmp(&candidate, &current) <= 0)
		return ERR_OK;
	*any = true;
	*best = in;
	return ERR_OK;
}

/* The highest of cniVersion and cniVersions (spec section 1, "Version considerations"). */
static enum err_kind choose_version(const struct jv *list, struct str *ret, struct err *e)
{
	const struct jv *one = jv_member(list, "cniVersion"),
			*many = jv_member(list, "cniVersions");
	struct str single = { "", 0 }, best = { "", 0 }, s;
	bool any = false;
	enum err_kind k = ERR_OK;

	if (one && !jv_text(one, &single))
		return err_set(e, ERR_INVALID, __func__, "\"cniVersion\" is not a text");
	*ret = single;
	if (!many)
		return ERR_OK;
	if (!jv_is_array(many))
		return err_set(e, ERR_INVALID, __func__, "\"cniVersions\" is not an array");
	for (size_t i = 0; k == ERR_OK && i < jv_count(many); i++) {
		if (!jv_text(jv_at(many, i), &s))
			return err_set(e, ERR_INVALID, __func__,
				       "\"cniVersions\" is not an array of texts");
		k = offer_version(s, &any, &best, e);
	}
	if (k == ERR_OK && single.n)
		k = offer_version(single, &any, &best, e);
	if (k == ERR_OK && any)
		*ret = best;
	return k;
}

static enum err_kind read_version(const struct jv *list, struct conflist *l, struct err *e)
{
	struct str text;
	enum err_kind k = choose_version(list, &text, e);

	if (k != ERR_OK)
		return k;
	if (!str_copy(text, l->version_text, sizeof(l->version_text)) ||
	    !cni_version_parse(text, &l->version))
		return err_set(e, ERR_UNSUPPORTED, __func__,
			       "CNI version \"%.*s\" is not spoken here, where %s is the newest",
			       (int)MIN(text.n, (size_t)40), text.p,
			       cni_version_text(CNI_VERSION_NEWEST));
	return ERR_OK;
}

static enum err_kind read_head(const struct jv *list, struct conflist *l, struct err *e)
{
	const struct jv *extra = jv_member(list, "berth");
	struct str name;
	enum err_kind k;

	if (!jv_text(jv_member(list, "name"), &name))
		return err_set(e, ERR_INVALID, __func__, "the list has no \"name\"");
	k = net_name_parse(name, &l->name, e);
	if (k == ERR_OK)
		k = read_version(list, l, e);
	if (k == ERR_OK)
		k = read_bool(list, "disableCheck", &l->disable_check, e);
	if (k == ERR_OK)
		k = read_bool(list, "disableGC", &l->disable_gc, e);
	if (k == ERR_OK && jv_is_object(extra))
		l->extra = jv_share(extra);
	return k == ERR_OK ? k : err_wrap(e, "network %.40s", name.p);
}

static enum err_kind read_inlined(const struct jv *list, struct conflist *l, bool only,
				  struct err *e)
{
	const struct jv *plugins = jv_member(list, "plugins");
	enum err_kind k = ERR_OK;

	l->plugins = jv_new_array();
	if (!plugins && !only)
		return ERR_OK;
	if (!jv_is_array(plugins) || jv_count(plugins) == 0)
		return err_set(e, ERR_INVALID, __func__,
			       "network %s: \"plugins\" is not an array with a plugin in it",
			       l->name.s);
	for (size_t i = 0; k == ERR_OK && i < jv_count(plugins); i++)
		k = conflist_append(l, jv_at(plugins, i), e);
	return k;
}

enum err_kind conflist_read(struct str text, struct conflist *l, bool *ret_only, struct err *e)
{
	AUTO_JV *list = NULL;
	enum err_kind k;

	*l = (struct conflist){ 0 };
	sbuf_init(&l->bytes, CONFLIST_BYTES_MAX);
	k = jv_parse_object(text, CONFLIST_JSON_DEPTH, &list, e);
	if (k == ERR_OK)
		k = read_head(list, l, e);
	if (k == ERR_OK)
		k = read_bool(list, "loadOnlyInlinedPlugins", ret_only, e);
	if (k == ERR_OK)
		k = read_inlined(list, l, *ret_only, e);
	if (k != ERR_OK)
		return k;
	sbuf_add_str(&l->bytes, text);
	return l->bytes.failed ? err_set(e, ERR_NO_MEMORY, __func__, "no memory for a list")
			       : ERR_OK;
}

enum err_kind conflist_need_plugins(const struct conflist *l, struct err *e)
{
	return conflist_count(l)
		   ? ERR_OK
		   : err_set(e, ERR_INVALID, __func__, "network %s has no plugins", l->name.s);
}

enum err_kind conflist_parse(struct str text, struct conflist *ret, struct err *e)
{
	bool only;
	enum err_kind k = conflist_read(text, ret, &only, e);

	if (k == ERR_OK)
		k = conflist_need_plugins(ret, e);
	if (k != ERR_OK)
		conflist_clear(ret);
	return k;
}

enum err_kind conflist_parse_single(struct str text, struct conflist *ret, struct err *e)
{
	AUTO_JV *plugin = NULL;
	AUTO_JV *list = NULL;
	AUTO_SBUF out;
	struct str name = { "", 0 }, version = { "", 0 };
	enum err_kind k;

	*ret = (struct conflist){ 0 };
	sbuf_init(&out, CONFLIST_BYTES_MAX);
	k = jv_parse_object(text, CONFLIST_JSON_DEPTH - 2, &plugin, e);
	if (k != ERR_OK)
		return k;
	(void)jv_text(jv_member(plugin, "name"), &name); /* without one it is refused below */
	if (jv_member(plugin, "cniVersion") && !jv_text(jv_member(plugin, "cniVersion"), &version))
		return err_set(e, ERR_INVALID, __func__, "\"cniVersion\" is not a text");
	list = jv_pack("{s:s%,s:s%,s:[o]}", "cniVersion", version.p, version.n, "name", name.p,
		       name.n, "plugins", jv_share(plugin));
	jv_dump(list, &out);
	if (out.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a list");
	return conflist_parse((struct str){ out.p, out.n }, ret, e);
}

enum err_kind conflist_rewrite(struct conflist *l, struct err *e)
{
	AUTO_JV *list = NULL;
	enum err_kind k =
	    jv_parse_object((struct str){ l->bytes.p, l->bytes.n }, CONFLIST_JSON_DEPTH, &list, e);

	if (k != ERR_OK)
		return k;
	l->bytes.n = 0;
	if (!jv_set(list, "plugins", jv_share(l->plugins)) ||
	    !jv_set(list, "loadOnlyInlinedPlugins", jv_pack("b", 1)))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a list");
	jv_dump(list, &l->bytes);
	return l->bytes.failed
		   ? err_set(e, ERR_TOO_LARGE, __func__, "network %s is too large", l->name.s)
		   : ERR_OK;
}
