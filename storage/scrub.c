#include "storage/scrub.h"

#include "base/hash.h"
#include "storage/store_impl.h"

enum err_kind scrub_mark(struct store *st, const struct digest *d, bool is_damaged, struct err *e)
{
	struct change c = store_change(st, CHANGE_DAMAGE, &(struct repo_name){ 0 });

	c.digest = *d;
	c.is_damaged = is_damaged;
	return commit_change(st->committer, &c, e);
}

/* Looks again where nobody can publish: the file that was read may have been replaced by a push. */
static enum err_kind look_again(struct store *st, const struct object_item *o, blob_pace_fn *pace,
				void *arg, enum scrub_outcome *ret, struct err *e)
{
	struct publisher claim;
	struct object_row row;
	bool sound = false;
	enum err_kind k;

	if (!blob_claim(st, &o->digest, &claim)) {
		*ret = SCRUB_SOUND; /* is being pushed, or goes */
		return ERR_OK;
	}
	k = index_object_find(st->index, &o->digest, &row, NULL, e);
	if (k == ERR_OK)
		k = blob_verify(st, &o->digest, row.size_bytes, pace, arg, &sound, e);
	if (k == ERR_OK && sound == (row.damaged_ms != 0))
		k = scrub_mark(st, &o->digest, !sound, e);
	if (k == ERR_OK)
		*ret = !sound ? SCRUB_DAMAGED : row.damaged_ms ? SCRUB_HEALED : SCRUB_SOUND;
	blob_unclaim(st, &claim);
	if (k != ERR_NOT_FOUND)
		return k;
	*ret = SCRUB_GONE;
	return ERR_OK;
}

/* S2: wrong bytes in the index go, the file is what counts then. */
static enum err_kind check_bytes(struct store *st, const struct object_item *o, struct err *e)
{
	struct change c = store_change(st, CHANGE_MEND, &(struct repo_name){ 0 });
	AUTO_FREE char *bytes = NULL;
	struct object_row row;
	struct digest got;
	enum err_kind k = index_object_find(st->index, &o->digest, &row, &bytes, e);

	if (k == ERR_OK && bytes)
		k = hash_bytes((enum digest_alg)o->digest.alg, bytes, (size_t)row.size_bytes, &got,
			       e);
	if (k != ERR_OK || !bytes || digest_eq(&got, &o->digest))
		return k == ERR_NOT_FOUND ? ERR_OK : k;
	c.row_table = KV_CONTENT;
	c.row_key = content_key(&o->digest, CONTENT_BYTES);
	return commit_change(st->committer, &c, e);
}

static enum err_kind heal(struct store *st, const struct object_item *o, enum scrub_outcome *ret,
			  struct err *e)
{
	AUTO_FREE char *bytes = NULL;
	struct object_row row;
	enum err_kind k = index_object_find(st->index, &o->digest, &row, &bytes, e);

	if (k != ERR_OK || !bytes)
		return k == ERR_NOT_FOUND ? ERR_OK : k;
	k = blob_rewrite(st, &o->digest, (struct str){ bytes, (size_t)row.size_bytes },
			 PUBLISH_SYNCED, e);
	if (k == ERR_OK)
		k = look_again(st, o, NULL, NULL, ret, e);
	return k;
}

enum err_kind scrub_object(struct store *st, const struct object_item *o, blob_pace_fn *pace,
			   void *arg, enum scrub_outcome *ret, struct err *e)
{
	bool sound;
	enum err_kind k = check_bytes(st, o, e);

	*ret = SCRUB_SOUND;
	if (k == ERR_OK)
		k = blob_verify(st, &o->digest, o->row.size_bytes, pace, arg, &sound, e);
	if (k != ERR_OK || (sound && o->row.damaged_ms == 0))
		return k;
	k = look_again(st, o, pace, arg, ret, e);
	return k == ERR_OK && *ret == SCRUB_DAMAGED ? heal(st, o, ret, e) : k;
}

enum err_kind scrub_save(struct store *st, const struct scrub_row *row, struct err *e)
{
	struct change c = { .kind = CHANGE_SCRUBBED, .scrub = row };

	return commit_change(st->committer, &c, e);
}
