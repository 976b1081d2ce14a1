#include "storage/lease.h"

#include <string.h>

#include "base/clock.h"
#include "base/lock.h"

#define BUCKETS_MIN 1024u

struct lease {
	struct lease *next;
	struct lease_key key;
	uint64_t until_mono_ms;
	bool condemned;
};

struct leases {
	uint64_t lease_ms, all_until_mono_ms;
	struct lock mu;
	struct lease **buckets; /* under mu, as all below */
	size_t n_buckets;       /* a power of two */
	size_t n;
};

enum err_kind leases_new(uint64_t lease_ms, uint64_t lease_all_ms, struct leases **ret,
			 struct err *e)
{
	struct leases *ls = calloc(1, sizeof(*ls));

	if (ls)
		ls->buckets = calloc(BUCKETS_MIN, sizeof(struct lease *));
	if (!ls || !ls->buckets) {
		free(ls);
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for leases");
	}
	ls->n_buckets = BUCKETS_MIN;
	ls->lease_ms = lease_ms;
	ls->all_until_mono_ms = mono_ms() + lease_all_ms;
	lock_init(&ls->mu, LOCK_LEASES);
	*ret = ls;
	return ERR_OK;
}

/* Digests are random enough to be their own hash. */
static size_t bucket_of(const struct leases *ls, const struct lease_key *key)
{
	uint64_t h;

	memcpy(&h, key->digest.bytes, sizeof(h));
	h ^= key->repo * 0x9e3779b97f4a7c15u;
	return (size_t)(h ^ h >> 32) & (ls->n_buckets - 1);
}

static bool key_eq(const struct lease_key *a, const struct lease_key *b)
{
	return a->repo == b->repo && digest_eq(&a->digest, &b->digest);
}

/* Removes every lease that is over, or all of them. */
static void sweep(struct leases *ls, bool all)
{
	uint64_t now = mono_ms();

	for (size_t i = 0; i < ls->n_buckets; i++) {
		for (struct lease **at = &ls->buckets[i], *l = *at; l; l = *at) {
			if (!all && (l->condemned || l->until_mono_ms > now)) {
				at = &l->next;
				continue;
			}
			*at = l->next;
			free(l);
			ls->n--;
		}
	}
}

void leases_set(struct leases *ls, uint64_t lease_ms)
{
	lock_get(&ls->mu);
	ls->lease_ms = lease_ms;
	lock_put(&ls->mu);
}

void leases_free(struct leases **ls)
{
	struct leases *p = TAKE(*ls);

	if (!p)
		return;
	sweep(p, true);
	free(p->buckets);
	lock_clear(&p->mu);
	free(p);
}

/* Without memory the table stays as it is, and only gets slower. */
static void grow(struct leases *ls)
{
	size_t n = 2 * ls->n_buckets, old_n = ls->n_buckets;
	struct lease **buckets = calloc(n, sizeof(struct lease *)), **old = ls->buckets;

	if (!buckets)
		return;
	ls->buckets = buckets;
	ls->n_buckets = n;
	for (size_t i = 0; i < old_n; i++) {
		struct lease *next;

		for (struct lease *l = old[i]; l; l = next) {
			size_t b = bucket_of(ls, &l->key);

			next = l->next;
			l->next = buckets[b];
			buckets[b] = l;
		}
	}
	free(old);
}

static struct lease *find(const struct leases *ls, const struct lease_key *key)
{
	struct lease *l = ls->buckets[bucket_of(ls, key)];

	while (l && !key_eq(&l->key, key))
		l = l->next;
	return l;
}

static struct lease *find_or_make(struct leases *ls, const struct lease_key *key)
{
	struct lease *l = find(ls, key);

	if (l)
		return l;
	if (ls->n >= ls->n_buckets)
		grow(ls);
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->key = *key;
	l->next = ls->buckets[bucket_of(ls, key)];
	ls->buckets[bucket_of(ls, key)] = l;
	ls->n++;
	return l;
}

bool lease_take(struct leases *ls, const struct lease_key *key)
{
	uint64_t until_ms;
	struct lease *l;
	bool ok;

	lock_get(&ls->mu);
	until_ms = mono_ms() + ls->lease_ms;
	l = find_or_make(ls, key);
	ok = l && !l->condemned;
	if (ok && l->until_mono_ms < until_ms)
		l->until_mono_ms = until_ms;
	lock_put(&ls->mu);
	return ok;
}

bool lease_is_taken(struct leases *ls, const struct lease_key *key)
{
	uint64_t now = mono_ms();
	const struct lease *l;
	bool taken;

	lock_get(&ls->mu);
	l = find(ls, key);
	taken = now < ls->all_until_mono_ms || (l && l->until_mono_ms > now);
	lock_put(&ls->mu);
	return taken;
}

bool lease_condemn(struct leases *ls, const struct lease_key *key)
{
	uint64_t now = mono_ms();
	struct lease *l = NULL;
	bool ok;

	lock_get(&ls->mu);
	if (now >= ls->all_until_mono_ms)
		l = find_or_make(ls, key);
	ok = l && l->until_mono_ms <= now;
	if (ok)
		l->condemned = true;
	lock_put(&ls->mu);
	return ok;
}

void lease_spare(struct leases *ls, const struct lease_key *key)
{
	struct lease **at;

	lock_get(&ls->mu);
	at = &ls->buckets[bucket_of(ls, key)];
	while (*at && !key_eq(&(*at)->key, key))
		at = &(*at)->next;
	if (*at) {
		struct lease *l = *at;

		*at = l->next;
		free(l);
		ls->n--;
	}
	lock_put(&ls->mu);
}

void leases_expire(struct leases *ls)
{
	lock_get(&ls->mu);
	sweep(ls, false);
	lock_put(&ls->mu);
}

size_t leases_count(struct leases *ls)
{
	size_t n;

	lock_get(&ls->mu);
	n = ls->n;
	lock_put(&ls->mu);
	return n;
}
