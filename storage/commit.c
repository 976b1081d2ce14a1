#include "storage/commit.h"

#include "base/clock.h"
#include "base/lock.h"

/* Bounds the wait of the first in a transaction, and the pages that LMDB keeps of the largest one: some ten a change. */
#define BATCH_MAX 2048

/* A caller of commit_change, on its own stack until done. */
struct waiter {
	struct waiter *next;
	struct change *change;
	pthread_cond_t woken;
	bool done; /* under the committer's lock */
	enum err_kind kind;
	struct err err;
};

struct committer {
	struct index *ix;
	struct reflog *log;
	bool damaged; /* a failed batch is not undone yet; the working thread's only */
	bool has_thread;
	pthread_t thread;
	struct lock mu;
	pthread_cond_t work;
	struct waiter *head, **tail; /* under mu */
	bool stopping;               /* under mu */
	bool working;                /* under mu: without a thread, some caller is at it */
	struct commit_stats stats;   /* under mu */
	struct histogram took;
};

/* Brings index and reflog to the last state that both have (C3). */
static enum err_kind repair(struct committer *c, struct err *e)
{
	struct reflog_mark mark;
	enum err_kind k = index_recover(c->ix, e);

	if (k == ERR_OK)
		k = index_mark_read(c->ix, &mark, e);
	if (k == ERR_OK)
		k = reflog_rewind(c->log, &mark, e);
	c->damaged = k != ERR_OK;
	return k;
}

static enum err_kind apply_all(struct committer *c, struct index_txn *t, struct waiter *batch,
			       struct err *e)
{
	for (struct waiter *w = batch; w; w = w->next) {
		enum err_kind k = index_apply(t, w->change, &w->err);

		w->kind = k;
		if (k == ERR_OK)
			k = reflog_add(c->log, w->change, &w->err);
		if (k != ERR_OK && !index_refused(k)) {
			*e = w->err;
			return k;
		}
	}
	return ERR_OK;
}

/* One transaction.  On failure nothing of it remains but, after a failed sync, the need of repair. */
static enum err_kind try_batch(struct committer *c, struct waiter *batch, struct err *e)
{
	AUTO_INDEX_TXN *t = NULL;
	struct reflog_mark mark;
	enum err_kind k = index_begin(c->ix, &t, e);

	if (k == ERR_OK)
		k = apply_all(c, t, batch, e);
	if (k != ERR_OK) {
		reflog_drop(c->log);
		return k;
	}
	k = reflog_sync(c->log, &mark, e);
	if (k == ERR_OK)
		k = index_mark_put(t, &mark, e);
	if (k == ERR_OK)
		k = index_commit(&t, e);
	if (k == ERR_OK)
		reflog_accept(c->log, &mark);
	else
		c->damaged = true;
	return k;
}

/* With a map that is full the batch is tried again in a larger one. */
static enum err_kind run_once(struct committer *c, struct waiter *batch, struct err *e)
{
	for (;;) {
		enum err_kind k = c->damaged ? repair(c, e) : ERR_OK;

		if (k == ERR_OK)
			k = try_batch(c, batch, e);
		if (k == ERR_OK || !index_is_full(e))
			return k;
		if (c->damaged) {
			k = repair(c, e);
			if (k != ERR_OK)
				return k;
		}
		k = index_grow(c->ix, e);
		if (k != ERR_OK)
			return k;
	}
}

static void run_alone(struct committer *c, struct waiter *w)
{
	struct waiter *next = TAKE(w->next);
	struct err e = { 0 };
	enum err_kind k = run_once(c, w, &e);

	if (k != ERR_OK) {
		w->kind = k;
		w->err = e;
	}
	w->next = next;
}

/* A batch that fails as a whole is tried change by change, so that only the culprit fails (C2). */
static void run_batch(struct committer *c, struct waiter *batch)
{
	struct err e = { 0 };

	if (!batch->next) {
		run_alone(c, batch);
	} else if (run_once(c, batch, &e) != ERR_OK) {
		for (struct waiter *w = batch; w; w = w->next)
			run_alone(c, w);
	}
	if (c->damaged)
		(void)repair(c, &e); /* if it fails: tried again before the next change */
}

/* Takes up to BATCH_MAX waiters off the queue. */
static struct waiter *take_batch(struct committer *c) TSA(requires_capability(c->mu))
{
	struct waiter *batch = c->head, **end = &batch;

	for (unsigned n = 0; *end && n < BATCH_MAX; n++)
		end = &(*end)->next;
	c->head = *end;
	*end = NULL;
	if (!c->head)
		c->tail = &c->head;
	return batch;
}

/* Somebody waits for the answer, or at least did not come by himself. */
static bool is_for_client(const struct change *ch)
{
	return ch->kind <= CHANGE_UPLOAD_CLOSE && !ch->by_gc;
}

