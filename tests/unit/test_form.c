#include "base/form.h"

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static struct jv *parse(const char *text)
{
	struct jv *v;
	struct err e;

	assert_ok(jv_parse_object(str_of(text), 8, &v, &e), &e);
	return v;
}

static void test_members(void **state)
{
	AUTO_JV *v =
	    parse("{\"@line\":7,\"a\":\"x\",\"f\":\"true\",\"l\":[\"p\",\"q\"],\"one\":\"r\","
		  "\"o\":{\"k\":\"v\"},\"os\":[{\"k\":\"v\"}]}");
	struct form f;
	struct err e;

	(void)state;
	form_open(&f, "things", v, NULL);
	assert_str(form_text(&f, "a", true), "x");
	assert_string_equal(form_z(&f, "a", true), "x");
	assert_true(form_flag(&f, "f"));
	assert_false(form_flag(&f, "g"));
	assert_int_equal(form_count(&f, "l", true), 2);
	assert_str(form_item(&f, "l", 1), "q");
	assert_int_equal(form_count(&f, "one", true), 1);
	assert_str(form_item(&f, "one", 0), "r");
	assert_int_equal(form_count(&f, "none", false), 0);
	assert_str(form_text(&f, "none", false), "");
	assert_true(jv_is_object(form_object(&f, "o")));
	assert_null(form_object(&f, "p"));
	assert_int_equal(jv_count(form_objects(&f, "os")), 1);
	assert_null(form_objects(&f, "ps"));
	assert_true(form_has(&f, "a"));
	assert_false(form_has(&f, "b"));
	assert_ok(form_close(&f, &e), &e);
}

static void read_all(struct form *f)
{
	(void)form_text(f, "need", true);
	(void)form_flag(f, "flag");
	for (size_t n = form_count(f, "list", false), i = 0; i < n; i++)
		(void)form_item(f, "list", i);
	(void)form_object(f, "object");
	(void)form_objects(f, "objects");
}

static const struct {
	const char *name, *text, *message;
} bad[] = {
	{ "missing", "{\"@line\":3}", "things, line 3: need must be a text" },
	{ "empty", "{\"need\":\"\"}", "things: need must be a text" },
	{ "unknown", "{\"@line\":3,\"need\":\"x\",\"nede\":\"x\"}",
	  "line 3: there is no \"nede\" here" },
	{ "not a text", "{\"need\":[\"x\"]}", "need must be a text" },
	{ "flag", "{\"need\":\"x\",\"flag\":\"yes\"}", "flag must be true or false" },
	{ "empty list", "{\"need\":\"x\",\"list\":[]}", "list must be a text or a list of texts" },
	{ "list of lists", "{\"need\":\"x\",\"list\":[[\"a\"]]}", "list must be a text or a list" },
	{ "empty text in a list", "{\"need\":\"x\",\"list\":[\"a\",\"\"]}", "list must be" },
	{ "no object", "{\"need\":\"x\",\"object\":\"a\"}", "object must be a structure" },
	{ "no objects", "{\"need\":\"x\",\"objects\":{}}", "objects must be a list of structures" },
	{ "the first counts", "{\"flag\":\"1\",\"list\":[]}", "need must be a text" },
};

static void test_bad(void **state)
{
	__typeof__(&bad[0]) b = *state;
	AUTO_JV *v = parse(b->text);
	struct form f;
	struct err e;

	form_open(&f, "things", v, NULL);
	read_all(&f);
	assert_err(form_close(&f, &e), ERR_INVALID, &e, b->message);
}

static void test_no_object(void **state)
{
	AUTO_JV *v = jv_pack("s", "text");
	struct form f;
	struct err e;

	(void)state;
	form_open(&f, "things", v, NULL);
	read_all(&f);
	assert_err(form_close(&f, &e), ERR_INVALID, &e, "things: each entry must be a structure");
}

static void test_own_failure(void **state)
{
	AUTO_JV *v = parse("{\"@line\":9,\"need\":\"x\"}");
	struct form f;
	struct err e;

	(void)state;
	form_open(&f, "things", v, NULL);
	(void)form_text(&f, "need", true);
	form_fail(&f, ERR_UNSUPPORTED, "%s is not known", "x");
	form_fail(&f, ERR_INVALID, "second");
	assert_err(form_close(&f, &e), ERR_UNSUPPORTED, &e, "things, line 9: x is not known");
}

struct told {
	struct faults faults;
	struct sbuf text;
};

static void on_fault(void *arg, const struct err *e)
{
	struct told *t = arg;

	sbuf_addf(&t->text, "%llu %s|", (unsigned long long)t->faults.line,
		  strchr(e->msg, ':') + 2);
}

static const struct {
	const char *name, *text, *told;
} all_cases[] = {
	{ "nothing", "{\"@line\":1,\"need\":\"x\"}", "" },
	{ "lines of members",
	  "{\"@line\":1,\"need\":\"\",\"@need\":2,\"flag\":\"1\",\"@flag\":3,\"x\":\"\",\"@x\":4}",
	  "2 need must be a text|3 flag must be true or false|4 there is no \"x\" here|" },
	{ "missing", "{\"@line\":1}", "1 need must be a text|" },
	{ "misspelt", "{\"@line\":1,\"nede\":\"x\",\"@nede\":2,\"flga\":\"x\"}",
	  "2 there is no \"nede\" here; did you mean \"need\"?|"
	  "1 there is no \"flga\" here; did you mean \"flag\"?|" },
	{ "one of a member", "{\"@line\":1,\"need\":\"x\",\"list\":[\"\",\"\"]}",
	  "1 list must be a text or a list of texts|" },
};

static void test_all(void **state)
{
	__typeof__(&all_cases[0]) c = *state;
	AUTO_JV *v = parse(c->text);
	struct told told = { .faults = { .tell = on_fault, .arg = &told },
			     .text = { .max = SBUF_MAX } };
	struct form f;
	struct err e;

	form_open(&f, "things", v, &told.faults);
	read_all(&f);
	assert_int_equal(form_close(&f, &e) != ERR_OK, *c->told != '\0');
	sbuf_add(&told.text, "", 1);
	assert_string_equal(told.text.p, c->told);
	sbuf_clear(&told.text);
}

/* More members than are counted: the ones beyond are unknown, whatever they are. */
static void test_many(void **state)
{
	AUTO_JV *v = parse("{\"need\":\"x\"}");
	char name[8];
	struct form f;
	struct err e;

	(void)state;
	for (unsigned i = 0; i < 2 * FORM_MEMBERS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "m%u", i);
		MUST(jv_set(v, name, jv_pack("s", "x")));
	}
	form_open(&f, "things", v, NULL);
	(void)form_text(&f, "need", true);
	for (unsigned i = 0; i < 2 * FORM_MEMBERS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "m%u", i);
		(void)form_text(&f, name, false);
	}
	assert_err(form_close(&f, &e), ERR_INVALID, &e, "there is no \"m");
}

int main(void)
{
	unit_case("members", test_members);
	UNIT_TABLE("refused", test_bad, bad);
	UNIT_TABLE("all that is wrong", test_all, all_cases);
	unit_case("no structure", test_no_object);
	unit_case("a failure of the reader's", test_own_failure);
	unit_case("too many members", test_many);
	return unit_run();
}
