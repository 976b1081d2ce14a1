#include "server/work.h"

#include "base/lock.h"

#define STACK_BYTES (1024u * 1024) /* the deepest JSON that may be configured fits */

struct work {
	struct lock mu;
	pthread_cond_t wake;
	struct job *head, **tail; /* under mu, as all below */
	unsigned queued;
	unsigned idle; /* threads that wait */
	bool stopping;
	unsigned n_threads, threads_max;
	pthread_t threads[];
};

static void *worker_main(void *arg)
{
	struct work *w = arg;

	lock_get(&w->mu);
	for (;;) {
		struct job *j;

		w->idle++;
		while (!w->head && !w->stopping)
			(void)lock_wait(&w->mu, &w->wake, 0);
		w->idle--;
		j = w->head;
		if (!j)
			break;
		w->head = j->next;
		if (!w->head)
			w->tail = &w->head;
		w->queued--;
		lock_put(&w->mu);
		j->run(j);
		lock_get(&w->mu);
	}
	lock_put(&w->mu);
	return NULL;
}

/* Under mu, or before anybody else knows of w. */
static bool add_thread(struct work *w)
{
	pthread_attr_t attr;
	bool added;

	if (pthread_attr_init(&attr) != 0 || pthread_attr_setstacksize(&attr, STACK_BYTES) != 0)
		abort();
	added = pthread_create(&w->threads[w->n_threads], &attr, worker_main, w) == 0;
	(void)pthread_attr_destroy(&attr);
	w->n_threads += added;
	return added;
}

enum err_kind work_start(unsigned threads_max, struct work **ret, struct err *e)
{
	struct work *w = calloc(1, sizeof(*w) + threads_max * sizeof(w->threads[0]));

	if (!w)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for workers");
	w->tail = &w->head;
	w->threads_max = threads_max;
	lock_init(&w->mu, LOCK_WORK);
	cond_init(&w->wake);
	if (threads_max && !add_thread(w)) {
		work_stop(&w);
		return err_set(e, ERR_NO_MEMORY, __func__, "no thread for workers");
	}
	*ret = w;
	return ERR_OK;
}

void work_stop(struct work **w)
{
	struct work *p = TAKE(*w);

	if (!p)
		return;
	lock_get(&p->mu);
	p->stopping = true;
	(void)pthread_cond_broadcast(&p->wake);
	lock_put(&p->mu);
	for (unsigned i = 0; i < p->n_threads; i++)
		(void)pthread_join(p->threads[i], NULL);
	(void)pthread_cond_destroy(&p->wake);
	lock_clear(&p->mu);
	free(p);
}

void work_submit(struct work *w, struct job *j)
{
	bool wake;

	if (w->threads_max == 0) {
		j->run(j);
		return;
	}
	j->next = NULL;
	lock_get(&w->mu);
	*w->tail = j;
	w->tail = &j->next;
	wake = ++w->queued <= w->idle;
	if (!wake && w->n_threads < w->threads_max && !w->stopping)
		(void)add_thread(w); /* without it the job waits for another's end */
	lock_put(&w->mu);
	if (wake)
		(void)pthread_cond_signal(&w->wake);
}

bool work_is_inline(const struct work *w)
{
	return w->threads_max == 0;
}

uint64_t work_queued(struct work *w)
{
	uint64_t n;

	lock_get(&w->mu);
	n = w->queued;
	lock_put(&w->mu);
	return n;
}
