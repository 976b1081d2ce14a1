#include "server/guard.h"

#include "auth/auth.h"

#define FAILURES_REMEMBERED 65536

struct guard {
	struct auth *auth;
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
	return c->auth_htpasswd.n > 0;
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

	auth_tend(g->auth, reload, on_note, NULL);
	g->busy = false;
}

enum err_kind guard_open(const struct conf *c, struct server *s, struct guard **ret, struct err *e)
{
	const struct auth_options o = options_of(c);
	struct guard *g = calloc(1, sizeof(*g));
	enum err_kind k;

	if (!g)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for accounts");
	g->job.run = tend_job;
	k = is_guarded(c) ? check_rules(c, e) : ERR_OK;
	if (k == ERR_OK && is_guarded(c))
		k = auth_open(&o, &g->auth, e);
	if (k == ERR_OK && g->auth)
		k = work_start(c->threads == 1 ? 0 : (unsigned)c->auth_workers, &g->work, e);
	s->auth = g->auth;
	s->auth_work = g->work;
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
	s->auth = NULL;
	s->auth_work = NULL;
	free(g);
}

void guard_tend(struct guard *g, bool reload)
{
	if (!g->auth)
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
