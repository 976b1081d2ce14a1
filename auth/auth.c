#include "auth/auth_impl.h"

struct auth_times auth_times_of(struct auth *a)
{
	struct auth_times t;

	lock_get(&a->mu);
	t = a->o.times;
	lock_put(&a->mu);
	return t;
}

/* How long something may count that a key signs. */
static uint64_t longest(const struct auth_times *t)
{
	return MIN(t->refresh_ms + t->token_ms, UINT64_MAX / 4);
}

struct rules *auth_rules(struct auth *a)
{
	struct rules *r;

	lock_get(&a->mu);
	r = rules_get(a->rules);
	lock_put(&a->mu);
	return r;
}

struct htpasswd *auth_htpasswd(struct auth *a)
{
	struct htpasswd *h;

	lock_get(&a->mu);
	h = a->htpasswd ? htpasswd_get(a->htpasswd) : NULL;
	lock_put(&a->mu);
	return h;
}

struct apikeys *auth_keys(struct auth *a)
{
	struct apikeys *k;

	lock_get(&a->mu);
	k = a->keys ? apikeys_get(a->keys) : NULL;
	lock_put(&a->mu);
	return k;
}

void auth_set_times(struct auth *a, const struct auth_times *t)
{
	lock_get(&a->mu);
	a->o.times = *t;
	lock_put(&a->mu);
	idcache_set_ttl(a->cache, t->password_cache_ms);
	throttle_set(a->throttle, &t->throttle);
	if (a->keyring)
		keyring_set(a->keyring, t->replace_ms, longest(t));
}

void auth_take_rules(struct auth *a, struct rules **take)
{
	struct rules *new = TAKE(*take), *old;

	lock_get(&a->mu);
	old = a->rules;
	a->rules = new;
	lock_put(&a->mu);
	rules_put(&old);
}

enum err_kind auth_set_rules(struct auth *a, const struct jv *access, const struct jv *groups,
			     struct err *e)
{
	AUTO_RULES *new = NULL;
	enum err_kind k = rules_parse(access, groups, NULL, &new, e);

	if (k == ERR_OK)
		auth_take_rules(a, &new);
	return k;
}

static enum err_kind load_htpasswd(struct auth *a, struct err *e)
{
	AUTO_HTPASSWD *new = NULL;
	struct htpasswd *old;
	enum err_kind k;

	filewatch_mark(&a->htpasswd_watch);
	k = htpasswd_load(a->o.htpasswd, &new, e);
	if (k != ERR_OK)
		return k;
	lock_get(&a->mu);
	old = a->htpasswd;
	a->htpasswd = TAKE(new);
	lock_put(&a->mu);
	htpasswd_put(&old);
	idcache_forget(
	    a->cache); /* after the new one is in force, so that nothing old comes back */
	return ERR_OK;
}

static enum err_kind load_keys(struct auth *a, struct err *e)
{
	AUTO_APIKEYS *new = NULL;
	struct apikeys *old;
	enum err_kind k;

	filewatch_mark(&a->keys_watch);
	k = apikeys_load(a->o.keys, &new, e);
	if (k != ERR_OK)
		return k;
	lock_get(&a->mu);
	old = a->keys;
	a->keys = TAKE(new);
	lock_put(&a->mu);
	apikeys_put(&old);
	idcache_forget(a->cache);
	return ERR_OK;
}

static bool has_key(const struct apikeys *keys, const char *id)
{
	for (size_t i = 0; i < apikeys_count(keys); i++) {
		if (strcmp(apikeys_at(keys, i)->id, id) == 0)
			return true;
	}
	return false;
}

/* Of those that only one of the sets has. */
static void note_keys(const struct apikeys *in, const struct apikeys *not_in, const char *event,
		      auth_note_fn *note, void *arg)
{
	for (size_t i = 0; i < apikeys_count(in); i++) {
		const struct apikey *k = apikeys_at(in, i);
		char text[2 * NAME_BYTES_MAX + 64];

		if (has_key(not_in, k->id))
			continue;
		(void)snprintf(text, sizeof(text), "%s:%.*s id %s made by %.*s",
			       k->is_user ? "user" : "key", STR_FMT(k->name), k->id,
			       (int)MIN(k->by.n, (size_t)NAME_BYTES_MAX), k->by.p);
		note(arg, false, event, text);
	}
}

static enum err_kind open_keyring(struct auth *a, struct err *e)
{
	const struct keyring_options o = { .path = a->o.tokens.keyring,
					   .replace_ms = a->o.times.replace_ms,
					   .keep_ms = longest(&a->o.times) };

