#include "storage/repo.h"

#include "base/clock.h"
#include "base/step.h"
#include "base/trace.h"
#include "storage/blob.h"
#include "storage/store_impl.h"

struct change store_change(const struct store *st, enum change_kind kind,
			   const struct repo_name *repo)
{
	uint64_t now = steady_ms();

	return (struct change){ .kind = kind,
				.repo = *repo,
				.trace = trace_current(),
				.at_ms = wall_ms(),
				.clock_ms = now,
				.review_at_ms = now + st->options.lease_ms,
				.trash = st->options.trash_keep_ms > 0 };
}

/*
 * gc/PROTOCOL.md, H1 to H4: what was seen free is leased and looked at again, since it may have been collected between
 * the look and the lease.
 */
static bool lease(struct store *st, uint64_t repo, const struct digest *d)
{
	const struct lease_key key = { .repo = repo, .digest = *d };
	bool ok;

	STEP("head.looked");
	ok = lease_take(st->leases, &key);
	STEP("head.leased");
	return ok;
}

enum err_kind repo_blob_find(struct store *st, const struct repo_name *repo, const struct digest *d,
			     struct blob_info *ret, struct err *e)
{
	enum err_kind k = index_blob_find(st->index, repo, d, ret, e);

	st->looked++;
	if (k != ERR_OK || ret->held || st->options.lease_ms == 0)
		return k;
	if (!lease(st, ret->repo, d))
		return err_set(e, ERR_NOT_FOUND, __func__, "no such blob in %s", repo->s);
	return index_blob_find(st->index, repo, d, ret, e);
}

enum err_kind repo_manifest_find(struct store *st, const struct repo_name *repo,
				 const struct tag_name *tag, const struct digest *d,
				 struct manifest_info *ret, struct err *e)
{
	enum err_kind k = index_manifest_find(st->index, repo, tag, d, ret, e);

	st->looked++;
	if (k != ERR_OK || ret->held || st->options.lease_ms == 0)
		return k;
	free(TAKE(ret->bytes));
	if (!lease(st, ret->repo, &ret->digest))
		return err_set(e, ERR_NOT_FOUND, __func__, "no such manifest in %s", repo->s);
	return index_manifest_find(st->index, repo, tag, d, ret, e);
}

enum err_kind repo_blob_mount(struct store *st, const struct repo_name *repo,
			      const struct repo_name *from, const struct digest *d,
			      const struct change_guard *guard, struct err *e)
{
	struct change c = store_change(st, CHANGE_BLOB_MOUNT, repo);

	c.guard = guard;
	c.digest = *d;
	if (from)
		c.from = *from;
	return commit_change(st->committer, &c, e);
}

enum err_kind repo_blob_delete(struct store *st, const struct repo_name *repo,
			       const struct digest *d, const struct change_guard *guard,
			       struct err *e)
{
	struct change c = store_change(st, CHANGE_BLOB_UNLINK, repo);

	c.guard = guard;
	c.digest = *d;
	return commit_change(st->committer, &c, e);
}

/* What the index holds the bytes of is durable with it, so its file may follow (store_settle). */
enum err_kind store_put_manifest(struct store *st, struct change *c, struct err *e)
{
	struct publisher p;
	enum publish_how how = c->bytes.n <= INDEX_INLINE_MAX ? PUBLISH_LATER : PUBLISH_SYNCED;
	enum err_kind k = blob_publish_bytes(st, &c->digest, c->bytes, how, &p, e);

	if (k != ERR_OK)
		return k;
	k = commit_change(st->committer, c, e);
	STEP("publish.committed");
	if (how == PUBLISH_LATER)
		st->unsettled = true; /* after the commit, or settling could miss its record */
	blob_settle(st, &p, k == ERR_OK ? BLOB_COMMITTED : BLOB_DROPPED);
	return k;
}

enum err_kind repo_manifest_put(struct store *st, const struct repo_name *repo,
				const struct manifest_push *push, struct manifest_pushed *ret,
				struct err *e)
{
	AUTO_MANIFEST m = { 0 };
	struct change c = store_change(st, CHANGE_MANIFEST_PUT, repo);
	enum err_kind k = manifest_parse(push->body, push->media_type, &push->digest,
					 st->options.json_depth_max, &m, e);

	if (k != ERR_OK)
		return k;
	c.digest = push->digest;
	c.manifest = &m;
	c.bytes = push->body;
	c.sparse = st->options.sparse;
	c.tags = push->tags;
	c.n_tags = push->n_tags;
	c.guard = push->guard;
	c.pushed_ms = push->pushed_ms;
	c.expected = push->expected;
	c.keep_tags = push->keep_tags;
	k = store_put_manifest(st, &c, e);
	*ret = (struct manifest_pushed){ .has_subject = m.has_subject,
					 .subject = m.subject,
					 .missing = c.missing,
					 .n_missing = c.n_missing };
	return k;
}

void manifest_pushed_clear(struct manifest_pushed *p)
{
	free(TAKE(p->missing));
	p->n_missing = 0;
}

enum err_kind repo_manifest_delete(struct store *st, const struct repo_name *repo,
				   const struct digest *d, const struct change_guard *guard,
				   struct err *e)
{
	struct change c = store_change(st, CHANGE_MANIFEST_DELETE, repo);

	c.guard = guard;
	c.digest = *d;
	return commit_change(st->committer, &c, e);
}

enum err_kind repo_tag_delete(struct store *st, const struct repo_name *repo,
			      const struct tag_name *tag, const struct change_guard *guard,
			      struct err *e)
{
	struct change c = store_change(st, CHANGE_TAG_DELETE, repo);

	c.guard = guard;
	c.tags = tag;
	c.n_tags = 1;
	return commit_change(st->committer, &c, e);
}
