#include "base/form.h"

#include <stdarg.h>

#include "base/nearest.h"

void form_open(struct form *f, const char *what, const struct jv *object)
{
	uint64_t line = 0;

	*f = (struct form){ .what = what, .object = object };
	if (!jv_is_object(object))
		form_fail(f, ERR_INVALID, "each entry must be a structure, such as {name: value}");
	else if (jv_uint(jv_member(object, FORM_LINE), &line))
		f->line = line;
}

void form_fail(struct form *f, enum err_kind k, const char *fmt, ...)
{
	char why[ERR_MSG_MAX], place[64] = "";
	va_list ap;

	if (f->failed != ERR_OK)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (f->line)
		(void)snprintf(place, sizeof(place), ", line %llu", f->line);
	f->failed = err_set(&f->failure, k, __func__, "%s%s: %s", f->what, place, why);
}

/* Marks a member as known.  NULL if it is not there. */
static const struct jv *take(struct form *f, const char *name)
{
	const struct jv *value;
	const char *key;
	void *iter = NULL;

	if (f->n_known < FORM_MEMBERS_MAX)
		f->known[f->n_known++] = name;
	for (size_t i = 0; jv_next(f->object, &iter, &key, &value) && i < FORM_MEMBERS_MAX; i++) {
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

static void miss(struct form *f, const char *name, const char *what)
{
	form_fail(f, ERR_INVALID, "%s must be %s", name, what);
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

/* What was probably meant by it tells more than what is missing, and takes the place of an earlier failure. */
static void fail_unknown(struct form *f, const char *key)
{
	struct nearest near;

	nearest_init(&near, str_of(key));
	for (size_t i = 0; i < f->n_known; i++)
		nearest_try(&near, f->known[i]);
	if (near.best)
		f->failed = ERR_OK;
	form_fail(f, ERR_INVALID, "there is no \"%.60s\" here%s%s%s", key,
		  near.best ? "; did you mean \"" : "", near.best ? near.best : "",
		  near.best ? "\"?" : "");
}

enum err_kind form_close(struct form *f, struct err *e)
{
	const struct jv *value;
	const char *key;
	void *iter = NULL;

	for (size_t i = 0; jv_next(f->object, &iter, &key, &value); i++) {
		bool known = i < FORM_MEMBERS_MAX && f->taken >> i & 1;

		if (known || strcmp(key, FORM_LINE) == 0)
			continue;
		fail_unknown(f, key);
		break;
	}
	if (f->failed != ERR_OK)
		*e = f->failure;
	return f->failed;
}
