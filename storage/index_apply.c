#include "storage/index_impl.h"

#define SOURCES_ASKED_MAX 256 /* by a mount that does not say from where */

bool index_refused(enum err_kind k)
{
	return k == ERR_NOT_FOUND || k == ERR_REFS || k == ERR_INVALID || k == ERR_IN_USE ||
	       k == ERR_TOO_MANY || k == ERR_DENIED;
}

/* --- blobs --- */

static enum err_kind upload_drop(struct index_txn *t, const struct upload_id *id, struct err *e)
{
	struct key key = { 0 };

	key_upload(&key, id);
	return row_drop(t, KV_UPLOAD, &key, e);
}

/* Is there room for the content in the repository, which may not be there yet? */
static enum err_kind check_room(struct index_txn *t, const struct change *c, struct err *e)
{
	struct repo_row r = { .id = 0 };
	enum err_kind k = t->quotas ? index_get_repo(t->kv, &c->repo, &r, e) : ERR_OK;

	return k == ERR_OK || k == ERR_NOT_FOUND ? usage_check(t, c, r.id, c->size_bytes, e) : k;
}

static enum err_kind apply_blob_link(struct index_txn *t, struct change *c, struct err *e)
{
	enum err_kind k = check_room(t, c, e);

	if (k == ERR_OK)
		k = object_put(t, &c->digest, c->size_bytes, e);
	if (k == ERR_OK)
		k = link_put(t, c, e);
	return k == ERR_OK && c->has_upload ? upload_drop(t, &c->upload, e) : k;
}

/* Any repository that has the blob as a blob, and that may be read.  Not too many are asked about. */
static enum err_kind find_source(struct index_txn *t, struct change *c, struct err *e)
{
	AUTO_KV_CURSOR *cur = NULL;
	struct key prefix = content_key(&c->digest, CONTENT_PLACE);
	struct str key, value;
	uint8_t bits;
	unsigned asked = 0;
	enum err_kind k = kv_cursor_open(t->kv, KV_CONTENT, &cur, e);

	if (k != ERR_OK)
		return k;
	for (k = kv_seek(cur, key_str(&prefix), &key, &value, e);
	     k == ERR_OK && str_starts(key, key_str(&prefix)) && asked < SOURCES_ASKED_MAX;
	     k = kv_next(cur, &key, &value, e)) {
		if (!unpack_u8(&value, &bits) || !repo_name_parse(&c->from, value))
			return index_bad_value(e, "content");
		if (bits & PLACE_LINK && guard_may_read(c, &c->from))
			return ERR_OK;
		asked++;
	}
	c->from.len = 0;
	return k == ERR_OK ? ERR_NOT_FOUND : k;
}

static enum err_kind apply_blob_mount(struct index_txn *t, struct change *c, struct err *e)
{
	struct object_row object = { 0 };
	struct repo_row from;
	enum err_kind k = ERR_OK;

	if (c->from_trash) {
		/* any content that is there */
	} else if (c->from.len == 0) {
		k = find_source(t, c, e);
	} else if (!guard_may_read(c, &c->from)) {
		k = ERR_NOT_FOUND;
	} else {
		k = index_get_repo(t->kv, &c->from, &from, e);
		if (k == ERR_OK)
			k = index_has_link(t->kv, from.id, &c->digest, e);
	}
	if (k == ERR_OK)
		k = index_get_object(t->kv, &c->digest, &object, e);
	if (k == ERR_NOT_FOUND || (k == ERR_OK && object.damaged_ms && !c->from_trash))
		return index_refuse(e, ERR_NOT_FOUND, "no source to mount", &c->digest, &c->from);
	c->size_bytes = object.size_bytes;
	if (k == ERR_OK)
		k = check_room(t, c, e);
	return k == ERR_OK ? link_put(t, c, e) : k;
}

static enum err_kind apply_blob_unlink(struct index_txn *t, struct change *c, struct err *e)
{
	struct trash_row gone = { .kind = TRASH_BLOB, .digest = c->digest, .repo = c->repo };
	struct object_row object = { 0 };
	struct repo_row r;
	struct key key;
	enum err_kind k = index_get_repo(t->kv, &c->repo, &r, e);

