#include "auth/signin.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/secret.h"

#define PENDING_MAX 1024
#define PENDING_MS 600000
#define RANDOM_BYTES 16
#define RANDOM_MAX (2 * RANDOM_BYTES + 1)
#define VERIFIER_MAX (4 * RANDOM_BYTES + 1) /* 64 characters: RFC 7636 wants 43 to 128 */
#define URL_MAX 8192
#define ANSWER_DEPTH_MAX 8

/* A sign-in that was begun. */
struct pending {
	char state[RANDOM_MAX], ticket[RANDOM_MAX], nonce[RANDOM_MAX], verifier[VERIFIER_MAX];
	uint64_t until_mono_ms; /* 0: free */
};

struct signin {
	struct signin_options o;
	struct lock mu;
	struct pending pending[PENDING_MAX]; /* under mu */
};

_Static_assert(RANDOM_MAX == SIGNIN_TICKET_MAX, "a ticket is a random text");

static enum err_kind refuse(struct err *e, const char *why)
{
	return err_set(e, ERR_LOGIN, __func__, "sign-in: %s", why);
}

enum err_kind signin_new(const struct signin_options *o, struct signin **ret, struct err *e)
{
	struct signin *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for sign-ins");
	s->o = *o;
	lock_init(&s->mu, LOCK_AUTH);
	*ret = s;
	return ERR_OK;
}

void signin_free(struct signin **take)
{
	struct signin *s = TAKE(*take);

	if (!s)
		return;
	lock_clear(&s->mu);
	secret_wipe(s, sizeof(*s));
	free(s);
}

void signin_start_clear(struct signin_start *s)
{
	sbuf_clear(&s->url);
}

/* --- what is remembered --- */

static void random_text(char *buf, size_t n_bytes)
{
	uint8_t bytes[2 * RANDOM_BYTES];

	random_bytes(bytes, n_bytes);
	hex_lower(bytes, n_bytes, buf);
	buf[2 * n_bytes] = '\0';
}

/* In a free place, or that of the oldest. */
static void remember(struct signin *s, const struct pending *p)
{
	struct pending *at = &s->pending[0];
	uint64_t now = mono_ms();

	lock_get(&s->mu);
	for (size_t i = 0; i < PENDING_MAX; i++) {
		if (s->pending[i].until_mono_ms <= now) {
			at = &s->pending[i];
			break;
		}
		if (s->pending[i].until_mono_ms < at->until_mono_ms)
			at = &s->pending[i];
	}
	*at = *p;
	lock_put(&s->mu);
}

/* Whatever comes of it, the state is used up. */
static bool recall(struct signin *s, struct str state, struct str ticket, struct pending *ret)
{
	bool found = false;

	if (state.n != RANDOM_MAX - 1 || ticket.n != RANDOM_MAX - 1)
		return false;
	lock_get(&s->mu);
	for (size_t i = 0; i < PENDING_MAX && !found; i++) {
		struct pending *p = &s->pending[i];

		if (p->until_mono_ms == 0 || !secret_eq(p->state, state.p, state.n))
			continue;
		found = p->until_mono_ms > mono_ms() && secret_eq(p->ticket, ticket.p, ticket.n);
		*ret = *p;
		secret_wipe(p, sizeof(*p));
		break;
	}
	lock_put(&s->mu);
	return found;
}

/* --- addresses --- */

static void add_field(struct sbuf *b, const char *name, struct str value)
{
	sbuf_addf(b, "%s%s=", b->n && b->p[b->n - 1] != '?' ? "&" : "", name);
	sbuf_add_percent(b, value, "");
}

/* One that the provider publishes. */
static enum err_kind endpoint(const struct jv *doc, const char *name, struct str *ret,
			      struct err *e)
{
	if (jv_text(jv_member(doc, name), ret) && fetch_may(ret->p))
		return ERR_OK;
	return err_set(e, ERR_AWAY, __func__, "the provider publishes no usable %s", name);
}

static enum err_kind fill_url(const struct signin *s, const struct pending *p, struct str at,
			      struct sbuf *b, struct err *e)
{
	char challenge[BASE64URL_SHA256_MAX];
	struct digest d;
	enum err_kind k = hash_bytes(DIGEST_SHA256, p->verifier, strlen(p->verifier), &d, e);

	if (k != ERR_OK)
		return k;
	base64url_sha256(d.bytes, challenge);
	sbuf_init(b, URL_MAX);
	sbuf_add_str(b, at);
	if (!memchr(at.p, '?', at.n))
		sbuf_add(b, "?", 1);
	add_field(b, "response_type", STR("code"));
	add_field(b, "client_id", issuer_audience(s->o.issuer));
	add_field(b, "redirect_uri", str_of(s->o.redirect_url));
	add_field(b, "scope", str_of(s->o.scope));
	add_field(b, "state", str_of(p->state));
	add_field(b, "nonce", str_of(p->nonce));
	add_field(b, "code_challenge", str_of(challenge));
	add_field(b, "code_challenge_method", STR("S256"));
	return b->failed ? err_set(e, ERR_NO_MEMORY, __func__, "no memory for an address") : ERR_OK;
}

