#include "server/channel.h"

#include "auth/fetch.h"
#include "base/clock.h"
#include "base/hash.h"

#define LOOK_MS 200  /* between looks for new records */
#define KEEP_MS 1000 /* between writes of a position */
#define TEND_MS 1000 /* between looks at secrets */
#define ANSWER_MAX (64u * 1024)
#define BODY_MAX (64u * 1024)

/* Its thread's own is everything that is not atomic, from the beginning to the end of that. */
struct channel {
	struct channels *all;
	struct jv *entry;
	struct endpoint endpoint;
	pthread_t thread;
	bool has_thread;
	bool begun; /* under all->mu */
	_Atomic bool stopping;
	struct follower *follower;
	struct fetch_line *line;
	uint64_t kept_mono_ms, tended_mono_ms;
	unsigned failed_in_a_row;
	_Atomic uint64_t seq, delivered, failures, dropped, waiting_since_ms, last_ms;
};

/* --- waiting --- */

static struct channel_settings settings_of(struct channels *all, unsigned *ret_changes)
{
	struct channel_settings s;

	lock_get(&all->mu);
	s = all->settings;
	*ret_changes = all->changes;
	lock_put(&all->mu);
	return s;
}

/* Until then, or until settings are others than they were.  False if it is time to end. */
static bool pause_ms(struct channel *ch, uint64_t ms, unsigned changes)
{
	struct channels *all = ch->all;
	uint64_t until = mono_ms() + ms;

	lock_get(&all->mu);
	while (!ch->stopping && mono_ms() < until && all->changes == changes)
		(void)lock_wait(&all->mu, &all->wake, until);
	lock_put(&all->mu);
	return !ch->stopping;
}

static bool wait_for_begin(struct channel *ch)
{
	lock_get(&ch->all->mu);
	while (!ch->begun && !ch->stopping)
		(void)lock_wait(&ch->all->mu, &ch->all->wake, 0);
	lock_put(&ch->all->mu);
	return !ch->stopping;
}

/* Doubles with each failure, and is spread over half of that: receivers that come back are not met by all at once. */
static uint64_t back_off_ms(const struct channel *ch, const struct channel_settings *s,
			    const struct fetch_answer *answer)
{
	unsigned doublings = MIN(ch->failed_in_a_row - 1, 30u);
	uint64_t wait = MIN(s->retry_ms << doublings, s->retry_max_ms), random, asked;

	random_bytes(&random, sizeof(random));
	asked = MIN(answer->wait_ms, s->retry_max_ms);
	wait = wait - wait / 2 + random % (wait / 2 + 1);
	return wait > asked ? wait : asked;
}

/* --- one event --- */

static struct jv *make_body(const struct channel *ch, const struct event *event)
{
	unsigned changes;
	const struct channel_settings s = settings_of(ch->all, &changes);

	return ch->endpoint.is_cloud ? event_cloud(event, s.source)
				     : event_distribution(event, s.source, s.is_url);
}

static enum err_kind try_once(struct channel *ch, uint64_t timeout_ms, struct str body,
			      struct fetch_answer *answer, struct err *e)
{
	const struct endpoint *ep = &ch->endpoint;
	const struct fetch f = { .ca = ep->ca,
				 .timeout_ms = timeout_ms,
				 .bytes_max = ANSWER_MAX,
				 .plain = ep->insecure,
				 .cancel = &ch->stopping };
	CLEANUP(endpoint_head_clear) struct endpoint_head head = { .n = 0 };
	enum err_kind k = endpoint_sign(ep, body, wall_ms(), &head, e);

	*answer = (struct fetch_answer){ .status = 0 };
	return k == ERR_OK ? fetch_send(ch->line, &f, ep->url, head.fields, body, answer, e) : k;
}

static void tend(struct channel *ch)
{
	uint64_t now = mono_ms();
	struct err e;

	if (now - ch->tended_mono_ms < TEND_MS)
		return;
	ch->tended_mono_ms = now;
	if (endpoint_tend(&ch->endpoint, &e) != ERR_OK)
		log_event(LOG_ERROR, "events.secret", "%s: %s; the old one stays",
			  ch->endpoint.name, e.msg);
}

