#include "runtime/image/config.h"

#include "base/hash.h"
#include "runtime/image/imagedoc.h"

#define DEPTH_MAX 64
#define ITEMS_MAX 10000 /* of one list */
#define ARENA_MAX (4u * CONFIG_BYTES_MAX)

static enum err_kind wrong(const char *key, const char *what, struct err *e)
{
	return err_set(e, ERR_INVALID, __func__, "image config: \"%s\" is not %s", key, what);
}

static enum err_kind no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, __func__, "no memory for an image config");
}

static enum err_kind take_text(struct image_config *c, const struct jv *object, const char *key,
			       const char **ret, struct err *e)
{
	const struct jv *v = jv_member(object, key);
	struct str s = { "", 0 };

	if (!jv_is_null(v) && !jv_text(v, &s))
		return wrong(key, "a text", e);
	*ret = arena_text(&c->arena, s);
	return *ret ? ERR_OK : no_memory(e);
}

static enum err_kind make_list(struct image_config *c, const char *key, size_t n,
			       struct config_list *ret, struct err *e)
{
	if (n > ITEMS_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "image config: \"%s\" has %zu items",
			       key, n);
	ret->v = arena_array(&c->arena, n + 1, sizeof(*ret->v));
	ret->set = true;
	return ret->v ? ERR_OK : no_memory(e);
}

static enum err_kind take_list(struct image_config *c, const struct jv *object, const char *key,
			       struct config_list *ret, struct err *e)
{
	const struct jv *v = jv_member(object, key);
	struct str s;
	enum err_kind k;

	if (jv_is_null(v))
		return ERR_OK;
	if (!jv_is_array(v))
		return wrong(key, "a list of texts", e);
	k = make_list(c, key, jv_count(v), ret, e);
	for (size_t i = 0; k == ERR_OK && i < jv_count(v); i++) {
		if (!jv_text(jv_at(v, i), &s))
			return wrong(key, "a list of texts", e);
		ret->v[ret->n++] = arena_text(&c->arena, s);
		if (!ret->v[ret->n - 1])
			k = no_memory(e);
	}
	return k;
}

/* {"80/tcp": {}}: a set of names. */
static enum err_kind take_set(struct image_config *c, const struct jv *object, const char *key,
			      struct config_list *ret, struct err *e)
{
	const struct jv *v = jv_member(object, key), *item;
	const char *name;
	void *iter = NULL;
	size_t n = 0;
	enum err_kind k;

	if (jv_is_null(v))
		return ERR_OK;
	if (!jv_is_object(v))
		return wrong(key, "an object", e);
	while (jv_next(v, &iter, &name, &item))
		n++;
	k = make_list(c, key, n, ret, e);
	while (k == ERR_OK && jv_next(v, &iter, &name, &item)) {
		ret->v[ret->n++] = arena_text(&c->arena, str_of(name));
		if (!ret->v[ret->n - 1])
			k = no_memory(e);
	}
	return k;
}

static enum err_kind take_labels(struct image_config *c, const struct jv *object, struct err *e)
{
	const struct jv *v = jv_member(object, "Labels"), *item;
	struct config_list keys = { 0 };
	const char *name;
	void *iter = NULL;
	struct str s;
	enum err_kind k = take_set(c, object, "Labels", &keys, e);

	if (k != ERR_OK || !keys.set)
		return k;
	c->labels.keys = keys.v;
	c->labels.values = arena_array(&c->arena, keys.n + 1, sizeof(*keys.v));
	if (!c->labels.values)
		return no_memory(e);
	while (k == ERR_OK && jv_next(v, &iter, &name, &item)) {
		if (!jv_text(item, &s))
			return wrong("Labels", "an object of texts", e);
		c->labels.values[c->labels.n++] = arena_text(&c->arena, s);
		if (!c->labels.values[c->labels.n - 1])
			k = no_memory(e);
	}
	return k;
}

static enum err_kind take_execution(struct image_config *c, const struct jv *v, struct err *e)
{
	const struct jv *check = jv_member(v, "Healthcheck");
	enum err_kind k;

