#include "server/events.h"

#include <unistd.h>

#include "auth/fetch.h"
#include "server/channel.h"
#include "server/conf_table.h"

struct events {
	struct channels all;
	size_t n; /* under all.mu, as the next; changed by one thread, which reads without */
	struct channel *channels[ENDPOINTS_MAX];
};

struct events_change {
	struct channel_settings settings;
	size_t n;
	struct channel *channels[ENDPOINTS_MAX]; /* those that stay, and new ones */
};

static void read_settings(const struct conf *c, struct channel_settings *ret)
{
	const struct sbuf *url = &c->http_external_url;
	char host[256] = "localhost";

	*ret = (struct channel_settings){ .timeout_ms = c->events_timeout_ms,
					  .retry_ms = c->events_retry_ms,
					  .retry_max_ms = c->events_retry_max_ms,
					  .keep_ms = c->events_keep_ms,
					  .is_url = url->n > 0 };
	(void)gethostname(host, sizeof(host) - 1);
	if (url->n && url->n < sizeof(ret->source))
		(void)snprintf(ret->source, sizeof(ret->source), "%s", url->p);
	else
		(void)snprintf(ret->source, sizeof(ret->source), "//%s", host);
}

/* --- a list of endpoints --- */

/* The one that is as this entry says, if there is one. */
static struct channel *find_same(const struct events *ev, const struct jv *entry)
{
	for (size_t i = 0; i < ev->n; i++) {
		if (conf_same_value(channel_entry(ev->channels[i]), entry))
			return ev->channels[i];
	}
	return NULL;
}

static struct channel *find_named(struct channel *const *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(channel_name(list[i]), name) == 0)
			return list[i];
	}
	return NULL;
}

static enum err_kind take_entry(struct events *ev, const struct jv *entry, struct faults *all,
				struct events_change *change, struct err *e)
{
	struct channel *ch = find_same(ev, entry), *twin;
	enum err_kind k = ch ? ERR_OK : channel_new(&ev->all, entry, all, &ch, e);

	if (k != ERR_OK)
		return k;
	twin = find_named(change->channels, change->n, channel_name(ch)); /* positions have names */
	if (twin != ch)
		change->channels[change->n++] = ch;
	return twin ? err_set(e, ERR_INVALID, __func__, "events.endpoints: two have the name %s",
			      channel_name(ch))
		    : ERR_OK;
}

static enum err_kind list_channels(struct events *ev, const struct conf *c, struct faults *all,
				   struct events_change **ret, struct err *e)
{
	size_t n = jv_count(c->events_endpoints);
	struct events_change *change;
	enum err_kind k = ERR_OK;

	if (n > ENDPOINTS_MAX)
		return err_set(e, ERR_INVALID, __func__, "events.endpoints: %d at most",
			       ENDPOINTS_MAX);
	change = calloc(1, sizeof(*change));
	if (!change)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for events");
	read_settings(c, &change->settings);
	for (size_t i = 0; i < n && k == ERR_OK; i++)
		k = take_entry(ev, jv_at(c->events_endpoints, i), all, change, e);
	if (k == ERR_OK)
		*ret = TAKE(change);
	events_change_free(&change);
	return k;
}

void events_change_free(struct events_change **take)
{
	struct events_change *change = TAKE(*take);

	if (!change)
		return;
	for (size_t i = 0; i < change->n; i++) {
		if (!channel_has_begun(change->channels[i]))
			channel_free(&change->channels[i]);
	}
	free(change);
}

/* --- the module --- */

/* The list that begins, in the place of the one there was. */
static void take_list(struct events *ev, struct events_change *change)
{
	lock_get(&ev->all.mu);
	ev->all.settings = change->settings;
	ev->all.changes++;
	ev->n = change->n;
	memcpy(ev->channels, change->channels, sizeof(ev->channels));
	(void)pthread_cond_broadcast(&ev->all.wake);
	lock_put(&ev->all.mu);
	change->n = 0;
}

/* What those that are new need: the library that speaks to them, and their secrets. */
static enum err_kind provide(const struct events_change *change, struct err *e)
{
	enum err_kind k = change->n ? fetch_open(e) : ERR_OK;

	for (size_t i = 0; i < change->n && k == ERR_OK; i++) {
		if (!channel_has_begun(change->channels[i]))
			k = channel_read(change->channels[i], e);
	}
	return k;
}

