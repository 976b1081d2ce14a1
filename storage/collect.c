#include "storage/collect.h"

#include "base/clock.h"
#include "base/step.h"
#include "base/sys.h"
#include "storage/blob.h"
#include "storage/store_impl.h"

#define UNLINKERS_MAX 4
#define UNLINKS_MIN 64 /* for a thread: fewer are done sooner without it */

/* One item on its way. */
struct collecting {
	struct collect_item *item;
	struct publisher claim;
	bool condemned, claimed;
	bool stays; /* as it was when it was looked at */
};

/* A file that is to go, and how that went. */
struct doomed {
	struct digest digest;
	bool gone;
};

struct collection {
	struct store *st;
	struct collecting *seized; /* owned; their items are borrowed until C3 */
	size_t n_seized;
	struct doomed *doomed; /* owned */
	size_t n_doomed;
	_Atomic size_t next; /* of doomed, to be unlinked */
	pthread_t unlinkers[UNLINKERS_MAX];
	size_t n_unlinkers;
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

/* After C3 an entry is gone, or may be told of. */
static void spare(struct collection *c)
{
	for (size_t i = 0; i < c->n_seized; i++) {
		struct lease_key key = key_of(&c->seized[i].item->row);

		if (c->seized[i].condemned)
			lease_spare(c->st->leases, &key);
	}
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

static void tell(struct collecting *c, const struct change *ch, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		c[i].item->verdict = ch[i].verdict;
		c[i].item->size_bytes = ch[i].size_bytes;
		c[i].item->repo = ch[i].repo;
	}
}

/* C3 for what was seized. */
static enum err_kind decide(struct collection *c, struct err *e)
{
	AUTO_FREE struct change *changes = calloc(c->n_seized, sizeof(*changes));
	enum err_kind kinds[COLLECT_MAX], k;

	if (!changes)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to collect");
	for (size_t i = 0; i < c->n_seized; i++)
		changes[i] = change_of(c->st, &c->seized[i]);
	k = commit_changes(c->st->committer, changes, c->n_seized, kinds, e);
	STEP("collect.committed");
	for (size_t i = 0; i < c->n_seized; i++) {
		if (kinds[i] != ERR_OK)
			changes[i].verdict = VERDICT_BUSY; /* nothing was done */
		else if (changes[i].verdict == VERDICT_CONTENT)
			c->doomed[c->n_doomed++].digest = changes[i].digest;
	}
	tell(c->seized, changes, c->n_seized);
	return k;
}

/* C4, by as many threads as there are. */
static void unlink_files(struct collection *c)
{
	struct err ignored;
	size_t i;

	while ((i = c->next++) < c->n_doomed)
		c->doomed[i].gone = blob_discard(c->st, &c->doomed[i].digest, &ignored) == ERR_OK;
}

static void *unlinker_main(void *arg)
{
	unlink_files(arg);
	return NULL;
}

static void start_unlinkers(struct collection *c)
{
	size_t most = c->st->options.single_thread
			  ? 0
			  : MIN(c->n_doomed / UNLINKS_MIN, (size_t)UNLINKERS_MAX);

	while (c->n_unlinkers < most &&
	       pthread_create(&c->unlinkers[c->n_unlinkers], NULL, unlinker_main, c) == 0)
		c->n_unlinkers++;
}

/* C5.  What is left behind by a failure goes at the next start, by its tombstone; it is tried again for the error's sake. */
static enum err_kind end_tombstones(struct collection *c, struct err *e)
{
	AUTO_FREE struct change *changes = calloc(c->n_doomed, sizeof(*changes));
	enum err_kind kinds[COLLECT_MAX], k, unlinked = ERR_OK;
	size_t n = 0;

	if (!changes)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to collect");
	for (size_t i = 0; i < c->n_doomed; i++) {
		struct err failure;

		if (!c->doomed[i].gone &&
		    blob_discard(c->st, &c->doomed[i].digest, &failure) != ERR_OK) {
			*e = failure;
			unlinked = failure.kind;
			continue;
		}
		changes[n] = store_change(c->st, CHANGE_PURGED, &(struct repo_name){ 0 });
		changes[n++].digest = c->doomed[i].digest;
	}
	if (n == 0)
		return unlinked;
	k = commit_changes(c->st->committer, changes, n, kinds, e);
	return k == ERR_OK ? unlinked : k;
}

enum err_kind store_collect_begin(struct store *st, struct collect_item *items, size_t n,
				  struct collection **ret, struct err *e)
{
	struct collection *c = calloc(1, sizeof(*c));
	enum err_kind k = ERR_OK;

	*ret = c;
	if (!c)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to collect");
	c->st = st;
	c->seized = calloc(n + 1, sizeof(*c->seized));
	c->doomed = calloc(n + 1, sizeof(*c->doomed));
	if (!c->seized || !c->doomed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to collect");
	for (size_t i = 0; i < n && k == ERR_OK; i++) {
		bool is_seized = false;

		c->seized[c->n_seized] = (struct collecting){ .item = &items[i] };
		k = seize(st, &c->seized[c->n_seized], &is_seized, e);
		c->n_seized += is_seized;
	}
	STEP("collect.seized");
	if (k == ERR_OK && c->n_seized)
		k = decide(c, e);
	spare(c);
	start_unlinkers(c);
	return k;
}

enum err_kind store_collect_end(struct collection **take, struct err *e)
{
	struct collection *c = TAKE(*take);
	enum err_kind k = ERR_OK;

	if (!c)
		return ERR_OK;
	unlink_files(c);
	for (size_t i = 0; i < c->n_unlinkers; i++)
		(void)pthread_join(c->unlinkers[i], NULL);
	STEP("collect.unlinked");
	if (c->n_doomed)
		k = end_tombstones(c, e);
	for (size_t i = 0; i < c->n_seized; i++) {
		if (c->seized[i].claimed)
			blob_unclaim(c->st, &c->seized[i].claim);
	}
	free(c->doomed);
	free(c->seized);
	free(c);
	return k;
}

enum err_kind store_collect(struct store *st, struct collect_item *items, size_t n, struct err *e)
{
	struct collection *c;
	struct err failure = { 0 };
	enum err_kind k = store_collect_begin(st, items, n, &c, e);
	enum err_kind after = store_collect_end(&c, &failure);

	if (k == ERR_OK && after != ERR_OK)
		*e = failure;
	return k == ERR_OK ? after : k;
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
