/* How much each repository holds, kept by the transactions that change it; and the quotas that count it. */
#include "storage/index_impl.h"

/* A repository that the transaction under way changed. */
struct usage_change {
	uint64_t repo;
	int64_t bytes, objects, tags;
};

static struct key usage_key(uint64_t repo)
{
	struct key k = { 0 };

	key_u64(&k, repo);
	return k;
}

enum err_kind index_get_usage(struct kv_txn *t, uint64_t repo, struct usage_row *ret, struct err *e)
{
	struct key key = usage_key(repo);
	struct str v;
	enum err_kind k = kv_get(t, KV_USAGE, key_str(&key), &v, e);

	*ret = (struct usage_row){ 0 };
	if (k == ERR_OK && !usage_row_unpack(v, ret))
		return index_bad_value(e, "usage");
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

static struct usage_change *touch(struct index_txn *t, uint64_t repo, struct err *e)
{
	for (size_t i = 0; i < t->n_usage; i++) {
		if (t->usage[i].repo == repo)
			return &t->usage[i];
	}
	if (t->n_usage == t->usage_room) {
		size_t room = t->usage_room ? 2 * t->usage_room : 16;
		struct usage_change *more = reallocarray(t->usage, room, sizeof(*more));

		if (!more) {
			(void)err_set(e, ERR_NO_MEMORY, __func__, "no memory to count");
			return NULL;
		}
		t->usage = more;
		t->usage_room = room;
	}
	t->usage[t->n_usage] = (struct usage_change){ .repo = repo };
	return &t->usage[t->n_usage++];
}

enum err_kind usage_add(struct index_txn *t, const struct repo_name *name, uint64_t repo,
			const struct quota_use *u, int64_t objects, struct err *e)
{
	struct usage_change *c = touch(t, repo, e);

	if (!c)
		return e->kind;
	c->bytes += u->bytes;
	c->tags += u->tags;
	c->objects += objects;
	if (t->quotas)
		quota_note(t->quotas, quota_rules_of(t->quotas, name), u);
	return ERR_OK;
}

static enum err_kind flush_one(struct index_txn *t, const struct usage_change *c, struct err *e)
{
	struct key key = usage_key(c->repo);
	struct usage_row row;
	struct row v;
	enum err_kind k = index_get_usage(t->kv, c->repo, &row, e);

	if (k != ERR_OK)
		return k;
	row.bytes += (uint64_t)c->bytes;
	row.objects += (uint64_t)c->objects;
	row.tags += (uint64_t)c->tags;
	if (row.bytes == 0 && row.objects == 0 && row.tags == 0)
		return row_drop(t, KV_USAGE, &key, e);
	usage_row_pack(&v, &row);
	return row_put(t, KV_USAGE, &key, row_str(&v), e);
}

enum err_kind usage_flush(struct index_txn *t, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; i < t->n_usage && k == ERR_OK; i++)
		k = flush_one(t, &t->usage[i], e);
	t->n_usage = 0;
	return k;
}

/* --- quotas --- */

static enum err_kind count_use(struct kv_txn *t, struct quotas *q, struct err *e)
{
	AUTO_KV_CURSOR *c = NULL;
	struct str key, value;
	enum err_kind k = kv_cursor_open(t, KV_REPO, &c, e);

	if (k != ERR_OK)
		return k;
	quota_reset(q);
	for (k = kv_seek(c, STR(""), &key, &value, e); k == ERR_OK;
	     k = kv_next(c, &key, &value, e)) {
		struct usage_row row;
		struct repo_row repo;
		struct repo_name name;
		uint64_t rules;

		if (!repo_row_unpack(value, &repo) || !repo_name_parse(&name, key))
			return index_bad_value(e, "repo");
		rules = quota_rules_of(q, &name);
		if (rules == 0)
			continue;
		k = index_get_usage(t, repo.id, &row, e);
		if (k != ERR_OK)
			return k;
		quota_add(q, rules,
			  &(struct quota_use){
			      .bytes = (int64_t)row.bytes, .tags = (int64_t)row.tags, .repos = 1 });
	}
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

struct quotas *index_quotas(struct index *ix)
{
	struct quotas *q;

