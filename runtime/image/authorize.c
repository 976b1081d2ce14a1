#include "runtime/image/authorize.h"

#include "base/clock.h"
#include "base/jv.h"
#include "runtime/image/url.h"

#define FIELDS_MAX 16 /* WWW-Authenticate fields of one answer */
#define ANSWER_MAX (256u * 1024)
#define TRIES 4
#define LIFE_S_DEFAULT 60 /* distribution-spec: when expires_in is not told */
#define LIFE_S_MARGIN 10
#define LIFE_S_MAX (24u * 3600)

static void wipe(struct sbuf *b)
{
	if (b->p)
		secret_wipe(b->p, b->cap);
	sbuf_clear(b);
}
#define AUTO_WIPED CLEANUP(wipe) struct sbuf

static enum err_kind find_credential(const struct authorizer *a, struct endpoint *ep,
				     const char *repo, struct err *e)
{
	enum err_kind k;

	if (ep->looked_for_credential)
		return ERR_OK;
	ep->looked_for_credential = true;
	if (a->given) {
		ep->credential = *a->given;
		ep->has_credential = true;
		return ERR_OK;
	}
	k = credfile_find(a->authfile, ep->registry, repo, &ep->credential, e);
	ep->has_credential = k == ERR_OK;
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

static bool add_basic(const struct credential *c, struct sbuf *b)
{
	AUTO_SECRET plain, text;
	int n = snprintf(plain.p, SECRET_MAX, "%s:%s", c->user, c->secret);

	plain.n = (size_t)n;
	if (n < 0 || n >= SECRET_MAX || !base64_encode((struct str){ plain.p, plain.n }, &text))
		return false;
	sbuf_addf(b, "Authorization: Basic %s", text.p);
	return true;
}

/* --- Which places may be told a password (A1) --- */

/* "registry.example.com" and "auth.example.com": the parent, if it has two labels or more. */
static bool same_parent(const char *registry, const char *realm)
{
	const char *parent = strchr(registry, '.');
	size_t n, m;

	if (strcmp(registry, realm) == 0)
		return true;
	if (!parent || !strchr(parent + 1, '.') ||
	    strspn(registry, "0123456789.") == strlen(registry))
		return false;
	if (strcmp(parent + 1, realm) == 0)
		return true;
	n = strlen(realm);
	m = strlen(parent);
	return n > m && strcmp(realm + n - m, parent) == 0;
}

bool authorize_trusts_realm(const struct endpoint *ep, const char *realm)
{
	struct url u;
	char host[REFERENCE_HOST_MAX + 1];
	struct str name = str_of(ep->host);

	if (!url_parse(&u, str_of(realm)) || (!u.is_https && !ep->is_http))
		return false;
	for (size_t i = 0; ep->conf && i < ep->conf->n_realms; i++) {
		if (strcmp(ep->conf->realms[i], u.host) == 0)
			return true;
	}
	if (name.p[0] == '[')
		name.n = (size_t)(strchr(name.p, ']') - name.p) + 1;
	else
		(void)str_cut(name, ':', &name, &(struct str){ 0 });
	return str_copy(name, host, sizeof(host)) && same_parent(host, u.host);
}

/* --- Tokens --- */

static const struct endpoint_token *find_token(const struct endpoint *ep, const char *scope)
{
	for (const struct endpoint_token *t = ep->tokens; t; t = t->next) {
		if (strcmp(t->scope, scope) == 0 && t->until_mono_ms > mono_ms())
			return t;
	}
	return NULL;
}

static enum err_kind keep_token(struct endpoint *ep, const char *scope, struct str text,
				uint64_t life_s, struct err *e)
{
	struct endpoint_token *t = calloc(1, sizeof(*t));

	if (t)
		t->text = strndup(text.p, text.n);
	if (!t || !t->text) {
		free(t);
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a token");
	}
	(void)snprintf(t->scope, sizeof(t->scope), "%s", scope);
	life_s = MIN(life_s, (uint64_t)LIFE_S_MAX);
	t->until_mono_ms =
	    mono_ms() + 1000 * (life_s > 2 * LIFE_S_MARGIN ? life_s - LIFE_S_MARGIN : life_s);
	t->next = ep->tokens; /* the newest is found first */
	ep->tokens = t;
	return ERR_OK;
}

static bool is_token_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f)
			return false;
	}
	return s.n > 0 && s.n <= ENDPOINT_TOKEN_MAX;
}

