#include "server/audit.h"

#include "server/route.h"

static void begin_line(struct log_line *l)
{
	log_begin_always(l, LOG_INFO, "audit");
}

static void begin(struct log_line *l, const struct request *rq, bool allowed, const char *action)
{
	begin_line(l);
	log_str(l, "result", allowed ? STR("allow") : STR("deny"));
	log_str(l, "action", str_of(action));
	log_str(l, "from", str_of(rq->host.peer));
	log_str(l, "id", str_of(rq->id));
}

void audit_login(const struct request *rq, const char *account, const struct err *why)
{
	struct log_line l;

	begin(&l, rq, false, "login");
	log_str(&l, "who", str_of(account));
	log_str(&l, "reason", str_of(why->msg));
	log_end(&l);
}

void audit_change(const char *action, const char *what)
{
	struct log_line l;

	begin_line(&l);
	log_str(&l, "result", STR("allow"));
	log_str(&l, "action", str_of(action));
	log_str(&l, "what", str_of(what));
	log_end(&l);
}

static const char *reply_digest(const struct request *rq)
{
	for (size_t i = 0; i < rq->reply.n_headers; i++) {
		if (strcmp(rq->reply.headers[i].name, "Docker-Content-Digest") == 0)
			return rq->reply.headers[i].value;
	}
	return NULL;
}

void audit_content(struct log_line *l, const struct request *rq)
{
	const char *told = reply_digest(rq);
	char text[DIGEST_TEXT_MAX];
	struct str digest;

	if (told)
		log_str(l, "digest", str_of(told));
	else if (rq->path.has_digest)
		log_str(l, "digest", str_of(digest_text(&rq->path.digest, text)));
	else if (request_query(rq, STR("digest"), &digest) ||
		 request_query(rq, STR("mount"), &digest))
		log_str(l, "digest", digest);
	if (rq->path.kind == PATH_MANIFEST && rq->path.tag.len)
		log_str(l, "tag", tag_name_str(&rq->path.tag));
}

void audit_write(const struct request *rq)
{
	char who[IDENTITY_TEXT_MAX], why[DECISION_TEXT_MAX];
	struct log_line l;

	if (!rq->decided || rq->method == METHOD_GET || rq->method == METHOD_HEAD)
		return;
	begin(&l, rq, rq->decision.allowed, scope_text(rq->route->scope));
	log_str(&l, "who", str_of(identity_text(rq->identity, who)));
	log_str(&l, "repository", repo_name_str(&rq->path.repo));
	audit_content(&l, rq);
	log_num(&l, "status", rq->answered ? rq->reply.status : 0);
	log_str(&l, "reason", str_of(decision_text(&rq->decision, why)));
	log_end(&l);
}
