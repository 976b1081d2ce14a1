#include "storage/commit.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "tests/lib/index_fixture.h"
#include "tests/lib/sync_hook.h"
#include "tests/lib/unit.h"

/* An index and a log of their own, and who commits to them. */
struct rig {
	const char *index_dir, *log_dir;
	int log_fd;
	struct index *ix;
	struct committer *c;
};

static void rig_start(struct rig *r, bool with_thread, uint64_t map_bytes)
{
	struct reflog *l = NULL;
	struct reflog_mark mark;
	struct err e;

	assert_ok(index_open(r->index_dir, map_bytes, &r->ix, &e), &e);
	assert_ok(index_mark_read(r->ix, &mark, &e), &e);
	assert_ok(reflog_open(r->log_fd, &mark, &l, &e), &e);
	assert_ok(committer_start(r->ix, &l, with_thread, &r->c, &e), &e);
	assert_null(l);
}

static void rig_stop(struct rig *r)
{
	committer_stop(&r->c);
	assert_null(r->c);
	committer_stop(&r->c);
	index_check(r->ix);
	index_close(&r->ix);
}

static struct rig rig_new(bool with_thread, uint64_t map_bytes)
{
	struct rig r = { .index_dir = unit_dir(), .log_dir = unit_dir() };

	r.log_fd = open(r.log_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(r.log_fd >= 0);
	rig_start(&r, with_thread, map_bytes);
	return r;
}

static void rig_end(struct rig *r)
{
	rig_stop(r);
	fd_close(&r->log_fd);
}

static enum err_kind link_one(struct committer *c, const char *repo, const char *text,
			      struct err *e)
{
	struct change ch = link_change(repo, text);

	return commit_change(c, &ch, e);
}

/* Records of the log in all, in the order of their numbers and without a gap. */
static uint64_t count_records(const struct rig *r)
{
	uint64_t seq = 0;
	char name[64];

	for (;;) {
		(void)snprintf(name, sizeof(name), "%llu.jsonl", (unsigned long long)seq + 1);
		if (!file_exists(r->log_dir, name))
			return seq;
		AUTO_SBUF b = file_read(r->log_dir, name);
		struct str rest = { b.p, b.n }, line;

		while (str_cut(rest, '\n', &line, &rest)) {
			AUTO_REFLOG_RECORD rec = { 0 };
			struct err e;

			MUST(reflog_record_parse(line, &rec, &e) == ERR_OK && rec.seq == ++seq);
		}
		MUST(line.n == 0);
	}
}

/* Index and log agree on what was acknowledged. */
static void assert_state(const struct rig *r, uint64_t links)
{
	struct reflog_mark m;
	struct err e;

	assert_int_equal(index_entries(r->ix, ENTRY_LINK), links);
	assert_int_equal(count_records(r), links);
	assert_ok(index_mark_read(r->ix, &m, &e), &e);
	assert_int_equal(m.seq, links);
}

static const struct mode {
	const char *name;
	bool with_thread;
} modes[] = { { "with a thread", true }, { "without", false } };

static void test_one(void **state)
{
	const struct mode *m = *state;
	struct rig r = rig_new(m->with_thread, INDEX_MAP_BYTES);
	struct digest unknown = digest_of("unknown");
	struct change bad = change_of_kind(CHANGE_BLOB_UNLINK, "a", &unknown);
	struct commit_stats s;
	struct err e;

	assert_ok(link_one(r.c, "a", "one", &e), &e);
	assert_state(&r, 1);
	assert_err(commit_change(r.c, &bad, &e), ERR_NOT_FOUND, &e, "no blob");
	assert_state(&r, 1);
	assert_ok(link_one(r.c, "a", "two", &e), &e);
	assert_state(&r, 2);
	s = committer_stats(r.c);
	assert_int_equal(s.changes, 3);
	assert_int_equal(s.batches, 3);
	assert_int_equal(s.failures, 0); /* a refusal is none */
	rig_stop(&r);
	rig_start(&r, m->with_thread, INDEX_MAP_BYTES);
	assert_ok(link_one(r.c, "a", "three", &e), &e);
	assert_state(&r, 3);
	rig_end(&r);
}

/* --- many at once --- */

#define THREADS 16

struct caller {
	struct rig *r;
	unsigned i, times;
	bool bad; /* asks for what will be refused */
	_Atomic pid_t tid;
	unsigned ok, refused, failed;
	struct err last;
};

static void *call(void *arg)
{
	struct caller *me = arg;

	me->tid = (pid_t)syscall(SYS_gettid);
	for (unsigned n = 0; n < me->times; n++) {
		struct change c;
		char text[64];
		enum err_kind k;

		(void)snprintf(text, sizeof(text), "blob %u of %u", n, me->i);
		c = link_change("a", text);
		if (me->bad)
			c.kind = CHANGE_BLOB_UNLINK;
		k = commit_change(me->r->c, &c, &me->last);
		me->ok += k == ERR_OK;
		me->refused += index_refused(k);
		me->failed += k != ERR_OK && !index_refused(k);
	}
	return NULL;
}

static void start_callers(struct caller *c, pthread_t *t, struct rig *r, unsigned times)
{
	for (unsigned i = 0; i < THREADS; i++) {
		c[i] = (struct caller){ .r = r, .i = i, .times = times, .bad = i % 4 == 3 };
		MUST(pthread_create(&t[i], NULL, call, &c[i]) == 0);
	}
}

static void join_callers(pthread_t *t)
{
	for (unsigned i = 0; i < THREADS; i++)
		MUST(pthread_join(t[i], NULL) == 0);
}

/* Many threads, many times: each gets its own answer, and the map grows under them. */
static void test_many(void **state)
{
	const struct mode *m = *state;
	struct rig r = rig_new(m->with_thread, 1024 * 1024);
	struct caller c[THREADS];
	pthread_t t[THREADS];
	struct commit_stats s;

	start_callers(c, t, &r, 300);
	join_callers(t);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(c[i].ok, c[i].bad ? 0 : 300);
		assert_int_equal(c[i].refused, c[i].bad ? 300 : 0);
		assert_int_equal(c[i].failed, 0);
	}
	s = committer_stats(r.c);
	assert_int_equal(s.changes, THREADS * 300);
	assert_in_range(s.batches, 1, s.changes);
	assert_state(&r, THREADS * 300 * 3 / 4);
	rig_end(&r);
}