static enum err_kind take_token(struct endpoint *ep, const char *scope, struct str body,
				struct err *e)
{
	AUTO_JV *v = NULL;
	struct str text = { "", 0 };
	uint64_t life_s = LIFE_S_DEFAULT;
	enum err_kind k = jv_parse_object(body, 16, &v, e);

	if (k != ERR_OK)
		return err_wrap(e, "answer of the token service");
	if (!jv_text(jv_member(v, "token"), &text) || text.n == 0)
		(void)jv_text(jv_member(v, "access_token"), &text);
	(void)jv_uint(jv_member(v, "expires_in"), &life_s);
	if (!is_token_text(text))
		return err_set(e, ERR_INVALID, __func__, "the token service sent no token");
	return keep_token(ep, scope, text, life_s, e);
}

/* "repository:a:pull,push" is asked for as the registry said it, where that is for the same thing. */
static void add_scope_query(const struct endpoint *ep, const char *scope, bool as_form,
			    struct sbuf *b)
{
	const char *asked = *scope ? scope : ep->challenge.scope;

	if (!*asked)
		return;
	if (as_form) {
		sbuf_addf(b, "&scope=");
		sbuf_add_percent(b, str_of(asked), "");
		return;
	}
	for (struct str rest = str_of(asked), one; rest.n;) {
		(void)str_cut(rest, ' ', &one, &rest);
		url_add_query(b, "scope", one);
	}
}

/* As exchange.h G1 has it. */
static enum err_kind run_patiently(const struct authorizer *a, const struct transfer_request *r,
				   struct transfer_job **ret, struct err *e)
{
	enum err_kind k = transfer_run(a->transfer, r, ret, e);

	for (unsigned i = 1; k == ERR_OK && i < TRIES && transfer_may_pass(*ret); i++) {
		sleep_ms(transfer_backoff_ms(*ret, i));
		transfer_job_free(ret);
		k = transfer_run(a->transfer, r, ret, e);
	}
	return k;
}

static enum err_kind ask(const struct authorizer *a, struct endpoint *ep,
			 const struct transfer_request *r, const char *scope, struct err *e)
{
	AUTO_TRANSFER_JOB *answer = NULL;
	enum err_kind k = run_patiently(a, r, &answer, e);

	if (k == ERR_OK)
		k = transfer_outcome(answer, e);
	if (k != ERR_OK)
		return err_wrap(e, "token for %s", ep->registry);
	if (transfer_status(answer) == 401 || transfer_status(answer) == 403)
		return err_set(
		    e, ERR_DENIED, __func__, "%s refuses %s: berth login %s", ep->registry,
		    ep->has_credential ? "user and password" : "access without a password",
		    ep->registry);
	if (transfer_status(answer) != 200)
		return err_set(e, ERR_IO, __func__, "%s: the token service answers %ld",
			       ep->registry, transfer_status(answer));
	return take_token(ep, scope, transfer_body(answer), e);
}

static enum err_kind ask_by_get(const struct authorizer *a, struct endpoint *ep, const char *scope,
				bool with_password, struct err *e)
{
	AUTO_SBUF url;
	AUTO_WIPED field;
	const char *headers[2] = { NULL, NULL };
	struct transfer_request r = {
		.method = "GET", .headers = headers, .tls = ep->tls, .body_max = ANSWER_MAX
	};

	sbuf_init(&url, URL_MAX);
	sbuf_init(&field, 2 * SECRET_MAX);
	sbuf_addf(&url, "%s", ep->challenge.realm);
	if (ep->challenge.service[0])
		url_add_query(&url, "service", str_of(ep->challenge.service));
	add_scope_query(ep, scope, false, &url);
	if (with_password) {
		if (ep->credential.user[0])
			url_add_query(&url, "account", str_of(ep->credential.user));
		if (!add_basic(&ep->credential, &field))
			return err_set(e, ERR_TOO_LARGE, __func__, "the password is too long");
		headers[0] = field.p;
	}
	if (url.failed)
		return err_set(e, ERR_TOO_LARGE, __func__, "%s: the place for tokens is too long",
			       ep->registry);
	r.url = url.p;
	return ask(a, ep, &r, scope, e);
}