static enum err_kind open_with(const struct conf *c, bool files, struct faults *all,
			       struct events **ret, struct err *e)
{
	struct events *ev = calloc(1, sizeof(*ev));
	struct events_change *change = NULL;
	enum err_kind k;

	if (!ev)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for events");
	lock_init(&ev->all.mu, LOCK_EVENTS);
	cond_init(&ev->all.wake);
	k = list_channels(ev, c, all, &change, e);
	if (k == ERR_OK && files)
		k = provide(change, e);
	if (k == ERR_OK) {
		take_list(ev, change);
		*ret = TAKE(ev);
	}
	events_change_free(&change);
	events_close(&ev);
	return k;
}

enum err_kind events_open(const struct conf *c, struct events **ret, struct err *e)
{
	return open_with(c, true, NULL, ret, e);
}

enum err_kind events_check(const struct jv *endpoints, bool files, struct faults *all,
			   struct err *e)
{
	AUTO_JV *list = jv_share(endpoints);
	const struct conf c = { .events_endpoints = list };
	struct events *ev = NULL;
	enum err_kind k = open_with(&c, files, all, &ev, e);

	events_close(&ev);
	return k;
}

static void begin_all(struct events *ev)
{
	lock_get(&ev->all.mu);
	for (size_t i = 0; i < ev->n; i++)
		channel_begin(ev->channels[i]);
	(void)pthread_cond_broadcast(&ev->all.wake);
	lock_put(&ev->all.mu);
}

enum err_kind events_start(struct events *ev, struct store *st, struct err *e)
{
	enum err_kind k = ERR_OK;

	ev->all.store = st;
	for (size_t i = 0; i < ev->n && k == ERR_OK; i++)
		k = channel_ready(ev->channels[i], true, e);
	if (k == ERR_OK)
		begin_all(ev);
	return k;
}

void events_stop(struct events *ev)
{
	channel_stop(&ev->all, ev->channels, ev->n);
}

void events_close(struct events **take)
{
	struct events *ev = TAKE(*take);

	if (!ev)
		return;
	events_stop(ev);
	for (size_t i = 0; i < ev->n; i++)
		channel_free(&ev->channels[i]);
	(void)pthread_cond_destroy(&ev->all.wake);
	lock_clear(&ev->all.mu);
	free(ev);
}

/* --- other options --- */

enum err_kind events_prepare(struct events *ev, const struct conf *c, struct events_change **ret,
			     struct err *e)
{
	struct events_change *change = NULL;
	enum err_kind k = list_channels(ev, c, NULL, &change, e);

	if (k == ERR_OK)
		k = provide(change, e);
	for (size_t i = 0; k == ERR_OK && i < change->n; i++) {
		struct channel *ch = change->channels[i];

		if (!channel_has_begun(ch))
			k = channel_ready(ch, !find_named(ev->channels, ev->n, channel_name(ch)),
					  e);
	}
	if (k == ERR_OK)
		*ret = TAKE(change);
	events_change_free(&change);
	return k;
}

static bool is_in(const struct events_change *change, const struct channel *ch)
{
	for (size_t i = 0; i < change->n; i++) {
		if (change->channels[i] == ch)
			return true;
	}
	return false;
}

void events_commit(struct events *ev, struct events_change *change)
{
	struct channel *gone[ENDPOINTS_MAX] = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < ev->n; i++) {
		if (!is_in(change, ev->channels[i]))
			gone[n++] = ev->channels[i];
	}
	channel_stop(&ev->all, gone, n);
	for (size_t i = 0; i < n; i++) {
		struct channel *heir =
		    find_named(change->channels, change->n, channel_name(gone[i]));

		if (heir)
			channel_succeed(heir, gone[i]);
	}
	take_list(ev, change);
	begin_all(ev);
	for (size_t i = 0; i < n; i++)
		channel_free(&gone[i]);
}

bool events_status(struct events *ev, size_t i, uint64_t last_seq, struct events_status *ret)
{
	bool there;

	lock_get(&ev->all.mu);
	there = i < ev->n;
	if (there) {
		uint64_t seq = channel_seq(ev->channels[i]);

		channel_status(ev->channels[i], ret);
		ret->waiting = last_seq > seq ? last_seq - seq : 0;
	}
	lock_put(&ev->all.mu);
	return there;
}
