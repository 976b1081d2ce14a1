#include "server/guard.h"

#include "auth/auth.h"
#include "server/tls.h"

#define FAILURES_REMEMBERED 65536

struct guard {
	struct auth *auth;
	struct tls *tls;
	struct work *work;
	struct job job; /* one at a time */
	_Atomic bool busy, reload;
};

static const char *or_null(const struct sbuf *text)
{
	return text->n ? text->p : NULL;
}

bool guard_has_accounts(const struct conf *c)
{
	return c->auth_htpasswd.n > 0 || c->tls_client_ca.n > 0;
}

bool guard_is_closed(const struct conf *c)
{
	return jv_count(c->tls_certificates) > 0 && guard_has_accounts(c);
}

static bool is_guarded(const struct conf *c)
{
	return guard_has_accounts(c) || jv_count(c->access) > 0;
}

/* Accounts that nothing is allowed to are a mistake that would look like wrong passwords. */
static enum err_kind check_rules(const struct conf *c, struct err *e)
{
	if (!guard_has_accounts(c) || jv_count(c->access) > 0)
		return ERR_OK;
	return err_set(
	    e, ERR_INVALID, __func__,
	    "there are accounts, but no rule of access lets them do anything; for example "
	    "access: [{who: authenticated, repositories: \"**\", allow: [pull, push, delete]}]");
}

static struct auth_options options_of(const struct conf *c)
{
	unsigned failures = (unsigned)c->auth_throttle_failures;

	return (struct auth_options){
		.access = c->access,
		.groups = c->auth_groups,
		.htpasswd = or_null(&c->auth_htpasswd),
		.password_cache_ms = c->auth_password_cache_ms,
		.throttle = { .entries_max = FAILURES_REMEMBERED,
			      .free_account = failures,
			      .free_address = 4 * failures,
			      .free_everywhere = 20 * failures,
			      .wait_ms_min = c->auth_throttle_wait_ms,
			      .wait_ms_max = c->auth_throttle_wait_max_ms,
			      .window_ms = c->auth_throttle_window_ms },
	};
}

static void on_note(void *arg, bool bad, const char *event, const char *text)
{
	(void)arg;
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

static enum err_kind open_tls(const struct conf *c, struct guard *g, struct err *e)
{
	const struct tls_options o = { .certificates = c->tls_certificates,
				       .client_ca = or_null(&c->tls_client_ca),
				       .client_crl = or_null(&c->tls_client_crl),
				       .client_name = (enum tls_name)c->tls_client_name };

	if (jv_count(c->tls_certificates) == 0) {
		if (!o.client_ca && !o.client_crl)
			return ERR_OK;
		return err_set(e, ERR_INVALID, __func__,
			       "tls.client_ca and tls.client_crl need tls.certificates");
	}
	return tls_open(&o, &g->tls, e);
}

enum err_kind guard_open(const struct conf *c, struct server *s, struct guard **ret, struct err *e)
{
	const struct auth_options o = options_of(c);
	struct guard *g = calloc(1, sizeof(*g));
	enum err_kind k;

	if (!g)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for accounts");
	g->job.run = tend_job;
	k = open_tls(c, g, e);
	if (k == ERR_OK && is_guarded(c))
		k = check_rules(c, e);
	if (k == ERR_OK && is_guarded(c))
		k = auth_open(&o, &g->auth, e);
	if (k == ERR_OK && (g->auth || g->tls))
		k = work_start(c->threads == 1 ? 0 : (unsigned)c->auth_workers, &g->work, e);
	s->auth = g->auth;
	s->auth_work = g->work;
	s->tls = g->tls;
	if (k != ERR_OK)
		guard_close(&g, s);
	*ret = g;
	return k;
}

void guard_close(struct guard **take, struct server *s)
{
	struct guard *g = TAKE(*take);

	if (!g)
		return;
	work_stop(&g->work);
	auth_close(&g->auth);
	tls_close(&g->tls);
	s->tls = NULL;
	s->auth = NULL;
	s->auth_work = NULL;
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

enum err_kind guard_set_rules(struct guard *g, const struct conf *c, struct err *e)
{
	if (!g->auth)
		return ERR_OK;
	return auth_set_rules(g->auth, c->access, c->auth_groups, e);
}
