#include "runtime/cli/opt.h"

#include "base/quantity.h"

/* An option that was found, and where its value goes. */
struct found {
	const struct opt *opt; /* NULL: there is none */
	void *out;
};

static bool is_called(const struct opt *o, struct str name, char letter)
{
	return letter ? o->letter == letter : str_eq(name, str_of(o->name));
}

/* By its letter, or without one by its name. */
static struct found find(const struct opt_set *sets, struct str name, char letter)
{
	for (; sets->table; sets++) {
		for (const struct opt *o = sets->table; o->name; o++) {
			if (is_called(o, name, letter))
				return (struct found){ o, (char *)sets->out + o->offset };
		}
	}
	return (struct found){ NULL, NULL };
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

static enum err_kind set_value(const struct opt *o, const char *text, struct arena *a, void *to,
			       struct err *e)
{
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
		return size_parse_docker(in, to)
			   ? ERR_OK
			   : bad_value(o, text, "a size such as 512m or 2g", e);
	case OPT_COUNT:
		return scan_u64(&in, UINT64_MAX, to) && scan_end(&in)
			   ? ERR_OK
			   : bad_value(o, text, "a number", e);
	}
	return err_set(e, ERR_BUG, __func__, "no kind of option");
}

/* Gives the option its value: what follows it in the same word, or the next word. */
static enum err_kind take_value(const struct found *f, const char *attached, int argc, char **argv,
				int *i, struct arena *a, struct err *e)
{
	if (attached)
		return set_value(f->opt, attached, a, f->out, e);
	if (is_flag(f->opt))
		return set_value(f->opt, "true", a, f->out, e);
	if (*i + 1 >= argc)
		return err_set(e, ERR_INVALID, __func__, "--%s wants a value", f->opt->name);
	return set_value(f->opt, argv[++*i], a, f->out, e);
}

static enum err_kind parse_long(const struct opt_set *sets, int argc, char **argv, int *i,
				struct arena *a, struct err *e)
{
	struct str name, value;
	bool has_value = str_cut(str_of(argv[*i] + 2), '=', &name, &value);
	struct found f = find(sets, name, 0);

	if (!f.opt)
		return err_set(e, ERR_INVALID, __func__, "there is no option --%.*s",
			       (int)MIN(name.n, (size_t)60), name.p);
	return take_value(&f, has_value ? value.p : NULL, argc, argv, i, a, e);
}

/* "-abc": flags, the last of which may want a value, as in "-abc value" or "-abcvalue". */
static enum err_kind parse_letters(const struct opt_set *sets, int argc, char **argv, int *i,
				   struct arena *a, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (const char *at = argv[*i] + 1; k == ERR_OK && *at; at++) {
		struct found f = find(sets, STR(""), *at);

		if (!f.opt)
			return err_set(e, ERR_INVALID, __func__, "there is no option -%c", *at);
		if (!is_flag(f.opt))
			return take_value(&f, at[1] ? at + 1 : NULL, argc, argv, i, a, e);
		k = set_value(f.opt, "true", a, f.out, e);
	}
	return k;
}

enum err_kind opt_parse(const struct opt_set *sets, int argc, char **argv, bool stops_early,
			struct arena *a, size_t *ret_n, struct err *e)
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
		k = argv[i][1] == '-' ? parse_long(sets, argc, argv, &i, a, e)
				      : parse_letters(sets, argc, argv, &i, a, e);
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
