#include "runtime/image/exchange.h"

#include "base/clock.h"
#include "base/jv.h"
#include "runtime/image/url.h"

#define CHALLENGES_MAX 2 /* a token may run out in the middle */
#define HEADER_FIELDS_MAX (EXCHANGE_HEADERS_MAX + 3)

static void wipe(struct sbuf *b)
{
	if (b->p)
		secret_wipe(b->p, b->cap);
	sbuf_clear(b);
}

static enum err_kind make_url(const struct exchange *x, struct sbuf *b, struct err *e)
{
	if (x->redirect)
		sbuf_addf(b, "%s", x->redirect);
	else if (x->url)
		sbuf_addf(b, "%s", x->url);
	else
		endpoint_url(x->ep, x->repo, x->rest, b);
	return b->failed
		   ? err_set(e, ERR_TOO_LARGE, __func__, "a URL of more than %d bytes", URL_MAX)
		   : ERR_OK;
}

enum err_kind exchange_start(struct exchange *x, struct err *e)
{
	AUTO_SBUF url;
	CLEANUP(wipe) struct sbuf authorization;
	const char *headers[HEADER_FIELDS_MAX] = { NULL };
	struct transfer_request r = x->body;
	char range[64];
	size_t n = 0;
	enum err_kind k;

	sbuf_init(&url, URL_MAX);
	sbuf_init(&authorization, ENDPOINT_TOKEN_MAX + 64);
	for (; n < EXCHANGE_HEADERS_MAX && x->headers[n]; n++)
		headers[n] = x->headers[n];
	x->offset_before = x->offset ? x->offset(x->body.arg) : 0;
	if (x->offset_before > 0) {
		(void)snprintf(range, sizeof(range), "Range: bytes=%llu-",
			       (unsigned long long)x->offset_before);
		headers[n++] = range;
	}
	k = make_url(x, &url, e);
	if (k == ERR_OK && !x->redirect_is_foreign)
		k = authorize_field(x->authorizer, x->ep, x->repo ? x->repo->s : NULL, x->scope,
				    &authorization, e);
	if (k != ERR_OK)
		return k;
	if (authorization.n)
		headers[n++] = authorization.p;
	r.method = x->method;
	r.url = url.p;
	r.headers = headers;
	r.tls = x->ep->tls;
	if (x->redirect_is_foreign)
		r.tls.cert_file = r.tls.key_file = NULL;
	transfer_job_free(&x->job);
	return transfer_start(x->authorizer->transfer, &r, &x->job, e);
}

/* --- What to do with an answer --- */

static enum err_kind again(struct exchange *x, uint64_t wait_ms, enum exchange_state *ret)
{
	x->not_before_mono_ms = mono_ms() + wait_ms;
	*ret = EXCHANGE_AGAIN;
	return ERR_OK;
}

/* From the beginning: where a redirect led may have been a place for a while only (G2). */
static void forget_redirect(struct exchange *x)
{
	if (!x->redirect)
		return;
	free(TAKE(x->redirect));
	x->redirect_is_foreign = false;
	x->redirects = 0;
}

static enum err_kind try_again(struct exchange *x, enum exchange_state *ret, struct err *e)
{
	struct err why;
	enum err_kind k = transfer_outcome(x->job, &why);

	if (x->offset && x->offset(x->body.arg) > x->offset_before)
		x->tries = 0; /* it got on */
	if (x->once || ++x->tries >= (x->tries_max ? x->tries_max : EXCHANGE_TRIES)) {
		if (k != ERR_OK) {
			*e = why;
			return err_wrap(e, "%s", x->ep->registry);
		}
		*ret = EXCHANGE_DONE; /* its status says what is wrong */
		return ERR_OK;
	}
	forget_redirect(x);
	return again(x, transfer_backoff_ms(x->job, x->tries), ret);
}

/* E2: where HTTP would do, it is tried when HTTPS does not work. */
static bool falls_back(struct exchange *x)
{
	if (x->ep->scheme_is_known || !x->ep->may_use_http || x->url || x->redirect ||
	    !transfer_is_not_tls(x->job))
		return false;
	x->ep->is_http = true;
	x->ep->scheme_is_known = true;
	return true;
}

static enum err_kind go_to(struct exchange *x, enum exchange_state *ret, struct err *e)
{
	struct url from, to;
	char *target = strdup(transfer_redirect(x->job));

	free(TAKE(x->redirect));
	x->redirect = target;
	if (!target)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a redirect");
	if (++x->redirects > EXCHANGE_REDIRECTS_MAX)
		return err_set(e, ERR_IO, __func__, "%s redirects without end", x->ep->registry);
	if (!url_parse(&from, str_of(transfer_url(x->job))) || !url_parse(&to, str_of(target)))
		return err_set(e, ERR_INVALID, __func__, "%s redirects to no place that is HTTP",
			       x->ep->registry);
	if (from.is_https && !to.is_https)
		return err_set(e, ERR_DENIED, __func__,
			       "%s redirects from HTTPS to plain HTTP at %.100s: not followed",
			       x->ep->registry, to.host);
	/* Once elsewhere, always elsewhere: the way back was chosen by somebody else. */
	x->redirect_is_foreign = x->redirect_is_foreign || !url_same_origin(&from, &to);
	return again(x, 0, ret);
}

