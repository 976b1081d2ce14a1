#include "auth/jose.h"

#include <cjose/cjose.h>

#include "base/ed25519.h"
#include "base/hash.h"
#include "base/secret.h"

#define HEADER_DEPTH_MAX 8
#define PAYLOAD_DEPTH_MAX 16
#define KEYS_MAX 100 /* of one set */
#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192
#define KID_BYTES 16

struct jose_key {
	char kid[2 * KID_BYTES + 1];
	cjose_jwk_t *jwk;
};

/* --- text --- */

struct parts {
	struct str header, payload, signature;
};

static bool split(struct str token, struct parts *ret)
{
	struct str rest;

	return token.n <= TOKEN_MAX && str_cut(token, '.', &ret->header, &rest) &&
	       str_cut(rest, '.', &ret->payload, &ret->signature) &&
	       base64url_is_canonical(ret->header) && base64url_is_canonical(ret->payload) &&
	       base64url_is_canonical(ret->signature);
}

bool jose_looks_like_token(struct str text)
{
	struct parts p;

	return split(text, &p);
}

enum err_kind token_refuse(struct err *e, const char *why)
{
	return err_set(e, ERR_LOGIN, __func__, "token: %s", why);
}

static enum err_kind decode(struct str part, unsigned depth_max, struct jv **ret, struct err *e)
{
	uint8_t *bytes = NULL;
	size_t n = 0;
	cjose_err why;
	enum err_kind k;

	if (!cjose_base64url_decode(part.p, part.n, &bytes, &n, &why))
		return token_refuse(e, "it does not decode");
	k = jv_parse_object((struct str){ (const char *)bytes, n }, depth_max, ret, e);
	cjose_get_dealloc()(bytes);
	return k == ERR_INVALID ? token_refuse(e, "it does not hold JSON") : k;
}

enum err_kind jose_peek(struct str token, struct jv **ret_payload, struct err *e)
{
	struct parts p;

	if (!split(token, &p))
		return token_refuse(e, "it is not three parts in base64url");
	return decode(p.payload, PAYLOAD_DEPTH_MAX, ret_payload, e);
}

/* --- sets of keys --- */

static const struct algorithm {
	const char *alg, *kty, *crv;
	size_t signature_bytes; /* 0: as long as the key, which RSA looks at itself */
} algorithms[] = {
	/* the first that fits a key is what it is for, unless it says more */
	{ "RS256", "RSA", NULL, 0 },
	{ "RS384", "RSA", NULL, 0 },
	{ "RS512", "RSA", NULL, 0 },
	{ "PS256", "RSA", NULL, 0 },
	{ "PS384", "RSA", NULL, 0 },
	{ "PS512", "RSA", NULL, 0 },
	{ "ES256", "EC", "P-256", 64 },
	{ "ES384", "EC", "P-384", 96 },
	{ "ES512", "EC", "P-521", 132 },
	/* two names of one (RFC 8037, RFC 9864) */
	{ "EdDSA", "OKP", "Ed25519", ED25519_SIGNATURE_BYTES },
	{ "Ed25519", "OKP", "Ed25519", ED25519_SIGNATURE_BYTES },
};

struct record {
	char kid[KID_MAX + 1]; /* "": it has none */
	const struct algorithm *alg;
	cjose_jwk_t *jwk; /* NULL: the key is ed25519 */
	uint8_t ed25519[ED25519_KEY_BYTES];
};

struct jose_keys {
	_Atomic unsigned refs;
	size_t n;
	struct record items[KEYS_MAX];
};

static bool member_is(const struct jv *object, const char *name, const char *want)
{
	struct str text;

	return jv_text(jv_member(object, name), &text) && str_eq(text, str_of(want));
}

/* NULL: not one for signatures, or none that we take. */
static const struct algorithm *algorithm_of(const struct jv *key)
{
	if (jv_member(key, "use") && !member_is(key, "use", "sig"))
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
		const struct algorithm *a = &algorithms[i];

		if (member_is(key, "kty", a->kty) && (!a->crv || member_is(key, "crv", a->crv)) &&
		    (!jv_member(key, "alg") || member_is(key, "alg", a->alg)))
			return a;
	}
	return NULL;
}

