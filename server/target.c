#include "server/target.h"

/* absolute-form: scheme and authority say nothing that Host does not (RFC 9112 3.2.2). */
static bool skip_authority(struct str *raw)
{
	static const struct str schemes[] = { { "http://", 7 }, { "https://", 8 } };

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		struct str head, rest;

		if (raw->n < schemes[i].n ||
		    !str_eq_nocase((struct str){ raw->p, schemes[i].n }, schemes[i]))
			continue;
		rest = (struct str){ raw->p + schemes[i].n, raw->n - schemes[i].n };
		if (!str_cut(rest, '/', &head, &rest))
			return false;
		*raw = (struct str){ head.p + head.n, rest.n + 1 };
		return true;
	}
	return raw->n > 0 && raw->p[0] == '/';
}

static bool decode(struct str in, char **at, struct str *ret)
{
	size_t n;

	if (!percent_decode(in, false, *at, in.n, &n))
		return false;
	*ret = (struct str){ *at, n };
	*at += n;
	return true;
}

bool target_parse(struct str raw, char *buf, struct target *ret)
{
	struct str query, item, key, value;
	char *at = buf;

	ret->n_query = 0;
	if (!skip_authority(&raw))
		return false;
	(void)str_cut(raw, '?', &ret->path, &query);
	while (query.n) {
		struct query_item *q = &ret->query[ret->n_query];

		(void)str_cut(query, '&', &item, &query);
		if (item.n == 0)
			continue;
		if (ret->n_query == QUERY_ITEMS_MAX)
			return false;
		(void)str_cut(item, '=', &key, &value);
		if (!decode(key, &at, &q->key) || !decode(value, &at, &q->value))
			return false;
		ret->n_query++;
	}
	return true;
}

bool target_query(const struct target *t, struct str key, size_t i, struct str *ret)
{
	for (size_t j = 0; j < t->n_query; j++) {
		if (str_eq(t->query[j].key, key) && i-- == 0) {
			*ret = t->query[j].value;
			return true;
		}
	}
	return false;
}
