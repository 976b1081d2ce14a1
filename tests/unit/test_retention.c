#include "gc/retention.h"

#include "tests/lib/gc_fixture.h"
#include "tests/lib/index_fixture.h"
#include "tests/lib/unit.h"

#define DAY_MS (24ull * 3600 * 1000)
#define NOW_MS (100 * DAY_MS)

/* --- reading rules --- */

static enum err_kind parse(const char *rules, struct retention **ret, struct err *e)
{
	AUTO_JV *v = NULL;
	AUTO_SBUF text = { .max = SBUF_MAX };

	sbuf_addf(&text, "{\"rules\":%s}", rules);
	MUST(jv_parse_object(text_of(&text), 8, &v, e) == ERR_OK);
	return retention_new(jv_member(v, "rules"), NULL, ret, e);
}

static struct retention *rules_of(const char *rules)
{
	struct retention *r = NULL;
	struct err e;

	assert_ok(parse(rules, &r, &e), &e);
	return r;
}

static const struct bad {
	const char *name, *rules, *message;
} bad[] = {
	{ "no repositories", "[{\"@line\":7,\"keep_last\":\"3\"}]", "repositories" },
	{ "its line", "[{\"@line\":7,\"keep_last\":\"3\"}]", "7" },
	{ "an unknown member", "[{\"repositories\":\"*\",\"keep_first\":\"3\"}]", "keep_first" },
	{ "a bad pattern", "[{\"repositories\":\"a**\"}]", "repositories" },
	{ "a bad pattern of tags", "[{\"repositories\":\"*\",\"keep_tags\":[\"v*\",\"\"]}]",
	  "keep_tags" },
	{ "keep_last 0", "[{\"repositories\":\"*\",\"keep_last\":\"0\"}]", "from 1 to 100000" },
	{ "keep_last of too many", "[{\"repositories\":\"*\",\"keep_last\":\"100001\"}]",
	  "from 1 to 100000" },
	{ "keep_last that is negative", "[{\"repositories\":\"*\",\"keep_last\":\"-1\"}]",
	  "from 1 to 100000" },
	{ "keep_last with a rest", "[{\"repositories\":\"*\",\"keep_last\":\"3x\"}]",
	  "from 1 to 100000" },
	{ "a time without a unit", "[{\"repositories\":\"*\",\"keep_pushed\":\"30\"}]",
	  "keep_pushed is \"30\": it must be a duration" },
	{ "never, but for untagged_keep", "[{\"repositories\":\"*\",\"keep_pulled\":\"never\"}]",
	  "keep_pulled is \"never\"" },
	{ "untagged_keep for ever", "[{\"repositories\":\"*\",\"untagged_keep\":\"for ever\"}]",
	  "untagged_keep is" },
	{ "the second rule", "[{\"repositories\":\"*\"},{\"@line\":9}]", "9" },
};

static void test_bad(void **state)
{
	const struct bad *row = *state;
	struct retention *r = NULL;
	struct err e;

	assert_err(parse(row->rules, &r, &e), ERR_INVALID, &e, row->message);
	assert_null(r);
}

/* Up to 256 patterns. */
static void test_many_patterns(void **state)
{
	(void)state;
	for (unsigned n = 256; n <= 257; n++) {
		AUTO_SBUF b = { .max = SBUF_MAX };
		struct retention *r = NULL;
		struct err e;

		sbuf_add_str(&b, STR("[{\"repositories\":["));
		for (unsigned i = 0; i < n; i++)
			sbuf_addf(&b, "%s\"r%u\"", i ? "," : "", i);
		sbuf_add_str(&b, STR("]}]"));
		if (n == 256)
			assert_ok(parse(b.p, &r, &e), &e);
		else
			assert_err(parse(b.p, &r, &e), ERR_INVALID, &e, "more than 256 patterns");
		retention_put(&r);
	}
}

/* --- which rule --- */

