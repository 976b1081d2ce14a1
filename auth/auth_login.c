#include "auth/auth_impl.h"

#include "base/clock.h"

#define FIELD_KIND "authorization"
#define PASSWORD_KIND "password"

static enum err_kind refuse(struct err *e, const char *why)
{
	return err_set(e, ERR_LOGIN, __func__, "%s", why);
}

/* A scheme and what follows (RFC 9110 11.4). */
static bool split_field(struct str field, struct str *ret_scheme, struct str *ret_rest)
{
	if (!str_cut(field, ' ', ret_scheme, ret_rest))
		return false;
	*ret_rest = str_trim(*ret_rest);
	return ret_rest->n > 0;
}

static bool is_bearer(const struct auth *a, struct str scheme)
{
	return (a->keyring || a->n_outsiders) && str_eq_nocase(scheme, STR("Bearer"));
}

enum err_kind auth_recall(struct auth *a, const struct credentials *c, struct identity **ret,
			  struct err *e)
{
	struct idcache_key key;
	struct str field = str_of(c->authorization), scheme, rest;

	*ret = NULL;
	if (c->repeated)
		return refuse(e, "several Authorization fields");
	if (!c->authorization) {
		*ret = identity_get(c->certificate ? c->certificate : a->anonymous);
		return ERR_OK;
	}
	if (!split_field(field, &scheme, &rest))
		return refuse(e, "malformed Authorization field");
	if (!str_eq_nocase(scheme, STR("Basic")) && !is_bearer(a, scheme))
		return refuse(e, "unknown scheme in the Authorization field");
	if (idcache_key(a->cache, FIELD_KIND, field, (struct str){ "", 0 }, &key))
		*ret = idcache_find(a->cache, &key);
	return ERR_OK;
}

/* --- passwords --- */

static enum throttle_result result_of(enum err_kind k)
{
	if (k == ERR_OK)
		return THROTTLE_RIGHT;
	return k == ERR_LOGIN ? THROTTLE_WRONG : THROTTLE_UNDECIDED;
}

static enum err_kind check_throttled(struct auth *a, struct str name, struct str password,
				     const char *address, struct identity **ret,
				     struct auth_failure *ret_failure, struct err *e)
{
	struct str from = str_of(address);
	enum err_kind k =
	    throttle_begin(a->throttle, name, from, mono_ms(), &ret_failure->wait_ms, e);

	if (k != ERR_OK)
		return k;
	k = auth_check_password(a, name, password, ret, e);
	throttle_end(a->throttle, name, from, mono_ms(), result_of(k));
	return k;
}

/* Another thread checked the same just now, and refused it. */
static enum err_kind refused_too(struct auth *a, enum err_kind k, struct auth_failure *ret_failure,
				 struct err *e)
{
	if (k == ERR_TOO_MANY) /* or longer, which the other one was told */
		ret_failure->wait_ms = auth_times_of(a).throttle.wait_ms_min;
	return err_set(e, k, __func__, "the same name and password were refused just now");
}

enum err_kind auth_identify_password(struct auth *a, struct str name, struct str password,
				     const char *address, struct identity **ret,
				     struct auth_failure *ret_failure, struct err *e)
{
	struct idcache_key key;
	enum err_kind k;

	*ret_failure = (struct auth_failure){ .wait_ms = 0 };
	if (!name_is_valid(name) || password.n == 0 || memchr(password.p, '\0', password.n))
		return refuse(e, "a name or password that nobody has");
	(void)snprintf(ret_failure->account, sizeof(ret_failure->account), "%.*s", STR_FMT(name));
	if (!idcache_key(a->cache, PASSWORD_KIND, name, password, &key))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to check a password");
	*ret = idcache_find(a->cache, &key);
	if (*ret)
		return ERR_OK;
	if (apikey_looks_like_one(password)) /* nobody guesses one, so nobody is slowed down */
		return auth_find_key(a, name, password, ret, e);
	if (auth_is_workload_token(a, password))
		return auth_identify_workload(a, password, ret, e);
	while (!idcache_begin(a->cache, &key, &k)) {
		if (k != ERR_OK)
			return refused_too(a, k, ret_failure, e);
		*ret = idcache_find(a->cache, &key);
		if (*ret)
			return ERR_OK;
		/* Accounts were read anew since, and what was right may not be any more: checked again. */
	}
	k = check_throttled(a, name, password, address, ret, ret_failure, e);
	if (k == ERR_OK)
		idcache_add(a->cache, &key, *ret);
	idcache_checked(a->cache, &key, k);
	return k;
}

static enum err_kind identify_basic(struct auth *a, struct str rest, const char *address,
				    struct identity **ret, struct auth_failure *ret_failure,
				    struct err *e)
{
	AUTO_SECRET text;
	struct str name, password;

	if (!base64_decode(rest, &text) ||
	    !str_cut((struct str){ text.p, text.n }, ':', &name, &password))
		return refuse(e, "malformed Basic credentials");
	if (name.n == 0 && password.n == 0) { /* what podman and skopeo send when they have none */
		*ret = identity_get(a->anonymous);
		return ERR_OK;
	}
	return auth_identify_password(a, name, password, address, ret, ret_failure, e);
}

static enum err_kind identify_bearer(struct auth *a, struct str token, struct identity **ret,
				     struct err *e)
{
	if (auth_is_outside_token(a, token))
		return auth_identify_outside(a, token, ret, e);
	return a->keyring ? auth_identify_token(a, token, ret, e)
			  : refuse(e, "token: of nobody whose tokens count here");
}

enum err_kind auth_identify(struct auth *a, const struct credentials *c, struct identity **ret,
			    struct auth_failure *ret_failure, struct err *e)
{
	struct idcache_key key;
	struct str field = str_of(c->authorization), scheme, rest;
	enum err_kind k;

	*ret_failure = (struct auth_failure){ .wait_ms = 0 };
	k = auth_recall(a, c, ret, e);
	if (k != ERR_OK || *ret)
		return k;
	if (!split_field(field, &scheme, &rest) ||
	    !idcache_key(a->cache, FIELD_KIND, field, (struct str){ "", 0 }, &key))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to check credentials");
	k = is_bearer(a, scheme) ? identify_bearer(a, rest, ret, e)
				 : identify_basic(a, rest, c->address, ret, ret_failure, e);
	if (k == ERR_OK)
		idcache_add(a->cache, &key, *ret);
	return k;
}
