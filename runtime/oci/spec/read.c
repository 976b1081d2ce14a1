#include "runtime/oci/spec/read.h"

#include <stdarg.h>

#define PATH_TEXT_MAX 160

static void add_path(const struct at *at, struct sbuf *b)
{
	if (at->up)
		add_path(at->up, b);
	if (at->key)
		sbuf_addf(b, "%s%s", b->n ? "." : "", at->key);
	else if (at->up)
		sbuf_addf(b, "[%zu]", at->index);
}

enum err_kind spec_bad(struct reader *r, const struct at *at, const char *member, const char *fmt,
		       ...)
{
	AUTO_SBUF path;
	char what[128];
	va_list ap;

	sbuf_init(&path, 4096);
	add_path(at, &path);
	if (member)
		sbuf_addf(&path, "%s%s", path.n ? "." : "", member);
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return err_set(r->e, ERR_INVALID, __func__, "%.*s: %s", PATH_TEXT_MAX,
		       path.p && path.n ? path.p : "config", what);
}

static enum err_kind no_memory(struct reader *r, const struct at *at)
{
	(void)spec_bad(r, at, NULL, "too large");
	return r->e->kind = ERR_TOO_LARGE;
}

static enum err_kind want(struct reader *r, const struct at *at, const char *what)
{
	return spec_bad(r, at, NULL, "expected %s, not %s", what, jv_type(at->v));
}

static enum err_kind read_text(struct reader *r, const struct at *at, const char **ret)
{
	struct str s;

	if (!jv_text(at->v, &s))
		return want(r, at, "a string");
	*ret = s.p; /* J1: no NUL inside, and jansson puts one behind */
	return ERR_OK;
}

static enum err_kind read_bool(struct reader *r, const struct at *at, bool *ret)
{
	return jv_bool(at->v, ret) ? ERR_OK : want(r, at, "a boolean");
}

static enum err_kind read_u64(struct reader *r, const struct at *at, uint64_t max, uint64_t *ret)
{
	uint64_t v;

	if (!jv_u64(at->v, &v))
		return want(r, at, "an integer of 0 or more");
	if (v > max)
		return spec_bad(r, at, NULL, "%llu is more than %llu", (unsigned long long)v,
				(unsigned long long)max);
	*ret = v;
	return ERR_OK;
}

static enum err_kind read_u32(struct reader *r, const struct at *at, uint32_t *ret)
{
	uint64_t v = 0;
	enum err_kind k = read_u64(r, at, UINT32_MAX, &v);

	*ret = (uint32_t)v;
	return k;
}

static enum err_kind read_i64(struct reader *r, const struct at *at, int64_t *ret)
{
	uint64_t v;

	if (jv_int(at->v, ret))
		return ERR_OK;
	return jv_u64(at->v, &v) ? spec_bad(r, at, NULL, "the number is too large")
				 : want(r, at, "an integer");
}

static enum err_kind read_enum(struct reader *r, const struct at *at, const char *const *names,
			       int *ret)
{
	const char *text = "";
	enum err_kind k = read_text(r, at, &text);

	if (k != ERR_OK)
		return k;
	for (int i = 0; names[i]; i++) {
		if (strcmp(names[i], text) == 0) {
			*ret = i + 1;
			return ERR_OK;
		}
	}
	return spec_bad(r, at, NULL, "unknown value \"%.60s\"", text);
}

static enum err_kind begin_array(struct reader *r, const struct at *at, size_t each, void **ret,
				 size_t *ret_n)
{
	if (!jv_is_array(at->v))
		return want(r, at, "an array");
	*ret_n = jv_count(at->v);
	*ret = arena_array(r->arena, *ret_n + 1, each);
	return *ret ? ERR_OK : no_memory(r, at);
}

static enum err_kind read_texts(struct reader *r, const struct at *at, struct texts *ret)
{
	void *v = NULL;
	enum err_kind k = begin_array(r, at, sizeof(*ret->v), &v, &ret->n);

