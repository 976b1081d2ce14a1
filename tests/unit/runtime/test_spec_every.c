/* Every property of config.json, wrong in turn: the tables of the parser say what there is and what is wrong. */
#include "tests/lib/unit.h"

#include "runtime/oci/spec/spec.h"
#include "tests/unit/runtime/document.h"

#define PATH_BYTES 256

static size_t properties, refusals, mistakes;

static void text(char buf[static PATH_BYTES], const char *fmt, ...) PRINTF(2, 3);

static void text(char buf[static PATH_BYTES], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	assert_true(vsnprintf(buf, PATH_BYTES, fmt, ap) < PATH_BYTES);
	va_end(ap);
}

static void complain(const char *path, const char *json, const char *said)
{
	print_error("%s = %s: \"%s\"\n", path, json, said);
	mistakes++;
}

/* The error names where; where NULL: there is none. */
static void expect_at(const char *where, const char *path, const char *json, const char *said)
{
	size_t n = where ? strlen(where) : 0;

	refusals++;
	if (where ? strncmp(said, where, n) != 0 || said[n] != ':' : said[0] != '\0')
		complain(path, json, said);
}

static void expect(const char *where, const char *path, const char *json)
{
	expect_at(where, path, json, document_refusal_of(path, json));
}

static const char *example(enum field_kind kind)
{
	switch (kind) {
	case FIELD_TEXT:
	case FIELD_ENUM:
		return "\"text\"";
	case FIELD_BOOL:
	case FIELD_OBOOL:
		return "true";
	case FIELD_U32:
	case FIELD_U64:
	case FIELD_I64:
	case FIELD_OU32:
	case FIELD_OU64:
	case FIELD_OI64:
		return "1";
	case FIELD_TEXTS:
	case FIELD_U32S:
	case FIELD_FLAGS:
	case FIELD_ENUMS:
	case FIELD_LIST:
		return "[]";
	case FIELD_PAIRS:
	case FIELD_OBJECT:
	case FIELD_INLINE:
	case FIELD_NAMED:
		return "{}";
	}
	return "";
}

/* A value of each other type of JSON. */
static void wrong_types(const char *path, enum field_kind kind)
{
	static const char *const values[] = { "\"text\"", "true", "1", "1.5", "[]", "{}" };

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		if (strcmp(values[i], example(kind)) != 0)
			expect(path, path, values[i]);
	}
}

static void wrong_items(const char *path, const char *item)
{
	char json[PATH_BYTES], where[PATH_BYTES];

	text(json, "[%s]", item);
	text(where, "%s[0]", path);
	expect(where, path, json);
}

static void wrong_values(const char *path, const struct field *f)
{
	char where[PATH_BYTES];

	switch (f->kind) {
	case FIELD_U32:
	case FIELD_OU32:
		expect(path, path, "4294967296");
		expect(path, path, "-1");
		break;
	case FIELD_U64:
	case FIELD_OU64:
		expect(path, path, "-1");
		break;
	case FIELD_ENUM:
		expect(path, path, "\"\"");
		expect(path, path, "\"nonsense\"");
		break;
	case FIELD_FLAGS:
	case FIELD_ENUMS:
		wrong_items(path, "\"nonsense\"");
		wrong_items(path, "1");
		break;
	case FIELD_TEXTS:
		wrong_items(path, "1");
		wrong_items(path, "null");
		break;
	case FIELD_U32S:
		wrong_items(path, "\"text\"");
		wrong_items(path, "4294967296");
		break;
	case FIELD_PAIRS:
	case FIELD_NAMED:
		text(where, "%s.key", path);
		expect(where, path, "{\"key\":1}");
		break;
	case FIELD_LIST:
		wrong_items(path, "1");
		break;
	case FIELD_TEXT:
	case FIELD_BOOL:
	case FIELD_I64:
	case FIELD_OBOOL:
	case FIELD_OI64:
	case FIELD_OBJECT:
	case FIELD_INLINE:
		break;
	}
}

static void broken_rules(const char *path, const struct field *f)
{
	bool is_text = f->kind == FIELD_TEXT;

	if (f->flags & FIELD_NEEDED) {
		expect(path, path, "null");
		expect_at(path, path, "(nothing)", document_refusal(document_with(path, NULL)));
	}
	if (f->flags & FIELD_NONEMPTY)
		expect(path, path, is_text ? "\"\"" : "[]");
	if (f->flags & FIELD_ABSOLUTE) {
		expect(path, path, "\"relative/path\"");
		expect(path, path, "\"\"");
	}
}

static void visit(const char *path, const struct shape *s);

static void visit_below(const char *path, const struct field *f)
{
	const struct jv *v = document_at(path), *value;
	char below[PATH_BYTES];
	const char *key;
	void *iter = NULL;

	if (f->kind == FIELD_OBJECT || f->kind == FIELD_INLINE)
		visit(path, f->shape);
	for (size_t i = 0; f->kind == FIELD_LIST && i < jv_count(v); i++) {
		text(below, "%s[%zu]", path, i);
		visit(below, f->shape);
	}
	while (f->kind == FIELD_NAMED && jv_next(v, &iter, &key, &value)) {
		text(below, "%s.%s", path, key);
		visit(below, f->shape);
	}
}

/* Of the elements of a list the first to set a property is enough: lists show variants. */
static void visit(const char *path, const struct shape *s)
{
	for (const struct field *f = s->fields; f->key; f++) {
		char member[PATH_BYTES];

		text(member, "%s%s%s", path, *path ? "." : "", f->key);
		if (!document_at(member) && !strchr(path, '['))
			complain(member, "?", "the document does not set it");
		if (!document_at(member))
			continue;
		properties++;
		wrong_types(member, f->kind);
		wrong_values(member, f);
		broken_rules(member, f);
		visit_below(member, f);
	}
}

static void test_all(void **state)
{
	(void)state;
	assert_string_equal(document_refusal_of("hostname", "\"host\""), "");
	visit("", &spec_shape);
	print_message("# %zu properties, %zu wrong documents\n", properties, refusals);
	assert_int_equal(mistakes, 0);
	assert_true(properties > 180 && refusals > 1000);
}

/* config.md "Extensibility" */
static void add_unknown(const char *path, const struct jv *v)
{
	char member[PATH_BYTES];
	const struct jv *value;
	const char *key;
	void *iter = NULL;

	text(member, "%s%sunknown", path, *path ? "." : "");
	if (!strstr(path, "sysctl") && !strstr(path, "unified") && !strstr(path, "netDevices") &&
	    !strstr(path, "rdma") && !strstr(path, "annotations") && jv_is_object(v))
		expect(NULL, member, "{\"a\":[1]}");
	while (jv_next(v, &iter, &key, &value)) {
		text(member, "%s%s%s", path, *path ? "." : "", key);
		add_unknown(member, value);
	}
}

static void test_unknown_is_ignored(void **state)
{
	(void)state;
	mistakes = 0;
	add_unknown("", document());
	assert_int_equal(mistakes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_all),
					    cmocka_unit_test(test_unknown_is_ignored) };

	return cmocka_run_group_tests_name("every property", tests, NULL, NULL);
}
