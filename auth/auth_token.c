#include "auth/auth_impl.h"

#include "base/clock.h"

bool auth_has_tokens(const struct auth *a)
{
	return a->keyring != NULL;
}

void auth_tokens_clear(struct auth_tokens *t)
{
	sbuf_clear(&t->access);
	sbuf_clear(&t->refresh);
}

/* Of each repository that was asked for, what the rules allow now. */
static void grant(struct auth *a, const struct identity *id, const struct scopes *asked,
		  struct scopes *ret)
{
	ret->n = 0;
	ret->catalog = asked->catalog;
	for (size_t i = 0; i < asked->n; i++) {
		struct str name = repo_name_str(&asked->items[i].repository);
		unsigned actions = 0;

		for (unsigned bit = ACTION_PULL; bit <= ACTION_ADMIN; bit <<= 1) {
			if (asked->items[i].actions & bit &&
			    auth_decide(a, id, name, (enum action)bit).allowed)
				actions |= bit;
		}
		ret->items[ret->n] = asked->items[i];
		ret->items[ret->n].actions = actions;
		ret->n += actions != 0;
	}
}

/* Those who have a password of ours: that it changes is seen. */
static bool may_refresh(const struct identity *id)
{
	return id->kind == IDENTITY_USER && id->key.n == 0 && id->version != 0;
}

enum err_kind auth_issue(struct auth *a, const struct identity *id, const struct scopes *asked,
			 bool wants_refresh, struct auth_tokens *ret, struct err *e)
{
	struct grant grants[SCOPES_MAX];
	const struct token_owner owner = { .kind = id->kind,
					   .name = id->name,
					   .version = id->version,
					   .key = id->key,
					   .n_groups = id->n_groups,
					   .groups = id->groups };
	const struct auth_times times = auth_times_of(a);
	struct token_terms terms = { .use = TOKEN_ACCESS,
				     .service = a->o.tokens.service,
				     .lifetime_ms = times.token_ms };
	uint64_t now = wall_ms();
	enum err_kind k;

	if (id->n_groups > TOKEN_GROUPS_MAX) /* less than all could be more rights */
		return err_set(e, ERR_TOO_LARGE, __func__, "more than %d groups", TOKEN_GROUPS_MAX);
	if (id->until_wall_ms) /* no longer than what it is given for */
		terms.lifetime_ms =
		    MIN(terms.lifetime_ms, id->until_wall_ms > now ? id->until_wall_ms - now : 0);
	*ret = (struct auth_tokens){ .issued_wall_ms = now, .lifetime_ms = terms.lifetime_ms };
	sbuf_init(&ret->access, TOKEN_MAX);
	sbuf_init(&ret->refresh, TOKEN_MAX);
	grant(a, id, asked, &ret->granted);
	for (size_t i = 0; i < ret->granted.n; i++)
		grants[i] = (struct grant){ repo_name_str(&ret->granted.items[i].repository),
					    ret->granted.items[i].actions };
	terms.scope = (struct grants){ ret->granted.n, grants };
	terms.catalog = ret->granted.catalog;
	k = token_issue(a->keyring, &owner, &terms, ret->issued_wall_ms, &ret->access, e);
	if (k != ERR_OK || !wants_refresh || !may_refresh(id))
		return k;
	terms = (struct token_terms){ .use = TOKEN_REFRESH,
				      .service = a->o.tokens.service,
				      .lifetime_ms = times.refresh_ms };
	return token_issue(a->keyring, &owner, &terms, ret->issued_wall_ms, &ret->refresh, e);
}

/* A token's identity is that of its owner now, limited to what the token was issued for. */
static enum err_kind identify(struct auth *a, struct str text, enum token_use use,
			      struct identity **ret, struct err *e)
{
	struct token *t = malloc(sizeof(*t));
	enum err_kind k;

	if (!t)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a token");
	k = token_read(a->keyring, text, use, a->o.tokens.service, wall_ms(), t, e);
	if (k == ERR_OK) {
		k = auth_find_owner(a, &t->owner, use == TOKEN_ACCESS ? t : NULL, ret, e);
		token_clear(t);
	}
	free(t);
	return k;
}

enum err_kind auth_identify_token(struct auth *a, struct str token, struct identity **ret,
				  struct err *e)
{
	return identify(a, token, TOKEN_ACCESS, ret, e);
}

enum err_kind auth_identify_refresh(struct auth *a, struct str token, struct identity **ret,
				    struct err *e)
{
	return identify(a, token, TOKEN_REFRESH, ret, e);
}

enum err_kind auth_publish(struct auth *a, struct sbuf *b, struct err *e)
{
	return keyring_publish(a->keyring, b, e);
}
