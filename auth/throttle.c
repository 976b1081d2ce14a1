#include "auth/throttle.h"

#include "base/hash.h"
#include "base/lock.h"
#include "base/netaddr.h"

#define WAYS 8

/* Failures of one address, or of one account from one address. */
struct entry {
	uint64_t tag; /* a digest of what it stands for; 0: free */
	uint64_t last_mono_ms, until_mono_ms;
	unsigned failures, trying;
};

struct throttle {
	uint64_t seed;
	size_t n_sets;
	struct lock mu;
	struct throttle_options o; /* under mu */
	struct entry entries[];    /* under mu */
};

enum err_kind throttle_new(const struct throttle_options *o, struct throttle **ret, struct err *e)
{
	size_t n_sets = o->entries_max / WAYS ? o->entries_max / WAYS : 1;
	struct throttle *t = calloc(1, sizeof(*t) + n_sets * WAYS * sizeof(t->entries[0]));

	if (!t)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for failed logins");
	t->o = *o;
	t->n_sets = n_sets;
	random_bytes(&t->seed, sizeof(t->seed));
	lock_init(&t->mu, LOCK_AUTH);
	*ret = t;
	return ERR_OK;
}

void throttle_free(struct throttle **take)
{
	struct throttle *t = TAKE(*take);

	if (!t)
		return;
	lock_clear(&t->mu);
	free(t);
}

void throttle_set(struct throttle *t, const struct throttle_options *o)
{
	lock_get(&t->mu);
	t->o = *o;
	lock_put(&t->mu);
}

/* A collision would let two share their failures: the hash is a good one, and seeded. */
static uint64_t tag_of(const struct throttle *t, struct str account, struct str address)
{
	char text[64 + INET6_ADDRSTRLEN], buf[INET6_ADDRSTRLEN];
	struct digest whole, d;
	struct err e;
	uint64_t tag;
	struct str net = address_network(address, buf);
	int n;

	if (hash_bytes(DIGEST_SHA256, account.p, account.n, &whole, &e) != ERR_OK)
		return 0;
	memcpy(&tag, whole.bytes, sizeof(tag));
	n = snprintf(text, sizeof(text), "%llx %llx %zu %.*s", (unsigned long long)t->seed,
		     (unsigned long long)(account.n ? tag : 0), account.n,
		     (int)MIN(net.n, (size_t)INET6_ADDRSTRLEN), net.p);
	if (hash_bytes(DIGEST_SHA256, text, (size_t)n, &d, &e) != ERR_OK)
		return 0;
	memcpy(&tag, d.bytes, sizeof(tag));
	return tag | 1;
}

static bool is_old(const struct throttle *t, const struct entry *en, uint64_t now)
{
	return en->trying == 0 && now >= en->last_mono_ms + t->o.window_ms &&
	       now >= en->until_mono_ms;
}

/* Fewer failures, then longer ago; what is being tried stays if it can. */
static bool is_lesser(const struct entry *a, const struct entry *b)
{
	if ((a->trying == 0) != (b->trying == 0))
		return a->trying == 0;
	if (a->failures != b->failures)
		return a->failures < b->failures;
	return a->last_mono_ms < b->last_mono_ms;
}

/* The entry of a tag, or with make one that gives its place. */
static struct entry *entry_of(struct throttle *t, uint64_t tag, uint64_t now, bool make)
{
	struct entry *set = &t->entries[tag / 2 % t->n_sets * WAYS], *least = set;

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].tag && is_old(t, &set[i], now))
			set[i] = (struct entry){ .tag = 0 };
	}
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].tag == tag)
			return &set[i];
		if (least->tag && (!set[i].tag || is_lesser(&set[i], least)))
			least = &set[i];
	}
	if (!make)
		return NULL;
	*least = (struct entry){ .tag = tag, .last_mono_ms = now };
	return least;
}

/* How long until the next try; 0 is now. */
static uint64_t wait_of(const struct throttle *t, const struct entry *en, unsigned free_failures,
			uint64_t now)
{
	if (!en)
		return 0;
	if (now < en->until_mono_ms)
		return en->until_mono_ms - now;
	/* H3: with these the limit is reached, so they are to end first */
	if (en->trying && en->failures + en->trying >= free_failures)
		return t->o.wait_ms_min;
	return 0;
}

/* What a try counts against. */
struct counted {
	uint64_t address, account, everywhere;
};

static struct counted counted_of(const struct throttle *t, struct str account, struct str address)
{
	const struct str any = { "", 0 };

	return (struct counted){ tag_of(t, any, address), tag_of(t, account, address),
				 tag_of(t, account, any) };
}

static unsigned free_of_account(struct throttle *t, const struct counted *c, uint64_t now)
{
	const struct entry *en = entry_of(t, c->everywhere, now, false);

	return en && en->failures >= t->o.free_everywhere ? 1 : t->o.free_account;
}

enum err_kind throttle_begin(struct throttle *t, struct str account, struct str address,
			     uint64_t now_mono_ms, uint64_t *ret_wait_ms, struct err *e)
{
	const struct counted c = counted_of(t, account, address);
	uint64_t wait_a, wait_b;

	lock_get(&t->mu);
	wait_a =
	    wait_of(t, entry_of(t, c.address, now_mono_ms, false), t->o.free_address, now_mono_ms);
	wait_b = wait_of(t, entry_of(t, c.account, now_mono_ms, false),
			 free_of_account(t, &c, now_mono_ms), now_mono_ms);
	if (wait_a == 0 && wait_b == 0) {
		entry_of(t, c.address, now_mono_ms, true)->trying++;
		entry_of(t, c.account, now_mono_ms, true)->trying++;
	}
	lock_put(&t->mu);
	*ret_wait_ms = wait_a > wait_b ? wait_a : wait_b;
	if (*ret_wait_ms)
		return err_set(e, ERR_TOO_MANY, __func__, "too many failed logins");
	return ERR_OK;
}

static void end_try(struct entry *en)
{
	if (en && en->trying)
		en->trying--;
}

static void fail(struct throttle *t, struct entry *en, unsigned free_failures, uint64_t now)
{
	unsigned over;

	en->failures++;
	en->last_mono_ms = now;
	if (en->failures < free_failures)
		return;
	over = MIN(en->failures - free_failures, 30u);
	en->until_mono_ms = now + MIN(t->o.wait_ms_min << over, t->o.wait_ms_max);
}

void throttle_end(struct throttle *t, struct str account, struct str address, uint64_t now_mono_ms,
		  enum throttle_result r)
{
	const struct counted c = counted_of(t, account, address);
	struct entry *en;

	lock_get(&t->mu);
	end_try(entry_of(t, c.address, now_mono_ms, false));
	en = entry_of(t, c.account, now_mono_ms, false);
	end_try(en);
	if (r == THROTTLE_RIGHT && en)
		en->failures =
		    0; /* not the address's: an account of one's own makes up for nothing */
	if (r == THROTTLE_WRONG) {
		fail(t, entry_of(t, c.account, now_mono_ms, true),
		     free_of_account(t, &c, now_mono_ms), now_mono_ms);
		fail(t, entry_of(t, c.address, now_mono_ms, true), t->o.free_address, now_mono_ms);
		fail(t, entry_of(t, c.everywhere, now_mono_ms, true), UINT32_MAX, now_mono_ms);
	}
	lock_put(&t->mu);
}
