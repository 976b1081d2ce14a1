#include "auth/keyring.h"

#include "base/clock.h"
#include "base/edit.h"
#include "base/filewatch.h"
#include "base/lock.h"
#include "base/secret.h"

#define KEYS_MAX 32
#define FILE_MAX (256u * 1024)
#define LEAD_MS_MAX 3600000u /* a key is published that long before it signs */

struct signer {
	uint64_t made_ms; /* wall clock */
	struct jose_key *key;
};

/* What one reading of the file gave. */
struct ring {
	_Atomic unsigned refs;
	size_t n; /* in order of age, the oldest first */
	struct signer signers[KEYS_MAX];
	struct jose_keys *keys;
	struct sbuf published;
};

struct keyring {
	const char *path;
	_Atomic uint64_t replace_ms, keep_ms;
	struct filewatch watch;
	struct lock mu;
	struct ring *ring; /* under mu */
};

static void ring_put(struct ring **take)
{
	struct ring *r = TAKE(*take);

	if (!r || --r->refs)
		return;
	for (size_t i = 0; i < r->n; i++)
		jose_key_free(&r->signers[i].key);
	jose_keys_put(&r->keys);
	sbuf_clear(&r->published);
	free(r);
}
#define AUTO_RING CLEANUP(ring_put) struct ring

static struct ring *ring_of(struct keyring *k)
{
	struct ring *r;

	lock_get(&k->mu);
	r = k->ring;
	r->refs++;
	lock_put(&k->mu);
	return r;
}

static void ring_set(struct keyring *k, struct ring *take)
{
	struct ring *old;

	lock_get(&k->mu);
	old = k->ring;
	k->ring = take;
	lock_put(&k->mu);
	ring_put(&old);
}

/* --- the file: {"keys":[{"made":MS,"key":JWK},..]}, the oldest first --- */

static enum err_kind not_ours(const struct keyring *k, struct err *e)
{
	return err_set(e, ERR_CORRUPT, __func__, "%.150s is not a file of keys of ours", k->path);
}

static enum err_kind read_signer(const struct keyring *k, const struct jv *v, struct signer *ret,
				 struct err *e)
{
	struct sbuf text;
	enum err_kind kind;

	if (!jv_uint(jv_member(v, "made"), &ret->made_ms) || !jv_is_object(jv_member(v, "key")))
		return not_ours(k, e);
	sbuf_init(&text, TOKEN_MAX);
	jv_dump(jv_member(v, "key"), &text);
	kind = text.failed ? not_ours(k, e)
			   : jose_key_parse((struct str){ text.p, text.n }, &ret->key, e);
	if (text.p)
		secret_wipe(text.p, text.cap);
	sbuf_clear(&text);
	return kind == ERR_CORRUPT ? not_ours(k, e) : kind;
}

static enum err_kind read_ring(const struct keyring *k, struct str text, struct ring **ret,
			       struct err *e)
{
	AUTO_JV *doc = NULL;
	AUTO_RING *r = calloc(1, sizeof(*r));
	const struct jv *list;
	enum err_kind kind = ERR_OK;

	if (!r)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for keys");
	r->refs = 1;
	if (text.n)
		kind = jv_parse_object(text, 8, &doc, e);
	if (kind == ERR_INVALID)
		return not_ours(k, e);
	list = jv_member(doc, "keys");
	if (kind == ERR_OK && (jv_count(list) > KEYS_MAX || (text.n && !jv_is_array(list))))
		return not_ours(k, e);
	for (; r->n < jv_count(list) && kind == ERR_OK; r->n++)
		kind = read_signer(k, jv_at(list, r->n), &r->signers[r->n], e);
	if (kind == ERR_OK)
		*ret = TAKE(r);
	return kind;
}

/* A list of all keys, with their secrets and ages, or as it is published. */
static enum err_kind write_ring(const struct ring *r, bool secret, struct sbuf *b, struct err *e)
{
	enum err_kind kind = ERR_OK;

	sbuf_add_str(b, STR("{\"keys\":["));
	for (size_t i = 0; i < r->n && kind == ERR_OK; i++) {
		const struct signer *s = &r->signers[i];

		sbuf_addf(b, "%s", i ? "," : "");
		if (secret)
			sbuf_addf(b, "\n{\"made\":%llu,\"key\":", (unsigned long long)s->made_ms);
		kind = jose_key_dump(s->key, secret, b, e);
		if (secret)
			sbuf_add_str(b, STR("}"));
	}
	sbuf_add_str(b, secret ? STR("]}\n") : STR("]}"));
	if (kind == ERR_OK && b->failed)
		kind = err_set(e, ERR_NO_MEMORY, __func__, "no memory for keys");
	return kind;
}

/* What readers use of it. */
static enum err_kind finish_ring(struct ring *r, struct err *e)
{
	enum err_kind kind;