	lock_get(&ix->quotas_mu);
	q = quotas_get(ix->quotas);
	lock_put(&ix->quotas_mu);
	return q;
}

enum err_kind index_count_quotas(struct index *ix, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	AUTO_QUOTAS *q = NULL;
	enum err_kind k = kv_write_begin(ix->kv, &t, e);

	if (k != ERR_OK)
		return k;
	q = index_quotas(ix);
	return q ? count_use(t, q, e) : ERR_OK;
}

/* A write, though nothing is written: between counting and taking over nobody else may change what counts. */
enum err_kind index_set_quotas(struct index *ix, struct quotas *q, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	struct quotas *old;
	enum err_kind k = kv_write_begin(ix->kv, &t, e);

	if (k == ERR_OK && q)
		k = count_use(t, q, e);
	if (k != ERR_OK)
		return k;
	lock_get(&ix->quotas_mu);
	old = ix->quotas;
	ix->quotas = quotas_get(q);
	lock_put(&ix->quotas_mu);
	quotas_put(&old);
	return ERR_OK;
}

/* Has the repository, which may not be there yet, the content in any way? */
static enum err_kind adds_content(struct index_txn *t, uint64_t repo, const struct digest *d,
				  bool *ret, struct err *e)
{
	bool there = false;
	enum err_kind k = repo ? index_has_entry(t->kv, repo, d, &there, e) : ERR_OK;

	*ret = !there;
	return k;
}

enum err_kind usage_check(struct index_txn *t, const struct change *c, uint64_t repo,
			  uint64_t size_bytes, struct err *e)
{
	struct quota_use more = { .repos = repo == 0 };
	uint64_t rules = t->quotas && !c->from_trash ? quota_rules_of(t->quotas, &c->repo) : 0;
	bool adds = false;
	enum err_kind k = rules ? adds_content(t, repo, &c->digest, &adds, e) : ERR_OK;

	if (k != ERR_OK || rules == 0)
		return k;
	more.bytes = adds ? (int64_t)size_bytes : 0;
	for (size_t i = 0; k == ERR_OK && i < c->n_tags; i++) {
		struct tag_row old;

		k = repo ? index_get_tag(t->kv, repo, &c->tags[i], &old, e) : ERR_NOT_FOUND;
		more.tags += k == ERR_NOT_FOUND;
		k = k == ERR_NOT_FOUND ? ERR_OK : k;
	}
	return k == ERR_OK ? quota_check(t->quotas, rules, &more, e) : k;
}

/* --- counting anew --- */

static enum err_kind count_tags(struct kv_txn *t, uint64_t repo, uint64_t *ret, struct err *e)
{
	AUTO_KV_CURSOR *c = NULL;
	struct key prefix = usage_key(repo);
	struct str key, value;
	enum err_kind k = kv_cursor_open(t, KV_TAG, &c, e);

	*ret = 0;
	if (k == ERR_OK)
		k = kv_seek(c, key_str(&prefix), &key, &value, e);
	for (; k == ERR_OK && str_starts(key, key_str(&prefix)); k = kv_next(c, &key, &value, e))
		*ret += 1;
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

enum err_kind index_count_usage(struct kv_txn *t, uint64_t repo, struct usage_row *ret,
				struct err *e)
{
	AUTO_KV_CURSOR *c = NULL;
	struct key prefix = usage_key(repo);
	struct digest last = { 0 };
	struct str key, value;
	enum err_kind k = count_tags(t, repo, &ret->tags, e);

	ret->bytes = ret->objects = 0;
	if (k == ERR_OK)
		k = kv_cursor_open(t, KV_ENTRY, &c, e);
	if (k == ERR_OK)
		k = kv_seek(c, key_str(&prefix), &key, &value, e);
	for (; k == ERR_OK && str_starts(key, key_str(&prefix)); k = kv_next(c, &key, &value, e)) {
		struct str rest = { key.p + prefix.n, key.n - prefix.n };
		struct object_row object;
		struct digest d;
		uint8_t kind;

		if (!unpack_digest(&rest, &d) || !unpack_u8(&rest, &kind) ||
		    (kind != ENTRY_LINK && kind != ENTRY_MANIFEST) || digest_eq(&d, &last))
			continue; /* what is no entry is another check's to tell */
		last = d;
		k = index_get_object(t, &d, &object, e);
		if (k == ERR_OK) {
			ret->bytes += object.size_bytes;
			ret->objects++;
		} else if (k != ERR_NOT_FOUND) {
			return k;
		}
	}
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}
