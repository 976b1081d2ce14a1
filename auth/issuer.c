#include "auth/issuer.h"

#include "auth/identity.h"
#include "auth/token.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/filewatch.h"
#include "base/lock.h"

#define LEEWAY_MS 60000
#define FETCH_TIMEOUT_MS 5000
#define DOCUMENT_MAX (1024u * 1024)
#define DISCOVERY_DEPTH_MAX 16
#define ASK_AGAIN_MS 60000
#define REFRESH_MS (15u * 60 * 1000)
#define STALE_MS (24u * 3600 * 1000)
#define URL_MAX 1024

struct issuer {
	const char *name, *url, *audience, *file, *keys_url; /* the configuration's */
	struct fetch fetch;
	struct filewatch watch;
	struct lock mu;
	pthread_cond_t fetched;
	bool fetching;              /* under mu */
	bool has_asked;             /* under mu */
	uint64_t asked_ms, good_ms; /* under mu, monotonic: the last try, the last success */
	struct jose_keys *keys;     /* under mu; NULL: none yet */
};

/* --- configuration --- */

static void read_name(struct form *f, struct issuer *i)
{
	i->name = form_z(f, "name", true);
	if (!name_is_valid(str_of(i->name)) || strchr(i->name, ':'))
		form_fail(f, ERR_INVALID, "\"%.80s\" cannot be an issuer's name", i->name);
}

static void read_keys(struct form *f, struct issuer *i)
{
	i->file = form_optional(f, "keys");
	i->keys_url = form_optional(f, "keys_url");
	if (i->file && i->keys_url)
		form_fail(f, ERR_INVALID, "one of keys and keys_url is enough");
	if (i->keys_url && !fetch_may(i->keys_url))
		form_fail(f, ERR_INVALID, "keys_url must be https, or http of this machine");
}

/* After its keys: without them it is asked itself. */
static void read_url(struct form *f, struct issuer *i)
{
	i->url = form_z(f, "issuer", true);
	if (!i->file && !i->keys_url && !fetch_may(i->url))
		form_fail(f, ERR_INVALID,
			  "issuer must be https, or http of this machine, unless keys or keys_url "
			  "says where its keys are");
	if (strlen(i->url) > URL_MAX)
		form_fail(f, ERR_INVALID, "issuer is too long");
}

enum err_kind issuer_read(struct form *f, struct issuer **ret, struct err *e)
{
	struct issuer *i = calloc(1, sizeof(*i));

	*ret = NULL;
	if (!i)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for an issuer");
	read_name(f, i);
	read_keys(f, i);
	read_url(f, i);
	i->audience = form_z(f, "audience", true);
	i->fetch = (struct fetch){ .ca = form_optional(f, "ca"),
				   .timeout_ms = FETCH_TIMEOUT_MS,
				   .bytes_max = DOCUMENT_MAX };
	lock_init(&i->mu, LOCK_AUTH);
	cond_init(&i->fetched);
	filewatch_init(&i->watch, i->file);
	*ret = i;
	return ERR_OK;
}

void issuer_free(struct issuer **take)
{
	struct issuer *i = TAKE(*take);

	if (!i)
		return;
	jose_keys_put(&i->keys);
	(void)pthread_cond_destroy(&i->fetched);
	lock_clear(&i->mu);
	free(i);
}

struct str issuer_name(const struct issuer *i)
{
	return str_of(i->name);
}

struct str issuer_url(const struct issuer *i)
{
	return str_of(i->url);
}

struct str issuer_audience(const struct issuer *i)
{
	return str_of(i->audience);
}

const struct fetch *issuer_fetch(const struct issuer *i)
{
	return &i->fetch;
}

const char *issuer_file(const struct issuer *i)
{
	return i->file;
}

/* --- keys --- */

static void set_keys(struct issuer *i, struct jose_keys *take)
{
	struct jose_keys *old;

	lock_get(&i->mu);
	old = i->keys;
	i->keys = take;
	i->good_ms = mono_ms();
	lock_put(&i->mu);
	jose_keys_put(&old);
}

static enum err_kind parse_keys(struct issuer *i, struct str text, struct err *e)
{
	struct jose_keys *keys;
	enum err_kind k = jose_keys_parse(text, &keys, e);

	if (k != ERR_OK)
		return err_wrap(e, "keys of %.60s", i->name);
	if (jose_keys_count(keys) == 0) {
		jose_keys_put(&keys);
		return err_set(e, ERR_INVALID, __func__, "keys of %.60s: none is of use", i->name);
	}
	set_keys(i, keys);
	return ERR_OK;
}

static enum err_kind load_file(struct issuer *i, struct err *e)
{
	AUTO_SBUF text;
	enum err_kind k;

	filewatch_mark(&i->watch);
	sbuf_init(&text, DOCUMENT_MAX);
	k = fd_read_path(i->file, &text, e);
	return k == ERR_OK ? parse_keys(i, (struct str){ text.p ? text.p : "", text.n }, e) : k;
}

enum err_kind issuer_discover(const struct issuer *i, struct jv **ret, struct err *e)
{
	AUTO_JV *doc = NULL;
	AUTO_SBUF text = { .n = 0 };
	char url[URL_MAX + 64];
	struct str issuer;
	size_t n = strlen(i->url);
	enum err_kind k;

