#include "auth/claimmap.h"

#include "auth/jose.h"
#include "base/glob.h"

#define RULES_MAX 256
#define MAPPED_GROUPS_MAX 256
#define PATTERNS_MAX 64 /* of one claim */
#define TEXT_MAX (64u * 1024)
#define VALUE_MAX 1024 /* bytes of a claim that is matched or inserted */

struct rule {
	const struct jv *when; /* NULL: always */
	struct str name;
	const struct jv *groups; /* texts, or NULL */
};

struct claimmap {
	size_t n;
	struct rule items[];
};

/* --- reading --- */

static void check_patterns(struct form *f, const char *claim, const struct jv *v)
{
	size_t n = jv_is_array(v) ? jv_count(v) : 1;

	if (n == 0 || n > PATTERNS_MAX)
		form_fail(f, ERR_INVALID, "when: %.60s has no pattern, or too many", claim);
	for (size_t i = 0; i < MIN(n, (size_t)PATTERNS_MAX); i++) {
		const char *why = "is no text";
		struct str pattern = { "", 0 };

		if (!jv_text(jv_is_array(v) ? jv_at(v, i) : v, &pattern) ||
		    !glob_is_valid(pattern, &why))
			form_fail(f, ERR_INVALID, "when: %.60s: \"%.60s\" %s", claim, pattern.p,
				  why);
	}
}

static void check_when(struct form *f, const struct jv *when)
{
	const struct jv *value;
	const char *key;
	void *iter = NULL;

	while (jv_next(when, &iter, &key, &value)) {
		if (form_is_member(key))
			check_patterns(f, key, value);
	}
}

/* ${..} must end. */
static void check_template(struct form *f, const char *name, struct str text)
{
	struct str head, rest = text;

	while (str_cut(rest, '$', &head, &rest)) {
		if (!str_starts(rest, STR("{")) || !str_cut(rest, '}', &head, &rest) || head.n < 2)
			form_fail(f, ERR_INVALID, "%s: \"%.80s\": a claim is written ${NAME}", name,
				  text.p);
	}
}

static enum err_kind read_rule(const struct jv *v, struct faults *all, struct rule *ret,
			       struct err *e)
{
	struct form f;
	size_t n;

	form_open(&f, "auth.oidc: map", v, all);
	ret->when = form_object(&f, "when");
	check_when(&f, ret->when);
	ret->name = form_text(&f, "name", false);
	check_template(&f, "name", ret->name);
	if (ret->name.n == 0)
		ret->name = STR("${sub}");
	n = form_count(&f, "groups", false);
	for (size_t i = 0; i < n; i++)
		check_template(&f, "groups", form_item(&f, "groups", i));
	ret->groups = jv_member(v, "groups");
	return form_close(&f, e);
}

enum err_kind claimmap_read(struct form *f, struct claimmap **ret, struct err *e)
{
	const struct jv *list = form_objects(f, "map");
	size_t n = jv_count(list);
	struct claimmap *m;
	enum err_kind k = ERR_OK;

	*ret = NULL;
	if (n > RULES_MAX)
		form_fail(f, ERR_INVALID, "map has more than %d entries", RULES_MAX);
	m = calloc(1, sizeof(*m) + (n ? n : 1) * sizeof(m->items[0]));
	if (!m)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a map of claims");
	m->n = n ? n : 1;
	m->items[0].name = STR("${sub}");
	for (size_t i = 0; i < MIN(n, (size_t)RULES_MAX); i++) {
		struct err of_this;

		if (read_rule(jv_at(list, i), f->all, &m->items[i], &of_this) != ERR_OK &&
		    k == ERR_OK) {
			k = of_this.kind;
			*e = of_this;
		}
	}
	if (k == ERR_OK)
		*ret = TAKE(m);
	claimmap_free(&m);
	return k;
}

void claimmap_free(struct claimmap **m)
{
	free(TAKE(*m));
}

/* --- claims --- */

static const struct jv *find_claim(const struct jv *claims, struct str path)
{
	char name[VALUE_MAX];
	struct str head, rest;
	const struct jv *v;

	if (!str_copy(path, name, sizeof(name)))
		return NULL;
	v = jv_member(claims, name); /* a whole name may have a slash itself */
	if (v || !str_cut(path, '/', &head, &rest) || !str_copy(head, name, sizeof(name)))
		return v;
	return find_claim(jv_member(claims, name), rest);
}

/* Texts, true, and whole numbers. */
static bool claim_text(const struct jv *v, char buf[static VALUE_MAX], struct str *ret)
{
	uint64_t number;

	if (jv_text(v, ret))
		return ret->n > 0 && ret->n <= VALUE_MAX;
	*ret = (struct str){ buf, 0 };
	if (jv_is_true(v))
		ret->n = (size_t)snprintf(buf, VALUE_MAX, "true");
	else if (jv_uint(v, &number))
		ret->n = (size_t)snprintf(buf, VALUE_MAX, "%llu", (unsigned long long)number);
	return ret->n > 0;
}

