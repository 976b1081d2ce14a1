#include "runtime/net/cni_impl.h"

#include "base/fd.h"
#include "runtime/net/netns.h"
#include "runtime/net/ports.h"

#define SEARCH_PATH_MAX (64u * 1024)
#define LOOPBACK "lo" /* is in every namespace; a plugin of its own brings it up */

void cni_init(struct cni *c, const struct cni_options *o)
{
	*c = (struct cni){ .options = o };
	plugin_failure_init(&c->failure);
	sbuf_init(&c->search_path, SEARCH_PATH_MAX);
	for (size_t i = 0; i < o->n_plugin_dirs; i++)
		sbuf_addf(&c->search_path, "%s%s", i ? ":" : "", o->plugin_dirs[i]);
}

void cni_clear(struct cni *c)
{
	plugin_failure_clear(&c->failure);
	sbuf_clear(&c->search_path);
}

uint64_t cni_timeout(const struct cni *c)
{
	return c->options->timeout_ms ? c->options->timeout_ms : CNI_TIMEOUT_MS;
}

uint64_t cni_wait(const struct cni *c)
{
	return c->options->wait_ms ? c->options->wait_ms : CNI_WAIT_MS;
}

/* ---- ADD ---- */

/* What an ADD works on; the entry's result is that of the last plugin that succeeded. */
struct adding {
	struct cni *cni;
	const struct conflist *list;
	const struct attachment *attachment;
	struct cache_entry entry;
	struct result *result;
	bool started; /* the first plugin, or more */
};

static enum err_kind make_entry(struct adding *w, struct err *e)
{
	const struct attachment *a = w->attachment;
	struct cache_entry *c = &w->entry;

	c->network = w->list->name;
	c->container = a->container;
	c->ifname = a->ifname;
	c->incomplete = true;
	c->netns = strdup(a->netns);
	c->args = a->args ? jv_share(a->args) : NULL;
	c->capabilities = a->capabilities ? jv_share(a->capabilities) : NULL;
	sbuf_init(&c->config, CONFLIST_BYTES_MAX);
	sbuf_add(&c->config, w->list->bytes.p, w->list->bytes.n);
	return c->netns && !c->config.failed
		   ? ERR_OK
		   : err_set(e, ERR_NO_MEMORY, __func__, "no memory for an attachment");
}

static enum err_kind keep(const struct adding *w, enum cache_care care, struct err *e)
{
	return cache_write(w->cni->options->cache_dir, &w->entry, care, e);
}

static enum err_kind take_answer(struct adding *w, const struct exec_output *o, struct err *e)
{
	struct str text = { o->out.p ? o->out.p : "", o->out.n };
	enum err_kind k;

	result_clear(w->result);
	k = result_parse(text, w->list->version, w->result, e);
	if (k != ERR_OK)
		return k;
	jv_free(&w->entry.result);
	w->entry.result = result_write(w->result);
	return w->entry.result ? ERR_OK
			       : err_set(e, ERR_NO_MEMORY, __func__, "no memory for a result");
}

static enum err_kind add_one(struct adding *w, struct chain *ch, size_t i, struct err *e)
{
	struct str type = plugin_type(conflist_plugin(w->list, i));
	AUTO_EXEC_OUTPUT o;
	enum err_kind k;

	exec_output_init(&o);
	ch->parts.prev_result = w->entry.result;
	k = chain_run(ch, i, &o, e);
	if (k != ERR_OK)
		return k;
	k = take_answer(w, &o, e);
	return k == ERR_OK ? k
			   : err_wrap(e, "network %s: plugin %.*s: the answer to ADD",
				      w->list->name.s, STR_FMT(type));
}

/* The first time so that it lasts. */
static enum err_kind keep_first(struct adding *w, struct err *e)
{
	AUTO_CLOSE claim = -1;
	enum err_kind k = ports_claim(w->cni->options, &w->entry, &claim, e);

	if (k == ERR_OK)
		k = keep(w, CACHE_LASTING, e);
	w->started = k == ERR_OK;
	return k;
}

static enum err_kind add_all(struct adding *w, struct chain *ch, struct err *e)
{
	size_t n = conflist_count(w->list);
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < n; i++) {
		/* Before each, for it may be the last that this process does. */
		k = i == 0 ? keep_first(w, e) : keep(w, CACHE_QUICK, e);
		if (k == ERR_OK)
			k = add_one(w, ch, i, e);
	}
	if (k != ERR_OK)
		return k;
	w->entry.incomplete = false;
	return keep(w, CACHE_WHOLE, e);
}

