#include "base/clock.h"
#include "server/ops.h"
#include "storage/history.h"
#include "storage/transfer.h"
#include "storage/trash.h"

#define EVENTS 100 /* that are told of unless asked otherwise */
#define EVENTS_MAX 1000

/* An event that outlives its record. */
struct kept {
	struct history_event ev;
	char who[CHANGE_WHO_MAX + 1];
};

/* The last of the events before a record; a ring. */
struct ring {
	struct kept *at; /* owned */
	size_t room;
	uint64_t n, newer; /* events before that record, and after */
	uint64_t before_seq;
};

static void ring_clear(struct ring *r)
{
	free(r->at);
}
#define AUTO_RING CLEANUP(ring_clear) struct ring

static enum err_kind ring_init(struct ring *r, size_t room, uint64_t before_seq, struct err *e)
{
	*r = (struct ring){ .room = room, .before_seq = before_seq };
	r->at = calloc(room, sizeof(*r->at));
	return r->at ? ERR_OK : err_set(e, ERR_NO_MEMORY, __func__, "no memory for a history");
}

static bool ring_add(void *arg, const struct history_event *ev)
{
	struct ring *r = arg;
	struct kept *k = &r->at[r->n % r->room];

	if (ev->seq >= r->before_seq) {
		r->newer++;
		return true;
	}
	k->ev = *ev;
	(void)str_copy(str_of(ev->who), k->who, sizeof(k->who));
	r->n++;
	return true;
}

/* The i'th from the newest; NULL if it is not kept. */
static const struct kept *ring_newest(const struct ring *r, uint64_t i)
{
	return i < MIN(r->n, (uint64_t)r->room) ? &r->at[(r->n - 1 - i) % r->room] : NULL;
}

static const char *text_or_null(const struct digest *d, char buf[static DIGEST_TEXT_MAX])
{
	return d->alg ? digest_text(d, buf) : NULL;
}

static void emit_event(struct op_call *c, const struct repo_name *repo, const struct kept *k,
		       uint64_t back)
{
	const struct history_event *ev = &k->ev;
	char time[TIME_TEXT_MAX], from[DIGEST_TEXT_MAX], to[DIGEST_TEXT_MAX];

	op_emit(c,
		jv_pack("{s:I, s:I, s:s, s:s, s:s, s:s*, s:s*, s:s, s:s*}", "back", (long long)back,
			"seq", (long long)ev->seq, "time", time_text(ev->at_ms, time), "repository",
			repo->s, "tag", ev->tag.s, "from", text_or_null(&ev->from, from), "to",
			text_or_null(&ev->to, to), "by",
			ev->by_gc      ? "gc"
			: ev->by_admin ? "admin"
				       : "client",
			"who", k->who[0] ? k->who : NULL));
}

enum err_kind op_history(struct op_call *c, struct err *e)
{
	uint64_t n = EVENTS, before = UINT64_MAX;
	const struct kept *oldest = NULL, *k_at;
	char next[32];
	struct str ignored;
	AUTO_RING ring = { .at = NULL };
	struct named named;
	enum err_kind k = op_named(c, "reference", &named, e);

	if (k == ERR_OK && named.has_digest)
		return err_set(e, ERR_INVALID, __func__, "tags have a history, digests do not");
	if (k == ERR_OK && op_text(c, "n", &ignored) && (!op_number(c, "n", &n) || n == 0))
		return err_set(e, ERR_INVALID, __func__, "n must be a number above 0");
	if (k == ERR_OK && op_text(c, "last", &ignored) && !op_number(c, "last", &before))
		return err_set(e, ERR_INVALID, __func__, "last must be the number of a record");
	if (k == ERR_OK)
		k = ring_init(&ring, MIN((size_t)n, (size_t)EVENTS_MAX), before, e);
	if (k == ERR_OK)
		k = history_read(c->ops->store, &named.repo, named.has_tag ? &named.tag : NULL,
				 ring_add, &ring, e);
	if (k != ERR_OK)
		return k;
	if (ring.n + ring.newer == 0)
		return err_set(e, ERR_NOT_FOUND, __func__, "nothing is known of it");
	for (uint64_t i = 0; (k_at = ring_newest(&ring, i)) && op_goes_on(c); i++) {
		emit_event(c, &named.repo, k_at, ring.newer + i);
		oldest = k_at;
	}
	(void)snprintf(next, sizeof(next), "%llu",
		       oldest ? (unsigned long long)oldest->ev.seq : 0ULL);
	op_emit_end(c, MIN(ring.n, (uint64_t)ring.room), ring.n > ring.room ? next : NULL);
	return ERR_OK;
}

/* --- rollback --- */

struct search {
	uint64_t back; /* UINT64_MAX: not by number */
	struct digest want;
	bool seen;                    /* the tag pointed to want once */
	struct digest newest, before; /* the last two different ones; alg 0: none */
	struct ring ring;
};

