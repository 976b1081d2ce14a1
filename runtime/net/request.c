#include "runtime/net/request.h"

static struct jv *copy_object(const struct jv *from)
{
	AUTO_JV *to = jv_pack("{}");
	const struct jv *value;
	const char *key;
	void *iter = NULL;

	while (jv_next(from, &iter, &key, &value)) {
		if (!jv_set(to, key, jv_share(value)))
			return NULL;
	}
	return TAKE(to);
}

static bool set_runtime_config(struct jv *rq, const struct jv *plugin, const struct jv *given)
{
	AUTO_JV *config = jv_pack("{}");
	const struct jv *value;
	const char *key;
	void *iter = NULL;
	bool any = false;

	while (jv_next(given, &iter, &key, &value)) {
		if (!plugin_has_capability(plugin, key))
			continue;
		any = true;
		if (!jv_set(config, key, jv_share(value)))
			return false;
	}
	return !any || jv_set(rq, "runtimeConfig", TAKE(config));
}

struct jv *request_build(const struct conflist *l, const struct jv *plugin,
			 const struct request_parts *parts)
{
	AUTO_JV *rq = copy_object(plugin);

	if (!jv_set(rq, "name", jv_pack("s", l->name.s)) ||
	    !jv_set(rq, "cniVersion", jv_pack("s", l->version_text)))
		return NULL;
	if (parts->prev_result && !jv_set(rq, "prevResult", jv_share(parts->prev_result)))
		return NULL;
	if (parts->capabilities && !set_runtime_config(rq, plugin, parts->capabilities))
		return NULL;
	/* Two spellings: the specification had the first one wrong for a while. */
	if (parts->valid_attachments &&
	    (!jv_set(rq, "cni.dev/valid-attachments", jv_share(parts->valid_attachments)) ||
	     !jv_set(rq, "cni.dev/attachments", jv_share(parts->valid_attachments))))
		return NULL;
	return TAKE(rq);
}
