#include "runtime/net/cache.h"

#include <errno.h>

#include "base/base64.h"
#include "base/fd.h"
#include "runtime/net/conflist.h"

#define KIND "cniCacheV1"
#define FILES_MAX 65536
#define FILE_NAME_MAX (NET_NAME_MAX + CONTAINER_ID_MAX + IF_NAME_MAX + 3)
#define TEMP_NAME_MAX (FILE_NAME_MAX + 1)

void cache_entry_clear(struct cache_entry *c)
{
	free(c->netns);
	jv_free(&c->args);
	jv_free(&c->capabilities);
	jv_free(&c->result);
	sbuf_clear(&c->config);
	*c = (struct cache_entry){ 0 };
}

static enum err_kind corrupt(struct err *e, const char *what)
{
	return err_set(e, ERR_CORRUPT, __func__, "cached result: %s", what);
}

static enum err_kind read_names(const struct jv *v, struct cache_entry *c, struct err *e)
{
	struct str network, container, ifname;

	if (!jv_text(jv_member(v, "networkName"), &network) ||
	    !jv_text(jv_member(v, "containerId"), &container) ||
	    !jv_text(jv_member(v, "ifName"), &ifname))
		return corrupt(e, "it does not say what it is of");
	if (net_name_parse(network, &c->network, e) != ERR_OK ||
	    container_id_parse(container, &c->container, e) != ERR_OK ||
	    if_name_parse(ifname, &c->ifname, e) != ERR_OK)
		return corrupt(e, "it bears a name that is none");
	return ERR_OK;
}

/* A member that may be absent or null, but if it is there must be of its type. */
static enum err_kind share_member(const struct jv *v, const char *key, bool want_array,
				  struct jv **ret, struct err *e)
{
	const struct jv *m = jv_member(v, key);

	if (jv_is_null(m))
		return ERR_OK;
	if (want_array ? !jv_is_array(m) : !jv_is_object(m))
		return corrupt(e, "a member is of another type than it should be");
	*ret = jv_share(m);
	return ERR_OK;
}

static enum err_kind read_members(const struct jv *v, struct cache_entry *c, struct err *e)
{
	struct str config = { "", 0 }, netns = { "", 0 };
	enum err_kind k = share_member(v, "cniArgs", true, &c->args, e);

	if (k == ERR_OK && c->args && net_args_check(c->args, e) != ERR_OK)
		k = corrupt(e, "its arguments for plugins are none");
	if (k == ERR_OK)
		k = share_member(v, "capabilityArgs", false, &c->capabilities, e);
	if (k == ERR_OK)
		k = share_member(v, "result", false, &c->result, e);
	if (k != ERR_OK)
		return k;
	if (!jv_is_null(jv_member(v, "netns")) && !jv_text(jv_member(v, "netns"), &netns))
		return corrupt(e, "its namespace is no text");
	if (!jv_is_null(jv_member(v, "config")) && !jv_text(jv_member(v, "config"), &config))
		return corrupt(e, "its configuration is no text");
	if (!sbuf_add_base64_decoded(&c->config, config))
		return corrupt(e, "its configuration is not base64");
	if (netns.n)
		c->netns = strdup(netns.p);
	if (c->config.failed || (netns.n && !c->netns))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a cached result");
	(void)jv_bool(jv_member(jv_member(v, "berth"), "incomplete"), &c->incomplete);
	return ERR_OK;
}

enum err_kind cache_parse(struct str text, struct cache_entry *ret, struct err *e)
{
	AUTO_JV *v = NULL;
	struct str kind;
	enum err_kind k;

	*ret = (struct cache_entry){ 0 };
	sbuf_init(&ret->config, CONFLIST_BYTES_MAX);
	k = jv_parse_object(text, CACHE_JSON_DEPTH, &v, e);
	if (k == ERR_INVALID)
		k = corrupt(e, "not valid JSON");
	else if (k == ERR_OK && (!jv_text(jv_member(v, "kind"), &kind) || !str_eq(kind, STR(KIND))))
		k = corrupt(e, "it is of another kind than " KIND);
	if (k == ERR_OK)
		k = read_names(v, ret, e);
	if (k == ERR_OK)
		k = read_members(v, ret, e);
	if (k != ERR_OK)
		cache_entry_clear(ret);
	return k;
}

