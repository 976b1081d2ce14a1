#include "runtime/net/name.h"

#define ARGS_MAX 64

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static enum err_kind parse_id(struct str in, const char *what, size_t max, char *ret, struct err *e)
{
	if (in.n == 0)
		return err_set(e, ERR_INVALID, __func__, "the %s is empty", what);
	if (in.n > max)
		return err_set(e, ERR_INVALID, __func__, "the %s has %zu bytes, more than %zu",
			       what, in.n, max);
	for (size_t i = 0; i < in.n; i++) {
		if (is_alnum(in.p[i]) || (i && memchr("_.-", in.p[i], 3)))
			continue;
		return err_set(e, ERR_INVALID, __func__,
			       "the %s must be letters, digits, \"_\", \".\" and \"-\", and begin "
			       "with a letter or digit",
			       what);
	}
	memcpy(ret, in.p, in.n);
	ret[in.n] = '\0';
	return ERR_OK;
}

enum err_kind net_name_parse(struct str in, struct net_name *ret, struct err *e)
{
	return parse_id(in, "network name", NET_NAME_MAX, ret->s, e);
}

enum err_kind container_id_parse(struct str in, struct container_id *ret, struct err *e)
{
	return parse_id(in, "container id", CONTAINER_ID_MAX, ret->s, e);
}

static bool is_dots(struct str s)
{
	return str_eq(s, STR(".")) || str_eq(s, STR(".."));
}

/* U+0085 and what Unicode counts as blanks beyond ASCII; the kernel takes them, other runtimes do not. */
static bool is_wide_blank(struct str s)
{
	static const char *const blanks[] = {
		"\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81",
		"\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86",
		"\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8",
		"\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80",
	};

	for (size_t i = 0; i < ARRAY_LEN(blanks); i++) {
		if (str_starts(s, str_of(blanks[i])))
			return true;
	}
	return false;
}

enum err_kind if_name_parse(struct str in, struct if_name *ret, struct err *e)
{
	if (in.n == 0)
		return err_set(e, ERR_INVALID, __func__, "the interface name is empty");
	if (in.n > IF_NAME_MAX)
		return err_set(e, ERR_INVALID, __func__,
			       "the interface name has %zu bytes, more than %d", in.n, IF_NAME_MAX);
	if (is_dots(in))
		return err_set(e, ERR_INVALID, __func__, "the interface name is \"%.*s\"",
			       STR_FMT(in));
	for (size_t i = 0; i < in.n; i++) {
		unsigned char c = (unsigned char)in.p[i];

		if (c <= ' ' || c == 0x7f || c == '/' || c == ':' ||
		    is_wide_blank((struct str){ in.p + i, in.n - i }))
			return err_set(e, ERR_INVALID, __func__,
				       "the interface name holds \"/\", \":\" or a blank");
	}
	memcpy(ret->s, in.p, in.n);
	ret->s[in.n] = '\0';
	return ERR_OK;
}

enum err_kind plugin_type_check(struct str in, struct err *e)
{
	if (in.n == 0)
		return err_set(e, ERR_INVALID, __func__, "the type of a plugin is empty");
	if (is_dots(in) || memchr(in.p, '/', in.n) || memchr(in.p, '\0', in.n))
		return err_set(e, ERR_INVALID, __func__,
			       "the type of a plugin is \"%.60s\", which is no name of a file",
			       in.p);
	return ERR_OK;
}

static bool is_arg_key(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!is_alnum(s.p[i]) && !memchr("_.-", s.p[i], 3))
			return false;
	}
	return s.n > 0;
}

static bool is_arg_value(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < ' ' || c == 0x7f || c == ';' || c == '=')
			return false;
	}
	return s.n > 0;
}

static enum err_kind check_pair(struct str key, struct str value, struct err *e)
{
	if (!is_arg_key(key))
		return err_set(e, ERR_INVALID, __func__,
			       "an argument for plugins needs a name of letters, digits, \"_\", "
			       "\".\" and \"-\"");
	if (!is_arg_value(value))
		return err_set(e, ERR_INVALID, __func__,
			       "argument %.*s for plugins is empty, or holds \";\", \"=\" or a "
			       "control byte",
			       (int)MIN(key.n, (size_t)60), key.p);
	return ERR_OK;
}

enum err_kind net_args_add(struct jv *args, struct str key, struct str value, struct err *e)
{
	enum err_kind k = check_pair(key, value, e);

	if (k != ERR_OK)
		return k;
	if (jv_count(args) == ARGS_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "more than %d arguments for plugins",
			       ARGS_MAX);
	if (!jv_append(args, jv_pack("[s%,s%]", key.p, key.n, value.p, value.n)))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for arguments");
	return ERR_OK;
}

enum err_kind net_args_parse(struct str in, struct jv **ret, struct err *e)
{
	AUTO_JV *args = jv_new_array();
	struct str pair, key, value;
	enum err_kind k;

	if (!args)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for arguments");
	while (in.n) {
		bool more = str_cut(in, ';', &pair, &in);

		if (!str_cut(pair, '=', &key, &value) || (more && in.n == 0))
			return err_set(e, ERR_INVALID, __func__,
				       "arguments for plugins must be KEY=VALUE;KEY=VALUE");
		k = net_args_add(args, key, value, e);
		if (k != ERR_OK)
			return k;
	}
	*ret = TAKE(args);
	return ERR_OK;
}

static bool pair_at(const struct jv *args, size_t i, struct str *key, struct str *value)
{
	const struct jv *pair = jv_at(args, i);

	return jv_count(pair) == 2 && jv_text(jv_at(pair, 0), key) &&
	       jv_text(jv_at(pair, 1), value);
}

enum err_kind net_args_check(const struct jv *args, struct err *e)
{
	struct str key, value;

	if (!jv_is_array(args) || jv_count(args) > ARGS_MAX)
		return err_set(e, ERR_INVALID, __func__,
			       "arguments for plugins are no array of at most %d", ARGS_MAX);
	for (size_t i = 0; i < jv_count(args); i++) {
		enum err_kind k = pair_at(args, i, &key, &value)
				      ? check_pair(key, value, e)
				      : err_set(e, ERR_INVALID, __func__,
						"an argument for plugins is no pair of texts");

		if (k != ERR_OK)
			return k;
	}
	return ERR_OK;
}

void net_args_text(const struct jv *args, struct sbuf *out)
{
	struct str key, value;

	for (size_t i = 0; i < jv_count(args); i++) {
		if (!pair_at(args, i, &key, &value))
			continue;
		sbuf_add(out, ";", i > 0);
		sbuf_add_str(out, key);
		sbuf_add(out, "=", 1);
		sbuf_add_str(out, value);
	}
}

bool net_args_find(const struct jv *args, struct str key, struct str *ret)
{
	struct str found, value;

	for (size_t i = jv_count(args); i-- > 0;) {
		if (pair_at(args, i, &found, &value) && str_eq(found, key)) {
			*ret = value;
			return true;
		}
	}
	return false;
}
