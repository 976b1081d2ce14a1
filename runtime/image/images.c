#include "runtime/image/images_impl.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "storage/blob.h"

#define MAP_BYTES (16u * 1024 * 1024)
#define UPLOADS_MAX 1000
#define UPLOADS_IDLE_MS (24u * 3600 * 1000)
#define WAIT_US_FIRST 500
#define WAIT_US_MAX 50000
#define PAGE 256
#define ID_MIN 4 /* hex digits that may stand for an image */

static const char *const dir_names[IMAGES_DIR_N] = {
	[IMAGES_ROOT] = ".",
	[IMAGES_DOWNLOADS] = "downloads",
	[IMAGES_LAYERS] = "layers",
	[IMAGES_STAGING] = "staging",
};

/* A root of the user's choice: parents are made, links are followed. */
static enum err_kind make_root(const char *root, struct err *e)
{
	AUTO_FREE char *path = strdup(root);

	if (!path)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a path");
	for (char *at = path + 1; *path; at++) {
		char c = *at;

		if (c != '/' && c != '\0')
			continue;
		*at = '\0';
		if (sys_mkdirat(AT_FDCWD, path, 0700) < 0 && errno != EEXIST)
			return err_sys(e, __func__, "make %s", path);
		*at = c;
		if (!c)
			break;
	}
	return ERR_OK;
}

static enum err_kind open_dirs(struct images *im, struct err *e)
{
	enum err_kind k = make_root(im->root, e);

	if (k != ERR_OK)
		return k;
	im->dirs[IMAGES_ROOT] =
	    sys_openat(AT_FDCWD, im->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (im->dirs[IMAGES_ROOT] < 0)
		return err_sys(e, __func__, "open %s", im->root);
	for (unsigned i = IMAGES_ROOT + 1; k == ERR_OK && i < IMAGES_DIR_N; i++) {
		k = fd_mkdir_at(im->dirs[IMAGES_ROOT], dir_names[i], 0700, e);
		if (k == ERR_OK)
			k = fd_open_at(im->dirs[IMAGES_ROOT], dir_names[i], O_RDONLY | O_DIRECTORY,
				       0, &im->dirs[i], e);
	}
	return k;
}

enum err_kind images_open(const char *root, struct images **ret, struct err *e)
{
	AUTO_IMAGES *im = calloc(1, sizeof(*im));
	enum err_kind k;

	if (!im)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the images");
	for (unsigned i = 0; i < IMAGES_DIR_N; i++)
		im->dirs[i] = -1;
	im->root = strdup(root);
	k = im->root ? open_dirs(im, e)
		     : err_set(e, ERR_NO_MEMORY, __func__, "no memory for a path");
	if (k == ERR_OK)
		*ret = TAKE(im);
	return k;
}

void images_close(struct images **take)
{
	struct images *im = TAKE(*take);

	if (!im)
		return;
	images_end(im);
	for (unsigned i = 0; i < IMAGES_DIR_N; i++)
		fd_close(&im->dirs[i]);
	free(im->root);
	free(im);
}

int images_dir(const struct images *im, enum images_dir which)
{
	return im->dirs[which];
}

enum err_kind images_guard(const struct images *im, enum images_guard how, int *ret, struct err *e)
{
	AUTO_CLOSE fd = -1;
	struct flock whole = { .l_type = how == IMAGES_ALONE ? F_WRLCK : F_RDLCK,
			       .l_whence = SEEK_SET };
	enum err_kind k =
	    fd_open_at(im->dirs[IMAGES_ROOT], "guard", O_RDWR | O_CREAT, 0600, &fd, e);
	int r;

	if (k != ERR_OK)
		return k;
	do
		r = fcntl(fd, how == IMAGES_ALONE ? F_OFD_SETLK : F_OFD_SETLKW, &whole);
	while (r < 0 && errno == EINTR);
	if (r < 0 && (errno == EAGAIN || errno == EACCES))
		return err_set(e, ERR_IN_USE, __func__,
			       "images are being pulled or started: try again later");
	if (r < 0)
		return err_sys(e, __func__, "lock the images");
	*ret = TAKE_FD(fd);
	return ERR_OK;
}

/* The store's lock has no queue, so who waits looks again, at first soon: it is held for milliseconds. */
enum err_kind images_begin(struct images *im, struct err *e)
{
	AUTO_FREE char *path = NULL;
	struct store_options o = { .map_bytes = MAP_BYTES,
				   .uploads_max = UPLOADS_MAX,
				   .uploads_idle_ms = UPLOADS_IDLE_MS,
				   .json_depth_max = IMAGEDOC_DEPTH_MAX,
				   .sparse = SPARSE_INDEX,
				   .single_thread = true };
	struct store_recovery ignored;
	uint64_t deadline = mono_ms() + IMAGES_WAIT_MS_MAX;
	long wait_us = WAIT_US_FIRST;
	enum err_kind k;