enum err_kind signin_begin(struct signin *s, struct signin_start *ret, struct err *e)
{
	AUTO_JV *doc = NULL;
	struct pending p = { .until_mono_ms = mono_ms() + PENDING_MS };
	struct str at;
	enum err_kind k = issuer_discover(s->o.issuer, &doc, e);

	ret->url = (struct sbuf){ .n = 0 };
	if (k == ERR_OK)
		k = endpoint(doc, "authorization_endpoint", &at, e);
	if (k != ERR_OK)
		return k;
	random_text(p.state, RANDOM_BYTES);
	random_text(p.ticket, RANDOM_BYTES);
	random_text(p.nonce, RANDOM_BYTES);
	random_text(p.verifier, 2 * RANDOM_BYTES);
	k = fill_url(s, &p, at, &ret->url, e);
	if (k == ERR_OK) {
		memcpy(ret->ticket, p.ticket, sizeof(ret->ticket));
		remember(s, &p);
	}
	secret_wipe(&p, sizeof(p));
	return k;
}

/* --- the code --- */

/* NAME:PASSWORD, both encoded as a form would (RFC 6749 2.3.1). */
static void add_client(const struct signin *s, struct sbuf *b)
{
	sbuf_add_percent(b, issuer_audience(s->o.issuer), "");
	sbuf_add(b, ":", 1);
	sbuf_add_percent(b, str_of(s->o.client_secret), "");
}

static enum err_kind redeem(const struct signin *s, const struct pending *p, struct str code,
			    struct jv **ret, struct err *e)
{
	AUTO_JV *doc = NULL;
	AUTO_SBUF form, client, answer = { .n = 0 };
	struct str at;
	enum err_kind k = issuer_discover(s->o.issuer, &doc, e);

	sbuf_init(&form, URL_MAX);
	sbuf_init(&client, URL_MAX);
	if (k == ERR_OK)
		k = endpoint(doc, "token_endpoint", &at, e);
	if (k != ERR_OK)
		return k;
	add_field(&form, "grant_type", STR("authorization_code"));
	add_field(&form, "code", code);
	add_field(&form, "redirect_uri", str_of(s->o.redirect_url));
	add_field(&form, "code_verifier", str_of(p->verifier));
	if (s->o.client_secret)
		add_client(s, &client);
	else
		add_field(&form, "client_id", issuer_audience(s->o.issuer));
	if (form.failed || client.failed)
		return refuse(e, "the code is too long");
	k = fetch_post(issuer_fetch(s->o.issuer), at.p, (struct str){ form.p, form.n },
		       s->o.client_secret ? client.p : NULL, &answer, e);
	if (k == ERR_OK && jv_parse_object((struct str){ answer.p ? answer.p : "", answer.n },
					   ANSWER_DEPTH_MAX, ret, e) != ERR_OK)
		k = err_set(e, ERR_AWAY, __func__, "the provider's answer is no JSON");
	if (client.p)
		secret_wipe(client.p, client.cap);
	if (answer.p)
		secret_wipe(answer.p, answer.cap);
	return k;
}

/* OpenID Connect Core 3.1.3.7, as far as issuer_verify has not. */
static enum err_kind check_id_token(const struct signin *s, const struct pending *p,
				    const struct jv *claims, struct err *e)
{
	const struct jv *azp = jv_member(claims, "azp"), *aud = jv_member(claims, "aud");
	struct str text;

	if (!jv_text(jv_member(claims, "nonce"), &text) || text.n != RANDOM_MAX - 1 ||
	    !secret_eq(text.p, p->nonce, text.n))
		return refuse(e, "the token is of another sign-in");
	if (jv_count(aud) > 1 && !azp)
		return refuse(e, "the token does not say which of several it is for");
	if (azp && (!jv_text(azp, &text) || !str_eq(text, issuer_audience(s->o.issuer))))
		return refuse(e, "the token was given to somebody else");
	return ERR_OK;
}

static enum err_kind finish(struct signin *s, const struct pending *p, struct str code,
			    struct identity **ret, struct err *e)
{
	AUTO_JV *answer = NULL, *claims = NULL;
	struct str token;
	uint64_t until_ms;
	enum err_kind k = redeem(s, p, code, &answer, e);

	if (k != ERR_OK)
		return k;
	if (!jv_text(jv_member(answer, "id_token"), &token))
		return refuse(e, "the provider gave no ID token");
	k = issuer_verify(s->o.issuer, token, wall_ms(), &claims, &until_ms, e);
	if (k == ERR_OK)
		k = check_id_token(s, p, claims, e);
	return k == ERR_OK ? claimmap_identify(s->o.map, claims, issuer_name(s->o.issuer).p,
					       until_ms, ret, e)
			   : k;
}

enum err_kind signin_finish(struct signin *s, struct str state, struct str ticket, struct str code,
			    struct identity **ret, struct err *e)
{
	struct pending p;
	enum err_kind k;

	if (!recall(s, state, ticket, &p))
		return refuse(e, "it was not begun here, or too long ago, or is over already");
	k = finish(s, &p, code, ret, e);
	secret_wipe(&p, sizeof(p));
	return k;
}
