#include "storage/export.h"

#include <errno.h>
#include <linux/fs.h>
#include <search.h>
#include <sys/file.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "base/jv.h"
#include "storage/blob.h"
#include "storage/store_impl.h"

#define COPY_BYTES (1024u * 1024)
#define INDEX_BYTES_MAX (64u * 1024 * 1024)
#define INDEX_DEPTH_MAX 64
#define DEPTH_MAX 64 /* of indexes and referrers in each other */
#define PAGE 256
#define REF_NAME "org.opencontainers.image.ref.name"
#define MARK "{\"imageLayoutVersion\":\"1.0.0\"}"

struct exporter {
	struct store *st;
	const struct export_options *o;
	struct export_result result;
	int dir_fd;
	int blobs_fd[DIGEST_SHA512 + 1]; /* by enum digest_alg */
	void *done;                      /* tree of digests (tsearch) */
	struct jv *entries;              /* for index.json */
};

/* --- what is done --- */

static int digest_order(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct digest));
}

/* True if it was asked about before; without memory it is done twice, which only costs time. */
static bool was_done(struct exporter *x, const struct digest *d)
{
	struct digest *fresh = malloc(sizeof(*fresh)), **at;

	if (!fresh)
		return false;
	*fresh = *d;
	at = tsearch(fresh, &x->done, digest_order);
	if (at && *at == fresh)
		return false;
	free(fresh);
	return at != NULL;
}

/* --- files --- */

static enum err_kind check_going(const struct exporter *x, struct err *e)
{
	return x->o->goes_on(x->o->arg) ? ERR_OK : err_set(e, ERR_IN_USE, __func__, "stopped");
}

static enum err_kind copy_bytes(const struct exporter *x, int from, int to, uint64_t size_bytes,
				struct err *e)
{
	AUTO_FREE char *buf = malloc(COPY_BYTES);
	enum err_kind k = ERR_OK;

	if (!buf)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to copy");
	for (uint64_t at = 0; at < size_bytes && k == ERR_OK;) {
		size_t n = (size_t)MIN(size_bytes - at, (uint64_t)COPY_BYTES);

		k = fd_pread_exact(from, buf, n, at, "a blob", e);
		if (k == ERR_OK)
			k = fd_write_all(to, buf, n, "the layout", e);
		if (k == ERR_OK)
			k = check_going(x, e);
		at += n;
	}
	return k;
}

static enum err_kind open_blobs(struct exporter *x, uint8_t alg, struct err *e)
{
	AUTO_CLOSE blobs = -1;
	const char *name = digest_alg_text(alg);
	enum err_kind k;

	if (x->blobs_fd[alg] >= 0)
		return ERR_OK;
	k = fd_open_at(x->dir_fd, "blobs", O_RDONLY | O_DIRECTORY, 0, &blobs, e);
	if (k == ERR_OK)
		k = fd_mkdir_at(blobs, name, 0755, e);
	return k == ERR_OK
		   ? fd_open_at(blobs, name, O_RDONLY | O_DIRECTORY, 0, &x->blobs_fd[alg], e)
		   : k;
}

/* Does the layout have it? */
static enum err_kind look(struct exporter *x, const struct digest *d, uint64_t size_bytes,
			  bool *ret_had, struct err *e)
{
	char hex[DIGEST_HEX_MAX + 1];
	struct stat s;
	enum err_kind k = open_blobs(x, d->alg, e);

	if (k != ERR_OK)
		return k;
	*ret_had = fstatat(x->blobs_fd[d->alg], digest_hex(d, hex), &s, AT_SYMLINK_NOFOLLOW) == 0 &&
		   S_ISREG(s.st_mode) && (uint64_t)s.st_size == size_bytes;
	x->result.objects++;
	x->result.bytes += size_bytes;
	x->result.had += *ret_had;
	return ERR_OK;
}