static void answer(struct committer *c, struct waiter *batch) TSA(requires_capability(c->mu))
{
	c->stats.batches++;
	while (batch) {
		struct waiter *next = batch->next; /* a waiter is gone once it is done */

		c->stats.changes++;
		c->stats.for_clients += is_for_client(batch->change);
		c->stats.failures += batch->kind != ERR_OK && !index_refused(batch->kind);
		batch->done = true;
		(void)pthread_cond_signal(&batch->woken);
		batch = next;
	}
}

/* Called and left with the lock held. */
static void work_once(struct committer *c) TSA(requires_capability(c->mu))
{
	struct waiter *batch = take_batch(c);
	uint64_t began = mono_us();

	c->stats.busy = true;
	lock_put(&c->mu);
	run_batch(c, batch);
	lock_get(&c->mu);
	histogram_add(&c->took, mono_us() - began);
	c->stats.stuck = c->damaged;
	c->stats.busy = false;
	answer(c, batch);
}

static void *committer_main(void *arg)
{
	struct committer *c = arg;

	(void)pthread_setname_np(pthread_self(), "committer"); /* for who looks at threads */
	lock_get(&c->mu);
	for (;;) {
		while (!c->head && !c->stopping)
			(void)lock_wait(&c->mu, &c->work, 0);
		if (!c->head)
			break;
		work_once(c);
	}
	lock_put(&c->mu);
	return NULL;
}

/* Queues the waiters and returns when the last of them is done. */
static void commit_all(struct committer *c, struct waiter *w, size_t n)
{
	lock_get(&c->mu);
	for (size_t i = 0; i < n; i++) {
		*c->tail = &w[i]; /* taken off the queue before it is done */
		c->tail = &w[i].next;
	}
	if (c->has_thread) {
		(void)pthread_cond_signal(&c->work);
	} else if (!c->working) {
		c->working = true;
		while (c->head)
			work_once(c);
		c->working = false;
	}
	for (size_t i = 0; i < n; i++) {
		while (!w[i].done)
			(void)lock_wait(&c->mu, &w[i].woken, 0);
	}
	lock_put(&c->mu);
}

enum err_kind commit_change(struct committer *c, struct change *ch, struct err *e)
{
	struct waiter w = { .change = ch };

	cond_init(&w.woken);
	commit_all(c, &w, 1);
	(void)pthread_cond_destroy(&w.woken);
	if (w.kind != ERR_OK)
		*e = w.err;
	return w.kind;
}

enum err_kind commit_changes(struct committer *c, struct change *changes, size_t n,
			     enum err_kind *ret_kinds, struct err *e)
{
	AUTO_FREE struct waiter *w = calloc(n + 1, sizeof(*w));
	enum err_kind k = ERR_OK;

	if (!w)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for %zu changes", n);
	for (size_t i = 0; i < n; i++) {
		w[i].change = &changes[i];
		cond_init(&w[i].woken);
	}
	commit_all(c, w, n);
	for (size_t i = 0; i < n; i++) {
		(void)pthread_cond_destroy(&w[i].woken);
		ret_kinds[i] = w[i].kind;
		if (k == ERR_OK && w[i].kind != ERR_OK && !index_refused(w[i].kind)) {
			k = w[i].kind;
			*e = w[i].err;
		}
	}
	return k;
}

enum err_kind committer_start(struct index *ix, struct reflog **log, bool with_thread,
			      struct committer **ret, struct err *e)
{
	struct committer *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the committer");
	c->ix = ix;
	c->tail = &c->head;
	lock_init(&c->mu, LOCK_COMMITTER);
	cond_init(&c->work);
	c->log = TAKE(*log);
	if (with_thread && pthread_create(&c->thread, NULL, committer_main, c) != 0) {
		committer_stop(&c);
		return err_set(e, ERR_NO_MEMORY, __func__, "no thread for the committer");
	}
	c->has_thread = with_thread;
	*ret = c;
	return ERR_OK;
}

void committer_stop(struct committer **c)
{
	struct committer *p = TAKE(*c);

	if (!p)
		return;
	if (p->has_thread) {
		lock_get(&p->mu);
		p->stopping = true;
		(void)pthread_cond_signal(&p->work);
		lock_put(&p->mu);
		(void)pthread_join(p->thread, NULL);
	}
	reflog_close(&p->log);
	(void)pthread_cond_destroy(&p->work);
	lock_clear(&p->mu);
	free(p);
}

struct commit_stats committer_stats(struct committer *c)
{
	struct commit_stats s;

	lock_get(&c->mu);
	s = c->stats;
	s.took = &c->took;
	for (const struct waiter *w = c->head; w; w = w->next)
		s.queued++;
	lock_put(&c->mu);
	return s;
}