/* One line for the first failure, and one for each time the wait has doubled since. */
static void tell_failure(const struct channel *ch, const struct err *why, uint64_t wait_ms)
{
	unsigned n = ch->failed_in_a_row;

	if ((n & (n - 1)) == 0)
		log_event(LOG_WARN, "events.failed", "%s: %s; try %u, next one in %llu ms",
			  ch->endpoint.name, why->msg, n, (unsigned long long)wait_ms);
}

static bool is_too_old(const struct reflog_record *r, uint64_t keep_ms)
{
	uint64_t now = wall_ms();

	return keep_ms != UINT64_MAX && now > r->at_ms && now - r->at_ms > keep_ms;
}

static void drop(struct channel *ch, const struct event *event)
{
	char id[EVENT_ID_MAX];

	ch->dropped++;
	log_event(LOG_WARN, "events.dropped", "%s: event %s is older than events.keep",
		  ch->endpoint.name, event_id(event, id));
}

static enum err_kind end(struct err *e)
{
	return err_set(e, ERR_IN_USE, __func__, "berthd ends, or tells others");
}

/* Until it is answered or given up; ERR_IN_USE if it is time to end. */
static enum err_kind deliver(struct channel *ch, const struct event *event, struct str body,
			     struct err *e)
{
	for (;;) {
		unsigned changes;
		const struct channel_settings s = settings_of(ch->all, &changes);
		struct fetch_answer answer;
		uint64_t wait;

		tend(ch);
		if (is_too_old(event->record, s.keep_ms)) {
			drop(ch, event);
			return ERR_OK;
		}
		if (try_once(ch, s.timeout_ms, body, &answer, e) == ERR_OK)
			break;
		if (ch->stopping)
			return end(e);
		ch->failures++;
		ch->failed_in_a_row++;
		wait = back_off_ms(ch, &s, &answer);
		tell_failure(ch, e, wait);
		if (!pause_ms(ch, wait, changes))
			return end(e);
	}
	if (ch->failed_in_a_row)
		log_event(LOG_INFO, "events.again", "%s answers again, after %u tries",
			  ch->endpoint.name, ch->failed_in_a_row);
	ch->failed_in_a_row = 0;
	ch->delivered++;
	ch->last_ms = wall_ms();
	return ERR_OK;
}

static enum err_kind send_event(struct channel *ch, const struct event *event, struct err *e)
{
	AUTO_SBUF body = { .max = BODY_MAX };
	AUTO_JV *v = make_body(ch, event);
	struct trace trace;
	enum err_kind k;

	jv_dump(v, &body);
	if (body.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for an event");
	ch->waiting_since_ms = event->record->at_ms;
	(void)trace_parse(str_of(event->record->trace), &trace);
	trace_enter(&trace);
	k = deliver(ch, event, (struct str){ body.p, body.n }, e);
	trace_leave();
	ch->waiting_since_ms = 0;
	return k;
}

/* --- all of them --- */

static void keep_position(struct channel *ch, bool now)
{
	struct err e;

	if (!now && mono_ms() - ch->kept_mono_ms < KEEP_MS)
		return;
	ch->kept_mono_ms = mono_ms();
	if (follow_keep(ch->follower, &e) != ERR_OK)
		log_event(LOG_ERROR, "events.position", "%s: %s", ch->endpoint.name, e.msg);
}

static enum err_kind take_record(void *arg, const struct reflog_record *r, struct err *e)
{
	struct channel *ch = arg;
	struct event event = { .record = r };
	enum err_kind k = ch->stopping ? end(e) : ERR_OK;

