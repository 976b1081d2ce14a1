#include "gc/gc.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"
#include "storage/store_impl.h"
#include "tests/lib/gc_fixture.h"
#include "tests/lib/index_fixture.h"
#include "tests/lib/unit.h"

#define NEVER UINT64_MAX
#define WAIT_MS 30000

static struct store *st;

/* Without leases: what is free is due at once. */
static void begin(uint64_t trash_keep_ms)
{
	st = gc_store_of(unit_dir(), trash_keep_ms);
	st->options.lease_ms = 0;
}

static void end(void)
{
	AUTO_SBUF faults = gc_faults(st, false);

	assert_string_equal(faults.p, "");
	store_close(&st);
}

/* Times on disk are in milliseconds: what comes next is later. */
static void pass_ms(void)
{
	uint64_t wall = wall_ms(), steady = steady_ms();

	while (wall_ms() == wall || steady_ms() == steady)
		;
}

static struct gc *gc_of(const struct gc_options *o)
{
	struct gc *g = NULL;
	struct err e;

	assert_ok(gc_new(st, o, &g, &e), &e);
	return g;
}

static struct gc_options options_of(uint64_t untagged_keep_ms)
{
	return (struct gc_options){ .interval_ms = 3600 * 1000,
				    .max_share = 100,
				    .untagged_keep_ms = untagged_keep_ms,
				    .trash_keep_ms = GC_TRASH_MS,
				    .rules = untagged_keep_ms + 2 }; /* others with another time */
}

static struct gc_result run(struct gc *g, enum gc_mode mode)
{
	struct gc_result r;
	struct err e;

	assert_ok(gc_run(g, mode, NULL, NULL, &r, &e), &e);
	return r;
}

static struct gc_result run_with(uint64_t untagged_keep_ms)
{
	struct gc_options o = options_of(untagged_keep_ms);
	struct gc *g = gc_of(&o);
	struct gc_result r = run(g, GC_NORMAL);

	gc_free(&g);
	return r;
}

static struct retention *retention_of(const char *json)
{
	AUTO_JV *v = NULL;
	struct retention *r = NULL;
	struct err e;

	assert_ok(jv_parse_object(str_of(json), 8, &v, &e), &e);
	assert_ok(retention_new(jv_member(v, "rules"), NULL, &r, &e), &e);
	return r;
}

/* --- dry runs --- */

static void note(void *arg, const struct gc_action *a)
{
	static const char *const whats[] = { "tag", "manifest", "blob", "content", "trash" };
	char text[DIGEST_TEXT_MAX];

	sbuf_addf(arg, "%s %s %s%s%s %s: %s\n", a->removes ? "removes" : "keeps", whats[a->what],
		  a->repo.s, a->tag.len ? ":" : "", a->tag.s, digest_text(&a->digest, text),
		  a->reason);
}

static struct sbuf notes_of(struct gc *g, enum gc_mode mode)
{
	struct gc_result r;
	struct sbuf b;
	struct err e;

	sbuf_init(&b, SBUF_MAX);
	sbuf_add(&b, "", 0);
	assert_ok(gc_run(g, mode, note, &b, &r, &e), &e);
	return b;
}

/* G1 */
static void test_dry_run(void **state)
{
	struct retention *rules =
	    retention_of("{\"rules\":[{\"repositories\":\"a\",\"keep_tags\":\"v*\"}]}");
	struct gc_options o = options_of(0);
	AUTO_SBUF dry = { 0 }, wet = { 0 };
	struct repo_name r = repo_of("a");
	struct tag_name t;
	struct gc *g;
	struct str rest, line;
	unsigned removes = 0;
	struct err e;

	(void)state;
	begin(GC_TRASH_MS);
	(void)gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	(void)gc_push_image(st, "a", CONFIG_TEXT, "other", "old");
	(void)gc_push_image(st, "a", CONFIG_TEXT, "third", NULL);
	push_blob(st, "b", "loose");
	push_blob(st, "b", "trashed");
	(void)gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "gone");
	t = tag_of("gone");
	assert_ok(repo_tag_delete(st, &r, &t, NULL, &e), &e);
	o.retention = rules;
	o.trash_keep_ms = 0;
	pass_ms();
	g = gc_of(&o);
	dry = notes_of(g, GC_DRY_RUN);
	assert_true(gc_has_blob(st, "b", "loose"));
	assert_non_null(strstr(dry.p, "keeps tag a:v1"));
	assert_non_null(strstr(dry.p, "removes tag a:old"));
	assert_non_null(strstr(dry.p, "removes trash a"));
	wet = notes_of(g, GC_NORMAL);
	for (rest = text_of(&dry); rest.n;) {
		char want[1024];

		(void)str_cut(rest, '\n', &line, &rest);
		assert_true(str_copy(line, want, sizeof(want)));
		if (str_starts(line, STR("removes"))) {
			removes++;
			assert_non_null(strstr(wet.p, want));
		}
	}
	assert_int_equal(removes, 5); /* a tag, a manifest, two blobs, a row of the trash */
	assert_false(gc_has_blob(st, "b", "loose"));
	gc_free(&g);
	retention_put(&rules);
	end();
}

