#include "base/jv.h"

#include <stdarg.h>
#include <strings.h>

#include <jansson.h>

/* struct jv is json_t under our name; the casts stay in these two functions. */
static json_t *raw(const struct jv *v)
{
	return (json_t *)(uintptr_t)v;
}

static struct jv *own(json_t *j)
{
	return (struct jv *)j;
}

/*
 * Without memory jansson (2.14) tells of a syntax error, or leaves a byte out of a string and tells nothing.  So its
 * allocations are watched, and what was parsed while one failed does not count.
 */
static _Thread_local bool no_memory;

static void *watched_malloc(size_t n)
{
	void *p = malloc(n);

	no_memory = no_memory || !p;
	return p;
}

__attribute__((constructor)) static void watch_memory(void)
{
	json_set_alloc_funcs(watched_malloc, free);
}

/* jansson recurses per level, so depth is bounded before it sees the text. */
static bool depth_is_within(struct str in, unsigned depth_max)
{
	unsigned depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > depth_max)
				return false;
		} else if ((c == '}' || c == ']') && depth > 0) {
			depth--;
		}
	}
	return true;
}

static enum err_kind parse(struct str in, unsigned depth_max, json_t **ret, struct err *e)
{
	json_error_t why;
	json_t *j;

	if (!depth_is_within(in, depth_max))
		return err_set(e, ERR_INVALID, __func__, "JSON is nested deeper than %u",
			       depth_max);
	no_memory = false;
	j = json_loadb(in.n ? in.p : "", in.n, JSON_REJECT_DUPLICATES, &why);
	if (no_memory) {
		json_decref(j);
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to parse JSON");
	}
	if (!j)
		return err_set(e, ERR_INVALID, __func__, "not valid JSON at byte %d: %.100s",
			       why.position, why.text);
	*ret = j;
	return ERR_OK;
}

static enum err_kind keep(json_t *j, bool is_wanted, const char *wanted, struct jv **ret,
			  struct err *e)
{
	if (!is_wanted) {
		json_decref(j);
		return err_set(e, ERR_INVALID, __func__, "JSON is not an %s", wanted);
	}
	*ret = own(j);
	return ERR_OK;
}

enum err_kind jv_parse_object(struct str in, unsigned depth_max, struct jv **ret, struct err *e)
{
	json_t *j = NULL;
	enum err_kind k = parse(in, depth_max, &j, e);

	return k == ERR_OK ? keep(j, json_is_object(j), "object", ret, e) : k;
}

enum err_kind jv_parse_array(struct str in, unsigned depth_max, struct jv **ret, struct err *e)
{
	json_t *j = NULL;
	enum err_kind k = parse(in, depth_max, &j, e);

	return k == ERR_OK ? keep(j, json_is_array(j), "array", ret, e) : k;
}

/*
 * jansson has no integers over 2^63-1, so before it sees a document of Go's those become texts that begin with WIDE.
 * Nothing else does: no character is encoded so, and a document that has these bytes or their escape is refused.
 */
#define WIDE "\xef\xbf\xbf" /* U+FFFF */
#define WIDE_BYTES (sizeof(WIDE) - 1)
#define INT64_DIGITS 19

static bool is_wide(struct str s)
{
	return str_starts(s, (struct str){ WIDE, WIDE_BYTES });
}

/* True for the digits of an integer from 2^63 to 2^64-1 that stand for a value of their own. */
static bool wants_wide(struct str in, size_t start, size_t end)
{
	struct str digits = { in.p + start, end - start };
	uint64_t v;

	if (end - start < INT64_DIGITS || (start > 0 && memchr("-+.eE", in.p[start - 1], 5)) ||
	    (end < in.n && memchr(".eE", in.p[end], 3)))
		return false;
	return scan_u64(&digits, UINT64_MAX, &v) && v > INT64_MAX;
}

/* Over a text in quotation marks; false if it holds what only widen() may write. */
static bool skip_text(struct str in, size_t *at)
{
	for ((*at)++; *at < in.n && in.p[*at] != '"'; (*at)++) {
		struct str rest = { in.p + *at, in.n - *at };

		if (is_wide(rest) || (rest.n >= 6 && strncasecmp(rest.p, "\\uffff", 6) == 0))
			return false;
		*at += rest.p[0] == '\\';
	}
	(*at)++;
	return true;
}

static bool widen(struct str in, struct sbuf *out)
{
	size_t done = 0, i = 0;

	while (i < in.n) {
		size_t end = i;

		if (in.p[i] == '"') {
			if (!skip_text(in, &i))
				return false;
			continue;
		}
		while (end < in.n && in.p[end] >= '0' && in.p[end] <= '9')
			end++;
		if (wants_wide(in, i, end)) {
			sbuf_add(out, in.p + done, i - done);
			sbuf_addf(out, "\"" WIDE "%.*s\"", (int)(end - i), in.p + i);
			done = end;
		}
		i = end > i ? end : i + 1;
	}
	sbuf_add(out, in.p + done, in.n - done);
	return true;
}

enum err_kind jv_parse_object_u64(struct str in, unsigned depth_max, struct jv **ret, struct err *e)
{
	AUTO_SBUF wide;