struct gathering {
	struct rig *r;
	struct caller *c;
	pthread_t *t;
};

/* While one batch is being synced, callers come in: all of them wait in the queue before it goes on. */
static void gather(void *arg)
{
	struct gathering *g = arg;

	start_callers(g->c, g->t, g->r, 1);
	for (unsigned i = 0; i < THREADS; i++) {
		while (!g->c[i].tid || !unit_thread_sleeps(g->c[i].tid))
			(void)sched_yield();
	}
}

/* C2: what was asked for at the same time shares one transaction and one set of syncs. */
static void test_group(void **state)
{
	const struct mode *m = *state;
	struct rig r = rig_new(m->with_thread, INDEX_MAP_BYTES);
	struct caller c[THREADS];
	pthread_t t[THREADS];
	struct gathering g = { &r, c, t };
	struct commit_stats s;
	unsigned syncs, one;
	struct err e;

	assert_ok(link_one(r.c, "a", "first", &e), &e);
	syncs = sync_count();
	assert_ok(link_one(r.c, "a", "second", &e), &e);
	one = sync_count() - syncs;
	assert_int_equal(one, 2); /* the log, then the index */
	syncs = sync_count();
	sync_call(1, gather, &g);
	assert_ok(link_one(r.c, "a", "third", &e), &e);
	join_callers(t);
	assert_true(sync_reset());
	assert_int_equal(sync_count() - syncs, 2 * one);
	s = committer_stats(r.c);
	assert_int_equal(s.batches, 4);
	assert_int_equal(s.changes, 3 + THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(c[i].ok, !c[i].bad);
		assert_int_equal(c[i].refused, c[i].bad); /* alone */
	}
	assert_state(&r, 3 + THREADS * 3 / 4);
	rig_end(&r);
}

static void gather_and_fail_next(void *arg)
{
	gather(arg);
	sync_fail(2, EIO); /* this batch's index, then the log of the next */
}

/* A batch that fails as a whole is tried change by change. */
static void test_group_fails(void **state)
{
	const struct mode *m = *state;
	struct rig r = rig_new(m->with_thread, INDEX_MAP_BYTES);
	struct caller c[THREADS];
	pthread_t t[THREADS];
	struct gathering g = { &r, c, t };
	struct err e;

	assert_ok(link_one(r.c, "a", "first", &e), &e);
	sync_call(1, gather_and_fail_next, &g);
	assert_ok(link_one(r.c, "a", "second", &e), &e);
	join_callers(t);
	assert_true(sync_reset());
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(c[i].ok, !c[i].bad);
		assert_int_equal(c[i].refused, c[i].bad);
	}
	assert_state(&r, 2 + THREADS * 3 / 4);
	rig_end(&r);
}

/* --- disks that fail --- */

static const struct fault {
	const char *name;
	bool with_thread;
	unsigned sync; /* which one fails */
	const char *message;
} faults[] = {
	{ "the log, with a thread", true, 1, "fdatasync reflog" },
	{ "the log, without", false, 1, "fdatasync reflog" },
	{ "the index, with a thread", true, 2, "index: commit" },
	{ "the index, without", false, 2, "index: commit" },
};

