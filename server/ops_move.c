#include "server/ops.h"
#include "storage/repo.h"
#include "storage/transfer.h"

static bool go_on(void *arg)
{
	return op_goes_on(arg);
}

static struct transfer transfer_of(struct op_call *c)
{
	return (struct transfer){ .st = c->ops->store,
				  .guard = c->guard,
				  .force = op_flag(c, "force"),
				  .go_on = go_on,
				  .arg = c };
}

/* --- rm --- */

static enum err_kind remove_digest(struct op_call *c, const struct named *n, struct err *e)
{
	struct store *st = c->ops->store;
	enum err_kind k = repo_manifest_delete(st, &n->repo, &n->digest, c->guard, e);

	return k == ERR_NOT_FOUND ? repo_blob_delete(st, &n->repo, &n->digest, c->guard, e) : k;
}

enum err_kind op_rm(struct op_call *c, struct err *e)
{
	struct transfer t = transfer_of(c);
	struct str text = { "", 0 };
	struct named n;
	enum err_kind k = op_named(c, "reference", &n, e);

	if (k != ERR_OK)
		return k;
	if (!n.has_tag && !n.has_digest && !op_flag(c, "recursive"))
		return err_set(e, ERR_IN_USE, __func__,
			       "%.100s is a whole repository: recursive removes it", n.repo.s);
	t.removed = 1;
	if (n.has_tag) {
		k = repo_tag_delete(t.st, &n.repo, &n.tag, c->guard, e);
	} else if (n.has_digest) {
		k = remove_digest(c, &n, e);
	} else {
		t.removed = 0;
		k = transfer_remove_repo(&t, &n.repo, e);
	}
	(void)op_text(c, "reference", &text);
	if (k == ERR_OK)
		op_emit(
		    c, jv_pack("{s:s, s:I}", "reference", text.p, "removed", (long long)t.removed));
	return k;
}

/* --- cp, mv --- */

struct ends {
	struct named from, to;
	const struct tag_name *tag; /* at the destination, or NULL */
};

static bool is_whole(const struct named *n)
{
	return !n->has_tag && !n->has_digest;
}

/* Where no tag is given, it is the source's. */
static enum err_kind parse_ends(const struct op_call *c, struct ends *ret, struct err *e)
{
	enum err_kind k = op_named(c, "from", &ret->from, e);

	if (k == ERR_OK)
		k = op_named(c, "to", &ret->to, e);
	if (k != ERR_OK)
		return k;
	if (ret->to.has_digest)
		return err_set(e, ERR_INVALID, __func__, "a destination has no digest");
	if (is_whole(&ret->from) && ret->to.has_tag)
		return err_set(e, ERR_INVALID, __func__,
			       "a whole repository does not fit under a tag");
	ret->tag = ret->to.has_tag ? &ret->to.tag : ret->from.has_tag ? &ret->from.tag : NULL;
	return ERR_OK;
}

static enum err_kind digest_of(const struct op_call *c, const struct named *n, struct digest *ret,
			       struct err *e)
{
	struct tag_row row;
	enum err_kind k;

	*ret = n->digest;
	if (!n->has_tag)
		return ERR_OK;
	k = index_tag_find(store_index(c->ops->store), &n->repo, &n->tag, &row, e);
	*ret = row.digest;
	return k;
}

static void emit_result(struct op_call *c, const struct ends *ends, const struct transfer *t)
{
	struct str from = { "", 0 };

	(void)op_text(c, "from", &from);
	op_emit(c, jv_pack("{s:s, s:s, s:s*, s:I, s:I, s:I, s:I}", "from", from.p, "repository",
			   ends->to.repo.s, "tag", ends->tag ? ends->tag->s : NULL, "tags",
			   (long long)t->tags, "manifests", (long long)t->manifests, "blobs",
			   (long long)t->blobs, "removed", (long long)t->removed));
}

enum err_kind op_cp(struct op_call *c, struct err *e)
{
	struct transfer t = transfer_of(c);
	struct ends ends;
	struct digest d;
	enum err_kind k = parse_ends(c, &ends, e);

	if (k == ERR_OK && is_whole(&ends.from)) {
		k = transfer_repo(&t, &ends.from.repo, &ends.to.repo, false, e);
	} else if (k == ERR_OK) {
		k = digest_of(c, &ends.from, &d, e);
		if (k == ERR_OK)
			k = transfer_copy(&t, &ends.from.repo, &d, &ends.to.repo, ends.tag, e);
	}
	if (k == ERR_OK)
		emit_result(c, &ends, &t);
	return k;
}

enum err_kind op_mv(struct op_call *c, struct err *e)
{
	struct transfer t = transfer_of(c);
	struct ends ends;
	enum err_kind k = parse_ends(c, &ends, e);

	if (k == ERR_OK && ends.from.has_digest)
		return err_set(e, ERR_INVALID, __func__,
			       "tags and repositories move; what has a digest only is copied");
	if (k == ERR_OK && ends.from.has_tag)
		k = transfer_move_tag(&t, &ends.from.repo, &ends.from.tag, &ends.to.repo, ends.tag,
				      e);
	else if (k == ERR_OK)
		k = transfer_repo(&t, &ends.from.repo, &ends.to.repo, true, e);
	if (k == ERR_OK)
		emit_result(c, &ends, &t);
	return k;
}