/* Content under another name first; bytes are of a manifest, or from is a blob's file. */
static enum err_kind write_content(struct exporter *x, const struct digest *d, struct str bytes,
				   int from, uint64_t size_bytes, struct err *e)
{
	AUTO_CLOSE fd = -1;
	char hex[DIGEST_HEX_MAX + 1], name[DIGEST_HEX_MAX + sizeof(".new")];
	int dir = x->blobs_fd[d->alg];
	enum err_kind k;

	(void)snprintf(name, sizeof(name), "%s.new", digest_hex(d, hex));
	k = fd_open_at(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd, e);
	if (k != ERR_OK)
		return k;
	if (from >= 0 && ioctl(fd, FICLONE, from) == 0) {
		x->result.cloned++;
	} else {
		k = from >= 0 ? copy_bytes(x, from, fd, size_bytes, e)
			      : fd_write_all(fd, bytes.p, bytes.n, name, e);
		x->result.copied++;
		x->result.copied_bytes += size_bytes;
	}
	if (k == ERR_OK && sys_renameat(dir, name, dir, hex) < 0)
		k = err_sys(e, __func__, "name %.20s...", hex);
	if (k != ERR_OK)
		(void)sys_unlinkat(dir, name, 0);
	return k;
}

static enum err_kind export_blob(struct exporter *x, const struct manifest_ref *ref, struct err *e)
{
	AUTO_CLOSE fd = -1;
	struct blob_info info = { 0 };
	char text[DIGEST_TEXT_MAX];
	bool had;
	enum err_kind k;

	if (was_done(x, &ref->digest))
		return check_going(x, e);
	k = index_blob_find(store_index(x->st), &x->o->repo, &ref->digest, &info, e);
	if (k == ERR_NOT_FOUND)
		return ERR_OK; /* its manifest was accepted without it */
	if (k != ERR_OK)
		return k;
	k = look(x, &ref->digest, info.size_bytes, &had, e);
	if (k != ERR_OK || had)
		return k;
	if (info.is_damaged)
		return err_set(e, ERR_CORRUPT, __func__, "blob %.80s is damaged: push it again",
			       digest_text(&ref->digest, text));
	k = blob_open(x->st, &ref->digest, info.size_bytes, &fd, e);
	return k == ERR_OK ? write_content(x, &ref->digest, STR(""), fd, info.size_bytes, e) : k;
}

/* --- manifests --- */

/* Descriptors of referrers, as the index gives them: looked at when its transaction has ended. */
struct found {
	struct jv **at;
	size_t n, room;
	bool failed;
};

static bool add_found(void *arg, struct str descriptor)
{
	struct found *f = arg;
	struct err e;

	if (f->n == f->room) {
		size_t room = f->room ? f->room * 2 : 16;
		struct jv **more = reallocarray(f->at, room, sizeof(struct jv *));

		f->failed = !more;
		if (!more)
			return false;
		f->at = more;
		f->room = room;
	}
	f->failed = jv_parse_object(descriptor, MANIFEST_DEPTH_MAX, &f->at[f->n], &e) != ERR_OK;
	f->n += !f->failed;
	return !f->failed;
}

static void found_clear(struct found *f)
{
	for (size_t i = 0; i < f->n; i++)
		jv_free(&f->at[i]);
	free(f->at);
}
#define AUTO_FOUND CLEANUP(found_clear) struct found

static enum err_kind export_manifest(struct exporter *x, const struct digest *d, unsigned depth,
				     struct manifest_info *ret, struct err *e);

static enum err_kind add_entry(struct exporter *x, struct jv *take, struct err *e)
{
	return jv_append(x->entries, take)
		   ? ERR_OK
		   : err_set(e, ERR_NO_MEMORY, __func__, "no memory for index.json");
}

