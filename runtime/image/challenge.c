#include "runtime/image/challenge.h"

static bool is_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static void skip_blanks(struct str *in)
{
	while (in->n && (in->p[0] == ' ' || in->p[0] == '\t')) {
		in->p++;
		in->n--;
	}
}

static bool scan_token(struct str *in, struct str *ret)
{
	size_t n = 0;

	while (n < in->n && is_token_char(in->p[n]))
		n++;
	if (n == 0)
		return false;
	*ret = (struct str){ in->p, n };
	in->p += n;
	in->n -= n;
	return true;
}

/* A quoted string, with its escapes taken out, or a token; cut off values are as good as none. */
static bool scan_value(struct str *in, char *buf, size_t cap)
{
	struct str token;
	size_t n = 0;

	if (!scan_char(in, '"'))
		return scan_token(in, &token) && str_copy(token, buf, cap);
	while (in->n && in->p[0] != '"') {
		if (in->p[0] == '\\' && in->n > 1) {
			in->p++;
			in->n--;
		}
		if ((unsigned char)in->p[0] < ' ' || n + 1 >= cap)
			return false;
		buf[n++] = in->p[0];
		in->p++;
		in->n--;
	}
	buf[n] = '\0';
	return scan_char(in, '"');
}

static bool set_parameter(struct challenge *c, struct str key, const char *value)
{
	static const struct {
		const char *key;
		size_t at, cap;
	} known[] = {
		{ "realm", offsetof(struct challenge, realm), sizeof(c->realm) },
		{ "service", offsetof(struct challenge, service), sizeof(c->service) },
		{ "scope", offsetof(struct challenge, scope), sizeof(c->scope) },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (str_eq_nocase(key, str_of(known[i].key)))
			return str_copy(str_of(value), (char *)c + known[i].at, known[i].cap);
	}
	return true;
}

/* key=value pairs up to the next scheme, which is a token that no "=" follows. */
static bool scan_parameters(struct str *in, struct challenge *c)
{
	char value[CHALLENGE_TEXT_MAX];

	for (;;) {
		struct str rest = *in, key;

		while (rest.n && (rest.p[0] == ',' || rest.p[0] == ' ' || rest.p[0] == '\t')) {
			rest.p++;
			rest.n--;
		}
		if (!scan_token(&rest, &key))
			return rest.n == 0;
		skip_blanks(&rest);
		if (!scan_char(&rest, '='))
			return true;
		skip_blanks(&rest);
		if (!scan_value(&rest, value, sizeof(value)) || !set_parameter(c, key, value))
			return false;
		*in = rest;
	}
}

static void skip_separators(struct str *in)
{
	skip_blanks(in);
	while (scan_char(in, ','))
		skip_blanks(in);
}

bool challenge_parse(struct str field, struct challenge *ret)
{
	bool found = false;
	struct str scheme;

	for (skip_separators(&field); scan_token(&field, &scheme); skip_separators(&field)) {
		struct challenge c = { 0 };

		if (str_eq_nocase(scheme, STR("Bearer")))
			c.kind = CHALLENGE_BEARER;
		else if (str_eq_nocase(scheme, STR("Basic")))
			c.kind = CHALLENGE_BASIC;
		if (!scan_parameters(&field, &c))
			break;
		if (c.kind == CHALLENGE_BEARER && !c.realm[0])
			continue;
		if (c.kind > (found ? ret->kind : CHALLENGE_NONE)) {
			*ret = c;
			found = true;
		}
	}
	return found;
}
