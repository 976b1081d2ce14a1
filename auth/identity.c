#include "auth/identity.h"

#include "base/glob.h"

static const char *const kind_names[IDENTITY_KIND_N] = {
	[IDENTITY_ANONYMOUS] = "anonymous", [IDENTITY_USER] = "user", [IDENTITY_KEY] = "key",
	[IDENTITY_CERT] = "cert",           [IDENTITY_OIDC] = "oidc", [IDENTITY_ISSUER] = "issuer",
};

static const struct {
	enum action action;
	const char *name;
} action_names[] = {
	{ ACTION_PULL, "pull" },
	{ ACTION_PUSH, "push" },
	{ ACTION_DELETE, "delete" },
	{ ACTION_ADMIN, "admin" },
};

/* One block of memory: the identity, its lists, its texts. */
struct block {
	char *at;
};

static void *carve(struct block *b, const void *from, size_t n)
{
	void *p = b->at;

	if (n) /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): only nothing is at NULL */
		memcpy(p, from, n);
	b->at += n;
	return p;
}

static struct str carve_text(struct block *b, struct str s)
{
	struct str copy = { carve(b, s.p, s.n), s.n };

	*b->at++ = '\0';
	return copy;
}

static size_t grants_size(const struct grants *g)
{
	size_t n = g->n * sizeof(g->items[0]);

	for (size_t i = 0; i < g->n; i++)
		n += g->items[i].repositories.n + 1;
	return n;
}

static size_t total_size(const struct identity *id)
{
	size_t n =
	    sizeof(*id) + id->n_groups * sizeof(id->groups[0]) + id->name.n + 1 + id->key.n + 1;

	for (size_t i = 0; i < id->n_groups; i++)
		n += id->groups[i].n + 1;
	return n + grants_size(&id->grants) + grants_size(&id->scope);
}

static void carve_grant_texts(struct block *b, struct grant *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		items[i].repositories = carve_text(b, items[i].repositories);
}

enum err_kind identity_new(const struct identity *like, struct identity **ret, struct err *e)
{
	struct identity *id = malloc(total_size(like));
	struct block b = { (char *)(id + 1) };
	struct str *groups;
	struct grant *grants, *scope;

	if (!id)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for an identity");
	*id = *like;
	id->refs = 1;
	groups = carve(&b, like->groups, like->n_groups * sizeof(*groups));
	grants = carve(&b, like->grants.items, like->grants.n * sizeof(*grants));
	scope = carve(&b, like->scope.items, like->scope.n * sizeof(*scope));
	for (size_t i = 0; i < like->n_groups; i++)
		groups[i] = carve_text(&b, groups[i]);
	carve_grant_texts(&b, grants, like->grants.n);
	carve_grant_texts(&b, scope, like->scope.n);
	id->name = carve_text(&b, like->name);
	id->key = carve_text(&b, like->key);
	id->groups = groups;
	id->grants.items = grants;
	id->scope.items = scope;
	*ret = id;
	return ERR_OK;
}

struct identity *identity_get(struct identity *id)
{
	id->refs++;
	return id;
}

void identity_put(struct identity **take)
{
	struct identity *id = TAKE(*take);

	if (id && --id->refs == 0)
		free(id);
}

bool grants_cover(const struct grants *g, struct str repository, enum action action)
{
	for (size_t i = 0; i < g->n; i++) {
		if (g->items[i].actions & (unsigned)(action | ACTION_ADMIN) &&
		    glob_match(g->items[i].repositories, repository))
			return true;
	}
	return false;
}

bool identity_in_group(const struct identity *id, struct str group)
{
	for (size_t i = 0; i < id->n_groups; i++) {
		if (str_eq(id->groups[i], group))
			return true;
	}
	return false;
}

const char *identity_text(const struct identity *id, char buf[static IDENTITY_TEXT_MAX])
{
	(void)snprintf(buf, IDENTITY_TEXT_MAX, "%s%s%.*s", kind_names[id->kind],
		       id->kind == IDENTITY_ANONYMOUS ? "" : ":", STR_FMT(id->name));
	return buf;
}

bool name_is_valid(struct str name)
{
	static const char barred[] = "\"'`\\*?<>(){}[]|&;$#,=";
	struct str rest = name;

	if (name.n == 0 || name.n > NAME_BYTES_MAX)
		return false;
	while (rest.n) {
		unsigned char c = (unsigned char)rest.p[0];
		size_t n = utf8_len(rest);

		if (n == 0 || c <= ' ' || c == 0x7f || (n == 1 && strchr(barred, c)))
			return false;
		/* C1 controls, blanks and marks that reorder text: U+0080 to U+00A0, U+2000 to U+206F, U+FEFF */
		if ((c == 0xc2 && (unsigned char)rest.p[1] <= 0xa0) ||
		    (c == 0xe2 && ((unsigned char)rest.p[1] | 1) == 0x81) ||
		    (n == 3 && memcmp(rest.p, "\xef\xbb\xbf", 3) == 0))
			return false;
		rest = (struct str){ rest.p + n, rest.n - n };
	}
	return true;
}

void name_encode(struct sbuf *b, struct str text)
{
	while (text.n) {
		size_t n = utf8_len(text);
		struct str one = { text.p, n ? n : 1 };

		if (one.p[0] != '%' && name_is_valid(one))
			sbuf_add_str(b, one);
		else
			for (size_t i = 0; i < one.n; i++)
				sbuf_addf(b, "%%%02X", (unsigned char)one.p[i]);
		text = (struct str){ text.p + one.n, text.n - one.n };
	}
}

bool identity_parse(struct str text, enum identity_kind *ret_kind, struct str *ret_name)
{
	enum identity_kind kind = IDENTITY_USER;
	struct str head, name = text;

	if (str_cut(text, ':', &head, &name)) {
		for (kind = IDENTITY_USER; kind < IDENTITY_KIND_N; kind++) {
			if (str_eq(head, str_of(kind_names[kind])))
				break;
		}
	} else if (str_eq(text, str_of(kind_names[IDENTITY_ANONYMOUS]))) {
		*ret_kind = IDENTITY_ANONYMOUS;
		*ret_name = (struct str){ "", 0 };
		return true;
	} else {
		name = text;
	}
	if (kind == IDENTITY_KIND_N || !name_is_valid(name))
		return false;
	*ret_kind = kind;
	*ret_name = name;
	return true;
}

const char *actions_text(unsigned actions, char buf[static ACTIONS_TEXT_MAX])
{
	size_t n = 0;

	(void)snprintf(buf, ACTIONS_TEXT_MAX, "none");
	for (size_t i = 0; i < ARRAY_LEN(action_names); i++) {
		if (actions & (unsigned)action_names[i].action)
			n += (size_t)snprintf(buf + n, ACTIONS_TEXT_MAX - n, "%s%s", n ? "," : "",
					      action_names[i].name);
	}
	return buf;
}

bool action_parse(struct str in, enum action *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(action_names); i++) {
		if (str_eq(in, str_of(action_names[i].name))) {
			*ret = action_names[i].action;
			return true;
		}
	}
	return false;
}
