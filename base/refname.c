#include "base/refname.h"

static bool is_alnum_lower(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Length of one separator (".", "_", "__" or a run of "-") at the start of s, which is not empty; 0 if there is none. */
static size_t separator_len(struct str s)
{
	size_t n = 0;

	if (s.p[0] == '.')
		return 1;
	if (s.p[0] == '_')
		return s.n > 1 && s.p[1] == '_' ? 2 : 1;
	while (n < s.n && s.p[n] == '-')
		n++;
	return n;
}

static bool is_path_component(struct str c)
{
	for (;;) {
		size_t run = 0;

		while (run < c.n && is_alnum_lower(c.p[run]))
			run++;
		if (run == 0)
			return false;
		c = (struct str){ c.p + run, c.n - run };
		if (c.n == 0)
			return true;
		run = separator_len(c);
		if (run == 0)
			return false;
		c = (struct str){ c.p + run, c.n - run };
	}
}

bool repo_name_parse(struct repo_name *ret, struct str in)
{
	struct str rest = in, component;
	bool more;

	if (in.n == 0 || in.n > REPO_NAME_MAX)
		return false;
	do {
		more = str_cut(rest, '/', &component, &rest);
		if (!is_path_component(component))
			return false;
	} while (more);
	*ret = (struct repo_name){ .len = (uint8_t)in.n };
	memcpy(ret->s, in.p, in.n);
	return true;
}

bool tag_name_parse(struct tag_name *ret, struct str in)
{
	if (in.n == 0 || in.n > TAG_NAME_MAX)
		return false;
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];

		if (!is_alnum_lower(c) && !(c >= 'A' && c <= 'Z') && c != '_' &&
		    (i == 0 || (c != '.' && c != '-')))
			return false;
	}
	*ret = (struct tag_name){ .len = (uint8_t)in.n };
	memcpy(ret->s, in.p, in.n);
	return true;
}

struct str repo_name_str(const struct repo_name *r)
{
	return (struct str){ r->s, r->len };
}

struct str tag_name_str(const struct tag_name *t)
{
	return (struct str){ t->s, t->len };
}
