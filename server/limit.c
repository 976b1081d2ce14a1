#include "server/limit.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/netaddr.h"

#define WAYS 8
#define US 1000000u

/*
 * One address or identity.  A bucket is the time at which it would be full again: what is taken moves it on by as long as that
 * takes to come in.
 */
struct entry {
	uint64_t tag; /* a digest of whose it is; 0: free */
	uint64_t used_us;
	uint64_t requests_us, bytes_us;
	uint64_t uploads; /* under way */
};

struct limits {
	struct {
		_Atomic uint64_t requests, bytes;
	} rates[LIMIT_SUBJECT_N];
	_Atomic uint64_t burst_ms, uploads_max;
	uint64_t seed[2];
	struct lock mu;
	pthread_cond_t changed;
	pthread_t thread; /* of what is held */
	bool has_thread;
	bool stopping; /* under mu */
	struct limit_hold *held,
	    **held_tail; /* under mu; all wait as long, so in the order that they came in */
	struct limit_stats stats; /* under mu */
	size_t n_sets;
	struct entry entries[]; /* under mu */
};

/* --- buckets --- */

/* Units that came in since, as time until the bucket is full. */
static uint64_t level(uint64_t full_us, uint64_t now_us)
{
	return full_us > now_us ? full_us - now_us : 0;
}

/* How long until there is room for this much; 0: there is. */
static uint64_t wait_us(uint64_t full_us, uint64_t take_us, uint64_t burst_us, uint64_t now_us)
{
	uint64_t have = level(full_us, now_us);
	uint64_t room = burst_us > take_us ? burst_us - take_us : 0; /* one is always let in */

	return have > room ? have - room : 0;
}

static uint64_t cost_us(uint64_t n, uint64_t rate)
{
	return n > UINT64_MAX / US ? UINT64_MAX / US : n * US / rate;
}

/* --- entries --- */

/* Who can choose an address or a name cannot choose whose bucket that empties: the digest is seeded. */
static uint64_t tag_of(const struct limits *l, enum limit_subject s, struct str who)
{
	char buf[INET6_ADDRSTRLEN], text[512];
	struct str name = s == LIMIT_ADDRESS ? address_network(who, buf) : who;
	int n =
	    snprintf(text, sizeof(text), "%016llx%016llx%d%.*s", (unsigned long long)l->seed[0],
		     (unsigned long long)l->seed[1], (int)s, (int)MIN(name.n, (size_t)400), name.p);
	struct digest d;
	struct err e;
	uint64_t tag;

	if (hash_bytes(DIGEST_SHA256, text, (size_t)n, &d, &e) != ERR_OK)
		return 0;
	memcpy(&tag, d.bytes, sizeof(tag));
	return tag | 1;
}

static struct entry *set_of(struct limits *l, uint64_t tag)
{
	return &l->entries[tag / 2 % l->n_sets * WAYS];
}

static struct entry *find(struct limits *l, uint64_t tag)
{
	struct entry *set = set_of(l, tag);

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].tag == tag)
			return &set[i];
	}
	return NULL;
}

/* The entry, or the place of the one that was used longest ago and has no upload; NULL if all have. */
static struct entry *find_or_make(struct limits *l, uint64_t tag, uint64_t now_us)
{
	struct entry *set = set_of(l, tag), *en = find(l, tag);

	for (size_t i = 0; i < WAYS && !(en && en->tag == tag); i++) {
		if (!set[i].uploads && (!en || set[i].used_us < en->used_us))
			en = &set[i];
	}
	if (!en)
		return NULL;
	if (en->tag != tag)
		*en = (struct entry){ .tag = tag };
	en->used_us = now_us;
	return en;
}

/* --- questions --- */

/* They may become others at any time. */
static struct limit_rates rates_of(const struct limits *l, enum limit_subject s)
{
	return (struct limit_rates){ l->rates[s].requests, l->rates[s].bytes };
}

/* Under the lock: takes one request, or says how long to wait. */
static uint64_t take_request(struct limits *l, enum limit_subject s, const struct limit_rates *r,
			     struct entry *en, uint64_t now_us)
{
	uint64_t burst_us = l->burst_ms * 1000, wait;

	if (r->bytes) {
		wait = wait_us(en->bytes_us, 0, burst_us, now_us);
		if (wait) {
			l->stats.bytes[s]++;
			return wait;
		}
	}
	if (r->requests) {
		wait = wait_us(en->requests_us, US / r->requests, burst_us, now_us);
		if (wait) {
			l->stats.requests[s]++;
			return wait;
		}
		en->requests_us = now_us + level(en->requests_us, now_us) + US / r->requests;
	}
	return 0;
}

enum err_kind limits_request(struct limits *l, enum limit_subject s, struct str who,
			     uint64_t now_mono_us, uint64_t *ret_wait_ms, struct err *e)
{
	const struct limit_rates r = rates_of(l, s);
	struct entry *en;
	uint64_t tag, wait = 0;

	*ret_wait_ms = 0;
	if (!r.requests && !r.bytes)
		return ERR_OK;
	tag = tag_of(l, s, who);
	lock_get(&l->mu);
	en = find_or_make(l, tag, now_mono_us);
	if (en)
		wait = take_request(l, s, &r, en, now_mono_us);
	lock_put(&l->mu);
	if (!wait)
		return ERR_OK;
	*ret_wait_ms = (wait + 999) / 1000;
	return err_set(e, ERR_TOO_MANY, __func__, "too many requests, or too many bytes, %s: wait",
		       s == LIMIT_ADDRESS ? "from this address" : "by this account");
}

