#include "storage/scrub.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "gc/scrubber.h"
#include "storage/store_impl.h"
#include "tests/lib/gc_fixture.h"
#include "tests/lib/index_fixture.h"
#include "tests/lib/unit.h"

#define WAIT_MS 30000

static struct store *st;
static const char *root;
static struct digest image, layer;

static void begin(void)
{
	root = unit_dir();
	st = gc_store_of(root, 0);
	image = gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	layer = digest_of(LAYER_TEXT);
}

static void end(void)
{
	AUTO_SBUF faults = gc_faults(st, false);

	assert_string_equal(faults.p, "");
	store_close(&st);
}

static const char *name_of(const struct digest *d)
{
	static char name[64 + DIGEST_HEX_MAX];
	char hex[DIGEST_HEX_MAX + 1];

	digest_hex(d, hex);
	(void)snprintf(name, sizeof(name), "blobs/sha256/%.2s/%s", hex, hex);
	return name;
}

/* One bit, and nothing of the size. */
static void flip_bit(const struct digest *d)
{
	AUTO_SBUF b = file_read(root, name_of(d));

	b.p[b.n / 2] ^= 4;
	file_write(root, name_of(d), text_of(&b));
}

static void cut_off(const struct digest *d)
{
	AUTO_SBUF b = file_read(root, name_of(d));

	file_write(root, name_of(d), (struct str){ b.p, b.n - 1 });
}

static void take_away(const struct digest *d)
{
	char path[600];

	(void)snprintf(path, sizeof(path), "%s/%s", root, name_of(d));
	MUST(unlink(path) == 0);
}

static struct object_item item_of(const struct digest *d)
{
	struct object_item o = { .digest = *d };
	struct err e;

	assert_ok(index_object_find(store_index(st), d, &o.row, NULL, &e), &e);
	return o;
}

static enum scrub_outcome scrub(const struct digest *d)
{
	struct object_item o = item_of(d);
	enum scrub_outcome outcome;
	struct err e;

	assert_ok(scrub_object(st, &o, NULL, NULL, &outcome, &e), &e);
	return outcome;
}

static bool is_damaged(const struct digest *d)
{
	return item_of(d).row.damaged_ms != 0;
}

/* --- one object --- */

static const struct spoil {
	const char *name;
	void (*fn)(const struct digest *d);
} spoils[] = {
	{ "a flipped bit", flip_bit },
	{ "a file that was cut off", cut_off },
	{ "a file that is gone", take_away },
};

/* S1: found, marked, not relied upon; a push to any repository heals it. */
static void test_blob(void **state)
{
	const struct spoil *row = *state;
	struct repo_name a = repo_of("a"), b = repo_of("b");
	AUTO_SBUF again = { 0 };
	AUTO_MANIFEST_PUSHED pushed = { 0 };
	struct blob_info info;
	struct err e;

	begin();
	assert_int_equal(scrub(&layer), SCRUB_SOUND);
	row->fn(&layer);
	assert_int_equal(scrub(&layer), SCRUB_DAMAGED);
	assert_true(is_damaged(&layer));
	assert_int_equal(scrub(&layer), SCRUB_DAMAGED);
	assert_ok(index_blob_find(store_index(st), &a, &layer, &info, &e), &e);
	assert_true(info.is_damaged);
	assert_err(repo_blob_mount(st, &b, &a, &layer, NULL, &e), ERR_NOT_FOUND, &e, "no source");
	again = gc_image(CONFIG_TEXT, LAYER_TEXT, ",\"annotations\":{\"a\":\"b\"}");
	assert_err(gc_put(st, "a", text_of(&again), MEDIA_OCI_MANIFEST, "v2", &pushed, &e),
		   ERR_REFS, &e, "not in a");
	push_blob(st, "b", LAYER_TEXT);
	assert_false(is_damaged(&layer));
	assert_int_equal(scrub(&layer), SCRUB_SOUND);
	assert_null(gc_why_not_whole(st, "a", &image));
	end();
}

/* S2 */
static void test_manifest(void **state)
{
	const struct spoil *row = *state;

	begin();
	row->fn(&image);
	assert_int_equal(scrub(&image), SCRUB_HEALED);
	assert_false(is_damaged(&image));
	assert_null(gc_why_not_whole(st, "a", &image));
	assert_int_equal(scrub(&image), SCRUB_SOUND);
	end();
}

