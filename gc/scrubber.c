#include "gc/scrubber.h"

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"

#define PAGE 64
#define SAVE_MS 10000
#define COST_MIN 4096u    /* bytes that the smallest file counts as */
#define RETRY_MS 60000    /* after a failure */
#define WAIT_MS_MAX 60000 /* between looks at the wall clock */

struct scrubber {
	struct store *st;
	_Atomic uint64_t rate, interval_ms;
	bool has_thread;
	pthread_t thread;
	struct lock mu;
	pthread_cond_t changed;
	bool stopping;                 /* under mu */
	struct scrubber_status status; /* under mu */
};

void scrubber_set_options(struct scrubber *s, const struct scrubber_options *o)
{
	s->rate = o->rate;
	s->interval_ms = o->interval_ms;
}

enum err_kind scrubber_new(struct store *st, const struct scrubber_options *o,
			   struct scrubber **ret, struct err *e)
{
	struct scrubber *s = calloc(1, sizeof(*s));
	enum err_kind k;

	if (!s)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to scrub");
	s->st = st;
	scrubber_set_options(s, o);
	lock_init(&s->mu, LOCK_SCRUBBER);
	cond_init(&s->changed);
	k = index_scrub_read(store_index(st), &s->status.last, e);
	if (k != ERR_OK) {
		scrubber_free(&s);
		return k;
	}
	*ret = s;
	return ERR_OK;
}

void scrubber_free(struct scrubber **take)
{
	struct scrubber *s = TAKE(*take);

	if (!s)
		return;
	scrubber_stop(s);
	(void)pthread_cond_destroy(&s->changed);
	lock_clear(&s->mu);
	free(s);
}

/* False if the scrubber is to stop; until_mono_ms 0 is now. */
static bool wait_until(struct scrubber *s, uint64_t until_mono_ms)
{
	bool go;

	lock_get(&s->mu);
	while (!s->stopping && mono_ms() < until_mono_ms)
		(void)lock_wait(&s->mu, &s->changed, until_mono_ms);
	go = !s->stopping;
	lock_put(&s->mu);
	return go;
}

/* --- a round --- */

struct round {
	struct scrubber *s;
	bool is_background;
	struct scrub_row row;
	uint64_t due_mono_ms, saved_mono_ms; /* of the background */
	scrubber_fn *fn;
	void *arg;
};

/* R1: each piece puts off the next one by the time that it may take. */
static bool pace(void *arg, size_t n)
{
	struct round *r = arg;
	uint64_t now = mono_ms();

	lock_get(&r->s->mu);
	r->s->status.bytes += n;
	lock_put(&r->s->mu);
	if (!r->is_background)
		return wait_until(r->s, 0);
	if (r->due_mono_ms < now)
		r->due_mono_ms = now;
	r->due_mono_ms += n * 1000 / r->s->rate;
	return wait_until(r->s, r->due_mono_ms);
}

static bool tell(struct round *r, const struct object_item *o, enum scrub_outcome outcome)
{
	char text[DIGEST_TEXT_MAX];

	if (outcome != SCRUB_DAMAGED && outcome != SCRUB_HEALED)
		return true;
	digest_text(&o->digest, text);
	if (outcome == SCRUB_HEALED)
		log_event(LOG_WARN, "scrub.healed", "%s was damaged and is whole again", text);
	else
		log_event(LOG_ERROR, "scrub.damaged",
			  "%s is not what was pushed: push it again; it is not served until then",
			  text);
	if (outcome == SCRUB_DAMAGED) {
		r->row.damaged++;
		lock_get(&r->s->mu);
		r->s->status.damaged++;
		lock_put(&r->s->mu);
	}
	return !r->fn || r->fn(r->arg, &o->digest, o->row.size_bytes, outcome);
}

/* The background's place, for the status and, now and then, for the next process. */
static enum err_kind note_place(struct round *r, bool save, struct err *e)
{
	if (!r->is_background)
		return ERR_OK;
	lock_get(&r->s->mu);
	r->s->status.last = r->row;
	lock_put(&r->s->mu);
	if (!save && mono_ms() - r->saved_mono_ms < SAVE_MS)
		return ERR_OK;
	r->saved_mono_ms = mono_ms();
	return scrub_save(r->s->st, &r->row, e);
}

static enum err_kind check_one(struct round *r, const struct object_item *o, bool *ret_go,
			       struct err *e)
{
	enum scrub_outcome outcome;
	enum err_kind k = scrub_object(r->s->st, o, pace, r, &outcome, e);