/* I3: the error of the ADD is the one to tell; what DEL could not do is left in the cache. */
static void undo(struct adding *w, int lock_fd)
{
	struct plugin_failure of_add = w->cni->failure;
	struct err ignored;

	plugin_failure_init(&w->cni->failure);
	w->entry.incomplete = true;
	(void)!keep(w, CACHE_QUICK, &ignored);
	(void)!cni_del_locked(w->cni, &w->list->name, w->list, w->attachment, lock_fd, true,
			      &ignored);
	plugin_failure_clear(&w->cni->failure);
	w->cni->failure = of_add;
}

static enum err_kind already(const struct conflist *l, const struct attachment *a, struct err *e)
{
	return err_set(e, ERR_EXISTS, __func__,
		       "container %s is attached to network %s as %s already", a->container.s,
		       l->name.s, a->ifname.s);
}

/* I2; what an ADD that died left is undone first. */
static enum err_kind make_room(struct cni *c, const struct conflist *l, const struct attachment *a,
			       int lock_fd, struct err *e)
{
	AUTO_CACHE_ENTRY found = { 0 };
	bool there = false;
	enum err_kind k =
	    cache_read(c->options->cache_dir, &l->name, &a->container, &a->ifname, &found, e);

	if (k == ERR_OK && !found.incomplete)
		return already(l, a, e);
	if (k == ERR_OK || k == ERR_CORRUPT)
		k = cni_del_locked(c, &l->name, l, a, lock_fd, true, e);
	else if (k == ERR_NOT_FOUND)
		k = ERR_OK;
	if (k != ERR_OK || strcmp(a->ifname.s, LOOPBACK) == 0)
		return k;
	k = netns_has_interface(a->netns, &a->ifname, &there, e);
	if (k == ERR_OK && there)
		k = err_set(e, ERR_EXISTS, __func__, "%s has an interface %s already", a->netns,
			    a->ifname.s);
	return k;
}

static enum err_kind add_locked(struct adding *w, struct chain *ch, struct err *e)
{
	enum err_kind k = make_room(w->cni, w->list, w->attachment, ch->lock_fd, e);

	if (k == ERR_OK)
		k = make_entry(w, e);
	if (k != ERR_OK)
		return k;
	k = add_all(w, ch, e);
	if (k == ERR_OK)
		return k;
	result_clear(w->result);
	if (w->started)
		undo(w, ch->lock_fd);
	return k;
}

enum err_kind cni_add(struct cni *c, const struct conflist *l, const struct attachment *a,
		      struct result *ret, struct err *e)
{
	struct adding w = { .cni = c, .list = l, .attachment = a, .result = ret };
	AUTO_OP_LOCK lock = OP_LOCK_NONE;
	AUTO_CHAIN ch;
	enum err_kind k;

	result_init(ret);
	k = chain_init(&ch, c, l, "ADD", a, e);
	if (k == ERR_OK && !a->netns)
		k = err_set(e, ERR_INVALID, __func__, "ADD needs a network namespace");
	if (k == ERR_OK)
		k = chain_find_all(&ch, e);
	if (k == ERR_OK)
		k = netns_check(a->netns, e);
	if (k == ERR_OK)
		k = op_lock_container(c->options->state_dir, &l->name, &a->container, cni_wait(c),
				      &lock, e);
	if (k != ERR_OK)
		return k;
	ch.lock_fd = lock.fd;
	k = add_locked(&w, &ch, e);
	cache_entry_clear(&w.entry);
	return k;
}

/* ---- CHECK, STATUS, VERSION ---- */

static enum err_kind check_cached(struct cni *c, const struct conflist *l,
				  const struct cache_entry *found, int lock_fd, struct err *e)
{
	const struct attachment a = { .container = found->container,
				      .ifname = found->ifname,
				      .netns = found->netns,
				      .args = found->args,
				      .capabilities = found->capabilities };
	AUTO_RESULT result;
	AUTO_JV *prev = NULL;
	AUTO_CHAIN ch;
	enum err_kind k = chain_init(&ch, c, l, "CHECK", &a, e);

	result_init(&result);
	if (k == ERR_OK)
		k = cni_cached_result(found, l->version, &result, &prev, e);
	ch.parts.prev_result = prev;
	ch.lock_fd = lock_fd;
	for (size_t i = 0; k == ERR_OK && i < conflist_count(l); i++)
		k = chain_tell(&ch, i, e);
	return k;
}

