#include "storage/source.h"

#include <errno.h>
#include <limits.h>

#include "base/fd.h"
#include "base/hash.h"
#include "storage/source_impl.h"

#define REPOSITORIES "repositories"

/* --- opening --- */

/* What is wrong with somebody else's files is their fault, not ours. */
static enum err_kind fault_of_source(enum err_kind k, struct err *e)
{
	if (k == ERR_IO && e->sys == ELOOP)
		return err_set(e, ERR_INVALID, __func__,
			       "a symbolic link, which is not followed, or no directory");
	if (k == ERR_IO || k == ERR_CORRUPT || k == ERR_NO_SPACE)
		e->kind = k = ERR_INVALID;
	return k;
}

/* Each step by itself: O_NOFOLLOW is about the last one only. */
enum err_kind source_open_below(int dir, const char *path, int flags, int *ret, struct err *e)
{
	AUTO_CLOSE at = -1;
	struct str rest = str_of(path), name;
	char step[NAME_MAX + 1];
	enum err_kind k = ERR_OK;

	while (k == ERR_OK && rest.n) {
		AUTO_CLOSE next = -1;
		bool more = str_cut(rest, '/', &name, &rest);

		if (!str_copy(name, step, sizeof(step)) || strcmp(step, "..") == 0)
			return err_set(e, ERR_INVALID, __func__, "a path that is none");
		if (!more)
			rest.n = 0;
		k = fd_open_at(at < 0 ? dir : at, step, more ? O_PATH | O_DIRECTORY : flags, 0,
			       &next, e);
		if (k == ERR_IO && e->sys == ENOTDIR)
			e->sys = ELOOP; /* O_DIRECTORY says that of a link */
		fd_close(&at);
		at = TAKE_FD(next);
	}
	if (k == ERR_OK)
		*ret = TAKE_FD(at);
	return fault_of_source(k, e);
}

enum err_kind source_open_file(int dir, const char *path, int *ret, struct stat *ret_stat,
			       struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k = source_open_below(dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, &fd, e);

	if (k != ERR_OK)
		return k;
	if (fstat(fd, ret_stat) < 0 || !S_ISREG(ret_stat->st_mode))
		return err_set(e, ERR_INVALID, __func__, "%.200s is no regular file", path);
	*ret = TAKE_FD(fd);
	return ERR_OK;
}

static bool has(int dir, const char *path, mode_t type)
{
	AUTO_CLOSE fd = -1;
	struct err e;
	struct stat s;

	return source_open_below(dir, path, O_PATH, &fd, &e) == ERR_OK && fstat(fd, &s) == 0 &&
	       (s.st_mode & S_IFMT) == type;
}

static enum err_kind stop_at_first(void *arg, const char *path, struct err *e)
{
	(void)arg, (void)path;
	return err_set(e, ERR_EXISTS, __func__, "there is one");
}

static enum err_kind find_kind(struct source *s, const char *dir, struct err *e)
{
	int v2;
	enum err_kind k;

	if (has(s->dir_fd, "oci-layout", S_IFREG)) {
		s->kind = SOURCE_LAYOUT;
		return ERR_OK;
	}
	s->kind = SOURCE_DISTRIBUTION;
	if (has(s->dir_fd, REPOSITORIES, S_IFDIR) && has(s->dir_fd, "blobs", S_IFDIR))
		return ERR_OK;
	if (has(s->dir_fd, "docker/registry/v2/" REPOSITORIES, S_IFDIR)) {
		k = source_open_below(s->dir_fd, "docker/registry/v2", O_RDONLY | O_DIRECTORY, &v2,
				      e);
		if (k == ERR_OK) {
			fd_close(&s->dir_fd);
			s->dir_fd = v2;
		}
		return k;
	}
	s->kind = SOURCE_ZOT;
	k = source_list(s, stop_at_first, NULL, e);
	if (k == ERR_OK)
		return err_set(e, ERR_INVALID, __func__,
			       "%.200s is no root of distribution or zot, and no OCI image layout",
			       dir);
	return k == ERR_EXISTS ? ERR_OK : k;
}

