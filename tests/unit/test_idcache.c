#include "auth/idcache.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static struct identity *named(const char *name)
{
	const struct identity like = { .kind = IDENTITY_USER, .name = str_of(name) };
	struct identity *id;
	struct err e;

	assert_ok(identity_new(&like, &id, &e), &e);
	return id;
}

static struct idcache *cache_of(size_t n, uint64_t ttl_ms)
{
	struct idcache *c;
	struct err e;

	assert_ok(idcache_new(n, ttl_ms, &c, &e), &e);
	return c;
}

static struct idcache_key key_of(struct idcache *c, const char *a, const char *b)
{
	struct idcache_key k;

	assert_true(idcache_key(c, "k", str_of(a), str_of(b), &k));
	return k;
}

static bool finds(struct idcache *c, const struct idcache_key *k, const char *name)
{
	AUTO_IDENTITY *id = idcache_find(c, k);

	if (!id || !name)
		return !id && !name;
	return str_eq(id->name, str_of(name));
}

static void test_find(void **state)
{
	struct idcache *c = cache_of(16, 60000);
	AUTO_IDENTITY *alice = named("alice"), *bob = named("bob");
	struct idcache_key a = key_of(c, "alice", "pw"), b = key_of(c, "alice", "pX");
	struct idcache_key other;

	(void)state;
	assert_true(finds(c, &a, NULL));
	idcache_add(c, &a, alice);
	assert_true(finds(c, &a, "alice"));
	assert_true(finds(c, &b, NULL));
	assert_true(idcache_key(c, "other", STR("alice"), STR("pw"), &other));
	assert_true(finds(c, &other, NULL));
	idcache_add(c, &a, bob); /* the later one counts */
	assert_true(finds(c, &a, "bob"));
	idcache_free(&c);
	assert_null(c);
	assert_int_equal(alice->refs, 1);
	assert_int_equal(bob->refs, 1);
}

/* C2: what was being checked while the cache was emptied does not come in. */
static void test_forget(void **state)
{
	struct idcache *c = cache_of(16, 60000);
	AUTO_IDENTITY *alice = named("alice");
	struct idcache_key before = key_of(c, "alice", "pw"), after;

	(void)state;
	idcache_add(c, &before, alice);
	idcache_forget(c);
	assert_true(finds(c, &before, NULL));
	idcache_add(c, &before, alice);
	assert_true(finds(c, &before, NULL));
	after = key_of(c, "alice", "pw");
	idcache_add(c, &after, alice);
	assert_true(finds(c, &before, "alice"));
	idcache_free(&c);
}

static void test_ends(void **state)
{
	struct idcache *none = cache_of(16, 0), *c = cache_of(16, 60000);
	struct identity like = { .kind = IDENTITY_USER, .name = STR("a") };
	AUTO_IDENTITY *past = NULL, *future = NULL;
	struct idcache_key k = key_of(none, "a", "");
	struct err e;

	(void)state;
	like.until_wall_ms = wall_ms() + 60000;
	assert_ok(identity_new(&like, &future, &e), &e);
	idcache_add(none, &k, future);
	assert_true(finds(none, &k, NULL));
	k = key_of(c, "a", "");
	idcache_add(c, &k, future);
	assert_true(finds(c, &k, "a"));
	like.until_wall_ms = wall_ms() - 1;
	assert_ok(identity_new(&like, &past, &e), &e);
	idcache_add(c, &k, past);
	assert_true(finds(c, &k, NULL));
	idcache_free(&none);
	idcache_free(&c);
}

/* C3: as many as there is room for, and the latest among them. */
static void test_room(void **state)
{
	struct idcache *c = cache_of(64, 60000);
	unsigned found = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		char name[16];
		struct idcache_key k;
		AUTO_IDENTITY *id = NULL;

		(void)snprintf(name, sizeof(name), "u%u", i);
		id = named(name);
		k = key_of(c, name, "");
		idcache_add(c, &k, id);
		assert_true(finds(c, &k, name));
	}
	for (unsigned i = 0; i < 1000; i++) {
		char name[16];
		struct idcache_key k;

		(void)snprintf(name, sizeof(name), "u%u", i);
		k = key_of(c, name, "");
		found += finds(c, &k, name);
	}
	assert_in_range(found, 40, 64);
	idcache_free(&c);
}

struct waiter {
	struct idcache *c;
	struct idcache_key key;
	_Atomic pid_t tid;
	bool ours;
	enum err_kind result;
};

static void *wait_for_check(void *arg)
{
	struct waiter *w = arg;

	w->tid = gettid();
	w->ours = idcache_begin(w->c, &w->key, &w->result);
	return NULL;
}

static void test_one_check(void **state)
{
	struct idcache *c = cache_of(16, 60000);
	struct waiter w[3];
	struct idcache_key other = key_of(c, "b", "");
	pthread_t t[3];
	enum err_kind k;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		w[i] = (struct waiter){ .c = c, .key = key_of(c, "a", "") };
	assert_true(idcache_begin(c, &w[0].key, &k));
	assert_true(idcache_begin(c, &other, &k)); /* something else does not wait */
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		MUST(pthread_create(&t[i], NULL, wait_for_check, &w[i]) == 0);
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		while (!w[i].tid || !unit_thread_sleeps(w[i].tid))
			(void)sched_yield();
	}
	idcache_checked(c, &w[0].key, ERR_TOO_MANY);
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		MUST(pthread_join(t[i], NULL) == 0);
		assert_false(w[i].ours);
		assert_int_equal(w[i].result, ERR_TOO_MANY);
	}
	assert_true(idcache_begin(c, &w[0].key, &k)); /* the next one is to be made */
	idcache_checked(c, &w[0].key, ERR_OK);
	idcache_checked(c, &other, ERR_OK);
	idcache_free(&c);
}

/* More checks at once than there are places for. */
static void test_many_checks(void **state)
{
	struct idcache *c = cache_of(16, 60000);
	struct idcache_key k[100];
	enum err_kind r;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(k); i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "u%u", i);
		k[i] = key_of(c, name, "");
		assert_true(idcache_begin(c, &k[i], &r));
	}
	for (unsigned i = 0; i < ARRAY_LEN(k); i++)
		idcache_checked(c, &k[i], ERR_OK);
	for (unsigned i = 0; i < ARRAY_LEN(k); i++) {
		assert_true(idcache_begin(c, &k[i], &r));
		idcache_checked(c, &k[i], ERR_OK);
	}
	idcache_free(&c);
}

int main(void)
{
	unit_case("found", test_find);
	unit_case("forgotten", test_forget);
	unit_case("ended", test_ends);
	unit_case("more than there is room for", test_room);
	unit_case("one check at a time", test_one_check);
	unit_case("many checks", test_many_checks);
	return unit_run();
}
