#include "auth/token.h"

#include "base/hash.h"
#include "base/refname.h"

#define REFRESH_PREFIX "refresh:" /* before the audience: T1 */
#define JTI_BYTES 16

/* --- issuing --- */

static struct jv *groups_value(const struct token_owner *to)
{
	AUTO_JV *list = jv_new_array();

	for (size_t i = 0; list && i < to->n_groups; i++) {
		if (!jv_append(list, jv_pack("s%", to->groups[i].p, to->groups[i].n)))
			return NULL;
	}
	return TAKE(list);
}

static struct jv *actions_value(unsigned actions)
{
	char text[ACTIONS_TEXT_MAX];
	struct str rest = str_of(actions_text(actions, text)), word;
	AUTO_JV *list = jv_new_array();

	while (list && actions && rest.n) {
		(void)str_cut(rest, ',', &word, &rest);
		if (!jv_append(list, jv_pack("s%", word.p, word.n)))
			return NULL;
	}
	return TAKE(list);
}

static struct jv *access_value(const struct token_terms *t)
{
	AUTO_JV *list = jv_new_array();

	for (size_t i = 0; list && i < t->scope.n; i++) {
		const struct grant *g = &t->scope.items[i];

		if (!jv_append(list, jv_pack("{s:s, s:s%, s:o}", "type", "repository", "name",
					     g->repositories.p, g->repositories.n, "actions",
					     actions_value(g->actions))))
			return NULL;
	}
	if (list && t->catalog &&
	    !jv_append(list, jv_pack("{s:s, s:s, s:[s]}", "type", "registry", "name", "catalog",
				     "actions", "*")))
		return NULL;
	return TAKE(list);
}

static struct jv *payload_of(const struct token_owner *to, const struct token_terms *t,
			     uint64_t now_ms)
{
	const struct identity who = { .kind = to->kind, .name = to->name };
	char subject[IDENTITY_TEXT_MAX], audience[256], jti[2 * JTI_BYTES + 1] = "";
	uint8_t random[JTI_BYTES];
	long long now = (long long)(now_ms / 1000);

	random_bytes(random, sizeof(random));
	hex_lower(random, sizeof(random), jti);
	(void)snprintf(audience, sizeof(audience), "%s%s",
		       t->use == TOKEN_REFRESH ? REFRESH_PREFIX : "", t->service);
	return jv_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:o, s:{s:I, s:s%, s:o}}", "iss",
		       t->service, "aud", audience, "sub", identity_text(&who, subject), "iat", now,
		       "nbf", now, "exp", now + (long long)(t->lifetime_ms / 1000), "jti", jti,
		       "access", access_value(t), "berth", "version", (long long)to->version, "key",
		       to->key.p ? to->key.p : "", to->key.n, "groups", groups_value(to));
}

enum err_kind token_issue(struct keyring *k, const struct token_owner *to,
			  const struct token_terms *terms, uint64_t now_wall_ms, struct sbuf *b,
			  struct err *e)
{
	AUTO_JV *payload = payload_of(to, terms, now_wall_ms);

	if (!payload)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a token");
	return keyring_sign(k, payload, b, e);
}

/* --- claims --- */

static bool text_is(const struct jv *v, struct str want)
{
	struct str text;

	return jv_text(v, &text) && str_eq(text, want);
}

static bool audience_is(const struct jv *aud, struct str want)
{
	if (text_is(aud, want))
		return true;
	for (size_t i = 0; i < jv_count(aud); i++) {
		if (text_is(jv_at(aud, i), want))
			return true;
	}
	return false;
}

/* Seconds to milliseconds; what does not fit is no time. */
static bool read_time(const struct jv *v, uint64_t *ret)
{
	uint64_t s;

	return jv_uint(v, &s) && !__builtin_mul_overflow(s, 1000u, ret);
}

enum err_kind claims_check(const struct jv *payload, const struct claims_wanted *w,
			   uint64_t *ret_until_ms, struct err *e)
{
	const struct jv *nbf = jv_member(payload, "nbf"), *iat = jv_member(payload, "iat");
	uint64_t from, until;

	if (!text_is(jv_member(payload, "iss"), w->issuer))
		return token_refuse(e, "it is another issuer's");
	if (!audience_is(jv_member(payload, "aud"), w->audience))
		return token_refuse(e, "it is for somebody else");
	if (!read_time(jv_member(payload, "exp"), &until))
		return token_refuse(e, "it has no end");
	if (w->now_wall_ms >= until && w->now_wall_ms - until >= w->leeway_ms)
		return token_refuse(e, "it has ended");
	if (nbf && (!read_time(nbf, &from) || from > w->now_wall_ms + w->leeway_ms))
		return token_refuse(e, "it does not count yet");
	if (iat && (!read_time(iat, &from) || from > w->now_wall_ms + w->leeway_ms))
		return token_refuse(e, "it is from the future");
	*ret_until_ms = until;
	return ERR_OK;
}