static bool object_is_empty(const struct jv *o)
{
	void *iter = NULL;
	const struct jv *value;
	const char *key;

	return !jv_next(o, &iter, &key, &value);
}

void cache_format(const struct cache_entry *c, struct sbuf *out)
{
	AUTO_SBUF config;
	AUTO_JV *v = NULL;
	bool ok;

	sbuf_init(&config, 2 * CONFLIST_BYTES_MAX);
	sbuf_add_base64(&config, (struct str){ c->config.p, c->config.n });
	v = jv_pack("{s:s,s:s,s:s%,s:s,s:s}", "kind", KIND, "containerId", c->container.s, "config",
		    config.p ? config.p : "", config.n, "ifName", c->ifname.s, "networkName",
		    c->network.s);
	ok = v && !config.failed;
	if (ok && c->netns)
		ok = jv_set(v, "netns", jv_pack("s", c->netns));
	if (ok && jv_count(c->args))
		ok = jv_set(v, "cniArgs", jv_share(c->args));
	if (ok && c->capabilities && !object_is_empty(c->capabilities))
		ok = jv_set(v, "capabilityArgs", jv_share(c->capabilities));
	if (ok && c->result && !object_is_empty(c->result))
		ok = jv_set(v, "result", jv_share(c->result));
	if (ok && c->incomplete)
		ok = jv_set(v, "berth", jv_pack("{s:b}", "incomplete", 1));
	jv_dump(ok ? v : NULL, out);
}

static void file_name(const struct net_name *network, const struct container_id *container,
		      const struct if_name *ifname, char buf[static FILE_NAME_MAX])
{
	(void)snprintf(buf, FILE_NAME_MAX, "%s-%s-%s", network->s, container->s, ifname->s);
}

static enum err_kind open_results(const char *dir, bool make, int *ret, struct err *e)
{
	AUTO_CLOSE top = -1;

	/* Only the last part of the path is made: /var/lib is there. */
	if (make && sys_mkdirat(AT_FDCWD, dir, 0755) < 0 && errno != EEXIST)
		return err_sys(e, __func__, "make directory %s", dir);
	top = sys_openat(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (top < 0)
		return err_sys(e, __func__, "open directory %s", dir);
	if (make && sys_mkdirat(top, "results", 0700) < 0 && errno != EEXIST)
		return err_sys(e, __func__, "make directory %s/results", dir);
	return fd_open_at(top, "results", O_RDONLY | O_DIRECTORY, 0, ret, e);
}

static enum err_kind read_entry(int results, const char *name, struct cache_entry *ret,
				struct err *e)
{
	AUTO_SBUF text;
	enum err_kind k;

	*ret = (struct cache_entry){ 0 };
	sbuf_init(&text, CACHE_BYTES_MAX);
	k = fd_read_file(results, name, &text, e);
	return k == ERR_OK ? cache_parse((struct str){ text.p ? text.p : "", text.n }, ret, e) : k;
}

enum err_kind cache_read(const char *dir, const struct net_name *network,
			 const struct container_id *container, const struct if_name *ifname,
			 struct cache_entry *ret, struct err *e)
{
	AUTO_CLOSE results = -1;
	char name[FILE_NAME_MAX];
	enum err_kind k;