	if (k != ERR_OK)
		return k;
	r->row.objects++;
	r->row.bytes += o->row.size_bytes;
	r->row.position = o->digest;
	r->row.has_position = true;
	*ret_go = tell(r, o, outcome);
	if (*ret_go && o->row.size_bytes < COST_MIN)
		*ret_go = pace(r, COST_MIN - (size_t)o->row.size_bytes);
	return note_place(r, false, e);
}

/* From the row's position to the end, or until somebody stops it. */
static enum err_kind run_round(struct round *r, bool *ret_whole, struct err *e)
{
	struct object_item items[PAGE];
	size_t n = PAGE;
	bool go = true;

	while (go && n == PAGE) {
		enum err_kind k = index_object_page(store_index(r->s->st),
						    r->row.has_position ? &r->row.position : NULL,
						    PAGE, items, &n, e);

		for (size_t i = 0; k == ERR_OK && go && i < n; i++)
			k = check_one(r, &items[i], &go, e);
		if (k != ERR_OK)
			return k;
	}
	*ret_whole = go;
	return ERR_OK;
}

enum err_kind scrubber_run(struct scrubber *s, scrubber_fn *fn, void *arg, struct scrub_row *ret,
			   struct err *e)
{
	struct round r = { .s = s, .fn = fn, .arg = arg, .row = { .started_ms = wall_ms() } };
	bool whole = false;
	enum err_kind k = run_round(&r, &whole, e);

	r.row.ended_ms = wall_ms();
	*ret = r.row;
	if (k == ERR_OK && !whole)
		return err_set(e, ERR_IN_USE, __func__, "the check was stopped");
	return k;
}

/* --- the background --- */

static void log_round(const struct scrub_row *row)
{
	log_event(row->damaged ? LOG_ERROR : LOG_INFO, "scrub.round",
		  "%llu objects, %llu bytes, %llu damaged", (unsigned long long)row->objects,
		  (unsigned long long)row->bytes, (unsigned long long)row->damaged);
}

/* Goes on with a round that an earlier process began. */
static enum err_kind background_round(struct scrubber *s, struct err *e)
{
	struct round r = { .s = s, .is_background = true, .saved_mono_ms = mono_ms() };
	bool whole = false;
	enum err_kind k;

	lock_get(&s->mu);
	r.row = s->status.last;
	s->status.running = true;
	lock_put(&s->mu);
	if (r.row.ended_ms || r.row.started_ms == 0)
		r.row = (struct scrub_row){ .started_ms = wall_ms() };
	k = run_round(&r, &whole, e);
	if (k == ERR_OK && whole) {
		r.row.ended_ms = wall_ms();
		r.row.has_position = false;
		log_round(&r.row);
	}
	if (k == ERR_OK || k == ERR_IN_USE)
		k = note_place(&r, true, e);
	lock_get(&s->mu);
	s->status.running = false;
	lock_put(&s->mu);
	return k == ERR_IN_USE ? ERR_OK : k; /* stopped */
}

/* A round that is not over goes on at once. */
static bool is_due(struct scrubber *s)
{
	uint64_t now = wall_ms();
	bool due;

	lock_get(&s->mu);
	due = s->status.last.ended_ms == 0 || now < s->status.last.started_ms ||
	      now - s->status.last.started_ms >= s->interval_ms;
	lock_put(&s->mu);
	return due;
}

static void *thread_main(void *arg)
{
	struct scrubber *s = arg;
	uint64_t pause = 0;

	while (wait_until(s, mono_ms() + pause)) {
		struct err e = { 0 };

		pause = MIN((uint64_t)s->interval_ms / 4 + 1000, (uint64_t)WAIT_MS_MAX);
		if (is_due(s) && background_round(s, &e) != ERR_OK) {
			log_event(LOG_ERROR, "scrub.failed", "%s", e.msg);
			pause = RETRY_MS;
		}
	}
	return NULL;
}

enum err_kind scrubber_start(struct scrubber *s, struct err *e)
{
	if (s->rate == 0)
		return ERR_OK;
	s->has_thread = pthread_create(&s->thread, NULL, thread_main, s) == 0;
	return s->has_thread ? ERR_OK : err_set(e, ERR_NO_MEMORY, __func__, "no thread to scrub");
}

void scrubber_stop(struct scrubber *s)
{
	lock_get(&s->mu);
	s->stopping = true;
	(void)pthread_cond_broadcast(&s->changed);
	lock_put(&s->mu);
	if (s->has_thread)
		(void)pthread_join(s->thread, NULL);
	s->has_thread = false;
}

void scrubber_status(struct scrubber *s, struct scrubber_status *ret)
{
	lock_get(&s->mu);
	*ret = s->status;
	lock_put(&s->mu);
}