/* --- the brake --- */

static void test_brake(void **state)
{
	struct gc_options o = options_of(0);
	struct gc_status s;
	struct gc_result r;
	struct gc *g;

	(void)state;
	begin(0);
	push_blob(st, "a", "half of the store");
	(void)gc_push_image(st, "b", "c", "l", "v1");
	o.max_share = 3;
	g = gc_of(&o);
	r = run(g, GC_NORMAL);
	assert_true(r.braked);
	assert_in_range(r.share, 4, 50);
	assert_true(gc_has_blob(st, "a", "half of the store"));
	gc_status(g, &s);
	assert_true(s.braked && s.total.blobs == 0);
	r = run(g, GC_CONFIRMED);
	assert_false(r.braked);
	assert_int_equal(r.blobs, 1);
	assert_false(gc_has_blob(st, "a", "half of the store"));
	gc_status(g, &s);
	assert_false(s.braked);
	assert_int_equal(s.total.blobs, 1);
	assert_int_equal(s.cycles, 2);
	gc_free(&g);
	end();
}

static void test_brake_of_tags(void **state)
{
	struct retention *rules =
	    retention_of("{\"rules\":[{\"repositories\":\"*\",\"keep_last\":\"1\"}]}");
	struct gc_options o = options_of(NEVER);
	struct digest d, at;
	struct gc_result r;
	struct gc *g;

	(void)state;
	begin(0);
	(void)gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	pass_ms();
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v2");
	o.max_share = 30;
	o.retention = rules;
	g = gc_of(&o);
	r = run(g, GC_NORMAL);
	assert_true(r.braked);
	assert_int_equal(r.share, 50);
	at = gc_tag(st, "a", "v1");
	assert_int_not_equal(at.alg, 0);
	r = run(g, GC_CONFIRMED);
	assert_int_equal(r.tags, 1);
	at = gc_tag(st, "a", "v1");
	assert_int_equal(at.alg, 0);
	at = gc_tag(st, "a", "v2");
	assert_true(digest_eq(&at, &d));
	gc_free(&g);
	retention_put(&rules);
	end();
}

/* --- manifests without a tag --- */

static void test_untagged(void **state)
{
	struct digest d;
	struct gc_result r;

	(void)state;
	begin(0);
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, NULL);
	r = run_with(NEVER);
	assert_int_equal(r.kept, 1);
	assert_true(gc_has_manifest(st, "a", &d));
	r = run_with(NEVER); /* it left the queue for good */
	assert_int_equal(r.kept, 0);
	r = run_with(3600 * 1000); /* by these it is due in an hour */
	assert_int_equal(r.kept, 0);
	assert_true(gc_has_manifest(st, "a", &d));
	r = run_with(NEVER);
	assert_int_equal(r.kept, 0); /* not due yet */
	assert_true(gc_has_manifest(st, "a", &d));
	end();
}

static void test_parked_no_more(void **state)
{
	struct gc_options o = options_of(0);
	struct digest d;
	struct gc_result r;
	struct gc *g;

	(void)state;
	begin(0);
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, NULL);
	(void)run_with(NEVER);
	g = gc_of(&o);
	r = run(g, GC_DRY_RUN);
	assert_int_equal(r.manifests, 1);
	r = run(g, GC_NORMAL);
	assert_int_equal(r.manifests, 1);
	assert_int_equal(r.contents + run(g, GC_NORMAL).contents, 3); /* with its blobs */
	assert_false(gc_has_manifest(st, "a", &d));
	gc_free(&g);
	end();
}

static void test_untagged_by_repository(void **state)
{
	struct retention *rules =
	    retention_of("{\"rules\":[{\"repositories\":\"keep/*\",\"untagged_keep\":\"never\"}]}");
	struct gc_options o = options_of(0);
	struct digest d;
	struct gc_result r;
	struct gc *g;

	(void)state;
	begin(0);
	(void)gc_push_image(st, "keep/a", CONFIG_TEXT, LAYER_TEXT, NULL);
	d = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, NULL);
	o.retention = rules;
	g = gc_of(&o);
	r = run(g, GC_NORMAL);
	assert_int_equal(r.manifests, 1);
	assert_int_equal(r.kept, 1);
	assert_false(gc_has_manifest(st, "a", &d));
	assert_true(gc_has_manifest(st, "keep/a", &d));
	assert_null(gc_why_not_whole(st, "keep/a", &d));
	gc_free(&g);
	retention_put(&rules);
	end();
}

/* --- many --- */