static enum err_kind export_referrers(struct exporter *x, const struct digest *subject,
				      unsigned depth, struct err *e)
{
	AUTO_FOUND f = { .n = 0 };
	struct referrer_mark last;
	bool more;
	enum err_kind k = index_referrers(store_index(x->st), &x->o->repo, subject, STR(""), NULL,
					  add_found, &f, &more, &last, e);

	if (k == ERR_OK && f.failed)
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory for referrers");
	for (size_t i = 0; i < f.n && k == ERR_OK; i++) {
		struct digest d;
		struct str text;

		if (!jv_text(jv_member(f.at[i], "digest"), &text) || !digest_parse(&d, text))
			return err_set(e, ERR_CORRUPT, __func__, "a referrer without a digest");
		k = export_manifest(x, &d, depth + 1, NULL, e);
		if (k == ERR_OK)
			k = add_entry(x, TAKE(f.at[i]), e);
		x->result.referrers++;
	}
	return k;
}

static enum err_kind export_parts(struct exporter *x, const struct manifest *m, unsigned depth,
				  struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; i < m->n_refs && k == ERR_OK; i++) {
		const struct manifest_ref *ref = &m->refs[i];

		if (ref->kind != REF_CHILD) {
			k = export_blob(x, ref, e);
			continue;
		}
		k = export_manifest(x, &ref->digest, depth + 1, NULL, e);
		if (k == ERR_NOT_FOUND)
			k = ERR_OK; /* its index was accepted without it */
	}
	return k == ERR_OK ? export_referrers(x, &m->digest, depth, e) : k;
}

static enum err_kind write_manifest(struct exporter *x, const struct manifest_info *info,
				    struct sbuf *body, unsigned depth, struct err *e)
{
	AUTO_MANIFEST m = { 0 };
	struct str bytes;
	bool had;
	enum err_kind k = ERR_OK;

	if (info->bytes)
		sbuf_add(body, info->bytes, (size_t)info->size_bytes);
	else
		k = blob_read(x->st, &info->digest, info->size_bytes, body, e);
	if (k == ERR_OK && body->failed)
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory for a manifest");
	if (k != ERR_OK)
		return k;
	bytes = (struct str){ body->p, body->n };
	x->result.manifests++;
	k = look(x, &info->digest, bytes.n, &had, e);
	if (k == ERR_OK && !had)
		k = write_content(x, &info->digest, bytes, -1, bytes.n, e);
	if (k == ERR_OK)
		k = manifest_parse(bytes, str_of(info->media_type), &info->digest,
				   MANIFEST_DEPTH_MAX, &m, e);
	return k == ERR_OK ? export_parts(x, &m, depth, e) : k;
}

/* T1.  ret may be NULL; its bytes are not given. */
static enum err_kind export_manifest(struct exporter *x, const struct digest *d, unsigned depth,
				     struct manifest_info *ret, struct err *e)
{
	AUTO_SBUF body = { .max = SBUF_MAX };
	struct manifest_info info = { 0 };
	enum err_kind k = index_manifest_find(store_index(x->st), &x->o->repo, NULL, d, &info, e);

	if (k == ERR_OK && depth > DEPTH_MAX)
		k = err_set(e, ERR_TOO_LARGE, __func__,
			    "indexes or referrers are nested deeper than %d", DEPTH_MAX);
	if (k == ERR_OK && !was_done(x, d))
		k = write_manifest(x, &info, &body, depth, e);
	free(TAKE(info.bytes));
	if (k == ERR_OK && ret)
		*ret = info;
	return k;
}

/* --- tags --- */

static enum err_kind export_top(struct exporter *x, const struct digest *d,
				const struct tag_name *tag, struct err *e)
{
	struct manifest_info info;
	char text[DIGEST_TEXT_MAX];
	enum err_kind k = export_manifest(x, d, 0, &info, e);

	if (k != ERR_OK)
		return k;
	x->result.tags += tag != NULL;
	digest_text(d, text);
	return add_entry(x,
			 tag ? jv_pack("{s:s, s:s, s:I, s:{s:s}}", "mediaType", info.media_type,
				       "digest", text, "size", (long long)info.size_bytes,
				       "annotations", REF_NAME, tag->s)
			     : jv_pack("{s:s, s:s, s:I}", "mediaType", info.media_type, "digest",
				       text, "size", (long long)info.size_bytes),
			 e);
}

