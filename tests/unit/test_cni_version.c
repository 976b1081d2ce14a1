#include "base/jv.h"
#include "runtime/net/version.h"
#include "tests/lib/unit.h"

static const struct {
	const char *name, *text;
	int part[3]; /* -1: refused */
} numbers[] = {
	{ "three parts", "1.2.3", { 1, 2, 3 } },
	{ "two parts", "1.2", { 1, 2, 0 } },
	{ "one part", "7", { 7, 0, 0 } },
	{ "none", "", { 0, 1, 0 } },
	{ "words", "asdfasdf", { -1 } },
	{ "word and dot", "asdf.", { -1 } },
	{ "dot first", ".asdfas", { -1 } },
	{ "words and dots", "asdf.adsf.", { -1 } },
	{ "dot last", "0.", { -1 } },
	{ "dots", "..", { -1 } },
	{ "five parts", "1.2.3.4.5", { -1 } },
	{ "four parts", "1.2.3.4", { -1 } },
	{ "blank", "1.2 .3", { -1 } },
	{ "minus", "1.-2.3", { -1 } },
	{ "too great", "1.4294967296.3", { -1 } },
	{ "suffix", "1.0.0-rc1", { -1 } },
};

static void test_number(void **state)
{
	const struct {
		const char *name, *text;
		int part[3];
	} *c = *state;
	struct cni_number v = { { 77, 77, 77 } };
	bool ok = cni_number_parse(str_of(c->text), &v);

	assert_int_equal(ok, c->part[0] >= 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(v.part[i], ok ? c->part[i] : 77);
}

static const struct {
	const char *name, *greater, *less;
} orders[] = {
	{ "micro", "1.2.34", "1.2.14" },
	{ "minor", "2.5.4", "2.4.4" },
	{ "major", "1.2.3", "0.2.3" },
	{ "of the specification", "0.4.0", "0.3.1" },
	{ "not as text", "0.10.0", "0.9.0" },
	{ "major before micro", "1.0.0", "0.9.9" },
	{ "with parts that are missing", "1.0.1", "1" },
};

static void test_order(void **state)
{
	const struct {
		const char *name, *greater, *less;
	} *c = *state;
	struct cni_number a, b;

	assert_true(cni_number_parse(str_of(c->greater), &a));
	assert_true(cni_number_parse(str_of(c->less), &b));
	assert_true(cni_number_cmp(&a, &b) > 0);
	assert_true(cni_number_cmp(&b, &a) < 0);
	assert_int_equal(cni_number_cmp(&a, &a), 0);
}

static void test_known(void **state)
{
	enum cni_version v;

	(void)state;
	for (unsigned i = 0; i < CNI_VERSION_N; i++) {
		assert_true(cni_version_parse(str_of(cni_version_text((enum cni_version)i)), &v));
		assert_int_equal(v, i);
	}
	assert_true(cni_version_parse(STR(""), &v));
	assert_int_equal(v, CNI_0_1_0);
	assert_false(cni_version_parse(STR("1.2.0"), &v));
	assert_false(cni_version_parse(STR("1.0"), &v));
	assert_false(cni_version_parse(STR("0.3.2"), &v));
	assert_string_equal(cni_version_text(CNI_VERSION_N), "?");
}

static const struct {
	const char *name, *json, *wrong;
	const char *has; /* one digit for each version */
} answers[] = {
	{ "usual", "{\"cniVersion\":\"1.0.0\",\"supportedVersions\":[\"0.4.0\",\"1.0.0\"]}", NULL,
	  "0000110" },
	{ "versions of the future are let be",
	  "{\"cniVersion\":\"9.0.0\",\"supportedVersions\":[\"1.1.0\",\"9.0.0\"]}", NULL,
	  "0000001" },
	{ "none for 0.2.0", "{\"cniVersion\":\"0.2.0\"}", NULL, "1100000" },
	{ "none", "{\"cniVersion\":\"1.0.0\"}", "no supportedVersions", NULL },
	{ "no cniVersion", "{\"supportedVersions\":[\"1.0.0\"]}", "no cniVersion", NULL },
	{ "a number", "{\"cniVersion\":\"1.0.0\",\"supportedVersions\":[1]}", "no text", NULL },
	{ "no array", "{\"cniVersion\":\"1.0.0\",\"supportedVersions\":\"1.0.0\"}",
	  "no supportedVersions", NULL },
};

static void test_answer(void **state)
{
	const struct {
		const char *name, *json, *wrong, *has;
	} *c = *state;
	struct cni_versions found;
	AUTO_JV *v = NULL;
	struct err e;

	assert_ok(jv_parse_object(str_of(c->json), 8, &v, &e), &e);
	if (c->wrong) {
		assert_err(cni_versions_read(v, &found, &e), ERR_INVALID, &e, c->wrong);
		return;
	}
	assert_ok(cni_versions_read(v, &found, &e), &e);
	for (unsigned i = 0; i < CNI_VERSION_N; i++)
		assert_int_equal(found.has[i], c->has[i] == '1');
}

int main(void)
{
	UNIT_TABLE("number", test_number, numbers);
	UNIT_TABLE("order", test_order, orders);
	unit_case("known versions", test_known);
	UNIT_TABLE("answer to VERSION", test_answer, answers);
	return unit_run();
}
