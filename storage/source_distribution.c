/* A repository of CNCF distribution: a "link" file that holds a digest for each manifest, tag and blob that it has. */
#include "base/fd.h"
#include "storage/source_impl.h"

#define LINK_MAX_BYTES (DIGEST_TEXT_MAX + 2)

/* The file's time is when it was written: at the push.  ERR_NOT_FOUND: it was deleted. */
static enum err_kind read_link(int dir, const char *path, struct digest *ret, uint64_t *ret_ms,
			       struct err *e)
{
	AUTO_CLOSE fd = -1;
	char text[LINK_MAX_BYTES];
	struct stat s;
	enum err_kind k = source_open_file(dir, path, &fd, &s, e);

	if (k != ERR_OK)
		return k;
	if (s.st_size < 0 || (size_t)s.st_size > sizeof(text))
		return err_set(e, ERR_INVALID, __func__, "its link file holds no digest");
	k = fd_pread_exact(fd, text, (size_t)s.st_size, 0, "the link file", e);
	if (k == ERR_OK && !digest_parse(ret, (struct str){ text, (size_t)s.st_size }))
		return err_set(e, ERR_INVALID, __func__, "its link file holds no digest");
	*ret_ms = (uint64_t)s.st_mtim.tv_sec * 1000 + (uint64_t)s.st_mtim.tv_nsec / 1000000;
	return k;
}

static bool is_fault(enum err_kind k)
{
	return k == ERR_INVALID || k == ERR_IO || k == ERR_CORRUPT;
}

static enum err_kind add_revision(struct source_reader *r, const char *alg, const char *hex,
				  struct err *e)
{
	char path[2 * DIGEST_HEX_MAX], text[DIGEST_TEXT_MAX];
	struct digest named, d;
	uint64_t at_ms;
	enum err_kind k;

	if (snprintf(text, sizeof(text), "%s:%s", alg, hex) >= (int)sizeof(text) ||
	    !digest_parse(&named, str_of(text))) {
		r->fn(r->arg, "manifest", hex, "its name is no digest");
		return ERR_OK;
	}
	(void)snprintf(path, sizeof(path), "_manifests/revisions/%s/%s/link", alg, hex);
	k = read_link(r->repo->dir_fd, path, &d, &at_ms, e);
	if (k == ERR_OK && !digest_eq(&named, &d))
		k = err_set(e, ERR_INVALID, __func__, "its link file says something else");
	if (is_fault(k))
		r->fn(r->arg, "manifest", text, e->msg);
	if (k == ERR_NOT_FOUND || is_fault(k))
		return ERR_OK;
	return k == ERR_OK ? source_add_manifest(r, &d, at_ms, e) : k;
}

struct revisions {
	struct source_reader *r;
	const char *alg;
};

static enum err_kind on_revision(void *arg, const char *name, struct err *e)
{
	const struct revisions *v = arg;

	return add_revision(v->r, v->alg, name, e);
}

static enum err_kind on_tag(void *arg, const char *name, struct err *e)
{
	struct source_reader *r = arg;
	char path[TAG_NAME_MAX + 64];
	struct tag_name tag;
	struct digest d;
	uint64_t at_ms;
	enum err_kind k;

	if (!tag_name_parse(&tag, str_of(name))) {
		r->fn(r->arg, "tag", name, "no name of a tag");
		return ERR_OK;
	}
	(void)snprintf(path, sizeof(path), "_manifests/tags/%s/current/link", name);
	k = read_link(r->repo->dir_fd, path, &d, &at_ms, e);
	if (is_fault(k))
		r->fn(r->arg, "tag", name, e->msg);
	if (k == ERR_NOT_FOUND || is_fault(k))
		return ERR_OK;
	return k == ERR_OK ? source_add_tag(r, &tag, &d, at_ms, e) : k;
}

/* A directory that is not there has nothing in it. */
static enum err_kind list_below(struct source_reader *r, const char *path, fd_name_fn *fn,
				void *arg, struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k = source_open_below(r->repo->dir_fd, path, O_RDONLY | O_DIRECTORY, &fd, e);

	if (k == ERR_NOT_FOUND)
		return ERR_OK;
	return k == ERR_OK ? fd_list_dir(fd, ".", fn, arg, e) : k;
}

enum err_kind source_read_distribution(struct source_reader *r, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (unsigned alg = DIGEST_SHA256; alg <= DIGEST_SHA512 && k == ERR_OK; alg++) {
		struct revisions v = { .r = r, .alg = digest_alg_text((uint8_t)alg) };
		char path[64];

		(void)snprintf(path, sizeof(path), "_manifests/revisions/%s", v.alg);
		k = list_below(r, path, on_revision, &v, e);
	}
	return k == ERR_OK ? list_below(r, "_manifests/tags", on_tag, r, e) : k;
}
