#include "storage/closure.h"

#include <search.h>

#define DEPTH_MAX 32 /* of indexes within indexes */
#define PAGE 64

static int order(const void *a, const void *b)
{
	const struct closure_item *x = a, *y = b;

	return memcmp(&x->digest, &y->digest, sizeof(x->digest));
}

static void let_be(void *item)
{
	(void)item;
}

void closure_clear(struct closure *c)
{
	tdestroy(TAKE(c->by_digest), let_be);
	for (size_t i = 0; i < c->n; i++)
		free(c->items[i]);
	free(TAKE(c->items));
	c->n = c->room = 0;
}

struct closure_item *closure_find(const struct closure *c, const struct digest *d)
{
	struct closure_item key = { .digest = *d };
	void *node = tfind(&key, &c->by_digest, order);

	return node ? *(struct closure_item **)node : NULL;
}

static enum err_kind no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the parts of a manifest");
}

/* Takes the item, which stands at the end of the order from now on. */
static enum err_kind append(struct closure *c, struct closure_item *item, struct err *e)
{
	if (c->n == c->room) {
		size_t room = c->room ? 2 * c->room : PAGE;
		struct closure_item **grown = reallocarray(c->items, room, sizeof(void *));

		if (!grown) {
			(void)tdelete(item, &c->by_digest, order);
			free(item);
			return no_memory(e);
		}
		c->items = grown;
		c->room = room;
	}
	c->items[c->n++] = item;
	return ERR_OK;
}

/* An item of its own for the digest; NULL, and e is set, if that cannot be. */
static struct closure_item *known(struct closure *c, const struct digest *d, struct err *e)
{
	struct closure_item *item;

	if (c->n >= c->n_max) {
		(void)err_set(e, ERR_TOO_LARGE, __func__,
			      "it consists of more than %zu manifests and blobs", c->n_max);
		return NULL;
	}
	item = calloc(1, sizeof(*item));
	if (item)
		item->digest = *d;
	if (!item || !tsearch(item, &c->by_digest, order)) {
		(void)no_memory(e);
		free(item);
		return NULL;
	}
	return item;
}

struct gathering {
	struct closure *c;
	struct index *ix;
	const struct repo_name *repo;
	unsigned group, depth;
};

static enum err_kind add_manifest(struct gathering *g, const struct digest *d, struct err *e);

static enum err_kind add_blob(struct gathering *g, const struct manifest_ref *ref, struct err *e)
{
	struct closure_item *item;
	struct blob_info blob = { .size_bytes = 0 };
	enum err_kind k;

	if (closure_find(g->c, &ref->digest))
		return ERR_OK;
	k = index_blob_find(g->ix, g->repo, &ref->digest, &blob, e);
	if (k != ERR_OK && k != ERR_NOT_FOUND)
		return k;
	item = known(g->c, &ref->digest, e);
	if (!item)
		return e->kind;
	item->is_absent = k == ERR_NOT_FOUND;
	item->size_bytes = blob.size_bytes;
	item->ref_kind = ref->kind;
	item->group = g->group;
	return append(g->c, item, e);
}

static enum err_kind add_refs(struct gathering *g, struct str refs, struct err *e)
{
	struct manifest_ref ref;
	enum err_kind k = ERR_OK;

	while (k == ERR_OK && refs_next(&refs, &ref))
		k = ref.kind == REF_CHILD ? add_manifest(g, &ref.digest, e) : add_blob(g, &ref, e);
	return k;
}

/* A manifest after all that it refers to. */
static enum err_kind add_manifest(struct gathering *g, const struct digest *d, struct err *e)
{
	AUTO_SBUF refs = { .max = SBUF_MAX };
	struct closure_item *item;
	struct manifest_row row = { 0 };
	bool is_absent;
	enum err_kind k;

	if (closure_find(g->c, d))
		return ERR_OK;
	if (g->depth == DEPTH_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "indexes are nested too deeply");
	k = index_manifest_look(g->ix, g->repo, d, &row, &refs, e);
	is_absent = k == ERR_NOT_FOUND && (g->depth || g->group);
	if (k != ERR_OK && !is_absent)
		return k;
	g->depth++;
	k = add_refs(g, (struct str){ refs.p, refs.n }, e);
	g->depth--;
	if (k != ERR_OK || closure_find(g->c, d)) /* no index has itself, but who knows */
		return k;
	item = known(g->c, d, e);
	if (!item)
		return e->kind;
	item->is_manifest = true;
	item->is_absent = is_absent;
	item->size_bytes = row.size_bytes;
	item->pushed_ms = row.pushed_ms;
	item->has_subject = row.has_subject;
	item->subject = row.subject;
	item->group = g->group;
	return append(g->c, item, e);
}

static enum err_kind add_referrers(struct gathering *g, const struct digest *subject, struct err *e)
{
	struct referrer_mark page[PAGE], last;
	size_t n = PAGE;
	enum err_kind k = ERR_OK;

