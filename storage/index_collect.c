#include "storage/index_impl.h"

/* --- what is to be done with what is due --- */

struct decision {
	enum verdict verdict;
	bool is_queued;               /* the row is still there: not taken out, not put off */
	struct repo_name repo;        /* empty for content */
	uint64_t size_bytes;          /* of what the verdict removes */
	uint64_t due_ms;              /* VERDICT_WAIT */
	struct manifest_row manifest; /* VERDICT_MANIFEST */
	struct str refs;              /* points into the map */
};

static enum err_kind size_of(struct kv_txn *t, const struct digest *d, uint64_t *ret, struct err *e)
{
	struct object_row row;
	enum err_kind k = index_get_object(t, d, &row, e);

	if (k == ERR_OK)
		*ret = row.size_bytes;
	return k;
}

static enum err_kind decide_content(struct kv_txn *t, const struct review_row *r,
				    struct decision *ret, struct err *e)
{
	struct key places = content_key(&r->digest, CONTENT_PLACE),
		   trash = content_key(&r->digest, CONTENT_TRASH);
	enum err_kind k = index_first(t, KV_CONTENT, &places, NULL, e);

	if (k == ERR_NOT_FOUND)
		k = index_first(t, KV_CONTENT, &trash, NULL, e);
	if (k != ERR_NOT_FOUND)
		return k; /* in use, or queued again when it leaves the trash */
	k = size_of(t, &r->digest, &ret->size_bytes, e);
	if (k == ERR_OK)
		ret->verdict = VERDICT_CONTENT;
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

/* A manifest without a tag: does its subject keep it, or do the rules? */
static enum err_kind decide_manifest(struct kv_txn *t, const struct review_row *r,
				     const struct review_policy *p, struct decision *ret,
				     struct err *e)
{
	bool has_subject = false;
	enum err_kind k = ERR_OK;

	if (ret->manifest.has_subject)
		k = index_has_entry(t, r->repo, &ret->manifest.subject, &has_subject, e);
	if (k != ERR_OK || has_subject)
		return k;
	ret->size_bytes = ret->manifest.size_bytes;
	if (r->why == REVIEW_NO_SUBJECT) {
		ret->verdict = VERDICT_MANIFEST;
	} else if (p->untagged_keep_ms == UINT64_MAX) {
		ret->verdict = VERDICT_PARK;
	} else if (p->now_ms < r->since_ms || p->now_ms - r->since_ms < p->untagged_keep_ms) {
		ret->verdict = VERDICT_WAIT;
		ret->due_ms = r->since_ms + p->untagged_keep_ms;
	} else {
		ret->verdict = VERDICT_MANIFEST;
	}
	return ERR_OK;
}

static enum err_kind decide_entry(struct kv_txn *t, const struct review_row *r,
				  const struct review_policy *p, struct decision *ret,
				  struct err *e)
{
	bool held = false;
	enum err_kind k = index_get_repo_name(t, r->repo, &ret->repo, e);