static enum err_kind export_all_tags(struct exporter *x, struct err *e)
{
	AUTO_FREE struct tag_item *items = calloc(PAGE, sizeof(*items));
	struct tag_name last;
	size_t n = PAGE;

	if (!items)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for tags");
	for (bool first = true; n == PAGE; first = false) {
		enum err_kind k = index_tag_rows(store_index(x->st), &x->o->repo,
						 first ? NULL : &last, PAGE, items, &n, e);

		for (size_t i = 0; i < n && k == ERR_OK; i++)
			k = export_top(x, &items[i].row.digest, &items[i].name, e);
		if (k != ERR_OK)
			return k;
		if (n)
			last = items[n - 1].name;
	}
	return ERR_OK;
}

static enum err_kind export_wanted(struct exporter *x, struct err *e)
{
	struct tag_row row;
	enum err_kind k;

	if (x->o->digest)
		return export_top(x, x->o->digest, NULL, e);
	if (!x->o->tag)
		return export_all_tags(x, e);
	k = index_tag_find(store_index(x->st), &x->o->repo, x->o->tag, &row, e);
	return k == ERR_OK ? export_top(x, &row.digest, x->o->tag, e) : k;
}

/* --- the layout --- */

static struct str text_of(const struct jv *v)
{
	struct str s = { "", 0 };

	(void)jv_text(v, &s);
	return s;
}

static struct str ref_name_of(const struct jv *entry)
{
	return text_of(jv_member(jv_member(entry, "annotations"), REF_NAME));
}

/* What tells two entries apart: their name, or, without one, the digest. */
static int entry_order(const void *a, const void *b)
{
	const struct jv *x = *(const struct jv *const *)a, *y = *(const struct jv *const *)b;
	struct str p = ref_name_of(x), q = ref_name_of(y);
	int order;

	if (p.n == 0 && q.n == 0) {
		p = text_of(jv_member(x, "digest"));
		q = text_of(jv_member(y, "digest"));
	}
	order = memcmp(p.p, q.p, MIN(p.n, q.n));
	return order ? order : (p.n > q.n) - (p.n < q.n);
}

/* Of several that are the same the first stays: new ones come before those of the layout. */
static enum err_kind merge(struct exporter *x, const struct jv *old, struct jv **ret, struct err *e)
{
	const struct jv *lists[] = { x->entries, jv_member(old, "manifests") };
	AUTO_JV *all = jv_new_array();
	bool ok = all != NULL;
	void *seen = NULL;

	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		for (size_t i = 0; i < jv_count(lists[l]) && ok; i++) {
			const struct jv *entry = jv_at(lists[l], i);
			const struct jv **key = malloc(sizeof(const struct jv *)), ***at = NULL;

			if (key) {
				*key = entry;
				at = tsearch(key, &seen, entry_order);
			}
			ok = at != NULL;
			if (ok && *at == key)
				ok = jv_append(all, jv_share(entry));
			else
				free(key);
		}
	}
	tdestroy(seen, free);
	*ret = TAKE(all);
	return ok ? ERR_OK : err_set(e, ERR_NO_MEMORY, __func__, "no memory for index.json");
}

static enum err_kind write_index(struct exporter *x, struct jv *index, struct err *e)
{
	AUTO_JV *list = NULL;
	AUTO_SBUF text = { .max = INDEX_BYTES_MAX };
	enum err_kind k = merge(x, index, &list, e);

	if (k != ERR_OK)
		return k;
	if (!jv_set(index, "manifests", TAKE(list)))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for index.json");
	jv_dump(index, &text);
	if (text.failed)
		return err_set(e, ERR_TOO_LARGE, __func__, "index.json would be too large");
	if (sys_syncfs(x->dir_fd) < 0)
		return err_sys(e, __func__, "sync the layout");
	return fd_replace_file(x->dir_fd, "index.json", (struct str){ text.p, text.n }, 0644, e);
}