static bool look(void *arg, const struct history_event *ev)
{
	struct search *s = arg;

	if (ev->to.alg) {
		s->seen = s->seen || digest_eq(&ev->to, &s->want);
		if (!digest_eq(&ev->to, &s->newest))
			s->before = s->newest;
		s->newest = ev->to;
	}
	return ring_add(&s->ring, ev);
}

static enum err_kind parse_target(const struct op_call *c, struct search *s, struct err *e)
{
	struct str text;

	s->back = UINT64_MAX;
	if (!op_text(c, "to", &text) || digest_parse(&s->want, text))
		return ERR_OK;
	if (op_number(c, "to", &s->back) && s->back < EVENTS_MAX)
		return ERR_OK;
	return err_set(e, ERR_INVALID, __func__,
		       "\"to\" must be a digest, or the number that history gives (below %d)",
		       EVENTS_MAX);
}

static enum err_kind choose_numbered(const struct search *s, struct digest *ret, struct err *e)
{
	const struct kept *k = ring_newest(&s->ring, s->back);

	if (!k)
		return err_set(e, ERR_NOT_FOUND, __func__, "its history is not as long");
	if (!k->ev.to.alg)
		return err_set(e, ERR_NOT_FOUND, __func__, "the tag pointed to nothing then");
	*ret = k->ev.to;
	return ERR_OK;
}

/* now is what the tag points to, if anything. */
static enum err_kind choose(const struct search *s, const struct digest *now, struct digest *ret,
			    struct err *e)
{
	if (s->back != UINT64_MAX)
		return choose_numbered(s, ret, e);
	if (s->want.alg) {
		*ret = s->want;
		return s->seen
			   ? ERR_OK
			   : err_set(e, ERR_NOT_FOUND, __func__, "the tag never pointed to that");
	}
	*ret = now->alg && digest_eq(now, &s->newest) ? s->before : s->newest;
	return ret->alg ? ERR_OK
			: err_set(e, ERR_NOT_FOUND, __func__, "the tag has no earlier state");
}

/* The manifest whole, out of the trash if need be. */
static enum err_kind fetch_back(struct op_call *c, const struct repo_name *repo,
				const struct digest *d, bool *ret_restored, struct err *e)
{
	struct index *ix = store_index(c->ops->store);
	AUTO_SBUF refs = { .max = SBUF_MAX };
	struct manifest_row row;
	uint64_t id;
	enum err_kind k = index_manifest_look(ix, repo, d, &row, &refs, e);

	if (k != ERR_NOT_FOUND)
		return k;
	k = index_trash_find(ix, repo, d, &id, e);
	if (k == ERR_NOT_FOUND)
		return err_set(e, k, __func__,
			       "its manifest is neither in %.100s nor in the trash any more",
			       repo->s);
	if (k == ERR_OK)
		k = trash_restore(c->ops->store, id, c->guard, e);
	*ret_restored = k == ERR_OK;
	return k;
}

static enum err_kind point_to(struct op_call *c, const struct named *n, const struct digest *now,
			      const struct digest *to, struct err *e)
{
	struct transfer t = { .st = c->ops->store, .guard = c->guard, .force = true };
	char a[DIGEST_TEXT_MAX], b[DIGEST_TEXT_MAX];
	bool restored = false;
	enum err_kind k = fetch_back(c, &n->repo, to, &restored, e);

	if (k == ERR_OK)
		k = transfer_copy(&t, &n->repo, to, &n->repo, &n->tag, e);
	if (k == ERR_OK)
		op_emit(c,
			jv_pack("{s:s, s:s, s:s*, s:s, s:b, s:b}", "repository", n->repo.s, "tag",
				n->tag.s, "from", text_or_null(now, a), "to", digest_text(to, b),
				"restored", restored, "moved", !now->alg || !digest_eq(now, to)));
	return k;
}

enum err_kind op_rollback(struct op_call *c, struct err *e)
{
	struct search s = { .back = 0 };
	struct tag_row now = { .pushed_ms = 0 };
	struct digest to;
	struct named n;
	enum err_kind k = op_named(c, "reference", &n, e);

	if (k == ERR_OK && !n.has_tag)
		return err_set(e, ERR_INVALID, __func__, "a tag rolls back: REPOSITORY:TAG");
	if (k == ERR_OK)
		k = parse_target(c, &s, e);
	if (k == ERR_OK)
		k = ring_init(&s.ring, EVENTS_MAX, UINT64_MAX, e);
	if (k == ERR_OK)
		k = history_read(c->ops->store, &n.repo, &n.tag, look, &s, e);
	if (k == ERR_OK) {
		k = index_tag_find(store_index(c->ops->store), &n.repo, &n.tag, &now, e);
		if (k == ERR_NOT_FOUND)
			k = ERR_OK;
	}
	if (k == ERR_OK)
		k = choose(&s, &now.digest, &to, e);
	ring_clear(&s.ring);
	return k == ERR_OK ? point_to(c, &n, &now.digest, &to, e) : k;
}
