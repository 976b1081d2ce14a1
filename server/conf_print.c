#include "server/conf_table.h"

/* In YAML's double quotes. */
static void dump_text(struct str text, struct sbuf *b)
{
	sbuf_add(b, "\"", 1);
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c < ' ' || c == 0x7f)
			sbuf_addf(b, "\\x%02x", c);
		else
			sbuf_addf(b, c == '"' || c == '\\' ? "\\%c" : "%c", c);
	}
	sbuf_add(b, "\"", 1);
}

#define MASK "********"

/* http://USER:PASSWORD@HOST, without what is before the @. */
static void dump_shown(struct str text, struct sbuf *b)
{
	const char *at = memmem(text.p, text.n, "://", 3), *end;
	AUTO_SBUF shown = { .max = SBUF_MAX };
	size_t head;

	end = at ? memchr(at, '@', text.n - (size_t)(at - text.p)) : NULL;
	if (!end || memchr(at + 3, '/', (size_t)(end - at - 3))) {
		dump_text(text, b);
		return;
	}
	head = (size_t)(at + 3 - text.p);
	sbuf_add(&shown, text.p, head);
	sbuf_add_str(&shown, STR(MASK));
	sbuf_add(&shown, end, text.n - (size_t)(end - text.p));
	if (shown.failed)
		b->failed = true;
	else
		dump_text((struct str){ shown.p, shown.n }, b);
}

/* A member of a list that is a secret itself, not the name of a file that has it. */
static bool is_secret(const char *name, const struct jv *value)
{
	static const char *const words[] = { "secret", "password", "token", "authorization" };

	struct str text;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strstr(name, words[i]))
			return !jv_text(value, &text) || text.p[0] != '/';
	}
	return false;
}

/* In YAML's flow style, which is JSON's; lines are not part of the value. */
static void dump_node(const struct jv *v, bool mask, struct sbuf *b)
{
	const char *key, *comma = "";
	const struct jv *member;
	void *iter = NULL;
	struct str text;

	if (jv_text(v, &text)) {
		if (mask)
			dump_shown(text, b);
		else
			dump_text(text, b);
	} else if (jv_is_array(v)) {
		sbuf_add(b, "[", 1);
		for (size_t i = 0; i < jv_count(v); i++) {
			sbuf_addf(b, "%s", i ? ", " : "");
			dump_node(jv_at(v, i), mask, b);
		}
		sbuf_add(b, "]", 1);
	} else {
		sbuf_add(b, "{", 1);
		while (jv_next(v, &iter, &key, &member)) {
			if (!form_is_member(key))
				continue;
			sbuf_addf(b, "%s", comma);
			dump_text(str_of(key), b);
			sbuf_addf(b, ": ");
			if (mask && is_secret(key, member))
				dump_text(STR(MASK), b);
			else
				dump_node(member, mask, b);
			comma = ", ";
		}
		sbuf_add(b, "}", 1);
	}
}

static void dump_value(const struct conf *c, const struct option *o, bool mask, struct sbuf *b)
{
	const void *field = option_value(o, c);
	struct str word = { "", 0 };
	char text[QUANTITY_TEXT_MAX];

	switch (o->type) {
	case CONF_TEXT:
		word = str_of(((const struct sbuf *)field)->p);
		if (mask)
			dump_shown(word, b);
		else
			dump_text(word, b);
		break;
	case CONF_COUNT:
	case CONF_PERCENT:
	case CONF_SIZE:
	case CONF_DURATION:
	case CONF_KEEP:
		sbuf_addf(b, "%s", option_number(o->type, *(const uint64_t *)field, text));
		break;
	case CONF_FLAG:
		sbuf_addf(b, "%s", *(const bool *)field ? "true" : "false");
		break;
	case CONF_CHOICE:
		(void)option_choice(o, *(const unsigned *)field, &word);
		sbuf_add_str(b, word);
		break;
	case CONF_LIST:
		dump_node(*(struct jv *const *)field, mask, b);
		break;
	}
}

static size_t dots(const char *key)
{
	size_t n = 0;

	for (; *key; key++)
		n += *key == '.';
	return n;
}

/* The groups of key that the option before it was not in; returns the rest of its name. */
static const char *dump_groups(const char *before, const char *key, struct sbuf *b)
{
	const char *at = key, *dot;
	int indent = 0;

	for (; (dot = strchr(at, '.')) != NULL; at = dot + 1, indent += 2) {
		size_t n = (size_t)(dot + 1 - key);

		if (strncmp(before, key, n) != 0)
			sbuf_addf(b, "%*s%.*s:\n", indent, "", (int)(dot - at), at);
	}
	return at;
}