	if (!jv_is_null(v) && !jv_is_object(v))
		return wrong("config", "an object", e);
	k = take_text(c, v, "User", &c->user, e);
	if (k == ERR_OK)
		k = take_text(c, v, "WorkingDir", &c->workdir, e);
	if (k == ERR_OK)
		k = take_text(c, v, "StopSignal", &c->stop_signal, e);
	if (k == ERR_OK)
		k = take_list(c, v, "Env", &c->env, e);
	if (k == ERR_OK)
		k = take_list(c, v, "Entrypoint", &c->entrypoint, e);
	if (k == ERR_OK)
		k = take_list(c, v, "Cmd", &c->cmd, e);
	if (k == ERR_OK)
		k = take_set(c, v, "ExposedPorts", &c->ports, e);
	if (k == ERR_OK)
		k = take_set(c, v, "Volumes", &c->volumes, e);
	if (k == ERR_OK)
		k = take_labels(c, v, e);
	if (k == ERR_OK && jv_is_object(check))
		c->healthcheck = jv_share(check);
	return k;
}

static enum err_kind take_rootfs(struct image_config *c, const struct jv *v, struct err *e)
{
	const struct jv *list = jv_member(v, "diff_ids");
	struct str s;

	if (!jv_text(jv_member(v, "type"), &s) || !str_eq(s, STR("layers")) || !jv_is_array(list))
		return wrong("rootfs", "a list of layers", e);
	if (jv_count(list) > IMAGEDOC_LAYERS_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "the image has %zu layers, more than %d",
			       jv_count(list), IMAGEDOC_LAYERS_MAX);
	c->n_diff_ids = jv_count(list);
	c->diff_ids = arena_array(&c->arena, c->n_diff_ids + 1, sizeof(*c->diff_ids));
	if (!c->diff_ids)
		return no_memory(e);
	for (size_t i = 0; i < c->n_diff_ids; i++) {
		if (!jv_text(jv_at(list, i), &s) || !digest_parse(&c->diff_ids[i], s))
			return wrong("diff_ids", "a list of digests", e);
	}
	return ERR_OK;
}

static enum err_kind take_platform(struct image_config *c, const struct jv *v, struct err *e)
{
	struct str os = { "", 0 }, arch = { "", 0 }, variant = { "", 0 };

	(void)jv_text(jv_member(v, "os"), &os);
	(void)jv_text(jv_member(v, "architecture"), &arch);
	(void)jv_text(jv_member(v, "variant"), &variant);
	return platform_of(&c->platform, os, arch, variant) ? ERR_OK
							    : wrong("architecture", "valid", e);
}

enum err_kind config_parse(struct str body, struct image_config *ret, struct err *e)
{
	AUTO_JV *v = NULL;
	AUTO_CONFIG c = { 0 };
	enum err_kind k;

	arena_init(&c.arena, ARENA_MAX);
	if (body.n > CONFIG_BYTES_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "an image config of %zu bytes", body.n);
	k = jv_parse_object(body, DEPTH_MAX, &v, e);
	if (k != ERR_OK)
		return err_wrap(e, "image config");
	k = take_platform(&c, v, e);
	if (k == ERR_OK)
		k = take_text(&c, v, "created", &c.created, e);
	if (k == ERR_OK)
		k = take_text(&c, v, "author", &c.author, e);
	if (k == ERR_OK)
		k = take_execution(&c, jv_member(v, "config"), e);
	if (k == ERR_OK)
		k = take_rootfs(&c, jv_member(v, "rootfs"), e);
	if (k == ERR_OK) {
		*ret = c;
		c = (struct image_config){ 0 };
	}
	return k;
}

void config_clear(struct image_config *c)
{
	jv_free(&c->healthcheck);
	arena_clear(&c->arena);
	*c = (struct image_config){ 0 };
}

enum err_kind config_chain_ids(const struct digest *diff_ids, size_t n, struct digest *ret,
			       struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		char text[2 * DIGEST_TEXT_MAX + 1], a[DIGEST_TEXT_MAX], b[DIGEST_TEXT_MAX];
		int len;
		enum err_kind k;

		if (i == 0) {
			ret[0] = diff_ids[0];
			continue;
		}
		len = snprintf(text, sizeof(text), "%s %s", digest_text(&ret[i - 1], a),
			       digest_text(&diff_ids[i], b));
		k = hash_bytes(DIGEST_SHA256, text, (size_t)len, &ret[i], e);
		if (k != ERR_OK)
			return k;
	}
	return ERR_OK;
}