	if (k == ERR_OK)
		k = index_has_link(t->kv, r.id, &c->digest, e);
	if (k == ERR_NOT_FOUND)
		return index_refuse(e, k, "no blob", &c->digest, &c->repo);
	if (k != ERR_OK)
		return k;
	key = entry_key(r.id, &c->digest, ENTRY_HELD);
	k = index_first(t->kv, KV_ENTRY, &key, NULL, e);
	if (k == ERR_OK)
		return index_refuse(e, ERR_IN_USE, "a manifest refers to blob", &c->digest,
				    &c->repo);
	if (k == ERR_NOT_FOUND)
		k = index_get_object(t->kv, &c->digest, &object, e);
	gone.size_bytes = object.size_bytes;
	if (k == ERR_OK)
		k = trash_put(t, c, &gone, STR(""), STR(""), e);
	if (k == ERR_OK)
		k = link_drop(t, c, r.id, e);
	return k == ERR_OK ? repo_drop_if_empty(t, &c->repo, r.id, e) : k;
}

/* --- tags --- */

static uint64_t pushed_ms(const struct change *c)
{
	return c->pushed_ms ? c->pushed_ms : c->at_ms;
}

/* k is of the look for the tag. */
static bool is_as_expected(const struct change *c, enum err_kind k, const struct tag_row *row)
{
	if (!c->expected)
		return true;
	if (k == ERR_NOT_FOUND)
		return c->expected->digest.alg == 0;
	return c->expected->pushed_ms == row->pushed_ms &&
	       digest_eq(&c->expected->digest, &row->digest);
}

static enum err_kind not_as_expected(const struct tag_name *tag, struct err *e)
{
	return err_set(e, ERR_IN_USE, __func__, "tag %s was pushed again", tag->s);
}

static struct key tag_key(uint64_t repo, struct str tag)
{
	struct key k = { 0 };

	key_u64(&k, repo);
	key_text(&k, tag);
	return k;
}

static enum err_kind tag_set(struct index_txn *t, const struct change *c, uint64_t repo,
			     const struct tag_name *tag, struct err *e)
{
	struct key key = tag_key(repo, tag_name_str(tag));
	struct key reverse = entry_key(repo, &c->digest, ENTRY_TAGGED);
	struct tag_row old, now = { .digest = c->digest, .pushed_ms = pushed_ms(c) };
	struct row v;
	enum err_kind k = index_get_tag(t->kv, repo, tag, &old, e);
	bool moved = k == ERR_OK && !digest_eq(&old.digest, &c->digest);
	bool is_new = k == ERR_NOT_FOUND;

	if (k != ERR_OK && k != ERR_NOT_FOUND)
		return k;
	if (k == ERR_OK)
		now.pulled_ms = old.pulled_ms;
	k = moved ? tag_drop(t, &c->repo, repo, tag_name_str(tag), &old.digest, e) : ERR_OK;
	if (k == ERR_OK && moved)
		k = review_update(t, c, repo, &old.digest, e);
	if (k == ERR_OK && (moved || is_new))
		k = usage_add(t, &c->repo, repo, &(struct quota_use){ .tags = 1 }, 0, e);
	tag_row_pack(&v, &now);
	if (k == ERR_OK)
		k = row_put(t, KV_TAG, &key, row_str(&v), e);
	key_text(&reverse, tag_name_str(tag));
	return k == ERR_OK ? row_put(t, KV_ENTRY, &reverse, (struct str){ "", 0 }, e) : k;
}

static enum err_kind apply_tag_delete(struct index_txn *t, struct change *c, struct err *e)
{
	struct trash_row gone = { .kind = TRASH_TAG, .repo = c->repo };
	AUTO_SBUF tag = { .max = SBUF_MAX };
	struct repo_row r;
	struct tag_row old;
	enum err_kind k = index_get_repo(t->kv, &c->repo, &r, e);