void conf_dump(const struct conf *c, struct sbuf *b)
{
	const char *before = "";

	for (size_t i = 0; i < conf_options_n; i++) {
		const char *leaf = dump_groups(before, conf_options[i].key, b);
		int indent = (int)(2 * dots(conf_options[i].key));

		before = conf_options[i].key;
		sbuf_addf(b, "%*s# %s", indent, "", conf_options[i].doc);
		if (conf_options[i].choices)
			sbuf_addf(b, " (%s)", conf_options[i].choices);
		if (conf_options[i].reloads)
			sbuf_addf(b, " [reload]");
		sbuf_addf(b, "\n%*s%s: ", indent, "", leaf);
		dump_value(c, &conf_options[i], false, b);
		sbuf_add(b, "\n", 1);
	}
}

void option_show(const struct option *o, const struct conf *c, struct sbuf *b)
{
	dump_value(c, o, true, b);
}

static bool same_text(const struct sbuf *a, const struct sbuf *b)
{
	return !a->failed && !b->failed &&
	       str_eq((struct str){ a->p, a->n }, (struct str){ b->p, b->n });
}

bool option_same(const struct option *o, const struct conf *a, const struct conf *b)
{
	AUTO_SBUF of_a = { .max = SBUF_MAX }, of_b = { .max = SBUF_MAX };

	dump_value(a, o, false, &of_a);
	dump_value(b, o, false, &of_b);
	return same_text(&of_a, &of_b);
}

bool conf_same(const char *key, const struct conf *a, const struct conf *b)
{
	return option_same(option_find(str_of(key)), a, b);
}

bool conf_same_value(const struct jv *a, const struct jv *b)
{
	AUTO_SBUF of_a = { .max = SBUF_MAX }, of_b = { .max = SBUF_MAX };

	dump_node(a, false, &of_a);
	dump_node(b, false, &of_b);
	return same_text(&of_a, &of_b);
}

void conf_show(const struct conf *c, struct sbuf *b)
{
	for (size_t i = 0; i < conf_options_n; i++) {
		const struct option *o = &conf_options[i];

		sbuf_addf(b, "%s: ", o->key);
		option_show(o, c, b);
		sbuf_addf(b, "  # %s\n", conf_place(c, o->key));
	}
}

struct jv *conf_show_json(const struct conf *c)
{
	AUTO_JV *all = jv_pack("{}");
	bool ok = all != NULL;

	for (size_t i = 0; i < conf_options_n && ok; i++) {
		const struct option *o = &conf_options[i];
		AUTO_SBUF value = { .max = SBUF_MAX };

		option_show(o, c, &value);
		ok = !value.failed &&
		     jv_set(all, o->key,
			    jv_pack("{s:s%, s:s, s:b}", "value", value.p, value.n, "from",
				    conf_place(c, o->key), "reload", (int)o->reloads));
	}
	return ok ? TAKE(all) : NULL;
}

static void describe_values(const struct option *o, struct sbuf *b)
{
	char min[QUANTITY_TEXT_MAX], max[QUANTITY_TEXT_MAX];

	switch (o->type) {
	case CONF_TEXT:
		sbuf_addf(b, o->min ? "text, not empty" : "text");
		break;
	case CONF_COUNT:
	case CONF_PERCENT:
	case CONF_SIZE:
	case CONF_DURATION:
	case CONF_KEEP:
		sbuf_addf(b, "%s from %s to %s", option_takes(o->type),
			  option_number(o->type, o->min, min), option_number(o->type, o->max, max));
		break;
	case CONF_FLAG:
		sbuf_addf(b, "true or false");
		break;
	case CONF_CHOICE:
		sbuf_addf(b, "one of %s", o->choices);
		break;
	case CONF_LIST:
		sbuf_addf(b, "a list");
		break;
	}
}

void conf_manual(struct sbuf *b)
{
	char name[OPTION_KEY_MAX];

	for (size_t i = 0; i < conf_options_n; i++) {
		const struct option *o = &conf_options[i];

		option_variable(o->key, name);
		sbuf_addf(b, "%s = %s\n    %s%s\n    ", o->key, *o->preset ? o->preset : "\"\"",
			  o->doc, o->reloads ? "; SIGHUP is enough for another value" : "");
		describe_values(o, b);
		sbuf_addf(b, "; %s\n", name);
	}
}