	if (k == ERR_OK)
		k = index_is_held(t, r->repo, &r->digest, &held, e);
	if (k != ERR_OK || held)
		return k == ERR_NOT_FOUND ? ERR_OK : k;
	k = index_get_manifest(t, r->repo, &r->digest, &ret->manifest, &ret->refs, e);
	if (k == ERR_OK)
		return decide_manifest(t, r, p, ret, e);
	if (k == ERR_NOT_FOUND)
		k = index_has_link(t, r->repo, &r->digest, e);
	if (k == ERR_OK) {
		ret->verdict = VERDICT_LINK;
		k = size_of(t, &r->digest, &ret->size_bytes, e);
	}
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

/* The same for a look and for a change, so that a dry run tells what a cycle would do. */
static enum err_kind decide(struct kv_txn *t, const struct review_row *r,
			    const struct review_policy *p, struct decision *ret, struct err *e)
{
	struct key key = review_key(r);
	struct str v;
	enum err_kind k = kv_get(t, KV_REVIEW, key_str(&key), &v, e);

	*ret = (struct decision){ .verdict = VERDICT_STALE };
	if (k != ERR_OK)
		return k == ERR_NOT_FOUND ? ERR_OK : k;
	ret->is_queued = true;
	return r->why == REVIEW_CONTENT ? decide_content(t, r, ret, e)
					: decide_entry(t, r, p, ret, e);
}

/* No second manifest of the repository refers to it. */
static enum err_kind has_one_holder(struct kv_txn *t, uint64_t repo, const struct digest *d,
				    bool *ret, struct err *e)
{
	AUTO_KV_CURSOR *c = NULL;
	struct key prefix = entry_key(repo, d, ENTRY_HELD);
	struct str key, value;
	enum err_kind k = kv_cursor_open(t, KV_ENTRY, &c, e);

	if (k == ERR_OK)
		k = kv_seek(c, key_str(&prefix), &key, &value, e);
	if (k == ERR_OK)
		k = kv_next(c, &key, &value, e);
	*ret = k == ERR_NOT_FOUND || (k == ERR_OK && !str_starts(key, key_str(&prefix)));
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

static enum err_kind share_of(struct kv_txn *t, uint64_t repo, const struct decision *d,
			      uint64_t *ret, struct err *e)
{
	struct str rest = d->refs;
	struct manifest_ref ref;
	enum err_kind k = ERR_OK;

	*ret = d->size_bytes;
	while (d->verdict == VERDICT_MANIFEST && k == ERR_OK && refs_next(&rest, &ref)) {
		uint64_t size = 0;
		bool alone = false;

		if (ref.kind == REF_CHILD)
			continue;
		k = has_one_holder(t, repo, &ref.digest, &alone, e);
		if (k == ERR_OK && alone)
			k = size_of(t, &ref.digest, &size, e);
		if (k == ERR_NOT_FOUND)
			k = ERR_OK; /* it was absent from the start */
		*ret += size;
	}
	return k;
}

enum err_kind index_review_look(struct index *ix, const struct review_row *r,
				const struct review_policy *p, struct review_finding *ret,
				struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	struct decision d;
	uint64_t share = 0;
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	if (k == ERR_OK)
		k = decide(t, r, p, &d, e);
	if (k == ERR_OK)
		k = share_of(t, r->repo, &d, &share, e);
	if (k == ERR_OK)
		*ret = (struct review_finding){ .verdict = d.verdict,
						.repo = d.repo,
						.size_bytes = d.size_bytes,
						.share_bytes = share };
	return k;
}

/* --- doing it --- */

static enum err_kind requeue(struct index_txn *t, const struct review_row *r, uint64_t due_ms,
			     struct err *e)
{
	struct review_row v = *r;

	v.due_ms = due_ms;
	return due_ms == r->due_ms ? ERR_OK : review_put(t, &v, e);
}

static enum err_kind collect_link(struct index_txn *t, struct change *c, struct err *e)
{
	struct trash_row gone = { .kind = TRASH_BLOB,
				  .digest = c->digest,
				  .size_bytes = c->size_bytes,
				  .repo = c->repo };
	enum err_kind k = trash_put(t, c, &gone, STR(""), STR(""), e);

	if (k == ERR_OK)
		k = link_drop(t, c, c->review.repo, e);
	return k == ERR_OK ? repo_drop_if_empty(t, &c->repo, c->review.repo, e) : k;
}

static enum err_kind collect_manifest(struct index_txn *t, struct change *c,
				      const struct decision *d, struct err *e)
{
	enum err_kind k = manifest_drop(t, c, c->review.repo, &d->manifest, d->refs, e);

	return k == ERR_OK ? repo_drop_if_empty(t, &c->repo, c->review.repo, e) : k;
}

/* A tombstone tells the next start to remove the file, if this process does not get to it. */
static enum err_kind collect_content(struct index_txn *t, struct change *c, struct err *e)
{
	struct key key = { 0 };
	enum err_kind k = review_drop(t, 0, &c->digest, e);

	key_digest(&key, &c->digest);
	if (k == ERR_OK)
		k = object_drop(t, &c->digest, e);
	return k == ERR_OK ? row_put(t, KV_DOOMED, &key, STR(""), e) : k;
}

enum err_kind apply_collect(struct index_txn *t, struct change *c, struct err *e)
{
	struct decision d;
	enum err_kind k = decide(t->kv, &c->review, &c->policy, &d, e);

	if (k != ERR_OK)
		return k;
	c->verdict = d.verdict;
	c->repo = d.repo;
	c->digest = c->review.digest;
	c->size_bytes = d.size_bytes;
	if (c->stays && (d.verdict == VERDICT_LINK || d.verdict == VERDICT_MANIFEST)) {
		c->verdict = VERDICT_LEASED; /* for the next batch or cycle that meets it */
		return ERR_OK;
	}
	switch (d.verdict) {
	case VERDICT_STALE:
		return d.is_queued ? review_drop(t, c->review.repo, &c->review.digest, e) : ERR_OK;
	case VERDICT_WAIT:
		return requeue(t, &c->review, d.due_ms, e);
	case VERDICT_PARK:
		return requeue(t, &c->review, REVIEW_PARKED, e);
	case VERDICT_LINK:
		return collect_link(t, c, e);
	case VERDICT_MANIFEST:
		return collect_manifest(t, c, &d, e);
	case VERDICT_CONTENT:
		return collect_content(t, c, e);
	case VERDICT_LEASED:
	case VERDICT_BUSY:
	case VERDICT_N:
		break;
	}
	return err_set(e, ERR_BUG, __func__, "a review without a verdict");
}

enum err_kind apply_rules(struct index_txn *t, struct change *c, struct err *e)
{
	struct row v;

	u64_pack(&v, c->rules);
	return kv_put(t->kv, KV_META, RULES_KEY, row_str(&v), e);
}

enum err_kind index_rules_read(struct index *ix, uint64_t *ret, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	struct str v;
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	*ret = 0;
	if (k == ERR_OK)
		k = kv_get(t, KV_META, RULES_KEY, &v, e);
	if (k == ERR_OK && !u64_unpack(v, ret))
		return index_bad_value(e, "meta");
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

enum err_kind apply_purged(struct index_txn *t, struct change *c, struct err *e)
{
	struct key key = { 0 };

	key_digest(&key, &c->digest);
	return row_drop(t, KV_DOOMED, &key, e);
}

/* --- the trash --- */

static struct key trash_key(uint64_t id)
{
	struct key k = { 0 };

	key_u64(&k, id);
	return k;
}

/* Content that a row may want back is held by it. */
static enum err_kind trash_hold(struct index_txn *t, const struct digest *d, uint64_t id,
				struct err *e)
{
	struct key key = content_key(d, CONTENT_TRASH);

	key_u64(&key, id);
	return row_put(t, KV_CONTENT, &key, STR(""), e);
}

enum err_kind trash_put(struct index_txn *t, const struct change *c, const struct trash_row *v,
			struct str tags, struct str refs, struct err *e)
{
	AUTO_SBUF value = { .max = SBUF_MAX };
	struct trash_row now = *v;
	struct manifest_ref ref;
	struct str rest = refs;
	struct row head, n_tags;
	struct key key;
	enum err_kind k;

	if (!c->trash)
		return ERR_OK;
	now.at_ms = c->clock_ms;
	now.by_gc = c->by_gc;
	k = next_id(t, &now.id, e);
	if (k != ERR_OK)
		return k;
	trash_row_pack(&head, &now);
	u64_pack(&n_tags, tags.n);
	sbuf_add_str(&value, row_str(&head));
	sbuf_add_str(&value, row_str(&n_tags));
	sbuf_add_str(&value, tags);
	sbuf_add_str(&value, refs);
	if (value.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the trash");
	key = trash_key(now.id);
	k = row_put(t, KV_TRASH, &key, (struct str){ value.p, value.n }, e);
	if (k == ERR_OK && now.kind != TRASH_TAG)
		k = trash_hold(t, &now.digest, now.id, e);
	while (k == ERR_OK && refs_next(&rest, &ref))
		k = trash_hold(t, &ref.digest, now.id, e);
	return k;
}

static enum err_kind trash_release(struct index_txn *t, const struct change *c,
				   const struct digest *d, struct err *e)
{
	struct key key = content_key(d, CONTENT_TRASH);
	enum err_kind k;

	key_u64(&key, c->trash_id);
	k = row_drop(t, KV_CONTENT, &key, e);
	return k == ERR_OK ? review_content(t, c, d, e) : k;
}

enum err_kind apply_trash_drop(struct index_txn *t, struct change *c, struct err *e)
{
	struct key key = trash_key(c->trash_id);
	AUTO_SBUF held = { .max = SBUF_MAX };
	struct trash_row v;
	struct manifest_ref ref;
	struct str found, tags, refs;
	enum err_kind k = kv_get(t->kv, KV_TRASH, key_str(&key), &found, e);

	if (k == ERR_NOT_FOUND)
		return err_set(e, k, __func__, "nothing in the trash has number %llu",
			       (unsigned long long)c->trash_id);
	if (k == ERR_OK && !trash_row_unpack(key_str(&key), found, &v, &tags, &refs))
		return index_bad_value(e, "trash");
	if (k != ERR_OK)
		return k;
	sbuf_add_str(&held, refs); /* the changes below move what refs points to */
	if (held.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the trash");
	refs = (struct str){ held.p, held.n };
	k = row_drop(t, KV_TRASH, &key, e);
	if (k == ERR_OK && v.kind != TRASH_TAG)
		k = trash_release(t, c, &v.digest, e);
	while (k == ERR_OK && refs_next(&refs, &ref))
		k = trash_release(t, c, &ref.digest, e);
	return k;
}
