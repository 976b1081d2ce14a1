/*
 * A power cut after each system call of a rebuild, a backup and a restore.  What was there before is never worse for it: the work
 * can be done again, with everything in the end; and what was said to be done is.
 */
#include "base/fd.h"
#include "base/sys.h"
#include "storage/backup.h"
#include "storage/rebuild.h"
#include "tests/fault/disk.h"
#include "tests/fault/steps.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define CALLS_MIN 10
#define ROUNDS 2
#define SAMPLE                                                                                     \
	16 /* of the calls that make nothing durable one in so many is looked at: most make directories of blobs */
#define HISTORY (STEP_TAG_MOVE + 1) /* steps: something of every kind is there */

static unsigned long golden[STEPS_N + 1];

struct places {
	char store[128], copy[128];
};

static struct places places_in(const char *dir)
{
	struct places p;

	(void)snprintf(p.store, sizeof(p.store), "%s/store", dir);
	(void)snprintf(p.copy, sizeof(p.copy), "%s/copy", dir);
	return p;
}

/* One of the three, and what is asked of what a cut leaves. */
struct work {
	const char *name;
	void (*prepare)(const struct places *p);
	enum err_kind (*run)(const struct places *p, struct err *e);
	/* After a cut, or after its end: is_done says that it had answered. */
	void (*check)(const struct places *p, bool is_done);
};

static struct {
	const struct work *work;
	struct disk *disk;
	unsigned luck;
	unsigned long calls;
	bool is_done;
	bool looks; /* after each call: not while it is prepared */
	const char *call;
} now;

#define assert_cut_ok(k, e, what)                                                                  \
	do {                                                                                       \
		if ((k) != ERR_OK)                                                                 \
			fail_msg("%s, power cut after call %lu, %s: %s: %s", now.work->name,       \
				 now.calls, now.call, what, (e)->msg);                             \
	} while (0)

static void assert_all_is_there(const char *root)
{
	struct store *st = NULL;
	struct err e = { 0 };
	enum err_kind k = steps_open(root, &st, &e);

	assert_cut_ok(k, &e, "open");
	if (steps_probe(st) != golden[HISTORY])
		fail_msg("%s, power cut after call %lu, %s: something is missing", now.work->name,
			 now.calls, now.call);
	store_close(&st);
}

static void make_history(const struct places *p)
{
	struct store *st = NULL;
	struct err e;

	MUST(mkdir(p->store, 0700) == 0);
	MUST(steps_open(p->store, &st, &e) == ERR_OK);
	for (unsigned i = 0; i < HISTORY; i++)
		MUST(steps_run(st, i, &e) == ERR_OK);
	store_close(&st);
}

/* --- rebuild --- */

static void prepare_rebuild(const struct places *p)
{
	char index[160];

	make_history(p);
	(void)snprintf(index, sizeof(index), "%s/index", p->store);
	temp_dir_remove(index);
}

static enum err_kind run_rebuild(const struct places *p, struct err *e)
{
	const struct store_options o = store_options_of(p->store);
	struct rebuild_result r;
	enum err_kind k = store_rebuild(&o, NULL, NULL, &r, e);

	MUST(k != ERR_OK || r.losses == 0);
	return k;
}

/* Until it is there, the store is not opened, and least of all as an empty one. */
static void check_rebuild(const struct places *p, bool is_done)
{
	struct store *st = NULL;
	struct err e = { 0 };
	bool opens = steps_open(p->store, &st, &e) == ERR_OK;

	store_close(&st);
	if (is_done && !opens)
		fail_msg("rebuilt, and does not open: %s", e.msg);
	if (!opens)
		assert_cut_ok(run_rebuild(p, &e), &e, "again");
	assert_all_is_there(p->store);
}

/* --- backup --- */

static enum err_kind run_backup(const struct places *p, struct err *e)
{
	struct store *st = NULL;
	struct backup_result r;
	enum err_kind k = steps_open(p->store, &st, e);