static void test_find(void **state)
{
	struct retention *r = rules_of("[{\"repositories\":[\"team/*\",\"x\"],"
				       "\"untagged_keep\":\"1d\"},"
				       "{\"repositories\":\"team/**\",\"untagged_keep\":\"never\"},"
				       "{\"repositories\":\"old/**\"}]");
	static const struct {
		const char *repo;
		uint64_t keep_ms;
	} rows[] = {
		{ "team/a", DAY_MS },
		{ "x", DAY_MS },
		{ "team/a/b", UINT64_MAX },
		{ "old/a", 5 /* the preset */ },
		{ "y", 5 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct repo_name name = repo_of(rows[i].repo);

		assert_true(retention_untagged_keep(retention_find(r, &name), 5) ==
			    rows[i].keep_ms);
	}
	assert_null(retention_find(r, &(struct repo_name){ .len = 1, .s = "y" }));
	assert_null(retention_find(NULL, &(struct repo_name){ .len = 1, .s = "y" }));
	assert_false(retention_has_tag_rules(r));
	assert_false(retention_has_tag_rules(NULL));
	retention_put(&r);
	r = rules_of(
	    "[{\"repositories\":\"a\"},{\"repositories\":\"b\",\"keep_last\":\"100000\"}]");
	assert_true(retention_has_tag_rules(r));
	retention_put(&r);
	retention_put(&r);
	r = rules_of("[]");
	assert_false(retention_has_tag_rules(r));
	retention_put(&r);
}

/* --- what they decide --- */

static struct store *st;
static uint64_t a;
static struct digest image;

/* A tag with times of its own. */
static void put_tag(const char *name, uint64_t pushed_ms, uint64_t pulled_ms)
{
	const struct tag_row row = { .digest = image,
				     .pushed_ms = pushed_ms,
				     .pulled_ms = pulled_ms };
	struct key key = { 0 };
	struct row v;

	key_u64(&key, a);
	key_text(&key, str_of(name));
	tag_row_pack(&v, &row);
	index_put_raw(store_index(st), KV_TAG, key_str(&key), row_str(&v));
}

static void begin(void)
{
	struct tag_name t = tag_of("v0");
	struct repo_name r = repo_of("a");
	struct err e;

	st = gc_store_of(unit_dir(), 0);
	image = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v0");
	a = repo_id(store_index(st), "a");
	assert_ok(repo_tag_delete(st, &r, &t, NULL, &e), &e);
}

static enum err_kind note(void *arg, const struct tag_item *tag, bool keeps, const char *reason,
			  struct err *e)
{
	(void)e;
	sbuf_addf(arg, "%s %s: %s\n", keeps ? "+" : "-", tag->name.s, reason);
	return ERR_OK;
}

static struct sbuf decisions(struct retention *r, const char *repo)
{
	struct repo_name name = repo_of(repo);
	const struct retention_rule *rule = retention_find(r, &name);
	struct sbuf b;
	struct err e;

	sbuf_init(&b, SBUF_MAX);
	sbuf_add(&b, "", 0);
	assert_non_null(rule);
	assert_ok(retention_walk(rule, st, &name, NOW_MS, note, &b, &e), &e);
	return b;
}

/* Pushed 1, 10 and 50 days ago, and pulled: long ago, never, and now. */
static const struct decided {
	const char *name, *rule, *want;
} decided[] = {
	{ "no rule for tags", "\"untagged_keep\":\"1d\"",
	  "+ new: no rule removes tags here\n+ old: no rule removes tags here\n"
	  "+ v1: no rule removes tags here\n" },
	{ "the last", "\"keep_last\":\"1\"",
	  "+ new: one of the last pushed\n- old: no rule keeps it\n- v1: no rule keeps it\n" },
	{ "the last two", "\"keep_last\":\"2\"",
	  "+ new: one of the last pushed\n- old: no rule keeps it\n+ v1: one of the last "
	  "pushed\n" },
	{ "more than there are", "\"keep_last\":\"9\"",
	  "+ new: one of the last pushed\n+ old: one of the last pushed\n"
	  "+ v1: one of the last pushed\n" },
	{ "by pattern", "\"keep_tags\":\"v*\"",
	  "- new: no rule keeps it\n- old: no rule keeps it\n+ v1: matches keep_tags\n" },
	{ "by several patterns", "\"keep_tags\":[\"v?\",\"old\"]",
	  "- new: no rule keeps it\n+ old: matches keep_tags\n+ v1: matches keep_tags\n" },
	{ "by pushes", "\"keep_pushed\":\"30d\"",
	  "+ new: pushed within keep_pushed\n- old: no rule keeps it\n"
	  "+ v1: pushed within keep_pushed\n" },
	{ "by pushes, to the millisecond", "\"keep_pushed\":\"10d\"",
	  "+ new: pushed within keep_pushed\n- old: no rule keeps it\n- v1: no rule keeps it\n" },
	{ "by pulls", "\"keep_pulled\":\"1h\"",
	  "- new: no rule keeps it\n+ old: pulled within keep_pulled\n- v1: no rule keeps it\n" },
	{ "by any of them", "\"keep_pulled\":\"1h\",\"keep_tags\":\"v*\",\"keep_last\":\"1\"",
	  "+ new: one of the last pushed\n+ old: pulled within keep_pulled\n"
	  "+ v1: matches keep_tags\n" },
};

static void test_decided(void **state)
{
	const struct decided *row = *state;
	struct retention *r;
	AUTO_SBUF rules = { .max = SBUF_MAX }, got = { 0 };

	begin();
	put_tag("new", NOW_MS - DAY_MS, 1);
	put_tag("v1", NOW_MS - 10 * DAY_MS, 0);
	put_tag("old", NOW_MS - 50 * DAY_MS, NOW_MS);
	sbuf_addf(&rules, "[{\"repositories\":\"a\",%s}]", row->rule);
	r = rules_of(rules.p);
	got = decisions(r, "a");
	assert_string_equal(got.p, row->want);
	retention_put(&r);
	store_close(&st);
}

/* A push that the clock says is yet to come is within any time. */
static void test_clock_went_back(void **state)
{
	struct retention *r = rules_of("[{\"repositories\":\"a\",\"keep_pushed\":\"1ms\"}]");
	AUTO_SBUF got = { 0 };

	(void)state;
	begin();
	put_tag("v1", NOW_MS + DAY_MS, 0);
	got = decisions(r, "a");
	assert_string_equal(got.p, "+ v1: pushed within keep_pushed\n");
	retention_put(&r);
	store_close(&st);
}

/* Tags that were pushed at the same time stay or go together: nobody can say which was the last. */
static void test_ties(void **state)
{
	struct retention *r = rules_of("[{\"repositories\":\"a\",\"keep_last\":\"1\"}]");
	AUTO_SBUF got = { 0 };

	(void)state;
	begin();
	put_tag("v1", 5, 0);
	put_tag("v2", 5, 0);
	put_tag("v3", 4, 0);
	got = decisions(r, "a");
	assert_string_equal(got.p, "+ v1: one of the last pushed\n+ v2: one of the last pushed\n"
				   "- v3: no rule keeps it\n");
	retention_put(&r);
	store_close(&st);
}

static void test_no_repository(void **state)
{
	struct retention *r = rules_of("[{\"repositories\":\"*\",\"keep_last\":\"1\"}]");
	AUTO_SBUF got = { 0 };

	(void)state;
	begin();
	got = decisions(r, "b");
	assert_string_equal(got.p, "");
	retention_put(&r);
	store_close(&st);
}

/* Over several pages, in an order that has nothing to do with names. */
#define MANY 700u
#define LAST 100u

static enum err_kind count(void *arg, const struct tag_item *tag, bool keeps, const char *reason,
			   struct err *e)
{
	unsigned *kept = arg;

	(void)reason, (void)e;
	assert_int_equal(keeps, tag->row.pushed_ms >= MANY - LAST);
	*kept += keeps;
	return ERR_OK;
}

static void test_many(void **state)
{
	struct retention *r = rules_of("[{\"repositories\":\"a\",\"keep_last\":\"100\"}]");
	struct repo_name name = repo_of("a");
	unsigned kept = 0;
	struct err e;

	(void)state;
	begin();
	for (unsigned i = 0; i < MANY; i++) {
		char tag[16];

		(void)snprintf(tag, sizeof(tag), "t%u", i);
		put_tag(tag, i * 331 % MANY, 0);
	}
	assert_ok(retention_walk(retention_find(r, &name), st, &name, NOW_MS, count, &kept, &e),
		  &e);
	assert_int_equal(kept, LAST);
	retention_put(&r);
	store_close(&st);
}

int main(void)
{
	UNIT_TABLE("refused", test_bad, bad);
	unit_case("many patterns", test_many_patterns);
	unit_case("the first rule that matches", test_find);
	UNIT_TABLE("decided", test_decided, decided);
	unit_case("the clock went back", test_clock_went_back);
	unit_case("pushed at the same time", test_ties);
	unit_case("a repository that is gone", test_no_repository);
	unit_case("many tags", test_many);
	return unit_run();
}
