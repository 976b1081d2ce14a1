#include "tests/fault/gcops.h"

#include <unistd.h>

#include "base/sys.h"
#include "storage/backup.h"
#include "storage/rebuild.h"
#include "storage/scrub.h"
#include "storage/store_impl.h"
#include "storage/trash.h"
#include "tests/lib/gc_fixture.h"
#include "tests/lib/history.h"

#define PATH_TEXT_MAX 256

/* --- one store --- */

static const char *in_dir(const char *dir, const char *name, char buf[static PATH_TEXT_MAX])
{
	(void)snprintf(buf, PATH_TEXT_MAX, "%s/%s", dir, name);
	return buf;
}

/* No leases: what is free is due at once. */
static struct store_options options_of(const char *root)
{
	struct store_options o = store_options_of(root);

	o.lease_ms = 0;
	o.trash_keep_ms = GC_TRASH_MS;
	return o;
}

static enum err_kind open_at(const char *root, struct store **ret, struct err *e)
{
	struct store_options o = options_of(root);
	struct store_recovery found;

	return store_open(&o, ret, &found, e);
}

enum err_kind gcop_open(const struct gcop *op, const char *dir, struct store **ret, struct err *e)
{
	char root[PATH_TEXT_MAX];

	return op->is_offline ? ERR_OK : open_at(in_dir(dir, "root", root), ret, e);
}

static struct store *must_open(const char *dir, const char *name)
{
	char root[PATH_TEXT_MAX];
	struct store *st = NULL;
	struct err e = { .msg = "" };

	if (open_at(in_dir(dir, name, root), &st, &e) != ERR_OK)
		(void)fprintf(stderr, "# open %s: %s\n", name, e.msg);
	MUST(st);
	return st;
}

static void must_be_sound(struct store *st)
{
	AUTO_SBUF faults = gc_faults(st, false);

	if (faults.n)
		(void)fprintf(stderr, "# fsck: %s\n", faults.p);
	MUST(faults.n == 0);
}

/* What a backup that was cut off has copied already is of use to the next one. */
static void must_be_sound_copy(struct store *st)
{
	AUTO_SBUF faults = gc_faults(st, false);

	MUST(faults.n == 0 || strcmp(faults.p, "stray-file") == 0);
}

static struct digest image_digest(const char *layer)
{
	AUTO_SBUF b = gc_image("config", layer, "");

	return digest_of(b.p);
}

/* The image of the layer is under its tag, whole. */
static void must_have(struct store *st, const char *layer, const char *tag)
{
	struct digest want = image_digest(layer), at = gc_tag(st, "a", tag);
	const char *why = gc_why_not_whole(st, "a", &want);

	if (why)
		(void)fprintf(stderr, "# image of %s: %s\n", layer, why);
	MUST(!why && digest_eq(&at, &want));
}

static void prepare_live(struct store *st)
{
	(void)gc_push_image(st, "a", "config", "live", "live");
}

/* What every operation must leave. */
static void look_at_live(const char *dir)
{
	struct store *st = must_open(dir, "root");

	must_have(st, "live", "live");
	must_be_sound(st);
	store_close(&st);
}

/* --- collection --- */

static void prepare_garbage(const char *dir)
{
	struct store *st = must_open(dir, "root");

	prepare_live(st);
	(void)gc_push_image(st, "a", "config", "untagged", NULL);
	push_blob(st, "b", "loose");
	store_close(&st);
}

/* All that is due, and no more: a row that stays is an error's. */
static enum err_kind collect(struct store *st, struct err *e)
{
	struct collect_item items[COLLECT_MAX];

	for (;;) {
		size_t n = gc_due(st, items);
		enum err_kind k = store_collect(st, items, n, e);

		if (k != ERR_OK || n == 0)
			return k;
	}
}

static enum err_kind run_collect(struct store *st, const char *dir, struct err *e)
{
	(void)dir;
	st->options.trash_keep_ms = 0;
	return collect(st, e);
}

static void check_collected(const char *dir)
{
	struct digest loose = digest_of("loose"), layer = digest_of("untagged"),
		      image = image_digest("untagged");
	struct store *st = must_open(dir, "root");

	MUST(!gc_has_file(st, &loose) && !gc_has_file(st, &layer) && !gc_has_file(st, &image));
	MUST(!gc_has_manifest(st, "a", &image) && !gc_has_blob(st, "b", "loose"));
	store_close(&st);
	look_at_live(dir);
}

/* --- the trash --- */