	ret->v = v;
	for (size_t i = 0; k == ERR_OK && i < ret->n; i++) {
		struct at item = { .up = at, .index = i, .v = jv_at(at->v, i) };

		k = read_text(r, &item, &ret->v[i]);
	}
	return k;
}

static enum err_kind read_u32s(struct reader *r, const struct at *at, struct numbers *ret)
{
	void *v = NULL;
	enum err_kind k = begin_array(r, at, sizeof(*ret->v), &v, &ret->n);

	ret->v = v;
	for (size_t i = 0; k == ERR_OK && i < ret->n; i++) {
		struct at item = { .up = at, .index = i, .v = jv_at(at->v, i) };

		k = read_u32(r, &item, &ret->v[i]);
	}
	return k;
}

static enum err_kind read_enums(struct reader *r, const struct at *at, const char *const *names,
				struct numbers *ret)
{
	void *v = NULL;
	enum err_kind k = begin_array(r, at, sizeof(*ret->v), &v, &ret->n);

	ret->v = v;
	for (size_t i = 0; k == ERR_OK && i < ret->n; i++) {
		struct at item = { .up = at, .index = i, .v = jv_at(at->v, i) };
		int value = 0;

		k = read_enum(r, &item, names, &value);
		ret->v[i] = (uint32_t)value;
	}
	return k;
}

static enum err_kind read_flags(struct reader *r, const struct at *at, const char *const *names,
				unsigned *ret)
{
	struct numbers bits = { 0 };
	enum err_kind k = read_enums(r, at, names, &bits);

	for (size_t i = 0; k == ERR_OK && i < bits.n; i++)
		*ret |= 1u << (bits.v[i] - 1);
	return k;
}

static size_t count_members(const struct jv *object)
{
	const struct jv *v;
	const char *key;
	void *iter = NULL;
	size_t n = 0;

	while (jv_next(object, &iter, &key, &v))
		n++;
	return n;
}

struct any_list {
	void *v;
	size_t n;
};

static enum err_kind read_pairs(struct reader *r, const struct at *at, struct any_list *ret)
{
	struct pair *pairs;
	void *iter = NULL;
	enum err_kind k = ERR_OK;

	if (!jv_is_object(at->v))
		return want(r, at, "an object");
	pairs = arena_array(r->arena, count_members(at->v) + 1, sizeof(*pairs));
	if (!pairs)
		return no_memory(r, at);
	ret->v = pairs;
	ret->n = 0;
	for (struct at item = { .up = at };
	     k == ERR_OK && jv_next(at->v, &iter, &item.key, &item.v); ret->n++) {
		pairs[ret->n].key = item.key;
		k = read_text(r, &item, &pairs[ret->n].value);
	}
	return k;
}

static enum err_kind read_list(struct reader *r, const struct at *at, const struct shape *s,
			       struct any_list *ret)
{
	enum err_kind k = begin_array(r, at, s->size, &ret->v, &ret->n);

	for (size_t i = 0; k == ERR_OK && i < ret->n; i++) {
		struct at item = { .up = at, .index = i, .v = jv_at(at->v, i) };

		k = spec_read(r, &item, s, (char *)ret->v + i * s->size);
	}
	return k;
}

static enum err_kind read_named(struct reader *r, const struct at *at, const struct shape *s,
				struct any_list *ret)
{
	void *iter = NULL;
	enum err_kind k = ERR_OK;

	if (!jv_is_object(at->v))
		return want(r, at, "an object");
	ret->v = arena_array(r->arena, count_members(at->v) + 1, s->size);
	if (!ret->v)
		return no_memory(r, at);
	ret->n = 0;
	for (struct at item = { .up = at };
	     k == ERR_OK && jv_next(at->v, &iter, &item.key, &item.v); ret->n++) {
		void *object = (char *)ret->v + ret->n * s->size;

		memcpy(object, &item.key, sizeof(item.key));
		k = spec_read(r, &item, s, object);
	}
	return k;
}

