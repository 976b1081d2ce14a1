#include "runtime/image/change.h"

#include "base/arena.h"

#define WORDS_MAX (256u * 1024)
#define DEPTH_MAX 8

static enum err_kind no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a configuration");
}

struct jv *change_copy(const struct jv *object)
{
	struct jv *copy = jv_pack("{}");
	const struct jv *value;
	const char *key;
	void *iter = NULL;

	while (copy && jv_next(object, &iter, &key, &value)) {
		if (!jv_set(copy, key, jv_share(value)))
			jv_free(&copy);
	}
	return copy;
}

static struct jv *copy_list(const struct jv *list)
{
	struct jv *copy = jv_new_array();

	for (size_t i = 0; copy && i < jv_count(list); i++) {
		if (!jv_append(copy, jv_share(jv_at(list, i))))
			jv_free(&copy);
	}
	return copy;
}

/* --- Words --- */

/* One word of a shell, without expansions: quotes and backslashes as in sh. */
static bool take_word(struct str *in, struct sbuf *word)
{
	char quote = '\0';
	bool any = false;

	while (in->n && (*in->p == ' ' || *in->p == '\t'))
		*in = (struct str){ in->p + 1, in->n - 1 };
	for (; in->n; *in = (struct str){ in->p + 1, in->n - 1 }) {
		char c = *in->p;

		if (!quote && (c == ' ' || c == '\t'))
			break;
		any = true;
		if (c == quote) {
			quote = '\0';
		} else if (!quote && (c == '"' || c == '\'')) {
			quote = c;
		} else if (c == '\\' && quote != '\'' && in->n > 1) {
			*in = (struct str){ in->p + 1, in->n - 1 };
			sbuf_add(word, in->p, 1);
		} else {
			sbuf_add(word, &c, 1);
		}
	}
	return any && !quote;
}

static enum err_kind take_words(struct arena *a, struct str in, struct text_list *ret,
				struct err *e)
{
	while (str_trim(in).n) {
		AUTO_SBUF word;
		char *text;

		sbuf_init(&word, WORDS_MAX);
		if (!take_word(&in, &word))
			return err_set(e, ERR_INVALID, __func__, "a quote that does not end");
		text = arena_text(a, (struct str){ word.p ? word.p : "", word.n });
		if (word.failed || !text || !arena_list_add(a, ret, text))
			return no_memory(e);
	}
	return ERR_OK;
}

/* ["a", "b"], or NULL if it is no list of texts. */
static struct jv *exec_form(struct str in)
{
	AUTO_SBUF text;
	AUTO_JV *v = NULL;
	struct err ignored;
	struct str one;

	if (!str_starts(in, STR("[")))
		return NULL;
	sbuf_init(&text, WORDS_MAX);
	sbuf_addf(&text, "{\"v\":");
	sbuf_add_str(&text, in);
	sbuf_addf(&text, "}");
	if (text.failed ||
	    jv_parse_object((struct str){ text.p, text.n }, DEPTH_MAX, &v, &ignored) != ERR_OK)
		return NULL;
	for (size_t i = 0; i < jv_count(jv_member(v, "v")); i++) {
		if (!jv_text(jv_at(jv_member(v, "v"), i), &one))
			return NULL;
	}
	return jv_is_array(jv_member(v, "v")) ? jv_share(jv_member(v, "v")) : NULL;
}

/* --- Instructions --- */

struct change {
	struct jv *config;
	const char *key;
	struct str text;
	struct arena *arena;
	struct text_list words;
};

static enum err_kind set(struct change *c, struct jv *value, struct err *e)
{
	return jv_set(c->config, c->key, value) ? ERR_OK : no_memory(e);
}

static enum err_kind set_text(struct change *c, struct err *e)
{
	return set(c, jv_pack("s%", c->text.p, c->text.n), e);
}

static enum err_kind set_command(struct change *c, struct err *e)
{
	struct jv *list = exec_form(c->text);

	if (!list)
		list = jv_pack("[s, s, s%]", "/bin/sh", "-c", c->text.p, c->text.n);
	return set(c, list, e);
}

static bool same_name(struct str a, struct str b)
{
	struct str rest;

	(void)str_cut(a, '=', &a, &rest);
	return str_eq(a, b);
}

/* In the place of the one that has the name, or at the end. */
static struct jv *with_variable(const struct jv *old, struct str name, const char *whole)
{
	struct jv *list = jv_new_array();
	bool found = false, ok = list;
	struct str text;

	for (size_t i = 0; ok && i < jv_count(old); i++) {
		bool is_it = jv_text(jv_at(old, i), &text) && same_name(text, name);

		ok = jv_append(list, is_it ? jv_pack("s", whole) : jv_share(jv_at(old, i)));
		found = found || is_it;
	}
	if (ok && !found)
		ok = jv_append(list, jv_pack("s", whole));
	if (!ok)
		jv_free(&list);
	return list;
}