enum err_kind source_open(const char *dir, struct source *ret, struct err *e)
{
	AUTO_SOURCE s = { .dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	enum err_kind k;

	if (s.dir_fd < 0)
		return err_sys(e, __func__, "open %.200s", dir);
	k = find_kind(&s, dir, e);
	if (k == ERR_OK) {
		ret->kind = s.kind;
		ret->dir_fd = TAKE_FD(s.dir_fd);
	}
	return k;
}

void source_close(struct source *s)
{
	fd_close(&s->dir_fd);
}

/* --- repositories --- */

struct walk {
	const struct source *s;
	source_repo_fn *fn;
	void *arg;
	int dir; /* the directory whose names are looked at */
	size_t n;
	char path[REPO_NAME_MAX + 1]; /* its, below the top */
};

/* Repositories lie below each other; what begins with these characters is no part of a name, and the registry's own. */
static bool is_step(const struct walk *w, const char *name)
{
	return name[0] != '.' && name[0] != '_' &&
	       (w->s->kind == SOURCE_DISTRIBUTION || strcmp(name, "blobs") != 0);
}

static enum err_kind walk_names(struct walk *w, struct err *e);

static enum err_kind walk_into(void *arg, const char *name, struct err *e)
{
	struct walk *w = arg;
	AUTO_CLOSE fd = -1;
	size_t n = w->n;
	int dir = w->dir, added;
	enum err_kind k = ERR_OK;

	if (!is_step(w, name))
		return ERR_OK;
	if (fd_open_at(dir, name, O_RDONLY | O_DIRECTORY, 0, &fd, e) != ERR_OK)
		return e->sys == ENOTDIR || e->sys == ELOOP ? ERR_OK : fault_of_source(e->kind, e);
	added = snprintf(w->path + n, sizeof(w->path) - n, "%s%s", n ? "/" : "", name);
	if (added < 0 || (size_t)added >= sizeof(w->path) - n) {
		k = w->fn(w->arg, w->path, e); /* too long for a name, so refused as one */
	} else {
		w->n = n + (size_t)added;
		w->dir = fd;
		if (w->s->kind == SOURCE_DISTRIBUTION ? has(fd, "_manifests", S_IFDIR)
						      : has(fd, "oci-layout", S_IFREG))
			k = w->fn(w->arg, w->path, e);
		if (k == ERR_OK)
			k = walk_names(w, e);
	}
	w->dir = dir;
	w->n = n;
	w->path[n] = '\0';
	return k;
}

static enum err_kind walk_names(struct walk *w, struct err *e)
{
	return fd_list_dir(w->dir, ".", walk_into, w, e);
}

enum err_kind source_list(const struct source *s, source_repo_fn *fn, void *arg, struct err *e)
{
	AUTO_CLOSE top = -1;
	struct walk w = { .s = s, .fn = fn, .arg = arg };
	enum err_kind k;

	if (s->kind == SOURCE_LAYOUT)
		return fn(arg, ".", e);
	k = source_open_below(s->dir_fd, s->kind == SOURCE_DISTRIBUTION ? REPOSITORIES : ".",
			      O_RDONLY | O_DIRECTORY, &top, e);
	w.dir = top;
	return k == ERR_OK ? walk_names(&w, e) : k;
}

/* --- one repository --- */

/* Room for one more of size bytes in *at, which has n. */
static enum err_kind make_room(void **at, size_t n, size_t *room, size_t size, struct err *e)
{
	size_t more = *room ? *room * 2 : 64;
	void *p;

