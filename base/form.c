#include "base/form.h"

#include <stdarg.h>

#include "base/nearest.h"

/* Members without those that have lines. */
static bool next_member(const struct form *f, void **iter, const char **key,
			const struct jv **value)
{
	while (jv_next(f->object, iter, key, value)) {
		if (form_is_member(*key))
			return true;
	}
	return false;
}

/* Of a member, or of the object where that is not known. */
static unsigned long long line_of(const struct form *f, const char *member)
{
	char key[1 + FORM_NAME_MAX];
	uint64_t line;

	if (member && snprintf(key, sizeof(key), "@%s", member) < (int)sizeof(key) &&
	    jv_uint(jv_member(f->object, key), &line))
		return line;
	return f->line;
}

static void set_failure(const struct form *f, struct err *ret, enum err_kind k,
			unsigned long long line, const char *why)
{
	char place[64] = "";

	if (line)
		(void)snprintf(place, sizeof(place), ", line %llu", line);
	(void)err_set(ret, k, __func__, "%s%s: %s", f->what, place, why);
}

/* Keeps it if it is the first. */
static void keep(struct form *f, const struct err *e)
{
	if (f->failed != ERR_OK)
		return;
	f->failed = e->kind;
	f->failure = *e;
}

static void tell(struct form *f, unsigned long long line, const struct err *e)
{
	if (!f->all)
		return;
	f->all->line = line;
	faults_add(f->all, e);
}

void form_open(struct form *f, const char *what, const struct jv *object, struct faults *all)
{
	uint64_t line = 0;

	*f = (struct form){ .what = what, .object = object, .all = all };
	if (!jv_is_object(object))
		form_fail(f, ERR_INVALID, "each entry must be a structure, such as {name: value}");
	else if (jv_uint(jv_member(object, FORM_LINE), &line))
		f->line = line;
}

void form_fail(struct form *f, enum err_kind k, const char *fmt, ...)
{
	unsigned long long line = line_of(f, f->asked);
	char why[ERR_MSG_MAX];
	struct err e;
	va_list ap;

	if (f->asked && f->asked == f->told)
		return;
	f->told = f->asked;
	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	set_failure(f, &e, k, line, why);
	keep(f, &e);
	tell(f, line, &e);
}

/* Marks a member as known.  NULL if it is not there. */
static const struct jv *take(struct form *f, const char *name)
{
	const struct jv *value;
	const char *key;
	void *iter = NULL;

	f->asked = name;
	if (f->n_known < FORM_MEMBERS_MAX)
		f->known[f->n_known++] = name;
	for (size_t i = 0; next_member(f, &iter, &key, &value) && i < FORM_MEMBERS_MAX; i++) {
		if (strcmp(key, name) == 0) {
			f->taken |= (uint64_t)1 << i;
			return value;
		}
	}
	return NULL;
}

bool form_has(const struct form *f, const char *name)
{
	return jv_member(f->object, name) != NULL;
}

static void say_gap(const struct form *f, size_t i, struct err *ret)
{
	char why[ERR_MSG_MAX];
	const char *name = f->gap_names[i];

	(void)snprintf(why, sizeof(why), "%s%s%s", name ? name : "", name ? " must be " : "",
		       f->gaps[i]);
	set_failure(f, ret, ERR_INVALID, f->line, why);
}

/* Told at the end, when it is known whether it was misspelt. */
static void add_gap(struct form *f, const char *name, const char *text)
{
	struct err e;

	f->told = f->asked;
	if (f->n_gaps == FORM_GAPS_MAX)
		return;
	f->gap_names[f->n_gaps] = name;
	f->gaps[f->n_gaps] = text;
	say_gap(f, f->n_gaps++, &e);
	keep(f, &e);
}

void form_miss(struct form *f, const char *text)
{
	add_gap(f, NULL, text);
}

