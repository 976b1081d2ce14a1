#include "runtime/oci/cli/opt.h"

static const struct opt *find(const struct opt *table, struct str name)
{
	for (const struct opt *o = table; o->name; o++) {
		if (str_eq(name, str_of(o->name)) ||
		    (o->letter && name.n == 1 && name.p[0] == o->letter))
			return o;
	}
	return NULL;
}

/* "-abc": every letter a flag. */
static bool set_letters(const struct opt *table, struct str letters, void *out)
{
	for (size_t i = 0; i < letters.n; i++) {
		const struct opt *o = find(table, (struct str){ letters.p + i, 1 });

		if (!o || o->kind != OPT_FLAG)
			return false;
	}
	for (size_t i = 0; i < letters.n; i++)
		*(bool *)((char *)out + find(table, (struct str){ letters.p + i, 1 })->offset) =
		    true;
	return letters.n > 0;
}

static enum err_kind set_number(const struct opt *o, struct str text, struct opt_i64 *to,
				struct err *e)
{
	bool negative = scan_char(&text, '-');
	uint64_t v;

	if (!scan_u64(&text, INT64_MAX, &v) || !scan_end(&text))
		return err_set(e, ERR_INVALID, __func__, "--%s: a number is wanted", o->name);
	*to = (struct opt_i64){ .set = true, .v = negative ? -(int64_t)v : (int64_t)v };
	return ERR_OK;
}

static enum err_kind add_text(const char *text, struct arena *a, struct texts *to, struct err *e)
{
	const char **v = arena_array(a, to->n + 2, sizeof(*v));

	if (!v)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for options");
	if (to->n)
		memcpy(v, to->v, to->n * sizeof(*v));
	v[to->n++] = text;
	to->v = v;
	return ERR_OK;
}

static enum err_kind set_value(const struct opt *o, const char *text, struct arena *a, void *out,
			       struct err *e)
{
	void *to = (char *)out + o->offset;

	switch (o->kind) {
	case OPT_FLAG:
		if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
			return err_set(e, ERR_INVALID, __func__, "--%s: true or false is wanted",
				       o->name);
		*(bool *)to = text[0] == 't';
		return ERR_OK;
	case OPT_TEXT:
		*(const char **)to = text;
		return ERR_OK;
	case OPT_TEXTS:
		return add_text(text, a, to, e);
	case OPT_NUMBER:
		return set_number(o, str_of(text), to, e);
	}
	return ERR_BUG;
}

/* One option at argv[*i]; advances *i over its value. */
static enum err_kind parse_one(const struct opt *table, int argc, char **argv, int *i,
			       struct arena *a, void *out, struct err *e)
{
	const char *arg = argv[*i];
	struct str text = str_of(arg + (arg[1] == '-' ? 2 : 1)), name, value;
	bool has_value = str_cut(text, '=', &name, &value);
	const struct opt *o = find(table, name);

	if (!o && arg[1] != '-' && !has_value && set_letters(table, text, out))
		return ERR_OK;
	if (!o)
		return err_set(e, ERR_INVALID, __func__, "flag provided but not defined: -%.*s",
			       (int)MIN(name.n, (size_t)60), name.p);
	if (has_value)
		return set_value(o, value.p, a, out, e);
	if (o->kind == OPT_FLAG)
		return set_value(o, "true", a, out, e);
	if (*i + 1 >= argc)
		return err_set(e, ERR_INVALID, __func__, "flag needs an argument: -%s", o->name);
	return set_value(o, argv[++*i], a, out, e);
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
		k = parse_one(table, argc, argv, &i, a, out, e);
		if (k != ERR_OK)
			return k;
	}
	*ret_n = n;
	return ERR_OK;
}

void opt_help(const struct opt *table, struct sbuf *out)
{
	static const char *const values[] = { [OPT_FLAG] = "",
					      [OPT_TEXT] = " value",
					      [OPT_TEXTS] = " value",
					      [OPT_NUMBER] = " number" };

	for (const struct opt *o = table; o->name; o++) {
		char left[64], letter[8] = "";

		if (o->letter)
			(void)snprintf(letter, sizeof(letter), ", -%c", o->letter);
		(void)snprintf(left, sizeof(left), "--%s%s%s", o->name, values[o->kind], letter);
		sbuf_addf(out, "   %-28s %s\n", left, o->doc);
	}
}
