#include "storage/history.h"

#include <search.h>

#include "storage/reflog.h"
#include "storage/store_impl.h"

/* A tag as of the record that is being read, in a list of those that point to the same. */
struct tag_state {
	struct tag_name name;
	struct target *target; /* NULL: it is not there */
	struct tag_state *next, **back;
};

struct target {
	struct digest digest;
	struct tag_state *tags;
};

struct reading {
	const struct tag_name *only;
	uint64_t last_seq;
	void *tags, *targets; /* tsearch */
	history_fn *fn;
	void *arg;
	bool ended;
};

static int tag_order(const void *a, const void *b)
{
	return strcmp(((const struct tag_state *)a)->name.s, ((const struct tag_state *)b)->name.s);
}

static int target_order(const void *a, const void *b)
{
	return memcmp(&((const struct target *)a)->digest, &((const struct target *)b)->digest,
		      sizeof(struct digest));
}

static enum err_kind no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the history of tags");
}

/* What is found under the key, or else a copy of it that the tree owns; NULL without memory. */
static void *find_or_add(void **tree, const void *key, size_t size,
			 int (*order)(const void *, const void *))
{
	void *node = tfind(key, tree, order), *own;

	if (node)
		return *(void **)node;
	own = malloc(size);
	if (!own)
		return NULL;
	memcpy(own, key, size);
	if (tsearch(own, tree, order))
		return own;
	free(own);
	return NULL;
}

static void tell(struct reading *r, const struct reflog_record *rec, const struct tag_state *tag,
		 const struct target *to)
{
	struct history_event ev = { .seq = rec->seq,
				    .at_ms = rec->at_ms,
				    .tag = tag->name,
				    .by_gc = rec->by_gc,
				    .by_admin = rec->by_admin,
				    .who = rec->who };

	if (tag->target)
		ev.from = tag->target->digest;
	if (to)
		ev.to = to->digest;
	r->ended = r->ended || !r->fn(r->arg, &ev);
}

static void move(struct reading *r, const struct reflog_record *rec, struct tag_state *tag,
		 struct target *to)
{
	tell(r, rec, tag, to);
	if (tag->target) {
		*tag->back = tag->next;
		if (tag->next)
			tag->next->back = tag->back;
	}
	tag->target = to;
	if (to) {
		tag->next = to->tags;
		if (to->tags)
			to->tags->back = &tag->next;
		tag->back = &to->tags;
		to->tags = tag;
	}
}

static enum err_kind put_tags(struct reading *r, const struct reflog_record *rec, struct err *e)
{
	const struct target at = { .digest = rec->digest };

	for (size_t i = 0; i < rec->n_tags && !r->ended; i++) {
		const struct tag_state key = { .name = rec->tags[i] };
		struct tag_state *tag;
		struct target *to;

		if (r->only && !str_eq(tag_name_str(r->only), tag_name_str(&rec->tags[i])))
			continue;
		tag = find_or_add(&r->tags, &key, sizeof(key), tag_order);
		to = tag ? find_or_add(&r->targets, &at, sizeof(at), target_order) : NULL;
		if (!to)
			return no_memory(e);
		move(r, rec, tag, to);
	}
	return ERR_OK;
}

static void drop_tag(struct reading *r, const struct reflog_record *rec)
{
	const struct tag_state key = { .name = rec->tags[0] };
	void *node = tfind(&key, &r->tags, tag_order);
	struct tag_state *tag = node ? *(struct tag_state **)node : NULL;

	if (tag && tag->target)
		move(r, rec, tag, NULL);
}

/* A manifest went, with all its tags. */
static void drop_manifest(struct reading *r, const struct reflog_record *rec)
{
	const struct target key = { .digest = rec->digest };
	void *node = tfind(&key, &r->targets, target_order);
	struct target *target = node ? *(struct target **)node : NULL;

	while (target && target->tags && !r->ended)
		move(r, rec, target->tags, NULL);
}

static enum err_kind take(void *arg, const struct reflog_record *rec, struct err *e)
{
	struct reading *r = arg;

	if (r->ended || rec->seq > r->last_seq)
		return ERR_OK;
	if (rec->kind == CHANGE_MANIFEST_PUT)
		return put_tags(r, rec, e);
	if (rec->kind == CHANGE_TAG_DELETE && rec->n_tags)
		drop_tag(r, rec);
	else if (rec->kind == CHANGE_MANIFEST_DELETE)
		drop_manifest(r, rec);
	return ERR_OK;
}

enum err_kind history_read(struct store *st, const struct repo_name *repo,
			   const struct tag_name *tag, history_fn *fn, void *arg, struct err *e)
{
	struct reading r = { .only = tag, .fn = fn, .arg = arg };
	struct reflog_mark mark;
	enum err_kind k = index_mark_read(st->index, &mark, e);

	r.last_seq = mark.seq;
	if (k == ERR_OK)
		k = reflog_read_repo(st->reflog_fd, repo, take, &r, e);
	tdestroy(r.tags, free);
	tdestroy(r.targets, free);
	return k;
}