static bool read_actions(const struct jv *list, unsigned *ret)
{
	*ret = 0;
	if (!jv_is_array(list))
		return false;
	for (size_t i = 0; i < jv_count(list); i++) {
		struct str word;
		enum action a;

		if (!jv_text(jv_at(list, i), &word))
			return false;
		if (str_eq(word, STR("*")))
			*ret |= (unsigned)(ACTION_PULL | ACTION_PUSH | ACTION_DELETE);
		else if (action_parse(word, &a))
			*ret |= (unsigned)a;
	}
	return true;
}

enum err_kind claims_access(const struct jv *payload, struct grant *ret, size_t max, size_t *ret_n,
			    bool *ret_catalog, struct err *e)
{
	const struct jv *list = jv_member(payload, "access");

	*ret_n = 0;
	*ret_catalog = false;
	if (list && !jv_is_array(list))
		return token_refuse(e, "its access is no list");
	for (size_t i = 0; i < jv_count(list); i++) {
		const struct jv *v = jv_at(list, i);
		struct str type, name;
		struct repo_name repo;
		unsigned actions;

		if (!jv_text(jv_member(v, "type"), &type) ||
		    !jv_text(jv_member(v, "name"), &name) ||
		    !read_actions(jv_member(v, "actions"), &actions))
			return token_refuse(e, "an access of it is not type, name and actions");
		if (str_eq(type, STR("registry")) && str_eq(name, STR("catalog")))
			*ret_catalog = true;
		if (!str_eq(type, STR("repository")) || !repo_name_parse(&repo, name))
			continue; /* about nothing that we have */
		if (*ret_n == max)
			return token_refuse(e, "it is about too many repositories");
		ret[(*ret_n)++] = (struct grant){ name, actions };
	}
	return ERR_OK;
}

/* --- reading --- */

void token_clear(struct token *t)
{
	jv_free(&t->doc);
}

static enum err_kind read_owner(struct token *t, struct err *e)
{
	const struct jv *more = jv_member(t->doc, "berth"), *groups = jv_member(more, "groups");
	struct token_owner *o = &t->owner;
	struct str subject;

	if (!jv_text(jv_member(t->doc, "sub"), &subject) ||
	    !identity_parse(subject, &o->kind, &o->name) ||
	    !jv_uint(jv_member(more, "version"), &o->version) ||
	    !jv_text(jv_member(more, "key"), &o->key) || jv_count(groups) > TOKEN_GROUPS_MAX)
		return token_refuse(e, "it does not say whose it is");
	o->groups = t->groups;
	for (; o->n_groups < jv_count(groups); o->n_groups++) {
		if (!jv_text(jv_at(groups, o->n_groups), &t->groups[o->n_groups]))
			return token_refuse(e, "its groups are none");
	}
	return ERR_OK;
}

enum err_kind token_read(struct keyring *k, struct str text, enum token_use use,
			 const char *service, uint64_t now_wall_ms, struct token *ret,
			 struct err *e)
{
	AUTO_JOSE_KEYS *keys = keyring_keys(k);
	char audience[256];
	const struct claims_wanted wanted = {
		.issuer = str_of(service),
		.audience = { audience, (size_t)snprintf(audience, sizeof(audience), "%s%s",
							 use == TOKEN_REFRESH ? REFRESH_PREFIX : "",
							 service) },
		.now_wall_ms = now_wall_ms
	};
	enum err_kind kind;

	ret->doc = NULL;
	ret->owner = (struct token_owner){ .n_groups = 0 };
	kind = jose_verify(keys, text, &ret->doc, e);
	if (kind == ERR_NOT_FOUND)
		kind = token_refuse(e, "signed with a key that is not ours");
	if (kind == ERR_OK)
		kind = claims_check(ret->doc, &wanted, &ret->until_wall_ms, e);
	if (kind == ERR_OK && (!jv_member(ret->doc, "nbf") || !jv_member(ret->doc, "iat")))
		kind = token_refuse(e, "it has no beginning");
	if (kind == ERR_OK)
		kind = claims_access(ret->doc, ret->grants, TOKEN_GRANTS_MAX, &ret->scope.n,
				     &ret->catalog, e);
	ret->scope.items = ret->grants;
	if (kind == ERR_OK)
		kind = read_owner(ret, e);
	if (kind != ERR_OK)
		token_clear(ret);
	return kind;
}