/* S2: wrong bytes in the index go, and the file is what counts. */
static void test_bytes(void **state)
{
	struct key key = content_key(&image, CONTENT_BYTES);
	struct repo_name r = repo_of("a");
	struct manifest_info m;
	AUTO_SBUF b = { 0 };
	struct err e;

	(void)state;
	begin();
	b = file_read(root, name_of(&image));
	b.p[0] ^= 1;
	index_put_raw(store_index(st), KV_CONTENT, key_str(&key), text_of(&b));
	assert_int_equal(scrub(&image), SCRUB_SOUND);
	assert_ok(index_manifest_find(store_index(st), &r, NULL, &image, &m, &e), &e);
	assert_null(m.bytes);
	assert_null(gc_why_not_whole(st, "a", &image));
	end();
}

/* With both of them spoilt nothing is left to heal it, but a push. */
static void test_bytes_and_file(void **state)
{
	struct key key = content_key(&image, CONTENT_BYTES);
	AUTO_SBUF b = { 0 };

	(void)state;
	begin();
	b = file_read(root, name_of(&image));
	flip_bit(&image);
	b.p[0] ^= 1;
	index_put_raw(store_index(st), KV_CONTENT, key_str(&key), text_of(&b));
	assert_int_equal(scrub(&image), SCRUB_DAMAGED);
	assert_true(is_damaged(&image));
	(void)gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	assert_int_equal(scrub(&image), SCRUB_SOUND);
	assert_null(gc_why_not_whole(st, "a", &image));
	end();
}

/* Somebody put the right file back by hand. */
static void test_healed_by_hand(void **state)
{
	(void)state;
	begin();
	flip_bit(&layer);
	assert_int_equal(scrub(&layer), SCRUB_DAMAGED);
	flip_bit(&layer);
	assert_int_equal(scrub(&layer), SCRUB_HEALED);
	assert_false(is_damaged(&layer));
	end();
}

static void test_gone(void **state)
{
	struct digest d = digest_of("loose");
	struct object_item o;
	enum scrub_outcome outcome;
	struct err e;

	(void)state;
	begin();
	push_blob(st, "b", "loose");
	o = item_of(&d);
	gc_collect_all(st);
	assert_ok(scrub_object(st, &o, NULL, NULL, &outcome, &e), &e);
	assert_int_equal(outcome, SCRUB_GONE);
	end();
}

/* What is being pushed right now is not judged. */
static void test_being_pushed(void **state)
{
	struct publisher claim;

	(void)state;
	begin();
	flip_bit(&layer);
	assert_true(blob_claim(st, &layer, &claim));
	assert_int_equal(scrub(&layer), SCRUB_SOUND);
	assert_false(is_damaged(&layer));
	blob_unclaim(st, &claim);
	assert_int_equal(scrub(&layer), SCRUB_DAMAGED);
	push_blob(st, "a", LAYER_TEXT);
	end();
}

static bool stop(void *arg, size_t n)
{
	*(size_t *)arg += n;
	return false;
}

static void test_stopped(void **state)
{
	struct object_item o;
	enum scrub_outcome outcome;
	size_t read = 0;
	struct err e;

	(void)state;
	begin();
	o = item_of(&layer);
	assert_err(scrub_object(st, &o, stop, &read, &outcome, &e), ERR_IN_USE, &e, "stopped");
	assert_int_equal(read, strlen(LAYER_TEXT));
	end();
}

/* --- rounds --- */

static bool count(void *arg, const struct digest *d, uint64_t size_bytes,
		  enum scrub_outcome outcome)
{
	unsigned *n = arg;

	(void)d, (void)size_bytes;
	n[outcome]++;
	return n[SCRUB_DAMAGED] < 2;
}

static struct scrubber *scrubber_of(uint64_t rate, uint64_t interval_ms)
{
	const struct scrubber_options o = { .rate = rate, .interval_ms = interval_ms };
	struct scrubber *s = NULL;
	struct err e;

	assert_ok(scrubber_new(st, &o, &s, &e), &e);
	return s;
}

