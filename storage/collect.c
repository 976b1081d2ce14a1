#include "storage/collect.h"

#include "base/clock.h"
#include "base/step.h"
#include "base/sys.h"
#include "storage/blob.h"
#include "storage/store_impl.h"

/* One item on its way. */
struct collecting {
	struct collect_item *item;
	struct publisher claim;
	bool condemned, claimed;
	bool stays; /* as it was when it was looked at */
};

static struct lease_key key_of(const struct review_row *r)
{
	return (struct lease_key){ .repo = r->repo, .digest = r->digest };
}

/*
 * C2.  An entry that would go is condemned: from here on nobody is told of it.  One that stays is not, so that it is told of
 * without a gap, and may not go in C3 either.
 */
static enum err_kind seize_entry(struct store *st, struct collecting *c, bool *ret, struct err *e)
{
	struct collect_item *item = c->item;
	struct lease_key key = key_of(&item->row);
	struct review_finding f;
	enum err_kind k;

	*ret = true;
	if (st->options.lease_ms == 0)
		return ERR_OK;
	k = index_review_look(st->index, &item->row, &item->policy, &f, e);
	if (k != ERR_OK)
		return k;
	c->stays = f.verdict != VERDICT_LINK && f.verdict != VERDICT_MANIFEST;
	if (c->stays)
		return ERR_OK;
	c->condemned = lease_condemn(st->leases, &key);
	item->verdict = VERDICT_LEASED;
	*ret = c->condemned;
	return ERR_OK;
}

/* C2: of content that is seized nobody publishes anything. */
static enum err_kind seize(struct store *st, struct collecting *c, bool *ret, struct err *e)
{
	if (c->item->row.why != REVIEW_CONTENT)
		return seize_entry(st, c, ret, e);
	c->claimed = blob_claim(st, &c->item->row.digest, &c->claim);
	c->item->verdict = VERDICT_BUSY;
	*ret = c->claimed;
	return ERR_OK;
}

static void release(struct store *st, struct collecting *c)
{
	struct lease_key key = key_of(&c->item->row);

	if (c->claimed)
		blob_unclaim(st, &c->claim);
	if (c->condemned)
		lease_spare(st->leases, &key);
}

enum err_kind store_collect_look(struct store *st, const struct review_row *row,
				 const struct review_policy *p, struct review_finding *ret,
				 struct err *e)
{
	struct lease_key key = key_of(row);
	enum err_kind k = index_review_look(st->index, row, p, ret, e);

	if (k == ERR_OK && (ret->verdict == VERDICT_LINK || ret->verdict == VERDICT_MANIFEST) &&
	    st->options.lease_ms && lease_is_taken(st->leases, &key))
		ret->verdict = VERDICT_LEASED;
	return k;
}

static struct change change_of(const struct store *st, const struct collecting *c)
{
	struct change ch = store_change(st, CHANGE_COLLECT, &(struct repo_name){ 0 });

	ch.by_gc = true;
	ch.stays = c->stays;
	ch.review = c->item->row;
	ch.policy = c->item->policy;
	return ch;
}

/*
 * C4: the files of what no repository has.  What is left behind by a failure goes at the next start (tombstones).  The
 * changes that went well make place for those that end their tombstones.
 */
static enum err_kind unlink_files(struct store *st, struct change *changes,
				  const enum err_kind *kinds, size_t n, size_t *ret_n,
				  struct err *e)
{
	enum err_kind k = ERR_OK;

	*ret_n = 0;
	for (size_t i = 0; i < n; i++) {
		const struct digest d = changes[i].digest;
		struct err failure;

		if (kinds[i] != ERR_OK || changes[i].verdict != VERDICT_CONTENT)
			continue;
		if (blob_discard(st, &d, &failure) != ERR_OK) {
			*e = failure;
			k = failure.kind;
			continue;
		}
		changes[*ret_n] = store_change(st, CHANGE_PURGED, &(struct repo_name){ 0 });
		changes[(*ret_n)++].digest = d;
	}
	return k;
}

static void tell(struct collecting *c, const struct change *ch, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		c[i].item->verdict = ch[i].verdict;
		c[i].item->size_bytes = ch[i].size_bytes;
		c[i].item->repo = ch[i].repo;
	}
}

/* C3 to C5 for what was seized. */
static enum err_kind collect_seized(struct store *st, struct collecting *c, size_t n, struct err *e)
{
	AUTO_FREE struct change *changes = calloc(n + 1, sizeof(*changes));
	enum err_kind kinds[COLLECT_MAX], k, after;
	size_t n_purged;

	if (!changes)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to collect");
	for (size_t i = 0; i < n; i++)
		changes[i] = change_of(st, &c[i]);
	k = commit_changes(st->committer, changes, n, kinds, e);
	STEP("collect.committed");
	for (size_t i = 0; i < n; i++) {
		if (kinds[i] != ERR_OK)
			changes[i].verdict = VERDICT_BUSY; /* nothing was done */
	}
	tell(c, changes, n);
	after = unlink_files(st, changes, kinds, n, &n_purged, e);
	STEP("collect.unlinked");
	if (n_purged) {
		struct err failure;

		if (commit_changes(st->committer, changes, n_purged, kinds, &failure) != ERR_OK &&
		    k == ERR_OK && after == ERR_OK) {
			*e = failure;
			after = failure.kind;
		}
	}
	return k == ERR_OK ? after : k;
}

enum err_kind store_collect(struct store *st, struct collect_item *items, size_t n, struct err *e)
{
	AUTO_FREE struct collecting *c = calloc(n + 1, sizeof(*c));
	size_t seized = 0;
	enum err_kind k = ERR_OK;

	if (!c)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to collect");
	for (size_t i = 0; i < n && k == ERR_OK; i++) {
		bool is_seized = false;

		c[seized] = (struct collecting){ .item = &items[i] };
		k = seize(st, &c[seized], &is_seized, e);
		seized += is_seized;
	}
	STEP("collect.seized");
	if (k == ERR_OK && seized)
		k = collect_seized(st, c, seized, e);
	for (size_t i = seized; i-- > 0;) /* the last claim is the first in the list */
		release(st, &c[i]);
	return k;
}

enum err_kind store_collect_tags(struct store *st, const struct repo_name *repo,
				 const struct tag_item *tags, size_t n, size_t *ret, struct err *e)
{
	AUTO_FREE struct change *changes = calloc(n + 1, sizeof(*changes));
	enum err_kind kinds[COLLECT_MAX], k;

	*ret = 0;
	if (!changes)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to collect");
	for (size_t i = 0; i < n; i++) {
		changes[i] = store_change(st, CHANGE_TAG_DELETE, repo);
		changes[i].by_gc = true;
		changes[i].tags = &tags[i].name;
		changes[i].n_tags = 1;
		changes[i].expected = &tags[i].row;
	}
	k = commit_changes(st->committer, changes, n, kinds, e);
	for (size_t i = 0; i < n; i++)
		*ret += kinds[i] == ERR_OK;
	return k;
}

enum err_kind store_note_rules(struct store *st, uint64_t rules, struct err *e)
{
	struct change c = { .kind = CHANGE_RULES, .rules = rules };

	return commit_change(st->committer, &c, e);
}
