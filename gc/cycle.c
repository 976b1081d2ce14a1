#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "gc/run.h"

struct gc {
	struct store *st;
	struct lock mu;
	struct gc_options options; /* under mu */
	pthread_cond_t changed;
	bool has_thread;
	pthread_t thread;
	bool stopping;           /* under mu */
	_Atomic bool stop_run;   /* read by a run that was asked for */
	_Atomic bool stop_own;   /* read by a run of the thread */
	bool own_runs;           /* under mu */
	struct gc_status status; /* under mu */
};

static struct gc_options own(const struct gc_options *o)
{
	struct gc_options copy = *o;

	if (copy.retention)
		copy.retention = retention_get(copy.retention);
	return copy;
}

enum err_kind gc_new(struct store *st, const struct gc_options *o, struct gc **ret, struct err *e)
{
	struct gc *g = calloc(1, sizeof(*g));

	if (!g)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for gc");
	g->st = st;
	g->options = own(o);
	lock_init(&g->mu, LOCK_GC);
	cond_init(&g->changed);
	*ret = g;
	return ERR_OK;
}

void gc_free(struct gc **take)
{
	struct gc *g = TAKE(*take);

	if (!g)
		return;
	gc_stop(g);
	retention_put(&g->options.retention);
	(void)pthread_cond_destroy(&g->changed);
	lock_clear(&g->mu);
	free(g);
}

void gc_set_options(struct gc *g, const struct gc_options *o)
{
	struct gc_options new = own(o), old;

	lock_get(&g->mu);
	old = g->options;
	g->options = new;
	(void)pthread_cond_broadcast(&g->changed);
	lock_put(&g->mu);
	retention_put(&old.retention);
}

static void add(struct gc_result *sum, const struct gc_result *r)
{
	sum->tags += r->tags;
	sum->manifests += r->manifests;
	sum->blobs += r->blobs;
	sum->contents += r->contents;
	sum->trash += r->trash;
	sum->bytes += r->bytes;
	sum->took_ms += r->took_ms;
}

/* Waits for its turn; false if there is none to come. */
static bool begin(struct gc *g)
{
	bool go;

	lock_get(&g->mu);
	while (g->status.running && !g->stopping)
		(void)lock_wait(&g->mu, &g->changed, 0);
	go = !g->stopping;
	if (go)
		g->status.running = true;
	lock_put(&g->mu);
	return go;
}

static void end(struct gc *g, const struct run *r, enum err_kind k, const struct err *e)
{
	lock_get(&g->mu);
	g->status.running = false;
	if (r->mode != GC_DRY_RUN) {
		g->status.cycles++;
		g->status.last = r->result;
		g->status.braked = r->result.braked;
		g->status.last_end_wall_ms = wall_ms();
		(void)str_copy(k == ERR_OK ? STR("") : str_of(e->msg), g->status.last_error,
			       sizeof(g->status.last_error));
		if (!r->result.braked)
			add(&g->status.total, &r->result);
	}
	(void)pthread_cond_broadcast(&g->changed);
	lock_put(&g->mu);
}

bool gc_hold(struct gc *g)
{
	return begin(g);
}

void gc_release(struct gc *g)
{
	lock_get(&g->mu);
	g->status.running = false;
	(void)pthread_cond_broadcast(&g->changed);
	lock_put(&g->mu);
}

static void log_result(const struct gc_result *r, enum err_kind k, const struct err *e)
{
	struct log_line l;

	if (k != ERR_OK)
		log_event(LOG_ERROR, "gc.failed", "%s", e->msg);
	if (r->braked) {
		log_event(LOG_WARN, "gc.brake",
			  "%u %% of the store would go, which is more than gc.max_share: look with "
			  "\"berthd gc "
			  "--dry-run\", confirm with \"berthd gc --confirm\"",
			  r->share);
		return;
	}
	if (!log_is_on(LOG_INFO) || r->tags + r->manifests + r->blobs + r->contents + r->trash == 0)
		return;
	log_begin(&l, LOG_INFO, "gc.cycle");
	log_num(&l, "tags", r->tags);
	log_num(&l, "manifests", r->manifests);
	log_num(&l, "blobs", r->blobs);
	log_num(&l, "contents", r->contents);
	log_num(&l, "bytes", r->bytes);
	log_num(&l, "trash", r->trash);
	log_num(&l, "leased", r->leased);
	log_num(&l, "ms", r->took_ms);
	log_end(&l);
}

static enum err_kind run(struct gc *g, struct run *r, struct err *e)
{
	struct gc_options options;
	enum err_kind k;

	r->st = g->st;
	if (!begin(g))
		return err_set(e, ERR_IN_USE, __func__, "the daemon is about to end");
	lock_get(&g->mu);
	options = own(&g->options);
	lock_put(&g->mu);
	r->options = &options;
	k = run_cycle(r, e);
	end(g, r, k, e);
	retention_put(&options.retention);
	if (r->mode != GC_DRY_RUN)
		log_result(&r->result, k, e);
	return k;
}

enum err_kind gc_run(struct gc *g, enum gc_mode mode, gc_action_fn *report, void *arg,
		     struct gc_result *ret, struct err *e)
{
	struct run r = { .mode = mode, .stop = &g->stop_run, .report = report, .arg = arg };
	enum err_kind k = run(g, &r, e);

	*ret = r.result;
	return k;
}

/* Until it is time for a cycle; false if the thread is to end. */
static bool wait_for_time(struct gc *g)
{
	uint64_t start = mono_ms();
	bool go;

	lock_get(&g->mu);
	while (!g->stopping && (g->status.paused || mono_ms() - start < g->options.interval_ms))
		(void)lock_wait(&g->mu, &g->changed,
				g->status.paused ? 0 : start + g->options.interval_ms);
	go = g->own_runs = !g->stopping;
	lock_put(&g->mu);
	return go;
}

static void *thread_main(void *arg)
{
	struct gc *g = arg;

	while (wait_for_time(g)) {
		struct run r = { .mode = GC_NORMAL, .stop = &g->stop_own };
		struct err e = { 0 };

		(void)!run(g, &r, &e); /* the log has it */
		lock_get(&g->mu);
		g->own_runs = false;
		(void)pthread_cond_broadcast(&g->changed);
		lock_put(&g->mu);
	}
	return NULL;
}

enum err_kind gc_start(struct gc *g, struct err *e)
{
	g->has_thread = pthread_create(&g->thread, NULL, thread_main, g) == 0;
	return g->has_thread ? ERR_OK : err_set(e, ERR_NO_MEMORY, __func__, "no thread for gc");
}

void gc_stop(struct gc *g)
{
	lock_get(&g->mu);
	g->stopping = true;
	g->stop_run = g->stop_own = true;
	(void)pthread_cond_broadcast(&g->changed);
	while (g->status.running)
		(void)lock_wait(&g->mu, &g->changed, 0);
	lock_put(&g->mu);
	if (g->has_thread)
		(void)pthread_join(g->thread, NULL);
	g->has_thread = false;
}

void gc_pause(struct gc *g)
{
	lock_get(&g->mu);
	g->status.paused = true;
	g->stop_own = true;
	while (g->own_runs)
		(void)lock_wait(&g->mu, &g->changed, 0);
	lock_put(&g->mu);
}

void gc_resume(struct gc *g)
{
	lock_get(&g->mu);
	g->status.paused = false;
	g->stop_own = g->stopping;
	(void)pthread_cond_broadcast(&g->changed);
	lock_put(&g->mu);
}

void gc_status(struct gc *g, struct gc_status *ret)
{
	lock_get(&g->mu);
	*ret = g->status;
	lock_put(&g->mu);
}
