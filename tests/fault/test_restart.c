/* What a restart leaves of leases, and what SIGKILL at each named step leaves of a push, a collection and a restore. */
#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/step.h"
#include "storage/store_impl.h"
#include "tests/fault/race_actors.h"
#include "tests/lib/unit.h"

#define assert_whole(why) assert_string_equal((why) ? (why) : "", "")

/* --- leases --- */

/* How the last process ended, as the next one sees it. */
static const struct restart {
	const char *name;
	bool in_order;
	bool same_boot;
	uint64_t ago_ms; /* of an end in order */
	enum verdict verdict;
} restarts[] = {
	{ "in order, just now", true, true, 0, VERDICT_LEASED },
	{ "in order, half a lease ago", true, true, GC_LEASE_MS / 2, VERDICT_LEASED },
	{ "in order, a lease ago", true, true, GC_LEASE_MS, VERDICT_LINK },
	{ "in order, before the machine was started", true, false, GC_LEASE_MS, VERDICT_LEASED },
	{ "not in order", false, true, 0, VERDICT_LEASED },
};

static void put_closed_row(const char *root, const struct closed_row *row)
{
	struct change c = { .kind = CHANGE_CLOSED, .closed = row };
	AUTO_FREE char *dir = NULL;
	struct index_txn *t = NULL;
	struct index *ix = NULL;
	struct err e;

	assert_true(asprintf(&dir, "%s/index", root) > 0);
	assert_ok(index_open(dir, store_options_of(root).map_bytes, &ix, &e), &e);
	assert_ok(index_begin(ix, &t, &e), &e);
	assert_ok(index_apply(t, &c, &e), &e);
	assert_ok(index_commit(&t, &e), &e);
	index_close(&ix);
}

static struct closed_row closed_row_of(const char *root)
{
	AUTO_FREE char *dir = NULL;
	struct closed_row row;
	struct index *ix = NULL;
	struct err e;

	assert_true(asprintf(&dir, "%s/index", root) > 0);
	assert_ok(index_open(dir, store_options_of(root).map_bytes, &ix, &e), &e);
	assert_ok(index_closed_read(ix, &row, &e), &e);
	index_close(&ix);
	return row;
}

/* The clock of the machine may not have run for a lease time yet: then the row would be before its start. */
static bool can_be_ago(uint64_t ms)
{
	if (up_ms() > ms)
		return true;
	print_message("# the machine has not been up for long enough\n");
	return false;
}

static void test_restart(void **state)
{
	const struct restart *row = *state;
	const char *root = unit_dir();
	struct actor ask = { 0 }, collect = { 0 };

	if (!can_be_ago(row->ago_ms))
		skip();
	scene_open(root, 0);
	push_free_layer();
	assert_ok(actor_run(&ask, act_ask_blob), &ask.e);
	if (row->in_order) {
		struct closed_row closed;

		store_close(&scene);
		closed = closed_row_of(root);
		closed.up_ms -= row->ago_ms;
		closed.boot[0] ^= row->same_boot ? 0 : 0xff;
		put_closed_row(root, &closed);
	} else {
		gc_store_drop(&scene);
	}
	scene = gc_store_open(root, 0);
	actor_run(&collect, act_collect);
	assert_int_equal(collect.verdict, row->verdict);
	if (row->verdict == VERDICT_LEASED)
		assert_whole(why_not_accepted());
	scene_close();
}

/* An end in order counts once: what came after it may have been told of. */
static void test_closed_once(void **state)
{
	const char *root = unit_dir();
	struct closed_row closed;
	struct actor ask = { 0 }, collect = { 0 };

	(void)state;
	if (!can_be_ago(GC_LEASE_MS))
		skip();
	scene_open(root, 0);
	push_free_layer();
	store_close(&scene);
	closed = closed_row_of(root);
	closed.up_ms -= GC_LEASE_MS;
	put_closed_row(root, &closed);
	scene = gc_store_open(root, 0);
	assert_ok(actor_run(&ask, act_ask_blob), &ask.e);
	gc_store_drop(&scene);
	scene = gc_store_open(root, 0);
	actor_run(&collect, act_collect);
	assert_int_equal(collect.verdict, VERDICT_LEASED);
	scene_close();
}

/* --- SIGKILL --- */

static const char *kill_step;

static void kill_at(const char *name)
{
	if (strcmp(name, kill_step) == 0)
		(void)raise(SIGKILL);
}