/* cjose ends the process on others (0.6.2, an assertion in its decoder). */
static bool has_good_numbers(const struct jv *key)
{
	static const char *const names[] = { "x", "y", "n", "e", "d" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct str text;

		if (jv_text(jv_member(key, names[i]), &text) && !base64url_is_canonical(text))
			return false;
	}
	return true;
}

/* Exactly n bytes. */
static bool decode_bytes(struct str text, uint8_t *ret, size_t n)
{
	uint8_t *bytes = NULL;
	size_t got = 0;
	cjose_err why;
	bool good = base64url_is_canonical(text) &&
		    cjose_base64url_decode(text.p, text.n, &bytes, &got, &why) && got == n;

	if (good)
		memcpy(ret, bytes, n);
	cjose_get_dealloc()(bytes);
	return good;
}

/* Its public members alone, whatever else it says. */
static struct jv *public_part(const struct jv *key)
{
	static const char *const names[] = { "kty", "crv", "x", "y", "n", "e" };
	AUTO_JV *v = jv_pack("{}");

	for (size_t i = 0; v && i < ARRAY_LEN(names); i++) {
		struct str text;

		if (jv_text(jv_member(key, names[i]), &text) &&
		    !jv_set(v, names[i], jv_pack("s%", text.p, text.n)))
			return NULL;
	}
	return TAKE(v);
}

static cjose_jwk_t *import(const struct jv *key)
{
	AUTO_JV *v = public_part(key);
	AUTO_SBUF text;
	cjose_err why;
	cjose_jwk_t *jwk;
	size_t bits;

	sbuf_init(&text, TOKEN_MAX);
	jv_dump(v, &text);
	jwk = text.failed || !has_good_numbers(v) ? NULL : cjose_jwk_import(text.p, text.n, &why);
	if (!jwk || cjose_jwk_get_kty(jwk, &why) != CJOSE_JWK_KTY_RSA)
		return jwk;
	bits = cjose_jwk_get_keysize(jwk, &why);
	if (bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX)
		return jwk;
	(void)cjose_jwk_release(jwk);
	return NULL;
}

static bool import_into(struct record *r, const struct jv *key)
{
	struct str x;

	if (strcmp(r->alg->kty, "OKP") == 0)
		return jv_text(jv_member(key, "x"), &x) &&
		       decode_bytes(x, r->ed25519, sizeof(r->ed25519));
	r->jwk = import(key);
	return r->jwk != NULL;
}

static void add_key(struct jose_keys *keys, const struct jv *key)
{
	struct record r = { .alg = algorithm_of(key) };
	struct str kid = { "", 0 };

	if (!r.alg || keys->n == KEYS_MAX)
		return;
	if (jv_member(key, "kid") && (!jv_text(jv_member(key, "kid"), &kid) || kid.n == 0 ||
				      !str_copy(kid, r.kid, sizeof(r.kid))))
		return;
	if (import_into(&r, key))
		keys->items[keys->n++] = r;
}

enum err_kind jose_keys_parse(struct str json, struct jose_keys **ret, struct err *e)
{
	AUTO_JV *doc = NULL;
	const struct jv *list;
	struct jose_keys *keys;
	enum err_kind k = jv_parse_object(json, PAYLOAD_DEPTH_MAX, &doc, e);

	if (k != ERR_OK)
		return k;
	list = jv_member(doc, "keys");
	if (!jv_is_array(list))
		return err_set(e, ERR_INVALID, __func__,
			       "not a set of keys: there is no list \"keys\"");
	keys = calloc(1, sizeof(*keys));
	if (!keys)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for keys");
	keys->refs = 1;
	for (size_t i = 0; i < jv_count(list); i++)
		add_key(keys, jv_at(list, i));
	*ret = keys;
	return ERR_OK;
}

struct jose_keys *jose_keys_get(struct jose_keys *k)
{
	k->refs++;
	return k;
}

