#include "tests/unit/runtime/document.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/fd.h"
#include "runtime/oci/spec/spec.h"

#define NAME "tests/fuzz/corpus/spec/everything.json"
#define MEMBER_MAX 128

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "%s: %s\n", NAME, what);
	abort();
}

static struct jv *load(void)
{
	struct jv *v = NULL;
	AUTO_SBUF text;
	struct err e;

	sbuf_init(&text, SPEC_BYTES_MAX);
	must(fd_read_file(AT_FDCWD, NAME, &text, &e) == ERR_OK &&
		 jv_parse_object((struct str){ text.p, text.n }, SPEC_DEPTH_MAX, &v, &e) == ERR_OK,
	     e.msg);
	return v;
}

const struct jv *document(void)
{
	static struct jv *v;

	if (!v)
		v = load();
	return v;
}

/* Cuts the first step off *path: a member's name into buf, or the index of an element. */
static bool next_step(const char **path, char buf[static MEMBER_MAX], size_t *index)
{
	const char *p = *path;
	size_t n;

	if (*p == '[') {
		*index = strtoul(p + 1, NULL, 10);
		*path = strchr(p, ']') + 1;
		return false;
	}
	p += *p == '.';
	n = strcspn(p, ".[");
	must(str_copy((struct str){ p, n }, buf, MEMBER_MAX), p);
	*path = p + n;
	return true;
}

static struct jv *copy_with(const struct jv *v, const char *path, struct jv *take);

static struct jv *object_with(const struct jv *v, const char *member, const char *rest,
			      struct jv *take)
{
	struct jv *copy = jv_pack("{}");
	const struct jv *value;
	const char *key;
	void *iter = NULL;

	while (jv_next(v, &iter, &key, &value)) {
		if (strcmp(key, member) != 0)
			must(jv_set(copy, key, jv_share(value)), key);
	}
	if (*rest)
		take = copy_with(jv_member(v, member), rest, take);
	if (take)
		must(jv_set(copy, member, take), member);
	return copy;
}

static struct jv *array_with(const struct jv *v, size_t index, const char *rest, struct jv *take)
{
	struct jv *copy = jv_new_array();

	for (size_t i = 0; i < jv_count(v); i++) {
		struct jv *item = jv_share(jv_at(v, i));

		if (i == index) {
			jv_free(&item);
			item = *rest ? copy_with(jv_at(v, i), rest, take) : take;
		}
		if (item)
			must(jv_append(copy, item), rest);
	}
	return copy;
}

static struct jv *copy_with(const struct jv *v, const char *path, struct jv *take)
{
	char member[MEMBER_MAX];
	size_t index;

	must(v, path);
	return next_step(&path, member, &index) ? object_with(v, member, path, take)
						: array_with(v, index, path, take);
}

struct jv *document_with(const char *path, struct jv *take)
{
	return copy_with(document(), path, take);
}

const struct jv *document_at(const char *path)
{
	const struct jv *v = document();
	char member[MEMBER_MAX];
	size_t index;

	while (v && *path)
		v = next_step(&path, member, &index) ? jv_member(v, member) : jv_at(v, index);
	return v;
}

const char *document_refusal(struct jv *take)
{
	static struct err e;
	AUTO_SPEC s = { 0 };
	AUTO_SBUF text;
	enum err_kind k;

	sbuf_init(&text, SPEC_BYTES_MAX);
	jv_dump(take, &text);
	jv_free(&take);
	must(!text.failed, "cannot be written");
	k = spec_parse((struct str){ text.p, text.n }, &s, &e);
	return k == ERR_OK ? "" : e.msg;
}

const char *document_refusal_of(const char *path, const char *json)
{
	char wrapped[4096];
	struct jv *holder = NULL;
	struct jv *value;
	struct err e;

	must(snprintf(wrapped, sizeof(wrapped), "{\"v\":%s}", json) < (int)sizeof(wrapped), json);
	must(jv_parse_object(str_of(wrapped), SPEC_DEPTH_MAX, &holder, &e) == ERR_OK, json);
	value = jv_share(jv_member(holder, "v"));
	jv_free(&holder);
	return document_refusal(document_with(path, value));
}