	while (n && i->url[n - 1] == '/')
		n--;
	(void)snprintf(url, sizeof(url), "%.*s/.well-known/openid-configuration", (int)n, i->url);
	k = fetch_get(&i->fetch, url, &text, e);
	if (k == ERR_OK &&
	    jv_parse_object((struct str){ text.p, text.n }, DISCOVERY_DEPTH_MAX, &doc, e) != ERR_OK)
		k = err_set(e, ERR_AWAY, __func__, "%.120s: no JSON", url);
	if (k != ERR_OK)
		return k;
	if (!jv_text(jv_member(doc, "issuer"), &issuer) || !str_eq(issuer, str_of(i->url)))
		return err_set(e, ERR_AWAY, __func__, "%.120s: is about another issuer", url);
	*ret = TAKE(doc);
	return ERR_OK;
}

static enum err_kind fetch_keys(struct issuer *i, struct err *e)
{
	AUTO_JV *doc = NULL;
	AUTO_SBUF text = { .n = 0 };
	struct str url = str_of(i->keys_url);
	enum err_kind k = i->keys_url ? ERR_OK : issuer_discover(i, &doc, e);

	if (k == ERR_OK && doc && !jv_text(jv_member(doc, "jwks_uri"), &url))
		k = err_set(e, ERR_AWAY, __func__, "%.60s does not say where its keys are",
			    i->name);
	if (k == ERR_OK)
		k = fetch_get(&i->fetch, url.p, &text, e);
	if (k == ERR_OK && parse_keys(i, (struct str){ text.p ? text.p : "", text.n }, e) != ERR_OK)
		k = ERR_AWAY;
	e->kind = k;
	return k;
}

/*
 * By one thread at a time; the others wait for it.  True if the keys may be others now: somebody has asked since the caller
 * looked, or may ask again.
 */
static bool refresh(struct issuer *i, uint64_t looked_ms, struct err *e)
{
	bool ours = false, asked;

	lock_get(&i->mu);
	while (i->fetching)
		(void)lock_wait(&i->mu, &i->fetched, 0);
	asked = i->has_asked && i->asked_ms >= looked_ms;
	ours = !asked && (!i->has_asked || mono_ms() - i->asked_ms >= ASK_AGAIN_MS);
	i->fetching = ours;
	lock_put(&i->mu);
	if (!ours)
		return asked;
	(void)fetch_keys(i, e); /* without new keys the old ones are all there is */
	lock_get(&i->mu);
	i->fetching = false;
	i->has_asked = true;
	i->asked_ms = mono_ms();
	(void)pthread_cond_broadcast(&i->fetched);
	lock_put(&i->mu);
	return true;
}

static struct jose_keys *keys_of(struct issuer *i)
{
	struct jose_keys *keys;
	bool stale;

	lock_get(&i->mu);
	stale = !i->file && mono_ms() - i->good_ms >= STALE_MS;
	keys = i->keys && !stale ? jose_keys_get(i->keys) : NULL;
	lock_put(&i->mu);
	return keys;
}

/* ERR_NOT_FOUND: signed with a key that is not among them. */
static enum err_kind verify(struct issuer *i, struct str token, struct jv **ret, struct err *e)
{
	AUTO_JOSE_KEYS *keys = keys_of(i);

	return keys ? jose_verify(keys, token, ret, e)
		    : err_set(e, ERR_NOT_FOUND, __func__, "there are no keys of %.60s", i->name);
}

static enum err_kind verify_with_any(struct issuer *i, struct str token, struct jv **ret,
				     struct err *e)
{
	uint64_t looked_ms = mono_ms();
	AUTO_JOSE_KEYS *keys = NULL;
	enum err_kind k = verify(i, token, ret, e);

	if (k == ERR_NOT_FOUND && !i->file && refresh(i, looked_ms, e))
		k = verify(i, token, ret, e);
	if (k != ERR_NOT_FOUND)
		return k;
	keys = keys_of(i);
	return keys ? token_refuse(e, "signed with a key that is not its issuer's")
		    : err_set(e, ERR_AWAY, __func__, "the keys of %.60s cannot be had", i->name);
}

enum err_kind issuer_verify(struct issuer *i, struct str token, uint64_t now_wall_ms,
			    struct jv **ret_payload, uint64_t *ret_until_ms, struct err *e)
{
	const struct claims_wanted wanted = { .issuer = str_of(i->url),
					      .audience = str_of(i->audience),
					      .now_wall_ms = now_wall_ms,
					      .leeway_ms = LEEWAY_MS };
	AUTO_JV *payload = NULL;
	enum err_kind k = verify_with_any(i, token, &payload, e);

	if (k == ERR_OK)
		k = claims_check(payload, &wanted, ret_until_ms, e);
	if (k == ERR_OK)
		*ret_payload = TAKE(payload);
	return k;
}

static bool is_due(struct issuer *i, bool at_once)
{
	bool due;

	if (i->file)
		return filewatch_changed(&i->watch) || at_once || !i->keys;
	lock_get(&i->mu);
	due = !i->has_asked || mono_ms() - i->asked_ms >= (i->keys ? REFRESH_MS : ASK_AGAIN_MS);
	lock_put(&i->mu);
	return due;
}

enum err_kind issuer_tend(struct issuer *i, bool at_once, bool *ret_changed, struct err *e)
{
	AUTO_JOSE_KEYS *before = keys_of(i), *after = NULL;
	enum err_kind k = ERR_OK;

	*ret_changed = false;
	if (!is_due(i, at_once))
		return ERR_OK;
	e->kind = ERR_OK;
	if (i->file)
		k = load_file(i, e);
	else if (refresh(i, UINT64_MAX, e))
		k = e->kind;
	after = keys_of(i);
	*ret_changed = before != after;
	return k;
}
