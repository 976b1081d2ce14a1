#include "base/clock.h"
#include "runtime/image/images_impl.h"
#include "storage/collect.h"
#include "storage/repo.h"
#include "storage/upload.h"

#define USER_MAX 120
#define ROUNDS_MAX 100 /* of collection: each frees what the one before let go of */

enum err_kind images_blob_share(struct images *im, const struct repo_name *repo,
				const struct digest *d, struct err *e)
{
	return repo_blob_mount(im->store, repo, NULL, d, NULL, e);
}

enum err_kind images_blob_adopt(struct images *im, const struct repo_name *repo, int dir,
				const char *name, const struct digest *d, struct err *e)
{
	return upload_adopt(im->store, repo, dir, name, d, e);
}

enum err_kind images_blob_put(struct images *im, const struct repo_name *repo, struct str bytes,
			      const struct digest *d, struct err *e)
{
	AUTO_UPLOAD *u = NULL;
	enum err_kind k = upload_begin(im->store, repo, (enum digest_alg)d->alg, &u, e);

	if (k == ERR_OK)
		k = upload_write(u, bytes.p, bytes.n, e);
	return k == ERR_OK ? upload_finish(&u, d, e) : k;
}

enum err_kind images_manifest_put(struct images *im, const struct repo_name *repo, struct str body,
				  const char *type, const struct digest *d,
				  const struct tag_name *tag, struct err *e)
{
	AUTO_MANIFEST_PUSHED pushed = { 0 };
	struct manifest_push push = {
		.body = body,
		.media_type = str_of(type),
		.digest = *d,
		.tags = tag,
		.n_tags = tag ? 1 : 0,
	};

	return repo_manifest_put(im->store, repo, &push, &pushed, e);
}

/* --- Other names --- */

static enum err_kind copy_manifest(struct images *im, const struct repo_name *from,
				   const struct repo_name *to, const struct digest *d,
				   const struct tag_name *tag, struct err *e);

/* What a manifest refers to goes with it; of an index's children those that are here. */
static enum err_kind copy_parts(struct images *im, const struct repo_name *from,
				const struct repo_name *to, const struct imagedoc *doc,
				struct err *e)
{
	enum err_kind k = ERR_OK;

	if (doc->kind == MEDIA_MANIFEST)
		k = images_blob_share(im, to, &doc->config.digest, e);
	for (size_t i = 0; k == ERR_OK && i < doc->n_parts; i++) {
		const struct descriptor *part = &doc->parts[i];

		k = doc->kind == MEDIA_MANIFEST
			? images_blob_share(im, to, &part->digest, e)
			: copy_manifest(im, from, to, &part->digest, NULL, e);
		if (k == ERR_NOT_FOUND && (doc->kind == MEDIA_INDEX ||
					   media_is_nondistributable(str_of(part->media_type))))
			k = ERR_OK;
	}
	return k;
}

static enum err_kind copy_manifest(struct images *im, const struct repo_name *from,
				   const struct repo_name *to, const struct digest *d,
				   const struct tag_name *tag, struct err *e)
{
	AUTO_SBUF body;
	AUTO_IMAGEDOC doc = { 0 };
	char type[MEDIA_TYPE_MAX + 1];
	struct str text;
	enum err_kind k;

	sbuf_init(&body, IMAGEDOC_BYTES_MAX);
	k = images_manifest_read(im, from, d, &body, type, e);
	text = (struct str){ body.p, body.n };
	if (k == ERR_OK)
		k = imagedoc_parse(text, str_of(type), d, &doc, e);
	if (k == ERR_OK && !str_eq(repo_name_str(from), repo_name_str(to)))
		k = copy_parts(im, from, to, &doc, e);
	return k == ERR_OK ? images_manifest_put(im, to, text, type, d, tag, e) : k;
}

enum err_kind images_tag(struct images *im, const struct image *from, const struct reference *to,
			 struct err *e)
{
	struct repo_name repo;
	struct tag_name tag = to->tag;

	if (to->has_digest || tag.len == 0)
		return err_set(e, ERR_INVALID, __func__, "the new name must end in a tag");
	if (!reference_to_store(to, &repo))
		return err_set(e, ERR_INVALID, __func__, "\"%.100s\" is too long a name",
			       to->repo.s);
	return copy_manifest(im, &from->repo, &repo, &from->top, &tag, e);
}

enum err_kind images_untag(struct images *im, const struct repo_name *repo,
			   const struct tag_name *tag, struct err *e)
{
	return repo_tag_delete(im->store, repo, tag, NULL, e);
}