	for (size_t n = event_count(r); event.tag < n && k == ERR_OK; event.tag++) {
		if (endpoint_wants(&ch->endpoint, &event))
			k = send_event(ch, &event, e);
	}
	if (k == ERR_OK)
		ch->seq = r->seq;
	keep_position(ch, false); /* of the records before this one */
	return k;
}

static void *channel_main(void *arg)
{
	struct channel *ch = arg;
	unsigned changes;
	struct err e;

	if (!wait_for_begin(ch))
		return NULL;
	do {
		(void)settings_of(ch->all, &changes);
		if (follow_read(ch->follower, take_record, ch, &e) == ERR_OK)
			ch->seq = follow_seq(ch->follower);
		else if (!ch->stopping)
			log_event(LOG_ERROR, "events.read", "%s: %s", ch->endpoint.name, e.msg);
		keep_position(ch, false);
	} while (pause_ms(ch, LOOK_MS, changes));
	keep_position(ch, true);
	return NULL;
}

/* --- the module --- */

enum err_kind channel_new(struct channels *all, const struct jv *entry, struct faults *faults,
			  struct channel **ret, struct err *e)
{
	struct channel *ch = calloc(1, sizeof(*ch));
	enum err_kind k;

	if (!ch)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for events");
	ch->all = all;
	ch->entry = jv_share(entry);
	k = endpoint_parse(entry, faults, &ch->endpoint, e);
	if (k == ERR_OK)
		*ret = TAKE(ch);
	channel_free(&ch);
	return k;
}

enum err_kind channel_read(struct channel *ch, struct err *e)
{
	return endpoint_read(&ch->endpoint, e);
}

void channel_free(struct channel **take)
{
	struct channel *ch = TAKE(*take);

	if (!ch)
		return;
	channel_stop(ch->all, &ch, 1);
	follow_close(&ch->follower);
	fetch_line_free(&ch->line);
	endpoint_clear(&ch->endpoint);
	jv_free(&ch->entry);
	free(ch);
}

const char *channel_name(const struct channel *ch)
{
	return ch->endpoint.name;
}

const struct jv *channel_entry(const struct channel *ch)
{
	return ch->entry;
}

static enum err_kind open_position(struct channel *ch, struct err *e)
{
	bool lost;
	enum err_kind k = follow_open(ch->all->store, ch->endpoint.name, &ch->follower, &lost, e);

	if (k != ERR_OK)
		return k;
	if (lost)
		log_event(LOG_WARN, "events.position",
			  "%s was told of more than the reflog has: it goes on with what happens "
			  "next",
			  ch->endpoint.name);
	ch->seq = follow_seq(ch->follower);
	return ERR_OK;
}

enum err_kind channel_ready(struct channel *ch, bool with_position, struct err *e)
{
	enum err_kind k = with_position ? open_position(ch, e) : ERR_OK;

	if (k == ERR_OK)
		k = fetch_line_new(&ch->line, e);
	if (k != ERR_OK)
		return k;
	ch->has_thread = pthread_create(&ch->thread, NULL, channel_main, ch) == 0;
	return ch->has_thread ? ERR_OK
			      : err_set(e, ERR_NO_MEMORY, __func__, "no thread for events");
}

void channel_begin(struct channel *ch)
{
	ch->begun = true;
}

bool channel_has_begun(const struct channel *ch)
{
	return ch->begun;
}

void channel_stop(struct channels *all, struct channel *const *list, size_t n)
{
	lock_get(&all->mu);
	for (size_t i = 0; i < n; i++)
		list[i]->stopping = true;
	(void)pthread_cond_broadcast(&all->wake);
	lock_put(&all->mu);
	for (size_t i = 0; i < n; i++) {
		if (list[i]->has_thread)
			(void)pthread_join(list[i]->thread, NULL);
		list[i]->has_thread = false;
	}
}

void channel_succeed(struct channel *ch, struct channel *old)
{
	ch->follower = TAKE(old->follower);
	ch->seq = old->seq;
	ch->delivered = old->delivered;
	ch->failures = old->failures;
	ch->dropped = old->dropped;
	ch->last_ms = old->last_ms;
}

void channel_status(const struct channel *ch, struct events_status *ret)
{
	*ret = (struct events_status){ .delivered = ch->delivered,
				       .failures = ch->failures,
				       .dropped = ch->dropped,
				       .waiting_since_ms = ch->waiting_since_ms,
				       .last_ms = ch->last_ms };
	(void)str_copy(str_of(ch->endpoint.name), ret->name, sizeof(ret->name));
}

uint64_t channel_seq(const struct channel *ch)
{
	return ch->seq;
}