static enum err_kind read_object(struct reader *r, const struct at *at, const struct shape *s,
				 void **ret)
{
	*ret = arena_get(r->arena, s->size);
	return *ret ? spec_read(r, at, s, *ret) : no_memory(r, at);
}

static enum err_kind check_text(struct reader *r, const struct at *at, const struct field *f,
				const char *text)
{
	if ((f->flags & FIELD_NONEMPTY) && !text[0])
		return spec_bad(r, at, NULL, "must not be empty");
	if ((f->flags & FIELD_ABSOLUTE) && text[0] != '/')
		return spec_bad(r, at, NULL, "must be an absolute path, not \"%.60s\"", text);
	return ERR_OK;
}

static enum err_kind check_list(struct reader *r, const struct at *at, const struct field *f,
				size_t n)
{
	if ((f->flags & FIELD_NONEMPTY) && n == 0)
		return spec_bad(r, at, NULL, "must not be empty");
	return ERR_OK;
}

static enum err_kind read_value(struct reader *r, const struct at *at, const struct field *f,
				void *to)
{
	enum err_kind k;

	switch (f->kind) {
	case FIELD_TEXT:
		k = read_text(r, at, to);
		return k == ERR_OK ? check_text(r, at, f, *(const char **)to) : k;
	case FIELD_BOOL:
		return read_bool(r, at, to);
	case FIELD_U32:
		return read_u32(r, at, to);
	case FIELD_U64:
		return read_u64(r, at, UINT64_MAX, to);
	case FIELD_I64:
		return read_i64(r, at, to);
	case FIELD_OBOOL:
		((struct opt_bool *)to)->set = true;
		return read_bool(r, at, &((struct opt_bool *)to)->v);
	case FIELD_OU32:
		((struct opt_u32 *)to)->set = true;
		return read_u32(r, at, &((struct opt_u32 *)to)->v);
	case FIELD_OU64:
		((struct opt_u64 *)to)->set = true;
		return read_u64(r, at, UINT64_MAX, &((struct opt_u64 *)to)->v);
	case FIELD_OI64:
		((struct opt_i64 *)to)->set = true;
		return read_i64(r, at, &((struct opt_i64 *)to)->v);
	case FIELD_TEXTS:
		k = read_texts(r, at, to);
		return k == ERR_OK ? check_list(r, at, f, ((struct texts *)to)->n) : k;
	case FIELD_U32S:
		return read_u32s(r, at, to);
	case FIELD_PAIRS:
		return read_pairs(r, at, to);
	case FIELD_ENUM:
		return read_enum(r, at, f->names, to);
	case FIELD_FLAGS:
		return read_flags(r, at, f->names, to);
	case FIELD_ENUMS:
		return read_enums(r, at, f->names, to);
	case FIELD_OBJECT:
		return read_object(r, at, f->shape, to);
	case FIELD_INLINE:
		return spec_read(r, at, f->shape, to);
	case FIELD_LIST:
		k = read_list(r, at, f->shape, to);
		return k == ERR_OK ? check_list(r, at, f, ((struct any_list *)to)->n) : k;
	case FIELD_NAMED:
		return read_named(r, at, f->shape, to);
	}
	return err_set(r->e, ERR_BUG, __func__, "field %s has no kind", f->key);
}

enum err_kind spec_read(struct reader *r, const struct at *at, const struct shape *s, void *object)
{
	if (!jv_is_object(at->v))
		return want(r, at, "an object");
	for (const struct field *f = s->fields; f->key; f++) {
		struct at item = { .up = at, .key = f->key, .v = jv_member(at->v, f->key) };
		enum err_kind k = ERR_OK;

		if (!jv_is_null(item.v))
			k = read_value(r, &item, f, (char *)object + f->offset);
		else if (f->flags & FIELD_NEEDED)
			k = spec_bad(r, &item, NULL, "is missing");
		if (k != ERR_OK)
			return k;
	}
	return s->check ? s->check(r, at, object) : ERR_OK;
}