/* Does the claim match one of the patterns? */
static bool claim_matches(const struct jv *claim, const struct jv *patterns)
{
	char buf[VALUE_MAX];
	struct str value, pattern;
	size_t n = jv_is_array(patterns) ? jv_count(patterns) : 1;

	if (!claim_text(claim, buf, &value))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (jv_text(jv_is_array(patterns) ? jv_at(patterns, i) : patterns, &pattern) &&
		    glob_match(pattern, value))
			return true;
	}
	return false;
}

static bool rule_matches(const struct rule *r, const struct jv *claims)
{
	const struct jv *patterns;
	const char *key;
	void *iter = NULL;

	while (r->when && jv_next(r->when, &iter, &key, &patterns)) {
		if (form_is_member(key) &&
		    !claim_matches(find_claim(claims, str_of(key)), patterns))
			return false;
	}
	return true;
}

/* --- applying --- */

/* Whole fragments between claims are the configuration's, and as they are. */
static bool expand(struct sbuf *b, struct str template, const struct jv *claims)
{
	struct str head, rest = template, claim, value;
	char buf[VALUE_MAX];

	while (str_cut(rest, '$', &head, &rest)) {
		sbuf_add_str(b, head);
		(void)str_cut(rest, '}', &claim, &rest);
		claim = (struct str){ claim.p + 1, claim.n - 1 };
		if (!claim_text(find_claim(claims, claim), buf, &value))
			return false;
		name_encode(b, value);
	}
	sbuf_add_str(b, head);
	return !b->failed;
}

struct offsets {
	size_t n, at[MAPPED_GROUPS_MAX +
		     2]; /* of the name, of each group, of the end; each ends with a NUL */
};

static bool end_text(struct sbuf *b, struct offsets *o)
{
	sbuf_add(b, "", 1);
	o->at[o->n] = b->n;
	return !b->failed;
}

/* The list that a template is nothing but the name of, or NULL. */
static const struct jv *whole_list(struct str template, const struct jv *claims)
{
	const struct jv *v;

	if (!str_starts(template, STR("${")) || memchr(template.p, '}', template.n - 1) != NULL)
		return NULL;
	v = find_claim(claims, (struct str){ template.p + 2, template.n - 3 });
	return jv_is_array(v) ? v : NULL;
}

static bool add_group(struct sbuf *b, struct offsets *o, struct str template,
		      const struct jv *claims)
{
	const struct jv *list = whole_list(template, claims);
	struct str value;
	char buf[VALUE_MAX];

	for (size_t i = 0; i < (list ? jv_count(list) : 1); i++) {
		if (o->n > MAPPED_GROUPS_MAX)
			return false;
		if (list && !claim_text(jv_at(list, i), buf, &value))
			return false;
		if (list)
			name_encode(b, value);
		else if (!expand(b, template, claims))
			return false;
		o->n++;
		if (!end_text(b, o))
			return false;
	}
	return true;
}

static bool apply(const struct rule *r, const struct jv *claims, const char *provider,
		  struct sbuf *b, struct offsets *o)
{
	struct str template;
	size_t n = jv_is_array(r->groups) ? jv_count(r->groups) : (size_t)(r->groups != NULL);

	sbuf_addf(b, "%s:", provider);
	if (!expand(b, r->name, claims))
		return false;
	o->n = 1;
	if (!end_text(b, o))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!jv_text(jv_is_array(r->groups) ? jv_at(r->groups, i) : r->groups, &template) ||
		    !add_group(b, o, template, claims))
			return false;
	}
	return true;
}

static struct str text_at(const struct sbuf *b, const struct offsets *o, size_t i)
{
	return (struct str){ b->p + o->at[i], o->at[i + 1] - o->at[i] - 1 };
}

static enum err_kind make_identity(const struct sbuf *b, const struct offsets *o,
				   uint64_t until_wall_ms, struct identity **ret, struct err *e)
{
	struct str groups[MAPPED_GROUPS_MAX];
	const struct identity id = { .kind = IDENTITY_OIDC,
				     .name = text_at(b, o, 0),
				     .n_groups = o->n - 1,
				     .groups = groups,
				     .until_wall_ms = until_wall_ms };

	if (!name_is_valid(id.name))
		return token_refuse(e, "it gives a name that cannot be one");
	for (size_t i = 0; i < id.n_groups; i++) {
		groups[i] = text_at(b, o, i + 1);
		if (!name_is_valid(groups[i]))
			return token_refuse(e, "it gives a group that cannot be one");
	}
	return identity_new(&id, ret, e);
}

enum err_kind claimmap_identify(const struct claimmap *m, const struct jv *claims,
				const char *provider, uint64_t until_wall_ms, struct identity **ret,
				struct err *e)
{
	struct offsets o = { .n = 0 };
	AUTO_SBUF text;

	sbuf_init(&text, TEXT_MAX);
	for (size_t i = 0; i < m->n; i++) {
		if (!rule_matches(&m->items[i], claims))
			continue;
		if (!apply(&m->items[i], claims, provider, &text, &o))
			return token_refuse(e, "it lacks a claim that its rule of auth.oidc uses");
		return make_identity(&text, &o, until_wall_ms, ret, e);
	}
	return token_refuse(e, "no rule of auth.oidc is for it");
}