	if (k == ERR_OK)
		k = store_backup(st, p->copy, NULL, NULL, &r, e);
	store_close(&st);
	return k;
}

static void check_backup(const struct places *p, bool is_done)
{
	struct err e = { 0 };

	assert_all_is_there(p->store);
	if (!is_done)
		assert_cut_ok(run_backup(p, &e), &e, "again");
	assert_all_is_there(p->copy);
}

/* --- restore --- */

static void prepare_restore(const struct places *p)
{
	struct err e;

	make_history(p);
	MUST(run_backup(p, &e) == ERR_OK);
	temp_dir_remove(p->store);
}

static enum err_kind run_restore(const struct places *p, struct err *e)
{
	const struct store_options o = store_options_of(p->store);
	struct backup_result r;

	return store_restore(&o, p->copy, false, NULL, NULL, &r, e);
}

/* What is half there does not open; it is removed, and restored again. */
static void check_restore(const struct places *p, bool is_done)
{
	struct store_options o = store_options_of(p->store);
	struct store_recovery found;
	struct store *st = NULL;
	struct err e = { 0 };
	bool opens;

	o.must_exist = true;
	opens = store_open(&o, &st, &found, &e) == ERR_OK;
	store_close(&st);
	if (is_done && !opens)
		fail_msg("restored, and does not open: %s", e.msg);
	if (!opens) {
		if (access(p->store, F_OK) == 0)
			temp_dir_remove(p->store);
		assert_cut_ok(run_restore(p, &e), &e, "again");
	}
	assert_all_is_there(p->store);
}

/* --- cuts --- */

static void check_after_cut(const char *call)
{
	char dir[64];
	struct places p;

	now.call = call;
	temp_dir_make(dir, sizeof(dir));
	disk_copy(now.disk, dir, now.luck ? now.luck + (unsigned)now.calls : 0);
	p = places_in(dir);
	now.work->check(&p, now.is_done);
	temp_dir_remove(dir);
}

static void on_call(const char *call, int fd)
{
	bool is_more = disk_note(now.disk, call, fd);

	if (!now.looks)
		return;
	now.calls++;
	if (is_more || (now.luck && now.calls % SAMPLE == now.luck % SAMPLE))
		check_after_cut(call);
}

static void cut_everywhere(const struct work *w, unsigned luck)
{
	char dir[64];
	struct places p;
	struct err e = { 0 };
	AUTO_CLOSE fd = -1;

	temp_dir_make(dir, sizeof(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(fd >= 0);
	p = places_in(dir);
	now.work = w;
	now.disk = disk_begin(dir);
	now.luck = luck;
	now.calls = 0;
	now.is_done = now.looks = false;
	fault_observe(on_call);
	w->prepare(&p);
	MUST(sys_syncfs(fd) == 0);
	now.looks = true;
	assert_ok(w->run(&p, &e), &e);
	now.is_done = true;
	check_after_cut("the end");
	fault_observe(NULL);
	assert_in_range(now.calls, CALLS_MIN, 100000);
	disk_end(&now.disk);
	temp_dir_remove(dir);
}

static const struct work works[] = {
	{ "rebuild", prepare_rebuild, run_rebuild, check_rebuild },
	{ "backup", make_history, run_backup, check_backup },
	{ "restore", prepare_restore, run_restore, check_restore },
};

static void test_all_is_lost(void **state)
{
	cut_everywhere(*state, 0);
}

static void test_some_is_lost(void **state)
{
	for (unsigned i = 1; i <= ROUNDS; i++)
		cut_everywhere(*state, i * 1000003);
}

int main(void)
{
	/* The model alone decides what is durable: real syncs would only take time. */
	if (access("/dev/shm", W_OK) == 0)
		(void)setenv("TMPDIR", "/dev/shm", 0);
	steps_golden(golden);
	UNIT_TABLE("all that is not synced is lost", test_all_is_lost, works);
	UNIT_TABLE("some of it is lost", test_some_is_lost, works);
	return unit_run();
}
