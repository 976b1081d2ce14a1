/* What fsck, scrub and repair do with rows: pages of checks, counting anew, mending. */
#include "storage/index_impl.h"

/* --- looking --- */

struct gathering {
	struct kv_txn *t;
	enum kv_table table;
	struct str key;
	struct index_faults *faults;
};

static void hex_text(struct str bytes, char *buf, size_t room)
{
	size_t n = MIN(bytes.n, (room - 1) / 2);

	hex_lower((const uint8_t *)bytes.p, n, buf);
	buf[2 * n] = '\0';
}

/* "repository@digest", "repository:tag", "digest", or the key in hexadecimal. */
static void describe(const struct gathering *g, char buf[static INDEX_FAULT_TEXT_MAX])
{
	struct str rest = g->key;
	struct repo_name repo;
	struct digest d;
	char text[DIGEST_TEXT_MAX];
	uint64_t id;
	struct err ignored;

	if (g->table == KV_REPO && repo_name_parse(&repo, rest)) {
		(void)snprintf(buf, INDEX_FAULT_TEXT_MAX, "%s", repo.s);
	} else if (g->table == KV_USAGE && unpack_u64(&rest, &id) &&
		   index_get_repo_name(g->t, id, &repo, &ignored) == ERR_OK) {
		(void)snprintf(buf, INDEX_FAULT_TEXT_MAX, "%s", repo.s);
	} else if (g->table == KV_CONTENT && unpack_digest(&rest, &d)) {
		(void)snprintf(buf, INDEX_FAULT_TEXT_MAX, "%s", digest_text(&d, text));
	} else if ((g->table == KV_ENTRY || g->table == KV_TAG) && unpack_u64(&rest, &id)) {
		if (index_get_repo_name(g->t, id, &repo, &ignored) != ERR_OK)
			(void)snprintf(repo.s, sizeof(repo.s), "%llu", (unsigned long long)id);
		if (g->table == KV_TAG)
			(void)snprintf(buf, INDEX_FAULT_TEXT_MAX, "%s:%.*s", repo.s,
				       (int)MIN(rest.n, (size_t)TAG_NAME_MAX), rest.p);
		else if (unpack_digest(&rest, &d))
			(void)snprintf(buf, INDEX_FAULT_TEXT_MAX, "%s@%s", repo.s,
				       digest_text(&d, text));
		else
			hex_text(g->key, buf, INDEX_FAULT_TEXT_MAX);
	} else {
		hex_text(g->key, buf, INDEX_FAULT_TEXT_MAX);
	}
}

static enum err_kind gather(void *arg, const struct row_fault *f, struct err *e)
{
	struct gathering *g = arg;
	struct index_faults *all = g->faults;
	struct index_fault *more, *last = all->n ? &all->at[all->n - 1] : NULL;

	/* Two rows may mend one fault. */
	if (last && strcmp(last->name, f->name) == 0 && last->table == g->table &&
	    str_eq(key_str(&last->key), g->key))
		return ERR_OK;
	more = realloc(all->at, (all->n + 1) * sizeof(*more));
	if (!more)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for faults");
	all->at = more;
	more[all->n] = (struct index_fault){ .name = f->name,
					     .table = g->table,
					     .can_mend = f->mend != MEND_NONE };
	key_text(&more[all->n].key, g->key);
	describe(g, more[all->n].what);
	all->n++;
	return ERR_OK;
}

void index_faults_clear(struct index_faults *f)
{
	free(TAKE(f->at));
	f->n = 0;
}

