#include "server/access.h"

#include "auth/auth.h"
#include "server/audit.h"
#include "server/metrics.h"
#include "server/nearby.h"
#include "server/route.h"

#define RETRY_AFTER "Retry-After"

/* What a scope asks for; 0: nothing that depends on the repository. */
static enum action action_of(enum scope s)
{
	switch (s) {
	case SCOPE_PULL:
		return ACTION_PULL;
	case SCOPE_PUSH:
		return ACTION_PUSH;
	case SCOPE_DELETE:
		return ACTION_DELETE;
	case SCOPE_ADMIN: /* of no repository that the path tells */
	case SCOPE_NONE:
	case SCOPE_LOGIN:
	case SCOPE_CATALOG:
	case SCOPE_N:
		break;
	}
	return (enum action)0;
}

bool access_is_needed(const struct request *rq)
{
	return rq->server->auth && !(rq->route && rq->route->scope == SCOPE_NONE);
}

/* certificate is borrowed. */
static struct credentials credentials_of(const struct request *rq, struct identity *certificate)
{
	return (struct credentials){
		.authorization = request_header(rq, "Authorization"),
		.repeated = rq->host.repeats && rq->host.repeats(rq->host.arg, "Authorization"),
		.address = rq->host.peer,
		.certificate = certificate,
	};
}

/* What a token would have to be for, as far as it depends on the request. */
static void add_scope(const struct request *rq, struct sbuf *b)
{
	enum scope s = rq->route && rq->path.fault == PATH_FINE ? rq->route->scope : SCOPE_NONE;
	struct repo_name from;
	struct str text;

	if (s == SCOPE_CATALOG)
		sbuf_addf(b, ",scope=\"registry:catalog:*\"");
	if (!action_of(s))
		return;
	sbuf_addf(b, ",scope=\"repository:%s:%s", rq->path.repo.s,
		  s == SCOPE_PUSH ? "pull,push" : scope_text(s));
	if (rq->path.kind == PATH_UPLOADS && request_query(rq, STR("from"), &text) &&
	    repo_name_parse(&from, text))
		sbuf_addf(b, " repository:%s:pull", from.s);
	sbuf_addf(b, "\"");
}

/* Its token says what it is for: another one may be for more. */
static bool brings_scope(const struct identity *id)
{
	return id->has_scope || id->kind == IDENTITY_ISSUER;
}

/* RFC 6750 3.1; clients that see the second ask for a token with the scope. */
static const char *token_error(const struct request *rq, bool failed)
{
	if (failed)
		return ",error=\"invalid_token\"";
	return rq->identity && brings_scope(rq->identity) ? ",error=\"insufficient_scope\"" : "";
}

static void challenge(struct request *rq, bool failed)
{
	char origin[ORIGIN_MAX];
	AUTO_SBUF scope = { .max = 1024 };
	const char *realm = rq->conf->auth_tokens_realm.p;
	bool elsewhere = rq->conf->auth_tokens_realm.n > 0;

	if (!(elsewhere || auth_has_tokens(rq->server->auth)) || rq->path.kind == PATH_TOKEN ||
	    (rq->route && rq->route->scope == SCOPE_ADMIN)) {
		reply_header(&rq->reply, "WWW-Authenticate", "Basic realm=\"berth\"");
		return;
	}
	sbuf_add(&scope, "", 0);
	add_scope(rq, &scope);
	reply_header(&rq->reply, "WWW-Authenticate", "Bearer realm=\"%s%s\",service=\"%s\"%s%s",
		     elsewhere ? realm : origin_of(rq, origin),
		     elsewhere ? "" : path_pattern(PATH_TOKEN), rq->conf->auth_tokens_service.p,
		     scope.failed ? "" : scope.p, token_error(rq, failed));
}

/* The same words for everything that is closed. */
static enum err_kind ask_for_login(struct request *rq, bool failed, struct err *e)
{
	rq->about = RES_ANY;
	challenge(rq, failed);
	return err_set(e, ERR_LOGIN, __func__, "authentication required");
}

/* What the request brings to say who asks; false for nothing. */
static bool source_of(const struct request *rq, enum auth_source *ret)
{
	const char *field = request_header(rq, "Authorization");
	struct str scheme, rest;

	if (!field) {
		*ret = AUTH_CERTIFICATE;
		return rq->identity && rq->identity->kind == IDENTITY_CERT;
	}
	(void)str_cut(str_of(field), ' ', &scheme, &rest);
	*ret = str_eq_nocase(scheme, STR("Bearer")) ? AUTH_TOKEN : AUTH_PASSWORD;
	return true;
}

