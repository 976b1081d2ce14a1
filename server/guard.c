#include "server/guard.h"

#include <poll.h>

#include "base/fd.h"
#include "server/audit.h"
#include "server/conf_check.h"
#include "server/conf_table.h"

#define CLIENTS_REMEMBERED 16384
#define FAILURES_REMEMBERED 65536

struct guard {
	const struct conf *conf;
	struct tls *tls;
	struct auth *auth;
	struct limits *limits; /* NULL: there are none */
	struct work *work;
	struct job job; /* one at a time */
	_Atomic bool busy, reload;
	struct directory_options ldap;
	char keys[GUARD_PATH_MAX], keyring[GUARD_PATH_MAX];
};

static const char *or_null(const struct sbuf *text)
{
	return text->n ? text->p : NULL;
}

const char *guard_path(const struct conf *c, const char *file, char buf[static GUARD_PATH_MAX])
{
	if (c->auth_directory.n)
		(void)snprintf(buf, GUARD_PATH_MAX, "%s/%s", c->auth_directory.p, file);
	else
		(void)snprintf(buf, GUARD_PATH_MAX, "%s/auth/%s", c->root.p, file);
	return buf;
}

bool guard_has_names(const struct conf *c)
{
	return c->auth_htpasswd.n > 0 || c->tls_client_ca.n > 0 || c->auth_ldap_url.n > 0 ||
	       jv_count(c->auth_oidc) > 0;
}

static bool has_keys(const struct conf *c)
{
	char path[GUARD_PATH_MAX];

	return access(guard_path(c, GUARD_KEYS, path), F_OK) == 0;
}

bool guard_has_accounts(const struct conf *c)
{
	return guard_has_names(c) || has_keys(c) || jv_count(c->auth_issuers) > 0;
}

bool guard_is_closed(const struct conf *c)
{
	return jv_count(c->tls_certificates) > 0 && guard_has_accounts(c);
}

static bool is_guarded(const struct conf *c)
{
	return guard_has_accounts(c) || jv_count(c->access) > 0;
}

enum err_kind guard_make_directory(const struct conf *c, struct err *e)
{
	char path[GUARD_PATH_MAX];

	if (c->auth_directory.n)
		return fd_mkdir_at(AT_FDCWD, c->auth_directory.p, 0700, e);
	(void)snprintf(path, sizeof(path), "%s/auth", c->root.p);
	if (fd_mkdir_at(AT_FDCWD, c->root.p, 0755, e) != ERR_OK)
		return e->kind;
	return fd_mkdir_at(AT_FDCWD, path, 0700, e);
}

/* --- options --- */

bool guard_ldap_options(const struct conf *c, struct directory_options *ret)
{
	*ret = (struct directory_options){
		.url = c->auth_ldap_url.p,
		.start_tls = c->auth_ldap_start_tls,
		.ca = or_null(&c->auth_ldap_ca),
		.bind_dn = or_null(&c->auth_ldap_bind_dn),
		.bind_password = or_null(&c->auth_ldap_bind_password),
		.users = or_null(&c->auth_ldap_users),
		.user_filter = c->auth_ldap_user_filter.p,
		.user_name = c->auth_ldap_user_name.p,
		.groups = or_null(&c->auth_ldap_groups),
		.group_filter = c->auth_ldap_group_filter.p,
		.group_name = c->auth_ldap_group_name.p,
		.timeout_ms = c->auth_ldap_timeout_ms,
	};
	return c->auth_ldap_url.n > 0;
}

struct tls_options guard_tls_options(const struct conf *c)
{
	return (struct tls_options){ .certificates = c->tls_certificates,
				     .client_ca = or_null(&c->tls_client_ca),
				     .client_crl = or_null(&c->tls_client_crl),
				     .client_name = (enum tls_name)c->tls_client_name };
}

static struct auth_times times_of(const struct conf *c)
{
	unsigned failures = (unsigned)c->auth_throttle_failures;

