#include "auth/rule.h"

#include "base/form.h"
#include "base/glob.h"

#define ITEMS_MAX 4096 /* of one list in a rule */
#define USER STR("${user}")

enum subject_kind {
	SUBJECT_ANONYMOUS,
	SUBJECT_AUTHENTICATED,
	SUBJECT_GROUP,
	SUBJECT_IDENTITY,
};

struct subject {
	enum subject_kind kind;
	enum identity_kind identity;
	struct str name;
};

struct texts {
	size_t n;
	struct str *items; /* owned list of borrowed texts */
};

struct rule {
	unsigned long long line;
	bool deny;
	unsigned actions;
	size_t n_subjects;
	struct subject *subjects; /* owned */
	struct texts repositories;
	struct texts immutable; /* tags; then nothing else but repositories is set */
};

struct group {
	struct str name;
	size_t n_members;
	struct subject *members; /* owned */
};

struct rules {
	_Atomic unsigned refs;
	struct jv *access, *groups_list; /* shared: texts below point into them */
	size_t n, n_groups, n_deciding;
	struct rule *items;
	struct group *groups;
};

/* --- reading --- */

static void no_memory(struct form *f)
{
	form_fail(f, ERR_NO_MEMORY, "no memory for rules");
}

static size_t count_items(struct form *f, const char *name, bool required)
{
	size_t n = form_count(f, name, required);

	if (n > ITEMS_MAX)
		form_fail(f, ERR_INVALID, "%s has more than %d entries", name, ITEMS_MAX);
	return n > ITEMS_MAX ? 0 : n;
}

static bool parse_subject(struct str text, bool group_is_one, struct subject *ret)
{
	struct str name;

	*ret = (struct subject){ .kind = SUBJECT_IDENTITY };
	if (group_is_one && str_starts(text, STR("group:"))) {
		name = (struct str){ text.p + 6, text.n - 6 };
		*ret = (struct subject){ .kind = SUBJECT_GROUP, .name = name };
		return name_is_valid(name);
	}
	if (group_is_one && str_eq(text, STR("authenticated"))) {
		ret->kind = SUBJECT_AUTHENTICATED;
		return true;
	}
	if (!identity_parse(text, &ret->identity, &ret->name))
		return false;
	if (ret->identity == IDENTITY_ANONYMOUS)
		ret->kind = SUBJECT_ANONYMOUS;
	return ret->kind == SUBJECT_IDENTITY || group_is_one;
}

static struct subject *read_subjects(struct form *f, const char *name, bool group_is_one,
				     size_t *ret_n)
{
	size_t n = count_items(f, name, true);
	struct subject *list = n ? calloc(n, sizeof(*list)) : NULL;

	if (n && !list)
		no_memory(f);
	for (size_t i = 0; i < n && list; i++) {
		struct str text = form_item(f, name, i);

		if (!parse_subject(text, group_is_one, &list[i]))
			form_fail(f, ERR_INVALID,
				  "%s: \"%.80s\" must be %s, NAME, or user: key: cert: oidc: "
				  "issuer: with "
				  "a name",
				  name, text.p,
				  group_is_one ? "anonymous, authenticated, group:NAME"
					       : "a member");
	}
	*ret_n = n;
	return list;
}

/* ${user} stands for characters of one component, so the pattern must be good with some in its place. */
static bool pattern_is_valid(struct str pattern, const char **ret_why)
{
	char text[GLOB_MAX];
	size_t n = 0;

	*ret_why = "is empty or too long";
	if (pattern.n > sizeof(text))
		return false;
	for (size_t i = 0; i < pattern.n;) {
		if (str_starts((struct str){ pattern.p + i, pattern.n - i }, USER)) {
			text[n++] = 'u';
			i += USER.n;
		} else if (strchr("$\\[]{}", pattern.p[i])) {
			*ret_why =
			    "has characters that are in no name; ${user} is the only variable";
			return false;
		} else {
			text[n++] = pattern.p[i++];
		}
	}
	return glob_is_valid((struct str){ text, n }, ret_why);
}

static struct texts read_patterns(struct form *f, const char *name, bool required)
{
	struct texts t = { .n = count_items(f, name, required) };

	t.items = t.n ? calloc(t.n, sizeof(*t.items)) : NULL;
	if (t.n && !t.items)
		no_memory(f);
	for (size_t i = 0; i < t.n && t.items; i++) {
		const char *why;

		t.items[i] = form_item(f, name, i);
		if (!pattern_is_valid(t.items[i], &why))
			form_fail(f, ERR_INVALID, "%s: \"%.80s\" %s", name, t.items[i].p, why);
	}
	return t;
}