void limits_bytes(struct limits *l, enum limit_subject s, struct str who, uint64_t n,
		  uint64_t now_mono_us)
{
	uint64_t rate = rates_of(l, s).bytes, most = (l->burst_ms + LIMIT_DEBT_MS_MAX) * 1000;
	struct entry *en;
	uint64_t tag, have;

	if (!rate || !n)
		return;
	tag = tag_of(l, s, who);
	lock_get(&l->mu);
	en = find_or_make(l, tag, now_mono_us);
	if (en) {
		have = level(en->bytes_us, now_mono_us) + cost_us(n, rate);
		en->bytes_us = now_mono_us + MIN(have, most);
	}
	lock_put(&l->mu);
}

enum err_kind limits_upload(struct limits *l, enum limit_subject s, struct str who,
			    uint64_t now_mono_us, uint64_t *ret_ticket, struct err *e)
{
	struct entry *en;
	uint64_t tag, max = l->uploads_max;
	bool refused;

	*ret_ticket = 0;
	if (!max)
		return ERR_OK;
	tag = tag_of(l, s, who);
	lock_get(&l->mu);
	en = find_or_make(l, tag, now_mono_us);
	refused = en && en->uploads >= max;
	if (refused) {
		l->stats.uploads++;
	} else if (en) {
		en->uploads++;
		*ret_ticket = tag;
	}
	lock_put(&l->mu);
	return refused ? err_set(e, ERR_TOO_MANY, __func__,
				 "%llu uploads at once are enough: let one end",
				 (unsigned long long)max)
		       : ERR_OK;
}

void limits_upload_end(struct limits *l, uint64_t ticket)
{
	struct entry *en;

	if (!ticket)
		return;
	lock_get(&l->mu);
	en = find(l, ticket); /* which stayed for it */
	if (en)
		en->uploads--;
	lock_put(&l->mu);
}

/* --- what is held --- */

/* The first that is due, or all in the end; NULL once there is nothing to wait for. */
static struct limit_hold *next_due(struct limits *l)
{
	struct limit_hold *h;

	lock_get(&l->mu);
	for (;;) {
		h = l->held;
		if (h && (l->stopping || h->due_mono_ms <= mono_ms()))
			break;
		if (!h && l->stopping)
			break;
		(void)lock_wait(&l->mu, &l->changed, h ? h->due_mono_ms : 0);
	}
	if (h) {
		l->held = h->next;
		if (!l->held)
			l->held_tail = &l->held;
		l->stats.held--;
	}
	lock_put(&l->mu);
	return h;
}

static void *holder_main(void *arg)
{
	struct limit_hold *h;

	while ((h = next_due(arg)))
		h->wake(h);
	return NULL;
}

bool limits_may_hold(struct limits *l)
{
	bool yes;

	lock_get(&l->mu);
	yes = l->has_thread && !l->stopping && l->stats.held < LIMIT_HELD_MAX;
	l->stats.held += yes;
	lock_put(&l->mu);
	return yes;
}

void limits_hold(struct limits *l, struct limit_hold *h)
{
	h->next = NULL;
	lock_get(&l->mu);
	h->due_mono_ms = mono_ms() + LIMIT_HOLD_MS;
	*l->held_tail = h;
	l->held_tail = &h->next;
	(void)pthread_cond_signal(&l->changed);
	lock_put(&l->mu);
}

/* --- the module --- */

void limits_set(struct limits *l, const struct limit_options *o)
{
	l->rates[LIMIT_ADDRESS].requests = o->address.requests;
	l->rates[LIMIT_ADDRESS].bytes = o->address.bytes;
	l->rates[LIMIT_IDENTITY].requests = o->identity.requests;
	l->rates[LIMIT_IDENTITY].bytes = o->identity.bytes;
	l->burst_ms = o->burst_ms;
	l->uploads_max = o->uploads;
}

enum err_kind limits_new(const struct limit_options *o, struct limits **ret, struct err *e)
{
	size_t n_sets = o->entries_max / WAYS ? o->entries_max / WAYS : 1;
	struct limits *l = calloc(1, sizeof(*l) + n_sets * WAYS * sizeof(l->entries[0]));

	if (!l)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for limits");
	limits_set(l, o);
	l->n_sets = n_sets;
	l->held_tail = &l->held;
	random_bytes(l->seed, sizeof(l->seed));
	lock_init(&l->mu, LOCK_LIMITS);
	cond_init(&l->changed);
	l->has_thread = pthread_create(&l->thread, NULL, holder_main, l) == 0;
	*ret = l;
	if (l->has_thread)
		return ERR_OK;
	limits_free(ret);
	return err_set(e, ERR_NO_MEMORY, __func__, "no thread for limits");
}

void limits_free(struct limits **take)
{
	struct limits *l = TAKE(*take);

	if (!l)
		return;
	lock_get(&l->mu);
	l->stopping = true;
	(void)pthread_cond_signal(&l->changed);
	lock_put(&l->mu);
	if (l->has_thread)
		(void)pthread_join(l->thread, NULL);
	(void)pthread_cond_destroy(&l->changed);
	lock_clear(&l->mu);
	free(l);
}

struct limit_stats limits_stats(struct limits *l)
{
	struct limit_stats s;

	lock_get(&l->mu);
	s = l->stats;
	lock_put(&l->mu);
	return s;
}
