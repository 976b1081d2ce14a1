#include "server/events.h"

#include <unistd.h>

#include "auth/fetch.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/lock.h"
#include "server/endpoint.h"

#define LOOK_MS 200  /* between looks for new records */
#define KEEP_MS 1000 /* between writes of a position */
#define TEND_MS 1000 /* between looks at secrets */
#define ANSWER_MAX (64u * 1024)
#define BODY_MAX (64u * 1024)
#define SOURCE_MAX 320

/* One endpoint and its thread, whose own everything is that is not atomic. */
struct channel {
	struct endpoint endpoint;
	struct events *events;
	pthread_t thread;
	bool has_thread;
	struct follower *follower;
	struct fetch_line *line;
	uint64_t kept_mono_ms, tended_mono_ms;
	unsigned failed_in_a_row;
	_Atomic uint64_t seq, delivered, failures, dropped, waiting_since_ms, last_ms;
};

struct events {
	const struct conf *conf;
	struct store *store;
	char source[SOURCE_MAX]; /* what we are called */
	_Atomic bool stopping;
	struct lock mu;
	pthread_cond_t stop; /* told when stopping is set */
	size_t n;
	struct channel channels[];
};

/* --- waiting --- */

/* False if it is time to end. */
static bool pause_ms(struct events *ev, uint64_t ms)
{
	uint64_t until = mono_ms() + ms;

	lock_get(&ev->mu);
	while (!ev->stopping && mono_ms() < until)
		(void)lock_wait(&ev->mu, &ev->stop, until);
	lock_put(&ev->mu);
	return !ev->stopping;
}

/* Doubles with each failure, and is spread over half of that: receivers that come back are not met by all at once. */
static uint64_t back_off_ms(const struct channel *ch, const struct fetch_answer *answer)
{
	const struct conf *c = ch->events->conf;
	unsigned doublings = MIN(ch->failed_in_a_row - 1, 30u);
	uint64_t wait = MIN(c->events_retry_ms << doublings, c->events_retry_max_ms), random, asked;

	random_bytes(&random, sizeof(random));
	asked = MIN(answer->wait_ms, c->events_retry_max_ms);
	wait = wait - wait / 2 + random % (wait / 2 + 1);
	return wait > asked ? wait : asked;
}

/* --- one event --- */

static struct jv *make_body(const struct channel *ch, const struct event *event)
{
	const struct events *ev = ch->events;

	return ch->endpoint.is_cloud
		   ? event_cloud(event, ev->source)
		   : event_distribution(event, ev->source, ev->conf->http_external_url.n > 0);
}

static enum err_kind try_once(struct channel *ch, struct str body, struct fetch_answer *answer,
			      struct err *e)
{
	const struct endpoint *ep = &ch->endpoint;
	const struct fetch f = { .ca = ep->ca,
				 .timeout_ms = ch->events->conf->events_timeout_ms,
				 .bytes_max = ANSWER_MAX,
				 .plain = ep->insecure,
				 .cancel = &ch->events->stopping };
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

static bool is_too_old(const struct channel *ch, const struct reflog_record *r)
{
	uint64_t keep = ch->events->conf->events_keep_ms, now = wall_ms();

	return keep != UINT64_MAX && now > r->at_ms && now - r->at_ms > keep;
}

static void drop(struct channel *ch, const struct event *event)
{
	char id[EVENT_ID_MAX];

	ch->dropped++;
	log_event(LOG_WARN, "events.dropped", "%s: event %s is older than events.keep",
		  ch->endpoint.name, event_id(event, id));
}

/* Until it is answered or given up; ERR_IN_USE if it is time to end. */
static enum err_kind deliver(struct channel *ch, const struct event *event, struct str body,
			     struct err *e)
{
	for (;;) {
		struct fetch_answer answer;
		uint64_t wait;

		tend(ch);
		if (is_too_old(ch, event->record)) {
			drop(ch, event);
			return ERR_OK;
		}
		if (try_once(ch, body, &answer, e) == ERR_OK)
			break;
		if (ch->events->stopping)
			return err_set(e, ERR_IN_USE, __func__, "berthd ends");
		ch->failures++;
		ch->failed_in_a_row++;
		wait = back_off_ms(ch, &answer);
		tell_failure(ch, e, wait);
		if (!pause_ms(ch->events, wait))
			return err_set(e, ERR_IN_USE, __func__, "berthd ends");
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
	enum err_kind k;

	jv_dump(v, &body);
	if (body.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for an event");
	ch->waiting_since_ms = event->record->at_ms;
	k = deliver(ch, event, (struct str){ body.p, body.n }, e);
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
	enum err_kind k =
	    ch->events->stopping ? err_set(e, ERR_IN_USE, __func__, "berthd ends") : ERR_OK;

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
	struct err e;

	do {
		if (follow_read(ch->follower, take_record, ch, &e) == ERR_OK)
			ch->seq = follow_seq(ch->follower);
		else if (!ch->events->stopping)
			log_event(LOG_ERROR, "events.read", "%s: %s", ch->endpoint.name, e.msg);
		keep_position(ch, false);
	} while (pause_ms(ch->events, LOOK_MS));
	keep_position(ch, true);
	return NULL;
}

static enum err_kind start_channel(struct channel *ch, struct err *e)
{
	bool lost;
	enum err_kind k =
	    follow_open(ch->events->store, ch->endpoint.name, &ch->follower, &lost, e);

	if (k == ERR_OK)
		k = fetch_line_new(&ch->line, e);
	if (k != ERR_OK)
		return k;
	if (lost)
		log_event(LOG_WARN, "events.position",
			  "%s was told of more than the reflog has: it goes on with what happens "
			  "next",
			  ch->endpoint.name);
	ch->seq = follow_seq(ch->follower);
	ch->has_thread = pthread_create(&ch->thread, NULL, channel_main, ch) == 0;
	return ch->has_thread ? ERR_OK
			      : err_set(e, ERR_NO_MEMORY, __func__, "no thread for events");
}

/* --- the module --- */

static void name_source(struct events *ev)
{
	const struct sbuf *url = &ev->conf->http_external_url;
	char host[256] = "localhost";

	(void)gethostname(host, sizeof(host) - 1);
	if (url->n && url->n < sizeof(ev->source))
		(void)snprintf(ev->source, sizeof(ev->source), "%s", url->p);
	else
		(void)snprintf(ev->source, sizeof(ev->source), "//%s", host);
}

/* Positions have their names. */
static bool is_twice(const struct events *ev, size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (strcmp(ev->channels[j].endpoint.name, ev->channels[i].endpoint.name) == 0)
			return true;
	}
	return false;
}

enum err_kind events_open(const struct conf *c, struct events **ret, struct err *e)
{
	size_t n = jv_count(c->events_endpoints);
	struct events *ev;
	enum err_kind k = ERR_OK;

