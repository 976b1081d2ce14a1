#include "storage/index_impl.h"

bool guard_may_read(const struct change *c, const struct repo_name *repo)
{
	return !c->guard || c->guard->may_read(c->guard->arg, repo);
}

enum err_kind guard_tag(const struct change *c, struct str tag, struct err *e)
{
	if (!c->guard || !c->guard->tag_is_fixed(c->guard->arg, &c->repo, tag))
		return ERR_OK;
	return err_set(e, ERR_DENIED, __func__, "tag %.*s of %.100s is immutable", STR_FMT(tag),
		       c->repo.s);
}

enum err_kind guard_moved_tags(struct index_txn *t, const struct change *c, uint64_t repo,
			       struct err *e)
{
	struct tag_row old;
	enum err_kind k = ERR_OK;

	for (size_t i = 0; c->guard && i < c->n_tags && k == ERR_OK; i++) {
		k = index_get_tag(t->kv, repo, &c->tags[i], &old, e);
		if (k == ERR_OK && !digest_eq(&old.digest, &c->digest))
			k = guard_tag(c, tag_name_str(&c->tags[i]), e);
		else if (k == ERR_NOT_FOUND)
			k = ERR_OK;
	}
	return k;
}

enum err_kind guard_vanishing_tags(struct index_txn *t, const struct change *c, uint64_t repo,
				   struct err *e)
{
	AUTO_KV_CURSOR *cur = NULL;
	struct key prefix = entry_key(repo, &c->digest, ENTRY_TAGGED);
	struct str key, value;
	enum err_kind k;

	if (!c->guard)
		return ERR_OK;
	k = kv_cursor_open(t->kv, KV_ENTRY, &cur, e);
	if (k != ERR_OK)
		return k;
	for (k = kv_seek(cur, key_str(&prefix), &key, &value, e);
	     k == ERR_OK && str_starts(key, key_str(&prefix)); k = kv_next(cur, &key, &value, e)) {
		k = guard_tag(c, (struct str){ key.p + prefix.n, key.n - prefix.n }, e);
		if (k != ERR_OK)
			return k;
	}
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}