enum err_kind cni_check(struct cni *c, const struct conflist *l, const struct attachment *a,
			struct err *e)
{
	AUTO_CACHE_ENTRY found = { 0 };
	AUTO_OP_LOCK lock = OP_LOCK_NONE;
	enum err_kind k;

	if (l->version < CNI_0_4_0)
		return err_set(e, ERR_UNSUPPORTED, __func__,
			       "network %s is of CNI version \"%s\", which has no CHECK", l->name.s,
			       l->version_text);
	if (l->disable_check)
		return ERR_OK;
	k = op_lock_container(c->options->state_dir, &l->name, &a->container, cni_wait(c), &lock,
			      e);
	if (k == ERR_OK)
		k = cache_read(c->options->cache_dir, &l->name, &a->container, &a->ifname, &found,
			       e);
	if (k == ERR_NOT_FOUND || (k == ERR_OK && found.incomplete))
		return err_set(e, ERR_NOT_FOUND, __func__,
			       "container %s is not attached to network %s as %s", a->container.s,
			       l->name.s, a->ifname.s);
	return k == ERR_OK ? check_cached(c, l, &found, lock.fd, e) : k;
}

enum err_kind cni_status(struct cni *c, const struct conflist *l, struct err *e)
{
	AUTO_CHAIN ch;
	enum err_kind k = chain_init(&ch, c, l, "STATUS", NULL, e);

	for (size_t i = 0; k == ERR_OK && l->version >= CNI_1_1_0 && i < conflist_count(l); i++)
		k = chain_tell(&ch, i, e);
	return k;
}

/* A plugin from before VERSION says that it does not know it. */
static bool is_ancient(const struct plugin_failure *f)
{
	return f->msg.p && strcmp(f->msg.p, "unknown CNI_COMMAND: VERSION") == 0;
}

enum err_kind cni_versions(struct cni *c, struct str type, struct cni_versions *ret, struct err *e)
{
	char path[EXEC_PATH_MAX], input[64];
	int n = snprintf(input, sizeof(input), "{\"cniVersion\":\"%s\"}",
			 cni_version_text(CNI_VERSION_NEWEST));
	/* Plugins of long ago want all variables set, whatever to. */
	struct plugin_call call = { .command = "VERSION",
				    .type = type,
				    .path = path,
				    .container = "",
				    .netns = "dummy",
				    .ifname = "dummy",
				    .args = "",
				    .search_path = "dummy",
				    .input = { input, (size_t)n },
				    .timeout_ms = cni_timeout(c),
				    .keep_fd = -1 };
	AUTO_JV *answer = NULL;
	AUTO_EXEC_OUTPUT o;
	enum err_kind k;

	exec_output_init(&o);
	k = exec_find(type, c->options->plugin_dirs, c->options->n_plugin_dirs, path, e);
	if (k == ERR_OK)
		k = plugin_run(&call, &o, &c->failure, e);
	if (k != ERR_OK && is_ancient(&c->failure)) {
		*ret = (struct cni_versions){ .has = { [CNI_0_1_0] = true } };
		return ERR_OK;
	}
	if (k == ERR_OK)
		k = jv_parse_object((struct str){ o.out.p ? o.out.p : "", o.out.n },
				    RESULT_JSON_DEPTH, &answer, e);
	if (k == ERR_OK)
		k = cni_versions_read(answer, ret, e);
	return k == ERR_OK ? k : err_wrap(e, "plugin %.*s", STR_FMT(type));
}

enum err_kind cni_validate(struct cni *c, const struct conflist *l, struct err *e)
{
	struct cni_versions versions;

	for (size_t i = 0; i < conflist_count(l); i++) {
		struct str type = plugin_type(conflist_plugin(l, i));
		enum err_kind k = cni_versions(c, type, &versions, e);

		if (k != ERR_OK)
			return err_wrap(e, "network %s", l->name.s);
		if (!versions.has[l->version])
			return err_set(e, ERR_UNSUPPORTED, __func__,
				       "network %s: plugin %.*s does not speak CNI version %s",
				       l->name.s, STR_FMT(type), cni_version_text(l->version));
	}
	return ERR_OK;
}