	if (n < *room)
		return ERR_OK;
	if (n >= SOURCE_ENTRIES_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__,
			       "more than %d manifests or tags in one repository",
			       SOURCE_ENTRIES_MAX);
	p = reallocarray(*at, more, size);
	if (!p)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a repository");
	*at = p;
	*room = more;
	return ERR_OK;
}

enum err_kind source_add_manifest(struct source_reader *r, const struct digest *d,
				  uint64_t pushed_ms, struct err *e)
{
	struct source_repo *repo = r->repo;
	enum err_kind k = make_room((void **)&repo->manifests, repo->n_manifests,
				    &r->manifests_room, sizeof(*repo->manifests), e);

	if (k == ERR_OK)
		repo->manifests[repo->n_manifests++] =
		    (struct source_manifest){ .digest = *d, .pushed_ms = pushed_ms };
	return k;
}

enum err_kind source_add_tag(struct source_reader *r, const struct tag_name *name,
			     const struct digest *d, uint64_t pushed_ms, struct err *e)
{
	struct source_repo *repo = r->repo;
	enum err_kind k =
	    make_room((void **)&repo->tags, repo->n_tags, &r->tags_room, sizeof(*repo->tags), e);

	if (k == ERR_OK)
		repo->tags[repo->n_tags++] =
		    (struct source_tag){ .name = *name, .digest = *d, .pushed_ms = pushed_ms };
	return k;
}

static int by_digest(const void *a, const void *b)
{
	return memcmp(&((const struct source_manifest *)a)->digest,
		      &((const struct source_manifest *)b)->digest, sizeof(struct digest));
}

static int tag_order(const void *a, const void *b)
{
	const struct source_tag *x = a, *y = b;
	int order = memcmp(&x->digest, &y->digest, sizeof(x->digest));

	if (order == 0)
		order = (x->pushed_ms > y->pushed_ms) - (x->pushed_ms < y->pushed_ms);
	return order ? order : strcmp(x->name.s, y->name.s);
}

static void sort_repo(struct source_repo *r)
{
	size_t n = 0;

	if (r->n_manifests)
		qsort(r->manifests, r->n_manifests, sizeof(*r->manifests), by_digest);
	for (size_t i = 0; i < r->n_manifests; i++) {
		if (n == 0 || !digest_eq(&r->manifests[n - 1].digest, &r->manifests[i].digest))
			r->manifests[n++] = r->manifests[i];
	}
	r->n_manifests = n;
	if (r->n_tags)
		qsort(r->tags, r->n_tags, sizeof(*r->tags), tag_order);
}

enum err_kind source_repo_open(const struct source *s, const char *path, source_fault_fn *fn,
			       void *arg, struct source_repo *ret, struct err *e)
{
	AUTO_SOURCE_REPO repo = { .source = s, .dir_fd = -1 };
	AUTO_CLOSE top = -1;
	struct source_reader r = { .repo = &repo, .fn = fn, .arg = arg };
	bool is_distribution = s->kind == SOURCE_DISTRIBUTION;
	enum err_kind k = source_open_below(s->dir_fd, is_distribution ? REPOSITORIES : ".",
					    O_RDONLY | O_DIRECTORY, &top, e);

	if (k == ERR_OK)
		k = source_open_below(top, path, O_RDONLY | O_DIRECTORY, &repo.dir_fd, e);
	if (k == ERR_OK)
		k = is_distribution ? source_read_distribution(&r, e) : source_read_layout(&r, e);
	if (k != ERR_OK)
		return fault_of_source(k, e);
	sort_repo(&repo);
	*ret = repo;
	repo = (struct source_repo){ .dir_fd = -1 };
	return ERR_OK;
}

void source_repo_close(struct source_repo *r)
{
	free(r->manifests);
	free(r->tags);
	fd_close(&r->dir_fd);
	*r = (struct source_repo){ .dir_fd = -1 };
}

const struct source_tag *source_tags_of(const struct source_repo *r, const struct digest *d,
					size_t *ret_n)
{
	size_t low = 0, high = r->n_tags, n = 0;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (memcmp(&r->tags[mid].digest, d, sizeof(*d)) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	while (low + n < r->n_tags && digest_eq(&r->tags[low + n].digest, d))
		n++;
	*ret_n = n;
	return r->tags + low;
}

/* --- content --- */

static enum err_kind open_content(const struct source_repo *r, const struct digest *d, int *ret,
				  struct stat *ret_stat, struct err *e)
{
	char path[2 * DIGEST_HEX_MAX], hex[DIGEST_HEX_MAX + 1];
	const char *alg = digest_alg_text(d->alg);

	digest_hex(d, hex);
	if (r->source->kind == SOURCE_DISTRIBUTION) {
		(void)snprintf(path, sizeof(path), "blobs/%s/%.2s/%s/data", alg, hex, hex);
		return source_open_file(r->source->dir_fd, path, ret, ret_stat, e);
	}
	(void)snprintf(path, sizeof(path), "blobs/%s/%s", alg, hex);
	return source_open_file(r->dir_fd, path, ret, ret_stat, e);
}

/* O3 */
static bool is_linked(const struct source_repo *r, const struct digest *d)
{
	char path[2 * DIGEST_HEX_MAX], hex[DIGEST_HEX_MAX + 1];

	(void)snprintf(path, sizeof(path), "_layers/%s/%s/link", digest_alg_text(d->alg),
		       digest_hex(d, hex));
	return r->source->kind != SOURCE_DISTRIBUTION || has(r->dir_fd, path, S_IFREG);
}

enum err_kind source_blob_open(const struct source_repo *r, const struct digest *d, int *ret_fd,
			       struct stat *ret, struct err *e)
{
	enum err_kind k = is_linked(r, d) ? open_content(r, d, ret_fd, ret, e) : ERR_NOT_FOUND;

	return k == ERR_NOT_FOUND ? err_set(e, k, __func__, "it is not there") : k;
}

static enum err_kind check_digest(const struct digest *d, struct str bytes, struct err *e)
{
	struct digest got;
	char text[DIGEST_TEXT_MAX];
	enum err_kind k = hash_bytes((enum digest_alg)d->alg, bytes.p, bytes.n, &got, e);

	if (k != ERR_OK || digest_eq(&got, d))
		return k;
	return err_set(e, ERR_DIGEST, __func__, "%zu bytes hash to %.80s", bytes.n,
		       digest_text(&got, text));
}

enum err_kind source_manifest_read(const struct source_repo *r, const struct digest *d,
				   struct sbuf *b, uint64_t *ret_pushed_ms, struct err *e)
{
	const struct source_manifest key = { .digest = *d };
	const struct source_manifest *m =
	    r->n_manifests ? bsearch(&key, r->manifests, r->n_manifests, sizeof(key), by_digest)
			   : NULL;
	AUTO_CLOSE fd = -1;
	struct stat s;
	enum err_kind k = ERR_NOT_FOUND;

	if (m || r->source->kind != SOURCE_DISTRIBUTION)
		k = open_content(r, d, &fd, &s, e);
	if (k == ERR_NOT_FOUND)
		return err_set(e, k, __func__, "it is not there");
	if (k != ERR_OK)
		return k;
	*ret_pushed_ms = m ? m->pushed_ms : 0;
	if ((uint64_t)s.st_size > b->max - b->n)
		return err_set(e, ERR_TOO_LARGE, __func__, "%lld bytes are more than %zu",
			       (long long)s.st_size, b->max - b->n);
	if (!sbuf_reserve(b, (size_t)s.st_size))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a manifest");
	k = fault_of_source(
	    fd_pread_exact(fd, b->p + b->n, (size_t)s.st_size, 0, "the manifest", e), e);
	if (k == ERR_OK)
		k = check_digest(d, (struct str){ b->p + b->n, (size_t)s.st_size }, e);
	if (k == ERR_OK)
		b->n += (size_t)s.st_size;
	return k;
}