/* C3: after a failure the next change works, and both agree on what there is. */
static void test_fault(void **state)
{
	const struct fault *f = *state;
	struct rig r = rig_new(f->with_thread, INDEX_MAP_BYTES);
	struct commit_stats s;
	struct err e;

	assert_ok(link_one(r.c, "a", "first", &e), &e);
	sync_fail(f->sync, EIO);
	assert_err(link_one(r.c, "a", "lost", &e), ERR_IO, &e, f->message);
	assert_true(sync_reset());
	assert_state(&r, 1);
	assert_ok(link_one(r.c, "a", "second", &e), &e);
	assert_state(&r, 2);
	s = committer_stats(r.c);
	assert_int_equal(s.failures, 1);
	rig_stop(&r);
	rig_start(&r, f->with_thread, INDEX_MAP_BYTES);
	assert_state(&r, 2);
	rig_end(&r);
}

static void test_no_space(void **state)
{
	struct rig r = rig_new(false, INDEX_MAP_BYTES);
	struct rlimit old, small;
	struct err e;
	enum err_kind k;

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_ok(link_one(r.c, "a", "first", &e), &e);
	MUST(getrlimit(RLIMIT_FSIZE, &old) == 0);
	small = (struct rlimit){ .rlim_cur = 200, .rlim_max = old.rlim_max };
	MUST(setrlimit(RLIMIT_FSIZE, &small) == 0);
	k = link_one(r.c, "a", "lost", &e);
	MUST(setrlimit(RLIMIT_FSIZE, &old) == 0);
	assert_err(k, ERR_NO_SPACE, &e, "write reflog");
	assert_ok(link_one(r.c, "a", "second", &e), &e);
	assert_state(&r, 2);
	rig_end(&r);
}

/* The way back does not work at once either: every change fails until it does, and no restart is needed. */
static void test_repair_fails(void **state)
{
	struct rig r = rig_new(false, INDEX_MAP_BYTES);
	char aside[128];
	struct err e;

	(void)state;
	assert_ok(link_one(r.c, "a", "first", &e), &e);
	(void)snprintf(aside, sizeof(aside), "%s.aside", r.index_dir);
	MUST(rename(r.index_dir, aside) == 0);
	sync_fail(1, EIO);
	assert_err(link_one(r.c, "a", "lost", &e), ERR_IO, &e, "fdatasync reflog");
	assert_true(sync_reset());
	assert_err(link_one(r.c, "a", "lost", &e), ERR_NOT_FOUND, &e, "index: ");
	assert_err(link_one(r.c, "a", "lost", &e), ERR_NOT_FOUND, &e, "index: ");
	MUST(rename(aside, r.index_dir) == 0);
	assert_ok(link_one(r.c, "a", "second", &e), &e);
	assert_state(&r, 2);
	rig_end(&r);
}

/* A change that cannot be applied, though nothing is wrong with it: it fails alone, and the next one works. */
static void test_damage(void **state)
{
	struct rig r = rig_new(false, INDEX_MAP_BYTES);
	struct digest d = digest_of("first");
	struct change c = change_of_kind(CHANGE_BLOB_MOUNT, "b", &d);
	struct key k = content_key(&d, CONTENT_OBJECT);
	struct err e;

	(void)state;
	assert_ok(link_one(r.c, "a", "first", &e), &e);
	index_put_raw(r.ix, KV_CONTENT, key_str(&k), STR("bad"));
	assert_err(commit_change(r.c, &c, &e), ERR_CORRUPT, &e, "table content");
	assert_state(&r, 1);
	assert_ok(link_one(r.c, "a", "second", &e), &e);
	assert_state(&r, 2);
	committer_stop(&r.c); /* the tables are not to be checked: one row is bad */
	index_close(&r.ix);
	fd_close(&r.log_fd);
}

/* A full map in the middle of a change. */
static void test_grow(void **state)
{
	const struct mode *m = *state;
	struct rig r = rig_new(m->with_thread, 1024 * 1024);
	struct kv_stat before, after;
	struct err e;
	char text[64];
	unsigned n = 0;

	assert_ok(index_stat(r.ix, &before, &e), &e);
	do {
		(void)snprintf(text, sizeof(text), "blob %u", n++);
		assert_ok(link_one(r.c, "a", text, &e), &e);
		assert_ok(index_stat(r.ix, &after, &e), &e);
	} while (after.map_bytes < 4 * before.map_bytes);
	assert_state(&r, n);
	rig_end(&r);
}

int main(void)
{
	UNIT_TABLE("one by one", test_one, modes);
	UNIT_TABLE("many at once", test_many, modes);
	UNIT_TABLE("a group", test_group, modes);
	UNIT_TABLE("a group that fails", test_group_fails, modes);
	UNIT_TABLE("failed sync", test_fault, faults);
	unit_case("no space", test_no_space);
	unit_case("a way back that fails first", test_repair_fails);
	unit_case("damage", test_damage);
	UNIT_TABLE("a full map", test_grow, modes);
	return unit_run();
}