	if (asprintf(&path, "%s/store", im->root) < 0)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a path");
	o.root = path;
	for (;;) {
		const struct timespec pause = { .tv_nsec = wait_us * 1000 };

		k = store_open(&o, &im->store, &ignored, e);
		if (k != ERR_IN_USE || mono_ms() >= deadline)
			return k;
		(void)nanosleep(&pause, NULL);
		wait_us = wait_us < WAIT_US_MAX / 2 ? 2 * wait_us : WAIT_US_MAX;
	}
}

void images_end(struct images *im)
{
	store_close(&im->store);
}

struct tag_name images_tag_of(const struct reference *ref)
{
	struct tag_name tag = { 0 };
	char hex[DIGEST_HEX_MAX + 1], text[TAG_NAME_MAX + 1];
	int n;

	if (!ref->has_digest)
		return ref->tag;
	/* What is cut off of a sha512 leaves more than enough to tell digests apart. */
	n = snprintf(text, sizeof(text), TAG_DIGEST "%s.%s", digest_alg_text(ref->digest.alg),
		     digest_hex(&ref->digest, hex));
	(void)!tag_name_parse(&tag, (struct str){ text, MIN((size_t)n, (size_t)TAG_NAME_MAX) });
	return tag;
}

void image_clear(struct image *i)
{
	imagedoc_clear(&i->doc);
	config_clear(&i->config);
	free(TAKE(i->chain_ids));
}

enum err_kind images_blob_open(struct images *im, const struct repo_name *repo,
			       const struct digest *d, int *ret_fd, uint64_t *ret_size,
			       struct err *e)
{
	struct blob_info info;
	enum err_kind k = index_blob_find(store_index(im->store), repo, d, &info, e);

