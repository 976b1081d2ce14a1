/* Upload sessions that are left alone, and threads that want the same one. */
#include "storage/upload.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "storage/repo.h"
#include "storage/store_impl.h"
#include "tests/lib/sync_hook.h"
#include "tests/lib/unit.h"
#include "tests/lib/upload_fixture.h"

#define IDLE_MS (3600u * 1000)

/* --- sessions that are left alone --- */

static uint64_t reap(struct rig *r)
{
	uint64_t n = 77;
	struct err e;

	assert_ok(upload_reap(r->st, &n, &e), &e);
	return n;
}

/* As if the store, and with it all that it has seen, were older. */
static void age(struct rig *r)
{
	r->st->opened_mono_ms -= 2 * IDLE_MS;
}

static void test_reap_none(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = rig_create(&r);

	(void)state;
	assert_int_equal(reap(&r), 0);
	assert_offset(&r, &id, 0);
	store_close(&r.st);
}

/* U4: the time runs from the last request, and the one that opens a session is one. */
static void test_reap_fresh(void **state)
{
	struct rig r = rig_new();
	struct upload_id id;

	(void)state;
	age(&r);
	id = rig_create(&r);
	assert_int_equal(reap(&r), 0);
	assert_offset(&r, &id, 0);
	rig_append(&r, &id, "abc");
	assert_int_equal(reap(&r), 0);
	assert_offset(&r, &id, 3);
	store_close(&r.st);
}

/* After a restart the time starts anew, and it does run out. */
static void test_reap_idle(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = rig_create(&r), used;

	(void)state;
	rig_append(&r, &id, "abc");
	rig_reopen(&r);
	assert_int_equal(reap(&r), 0);
	age(&r);
	used = rig_create(&r);
	rig_append(&r, &used, "def");
	assert_int_equal(reap(&r), 1);
	assert_gone(&r, &id);
	assert_offset(&r, &used, 3);
	assert_int_equal(dir_count(r.root, "uploads"), 1);
	store_close(&r.st);
}

static void test_reap_busy(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = rig_create(&r);
	struct upload *u;

	(void)state;
	r.st->options.uploads_idle_ms = 0;
	u = rig_take(&r, &id);
	assert_int_equal(reap(&r), 0); /* somebody is at it */
	upload_release(&u);
	assert_int_equal(reap(&r), 1);
	assert_gone(&r, &id);
	store_close(&r.st);
}

/* More than a page of them, among them rows without a file. */
static void test_reap_many(void **state)
{
	struct rig r = rig_new();
	struct upload_id ids[600];

	(void)state;
	r.st->options.uploads_max = 1000;
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		char text[UPLOAD_ID_TEXT_MAX];

		ids[i] = rig_create(&r);
		if (i % 7 == 0)
			MUST(unlinkat(r.st->uploads_fd, upload_id_text(&ids[i], text), 0) == 0);
	}
	assert_int_equal(reap(&r), 0); /* page by page, and not one is idle */
	r.st->options.uploads_idle_ms = 0;
	assert_int_equal(reap(&r), ARRAY_LEN(ids));
	assert_int_equal(dir_count(r.root, "uploads"), 0);
	assert_int_equal(reap(&r), 0);
	store_close(&r.st);
}

static void test_reap_fails(void **state)
{
	struct rig r = rig_new();
	struct upload_id id = rig_create(&r);
	uint64_t n;
	struct err e;

	(void)state;
	r.st->options.uploads_idle_ms = 0;
	sync_fail(1, EIO);
	assert_err(upload_reap(r.st, &n, &e), ERR_IO, &e, "index: commit");
	assert_true(sync_reset());
	assert_int_equal(n, 0);
	assert_offset(&r, &id, 0);
	assert_int_equal(reap(&r), 1);
	store_close(&r.st);
}

/* --- threads --- */

struct racer {
	struct rig *r;
	struct upload_id id;
	unsigned turns, refused, gone;
};

/* Takes the session whenever it is free; the last of all turns finishes it. */
static void *race(void *arg)
{
	struct racer *me = arg;
	struct digest d = digest_of(TEXT);

	for (;;) {
		AUTO_UPLOAD *u = NULL;
		struct err e;
		enum err_kind k = upload_take(me->r->st, &me->r->repo, &me->id, &u, &e);

		if (k == ERR_NOT_FOUND) {
			me->gone++;
			return NULL;
		}
		if (k == ERR_IN_USE) {
			me->refused++;
			(void)sched_yield();
			continue;
		}
		MUST(k == ERR_OK);
		me->turns++;
		if (upload_offset(u) == strlen(TEXT))
			MUST(upload_finish(&u, &d, &e) == ERR_OK);
		else
			MUST(upload_write(u, TEXT + upload_offset(u), 1, &e) == ERR_OK);
	}
}

static void test_race(void **state)
{
	struct rig r = { .root = unit_dir(), .repo = repo_of("a") };
	struct store_options o = store_options_of(r.root);
	struct store_recovery found;
	struct racer racers[4];
	pthread_t t[4];
	unsigned turns = 0;
	struct digest d = digest_of(TEXT);
	struct err e;

	(void)state;
	o.single_thread = false;
	assert_ok(store_open(&o, &r.st, &found, &e), &e);
	for (unsigned round = 0; round < 20; round++) {
		struct upload_id id = rig_create(&r);

		for (size_t i = 0; i < ARRAY_LEN(t); i++) {
			racers[i] = (struct racer){ .r = &r, .id = id };
			MUST(pthread_create(&t[i], NULL, race, &racers[i]) == 0);
		}
		for (size_t i = 0; i < ARRAY_LEN(t); i++) {
			MUST(pthread_join(t[i], NULL) == 0);
			turns += racers[i].turns;
			assert_int_equal(racers[i].gone, 1);
		}
		assert_blob(&r, &d, TEXT);
	}
	assert_int_equal(turns, 20 * (strlen(TEXT) + 1)); /* one at a time */
	assert_int_equal(dir_count(r.root, "uploads"), 0);
	store_close(&r.st);
}

int main(void)
{
	unit_case("nothing to reap", test_reap_none);
	unit_case("a fresh session in an old store", test_reap_fresh);
	unit_case("an idle session", test_reap_idle);
	unit_case("a busy session", test_reap_busy);
	unit_case("six hundred idle sessions", test_reap_many);
	unit_case("a reap that fails", test_reap_fails);
	unit_case("four threads at one session", test_race);
	return unit_run();
}