static void miss(struct form *f, const char *name, const char *what)
{
	if (form_has(f, name))
		form_fail(f, ERR_INVALID, "%s must be %s", name, what);
	else
		add_gap(f, name, what);
}

struct str form_text(struct form *f, const char *name, bool required)
{
	const struct jv *v = take(f, name);
	struct str text = { "", 0 };

	if (v ? !jv_text(v, &text) || text.n == 0 || memchr(text.p, '\0', text.n) != NULL
	      : required)
		miss(f, name, "a text");
	return text;
}

const char *form_z(struct form *f, const char *name, bool required)
{
	return form_text(f, name, required).p; /* texts of values end with a NUL */
}

const char *form_optional(struct form *f, const char *name)
{
	const char *text = form_z(f, name, false);

	return *text ? text : NULL;
}

bool form_flag(struct form *f, const char *name)
{
	struct str text = form_text(f, name, false);

	if (text.n && !str_eq(text, STR("true")) && !str_eq(text, STR("false")))
		miss(f, name, "true or false");
	return str_eq(text, STR("true"));
}

size_t form_count(struct form *f, const char *name, bool required)
{
	const struct jv *v = take(f, name);
	struct str text;
	size_t n = jv_text(v, &text) ? 1 : jv_count(v);

	if (n == 0 && (v || required))
		miss(f, name, "a text or a list of texts");
	return n;
}

struct str form_item(struct form *f, const char *name, size_t i)
{
	const struct jv *v = jv_member(f->object, name);
	struct str text = { "", 0 };

	if (!jv_text(jv_is_array(v) ? jv_at(v, i) : v, &text) || text.n == 0 ||
	    memchr(text.p, '\0', text.n))
		miss(f, name, "a text or a list of texts");
	return text;
}

const struct jv *form_object(struct form *f, const char *name)
{
	const struct jv *v = take(f, name);

	if (v && !jv_is_object(v))
		miss(f, name, "a structure");
	return jv_is_object(v) ? v : NULL;
}

const struct jv *form_objects(struct form *f, const char *name)
{
	const struct jv *v = take(f, name);

	if (v && !jv_is_array(v))
		miss(f, name, "a list of structures");
	return jv_is_array(v) ? v : NULL;
}

/* What was probably meant by the first tells more than what is missing, and takes the place of an earlier failure. */
static bool fail_unknown(struct form *f, const char *key, bool is_first)
{
	unsigned long long line = line_of(f, key);
	char why[ERR_MSG_MAX];
	struct nearest near;
	struct err e;

	nearest_init(&near, str_of(key));
	for (size_t i = 0; i < f->n_known; i++)
		nearest_try(&near, f->known[i]);
	(void)snprintf(why, sizeof(why), "there is no \"%.60s\" here%s%s%s", key,
		       near.best ? "; did you mean \"" : "", near.best ? near.best : "",
		       near.best ? "\"?" : "");
	set_failure(f, &e, ERR_INVALID, line, why);
	if (near.best && is_first)
		f->failed = ERR_OK;
	keep(f, &e);
	tell(f, line, &e);
	return near.best != NULL;
}

static bool find_unknown(struct form *f)
{
	const struct jv *value;
	const char *key;
	void *iter = NULL;
	bool misspelt = false;

	for (size_t i = 0; next_member(f, &iter, &key, &value); i++) {
		bool known = i < FORM_MEMBERS_MAX && f->taken >> i & 1;

		if (!known && fail_unknown(f, key, !misspelt))
			misspelt = true;
	}
	return misspelt;
}

enum err_kind form_close(struct form *f, struct err *e)
{
	bool misspelt = find_unknown(f);
	struct err gap;

	for (size_t i = 0; i < f->n_gaps && !misspelt && jv_is_object(f->object); i++) {
		say_gap(f, i, &gap);
		tell(f, f->line, &gap);
	}
	if (f->failed != ERR_OK)
		*e = f->failure;
	return f->failed;
}