	if (k == ERR_OK)
		k = blob_open(im->store, d, info.size_bytes, ret_fd, e);
	if (k == ERR_OK)
		*ret_size = info.size_bytes;
	return k;
}

enum err_kind images_manifest_read(struct images *im, const struct repo_name *repo,
				   const struct digest *d, struct sbuf *ret,
				   char type[static MEDIA_TYPE_MAX + 1], struct err *e)
{
	struct manifest_info info = { 0 };
	enum err_kind k = index_manifest_find(store_index(im->store), repo, NULL, d, &info, e);

	if (k != ERR_OK)
		return k;
	(void)str_copy(str_of(info.media_type), type, MEDIA_TYPE_MAX + 1);
	if (info.bytes)
		sbuf_add(ret, info.bytes, (size_t)info.size_bytes);
	else
		k = blob_read(im->store, d, info.size_bytes, ret, e);
	free(info.bytes);
	if (k == ERR_OK && ret->failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a manifest");
	return k;
}

static enum err_kind load_doc(struct images *im, const struct repo_name *repo,
			      const struct digest *d, struct imagedoc *ret, struct err *e)
{
	AUTO_SBUF body;
	char type[MEDIA_TYPE_MAX + 1];
	enum err_kind k;

	sbuf_init(&body, IMAGEDOC_BYTES_MAX);
	k = images_manifest_read(im, repo, d, &body, type, e);
	return k == ERR_OK ? imagedoc_parse((struct str){ body.p, body.n }, str_of(type), d, ret, e)
			   : k;
}

/* Of an index's children only some may be here, so the choice is among those. */
static enum err_kind load_child(struct images *im, const struct platform *want, struct image *i,
				struct err *e)
{
	AUTO_IMAGEDOC index = i->doc;
	const struct descriptor *child = NULL;
	struct digest found;
	enum err_kind k = imagedoc_choose(&index, want, &child, e);
	char text[PLATFORM_TEXT_MAX];

	i->doc = (struct imagedoc){ 0 };
	if (k != ERR_OK)
		return k;
	found = child->digest;
	k = load_doc(im, &i->repo, &found, &i->doc, e);
	if (k == ERR_NOT_FOUND)
		return err_set(e, ERR_NOT_FOUND, __func__,
			       "the image for %s is not here: pull it with --platform",
			       platform_text(want, text));
	if (k == ERR_OK && i->doc.kind != MEDIA_MANIFEST)
		return err_set(e, ERR_UNSUPPORTED, __func__, "an index in an index");
	return k;
}

static enum err_kind load_config(struct images *im, struct image *i, struct err *e)
{
	AUTO_SBUF body = { 0 };
	AUTO_CLOSE fd = -1;
	uint64_t size;
	enum err_kind k = images_blob_open(im, &i->repo, &i->doc.config.digest, &fd, &size, e);

	if (k != ERR_OK)
		return err_wrap(e, "config of the image");
	sbuf_init(&body, CONFIG_BYTES_MAX);
	k = fd_read_rest(fd, &body, "image config", e);
	if (k == ERR_OK)
		k = config_parse((struct str){ body.p, body.n }, &i->config, e);
	if (k != ERR_OK)
		return k;
	if (i->config.n_diff_ids != i->doc.n_parts)
		return err_set(e, ERR_INVALID, __func__,
			       "the image has %zu layers and %zu diff IDs", i->doc.n_parts,
			       i->config.n_diff_ids);
	i->chain_ids = calloc(i->config.n_diff_ids + 1, sizeof(*i->chain_ids));
	if (!i->chain_ids)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for an image");
	return config_chain_ids(i->config.diff_ids, i->config.n_diff_ids, i->chain_ids, e);
}

static enum err_kind find_top(struct images *im, const struct reference *ref, struct image *i,
			      struct err *e)
{
	struct tag_name tag = ref->tag;
	struct manifest_info info = { 0 };
	char text[REFERENCE_TEXT_MAX];
	enum err_kind k;

	if (!reference_to_store(ref, &i->repo))
		return err_set(e, ERR_INVALID, __func__, "\"%.100s\" is too long a name",
			       ref->repo.s);
	k = index_manifest_find(store_index(im->store), &i->repo, ref->has_digest ? NULL : &tag,
				ref->has_digest ? &ref->digest : NULL, &info, e);
	free(TAKE(info.bytes));
	if (k == ERR_NOT_FOUND)
		return err_set(e, k, __func__, "no image %s here: berth pull %s",
			       reference_short(ref, text), reference_short(ref, text));
	if (k != ERR_OK)
		return k;
	i->top = info.digest;
	i->pulled_ms = info.pushed_ms;
	(void)str_copy(str_of(info.media_type), i->top_type, sizeof(i->top_type));
	return ERR_OK;
}

enum err_kind images_load(struct images *im, const struct reference *ref,
			  const struct platform *want, struct image *ret, struct err *e)
{
	struct platform host = platform_host();
	AUTO_IMAGE i = { .ref = *ref };
	enum err_kind k = find_top(im, ref, &i, e);

	if (k == ERR_OK)
		k = load_doc(im, &i.repo, &i.top, &i.doc, e);
	if (k == ERR_OK && i.doc.kind == MEDIA_INDEX)
		k = load_child(im, want ? want : &host, &i, e);
	if (k == ERR_OK)
		k = load_config(im, &i, e);
	if (k == ERR_OK) {
		*ret = i;
		i = (struct image){ 0 };
	}
	return k;
}

/* --- Names --- */

/* Our tags are told apart; what is neither a name nor one of them is not shown. */
static bool entry_of(struct str repo, const char *tag, struct images_entry *ret)
{
	struct images_entry x = { 0 };

	if (!repo_name_parse(&x.repo, repo) || !reference_from_store(&x.ref, repo) ||
	    !tag_name_parse(&x.tag, str_of(tag)))
		return false;
	*ret = x;
	if (str_starts(str_of(tag), STR(TAG_USER)))
		ret->user = ret->tag.s + sizeof(TAG_USER) - 1;
	else if (!str_starts(str_of(tag), STR(TAG_DIGEST)))
		ret->ref.tag = ret->tag;
	return true;
}

static enum err_kind each_tag(struct images *im, struct str repo, const char *tag,
			      images_each_fn *fn, void *arg, struct err *e)
{
	struct images_entry entry;
	struct manifest_info info = { 0 };
	enum err_kind k;

	if (!entry_of(repo, tag, &entry))
		return ERR_OK;
	k = index_manifest_find(store_index(im->store), &entry.repo, &entry.tag, NULL, &info, e);
	free(TAKE(info.bytes));
	if (k != ERR_OK)
		return k;
	entry.top = info.digest;
	entry.pulled_ms = info.pushed_ms;
	(void)str_copy(str_of(info.media_type), entry.top_type, sizeof(entry.top_type));
	if (!entry.user && entry.ref.tag.len == 0) {
		entry.ref.has_digest = true;
		entry.ref.digest = info.digest;
	}
	return fn(arg, &entry, e);
}

static enum err_kind each_of_repo(struct images *im, struct str repo, images_each_fn *fn, void *arg,
				  struct err *e)
{
	struct repo_name name;
	char after[TAG_NAME_MAX + 1] = "";
	bool more = true;
	enum err_kind k = ERR_OK;

	if (!repo_name_parse(&name, repo))
		return err_set(e, ERR_CORRUPT, __func__, "a repository's name is none");
	while (k == ERR_OK && more) {
		AUTO_NAME_PAGE page = NAME_PAGE_INIT;
		const char *at;

		k = index_tag_page(store_index(im->store), &name, str_of(after), PAGE, &page, e);
		at = page.names.p;
		for (size_t i = 0; k == ERR_OK && i < page.n; i++, at += strlen(at) + 1) {
			(void)str_copy(str_of(at), after, sizeof(after));
			k = each_tag(im, repo, at, fn, arg, e);
		}
		more = page.more;
	}
	return k;
}

enum err_kind images_each(struct images *im, images_each_fn *fn, void *arg, struct err *e)
{
	char after[REPO_NAME_MAX + 1] = "";
	bool more = true;
	enum err_kind k = ERR_OK;

	while (k == ERR_OK && more) {
		AUTO_NAME_PAGE page = NAME_PAGE_INIT;
		const char *at;

		k = index_repo_page(store_index(im->store), str_of(after), PAGE, &page, e);
		at = page.names.p;
		for (size_t i = 0; k == ERR_OK && i < page.n; i++, at += strlen(at) + 1) {
			(void)str_copy(str_of(at), after, sizeof(after));
			k = each_of_repo(im, str_of(after), fn, arg, e);
		}
		more = page.more;
	}
	return k;
}

struct id_search {
	struct images *im;
	const struct platform *want;
	struct str prefix;
	struct image *ret;
	bool found;
	bool ambiguous;
};

static bool has_prefix(const struct digest *d, struct str prefix)
{
	char hex[DIGEST_HEX_MAX + 1];

	return str_starts(str_of(digest_hex(d, hex)), prefix);
}

static enum err_kind match_id(void *arg, const struct images_entry *entry, struct err *e)
{
	struct id_search *s = arg;
	AUTO_IMAGE i = { 0 };
	struct reference ref = entry->ref;
	enum err_kind k;

	ref.has_digest = true;
	ref.digest = entry->top;
	k = images_load(s->im, &ref, s->want, &i, e);
	if (k != ERR_OK) /* not an image, or not for this platform */
		return k == ERR_NO_MEMORY || k == ERR_IO ? k : ERR_OK;
	if (!has_prefix(&i.doc.digest, s->prefix) && !has_prefix(&i.top, s->prefix) &&
	    !has_prefix(&i.doc.config.digest, s->prefix))
		return ERR_OK;
	if (s->found) {
		s->ambiguous = s->ambiguous || !digest_eq(&i.doc.digest, &s->ret->doc.digest);
		return ERR_OK;
	}
	i.ref = entry->ref;
	*s->ret = i;
	i = (struct image){ 0 };
	s->found = true;
	return ERR_OK;
}

static bool is_id(struct str s)
{
	if (str_starts(s, STR("sha256:")))
		s = (struct str){ s.p + 7, s.n - 7 };
	for (size_t i = 0; i < s.n; i++) {
		if (hex_value(s.p[i]) < 0)
			return false;
	}
	return s.n >= ID_MIN && s.n <= DIGEST_HEX_MAX;
}

static enum err_kind find_id(struct images *im, struct str id, const struct platform *want,
			     struct image *ret, struct err *e)
{
	struct id_search s = { .im = im, .want = want, .prefix = id, .ret = ret };
	enum err_kind k;

	if (str_starts(id, STR("sha256:")))
		s.prefix = (struct str){ id.p + 7, id.n - 7 };
	k = images_each(im, match_id, &s, e);
	if (k == ERR_OK && s.ambiguous)
		k = err_set(
		    e, ERR_INVALID, __func__,
		    "more than one image has an id that begins with %.64s: write more of it", id.p);
	if (k != ERR_OK && s.found)
		image_clear(ret);
	return k == ERR_OK && !s.found ? ERR_NOT_FOUND : k;
}

enum err_kind images_find(struct images *im, const char *name, const struct platform *want,
			  struct image *ret, struct err *e)
{
	struct reference ref;
	struct err of_name;
	enum err_kind k = reference_parse(&ref, str_of(name), &of_name);

	if (k == ERR_OK)
		k = images_load(im, &ref, want, ret, &of_name);
	if ((k == ERR_NOT_FOUND || k == ERR_INVALID) && is_id(str_of(name))) {
		enum err_kind by_id = find_id(im, str_of(name), want, ret, e);

		if (by_id != ERR_NOT_FOUND)
			return by_id;
	}
	if (k != ERR_OK)
		*e = of_name;
	return k;
}