void jose_keys_put(struct jose_keys **take)
{
	struct jose_keys *k = TAKE(*take);

	if (!k || --k->refs)
		return;
	for (size_t i = 0; i < k->n; i++) {
		if (k->items[i].jwk)
			(void)cjose_jwk_release(k->items[i].jwk);
	}
	free(k);
}

size_t jose_keys_count(const struct jose_keys *k)
{
	return k->n;
}

/* --- checking --- */

static const struct record *find_key(const struct jose_keys *keys, const struct jv *header)
{
	struct str kid;

	if (!jv_member(header, "kid")) /* then there must be no choice */
		return keys->n == 1 ? &keys->items[0] : NULL;
	if (!jv_text(jv_member(header, "kid"), &kid) || kid.n == 0)
		return NULL;
	for (size_t i = 0; i < keys->n; i++) {
		if (str_eq(kid, str_of(keys->items[i].kid)))
			return &keys->items[i];
	}
	return NULL;
}

/* cjose (0.6.2) looks at as many bytes of an EC signature as it needs, and not at what follows. */
static bool has_right_length(struct str signature, const struct algorithm *a)
{
	return !a->signature_bytes || signature.n * 3 / 4 == a->signature_bytes;
}

static bool is_signed_ed25519(struct str token, const struct parts *p, const struct record *r)
{
	uint8_t signature[ED25519_SIGNATURE_BYTES];
	struct str signed_part = { token.p, p->header.n + 1 + p->payload.n };

	return decode_bytes(p->signature, signature, sizeof(signature)) &&
	       ed25519_verify(r->ed25519, signed_part, signature);
}

static bool is_signed(struct str token, const struct parts *p, const struct record *r)
{
	cjose_err why;
	cjose_jws_t *jws;
	bool good;

	if (!r->jwk)
		return is_signed_ed25519(token, p, r);
	jws = cjose_jws_import(token.p, token.n, &why);
	good = jws && cjose_jws_verify(jws, r->jwk, &why);

	if (jws)
		cjose_jws_release(jws);
	return good;
}

enum err_kind jose_verify(const struct jose_keys *keys, struct str token, struct jv **ret_payload,
			  struct err *e)
{
	AUTO_JV *header = NULL;
	const struct record *r;
	struct parts p;
	enum err_kind k;

	if (!split(token, &p))
		return token_refuse(e, "it is not three parts in base64url");
	k = decode(p.header, HEADER_DEPTH_MAX, &header, e);
	if (k != ERR_OK)
		return k;
	if (jv_member(header, "crit") || jv_member(header, "b64"))
		return token_refuse(e, "its header has demands that we do not meet");
	r = find_key(keys, header);
	if (!r)
		return err_set(e, ERR_NOT_FOUND, __func__,
			       "token: signed with a key that is not known");
	if (!member_is(header, "alg", r->alg->alg))
		return token_refuse(e, "its algorithm is not that of the key");
	if (!has_right_length(p.signature, r->alg) || !is_signed(token, &p, r))
		return token_refuse(e, "its signature is wrong");
	return decode(p.payload, PAYLOAD_DEPTH_MAX, ret_payload, e);
}

/* --- signing --- */

static enum err_kind wrap(cjose_jwk_t *jwk, struct str kid, struct jose_key **ret, struct err *e)
{
	struct jose_key *k = calloc(1, sizeof(*k));

	if (!jwk || !k || !str_copy(kid, k->kid, sizeof(k->kid))) {
		free(k);
		(void)cjose_jwk_release(jwk);
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a key");
	}
	k->jwk = jwk;
	*ret = k;
	return ERR_OK;
}

enum err_kind jose_key_make(struct jose_key **ret, struct err *e)
{
	char kid[2 * KID_BYTES + 1] = ""; /* cjose wants the NUL, whatever length it is told */
	uint8_t random[KID_BYTES];
	cjose_err why;
	cjose_jwk_t *jwk = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &why);

	random_bytes(random, sizeof(random));
	hex_lower(random, sizeof(random), kid);
	if (jwk && !cjose_jwk_set_kid(jwk, kid, strlen(kid), &why)) {
		(void)cjose_jwk_release(jwk);
		jwk = NULL;
	}
	return wrap(jwk, str_of(kid), ret, e);
}