static void prepare_trash(const char *dir)
{
	struct store *st = must_open(dir, "root");
	struct repo_name r = repo_of("a");
	struct digest d;
	struct err e;

	prepare_live(st);
	d = gc_push_image(st, "a", "config", "trashed", "back");
	MUST(repo_manifest_delete(st, &r, &d, NULL, &e) == ERR_OK);
	MUST(collect(st, &e) == ERR_OK);
	MUST(gc_trash_rows(st) == 2 && !gc_has_blob(st, "a", "trashed"));
	store_close(&st);
}

static enum err_kind run_empty(struct store *st, const char *dir, struct err *e)
{
	size_t n = 0;
	enum err_kind k = trash_expire(st, UINT64_MAX, 100, &n, e);

	(void)dir;
	return k == ERR_OK ? collect(st, e) : k;
}

static void check_emptied(const char *dir)
{
	struct digest layer = digest_of("trashed"), image = image_digest("trashed");
	struct store *st = must_open(dir, "root");

	MUST(gc_trash_rows(st) == 0);
	MUST(!gc_has_file(st, &layer) && !gc_has_file(st, &image));
	store_close(&st);
	look_at_live(dir);
}

/* Again is well, too: what is back needs nothing. */
static enum err_kind run_restore(struct store *st, const char *dir, struct err *e)
{
	struct digest d = image_digest("trashed");
	uint64_t id = gc_trash_id(st, &d);

	(void)dir;
	return id ? trash_restore(st, id, NULL, e) : ERR_OK;
}

/* It is in the trash or back, and then whole. */
static void look_at_restored(const char *dir)
{
	struct digest d = image_digest("trashed");
	struct store *st = must_open(dir, "root");

	if (gc_has_manifest(st, "a", &d))
		must_have(st, "trashed", "back");
	else
		MUST(gc_trash_id(st, &d));
	store_close(&st);
	look_at_live(dir);
}

static void check_restored(const char *dir)
{
	struct store *st = must_open(dir, "root");

	must_have(st, "trashed", "back");
	store_close(&st);
	look_at_live(dir);
}

/* --- scrub --- */

static void prepare_damage(const char *dir)
{
	struct digest d = image_digest("live");
	char root[PATH_TEXT_MAX], name[64 + DIGEST_HEX_MAX], hex[DIGEST_HEX_MAX + 1];
	struct store *st = must_open(dir, "root");
	AUTO_SBUF b = { 0 };

	prepare_live(st);
	store_close(&st);
	digest_hex(&d, hex);
	(void)snprintf(name, sizeof(name), "blobs/sha256/%.2s/%s", hex, hex);
	b = file_read(in_dir(dir, "root", root), name);
	b.p[3] ^= 1;
	file_write(root, name, (struct str){ b.p, b.n });
}

static enum err_kind run_scrub(struct store *st, const char *dir, struct err *e)
{
	struct object_item items[8];
	enum scrub_outcome outcome;
	size_t n;
	enum err_kind k = index_object_page(store_index(st), NULL, 8, items, &n, e);

	(void)dir;
	for (size_t i = 0; k == ERR_OK && i < n; i++)
		k = scrub_object(st, &items[i], NULL, NULL, &outcome, e);
	return k;
}

/* Served or not, but not lost: the index has the bytes. */
static void look_at_damaged(const char *dir)
{
	struct digest at;
	struct store *st = must_open(dir, "root");

	at = gc_tag(st, "a", "live");
	MUST(at.alg);
	store_close(&st);
}

/* A read that failed looks like damage, until the next round. */
static void check_scrubbed(const char *dir)
{
	struct store *st = must_open(dir, "root");
	struct err e;

	MUST(run_scrub(st, dir, &e) == ERR_OK);
	store_close(&st);
	look_at_live(dir);
}

/* --- backup --- */

/* An earlier copy, and what has changed since. */
static void prepare_copy(const char *dir)
{
	struct store *st = must_open(dir, "root");
	struct backup_result r;
	char copy[PATH_TEXT_MAX];
	struct err e;

	prepare_live(st);
	push_blob(st, "b", "loose");
	MUST(store_backup(st, in_dir(dir, "copy", copy), NULL, NULL, &r, &e) == ERR_OK);
	(void)gc_push_image(st, "a", "config", "since", "since");
	MUST(run_collect(st, dir, &e) == ERR_OK);
	store_close(&st);
}

static enum err_kind run_backup(struct store *st, const char *dir, struct err *e)
{
	struct backup_result r;
	char copy[PATH_TEXT_MAX];

	return store_backup(st, in_dir(dir, "copy", copy), NULL, NULL, &r, e);
}

