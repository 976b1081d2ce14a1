#include "base/nearest.h"
#include "base/quantity.h"
#include "server/conf_table.h"

/* A duration, a size, or NEVER. */
static bool parse_scaled(enum conf_type type, struct str in, uint64_t *ret)
{
	if (type == CONF_KEEP && str_eq(in, STR("never"))) {
		*ret = UINT64_MAX;
		return true;
	}
	return type == CONF_SIZE ? size_parse(in, ret) : duration_parse(in, ret);
}

static bool parse_flag(struct str in, bool *ret)
{
	bool yes = str_eq(in, STR("true")) || str_eq(in, STR("on")) || str_eq(in, STR("yes"));

	if (!yes && !str_eq(in, STR("false")) && !str_eq(in, STR("off")) && !str_eq(in, STR("no")))
		return false;
	*ret = yes;
	return true;
}

static bool parse_choice(const struct option *o, struct str in, unsigned *ret)
{
	struct str word;

	for (unsigned i = 0; option_choice(o, i, &word); i++) {
		if (str_eq(word, in)) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static enum err_kind set_number(const struct option *o, uint64_t *field, struct str value,
				const char *where, struct err *e)
{
	char min[QUANTITY_TEXT_MAX], max[QUANTITY_TEXT_MAX];
	struct str in = value;
	uint64_t v;
	bool ok;

	if (o->type == CONF_COUNT || o->type == CONF_PERCENT) {
		ok = scan_u64(&in, UINT64_MAX, &v);
		if (o->type == CONF_PERCENT)
			(void)scan_char(&in, '%');
		ok = ok && scan_end(&in);
	} else {
		ok = parse_scaled(o->type, value, &v);
	}

	if (ok && v >= o->min && (v <= o->max || (o->type == CONF_KEEP && v == UINT64_MAX))) {
		*field = v;
		return ERR_OK;
	}
	return err_set(e, ERR_INVALID, __func__, "%s: %s is \"%.60s\": it must be %s from %s to %s",
		       where, o->key, value.p, option_takes(o->type),
		       option_number(o->type, o->min, min), option_number(o->type, o->max, max));
}

/* A name of a file only: what systemd puts there is in no other directory. */
static bool is_credential(struct str name)
{
	return name.n > 0 && name.n <= 255 && !memchr(name.p, '/', name.n) &&
	       !str_eq(name, STR(".")) && !str_eq(name, STR(".."));
}

enum err_kind conf_expand(struct str text, const char *where, char buf[static CONF_PATH_MAX],
			  struct err *e)
{
	const struct str scheme = STR("credential:");
	const char *dir;
	struct str name;

	if (!str_starts(text, scheme))
		return str_copy(text, buf, CONF_PATH_MAX)
			   ? ERR_OK
			   : err_set(e, ERR_INVALID, __func__,
				     "%s: the value is too long or has a NUL in it", where);
	name = (struct str){ text.p + scheme.n, text.n - scheme.n };
	if (!is_credential(name))
		return err_set(e, ERR_INVALID, __func__, "%s: \"%.60s\" names no credential", where,
			       text.p);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment */
	dir = getenv("CREDENTIALS_DIRECTORY");
	if (!dir || dir[0] != '/')
		return err_set(e, ERR_INVALID, __func__,
			       "%s: %.60s needs $CREDENTIALS_DIRECTORY, which systemd sets", where,
			       text.p);
	if (snprintf(buf, CONF_PATH_MAX, "%s/%.*s", dir, STR_FMT(name)) >= CONF_PATH_MAX)
		return err_set(e, ERR_INVALID, __func__, "%s: the value is too long", where);
	return ERR_OK;
}

static enum err_kind set_text(const struct option *o, struct sbuf *field, struct str value,
			      const char *where, struct err *e)
{
	char text[CONF_PATH_MAX];
	enum err_kind k;

	if (value.n < o->min || value.n > OPTION_TEXT_MAX)
		return err_set(e, ERR_INVALID, __func__, "%s: %s is empty or too long", where,
			       o->key);
	k = conf_expand(value, where, text, e);
	if (k != ERR_OK)
		return k;
	sbuf_clear(field);
	sbuf_init(field, OPTION_TEXT_MAX + 1);
	sbuf_add_str(field, str_of(text));
	return field->failed ? err_set(e, ERR_NO_MEMORY, __func__, "no memory for options")
			     : ERR_OK;
}

static enum err_kind set_list(const struct option *o, struct jv **field, struct str value,
			      const char *where, struct err *e)
{
	char place[640];
	struct jv *list;
	enum err_kind k;

	(void)snprintf(place, sizeof(place), "%s: %s", where, o->key);
	k = conf_parse_list(value, place, &list, e);
	if (k != ERR_OK)
		return k;
	jv_free(field);
	*field = list;
	return ERR_OK;
}

static enum err_kind no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, __func__, "no memory for options");
}

/* Where the value that an option has now was given. */
static enum err_kind note_place(struct conf *c, const struct option *o, const char *where,
				struct err *e)
{
	char **place;

	if (!c->places)
		c->places = calloc(conf_options_n, sizeof(*c->places));
	if (!c->places)
		return no_memory(e);
	place = &c->places[o - conf_options];
	free(*place);
	*place = strcmp(where, CONF_PRESET) == 0 ? NULL : strdup(where);
	return *place || strcmp(where, CONF_PRESET) == 0 ? ERR_OK : no_memory(e);
}

const char *conf_place(const struct conf *c, const char *key)
{
	const struct option *o = option_find(str_of(key));
	const char *place = c->places && o ? c->places[o - conf_options] : NULL;

	return place ? place : CONF_PRESET;
}

