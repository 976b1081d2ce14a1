#include "server/live.h"

#include "base/lock.h"
#include "server/conf_check.h"
#include "server/conf_table.h"
#include "server/guard.h"
#include "server/ops.h"

struct live {
	int n_args;
	char *const *args;
	struct lock mu;
	pthread_cond_t done;
	struct snapshot *now;     /* under mu, as all below */
	uint64_t asked, answered; /* reloads that were asked for, and those of them that are over */
	bool stopping, last_failed; /* of the last one */
	struct jv *last;
};

/* --- snapshots --- */

static void put(struct snapshot *s)
{
	if (!s || --s->refs)
		return;
	conf_clear(&s->conf);
	free(s);
}

const struct snapshot *live_get(struct live *l)
{
	struct snapshot *s;

	lock_get(&l->mu);
	s = l->now;
	s->refs++;
	lock_put(&l->mu);
	return s;
}

void live_put(const struct snapshot **take)
{
	union {
		const struct snapshot *seen;
		struct snapshot *own;
	} s = { .seen = TAKE(*take) };

	put(s.own);
}

static struct snapshot *new_snapshot(void)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	if (s)
		s->refs = 1;
	return s;
}

static enum err_kind fill(struct snapshot *s, struct err *e)
{
	enum err_kind k = origin_parse(str_of(s->conf.http_external_url.p), &s->origin, e);

	return k == ERR_OK ? proxies_parse(str_of(s->conf.http_trusted_proxies.p), &s->proxies, e)
			   : k;
}

enum err_kind live_new(const struct conf *c, int n_args, char *const *args, struct live **ret,
		       struct err *e)
{
	struct live *l = calloc(1, sizeof(*l));
	enum err_kind k;

	if (!l)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for options");
	l->n_args = n_args;
	l->args = args;
	lock_init(&l->mu, LOCK_LIVE);
	cond_init(&l->done);
	l->now = new_snapshot();
	k = l->now ? conf_copy(c, &l->now->conf, e)
		   : err_set(e, ERR_NO_MEMORY, __func__, "no memory for options");
	if (k == ERR_OK)
		k = fill(l->now, e);
	if (k == ERR_OK)
		*ret = TAKE(l);
	live_free(&l);
	return k;
}

void live_free(struct live **take)
{
	struct live *l = TAKE(*take);

	if (!l)
		return;
	put(l->now);
	jv_free(&l->last);
	(void)pthread_cond_destroy(&l->done);
	lock_clear(&l->mu);
	free(l);
}

void live_apply_log(const struct conf *c)
{
	log_set_level(c->log_level);
	log_set_format(c->log_format);
	for (unsigned m = 0; m < LOG_MODULE_N; m++)
		log_set_module(m, c->log_levels[m] ? c->log_levels[m] - 1 : LOG_LEVEL_N);
}

/* --- a reload --- */

struct reload {
	const struct live_parts *parts;
	const struct conf *old;
	struct snapshot *new;
	struct jv *items;
	struct faults faults;
	unsigned n_changed;
};

static void add_item(struct reload *r, struct jv *take)
{
	if (!jv_append(r->items, take)) /* without memory the log has it all the same */
		log_event(LOG_WARN, "config.reload", "no memory to tell of a change");
}

static void tell_fault(void *arg, const struct err *e)
{
	struct reload *r = arg;

	log_event(LOG_ERROR, "config.fault", "%s; the old options stay", e->msg);
	add_item(r, jv_pack("{s:s}", "fault", e->msg));
}

static void tell_change(struct reload *r, const struct option *o, bool restart)
{
	AUTO_SBUF old = { .max = SBUF_MAX }, new = { .max = SBUF_MAX };
	struct log_line l;

	option_show(o, r->old, &old);
	option_show(o, &r->new->conf, &new);
	if (old.failed || new.failed)
		return;
	log_begin(&l, restart ? LOG_WARN : LOG_INFO, restart ? "config.restart" : "config.change");
	log_str(&l, "option", str_of(o->key));
	log_str(&l, "old", (struct str){ old.p, old.n });
	log_str(&l, "new", (struct str){ new.p, new.n });
	if (restart)
		log_str(&l, "msg", STR("counts after a restart only"));
	log_end(&l);
	add_item(r, jv_pack("{s:s, s:s%, s:s%}", restart ? "restart" : "option", o->key, "old",
			    old.p, old.n, "new", new.p, new.n));
}

static bool can_take(const struct reload *r, const struct option *o)
{
	return o->reloads && guard_can_take(r->parts->guard, o->key, &r->new->conf) &&
	       ops_can_take(r->parts->ops, o->key, &r->new->conf);
}

/* What cannot be taken over keeps its old value; a pass of its own, so that others are judged by what will be in force. */
static enum err_kind keep_old(struct reload *r, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; i < conf_options_n && k == ERR_OK; i++) {
		const struct option *o = &conf_options[i];