	if (n > ENDPOINTS_MAX)
		return err_set(e, ERR_INVALID, __func__, "events.endpoints: %d at most",
			       ENDPOINTS_MAX);
	ev = calloc(1, sizeof(*ev) + n * sizeof(ev->channels[0]));
	if (!ev)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for events");
	ev->conf = c;
	ev->n = n;
	lock_init(&ev->mu, LOCK_EVENTS);
	cond_init(&ev->stop);
	name_source(ev);
	for (size_t i = 0; i < n && k == ERR_OK; i++) {
		ev->channels[i].events = ev;
		k = endpoint_parse(jv_at(c->events_endpoints, i), &ev->channels[i].endpoint, e);
		if (k == ERR_OK && is_twice(ev, i))
			k = err_set(e, ERR_INVALID, __func__,
				    "events.endpoints: two have the name %s",
				    ev->channels[i].endpoint.name);
	}
	if (k == ERR_OK && n)
		k = fetch_open(e);
	if (k == ERR_OK)
		*ret = TAKE(ev);
	events_close(&ev);
	return k;
}

enum err_kind events_check(const struct jv *endpoints, struct err *e)
{
	AUTO_JV *list = jv_share(endpoints);
	const struct conf c = { .events_endpoints = list };
	struct events *ev = NULL;
	enum err_kind k = events_open(&c, &ev, e);

	events_close(&ev);
	return k;
}

enum err_kind events_start(struct events *ev, struct store *st, struct err *e)
{
	enum err_kind k = ERR_OK;

	ev->store = st;
	for (size_t i = 0; i < ev->n && k == ERR_OK; i++)
		k = start_channel(&ev->channels[i], e);
	return k;
}

void events_stop(struct events *ev)
{
	lock_get(&ev->mu);
	ev->stopping = true;
	(void)pthread_cond_broadcast(&ev->stop);
	lock_put(&ev->mu);
	for (size_t i = 0; i < ev->n; i++) {
		if (ev->channels[i].has_thread)
			(void)pthread_join(ev->channels[i].thread, NULL);
		ev->channels[i].has_thread = false;
	}
}

void events_close(struct events **take)
{
	struct events *ev = TAKE(*take);

	if (!ev)
		return;
	events_stop(ev);
	for (size_t i = 0; i < ev->n; i++) {
		follow_close(&ev->channels[i].follower);
		fetch_line_free(&ev->channels[i].line);
		endpoint_clear(&ev->channels[i].endpoint);
	}
	(void)pthread_cond_destroy(&ev->stop);
	lock_clear(&ev->mu);
	free(ev);
}

bool events_status(const struct events *ev, size_t i, uint64_t last_seq, struct events_status *ret)
{
	const struct channel *ch = i < ev->n ? &ev->channels[i] : NULL;
	uint64_t seq;

	if (!ch)
		return false;
	seq = ch->seq;
	*ret = (struct events_status){ .name = ch->endpoint.name,
				       .delivered = ch->delivered,
				       .failures = ch->failures,
				       .dropped = ch->dropped,
				       .waiting = last_seq > seq ? last_seq - seq : 0,
				       .waiting_since_ms = ch->waiting_since_ms,
				       .last_ms = ch->last_ms };
	return true;
}