	if (k == ERR_OK)
		k = index_get_tag(t->kv, r.id, &c->tags[0], &old, e);
	if (k == ERR_NOT_FOUND)
		return err_set(e, k, __func__, "no tag %s in %.100s", c->tags[0].s, c->repo.s);
	if (k != ERR_OK)
		return k;
	if (!is_as_expected(c, k, &old))
		return not_as_expected(&c->tags[0], e);
	c->digest = old.digest;
	tag_pack(&tag, tag_name_str(&c->tags[0]));
	gone.digest = old.digest;
	k = guard_tag(c, tag_name_str(&c->tags[0]), e);
	if (k == ERR_OK)
		k = trash_put(t, c, &gone, (struct str){ tag.p, tag.n }, STR(""), e);
	if (k == ERR_OK)
		k = tag_drop(t, &c->repo, r.id, tag_name_str(&c->tags[0]), &old.digest, e);
	if (k == ERR_OK)
		k = review_update(t, c, r.id, &old.digest, e);
	return k == ERR_OK ? repo_drop_if_empty(t, &c->repo, r.id, e) : k;
}

/* --- manifests --- */

/* ERR_NOT_FOUND, e untouched: the repository does not have it, or not whole. */
static enum err_kind ref_size(struct index_txn *t, uint64_t repo, const struct manifest_ref *ref,
			      bool even_damaged, uint64_t *ret, struct err *e)
{
	struct object_row object = { 0 };
	struct manifest_row row;
	struct str refs;
	enum err_kind k;

	if (ref->kind != REF_CHILD) {
		k = index_has_link(t->kv, repo, &ref->digest, e);
		if (k == ERR_OK)
			k = index_get_object(t->kv, &ref->digest, &object, e);
		*ret = object.size_bytes;
		return k == ERR_OK && object.damaged_ms && !even_damaged ? ERR_NOT_FOUND : k;
	}
	k = index_get_manifest(t->kv, repo, &ref->digest, &row, &refs, e);
	if (k == ERR_OK)
		*ret = row.size_bytes;
	return k;
}

static enum err_kind miss(struct change *c, const struct digest *d, struct err *e)
{
	if (!c->missing)
		c->missing = calloc(c->manifest->n_refs, sizeof(*c->missing));
	if (!c->missing)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for missing references");
	c->missing[c->n_missing++] = *d;
	return ERR_OK;
}

/* I3.  repo 0 stands for a repository that is not there yet and so has nothing. */
static enum err_kind check_refs(struct index_txn *t, struct change *c, uint64_t repo, struct err *e)
{
	for (size_t i = 0; i < c->manifest->n_refs; i++) {
		struct manifest_ref *ref = &c->manifest->refs[i];
		bool optional = ref->may_be_absent || c->sparse == SPARSE_ALL ||
				(ref->kind == REF_CHILD && c->sparse == SPARSE_INDEX);
		uint64_t size;
		enum err_kind k =
		    repo ? ref_size(t, repo, ref, c->from_trash, &size, e) : ERR_NOT_FOUND;

		if (k == ERR_OK && size != ref->size_bytes)
			return index_refuse(e, ERR_INVALID, "wrong size given for", &ref->digest,
					    &c->repo);
		ref->was_absent = k == ERR_NOT_FOUND;
		if (k == ERR_NOT_FOUND)
			k = optional ? ERR_OK : miss(c, &ref->digest, e);
		if (k != ERR_OK)
			return k;
	}
	if (c->n_missing == 0)
		return ERR_OK;
	return err_set(e, ERR_REFS, __func__,
		       "%zu of the blobs and manifests it refers to are not in %.100s",
		       c->n_missing, c->repo.s);
}

static enum err_kind referrer_put(struct index_txn *t, const struct manifest *m, uint64_t repo,
				  struct err *e)
{
	struct key key = referrer_key(repo, &m->subject, m->artifact_type, &m->digest);
	AUTO_SBUF v;

	sbuf_init(&v, SBUF_MAX);
	referrer_pack(&v, str_of(m->artifact_type), str_of(m->descriptor));
	if (v.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a referrer");
	return row_put(t, KV_ENTRY, &key, (struct str){ v.p, v.n }, e);
}

static struct key held_key(uint64_t repo, const struct digest *d, uint64_t manifest_id)
{
	struct key k = entry_key(repo, d, ENTRY_HELD);