static enum err_kind set_value(struct conf *c, const struct option *o, struct str value,
			       const char *where, struct err *e)
{
	void *field = option_field(o, c);

	switch (o->type) {
	case CONF_TEXT:
		return set_text(o, field, value, where, e);
	case CONF_COUNT:
	case CONF_PERCENT:
	case CONF_SIZE:
	case CONF_DURATION:
	case CONF_KEEP:
		return set_number(o, field, value, where, e);
	case CONF_FLAG:
		if (parse_flag(value, field))
			return ERR_OK;
		return err_set(e, ERR_INVALID, __func__,
			       "%s: %s is \"%.60s\": it must be true or false", where, o->key,
			       value.p);
	case CONF_CHOICE:
		if (parse_choice(o, value, field))
			return ERR_OK;
		return err_set(e, ERR_INVALID, __func__,
			       "%s: %s is \"%.60s\": it must be one of %s", where, o->key, value.p,
			       o->choices);
	case CONF_LIST:
		return set_list(o, field, value, where, e);
	}
	return err_set(e, ERR_BUG, __func__, "option %s has no type", o->key);
}

enum err_kind option_set(const struct option *o, struct conf *c, struct str value,
			 const char *where, struct err *e)
{
	enum err_kind k = set_value(c, o, value, where, e);

	return k == ERR_OK ? note_place(c, o, where, e) : k;
}

static enum err_kind no_option(struct str key, const char *where, struct err *e)
{
	struct nearest near;

	nearest_init(&near, key);
	for (size_t i = 0; i < conf_options_n; i++)
		nearest_try(&near, conf_options[i].key);
	return err_set(e, ERR_INVALID, __func__, "%s: there is no option \"%.*s\"%s%s%s", where,
		       (int)MIN(key.n, (size_t)OPTION_KEY_MAX), key.p,
		       near.best ? "; did you mean \"" : "", near.best ? near.best : "",
		       near.best ? "\"?" : "");
}

enum err_kind conf_set_list(struct conf *c, struct str key, struct jv *take, const char *where,
			    struct err *e)
{
	const struct option *o = option_find(key);
	struct jv **field;

	if (!o || o->type != CONF_LIST) {
		jv_free(&take);
		return o ? err_set(e, ERR_INVALID, __func__, "%s: %s is no list", where, o->key)
			 : no_option(key, where, e);
	}
	field = option_field(o, c);
	jv_free(field);
	*field = take;
	return note_place(c, o, where, e);
}

enum err_kind conf_set(struct conf *c, struct str key, struct str value, const char *where,
		       struct err *e)
{
	const struct option *o = option_find(key);
	char text[OPTION_TEXT_MAX + 1];

	if (!str_copy(value, text, sizeof(text)))
		return err_set(e, ERR_INVALID, __func__,
			       "%s: the value is too long or has a NUL in it", where);
	return o ? option_set(o, c, str_of(text), where, e) : no_option(key, where, e);
}

static enum err_kind copy_list(const struct jv *from, struct jv **to, struct err *e)
{
	struct jv *shared = from ? jv_share(from) : NULL;

	jv_free(to);
	*to = shared;
	return from && !shared ? no_memory(e) : ERR_OK;
}

static enum err_kind copy_text(const struct sbuf *from, struct sbuf *to, struct err *e)
{
	sbuf_clear(to);
	sbuf_init(to, OPTION_TEXT_MAX + 1);
	sbuf_add_str(to, str_of(from->p));
	return to->failed ? no_memory(e) : ERR_OK;
}

enum err_kind option_copy(const struct option *o, const struct conf *from, struct conf *to,
			  struct err *e)
{
	const void *source = option_value(o, from);
	void *target = option_field(o, to);
	enum err_kind k = ERR_OK;

	switch (o->type) {
	case CONF_TEXT:
		k = copy_text(source, target, e);
		break;
	case CONF_COUNT:
	case CONF_PERCENT:
	case CONF_SIZE:
	case CONF_DURATION:
	case CONF_KEEP:
		*(uint64_t *)target = *(const uint64_t *)source;
		break;
	case CONF_FLAG:
		*(bool *)target = *(const bool *)source;
		break;
	case CONF_CHOICE:
		*(unsigned *)target = *(const unsigned *)source;
		break;
	case CONF_LIST:
		k = copy_list(*(struct jv *const *)source, target, e);
		break;
	}
	return k == ERR_OK ? note_place(to, o, conf_place(from, o->key), e) : k;
}

enum err_kind conf_copy(const struct conf *c, struct conf *ret, struct err *e)
{
	struct conf copy = { 0 };
	enum err_kind k = ERR_OK;

	if (c->file.p) {
		sbuf_init(&copy.file, SBUF_MAX);
		sbuf_add_str(&copy.file, str_of(c->file.p));
		k = copy.file.failed ? no_memory(e) : ERR_OK;
	}
	for (size_t i = 0; i < conf_options_n && k == ERR_OK; i++)
		k = option_copy(&conf_options[i], c, &copy, e);
	if (k == ERR_OK)
		*ret = copy;
	else
		conf_clear(&copy);
	return k;
}

void conf_clear(struct conf *c)
{
	sbuf_clear(&c->file);
	for (size_t i = 0; i < conf_options_n; i++) {
		void *field = option_field(&conf_options[i], c);

		if (conf_options[i].type == CONF_TEXT)
			sbuf_clear(field);
		else if (conf_options[i].type == CONF_LIST)
			jv_free(field);
		if (c->places)
			free(c->places[i]);
	}
	free(TAKE(c->places));
}
