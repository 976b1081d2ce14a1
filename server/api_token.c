#include "server/api.h"

#include "auth/auth.h"
#include "base/clock.h"
#include "base/secret.h"
#include "server/access.h"
#include "server/metrics.h"

#define JSON_MAX (64u * 1024)

enum err_kind api_token_open(struct request *rq, struct err *e)
{
	if (rq->server->auth && auth_has_tokens(rq->server->auth))
		return ERR_OK;
	rq->about = RES_PATH;
	return err_set(e, ERR_NOT_FOUND, __func__, "nothing is served here");
}

/* --- what is asked for --- */

/* distribution's "Token Authentication Specification": a token is for one service, which must be us. */
static enum err_kind check_service(struct request *rq, struct str service, struct err *e)
{
	if (service.n == 0 || str_eq(service, str_of(rq->conf->auth_tokens_service.p)))
		return ERR_OK;
	return request_fail(rq, e, ERR_INVALID, RES_ANY, "tokens here are for the service %.100s",
			    rq->conf->auth_tokens_service.p);
}

static enum err_kind add_scopes(struct request *rq, struct scopes *s, struct str list,
				struct err *e)
{
	enum err_kind k = scopes_add(s, list, e);

	if (k != ERR_OK)
		rq->about = RES_ANY;
	return k;
}

/* A plus in a query may be a blank, which no scope has inside. */
static enum err_kind query_scopes(struct request *rq, struct scopes *s, struct err *e)
{
	struct str list, part;
	enum err_kind k = ERR_OK;

	for (size_t i = 0; target_query(&rq->target, STR("scope"), i, &list) && k == ERR_OK; i++) {
		while (list.n && k == ERR_OK) {
			(void)str_cut(list, '+', &part, &list);
			k = add_scopes(rq, s, part, e);
		}
	}
	return k;
}

/* A field of the form.  False if it is there and malformed, too long, or there twice. */
static bool form_field(const struct request *rq, struct str key, struct secret_buf *ret)
{
	struct str rest = { rq->body.p ? rq->body.p : "", rq->body.n };
	bool found = false;

	ret->n = 0;
	while (rest.n) {
		struct str item, name, value;

		(void)str_cut(rest, '&', &item, &rest);
		(void)str_cut(item, '=', &name, &value);
		if (!str_eq(name, key))
			continue;
		if (found || !percent_decode(value, true, ret->p, SECRET_MAX, &ret->n))
			return false;
		found = true;
	}
	ret->p[ret->n] = '\0';
	return true;
}

/* --- the answer --- */

static struct jv *scope_value(const struct scopes *s)
{
	AUTO_SBUF b;
	char actions[ACTIONS_TEXT_MAX];

	sbuf_init(&b, JSON_MAX);
	sbuf_add(&b, "", 0);
	for (size_t i = 0; i < s->n; i++)
		sbuf_addf(&b, "%srepository:%s:%s", i ? " " : "", s->items[i].repository.s,
			  actions_text(s->items[i].actions, actions));
	return b.failed ? NULL : jv_pack("s%", b.p, b.n);
}

/* RFC 8693 2.2.1. */
static bool say_exchanged(struct jv *v)
{
	return jv_set(v, "issued_token_type",
		      jv_pack("s", "urn:ietf:params:oauth:token-type:access_token")) &&
	       jv_set(v, "token_type", jv_pack("s", "Bearer"));
}

static void send(struct request *rq, const struct auth_tokens *t, bool exchanged)
{
	char issued[TIME_TEXT_MAX];
	struct sbuf b;
	struct jv *v =
	    jv_pack("{s:s, s:s, s:I, s:s, s:o}", "token", t->access.p, "access_token", t->access.p,
		    "expires_in", (long long)(t->lifetime_ms / 1000), "issued_at",
		    time_text(t->issued_wall_ms, issued), "scope", scope_value(&t->granted));

	sbuf_init(&b, JSON_MAX);
	if (v && t->refresh.n && !jv_set(v, "refresh_token", jv_pack("s", t->refresh.p)))
		jv_free(&v);
	if (v && exchanged && !say_exchanged(v))
		jv_free(&v);
	jv_dump(v, &b);
	jv_free(&v);
	reply_header(&rq->reply, "Cache-Control", "no-store");
	reply_body(&rq->reply, 200, MEDIA_JSON, &b);
}

static enum err_kind issue(struct request *rq, const struct scopes *asked, bool wants_refresh,
			   bool exchanged, struct err *e)
{
	AUTO_AUTH_TOKENS t = { .issued_wall_ms = 0 };
	enum err_kind k = auth_issue(rq->server->auth, rq->identity, asked, wants_refresh, &t, e);

	if (k == ERR_OK) {
		metrics_token_issued(rq->server->metrics);
		send(rq, &t, exchanged);
	}
	return k;
}