static enum err_kind answer_challenge(struct exchange *x, enum exchange_state *ret, struct err *e)
{
	enum err_kind k;

	if (x->redirect_is_foreign || ++x->challenges > CHALLENGES_MAX) {
		*ret = EXCHANGE_DONE;
		return ERR_OK;
	}
	k = authorize_challenge(x->authorizer, x->ep, x->job, x->repo ? x->repo->s : NULL, x->scope,
				e);
	return k == ERR_OK ? again(x, 0, ret) : k;
}

static bool follows_redirects(const struct exchange *x)
{
	return strcmp(x->method, "GET") == 0 || strcmp(x->method, "HEAD") == 0;
}

enum err_kind exchange_next(struct exchange *x, enum exchange_state *ret, struct err *e)
{
	struct err why;
	enum err_kind k = transfer_outcome(x->job, &why);

	if (k != ERR_OK && falls_back(x))
		return again(x, 0, ret);
	if (transfer_may_pass(x->job))
		return try_again(x, ret, e);
	if (k != ERR_OK) {
		*e = why;
		return err_wrap(e, "%s", x->ep->registry);
	}
	x->ep->scheme_is_known = true;
	if (transfer_status(x->job) == 401)
		return answer_challenge(x, ret, e);
	if (transfer_redirect(x->job) && follows_redirects(x))
		return go_to(x, ret, e);
	*ret = EXCHANGE_DONE;
	return ERR_OK;
}

enum err_kind exchange_run(struct exchange *x, struct err *e)
{
	enum exchange_state state = EXCHANGE_AGAIN;
	enum err_kind k = ERR_OK;

	while (k == ERR_OK && state == EXCHANGE_AGAIN) {
		uint64_t now = mono_ms();
		uint64_t wait = x->not_before_mono_ms > now ? x->not_before_mono_ms - now : 0;

		if (wait)
			sleep_ms(wait);
		k = exchange_start(x, e);
		if (k == ERR_OK)
			k = transfer_finish(x->job, e);
		if (k == ERR_OK)
			k = exchange_next(x, &state, e);
	}
	return k;
}

void exchange_clear(struct exchange *x)
{
	transfer_job_free(&x->job);
	free(TAKE(x->redirect));
	free(TAKE(x->url));
}

/* --- Refusals --- */

static const struct {
	long status;
	enum err_kind kind;
	const char *text;
} statuses[] = {
	{ 400, ERR_INVALID, "bad request" },
	{ 401, ERR_DENIED, "not authorised" },
	{ 403, ERR_DENIED, "access denied" },
	{ 404, ERR_NOT_FOUND, "not found" },
	{ 405, ERR_UNSUPPORTED, "not supported" },
	{ 406, ERR_UNSUPPORTED, "not acceptable" },
	{ 413, ERR_TOO_LARGE, "too large" },
	{ 415, ERR_UNSUPPORTED, "unsupported media type" },
	{ 416, ERR_RANGE, "range not satisfiable" },
	{ 429, ERR_TOO_MANY, "too many requests" },
	{ 507, ERR_NO_SPACE, "the registry is full" },
};

/* The first error that the registry tells (distribution-spec "Error Codes"). */
static void told_error(const struct exchange *x, char *buf, size_t cap)
{
	AUTO_JV *v = NULL;
	struct err ignored;
	struct str code = { "", 0 }, message = { "", 0 };
	const struct jv *first;

	buf[0] = '\0';
	if (jv_parse_object(transfer_body(x->job), 16, &v, &ignored) != ERR_OK)
		return;
	first = jv_at(jv_member(v, "errors"), 0);
	(void)jv_text(jv_member(first, "code"), &code);
	(void)jv_text(jv_member(first, "message"), &message);
	if (code.n || message.n)
		(void)snprintf(buf, cap, ": %.*s%s%.*s", (int)MIN(code.n, (size_t)40), code.p,
			       code.n && message.n ? ", " : "", (int)MIN(message.n, (size_t)100),
			       message.p);
}

enum err_kind exchange_refused(const struct exchange *x, const char *what, struct err *e)
{
	long status = transfer_status(x->job);
	char told[200];

	told_error(x, told, sizeof(told));
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		if (statuses[i].status == status)
			return err_set(e, statuses[i].kind, __func__, "%s: %s (%ld%s)%s", what,
				       statuses[i].text, status, told,
				       status == 401 ? ": log in with berth login" : "");
	}
	return err_set(e, ERR_IO, __func__, "%s: %s answers %ld%s", what, x->ep->registry, status,
		       told);
}