/* Runs fn in a process of its own, which is killed at the step. */
static void killed_at(const char *step, void (*fn)(const char *root), const char *root)
{
	int status;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		(void)signal(SIGABRT, SIG_DFL);
		kill_step = step;
		fn(root);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void collect_content(const char *root)
{
	struct actor gone = { 0 }, collect = { .only_content = true };

	scene_open(root, 0);
	push_free_layer();
	MUST(actor_run(&gone, act_delete_blob) == ERR_OK);
	step_observe(kill_at);
	actor_run(&collect, act_collect);
}

static const struct kill {
	const char *name, *step;
	bool is_left;
} collect_kills[] = {
	{ "before C3", "collect.seized", true },
	{ "after C3", "collect.committed", false },
	{ "after C4", "collect.unlinked", false },
};

static uint64_t doomed_rows(void)
{
	struct kv_stat s;
	struct err e;

	assert_ok(index_stat(store_index(scene), &s, &e), &e);
	return s.entries[KV_DOOMED];
}

static void test_kill_collection(void **state)
{
	const struct kill *row = *state;
	const char *root = unit_dir();
	struct digest layer = digest_of(RACE_LAYER);
	struct object_row object;
	struct err e;

	killed_at(row->step, collect_content, root);
	scene_open(root, 0);
	assert_int_equal(doomed_rows(), 0);
	assert_int_equal(gc_has_file(scene, &layer), row->is_left);
	assert_int_equal(index_object_find(store_index(scene), &layer, &object, NULL, &e),
			 row->is_left ? ERR_OK : ERR_NOT_FOUND);
	gc_collect_all(scene);
	assert_false(gc_has_file(scene, &layer));
	push_blob(scene, "a", RACE_LAYER);
	push_blob(scene, "a", RACE_CONFIG);
	assert_whole(why_not_accepted());
	scene_close();
}

static void push_layer(const char *root)
{
	struct actor push = { 0 };

	scene_open(root, 0);
	(void)gc_push_image(scene, "a", RACE_CONFIG, "base", "keep");
	step_observe(kill_at);
	actor_run(&push, act_push);
}

/* The same while another repository has the content: its file is replaced, and must not go. */
static void push_layer_again(const char *root)
{
	scene_open(root, 0);
	push_blob(scene, "b", RACE_LAYER);
	store_close(&scene);
	push_layer(root);
}

static void put_manifest(const char *root)
{
	AUTO_SBUF b = race_image("killed");
	struct actor put = { .body = { b.p, b.n }, .tag = "v1" };

	scene_open(root, 0);
	push_free_layer();
	step_observe(kill_at);
	actor_run(&put, act_put);
}

static const struct push_kill {
	const char *name, *step;
	void (*fn)(const char *root);
	bool is_pushed;
} push_kills[] = {
	{ "a blob, claimed", "publish.claimed", push_layer, false },
	{ "a blob, placed", "publish.placed", push_layer, false },
	{ "a blob, committed", "publish.committed", push_layer, true },
	{ "a blob that is there, placed", "publish.placed", push_layer_again, false },
	{ "a blob that is there, committed", "publish.committed", push_layer_again, true },
	{ "a manifest, claimed", "publish.claimed", put_manifest, false },
	{ "a manifest, placed", "publish.placed", put_manifest, false },
	{ "a manifest, committed", "publish.committed", put_manifest, true },
};

static void test_kill_push(void **state)
{
	const struct push_kill *row = *state;
	AUTO_SBUF b = race_image("killed");
	struct digest d = digest_of(b.p), layer = digest_of(RACE_LAYER), at;
	const char *root = unit_dir();
	bool is_manifest = row->fn == put_manifest;

	killed_at(row->step, row->fn, root);
	scene_open(root, 0);
	assert_int_equal(dir_count(root, "uploads"), 0);
	if (is_manifest) {
		at = gc_tag(scene, "a", "v1");
		assert_int_equal(digest_eq(&at, &d), row->is_pushed);
		assert_int_equal(gc_has_file(scene, &d), row->is_pushed);
	} else {
		assert_int_equal(gc_has_blob(scene, "a", RACE_LAYER), row->is_pushed);
		assert_int_equal(gc_has_file(scene, &layer),
				 row->is_pushed || row->fn == push_layer_again);
		push_blob(scene, "a", RACE_LAYER);
	}
	assert_whole(why_not_accepted());
	scene_close();
}

static void restore_image(const char *root)
{
	struct actor gone = { 0 }, restore = { 0 };

	scene_open(root, GC_TRASH_MS);
	gone.digest = gc_push_image(scene, "a", RACE_CONFIG, RACE_LAYER, "v1");
	MUST(actor_run(&gone, act_delete_manifest) == ERR_OK);
	gc_collect_all(scene);
	restore.trash_id = gc_trash_id(scene, &gone.digest);
	step_observe(kill_at);
	actor_run(&restore, act_restore);
}

static const struct restore_kill {
	const char *name, *step;
	bool is_back;
} restore_kills[] = {
	{ "its row read", "restore.read", false },
	{ "its blobs back", "restore.linked", false },
	{ "its bytes read", "restore.bytes", false },
	{ "its file placed", "publish.placed", false },
	{ "its transaction done", "publish.committed", true },
	{ "all but its row done", "restore.put", true },
};

/* Half a restore can be done again. */
static void test_kill_restore(void **state)
{
	const struct restore_kill *row = *state;
	AUTO_SBUF b = gc_image(RACE_CONFIG, RACE_LAYER, "");
	struct digest d = digest_of(b.p), at;
	const char *root = unit_dir();
	struct actor restore = { 0 };

	killed_at(row->step, restore_image, root);
	scene_open(root, GC_TRASH_MS);
	assert_int_equal(gc_has_manifest(scene, "a", &d), row->is_back);
	restore.trash_id = gc_trash_id(scene, &d);
	assert_int_not_equal(restore.trash_id, 0);
	assert_ok(actor_run(&restore, act_restore), &restore.e);
	at = gc_tag(scene, "a", "v1");
	assert_true(digest_eq(&at, &d));
	assert_whole(gc_why_not_whole(scene, "a", &d));
	scene_close();
}

int main(void)
{
	UNIT_TABLE("leases after an end", test_restart, restarts);
	unit_case("an end in order counts once", test_closed_once);
	UNIT_TABLE("a collection, killed", test_kill_collection, collect_kills);
	UNIT_TABLE("a push, killed", test_kill_push, push_kills);
	UNIT_TABLE("a restore, killed", test_kill_restore, restore_kills);
	return unit_run();
}