static enum err_kind user_tag(const char *user, struct tag_name *ret, struct err *e)
{
	char text[TAG_NAME_MAX + 1];

	if (strlen(user) == 0 || strlen(user) > USER_MAX ||
	    snprintf(text, sizeof(text), TAG_USER "%s", user) >= (int)sizeof(text) ||
	    !tag_name_parse(ret, str_of(text)))
		return err_set(e, ERR_INVALID, __func__,
			       "\"%.60s\" is no name for a user of images", user);
	return ERR_OK;
}

/* Of the manifest itself, not of an index above it, whose other children are none of the container's. */
enum err_kind images_use(struct images *im, const struct image *image, const char *user,
			 struct err *e)
{
	struct tag_name tag;
	enum err_kind k = user_tag(user, &tag, e);

	return k == ERR_OK
		   ? copy_manifest(im, &image->repo, &image->repo, &image->doc.digest, &tag, e)
		   : k;
}

struct found_tag {
	struct tag_name want;
	bool found;
	struct repo_name repo;
};

static enum err_kind find_tag(void *arg, const struct images_entry *entry, struct err *e)
{
	struct found_tag *f = arg;

	(void)e;
	if (entry->user && str_eq(tag_name_str(&entry->tag), tag_name_str(&f->want))) {
		f->found = true;
		f->repo = entry->repo;
	}
	return ERR_OK;
}

enum err_kind images_unuse(struct images *im, const char *user, struct err *e)
{
	struct found_tag f = { 0 };
	enum err_kind k = user_tag(user, &f.want, e);

	if (k == ERR_OK)
		k = images_each(im, find_tag, &f, e);
	return k == ERR_OK && f.found ? images_untag(im, &f.repo, &f.want, e) : k;
}

struct gone_search {
	images_user_fn *is_there;
	void *arg;
	struct images *im;
};

/* A listing goes on behind the last name, so names may go meanwhile. */
static enum err_kind unuse_if_gone(void *arg, const struct images_entry *entry, struct err *e)
{
	const struct gone_search *s = arg;

	return entry->user && !s->is_there(s->arg, entry->user)
		   ? images_untag(s->im, &entry->repo, &entry->tag, e)
		   : ERR_OK;
}

enum err_kind images_unuse_gone(struct images *im, images_user_fn *is_there, void *arg,
				struct err *e)
{
	struct gone_search s = { .is_there = is_there, .arg = arg, .im = im };

	return images_each(im, unuse_if_gone, &s, e);
}

/* --- Collection --- */

static void add_up(const struct collect_item *items, size_t n, struct images_collected *total,
		   bool *ret_progress)
{
	for (size_t i = 0; i < n; i++) {
		total->manifests += items[i].verdict == VERDICT_MANIFEST;
		if (items[i].verdict == VERDICT_CONTENT) {
			total->blobs++;
			total->bytes += items[i].size_bytes;
		}
		*ret_progress = *ret_progress || items[i].verdict == VERDICT_MANIFEST ||
				items[i].verdict == VERDICT_LINK ||
				items[i].verdict == VERDICT_CONTENT;
	}
}

/* Everything in the queue once; what a removal lets go of is queued anew, behind or before. */
static enum err_kind collect_round(struct images *im, const struct review_policy *policy,
				   struct images_collected *total, bool *ret_progress,
				   struct err *e)
{
	struct review_row rows[COLLECT_MAX], last;
	struct collect_item items[COLLECT_MAX];
	bool first = true;
	size_t n = 0;
	enum err_kind k;

	do {
		k = index_review_page(store_index(im->store), first ? NULL : &last, UINT64_MAX - 1,
				      COLLECT_MAX, rows, &n, e);
		if (k != ERR_OK || n == 0)
			return k;
		for (size_t i = 0; i < n; i++)
			items[i] = (struct collect_item){ .row = rows[i], .policy = *policy };
		last = rows[n - 1];
		first = false;
		k = store_collect(im->store, items, n, e);
		if (k == ERR_OK)
			add_up(items, n, total, ret_progress);
	} while (k == ERR_OK && n == COLLECT_MAX);
	return k;
}

enum err_kind images_collect(struct images *im, struct images_collected *ret, struct err *e)
{
	struct review_policy policy = { .now_ms = steady_ms(), .untagged_keep_ms = 0 };
	struct images_collected total = { 0 };
	bool progress = true;
	enum err_kind k = ERR_OK;

	for (unsigned i = 0; k == ERR_OK && progress && i < ROUNDS_MAX; i++) {
		progress = false;
		k = collect_round(im, &policy, &total, &progress, e);
	}
	*ret = total;
	return k;
}