/* The store has all of one moment, and nothing wrong; tells whether that is the second copy's. */
static bool is_second_copy(const char *dir, const char *name, void (*check)(struct store *st))
{
	struct store *st = must_open(dir, name);
	bool is_second;

	must_have(st, "live", "live");
	is_second = gc_tag(st, "a", "since").alg != 0;
	if (is_second)
		must_have(st, "since", "since");
	MUST(gc_has_blob(st, "b", "loose") == !is_second);
	check(st);
	store_close(&st);
	return is_second;
}

/* A copy is a store itself. */
static void look_at_copy(const char *dir)
{
	(void)is_second_copy(dir, "copy", must_be_sound_copy);
	look_at_live(dir);
}

static void check_copy(const char *dir)
{
	char copy[PATH_TEXT_MAX], back[PATH_TEXT_MAX];
	struct store_options o = options_of(in_dir(dir, "back", back));
	struct backup_result r;
	struct err e = { .msg = "" };

	if (store_restore(&o, in_dir(dir, "copy", copy), false, NULL, NULL, &r, &e) != ERR_OK)
		(void)fprintf(stderr, "# restore: %s\n", e.msg);
	MUST(is_second_copy(dir, "back", must_be_sound));
}

/* --- rebuild --- */

static void prepare_log(const char *dir)
{
	struct history h = { .random = 21 };
	struct store *st = must_open(dir, "root");

	prepare_live(st);
	history_run(&h, st, 20);
	store_close(&st);
}

static void prepare_lost(const char *dir)
{
	char index[PATH_TEXT_MAX];

	prepare_log(dir);
	temp_dir_remove(in_dir(dir, "root/index", index));
}

static enum err_kind run_rebuild(struct store *st, const char *dir, struct err *e)
{
	char root[PATH_TEXT_MAX];
	struct store_options o = options_of(in_dir(dir, "root", root));
	struct rebuild_result r;

	(void)st;
	return store_rebuild(&o, NULL, NULL, &r, e);
}

/* An index that was lost is not there, or is the whole new one. */
static void look_at_lost(const char *dir)
{
	if (file_exists(dir, "root/index/data.mdb"))
		look_at_live(dir);
}

/* --- the list --- */

const struct gcop gcops[] = {
	{ "a collection", false, prepare_garbage, run_collect, look_at_live, check_collected },
	{ "an emptied trash", false, prepare_trash, run_empty, look_at_live, check_emptied },
	{ "a restore", false, prepare_trash, run_restore, look_at_restored, check_restored },
	{ "a scrub that heals", false, prepare_damage, run_scrub, look_at_damaged, check_scrubbed },
	{ "a backup", false, prepare_copy, run_backup, look_at_copy, check_copy },
	{ "a rebuild", true, prepare_log, run_rebuild, look_at_live, look_at_live },
	{ "a rebuild of a lost index", true, prepare_lost, run_rebuild, look_at_lost,
	  look_at_live },
};
const size_t gcops_n = sizeof(gcops) / sizeof(gcops[0]);

/* --- its calls --- */

#define SEEN_MAX 4096
#define ENDS 3 /* of a run of openat, at either end */

static struct {
	struct gccall at[SEEN_MAX];
	size_t n;
} seen;

static void note_call(const char *call, int fd)
{
	(void)fd;
	MUST(seen.n < SEEN_MAX);
	seen.at[seen.n++] = (struct gccall){ .name = call, .n = fault_count() };
}

static bool is_open(size_t i)
{
	return i < seen.n && strcmp(seen.at[i].name, "openat") == 0;
}

/* With as much of its kind on both sides. */
static bool is_in_a_run(size_t i)
{
	for (size_t k = 0; k <= ENDS; k++) {
		if (i < k || !is_open(i - k) || !is_open(i + k))
			return false;
	}
	return true;
}

size_t gcop_calls(const struct gcop *op, struct gccall ret[static GCCALLS_MAX])
{
	struct store *st = NULL;
	char dir[64];
	size_t n = 0;
	struct err e;

	temp_dir_make(dir, sizeof(dir));
	op->prepare(dir);
	MUST(gcop_open(op, dir, &st, &e) == ERR_OK);
	seen.n = 0;
	fault_arm(0, 0, FAULT_NONE);
	fault_observe(note_call);
	MUST(op->run(st, dir, &e) == ERR_OK);
	fault_observe(NULL);
	(void)fault_disarm();
	store_close(&st);
	op->check(dir);
	temp_dir_remove(dir);
	for (size_t i = 0; i < seen.n; i++) {
		if (is_in_a_run(i))
			continue;
		MUST(n < GCCALLS_MAX);
		ret[n] = seen.at[i];
		ret[n++].is_last = !is_open(i) || !is_open(i + 1);
	}
	return n;
}