static enum err_kind ask_by_refresh(const struct authorizer *a, struct endpoint *ep,
				    const char *scope, struct err *e)
{
	AUTO_WIPED form;
	const char *headers[] = { "Content-Type: application/x-www-form-urlencoded", NULL };
	struct transfer_request r = { .method = "POST",
				      .url = ep->challenge.realm,
				      .headers = headers,
				      .tls = ep->tls,
				      .body_max = ANSWER_MAX };

	sbuf_init(&form, 4 * SECRET_MAX);
	sbuf_addf(&form, "grant_type=refresh_token&client_id=berth&service=");
	sbuf_add_percent(&form, str_of(ep->challenge.service), "");
	sbuf_addf(&form, "&refresh_token=");
	sbuf_add_percent(&form, str_of(ep->credential.secret), "");
	add_scope_query(ep, scope, true, &form);
	if (form.failed)
		return err_set(e, ERR_TOO_LARGE, __func__, "%s: the refresh token is too long",
			       ep->registry);
	r.body = (struct str){ form.p, form.n };
	return ask(a, ep, &r, scope, e);
}

static enum err_kind fetch_token(const struct authorizer *a, struct endpoint *ep, const char *scope,
				 struct err *e)
{
	bool trusted = authorize_trusts_realm(ep, ep->challenge.realm);
	struct url u;
	enum err_kind k;

	if (!url_parse(&u, str_of(ep->challenge.realm)))
		return err_set(e, ERR_INVALID, __func__, "%s names no place for tokens",
			       ep->registry);
	if (ep->has_credential && trusted && ep->credential.is_token)
		return ask_by_refresh(a, ep, scope, e);
	k = ask_by_get(a, ep, scope, ep->has_credential && trusted, e);
	if (k == ERR_DENIED && ep->has_credential && !trusted)
		return err_set(
		    e, ERR_DENIED, __func__,
		    "%s wants its password told to %.100s: not done unless \"realms\" in "
		    "registries.json lists it",
		    ep->registry, u.host);
	return k;
}

enum err_kind authorize_field(const struct authorizer *a, struct endpoint *ep, const char *repo,
			      const char *scope, struct sbuf *b, struct err *e)
{
	const struct endpoint_token *t;
	enum err_kind k;

	if (ep->challenge.kind == CHALLENGE_NONE)
		return ERR_OK;
	k = find_credential(a, ep, repo, e);
	if (k != ERR_OK)
		return k;
	if (ep->challenge.kind == CHALLENGE_BASIC) {
		if (ep->has_credential && !ep->credential.is_token &&
		    !add_basic(&ep->credential, b))
			return err_set(e, ERR_TOO_LARGE, __func__, "the password is too long");
		return ERR_OK;
	}
	t = find_token(ep, scope);
	if (!t) {
		k = fetch_token(a, ep, scope, e);
		t = ep->tokens;
	}
	if (k == ERR_OK)
		sbuf_addf(b, "Authorization: Bearer %s", t->text);
	return k;
}

static bool strongest_challenge(const struct transfer_job *answer, struct challenge *ret)
{
	struct challenge c;
	struct str field;
	bool found = false;

	for (unsigned i = 0;
	     i < FIELDS_MAX && transfer_header(answer, "WWW-Authenticate", i, &field); i++) {
		if (challenge_parse(field, &c) && (!found || c.kind > ret->kind)) {
			*ret = c;
			found = true;
		}
	}
	return found;
}

/* A token that is refused although its time is not over must not be used again. */
static void drop_tokens(struct endpoint *ep, const char *scope)
{
	for (struct endpoint_token *t = ep->tokens; t; t = t->next) {
		if (strcmp(t->scope, scope) == 0)
			t->until_mono_ms = 0;
	}
}

enum err_kind authorize_challenge(const struct authorizer *a, struct endpoint *ep,
				  const struct transfer_job *answer, const char *repo,
				  const char *scope, struct err *e)
{
	bool asked_before = ep->challenge.kind == CHALLENGE_BASIC;
	enum err_kind k;

	if (!strongest_challenge(answer, &ep->challenge))
		return err_set(e, ERR_DENIED, __func__, "%s refuses, and asks for nothing we know",
			       ep->registry);
	drop_tokens(ep, scope);
	k = find_credential(a, ep, repo, e);
	if (k != ERR_OK)
		return k;
	if (ep->challenge.kind == CHALLENGE_BASIC && (!ep->has_credential || asked_before))
		return err_set(e, ERR_DENIED, __func__, "%s %s: berth login %s", ep->registry,
			       ep->has_credential ? "refuses user and password"
						  : "wants a password",
			       ep->registry);
	return ERR_OK;
}
