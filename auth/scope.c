#include "auth/scope.h"

static enum err_kind refuse(struct err *e)
{
	return err_set(e, ERR_INVALID, __func__, "a scope must be repository:NAME:ACTION,ACTION");
}

/* Actions that we do not know are for others. */
static bool parse_actions(struct str list, unsigned *ret)
{
	bool more = true;

	*ret = 0;
	while (more) {
		struct str word;
		enum action a;

		more = str_cut(list, ',', &word, &list);
		if (word.n == 0)
			return false;
		if (str_eq(word, STR("*")))
			*ret |= ACTIONS_ALL;
		else if (action_parse(word, &a))
			*ret |= (unsigned)a;
	}
	return true;
}

static enum err_kind add_repository(struct scopes *s, const struct repo_name *name,
				    unsigned actions, struct err *e)
{
	size_t i = 0;

	while (i < s->n && !str_eq(repo_name_str(&s->items[i].repository), repo_name_str(name)))
		i++;
	if (i == SCOPES_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "more than %d repositories in one token",
			       SCOPES_MAX);
	if (i == s->n) {
		s->items[s->n].repository = *name;
		s->items[s->n++].actions = 0;
	}
	s->items[i].actions |= actions;
	return ERR_OK;
}

/* TYPE:NAME:ACTIONS, where a name may have colons in it (a host with a port), though none of ours has. */
static enum err_kind add_one(struct scopes *s, struct str one, struct err *e)
{
	struct str type, rest, name, actions;
	const char *colon;
	struct repo_name repo;
	unsigned bits;

	if (!str_cut(one, ':', &type, &rest) || type.n == 0)
		return refuse(e);
	colon = memrchr(rest.p, ':', rest.n);
	if (!colon)
		return refuse(e);
	name = (struct str){ rest.p, (size_t)(colon - rest.p) };
	actions = (struct str){ colon + 1, rest.n - name.n - 1 };
	if (name.n == 0 || !parse_actions(actions, &bits))
		return refuse(e);
	if (str_eq(type, STR("registry")) && str_eq(name, STR("catalog")))
		s->catalog = true;
	if (!str_eq(type, STR("repository")) || !repo_name_parse(&repo, name))
		return ERR_OK;
	return add_repository(s, &repo, bits, e);
}

enum err_kind scopes_add(struct scopes *s, struct str list, struct err *e)
{
	enum err_kind k = ERR_OK;

	while (list.n && k == ERR_OK) {
		struct str one;

		(void)str_cut(list, ' ', &one, &list);
		if (one.n)
			k = add_one(s, one, e);
	}
	return k;
}