	sbuf_init(&wide, 2 * in.n + 64);
	if (!widen(in, &wide))
		return err_set(e, ERR_INVALID, __func__, "not valid JSON: U+FFFF is no character");
	if (wide.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a JSON document");
	return jv_parse_object((struct str){ wide.p, wide.n }, depth_max, ret, e);
}

void jv_free(struct jv **take)
{
	json_decref(raw(TAKE(*take)));
}

const struct jv *jv_member(const struct jv *object, const char *key)
{
	return own(json_object_get(raw(object), key));
}

const struct jv *jv_at(const struct jv *array, size_t i)
{
	return own(json_array_get(raw(array), i));
}

size_t jv_count(const struct jv *array)
{
	return json_array_size(raw(array));
}

bool jv_has_members(const struct jv *object)
{
	return json_object_size(raw(object)) > 0;
}

bool jv_is_object(const struct jv *v)
{
	return json_is_object(raw(v));
}

bool jv_is_array(const struct jv *v)
{
	return json_is_array(raw(v));
}

static struct str text_of(const struct jv *v)
{
	return (struct str){ json_string_value(raw(v)), json_string_length(raw(v)) };
}

bool jv_text(const struct jv *v, struct str *ret)
{
	if (!json_is_string(raw(v)) || is_wide(text_of(v)))
		return false;
	*ret = text_of(v);
	return true;
}

bool jv_uint(const struct jv *v, uint64_t *ret)
{
	if (!json_is_integer(raw(v)) || json_integer_value(raw(v)) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(raw(v));
	return true;
}

bool jv_int(const struct jv *v, int64_t *ret)
{
	if (!json_is_integer(raw(v)))
		return false;
	*ret = json_integer_value(raw(v));
	return true;
}

bool jv_u64(const struct jv *v, uint64_t *ret)
{
	struct str s;

	if (!json_is_string(raw(v)))
		return jv_uint(v, ret);
	s = text_of(v);
	if (!is_wide(s))
		return false;
	s = (struct str){ s.p + WIDE_BYTES, s.n - WIDE_BYTES };
	return scan_u64(&s, UINT64_MAX, ret);
}

bool jv_bool(const struct jv *v, bool *ret)
{
	if (!json_is_boolean(raw(v)))
		return false;
	*ret = json_is_true(raw(v));
	return true;
}

bool jv_is_null(const struct jv *v)
{
	return !v || json_is_null(raw(v));
}

bool jv_is_true(const struct jv *v)
{
	return json_is_true(raw(v));
}

bool jv_is_false(const struct jv *v)
{
	return json_is_false(raw(v));
}

const char *jv_type(const struct jv *v)
{
	if (!v)
		return "nothing";
	switch (json_typeof(raw(v))) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return is_wide(text_of(v)) ? "an integer" : "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a number that is no integer";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "?";
}

bool jv_next(const struct jv *object, void **iter, const char **key, const struct jv **value)
{
	*iter = *iter ? json_object_iter_next(raw(object), *iter) : json_object_iter(raw(object));
	if (!*iter)
		return false;
	*key = json_object_iter_key(*iter);
	*value = own(json_object_iter_value(*iter));
	return true;
}

struct jv *jv_pack(const char *fmt, ...)
{
	json_error_t why;
	va_list ap;
	json_t *j;

	va_start(ap, fmt);
	j = json_vpack_ex(&why, 0, fmt, ap);
	va_end(ap);
	return own(j);
}

struct jv *jv_new_array(void)
{
	return own(json_array());
}

struct jv *jv_new_u64(uint64_t v)
{
	char text[WIDE_BYTES + 24];

	if (v <= INT64_MAX)
		return own(json_integer((json_int_t)v));
	(void)snprintf(text, sizeof(text), WIDE "%llu", (unsigned long long)v);
	return own(json_string(text));
}

struct jv *jv_new_texts(const char *const *texts, size_t n)
{
	AUTO_JV *array = jv_new_array();

	for (size_t i = 0; array && i < n; i++) {
		if (!jv_append(array, jv_pack("s", texts[i])))
			return NULL;
	}
	return TAKE(array);
}

struct jv *jv_share(const struct jv *v)
{
	return own(json_incref(raw(v)));
}

bool jv_append(struct jv *array, struct jv *take)
{
	return json_array_append_new(raw(array), raw(take)) == 0;
}

bool jv_set(struct jv *object, const char *key, struct jv *take)
{
	return json_object_set_new(raw(object), key, raw(take)) == 0;
}

static int add_chunk(const char *p, size_t n, void *b)
{
	sbuf_add(b, p, n);
	return ((struct sbuf *)b)->failed ? -1 : 0;
}

/* What widen() has made, or jv_new_u64, becomes a number again. */
static void narrow(char *text, size_t *n)
{
	char *from = text, *to, *end = text + *n;

	while ((from = memmem(from, (size_t)(end - from), "\"" WIDE, 1 + WIDE_BYTES))) {
		char *digits = from + 1 + WIDE_BYTES;
		size_t count = strspn(digits, "0123456789");

		to = from;
		from = digits + count;
		if (count < INT64_DIGITS || *from != '"')
			continue;
		memmove(to, digits, count);
		memmove(to + count, from + 1, (size_t)(end - from)); /* and the NUL */
		end -= WIDE_BYTES + 2;
		from = to + count;
	}
	*n = (size_t)(end - text);
}

static void dump(const struct jv *v, size_t flags, struct sbuf *b)
{
	size_t before = b->n, n;

	if (!v || json_dump_callback(raw(v), add_chunk, b, flags) != 0)
		b->failed = true;
	if (b->failed)
		return;
	n = b->n - before;
	narrow(b->p + before, &n);
	b->n = before + n;
}

void jv_dump(const struct jv *v, struct sbuf *b)
{
	dump(v, JSON_COMPACT, b);
}

void jv_dump_pretty(const struct jv *v, unsigned indent, struct sbuf *b)
{
	dump(v, JSON_INDENT(indent), b);
}