static void count_login(const struct request *rq, enum auth_source source, enum err_kind k)
{
	metrics_auth(rq->server->metrics, source,
		     k == ERR_OK         ? AUTH_OK
		     : k == ERR_LOGIN    ? AUTH_FAILED
		     : k == ERR_TOO_MANY ? AUTH_THROTTLED
					 : AUTH_ERROR);
}

static void count_request(const struct request *rq, enum err_kind k)
{
	enum auth_source source;

	if (source_of(rq, &source))
		count_login(rq, source, k);
}

static enum err_kind refuse_login(struct request *rq, const struct auth_failure *f, struct err *e)
{
	rq->about = RES_ANY;
	audit_login(rq, f->account, e);
	if (e->kind == ERR_TOO_MANY)
		reply_header(&rq->reply, RETRY_AFTER, "%llu",
			     (unsigned long long)(f->wait_ms + 999) / 1000);
	return e->kind == ERR_LOGIN ? ask_for_login(rq, true, e) : e->kind;
}

enum err_kind access_recall(struct request *rq, bool *ret_later, struct err *e)
{
	const struct auth_failure nobody = { .wait_ms = 0 };
	AUTO_IDENTITY *certificate = NULL;
	enum err_kind k = ERR_OK;

	if (rq->host.certificate)
		k = rq->host.certificate(rq->host.arg, &certificate, e);
	if (k == ERR_OK) {
		const struct credentials c = credentials_of(rq, certificate);

		k = auth_recall(rq->server->auth, &c, &rq->identity, e);
	}
	*ret_later = k == ERR_OK && !rq->identity;
	if (!*ret_later)
		count_request(rq, k);
	return k == ERR_OK ? ERR_OK : refuse_login(rq, &nobody, e);
}

enum err_kind access_identify(struct request *rq, struct err *e)
{
	const struct credentials c = credentials_of(rq, NULL); /* it named itself otherwise */
	struct auth_failure failure;
	enum err_kind k = auth_identify(rq->server->auth, &c, &rq->identity, &failure, e);

	count_request(rq, k);
	return k == ERR_OK ? ERR_OK : refuse_login(rq, &failure, e);
}

enum err_kind access_login(struct request *rq, struct err *e)
{
	bool later;
	enum err_kind k = access_recall(rq, &later, e);

	return k == ERR_OK && later ? access_identify(rq, e) : k;
}

enum err_kind access_login_password(struct request *rq, struct str name, struct str password,
				    struct err *e)
{
	struct auth_failure failure;
	enum err_kind k = auth_identify_password(rq->server->auth, name, password, rq->host.peer,
						 &rq->identity, &failure, e);

	count_login(rq, AUTH_PASSWORD, k);
	return k == ERR_OK ? ERR_OK : refuse_login(rq, &failure, e);
}

enum err_kind access_login_refresh(struct request *rq, struct str token, struct err *e)
{
	const struct auth_failure nobody = { .wait_ms = 0 };
	enum err_kind k = auth_identify_refresh(rq->server->auth, token, &rq->identity, e);

	count_login(rq, AUTH_REFRESH, k);
	return k == ERR_OK ? ERR_OK : refuse_login(rq, &nobody, e);
}

enum err_kind access_login_workload(struct request *rq, struct str token, struct err *e)
{
	const struct auth_failure nobody = { .wait_ms = 0 };
	enum err_kind k = auth_identify_workload(rq->server->auth, token, &rq->identity, e);

	count_login(rq, AUTH_WORKLOAD, k);
	return k == ERR_OK ? ERR_OK : refuse_login(rq, &nobody, e);
}

static bool is_nobody(const struct request *rq)
{
	return rq->identity->kind == IDENTITY_ANONYMOUS && !rq->identity->has_scope;
}

/*
 * A mount whose source may be read, but not by this token: a client that is told asks for a better one.  Where the source may
 * not be read at all, the mount is to become an upload, as if there were no such source.
 */
static bool lacks_source(const struct request *rq)
{
	struct repo_name from;
	struct str text;

	return rq->path.kind == PATH_UPLOADS && rq->identity->has_scope &&
	       request_query(rq, STR("mount"), &text) && request_query(rq, STR("from"), &text) &&
	       repo_name_parse(&from, text) && !access_may_pull(rq, repo_name_str(&from)) &&
	       auth_may_pull_unscoped(rq->server->auth, rq->identity, repo_name_str(&from));
}

