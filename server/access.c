#include "server/access.h"

#include "auth/auth.h"
#include "server/audit.h"
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

static void challenge(struct request *rq)
{
	reply_header(&rq->reply, "WWW-Authenticate", "Basic realm=\"berth\"");
}

/* The same words for everything that is closed. */
static enum err_kind ask_for_login(struct request *rq, struct err *e)
{
	rq->about = RES_ANY;
	challenge(rq);
	return err_set(e, ERR_LOGIN, __func__, "authentication required");
}

static enum err_kind refuse_login(struct request *rq, const struct auth_failure *f, struct err *e)
{
	rq->about = RES_ANY;
	audit_login(rq, f->account, e);
	if (e->kind == ERR_TOO_MANY)
		reply_header(&rq->reply, RETRY_AFTER, "%llu",
			     (unsigned long long)(f->wait_ms + 999) / 1000);
	return e->kind == ERR_LOGIN ? ask_for_login(rq, e) : e->kind;
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
	return k == ERR_OK ? ERR_OK : refuse_login(rq, &nobody, e);
}

enum err_kind access_identify(struct request *rq, struct err *e)
{
	const struct credentials c = credentials_of(rq, NULL); /* it named itself otherwise */
	struct auth_failure failure;
	enum err_kind k = auth_identify(rq->server->auth, &c, &rq->identity, &failure, e);

	return k == ERR_OK ? ERR_OK : refuse_login(rq, &failure, e);
}

static bool is_nobody(const struct request *rq)
{
	return rq->identity->kind == IDENTITY_ANONYMOUS && !rq->identity->has_scope;
}

static enum err_kind decide_repository(struct request *rq, struct err *e)
{
	char text[DECISION_TEXT_MAX];
	enum action action = action_of(rq->route->scope);

	rq->decision =
	    auth_decide(rq->server->auth, rq->identity, repo_name_str(&rq->path.repo), action);
	rq->decided = true;
	if (rq->decision.allowed)
		return ERR_OK;
	if (rq->identity->kind == IDENTITY_ANONYMOUS || rq->decision.why == WHY_BEYOND_SCOPE)
		return ask_for_login(rq, e);
	rq->about = RES_ANY;
	log_event(LOG_DEBUG, "access.denied", "%s", decision_text(&rq->decision, text));
	return err_set(e, ERR_DENIED, __func__, "this is not allowed to who asks");
}

enum err_kind access_decide(struct request *rq, enum err_kind routed, struct err *e)
{
	if (routed != ERR_OK)
		return is_nobody(rq) ? ask_for_login(rq, e) : routed;
	switch (rq->route->scope) {
	case SCOPE_NONE:
		return ERR_OK;
	case SCOPE_LOGIN:
	case SCOPE_CATALOG:
		return is_nobody(rq) ? ask_for_login(rq, e) : ERR_OK;
	case SCOPE_PULL:
	case SCOPE_PUSH:
	case SCOPE_DELETE:
		return decide_repository(rq, e);
	case SCOPE_N:
		break;
	}
	return err_set(e, ERR_BUG, __func__, "a route without a scope");
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
	rq->guard = (struct change_guard){ rq, may_read, tag_is_fixed };
	return &rq->guard;
}