static enum err_kind set_pair(struct change *c, const char *word, struct err *e)
{
	struct str name, value;
	struct jv *labels;

	if (!str_cut(str_of(word), '=', &name, &value) || name.n == 0)
		return err_set(e, ERR_INVALID, __func__, "\"%.60s\" is no NAME=VALUE", word);
	if (strcmp(c->key, "Env") == 0)
		return set(c, with_variable(jv_member(c->config, "Env"), name, word), e);
	labels = change_copy(jv_member(c->config, c->key));
	if (labels) {
		char key[4096];

		if (!str_copy(name, key, sizeof(key)) ||
		    !jv_set(labels, key, jv_pack("s", value.p)))
			jv_free(&labels);
	}
	return set(c, labels, e);
}

/* "NAME=VALUE ...", or of old "NAME all the rest". */
static enum err_kind set_pairs(struct change *c, struct err *e)
{
	struct str name, value;
	enum err_kind k = take_words(c->arena, c->text, &c->words, e);

	if (k == ERR_OK && c->words.n && !strchr(c->words.v[0], '=') &&
	    str_cut(c->text, ' ', &name, &value)) {
		AUTO_SBUF whole;

		sbuf_init(&whole, WORDS_MAX);
		sbuf_add_str(&whole, name);
		sbuf_addf(&whole, "=");
		sbuf_add_str(&whole, str_trim(value));
		return whole.failed ? no_memory(e) : set_pair(c, whole.p, e);
	}
	for (size_t i = 0; k == ERR_OK && i < c->words.n; i++)
		k = set_pair(c, c->words.v[i], e);
	return k;
}

static enum err_kind add_keys(struct change *c, struct err *e)
{
	struct jv *list = exec_form(c->text);
	struct jv *keys = change_copy(jv_member(c->config, c->key));
	enum err_kind k = list ? ERR_OK : take_words(c->arena, c->text, &c->words, e);
	bool ok = keys && k == ERR_OK;
	struct str text;

	for (size_t i = 0; ok && i < (list ? jv_count(list) : c->words.n); i++) {
		const char *key = list && jv_text(jv_at(list, i), &text) ? text.p : c->words.v[i];

		if (strcmp(c->key, "ExposedPorts") == 0 && !strchr(key, '/')) {
			char port[64];

			(void)snprintf(port, sizeof(port), "%.48s/tcp", key);
			ok = jv_set(keys, port, jv_pack("{}"));
		} else {
			ok = jv_set(keys, key, jv_pack("{}"));
		}
	}
	jv_free(&list);
	if (!ok)
		jv_free(&keys);
	return k == ERR_OK ? set(c, keys, e) : k;
}

static enum err_kind add_text(struct change *c, struct err *e)
{
	struct jv *list = copy_list(jv_member(c->config, c->key));

	if (list && !jv_append(list, jv_pack("s%", c->text.p, c->text.n)))
		jv_free(&list);
	return set(c, list, e);
}

static const struct {
	const char *name, *key;
	enum err_kind (*run)(struct change *c, struct err *e);
} instructions[] = {
	{ "CMD", "Cmd", set_command },
	{ "ENTRYPOINT", "Entrypoint", set_command },
	{ "ENV", "Env", set_pairs },
	{ "EXPOSE", "ExposedPorts", add_keys },
	{ "LABEL", "Labels", set_pairs },
	{ "ONBUILD", "OnBuild", add_text },
	{ "STOPSIGNAL", "StopSignal", set_text },
	{ "USER", "User", set_text },
	{ "VOLUME", "Volumes", add_keys },
	{ "WORKDIR", "WorkingDir", set_text },
};

enum err_kind change_apply(struct jv **config, struct str instruction, struct err *e)
{
	AUTO_ARENA a;
	struct change c = { .config = change_copy(*config), .arena = &a };
	struct str name;
	enum err_kind k = ERR_UNSUPPORTED;

	arena_init(&a, 4 * WORDS_MAX);
	if (!c.config)
		return no_memory(e);
	instruction = str_trim(instruction);
	(void)str_cut(instruction, ' ', &name, &c.text);
	c.text = str_trim(c.text);
	for (size_t i = 0; c.text.n && i < ARRAY_LEN(instructions); i++) {
		if (!str_eq_nocase(name, str_of(instructions[i].name)))
			continue;
		c.key = instructions[i].key;
		k = instructions[i].run(&c, e);
		break;
	}
	if (k == ERR_UNSUPPORTED)
		k = err_set(e, ERR_INVALID, __func__,
			    "\"%.*s\" is no instruction that can be applied",
			    (int)MIN(instruction.n, (size_t)60), instruction.p);
	if (k != ERR_OK) {
		jv_free(&c.config);
		return k;
	}
	jv_free(config);
	*config = c.config;
	return ERR_OK;
}