static enum err_kind decide(struct request *rq, struct str repository, enum action action,
			    struct err *e)
{
	char text[DECISION_TEXT_MAX];

	rq->decision = auth_decide(rq->server->auth, rq->identity, repository, action);
	rq->decided = true;
	if (rq->decision.allowed && !lacks_source(rq))
		return ERR_OK;
	if (rq->decision.allowed)
		rq->decision = (struct decision){ false, WHY_BEYOND_SCOPE, 0 };
	if (rq->identity->kind == IDENTITY_ANONYMOUS || rq->identity->kind == IDENTITY_ISSUER ||
	    rq->decision.why == WHY_BEYOND_SCOPE)
		return ask_for_login(rq, false, e);
	rq->about = RES_ANY;
	metrics_denied(rq->server->metrics, action);
	log_event(LOG_DEBUG, "access.denied", "%s", decision_text(&rq->decision, text));
	return err_set(e, ERR_DENIED, __func__, "this is not allowed to who asks");
}

enum err_kind access_decide(struct request *rq, enum err_kind routed, struct err *e)
{
	if (routed != ERR_OK)
		return is_nobody(rq) ? ask_for_login(rq, false, e) : routed;
	switch (rq->route->scope) {
	case SCOPE_NONE:
		return ERR_OK;
	case SCOPE_CATALOG:
		if (rq->identity->has_scope && !rq->identity->scope_has_catalog)
			return ask_for_login(rq, false, e);
		return is_nobody(rq) ? ask_for_login(rq, false, e) : ERR_OK;
	case SCOPE_LOGIN:
	case SCOPE_ADMIN: /* and the handler asks access_admin */
		return is_nobody(rq) ? ask_for_login(rq, false, e) : ERR_OK;
	case SCOPE_PULL:
	case SCOPE_PUSH:
	case SCOPE_DELETE:
		return decide(rq, repo_name_str(&rq->path.repo), action_of(rq->route->scope), e);
	case SCOPE_N:
		break;
	}
	return err_set(e, ERR_BUG, __func__, "a route without a scope");
}

enum err_kind access_without_accounts(struct request *rq, struct err *e)
{
	if (rq->route->scope != SCOPE_ADMIN || request_is_nearby(rq))
		return ERR_OK;
	rq->about = RES_ANY;
	metrics_denied(rq->server->metrics, ACTION_ADMIN);
	return err_set(e, ERR_DENIED, __func__,
		       "without accounts (auth) this is for processes of this machine, at a "
		       "loopback address");
}

enum err_kind access_admin(struct request *rq, struct str repository, struct err *e)
{
	if (!rq->server->auth)
		return ERR_OK;
	if (rq->identity->kind == IDENTITY_ANONYMOUS)
		return ask_for_login(rq, false, e);
	return decide(rq, repository, ACTION_ADMIN, e);
}

bool access_is_admin(const struct request *rq, struct str repository)
{
	return !rq->server->auth ||
	       auth_decide(rq->server->auth, rq->identity, repository, ACTION_ADMIN).allowed;
}

const struct change_guard *access_admin_guard(struct request *rq)
{
	rq->guard = (struct change_guard){ .by_admin = true };
	if (rq->server->auth)
		rq->guard.who = identity_text(rq->identity, rq->who);
	return &rq->guard;
}

bool access_may_pull(const struct request *rq, struct str repository)
{
	return !rq->server->auth ||
	       auth_decide(rq->server->auth, rq->identity, repository, ACTION_PULL).allowed;
}

static bool may_read(const void *arg, const struct repo_name *repo)
{
	return access_may_pull(arg, repo_name_str(repo));
}

static bool tag_is_fixed(const void *arg, const struct repo_name *repo, struct str tag)
{
	const struct request *rq = arg;

	return auth_tag_is_fixed(rq->server->auth, rq->identity, repo_name_str(repo), tag);
}

const struct change_guard *access_guard(struct request *rq)
{
	if (!rq->server->auth)
		return NULL;
	rq->guard = (struct change_guard){ rq, may_read, tag_is_fixed, NULL, false };
	if (rq->identity->kind != IDENTITY_ANONYMOUS)
		rq->guard.who = identity_text(rq->identity, rq->who);
	return &rq->guard;
}