	return (struct auth_times){
		.password_cache_ms = c->auth_password_cache_ms,
		.token_ms = c->auth_tokens_lifetime_ms,
		.refresh_ms = c->auth_tokens_refresh_ms,
		.replace_ms = c->auth_tokens_replace_keys_ms,
		.throttle = { .entries_max = FAILURES_REMEMBERED,
			      .free_account = failures,
			      .free_address = 4 * failures,
			      .free_everywhere = 20 * failures,
			      .wait_ms_min = c->auth_throttle_wait_ms,
			      .wait_ms_max = c->auth_throttle_wait_max_ms,
			      .window_ms = c->auth_throttle_window_ms },
	};
}

static struct auth_options options_of(struct guard *g)
{
	const struct conf *c = g->conf;
	struct auth_options o = {
		.access = c->access,
		.groups = c->auth_groups,
		.htpasswd = or_null(&c->auth_htpasswd),
		.keys = guard_path(c, GUARD_KEYS, g->keys),
		.issuers = c->auth_issuers,
		.oidc = c->auth_oidc,
		.ldap = guard_ldap_options(c, &g->ldap) ? &g->ldap : NULL,
		.times = times_of(c),
	};

	if (c->auth_tokens_enabled)
		o.tokens = (struct auth_token_options){
			.keyring = guard_path(c, GUARD_KEYRING, g->keyring),
			.service = c->auth_tokens_service.p,
		};
	return o;
}

static enum err_kind open_tls(const struct conf *c, struct guard *g, struct err *e)
{
	const struct tls_options o = guard_tls_options(c);

	return jv_count(c->tls_certificates) ? tls_open(&o, &g->tls, e) : ERR_OK;
}

/* --- the module --- */

static void on_note(void *arg, bool bad, const char *event, const char *text)
{
	(void)arg;
	if (str_starts(str_of(event), STR("key.")))
		audit_change(event, text);
	else
		log_event(bad ? LOG_ERROR : LOG_INFO, event, "%s%s", text,
			  bad ? "; the old one stays" : "");
}

static void tend_job(struct job *j)
{
	struct guard *g = (struct guard *)((char *)j - offsetof(struct guard, job));
	bool reload = atomic_exchange(&g->reload, false);

	if (g->tls)
		tls_tend(g->tls, reload, on_note, NULL);
	if (g->auth)
		auth_tend(g->auth, reload, on_note, NULL);
	g->busy = false;
}

enum err_kind guard_open(const struct conf *c, struct server *s, struct guard **ret, struct err *e)
{
	struct guard *g = calloc(1, sizeof(*g));
	enum err_kind k;

	*ret = NULL;
	if (!g)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for accounts");
	g->conf = c;
	g->job.run = tend_job;
	k = origin_parse(str_of(c->http_external_url.p), &s->origin, e);
	if (k == ERR_OK)
		k = proxies_parse(str_of(c->http_trusted_proxies.p), &s->proxies, e);
	if (k == ERR_OK)
		k = open_tls(c, g, e);
	s->tls = g->tls;
	if (k == ERR_OK)
		*ret = TAKE(g);
	guard_close(&g, s);
	return k;
}

static struct limit_options limits_of(const struct conf *c)
{
	return (struct limit_options){
		.entries_max = CLIENTS_REMEMBERED,
		.burst_ms = c->limits_burst_ms,
		.address = { c->limits_address_requests, c->limits_address_bytes },
		.identity = { c->limits_identity_requests, c->limits_identity_bytes },
		.uploads = c->limits_identity_uploads,
	};
}

/* Without any they are there all the same, as a reload may bring some; but a single thread stays one. */
static enum err_kind start_limits(struct guard *g, struct err *e)
{
	const struct limit_options o = limits_of(g->conf);
	bool any = o.address.requests || o.address.bytes || o.identity.requests ||
		   o.identity.bytes || o.uploads;