	*ret = (struct cache_entry){ 0 };
	file_name(network, container, ifname, name);
	k = open_results(dir, false, &results, e);
	if (k == ERR_OK)
		k = read_entry(results, name, ret, e);
	/* Names may hold "-", so another attachment could have the same file. */
	if (k == ERR_OK && (strcmp(ret->network.s, network->s) != 0 ||
			    strcmp(ret->container.s, container->s) != 0 ||
			    strcmp(ret->ifname.s, ifname->s) != 0)) {
		cache_entry_clear(ret);
		k = corrupt(e, "it is of another container or network");
	}
	return k == ERR_OK ? k : err_wrap(e, "%s", name);
}

/*
 * One name for each attachment, on which one process works at a time: what a killed one left is overwritten by the
 * next.  No entry's name begins with a dot.
 */
static void temp_name(const char *name, char buf[static TEMP_NAME_MAX])
{
	(void)snprintf(buf, TEMP_NAME_MAX, ".%s", name);
}

/*
 * A new entry gets its name before its bytes are on the disk: torn it is no worse than none, and a journal takes file and
 * name at once.
 */
static enum err_kind put_file(int results, const char *temp, const char *name, struct str text,
			      enum cache_care care, struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k = fd_open_at(results, temp, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, e);

	if (k == ERR_OK)
		k = fd_write_all(fd, text.p, text.n, temp, e);
	if (k == ERR_OK && care == CACHE_WHOLE && sys_fsync(fd) < 0)
		k = err_sys(e, __func__, "fsync %s", temp);
	if (k == ERR_OK && sys_renameat(results, temp, results, name) < 0)
		k = err_sys(e, __func__, "rename %s", temp);
	if (k == ERR_OK && care == CACHE_LASTING && (sys_fsync(fd) < 0 || sys_fsync(results) < 0)) {
		k = err_sys(e, __func__, "fsync %s", name);
		(void)sys_unlinkat(results, name, 0); /* the failure at hand is told */
	}
	return k;
}

enum err_kind cache_write(const char *dir, const struct cache_entry *c, enum cache_care care,
			  struct err *e)
{
	AUTO_CLOSE results = -1;
	AUTO_SBUF text;
	char name[FILE_NAME_MAX], temp[TEMP_NAME_MAX];
	enum err_kind k;

	sbuf_init(&text, CACHE_BYTES_MAX);
	cache_format(c, &text);
	if (text.failed)
		return err_set(e, ERR_TOO_LARGE, __func__, "the result of %s is too large to keep",
			       c->network.s);
	file_name(&c->network, &c->container, &c->ifname, name);
	temp_name(name, temp);
	k = open_results(dir, true, &results, e);
	if (k != ERR_OK)
		return k;
	k = put_file(results, temp, name, (struct str){ text.p, text.n }, care, e);
	if (k != ERR_OK)
		(void)sys_unlinkat(results, temp, 0); /* what is left is ignored: H3 */
	return k == ERR_OK ? k : err_wrap(e, "cached result %s", name);
}

enum err_kind cache_remove(const char *dir, const struct net_name *network,
			   const struct container_id *container, const struct if_name *ifname,
			   struct err *e)
{
	AUTO_CLOSE results = -1;
	char name[FILE_NAME_MAX], temp[TEMP_NAME_MAX];
	enum err_kind k = open_results(dir, false, &results, e);

	if (k == ERR_NOT_FOUND)
		return ERR_OK;
	if (k != ERR_OK)
		return k;
	file_name(network, container, ifname, name);
	temp_name(name, temp);
	(void)sys_unlinkat(results, temp, 0); /* hardly ever there, and no entry if it is */
	if (sys_unlinkat(results, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, __func__, "remove cached result %s", name);
	return ERR_OK;
}

struct names {
	char **p;
	size_t n;
};

static void names_clear(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->p[i]);
	free(names->p);
}

static enum err_kind add_name(void *arg, const char *name, struct err *e)
{
	struct names *names = arg;
	char **p;

	if (name[0] == '.')
		return ERR_OK;
	if (names->n == FILES_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "more than %d cached results",
			       FILES_MAX);
	p = reallocarray(names->p, names->n + 1, sizeof(*p));
	if (p)
		names->p = p;
	if (!p || !(p[names->n] = strdup(name)))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for cached results");
	names->n++;
	return ERR_OK;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

enum err_kind cache_each(const char *dir, cache_fn *fn, void *arg, struct err *e)
{
	CLEANUP(names_clear) struct names names = { 0 };
	AUTO_CLOSE results = -1;
	enum err_kind k = open_results(dir, false, &results, e);

	if (k == ERR_NOT_FOUND)
		return ERR_OK;
	if (k == ERR_OK)
		k = fd_list_dir(results, ".", add_name, &names, e);
	if (k == ERR_OK && names.n)
		qsort(names.p, names.n, sizeof(*names.p), by_name);
	for (size_t i = 0; k == ERR_OK && i < names.n; i++) {
		AUTO_CACHE_ENTRY c = { 0 };
		struct err skipped;

		if (read_entry(results, names.p[i], &c, &skipped) == ERR_OK)
			k = fn(arg, &c, e);
	}
	return k;
}