static bool query_is(const struct request *rq, struct str key, struct str want)
{
	struct str value;

	return request_query(rq, key, &value) && str_eq(value, want);
}

enum err_kind api_token_get(struct request *rq, struct err *e)
{
	struct scopes asked = { .n = 0 };
	struct str service = { "", 0 };
	enum err_kind k;

	(void)request_query(rq, STR("service"), &service);
	k = check_service(rq, service, e);
	if (k == ERR_OK)
		k = query_scopes(rq, &asked, e);
	if (k == ERR_OK)
		k = access_login(rq, e);
	return k == ERR_OK
		   ? issue(rq, &asked, query_is(rq, STR("offline_token"), STR("true")), false, e)
		   : k;
}

/* --- the same as OAuth 2 (RFC 6749): the grants "password" and "refresh_token", and RFC 8693 for workloads --- */

#define TOKEN_EXCHANGE STR("urn:ietf:params:oauth:grant-type:token-exchange")

static enum err_kind bad_form(struct request *rq, struct err *e)
{
	return request_fail(rq, e, ERR_INVALID, RES_ANY, "malformed form");
}

static enum err_kind login_by_password(struct request *rq, struct err *e)
{
	AUTO_SECRET name = { .n = 0 }, password = { .n = 0 };

	if (!form_field(rq, STR("username"), &name) || !form_field(rq, STR("password"), &password))
		return bad_form(rq, e);
	if (name.n == 0 && password.n == 0)
		return access_login(rq, e); /* it may have come in the head */
	return access_login_password(rq, (struct str){ name.p, name.n },
				     (struct str){ password.p, password.n }, e);
}

static enum err_kind login_by_refresh(struct request *rq, struct err *e)
{
	AUTO_SECRET token = { .n = 0 };

	if (!form_field(rq, STR("refresh_token"), &token))
		return bad_form(rq, e);
	return access_login_refresh(rq, (struct str){ token.p, token.n }, e);
}

/* Whatever the kind that it says the token is of: what counts is who signed it, and for whom. */
static enum err_kind login_by_workload(struct request *rq, struct err *e)
{
	AUTO_SECRET token = { .n = 0 };

	if (!form_field(rq, STR("subject_token"), &token))
		return bad_form(rq, e);
	return access_login_workload(rq, (struct str){ token.p, token.n }, e);
}

static enum err_kind login_by_form(struct request *rq, struct str grant, struct err *e)
{
	if (str_eq(grant, STR("password")))
		return login_by_password(rq, e);
	if (str_eq(grant, STR("refresh_token")))
		return login_by_refresh(rq, e);
	if (str_eq(grant, TOKEN_EXCHANGE))
		return login_by_workload(rq, e);
	return request_fail(rq, e, ERR_INVALID, RES_ANY,
			    "grant_type must be password, refresh_token or token exchange");
}

enum err_kind api_token_post(struct request *rq, struct err *e)
{
	AUTO_SECRET service = { .n = 0 }, scope = { .n = 0 }, access = { .n = 0 },
		    grant = { .n = 0 };
	struct scopes asked = { .n = 0 };
	bool offline;
	enum err_kind k;

	if (!form_field(rq, STR("service"), &service) || !form_field(rq, STR("scope"), &scope) ||
	    !form_field(rq, STR("access_type"), &access) ||
	    !form_field(rq, STR("grant_type"), &grant))
		return bad_form(rq, e);
	offline = str_eq((struct str){ access.p, access.n }, STR("offline"));
	k = check_service(rq, (struct str){ service.p, service.n }, e);
	if (k == ERR_OK)
		k = add_scopes(rq, &asked, (struct str){ scope.p, scope.n }, e);
	if (k == ERR_OK)
		k = login_by_form(rq, (struct str){ grant.p, grant.n }, e);
	return k == ERR_OK ? issue(rq, &asked, offline,
				   str_eq((struct str){ grant.p, grant.n }, TOKEN_EXCHANGE), e)
			   : k;
}

enum err_kind api_jwks(struct request *rq, struct err *e)
{
	struct sbuf b;
	enum err_kind k;

	sbuf_init(&b, JSON_MAX);
	k = auth_publish(rq->server->auth, &b, e);
	if (k != ERR_OK) {
		sbuf_clear(&b);
		return k;
	}
	rq->reply.no_body = rq->method == METHOD_HEAD;
	rq->reply.length = b.n;
	reply_body(&rq->reply, 200, "application/jwk-set+json", &b);
	return ERR_OK;
}