static unsigned read_actions(struct form *f, const char *name)
{
	size_t n = count_items(f, name, false);
	unsigned actions = 0;

	for (size_t i = 0; i < n; i++) {
		struct str text = form_item(f, name, i);
		enum action a = 0;

		if (!action_parse(text, &a))
			form_fail(f, ERR_INVALID,
				  "%s: \"%.80s\" must be pull, push, delete or admin", name,
				  text.p);
		actions |= (unsigned)a;
	}
	return actions;
}

static void read_effect(struct form *f, struct rule *ret)
{
	unsigned allowed = read_actions(f, "allow"), denied = read_actions(f, "deny");
	bool allows = form_has(f, "allow");

	ret->deny = form_has(f, "deny");
	ret->actions = ret->deny ? denied : allowed;
	if (ret->deny == allows)
		form_miss(f, "one of allow, deny and immutable must be there");
}

static enum err_kind read_rule(const struct jv *v, struct faults *all, struct rule *ret,
			       struct err *e)
{
	struct form f;

	form_open(&f, "access", v, all);
	ret->line = f.line;
	ret->repositories = read_patterns(&f, "repositories", true);
	ret->immutable = read_patterns(&f, "immutable", false);
	if (form_has(&f, "immutable"))
		return form_close(&f, e);
	ret->subjects = read_subjects(&f, "who", true, &ret->n_subjects);
	read_effect(&f, ret);
	if (!ret->deny && ret->actions & ACTION_ADMIN)
		ret->actions = ACTIONS_ALL;
	return form_close(&f, e);
}

static enum err_kind read_group(const struct jv *v, struct faults *all, struct group *ret,
				struct err *e)
{
	struct form f;

	form_open(&f, "auth.groups", v, all);
	ret->name = form_text(&f, "name", true);
	if (!name_is_valid(ret->name))
		form_fail(&f, ERR_INVALID, "\"%.80s\" cannot be a group's name", ret->name.p);
	ret->members = read_subjects(&f, "members", false, &ret->n_members);
	return form_close(&f, e);
}

static enum err_kind read_lists(struct rules *r, struct faults *all, struct err *e)
{
	size_t n = jv_count(r->access), n_groups = jv_count(r->groups_list);
	enum err_kind k = ERR_OK;

	r->items = calloc(n ? n : 1, sizeof(*r->items));
	r->groups = calloc(n_groups ? n_groups : 1, sizeof(*r->groups));
	if (!r->items || !r->groups)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for rules");
	for (; r->n < n && k == ERR_OK; r->n++) {
		k = read_rule(jv_at(r->access, r->n), all, &r->items[r->n], e);
		r->n_deciding += r->items[r->n].n_subjects > 0;
	}
	for (; r->n_groups < n_groups && k == ERR_OK; r->n_groups++)
		k = read_group(jv_at(r->groups_list, r->n_groups), all, &r->groups[r->n_groups], e);
	return k;
}

enum err_kind rules_parse(const struct jv *access, const struct jv *groups, struct faults *all,
			  struct rules **ret, struct err *e)
{
	struct rules *r = calloc(1, sizeof(*r));
	enum err_kind k;

	if (!r)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for rules");
	r->refs = 1;
	r->access = access ? jv_share(access) : NULL;
	r->groups_list = groups ? jv_share(groups) : NULL;
	k = read_lists(r, all, e);
	if (k == ERR_OK)
		*ret = TAKE(r);
	rules_put(&r);
	return k;
}

struct rules *rules_get(struct rules *r)
{
	r->refs++;
	return r;
}

void rules_put(struct rules **take)
{
	struct rules *r = TAKE(*take);

	if (!r || --r->refs)
		return;
	for (size_t i = 0; r->items && i < r->n; i++) {
		free(r->items[i].subjects);
		free(r->items[i].repositories.items);
		free(r->items[i].immutable.items);
	}
	for (size_t i = 0; r->groups && i < r->n_groups; i++)
		free(r->groups[i].members);
	free(r->items);
	free(r->groups);
	jv_free(&r->access);
	jv_free(&r->groups_list);
	free(r);
}

size_t rules_count(const struct rules *r)
{
	return r->n_deciding;
}

/* --- deciding --- */

static bool is_named(const struct subject *s, const struct identity *id)
{
	return s->identity == id->kind && str_eq(s->name, id->name);
}

static bool is_member(const struct rules *r, struct str group, const struct identity *id)
{
	if (identity_in_group(id, group))
		return true;
	for (size_t i = 0; i < r->n_groups; i++) {
		const struct group *g = &r->groups[i];

		for (size_t j = 0; str_eq(g->name, group) && j < g->n_members; j++) {
			if (is_named(&g->members[j], id))
				return true;
		}
	}
	return false;
}

