/* An OCI image layout (image-spec image-layout.md), by itself or as a repository of zot. */
#include "base/fd.h"
#include "base/jv.h"
#include "storage/source_impl.h"

#define INDEX_BYTES_MAX (64u * 1024 * 1024)
#define MARK_BYTES_MAX 4096
#define DEPTH_MAX 64
#define REF_NAME "org.opencontainers.image.ref.name"
#define SHOWN_MAX 200

static enum err_kind read_document(int dir, const char *name, size_t max, struct jv **ret,
				   struct err *e)
{
	AUTO_SBUF b = { .max = max };
	AUTO_CLOSE fd = -1;
	struct stat s;
	enum err_kind k = source_open_file(dir, name, &fd, &s, e);

	if (k == ERR_NOT_FOUND)
		return err_set(e, ERR_INVALID, __func__, "there is no %s", name);
	if (k != ERR_OK)
		return k;
	if ((uint64_t)s.st_size > max)
		return err_set(e, ERR_TOO_LARGE, __func__, "%s has more than %zu bytes", name, max);
	if (!sbuf_reserve(&b, (size_t)s.st_size + 1))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for %s", name);
	k = fd_pread_exact(fd, b.p, (size_t)s.st_size, 0, name, e);
	if (k == ERR_OK)
		k = jv_parse_object((struct str){ b.p, (size_t)s.st_size }, DEPTH_MAX, ret, e);
	return k == ERR_OK ? k : err_wrap(e, "%s", name);
}

static enum err_kind check_mark(int dir, struct err *e)
{
	AUTO_JV *mark = NULL;
	struct str version;
	enum err_kind k = read_document(dir, "oci-layout", MARK_BYTES_MAX, &mark, e);

	if (k != ERR_OK)
		return k;
	if (!jv_text(jv_member(mark, "imageLayoutVersion"), &version) ||
	    !str_starts(version, STR("1.")))
		return err_set(e, ERR_INVALID, __func__,
			       "an OCI image layout of a version other than 1");
	return ERR_OK;
}

/* What stands after the last colon of a whole reference, "docker.io/library/alpine:3.19"; else all of it. */
static struct str tag_part(struct str name)
{
	for (size_t i = name.n; i > 0 && name.p[i - 1] != '/'; i--) {
		if (name.p[i - 1] == ':' && !memchr(name.p, '@', name.n))
			return (struct str){ name.p + i, name.n - i };
	}
	return name;
}

/* A tag is of the first descriptor that has its name (image-layout.md leaves it open). */
struct named {
	struct tag_name name;
	size_t at;
	struct digest digest;
};

static int named_order(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int order = strcmp(x->name.s, y->name.s);

	return order ? order : (x->at > y->at) - (x->at < y->at);
}

static enum err_kind add_named(struct source_reader *r, struct named *names, size_t n,
			       struct err *e)
{
	enum err_kind k = ERR_OK;

	if (n)
		qsort(names, n, sizeof(*names), named_order);
	for (size_t i = 0; i < n && k == ERR_OK; i++) {
		if (i == 0 || strcmp(names[i - 1].name.s, names[i].name.s) != 0)
			k = source_add_tag(r, &names[i].name, &names[i].digest, 0, e);
		else if (!digest_eq(&names[i - 1].digest, &names[i].digest))
			r->fn(r->arg, "tag", names[i].name.s,
			      "index.json has it more than once: the first one counts");
	}
	return k;
}

/* True if the descriptor has the name of a tag. */
static bool name_of(struct source_reader *r, const struct jv *descriptor, struct named *ret)
{
	char shown[SHOWN_MAX + 1];
	struct str name;

	if (!jv_text(jv_member(jv_member(descriptor, "annotations"), REF_NAME), &name))
		return false;
	if (tag_name_parse(&ret->name, tag_part(name)))
		return true;
	name.n = MIN(name.n, (size_t)SHOWN_MAX);
	(void)str_copy(name, shown, sizeof(shown)); /* JSON text has no NUL */
	r->fn(r->arg, "tag", shown, "no name of a tag");
	return false;
}

enum err_kind source_read_layout(struct source_reader *r, struct err *e)
{
	AUTO_JV *index = NULL;
	AUTO_FREE struct named *names = NULL;
	const struct jv *list;
	size_t n = 0;
	enum err_kind k = check_mark(r->repo->dir_fd, e);

	if (k == ERR_OK)
		k = read_document(r->repo->dir_fd, "index.json", INDEX_BYTES_MAX, &index, e);
	if (k != ERR_OK)
		return k;
	list = jv_member(index, "manifests");
	names = calloc(jv_count(list) + 1, sizeof(*names));
	if (!names)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a layout");
	for (size_t i = 0; i < jv_count(list) && k == ERR_OK; i++) {
		struct str text;

		if (!jv_text(jv_member(jv_at(list, i), "digest"), &text) ||
		    !digest_parse(&names[n].digest, text)) {
			r->fn(r->arg, "manifest", "index.json",
			      "an entry has no digest that can be checked");
			continue;
		}
		k = source_add_manifest(r, &names[n].digest, 0, e);
		names[n].at = i;
		if (name_of(r, jv_at(list, i), &names[n]))
			n++;
	}
	return k == ERR_OK ? add_named(r, names, n, e) : k;
}