	key_u64(&k, manifest_id);
	return k;
}

static enum err_kind refs_put(struct index_txn *t, const struct manifest *m, uint64_t repo,
			      uint64_t id, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; i < m->n_refs && k == ERR_OK; i++) {
		struct key key = held_key(repo, &m->refs[i].digest, id), value = { 0 };

		key_u8(&value, m->refs[i].kind);
		key_digest(&value, &m->digest);
		k = row_put(t, KV_ENTRY, &key, key_str(&value), e);
		if (k == ERR_OK)
			k = review_drop(t, repo, &m->refs[i].digest, e);
	}
	return k;
}

/* The row with its references.  A manifest that is there already keeps its id, and so its holders' keys. */
static enum err_kind manifest_row_put(struct index_txn *t, const struct change *c, uint64_t repo,
				      uint64_t *ret_id, struct err *e)
{
	const struct manifest *m = c->manifest;
	struct key key = entry_key(repo, &m->digest, ENTRY_MANIFEST);
	struct manifest_row now = { .pushed_ms = pushed_ms(c),
				    .size_bytes = m->size_bytes,
				    .has_subject = m->has_subject,
				    .subject = m->subject };
	struct manifest_row old;
	struct str refs;
	struct row head;
	AUTO_SBUF v;
	enum err_kind k = index_get_manifest(t->kv, repo, &m->digest, &old, &refs, e);

	sbuf_init(&v, SBUF_MAX);
	if (k == ERR_OK)
		now.id = old.id;
	else if (k == ERR_NOT_FOUND)
		k = next_id(t, &now.id, e);
	if (k != ERR_OK)
		return k;
	memcpy(now.media_type, m->media_type, sizeof(now.media_type));
	memcpy(now.artifact_type, m->artifact_type, sizeof(now.artifact_type));
	manifest_row_pack(&head, &now);
	sbuf_add_str(&v, row_str(&head));
	refs_pack(&v, m->refs, m->n_refs);
	if (v.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for references");
	*ret_id = now.id;
	return row_put(t, KV_ENTRY, &key, (struct str){ v.p, v.n }, e);
}

static enum err_kind manifest_put(struct index_txn *t, const struct change *c, uint64_t repo,
				  struct err *e)
{
	const struct manifest *m = c->manifest;
	struct key bytes = content_key(&m->digest, CONTENT_BYTES);
	uint64_t id = 0;
	enum err_kind k = object_put(t, &m->digest, m->size_bytes, e);

	if (k == ERR_OK && c->bytes.n <= INDEX_INLINE_MAX)
		k = row_put(t, KV_CONTENT, &bytes, c->bytes, e);
	if (k == ERR_OK)
		k = place_update(t, c, repo, &c->repo, &m->digest, PLACE_MANIFEST, 0, e);
	if (k == ERR_OK)
		k = manifest_row_put(t, c, repo, &id, e);
	return k == ERR_OK ? refs_put(t, m, repo, id, e) : k;
}

static enum err_kind check_tag(struct index_txn *t, const struct change *c, uint64_t repo,
			       const struct tag_name *tag, struct err *e)
{
	struct tag_row row;
	enum err_kind k = repo ? index_get_tag(t->kv, repo, tag, &row, e) : ERR_NOT_FOUND;

	if (k != ERR_OK && k != ERR_NOT_FOUND)
		return k;
	if (!is_as_expected(c, k, &row))
		return not_as_expected(tag, e);
	if (k == ERR_OK && c->from_trash) /* what is restored takes no tag away */
		return err_set(e, ERR_IN_USE, __func__, "tag %s was pushed meanwhile", tag->s);
	if (k == ERR_OK && c->keep_tags && !digest_eq(&row.digest, &c->digest))
		return err_set(e, ERR_IN_USE, __func__, "%.100s:%s points to something else",
			       c->repo.s, tag->s);
	return ERR_OK;
}

/* What whoever asks has seen of the tags still holds. */
static enum err_kind check_tags(struct index_txn *t, const struct change *c, uint64_t repo,
				struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; i < c->n_tags && k == ERR_OK; i++)
		k = check_tag(t, c, repo, &c->tags[i], e);
	return k;
}

static enum err_kind apply_manifest_put(struct index_txn *t, struct change *c, struct err *e)
{
	struct repo_row r = { .id = 0 };
	uint64_t repo = 0;
	enum err_kind k = index_get_repo(t->kv, &c->repo, &r, e);