enum err_kind index_check_page(struct index *ix, enum kv_table table, const struct key *after,
			       size_t n, uint64_t now_ms, uint64_t due_ms, struct index_faults *ret,
			       struct key *ret_last, size_t *ret_n, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	AUTO_KV_CURSOR *c = NULL;
	struct str key, value;
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	*ret_n = 0;
	if (k == ERR_OK)
		k = kv_cursor_open(t, table, &c, e);
	if (k != ERR_OK)
		return k;
	k = kv_seek(c, after ? key_str(after) : STR(""), &key, &value, e);
	if (k == ERR_OK && after && str_eq(key, key_str(after)))
		k = kv_next(c, &key, &value, e);
	for (; k == ERR_OK && *ret_n < n; k = kv_next(c, &key, &value, e)) {
		struct gathering g = { .t = t, .table = table, .key = key, .faults = ret };

		k = index_check_row(t, table, key, value, now_ms, due_ms, gather, &g, e);
		if (k != ERR_OK)
			return k;
		*ret_last = (struct key){ 0 };
		key_text(ret_last, key);
		(*ret_n)++;
	}
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

/* Every row of the content table: a second for a million of manifests. */
static enum err_kind count_totals(struct kv_txn *t, struct totals *ret, struct err *e)
{
	AUTO_KV_CURSOR *c = NULL;
	struct str key, value;
	enum err_kind k = kv_cursor_open(t, KV_CONTENT, &c, e);

	*ret = (struct totals){ 0 };
	if (k != ERR_OK)
		return k;
	for (k = kv_seek(c, STR(""), &key, &value, e); k == ERR_OK;
	     k = kv_next(c, &key, &value, e)) {
		struct object_row row;
		struct digest d;
		uint8_t kind;

		if (!unpack_digest(&key, &d) || !unpack_u8(&key, &kind) || kind != CONTENT_OBJECT ||
		    key.n || !object_row_unpack(value, &row))
			continue;
		ret->objects++;
		ret->bytes += row.size_bytes;
	}
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

static bool totals_eq(const struct totals *a, const struct totals *b)
{
	return a->objects == b->objects && a->bytes == b->bytes;
}

enum err_kind index_check_totals(struct index *ix, bool *ret_right, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	struct totals kept, counted;
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	if (k == ERR_OK)
		k = index_get_totals(t, &kept, e);
	if (k == ERR_OK)
		k = count_totals(t, &counted, e);
	*ret_right = k == ERR_OK && totals_eq(&kept, &counted);
	return k;
}

enum err_kind index_object_page(struct index *ix, const struct digest *after, size_t n,
				struct object_item *ret, size_t *ret_n, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	AUTO_KV_CURSOR *c = NULL;
	struct key from = { 0 };
	struct str key, value;
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	*ret_n = 0;
	if (k == ERR_OK)
		k = kv_cursor_open(t, KV_CONTENT, &c, e);
	if (after) {
		from = content_key(after, CONTENT_OBJECT);
		key_u8(&from, 0); /* right behind it */
	}
	if (k == ERR_OK)
		k = kv_seek(c, key_str(&from), &key, &value, e);
	for (; k == ERR_OK && *ret_n < n; k = kv_next(c, &key, &value, e)) {
		struct object_item *item = &ret[*ret_n];
		uint8_t kind;

		if (unpack_digest(&key, &item->digest) && unpack_u8(&key, &kind) &&
		    kind == CONTENT_OBJECT && key.n == 0 && object_row_unpack(value, &item->row))
			(*ret_n)++;
	}
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

/* --- changing --- */

struct mending {
	struct index_txn *t;
	uint64_t mended;
};

static enum err_kind mend(void *arg, const struct row_fault *f, struct err *e)
{
	struct mending *m = arg;

	if (f->mend == MEND_NONE)
		return ERR_OK;
	m->mended++;
	return f->mend == MEND_PUT ? row_put(m->t, f->table, f->key, f->value, e)
				   : row_drop(m->t, f->table, f->key, e);
}

static enum err_kind mend_totals(struct index_txn *t, struct change *c, struct err *e)
{
	struct totals counted;
	enum err_kind k = count_totals(t->kv, &counted, e);

	if (k != ERR_OK || totals_eq(&t->totals, &counted))
		return k;
	t->totals = counted;
	t->totals_changed = true;
	c->n_mended++;
	return ERR_OK;
}

/* The row is looked at again, as it is now. */
/* The number of the repository that a row is about, and its name; ERR_NOT_FOUND without one. */
static enum err_kind repo_of_row(struct index_txn *t, const struct change *c, uint64_t *ret,
				 struct repo_name *ret_name, struct err *e)
{
	struct str rest = key_str(&c->row_key);
	struct repo_row row;
	enum err_kind k;

	if (c->row_table != KV_REPO)
		return unpack_u64(&rest, ret) ? index_get_repo_name(t->kv, *ret, ret_name, e)
					      : ERR_NOT_FOUND;
	if (!repo_name_parse(ret_name, rest))
		return ERR_NOT_FOUND;
	k = index_get_repo(t->kv, ret_name, &row, e);
	*ret = k == ERR_OK ? row.id : 0;
	return k;
}

/* Counts a repository anew, as a difference, so that quotas hear of it. */
static enum err_kind mend_usage(struct index_txn *t, const struct change *c, uint64_t *mended,
				struct err *e)
{
	struct usage_row is, want;
	struct quota_use u = { 0 };
	struct repo_name name;
	uint64_t repo;
	enum err_kind k = repo_of_row(t, c, &repo, &name, e);

	if (k == ERR_OK)
		k = index_get_usage(t->kv, repo, &is, e);
	if (k == ERR_OK)
		k = index_count_usage(t->kv, repo, &want, e);
	if (k != ERR_OK || memcmp(&is, &want, sizeof(is)) == 0)
		return k == ERR_NOT_FOUND || k == ERR_CORRUPT ? ERR_OK : k;
	*mended += 1;
	u.bytes = (int64_t)(want.bytes - is.bytes);
	u.tags = (int64_t)(want.tags - is.tags);
	k = usage_add(t, &name, repo, &u, (int64_t)(want.objects - is.objects), e);
	return k == ERR_OK ? usage_flush(t, e) : k;
}

enum err_kind apply_mend(struct index_txn *t, struct change *c, struct err *e)
{
	AUTO_SBUF copy = { .max = SBUF_MAX };
	struct mending m = { .t = t };
	struct str value;
	enum err_kind k =
	    usage_flush(t, e); /* what was added so far is in the other rows already */

	if (k != ERR_OK)
		return k;
	if (c->row_table == KV_META)
		return mend_totals(t, c, e);
	if (c->row_table == KV_REPO || c->row_table == KV_USAGE)
		k = mend_usage(t, c, &m.mended, e);
	if (k == ERR_OK)
		k = kv_get(t->kv, c->row_table, key_str(&c->row_key), &value, e);
	if (k != ERR_OK)
		return k == ERR_NOT_FOUND ? ERR_OK : k;
	sbuf_add_str(&copy, value); /* what is mended moves the map's bytes */
	if (copy.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a row");
	k = index_check_row(t->kv, c->row_table, key_str(&c->row_key),
			    (struct str){ copy.p, copy.n }, c->clock_ms, c->review_at_ms, mend, &m,
			    e);
	if (k == ERR_OK && m.mended && (c->row_table == KV_ENTRY || c->row_table == KV_TAG))
		k = mend_usage(t, c, &m.mended, e);
	c->n_mended = m.mended;
	return k;
}

enum err_kind apply_damage(struct index_txn *t, struct change *c, struct err *e)
{
	struct key key = content_key(&c->digest, CONTENT_OBJECT);
	struct object_row row;
	struct row v;
	enum err_kind k = index_get_object(t->kv, &c->digest, &row, e);

	if (k != ERR_OK)
		return k == ERR_NOT_FOUND ? ERR_OK : k;
	row.damaged_ms = c->is_damaged ? c->at_ms : 0;
	object_row_pack(&v, &row);
	return row_put(t, KV_CONTENT, &key, row_str(&v), e);
}

enum err_kind index_has_place(struct index *ix, const struct digest *d, bool *ret, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	struct key prefix = content_key(d, CONTENT_PLACE);
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	if (k == ERR_OK)
		k = index_first(t, KV_CONTENT, &prefix, NULL, e);
	*ret = k == ERR_OK;
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

enum err_kind apply_found(struct index_txn *t, struct change *c, struct err *e)
{
	return object_put(t, &c->digest, c->size_bytes, e);
}

enum err_kind apply_scrubbed(struct index_txn *t, struct change *c, struct err *e)
{
	struct row v;

	scrub_row_pack(&v, c->scrub);
	return kv_put(t->kv, KV_META, SCRUB_KEY, row_str(&v), e);
}

enum err_kind index_scrub_read(struct index *ix, struct scrub_row *ret, struct err *e)
{
	AUTO_KV_TXN *t = NULL;
	struct str v;
	enum err_kind k = kv_read_begin(ix->kv, &t, e);

	*ret = (struct scrub_row){ 0 };
	if (k == ERR_OK)
		k = kv_get(t, KV_META, SCRUB_KEY, &v, e);
	if (k == ERR_OK && !scrub_row_unpack(v, ret))
		return index_bad_value(e, "meta");
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}