	sbuf_clear(&r->published);
	sbuf_init(&r->published, FILE_MAX);
	kind = write_ring(r, false, &r->published, e);
	jose_keys_put(&r->keys);
	return kind == ERR_OK
		   ? jose_keys_parse((struct str){ r->published.p, r->published.n }, &r->keys, e)
		   : kind;
}

/* --- age --- */

static bool is_due(const struct keyring *k, const struct ring *r, uint64_t now)
{
	return r->n == 0 || now >= r->signers[r->n - 1].made_ms + k->replace_ms;
}

/* Everything that the oldest signed has ended: it signed until the next one took its place, everywhere. */
static bool is_spent(const struct keyring *k, const struct ring *r, uint64_t now)
{
	return now >= r->signers[1].made_ms + 2 * LEAD_MS_MAX + k->keep_ms;
}

/* The newest that has been published long enough, or the oldest. */
static const struct signer *signer_of(const struct keyring *k, const struct ring *r)
{
	uint64_t now = wall_ms(), lead = MIN(k->replace_ms / 8, (uint64_t)LEAD_MS_MAX);

	for (size_t i = r->n; i-- > 1;) {
		if (now >= r->signers[i].made_ms + lead)
			return &r->signers[i];
	}
	return &r->signers[0];
}

static enum err_kind renew(const struct keyring *k, struct ring *r, struct err *e)
{
	uint64_t now = wall_ms();

	while (r->n > 1 && (is_spent(k, r, now) || r->n == KEYS_MAX)) {
		jose_key_free(&r->signers[0].key);
		memmove(&r->signers[0], &r->signers[1], --r->n * sizeof(r->signers[0]));
		r->signers[r->n].key = NULL;
	}
	r->signers[r->n].made_ms = now;
	r->n++;
	return jose_key_make(&r->signers[r->n - 1].key, e);
}

/* Reads the file again, under its lock, since another process may have made a key just now. */
static enum err_kind make_key(struct keyring *k, bool *ret_made, struct err *e)
{
	AUTO_EDIT ed = EDIT_INIT;
	AUTO_RING *r = NULL;
	enum err_kind kind = edit_open(&ed, k->path, FILE_MAX, 0600, e);

	if (kind == ERR_OK)
		kind = read_ring(k, (struct str){ ed.old.p, ed.old.n }, &r, e);
	if (kind != ERR_OK)
		return kind;
	*ret_made = is_due(k, r, wall_ms());
	if (*ret_made) {
		kind = renew(k, r, e);
		if (kind == ERR_OK)
			kind = write_ring(r, true, &ed.new, e);
		if (kind == ERR_OK)
			kind = edit_save(&ed, e);
	}
	filewatch_mark(&k->watch);
	if (kind == ERR_OK)
		kind = finish_ring(r, e);
	if (kind == ERR_OK)
		ring_set(k, TAKE(r));
	return kind;
}

/* --- the module --- */

enum err_kind keyring_open(const struct keyring_options *o, struct keyring **ret, struct err *e)
{
	struct keyring *k = calloc(1, sizeof(*k));
	bool made;
	enum err_kind kind;

	*ret = NULL;
	if (!k)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for keys");
	k->path = o->path;
	keyring_set(k, o->replace_ms, o->keep_ms);
	lock_init(&k->mu, LOCK_AUTH);
	filewatch_init(&k->watch, o->path);
	kind = make_key(k, &made, e);
	if (kind == ERR_OK)
		*ret = TAKE(k);
	keyring_close(&k);
	return kind;
}

void keyring_close(struct keyring **take)
{
	struct keyring *k = TAKE(*take);

	if (!k)
		return;
	ring_put(&k->ring);
	lock_clear(&k->mu);
	free(k);
}

void keyring_set(struct keyring *k, uint64_t replace_ms, uint64_t keep_ms)
{
	k->replace_ms = replace_ms;
	if (k->keep_ms < keep_ms)
		k->keep_ms = keep_ms;
}

enum err_kind keyring_sign(struct keyring *k, const struct jv *payload, struct sbuf *b,
			   struct err *e)
{
	AUTO_RING *r = ring_of(k);

	return jose_sign(signer_of(k, r)->key, payload, b, e);
}

struct jose_keys *keyring_keys(struct keyring *k)
{
	AUTO_RING *r = ring_of(k);

	return jose_keys_get(r->keys);
}

enum err_kind keyring_publish(struct keyring *k, struct sbuf *b, struct err *e)
{
	AUTO_RING *r = ring_of(k);

	sbuf_add(b, r->published.p, r->published.n);
	return b->failed ? err_set(e, ERR_NO_MEMORY, __func__, "no memory for keys") : ERR_OK;
}

enum err_kind keyring_tend(struct keyring *k, bool at_once, bool *ret_made, struct err *e)
{
	AUTO_RING *r = ring_of(k);

	*ret_made = false;
	if (!at_once && !filewatch_changed(&k->watch) && !is_due(k, r, wall_ms()))
		return ERR_OK;
	return make_key(k, ret_made, e);
}