	return keyring_open(&o, &a->keyring, e);
}

static enum err_kind open_parts(struct auth *a, struct err *e)
{
	const struct identity nobody = { .kind = IDENTITY_ANONYMOUS, .name = { "", 0 } };
	enum err_kind k =
	    idcache_new(IDENTITIES_CACHED, a->o.times.password_cache_ms, &a->cache, e);

	if (k == ERR_OK)
		k = throttle_new(&a->o.times.throttle, &a->throttle, e);
	if (k == ERR_OK)
		k = identity_new(&nobody, &a->anonymous, e);
	if (k == ERR_OK)
		k = auth_set_rules(a, a->o.access, a->o.groups, e);
	if (k == ERR_OK && a->o.htpasswd)
		k = load_htpasswd(a, e);
	if (k == ERR_OK && a->o.keys)
		k = load_keys(a, e);
	if (k == ERR_OK && a->o.tokens.keyring)
		k = open_keyring(a, e);
	if (k == ERR_OK && a->o.ldap)
		k = directory_open(a->o.ldap, &a->directory, e);
	if (k == ERR_OK)
		k = auth_open_outsiders(a, e);
	return k;
}

enum err_kind auth_open(const struct auth_options *o, struct auth **ret, struct err *e)
{
	struct auth *a = calloc(1, sizeof(*a));
	enum err_kind k;

	if (!a)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for accounts");
	a->o = *o;
	lock_init(&a->mu, LOCK_AUTH);
	filewatch_init(&a->htpasswd_watch, o->htpasswd);
	filewatch_init(&a->keys_watch, o->keys);
	k = open_parts(a, e);
	if (k != ERR_OK)
		auth_close(&a);
	*ret = a;
	return k;
}

void auth_close(struct auth **take)
{
	struct auth *a = TAKE(*take);

	if (!a)
		return;
	idcache_free(&a->cache);
	throttle_free(&a->throttle);
	identity_put(&a->anonymous);
	rules_put(&a->rules);
	htpasswd_put(&a->htpasswd);
	apikeys_put(&a->keys);
	keyring_close(&a->keyring);
	auth_close_outsiders(a);
	directory_close(&a->directory);
	lock_clear(&a->mu);
	free(a);
}

struct decision auth_decide(struct auth *a, const struct identity *id, struct str repository,
			    enum action action)
{
	AUTO_RULES *r = auth_rules(a);

	return rules_decide(r, id, repository, action);
}

bool auth_may_pull_unscoped(struct auth *a, const struct identity *id, struct str repository)
{
	AUTO_RULES *r = auth_rules(a);

	return rules_decide_unscoped(r, id, repository, ACTION_PULL).allowed;
}

bool auth_tag_is_fixed(struct auth *a, const struct identity *id, struct str repository,
		       struct str tag)
{
	AUTO_RULES *r = auth_rules(a);

	return rules_tag_is_immutable(r, repository, tag) &&
	       !rules_decide_unscoped(r, id, repository, ACTION_ADMIN).allowed;
}

static void tend_file(struct auth *a, struct filewatch *w, bool at_once, const char *event,
		      enum err_kind (*load)(struct auth *a, struct err *e), auth_note_fn *note,
		      void *arg)
{
	struct err e;
	bool bad;

	if (!w->path || !(filewatch_changed(w) || at_once))
		return;
	bad = load(a, &e) != ERR_OK;
	note(arg, bad, event, bad ? e.msg : w->path);
}

static void tend_keyring(struct auth *a, bool at_once, auth_note_fn *note, void *arg)
{
	struct err e;
	bool made = false;

	if (keyring_tend(a->keyring, at_once, &made, &e) != ERR_OK)
		note(arg, true, "auth.tokens", e.msg);
	else if (made)
		note(arg, false, "auth.tokens", "made a key to sign tokens with");
}

void auth_tend(struct auth *a, bool at_once, auth_note_fn *note, void *arg)
{
	tend_file(a, &a->htpasswd_watch, at_once, "auth.htpasswd", load_htpasswd, note, arg);
	if (a->keys) {
		AUTO_APIKEYS *before = auth_keys(a), *after = NULL;

		tend_file(a, &a->keys_watch, at_once, "auth.keys", load_keys, note, arg);
		after = auth_keys(a);
		note_keys(after, before, "key.made", note, arg);
		note_keys(before, after, "key.revoked", note, arg);
	}
	if (a->keyring)
		tend_keyring(a, at_once, note, arg);
	auth_tend_outsiders(a, at_once, note, arg);
}
