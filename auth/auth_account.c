#include "auth/auth_impl.h"

#include "base/clock.h"

static enum err_kind refuse(struct err *e, const char *why)
{
	return err_set(e, ERR_LOGIN, __func__, "%s", why);
}

/* 0: there is no such account here. */
static uint64_t version_of(struct auth *a, struct str name)
{
	AUTO_HTPASSWD *h = auth_htpasswd(a);

	return h ? htpasswd_version(h, name) : 0;
}

static enum err_kind find_local(struct auth *a, struct str name, struct identity **ret,
				struct err *e)
{
	const struct identity user = { .kind = IDENTITY_USER,
				       .name = name,
				       .version = version_of(a, name) };

	return identity_new(&user, ret, e);
}

static enum err_kind of_person(const struct person *p, struct identity *like, struct identity **ret,
			       struct err *e)
{
	like->name = p->name; /* as the directory writes it */
	like->n_groups = p->n_groups;
	like->groups = p->groups;
	return identity_new(like, ret, e);
}

/* A name of both is the file's: whoever writes the directory takes over nobody. */
static enum err_kind check_person(struct auth *a, struct str name, struct str password,
				  struct identity **ret, struct err *e)
{
	AUTO_FREE struct person *p = calloc(1, sizeof(*p));
	struct identity user = { .kind = IDENTITY_USER };
	enum err_kind k;

	if (!p)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a person");
	k = directory_check(a->directory, name, password, p, e);
	if (k == ERR_OK && version_of(a, p->name))
		k = refuse(e, "wrong name or password");
	if (k == ERR_OK)
		k = of_person(p, &user, ret, e);
	person_clear(p);
	return k;
}

enum err_kind auth_check_password(struct auth *a, struct str name, struct str password,
				  struct identity **ret, struct err *e)
{
	AUTO_HTPASSWD *h = auth_htpasswd(a);
	enum err_kind k = refuse(e, "wrong name or password");

	if (h)
		k = htpasswd_check(h, name, password, e);
	if (k == ERR_OK)
		return find_local(a, name, ret, e);
	if (k == ERR_LOGIN && a->directory && !version_of(a, name))
		k = check_person(a, name, password, ret, e);
	return k;
}

/* What a key adds to an identity, and takes from it. */
static void apply_key(struct identity *id, const struct apikey *key)
{
	id->kind = key->is_user ? IDENTITY_USER : IDENTITY_KEY;
	id->name = key->name;
	id->key = str_of(key->id);
	id->has_grants = key->has_grants;
	id->grants_suffice = key->has_grants && !key->is_user;
	id->grants = key->grants;
	id->until_wall_ms = key->until_ms;
}

/* A key of somebody in the directory, who must be there still. */
static enum err_kind find_key_person(struct auth *a, struct identity *id, struct identity **ret,
				     struct err *e)
{
	AUTO_FREE struct person *p = calloc(1, sizeof(*p));
	enum err_kind k;

	if (!p)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a person");
	k = directory_find(a->directory, id->name, p, e);
	if (k == ERR_OK && !str_eq(p->name, id->name))
		k = refuse(e, "a key that goes with another name");
	if (k == ERR_OK)
		k = of_person(p, id, ret, e);
	person_clear(p);
	return k;
}

enum err_kind auth_find_key(struct auth *a, struct str name, struct str text, struct identity **ret,
			    struct err *e)
{
	AUTO_APIKEYS *keys = auth_keys(a);
	const struct apikey *key = keys ? apikeys_find(keys, text, wall_ms()) : NULL;
	struct identity id = { .kind = IDENTITY_KEY };

	if (!key)
		return refuse(e, "a key that is unknown, revoked, or has ended");
	if (!str_eq(name, key->name))
		return refuse(e, "a key that goes with another name");
	apply_key(&id, key);
	if (key->is_user)
		id.version = version_of(a, name);
	if (!key->is_user || id.version)
		return identity_new(&id, ret, e);
	return a->directory ? find_key_person(a, &id, ret, e)
			    : refuse(e, "a key of an account that is gone");
}

/* Does the account still have the password that it had then? */
static enum err_kind check_user(struct auth *a, const struct token_owner *o, struct err *e)
{
	if (version_of(a, o->name) != o->version || (o->version == 0 && !a->directory))
		return refuse(e, "token: its account is gone, or has another password since");
	return ERR_OK;
}

static enum err_kind check_key(const struct token_owner *o, const struct apikey *key, struct err *e)
{
	if (!key || !str_eq(key->name, o->name) || key->is_user != (o->kind == IDENTITY_USER))
		return refuse(e, "token: its key was revoked, or has ended");
	return ERR_OK;
}

static enum err_kind check_owner(struct auth *a, const struct token_owner *o,
				 const struct apikey *key, struct err *e)
{
	enum err_kind k = ERR_OK;

	switch (o->kind) {
	case IDENTITY_ANONYMOUS:
	case IDENTITY_CERT:
	case IDENTITY_OIDC:
		return ERR_OK;
	case IDENTITY_USER:
		if (o->key.n)
			k = check_key(o, key, e);
		return k == ERR_OK ? check_user(a, o, e) : k;
	case IDENTITY_KEY:
		return check_key(o, key, e);
	case IDENTITY_ISSUER:
	case IDENTITY_KIND_N:
		break;
	}
	return refuse(e, "token: not of anybody who gets tokens here");
}

enum err_kind auth_find_owner(struct auth *a, const struct token_owner *o,
			      const struct token *scoped, struct identity **ret, struct err *e)
{
	AUTO_APIKEYS *keys = o->key.n ? auth_keys(a) : NULL;
	const struct apikey *key = keys ? apikeys_by_id(keys, o->key, wall_ms()) : NULL;
	struct identity id = { .kind = o->kind, .name = o->name, .version = o->version };
	enum err_kind k = check_owner(a, o, key, e);

	if (k != ERR_OK)
		return k;
	if (key)
		apply_key(&id, key);
	id.n_groups = o->n_groups;
	id.groups = o->groups;
	if (scoped) {
		id.has_scope = true;
		id.scope = scoped->scope;
		id.scope_has_catalog = scoped->catalog;
		if (!id.until_wall_ms || scoped->until_wall_ms < id.until_wall_ms)
			id.until_wall_ms = scoped->until_wall_ms;
	}
	return identity_new(&id, ret, e);
}
