#include "base/glob.h"

#define ANY STR("**")

/* Within one component, remembering only the last star: what an earlier one took, a later one can take as well. */
static bool match_component(struct str p, struct str s)
{
	size_t i = 0, j = 0, star = SIZE_MAX, resume = 0;

	while (j < s.n) {
		if (i < p.n && p.p[i] == '*') {
			star = i++;
			resume = j;
		} else if (i < p.n && (p.p[i] == '?' || p.p[i] == s.p[j])) {
			i++;
			j++;
		} else if (star != SIZE_MAX) {
			i = star + 1;
			j = ++resume;
		} else {
			return false;
		}
	}
	while (i < p.n && p.p[i] == '*')
		i++;
	return i == p.n;
}

/* What is left of a name or pattern; done once the last component was taken. */
struct rest {
	struct str s;
	bool done;
};

static struct str take(struct rest *r)
{
	struct str head;

	r->done = !str_cut(r->s, '/', &head, &r->s);
	return head;
}

/* The same, one level up: components for characters, ** for the star. */
bool glob_match(struct str pattern, struct str name)
{
	struct rest p = { pattern, false }, s = { name, false };
	struct rest after_any = { { NULL, 0 }, false }, resume = s;
	bool any = false;

	while (!s.done) {
		struct rest next_p = p, next_s = s;
		struct str head = p.done ? (struct str){ "", 0 } : take(&next_p);
		bool is_any = !p.done && str_eq(head, ANY);

		if (is_any && next_p.done)
			return true; /* all the rest, of which there is some */
		if (is_any) {
			any = true;
			p = after_any = next_p;
			resume = s;
		} else if (!p.done && match_component(head, take(&next_s))) {
			p = next_p;
			s = next_s;
		} else if (any) {
			(void)take(&resume);
			p = after_any;
			s = resume;
		} else {
			return false;
		}
	}
	return p.done;
}

bool glob_is_valid(struct str pattern, const char **ret_why)
{
	struct rest p = { pattern, false };
	bool was_any = false;

	*ret_why = "is empty or too long";
	if (pattern.n == 0 || pattern.n > GLOB_MAX)
		return false;
	while (!p.done) {
		struct str head = take(&p);
		bool any = str_eq(head, ANY);

		*ret_why = "has an empty component";
		if (head.n == 0)
			return false;
		*ret_why =
		    "has ** beside other characters, where it must stand for whole components";
		for (size_t i = 0; !any && i + 1 < head.n; i++) {
			if (head.p[i] == '*' && head.p[i + 1] == '*')
				return false;
		}
		*ret_why = "has ** twice in a row";
		if (any && was_any)
			return false;
		was_any = any;
	}
	return true;
}

size_t glob_literal(struct str pattern)
{
	size_t n = 0;

	while (n < pattern.n && pattern.p[n] != '*' && pattern.p[n] != '?')
		n++;
	return n;
}