	if (k == ERR_OK || k == ERR_NOT_FOUND)
		k = check_refs(t, c, r.id, e);
	if (k == ERR_OK)
		k = check_tags(t, c, r.id, e);
	if (k == ERR_OK)
		k = guard_moved_tags(t, c, r.id, e);
	if (k == ERR_OK)
		k = usage_check(t, c, r.id, c->manifest->size_bytes, e);
	if (k == ERR_OK)
		k = repo_get_or_make(t, c, &repo, e);
	if (k == ERR_OK)
		k = manifest_put(t, c, repo, e);
	if (k == ERR_OK && c->manifest->has_subject)
		k = referrer_put(t, c->manifest, repo, e);
	for (size_t i = 0; i < c->n_tags && k == ERR_OK; i++)
		k = tag_set(t, c, repo, &c->tags[i], e);
	return k == ERR_OK ? review_update(t, c, repo, &c->digest, e) : k;
}

static enum err_kind check_free(struct index_txn *t, const struct change *c, uint64_t repo,
				const struct manifest_row *row, struct err *e)
{
	bool held = false;
	enum err_kind k = c->if_free ? index_is_held(t->kv, repo, &c->digest, &held, e) : ERR_OK;

	if (k == ERR_OK && c->if_free && (held || row->pushed_ms != c->pushed_ms))
		return index_refuse(e, ERR_IN_USE, "something needs manifest", &c->digest,
				    &c->repo);
	return k;
}

static enum err_kind apply_manifest_delete(struct index_txn *t, struct change *c, struct err *e)
{
	struct repo_row r;
	struct manifest_row mr;
	struct str refs;
	enum err_kind k = index_get_repo(t->kv, &c->repo, &r, e);

	if (k == ERR_OK)
		k = index_get_manifest(t->kv, r.id, &c->digest, &mr, &refs, e);
	if (k == ERR_NOT_FOUND)
		return index_refuse(e, k, "no manifest", &c->digest, &c->repo);
	if (k == ERR_OK)
		k = check_free(t, c, r.id, &mr, e);
	if (k == ERR_OK)
		k = guard_vanishing_tags(t, c, r.id, e);
	if (k == ERR_OK)
		k = manifest_drop(t, c, r.id, &mr, refs, e);
	return k == ERR_OK ? repo_drop_if_empty(t, &c->repo, r.id, e) : k;
}

/* --- upload sessions --- */

static enum err_kind apply_upload_open(struct index_txn *t, struct change *c, struct err *e)
{
	struct upload_row ur = { .started_ms = c->at_ms, .alg = c->upload_alg, .repo = c->repo };
	struct key key = { 0 };
	struct row v;
	uint64_t open;
	enum err_kind k = kv_count(t->kv, KV_UPLOAD, &open, e);

	if (k != ERR_OK)
		return k;
	if (open >= c->uploads_max)
		return err_set(e, ERR_TOO_MANY, __func__,
			       "%llu uploads are open, which is the limit",
			       (unsigned long long)open);
	key_upload(&key, &c->upload);
	upload_row_pack(&v, &ur);
	return row_put(t, KV_UPLOAD, &key, row_str(&v), e);
}

static enum err_kind apply_upload_close(struct index_txn *t, struct change *c, struct err *e)
{
	return upload_drop(t, &c->upload, e);
}

static enum err_kind mark_put(struct index_txn *t, struct str key, const struct reflog_mark *m,
			      struct err *e)
{
	struct row v;

	reflog_mark_pack(&v, m);
	return kv_put(t->kv, KV_META, key, row_str(&v), e);
}

static enum err_kind apply_settle(struct index_txn *t, struct change *c, struct err *e)
{
	return mark_put(t, SETTLED_MARK_KEY, &c->settled, e);
}

static enum err_kind pulled(struct index_txn *t, const struct pull *p, struct err *e)
{
	struct key key = { 0 };
	struct tag_row row;
	struct row v;
	enum err_kind k = index_get_tag(t->kv, p->repo, &p->tag, &row, e);

	if (k != ERR_OK || row.pulled_ms >= p->at_ms)
		return k == ERR_NOT_FOUND ? ERR_OK : k;
	row.pulled_ms = p->at_ms;
	key = tag_key(p->repo, tag_name_str(&p->tag));
	tag_row_pack(&v, &row);
	return row_put(t, KV_TAG, &key, row_str(&v), e);
}