enum err_kind jose_key_parse(struct str json, struct jose_key **ret, struct err *e)
{
	AUTO_JV *doc = NULL;
	cjose_err why;
	cjose_jwk_t *jwk =
	    jv_parse_object(json, HEADER_DEPTH_MAX, &doc, e) == ERR_OK && has_good_numbers(doc)
		? cjose_jwk_import(json.p, json.n, &why)
		: NULL;
	const char *kid = jwk ? cjose_jwk_get_kid(jwk, &why) : NULL;

	if (jwk && kid && strlen(kid) == 2 * KID_BYTES &&
	    cjose_jwk_get_kty(jwk, &why) == CJOSE_JWK_KTY_EC &&
	    cjose_jwk_EC_get_curve(jwk, &why) == CJOSE_JWK_EC_P_256)
		return wrap(jwk, str_of(kid), ret, e);
	if (jwk)
		(void)cjose_jwk_release(jwk);
	return err_set(e, ERR_CORRUPT, __func__, "this is no key of ours");
}

void jose_key_free(struct jose_key **take)
{
	struct jose_key *k = TAKE(*take);

	if (!k)
		return;
	(void)cjose_jwk_release(k->jwk);
	free(k);
}

const char *jose_key_id(const struct jose_key *k)
{
	return k->kid;
}

/* What others need to know besides the numbers. */
static enum err_kind add_purpose(struct str text, struct sbuf *b, struct err *e)
{
	AUTO_JV *v = NULL;
	enum err_kind k = jv_parse_object(text, HEADER_DEPTH_MAX, &v, e);

	if (k == ERR_OK && (!jv_set(v, "alg", jv_pack("s", CJOSE_HDR_ALG_ES256)) ||
			    !jv_set(v, "use", jv_pack("s", "sig"))))
		jv_free(&v);
	if (k == ERR_OK)
		jv_dump(v, b);
	return k;
}

enum err_kind jose_key_dump(const struct jose_key *k, bool secret, struct sbuf *b, struct err *e)
{
	cjose_err why;
	char *text = cjose_jwk_to_json(k->jwk, secret, &why);
	enum err_kind kind = ERR_OK;

	if (!text)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a key");
	if (secret)
		sbuf_add_str(b, str_of(text));
	else
		kind = add_purpose(str_of(text), b, e);
	secret_wipe(text, strlen(text));
	cjose_get_dealloc()(text);
	if (kind == ERR_OK && b->failed)
		kind = err_set(e, ERR_NO_MEMORY, __func__, "no memory for a key");
	return kind;
}

static cjose_header_t *header_of(const struct jose_key *k)
{
	cjose_err why;
	cjose_header_t *h = cjose_header_new(&why);

	if (h && cjose_header_set(h, CJOSE_HDR_ALG, CJOSE_HDR_ALG_ES256, &why) &&
	    cjose_header_set(h, CJOSE_HDR_KID, k->kid, &why) &&
	    cjose_header_set(h, "typ", "JWT", &why))
		return h;
	if (h)
		cjose_header_release(h);
	return NULL;
}

enum err_kind jose_sign(const struct jose_key *k, const struct jv *payload, struct sbuf *b,
			struct err *e)
{
	AUTO_SBUF text;
	cjose_header_t *h = header_of(k);
	cjose_jws_t *jws = NULL;
	const char *out = NULL;
	cjose_err why;

	sbuf_init(&text, TOKEN_MAX);
	jv_dump(payload, &text);
	if (h && !text.failed)
		jws = cjose_jws_sign(k->jwk, h, (const uint8_t *)text.p, text.n, &why);
	if (jws && cjose_jws_export(jws, &out, &why)) /* out is the signature's own */
		sbuf_add_str(b, str_of(out));
	if (jws)
		cjose_jws_release(jws);
	if (h)
		cjose_header_release(h);
	if (text.failed || b->failed)
		return err_set(e, ERR_TOO_LARGE, __func__,
			       "what a token is to say takes more than its %d bytes", TOKEN_MAX);
	return out ? ERR_OK : err_set(e, ERR_NO_MEMORY, __func__, "no memory to sign a token");
}
