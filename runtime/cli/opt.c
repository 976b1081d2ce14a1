#include "runtime/cli/opt.h"

#include "base/quantity.h"

static const struct opt *find_name(const struct opt *table, struct str name)
{
	for (const struct opt *o = table; o->name; o++) {
		if (str_eq(name, str_of(o->name)))
			return o;
	}
	return NULL;
}

static const struct opt *find_letter(const struct opt *table, char letter)
{
	for (const struct opt *o = table; o->name; o++) {
		if (o->letter && o->letter == letter)
			return o;
	}
	return NULL;
}

/* As docker writes sizes, too: 512m, 2gb, 100b. */
static bool parse_size(struct str in, uint64_t *ret)
{
	char text[32];
	size_t n = in.n;

	if (n > 1 && (in.p[n - 1] == 'b' || in.p[n - 1] == 'B'))
		n--;
	if (!str_copy((struct str){ in.p, n }, text, sizeof(text)))
		return false;
	if (n > 0 && text[n - 1] >= 'a' && text[n - 1] <= 'z')
		text[n - 1] = (char)(text[n - 1] - 'a' + 'A');
	return size_parse(str_of(text), ret);
}

static bool is_flag(const struct opt *o)
{
	return o->kind == OPT_FLAG || o->kind == OPT_EITHER;
}

static enum err_kind bad_value(const struct opt *o, const char *text, const char *wanted,
			       struct err *e)
{
	return err_set(e, ERR_INVALID, __func__, "--%s: \"%.60s\" is not %s", o->name, text,
		       wanted);
}

static enum err_kind set_value(const struct opt *o, const char *text, struct arena *a, void *out,
			       struct err *e)
{
	void *to = (char *)out + o->offset;
	struct str in = str_of(text);

	switch (o->kind) {
	case OPT_FLAG:
		if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
			return bad_value(o, text, "true or false", e);
		*(bool *)to = text[0] == 't';
		return ERR_OK;
	case OPT_EITHER:
		if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
			return bad_value(o, text, "true or false", e);
		*(enum opt_either *)to = text[0] == 't' ? OPT_TRUE : OPT_FALSE;
		return ERR_OK;
	case OPT_TEXT:
		*(const char **)to = text;
		return ERR_OK;
	case OPT_TEXTS:
		return arena_list_add(a, to, text)
			   ? ERR_OK
			   : err_set(e, ERR_NO_MEMORY, __func__, "no memory for options");
	case OPT_SIZE:
		return parse_size(in, to) ? ERR_OK
					  : bad_value(o, text, "a size such as 512M or 2G", e);
	case OPT_COUNT:
		return scan_u64(&in, UINT64_MAX, to) && scan_end(&in)
			   ? ERR_OK
			   : bad_value(o, text, "a number", e);
	}
	return err_set(e, ERR_BUG, __func__, "no kind of option");
}

/* Gives the option its value: what follows it in the same word, or the next word. */
static enum err_kind take_value(const struct opt *o, const char *attached, int argc, char **argv,
				int *i, struct arena *a, void *out, struct err *e)
{
	if (attached)
		return set_value(o, attached, a, out, e);
	if (is_flag(o))
		return set_value(o, "true", a, out, e);
	if (*i + 1 >= argc)
		return err_set(e, ERR_INVALID, __func__, "--%s wants a value", o->name);
	return set_value(o, argv[++*i], a, out, e);
}

static enum err_kind parse_long(const struct opt *table, int argc, char **argv, int *i,
				struct arena *a, void *out, struct err *e)
{
	struct str name, value;
	bool has_value = str_cut(str_of(argv[*i] + 2), '=', &name, &value);
	const struct opt *o = find_name(table, name);

	if (!o)
		return err_set(e, ERR_INVALID, __func__, "there is no option --%.*s",
			       (int)MIN(name.n, (size_t)60), name.p);
	return take_value(o, has_value ? value.p : NULL, argc, argv, i, a, out, e);
}

/* "-abc": flags, the last of which may want a value, as in "-abc value" or "-abcvalue". */
static enum err_kind parse_letters(const struct opt *table, int argc, char **argv, int *i,
				   struct arena *a, void *out, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (const char *at = argv[*i] + 1; k == ERR_OK && *at; at++) {
		const struct opt *o = find_letter(table, *at);

		if (!o)
			return err_set(e, ERR_INVALID, __func__, "there is no option -%c", *at);
		if (!is_flag(o))
			return take_value(o, at[1] ? at + 1 : NULL, argc, argv, i, a, out, e);
		k = set_value(o, "true", a, out, e);
	}
	return k;
}

enum err_kind opt_parse(const struct opt *table, int argc, char **argv, bool stops_early,
			struct arena *a, void *out, size_t *ret_n, struct err *e)
{
	size_t n = 0;
	bool ended = false;

	for (int i = 0; i < argc; i++) {
		enum err_kind k;

		if (ended || argv[i][0] != '-' || !argv[i][1]) {
			argv[n++] = argv[i];
			ended = ended || stops_early;
			continue;
		}
		if (strcmp(argv[i], "--") == 0) {
			ended = true;
			continue;
		}
		k = argv[i][1] == '-' ? parse_long(table, argc, argv, &i, a, out, e)
				      : parse_letters(table, argc, argv, &i, a, out, e);
		if (k != ERR_OK)
			return k;
	}
	*ret_n = n;
	return ERR_OK;
}

void opt_help(const struct opt *table, struct sbuf *out)
{
	for (const struct opt *o = table; o->name; o++) {
		char left[64], letter[8] = "    ";

		if (o->letter)
			(void)snprintf(letter, sizeof(letter), "-%c, ", o->letter);
		(void)snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name,
			       o->value ? " " : "", o->value ? o->value : "");
		sbuf_addf(out, "  %-32s %s\n", left, o->doc);
	}
}