static void test_many(void **state)
{
	struct gc_options o = options_of(0);
	struct gc_result r;
	uint64_t bytes = 0;
	struct gc *g;

	(void)state;
	begin(0);
	for (unsigned i = 0; i < 200; i++) {
		char text[32];

		bytes += (uint64_t)snprintf(text, sizeof(text), "blob %u", i);
		push_blob(st, "a", text);
	}
	pass_ms();
	g = gc_of(&o);
	r = run(g, GC_NORMAL);
	assert_int_equal(r.blobs, 200);
	assert_int_equal(r.contents, 200);
	assert_int_equal(r.bytes, bytes);
	assert_false(has_repo(store_index(st), "a"));
	gc_free(&g);
	end();
}

static void test_trash_ends(void **state)
{
	struct gc_options o = options_of(0);
	struct digest d = digest_of("blob");
	struct gc_result r;
	struct gc *g;

	(void)state;
	begin(GC_TRASH_MS);
	push_blob(st, "a", "blob");
	g = gc_of(&o);
	r = run(g, GC_NORMAL);
	assert_int_equal(r.blobs, 1);
	assert_int_equal(r.contents, 0);
	assert_true(gc_has_file(st, &d));
	gc_free(&g);
	pass_ms();
	o.trash_keep_ms = 0;
	g = gc_of(&o);
	r = run(g, GC_NORMAL);
	assert_int_equal(r.trash, 1);
	assert_int_equal(r.contents, 1);
	assert_false(gc_has_file(st, &d));
	gc_free(&g);
	end();
}

/* --- pause, hold, stop --- */

static void test_pause(void **state)
{
	struct gc_options o = options_of(0);
	struct gc_status s;
	struct gc_result r;
	struct gc *g;

	(void)state;
	begin(0);
	push_blob(st, "a", "loose");
	g = gc_of(&o);
	gc_pause(g);
	gc_status(g, &s);
	assert_true(s.paused);
	r = run(g, GC_DRY_RUN);
	assert_int_equal(r.blobs, 1);
	assert_true(gc_hold(g)); /* a backup goes on */
	gc_release(g);
	r = run(g, GC_NORMAL); /* who asks for a cycle gets it: the pause is the thread's */
	assert_int_equal(r.blobs, 1);
	gc_resume(g);
	gc_status(g, &s);
	assert_false(s.paused);
	gc_free(&g);
	end();
}

static void *run_once(void *arg)
{
	(void)run(arg, GC_NORMAL);
	return NULL;
}

static void test_hold(void **state)
{
	struct gc_options o = options_of(0);
	struct gc_status s;
	pthread_t thread;
	struct gc *g;

	(void)state;
	begin(0);
	push_blob(st, "a", "loose");
	g = gc_of(&o);
	assert_true(gc_hold(g));
	assert_int_equal(pthread_create(&thread, NULL, run_once, g), 0);
	gc_status(g, &s);
	assert_true(s.running);
	assert_int_equal(s.cycles, 0);
	assert_true(gc_has_blob(st, "a", "loose"));
	gc_release(g);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_false(gc_has_blob(st, "a", "loose"));
	gc_free(&g);
	end();
}

static void test_stop(void **state)
{
	struct gc_options o = options_of(0);
	struct gc_result r;
	struct gc *g;
	struct err e;

	(void)state;
	begin(0);
	g = gc_of(&o);
	gc_stop(g);
	assert_err(gc_run(g, GC_NORMAL, NULL, NULL, &r, &e), ERR_IN_USE, &e, "about to end");
	assert_false(gc_hold(g));
	gc_free(&g);
	end();
}

static void test_thread(void **state)
{
	struct gc_options o = options_of(0);
	uint64_t deadline = mono_ms() + WAIT_MS;
	struct gc_status s = { 0 };
	struct gc *g;
	struct err e;

	(void)state;
	begin(0);
	push_blob(st, "a", "loose");
	o.interval_ms = 1;
	g = gc_of(&o);
	assert_ok(gc_start(g, &e), &e);
	while (s.cycles < 3) {
		assert_true(mono_ms() < deadline);
		gc_status(g, &s);
	}
	gc_stop(g);
	gc_status(g, &s);
	assert_false(s.running);
	assert_int_equal(s.total.blobs, 1);
	assert_int_equal(s.total.contents, 1);
	assert_string_equal(s.last_error, "");
	gc_free(&g);
	end();
}

int main(void)
{
	log_set_level(LOG_ERROR);
	unit_case("a dry run tells what a cycle does", test_dry_run);
	unit_case("the brake, by bytes", test_brake);
	unit_case("the brake, by tags", test_brake_of_tags);
	unit_case("manifests without a tag", test_untagged);
	unit_case("parked, until the rules change", test_parked_no_more);
	unit_case("manifests without a tag, by repository", test_untagged_by_repository);
	unit_case("more than a batch", test_many);
	unit_case("the end of a row in the trash", test_trash_ends);
	unit_case("pause", test_pause);
	unit_case("hold", test_hold);
	unit_case("stop", test_stop);
	unit_case("a thread of its own", test_thread);
	return unit_run();
}