static bool subject_is(const struct rules *r, const struct subject *s, const struct identity *id,
		       bool deny)
{
	switch (s->kind) {
	case SUBJECT_ANONYMOUS:
		return !deny || id->kind == IDENTITY_ANONYMOUS;
	case SUBJECT_AUTHENTICATED:
		return id->kind != IDENTITY_ANONYMOUS;
	case SUBJECT_GROUP:
		return is_member(r, s->name, id);
	case SUBJECT_IDENTITY:
		return is_named(s, id);
	}
	return false;
}

/* A user's name in place of ${user}.  A name with more than letters of one component would be another pattern. */
static bool match_user(struct str pattern, const struct identity *id, struct str name)
{
	char text[GLOB_MAX + 1];
	size_t n = 0;

	if (id->kind != IDENTITY_USER || memchr(id->name.p, '/', id->name.n))
		return false;
	for (size_t i = 0; i < pattern.n;) {
		bool var = str_starts((struct str){ pattern.p + i, pattern.n - i }, USER);
		struct str part = var ? id->name : (struct str){ pattern.p + i, 1 };

		if (part.n > sizeof(text) - n)
			return false;
		memcpy(text + n, part.p, part.n);
		n += part.n;
		i += var ? USER.n : 1;
	}
	return glob_match((struct str){ text, n }, name);
}

static bool match_any(const struct texts *patterns, const struct identity *id, struct str name)
{
	for (size_t i = 0; i < patterns->n; i++) {
		struct str p = patterns->items[i];

		if (memchr(p.p, '$', p.n) ? match_user(p, id, name) : glob_match(p, name))
			return true;
	}
	return false;
}

/* The first rule of this sort that applies, or NULL. */
static const struct rule *find_rule(const struct rules *r, const struct identity *id,
				    struct str repository, enum action action, bool deny)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct rule *rule = &r->items[i];

		if (rule->deny != deny || !(rule->actions & (unsigned)action))
			continue;
		for (size_t j = 0; j < rule->n_subjects; j++) {
			if (subject_is(r, &rule->subjects[j], id, deny) &&
			    match_any(&rule->repositories, id, repository))
				return rule;
		}
	}
	return NULL;
}

static const struct identity anonymous = { .kind = IDENTITY_ANONYMOUS, .name = { "", 0 } };

struct decision rules_decide_unscoped(const struct rules *r, const struct identity *id,
				      struct str repository, enum action action)
{
	const struct rule *deny = find_rule(r, id, repository, action, true), *allow;
	struct decision d = { .allowed = false, .why = WHY_NO_RULE };

	if (deny)
		return (struct decision){ false, WHY_DENIED, deny->line };
	if (id->has_grants && id->grants_suffice && grants_cover(&id->grants, repository, action))
		return (struct decision){ true, WHY_GRANTED, 0 };
	allow = find_rule(r, id->has_grants && id->grants_suffice ? &anonymous : id, repository,
			  action, false);
	if (!allow)
		return d;
	d = (struct decision){ true, WHY_ALLOWED, allow->line };
	/* What everybody may do needs no key, so a key does not take it away. */
	if (id->has_grants && !id->grants_suffice &&
	    !grants_cover(&id->grants, repository, action) &&
	    !find_rule(r, &anonymous, repository, action, false))
		d = (struct decision){ false, WHY_BEYOND_KEY, 0 };
	return d;
}

struct decision rules_decide(const struct rules *r, const struct identity *id,
			     struct str repository, enum action action)
{
	struct decision d = rules_decide_unscoped(r, id, repository, action);

	if (d.allowed && id->has_scope && !grants_cover(&id->scope, repository, action))
		d = (struct decision){ false, WHY_BEYOND_SCOPE, 0 };
	return d;
}

const char *decision_text(const struct decision *d, char buf[static DECISION_TEXT_MAX])
{
	static const char *const texts[] = {
		[WHY_ALLOWED] = "allowed by the rule",
		[WHY_GRANTED] = "granted by the key or token itself",
		[WHY_NO_RULE] = "no rule allows it",
		[WHY_DENIED] = "denied by the rule",
		[WHY_BEYOND_KEY] = "beyond what the key was made for",
		[WHY_BEYOND_SCOPE] = "beyond the scope of the token",
	};

	if (d->line)
		(void)snprintf(buf, DECISION_TEXT_MAX, "%s in line %llu", texts[d->why], d->line);
	else
		(void)snprintf(buf, DECISION_TEXT_MAX, "%s", texts[d->why]);
	return buf;
}

bool rules_tag_is_immutable(const struct rules *r, struct str repository, struct str tag)
{
	for (size_t i = 0; i < r->n; i++) {
		if (match_any(&r->items[i].immutable, &anonymous, tag) &&
		    match_any(&r->items[i].repositories, &anonymous, repository))
			return true;
	}
	return false;
}