/* A page and more; what is damaged is told of, until nobody listens. */
static void test_round(void **state)
{
	unsigned n[SCRUB_GONE + 1] = { 0 };
	struct digest other;
	struct scrubber *s;
	struct scrubber_status status;
	struct scrub_row row;
	struct err e;

	(void)state;
	begin();
	for (unsigned i = 0; i < 100; i++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "%u", i);
		push_blob(st, "a", text);
	}
	s = scrubber_of(0, 1);
	assert_ok(scrubber_run(s, count, n, &row, &e), &e);
	assert_int_equal(row.objects, 103);
	assert_int_equal(row.damaged, 0);
	flip_bit(&layer);
	flip_bit(&image);
	assert_ok(scrubber_run(s, count, n, &row, &e), &e);
	assert_int_equal(n[SCRUB_DAMAGED], 1);
	assert_int_equal(n[SCRUB_HEALED], 1);
	assert_int_equal(row.objects, 103);
	assert_int_equal(row.damaged, 1);
	scrubber_status(s, &status);
	assert_int_equal(status.damaged, 1);
	assert_in_range(status.bytes, 2 * row.bytes - 1000, UINT64_MAX);
	other = digest_of("7");
	flip_bit(&other);
	assert_err(scrubber_run(s, count, n, &row, &e), ERR_IN_USE, &e, "stopped");
	scrubber_free(&s);
	push_blob(st, "a", LAYER_TEXT);
	push_blob(st, "a", "7");
	end();
}

static void wait_for_round(struct scrubber *s, uint64_t objects, struct scrubber_status *ret)
{
	uint64_t deadline = mono_ms() + WAIT_MS;

	do {
		assert_true(mono_ms() < deadline);
		scrubber_status(s, ret);
	} while (ret->last.ended_ms == 0 || ret->last.objects != objects);
}

/* R1: the next process goes on where this one was. */
static void test_background(void **state)
{
	struct scrub_row row = { .started_ms = 1, .objects = 1000 };
	struct object_item items[8];
	struct scrubber_status status;
	struct scrubber *s;
	size_t n;
	struct err e;

	(void)state;
	begin();
	assert_ok(index_object_page(store_index(st), NULL, 8, items, &n, &e), &e);
	assert_int_equal(n, 3);
	row.has_position = true;
	row.position = items[1].digest;
	assert_ok(scrub_save(st, &row, &e), &e);
	s = scrubber_of(1024 * 1024 * 1024, 3600 * 1000);
	scrubber_status(s, &status);
	assert_int_equal(status.last.objects, 1000);
	flip_bit(&layer);
	assert_ok(scrubber_start(s, &e), &e);
	wait_for_round(s, 1001, &status); /* the last one only */
	scrubber_free(&s);
	assert_ok(index_scrub_read(store_index(st), &row, &e), &e);
	assert_int_equal(row.objects, 1001);
	assert_int_equal(row.started_ms, 1);
	assert_int_not_equal(row.ended_ms, 0);
	assert_false(row.has_position);
	s = scrubber_of(1024 * 1024 * 1024, 0); /* due again: from the start */
	assert_ok(scrubber_start(s, &e), &e);
	wait_for_round(s, 3, &status);
	assert_int_equal(status.last.damaged, 1);
	scrubber_free(&s);
	push_blob(st, "a", LAYER_TEXT);
	end();
}

static void test_no_background(void **state)
{
	struct scrubber_status status;
	struct scrub_row row;
	struct scrubber *s;
	struct err e;

	(void)state;
	begin();
	s = scrubber_of(0, 1);
	assert_ok(scrubber_start(s, &e), &e);
	scrubber_stop(s);
	scrubber_status(s, &status);
	assert_int_equal(status.last.started_ms, 0);
	assert_err(scrubber_run(s, NULL, NULL, &row, &e), ERR_IN_USE, &e, "stopped");
	scrubber_free(&s);
	end();
}

int main(void)
{
	log_set_level(LOG_ERROR);
	UNIT_TABLE("a blob", test_blob, spoils);
	UNIT_TABLE("a manifest", test_manifest, spoils);
	unit_case("wrong bytes in the index", test_bytes);
	unit_case("wrong bytes in the index and in the file", test_bytes_and_file);
	unit_case("healed by hand", test_healed_by_hand);
	unit_case("collected meanwhile", test_gone);
	unit_case("being pushed", test_being_pushed);
	unit_case("stopped", test_stopped);
	unit_case("a round", test_round);
	unit_case("the background goes on where it was", test_background);
	unit_case("without a background", test_no_background);
	return unit_run();
}
