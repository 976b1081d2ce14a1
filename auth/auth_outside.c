#include "auth/auth_impl.h"

#include "base/clock.h"

#define ANONYMOUS STR("anonymous") /* a token that names nobody */

/* --- configuration --- */

static enum err_kind read_outsider(const char *what, const struct jv *v, bool maps,
				   struct faults *all, struct outsider *ret, struct err *e)
{
	struct form f;
	struct err whole;
	enum err_kind k;

	form_open(&f, what, v, all);
	k = issuer_read(&f, &ret->issuer, e);
	if (k == ERR_OK && maps)
		k = claimmap_read(&f, &ret->map, e);
	if (form_close(&f, &whole) != ERR_OK && k == ERR_OK) {
		*e = whole;
		k = whole.kind;
	}
	return k;
}

static enum err_kind read_list(struct auth *a, const char *what, const struct jv *list, bool maps,
			       struct faults *all, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; i < jv_count(list) && k == ERR_OK; i++) {
		if (a->n_outsiders == OUTSIDERS_MAX)
			return err_set(e, ERR_INVALID, __func__, "%s: more than %d entries", what,
				       OUTSIDERS_MAX);
		k = read_outsider(what, jv_at(list, i), maps, all, &a->outsiders[a->n_outsiders++],
				  e);
	}
	return k;
}

static enum err_kind read_outsiders(struct auth *a, bool files, struct faults *all, struct err *e)
{
	bool changed;
	enum err_kind k = read_list(a, "auth.issuers", a->o.issuers, false, all, e);

	if (k == ERR_OK)
		k = read_list(a, "auth.oidc", a->o.oidc, true, all, e);
	for (size_t i = 0; i < a->n_outsiders && k == ERR_OK && files; i++) {
		k = issuer_file(a->outsiders[i].issuer)
			? issuer_tend(a->outsiders[i].issuer, true, &changed, e)
			: fetch_open(e);
	}
	return k;
}

enum err_kind auth_open_outsiders(struct auth *a, struct err *e)
{
	return read_outsiders(a, true, NULL, e);
}

void auth_close_outsiders(struct auth *a)
{
	for (size_t i = 0; i < a->n_outsiders; i++) {
		issuer_free(&a->outsiders[i].issuer);
		claimmap_free(&a->outsiders[i].map);
	}
}

enum err_kind auth_check_outsiders(const struct jv *issuers, const struct jv *oidc, bool files,
				   struct faults *all, struct err *e)
{
	AUTO_FREE struct auth *a = calloc(1, sizeof(*a));
	enum err_kind k;

	if (!a)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for options");
	a->o.issuers = issuers;
	a->o.oidc = oidc;
	k = read_outsiders(a, files, all, e);
	auth_close_outsiders(a);
	return k;
}

void auth_tend_outsiders(struct auth *a, bool at_once, auth_note_fn *note, void *arg)
{
	for (size_t i = 0; i < a->n_outsiders; i++) {
		struct issuer *o = a->outsiders[i].issuer;
		bool changed = false;
		struct err e;

		if (issuer_tend(o, at_once, &changed, &e) != ERR_OK)
			note(arg, true, "auth.issuer", e.msg);
		if (!changed)
			continue;
		idcache_forget(a->cache); /* a key that is gone may have been withdrawn */
		note(arg, false, "auth.issuer", issuer_name(o).p);
	}
}

/* --- tokens --- */

static bool is_for(const struct outsider *o, struct str issuer, bool maps)
{
	return (o->map != NULL) == maps && str_eq(issuer_url(o->issuer), issuer);
}

static bool has_outsider(const struct auth *a, struct str token, bool maps)
{
	AUTO_JV *payload = NULL;
	struct str issuer;
	struct err e;

	if (a->n_outsiders == 0 || !jose_looks_like_token(token) ||
	    jose_peek(token, &payload, &e) != ERR_OK ||
	    !jv_text(jv_member(payload, "iss"), &issuer))
		return false;
	for (size_t i = 0; i < a->n_outsiders; i++) {
		if (is_for(&a->outsiders[i], issuer, maps))
			return true;
	}
	return false;
}

bool auth_is_outside_token(const struct auth *a, struct str token)
{
	return has_outsider(a, token, false);
}

bool auth_is_workload_token(const struct auth *a, struct str password)
{
	return has_outsider(a, password, true);
}

/* One issuer may stand there several times, with different audiences. */
static enum err_kind verify(struct auth *a, struct str token, bool maps, struct outsider **ret,
			    struct jv **ret_payload, uint64_t *ret_until_ms, struct err *e)
{
	AUTO_JV *peeked = NULL;
	struct str issuer = { "", 0 };
	enum err_kind k = jose_peek(token, &peeked, e);

	if (k != ERR_OK)
		return k;
	(void)jv_text(jv_member(peeked, "iss"), &issuer);
	(void)token_refuse(e, "of nobody whose tokens count here");
	k = ERR_LOGIN;
	for (size_t i = 0; i < a->n_outsiders && k == ERR_LOGIN; i++) {
		*ret = &a->outsiders[i];
		if (is_for(*ret, issuer, maps))
			k = issuer_verify((*ret)->issuer, token, wall_ms(), ret_payload,
					  ret_until_ms, e);
	}
	return k;
}

static enum err_kind grant_access(const struct jv *payload, const char *issuer, uint64_t until_ms,
				  struct identity **ret, struct err *e)
{
	struct identity id = { .kind = IDENTITY_ISSUER, .until_wall_ms = until_ms };
	struct grant grants[TOKEN_GRANTS_MAX];
	AUTO_SBUF name = { .n = 0 };
	struct str subject = { "", 0 };
	size_t n;
	bool catalog;
	enum err_kind k = claims_access(payload, grants, ARRAY_LEN(grants), &n, &catalog, e);

	if (k != ERR_OK)
		return k;
	(void)jv_text(jv_member(payload, "sub"), &subject);
	sbuf_init(&name, NAME_BYTES_MAX);
	sbuf_addf(&name, "%s:", issuer);
	name_encode(&name, subject.n ? subject : ANONYMOUS);
	if (name.failed)
		return token_refuse(e, "its subject is too long");
	id.name = (struct str){ name.p, name.n };
	id.has_grants = id.grants_suffice = true;
	id.grants = (struct grants){ n, grants };
	return identity_new(&id, ret, e);
}

enum err_kind auth_identify_outside(struct auth *a, struct str token, struct identity **ret,
				    struct err *e)
{
	AUTO_JV *payload = NULL;
	struct outsider *o = NULL;
	uint64_t until_ms;
	enum err_kind k = verify(a, token, false, &o, &payload, &until_ms, e);

	return k == ERR_OK ? grant_access(payload, issuer_name(o->issuer).p, until_ms, ret, e) : k;
}

enum err_kind auth_identify_workload(struct auth *a, struct str token, struct identity **ret,
				     struct err *e)
{
	AUTO_JV *payload = NULL;
	struct outsider *o = NULL;
	uint64_t until_ms;
	enum err_kind k = verify(a, token, true, &o, &payload, &until_ms, e);

	return k == ERR_OK
		   ? claimmap_identify(o->map, payload, issuer_name(o->issuer).p, until_ms, ret, e)
		   : k;
}
