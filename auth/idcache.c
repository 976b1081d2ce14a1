#include "auth/idcache.h"

#include "base/clock.h"
#include "base/lock.h"

#define WAYS 4 /* places where an entry may be */
#define CHECKS_MAX 64

struct entry {
	uint8_t mac[MAC_BYTES];
	uint64_t until_mono_ms;
	struct identity *id; /* NULL: free */
};

struct check {
	uint8_t mac[MAC_BYTES];
	bool busy;
	unsigned waiting; /* for its end: the place is not free before they read the result */
	enum err_kind result;
};

struct idcache {
	struct mac *mac;
	size_t n_sets;
	struct lock mu;
	pthread_cond_t checked;
	uint64_t age, ttl_ms;            /* under mu */
	struct check checks[CHECKS_MAX]; /* under mu */
	struct entry entries[];          /* under mu */
};

enum err_kind idcache_new(size_t entries_max, uint64_t ttl_ms, struct idcache **ret, struct err *e)
{
	size_t n_sets = entries_max / WAYS ? entries_max / WAYS : 1;
	struct idcache *c = calloc(1, sizeof(*c) + n_sets * WAYS * sizeof(c->entries[0]));
	enum err_kind k;

	if (!c)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for identities");
	k = mac_new(&c->mac, e);
	if (k != ERR_OK) {
		free(c);
		return k;
	}
	c->ttl_ms = ttl_ms;
	c->n_sets = n_sets;
	lock_init(&c->mu, LOCK_AUTH);
	cond_init(&c->checked);
	*ret = c;
	return ERR_OK;
}

void idcache_free(struct idcache **take)
{
	struct idcache *c = TAKE(*take);

	if (!c)
		return;
	idcache_forget(c);
	(void)pthread_cond_destroy(&c->checked);
	lock_clear(&c->mu);
	mac_free(&c->mac);
	free(c);
}

bool idcache_key(struct idcache *c, const char *kind, struct str a, struct str b,
		 struct idcache_key *ret)
{
	const struct str parts[] = { str_of(kind), a, b };

	lock_get(&c->mu);
	ret->age = c->age;
	lock_put(&c->mu);
	return mac_of(c->mac, parts, ARRAY_LEN(parts), ret->mac);
}

static struct entry *set_of(struct idcache *c, const struct idcache_key *key)
{
	uint64_t h;

	memcpy(&h, key->mac, sizeof(h));
	return &c->entries[h % c->n_sets * WAYS];
}

struct identity *idcache_find(struct idcache *c, const struct idcache_key *key)
{
	struct entry *set = set_of(c, key);
	struct identity *found = NULL;
	uint64_t now = mono_ms();

	lock_get(&c->mu);
	for (size_t i = 0; i < WAYS && !found; i++) {
		if (set[i].id && now < set[i].until_mono_ms &&
		    secret_eq(set[i].mac, key->mac, MAC_BYTES))
			found = identity_get(set[i].id);
	}
	lock_put(&c->mu);
	/* Another clock, which may have been set since. */
	if (found && found->until_wall_ms && wall_ms() >= found->until_wall_ms)
		identity_put(&found);
	return found;
}

void idcache_add(struct idcache *c, const struct idcache_key *key, struct identity *id)
{
	struct entry *set = set_of(c, key), *to = set;
	struct identity *old = NULL;

	lock_get(&c->mu);
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].id && memcmp(set[i].mac, key->mac, MAC_BYTES) == 0) {
			to = &set[i];
			break;
		}
		if (!set[i].id || (to->id && set[i].until_mono_ms < to->until_mono_ms))
			to = &set[i];
	}
	if (key->age == c->age) {
		old = to->id;
		memcpy(to->mac, key->mac, MAC_BYTES);
		to->until_mono_ms = mono_ms() + c->ttl_ms;
		to->id = identity_get(id);
	}
	lock_put(&c->mu);
	identity_put(&old);
}

void idcache_forget(struct idcache *c)
{
	lock_get(&c->mu);
	c->age++;
	for (size_t i = 0; i < c->n_sets * WAYS; i++)
		identity_put(&c->entries[i].id);
	lock_put(&c->mu);
}

void idcache_set_ttl(struct idcache *c, uint64_t ttl_ms)
{
	bool is_shorter;

	lock_get(&c->mu);
	is_shorter = ttl_ms < c->ttl_ms;
	c->ttl_ms = ttl_ms;
	lock_put(&c->mu);
	if (is_shorter)
		idcache_forget(c);
}

/* The check of these credentials that is going on, or with NULL a free place; NULL if there is none. */
static struct check *find_check(struct idcache *c, const struct idcache_key *key)
{
	for (size_t i = 0; i < CHECKS_MAX; i++) {
		struct check *k = &c->checks[i];

		if (key ? k->busy && memcmp(k->mac, key->mac, MAC_BYTES) == 0
			: !k->busy && k->waiting == 0)
			return k;
	}
	return NULL;
}

bool idcache_begin(struct idcache *c, const struct idcache_key *key, enum err_kind *ret)
{
	struct check *k;
	bool ours;

	lock_get(&c->mu);
	k = find_check(c, key);
	ours = !k;
	if (ours) {
		k = find_check(c,
			       NULL); /* without one two may check the same, which is only slow */
		if (k) {
			memcpy(k->mac, key->mac, MAC_BYTES);
			k->busy = true;
		}
	} else {
		k->waiting++;
		while (k->busy)
			(void)lock_wait(&c->mu, &c->checked, 0);
		k->waiting--;
		*ret = k->result;
	}
	lock_put(&c->mu);
	return ours;
}

void idcache_checked(struct idcache *c, const struct idcache_key *key, enum err_kind result)
{
	struct check *k;

	lock_get(&c->mu);
	k = find_check(c, key);
	if (k) {
		k->busy = false;
		k->result = result;
	}
	(void)pthread_cond_broadcast(&c->checked);
	lock_put(&c->mu);
}