static enum err_kind read_index(struct exporter *x, struct jv **ret, struct err *e)
{
	AUTO_SBUF text = { .max = INDEX_BYTES_MAX };
	enum err_kind k = fd_read_file(x->dir_fd, "index.json", &text, e);

	if (k == ERR_NOT_FOUND) {
		*ret = jv_pack("{s:i, s:s}", "schemaVersion", 2, "mediaType", MEDIA_OCI_INDEX);
		return *ret ? ERR_OK : err_set(e, ERR_NO_MEMORY, __func__, "no memory");
	}
	if (k == ERR_OK)
		k = jv_parse_object((struct str){ text.p, text.n }, INDEX_DEPTH_MAX, ret, e);
	return k == ERR_OK ? k : err_wrap(e, "index.json");
}

static enum err_kind refuse_any(void *arg, const char *name, struct err *e)
{
	(void)arg;
	return err_set(e, ERR_INVALID, __func__,
		       "it is no image layout, and not empty: there is %.100s", name);
}

static enum err_kind check_mark(struct exporter *x, struct err *e)
{
	AUTO_SBUF text = { .max = 4096 };
	AUTO_JV *mark = NULL;
	enum err_kind k = fd_read_file(x->dir_fd, "oci-layout", &text, e);

	if (k == ERR_NOT_FOUND) {
		k = fd_list_dir(x->dir_fd, ".", refuse_any, NULL, e);
		return k == ERR_OK ? fd_replace_file(x->dir_fd, "oci-layout", STR(MARK), 0644, e)
				   : k;
	}
	if (k == ERR_OK)
		k = jv_parse_object((struct str){ text.p, text.n }, INDEX_DEPTH_MAX, &mark, e);
	if (k == ERR_OK && !str_starts(text_of(jv_member(mark, "imageLayoutVersion")), STR("1.")))
		k = err_set(e, ERR_INVALID, __func__, "an image layout of another version");
	return k;
}

static enum err_kind open_layout(struct exporter *x, struct err *e)
{
	enum err_kind k = fd_mkdir_at(AT_FDCWD, x->o->dir, 0755, e);

	if (k == ERR_OK)
		k = fd_open_at(AT_FDCWD, x->o->dir, O_RDONLY | O_DIRECTORY, 0, &x->dir_fd, e);
	if (k == ERR_OK && flock(x->dir_fd, LOCK_EX | LOCK_NB) < 0)
		k = err_set(e, ERR_IN_USE, __func__, "another export writes to it");
	if (k == ERR_OK)
		k = check_mark(x, e);
	return k == ERR_OK ? fd_mkdir_at(x->dir_fd, "blobs", 0755, e) : k;
}

static void export_clear(struct exporter *x)
{
	for (unsigned alg = DIGEST_SHA256; alg <= DIGEST_SHA512; alg++)
		fd_close(&x->blobs_fd[alg]);
	fd_close(&x->dir_fd);
	tdestroy(TAKE(x->done), free);
	jv_free(&x->entries);
}

enum err_kind store_export(struct store *st, const struct export_options *o,
			   struct export_result *ret, struct err *e)
{
	struct exporter x = { .st = st,
			      .o = o,
			      .dir_fd = -1,
			      .blobs_fd = { -1, -1, -1 },
			      .entries = jv_new_array() };
	AUTO_JV *index = NULL;
	enum err_kind k = x.entries ? index_repo_exists(store_index(st), &o->repo, e)
				    : err_set(e, ERR_NO_MEMORY, __func__, "no memory");

	if (k == ERR_OK) {
		k = open_layout(&x, e);
		if (k == ERR_OK)
			k = read_index(&x, &index, e);
		if (k != ERR_OK)
			(void)err_wrap(e, "%.100s", o->dir);
	}
	if (k == ERR_OK)
		k = export_wanted(&x, e);
	if (k == ERR_OK)
		k = write_index(&x, index, e);
	export_clear(&x);
	*ret = x.result;
	return k;
}