	return any || g->conf->threads > 1 ? limits_new(&o, &g->limits, e) : ERR_OK;
}

enum err_kind guard_start(struct guard *g, struct server *s, struct err *e)
{
	const struct auth_options o = options_of(g);
	enum err_kind k = start_limits(g, e);

	s->limits = g->limits;
	if (k == ERR_OK && is_guarded(g->conf)) {
		k = guard_make_directory(g->conf, e);
		if (k == ERR_OK)
			k = auth_open(&o, &g->auth, e);
	}
	if (k == ERR_OK && (g->auth || g->tls))
		k = work_start(g->conf->threads == 1 ? 0 : (unsigned)g->conf->auth_workers,
			       &g->work, e);
	s->auth = g->auth;
	s->auth_work = g->work;
	return k;
}

void guard_close(struct guard **take, struct server *s)
{
	struct guard *g = TAKE(*take);

	if (!g)
		return;
	work_stop(&g->work);
	auth_close(&g->auth);
	limits_free(&g->limits);
	tls_close(&g->tls);
	s->tls = NULL;
	s->auth = NULL;
	s->auth_work = NULL;
	s->limits = NULL;
	free(g);
}

void guard_tend(struct guard *g, bool reload)
{
	if (!g->work)
		return;
	if (reload)
		g->reload = true;
	if (atomic_exchange(&g->busy, true))
		return;
	work_submit(g->work, &g->job);
}

/* --- other options --- */

static bool is_any(const char *key, const char *a, const char *b)
{
	return strcmp(key, a) == 0 || strcmp(key, b) == 0;
}

bool guard_can_take(const struct guard *g, const char *key, const struct conf *c)
{
	if (is_any(key, "access", "auth.groups"))
		return g->auth != NULL;
	if (strcmp(key, "tls.certificates") == 0)
		return g->tls && jv_count(c->tls_certificates) > 0;
	if (str_starts(str_of(key), STR("limits.")))
		return g->limits != NULL;
	return true;
}

static enum err_kind prepare_tls(const struct guard *g, const struct conf *new, struct tls **ret,
				 struct err *e)
{
	struct tls_options o = guard_tls_options(g->conf);

	o.certificates = new->tls_certificates;
	return tls_open(&o, ret, e);
}

enum err_kind guard_prepare(const struct guard *g, const struct conf *old, const struct conf *new,
			    struct guard_change *ret, struct err *e)
{
	enum err_kind k = ERR_OK;

	ret->limits = limits_of(new);
	ret->times = times_of(new);
	if (g->auth && !(conf_same("access", old, new) && conf_same("auth.groups", old, new))) {
		k = conf_check_rules(new, e);
		if (k == ERR_OK)
			k = rules_parse(new->access, new->auth_groups, NULL, &ret->rules, e);
	}
	if (k == ERR_OK && g->tls && !conf_same("tls.certificates", old, new))
		k = prepare_tls(g, new, &ret->tls, e);
	return k;
}

/* The job that looks after files may be at it. */
static void take_over_tls(struct guard *g, struct tls **take)
{
	while (atomic_exchange(&g->busy, true))
		(void)poll(NULL, 0, 1);
	tls_take_over(g->tls, take);
	g->busy = false;
}

void guard_commit(struct guard *g, struct guard_change *change)
{
	char what[80];

	if (change->rules) {
		(void)snprintf(what, sizeof(what), "%zu rules that allow or deny",
			       rules_count(change->rules));
		auth_take_rules(g->auth, &change->rules);
		audit_change("rules", what);
	}
	if (change->tls)
		take_over_tls(g, &change->tls);
	if (g->limits)
		limits_set(g->limits, &change->limits);
	if (g->auth)
		auth_set_times(g->auth, &change->times);
}

void guard_change_clear(struct guard_change *change)
{
	rules_put(&change->rules);
	tls_close(&change->tls);
}
