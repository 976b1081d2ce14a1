#include "runtime/image/regconf.h"

#include "base/fd.h"
#include "base/jv.h"

#define FILE_MAX (1024u * 1024)
#define DEPTH_MAX 8

static enum err_kind no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the registries' configuration");
}

static enum err_kind take_texts(struct regconf *c, const char *host, const char *key,
				const struct jv *list, const char ***ret, size_t *ret_n,
				struct err *e)
{
	struct str s;

	if (!jv_is_array(list))
		return err_set(e, ERR_INVALID, __func__, "%s: \"%s\" is not a list", host, key);
	*ret = arena_array(&c->arena, jv_count(list) + 1, sizeof(**ret));
	if (!*ret)
		return no_memory(e);
	for (size_t i = 0; i < jv_count(list); i++) {
		if (!jv_text(jv_at(list, i), &s) || s.n == 0)
			return err_set(e, ERR_INVALID, __func__,
				       "%s: \"%s\" is not a list of texts", host, key);
		(*ret)[i] = arena_text(&c->arena, s);
		if (!(*ret)[i])
			return no_memory(e);
	}
	*ret_n = jv_count(list);
	return ERR_OK;
}

static enum err_kind take_registry(struct regconf *c, const char *host, const struct jv *v,
				   struct registry_conf *ret, struct err *e)
{
	const struct jv *item;
	const char *key;
	void *iter = NULL;
	enum err_kind k = ERR_OK;

	ret->host = arena_text(&c->arena, str_of(host));
	if (!ret->host)
		return no_memory(e);
	if (!jv_is_object(v))
		return err_set(e, ERR_INVALID, __func__, "%s is not an object", host);
	while (k == ERR_OK && jv_next(v, &iter, &key, &item)) {
		if (strcmp(key, "mirrors") == 0)
			k = take_texts(c, host, key, item, &ret->mirrors, &ret->n_mirrors, e);
		else if (strcmp(key, "realms") == 0)
			k = take_texts(c, host, key, item, &ret->realms, &ret->n_realms, e);
		else if (strcmp(key, "insecure") != 0)
			k = err_set(e, ERR_INVALID, __func__, "%s: unknown member \"%.60s\"", host,
				    key);
		else if (!jv_bool(item, &ret->insecure))
			k = err_set(e, ERR_INVALID, __func__, "%s: \"insecure\" is not a boolean",
				    host);
	}
	return k;
}

static enum err_kind take_registries(struct regconf *c, const struct jv *v, struct err *e)
{
	const struct jv *item;
	const char *host;
	void *iter = NULL;
	size_t n = 0;
	enum err_kind k = ERR_OK;

	if (!jv_is_object(v))
		return err_set(e, ERR_INVALID, __func__, "\"registries\" is not an object");
	while (jv_next(v, &iter, &host, &item))
		n++;
	c->registries = arena_array(&c->arena, n + 1, sizeof(*c->registries));
	if (!c->registries)
		return no_memory(e);
	while (k == ERR_OK && jv_next(v, &iter, &host, &item))
		k = take_registry(c, host, item, &c->registries[c->n++], e);
	return k;
}

enum err_kind regconf_parse(struct str text, struct regconf *ret, struct err *e)
{
	AUTO_JV *v = NULL;
	AUTO_REGCONF c = { 0 };
	const struct jv *item;
	const char *key;
	void *iter = NULL;
	enum err_kind k;

	arena_init(&c.arena, 8u * FILE_MAX);
	k = jv_parse_object(text, DEPTH_MAX, &v, e);
	while (k == ERR_OK && jv_next(v, &iter, &key, &item))
		k = strcmp(key, "registries") == 0
			? take_registries(&c, item, e)
			: err_set(e, ERR_INVALID, __func__, "unknown member \"%.60s\"", key);
	if (k == ERR_OK) {
		*ret = c;
		c = (struct regconf){ 0 };
	}
	return k;
}

static enum err_kind load_file(const char *path, struct regconf *ret, struct err *e)
{
	AUTO_SBUF text;
	enum err_kind k;

	sbuf_init(&text, FILE_MAX);
	k = fd_read_path(path, &text, e);
	if (k != ERR_OK)
		return k;
	k = regconf_parse((struct str){ text.p, text.n }, ret, e);
	return k == ERR_OK ? k : err_wrap(e, "%s", path);
}

static bool user_path(char *buf, size_t cap)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	int n = config && *config == '/'
		    ? snprintf(buf, cap, "%s/berth/registries.json", config)
		    : snprintf(buf, cap, "%s/.config/berth/registries.json", home ? home : "");

	return n > 0 && (size_t)n < cap && buf[0] == '/';
}

enum err_kind regconf_load(const char *path, struct regconf *ret, struct err *e)
{
	char mine[4096];
	struct err missing;
	enum err_kind k = ERR_NOT_FOUND;

	if (path)
		return load_file(path, ret, e);
	if (user_path(mine, sizeof(mine)))
		k = load_file(mine, ret, &missing);
	if (k == ERR_NOT_FOUND)
		k = load_file("/etc/berth/registries.json", ret, &missing);
	if (k == ERR_NOT_FOUND) {
		*ret = (struct regconf){ 0 };
		return ERR_OK;
	}
	if (k != ERR_OK)
		*e = missing;
	return k;
}

void regconf_clear(struct regconf *c)
{
	arena_clear(&c->arena);
	*c = (struct regconf){ 0 };
}

const struct registry_conf *regconf_find(const struct regconf *c, const char *host)
{
	for (size_t i = 0; i < c->n; i++) {
		if (strcmp(c->registries[i].host, host) == 0)
			return &c->registries[i];
	}
	return NULL;
}