		if (option_same(o, r->old, &r->new->conf) || can_take(r, o))
			continue;
		tell_change(r, o, true);
		k = option_copy(o, r->old, &r->new->conf, e);
	}
	return k;
}

static void read_anew(struct live *l, struct reload *r)
{
	struct err e;

	conf_load_all(l->n_args, l->args, &r->new->conf, &r->faults);
	conf_check(&r->new->conf, CHECK_VALUES, &r->faults);
	if (r->faults.n == 0 && (keep_old(r, &e) != ERR_OK || fill(r->new, &e) != ERR_OK))
		faults_add(&r->faults, &e);
}

/* Nothing in here can fail. */
static void commit(struct live *l, struct reload *r, struct guard_change *guard,
		   struct ops_change *ops)
{
	struct snapshot *old;

	for (size_t i = 0; i < conf_options_n; i++) {
		const struct option *o = &conf_options[i];

		if (option_same(o, r->old, &r->new->conf))
			continue;
		tell_change(r, o, false);
		r->n_changed++;
	}
	guard_commit(r->parts->guard, guard);
	ops_commit(r->parts->ops, ops);
	live_apply_log(&r->new->conf);
	lock_get(&l->mu);
	old = l->now;
	l->now = TAKE(r->new);
	lock_put(&l->mu);
	put(old);
}

static void take_over(struct live *l, struct reload *r)
{
	struct guard_change guard = { 0 };
	struct ops_change ops = { 0 };
	struct err e;
	enum err_kind k = guard_prepare(r->parts->guard, r->old, &r->new->conf, &guard, &e);

	if (k == ERR_OK)
		k = ops_prepare(r->parts->ops, &r->new->conf, &ops, &e);
	if (k == ERR_OK)
		k = ops_take_quotas(r->parts->ops, r->old, &r->new->conf, &e);
	if (k == ERR_OK)
		commit(l, r, &guard, &ops);
	else
		faults_add(&r->faults, &e);
	guard_change_clear(&guard);
	ops_change_clear(&ops);
}

/* asked: as of the beginning. */
static void answer(struct live *l, struct reload *r, uint64_t asked)
{
	struct jv *before;

	lock_get(&l->mu);
	before = l->last;
	l->last = TAKE(r->items);
	l->last_failed = r->faults.n > 0;
	l->answered = asked;
	(void)pthread_cond_broadcast(&l->done);
	lock_put(&l->mu);
	jv_free(&before);
}

static uint64_t count_asked(struct live *l)
{
	uint64_t n;

	lock_get(&l->mu);
	n = l->asked;
	lock_put(&l->mu);
	return n;
}

bool live_reload(struct live *l, const struct live_parts *p)
{
	uint64_t asked = count_asked(l);
	AUTO_SNAPSHOT *now = live_get(l);
	struct reload r = { .parts = p, .old = &now->conf, .new = new_snapshot() };
	bool good;

	r.items = jv_new_array();
	r.faults = (struct faults){ .tell = tell_fault, .arg = &r };
	if (r.new &&r.items) {
		read_anew(l, &r);
		if (r.faults.n == 0)
			take_over(l, &r);
	} else {
		struct err e;

		(void)err_set(&e, ERR_NO_MEMORY, __func__, "no memory for options");
		faults_add(&r.faults, &e);
	}
	good = r.faults.n == 0;
	if (good)
		log_event(LOG_INFO, "config.reload", "%u options changed", r.n_changed);
	else
		log_event(LOG_ERROR, "config.reload", "%u faults: nothing changed", r.faults.n);
	put(r.new);
	answer(l, &r, asked);
	return good;
}

/* --- for who asks --- */

bool live_is_asked(struct live *l)
{
	bool asked;

	lock_get(&l->mu);
	asked = l->asked > l->answered;
	lock_put(&l->mu);
	return asked;
}

void live_stop(struct live *l)
{
	lock_get(&l->mu);
	l->stopping = true;
	(void)pthread_cond_broadcast(&l->done);
	lock_put(&l->mu);
}

enum err_kind live_ask(struct live *l, struct jv **ret, struct err *e)
{
	bool over, failed;
	uint64_t mine;

	lock_get(&l->mu);
	mine = ++l->asked;
	while (l->answered < mine && !l->stopping)
		(void)lock_wait(&l->mu, &l->done, 0);
	over = l->answered >= mine;
	failed = l->last_failed;
	*ret = over && l->last ? jv_share(l->last) : NULL;
	lock_put(&l->mu);
	if (!over)
		return err_set(e, ERR_IN_USE, __func__, "the daemon is about to end");
	return failed ? err_set(e, ERR_INVALID, __func__, "nothing was changed") : ERR_OK;
}