static enum err_kind apply_pulled(struct index_txn *t, struct change *c, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; i < c->n_pulls && k == ERR_OK; i++)
		k = pulled(t, &c->pulls[i], e);
	return k;
}

static enum err_kind apply_closed(struct index_txn *t, struct change *c, struct err *e)
{
	struct row v;
	enum err_kind k;

	if (!c->closed) {
		k = kv_delete(t->kv, KV_META, CLOSED_KEY, e);
		return k == ERR_NOT_FOUND ? ERR_OK : k;
	}
	closed_row_pack(&v, c->closed);
	return kv_put(t->kv, KV_META, CLOSED_KEY, row_str(&v), e);
}

/* --- transactions --- */

static enum err_kind (*const appliers[CHANGE_KIND_N])(struct index_txn *, struct change *,
						      struct err *) = {
	[CHANGE_BLOB_LINK] = apply_blob_link,
	[CHANGE_BLOB_MOUNT] = apply_blob_mount,
	[CHANGE_BLOB_UNLINK] = apply_blob_unlink,
	[CHANGE_MANIFEST_PUT] = apply_manifest_put,
	[CHANGE_MANIFEST_DELETE] = apply_manifest_delete,
	[CHANGE_TAG_DELETE] = apply_tag_delete,
	[CHANGE_UPLOAD_OPEN] = apply_upload_open,
	[CHANGE_UPLOAD_CLOSE] = apply_upload_close,
	[CHANGE_SETTLE] = apply_settle,
	[CHANGE_COLLECT] = apply_collect,
	[CHANGE_PURGED] = apply_purged,
	[CHANGE_TRASH_DROP] = apply_trash_drop,
	[CHANGE_PULLED] = apply_pulled,
	[CHANGE_CLOSED] = apply_closed,
	[CHANGE_MEND] = apply_mend,
	[CHANGE_DAMAGE] = apply_damage,
	[CHANGE_FOUND] = apply_found,
	[CHANGE_SCRUBBED] = apply_scrubbed,
	[CHANGE_RULES] = apply_rules,
};

enum err_kind index_begin(struct index *ix, struct index_txn **ret, struct err *e)
{
	struct index_txn *t = calloc(1, sizeof(*t));
	enum err_kind k;

	if (!t)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a transaction");
	k = kv_write_begin(ix->kv, &t->kv, e);
	t->quotas = index_quotas(ix); /* now that nobody changes them */
	if (k == ERR_OK)
		k = index_get_totals(t->kv, &t->totals, e);
	if (k != ERR_OK) {
		index_abort(&t);
		return k;
	}
	*ret = t;
	return ERR_OK;
}

enum err_kind index_apply(struct index_txn *t, struct change *c, struct err *e)
{
	free(TAKE(c->missing)); /* of a try in a transaction that was given up */
	c->n_missing = 0;
	return appliers[c->kind](t, c, e);
}

enum err_kind index_mark_put(struct index_txn *t, const struct reflog_mark *m, struct err *e)
{
	return mark_put(t, REFLOG_MARK_KEY, m, e);
}

enum err_kind index_commit(struct index_txn **t, struct err *e)
{
	struct index_txn *p = TAKE(*t);
	struct row v;
	enum err_kind k = usage_flush(p, e);

	totals_pack(&v, &p->totals);
	if (k == ERR_OK && p->totals_changed)
		k = kv_put(p->kv, KV_META, TOTALS_KEY, row_str(&v), e);
	if (k == ERR_OK)
		k = kv_write_commit(&p->kv, e);
	if (k == ERR_OK && p->quotas)
		quota_accept(p->quotas);
	index_abort(&p);
	return k;
}

void index_abort(struct index_txn **t)
{
	struct index_txn *p = TAKE(*t);

	if (!p)
		return;
	if (p->quotas)
		quota_drop(p->quotas);
	quotas_put(&p->quotas);
	kv_end(&p->kv);
	free(p->usage);
	free(p);
}

bool index_is_full(const struct err *e)
{
	return kv_is_map_full(e);
}

enum err_kind index_grow(struct index *ix, struct err *e)
{
	return kv_grow(ix->kv, e);
}