	for (bool first = true; k == ERR_OK && n == PAGE; first = false) {
		k = index_referrer_page(g->ix, g->repo, subject, first ? NULL : &last, PAGE, page,
					&n, e);
		for (size_t i = 0; k == ERR_OK && i < n; i++) {
			if (closure_find(g->c, &page[i].manifest))
				continue;
			g->group++;
			k = add_manifest(g, &page[i].manifest, e);
		}
		if (k == ERR_OK && n)
			last = page[n - 1];
	}
	return k;
}

enum err_kind closure_gather(struct closure *c, struct index *ix, const struct repo_name *repo,
			     const struct digest *d, bool with_referrers, struct err *e)
{
	struct gathering g = { .c = c, .ix = ix, .repo = repo };
	enum err_kind k = add_manifest(&g, d, e);

	/* What is added on the way has its turn as well. */
	for (size_t i = 0; k == ERR_OK && with_referrers && i < c->n; i++) {
		if (c->items[i]->is_manifest && !c->items[i]->is_absent)
			k = add_referrers(&g, &c->items[i]->digest, e);
	}
	return k;
}

uint64_t closure_bytes(const struct closure *c)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < c->n; i++)
		sum += c->items[i]->size_bytes;
	return sum;
}

/* --- what nothing else has --- */

struct sharing {
	const struct closure *c;
	const struct repo_name *repo;
	const struct tag_name *tag; /* of the root, that does not count; NULL: none of them does */
	bool is_root, is_shared;
};

static bool see_holder(void *arg, const struct holder *h)
{
	struct sharing *s = arg;
	const struct closure_item *by;

	if (h->is_tag) {
		s->is_shared =
		    !s->is_root || (s->tag && !str_eq(tag_name_str(s->tag), tag_name_str(&h->tag)));
	} else {
		by = closure_find(s->c, &h->manifest);
		s->is_shared = !by || !by->is_gone;
	}
	return !s->is_shared;
}

static bool see_place(void *arg, const struct repo_name *repo)
{
	struct sharing *s = arg;

	s->is_shared = !str_eq(repo_name_str(repo), repo_name_str(s->repo));
	return !s->is_shared;
}

/* A referrer goes with its subject. */
static bool outlives_subject(const struct closure *c, const struct closure_item *item)
{
	const struct closure_item *subject;

	if (item->group == 0 || !item->is_manifest || !item->has_subject)
		return false;
	subject = closure_find(c, &item->subject);
	return !subject || !subject->is_gone;
}

/* is_gone says that it would go. */
static enum err_kind decide(struct sharing *s, struct index *ix, struct closure_item *item,
			    struct err *e)
{
	enum err_kind k;

	s->is_shared = outlives_subject(s->c, item);
	if (s->is_shared)
		return ERR_OK;
	k = index_holders(ix, s->repo, &item->digest, see_holder, s, e);
	item->is_gone = k == ERR_OK && !s->is_shared;
	return k;
}

/* A group is a run of items. */
static size_t group_end(const struct closure *c, size_t first)
{
	size_t end = first;

	while (end < c->n && c->items[end]->group == c->items[first]->group)
		end++;
	return end;
}

static enum err_kind add_unique(struct sharing *s, struct index *ix,
				const struct closure_item *item, uint64_t *sum, struct err *e)
{
	enum err_kind k;

	s->is_shared = !item->is_gone || item->is_absent;
	if (s->is_shared)
		return ERR_OK;
	k = index_places(ix, &item->digest, see_place, s, e);
	if (k == ERR_OK && !s->is_shared)
		*sum += item->size_bytes;
	return k;
}

/* What refers before what is referred to: within groups of manifests from the end, and blobs at last. */
static enum err_kind decide_all(struct closure *c, struct index *ix, const struct repo_name *repo,
				const struct tag_name *tag, bool manifests, struct err *e)
{
	enum err_kind k = ERR_OK;
	size_t end;

	for (size_t first = 0; first < c->n; first = end) {
		end = group_end(c, first);
		for (size_t i = end; i-- > first && k == ERR_OK;) {
			struct sharing s = { .c = c,
					     .repo = repo,
					     .tag = tag,
					     .is_root = first == 0 && i + 1 == end };

			if (c->items[i]->is_manifest == manifests)
				k = decide(&s, ix, c->items[i], e);
		}
	}
	return k;
}

enum err_kind closure_unique(struct closure *c, struct index *ix, const struct repo_name *repo,
			     const struct tag_name *tag, uint64_t *ret, struct err *e)
{
	enum err_kind k = decide_all(c, ix, repo, tag, true, e);

	*ret = 0;
	if (k == ERR_OK)
		k = decide_all(c, ix, repo, tag, false, e);
	for (size_t i = 0; i < c->n && k == ERR_OK; i++) {
		struct sharing s = { .c = c, .repo = repo };

		k = add_unique(&s, ix, c->items[i], ret, e);
	}
	return k;
}
